/* tools/history/past.c - the writer of the past. See past.h. */
#include "tools/history/past.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "tools/common/common.h"

#define BEGIN "BEGIN IMMEDIATE"
#define COMMIT "COMMIT"
#define DAY INT64_C(86400000)

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE name (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, service TEXT NOT NULL, of TEXT NOT NULL, what TEXT NOT NULL,"
    " seen INTEGER NOT NULL, UNIQUE (kind, service, of, what));"
    "CREATE TABLE step (id INTEGER PRIMARY KEY, level INTEGER NOT NULL, at INTEGER NOT NULL, watched INTEGER NOT NULL,"
    " rows BLOB NOT NULL);"
    "CREATE UNIQUE INDEX step_at ON step (level, at);"
    "CREATE TABLE gap (since INTEGER PRIMARY KEY, until INTEGER NOT NULL);"
    "PRAGMA user_version = 1;"
    "COMMIT";

/* ---- names --------------------------------------------------------------------------------------------------------- */

static struct past_named *name_add(struct past *p, size_t at, const struct past_name *name, int64_t id)
{
    if (p->name_count == p->name_room) {
        p->name_room = p->name_room > 0 ? 2 * p->name_room : 64;
        p->names = tool_realloc(p->names, p->name_room * sizeof *p->names);
    }
    memmove(&p->names[at + 1], &p->names[at], (p->name_count - at) * sizeof *p->names);
    p->names[at] = (struct past_named){.name = *name, .id = id};
    p->name_count++;
    return &p->names[at];
}

/* Where it is, or is to be. */
static size_t name_place(const struct past *p, const struct past_name *name)
{
    size_t low = 0, high = p->name_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (past_name_compare(&p->names[mid].name, name) < 0) low = mid + 1;
        else high = mid;
    }
    return low;
}

/* The number of a name, which is entered where it is new: SQLite's code. */
static int name_number(struct past *p, const struct past_name *name, int64_t now, int64_t *ret)
{
    size_t at = name_place(p, name);
    sqlite3_stmt *s = p->name;

    if (at == p->name_count || past_name_compare(&p->names[at].name, name) != 0) {
        sqlite3_bind_int(s, 1, (int)name->kind);
        sqlite3_bind_text(s, 2, name->service, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 3, name->of, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 4, name->what, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 5, now);
        if (sqlite3_step(s) != SQLITE_ROW) {
            sqlite3_reset(s);
            return sqlite3_errcode(p->file.db);
        }
        name_add(p, at, name, sqlite3_column_int64(s, 0));
        sqlite3_reset(s);
    }
    p->names[at].seen = true;
    *ret = p->names[at].id;
    return SQLITE_OK;
}

/* Forgets what is in memory: a transaction that is rolled back takes its names along. */
static void names_forget(struct past *p)
{
    p->name_count = 0;
}

/* Notes when those of the last while were seen; who is in no step any more goes. */
static int names_note(struct past *p, int64_t now)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(p->file.db, "UPDATE name SET seen = ?2 WHERE id = ?1", -1, &s, NULL);
    char *sql;

    for (size_t i = 0; i < p->name_count && rc == SQLITE_OK; i++) {
        if (!p->names[i].seen) continue;
        sqlite3_bind_int64(s, 1, p->names[i].id);
        sqlite3_bind_int64(s, 2, now);
        if (sqlite3_step(s) != SQLITE_DONE) rc = sqlite3_errcode(p->file.db);
        sqlite3_reset(s);
        p->names[i].seen = false;
    }
    sqlite3_finalize(s);
    if (rc != SQLITE_OK) return rc;
    sql = tool_format("DELETE FROM name WHERE seen < %" PRId64, now - past_levels[PAST_LEVEL_COUNT - 1].kept - DAY);
    rc = history_run(p->file.db, sql);
    if (rc == SQLITE_OK && sqlite3_changes(p->file.db) > 0) names_forget(p);
    free(sql);
    return rc;
}

/* ---- steps --------------------------------------------------------------------------------------------------------- */

static int step_put(struct past *p, int level, int64_t at, int64_t watched, const struct past_bytes *rows)
{
    sqlite3_stmt *s = p->put;
    int rc = SQLITE_OK;

    sqlite3_bind_int(s, 1, level);
    sqlite3_bind_int64(s, 2, at);
    sqlite3_bind_int64(s, 3, watched);
    sqlite3_bind_blob64(s, 4, rows->size > 0 ? (const void *)rows->bytes : "", rows->size, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE) rc = sqlite3_errcode(p->file.db);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return rc;
}

/* Rows by their numbers. */
struct sums {
    struct past_row **rows;
    uint64_t count;
};

static void sums_add(struct sums *sums, const unsigned char *bytes, size_t size)
{
    struct past_row row;
    uint64_t number;
    size_t at = 0;

    while (past_decode(bytes, size, &at, &number, &row) == 1) {
        if (number >= sums->count) continue;
        if (sums->rows[number] == NULL) {
            sums->rows[number] = tool_alloc(sizeof row);
            past_row_clear(sums->rows[number]);
        }
        past_row_add(sums->rows[number], &row);
    }
}

static void sums_put(struct sums *sums, struct past_bytes *ret)
{
    for (uint64_t i = 0; i < sums->count; i++) {
        if (sums->rows[i] == NULL) continue;
        (void)past_encode(ret, i, sums->rows[i]);
        free(sums->rows[i]);
    }
    free(sums->rows);
}

/* The step of `level` that ends at `end`, of those of the level before. */
static int thin_one(struct past *p, int level, int64_t end)
{
    struct sums sums = {.count = (uint64_t)history_number(p->file.db, "SELECT max(id) FROM name", 0) + 1};
    struct past_bytes bytes = {.bytes = NULL};
    int64_t watched = 0;
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(p->file.db, "SELECT watched, rows FROM step WHERE level = ?1 AND at > ?2 AND at <= ?3", -1, &s,
                                NULL);

    if (rc != SQLITE_OK) return rc;
    sums.rows = tool_alloc(sums.count * sizeof *sums.rows);
    memset(sums.rows, 0, sums.count * sizeof *sums.rows);
    sqlite3_bind_int(s, 1, level - 1);
    sqlite3_bind_int64(s, 2, end - past_levels[level].width);
    sqlite3_bind_int64(s, 3, end);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        watched += sqlite3_column_int64(s, 0);
        sums_add(&sums, sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1));
    }
    sqlite3_finalize(s);
    sums_put(&sums, &bytes);
    rc = rc == SQLITE_DONE ? step_put(p, level, end, watched, &bytes) : rc;
    free(bytes.bytes);
    return rc;
}

/* All steps of `level` that are over and not made yet. *ret_some: there were some. */
static int thin_level(struct past *p, int level, int64_t at, bool *ret_some)
{
    int64_t width = past_levels[level].width, over = at / width * width;
    int rc = SQLITE_OK;

    for (;;) {
        char *sql = tool_format("SELECT min(at) FROM step WHERE level = %d AND at <= %" PRId64
                                " AND at > (SELECT ifnull(max(at), 0) FROM step WHERE level = %d)", level - 1, over, level);
        int64_t next = history_number(p->file.db, sql, 0);

        free(sql);
        if (next == 0) return rc;
        rc = thin_one(p, level, (next + width - 1) / width * width);
        if (rc != SQLITE_OK) return rc;
        *ret_some = true;
    }
}

static int drop_old(struct past *p, int64_t at)
{
    int rc = SQLITE_OK;

    for (int i = 0; i < PAST_LEVEL_COUNT && rc == SQLITE_OK; i++) {
        char *sql = tool_format("DELETE FROM step WHERE level = %d AND at <= %" PRId64, i, at - past_levels[i].kept);

        rc = history_run(p->file.db, sql);
        free(sql);
    }
    if (rc == SQLITE_OK) {
        char *sql = tool_format("DELETE FROM gap WHERE until <= %" PRId64, at - past_levels[PAST_LEVEL_COUNT - 1].kept);

        rc = history_run(p->file.db, sql);
        free(sql);
    }
    return rc;
}

/* Where it is larger than it may be. */
static int drop_large(struct past *p)
{
    int rc = SQLITE_OK;

    for (int i = 0; i < PAST_LEVEL_COUNT && rc == SQLITE_OK; i++) {
        for (bool some = true; some && rc == SQLITE_OK && history_size(p->file.db) > p->bytes;) {
            char *sql = tool_format("DELETE FROM step WHERE id IN (SELECT id FROM step WHERE level = %d ORDER BY at LIMIT"
                                    " (SELECT max(0, min(count(*) - %d, 1 + count(*) / 10)) FROM step WHERE level = %d))", i,
                                    PAST_FEWEST, i);

            rc = history_run(p->file.db, sql);
            some = sqlite3_changes(p->file.db) > 0;
            free(sql);
        }
    }
    return rc == SQLITE_OK ? history_run(p->file.db, "PRAGMA incremental_vacuum") : rc;
}

static int thin(struct past *p, int64_t at)
{
    bool some[PAST_LEVEL_COUNT] = {false};
    int rc = SQLITE_OK;

    for (int i = 1; i < PAST_LEVEL_COUNT && rc == SQLITE_OK; i++) rc = thin_level(p, i, at, &some[i]);
    if (rc == SQLITE_OK && some[1]) rc = drop_old(p, at);
    if (rc == SQLITE_OK && some[PAST_LEVEL_COUNT - 1]) rc = names_note(p, at);
    if (rc == SQLITE_OK && some[PAST_LEVEL_COUNT - 1]) rc = drop_large(p);
    return rc;
}

/* ---- what is called ------------------------------------------------------------------------------------------------- */

/* Ends the transaction: 0, or -1 and all of it undone. */
static int past_end(struct past *p, int rc)
{
    if (rc == SQLITE_OK) rc = history_run(p->file.db, COMMIT);
    if (rc == SQLITE_OK) return 0;
    history_fault(p->file.db, "cannot write", p->file.path, p->file.why);
    if (!sqlite3_get_autocommit(p->file.db)) (void)history_run(p->file.db, "ROLLBACK");
    names_forget(p);
    history_file_failed(&p->file, rc);
    return -1;
}

int past_begin(struct past *p, int64_t now)
{
    char *sql = tool_format("DELETE FROM step WHERE at > %" PRId64 "; DELETE FROM gap WHERE since >= %" PRId64
                            "; UPDATE gap SET until = min(until, %" PRId64 ")", now, now, now);
    int64_t last = 0;
    int rc = history_run(p->file.db, BEGIN);

    if (rc == SQLITE_OK) rc = history_run(p->file.db, sql);
    free(sql);
    if (rc == SQLITE_OK) last = history_number(p->file.db, "SELECT max(at) FROM step", 0);
    if (rc == SQLITE_OK && last > 0 && last < now) {
        sql = tool_format("INSERT INTO gap VALUES (%" PRId64 ", %" PRId64 ") ON CONFLICT DO UPDATE SET until = excluded.until",
                          last, now);
        rc = history_run(p->file.db, sql);
        free(sql);
    }
    if (past_end(p, rc) < 0) return -1;
    p->last = last;
    return 0;
}

int past_keep(struct past *p, int64_t at, int64_t watched, const struct past_row *rows, size_t count)
{
    struct past_bytes bytes = {.bytes = NULL};
    int rc = history_run(p->file.db, BEGIN);

    for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
        size_t before = bytes.size;
        int64_t id = 0;

        if (!past_encode(&bytes, 0, &rows[i])) continue; /* no name for what is never told */
        bytes.size = before;
        rc = name_number(p, &rows[i].name, at, &id);
        if (rc == SQLITE_OK) (void)past_encode(&bytes, (uint64_t)id, &rows[i]);
    }
    if (rc == SQLITE_OK) rc = step_put(p, 0, at, watched, &bytes);
    if (rc == SQLITE_OK) rc = thin(p, at);
    free(bytes.bytes);
    if (past_end(p, rc) < 0) return -1;
    p->last = at;
    return 0;
}

/* ---- opened --------------------------------------------------------------------------------------------------------- */

static int past_prepare(struct past *p)
{
    sqlite3 *db = p->file.db;
    int rc = sqlite3_prepare_v2(db, "INSERT INTO step (level, at, watched, rows) VALUES (?1, ?2, ?3, ?4)", -1, &p->put, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "INSERT INTO name (kind, service, of, what, seen) VALUES (?1, ?2, ?3, ?4, ?5)"
                                    " ON CONFLICT DO UPDATE SET seen = excluded.seen RETURNING id", -1, &p->name, NULL);
    if (rc == SQLITE_OK) return rc;
    history_fault(db, "cannot open", p->file.path, p->file.why);
    return rc & 0xff;
}

static bool past_open_in(struct past *p, const char *folder)
{
    int rc;

    if (!history_file_begin(&p->file, folder, PAST_FILE, PAST_LOCK, "history")) return false;
    rc = history_file_open(&p->file, schema, PAST_LAYOUT);
    if (rc == SQLITE_OK) rc = past_prepare(p);
    if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB) {
        history_file_put_aside(&p->file);
        rc = history_file_open(&p->file, schema, PAST_LAYOUT);
        if (rc == SQLITE_OK) rc = past_prepare(p);
    }
    return rc == SQLITE_OK && history_file_note(&p->file);
}

struct past *past_open(const char *folder, uint64_t bytes, char why[HISTORY_WHY])
{
    struct past *p = tool_alloc(sizeof *p);
    bool good;

    *p = (struct past){.bytes = bytes, .file = {.lock = -1}};
    good = past_open_in(p, folder);
    memcpy(why, p->file.why, HISTORY_WHY);
    if (good) return p;
    past_close(p);
    return NULL;
}

void past_close(struct past *p)
{
    if (p == NULL) return;
    history_file_end(&p->file);
    free(p->names);
    free(p);
}
