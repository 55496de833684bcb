/* shm/move.h - a task that waits where nobody will run it goes to another queue. The one place where that is decided: for the
 * recovery of a lane, for a sweep, for a submit that finds its queue changed, and for who waits.
 *
 * RULE      1 A task stays in a queue that serves it: OPEN, its consumer alive, and, where hooks->offers can say so, of an agent
 *           that runs such tasks. That judges as the queue's worker will.
 *           2 Else it goes where hooks->route says, and after that the new queue is judged in turn: its reaper may have passed the
 *           slot between the choice and the compare-and-swap.
 *           3 With nowhere to go it stays: its queen may come back.
 * CRASH     Killed between the word and the reference, the mover leaves a task that only the table names: its own recovery raises
 *           header.rescan. A ring without room: rescan is raised at once.
 */
#ifndef AP_MOVE_H
#define AP_MOVE_H

#include "shm/queue.h"

#define AP_NO_QUEUE UINT32_MAX

/* What only a registry knows of tasks. All may be NULL, but then nothing is moved. */
struct ap_reap_hooks {
    void *user;
    /* A living queue that can run this task, or AP_NO_QUEUE: it stays where it is. */
    uint32_t (*route)(void *user, struct ap_segment *seg, const struct ap_slot *slot);
    /* Whether the agent that has this queue, or had it last, runs such tasks. NULL: every one does, and the slot is believed, which
     * after a kill in the middle of a claim names the queue that the task had been moved from. */
    bool (*offers)(void *user, struct ap_segment *seg, const struct ap_slot *slot, uint32_t queue);
    /* A slot is about to be FREE: gives its ticket back, unless whoever died with it has. `user` is the segment. */
    ap_slot_freed_fn freed;
};

enum ap_move {
    AP_MOVE_SERVED,  /* it is where it will be run */
    AP_MOVE_MOVED,   /* it has been moved, and its consumer told */
    AP_MOVE_NOWHERE, /* nobody serves it */
    AP_MOVE_OVER     /* it is QUEUED no longer, or somebody else has moved it */
};

/* Moves the task of the slot if it has to be; `seen` is its word. `self` is the caller's lane, or AP_NO_LANE. */
enum ap_move ap_move_queued(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t index,
                            uint64_t seen);
/* Where the hooks say, or AP_NO_QUEUE. */
uint32_t ap_move_route(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t index);
/* QUEUED(queue) by compare-and-swap: puts the reference into its shared ring and tells its consumer. */
void ap_move_announce(struct ap_segment *seg, uint32_t index, uint64_t generation, uint32_t queue);

#endif
