/* The priority of tasks: who is started first, who is not forgotten, and that it stays with the task. */
#include "tests/unit/steps_fixture.h"

#include "agents/runtime/takeover.h"
#include "registry/client/carried.h"
#include "registry/routing/terms.h"
#include "shm/due.h"

static char order[512];
static size_t ran;

static void note(void *state, apiary_job_t *job)
{
    size_t size;
    const char *body = apiary_job_data(job, &size);

    (void)state;
    cr_assert_lt(ran, sizeof order - 1);
    order[ran++] = *body;
    order[ran] = '\0';
    cr_assert_eq(apiary_job_reply(job, NULL, 0), 0);
}

static void rank_setup(void)
{
    steps_setup();
    hive_handlers(note, note);
    ran = 0;
    order[0] = '\0';
}

TestSuite(rank, .init = rank_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static int sends(apiary_t *by, char body, uint64_t priority, uint64_t delay)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH, .priority = priority, .delay = delay};

    clock_now++;
    return apiary_delegate(by, "first", &body, 1, &o, NULL);
}

static void post(char body, uint64_t priority)
{
    cr_assert_eq(sends(a, body, priority, 0), 0, "%c", body);
}

static void serve_all(const char *expected)
{
    while (ap_worker_serve(&hive.worker) > 0) {}
    cr_expect_str_eq(order, expected);
    ran = 0;
    order[0] = '\0';
}

Test(rank, the_most_urgent_first)
{
    for (char c = 'a'; c < 'e'; c++) post(c, 0);
    post('l', APIARY_PRIORITY_LOW);
    post('m', APIARY_PRIORITY_LOW);
    post('h', APIARY_PRIORITY_HIGH);
    post('u', APIARY_PRIORITY_URGENT);
    post('e', APIARY_PRIORITY_NORMAL);
    post('v', APIARY_PRIORITY_URGENT);
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->ranked), 1);
    cr_expect_eq(ap_load_relaxed(&queue_at(1)->ranked), 0);
    serve_all("uvhabcdelm");
    post('a', 0);
    serve_all("a");
    cr_expect_eq(ap_queue_depth(b->seg, hive.agents[0].queue), 0);
}

/* While a flood of others keeps waiting, one of each rank is among so many. */
Test(rank, nobody_starves)
{
    static const uint64_t level[] = {APIARY_PRIORITY_URGENT, APIARY_PRIORITY_HIGH, APIARY_PRIORITY_NORMAL, APIARY_PRIORITY_LOW};
    unsigned waiting[4] = {0}, passed[4] = {0}, longest = 0;

    hive.agents[0].limit = 1;
    for (int i = 0; i < 400; i++) {
        uint64_t ref;
        uint32_t rank;

        for (unsigned k = 0; k < 4; k++) {
            for (; waiting[k] < 2; waiting[k]++) post((char)('0' + k), level[k]);
        }
        ref = ap_queue_pop(&hive.agents[0].consumer);
        cr_assert_neq(ref, 0);
        ap_worker_start_task(&hive.worker, &hive.agents[0], ref);
        rank = (uint32_t)(order[ran - 1] - '0');
        cr_assert_lt(rank, 4);
        waiting[rank]--;
        for (unsigned k = 0; k < 4; k++) {
            passed[k] = k == rank ? 0 : passed[k] + 1;
            if (passed[k] > longest) longest = passed[k];
        }
        cr_assert_leq(longest, AP_RANK_BOUND, "%s", order);
    }
    cr_expect_geq(longest, AP_RANK_PASSES);
    cr_expect_eq(AP_RANK_BOUND, 18, "as the manual says");
}

/* A worker that comes after a kill finds them by rank, though no ring has them; and lets what is more urgent go between. */
Test(rank, after_a_death)
{
    struct ap_consumer *c = &hive.agents[0].consumer;

    post('a', 0);
    post('l', APIARY_PRIORITY_LOW);
    post('b', 0);
    post('h', APIARY_PRIORITY_HIGH);
    post('u', APIARY_PRIORITY_URGENT);
    for (int i = 0; i < 5; i++) cr_assert_neq(ap_queue_pop(c), 0);
    cr_assert_eq(ap_queue_pop(c), 0);
    post('c', 0);
    post('m', APIARY_PRIORITY_LOW);
    ap_worker_consume(&hive.worker);
    hive.agents[0].limit = 1;
    for (int i = 0; i < 2; i++) ap_worker_start_task(&hive.worker, &hive.agents[0], ap_queue_scan(c, &hive.agents[0].cursor));
    post('v', APIARY_PRIORITY_URGENT);
    serve_all("uhvabclm");
}

/* And again between two levels, with one in hand that it had not begun: the next one goes on where that one stood. */
Test(rank, after_a_death_between_two_levels)
{
    struct ap_consumer *c = &hive.agents[0].consumer;

    post('l', APIARY_PRIORITY_LOW);
    post('a', 0);
    post('h', APIARY_PRIORITY_HIGH);
    post('b', 0);
    post('u', APIARY_PRIORITY_URGENT);
    for (int i = 0; i < 5; i++) cr_assert_neq(ap_queue_pop(c), 0);
    ap_worker_consume(&hive.worker);
    for (int i = 0; i < 2; i++) ap_worker_start_task(&hive.worker, &hive.agents[0], ap_queue_scan(c, &hive.agents[0].cursor));
    cr_expect_str_eq(order, "uh");
    cr_assert_neq(ap_queue_scan(c, &hive.agents[0].cursor), 0, "the first that is normal");
    post('m', APIARY_PRIORITY_LOW);
    post('v', APIARY_PRIORITY_URGENT);
    ap_worker_consume(&hive.worker);
    serve_all("uhvablm");
    cr_expect_eq(ap_queue_depth(b->seg, hive.agents[0].queue), 0);
}

/* Of each of them, and once, when it is to be done later, too; of those without one nothing is. */
Test(rank, is_counted)
{
    const apiary_delegate_options_t later = {.struct_size = sizeof later, .flags = APIARY_DETACH, .delay = SECOND};
    const struct ap_terms *row = ap_terms_at(b->seg, (uint32_t)ap_capability_find(b->seg, "first", 5));

    for (uint64_t delay = 0; delay <= SECOND; delay += SECOND) {
        cr_assert_eq(sends(a, 'u', APIARY_PRIORITY_URGENT, delay), 0);
        cr_assert_eq(sends(a, 'h', APIARY_PRIORITY_HIGH, delay), 0);
        cr_assert_eq(sends(a, 'l', APIARY_PRIORITY_LOW, delay), 0);
        cr_assert_eq(sends(a, 'n', 0, delay), 0);
    }
    cr_assert_eq(apiary_delegate(a, "first", "x", 1, &later, NULL), 0);
    cr_expect(row->urgent == 2 && row->high == 2 && row->low == 2, "%llu %llu %llu", (unsigned long long)row->urgent,
              (unsigned long long)row->high, (unsigned long long)row->low);
}

/* A flood of what is more urgent holds up what the scan has found no longer than what waits in a ring. */
Test(rank, after_a_death_nobody_starves_either)
{
    struct ap_consumer *c = &hive.agents[0].consumer;
    uint64_t ref;

    post('h', APIARY_PRIORITY_HIGH);
    post('i', APIARY_PRIORITY_HIGH);
    for (int i = 0; i < 2; i++) cr_assert_neq(ap_queue_pop(c), 0);
    ap_worker_consume(&hive.worker);
    hive.agents[0].limit = 1;
    ap_worker_start_task(&hive.worker, &hive.agents[0], ap_queue_scan(c, &hive.agents[0].cursor));
    for (uint32_t i = 0; i < AP_RANK_PASSES + 4; i++) post('u', APIARY_PRIORITY_URGENT);
    while ((ref = ap_queue_scan(c, &hive.agents[0].cursor)) != 0) ap_worker_start_task(&hive.worker, &hive.agents[0], ref);
    cr_expect_str_eq(order, "huuuuuuuuuuuuuuuuiuuuu");
}

Test(rank, what_is_due_has_its_own)
{
    post('a', 0);
    cr_assert_eq(sends(a, 'u', APIARY_PRIORITY_URGENT, 50), 0);
    cr_assert_eq(sends(a, 'l', APIARY_PRIORITY_LOW, 50), 0);
    post('b', 0);
    clock_now += 100;
    ap_due_look(b->seg, &ap_registry_hooks, AP_NO_LANE);
    serve_all("uabl");
}

static void declare(uint64_t priority, uint64_t most)
{
    struct ap_terms_conflicts conflicts = {.count = 0};
    uint64_t said[AP_TERMS] = {[AP_TERM_priority] = priority, [AP_TERM_max_priority] = most};
    int capability = ap_capability_find(b->seg, "first", 5);

    cr_assert_geq(capability, 0);
    ap_terms_declare(b->seg, b->anchor->lane.index, hive.agents[0].queue, (uint32_t)capability, said, &conflicts);
}

Test(rank, a_capability_declares_it)
{
    struct ap_terms *row = ap_terms_at(b->seg, (uint64_t)ap_capability_find(b->seg, "first", 5));

    declare(0, AP_RANK_HIGH + 1);
    post('n', 0);
    post('h', APIARY_PRIORITY_HIGH);
    post('u', APIARY_PRIORITY_URGENT);
    serve_all("hun");
    cr_expect_eq(row->high, 2);
    cr_expect_eq(row->urgent, 0);
    declare(AP_RANK_LOW + 1, 0);
    post('l', 0);
    post('n', APIARY_PRIORITY_NORMAL);
    serve_all("nl");
    cr_expect_eq(row->low, 1);
    declare(AP_RANK_URGENT + 1, 0);
    post('n', APIARY_PRIORITY_NORMAL);
    post('u', 0);
    serve_all("un");
    cr_expect_eq(row->urgent, 1);
}

/* The level that a task has in the end. */
static enum ap_rank rank_of(apiary_task_t task)
{
    return ap_slot_rank(ap_slot_at(b->seg, task.slot), task.generation);
}

/* By name, bound, in a batch, later, and of a child that has its parent's. */
Test(rank, no_way_leads_past_max_priority)
{
    apiary_delegate_options_t urgent = {.struct_size = sizeof urgent, .priority = APIARY_PRIORITY_URGENT}, own;
    apiary_request_t request = {.struct_size = sizeof request, .capability = "first", .body = "x", .size = 1, .options = &urgent};
    apiary_capability_t bound;
    apiary_task_t task[5];
    size_t submitted = 0;

    declare(0, AP_RANK_HIGH + 1);
    cr_assert_eq(apiary_delegate(a, "first", "x", 1, &urgent, &task[0]), 0);
    cr_assert_eq(apiary_bind(a, "first", &bound), 0);
    cr_assert_eq(apiary_delegate_bound(a, bound, "x", 1, &urgent, &task[1]), 0);
    cr_assert_eq(apiary_delegate_batch(a, &request, 1, &task[2], &submitted), 0);
    own = urgent;
    own.delay = 50;
    cr_assert_eq(apiary_delegate(a, "first", "x", 1, &own, &task[3]), 0);
    own = (apiary_delegate_options_t){.struct_size = sizeof own};
    cr_expect_eq(ap_carried_inherit(b->seg, task[0], &own), 0);
    cr_assert_eq(apiary_delegate(a, "first", "x", 1, &own, &task[4]), 0);
    for (int i = 0; i < 5; i++) cr_expect_eq(rank_of(task[i]), AP_RANK_HIGH, "%d: %u", i, rank_of(task[i]));
    clock_now += 100;
    ap_due_look(b->seg, &ap_registry_hooks, AP_NO_LANE);
    while (ap_worker_serve(&hive.worker) > 0) {}
    for (int i = 0; i < 5; i++) cr_expect_eq(code_of(task[i]), 0);
}

/* What is impossible is refused, and a batch has its options for each. */
Test(rank, in_every_way)
{
    const apiary_delegate_options_t high = {.struct_size = sizeof high, .priority = APIARY_PRIORITY_HIGH};
    apiary_request_t requests[3];
    apiary_task_t tasks[3];
    size_t submitted = 0;

    cr_expect_eq(sends(a, 'x', APIARY_PRIORITY_LOW + 1, 0), APIARY_EINVAL);
    for (int i = 0; i < 3; i++)
        requests[i] = (apiary_request_t){.struct_size = sizeof requests[i], .capability = "first", .body = &"abc"[i], .size = 1,
                                         .options = i == 2 ? &high : NULL};
    cr_assert_eq(apiary_delegate_batch(a, requests, 3, tasks, &submitted), 0);
    serve_all("cab");
    for (int i = 0; i < 3; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

/* What an agent delegates for a task has that one's, unless it says another. */
Test(rank, of_a_child)
{
    const apiary_delegate_options_t high = {.struct_size = sizeof high, .priority = APIARY_PRIORITY_HIGH};
    apiary_delegate_options_t own = {.struct_size = sizeof own};
    apiary_task_t task;

    cr_assert_eq(apiary_delegate(a, "first", "x", 1, &high, &task), 0);
    cr_expect_eq(ap_carried_inherit(b->seg, task, &own), 0);
    cr_expect_eq(own.priority, APIARY_PRIORITY_HIGH);
    own.priority = APIARY_PRIORITY_LOW;
    cr_expect_eq(ap_carried_inherit(b->seg, task, &own), 0);
    cr_expect_eq(own.priority, APIARY_PRIORITY_LOW);
    serve_all("x");
    cr_expect_eq(code_of(task), 0);
}

/* An idle replica takes what is urgent over, before what is older. */
Test(rank, of_what_is_taken_over)
{
    uint32_t looks = AP_TAKEOVER_LOOKS;

    /* The second agent offers the same, as a replica does. */
    ap_agent_at(b->seg, hive.agents[1].queue)->capabilities[0] = ap_agent_at(b->seg, hive.agents[0].queue)->capabilities[0];
    post('a', 0);
    post('l', APIARY_PRIORITY_LOW);
    post('u', APIARY_PRIORITY_URGENT);
    cr_expect(ap_takeover_from(&hive.worker, &hive.agents[1], hive.agents[0].queue, &looks));
    cr_expect_eq(ap_load_relaxed(&queue_at(1)->ranked), 1, "it comes with its rank");
    ap_worker_start_task(&hive.worker, &hive.agents[1], ap_queue_pop(&hive.agents[1].consumer));
    cr_expect_str_eq(order, "u");
    serve_all("ual");
}

/* One rank that is full leaves room for another. */
Test(rank, a_full_rank_is_no_bound_of_another)
{
    const uint32_t depth = b->seg->geometry.queue_depth;
    uint32_t n = 0;

    while (sends(a, 'l', APIARY_PRIORITY_LOW, 0) == 0) n++;
    cr_expect_eq(n, (depth < AP_CROWD_WINDOW ? depth : AP_CROWD_WINDOW) / 2);
    cr_expect_eq(sends(a, 'u', APIARY_PRIORITY_URGENT, 0), 0);
    cr_expect_eq(sends(a, 'n', 0, 0), 0);
    while (ap_worker_serve(&hive.worker) > 0) {}
    cr_expect_eq(ran, n + 2);
    cr_expect_eq(strncmp(order, "unl", 3), 0);
}

/* Low ones at the front do not use up the ring behind them, and keep their order. */
Test(rank, what_is_passed_over_is_no_end_of_the_ring)
{
    const uint32_t depth = b->seg->geometry.queue_depth;
    struct ap_consumer *c = &hive.agents[0].consumer;
    uint32_t low = depth / 4, next = 0;

    for (uint32_t i = 0; i < low; i++) post((char)('a' + i % 26), APIARY_PRIORITY_LOW);
    for (uint32_t i = 0; i < 20 * depth && next < low; i++) {
        uint64_t ref;

        post('.', APIARY_PRIORITY_URGENT);
        ref = ap_queue_pop(c);
        cr_assert_neq(ref, 0);
        ran = 0;
        ap_worker_start_task(&hive.worker, &hive.agents[0], ref);
        if (order[0] == '.') continue;
        cr_assert_eq(order[0], (char)('a' + next++ % 26));
        ran = 0;
        ap_worker_start_task(&hive.worker, &hive.agents[0], ap_queue_pop(c));
    }
    cr_expect_eq(next, low);
}
