/* Tasks of one dedup key when somebody dies: the worker of the leader or of a follower that is being given its outcome, the caller
 * of one of them (registry/conflict/coalesce.h). The worker acts by hand, in a child that is killed. */
#include "registry_fixture.h"

#include "registry/client/carried.h"
#include "registry/conflict/coalesce.h"
#include "registry/routing/dead.h"
#include "shm/due.h"
#include "shm/follow.h"

#define KEY 77

static struct worker other;
static const char *const echo[] = {"echo", NULL};
static const apiary_delegate_options_t of_key = {.struct_size = sizeof of_key, .dedup_key = KEY, .timeout = 3600 * SECOND};

static void setup(void)
{
    fixture_setup();
}

static void teardown(void)
{
    if (other.server != NULL) {
        worker_go(&other);
        worker_stop(&other);
    }
    fixture_teardown();
}

TestSuite(coalesce_deaths, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* ---- the killed ------------------------------------------------------------------------------------------------- */

static apiary_task_t tasks[3]; /* the leader, and two that follow it */
static bool delivers, detached; /* the worker gives a follower its outcome; they are fire and forget */
static uint32_t starts_lost;   /* that the leader has had before */

static void say(int fd)
{
    if (write(fd, "x", 1) != 1) _exit(90);
}

static uint32_t state_of(apiary_task_t task)
{
    uint64_t word = ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word);

    return AP_WORD_GENERATION(word) == task.generation ? AP_WORD_STATE(word) : AP_TASK_FREE;
}

static uint64_t word_of(apiary_task_t task)
{
    return ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word);
}

/* The first that follows. */
static bool deliver(apiary_t *a, uint32_t lane, uint32_t queue)
{
    for (uint32_t i = 0; i < a->seg->geometry.tasks; i++) {
        uint64_t word = ap_load_acquire(&ap_slot_at(a->seg, i)->word);

        if (AP_WORD_STATE(word) == AP_TASK_SCHEDULED) return ap_task_share(a->seg, i, word, lane, queue) != 0;
    }
    return false;
}

static void queen_body(int ready)
{
    apiary_t *a = attach_as("server");
    struct ap_agent_registration agent = {.name = "agent", .capabilities = echo, .lane = a->anchor->lane.index};
    struct ap_swarm_registration r = {.service = "server", .lane = agent.lane, .member = a->member, .agents = &agent,
                                      .agent_count = 1};
    struct ap_consumer q;
    uint64_t ref, token;

    if (ap_swarm_register(a->seg, &r) != 0) _exit(2);
    say(ready);
    ap_consumer_init(&q, a->seg, agent.queue);
    while ((ref = ap_queue_pop(&q)) == 0) sched_yield();
    if (!ap_task_claim(a->seg, agent.lane, agent.queue, ref, &token)) _exit(3);
    ap_slot_at(a->seg, AP_REF_SLOT(ref))->word += AP_WORD_LOST_STARTS(starts_lost);
    say(ready);
    if (delivers) {
        while (!deliver(a, agent.lane, agent.queue)) sched_yield();
        say(ready);
    }
    for (;;) pause();
}

static void delegate_all(int ready)
{
    apiary_delegate_options_t o = of_key;
    char byte;

    if (detached) o.flags = APIARY_DETACH;
    cr_assert_eq(apiary_delegate(client, "echo", "leader", 6, &o, &tasks[0]), 0);
    cr_assert_eq(read(ready, &byte, 1), 1, "the child failed");
    cr_assert_eq(state_of(tasks[0]), AP_TASK_RUNNING);
    for (int i = 1; i < 3; i++) {
        cr_assert_eq(apiary_delegate(client, "echo", "follower", 8, &o, &tasks[i]), 0);
        if (!delivers) cr_assert_eq(state_of(tasks[i]), AP_TASK_SCHEDULED);
    }
    if (delivers) cr_assert_eq(read(ready, &byte, 1), 1, "the child failed");
}

/* The worker of the first is killed; there is another provider, whose queue nobody drains. */
static void worker_killed(void (*before)(void))
{
    int ends[2], status;
    char byte;
    pid_t pid;

    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        close(ends[0]);
        queen_body(ends[1]);
        _exit(1);
    }
    close(ends[1]);
    cr_assert_eq(read(ends[0], &byte, 1), 1, "the child failed");
    delegate_all(ends[0]);
    if (before != NULL) before();
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    close(ends[0]);
    cr_assert_eq(worker_register(&other, "server", "1", "agent", echo), 0);
    ap_reap_all(client->seg, client->anchor->lane.index, &ap_registry_hooks); /* if the other one has not, to register */
    ap_sweep(client->seg, client->anchor->lane.index, &ap_registry_hooks); /* which was not there yet when it did */
}

static int code_of(apiary_task_t task)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int code;

    cr_assert_eq(apiary_poll(client, task, &result), 0, "it is %s", ap_task_state_name(state_of(task)));
    code = result.code;
    cr_assert_eq(apiary_release(client, &result), 0);
    return code;
}

static void give_all_up(void)
{
    for (int i = 0; i < 3; i++) ap_give_up(client, tasks[i]);
    ap_due_look(client->seg, &ap_registry_hooks, client->anchor->lane.index);
    cr_expect_eq(slots_in_use(), 0);
    assert_sound();
}

/* ---- its worker ------------------------------------------------------------------------------------------------- */

Test(coalesce_deaths, a_leader_whose_worker_is_killed_is_run_again_and_led_to_by_the_same)
{
    worker_killed(NULL);
    cr_expect_eq(state_of(tasks[0]), AP_TASK_QUEUED);
    cr_expect_eq(AP_WORD_OWNER(word_of(tasks[0])), other.queue);
    cr_expect_eq(AP_WORD_LOST(word_of(tasks[0])), 1);
    for (int i = 1; i < 3; i++) {
        cr_expect_eq(state_of(tasks[i]), AP_TASK_SCHEDULED);
        cr_expect_eq(AP_WORD_ATTEMPT(word_of(tasks[i])), 0);
    }
    assert_sound();
    give_all_up();
}

Test(coalesce_deaths, a_follower_in_the_hands_of_a_killed_worker_follows_again)
{
    int attempts = 0;

    delivers = true;
    worker_killed(NULL);
    cr_expect_eq(state_of(tasks[0]), AP_TASK_QUEUED);
    for (int i = 1; i < 3; i++) {
        cr_expect_eq(state_of(tasks[i]), AP_TASK_SCHEDULED);
        attempts += (int)AP_WORD_LOST(word_of(tasks[i]));
    }
    cr_expect_eq(attempts, 1);
    assert_sound();
    give_all_up();
}

Test(coalesce_deaths, what_has_lost_its_workers_too_often_takes_its_followers_with_it)
{
    starts_lost = AP_LOST_MAX;
    worker_killed(NULL);
    for (int i = 0; i < 3; i++) cr_expect_eq(code_of(tasks[i]), APIARY_ELOST);
    cr_expect_eq(slots_in_use(), 0);
    assert_sound();
}

/* One entry tells of it. */
Test(coalesce_deaths, of_what_has_lost_its_workers_too_often_the_dead_set_has_one)
{
    apiary_dead_t entry = {.struct_size = sizeof entry};

    starts_lost = AP_LOST_MAX;
    detached = true;
    worker_killed(NULL);
    cr_expect_eq(slots_in_use(), 0);
    cr_expect_eq(apiary_dead_next(client, 0, &entry), 1);
    cr_expect_eq(apiary_dead_next(client, entry.number, &entry), 0);
    assert_sound();
}

static void give_first_up(void)
{
    ap_give_up(client, tasks[0]);
    cr_assert_eq(state_of(tasks[0]), AP_TASK_RUNNING);
}

/* Its end is its own caller's. */
Test(coalesce_deaths, when_nobody_wants_the_leader_any_more_another_one_is_run)
{
    worker_killed(give_first_up);
    cr_expect_eq(state_of(tasks[0]), AP_TASK_FREE);
    ap_due_look(client->seg, &ap_registry_hooks, client->anchor->lane.index);
    cr_expect_eq((state_of(tasks[1]) == AP_TASK_QUEUED) + (state_of(tasks[2]) == AP_TASK_QUEUED), 1);
    cr_expect_eq((state_of(tasks[1]) == AP_TASK_SCHEDULED) + (state_of(tasks[2]) == AP_TASK_SCHEDULED), 1);
    assert_sound();
    give_all_up();
}

/* ---- its callers ------------------------------------------------------------------------------------------------ */

static void caller_body(int ready)
{
    apiary_t *a = attach_as("caller");
    apiary_task_t task;

    for (int i = 0; i < 3; i++)
        if (apiary_delegate(a, "echo", "left", 4, &of_key, &task) != 0) _exit(2);
    say(ready);
    for (;;) pause();
}

/* What it has delegated goes on: the leader, and followers that nobody will collect. */
Test(coalesce_deaths, a_leader_whose_caller_is_killed_leads_on)
{
    int ends[2], status;
    char byte;
    pid_t pid;

    cr_assert_eq(worker_register(&other, "server", NULL, "agent", echo), 0);
    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        close(ends[0]);
        caller_body(ends[1]);
        _exit(1);
    }
    close(ends[1]);
    cr_assert_eq(read(ends[0], &byte, 1), 1, "the child failed");
    cr_assert_eq(apiary_delegate(client, "echo", "mine", 4, &of_key, &tasks[0]), 0);
    cr_expect_eq(state_of(tasks[0]), AP_TASK_SCHEDULED);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    close(ends[0]);
    cr_assert_eq(ap_reap_all(client->seg, client->anchor->lane.index, &ap_registry_hooks), 1);
    cr_expect_eq(state_of(tasks[0]), AP_TASK_SCHEDULED);
    cr_expect_eq(slots_in_use(), 4, "it goes on, and so do its followers, as what is fire and forget");
    assert_sound();
    ap_give_up(client, tasks[0]);
}

/* ---- nobody else is there ---------------------------------------------------------------------------------------- */

/* The worker of this fixture shares nothing, and no monitor looks. */
Test(coalesce_deaths, who_waits_for_a_follower_finds_that_its_leader_has_gone)
{
    apiary_result_t result = {.struct_size = sizeof result};

    cr_assert_eq(worker_register(&other, "server", NULL, "agent", echo), 0);
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_delegate(client, "echo", i == 0 ? "0" : "1", 1, &of_key, &tasks[i]), 0);
    worker_go(&other);
    cr_assert_eq(apiary_await(client, tasks[1], APIARY_FOREVER, &result), 0);
    cr_expect(result.size == 1 && memcmp(result.data, "1", 1) == 0);
    cr_expect_eq(apiary_release(client, &result), 0);
    cr_assert_eq(apiary_await(client, tasks[0], APIARY_FOREVER, &result), 0);
    cr_expect_eq(apiary_release(client, &result), 0);
}
