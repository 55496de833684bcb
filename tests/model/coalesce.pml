/* tests/model/coalesce.pml - tasks of one dedup key: registry/conflict/coalesce.h and shm/follow.h.
 *
 * Two lanes (TASKS: three) schedule a task each of one key, in one group of PLACES words and one slab, and look at it at once, as
 * whoever delegates does. A worker claims what is QUEUED, gives its outcome to those that follow, and ends it; with WORKERS 2 another
 * one does the same when the first has died and been recovered. A monitor looks at what is due when it is told, and recovers dead lanes; it may die, and the next one takes its place.
 * CANCEL: the client of the first task takes it back, at any time while it waits.
 *
 * A load or store of shared memory is a step; with ROUGH a task is named in one. Memory is sequentially consistent; where a fence is missing, the load after it is
 * made before the store that precedes it.
 *
 * Checked: of the tasks of the key one at most is in a queue or was claimed from one; each way of a word is in shm/states.def; a
 * task ends once; when all rests each has ended: no follower is forgotten.
 *
 * Defects: NO_JOIN_FENCE (COAL-F1); NO_END_FENCE (COAL-F2); NO_SECOND_LOOK who joins does not look at the leader once more;
 * NO_COMPLETE what was entered is not put at its place; NAME_STORE `entered` is stored and not exchanged; MARK_STORE the mark of the
 * slab is taken away though somebody has joined; REQUEUE the reaper queues what a dead worker had in hand; FORGET_SCHEDULED a
 * recovery passes over tasks that wait; UNTOLD nobody is told of an end.
 */
#ifndef TASKS
#define TASKS 2
#endif
#define LANES (TASKS + 4)
#define W1 TASKS
#define W2 (TASKS + 1)
#define R1 (TASKS + 2)
#define R2 (TASKS + 3)
#define KILLABLE R2
#ifndef WORKERS
#define WORKERS 1
#endif
#ifndef PLACES
#define PLACES 2
#endif
#define NONE 15
#ifdef ALONE /* there is one monitor, and it stays */
#define SPARED R1
#endif

#include "states.pml"
#include "common.pml"

byte state[TASKS] = RESERVED;
byte owner[TASKS] = NONE;
byte led = NONE;          /* only the model knows: the task that is in a queue, or was claimed from one */
byte entered_place, entered_task = NONE; /* places from 1 */
byte leader[PLACES] = NONE;
byte joins;               /* slab.followed, and */
bool some;
bool told;                /* the slab's hint is now */

#define ENDED(s) (s == DONE || s == FAILED || s == CANCELLED)
#define IN_FLIGHT(t) (state[t] == SCHEDULED || state[t] == QUEUED || state[t] == RUNNING)

/* The word of a task changes. In a d_step. */
#define GO(t, next, who) assert(PERMITTED(state[t], next) && !ENDED(state[t])); state[t] = next; owner[t] = who

/* It is to be run. In a d_step. */
#define LEADS(t) assert(led == NONE); led = t
#define LEADS_NOT(t)                              \
    if                                            \
    :: led == t -> led = NONE                     \
    :: else                                       \
    fi

/* ---- ap_coalesce_lead ------------------------------------------------------------------------------------------- */

/* leading_complete */
inline complete(place, task, was)
{
#ifndef DEFECT_NO_COMPLETE
    if
    :: place != 0 ->
        was = leader[place - 1];
        if
        :: was != task ->
            if
            :: entered_place == place && entered_task == task ->
                d_step {
                    if
                    :: leader[place - 1] == was -> leader[place - 1] = task
                    :: else
                    fi
                }
            :: else
            fi
        :: else
        fi
    :: else
    fi;
    was = 0
#else
    skip
#endif
}

/* *lead: NONE, nobody leads; *place: one that is free, from 1. */
inline look_group(i, lead, place)
{
    d_step { lead = NONE; place = 0; i = 0 };
    do
    :: i < PLACES && lead == NONE ->
        d_step {
            if
            :: leader[i] != NONE && IN_FLIGHT(leader[i]) -> lead = leader[i]
            :: (leader[i] == NONE || !IN_FLIGHT(leader[i])) && place == 0 -> place = i + 1
            :: else
            fi;
            i++
        }
    :: else -> break
    od;
    i = 0
}

/* ap_follow_join, and the second look. */
inline join(lead, stays)
{
#ifdef DEFECT_NO_JOIN_FENCE
    stays = IN_FLIGHT(lead);
    d_step { joins++; some = true }
#else
    d_step { joins++; some = true };
#ifdef DEFECT_NO_SECOND_LOOK
    stays = true
#else
    stays = IN_FLIGHT(lead)
#endif
#endif
}

/* due_step of a task whose time has come. */
inline due(t, e_place, e_task, i, lead, place, was, stays, ok)
{
    stays = (state[t] != SCHEDULED);
    do
    :: !stays ->
#ifdef ROUGH
        d_step {
            if
            :: leader[0] != NONE && IN_FLIGHT(leader[0]) -> lead = leader[0]
            :: else ->
                if
                :: IN_FLIGHT(t) -> leader[0] = t; lead = t
                :: else -> lead = NONE; stays = true
                fi
            fi
        };
        if
        :: lead != NONE && lead != t -> join(lead, stays)
        :: else
        fi;
#else
        d_step { e_place = entered_place; e_task = entered_task };
        complete(e_place, e_task, was);
        look_group(i, lead, place);
        if
        :: lead != NONE && lead != t -> join(lead, stays)
        :: lead == NONE && IN_FLIGHT(t) && place != 0 ->
            d_step {
#ifdef DEFECT_NAME_STORE
                ok = true; entered_place = place; entered_task = t
#else
                ok = (entered_place == e_place && entered_task == e_task);
                if
                :: ok -> entered_place = place; entered_task = t
                :: else
                fi
#endif
            };
            if
            :: ok -> complete(place, t, was); lead = t
            :: else
            fi
        :: lead == NONE && !IN_FLIGHT(t) -> stays = true
        :: else
        fi;
#endif
        if
        :: lead == t ->
            d_step { /* ap_task_call */
                if
                :: state[t] == SCHEDULED -> LEADS(t); GO(t, QUEUED, NONE)
                :: else
                fi;
                stays = true
            }
        :: else
        fi
    :: else -> break
    od;
    atomic { e_place = 0; e_task = 0; i = 0; lead = 0; place = 0; was = 0; stays = false; ok = false }
}

/* ap_follow_ended. With a fence missing the mark was read before the word was stored. */
#ifdef DEFECT_UNTOLD
#define ENDED_LOOK(seen) skip
#else
#define ENDED_LOOK(seen) if :: seen -> told = true :: else fi
#endif

/* ---- lanes ------------------------------------------------------------------------------------------------------ */

proctype client(byte me)
{
    byte e_place, e_task, i, lead, place, was;
    bool stays, ok;

    {
        d_step { GO(me, SCHEDULED, NONE) }; /* RESERVED is its lane's */
        due(me, e_place, e_task, i, lead, place, was, stays, ok);
#ifdef CANCEL
        if
        :: me == 0 ->
            if
            :: skip
            :: atomic { state[0] == SCHEDULED || state[0] == QUEUED -> ok = some };
                d_step {
                    stays = (state[0] == SCHEDULED || state[0] == QUEUED);
                    if
                    :: stays -> GO(0, CANCELLED, NONE); LEADS_NOT(0)
                    :: else
                    fi
                };
#ifndef DEFECT_NO_END_FENCE
                ok = some;
#endif
                ENDED_LOOK(stays && ok)
            fi
        :: else
        fi;
#endif
        d_step { life[me] = GONE; stays = false; ok = false }
    } unless {
        d_step { dead[me] -> e_place = 0; e_task = 0; i = 0; lead = 0; place = 0; was = 0; stays = false; ok = false }
    }
}

/* ap_coalesce_each, with what ap_job_share does to each. */
inline share(me, t, f, seen, any)
{
    d_step { seen = joins; any = some };
    if
    :: any ->
        any = false;
        f = 0;
        do
        :: f < TASKS ->
            d_step { /* ap_task_share */
                if
                :: f != t && state[f] == SCHEDULED -> GO(f, RUNNING, me)
                :: else
                fi
            };
            d_step {
                if
                :: f != t && state[f] == RUNNING && owner[f] == me -> GO(f, DONE, NONE)
                :: else
                fi
            };
            d_step { any = any || state[f] == SCHEDULED; f++ }
        :: else -> break
        od;
        atomic { /* ap_follow_none */
            if
#ifdef DEFECT_MARK_STORE
            :: !any -> some = false
#else
            :: !any && joins == seen -> some = false
#endif
            :: else
            fi
        }
    :: else
    fi;
    d_step { f = 0; seen = 0; any = false }
}

proctype worker(byte me)
{
    byte t, f, seen;
    bool any;

end_ready:
    me == W1 || life[W1] == GONE;
    {
end:    do
        :: atomic {
                if
                :: state[0] == QUEUED -> t = 0
                :: state[1] == QUEUED -> t = 1
#if TASKS > 2
                :: state[2] == QUEUED -> t = 2
#endif
                fi;
                GO(t, RUNNING, me)
            };
            share(me, t, f, seen, any);
#ifdef DEFECT_NO_END_FENCE
            any = some;
#endif
            d_step { GO(t, DONE, NONE); LEADS_NOT(t) };
#ifndef DEFECT_NO_END_FENCE
            any = some;
#endif
            ENDED_LOOK(any);
            d_step { t = 0; any = false }
        od
    } unless {
        d_step { dead[me] -> t = 0; f = 0; seen = 0; any = false }
    }
}

/* recover_slots */
inline recover(d, t, e_place, e_task, i, lead, place, was, stays, ok)
{
    life[d] = DEAD;
    t = 0;
    do
    :: t < TASKS ->
        d_step {
            if
            :: state[t] == RUNNING && owner[t] == d ->
#ifdef DEFECT_REQUEUE
                if :: led != t -> LEADS(t) :: else fi;
                GO(t, QUEUED, NONE)
#else
                LEADS_NOT(t);
                GO(t, SCHEDULED, NONE)
#endif
            :: else
            fi
        };
#ifndef DEFECT_FORGET_SCHEDULED
        due(t, e_place, e_task, i, lead, place, was, stays, ok);
#endif
        t++
    :: else -> break
    od;
    life[d] = GONE;
    d_step { UNLOCK(d); d = 0; t = 0; at_work = at_work || me == R1 }
}

#if TASKS > 2
#define DEATH (LOCKABLE(0) || LOCKABLE(1) || LOCKABLE(2) || LOCKABLE(W1) || LOCKABLE(W2) || LOCKABLE(R1))
#else
#define DEATH (LOCKABLE(0) || LOCKABLE(1) || LOCKABLE(W1) || LOCKABLE(W2) || LOCKABLE(R1))
#endif

proctype monitor(byte me)
{
    byte d, t, e_place, e_task, i, lead, place, was;
    bool stays, ok;

end_ready:
    READY;
    {
end:    do
        :: told || DEATH ->
            if
            :: DEATH ->
                atomic {
                    if
                    :: LOCKABLE(0) -> d = 0
                    :: LOCKABLE(1) -> d = 1
#if TASKS > 2
                    :: LOCKABLE(2) -> d = 2
#endif
                    :: LOCKABLE(W1) -> d = W1
                    :: LOCKABLE(W2) -> d = W2
                    :: LOCKABLE(R1) -> d = R1
                    fi;
                    LOCK(d)
                };
                recover(d, t, e_place, e_task, i, lead, place, was, stays, ok)
            :: else ->
                told = false; /* due_take */
                t = 0;
                do
                :: t < TASKS -> due(t, e_place, e_task, i, lead, place, was, stays, ok); t++
                :: else -> break
                od;
                t = 0
            fi
        od
    } unless {
        d_step {
            dead[me] -> d = 0; t = 0; e_place = 0; e_task = 0; i = 0; lead = 0; place = 0; was = 0; stays = false; ok = false
        }
    }
}

active proctype judge()
{
    byte t;

    timeout;
    for (t : 0 .. TASKS - 1) {
        assert(ENDED(state[t]) || (state[t] == RESERVED && dead[t]))
    }
}

init
{
    atomic {
        run client(0);
        run client(1);
#if TASKS > 2
        run client(2);
#endif
        run worker(W1);
#if WORKERS > 1
        run worker(W2);
#endif
#ifndef ALONE
        run monitor(R2);
#endif
        run monitor(R1)
    }
}
