/* registry/client/await.c - waiting for results: spin as long as that paid lately (core/spin.h), then park on the
 * submitting lane's bell.
 *
 * A park lasts 10 ms at first and then doubles to 1 s. Nobody needs the time-outs while all is well: the worker's finish, and
 * every recovery, ring the bell. Now and then in the spin, and before each park, the waiter looks whether the worker has died
 * unnoticed (then it recovers the lane itself) and whether the task sits in a queue that was closed (then it moves it). Before a
 * park that follows another it asks the system, too, for a death that no mark tells.
 */
#include <pthread.h>
#include <string.h>

#include "registry/client/client.h"
#include "registry/client/hedge.h"
#include "registry/client/sample.h"
#include "registry/client/sleep.h"
#include "registry/client/stream.h"
#include "registry/client/until.h"
#include "registry/discovery/changes.h"
#include "registry/memory/watch.h"
#include "shm/bell.h"
#include "shm/due.h"
#include "shm/follow.h"
#include "shm/image.h"

/* Why these and LOOKS: core/spin.h. */
#define PARK_FIRST UINT64_C(10000000)
#define PARK_MAX UINT64_C(1000000000)

struct waiting {
    struct apiary *a;
    struct ap_lane_context *c; /* of the calling thread, NULL: it has none */
    struct ap_spin *spin;      /* the context's, or own */
    struct ap_spin own;
    const apiary_task_t *tasks;
    size_t n;
    bool any;       /* await_any: a task that is given up is a result, too */
    bool sole;      /* nobody else knows the task: it goes with the wait */
    struct ap_reading *reading; /* a part of the only task is waited for, too; NULL: no */
    bool hedged;    /* one of them at least is */
    uint32_t interrupts; /* of the handle, as of the beginning */
    uint64_t until; /* the caller's */
    uint64_t soonest; /* deadline of one of the tasks */
    size_t helped;    /* how often it was looked whether one needs help, while awake */
    uint64_t park;
};

/* ---- looking -------------------------------------------------------------------------------------------------- */

/* 1 and the position, 0 none is finished, or an error. A finished task goes before an error of another. */
static int await_look(const struct waiting *w, size_t *position, apiary_result_t *ret)
{
    int error = 0;

    if (w->reading != NULL) return ap_reading_look(w->a, *w->tasks, w->reading);
    for (size_t i = 0; i < w->n; i++) {
        int r = ap_collect_at(w->a, w->tasks[i], ret);
        if (r > 0) {
            *position = i;
            return 1;
        }
        if (r < 0 && error == 0) error = r;
    }
    return error;
}

/* Something is not as it was: cheaper than look. */
static bool changed(const struct waiting *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct ap_slot *slot = ap_slot_at(w->a->seg, w->tasks[i].slot);
        uint64_t word = slot != NULL ? ap_load_relaxed(&slot->word) : 0;

        if (w->hedged && slot != NULL && ap_hedged(slot, word)) {
            if (ap_hedge_over(w->a, w->tasks[i])) return true;
            continue;
        }
        if (!ap_task_waits(AP_WORD_STATE(word)) && AP_WORD_STATE(word) != AP_TASK_RUNNING) return true;
        if (AP_WORD_GENERATION(word) != w->tasks[i].generation) return true;
        if (w->reading != NULL && ap_stream_any(w->a->seg, w->tasks[i].slot, word)) return true;
    }
    return false;
}

/* ---- what may keep it from finishing -------------------------------------------------------------------------- */

static bool await_reap(const struct waiting *w)
{
    return ap_reap_all(w->a->seg, w->c != NULL ? w->c->lane.index : AP_NO_LANE, &ap_registry_hooks) > 0;
}

/* With `ask` the system is asked, too, for a death that no mark tells. */
static bool owner_lives(const struct waiting *w, uint32_t lane, bool ask)
{
    if (ask) ap_image_judge(w->a->seg, lane);
    return ap_lane_alive(w->a->seg, lane);
}

/* It waits for another one of its key, which may have gone while nobody else was there to see it. Or its time has come, and it
 * waits for a provider that will never come. That its deadline has passed is its client's to see. */
static void due_help(const struct waiting *w, apiary_task_t task, const struct ap_slot *slot, uint64_t word)
{
    struct ap_segment *seg = w->a->seg;
    const struct ap_reap_hooks *hooks = &ap_registry_hooks;
    uint32_t self = w->c != NULL ? w->c->lane.index : AP_NO_LANE;
    int code;

    if (ap_coalesced(slot, word)) {
        ap_due_task(seg, hooks, self, task.slot, seg->ops->now());
        return;
    }
    code = ap_move_never(seg, hooks, task.slot);
    if (code == 0 || ap_load_acquire(&slot->due) > seg->ops->now()) return;
    if (ap_move_route(seg, hooks, task.slot) != AP_NO_QUEUE) return;
    ap_move_end(seg, hooks, self, task.slot, word, AP_TASK_FAILED, code);
}

/* Its worker is dead, or its queue is closed. True: the dead were recovered here. */
static bool await_help(const struct waiting *w, apiary_task_t task, bool ask)
{
    struct ap_segment *seg = w->a->seg;
    const struct ap_queue *q;
    struct ap_slot *slot;
    uint64_t word, life;
    bool reaped = false;

    if (!ap_task_find(w->a, task, &slot, &word)) return false;
    if (AP_WORD_STATE(word) == AP_TASK_RUNNING) return !owner_lives(w, AP_WORD_OWNER(word), ask) && await_reap(w);
    if (AP_WORD_STATE(word) == AP_TASK_SCHEDULED) due_help(w, task, slot, word);
    if (AP_WORD_STATE(word) != AP_TASK_QUEUED) return false;
    q = ap_queue_at(seg, AP_WORD_OWNER(word));
    life = q != NULL ? ap_load_acquire(&q->life) : 0;
    if (AP_QUEUE_STATE(life) == AP_QUEUE_OPEN) {
        if (owner_lives(w, AP_QUEUE_LANE(life), ask)) return false;
        reaped = await_reap(w);
        if (!ap_task_find(w->a, task, &slot, &word)) return reaped;
    }
    ap_reroute(seg, w->c != NULL ? &w->c->balance : NULL, task.slot, word);
    return reaped;
}

void ap_await_help(struct apiary *a, apiary_task_t task)
{
    const struct waiting w = {.a = a, .c = ap_here_is(a) ? ap_here.context : NULL};
    struct ap_slot *slot;
    uint64_t word;

    await_help(&w, task, true);
    if (ap_task_find(a, task, &slot, &word) && ap_task_ended(AP_WORD_STATE(word)) && ap_abandoned(slot, word))
        ap_task_free(a, task.slot, word);
}

void ap_reroute_own(struct ap_lane_context *c, apiary_task_t task)
{
    const struct waiting w = {.a = c->client, .c = c};
    struct ap_slot *slot;
    uint64_t word;

    if (!ap_task_find(c->client, task, &slot, &word)) return;
    if (AP_WORD_STATE(word) == AP_TASK_SCHEDULED) due_help(&w, task, slot, word);
    if (AP_WORD_STATE(word) == AP_TASK_QUEUED) ap_reroute(c->lane.seg, &c->balance, task.slot, word);
}

#define LOOKS 16u /* of a spin, between two at what may keep a task from finishing */

/* A waiting thread that is awake need not wait until the monitor has been woken. Of many tasks it looks at one at a time. After
 * it has recovered the dead it goes to sleep: another process has to be woken to run the task, and may need this processor. */
static bool spin(struct waiting *w)
{
    unsigned looks = 0;

    do {
        if (changed(w)) {
            ap_spin_found(w->spin);
            return true;
        }
        if (++looks % LOOKS != LOOKS / 2 || !await_help(w, w->tasks[w->helped++ % w->n], false)) continue;
        ap_spin_left(w->spin);
        return false;
    } while (ap_spin_more(w->spin));
    return false;
}

int ap_expire(struct apiary *a, apiary_task_t task, uint64_t now, uint64_t *until, apiary_result_t *ret)
{
    struct ap_segment *seg = a->seg;
    struct ap_slot *slot;
    uint64_t word;
    int r;

    for (;;) {
        r = ap_collect(a, task, ret);
        if (r != 0) return r;
        if (!ap_task_find(a, task, &slot, &word)) return APIARY_ESTALE;
        *until = ap_until(seg, task.slot, word);
        if (*until <= now && ap_hedged(slot, word)) *until = ap_hedge_until(a, task, *until);
        if (*until > now) return 0;
        if (AP_WORD_STATE(word) == AP_TASK_RUNNING)
            return ap_abandon(a, task) ? APIARY_ETIMEDOUT : APIARY_ESTALE;
        if (!ap_queue_end_task(seg, task.slot, word, AP_TASK_FAILED, APIARY_ETIMEDOUT)) continue;
        if (ap_hedged(slot, word)) ap_hedge_drop(a, task);
        ap_task_free(a, task.slot, AP_WORD_WITH(word, AP_TASK_FAILED, (uint32_t)-APIARY_ETIMEDOUT));
        return APIARY_ETIMEDOUT;
    }
}

static uint64_t await_deadline_of(const struct waiting *w, size_t i)
{
    struct ap_slot *slot;
    uint64_t word;

    return ap_task_find(w->a, w->tasks[i], &slot, &word) ? ap_until(w->a->seg, w->tasks[i].slot, word) : UINT64_MAX;
}

/* Gives up tasks whose deadline has passed. 1 and the position, 0 none has, or an error; sets w->soonest. */
static int expire_due(struct waiting *w, uint64_t now, size_t *position, apiary_result_t *ret)
{
    w->soonest = UINT64_MAX;
    for (size_t i = 0; i < w->n; i++) {
        uint64_t deadline = await_deadline_of(w, i);
        int r = deadline > now ? 0 : ap_expire(w->a, w->tasks[i], now, &deadline, ret);

        if (r == 0) {
            if (deadline < w->soonest) w->soonest = deadline;
            continue;
        }
        *position = i;
        if (r != APIARY_ETIMEDOUT || !w->any) return r;
        *ret = (apiary_result_t){.data = NULL, .code = APIARY_ETIMEDOUT, .task = w->tasks[i]};
        return 1;
    }
    return 0;
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

/* The bell that the tasks' finishers ring; sets *mixed when they do not all ring the same. */
static uint32_t *bell_of(const struct waiting *w, bool *mixed)
{
    struct ap_lane *lane = NULL;

    *mixed = false;
    for (size_t i = 0; i < w->n; i++) {
        struct ap_slot *slot;
        struct ap_lane *other;
        uint64_t word;

        if (!ap_task_find(w->a, w->tasks[i], &slot, &word)) continue;
        other = ap_lane_at(w->a->seg, ap_load_relaxed(&slot->client));
        if (lane != NULL && other != lane) *mixed = true;
        lane = other;
    }
    return lane != NULL ? &lane->bell : NULL;
}

/* Of a hedged task each copy may need help. */
static void help_second(const struct waiting *w, apiary_task_t task)
{
    apiary_task_t second;

    if (ap_hedge_second(w->a, task, &second)) await_help(w, second, w->park > PARK_FIRST);
}

static bool any_hedged(const struct waiting *w)
{
    for (size_t i = 0; i < w->n; i++) {
        struct ap_slot *slot;
        uint64_t word;

        if (ap_task_find(w->a, w->tasks[i], &slot, &word) && ap_hedged(slot, word)) return true;
    }
    return false;
}

static void await_cancelled(void *arg)
{
    const struct waiting *w = arg;

    if (w->sole) ap_give_up(w->a, *w->tasks);
}

/* A cancellation point: nothing is held here but the task. */
static int sleep_on(struct waiting *w, const uint32_t *bell, uint32_t value, uint64_t until)
{
    int r;

    pthread_cleanup_push(await_cancelled, w);
    r = ap_sleep(w->a->seg->ops, bell, value, until);
    pthread_cleanup_pop(0);
    return r;
}

/* Sleeps once, unless something is finished or due already. As look, and APIARY_ENOTREADY when the caller's time is up. */
static int await_park(struct waiting *w, size_t *position, apiary_result_t *ret)
{
    const struct ap_ops *ops = w->a->seg->ops;
    bool mixed;
    uint32_t *bell = bell_of(w, &mixed), value = bell != NULL ? ap_bell_raise(bell) : 0;
    uint64_t now, wake;
    int r = await_look(w, position, ret);

    if (r != 0) return r;
    if (bell == NULL) return APIARY_ECORRUPT;
    if (ap_load_acquire(&w->a->interrupts) != w->interrupts) return APIARY_EINTERRUPTED;
    for (size_t i = 0; i < w->n; i++) await_help(w, w->tasks[i], w->park > PARK_FIRST);
    for (size_t i = 0; w->hedged && i < w->n; i++) help_second(w, w->tasks[i]);
    now = ops->now();
    if (w->c != NULL) ap_hedges_due(w->c, now);
    r = expire_due(w, now, position, ret);
    if (r != 0) return r;
    if (now >= w->until) return APIARY_ENOTREADY;
    wake = now + (mixed ? PARK_FIRST : w->park);
    if (w->until < wake) wake = w->until;
    if (w->soonest < wake) wake = w->soonest;
    if (w->c != NULL && w->c->hedge_due < wake) wake = w->c->hedge_due;
    r = sleep_on(w, bell, value, wake);
    if (r == -ETIMEDOUT) w->park = w->park * 2 < PARK_MAX ? w->park * 2 : PARK_MAX;
    r = await_look(w, position, ret);
    ap_spin_parked(w->spin, ops->now() - now);
    return r;
}

/* After a look that found nothing. */
static int await_wait_for(struct waiting *w, uint64_t timeout, size_t *position, apiary_result_t *ret)
{
    int r = 0;

    w->c = ap_context_here(w->a);
    w->spin = w->c != NULL ? &w->c->spin : &w->own;
    if (w->c != NULL) w->c->ready = 0;
    if (w->c == NULL) ap_spin_open(&w->own, w->a->seg->ops);
    w->interrupts = ap_load_acquire(&w->a->interrupts);
    w->park = PARK_FIRST;
    w->hedged = w->reading == NULL && any_hedged(w); /* parts come from the first copy */
    w->until = UINT64_MAX;
    if (timeout != APIARY_FOREVER) {
        uint64_t now = w->a->seg->ops->now();
        w->until = timeout >= UINT64_MAX - now ? UINT64_MAX : now + timeout;
    }
    while (r == 0) r = timeout != 0 && spin(w) ? await_look(w, position, ret) : await_park(w, position, ret);
    return r;
}

/* ---- the public face ------------------------------------------------------------------------------------------ */

static __attribute__((noinline)) int await_slowly(struct apiary *a, apiary_task_t task, uint64_t timeout, bool sole,
                                                  apiary_result_t *ret)
{
    struct waiting w = {.a = a, .tasks = &task, .n = 1, .sole = sole};
    size_t position;
    int r = await_wait_for(&w, timeout, &position, ret);

    return r > 0 ? 0 : r;
}

int ap_await_part(struct apiary *a, apiary_task_t task, uint64_t timeout, struct ap_reading *reading)
{
    struct waiting w = {.a = a, .tasks = &task, .n = 1, .reading = reading};
    apiary_result_t own = {.struct_size = sizeof own};
    size_t position;

    if (timeout != 0) return await_wait_for(&w, timeout, &position, &own);
    w.c = ap_context_here(a);
    await_help(&w, task, false);
    return expire_due(&w, a->seg->ops->now(), &position, &own);
}

AP_ALWAYS_INLINE int await(struct apiary *a, apiary_task_t task, uint64_t timeout, bool sole, apiary_result_t *ret)
{
    int r = ap_usable(a);

    if (r < 0) return r;
    r = ap_collect_at(a, task, ret);
    if (r != 0) return r > 0 ? 0 : r;
    return await_slowly(a, task, timeout, sole, ret);
}

/* Into a structure of another version of the public face. */
static __attribute__((noinline)) int await_other(struct apiary *a, apiary_task_t task, uint64_t timeout, apiary_result_t *ret)
{
    apiary_result_t own;
    int r = ret != NULL ? ap_result_other(ret) : APIARY_EINVAL;

    if (r == 0) r = await(a, task, timeout, false, &own);
    if (r == 0) ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return r;
}

int apiary_await(apiary_t *a, apiary_task_t task, uint64_t timeout, apiary_result_t *ret)
{
    if (__builtin_expect(ret == NULL || ret->struct_size != sizeof *ret, 0)) return await_other(a, task, timeout, ret);
    return await(a, task, timeout, false, ret);
}

int apiary_interrupt(apiary_t *a)
{
    int r = ap_usable(a);

    if (r < 0) return r;
    ap_add_acq_rel(&a->interrupts, 1);
    pthread_mutex_lock(&a->lock); /* no lane closes meanwhile */
    for (struct ap_lane_context *c = a->contexts; c != NULL; c = c->next) ap_bell_ring(a->seg->ops, &c->lane.lane->bell);
    pthread_mutex_unlock(&a->lock);
    ap_memory_watchers_wake(a->seg);
    ap_instance_watchers_wake(a->seg);
    return 0;
}

int apiary_await_any(apiary_t *a, const apiary_task_t *tasks, size_t n, uint64_t timeout, apiary_result_t *ret)
{
    struct waiting w = {.a = a, .tasks = tasks, .n = n, .any = true};
    apiary_result_t own;
    size_t position = 0;
    int r = ap_usable(a);

    if (r < 0) return r;
    if (ret == NULL || tasks == NULL || n == 0 || n > INT32_MAX || ap_result_other(ret) < 0) return APIARY_EINVAL;
    r = await_look(&w, &position, &own);
    if (r == 0) r = await_wait_for(&w, timeout, &position, &own);
    if (r > 0) ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return r > 0 ? (int)position : r;
}

static __attribute__((noinline)) int poll_unfinished(struct apiary *a, apiary_task_t task, apiary_result_t *ret)
{
    struct waiting w = {.a = a, .c = ap_context_here(a), .tasks = &task, .n = 1};
    size_t position;
    uint64_t now;
    int r;

    if (w.c != NULL) w.c->ready = 0;
    await_help(&w, task, false);
    r = ap_collect_at(a, task, ret); /* that may have ended it */
    if (r != 0) return r > 0 ? 0 : r;
    now = a->seg->ops->now();
    if (w.c != NULL) ap_hedges_due(w.c, now);
    r = expire_due(&w, now, &position, ret);
    return r > 0 ? 0 : r == 0 ? APIARY_ENOTREADY : r;
}

/* Into a structure of another version of the public face. */
static __attribute__((noinline)) int poll_other(struct apiary *a, apiary_task_t task, apiary_result_t *ret)
{
    apiary_result_t own = {.struct_size = sizeof own};
    int r = ret != NULL ? ap_result_other(ret) : APIARY_EINVAL;

    if (r == 0) r = apiary_poll(a, task, &own);
    if (r == 0) ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return r;
}

int apiary_poll(apiary_t *a, apiary_task_t task, apiary_result_t *ret)
{
    int r = ap_usable(a);

    if (r < 0) return r;
    if (__builtin_expect(ret == NULL || ret->struct_size != sizeof *ret, 0)) return poll_other(a, task, ret);
    r = ap_collect_at(a, task, ret);
    if (r != 0) return r > 0 ? 0 : r;
    return poll_unfinished(a, task, ret);
}

/* How long a call lasts at most. */
static uint64_t call_span(const struct ap_lane_context *c, const apiary_delegate_options_t *o)
{
    struct ap_segment *seg = c->lane.seg;
    uint64_t now = (o->delay | o->due_at | c->deadline) != 0 ? seg->ops->now() : 0;

    if (c->deadline != 0) return c->deadline > now ? c->deadline - now : 0;
    return ap_deadline_of(seg, o, ap_due_of(o, now)) - now;
}

int ap_call(struct apiary *a, int service, const char *capability, const apiary_capability_t *bound, const void *body,
            size_t body_size, const apiary_delegate_options_t *options, void *result, size_t capacity, size_t *size)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o}, sampled;
    struct ap_lane_context *c;
    apiary_result_t r = {.struct_size = sizeof r};
    apiary_task_t task;
    int e = 0;

    if ((capability == NULL && bound == NULL) || (body == NULL && body_size > 0)) return APIARY_EINVAL;
    if (result == NULL && capacity > 0) return APIARY_EINVAL;
    if (options != NULL) e = ap_sized_in(&o, sizeof o, AP_FIRST_DELEGATE_OPTIONS, options, options->struct_size);
    if (e == 0 && (o.flags & APIARY_DETACH) != 0) e = APIARY_EINVAL;
    if (e < 0) return e;
    o.flags &= ~(uint32_t)APIARY_PARTS; /* what it returns is whole */
    c = ap_context(a, &e);
    if (c == NULL) return e;
    if (__builtin_expect(--c->until_sample == 0, 0) && ap_sample(c, &o, &sampled)) o = sampled;
    c->deadline = 0;
    e = bound != NULL ? ap_submit_bound(c, *bound, body, body_size, &o, &task)
                      : ap_submit(c, service, capability, body, body_size, 0, &o, &task);
    if (e < 0) return ap_refused_told(c, capability, bound, e);
    /* The task's own deadline comes first, unless somebody has changed it in the segment. */
    e = await(a, task, call_span(c, &o), true, &r);
    if (e < 0) {
        if (e != APIARY_ETIMEDOUT) ap_give_up(a, task);
        return e == APIARY_ENOTREADY ? APIARY_ETIMEDOUT : e;
    }
    if (r.size > 0 && capacity > 0) memcpy(result, r.data, r.size < capacity ? r.size : capacity);
    if (size != NULL) *size = r.size;
    e = r.code;
    apiary_release(a, &r);
    return e;
}

int apiary_call(apiary_t *a, const char *capability, const void *body, size_t body_size,
                const apiary_delegate_options_t *options, void *result, size_t capacity, size_t *size)
{
    return ap_call(a, -1, capability, NULL, body, body_size, options, result, capacity, size);
}

int apiary_call_bound(apiary_t *a, apiary_capability_t capability, const void *body, size_t body_size,
                      const apiary_delegate_options_t *options, void *result, size_t capacity, size_t *size)
{
    return ap_call(a, -1, NULL, &capability, body, body_size, options, result, capacity, size);
}
