/* What a cache evicts for want of a block (registry/memory/cache.h, SCOPE). */
#define ROWS 1024u
#include "tests/unit/memory_fixture.h"

#include "registry/client/client.h"
#include "registry/memory/cache.h"

#define NEXT 64u /* blocks of the size after that of the values */
#define MANY 512u

static apiary_memory_t *plain; /* no cache */
static const char bytes[APIARY_MEMORY_VALUE_MAX];

static void cache_setup(void)
{
    struct ap_memory_name name;

    memory_setup();
    cr_assert_eq(ap_cache_name("space", &name), 0);
    cr_assert_eq(ap_caches_declare(client->seg, &name, 1), 0);
    cr_assert_eq(apiary_memory_open(client, "plain", 0, &plain), 0);
}

static void teardown(void)
{
    apiary_memory_close(plain);
    memory_teardown();
}

static int put_numbered(apiary_memory_t *to, char prefix, uint32_t number, size_t size)
{
    char name[16];

    snprintf(name, sizeof name, "%c%u", prefix, number);
    return apiary_memory_put(to, name, bytes, size, 0, NULL);
}

static uint64_t evicted(void)
{
    uint64_t all, unfetched;

    ap_cache_evicted(client->seg, &all, &unfetched);
    return all;
}

/* ---- blocks of the next size ------------------------------------------------------------------------------------- */

static void few_blocks(struct ap_geometry *g)
{
    g->pool_blocks[1] = 2;
    g->pool_blocks[2] = NEXT;
    g->pool_blocks[3] = 0;
}

/* There is no free block: those for the values are others', and of the next size the cache has ten. */
static void next_setup(void)
{
    otherwise = few_blocks;
    cache_setup();
    for (uint32_t i = 0; i < 2; i++) cr_assert_eq(put_numbered(plain, 's', i, 1000), 0);
    for (uint32_t i = 0; i < NEXT - 10; i++) cr_assert_eq(put_numbered(plain, 'l', i, 4000), 0);
    for (uint32_t i = 0; i < 10; i++) cr_assert_eq(put_numbered(m, 'l', i, 4000), 0);
    cr_assert_eq(put_numbered(plain, 'x', 0, 40000), 0);
}
TestSuite(memory_cache_next, .init = next_setup, .fini = teardown, .timeout = TEST_LIMIT);

Test(memory_cache_next, what_does_not_help_stays)
{
    cr_expect_eq(put_numbered(m, 's', 0, 1000), APIARY_ENOBLOCK);
    cr_expect_eq(evicted(), 0, "none would be spared, with one more that is free");
}

Test(memory_cache_next, one_that_would_be_spared_makes_room)
{
    char name[16];

    for (uint32_t i = 0; i < NEXT / 4; i++) {
        snprintf(name, sizeof name, "l%u", i);
        cr_assert_eq(apiary_memory_delete(plain, name), 0);
    }
    cr_expect_eq(put_numbered(m, 's', 0, 1000), 0);
    cr_expect_eq(evicted(), 1);
    cr_expect_eq(put_numbered(m, 's', 1, 1000), 0);
    cr_expect_eq(evicted(), 2);
}

/* ---- at the share ------------------------------------------------------------------------------------------------ */

static void many_blocks(struct ap_geometry *g)
{
    g->kept_share = 50;
    g->pool_blocks[1] = MANY;
    g->pool_blocks[2] = g->pool_blocks[3] = 1; /* of which nothing may be kept */
}

static void share_setup(void)
{
    otherwise = many_blocks;
    cache_setup();
}
TestSuite(memory_cache_share, .init = share_setup, .fini = teardown, .timeout = TEST_LIMIT);

/* What a look grants is taken one by one. */
Test(memory_cache_share, not_each_put_looks)
{
    const uint32_t share = MANY / 2 - MANY / 16, puts = 160, *left;
    uint32_t looks = 0;
    int r;

    left = &ap_context(client, &r)->pool_hint.cached[1];
    for (uint32_t i = 0; evicted() == 0; i++) cr_assert_eq(put_numbered(m, 'k', i, 1000), 0);
    for (uint32_t i = 0; i < puts; i++) {
        uint32_t before = *left;

        cr_assert_eq(put_numbered(m, 'j', i, 1000), 0);
        looks += before == 0 || *left != before - 1;
        cr_expect_geq(ap_share_blocks_of(client->seg, 1, AP_SHARE_KEPT).held, share - MANY / 64);
        cr_expect_leq(ap_share_blocks_of(client->seg, 1, AP_SHARE_KEPT).held, share);
    }
    cr_expect_leq(looks, puts / (MANY / 64) + 1, "%u looks for %u puts", looks, puts);
}
