/* tools/history/read.c - the history's readers. See history.h. */
#include "tools/history/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/text.h"

static const char rows[] =
    "SELECT time, text, json FROM (SELECT segment, number, time, text, json FROM event WHERE time >= ?1"
    " AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR service = ?3) ORDER BY segment DESC, number DESC LIMIT ?4)"
    " ORDER BY segment, number";

/* The rows, told when the transaction has ended. A reader that does not go on, such as a pager, would hold the moment, and the
 * writer could not shorten its log meanwhile. */
struct read_rows {
    struct read_row {
        uint64_t time;
        size_t text, json; /* in `texts` */
    } *all;
    size_t count, room;
    char *texts;
    size_t size, texts_room;
};

static size_t read_text(struct read_rows *r, const char *text)
{
    size_t size = strlen(text) + 1, ret = r->size;

    if (r->texts_room - r->size < size) {
        r->texts_room = 2 * r->texts_room + size;
        r->texts = tool_realloc(r->texts, r->texts_room);
    }
    memcpy(r->texts + ret, text, size);
    r->size += size;
    return ret;
}

static void read_add(struct read_rows *r, uint64_t time, const char *text, const char *json)
{
    if (r->count == r->room) {
        r->room = r->room > 0 ? 2 * r->room : 64;
        r->all = tool_realloc(r->all, r->room * sizeof *r->all);
    }
    r->all[r->count].time = time;
    r->all[r->count].text = read_text(r, text);
    r->all[r->count++].json = read_text(r, json);
}

static void read_tell(struct read_rows *r, const struct history_reader *reader)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct read_row *is = &r->all[i];

        reader->row(reader->user,
                    &(struct history_row){.time = is->time, .text = r->texts + is->text, .json = r->texts + is->json});
    }
}

static bool history_read_rows(sqlite3 *db, const struct history_wanted *w, uint64_t most, struct read_rows *ret)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, rows, -1, &s, NULL);

    if (rc != SQLITE_OK) return false;
    sqlite3_bind_int64(s, 1, w->since <= INT64_MAX ? (int64_t)w->since : INT64_MAX);
    if (w->kind != NULL) sqlite3_bind_text(s, 2, w->kind, -1, SQLITE_STATIC);
    if (w->service != NULL) sqlite3_bind_text(s, 3, w->service, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 4, most <= INT64_MAX ? (int64_t)most : -1);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(s, 1), *json = (const char *)sqlite3_column_text(s, 2);

        if (text != NULL && json != NULL) read_add(ret, (uint64_t)sqlite3_column_int64(s, 0), text, json);
    }
    sqlite3_finalize(s);
    return rc == SQLITE_DONE;
}

static bool read_cursor(sqlite3 *db, const char *identity, struct history_cursor *ret)
{
    sqlite3_stmt *s = NULL;
    int64_t segment = 0;
    int rc;

    ret->next = 1;
    if (identity == NULL) return true;
    rc = sqlite3_prepare_v2(db, "SELECT id FROM segment WHERE identity = ?1", -1, &s, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_text(s, 1, identity, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) segment = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    if (rc == SQLITE_DONE) return true; /* nothing of it is kept */
    return rc == SQLITE_ROW && history_cursor_read(db, segment, ret) == 0;
}

static bool history_read_all(sqlite3 *db, const char *identity, const struct history_wanted *wanted,
                             const struct history_reader *reader, struct read_rows *ret)
{
    struct history_cursor at = {.next = 1};
    uint64_t most;

    if (!read_cursor(db, identity, &at)) return false;
    most = reader->kept(reader->user, &at);
    free(at.holes);
    return history_read_rows(db, wanted, most, ret);
}

int history_read(const char *folder, const char *identity, const struct history_wanted *wanted, const struct history_reader *reader,
                 uint64_t *ret_rotated, char why[HISTORY_WHY])
{
    char *path = tool_format("%s/%s", folder, HISTORY_FILE);
    struct read_rows found = {.count = 0};
    sqlite3 *db = NULL;
    int64_t layout = -1;
    bool good;

    if (access(path, F_OK) != 0) {
        bool none = errno == ENOENT || errno == ENOTDIR;

        if (!none) ap_format(why, HISTORY_WHY, "cannot read %s: %s", AP_SHOWN(path, 256), strerror(errno));
        free(path);
        return none ? 0 : -1;
    }
    good = history_file_read(path, &db) == SQLITE_OK;
    if (good) good = history_run(db, "BEGIN") == SQLITE_OK; /* from the first read on: one moment */
    if (good) layout = history_number(db, "PRAGMA user_version", -1);
    if (good && layout > 0 && layout <= HISTORY_LAYOUT) good = history_read_all(db, identity, wanted, reader, &found);
    if (good && layout == HISTORY_LAYOUT) *ret_rotated = (uint64_t)history_number(db, "SELECT events FROM rotated", 0);
    if (!good || layout < 0) history_fault(db, "cannot read", path, why);
    if (layout > HISTORY_LAYOUT) ap_format(why, HISTORY_WHY, "%s is of a newer apiary", AP_SHOWN(path, 256));
    sqlite3_close(db);
    free(path);
    read_tell(&found, reader); /* those before a fault, too */
    free(found.all);
    free(found.texts);
    return !good || layout < 0 || layout > HISTORY_LAYOUT ? -1 : layout > 0; /* 0: it is being made */
}
