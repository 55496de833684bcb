/* The shares of members where the registry keeps blocks: results that are kept count for who delegated, the dead set's are lent. */
#include "registry_fixture.h"

#include "registry/routing/dead.h"
#include "registry/routing/kept.h"

#define HUGE_SIZE (1u << 20)
#define HUGE_BLOCKS 4u
#define HUGE_CLASS 6u

static struct worker w;
static apiary_t *other;

static void setup(void)
{
    struct ap_geometry g = small;

    g.pool_blocks[HUGE_CLASS] = HUGE_BLOCKS;
    g.member_share = 75;
    g.kept_share = 75;
    segment_make(&g);
    client = attach_as("caller");
    other = attach_as(NULL);
    worker_start(&w, "echo");
    ap_store_release(&w.work, SIZED);
}

static void teardown(void)
{
    worker_stop(&w);
    if (other != NULL) apiary_detach(other);
    fixture_teardown();
}

TestSuite(shares, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* A result in a block of the largest class is kept for the member. The fixture's worker takes the block for itself, before it is
 * the task's. */
static apiary_task_t result_kept(apiary_t *a)
{
    const apiary_delegate_options_t keeping = {.struct_size = sizeof keeping, .flags = APIARY_DETACH, .keep = 3600 * SECOND};
    apiary_result_t result = {.struct_size = sizeof result};
    uint32_t want = HUGE_SIZE;
    apiary_task_t task;
    int r;

    cr_assert_eq(apiary_delegate(a, "echo", &want, sizeof want, &keeping, &task), 0);
    while ((r = apiary_fetch(client, task, SECOND, NULL, 0, &result)) == APIARY_ENOTREADY) {
        ap_tidy_all(client->anchor);
        ap_tidy_all(a->anchor);
    }
    cr_assert_eq(r, 0, "%s", apiary_strerror(r));
    cr_assert_eq(result.size, HUGE_SIZE);
    return task;
}

static struct ap_share share_of(uint32_t member)
{
    return ap_share_blocks_of(client->seg, HUGE_CLASS, member);
}

static int loan_of(apiary_t *a, void **ret)
{
    return apiary_loan(a, HUGE_SIZE, ret);
}

Test(shares, a_result_that_is_kept_counts_for_who_has_delegated)
{
    apiary_task_t first = result_kept(client);
    void *loan, *more;

    result_kept(client);
    result_kept(client);
    cr_expect_eq(share_of(client->member).held, 3);
    cr_expect_eq(share_of(w.server->member).held, 0);
    cr_expect_eq(share_of(client->member).free, 1);
    cr_expect_eq(loan_of(client, &loan), APIARY_ESHARE);
    cr_assert_eq(loan_of(other, &loan), 0, "they are not the other's");
    cr_expect_eq(loan_of(other, &more), APIARY_ENOBLOCK);
    cr_expect_eq(apiary_unloan(other, loan), 0);
    cr_expect_eq(apiary_forget(client, first), 0);
    cr_assert_eq(loan_of(client, &loan), 0);
    cr_expect_eq(apiary_unloan(client, loan), 0);
}

Test(shares, what_is_kept_for_those_that_have_left_is_nobody_elses)
{
    uint32_t member = other->member;
    void *loan;

    for (int i = 0; i < 3; i++) result_kept(other);
    cr_expect_eq(share_of(member).held, 3);
    apiary_detach(other);
    other = NULL;
    cr_expect_eq(share_of(member).held, 0);
    cr_expect_eq(share_of(AP_SHARE_KEPT).held, 3);
    other = attach_as(NULL);
    cr_assert_eq(other->member, member);
    cr_expect_eq(share_of(member).held, 0);
    cr_assert_eq(loan_of(other, &loan), 0);
    cr_expect_eq(apiary_unloan(other, loan), 0);
    cr_expect_not(ap_share_block(client->seg, HUGE_CLASS, client->seg->sections[AP_SECTION_BLOCKS].count - HUGE_BLOCKS,
                                 AP_SHARE_KEPT), "together they have a share");
}

/* Three of four are the dead set's: they count as free, so the client has its share of all, and one entry is left. */
Test(shares, blocks_of_the_dead_set_count_as_free)
{
    struct ap_segment *seg = client->seg;
    uint64_t *words = ap_at(seg, AP_SECTION_BLOCKS, seg->sections[AP_SECTION_BLOCKS].count - HUGE_BLOCKS);
    uint64_t offset = seg->sections[AP_SECTION_POOL].offset + seg->sections[AP_SECTION_POOL].count - HUGE_BLOCKS * HUGE_SIZE;
    void *loans[HUGE_BLOCKS];

    for (uint32_t i = 0; i < 3; i++) {
        struct ap_dead *d = ap_dead_at(seg, i);

        d->number = i + 1;
        d->cause = AP_DEAD_SEGV;
        d->body = offset + (uint64_t)i * HUGE_SIZE;
        words[i] = AP_BLOCK(AP_BLOCK_KEPT, i, 1);
        ap_store_release(&d->life, AP_DEAD_LIFE(1, 0, AP_DEAD_KEPT));
    }
    assert_sound();
    cr_expect_eq(share_of(client->member).spare, 3);
    for (uint32_t i = 0; i < 3; i++) cr_expect_eq(loan_of(client, &loans[i]), 0, "%u", i);
    cr_expect_eq(loan_of(client, &loans[3]), APIARY_ESHARE);
    cr_expect_eq(share_of(client->member).spare, 1);
    cr_expect_eq(AP_DEAD_STATE(ap_dead_at(seg, 2)->life), AP_DEAD_KEPT, "the youngest");
    cr_expect_eq(loan_of(other, &loans[3]), 0);
    cr_expect_eq(ap_dead_at(seg, 0)->drops, 3);
    for (uint32_t i = 0; i < 3; i++) cr_expect_eq(apiary_unloan(client, loans[i]), 0);
    cr_expect_eq(apiary_unloan(other, loans[3]), 0);
}

/* ---- services ---------------------------------------------------------------------------------------------------- */

static int calls_for(const char *service, enum apiary_member_kind kind, apiary_t **ret)
{
    const apiary_attach_options_t o = {.struct_size = sizeof o, .name = "test", .swarm = service, .kind = kind};

    return apiary_attach(seg_name, &o, ret);
}

/* A process may not use up the names of services by calling for many; a queen serves the one that it names. */
Test(shares, of_the_services_for_which_a_process_calls)
{
    const uint32_t most = small.registry[AP_REGISTRY_INDEX(SERVICES)] * 75 / 100;
    apiary_t *more[8], *again, *queen = NULL, *refused = NULL;
    uint32_t n = 2; /* the caller's, and the worker's own */
    char service[16];

    for (; n < most; n++) {
        snprintf(service, sizeof service, "more%u", n);
        cr_assert_eq(calls_for(service, APIARY_CLIENT, &more[n]), 0, "%u", n);
    }
    cr_assert_eq(calls_for("caller", APIARY_CLIENT, &again), 0, "not a further one");
    cr_expect_eq(calls_for("one-more", APIARY_CLIENT, &refused), APIARY_ESHARE);
    cr_expect_eq(calls_for("one-more", APIARY_TOOL, &refused), APIARY_ESHARE);
    cr_expect_null(refused);
    cr_expect_eq(ap_service_find(client->seg, "one-more"), -1);
    cr_expect_eq(calls_for("one-more", APIARY_QUEEN, &queen), 0);
    if (queen != NULL) apiary_detach(queen);
    apiary_detach(again);
    while (n > 2) apiary_detach(more[--n]);
    cr_expect_eq(calls_for("one-more", APIARY_CLIENT, &again), 0, "those for which it called before do not count");
    apiary_detach(again);
}
