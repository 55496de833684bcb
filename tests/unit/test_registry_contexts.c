/* What each thread of a client has of its own: who opens and closes it, who else may use it, and what is recovered for it. The
 * tests answer by hand. */
#include <malloc.h>
#include <sys/syscall.h>

#include "registry_fixture.h"

static struct ap_agent_registration agent;
static struct ap_swarm_registration swarm;

static void setup(void)
{
    static const char *const echo[] = {"echo", NULL};

    fixture_setup();
    agent = (struct ap_agent_registration){.name = "agent", .capabilities = echo, .lane = client->anchor->lane.index};
    swarm = (struct ap_swarm_registration){.service = "server", .version = "1.0", .lane = client->anchor->lane.index,
                                           .member = client->member, .agents = &agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, &swarm), 0);
}

static void teardown(void)
{
    ap_swarm_deregister(client->seg, client->anchor->lane.index, &swarm);
    fixture_teardown();
}

TestSuite(contexts, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static void answer(apiary_task_t task)
{
    uint64_t token = 0;

    cr_assert_eq(ap_task_claim(client->seg, client->anchor->lane.index, agent.queue, AP_REF(task.slot, task.generation),
                               &token), 1);
    cr_assert_eq(ap_task_finish(client->seg, task.slot, token, 0), 0);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

/* A thread that does what it is told, and then stays or ends. */
struct thread {
    pthread_t id;
    int (*work)(struct thread *);
    apiary_task_t task;
    uint32_t lane;
    sem_t did, may_end;
    int result;
};

static void *thread_main(void *arg)
{
    struct thread *t = arg;

    t->result = t->work(t);
    sem_post(&t->did);
    sem_wait(&t->may_end);
    return NULL;
}

static void begin(struct thread *t, int (*work)(struct thread *))
{
    t->work = work;
    sem_init(&t->did, 0, 0);
    sem_init(&t->may_end, 0, 0);
    cr_assert_eq(pthread_create(&t->id, NULL, thread_main, t), 0);
    sem_wait(&t->did);
}

static void end(struct thread *t)
{
    sem_post(&t->may_end);
    pthread_join(t->id, NULL);
}

static int delegates(struct thread *t)
{
    int r = apiary_delegate(client, "echo", "x", 1, NULL, &t->task);

    t->lane = r == 0 ? ap_context_here(client)->lane.index : AP_NO_LANE;
    return r;
}

/* The C library gives its stack to the next thread, and what the data of the thread's keys was with it. */
static int delegates_and_vanishes(struct thread *t)
{
    delegates(t);
    sem_post(&t->did);
    return (int)syscall(SYS_exit, 0);
}

static int delegates_anew(struct thread *t)
{
    return ap_context_here(client) == NULL ? delegates(t) : APIARY_EINVAL;
}

static int collects(struct thread *t)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r = apiary_poll(client, t->task, &result);

    return r == 0 ? apiary_release(client, &result) : r;
}

/* Opens a lane, runs the task if there is one, and ends without a word. */
static const apiary_task_t *dying_task;
static void *die(void *ret)
{
    struct ap_lane_handle lane;
    uint64_t token;

    cr_assert_eq(ap_lane_open(client->seg, client->member, &lane), 0);
    if (dying_task != NULL)
        cr_assert_eq(ap_task_claim(client->seg, lane.index, agent.queue, AP_REF(dying_task->slot, dying_task->generation),
                                   &token), 1);
    *(uint32_t *)ret = lane.index;
    return NULL;
}

static uint32_t dead_lane(void)
{
    uint32_t lane = AP_NO_LANE;
    pthread_t id;

    cr_assert_eq(pthread_create(&id, NULL, die, &lane), 0);
    pthread_join(id, NULL);
    cr_assert_eq(ap_lane_dead(client->seg, lane), 1);
    return lane;
}

/* ---- what a context begins with --------------------------------------------------------------------------------- */

Test(contexts, in_memory_that_is_not_fresh)
{
    struct thread t = {.lane = 0};

    mallopt(M_PERTURB, 0x5a);
    for (int i = 0; i < 3; i++) {
        begin(&t, delegates);
        cr_expect_eq(t.result, 0);
        answer(t.task);
        end(&t);
        cr_expect_eq(collects(&t), 0);
    }
    mallopt(M_PERTURB, 0);
    cr_expect_eq(slots_in_use(), 0);
    cr_expect_eq(busy_tickets(), 0);
    cr_expect_eq(lanes_live(client->seg), 1);
}

/* Each has a ticket of its own lane; by whom a task is collected is all one. */
Test(contexts, a_task_is_collected_by_any_thread)
{
    struct thread t = {.lane = 0}, other;

    cr_assert_eq(delegates(&other), 0);
    answer(other.task);
    cr_expect_eq(collects(&other), 0, "so it has a ticket at hand");
    begin(&t, delegates);
    cr_assert_eq(t.result, 0);
    cr_expect_neq(t.lane, client->anchor->lane.index);
    answer(t.task);
    cr_expect_eq(busy_tickets(), 1);
    cr_expect_eq(collects(&t), 0);
    cr_expect_eq(busy_tickets(), 0);
    cr_expect_eq(slots_in_use(), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &other.task), 0);
    answer(other.task);
    begin(&other, collects);
    cr_expect_eq(other.result, 0);
    end(&other);
    cr_expect_eq(busy_tickets(), 0);
    cr_expect_eq(slots_in_use(), 0);
    end(&t);
    cr_expect_eq(lanes_live(client->seg), 1);
}

/* ---- the end of a thread ---------------------------------------------------------------------------------------- */

Test(contexts, what_an_ended_thread_left_goes_with_its_last_task)
{
    struct thread t = {.lane = 0}, next = {.lane = 0};

    begin(&t, delegates);
    end(&t);
    cr_expect_eq(lanes_live(client->seg), 2, "it has a task yet");
    cr_expect_eq(client->shared, 1);
    answer(t.task);
    /* Another process may say that nobody collects it: then the next thread that begins has the lane closed. */
    ap_task_request(client->seg, t.task.slot, t.task.generation, AP_REQUEST_ABANDON);
    cr_expect_eq(lanes_live(client->seg), 2);
    begin(&next, delegates);
    cr_expect_eq(next.result, 0);
    cr_expect_eq(client->shared, 0);
    cr_expect_eq(lanes_live(client->seg), 2, "its own, and the first");
    answer(next.task);
    cr_expect_eq(collects(&next), 0);
    end(&next);
    cr_expect_eq(lanes_live(client->seg), 1);
    cr_expect_eq(client->contexts, client->anchor);
    cr_expect_null(client->anchor->next);
}

Test(contexts, an_interrupt_rings_every_lane_of_the_handle)
{
    struct thread t = {.lane = 0};
    uint32_t *bells[2], raised[2], before = client->interrupts;

    begin(&t, delegates);
    bells[0] = &client->anchor->lane.lane->bell;
    bells[1] = &ap_lane_at(client->seg, t.lane)->bell;
    for (int i = 0; i < 2; i++) raised[i] = ap_bell_raise(bells[i]);
    cr_expect_eq(apiary_interrupt(client), 0);
    for (int i = 0; i < 2; i++) cr_expect_neq(ap_load_acquire(bells[i]), raised[i], "%d", i);
    cr_expect_eq(client->interrupts, before + 1);
    ap_give_up(client, t.task);
    end(&t);
}

Test(contexts, a_thread_has_nothing_of_one_that_ended_untold)
{
    struct thread vanishing, next;
    const struct ap_lane *lane;

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    cr_skip_test("it does not know of threads that end without it");
#endif
    begin(&vanishing, delegates_and_vanishes);
    pthread_join(vanishing.id, NULL);
    lane = ap_lane_at(client->seg, vanishing.lane);
    cr_assert_neq(vanishing.lane, AP_NO_LANE);
    begin(&next, delegates_anew);
    cr_expect_eq(next.result, 0);
    cr_expect_neq(next.lane, vanishing.lane, "the dead one's, and not recovered");
    while (AP_LIFE_STATE(ap_load_acquire(&lane->life)) != AP_LIFE_FREE) ap_reap_asking(client->seg, AP_NO_LANE, &ap_registry_hooks);
    end(&next);
}

/* ---- waits ------------------------------------------------------------------------------------------------------ */

Test(contexts, a_wait_leaves_its_thread_as_it_was)
{
    apiary_result_t result = {.struct_size = sizeof result};
    struct thread t;
    int type = -1;

    cr_assert_eq(delegates(&t), 0);
    cr_expect_eq(apiary_await(client, t.task, MS, &result), APIARY_ENOTREADY);
    cr_assert_eq(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type), 0);
    cr_expect_eq(type, PTHREAD_CANCEL_DEFERRED, "it could be cancelled anywhere");
    ap_give_up(client, t.task);
}

/* Before it sleeps it looks whether somebody is alive who will wake it; here it does not even spin before. */
Test(contexts, who_is_about_to_sleep_recovers_the_dead)
{
    apiary_result_t result = {.struct_size = sizeof result};
    struct thread t;
    uint64_t *word;

    cr_assert_eq(delegates(&t), 0);
    dying_task = &t.task;
    dead_lane();
    word = &ap_slot_at(client->seg, t.task.slot)->word;
    cr_assert_eq(AP_WORD_STATE(*word), AP_TASK_RUNNING);
    client->anchor->spin.never = true;
    cr_expect_eq(apiary_await(client, t.task, MS, &result), APIARY_ENOTREADY);
    cr_expect_eq(*word, AP_WORD(AP_TASK_QUEUED, 0, agent.queue, t.task.generation) | AP_WORD_LOST_STARTS(1));
    cr_expect_eq(lanes_live(client->seg), 1);
    ap_give_up(client, t.task);
}

/* Of a newer program: what this library does not know is 0. */
Test(contexts, results_of_another_size_are_whole)
{
    struct {
        apiary_result_t r;
        uint64_t more;
    } results[2] = {{.r = {.struct_size = sizeof results[0]}, .more = 7}, {.more = 7}};
    struct thread t[2];
    apiary_task_t both[2];
    size_t n = 0;

    for (int i = 0; i < 2; i++) {
        cr_assert_eq(delegates(&t[i]), 0);
        answer(both[i] = t[i].task);
    }
    cr_assert_eq(apiary_await_batch(client, both, 2, 0, &results[0].r, &n), 0);
    cr_expect_eq(n, 2);
    for (int i = 0; i < 2; i++) {
        cr_expect(results[i].more == 0 && results[i].r.struct_size == sizeof results[0] && results[i].r.attempts == 1, "%d", i);
        cr_expect_eq(apiary_release(client, &results[i].r), 0);
    }
}

/* ---- lanes ------------------------------------------------------------------------------------------------------ */

static uint32_t take_lanes(struct ap_lane_handle *ret)
{
    uint32_t n = 0;

    while (n < small.lanes && ap_lane_open(client->seg, client->member, &ret[n]) == 0) n++;
    return n;
}

/* A thread for which there is no lane borrows one of its process to give a result back. */
Test(contexts, without_a_lane_a_result_is_collected_all_the_same)
{
    struct ap_lane_handle held[32];
    struct thread t = {.lane = 0};
    uint32_t n;

    cr_assert_eq(delegates(&t), 0);
    answer(t.task);
    n = take_lanes(held);
    begin(&t, collects);
    cr_expect_eq(t.result, 0);
    end(&t);
    cr_expect_eq(slots_in_use(), 0);
    cr_expect_eq(busy_tickets(), 0);
    begin(&t, delegates);
    cr_expect_eq(t.result, APIARY_ENOLANE);
    end(&t);
    while (n > 0) ap_lane_close(&held[--n]);
    cr_expect_eq(lanes_live(client->seg), 1);
}

/* The dead are recovered where there is no lane, and are left alone where there is one. */
Test(contexts, a_lane_of_the_dead_is_had_where_there_is_no_other)
{
    uint32_t dead = dead_lane(), n;
    struct ap_lane_handle held[32];
    struct thread t = {.lane = 0};

    begin(&t, delegates);
    cr_expect_eq(t.result, 0);
    cr_expect_eq(ap_lane_dead(client->seg, dead), 1);
    cr_expect_eq(lanes_live(client->seg), 3, "one more");
    ap_give_up(client, t.task);
    end(&t);
    n = take_lanes(held);
    cr_expect_eq(n, small.lanes - 2, "the first and the dead one are not to be had");
    begin(&t, delegates);
    cr_expect_eq(t.result, 0);
    cr_expect_eq(t.lane, dead);
    ap_give_up(client, t.task);
    end(&t);
    while (n > 0) ap_lane_close(&held[--n]);
    cr_expect_eq(lanes_live(client->seg), 1);
}
