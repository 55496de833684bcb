/* shm/stream.h - parts of a task's result, on their way from its worker to its caller before the end.
 *
 * SCOPE     1 A caller may ask for the parts of a result as they come (the request bit PARTS). Then they go through a window: one
 *           block of the pool, used as a ring of bytes. A window that is full stops the writer, and nobody else.
 *           2 A task that sends no part, or whose caller does not ask, costs nothing here.
 * LAYOUT    1 Section "streams": one row for each slot, at the same index. The row is the task's whose generation and epoch are in
 *           `begun`, and says nothing of others.
 *           2 In the window: a word {size (32), number of the part (32)}, then the part, padded to 8 bytes. Position p is byte
 *           p % capacity of the window; a part may go round its end.
 * POSITIONS 1 Bytes, counted over the life of the segment. tail: written, by the worker. head: read, by whoever reads. begin:
 *           where the attempt's parts begin, at the tail of the one before.
 *           2 A head outside of begin..tail is that of an attempt before, or of nobody, and stands for begin. So no attempt waits
 *           for somebody to read what is void, and the worker never writes the head.
 * WRITER    The lane that has claimed the task, with the token's word in its slot. It has no other: a start is over when its lane
 *           has ended it or has died, and parts under its job are refused from then on.
 * WINDOW    1 OWNED(lane); the row names it; STREAM(slot, generation); `begun` names the task and the attempt. It is the task's
 *           until its slot is freed, so later attempts use it again.
 *           2 It goes back with the slot, while that is RELEASING.
 * READERS   1 Any lane: copies, looks again whether `begun` is the same, and takes the part by CAS of the head. So each part of
 *           an attempt is read once, and in order.
 *           2 A part of an attempt before that of the slot's word is void, and not read any more.
 * WAITING   1 Writer: says in `wants` how many bytes it waits for, fences, looks again, and is done; its lane's bell wakes it.
 *           2 Reader: moves the head, fences, looks at `wants`, and rings the bell of the lane that has the task.
 *           3 Writer: moves the tail, and rings the caller's bell, as at the end of the task.
 * INVARIANTS V1 the row of a slot's task has its positions in order, within its window  V2 that window is attached to the slot
 *           V3 a row's generation is not above its slot's in the same epoch
 * ORDERING  STREAM-R1 begun store-release pairs STREAM-A1 load-acquire: window and begin before it.
 *           STREAM-R2 release fence after begun pairs STREAM-A2 acquire fence before a reader's second look at it: a part that was
 *           written over is not taken.
 *           STREAM-R3 tail store-release pairs STREAM-A3 load-acquire: the part before it.
 *           STREAM-R4 the head's CAS (release) pairs STREAM-A4 load-acquire of the writer: the copy before it is written over.
 *           STREAM-F1 full fence after the head's CAS, before the look at wants, pairs STREAM-F2 full fence after wants, before the
 *           second look at the head.
 * CRASH     Writer: the reaper puts the task back, and the next attempt begins anew. A window that is not attached yet is a leak of
 *           the dead lane's, one that `begun` does not know yet is found by the next attempt. Reader: its client's tasks are given
 *           up; a writer that waits is woken by the recovery. A part whose copy a reader took to its grave is gone with it. Both:
 *           the task is freed, and the window with it.
 */
#ifndef AP_STREAM_H
#define AP_STREAM_H

#include "core/must_check.h"
#include "shm/pool.h"

struct ap_stream {
    uint64_t begun;  /* AP_STREAM_BEGUN */
    uint64_t window; /* offset of its block */
    uint64_t begin, tail;
    uint64_t sent;   /* parts, of all tasks that had the slot */
    uint64_t first;  /* `sent` as of the attempt's beginning */
    uint64_t wants;  /* bytes that the writer waits for; 0: it does not */
    uint64_t waits;  /* how often a part found no room, of all tasks that had the slot */

    uint64_t head AP_ALIGNED; /* writers: readers */
} AP_ALIGNED;

#define AP_STREAM_EPOCH_MASK UINT64_C(0x3ffff)
#define AP_STREAM_BEGUN(task, attempt) \
    ((task).generation << 26 | ((task).epoch & AP_STREAM_EPOCH_MASK) << 8 | (uint64_t)(attempt))
#define AP_STREAM_ATTEMPT(b) ((uint32_t)((b) & 0xff))
#define AP_STREAM_IS_OF(b, task) (((b) ^ AP_STREAM_BEGUN(task, 0)) >> 8 == 0)
_Static_assert(AP_GENERATION_BITS == 64 - 26, "a generation, 18 bits of an epoch, an attempt");
_Static_assert(AP_ATTEMPTS_MAX + AP_FAILURES_MAX + 1 <= 0xff, "any attempt has a number");

#define AP_STREAM_HEAD 8u                                          /* bytes before each part */
#define AP_STREAM_ROOM(size) ((((uint64_t)(size) + 7) & ~UINT64_C(7)) + AP_STREAM_HEAD) /* that a part takes */

static inline struct ap_stream *ap_stream_at(const struct ap_segment *seg, uint64_t index)
{
    return AP_ELEMENT(seg, AP_SECTION_STREAMS, index, struct ap_stream);
}

/* The attempt that a task with this word is at, from 1: deaths of workers and failures of agents before it, and itself. */
static inline uint32_t ap_stream_attempt(const struct ap_slot *slot, uint64_t word)
{
    return ap_word_starts(word) + AP_TRIES_FAILURES(ap_slot_tries(slot, word));
}

/* ---- the worker ---- */

/* The window of one attempt; private. */
struct ap_stream_writer {
    struct ap_stream *at;
    uint64_t *window;
    uint64_t capacity, begin, tail, sent;
};

/* The window that an earlier attempt, or this one, has given the task of a token; 0: none. */
uint64_t ap_stream_window(const struct ap_segment *seg, uint32_t index, uint64_t token);
/* An attempt begins to send. `window` is of ap_stream_window, or OWNED by the calling lane. False: it is neither. */
bool ap_stream_begin(struct ap_segment *seg, uint32_t lane, uint32_t index, uint64_t token, uint64_t window,
                     struct ap_stream_writer *ret);
/* 1 it is in the window; 0 there is no room, and `wants` says so. The caller has compared the slot's word with the token, and
 * afterwards rings the caller's bell. APIARY_ETOOLARGE: it never will. */
AP_MUST_CHECK int ap_stream_write(struct ap_stream_writer *w, const void *data, uint32_t size);
/* Whether there is room for what was refused last. */
bool ap_stream_room(const struct ap_stream_writer *w);

/* ---- readers ---- */

struct ap_stream_part {
    uint32_t attempt, number, size;
};

/* Whether a task that has this word has a part that is not read: cheap, a hint. */
bool ap_stream_any(const struct ap_segment *seg, uint32_t index, uint64_t word);
/* 1 and the next part, taken from the window if it has at most `capacity` bytes; 0 there is none; APIARY_ESTALE: the task has gone
 * meanwhile; APIARY_ECORRUPT. `word` is the slot's, as it was seen before. */
AP_MUST_CHECK int ap_stream_read(struct ap_segment *seg, apiary_task_t task, uint64_t word, void *data, size_t capacity,
                                 struct ap_stream_part *ret);
/* Parts that the attempt of this word has sent. */
uint32_t ap_stream_sent(const struct ap_segment *seg, apiary_task_t task, uint64_t word);
/* Wakes a worker that has the task and may be waiting for its reader. */
void ap_stream_wake(struct ap_segment *seg, uint32_t index);

/* For observers. */
struct ap_stream_view {
    uint32_t attempt;
    uint64_t sent, unread;        /* parts of the attempt */
    uint64_t bytes, capacity;     /* unread; of the window */
    uint64_t wants;
};
/* False: the task has sent no part. */
bool ap_stream_look(const struct ap_segment *seg, apiary_task_t task, struct ap_stream_view *ret);

/* By the lane that frees the slot, which is RELEASING with this word. */
void ap_stream_leave(struct ap_segment *seg, uint32_t index, uint64_t word);

#endif
