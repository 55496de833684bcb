/* What a caller is told of its refusal: what is full, who holds it, which key of the configuration bounds it, and when to come
 * again (registry/client/refusal.h). */
#include "registry_fixture.h"

#include "registry/routing/terms.h"

#include <stdarg.h>

static struct worker w;
static apiary_refusal_t told;
static uint32_t depth = 512;

/* A segment with so many blocks of each class, and this share of a member. */
static void begin(uint32_t share)
{
    struct ap_geometry g = small;

    g.member_share = share;
    g.queue_depth = depth;
    g.max_concurrent_delegations = 512;
    segment_make(&g);
    client = attach_as("caller");
    worker_register(&w, "echo_service", "0", "echo", (const char *const[]){"echo", NULL});
}

static void teardown(void)
{
    worker_go(&w);
    worker_stop(&w);
    fixture_teardown();
}

TestSuite(refusal_told, .fini = teardown, .timeout = TEST_LIMIT);

static void expect(int error, uint64_t retry_after, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void expect(int error, uint64_t retry_after, const char *format, ...)
{
    char want[sizeof told.message];
    va_list args;

    va_start(args, format);
    vsnprintf(want, sizeof want, format, args);
    va_end(args);
    told = (apiary_refusal_t){.struct_size = sizeof told};
    cr_assert_eq(apiary_refusal(client, &told), 0);
    cr_expect_eq(told.error, error, "%s", apiary_error_name(told.error));
    cr_expect_eq(told.retry_after, retry_after, "%llu", (unsigned long long)told.retry_after);
    cr_expect_str_eq(told.message, want, "%s", told.message);
}

/* Loans of so many bytes until they are refused; the last one's error. */
static int borrowed(apiary_t *a, size_t size, uint32_t *ret_count)
{
    void *block;
    int r;

    for (*ret_count = 0; (r = apiary_loan(a, size, &block)) == 0; ++*ret_count) {}
    return r;
}

static int delegated(apiary_t *a, uint32_t *ret_count)
{
    apiary_task_t task;
    int r;

    for (*ret_count = 0; (r = apiary_delegate(a, "echo", "x", 1, NULL, &task)) == 0; ++*ret_count) {}
    return r;
}

Test(refusal_told, the_blocks_of_a_class_are_out)
{
    static char body[1000];
    apiary_t *other;
    apiary_task_t task;
    uint32_t n;

    begin(100);
    other = attach_as("other");
    cr_assert_eq(borrowed(other, 1000, &n), APIARY_ENOBLOCK);
    cr_expect_eq(n, 4 + 2 + 1, "of 1 KiB, and of the next two classes");
    cr_assert_eq(apiary_delegate(client, "echo", body, sizeof body, NULL, &task), APIARY_ENOBLOCK);
    expect(APIARY_ENOBLOCK, 10 * MS, "no free block of 1024 bytes: 'test' (pid %d) holds 4 of 4; payload makes them more, "
           "member_share is 100 %%; retry after 10 ms", (int)getpid());
    apiary_detach(other);
}

Test(refusal_told, a_share_of_the_blocks_is_used_up)
{
    uint32_t n;

    begin(75);
    cr_assert_eq(borrowed(client, 1000, &n), APIARY_ESHARE);
    cr_expect_eq(n, 3 + 2 + 1);
    expect(APIARY_ESHARE, 10 * MS, "this process holds 3 of the 4 blocks of 1024 bytes, and 1 are free; member_share is 75 %%; "
           "retry after 10 ms");
    cr_assert_eq(borrowed(client, 200, &n), APIARY_ESHARE);
    expect(APIARY_ESHARE, 10 * MS, "this process holds 6 of the 8 blocks of 256 bytes, and 2 are free; member_share is 75 %%; "
           "retry after 10 ms");
}

Test(refusal_told, the_table_of_tasks_is_full)
{
    apiary_t *other;
    apiary_task_t task;
    uint32_t n;

    begin(100);
    other = attach_as("other");
    cr_assert_eq(delegated(other, &n), APIARY_ENOSLOT);
    cr_expect_eq(n, 256);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), APIARY_ENOSLOT);
    expect(APIARY_ENOSLOT, 10 * MS, "the task table is full: 'test' (pid %d) holds 4 of its 4 parts; tasks makes it larger, "
           "member_share is 100 %%; retry after 10 ms", (int)getpid());
    apiary_detach(other);
}

/* Also of a task whose body would have had a block: the table is what it may take no more of. */
Test(refusal_told, a_share_of_the_table_is_used_up)
{
    static char body[200];
    apiary_task_t task;
    uint32_t n;

    begin(50);
    cr_assert_eq(delegated(client, &n), APIARY_ESHARE);
    cr_expect_eq(n, 128);
    for (int i = 0; i < 2; i++) {
        expect(APIARY_ESHARE, 10 * MS, "this process holds 2 of the 4 parts of the task table, and 2 are free; member_share is "
               "50 %%; retry after 10 ms");
        cr_assert_eq(apiary_delegate(client, "echo", body, sizeof body, NULL, &task), APIARY_ESHARE);
    }
}

Test(refusal_told, an_agent_has_much_to_do)
{
    apiary_task_t task;

    begin(100);
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    ap_queue_at(client->seg, w.queue)->pace = 10 * MS;
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, APIARY_TIMEOUT(60 * MS - 1), &task), APIARY_EBACKLOG);
    expect(APIARY_EBACKLOG, MS, "agent 'echo' has 3 tasks waiting, each of 10000 us: this one would wait past its deadline; "
           "give it more time (timeout, schedule_to_start), or run more instances (queen: instances); retry after 1 ms");
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, APIARY_TIMEOUT(58 * MS - 1), &task), APIARY_EBACKLOG);
    told = (apiary_refusal_t){.struct_size = sizeof told};
    cr_assert_eq(apiary_refusal(client, &told), 0);
    cr_expect_eq(told.retry_after, 2 * MS + 1);
    cr_expect_not_null(strstr(told.message, "; retry after 3 ms"), "rounded up: %s", told.message);
}

/* Until it is refused. */
static void queue_full(uint64_t priority, uint32_t expected)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .priority = priority};
    apiary_task_t task;
    uint32_t n;
    int r;

    for (n = 0; (r = apiary_delegate(client, "echo", "x", 1, &o, &task)) == 0; n++) {}
    cr_assert_eq(r, APIARY_EQUEUEFULL, "%s", apiary_error_name(r));
    cr_expect_eq(n, expected, "%u", n);
}

/* Its own ring, that of all who have a priority, a bound that the capability declares, and all together. */
Test(refusal_told, which_key_bounds_a_queue)
{
    const struct ap_terms said = {.queue_limit = 20 + 1};
    struct ap_terms_conflicts conflicts = {.count = 0};
    apiary_delegate_options_t one = {.struct_size = sizeof one};
    apiary_task_t task;

    depth = 16;
    begin(100);
    queue_full(0, 16);
    expect(APIARY_EQUEUEFULL, MS, "agent 'echo' has 16 tasks waiting; queue_depth allows each caller 16; retry after 1 ms");
    one.provider = AP_PROVIDER(w.queue, ap_queue_at(client->seg, w.queue)->life);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &one, &task), APIARY_EQUEUEFULL);
    expect(APIARY_EQUEUEFULL, MS, "agent 'echo' has 16 tasks waiting; one that is for it alone is accepted beside fewer than "
           "16 (queue_depth); retry after 1 ms");
    queue_full(APIARY_PRIORITY_LOW, 8);
    expect(APIARY_EQUEUEFULL, MS, "agent 'echo' has 24 tasks waiting; tasks with a priority or a concurrency, and callers "
           "beyond queue_inlets, share 16 places there (queue_depth, 256 at most), and a caller takes no more than it leaves; "
           "retry after 1 ms");
    ap_terms_declare(client->seg, w.lane, w.queue, (uint32_t)ap_capability_find(client->seg, "echo", 4),
                     (const uint64_t *)(const void *)&said, &conflicts);
    queue_full(0, 0);
    expect(APIARY_EQUEUEFULL, MS, "agent 'echo' has 24 tasks waiting; the capability's queue_limit allows 20; retry after 1 ms");
}

/* More than it looks at makes it no larger. */
Test(refusal_told, how_many_share_a_deep_queue)
{
    begin(100);
    queue_full(APIARY_PRIORITY_URGENT, 128);
    expect(APIARY_EQUEUEFULL, MS, "agent 'echo' has 128 tasks waiting; tasks with a priority or a concurrency, and callers "
           "beyond queue_inlets, share 256 places there (queue_depth, 256 at most), and a caller takes no more than it leaves; "
           "retry after 1 ms");
}

Test(refusal_told, what_is_no_matter_of_load)
{
    apiary_attach_options_t observer = {.struct_size = sizeof observer, .read_only = 1};
    apiary_task_t task;
    apiary_t *looks;

    begin(100);
    cr_expect_eq(apiary_delegate(client, "nobody", "x", 1, NULL, &task), APIARY_ENOCAP);
    expect(APIARY_ENOCAP, 0, "%s; %s", apiary_strerror(APIARY_ENOCAP), apiary_advice(APIARY_ENOCAP));
    cr_assert_eq(apiary_attach(seg_name, &observer, &looks), 0);
    cr_expect_eq(apiary_refusal(looks, &told), APIARY_EREADONLY);
    told.struct_size = 1;
    cr_expect_eq(apiary_refusal(client, &told), APIARY_EINVAL);
    apiary_detach(looks);
}
