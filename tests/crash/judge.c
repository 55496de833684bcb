/* tests/crash/judge.c - what must hold after a death: the others work on, a recovery leaves nothing behind, and then all of
 * the segment can be used again. */
#include "sweep.h"

#include "shm/probe.h"

#include <stdarg.h>

const struct operation *at_operation;
uint64_t at_step;
unsigned failures;

static unsigned shown_most = 3, shown;
static void (*enough)(void);

void judge_quiet(unsigned most)
{
    shown_most = most;
    shown = 0;
}

void judge_until(void (*first)(void))
{
    enough = first;
}

void fail(const char *format, ...)
{
    va_list args;

    failures++;
    if (shown++ >= shown_most && enough == NULL) return;
    printf("  FAILED %s at %llu: ", at_operation->name, (unsigned long long)at_step);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    if (enough != NULL) enough();
}

static bool finished(uint32_t state)
{
    return state == AP_TASK_DONE || state == AP_TASK_FAILED || state == AP_TASK_CANCELLED;
}

/* ---- a consumer ----------------------------------------------------------------------------------------------- */

/* What is in a request that this program made. */
static void request_judge(uint32_t index)
{
    const struct ap_slot *slot = ap_slot_at(survivor.seg, index);
    uint32_t size = 0;
    const void *body = ap_task_body(survivor.seg, slot, &size);

    if (body == NULL) fail("slot %u runs with a request that is not there", index);
    else if (ap_task_requested(slot, word_of(index), AP_REQUEST_PROBE)) return; /* there is nothing to be run */
    else if (size < 4 || memcmp(body, "work", 4) != 0) fail("slot %u runs with another request", index);
}

static void run_reference(uint32_t queue, uint64_t ref)
{
    uint64_t word = ap_slot_at(survivor.seg, AP_REF_SLOT(ref)) != NULL ? word_of(AP_REF_SLOT(ref)) : 0, token;
    const struct ap_slot *slot;
    bool shared;

    if (!ap_task_claim(survivor.seg, survivor.lane.index, queue, ref, &token)) return;
    if (AP_WORD_OWNER(word) != queue) fail("slot %u was queued in %u and is run in %u", AP_REF_SLOT(ref),
                                           AP_WORD_OWNER(word), queue);
    request_judge(AP_REF_SLOT(ref));
    slot = ap_slot_at(survivor.seg, AP_REF_SLOT(ref));
    if (ap_abandoned(slot, token) || ap_load_relaxed(&slot->client) != survivor.lane.index) judge_unseen++; /* or will be */
    shared = ap_coalesced(slot, token);
    finish(&survivor, AP_REF_SLOT(ref), token, false);
    if (shared) ap_follow_ended(survivor.seg); /* as a worker does */
}

void drain(struct ap_consumer *c)
{
    for (int turns = 0; turns < 1000; turns++) {
        uint64_t ref, cursor = 0;

        if (ap_queue_rescan_due(c))
            while ((ref = ap_queue_scan(c, &cursor)) != 0) run_reference(c->index, ref);
        while (ap_probe_asked(c) && (ref = ap_probe_next(c)) != 0) run_reference(c->index, ref);
        while ((ref = ap_queue_pop(c)) != 0) run_reference(c->index, ref);
        if (!ap_queue_settle(c) && !ap_queue_rescan_due(c)) return;
    }
    fail("a queue is never empty");
}

/* A queue that nobody serves any more is taken over, and the new consumer begins as one does: with a look at the table. */
static void drain_as_owner(uint32_t queue)
{
    struct ap_queue *q = ap_queue_at(survivor.seg, queue);
    uint64_t life = ap_load_acquire(&q->life);
    struct ap_consumer c;

    if (AP_QUEUE_STATE(life) == AP_QUEUE_OPEN && AP_QUEUE_LANE(life) == survivor.lane.index) {
        drain(&survivor.consumer);
        return;
    }
    if (world_registry && AP_QUEUE_STATE(life) == AP_QUEUE_FREE) return; /* nobody routes to it */
    if (!ap_queue_claim(survivor.seg, queue, survivor.lane.index) || !ap_queue_open(survivor.seg, queue, survivor.lane.index)) {
        fail("queue %u cannot be had: %llx", queue, (unsigned long long)life);
        return;
    }
    ap_consumer_init(&c, survivor.seg, queue);
    c.rescan = ap_load_acquire(&survivor.seg->header->rescan) - 1;
    drain(&c);
    ap_queue_close(survivor.seg, queue, ap_load_acquire(&q->life));
}

/* ---- the others, before anybody recovers ---------------------------------------------------------------------- */

/* Whatever the dead one holds, whoever holds a slab can delegate to a living worker and collect. */
static void work_on(void)
{
    struct side s = survivor;

    for (int n = 0; n < 5; n++) {
        int r = submit(&s, 0, false);

        if (r == APIARY_EQUEUEFULL) { /* what others had queued */
            drain(&survivor.consumer);
            if (n == 4) fail("without recovery: the queue stays full");
            continue;
        }
        if (r < 0) {
            fail("without recovery: submit %d", r);
            break;
        }
        drain(&survivor.consumer);
        if (!finished(AP_WORD_STATE(word_of(s.slot)))) fail("without recovery: a task is not run");
        else if (!ap_task_release(s.seg, s.lane.index, s.slot, word_of(s.slot))) fail("without recovery: release");
    }
    ap_producer_close(&s.producers[0], &s.lane);
    survivor.slabs = s.slabs;
}

/* ---- after the recovery --------------------------------------------------------------------------------------- */

static void finding(void *user, const struct ap_finding *f)
{
    (void)user;
    fail("%s %llu: %s: %s", f->structure, (unsigned long long)f->index, f->rule, f->text);
}

static void check_all(void)
{
    struct ap_report report = {.found = finding};

    ap_check_all(survivor.seg, &report);
}

static bool survivors(uint32_t lane_plus_1)
{
    return lane_plus_1 == 0 || lane_plus_1 == survivor.lane.index + 1;
}

static void nothing_held(void)
{
    struct ap_segment *seg = survivor.seg;

    for (uint32_t i = 0; i < seg->geometry.lanes; i++)
        if (i != survivor.lane.index && AP_LIFE_STATE(ap_lane_at(seg, i)->life) != AP_LIFE_FREE) fail("lane %u is not free", i);
    for (uint32_t i = 0; i < seg->geometry.members; i++)
        if (i != survivor.lane.member && AP_MEMBER_STATE(ap_member_at(seg, i)->life) != AP_LIFE_FREE)
            fail("member %u is not free", i);
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SLABS].count; i++)
        if (!survivors(AP_LEASE_LANE(ap_slab_at(seg, i)->lease))) fail("slab %u is leased", i);
    for (uint32_t i = 0, n = seg->geometry.queue_inlets + 1; i < QUEUES * n; i++)
        if (!survivors((uint32_t)(ap_ring_at(seg, i / n, i % n)->lease & 0xffff))) fail("ring %u is leased", i);
}

/* No slot is in dead hands, and what is queued in vain nobody waits for. */
static void slots_judge(void)
{
    struct ap_segment *seg = survivor.seg;

    for (uint32_t i = 0; i < TASKS; i++) {
        uint64_t word = word_of(i), request = ap_slot_at(seg, i)->request;
        uint32_t state = AP_WORD_STATE(word);
        bool detached = ap_request_has(request, word, AP_REQUEST_GIVEN_UP);
        bool mine = AP_LEASE_LANE(ap_slab_at(seg, i / AP_SLAB_SLOTS)->lease) == survivor.lane.index + 1;

        if (state == AP_TASK_RESERVED || state == AP_TASK_RELEASING || state == AP_TASK_RUNNING)
            fail("slot %u is %s after the recovery", i, ap_task_state_name(state));
        if (ap_task_waits(state) && !mine && !detached) fail("slot %u is %s for nobody", i, ap_task_state_name(state));
    }
}

static void blocks_judge(const char *when)
{
    for (uint64_t i = 0; i < survivor.seg->sections[AP_SECTION_BLOCKS].count; i++) {
        uint64_t word = *(uint64_t *)ap_at(survivor.seg, AP_SECTION_BLOCKS, i);
        if (AP_BLOCK_STATE(word) != AP_BLOCK_FREE) fail("%s: block %llu is %llx", when, (unsigned long long)i,
                                                        (unsigned long long)word);
    }
}

static bool any_follows(void)
{
    for (uint32_t i = 0; i < TASKS; i++)
        if (AP_WORD_STATE(word_of(i)) == AP_TASK_SCHEDULED) return true;
    return false;
}

/* Runs and collects all there is; then every slot is free. */
static void finish_all(void)
{
    struct ap_segment *seg = survivor.seg;
    uint32_t route = world_route; /* pairs go on with it */

    world_due();
    if (!world_registry) world_route = 0;
    /* Of several that share a key one is run after the other: nobody here shares an outcome. */
    for (uint32_t turns = 0; turns == 0 || (turns < TASKS && any_follows()); turns++) {
        ap_due_look(seg, world_hooks, survivor.lane.index);
        for (uint32_t i = 0; i < TASKS; i++) {
            if (AP_WORD_STATE(word_of(i)) != AP_TASK_SCHEDULED || follows_another(i)) continue;
            fail("slot %u is due, and stays scheduled", i);
        }
        for (uint32_t q = 0; q < QUEUES; q++) drain_as_owner(q);
    }
    world_route = route;
    ap_sweep(seg, survivor.lane.index, world_hooks);
    drain(&survivor.consumer);
    for (uint32_t i = 0; i < TASKS; i++) {
        uint64_t word = word_of(i);

        if (survivors(AP_LEASE_LANE(ap_slab_at(seg, i / AP_SLAB_SLOTS)->lease)) && finished(AP_WORD_STATE(word)))
            ap_task_release(seg, survivor.lane.index, i, word);
        word = word_of(i);
        if (AP_WORD_STATE(word) != AP_TASK_FREE) fail("slot %u ends %s", i, ap_task_state_name(AP_WORD_STATE(word)));
    }
    for (uint32_t s = 0; world_registry && s < seg->sections[AP_SECTION_SERVICES].count; s++)
        if (ap_tickets_busy(seg, s) != 0) fail("service %u has %u tickets in use", s, ap_tickets_busy(seg, s));
}

/* ---- real work passes ----------------------------------------------------------------------------------------- */

static void cycle_task(struct side *k, int n)
{
    uint64_t ref, token, old = k->ref;
    int r;

    if (old != 0) k->slabs.next = k->slot % AP_SLAB_SLOTS; /* the same slot again */
    r = submit(k, 0, n < 2);
    if (r < 0) {
        fail("afterwards: submit %d", r);
        return;
    }
    if (old != 0 && ap_task_claim(k->seg, survivor.lane.index, 0, old, &token)) fail("afterwards: an old reference claims");
    while ((ref = ap_queue_pop(&survivor.consumer)) != 0 && ref != k->ref) {}
    if (ref == 0) fail("afterwards: not popped");
    else if (!ap_task_claim(k->seg, survivor.lane.index, 0, ref, &token)) fail("afterwards: not claimed");
    else if (finish(&survivor, k->slot, token, false) < 0) fail("afterwards: not finished");
    else if (!ap_task_release(k->seg, k->lane.index, k->slot, word_of(k->slot))) fail("afterwards: not released");
}

static void cycle_shared_ring(struct side *k)
{
    uint32_t ring = k->seg->geometry.queue_inlets;

    for (int n = 0; n < 10; n++) {
        int r = ap_queue_push_shared(k->seg, 0, k->ref);

        if (r < 0) fail("afterwards: the shared ring says %d with head %lld, tail %lld", r,
                        (long long)ap_ring_at(k->seg, 0, ring)->head, (long long)ap_ring_at(k->seg, 0, ring)->tail);
        signal_queue(k->seg, 0, ring);
        if (r == 0 && ap_queue_pop(&survivor.consumer) == 0) fail("afterwards: nothing in the shared ring");
        if (r < 0) return;
    }
}

/* Every lane can be had, and again. */
static void cycle_lanes(void)
{
    for (int round = 0; round < 2; round++) {
        struct ap_lane_handle all[16];
        uint32_t n = 0;

        while (n < 16 && ap_lane_open(survivor.seg, survivor.lane.member, &all[n]) == 0) n++;
        if (n != survivor.seg->geometry.lanes - 1) fail("afterwards: %u lanes of %u in round %d", n,
                                                        survivor.seg->geometry.lanes - 1, round);
        while (n > 0) ap_lane_close(&all[--n]);
    }
}

static void cycle_registry(void)
{
    static const char *const capabilities[] = {"other", NULL};
    struct ap_agent_registration agent = {.name = "one", .capabilities = capabilities, .lane = survivor.lane.index};
    struct ap_swarm_registration r = {.service = "victim", .lane = survivor.lane.index, .member = survivor.lane.member,
                                      .agents = &agent, .agent_count = 1};
    int e = ap_swarm_register(survivor.seg, &r);

    if (e < 0) fail("afterwards: register %d", e);
    else ap_swarm_deregister(survivor.seg, survivor.lane.index, &r);
}

static void cycle(void)
{
    struct side k = {.seg = survivor.seg};
    int r = ap_lane_open(k.seg, survivor.lane.member, &k.lane);

    if (r < 0) {
        fail("afterwards: lane %d", r);
        return;
    }
    ap_slabs_init(&k.slabs, &k.lane);
    for (int n = 0; n < 6; n++) cycle_task(&k, n);
    cycle_shared_ring(&k);
    ap_producer_close(&k.producers[0], &k.lane);
    ap_slabs_release(&k.slabs);
    ap_lane_close(&k.lane);
    cycle_lanes();
    if (world_registry) cycle_registry();
    blocks_judge("in the end");
    check_all();
}

void judge(bool over)
{
    const struct operation *o = at_operation;

    if (o->before != NULL) o->before(over);
    work_on();
    ap_reap_asking(survivor.seg, survivor.lane.index, world_hooks);
    check_all();
    if (o->after != NULL) o->after(over);
    nothing_held();
    slots_judge();
    finish_all();
    ap_pool_sweep(survivor.seg);
    blocks_judge("all released");
    cycle();
}
