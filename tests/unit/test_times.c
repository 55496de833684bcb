/* Histograms of waiting and running: edges, sums, quantiles, and what a worker counts. See shm/times.h. */
#include "tests/unit/steps_fixture.h"

#include <inttypes.h>
#include <stdlib.h>

#include "shm/check.h"
#include "shm/times.h"

#define MANY 20000u

TestSuite(times, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

/* ---- edges ------------------------------------------------------------------------------------------------------ */

Test(times, each_bucket_begins_where_the_one_before_ends)
{
    cr_expect_eq(ap_spread_lower(AP_SPREAD_BELOW), 0);
    cr_expect_eq(ap_spread_lower(1), 1024);
    cr_expect_eq(ap_spread_upper(AP_SPREAD_ABOVE - 1), AP_SPREAD_END);
    cr_expect_eq(ap_spread_upper(AP_SPREAD_ABOVE), UINT64_MAX);
    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) {
        uint64_t lower = ap_spread_lower(i), upper = ap_spread_upper(i);

        cr_expect_eq(ap_spread_bucket(lower), i, "%" PRIu64 " is in bucket %u, and not in %u", lower, ap_spread_bucket(lower), i);
        cr_expect_eq(ap_spread_bucket(upper - 1), i, "%" PRIu64 " is in bucket %u, and not in %u", upper - 1,
                     ap_spread_bucket(upper - 1), i);
        if (i > AP_SPREAD_BELOW && i < AP_SPREAD_ABOVE) cr_expect_leq(upper - lower, lower / 8, "bucket %u is wide", i);
    }
    cr_expect_eq(ap_spread_bucket(UINT64_MAX), AP_SPREAD_ABOVE);
}

static void counted(struct ap_spread *s, uint64_t ns)
{
    s->count++;
    s->sum += ns;
    s->buckets[ap_spread_bucket(ns)]++;
}

static int by_size(const void *x, const void *y)
{
    uint64_t p = *(const uint64_t *)x, q = *(const uint64_t *)y;

    return p < q ? -1 : p > q;
}

/* Of times between a microsecond and an hour, each power of two as likely as the others. */
static uint64_t some_time(uint64_t *seed)
{
    uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return (UINT64_C(1) << (10 + x % 31)) + (x >> 8) % (UINT64_C(1) << (10 + x % 31));
}

Test(times, a_quantile_of_histograms_added_up_is_near_the_exact_one)
{
    static const double qs[] = {0, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1};
    static uint64_t all[MANY];
    static struct ap_spread parts[4], whole;
    uint64_t seed = (uint64_t)clock_now ^ (uint64_t)getpid(), first = seed;

    for (uint32_t i = 0; i < MANY; i++) counted(&parts[i % 4], all[i] = some_time(&seed));
    for (int i = 0; i < 4; i++) ap_spread_add(&whole, &parts[i]);
    cr_expect_eq(whole.count, MANY);
    qsort(all, MANY, sizeof all[0], by_size);
    for (size_t i = 0; i < sizeof qs / sizeof qs[0]; i++) {
        uint32_t rank = (uint32_t)(qs[i] * MANY);
        double exact = (double)all[rank > 0 ? rank - 1 : 0], got = (double)ap_spread_quantile(&whole, qs[i]);

        cr_expect(got <= exact * 1.06 && got >= exact / 1.06, "seed %" PRIu64 ": quantile %g is %g, and not %g", first, qs[i], got,
                  exact);
    }
}

Test(times, a_quantile_of_nothing_and_beyond_the_edges)
{
    static struct ap_spread s;

    cr_expect_eq(ap_spread_quantile(&s, 0.5), 0);
    counted(&s, 17);
    cr_expect_eq(ap_spread_quantile(&s, 1), 0);
    counted(&s, UINT64_MAX / 2);
    cr_expect_eq(ap_spread_quantile(&s, 0.5), 0);
    cr_expect_eq(ap_spread_quantile(&s, 1), AP_SPREAD_END);
}

Test(times, what_has_come_since)
{
    static struct ap_spread before, now, other;

    for (int i = 0; i < 5; i++) counted(&before, 5000);
    now = before;
    counted(&now, 70000);
    other = now;
    ap_spread_since(&other, &before);
    cr_expect(other.count == 1 && other.sum == 70000 && other.buckets[ap_spread_bucket(70000)] == 1);
    cr_expect_eq(other.buckets[ap_spread_bucket(5000)], 0);
    memset(&other, 0, sizeof other);
    counted(&other, 5000);
    ap_spread_since(&other, &before); /* it went to another agent meanwhile */
    cr_expect(other.count == 1 && other.sum == 5000);
}

/* ---- what a worker counts ---------------------------------------------------------------------------------------- */

static void takes_long(void *state, apiary_job_t *job)
{
    ap_add_relaxed(&clock_now, 3000000);
    count(state, job);
}

static struct ap_times_copy times_of(int agent)
{
    struct ap_times_copy t;

    cr_assert(ap_times_read(b->seg, hive.agents[agent].queue, &t));
    return t;
}

static unsigned unsound;

/* By the fixture's clock other parts have stamps of the future. */
static void found(void *user, const struct ap_finding *f)
{
    (void)user;
    unsound += strcmp(f->rule, "Q15") == 0;
}

static void sound(unsigned findings)
{
    struct ap_report report = {.found = found};

    unsound = 0;
    ap_check_all(b->seg, &report);
    cr_expect_eq(unsound, findings);
}

Test(times, a_task_is_counted_where_it_waits_and_where_it_runs)
{
    apiary_task_t task;
    struct ap_times_copy t;

    hive_handlers(takes_long, count);
    task = asked("first", NULL, 0, 0);
    ap_add_relaxed(&clock_now, 50000);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(code_of(task), 0);
    t = times_of(0);
    cr_expect(t.waited.count == 1 && t.waited.sum == 50000, "%" PRIu64 " waited %" PRIu64 " ns", t.waited.count, t.waited.sum);
    cr_expect_eq(t.waited.buckets[ap_spread_bucket(50000)], 1);
    cr_expect(t.ran.count == 1 && t.ran.sum == 3000000, "%" PRIu64 " ran %" PRIu64 " ns", t.ran.count, t.ran.sum);
    cr_expect_eq(t.ran.buckets[ap_spread_bucket(3000000)], 1);
    t = times_of(1);
    cr_expect(t.waited.count == 0 && t.ran.count == 0);
    sound(0);
}

Test(times, the_oldest_of_those_that_wait)
{
    uint64_t oldest[64];

    cr_assert_leq(b->seg->geometry.queues, 64);
    ap_times_oldest(b->seg, oldest);
    for (uint32_t i = 0; i < b->seg->geometry.queues; i++) cr_expect_eq(oldest[i], 0);
    asked("first", NULL, 0, 0);
    ap_add_relaxed(&clock_now, 700);
    asked("first", NULL, 0, 0);
    ap_times_oldest(b->seg, oldest);
    cr_expect_eq(oldest[hive.agents[0].queue], clock_now - 700);
    cr_expect_eq(oldest[hive.agents[1].queue], 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 2);
    ap_times_oldest(b->seg, oldest);
    cr_expect_eq(oldest[hive.agents[0].queue], 0);
}

/* The next consumer of the queue begins with what was counted, published or not. */
Test(times, no_start_is_lost_with_a_consumer)
{
    struct ap_queue *q = ap_queue_at(b->seg, hive.agents[0].queue);

    for (int i = 0; i < 5; i++) asked("first", NULL, 0, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 5);
    cr_expect_eq(ap_load_relaxed(&q->started), 0, "nothing was published");
    sound(0);
    ap_worker_consume(&hive.worker);
    cr_expect_eq(ap_load_relaxed(&q->started), 5);
    cr_expect_eq(hive.agents[0].started, 5);
    sound(0);
}

Test(times, counts_that_cannot_be_are_found)
{
    struct ap_times *t = ap_times_at(b->seg, hive.agents[0].queue);

    asked("first", NULL, 0, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    ap_worker_publish(&hive.agents[0]);
    sound(0);
    ap_own_add(&t->waited[4], AP_TIMES_UNTOLD);
    sound(0);
    ap_own_add(&t->waited[4], 1);
    sound(1);
    ap_own_add(&t->waited[4], -1);
    ap_own_add(&t->ran[4], AP_TIMES_UNTOLD + 1);
    sound(1);
    ap_store_relaxed(&t->ran[4], 0);
    ap_own_add(&t->ran[AP_SPREAD_BELOW], -1);
    sound(1);
    ap_own_add(&t->ran[AP_SPREAD_BELOW], 1);
    ap_store_relaxed(&t->waited[4], 0);
    ap_own_add(&t->waited[AP_SPREAD_BELOW], -1);
    sound(2); /* none has waited, and one has run */
    ap_own_add(&t->waited[AP_SPREAD_BELOW], 1);
    ap_store_relaxed(&t->anew, 2);
    sound(1);
    ap_store_relaxed(&t->anew, 0);
    sound(0);
}

/* ---- anew -------------------------------------------------------------------------------------------------------- */

/* It is told when a worker begins, with its tasks every 10 s, and gone with its agent. */
Test(times, what_an_agents_heap_has)
{
    struct ap_agent *agent = &hive.agents[0];
    struct ap_times_copy copy = times_of(0);

    cr_expect_eq(copy.heap, 0);
    agent->arena.allocated = 640;
    asked("first", NULL, 0, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    ap_worker_publish(agent);
    copy = times_of(0);
    cr_expect_eq(copy.heap, 0);
    ap_add_relaxed(&clock_now, AP_HEAP_TOLD);
    asked("first", NULL, 0, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    ap_worker_publish(agent);
    copy = times_of(0);
    cr_expect_eq(copy.heap, 640);
    ap_times_heap(agent->times, 7, 4096);
    copy = times_of(0);
    cr_expect(copy.heap == 7 && copy.resident == 4096);
    ap_queue_begin(b->seg, agent->queue, true);
    copy = times_of(0);
    cr_expect(copy.heap == UINT64_MAX && copy.resident == UINT64_MAX);
    agent->arena.allocated = 0;
    ap_worker_consume(&hive.worker);
}

Test(times, another_agent_begins_with_empty_ones)
{
    uint32_t queue = hive.agents[0].queue;
    struct ap_times *t = ap_times_at(b->seg, queue);
    struct ap_times_copy copy;

    asked("first", NULL, 0, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    ap_times_lost(b->seg, queue);
    ap_queue_begin(b->seg, queue, false);
    copy = times_of(0);
    cr_expect(copy.waited.count == 1 && copy.ran.count == 1 && copy.lost == 1);
    ap_store_relaxed(&t->anew, 1); /* a kill has left it half done */
    ap_queue_begin(b->seg, queue, false);
    copy = times_of(0);
    cr_expect(copy.waited.count == 0 && copy.ran.count == 0 && copy.lost == 0 && copy.waited.sum == 0);
    cr_expect_eq(ap_load_relaxed(&t->anew), 0);
    ap_times_waited(t, 5000);
    ap_queue_begin(b->seg, queue, true);
    copy = times_of(0);
    cr_expect_eq(copy.waited.count, 0);
    cr_expect_not(ap_times_read(b->seg, b->seg->geometry.queues, &copy));
    ap_times_lost(b->seg, b->seg->geometry.queues); /* there is none */
    ap_worker_consume(&hive.worker);
}
