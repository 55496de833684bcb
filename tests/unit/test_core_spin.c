/* How long a thread that waits looks before it sleeps, with a clock and a scheduler of the test's own. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/spin.h"

#define US UINT64_C(1000)
#define LOOKS_MAX 10000000u

static uint64_t clock_ns, yield_ns, switches;
static unsigned yields, switched;

static uint64_t fake_now(void)
{
    return clock_ns += 50;
}

static void fake_yield(void)
{
    clock_ns += yield_ns;
    switches += switched;
    yields++;
}

static uint64_t fake_switches(void)
{
    return switches;
}

static const struct ap_ops ops = {.now = fake_now, .yield = fake_yield, .switches = fake_switches};
static struct ap_spin spin;

static void setup(void)
{
    unsetenv("APIARY_SPIN");
    clock_ns = 1000 * US;
    yield_ns = 300;
    yields = switched = 0;
    switches = 7;
    ap_spin_open(&spin, &ops);
}

TestSuite(spin, .init = setup);

/* Looks in vain until it is told to sleep. */
static unsigned looks_in_vain(void)
{
    unsigned n = 0;

    while (ap_spin_more(&spin)) cr_assert_lt(++n, LOOKS_MAX, "it never ends");
    return n;
}

/* Waits, for as long as it takes to see that each yield is long. */
static void become_crowded(void)
{
    yield_ns = 20 * US;
    for (int waits = 0; !spin.crowded; waits++) {
        cr_assert_lt(waits, 10);
        while (!spin.crowded && ap_spin_more(&spin)) {}
    }
}

/* On free processors: some tries whether others would run, each twice as late as the one before. */
Test(spin, alone_it_hardly_yields)
{
    unsigned n = looks_in_vain();

    cr_expect_gt(n, 100);
    cr_expect_gt(yields, 0);
    cr_expect_lt(yields, 10);
    cr_expect_not(spin.crowded);
}

/* One that finds what it waits for at once makes no system call at all. */
Test(spin, what_comes_soon_costs_no_yield)
{
    for (int i = 0; i < 1000; i++) {
        for (int k = 0; k < 8; k++) cr_assert(ap_spin_more(&spin));
        ap_spin_found(&spin);
    }
    cr_expect_eq(yields, 0);
}

Test(spin, sleeps_that_were_short_make_it_look_longer_and_long_ones_not_at_all)
{
    unsigned first = looks_in_vain(), longer, n;

    ap_spin_parked(&spin, 10 * US);
    longer = looks_in_vain();
    cr_expect_gt(longer, first);
    for (int i = 0; i < 20; i++) ap_spin_parked(&spin, 1000 * 1000 * US);
    cr_expect_not(ap_spin_more(&spin));
    ap_spin_parked(&spin, 10 * US);
    n = looks_in_vain();
    cr_expect_gt(n, 0, "it looks again");
    cr_expect_lt(n, longer);
}

/* A yield in which others ran takes longer; two running are believed, and two that say otherwise. */
Test(spin, crowded_it_yields_each_turn_until_nobody_else_runs)
{
    unsigned n;

    become_crowded();
    cr_expect_eq(yields, 2);
    ap_spin_found(&spin);
    n = yields;
    for (int i = 0; i < 5; i++) cr_assert(ap_spin_more(&spin));
    cr_expect_eq(yields, n + 5);
    cr_expect_lt(looks_in_vain(), 100u);
    yield_ns = 300;
    for (int i = 0; i < 2; i++) cr_assert(ap_spin_more(&spin));
    cr_expect_not(spin.crowded);
}

/* Where switches are quick, the time does not tell, but the kernel does. */
Test(spin, a_short_yield_in_which_another_ran_counts)
{
    unsigned n;

    yield_ns = 900;
    switched = 2;
    for (int waits = 0; !spin.crowded; waits++) {
        cr_assert_lt(waits, 10);
        while (!spin.crowded && ap_spin_more(&spin)) {}
    }
    ap_spin_found(&spin);
    n = yields;
    for (int i = 0; i < 5; i++) cr_assert(ap_spin_more(&spin));
    cr_expect_eq(yields, n + 5);
    yield_ns = 100;
    switched = 0;
    cr_assert(ap_spin_more(&spin), "this one makes it doubt");
    for (int i = 0; i < 2; i++) cr_assert(ap_spin_more(&spin));
    cr_expect_not(spin.crowded);
}

/* One turn that something else has used is no crowd. */
Test(spin, one_long_yield_is_not_believed)
{
    yield_ns = 20 * US;
    while (yields == 0) cr_assert(ap_spin_more(&spin));
    yield_ns = 300;
    looks_in_vain();
    cr_expect_not(spin.crowded);
}

/* On free processors whose yields are long for some other reason, a short spin now and then tells. */
Test(spin, short_spins_that_pay_end_the_crowd)
{
    unsigned n;

    become_crowded();
    ap_spin_found(&spin);
    n = yields;
    for (int waits = 0; spin.crowded; waits++) {
        cr_assert_lt(waits, 100);
        for (int k = 0; k < 3; k++) cr_assert(ap_spin_more(&spin));
        ap_spin_found(&spin);
    }
    cr_expect_lt(yields, n + 3 * 100);
}

Test(spin, crowded_and_in_vain_it_sleeps_at_once)
{
    become_crowded();
    ap_spin_found(&spin);
    for (int i = 0; i < 20; i++) ap_spin_parked(&spin, 1000 * 1000 * US);
    cr_expect_not(ap_spin_more(&spin));
}

/* Who does not yield has the processor for milliseconds: to sleep, and be woken, is quicker. */
Test(spin, it_does_not_yield_to_who_never_does)
{
    become_crowded();
    ap_spin_found(&spin);
    yield_ns = 3000 * US;
    cr_assert(ap_spin_more(&spin), "once is the scheduler's mood");
    cr_assert(ap_spin_more(&spin), "one more look after the second");
    cr_expect_not(ap_spin_more(&spin));
    ap_spin_parked(&spin, 10 * US);
    yield_ns = 0;
    for (int i = 0; i < 2; i++) {
        unsigned before = yields;
        cr_expect_gt(looks_in_vain(), 0u, "a short spin may pay where others only spin");
        cr_expect_eq(yields, before);
        ap_spin_parked(&spin, 10 * US);
    }
    cr_expect_not(ap_spin_more(&spin), "nor soon after");
    clock_ns += 100 * 1000 * US;
    cr_expect(ap_spin_more(&spin));
}

/* Others spin, and the one who answers is awake elsewhere: to sleep at once would be to wait a turn of theirs for each answer. */
Test(spin, short_spins_that_pay_end_the_sleep)
{
    become_crowded();
    ap_spin_found(&spin);
    yield_ns = 3000 * US;
    for (int i = 0; i < 2; i++) cr_assert(ap_spin_more(&spin));
    cr_expect_not(ap_spin_more(&spin));
    ap_spin_parked(&spin, 10 * US);
    for (int i = 0; i < 2; i++) {
        cr_assert(ap_spin_more(&spin));
        ap_spin_found(&spin);
    }
    cr_expect_not(spin.crowded);
    cr_expect(ap_spin_more(&spin));
}

/* Each of its waits is short, and then it has not had the processor for a while: others stand in line for it. */
Test(spin, who_was_made_to_leave_yields)
{
    unsigned n;

    switched = 2;
    yield_ns = 900;
    for (int i = 0; i < 10; i++) {
        cr_assert(ap_spin_more(&spin));
        ap_spin_found(&spin);
    }
    cr_expect_eq(yields, 0);
    clock_ns += 4000 * US;
    cr_assert(ap_spin_more(&spin));
    cr_expect_eq(yields, 1);
    cr_expect(spin.crowded);
    ap_spin_found(&spin);
    n = yields;
    for (int i = 0; i < 200; i++) {
        cr_assert(ap_spin_more(&spin));
        ap_spin_found(&spin);
    }
    cr_expect_eq(yields, n + 200, "among those who yield it stays one of them, however soon its answers come");
}

/* A pause of its own costs one yield, which shows that nobody else stands in line. */
Test(spin, own_work_costs_a_yield_and_is_no_crowd)
{
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 4; k++) {
            cr_assert(ap_spin_more(&spin));
            ap_spin_found(&spin);
        }
        clock_ns += 1500 * US;
    }
    cr_expect_leq(yields, 100);
    cr_expect_not(spin.crowded);
}

/* A slow processor: what the kernel counts decides, once it has counted. */
Test(spin, long_yields_alone_are_no_crowd_where_the_kernel_counts)
{
    switched = 2;
    become_crowded();
    ap_spin_found(&spin);
    switched = 0;
    yield_ns = 1600;
    for (int waits = 0; spin.crowded; waits++) {
        cr_assert_lt(waits, 300);
        cr_assert(ap_spin_more(&spin));
        ap_spin_found(&spin);
    }
}

/* A switch between a yield and the count makes that yield seem to have let another run. */
Test(spin, a_yield_counted_wrongly_is_forgotten)
{
    become_crowded();
    spin.switching = 130;
    ap_spin_found(&spin);
    yield_ns = 150;
    for (int waits = 0; spin.crowded; waits++) {
        cr_assert_lt(waits, 300);
        cr_assert(ap_spin_more(&spin));
        ap_spin_found(&spin);
    }
}

/* Who asks seldom has such gaps of its own. */
Test(spin, a_gap_between_rare_waits_is_nothing)
{
    for (int i = 0; i < 20; i++) {
        cr_assert(ap_spin_more(&spin));
        ap_spin_found(&spin);
        clock_ns += 5000 * US;
    }
    cr_expect_eq(yields, 0);
}

Test(spin, it_goes_on_where_only_one_yield_was_overlong)
{
    become_crowded();
    ap_spin_found(&spin);
    for (int i = 0; i < 8; i++) {
        yield_ns = i % 2 == 0 ? 3000 * US : 20 * US;
        cr_assert(ap_spin_more(&spin));
    }
}

Test(spin, never)
{
    setenv("APIARY_SPIN", "never", 1);
    ap_spin_open(&spin, &ops);
    cr_expect_not(ap_spin_more(&spin));
    ap_spin_parked(&spin, 10 * US);
    cr_expect_not(ap_spin_more(&spin));
    cr_expect_eq(yields, 0);
    unsetenv("APIARY_SPIN");
}
