/* tools/history/history.c - the history's file: opened, made, rotated. See history.h. */
#include "tools/history/history.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE segment (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE, next INTEGER NOT NULL);"
    "CREATE TABLE event (segment INTEGER NOT NULL, number INTEGER NOT NULL, time INTEGER NOT NULL, kind TEXT NOT NULL,"
    " service TEXT NOT NULL, text TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (segment, number)) WITHOUT ROWID;"
    "CREATE INDEX event_time ON event (time);"
    "CREATE TABLE hole (segment INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (segment, number)) WITHOUT ROWID;"
    "CREATE TABLE rotated (events INTEGER NOT NULL);"
    "INSERT INTO rotated VALUES (0);"
    "PRAGMA user_version = 1;"
    "COMMIT";

void history_identity(const struct ap_segment *seg, char ret[HISTORY_IDENTITY])
{
    const struct ap_header *h = seg->header;
    size_t n = 0;

    for (size_t i = 0; i < sizeof h->boot_id; i++) n += (size_t)snprintf(ret + n, HISTORY_IDENTITY - n, "%02x", h->boot_id[i]);
    snprintf(ret + n, HISTORY_IDENTITY - n, "-%" PRIx64 "-%" PRIx64, h->created_realtime, h->created_monotonic);
}

/* ---- what was kept ------------------------------------------------------------------------------------------------ */

int history_cursor_read(sqlite3 *db, int64_t segment, struct history_cursor *ret)
{
    sqlite3_stmt *s = NULL;
    size_t room = 0;
    int rc;

    *ret = (struct history_cursor){.next = 1};
    rc = sqlite3_prepare_v2(db, "SELECT next, 0 FROM segment WHERE id = ?1"
                                " UNION ALL SELECT number, 1 FROM hole WHERE segment = ?1", -1, &s, NULL);
    if (rc == SQLITE_OK) sqlite3_bind_int64(s, 1, segment);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW) break;
        if (sqlite3_column_int(s, 1) == 0) {
            ret->next = (uint64_t)sqlite3_column_int64(s, 0);
            continue;
        }
        if (ret->count == room) {
            room = room > 0 ? 2 * room : 16;
            ret->holes = tool_realloc(ret->holes, room * sizeof *ret->holes);
        }
        ret->holes[ret->count++] = (uint64_t)sqlite3_column_int64(s, 0);
    }
    sqlite3_finalize(s);
    if (rc == SQLITE_DONE) return 0;
    free(ret->holes);
    *ret = (struct history_cursor){.next = 1};
    return -1;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static int history_prepare(struct history *h)
{
    sqlite3 *db = h->file.db;
    int rc = sqlite3_prepare_v2(db, "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", -1, &h->put, NULL);

    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(db, "INSERT INTO hole VALUES (?1, ?2)", -1, &h->hole, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(db, "DELETE FROM hole WHERE segment = ?1 AND number = ?2", -1, &h->fill, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(db, "UPDATE segment SET next = ?2 WHERE id = ?1", -1, &h->advance, NULL);
    return rc;
}

/* The row of this segment, and how far it was read. */
static int history_find_segment(struct history *h, const struct ap_segment *seg)
{
    char identity[HISTORY_IDENTITY];
    sqlite3_stmt *s = NULL;
    int rc;

    history_identity(seg, identity);
    rc = sqlite3_prepare_v2(h->file.db, "INSERT INTO segment (identity, next) VALUES (?1, 1)"
                                   " ON CONFLICT DO UPDATE SET next = next RETURNING id", -1, &s, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_text(s, 1, identity, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        h->segment = sqlite3_column_int64(s, 0);
        rc = sqlite3_step(s); /* the write ends with the statement */
    }
    sqlite3_finalize(s);
    if (rc == SQLITE_DONE && history_cursor_read(h->file.db, h->segment, &h->at) == 0) return SQLITE_OK;
    history_fault(h->file.db, "cannot write", h->file.path, h->file.why);
    return sqlite3_errcode(h->file.db) & 0xff;
}

static int history_start(struct history *h, const struct ap_segment *seg)
{
    int rc = history_file_open(&h->file, schema, HISTORY_LAYOUT);

    if (rc == SQLITE_OK && (rc = history_prepare(h)) != SQLITE_OK)
        history_fault(h->file.db, "cannot open", h->file.path, h->file.why);
    return rc == SQLITE_OK ? history_find_segment(h, seg) : rc & 0xff;
}

static bool history_open_in(struct history *h, const char *folder, const struct ap_segment *seg)
{
    int rc;

    if (!history_file_begin(&h->file, folder, HISTORY_FILE, HISTORY_LOCK, "events")) return false;
    rc = history_start(h, seg);
    if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB) {
        history_file_put_aside(&h->file);
        rc = history_start(h, seg);
    }
    return rc == SQLITE_OK && history_file_note(&h->file);
}

struct history *history_open(const char *folder, const struct ap_segment *seg, const struct history_limits *limits,
                             char why[HISTORY_WHY])
{
    struct history *h = tool_alloc(sizeof *h);
    bool good;

    *h = (struct history){.limits = *limits, .file = {.lock = -1}};
    good = history_open_in(h, folder, seg);
    memcpy(why, h->file.why, HISTORY_WHY);
    if (good) return h;
    history_close(h);
    return NULL;
}

void history_close(struct history *h)
{
    if (h == NULL) return;
    history_file_end(&h->file);
    free(h->at.holes);
    free(h);
}

bool history_gone(const struct history *h)
{
    return history_file_gone(&h->file);
}

/* ---- rotation ------------------------------------------------------------------------------------------------------ */

/* Deletes what the condition says, and counts it: SQLite's code. */
static int rotate_some(struct history *h, const char *which, bool *ret_some)
{
    char *sql = tool_format("BEGIN IMMEDIATE; DELETE FROM event WHERE %s;"
                            "UPDATE rotated SET events = events + changes(); COMMIT", which);
    int64_t before = history_number(h->file.db, "SELECT events FROM rotated", 0);
    int rc = history_run(h->file.db, sql);

    free(sql);
    *ret_some = rc == SQLITE_OK && history_number(h->file.db, "SELECT events FROM rotated", 0) > before;
    return rc;
}

/* Segments of which nothing is kept any more, and the room of what has gone. */
static int rotate_rest(struct history *h)
{
    char which[192];
    int rc;

    snprintf(which, sizeof which, "DELETE FROM segment WHERE id != %" PRId64 " AND id NOT IN (SELECT segment FROM event)",
             h->segment);
    rc = history_run(h->file.db, which);
    if (rc == SQLITE_OK) rc = history_run(h->file.db, "DELETE FROM hole WHERE segment NOT IN (SELECT id FROM segment)");
    return rc == SQLITE_OK ? history_run(h->file.db, "PRAGMA incremental_vacuum") : rc;
}

int history_rotate(struct history *h, uint64_t now)
{
    uint64_t oldest = now > h->limits.age ? now - h->limits.age : 0;
    char which[192];
    bool some, more = true;
    int rc;

    snprintf(which, sizeof which, "time < %" PRIu64, oldest <= INT64_MAX ? oldest : INT64_MAX);
    rc = rotate_some(h, which, &some);
    while (rc == SQLITE_OK && more && history_size(h->file.db) > h->limits.bytes) {
        rc = rotate_some(h, "(segment, number) IN (SELECT segment, number FROM event ORDER BY time, segment, number"
                            " LIMIT (SELECT 1 + count(*) / 10 FROM event))", &more);
        some |= more;
    }
    if (rc == SQLITE_OK && some) rc = rotate_rest(h);
    if (rc == SQLITE_OK) return rc;
    history_fault(h->file.db, "cannot make room in", h->file.path, h->file.why);
    if (!sqlite3_get_autocommit(h->file.db)) (void)history_run(h->file.db, "ROLLBACK");
    return rc;
}

int history_settle(struct history *h)
{
    return history_file_settle(&h->file);
}
