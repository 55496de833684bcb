/* What the memory counts of itself (registry/memory/memory.h, COUNTS). */
#include "tests/unit/memory_fixture.h"

TestSuite(memory_counts, .init = memory_setup, .fini = memory_teardown, .timeout = TEST_LIMIT);

static apiary_memory_stats_t stats(void)
{
    apiary_memory_stats_t s = {.struct_size = sizeof s};

    cr_assert_eq(apiary_memory_stats(client, &s), 0);
    return s;
}

static void *counting_main(void *arg)
{
    (void)arg;
    cr_assert_eq(put("other", "12345"), 0);
    cr_assert_eq(apiary_memory_get(m, "other", NULL, 0, NULL), 0);
    return NULL;
}

Test(memory_counts, each_of_them)
{
    apiary_memory_stats_t s = {.struct_size = 8};
    uint64_t version;
    pthread_t thread;
    char name[32];

    cr_expect_eq(apiary_memory_stats(client, &s), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_stats(client, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_stats(NULL, &s), APIARY_EINVAL);
    cr_expect_null(text_of("k"));
    cr_assert_eq(apiary_memory_put(m, "k", "abc", 3, 0, &version), 0);
    cr_expect_eq(apiary_memory_cas(m, "k", "x", 1, 0, version + 7, NULL), APIARY_ECHANGED);
    cr_expect_eq(apiary_memory_cas(m, "k", "abcde", 5, 0, version, NULL), 0);
    cr_expect_eq(apiary_memory_add(m, "k", "x", 1, 0, NULL), APIARY_EEXIST);
    cr_expect_str_eq(text_of("k"), "abcde", "by the short way");
    cr_expect_eq(apiary_memory_get(m, "k", got, 2, NULL), 0, "by the long one");
    cr_expect_eq(apiary_memory_incr(m, "n", 100, NULL), 0);
    cr_expect_eq(apiary_memory_incr(m, "n", 0, NULL), 0, "which only reads");
    cr_expect_eq(apiary_memory_touch(m, "n", SECOND), 0);
    cr_assert_eq(pthread_create(&thread, NULL, counting_main, NULL), 0);
    pthread_join(thread, NULL);
    s = stats();
    cr_expect_eq(s.hits, 3);
    cr_expect_eq(s.misses, 1);
    cr_expect_eq(s.puts, 4);
    cr_expect_eq(s.written, 3 + 5 + 3 + 5);
    cr_expect_eq(s.conflicts, 1);
    cr_expect_eq(s.removals + s.expired + s.refused, 0);
    cr_expect_eq(s.values, 3);
    cr_expect_eq(s.bytes, 5 + 3 + 5);
    cr_expect_eq(s.room, ROWS);
    for (uint32_t i = 0; i + 3 < ROWS; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(put(name, ""), 0);
    }
    cr_expect_eq(put("one more", "x"), APIARY_ETABLEFULL);
    ap_store_relaxed(&ahead, 2 * SECOND);
    cr_expect_eq(put("one more", "x"), 0, "the number's time is over");
    cr_expect_eq(apiary_memory_delete(m, "one more"), 0);
    cr_expect_eq(apiary_memory_delete(m, "one more"), APIARY_ENOKEY);
    s = stats();
    cr_expect_eq(s.refused, 1, "what makes room for itself is not refused");
    cr_expect_eq(s.expired, 1);
    cr_expect_eq(s.removals, 1);
    cr_expect_eq(s.values, ROWS - 1);
    cr_expect_eq(s.bytes, 10);
}
