/* registry/monitor/monitor.c - the monitor's thread. See monitor.h.
 *
 * The waiters bit of a robust lock word is what makes the kernel wake anybody at its owner's death. It survives a take-over
 * from the dead (trylock keeps it) and not a release (unlock stores 0). Therefore whoever releases or finds the role free
 * wakes all waiters, and each of them sets the bit anew.
 */
#include "registry/monitor/monitor.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/thread.h"
#include "registry/discovery/changes.h"
#include "registry/routing/router.h"
#include "registry/memory/watch.h"
#include "registry/routing/kept.h"
#include "shm/claim.h"
#include "shm/due.h"
#include "shm/event.h"

#define SWEEP_SPACING UINT64_C(50000000)   /* between two sweeps for deadlines */
#define SWEEP_OFTEN UINT64_C(5000000000)   /* without any cause: what has come since the last sweep is told by nobody */
#define DUE_SPACING UINT64_C(1000000)      /* between two looks at what is due */
#define CHANGE_SPACING UINT64_C(100000000) /* between two sweeps for comings and goings */
#define ASK_SPACING UINT64_C(1000000000)   /* between two questions for deaths that no mark tells */
#define RETRY UINT64_C(10000000)           /* while somebody else is at a dead lane */
#define PATIENCE UINT64_C(100000000)       /* with the reaper of a dead lane, until it is helped */
#define VALUES_AT_ONCE 4096u               /* rows of the memory that are looked at in one sweep */
#define BEAT UINT64_C(1000000000)          /* of the monitor that watches */
#define STALE (3 * BEAT)

enum { WAIT_CHANGED, WAIT_ROLE, WAIT_DUE, WAIT_LANES }; /* words of the loop */

/* A dead lane that somebody else is at: its life, 0 for none; since when it has been seen so, NEVER once it was helped. */
#define NEVER UINT64_MAX
struct other {
    uint64_t life, since;
};

struct ap_monitor {
    struct ap_segment *seg;
    uint32_t member;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t started;
    bool running;
    int result;

    struct ap_lane_handle lane;
    struct ap_loop *loop;
    uint64_t *lives; /* per lane: the life that is being watched */
    struct other *others; /* per lane */
    struct ap_memory_told *told; /* the same */
    uint64_t due, swept, ask, ask_spacing;
    uint32_t changed, refused;
    uint32_t value; /* the row of the memory that is looked at next */

    uint32_t stop AP_ALIGNED;
};

/* ---- the role ------------------------------------------------------------------------------------------------- */

static uint32_t *role_word(const struct ap_segment *seg)
{
    return (uint32_t *)ap_robust_word(&seg->header->role);
}

static bool held(uint32_t word)
{
    return (word & FUTEX_TID_MASK) != 0 && (word & FUTEX_OWNER_DIED) == 0;
}

bool ap_monitor_role_take(struct ap_segment *seg)
{
    int r = ap_robust_trylock(&seg->header->role);

    if (r < 0 && r != -EOWNERDEAD) return false;
    if (r == -EOWNERDEAD) ap_robust_consistent(&seg->header->role); /* what it guards is found anew by the first look */
    seg->ops->futex_wake(role_word(seg), INT_MAX);
    return true;
}

void ap_monitor_role_release(struct ap_segment *seg)
{
    ap_robust_unlock(&seg->header->role);
    seg->ops->futex_wake(role_word(seg), INT_MAX);
}

/* Of a beat that has just been made by another processor's clock, 0. */
static uint64_t beat_age(const struct ap_segment *seg, uint64_t watched)
{
    uint64_t now = seg->ops->now(), at = AP_WATCHED_AT(watched) * UINT64_C(1000000);

    return now > at ? now - at : 0;
}

static bool monitor_stale(const struct ap_segment *seg)
{
    return held(ap_load_acquire(ap_robust_word(&seg->header->role))) &&
           beat_age(seg, ap_load_relaxed(&seg->header->watched)) >= STALE;
}

static bool lane_of_thread(const struct ap_segment *seg, uint32_t index, uint32_t thread)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);

    return lane != NULL && ap_lane_lives(lane) && ap_load_relaxed(&lane->tid) == thread;
}

bool ap_monitor_stopped(const struct ap_segment *seg, uint32_t *ret_lane, uint32_t *ret_beats, uint64_t *ret_age)
{
    uint32_t word = ap_load_acquire(ap_robust_word(&seg->header->role)), thread = word & FUTEX_TID_MASK;
    uint64_t watched = ap_load_relaxed(&seg->header->watched), age = beat_age(seg, watched);
    uint32_t beats = age < STALE ? AP_WATCHED_LANE(watched) : AP_NO_LANE, lane = AP_NO_LANE;

    if (!held(word) || lane_of_thread(seg, beats, thread)) return false;
    for (uint32_t i = 0; i < seg->geometry.lanes && lane == AP_NO_LANE; i++)
        if (lane_of_thread(seg, i, thread)) lane = i;
    *ret_lane = lane;
    *ret_beats = beats;
    *ret_age = age;
    return true;
}

static void monitor_beat(const struct ap_monitor *m)
{
    ap_segment_watched(m->seg, m->lane.index);
}

/* Whether one who watches beside the holder may leave: the role is to be had, or another beats. Of two who came at the same time
 * the one that beat first sees the other's and goes. */
static bool needless(const struct ap_monitor *m)
{
    uint64_t watched = ap_load_relaxed(&m->seg->header->watched);

    return !held(ap_load_relaxed(role_word(m->seg))) ||
           (AP_WATCHED_LANE(watched) != m->lane.index && beat_age(m->seg, watched) < STALE);
}

static void role_wait(struct ap_monitor *m)
{
    uint32_t *word = role_word(m->seg), v = ap_load_acquire(word);
    uint64_t until = UINT64_MAX;

    while (held(v) && (v & FUTEX_WAITERS) == 0)
        if (ap_cas(word, &v, v | FUTEX_WAITERS)) v |= FUTEX_WAITERS;
    /* Just released: try at once. Again and again free and yet refused: a corrupt lock, to be left alone for a while. */
    m->refused = held(v) ? 0 : m->refused + 1;
    if (!held(v) && m->refused < 4) return;
    if (!held(v)) until = m->seg->ops->now() + RETRY;
    ap_loop_word(m->loop, WAIT_ROLE, word, v, true);
    ap_loop_park(m->loop, until);
}

/* ---- the watch ------------------------------------------------------------------------------------------------ */

static bool watch_thread(struct ap_monitor *m, uint32_t lane)
{
    const uint32_t *word;
    uint32_t value;

    if (ap_lane_watch(m->seg, lane, &word, &value) < 0) return false;
    ap_loop_word(m->loop, WAIT_LANES + lane, word, value, true);
    return true;
}

/* Returns false when a lane is found dead, or in the hands of somebody who may be dead: look again. */
static bool watch_lane(struct ap_monitor *m, uint32_t index)
{
    const struct ap_lane *lane = ap_lane_at(m->seg, index);
    uint64_t life = ap_load_acquire(&lane->life); /* LANE-A1 pairs LANE-R1 */
    uint32_t state = AP_LIFE_STATE(life);
    bool bit = (ap_load_relaxed(ap_robust_word(&lane->mutex)) & FUTEX_WAITERS) != 0;
    bool armed = ap_loop_word_stands(m->loop, WAIT_LANES + index) && bit;

    if (state == AP_LIFE_FREE) {
        m->lives[index] = life;
        return true;
    }
    /* A new life has a lock word without the waiters bit, even if our wait on the word still stands; and so has one whose lane
     * another thread has taken over. */
    if (armed && m->lives[index] == life) return true;
    m->lives[index] = life;
    if (state == AP_LIFE_LIVE && ap_load_acquire(&lane->kind) == AP_LANE_SHARED) return true; /* see ask */
    return watch_thread(m, index) || !ap_lane_dead(m->seg, index);
}

static bool watch_lanes(struct ap_monitor *m)
{
    bool sound = true;

    for (uint32_t i = 0; i < m->seg->geometry.lanes; i++)
        if (i != m->lane.index && !watch_lane(m, i)) sound = false;
    return sound;
}

/* Whether a living swarm does not go on, or the tasks of an agent fail: then there is a sweep with each beat, since what was sent
 * there before this was known waits. */
static bool monitor_stuck(const struct ap_segment *seg, uint64_t now)
{
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SWARMS].count; i++) {
        const struct ap_swarm *s = ap_swarm_at(seg, i);
        uint64_t life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */

        if (AP_SWARM_STATE(life) == AP_SWARM_LIVE && ap_route_stuck(s, now)) return true;
    }
    for (uint32_t i = 0; i < seg->geometry.queues; i++)
        if (ap_queue_ejected(ap_queue_at(seg, i), now)) return true;
    return false;
}

static void sweep(struct ap_monitor *m, bool reaped, bool changed)
{
    uint64_t now = m->seg->ops->now(), soonest;

    if (m->swept + BEAT < m->due && monitor_stuck(m->seg, now)) m->due = m->swept + BEAT;
    if (changed && m->swept + CHANGE_SPACING < m->due) m->due = m->swept + CHANGE_SPACING;
    if (!reaped && now < m->due) return;
    soonest = ap_sweep(m->seg, m->lane.index, &ap_registry_hooks);
    ap_kept_expire(m->seg, now);
    ap_memory_expire(m->seg, m->lane.index, now, &m->value, VALUES_AT_ONCE);
    ap_memory_watch_tidy(m->seg, m->lane.index, now, m->told);
    ap_instances_tell(m->seg);
    ap_claims_tidy(m->seg);
    m->swept = now;
    m->due = soonest < now + SWEEP_SPACING ? now + SWEEP_SPACING : soonest;
    if (m->due > now + SWEEP_OFTEN) m->due = now + SWEEP_OFTEN;
}

/* Queues what is due. Returns when to look again. */
static uint64_t look_due(const struct ap_monitor *m)
{
    uint64_t next = ap_due_look(m->seg, &ap_registry_hooks, m->lane.index), soon;

    if (next == UINT64_MAX) return next;
    soon = m->seg->ops->now() + DUE_SPACING;
    return next < soon ? soon : next;
}

/* Threads of a process die one after another: those that have died meanwhile are reaped before a sweep. For deaths that no mark
 * tells the system is asked: soon after each recovery, since the rest of that process ends when its memory has been torn down,
 * then less and less often. */
static int monitor_reap(struct ap_monitor *m)
{
    uint64_t now = m->seg->ops->now();
    bool ask = now >= m->ask;
    int n = 0, more;

    if (ask) n = ap_reap_asking(m->seg, m->lane.index, &ap_registry_hooks);
    while ((more = ap_reap_all(m->seg, m->lane.index, &ap_registry_hooks)) > 0) n += more;
    if (n > 0) m->ask_spacing = RETRY;
    else if (ask) m->ask_spacing = m->ask_spacing * 2 < ASK_SPACING ? m->ask_spacing * 2 : ASK_SPACING;
    if (n > 0 || ask) m->ask = now + m->ask_spacing;
    return n;
}

/* A recovery takes a millisecond, unless its reaper is stopped. That is not a death: nobody else gets the lane's lock until the
 * reaper goes on. The steps that need no lock are taken once for each death. Returns when to look again. */
static uint64_t help_others(struct ap_monitor *m)
{
    uint64_t now = m->seg->ops->now(), soonest = UINT64_MAX;

    for (uint32_t i = 0; i < m->seg->geometry.lanes; i++) {
        uint64_t life = i != m->lane.index ? ap_reap_held(m->seg, i) : 0;
        struct other *o = &m->others[i];

        if (o->life != life) *o = (struct other){life, now};
        if (life == 0 || o->since == NEVER) continue;
        if (now - o->since >= PATIENCE) {
            ap_reap_beside(m->seg, m->lane.index, i, &ap_registry_hooks);
            o->since = NEVER;
        } else if (o->since + PATIENCE < soonest) {
            soonest = o->since + PATIENCE;
        }
    }
    return soonest;
}

/* `beside`: the role is held by another monitor, which does not watch. */
static void monitor_watch(struct ap_monitor *m, bool beside)
{
    struct ap_segment *seg = m->seg;
    bool sound = true, first = true;

    m->ask = 0;
    m->ask_spacing = RETRY;
    ap_event_log(seg, AP_EVENT_MONITOR, m->lane.index, m->member, beside);
    /* The other may have been stopped between a task's new word and the reference that tells of it. */
    if (beside) ap_move_untold(seg);
    for (;;) {
        uint32_t changed = ap_load_acquire(&seg->header->lanes_changed); /* LANE-A5 pairs LANE-R5: before the look at the lanes */
        uint32_t rung = ap_load_acquire(&seg->header->due_rung); /* DUE-A1 pairs DUE-R1: before the look at what is due */
        uint64_t until, help, due;
        int reaped;

        if (ap_load_relaxed(&m->stop) || (beside && needless(m))) return;
        monitor_beat(m);
        reaped = monitor_reap(m);
        help = help_others(m);
        sweep(m, reaped > 0, first || changed != m->changed);
        due = look_due(m);
        m->changed = changed;
        first = false;
        ap_loop_word(m->loop, WAIT_DUE, &seg->header->due_rung, rung, true);
        ap_loop_word(m->loop, WAIT_CHANGED, &seg->header->lanes_changed, changed, true);
        until = seg->ops->now() + BEAT;
        if (m->due < until) until = m->due;
        if (due < until) until = due;
        if (m->ask < until) until = m->ask;
        if (help < until) until = help;
        if (!watch_lanes(m)) {
            /* Died since: at once. A second time: somebody else recovers it, whose own death we would see. */
            uint64_t retry = seg->ops->now() + RETRY;
            if (sound)
                until = 0;
            else if (retry < until)
                until = retry;
            sound = false;
        } else {
            sound = true;
        }
        ap_loop_park(m->loop, until);
    }
}

/* ---- the thread ----------------------------------------------------------------------------------------------- */

/* All but the payload, so that a recovery does not begin with page faults. A kernel that cannot does without. */
static void tables_map(const struct ap_segment *seg)
{
    const struct ap_section *pool = &seg->sections[AP_SECTION_POOL], *next = pool + 1;

    madvise(seg->base, pool->offset, MADV_POPULATE_WRITE);
    madvise(seg->base + next->offset, seg->size - next->offset, MADV_POPULATE_WRITE);
}

static int monitor_open(struct ap_monitor *m)
{
    int r = ap_lane_open(m->seg, m->member, &m->lane);

    if (r == APIARY_ENOLANE && ap_reap_asking(m->seg, AP_NO_LANE, &ap_registry_hooks) > 0)
        r = ap_lane_open(m->seg, m->member, &m->lane);
    if (r < 0) return r;
    tables_map(m->seg);
    r = ap_loop_create(m->seg->ops, WAIT_LANES + m->seg->geometry.lanes, &m->loop);
    if (r < 0) ap_lane_close(&m->lane);
    return r;
}

static void *monitor_main(void *arg)
{
    struct ap_monitor *m = arg;
    int r = monitor_open(m);

    pthread_mutex_lock(&m->lock);
    m->running = true;
    m->result = r;
    pthread_cond_signal(&m->started);
    pthread_mutex_unlock(&m->lock);
    if (r < 0) return NULL;
    while (!ap_load_relaxed(&m->stop)) { /* set before the loop is woken */
        if (ap_monitor_role_take(m->seg)) {
            monitor_watch(m, false);
            ap_monitor_role_release(m->seg);
        } else if (monitor_stale(m->seg)) {
            monitor_watch(m, true);
        } else {
            role_wait(m);
        }
    }
    ap_lane_close(&m->lane);
    return NULL;
}

static int monitor_run(struct ap_monitor *m)
{
    int r = ap_thread_start(&m->thread, "apiary-monitor", monitor_main, m);

    if (r != 0) errno = r; /* the reason, for the caller's message */
    if (r != 0) return APIARY_ESYS;
    pthread_mutex_lock(&m->lock);
    while (!m->running) pthread_cond_wait(&m->started, &m->lock);
    r = m->result;
    pthread_mutex_unlock(&m->lock);
    if (r < 0) pthread_join(m->thread, NULL);
    return r;
}

static void monitor_free(struct ap_monitor *m)
{
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->started);
    ap_loop_destroy(m->loop); /* not by its thread: whoever stops that wakes it */
    free(m->lives);
    free(m->others);
    free(m->told);
    free(m);
}

int ap_monitor_start(struct ap_segment *seg, uint32_t member, struct ap_monitor **ret)
{
    struct ap_monitor *m;
    int r;

    if (!seg->writable) return APIARY_EREADONLY;
    m = aligned_alloc(AP_LINE, (sizeof *m + AP_LINE - 1) / AP_LINE * AP_LINE);
    if (m == NULL) return APIARY_ENOBLOCK;
    *m = (struct ap_monitor){.seg = seg, .member = member};
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->started, NULL);
    m->lives = calloc(seg->geometry.lanes, sizeof *m->lives);
    m->others = calloc(seg->geometry.lanes, sizeof *m->others);
    m->told = calloc(seg->geometry.lanes, sizeof *m->told);
    r = m->lives != NULL && m->others != NULL && m->told != NULL ? monitor_run(m) : APIARY_ENOBLOCK;
    if (r < 0) {
        monitor_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

void ap_monitor_stop(struct ap_monitor *m)
{
    if (m == NULL) return;
    ap_store_relaxed(&m->stop, 1);
    ap_loop_wake(m->loop);
    pthread_join(m->thread, NULL);
    monitor_free(m);
}

void ap_monitor_nudge(struct ap_monitor *m)
{
    if (m != NULL && (!held(ap_load_relaxed(role_word(m->seg))) || monitor_stale(m->seg))) ap_loop_wake(m->loop);
}
