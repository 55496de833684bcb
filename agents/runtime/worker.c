/* agents/runtime/worker.c - the worker's thread. See worker.h. */
#include "agents/runtime/worker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/runtime/crash.h"
#include "agents/runtime/placed.h"
#include "agents/runtime/queen.h"
#include "agents/runtime/takeover.h"
#include "core/text.h"
#include "core/thread.h"
#include "core/uring.h"
#include "shm/bell.h"
#include "shm/probe.h"

#define NSEC UINT64_C(1000000000)
#define BATCH 16            /* tasks of one agent in one turn */
#define LOOKS 16u           /* delegations looked at in one turn */
#define PUBLISH_AFTER 64u   /* tasks started or finished, while busy */
#define GLANCES 4u          /* at one ring, between two turns of everything */
#define PUBLISH_IDLE 32u    /* empty turns, after which it says what it has done */
#define PUBLISH_CROWDED 4u  /* the same where each may last as long as a turn of the scheduler */

_Thread_local struct ap_worker *ap_worker_here;

/* ---- draining ------------------------------------------------------------------------------------------------- */

static bool may_start(const struct ap_agent *agent)
{
    return agent->in_hand < agent->limit && agent->held_until == 0;
}

static uint64_t scan_where(struct ap_agent *agent, ap_may_fn may, void *user)
{
    uint64_t ref = ap_queue_scan_where(&agent->consumer, &agent->cursor, may, user);

    if (ref == 0) agent->scanning = agent->first_scan = false;
    return ref;
}

static uint64_t scan(struct ap_agent *agent)
{
    return scan_where(agent, NULL, NULL);
}

/* A reference that a scan was allowed to take out of a ring has its place. */
struct allowed {
    struct ap_agent *agent;
    uint64_t ref;
};

static bool scan_may(void *user, uint64_t ref)
{
    struct allowed *a = user;

    if (!ap_placed_may(a->agent, ref)) return false;
    a->ref = ref;
    return true;
}

/* A task that a scan has found and that may not be started waits, and the scan with it. */
static uint64_t scan_placed(struct ap_agent *agent)
{
    struct allowed a = {.agent = agent};
    uint64_t ref = agent->stalled != 0 ? agent->stalled : scan_where(agent, scan_may, &a);

    agent->stalled = ref != 0 && ref != a.ref && !ap_placed_may(agent, ref) ? ref : 0;
    return agent->stalled == 0 ? ref : 0;
}

/* A reference as next_ref gives one, but only of a task that may be started: with its place. */
static __attribute__((noinline)) uint64_t next_placed(struct ap_agent *agent)
{
    uint64_t ref = agent->scanning || agent->stalled != 0 ? scan_placed(agent) : 0;

    /* The rings hold what is younger. But a task without a place holds up no others. */
    if (ref == 0 && agent->first_scan && agent->stalled == 0) return 0;
    return ref == 0 ? ap_queue_pop_where(&agent->consumer, ap_placed_may, agent) : ref;
}

/* The first scan comes before the rings, since it may find what was taken from one and never begun. Later ones take turns with
 * them: what a recovery leaves to be found is a dead client's, or was moved here, and nobody who lives should wait for it. */
static uint64_t next_ref(struct ap_agent *agent)
{
    uint64_t ref = 0;

    if (agent->scanning && (agent->first_scan || (agent->scan_turn = !agent->scan_turn))) ref = scan(agent);
    if (ref == 0) ref = ap_queue_pop(&agent->consumer);
    return ref == 0 && agent->scanning ? scan(agent) : ref;
}

/* Whether the task went to another provider, since this agent's tasks fail. The one that is sent when its time is over stays. */
static __attribute__((noinline)) bool pass_to_another(struct ap_worker *w, const struct ap_agent *agent, uint64_t ref)
{
    const struct ap_slot *slot = ap_slot_at(w->seg, AP_REF_SLOT(ref));
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A1 pairs TASK-R1 */

    if (w->seg->ops->now() >= agent->outlier.until) return false;
    if (AP_WORD_STATE(word) != AP_TASK_QUEUED || AP_WORD_OWNER(word) != agent->queue) return false;
    if (AP_WORD_GENERATION(word) != AP_REF_GENERATION(ref)) return false;
    return ap_reroute(w->seg, &w->context->balance, AP_REF_SLOT(ref), word) == AP_MOVE_MOVED;
}

static int worker_drain(struct ap_worker *w, struct ap_agent *agent)
{
    int n = 0, probes = 0;

    if (!agent->scanning && ap_queue_rescan_due(&agent->consumer)) {
        agent->scanning = true;
        agent->cursor = 0;
    }
    /* A handler may have taken so long that the queen has said to hold: she waits for nothing that is begun after that. */
    while (n < BATCH && may_start(agent) && ap_load_relaxed(&w->command) == AP_WORKER_RUN) {
        uint64_t ref;

        if (__builtin_expect(ap_probe_asked(&agent->consumer), 0)) probes += ap_worker_answer(w, agent);
        ref = __builtin_expect(agent->bounded, 0) ? next_placed(agent) : next_ref(agent);
        if (ref == 0) break;
        if (n++ == 0) w->now = w->seg->ops->now();
        if (__builtin_expect(agent->outlier.until != 0, 0) && pass_to_another(w, agent, ref)) {
            ap_placed_back(agent);
            continue;
        }
        ap_worker_start_task(w, agent, ref);
    }
    if (n > 0) w->latest = agent;
    if (agent->unpublished >= PUBLISH_AFTER) ap_worker_publish(agent);
    return n + probes;
}

/* Whether the task that waits to run alone still waits here. */
static bool still_aside(const struct ap_worker *w, const struct ap_agent *agent)
{
    const struct ap_slot *slot = ap_slot_at(w->seg, AP_REF_SLOT(agent->aside));
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A1 pairs TASK-R1 */

    return AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_OWNER(word) == agent->queue &&
           AP_WORD_GENERATION(word) == AP_REF_GENERATION(agent->aside);
}

static bool may_start_aside(const struct ap_agent *agent)
{
    return agent->aside != 0 && agent->in_hand < agent->limit && (agent->in_hand == 0 || agent->held_until == 0);
}

/* Ends what has lasted too long, or has lost its reason. Returns whether a task was started. */
static int look_at_hold(struct ap_worker *w, struct ap_agent *agent)
{
    uint64_t ref = agent->aside;

    if (w->now >= agent->held_until) agent->held_until = 0;
    if (ref == 0) return 0;
    if (!still_aside(w, agent)) {
        agent->aside = agent->held_until = 0;
        return 0;
    }
    if (!may_start_aside(agent) || (agent->bounded && !ap_placed_would(agent, ref))) return 0;
    ap_worker_start_task(w, agent, ref); /* it is still aside, so it does not wait again */
    agent->aside = 0;
    return 1;
}

/* Nothing is started in an agent beside a suspect, or before one that waits; but what it has in hand may be waiting for what it has
 * delegated to an agent of this very worker. */
static int start_own(struct ap_worker *w)
{
    struct ap_agent *agent;
    uint64_t ref = ap_delegations_here(w, &agent);

    if (ref == 0) return 0;
    ap_worker_start_task(w, agent, ref);
    return 1;
}

static __attribute__((noinline)) int look_at_holds(struct ap_worker *w)
{
    int n = 0;

    w->now = w->seg->ops->now();
    w->holds = false;
    for (size_t i = 0; i < w->agent_count; i++) {
        struct ap_agent *agent = w->agents[i];

        if (agent->held_until == 0 && agent->aside == 0) continue;
        n += look_at_hold(w, agent);
        if (agent->held_until != 0 || agent->aside != 0) w->holds = true;
    }
    return w->holds ? n + start_own(w) : n;
}

/* When the first agent is to go on: a time, or UINT64_MAX. */
static uint64_t holds_due(const struct ap_worker *w, uint64_t now)
{
    uint64_t due = UINT64_MAX;

    for (size_t i = 0; w->holds && i < w->agent_count; i++) {
        uint64_t until = w->agents[i]->held_until;
        if (until != 0 && until < due) due = until;
    }
    for (size_t i = 0; i < w->agent_count; i++)
        if (ap_placed_waits(w->agents[i]) && now + AP_STALLED_PAUSE < due) due = now + AP_STALLED_PAUSE;
    return due;
}

/* Inlined into the thread's turn. */
inline __attribute__((always_inline)) int ap_worker_serve(struct ap_worker *w)
{
    int n = __builtin_expect(w->holds, 0) ? look_at_holds(w) : 0;

    for (size_t i = 0; i < w->agent_count; i++) {
        size_t at = w->first + i;
        n += worker_drain(w, w->agents[at < w->agent_count ? at : at - w->agent_count]);
    }
    if (++w->first >= w->agent_count) w->first = 0;
    return n;
}

static int worker_turn(struct ap_worker *w, uint32_t command)
{
    int n = ap_loop_turn(w->loop);

    if (__builtin_expect(w->crash_passed_on, 0)) ap_crash_survived(w);
    ap_store_relaxed(&w->turns, w->turns + 1);
    n += ap_worker_take_handed(w);
    n += ap_delegations_poll(w, LOOKS, false);
    if (__builtin_expect(w->timed != 0, 0)) n += ap_timers_look(w);
    if (command == AP_WORKER_RUN) n += ap_worker_serve(w);
    return n;
}

static void publish_all(struct ap_worker *w)
{
    for (size_t i = 0; i < w->agent_count; i++) {
        struct ap_agent *agent = w->agents[i];
        if (agent->unpublished != 0 || agent->shown != agent->in_hand) ap_worker_publish(agent);
    }
}

/* ---- parking -------------------------------------------------------------------------------------------------- */

/* After the bell was raised: BELL-F2 pairs BELL-F1 of who gives a place back. */
static bool placed_to_do(struct ap_agent *agent)
{
    bool some = ap_queue_settle(&agent->consumer) != 0;

    if (ap_probe_asked(&agent->consumer)) return true;
    if (agent->stalled != 0 && ap_placed_would(agent, agent->stalled)) return true;
    if (agent->stalled == 0 && (agent->scanning || ap_queue_rescan_due(&agent->consumer))) return true;
    return some && (!agent->first_scan || agent->stalled != 0) && ap_queue_any_where(&agent->consumer, ap_placed_would, agent);
}

/* The last look, after the bell was raised. A task that may not be started now is no reason to stay awake: the end of a job makes
 * it possible again, and is seen in the loop. */
static bool something_to_do(struct ap_worker *w, uint32_t command)
{
    if (ap_load_acquire(&w->handed) != NULL || ap_load_acquire(&w->command) != command) return true;
    if (ap_delegations_poll(w, w->delegation_count, true) > 0) return true;
    if (w->behind > 0 && ap_job_parts_ready(w)) return true;
    if (command != AP_WORKER_RUN) return false;
    for (size_t i = 0; i < w->agent_count; i++) {
        struct ap_agent *agent = w->agents[i];
        if (may_start_aside(agent) && (!agent->bounded || ap_placed_would(agent, agent->aside))) return true;
        if (!may_start(agent)) continue;
        if (agent->bounded) {
            if (placed_to_do(agent)) return true;
            continue;
        }
        if (ap_queue_settle(&agent->consumer) || agent->scanning || ap_queue_rescan_due(&agent->consumer)) return true;
    }
    return false;
}

/* With nothing in hand a task that waits to run alone keeps its worker awake, unless that is held and will not start it. */
static void say_drained(struct ap_worker *w)
{
    uint32_t asked = ap_load_acquire(&w->drain); /* WORKER-A2 pairs WORKER-R2 */

    if (asked == w->drained || w->in_hand_count > 0) return;
    ap_store_release(&w->drained, asked); /* WORKER-R1 pairs WORKER-A1 */
    ap_queen_news(w->queen);
}

static void say_reopened(struct ap_worker *w)
{
    const struct ap_agent *agent = ap_worker_called(w);

    w->reopened = ap_loop_reopened(w->loop);
    ap_queen_log(w->queen, 3, "worker %u: other code in this process has closed its descriptors; they were opened again; the agent "
                 "that was called last is %s", w->index, agent != NULL ? agent->name : "none");
}

bool ap_worker_rest(struct ap_worker *w, uint32_t command, uint32_t *ret_bell)
{
    publish_all(w);
    ap_placed_learn(w);
    *ret_bell = 0;
    if (w->queen->worker_count > 1 && command == AP_WORKER_RUN && ap_takeover(w)) return false;
    *ret_bell = ap_bell_raise(&w->context->lane.lane->bell); /* BELL-F2, and QUEUE-F2 for what follows */
    return !something_to_do(w, command);
}

uint64_t ap_worker_due(const struct ap_worker *w, uint32_t command, uint64_t now)
{
    uint64_t due = ap_delegations_due(w), held = command == AP_WORKER_RUN ? holds_due(w, now) : UINT64_MAX;

    if (w->timed != 0 && w->timers_due < due) due = w->timers_due;
    return due < held ? due : held;
}

static void worker_park(struct ap_worker *w, uint32_t command)
{
    uint64_t before;
    uint32_t value;

    if (!ap_worker_rest(w, command, &value)) return;
    say_drained(w);
    before = w->seg->ops->now();
    ap_store_relaxed(&w->parked, 1);
    ap_loop_word(w->loop, 0, &w->context->lane.lane->bell, value, false);
    ap_loop_park(w->loop, ap_worker_due(w, command, before));
    ap_store_relaxed(&w->parked, 0);
    ap_noted_look(w);
    if (__builtin_expect(ap_loop_reopened(w->loop) != w->reopened, 0)) say_reopened(w);
    ap_spin_parked(&w->spin, w->seg->ops->now() - before);
}

static void worker_run(struct ap_worker *w)
{
    uint32_t idle = 0, command;

    while ((command = ap_load_acquire(&w->command)) != AP_WORKER_STOP) { /* WORKER-A2 pairs WORKER-R2 */
        if (worker_turn(w, command) > 0) {
            ap_spin_found(&w->spin);
            idle = 0;
            continue;
        }
        if (++idle == (w->spin.crowded ? PUBLISH_CROWDED : PUBLISH_IDLE)) publish_all(w);
        if (command != AP_WORKER_RUN || !ap_spin_more(&w->spin)) {
            worker_park(w, command);
            idle = 0;
        } else if (w->latest != NULL && ap_queue_glance(&w->latest->consumer, GLANCES) && worker_drain(w, w->latest) > 0) {
            ap_spin_found(&w->spin);
            idle = 0;
        }
    }
}

/* ---- opening and closing -------------------------------------------------------------------------------------- */

static int agents_create(struct ap_worker *w)
{
    char why[256];

    for (size_t i = 0; i < w->agent_count; i++) {
        struct ap_agent *agent = w->agents[i];
        int r;

        ap_arena_open(&agent->arena);
        w->message[0] = '\0'; /* of one that was made all the same */
        r = agent->kind->create != NULL ? agent->kind->create(ap_handle_name(agent->handle), &agent->state) : 0;
        if (r < 0) {
            if (w->message[0] == '\0') {
                ap_format(why, sizeof why, "%s; %s", apiary_strerror(r), apiary_advice(r));
                ap_agent_explain(agent, why);
            }
            return r;
        }
        agent->created = true;
    }
    return 0;
}

/* After the last job: what agents still hold is only pointers. */
static void agents_destroy(struct ap_worker *w)
{
    for (size_t i = w->agent_count; i > 0; i--) {
        struct ap_agent *agent = w->agents[i - 1];
        if (agent->created && agent->kind->destroy != NULL) agent->kind->destroy(agent->state);
        agent->created = false;
    }
    for (size_t i = 0; i < w->agent_count; i++) {
        ap_arena_close(&w->agents[i]->arena);
        ap_agent_lists_free(w->agents[i]);
        ap_handle_close(w->agents[i]->handle);
        w->agents[i]->handle = NULL;
    }
}

static int worker_open(struct ap_worker *w)
{
    char why[192];
    int r = 0;

    w->delegations_end = &w->delegations;
    ap_spin_open(&w->spin, w->seg->ops);
    w->context = ap_context_work(w->client, &r);
    if (w->context == NULL) return r;
    w->lane = w->context->lane;
    r = ap_loop_create(w->seg->ops, 1, &w->loop);
    if (r < 0) {
        if (r == APIARY_ESYS) ap_format(why, sizeof why, "%s: %s", apiary_strerror(r), strerror(errno));
        else ap_park_refusal(r, why, sizeof why);
        ap_format(w->message, sizeof w->message, "worker %u: %s", w->index, why);
        return r;
    }
    ap_loop_inside(w->loop, &w->context->lane.lane->inside);
    r = agents_create(w);
    if (r < 0) return r;
    r = ap_worker_jobs_open(w); /* how many, the agents have said */
    if (r < 0) ap_format(w->message, sizeof w->message, "worker %u: no memory for its agents' jobs", w->index);
    return r;
}

void ap_worker_consume(struct ap_worker *w)
{
    ap_noted_look(w);
    for (size_t i = 0; i < w->agent_count; i++) {
        struct ap_agent *agent = w->agents[i];
        ap_consumer_init(&agent->consumer, w->seg, agent->queue);
        agent->times = ap_times_at(w->seg, agent->queue);
        ap_tallied_begin(agent);
        agent->started = ap_queue_settle_started(&agent->consumer);
        agent->done = ap_load_relaxed(&agent->consumer.queue->done);
        agent->failed = ap_load_relaxed(&agent->consumer.queue->failed);
        agent->late = ap_load_relaxed(&agent->consumer.queue->late);
        agent->retried = ap_load_relaxed(&agent->consumer.queue->retried);
        agent->run_time = ap_load_relaxed(&agent->consumer.queue->run_time);
        agent->outlier = (struct ap_outlier){.until = 0};
        ap_pace_begin(agent);
        ap_agent_heap_tell(agent, w->seg->ops->now());
        agent->scanning = agent->first_scan = true; /* tasks may have waited here for years */
        agent->cursor = agent->stalled = 0;
    }
    ap_placed_learn(w);
}

/* Fails the jobs that are still in hand, and makes their handles stale. A thread of an agent may hand over jobs until its destroy
 * has ended that thread. */
void ap_worker_jobs_end(struct ap_worker *w)
{
    ap_worker_take_handed(w);
    for (uint32_t i = 0; i < w->job_count; i++)
        if (w->jobs[i].busy) ap_job_finish(&w->jobs[i], APIARY_ESHUTDOWN, 0, NULL, 0);
}

/* A queen that has lost a thread to one of her agents leaves. The tasks that others of them have in hand are not to pay for it: the
 * worker ends as the dead do, and they run again. */
static bool leaves_as_dead(const struct ap_worker *w)
{
    for (uint32_t i = 0; i < w->queen->worker_count; i++)
        if (ap_load_acquire(&w->queen->workers[i].phase) == AP_WORKER_LOST) return true; /* WORKER-A1 pairs WORKER-R1 */
    return false;
}

/* The tasks in hand stay RUNNING, and nobody can answer them any more. */
static void jobs_leave(struct ap_worker *w)
{
    ap_worker_take_handed(w);
    for (uint32_t i = 0; i < w->job_count; i++) {
        if (!w->jobs[i].busy) continue;
        if ((w->jobs[i].marks & AP_JOB_PARTS) != 0) ap_job_parts_drop(&w->jobs[i]);
        w->jobs[i].busy = false;
        ap_handle_renew(w->jobs[i].handle);
    }
}

static void worker_close(struct ap_worker *w)
{
    bool as_dead = leaves_as_dead(w);

    if (as_dead) jobs_leave(w);
    ap_worker_jobs_end(w);
    ap_delegations_end(w, APIARY_ESHUTDOWN);
    ap_worker_jobs_end(w); /* what those callbacks did not end */
    agents_destroy(w);
    ap_worker_take_handed(w);
    if (w->context != NULL && !as_dead) w->context->works = false;
}

static void worker_say_phase(struct ap_worker *w, enum ap_worker_phase phase)
{
    ap_store_release(&w->phase, phase); /* WORKER-R1 pairs WORKER-A1 */
    ap_queen_news(w->queen);
}

static __attribute__((noinline)) void worker_life(struct ap_worker *w)
{
    uint32_t command;

    ap_worker_here = w;
    ap_store_relaxed(&w->id, ap_thread_id());
    ap_crash_stack_open(w);
    w->result = worker_open(w);
    worker_say_phase(w, w->result < 0 ? AP_WORKER_FAILED : AP_WORKER_READY);
    while ((command = ap_load_acquire(&w->command)) == AP_WORKER_WAIT) /* WORKER-A2 pairs WORKER-R2: the queues */
        w->seg->ops->futex_wait(&w->command, AP_WORKER_WAIT, UINT64_MAX);
    if (command != AP_WORKER_STOP) {
        ap_worker_consume(w);
        worker_run(w);
    }
    worker_close(w);
    ap_worker_here = NULL; /* what an agent has left to the thread's end runs after the lane has gone */
}

/* An agent's function has not come back but ended the thread; by that thread, or by the queen's when it has gone. */
static void worker_lost(void *arg)
{
    struct ap_worker *w = arg;
    const struct ap_agent *agent = ap_worker_called(w);
    bool opening = ap_load_relaxed(&w->phase) == AP_WORKER_OPENING;

    ap_crash_mark(w, AP_CRASH_THREAD);
    ap_worker_here = NULL;
    if (opening)
        ap_format(w->message, sizeof w->message, "worker %u: an agent ended its thread while it was made", w->index);
    else
        ap_format(w->message, sizeof w->message, "worker %u: an agent ended its thread; the one that was called last is %s",
                  w->index, agent != NULL ? agent->name : "none");
    w->result = APIARY_EAGENT;
    if (!opening) ap_queen_log(w->queen, 2, "%s", w->message);
    worker_say_phase(w, opening ? AP_WORKER_FAILED : AP_WORKER_LOST);
}

/* Its lane bears the kernel's mark and may be another's by now, so nobody can tell there that it ended by itself: what it ran
 * counts as lost. It is not joined: allocators have lists that lead through its memory. */
bool ap_worker_vanished(struct ap_worker *w)
{
    uint32_t thread = ap_load_relaxed(&w->id), phase;

    if (!w->running || thread == 0 || ap_load_relaxed(&w->command) == AP_WORKER_STOP) return false;
    if (tgkill(getpid(), (pid_t)thread, 0) == 0 || errno != ESRCH) return false;
    phase = ap_load_acquire(&w->phase); /* WORKER-A1 pairs WORKER-R1. It may have told its end since the caller looked */
    if (phase == AP_WORKER_LOST || phase == AP_WORKER_FAILED) return false;
    w->running = false;
    if (w->context != NULL) w->context->vanished = true; /* a detach waits for the queen */
    w->context = NULL;
    worker_lost(w);
    return true;
}

static void *worker_main(void *arg)
{
    pthread_cleanup_push(worker_lost, arg);
    worker_life(arg);
    pthread_cleanup_pop(0);
    return NULL;
}

/* ---- the queen's side ----------------------------------------------------------------------------------------- */

int ap_worker_start(struct ap_worker *w)
{
    char name[16];
    int r;

    ap_crash_begin();
    snprintf(name, sizeof name, "apiary-work-%u", w->index & 0xff);
    r = ap_thread_start(&w->thread, name, worker_main, w);
    w->running = r == 0;
    if (r != 0) {
        ap_format(w->message, sizeof w->message, "worker %u: its thread cannot be made: %s", w->index, strerror(r));
        return APIARY_ESYS;
    }
    return 0;
}

void ap_worker_command(struct ap_worker *w, enum ap_worker_command command)
{
    ap_store_release(&w->command, command); /* WORKER-R2 pairs WORKER-A2 */
    w->seg->ops->futex_wake(&w->command, INT_MAX);
    if (ap_load_acquire(&w->phase) == AP_WORKER_READY) ap_loop_wake(w->loop); /* WORKER-A1 pairs WORKER-R1 */
}

void ap_worker_drain(struct ap_worker *w)
{
    ap_store_release(&w->drain, w->drain + 1); /* WORKER-R2 pairs WORKER-A2 */
    ap_loop_wake(w->loop);
}

/* The loop goes only here: until its thread has ended, the queen's thread may be about to wake it. */
bool ap_worker_join(struct ap_worker *w, uint64_t within)
{
    uint64_t until = w->seg->ops->realtime() + within;
    const struct timespec limit = {.tv_sec = (time_t)(until / NSEC), .tv_nsec = (long)(until % NSEC)};

    if (w->running && pthread_timedjoin_np(w->thread, NULL, &limit) == ETIMEDOUT) return false;
    w->running = false;
    ap_loop_destroy(w->loop);
    w->loop = NULL;
    ap_crash_stack_close(w);
    ap_worker_jobs_close(w);
    return true;
}
