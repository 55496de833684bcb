/* tests/crash/operations.c - the operations of shm/ that write to the segment, each with the state it begins in. */
#include "sweep.h"

/* ---- states of the segment ------------------------------------------------------------------------------------ */

void task_queued(uint32_t queue)
{
    if (submit(&survivor, queue, true) < 0) exit(2);
    ap_producer_close(&survivor.producers[queue], &survivor.lane);
    actor.slot = survivor.slot;
    actor.ref = survivor.ref;
    actor.word = word_of(survivor.slot);
}

void image_task(void)
{
    task_queued(1);
}

void image_done(void)
{
    image_task();
    serve(&survivor, 1, survivor.ref, true);
    actor.word = word_of(actor.slot);
}

void image_abandoned(void)
{
    image_done();
    ap_task_request(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref), AP_REQUEST_ABANDON);
    for (uint32_t i = 0; i < survivor.slabs.count; i++) {
        struct ap_slab *slab = ap_slab_at(survivor.seg, survivor.slabs.held[i]);
        ap_store_relaxed(&slab->lease, AP_LEASE(AP_LEASE_EPOCH(slab->lease), 0));
    }
    survivor.slabs.count = 0;
}

void image_held_inlets(void)
{
    for (uint32_t q = 0; q < QUEUES; q++)
        ap_store_relaxed(&ap_ring_at(survivor.seg, q, 0)->lease, survivor.lane.epoch << 16 | (survivor.lane.index + 1));
}

static void image_old_slabs(void)
{
    for (uint32_t i = AP_SLAB_SLOTS; i < TASKS; i++)
        ap_slot_at(survivor.seg, i)->word = AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, AP_GENERATION_LAST - 1);
    for (uint32_t i = 1; i < TASKS / AP_SLAB_SLOTS; i++) ap_slab_at(survivor.seg, i)->lease = AP_LEASE(1, 0);
}

/* The survivor's bell is raised: it sleeps, or is about to. A wake leaves its mark in the segment. */
static int futex_wake_seen(const uint32_t *word, int count)
{
    (void)word, (void)count;
    actor.lane.lane->pad0[1] = 1;
    return 1;
}
static struct ap_ops seen_ops;

static void image_sleeper(void)
{
    ap_bell_raise(&survivor.lane.lane->bell);
}

static void prepare_ring(void)
{
    seen_ops = *actor.seg->ops;
    seen_ops.futex_wake = futex_wake_seen;
    actor.seg->ops = &seen_ops;
}

/* ---- a client ------------------------------------------------------------------------------------------------- */

void run_submit(void)
{
    submit(&actor, 0, false);
}

static void run_submit_block(void)
{
    submit(&actor, 0, true);
}

static void prepare_warm(void)
{
    submit(&actor, 0, false);
}

static void prepare_full_slab(void)
{
    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++) ap_task_reserve(&actor.slabs, NULL, NULL, &actor.slots[i]);
}

void run_reserve(void)
{
    reserve(&actor);
}

static void prepare_reserved(void)
{
    reserve(&actor);
}

static void prepare_reserved_block(void)
{
    uint64_t offset;

    reserve(&actor);
    if (ap_pool_take(actor.seg, &actor.lane, &actor.hint, BODY, &offset) < 0) abort();
    ap_store_relaxed(&ap_slot_at(actor.seg, actor.slot)->body, offset);
    ap_pool_attach(actor.seg, offset, AP_BLOCK_REQUEST, actor.slot, generation_of(&actor));
}

static void run_unreserve(void)
{
    ap_task_unreserve(&actor.slabs, actor.slot);
}

void prepare_two_slabs(void)
{
    for (uint32_t i = 0; i <= AP_SLAB_SLOTS; i++) ap_task_reserve(&actor.slabs, NULL, NULL, &actor.slots[i]);
    for (uint32_t i = 0; i <= AP_SLAB_SLOTS; i++) ap_task_unreserve(&actor.slabs, actor.slots[i]);
    while (actor.slabs.next != AP_SLAB_SLOTS - 1) {
        reserve(&actor);
        ap_task_unreserve(&actor.slabs, actor.slot);
    }
}

/* The last slot of the slab, and the first of the next. */
static void run_reserve_two(void)
{
    reserve(&actor);
    reserve(&actor);
}

static void run_slabs_release(void)
{
    ap_slabs_release(&actor.slabs);
}

static void prepare_finished(void)
{
    submit(&actor, 1, true);
    serve(&actor, 1, actor.ref, true);
}

static void run_release_own(void)
{
    ap_task_release(actor.seg, actor.lane.index, actor.slot, word_of(actor.slot));
}

void run_release_task(void)
{
    ap_task_release(actor.seg, actor.lane.index, actor.slot, actor.word);
}

static void run_cancel(void)
{
    ap_task_request(actor.seg, actor.slot, AP_REF_GENERATION(actor.ref), AP_REQUEST_CANCEL);
    ap_task_cancel_queued(actor.seg, actor.slot, actor.word, AP_TASK_CANCELLED, APIARY_ECANCELLED);
}

static void run_abandon(void)
{
    ap_task_request(actor.seg, actor.slot, AP_REF_GENERATION(actor.ref), AP_REQUEST_ABANDON);
}

void run_move(void)
{
    if (!ap_task_move(actor.seg, actor.slot, actor.word, 0)) return;
    ap_queue_push_shared(actor.seg, 0, AP_REF(actor.slot, AP_WORD_GENERATION(actor.word)));
    signal_queue(actor.seg, 0, 1);
}

static void prepare_reference(void)
{
    prepare_finished();
    run_release_own();
}

void run_push_shared(void)
{
    actor.result = ap_queue_push_shared(actor.seg, 0, actor.ref);
    signal_queue(actor.seg, 0, 1);
}

/* ---- a worker ------------------------------------------------------------------------------------------------- */

void prepare_worker(void)
{
    own_queue(&actor, 1);
}

static void run_settle(void)
{
    ap_queue_settle(&actor.consumer);
}

static void run_queue_life(void)
{
    own_queue(&actor, 1);
    ap_queue_publish(&actor.consumer, 1);
    ap_queue_close(actor.seg, 1, ap_load_relaxed(&ap_queue_at(actor.seg, 1)->life));
}

/* More rings than a pop leaves in the summary, and nothing in any. */
static void image_empty_rings(void)
{
    for (uint32_t ring = 0; ring <= INLETS_MANY; ring++) signal_queue(survivor.seg, 1, ring);
}

static void run_pop_nothing(void)
{
    if (ap_queue_pop(&actor.consumer) != 0) abort();
}

static void run_pool(void)
{
    uint64_t offset;

    if (ap_pool_take(actor.seg, &actor.lane, &actor.hint, BODY, &offset) < 0) abort();
    ap_pool_free_owned(actor.seg, &actor.lane, offset);
    if (ap_pool_take(actor.seg, &actor.lane, &actor.hint, 1000, &offset) < 0) abort();
    ap_store_relaxed(&ap_slot_at(actor.seg, actor.slot)->body, offset);
    ap_pool_attach(actor.seg, offset, AP_BLOCK_REQUEST, actor.slot, generation_of(&actor));
    ap_pool_free_attached(actor.seg, actor.slot, generation_of(&actor), offset);
}

/* ---- members, lanes, bells, events ---------------------------------------------------------------------------- */

static void run_lane(void)
{
    if (ap_lane_open(actor.seg, actor.lane.member, &actor.second) == 0) ap_lane_close(&actor.second);
}

/* Who had the lanes before had crashed. */
static void image_crashed_lanes(void)
{
    for (uint32_t i = 0; i < survivor.seg->geometry.lanes; i++) {
        struct ap_lane *lane = ap_lane_at(survivor.seg, i);
        if (AP_LIFE_STATE(lane->life) != AP_LIFE_FREE) continue;
        ap_lane_inside(lane, AP_REF(1, 1));
        ap_lane_crash(lane, SIGSEGV);
    }
}

static void before_crashed_lanes(bool over)
{
    (void)over;
    for (uint32_t i = 0; i < survivor.seg->geometry.lanes; i++) {
        const struct ap_lane *lane = ap_lane_at(survivor.seg, i);
        if (AP_LIFE_STATE(lane->life) == AP_LIFE_LIVE && lane->crash != 0) fail("lane %u lives and has crashed", i);
    }
}

static void run_member(void)
{
    struct ap_lane_handle h;

    if (ap_member_open(actor.seg, "second", "x", APIARY_CLIENT, &h) < 0) return;
    ap_member_close(actor.seg, h.member, h.index);
    ap_lane_close(&h);
}

static void run_event(void)
{
    ap_event_log(actor.seg, AP_EVENT_MONITOR, actor.lane.index, 1, 2);
}

static void run_ring(void)
{
    ap_bell_ring(actor.seg->ops, &survivor.lane.lane->bell);
}

/* As a monitor does that is to be woken when its thread ends. */
static void run_watch(void)
{
    const uint32_t *word;
    uint32_t value;

    if (ap_lane_watch(actor.seg, survivor.lane.index, &word, &value) != 0) abort();
}

static void run_watched(void)
{
    ap_segment_watched(actor.seg, actor.lane.index);
}

/* The sleeper was woken, or the next one who rings will do it, without any recovery. */
static void before_ring(bool over)
{
    struct ap_lane *dead = NULL;

    for (uint32_t i = 0; i < survivor.seg->geometry.lanes; i++) {
        struct ap_lane *lane = ap_lane_at(survivor.seg, i);
        if (i != survivor.lane.index && AP_LIFE_STATE(lane->life) == AP_LIFE_LIVE) dead = lane;
    }
    if (dead == NULL) {
        fail("the actor has no lane");
        return;
    }
    if (dead->pad0[1] == 0 && (survivor.lane.lane->bell & 1) == 0) fail("nobody will wake the sleeper");
    if (over && dead->pad0[1] == 0) fail("the sleeper was not woken");
    dead->pad0[1] = 0;
}

/* ---- recovery ------------------------------------------------------------------------------------------------- */

static void dead_client(void)
{
    uint64_t offset;
    uint32_t slot;

    prepare_finished();
    submit(&actor, 1, false);
    submit(&actor, 0, false);
    ap_task_reserve(&actor.slabs, NULL, NULL, &slot);
    if (ap_pool_take(actor.seg, &actor.lane, &actor.hint, 1000, &offset) < 0) abort();
    if (ap_lane_open(actor.seg, actor.lane.member, &actor.second) == 0) ap_lane_share(&actor.second);
}

static void dead_worker(void)
{
    struct ap_slot *slot = ap_slot_at(actor.seg, actor.slot);
    uint64_t offset;

    own_queue(&actor, 1);
    ap_task_claim(actor.seg, actor.lane.index, 1, actor.ref, &actor.token);
    ap_store_relaxed(&actor.lane.lane->hand[0], actor.ref);
    if (ap_pool_take(actor.seg, &actor.lane, &actor.hint, BODY, &offset) < 0) abort();
    ap_pool_attach(actor.seg, offset, AP_BLOCK_RESULT_OF(actor.token), actor.slot, AP_REF_GENERATION(actor.ref));
    ap_store_relaxed(&slot->result, offset);
    ap_store_relaxed(&slot->result_size, BODY);
}

/* By its own code. */
static void crashed_worker(void)
{
    dead_worker();
    ap_lane_inside(actor.lane.lane, actor.ref);
    ap_lane_crash(actor.lane.lane, SIGSEGV);
}

void image_dead_client(void)
{
    die_having(dead_client);
}

static void image_dead_client_moved(void)
{
    world_route = 0;
    die_having(dead_client);
}

void image_dead_worker(void)
{
    image_task();
    die_having(dead_worker);
}

/* For the third time. */
static void image_dead_worker_poison(void)
{
    image_task();
    ap_store_relaxed(&ap_slot_at(survivor.seg, actor.slot)->word, actor.word + AP_WORD_CRASHED(2));
    die_having(crashed_worker);
}

static void image_crashed_worker(void)
{
    world_route = 0;
    image_task();
    die_having(crashed_worker);
}

/* For the last time that may be. */
static void image_dead_worker_lost(void)
{
    image_task();
    ap_store_relaxed(&ap_slot_at(survivor.seg, actor.slot)->word, actor.word + AP_WORD_LOST_STARTS(AP_LOST_MAX));
    die_having(dead_worker);
}

static void after_lost(bool over)
{
    uint64_t word = word_of(actor.slot);

    (void)over;
    if (ap_word_code(word) != APIARY_ELOST) fail("a task that has lost %u workers is to run again", AP_LOST_MAX + 1);
    if (ap_word_starts(word) != AP_LOST_MAX + 1) fail("%u starts", ap_word_starts(word));
}

static void after_poison(bool over)
{
    (void)over;
    if (ap_word_code(word_of(actor.slot)) != APIARY_ECRASHED) fail("a task that has crashed three workers is to run again");
    if (AP_WORD_CRASHES(word_of(actor.slot)) != 3 || ap_word_starts(word_of(actor.slot)) != 3) fail("it was started three times");
}

static void image_dead_worker_moved(void)
{
    world_route = 0;
    image_dead_worker();
}

/* Of references to a task that is long done. */
void image_full_ring(void)
{
    for (uint32_t i = 0; i < survivor.seg->geometry.queue_depth; i++)
        ap_queue_push_shared(survivor.seg, 0, AP_REF(survivor.slot, generation_of(&survivor)));
    signal_queue(survivor.seg, 0, 1);
}

/* Claimed by the dead one from a queue that is closed, and the only other one is full. */
static void image_dead_worker_full(void)
{
    image_full_ring();
    image_dead_worker_moved();
}

void run_reap(void)
{
    ap_reap_asking(actor.seg, actor.lane.index, world_hooks);
}

/* The reaper of all these is stopped: before it has said so in the life, or after that. */
static void image_held_worker(void)
{
    image_dead_worker_moved();
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

static void image_held_client(void)
{
    image_dead_client_moved();
    for (uint32_t i = 0; i < survivor.seg->geometry.lanes; i++) {
        struct ap_lane *lane = ap_lane_at(survivor.seg, i);
        if (ap_lane_dead(survivor.seg, i)) ap_store_relaxed(&lane->life, AP_LIFE(AP_LIFE_EPOCH(lane->life), AP_LIFE_DEAD));
    }
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

void run_beside(void)
{
    for (uint32_t i = 0; i < actor.seg->geometry.lanes; i++)
        ap_reap_beside(actor.seg, actor.lane.index, i, world_hooks);
}

void before_held(bool over)
{
    for (uint32_t i = 0; over && i < TASKS; i++)
        if (AP_WORD_STATE(word_of(i)) == AP_TASK_RUNNING) fail("slot %u still runs in dead hands", i);
    locks_change(SOMEBODY, FUTEX_OWNER_DIED);
}

void run_sweep(void)
{
    ap_sweep(actor.seg, actor.lane.index, world_hooks);
}

/* ---- tasks that wait for their time ---------------------------------------------------------------------------- */

/* Two of the survivor's, in one slab: one is due now, the other much later. */
void image_scheduled(void)
{
    uint64_t now;

    for (int i = 0; i < 2; i++) {
        image_reserved();
        now = survivor.seg->ops->now();
        if (!ap_slot_schedule(&survivor.slabs, ap_slot_at(survivor.seg, survivor.slot), survivor.slot,
                              i == 0 ? now + WORLD_LATER : now))
            exit(2);
        ap_due_tell(survivor.seg, survivor.slot, i == 0 ? now + WORLD_LATER : now);
    }
    actor.slot = survivor.slot;
    actor.word = word_of(survivor.slot);
    actor.ref = AP_REF(actor.slot, AP_WORD_GENERATION(actor.word));
    world_route = 0;
}

void run_due_look(void)
{
    ap_due_look(actor.seg, world_hooks, actor.lane.index);
}

/* It is run, and nobody had to die for it. */
static void before_due(bool over)
{
    drain(&survivor.consumer);
    if (over && AP_WORD_STATE(word_of(actor.slot)) != AP_TASK_DONE) fail("what is due is %s",
                                                                         ap_task_state_name(AP_WORD_STATE(word_of(actor.slot))));
    if (over) before_told(over);
}

/* Whoever looks at its time finds it. */
void before_told(bool over)
{
    for (uint32_t i = 0; over && i < TASKS; i++) {
        uint64_t slab = ap_slab_at(survivor.seg, i / AP_SLAB_SLOTS)->due, header = survivor.seg->header->due;
        uint64_t due = ap_slot_at(survivor.seg, i)->due;

        if (AP_WORD_STATE(word_of(i)) != AP_TASK_SCHEDULED) continue;
        if (slab == 0 || slab > due || header == 0 || header > due) fail("slot %u waits for its time, and nobody will look", i);
    }
}

/* In a queue that is closed, and where it is to go the shared ring is full. */
static void image_stranded(void)
{
    image_full_ring();
    image_task();
    world_route = 0;
}

/* It is run, and nobody had to die for it. */
static void before_stranded(bool over)
{
    drain(&survivor.consumer);
    if (over && AP_WORD_STATE(word_of(actor.slot)) != AP_TASK_DONE) fail("the task was moved to where nobody finds it");
}

void after_task(bool over)
{
    uint64_t word = word_of(actor.slot);

    (void)over;
    if (AP_WORD_GENERATION(word) != AP_REF_GENERATION(actor.ref)) fail("the survivor's task has another generation");
    if (AP_WORD_STATE(word) == AP_TASK_FREE) fail("the survivor's task is gone");
}

void after_crash(bool over)
{
    uint64_t word = word_of(actor.slot);

    after_task(over);
    if (AP_WORD_CRASHES(word) != 0) fail("a death by nobody's code counts as a crash");
    if (AP_WORD_LOST(word) != 1) fail("one lost start counts as %u", AP_WORD_LOST(word));
}

static void after_suspect(bool over)
{
    uint64_t word = word_of(actor.slot);

    after_task(over);
    if (AP_WORD_CRASHES(word) != 1) fail("one crash counts as %u", AP_WORD_CRASHES(word));
    if (AP_WORD_LOST(word) != 0) fail("a crash counts as a lost start");
}

const struct operation kills_shm[] = {
    {.name = "submit", .run = run_submit},
    {.name = "submit_block", .run = run_submit_block},
    {.name = "submit_warm", .prepare = prepare_warm, .run = run_submit_block},
    {.name = "submit_shared", .image = image_held_inlets, .run = run_submit},
    {.name = "reserve_second_slab", .prepare = prepare_full_slab, .run = run_reserve},
    {.name = "reserve_renew", .image = image_old_slabs, .run = run_reserve},
    {.name = "reserve_returns_slab", .prepare = prepare_two_slabs, .run = run_reserve_two},
    {.name = "unreserve_block", .prepare = prepare_reserved_block, .run = run_unreserve},
    {.name = "slabs_release", .prepare = prepare_two_slabs, .run = run_slabs_release},
    {.name = "release", .prepare = prepare_finished, .run = run_release_own},
    {.name = "release_foreign", .image = image_done, .run = run_release_task},
    {.name = "cancel", .image = image_task, .run = run_cancel, .after = after_task},
    {.name = "abandon", .image = image_task, .run = run_abandon, .after = after_task},
    {.name = "move", .image = image_task, .run = run_move, .after = after_task},
    {.name = "push_shared", .prepare = prepare_reference, .run = run_push_shared},
    {.name = "settle", .image = image_task, .prepare = prepare_worker, .run = run_settle, .after = after_task},
    {.name = "wake", .image = image_sleeper, .prepare = prepare_ring, .run = run_ring, .before = before_ring},
    {.name = "pop_where", .image = image_waiting, .prepare = prepare_worker, .run = run_pop_where, .before = before_waiting},
    {.name = "pop_ranked", .image = image_ranked, .prepare = prepare_worker, .run = run_pop_ranked, .before = before_ranked},
    {.name = "pop_nothing", .inlets = INLETS_MANY, .image = image_empty_rings, .prepare = prepare_worker, .run = run_pop_nothing},
    {.name = "queue_life", .image = image_task, .run = run_queue_life, .after = after_task},
    {.name = "pool", .prepare = prepare_reserved, .run = run_pool},
    {.name = "lane_open_close", .run = run_lane},
    {.name = "lane_crashed", .image = image_crashed_lanes, .run = run_lane, .before = before_crashed_lanes},
    {.name = "lane_share", .run = run_leave},
    {.name = "lane_take_over", .prepare = prepare_left, .run = run_take_over},
    {.name = "watched", .run = run_watched},
    {.name = "lane_watch", .run = run_watch},
    {.name = "member", .run = run_member},
    {.name = "event", .run = run_event},
    {.name = "sweep_abandoned", .image = image_abandoned, .run = run_sweep},
    {.name = "sweep_uncollected", .image = image_uncollected, .run = run_sweep, .after = after_uncollected},
    {.name = "due_look", .image = image_scheduled, .run = run_due_look, .before = before_due, .after = after_task},
    {.name = "sweep_moves_full", .image = image_stranded, .run = run_sweep, .before = before_stranded, .after = after_task},
    {.name = "reap_client", .image = image_dead_client, .run = run_reap},
    {.name = "reap_client_moves", .image = image_dead_client_moved, .run = run_reap},
    {.name = "reap_worker", .image = image_dead_worker, .run = run_reap, .after = after_crash},
    {.name = "reap_worker_moves", .image = image_dead_worker_moved, .run = run_reap, .after = after_crash},
    {.name = "reap_worker_poison", .image = image_dead_worker_poison, .run = run_reap, .after = after_poison},
    {.name = "reap_suspect", .image = image_crashed_worker, .run = run_reap, .after = after_suspect},
    {.name = "reap_worker_lost", .image = image_dead_worker_lost, .run = run_reap, .after = after_lost},
    {.name = "reap_worker_full", .image = image_dead_worker_full, .run = run_reap, .after = after_crash},
    {.name = "reap_unmarked", .image = image_unmarked_worker, .run = run_reap, .after = after_judged},
    {.name = "beside_client", .image = image_held_client, .run = run_beside, .before = before_held},
    {.name = "beside_worker", .image = image_held_worker, .run = run_beside, .before = before_held, .after = after_crash},
    {.name = NULL},
};
