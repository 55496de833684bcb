/* tests/model/stream.pml - parts of a result on their way: shm/stream.h.
 *
 * One slot, one row, two blocks of which one becomes the window, with room for CAP parts. A client submits a task, reads its parts
 * as they come, and collects it. A worker claims the task, sends PARTS parts, waits where there is no room, and ends it. A dead
 * worker comes back when it is recovered, and the next attempt begins anew. Two reapers, one of which may die. READERS 2: another
 * thread of the client reads, too. TASKS 2: the client submits another task, in the same slot.
 *
 * Memory: spin is sequentially consistent. Where a fence or a release is missing, the access is made before or after its turn.
 *
 * Checked: each part of an attempt is read once, in order, and is what was sent; the parts of the attempt that has ended are all
 * read before its end is told; a task has one window, which goes with the slot; at the end the slot is FREE, no block is
 * anybody's, nobody waits.
 *
 * Defects: BEGUN_FIRST (STREAM-R1) begun is stored before begin; BEGUN_LATE (STREAM-R2) the window is written to before begun;
 * NO_SECOND_LOOK (STREAM-A2); TAIL_FIRST (STREAM-R3) the tail is moved before the part is there; HEAD_FIRST (STREAM-R4) the head
 * is moved before the part is copied; NO_TAKE_FENCE (STREAM-F1) the reader looks at `wants` before it moves the head;
 * NO_WAIT_FENCE (STREAM-F2) the writer looks at the head before `wants` is stored; TRUST_HEAD an attempt goes on at the head of
 * the one before; NAME_LATE the window is attached before the row names it; SILENT_REAPER recovery rings no bell; SILENT_WRITER a
 * part rings none; FORGET_WINDOW the slot is freed without it.
 */
#define LANES 4
#define C 0
#define W 1
#define R1 2
#define R2 3
#define KILLABLE R2
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef TASKS
#define TASKS 1
#endif
#ifndef PARTS
#define PARTS 3
#endif
#ifndef CAP
#define CAP 2
#endif

#include "states.pml"
#include "common.pml"

#define NONE 15

/* The slot: its word, and whether its client has given it up. */
byte state, owner = NONE, gen, attempts;
bool given_up;
/* The row. begun is the task and the attempt; window is a block + 1. */
byte begun, window, begin, tail, sent, first, wants, head;
/* The blocks, and the window's room: number and content of each part. */
mtype = { UNUSED, OWNED, STREAM };
mtype block[2] = UNUSED;
byte block_gen[2];
byte cell_number[CAP], cell_of[CAP];
/* Bells: rung since it was looked at last. */
bool rung_c, rung_w;
/* What only the model knows: how many parts of each attempt were read. */
byte taken[16];

#define ID(g, a) ((g) * 4 + (a))
#define ENDED(s) (s == DONE)
#define POSITION(h, b, t) ((((h) - (b)) & 255) <= (((t) - (b)) & 255) -> (h) : (b))

/* ---- the end of a slot -------------------------------------------------------------------------------------------- */

/* ap_stream_leave, and the slot is FREE, by the lane that made it RELEASING. */
inline leave()
{
#ifndef DEFECT_FORGET_WINDOW
    d_step {
        if
        :: window != 0 && block[window - 1] == STREAM && block_gen[window - 1] == gen -> block[window - 1] = UNUSED
        :: else
        fi
    };
#endif
    d_step { assert(state == RELEASING && PERMITTED(state, FREE)); state = FREE; owner = NONE }
}

inline free_ended(me, ok)
{
    d_step {
        ok = ENDED(state);
        if
        :: ok -> assert(PERMITTED(state, RELEASING)); state = RELEASING; owner = me
        :: else
        fi
    };
    if
    :: ok -> leave()
    :: else
    fi;
    ok = false
}

/* ---- the worker --------------------------------------------------------------------------------------------------- */

#define ROOM(h) (t - POSITION(h, b, t) < CAP)

/* The window of an attempt before, or a block of its own. */
inline begin_attempt()
{
    if
    :: d_step { window != 0 && block[window - 1] == STREAM && block_gen[window - 1] == gen -> skip }
    :: else ->
        d_step { /* ap_pool_take */
            assert(!(block[0] == STREAM && block_gen[0] == gen) && !(block[1] == STREAM && block_gen[1] == gen));
            k = (block[0] == UNUSED -> 0 : 1);
            assert(block[k] == UNUSED);
            block[k] = OWNED
        };
#ifdef DEFECT_NAME_LATE
        d_step { block[k] = STREAM; block_gen[k] = gen };
        window = k + 1;
#else
        window = k + 1;
        d_step { block[k] = STREAM; block_gen[k] = gen };
#endif
        k = 0
    fi;
    d_step { t = tail; b = tail; wants = 0; first = sent }; /* its own words */
#ifdef DEFECT_BEGUN_FIRST
    begun = mine;
    begin = b
#else
    begin = b;
#ifndef DEFECT_BEGUN_LATE
    begun = mine /* STREAM-R1, R2 */
#endif
#endif
}

/* ap_stream_write, of a part for which there is room. */
inline write_part()
{
    if
    :: wants != 0 -> wants = 0
    :: else
    fi;
#ifdef DEFECT_TAIL_FIRST
    tail = t + 1;
#endif
    cell_number[t % CAP] = n;
    cell_of[t % CAP] = mine;
#ifdef DEFECT_BEGUN_LATE
    begun = mine;
#endif
    d_step { t++; n++; sent++ };
#ifndef DEFECT_TAIL_FIRST
    tail = t /* STREAM-R3 */
#endif
}

proctype worker()
{
    byte mine, b, t, n, h, k;
    bool ok;

end_again:
    {
end:    do
        :: d_step { state == QUEUED -> assert(PERMITTED(state, RUNNING)); state = RUNNING; owner = W; mine = ID(gen, attempts) };
            begin_attempt();
            do
            :: n == PARTS -> break
            :: else ->
                rung_w = false;
                if
                :: given_up -> break /* what is sent on is dropped */
                :: else -> h = head /* STREAM-A4 */
                fi;
                if
                :: ROOM(h) ->
                    write_part();
#ifndef DEFECT_SILENT_WRITER
                    rung_c = true
#endif
                :: else -> /* stream_wait */
#ifdef DEFECT_NO_WAIT_FENCE
                    h = head;
                    wants = 1;
#else
                    wants = 1;
                    h = head; /* behind STREAM-F2 */
#endif
                    if
                    :: ROOM(h)
                    :: else -> (rung_w)
                    fi
                fi
            od;
            atomic { assert(state == RUNNING && PERMITTED(state, DONE)); state = DONE; owner = NONE };
            rung_c = true;
            if
            :: given_up -> free_ended(W, ok)
            :: else
            fi;
            d_step { mine = 0; b = 0; t = 0; n = 0; h = 0 }
        od
    } unless {
        d_step { dead[W] -> mine = 0; b = 0; t = 0; n = 0; h = 0; k = 0; ok = false }
    };
    atomic { life[W] == GONE -> life[W] = LIVE; dead[W] = false };
    goto end_again
}

/* ---- readers -------------------------------------------------------------------------------------------------------- */

/* Moves the head. What was read is judged here, as of that moment: only the model knows that in one step. */
inline take()
{
    d_step {
        ok = (head == h);
        if
        :: ok -> head = p + 1; assert(taken[b] < PARTS); k = taken[b]; taken[b]++
        :: else
        fi
    }
}

/* ap_stream_read: r is whether there was a part; `a` is the attempt of the word that was seen. */
inline read_part()
{
    r = false;
    do
    :: b = begun; /* STREAM-A1 */
        if
        :: b / 4 != mine || b % 4 < a -> break
        :: else
        fi;
        d_step { s = begin; assert(window != 0) };
        h = head;
        t = tail; /* STREAM-A3 */
#ifdef DEFECT_TRUST_HEAD
        p = h;
#else
        p = POSITION(h, s, t);
#endif
        if
        :: p == t -> break
        :: ((t - p) & 255) > CAP -> /* it has changed meanwhile, or the segment is corrupt */
            ok = (begun == b);
            assert(!ok || head != h);
            d_step { h = 0; t = 0; p = 0; ok = false };
            goto next
        :: else
        fi;
#ifdef DEFECT_HEAD_FIRST
        take();
        number = cell_number[p % CAP];
        what = cell_of[p % CAP];
#else
        number = cell_number[p % CAP];
        what = cell_of[p % CAP];
#ifndef DEFECT_NO_SECOND_LOOK
        if
        :: begun != b -> goto next /* STREAM-A2 */
        :: else
        fi;
#endif
#ifdef DEFECT_NO_TAKE_FENCE
        w = wants;
#endif
        take(); /* STREAM-R4 */
#endif
        if
        :: ok ->
            assert(what == b && number == k);
#ifndef DEFECT_NO_TAKE_FENCE
            w = wants; /* behind STREAM-F1 */
#endif
            if
            :: w != 0 && (CAP - (t - (p + 1)) >= w || t == p + 1) -> rung_w = true
            :: else
            fi;
            r = true;
            break
        :: else
        fi;
next:   skip
    od;
    atomic { b = 0; s = 0; h = 0; t = 0; p = 0; number = 0; what = 0; w = 0; k = 0; ok = false }
}

proctype client()
{
    byte mine, a, b, s, h, t, p, number, what, w, k, seen;
    bool ok, r;

    {
        do
        :: gen == TASKS -> break
        :: else ->
            d_step { assert(state == FREE); gen++; mine = gen; attempts = 1; state = QUEUED };
            do
            :: rung_c = false;
                d_step { seen = state; a = attempts };
                read_part();
                if
                :: r
                :: !r && ENDED(seen) -> break
                :: else -> (rung_c)
                fi
            od;
            /* Its end is told: of the attempt that has ended all is read. */
            assert(attempts == a && begun == ID(mine, a));
#if READERS == 1
            assert(taken[ID(mine, a)] == PARTS);
#endif
            free_ended(C, ok);
            d_step { seen = 0; a = 0; mine = 0 }
        od;
        life[C] = GONE
    } unless {
        d_step { dead[C] -> mine = 0; a = 0; b = 0; s = 0; h = 0; t = 0; p = 0; number = 0; what = 0; w = 0; k = 0; seen = 0;
                 ok = false; r = false }
    }
}

#if READERS > 1
/* Reads one part, whichever. */
proctype reader()
{
    byte mine, a, b, s, h, t, p, number, what, w, k;
    bool ok, r;

end:
    (state != FREE);
    {
        d_step { mine = gen; a = attempts };
        if
        :: begun != 0 -> read_part()
        :: true
        fi
    } unless {
        dead[C]
    };
    d_step { mine = 0; a = 0; b = 0; s = 0; h = 0; t = 0; p = 0; number = 0; what = 0; w = 0; k = 0; ok = false; r = false }
}
#endif

/* ---- recovery ------------------------------------------------------------------------------------------------------- */

inline recover(me, d, ok)
{
    life[d] = DEAD;
    if
    :: state == RELEASING && owner == d -> leave()
    :: else
    fi;
    if
    :: d == W ->
        d_step { /* the next attempt */
            if
            :: state == RUNNING && owner == W -> assert(PERMITTED(state, QUEUED)); state = QUEUED; owner = NONE; attempts++
            :: else
            fi
        };
        d_step { /* a block of the dead lane's */
            if :: block[0] == OWNED -> block[0] = UNUSED :: else fi;
            if :: block[1] == OWNED -> block[1] = UNUSED :: else fi
        }
    :: d == C ->
        given_up = true;
        free_ended(me, ok)
    :: else
    fi;
#ifndef DEFECT_SILENT_REAPER
    d_step { rung_w = true; rung_c = true };
#endif
    life[d] = GONE;
    d_step { UNLOCK(d); d = 0 }
}

proctype reaper(byte me)
{
    byte d;
    bool ok;

end_ready:
    READY;
    {
end:    do
        :: atomic { LOCKABLE(C) -> d = C; LOCK(d) }; recover(me, d, ok)
        :: atomic { LOCKABLE(W) -> d = W; LOCK(d) }; recover(me, d, ok)
        :: atomic { LOCKABLE(R1) -> d = R1; LOCK(d) }; recover(me, d, ok)
        od
    } unless {
        d_step { dead[me] -> d = 0; ok = false }
    }
}

active proctype judge()
{
    timeout;
    assert(state == FREE);
    assert(block[0] == UNUSED && block[1] == UNUSED)
}

init
{
    atomic {
        run client();
#if READERS > 1
        run reader();
#endif
        run worker();
        run reaper(R1);
        run reaper(R2)
    }
}
