/* tests/unit/test_target.c - targets of capabilities: two windows make a verdict, and nothing asked makes none. */
#include "registry_fixture.h"

#include "core/ops.h"
#include "registry/routing/target.h"

static uint64_t clock_now;

static uint64_t clock_told(void)
{
    return clock_now;
}

static struct worker w;

static void setup(void)
{
    fixture_setup();
    worker_register(&w, "echo_service", "0", "echo", (const char *const[]){"echo", NULL});
    clock_now = 1000 * SECOND;
}

static void teardown(void)
{
    worker_go(&w);
    worker_stop(&w);
    fixture_teardown();
}

TestSuite(target, .init = setup, .fini = teardown);

static enum ap_target_state success(uint64_t target, uint64_t ended5, uint64_t bad5, uint64_t ended60, uint64_t bad60)
{
    return ap_target_success(target, (const uint64_t[]){ended5, ended60}, (const uint64_t[]){ended5 - bad5, ended60 - bad60});
}

Test(target, success_over_both_windows)
{
    cr_expect_eq(success(99000, 0, 0, 0, 0), AP_TARGET_NONE, "nothing was asked");
    cr_expect_eq(success(99000, 0, 0, 100, 100), AP_TARGET_NONE, "nothing was asked of late");
    cr_expect_eq(success(99000, 100, 0, 1000, 0), AP_TARGET_MET);
    cr_expect_eq(success(99000, 100, 1, 1000, 10), AP_TARGET_MET, "just what is allowed");
    cr_expect_eq(success(99000, 100, 5, 1000, 5), AP_TARGET_MET, "a blip");
    cr_expect_eq(success(99000, 100, 0, 1000, 500), AP_TARGET_MET, "it is over");
    cr_expect_eq(success(99000, 100, 2, 1000, 20), AP_TARGET_MISSED);
    cr_expect_eq(success(99000, 100, 15, 1000, 20), AP_TARGET_MISSED, "badly over one of them");
    cr_expect_eq(success(99000, 100, 15, 1000, 150), AP_TARGET_BADLY);
    cr_expect_eq(success(50000, 100, 80, 1000, 800), AP_TARGET_MISSED, "14.4 times as many cannot be");
    cr_expect_eq(success(50000, 100, 100, 1000, 1000), AP_TARGET_BADLY, "all");
}

Test(target, p99_over_both_windows)
{
    cr_expect_eq(ap_target_p99(100, (const uint64_t[]){AP_TARGET_UNKNOWN, 50}), AP_TARGET_NONE);
    cr_expect_eq(ap_target_p99(100, (const uint64_t[]){100, 100}), AP_TARGET_MET);
    cr_expect_eq(ap_target_p99(100, (const uint64_t[]){101, 100}), AP_TARGET_MET);
    cr_expect_eq(ap_target_p99(100, (const uint64_t[]){101, 101}), AP_TARGET_MISSED);
}

Test(target, a_verdict_is_published_and_grows_old)
{
    int capability = ap_capability_find(client->seg, "echo", 4);
    uint64_t said[AP_TERMS] = {0};
    struct ap_terms_conflicts conflicts = {.count = 0};
    struct ap_target_verdict v = {.states = {AP_TARGET_MISSED, AP_TARGET_MET}, .missed = {true, false},
                                  .success = {981000, AP_TARGET_UNKNOWN}, .p99 = {0, UINT64_C(5000000)}}, is;
    struct ap_ops ops = *client->seg->ops;
    char text[128];

    cr_assert_geq(capability, 0);
    cr_expect_not(ap_target_read(client->seg, (uint32_t)capability, &is), "it has no targets");
    said[AP_TERM_target_success] = 99900 + 1;
    ap_terms_declare(client->seg, w.lane, w.queue, (uint32_t)capability, said, &conflicts);
    ops.now = clock_told;
    client->seg->ops = &ops;
    cr_assert(ap_target_read(client->seg, (uint32_t)capability, &is));
    cr_expect_eq(is.age, AP_TARGET_UNKNOWN);
    cr_expect_eq(is.states[AP_TARGET_SUCCESS], AP_TARGET_NONE, "nobody has judged it");
    ap_target_publish(client->seg, (uint32_t)capability, &v);
    cr_assert(ap_target_read(client->seg, (uint32_t)capability, &is));
    cr_expect_eq(is.targets[AP_TARGET_SUCCESS], 99900);
    cr_expect_eq(is.states[AP_TARGET_SUCCESS], AP_TARGET_MISSED);
    cr_expect_eq(is.states[AP_TARGET_P99], AP_TARGET_NONE, "it has no such target");
    cr_expect(is.missed[AP_TARGET_SUCCESS]);
    cr_expect_eq(is.success[0], 981000);
    cr_expect_eq(is.success[1], AP_TARGET_UNKNOWN);
    cr_expect_eq(is.p99[0], 0);
    cr_expect_eq(is.p99[1], 5000000);
    cr_expect_str_eq(ap_target_print(&is, AP_TARGET_SUCCESS, text),
                     "success 98.1 % over 5 min and nothing over 1 h, target 99.9 %");
    clock_now += AP_TARGET_STALE + SECOND;
    cr_assert(ap_target_read(client->seg, (uint32_t)capability, &is));
    cr_expect_eq(is.states[AP_TARGET_SUCCESS], AP_TARGET_NONE, "it is stale");
    cr_expect(is.missed[AP_TARGET_SUCCESS], "which does not say that it was met");
    client->seg->ops = &ap_ops_system;
}
