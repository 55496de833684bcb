/* When an agent whose tasks fail is passed over, for how long, and when it is as good as any again. */
#include "tests/unit/steps_fixture.h"

#include "shm/event.h"

TestSuite(outlier_numbers, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

#define BEGIN (1000 * SECOND) /* the clock */

static struct ap_agent *agent(void)
{
    return &hive.agents[0];
}

static struct ap_queue *queue(void)
{
    return agent()->consumer.queue;
}

static void fails_with(uint32_t code, uint64_t now)
{
    int capability = ap_capability_find(b->seg, "first", 5);

    cr_assert_geq(capability, 0);
    ap_outlier_failed(agent(), (uint32_t)capability, code, now);
}

static void fails(unsigned times, uint64_t now)
{
    for (unsigned i = 0; i < times; i++) fails_with(1, now);
}

/* A task ends well, and counts are published. */
static void goes_well(uint64_t now)
{
    agent()->done++;
    ap_outlier_look(agent(), now);
}

static uint32_t events_of(uint32_t kind, uint64_t *last)
{
    struct ap_event e;
    uint32_t n = 0;

    for (uint64_t i = 1; i < ap_load_relaxed(&b->seg->header->event_next); i++) {
        if (!ap_event_read(b->seg, i, &e) || e.kind != kind) continue;
        cr_expect(e.lane == b->anchor->lane.index && e.a == agent()->queue, "of this agent");
        *last = e.b;
        n++;
    }
    return n;
}

static void is_ejected(uint64_t until, uint32_t times)
{
    cr_expect_eq(queue()->until, until, "until %llu, not %llu", (unsigned long long)queue()->until, (unsigned long long)until);
    cr_expect_eq(queue()->ejections, times, "%u times, not %u", queue()->ejections, times);
    cr_expect_eq(agent()->outlier.until, until);
}

/* ---- ejected ---------------------------------------------------------------------------------------------------- */

Test(outlier_numbers, so_many_failures_in_a_row)
{
    uint64_t times = 0;

    fails(4, BEGIN);
    is_ejected(0, 0);
    goes_well(BEGIN);
    fails(4, BEGIN);
    is_ejected(0, 0);
    cr_expect_eq(events_of(AP_EVENT_AGENT_EJECTED, &times), 0);
    queue()->probe = 5;
    fails(1, BEGIN + 7);
    is_ejected(BEGIN + 7 + SECOND, 1);
    cr_expect_eq(queue()->probe, 0);
    cr_expect_eq(events_of(AP_EVENT_AGENT_EJECTED, &times), 1);
    cr_expect_eq(times, 1);
    cr_expect_not_null(strstr(logged(), "first"));
    cr_expect_not_null(strstr(logged(), "its tasks fail: it is passed over for a time, where another provider is there"));
}

/* From 400 to 499 it is the request that is wrong. */
Test(outlier_numbers, whose_failure_it_is)
{
    for (uint32_t i = 0; i < 20; i++) fails_with(i % 2 == 0 ? 400 : 499, BEGIN);
    is_ejected(0, 0);
    cr_expect_eq(queue()->charge, 0);
    for (uint32_t i = 0; i < 4; i++) fails_with(i % 2 == 0 ? 399 : 500, BEGIN);
    is_ejected(0, 0);
    ap_outlier_failed(agent(), AP_REGISTRY_NUMBER(&b->seg->geometry, CAPABILITIES), 500, BEGIN);
    is_ejected(0, 0);
    fails_with(500, BEGIN);
    is_ejected(BEGIN + SECOND, 1);
}

static void declared(uint64_t eject_after)
{
    uint32_t capability = (uint32_t)ap_capability_find(b->seg, "first", 5);

    ap_capability_at(b->seg, capability)->terms = 1;
    ap_terms_at(b->seg, capability)->eject_after = eject_after + 1;
}

Test(outlier_numbers, as_its_capability_has_declared)
{
    declared(0);
    fails(100, BEGIN);
    is_ejected(0, 0);
    declared(200);
    agent()->outlier = (struct ap_outlier){0};
    agent()->done = 1000;
    fails(9, BEGIN);
    is_ejected(0, 0);
    declared(10);
    fails(1, BEGIN);
    is_ejected(BEGIN + SECOND, 1);
}

/* One that ends well between them, or two. */
static unsigned fails_between(unsigned well, unsigned most, uint64_t at)
{
    unsigned n = 0;

    while (n < most && queue()->until == 0) {
        fails(1, at);
        n++;
        for (unsigned i = 0; i < well && queue()->until == 0; i++) agent()->done++;
    }
    return n;
}

Test(outlier_numbers, half_of_the_last_ten_seconds)
{
    cr_expect_eq(fails_between(1, 100, BEGIN), 10, "ten, and nine went well");
    is_ejected(BEGIN + SECOND, 1);
}

Test(outlier_numbers, exactly_half_of_them)
{
    fails(1, BEGIN);
    agent()->done += 2;
    cr_expect_eq(fails_between(1, 100, BEGIN), 9, "ten failed, and ten went well");
    is_ejected(BEGIN + SECOND, 1);
}

Test(outlier_numbers, more_than_half_went_well)
{
    memset(&agent()->pace, 0x55, sizeof agent()->pace); /* what lies behind the seconds is none of them */
    cr_expect_eq(fails_between(2, 100, BEGIN), 100);
    is_ejected(0, 0);
}

/* Each second is a bucket, and the tenth before counts no more. */
Test(outlier_numbers, how_long_a_failure_is_held_against_it)
{
    for (unsigned later = 9; later <= 10; later++) {
        agent()->outlier = (struct ap_outlier){0};
        ap_queue_eject(&agent()->consumer, 0, 0);
        cr_expect_eq(fails_between(1, 9, BEGIN), 9);
        fails(1, BEGIN + later * SECOND);
        is_ejected(later == 9 ? BEGIN + 10 * SECOND : 0, later == 9);
        /* In the same bucket, of another second. */
        if (later == 10) cr_expect_eq(agent()->outlier.buckets[(BEGIN / SECOND) % 10].failed, 1);
    }
}

/* What went well before the first failure of the oldest second is not counted. */
Test(outlier_numbers, what_went_well_long_ago)
{
    agent()->done = 1000;
    cr_expect_eq(fails_between(1, 5, BEGIN), 5);
    cr_expect_eq(fails_between(1, 5, BEGIN + 3 * SECOND), 5);
    is_ejected(BEGIN + 4 * SECOND, 1);
}

/* Of several seconds the oldest says what had gone well before. */
Test(outlier_numbers, what_went_well_since_the_oldest_second)
{
    fails(1, BEGIN);
    agent()->done += 60;
    cr_expect_eq(fails_between(1, 9, BEGIN + SECOND), 9);
    is_ejected(0, 0);
}

/* ---- for how long ----------------------------------------------------------------------------------------------- */

Test(outlier_numbers, from_one_second_to_64)
{
    static const unsigned seconds[] = {1, 2, 4, 8, 16, 32, 64, 64, 64};
    uint64_t at = BEGIN, times = 0;

    fails(5, at);
    cr_expect_neq(*logged(), '\0');
    last_log[0] = '\0';
    for (unsigned i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        uint64_t until = at + seconds[i] * SECOND;

        is_ejected(until, i + 1);
        fails(20, until - 1);
        is_ejected(until, i + 1);
        at = until;
        fails(1, at);
    }
    cr_expect_eq(events_of(AP_EVENT_AGENT_EJECTED, &times), 10);
    cr_expect_eq(times, 10);
    cr_expect_str_eq(logged(), "", "it was said once");
}

Test(outlier_numbers, what_ends_well_after_it_was_ejected)
{
    uint64_t last = 1;

    fails(5, BEGIN);
    goes_well(BEGIN + SECOND - 1);
    is_ejected(BEGIN + SECOND, 1);
    ap_outlier_look(agent(), BEGIN + SECOND);
    is_ejected(BEGIN + SECOND, 1);
    cr_expect_eq(events_of(AP_EVENT_AGENT_RETURNED, &last), 0, "what was sent before tells nothing");
    queue()->probe = 5;
    goes_well(BEGIN + SECOND);
    is_ejected(0, 0);
    cr_expect(queue()->charge == 0 && queue()->charged == BEGIN + SECOND && queue()->probe == 0);
    cr_expect_eq(events_of(AP_EVENT_AGENT_RETURNED, &last), 1);
    cr_expect_eq(last, 0);
    cr_expect_not_null(strstr(logged(), "its tasks end well again"));
    cr_expect_eq(fails_between(1, 9, BEGIN + SECOND), 9, "and nothing is held against it");
    is_ejected(0, 0);
}

/* After ten times as long as it would be ejected for next it is as one that never was. */
Test(outlier_numbers, what_is_forgotten)
{
    for (unsigned more = 0; more < 2; more++) {
        uint64_t well = BEGIN + SECOND;

        agent()->outlier = (struct ap_outlier){0};
        fails(5, BEGIN);
        goes_well(well);
        agent()->done++;
        fails(5, well + 20 * SECOND + more);
        is_ejected(well + 20 * SECOND + more + (more == 0 ? 2 : 1) * SECOND, more == 0 ? 2 : 1);
    }
}

/* However often it was ejected, no more than ten times 64 seconds. */
Test(outlier_numbers, the_longest_is_forgotten_too)
{
    for (unsigned more = 0; more < 2; more++) {
        agent()->outlier = (struct ap_outlier){.times = 50, .well = BEGIN};
        fails(5, BEGIN + 640 * SECOND + more);
        is_ejected(BEGIN + 640 * SECOND + more + (more == 0 ? 64 : 1) * SECOND, more == 0 ? 51 : 1);
    }
}

/* ---- charged ---------------------------------------------------------------------------------------------------- */

Test(outlier_numbers, each_failure_is_charged)
{
    static const uint64_t charges[] = {250000000, 437500000, 578125000, 683593750};

    for (unsigned i = 0; i < 4; i++) {
        fails(1, BEGIN);
        cr_expect_eq(queue()->charge, charges[i], "%llu", (unsigned long long)queue()->charge);
        cr_expect_eq(queue()->charged, BEGIN);
    }
    agent()->done++;
    fails(1, BEGIN + SECOND);
    cr_expect_eq(queue()->charge, charges[3] / 2 + (AP_CHARGE_MAX - charges[3] / 2) / 4, "half is left after a second");
    cr_expect_eq(queue()->charged, BEGIN + SECOND);
}
