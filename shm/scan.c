/* shm/scan.c - what waits at a queue is found in the table, though no ring has it. See queue.h, rank.h. */
#include "shm/queue.h"

/* Tasks that were queued before this one go first: the table is in the order of slots, which begins anew with every round of a
 * slab. All rings are asked, in turn, since a dead client's is leased to nobody, or to another by now. A task whose reference was
 * lost from a ring is older than all that is left in it, and goes at once. `rank`: of that one only, AP_RANKS: of any. */
static uint64_t pop_before(struct ap_consumer *c, const struct ap_slot *task, enum ap_rank rank)
{
    for (uint32_t i = 0, begin = c->turn != 0 ? (uint32_t)__builtin_ctzll(c->turn) : 0; i < c->count; i++) {
        const struct ap_slot *first;
        uint32_t r = (begin + i) % c->count;
        uint64_t ref;

        if (r == c->shared) { /* its first need not be its oldest (crowd.h, WAITING 3) */
            ref = ap_crowd_pop_before(c, rank != AP_RANKS ? rank : AP_RANK_NORMAL, ap_load_relaxed(&task->queued));
            if (ref != 0) return ref;
            continue;
        }
        if (rank != AP_RANKS && rank != AP_RANK_NORMAL) continue;
        ref = ap_intake_look(c, &c->rings[r]);
        if (ref == 0) continue;
        first = ap_slot_at(c->seg, AP_REF_SLOT(ref));
        if (first != NULL && AP_WORD_GENERATION(ap_load_acquire(&first->word)) == AP_REF_GENERATION(ref) &&
            ap_load_relaxed(&first->queued) > ap_load_relaxed(&task->queued))
            continue;
        ap_consumer_turn(c, r + 1);
        ap_intake_taken(&c->rings[r]);
        return ref;
    }
    return 0;
}

/* QUEUED here when the scan began. No task has generation 0: as slot 0's reference it would read as the end of a scan that is never
 * done. */
static bool to_be_found(const struct ap_consumer *c, const struct ap_slot *slot, uint64_t word)
{
    if (AP_WORD_STATE(word) != AP_TASK_QUEUED || AP_WORD_OWNER(word) != c->index || AP_WORD_GENERATION(word) == 0) return false;
    return ap_load_relaxed(&slot->queued) <= c->began;
}

/* The next of the table whose task is to be found, and is of the rank. False: there is none. */
static bool scan_next(const struct ap_consumer *c, enum ap_rank rank, uint64_t *index, uint64_t *ret_word)
{
    const struct ap_segment *seg = c->seg;

    while (*index < seg->geometry.tasks) {
        const struct ap_slot *slot = ap_slot_at(seg, *index);

        if (*index % AP_SLAB_SLOTS == 0 && ap_load_acquire(&ap_slab_at(seg, *index / AP_SLAB_SLOTS)->lease) == 0) {
            *index += AP_SLAB_SLOTS; /* never leased: never used */
            continue;
        }
        *ret_word = ap_load_acquire(&slot->word);
        if (to_be_found(c, slot, *ret_word) && (rank == AP_RANKS || ap_slot_rank(slot, AP_WORD_GENERATION(*ret_word)) == rank))
            return true;
        ++*index;
    }
    return false;
}

static uint64_t scan_rank(struct ap_consumer *c, uint64_t *index, enum ap_rank rank)
{
    uint64_t word, ref;

    if (!scan_next(c, rank, index, &word)) return 0;
    ref = pop_before(c, ap_slot_at(c->seg, *index), rank);
    if (ref != 0) return ref;
    return AP_REF((*index)++, AP_WORD_GENERATION(word));
}

/* A task that is more urgent than the rank that the scan is at, and has come since; 0 when that rank has its turn. One that may not
 * be started now stays in its ring, where it holds up nothing: the scan would wait with it. */
static uint64_t scan_above(struct ap_consumer *c, enum ap_rank rank, ap_may_fn may, void *user)
{
    uint64_t ref = 0;

    if (rank != AP_RANK_URGENT && c->ranks.passed[rank] < AP_RANK_PASSES)
        ref = ap_queue_pop_ranks(c, AP_RANKS_ABOVE(rank), AP_RANK_BIT(rank), may, user);
    if (ref == 0) c->ranks.passed[rank] = 0;
    return ref;
}

uint64_t ap_queue_scan_where(struct ap_consumer *c, uint64_t *cursor, ap_may_fn may, void *user)
{
    const uint64_t tasks = c->seg->geometry.tasks;

    if (*cursor == 0) {
        c->scanning = ap_load_acquire(&c->seg->header->rescan); /* QUEUE-A5 pairs QUEUE-R5: before the clock */
        c->began = c->seg->ops->now();
        c->passes = ap_load_relaxed(&c->queue->ranked) != 0 ? AP_RANKS : 1;
    }
    for (uint64_t pass = *cursor / tasks; pass < c->passes; pass++) {
        enum ap_rank rank = c->passes == 1 ? AP_RANKS : (enum ap_rank)pass;
        uint64_t index = *cursor - pass * tasks, ref = rank != AP_RANKS ? scan_above(c, rank, may, user) : 0;

        if (ref != 0) return ref;
        ref = scan_rank(c, &index, rank);
        *cursor = pass * tasks + index;
        if (ref != 0 && rank != AP_RANKS) /* the inlets have NORMAL ones */
            ap_ranks_started(&c->ranks, rank, ap_crowd_ranks(c) | AP_RANK_BIT(AP_RANK_NORMAL));
        if (ref != 0) return ref;
        *cursor = (pass + 1) * tasks;
    }
    c->rescan = c->scanning;
    return 0;
}

uint64_t ap_queue_scan(struct ap_consumer *c, uint64_t *cursor)
{
    return ap_queue_scan_where(c, cursor, NULL, NULL);
}
