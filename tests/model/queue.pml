/* tests/model/queue.pml - rings of references are hints: lost, stale and doubled ones, queues that close, the rescan word.
 *
 * A client submits TASKS detached tasks (nobody waits for them, so nobody helps), each in its own slot. Queue 0 is W0's, who
 * may die; queue 1 is W1's, who stays. The client prefers queue 0. The reaper closes queue 0, moves what is in it, and has
 * everybody rescan. With RESTART there is no queue 1: W0 comes back and opens its queue anew. Each queue has the client's inlet
 * (ring 0) and the shared ring (1); positions are absolute here, which is what the laps in the cells stand for. No sweep: it
 * would hide a loss.
 *
 * COMEBACK: both, queue 1 and a W0 that comes back; then there are stale references in queue 0.
 *
 * Memory: the client's stores (slot word, then cell) pass through a store buffer each, in their order, which `hardware` empties
 * at any time. The consumer's missing fence is a look that comes before its raised bell.
 *
 * Checked: every task that was published runs, once, in a worker of the queue its word named (end: all finished); a client that
 * died before it published owes nothing; no park lasts for ever while there is something to do.
 *
 * Defects: NO_FENCE (TASK-F1, QUEUE-F1); NO_CONSUMER_FENCE (BELL-F2 and QUEUE-F2); NO_LAST_LOOK no settle before a park;
 * NO_SETTLE the client does not look again whether its queue closed; FORGET_RESCAN the reaper raises none; RESCAN_LATE the scan
 * is recorded under the number read at its end; REFERENCE_FIRST the cell before the word; NO_QUEUE_CHECK claim does not look
 * whose it is; SILENT_MOVE a moved task is not announced. Not defects by themselves, says the model: settle without a fence of
 * its own (the bell was raised, with one, just before); clearing the summary after the look (the raised bell makes the worker
 * look once more); closing the queue after the scan of the table (the client looks at the consumer's life, too).
 */
#define LANES 5
#define CLIENT 0
#define W0 1
#define W1 2
#define R1 3
#define R2 4
#define KILLABLE R2
#define SPARED W1
#ifndef TASKS
#define TASKS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef DEPTH
#define DEPTH 2 /* of the shared ring */
#endif
#define CELLS 6 /* positions of a ring that a run may reach */
#define NONE 15

/* A slot's word: 0 EMPTY, 1 + q QUEUED(q), 3 + q RUNNING(the worker of q), 5 FINISHED. */
#define EMPTY 0
#define QUEUED(q) (1 + (q))
#define RUNNING(w) (3 + (w))
#define FINISHED 5
byte word[TASKS + 1], runs[TASKS + 1];

/* Ring 2 * q is the client's inlet of queue q, 2 * q + 1 the shared one. A cell is 0 or task + 1. */
byte cell[4 * CELLS], head[4], tail[4];
#define CELL(ring, at) cell[(ring) * CELLS + (at)]
byte summary[2], rescan;
bool asleep[2], raised[2];
byte life_of[2] = 1; /* of a queue: 2 * epoch + open. Both are open at first: with no other provider a task waits for its queen. */
#define OPEN(q) (life_of[q] & 1)

/* The client's store buffer: the word and the cell of the task that it submits. */
byte pending_word, pending_cell, pending_task, pending_queue;
#ifdef DEFECT_REFERENCE_FIRST
#define WORD_MAY_DRAIN (pending_word != 0)
#define CELL_MAY_DRAIN (pending_cell != 0)
#else
#define WORD_MAY_DRAIN (pending_word != 0)
#define CELL_MAY_DRAIN (pending_cell != 0 && pending_word == 0)
#endif
#define DRAIN_WORD word[pending_task] = pending_word; pending_word = 0
#define DRAIN_CELL CELL(2 * pending_queue, tail[2 * pending_queue]) = pending_cell; tail[2 * pending_queue]++; pending_cell = 0
#define DRAIN                             \
    if                                    \
    :: pending_word != 0 -> DRAIN_WORD    \
    :: else                               \
    fi;                                   \
    if                                    \
    :: pending_cell != 0 -> DRAIN_CELL    \
    :: else                               \
    fi

#define ON_DEATH(lane)                    \
    if                                    \
    :: lane == CLIENT -> DRAIN            \
    :: else                               \
    fi
#include "common.pml"

#define ALIVE(lane) (!dead[lane] && life[lane] == LIVE)
#define SERVES(q) (OPEN(q) && ALIVE(W0 + (q)))
#ifdef RESTART
#define OTHER(q) NONE
#else
#define OTHER(q) ((q) == 0 && SERVES(1) -> 1 : NONE)
#endif

active proctype hardware()
{
end:
    do
    :: d_step { WORD_MAY_DRAIN -> DRAIN_WORD }
    :: d_step { CELL_MAY_DRAIN -> DRAIN_CELL }
    od
}

/* ap_bell_wake. What its steps are worth is bell.pml's matter: here a wake is one step, and for the sequence there stands whether
 * the word has changed since the worker raised it. */
inline wake(bw)
{
    d_step { raised[bw] = false; asleep[bw] = false }
}

#define DRAIN_OWN if :: me == CLIENT -> DRAIN :: else fi

/* ap_queue_signal, after a full fence. Its compare-and-swaps empty the buffer of who has one. */
inline signal(sq, mask)
{
    if
    :: (summary[sq] & mask) == 0 -> d_step { DRAIN_OWN; summary[sq] = summary[sq] | mask }
    :: else
    fi;
    if
    :: raised[sq] -> d_step { DRAIN_OWN }; wake(sq)
    :: else
    fi
}

/* ap_queue_push_shared; full: everybody looks through the table. */
inline push_shared(pq, ref, at)
{
    do
    :: at = tail[2 * pq + 1];
        if
        :: CELL(2 * pq + 1, at) != 0 -> d_step { if :: tail[2 * pq + 1] == at -> tail[2 * pq + 1] = at + 1 :: else fi } /* helped */
        :: CELL(2 * pq + 1, at) == 0 && tail[2 * pq + 1] == at && at >= head[2 * pq + 1] + DEPTH -> rescan++; break
        :: else ->
            if
            :: d_step { CELL(2 * pq + 1, at) == 0 && tail[2 * pq + 1] == at -> CELL(2 * pq + 1, at) = ref + 1 };
                d_step { if :: tail[2 * pq + 1] == at -> tail[2 * pq + 1] = at + 1 :: else fi };
                break
            :: else
            fi
        fi
    od;
    at = 0
}

/* ap_task_move and what follows: ap_move_queued of move.c. */
inline move(task, was, mq, next, at)
{
    d_step {
        if
        :: word[task] == was -> word[task] = QUEUED(mq); next = true
        :: else -> next = false
        fi
    };
    if
    :: next -> announce(task, mq, at)
    :: else
    fi
}

inline announce(at_task, aq, at)
{
#ifndef DEFECT_SILENT_MOVE
    push_shared(aq, at_task, at);
    signal(aq, 2)
#else
    skip
#endif
}

/* ---- the client: place (submit.h) and settle (delegate.c) -------------------------------------------------------- */

proctype client(byte me)
{
    byte k, q, seen, w, at;
    bool ok;

    {
        do
        :: k == TASKS -> break
        :: else ->
            if
            :: SERVES(0) -> q = 0
#ifndef RESTART
            :: !SERVES(0) -> q = 1
#else
            :: !SERVES(0) -> SERVES(0); q = 0 /* ENOPROVIDER, and it tries again */
#endif
            fi;
            seen = life_of[q];
            if
            :: !(seen & 1) -> goto again /* closed in between: routed anew */
            :: else
            fi;
            (pending_word == 0 && pending_cell == 0);
#ifdef DEFECT_REFERENCE_FIRST
            d_step { pending_task = k; pending_queue = q; pending_cell = k + 1 };
            pending_word = QUEUED(q);
#else
            d_step { pending_task = k; pending_queue = q; pending_word = QUEUED(q) }; /* ap_task_publish */
            pending_cell = k + 1; /* ap_queue_push */
#endif
#ifndef DEFECT_NO_FENCE
            d_step { DRAIN }; /* TASK-F1, QUEUE-F1 */
#endif
            signal(q, 1);
#ifndef DEFECT_NO_SETTLE
            do
            :: life_of[q] == seen && ALIVE(W0 + q) -> break
            :: else -> /* settle() */
                seen = life_of[q];
                w = word[k];
                if
                :: pending_word != 0 && pending_task == k -> w = pending_word /* its own store */
                :: else
                fi;
                if
                :: w != QUEUED(q) -> break
                :: w == QUEUED(q) && SERVES(q) -> signal(q, 1) /* opened anew; then it looks again */
                :: w == QUEUED(q) && !SERVES(q) && OTHER(q) != NONE ->
                    d_step { DRAIN }; /* the compare-and-swap */
                    move(k, w, 1, ok, at);
                    break
                :: else -> break /* its queen may come back */
                fi
            od;
#endif
            k++;
again:      atomic { seen = 0; w = 0; ok = false; q = 0 }
        od;
        (pending_word == 0 && pending_cell == 0);
        life[me] = GONE
    } unless {
        d_step { dead[me] -> k = 0; seen = 0; w = 0; ok = false; q = 0; at = 0 }
    }
}

/* ---- workers: worker.c, the consumer of queue.c ------------------------------------------------------------------ */

/* ap_task_claim, and the task runs. */
inline start(task)
{
    w = word[task];
    if
#ifdef DEFECT_NO_QUEUE_CHECK
    :: w == QUEUED(0) || w == QUEUED(1) ->
#else
    :: w == QUEUED(q) ->
#endif
        d_step {
            if
            :: word[task] == w -> assert(w == QUEUED(q)); word[task] = RUNNING(q); ok = true
            :: else -> ok = false /* the code tries again while it is QUEUED here */
            fi
        };
        if
        :: ok ->
            d_step { assert(word[task] == RUNNING(q)); word[task] = FINISHED; runs[task]++; assert(runs[task] == 1) }
        :: else
        fi
    :: else
    fi;
    d_step { w = 0; ok = false }
}

#define HAS(r) (CELL(2 * q + (r), head[2 * q + (r)]) != 0)

proctype worker(byte me; byte q)
{
    byte k, w, known, begun, ref;
    bool ok, scanning, found;

end_again:
    {
        atomic { /* ap_queue_open, consumers_open */
            if
            :: (life_of[q] & 1) == 0 -> life_of[q] = life_of[q] + 1; scanning = true
            :: else
            fi
        };
end:
        do
        :: scanning || known != rescan -> /* drain: ap_queue_scan */
            begun = rescan;
            k = 0;
            do
            :: k < TASKS ->
                if
                :: word[k] == QUEUED(q) -> start(k)
                :: else
                fi;
                k++
            :: else -> break
            od;
#ifdef DEFECT_RESCAN_LATE
            atomic { known = rescan; scanning = false; begun = 0; k = 0 }
#else
            atomic { known = begun; scanning = false; begun = 0; k = 0 }
#endif
        :: else -> /* ap_queue_pop: rings whose bit is set */
            atomic {
                if
                :: (summary[q] & 1) && HAS(0) -> ref = CELL(2 * q, head[2 * q]); head[2 * q]++
                :: (summary[q] & 2) && HAS(1) -> ref = CELL(2 * q + 1, head[2 * q + 1]); head[2 * q + 1]++
                :: else -> ref = 0
                fi
            };
            if
            :: ref != 0 -> start((ref - 1)); ref = 0
            :: else -> /* park() */
#ifdef DEFECT_NO_CONSUMER_FENCE
                found = HAS(0) || HAS(1);
#endif
                raised[q] = true; /* ap_bell_raise; BELL-F2 */
                summary[q] = 0;   /* ap_queue_settle; QUEUE-F2 */
#if !defined(DEFECT_NO_CONSUMER_FENCE) && !defined(DEFECT_NO_LAST_LOOK)
                if :: HAS(0) -> d_step { summary[q] = summary[q] | 1; found = true } :: else fi;
                if :: HAS(1) -> d_step { summary[q] = summary[q] | 2; found = true } :: else fi;
#endif
                if
                :: found || known != rescan -> skip
                :: else ->
                    asleep[q] = raised[q]; /* FUTEX_WAIT */
end_asleep:         (!asleep[q])
                fi;
                found = false
            fi
        od
    } unless {
        d_step {
            dead[me] -> k = 0; w = 0; known = 0; begun = 0; ref = 0;
            ok = false; found = false; scanning = false; asleep[q] = false
        }
    };
#if defined(RESTART) || defined(COMEBACK)
    atomic { life[me] == GONE -> life[me] = LIVE; dead[me] = false };
    goto end_again
#endif
}

/* ---- recovery: reap.c -------------------------------------------------------------------------------------------- */

inline close_queue(d)
{
    d_step { if :: d == W0 && OPEN(0) -> life_of[0] = life_of[0] + 1 :: else fi } /* ap_queue_close; TASK-F2 */
}

inline recover_slots(d, k, w, ok, at)
{
    k = 0;
    do
    :: k < TASKS ->
        do
        :: w = word[k];
            if
            :: w == QUEUED(0) && !SERVES(0) && OTHER(0) != NONE -> move(k, w, 1, ok, at)
            :: w == RUNNING(0) && d == W0 ->
                d_step { /* requeue_running; nobody else offers it: it waits where it was */
                    if
                    :: word[k] == w -> word[k] = (OTHER(0) != NONE -> QUEUED(1) : QUEUED(0)); w = word[k]; ok = true
                    :: else -> ok = false
                    fi
                };
                if
                :: ok -> announce(k, (w - 1), at)
                :: else
                fi
            :: else -> ok = true
            fi;
            if :: ok -> break :: else fi
        od;
        atomic { k++; w = 0; ok = false }
    :: else -> break
    od;
    k = 0
}

inline recover(d, k, w, ok, at)
{
    life[d] = DEAD;
    close_queue(d);
    recover_slots(d, k, w, ok, at);
#ifndef DEFECT_FORGET_RESCAN
    rescan++;
#endif
    wake(0); /* ap_bells_all */
    wake(1);
    life[d] = GONE;
    d_step { UNLOCK(d); d = 0 }
}

proctype reaper(byte me)
{
    byte d, k, w, at;
    bool ok;

end_ready:
    READY;
    {
end:    do
        :: atomic { LOCKABLE(CLIENT) -> d = CLIENT; LOCK(d) }; recover(d, k, w, ok, at)
        :: atomic { LOCKABLE(W0) -> d = W0; LOCK(d) }; recover(d, k, w, ok, at)
        :: atomic { LOCKABLE(R1) -> d = R1; LOCK(d) }; recover(d, k, w, ok, at)
        od
    } unless {
        d_step { dead[me] -> d = 0; k = 0; w = 0; at = 0; ok = false }
    }
}

active proctype judge()
{
    byte k;

    timeout;
    assert(pending_word == 0 && pending_cell == 0);
    assert(life[CLIENT] == GONE); /* it went, or was recovered: it did not wait for anybody */
    for (k : 0 .. TASKS - 1) {
        assert(word[k] == EMPTY || word[k] == FINISHED)
    }
    for (k : 0 .. LANES - 1) {
        assert(locked[k] == NOBODY)
    }
}

init
{
    atomic {
        run client(CLIENT);
        run worker(W0, 0);
#ifndef RESTART
        run worker(W1, 1);
#endif
        run reaper(R1);
        run reaper(R2)
    }
}
