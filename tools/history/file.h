/* tools/history/file.h - a database (SQLite) of the coordinator in the segment's state directory: opened, made, put aside.
 *
 * WRITER    One at a time: the holder of a lock on a file beside it, which the kernel drops at its death.
 * MODE      For its owner alone, and so is what SQLite has beside it.
 * DAMAGE    A file that is no database any more, found so when it is opened or written, is put aside under another name; of
 *           several the newest stays.
 * POWER     A death of processes loses nothing that was committed. A loss of power loses what came after the last checkpoint; the
 *           file stays a database.
 * THREADS   One at a time.
 */
#ifndef AP_TOOLS_HISTORY_FILE_H
#define AP_TOOLS_HISTORY_FILE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/must_check.h"

#define HISTORY_WHY 512u

struct history_file {
    sqlite3 *db; /* NULL: not open */
    char *path;
    const char *name; /* the last part of it */
    int lock;         /* -1: not held */
    uint64_t device, inode;
    char why[HISTORY_WHY]; /* a sentence, after a failure */
};

/* Makes the folder, takes the lock. `what` names the content in sentences. *f is {.lock = -1} before; history_file_end follows in
 * any case. */
AP_MUST_CHECK bool history_file_begin(struct history_file *f, const char *folder, const char *name, const char *lock,
                                      const char *what);
/* Opens it, with the schema where it is new: SQLite's code. */
AP_MUST_CHECK int history_file_open(struct history_file *f, const char *schema, int layout);
/* Notes which file it is, for history_file_gone. */
AP_MUST_CHECK bool history_file_note(struct history_file *f);
AP_MUST_CHECK bool history_file_gone(const struct history_file *f);
/* Its statements are gone with it. */
void history_file_put_aside(struct history_file *f);
/* After a failure that f->why tells: puts a damaged file aside, and says so there. */
void history_file_failed(struct history_file *f, int code);
/* Has what was committed reach the disk, which takes its time: 0; 1: others are at it; -1, and a sentence: it failed. */
AP_MUST_CHECK int history_file_settle(struct history_file *f);
void history_file_end(struct history_file *f);

/* For a reader that may not write there, too: SQLite's code. *ret is to be closed in any case. */
int history_file_read(const char *path, sqlite3 **ret);

/* Runs statements without results: SQLite's code. */
int history_run(sqlite3 *db, const char *sql);
/* The sentence for the last error. */
void history_fault(sqlite3 *db, const char *what, const char *path, char why[HISTORY_WHY]);
/* The first column of the first row; `otherwise` where there is none or it fails. */
int64_t history_number(sqlite3 *db, const char *sql, int64_t otherwise);
/* Bytes in use. */
uint64_t history_size(sqlite3 *db);

#endif
