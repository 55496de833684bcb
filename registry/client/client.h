/* registry/client/client.h - the inside of an attached handle, for agents/ and tools/ of this project; not installed. */
#ifndef AP_CLIENT_H
#define AP_CLIENT_H

#include <string.h>

#include "core/sized.h"
#include "core/spin.h"
#include "registry/client/refusal.h"
#include "registry/monitor/tally.h"
#include "registry/routing/admission.h"
#include "registry/routing/router.h"
#include "shm/claim.h"
#include "shm/stream.h"

struct ap_again;
struct ap_known_row;

/* Names that a thread has looked up twice in a row, by the address at which the caller keeps the text.
 * 1 The text at that address is compared at each use.
 * 2 A name's index never changes while the segment lives, so no entry expires.
 * 3 The first look-up of a name displaces no entry: a thread that goes through thousands of names would only fill the table. */
#define AP_NAMES_KNOWN_BITS 5
struct ap_known_name {
    /* In one cache line, and never the last of a page, where a comparison of texts has to go slowly. */
    char name[APIARY_CAPABILITY_MAX + 1] __attribute__((aligned(256)));
    const char *at;    /* the text's address; NULL: nothing is remembered */
    const char *asked; /* the address of another text that was last looked up in this place */
    uint64_t check;    /* of a bound capability, in the table `bound`; 0: no entry */
    uint32_t capability;
    const uint64_t *providers;
    struct ap_only only;
    const struct ap_known_row *row; /* the only provider's row; NULL: not asked for yet. May hold another provider by now */
};

/* Bound capabilities that a thread uses are kept in a table of their own, by index. A check belongs to one name in one segment, so
 * nothing else is compared. */
#define AP_BOUND_KNOWN 32u

/* Rows of apiary_discover. Nothing in a row of an OPEN queue of a LIVE swarm changes while both lives stay the same. */
#define AP_ROWS_KNOWN 16u
struct ap_known_row {
    const struct ap_swarm *swarm;
    const struct ap_queue *at;
    const struct ap_ring *rings;
    const struct ap_lane *lane;
    uint64_t life, swarm_life;
    uint32_t queue; /* AP_NO_QUEUE: none */
    apiary_provider_t row;
};

/* All that one thread needs to delegate; owned by that thread, found by a thread-specific key of the handle. */
struct ap_lane_context {
    struct apiary *client;
    struct ap_lane_handle lane;
    struct ap_slabs slabs;
    uint64_t until_sample; /* delegations until one begins a trace (sample.h) */
    struct ap_producer *producers; /* one per queue of the segment */
    struct ap_balance balance;
    struct ap_pool_hint pool_hint;
    struct ap_ticket_hint ticket_hint;
    struct ap_refused refused;
    struct ap_tally_last counted; /* of these, where the last is counted */
    struct ap_known_name names[1 << AP_NAMES_KNOWN_BITS];
    struct ap_known_name stranger; /* the last name that is not in `names` */
    struct ap_known_name bound[AP_BOUND_KNOWN];
    struct ap_known_row rows[AP_ROWS_KNOWN];
    struct ap_lane_context *next; /* list of the client, under its lock */
    struct ap_spin spin;
    int event_fd;                 /* apiary_lane_fd, -1 */
    struct ap_parker *parker;     /* feeds event_fd */
    const struct ap_again *again; /* the entry of the dead set that is delegated anew (dead.h); else NULL */
    bool within;                  /* the bounds of a capability are in the options already (within.c) */
    uint64_t deadline;            /* of the last task of which they were; its asker makes it 0 before; 0: of none since */
    const struct ap_bond *bond;   /* of what an agent delegates for a task, while it does (bond.h); else NULL */
    int stand_in;                 /* a capability that stands in for the one that is being delegated; -1: none */
    bool gated;                   /* it is a gate, which has the tasks of that one first (rules.h) */
    uint64_t sake;                /* the reference of the task for which an agent delegates, while it does; 0: none */
    uint64_t hedge_due;           /* when one of its tasks is to be hedged next (hedge.h), UINT64_MAX: none; its parker reads it */
    uint32_t not;                 /* a queue that is passed over in a pick among several, AP_NO_QUEUE: none */
    uint32_t ready;               /* results in a row that needed no waiting */
    uint32_t loans;               /* blocks borrowed and not yet given back or delegated */
    uint32_t thread;              /* the id of the thread that owns it, or did */
    uint64_t owner;               /* which thread of all of this process (handles.h) */
    bool shared;                  /* its thread has ended: used under client->lock */
    bool claims;                  /* it has claimed a key, once at least (registry/conflict/conflict.h) */
    bool works;                   /* a worker's: if its thread ends now, that is a death */
    bool vanished;                /* its thread has ended by the bare system call: no destructor has run, and the lane is dead */
    uint8_t rank;                 /* of the task that is being delegated, + 1; 0: NORMAL (shm/rank.h) */
    struct ap_producer apart;     /* into the shared ring of the queue that was picked last for it (pick.c) */
    uint32_t remembered;          /* picks of a remembered provider that are still to come before they are counted (shm/cost.h) */
    uint32_t searched, discovered, picked; /* how often; one of AP_COST_SAMPLE is measured */
    uint32_t probes;              /* where the next probe begins to look for a provider (probe.c) */
    struct ap_slabs kept;         /* the one that is kept for probes, while the lane has it; zeros before it had any */
};

/* After detach, every field that may still be looked at is 0: see handles.h. */
struct apiary {
    struct ap_segment *seg AP_ALIGNED;
    const uint32_t *canary; /* the segment's; NULL: detached */
    uint64_t serial; /* numbers the handles of this process, from 1 */
    uint32_t member;
    enum apiary_member_kind kind;
    int service; /* of the caller, -1 none */
    uint32_t limit; /* tightened when a queen of the service starts under this handle */
    pthread_key_t key;
    pthread_mutex_t lock; /* process-private: list of contexts, shared lanes */
    struct ap_lane_context *contexts;
    struct ap_lane_context *anchor;
    uint32_t shared;     /* how many contexts are shared */
    uint32_t interrupts; /* how often apiary_interrupt was called */
    uint64_t *lent;      /* loan.c: a word for each block of the segment */
    uint32_t queens;     /* queens that were started with this handle and have not left */
    bool read_only;
    uint32_t page;       /* of the handles' memory */
    struct apiary *next; /* of this process' handles */
};

/* How many slabs its lanes may have; 0: it calls for a service, whose tickets bound it. */
static inline uint32_t ap_slabs_most(const struct apiary *a)
{
    return a->service < 0 ? (a->seg->geometry.max_unnamed_delegations + AP_SLAB_SLOTS - 1) / AP_SLAB_SLOTS : 0;
}

/* Its tasks' caller, and its bound, follow from the service that the client calls for. */
static inline void ap_context_calls(struct ap_lane_context *c)
{
    c->balance.caller = (uint32_t)(c->client->service + 1);
    c->slabs.most = ap_slabs_most(c->client);
}

/* Its picks are counted with its lane's. */
static inline void ap_context_counts(struct ap_lane_context *c)
{
    c->balance.costs = ap_costs_at(c->lane.seg, c->lane.index);
    c->remembered = AP_COST_SAMPLE;
}

/* Whether the handle is attached, and by this process. */
static inline bool ap_present(const struct apiary *a)
{
    const uint32_t *canary = ap_load_relaxed(&a->canary);

    return __builtin_expect(canary != NULL && ap_load_relaxed(canary) != 0, 1);
}

/* The error for a handle that is not. */
static inline int ap_absent(const struct apiary *a)
{
    return ap_load_relaxed(&a->canary) == NULL ? APIARY_ESTALE : APIARY_EFORKED;
}

/* The context that the calling thread used last. The serial is compared, too: the memory may belong to another handle by now. */
struct ap_here {
    const struct apiary *client;
    struct ap_lane_context *context; /* NULL: none yet */
    uint64_t serial;
};
extern _Thread_local struct ap_here ap_here __attribute__((tls_model("initial-exec")));

static inline bool ap_here_is(const struct apiary *a)
{
    return __builtin_expect(ap_here.context != NULL && ap_here.client == a && ap_here.serial == a->serial, 1);
}

struct ap_lane_context *ap_context_open(struct apiary *a, int *error);
struct ap_lane_context *ap_context_find(const struct apiary *a);
/* The same for a worker's thread, which is to have a lane that is not an ended thread's. */
struct ap_lane_context *ap_context_work(struct apiary *a, int *error);

/* The calling thread's context, opened on first use; or NULL and *error. */
static inline struct ap_lane_context *ap_context(struct apiary *a, int *error)
{
    return ap_here_is(a) && ap_present(a) ? ap_here.context : ap_context_open(a, error);
}

/* Looks a capability up and remembers it for the lane. NULL: the name was never interned. Valid until the next call. */
struct ap_known_name *ap_capability_learn(struct ap_lane_context *c, struct ap_known_name *known, const char *name);
/* The entry that a name has if it is remembered. */
AP_ALWAYS_INLINE struct ap_known_name *ap_known_place(struct ap_lane_context *c, const char *name)
{
    /* Fibonacci hashing: names often lie at even distances. */
    return &c->names[(uint64_t)(uintptr_t)name * UINT64_C(0x9e3779b97f4a7c15) >> (64 - AP_NAMES_KNOWN_BITS)];
}
AP_ALWAYS_INLINE bool ap_known_is(const struct ap_known_name *known, const char *name)
{
    return known->at == name && strncmp(known->name, name, sizeof known->name) == 0;
}
AP_ALWAYS_INLINE struct ap_known_name *ap_capability_known(struct ap_lane_context *c, const char *name)
{
    struct ap_known_name *known = ap_known_place(c, name);

    return __builtin_expect(ap_known_is(known, name), 1) ? known : ap_capability_learn(c, known, name);
}

/* The check of a bound capability: a hash of its name and its segment. 0: there is no such row, and nobody can bind it. */
uint64_t ap_capability_check(const struct ap_segment *seg, uint32_t index);
struct ap_known_name *ap_bound_learn(struct ap_lane_context *c, struct ap_known_name *known, apiary_capability_t capability);
/* NULL: the capability is one of another segment. */
AP_ALWAYS_INLINE struct ap_known_name *ap_bound_known(struct ap_lane_context *c, apiary_capability_t capability)
{
    struct ap_known_name *known = &c->bound[capability.index % AP_BOUND_KNOWN];

    return __builtin_expect(known->check == capability.check && capability.check != 0, 1) ? known
                                                                                        : ap_bound_learn(c, known, capability);
}

/* When a task with these options may be run at the earliest: `now`, or later. */
static inline uint64_t ap_due_of(const apiary_delegate_options_t *o, uint64_t now)
{
    uint64_t due = now + o->delay;

    return due < o->due_at ? o->due_at : due;
}
/* The time that one has; o may be NULL. */
AP_ALWAYS_INLINE uint64_t ap_timeout_of(const struct ap_segment *seg, const apiary_delegate_options_t *o)
{
    return o != NULL && o->timeout != 0 ? o->timeout : seg->geometry.task_timeout;
}
/* The deadline of one that may be run from `due` on. */
AP_ALWAYS_INLINE uint64_t ap_deadline_of(const struct ap_segment *seg, const apiary_delegate_options_t *o, uint64_t due)
{
    uint64_t timeout = ap_timeout_of(seg, o);

    return timeout >= APIARY_FOREVER - due ? APIARY_FOREVER : due + timeout;
}

/* Whether this one of many is measured. */
AP_ALWAYS_INLINE bool ap_cost_due(uint32_t *n)
{
    return (*n)++ % AP_COST_SAMPLE == 0;
}
/* Counts AP_COST_SAMPLE picks of remembered providers, of which this was the last, and measures it: by doing it once more. told:
 * those that the lane has not counted yet. By the lane's thread, or whoever closes it. */
void ap_pick_measure(struct ap_lane_context *c, const struct ap_known_name *known);
void ap_picks_told(struct ap_lane_context *c);

/* Submits one task. `body` is NULL only if `size` is 0. loan != 0 is the offset of a block that this lane owns. service >= 0
 * restricts the candidates to that service (execute_task). */
int ap_submit(struct ap_lane_context *c, int service, const char *capability, const void *body, size_t size,
              uint64_t loan, const apiary_delegate_options_t *options, apiary_task_t *ret);
/* The same with the bounds that the capability of this index declares, which the options do not know yet. */
#define AP_BY_BOUNDS 1 /* no error: that is how it is to be done */
int ap_submit_within(struct ap_lane_context *c, int service, uint32_t capability, const void *body, size_t size, uint64_t loan,
                     const apiary_delegate_options_t *options, apiary_task_t *ret);
/* The same to a bound capability. */
int ap_submit_bound(struct ap_lane_context *c, apiary_capability_t bound, const void *body, size_t size,
                    const apiary_delegate_options_t *options, apiary_task_t *ret);
/* Of a task that was refused by rules: why. 0: a gate passes it on, and it is not refused; AP_STANDS_IN: it goes to c->stand_in
 * first, which is a gate; APIARY_EFORBIDDEN; APIARY_ENOPROVIDER: nobody has ever offered its gate. */
#define AP_STANDS_IN INT_MIN
AP_MUST_CHECK int ap_gate(struct ap_lane_context *c, uint32_t capability);
/* apiary_delegate_batch. The caller has checked all arguments but the requests themselves. */
int ap_submit_batch(struct ap_lane_context *c, const apiary_request_t *requests, size_t count, apiary_task_t *tasks,
                    size_t *submitted);
/* apiary_call, by name or (NULL) bound, with the candidates restricted as in ap_submit. */
int ap_call(struct apiary *a, int service, const char *capability, const apiary_capability_t *bound, const void *body,
            size_t body_size, const apiary_delegate_options_t *options, void *result, size_t capacity, size_t *size);
/* 1 when the task is finished (all of the result but struct_size is filled), 0 when not yet, or an error. Never blocks. */
int ap_collect(struct apiary *a, apiary_task_t task, apiary_result_t *ret);
/* A task of the lane's, if it waits: it goes where it will be run, or fails if nobody ever will. */
void ap_reroute_own(struct ap_lane_context *c, apiary_task_t task);
/* As a thread that waits for the task does: the dead are recovered, and the task goes where it will be run, or fails. If nobody may
 * collect it then it is freed. */
void ap_await_help(struct apiary *a, apiary_task_t task);
/* A task whose time was over as it stood a moment ago: 1 it has finished after all; 0 it has gone on, and *until is its time now;
 * else APIARY_ETIMEDOUT: it is given up, or APIARY_ESTALE. */
AP_MUST_CHECK int ap_expire(struct apiary *a, apiary_task_t task, uint64_t now, uint64_t *until, apiary_result_t *ret);
/* Cancels this copy of a task: 0 or APIARY_ESTALE. */
int ap_cancel(struct apiary *a, apiary_task_t task);
/* Gives a task up: cancels it if queued, else marks it ABANDON; frees it if it is finished. */
void ap_give_up(struct apiary *a, apiary_task_t task);

/* The calling thread's context, or NULL when it has none yet. */
static inline struct ap_lane_context *ap_context_here(const struct apiary *a)
{
    return ap_here_is(a) ? ap_here.context : ap_context_find(a);
}
/* APIARY_ESTALE, APIARY_EFORKED, APIARY_EREADONLY, or 0 when the handle may be written through. */
static inline int ap_usable(const struct apiary *a)
{
    if (a == NULL) return APIARY_EINVAL;
    if (!ap_present(a)) return ap_absent(a);
    return a->read_only ? APIARY_EREADONLY : 0;
}

/* The slot of a task id, and the word that was seen. 1, or 0 when the id is not (or no longer) valid. */
static inline int ap_task_find(const struct apiary *a, apiary_task_t task, struct ap_slot **ret_slot, uint64_t *ret_word)
{
    struct ap_slot *slot = ap_slot_at(a->seg, task.slot);
    const struct ap_slab *slab = ap_slab_at(a->seg, task.slot / AP_SLAB_SLOTS);
    uint64_t word;

    if (slot == NULL || slab == NULL) return 0;
    word = ap_load_acquire(&slot->word); /* TASK-A2 pairs TASK-R2 */
    if (AP_WORD_GENERATION(word) != task.generation || AP_LEASE_EPOCH(ap_load_relaxed(&slab->lease)) != task.epoch) return 0;
    *ret_slot = slot;
    *ret_word = word;
    return 1;
}
/* Whether an agent ended the task, so that there is a result. After any other end the result area may hold leftovers of a dead
 * attempt. */
static inline bool ap_ended_by_agent(uint32_t state, int code)
{
    return state == AP_TASK_DONE || (state == AP_TASK_FAILED && code == APIARY_EAGENT);
}

/* For a result whose size is another version's: 0, and ap_sized_out is to fill it, or APIARY_EINVAL. */
static inline int ap_result_other(const apiary_result_t *ret)
{
    return ap_sized_valid(ret->struct_size, AP_FIRST_RESULT) ? 0 : APIARY_EINVAL;
}

/* Of a task that may be collected, seen with `word`. `tries`: of its slot; `parts`: that it has sent. */
AP_ALWAYS_INLINE int ap_collect_seen(const struct ap_segment *seg, apiary_task_t task, const struct ap_slot *slot, uint64_t word,
                                     uint32_t tries, uint32_t parts, apiary_result_t *ret)
{
    uint32_t state = AP_WORD_STATE(word), size = 0;
    const void *data = "";
    int code;
    bool by_agent;

    if (ap_task_waits(state) || state == AP_TASK_RUNNING) return 0;
    if (!ap_task_ended(state)) return APIARY_ESTALE;
    code = ap_word_code(word);
    if (code == 0 && state != AP_TASK_DONE) return APIARY_ECORRUPT;
    by_agent = ap_ended_by_agent(state, code);
    if (by_agent) data = ap_task_result(seg, slot, &size);
    if (data == NULL) return APIARY_ECORRUPT;
    ret->data = data;
    ret->size = size;
    ret->code = code;
    ret->agent_code = code == APIARY_EAGENT ? ap_load_relaxed(&slot->agent_code) : 0;
    ret->attempts = ap_word_starts(word) + AP_TRIES_FAILURES(tries);
    ret->untried = AP_TRIES_WHY(tries);
    ret->parts = parts;
    ret->task = task;
    return 1;
}
/* A loan whose task is refused is the caller's again, or the entry's that is delegated anew. Its slot is not freed yet. */
void ap_loan_back(struct ap_lane_context *c, uint64_t loan);
/* Where tasks wait at the queue that was picked: whether the task would be done there in time, or at another provider, which is
 * then in *queue and *life, with room in its ring: 0; else APIARY_EBACKLOG. `timeout`: that, or its time to be started. */
struct ap_backlog_task {
    uint64_t key, timeout;
    bool apart;   /* it goes into the shared ring, whatever the lane has there */
    uint8_t rank; /* + 1; 0: NORMAL */
};
AP_MUST_CHECK int ap_backlog_pick(struct ap_lane_context *c, int service, uint32_t capability, const struct ap_backlog_task *task,
                                  uint32_t *queue, uint64_t *life);
/* The same for a copy of a hedged task; and ap_collect of a hedged task (hedge.h). */
int ap_collect_copy(const struct ap_segment *seg, apiary_task_t task, const struct ap_slot *slot, uint64_t word,
                    apiary_result_t *ret);
int ap_hedge_collect(struct apiary *a, apiary_task_t task, apiary_result_t *ret);

/* ap_collect, inlined. */
AP_ALWAYS_INLINE int ap_collect_at(struct apiary *a, apiary_task_t task, apiary_result_t *ret)
{
    struct ap_slot *slot;
    uint64_t word;
    uint32_t tries = 0, parts = 0;

    if (!ap_task_find(a, task, &slot, &word)) return APIARY_ESTALE;
    if (__builtin_expect(AP_REQUEST_BITS(ap_load_acquire(&slot->request)) != 0, 0)) { /* TASK-A7 pairs TASK-R7 */
        if (ap_abandoned(slot, word)) return APIARY_ESTALE;
        if (ap_task_requested(slot, word, AP_REQUEST_HEDGED)) return ap_hedge_collect(a, task, ret);
        tries = ap_slot_tries(slot, word);
        if (ap_task_requested(slot, word, AP_REQUEST_PARTS)) parts = ap_stream_sent(a->seg, task, word);
    }
    return ap_collect_seen(a->seg, task, slot, word, tries, parts, ret);
}
/* Writes what a task carries that may be run from `due` on, while its slot is RESERVED by the lane: 0. Or an error: the slot is
 * FREE again, the ticket given back, and the loan (0: none) the caller's. */
AP_MUST_CHECK int ap_carry(struct ap_lane_context *c, apiary_task_t task, uint32_t ticket, uint64_t loan,
                           const apiary_delegate_options_t *options, uint64_t due);
/* Frees a finished task and gives its admission ticket back. 1, or 0 when another lane has freed it. */
int ap_task_free(struct apiary *a, uint32_t index, uint64_t seen);
/* Marks a task that nobody will collect: it is freed as soon as it has ended. 1, or 0 when the id is not (or no longer) valid. */
int ap_abandon(struct apiary *a, apiary_task_t task);
/* Frees finished tasks that nobody will collect: those of the caller's lane, or, if there are none, those of all lanes that call
 * for its service. Returns how many. */
uint32_t ap_tidy(struct ap_lane_context *c);
/* The same for all lanes: a lane that should have freed a task may be dead and not recovered yet. */
uint32_t ap_tidy_all(const struct ap_lane_context *c);
/* How many tasks of the lane may still be collected. `drop` gives them up. */
uint32_t ap_open_tasks(const struct ap_lane_context *c, bool drop);
/* Whether a task of the lane is past its deadline, unfinished, and not given up. Any thread. */
bool ap_overdue(const struct ap_segment *seg, uint32_t lane, uint64_t now);
/* Frees leftovers after a call failed with `error` because something was full. Whether there were any. `size` is that of the body
 * for which there was no block, 0: it needs none; entries of the dead set go for it, where there is nothing else. */
bool ap_make_room(struct ap_lane_context *c, int error, uint64_t size);
/* Closes the contexts of ended threads that have no task left. */
void ap_shared_tidy(struct apiary *a);
/* Stops the thread behind apiary_lane_fd and closes the descriptor. The caller holds the client's lock. */
void ap_parker_stop(struct ap_lane_context *c);

#endif
