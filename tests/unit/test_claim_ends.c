/* What a lane leaves of its claims and of its place in line, step by step (shm/claim.h). */
#include "claim_fixture.h"

#include <errno.h>

TestSuite(claim_ends, .init = claim_setup, .fini = claim_teardown, .timeout = TEST_LIMIT);

static struct ap_lane *lane(void)
{
    return client->anchor->lane.lane;
}

static struct ap_claim *row_of(const apiary_claim_t *claim)
{
    return ap_claim_at(seg, AP_CLAIM_TOKEN_ROW(claim->token));
}

/* Its thread ends while it enters a key: the row is nobody's, and may be filled anew. */
Test(claim_ends, a_row_that_was_being_filled)
{
    struct ap_claim *row = ap_claim_at(seg, 3);
    const uint64_t number = ap_claim_number(seg);
    const uint32_t own = client->anchor->lane.index;
    apiary_claim_t claim;

    row->word = AP_CLAIM_WORD(number, own, AP_CLAIM_FILLING);
    ap_claims_end(seg, own);
    cr_expect_eq(row->word, AP_CLAIM_WORD(number, 0, AP_CLAIM_EMPTY));
    row->word = AP_CLAIM_WORD(number, own + 1, AP_CLAIM_FILLING);
    ap_claims_end(seg, own);
    cr_expect_eq(row->word, AP_CLAIM_WORD(number, own + 1, AP_CLAIM_FILLING), "another lane's");
    row->word = AP_CLAIM_WORD(number, 0, AP_CLAIM_EMPTY);
    for (unsigned i = 0; i < 16; i++) cr_assert_eq(claims(numbered(i), SECOND, 0, &claim), 0, "%u", i);
    ap_claims_end(seg, own);
    cr_expect_eq(stats().held, 0);
}

static void stands_in_line(const char *key, uint32_t row)
{
    struct ap_claim_ask ask = {.ticket = ap_claim_number(seg)};

    cr_assert_eq(ap_claim_key(seg, key, &ask.key), 0);
    ap_claim_line(seg, lane(), &ask, row);
}

/* Who stands in line behind a holder says from when on the others let it go first; a claim that is free was freed before. */
Test(claim_ends, a_place_in_line_has_its_time)
{
    apiary_claim_t claim;
    struct ap_claim *row;
    uint64_t before = shifted_now();

    cr_assert_eq(claims("k", APIARY_FOREVER, 0, &claim), 0);
    row = row_of(&claim);
    row->turn = 1;
    stands_in_line("k", AP_CLAIM_TOKEN_ROW(claim.token));
    cr_expect_geq(row->turn, before);
    cr_expect_eq(row->waiting & 1, 1);
    ap_claim_leave(seg, lane());
    cr_assert_eq(apiary_claim_release(client, "k", claim.token), 0);
    row->turn = 1;
    stands_in_line("k", AP_CLAIM_TOKEN_ROW(claim.token));
    cr_expect_geq(row->turn, before, "who freed it saw nobody");
    row->turn = 1;
    stands_in_line("k", AP_CLAIM_TOKEN_ROW(claim.token));
    cr_expect_eq(row->turn, 1, "one waits already");
    ap_claim_leave(seg, lane());
    cr_expect_eq(lane()->waits, 0);
}

static struct ap_claim *waited_for;
static unsigned sleeps, raised;

/* The bit is lowered as the waiter goes to sleep for the first time. */
static int sleeping(const uint32_t *word, uint32_t value, uint64_t until)
{
    (void)word;
    (void)value;
    (void)until;
    if (sleeps++ == 0) ap_store_relaxed(&waited_for->waiting, ap_load_relaxed(&waited_for->waiting) & ~1u);
    else raised += ap_load_relaxed(&waited_for->waiting) & 1;
    if (sleeps > 2) ap_store_relaxed(&ahead, 10 * SECOND);
    return 0;
}

/* Another key had the row for a while, and nobody who waited for that: who stands in line raises the bit again as it looks. */
Test(claim_ends, a_bit_that_was_lowered_is_raised_by_who_waits)
{
    apiary_t *other = attach_as("other");
    apiary_claim_t claim, mine;

    cr_assert_eq(claims_of(other, "k", APIARY_FOREVER, 0, 0, 0, &claim), 0);
    waited_for = row_of(&claim);
    sleeps = raised = 0;
    shifted.futex_wait = sleeping;
    shifted.futex_wait_both = NULL;
    cr_expect_eq(claims_of(client, "k", APIARY_FOREVER, APIARY_CLAIM_WAIT, 0, 5 * SECOND, &mine), APIARY_EHELD);
    cr_expect_gt(sleeps, 1);
    cr_expect_eq(raised, sleeps - 1);
    cr_assert_eq(apiary_claim_release(other, "k", claim.token), 0);
    cr_expect_eq(apiary_detach(other), 0);
}

/* Where nobody waits any more whoever frees it looks for nobody. */
Test(claim_ends, a_line_that_is_empty_is_not_looked_at)
{
    apiary_claim_t claim;
    struct ap_claim *row;

    cr_assert_eq(claims("k", APIARY_FOREVER, 0, &claim), 0);
    row = row_of(&claim);
    for (int i = 0; i < 3; i++) {
        stands_in_line("k", AP_CLAIM_TOKEN_ROW(claim.token));
        cr_expect_eq(row->waiting & 1, 1);
        ap_claim_leave(seg, lane());
        cr_expect_eq(row->waiting & 1, 0);
        cr_expect_geq(row->waiting, 2 * (uint32_t)i, "its count goes on");
    }
    row->waiting |= 1; /* of one that has died */
    cr_assert_eq(apiary_claim_release(client, "k", claim.token), 0);
    cr_expect_eq(row->waiting & 1, 0);
}

static uint32_t both, bell_alone;

/* Whoever sleeps on the holder's lock and its own bell is woken when its time is over. */
static int sleep_both(const uint32_t *word, uint32_t value, const uint32_t *other, uint32_t others, uint64_t until)
{
    (void)word, (void)value, (void)other, (void)others;
    both++;
    if (until > shifted_now()) ahead += until - shifted_now();
    return -ETIMEDOUT;
}

static int sleep_alone(const uint32_t *word, uint32_t value, uint64_t until)
{
    (void)word, (void)value;
    bell_alone++;
    if (until > shifted_now()) ahead += until - shifted_now();
    return -ETIMEDOUT;
}

/* Where the kernel waits for both it is asked for both, and not once more for the one: that would miss the holder's death. */
Test(claim_ends, one_sleep_for_the_bell_and_the_holder)
{
    apiary_t *holder = attach_as("holder");
    apiary_claim_t claim;

    cr_assert_eq(claims_of(holder, "k", APIARY_FOREVER, 0, 0, 0, &claim), 0);
    shifted.futex_wait_both = sleep_both;
    shifted.futex_wait = sleep_alone;
    cr_expect_eq(claims_of(client, "k", SECOND, APIARY_CLAIM_WAIT, 0, SECOND, &claim), APIARY_EHELD);
    cr_expect_gt(both, 0);
    cr_expect_eq(bell_alone, 0);
    shifted.futex_wait_both = NULL;
    cr_expect_eq(claims_of(client, "k", SECOND, APIARY_CLAIM_WAIT, 0, SECOND, &claim), APIARY_EHELD);
    cr_expect_gt(bell_alone, 0, "a kernel that cannot");
    shifted.futex_wait_both = ap_ops_system.futex_wait_both;
    shifted.futex_wait = ap_ops_system.futex_wait;
    cr_expect_eq(apiary_detach(holder), 0);
}

/* Of those whose time is over one makes room for another key, and the rest stay for who looks for them. */
Test(claim_ends, one_row_makes_room)
{
    apiary_claim_t claim;

    for (unsigned i = 0; i < 16; i++)
        cr_assert_eq(claims_of(client, numbered(i), SECOND, 0, APIARY_CLAIM_STAYS, 0, &claim), 0, "%u", i);
    cr_expect_eq(claims("more", SECOND, 0, &claim), APIARY_ETABLEFULL);
    ap_store_relaxed(&ahead, 2 * SECOND);
    cr_expect_eq(claims("more", SECOND, 0, &claim), 0);
    cr_expect_eq(stats().expired, 1);
}

/* A row that a dead lane was filling is the next one's at once: it lies where the key is looked for first. */
Test(claim_ends, a_row_that_the_dead_were_filling)
{
    struct ap_claim_key key;
    struct ap_claim *home;
    uint32_t dead = 0;
    apiary_claim_t claim;

    while (ap_lane_alive(seg, dead)) dead++;
    cr_assert_eq(ap_claim_key(seg, "k", &key), 0);
    home = ap_claim_at(seg, key.home);
    home->word = AP_CLAIM_WORD(ap_claim_number(seg), dead, AP_CLAIM_FILLING);
    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    cr_expect_eq(row_of(&claim), home);
}
