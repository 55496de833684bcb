/* tools/history/history.c - the history's file: opened, made, rotated. See history.h. */
#include "tools/history/history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/text.h"
#include "tools/common/state.h"

#define BUSY 1000 /* ms that another writer of the file may take */

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

/* ---- SQLite ------------------------------------------------------------------------------------------------------- */

int history_run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

void history_fault(sqlite3 *db, const char *what, const char *path, char why[HISTORY_WHY])
{
    int error = db != NULL ? sqlite3_system_errno(db) : 0;

    ap_format(why, HISTORY_WHY, "%s %s: %s%s%s", what, AP_SHOWN(path, 256), db != NULL ? sqlite3_errmsg(db) : "out of memory",
              error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
}

int64_t history_number(sqlite3 *db, const char *sql, int64_t otherwise)
{
    sqlite3_stmt *s = NULL;
    int64_t ret = otherwise;

    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) ret = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return ret;
}

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

static bool history_lock(struct history *h, const char *folder)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *path = tool_format("%s/" HISTORY_LOCK, folder);

    h->lock = ap_fd_open(path, O_RDWR | O_CREAT, 0600);
    if (h->lock < 0) ap_format(h->why, sizeof h->why, "cannot make %s: %s", AP_SHOWN(path, 256), strerror(errno));
    free(path);
    if (h->lock < 0) return false;
    if (fcntl(h->lock, F_OFD_SETLK, &whole) == 0) return true;
    if (errno == EAGAIN || errno == EACCES)
        ap_format(h->why, sizeof h->why, "another apiaryd keeps its events in %s", AP_SHOWN(folder, 256));
    else ap_format(h->why, sizeof h->why, "cannot lock %s/" HISTORY_LOCK ": %s", AP_SHOWN(folder, 256), strerror(errno));
    return false;
}

/* For its owner alone, whatever the folder is: SQLite gives what it makes beside a file the mode of that. */
static int history_make_file(struct history *h)
{
    int fd = ap_fd_open(h->path, O_RDWR | O_CREAT, 0600);
    bool good = fd >= 0 && fchmod(fd, 0600) == 0;

    if (!good) ap_format(h->why, sizeof h->why, "cannot open %s: %s", AP_SHOWN(h->path, 256), strerror(errno));
    if (fd >= 0) close(fd);
    return good ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int history_prepare(struct history *h)
{
    int rc = sqlite3_prepare_v2(h->db, "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", -1, &h->put, NULL);

    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(h->db, "INSERT INTO hole VALUES (?1, ?2)", -1, &h->hole, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(h->db, "DELETE FROM hole WHERE segment = ?1 AND number = ?2", -1, &h->fill, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(h->db, "UPDATE segment SET next = ?2 WHERE id = ?1", -1, &h->advance, NULL);
    return rc;
}

/* SQLite's code. */
static int history_open_file(struct history *h)
{
    int rc = history_make_file(h);
    int64_t layout = -1;

    if (rc != SQLITE_OK) return rc;
    rc = sqlite3_open_v2(h->path, &h->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_busy_timeout(h->db, BUSY);
    if (rc == SQLITE_OK) rc = history_run(h->db, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                                                 "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 1048576");
    if (rc == SQLITE_OK) layout = history_number(h->db, "PRAGMA user_version", -1);
    if (rc == SQLITE_OK && layout < 0) rc = sqlite3_errcode(h->db);
    if (rc == SQLITE_OK && layout == 0) rc = history_run(h->db, schema);
    if (rc == SQLITE_OK && layout > HISTORY_LAYOUT) {
        ap_format(h->why, sizeof h->why, "%s is of a newer apiary", AP_SHOWN(h->path, 256));
        return SQLITE_MISMATCH;
    }
    if (rc == SQLITE_OK) rc = history_prepare(h);
    if (rc != SQLITE_OK) history_fault(h->db, "cannot open", h->path, h->why);
    return rc & 0xff;
}

static void history_close_file(struct history *h)
{
    sqlite3_finalize(h->put);
    sqlite3_finalize(h->hole);
    sqlite3_finalize(h->fill);
    sqlite3_finalize(h->advance);
    sqlite3_close(h->db);
    h->put = h->hole = h->fill = h->advance = NULL;
    h->db = NULL;
}

/* Of several the newest stays: a disk that goes bad damages one after the other. */
static void remove_older(const struct history *h, const char *newest)
{
    size_t folder_size = strlen(h->path) - strlen("/" HISTORY_FILE);
    char *name = tool_format("%.*s", (int)folder_size, h->path);
    DIR *folder = opendir(name);

    free(name);
    if (folder == NULL) return;
    for (const struct dirent *e = readdir(folder); e != NULL; e = readdir(folder))
        if (strncmp(e->d_name, HISTORY_FILE ".damaged-", strlen(HISTORY_FILE ".damaged-")) == 0 &&
            strncmp(e->d_name, newest, strlen(newest)) != 0)
            (void)unlinkat(dirfd(folder), e->d_name, 0);
    closedir(folder);
}

/* With what belongs to it: the new file must not be taken for the other half of an old one. */
static void history_put_aside(struct history *h)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    char *newest = tool_format("%s.damaged-%" PRIu64, HISTORY_FILE, ap_ops_system.realtime() / UINT64_C(1000000000));
    char said[HISTORY_WHY];

    history_close_file(h);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *from = tool_format("%s%s", h->path, parts[i]);
        char *to = tool_format("%.*s%s%s", (int)(strlen(h->path) - strlen(HISTORY_FILE)), h->path, newest, parts[i]);

        if (rename(from, to) != 0) (void)unlink(from);
        free(from);
        free(to);
    }
    remove_older(h, newest);
    ap_format(said, sizeof said, "%s; it was put aside as %s", AP_SHOWN(h->why, 300), newest);
    memcpy(h->why, said, sizeof h->why);
    free(newest);
}

void history_failed(struct history *h, int code)
{
    code &= 0xff;
    if ((code == SQLITE_CORRUPT || code == SQLITE_NOTADB) && !history_gone(h)) history_put_aside(h);
}

/* The row of this segment, and how far it was read. */
static int history_find_segment(struct history *h, const struct ap_segment *seg)
{
    char identity[HISTORY_IDENTITY];
    sqlite3_stmt *s = NULL;
    int rc;

    history_identity(seg, identity);
    rc = sqlite3_prepare_v2(h->db, "INSERT INTO segment (identity, next) VALUES (?1, 1)"
                                   " ON CONFLICT DO UPDATE SET next = next RETURNING id", -1, &s, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_text(s, 1, identity, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        h->segment = sqlite3_column_int64(s, 0);
        rc = sqlite3_step(s); /* the write ends with the statement */
    }
    sqlite3_finalize(s);
    if (rc == SQLITE_DONE && history_cursor_read(h->db, h->segment, &h->at) == 0) return SQLITE_OK;
    history_fault(h->db, "cannot write", h->path, h->why);
    return sqlite3_errcode(h->db) & 0xff;
}

static bool history_open_in(struct history *h, const char *folder, const struct ap_segment *seg)
{
    struct stat st;
    int rc;

    if (ap_state_make(folder, h->why, sizeof h->why) != 0 || !history_lock(h, folder)) return false;
    rc = history_open_file(h);
    if (rc == SQLITE_OK) rc = history_find_segment(h, seg);
    if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB) {
        history_put_aside(h);
        rc = history_open_file(h);
        if (rc == SQLITE_OK) rc = history_find_segment(h, seg);
    }
    if (rc != SQLITE_OK) return false;
    if (stat(h->path, &st) != 0) {
        ap_format(h->why, sizeof h->why, "cannot find %s: %s", AP_SHOWN(h->path, 256), strerror(errno));
        return false;
    }
    h->device = st.st_dev;
    h->inode = st.st_ino;
    return true;
}

struct history *history_open(const char *folder, const struct ap_segment *seg, const struct history_limits *limits,
                             char why[HISTORY_WHY])
{
    struct history *h = tool_alloc(sizeof *h);
    bool good;

    *h = (struct history){.limits = *limits, .lock = -1};
    h->path = tool_format("%s/%s", folder, HISTORY_FILE);
    good = history_open_in(h, folder, seg);
    memcpy(why, h->why, HISTORY_WHY);
    if (good) return h;
    history_close(h);
    return NULL;
}

void history_close(struct history *h)
{
    if (h == NULL) return;
    history_close_file(h);
    if (h->lock >= 0) close(h->lock);
    free(h->at.holes);
    free(h->path);
    free(h);
}

bool history_gone(const struct history *h)
{
    struct stat st;

    return stat(h->path, &st) != 0 || st.st_dev != h->device || st.st_ino != h->inode;
}

/* ---- rotation ------------------------------------------------------------------------------------------------------ */

static uint64_t history_size(sqlite3 *db)
{
    int64_t pages = history_number(db, "PRAGMA page_count", 0), unused = history_number(db, "PRAGMA freelist_count", 0);

    return (uint64_t)(pages - unused) * (uint64_t)history_number(db, "PRAGMA page_size", 0);
}

/* Deletes what the condition says, and counts it: SQLite's code. */
static int rotate_some(struct history *h, const char *which, bool *ret_some)
{
    char *sql = tool_format("BEGIN IMMEDIATE; DELETE FROM event WHERE %s;"
                            "UPDATE rotated SET events = events + changes(); COMMIT", which);
    int64_t before = history_number(h->db, "SELECT events FROM rotated", 0);
    int rc = history_run(h->db, sql);

    free(sql);
    *ret_some = rc == SQLITE_OK && history_number(h->db, "SELECT events FROM rotated", 0) > before;
    return rc;
}

/* Segments of which nothing is kept any more, and the room of what has gone. */
static int rotate_rest(struct history *h)
{
    char which[192];
    int rc;

    snprintf(which, sizeof which, "DELETE FROM segment WHERE id != %" PRId64 " AND id NOT IN (SELECT segment FROM event)",
             h->segment);
    rc = history_run(h->db, which);
    if (rc == SQLITE_OK) rc = history_run(h->db, "DELETE FROM hole WHERE segment NOT IN (SELECT id FROM segment)");
    return rc == SQLITE_OK ? history_run(h->db, "PRAGMA incremental_vacuum") : rc;
}

int history_rotate(struct history *h, uint64_t now)
{
    uint64_t oldest = now > h->limits.age ? now - h->limits.age : 0;
    char which[192];
    bool some, more = true;
    int rc;

    snprintf(which, sizeof which, "time < %" PRIu64, oldest <= INT64_MAX ? oldest : INT64_MAX);
    rc = rotate_some(h, which, &some);
    while (rc == SQLITE_OK && more && history_size(h->db) > h->limits.bytes) {
        rc = rotate_some(h, "(segment, number) IN (SELECT segment, number FROM event ORDER BY time, segment, number"
                            " LIMIT (SELECT 1 + count(*) / 10 FROM event))", &more);
        some |= more;
    }
    if (rc == SQLITE_OK && some) rc = rotate_rest(h);
    if (rc == SQLITE_OK) return rc;
    history_fault(h->db, "cannot make room in", h->path, h->why);
    if (!sqlite3_get_autocommit(h->db)) (void)history_run(h->db, "ROLLBACK");
    return rc;
}

int history_settle(struct history *h)
{
    int rc = sqlite3_wal_checkpoint_v2(h->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

    if (rc == SQLITE_OK) return 0;
    if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED) return 1; /* a reader's moment: the next time */
    history_fault(h->db, "cannot write", h->path, h->why);
    history_failed(h, rc);
    return -1;
}
