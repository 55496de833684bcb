/* The file of a snapshot (tools/apiary/memory_file.c): a key that moves while it is read, and versions that are not possible. */
#include "tools/apiary/memory_file.c"

#include "tests/unit/memory_fixture.h"

TestSuite(memory_file, .init = memory_setup, .fini = memory_teardown, .timeout = TEST_LIMIT);

/* What others do in the midst of a snapshot: it asks for the time behind each value that it has read. */
static bool moves;
static char filler[16];

static uint64_t moving_now(void)
{
    if (moves) {
        moves = false;
        cr_assert_eq(apiary_memory_delete(m, "k"), 0);
        cr_assert_eq(put(filler, "in its place"), 0);
        cr_assert_eq(put("k", "later"), 0);
    }
    return memory_now();
}

static const struct ap_bucket *bucket_of(const char *key)
{
    struct ap_memory_name space;
    struct ap_memory_key whole;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, key, &whole), 0);
    return ap_bucket_of(client->seg, whole.hash);
}

Test(memory_file, a_key_moves)
{
    struct bytes records = {.at = NULL};
    struct restored r;
    uint64_t count = 0;
    const char *at;

    for (int i = 0; i == 0 || bucket_of(filler) != bucket_of("k"); i++) snprintf(filler, sizeof filler, "f%d", i);
    cr_assert_eq(put("k", "before"), 0);
    shifted.now = moving_now;
    moves = true;
    cr_assert_eq(values_read(client->seg, &records, &count), 0);
    cr_expect_not(moves);
    cr_expect_eq(count, 1, "%llu records", (unsigned long long)count);
    at = records.at;
    cr_assert(record_read(&at, records.at + records.size, &r));
    cr_expect_str_eq(r.key, "k");
    cr_expect_eq(r.record.size, 5);
    cr_expect_eq(memcmp(r.value, "later", 5), 0);
    cr_expect_eq(at, (const char *)records.at + records.size);
    free(records.at);
}

/* A whole file with one record, and what is thought of it. */
static bool file_is_good(uint64_t version, uint64_t revision)
{
    const struct record record = {.version = version, .left = UINT64_MAX, .size = 1, .name = 1, .key = 1};
    struct file_head head = {.values = 1, .bytes = sizeof record + 3, .taken = 1, .revision = revision};
    struct bytes records = {.at = NULL}, file = {.at = NULL};
    uint64_t count = 0, counter = 0;
    const char **list;

    bytes_add(&records, &record, sizeof record);
    bytes_add(&records, "nkv", 3);
    memcpy(head.magic, MAGIC, sizeof head.magic);
    head.records = ap_hash(records.at, records.size);
    head.head = head_hash(&head);
    bytes_add(&file, &head, sizeof head);
    bytes_add(&file, records.at, records.size);
    list = file_judge(&file, &count, &counter);
    if (list != NULL) cr_expect_eq(counter, revision);
    free(list);
    free(records.at);
    free(file.at);
    return list != NULL;
}

Test(memory_file, versions_that_are_possible)
{
    cr_expect(file_is_good(1, 1));
    cr_expect(file_is_good((UINT64_C(1) << 62) - 1, (UINT64_C(1) << 62) - 1));
    cr_expect_not(file_is_good(0, 1));
    cr_expect_not(file_is_good(UINT64_MAX, 1), "the counter would begin anew");
    cr_expect_not(file_is_good(UINT64_C(1) << 62, 1));
    cr_expect_not(file_is_good(1, UINT64_MAX));
    cr_expect_not(file_is_good(1, UINT64_C(1) << 62));
}

Test(memory_file, counter_is_raised)
{
    uint64_t version;

    ap_memory_revise(client->seg, 1000);
    cr_expect_eq(ap_memory_revision(client->seg), 1000);
    ap_memory_revise(client->seg, 10);
    cr_expect_eq(ap_memory_revision(client->seg), 1000);
    cr_assert_eq(apiary_memory_put(m, "k", "x", 1, 0, &version), 0);
    cr_expect_eq(version, 1001);
}
