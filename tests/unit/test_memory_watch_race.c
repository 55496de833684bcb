/* A watch of the memory beside several writers: all that they write and delete is told, in the order of each key, and once. And
 * several watches of one lane. */
#define CHANGES 65536u
#include "tests/unit/memory_fixture.h"

TestSuite(memory_watch_race, .init = memory_setup, .fini = memory_teardown, .timeout = TEST_LIMIT);

/* The count of a lane's watches has 16 bits. */
Test(memory_watch_race, count_of_a_lane)
{
    const struct ap_lane_handle *lane = &client->anchor->lane;

    cr_expect_not(ap_memory_watching(client->seg, lane, -1));
    for (uint32_t i = 0; i < 0xffff; i++) cr_assert(ap_memory_watching(client->seg, lane, 1));
    cr_expect_not(ap_memory_watching(client->seg, lane, 1));
    for (uint32_t i = 0; i < 0xffff; i++) cr_assert(ap_memory_watching(client->seg, lane, -1));
    cr_expect_not(ap_memory_watching(client->seg, lane, -1));
}

#define WRITERS 3u
#define TURNS 1500u
#define KEYS 4u

struct writer {
    pthread_t thread;
    uint32_t number, puts, removals;
    uint64_t versions[TURNS];
};

static void *watched_writer_main(void *arg)
{
    struct writer *w = arg;
    char name[8];

    for (uint32_t i = 0; i < TURNS; i++) {
        uint32_t which = (i * 7 + w->number * 3) % 11;

        snprintf(name, sizeof name, "k%u", which % KEYS);
        if (which < 3) w->removals += apiary_memory_delete(m, name) == 0;
        else cr_assert_eq(apiary_memory_put(m, name, name, 2, 0, &w->versions[w->puts++]), 0);
    }
    return NULL;
}

static int version_order(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;

    return (one > two) - (one < two);
}

/* What the watch has told, key by key. */
struct books {
    uint64_t version[KEYS]; /* of the value; 0: there is none */
    uint32_t puts, removals;
    uint64_t versions[WRITERS * TURNS];
};

static void book(struct books *b, const apiary_memory_change_t *c)
{
    uint32_t k;

    cr_assert(c->event == APIARY_MEMORY_PUT || c->event == APIARY_MEMORY_DELETED, "event %d", (int)c->event);
    k = (uint32_t)(c->key[1] - '0');
    cr_assert_lt(k, KEYS);
    if (c->event == APIARY_MEMORY_DELETED) {
        cr_assert_eq(b->version[k], c->version, "%s: what is deleted is what was there", c->key);
        b->version[k] = 0;
        b->removals++;
        return;
    }
    cr_assert_gt(c->version, b->version[k], "%s: told twice, or in another order", c->key);
    b->version[k] = c->version;
    cr_assert_lt(b->puts, WRITERS * TURNS);
    b->versions[b->puts++] = c->version;
}

Test(memory_watch_race, all_is_told_once)
{
    static struct writer writers[WRITERS];
    static struct books books;
    static uint64_t written[WRITERS * TURNS];
    apiary_memory_change_t c = {.struct_size = sizeof c};
    apiary_memory_value_t v = {.struct_size = sizeof v};
    apiary_memory_watch_t *w = NULL;
    uint32_t n = 0, removals = 0, running = WRITERS;
    char name[8];

    cr_assert_eq(apiary_memory_watch(m, "", 0, &w), 0);
    cr_assert_eq(apiary_memory_next_change(w, 0, &c), 1);
    cr_assert_eq(c.event, APIARY_MEMORY_SYNCED);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        cr_assert_eq(pthread_create(&writers[i].thread, NULL, watched_writer_main, &writers[i]), 0);
    }
    while (running > 0) {
        while (apiary_memory_next_change(w, MS, &c) == 1) book(&books, &c);
        if (pthread_tryjoin_np(writers[running - 1].thread, NULL) == 0) running--;
    }
    while (apiary_memory_next_change(w, 0, &c) == 1) book(&books, &c);
    for (uint32_t i = 0; i < WRITERS; i++) {
        for (uint32_t k = 0; k < writers[i].puts; k++) written[n++] = writers[i].versions[k];
        removals += writers[i].removals;
    }
    cr_expect_eq(books.puts, n);
    cr_expect_eq(books.removals, removals);
    qsort(written, n, sizeof *written, version_order);
    qsort(books.versions, books.puts, sizeof *books.versions, version_order);
    cr_expect_eq(memcmp(written, books.versions, n * sizeof *written), 0, "each version that was written was told");
    for (uint32_t k = 0; k < KEYS; k++) {
        snprintf(name, sizeof name, "k%u", k);
        v.version = 0;
        cr_expect_eq(apiary_memory_get(m, name, NULL, 0, &v), books.version[k] != 0 ? 0 : APIARY_ENOKEY);
        cr_expect_eq(v.version, books.version[k]);
    }
    apiary_memory_unwatch(w);
}
