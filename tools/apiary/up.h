/* tools/apiary/up.h - shared by the parts of `apiary up`: the processes that it starts, waits for and shows. */
#ifndef AP_TOOLS_APIARY_UP_H
#define AP_TOOLS_APIARY_UP_H

#include "core/must_check.h"
#include "tools/apiary/config.h"
#include "tools/apiary/crew.h"
#include "tools/apiary/rows.h"

struct autoscaled;
struct control;
struct live;

/* An instance whose record in the segment is to be forgotten. */
struct up_former {
    uint64_t key;
    uint32_t instance;
    uint64_t seen;      /* its word of the mode when the heir was started */
    struct queen *heir; /* of one that another supervisor has run (former.h); NULL: none */
    bool given;         /* the heir has what an operator has said of it */
};

struct up {
    struct tool *t;
    struct ap_deployment *d;        /* in force */
    struct ap_deployment *former_d; /* until a change of the configuration is over: instances that leave are of it */
    struct config_keeper config;
    const char *path, *segment, *level, *state; /* state: --state */
    uint64_t began; /* CLOCK_REALTIME */
    struct crew *crew;
    apiary_t *a;
    struct check_rows rows;
    struct crew_child *daemon;
    size_t first_queen; /* in the crew; the rest are queens */
    struct queen **queens;
    size_t queen_count;
    struct control *control; /* NULL: none */
    struct live *live;       /* NULL: nothing is shown yet */
    unsigned hangups;        /* that were obeyed */
    struct queen *watched;   /* by the change that is going on */
    int heard;               /* as wire_answered: what came of it */
    char heard_text[512];
    uint64_t until;          /* CLOCK_MONOTONIC: then the one that is watched is killed */
    struct up_former *former; /* instances that are gone */
    size_t former_count;
    struct autoscaled *autoscaled; /* one for each service that is (autoscale.h) */
    size_t autoscaled_count;
    uint64_t by;                   /* AP_EVENT_BY: who has asked for the change that is going on */
    uint64_t looked, resumed; /* CLOCK_MONOTONIC: the last look at the queens; when looks came again after a gap */
    bool terminal;            /* it has begun in a session that has one */
    ino_t program; /* of the queens; 0: none has been seen at work */
    dev_t program_device;
    char *daemon_path;
    bool once, owned, replace; /* owned: the segment is to be removed at the end */
    bool ready;                /* the service manager has been told */
    bool hidden;               /* no row was left for an instance, and that was reported */
    uint64_t wait, drain;
    uint32_t phase_begun; /* the last one of which a service was let go */
};

/* One instance of a service. */
struct queen {
    const struct ap_deployment_swarm *swarm;
    uint32_t number;
    uint64_t runs; /* fingerprint of what it was started with */
    uint64_t says; /* that of what it has taken over since, or was started with */
    uint8_t asked; /* number of what it was last told to take over */
    bool unsure;   /* it was told something and has not answered: what it says may be that, and `says` is what it said before */
    struct crew_child *child;
    uint32_t told; /* starts of its process when it was told */
    bool sure, awaited, adjusted; /* during a change: not `unsure` before; an answer is to come; it has taken over the text */
    bool passes, drained; /* at the last look: its own process, not another one of that name */
    bool passed;          /* once at least */
    bool registered;
    bool works, away;         /* at the last look: it goes on, if only within a task; it is out of the routing */
    uint32_t queued, running; /* its tasks then */
    uint32_t follows;  /* the instance whose place it takes, + 1, until it has; 0: none */
    bool leaves;       /* another one has its place, or nobody */
    bool retires;      /* it leaves when its tasks are done: it is out of the routing, and not told yet */
    bool idle;         /* it retires, and had none at the last look */
    bool fresh, stale; /* during a change: added by it; ran with something else when it began */
    uint64_t since;    /* CLOCK_MONOTONIC: it may be started since then, or is held */
    char *waits;       /* held: the services that it waits for (order.h) */
    bool lost;         /* held: one of them does not come up */
    bool shown;        /* has a row in the segment: `row`, in which `last` stands */
    uint32_t row;
    struct ap_supervision last;
};

/* ---- queens.c ------------------------------------------------------------------------------------------------ */

void queens_add(struct up *up);
/* One more, to be started at the next turn. */
struct queen *queens_new(struct up *up, const struct ap_deployment_swarm *swarm, uint32_t number);
/* Takes out one whose process has ended: nobody is told of it any more. */
void queens_remove(struct up *up, struct queen *q);
void queens_free(struct up *up);
/* The instance under whose name it runs, or ran. */
uint32_t queen_instance(const struct queen *q);
/* Nobody who waits for it should: it is not started again, or keeps ending, or its configuration is refused. */
bool queen_hopeless(const struct queen *q);
/* It is not between two ends: how the last one was is no longer the reason. */
bool queen_runs(const struct queen *q);
/* Its process lives on and has not registered yet: it is not down. Nor is it clear that it will not end as the one before. */
bool queen_starts_slowly(const struct queen *q);
/* For crew_prepare: the input of a process at each start. */
bool queens_prepare(void *up, struct crew_child *child);
/* For crew_watch: records a child's state in the segment, for observers in other processes. */
void queens_tell(void *up, struct crew_child *child);
/* Looks at all of them; whether every one passes or is drained. */
bool queens_look(struct up *up);
/* Waits for all queens: TOOL_OK when all pass, else the exit code, and the reason was printed. With --once it ends at the first
 * one that cannot start; else it does not wait for a service that keeps ending. */
AP_MUST_CHECK int queens_wait(struct up *up);
/* "bad/0 is down: ended with code 2, started 7 times; it said: its last words", or that it starts slowly after such an end, or whom
 * it waits for; NULL when it is none of these. To be freed. */
char *queen_trouble(const struct queen *q);
/* Says where the coordinator's page is, or why it is not served, unless it is not to be. page.c. */
void page_say(struct up *up);
/* Turns the crew until `done`; TOOL_OK, TOOL_TIMEOUT after `limit` ns, or TOOL_FAILED at an interrupt. */
AP_MUST_CHECK int up_wait(struct up *up, uint64_t limit, bool (*done)(struct up *));

#endif
