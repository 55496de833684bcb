/* tests/crash/crowd.c - what a worker may take: of the shared ring of its queue, and of a capability that bounds it. */
#include "sweep.h"

#include "registry/routing/places.h"

/* In the shared ring, between references of another lane, whose tasks are long gone: it is served before the second of them. */
void image_crowd(void)
{
    ap_slab_at(survivor.seg, (TASKS - 1) / AP_SLAB_SLOTS)->lease = AP_LEASE(1, 0);
    ap_slot_at(survivor.seg, TASKS - 1)->word = AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, 9);
    image_held_inlets();
    for (uint64_t i = 1; i <= 2; i++) ap_queue_push_shared(survivor.seg, 1, AP_REF(TASKS - 1, i));
    image_task();
    ap_queue_push_shared(survivor.seg, 1, AP_REF(TASKS - 1, 3));
}

void before_crowd(bool over)
{
    const struct ap_ring *ring = ap_ring_at(survivor.seg, 1, survivor.seg->geometry.queue_inlets);

    if (over && (ring->head != ring->tail || AP_WORD_STATE(word_of(actor.slot)) != AP_TASK_DONE))
        fail("of the shared ring %u are left", (unsigned)(ring->tail - ring->head));
}

static uint32_t bounded_echo(void)
{
    int capability = ap_capability_find(survivor.seg, "echo", 4);

    if (capability < 0) exit(2);
    return (uint32_t)capability;
}

void image_bounded(void)
{
    struct ap_terms_conflicts told = {.count = 0};
    uint64_t said[AP_TERMS] = {[AP_TERM_concurrency] = 1 + 1};

    ap_terms_declare(survivor.seg, survivor.lane.index, 0, bounded_echo(), said, &told);
    image_task();
}

/* The place is nobody's: not the dead worker's, and not of one that has done what it had to. */
void after_bounded(bool over)
{
    const struct ap_places *row = ap_places_at(survivor.seg, bounded_echo());
    uint32_t place;

    after_task(over);
    for (uint32_t i = 0; i < AP_PLACES; i++)
        if (ap_load_relaxed(&row->holder[i]) != 0) fail("place %u is still taken", i);
    if (!ap_places_take(survivor.seg, bounded_echo(), &survivor.lane, &place) || place != 0) fail("the one place is not to be had");
    else ap_places_return(survivor.seg, bounded_echo(), &survivor.lane, place, 0);
}

/* ---- only what may be started ----------------------------------------------------------------------------------- */

static uint32_t waiting; /* the slot of a task that may not be */

static bool may_start(void *user, uint64_t ref)
{
    (void)user;
    return AP_REF_SLOT(ref) != waiting;
}

/* It is the first of the shared ring, and half of that lies behind it. */
void image_waiting(void)
{
    image_held_inlets();
    image_task();
    waiting = actor.slot;
    for (uint32_t i = 1; i < survivor.seg->geometry.queue_depth / 2; i++) image_task();
}

void run_pop_where(void)
{
    uint64_t ref = ap_queue_pop_where(&actor.consumer, may_start, NULL);

    if (ref == 0 || AP_REF_SLOT(ref) == waiting) abort();
    serve(&actor, 1, ref, false);
}

void before_waiting(bool over)
{
    uint64_t word = word_of(waiting), cursor = 0, ref;

    while ((ref = ap_queue_peek(survivor.seg, 1, &cursor)) != 0 && AP_REF_SLOT(ref) != waiting) {}
    if (over && ref == 0) fail("a task that may not be started is in the ring no more");
    if (AP_WORD_STATE(word) != AP_TASK_QUEUED)
        fail("a task that may not be started is %s", ap_task_state_name(AP_WORD_STATE(word)));
}

/* ---- by rank ------------------------------------------------------------------------------------------------------ */

static uint32_t urgent;

void rank_is(uint32_t slot, enum ap_rank rank)
{
    ap_task_request(survivor.seg, slot, AP_WORD_GENERATION(word_of(slot)), AP_REQUEST_RANKED);
    ap_slot_at(survivor.seg, slot)->rank = (uint8_t)rank;
}

/* The first of the shared ring is LOW, and half of that lies behind it; the last is URGENT. */
void image_ranked(void)
{
    image_held_inlets();
    ap_queue_rank(survivor.seg, 1);
    image_task();
    waiting = actor.slot;
    rank_is(waiting, AP_RANK_LOW);
    for (uint32_t i = 1; i < survivor.seg->geometry.queue_depth / 2; i++) image_task();
    urgent = actor.slot;
    if (urgent != waiting) rank_is(urgent, AP_RANK_URGENT);
}

void run_pop_ranked(void)
{
    uint64_t ref = ap_queue_pop(&actor.consumer);

    if (AP_REF_SLOT(ref) != urgent) abort();
    serve(&actor, 1, ref, false);
}

void before_ranked(bool over)
{
    before_waiting(over);
    if (over && AP_WORD_STATE(word_of(urgent)) != AP_TASK_DONE) fail("the urgent one was not the first");
}

/* ---- what waits elsewhere --------------------------------------------------------------------------------------- */

/* At the survivor's agent. */
void image_task_elsewhere(void)
{
    task_queued(0);
}

/* It has a rank. */
void image_urgent_elsewhere(void)
{
    image_task_elsewhere();
    rank_is(actor.slot, AP_RANK_URGENT);
    ap_queue_rank(survivor.seg, 0);
}

/* A consumer that begins is to look for its rank. */
void before_takeover(bool over)
{
    uint64_t word = word_of(actor.slot);
    uint32_t queue = AP_WORD_OWNER(word);

    if (over && AP_WORD_STATE(word) == AP_TASK_QUEUED && queue == 0) fail("it was not taken over");
    if (AP_WORD_STATE(word) == AP_TASK_QUEUED && ap_load_relaxed(&ap_queue_at(survivor.seg, queue)->ranked) != 1)
        fail("the queue of an urgent task, %u, knows of no ranks", queue);
}
