/* shm/lane.c - members, lanes, liveness. See lane.h. */
#include "shm/lane.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "shm/bell.h"
#include "shm/event.h"
#include "shm/image.h"

static uint32_t lock_word(const struct ap_lane *lane)
{
    return ap_load_acquire(ap_robust_word(&lane->mutex)); /* LANE-A4 pairs LANE-R4 */
}

/* ---- liveness ------------------------------------------------------------------------------------------------- */

int ap_lane_dead(const struct ap_segment *seg, uint32_t index)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);
    uint32_t state;

    if (lane == NULL) return 0;
    state = AP_LIFE_STATE(ap_load_acquire(&lane->life)); /* LANE-A1 pairs LANE-R1 */
    if (state == AP_LIFE_DEAD || state == AP_LIFE_JUDGED) return !ap_robust_held(lock_word(lane));
    if (state != AP_LIFE_LIVE) return 0;
    return ap_load_relaxed(&lane->kind) != AP_LANE_SHARED && !ap_robust_held(lock_word(lane));
}

#define HANDS_LOOKS 64 /* each is another thread's turn; the bound is for a segment that is being corrupted */

int ap_lane_unheld_lives(const struct ap_lane *lane)
{
    for (int looks = 0; looks < HANDS_LOOKS; looks++) {
        uint32_t turns = ap_load_acquire(&lane->turns), word, tid;

        if (ap_load_acquire(&lane->kind) == AP_LANE_SHARED) return 1; /* LANE-A7 pairs LANE-R7 */
        word = lock_word(lane); /* before the second look at the kind: it may be what a thread that has shared it left */
        tid = ap_load_relaxed(&lane->tid);
        if ((word & (FUTEX_TID_MASK | FUTEX_OWNER_DIED)) == tid && tid != 0) return 1;
        if (ap_load_acquire(&lane->kind) == AP_LANE_SHARED) return 1; /* LANE-A7 pairs LANE-R7 */
        if (ap_load_relaxed(&lane->turns) == turns) return 0;
    }
    return 0;
}

bool ap_lane_still(const struct ap_segment *seg, uint32_t index, uint64_t life)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);

    if (life == 0) return true;
    return lane != NULL && ap_load_acquire(&lane->life) == life; /* LANE-A2 pairs LANE-R2 */
}

int ap_lane_watch(const struct ap_segment *seg, uint32_t index, const uint32_t **word, uint32_t *value)
{
    struct ap_lane *lane = ap_lane_at(seg, index);
    uint32_t *w, v;

    if (lane == NULL) return -EAGAIN;
    w = (uint32_t *)ap_robust_word(&lane->mutex);
    v = ap_load_acquire(w);
    /* The kernel wakes at death only if this bit is set; glibc's unlock then wakes, too, which does no harm. */
    while (ap_robust_held(v)) {
        if ((v & FUTEX_WAITERS) != 0 || ap_cas(w, &v, v | FUTEX_WAITERS)) {
            *word = w;
            *value = v | FUTEX_WAITERS;
            return 0;
        }
    }
    return -EAGAIN;
}

void ap_lanes_changed(struct ap_segment *seg)
{
    ap_add_acq_rel(&seg->header->lanes_changed, 1); /* LANE-R5 pairs LANE-A5 */
    seg->ops->futex_wake(&seg->header->lanes_changed, INT_MAX);
}

void ap_bells_all(struct ap_segment *seg)
{
    /* BELL-F1 pairs BELL-F2: what the caller made true, before the lives are looked at; a lane that joins later sees it. */
    ap_fence_full();
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        struct ap_lane *lane = ap_lane_at(seg, i);
        if (AP_LIFE_STATE(ap_load_acquire(&lane->life)) != AP_LIFE_FREE) ap_bell_wake(seg->ops, &lane->bell);
    }
}

/* ---- lanes ---------------------------------------------------------------------------------------------------- */

static void lane_live(struct ap_segment *seg, uint32_t index, uint32_t member, uint64_t epoch, struct ap_lane_handle *ret)
{
    struct ap_lane *lane = ap_lane_at(seg, index);

    ap_store_relaxed(&lane->kind, AP_LANE_THREAD);
    ap_store_relaxed(&lane->tid, ap_thread_id());
    ap_store_relaxed(&lane->member, member);
    ap_store_relaxed(&lane->joined, seg->ops->now());
    ap_store_relaxed(&lane->pid, seg->self.pid);
    ap_store_relaxed(&lane->image, seg->image);
    for (unsigned i = 0; i < AP_HANDS; i++) ap_store_relaxed(&lane->hand[i], 0);
    ap_store_relaxed(&lane->waits, 0);
    ap_lane_inside(lane, 0);
    ap_lane_crash(lane, 0);
    ap_store_release(&lane->life, AP_LIFE(epoch, AP_LIFE_LIVE)); /* LANE-R1 pairs LANE-A1 */
    ret->seg = seg;
    ret->lane = lane;
    ret->index = index;
    ret->epoch = epoch;
    ret->member = member;
    ap_lanes_changed(seg);
}

/* Whether the mark in its lock is of the thread that the lane is of. A SHARED lane's lock is nobody's: it was another opener that
 * died with it, and the lane lives. */
static bool died_since(const struct ap_lane *lane, uint64_t life)
{
    uint32_t state = AP_LIFE_STATE(life);

    /* LANE-A3 pairs LANE-R3 */
    return state == AP_LIFE_JUDGED || (state == AP_LIFE_LIVE && ap_load_acquire(&lane->kind) != AP_LANE_SHARED);
}

/* 1 when it has become the caller's, 0 when it is another's; *ret_busy also when it is FREE and another has its lock. */
static int lane_take(struct ap_segment *seg, uint32_t index, uint32_t member, struct ap_lane_handle *ret, bool *ret_busy)
{
    struct ap_lane *lane = ap_lane_at(seg, index);
    uint64_t life;
    bool right;
    int r;

    if (AP_LIFE_STATE(ap_load_acquire(&lane->life)) != AP_LIFE_FREE) return 0;
    *ret_busy = true;
    if (!ap_image_taker(seg, lane, &right)) return 0;
    r = ap_robust_trylock(&lane->mutex);
    life = ap_load_acquire(&lane->life); /* LANE-A2 pairs LANE-R2 */
    /* Somebody opened it and died since the first look: the unlock will wipe the kernel's mark, so it is written down. */
    if (r == -EOWNERDEAD && died_since(lane, life))
        ap_store_release(&lane->life, AP_LIFE(AP_LIFE_EPOCH(life), AP_LIFE_DEAD)); /* LANE-R1 pairs LANE-A1 */
    ap_image_taken(seg, lane, right);
    if (r == -ENOMEM) return APIARY_ENOBLOCK;
    if (r < 0 && r != -EOWNERDEAD) return 0;
    if (AP_LIFE_STATE(life) == AP_LIFE_FREE) {
        /* Its last holder died before it owned anything. */
        if (r == -EOWNERDEAD) ap_robust_consistent(&lane->mutex);
        lane_live(seg, index, member, AP_LIFE_EPOCH(life), ret);
        return 1;
    }
    if (r == -EOWNERDEAD) ap_robust_consistent(&lane->mutex);
    ap_robust_unlock(&lane->mutex);
    /* A reaper may have met our lock. */
    if (r == -EOWNERDEAD || AP_LIFE_STATE(life) == AP_LIFE_DEAD) ap_lanes_changed(seg);
    return 0;
}

int ap_lane_open(struct ap_segment *seg, uint32_t member, struct ap_lane_handle *ret)
{
    if (!ap_robust_known()) return APIARY_ENOTSUP;
    for (struct ap_search s = {0}; ap_search_again(&s, AP_LIVES(seg, AP_SECTION_LANES, struct ap_lane));) {
        bool busy = false;

        for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
            int r = lane_take(seg, i, member, ret, &busy);
            if (r != 0) return r < 0 ? r : 0;
        }
        /* A reaper that has freed a lane, or a joiner that left it, is about to unlock it, and no life tells that. */
        if (busy) ap_search_anew(&s, seg->ops);
    }
    return APIARY_ENOLANE;
}

void ap_lane_close(struct ap_lane_handle *h)
{
    struct ap_segment *seg = h->seg;

    ap_store_release(&h->lane->life, AP_LIFE(h->epoch + 1, AP_LIFE_FREE)); /* LANE-R2 pairs LANE-A2 */
    ap_robust_unlock(&h->lane->mutex);
    ap_lanes_changed(seg);
    h->lane = NULL;
}

void ap_lane_share(struct ap_lane_handle *h)
{
    /* Kind before the unlock: a LIVE lane of kind THREAD whose mutex is free counts as dead. */
    ap_store_release(&h->lane->kind, AP_LANE_SHARED); /* LANE-R3 pairs LANE-A3 */
    ap_robust_unlock(&h->lane->mutex);
    ap_lanes_changed(h->seg);
}

int ap_lane_take_over(struct ap_lane_handle *h)
{
    struct ap_lane *lane = h->lane;
    int r = ap_robust_known() ? ap_robust_trylock(&lane->mutex) : APIARY_ENOTSUP;
    bool shared;

    if (r < 0 && r != -EOWNERDEAD) return 0;
    shared = ap_load_acquire(&lane->life) == AP_LIFE(h->epoch, AP_LIFE_LIVE) && ap_load_relaxed(&lane->kind) == AP_LANE_SHARED;
    /* The mark is of a joiner or reaper that held it for a moment. */
    if (r == -EOWNERDEAD) ap_robust_consistent(&lane->mutex);
    if (!shared) {
        ap_robust_unlock(&lane->mutex);
        return 0;
    }
    /* A reader that sees the kind sees whose mutex it is; one that has seen the former thread's sees that there was another
     * turn. */
    ap_store_relaxed(&lane->tid, ap_thread_id());
    ap_store_relaxed(&lane->turns, ap_load_relaxed(&lane->turns) + 1);
    ap_store_release(&lane->kind, AP_LANE_THREAD); /* LANE-R7 pairs LANE-A7 */
    ap_lanes_changed(h->seg);
    return 1;
}

void ap_lane_close_shared(struct ap_lane_handle *h)
{
    ap_store_release(&h->lane->life, AP_LIFE(h->epoch + 1, AP_LIFE_FREE)); /* LANE-R2 pairs LANE-A2 */
    ap_lanes_changed(h->seg);
    h->lane = NULL;
}

/* ---- members -------------------------------------------------------------------------------------------------- */

static void member_fill(struct ap_segment *seg, struct ap_member *m, const char *name, const char *swarm, uint32_t kind)
{
    ap_store_relaxed(&m->pid, seg->self.pid);
    ap_store_relaxed(&m->start_time, seg->self.start_time);
    ap_store_relaxed(&m->pid_namespace, seg->self.pid_namespace);
    ap_store_relaxed(&m->attached, seg->ops->realtime());
    ap_store_relaxed(&m->kind, kind);
    for (uint32_t i = 0; i < AP_GRANTS; i++) ap_store_relaxed(&m->grants[i], 0);
    memset(m->name, 0, sizeof m->name);
    memset(m->swarm, 0, sizeof m->swarm);
    snprintf(m->name, sizeof m->name, "%s", name != NULL ? name : "");
    snprintf(m->swarm, sizeof m->swarm, "%s", swarm != NULL ? swarm : "");
}

/* 1 when it has become the caller's, 0 when it is another's. */
static int member_take(struct ap_segment *seg, uint32_t index, uint32_t anchor, const char *name, const char *swarm, uint32_t kind)
{
    struct ap_member *m = ap_member_at(seg, index);
    uint64_t life = ap_load_acquire(&m->life);

    if (AP_MEMBER_STATE(life) != AP_LIFE_FREE) return 0;
    /* The anchor lane is named by the same store that takes the record: its reaper finds it. */
    if (!ap_cas(&m->life, &life, AP_MEMBER_LIFE(AP_MEMBER_EPOCH(life), anchor, AP_MEMBER_CLAIMED))) return 0;
    ap_fence_release(); /* MEMBER-R2 pairs MEMBER-A2 */
    member_fill(seg, m, name, swarm, kind);
    ap_store_release(&m->life, AP_MEMBER_LIFE(AP_MEMBER_EPOCH(life), anchor, AP_LIFE_LIVE)); /* MEMBER-R1 pairs MEMBER-A1 */
    return 1;
}

static int member_new(struct ap_segment *seg, uint32_t anchor, const char *name, const char *swarm, uint32_t kind)
{
    for (struct ap_search s = {0}; ap_search_again(&s, AP_LIVES(seg, AP_SECTION_MEMBERS, struct ap_member));)
        for (uint32_t i = 0; i < seg->geometry.members; i++)
            if (member_take(seg, i, anchor, name, swarm, kind)) return (int)i;
    return APIARY_ENOLANE;
}

/* Clients and commands come and go by the second, and would leave no room in the log for what matters. */
static bool member_told(uint32_t kind)
{
    return kind == APIARY_QUEEN || kind == APIARY_DAEMON;
}

int ap_member_open(struct ap_segment *seg, const char *name, const char *swarm, uint32_t kind,
                   struct ap_lane_handle *anchor)
{
    struct ap_lane_handle h;
    int r = ap_lane_open(seg, 0, &h);

    if (r < 0) return r;
    r = member_new(seg, h.index, name, swarm, kind);
    if (r < 0) {
        ap_lane_close(&h);
        return r;
    }
    h.member = (uint32_t)r;
    ap_store_relaxed(&h.lane->member, h.member);
    *anchor = h;
    if (member_told(kind)) ap_event_log(seg, AP_EVENT_MEMBER_JOINED, h.index, h.member, (uint64_t)seg->self.pid);
    return 0;
}

void ap_member_close(struct ap_segment *seg, uint32_t member, uint32_t anchor)
{
    struct ap_member *m = ap_member_at(seg, member);
    uint64_t life;
    int64_t pid;
    bool told;

    if (m == NULL) return;
    life = ap_load_acquire(&m->life);
    if (AP_MEMBER_STATE(life) == AP_LIFE_FREE || AP_MEMBER_LANE(life) != anchor) return;
    pid = ap_load_relaxed(&m->pid); /* the record is somebody else's after the compare-and-swap */
    told = member_told(ap_load_relaxed(&m->kind));
    if (ap_cas(&m->life, &life, AP_MEMBER_LIFE(AP_MEMBER_EPOCH(life) + 1, 0, AP_LIFE_FREE)) && told)
        ap_event_log(seg, AP_EVENT_MEMBER_LEFT, anchor, member, (uint64_t)pid);
}

void ap_members_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    if (beside != 0) return;
    for (uint32_t m = 0; m < seg->geometry.members; m++) ap_member_close(seg, m, lane);
}

int ap_member_read(const struct ap_segment *seg, uint32_t member, struct ap_member *ret)
{
    const struct ap_member *m = ap_member_at(seg, member);
    uint64_t life, words[sizeof *m / sizeof(uint64_t)];

    if (m == NULL) return 0;
    life = ap_load_acquire(&m->life); /* MEMBER-A1 pairs MEMBER-R1 */
    if (AP_MEMBER_STATE(life) != AP_LIFE_LIVE) return 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) words[i] = ap_load_relaxed((const uint64_t *)m + i);
    memcpy(ret, words, sizeof *ret);
    /* MEMBER-A2 pairs MEMBER-R2: whoever has copied anything of the next one finds that the record was CLAIMED. */
    ap_fence_acquire();
    return ap_load_relaxed(&m->life) == life;
}
