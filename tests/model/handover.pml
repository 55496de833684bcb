/* tests/model/handover.pml - what goes with a task: the bulkhead's ticket, the request's and the result's blocks.
 *
 * Client A submits one task whose request and result lie in blocks; B borrows a block and gives it back, and, when A's slab is
 * free, takes the one ticket and frees what A has left. One worker, which comes back after its death. Two reapers, one of which
 * may die. A sweeper of the pool that may be as slow as it likes. Two blocks. From: admission.c (tickets), pool.c (take,
 * attach, free, sweep), delegate.c and submit.h (take, write, freed), job.c (result_attach), collect.c (ap_task_free), reap.c
 * (recover), hooks.c (closed).
 *
 * Checked: a block has one user at a time, by what stands in it; a ticket is given back by who holds it; at the end every block
 * is FREE, the ticket free, the slot FREE.
 *
 * Defects: NO_CRASHES the side word of a result does not name the attempt; FREE_UNCHECKED a release frees what the slot names,
 * whosever it is; FORGET_TICKET and FORGET_BLOCKS the reaper does not free them; SWEEP_OWNED the sweep takes blocks from living
 * lanes; SWEEP_STORE it frees by a store; TICKET_STORE a ticket is given back without a look at whose it is; NAME_LATE the slot
 * names the request's block only after the task was published. NO_SECOND_LOOK the sweep does not look again at the word of a
 * RUNNING task whose lane is not LIVE: that lane may have named the block, finished and closed in between (this model found it
 * in the code). The index of a lane is not used again here (the code compares lane->joined with the task's time for that).
 */
#define LANES 6
#define A 0
#define B 1
#define W 2
#define R1 3
#define R2 4
#define SWEEP 5
#define KILLABLE R2
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef CRASHES_MAX
#define CRASHES_MAX 2
#endif
#include "common.pml"
#include "states.pml"

/* The slot. The owner counts while it is RESERVED, RUNNING or RELEASING. */
byte state, owner = NOBODY, crashes, gen;
bool abandoned;
byte body, result; /* block + 1 */
byte lease = NOBODY;
#define SAME(s, o, c, g) (state == s && owner == o && crashes == c && gen == g)
#define ENDED(s) (s == DONE || s == FAILED || s == CANCELLED)
#define GO(next, who) assert(PERMITTED(state, next)); state = next; owner = who

/* The ticket: 0, BUSY(lane), IDLE(lane). */
byte ticket;
#define BUSY(lane) (16 + (lane) + 1)
#define IDLE(lane) ((lane) + 1)

/* Side words: kind, who (lane, or generation), the lane's epoch or the task's crashes. content is what stands in the block:
 * who wrote it last. */
#define B_FREE 0
#define B_OWNED 1
#define B_REQUEST 2
#define B_RESULT 3
#define BLOCKS 2
byte epoch[LANES];
byte kind[BLOCKS], who[BLOCKS], tries[BLOCKS], content[BLOCKS];
#define REQUEST_OF(g) (32 + (g))
#define RESULT_OF(g, c) (64 + (g) * 8 + (c))
#define SET(b, k, w, t) kind[b] = k; who[b] = w; tries[b] = t
#ifdef DEFECT_NO_CRASHES
#define TRIES(c) 0
#else
#define TRIES(c) (c)
#endif

/* ap_pool_take; b: NOBODY when there is none (A waits in that case, as its caller would) */
inline take(me, b)
{
    if
    :: kind[0] != B_FREE && kind[1] != B_FREE && me != A -> b = NOBODY
    :: d_step { kind[0] == B_FREE -> b = 0; SET(0, B_OWNED, me, epoch[me]) }
    :: d_step { kind[0] != B_FREE && kind[1] == B_FREE -> b = 1; SET(1, B_OWNED, me, epoch[me]) }
    fi
}

/* ap_pool_free_attached: a load, and a compare-and-swap that can only fail if somebody else freed it */
inline free_attached(named, g)
{
    d_step {
        if
#ifdef DEFECT_FREE_UNCHECKED
        :: named != 0 -> SET(named - 1, B_FREE, 0, 0)
#else
        :: named != 0 -> if :: kind[named - 1] >= B_REQUEST && who[named - 1] == g -> SET(named - 1, B_FREE, 0, 0) :: else fi
#endif
        :: else
        fi
    }
}

/* ap_task_release */
inline release(me, s, o, c, g, ok)
{
    d_step {
        if
        :: SAME(s, o, c, g) && ENDED(s) -> GO(RELEASING, me); ok = true
        :: else -> ok = false
        fi
    };
    if
    :: ok ->
        free_attached(body, g);
        free_attached(result, g);
        d_step { GO(FREE, NOBODY); crashes = 0 }
    :: else
    fi
}

inline ticket_return(lane)
{
#ifdef DEFECT_TICKET_STORE
    ticket = IDLE(lane)
#else
    d_step { if :: ticket == BUSY(lane) -> ticket = IDLE(lane) :: else fi }
#endif
}

inline tickets_free(lane)
{
    d_step { if :: ticket == BUSY(lane) || ticket == IDLE(lane) -> ticket = 0 :: else fi }
}

#define LOAD(s, o, c, g) d_step { s = state; o = owner; c = crashes; g = gen }

/* ---- A: acquire, fill, launch, await, release --------------------------------------------------------------------- */

proctype client_a(byte me)
{
    byte s, o, c, g, b;
    bool ok;

    {
        d_step { ticket == 0 || (ticket < 16) -> ticket = BUSY(me) };
        atomic { lease == NOBODY && state == FREE -> lease = me };
        d_step { gen++; abandoned = false; body = 0; result = 0; GO(RESERVED, me) };
        take(me, b);
        content[b] = REQUEST_OF(gen);
#ifndef DEFECT_NAME_LATE
        body = b + 1;
#endif
        d_step { assert(kind[b] == B_OWNED && who[b] == me); SET(b, B_REQUEST, gen, 0) }; /* ap_pool_attach */
        d_step { GO(QUEUED, NOBODY) };
#ifdef DEFECT_NAME_LATE
        body = b + 1;
#endif
        if
        :: ENDED(state) -> LOAD(s, o, c, g);
            if
            :: s == DONE -> d_step { assert(kind[result - 1] == B_RESULT && content[result - 1] == RESULT_OF(g, c)) }
            :: else
            fi;
            release(me, s, o, c, g, ok);
            assert(ok);
            ticket_return(me)
        :: state == RUNNING -> abandoned = true /* expire(): its time is up */
        fi;
        if
        :: lease == me -> lease = NOBODY /* ap_slabs_release */
        fi;
        tickets_free(me); /* at the lane's close */
        life[me] = GONE
    } unless {
        d_step { dead[me] -> s = 0; o = 0; c = 0; g = 0; b = 0; ok = false }
    }
}

/* ---- B: a loan; then the next holder of the slab: reserve_turn with freed() ----------------------------------------- */

proctype client_b(byte me)
{
    byte s, o, c, g, b;
    bool ok;

    {
        take(me, b);
        if
        :: b != NOBODY ->
            content[b] = me;
            d_step { assert(kind[b] == B_OWNED && who[b] == me && content[b] == me); SET(b, B_FREE, 0, 0) }
        :: else
        fi;
        b = 0;
        if
        :: lease == NOBODY && gen != 0 -> /* A has come and gone */
            d_step { ticket < 16 -> ticket = BUSY(me) };
            atomic { lease == NOBODY -> lease = me };
            LOAD(s, o, c, g);
            if
            :: ENDED(s) && abandoned -> release(me, s, o, c, g, ok);
                if
                :: ok -> ticket_return(A)
                :: else
                fi
            :: else
            fi;
            d_step { assert(ticket == BUSY(me)); ticket = IDLE(me) };
            lease = NOBODY
        :: life[A] == GONE || gen == 0
        fi;
        tickets_free(me);
        life[me] = GONE
    } unless {
        d_step { dead[me] -> s = 0; o = 0; c = 0; g = 0; b = 0; ok = false }
    }
}

/* ---- the worker --------------------------------------------------------------------------------------------------- */

proctype worker(byte me)
{
    byte c, g, b;

end_again:
    {
end:
        do
        :: d_step { state == QUEUED -> GO(RUNNING, me); c = crashes; g = gen };
            result = 0; /* ap_task_claim */
            assert(body != 0 && kind[body - 1] == B_REQUEST && who[body - 1] == g && content[body - 1] == REQUEST_OF(g));
            take(me, b);
            if
            :: b != NOBODY ->
                content[b] = RESULT_OF(g, c);
                d_step { assert(kind[b] == B_OWNED && who[b] == me); SET(b, B_RESULT, g, TRIES(c)) }; /* result_attach */
                result = b + 1;
                d_step {
                    assert(state == RUNNING && owner == me);
                    assert(content[b] == RESULT_OF(g, c) && kind[b] == B_RESULT && who[b] == g);
                    GO(DONE, NOBODY); c = 0; g = 0; b = 0
                }
            :: else -> d_step { GO(FAILED, NOBODY); c = 0; g = 0; b = 0 }
            fi
        od
    } unless {
        d_step { dead[me] -> c = 0; g = 0; b = 0 }
    };
    d_step { life[me] == GONE -> life[me] = LIVE; dead[me] = false; epoch[me]++ };
    goto end_again
}

/* ---- ap_pool_sweep: the side word, then the slot's, then what it names, then the slot's again -------------------------- */

#define CHANGED 9 /* the slot, while it was looked at: once more */

inline sweep_block(n, k, w, t, s, o, c, g, ok)
{
    do
    :: d_step { k = kind[n]; w = who[n]; t = tries[n] }; /* POOL-A2 */
        if
        :: k == B_FREE -> ok = true
#ifdef DEFECT_SWEEP_OWNED
        :: k == B_OWNED -> ok = false
#else
        :: k == B_OWNED -> ok = (life[w] == LIVE && epoch[w] == t)
#endif
        :: k >= B_REQUEST -> /* attached */
            LOAD(s, o, c, g);
            if
            :: g != w || s == FREE -> ok = false
            :: g == w && s == RESERVED -> ok = true
            :: g == w && s == RUNNING && k == B_RESULT ->
                if
                :: t != TRIES(c) -> ok = false
                :: else ->
                    ok = (life[o] == LIVE);
#ifndef DEFECT_NO_SECOND_LOOK
                    if
                    :: !ok && !SAME(s, o, c, g) -> k = CHANGED
                    :: else
                    fi
#endif
                fi
            :: g == w && s == QUEUED && k == B_RESULT -> ok = false
            :: else ->
                ok = ((k == B_REQUEST -> body : result) == n + 1);
                if
                :: !ok && !SAME(s, o, c, g) -> k = CHANGED
                :: else
                fi
            fi
        fi;
        if
        :: k != CHANGED -> break
        :: else
        fi
    od;
    if
    :: !ok ->
#ifdef DEFECT_SWEEP_STORE
        d_step { SET(n, B_FREE, 0, 0) }
#else
        d_step { if :: kind[n] == k && who[n] == w && tries[n] == t -> SET(n, B_FREE, 0, 0) :: else fi }
#endif
    :: else
    fi;
    atomic { k = 0; w = 0; t = 0; s = 0; o = 0; c = 0; g = 0; ok = false }
}

/* ---- recovery ------------------------------------------------------------------------------------------------------ */

inline pool_sweep()
{
#ifndef DEFECT_FORGET_BLOCKS
    sweep_block(0, k, w, t, s, o, c, g, ok);
    sweep_block(1, k, w, t, s, o, c, g, ok)
#else
    skip
#endif
}

/* requeue_running; ok: to look again */
inline requeue(d)
{
    d_step {
        if
        :: SAME(s, o, c, g) && (c + 1 >= CRASHES_MAX || abandoned) -> GO(FAILED, NOBODY)
        :: SAME(s, o, c, g) && !(c + 1 >= CRASHES_MAX || abandoned) -> GO(QUEUED, NOBODY); crashes++
        :: else -> ok = true
        fi
    }
}

inline recover_hands(d)
{
    LOAD(s, o, c, g);
    if
    :: s == RUNNING && o == d -> requeue(d)
    :: else
    fi
}

inline recover_slot(d)
{
    LOAD(s, o, c, g);
    if
    :: (s == RESERVED || s == RELEASING) && o == d ->
        free_attached(body, g);
        free_attached(result, g);
        d_step { if :: SAME(s, o, c, g) -> GO(FREE, NOBODY); crashes = 0 :: else fi }
    :: s == QUEUED && held -> d_step { if :: gen == g -> abandoned = true :: else fi }
    :: s == RUNNING ->
        d_step { if :: held && gen == g -> abandoned = true :: else fi };
        if
        :: o == d -> requeue(d)
        :: else
        fi
    :: ENDED(s) && held -> release(d, s, o, c, g, ok); ok = !ok
    :: else
    fi
}

inline recover(d)
{
    life[d] = DEAD;
    recover_hands(d);
#ifndef DEFECT_FORGET_TICKET
    tickets_free(d); /* hooks->closed */
#endif
    held = (lease == d);
    ok = true;
    do
    :: ok -> ok = false; recover_slot(d)
    :: !ok -> break
    od;
    atomic { if :: held && lease == d -> lease = NOBODY :: else fi; s = 0; o = 0; c = 0; g = 0 };
    pool_sweep();
    life[d] = GONE;
    d_step { UNLOCK(d); d = 0; held = false }
}

proctype reaper(byte me)
{
    byte d, k, w, t, s, o, c, g;
    bool ok, held;

end_ready:
    READY;
    {
end:    do
        :: atomic {
               if
               :: LOCKABLE(A) -> d = A
               :: LOCKABLE(B) -> d = B
               :: LOCKABLE(W) -> d = W
               :: LOCKABLE(R1) -> d = R1
               fi;
               LOCK(d)
           };
           recover(d)
        od
    } unless {
        d_step { dead[me] -> d = 0; k = 0; w = 0; t = 0; s = 0; o = 0; c = 0; g = 0; ok = false; held = false }
    }
}

active proctype sweeper()
{
    byte k, w, t, s, o, c, g;
    bool ok;

#ifdef EARLY_SWEEP
    sweep_block(EARLY_SWEEP, k, w, t, s, o, c, g, ok);
#endif
    timeout;
    assert((life[A] == GONE || dead[A]) && (life[B] == GONE || dead[B]));
    LOAD(s, o, c, g);
    if
    :: ENDED(s) && lease == NOBODY -> release(SWEEP, s, o, c, g, ok)
    :: else
    fi;
    assert(state == FREE && lease == NOBODY);
    assert(ticket == 0);
    assert(kind[0] == B_FREE && kind[1] == B_FREE)
}

init
{
    atomic {
        run client_a(A);
        run client_b(B);
        run worker(W);
        run reaper(R1);
        run reaper(R2)
    }
}
