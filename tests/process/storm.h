/* tests/process/storm.h - what the parts of the storm share: the books, in memory that outlives whoever writes them. */
#ifndef STORM_H
#define STORM_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/apiary.h"
#include "registry/client/client.h"
#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "registry/routing/terms.h"
#include "tests/plugins/stormy.h"
#include "tests/support/leftovers.h"

enum { CLIENTS_MAX = 16, WINDOW = 8, WORK_SPIN = 800000, TASKS_MAX = 200000000, BODY_MAX = 70000, STRANGER_TASKS = 4 };
enum { CHILDREN = TASKS_MAX, NARROW = 2 }; /* the index of a child is its parent's and this; tasks of narrow_echo at once */
/* What its client knows of a task. OFFERED: delegated, and it may end without being run. ENDED: as it was asked to, and not well.
 * UNSTARTED: so, and it was not run. SHARED: it had the result of another one of its dedup key. */
enum { NONE, BEGUN, DELEGATED, COMPLETED, FAILED, OFFERED, ENDED, UNSTARTED, SHARED, KNOWN };

/* One byte each: what the client knows, how often agents ran it; of the latter those of children follow. */
static uint8_t *known, *executed;
static struct stormy_seen *seen;
struct shared {
    uint64_t next;          /* index to give out */
    uint64_t lives;         /* of clients so far */
    uint64_t mix;           /* what decides about the options of each task */
    uint32_t stop;          /* clients finish what is open and leave */
    uint64_t doubled;       /* completions of a task not open */
    uint64_t wrong;         /* results that are not the request */
    uint64_t parts;         /* read, and */
    uint64_t parts_wrong;   /* those out of order, twice, or missing at the end */
    uint64_t answered;      /* hedged tasks that had an answer, and */
    uint64_t answered_twice;
    uint64_t admitted;      /* tasks of callers who are not allowed */
    uint64_t calm_failed;   /* failures of the untouched service */
    uint64_t codes[200];    /* failures by errno */
    uint64_t ends[200];     /* the same, of tasks that were to end so */
    uint64_t refused[200];  /* submits refused by errno, retried */
};
static uint64_t victims[2][AP_TASK_STATES + 1]; /* queens, clients; by the state of a task in their hands, last: none */
static struct shared *shared;
static uint64_t *order[2]; /* of "work", of "calm": first executions in their client's order, and late ones */

static char folder[] = "/tmp/apiary-storm-XXXXXX", config[64], segment[64];
static const char *bin, *plugin;
static unsigned skipped_namespaces;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static pid_t start(char *const argv[])
{
    pid_t pid = fork();

    if (pid == 0) {
        char path[512], log[128];
        int fd;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(path, sizeof path, "%s/%s", bin, argv[0]);
        snprintf(log, sizeof log, "%s/log", folder);
        fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (fd >= 0) dup2(fd, 2);
        execv(path, argv);
        _exit(127);
    }
    return pid;
}

#endif
