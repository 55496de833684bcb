/* tests/model/bell.pml - the wake-up protocol: shm/bell.h, ap_bell_wake of bell.c, ap_bells_all of lane.c, step 7 of reap.h.
 *
 * Each producer makes a condition true (a task word, a cell) and rings. A sleeper waits for all conditions, or for the reaper
 * to have taken their producers' place. Two reapers, which may die, too. Parks have no time-out here: a lost wake-up is a
 * process that sleeps for ever, an invalid end state.
 *
 * Memory: spin is sequentially consistent. The producer's store passes through a store buffer (of one), emptied by `hardware`
 * at any time, by a fence, and by what a processor does at a compare-and-swap or at the death of a thread (the kernel's own
 * fences). The sleeper's missing fence is modelled as a look that comes before its compare-and-swap.
 *
 * ALONE: one producer only, so that two deaths (its own and a reaper's) stay cheap. UNREAPED: nobody reaps. Then what a dead
 * producer owed is lost, but what the living ones say must arrive all the same: the sleeper waits for the last producer, which
 * stays. (With the reaper at work the model finds nothing wrong in LOWER_FIRST: the reaper rings every bell. Without it the
 * flag is down and the sleeper asleep, until a reaper comes.)
 *
 * Defects: LOWER_FIRST lower, then wake; LOWER_ALWAYS lower without a compare; NO_BUMP; NO_LAST_LOOK; NO_FENCE (BELL-F1);
 * NO_SLEEPER_FENCE (BELL-F2); SILENT_REAPER.
 */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef SLEEPERS
#define SLEEPERS 1
#endif
#define REAPERS 2
#define R1 PRODUCERS
#define LANES (PRODUCERS + REAPERS)
#ifdef UNREAPED
#define KILLABLE (PRODUCERS - 1)
#else
#define KILLABLE (PRODUCERS + 1) /* the other reaper stays: two are alike */
#endif
#define ON_DEATH(lane)                                                                   \
    if                                                                                   \
    :: lane < PRODUCERS && buffered[lane] -> buffered[lane] = false; cond[lane] = true \
    :: else                                                                              \
    fi

bool asleep[SLEEPERS], cond[PRODUCERS], buffered[PRODUCERS];
byte bell;

#include "common.pml"

inline flush(p)
{
    d_step {
        if
        :: buffered[p] -> buffered[p] = false; cond[p] = true
        :: else
        fi
    }
}

active proctype hardware()
{
end:
    do
    :: d_step { buffered[0] -> buffered[0] = false; cond[0] = true }
#if PRODUCERS > 1
    :: d_step { buffered[1] -> buffered[1] = false; cond[1] = true }
#endif
#if PRODUCERS > 2
    :: d_step { buffered[2] -> buffered[2] = false; cond[2] = true }
#endif
    od
}

inline futex_wake(i)
{
    d_step {
        for (i : 0 .. SLEEPERS - 1) { asleep[i] = false }
        i = 0
    }
}

/* ap_bell_wake. Each compare-and-swap or fetch-add empties the caller's buffer: `fence` is done before. */
inline bell_wake(v, i)
{
#ifdef DEFECT_LOWER_FIRST
    d_step { bell = bell + 2; v = bell };
    d_step { if :: (v & 1) && bell == v -> bell = v & 254 :: else fi };
    futex_wake(i);
#else
#ifdef DEFECT_NO_BUMP
    v = bell;
#else
    d_step { bell = bell + 2; v = bell }; /* ap_add_acq_rel */
#endif
    futex_wake(i);
#ifdef DEFECT_LOWER_ALWAYS
    bell = bell & 254;
#else
    d_step { if :: (v & 1) && bell == v -> bell = v & 254 :: else fi }; /* ap_cas */
#endif
#endif
    v = 0
}

proctype producer(byte me)
{
    byte v, i;

    {
        buffered[me] = true; /* the condition: a relaxed or release store */
#ifndef DEFECT_NO_FENCE
        flush(me); /* ap_bell_ring: BELL-F1 */
#endif
        if
        :: bell & 1 -> flush(me); bell_wake(v, i)
        :: else
        fi;
        atomic { !buffered[me] -> life[me] = GONE }
    } unless {
        d_step { dead[me] -> v = 0; i = 0 }
    }
}

/* What a sleeper waits for. The code reads one word after the other; all of them only ever become true. */
#define LOOK(p) (cond[p] || (dead[p] && life[p] != LIVE))
#ifdef UNREAPED
#define LOOK_ALL cond[PRODUCERS - 1]
#elif defined(ALONE)
#define LOOK_ALL LOOK(0)
#elif PRODUCERS == 2
#define LOOK_ALL (LOOK(0) && LOOK(1))
#else
#define LOOK_ALL (LOOK(0) && LOOK(1) && LOOK(2))
#endif

/* await.c park, worker.c park. */
proctype sleeper(byte me)
{
    byte v;
    bool early;

    do
    :: LOOK_ALL -> break
    :: else ->
#ifdef DEFECT_NO_SLEEPER_FENCE
        early = LOOK_ALL;
#endif
        v = bell; /* ap_bell_raise */
        do
        :: atomic { bell == v -> v = (v + 2) | 1; bell = v; break }
        :: atomic { bell != v -> v = bell }
        od;
        /* BELL-F2; the last look */
#ifdef DEFECT_NO_SLEEPER_FENCE
        if :: early -> break :: else fi;
#elif !defined(DEFECT_NO_LAST_LOOK)
        if :: LOOK_ALL -> break :: else fi;
#endif
        atomic { asleep[me] = (bell == v); v = 0 }; /* FUTEX_WAIT */
        (!asleep[me])
    od
}

inline recover(me, d, v, i)
{
    life[d] = DEAD; /* what the dead owed is done from here on; the sleepers see it */
#ifndef DEFECT_SILENT_REAPER
    bell_wake(v, i);
#endif
    life[d] = GONE;
    d_step { UNLOCK(d); d = 0 }
}

/* ap_reap_lane and recover(), as far as waking goes: the lane is marked (here: what it owed is done), then every bell. */
proctype reaper(byte me)
{
    byte d, v, i;

end_ready:
    READY;
    {
end:    do
        :: atomic { LOCKABLE(0) -> d = 0; LOCK(d) }; recover(me, d, v, i)
        :: atomic { LOCKABLE(1) -> d = 1; LOCK(d) }; recover(me, d, v, i)
        :: atomic { LOCKABLE(2) -> d = 2; LOCK(d) }; recover(me, d, v, i)
#if LANES > 3
        :: atomic { LOCKABLE(3) -> d = 3; LOCK(d) }; recover(me, d, v, i)
#endif
        od
    } unless {
        d_step { dead[me] -> d = 0; v = 0; i = 0 }
    }
}

init
{
    atomic {
        byte n;
#ifdef ALONE
        run producer(0);
#else
        for (n : 0 .. PRODUCERS - 1) { run producer(n) }
#endif
        for (n : 0 .. SLEEPERS - 1) { run sleeper(n) }
#ifndef UNREAPED
        for (n : 0 .. REAPERS - 1) { run reaper(PRODUCERS + n) }
#endif
    }
}
