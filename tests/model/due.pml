/* tests/model/due.pml - tasks that wait for their time: shm/due.h, and the monitor's sleep until the soonest of them.
 *
 * Two lanes schedule a task each, one for the time 1, one for 2, and tell the hints. A monitor looks at what is due, sleeps until
 * the soonest or until it is rung, and recovers dead lanes. It may die: the next one takes its place. The clock goes on whenever
 * it likes. Nobody looks but by the hints and in a recovery: beat and sweep, which would only come late, are left out. SLABS 1:
 * both tasks in one slab; 2: each in its own. TASKS 1: the later one only.
 *
 * Memory: spin is sequentially consistent. The store of the word SCHEDULED passes through a store buffer (of one), as in bell.pml.
 * Where a fence is missing behind a compare-and-swap or an exchange, the load after it is made before it.
 *
 * Checked: none is queued before its time; when all rests, none is left that is due.
 *
 * Defects: NO_FENCE (DUE-F1 behind the word); NO_SECOND_FENCE (DUE-F1 behind the slab's hint); NO_LOOK_FENCE (DUE-F2);
 * HEADER_FIRST the header's hint is lowered before the slab's; NO_RING; RUNG_LATE the monitor reads due_rung after its look
 * (DUE-A1); RETAKE what a look takes it does not lower again; FORGET_SCHEDULED recovery passes over such tasks; OWN_HINTS it does
 * so unless the dead lane held their slab.
 */
#define LANES 4
#define A 0
#define B 1
#define R1 2
#define R2 3
#define KILLABLE R2
#ifndef SLABS
#define SLABS 1
#endif
#ifndef TASKS
#define TASKS 2
#endif
#define SLAB(t) (t % SLABS)
#define LAST 2 /* the last time */

#define ON_DEATH(lane)                                                                      \
    if                                                                                      \
    :: lane < TASKS && buffered[lane] -> buffered[lane] = false; state[lane] = SCHEDULED \
    :: else                                                                                 \
    fi

#define NEVER 0

byte now;
byte state[TASKS], due[TASKS];
bool buffered[TASKS];
byte slab_due[SLABS], header_due;
bool rung; /* due_rung is not the number that the monitor has read */
bool asleep;

#include "states.pml"
#include "common.pml"

inline flush(p)
{
    d_step {
        if
        :: buffered[p] -> buffered[p] = false; state[p] = SCHEDULED
        :: else
        fi
    }
}

active proctype hardware()
{
end:
    do
    :: d_step { buffered[0] -> buffered[0] = false; state[0] = SCHEDULED }
#if TASKS > 1
    :: d_step { buffered[1] -> buffered[1] = false; state[1] = SCHEDULED }
#endif
    od
}

active proctype clock()
{
    do
    :: now < LAST -> now++
    :: now == LAST -> break
    od
}

/* due_lower, behind its fence. `was` is what the hint was when it was read. */
inline lower(hint, at, was, ok)
{
    ok = false;
    do
    :: !ok && (was == NEVER || at < was) ->
        d_step {
            if
            :: hint == was -> hint = at; ok = true
            :: else -> was = hint
            fi
        }
    :: else -> break
    od
}

inline ring()
{
#ifdef DEFECT_NO_RING
    skip
#else
    d_step { rung = true; asleep = false }
#endif
}

/* ap_due_tell */
inline tell(s, at, was, ok)
{
#ifdef DEFECT_HEADER_FIRST
    was = header_due;
    lower(header_due, at, was, ok);
    if :: ok -> ring() :: else fi;
    was = slab_due[s];
    lower(slab_due[s], at, was, ok);
#else
    was = slab_due[s];
#ifdef DEFECT_NO_SECOND_FENCE
    early = header_due;
    lower(slab_due[s], at, was, ok);
    was = early;
#else
    lower(slab_due[s], at, was, ok);
    was = header_due;
#endif
    lower(header_due, at, was, ok);
    if :: ok -> ring() :: else fi;
#endif
    atomic { was = 0; ok = false }
}

/* Delegates with a delay; a worker that puts a failed task back does the same. */
proctype scheduler(byte me)
{
    byte at, was;
    bool ok;
#ifdef DEFECT_NO_SECOND_FENCE
    byte early;
#endif

    {
        atomic { at = LAST - TASKS + me + 1; due[me] = at };
        buffered[me] = true; /* ap_slot_schedule */
#ifndef DEFECT_NO_FENCE
        flush(me); /* DUE-F1 */
#endif
        tell(SLAB(me), at, was, ok);
        atomic { !buffered[me] -> life[me] = GONE; at = 0 }
    } unless {
        d_step { dead[me] -> at = 0; was = 0; ok = false }
    }
}

/* due_step: `next` is the time at which something is to be done with it, NEVER without one. */
inline step(t, next)
{
    d_step {
        next = NEVER;
        if
        :: state[t] == SCHEDULED && due[t] <= now -> assert(PERMITTED(state[t], QUEUED)); state[t] = QUEUED
        :: state[t] == SCHEDULED && due[t] > now -> next = due[t]
        :: else
        fi
    }
}

#define SOONER(x, y) (x != NEVER && (y == NEVER || x < y))

inline look_slab(s, t, next, best, was, ok)
{
#ifdef DEFECT_NO_LOOK_FENCE
    best = NEVER;
    for (t : 0 .. TASKS - 1) {
        if
        :: SLAB(t) == s -> step(t, next); if :: SOONER(next, best) -> best = next :: else fi
        :: else
        fi
    }
    slab_due[s] = NEVER;
#else
    slab_due[s] = NEVER; /* due_take */
    best = NEVER;
    for (t : 0 .. TASKS - 1) {
        if
        :: SLAB(t) == s -> step(t, next); if :: SOONER(next, best) -> best = next :: else fi
        :: else
        fi
    }
#endif
#ifndef DEFECT_RETAKE
    if
    :: best != NEVER -> was = slab_due[s]; lower(slab_due[s], best, was, ok)
    :: else
    fi;
#endif
    atomic { t = 0; next = 0; best = 0; was = 0; ok = false }
}

/* ap_due_look: `until` is when to look again. */
inline look(s, t, next, best, was, ok, until)
{
    until = header_due;
    if
    :: until != NEVER && until <= now ->
        header_due = NEVER; /* due_take */
        until = NEVER;
        for (s : 0 .. SLABS - 1) {
            next = slab_due[s];
            if
            :: next != NEVER && next <= now -> look_slab(s, t, next, best, was, ok); next = slab_due[s]
            :: else
            fi;
            if :: SOONER(next, until) -> until = next :: else fi
        };
        if
        :: until != NEVER ->
            was = header_due;
            lower(header_due, until, was, ok);
            if :: ok && was != NEVER -> ring() :: else fi
        :: else
        fi
    :: else
    fi;
    d_step { s = 0; next = 0; was = 0; ok = false }
}

/* recover_slots: each slot, whoever holds its slab. */
inline recover(me, d, t, next, was, ok)
{
    life[d] = DEAD;
#ifndef DEFECT_FORGET_SCHEDULED
    for (t : 0 .. TASKS - 1) {
#ifdef DEFECT_OWN_HINTS
        next = NEVER;
        if :: d == t -> step(t, next) :: else fi;
#else
        step(t, next);
#endif
        if
        :: next != NEVER -> tell(SLAB(t), next, was, ok)
        :: else
        fi
    };
#endif
    life[d] = GONE;
    d_step { UNLOCK(d); d = 0; t = 0; next = 0; at_work = at_work || me == R1 }
}

#define DEATH (LOCKABLE(A) || LOCKABLE(B) || LOCKABLE(R1))

/* monitor_watch */
proctype monitor(byte me)
{
    byte d, s, t, next, best, was, until;
    bool ok;
#ifdef DEFECT_NO_SECOND_FENCE
    byte early;
#endif

end_ready:
    READY;
    {
        do
        :: d_step { rung = false; at_work = at_work || me == R1 }; /* DUE-A1 */
            do
            :: atomic { LOCKABLE(A) -> d = A; LOCK(d) }; recover(me, d, t, next, was, ok)
            :: atomic { LOCKABLE(B) -> d = B; LOCK(d) }; recover(me, d, t, next, was, ok)
            :: atomic { LOCKABLE(R1) -> d = R1; LOCK(d) }; recover(me, d, t, next, was, ok)
            :: else -> break
            od;
            look(s, t, next, best, was, ok, until);
#ifdef DEFECT_RUNG_LATE
            rung = false;
#endif
            d_step { asleep = !rung; at_work = at_work && me != R1 };
end:        (!asleep || DEATH || (until != NEVER && until <= now));
            d_step { asleep = false; until = 0 }
        od
    } unless {
        d_step { dead[me] -> d = 0; s = 0; t = 0; next = 0; best = 0; was = 0; until = 0; ok = false; asleep = false }
    }
}

active proctype judge()
{
    byte t;

    timeout;
    assert(now == LAST);
    for (t : 0 .. TASKS - 1) {
        assert(state[t] != SCHEDULED)
    }
}

init
{
    atomic {
        run scheduler(A);
#if TASKS > 1
        run scheduler(B);
#endif
        run monitor(R1);
        run monitor(R2)
    }
}
