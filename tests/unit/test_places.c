/* How many tasks of a capability run at once: at one worker, over several, and after a death. */
#include "tests/unit/steps_fixture.h"

#include "agents/runtime/placed.h"
#include "registry/routing/places.h"

static void places_setup(void)
{
    steps_more = "third";
    steps_setup();
}

TestSuite(places, .init = places_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static uint32_t first(void)
{
    int capability = ap_capability_find(b->seg, "first", 5);

    cr_assert_geq(capability, 0);
    return (uint32_t)capability;
}

static void declare(uint32_t concurrency)
{
    struct ap_terms_conflicts conflicts = {.count = 0};
    uint64_t said[AP_TERMS] = {[AP_TERM_concurrency] = concurrency + 1};

    ap_terms_declare(b->seg, b->anchor->lane.index, hive.agents[0].queue, first(), said, &conflicts);
    ap_placed_learn(&hive.worker);
    cr_assert_eq(hive.agents[0].bounded, concurrency != 0);
    cr_assert_not(hive.agents[1].bounded);
}

static int serve(void)
{
    return ap_worker_serve(&hive.worker);
}

static int rests(void)
{
    uint32_t bell;

    return ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell);
}

/* A worker of which nothing waits in such a way sleeps until its bell is rung. */
Test(places, who_waits_for_none_need_not_look)
{
    cr_expect_not(ap_placed_waits(&hive.agents[0]));
    declare(1);
    cr_expect_not(ap_placed_waits(&hive.agents[0]));
    hive.agents[0].stalled = AP_REF(1, 1);
    cr_expect(ap_placed_waits(&hive.agents[0]));
    hive.agents[0].stalled = 0;
    hive.agents[0].aside = AP_REF(1, 1);
    cr_expect(ap_placed_waits(&hive.agents[0]));
    declare(0);
    cr_expect_not(ap_placed_waits(&hive.agents[0]), "a suspect has its own time");
    hive.agents[0].aside = 0;
}

/* Before its first task, of what was declared before it came. */
Test(places, a_worker_that_begins_knows_the_bound)
{
    declare(1);
    hive.agents[0].bounded = false;
    hive_handlers(keep, keep);
    asked("first", "x", 1, LONG);
    asked("first", "x", 1, LONG);
    ap_worker_consume(&hive.worker);
    cr_expect(hive.agents[0].bounded);
    cr_expect_eq(serve(), 1);
    cr_expect_eq(kept_count, 1);
}

Test(places, so_many_run_and_the_others_wait)
{
    apiary_task_t tasks[4];

    hive_handlers(keep, keep);
    declare(2);
    for (int i = 0; i < 4; i++) tasks[i] = asked("first", "x", 1, SECOND);
    cr_expect_eq(serve(), 2);
    cr_expect_eq(hive.agents[0].in_hand, 2);
    cr_expect_eq(ap_places_taken(b->seg, first()), 2);
    cr_expect_not(ap_places_free(b->seg, first()));
    cr_expect_eq(ap_queue_depth(b->seg, hive.agents[0].queue), 2, "they stay where they are");
    cr_expect_eq(serve(), 0);
    cr_expect(rests(), "nothing may be started");
    cr_expect_eq(apiary_job_reply(kept[0], "a", 1), 0);
    cr_expect_eq(ap_places_taken(b->seg, first()), 1);
    cr_expect_not(rests());
    cr_expect_eq(serve(), 1);
    for (int i = 1; i < 3; i++) cr_expect_eq(apiary_job_reply(kept[i], "b", 1), 0);
    cr_expect_eq(serve(), 1);
    cr_expect_eq(apiary_job_reply(kept[3], "c", 1), 0);
    for (int i = 0; i < 4; i++) cr_expect_eq(code_of(tasks[i]), 0);
    cr_expect_eq(ap_places_taken(b->seg, first()), 0);
    cr_expect_eq(ap_places_waited(b->seg, first()), 2, "each once, however often it was looked at");
}

/* A task of another capability, which came another way. */
Test(places, others_are_not_held_up)
{
    apiary_task_t bounded[2], other;
    apiary_t *c = steps_attach();

    hive_handlers(keep, echo);
    declare(1);
    for (int i = 0; i < 2; i++) bounded[i] = asked("first", "x", 1, SECOND);
    cr_assert_eq(apiary_delegate(c, "second", "y", 1, NULL, &other), 0);
    cr_expect_eq(serve(), 2);
    cr_expect_eq(hive.agents[0].in_hand, 1);
    cr_expect_eq(apiary_job_reply(kept[0], "a", 1), 0);
    cr_expect_eq(serve(), 1);
    cr_expect_eq(apiary_job_reply(kept[1], "a", 1), 0);
    for (int i = 0; i < 2; i++) cr_expect_eq(code_of(bounded[i]), 0);
    steps_detach(c);
}

/* Of the same agent, and from the same thread, behind them. */
Test(places, what_is_behind_them_is_not_held_up)
{
    apiary_task_t bounded[3], other;

    hive_handlers(keep, echo);
    declare(1);
    for (int i = 0; i < 3; i++) bounded[i] = asked("first", "x", 1, SECOND);
    other = asked("third", "y", 1, SECOND);
    cr_expect_eq(serve(), 2);
    cr_expect_eq(kept_count, 2);
    cr_expect_eq(ap_places_taken(b->seg, first()), 1);
    cr_expect_eq(apiary_job_reply(kept[1], "c", 1), 0);
    cr_expect_eq(code_of(other), 0);
    cr_expect(rests());
    other = asked("third", "y", 1, SECOND);
    cr_expect_not(rests(), "what may be started is behind what may not");
    cr_expect_eq(serve(), 1);
    cr_expect_eq(apiary_job_reply(kept[2], "c", 1), 0);
    cr_expect_eq(code_of(other), 0);
    cr_expect_eq(apiary_job_reply(kept[0], "a", 1), 0);
    for (int i = 1; i < 3; i++) {
        cr_expect_eq(serve(), 1);
        cr_expect_eq(apiary_job_reply(kept[2 + i], "b", 1), 0);
    }
    for (int i = 0; i < 3; i++) cr_expect_eq(code_of(bounded[i]), 0);
}

static apiary_task_t ranked(const char *capability, uint64_t priority)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = SECOND, .priority = priority};
    apiary_task_t task = {0};

    clock_now++;
    cr_assert_eq(apiary_delegate(a, capability, "x", 1, &o, &task), 0);
    return task;
}

/* What a dead worker has left is in no ring. An urgent task that may not be started, and comes meanwhile, does not hold it up. */
Test(places, a_scan_does_not_wait_for_what_may_not_be_started)
{
    struct ap_agent *agent = &hive.agents[0];
    apiary_task_t lost[3], urgent;
    uint32_t place;

    hive_handlers(echo, echo);
    declare(1);
    cr_assert(ap_places_take(b->seg, first(), &a->anchor->lane, &place));
    for (int i = 0; i < 3; i++) lost[i] = ranked("third", i == 0 ? APIARY_PRIORITY_HIGH : 0);
    for (int i = 0; i < 3; i++) cr_assert_neq(ap_queue_pop(&agent->consumer), 0);
    ap_worker_consume(&hive.worker);
    ap_worker_start_task(&hive.worker, agent, ap_queue_scan(&agent->consumer, &agent->cursor));
    cr_expect_eq(code_of(lost[0]), 0);
    urgent = ranked("first", APIARY_PRIORITY_URGENT);
    cr_expect_eq(serve(), 2);
    for (int i = 1; i < 3; i++) cr_expect_eq(code_of(lost[i]), 0);
    cr_expect_eq(agent->stalled, 0);
    cr_expect_eq(code_of(urgent), 1);
    cr_expect_eq(ap_queue_depth(b->seg, agent->queue), 1, "it is where it was");
    ap_places_return(b->seg, first(), &a->anchor->lane, place, AP_NO_QUEUE);
    cr_expect_eq(serve(), 1);
    cr_expect_eq(code_of(urgent), 0);
    cr_expect_eq(ap_places_taken(b->seg, first()), 0);
}

/* It may be started, and goes between with the one place that there is. */
Test(places, a_scan_lets_go_first_what_may_be_started)
{
    struct ap_agent *agent = &hive.agents[0];
    apiary_task_t lost[2], urgent;

    hive_handlers(keep, echo);
    declare(1);
    lost[0] = ranked("third", APIARY_PRIORITY_HIGH);
    lost[1] = ranked("third", 0);
    for (int i = 0; i < 2; i++) cr_assert_neq(ap_queue_pop(&agent->consumer), 0);
    ap_worker_consume(&hive.worker);
    ap_worker_start_task(&hive.worker, agent, ap_queue_scan(&agent->consumer, &agent->cursor));
    urgent = ranked("first", APIARY_PRIORITY_URGENT);
    cr_expect_eq(serve(), 2);
    cr_assert_eq(kept_count, 3);
    cr_expect_eq(ap_places_taken(b->seg, first()), 1);
    cr_expect_eq(apiary_job_reply(kept[1], "u", 1), 0);
    cr_expect_eq(code_of(urgent), 0, "the second that was started");
    cr_expect_eq(ap_places_taken(b->seg, first()), 0);
    cr_expect_eq(apiary_job_reply(kept[0], "a", 1), 0);
    cr_expect_eq(apiary_job_reply(kept[2], "b", 1), 0);
    for (int i = 0; i < 2; i++) cr_expect_eq(code_of(lost[i]), 0);
}

/* A reference without a task costs no place, and one that fails gives it back. */
Test(places, what_is_not_started_has_none)
{
    apiary_task_t task = asked("first", "x", 1, SECOND), late;
    struct ap_slot *slot;
    uint64_t word;

    hive_handlers(keep, keep);
    declare(1);
    cr_assert_eq(apiary_cancel(a, task), 0);
    late = asked("first", "y", 1, 1000);
    clock_now += 2000;
    cr_expect_geq(serve(), 1);
    cr_expect_eq(hive.agents[0].in_hand, 0);
    cr_expect_eq(ap_places_taken(b->seg, first()), 0, "it was too late");
    cr_expect_eq(code_of(late), APIARY_ETIMEDOUT);
    /* A suspect waits until nothing else is in hand: its place does not wait with it. */
    task = asked("first", "z", 1, SECOND);
    declare(2);
    serve();
    late = asked("first", "s", 1, SECOND);
    slot = ap_slot_at(b->seg, late.slot);
    word = ap_load_relaxed(&slot->word);
    ap_store_relaxed(&slot->word, word + AP_WORD_CRASHED(1));
    serve();
    cr_expect_neq(hive.agents[0].aside, 0);
    cr_expect_eq(ap_places_taken(b->seg, first()), 1);
    cr_expect_eq(apiary_job_reply(kept[0], "a", 1), 0);
    cr_expect_geq(serve(), 1);
    cr_expect_eq(ap_places_taken(b->seg, first()), 1, "the suspect's");
    cr_expect_eq(apiary_job_reply(kept[1], "a", 1), 0);
    cr_expect_eq(code_of(task), 0);
    cr_expect_eq(code_of(late), 0);
}

/* A task that had a place and is gone when it is to be claimed: the next one that asks gives that place back first. */
Test(places, a_place_that_was_taken_in_vain)
{
    struct ap_agent *agent = &hive.agents[0];
    apiary_task_t tasks[2] = {asked("first", "x", 1, SECOND), asked("first", "y", 1, SECOND)};

    declare(2);
    for (int i = 0; i < 2; i++) {
        cr_expect(ap_placed_may(agent, AP_REF(tasks[i].slot, tasks[i].generation)));
        cr_expect_eq(ap_places_taken(b->seg, first()), 1, "%d", i);
        cr_expect_neq(agent->spare->placed, 0);
    }
    hive_handlers(count, count);
    cr_expect_eq(serve(), 2);
    cr_expect_eq(ap_places_taken(b->seg, first()), 0);
    for (int i = 0; i < 2; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

/* Found by a scan of the table: in no ring. */
Test(places, what_a_scan_has_found_waits)
{
    struct ap_ring *ring;
    apiary_task_t task, found;

    hive_handlers(keep, keep);
    declare(1);
    task = asked("first", "x", 1, SECOND);
    cr_expect_eq(serve(), 1);
    found = asked("first", "y", 1, SECOND);
    for (uint32_t r = 0; r <= b->seg->geometry.queue_inlets; r++) { /* the reference is lost with a consumer */
        ring = ap_ring_at(b->seg, hive.agents[0].queue, r);
        hive.agents[0].consumer.rings[r].head = ring->tail;
        ap_store_release(&ring->head, ring->tail);
    }
    ap_add_acq_rel(&b->seg->header->rescan, 1);
    clock_now++;
    cr_expect_eq(serve(), 0);
    cr_expect_eq(hive.agents[0].stalled, AP_REF(found.slot, found.generation));
    cr_expect(rests());
    cr_expect_eq(apiary_job_reply(kept[0], "a", 1), 0);
    cr_expect_not(rests());
    cr_expect_eq(serve(), 1);
    cr_expect_eq(hive.agents[0].stalled, 0);
    cr_expect_eq(apiary_job_reply(kept[1], "a", 1), 0);
    cr_expect_eq(code_of(task), 0);
    cr_expect_eq(code_of(found), 0);
}

/* The bound goes while one is in no ring, and while one waits to run alone. */
Test(places, what_is_in_no_ring_is_not_forgotten)
{
    uint32_t bell;

    hive_handlers(keep, keep);
    declare(1);
    hive.agents[0].stalled = AP_REF(7, 1); /* of a task that is gone */
    {
        struct ap_terms_conflicts conflicts = {.count = 0};
        uint64_t said[AP_TERMS] = {[AP_TERM_concurrency] = 1};

        ap_terms_declare(b->seg, b->anchor->lane.index, hive.agents[0].queue, first(), said, &conflicts);
    }
    ap_placed_learn(&hive.worker);
    cr_expect(hive.agents[0].bounded);
    serve();
    cr_expect_eq(hive.agents[0].stalled, 0);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_not(hive.agents[0].bounded);
}

/* As recovery has it done. */
static void settle(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    for (uint32_t i = 0; i < seg->parts->count; i++)
        if (strcmp(seg->parts->rows[i]->name, "places") == 0) seg->parts->rows[i]->settle(seg, lane, beside);
}

/* Of a lane that ends all of its places come back, and of no other; and none while it lives another life. */
Test(places, only_its_own_come_back_when_a_lane_ends)
{
    const uint32_t lane = b->anchor->lane.index;
    const uint64_t life = ap_load_acquire(&b->anchor->lane.lane->life);
    uint32_t mine[2], others;

    declare(3);
    cr_assert(ap_places_take(b->seg, first(), &b->anchor->lane, &mine[0]));
    cr_assert(ap_places_take(b->seg, first(), &a->anchor->lane, &others));
    cr_assert(ap_places_take(b->seg, first(), &b->anchor->lane, &mine[1]));
    settle(b->seg, lane, life + 1);
    cr_expect_eq(ap_places_taken(b->seg, first()), 3, "it is another life");
    settle(b->seg, lane, life);
    cr_expect_eq(ap_places_taken(b->seg, first()), 1);
    cr_assert(ap_places_take(b->seg, first(), &b->anchor->lane, &mine[0]));
    settle(b->seg, lane, 0);
    cr_expect_eq(ap_places_taken(b->seg, first()), 1);
    ap_places_return(b->seg, first(), &a->anchor->lane, others, hive.agents[0].queue);
    cr_expect_eq(ap_places_taken(b->seg, first()), 0, "the other's was the other's still");
}

/* ---- over several workers --------------------------------------------------------------------------------------------- */

Test(places, a_place_is_one_lanes)
{
    uint32_t mine, others;

    declare(2);
    cr_assert(ap_places_take(b->seg, first(), &a->anchor->lane, &others));
    cr_assert(ap_places_take(b->seg, first(), &b->anchor->lane, &mine));
    cr_expect_neq(mine, others);
    cr_expect_not(ap_places_take(b->seg, first(), &b->anchor->lane, &mine));
    ap_places_return(b->seg, first(), &b->anchor->lane, others, hive.agents[0].queue);
    cr_expect_eq(ap_places_taken(b->seg, first()), 2, "it was not its own");
    ap_places_return(b->seg, first(), &b->anchor->lane, AP_PLACES, hive.agents[0].queue);
    declare(1);
    ap_places_return(b->seg, first(), &a->anchor->lane, others, hive.agents[0].queue);
    cr_expect_eq(ap_places_taken(b->seg, first()), 1);
    ap_places_return(b->seg, first(), &b->anchor->lane, mine, hive.agents[0].queue);
    cr_expect_eq(ap_places_taken(b->seg, first()), 0);
}

/* By a lane that is dead, and by an earlier life of one that lives. */
Test(places, the_dead_have_none)
{
    uint64_t *word = &ap_places_at(b->seg, first())->holder[0];
    const struct ap_lane_handle *l = &b->anchor->lane;
    uint32_t place;

    declare(1);
    *word = (l->epoch - 1) << 16 | (l->index + 1);
    cr_expect(ap_places_free(b->seg, first()));
    cr_expect_eq(ap_places_taken(b->seg, first()), 0);
    *word = UINT64_C(1) << 16 | (b->seg->geometry.lanes); /* the last lane, which nobody has */
    cr_expect(ap_places_free(b->seg, first()));
    cr_expect(ap_places_take(b->seg, first(), l, &place));
    cr_expect_eq(*word, l->epoch << 16 | (l->index + 1));
    ap_places_return(b->seg, first(), l, place, hive.agents[0].queue);
    cr_expect_eq(*word, 0);
}

/* Its reference is passed over, though no place is free. */
Test(places, what_was_cancelled_waits_for_none)
{
    apiary_task_t first_one, cancelled;

    hive_handlers(keep, keep);
    declare(1);
    first_one = asked("first", "x", 1, LONG);
    cr_expect_eq(serve(), 1);
    cancelled = asked("first", "x", 1, LONG);
    cr_expect_eq(serve(), 0);
    cr_expect_eq(ap_queue_depth(b->seg, hive.agents[0].queue), 1);
    cr_assert_eq(apiary_cancel(a, cancelled), 0);
    serve();
    cr_expect(rests());
    cr_expect_eq(ap_queue_depth(b->seg, hive.agents[0].queue), 0);
    cr_expect_eq(code_of(cancelled), APIARY_ECANCELLED);
    cr_expect_eq(apiary_job_reply(kept[0], "a", 1), 0);
    cr_expect_eq(code_of(first_one), 0);
}

static char findings[512];

static void on_finding(void *user, const struct ap_finding *f)
{
    size_t n = strlen(findings);

    (void)user;
    if (strcmp(f->structure, "places") != 0) return; /* the clock of these tests is not that of the lanes */
    snprintf(findings + n, sizeof findings - n, "%s%s: %s", n > 0 ? "; " : "", f->rule, f->text);
}

static const char *checked(void)
{
    struct ap_report report = {.found = on_finding};

    findings[0] = '\0';
    ap_check_all(b->seg, &report);
    return findings;
}

/* Of a lane in its first life as of one in a later one. */
Test(places, who_has_one_and_who_seems_to)
{
    uint64_t *word = &ap_places_at(b->seg, first())->holder[0];
    const struct ap_lane_handle *own = &b->anchor->lane;
    struct ap_lane_handle later;
    uint32_t place, last = b->seg->geometry.lanes - 1;

    declare(1);
    cr_assert_eq(own->epoch, 0);
    cr_assert(ap_places_take(b->seg, first(), own, &place));
    cr_expect_str_eq(checked(), "");
    ap_places_return(b->seg, first(), own, place, hive.agents[0].queue);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ap_lane_open(b->seg, b->member, &later), 0);
        cr_assert_eq(later.epoch, (uint64_t)i);
        cr_assert(ap_places_take(b->seg, first(), &later, &place));
        cr_expect_str_eq(checked(), "");
        ap_lane_close(&later);
        cr_expect_str_eq(checked(), "N1: lane 2, which has it, is gone");
        ap_places_return(b->seg, first(), &later, place, hive.agents[0].queue);
    }
    *word = UINT64_C(1) << 16 | (own->index + 1);
    cr_expect_str_eq(checked(), "N1: lane 1, which has it, is gone", "a later life than the lane has");
    *word = UINT64_C(1) << 16 | (last + 1);
    cr_expect_not_null(strstr(checked(), "which has it, is gone"));
    *word = last + 2;
    cr_expect_not_null(strstr(checked(), "is out of range"));
    *word = 0;
    cr_expect_str_eq(checked(), "");
}

/* Another provider, which sleeps, with something in its rings. */
Test(places, the_others_are_told)
{
    static const char *const capabilities[] = {"first", NULL};
    struct ap_agent_registration agent = {.name = "other", .capabilities = capabilities, .lane = a->anchor->lane.index};
    struct ap_swarm_registration other = {.service = "others", .lane = a->anchor->lane.index, .member = a->member,
                                          .agents = &agent, .agent_count = 1};
    struct ap_lane *lane = a->anchor->lane.lane;
    uint32_t place, bell;

    cr_assert_eq(ap_swarm_register(a->seg, &other), 0);
    declare(1);
    cr_assert(ap_places_take(b->seg, first(), &b->anchor->lane, &place));
    bell = ap_bell_raise(&lane->bell);
    ap_places_return(b->seg, first(), &b->anchor->lane, place, hive.agents[0].queue);
    cr_expect_eq(ap_load_relaxed(&lane->bell), bell, "nothing waits there");
    cr_assert(ap_places_take(b->seg, first(), &b->anchor->lane, &place));
    cr_assert_eq(ap_queue_push_shared(b->seg, agent.queue, AP_REF(0, 1)), 0);
    ap_places_return(b->seg, first(), &b->anchor->lane, place, hive.agents[0].queue);
    cr_expect_neq(ap_load_relaxed(&lane->bell), bell);
    ap_swarm_deregister(a->seg, a->anchor->lane.index, &other);
}
