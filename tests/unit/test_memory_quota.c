/* What one name space may hold of the memory (registry/memory/memory.h, QUOTA). */
#define ROWS 1024u
#include "tests/unit/memory_fixture.h"

#include "registry/client/memory.h"
#include "registry/memory/cache.h"

#define QUOTA (ROWS / 4)

static void quota_setup(void)
{
    memory_setup_quota(25);
}
TestSuite(memory_quota, .init = quota_setup, .fini = memory_teardown, .timeout = TEST_LIMIT);

static uint32_t fill(apiary_memory_t *to)
{
    char name[16];
    uint32_t n = 0;

    for (;; n++) {
        snprintf(name, sizeof name, "k%u", n);
        if (apiary_memory_put(to, name, "x", 1, 0, NULL) < 0) return n;
    }
}

Test(memory_quota, each_name_space)
{
    apiary_memory_stats_t s = {.struct_size = sizeof s};
    apiary_memory_t *other, *again;
    int64_t sum;

    cr_expect_eq(fill(m), QUOTA);
    cr_expect_eq(put("one more", "x"), APIARY_EQUOTA);
    cr_expect_eq(apiary_memory_add(m, "one more", "x", 1, 0, NULL), APIARY_EQUOTA);
    cr_expect_eq(apiary_memory_incr(m, "one more", 1, &sum), APIARY_EQUOTA);
    cr_expect_eq(put("k3", "another"), 0, "what is there may be changed");
    cr_expect_eq(apiary_memory_touch(m, "k3", SECOND), 0);
    cr_assert_eq(apiary_memory_open(client, "space", APIARY_MEMORY_LOCAL, &other), 0);
    cr_expect_eq(fill(other), QUOTA, "each has its own");
    cr_assert_eq(apiary_memory_open(client, "space", 0, &again), 0);
    cr_expect_eq(apiary_memory_put(again, "one more", "x", 1, 0, NULL), APIARY_EQUOTA, "by another handle, too");
    cr_assert_eq(apiary_memory_stats(client, &s), 0);
    cr_expect_eq(s.over_quota, 6);
    cr_expect_eq(s.refused, 6);
    cr_expect_eq(apiary_memory_delete(m, "k0"), 0);
    cr_expect_eq(apiary_memory_put(again, "one more", "x", 1, 0, NULL), 0);
    cr_expect_eq(put("another", "x"), APIARY_EQUOTA);
    ap_store_relaxed(&ahead, 2 * SECOND);
    cr_expect_eq(put("another", "x"), 0, "one whose time is over makes room");
    cr_expect_eq(put("yet another", "x"), APIARY_EQUOTA);
    apiary_memory_close(other);
    apiary_memory_close(again);
}

/* A row that is in no place is no value: one that a writer left when it was killed, or that is being freed. */
Test(memory_quota, drafts_are_no_values)
{
    struct ap_value *v = ap_value_at(client->seg, ROWS - 1);
    uint64_t life = v->life;
    struct ap_memory_name space;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    v->name_words = 1;
    v->inside[0] = space.text[0];
    v->life = AP_VALUE_LIFE(1, 20, AP_VALUE_USED);
    ap_draft_at(client->seg, 20)->fresh = AP_PLACE(v->hash, 1, ROWS - 1);
    cr_expect_eq(ap_memory_held_by(client->seg, &space, NULL), 0);
    cr_expect_eq(fill(m), QUOTA);
    cr_expect_eq(ap_memory_held_by(client->seg, &space, NULL), QUOTA);
    ap_memory_withdraw(client->seg, 20, 0);
    cr_expect_neq(v->life, life);
    cr_expect_eq(put("one more", "x"), APIARY_EQUOTA);
}

/* Others of the segment raise the counter of versions: it is counted again, and no sooner. */
Test(memory_quota, counted_again)
{
    apiary_memory_t *other;

    cr_assert_eq(apiary_memory_open(client, "other", 0, &other), 0);
    for (uint32_t i = 0; i < 5 * QUOTA; i++) {
        cr_assert_eq(apiary_memory_put(other, "k", "x", 1, 0, NULL), 0);
        if (i % 10 == 0) cr_assert_eq(put("first", "x"), 0);
    }
    cr_expect_eq(put("second", "x"), 0);
    cr_expect_gt(m->unasked, ap_draft_at(client->seg, 0)->revision - 1);
    cr_expect_eq(fill(m), QUOTA - 2);
    apiary_memory_close(other);
}

#define HUGE_SIZE 0x3fffffffu

static void sizes_set(uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        struct ap_value *v = ap_value_at(client->seg, i);

        if (AP_VALUE_STATE(v->life) == AP_VALUE_USED && v->size == from) v->size = to;
    }
}

/* Values of 5 GiB, as their rows say it: only their number is bounded. */
Test(memory_quota, no_bound_of_bytes)
{
    char name[16];

    for (uint32_t i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(put(name, "123"), 0);
    }
    sizes_set(3, HUGE_SIZE);
    m->unasked = 0;
    cr_expect_eq(put("more", "x"), 0);
    m->unasked = 0;
    cr_expect_eq(put("more", "larger"), 0);
    cr_expect_eq(m->unasked, 0, "a value that becomes larger is not counted");
    sizes_set(HUGE_SIZE, 3);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static void bytes_setup(void)
{
    bytes_most = 100;
    memory_setup();
}
TestSuite(memory_quota_bytes, .init = bytes_setup, .fini = memory_teardown, .timeout = TEST_LIMIT);

static int put_bytes(const char *key, size_t size)
{
    static const char bytes[200];

    return apiary_memory_put(m, key, bytes, size, 0, NULL);
}

static uint64_t bytes_held(void)
{
    struct ap_memory_name space;
    uint64_t bytes;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    (void)ap_memory_held_by(client->seg, &space, &bytes);
    return bytes;
}

Test(memory_quota_bytes, held)
{
    apiary_memory_t *other;
    int64_t sum;

    cr_assert_eq(put_bytes("a", 40), 0);
    cr_assert_eq(put_bytes("b", 40), 0);
    cr_expect_eq(put_bytes("c", 21), APIARY_EQUOTA);
    cr_expect_eq(put_bytes("b", 61), APIARY_EQUOTA, "a value that becomes larger");
    cr_expect_eq(put_bytes("b", 60), 0);
    cr_expect_eq(put_bytes("c", 0), 0, "it has no bytes");
    cr_expect_eq(apiary_memory_incr(m, "n", 1, &sum), APIARY_EQUOTA);
    cr_expect_eq(put_bytes("b", 60), 0, "what is no larger");
    cr_expect_eq(apiary_memory_touch(m, "b", SECOND), 0);
    cr_expect_eq(put_bytes("b", 59), 0);
    cr_expect_eq(apiary_memory_incr(m, "n", 9, &sum), 0);
    cr_expect_eq(apiary_memory_incr(m, "n", 1, &sum), APIARY_EQUOTA, "a digit more");
    cr_expect_eq(bytes_held(), 100);
    cr_assert_eq(apiary_memory_open(client, "other", 0, &other), 0);
    cr_expect_eq(apiary_memory_put(other, "k", "x", 1, 0, NULL), 0, "each has its own");
    cr_expect_eq(apiary_memory_delete(m, "a"), 0);
    cr_expect_eq(put_bytes("c", 40), 0);
    apiary_memory_close(other);
}

Test(memory_quota_bytes, of_a_cache)
{
    struct ap_memory_name space;
    char name[16];

    cr_assert_eq(ap_cache_name("space", &space), 0);
    cr_assert_eq(ap_caches_declare(client->seg, &space, 1), 0);
    for (uint32_t i = 0; i < 2 * ROWS; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(put_bytes(name, i % 100), 0, "%s", name);
        cr_expect_leq(bytes_held(), 100);
    }
    cr_assert_eq(put_bytes("small", 1), 0);
    cr_expect_eq(put_bytes("large", 101), APIARY_EQUOTA, "with all the others gone there would be no room");
    cr_expect_eq(put_bytes("k", 99), 0);
}

static void bytes_cache_setup(void)
{
    struct ap_memory_name space;

    bytes_most = 1600;
    memory_setup();
    cr_assert_eq(ap_cache_name("space", &space), 0);
    cr_assert_eq(ap_caches_declare(client->seg, &space, 1), 0);
}
TestSuite(memory_quota_bytes_cache, .init = bytes_cache_setup, .fini = memory_teardown, .timeout = TEST_LIMIT);

static uint64_t values_held(void)
{
    struct ap_memory_name space;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    return ap_memory_held_by(client->seg, &space, NULL);
}

Test(memory_quota_bytes_cache, large_ones_go_singly)
{
    char name[16];

    for (uint32_t i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(put_bytes(name, 100), 0, "%s", name);
        cr_expect_geq(values_held(), i < 15 ? i + 1 : 15, "%s", name);
        cr_expect_leq(bytes_held(), 1600);
    }
}

Test(memory_quota_bytes_cache, empty_ones_make_no_room)
{
    cr_assert_eq(put_bytes("empty", 0), 0);
    for (char name[] = "a"; *name < 'a' + 20; ++*name) cr_assert_eq(put_bytes(name, 200), 0);
    cr_expect_str_eq(text_of("empty"), "");
}

/* ---- a change that others always come before ---------------------------------------------------------------------- */

static apiary_memory_t *thiefs;
static uint32_t thefts;

static uint64_t stealing_now(void)
{
    static const char bytes[1600];

    thefts++;
    cr_assert_eq(apiary_memory_put(thiefs, "thief", bytes, sizeof bytes, 0, NULL), 0);
    return memory_now();
}

Test(memory_quota_bytes_cache, comes_to_an_end)
{
    apiary_memory_stats_t s = {.struct_size = sizeof s};
    apiary_t *thief = attach_as("thief");

    cr_assert_eq(apiary_memory_open(thief, "space", 0, &thiefs), 0);
    shifted.now = stealing_now;
    cr_expect_eq(put_bytes("k", 50), APIARY_EQUOTA);
    shifted.now = memory_now;
    cr_expect_lt(thefts, 100);
    cr_assert_eq(apiary_memory_stats(client, &s), 0);
    cr_expect_eq(s.over_quota, 1);
    cr_expect_eq(put_bytes("k", 50), 0);
    apiary_memory_close(thiefs);
    apiary_detach(thief);
}
