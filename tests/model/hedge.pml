/* tests/model/hedge.pml - a task in two copies: registry/client/hedge.h.
 *
 * Two slots: the first copy, and the second, which the client's lane S sends at some time while the first has not ended. A
 * provider for each copy runs it, and ends it well or badly; a dead one comes back when it is recovered, and its copy runs again.
 * Two threads of the client await the task: S, and T. Either may give the task up instead (GIVE_UP). They die together: they are
 * one process. Two reapers, one of which may die. WAITERS 1: only T awaits the task; 0: nobody does. WELL: no provider fails, and
 * the second copy is always sent if it can be. DUEL: what is told is not released.
 *
 * Memory: spin is sequentially consistent. Where a fence is missing, the load behind it is made before the store.
 *
 * Checked: each way of both words is in shm/states.def; whoever is told a result is told the same copy's, which has ended and
 * whose slot is not free; a failure is told only when a second copy that was sent before the first had ended has ended, too; who
 * waits is told something; at the end both slots are FREE.
 *
 * Defects: NO_SEND_FENCE (HEDGE-F1) the sender looks whether the first is still wanted before it stores `other`; NO_DROP_FENCE
 * (HEDGE-F2) `other` is read before `won` says that the first counts; NO_LOOK the sender does not look at all; OTHER_FIRST (HEDGE-R1) `other` is
 * stored before the second is QUEUED; STORE_WON (HEDGE-R2) who decides does so by a store; FORGET_LOSER a second that has won
 * leaves the first; FORGET_SECOND a first that has won leaves the second; EARLY_FAILURE a failure counts although the other copy
 * runs; FORGET_COPY recovery of the client's lane sees to the first only.
 */
#define LANES 6
#define S 0
#define T 1
#define W0 2
#define W1 3
#define R1 4
#define R2 5
#define KILLABLE R2
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef WAITERS
#define WAITERS 2
#endif
/* One process. */
#define ON_DEATH(lane)                                      \
    if                                                      \
    :: lane == S && life[T] == LIVE -> dead[T] = true       \
    :: lane == T && life[S] == LIVE -> dead[S] = true       \
    :: else                                                 \
    fi

#include "states.pml"
#include "common.pml"

#define NONE 15

/* The copies: word, and whether it is given up or cancelled. A slot that is freed here is not used again. */
byte state[2], owner[2] = NONE;
bool given_up[2], cancel[2], submitted[2];
/* The row of the first. */
mtype = { OPEN, FIRST, SECOND };
bool other;
mtype won = OPEN;

/* What only the model knows: the copy that was told, + 1; the first had a second copy before it ended; told, or given up. */
byte told;
bool in_time, over[2];

#define ENDED(s) (s == DONE || s == FAILED || s == CANCELLED)
#define LIVES(s) (s == QUEUED || s == RUNNING || ENDED(s))

/* In a d_step. */
#define GO(i, next, who) assert(PERMITTED(state[i], next)); state[i] = next; owner[i] = who

/* ---- the end of a copy -------------------------------------------------------------------------------------------- */

/* ap_task_free: true, it was this lane's to free. */
inline free_copy(me, i, ok)
{
    d_step {
        ok = ENDED(state[i]);
        if
        :: ok -> GO(i, RELEASING, me)
        :: else
        fi
    };
    if
    :: ok -> d_step { assert(state[i] == RELEASING && owner[i] == me); GO(i, FREE, NONE) }
    :: else
    fi
}

/* ap_cancel, and with `up` ap_give_up. */
inline cancel_copy(me, i, up, ok)
{
    d_step { cancel[i] = true; given_up[i] = given_up[i] || up };
    d_step {
        if
        :: state[i] == QUEUED ->
            GO(i, CANCELLED, NONE);
            in_time = in_time || (i == 0 && other)
        :: else
        fi
    };
    if
    :: given_up[i] -> free_copy(me, i, ok)
    :: else
    fi;
    ok = false
}

/* ---- providers ---------------------------------------------------------------------------------------------------- */

proctype provider(byte me; byte i)
{
    bool ok;

end_again:
    {
end:    do
        :: d_step { state[i] == QUEUED -> GO(i, RUNNING, me) };
            atomic {
                assert(state[i] == RUNNING && owner[i] == me);
                in_time = in_time || (i == 0 && other);
                if
                :: GO(i, DONE, NONE)
#ifndef WELL
                :: GO(i, FAILED, NONE)
#endif
                fi
            };
            if
            :: given_up[i] -> free_copy(me, i, ok)
            :: else
            fi;
            ok = false
        od
    } unless {
        d_step { dead[me] -> ok = false }
    };
    atomic { life[me] == GONE -> life[me] = LIVE; dead[me] = false };
    goto end_again
}

/* ---- the client ----------------------------------------------------------------------------------------------------- */

/* copies_find: c0, c1 are the words, has whether there is a second, w what counts. False: the first has gone. */
inline find(ok)
{
    w = won; /* HEDGE-A2; read later it would do no harm here: who finds the copy that counts not ended looks again */
    d_step { c0 = state[0]; ok = LIVES(c0) };
    has = other; /* HEDGE-A1 */
    if
    :: has -> d_step { c1 = state[1]; has = LIVES(c1) && !given_up[1] }
    :: else
    fi
}

/* hedge_verdict */
inline verdict()
{
    d_step {
        if
        :: c0 == DONE -> v = FIRST
        :: c0 != DONE && has && c1 == DONE -> v = SECOND
        :: else ->
            if
            :: !ENDED(c0) -> v = OPEN
#ifndef DEFECT_EARLY_FAILURE
            :: ENDED(c0) && has && !ENDED(c1) && c0 != CANCELLED -> v = OPEN
#endif
            :: else -> v = FIRST
            fi
        fi
    }
}

/* apiary_poll: `r` whether a result was told; `gone` whether the task is no more. */
inline poll_task(me)
{
    do
    :: find(ok);
        if
        :: !ok || given_up[0] -> gone = true; break
        :: ok && w != OPEN -> break
        :: else
        fi;
        verdict();
        if
        :: v == OPEN -> break
        :: else
        fi;
#ifdef DEFECT_STORE_WON
        d_step { won = v; w = v; ok = true };
#else
        d_step { /* HEDGE-R2 */
            ok = (won == OPEN);
            if
            :: ok -> won = v; w = v
            :: else
            fi
        };
#endif
        if
        :: ok && v == SECOND -> cancel_copy(me, 0, false, ok); break
        :: ok && v == FIRST && has -> cancel_copy(me, 1, true, ok); break
        :: ok && v == FIRST && !has -> break
        :: else
        fi
    od;
    if
    :: !gone && w == FIRST && ENDED(c0) -> tell(0)
    :: !gone && w == SECOND -> tell(1)
    :: else
    fi;
    d_step { w = OPEN; v = OPEN; ok = false; has = false; c0 = 0; c1 = 0 }
}

/* ap_collect_copy: the result is in its slot, unless another thread has released it since. */
inline tell(i)
{
    d_step {
        if
        :: ENDED(state[i]) ->
            assert(told == 0 || told == i + 1);
            assert(i == 1 || state[0] == DONE || !in_time || cancel[0] || ENDED(state[1]) || state[1] == RELEASING ||
                   (state[1] == FREE && submitted[1]));
            told = i + 1;
            r = true
        :: else -> gone = true
        fi
    }
}

/* ap_hedge_drop, before the first is freed or given up. */
inline drop(me)
{
#ifdef DEFECT_NO_DROP_FENCE
    has = other;
    d_step { if :: won == OPEN -> won = FIRST :: else fi };
#else
    d_step { if :: won == OPEN -> won = FIRST :: else fi };
    has = other; /* behind HEDGE-F2 */
#endif
#ifndef DEFECT_FORGET_SECOND
    if
    :: has -> cancel_copy(me, 1, true, ok)
    :: else
    fi;
#endif
    skip
}

/* apiary_release of what was told. */
inline release(me)
{
    find(ok);
    if
    :: ok && w == SECOND && has ->
        free_copy(me, 1, ok);
#ifndef DEFECT_FORGET_LOSER
        if
        :: ok -> cancel_copy(me, 0, true, ok)
        :: else
        fi;
#endif
        skip
    :: ok && w == FIRST ->
        drop(me);
        free_copy(me, 0, ok)
    :: else
    fi;
    d_step { w = OPEN; ok = false; has = false; c0 = 0; c1 = 0 }
}

/* apiary_await at its deadline: the task is given up, and its second copy with it. */
inline give_up(me)
{
    drop(me);
    cancel_copy(me, 0, true, ok);
    d_step { has = false; ok = false }
}

/* Waits until there is a result, or does not. */
inline await(me)
{
    do
    :: poll_task(me);
        if
        :: gone -> break
#ifdef DUEL
        :: r -> break
#else
        :: r -> release(me); break
#endif
        :: else ->
            /* Asleep until something ends; who gives the task up rings, too. */
            if
            :: (ENDED(state[0]) || (other && ENDED(state[1])) || !LIVES(state[0]) || given_up[0])
#ifdef GIVE_UP
            :: give_up(me); break
#endif
            fi
        fi
    od;
    atomic { over[me] = true; r = false; gone = false }
}

/* copy_send, and still_wanted. */
inline send(me)
{
#ifdef DEFECT_OTHER_FIRST
    other = true;
    d_step { submitted[1] = true; state[1] = QUEUED };
#else
    d_step { submitted[1] = true; state[1] = QUEUED };
#ifdef DEFECT_NO_SEND_FENCE
    d_step { c0 = state[0]; has = given_up[0] || won == FIRST };
    other = true;
#else
    other = true; /* HEDGE-R1 */
    d_step { c0 = state[0]; has = given_up[0] || won == FIRST }; /* behind HEDGE-F1 */
#endif
#endif
#ifdef DEFECT_OTHER_FIRST
    d_step { c0 = state[0]; has = given_up[0] || won == FIRST };
#endif
#ifdef DEFECT_NO_LOOK
    skip;
#else
    if
    :: !LIVES(c0) || has -> cancel_copy(me, 1, true, ok)
    :: else
    fi;
#endif
    d_step { c0 = 0; has = false; ok = false }
}

proctype sender()
{
    byte c0, c1;
    mtype w = OPEN, v = OPEN;
    bool ok, has, r, gone;

    {
        d_step { submitted[0] = true; state[0] = QUEUED };
        if
        :: c0 = state[0]; /* hedge_look */
            if
            :: !ENDED(c0) && c0 != RELEASING && c0 != FREE && !cancel[0] && won == OPEN -> c0 = 0; send(S)
            :: else -> c0 = 0
            fi
#ifndef WELL
        :: true
#endif
        fi;
#if WAITERS == 0
end:    false
#else
#if WAITERS > 1
        await(S);
#endif
        (over[T]);
        life[S] = GONE
#endif
    } unless {
        d_step { dead[S] -> c0 = 0; c1 = 0; w = OPEN; v = OPEN; ok = false; has = false; r = false; gone = false }
    }
}

proctype waiter()
{
    byte c0, c1;
    mtype w = OPEN, v = OPEN;
    bool ok, has, r, gone;

    {
        submitted[0];
        await(T);
        life[T] = GONE
    } unless {
        d_step { dead[T] -> c0 = 0; c1 = 0; w = OPEN; v = OPEN; ok = false; has = false; r = false; gone = false }
    }
}

/* ---- recovery ------------------------------------------------------------------------------------------------------- */

inline recover_copy(me, d, i, ok)
{
    d_step {
        if
        :: state[i] == RELEASING && owner[i] == d -> GO(i, FREE, NONE)
        :: state[i] == RUNNING && owner[i] == d -> GO(i, QUEUED, NONE)
        :: else
        fi
    };
    if
    :: d == S && submitted[i] -> given_up[i] = true /* its client has died: it runs on, and frees itself */
    :: else
    fi;
    if
    :: given_up[i] -> free_copy(me, i, ok)
    :: else
    fi;
    ok = false
}

inline recover(me, d, ok)
{
    life[d] = DEAD;
    recover_copy(me, d, 0, ok);
#ifdef DEFECT_FORGET_COPY
    if
    :: d != S -> recover_copy(me, d, 1, ok)
    :: else
    fi;
#else
    recover_copy(me, d, 1, ok);
#endif
    d_step { life[d] = GONE; UNLOCK(d); d = 0 }
}

proctype reaper(byte me)
{
    byte d;
    bool ok;

end_ready:
    READY;
    {
end:    do
        :: atomic { LOCKABLE(S) -> d = S; LOCK(d) }; recover(me, d, ok)
        :: atomic { LOCKABLE(T) -> d = T; LOCK(d) }; recover(me, d, ok)
        :: atomic { LOCKABLE(W0) -> d = W0; LOCK(d) }; recover(me, d, ok)
        :: atomic { LOCKABLE(W1) -> d = W1; LOCK(d) }; recover(me, d, ok)
        :: atomic { LOCKABLE(R1) -> d = R1; LOCK(d) }; recover(me, d, ok)
        od
    } unless {
        d_step { dead[me] -> d = 0; ok = false }
    }
}

active proctype judge()
{
    timeout;
#ifndef DUEL
    assert((state[0] == FREE && state[1] == FREE) || (WAITERS == 0 && life[S] != GONE));
#endif
    assert(WAITERS == 0 || over[T] || dead[T] || life[T] == GONE)
}

init
{
    atomic {
        run sender();
#if WAITERS > 0
        run waiter();
#endif
        run provider(W0, 0);
        run provider(W1, 1);
        run reaper(R1);
        run reaper(R2)
    }
}
