/* tools/apiaryd/past.c - the thread that keeps the past. See past.h. */
#include "tools/apiaryd/past.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/log.h"
#include "core/text.h"
#include "core/thread.h"
#include "tools/apiaryd/targets.h"
#include "tools/common/common.h"
#include "tools/view/past_look.h"

#define MSEC 1000000
#define CLOCK_SET 2000 /* ms */
#define LAST_ROUND 3   /* s */

struct past_keeper {
    apiary_t *a;
    char *folder;
    struct past *past;      /* NULL: not open */
    struct past_look look;  /* the last one */
    bool looked;            /* there is one since which all was written */
    int64_t wall, steady;   /* ms, of that look */
    char told[HISTORY_WHY]; /* why nothing is kept; "": it is */
    int wake;
    pthread_t thread;
};

static int64_t wall_now(void)
{
    return (int64_t)(ap_ops_system.realtime() / MSEC);
}

static int64_t steady_now(void)
{
    return (int64_t)(ap_ops_system.now() / MSEC);
}

/* Closes the past, too: the trouble may lie in what is open. */
static void past_keeper_fails(struct past_keeper *k, const char *why)
{
    if (strcmp(k->told, why) != 0)
        ap_log(4, "the history is not kept: %s; it is tried again (--state names another folder)", why);
    memcpy(k->told, why, sizeof k->told);
    past_close(k->past);
    k->past = NULL;
    k->looked = false;
}

static bool past_keeper_open(struct past_keeper *k)
{
    char why[HISTORY_WHY];

    if (k->past != NULL && history_file_gone(&k->past->file)) {
        ap_log(4, "history: %s is gone, a new one is made", k->past->file.path);
        past_close(k->past);
        k->past = NULL;
        k->looked = false;
    }
    if (k->past != NULL) return true;
    k->past = past_open(k->folder, PAST_BYTES, why);
    if (k->past == NULL) past_keeper_fails(k, why);
    else if (*why != '\0') ap_log(4, "history: %s", why);
    return k->past != NULL;
}

/* The look is the last one from now on. */
static void past_keeper_looked(struct past_keeper *k, struct past_look *look, int64_t wall, int64_t steady)
{
    past_look_free(&k->look);
    k->look = *look;
    k->looked = true;
    k->wall = wall;
    k->steady = steady;
}

/* Looks for the first time, or after a gap. */
static bool past_keeper_begin(struct past_keeper *k)
{
    struct past_look look;

    past_look_take(k->a->seg, &look);
    past_keeper_looked(k, &look, wall_now(), steady_now());
    if (past_begin(k->past, k->wall) == 0) return true;
    past_keeper_fails(k, k->past->file.why);
    return false;
}

static bool past_keeper_step(struct past_keeper *k, int64_t at)
{
    struct past_look look;
    struct past_row *rows;
    int64_t wall, steady;
    size_t count;
    int rc;

    past_look_take(k->a->seg, &look);
    wall = wall_now();
    steady = steady_now();
    count = past_look_since(&look, &k->look, &rows);
    rc = past_keep(k->past, at, steady - k->steady, rows, count);
    free(rows);
    past_keeper_looked(k, &look, wall, steady);
    if (rc == 0) targets_judge(k->a, k->folder, at);
    if (rc == 0) return true;
    past_keeper_fails(k, k->past->file.why);
    return false;
}

static void past_keeper_round(struct past_keeper *k)
{
    int64_t wall = wall_now(), steady = steady_now(), width = past_levels[0].width, at = wall / width * width;
    int64_t moved = (wall - k->wall) - (steady - k->steady);
    bool good;

    if (!past_keeper_open(k)) return;
    if (!k->looked || steady - k->steady > PAST_LATEST || moved > CLOCK_SET || moved < -CLOCK_SET) good = past_keeper_begin(k);
    else if (at <= k->past->last) return;
    else good = past_keeper_step(k, at);
    if (!good) return;
    if (*k->told != '\0') ap_log(5, "the history is kept again in %s", k->folder);
    *k->told = '\0';
}

static int past_keeper_wait(void)
{
    int64_t width = past_levels[0].width;

    return (int)(width - wall_now() % width) + 1;
}

static void *past_keeper_main(void *user)
{
    struct past_keeper *k = user;
    struct pollfd stop = {.fd = k->wake, .events = POLLIN};

    do past_keeper_round(k);
    while (poll(&stop, 1, past_keeper_wait()) <= 0);
    past_close(k->past);
    past_look_free(&k->look);
    return NULL;
}

static void past_keeper_free(struct past_keeper *k)
{
    if (k->wake >= 0) close(k->wake);
    free(k->folder);
    free(k);
}

struct past_keeper *past_keeper_start(apiary_t *a, const char *folder, char why[HISTORY_WHY])
{
    struct past_keeper *k;
    int error;

    if (folder == NULL) {
        ap_format(why, HISTORY_WHY, "this user has no home; name a folder with --state");
        return NULL;
    }
    k = tool_alloc(sizeof *k);
    *k = (struct past_keeper){.a = a, .folder = tool_strdup(folder), .wake = ap_fd_event()};
    error = k->wake < 0 ? errno : ap_thread_start(&k->thread, "apiary-past", past_keeper_main, k);
    if (error == 0) return k;
    ap_format(why, HISTORY_WHY, "%s", strerror(error));
    past_keeper_free(k);
    return NULL;
}

bool past_keeper_stop(struct past_keeper *k)
{
    struct timespec until;
    int error;

    if (k == NULL) return true;
    if (write(k->wake, &(uint64_t){1}, sizeof(uint64_t)) < 0) ap_log(4, "history: cannot end the thread: %s", strerror(errno));
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LAST_ROUND;
    error = pthread_clockjoin_np(k->thread, NULL, CLOCK_MONOTONIC, &until);
    if (error == 0) {
        past_keeper_free(k);
        return true;
    }
    ap_log(4, "the last of the history is not kept: %s takes too long (%s)", k->folder, strerror(error));
    return false;
}
