/* shm/finished.h - the last tasks: how those have ended that failed, were slow, are traced, or are looked at just now.
 *
 * SCOPE     1 A record is one start of a task that has ended, or the end of a task that waited. It is for people, not for control.
 *           2 Recorded is a task that did not end well, one that took `slow_task` or longer from its queueing, and one whose trace
 *           is sampled (AP_REQUEST_SAMPLED). These are notable. While somebody taps, every other one is recorded, too.
 *           3 Not recorded: probes, and the followers of a shared run (follow.h), who have the outcome of the one that is.
 * LAYOUT    1 Section "finished": finished_rings rings of a head and AP_FINISHED_RECORDS records of two lines. Newer ones overwrite
 *           the oldest.
 *           2 The first half of the rings has what is notable, the other half what only a tap wants, so that a tap pushes out no
 *           failures. Within its half a record's ring is that of its task's queue, so that one agent's failures push out only those
 *           of the few queues that share the ring.
 *           3 `header.tap` says until when somebody taps (CLOCK_MONOTONIC). A tapper puts that off, at most AP_TAP_LEASE
 *           ahead; a time further ahead counts for nothing. Tappers are not counted: one that dies or is stopped leaves a time
 *           that passes.
 * WRITER    1 The lane that ends the task, after its word says so: the worker, who ends it while it waits, or the reaper. All that
 *           the slot has to say is copied before: afterwards that may be another task's.
 *           2 A writer has a number by fetch-add of ring.next, and with it the row. Any lane may write into any ring.
 *           3 header.tap: any lane, by compare-and-swap to a later time.
 * CHECK     A record has a hash of all that it says, its number included, and is one if the hash fits. Of a row that is being
 *           written, that a dead writer has left, or into which a slow one writes after others have filled the ring once, it does
 *           not: readers pass over that. So nothing is read that is mixed of two.
 * ORDERING  None: every access is relaxed. The words of a record say by the hash that they belong together, in whatever order they
 *           are seen; ring.next and header.tap say nothing of other words.
 * CRASH     1 A writer dies in between: its row is a mixture. Nothing waits for it, and the next one that comes round overwrites
 *           it. So there is nothing to repair.
 *           2 It dies before it has a number: the task's end has no record. Its word, its counts and its result are what they are.
 * INVARIANTS F1 number is the row's and was given out  F2 how it ended is known, or 0  F3 slot, queue and lane are in range,
 *           or none  F4 reserved words are 0
 */
#ifndef AP_FINISHED_H
#define AP_FINISHED_H

#include "shm/task.h"

#define AP_FINISHED_RECORDS 128u
#define AP_FINISHED_NONE 0xffffu /* of a queue, a capability or a lane: there is none */
#define AP_TAP_LEASE UINT64_C(2000000000) /* ns */

/* X(name, text). RETRIED and LOST are ends of a start: the task itself goes on. */
#define AP_FINISHES(X)                                                        \
    X(DONE, "done")                                                           \
    X(FAILED, "failed")                                                       \
    X(CANCELLED, "cancelled")                                                 \
    X(LATE, "late")           /* its caller had given it up */                \
    X(RETRIED, "retried")     /* its agent failed it; to be tried again */    \
    X(LOST, "lost")           /* its worker died; to be run again */
enum ap_finish {
    AP_FINISH_NONE,
#define X(name, text) AP_FINISH_##name,
    AP_FINISHES(X)
#undef X
        AP_FINISH_KINDS
};

struct ap_finished {
    uint64_t number; /* from 1, of its ring; 0: never written */
    uint64_t check;  /* hash of all others */
    uint64_t generation;
    uint32_t slot, epoch;               /* with the generation: the task's id */
    uint64_t queued, started, finished; /* CLOCK_MONOTONIC; started 0: it was not, since it was queued last */
    uint64_t other;                     /* reference of its hedge's other copy, 0: none */
    uint64_t parent;                    /* the span that it was asked for by, 0: none. Of a task its span is its reference */
    uint8_t trace[16];                  /* all zeros: it is in none */
    uint32_t agent_code;
    uint32_t pid;                       /* of the worker's process, 0: none */
    uint32_t body_size, result_size;
    uint16_t capability, caller;        /* caller: service + 1, 0: none */
    uint16_t queue, lane;               /* where it was queued last, the worker's lane */
    uint16_t code;                      /* -enum apiary_error */
    uint8_t how;                        /* enum ap_finish */
    uint8_t flags;                      /* of the trace, as W3C Trace Context has them */
    uint16_t attempt;                   /* which start this was, or how many there had been */
    uint8_t second;                     /* it is the second copy of a hedge */
    uint8_t reserved[9];
} AP_ALIGNED;
_Static_assert(sizeof(struct ap_finished) == 128, "a record: two lines");

struct ap_finished_ring {
    uint64_t next; /* how many numbers were given out */
    uint64_t reserved[7];
    struct ap_finished records[AP_FINISHED_RECORDS];
} AP_ALIGNED;

static inline struct ap_finished_ring *ap_finished_ring_at(const struct ap_segment *seg, uint64_t ring)
{
    return AP_ELEMENT(seg, AP_SECTION_FINISHED, ring, struct ap_finished_ring);
}

/* Copies all that is to be told of a task whose word is `word`, for who will end it by a compare-and-swap from that word. If that
 * fails the copy may be mixed of two tasks, and is not to be entered. False: it is not to be told of. */
bool ap_finished_copy(const struct ap_segment *seg, uint32_t index, uint64_t word, struct ap_finished *ret);
/* Enters it. `notable`: not only because of a tap. Any thread. */
void ap_finished_enter(const struct ap_segment *seg, struct ap_finished *r, enum ap_finish how, int code, uint64_t now,
                       bool notable);

/* From now on until `until` everything is recorded, at most AP_TAP_LEASE ahead. The segment must be writable. */
void ap_tap(const struct ap_segment *seg, uint64_t until);

static inline bool ap_tapped(uint64_t tap, uint64_t now)
{
    return tap > now && tap - now <= AP_TAP_LEASE;
}

/* Copies a record of a ring: 1, or 0 when it is not whole yet, was overwritten, or its writer died. Any thread, also of a damaged
 * segment: what it says is in range (F2, F3). */
int ap_finished_read(const struct ap_segment *seg, uint32_t ring, uint64_t number, struct ap_finished *ret);
/* Numbers [*ret_first, the result) of the ring have their rows still. */
uint64_t ap_finished_numbers(const struct ap_segment *seg, uint32_t ring, uint64_t *ret_first);
uint32_t ap_finished_rings(const struct ap_segment *seg);
const char *ap_finish_text(uint32_t how);

#endif
