/* tests/model/crowd.pml - ranks, and turns in a shared ring: shm/rank.h, shm/crowd.h, shm/scan.c.
 *
 * Lane A sends TASKS_A tasks that are normal, lane B TASKS_B that are urgent, all into one shared ring. One consumer, which may die
 * and comes back: it looks at the ring, serves what is more urgent first and of a lane the oldest, leaves holes, and, while it
 * passes something over, moves what lies at the front to the end. A consumer that begins looks the table through, once for each
 * rank. Positions are absolute here, which is what the laps in the cells stand for; that a cell is used again too early is
 * asserted. Two reapers, one of which may die.
 *
 * Checked: each task runs once, none is lost; a cell is used again only when what it had was taken; as long as no consumer dies a
 * lane's tasks are started in their order; nothing is started while something more urgent was seen, but a rank that was passed over
 * PASSES times; what a consumer finds when it begins is started in the order of the ranks.
 *
 * Defects: MOVE_ROUGH what was moved is read again where it lies then; MOVE_AFTER the head is moved first; FORGET_PUSH what is
 * passed over is not put at the end; HEAD_OVER the head moves past what is not served; NO_CLAIM a reference that is there twice is
 * believed; RANK_LATE the rank is written after the task is published; RANKED_LATE that a queue has ranks is said after that;
 * SCAN_ONCE the table is looked through in its own order; STARVES whoever is passed over waits for ever; FORGET_RUNNING a recovery
 * leaves what ran. Not a defect by itself, says the model: what was served out of turn stays in its cell, since a consumer that
 * begins finds it stale. The holes are for those who count.
 */
#define LANES 5
#define A 0
#define B 1
#define W 2
#define R1 3
#define R2 4
#define KILLABLE R2
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef VICTIM
#define VICTIM W
#endif
#ifndef TASKS_A
#define TASKS_A 3
#endif
#ifndef TASKS_B
#define TASKS_B 1
#endif
#ifndef DEPTH
#define DEPTH 4
#endif
#define TASKS (TASKS_A + TASKS_B)
#define CELLS 10 /* positions that a run may reach */
#define MOVES 2
#define PASSES 1

#include "states.pml"
#include "common.pml"

#define URGENT 0
#define NORMAL 1
#define RANKS 2
#define NONE 15
#define LANE_OF(t) ((t) < TASKS_A -> A : B)
#define RANK_OF(t) ((t) < TASKS_A -> NORMAL : URGENT)

byte state[TASKS] = FREE, rank[TASKS] = NORMAL, runs[TASKS];
bool ranked;
byte rescan;
/* The ring. A cell is 0, task + 1, or a hole. */
#define HOLE 14
byte cell[CELLS], head, tail;
/* What only the model knows: what of the ring was not taken; the tasks in the order of their start; whether a consumer has died. */
bool waits_there[CELLS];
byte last_of[2] = NONE;
bool died;

/* ap_ring_push_shared of task: `to` is the position, NONE: it is full. */
inline push_shared(task, at, to)
{
    do
    :: at = tail;
        if
        :: cell[at] != 0 -> d_step { if :: tail == at -> tail = at + 1 :: else fi } /* helped */
        :: cell[at] == 0 && tail == at && at >= head + DEPTH -> to = NONE; break
        :: else ->
            if
            :: d_step {
                    cell[at] == 0 && tail == at && at < head + DEPTH ->
                    assert(at < DEPTH || !waits_there[at - DEPTH]);
                    cell[at] = task + 1;
                    waits_there[at] = true
                };
                d_step { if :: tail == at -> tail = at + 1 :: else fi };
                to = at;
                break
            :: else
            fi
        fi
    od;
    at = 0
}

proctype client(byte me)
{
    byte t, at, to;

    t = (me == A -> 0 : TASKS_A);
    {
        do
        :: t == (me == A -> TASKS_A : TASKS) -> break
        :: else ->
#ifndef DEFECT_RANK_LATE
            rank[t] = RANK_OF(t);
#endif
#ifndef DEFECT_RANKED_LATE
            ranked = ranked || me == B;
#endif
            d_step { assert(PERMITTED(FREE, RESERVED) && PERMITTED(RESERVED, QUEUED)); state[t] = QUEUED };
            do
            :: (tail < head + DEPTH); /* room is asked for before */
                push_shared(t, at, to);
                if
                :: to != NONE -> break
                :: else
                fi
            od;
#ifdef DEFECT_RANK_LATE
            rank[t] = RANK_OF(t);
#endif
#ifdef DEFECT_RANKED_LATE
            ranked = ranked || me == B;
#endif
            atomic { t++; to = 0 }
        od;
        life[me] = GONE
    } unless {
        d_step { dead[me] -> t = 0; at = 0; to = 0 }
    }
}

/* ---- the consumer ------------------------------------------------------------------------------------------------- */

/* ap_slot_claim, what the agent does, and the end. */
inline start(task)
{
    d_step {
#ifdef DEFECT_NO_CLAIM
        ok = true;
        state[task] = RUNNING
#else
        ok = state[task] == QUEUED;
        if
        :: ok -> assert(PERMITTED(QUEUED, RUNNING)); state[task] = RUNNING
        :: else
        fi
#endif
    };
    if
    :: ok ->
        atomic {
            if
            :: !died && last_of[LANE_OF(task)] != NONE -> assert(last_of[LANE_OF(task)] < task)
            :: else
            fi;
            last_of[LANE_OF(task)] = task
        };
        d_step { assert(PERMITTED(RUNNING, DONE)); state[task] = DONE; runs[task]++; assert(runs[task] == 1) }
    :: else
    fi;
    ok = false
}

/* crowd_read: what is new in the ring has its turn behind what its lane has there; what was moved is known already. */
inline read_ring()
{
    do
    :: cell[seen] == 0 -> break
    :: cell[seen] != 0 ->
        d_step {
            if
            :: known[seen] -> known[seen] = false
            :: !known[seen] && cell[seen] == HOLE -> served[seen] = true
            :: else ->
                what[seen] = cell[seen];
                of_rank[seen] = rank[what[seen] - 1];
                turn[seen] = next[LANE_OF(what[seen] - 1)];
                next[LANE_OF(what[seen] - 1)]++
            fi;
            seen++
        }
    od
}

/* The one whose turn it is of the ranks below `below`, NONE: there is none. */
inline choose(below)
{
    d_step {
        best = NONE;
        force = false;
        for (i : 0 .. CELLS - 1) {
            if
            :: i >= h && i < seen && !served[i] && of_rank[i] == NORMAL && NORMAL < below -> force = (passed >= PASSES)
            :: else
            fi
        }
#ifdef DEFECT_STARVES
        force = false;
#endif
        for (i : 0 .. CELLS - 1) {
            if
            :: i >= h && i < seen && !served[i] && of_rank[i] < below && !(force && of_rank[i] == URGENT) ->
                if
                :: best == NONE || of_rank[i] < of_rank[best] -> best = i
                :: best != NONE && of_rank[i] == of_rank[best] && turn[i] < turn[best] -> best = i
                :: else
                fi
            :: else
            fi
        }
        i = 0
    }
}

inline advance()
{
    d_step {
        do
        :: h < seen && served[h] -> h++
        :: else -> break
        od
    }
}

/* crowd_to_the_end. */
inline to_the_end()
{
    d_step { moves++; p = h; e = seen };
#ifdef DEFECT_MOVE_AFTER
    head = seen;
#endif
    do
    :: p == e -> break
    :: else ->
        if
        :: served[p]
        :: else ->
#ifdef DEFECT_FORGET_PUSH
            to = 0;
#else
            push_shared(what[p] - 1, at, to);
#endif
            if
            :: to == NONE -> break
            :: else ->
                d_step {
#if !defined(DEFECT_MOVE_ROUGH) && !defined(DEFECT_FORGET_PUSH)
                    known[to] = true;
                    what[to] = what[p];
                    of_rank[to] = of_rank[p];
                    turn[to] = turn[p];
#endif
                    served[p] = true;
                    waits_there[p] = false
                }
            fi
        fi;
        p++
    od;
    atomic { p = 0; e = 0; to = 0 };
    read_ring()
}

/* crowd_take of the best, and its start. */
inline take()
{
    d_step {
        task = what[best] - 1;
        /* Whether something more urgent was seen is judged by what the ranks are, and not by what was read. */
        for (i : 0 .. CELLS - 1) {
            if
            :: i >= h && i < seen && !served[i] && RANK_OF(what[i] - 1) < RANK_OF(task) && state[what[i] - 1] == QUEUED ->
                assert(force)
            :: else
            fi;
            if
            :: i >= h && i < seen && !served[i] && RANK_OF(what[i] - 1) == NORMAL && RANK_OF(task) == URGENT ->
                k = 1
            :: else
            fi
        }
        passed = (RANK_OF(task) == NORMAL -> 0 : (k == 1 -> passed + 1 : 0));
        assert(passed <= PASSES);
        i = 0;
        k = 0
    };
    d_step {
        if
        :: best != h ->
            if
            :: cell[best] == what[best] -> cell[best] = HOLE
            :: else
            fi
        :: else
        fi;
        served[best] = true;
        waits_there[best] = false
    };
    advance();
    if
    :: moves < MOVES && h < seen -> to_the_end(); advance()
    :: true
    fi;
#ifdef DEFECT_HEAD_OVER
    head = seen;
#else
    head = h;
#endif
    start(task);
    d_step { task = 0; best = 0 }
}

#ifdef DEFECT_SCAN_ONCE
#define SCAN_PASSES 1
#else
#define SCAN_PASSES (ranked -> RANKS : 1)
#endif

/* ap_queue_scan: what was QUEUED when it began, by rank; what is more urgent and in the ring goes between. */
inline scan()
{
    mine = rescan;
    d_step {
        for (i : 0 .. TASKS - 1) { found[i] = (state[i] == QUEUED) }
        i = 0;
        passes = SCAN_PASSES;
        pass = 0
    };
    do
    :: pass == passes -> break
    :: else ->
        k = 0;
        do
        :: k == TASKS -> break
        :: else ->
            if
            :: found[k] && state[k] == QUEUED && (passes == 1 || rank[k] == pass) ->
                atomic {
                    for (i : 0 .. TASKS - 1) {
                        if
                        :: found[i] && state[i] == QUEUED -> assert(RANK_OF(i) >= RANK_OF(k))
                        :: else
                        fi
                    }
                    i = 0
                };
                start(k)
            :: else
            fi;
            k++
        od;
        pass++
    od;
    atomic {
        for (i : 0 .. TASKS - 1) { found[i] = false }
        i = 0; k = 0; pass = 0; passes = 0
    }
}

/* Its private memory: of each position that it looks at what is there, in whose turn; and where it is. */
proctype consumer()
{
    byte what[CELLS], turn[CELLS], of_rank[CELLS], next[2], h, seen, passed, moves, mine;
    bool served[CELLS], known[CELLS], found[TASKS], force, ok;
    byte best, task, i, k, p, e, at, to, pass, passes;

end_again:
    {
        h = head;
        seen = h;
        scan();
end:    do
        :: rescan != mine -> scan()
        :: cell[seen] != 0 || h < seen ->
            read_ring();
            advance();
            choose(RANKS);
            if
            :: best != NONE -> take()
            :: else -> head = h
            fi
        od
    } unless {
        d_step {
            dead[W] ->
            died = true;
            for (i : 0 .. CELLS - 1) {
                what[i] = 0; turn[i] = 0; of_rank[i] = 0; served[i] = false; known[i] = false
            }
            for (i : 0 .. TASKS - 1) { found[i] = false }
            next[0] = 0; next[1] = 0; h = 0; seen = 0; passed = 0; moves = 0; mine = 0; force = false; ok = false;
            best = 0; task = 0; i = 0; k = 0; p = 0; e = 0; at = 0; to = 0; pass = 0; passes = 0
        }
    };
    atomic { life[W] == GONE -> life[W] = LIVE; dead[W] = false };
    goto end_again
}

/* ---- recovery ----------------------------------------------------------------------------------------------------- */

inline recover(me, d, t)
{
    life[d] = DEAD;
    t = 0;
    do
    :: d != W || t == TASKS -> break
    :: else ->
#ifndef DEFECT_FORGET_RUNNING
        d_step {
            if
            :: state[t] == RUNNING -> assert(PERMITTED(RUNNING, QUEUED)); state[t] = QUEUED
            :: else
            fi
        };
#endif
        t++
    od;
    rescan++;
    life[d] = GONE;
    d_step { UNLOCK(d); d = 0; t = 0 }
}

proctype reaper(byte me)
{
    byte d, t;

end_ready:
    READY;
    {
end:    do
        :: atomic { LOCKABLE(A) -> d = A; LOCK(d) }; recover(me, d, t)
        :: atomic { LOCKABLE(W) -> d = W; LOCK(d) }; recover(me, d, t)
        :: atomic { LOCKABLE(R1) -> d = R1; LOCK(d) }; recover(me, d, t)
        od
    } unless {
        d_step { dead[me] -> d = 0; t = 0 }
    }
}

/* What was published runs. */
active proctype judge()
{
    byte t;

    timeout;
    do
    :: t == TASKS -> break
    :: else -> assert(state[t] == DONE || (dead[A] && state[t] == FREE)); t++
    od
}

init
{
    atomic {
        run client(A);
        run client(B);
        run consumer();
        run reaper(R1);
        run reaper(R2)
    }
}
