/* Counts that have names: whose tasks an agent runs, how they end, what they cost; a table that is full; who is refused. See
 * registry/monitor/tally.h. */
#include "tests/unit/steps_fixture.h"

#include <inttypes.h>

#include "core/name.h"
#include "registry/monitor/tally.h"
#include "shm/check.h"

static void tally_setup(void)
{
    steps_more = "third";
    steps_setup();
}

TestSuite(tally, .init = tally_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

/* ---- what is expected -------------------------------------------------------------------------------------------- */

/* A handle that calls for a service, by the clock of the fixture. */
static apiary_t *caller_attach(const char *service)
{
    const apiary_attach_options_t o = {.struct_size = sizeof o, .swarm = service};
    apiary_t *more;

    cr_assert_eq(apiary_attach(name, &o, &more), 0);
    more->seg->ops = &clock_ops;
    ap_store_relaxed(&more->anchor->lane.lane->joined, clock_now);
    return more;
}

static void called(apiary_t *by, const char *capability, const void *body, size_t size)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o};
    apiary_task_t task;

    cr_assert_eq(apiary_delegate(by, capability, body, size, &o, &task), 0);
}

static int capability_of(const char *capability)
{
    return ap_capability_find(b->seg, capability, strlen(capability));
}

/* The sum of the rows that fit; a caller or capability of NULL fits all. Returns how many rows. */
static uint32_t tallied(enum ap_tally_kind kind, const char *caller, const char *capability, struct ap_tally *ret)
{
    struct ap_tally t;
    uint32_t n = 0;

    memset(ret, 0, sizeof *ret);
    for (uint64_t cursor = 0; ap_tally_next(b->seg, &cursor, &t);) {
        if (t.others || t.name.kind != kind || (caller != NULL && strcmp(caller, t.name.caller) != 0)) continue;
        if (capability != NULL && t.name.capability != (uint32_t)capability_of(capability)) continue;
        n++;
        ret->name = t.name;
        for (int i = 0; i < AP_TALLY_COUNTS_END; i++) ret->counts[i] += t.counts[i];
    }
    return n;
}

static struct ap_tally others_of(enum ap_tally_kind kind)
{
    struct ap_tally t;

    for (uint64_t cursor = 0; ap_tally_next(b->seg, &cursor, &t);)
        if (t.others && t.name.kind == kind) return t;
    cr_assert_fail("there are no others of kind %d", (int)kind);
    return t;
}

#define COUNTS(t, ...)                                                                                                        \
    do {                                                                                                                      \
        const uint64_t want[AP_TALLY_COUNTS_END] = {__VA_ARGS__};                                                             \
        for (int i = 0; i < AP_TALLY_COUNTS_END; i++)                                                                         \
            cr_expect_eq((t).counts[i], want[i], "count %d is %" PRIu64 ", and not %" PRIu64, i, (t).counts[i], want[i]);      \
    } while (0)

static unsigned unsound;

static void found(void *user, const struct ap_finding *f)
{
    (void)user;
    unsound += strcmp(f->structure, "tally") == 0;
}

static void sound(unsigned findings)
{
    struct ap_report report = {.found = found};

    unsound = 0;
    ap_check_all(b->seg, &report);
    cr_expect_eq(unsound, findings, "%u findings, and not %u", unsound, findings);
}

static void replies(void *state, apiary_job_t *job)
{
    (void)state;
    ap_add_relaxed(&clock_now, 1000);
    cr_expect_eq(apiary_job_reply(job, "result", 6), 0);
}

static uint32_t fails_with;

static void fails(void *state, apiary_job_t *job)
{
    (void)state;
    ap_add_relaxed(&clock_now, 500);
    cr_expect_eq(apiary_job_fail(job, fails_with, "no"), 0);
}

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

Test(tally, tasks_are_counted_by_who_calls_what)
{
    apiary_t *one = caller_attach("shop"), *two = caller_attach("stock");
    struct ap_tally t;

    hive_handlers(replies, replies);
    called(one, "first", "abc", 3);
    called(one, "first", "abcd", 4);
    called(two, "first", "x", 1);
    called(a, "first", NULL, 0);
    called(one, "third", "xy", 2);
    called(one, "second", "xyz", 3);
    ap_add_relaxed(&clock_now, 20);
    while (ap_worker_serve(&hive.worker) > 0) {}
    cr_expect_eq(tallied(AP_TALLY_PAIR, "shop", "first", &t), 1);
    cr_expect(t.name.queue == hive.agents[0].queue && t.name.code == 0);
    cr_expect(t.counts[AP_TALLY_ENDED] == 2 && t.counts[AP_TALLY_IN] == 7 && t.counts[AP_TALLY_OUT] == 12);
    cr_expect(t.counts[AP_TALLY_RAN] >= 2000 && t.counts[AP_TALLY_WAITED] >= 40);
    cr_expect_eq(tallied(AP_TALLY_PAIR, "stock", "first", &t), 1);
    cr_expect_eq(t.counts[AP_TALLY_ENDED], 1);
    cr_expect_eq(tallied(AP_TALLY_PAIR, "-", NULL, &t), 1);
    cr_expect(t.counts[AP_TALLY_ENDED] == 1 && t.counts[AP_TALLY_IN] == 0);
    cr_expect_eq(tallied(AP_TALLY_PAIR, "shop", "third", &t), 1);
    cr_expect_eq(tallied(AP_TALLY_PAIR, "shop", "second", &t), 1);
    cr_expect_eq(t.name.queue, hive.agents[1].queue);
    cr_expect_eq(tallied(AP_TALLY_PAIR, NULL, NULL, &t), 5);
    cr_expect_eq(t.counts[AP_TALLY_ENDED], 6);
    cr_expect_eq(tallied(AP_TALLY_FAILED, NULL, NULL, &t), 0);
    sound(0);
    steps_detach(one);
    steps_detach(two);
}

Test(tally, a_pair_has_what_one_task_took)
{
    struct ap_tally t;

    hive_handlers(replies, count);
    called(a, "first", "abc", 3);
    ap_add_relaxed(&clock_now, 20);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(tallied(AP_TALLY_PAIR, "-", "first", &t), 1);
    COUNTS(t, [AP_TALLY_ENDED] = 1, [AP_TALLY_WAITED] = 20, [AP_TALLY_RAN] = 1000, [AP_TALLY_IN] = 3, [AP_TALLY_OUT] = 6);
    called(a, "first", "abc", 3); /* the same row at hand */
    ap_add_relaxed(&clock_now, 30);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    tallied(AP_TALLY_PAIR, "-", "first", &t);
    COUNTS(t, [AP_TALLY_ENDED] = 2, [AP_TALLY_WAITED] = 50, [AP_TALLY_RAN] = 2000, [AP_TALLY_IN] = 6, [AP_TALLY_OUT] = 12);
}

/* A service's number goes to another name while the worker has its row at hand. */
Test(tally, a_row_is_of_a_name_and_not_of_its_number)
{
    apiary_t *one = caller_attach("shop");
    uint32_t number = one->anchor->balance.caller - 1;
    struct ap_service *s = ap_service_at(b->seg, number);
    struct ap_tally t;

    called(one, "first", NULL, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    ap_worker_publish(&hive.agents[0]);
    memcpy(s->name, "mall", 4);
    s->key = ap_hash("mall", 4);
    called(one, "first", NULL, 0);
    ap_worker_publish(&hive.agents[0]);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(tallied(AP_TALLY_PAIR, "shop", NULL, &t), 1);
    cr_expect_eq(t.counts[AP_TALLY_ENDED], 1);
    cr_expect_eq(tallied(AP_TALLY_PAIR, "mall", NULL, &t), 1);
    cr_expect_eq(t.counts[AP_TALLY_ENDED], 1);
    memcpy(s->name, "shop", 4);
    s->key = ap_hash("shop", 4);
    steps_detach(one);
}

Test(tally, more_callers_than_a_worker_remembers)
{
    char service[16];
    struct ap_tally t;

    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < AP_TALLIED_KNOWN + 4; i++) {
            apiary_t *by;

            snprintf(service, sizeof service, "caller-%u", i);
            by = caller_attach(service);
            called(by, "first", NULL, 0);
            cr_expect_eq(ap_worker_serve(&hive.worker), 1);
            steps_detach(by);
        }
    cr_expect_eq(tallied(AP_TALLY_PAIR, NULL, "first", &t), AP_TALLIED_KNOWN + 4);
    cr_expect_eq(t.counts[AP_TALLY_ENDED], 2 * (AP_TALLIED_KNOWN + 4));
    cr_expect_eq(tallied(AP_TALLY_PAIR, "caller-3", "first", &t), 1);
    cr_expect_eq(t.counts[AP_TALLY_ENDED], 2);
    sound(0);
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

Test(tally, failures_are_counted_by_their_codes)
{
    struct ap_tally t;

    hive_handlers(fails, fails);
    for (uint32_t i = 0; i < 6; i++) {
        fails_with = i < 4 ? 404 : 500;
        called(a, "first", NULL, 0);
        cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    }
    called(a, "first", NULL, 0);
    ap_add_relaxed(&clock_now, 100 * SECOND); /* its deadline is over */
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(tallied(AP_TALLY_FAILED, NULL, "first", &t), 3);
    cr_expect_eq(t.counts[AP_TALLY_ENDED], 7);
    cr_expect_eq(tallied(AP_TALLY_PAIR, "-", "first", &t), 1);
    cr_expect(t.counts[AP_TALLY_ENDED] == 7 && t.counts[AP_TALLY_BAD] == 7 && t.counts[AP_TALLY_RETRIED] == 0);
    for (uint64_t cursor = 0; ap_tally_next(b->seg, &cursor, &t);) {
        uint64_t want = t.name.code == APIARY_ETIMEDOUT ? 1 : t.name.agent_code == 404 ? 4 : 2;

        if (t.name.kind != AP_TALLY_FAILED || t.others) continue;
        cr_expect(t.name.code == APIARY_EAGENT || (t.name.code == APIARY_ETIMEDOUT && t.name.agent_code == 0));
        cr_expect_eq(t.counts[AP_TALLY_ENDED], want);
    }
    sound(0);
}

Test(tally, an_agent_that_makes_up_codes_leaves_rows_for_others)
{
    struct ap_tally t;

    hive_handlers(fails, fails);
    for (uint32_t i = 0; i < AP_TALLY_CODES + 10; i++) {
        fails_with = i + 1;
        called(a, "first", NULL, 0);
        cr_expect_eq(ap_worker_serve(&hive.worker), 1);
        if (i == AP_TALLY_CODES / 2) ap_worker_consume(&hive.worker); /* the next consumer counts what there is */
    }
    cr_expect_eq(tallied(AP_TALLY_FAILED, NULL, NULL, &t), AP_TALLY_CODES);
    cr_expect_eq(t.counts[AP_TALLY_ENDED], AP_TALLY_CODES);
    cr_expect_eq(others_of(AP_TALLY_FAILED).counts[AP_TALLY_ENDED], 10);
    fails_with = 3; /* it has a row */
    called(a, "first", NULL, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(others_of(AP_TALLY_FAILED).counts[AP_TALLY_ENDED], 10);
}

static void retries(void *state, apiary_job_t *job)
{
    static const uint64_t at_once = 0;

    (void)state;
    if (apiary_job_attempt(job) == 1) {
        cr_expect_eq(apiary_job_retry(job, at_once), 0);
        cr_expect_eq(apiary_job_fail(job, 7, "again"), 0);
    } else {
        cr_expect_eq(apiary_job_reply(job, NULL, 0), 0);
    }
}

Test(tally, a_start_that_failed_and_is_tried_again_is_no_end)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .retry = {.max_attempts = 3}};
    apiary_task_t task;
    struct ap_tally t;

    hive_handlers(retries, count);
    cr_assert_eq(apiary_delegate(a, "first", NULL, 0, &o, &task), 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 2);
    tallied(AP_TALLY_PAIR, "-", "first", &t);
    cr_expect(t.counts[AP_TALLY_ENDED] == 1 && t.counts[AP_TALLY_RETRIED] == 1 && t.counts[AP_TALLY_BAD] == 0);
    cr_expect_eq(tallied(AP_TALLY_FAILED, NULL, NULL, &t), 0);
    sound(0);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

Test(tally, refusals_are_counted_once_where_they_are_told)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o};
    apiary_t *one = caller_attach("shop");
    apiary_request_t requests[2] = {{.struct_size = sizeof requests[0], .capability = "first"},
                                    {.struct_size = sizeof requests[0], .capability = "nobody"}};
    apiary_task_t tasks[2];
    size_t submitted;
    struct ap_tally t;

    cr_expect_eq(apiary_delegate(one, "nobody", NULL, 0, NULL, &tasks[0]), APIARY_ENOCAP);
    cr_expect_eq(apiary_delegate_batch(one, requests, 2, tasks, &submitted), APIARY_ENOCAP);
    cr_expect_eq(submitted, 1);
    cr_expect_eq(apiary_call(a, "nobody", NULL, 0, &o, NULL, 0, NULL), APIARY_ENOCAP);
    cr_expect_eq(apiary_delegate(one, "first", NULL, 1, NULL, &tasks[0]), APIARY_EINVAL);
    ap_swarm_withdraw(b->seg, &hive.queen.registration);
    cr_expect_eq(apiary_delegate(one, "first", NULL, 0, NULL, &tasks[0]), APIARY_ENOPROVIDER);
    cr_expect_eq(tallied(AP_TALLY_REFUSED, "shop", NULL, &t), 2);
    cr_expect_eq(t.counts[AP_TALLY_ENDED], 3);
    cr_expect_eq(tallied(AP_TALLY_REFUSED, "shop", "first", &t), 1);
    cr_expect(t.counts[AP_TALLY_ENDED] == 1 && t.name.code == APIARY_ENOPROVIDER);
    cr_expect_eq(tallied(AP_TALLY_REFUSED, "-", NULL, &t), 1);
    cr_expect(t.counts[AP_TALLY_ENDED] == 1 && t.name.code == APIARY_ENOCAP);
    cr_expect_eq(t.name.capability, AP_TALLY_NO_CAPABILITY);
    sound(0);
    steps_detach(one);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static struct ap_tally_name pair_name(uint32_t i)
{
    struct ap_tally_name of = {.kind = AP_TALLY_PAIR, .queue = i % 8, .capability = 0};

    snprintf(of.caller, sizeof of.caller, "caller-%u", i);
    return of;
}

/* Fills it until `more` in a row have found no row. Returns how many have. */
static uint32_t table_fill(uint32_t more)
{
    uint32_t n = 0, none = 0;

    for (uint32_t i = 0; none < more; i++) {
        struct ap_tally_name of = pair_name(i);
        bool has = ap_tally_find(b->seg, &of, true) != NULL;

        n += has;
        none = has ? 0 : none + 1;
    }
    return n;
}

Test(tally, a_full_table_counts_on_among_the_others)
{
    struct ap_tally t;
    uint32_t all, n = table_fill(1000);

    cr_expect_eq(ap_tally_used(b->seg, &all), n);
    cr_expect_eq(all, (uint32_t)b->seg->sections[AP_SECTION_TALLIES].count - AP_TALLY_KINDS);
    cr_expect_geq(n, all - all / 4 - all / 50, "%u of %u rows", n, all);
    cr_expect_leq(n, all - all / 4);
    hive_handlers(replies, fails);
    for (int i = 0; i < 3; i++) called(a, "first", "abc", 3);
    ap_add_relaxed(&clock_now, 10);
    cr_expect_eq(ap_worker_serve(&hive.worker), 3);
    if (tallied(AP_TALLY_PAIR, "-", NULL, &t) == 0) {
        t = others_of(AP_TALLY_PAIR);
        cr_expect(t.counts[AP_TALLY_ENDED] == 3 && t.counts[AP_TALLY_RAN] == 3000 && t.counts[AP_TALLY_IN] == 9 &&
                  t.counts[AP_TALLY_OUT] == 18 && t.counts[AP_TALLY_WAITED] >= 30);
    }
    called(a, "second", NULL, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    t = others_of(AP_TALLY_FAILED);
    if (tallied(AP_TALLY_FAILED, NULL, NULL, &t) == 0) cr_expect_eq(others_of(AP_TALLY_FAILED).counts[AP_TALLY_ENDED], 1);
    sound(0);
}

/* A queue goes to another agent: what its rows have counted stays, and is told apart from what they count from then on. */
Test(tally, what_a_former_agent_has_counted_stays)
{
    uint32_t queue = hive.agents[0].queue;
    struct ap_tally t;

    hive_handlers(replies, fails);
    for (int i = 0; i < 3; i++) called(a, "first", "abc", 3);
    cr_expect_eq(ap_worker_serve(&hive.worker), 3);
    ap_tally_anew(b->seg, queue);
    sound(0);
    called(a, "first", "abc", 3);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(tallied(AP_TALLY_PAIR, "-", "first", &t), 1);
    cr_expect_eq(t.counts[AP_TALLY_ENDED], 4);
    for (uint64_t cursor = 0; ap_tally_next(b->seg, &cursor, &t);) {
        if (t.others || t.name.kind != AP_TALLY_PAIR) continue;
        cr_expect(t.former[AP_TALLY_ENDED] == 3 && t.former[AP_TALLY_IN] == 9 && t.former[AP_TALLY_BAD] == 0);
        cr_expect_eq(t.former[AP_TALLY_RAN], 3000);
    }
    sound(0);
}

/* An agent that made up codes is gone, and the next one has its own. */
Test(tally, codes_of_a_former_agent_are_not_held_against_the_next)
{
    uint32_t queue = hive.agents[0].queue;

    hive_handlers(fails, fails);
    for (uint32_t i = 0; i < AP_TALLY_CODES; i++) {
        fails_with = i + 1;
        called(a, "first", NULL, 0);
        cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    }
    cr_expect_eq(ap_tally_codes(b->seg, queue), AP_TALLY_CODES);
    ap_tally_anew(b->seg, queue);
    cr_expect_eq(ap_tally_codes(b->seg, queue), 0);
}

static void refuse(const char *caller_prefix, uint32_t i, uint32_t times)
{
    struct ap_tally_name of = {.kind = AP_TALLY_REFUSED, .queue = AP_TALLY_NO_QUEUE, .capability = 0, .code = APIARY_ELIMIT};
    struct ap_tally_row *row;

    snprintf(of.caller, sizeof of.caller, "%s-%u", caller_prefix, i);
    row = ap_tally_find(b->seg, &of, true);
    for (uint32_t n = 0; row != NULL && n < times; n++) ap_add_relaxed(&row->counts[AP_TALLY_ENDED], 1);
}

/* Refusals have rows of their own: neither they nor who calls whom fill the rows of the other. */
Test(tally, refusals_leave_rows_for_others)
{
    struct ap_tally_name of = {.kind = AP_TALLY_PAIR, .capability = 0, .caller = "late"};
    uint32_t all, used, n;
    struct ap_tally t;

    for (uint32_t i = 0; i < 10000; i++) refuse("refused", i, 1);
    used = ap_tally_used(b->seg, &all);
    cr_expect_leq(used, all / 4);
    cr_expect_geq(used, all / 4 - all / 50);
    cr_expect_not_null(ap_tally_find(b->seg, &of, true));
    n = table_fill(1000);
    cr_expect_geq(n, 3 * (all / 4) - all / 50);
    cr_expect_leq(tallied(AP_TALLY_REFUSED, NULL, NULL, &t), all / 4);
    cr_expect_eq(tallied(AP_TALLY_REFUSED, NULL, NULL, &t), used);
    sound(0);
}

/* One that comes again is counted without a search: a row that is emptied behind its back is not looked for. */
Test(tally, a_refusal_that_comes_again_is_not_searched_for)
{
    apiary_t *one = caller_attach("shop");
    apiary_task_t task;
    struct ap_tally t;
    uint32_t all, used;

    for (uint32_t i = 0; i < 10000; i++) refuse("refused", i, 0);
    used = ap_tally_used(b->seg, &all);
    for (int i = 0; i < 3; i++) cr_expect_eq(apiary_delegate(one, "nobody", NULL, 0, NULL, &task), APIARY_ENOCAP);
    cr_expect_eq(tallied(AP_TALLY_REFUSED, "shop", NULL, &t) * t.counts[AP_TALLY_ENDED] +
                 others_of(AP_TALLY_REFUSED).counts[AP_TALLY_ENDED], 3);
    if (ap_tally_used(b->seg, &all) == used) {
        cr_expect_null(one->anchor->counted.row);
        cr_expect_gt(one->anchor->counted.again, ap_load_relaxed(&clock_now));
    }
    steps_detach(one);
    one = caller_attach("mall");
    cr_expect_eq(apiary_delegate(one, "first", NULL, 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(one->anchor->counted.what, 0);
    steps_detach(one);
}

Test(tally, a_loan_that_is_refused_is_counted)
{
    struct ap_tally t;
    void *bodies[4096];
    uint32_t n = 0;
    int r = 0;

    while (n < 4096 && (r = apiary_loan(a, 4000, &bodies[n])) == 0) n++;
    cr_assert_lt(r, 0);
    cr_expect_eq(tallied(AP_TALLY_REFUSED, "-", NULL, &t), 1);
    cr_expect(t.counts[AP_TALLY_ENDED] == 1 && t.name.code == r && t.name.capability == AP_TALLY_NO_CAPABILITY);
    while (n > 0) apiary_unloan(a, bodies[--n]);
}

/* The next lane that looks for it fills what a dead one has left. */
Test(tally, a_row_that_was_claimed_and_not_filled)
{
    struct ap_tally_name of = pair_name(1);
    struct ap_tally_row *row = ap_tally_find(b->seg, &of, true);
    struct ap_tally t;

    cr_assert_not_null(row);
    ap_store_relaxed(&row->what, 0);
    memset(row->caller, 0, sizeof row->caller);
    sound(0);
    cr_expect_eq(tallied(AP_TALLY_PAIR, NULL, NULL, &t), 0);
    cr_expect_eq(ap_tally_find(b->seg, &of, true), row);
    cr_expect_eq(tallied(AP_TALLY_PAIR, "caller-1", NULL, &t), 1);
    sound(0);
}

Test(tally, what_cannot_be_is_found_and_not_shown)
{
    struct ap_tally_name of = pair_name(1);
    struct ap_tally_row *row = ap_tally_find(b->seg, &of, true);
    const struct ap_tally_row good = *row;
    struct ap_tally t;

#define FORGED(field, value, findings, shown)                               \
    do {                                                                    \
        *row = good;                                                        \
        row->field = (value);                                               \
        sound(findings);                                                    \
        cr_expect_eq(tallied(AP_TALLY_PAIR, NULL, NULL, &t), shown, #field); \
    } while (0)
    FORGED(key, AP_TALLY_KEY(AP_TALLY_KINDS, 1, 0, good.key), 1, 0);
    FORGED(key, AP_TALLY_KEY(AP_TALLY_PAIR, b->seg->geometry.queues, 0, good.key), 1, 0);
    FORGED(key, AP_TALLY_KEY(AP_TALLY_PAIR, 1, AP_TALLY_NO_CAPABILITY, good.key), 1, 0);
    FORGED(key, good.key ^ 1, 1, 1);
    FORGED(what, good.what & ~AP_TALLY_READY, 0, 0);
    FORGED(what, 1, 1, 0);
    FORGED(what, good.what ^ 1, 1, 1);
    FORGED(caller[0], '!', 1, 1);
    FORGED(counts[AP_TALLY_BAD], 1, 1, 1);
    FORGED(counts[AP_TALLY_LATE], 1, 1, 1);
    FORGED(former[AP_TALLY_RAN], 1, 1, 1);
    *row = good;
    ap_tally_row_at(b->seg, AP_TALLY_PAIR)->key = good.key;
    sound(1);
    ap_tally_row_at(b->seg, AP_TALLY_PAIR)->key = 0;
    sound(0);
#undef FORGED
}
