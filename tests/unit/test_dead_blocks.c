/* The blocks of the dead set: one goes over with its task, and the oldest entry gives its own up to who needs one. */
#include "registry_fixture.h"

#include "agents/runtime/queen.h"
#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "registry/routing/terms.h"
#include "shm/event.h"

#define HUGE_SIZE (1u << 20)
#define HUGE_BLOCKS 2u

static struct worker w;
static char *huge;

static void setup(void)
{
    fixture_setup();
    worker_register(&w, "server", NULL, "agent", (const char *const[]){"echo", NULL});
    huge = calloc(1, HUGE_SIZE);
    cr_assert_not_null(huge);
}

static void teardown(void)
{
    worker_go(&w);
    worker_stop(&w);
    free(huge);
    fixture_teardown();
}

TestSuite(dead_blocks, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static int delegate(size_t size, uint64_t flags, apiary_task_t *ret)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = (uint32_t)flags, .timeout = APIARY_FOREVER};

    return apiary_delegate(client, "echo", huge, size, &o, ret);
}

/* A task of that size whose workers crashed: it is in the dead set. */
static void dies(size_t size, char first)
{
    struct ap_segment *seg = client->seg;
    struct ap_slot *slot;
    apiary_task_t task;

    memset(huge, first, 8);
    cr_assert_eq(delegate(size, APIARY_DETACH, &task), 0);
    slot = ap_slot_at(seg, task.slot);
    ap_task_request(seg, task.slot, task.generation, AP_REQUEST_DEAD(AP_DEAD_SEGV));
    ap_store_relaxed(&slot->word, AP_WORD(AP_TASK_FAILED, AP_CRASHES_MAX, (uint32_t)-APIARY_ECRASHED, task.generation));
    cr_assert_eq(ap_task_free_unseen(seg, client->anchor->lane.index, task.slot, ap_slot_leave, seg), 1);
}

/* A block of the dead set is nobody's: the number of results that are kept is what it was when it goes. */
Test(dead_blocks, what_an_entry_gives_back_counts_for_nobody)
{
    struct ap_segment *seg = client->seg;
    struct ap_lane_context *c = client->anchor;
    uint64_t offset, generation, grants[AP_POOL_CLASSES + 1];
    uint32_t slot;

    seg->geometry.member_share = 75;
    cr_assert_eq(ap_task_reserve(&c->slabs, NULL, NULL, &slot), 0);
    generation = AP_WORD_GENERATION(ap_slot_at(seg, slot)->word);
    cr_assert_eq(ap_pool_take(seg, &c->lane, &c->pool_hint, 100, &offset), 0);
    ap_pool_attach(seg, offset, AP_BLOCK_REQUEST, slot, generation);
    cr_assert_eq(ap_pool_keep(seg, offset, slot, generation, 0, 5), 1);
    for (uint32_t i = 0; i <= AP_POOL_CLASSES; i++)
        ap_store_relaxed(&seg->header->kept_grants[i], (seg->ops->now() >> 20 & 0x7fffffff) << 32); /* a look, all used up */
    memcpy(grants, seg->header->kept_grants, sizeof grants);
    cr_expect_eq(ap_pool_free_kept(seg, offset, 0, 5), 1);
    cr_expect_arr_eq(seg->header->kept_grants, grants, sizeof grants);
    memset(seg->header->kept_grants, 0, sizeof grants);
    ap_task_unreserve(&c->slabs, slot);
}

/* The references of tasks that are gone. */
static void ring_empty(void)
{
    struct ap_consumer c;

    ap_consumer_init(&c, client->seg, w.queue);
    while (ap_queue_pop(&c) != 0) {}
}

/* The numbers of the entries, as a text. */
static const char *entries(void)
{
    static char text[256];
    apiary_dead_t d = {.struct_size = sizeof d};
    size_t n = 0;

    text[0] = '\0';
    for (uint64_t after = 0; apiary_dead_next(client, after, &d) == 1; after = d.number)
        n += (size_t)snprintf(text + n, sizeof text - n, "%llu ", (unsigned long long)d.number);
    return text;
}

static uint32_t events(uint32_t kind)
{
    uint32_t n = 0;
    struct ap_event e;

    for (uint64_t i = 1; i < ap_load_relaxed(&client->seg->header->event_next); i++)
        n += ap_event_read(client->seg, i, &e) == 1 && e.kind == kind;
    return n;
}

Test(dead_blocks, the_oldest_with_such_a_block_goes_for_who_needs_one)
{
    apiary_task_t task;

    dies(100, 's');
    dies(HUGE_SIZE, 'a');
    dies(HUGE_SIZE, 'b');
    cr_assert_str_eq(entries(), "1 2 3 ");
    cr_expect_eq(delegate(HUGE_SIZE, 0, &task), 0, "all blocks of the size are the dead set's");
    cr_expect_str_eq(entries(), "1 3 ", "one of another size is of no use");
    cr_expect_eq(ap_dead_at(client->seg, 0)->drops, 1);
    cr_expect_eq(events(AP_EVENT_DEAD_DROPPED), 1);
    cr_expect_eq(delegate(HUGE_SIZE, 0, &task), 0);
    cr_expect_str_eq(entries(), "1 ");
    cr_expect_eq(delegate(HUGE_SIZE, 0, &task), APIARY_ENOBLOCK, "they are the tasks' now");
    cr_expect_str_eq(entries(), "1 ");
    cr_expect_eq(ap_dead_at(client->seg, 0)->drops, 2);
    assert_sound();
}

Test(dead_blocks, so_it_is_for_a_loan)
{
    void *loans[HUGE_BLOCKS + 1];

    for (uint32_t i = 0; i < HUGE_BLOCKS; i++) dies(HUGE_SIZE, 'a');
    for (uint32_t i = 0; i < HUGE_BLOCKS; i++) cr_expect_eq(apiary_loan(client, HUGE_SIZE, &loans[i]), 0);
    cr_expect_eq(apiary_loan(client, HUGE_SIZE, &loans[HUGE_BLOCKS]), APIARY_ENOBLOCK);
    cr_expect_str_eq(entries(), "");
    for (uint32_t i = 0; i < HUGE_BLOCKS; i++) cr_expect_eq(apiary_unloan(client, loans[i]), 0);
}

/* A result has no other place; a window only brings it earlier, and parts are joined without one. */
Test(dead_blocks, for_a_window_of_parts_none_goes)
{
    struct ap_worker worker = {.seg = client->seg, .context = client->anchor};
    struct ap_agent agent = {.worker = &worker};
    struct ap_job job = {.agent = &agent};
    apiary_task_t task;
    uint64_t block;

    for (uint32_t i = 0; i < HUGE_BLOCKS; i++) dies(HUGE_SIZE, 'a');
    cr_assert_eq(delegate(1, 0, &task), 0);
    cr_assert(ap_task_find(client, task, &job.at, &job.token));
    cr_expect_eq(ap_job_block_spare(&job, HUGE_SIZE, &block), APIARY_ENOBLOCK);
    cr_expect_eq(ap_dead_at(client->seg, 0)->drops, 0);
    cr_expect_eq(ap_job_block(&job, HUGE_SIZE, &block), 0);
    cr_expect_eq(ap_dead_at(client->seg, 0)->drops, 1);
}

Test(dead_blocks, while_blocks_are_free_no_entry_goes)
{
    apiary_task_t task;

    dies(HUGE_SIZE, 'a');
    cr_expect_eq(delegate(HUGE_SIZE, 0, &task), 0);
    cr_expect_str_eq(entries(), "1 ");
    cr_expect_eq(ap_dead_make_room(client->seg, client->anchor->lane.index, HUGE_SIZE + 1), 0, "no block is so large");
    cr_expect_str_eq(entries(), "1 ");
}

Test(dead_blocks, what_is_delegated_anew_keeps_its_block)
{
    void *loan;
    const struct ap_slot *slot;
    uint64_t body;
    apiary_task_t task;

    dies(HUGE_SIZE, 'a');
    cr_assert_eq(apiary_loan(client, HUGE_SIZE, &loan), 0);
    body = ap_dead_at(client->seg, 0)->body;
    for (uint32_t i = 0; body == 0; i++) body = ap_dead_at(client->seg, i)->body;
    cr_expect_eq(apiary_dead_retry(client, 1, &task), 0, "there is no second block of the size");
    slot = ap_slot_at(client->seg, task.slot);
    cr_expect_eq(slot->body, body);
    cr_expect_eq(memcmp(ap_body_in_pool(client->seg, slot->body, HUGE_SIZE), "aaaaaaaa", 9), 0);
    cr_expect_str_eq(entries(), "");
    assert_sound();
    cr_expect_eq(apiary_unloan(client, loan), 0);
    cr_expect_eq(apiary_cancel(client, task), 0);
    cr_expect_eq(blocks_in_use(), 0);
}

/* Refused before a slot is taken, and (the result finds no row) afterwards. */
Test(dead_blocks, what_is_refused_is_the_entrys_again)
{
    apiary_delegate_options_t keeping = {.struct_size = sizeof keeping, .flags = APIARY_DETACH, .keep = 3600 * SECOND};
    apiary_task_t task, held[5];
    char body[8];

    dies(HUGE_SIZE, 'a');
    for (uint32_t i = 0; i < client->seg->sections[AP_SECTION_DEAD].count; i++) {
        struct ap_dead *d = ap_dead_at(client->seg, i);
        if (AP_DEAD_STATE(d->life) == AP_DEAD_KEPT) d->carried.keep = 3600 * SECOND;
    }
    for (int i = 0; i < 5; i++) cr_assert_eq(delegate(1, 0, &held[i]), 0);
    cr_expect_eq(apiary_dead_retry(client, 1, &task), APIARY_ELIMIT);
    cr_expect_eq(apiary_dead_body(client, 1, body, sizeof body), HUGE_SIZE);
    assert_sound();
    for (int i = 0; i < 5; i++) cr_assert_eq(apiary_cancel(client, held[i]), 0);
    for (int i = 0; i < 5; i++) {
        apiary_result_t result = {.struct_size = sizeof result};
        cr_assert_eq(apiary_poll(client, held[i], &result), 0);
        cr_assert_eq(apiary_release(client, &result), 0);
    }
    for (uint32_t i = 0; i < client->seg->sections[AP_SECTION_KEPT].count; i++) {
        ring_empty();
        cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &keeping, &task), 0);
        cr_assert_eq(ap_task_cancel_queued(client->seg, task.slot, ap_slot_at(client->seg, task.slot)->word, AP_TASK_CANCELLED,
                                           APIARY_ECANCELLED), 1);
        cr_assert_eq(ap_task_free_unseen(client->seg, client->anchor->lane.index, task.slot, ap_slot_leave, client->seg), 1);
    }
    ring_empty();
    cr_expect_eq(apiary_dead_retry(client, 1, &task), APIARY_ETABLEFULL);
    memset(body, 0, sizeof body);
    cr_expect_eq(apiary_dead_body(client, 1, body, sizeof body), HUGE_SIZE);
    cr_expect_eq(memcmp(body, "aaaaaaaa", sizeof body), 0);
    ap_pool_sweep(client->seg);
    cr_expect_eq(blocks_in_use(), 1);
    assert_sound();
    cr_expect_eq(apiary_dead_discard(client, 1), 0);
    cr_expect_eq(blocks_in_use(), 0);
}

/* A slot that names a block of another: neither an entry nor a result that is kept has that. */
Test(dead_blocks, what_is_not_the_tasks_is_not_kept)
{
    struct ap_segment *seg = client->seg;
    apiary_delegate_options_t keeping = {.struct_size = sizeof keeping, .flags = APIARY_DETACH, .keep = 3600 * SECOND};
    apiary_result_t result = {.struct_size = sizeof result};
    struct ap_slot *slot;
    apiary_task_t task;
    void *loan;
    char body[8];

    cr_assert_eq(apiary_loan(client, HUGE_SIZE, &loan), 0);
    cr_assert_eq(delegate(1, APIARY_DETACH, &task), 0);
    slot = ap_slot_at(seg, task.slot);
    slot->body = ap_pool_offset(seg, loan);
    slot->body_size = HUGE_SIZE;
    ap_task_request(seg, task.slot, task.generation, AP_REQUEST_DEAD(AP_DEAD_SEGV));
    slot->word = AP_WORD(AP_TASK_FAILED, AP_CRASHES_MAX, (uint32_t)-APIARY_ECRASHED, task.generation);
    cr_assert_eq(ap_task_free_unseen(seg, client->anchor->lane.index, task.slot, ap_slot_leave, seg), 1);
    cr_expect_str_eq(entries(), "1 ");
    cr_expect_eq(apiary_dead_body(client, 1, body, sizeof body), 0);
    cr_expect_eq(apiary_dead_retry(client, 1, &task), APIARY_ENORESULT);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &keeping, &task), 0);
    slot = ap_slot_at(seg, task.slot);
    slot->result = ap_pool_offset(seg, loan);
    slot->result_size = HUGE_SIZE;
    slot->word = AP_WORD(AP_TASK_DONE, 0, AP_NO_LANE, task.generation);
    cr_assert_eq(ap_task_free_unseen(seg, client->anchor->lane.index, task.slot, ap_slot_leave, seg), 1);
    cr_assert_eq(apiary_fetch(client, task, 0, body, sizeof body, &result), 0);
    cr_expect_eq(result.code, APIARY_ECORRUPT);
    cr_expect_eq(result.size, 0);
    assert_sound();
    cr_expect_eq(apiary_unloan(client, loan), 0);
}

/* An entry whose block is another's by now neither takes it away nor names it any longer. */
Test(dead_blocks, a_block_that_has_gone_another_way_is_left_there)
{
    struct ap_segment *seg = client->seg;
    uint32_t lane = client->anchor->lane.index, row = 0;
    uint64_t *word, life, other = AP_BLOCK(AP_BLOCK_REQUEST, 77, 5);
    struct ap_dead *d;
    apiary_task_t task;

    dies(HUGE_SIZE, 'a');
    row = (uint32_t)ap_dead_find(seg, 1, &life);
    d = ap_dead_at(seg, row);
    word = ap_at(seg, AP_SECTION_BLOCKS, ap_pool_number(seg, d->body));
    *word = other;
    cr_expect_eq(apiary_dead_retry(client, 1, &task), APIARY_ECORRUPT);
    cr_expect_eq(*word, other);
    d->life = AP_DEAD_LIFE(AP_DEAD_EPOCH(life), lane, AP_DEAD_TAKEN);
    ap_dead_withdraw(seg, lane, 0);
    cr_expect_eq(*word, other);
    cr_expect_eq(d->life, life);
    cr_expect_eq(d->body, 0);
    cr_expect_eq(apiary_dead_retry(client, 1, &task), APIARY_ENORESULT);
    *word = 0;
    assert_sound();
}

/* ---- what was refused last is what is told --------------------------------------------------------------------- */

static int told(void)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};

    return apiary_refusal(client, &refusal) == 0 ? refusal.error : 0;
}

Test(dead_blocks, a_refusal_is_told_whatever_it_comes_from)
{
    apiary_delegate_options_t keeping = {.struct_size = sizeof keeping, .flags = APIARY_DETACH, .keep = 3600 * SECOND},
                              later = keeping;
    struct ap_segment *seg = client->seg;
    uint32_t capability = (uint32_t)ap_capability_find(seg, "echo", 4);
    apiary_task_t task;
    void *loan;

    later.delay = SECOND;
    for (uint32_t i = 0, row; i < seg->sections[AP_SECTION_KEPT].count; i++)
        cr_assert_eq(ap_kept_take(seg, client->anchor->lane.index, &row), 0);
    cr_expect_eq(apiary_delegate(client, "nobody", "x", 1, NULL, &task), APIARY_ENOCAP);
    cr_expect_eq(told(), APIARY_ENOCAP);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &keeping, &task), APIARY_ETABLEFULL);
    cr_expect_eq(told(), APIARY_ETABLEFULL);
    cr_expect_eq(apiary_delegate(client, "nobody", "x", 1, NULL, &task), APIARY_ENOCAP);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &later, &task), APIARY_ETABLEFULL, "it has a delay");
    cr_expect_eq(told(), APIARY_ETABLEFULL);
    ap_store_relaxed(&ap_capability_at(seg, capability)->terms, 1);
    ap_store_relaxed(&ap_capability_at(seg, capability)->majors, 1);
    *ap_term_word(ap_terms_at(seg, capability), AP_TERM_bare) = AP_BARE_ERROR + 1;
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &later, &task), APIARY_ENOMAJOR);
    cr_expect_eq(told(), APIARY_ENOMAJOR);
    cr_assert_eq(apiary_loan(client, 100, &loan), 0);
    cr_expect_eq(apiary_delegate_loan(client, "nobody", loan, 1, NULL, &task), APIARY_ENOCAP);
    cr_expect_eq(apiary_unloan(client, loan), 0);
    cr_expect_eq(apiary_delegate_loan(client, "nobody", loan, 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(told(), APIARY_EINVAL);
}
