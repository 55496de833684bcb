/* shm/move.h - moving a task that waits where nobody will run it to another queue. The one place where that is decided: for the
 * recovery of a lane, for a sweep, for a submit that finds its queue changed, and for a thread that waits for its task.
 *
 * RULE      1 A task stays in a queue that serves it: the queue is OPEN, its consumer is alive, and, where hooks->offers can
 *           tell, its agent runs such tasks. The queue's worker will judge in the same way.
 *           2 Else the task goes where hooks->route says. Then the new queue is judged in turn: its reaper may have passed the
 *           slot between the choice and the compare-and-swap.
 *           3 A task with nowhere to go stays: its queen may come back. Unless hooks->never says that nobody ever will have it:
 *           then it fails with that, whoever looks.
 * CRASH     1 A mover that is killed between the word and the reference leaves a task that only the table names. The mover's own
 *           recovery raises header.rescan.
 *           2 The new queue's ring has no room: rescan is raised at once.
 */
#ifndef AP_MOVE_H
#define AP_MOVE_H

#include "shm/queue.h"

#define AP_NO_QUEUE UINT32_MAX

/* The part of a COALESCED task that is due (follow.h). */
enum ap_lead {
    AP_LEAD_IS,      /* it leads its key: it goes where it is run */
    AP_LEAD_FOLLOWS, /* it stays as it is */
    AP_LEAD_FULL,    /* so it does, until there is a place for the leader of its key */
    AP_LEAD_OVER     /* it is no longer as it was seen */
};

/* A registry's knowledge of tasks. Each may be NULL; without `route` no task is moved. */
struct ap_reap_hooks {
    void *user;
    /* A living queue that can run this task, or AP_NO_QUEUE: the task stays where it is. */
    uint32_t (*route)(void *user, struct ap_segment *seg, const struct ap_slot *slot);
    /* Whether the agent that has this queue, or had it last, runs such tasks. NULL: every agent does, and the queue that the slot
     * names is believed. After a kill in the middle of a claim the slot names the queue that the task had been moved from. */
    bool (*offers)(void *user, struct ap_segment *seg, const struct ap_slot *slot, uint32_t queue);
    /* Of a task for which there is no queue: why none will ever run it, an error; 0: one may. NULL: one may. */
    int (*never)(void *user, struct ap_segment *seg, const struct ap_slot *slot);
    /* Of a COALESCED task with this word, SCHEDULED and due: names it the leader of its key, or lets it follow another. NULL: each
     * leads. */
    enum ap_lead (*lead)(void *user, struct ap_segment *seg, uint32_t index, uint64_t word);
    /* Of a COALESCED task with this word, RUNNING at a dead lane, which is about to be FAILED with `code`: so are its followers. */
    void (*fail)(void *user, struct ap_segment *seg, uint32_t self, uint32_t index, uint64_t word, int code);
    /* A slot is about to be FREE: gives its ticket back, unless that was done before a death. `user` is the segment. */
    ap_slot_freed_fn freed;
};

enum ap_move {
    AP_MOVE_SERVED,  /* it waits where it will be run */
    AP_MOVE_MOVED,   /* moved, and its new consumer told */
    AP_MOVE_NOWHERE, /* no queue serves it */
    AP_MOVE_OVER     /* no longer QUEUED, as it has failed here; or moved by another lane */
};

/* Moves the task of a slot if it has to be moved. `seen` is its word. `self` is the caller's lane, or AP_NO_LANE. */
enum ap_move ap_move_queued(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t index,
                            uint64_t seen);
/* The queue that hooks->route names, or AP_NO_QUEUE. */
uint32_t ap_move_route(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t index);
/* Why none will ever run it: hooks->never. */
int ap_move_never(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t index);
/* Ends a task that waits, tells its client, and frees it if nobody may collect it. 0 when it is no longer as it was seen. */
int ap_move_end(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t index, uint64_t seen,
                uint32_t state, int code);
/* Before the compare-and-swap to QUEUED(queue): the queue has had a task with a rank, if this one has one. After it a consumer that
 * begins would look through the table as if there were none (rank.h, RECOVERY). */
void ap_move_rank(struct ap_segment *seg, uint32_t index, uint64_t generation, uint32_t queue);
/* After the compare-and-swap to QUEUED(queue): puts the reference into the queue's shared ring and tells the consumer. */
void ap_move_announce(struct ap_segment *seg, uint32_t index, uint64_t generation, uint32_t queue);
/* Has each worker look through the table for tasks of which no reference tells: whoever was to announce them is dead or stopped. */
void ap_move_untold(struct ap_segment *seg);

#endif
