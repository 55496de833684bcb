/* A watch of more keys than it has chains for at first: it knows each of them as before. */
#define ROWS 512u
#define CHANGES 64u
#include "tests/unit/memory_fixture.h"

TestSuite(memory_watch_many, .init = memory_setup, .fini = memory_teardown, .timeout = 120);

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
