/* shm/queue.c - queues: rings of references. See queue.h. */
#include "shm/queue.h"

#include <string.h>

#include "core/invariant.h"
#include "shm/finished.h"
#include "shm/follow.h"
#include "shm/probe.h"
#include "shm/times.h"

#define EMPTY_LEFT 3 /* rings that a pop may find empty and leave in the summary */
#define REF_MASK ((UINT64_C(1) << AP_LAP_SHIFT) - 1)

/* ---- producers ------------------------------------------------------------------------------------------------ */

/* Where a new lessee goes on: behind what the former one left, whose published tail may lag by one. */
static uint64_t ring_end(const struct ap_segment *seg, struct ap_ring *ring, uint64_t head)
{
    uint64_t p = head;

    while (p - head < seg->geometry.queue_depth &&
           ap_load_acquire(ap_cell_at(seg, ring, p)) >> AP_LAP_SHIFT == ap_lap_at(seg, p))
        p++;
    return p;
}

static uint64_t lease_of(const struct ap_lane_handle *lane)
{
    return lane->epoch << 16 | (lane->index + 1);
}

/* An inlet that nobody leases and in which no more than so much is left. */
static bool inlet_take(struct ap_segment *seg, struct ap_ring *ring, uint64_t lease, uint64_t most, struct ap_producer *p)
{
    uint64_t head = ap_load_acquire(&ring->head), none = 0;

    if (ap_load_relaxed(&ring->lease) != 0 || ring_end(seg, ring, head) - head > most) return false;
    if (!ap_cas(&ring->lease, &none, lease)) return false; /* QUEUE-A3 pairs QUEUE-R3 */
    p->ring = ring;
    p->head = ap_load_acquire(&ring->head);
    p->tail = ring_end(seg, ring, p->head);
    ap_store_relaxed(&ring->tail, p->tail);
    return true;
}

/* One that is empty, or else half so: what a former lessee left in it is not to have its next one refused. */
static void producer_open(struct ap_segment *seg, uint32_t queue, struct ap_producer *p, const struct ap_lane_handle *lane)
{
    uint32_t inlets = seg->geometry.queue_inlets;
    uint64_t most = 0;

    p->opened = 1;
    for (int pass = 0; pass < 2; pass++, most = seg->geometry.queue_depth / 2) {
        for (uint32_t i = 0; i < inlets; i++) {
            p->index = (lane->index + i) % inlets;
            if (inlet_take(seg, ap_ring_at(seg, queue, p->index), lease_of(lane), most, p)) return;
        }
    }
    p->ring = ap_ring_at(seg, queue, inlets);
    p->index = inlets;
    p->shared = 1;
}

int ap_ring_push_shared(struct ap_segment *seg, struct ap_ring *ring, uint64_t ref)
{
    uint32_t depth = seg->geometry.queue_depth;

    /* Every failed turn means that another producer got on; the bound is for a segment that is being corrupted. */
    for (uint64_t turns = 0; turns < 1u << 20; turns++) {
        uint64_t tail = ap_load_acquire(&ring->tail);
        uint64_t *cell = ap_cell_at(seg, ring, tail);
        uint64_t seen = ap_load_acquire(cell), lap = ap_lap_at(seg, tail);
        /* QUEUE-A2 pairs QUEUE-R2. Signed: the consumer may have taken a cell whose producer has not moved tail yet, or never
         * will. */
        int64_t used = (int64_t)(tail - ap_load_acquire(&ring->head));

        /* A producer that slept since it read tail must not judge a cell of a later lap by it. */
        if (ap_load_acquire(&ring->tail) != tail) continue;
        if (seen >> AP_LAP_SHIFT == lap) {
            /* Filled, and its producer has not moved tail yet, or died: do it for it. */
            ap_cas(&ring->tail, &tail, tail + 1);
            continue;
        }
        if (used >= (int64_t)depth || seen >> AP_LAP_SHIFT != ((lap - 1) & 15)) return APIARY_EQUEUEFULL;
        if (ap_cas(cell, &seen, ref | lap << AP_LAP_SHIFT)) { /* QUEUE-R1 pairs QUEUE-A1 */
            ap_cas(&ring->tail, &tail, tail + 1);
            return 0;
        }
    }
    return APIARY_EQUEUEFULL;
}

bool ap_queue_room(struct ap_segment *seg, uint32_t queue, struct ap_producer *p, const struct ap_lane_handle *lane)
{
    uint64_t head;

    if (!p->opened) producer_open(seg, queue, p, lane);
    if (p->shared) {
        /* The tail first: with the head of a while ago the ring would seem fuller than it ever was. Signed: the head may be
         * ahead. */
        uint64_t tail = ap_load_acquire(&p->ring->tail);
        int64_t used = (int64_t)(tail - ap_load_acquire(&p->ring->head));

        return ap_crowd_room(seg, queue, lane->index, AP_PRODUCER_RANK(p), used > 0 ? (uint64_t)used : 0);
    }
    head = ap_load_acquire(&p->ring->head); /* QUEUE-A2 pairs QUEUE-R2 */
    p->head = head;
    return p->tail - head < seg->geometry.queue_depth;
}

int ap_queue_push_shared(struct ap_segment *seg, uint32_t queue, uint64_t ref)
{
    struct ap_ring *ring = ap_ring_at(seg, queue, seg->geometry.queue_inlets);
    return ring != NULL ? ap_ring_push_shared(seg, ring, ref) : APIARY_ECORRUPT;
}

void ap_producer_close(struct ap_producer *p, const struct ap_lane_handle *lane)
{
    uint64_t lease = lease_of(lane);

    /* No store: by another thread than the lane's, at detach, it may be somebody else's by now. QUEUE-R3 pairs QUEUE-A3 */
    if (p->opened && !p->shared) ap_cas(&p->ring->lease, &lease, 0);
    memset(p, 0, sizeof *p);
}

void ap_queue_reap_leases(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    uint64_t rings = seg->sections[AP_SECTION_RINGS].count;

    for (uint64_t i = 0; i < rings; i++) {
        struct ap_ring *ring = ap_at(seg, AP_SECTION_RINGS, i);
        uint64_t lease = ap_load_acquire(&ring->lease); /* before the look at the lane's life */

        if ((lease & 0xffff) != lane + 1 || !ap_lane_still(seg, lane, beside)) continue;
        ap_cas(&ring->lease, &lease, 0); /* QUEUE-R3 pairs QUEUE-A3 */
    }
}

void ap_queues_withdraw(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    for (uint32_t q = 0; q < seg->geometry.queues; q++) {
        uint64_t life = ap_load_acquire(&ap_queue_at(seg, q)->life); /* QUEUE-A4 pairs QUEUE-R4 */

        if (AP_QUEUE_LANE(life) != lane) continue;
        /* CLAIMED twice by two lives of one lane is one and the same word; OPEN has an epoch of its own. */
        if (beside != 0 && AP_QUEUE_STATE(life) != AP_QUEUE_OPEN) continue;
        if (ap_lane_still(seg, lane, beside)) ap_queue_close(seg, q, life);
    }
}

/* ---- ownership ------------------------------------------------------------------------------------------------ */

int ap_queue_claim_seen(struct ap_segment *seg, uint32_t queue, uint32_t lane, uint64_t life)
{
    struct ap_queue *q = ap_queue_at(seg, queue);

    if (q == NULL || (AP_QUEUE_STATE(life) != AP_QUEUE_FREE && AP_QUEUE_STATE(life) != AP_QUEUE_CLOSED)) return 0;
    return ap_cas(&q->life, &life, AP_QUEUE_LIFE(AP_QUEUE_EPOCH(life), lane, AP_QUEUE_CLAIMED));
}

int ap_queue_claim(struct ap_segment *seg, uint32_t queue, uint32_t lane)
{
    struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t life;

    if (q == NULL) return 0;
    life = ap_load_acquire(&q->life);
    return ap_queue_claim_seen(seg, queue, lane, life);
}

void ap_queue_begin(struct ap_segment *seg, uint32_t queue, bool anew)
{
    struct ap_queue *q = ap_queue_at(seg, queue);

    if (q == NULL) return;
    ap_store_relaxed(&q->running, 0);
    ap_store_relaxed(&q->until, 0);
    ap_store_relaxed(&q->probe, 0);
    ap_store_relaxed(&q->charge, 0);
    ap_store_relaxed(&q->charged, 0);
    ap_store_relaxed(&q->ejections, 0);
    ap_store_relaxed(&q->pace, 0);
    ap_store_relaxed(&q->margin, 0);
    if (anew) {
        ap_store_relaxed(&ap_ring_at(seg, queue, seg->geometry.queue_inlets)->rounds, 0);
        ap_store_relaxed(&q->ranked, 0);
        ap_store_relaxed(&q->depth, 0);
    } else if (!ap_times_half(seg, queue)) {
        return;
    }
    ap_times_begin(seg, queue);
    /* `started` last: no more tasks may have ended than have started, at any instant. */
    ap_store_relaxed(&q->done, 0);
    ap_store_relaxed(&q->failed, 0);
    ap_store_relaxed(&q->late, 0);
    ap_store_relaxed(&q->retried, 0);
    ap_store_relaxed(&q->started, 0);
    ap_store_relaxed(&q->crashed, 0);
    ap_store_relaxed(&q->expired, 0);
    ap_store_relaxed(&q->cancelled, 0);
    ap_store_relaxed(&q->taken, 0);
    ap_store_relaxed(&q->refused, 0);
    ap_store_relaxed(&q->answered, 0);
    ap_store_relaxed(&q->run_time, 0);
    ap_store_relaxed(&q->told, 0);
    ap_times_begun(seg, queue);
}

int ap_queue_open(struct ap_segment *seg, uint32_t queue, uint32_t lane)
{
    struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t life;

    if (q == NULL) return 0;
    life = ap_load_acquire(&q->life);
    if (AP_QUEUE_STATE(life) != AP_QUEUE_CLAIMED || AP_QUEUE_LANE(life) != lane) return 0;
    /* QUEUE-R4 pairs QUEUE-A4 */
    return ap_cas(&q->life, &life, AP_QUEUE_LIFE(AP_QUEUE_EPOCH(life) + 1, lane, AP_QUEUE_OPEN));
}

int ap_queue_close(struct ap_segment *seg, uint32_t queue, uint64_t life)
{
    struct ap_queue *q = ap_queue_at(seg, queue);
    uint32_t state = AP_QUEUE_STATE(life);

    if (q == NULL || (state != AP_QUEUE_OPEN && state != AP_QUEUE_CLAIMED)) return 0;
    /* A queue that was never open has nothing in it. */
    return ap_cas(&q->life, &life,
                  AP_QUEUE_LIFE(AP_QUEUE_EPOCH(life), 0, AP_QUEUE_EPOCH(life) != 0 ? AP_QUEUE_CLOSED : AP_QUEUE_FREE));
}

/* ---- consumer ------------------------------------------------------------------------------------------------- */

void ap_consumer_init(struct ap_consumer *c, struct ap_segment *seg, uint32_t queue)
{
    memset(c, 0, sizeof *c);
    c->seg = seg;
    c->queue = ap_queue_at(seg, queue);
    c->index = queue;
    c->turn = UINT64_MAX;
    c->shared = seg->geometry.queue_inlets;
    c->count = c->shared + 1;
    AP_ASSERT(c->count <= sizeof c->rings / sizeof *c->rings);
    c->all = UINT64_MAX >> (64 - c->count);
    c->inlets = c->all >> 1;
    for (uint32_t r = 0; r < c->count; r++) {
        c->rings[r].ring = ap_ring_at(seg, queue, r);
        c->rings[r].head = ap_load_relaxed(&c->rings[r].ring->head);
    }
    c->rings[c->shared].head = ap_crowd_head(seg, c->rings[c->shared].ring, c->rings[c->shared].head);
}

bool ap_queue_head_rest(struct ap_consumer *c)
{
    struct ap_intake *in = &c->rings[c->shared];
    uint64_t head = ap_crowd_head(c->seg, in->ring, in->head);

    if (head == in->head) return false;
    in->head = head;
    ap_store_release(&in->ring->head, head); /* QUEUE-R2 pairs QUEUE-A2 */
    return true;
}

/* Clears the summary bits of rings that were seen empty, looks again, and sets those of rings that are not. */
static void bits_clear(struct ap_consumer *c, uint64_t bits)
{
    uint64_t found = 0;

    ap_and_acq_rel(&c->queue->summary, ~bits);
    ap_fence_full(); /* QUEUE-F2 pairs QUEUE-F1 */
    for (; bits != 0; bits &= bits - 1)
        if (ap_intake_look(c, &c->rings[__builtin_ctzll(bits)]) != 0) found |= bits & -bits;
    if (found != 0) ap_or_acq_rel(&c->queue->summary, found);
}

/* The lanes of the shared ring have their turns one after the other. */
static __attribute__((noinline)) uint64_t pop_shared(struct ap_consumer *c)
{
    return ap_crowd_pop(c, AP_RANK_NORMAL, NULL, NULL);
}

static __attribute__((noinline)) void empties(struct ap_consumer *c, uint64_t empty)
{
    if (__builtin_popcountll(empty) > EMPTY_LEFT) bits_clear(c, empty);
}

/* Of the rings whose bits are set, in turn; `crowd`: the shared one is among them. */
AP_ALWAYS_INLINE uint64_t pop_in_turn(struct ap_consumer *c, uint64_t active, bool crowd)
{
    uint64_t empty = 0, ref = 0;

    while (active != 0) {
        /* The first active ring at or after the turn, so that all are served alike. */
        uint64_t ahead = active & c->turn;
        uint32_t r = (uint32_t)__builtin_ctzll(ahead != 0 ? ahead : active);

        c->turn = (UINT64_MAX - 1) << r;
        ref = ap_intake_look(c, &c->rings[r]);
        if (__builtin_expect(ref != 0, 1)) {
            c->last = r;
            if (crowd && r == c->shared) ref = pop_shared(c);
            else ap_intake_taken(&c->rings[r]);
            break;
        }
        if (crowd && r == c->shared && ap_queue_head_rest(c)) continue;
        empty |= UINT64_C(1) << r;
        active &= ~(UINT64_C(1) << r);
    }
    /* Of many clients that ask seldom each leaves a bit, and every look would go through all their rings. One or two are not worth
     * the fence: they are about to send again. */
    if (__builtin_expect(empty != 0, 0)) empties(c, empty);
    return ref;
}

static __attribute__((noinline)) uint64_t pop_crowded(struct ap_consumer *c, uint64_t active)
{
    if ((ap_crowd_ranks(c) & ~AP_RANK_BIT(AP_RANK_NORMAL)) != 0) return ap_queue_pop_ranks(c, AP_RANKS_ALL, 0, NULL, NULL);
    return pop_in_turn(c, active, true);
}

uint64_t ap_queue_pop(struct ap_consumer *c)
{
    /* Bits beyond the rings are nobody's: who corrupts the summary is not to lead out of the table. */
    uint64_t active = ap_load_acquire(&c->queue->summary) & c->all;

    return __builtin_expect(active > c->inlets, 0) ? pop_crowded(c, active) : pop_in_turn(c, active, false);
}

uint64_t ap_queue_peek(const struct ap_segment *seg, uint32_t queue, uint64_t *cursor)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint32_t ring = (uint32_t)(*cursor >> 32), step = (uint32_t)*cursor;

    for (; q != NULL && ring <= seg->geometry.queue_inlets; ring++, step = 0) {
        struct ap_ring *at = ap_ring_at(seg, queue, ring);

        if ((ap_load_relaxed(&q->summary) >> ring & 1) == 0) continue;
        for (; step < seg->geometry.queue_depth; step++) {
            uint64_t position = ap_load_relaxed(&at->head) + step, cell = ap_load_acquire(ap_cell_at(seg, at, position));

            if (cell >> AP_LAP_SHIFT != ap_lap_at(seg, position)) break; /* QUEUE-A1 pairs QUEUE-R1 */
            *cursor = (uint64_t)ring << 32 | (step + 1);
            if ((cell & REF_MASK) != 0) return cell & REF_MASK;
        }
    }
    return 0;
}

/* A former consumer that was still in a pop when this one began has moved the head past ours. Producers fill by it, so the cell at
 * ours may be of the next lap already: then nothing in this ring would ever be new to us. QUEUE-A2 pairs QUEUE-R2 */
static void head_adopt(struct ap_intake *in)
{
    uint64_t head = ap_load_acquire(&in->ring->head);

    if ((int64_t)(head - in->head) > 0) in->head = head;
    /* Or it has moved it back behind ours: then a full ring would seem full for ever. */
    else if (head != in->head) ap_store_release(&in->ring->head, in->head); /* QUEUE-R2 pairs QUEUE-A2 */
}

int ap_queue_settle(struct ap_consumer *c)
{
    uint64_t set = ap_load_acquire(&c->queue->summary);
    int found = 0;

    if (set != 0) ap_and_acq_rel(&c->queue->summary, ~set);
    ap_fence_full(); /* QUEUE-F2 pairs QUEUE-F1 */
    for (uint32_t r = 0; r < c->count; r++) {
        head_adopt(&c->rings[r]);
        if (r == c->shared) ap_queue_head_rest(c);
        if (ap_intake_look(c, &c->rings[r]) == 0) continue;
        ap_or_acq_rel(&c->queue->summary, UINT64_C(1) << r);
        found = 1;
    }
    return ap_probe_waits(c) || found != 0;
}

void ap_queue_publish(struct ap_consumer *c, uint32_t running)
{
    ap_store_relaxed(&c->queue->depth, ap_queue_depth(c->seg, c->index));
    ap_queue_running(c, running);
}

void ap_queue_tell(struct ap_consumer *c, const struct ap_queue_tally *tally)
{
    struct ap_queue *q = c->queue;

    ap_store_relaxed(&q->started, tally->started);
    ap_store_relaxed(&q->done, tally->done);
    ap_store_relaxed(&q->failed, tally->failed);
    ap_store_relaxed(&q->late, tally->late);
    ap_store_relaxed(&q->retried, tally->retried);
    ap_store_relaxed(&q->run_time, tally->run_time);
    ap_store_relaxed(&q->told, tally->now);
}

uint64_t ap_queue_settle_started(struct ap_consumer *c)
{
    const struct ap_times *t = ap_times_at(c->seg, c->index);
    uint64_t count = 0, started = ap_load_relaxed(&c->queue->started);

    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) count += ap_load_relaxed(&t->waited[i]);
    if (count > started) ap_store_relaxed(&c->queue->started, count);
    return count > started ? count : started;
}

/* ---- failures held against it ----------------------------------------------------------------------------------- */

void ap_queue_charge(struct ap_consumer *c, uint64_t charge, uint64_t now)
{
    ap_store_relaxed(&c->queue->charge, charge < AP_CHARGE_MAX ? charge : AP_CHARGE_MAX);
    ap_store_relaxed(&c->queue->charged, now);
}

void ap_queue_eject(struct ap_consumer *c, uint64_t until, uint32_t ejections)
{
    ap_store_relaxed(&c->queue->probe, 0);
    if (ejections > 0) ap_store_relaxed(&c->queue->ejections, ejections);
    if (ejections > 0) ap_own_add(&ap_times_at(c->seg, c->index)->ejected, 1);
    ap_store_release(&c->queue->until, until); /* QUEUE-R6 pairs QUEUE-A6, LOOK-A1 */
    if (ejections == 0) ap_store_relaxed(&c->queue->ejections, 0);
}

bool ap_queue_probe(struct ap_queue *q, uint64_t now)
{
    uint64_t seen = ap_load_relaxed(&q->probe);

    /* Another processor's clock may be ahead. */
    if (seen != 0 && (seen > now || now - seen < AP_PROBE_PATIENCE)) return false;
    return ap_cas(&q->probe, &seen, now);
}

void ap_queue_pace(struct ap_consumer *c, uint64_t each)
{
    uint64_t depth = ap_load_relaxed(&c->queue->depth), pace = each < AP_PACE_MAX ? each : AP_PACE_MAX;

    if (pace * depth < AP_PACE_LEAST) pace = 0;
    if (pace != ap_load_relaxed(&c->queue->pace)) ap_store_relaxed(&c->queue->pace, pace);
}

void ap_queue_margin(struct ap_consumer *c, uint32_t percent)
{
    percent = percent < AP_MARGIN_LEAST ? AP_MARGIN_LEAST : percent < AP_MARGIN_MOST ? percent : AP_MARGIN_MOST;
    if (percent != ap_queue_margin_of(c->queue)) ap_store_relaxed(&c->queue->margin, percent);
}

uint32_t ap_queue_depth(const struct ap_segment *seg, uint32_t queue)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    const struct ap_ring *first = ap_ring_at(seg, queue, 0), *last = ap_ring_at(seg, queue, seg->geometry.queue_inlets);

    /* One is missing where the segment was salvaged. */
    if (q == NULL || first == NULL || last == NULL) return 0;
    return ap_queue_depth_at(seg, q, first);
}

/* ---- counts --------------------------------------------------------------------------------------------------- */

uint64_t ap_queue_rounds(const struct ap_segment *seg, uint32_t queue)
{
    const struct ap_ring *ring = ap_ring_at(seg, queue, seg->geometry.queue_inlets);

    return ring != NULL ? ap_load_relaxed(&ring->rounds) : 0;
}

void ap_queue_count_ended(const struct ap_segment *seg, uint32_t queue, uint32_t state, bool crashed)
{
    struct ap_queue *q = ap_queue_at(seg, queue);

    if (q == NULL) return;
    ap_add_relaxed(crashed ? &q->crashed : state == AP_TASK_CANCELLED ? &q->cancelled : &q->expired, 1);
}

int ap_queue_end_task(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t state, int code)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    bool coalesced = slot != NULL && ap_coalesced(slot, seen); /* afterwards the slot may be another task's */
    struct ap_finished record;
    bool told = ap_finished_copy(seg, index, seen, &record);

    if (!ap_task_cancel_queued(seg, index, seen, state, code)) return 0;
    if (told)
        ap_finished_enter(seg, &record, state == AP_TASK_CANCELLED ? AP_FINISH_CANCELLED : AP_FINISH_FAILED, code,
                          seg->ops->now(), true);
    if (AP_WORD_STATE(seen) == AP_TASK_QUEUED) ap_queue_count_ended(seg, AP_WORD_OWNER(seen), state, false);
    if (coalesced) ap_follow_ended(seg);
    return 1;
}

void ap_queue_counts(const struct ap_queue *q, struct ap_queue_counts *ret)
{
    ret->late = ap_load_relaxed(&q->late);
    ret->done = ap_load_relaxed(&q->done);
    ret->failed = ap_load_relaxed(&q->failed) + ret->late + ap_load_relaxed(&q->crashed) + ap_load_relaxed(&q->expired);
    ret->cancelled = ap_load_relaxed(&q->cancelled);
    ret->started = ap_load_relaxed(&q->started);
}

bool ap_queue_any_of(const struct ap_segment *seg, uint32_t lane)
{
    for (uint32_t q = 0; q < seg->geometry.queues; q++) {
        uint64_t life = ap_load_acquire(&ap_queue_at(seg, q)->life); /* QUEUE-A4 pairs QUEUE-R4 */

        if (AP_QUEUE_LANE(life) == lane && AP_QUEUE_STATE(life) == AP_QUEUE_OPEN) return true;
    }
    return false;
}
