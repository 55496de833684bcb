/* shm/crowd.c - turns and places in a shared ring. See crowd.h. */
#include "shm/crowd.h"

#include <string.h>

#include "shm/queue.h"

#define REF_MASK ((UINT64_C(1) << AP_LAP_SHIFT) - 1)
#define PLACE(position) ((uint32_t)((position) % AP_CROWD_WINDOW))
#define LEAST_HOLES 16u /* one place in so many, before it pays to give them back */

_Static_assert(AP_CROWD_WINDOW < UINT16_MAX, "a place + 1 fits a word of the lists");

/* The lane whose task it is, modulo what is told apart; of no task: some lane. */
static uint32_t crowd_whose(const struct ap_segment *seg, uint64_t ref)
{
    const struct ap_slab *slab = ap_slab_at(seg, AP_REF_SLOT(ref) / AP_SLAB_SLOTS);

    return slab != NULL ? AP_LEASE_LANE(ap_load_relaxed(&slab->lease)) % AP_CROWD_LANES : 0;
}

static enum ap_rank crowd_rank(const struct ap_segment *seg, uint64_t ref)
{
    const struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(ref));

    return slot != NULL ? ap_slot_rank(slot, AP_REF_GENERATION(ref)) : AP_RANK_NORMAL;
}

/* Whether the cell at a position is filled, with what: a reference, or 0, a hole. */
static bool crowd_look(const struct ap_segment *seg, struct ap_ring *ring, uint64_t position, uint64_t *ret)
{
    uint64_t cell = ap_load_acquire(ap_cell_at(seg, ring, position)); /* QUEUE-A1 pairs QUEUE-R1 */

    *ret = cell & REF_MASK;
    return cell >> AP_LAP_SHIFT == ap_lap_at(seg, position);
}

uint64_t ap_crowd_head(const struct ap_segment *seg, struct ap_ring *ring, uint64_t head)
{
    uint64_t ref;

    for (uint32_t n = 0; n < seg->geometry.queue_depth && crowd_look(seg, ring, head, &ref) && ref == 0; n++) head++;
    return head;
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

/* Somebody else has moved the head: what was known of the ring is of no use. */
static void crowd_anew(struct ap_crowd *k, uint64_t head)
{
    memset(k, 0, sizeof *k);
    k->head = k->seen = head;
}

static bool crowd_served(const struct ap_crowd *k, uint32_t place)
{
    return (k->served[place / 64] >> place % 64 & 1) != 0;
}

/* A place comes last in a list of its rank. */
static void crowd_append(struct ap_crowd *k, enum ap_rank rank, uint32_t list, uint32_t place)
{
    struct ap_crowd_turns *t = &k->of[rank];

    k->next[place] = 0;
    if (t->first[list] == 0) t->first[list] = (uint16_t)(place + 1);
    else k->next[t->last[list] - 1] = (uint16_t)(place + 1);
    t->last[list] = (uint16_t)(place + 1);
    t->left++;
    k->rank[place] = (uint8_t)rank;
    k->served[place / 64] &= ~(UINT64_C(1) << place % 64);
}

/* Behind what the same lane has there of its rank; as far ahead as a round has a list. */
static void crowd_enter(struct ap_crowd *k, uint32_t whose, enum ap_rank rank, uint32_t place)
{
    struct ap_crowd_turns *t = &k->of[rank];
    uint64_t round = t->latest[whose] + 1 > t->round ? t->latest[whose] + 1 : t->round;

    if (round - t->round >= AP_CROWD_WINDOW) round = t->round + AP_CROWD_WINDOW - 1;
    t->latest[whose] = round;
    crowd_append(k, rank, PLACE(round), place);
}

/* Whether a position is among those that are looked at. */
static bool crowd_within(const struct ap_segment *seg, const struct ap_crowd *k, uint64_t position)
{
    return position - k->head < AP_CROWD_WINDOW && position - k->head < seg->geometry.queue_depth;
}

static void crowd_read_at(const struct ap_segment *seg, struct ap_crowd *k, uint64_t position, uint64_t ref)
{
    if (ref == 0) k->served[PLACE(position) / 64] |= UINT64_C(1) << PLACE(position) % 64; /* a former consumer's hole */
    else crowd_enter(k, crowd_whose(seg, ref), crowd_rank(seg, ref), PLACE(position));
}

static void crowd_read(const struct ap_segment *seg, struct ap_crowd *k, struct ap_ring *ring)
{
    uint64_t ref;

    for (; crowd_within(seg, k, k->seen) && crowd_look(seg, ring, k->seen, &ref); k->seen++) crowd_read_at(seg, k, k->seen, ref);
}

/* Over all that is served before. */
static void crowd_advance(struct ap_crowd *k)
{
    while (k->head != k->seen && crowd_served(k, PLACE(k->head))) k->head++;
}

/* The first round, from the one under way on, that has any; it is under way then. */
static void crowd_round(struct ap_crowd_turns *t)
{
    while (t->first[PLACE(t->round)] == 0) t->round++;
}

static uint64_t crowd_position(const struct ap_crowd *k, uint32_t place)
{
    return k->head + PLACE(place - PLACE(k->head) + AP_CROWD_WINDOW);
}

static void crowd_update(struct ap_consumer *c)
{
    const struct ap_intake *in = &c->rings[c->shared];
    struct ap_crowd *k = &c->crowd;

    if (k->head != in->head) crowd_anew(k, in->head);
    crowd_read(c->seg, k, in->ring);
    crowd_advance(k);
}

/* The cell is not changed if the ring has moved on there. */
static void crowd_hole(const struct ap_segment *seg, struct ap_ring *ring, uint64_t position, uint64_t ref)
{
    uint64_t lap = ap_lap_at(seg, position) << AP_LAP_SHIFT, seen = lap | ref;

    ap_cas(ap_cell_at(seg, ring, position), &seen, lap);
}

/* Where a reference stands in the lists. */
struct crowd_at {
    uint64_t ref, round;
    enum ap_rank rank;
    uint32_t place;
    uint16_t before;    /* the one before it in its list, + 1; 0: it is the first */
    bool first_waits;   /* the first of the ring was asked before, and may not be started */
};

static void crowd_unlink(struct ap_crowd *k, const struct crowd_at *at)
{
    struct ap_crowd_turns *t = &k->of[at->rank];
    uint32_t list = PLACE(at->round);

    if (at->before == 0) t->first[list] = k->next[at->place];
    else k->next[at->before - 1] = k->next[at->place];
    if (t->last[list] == at->place + 1) t->last[list] = at->before;
    t->left--;
    k->served[at->place / 64] |= UINT64_C(1) << at->place % 64;
}

/* Whether something is still there. A former consumer that was stopped may make a hole late: then nothing is left at a place where
 * something was. */
static bool crowd_there(const struct ap_consumer *c, const struct crowd_at *at, uint64_t *ret)
{
    return crowd_look(c->seg, c->rings[c->shared].ring, crowd_position(&c->crowd, at->place), ret) && *ret != 0;
}

/* The first of the rank that may be, in the order of the rounds. */
static bool crowd_find(struct ap_consumer *c, enum ap_rank rank, ap_may_fn may, void *user, struct crowd_at *ret)
{
    struct ap_crowd *k = &c->crowd;
    struct ap_crowd_turns *t = &k->of[rank];

    ret->rank = rank;
    ret->first_waits = false;
    crowd_update(c);
    if (t->left == 0) return false;
    crowd_round(t);
    for (ret->round = t->round; t->left > 0 && ret->round - t->round < AP_CROWD_WINDOW; ret->round++) {
        uint16_t at = t->first[PLACE(ret->round)], next;

        for (ret->before = 0; at != 0; at = next) {
            ret->place = at - 1u;
            next = k->next[ret->place];
            if (!crowd_there(c, ret, &ret->ref)) {
                crowd_unlink(k, ret);
                continue;
            }
            if (may == NULL || may(user, ret->ref)) return true;
            if (crowd_position(k, ret->place) == k->head) ret->first_waits = true;
            ret->before = at;
        }
    }
    return false;
}

#define GONE UINT16_MAX

/* The references that go to the ring's end, in its order; and where each place is to be looked for then, or GONE. */
struct crowd_moved {
    uint64_t ref[AP_CROWD_WINDOW];
    uint16_t from[AP_CROWD_WINDOW], to[AP_CROWD_WINDOW];
    uint32_t count;
};

/* The lists name the places where all is now. */
static void crowd_relink(struct ap_crowd *k, const struct crowd_moved *m)
{
    uint16_t next[AP_CROWD_WINDOW];

    memcpy(next, k->next, sizeof next);
    for (uint32_t rank = 0; rank < AP_RANKS; rank++) {
        struct ap_crowd_turns *t = &k->of[rank];

        t->left = 0;
        for (uint32_t list = 0; list < AP_CROWD_WINDOW; list++) {
            uint16_t at = t->first[list];

            for (t->first[list] = 0; at != 0; at = next[at - 1])
                if (m->to[at - 1] != GONE) crowd_append(k, (enum ap_rank)rank, list, m->to[at - 1]);
        }
    }
}

/* The head is to be at `head`: what was moved keeps its turns, and what others have pushed meanwhile, between it, comes behind. */
static void crowd_again(const struct ap_segment *seg, struct ap_crowd *k, struct ap_ring *ring, uint64_t head,
                        struct crowd_moved *m)
{
    uint64_t known[AP_CROWD_WINDOW / 64] = {0}, old = k->seen, end = old, ref;
    uint32_t n = 0;

    for (uint32_t place = 0; place < AP_CROWD_WINDOW; place++) m->to[place] = (uint16_t)place;
    for (uint64_t position = k->head; position != head; position++) m->to[PLACE(position)] = GONE;
    k->head = head;
    for (uint64_t at = old; n < m->count && crowd_within(seg, k, at) && crowd_look(seg, ring, at, &ref); at++) {
        if (ref != m->ref[n]) continue;
        m->to[m->from[n++]] = (uint16_t)PLACE(at);
        known[PLACE(at) / 64] |= UINT64_C(1) << PLACE(at) % 64;
        end = at + 1;
    }
    crowd_relink(k, m);
    for (; k->seen != end; k->seen++)
        if ((known[PLACE(k->seen) / 64] >> PLACE(k->seen) % 64 & 1) == 0 && crowd_look(seg, ring, k->seen, &ref))
            crowd_read_at(seg, k, k->seen, ref);
}

/* How much of what was looked at is to be moved: all, or the first one; 0: nothing is. */
static uint64_t crowd_moves(const struct ap_consumer *c)
{
    const uint64_t depth = c->seg->geometry.queue_depth;
    const struct ap_crowd *k = &c->crowd;
    uint64_t span = k->seen - k->head, left = 0, behind;

    for (uint32_t rank = 0; rank < AP_RANKS; rank++) left += k->of[rank].left;
    if (span < (depth < AP_CROWD_WINDOW ? depth : AP_CROWD_WINDOW) / 2) return 0;
    if (left == span || span - left < span / LEAST_HOLES) return 0;
    behind = ap_load_relaxed(&c->rings[c->shared].ring->tail) - k->seen;
    if ((int64_t)behind < 0) behind = 0; /* a tail that its producer has not moved yet */
    if (behind + left > AP_CROWD_WINDOW) return 1; /* some of it would lie where nothing is looked at */
    return span + behind + left <= depth ? span : 0;
}

/* The references that are passed over at the front go to the ring's end, and all behind them, in their order, once half of what can
 * be looked at lies there: so the holes are given back. In the ring twice for a moment a task is still started once. */
static void crowd_to_the_end(struct ap_consumer *c)
{
    struct ap_ring *ring = c->rings[c->shared].ring;
    struct ap_crowd *k = &c->crowd;
    uint64_t head = k->head, end = head + crowd_moves(c), ref;
    struct crowd_moved moved;

    for (moved.count = 0; head != end; head++) {
        if (crowd_served(k, PLACE(head)) || !crowd_look(c->seg, ring, head, &ref) || ref == 0) continue;
        if (ap_ring_push_shared(c->seg, ring, ref) < 0) break;
        moved.ref[moved.count] = ref;
        moved.from[moved.count++] = (uint16_t)PLACE(head);
    }
    if (head != k->head) crowd_again(c->seg, k, ring, head, &moved);
}

/* The ring's head follows. */
static void crowd_head_to(struct ap_consumer *c)
{
    ap_intake_to(&c->rings[c->shared], c->crowd.head);
}

static uint64_t crowd_take(struct ap_consumer *c, const struct crowd_at *at)
{
    struct ap_crowd *k = &c->crowd;
    uint64_t position = crowd_position(k, at->place);
    bool passed = at->first_waits || k->rank[PLACE(k->head)] != at->rank; /* or one more urgent waits */

    if (position != k->head) crowd_hole(c->seg, c->rings[c->shared].ring, position, at->ref);
    crowd_unlink(k, at);
    crowd_advance(k);
    if (passed) crowd_to_the_end(c);
    crowd_head_to(c);
    return at->ref;
}

uint32_t ap_crowd_ranks(struct ap_consumer *c)
{
    uint32_t ranks = 0;

    crowd_update(c);
    crowd_head_to(c);
    for (uint32_t rank = 0; rank < AP_RANKS; rank++)
        if (c->crowd.of[rank].left > 0) ranks |= AP_RANK_BIT(rank);
    return ranks;
}

uint64_t ap_crowd_any(struct ap_consumer *c, enum ap_rank rank, ap_may_fn may, void *user)
{
    struct crowd_at at;
    bool any = crowd_find(c, rank, may, user, &at);

    crowd_head_to(c);
    return any ? at.ref : 0;
}

/* Behind the store by which something is taken: a consumer that is killed counts no round twice. */
static void crowd_count_round(const struct ap_consumer *c, struct ap_crowd_turns *t, uint64_t round)
{
    struct ap_ring *ring = c->rings[c->shared].ring;

    if (round <= t->counted) return;
    t->counted = round;
    ap_store_relaxed(&ring->rounds, ap_load_relaxed(&ring->rounds) + 1);
}

uint64_t ap_crowd_pop(struct ap_consumer *c, enum ap_rank rank, ap_may_fn may, void *user)
{
    struct ap_crowd_turns *t = &c->crowd.of[rank];
    struct crowd_at at;
    uint64_t ref;

    if (!crowd_find(c, rank, may, user, &at)) {
        crowd_head_to(c);
        return 0;
    }
    /* The round goes on behind it. Those of it that wait do not keep the other rings from their turns. */
    if (rank == AP_RANK_NORMAL && at.round == t->round && c->crowd.next[at.place] != 0) ap_consumer_turn(c, c->shared);
    ref = crowd_take(c, &at);
    crowd_count_round(c, t, at.round);
    return ref;
}

/* ---- the oldest -------------------------------------------------------------------------------------------------- */

/* When its task was queued; 0: it is no task's any more. */
static uint64_t crowd_queued(const struct ap_segment *seg, uint64_t ref)
{
    const struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(ref));

    if (slot == NULL || AP_WORD_GENERATION(ap_load_acquire(&slot->word)) != AP_REF_GENERATION(ref)) return 0;
    return ap_load_relaxed(&slot->queued);
}

struct crowd_oldest {
    const struct ap_segment *seg;
    uint64_t queued, ref; /* ref 0: none is as old as that */
};

/* Asks about all, and takes none. Of equals the first one counts: in the order of its lane it is. */
static bool crowd_older(void *user, uint64_t ref)
{
    struct crowd_oldest *o = user;
    uint64_t queued = crowd_queued(o->seg, ref);

    if (o->ref == 0 ? queued <= o->queued : queued < o->queued) {
        o->queued = queued;
        o->ref = ref;
    }
    return false;
}

static bool crowd_is(void *user, uint64_t ref)
{
    return ref == ((const struct crowd_oldest *)user)->ref;
}

uint64_t ap_crowd_pop_before(struct ap_consumer *c, enum ap_rank rank, uint64_t queued)
{
    struct crowd_oldest o = {.seg = c->seg, .queued = queued};
    struct crowd_at at;
    bool found;

    crowd_find(c, rank, crowd_older, &o, &at);
    found = o.ref != 0 && crowd_find(c, rank, crowd_is, &o, &at);
    at.first_waits = false;
    crowd_head_to(c);
    return found ? crowd_take(c, &at) : 0;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

bool ap_crowd_room(const struct ap_segment *seg, uint32_t queue, uint32_t lane, enum ap_rank rank, uint64_t used)
{
    uint64_t places = seg->geometry.queue_depth < AP_CROWD_WINDOW ? seg->geometry.queue_depth : AP_CROWD_WINDOW;
    uint16_t of[AP_CROWD_LANES];

    if (used >= places) return false;
    if (used < places - used) return true; /* all of them may be the lane's */
    ap_crowd_count(seg, queue, AP_RANK_BIT(rank), of);
    return of[(lane + 1) % AP_CROWD_LANES] < places - used;
}

void ap_crowd_count(const struct ap_segment *seg, uint32_t queue, uint32_t ranks, uint16_t ret[AP_CROWD_LANES])
{
    struct ap_ring *ring = ap_ring_at(seg, queue, seg->geometry.queue_inlets);
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t head, n;
    bool ranked;

    memset(ret, 0, AP_CROWD_LANES * sizeof *ret);
    if (ring == NULL || q == NULL) return;
    ranked = ap_load_relaxed(&q->ranked) != 0;
    head = ap_load_relaxed(&ring->head);
    n = ap_load_relaxed(&ring->tail) - head;
    if (n > seg->geometry.queue_depth) return;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t ref;

        if (!crowd_look(seg, ring, head + i, &ref) || ref == 0) continue;
        if ((ranks >> (ranked ? crowd_rank(seg, ref) : AP_RANK_NORMAL) & 1) != 0) ret[crowd_whose(seg, ref)]++;
    }
}
