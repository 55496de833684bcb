/* The table of claims (shm/claim.h): as many keys as rows, keys that spill, refusals, and that no two tokens of a key pass. */
#include "claim_fixture.h"

TestSuite(claim_rows, .init = claim_setup, .fini = claim_teardown, .timeout = TEST_LIMIT);

Test(claim_rows, as_many_as_there_are_rows)
{
    apiary_claim_t claim[16], more;

    for (unsigned i = 0; i < 16; i++) cr_assert_eq(claims(numbered(i), APIARY_FOREVER, 0, &claim[i]), 0, "%u", i);
    cr_expect_eq(claims("one more", SECOND, 0, &more), APIARY_ETABLEFULL);
    for (unsigned i = 0; i < 16; i++) cr_expect_eq(apiary_claim_check(client, numbered(i), claim[i].token), 0, "%u", i);
    cr_assert_eq(apiary_claim_release(client, numbered(7), claim[7].token), 0);
    cr_assert_eq(claims("one more", SECOND, 0, &more), 0, "in the row of a key that nobody has");
    cr_expect_gt(more.token, claim[15].token);
    cr_expect_eq(apiary_claim_check(client, numbered(7), claim[7].token), APIARY_ESTALE);
    cr_assert_eq(apiary_claim_release(client, "one more", more.token), 0);
    cr_assert_eq(claims(numbered(7), SECOND, 0, &claim[7]), 0);
    cr_expect_gt(claim[7].token, more.token, "also of a key that has lost its row");
}

/* Of the same length, home and hash, and another key all the same. */
Test(claim_rows, a_hash_is_not_a_key)
{
    struct ap_claim_key one, two;
    apiary_claim_t claim, other;
    struct ap_claim *row = NULL;
    uint64_t hash;
    unsigned n = 0;

    cr_assert_eq(ap_claim_key(seg, numbered(100), &one), 0);
    do cr_assert_eq(ap_claim_key(seg, numbered(101 + n), &two), 0);
    while (two.home != one.home && ++n < 800);
    cr_assert(two.home == one.home && two.size == one.size && two.hash != one.hash);
    cr_assert_eq(claims(numbered(100), APIARY_FOREVER, 0, &claim), 0);
    for (uint32_t i = 0; i < 16 && row == NULL; i++)
        if (ap_claim_at(seg, i)->hash == one.hash) row = ap_claim_at(seg, i);
    cr_assert_not_null(row);
    hash = row->hash;
    row->hash = two.hash;
    cr_expect_eq(claims(numbered(101 + n), APIARY_FOREVER, 0, &other), 0, "nobody has it");
    row->hash = hash;
    cr_expect_eq(apiary_claim_release(client, numbered(101 + n), other.token), 0);
    cr_expect_eq(apiary_claim_release(client, numbered(100), claim.token), 0);
}

/* Where all keys are of one home, and homes forget that they have spilled. */
Test(claim_rows, keys_beyond_their_window)
{
    apiary_claim_t claim[16];
    struct ap_claim_key key;
    char names[16][24];
    unsigned n = 0;

    for (unsigned i = 0; n < 16; i++) {
        snprintf(names[n], sizeof names[n], "k%u", i);
        cr_assert_eq(ap_claim_key(seg, names[n], &key), 0);
        if (key.home == 3) n++;
    }
    for (unsigned i = 0; i < 16; i++) {
        cr_assert_eq(claims(names[i], APIARY_FOREVER, 0, &claim[i]), 0, "%u", i);
        cr_expect_eq((ap_claim_at(seg, 3)->home & AP_CLAIM_SPILLED) != 0, i >= AP_CLAIM_WINDOW, "%u", i);
    }
    for (unsigned i = 0; i < 16; i++) {
        cr_expect_eq(claims(names[i], APIARY_FOREVER, 0, &(apiary_claim_t){.struct_size = 0}), APIARY_EHELD);
        cr_expect_eq(apiary_claim_release(client, names[i], claim[i].token), 0, "%u", i);
    }
    for (unsigned i = 0; i < 200; i++) {
        cr_assert_eq(claims(numbered(i), APIARY_FOREVER, 0, &claim[0]), 0);
        cr_assert_eq(apiary_claim_release(client, numbered(i), claim[0].token), 0);
    }
}

/* All rows but one are held, and another lane fills that one. */
static struct ap_claim *last_row_filled(void)
{
    apiary_claim_t claim;

    for (unsigned i = 0; i < 15; i++) cr_assert_eq(claims(numbered(i), APIARY_FOREVER, 0, &claim), 0, "%u", i);
    for (uint32_t i = 0; i < 16; i++) {
        struct ap_claim *row = ap_claim_at(seg, i);

        if (row->word != 0) continue;
        row->word = AP_CLAIM_WORD(ap_claim_number(seg), client->anchor->lane.index, AP_CLAIM_FILLING);
        return row;
    }
    return NULL;
}

static struct ap_claim *filled;
static uint32_t yields;

static void gives_up(void)
{
    if (++yields == 3) filled->word = AP_CLAIM_WORD(AP_CLAIM_NUMBER(filled->word), 0, AP_CLAIM_EMPTY);
}

/* A row that is being filled may be given up: the table is not full until then. */
Test(claim_rows, the_last_row_is_given_up)
{
    apiary_claim_t claim;

    filled = last_row_filled();
    shifted.yield = gives_up;
    cr_expect_eq(claims("new", SECOND, 0, &claim), 0);
    cr_expect_eq(yields, 3);
}

/* Nobody waits for a lane that goes on filling. */
Test(claim_rows, the_last_row_stays_filled)
{
    apiary_claim_t claim;

    filled = last_row_filled();
    cr_expect_eq(claims("new", SECOND, 0, &claim), APIARY_ETABLEFULL);
    filled->word = AP_CLAIM_WORD(AP_CLAIM_NUMBER(filled->word), 0, AP_CLAIM_EMPTY);
}

/* How many are held is told without a look at each lane. */
Test(claim_rows, stats_go_along_no_line)
{
    struct ap_place lanes = seg->places[AP_SECTION_LANES];
    apiary_claim_t claim;

    cr_assert_eq(claims_of(client, "k", SECOND, 0, APIARY_CLAIM_STAYS, 0, &claim), 0);
    seg->places[AP_SECTION_LANES].count = 0; /* whoever looks at a lane has none */
    cr_expect_eq(stats().held, 1);
    seg->places[AP_SECTION_LANES] = lanes;
}

Test(claim_rows, numbers_are_used_up)
{
    apiary_claim_t claim;

    ap_claim_at(seg, 0)->numbers = AP_CLAIM_NUMBERS - 2;
    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    cr_expect_eq(AP_CLAIM_TOKEN_NUMBER(claim.token), AP_CLAIM_NUMBERS - 1);
    cr_assert_eq(apiary_claim_release(client, "k", claim.token), 0);
    for (int i = 0; i < 5; i++) cr_expect_eq(claims("k", SECOND, 0, &claim), APIARY_ETABLEFULL);
    cr_expect_eq(claims("other", SECOND, 0, &claim), APIARY_ETABLEFULL);
}

Test(claim_rows, refusals)
{
    apiary_claim_options_t o = {.struct_size = sizeof o, .policy = 5};
    apiary_claim_t claim = {.struct_size = sizeof claim}, bad = {.struct_size = 3};
    char key[APIARY_CLAIM_KEY_MAX + 2], longest[APIARY_CLAIM_KEY_MAX + 1];
    apiary_claim_stats_t s = {.struct_size = 1};

    memset(key, 'k', sizeof key);
    key[sizeof key - 1] = '\0';
    cr_expect_eq(claims(key, SECOND, 0, &claim), APIARY_EINVAL);
    key[sizeof key - 2] = '\0';
    cr_expect_eq(claims(key, SECOND, 0, &claim), 0);
    for (unsigned at = 0; at < 20; at++) {
        char text[] = "abcdefghijklmnopqrst";
        text[at] = '\x1f';
        cr_expect_eq(claims(text, SECOND, 0, &claim), APIARY_EINVAL, "%u", at);
        text[at] = '\x7f';
        cr_expect_eq(claims(text, SECOND, 0, &claim), APIARY_EINVAL, "%u", at);
        text[at] = ' ';
        cr_expect_eq(claims(text, SECOND, 0, &claim), at < 15 ? 0 : APIARY_ETABLEFULL, "%u", at);
    }
    cr_expect_eq(claims("", SECOND, 0, &claim), APIARY_EINVAL);
    cr_expect_eq(claims(NULL, SECOND, 0, &claim), APIARY_EINVAL);
    cr_expect_eq(claims("k", 0, 0, &claim), APIARY_EINVAL);
    cr_expect_eq(claims_of(client, "k", APIARY_FOREVER, 0, APIARY_CLAIM_STAYS, 0, &claim), APIARY_EINVAL);
    cr_expect_eq(claims_of(client, "k", SECOND, 0, 2, 0, &claim), APIARY_EINVAL);
    cr_expect_eq(apiary_claim(client, "k", SECOND, &o, &claim), APIARY_EINVAL);
    cr_expect_eq(apiary_claim(client, "k", SECOND, NULL, &bad), APIARY_EINVAL);
    cr_expect_eq(apiary_claim(client, "k", SECOND, NULL, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_claim(NULL, "k", SECOND, NULL, &claim), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_renew(client, "k", 1, 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_renew(client, NULL, 1, 1, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_renew(client, "k", 1, 1, &bad), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_renew(NULL, "k", 1, 1, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_release(client, NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_release(NULL, "k", 1), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_check(NULL, "k", 1), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_check(client, NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_check(client, "", 1), APIARY_ESTALE);
    cr_expect_eq(apiary_claim_check(client, "k", UINT64_MAX), APIARY_ESTALE);
    cr_expect_eq(apiary_claim_stats(client, &s), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_stats(client, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_stats(NULL, &s), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_service_key("billing", "invoice 7", longest), 0);
    cr_expect_str_eq(longest, "billing/invoice 7");
    cr_expect_eq(apiary_claim_service_key("Billing", "x", longest), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_service_key("billing", "", longest), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_service_key("billing", "a\n", longest), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_service_key("billing", key, longest), APIARY_EINVAL);
    cr_expect_eq(apiary_claim_service_key("billing", key + 8, longest), 0);
    cr_expect_eq(strlen(longest), APIARY_CLAIM_KEY_MAX);
}

/* A token is compared with the whole key, whatever its length, and with nothing behind it. */
Test(claim_rows, a_token_is_of_one_key)
{
    char key[40] = "";

    for (unsigned n = 1; n < 39; n++) {
        apiary_claim_t claim;

        key[n - 1] = (char)('a' + n % 26);
        cr_assert_eq(claims(key, SECOND, 0, &claim), 0, "%u", n);
        cr_expect_eq(apiary_claim_check(client, key, claim.token), 0, "%u", n);
        for (unsigned at = 0; at < n; at++) {
            key[at] ^= 1;
            cr_expect_eq(apiary_claim_check(client, key, claim.token), APIARY_ESTALE, "%u of %u", at, n);
            key[at] ^= 1;
        }
        key[n] = 'x';
        cr_expect_eq(apiary_claim_check(client, key, claim.token), APIARY_ESTALE, "longer than %u", n);
        key[n] = '\0';
        cr_expect_eq(apiary_claim_check(client, key + 1, claim.token), APIARY_ESTALE, "shorter than %u", n);
        cr_assert_eq(apiary_claim_release(client, key, claim.token), 0, "%u", n);
    }
}

Test(claim_rows, observers)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .read_only = 1};
    apiary_claim_t claim;
    apiary_t *observer;

    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    cr_assert_eq(apiary_attach(seg_name, &o, &observer), 0);
    cr_expect_eq(apiary_claim_check(observer, "k", claim.token), 0);
    cr_expect_eq(apiary_claim_check(observer, "k", claim.token + 1), APIARY_ESTALE);
    cr_expect_eq(apiary_claim_release(observer, "k", claim.token), APIARY_EREADONLY);
    cr_expect_eq(claims_of(observer, "k", SECOND, 0, 0, 0, &claim), APIARY_EREADONLY);
    cr_expect_eq(apiary_detach(observer), 0);
}

/* ---- at once ---------------------------------------------------------------------------------------------------- */

#define THREADS 4
#define KEYS 3
#define TURNS 4000

static uint32_t inside[KEYS];
static uint64_t newest[KEYS]; /* the highest token that has passed at the place of the effect */
static uint32_t twice, low;

/* Each key's effect has a place that lets nobody else in, and sees the tokens grow. */
static void effect(uint32_t k, const char *key, uint64_t token)
{
    uint64_t seen = ap_load_relaxed(&newest[k]);

    if (ap_add_acq_rel(&inside[k], 1) != 0) ap_add_relaxed(&twice, 1);
    if (token <= seen) ap_add_relaxed(&low, 1);
    ap_store_relaxed(&newest[k], token);
    if (apiary_claim_check(client, key, token) != 0) ap_add_relaxed(&twice, 1);
    ap_add_acq_rel(&inside[k], (uint32_t)-1);
}

static void *crowd_main(void *arg)
{
    uint64_t random = (uintptr_t)arg;

    for (uint32_t i = 0; i < TURNS; i++) {
        char key[16], other[24];
        apiary_claim_t claim, filler;
        uint32_t k;

        random = random * UINT64_C(6364136223846793005) + 1;
        k = (uint32_t)(random >> 40) % KEYS;
        snprintf(key, sizeof key, "key-%u", k);
        snprintf(other, sizeof other, "other-%u", (uint32_t)(random >> 50) % 40); /* rows change their keys */
        if ((random >> 33 & 3) == 0 && claims(other, APIARY_FOREVER, 0, &filler) == 0)
            cr_assert_eq(apiary_claim_release(client, other, filler.token), 0);
        if (claims(key, APIARY_FOREVER, (random >> 35 & 1) != 0 ? APIARY_CLAIM_WAIT : APIARY_CLAIM_FAIL, &claim) != 0) continue;
        effect(k, key, claim.token);
        cr_assert_eq(apiary_claim_release(client, key, claim.token), 0);
    }
    return NULL;
}

Test(claim_rows, no_two_tokens_of_a_key_pass)
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++) cr_assert_eq(pthread_create(&threads[i], NULL, crowd_main, (void *)(i + 1)), 0);
    for (uint32_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    cr_expect_eq(twice, 0, "%u times two had a claim", twice);
    cr_expect_eq(low, 0, "%u tokens were not higher than the one before", low);
    cr_expect_eq(stats().held, 0);
    for (uint32_t l = 0; l < seg->geometry.lanes; l++) cr_expect_eq(ap_lane_at(seg, l)->waits, 0);
}
