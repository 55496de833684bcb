/* tools/apiaryd/events.c - the thread that keeps the events. See events.h. */
#include "tools/apiaryd/events.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/log.h"
#include "core/text.h"
#include "core/thread.h"

#define SOON 20 /* ms, when something has come */
#define LATE 1000
#define AGAIN 1000 /* after a failure */
#define AGAIN_MOST 60000
#define SETTLE UINT64_C(5000000000) /* ns */
#define LAST_ROUND 3 /* s */

struct keeper {
    apiary_t *a;
    char *folder;
    struct history_limits limits;
    struct history *history; /* NULL: not open */
    char told[HISTORY_WHY];  /* why nothing is kept; "": it is */
    int wait;                /* ms until the next look */
    bool unsettled;
    uint64_t settled; /* CLOCK_MONOTONIC */
    int wake;
    pthread_t thread;
};

/* Closes the history, too: the trouble may lie in what is open. */
static void keeper_fails(struct keeper *k, const char *why)
{
    bool first = *k->told == '\0';

    if (strcmp(k->told, why) != 0)
        ap_log(4, "events are not kept: %s; it is tried again (--state names another folder)", why);
    memcpy(k->told, why, sizeof k->told);
    k->wait = first ? AGAIN : k->wait < AGAIN_MOST / 2 ? 2 * k->wait : AGAIN_MOST;
    history_close(k->history);
    k->history = NULL;
}

static bool keeper_open(struct keeper *k)
{
    char why[HISTORY_WHY];

    if (k->history != NULL && history_gone(k->history)) {
        ap_log(4, "events: %s is gone, a new one is made", k->history->file.path);
        history_close(k->history);
        k->history = NULL;
    }
    if (k->history != NULL) return true;
    k->history = history_open(k->folder, k->a->seg, &k->limits, why);
    if (k->history == NULL) {
        keeper_fails(k, why);
        return false;
    }
    if (*why != '\0') ap_log(4, "events: %s", why);
    return true;
}

/* `wait` is that until the next round. After a failure at once, since nobody knows whether that is over. False: it failed. */
static bool keeper_settle(struct keeper *k, int wait)
{
    uint64_t now = ap_ops_system.now();
    int r;

    if (!k->unsettled || (*k->told == '\0' && wait < LATE && now - k->settled < SETTLE)) return true;
    r = history_settle(k->history);
    k->unsettled = r != 0;
    k->settled = now;
    if (r < 0) keeper_fails(k, k->history->file.why);
    return r >= 0;
}

static void keeper_round(struct keeper *k)
{
    int kept = 0, wait;

    if (k->history == NULL || history_due(k->history, k->a->seg)) {
        if (!keeper_open(k)) return;
        kept = history_keep(k->history, k->a->seg);
        if (kept >= 0 && *k->history->file.why != '\0')
            ap_log(4, "old events cannot be dropped: %s; it is tried again after an hour", k->history->file.why);
    }
    if (kept < 0) {
        keeper_fails(k, k->history->file.why);
        return;
    }
    wait = kept > 0 ? SOON : k->wait < LATE / 2 ? 2 * k->wait : LATE;
    k->unsettled |= kept > 0;
    if (!keeper_settle(k, wait)) return;
    if (*k->told != '\0') ap_log(5, "events are kept again in %s", k->folder);
    *k->told = '\0';
    k->wait = wait;
}

static void *keeper_main(void *user)
{
    struct keeper *k = user;
    struct pollfd stop = {.fd = k->wake, .events = POLLIN};

    do keeper_round(k);
    while (poll(&stop, 1, k->wait) <= 0);
    keeper_round(k);
    history_close(k->history);
    return NULL;
}

static void keeper_free(struct keeper *k)
{
    if (k->wake >= 0) close(k->wake);
    free(k->folder);
    free(k);
}

struct keeper *keeper_start(apiary_t *a, const char *folder, const struct history_limits *limits, char why[HISTORY_WHY])
{
    struct keeper *k;
    int error;

    if (folder == NULL) {
        ap_format(why, HISTORY_WHY, "this user has no home; name a folder with --state");
        return NULL;
    }
    k = tool_alloc(sizeof *k);
    *k = (struct keeper){.a = a, .folder = tool_strdup(folder), .limits = *limits, .wait = SOON, .wake = ap_fd_event()};
    error = k->wake < 0 ? errno : ap_thread_start(&k->thread, "apiary-events", keeper_main, k);
    if (error == 0) return k;
    ap_format(why, HISTORY_WHY, "%s", strerror(error));
    keeper_free(k);
    return NULL;
}

bool keeper_stop(struct keeper *k)
{
    struct timespec until;
    int error;

    if (k == NULL) return true;
    if (write(k->wake, &(uint64_t){1}, sizeof(uint64_t)) < 0) ap_log(4, "events: cannot end the thread: %s", strerror(errno));
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LAST_ROUND;
    error = pthread_clockjoin_np(k->thread, NULL, CLOCK_MONOTONIC, &until);
    if (error == 0) {
        keeper_free(k);
        return true;
    }
    ap_log(4, "the last events are not kept: %s takes too long (%s)", k->folder, strerror(error));
    return false;
}
