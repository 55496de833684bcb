/* What an idle worker takes over from other agents of its queen, and what it leaves. */
#include "tests/unit/steps_fixture.h"

#include "agents/runtime/placed.h"
#include "agents/runtime/takeover.h"
#include "registry/routing/places.h"

TestSuite(takeover, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

#define MS UINT64_C(1000000)
#define WAITING 4

static struct ap_agent_registration other_agent;
static struct ap_swarm_registration other;
static struct ap_queue *other_queue;
static struct ap_consumer other_consumer;
static apiary_task_t tasks[WAITING];

/* Another agent that offers the same, with so many tasks in hand, which took so long in the mean. */
static void other_says(uint64_t run_time, uint32_t running)
{
    const struct ap_queue_tally tally = {.started = 1, .run_time = run_time, .now = clock_now};

    ap_queue_tell(&other_consumer, &tally);
    ap_queue_running(&other_consumer, running);
}

static bool for_it_only; /* the tasks that wait name it */

/* Tasks wait there. */
static void other_enters(uint64_t key)
{
    static const char *const capabilities[] = {"first", NULL};
    apiary_delegate_options_t o = {.struct_size = sizeof o, .key = key};

    other_agent = (struct ap_agent_registration){.name = "other", .capabilities = capabilities, .lane = a->anchor->lane.index};
    other = (struct ap_swarm_registration){.service = "others", .lane = a->anchor->lane.index, .member = a->member,
                                           .agents = &other_agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(a->seg, &other), 0);
    cr_assert(ap_swarm_beat(a->seg, &other, APIARY_PASSING, 0));
    cr_assert(ap_swarm_beat(b->seg, &hive.queen.registration, APIARY_PASSING, 0));
    other_queue = ap_queue_at(a->seg, other_agent.queue);
    ap_consumer_init(&other_consumer, a->seg, other_agent.queue);
    if (for_it_only) o.provider = AP_PROVIDER(other_agent.queue, ap_load_relaxed(&other_queue->life));
    ap_queue_running(&hive.agents[0].consumer, 1000); /* so that they go to the other */
    for (int i = 0; i < WAITING; i++) cr_assert_eq(apiary_delegate(a, "first", "x", 1, &o, &tasks[i]), 0);
    cr_assert_eq(ap_queue_depth(a->seg, other_agent.queue), WAITING);
    ap_queue_running(&hive.agents[0].consumer, 0);
    other_says(MS, 1);
}

/* The queen with a second worker, which has the other agent. */
static struct ap_agent both[2];
static struct ap_worker elsewhere;

static void queen_has_both(void)
{
    both[0] = hive.agents[0];
    both[1] = (struct ap_agent){.queen = &hive.queen, .worker = &elsewhere, .queue = other_agent.queue};
    hive.queen.agents = both;
    hive.queen.agent_count = 2;
    hive.queen.worker_count = 2;
}

static int states(int code)
{
    int n = 0;

    for (int i = 0; i < WAITING; i++) n += code_of(tasks[i]) == code;
    return n;
}

/* One at a time, the oldest first; the other's consumer finds nothing of it. */
Test(takeover, what_waits_behind_a_long_task)
{
    uint32_t bell;

    other_enters(0);
    queen_has_both();
    for (int i = 0; i < WAITING; i++) {
        cr_expect_eq(code_of(tasks[i]), 1);
        cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell), "%d", i);
        cr_expect_eq(ap_load_relaxed(&queue_at(0)->taken), (uint64_t)i + 1);
        cr_expect_eq(ap_worker_serve(&hive.worker), 1);
        cr_expect_eq(code_of(tasks[i]), 0);
    }
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    for (uint64_t ref, token; (ref = ap_queue_pop(&other_consumer)) != 0;)
        cr_expect_not(ap_task_claim(a->seg, a->anchor->lane.index, other_agent.queue, ref, &token));
}

/* The oldest are over, or at work, and their references are still there. */
Test(takeover, references_of_others_tasks_are_passed_over)
{
    uint64_t token, ref = AP_REF(0, 0);

    other_enters(0);
    queen_has_both();
    cr_assert_eq(apiary_cancel(a, tasks[0]), 0);
    ref = AP_REF(tasks[1].slot, tasks[1].generation);
    cr_assert(ap_task_claim(a->seg, a->anchor->lane.index, other_agent.queue, ref, &token));
    cr_expect(ap_takeover(&hive.worker));
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(code_of(tasks[2]), 0);
    cr_assert_eq(ap_task_finish(a->seg, tasks[1].slot, token, 0), 0);
}

/* It was moved on meanwhile, and waits at a third queue. */
Test(takeover, what_was_moved_on_is_passed_over)
{
    const struct ap_slot *slot;

    other_enters(0);
    queen_has_both();
    slot = ap_slot_at(a->seg, tasks[0].slot);
    cr_assert(ap_task_move(a->seg, tasks[0].slot, slot->word, hive.agents[1].queue));
    cr_expect(ap_takeover(&hive.worker));
    cr_expect_eq(AP_WORD_OWNER(slot->word), hive.agents[1].queue);
    cr_expect_eq(AP_WORD_OWNER(ap_slot_at(a->seg, tasks[1].slot)->word), hive.agents[0].queue);
}

/* What a name without a major means was decided when the task was sent there. */
Test(takeover, only_of_one_that_offers_the_same)
{
    struct ap_agent_record *record;

    other_enters(0);
    queen_has_both();
    record = ap_agent_at(a->seg, other_agent.queue);
    record->capability_count++;
    cr_expect_not(ap_takeover(&hive.worker), "one more, and the rest alike");
    record->capability_count--;
    record->capabilities[0] ^= 1;
    cr_expect_not(ap_takeover(&hive.worker), "as many");
    record->capabilities[0] ^= 1;
    cr_expect(ap_takeover(&hive.worker));
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
}

Test(takeover, what_will_be_begun_there_at_once)
{
    other_enters(0);
    queen_has_both();
    other_says(MS, 0);
    cr_expect_not(ap_takeover(&hive.worker), "it has nothing in hand");
    other_says(AP_TAKEOVER_PAYS - 1, 1);
    cr_expect_not(ap_takeover(&hive.worker), "its tasks are short");
    other_says(AP_TAKEOVER_PAYS, 1);
    cr_expect(ap_takeover(&hive.worker));
    other_says(0, 1);
    cr_expect(ap_takeover(&hive.worker), "its first task is not over");
    cr_expect_eq(ap_worker_serve(&hive.worker), 2);
}

/* Of a capability of which so many may run at once, and do. */
Test(takeover, what_could_not_be_started_here_stays)
{
    struct ap_terms_conflicts conflicts = {.count = 0};
    uint64_t said[AP_TERMS] = {[AP_TERM_concurrency] = 1 + 1};
    int capability = ap_capability_find(a->seg, "first", 5);
    uint32_t place;

    other_enters(0);
    queen_has_both();
    ap_terms_declare(a->seg, a->anchor->lane.index, other_agent.queue, (uint32_t)capability, said, &conflicts);
    ap_placed_learn(&hive.worker);
    cr_assert(ap_places_take(a->seg, (uint32_t)capability, &a->anchor->lane, &place));
    cr_expect_not(ap_takeover(&hive.worker));
    ap_places_return(a->seg, (uint32_t)capability, &a->anchor->lane, place, other_agent.queue);
    cr_expect(ap_takeover(&hive.worker));
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(code_of(tasks[0]), 0);
}

Test(takeover, what_belongs_to_the_others_state_stays)
{
    struct ap_terms_conflicts conflicts = {.count = 0};
    uint64_t said[AP_TERMS] = {[AP_TERM_stateful] = 1 + 1};

    other_enters(0);
    queen_has_both();
    ap_terms_declare(a->seg, a->anchor->lane.index, other_agent.queue, (uint32_t)ap_capability_find(a->seg, "first", 5), said,
                     &conflicts);
    cr_expect_not(ap_takeover(&hive.worker));
    cr_expect_eq(states(1), WAITING);
}

Test(takeover, an_agent_that_may_start_nothing_takes_nothing)
{
    other_enters(0);
    queen_has_both();
    hive.agents[0].outlier.until = clock_now + SECOND;
    cr_expect_not(ap_takeover(&hive.worker));
    hive.agents[0].outlier.until = 0;
    hive.agents[0].held_until = clock_now + SECOND;
    cr_expect_not(ap_takeover(&hive.worker));
    hive.agents[0].held_until = 0;
    hive.agents[0].in_hand = hive.agents[0].limit;
    cr_expect_not(ap_takeover(&hive.worker));
    hive.agents[0].in_hand = 0;
    both[1].worker = &hive.worker;
    cr_expect_not(ap_takeover(&hive.worker), "they share a thread");
    cr_expect_eq(states(1), WAITING);
}

Test(takeover, what_only_the_other_may_run)
{
    for_it_only = true;
    other_enters(0);
    queen_has_both();
    cr_expect_not(ap_takeover(&hive.worker));
    cr_expect_eq(states(1), WAITING);
}

/* It reads a few references at a time, and goes on where it was: what is nobody's any more does not keep it from the rest. */
Test(takeover, a_long_ring_is_looked_through_in_parts)
{
    uint32_t looks = 2;

    other_enters(0);
    queen_has_both();
    for (int i = 0; i < WAITING - 1; i++) cr_assert_eq(apiary_cancel(a, tasks[i]), 0);
    cr_expect_not(ap_takeover_from(&hive.worker, &hive.agents[0], other_agent.queue, &looks));
    cr_expect_eq(looks, 0);
    cr_expect_not(ap_takeover_from(&hive.worker, &hive.agents[0], other_agent.queue, &looks));
    looks = 2;
    cr_expect(ap_takeover_from(&hive.worker, &hive.agents[0], other_agent.queue, &looks));
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(code_of(tasks[WAITING - 1]), 0);
    for (int i = 0; i < WAITING; i++) cr_assert_neq(ap_queue_pop(&other_consumer), 0);
    ap_queue_running(&hive.agents[0].consumer, 1000);
    cr_assert_eq(apiary_delegate(a, "first", "x", 1, NULL, &tasks[0]), 0);
    looks = 1;
    cr_expect(ap_takeover_from(&hive.worker, &hive.agents[0], other_agent.queue, &looks), "before its place there is one now");
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(code_of(tasks[0]), 0);
}

/* Those of a key belong there, and a suspect waits for its turn to be alone. */
Test(takeover, what_stays)
{
    struct ap_slot *slot;
    uint32_t looks = AP_TAKEOVER_LOOKS;

    other_enters(7);
    queen_has_both();
    cr_expect_not(ap_takeover(&hive.worker));
    cr_expect_eq(states(1), WAITING);
    cr_assert_eq(apiary_delegate(a, "first", "x", 1, NULL, &tasks[0]), 0);
    slot = ap_slot_at(a->seg, tasks[0].slot);
    cr_assert_eq(AP_WORD_OWNER(ap_load_relaxed(&slot->word)), hive.agents[0].queue, "with fewer tasks");
    cr_expect_not(ap_takeover_from(&hive.worker, &hive.agents[1], hive.agents[0].queue, &looks), "it does not offer that");
    ap_store_relaxed(&slot->word, ap_load_relaxed(&slot->word) + AP_WORD_CRASHED(1));
    cr_expect_not(ap_takeover_from(&hive.worker, &hive.agents[0], hive.agents[0].queue, &looks));
}
