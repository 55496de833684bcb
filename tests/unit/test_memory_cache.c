/* Name spaces of the memory that are caches (registry/memory/cache.h). */
#include "tests/unit/memory_fixture.h"

#include "registry/memory/cache.h"

static apiary_memory_t *plain; /* no cache */

static void declare(const char *text)
{
    struct ap_memory_name name;

    cr_assert_eq(ap_cache_name(text, &name), 0);
    cr_assert_eq(ap_caches_declare(client->seg, &name, 1), 0);
}

static void cache_setup_quota(uint32_t quota)
{
    memory_setup_quota(quota);
    declare("space");
    cr_assert_eq(apiary_memory_open(client, "plain", 0, &plain), 0);
}

static void cache_setup(void)
{
    cache_setup_quota(0);
}

static void cache_teardown(void)
{
    apiary_memory_close(plain);
    memory_teardown();
}
TestSuite(memory_cache, .init = cache_setup, .fini = cache_teardown, .timeout = TEST_LIMIT);

static void many(apiary_memory_t *to, const char *prefix, uint32_t count)
{
    char name[16];

    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s%u", prefix, i);
        cr_assert_eq(apiary_memory_put(to, name, name, strlen(name), 0, NULL), 0, "%s", name);
    }
}

static uint32_t there(apiary_memory_t *of, const char *prefix)
{
    char key[APIARY_MEMORY_KEY_MAX + 1];
    uint64_t position = 0;
    uint32_t n = 0;

    while (apiary_memory_scan(of, prefix, &position, key, NULL) == 1) n++;
    return n;
}

static apiary_memory_stats_t stats(void)
{
    apiary_memory_stats_t s = {.struct_size = sizeof s};

    cr_assert_eq(apiary_memory_stats(client, &s), 0);
    return s;
}

Test(memory_cache, of_its_own_only)
{
    apiary_memory_stats_t s;

    many(plain, "p", 10);
    many(m, "k", 5 * ROWS);
    cr_expect_eq(there(plain, "p"), 10, "nothing of another name space is evicted");
    cr_expect_eq(there(m, "k"), ROWS - 10);
    s = stats();
    cr_expect_eq(s.evicted, 5 * ROWS - (ROWS - 10));
    cr_expect_eq(s.evicted_unfetched, s.evicted, "nobody got any");
    cr_expect_eq(s.refused, 0);
    cr_expect_eq(apiary_memory_put(plain, "one more", "x", 1, 0, NULL), APIARY_ETABLEFULL, "who is no cache evicts nothing");
    cr_expect_eq(there(m, "k"), ROWS - 10);
}

Test(memory_cache, who_is_got_stays)
{
    char name[16];

    cr_assert_eq(put("hot", "x"), 0);
    cr_assert_eq(put("cold", "x"), 0);
    for (uint32_t i = 0; i < 5 * ROWS; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(put(name, "x"), 0);
        cr_expect_not_null(text_of("hot"), "%u", i);
    }
    cr_expect_null(text_of("cold"));
    cr_expect_eq(stats().evicted, 5 * ROWS + 2 - ROWS);
}

Test(memory_cache, all_in_use)
{
    char name[16];

    many(m, "k", ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_expect_not_null(text_of(name));
    }
    cr_expect_eq(put("more", "x"), 0);
    cr_expect_eq(stats().evicted, 1);
    cr_expect_eq(stats().evicted_unfetched, 0);
}

/* A value that a get has found is read the short way from then on, until the hand comes by. */
Test(memory_cache, bit)
{
    struct ap_memory_name space;
    struct ap_memory_key key;
    struct ap_memory_read read;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, "k", &key), 0);
    cr_assert_eq(put("k", "x"), 0);
    cr_assert_eq(ap_memory_read(client->seg, &key, NULL, 0, &read), 0);
    cr_expect_neq(read.unused, 0);
    cr_expect_eq(read.size, 1);
    cr_expect_str_eq(text_of("k"), "x");
    cr_assert_eq(ap_memory_read(client->seg, &key, NULL, 0, &read), 0);
    cr_expect_eq(read.unused, 0);
    cr_assert_eq(put("k", "y"), 0);
    cr_assert_eq(ap_memory_read(client->seg, &key, NULL, 0, &read), 0);
    cr_expect_eq(read.unused, 0, "a change of what is there is a use");
    cr_assert_eq(ap_memory_name("plain", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, "k", &key), 0);
    cr_assert_eq(apiary_memory_put(plain, "k", "x", 1, 0, NULL), 0);
    cr_assert_eq(ap_memory_read(client->seg, &key, NULL, 0, &read), 0);
    cr_expect_eq(read.unused, 0, "it is no cache");
}

/* The key that is changed is not what makes room for it. */
Test(memory_cache, never_itself)
{
    uint64_t version;
    int64_t sum = 0;

    for (int64_t i = 1; i <= 3 * (int64_t)ROWS; i++) {
        cr_assert_eq(apiary_memory_incr(m, "n", 1, &sum), 0);
        cr_assert_eq(sum, i);
        cr_assert_eq(apiary_memory_put(m, "v", "x", 1, 0, &version), 0);
        many(m, "k", 3);
        cr_assert_eq(apiary_memory_cas(m, "v", "y", 1, 0, version, NULL), 0);
    }
    /* With one row left for the key, it cannot be written anew, and stays. */
    many(plain, "p", ROWS - there(m, ""));
    for (char name[16] = "k0"; name[1] < '3'; name[1]++) (void)apiary_memory_delete(m, name);
    (void)apiary_memory_delete(m, "v");
    many(plain, "q", 4);
    cr_assert_eq(there(m, ""), 1);
    cr_expect_eq(apiary_memory_incr(m, "n", 1, &sum), APIARY_ETABLEFULL);
    cr_expect_eq(apiary_memory_incr(m, "n", 0, &sum), 0);
    cr_expect_eq(sum, 3 * ROWS);
}

static char large[APIARY_MEMORY_VALUE_MAX];

Test(memory_cache, blocks)
{
    char name[16];
    uint32_t n = 0, small_ones;

    many(m, "s", 5);
    small_ones = there(m, "s");
    for (; n < 2 * ROWS; n++) {
        snprintf(name, sizeof name, "l%u", n);
        cr_assert_eq(apiary_memory_put(m, name, large, 1000, 0, NULL), 0, "%s", name);
    }
    if (stats().values < ROWS) cr_expect_eq(there(m, "s"), small_ones, "what has no block makes no room for one");
    cr_expect_gt(stats().evicted, 0);
}

/* A touch writes the value anew, in a block of its own size. */
Test(memory_cache, touch_of_a_block)
{
    char name[APIARY_MEMORY_KEY_MAX + 1];

    for (uint32_t n = 0; n < 3; n++) {
        snprintf(name, sizeof name, "s%0120u", n);
        cr_assert_eq(apiary_memory_put(m, name, large, 256, 0, NULL), 0, "%s", name);
        cr_assert_neq(ap_value_at(client->seg, n)->block, 0, "it does not fit into its row");
    }
    for (uint32_t n = 0; n < 10; n++) {
        snprintf(name, sizeof name, "l%u", n);
        cr_assert_eq(apiary_memory_put(m, name, large, 1000, 0, NULL), 0, "%s", name);
    }
    cr_assert_gt(stats().evicted, 0, "there is no block left");
    cr_assert_eq(there(m, "s"), 3);
    ap_cache_at(client->seg, 0)->hand = 0; /* where the small ones are */
    cr_expect_eq(apiary_memory_touch(m, "l9", SECOND), 0);
    cr_expect_eq(there(m, "s"), 3, "a block of a smaller size makes no room for it");
}

/* Where the blocks of its size are others', those that it has of the next sizes make room. */
Test(memory_cache, larger_blocks)
{
    char name[16];

    for (uint32_t n = 0; n < 4; n++) {
        snprintf(name, sizeof name, "p%u", n);
        cr_assert_eq(apiary_memory_put(plain, name, large, 1000, 0, NULL), 0);
    }
    for (uint32_t n = 0; n < 10; n++) {
        snprintf(name, sizeof name, "l%u", n);
        cr_assert_eq(apiary_memory_put(m, name, large, 1000, 0, NULL), 0, "%s", name);
    }
    cr_expect_eq(there(plain, ""), 4);
    cr_expect_eq(there(m, ""), 3, "two blocks of the next size, one of that after it");
}

static uint32_t hand_was;
static bool hand_gone_on;

static uint64_t hand_looking_now(void)
{
    struct ap_cache *c = ap_cache_at(client->seg, 0);

    if (ap_load_relaxed(&c->evicted) == 0 && ap_load_relaxed(&c->hand) != hand_was) hand_gone_on = true;
    return memory_now();
}

/* While one looks at rows, the next one begins behind them. */
Test(memory_cache, hand_is_shared)
{
    char name[16];

    for (uint32_t i = 0; i < ROWS; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(apiary_memory_put(m, name, "x", 1, SECOND * 60, NULL), 0);
    }
    hand_was = ap_cache_at(client->seg, 0)->hand;
    shifted.now = hand_looking_now;
    cr_expect_eq(put("more", "x"), 0);
    shifted.now = memory_now;
    cr_expect(hand_gone_on);
    cr_expect_eq(stats().evicted, 1);
    cr_expect_eq(ap_cache_at(client->seg, 0)->hand, (hand_was + 1) % ROWS, "what was not looked at is given back");
}

Test(memory_cache, bucket)
{
    struct ap_memory_name space;
    struct ap_memory_key first, key;
    char name[16];
    uint32_t n = 0;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, "k0", &first), 0);
    for (uint32_t i = 0; n < 2 * AP_MEMORY_PLACES; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(ap_memory_key(&space, name, &key), 0);
        if (ap_bucket_of(client->seg, first.hash) != ap_bucket_of(client->seg, key.hash)) continue;
        cr_assert_eq(put(name, "x"), 0, "%s", name);
        n++;
    }
    cr_expect_eq(there(m, ""), AP_MEMORY_PLACES);
    cr_expect_eq(stats().evicted, AP_MEMORY_PLACES);
}

Test(memory_cache, over_goes_as_expired)
{
    many(m, "k", ROWS - 1);
    cr_assert_eq(apiary_memory_put(m, "short", "x", 1, SECOND, NULL), 0);
    ap_store_relaxed(&ahead, 2 * SECOND);
    many(m, "j", ROWS);
    cr_expect_eq(stats().expired, 1);
    cr_expect_eq(stats().evicted, ROWS - 1);
}

Test(memory_cache, declared_anew)
{
    struct ap_memory_name names[3];
    struct ap_memory_name name;
    apiary_memory_t *local;

    cr_assert_eq(ap_cache_name("@plain", &names[0]), 0);
    cr_assert_eq(ap_cache_name("space", &names[1]), 0);
    cr_assert_eq(ap_cache_name("other", &names[2]), 0);
    cr_expect_eq(ap_cache_name("@", &name), APIARY_EINVAL);
    cr_expect_eq(ap_cache_name(NULL, &name), APIARY_EINVAL);
    cr_assert_eq(ap_caches_declare(client->seg, names, 3), 0);
    cr_assert_eq(apiary_memory_open(client, "plain", APIARY_MEMORY_LOCAL, &local), 0);
    many(local, "l", 2 * ROWS);
    cr_expect_eq(put("k", "x"), APIARY_ETABLEFULL, "nothing of it is there to be evicted");
    cr_expect_eq(apiary_memory_put(plain, "k", "x", 1, 0, NULL), APIARY_ETABLEFULL, "the global one of that name is none");
    cr_assert_eq(ap_caches_declare(client->seg, NULL, 0), 0);
    cr_expect_eq(apiary_memory_put(local, "more", "x", 1, 0, NULL), APIARY_ETABLEFULL, "it is none any more");
    cr_assert(ap_cache_read(client->seg, 0, &name));
    cr_expect_str_eq((const char *)name.text, "space");
    cr_assert(ap_cache_read(client->seg, 1, &name));
    cr_expect_str_eq((const char *)name.text, "@plain");
    cr_expect_not(ap_cache_read(client->seg, 3, &name));
    declare("@plain");
    cr_expect_eq(apiary_memory_put(local, "more", "x", 1, 0, NULL), 0);
    cr_expect_not(ap_cache_read(client->seg, 3, &name), "it has its row already");
    for (char text[] = "a"; *text < 'a' + 16; ++*text) {
        cr_assert_eq(ap_cache_name(text, &name), 0);
        cr_expect_eq(ap_caches_declare(client->seg, &name, 1), *text < 'a' + 13 ? 0 : APIARY_ETABLEFULL, "%s", text);
    }
    apiary_memory_close(local);
}

Test(memory_cache, checkers)
{
    struct ap_cache *c = ap_cache_at(client->seg, 0);

    SAYS(c->hand, ROWS, "G8", false);
    SAYS(c->named, 2, "G8", false);
    SAYS(c->hash, 5, "G8", false);
    SAYS(c->words, AP_MEMORY_NAME_WORDS + 1, "G8", false);
    SAYS(ap_cache_at(client->seg, 1)->active, 1, "G8", false);
    SAYS(ap_cache_at(client->seg, 2)->named, 1, "G8", false);
}

/* ---- beside a quota ---------------------------------------------------------------------------------------------- */

static void cache_quota_setup(void)
{
    cache_setup_quota(25);
}
TestSuite(memory_cache_quota, .init = cache_quota_setup, .fini = cache_teardown, .timeout = TEST_LIMIT);

Test(memory_cache_quota, held)
{
    many(plain, "p", ROWS / 4);
    many(m, "k", 5 * ROWS);
    cr_expect_eq(there(m, ""), ROWS / 4);
    cr_expect_eq(there(plain, ""), ROWS / 4);
    cr_expect_eq(stats().over_quota, 0);
    cr_expect_eq(apiary_memory_put(plain, "more", "x", 1, 0, NULL), APIARY_EQUOTA);
}

/* ---- several at once --------------------------------------------------------------------------------------------- */

static void *cache_writer_main(void *arg)
{
    char name[16], bytes[64];
    apiary_memory_value_t found = {.struct_size = sizeof found};
    uint32_t seed = *(const uint32_t *)arg;

    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t which = (seed = seed * 1103515245 + 12345) >> 16;

        snprintf(name, sizeof name, "k%u", which % 97);
        if (which % 3 == 0) {
            int r = apiary_memory_get(m, name, bytes, sizeof bytes - 1, &found);

            cr_assert(r == 0 || r == APIARY_ENOKEY, "%d", r);
            bytes[r == 0 ? found.size : 0] = '\0';
            if (r == 0) cr_assert_str_eq(bytes, name);
        } else {
            cr_assert_eq(apiary_memory_put(m, name, name, strlen(name), 0, NULL), 0, "%s", name);
        }
    }
    return NULL;
}

Test(memory_cache, several_at_once)
{
    static uint32_t seeds[] = {1, 2, 3};
    pthread_t threads[3];

    many(plain, "p", 10);
    for (int i = 0; i < 3; i++) cr_assert_eq(pthread_create(&threads[i], NULL, cache_writer_main, &seeds[i]), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    cr_expect_eq(there(plain, ""), 10);
    cr_expect_eq(rows_used(), there(m, "") + 10, "each row is in a place");
    cr_expect_gt(stats().evicted, 0);
}
