/* agents/runtime/queen.c - the queen's control thread: workers, registration, beat, drain. See queen.h. */
#include "agents/runtime/queen.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "core/thread.h"
#include "registry/monitor/health.h"
#include "registry/routing/rules.h"

#define NSEC UINT64_C(1000000000)
#define BEAT NSEC
#define LAST_MOMENT NSEC /* after the time to stop is over: for workers that have nothing left to do but to end */
#define STILL_WARNING 2u   /* beats without a turn of a worker that is not parked */
#define STILL_CRITICAL 10u

void ap_queen_news(struct ap_queen *q)
{
    ap_add_acq_rel(&q->news, 1); /* NEWS-R1 pairs NEWS-A1 */
    q->seg->ops->futex_wake(&q->news, INT_MAX);
}

void ap_queen_log(const struct ap_queen *q, int level, const char *format, ...)
{
    char buffer[1024], *line;
    va_list args;

    if (q->log == NULL) return;
    va_start(args, format);
    line = ap_vformat_whole(buffer, sizeof buffer, format, args);
    va_end(args);
    q->log(q->log_user, level, line);
    if (line != buffer) free(line);
}

/* ---- workers -------------------------------------------------------------------------------------------------- */

/* Waits until each worker has made its agents, or one could not. */
static int workers_wait(struct ap_queen *q)
{
    for (uint32_t i = 0; i < q->worker_count; i++) {
        struct ap_worker *w = &q->workers[i];
        uint32_t news = ap_load_acquire(&q->news), phase; /* NEWS-A1 pairs NEWS-R1 */

        while ((phase = ap_load_acquire(&w->phase)) == AP_WORKER_OPENING) { /* WORKER-A1 pairs WORKER-R1 */
            q->seg->ops->futex_wait(&q->news, news, q->seg->ops->now() + BEAT);
            if (ap_worker_vanished(w)) continue;
            news = ap_load_acquire(&q->news);
        }
        if (phase != AP_WORKER_FAILED) continue;
        if (w->message[0] != '\0') memcpy(q->message, w->message, sizeof q->message);
        return w->result;
    }
    return 0;
}

static int workers_start(struct ap_queen *q)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < q->worker_count; i++) {
        r = ap_worker_start(&q->workers[i]);
        if (r < 0) memcpy(q->message, q->workers[i].message, sizeof q->message);
    }
    return r == 0 ? workers_wait(q) : r;
}

static void workers_command(struct ap_queen *q, enum ap_worker_command command)
{
    for (uint32_t i = 0; i < q->worker_count; i++) ap_worker_command(&q->workers[i], command);
}

/* ---- the beat ------------------------------------------------------------------------------------------------- */

/* Parked is well; so is one that goes round. One that does neither is in the middle of a long task, or stuck. */
static enum apiary_state queen_health(struct ap_queen *q, uint64_t *stuck)
{
    uint32_t worst = 0;

    *stuck = 0;
    for (uint32_t i = 0; i < q->worker_count; i++) {
        uint32_t turns = ap_load_relaxed(&q->workers[i].turns);

        if (ap_worker_vanished(&q->workers[i])) return APIARY_CRITICAL;
        if (ap_load_acquire(&q->workers[i].phase) == AP_WORKER_LOST) return APIARY_CRITICAL; /* WORKER-A1 pairs WORKER-R1 */
        if (turns != q->seen_turns[i] || ap_load_relaxed(&q->workers[i].parked))
            q->still[i] = 0;
        else
            q->still[i]++;
        q->seen_turns[i] = turns;
        if (q->still[i] > worst) worst = q->still[i];
    }
    if (worst < STILL_WARNING) return APIARY_PASSING;
    *stuck = q->seg->ops->now() - worst * BEAT;
    return worst < STILL_CRITICAL ? APIARY_WARNING : APIARY_CRITICAL;
}

/* Those who come later meet in another segment of that name, or in none: nothing goes wrong here, and nobody new calls. */
static void look_for_name(struct ap_queen *q)
{
    if (q->removed || !ap_segment_removed(q->seg)) return;
    q->removed = true;
    ap_queen_log(q, 3, "the segment %.*s has been removed while in use; new processes do not find %s: restart all that use "
                 "it", (int)sizeof q->seg->header->name, q->seg->header->name, q->service);
}

/* The registration is not written to: another thread may be copying it (ap_queen_adjust). */
static void queen_beat(struct ap_queen *q)
{
    uint64_t stuck;
    enum apiary_state state = queen_health(q, &stuck);

    if (!ap_swarm_beat(q->seg, &q->registration, state, stuck)) return;
    ap_monitor_nudge(q->monitor);
    look_for_name(q);
}

/* Once a second, however often there is an occasion: who does not go on is judged by the beats since. */
static void beat_when_due(struct ap_queen *q)
{
    uint64_t now = q->seg->ops->now();

    if (now < q->beat_due) return;
    queen_beat(q);
    q->beat_due = now + BEAT;
}

/* Whose fault it is that the time to stop is over and the queen is still here. */
static void say_stuck(struct ap_queen *q, struct ap_worker *w)
{
    const struct ap_agent *agent = ap_worker_called(w);
    uint64_t now = q->seg->ops->now();

    if (!w->running || w->told || !ap_load_relaxed(&q->stop)) return;
    if (now < q->stop_until || now - q->stop_until < LAST_MOMENT / 2) return;
    w->told = true;
    ap_queen_log(q, 4, "worker %u does not return; the agent that was called last is %s", w->index,
                 agent != NULL ? agent->name : "none");
}

static bool workers_join(struct ap_queen *q)
{
    bool all = true;

    for (uint32_t i = 0; i < q->worker_count; i++)
        if (!ap_worker_join(&q->workers[i], LAST_MOMENT / 64)) all = false;
    return all;
}

/* Beats on: one that does not come back from its handler is no reason to say that the process has stopped. */
static void workers_stop(struct ap_queen *q)
{
    for (uint32_t i = 0; i < q->worker_count; i++) {
        if (!q->workers[i].running) continue;
        /* One that is still making its agents has to end that first: it has no loop yet that could be woken. */
        ap_worker_command(&q->workers[i], AP_WORKER_STOP);
    }
    while (!workers_join(q)) {
        for (uint32_t i = 0; i < q->worker_count; i++) say_stuck(q, &q->workers[i]);
        beat_when_due(q);
    }
}

/* Sleeps until there is news or the next beat is due, and beats. */
static void pass_time(struct ap_queen *q, uint32_t news, uint64_t until)
{
    q->seg->ops->futex_wait(&q->news, news, q->beat_due < until ? q->beat_due : until);
    beat_when_due(q);
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

/* Another agent of some capability has declared otherwise. Somebody's configuration is not what its author believes. */
static void say_conflicts(const struct ap_queen *q, const struct ap_terms_conflicts *all)
{
    for (uint32_t i = 0; i < all->count && i < AP_TERMS_CONFLICTS; i++) {
        const struct ap_terms_conflict *c = &all->list[i];
        char name[APIARY_CAPABILITY_MAX + 1], before[48], now[48];

        ap_capability_name(q->seg, c->capability, name);
        ap_term_print(c->term, c->before, before, sizeof before);
        ap_term_print(c->term, ap_term_declared(q->seg, c->capability, c->term), now, sizeof now);
        ap_queen_log(q, 4, "%s: another agent has declared %s: %s; %s declares %s, which is in force now", name,
                     ap_term_rows[c->term].key, before, q->service, now);
    }
    if (all->count > AP_TERMS_CONFLICTS)
        ap_queen_log(q, 4, "%u more terms are declared otherwise by other agents", all->count - AP_TERMS_CONFLICTS);
}

static int queen_register(struct ap_queen *q)
{
    struct ap_terms_conflicts conflicts = {.count = 0};
    int r;

    for (size_t i = 0; i < q->agent_count; i++) q->rows[i].lane = q->agents[i].worker->context->lane.index;
    q->registration.park = (uint16_t)ap_loop_park_kind(q->workers[0].loop); /* one machine and environment: all alike */
    q->registration.conflicts = &conflicts;
    r = ap_swarm_register(q->seg, &q->registration);
    q->registration.conflicts = NULL;
    if (r == APIARY_EEXIST)
        ap_format(q->message, sizeof q->message, "%s, instance %s: %s; %s", q->service,
                 q->registration.instance != NULL ? q->registration.instance : "0", apiary_strerror(r), apiary_advice(r));
    if (r == APIARY_ETABLEFULL && q->registration.no_room_for_rules)
        ap_format(q->message, sizeof q->message, "%s: %s", q->service, AP_RULES_FULL);
    if (r < 0) return r;
    say_conflicts(q, &conflicts);
    q->service_index = q->registration.service_index; /* nobody may have used the name since it was entered */
    for (size_t i = 0; i < q->agent_count; i++) q->agents[i].queue = q->rows[i].queue;
    /* The member attached before its swarm's own, tighter bound could be known. */
    if (q->client->service >= 0 && q->client->service == ap_service_find(q->seg, q->service) &&
        q->registration.max_delegations != 0 && q->registration.max_delegations < q->client->limit)
        ap_store_relaxed(&q->client->limit, q->registration.max_delegations); /* other threads may be delegating */
    return 0;
}

static int queen_open(struct ap_queen *q)
{
    int r = 0;
    struct ap_lane_context *c = ap_context(q->client, &r);

    if (c == NULL) return r;
    q->registration.lane = c->lane.index;
    q->registration.member = c->lane.member;
    r = workers_start(q);
    if (r == 0) {
        r = ap_monitor_start(q->seg, c->lane.member, &q->monitor);
        if (r == APIARY_ESYS) ap_format(q->message, sizeof q->message, "%s: its monitor cannot be started: %s", q->service,
                     strerror(errno));
    }
    if (r == 0) r = queen_register(q);
    if (r < 0) return r;
    workers_command(q, AP_WORKER_RUN);
    beat_when_due(q);
    ap_lanes_changed(q->seg); /* what waits for these capabilities elsewhere may be moved here: a sweep */
    return 0;
}

static bool all_drained(const struct ap_queen *q)
{
    for (uint32_t i = 0; i < q->worker_count; i++) {
        const struct ap_worker *w = &q->workers[i];
        if (ap_load_acquire(&w->phase) == AP_WORKER_LOST) continue; /* WORKER-A1 pairs WORKER-R1 */
        if (ap_load_acquire(&w->drained) != w->drain) return false; /* WORKER-A1 pairs WORKER-R1 */
    }
    return true;
}

/* Until no worker has anything in hand, or the time is up. */
static void queen_drain(struct ap_queen *q)
{
    for (uint32_t i = 0; i < q->worker_count; i++) ap_worker_drain(&q->workers[i]);
    for (;;) {
        uint32_t news = ap_load_acquire(&q->news); /* NEWS-A1 pairs NEWS-R1 */

        if (all_drained(q)) return;
        if (q->seg->ops->now() >= q->stop_until) return;
        pass_time(q, news, q->stop_until);
    }
}

static void queen_run(struct ap_queen *q)
{
    for (;;) {
        uint32_t news = ap_load_acquire(&q->news); /* NEWS-A1 pairs NEWS-R1 */

        if (ap_load_acquire(&q->stop)) break; /* NEWS-A2 pairs NEWS-R2 */
        pass_time(q, news, UINT64_MAX);
    }
    ap_swarm_withdraw(q->seg, &q->registration);
    queen_drain(q);
    /* Nothing more is started, then the queues close and what is left in them goes to others. */
    workers_command(q, AP_WORKER_HOLD);
    ap_swarm_close(q->seg, q->registration.lane, &q->registration);
    /* For tasks of a client that had chosen an agent before the withdrawal, and queued them when its worker had just drained. */
    queen_drain(q);
}

static void queen_say_phase(struct ap_queen *q, enum ap_queen_phase phase)
{
    ap_store_release(&q->phase, phase); /* QUEEN-R1 pairs QUEEN-A1 */
    q->seg->ops->futex_wake(&q->phase, INT_MAX);
}

static void *control_main(void *arg)
{
    struct ap_queen *q = arg;

    q->result = queen_open(q);
    if (q->result == 0) {
        queen_say_phase(q, AP_QUEEN_UP);
        queen_run(q);
    }
    workers_stop(q);
    /* Not before: whoever registers this instance next opens its queues, and a worker that was in a handler when it was told to
     * hold is their consumer until it has ended. */
    if (q->result == 0) ap_swarm_deregister(q->seg, q->registration.lane, &q->registration);
    ap_monitor_stop(q->monitor);
    if (q->result < 0) queen_say_phase(q, AP_QUEEN_REFUSED);
    return NULL;
}

static int control_start(struct ap_queen *q)
{
    int r = ap_thread_start(&q->control, "apiary-queen", control_main, q);

    if (r != 0) {
        ap_format(q->message, sizeof q->message, "%s: its thread cannot be made: %s", q->service, strerror(r));
        return APIARY_ESYS;
    }
    while (ap_load_acquire(&q->phase) == AP_QUEEN_STARTING) /* QUEEN-A1 pairs QUEEN-R1 */
        q->seg->ops->futex_wait(&q->phase, AP_QUEEN_STARTING, UINT64_MAX);
    if (ap_load_acquire(&q->phase) == AP_QUEEN_UP) return 0;
    pthread_join(q->control, NULL);
    return q->result;
}

/* ---- the queen's handle ----------------------------------------------------------------------------------------- */

static pthread_mutex_t queens_lock = PTHREAD_MUTEX_INITIALIZER;

/* Copies what a call through the queen needs: the queen may leave meanwhile. APIARY_ESTALE. */
static int queen_use(const apiary_queen_t *name, struct apiary **client, int *service)
{
    const struct ap_queen *q;

    pthread_mutex_lock(&queens_lock);
    q = ap_handle_get_as(name, AP_HANDLE_QUEEN);
    if (q != NULL) {
        *client = q->client;
        *service = (int)q->service_index;
    }
    pthread_mutex_unlock(&queens_lock);
    return q != NULL ? 0 : APIARY_ESTALE;
}

/* The one thread that stops or adjusts her. APIARY_ESTALE: she has left; _EINVAL: another thread is at it; _EFORKED. */
static int stopping_begin(const apiary_queen_t *name, struct ap_queen **ret)
{
    struct ap_queen *q;
    int r = 0;

    pthread_mutex_lock(&queens_lock);
    q = ap_handle_get_as(name, AP_HANDLE_QUEEN);
    if (q == NULL) r = APIARY_ESTALE;
    else if (ap_forked(q->seg)) r = APIARY_EFORKED;
    else if (q->stopping) r = APIARY_EINVAL;
    else q->stopping = true;
    pthread_mutex_unlock(&queens_lock);
    if (r == 0) *ret = q;
    return r;
}

static void stopping_end(struct ap_queen *q)
{
    pthread_mutex_lock(&queens_lock);
    q->stopping = false;
    pthread_mutex_unlock(&queens_lock);
}

/* Nobody finds her any more. */
static void queen_remove(struct ap_queen *q)
{
    pthread_mutex_lock(&queens_lock);
    ap_handle_close(q->handle);
    q->handle = NULL;
    pthread_mutex_unlock(&queens_lock);
}

/* ---- adjusted ------------------------------------------------------------------------------------------------- */

static void adjust_limit(const struct ap_queen *q)
{
    uint32_t most = q->seg->geometry.max_concurrent_delegations, own = q->registration.max_delegations;

    if (q->client->service < 0 || q->client->service != ap_service_find(q->seg, q->service)) return;
    ap_store_relaxed(&q->client->limit, own > 0 && own < most ? own : most); /* other threads may be delegating */
}

static int adjust(struct ap_queen *q, const apiary_swarm_description_t *d, const struct ap_queen_given *given)
{
    struct ap_terms_conflicts conflicts = {.count = 0};
    struct ap_swarm_registration next = q->registration;
    int r = 0;
    const struct ap_lane_context *c = ap_context(q->client, &r);

    if (c == NULL) return r;
    next.agents = calloc(q->agent_count, sizeof *next.agents);
    if (next.agents == NULL) return APIARY_ENOBLOCK;
    ap_queen_terms(&next, d);
    next.conflicts = &conflicts;
    for (size_t i = 0; i < q->agent_count; i++) {
        next.agents[i] = q->rows[i];
        next.agents[i].terms = given->terms[i];
        next.agents[i].rules = given->rules[i];
    }
    r = ap_swarm_adjust(q->seg, c->lane.index, &q->registration, &next);
    if (r == 0) {
        memcpy(q->rows, next.agents, q->agent_count * sizeof *q->rows);
        ap_queen_terms(&q->registration, d);
        adjust_limit(q);
        say_conflicts(q, &conflicts);
    }
    free(next.agents);
    return r;
}

int ap_queen_adjust(const apiary_queen_t *name, const apiary_swarm_description_t *d, const struct ap_queen_given *given)
{
    struct ap_queen *q = NULL;
    AP_UNCANCELLED; /* what a log calls may be a cancellation point */
    int r = d->weight > AP_WEIGHT_MAX || d->unhealthy_after > AP_HEALTH_TIMES_MAX || d->healthy_after > AP_HEALTH_TIMES_MAX
                ? APIARY_EINVAL
                : stopping_begin(name, &q);

    if (r < 0) return r;
    r = adjust(q, d, given);
    stopping_end(q);
    return r;
}

/* ---- the public face ------------------------------------------------------------------------------------------ */

static int queen_start(struct apiary *a, const apiary_swarm_description_t *swarm, const struct ap_queen_given *given, char *message,
                       size_t message_size, apiary_queen_t **ret)
{
    struct ap_queen *q = NULL;
    char text[sizeof q->message] = "";
    int r = a == NULL || swarm == NULL || ret == NULL ? APIARY_EINVAL : ap_usable(a);

    if (r == 0) r = ap_queen_make(a, swarm, given, text, sizeof text, &q);
    if (r == 0) {
        r = control_start(q);
        if (r < 0) memcpy(text, q->message, sizeof text);
    }
    if (r == 0) {
        ap_queen_log(q, 6, "%s is registered with %zu agents on %u workers, parking by %s", q->service, q->agent_count,
                     q->worker_count, ap_park_name(ap_loop_park_kind(q->workers[0].loop)));
        *ret = ap_handle_name(q->handle);
        return 0;
    }
    ap_queen_free(q);
    if (message != NULL && message_size > 0) {
        if (text[0] == '\0') ap_format(text, sizeof text, "%s; %s", apiary_strerror(r), apiary_advice(r));
        ap_format(message, message_size, "%s", text);
    }
    return r;
}

int ap_queen_start(struct apiary *a, const apiary_swarm_description_t *swarm, const struct ap_queen_given *given, char *message,
                   size_t message_size, apiary_queen_t **ret)
{
    AP_UNCANCELLED; /* nobody could stop one that was started without its handle */

    return queen_start(a, swarm, given, message, message_size, ret);
}

int apiary_queen_start(apiary_t *a, const apiary_swarm_description_t *swarm, char *message, size_t message_size,
                       apiary_queen_t **ret)
{
    return ap_queen_start(a, swarm, NULL, message, message_size, ret);
}

static bool control_join(struct ap_queen *q, uint64_t until)
{
    const struct ap_ops *ops = q->seg->ops;
    uint64_t now = ops->now(), at;
    struct timespec limit;

    if (until == UINT64_MAX) return pthread_join(q->control, NULL) == 0;
    /* By the clock that a join has everywhere; the thread sanitizer of gcc 12 does not know the other one. */
    at = ops->realtime() + (until > now ? until - now : 0);
    limit = (struct timespec){.tv_sec = (time_t)(at / NSEC), .tv_nsec = (long)(at % NSEC)};
    return pthread_timedjoin_np(q->control, NULL, &limit) == 0;
}

static int queen_stop(apiary_queen_t *name, uint64_t timeout)
{
    const struct ap_worker *self = ap_worker_self();
    struct ap_queen *queen;
    uint64_t now, until;
    int r;

    if (name == NULL) return 0;
    if (self != NULL && ap_handle_name(self->queen->handle) == name) return APIARY_EINVAL; /* it would wait for itself */
    r = stopping_begin(name, &queen);
    if (r < 0) return r;
    now = queen->seg->ops->now();
    until = timeout >= UINT64_MAX - now - LAST_MOMENT ? UINT64_MAX : now + timeout + LAST_MOMENT;
    if (!ap_load_relaxed(&queen->stop)) {
        queen->stop_until = until == UINT64_MAX ? UINT64_MAX : now + timeout;
        ap_store_release(&queen->stop, 1); /* NEWS-R2 pairs NEWS-A2 */
        ap_queen_news(queen);
    }
    if (!control_join(queen, until)) {
        stopping_end(queen); /* it may be called again */
        return APIARY_ETIMEDOUT;
    }
    ap_queen_log(queen, 6, "%s has left", queen->service);
    queen_remove(queen);
    ap_queen_free(queen);
    return 0;
}

int apiary_queen_stop(apiary_queen_t *name, uint64_t timeout)
{
    AP_UNCANCELLED; /* of one that is stopped by half nobody can stop the other */

    return queen_stop(name, timeout);
}

/* A worker that waits for a worker is refused: it uses apiary_agent_execute_task. */
int apiary_execute_task(apiary_queen_t *queen, const char *capability, const void *body, size_t size,
                        const apiary_delegate_options_t *options, void *result, size_t capacity, size_t *ret_size)
{
    struct apiary *client;
    int service, r = queen == NULL || ap_worker_self() != NULL ? APIARY_EINVAL : queen_use(queen, &client, &service);

    if (r < 0) return r;
    return ap_call(client, service, capability, NULL, body, size, options, result, capacity, ret_size);
}

int apiary_delegate_external_task(apiary_queen_t *queen, const char *capability, const void *body, size_t size,
                                  const apiary_delegate_options_t *options, void *result, size_t capacity, size_t *ret_size)
{
    struct apiary *client;
    int service, r = queen == NULL || ap_worker_self() != NULL ? APIARY_EINVAL : queen_use(queen, &client, &service);

    if (r < 0) return r;
    return apiary_call(client, capability, body, size, options, result, capacity, ret_size);
}
