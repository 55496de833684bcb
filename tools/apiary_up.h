/* tools/apiary_up.h - shared by the parts of `apiary up`: the processes that it starts, waits for and shows. */
#ifndef AP_TOOLS_APIARY_UP_H
#define AP_TOOLS_APIARY_UP_H

#include "core/must_check.h"
#include "tools/apiary_config.h"
#include "tools/apiary_crew.h"
#include "tools/apiary_rows.h"

struct up {
    struct tool *t;
    struct ap_deployment *d;
    struct config_keeper config;
    const char *path, *segment, *level;
    struct crew *crew;
    apiary_t *a;
    struct check_rows rows;
    struct crew_child *daemon;
    size_t first_queen; /* in the crew; the rest are queens */
    struct queen *queens;
    size_t queen_count;
    uint64_t *former; /* keys of the instances that other supervisors have run here */
    size_t former_count;
    ino_t program; /* of the queens; 0: none has been seen at work */
    dev_t program_device;
    char *daemon_path;
    bool once, owned, replace; /* owned: the segment is to be removed at the end */
    bool ready;                /* the service manager has been told */
    bool hidden;               /* no row was left for an instance, and that was reported */
    uint64_t wait, drain;
};

/* One instance of a service. */
struct queen {
    const struct ap_deployment_swarm *swarm;
    uint32_t number;
    struct crew_child *child;
    bool passes, drained; /* at the last look: its own process, not another one of that name */
    bool passed;          /* once at least */
    bool registered;
    bool shown; /* has a row in the segment: `row`, in which `last` stands */
    uint32_t row;
    struct ap_supervision last;
};

/* ---- apiary_queens.c ------------------------------------------------------------------------------------------------ */

void queens_add(struct up *up);
/* For crew_prepare: the input of a process at each start. */
bool queens_prepare(void *up, struct crew_child *child);
/* For crew_watch: records a child's state in the segment, for observers in other processes. */
void queens_tell(void *up, struct crew_child *child);
/* Looks at all of them; whether every one passes or is drained. */
bool queens_look(struct up *up);
/* Waits for all queens: TOOL_OK when all pass, else the exit code, and the reason was printed. With --once it ends at the first
 * one that cannot start; else it does not wait for a service that keeps ending. */
AP_MUST_CHECK int queens_wait(struct up *up);
/* "bad/0 is down: ended with code 2, started 7 times: its last words"; NULL when it is not down. To be freed. */
char *queen_trouble(const struct queen *q);
/* Turns the crew until `done`; TOOL_OK, TOOL_TIMEOUT after `limit` ns, or TOOL_FAILED at an interrupt. */
AP_MUST_CHECK int up_wait(struct up *up, uint64_t limit, bool (*done)(struct up *));

#endif
