/* tools/history/history.h - the history: the events of a segment's log, kept in a database (SQLite) that outlives the segment.
 *
 * WHERE     The file "events.db" in the segment's state directory (tools/common/state.h). Segments that had the same name one after
 *           the other share it; each is told by its identity.
 * WRITER    1 One at a time: the holder of a lock on "events.lock" beside it.
 *           2 The kept events and how far the log was read are written by one transaction. So after a death at any instruction
 *           no event is kept twice, and none is passed over that the log still has.
 * HOLES     1 A number whose record is not written yet is a hole. It is noted, and looked at again in each round.
 *           2 Events that were overwritten before they were read, holes included, are kept as one entry: so many are lost.
 * NAMES     Names are those of the moment in which an event was kept.
 * ROTATION  Entries older than the age go, and when the file would become larger than its size the oldest tenth, as often as
 *           needed. How many have gone is counted.
 * FAILURE   1 A round that fails, on a full disk say, has written nothing, and the next one begins where it began.
 *           2 Where no room can be made, new events are kept all the same, and it is tried again after an hour.
 * FILE      Its lock, its mode, what damages it, a loss of power: file.h.
 * READERS   Any number, beside the writer (write-ahead log); they wait for nobody. Rows are told after the reader's transaction
 *           has ended, so that one who is slow to take it holds nobody up.
 */
#ifndef AP_TOOLS_HISTORY_H
#define AP_TOOLS_HISTORY_H

#include "tools/common/event.h"
#include "tools/history/file.h"

#define HISTORY_FILE "events.db"
#define HISTORY_LOCK "events.lock"
#define HISTORY_LAYOUT 1 /* PRAGMA user_version */
#define HISTORY_IDENTITY 96u

struct history_limits {
    uint64_t age;   /* ns */
    uint64_t bytes;
};

/* How far a segment's log was read: up to `next`, but for the holes before it. */
struct history_cursor {
    uint64_t next;
    uint64_t *holes;
    size_t count;
};

struct history {
    struct history_file file;
    sqlite3_stmt *put, *hole, *fill, *advance;
    struct history_limits limits;
    int64_t segment; /* its row */
    struct history_cursor at;
    uint64_t rotated; /* CLOCK_MONOTONIC, when it was done last */
    uint32_t since;   /* kept since then */
    bool crammed;     /* it failed then */
};

/* A text that no other segment has. */
void history_identity(const struct ap_segment *seg, char ret[HISTORY_IDENTITY]);

/* NULL, and a sentence in `why`: it cannot be written. A damaged file is put aside, which `why` tells, too; else that is "". */
struct history *history_open(const char *folder, const struct ap_segment *seg, const struct history_limits *limits,
                             char why[HISTORY_WHY]);
void history_close(struct history *h); /* NULL is allowed */

/* Whether a round has something to do: it costs no call of the system. */
AP_MUST_CHECK bool history_due(const struct history *h, const struct ap_segment *seg);
/* One round: keeps what is new in the log, and makes room. How many entries were kept; h->file.why is "", or a sentence: no room
 * could be made, which is tried again. -1, and a sentence in h->file.why: it failed, and the history is to be closed. */
AP_MUST_CHECK int history_keep(struct history *h, const struct ap_segment *seg);
/* Has what was kept reach the disk, which takes its time: 0; 1: others are at it, it is to be tried again; -1 as above. */
AP_MUST_CHECK int history_settle(struct history *h);
/* The file is there no more, or is another one: it is to be opened anew. */
AP_MUST_CHECK bool history_gone(const struct history *h);

/* ---- reading ------------------------------------------------------------------------------------------------------- */

struct history_wanted {
    uint64_t since; /* CLOCK_REALTIME */
    const char *kind, *service; /* NULL: all */
};

struct history_row {
    uint64_t time;
    const char *text, *json;
};

/* The functions of a reader. */
struct history_reader {
    /* Called first: how far the given segment's log was kept. Returns how many rows are wanted at most. */
    uint64_t (*kept)(void *user, const struct history_cursor *at);
    void (*row)(void *user, const struct history_row *row); /* the oldest first; outside the database: it may take its time */
    void *user;
};

/* Reads one moment of the database: 1, and how many entries have gone because of age or size; 0: there is no database; -1, and a
 * sentence in `why`. `identity`: of the segment whose cursor is told; NULL: of none. */
AP_MUST_CHECK int history_read(const char *folder, const char *identity, const struct history_wanted *wanted,
                               const struct history_reader *reader, uint64_t *ret_rotated, char why[HISTORY_WHY]);

/* ---- inside ---------------------------------------------------------------------------------------------------------- */

/* Next and holes of a segment's row: 0, or -1. */
AP_MUST_CHECK int history_cursor_read(sqlite3 *db, int64_t segment, struct history_cursor *ret);
/* Makes room by age and size: SQLite's code, and a sentence in h->file.why where it fails. */
int history_rotate(struct history *h, uint64_t now);

#endif
