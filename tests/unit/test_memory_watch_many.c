/* A watch of more keys than it has chains for at first: it knows each of them as before. */
#define ROWS 512u
#define CHANGES 64u
#include "tests/unit/memory_fixture.h"

#include "tests/support/inject.h"

TestSuite(memory_watch_many, .init = memory_setup, .fini = memory_teardown, .timeout = TEST_LIMIT);

#define KEYS 400u /* twice as many chains are made twice */

static apiary_memory_watch_t *w;
static apiary_memory_change_t told;

static const char *key_of(uint32_t i)
{
    static char key[16];

    snprintf(key, sizeof key, "k%04u", i);
    return key;
}

/* The next one, without waiting; 0: there is none. */
static uint64_t next(void)
{
    int r;

    told = (apiary_memory_change_t){.struct_size = sizeof told};
    r = apiary_memory_next_change(w, 0, &told);
    cr_assert_geq(r, 0, "%d", r);
    return r == 1 ? told.event : 0;
}

static void begin(void)
{
    bool seen[KEYS] = {false};

    for (uint32_t i = 0; i < KEYS; i++) cr_assert_eq(put(key_of(i), "x"), 0);
    cr_assert_eq(apiary_memory_watch(m, "k", 0, &w), 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        uint32_t number;

        cr_assert_eq(next(), APIARY_MEMORY_PRESENT);
        number = (uint32_t)atoi(told.key + 1);
        cr_assert(number < KEYS && !seen[number], "%s", told.key);
        seen[number] = true;
    }
    cr_assert_eq(next(), APIARY_MEMORY_SYNCED);
    cr_assert_eq(next(), 0);
}

/* That a value has gone is told of a key that was told, and once. */
Test(memory_watch_many, each_key_is_known)
{
    begin();
    for (uint32_t i = 0; i < KEYS; i++) {
        cr_assert_eq(apiary_memory_delete(m, key_of(i)), 0);
        cr_assert_eq(next(), APIARY_MEMORY_DELETED, "%u", i);
        cr_expect_str_eq(told.key, key_of(i));
        cr_assert_eq(next(), 0);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        cr_assert_eq(put(key_of(i), "y"), 0);
        cr_assert_eq(next(), APIARY_MEMORY_PUT, "%u", i);
        cr_expect_str_eq(told.key, key_of(i));
    }
    apiary_memory_unwatch(w);
}

/* One call for memory fails: the key is told with the next call, and none is told twice or left out. Without longer chains it goes
 * on. Gives whether there was one to fail. */
static bool one_fails(unsigned at)
{
    const long before = inject_count().blocks;
    bool seen[KEYS] = {false}, failed;
    uint32_t n = 0;
    int r;

    inject_begin(INJECT_HEAP, at, false, ENOMEM);
    r = apiary_memory_watch(m, "k", 0, &w);
    if (r == APIARY_ENOBLOCK) r = apiary_memory_watch(m, "k", 0, &w);
    cr_assert_eq(r, 0);
    for (;;) {
        told = (apiary_memory_change_t){.struct_size = sizeof told};
        r = apiary_memory_next_change(w, 0, &told);
        if (r == APIARY_ENOBLOCK) {
            cr_expect_eq(told.event, 0, "the output of a call that has failed");
            continue;
        }
        cr_assert_eq(r, 1);
        if (told.event == APIARY_MEMORY_SYNCED) break;
        r = atoi(told.key + 1);
        cr_assert(r < (int)KEYS && !seen[r], "%s", told.key);
        seen[r] = true;
        n++;
    }
    failed = inject_end() != NULL;
    cr_expect_eq(n, KEYS);
    cr_assert_eq(apiary_memory_delete(m, key_of(at % KEYS)), 0);
    cr_assert_eq(next(), APIARY_MEMORY_DELETED, "it is known");
    cr_expect_str_eq(told.key, key_of(at % KEYS));
    cr_assert_eq(put(key_of(at % KEYS), "x"), 0);
    apiary_memory_unwatch(w);
    cr_expect_eq(inject_count().blocks, before);
    return failed;
}

Test(memory_watch_many, what_there_is_no_memory_for_is_told_later)
{
    unsigned at = 1;

    for (uint32_t i = 0; i < KEYS; i++) cr_assert_eq(put(key_of(i), "x"), 0);
    while (one_fails(at)) at++;
    cr_expect_gt(at, KEYS);
}
