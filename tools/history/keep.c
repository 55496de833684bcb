/* tools/history/keep.c - one round of the history's writer. See history.h. */
#include "tools/history/history.h"

#include <stdlib.h>
#include <string.h>

#define ROTATE_EVERY UINT64_C(3600000000000)
#define ROTATE_AFTER 256u /* entries */

/* A round: how far it has come, which counts when its transaction does. */
struct round {
    struct history *h;
    const struct ap_segment *seg;
    struct history_cursor at;
    uint64_t begin, end; /* of the log */
    int rc, kept;
};

static void round_step(struct round *r, sqlite3_stmt *s)
{
    if (r->rc == SQLITE_OK && sqlite3_step(s) != SQLITE_DONE) r->rc = sqlite3_errcode(r->h->file.db);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

static void round_number(struct round *r, sqlite3_stmt *s, uint64_t number)
{
    sqlite3_bind_int64(s, 1, r->h->segment);
    sqlite3_bind_int64(s, 2, (int64_t)number);
    round_step(r, s);
}

static void round_put(struct round *r, struct event_told *told)
{
    sqlite3_stmt *s = r->h->put;
    char *json = json_dumps(told->json, JSON_COMPACT);

    if (json == NULL) r->rc = SQLITE_NOMEM;
    sqlite3_bind_int64(s, 1, r->h->segment);
    sqlite3_bind_int64(s, 2, (int64_t)told->number);
    sqlite3_bind_int64(s, 3, told->time <= INT64_MAX ? (int64_t)told->time : INT64_MAX);
    sqlite3_bind_text(s, 4, told->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 5, told->service, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 6, told->text, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 7, json, -1, SQLITE_STATIC);
    round_step(r, s);
    free(json);
    event_told_free(told);
    r->kept++;
}

static void round_lost(struct round *r, uint64_t number, uint64_t count)
{
    struct event_told told;

    event_tell_lost(number, count, ap_ops_system.realtime(), &told);
    round_put(r, &told);
}

/* False: its record is not written yet. */
static bool round_event(struct round *r, uint64_t number)
{
    struct event_told told;
    struct ap_event e;

    if (ap_event_read(r->seg, number, &e) != 1) return false;
    if (event_tell(r->seg, &e, &told)) round_put(r, &told);
    else round_lost(r, number, 1); /* of a kind that is none */
    return true;
}

static void round_new(struct round *r)
{
    struct history_cursor *at = &r->at;
    size_t room = at->count;

    if (at->next < r->begin) {
        round_lost(r, at->next, r->begin - at->next);
        at->next = r->begin;
    }
    for (; at->next < r->end && r->rc == SQLITE_OK; at->next++) {
        if (round_event(r, at->next)) continue;
        round_number(r, r->h->hole, at->next);
        if (at->count == room) {
            room = room > 0 ? 2 * room : 16;
            at->holes = tool_realloc(at->holes, room * sizeof *at->holes);
        }
        at->holes[at->count++] = at->next;
    }
}

/* Holes that were written meanwhile, or overwritten. */
static void round_holes(struct round *r)
{
    size_t left = 0;

    for (size_t i = 0; i < r->at.count; i++) {
        uint64_t number = r->at.holes[i];
        bool over = number < r->begin;

        if (r->rc == SQLITE_OK && over) round_lost(r, number, 1);
        if (r->rc == SQLITE_OK && (over || round_event(r, number))) round_number(r, r->h->fill, number);
        else r->at.holes[left++] = number;
    }
    r->at.count = left;
}

static bool round_due(const struct round *r)
{
    struct ap_event e;

    if (r->at.next < r->end) return true;
    for (size_t i = 0; i < r->at.count; i++)
        if (r->at.holes[i] < r->begin || ap_event_read(r->seg, r->at.holes[i], &e) == 1) return true;
    return false;
}

static int round_run(struct round *r)
{
    struct history *h = r->h;

    r->rc = history_run(h->file.db, "BEGIN IMMEDIATE");
    if (r->rc == SQLITE_OK) {
        round_holes(r);
        round_new(r);
        round_number(r, h->advance, r->at.next);
        if (r->rc == SQLITE_OK) r->rc = history_run(h->file.db, "COMMIT");
    }
    if (r->rc == SQLITE_OK) return r->kept;
    history_fault(h->file.db, "cannot write", h->file.path, h->file.why);
    if (!sqlite3_get_autocommit(h->file.db)) (void)history_run(h->file.db, "ROLLBACK");
    history_file_failed(&h->file, r->rc);
    return -1;
}

bool history_due(const struct history *h, const struct ap_segment *seg)
{
    struct round r = {.h = NULL, .seg = seg, .at = h->at};

    r.end = ap_load_acquire(&seg->header->event_next); /* EVENT-A1 pairs EVENT-R1 */
    r.begin = event_log_begins(seg, r.end);
    return round_due(&r) || ap_ops_system.now() - h->rotated >= ROTATE_EVERY;
}

/* Where this fails the kept events stay, and new ones are kept beside them. False: the file is no database any more. */
static bool keep_rotate(struct history *h, uint64_t now)
{
    int rc = history_rotate(h, ap_ops_system.realtime());

    h->rotated = now;
    h->since = 0;
    h->crammed = rc != SQLITE_OK;
    if (h->crammed) history_file_failed(&h->file, rc);
    return h->file.db != NULL;
}

/* After a failure not sooner than the time says, however many come: each attempt may take its time. */
static bool keep_rotates(const struct history *h, uint64_t now)
{
    if (h->rotated == 0 || now - h->rotated >= ROTATE_EVERY) return true;
    return h->since >= ROTATE_AFTER && !h->crammed;
}

int history_keep(struct history *h, const struct ap_segment *seg)
{
    struct round r = {.h = h, .seg = seg, .at = {.next = h->at.next, .count = h->at.count}};
    uint64_t now = ap_ops_system.now();
    int kept = 0;

    *h->file.why = '\0';
    r.end = ap_load_acquire(&seg->header->event_next); /* EVENT-A1 pairs EVENT-R1 */
    r.begin = event_log_begins(seg, r.end);
    r.at.holes = h->at.holes;
    if (round_due(&r)) {
        r.at.holes = tool_alloc((h->at.count + 1) * sizeof *r.at.holes);
        if (h->at.count > 0) memcpy(r.at.holes, h->at.holes, h->at.count * sizeof *r.at.holes);
        kept = round_run(&r);
        free(kept >= 0 ? h->at.holes : r.at.holes);
        if (kept < 0) return kept;
        h->at = r.at;
    }
    h->since += (uint32_t)kept;
    return !keep_rotates(h, now) || keep_rotate(h, now) ? kept : -1;
}
