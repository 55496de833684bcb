/* shm/check_queue.c - the checkers of queues and rings. See check.h for the rules. */
#include "shm/part.h"
#include "shm/queue.h"

#define LONG(n) ((unsigned long long)(n))

/* ---- queues --------------------------------------------------------------------------------------------------- */

static void queue_life(struct ap_look *look, const struct ap_queue *q)
{
    uint64_t life = ap_look_64(look, &q->life), epoch = AP_QUEUE_EPOCH(life), lane_life = 0;
    uint32_t state = AP_QUEUE_STATE(life), lane = AP_QUEUE_LANE(life);
    bool owned = state == AP_QUEUE_CLAIMED || state == AP_QUEUE_OPEN;

    if (state > AP_QUEUE_CLOSED) {
        ap_look_found(look, AP_CORRUPT, &q->life, life, "Q2", "state %u", state);
        return;
    }
    if ((state == AP_QUEUE_FREE && epoch != 0) || ((state == AP_QUEUE_OPEN || state == AP_QUEUE_CLOSED) && epoch == 0))
        ap_look_found(look, AP_CORRUPT, &q->life, life, "Q2", "state %u at epoch %llu", state, LONG(epoch));
    if (!owned) {
        if (lane != 0) ap_look_found(look, AP_CORRUPT, &q->life, life, "Q2", "lane %u in state %u", lane, state);
        return;
    }
    switch (ap_look_owner(look, lane, &lane_life)) {
    case AP_OWNER_ABSENT: ap_look_found(look, AP_CORRUPT, &q->life, life, "Q2", "lane %u is out of range", lane); break;
    case AP_OWNER_FREE:
        ap_look_found(look, AP_CORRUPT, &q->life, life ^ lane_life, "Q9", "its consumer, lane %u, is FREE", lane);
        break;
    case AP_OWNER_DEAD:
        ap_look_found(look, AP_REPAIRABLE, &q->life, life, "Q9", "its consumer, lane %u, is dead", lane);
        break;
    case AP_OWNER_LIVE: break;
    }
}

/* Its consumer stores what has started first, and what has ended is read first here. */
static void queue_counts(struct ap_look *look, const struct ap_queue *q)
{
    uint64_t done = ap_look_64(look, &q->done), failed = ap_look_64(look, &q->failed), late = ap_look_64(look, &q->late);
    uint64_t started = ap_look_64(look, &q->started), evidence = done * 3 ^ failed * 5 ^ late * 7 ^ started;

    const uint64_t *most = done > started ? &q->done : failed > started - done ? &q->failed : &q->late;

    if (most != &q->late || late > started - done - failed)
        ap_look_found(look, AP_CORRUPT, most, evidence, "Q7", "%llu started; %llu done, %llu failed, %llu late",
                      LONG(started), LONG(done), LONG(failed), LONG(late));
}

/* The words by which its consumer tells how it stands. */
static void queue_standing(struct ap_look *look, const struct ap_queue *q)
{
    uint64_t until = ap_look_64(look, &q->until), charge = ap_look_64(look, &q->charge), now = ap_look_now(look);
    uint64_t pace = ap_look_64(look, &q->pace);
    uint32_t ejections = ap_look_32(look, &q->ejections), margin = ap_look_32(look, &q->margin);

    ap_look_64(look, &q->probe);
    ap_look_64(look, &q->charged);
    if (until != 0 && (ejections == 0 || (until > now && until - now > AP_EJECTED_MAX)))
        ap_look_found(look, AP_CORRUPT, &q->until, until ^ ejections, "Q10", "ejected until %llu, %u times", LONG(until),
                      ejections);
    if (pace > AP_PACE_MAX) ap_look_found(look, AP_CORRUPT, &q->pace, pace, "Q11", "a pace of %llu ns", LONG(pace));
    if (margin != 0 && (margin < AP_MARGIN_LEAST || margin > AP_MARGIN_MOST))
        ap_look_found(look, AP_CORRUPT, &q->margin, margin, "Q11", "a margin of %u %%", margin);
    if (charge > AP_CHARGE_MAX) ap_look_found(look, AP_CORRUPT, &q->charge, charge, "Q10", "a charge of %llu ns", LONG(charge));
}

/* Any reference may be left of a probe that waits no more, if it ever was one. */
static void queue_probes(struct ap_look *look, const struct ap_queue *q)
{
    uint64_t probed = ap_look_64(look, &q->probed);

    if (probed > 1) ap_look_found(look, AP_CORRUPT, &q->probed, probed, "Q12", "probed %016llx", LONG(probed));
    for (uint32_t i = 0; i < AP_PROBES; i++) {
        uint64_t ref = ap_look_64(look, &q->probes[i]);

        if (ref == 0 || (ref >> AP_LAP_SHIFT == 0 && AP_REF_GENERATION(ref) != 0 &&
                         ap_slot_at(look->seg, AP_REF_SLOT(ref)) != NULL))
            continue;
        ap_look_found(look, AP_CORRUPT, &q->probes[i], ref, "Q12", "probe %016llx names no task", LONG(ref));
    }
}

static void look_queue(struct ap_look *look)
{
    const struct ap_queue *q = ap_queue_at(look->seg, look->index);
    const struct ap_geometry *g = &look->seg->geometry;
    uint32_t rings = g->queue_inlets + 1, depth = ap_look_32(look, &q->depth), running = ap_look_32(look, &q->running);
    uint64_t summary = ap_look_64(look, &q->summary);

    queue_life(look, q);
    queue_counts(look, q);
    queue_standing(look, q);
    if (rings < 64 && summary >> rings != 0)
        ap_look_found(look, AP_CORRUPT, &q->summary, summary, "Q6", "summary %016llx; there are %u rings", LONG(summary),
                      rings);
    if (depth > (uint64_t)rings * g->queue_depth)
        ap_look_found(look, AP_CORRUPT, &q->depth, depth, "Q7", "depth %u; its rings hold %llu", depth,
                      LONG(rings) * g->queue_depth);
    if (running > g->tasks)
        ap_look_found(look, AP_CORRUPT, &q->running, running, "Q7", "%u running of %u tasks", running, g->tasks);
    if (ap_look_64(look, &q->ranked) > 1)
        ap_look_found(look, AP_CORRUPT, &q->ranked, ap_look_64(look, &q->ranked), "Q13", "ranked %016llx",
                      LONG(ap_look_64(look, &q->ranked)));
    queue_probes(look, q);
}

/* ---- rings ---------------------------------------------------------------------------------------------------- */

static void ring_lease(struct ap_look *look, const struct ap_ring *ring)
{
    uint64_t lease = ap_look_64(look, &ring->lease), life = 0;
    uint32_t inlets = look->seg->geometry.queue_inlets, lane = (uint32_t)(lease & 0xffff) - 1;

    if (lease == 0) return;
    if (look->index % (inlets + 1) == inlets) {
        ap_look_found(look, AP_CORRUPT, &ring->lease, lease, "Q3", "the shared ring has the lease %016llx", LONG(lease));
        return;
    }
    switch (ap_look_owner(look, lane, &life)) {
    case AP_OWNER_ABSENT:
        ap_look_found(look, AP_CORRUPT, &ring->lease, lease, "Q3", "leased to lane %u, out of range", lane);
        break;
    case AP_OWNER_FREE:
        ap_look_found(look, AP_CORRUPT, &ring->lease, lease ^ life, "Q3", "leased to lane %u, which is FREE", lane);
        break;
    case AP_OWNER_DEAD:
        ap_look_found(look, AP_REPAIRABLE, &ring->lease, lease, "Q3", "leased to lane %u, which is dead", lane);
        break;
    case AP_OWNER_LIVE:
        if (lease >> 16 != (AP_LIFE_EPOCH(life) & ((UINT64_C(1) << 48) - 1)))
            ap_look_found(look, AP_CORRUPT, &ring->lease, lease ^ life, "Q3", "leased to lane %u at epoch %llu; it is at %llu",
                          lane, LONG(lease >> 16), LONG(AP_LIFE_EPOCH(life)));
        break;
    }
}

/* Each consumer has taken each reference once at the most. */
static void ring_rounds(struct ap_look *look, const struct ap_ring *ring)
{
    uint32_t rings = look->seg->geometry.queue_inlets + 1;
    const struct ap_queue *q = ap_queue_at(look->seg, look->index / rings);
    uint64_t rounds = ap_look_64(look, &ring->rounds), tail = ap_look_64(look, &ring->tail), epoch;

    if (look->index % rings != rings - 1) {
        if (rounds != 0) ap_look_found(look, AP_CORRUPT, &ring->rounds, rounds, "Q14", "%llu rounds of an inlet", LONG(rounds));
        return;
    }
    if (q == NULL) return;
    epoch = AP_QUEUE_EPOCH(ap_look_64(look, &q->life));
    if (rounds / (epoch > 0 ? epoch : 1) > tail + 1)
        ap_look_found(look, AP_CORRUPT, &ring->rounds, rounds ^ tail * 3, "Q14", "%llu rounds of %llu references, epoch %llu",
                      LONG(rounds), LONG(tail), LONG(epoch));
}

/* Positions from the published head on: which cells are of the current lap. */
struct cells {
    const struct ap_ring *ring;
    uint64_t head, tail;
    uint32_t depth, shift;
    bool shared; /* it can have holes */
};

enum lap { LAP_NEW, LAP_OLD, LAP_WRONG };

static enum lap cell_lap(const struct cells *c, uint32_t k, uint64_t cell)
{
    uint64_t position = c->head + k, lap = ((position >> c->shift) + 1) & 15;

    if (cell >> 60 == lap) return LAP_NEW;
    if (position < c->depth) return cell == 0 ? LAP_OLD : LAP_WRONG;
    return cell >> 60 == ((lap - 1) & 15) ? LAP_OLD : LAP_WRONG;
}

static const uint64_t *cell_of(const struct cells *c, uint32_t k)
{
    return &c->ring->cells[(c->head + k) & (c->depth - 1)];
}

static void cell_reference(struct ap_look *look, const struct cells *c, const uint64_t *at, uint64_t cell)
{
    const struct ap_slot *slot = ap_slot_at(look->seg, AP_REF_SLOT(cell));
    const struct ap_slab *slab = ap_slab_at(look->seg, AP_REF_SLOT(cell) / AP_SLAB_SLOTS);
    uint64_t now;

    if (cell == 0 || (c->shared && cell << 4 == 0)) return;
    if (slot == NULL || slab == NULL || AP_REF_GENERATION(cell) == 0) {
        ap_look_found(look, AP_CORRUPT, at, cell, "Q5", "reference %016llx names no task", LONG(cell));
        return;
    }
    now = AP_WORD_GENERATION(ap_look_64(look, &slot->word));
    /* A slab under a later epoch has begun to count anew. */
    if (AP_REF_GENERATION(cell) > now && AP_LEASE_EPOCH(ap_look_64(look, &slab->lease)) <= 1)
        ap_look_found(look, AP_CORRUPT, at, cell ^ now, "Q5", "reference to slot %u at generation %llu; it is at %llu",
                      AP_REF_SLOT(cell), LONG(AP_REF_GENERATION(cell)), LONG(now));
}

/* From the far end, since producers fill from the near one: behind a new cell nothing older can turn up. Returns the end of
 * the new cells, or sets *torn. */
static uint32_t cells_scan(struct ap_look *look, const struct cells *c, bool *torn)
{
    uint32_t end = 0;

    *torn = false;
    for (uint32_t k = c->depth; k-- > 0;) {
        uint64_t cell = ap_look_64(look, cell_of(c, k));

        cell_reference(look, c, cell_of(c, k), cell);
        switch (cell_lap(c, k, cell)) {
        case LAP_NEW:
            if (end == 0) end = k + 1;
            break;
        case LAP_OLD:
            if (end != 0) *torn = true;
            break;
        case LAP_WRONG: *torn = true; break;
        }
    }
    return end;
}

/* Where the cells contradict each other, tail says which are to be new: all below it, none above, and the one at it may be. */
static void cells_blame(struct ap_look *look, const struct cells *c)
{
    for (uint32_t k = c->depth; k-- > 0;) {
        uint64_t cell = ap_look_64(look, cell_of(c, k)), position = c->head + k;
        enum lap lap = cell_lap(c, k, cell);
        bool below = (int64_t)(position - c->tail) < 0;

        if (lap == LAP_WRONG || (lap == LAP_OLD && below) || (lap == LAP_NEW && !below && position != c->tail))
            ap_look_found(look, AP_CORRUPT, cell_of(c, k), cell, "Q4", "the cell of position %llu has lap %llu (head %llu, tail "
                          "%llu)", LONG(position), LONG(cell >> 60), LONG(c->head), LONG(c->tail));
    }
}

static void look_ring(struct ap_look *look)
{
    const struct ap_geometry *g = &look->seg->geometry;
    const struct ap_ring *ring = ap_at(look->seg, AP_SECTION_RINGS, look->index);
    struct cells c = {.ring = ring, .depth = g->queue_depth, .shift = (uint32_t)__builtin_ctz(g->queue_depth),
                      .shared = look->index % (g->queue_inlets + 1) == g->queue_inlets};
    uint64_t evidence, stride = look->seg->sections[AP_SECTION_RINGS].stride, used = sizeof *ring + 8ull * c.depth;
    const uint8_t *base = (const uint8_t *)ring;
    uint32_t end;
    bool torn;

    ring_lease(look, ring);
    ring_rounds(look, ring);
    c.head = ap_look_64(look, &ring->head);
    c.tail = ap_look_64(look, &ring->tail);
    evidence = c.head * 3 + c.tail * 5;
    ap_look_zero(look, ring->reserved0, sizeof ring->reserved0, "Q8", "reserved0");
    ap_look_zero(look, base + offsetof(struct ap_ring, rounds) + sizeof ring->rounds,
                 offsetof(struct ap_ring, cells) - offsetof(struct ap_ring, rounds) - sizeof ring->rounds, "Q8",
                 "behind the rounds");
    if (stride > used) ap_look_zero(look, base + used, stride - used, "Q8", "behind the cells");
    /* The tail is stored behind its cell: the consumer may be one ahead of it, for good when the producer died. */
    if ((int64_t)(c.tail - c.head) < -1 || (int64_t)(c.tail - c.head) > (int64_t)c.depth) {
        ap_look_found(look, AP_CORRUPT, &ring->tail, evidence, "Q1", "tail %llu, head %llu, depth %u", LONG(c.tail),
                      LONG(c.head), c.depth);
        ap_look_found(look, AP_CORRUPT, &ring->head, evidence, "Q1", "head %llu, tail %llu, depth %u", LONG(c.head),
                      LONG(c.tail), c.depth);
        return;
    }
    end = cells_scan(look, &c, &torn);
    if (torn) {
        cells_blame(look, &c);
        return;
    }
    if (c.head + end - c.tail > 1) {
        ap_look_found(look, AP_CORRUPT, &ring->tail, evidence ^ end, "Q1", "tail %llu, but the cells end at %llu",
                      LONG(c.tail), LONG(c.head + end));
        cells_blame(look, &c);
    }
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static const struct ap_field queue_fields[] = {
    AP_FIELD(ap_queue, life), AP_FIELD(ap_queue, summary), AP_FIELD(ap_queue, depth), AP_FIELD(ap_queue, running),
    AP_FIELD(ap_queue, crashed), AP_FIELD(ap_queue, expired), AP_FIELD(ap_queue, cancelled), AP_FIELD(ap_queue, started),
    AP_FIELD(ap_queue, done), AP_FIELD(ap_queue, failed), AP_FIELD(ap_queue, late), AP_FIELD(ap_queue, run_time),
    AP_FIELD(ap_queue, retried),
    AP_FIELD(ap_queue, told), AP_FIELD(ap_queue, until), AP_FIELD(ap_queue, probe), AP_FIELD(ap_queue, charge),
    AP_FIELD(ap_queue, charged), AP_FIELD(ap_queue, ejections), AP_FIELD(ap_queue, pace), AP_FIELD(ap_queue, refused),
    AP_FIELD(ap_queue, taken), AP_FIELD(ap_queue, margin), AP_FIELD(ap_queue, ranked),
    AP_FIELD(ap_queue, probed), AP_FIELD(ap_queue, answered), AP_FIELD(ap_queue, probes),
    {NULL, 0, 0},
};
static const struct ap_number queue_numbers[] = {
    {.key = "queues", .what = "agents of all swarms", .at = AP_NUMBER_AT(queues), .otherwise = 128, .min = 1, .max = AP_QUEUES_MAX,
     .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_queues = {
    .name = "queues", .element = "queue", .size = sizeof(struct ap_queue), .fields = queue_fields,
    .numbers = queue_numbers, .look = look_queue,
    .withdraw = ap_queues_withdraw, .settle = ap_part_nothing,
};

static uint64_t ring_stride(uint64_t depth)
{
    return (sizeof(struct ap_ring) + 8 * depth + AP_LINE - 1) / AP_LINE * AP_LINE;
}

static uint64_t rings_stride(const struct ap_geometry *g)
{
    return ring_stride(g->queue_depth);
}

/* Of each queue: the inlets, then the shared one. */
static uint64_t rings_count(const struct ap_geometry *g)
{
    return (uint64_t)g->queues * (g->queue_inlets + 1);
}

/* A ring of few cells is padded to a whole line. */
static uint64_t depth_told(const struct ap_section *table, uint64_t value)
{
    uint64_t stride = table[AP_SECTION_RINGS].stride;

    return stride == ring_stride(value) ? value : (stride - sizeof(struct ap_ring)) / 8;
}

static uint64_t inlets_told(const struct ap_section *table, uint64_t value)
{
    uint64_t queues = table[AP_SECTION_QUEUES].count;

    (void)value;
    return queues != 0 ? table[AP_SECTION_RINGS].count / queues - 1 : 0;
}

static const struct ap_field ring_fields[] = {
    AP_FIELD(ap_ring, lease), AP_FIELD(ap_ring, tail), AP_FIELD(ap_ring, head), AP_FIELD(ap_ring, rounds),
    AP_FIELD(ap_ring, cells[0]), {NULL, 0, 0},
};
static const struct ap_number ring_numbers[] = {
    {.key = "queue_depth", .what = "tasks that one caller can have queued at one agent", .at = AP_NUMBER_AT(queue_depth),
     .otherwise = 256, .min = 2, .max = 65536, .power = true, .told = depth_told},
    {.key = "queue_inlets", .what = "callers per agent that have a ring of their own there", .at = AP_NUMBER_AT(queue_inlets),
     .otherwise = 15, .min = 1, .max = AP_INLETS_MAX, .told = inlets_told},
    {.key = NULL},
};
const struct ap_part ap_part_rings = {
    .name = "rings", .element = "ring", .stride = rings_stride, .count = rings_count, .fields = ring_fields,
    .numbers = ring_numbers, .look = look_ring,
    .withdraw = ap_part_nothing, .settle = ap_queue_reap_leases,
};
