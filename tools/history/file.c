/* tools/history/file.c - see file.h. */
#include "tools/history/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/ops.h"
#include "core/text.h"
#include "tools/common/common.h"
#include "tools/common/state.h"

#define BUSY 1000 /* ms that another writer of the file may take */

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

uint64_t history_size(sqlite3 *db)
{
    int64_t pages = history_number(db, "PRAGMA page_count", 0), unused = history_number(db, "PRAGMA freelist_count", 0);

    return (uint64_t)(pages - unused) * (uint64_t)history_number(db, "PRAGMA page_size", 0);
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static bool file_lock(struct history_file *f, const char *folder, const char *name, const char *what)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *path = tool_format("%s/%s", folder, name);

    f->lock = ap_fd_open(path, O_RDWR | O_CREAT, 0600);
    if (f->lock < 0) ap_format(f->why, sizeof f->why, "cannot make %s: %s", AP_SHOWN(path, 256), strerror(errno));
    free(path);
    if (f->lock < 0) return false;
    if (fcntl(f->lock, F_OFD_SETLK, &whole) == 0) return true;
    if (errno == EAGAIN || errno == EACCES)
        ap_format(f->why, sizeof f->why, "another apiaryd keeps its %s in %s", what, AP_SHOWN(folder, 256));
    else ap_format(f->why, sizeof f->why, "cannot lock %s/%s: %s", AP_SHOWN(folder, 256), name, strerror(errno));
    return false;
}

bool history_file_begin(struct history_file *f, const char *folder, const char *name, const char *lock, const char *what)
{
    f->path = tool_format("%s/%s", folder, name);
    f->name = name;
    return ap_state_make(folder, f->why, sizeof f->why) == 0 && file_lock(f, folder, lock, what);
}

/* For its owner alone, whatever the folder is: SQLite gives what it makes beside a file the mode of that. */
static int file_make(struct history_file *f)
{
    int fd = ap_fd_open(f->path, O_RDWR | O_CREAT, 0600);
    bool good = fd >= 0 && fchmod(fd, 0600) == 0;

    if (!good) ap_format(f->why, sizeof f->why, "cannot open %s: %s", AP_SHOWN(f->path, 256), strerror(errno));
    if (fd >= 0) close(fd);
    return good ? SQLITE_OK : SQLITE_CANTOPEN;
}

int history_file_open(struct history_file *f, const char *schema, int layout)
{
    int rc = file_make(f);
    int64_t is = -1;

    if (rc != SQLITE_OK) return rc;
    rc = sqlite3_open_v2(f->path, &f->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_busy_timeout(f->db, BUSY);
    if (rc == SQLITE_OK) rc = history_run(f->db, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                                                 "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 1048576");
    if (rc == SQLITE_OK) is = history_number(f->db, "PRAGMA user_version", -1);
    if (rc == SQLITE_OK && is < 0) rc = sqlite3_errcode(f->db);
    if (rc == SQLITE_OK && is == 0) rc = history_run(f->db, schema);
    if (rc == SQLITE_OK && is > layout) {
        ap_format(f->why, sizeof f->why, "%s is of a newer apiary", AP_SHOWN(f->path, 256));
        return SQLITE_MISMATCH;
    }
    if (rc != SQLITE_OK) history_fault(f->db, "cannot open", f->path, f->why);
    return rc & 0xff;
}

bool history_file_note(struct history_file *f)
{
    struct stat st;

    if (stat(f->path, &st) != 0) {
        ap_format(f->why, sizeof f->why, "cannot find %s: %s", AP_SHOWN(f->path, 256), strerror(errno));
        return false;
    }
    f->device = st.st_dev;
    f->inode = st.st_ino;
    return true;
}

bool history_file_gone(const struct history_file *f)
{
    struct stat st;

    return stat(f->path, &st) != 0 || st.st_dev != f->device || st.st_ino != f->inode;
}

static void file_close(struct history_file *f)
{
    sqlite3_stmt *s;

    while (f->db != NULL && (s = sqlite3_next_stmt(f->db, NULL)) != NULL) sqlite3_finalize(s);
    sqlite3_close(f->db);
    f->db = NULL;
}

void history_file_end(struct history_file *f)
{
    file_close(f);
    if (f->lock >= 0) close(f->lock);
    f->lock = -1;
    free(f->path);
    f->path = NULL;
}

/* ---- damage ------------------------------------------------------------------------------------------------------- */

/* Of several the newest stays: a disk that goes bad damages one after the other. */
static void remove_older(const struct history_file *f, const char *newest)
{
    char *folder_name = tool_format("%.*s", (int)(strlen(f->path) - strlen(f->name) - 1), f->path);
    char *start = tool_format("%s.damaged-", f->name);
    DIR *folder = opendir(folder_name);

    free(folder_name);
    for (const struct dirent *e = folder != NULL ? readdir(folder) : NULL; e != NULL; e = readdir(folder))
        if (strncmp(e->d_name, start, strlen(start)) == 0 && strncmp(e->d_name, newest, strlen(newest)) != 0)
            (void)unlinkat(dirfd(folder), e->d_name, 0);
    if (folder != NULL) closedir(folder);
    free(start);
}

/* With what belongs to it: the new file must not be taken for the other half of an old one. */
void history_file_put_aside(struct history_file *f)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    char *newest = tool_format("%s.damaged-%" PRIu64, f->name, ap_ops_system.realtime() / UINT64_C(1000000000));
    char said[HISTORY_WHY];

    file_close(f);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *from = tool_format("%s%s", f->path, parts[i]);
        char *to = tool_format("%.*s%s%s", (int)(strlen(f->path) - strlen(f->name)), f->path, newest, parts[i]);

        if (rename(from, to) != 0) (void)unlink(from);
        free(from);
        free(to);
    }
    remove_older(f, newest);
    ap_format(said, sizeof said, "%s; it was put aside as %s", AP_SHOWN(f->why, 300), newest);
    memcpy(f->why, said, sizeof f->why);
    free(newest);
}

void history_file_failed(struct history_file *f, int code)
{
    code &= 0xff;
    if ((code == SQLITE_CORRUPT || code == SQLITE_NOTADB) && !history_file_gone(f)) history_file_put_aside(f);
}

int history_file_settle(struct history_file *f)
{
    int rc = sqlite3_wal_checkpoint_v2(f->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

    if (rc == SQLITE_OK) return 0;
    if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED) return 1; /* a reader's moment: the next time */
    history_fault(f->db, "cannot write", f->path, f->why);
    history_file_failed(f, rc);
    return -1;
}

/* A reader that may not write there cannot share the write-ahead log; where there is none, there is nothing to share. */
int history_file_read(const char *path, sqlite3 **ret)
{
    int rc = sqlite3_open_v2(path, ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    char *log = tool_format("%s-wal", path), *uri = tool_format("file:%s?immutable=1", path);

    if (rc == SQLITE_OK) rc = sqlite3_busy_timeout(*ret, 1000);
    if (rc == SQLITE_OK) rc = history_run(*ret, "SELECT count(*) FROM sqlite_schema");
    rc &= 0xff;
    if ((rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY) && access(log, F_OK) != 0 && strpbrk(path, "?#%") == NULL) {
        sqlite3_close(*ret);
        rc = sqlite3_open_v2(uri, ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
    }
    free(uri);
    free(log);
    return rc;
}
