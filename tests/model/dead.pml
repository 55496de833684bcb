/* tests/model/dead.pml - the dead set: registry/routing/dead.h.
 *
 * One slot in which tasks have ended and are marked to be entered, ROWS rows. A lane F frees TASKS of them, one after the other;
 * it enters each while its slot is RELEASING. Two lanes, Q and P, take the first task's entry out: each delegates it anew into a
 * slot of its own, or discards it. The queue may be full: then the task is taken back, and the entry stays. Two reapers, one of
 * which may die. ALONE: P does nothing. OBSERVED: somebody reads the row.
 *
 * Checked: of each task there is one entry at most, and at the end it is in the set, or was dropped for want of room, discarded,
 * or delegated anew, one of these and once; whoever asks for an entry gets that one, whole; a body has one owner, who is the one
 * that its task or its entry names; at the end no row is in anybody's hands.
 *
 * Defects: KEPT_EARLY (DEAD-R1) a row is KEPT before it is filled; FILL_EARLY (DEAD-R2) it is filled before it is taken;
 * NO_SECOND_LOOK (DEAD-A2) the observer does not look at the life again; NO_EPOCH the life does not say which entry it is;
 * AGAIN_LATE the new task is named after it is QUEUED; OLD_AGAIN a row that is filled keeps the task that it became before;
 * SLOTS_FIRST the reaper frees slots before it looks at rows; FORGET_CANCELLED a task that is taken back counts as on its way;
 * ENTER_TWICE the reaper does not look whether the task is entered; NO_ENTER it does not enter what the dead was freeing;
 * FORGET_FILLING, FORGET_TAKEN it leaves the dead lane's rows; FORGET_BLOCK it leaves a body with a task that never was; BACK_LATE
 * a refused retry gives the body back when the row is KEPT.
 */
#define LANES 5
#define F 0
#define Q 1
#define P 2
#define R1 3
#define R2 4
#define KILLABLE R2
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef TASKS
#define TASKS 2
#endif
#ifndef ROWS
#define ROWS 1
#endif

#include "states.pml"
#include "common.pml"

#define NONE 15

/* Slot 0 is that of the tasks that have ended; 1 and 2 are for Q's and P's. gen 0: it had no task yet. */
byte state[3], owner[3] = NONE, gen[3];
/* A row: its life, the entry's task, the new one's reference (a slot), its number. */
mtype = { EMPTY, FILLING, KEPT, TAKEN };
mtype row[ROWS] = EMPTY;
byte row_lane[ROWS] = NONE, row_epoch[ROWS], row_task[ROWS], row_body[ROWS], row_again[ROWS];
/* The bodies of the tasks 1 to TASKS: REQUEST of a slot, KEPT for a row and its epoch, or nobody's. */
mtype = { REQUEST, ROWS_, NOBODYS };
mtype body[3] = NOBODYS;
byte body_who[3], body_epoch[3];

/* What only the model knows, of each task: how often it was entered, dropped, discarded, delegated anew. */
byte entered[3], dropped[3], discarded[3], anew[3];
bool missed[3]; /* no row was found for it */

#ifdef DEFECT_NO_EPOCH
#define SAME_LIFE(r, s, l, e) (row[r] == s && row_lane[r] == l)
#else
#define SAME_LIFE(r, s, l, e) (row[r] == s && row_lane[r] == l && row_epoch[r] == e)
#endif

/* ap_pool_free_kept */
inline free_kept(b, r, e)
{
    d_step {
        if
        :: b != 0 && body[b] == ROWS_ && body_who[b] == r && body_epoch[b] == e ->
            body[b] = NOBODYS; body_who[b] = 0; body_epoch[b] = 0
        :: else
        fi
    }
}

/* ---- a task is entered ---------------------------------------------------------------------------------------------- */

/* dead_fill, of a row that this lane has: r, in its epoch e. */
inline fill(me, r, e, g)
{
#ifndef DEFECT_OLD_AGAIN
    row_again[r] = 0;
#endif
    row_task[r] = g;
    d_step { /* ap_pool_keep */
        if
        :: body[g] == REQUEST && body_who[g] == 0 -> body[g] = ROWS_; body_who[g] = r; body_epoch[g] = e; b = g
        :: body[g] == NOBODYS -> assert(missed[g]); b = 0 /* whoever died found no row, and had freed it */
        :: else -> assert(body[g] == ROWS_ && body_who[g] == r && body_epoch[g] == e); b = g /* it is so already */
        fi
    };
    row_body[r] = b
}

/* dead_enter, by a lane that is RELEASING slot 0, or for a dead one that was. */
inline enter(me, by)
{
    g = gen[0];
    k = NONE;
#ifdef DEFECT_ENTER_TWICE
    if
    :: me == by
    :: else -> goto spare
    fi;
#endif
    d_step { /* dead_row_of; while the slot is RELEASING nobody else enters the task */
        for (r : 0 .. ROWS - 1) {
            if
            :: row_task[r] == g && (row[r] != FILLING || row_lane[r] == by) -> k = r
            :: else
            fi
        }
        r = 0
    };
    if
    :: k != NONE && row[k] == FILLING && row_lane[k] == by -> e = row_epoch[k]; goto filled
    :: k != NONE && !(row[k] == FILLING && row_lane[k] == by) -> goto done /* it is whole */
    :: else
    fi;
spare:
    skip;
    do
    :: d_step { /* dead_row_spare: the oldest; each field may be as of another moment, and the life decides */
            k = 0;
#if ROWS > 1
            k = (row[0] != EMPTY && row[0] != KEPT -> 1 : (row[1] == EMPTY && row[0] != EMPTY -> 1 : 0));
#endif
            s = row[k]; e = row_epoch[k]; was = row_task[k]
        };
        if
        :: s != EMPTY && s != KEPT -> k = NONE; break /* others are at all of them: it is missed */
        :: else
        fi;
#ifdef DEFECT_FILL_EARLY
        row_task[k] = g;
#endif
        d_step {
            ok = SAME_LIFE(k, s, NONE, e);
            if
            :: ok ->
                row[k] = FILLING; row_lane[k] = by; row_epoch[k]++; e++; /* DEAD-R2 */
                if
                :: s == KEPT -> dropped[was]++
                :: else
                fi
            :: else
            fi
        };
        if
        :: ok && s == KEPT -> b = row_body[k]; free_kept(b, k, e - 1); break
        :: ok && s == EMPTY -> break
        :: else
        fi
    od;
    if
    :: k == NONE -> missed[g] = true; goto done
    :: else
    fi;
filled:
    skip;
#ifdef DEFECT_KEPT_EARLY
    d_step { row[k] = KEPT; row_lane[k] = NONE };
    fill(by, k, e, g);
    entered[g]++;
#else
    fill(by, k, e, g);
    d_step { /* DEAD-R1 */
        assert(row[k] == FILLING && row_lane[k] == by);
        row[k] = KEPT;
        row_lane[k] = NONE;
        entered[g]++;
        assert(entered[g] == 1)
    };
#endif
done:
    atomic { k = 0; e = 0; s = 0; b = 0; g = 0; was = 0; ok = false }
}

/* The slot is freed by the lane that makes it RELEASING; what is left of its request is freed with it. */
inline leave_first(me, by)
{
    enter(me, by);
    d_step {
        if
        :: body[gen[0]] == REQUEST && body_who[gen[0]] == 0 -> body[gen[0]] = NOBODYS
        :: else
        fi
    };
    d_step { assert(state[0] == RELEASING && PERMITTED(RELEASING, FREE)); state[0] = FREE; owner[0] = NONE }
}

proctype freeing()
{
    byte r, k, e, b, g, was;
    mtype s;
    bool ok;

    {
        do
        :: gen[0] == TASKS -> break
        :: else -> /* a task has failed, and is collected */
            d_step { gen[0]++; body[gen[0]] = REQUEST; body_who[gen[0]] = 0; state[0] = RELEASING; owner[0] = F };
            leave_first(F, F)
        od;
        life[F] = GONE
    } unless {
        d_step { dead[F] -> r = 0; k = 0; e = 0; s = 0; b = 0; g = 0; was = 0; ok = false }
    }
}

/* ---- an entry is taken out -------------------------------------------------------------------------------------------- */

/* ap_dead_free, from a life that was read. */
inline free_row(r, s, l, e, ok)
{
    b = row_body[r];
    d_step {
        ok = SAME_LIFE(r, s, l, e);
        if
        :: ok ->
            row[r] = EMPTY;
            row_lane[r] = NONE;
            if
            :: s == KEPT -> discarded[row_task[r]]++
            :: else
            fi
        :: else
        fi
    };
    if
    :: ok -> free_kept(b, r, e)
    :: else
    fi;
    b = 0
}

/* The entry's block, by whom it is. */
inline move_body(g, to, who, e)
{
    d_step { body[g] = to; body_who[g] = who; body_epoch[g] = e }
}

/* dead_delegate: ok, the task is on its way. Slot `me` is this lane's. */
inline delegate_anew(me)
{
    b = row_body[k];
    d_step { assert(state[me] == FREE); gen[me]++; state[me] = RESERVED; owner[me] = me };
    d_step { assert(body[b] == ROWS_ && body_who[b] == k && body_epoch[b] == e && b == 1); body[b] = REQUEST; body_who[b] = me };
#ifndef DEFECT_AGAIN_LATE
    row_again[k] = me;
#endif
    d_step { assert(PERMITTED(state[me], QUEUED)); state[me] = QUEUED; owner[me] = NONE; anew[b]++; assert(anew[b] == 1) };
#ifdef DEFECT_AGAIN_LATE
    row_again[k] = me;
#endif
    if
    :: ok = true
    :: /* its ring is full: take_back */
        d_step { assert(PERMITTED(QUEUED, CANCELLED)); state[me] = CANCELLED; anew[b]-- };
#ifndef DEFECT_BACK_LATE
        move_body(b, ROWS_, k, e);
#endif
        row_again[k] = 0;
        d_step { state[me] = RELEASING; owner[me] = me };
        d_step { state[me] = FREE; owner[me] = NONE };
        ok = false
    fi
}

/* ap_dead_find, then apiary_dead_retry or _discard, of task 1's entry. */
proctype taking(byte me)
{
    byte r, k, e, b;
    bool ok;

end:
    (entered[1] > 0);
    {
        d_step { /* the row, with its life */
            k = NONE;
            for (r : 0 .. ROWS - 1) {
                if
                :: row[r] == KEPT && row_task[r] == 1 -> k = r; e = row_epoch[r]
                :: else
                fi
            }
            r = 0
        };
        if
        :: k == NONE /* APIARY_ESTALE */
        :: k != NONE ->
            free_row(k, KEPT, NONE, e, ok) /* apiary_dead_discard */
        :: k != NONE ->
            d_step {
                ok = SAME_LIFE(k, KEPT, NONE, e);
                if
                :: ok -> assert(row_task[k] == 1); row[k] = TAKEN; row_lane[k] = me
                :: else
                fi
            };
            if
            :: ok ->
                delegate_anew(me);
                if
                :: ok -> free_row(k, TAKEN, me, e, ok)
                :: else ->
                    row_again[k] = 0;
                    d_step { /* DEAD-R1 */
                        if
                        :: SAME_LIFE(k, TAKEN, me, e) -> row[k] = KEPT; row_lane[k] = NONE
                        :: else
                        fi
                    };
#ifdef DEFECT_BACK_LATE
                    move_body(b, ROWS_, k, e);
#endif
                    skip
                fi
            :: else
            fi
        fi;
        d_step { life[me] = GONE; k = 0; e = 0; b = 0; ok = false }
    } unless {
        d_step { dead[me] -> r = 0; k = 0; e = 0; b = 0; ok = false }
    }
}

/* ap_dead_read */
#ifdef OBSERVED
active proctype observer()
{
    byte e, t, b;

end:
    d_step { row[0] == KEPT -> e = row_epoch[0] }; /* DEAD-A1 */
    t = row_task[0];
    b = row_body[0];
    if
#ifndef DEFECT_NO_SECOND_LOOK
    :: row[0] != KEPT || row_epoch[0] != e /* DEAD-A2 */
#endif
    :: else -> assert(t != 0 && (t == b || (b == 0 && missed[t])))
    fi;
    d_step { e = 0; t = 0; b = 0 }
}
#endif

/* ---- recovery --------------------------------------------------------------------------------------------------------- */

/* dead_block_back, of a row that a dead lane had TAKEN. */
inline block_back(r, d)
{
#ifndef DEFECT_FORGET_BLOCK
    b = row_body[r];
    d_step {
        if
        :: body[b] == REQUEST && body_who[b] == d -> body[b] = ROWS_; body_who[b] = r; body_epoch[b] = row_epoch[r]
        :: else -> assert(body[b] == ROWS_ && body_who[b] == r && body_epoch[b] == row_epoch[r])
        fi
    };
    b = 0
#else
    skip
#endif
}

/* ap_dead_withdraw, before a slot of the dead lane is freed. */
inline withdraw(d)
{
#ifndef DEFECT_FORGET_TAKEN
    for (r : 0 .. ROWS - 1) {
        if
        :: row[r] == TAKEN && row_lane[r] == d ->
            e = row_epoch[r];
            k = row_again[r];
            if
            :: k == 0 -> ok = false
#ifdef DEFECT_FORGET_CANCELLED
            :: k != 0 -> ok = (state[k] != RESERVED)
#else
            :: k != 0 -> ok = (state[k] != RESERVED && state[k] != CANCELLED)
#endif
            fi;
            k = 0;
            if
            :: ok -> free_row(r, TAKEN, d, e, ok)
            :: else ->
                block_back(r, d);
                row_again[r] = 0;
                d_step {
                    if
                    :: SAME_LIFE(r, TAKEN, d, e) -> row[r] = KEPT; row_lane[r] = NONE
                    :: else
                    fi
                }
            fi
        :: else
        fi
    };
#endif
    atomic { r = 0; e = 0; ok = false }
}

inline recover_slots(me, d)
{
    d_step { /* of a lane that retries: it was never a task, or it was taken back */
        if
        :: d != F && d != R1 && (state[d] == RESERVED || state[d] == CANCELLED || state[d] == RELEASING) ->
            state[d] = FREE; owner[d] = NONE;
            if
            :: body[1] == REQUEST && body_who[1] == d -> body[1] = NOBODYS
            :: else
            fi
        :: else
        fi
    };
    if
    :: state[0] == RELEASING && owner[0] == d ->
#ifdef DEFECT_NO_ENTER
        d_step { state[0] = FREE; owner[0] = NONE; body[gen[0]] = (body[gen[0]] == REQUEST -> NOBODYS : body[gen[0]]) }
#else
        leave_first(me, d)
#endif
    :: else
    fi
}

inline recover(me, d)
{
    life[d] = DEAD;
#ifdef DEFECT_SLOTS_FIRST
    recover_slots(me, d);
    withdraw(d);
#else
    withdraw(d);
    recover_slots(me, d);
#endif
#ifndef DEFECT_FORGET_FILLING
    for (r : 0 .. ROWS - 1) { /* ap_dead_settle */
        if
        :: row[r] == FILLING && row_lane[r] == d -> e = row_epoch[r]; free_row(r, FILLING, d, e, ok)
        :: else
        fi
    };
#endif
    atomic { r = 0; e = 0; ok = false; life[d] = GONE; UNLOCK(d); d = 0 }
}

proctype reaper(byte me)
{
    byte d, r, k, e, b, g, was;
    mtype s;
    bool ok;

end_ready:
    READY;
    {
end:    do
        :: atomic { LOCKABLE(F) -> d = F; LOCK(d) }; recover(me, d)
        :: atomic { LOCKABLE(Q) -> d = Q; LOCK(d) }; recover(me, d)
        :: atomic { LOCKABLE(P) -> d = P; LOCK(d) }; recover(me, d)
        :: atomic { LOCKABLE(R1) -> d = R1; LOCK(d) }; recover(me, d)
        od
    } unless {
        d_step { dead[me] -> d = 0; r = 0; k = 0; e = 0; s = 0; b = 0; g = 0; was = 0; ok = false }
    }
}

#define IN_SET(t) ((row[0] == KEPT && row_task[0] == t) + (row[ROWS - 1] == KEPT && row_task[ROWS - 1] == t && ROWS > 1))

active proctype judge()
{
    byte t;

    timeout;
    for (t : 0 .. ROWS - 1) {
        assert(row[t] == EMPTY || row[t] == KEPT);
        assert(row[t] == EMPTY || (row_again[t] == 0 && row_body[t] == 0 && missed[row_task[t]]) ||
               (row_again[t] == 0 && body[row_body[t]] == ROWS_ && body_who[row_body[t]] == t &&
                                   body_epoch[row_body[t]] == row_epoch[t] && row_body[t] == row_task[t]))
    }
    for (t : 1 .. TASKS) {
        assert(t > gen[0] || IN_SET(t) + dropped[t] + discarded[t] + anew[t] == 1 || (missed[t] && entered[t] == 0));
        assert(body[t] != REQUEST || anew[t] == 1);
        /* A block of an entry that is no more, whose lane has died before it freed it, is a sweep's (ap_dead_keeps). */
        assert(body[t] != ROWS_ || IN_SET(t) == 1 || row[body_who[t]] == EMPTY || row_epoch[body_who[t]] != body_epoch[t])
    }
}

init
{
    atomic {
        run freeing();
        run taking(Q);
#ifndef ALONE
        run taking(P);
#endif
        run reaper(R1);
        run reaper(R2)
    }
}
