/* shm/lane.h - members and lanes: attached processes, owners, and how the kernel reports that an owner is dead.
 *
 * SCOPE     1 A member is an attached process.
 *           2 A lane is the unit of ownership inside it: one thread that submits or claims tasks.
 *           3 Everything that can be owned in the segment names a lane, and not a process: the thread of a dead lane has provably
 *           stopped storing, while other threads of a dying process may not have.
 * LAYOUT    struct ap_lane, 4 lines
 *           line 0  life, kind, tid, member, pid ..   writer: joiner, owner at close, reaper   readers: all, on every pick
 *                   crash                             writer: joiner, its own thread as it crashes, who opens a JUDGED lock
 *           line 1  the robust mutex          writer: owner, kernel at its death, monitors (waiters bit)
 *           line 2  bell                      writer: owner, its wakers
 *                   waits, wants              writer: owner (claim.h)
 *                   passed                    writer: owner, who goes past it (claim.h)
 *           line 3  hand[], inside            writer: owner only; for the reaper
 * LIFE      1 `life` = epoch << 8 | state.
 *           2 FREE(e) -> LIVE(e) by the joiner that holds the mutex.
 *           3 LIVE(e) -> FREE(e+1) by the owner at close.
 *           4 LIVE(e) -> DEAD(e) by the reaper that holds the mutex; by a joiner that met the kernel's mark; by a lane
 *           that helps a stopped reaper (reap.h); for a SHARED lane, by any lane that has learnt that its image is gone.
 *           5 LIVE(e) -> JUDGED(e) -> DEAD(e) for a THREAD lane whose image is gone, without a mark: the first by a lane that has
 *           learnt that, the second by whoever then has the mutex (image.h).
 *           6 DEAD(e) -> FREE(e+1) by the reaper that holds the mutex.
 *           7 Taking the mutex (trylock) is the claim: owner and death mark are one store of one word.
 * KINDS     1 THREAD: the lane's thread holds the mutex for the lane's life. The lane is dead when the kernel sets the owner-died
 *           bit.
 *           2 SHARED: a thread that ended left it behind, and the process uses it under a private lock. Its mutex is free.
 *           3 A SHARED lane is dead only when the process image is gone. The kernel's mark in its mutex says nothing of that: it
 *           is of a joiner or reaper that held the mutex for a moment.
 *           4 A SHARED lane becomes a THREAD lane again when another thread of the process takes it over, with all that it holds:
 *           the mutex first, then tid and `turns`, then the kind. The life stays. So threads that come and go, each with a task
 *           that nobody has collected when it ends, hold no more than as many as there are at once.
 *           5 For deaths that no mark tells the system is asked now and then (image.h). The answer is written where the mark
 *           would be (THREAD), or into the life (SHARED).
 * SUSPECT   1 `inside` says whose code the thread runs: a task's (the call that brought it, or an answer to what it has
 *           delegated), an agent's (any other callback), or 0: none.
 *           2 `crash` says that the thread has ended by that code: the signal, or AP_CRASH_EXIT and the like. An exec is told by
 *           the judge (image.h): it alone leaves a thread's lock without the kernel's mark. `crash` is 0 while the thread
 *           lives, and when it was ended from outside (SIGKILL, a signal that another process has sent, the end of another thread).
 *           3 A task is suspected of its worker's death only where `crash` is not 0: the task that is `inside`, or those RUNNING
 *           that were taken from the agent's queue (ap_lane_suspects).
 * INVARIANTS L1 a lane's index is used again only after its recovery is complete (FREE is the reaper's last store)
 *           L2 RUNNING(l) in a task word implies life(l) LIVE, JUDGED or DEAD
 *           L3 a LIVE lane's member is in range, and LIVE unless that lane is just joining (an anchor lane says 0 until then)
 * ORDERING  LANE-R1 life store-release LIVE pairs LANE-A1 load-acquire of readers: kind, tid, member before it.
 *           LANE-R2 life store-release FREE pairs LANE-A2 load-acquire of a joiner, and of the pool's sweep before
 *           its second look at a task: the former life's last stores.
 *           LANE-R3 kind store-release SHARED, before the unlock, pairs LANE-A3 load-acquire of a reaper or joiner that
 *           has the lock.
 *           LANE-R7 kind store-release THREAD of a taker pairs LANE-A7 load-acquire, before the lock word: the mutex,
 *           tid and turns of that thread before it.
 *           LANE-R4 the lock word, freed (release) by glibc's unlock or take_out, or marked by the kernel, pairs LANE-A4
 *           load-acquire: the thread's stores before it, kind SHARED among them.
 *           LANE-R5 header.lanes_changed's add (release), after a life has changed, pairs LANE-A5 load-acquire of the
 *           monitor, before its look at the lanes: the life before the count.
 *           LANE-R6 inside store-release pairs LANE-A6 load-acquire of who awaits that task: since when its attempt runs.
 *           MEMBER-R1 life store-release LIVE pairs MEMBER-A1 load-acquire: the record's fields.
 *           MEMBER-R2 release fence after the CAS to CLAIMED pairs MEMBER-A2 acquire fence before a reader's second look at the
 *           life: the former life's end before the next one's fields.
 * CRASH     1 Dead with life FREE (between trylock and LIVE, or after close): nothing is owned. The next trylock gets EOWNERDEAD
 *           and makes the mutex consistent.
 *           2 Dead with life LIVE: reap.h.
 *           3 Dead with life DEAD: the reaper died, and the next one repeats the recovery.
 *           4 A taker of a SHARED lane, dead before the kind THREAD: the lane is SHARED, and its process' (KINDS 3). After
 *           it: as any thread's.
 */
#ifndef AP_LANE_H
#define AP_LANE_H

#include "core/must_check.h"
#include "shm/robust.h"
#include "shm/segment.h"

#define AP_LANES_MAX 16382u /* 14 bits of owner in the task word; 0x3fff means none */
#define AP_NO_LANE 0x3fffu
#define AP_MEMBERS_MAX 4096u
#define AP_HANDS 7u
_Static_assert(AP_LANES_MAX <= AP_NO_LANE, "no lane has the number that means none");
_Static_assert(AP_LANES_MAX < 1u << 16, "a lane's number + 1 has 16 bits in the lives and leases that name it");

enum ap_life { AP_LIFE_FREE = 0, AP_LIFE_LIVE = 1, AP_LIFE_DEAD = 2, AP_LIFE_JUDGED = 4 }; /* JUDGED: image.h */
enum { AP_MEMBER_CLAIMED = 3 }; /* a member being filled */
enum ap_lane_kind { AP_LANE_THREAD = 1, AP_LANE_SHARED = 2 };

#define AP_LIFE(epoch, state) ((uint64_t)(epoch) << 8 | (state))
#define AP_LIFE_STATE(life) ((uint32_t)((life) & 0xff))
#define AP_LIFE_EPOCH(life) ((uint64_t)(life) >> 8)

struct ap_lane {
    uint64_t life;
    uint32_t kind, tid;
    uint32_t member;
    uint32_t crash;  /* how its thread has ended itself, 0: it has not, or nobody can tell */
    uint64_t joined; /* CLOCK_MONOTONIC */
    int64_t pid;    /* of its process: a SHARED lane outlives its member's record, whose index is used again */
    uint64_t image; /* of its process (image.h) */
    uint64_t judge; /* the image that may open the lock of a JUDGED lane, or takes it under the dead thread's id; 0: none */
    uint32_t turns; /* how often a thread has taken it over, over all lives */
    uint8_t pad0[4];

    pthread_mutex_t mutex AP_ALIGNED;

    uint32_t bell AP_ALIGNED; /* bell.h */
    uint32_t wants;  /* of the key for which it waits (claim.h) */
    uint64_t waits;  /* for a claim (claim.h); 0: for none */
    uint64_t passed; /* the place in line at which others have gone past it; 0, or an earlier place: none have */

    uint64_t hand[AP_HANDS] AP_ALIGNED; /* references (task.h) of what this lane runs, 0: none */
    uint64_t inside; /* whose code its thread runs: a reference, or AP_INSIDE_AGENT(queue); 0: none */
} AP_ALIGNED;

struct ap_member {
    uint64_t life; /* epoch << 24 | anchor lane << 8 | state: the anchor lane is the accountable owner */
    int64_t pid;
    uint64_t start_time, pid_namespace;
    uint64_t attached; /* CLOCK_REALTIME, ns */
    uint32_t kind;     /* enum apiary_member_kind */
    uint32_t reserved;
    char name[APIARY_NAME_MAX + 1];
    char swarm[APIARY_NAME_MAX + 1]; /* the service it calls for, "" if none */
    uint8_t pad[48];

    uint64_t grants[AP_GRANTS] AP_ALIGNED; /* share.h */
} AP_ALIGNED;

#define AP_INSIDE_IS_AGENT (UINT64_C(1) << 63) /* a reference has no such bit */
#define AP_INSIDE_AGENT(queue) (AP_INSIDE_IS_AGENT | (uint64_t)(queue))
#define AP_INSIDE_QUEUE(inside) ((uint32_t)(inside))

/* A lane's `crash`: the number of a signal, or one of these. */
#define AP_CRASH_SIGNALS 64u
#define AP_CRASH_EXIT 65u   /* it has ended the process */
#define AP_CRASH_THREAD 66u /* it has ended itself */
#define AP_CRASH_EXEC 67u   /* it has become another program */

#define AP_MEMBER_LIFE(epoch, lane, state) ((uint64_t)(epoch) << 24 | (uint64_t)(lane) << 8 | (state))
#define AP_MEMBER_STATE(life) ((uint32_t)((life) & 0xff))
#define AP_MEMBER_LANE(life) ((uint32_t)((life) >> 8 & 0xffff))
#define AP_MEMBER_EPOCH(life) ((uint64_t)(life) >> 24)

/* A lane of this process, private memory; owned by the thread that opened it. */
struct ap_lane_handle {
    struct ap_segment *seg;
    struct ap_lane *lane;
    uint32_t index;
    uint64_t epoch;
    uint32_t member;
};

static inline struct ap_lane *ap_lane_at(const struct ap_segment *seg, uint64_t index)
{
    return AP_ELEMENT(seg, AP_SECTION_LANES, index, struct ap_lane);
}
/* The member of a lane; UINT32_MAX: there is no such lane. */
static inline uint32_t ap_lane_member(const struct ap_segment *seg, uint64_t index)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);

    return lane != NULL ? ap_load_relaxed(&lane->member) : UINT32_MAX;
}
static inline struct ap_member *ap_member_at(const struct ap_segment *seg, uint64_t index)
{
    return AP_ELEMENT(seg, AP_SECTION_MEMBERS, index, struct ap_member);
}

/* Opens a THREAD lane for the calling thread under `member` (which must be LIVE). APIARY_ENOLANE: reap, then try again. */
AP_MUST_CHECK int ap_lane_open(struct ap_segment *seg, uint32_t member, struct ap_lane_handle *ret);
/* By the owner thread, when nothing is owned any more. */
void ap_lane_close(struct ap_lane_handle *h);
/* By the owner thread at its end, when tasks are still open: THREAD -> SHARED. */
void ap_lane_share(struct ap_lane_handle *h);
/* By another thread of the process: SHARED -> THREAD, and the lane is the caller's: 1. 0: it is not SHARED, or somebody has its
 * mutex just now. No other thread of the process uses the lane meanwhile. */
int ap_lane_take_over(struct ap_lane_handle *h);
/* Closes a SHARED lane of this process when nothing is owned any more. */
void ap_lane_close_shared(struct ap_lane_handle *h);

/* Opens a member and its anchor lane for the calling thread. */
AP_MUST_CHECK int ap_member_open(struct ap_segment *seg, const char *name, const char *swarm, uint32_t kind,
                   struct ap_lane_handle *anchor);
void ap_member_close(struct ap_segment *seg, uint32_t member, uint32_t anchor);
/* Ends the member whose anchor the dead lane was. Nothing, unless the caller has the lane's lock (`beside` is 0). */
void ap_members_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside);
/* For observers: copies a LIVE member's record: 1. 0 when it is not LIVE, or changed hands meanwhile. Texts may lack their NUL.
 * Any index. */
int ap_member_read(const struct ap_segment *seg, uint32_t member, struct ap_member *ret);

/* Stores a reference into one of the owner's hands; 0: none. Ordered by the claim that follows. */
AP_ALWAYS_INLINE void ap_lane_hand(struct ap_lane *lane, unsigned hand, uint64_t ref)
{
    ap_store_relaxed(&lane->hand[hand], ref);
}

/* Stores whose code the owner's thread is about to run (struct ap_lane), or 0 when it has come back. */
AP_ALWAYS_INLINE void ap_lane_inside(struct ap_lane *lane, uint64_t inside)
{
    ap_store_release(&lane->inside, inside); /* LANE-R6 pairs LANE-A6 */
}
/* By the owner's thread as it ends itself, also from a signal handler, or with the right to open its lock (image.h, JUDGE). Ordered
 * by the lane's death (LANE-R4). 0 takes it back. */
static inline void ap_lane_crash(struct ap_lane *lane, uint32_t crash)
{
    ap_store_relaxed(&lane->crash, crash);
}
/* Whether a task in a dead lane's hands is suspected of that death: by its reference, and the queue that it was taken from. */
static inline bool ap_lane_suspects(const struct ap_lane *lane, uint64_t ref, uint32_t queue)
{
    uint64_t inside = ap_load_relaxed(&lane->inside);

    if (inside == 0 || ap_load_relaxed(&lane->crash) == 0) return false;
    return (inside & AP_INSIDE_IS_AGENT) != 0 ? AP_INSIDE_QUEUE(inside) == queue : inside == ref;
}

/* Whether a lane is to be reaped: LIVE with its thread gone by the kernel's mark, or DEAD or JUDGED with its lock free. Two loads;
 * see image.h for the deaths that they do not tell. */
int ap_lane_dead(const struct ap_segment *seg, uint32_t lane);

/* For a helper that repairs words of a dead lane without its lock (reap.h): whether the lane still has this life. If so, a word
 * that was loaded before, with acquire, is of no later life. `life` is 0 when the caller has the lock. */
bool ap_lane_still(const struct ap_segment *seg, uint32_t lane, uint64_t life);

/* The futex word the kernel marks, with the waiters bit set: for FUTEX_WAIT on value *value. 0, or -EAGAIN when the lane
 * is not held by a living thread. */
int ap_lane_watch(const struct ap_segment *seg, uint32_t lane, const uint32_t **word, uint32_t *value);

/* Of a LIVE lane whose lock does not look like its thread's: whether it is SHARED, or has changed hands just now. */
int ap_lane_unheld_lives(const struct ap_lane *lane);

/* One load of life and one of the lock word: 1 alive, 0 dead or free. Dead from the kernel's mark on. SHARED lanes are
 * alive until reaped. */
static inline int ap_lane_lives(const struct ap_lane *lane)
{
    uint32_t word, tid;

    /* LANE-A1 pairs LANE-R1 */
    if (AP_LIFE_STATE(ap_load_acquire(&lane->life)) != AP_LIFE_LIVE) return 0;
    word = ap_load_acquire(ap_robust_word(&lane->mutex)); /* LANE-A4 pairs LANE-R4: before kind */
    /* Held by its own thread: a reaper that has taken the lock and not yet said so in the life hides the kernel's mark. */
    tid = ap_load_relaxed(&lane->tid);
    return ((word & (FUTEX_TID_MASK | FUTEX_OWNER_DIED)) == tid && tid != 0) || ap_lane_unheld_lives(lane);
}

/* The same for any index. */
static inline int ap_lane_alive(const struct ap_segment *seg, uint32_t index)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);

    return lane != NULL && ap_lane_lives(lane);
}

/* Bumps lanes_changed and wakes the monitors. */
void ap_lanes_changed(struct ap_segment *seg);
/* Rings every lane's bell: after a confirmed death. */
void ap_bells_all(struct ap_segment *seg);

#endif
