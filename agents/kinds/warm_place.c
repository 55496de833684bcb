/* agents/kinds/warm_place.c - a process of warm.h from its start to its end. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agents/kinds/warm_place.h"
#include "core/descriptor.h"

#define FIRST_PAUSE (100 * AP_MS)
#define LAST_PAUSE (10 * 1000 * AP_MS)

void ap_place_unwatch(apiary_watch_t **watch)
{
    if (*watch) apiary_watch_close(*watch);
    *watch = NULL;
}

static void on_tick(void *user, uint32_t events);

/* Its timer, unless that fires before. */
static void place_wake(struct ap_place *p, uint64_t after)
{
    uint64_t at = ap_now() + after;
    if (p->timer && p->timer_at <= at) return;
    ap_place_unwatch(&p->timer);
    p->timer_at = at;
    p->error = apiary_watch_timer(p->warm->agent, after, on_tick, p, &p->timer);
    /* No memory: a process that cannot be stopped is not to run, and its end comes by its descriptor. */
    if (p->error < 0 && p->why == AP_PLACE_RUNS && p->state != AP_PLACE_AWAY) ap_place_stop(p, AP_PLACE_NO_WATCH);
}

/* ---- its end ----------------------------------------------------------------------------------------------------- */

void ap_place_stop(struct ap_place *p, enum ap_place_why why)
{
    if (p->why != AP_PLACE_RUNS) return;
    p->why = why;
    p->behind = false;
    ap_place_unwatch(&p->out);
    ap_place_unwatch(&p->in);
    if (!p->warm->socket && !p->ended) ap_child_kill(&p->child); /* its pidfd becomes readable */
    else place_wake(p, 0);
}

void ap_place_ask(struct ap_place *p, enum ap_place_why why)
{
    if (p->asked != AP_PLACE_RUNS || p->why != AP_PLACE_RUNS) return;
    p->asked = why;
    p->until = ap_now() + p->warm->grace;
    ap_place_send_cancel(p);
    place_wake(p, p->warm->grace);
}

int ap_place_end_fd(const struct ap_place *p)
{
    return p->warm->socket ? p->child.in : p->child.pidfd;
}

void ap_place_leave(struct ap_place *p)
{
    ap_place_unwatch(&p->in);
    if (p->child.in < 0) return;
    if (p->warm->socket) shutdown(p->child.in, SHUT_WR);
    else {
        close(p->child.in);
        p->child.in = -1;
    }
}

void ap_place_collect(struct ap_place *p, struct ap_child_end *ret)
{
    apiary_watch_t **watches[] = {&p->in, &p->out, &p->err, &p->end, &p->timer};
    for (size_t i = 0; i < sizeof watches / sizeof *watches; i++)
        ap_place_unwatch(watches[i]);
    *ret = (struct ap_child_end){.exited = true};
    if (p->warm->socket && p->child.in >= 0) close(p->child.in);
    if (!p->warm->socket && p->child.pidfd >= 0) {
        ap_child_kill(&p->child);
        ap_child_collect(&p->child, ret);
    }
    p->child = (struct ap_child){.in = -1, .out = -1, .err = -1, .report = -1, .pidfd = -1};
    ap_bytes_free(&p->send);
    ap_bytes_free(&p->got);
    p->sent = p->used = p->body_left = 0;
}

static uint32_t exec_number(const struct ap_place *p, const struct ap_child_end *end)
{
    switch (p->why) {
    case AP_PLACE_RUNS: break;
    case AP_PLACE_TIMEOUT: return AP_EXEC_TIMEOUT;
    case AP_PLACE_CANCELLED: return AP_EXEC_CANCELLED;
    case AP_PLACE_TOO_MUCH: return AP_EXEC_OUTPUT;
    case AP_PLACE_WRONG:
    case AP_PLACE_CLOSED:
    case AP_PLACE_UNREAD:
    case AP_PLACE_UNWANTED: return AP_EXEC_PROTOCOL;
    default: return AP_EXEC_CANNOT_RUN;
    }
    if (end->guard_killed) return AP_EXEC_CANNOT_RUN;
    if (end->refused) return end->refused == ENOENT ? AP_EXEC_NO_PROGRAM : AP_EXEC_CANNOT_RUN;
    return !end->exited ? (uint32_t)(128 + end->status) : end->status ? (uint32_t)end->status : 1;
}

/* Why it has ended, as a sentence without its name. */
static void place_reason(const struct ap_place *p, const struct ap_child_end *end, char *ret, size_t size)
{
    const char *before = p->state == AP_PLACE_BUSY     ? " before it answered"
                         : p->state == AP_PLACE_GREETING ? " before it said hello"
                                                         : "";
    const char *ended = p->warm->socket ? "the connection is closed" : "killed";
    switch (p->why) {
    case AP_PLACE_TIMEOUT: snprintf(ret, size, "did not answer in time, nor when it was told so; %s", ended); return;
    case AP_PLACE_CANCELLED: snprintf(ret, size, "the task was cancelled, and it did not answer; %s", ended); return;
    case AP_PLACE_UNWANTED: snprintf(ret, size, "went on with a task that has its end; %s", ended); return;
    case AP_PLACE_TOO_MUCH: snprintf(ret, size, "sent more than max_output (%zu bytes); %s", p->warm->max_output, ended); return;
    case AP_PLACE_NO_MEMORY: snprintf(ret, size, "no memory for its messages; %s", ended); return;
    case AP_PLACE_NO_WATCH:
        snprintf(ret, size, "the worker's loop cannot watch it: %s; %s", apiary_strerror(p->error), ended);
        return;
    case AP_PLACE_WRONG: snprintf(ret, size, "%s; %s", p->said, ended); return;
    case AP_PLACE_CLOSED: snprintf(ret, size, "closed its standard output%s; %s", before, ended); return;
    case AP_PLACE_SILENT: snprintf(ret, size, "did not say hello within start_timeout; %s", ended); return;
    case AP_PLACE_UNREAD: snprintf(ret, size, "answered before it had read the request; %s", ended); return;
    case AP_PLACE_RUNS: break;
    }
    if (p->warm->socket) snprintf(ret, size, "closed the connection%s", before);
    else if (end->guard_killed) snprintf(ret, size, "somebody has killed its guard, and so it was killed");
    else if (end->refused) snprintf(ret, size, "cannot run: %s: %s", end->step, strerror(end->refused));
    else if (!end->exited)
        snprintf(ret, size, "killed by signal %d (%s)%s", end->status,
                 sigdescr_np(end->status) ? sigdescr_np(end->status) : "unknown", before);
    else snprintf(ret, size, "ended with exit status %d%s", end->status, before);
}

/* After the end of its process, or without one: tells why, and looks to the next. */
static void place_over(struct ap_place *p, const struct ap_child_end *end, const char *reason)
{
    uint32_t code = exec_number(p, end);
    bool up = p->state != AP_PLACE_GREETING && p->state != AP_PLACE_AWAY;
    char text[AP_TAIL + 512], tail[AP_TAIL + 64];

    ap_tail_text(&p->tail, tail, sizeof tail);
    snprintf(text, sizeof text, "%s: %s%s", p->warm->name, reason, tail);
    if (!p->served) p->failures++;
    uint64_t pause = p->failures == 0 ? 0 : (uint64_t)FIRST_PAUSE << (p->failures < 8 ? p->failures - 1 : 7);
    if (pause > (uint64_t)LAST_PAUSE) pause = LAST_PAUSE;
    if (p->job) apiary_job_fail_text(p->job, code, text, strlen(text));
    /* The same of a socket that nobody listens at is told once. */
    apiary_agent_log(p->warm->agent, p->failures > 1 && p->warm->socket ? 7 : 4, "%s; the next in %u ms", text,
                     (unsigned)(pause / AP_MS));
    p->job = NULL;
    p->state = AP_PLACE_AWAY;
    p->asked = p->why = AP_PLACE_RUNS;
    p->until = p->id = 0;
    p->served = p->ended = p->behind = p->cancel_due = false;
    p->tail.size = 0;
    place_wake(p, pause);
    if (!up) ap_warm_failed(p->warm, code, text);
}

static void place_end(struct ap_place *p)
{
    struct ap_child_end end;
    char reason[512];
    ap_place_collect(p, &end);
    place_reason(p, &end, reason, sizeof reason);
    place_over(p, &end, reason);
}

void ap_place_closed(struct ap_place *p)
{
    if (p->ended || p->warm->socket) {
        place_end(p);
        return;
    }
    if (p->child.out >= 0) close(p->child.out);
    p->child.out = -1;
    if (p->asked == AP_PLACE_RUNS || p->asked == AP_PLACE_SILENT) { /* its end may just be coming */
        p->asked = AP_PLACE_CLOSED;
        p->until = ap_now() + p->warm->grace;
    }
    place_wake(p, p->warm->grace);
}

static void on_place_end(void *user, uint32_t events)
{
    struct ap_place *p = user;
    (void)events;
    p->ended = true;
    ap_place_unwatch(&p->end);
    ap_place_hear_errors(p);
    if (p->why == AP_PLACE_RUNS) ap_place_hear(p, true); /* what it wrote before; then it is over, unless a reader is behind */
    else place_end(p);
}

/* ---- its start --------------------------------------------------------------------------------------------------- */

static void on_place_errors(void *user, uint32_t events)
{
    (void)events;
    ap_place_hear_errors(user);
}

static int place_connect(struct ap_place *p)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = ap_fd_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", p->warm->socket);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    p->child.in = p->child.out = fd;
    return 0;
}

static int place_watch(struct ap_place *p)
{
    apiary_agent_t *agent = p->warm->agent;
    int error = ap_place_watch_output(p);
    if (error == 0 && p->child.pidfd >= 0) error = apiary_watch_fd(agent, p->child.pidfd, POLLIN, on_place_end, p, &p->end);
    if (error == 0 && p->child.err >= 0) error = apiary_watch_fd(agent, p->child.err, POLLIN, on_place_errors, p, &p->err);
    return error;
}

void ap_place_start(struct ap_place *p)
{
    struct ap_child_plan plan = p->warm->what->child;
    struct ap_child_end none = {.exited = true};
    char reason[256];
    plan.environment = (char *const *)p->warm->environment;
    plan.claim_file = -1; /* it is not one task's */
    int error = p->warm->socket ? place_connect(p) : ap_child_start(&plan, &p->child);
    if (error < 0) {
        p->why = AP_PLACE_NO_WATCH;
        snprintf(reason, sizeof reason, "cannot %s: %s", p->warm->socket ? "connect" : "start a process", strerror(-error));
        place_over(p, &none, reason);
        return;
    }
    p->state = AP_PLACE_GREETING;
    p->until = ap_now() + p->warm->start_timeout;
    p->asked = AP_PLACE_SILENT;
    place_wake(p, p->warm->start_timeout);
    p->error = place_watch(p);
    if (p->error < 0 || !ap_place_greet(p)) {
        if (p->why == AP_PLACE_RUNS) p->why = p->error < 0 ? AP_PLACE_NO_WATCH : AP_PLACE_NO_MEMORY;
        place_end(p);
    }
}

/* ---- its time ---------------------------------------------------------------------------------------------------- */

/* When to look again; 0: not. */
static uint64_t place_look(struct ap_place *p, uint64_t now)
{
    uint64_t next = p->asked != AP_PLACE_RUNS ? p->until - now : 0;
    if (p->state != AP_PLACE_BUSY || p->job == NULL || p->asked != AP_PLACE_RUNS) return next;
    next = p->deadline - now < p->look ? p->deadline - now : p->look;
    if (p->look < AP_WARM_LAST_LOOK * (uint64_t)AP_MS) p->look *= 2;
    return next;
}

static void on_tick(void *user, uint32_t events)
{
    struct ap_place *p = user;
    uint64_t now = ap_now();
    (void)events;
    ap_place_unwatch(&p->timer);
    if (p->state == AP_PLACE_AWAY) {
        ap_place_start(p);
        return;
    }
    if (p->why != AP_PLACE_RUNS) {
        if (p->ended || p->warm->socket) place_end(p);
        return;
    }
    if (p->asked != AP_PLACE_RUNS && now >= p->until) {
        ap_place_stop(p, p->asked);
        return;
    }
    if (p->state == AP_PLACE_BUSY && p->job && apiary_job_cancelled(p->job)) ap_place_ask(p, AP_PLACE_CANCELLED);
    else if (p->state == AP_PLACE_BUSY && p->job && now >= p->deadline) ap_place_ask(p, AP_PLACE_TIMEOUT);
    uint64_t next = p->why == AP_PLACE_RUNS ? place_look(p, now) : 0;
    if (next > 0) place_wake(p, next);
}

void ap_place_tend(struct ap_place *p)
{
    bool over = p->why != AP_PLACE_RUNS && (p->ended || p->warm->socket);
    if (!p->timer && (p->state == AP_PLACE_AWAY || over)) on_tick(p, 0);
}

void ap_place_give(struct ap_place *p, apiary_job_t *job, uint64_t left)
{
    p->state = AP_PLACE_BUSY;
    p->job = job;
    p->id++;
    p->look = AP_WARM_FIRST_LOOK * (uint64_t)AP_MS;
    p->deadline = ap_now() + left;
    if (!ap_place_send_task(p, left)) {
        ap_place_stop(p, AP_PLACE_NO_MEMORY);
        return;
    }
    place_wake(p, left < p->look ? left : p->look);
}
