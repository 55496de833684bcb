/* tests/model/kept.pml - results that outlive their tasks: registry/routing/kept.h.
 *
 * One slot, ROWS rows. Client A submits a task whose result is to be kept, and client B another, when the slot is free again. A
 * worker runs and ends it, and frees the slot, since nobody collects. A result whose time is over is dropped, and a promise whose
 * task is gone: by who looks for a row, by a reaper, and by a sweep. One process fetches A's result by its id. Two reapers, one of
 * which may die. The result is a block, which goes over from the slot to the row. OVER: the time of a result passes.
 * EARLY_SWEEP: a sweep at any time.
 *
 * Checked: as long as its time is not over a result that was promised is found by its id, and is the task's own; a block is freed
 * once, by who holds it; at the end no row is in anybody's hands or promised, no block is lost but those of the dead.
 *
 * Defects: PROMISE_LATE the task is placed before its row is promised; ENTER_LATE the slot is FREE before the row is KEPT (KEPT-R1
 * before TASK-R3); NO_EPOCH a row's life does not say which; NO_SECOND_LOOK the life is not read again after the row (KEPT-A2);
 * FORGET_FILLING a dead lane's row stays; NO_ENTER the reaper of who was freeing the slot does not enter the result; DROP_PROMISED
 * a promise is dropped without a look at the slot; BLOCK_LATE the block becomes the row's after that is KEPT.
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
#ifndef ROWS
#define ROWS 1
#endif

#include "states.pml"
#include "common.pml"

#define NONE 15

/* The slot: word, result. gen is the task's id, too. */
byte state, owner = NONE, gen;
/* A row: its life, the task that it names. */
mtype = { EMPTY, FILLING, PROMISED, KEPT };
mtype row_state[ROWS] = EMPTY;
byte row_lane[ROWS] = NONE, row_epoch[ROWS], row_gen[ROWS], row_result[ROWS];
/* The block of each task's result: the slot's, a row's (the row, its epoch), or nobody's. */
#define NOBODYS 14
#define SLOT 13
byte block[3] = NOBODYS, block_epoch[3];

/* What only the model knows. */
bool placed[3], over[3];

#define ENDED(s) (s == DONE || s == FAILED)

#ifdef DEFECT_NO_EPOCH
#define SAME_LIFE(r, s, l, e) (row_state[r] == s && row_lane[r] == l)
#else
#define SAME_LIFE(r, s, l, e) (row_state[r] == s && row_lane[r] == l && row_epoch[r] == e)
#endif

/* ap_pool_free_kept, of a row that was FREE a step ago. */
inline block_free(b, r, e)
{
    d_step {
        if
        :: b != 0 && block[b] == r && block_epoch[b] == e -> block[b] = NOBODYS; block_epoch[b] = 0
        :: else
        fi
    }
}

/* row_free: from the life that was read. Its time is over, or its task is gone. */
inline row_free(r, rs, rl, re, ok)
{
    g = row_result[r];
    d_step {
        if
        :: SAME_LIFE(r, rs, rl, re) ->
            assert(row_state[r] != PROMISED || !(placed[row_gen[r]] && state != FREE && gen == row_gen[r]));
            row_state[r] = EMPTY;
            row_lane[r] = NONE;
            ok = true
        :: else -> ok = false
        fi
    };
    if
    :: ok && rs == KEPT -> block_free(g, r, re)
    :: else
    fi;
    g = 0
}

/* Whether the row's task is in its slot: the slot's word, then the name that is compared with it. */
inline awaits(r, ok)
{
#ifdef DEFECT_DROP_PROMISED
    ok = false
#else
    d_step { ok = (state != FREE); g = gen };
    d_step { ok = ok && g == row_gen[r]; g = 0 }
#endif
}

/* ap_kept_expire, and the beginning of ap_kept_take, for one row. */
inline expire(r, rs, rl, re, ok)
{
    d_step { rs = row_state[r]; rl = row_lane[r]; re = row_epoch[r] }; /* KEPT-A1 */
    if
    :: rs == KEPT && over[row_gen[r]] -> row_free(r, rs, rl, re, ok)
    :: rs == PROMISED -> awaits(r, ok);
        if
        :: !ok -> row_free(r, rs, rl, re, ok)
        :: else
        fi
    :: else
    fi;
    atomic { rs = 0; rl = 0; re = 0; ok = false }
}

/* ap_kept_enter, by the lane that is RELEASING the slot. */
inline enter(me, r, re, n)
{
    d_step { /* ap_kept_find; while it is RELEASING nobody else touches the row */
        n = NONE;
        for (r : 0 .. ROWS - 1) {
            if
            :: row_state[r] == PROMISED && row_gen[r] == gen -> n = r; re = row_epoch[r]
            :: else
            fi
        }
        r = 0
    };
    if
    :: n != NONE ->
        row_result[n] = gen; /* the row is filled */
#ifndef DEFECT_BLOCK_LATE
        d_step { /* ap_pool_keep */
            if
            :: block[gen] == SLOT -> block[gen] = n; block_epoch[gen] = re
            :: else -> assert(block[gen] == n && block_epoch[gen] == re) /* it is so already */
            fi
        };
#endif
        d_step { /* KEPT-R1 */
            if
            :: SAME_LIFE(n, PROMISED, NONE, re) -> row_state[n] = KEPT
            :: else -> assert(false)
            fi
        };
#ifdef DEFECT_BLOCK_LATE
        d_step { if :: block[gen] == SLOT -> block[gen] = n; block_epoch[gen] = re :: else fi };
#endif
    :: else
    fi;
    atomic { n = 0; re = 0 }
}

/* The slot is freed by the lane that makes it RELEASING. */
inline leave(me, r, re, n)
{
#ifndef DEFECT_ENTER_LATE
    enter(me, r, re, n);
#endif
    d_step { if :: block[gen] == SLOT -> block[gen] = NOBODYS :: else fi };
    d_step { assert(state == RELEASING && owner == me); assert(PERMITTED(state, FREE)); state = FREE; owner = NONE } /* TASK-R3 */
#ifdef DEFECT_ENTER_LATE
    ; enter(me, r, re, n)
#endif
}

inline free_unseen(me, r, re, n, ok)
{
    d_step {
        ok = ENDED(state);
        if
        :: ok -> assert(PERMITTED(state, RELEASING)); state = RELEASING; owner = me
        :: else
        fi
    };
    if
    :: ok -> leave(me, r, re, n)
    :: else
    fi;
    ok = false
}

inline promise(me, r, mine)
{
    row_gen[r] = mine;
    d_step { /* KEPT-R1 */
        assert(row_state[r] == FILLING && row_lane[r] == me);
        row_result[r] = 0;
        row_state[r] = PROMISED;
        row_lane[r] = NONE
    }
}

inline place(me, mine)
{
    d_step { assert(PERMITTED(state, QUEUED)); state = QUEUED; owner = NONE; placed[mine] = true }
}

proctype client(byte me)
{
    byte r, mine, rl, re, g;
    mtype rs;
    bool ok;

    {
        atomic { state == FREE -> gen++; mine = gen; state = RESERVED; owner = me };
        do
        :: r == ROWS -> break /* APIARY_ETABLEFULL: the task is refused */
        :: else ->
            expire(r, rs, rl, re, ok); /* ap_kept_take */
            d_step {
                if
                :: row_state[r] == EMPTY -> row_state[r] = FILLING; row_lane[r] = me; row_epoch[r]++; ok = true
                :: else
                fi
            };
            if
            :: ok -> break
            :: else -> r++
            fi
        od;
        if
        :: ok ->
#ifdef DEFECT_PROMISE_LATE
            place(me, mine);
            promise(me, r, mine)
#else
            promise(me, r, mine);
            place(me, mine)
#endif
        :: else -> d_step { state = FREE; owner = NONE }
        fi;
        atomic { life[me] = GONE; ok = false; r = 0 }
    } unless {
        d_step { dead[me] -> r = 0; mine = 0; rs = 0; rl = 0; re = 0; g = 0; ok = false }
    }
}

proctype worker()
{
    byte r, re, n;
    bool ok;

end_again:
    {
end:    do
        :: d_step { state == QUEUED -> state = RUNNING; owner = W };
            /* The block of an earlier attempt is used again. */
            d_step { assert(block[gen] == NOBODYS || block[gen] == SLOT); block[gen] = SLOT };
            d_step { assert(state == RUNNING && owner == W); state = DONE; owner = NONE };
            free_unseen(W, r, re, n, ok)
        od
    } unless {
        d_step { dead[W] -> r = 0; re = 0; n = 0; ok = false }
    };
    atomic { life[W] == GONE -> life[W] = LIVE; dead[W] = false };
    goto end_again
}

/* recover_slots, then ap_kept_settle. */
inline recover(me, d, r, rs, rl, re, n, ok)
{
    life[d] = DEAD;
    d_step {
        if
        :: state == RESERVED && owner == d -> state = FREE; owner = NONE
        :: state == RUNNING && owner == d -> state = QUEUED; owner = NONE
        :: else
        fi
    };
    if
    :: state == RELEASING && owner == d ->
#ifndef DEFECT_NO_ENTER
        enter(d, r, re, n);
#endif
        d_step { if :: block[gen] == SLOT -> block[gen] = NOBODYS :: else fi };
        d_step { state = FREE; owner = NONE }
    :: else -> free_unseen(me, r, re, n, ok)
    fi;
    for (r : 0 .. ROWS - 1) {
        d_step { rs = row_state[r]; rl = row_lane[r]; re = row_epoch[r] };
#ifndef DEFECT_FORGET_FILLING
        if
        :: rs == FILLING && rl == d -> row_free(r, rs, rl, re, ok)
        :: else
        fi;
#endif
        expire(r, rs, rl, re, ok)
    };
    life[d] = GONE;
    d_step { UNLOCK(d); d = 0; r = 0 }
}

proctype reaper(byte me)
{
    byte d, r, rl, re, n, g;
    mtype rs;
    bool ok;

end_ready:
    READY;
    {
end:    do
        :: atomic { LOCKABLE(A) -> d = A; LOCK(d) }; recover(me, d, r, rs, rl, re, n, ok)
        :: atomic { LOCKABLE(B) -> d = B; LOCK(d) }; recover(me, d, r, rs, rl, re, n, ok)
        :: atomic { LOCKABLE(W) -> d = W; LOCK(d) }; recover(me, d, r, rs, rl, re, n, ok)
        :: atomic { LOCKABLE(R1) -> d = R1; LOCK(d) }; recover(me, d, r, rs, rl, re, n, ok)
        od
    } unless {
        d_step { dead[me] -> d = 0; r = 0; rs = 0; rl = 0; re = 0; n = 0; g = 0; ok = false }
    }
}

/* apiary_fetch of the first task, once it is placed: until its result is there. */
active proctype fetch()
{
    byte r, re, seen, g;
    mtype rs;
    bool ok, has;

end:
    (placed[1]);
    do
    :: has = false;
        r = 0;
        do
        :: r == ROWS || has -> break
        :: else ->
            d_step { rs = row_state[r]; re = row_epoch[r] };
            if
            :: (rs == PROMISED || rs == KEPT) && row_gen[r] == 1 ->
                if
                :: rs == PROMISED -> awaits(r, ok); has = ok
                :: else -> has = true
                fi
            :: else
            fi;
#ifndef DEFECT_NO_SECOND_LOOK
            if
            :: row_state[r] != rs || row_epoch[r] != re -> has = false /* KEPT-A2: once more */
            :: else -> if :: !has -> r++ :: else fi
            fi
#else
            if :: !has -> r++ :: else fi
#endif
        od;
        if
        :: !has -> assert(over[1]); break /* APIARY_ESTALE */
        :: has && rs == KEPT ->
            seen = row_result[r];
#ifndef DEFECT_NO_SECOND_LOOK
            if
            :: row_state[r] == rs && row_epoch[r] == re -> assert(seen == 1)
            :: else -> assert(over[1])
            fi;
#else
            assert(seen == 1);
#endif
            break
        :: else ->
end_wait:   (row_state[r] != rs || row_epoch[r] != re) /* the futex on its life */
        fi
    od;
    atomic { r = 0; rs = 0; re = 0; seen = 0; ok = false; has = false }
}

/* The time of a result passes, at any time after its task's end. Then it is dropped. */
active proctype sweep()
{
    byte r, rl, re, g;
    mtype rs;
    bool ok;

#ifdef OVER
    if
    :: atomic { row_state[0] == KEPT -> over[row_gen[0]] = true }
    :: timeout
    fi;
#endif
#ifdef EARLY_SWEEP
    expire(0, rs, rl, re, ok);
#endif
    timeout;
    assert(state == FREE);
    for (r : 0 .. ROWS - 1) {
        expire(r, rs, rl, re, ok);
        assert(row_state[r] == EMPTY || row_state[r] == KEPT);
        assert(row_state[r] == EMPTY || row_result[r] == row_gen[r]);
        assert(row_state[r] == EMPTY || (block[row_gen[r]] == r && block_epoch[row_gen[r]] == row_epoch[r]))
    }
    for (r : 1 .. 2) {
        assert(block[r] != SLOT);
        assert(!placed[r] || over[r] || (block[r] < ROWS && row_state[block[r]] == KEPT && row_gen[block[r]] == r))
    }
}

init
{
    atomic {
        run client(A);
        run client(B);
        run worker();
        run reaper(R1);
        run reaper(R2)
    }
}
