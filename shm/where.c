/* shm/where.c - a queue's next task where ranks, or what may be started now, decide. See queue.h, rank.h. */
#include "shm/queue.h"

struct pick {
    ap_may_fn may; /* NULL: all may be started */
    void *user;
    bool take;
};

static uint64_t where_shared(struct ap_consumer *c, enum ap_rank rank, const struct pick *p)
{
    uint64_t ref;

    if (!p->take) return ap_crowd_any(c, rank, p->may, p->user);
    if (rank == AP_RANK_NORMAL) ap_consumer_turn(c, c->shared + 1);
    ref = ap_crowd_pop(c, rank, p->may, p->user);
    if (ref != 0) c->last = c->shared;
    return ref;
}

/* Of the rings, in turn: of an inlet the next one, of the shared ring those that are NORMAL. */
static uint64_t where_normal(struct ap_consumer *c, const struct pick *p)
{
    uint64_t active = ap_load_acquire(&c->queue->summary) & c->all;

    while (active != 0) {
        uint64_t ahead = active & c->turn, first = ahead != 0 ? ahead : active, ref;
        uint32_t r = (uint32_t)__builtin_ctzll(first);

        ref = ap_intake_look(c, &c->rings[r]);
        if (r == c->shared) {
            if (ref == 0 && ap_queue_head_rest(c)) continue;
            if (ref != 0) ref = where_shared(c, AP_RANK_NORMAL, p);
            if (ref != 0) return ref;
        } else if (ref != 0 && (p->may == NULL || p->may(p->user, ref))) {
            if (!p->take) return ref;
            c->last = r;
            ap_consumer_turn(c, r + 1);
            ap_intake_taken(&c->rings[r]);
            return ref;
        }
        active &= ~(first & -first);
    }
    return 0;
}

/* A reference whose task is over, or elsewhere, is nobody's turn. */
static bool where_counts(const struct ap_consumer *c, uint64_t ref)
{
    const struct ap_slot *slot = ap_slot_at(c->seg, AP_REF_SLOT(ref));
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A1 pairs TASK-R1 */

    return AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_OWNER(word) == c->index &&
           AP_WORD_GENERATION(word) == AP_REF_GENERATION(ref) && ap_load_relaxed(&slot->deadline) > c->seg->ops->now();
}

/* NORMAL counts as waiting until it was looked for. A rank of which nothing may be started now keeps its turn. */
static uint64_t where_ranks(struct ap_consumer *c, uint32_t ranks, uint32_t beside, const struct pick *p)
{
    uint32_t waiting = ap_crowd_ranks(c) | AP_RANK_BIT(AP_RANK_NORMAL), left = waiting & ranks;

    while (left != 0) {
        enum ap_rank rank = ap_ranks_next(&c->ranks, left);
        uint64_t ref = rank == AP_RANK_NORMAL ? where_normal(c, p) : where_shared(c, rank, p);

        if (ref != 0) {
            if (p->take && where_counts(c, ref)) ap_ranks_started(&c->ranks, rank, waiting | beside);
            return ref;
        }
        if (p->take && rank == AP_RANK_NORMAL) c->ranks.passed[rank] = 0;
        left &= ~AP_RANK_BIT(rank);
    }
    return 0;
}

uint64_t ap_queue_pop_ranks(struct ap_consumer *c, uint32_t ranks, uint32_t beside, ap_may_fn may, void *user)
{
    return where_ranks(c, ranks, beside, &(struct pick){.may = may, .user = user, .take = true});
}

uint64_t ap_queue_pop_where(struct ap_consumer *c, ap_may_fn may, void *user)
{
    return ap_queue_pop_ranks(c, AP_RANKS_ALL, 0, may, user);
}

bool ap_queue_any_where(struct ap_consumer *c, ap_may_fn may, void *user)
{
    return where_ranks(c, AP_RANKS_ALL, 0, &(struct pick){.may = may, .user = user}) != 0;
}
