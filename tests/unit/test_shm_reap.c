/* Recovery: a process killed in each state, the reaper killed in the middle, crash limits, moving to another queue. */
#include "shm_fixture.h"

#include <string.h>
#include <sys/prctl.h>

#include "shm/bell.h"
#include "shm/event.h"

static struct ap_lane_handle lane;
static struct ap_slabs slabs;

static void setup(void)
{
    fixture_setup();
    cr_assert_eq(ap_member_open(seg, "survivor", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    fixture_teardown();
}

TestSuite(reap, .init = setup, .fini = teardown);

static uint32_t shared_slot; /* a slot the survivor made, handed to the child by fork */
static uint64_t shared_ref;

static uint32_t publish(uint32_t queue)
{
    uint32_t slot;
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    shared_ref = ap_task_publish(seg, slot, queue);
    shared_slot = slot;
    return slot;
}

static int reap(void)
{
    return ap_reap_all(seg, lane.index, NULL);
}

/* ---- dead clients --------------------------------------------------------------------------------------------- */

static void client_in_every_state(struct ap_segment *own, struct ap_lane_handle *h)
{
    struct ap_slabs s;
    struct ap_pool_hint hint = {0};
    uint64_t offset, token;
    uint32_t slot[5];

    ap_slabs_init(&s, h);
    for (int i = 0; i < 5; i++)
        if (ap_task_reserve(&s, NULL, NULL, &slot[i]) < 0) _exit(1);
    /* 0 stays RESERVED with a block attached and not yet named; 1 QUEUED without reference; 2 DONE and never collected;
     * 3 CANCELLED; 4 RELEASING. And a block that is only owned. */
    if (ap_pool_take(own, h, &hint, 100, &offset) < 0 || ap_pool_take(own, h, &hint, 200, &offset) < 0) _exit(1);
    ap_pool_attach(own, offset, AP_BLOCK_REQUEST, slot[0], 1);
    for (int i = 1; i < 5; i++) ap_task_publish(own, slot[i], 0);
    if (!ap_task_claim(own, 15, 0, AP_REF(slot[2], 1), &token)) _exit(1);
    ap_task_finish(own, slot[2], token, 0);
    ap_task_cancel_queued(own, slot[3], ap_slot_at(own, slot[3])->word, AP_TASK_CANCELLED, APIARY_ECANCELLED);
    ap_store_release(&ap_slot_at(own, slot[4])->word, AP_WORD(AP_TASK_RELEASING, 0, h->index, 1));
}

Test(reap, a_client_dead_in_every_state)
{
    uint64_t rescan = seg->header->rescan;
    uint32_t dead, first;
    uint64_t in_use = 0;

    dead = fixture_die(client_in_every_state);
    first = dead % 2 * 64; /* its slab */
    cr_assert_eq(state_of(first), AP_TASK_RESERVED);
    cr_assert_eq(reap(), 1);
    cr_assert_eq(state_of(first), AP_TASK_FREE);
    cr_assert_eq(state_of(first + 1), AP_TASK_QUEUED, "it was submitted: it is to be done");
    cr_assert(ap_slot_at(seg, first + 1)->request & AP_REQUEST_DETACH);
    for (uint32_t i = 2; i < 5; i++) cr_assert_eq(state_of(first + i), AP_TASK_FREE, "slot %u", i);
    cr_assert_eq(AP_LEASE_LANE(ap_slab_at(seg, first / 64)->lease), 0);
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_BLOCKS].count; i++)
        in_use += AP_BLOCK_STATE(*(uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, i)) != AP_BLOCK_FREE;
    cr_assert_eq(in_use, 0);
    cr_assert_gt(seg->header->rescan, rescan, "workers must look at the table for the task without reference");
}

/* ---- dead workers --------------------------------------------------------------------------------------------- */

static void claim_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    uint64_t token;

    h->lane->hand[0] = shared_ref;
    if (!ap_task_claim(own, h->index, 0, shared_ref, &token)) _exit(1);
}

Test(reap, a_worker_dead_with_a_task_in_hand)
{
    uint32_t slot = publish(0);
    struct ap_consumer c;
    uint64_t token;

    fixture_die(claim_and_die);
    cr_assert_eq(state_of(slot), AP_TASK_RUNNING);
    cr_assert_eq(reap(), 1);
    cr_assert_eq(state_of(slot), AP_TASK_QUEUED);
    cr_assert_eq(AP_WORD_CRASHES(word_of(slot)), 0, "the task has not done it");
    cr_assert_eq(AP_WORD_LOST(word_of(slot)), 1);
    ap_consumer_init(&c, seg, 0);
    cr_assert_eq(ap_queue_pop(&c), shared_ref, "it is announced in the shared ring");
    cr_assert_eq(ap_task_claim(seg, lane.index, 0, shared_ref, &token), 1);
}

Test(reap, an_abandoned_task_is_not_run_again)
{
    uint32_t slot = publish(0);

    ap_task_request(seg, slot, AP_REF_GENERATION(shared_ref), AP_REQUEST_ABANDON);
    fixture_die(claim_and_die);
    cr_assert_eq(reap(), 1);
    cr_assert_eq(state_of(slot), AP_TASK_FREE, "it has failed, and nobody may collect it");
    cr_assert_eq(ap_load_relaxed(&ap_queue_at(seg, 0)->crashed), 1);
}

static void overwrite_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    claim_and_die(own, h);
    ap_task_request(own, AP_REF_SLOT(shared_ref), AP_REF_GENERATION(shared_ref), AP_REQUEST_OVERWRITTEN);
}

/* Its answer was being written over its request. */
Test(reap, a_task_without_its_request_is_not_run_again)
{
    uint32_t slot = publish(0);

    fixture_die(overwrite_and_die);
    cr_assert_eq(reap(), 1);
    cr_assert_eq(state_of(slot), AP_TASK_FAILED);
    cr_assert_eq(ap_word_code(word_of(slot)), APIARY_ENORESULT);
    cr_assert_eq(ap_word_starts(word_of(slot)), 1);
}

static void finish_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    uint64_t token;

    if (!ap_task_claim(own, h->index, 0, shared_ref, &token)) _exit(1);
    ap_task_finish(own, AP_REF_SLOT(shared_ref), token, 0);
}

/* Its worker has finished it, and died before it looked whether anybody will collect it. */
Test(reap, what_nobody_will_collect_is_freed_with_its_worker)
{
    uint32_t slot = publish(0);

    fixture_die(finish_and_die);
    cr_assert_eq(reap(), 1);
    cr_assert_eq(state_of(slot), AP_TASK_DONE, "its client lives");
    ap_task_request(seg, slot, AP_REF_GENERATION(shared_ref), AP_REQUEST_DETACH);
    fixture_die(NULL);
    cr_assert_eq(reap(), 1);
    cr_assert_eq(state_of(slot), AP_TASK_FREE);
}

/* Ended by the sweep, at its deadline. */
Test(reap, what_expires_and_nobody_will_collect_is_freed)
{
    uint32_t slot = publish(0);

    ap_task_request(seg, slot, AP_REF_GENERATION(shared_ref), AP_REQUEST_DETACH);
    ap_store_relaxed(&ap_slot_at(seg, slot)->deadline, 1);
    ap_sweep(seg, lane.index, NULL);
    cr_assert_eq(state_of(slot), AP_TASK_FREE);
    cr_assert_eq(ap_load_relaxed(&ap_queue_at(seg, 0)->expired), 1);
}

static void own_queue_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    uint64_t token;

    if (!ap_queue_claim(own, 0, h->index)) _exit(1);
    ap_queue_open(own, 0, h->index);
    if (!ap_queue_claim(own, 2, h->index)) _exit(1); /* claimed, never opened */
    if (!ap_task_claim(own, h->index, 0, shared_ref, &token)) _exit(1);
}

static uint32_t route_to_3(void *user, struct ap_segment *s, const struct ap_slot *slot)
{
    (void)user;
    (void)s;
    (void)slot;
    return 3;
}

Test(reap, queues_close_and_their_tasks_move)
{
    const struct ap_reap_hooks hooks = {.route = route_to_3};
    uint32_t queued = publish(0), running = publish(0);

    cr_assert_eq(ap_queue_claim(seg, 3, lane.index), 1);
    ap_queue_open(seg, 3, lane.index);
    fixture_die(own_queue_and_die);
    cr_assert_eq(ap_reap_all(seg, lane.index, &hooks), 1);
    cr_assert_eq(AP_QUEUE_STATE(ap_queue_at(seg, 0)->life), AP_QUEUE_CLOSED);
    cr_assert_eq(AP_QUEUE_STATE(ap_queue_at(seg, 2)->life), AP_QUEUE_FREE);
    cr_assert_eq(AP_WORD_OWNER(word_of(queued)), 3);
    cr_assert_eq(AP_WORD_OWNER(word_of(running)), 3);
    cr_assert_eq(state_of(running), AP_TASK_QUEUED);
    cr_assert_eq(AP_WORD_ATTEMPT(word_of(queued)), 0, "it was never started");
    cr_assert_eq(AP_WORD_LOST(word_of(running)), 1);
}

static uint32_t offering; /* the queues whose agents run what is published here, a bit each */
static bool offers(void *user, struct ap_segment *s, const struct ap_slot *slot, uint32_t queue)
{
    (void)user;
    (void)s;
    (void)slot;
    return (offering >> queue & 1) != 0;
}

/* Moved from queue 0 to queue 2, and killed in the claim before the slot says so. */
static void claim_moved_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    uint64_t token;

    for (uint32_t q = 1; q <= 2; q++)
        if (!ap_queue_claim(own, q, h->index) || !ap_queue_open(own, q, h->index)) _exit(1);
    if (!ap_task_move(own, shared_slot, ap_slot_at(own, shared_slot)->word, 2)) _exit(1);
    h->lane->hand[0] = shared_ref;
    if (!ap_task_claim(own, h->index, 2, shared_ref, &token)) _exit(1);
    ap_store_relaxed(&ap_slot_at(own, shared_slot)->queue, 0);
}

Test(reap, a_moved_task_does_not_go_back_to_where_another_agent_is)
{
    const struct ap_reap_hooks hooks = {.offers = offers};
    uint32_t slot = publish(0);

    offering = 1u << 2 | 1u << 3; /* 3 is nobody's now */
    cr_assert_eq(ap_queue_claim(seg, 0, lane.index), 1);
    cr_assert_eq(ap_queue_open(seg, 0, lane.index), 1);
    fixture_die(claim_moved_and_die);
    cr_assert_eq(ap_reap_all(seg, lane.index, &hooks), 1);
    cr_assert_eq(state_of(slot), AP_TASK_QUEUED);
    cr_assert_eq(AP_WORD_OWNER(word_of(slot)), 2, "it waits in queue %u", AP_WORD_OWNER(word_of(slot)));
}

Test(reap, a_task_waits_where_it_was_if_that_will_do)
{
    const struct ap_reap_hooks hooks = {.offers = offers};
    uint32_t slot = publish(1);

    offering = 1u << 0 | 1u << 1;
    fixture_die(claim_moved_and_die);
    ap_store_relaxed(&ap_slot_at(seg, slot)->queue, 1);
    cr_assert_eq(ap_reap_all(seg, lane.index, &hooks), 1);
    cr_assert_eq(AP_WORD_OWNER(word_of(slot)), 1);
}

Test(reap, a_task_that_no_agent_offers_waits_where_it_was)
{
    const struct ap_reap_hooks hooks = {.offers = offers};
    uint32_t slot = publish(0);

    offering = 0;
    fixture_die(claim_moved_and_die);
    cr_assert_eq(ap_reap_all(seg, lane.index, &hooks), 1);
    cr_assert_eq(AP_WORD_OWNER(word_of(slot)), 0);
}

/* ---- the reaper dies ------------------------------------------------------------------------------------------ */

static uint32_t victim;
static void die_there(struct ap_segment *s, uint32_t dead, uint64_t beside)
{
    (void)beside;
    (void)s;
    if (dead == victim) kill(getpid(), SIGKILL);
}

static void reap_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    const struct ap_part *rows[AP_SECTION_FIRST_FREE + 1];
    const struct ap_part last = {.withdraw = die_there, .settle = ap_part_nothing};
    const struct ap_parts parts = {.rows = rows, .count = AP_SECTION_FIRST_FREE + 1};

    memcpy(rows, ap_shm_parts.rows, sizeof rows[0] * AP_SECTION_FIRST_FREE);
    rows[AP_SECTION_FIRST_FREE] = &last;
    own->parts = &parts;
    ap_reap_lane(own, h->index, victim, NULL);
    _exit(1); /* not reached */
}

static uint32_t die_after_first_move(void *user, struct ap_segment *s, const struct ap_slot *slot)
{
    static int calls;
    (void)user;
    (void)s;
    (void)slot;
    if (++calls == 2) kill(getpid(), SIGKILL);
    return AP_NO_QUEUE;
}

static void reap_half_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    const struct ap_reap_hooks hooks = {.route = die_after_first_move};
    ap_reap_lane(own, h->index, victim, &hooks);
    _exit(1);
}

static uint64_t two_refs[2];
static void claim_two_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    uint64_t token;
    for (int i = 0; i < 2; i++)
        if (!ap_task_claim(own, h->index, 0, two_refs[i], &token)) _exit(1);
}

Test(reap, the_reaper_dies_and_the_next_goes_on)
{
    uint32_t slot[2];
    uint64_t rescan;

    for (int i = 0; i < 2; i++) {
        slot[i] = publish(0);
        two_refs[i] = shared_ref;
    }
    victim = fixture_die(claim_two_and_die);
    fixture_die(reap_and_die);
    cr_assert(ap_lane_dead(seg, victim), "recovery has begun and is not over");
    fixture_die(reap_half_and_die);
    cr_assert(ap_lane_dead(seg, victim));
    cr_assert_eq(AP_LIFE_STATE(ap_lane_at(seg, victim)->life), AP_LIFE_DEAD);
    rescan = seg->header->rescan;
    cr_assert_eq(reap(), 3, "the victim and both reapers");
    cr_assert_gt(seg->header->rescan, rescan);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(state_of(slot[i]), AP_TASK_QUEUED);
        cr_assert_eq(AP_WORD_LOST(word_of(slot[i])), 1, "counted once, however often the reaper dies");
    }
    cr_assert_not(ap_lane_dead(seg, victim));
}

/* ---- the reaper is stopped ------------------------------------------------------------------------------------- */

static uint32_t stop_once(void *user, struct ap_segment *s, const struct ap_slot *slot)
{
    static bool stopped;
    (void)user;
    (void)s;
    (void)slot;
    if (!stopped) {
        stopped = true;
        raise(SIGSTOP);
    }
    return AP_NO_QUEUE;
}

/* A child with a lane reaps the victim, and is stopped by the first question where a task is to go: then it holds the lock. */
static pid_t stopped_reaper(void)
{
    const struct ap_reap_hooks hooks = {.route = stop_once};
    struct ap_segment *own;
    struct ap_lane_handle h;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ap_segment_attach(seg_name, true, &ap_shm_parts, NULL, 0, &own) < 0 ||
            ap_member_open(own, "reaper", NULL, APIARY_CLIENT, &h) < 0 || ap_reap_lane(own, h.index, victim, &hooks) != 1)
            _exit(1);
        ap_member_close(own, h.member, h.index);
        ap_lane_close(&h);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    cr_assert(WIFSTOPPED(status), "%x", (unsigned)status);
    return pid;
}

static void own_queue_claim_two_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    struct ap_slabs s;
    struct ap_producer p = {0};
    uint32_t slot;

    if (!ap_queue_claim(own, 0, h->index) || !ap_queue_open(own, 0, h->index)) _exit(1);
    if (!ap_queue_claim(own, 2, h->index)) _exit(1); /* claimed, never opened */
    ap_slabs_init(&s, h);
    if (ap_task_reserve(&s, NULL, NULL, &slot) < 0) _exit(1);
    if (!ap_queue_room(own, 1, &p, h) || ap_queue_push(own, &p, ap_task_publish(own, slot, 1)) < 0) _exit(1);
    if (ap_task_reserve(&s, NULL, NULL, &slot) < 0) _exit(1);
    for (int i = 0; i < 2; i++) h->lane->hand[i] = two_refs[i];
    claim_two_and_die(own, h);
}

static uint32_t inlets_leased(uint32_t to)
{
    uint32_t n = 0;

    for (uint64_t i = 0; i < seg->sections[AP_SECTION_RINGS].count; i++)
        n += (((struct ap_ring *)ap_at(seg, AP_SECTION_RINGS, i))->lease & 0xffff) == to + 1;
    return n;
}

Test(reap, a_stopped_reaper_is_helped)
{
    uint32_t slot[2];
    uint64_t rescan, token, life, words[2];
    int status;
    pid_t pid;

    for (int i = 0; i < 2; i++) {
        slot[i] = publish(0);
        two_refs[i] = shared_ref;
    }
    victim = fixture_die(own_queue_claim_two_and_die);
    cr_assert_eq(ap_reap_held(seg, victim), 0, "nobody is at it yet");
    cr_assert_eq(ap_reap_beside(seg, lane.index, victim, NULL), 0);
    pid = stopped_reaper();
    cr_assert_eq(reap(), 0, "somebody alive is at it");
    cr_assert_eq(state_of(slot[0]), AP_TASK_RUNNING);
    life = ap_reap_held(seg, victim);
    cr_assert_eq(life, ap_lane_at(seg, victim)->life);
    cr_assert_eq(AP_LIFE_STATE(life), AP_LIFE_DEAD);
    rescan = seg->header->rescan;
    cr_assert_eq(ap_reap_beside(seg, lane.index, victim, NULL), 1);
    cr_assert_gt(seg->header->rescan, rescan);
    cr_assert_eq(AP_QUEUE_STATE(ap_queue_at(seg, 0)->life), AP_QUEUE_CLOSED);
    cr_assert_eq(AP_QUEUE_STATE(ap_queue_at(seg, 2)->life), AP_QUEUE_CLAIMED, "of that the lock decides");
    cr_assert_eq(inlets_leased(victim), 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(state_of(slot[i]), AP_TASK_QUEUED);
        cr_assert_eq(ap_task_claim(seg, lane.index, 0, two_refs[i], &token), 1, "it runs again");
        if (i == 0) ap_task_finish(seg, slot[i], token, 0);
        words[i] = word_of(slot[i]);
    }
    cr_assert_eq(ap_lane_at(seg, victim)->life, life, "the index is nobody's while the lock is held");
    kill(pid, SIGCONT);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", (unsigned)status);
    for (int i = 0; i < 2; i++) cr_assert_eq(word_of(slot[i]), words[i], "what has been run again is left alone");
    cr_assert_eq(ap_lane_at(seg, victim)->life, AP_LIFE(AP_LIFE_EPOCH(life) + 1, AP_LIFE_FREE));
    cr_assert_eq(AP_QUEUE_STATE(ap_queue_at(seg, 2)->life), AP_QUEUE_FREE);
    cr_assert_eq(ap_reap_held(seg, victim), 0);
}

Test(reap, the_living_are_not_helped)
{
    cr_assert_eq(ap_reap_held(seg, lane.index), 0);
    cr_assert_eq(ap_reap_beside(seg, AP_NO_LANE, lane.index, NULL), 0);
    cr_assert_eq(ap_reap_held(seg, 999999), 0);
    cr_assert_eq(ap_reap_beside(seg, AP_NO_LANE, 999999, NULL), 0);
}

/* ---- waking ---------------------------------------------------------------------------------------------------- */

Test(reap, every_bell_is_rung)
{
    uint32_t before;

    ap_bell_raise(&lane.lane->bell);
    before = ap_load_relaxed(&lane.lane->bell);
    fixture_die(NULL);
    cr_assert_eq(reap(), 1);
    cr_assert_neq(ap_load_relaxed(&lane.lane->bell), before);
    cr_assert_eq(ap_load_relaxed(&lane.lane->bell) & 1, 0);
}

/* ---- sweep ------------------------------------------------------------------------------------------------------ */

Test(reap, sweep_ends_what_is_past_its_deadline)
{
    uint32_t late = publish(0), open = publish(0);
    uint64_t now = seg->ops->now();

    ap_slot_at(seg, late)->deadline = now - 1;
    ap_slot_at(seg, open)->deadline = now + UINT64_C(1000000000000);
    cr_assert_eq(ap_sweep(seg, lane.index, NULL), now + UINT64_C(1000000000000));
    cr_assert_eq(state_of(late), AP_TASK_FAILED);
    cr_assert_eq(ap_word_code(word_of(late)), APIARY_ETIMEDOUT);
    cr_assert_eq(state_of(open), AP_TASK_QUEUED);
}

Test(reap, sweep_frees_what_nobody_will_collect)
{
    uint32_t slot = publish(0);
    uint64_t token;

    cr_assert_eq(ap_task_claim(seg, lane.index, 0, shared_ref, &token), 1);
    ap_task_finish(seg, slot, token, 0);
    ap_slot_at(seg, slot)->deadline = UINT64_MAX;
    ap_sweep(seg, lane.index, NULL);
    cr_assert_eq(state_of(slot), AP_TASK_DONE, "its client lives");
    ap_slabs_release(&slabs);
    ap_sweep(seg, lane.index, NULL);
    cr_assert_eq(state_of(slot), AP_TASK_FREE);
}

Test(reap, events_tell)
{
    struct ap_event e;
    int told = 0;

    fixture_die(NULL);
    reap();
    for (uint64_t n = 1; n < seg->header->event_next; n++)
        if (ap_event_read(seg, n, &e) && e.kind == AP_EVENT_LANE_REAPED) told++;
    cr_assert_eq(told, 1);
    cr_assert_eq(ap_event_read(seg, 999999, &e), 0);
    cr_assert_str_eq(ap_event_text(AP_EVENT_LANE_REAPED), "lane of a dead thread recovered");
    cr_assert_str_eq(ap_event_text(12345), "unknown");
}
