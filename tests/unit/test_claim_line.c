/* The line of those who wait for a claim (shm/claim.h, LINE; registry/conflict/wait.c): one that is stopped holds up nobody for
 * long, and a death that comes just then is seen. */
#include "claim_others.h"

#include <errno.h>

TestSuite(claim_line, .init = claim_setup, .fini = claim_teardown, .timeout = TEST_LIMIT);

static void child_stop(pid_t pid)
{
    int status;

    kill(pid, SIGSTOP);
    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    cr_assert(WIFSTOPPED(status));
}

/* The one that waits by another process. */
static struct ap_lane *lane_of(pid_t pid)
{
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        struct ap_lane *lane = ap_lane_at(seg, i);

        if (ap_load_relaxed(&lane->waits) != 0 && ap_load_relaxed(&lane->pid) == pid) return lane;
    }
    cr_assert_fail("it does not wait");
    return NULL;
}

/* ---- by hand: the test's own thread waits in line, and looks when it says so ------------------------------------- */

static uint64_t ticket;
static struct ap_claim_view seen;

static struct ap_lane *own(void)
{
    return client->anchor->lane.lane;
}

static void stands_in_line(uint32_t row)
{
    struct ap_claim_ask ask = {.ticket = ticket = ap_claim_number(seg)};

    cr_assert_eq(ap_claim_key(seg, "k", &ask.key), 0);
    ap_claim_line(seg, own(), &ask, row);
}

static int looks(void)
{
    struct ap_claim_ask ask = {.ttl = APIARY_FOREVER, .ticket = ticket, .lane = client->anchor->lane.index, .steals = true};

    cr_assert_eq(ap_claim_key(seg, "k", &ask.key), 0);
    ap_claim_awake(own());
    return ap_claim_take(seg, &ask, &seen);
}

/* It does not wait any more, and has nothing. */
static void leaves(void)
{
    ap_claim_leave(seg, own());
    cr_assert_eq(apiary_claim_release(client, "k", seen.token), 0);
}

/* Somebody comes newly, and does not wait. */
static int comes(void)
{
    struct other o = {.key = "k", .ttl = APIARY_FOREVER};

    other_start(&o);
    other_end(&o);
    return o.result;
}

static uint32_t claimed(void)
{
    apiary_claim_t claim;

    cr_assert_eq(claims("k", APIARY_FOREVER, 0, &claim), 0);
    seen.token = claim.token;
    return AP_CLAIM_TOKEN_ROW(claim.token);
}

/* No time passes but what the test says. One is stopped: it is waited for once, and then the others have their turns before anybody
 * who comes newly. */
Test(claim_line, one_is_stopped)
{
    const struct ap_lane *stopped;
    uint32_t row, bell;
    pid_t pid;

    frozen = shifted_now();
    row = claimed();
    pid = child(waits_then_ready);
    until_waiting("k", 1);
    stopped = lane_of(pid);
    child_stop(pid);
    stands_in_line(row);
    cr_assert_eq(apiary_claim_release(client, "k", seen.token), 0);
    cr_expect_eq(comes(), APIARY_EHELD, "it is the turn of the one that is stopped");
    cr_expect_eq(looks(), 0);
    cr_expect(!seen.held && seen.until == shifted_now() + AP_CLAIM_GRACE, "it looks again when that turn is over");
    bell = ap_bell_raise(&own()->bell);
    ap_store_relaxed(&ahead, AP_CLAIM_GRACE);
    cr_expect_eq(comes(), APIARY_EHELD, "then it is the second's");
    cr_expect_eq(comes(), APIARY_EHELD);
    cr_expect_neq(own()->bell | 1, bell, "which is told so");
    cr_assert_eq(looks(), 1);
    cr_expect_eq(comes(), APIARY_EHELD);
    leaves();
    cr_expect_eq(comes(), 0, "nobody else waits that goes on");
    row = claimed();
    stands_in_line(row);
    cr_assert_eq(apiary_claim_release(client, "k", seen.token), 0);
    cr_expect_eq(comes(), APIARY_EHELD);
    cr_assert_eq(looks(), 1, "who is stopped is not waited for again");
    /* It stands where it stood, once it goes on. */
    kill(pid, SIGCONT);
    while (ap_load_relaxed(&stopped->passed) != 0) sched_yield();
    cr_assert_eq(apiary_claim_release(client, "k", seen.token), 0);
    while (looks() == 0) sched_yield();
    cr_expect_eq(stats().waited, 1, "it has had the claim first, and its thread has ended");
    leaves();
    child_kill(pid);
}

/* Each has its turn: two are stopped. */
Test(claim_line, two_are_stopped)
{
    uint32_t row;
    pid_t pids[2];

    frozen = shifted_now();
    row = claimed();
    for (uint32_t i = 0; i < 2; i++) {
        pids[i] = child(waits_then_ready);
        until_waiting("k", i + 1);
        child_stop(pids[i]);
    }
    stands_in_line(row);
    cr_assert_eq(apiary_claim_release(client, "k", seen.token), 0);
    ap_store_relaxed(&ahead, AP_CLAIM_GRACE);
    cr_expect_eq(looks(), 0, "the turn of the second that is stopped has only begun");
    cr_expect_eq(comes(), APIARY_EHELD);
    ap_store_relaxed(&ahead, 2 * AP_CLAIM_GRACE - 1);
    cr_expect_eq(looks(), 0);
    ap_store_relaxed(&ahead, 2 * AP_CLAIM_GRACE);
    cr_expect_eq(comes(), APIARY_EHELD);
    cr_expect_eq(looks(), 1);
    leaves();
    for (uint32_t i = 0; i < 2; i++) child_kill(pids[i]);
}

static uint64_t slept_until;
static uint32_t slept;

static int sleep_so_long(const uint32_t *word, uint32_t value, uint64_t until)
{
    (void)word, (void)value;
    cr_assert_lt(slept++, 100, "it waits for ever");
    slept_until = until;
    ap_store_relaxed(&ahead, until - frozen);
    return -ETIMEDOUT;
}

/* Nobody comes newly: who is next goes past it itself, and has looked as soon as its turn came. */
Test(claim_line, the_next_goes_past_who_is_stopped)
{
    apiary_claim_t claim;
    uint64_t turn;
    pid_t pid;

    frozen = shifted_now();
    claimed();
    pid = child(waits_then_ready);
    until_waiting("k", 1);
    child_stop(pid);
    cr_assert_eq(apiary_claim_release(client, "k", seen.token), 0);
    turn = shifted_now() + AP_CLAIM_GRACE;
    ap_store_relaxed(&ahead, AP_CLAIM_GRACE - 5 * MS);
    shifted.futex_wait = sleep_so_long;
    cr_expect_eq(claims("k", SECOND, APIARY_CLAIM_WAIT, &claim), 0);
    cr_expect_eq(slept_until, turn);
    child_kill(pid);
}

/* ---- a holder dies just then ------------------------------------------------------------------------------------ */

static pid_t holder;
static uint32_t woken;
static const uint32_t *watched;

static int sleep_and_die(const uint32_t *word, uint32_t value, const uint32_t *other, uint32_t others, uint64_t until)
{
    (void)word, (void)value, (void)others, (void)until;
    slept++;
    watched = other;
    if (holder != 0) child_kill(holder);
    holder = 0;
    return 0;
}

static int counted_wake(const uint32_t *word, int count)
{
    woken += watched != NULL && word == watched;
    return ap_ops_system.futex_wake(word, count);
}

/* The kernel wakes one sleeper at a death: whoever that is wakes the others, who may want another key of the dead one's. */
Test(claim_line, a_death_is_passed_on)
{
    apiary_claim_t claim;

    holder = child(holds_k);
    shifted.futex_wait_both = sleep_and_die;
    shifted.futex_wake = counted_wake;
    cr_expect_eq(claims("k", APIARY_FOREVER, APIARY_CLAIM_WAIT, &claim), 0);
    cr_expect_eq(slept, 1);
    cr_expect_eq(woken, 1);
}

/* The clock is read between the last look at the claim and the watch of its holder. */
static uint64_t now_and_die(void)
{
    if (holder != 0 && (ap_load_relaxed(&client->anchor->lane.lane->bell) & 1) != 0) {
        child_kill(holder);
        holder = 0;
    }
    return shifted_now();
}

static int counted_wait(const uint32_t *word, uint32_t value, uint64_t until)
{
    slept++;
    return ap_ops_system.futex_wait(word, value, until);
}

Test(claim_line, a_death_between_look_and_watch)
{
    apiary_claim_t claim;

    cr_assert_eq(ap_load_relaxed(&client->anchor->lane.lane->bell) & 1, 0);
    holder = child(holds_k);
    shifted.futex_wait_both = sleep_and_die;
    shifted.futex_wait = counted_wait;
    shifted.now = now_and_die;
    cr_expect_eq(claims("k", APIARY_FOREVER, APIARY_CLAIM_WAIT, &claim), 0);
    cr_expect_eq(holder, 0);
    cr_expect_eq(slept, 0, "it is seen without a sleep");
}
