/* The sums of routing, number by number: what each policy makes of a candidate, and when a failed task is tried again. */
#include <criterion/criterion.h>
#include <string.h>

#include "registry/discovery/discovery.h"
#include "registry/routing/policy.h"
#include "registry/routing/retry.h"

TestSuite(sums, .timeout = TEST_LIMIT);

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define NOW (5000 * SECOND)
#define WHOLE 8192u /* a weight by which a number weighs what it is */
#define FULL (UINT64_C(1) << 62)

/* ---- policies --------------------------------------------------------------------------------------------------- */

static struct ap_queue queue;
static struct ap_agent_record agent;
static struct ap_swarm swarm;

static struct ap_candidate one(uint32_t weight, uint64_t load)
{
    return (struct ap_candidate){.queue = 2, .weight = weight, .load = load, .at = &queue, .agent = &agent, .swarm = &swarm};
}

Test(sums, the_fewest_tasks)
{
    static const uint64_t rows[][3] = {{WHOLE, 0, 1}, {WHOLE, 5, 6}, {WHOLE / 2, 5, 12}, {2 * WHOLE, 5, 3}, {1, 0, 8192}};
    const struct ap_asking asking = {.now = NOW};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ap_candidate c = one((uint32_t)rows[i][0], rows[i][1]);
        cr_expect_eq(ap_policy_least_loaded(&asking, &c), rows[i][2], "row %zu", i);
    }
}

Test(sums, one_after_another)
{
    static const uint64_t rows[][3] = {{5, 3, 2}, {4, 3, 1}, {3, 3, 0}, {2, 3, 0}, {7, 0, 7}};
    const struct ap_candidate c = one(WHOLE, 100);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const uint64_t places[] = {99, 99, rows[i][0], 99};
        const struct ap_asking asking = {.passed = rows[i][1], .places = places}, none = {.passed = rows[i][1]};

        cr_expect_eq(ap_policy_round_robin(&asking, &c), rows[i][2], "row %zu", i);
        cr_expect_eq(ap_policy_round_robin(&none, &c), 0);
    }
}

/* Its run time, and when it said so; its charge, of this moment; its tasks. */
static uint64_t wait_of(uint64_t run, uint64_t told, uint64_t charge, uint64_t load)
{
    const struct ap_asking asking = {.now = NOW};
    const struct ap_candidate c = one(WHOLE, load);

    queue.run_time = run;
    queue.told = told;
    queue.charge = charge;
    queue.charged = NOW;
    return ap_policy_peak_ewma(&asking, &c);
}

Test(sums, the_shortest_wait)
{
    static const struct {
        uint64_t run, told, charge, load, wait;
    } rows[] = {
        {0, 0, 0, 0, 2},                                  /* nothing is known of it */
        {0, 0, 0, 1, (SECOND + 1) * 2},                   /* and it has a task */
        {100, NOW, 0, 0, 101},
        {100, NOW, 0, 2, 303},
        {100, NOW, 50, 0, 151},
        {100, NOW + 1, 0, 0, 101},
        {100, NOW - SECOND + 1, 0, 0, 101},
        {100, NOW - SECOND, 0, 0, 51},
        {100, NOW - SECOND, 0, 1, 202},                   /* it is at work */
        {UINT64_C(1) << 42, NOW - 39 * SECOND, 0, 0, 9},
        {UINT64_C(1) << 42, NOW - 40 * SECOND, 0, 0, 1},
        {UINT64_C(1) << 42, NOW - 4000 * SECOND, 0, 0, 1},
        {(UINT64_C(1) << 44) - 2, NOW, 0, 0, (UINT64_C(1) << 44) - 1},
        {UINT64_C(1) << 44, NOW, 0, 0, UINT64_C(1) << 44},
        {UINT64_C(1) << 50, NOW, 0, 0, UINT64_C(1) << 44},
        {100, NOW, 0, UINT64_MAX, UINT64_MAX >> 1},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t wait = wait_of(rows[i].run, rows[i].told, rows[i].charge, rows[i].load);
        uint64_t wanted = rows[i].wait < UINT64_C(1) << 50 ? rows[i].wait : rows[i].wait / WHOLE * WHOLE;

        cr_expect_eq(wait, wanted, "row %zu: %llu", i, (unsigned long long)wait);
    }
}

static uint64_t draw(uint64_t key, uint32_t weight, uint64_t load, uint64_t loads, uint64_t weights)
{
    const struct ap_asking asking = {.now = NOW, .key = key, .loads = loads, .weights = weights};
    const struct ap_candidate c = one(weight, load);

    return ap_policy_keyed(&asking, &c);
}

Test(sums, a_key_draws_by_the_name)
{
    uint64_t was, half;

    strcpy(agent.name, "worker");
    swarm.key = 77;
    was = draw(5, WHOLE, 0, 0, WHOLE);
    half = draw(5, 2 * WHOLE, 0, 0, 2 * WHOLE);
    cr_expect(was > 0 && was < FULL && was == draw(5, WHOLE, 0, 0, WHOLE));
    cr_expect(half == was / 2 || half == (was + 1) / 2, "the more weight, the lower");
    cr_expect_neq(draw(6, WHOLE, 0, 0, WHOLE), was);
    swarm.key = 78;
    cr_expect_neq(draw(5, WHOLE, 0, 0, WHOLE), was);
    swarm.key = 77;
    agent.name[sizeof agent.name - 2] = 'x';
    cr_expect_neq(draw(5, WHOLE, 0, 0, WHOLE), was, "all of its name");
    agent.name[sizeof agent.name - 2] = '\0';
    cr_expect_eq(draw(5, WHOLE, 0, 0, WHOLE), was);
    queue = (struct ap_queue){.run_time = 100, .told = NOW};
    cr_expect_eq(draw(0, WHOLE, 2, 0, WHOLE), 303, "without a key the shortest wait");
}

Test(sums, a_key_gives_way_to_a_quarter_above_the_share)
{
    static const struct {
        uint64_t load, loads, weights;
        bool full;
    } rows[] = {
        {6, 10, 2, false}, {7, 10, 2, true}, /* 1.25 * 11 / 2 is 6.9 */
        {3, 0, 2, false},  {4, 0, 2, true},  /* few are never too much */
        {4, 3, 1, false},  {5, 3, 1, true},  {4, 3, 0, false}, {5, 3, 0, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(draw(5, 1, rows[i].load, rows[i].loads, rows[i].weights) >= FULL, rows[i].full, "row %zu", i);
}

Test(sums, names)
{
    static const char *const standings[] = {"passing", "on trial", "weight 0", "ejected", "stuck", "unhealthy", "no beat"};

    for (uint64_t i = 0; i < AP_POLICIES; i++) cr_expect_str_eq(ap_policy_name(i), ap_policies[i].name);
    cr_expect_null(ap_policy_name(AP_POLICIES));
    for (int i = 0; i < 7; i++) cr_expect_str_eq(ap_standing_name((enum ap_standing)i), standings[i]);
}

/* ---- retries ---------------------------------------------------------------------------------------------------- */

Test(sums, policies_of_retries_that_may_be)
{
    static const struct {
        apiary_retry_t policy;
        bool possible;
    } rows[] = {
        {{0}, true},
        {{.max_attempts = 1}, true},
        {{.max_attempts = 2}, true},
        {{.max_attempts = 32}, true},
        {{.max_attempts = 33}, false},
        {{.max_attempts = 2, .multiplier = 99}, false},
        {{.max_attempts = 2, .multiplier = 100}, true},
        {{.max_attempts = 2, .multiplier = 10000}, true},
        {{.max_attempts = 2, .multiplier = 10001}, false},
        {{.max_attempts = 2, .backoff = UINT32_MAX, .cap = UINT32_MAX, .never = {1, 2, 3, 4}}, true},
        {{.max_attempts = 1, .backoff = 1}, false},
        {{.max_attempts = 1, .multiplier = 100}, false},
        {{.max_attempts = 1, .cap = 1}, false},
        {{.max_attempts = 1, .never = {1}}, false},
        {{.never = {0, 0, 0, 1}}, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(ap_retry_possible(&rows[i].policy), rows[i].possible, "row %zu", i);
}

Test(sums, whether_it_is_tried_again)
{
    const apiary_retry_t three = {.max_attempts = 3, .never = {7, 0, 0, 9}}, once = {.max_attempts = 1, .never = {0}};

    cr_expect_eq(ap_retry_judge(&once, 0, 5), APIARY_UNTRIED_NO_POLICY);
    cr_expect_eq(ap_retry_judge(&three, 0, 5), AP_TRIED);
    cr_expect_eq(ap_retry_judge(&three, 1, 5), AP_TRIED);
    cr_expect_eq(ap_retry_judge(&three, 2, 5), APIARY_UNTRIED_USED_UP);
    cr_expect_eq(ap_retry_judge(&three, 3, 5), APIARY_UNTRIED_USED_UP);
    cr_expect_eq(ap_retry_judge(&three, 0, 7), APIARY_UNTRIED_REFUSED);
    cr_expect_eq(ap_retry_judge(&three, 2, 9), APIARY_UNTRIED_REFUSED);
    cr_expect_eq(ap_retry_judge(&three, 0, 0), AP_TRIED, "a 0 of the list is no code");
}

/* The bound itself is possible, and one nanosecond more is none. */
Test(sums, how_long_it_pauses)
{
    static const struct {
        apiary_retry_t policy;
        uint32_t failures;
        uint64_t bound;
    } rows[] = {
        {{.max_attempts = 9}, 0, 100},
        {{.max_attempts = 9}, 1, 200},
        {{.max_attempts = 9}, 6, 6400},
        {{.max_attempts = 9}, 7, 10000},
        {{.max_attempts = 9}, 31, 10000},
        {{.max_attempts = 9, .backoff = 10, .multiplier = 300, .cap = 50}, 0, 10},
        {{.max_attempts = 9, .backoff = 10, .multiplier = 300, .cap = 50}, 1, 30},
        {{.max_attempts = 9, .backoff = 10, .multiplier = 300, .cap = 50}, 2, 50},
        {{.max_attempts = 9, .backoff = 10, .multiplier = 100}, 31, 10},
        {{.max_attempts = 9, .backoff = 10, .cap = 5}, 0, 5},
        {{.max_attempts = 9, .backoff = 10}, 31, 1000},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t bound = rows[i].bound * MS;

        cr_expect_eq(ap_retry_pause(&rows[i].policy, rows[i].failures, bound), bound, "row %zu", i);
        cr_expect_eq(ap_retry_pause(&rows[i].policy, rows[i].failures, bound + 1), 0, "row %zu", i);
    }
}

Test(sums, the_budget_of_retries)
{
    static const struct {
        uint64_t left, at, started;  /* of the budget */
        uint64_t now, by_now;        /* the tasks that were started by then */
        uint64_t still, since;       /* left and at, afterwards */
        bool has;
    } rows[] = {
        {5, 0, 0, NOW, 50, 99000, NOW, true},                           /* not begun */
        {1000, NOW, 50, NOW, 50, 0, NOW, true},
        {999, NOW, 50, NOW, 50, 999, NOW, false},
        {799, NOW, 50, NOW, 51, 999, NOW, false},                       /* a task is a fifth */
        {800, NOW, 50, NOW, 51, 0, NOW, true},
        {1000, NOW, 50, NOW - 5, 50, 0, NOW, true},                     /* another processor's clock */
        {0, NOW, 50, NOW + 100 * MS - 1, 50, 990, NOW + 99 * MS, false},
        {0, NOW, 50, NOW + 100 * MS, 50, 0, NOW + 100 * MS, true},
        {40000, NOW, 50, NOW + 5000 * MS, 50, 69000, NOW + 5000 * MS, true},
        {40000, NOW, 50, NOW + 10000 * MS - 1, 50, 98994, NOW + 9999 * MS, true},
        {40000, NOW, 50, NOW + 10000 * MS, 60, 99000, NOW + 10000 * MS, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ap_retry_budget b = {.left = rows[i].left, .at = rows[i].at, .started = rows[i].started};

        cr_expect_eq(ap_retry_take(&b, rows[i].by_now, rows[i].now), rows[i].has, "row %zu", i);
        cr_expect(b.left == rows[i].still && b.at == rows[i].since && b.started == rows[i].by_now, "row %zu: %llu, %llu", i,
                  (unsigned long long)b.left, (unsigned long long)b.at);
    }
}
