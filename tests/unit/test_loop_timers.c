/* The order of the loop's timers, whatever is added and closed, and callbacks that turn the loop themselves. All times are in
 * the past or far away, so that no test waits for one. */
#include <criterion/criterion.h>

#include <poll.h>
#include <unistd.h>

#include "core/loop_inside.h"

static struct ap_loop *loop;

static void setup(void)
{
    cr_assert_eq(ap_loop_create(&ap_ops_system, 0, &loop), 0);
}

static void teardown(void)
{
    ap_loop_destroy(loop);
}

TestSuite(loop_timers, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

enum { MANY = 300 };

static struct numbered {
    int number;
    apiary_watch_t *watch;
} timers[MANY];
static int order[2 * MANY], fired;

static void note(void *user, uint32_t events)
{
    cr_expect_eq(events, 0);
    order[fired++] = ((struct numbered *)user)->number;
}

static void look(void)
{
    ap_loop_park(loop, 0);
}

static void add(int number)
{
    timers[number].number = number;
    cr_assert_eq(ap_loop_timer(loop, (uint64_t)number + 1, note, &timers[number], &timers[number].watch), 0);
}

Test(loop_timers, fire_in_the_order_of_their_times)
{
    static const int steps[] = {1, 7, 11, 101, 143, 151, 199, 293, 299}; /* without a factor in common with MANY */

    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        int expected = 0, step = steps[s];

        fired = 0;
        for (int i = 0; i < MANY; i++) add(i * step % MANY);
        for (int i = 0; i < MANY; i += 3) cr_assert_eq(ap_loop_close(timers[i * step % MANY].watch), 0);
        look();
        cr_assert_eq(fired, MANY - MANY / 3);
        for (int i = 0; i < fired; i++, expected++) {
            while (expected < order[i]) cr_assert_eq(ap_loop_close(timers[expected++].watch), APIARY_ESTALE, "it had been closed");
            cr_assert_eq(order[i], expected, "timer %d came as %d", order[i], i);
            cr_assert_eq(ap_loop_close(timers[order[i]].watch), 0, "one that has fired is to be closed still");
        }
    }
}

Test(loop_timers, far_ones_do_not_lengthen_a_sleep)
{
    apiary_watch_t *far;

    cr_assert_eq(ap_loop_timer(loop, UINT64_MAX - 1, note, &timers[0], &far), 0);
    ap_loop_park(loop, ap_ops_system.now() + 1000000);
    cr_expect_eq(fired, 0);
    add(1);
    ap_loop_park(loop, UINT64_MAX);
    cr_expect_eq(fired, 1, "a near one ends it");
    cr_expect_eq(ap_loop_close(far), 0);
}

static void add_another(void *user, uint32_t events)
{
    (void)events;
    ++*(int *)user;
    cr_assert_eq(ap_loop_timer(loop, 1, add_another, user, NULL), 0);
}

/* One that always adds a next one that is due does not keep the loop. */
Test(loop_timers, one_that_is_added_meanwhile_has_its_turn_next_time)
{
    int calls = 0;

    cr_assert_eq(ap_loop_timer(loop, 1, add_another, &calls, NULL), 0);
    for (int i = 1; i < 10; i++) {
        look();
        cr_assert_eq(calls, i);
    }
}

static void close_all(void *user, uint32_t events)
{
    (void)user;
    (void)events;
    fired++;
    for (int i = 0; i < MANY; i++) cr_assert_eq(ap_loop_close(timers[i].watch), 0);
}

Test(loop_timers, closed_by_another_they_do_not_fire)
{
    cr_assert_eq(ap_loop_timer(loop, 0, close_all, NULL, NULL), 0);
    for (int i = 0; i < MANY; i++) add(i);
    look();
    cr_expect_eq(fired, 1);
    for (int i = 0; i < MANY; i++) cr_expect_eq(ap_loop_close(timers[i].watch), APIARY_ESTALE);
}

/* ---- callbacks that turn the loop themselves ------------------------------------------------------------------- */

static int depth, deepest, inner;

static void turn_again(void *user, uint32_t events)
{
    (void)user;
    (void)events;
    if (++depth > deepest) deepest = depth;
    inner++;
    look();
    depth--;
}

Test(loop_timers, a_callback_may_turn_the_loop)
{
    for (int i = 0; i < 20; i++) cr_assert_eq(ap_loop_timer(loop, 1, turn_again, NULL, NULL), 0);
    look();
    cr_expect_eq(inner, 20, "each once");
    cr_expect_eq(deepest, 20, "each from within the one before");
    look();
    cr_expect_eq(inner, 20);
}

static apiary_watch_t *watch;
static int ends[2], reads;

static void close_and_turn(void *user, uint32_t events)
{
    char byte;

    (void)user;
    cr_expect((events & POLLIN) != 0);
    reads++;
    cr_assert_eq(read(ends[0], &byte, 1), 1);
    cr_assert_eq(ap_loop_close(watch), 0);
    for (int i = 0; i < 5; i++) look(); /* the watch must outlive these: its dispatch goes on with it */
    add(0);
    look();
}

Test(loop_timers, a_watch_outlives_its_callback_that_turns_the_loop)
{
    for (int round = 1; round <= 20; round++) {
        cr_assert_eq(pipe(ends), 0);
        cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, close_and_turn, NULL, &watch), 0);
        cr_assert_eq(write(ends[1], "ab", 2), 2);
        while (reads < round) ap_loop_park(loop, UINT64_MAX);
        look();
        cr_expect_eq(reads, round);
        cr_expect_eq(fired, round);
        cr_assert_eq(ap_loop_close(timers[0].watch), 0);
        close(ends[0]);
        close(ends[1]);
    }
}
