/* What a lane leaves of its claims and of its place in line, step by step (shm/claim.h). */
#include "claim_fixture.h"

TestSuite(claim_ends, .init = claim_setup, .fini = claim_teardown, .timeout = 120);

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
    cr_expect_eq(row->turn, 1);
    ap_claim_leave(seg, lane());
    cr_expect_eq(lane()->waits, 0);
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
