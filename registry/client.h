/* registry/client.h - the inside of an attached handle, for agents/ and tools/ of this project; not installed. */
#ifndef AP_CLIENT_H
#define AP_CLIENT_H

#include "registry/admission.h"
#include "registry/router.h"

/* What one thread needs to delegate; owned by that thread, found by a thread-specific key of the handle. */
struct ap_lane_context {
    struct apiary *client;
    struct ap_lane_handle lane;
    struct ap_slabs slabs;
    struct ap_producer *producers; /* one per queue of the segment */
    struct ap_balance balance;
    struct ap_pool_hint pool_hint;
    struct ap_ticket_hint ticket_hint;
    struct ap_lane_context *next; /* list of the client, under its lock */
    uint64_t spin;                /* self-tuned, ns */
    int event_fd;                 /* apiary_lane_fd, -1 */
    struct ap_parker *parker;     /* feeds event_fd */
    uint32_t loans;               /* blocks borrowed and not yet given back or delegated */
    bool shared;                  /* its thread has ended: used under client->lock */
};

struct apiary {
    struct ap_segment *seg;
    uint32_t member;
    enum apiary_member_kind kind;
    int service; /* of the caller, -1 none */
    uint32_t limit; /* tightened when a queen of the service starts under this handle */
    pthread_key_t key;
    pthread_mutex_t lock; /* process-private: list of contexts, shared lanes */
    struct ap_lane_context *contexts;
    struct ap_lane_context *anchor;
    uint32_t shared;     /* how many contexts are */
    bool alone;          /* one processor: waiting by spinning only keeps the other side from running */
    bool read_only;
    bool leaving;        /* detached; the last thread that still has a lane frees the handle */
};

/* The calling thread's context, opened on first use: NULL and *error. */
struct ap_lane_context *ap_context(struct apiary *a, int *error);

/* The whole of a submit. body NULL with size > 0 is not allowed; loan != 0 is the offset of a block that this lane owns.
 * service >= 0 restricts the candidates (execute_task). */
int ap_submit(struct ap_lane_context *c, int service, const char *capability, const void *body, size_t size,
              uint64_t loan, const apiary_delegate_options_t *options, apiary_task_t *ret);
/* apiary_delegate_batch, its arguments checked but for the requests themselves. */
int ap_submit_batch(struct ap_lane_context *c, const apiary_request_t *requests, size_t count, apiary_task_t *tasks,
                    size_t *submitted);
/* apiary_call, with the candidates restricted as in ap_submit. */
int ap_call(struct apiary *a, int service, const char *capability, const void *body, size_t body_size, uint64_t timeout,
            void *result, size_t capacity, size_t *size);
/* 1 finished (result filled), 0 not yet, or an error. Never blocks. */
int ap_collect(struct apiary *a, apiary_task_t task, apiary_result_t *ret);
/* QUEUED in a queue that is closed: move it to another provider if there is one. */
void ap_reroute_own(struct ap_lane_context *c, apiary_task_t task);
/* Gives a task up: cancels it if queued, else marks it ABANDON; frees it if it is finished. */
void ap_give_up(struct apiary *a, apiary_task_t task);

/* The calling thread's context, or NULL when it has none yet. */
static inline struct ap_lane_context *ap_context_here(const struct apiary *a)
{
    return pthread_getspecific(a->key);
}
/* APIARY_EFORKED, APIARY_EREADONLY, or 0 when the handle may be written through. */
int ap_usable(const struct apiary *a);

/* The slot of a task id, and the word that was seen: 1, or 0 when the id is not (or no longer) valid. */
int ap_task_find(const struct apiary *a, apiary_task_t task, struct ap_slot **ret_slot, uint64_t *ret_word);
/* finished -> FREE and the admission ticket given back: 1, or 0 when somebody else did. */
int ap_task_free(struct apiary *a, uint32_t index, uint64_t seen);
/* The ticket of a slot, read before the slot is given away, and returned after: if the lane that took it still lives the
 * life in which it took it, for at its end all tickets of a lane are freed. */
struct ap_slot_ticket {
    uint64_t queued;
    uint32_t service_plus_1, lane;
    uint16_t ticket;
};
struct ap_slot_ticket ap_slot_ticket(const struct ap_slot *slot);
void ap_slot_ticket_return(struct ap_segment *seg, const struct ap_slot_ticket *t);
/* Frees what nobody will collect: finished and abandoned slots of the caller's lane, and, when it had none, those of all
 * lanes that call for its service. How many. */
uint32_t ap_tidy(struct ap_lane_context *c);
/* Slots of the lane that somebody may still collect; with `detach` nobody may any more. */
uint32_t ap_open_tasks(const struct ap_lane_context *c, bool detach);
/* Whether a task of the lane is past its deadline, unfinished, and not given up. Any thread. */
bool ap_overdue(const struct ap_segment *seg, uint32_t lane, uint64_t now);
/* Moves a task out of a queue that nobody drains: 1 moved, 0 not needed, no longer queued, or nobody else offers it. */
int ap_reroute(struct ap_segment *seg, struct ap_balance *balance, uint32_t index, uint64_t seen);

/* Closes contexts of ended threads whose tasks are all gone. */
void ap_shared_tidy(struct apiary *a);
/* Stops the thread behind apiary_lane_fd and closes the descriptor. With the client's lock. */
void ap_parker_stop(struct ap_lane_context *c);

#endif
