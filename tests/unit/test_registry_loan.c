/* Bodies that are lent: written in place, delegated or given back once. */
#include "registry_fixture.h"

TestSuite(loan, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

Test(loan, is_delegated_or_given_back)
{
    struct worker w;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    char *body, *other;

    cr_assert_eq(apiary_loan(client, (1 << 20) + 1, (void **)&body), APIARY_ETOOLARGE);
    cr_assert_eq(apiary_loan(client, 1 << 20, (void **)&body), 0);
    cr_assert_eq((uintptr_t)body % 4096, 0);
    memset(body, 'b', 1 << 20);
    cr_assert_eq(apiary_delegate_loan(client, "echo", body, 1 << 20, NULL, &task), APIARY_ENOCAP);
    cr_assert_eq(blocks_in_use(), 1, "only success takes it");
    worker_start(&w, "echo");
    ap_store_release(&w.work, SIZED);
    *(uint32_t *)(void *)body = 10;
    cr_assert_eq(apiary_delegate_loan(client, "echo", body + 64, 5, NULL, &task), APIARY_EINVAL);
    cr_assert_eq(apiary_delegate_loan(client, "echo", body, (1 << 20) + 1, NULL, &task), APIARY_EINVAL);
    cr_assert_eq(apiary_delegate_loan(client, "echo", body, 1 << 20, NULL, &task), 0);
    cr_assert_eq(apiary_delegate_loan(client, "echo", body, 1 << 20, NULL, &task), APIARY_EINVAL, "it is taken");
    cr_assert_eq(apiary_unloan(client, body), APIARY_EINVAL);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    cr_assert_eq(result.size, 10);
    apiary_release(client, &result);
    cr_assert_eq(apiary_loan(client, 100, (void **)&other), 0);
    cr_assert_eq(apiary_unloan(client, other), 0);
    cr_assert_eq(apiary_unloan(client, other), APIARY_EINVAL);
    cr_assert_eq(apiary_unloan(client, NULL), APIARY_EINVAL);
    cr_assert_eq(slots_in_use(), 0);
    cr_assert_eq(blocks_in_use(), 0);
    cr_assert_eq(busy_tickets(), 0);
    assert_sound();
    worker_stop(&w);
}

/* The lane owns what another part of the library has just taken, too, and has lent something besides. */
Test(loan, only_what_was_lent_is_given_back)
{
    struct ap_lane_context *c;
    apiary_t *other = attach_as(NULL);
    apiary_task_t task;
    struct worker w;
    uint64_t offset;
    void *lent, *own;
    int error;

    worker_start(&w, "echo");
    cr_assert_eq(apiary_loan(client, 100, &lent), 0);
    c = ap_context(client, &error);
    cr_assert_eq(ap_pool_take(client->seg, &c->lane, &c->pool_hint, 100, &offset), 0);
    own = ap_at_offset(client->seg, offset, 100);
    cr_expect_eq(apiary_unloan(client, own), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_loan(client, "echo", own, 100, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_unloan(other, lent), APIARY_EINVAL, "of another handle");
    own = (char *)other->seg->base + ((char *)lent - (char *)client->seg->base);
    cr_expect_eq(apiary_unloan(other, own), APIARY_EINVAL, "the same by its own address of it");
    cr_expect_eq(apiary_delegate_loan(other, "echo", own, 100, NULL, &task), APIARY_EINVAL);
    cr_assert_eq(blocks_in_use(), 2);
    cr_expect_eq(apiary_unloan(client, lent), 0);
    cr_expect_eq(apiary_unloan(client, lent), APIARY_EINVAL);
    cr_assert_eq(ap_pool_free_owned(client->seg, &c->lane, offset), 1);
    apiary_detach(other);
    worker_stop(&w);
}

Test(loan, survives_a_full_queue)
{
    struct worker w;
    apiary_task_t task;
    apiary_t *free_caller = attach_as(NULL);
    const char *capabilities[] = {"echo", NULL};
    void *body;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", capabilities), 0);
    cr_assert_eq(apiary_loan(free_caller, 100, &body), 0);
    memset(body, 'l', 100);
    while (apiary_delegate(free_caller, "echo", "x", 1, NULL, &task) == 0) {}
    cr_assert_eq(apiary_delegate_loan(free_caller, "echo", body, 100, NULL, &task), APIARY_EQUEUEFULL);
    cr_assert_eq(blocks_in_use(), 1);
    cr_assert_eq(slots_in_use(), 8);
    worker_go(&w);
    while (apiary_delegate_loan(free_caller, "echo", body, 100, NULL, &task) == APIARY_EQUEUEFULL) sched_yield();
    cr_assert_eq(apiary_unloan(free_caller, body), APIARY_EINVAL);
    apiary_detach(free_caller);
    worker_stop(&w);
}

static void *lend(void *ret)
{
    sem_t *steps = ret;
    void **body = (void **)(steps + 2);

    cr_expect_eq(apiary_loan(client, 100, body), 0);
    sem_post(&steps[0]);
    sem_wait(&steps[1]);
    return NULL;
}

/* Another thread's loan becomes the caller's by the attempt already. */
Test(loan, of_another_thread_that_is_refused)
{
    struct {
        sem_t steps[2];
        void *body;
    } with = {.body = NULL};
    struct ap_lane_context *own, *lender;
    pthread_t thread;
    apiary_task_t task;
    uint64_t capacity, word;
    int error = 0;

    own = ap_context(client, &error);
    sem_init(&with.steps[0], 0, 0);
    sem_init(&with.steps[1], 0, 0);
    cr_assert_eq(pthread_create(&thread, NULL, lend, &with), 0);
    sem_wait(&with.steps[0]);
    lender = client->contexts != own ? client->contexts : client->contexts->next;
    cr_expect(lender->loans == 1 && own->loans == 0);
    cr_expect_eq(apiary_delegate_loan(client, "nobody", with.body, 100, NULL, &task), APIARY_ENOCAP);
    cr_expect(lender->loans == 0 && own->loans == 1);
    cr_assert_eq(ap_pool_block(client->seg, ap_pool_offset(client->seg, with.body), &capacity, &word), 0);
    cr_expect_eq(word, AP_BLOCK(AP_BLOCK_OWNED, own->lane.index, own->lane.epoch), "%llx", (unsigned long long)word);
    sem_post(&with.steps[1]);
    pthread_join(thread, NULL);
    cr_expect_eq(apiary_unloan(client, with.body), 0);
    cr_expect_eq(own->loans, 0);
    cr_expect_eq(blocks_in_use(), 0);
}

/* A loan that became a task's request is no loan any more: its lane may close. */
Test(loan, is_over_when_it_is_delegated)
{
    struct ap_lane_context *own;
    struct worker w;
    int error = 0;

    worker_start(&w, "echo");
    own = ap_context(client, &error);
    for (uint32_t i = 0; i < 3; i++) {
        apiary_result_t result = {.struct_size = sizeof result};
        apiary_task_t task;
        void *body, *kept;

        cr_assert_eq(apiary_loan(client, 100, &kept), 0);
        cr_assert_eq(apiary_loan(client, 100, &body), 0);
        cr_expect_eq(own->loans, 2);
        memset(body, 'o', 100);
        cr_assert_eq(apiary_delegate_loan(client, "echo", body, 100, NULL, &task), 0);
        cr_expect_eq(own->loans, 1);
        cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
        cr_expect(result.size == 100 && memcmp(result.data, "ooo", 3) == 0);
        cr_expect_eq(apiary_release(client, &result), 0);
        cr_expect_eq(apiary_unloan(client, kept), 0);
        cr_expect_eq(own->loans, 0);
    }
    worker_stop(&w);
}
