/* A fallback: what stands in for a capability without a provider, and when. */
#include "rules_fixture.h"

TestSuite(fallback, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const struct ap_rules no_caller = {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "caller"}}};

/* As enter, of one capability. */
static void enter_as(uint32_t i, const char *name, const char *fallback)
{
    static struct ap_rules rules[MOST];
    static const char *names[MOST][2];
    struct provider *p = &all[i];

    snprintf(p->service, sizeof p->service, "s%u", i);
    names[i][0] = name;
    rules[i] = (struct ap_rules){.count = fallback != NULL, .list = {{.verb = AP_RULE_FALLBACK}}};
    if (fallback != NULL) snprintf(rules[i].list[0].to, sizeof rules[i].list[0].to, "%s", fallback);
    p->agent = (struct ap_agent_registration){.name = "agent", .capabilities = names[i], .rules = &rules[i],
                                              .lane = client->anchor->lane.index};
    p->swarm = (struct ap_swarm_registration){.service = p->service, .lane = client->anchor->lane.index,
                                              .member = client->member, .agents = &p->agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, &p->swarm), 0);
}

static uint32_t index_of(const char *name)
{
    int capability = ap_capability_find(client->seg, name, strlen(name));

    cr_assert_geq(capability, 0);
    return (uint32_t)capability;
}

static uint64_t fell_back(const char *name)
{
    return ap_terms_at(client->seg, index_of(name))->fell_back;
}

/* The capability of a task that is delegated as "first", or the error. */
static int goes_to(const apiary_delegate_options_t *o)
{
    apiary_task_t task;
    int r = apiary_delegate(client, "first", "a", 1, o, &task);

    if (r < 0) return r;
    r = ap_slot_at(client->seg, task.slot)->capability;
    ap_give_up(client, task);
    return r;
}

Test(fallback, a_fallback_stands_in_while_nobody_is_there)
{
    const apiary_delegate_options_t only = {.struct_size = sizeof only, .flags = APIARY_NO_FALLBACK},
                                    keyed = {.struct_size = sizeof keyed, .key = 3},
                                    waiting = {.struct_size = sizeof waiting,
                                               .flags = APIARY_NO_FALLBACK | APIARY_WAIT_FOR_PROVIDER};
    apiary_task_t task;

    enter_as(0, "first", "second");
    cr_expect_eq(goes_to(NULL), (int)index_of("first"));
    depart(0);
    cr_expect_eq(goes_to(NULL), APIARY_ENOPROVIDER, "nobody has ever offered the second");
    enter_as(1, "second", NULL);
    for (int n = 0; n < 3; n++) cr_expect_eq(goes_to(NULL), (int)index_of("second"));
    cr_expect_eq(goes_to(&keyed), (int)index_of("second"));
    cr_expect_eq(goes_to(&only), APIARY_ENOPROVIDER);
    cr_expect_eq(fell_back("first"), 4);
    cr_expect_eq(fell_back("second"), 0);
    cr_assert_eq(apiary_delegate(client, "first", "a", 1, &waiting, &task), 0);
    cr_expect_eq(AP_WORD_STATE(ap_slot_at(client->seg, task.slot)->word), AP_TASK_SCHEDULED);
    enter_as(0, "first", "second");
    cr_expect_eq(goes_to(NULL), (int)index_of("first"));
    cr_expect_eq(fell_back("first"), 4);
    assert_sound();
}

/* A submit rings the consumer of the queue that it has picked, and then looks whether it still is: in between others act. */
static struct ap_ops meddled_ops;
static void (*meddle)(void);

static int meddled_wake(const uint32_t *word, int count)
{
    void (*once)(void) = meddle;

    meddle = NULL;
    if (once != NULL) once();
    return ap_ops_system.futex_wake(word, count);
}

/* It sleeps, so that it is rung. */
static void consumer_sleeps(void)
{
    uint64_t life = ap_load_acquire(&ap_queue_at(client->seg, all[0].agent.queue)->life);

    ap_bell_raise(&ap_lane_at(client->seg, AP_QUEUE_LANE(life))->bell);
}

static void another_has_the_queue(void)
{
    uint32_t queue = all[0].agent.queue;

    depart(0);
    ap_store_relaxed(&ap_agent_at(client->seg, queue)->capability_count, 0); /* it offers something else */
    cr_assert_eq(ap_queue_claim(client->seg, queue, client->anchor->lane.index), 1);
    cr_assert_eq(ap_queue_open(client->seg, queue, client->anchor->lane.index), 1);
}

static void its_queue_is_closed(void)
{
    struct ap_queue *q = ap_queue_at(client->seg, all[0].agent.queue);

    cr_assert_eq(ap_queue_close(client->seg, all[0].agent.queue, ap_load_acquire(&q->life)), 1);
}

Test(fallback, a_fallback_stands_in_for_a_provider_that_leaves_just_now)
{
    const apiary_delegate_options_t only = {.struct_size = sizeof only, .flags = APIARY_NO_FALLBACK};

    enter_as(0, "first", "second");
    enter_as(1, "second", NULL);
    meddled_ops = ap_ops_system;
    meddled_ops.futex_wake = meddled_wake;
    client->seg->ops = &meddled_ops;
    consumer_sleeps();
    meddle = another_has_the_queue;
    cr_expect_eq(goes_to(NULL), (int)index_of("second"));
    cr_assert_null(meddle);
    cr_expect_eq(fell_back("first"), 1);
    its_queue_is_closed();
    enter_as(0, "first", "second");
    consumer_sleeps();
    meddle = another_has_the_queue;
    cr_expect_eq(goes_to(&only), APIARY_ENOPROVIDER);
    cr_assert_null(meddle);
    cr_expect_eq(client->anchor->stand_in, -1);
    its_queue_is_closed();
    assert_sound();
}

/* Nobody was found, and then somebody came, with bounds: nothing of what stood in is left for the next task. */
Test(fallback, what_stood_in_is_forgotten_when_bounds_are_declared)
{
    const apiary_delegate_options_t later = {.struct_size = sizeof later, .delay = 60 * SECOND};
    const struct ap_terms bounds = {.start_to_close = SECOND + 1};
    struct ap_terms_conflicts conflicts = {.count = 0};

    enter_as(0, "first", "second");
    enter_as(1, "second", NULL);
    enter_as(2, "third", NULL);
    ap_terms_declare(client->seg, client->anchor->lane.index, all[0].agent.queue, index_of("first"),
                     (const uint64_t *)(const void *)&bounds, &conflicts);
    client->anchor->stand_in = (int)index_of("second"); /* of the look before they were declared */
    cr_expect_eq(goes_to(NULL), (int)index_of("first"));
    cr_expect_eq(client->anchor->stand_in, -1);
    client->anchor->stand_in = (int)index_of("second");
    cr_expect_eq(goes_to(&later), (int)index_of("first"));
    cr_expect_eq(client->anchor->stand_in, -1);
}

Test(fallback, fallbacks_follow_one_another_and_end)
{
    enter_as(0, "third", NULL);
    enter_as(1, "second", "third");
    enter_as(2, "first", "second");
    depart(1);
    depart(2);
    cr_expect_eq(goes_to(NULL), (int)index_of("third"));
    cr_expect_eq(fell_back("first"), 1);
    cr_expect_eq(fell_back("second"), 0);
    depart(0);
    cr_expect_eq(goes_to(NULL), APIARY_ENOPROVIDER);
    /* Of two configurations: each by itself has no circle. */
    enter_as(0, "third", "first");
    depart(0);
    cr_expect_eq(goes_to(NULL), APIARY_ENOPROVIDER);
    cr_expect_eq(fell_back("first"), 1);
}

static uint32_t clock_reads, leaves_at;

/* Both providers of the fallback leave while the clock is read for this time. */
static uint64_t second_leaves(void)
{
    if (clock_reads++ == leaves_at)
        for (uint32_t i = 1; i <= 2; i++) depart(i);
    return ap_ops_system.now();
}

/* The fallback loses its providers between the look at it and the task's way there: who waits, waits for what was asked for. */
Test(fallback, who_waits_does_not_wait_for_a_fallback)
{
    const apiary_delegate_options_t waiting = {.struct_size = sizeof waiting, .flags = APIARY_WAIT_FOR_PROVIDER};
    struct ap_ops ops = ap_ops_system;
    uint32_t waited = 0;

    ops.now = second_leaves;
    enter_as(0, "first", "second");
    depart(0);
    for (leaves_at = 0;; leaves_at++) {
        const struct ap_slot *slot;
        apiary_task_t task;

        for (uint32_t i = 1; i <= 2; i++) enter_as(i, "second", NULL);
        clock_reads = 0;
        client->seg->ops = &ops;
        cr_assert_eq(apiary_delegate(client, "first", "a", 1, &waiting, &task), 0, "read %u", leaves_at);
        client->seg->ops = &ap_ops_system;
        slot = ap_slot_at(client->seg, task.slot);
        if (AP_WORD_STATE(slot->word) == AP_TASK_SCHEDULED) {
            cr_expect_eq(slot->capability, index_of("first"), "read %u", leaves_at);
            waited++;
        }
        ap_give_up(client, task);
        if (clock_reads <= leaves_at) break;
    }
    cr_expect_geq(waited, 1);
}

Test(fallback, a_fallback_has_rules_of_its_own)
{
    enter_as(0, "first", "work");
    depart(0);
    enter(1, &no_caller);
    cr_expect_eq(goes_to(NULL), APIARY_ENOPROVIDER, "the fallback refuses the caller");
    cr_expect_eq(refused(), 0, "who has not asked for it is not counted");
    depart(1);
    enter(1, &(struct ap_rules){.count = 1, .list = {{.verb = AP_RULE_FORBID, .from = "other", .to = "s1"}}});
    cr_expect_eq(goes_to(NULL), (int)work_index());
}

/* Each capability bounds its own tasks: those that come by the fallback, too. */
Test(fallback, a_fallback_has_bounds_of_its_own)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = 60 * SECOND};
    const uint64_t seconds[] = {40, 10};
    struct ap_terms_conflicts conflicts = {.count = 0};
    const struct ap_slot *slot;
    apiary_task_t task;

    enter_as(0, "first", "second");
    enter_as(1, "second", NULL);
    for (int i = 0; i < 2; i++) {
        struct ap_terms said = *ap_terms_at(client->seg, index_of(i == 0 ? "first" : "second"));
        uint64_t words[AP_TERMS] = {0};

        words[AP_TERM_schedule_to_close] = seconds[i] * SECOND + 1;
        words[AP_TERM_rules] = AP_TERM_VALUE(said.rules);
        ap_terms_declare(client->seg, client->anchor->lane.index, all[i].agent.queue, index_of(i == 0 ? "first" : "second"), words,
                         &conflicts);
    }
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(apiary_delegate(client, "first", "a", 1, &o, &task), 0);
        slot = ap_slot_at(client->seg, task.slot);
        cr_expect_eq(slot->capability, index_of(i == 0 ? "first" : "second"));
        cr_expect_eq(slot->deadline - slot->queued, seconds[i] * SECOND, "%d: %llu", i,
                     (unsigned long long)(slot->deadline - slot->queued));
        ap_give_up(client, task);
        if (i == 0) depart(0);
    }
}

/* What it was asked for is known to whoever has it tried again. */
Test(fallback, a_task_of_the_dead_set_has_no_fallback)
{
    apiary_dead_t d = {.struct_size = sizeof d};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    uint64_t token;

    enter_as(0, "first", "second");
    enter_as(1, "second", NULL);
    cr_assert_eq(apiary_delegate(client, "first", "a", 1, NULL, &task), 0);
    cr_assert_eq(ap_task_claim(client->seg, client->anchor->lane.index, all[0].agent.queue, AP_REF(task.slot, task.generation),
                               &token), 1);
    ap_task_mark(client->seg, task.slot, token, AP_DEAD_SEGV);
    cr_assert_eq(ap_task_finish(client->seg, task.slot, token, APIARY_ECRASHED), 0);
    cr_assert_eq(apiary_poll(client, task, &result), 0);
    cr_assert_eq(apiary_release(client, &result), 0);
    cr_assert_eq(apiary_dead_next(client, 0, &d), 1);
    depart(0);
    cr_expect_eq(apiary_dead_retry(client, d.number, &task), APIARY_ENOPROVIDER);
    cr_expect_eq(fell_back("first"), 0);
    enter_as(0, "first", "second");
    cr_expect_eq(apiary_dead_retry(client, d.number, &task), 0, "it is there still");
    cr_expect_eq(ap_slot_at(client->seg, task.slot)->capability, index_of("first"));
}
