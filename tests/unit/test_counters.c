/* tests/unit/test_counters.c - what is counted in a segment is what was done there, and each number once. */
#include "registry_fixture.h"

#include "registry/monitor/counters.h"
#include "registry/monitor/counters_seen.h"
#include "registry/monitor/tally.h"

TestSuite(counters, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

/* The sum of a row's samples that have a value of some label; NULL: all. UINT64_MAX: there is none. */
struct sum {
    const char *name, *label;
    uint64_t value;
};

static int sum_add(void *user, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    struct sum *s = user;
    bool has = s->label == NULL;

    if (sample == NULL || strcmp(row->name, s->name) != 0) return 0;
    for (int i = 0; row->labels[i] != NULL; i++) {
        cr_assert(sample->labels[i] != NULL, "%s: %s", row->name, row->labels[i]);
        has = has || strcmp(sample->labels[i], s->label) == 0;
    }
    if (has) s->value = s->value == UINT64_MAX ? sample->value : s->value + sample->value;
    return 0;
}

static uint64_t counted(const char *name, const char *label)
{
    struct sum s = {name, label, UINT64_MAX};
    struct ap_counters *c = NULL;

    cr_assert_eq(ap_counters_take(client->seg, &c), 0);
    cr_assert_eq(ap_counters_each(c, sum_add, &s), 0);
    ap_counters_free(c);
    return s.value;
}

static const char *const echo[] = {"echo", NULL};

static void enrol(struct ap_swarm_registration *r, struct ap_agent_registration *agent, const char *instance)
{
    *agent = (struct ap_agent_registration){.name = "a", .capabilities = echo, .lane = client->anchor->lane.index};
    *r = (struct ap_swarm_registration){.service = "server", .instance = instance, .version = "1", .max_delegations = 3,
                                        .lane = client->anchor->lane.index, .member = client->member, .agents = agent,
                                        .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, r), 0);
}

Test(counters, an_empty_segment_has_no_agents)
{
    cr_assert_eq(counted("apiary_agent_up", NULL), UINT64_MAX);
    cr_assert_eq(counted("apiary_members", "client"), 1);
    cr_assert_eq(counted("apiary_members", NULL), 1);
    cr_assert_eq(counted("apiary_tasks", NULL), 0);
    cr_assert_eq(counted("apiary_segment_size_bytes", NULL), client->seg->size);
}

Test(counters, each_end_is_counted_by_its_outcome)
{
    struct ap_swarm_registration r;
    struct ap_agent_registration agent;
    struct ap_queue *q;

    enrol(&r, &agent, "0");
    q = ap_queue_at(client->seg, agent.queue);
    q->started = 100;
    q->done = 1;
    q->failed = 2;
    q->late = 4;
    q->crashed = 8;
    q->expired = 16;
    q->cancelled = 32;
    cr_assert_eq(counted("apiary_agent_tasks_started_total", "server"), 100);
    cr_assert_eq(counted("apiary_agent_tasks_ended_total", NULL), 63);
    cr_assert_eq(counted("apiary_agent_tasks_ended_total", "done"), 1);
    cr_assert_eq(counted("apiary_agent_tasks_ended_total", "failed"), 2);
    cr_assert_eq(counted("apiary_agent_tasks_ended_total", "late"), 4);
    cr_assert_eq(counted("apiary_agent_tasks_ended_total", "crashed"), 8);
    cr_assert_eq(counted("apiary_agent_tasks_ended_total", "expired"), 16);
    cr_assert_eq(counted("apiary_agent_tasks_ended_total", "cancelled"), 32);
    cr_assert_eq(counted("apiary_agent_up", NULL), 1);
    cr_assert_eq(counted("apiary_capability_providers", "echo"), 1);
}

Test(counters, an_instance_has_one_state)
{
    struct ap_swarm_registration r, other;
    struct ap_agent_registration agent, second;

    enrol(&r, &agent, "0");
    enrol(&other, &second, "1");
    cr_assert_eq(counted("apiary_instance_state", NULL), 2);
    ap_swarm_at(client->seg, r.swarm)->state = APIARY_PASSING;
    cr_assert_eq(counted("apiary_instance_state", "passing"), 1);
    cr_assert_eq(counted("apiary_instance_mode", "ready"), 2);
    ap_swarm_deregister(client->seg, client->anchor->lane.index, &r);
    cr_assert_eq(counted("apiary_instance_state", "down"), 1);
    cr_assert_eq(counted("apiary_instance_beat_age_seconds", "0"), UINT64_MAX, "an instance that is down has no beat");
    cr_assert_eq(counted("apiary_agent_up", NULL), 1);
}

Test(counters, the_task_that_waits_longest_has_its_age)
{
    struct ap_swarm_registration r;
    struct ap_agent_registration agent;
    apiary_task_t task[3];
    uint64_t age;

    enrol(&r, &agent, "0");
    cr_assert_eq(counted("apiary_agent_oldest_queued_seconds", NULL), 0);
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task[i]), 0);
    ap_slot_at(client->seg, task[1].slot)->queued -= 5 * SECOND;
    age = counted("apiary_agent_oldest_queued_seconds", NULL);
    cr_assert_geq(age, 5 * SECOND);
    cr_assert_eq(counted("apiary_tasks", "queued"), 3);
    cr_assert_eq(counted("apiary_agent_tasks_queued", NULL), 3);
    cr_assert_eq(counted("apiary_slabs_leased", NULL), 1);
    cr_assert_eq(counted("apiary_service_delegations", "caller"), 3);
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_cancel(client, task[i]), 0);
    cr_assert_eq(counted("apiary_agent_tasks_ended_total", "cancelled"), 3);
    cr_assert_eq(counted("apiary_results_uncollected", NULL), 3);
    cr_assert_eq(counted("apiary_agent_oldest_queued_seconds", NULL), 0);
}

Test(counters, blocks_are_counted_by_state)
{
    void *loan = NULL;

    cr_assert_eq(counted("apiary_pool_blocks", "free"), 19);
    cr_assert_eq(apiary_loan(client, 1000, &loan), 0);
    cr_assert_eq(counted("apiary_pool_blocks", "owned"), 1);
    cr_assert_eq(counted("apiary_pool_blocks", "free"), 18);
    cr_assert_eq(counted("apiary_pool_used_bytes", NULL), 1024);
}

static int refuse(void *user, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    (void)row, (void)sample;
    return --*(int *)user == 0 ? 42 : 0;
}

Test(counters, a_visitor_ends_it)
{
    struct ap_counters *c = NULL;
    int left = 5;

    cr_assert_eq(ap_counters_take(client->seg, &c), 0);
    cr_assert_eq(ap_counters_each(c, refuse, &left), 42);
    cr_assert_eq(left, 0);
    ap_counters_free(c);
}

/* ---- histograms, and who calls for what */

struct times {
    const char *name;
    uint64_t bounds[64], counts[65], sum;
    uint32_t buckets, samples;
};

static int times_take(void *user, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    struct times *t = user;

    if (sample == NULL || strcmp(row->name, t->name) != 0) return 0;
    cr_assert_eq(row->type, AP_TYPE_histogram);
    cr_assert_str_eq(row->labels[2], "agent");
    cr_assert_eq(row->labels[3], NULL);
    cr_assert_neq(sample->histogram, NULL);
    t->samples++;
    t->buckets = sample->histogram->buckets;
    cr_assert_leq(t->buckets, 64);
    t->sum = sample->histogram->sum;
    for (uint32_t i = 0; i < t->buckets; i++) t->bounds[i] = sample->histogram->bounds[i];
    for (uint32_t i = 0; i <= t->buckets; i++) t->counts[i] = sample->histogram->counts[i];
    return 0;
}

static struct times times_of(const char *name)
{
    struct times t = {.name = name};
    struct ap_counters *c = NULL;

    cr_assert_eq(ap_counters_take(client->seg, &c), 0);
    cr_assert_eq(ap_counters_each(c, times_take, &t), 0);
    ap_counters_free(c);
    return t;
}

/* Each time is in the bucket of its bounds, whichever of the eight parts of a power of two it has. */
Test(counters, a_histogram_has_each_time_once)
{
    static const uint64_t given[] = {0, 1023, 1024, 1025, 2047, 2048, 5000, 1000000, 999999999, UINT64_C(1) << 41,
                                     (UINT64_C(1) << 42) - 1, UINT64_C(1) << 42, UINT64_C(1) << 43};
    const uint32_t n = sizeof given / sizeof *given;
    struct ap_swarm_registration r;
    struct ap_agent_registration agent;
    struct ap_times *at;
    struct times t;
    uint64_t sum = 0, all = 0;

    enrol(&r, &agent, "0");
    at = ap_times_at(client->seg, agent.queue);
    for (uint32_t i = 0; i < n; i++) {
        ap_times_waited(at, given[i]);
        sum += given[i];
    }
    ap_times_ran(at, 3000);
    at->lost = 7;
    at->ejected = 9;
    t = times_of("apiary_agent_wait_seconds");
    cr_assert_eq(t.samples, 1);
    cr_assert_eq(t.buckets, 33);
    cr_assert_eq(t.bounds[0], 1024);
    cr_assert_eq(t.bounds[32], UINT64_C(1) << 42);
    cr_assert_eq(t.sum, sum);
    for (uint32_t i = 0; i <= t.buckets; i++) {
        uint64_t want = 0, lower = i > 0 ? t.bounds[i - 1] : 0, upper = i < t.buckets ? t.bounds[i] : UINT64_MAX;

        for (uint32_t k = 0; k < n; k++) want += given[k] >= lower && given[k] < upper;
        cr_expect_eq(t.counts[i], want, "bucket %u", i);
        all += t.counts[i];
    }
    cr_assert_eq(all, n);
    t = times_of("apiary_agent_run_seconds");
    cr_assert_eq(t.sum, 3000);
    cr_assert_eq(t.counts[2], 1, "from 2,048 to 4,096 ns");
    cr_assert_eq(counted("apiary_agent_tasks_lost_total", NULL), 7);
    cr_assert_eq(counted("apiary_agent_times_ejected_total", NULL), 9);
}

static void tally(enum ap_tally_kind kind, uint32_t queue, int code, uint32_t agent_code, const char *caller, uint64_t count)
{
    struct ap_tally_name what = {.kind = kind, .queue = queue, .code = code, .agent_code = agent_code};
    struct ap_tally_row *row;

    what.capability = (uint32_t)ap_capability_find(client->seg, "echo", 4);
    strcpy(what.caller, caller);
    row = ap_tally_find(client->seg, &what, true);
    cr_assert_neq(row, NULL);
    for (int i = 0; i < (kind == AP_TALLY_PAIR ? AP_TALLY_COUNTS_END : 1); i++)
        if (i != AP_TALLY_LATE) row->counts[i] = count;
}

Test(counters, rows_that_differ_in_what_is_no_label_are_added_up)
{
    struct ap_swarm_registration r, other;
    struct ap_agent_registration agent, second;
    struct ap_counters *c = NULL;

    enrol(&r, &agent, "0");
    enrol(&other, &second, "1");
    tally(AP_TALLY_PAIR, agent.queue, 0, 0, "caller", 3);
    tally(AP_TALLY_PAIR, second.queue, 0, 0, "caller", 4);
    tally(AP_TALLY_PAIR, second.queue, 0, 0, "-", 50);
    tally(AP_TALLY_FAILED, agent.queue, APIARY_EAGENT, 1, "", 5);
    tally(AP_TALLY_FAILED, second.queue, APIARY_EAGENT, 2, "", 6);
    tally(AP_TALLY_FAILED, second.queue, APIARY_ETIMEDOUT, 0, "", 70);
    tally(AP_TALLY_REFUSED, AP_TALLY_NO_QUEUE, APIARY_ELIMIT, 0, "caller", 8);
    tally(AP_TALLY_REFUSED, AP_TALLY_NO_QUEUE, APIARY_ELIMIT, 0, "-", 9);
    ap_tally_others(client->seg, AP_TALLY_FAILED, AP_TALLY_ENDED, 11);
    cr_assert_eq(ap_counters_take(client->seg, &c), 0);
    cr_assert_eq(c->seen[AP_SCOPE_call].count, 2);
    cr_assert_eq(c->seen[AP_SCOPE_failure].count, 2);
    cr_assert_eq(c->seen[AP_SCOPE_refusal].count, 1);
    ap_counters_free(c);
    cr_assert_eq(counted("apiary_calls_total", "caller"), 7);
    cr_assert_eq(counted("apiary_calls_total", "-"), 50);
    cr_assert_eq(counted("apiary_calls_total", "echo"), 57);
    cr_assert_eq(counted("apiary_calls_late_total", "caller"), 0);
    cr_assert_eq(counted("apiary_calls_wait_seconds_total", "caller"), 7);
    cr_assert_eq(counted("apiary_calls_result_bytes_total", "-"), 50);
    cr_assert_eq(counted("apiary_failures_total", apiary_error_name(APIARY_EAGENT)), 11);
    cr_assert_eq(counted("apiary_failures_total", apiary_error_name(APIARY_ETIMEDOUT)), 70);
    cr_assert_eq(counted("apiary_refusals_total", apiary_error_name(APIARY_ELIMIT)), 17);
    cr_assert_eq(counted("apiary_tally_others_total", "failed"), 11);
    cr_assert_eq(counted("apiary_tally_others_total", "pair"), 0);
    cr_assert_geq(counted("apiary_tally_rows", NULL), 8);
}

/* A counter that falls is a reset for who reads it, and all of it seems to be new. */
Test(counters, what_a_former_agent_has_done_stays)
{
    struct ap_agent_registration agent, next;
    struct ap_swarm_registration r, again;

    enrol(&r, &agent, "0");
    tally(AP_TALLY_PAIR, agent.queue, 0, 0, "caller", 3);
    tally(AP_TALLY_FAILED, agent.queue, APIARY_EAGENT, 1, "", 5);
    for (uint32_t q = 0; q < client->seg->geometry.queues; q++) /* there is no other queue left */
        if (q != agent.queue) cr_assert(ap_queue_claim(client->seg, q, client->anchor->lane.index));
    ap_swarm_deregister(client->seg, client->anchor->lane.index, &r);
    again = r;
    next = (struct ap_agent_registration){.name = "next", .capabilities = echo, .lane = client->anchor->lane.index};
    again.agents = &next;
    cr_assert_eq(ap_swarm_register(client->seg, &again), 0);
    cr_assert_eq(next.queue, agent.queue);
    cr_expect_eq(counted("apiary_calls_total", "caller"), 3);
    cr_expect_eq(counted("apiary_failures_total", apiary_error_name(APIARY_EAGENT)), 5);
    tally(AP_TALLY_PAIR, next.queue, 0, 0, "caller", 10);
    cr_expect_eq(counted("apiary_calls_total", "caller"), 10, "7 more");
}

/* Nothing of the segment is believed. */
Test(counters, a_segment_full_of_ones_does_no_harm)
{
    struct ap_swarm_registration r;
    struct ap_agent_registration agent;

    enrol(&r, &agent, "0");
    memset(ap_agent_at(client->seg, agent.queue), 0xff, sizeof(struct ap_agent_record));
    memset(ap_slot_at(client->seg, 0), 0xff, 64 * sizeof(struct ap_slot));
    ap_slab_at(client->seg, 0)->lease = UINT64_MAX;
    client->seg->header->watched = UINT64_MAX;
    cr_assert_neq(counted("apiary_tasks", NULL), UINT64_MAX);
    memset(ap_slot_at(client->seg, 0), 0, 64 * sizeof(struct ap_slot));
    ap_slab_at(client->seg, 0)->lease = 0;
    memset(ap_agent_at(client->seg, agent.queue), 0, sizeof(struct ap_agent_record));
}

/* ---- the kernel's counts */

Test(counters, this_process_has_resources)
{
    struct ap_identity self, other;
    struct ap_resources res;

    cr_assert_eq(ap_identity_self(&self), 0);
    cr_assert(ap_resources_read(&self, &self, &res));
    cr_assert_geq(res.threads, 1);
    cr_assert_neq(res.threads, UINT64_MAX);
    cr_assert_gt(res.resident, 0);
    cr_assert_geq(res.resident, res.own);
    cr_assert_neq(res.descriptors, UINT64_MAX);
    other = self;
    other.start_time++;
    cr_assert_not(ap_resources_read(&self, &other, &res), "the pid is another's by now");
    cr_assert_eq(res.threads, UINT64_MAX);
    other = self;
    other.pid_namespace++;
    cr_assert_not(ap_resources_read(&self, &other, &res), "of another namespace");
}

static int rows_of(void *user, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    unsigned *n = user;

    if (sample != NULL) return 0;
    cr_expect(strncmp(row->name, "apiary_agent_tasks_q", 20) == 0 || strcmp(row->name, "apiary_queues") == 0 ||
              strcmp(row->name, "apiary_queues_limit") == 0, "%s", row->name);
    ++*n;
    return 0;
}

/* The rows that are asked for have the same numbers as among all of them; a row of the segment is made from the agents'. */
Test(counters, those_that_are_asked_for)
{
    struct ap_swarm_registration r;
    struct ap_agent_registration agent;
    struct sum queues = {"apiary_queues", NULL, UINT64_MAX}, queued = {"apiary_agent_tasks_queued", "server", UINT64_MAX};
    struct ap_counters *c = NULL;
    apiary_task_t task;
    unsigned n = 0;

    enrol(&r, &agent, "0");
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    cr_assert_eq(ap_counters_take_of(client->seg, "apiary_queues,,apiary_agent_tasks_q", &c), 0);
    cr_assert_eq(ap_counters_each(c, rows_of, &n), 0);
    cr_expect_eq(n, 3);
    cr_assert_eq(ap_counters_each(c, sum_add, &queues), 0);
    cr_assert_eq(ap_counters_each(c, sum_add, &queued), 0);
    ap_counters_free(c);
    cr_expect_eq(queues.value, 1);
    cr_expect_eq(queued.value, 1);
    n = 0;
    cr_assert_eq(ap_counters_take_of(client->seg, "nothing", &c), 0);
    cr_assert_eq(ap_counters_each(c, rows_of, &n), 0);
    cr_expect_eq(n, 0);
    ap_counters_free(c);
}
