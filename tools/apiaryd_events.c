/* tools/apiaryd_events.c - the thread that keeps the events. See apiaryd_events.h. */
#include "tools/apiaryd_events.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/log.h"
#include "core/text.h"
#include "core/thread.h"

#define LOOK 200 /* ms */
#define SOON 20  /* while something comes */
#define AGAIN 1000 /* after a failure */

struct keeper {
    apiary_t *a;
    char *folder;
    struct history_limits limits;
    struct history *history; /* NULL: not open */
    bool told; /* that nothing is kept */
    int wake;
    pthread_t thread;
};

static void keeper_fails(struct keeper *k, const char *why)
{
    if (!k->told) ap_log(4, "events are not kept: %s; it is tried again (--state names another folder)", why);
    k->told = true;
}

static bool keeper_open(struct keeper *k)
{
    char why[HISTORY_WHY];

    if (k->history != NULL && history_gone(k->history)) {
        ap_log(4, "events: %s is gone, a new one is made", k->history->path);
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

/* Returns after which time to look again, in ms. */
static int keeper_round(struct keeper *k)
{
    int kept;

    if (!keeper_open(k)) return AGAIN;
    kept = history_keep(k->history, k->a->seg);
    if (kept < 0) {
        keeper_fails(k, k->history->why);
        history_close(k->history); /* what ails it may lie in what is open */
        k->history = NULL;
        return AGAIN;
    }
    if (k->told) ap_log(5, "events are kept again in %s", k->folder);
    k->told = false;
    return kept > 0 ? SOON : LOOK;
}

static void *keeper_main(void *user)
{
    struct keeper *k = user;
    struct pollfd stop = {.fd = k->wake, .events = POLLIN};
    int wait;

    do wait = keeper_round(k);
    while (poll(&stop, 1, wait) <= 0);
    (void)keeper_round(k);
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
    *k = (struct keeper){.a = a, .folder = tool_strdup(folder), .limits = *limits, .wake = ap_fd_event()};
    error = k->wake < 0 ? errno : ap_thread_start(&k->thread, "apiary-events", keeper_main, k);
    if (error == 0) return k;
    ap_format(why, HISTORY_WHY, "%s", strerror(error));
    keeper_free(k);
    return NULL;
}

void keeper_stop(struct keeper *k)
{
    if (k == NULL) return;
    if (write(k->wake, &(uint64_t){1}, sizeof(uint64_t)) < 0) ap_log(4, "events: cannot end the thread: %s", strerror(errno));
    pthread_join(k->thread, NULL);
    keeper_free(k);
}
