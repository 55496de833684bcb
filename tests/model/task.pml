/* tests/model/task.pml - the life of a task in one slot: submit, claim, complete, collect, cancel, abandon, detach, redelivery.
 *
 * One slot, one slab. Client A submits two tasks, client B one, when the slab is free again: so there are stale tokens and
 * references, and B finds what A has left. Two workers take what is QUEUED (how they hear of it is queue.pml's; a reference may
 * be as old as it likes); a dead one comes back when it has been recovered. Two reapers, one of which may die. A sweep. Each
 * step is one access to shared memory, or several to what only one lane can touch at that time.
 *
 * `crashes` is the number of the attempt: the word's crashes and its lost starts together. Which of the two a death adds to makes no
 * difference to who may do what; either way the word is another.
 *
 * Checked: each way of the task word is in shm/states.def; no two write a result; a task ends exactly once; what is collected
 * is what the attempt that ended it wrote, and the task's own; a task that its client waits for ends (else: invalid end state);
 * at the end the slot is FREE, the slab nobody's, no lock held.
 *
 * Defects: NO_TOKEN a client's late cancel does not compare the generation; FILL_AFTER publish before fill; NO_CRASH_COUNT;
 * STORE_RELEASING release by a store; FREE_FIRST the reaper frees a RUNNING slot before it queues it again; FORGET_LEASE the
 * reaper forgets the slab; FORGET_RELEASING the reaper passes over RELEASING; FORGET_RUNNING only slots of slabs that the dead
 * lane held are recovered; REUSE_BUSY a slab's next holder takes a slot that still runs; NO_DETACH the reaper does not mark a
 * dead client's tasks; LEASE_EARLY the reaper gives the slab back before it has looked at its slots; FALSE_DEATH a worker that
 * lives is taken for dead.
 */
#define LANES 7
#define A 0
#define B 1
#define W1 2
#define R1 4
#define R2 5
#define SWEEP 6
#define KILLABLE R2 /* A, B, both workers, one reaper */
#define ON_DEATH(lane)                            \
    if                                            \
    :: writer == lane -> writer = NOBODY          \
    :: else                                       \
    fi
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef WORKERS
#define WORKERS 1
#endif
#ifndef TASKS_A
#define TASKS_A 1
#endif
#ifndef TASKS_B
#define TASKS_B 1
#endif
byte writer = 15; /* only the model knows */

#include "common.pml"
#include "states.pml"

#ifndef CRASHES_MAX
#define CRASHES_MAX 2
#endif
#define QUEUE 14 /* owner while QUEUED */
#define NONE 15  /* owner elsewhere */
#define GENERATIONS (TASKS_A + TASKS_B + 1)

/* struct ap_slot: the word, the request word, what is filled in, the result. */
byte state, owner = NONE, crashes, gen;
byte req_gen, req_bits;
byte body;                 /* the generation it was filled for */
byte result_gen, result_crashes;
byte lease = NOBODY;       /* struct ap_slab */

/* What only the model knows. */
byte ended[GENERATIONS];
byte runs;                 /* of the present task */
bool submitted[GENERATIONS];
byte from, to;             /* for the list of ways that were gone */

c_decl {
    static char went[16][16];
    static void note_way(int f, int t)
    {
        if (went[f][t]) return;
        went[f][t] = 1;
        printf("way %d %d\n", f, t);
    }
};
#define WAY(f, t) from = f; to = t; c_code { note_way(now.from, now.to); }; from = 0; to = 0

#define ABANDON 2 /* and DETACH, which is the same from birth; CANCEL only asks, and changes nothing here */
#define GIVEN_UP (req_gen == gen && (req_bits & ABANDON))
#define ENDED(s) (s == DONE || s == FAILED || s == CANCELLED)

/* The word changes. In a d_step. */
#define GO(next, who)                             \
    assert(PERMITTED(state, next));               \
    WAY(state, next);                             \
    if                                            \
    :: ENDED(next) -> ended[gen]++; assert(ended[gen] == 1) \
    :: else                                       \
    fi;                                           \
    state = next;                                 \
    owner = who

#define SAME(s, o, c, g) (state == s && owner == o && crashes == c && gen == g)

/* ---- ap_task_release, of task.c: finished -> RELEASING(me) -> FREE ----------------------------------------------- */

inline release(me, rs, ro, rc, rg, ok)
{
    ok = false;
    if
    :: !ENDED(rs)
    :: else ->
#ifdef DEFECT_STORE_RELEASING
        d_step { ok = true; GO(RELEASING, me) };
#else
        d_step {
            if
            :: SAME(rs, ro, rc, rg) -> ok = true; GO(RELEASING, me)
            :: else
            fi
        };
#endif
        if
        :: ok ->
            d_step {
                assert(state == RELEASING && owner == me);
                GO(FREE, NONE);
                body = 0; result_gen = 0; crashes = 0; runs = 0
            }
        :: else
        fi
    fi
}

#define LOAD(s, o, c, g) d_step { s = state; o = owner; c = crashes; g = gen }
#define FORGET(s, o, c, g) d_step { s = 0; o = 0; c = 0; g = 0 }

/* ap_task_request */
inline request(bits, id)
{
    d_step {
        if
        :: req_gen == id -> req_bits = req_bits | bits
        :: else
        fi
    }
}

/* ---- clients -------------------------------------------------------------------------------------------------- */

#ifdef DEFECT_NO_TOKEN
#define MINE(gg, g) true
#else
#define MINE(gg, g) (gg == g)
#endif

/* ap_give_up (collect.c) and expire (await.c) are alike: QUEUED is ended, finished is freed, RUNNING is marked. */
inline give_up(me, id, gs, go, gc, gg, ok)
{
    do
    :: LOAD(gs, go, gc, gg);
        if
        :: MINE(gg, id) && gs == QUEUED ->
            atomic { /* ap_task_cancel_queued */
                if
                :: SAME(gs, go, gc, gg) -> d_step { GO(CANCELLED, NONE); gs = CANCELLED; go = NONE; ok = true }
                :: SAME(gs, go, gc, gg) -> d_step { GO(FAILED, NONE); gs = FAILED; go = NONE; ok = true }
                :: else -> ok = false
                fi
            };
            if
            :: ok -> release(me, gs, go, gc, gg, ok); break
            :: else
            fi
        :: MINE(gg, id) && ENDED(gs) -> release(me, gs, go, gc, gg, ok); break
        :: MINE(gg, id) && gs == RUNNING -> request(ABANDON, id); break
        :: else -> break
        fi
    od
}

proctype client(byte me; byte tasks)
{
    byte s, o, c, g, mine, n;
    bool ok, detach;

    {
        do
        :: n == tasks -> break
        :: else ->
            atomic { lease == NOBODY || lease == me -> lease = me }; /* slab_lease: CAS */
            /* reserve_turn, until the slot is to be had */
            do
            :: LOAD(s, o, c, g);
                if
                :: ENDED(s) && GIVEN_UP -> release(me, s, o, c, g, ok)
#ifdef DEFECT_REUSE_BUSY
                :: s == RUNNING && GIVEN_UP -> break
#endif
                :: s == FREE -> break
                :: else -> (state == FREE || (ENDED(state) && GIVEN_UP)) /* every slot busy: ENOSLOT, the caller tries again */
                fi
            od;
            atomic { /* slot_reserve: a store; only the slab's holder leaves FREE */
                assert(lease == me);
#ifndef DEFECT_REUSE_BUSY
                assert(state == FREE);
#endif
                gen++; mine = gen; crashes = 0; runs = 0;
                GO(RESERVED, me);
                FORGET(s, o, c, g)
            };
            d_step { req_gen = mine; req_bits = 0 };
            if
            :: detach = false
#ifndef LEAN
            :: detach = true; req_bits = ABANDON /* fill(): DETACH */
#endif
            fi;
#ifdef DEFECT_FILL_AFTER
            d_step { submitted[mine] = true; GO(QUEUED, QUEUE) };
            body = mine;
#else
            body = mine; /* fill() */
            d_step { /* ap_task_publish */
                assert(state == RESERVED && owner == me && gen == mine);
                submitted[mine] = true;
                GO(QUEUED, QUEUE)
            };
#endif
            if
            :: detach
            :: !detach -> /* apiary_await: until it has ended */
                (gen != mine || ENDED(state));
                LOAD(s, o, c, g);
                assert(g == mine && !GIVEN_UP); /* nobody else frees what a living client has not given up */
                assert(s != CANCELLED);             /* it has not asked for that */
                assert(s != DONE || (body == mine && result_gen == mine && result_crashes == c)); /* ap_collect */
                release(me, s, o, c, g, ok);
                assert(ok)
            :: !detach -> give_up(me, mine, s, o, c, g, ok) /* cancelled, or its time is up */
            fi;
            d_step { FORGET(s, o, c, g); ok = false; detach = false; n++ }
        od;
        atomic { if :: lease == me -> lease = NOBODY :: else fi }; /* ap_slabs_release */
#ifdef LATE
        give_up(me, mine, s, o, c, g, ok); /* apiary_cancel with an id of long ago */
#endif
        life[me] = GONE
    } unless {
        d_step { dead[me] -> FORGET(s, o, c, g) }
    }
}

/* ---- workers -------------------------------------------------------------------------------------------------- */

proctype worker(byte me)
{
    byte s, o, c, g, ref;
    bool ok;

end_again:
    {
end:
        do
        :: atomic { state == QUEUED && ref != gen -> ref = gen } /* a reference comes, and stays for as long as it likes */
        :: atomic { ref != 0 && state == QUEUED -> s = state; o = owner; c = crashes; g = gen }; /* ap_task_claim */
            if
            :: o == QUEUE && g == ref ->
                d_step {
                    if
                    :: SAME(s, o, c, g) -> GO(RUNNING, me); s = RUNNING; o = me; ok = true; runs++; assert(runs <= CRASHES_MAX)
                    :: else -> ok = false /* the code tries again while it is still QUEUED here: so does this, ref stays */
                    fi
                }
            :: else -> ok = false
            fi;
            if
            :: ok ->
                d_step { assert(writer == NOBODY); writer = me; assert(body == g) };
                d_step { assert(writer == me); result_gen = g; result_crashes = c };
                d_step { assert(writer == me); writer = NOBODY };
                ok = SAME(s, o, c, g); /* ap_task_finish: a load and a store; while it runs only this lane writes the word */
                if
                :: ok -> d_step { assert(SAME(s, o, c, g)); GO(DONE, NONE) }
#ifndef LEAN
                :: ok -> d_step { assert(SAME(s, o, c, g)); GO(FAILED, NONE) }
#endif
                :: else
                fi
            :: else
            fi;
            d_step { if :: ok || g != ref -> ref = 0 :: else fi; FORGET(s, o, c, g); ok = false }
        od
    } unless {
        d_step { dead[me] -> FORGET(s, o, c, g); ok = false; ref = 0 }
    };
    atomic { life[me] == GONE -> life[me] = LIVE; dead[me] = false };
    goto end_again
}

/* ---- recovery: recover_slots of reap.c --------------------------------------------------------------------------- */

#ifdef DEFECT_FALSE_DEATH
#undef LOCKABLE
#define LOCKABLE(l) ((dead[l] || l == W1) && life[l] != GONE && locked[l] == NOBODY)
#endif
inline requeue_running(s, o, c, g, again)
{
    d_step { again = GIVEN_UP }; /* gave_up() */
    if
    :: c + 1 >= CRASHES_MAX || again ->
        d_step {
            if
            :: SAME(s, o, c, g) -> GO(FAILED, NONE); again = false
            :: else -> again = true
            fi
        }
    :: else ->
#ifdef DEFECT_FREE_FIRST
        d_step { state = FREE; owner = NONE };
        d_step { state = QUEUED; owner = QUEUE; crashes++; again = false }
#else
        d_step {
            if
            :: SAME(s, o, c, g) ->
                GO(QUEUED, QUEUE);
                again = false;
#ifndef DEFECT_NO_CRASH_COUNT
                crashes++
#endif
            :: else -> again = true
            fi
        }
#endif
    fi
}

/* recover_slot; `held`: the slab was the dead lane's. */
inline recover_slot(d, held, s, o, c, g, again)
{
    LOAD(s, o, c, g); /* TASK-A4 */
    if
#ifdef DEFECT_FORGET_RELEASING
    :: s == RESERVED && o == d ->
#else
    :: (s == RESERVED || s == RELEASING) && o == d -> /* free_slot */
#endif
        d_step {
            if
            :: SAME(s, o, c, g) -> GO(FREE, NONE); body = 0; result_gen = 0; crashes = 0; runs = 0; again = false
            :: else -> again = true
            fi
        }
#ifndef DEFECT_NO_DETACH
    :: s == QUEUED && held -> request(ABANDON, g)
#endif
    :: s == RUNNING && (held || o == d) ->
#ifndef DEFECT_NO_DETACH
        if
        :: held -> request(ABANDON, g)
        :: else
        fi;
#endif
        if
        :: o == d -> requeue_running(s, o, c, g, again)
        :: else
        fi
    :: ENDED(s) && held -> release(d, s, o, c, g, again); again = !again
    :: else
    fi;
    FORGET(s, o, c, g)
}

inline recover(me, d, held, s, o, c, g, again)
{
    life[d] = DEAD;
    held = (lease == d);
#ifdef DEFECT_LEASE_EARLY
    d_step { if :: held -> lease = NOBODY :: else fi };
#endif
#ifdef DEFECT_FORGET_RUNNING
    again = held;
#else
    again = true;
#endif
    do
    :: again -> again = false; recover_slot(d, held, s, o, c, g, again)
    :: !again -> break
    od;
#ifndef DEFECT_FORGET_LEASE
    atomic { if :: held && lease == d -> lease = NOBODY :: else fi };
#endif
    life[d] = GONE;
    d_step { UNLOCK(d); d = 0; held = false }
}

proctype reaper(byte me)
{
    byte d, s, o, c, g;
    bool again, held;

end_ready:
    READY;
    {
end:    do
        :: atomic { LOCKABLE(A) -> d = A; LOCK(d) }; recover(me, d, held, s, o, c, g, again)
        :: atomic { LOCKABLE(B) -> d = B; LOCK(d) }; recover(me, d, held, s, o, c, g, again)
        :: atomic { LOCKABLE(W1) -> d = W1; LOCK(d) }; recover(me, d, held, s, o, c, g, again)
        :: atomic { LOCKABLE(3) -> d = 3; LOCK(d) }; recover(me, d, held, s, o, c, g, again)
        :: atomic { LOCKABLE(R1) -> d = R1; LOCK(d) }; recover(me, d, held, s, o, c, g, again)
        od
    } unless {
        d_step { dead[me] -> FORGET(s, o, c, g); d = 0; again = false; held = false }
    }
}

/* ---- ap_sweep: a deadline that passes, and what nobody will collect ---------------------------------------------- */

inline sweep_slot(s, o, c, g, l, ok)
{
    LOAD(s, o, c, g);
    if
    :: s == QUEUED  -> d_step { if :: SAME(s, o, c, g) -> GO(FAILED, NONE) :: else fi }
    :: ENDED(s) ->
        l = lease;
        if
        :: l == NOBODY -> release(SWEEP, s, o, c, g, ok)
        :: else
        fi
    :: else
    fi;
    d_step { FORGET(s, o, c, g); l = 0; ok = false }
}

active proctype sweep()
{
    byte s, o, c, g, l;
    bool ok;

#ifdef EARLY_SWEEP
    sweep_slot(s, o, c, g, l, ok); /* once at any time */
#endif
    timeout;                       /* all else rests: nobody waits who has something to wait for */
    assert((life[A] == GONE || dead[A]) && (life[B] == GONE || dead[B]));
    sweep_slot(s, o, c, g, l, ok);
    assert(state == FREE);
    assert(lease == NOBODY);
    assert(writer == NOBODY);
    for (l : 1 .. GENERATIONS - 1) {
        assert(submitted[l] == ended[l]); /* none is lost, none comes twice */
    }
    for (l : 0 .. LANES - 1) {
        assert(locked[l] == NOBODY)
    }
}

init
{
    atomic {
        run client(A, TASKS_A);
        run client(B, TASKS_B);
        run worker(W1);
#if WORKERS > 1
        run worker(3);
#endif
        run reaper(R1);
        run reaper(R2)
    }
}
