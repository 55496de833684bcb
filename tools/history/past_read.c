/* tools/history/past_read.c - the readers of the past. See past.h.
 *
 * Each part of what is wanted is read from the widest steps that are not wider than the step wanted; what these do not have yet,
 * since they are not over, from the finer ones.
 */
#include "tools/history/past.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/text.h"
#include "tools/common/common.h"

#define NUMBERS (INT64_C(1) << 28) /* of names: one that is higher is damaged */

struct reading {
    sqlite3 *db;
    const struct past_wanted *wanted;
    const struct past_reader *reader;
    struct past_row *told, *part; /* rows that are wanted, by name: of the step that is told, and of one that is added to it */
    bool *in_told, *in_part;
    size_t count;
    uint32_t *row_of; /* by number; UINT32_MAX: not wanted */
    uint64_t numbers;
    int64_t step, end, at, watched; /* of the step that is told; end 0: there is none */
    uint64_t bytes;                 /* that were read */
    int64_t next;                   /* 0: what was wanted was read */
    bool enough, wide;              /* wide: too many rows */
    const char *lacks;              /* what stands in the way, beside the database; NULL */
};

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

/* Makes a name that of the row that counts it, too. False: there is none. */
static bool row_meant(const struct past_wanted *w, struct past_name *name)
{
    if (w->service != NULL && strcmp(w->service, name->service) != 0) return false;
    if (w->kind == PAST_SERVICE && name->kind == PAST_AGENT) {
        name->kind = PAST_SERVICE;
        name->of[0] = name->what[0] = '\0';
    }
    return name->kind == w->kind;
}

struct numbered {
    struct past_name name;
    uint64_t number;
};

static bool name_read(sqlite3_stmt *s, int column, char *ret, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(s, column);

    if (text == NULL || strlen(text) >= size) return false;
    memcpy(ret, text, strlen(text) + 1);
    return true;
}

static bool names_read(struct reading *r, struct numbered **ret, size_t *ret_count)
{
    sqlite3_stmt *s = NULL;
    size_t room = 0;
    int rc = sqlite3_prepare_v2(r->db, "SELECT id, kind, service, of, what FROM name", -1, &s, NULL);

    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        struct past_name name;

        memset(&name, 0, sizeof name);
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW) break;
        name.kind = (enum past_kind)sqlite3_column_int(s, 1);
        if (!name_read(s, 2, name.service, sizeof name.service) || !name_read(s, 3, name.of, sizeof name.of) ||
            !name_read(s, 4, name.what, sizeof name.what) || !row_meant(r->wanted, &name))
            continue;
        if (*ret_count == room) {
            room = room > 0 ? 2 * room : 64;
            *ret = tool_realloc(*ret, room * sizeof **ret);
        }
        (*ret)[(*ret_count)++] = (struct numbered){name, (uint64_t)sqlite3_column_int64(s, 0)};
    }
    sqlite3_finalize(s);
    return rc == SQLITE_DONE;
}

/* Room for so many rows, and for all numbers: a failure ends nobody, since others decide how much that is. */
static bool rows_room(struct reading *r, size_t n)
{
    int64_t most = history_number(r->db, "SELECT max(id) FROM name", 0);

    r->lacks = "the numbers of its names are damaged";
    if (most < 0 || most >= NUMBERS) return false;
    r->numbers = (uint64_t)most + 1;
    r->row_of = malloc(r->numbers * sizeof *r->row_of);
    r->told = calloc(n + 1, sizeof *r->told);
    r->part = calloc(n + 1, sizeof *r->part);
    r->in_told = calloc(n + 1, sizeof *r->in_told);
    r->in_part = calloc(n + 1, sizeof *r->in_part);
    r->lacks = "there is no memory for its rows";
    if (r->row_of == NULL || r->told == NULL || r->part == NULL || r->in_told == NULL || r->in_part == NULL) return false;
    r->lacks = NULL;
    for (uint64_t i = 0; i < r->numbers; i++) r->row_of[i] = UINT32_MAX;
    return true;
}

static bool rows_make(struct reading *r)
{
    struct numbered *all = NULL;
    size_t n = 0, rows = 0;
    bool good = names_read(r, &all, &n);

    if (n > 0) qsort(all, n, sizeof *all, past_name_compare); /* the name is first */
    for (size_t i = 0; i < n; i++) rows += i == 0 || past_name_compare(&all[i].name, &all[i - 1].name) != 0;
    r->wide = r->wanted->most_rows != 0 && rows > r->wanted->most_rows;
    good = good && !r->wide && rows_room(r, rows);
    for (size_t i = 0; i < n && good; i++) {
        if (i == 0 || past_name_compare(&all[i].name, &all[i - 1].name) != 0) r->told[r->count++].name = all[i].name;
        if (all[i].number < r->numbers) r->row_of[all[i].number] = (uint32_t)(r->count - 1);
    }
    free(all);
    return good;
}

/* Agents of one service at one moment: what waits at each is added up. */
static void row_gather(struct past_row *to, const struct past_row *more)
{
    const uint64_t queued = to->numbers[PAST_QUEUED], running = to->numbers[PAST_RUNNING];

    past_row_add(to, more);
    if (queued != PAST_UNKNOWN && more->numbers[PAST_QUEUED] != PAST_UNKNOWN)
        to->numbers[PAST_QUEUED] = queued + more->numbers[PAST_QUEUED];
    if (running != PAST_UNKNOWN && more->numbers[PAST_RUNNING] != PAST_UNKNOWN)
        to->numbers[PAST_RUNNING] = running + more->numbers[PAST_RUNNING];
}

/* ---- steps ---------------------------------------------------------------------------------------------------------- */

static void step_tell(struct reading *r)
{
    struct past_row *rows = r->part; /* free by now */
    struct past_step step = {.at = r->at, .watched = r->watched, .rows = rows};

    if (r->end == 0) return;
    for (size_t i = 0; i < r->count; i++) {
        if (r->in_told[i]) rows[step.count++] = r->told[i];
        r->in_told[i] = false;
    }
    r->enough = !r->reader->step(r->reader->user, &step);
    r->end = r->watched = 0;
}

static void part_take(struct reading *r, const unsigned char *bytes, size_t size)
{
    struct past_row row;
    uint64_t number;
    size_t at = 0, before = 0;

    while (past_decode(bytes, size, &at, &number, NULL) == 1) {
        uint32_t i = number < r->numbers ? r->row_of[number] : UINT32_MAX;

        if (i != UINT32_MAX && past_decode(bytes, size, &before, &number, &row) == 1) {
            if (!r->in_part[i]) past_row_clear(&r->part[i]);
            r->in_part[i] = true;
            row_gather(&r->part[i], &row);
        }
        before = at;
    }
}

/* A step that is kept, into the one that is told. */
static void step_add(struct reading *r, int64_t at, int64_t watched, const unsigned char *bytes, size_t size)
{
    int64_t end = (at + r->step - 1) / r->step * r->step;

    if (end != r->end) step_tell(r);
    if (r->enough) return;
    part_take(r, bytes, size);
    for (size_t i = 0; i < r->count; i++) {
        if (!r->in_part[i]) continue;
        if (!r->in_told[i]) past_row_clear(&r->told[i]);
        r->in_told[i] = true;
        past_row_add(&r->told[i], &r->part[i]);
        r->in_part[i] = false;
    }
    r->end = end;
    r->at = at;
    r->watched += watched;
}

/* Where as much as may be was read, what there is of the step is told. */
static void bytes_count(struct reading *r, int64_t at, uint64_t size)
{
    r->bytes += size;
    if (r->enough || r->wanted->most_bytes == 0 || r->bytes < r->wanted->most_bytes) return;
    step_tell(r);
    if (r->enough) return;
    r->next = at;
    r->enough = true;
}

/* Those of a level that end after `from`. */
static bool level_read(struct reading *r, int level, int64_t from, int64_t to)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(r->db, "SELECT at, watched, rows FROM step WHERE level = ?1 AND at > ?2 AND at <= ?3 ORDER BY at",
                                -1, &s, NULL);

    if (rc == SQLITE_OK) {
        sqlite3_bind_int(s, 1, level);
        sqlite3_bind_int64(s, 2, from);
        sqlite3_bind_int64(s, 3, to);
        while (!r->enough && (rc = sqlite3_step(s)) == SQLITE_ROW) {
            step_add(r, sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_blob(s, 2),
                     (size_t)sqlite3_column_bytes(s, 2));
            bytes_count(r, sqlite3_column_int64(s, 0), (uint64_t)sqlite3_column_bytes(s, 2));
        }
    }
    sqlite3_finalize(s);
    return r->enough || rc == SQLITE_DONE;
}

static int64_t level_end(sqlite3 *db, int level)
{
    char *sql = tool_format("SELECT max(at) FROM step WHERE level = %d", level);
    int64_t ret = history_number(db, sql, 0);

    free(sql);
    return ret;
}

/* The widest level whose steps a step of this width is made of. */
static int level_of(int64_t step)
{
    int level = PAST_LEVEL_COUNT - 1;

    while (level > 0 && step % past_levels[level].width != 0) level--;
    return level;
}

/* The step, wider where there are only wider ones for so long. */
static int64_t step_width(const struct past_wanted *w, const struct past_told *kept)
{
    int64_t from = w->since > kept->first ? w->since : kept->first, step = w->step;

    for (int i = 1; i < PAST_LEVEL_COUNT; i++) {
        int64_t width = past_levels[i].width;

        if (level_of(step) >= i || from >= kept->last - past_levels[i - 1].kept) continue;
        step = (step + width - 1) / width * width;
    }
    return step;
}

static bool steps_read(struct reading *r)
{
    int64_t from = r->wanted->since / r->step * r->step;

    if (from < r->wanted->after) from = r->wanted->after;
    for (int level = level_of(r->step); level >= 0 && !r->enough; level--) {
        int64_t end = level_end(r->db, level);

        if (end > from && !level_read(r, level, from, r->wanted->until)) return false;
        if (end > from) from = end;
    }
    if (!r->enough) step_tell(r);
    return true;
}

static bool gaps_read(struct reading *r)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(r->db, "SELECT since, until FROM gap WHERE until > ?1 AND since < ?2 ORDER BY since", -1, &s, NULL);

    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, r->wanted->since);
        sqlite3_bind_int64(s, 2, r->wanted->until);
        while ((rc = sqlite3_step(s)) == SQLITE_ROW)
            r->reader->gap(r->reader->user, &(struct past_gap){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1)});
    }
    sqlite3_finalize(s);
    return rc == SQLITE_DONE;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

/* In one moment of the database. */
static bool past_read_all(struct reading *r, struct past_told *ret)
{
    bool good;

    ret->first = history_number(r->db, "SELECT min(at) FROM step", 0);
    ret->last = history_number(r->db, "SELECT max(at) FROM step", 0);
    ret->step = r->step = step_width(r->wanted, ret);
    good = rows_make(r) && gaps_read(r) && steps_read(r);
    ret->next = r->next;
    free(r->told);
    free(r->part);
    free(r->in_told);
    free(r->in_part);
    free(r->row_of);
    return good;
}

int past_read(const char *folder, const struct past_wanted *wanted, const struct past_reader *reader, struct past_told *ret,
              char why[HISTORY_WHY])
{
    char *path = tool_format("%s/%s", folder, PAST_FILE);
    struct reading r = {.wanted = wanted, .reader = reader};
    int64_t layout = -1;
    bool good;

    *ret = (struct past_told){.step = wanted->step};
    if (access(path, F_OK) != 0) {
        bool none = errno == ENOENT || errno == ENOTDIR;

        if (!none) ap_format(why, HISTORY_WHY, "cannot read %s: %s", AP_SHOWN(path, 256), strerror(errno));
        free(path);
        return none ? 0 : -1;
    }
    good = history_file_read(path, &r.db) == SQLITE_OK && history_run(r.db, "BEGIN") == SQLITE_OK;
    if (good) layout = history_number(r.db, "PRAGMA user_version", -1);
    if (good && layout == PAST_LAYOUT) good = past_read_all(&r, ret);
    if (r.wide)
        ap_format(why, HISTORY_WHY, "more than %zu rows are meant, of all that were counted in a week; name a service (service=)",
                  wanted->most_rows);
    else if (r.lacks != NULL)
        ap_format(why, HISTORY_WHY, "cannot read %s: %s", AP_SHOWN(path, 256), r.lacks);
    else if (!good || layout < 0)
        history_fault(r.db, "cannot read", path, why);
    if (layout > PAST_LAYOUT) ap_format(why, HISTORY_WHY, "%s is of a newer apiary", AP_SHOWN(path, 256));
    sqlite3_close(r.db);
    free(path);
    if (r.wide) return PAST_WIDE;
    return !good || layout < 0 || layout > PAST_LAYOUT ? -1 : layout > 0; /* 0: it is being made */
}
