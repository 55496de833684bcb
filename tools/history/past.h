/* tools/history/past.h - the past: a week of what is counted, in a database (SQLite) that outlives the segment.
 *
 * WHERE     The file "past.db" in the segment's state directory. Segments that had the same name one after the other share it.
 * ROWS      A row is a service, an agent of an instance, or a pair: a caller's tasks of a capability at a service. A row that is
 *           not in a step counted nothing then, and nothing was queued or running.
 * STEPS     1 A step is what came between two looks at the segment, at most PAST_LATEST apart; it ends at a multiple of its width.
 *           Of each row it has what the counters have gone up by (tools/view/past_look.h), the gauges, and two histograms of
 *           times. Steps are added field by field and bucket by bucket; of a gauge the largest stays.
 *           2 Of each width of PAST_LEVELS there are steps as long as the level says. When a wider step is over, it is made of
 *           those of the level before, in the same transaction as the next of these; after a death with the next step.
 *           3 `watched` is how much of its width somebody looked. A rate is a count by the time watched.
 * GAPS      A gap is a time in which nobody looked, or in which nothing could be written. Tasks that were counted meanwhile are in
 *           no step. A gap is kept as its own row, with its ends to the millisecond, so steps of any width tell the same gaps.
 * CLOCK     Steps have the time of the wall clock. Where that is set, the time between is a gap. Where it is set back, the steps
 *           that lie after now are dropped.
 * ROOM      When the file is larger than its size, the oldest tenth of the finest steps goes, down to PAST_FEWEST of them, then
 *           that of the next level.
 * WRITER    One at a time: the holder of a lock on "past.lock" beside it. The rest is in file.h.
 * READERS   Any number, beside the writer; they wait for nobody.
 */
#ifndef AP_TOOLS_PAST_H
#define AP_TOOLS_PAST_H

#include "registry/registry.h"
#include "shm/times.h"
#include "tools/history/file.h"

#define PAST_FILE "past.db"
#define PAST_LOCK "past.lock"
#define PAST_LAYOUT 1 /* PRAGMA user_version */
#define PAST_BYTES (UINT64_C(2) << 30)
#define PAST_FEWEST 360

/* X(width, how long it is kept), in ms. Each width is a multiple of the one before. */
#define PAST_LEVELS(X)                   \
    X(10000, UINT64_C(7200000))          \
    X(60000, UINT64_C(86400000))         \
    X(600000, UINT64_C(8) * 86400000)
#define PAST_LEVEL_COUNT 3
#define PAST_LATEST 30000 /* ms between two looks, else it is a gap */
struct past_level {
    int64_t width, kept; /* ms */
};
extern const struct past_level past_levels[PAST_LEVEL_COUNT];

/* X(ID, name in JSON, what); first the counters, then the gauges. */
#define PAST_COUNTERS(X)                                                                  \
    X(DONE, "done", "tasks that ended well")                                              \
    X(FAILED, "failed", "tasks that failed, whatever the cause")                           \
    X(LATE, "late", "of these: ended by the agent after they had been given up")          \
    X(CANCELLED, "cancelled", "tasks that were cancelled")                                \
    X(CRASHED, "crashed", "of the failed: given up since their workers had died")         \
    X(RETRIED, "retried", "starts that failed and after which the task was put back")     \
    X(REFUSED, "refused", "delegations that were not accepted")                           \
    X(LOST, "lost", "starts that ended with their worker")                                \
    X(WAITED, "waited_ns", "of a pair: the sum of what its starts had waited, in ns")     \
    X(RAN, "ran_ns", "of a pair: the sum of what they ran, in ns")                        \
    X(CPU, "cpu_ns", "of a service: processor time of its queens, in ns")
#define PAST_GAUGES(X)                                                                    \
    X(QUEUED, "queued", "tasks that waited")                                              \
    X(RUNNING, "running", "tasks that ran")                                               \
    X(OLDEST, "oldest_ns", "how long the oldest of them had waited, in ns")               \
    X(MEMORY, "memory_bytes", "of a service: memory of its queens' own, in bytes")
enum past_field {
#define X(id, name, what) PAST_##id,
    PAST_COUNTERS(X) PAST_GAUGES(X)
#undef X
        PAST_FIELDS
};
#define PAST_FIRST_GAUGE PAST_QUEUED
#define PAST_UNKNOWN UINT64_MAX /* of a gauge */
extern const char *const past_field_names[PAST_FIELDS];

enum past_kind { PAST_SERVICE, PAST_AGENT, PAST_PAIR };
struct past_name {
    enum past_kind kind;
    char service[APIARY_NAME_MAX + 1];
    char of[APIARY_NAME_MAX + 1];        /* an agent's instance, a pair's caller ("-": none); "" */
    char what[APIARY_CAPABILITY_MAX + 1]; /* the agent, the capability; "" */
};
/* By kind, service, `of`, `what`. */
int past_name_compare(const void *a, const void *b);

/* A row in a step, or of several added. */
struct past_row {
    struct past_name name;
    uint64_t numbers[PAST_FIELDS];
    struct ap_spread waited, ran;
};
/* A row of which nothing is counted and no gauge known. */
void past_row_clear(struct past_row *row);
void past_row_add(struct past_row *to, const struct past_row *more);

/* Text that grows, for encoded rows. */
struct past_bytes {
    unsigned char *bytes;
    size_t size, room;
};
/* past_code.c. Appends a row, unless there is nothing in it: whether it has. The number stands for the name. */
bool past_encode(struct past_bytes *to, uint64_t number, const struct past_row *row);
/* Walks over encoded rows: 1, *number and *row (its name is not touched; NULL: it is passed over); 0 at the end; -1: it is damaged,
 * and the rest of the step is nothing. */
AP_MUST_CHECK int past_decode(const unsigned char *bytes, size_t size, size_t *at, uint64_t *number, struct past_row *row);

/* ---- writing ------------------------------------------------------------------------------------------------------- */

struct past {
    struct history_file file;
    sqlite3_stmt *put, *name;
    struct past_named {
        struct past_name name;
        int64_t id;
        bool seen; /* since it was last noted when */
    } *names; /* by name */
    size_t name_count, name_room;
    int64_t last; /* the end of the newest step that was written; 0: there is none */
    uint64_t bytes;
};

/* NULL, and a sentence in `why`: it cannot be written. A damaged file is put aside, which `why` tells, too; else that is "". */
struct past *past_open(const char *folder, uint64_t bytes, char why[HISTORY_WHY]);
void past_close(struct past *p); /* NULL is allowed */

/* Somebody begins to look, at this time of the wall clock in ms: nothing is known of the time since the newest step, nor of steps
 * that lie after now. 0, or -1 with a sentence in p->file.why: the past is to be closed. */
AP_MUST_CHECK int past_begin(struct past *p, int64_t now);
/* A step that ends `at`, a multiple of the finest width: 0, or -1 as above. `watched`: ms. */
AP_MUST_CHECK int past_keep(struct past *p, int64_t at, int64_t watched, const struct past_row *rows, size_t count);

/* ---- reading ------------------------------------------------------------------------------------------------------- */

struct past_wanted {
    int64_t since, until, step; /* ms of the wall clock; step: as past_step_width tells it */
    int64_t after;              /* steps that end later only; they are as wide as those from `since` on */
    enum past_kind kind;        /* PAST_SERVICE: with all that its agents count */
    const char *service;        /* NULL: all */
    size_t most_rows;           /* that may be meant at all, each of which takes room; 0: any number */
    uint64_t most_bytes;        /* that are read, of what is kept, and at least one step that is kept; 0: all */
};
/* A step at least as wide of which wider steps are made; 0: one with which so long a window has 300 steps or fewer. */
int64_t past_step_width(int64_t step, int64_t window);
/* The kind of "services", "agents", "pairs": false, none. */
AP_MUST_CHECK bool past_kind_of(const char *text, enum past_kind *ret);
struct past_gap {
    int64_t from, to;
};
struct past_step {
    int64_t at, watched; /* ms; its end */
    size_t count;
    const struct past_row *rows; /* by name */
};
struct past_reader {
    /* Steps, the oldest first. False: that is enough. */
    bool (*step)(void *user, const struct past_step *step);
    void (*gap)(void *user, const struct past_gap *gap); /* before all steps, the oldest first */
    void *user;
};
/* 1, and the end of the first and the last step that are kept at all (0: none), and the step's width that was told, which is as
 * wanted, or wider where finer steps are not kept so long; 0: there is no database; -1, and a sentence in `why`; PAST_WIDE: the
 * same, since more rows are meant than may be. `next`: the bytes did not reach further, and this is `after` of the next part, which
 * may begin within the last step that was told; 0: they did. */
#define PAST_WIDE (-2)
struct past_told {
    int64_t first, last, step, next;
};
AP_MUST_CHECK int past_read(const char *folder, const struct past_wanted *wanted, const struct past_reader *reader,
                            struct past_told *ret, char why[HISTORY_WHY]);

#endif
