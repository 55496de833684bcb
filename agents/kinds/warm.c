/* agents/kinds/warm.c - see warm.h: which place gets which task. */
#include "agents/kinds/warm.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "agents/kinds/warm_place.h"

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

static void on_waiting(void *user, uint32_t events);

static void warm_expired(struct ap_warm *w, apiary_job_t *job)
{
    if (apiary_job_cancelled(job) && ap_time_left(job, w->timeout) > 0)
        apiary_job_fail(job, AP_EXEC_CANCELLED, "%s: the task was cancelled before a process was free", w->name);
    else apiary_job_fail(job, AP_EXEC_TIMEOUT, "%s: the deadline passed before a process was free", w->name);
}

static apiary_job_t *warm_next(struct ap_warm *w)
{
    apiary_job_t *job = w->waiting[0];
    w->waiting_count--;
    memmove(w->waiting, w->waiting + 1, w->waiting_count * sizeof *w->waiting);
    return job;
}

void ap_warm_free(struct ap_warm *w, struct ap_place *place)
{
    while (w->waiting_count > 0 && place->state == AP_PLACE_IDLE && place->asked == AP_PLACE_RUNS && place->why == AP_PLACE_RUNS) {
        apiary_job_t *job = warm_next(w);
        uint64_t left = ap_time_left(job, w->timeout);
        if (left == 0 || apiary_job_cancelled(job)) warm_expired(w, job);
        else ap_place_give(place, job, left);
    }
}

void ap_warm_failed(struct ap_warm *w, uint32_t code, const char *reason)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (w->places[i].state != AP_PLACE_AWAY) return; /* another may take them */
    while (w->waiting_count > 0)
        apiary_job_fail_text(warm_next(w), code, reason, strlen(reason));
}

static void warm_look_later(struct ap_warm *w)
{
    uint64_t after = AP_WARM_LAST_LOOK * (uint64_t)AP_MS;
    if (w->looker || w->waiting_count == 0) return;
    for (uint32_t i = 0; i < w->waiting_count; i++)
        after = ap_time_left(w->waiting[i], after);
    if (apiary_watch_timer(w->agent, after, on_waiting, w, &w->looker) == 0) return;
    while (w->waiting_count > 0) /* what cannot be watched is not to wait */
        ap_out_of_memory(warm_next(w));
}

static void on_waiting(void *user, uint32_t events)
{
    struct ap_warm *w = user;
    (void)events;
    ap_place_unwatch(&w->looker);
    for (uint32_t left = w->waiting_count; left > 0; left--) {
        apiary_job_t *job = warm_next(w);
        if (apiary_job_cancelled(job) || ap_time_left(job, w->timeout) == 0) warm_expired(w, job);
        else w->waiting[w->waiting_count++] = job;
    }
    warm_look_later(w);
}

void ap_warm_handle(struct ap_warm *w, apiary_job_t *job)
{
    if (w->waiting_count == w->count) { /* more than it has said that it takes */
        apiary_job_fail(job, AP_EXEC_CANNOT_RUN, "%s: all processes have tasks", w->name);
        return;
    }
    w->waiting[w->waiting_count++] = job;
    for (uint32_t i = 0; i < w->count && w->waiting_count > 0; i++) {
        ap_place_tend(&w->places[i]);
        ap_warm_free(w, &w->places[i]);
    }
    warm_look_later(w);
}

/* ---- create, destroy --------------------------------------------------------------------------------------------- */

static int warm_check(apiary_agent_t *agent, const char *socket)
{
    static const char *const others[] = {"parts", "expect_exit", "concurrency"};
    struct sockaddr_un address;
    if (apiary_agent_text(agent, "parts", NULL) || apiary_agent_number(agent, "expect_exit", -1) >= 0 ||
        apiary_agent_number(agent, "concurrency", -1) >= 0) {
        apiary_agent_log(agent, 3, "exec: %s, %s and %s do not go with persistent", others[0], others[1], others[2]);
        return APIARY_ECONFIG;
    }
    if (socket == NULL || strlen(socket) < sizeof address.sun_path) return 0;
    apiary_agent_log(agent, 3, "socket: the path has %zu bytes; allowed: at most %zu", strlen(socket), sizeof address.sun_path - 1);
    return APIARY_ECONFIG;
}

static bool warm_environment(struct ap_warm *w)
{
    static const char protocol[] = "APIARY_PROTOCOL=1";
    size_t count = 0;
    if (w->socket) return true;
    while (w->what->environment[count])
        count++;
    w->environment = apiary_agent_alloc(w->agent, (count + 2) * sizeof *w->environment);
    if (!w->environment) return false;
    memcpy(w->environment, w->what->environment, count * sizeof *w->environment);
    w->environment[count] = protocol;
    w->environment[count + 1] = NULL;
    return true;
}

int ap_warm_create(apiary_agent_t *agent, struct ap_exec_plan *what, struct ap_warm **ret)
{
    uint32_t count = (uint32_t)apiary_agent_number(agent, "persistent", 1);
    const char *socket = apiary_agent_text(agent, "socket", NULL);
    int error = warm_check(agent, socket);
    if (error < 0) return error;
    struct ap_warm *w = apiary_agent_alloc(agent, sizeof *w + count * sizeof *w->places);
    if (!w) return APIARY_ENOBLOCK;
    memset(w, 0, sizeof *w + count * sizeof *w->places);
    w->agent = agent;
    w->what = what;
    w->socket = socket;
    w->name = socket ? socket : what->child.path;
    w->count = count;
    w->timeout = (uint64_t)apiary_agent_number(agent, "timeout", 60000 * AP_MS);
    w->grace = (uint64_t)apiary_agent_number(agent, "grace", 1000 * AP_MS);
    w->start_timeout = (uint64_t)apiary_agent_number(agent, "start_timeout", 10000 * AP_MS);
    w->max_output = (size_t)apiary_agent_number(agent, "max_output", 1024 * 1024);
    w->waiting = apiary_agent_alloc(agent, count * sizeof *w->waiting);
    for (uint32_t i = 0; i < count; i++) {
        struct ap_place *p = &w->places[i];
        p->warm = w;
        p->send.agent = p->got.agent = agent;
        p->child = (struct ap_child){.in = -1, .out = -1, .err = -1, .report = -1, .pidfd = -1};
    }
    if (!w->waiting || !warm_environment(w)) {
        ap_warm_destroy(w);
        return APIARY_ENOBLOCK;
    }
    apiary_agent_limit(agent, count);
    for (uint32_t i = 0; i < count; i++)
        ap_place_start(&w->places[i]);
    *ret = w;
    return 0;
}

/* Processes that read to the end of their input end by themselves. */
static void warm_leave(struct ap_warm *w)
{
    struct pollfd *ends = apiary_agent_alloc(w->agent, w->count * sizeof *ends);
    uint64_t until = ap_now() + w->grace, now;
    nfds_t left = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        ap_place_leave(&w->places[i]);
        if (ends && ap_place_end_fd(&w->places[i]) >= 0)
            ends[left++] = (struct pollfd){.fd = ap_place_end_fd(&w->places[i]), .events = w->socket ? POLLRDHUP : POLLIN};
    }
    while (left > 0 && (now = ap_now()) < until) {
        if (poll(ends, left, (int)((until - now) / AP_MS) + 1) < 0 && errno != EINTR) break;
        for (nfds_t i = 0; i < left;)
            if (ends[i].revents) ends[i] = ends[--left];
            else i++;
    }
    apiary_agent_free(w->agent, ends);
}

void ap_warm_destroy(struct ap_warm *w)
{
    struct ap_child_end end;
    warm_leave(w);
    for (uint32_t i = 0; i < w->count; i++)
        ap_place_collect(&w->places[i], &end);
    ap_place_unwatch(&w->looker);
    apiary_agent_free(w->agent, w->environment);
    apiary_agent_free(w->agent, w->waiting);
    apiary_agent_free(w->agent, w);
}
