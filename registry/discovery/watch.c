/* registry/discovery/watch.c - a client's watch of registered instances: who is there, and then each change. See changes.h.
 *
 * It has in private memory what was last told of each record, and the row of each instance that is meant. Each difference of an
 * entry from that is told, one after the other. Entries that were made before a record was read for the present set are passed:
 * what they say is what it was before. A watch that goes on from a revision learns from the entries before it; of a
 * record that is in none of them the next entry itself says in what it differs.
 */
#include <stdlib.h>
#include <string.h>

#include "registry/client/watching.h"
#include "registry/discovery/changes.h"
#include "registry/discovery/instance.h"
#include "registry/discovery/tags.h"

enum watch_phase { WATCH_BEHIND, WATCH_SET, WATCH_LOG };
enum watch_meant { MEANT_UNKNOWN, MEANT_YES, MEANT_NO };

struct watched_record {
    uint64_t told;          /* the word of the last entry that was gone through; 0: none */
    uint64_t from;          /* entries of a number below this say what it was before it was read for the present set */
    uint32_t meant;         /* enum watch_meant, of this registration */
    apiary_instance_t *row; /* if it is meant */
};

struct apiary_instance_watch {
    apiary_t *client;
    struct ap_instance_query meant;
    enum watch_phase phase;
    uint32_t position, count; /* SET: the record that is read next; and how many there are */
    uint64_t next;            /* the number of the entry that it reads next */
    uint32_t left;            /* of that: what is still to be told */
    bool begun;               /* `left` is of that entry */
    struct watched_record *records;
};

struct told_to {
    apiary_instance_change_t *change;
    apiary_instance_t *instance;
};

/* ---- what is to be told ----------------------------------------------------------------------------------------- */

#define TELL_REGISTERED 1u
#define TELL_MODE 2u
#define TELL_WEIGHT 4u
#define TELL_ENDED 8u
#define TELL_IMPOSSIBLE 16u

/* By the entry alone, of a record that it knows nothing of. */
static uint32_t tell_unknown(uint64_t word)
{
    uint32_t what = AP_TOLD_WHAT(word);

    if (AP_TOLD_STATE(word) != AP_INSTANCE_LIVE) return (what & AP_TURN_WHAT_LIFE) != 0 ? TELL_ENDED : 0;
    if ((what & AP_TURN_WHAT_LIFE) != 0) return TELL_REGISTERED;
    return ((what & AP_TURN_WHAT_MODE) != 0 ? TELL_MODE : 0) | ((what & AP_TURN_WHAT_WEIGHT) != 0 ? TELL_WEIGHT : 0);
}

static uint32_t tell_what(uint64_t told, uint64_t word)
{
    bool was = AP_TOLD_STATE(told) == AP_INSTANCE_LIVE, is = AP_TOLD_STATE(word) == AP_INSTANCE_LIVE;
    uint32_t what = 0;

    if (told == 0) return tell_unknown(word);
    if (!was) return is ? TELL_REGISTERED : 0;
    if (AP_TOLD_EPOCH(told) != AP_TOLD_EPOCH(word)) return TELL_IMPOSSIBLE;
    if (AP_TOLD_MODE(told) != AP_TOLD_MODE(word)) what |= TELL_MODE;
    if (AP_TOLD_WEIGHT(told) != AP_TOLD_WEIGHT(word)) what |= TELL_WEIGHT;
    return is ? what : what | TELL_ENDED;
}

/* ---- the rows --------------------------------------------------------------------------------------------------- */

static void record_forget(struct watched_record *record)
{
    free(record->row);
    record->row = NULL;
    record->meant = MEANT_UNKNOWN;
}

/* Learns whether the registration of an entry is meant, and its row: 0; APIARY_ECHANGED: it is not known any more; _ENOBLOCK. */
static int record_learn(const struct apiary_instance_watch *w, struct watched_record *record, uint64_t word)
{
    const struct ap_segment *seg = w->client->seg;
    apiary_instance_t row;
    uint64_t life;
    bool whole = ap_instance_read(seg, AP_TOLD_SWARM(word), &row, &life) &&
                 (AP_SWARM_EPOCH(life) & AP_TOLD_EPOCHS) == AP_TOLD_EPOCH(word);

    if (!whole && !ap_instance_names(seg, AP_TOLD_SWARM(word), AP_TOLD_EPOCH(word), &row)) return APIARY_ECHANGED;
    /* Without its version and tags it cannot be judged by them. */
    if (!whole && (w->meant.major[0] != '\0' || w->meant.tags[0] != '\0')) return APIARY_ECHANGED;
    record_forget(record);
    if (!ap_instance_meant(&w->meant, &row)) {
        record->meant = MEANT_NO;
        return 0;
    }
    record->row = malloc(sizeof row);
    if (record->row == NULL) return APIARY_ENOBLOCK;
    *record->row = row;
    record->meant = MEANT_YES;
    return 0;
}

static int watch_tell(const struct told_to *to, enum apiary_instance_event event, uint64_t revision, apiary_instance_t *row,
                      uint64_t word)
{
    apiary_instance_change_t change = {.struct_size = sizeof change, .event = event, .revision = revision};

    ap_sized_out(to->change, to->change->struct_size, &change, sizeof change);
    if (row == NULL) return 1;
    row->mode = (enum apiary_mode)AP_TOLD_MODE(word);
    row->weight = AP_TOLD_WEIGHT(word);
    row->alive = AP_TOLD_STATE(word) == AP_INSTANCE_LIVE;
    if (!row->alive) row->pid = 0;
    ap_sized_out(to->instance, to->instance->struct_size, row, sizeof *row);
    return 1;
}

/* ---- one step --------------------------------------------------------------------------------------------------- */

static void instances_anew(struct apiary_instance_watch *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        record_forget(&w->records[i]);
        w->records[i].told = w->records[i].from = 0;
    }
    w->position = 0;
    w->begun = false;
    w->next = ap_instance_changes_head(w->client->seg);
    w->phase = WATCH_SET;
}

/* A record as it is between two entries of the log: all that it was before is entered below `from`, and all after it from that
 * number on. Nobody's entry is on the way from before: see changes.h, WATCHER. LEFT: it is nobody's. */
static uint64_t record_present(struct ap_segment *seg, uint32_t swarm, uint64_t *ret_from)
{
    for (;;) {
        uint64_t word, head, other;

        ap_instance_tell(seg, swarm);
        head = ap_instance_changes_head(seg);
        if (!ap_instance_now(seg, swarm, &word)) word = AP_TOLD_WORD(0, swarm, 0, 0, 0, 0, AP_INSTANCE_LEFT);
        *ret_from = head;
        if (ap_instance_change_read(seg, head, &other) == APIARY_ENOTREADY && ap_instance_changes(seg) == head) return word;
    }
}

/* Passes entries that were made meanwhile and say nothing new: so SYNCED is a revision to go on from. */
static void set_catch_up(struct apiary_instance_watch *w)
{
    uint64_t word;

    while (ap_instance_change_read(w->client->seg, w->next, &word) == 0 && AP_TOLD_SWARM(word) < w->count) {
        struct watched_record *record = &w->records[AP_TOLD_SWARM(word)];

        if (w->next >= record->from && AP_TOLD_SAYS(record->told) != AP_TOLD_SAYS(word)) return;
        w->next++;
    }
}

/* Of the present set: 1, or an error. Each record is entered first, so that a watch that goes on from here has that before it. */
static int instances_step_set(struct apiary_instance_watch *w, const struct told_to *to)
{
    struct ap_segment *seg = w->client->seg;
    uint64_t word;

    while (w->position < w->count) {
        struct watched_record *record = &w->records[w->position];
        uint64_t from;
        int r = 0;

        word = record_present(seg, w->position, &from);
        if (AP_TOLD_STATE(word) == AP_INSTANCE_LIVE) r = record_learn(w, record, word);
        if (r == APIARY_ECHANGED) continue; /* it is another's already: once more */
        if (r < 0) return r;
        record->told = word;
        record->from = from;
        w->position++;
        if (record->row != NULL) return watch_tell(to, APIARY_INSTANCE_PRESENT, 0, record->row, word);
    }
    w->phase = WATCH_LOG;
    set_catch_up(w);
    return watch_tell(to, APIARY_INSTANCE_SYNCED, w->next, NULL, 0);
}

/* One of the changes that the entry says; of one that is not meant nothing. */
static int entry_tell(struct apiary_instance_watch *w, struct watched_record *record, uint64_t word, const struct told_to *to)
{
    uint32_t one = w->left & (0u - w->left);
    enum apiary_instance_event event = one == TELL_REGISTERED ? APIARY_INSTANCE_REGISTERED
                                       : one == TELL_MODE     ? APIARY_INSTANCE_MODE
                                       : one == TELL_WEIGHT   ? APIARY_INSTANCE_WEIGHT
                                       : AP_TOLD_STATE(word) == AP_INSTANCE_LEFT ? APIARY_INSTANCE_LEFT : APIARY_INSTANCE_DIED;
    int r = one == TELL_REGISTERED || record->meant == MEANT_UNKNOWN ? record_learn(w, record, word) : 0;

    if (r < 0) return r;
    w->left &= ~one;
    /* Only with the last one of an entry may a watch go on behind it. */
    return record->row != NULL ? watch_tell(to, event, w->left == 0 ? w->next + 1 : w->next, record->row, word) : 0;
}

/* 1, 0: nothing has changed, or it is behind; or an error. */
static int instances_step_log(struct apiary_instance_watch *w, const struct told_to *to)
{
    uint64_t word;
    int r;

    for (;;) {
        struct watched_record *record;

        r = ap_instance_change_read(w->client->seg, w->next, &word);
        if (r == APIARY_ENOTREADY) return 0;
        if (r == 0 && AP_TOLD_SWARM(word) >= w->count) return APIARY_ECORRUPT;
        record = r == 0 ? &w->records[AP_TOLD_SWARM(word)] : NULL;
        if (r == 0 && w->next < record->from) {
            w->next++;
            continue;
        }
        if (r == 0 && !w->begun) w->left = tell_what(record->told, word);
        if (r == 0) w->begun = true;
        if (r == 0 && w->left == TELL_IMPOSSIBLE) r = APIARY_ECHANGED;
        if (r == 0 && w->left != 0) r = entry_tell(w, record, word, to);
        if (r == APIARY_ECHANGED) {
            w->phase = WATCH_BEHIND;
            return 0;
        }
        if (r < 0) return r;
        if (w->left == 0) {
            record->told = word;
            if (AP_TOLD_STATE(word) != AP_INSTANCE_LIVE) record_forget(record);
            w->begun = false;
            w->next++;
        }
        if (r == 1) return 1;
    }
}

static int instances_step(void *watch, void *ret)
{
    struct apiary_instance_watch *w = watch;
    const struct told_to *to = ret;
    int r = w->phase == WATCH_LOG ? instances_step_log(w, to) : 0;

    if (r != 0 || w->phase == WATCH_LOG) return r;
    if (w->phase == WATCH_SET) return instances_step_set(w, to);
    instances_anew(w);
    return watch_tell(to, APIARY_INSTANCE_BEHIND, 0, NULL, 0);
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

/* Whether all changes behind the revision are in the log; what was before it is known then, as far as that goes back. */
static bool instances_resume(struct apiary_instance_watch *w, uint64_t revision)
{
    const struct ap_segment *seg = w->client->seg;
    uint64_t head = ap_instance_changes(seg), count = seg->sections[AP_SECTION_INSTANCES].count, word;

    /* The one who entered the last change may have died before the head was raised. */
    if (revision == head + 1 && ap_instance_change_read(seg, head, &word) == 0) head = revision;
    if (revision > head || head - revision > count || revision < ap_instance_changes_begin(seg)) return false;
    for (uint64_t number = head - count < head ? head - count : 0; number < revision; number++)
        if (ap_instance_change_read(seg, number, &word) == 0 && AP_TOLD_SWARM(word) < w->count)
            w->records[AP_TOLD_SWARM(word)].told = word;
    w->next = revision;
    w->phase = WATCH_LOG;
    return true;
}

int apiary_instance_watch(apiary_t *a, const apiary_instance_query_t *query, uint64_t revision, apiary_instance_watch_t **ret)
{
    struct ap_instance_query meant;
    struct apiary_instance_watch *w;
    int r = ap_usable(a);

    if (r == 0 && ret == NULL) r = APIARY_EINVAL;
    if (r == 0) r = ap_instance_query_read(query, &meant);
    if (r < 0) return r;
    w = calloc(1, sizeof *w);
    if (w == NULL) return APIARY_ENOBLOCK;
    w->count = (uint32_t)a->seg->sections[AP_SECTION_SWARMS].count;
    w->records = calloc(w->count, sizeof *w->records);
    if (w->records == NULL) {
        free(w);
        return APIARY_ENOBLOCK;
    }
    w->client = a;
    w->meant = meant;
    if (revision == 0) instances_anew(w);
    else if (!instances_resume(w, revision)) w->phase = WATCH_BEHIND;
    *ret = w;
    return 0;
}

void apiary_instance_unwatch(apiary_instance_watch_t *w)
{
    if (w == NULL) return;
    for (uint32_t i = 0; i < w->count; i++) free(w->records[i].row);
    free(w->records);
    free(w);
}

int apiary_instance_next(apiary_instance_watch_t *w, uint64_t timeout, apiary_instance_change_t *ret, apiary_instance_t *instance)
{
    struct told_to to = {ret, instance};
    int r;

    if (w == NULL || ret == NULL || instance == NULL || !ap_sized_valid(ret->struct_size, AP_FIRST_INSTANCE_CHANGE) ||
        !ap_sized_valid(instance->struct_size, AP_FIRST_INSTANCE))
        return APIARY_EINVAL;
    r = ap_usable(w->client);
    if (r < 0) return r;
    return ap_watching(w->client, &ap_instance_row_at(w->client->seg, 0)->bell, timeout, instances_step, w, &to);
}
