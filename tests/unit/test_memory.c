/* The memory (registry/memory/memory.h): what each call does, its bounds, its versions and times, and what its checkers say. */
#include "tests/unit/memory_fixture.h"

TestSuite(memory, .init = memory_setup, .fini = memory_teardown, .timeout = TEST_LIMIT);

/* ---- calls ------------------------------------------------------------------------------------------------------ */

Test(memory, put_get_delete)
{
    cr_expect_null(text_of("k"));
    cr_assert_eq(put("k", "one"), 0);
    cr_expect_str_eq(text_of("k"), "one");
    cr_expect_eq(value.ttl, APIARY_FOREVER);
    cr_expect_eq(value.size, 3);
    cr_assert_eq(put("k", ""), 0);
    cr_expect_str_eq(text_of("k"), "", "a value may be empty");
    cr_expect_eq(apiary_memory_delete(m, "k"), 0);
    cr_expect_eq(apiary_memory_delete(m, "k"), APIARY_ENOKEY);
    cr_expect_null(text_of("k"));
    cr_expect_eq(rows_used(), 0);
    cr_assert_eq(put("k", "more than there is room for"), 0);
    memset(got, '-', sizeof got);
    cr_expect_eq(apiary_memory_get(m, "k", got, 4, NULL), 0);
    cr_expect_eq(memcmp(got, "more-", 5), 0);
    cr_expect_eq(apiary_memory_get(m, "k", NULL, 0, &value), 0);
    cr_expect_eq(value.size, 27);
}

Test(memory, add_replace_cas)
{
    uint64_t first = 0, second = 0, third = 0;

    cr_expect_eq(apiary_memory_replace(m, "k", "no", 2, 0, &first), APIARY_ENOKEY);
    cr_expect_eq(apiary_memory_cas(m, "k", "no", 2, 0, 1, &first), APIARY_ENOKEY);
    cr_expect_eq(first, 0, "what fails tells nothing");
    cr_expect_eq(apiary_memory_add(m, "k", "a", 1, 0, &first), 0);
    cr_expect_eq(apiary_memory_add(m, "k", "b", 1, 0, &second), APIARY_EEXIST);
    cr_expect_str_eq(text_of("k"), "a");
    cr_expect_eq(value.version, first);
    cr_expect_eq(apiary_memory_replace(m, "k", "c", 1, 0, &second), 0);
    cr_expect_gt(second, first);
    cr_expect_eq(apiary_memory_cas(m, "k", "d", 1, 0, first, NULL), APIARY_ECHANGED);
    cr_expect_eq(apiary_memory_cas(m, "k", "d", 1, 0, second, &third), 0);
    cr_expect_gt(third, second);
    cr_expect_str_eq(text_of("k"), "d");
    cr_expect_eq(apiary_memory_delete(m, "k"), 0);
    cr_expect_eq(apiary_memory_cas(m, "k", "e", 1, 0, third, NULL), APIARY_ENOKEY);
    cr_expect_eq(apiary_memory_add(m, "k", "f", 1, 0, &first), 0);
    cr_expect_gt(first, third, "a version is not given twice, also after a delete");
}

Test(memory, restore)
{
    const struct ap_memory_writer w = {.seg = client->seg, .lane = &client->anchor->lane, .hint = &client->anchor->pool_hint};
    struct ap_memory_change c = {.how = AP_MEMORY_RESTORE, .value = "old", .size = 3, .until = APIARY_FOREVER, .version = 100};
    struct ap_memory_name space;
    struct ap_memory_key key;
    uint64_t version = 0;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, "k", &key), 0);
    cr_assert_eq(ap_memory_change(&w, &key, &c), 0);
    cr_expect_eq(c.version, 100);
    cr_expect_str_eq(text_of("k"), "old");
    cr_expect_eq(value.version, 100);
    cr_expect_eq(ap_memory_change(&w, &key, &c), APIARY_EEXIST);
    cr_assert_eq(apiary_memory_put(m, "k", "new", 3, 0, &version), 0);
    cr_expect_eq(version, 101, "what comes has a greater one");
    cr_expect_eq(apiary_memory_delete(m, "k"), 0);
    cr_assert_eq(ap_memory_change(&w, &key, &c), 0);
    cr_expect_gt(c.version, 101, "and what was there before had a smaller one");
}

Test(memory, incr)
{
    static const char *const none[] = {"", "x", "1x", " 1", "+1", "-", "9223372036854775808", "1.0", "0x1", ":"};
    int64_t sum = 0;

    cr_expect_eq(apiary_memory_incr(m, "n", 5, &sum), 0);
    cr_expect_eq(sum, 5);
    cr_expect_eq(apiary_memory_incr(m, "n", -12, NULL), 0);
    cr_expect_str_eq(text_of("n"), "-7");
    cr_assert_eq(put("n", "9223372036854775806"), 0);
    cr_expect_eq(apiary_memory_incr(m, "n", 1, &sum), 0);
    cr_expect_eq(sum, INT64_MAX);
    cr_expect_eq(apiary_memory_incr(m, "n", 1, &sum), APIARY_EOVERFLOW);
    cr_assert_eq(put("n", "-9223372036854775808"), 0);
    cr_expect_eq(apiary_memory_incr(m, "n", 0, &sum), 0);
    cr_expect_eq(sum, INT64_MIN);
    cr_expect_str_eq(text_of("n"), "-9223372036854775808");
    cr_expect_eq(apiary_memory_incr(m, "n", -1, &sum), APIARY_EOVERFLOW);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        cr_assert_eq(put("n", none[i]), 0);
        cr_expect_eq(apiary_memory_incr(m, "n", 1, &sum), APIARY_EOVERFLOW, "'%s'", none[i]);
        cr_expect_str_eq(text_of("n"), none[i]);
    }
    cr_assert_eq(apiary_memory_put(m, "n", "1", 1, SECOND, NULL), 0);
    cr_expect_eq(apiary_memory_incr(m, "n", 1, &sum), 0);
    cr_expect_str_eq(text_of("n"), "2");
    cr_expect_leq(value.ttl, SECOND, "it keeps its end");
}

/* By 0 nothing is written: no row is wanted, and nothing is made of what is absent. */
Test(memory, incr_by_nothing)
{
    int64_t sum = -1;
    uint64_t version;
    char name[32];

    cr_expect_eq(apiary_memory_incr(m, "n", 0, &sum), 0);
    cr_expect_eq(sum, 0);
    cr_expect_null(text_of("n"));
    cr_assert_eq(apiary_memory_put(m, "n", "0017", 4, 0, &version), 0);
    for (uint32_t i = 1; i < ROWS; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(put(name, name), 0);
    }
    cr_expect_eq(apiary_memory_incr(m, "n", 0, &sum), 0);
    cr_expect_eq(sum, 17);
    cr_expect_str_eq(text_of("n"), "0017");
    cr_expect_eq(value.version, version);
    cr_expect_eq(apiary_memory_incr(m, "n", 1, &sum), APIARY_ETABLEFULL);
    cr_expect_eq(sum, 17, "what fails tells nothing");
}

/* Beside the longest key there is no room for a number with many zeros before it: it lies in a block. */
Test(memory, incr_of_a_number_in_a_block)
{
    char key[APIARY_MEMORY_KEY_MAX + 1] = "", text[80], name[APIARY_NAME_MAX + 1] = "";
    apiary_memory_t *longest;
    int64_t sum = 0;

    memset(name, 'n', APIARY_NAME_MAX);
    memset(key, 'k', APIARY_MEMORY_KEY_MAX);
    cr_assert_eq(apiary_memory_open(client, name, 0, &longest), 0);
    snprintf(text, sizeof text, "-%050d", 7);
    cr_assert_eq(apiary_memory_put(longest, key, text, strlen(text), 0, NULL), 0);
    cr_expect_eq(blocks_in_use(), 1);
    cr_expect_eq(apiary_memory_incr(longest, key, 0, &sum), 0);
    cr_expect_eq(sum, -7);
    cr_expect_eq(apiary_memory_incr(longest, key, -35, &sum), 0);
    cr_expect_eq(sum, -42);
    cr_expect_eq(blocks_in_use(), 0);
    snprintf(text, sizeof text, "%064d", 1);
    cr_assert_eq(apiary_memory_put(longest, key, text, strlen(text), 0, NULL), 0);
    cr_expect_eq(apiary_memory_incr(longest, key, 1, &sum), APIARY_EOVERFLOW, "no number of 64 bits is as long");
    apiary_memory_close(longest);
}

/* Some rows at a time, and all of them in turn. */
Test(memory, expire_goes_round)
{
    char name[32];
    uint32_t row = 0, met = 0;

    for (uint32_t i = 0; i < ROWS; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(apiary_memory_put(m, name, name, strlen(name), SECOND, NULL), 0);
    }
    ap_store_relaxed(&ahead, 2 * SECOND);
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_eq(ap_memory_expire(client->seg, client->anchor->lane.index, memory_now(), &row, 15), i < 2 ? 15 : 10);
        met += 15;
        cr_expect_eq(row, met <= ROWS ? met : met - ROWS);
    }
    cr_expect_eq(rows_used(), 0);
    for (uint32_t i = 0; i < ROWS; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(apiary_memory_put(m, name, name, strlen(name), SECOND, NULL), 0);
    }
    ap_store_relaxed(&ahead, 4 * SECOND);
    cr_expect_eq(ap_memory_expire(client->seg, client->anchor->lane.index, memory_now(), &row, 4096), ROWS,
                 "more than there are: each once");
    row = UINT32_MAX;
    cr_assert_eq(apiary_memory_put(m, "k", "x", 1, SECOND, NULL), 0);
    ap_store_relaxed(&ahead, 6 * SECOND);
    cr_expect_eq(ap_memory_expire(client->seg, client->anchor->lane.index, memory_now(), &row, ROWS), 1);
}

Test(memory, times)
{
    uint64_t version;
    uint32_t row = 0;

    cr_assert_eq(apiary_memory_put(m, "k", "brief", 5, SECOND, &version), 0);
    cr_expect_str_eq(text_of("k"), "brief");
    cr_expect(value.ttl > 0 && value.ttl <= SECOND);
    cr_expect_eq(apiary_memory_touch(m, "k", 10 * SECOND), 0);
    cr_expect_str_eq(text_of("k"), "brief");
    cr_expect_gt(value.ttl, 9 * SECOND);
    cr_expect_eq(value.version, version, "a touch is no change of the value");
    ap_store_relaxed(&ahead, 10 * SECOND);
    cr_expect_null(text_of("k"));
    cr_expect_eq(apiary_memory_touch(m, "k", 0), APIARY_ENOKEY);
    cr_expect_eq(apiary_memory_replace(m, "k", "x", 1, 0, NULL), APIARY_ENOKEY);
    cr_expect_eq(apiary_memory_delete(m, "k"), APIARY_ENOKEY);
    cr_expect_eq(rows_used(), 1, "nobody has come by");
    cr_expect_eq(apiary_memory_add(m, "k", "anew", 4, 0, NULL), 0);
    cr_expect_eq(rows_used(), 1);
    cr_expect_str_eq(text_of("k"), "anew");
    cr_assert_eq(apiary_memory_put(m, "n", "7", 1, SECOND, NULL), 0);
    ap_store_relaxed(&ahead, 20 * SECOND);
    cr_expect_eq(apiary_memory_incr(m, "n", 1, NULL), 0);
    cr_expect_str_eq(text_of("n"), "1", "one whose time is over is absent");
    cr_assert_eq(apiary_memory_put(m, "n", "7", 1, SECOND, NULL), 0);
    ap_store_relaxed(&ahead, 30 * SECOND);
    cr_expect_eq(ap_memory_expire(client->seg, client->anchor->lane.index, memory_now(), &row, ROWS), 1);
    cr_expect_eq(rows_used(), 1);
    cr_expect_eq(ap_memory_expire(client->seg, client->anchor->lane.index, UINT64_MAX - 1, &row, ROWS), 0);
    cr_assert_eq(apiary_memory_put(m, "k", "x", 1, APIARY_FOREVER - 1, NULL), 0);
    cr_expect_str_eq(text_of("k"), "x");
    cr_expect_eq(value.ttl, APIARY_FOREVER, "an end that no clock reaches is none");
}

Test(memory, sizes)
{
    /* Inside are 41 words: one for "space", one for the key. */
    static const uint32_t sizes[] = {1, 7, 8, 64, 311, 312, 313, 1024, 4096, 4097, 65536};
    char bytes[APIARY_MEMORY_VALUE_MAX + 1];
    char longest[APIARY_MEMORY_KEY_MAX + 2];

    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 31 + 7);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cr_assert_eq(apiary_memory_put(m, "k", bytes, sizes[i], 0, NULL), 0, "%u", sizes[i]);
        cr_expect_eq(blocks_in_use(), sizes[i] > 312);
        cr_assert_not_null(text_of("k"));
        cr_expect_eq(value.size, sizes[i]);
        cr_expect_eq(memcmp(got, bytes, sizes[i]), 0, "%u", sizes[i]);
        cr_expect_eq(apiary_memory_touch(m, "k", SECOND), 0, "%u", sizes[i]);
        cr_assert_not_null(text_of("k"));
        cr_expect_eq(memcmp(got, bytes, sizes[i]), 0, "%u, touched", sizes[i]);
        cr_expect_eq(apiary_memory_delete(m, "k"), 0);
    }
    cr_expect_eq(apiary_memory_put(m, "k", bytes, APIARY_MEMORY_VALUE_MAX + 1, 0, NULL), APIARY_ETOOLARGE);
    cr_expect_eq(blocks_in_use(), 0);
    memset(longest, 'x', sizeof longest);
    longest[APIARY_MEMORY_KEY_MAX] = '\0';
    cr_assert_eq(put(longest, "long"), 0);
    cr_expect_str_eq(text_of(longest), "long");
    longest[APIARY_MEMORY_KEY_MAX] = 'x';
    longest[APIARY_MEMORY_KEY_MAX + 1] = '\0';
    cr_expect_eq(put(longest, "longer"), APIARY_EINVAL);
    cr_expect_eq(put("", "x"), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_put(m, "k", NULL, 1, 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_put(NULL, "k", "x", 1, 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_get(m, NULL, got, 1, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_get(m, "k", NULL, 1, NULL), APIARY_EINVAL);
}

Test(memory, name_spaces)
{
    apiary_memory_t *other, *local;
    char text[8];

    cr_assert_eq(apiary_memory_open(client, "other", 0, &other), 0);
    cr_assert_eq(apiary_memory_open(client, "space", APIARY_MEMORY_LOCAL, &local), 0);
    cr_assert_eq(put("k", "mine"), 0);
    cr_expect_eq(apiary_memory_get(other, "k", text, sizeof text, NULL), APIARY_ENOKEY);
    cr_expect_eq(apiary_memory_get(local, "k", text, sizeof text, NULL), APIARY_ENOKEY);
    cr_assert_eq(apiary_memory_add(local, "k", "local", 5, 0, NULL), 0);
    cr_assert_eq(apiary_memory_add(other, "k", "other", 5, 0, NULL), 0);
    cr_expect_str_eq(text_of("k"), "mine");
    apiary_memory_close(other);
    cr_expect_eq(apiary_memory_open(client, "space", APIARY_MEMORY_LOCAL, &other), 0, "opened twice");
    cr_expect_eq(apiary_memory_get(other, "k", text, sizeof text, NULL), 0);
    apiary_memory_close(other);
    apiary_memory_close(local);
    apiary_memory_close(NULL);
    other = NULL;
    cr_expect_eq(apiary_memory_open(client, "@space", 0, &other), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_open(client, "", 0, &other), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_open(client, NULL, 0, &other), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_open(client, "a", 2, &other), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_open(client, "a", 0, NULL), APIARY_EINVAL);
    cr_expect_null(other);
}

Test(memory, scan)
{
    apiary_memory_t *local;
    char key[APIARY_MEMORY_KEY_MAX + 1], name[32];
    uint64_t position = 0, met = 0;
    int r;

    value.struct_size = sizeof value;
    cr_assert_eq(apiary_memory_open(client, "space", APIARY_MEMORY_LOCAL, &local), 0);
    cr_assert_eq(apiary_memory_put(local, "a.0", "x", 1, 0, NULL), 0);
    cr_expect_eq(apiary_memory_scan(m, "", &position, key, NULL), 0);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%c.%d", i < 12 ? 'a' : 'b', i);
        cr_assert_eq(apiary_memory_put(m, name, "12345", (size_t)(i % 5), i == 3 ? SECOND : 0, NULL), 0);
    }
    for (position = 0; (r = apiary_memory_scan(m, "a.", &position, key, &value)) == 1;) {
        cr_expect_eq(strncmp(key, "a.", 2), 0);
        cr_expect_eq(value.size, (size_t)(atoi(key + 2) % 5));
        met |= UINT64_C(1) << atoi(key + 2);
        cr_expect_eq(apiary_memory_put(m, key, "123456789", (size_t)(atoi(key + 2) % 5), SECOND, NULL), 0, "it does not move");
    }
    cr_expect_eq(r, 0);
    cr_expect_eq(met, (UINT64_C(1) << 12) - 1);
    ap_store_relaxed(&ahead, 2 * SECOND);
    position = 0;
    cr_expect_eq(apiary_memory_scan(m, "a", &position, key, NULL), 0, "their time is over");
    position = UINT64_MAX;
    cr_expect_eq(apiary_memory_scan(m, "", &position, key, NULL), 0);
    cr_expect_eq(apiary_memory_scan(m, NULL, &position, key, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_scan(m, "", NULL, key, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_scan(m, "", &position, NULL, NULL), APIARY_EINVAL);
    apiary_memory_close(local);
}

Test(memory, full)
{
    char name[32], big[1025];

    for (uint32_t i = 0; i < ROWS; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(apiary_memory_put(m, name, name, strlen(name), i == 7 ? SECOND : 0, NULL), 0);
    }
    cr_expect_eq(put("one more", "x"), APIARY_ETABLEFULL);
    cr_expect_eq(put("k1", "x"), APIARY_ETABLEFULL, "a row more is wanted while it is written");
    cr_expect_str_eq(text_of("k1"), "k1");
    ap_store_relaxed(&ahead, 2 * SECOND);
    cr_expect_eq(put("one more", "x"), 0, "one whose time is over makes room");
    cr_expect_eq(put("another", "x"), APIARY_ETABLEFULL);
    cr_expect_eq(apiary_memory_delete(m, "one more"), 0);
    memset(big, 'b', sizeof big);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(apiary_memory_delete(m, i == 0 ? "k0" : "k1"), 0);
        cr_assert_eq(apiary_memory_put(m, i == 0 ? "k0" : "k1", big, sizeof big, i == 0 ? SECOND : 0, NULL), 0);
    }
    cr_assert_eq(apiary_memory_delete(m, "k2"), 0);
    cr_assert_eq(apiary_memory_put(m, "k2", big, sizeof big, 0, NULL), 0, "in a larger block");
    while (apiary_memory_put(m, "k2", big, sizeof big, 0, NULL) == 0 && blocks_in_use() < 20) {
        cr_assert_eq(apiary_memory_delete(m, "k3"), 0);
        cr_assert_eq(apiary_memory_put(m, "k3", big, sizeof big, 0, NULL), 0);
        break;
    }
    ap_store_relaxed(&ahead, 10 * SECOND);
    cr_expect_eq(put("k4", "y"), 0);
}

/* Where blocks are out the value of before stays, and no row is left of the one that would have come. */
Test(memory, no_block)
{
    static const uint32_t sizes[] = {256, 1024, 4096, 16384, 65536, 1 << 18, 1 << 20};
    char big[1000] = "";
    void *loans[64];
    uint64_t version = 77;
    uint32_t n = 0;

    cr_assert_eq(put("k", "before"), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        while (n < 64 && apiary_loan(client, sizes[i], &loans[n]) == 0) n++;
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(apiary_memory_put(m, i < 2 ? "k" : "new", big, sizeof big, 0, &version), APIARY_ENOBLOCK);
        cr_expect_eq(version, 77, "what fails tells nothing");
        cr_expect_eq(rows_used(), 1);
        cr_expect_eq(ap_draft_at(client->seg, client->anchor->lane.index)->fresh, 0);
    }
    cr_expect_str_eq(text_of("k"), "before");
    cr_expect_null(text_of("new"));
    while (n > 0) cr_expect_eq(apiary_unloan(client, loans[--n]), 0);
    cr_expect_eq(apiary_memory_put(m, "k", big, sizeof big, 0, &version), 0);
    cr_expect_neq(version, 77);
    cr_expect_eq(rows_used(), 1);
}

/* A place that somebody has written over: its row is none of the table's. */
Test(memory, a_place_without_a_row)
{
    struct ap_memory_name space;
    struct ap_memory_key key;
    uint64_t *place;
    char text[64];
    apiary_memory_value_t v = {.struct_size = sizeof v};

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, "k", &key), 0);
    for (uint32_t i = 0; i < AP_MEMORY_PLACES; i += AP_MEMORY_PLACES - 1) {
        place = &ap_bucket_of(client->seg, key.hash)->place[i];
        *place = AP_PLACE(key.hash, 1, 0x3fffff);
        cr_expect_eq(apiary_memory_get(m, "k", text, sizeof text, &v), APIARY_ECORRUPT);
        cr_expect_eq(apiary_memory_get(m, "k", NULL, 0, &v), APIARY_ECORRUPT);
        cr_expect_eq(put("k", "x"), APIARY_ECORRUPT);
        cr_expect_eq(apiary_memory_delete(m, "k"), APIARY_ECORRUPT);
        *place = 0;
    }
}

/* Keys of one bucket. */
Test(memory, full_bucket)
{
    struct ap_memory_name space;
    struct ap_memory_key key;
    char names[AP_MEMORY_PLACES + 1][16];
    uint32_t n = 0;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    for (uint32_t i = 0; n <= AP_MEMORY_PLACES; i++) {
        snprintf(names[n], sizeof names[n], "%u", i);
        cr_assert_eq(ap_memory_key(&space, names[n], &key), 0);
        if (ap_bucket_of(client->seg, key.hash) == ap_bucket_at(client->seg, 1)) n++;
    }
    for (n = 0; n < AP_MEMORY_PLACES; n++) cr_assert_eq(apiary_memory_put(m, names[n], "x", 1, n == 4 ? SECOND : 0, NULL), 0);
    cr_expect_eq(put(names[n], "one more"), APIARY_ETABLEFULL);
    cr_expect_eq(put(names[2], "in place of itself"), 0);
    ap_store_relaxed(&ahead, SECOND);
    cr_expect_eq(put(names[n], "one more"), 0);
    cr_expect_null(text_of(names[4]));
    for (n = 0; n <= AP_MEMORY_PLACES; n++) cr_expect(n == 4 || text_of(names[n]) != NULL, "%u", n);
    cr_expect_eq(apiary_memory_delete(m, names[9]), 0);
    cr_expect_eq(put(names[4], "back"), 0);
}

Test(memory, who_may)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .read_only = 1};
    apiary_memory_t *observer;
    apiary_t *b;
    char text[4];

    cr_assert_eq(put("k", "x"), 0);
    cr_assert_eq(apiary_attach(seg_name, &o, &b), 0);
    cr_assert_eq(apiary_memory_open(b, "space", 0, &observer), 0);
    cr_expect_eq(apiary_memory_get(observer, "k", text, sizeof text, NULL), 0);
    cr_expect_eq(apiary_memory_put(observer, "k", "y", 1, 0, NULL), APIARY_EREADONLY);
    cr_expect_eq(apiary_memory_delete(observer, "k"), APIARY_EREADONLY);
    apiary_detach(b);
    cr_expect_eq(apiary_memory_get(observer, "k", text, sizeof text, NULL), APIARY_ESTALE);
    cr_expect_eq(apiary_memory_put(observer, "k", "y", 1, 0, NULL), APIARY_ESTALE);
    apiary_memory_close(observer);
    cr_expect_str_eq(text_of("k"), "x");
}

/* ---- several at once -------------------------------------------------------------------------------------------- */

#define THREADS 3
#define TURNS 3000

/* A number that goes up, and a value of one letter whose size says which. */
static void *writer_main(void *arg)
{
    char bytes[400];
    uint64_t version = 0, last = 0;

    for (int i = 0; i < TURNS; i++) {
        uint32_t size = (uint32_t)(i * 37 + *(int *)arg * 11) % (sizeof bytes - 1) + 1;

        memset(bytes, 'a' + (int)(size % 26), size);
        cr_assert_eq(apiary_memory_incr(m, "sum", 1, NULL), 0);
        if (i % 16 == 0) apiary_memory_delete(m, "letters");
        cr_assert_eq(apiary_memory_put(m, "letters", bytes, size, 0, &version), 0);
        cr_assert_gt(version, last);
        last = version;
    }
    return NULL;
}

static uint32_t readers_stop;

static void *reader_main(void *arg)
{
    char bytes[400];
    uint64_t last = 0, sums = 0;
    apiary_memory_value_t v = {.struct_size = sizeof v};

    (void)arg;
    while (ap_load_relaxed(&readers_stop) == 0) {
        if (apiary_memory_get(m, "letters", bytes, sizeof bytes, &v) == 0) {
            for (size_t i = 0; i < v.size; i++) cr_assert_eq(bytes[i], 'a' + (int)(v.size % 26), "byte %zu of %zu", i, v.size);
            cr_assert_geq(v.version, last, "a reader goes back");
            last = v.version;
        }
        if (apiary_memory_get(m, "sum", bytes, sizeof bytes - 1, &v) != 0) continue;
        bytes[v.size] = '\0';
        cr_assert_geq(strtoull(bytes, NULL, 10), sums);
        sums = strtoull(bytes, NULL, 10);
    }
    return NULL;
}

Test(memory, several_at_once)
{
    pthread_t writers[THREADS], reader;
    int numbers[THREADS];
    char sum[16];

    cr_assert_eq(pthread_create(&reader, NULL, reader_main, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        cr_assert_eq(pthread_create(&writers[i], NULL, writer_main, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(writers[i], NULL);
    ap_store_relaxed(&readers_stop, 1);
    pthread_join(reader, NULL);
    snprintf(sum, sizeof sum, "%d", THREADS * TURNS);
    cr_expect_str_eq(text_of("sum"), sum, "no change is lost");
    cr_expect_eq(rows_used(), 2);
}

/* ---- what checkers and recovery say ----------------------------------------------------------------------------- */

Test(memory, checkers)
{
    struct ap_memory_name space;
    struct ap_memory_key key;
    struct ap_bucket *b;
    struct ap_value *v;
    struct ap_draft *d = ap_draft_at(client->seg, 20);
    uint64_t place, other;

    cr_assert_eq(put("k", "x"), 0);
    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, "k", &key), 0);
    b = ap_bucket_of(client->seg, key.hash);
    place = b->place[0];
    v = ap_value_at(client->seg, AP_PLACE_ROW(place));
    assert_sound();
    SAYS(b->place[0], place ^ UINT64_C(1) << 22, "G1", false);
    b->place[0] = place;
    SAYS(b->place[3], place, "G2", false);
    SAYS(b->turn, place | UINT64_C(15) << AP_PLACE_SHIFT, "G3", false);
    SAYS(b->turn, ROWS, "G3", false);
    SAYS(b->place[0], place & ~AP_PLACE_PRESENT, "G4", true);
    SAYS(v->size, 313, "G5", false);
    SAYS(v->block, 64, "G5", false);
    SAYS(v->words, 1, "G5", false);
    SAYS(v->version, 0, "G5", false);
    SAYS(d->fresh, AP_PLACE(0, 1, ROWS), "G6", false);
    SAYS(d->stale, AP_PLACE(0, 1, 3), "G6", true);
    SAYS(d->cursor, 1, "G6", false);
    SAYS(d->counts[AP_MEMORY_COUNT_misses], AP_MEMORY_COUNT_MAX, "G6", false);
    /* A row in the draft of a lane that is alive is no leak. */
    other = AP_VALUE_LIFE(4, client->anchor->lane.index, AP_VALUE_USED);
    ap_value_at(client->seg, 9)->life = other;
    check_says("G4", true);
    ap_draft_at(client->seg, client->anchor->lane.index)->fresh = AP_PLACE(0, 4, 9);
    assert_sound();
    ap_memory_withdraw(client->seg, client->anchor->lane.index, 1);
    cr_expect_eq(ap_value_at(client->seg, 9)->life, other, "beside another reaper nothing is done");
    ap_value_at(client->seg, 9)->life = AP_VALUE_LIFE(4, 3, AP_VALUE_USED);
    ap_memory_withdraw(client->seg, client->anchor->lane.index, 0);
    cr_expect_eq(AP_VALUE_STATE(ap_value_at(client->seg, 9)->life), AP_VALUE_USED, "another lane was first to take it");
    ap_value_at(client->seg, 9)->life = other;
    ap_draft_at(client->seg, client->anchor->lane.index)->fresh = AP_PLACE(0, 4, 9);
    ap_draft_at(client->seg, client->anchor->lane.index)->stale = place;
    ap_memory_withdraw(client->seg, client->anchor->lane.index, 0);
    cr_expect_eq(AP_VALUE_STATE(ap_value_at(client->seg, 9)->life), AP_VALUE_FREE);
    cr_expect_str_eq(text_of("k"), "x", "what is in its place stays");
    assert_sound();
}

/* A request that nobody has fulfilled: readers do not see the key, the next writer does, and a late one changes nothing. */
Test(memory, request)
{
    struct ap_memory_name space;
    struct ap_memory_key key;
    struct ap_bucket *b;
    uint64_t turn, place;

    cr_assert_eq(put("k", "x"), 0);
    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, "k", &key), 0);
    b = ap_bucket_of(client->seg, key.hash);
    turn = b->turn | AP_PLACE_PRESENT;
    place = b->place[0];
    b->turn = turn;
    b->place[0] = 0;
    cr_expect_null(text_of("k"));
    cr_expect_eq(apiary_memory_add(m, "k", "y", 1, 0, NULL), APIARY_EEXIST);
    cr_expect_str_eq(text_of("k"), "x");
    ap_memory_help(client->seg, b, turn);
    cr_expect_eq(b->place[0], place);
    cr_expect_eq(apiary_memory_delete(m, "k"), 0);
    ap_memory_help(client->seg, b, turn);
    cr_expect_null(text_of("k"), "nobody makes it come back");
    cr_expect_eq(put("k", "z"), 0);
    ap_memory_help(client->seg, b, turn);
    cr_expect_str_eq(text_of("k"), "z");
}
