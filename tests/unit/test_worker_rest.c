/* A worker between its tasks: what it says while it is at work and when it rests, that nobody starves beside who never rests, and
 * what it does when other code has closed its descriptors.
 * ctest: not thread
 * It looks into what is the worker's alone while that runs. */
#include "tests/unit/worker_fixture.h"

#include "core/loop_inside.h"
#include "shm/event.h"

static char said[8][256];
static uint32_t said_begun, said_count;

static void note_line(void *user, int level, const char *line)
{
    uint32_t n = ap_add_relaxed(&said_begun, 1);

    (void)user;
    (void)level;
    if (n < 8) snprintf(said[n], sizeof said[n], "%s", line);
    ap_add_acq_rel(&said_count, 1);
}

static apiary_queen_t *queen;

static struct ap_worker *worker(void)
{
    return &queen_inside(queen)->workers[0];
}

static void begin(const apiary_agent_description_t *agents, size_t count)
{
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "rest", .agents = agents, .agent_count = count,
                                          .log = note_line};

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &queen), 0);
}

static void end(void)
{
    stop_at_once(queen);
    teardown();
}

TestSuite(worker_rest, .init = setup, .fini = end, .timeout = TEST_LIMIT);

static void until_parked(void)
{
    while (ap_load_relaxed(&worker()->parked) == 0) sched_yield();
}

/* ---- at work ---------------------------------------------------------------------------------------------------- */

static void say_parked(void *state, apiary_job_t *job)
{
    (void)state;
    apiary_job_reply(job, ap_load_relaxed(&worker()->parked) != 0 ? "parked" : "at work", 7);
}
KIND(say_parked, create_nothing, say_parked, NULL);

/* By that its queen tells one that does not go on from one that has nothing to do. */
Test(worker_rest, one_that_is_at_work_is_not_parked)
{
    static const char *const caps[] = {"say", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "say", .kind = &say_parked_kind, .capabilities = caps}};
    char text[16];

    begin(agents, 1);
    for (int i = 0; i < 3; i++) {
        until_parked();
        cr_assert_eq(call("say", "", 0, text, sizeof text), 0);
        cr_expect_str_eq(text, "at work");
    }
}

/* An agent that gives itself the next task with each one, until it has the answer that it has asked for at first. */
static uint32_t links, answered;

static void chain_asked(void *user, const apiary_result_t *result)
{
    (void)user;
    cr_expect_eq(result->code, 0);
    ap_store_release(&answered, 1);
}

static void chain_forget(void *user, const apiary_result_t *result)
{
    (void)user;
    (void)result;
}

/* What it asks for goes on when the task has ended. */
static void chain(void *state, apiary_job_t *job)
{
    static const apiary_delegate_options_t on = {.struct_size = sizeof on, .parent_close = APIARY_PARENT_ABANDON};

    if (ap_add_relaxed(&links, 1) == 0) cr_expect_eq(apiary_agent_execute_task(state, "count", "", 0, &on, chain_asked, NULL), 0);
    if (ap_load_relaxed(&answered) == 0 && ap_load_relaxed(&links) < 200)
        cr_expect_eq(apiary_agent_execute_task(state, "chain", "", 0, &on, chain_forget, NULL), 0);
    apiary_job_reply(job, "", 0);
}
KIND(chain, create_nothing, chain, NULL);

Test(worker_rest, answers_come_while_it_never_rests)
{
    static const char *const caps[] = {"chain", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "chain", .kind = &chain_kind, .capabilities = caps},
                                                        {.name = "count", .kind = &count_kind, .capabilities = count_caps}};
    const apiary_delegate_options_t far = {.struct_size = sizeof far, .timeout = LONG, .hops = 1000};
    size_t size;

    begin(agents, 2);
    cr_assert_eq(apiary_call(a, "chain", "", 0, &far, NULL, 0, &size), 0);
    while (ap_load_acquire(&answered) == 0) sched_yield();
    cr_expect_lt(ap_load_relaxed(&links), 200, "it has come to the end of its chain before it heard the answer");
}

/* ---- held ------------------------------------------------------------------------------------------------------- */

/* Its queen closes the queues: what waits to run alone is not started either. */
Test(worker_rest, one_that_is_held_starts_nothing)
{
    static const apiary_agent_description_t agents[] = {{.name = "keep", .kind = &keep_kind, .capabilities = keep_caps}};
    apiary_task_t first, suspect;
    struct ap_slot *slot;

    begin(agents, 1);
    cr_assert_eq(apiary_delegate(a, "keep", "x", 1, NULL, &first), 0);
    while (ap_load_acquire(&kept_count) < 1) sched_yield();
    hold(worker());
    cr_assert_eq(apiary_delegate(a, "keep", "s", 1, NULL, &suspect), 0);
    slot = ap_slot_at(a->seg, suspect.slot);
    ap_store_release(&slot->word, ap_load_relaxed(&slot->word) + AP_WORD_CRASHED(1));
    ap_worker_command(worker(), AP_WORKER_RUN);
    while (ap_load_acquire(&worker()->agents[0]->aside) == 0) let_turn(worker());
    hold(worker());
    cr_assert_eq(apiary_job_finish_from_thread(kept[0], 0, "", 0), 0);
    while (ap_load_acquire(&worker()->in_hand_count) > 0) let_turn(worker());
    let_turn(worker());
    cr_expect_eq(kept_count, 1);
    cr_expect_neq(ap_load_acquire(&worker()->agents[0]->aside), 0, "it waits still");
    ap_worker_command(worker(), AP_WORKER_RUN);
    while (ap_load_acquire(&kept_count) < 2) let_turn(worker());
    cr_assert_eq(apiary_job_finish_from_thread(kept[1], 0, "", 0), 0);
}

/* ---- its end ---------------------------------------------------------------------------------------------------- */

static char destroyed[8];
static uint32_t destroyed_count, asked_ends;
static int asked_code;

static void asked_done(void *job, const apiary_result_t *result)
{
    asked_ends++;
    asked_code = result->code;
    cr_expect_eq(apiary_job_reply(job, "", 0), APIARY_ESTALE, "its job has ended");
}

static void asks(void *state, apiary_job_t *job)
{
    cr_expect_eq(apiary_agent_execute_task(state, "keep", "x", 1, NULL, asked_done, job), 0);
}

static void asks_destroy(void *state)
{
    (void)state;
    destroyed[destroyed_count++] = 'a';
}

static void keeps_destroy(void *state)
{
    (void)state;
    destroyed[destroyed_count++] = 'k';
}
KIND(asks, create_nothing, asks, asks_destroy);
KIND(keeps, create_nothing, keep, keeps_destroy);

static uint32_t lanes_in_use(uint32_t *ret_reaped)
{
    struct ap_event e;
    uint32_t n = 0;

    *ret_reaped = 0;
    for (uint64_t i = 1; i < ap_load_acquire(&a->seg->header->event_next); i++)
        *ret_reaped += ap_event_read(a->seg, i, &e) == 1 && e.kind == AP_EVENT_LANE_REAPED;
    for (uint32_t i = 0; i < a->seg->geometry.lanes; i++)
        n += AP_LIFE_STATE(ap_load_acquire(&ap_lane_at(a->seg, i)->life)) != AP_LIFE_FREE;
    return n;
}

/* First the jobs, then what they wait for, then the agents, the last one first; and its lane in order, as nobody's who died. */
Test(worker_rest, everything_ends_with_it_in_its_order)
{
    static const char *const caps[] = {"asks", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "asks", .kind = &asks_kind, .capabilities = caps},
                                                        {.name = "keep", .kind = &keeps_kind, .capabilities = keep_caps}};
    apiary_result_t result = {.struct_size = sizeof result};
    uint32_t reaped, reaped_before, lanes = lanes_in_use(&reaped_before);
    apiary_task_t task;

    begin(agents, 2);
    cr_assert_eq(apiary_delegate(a, "asks", "x", 1, NULL, &task), 0);
    while (ap_load_acquire(&kept_count) < 1) sched_yield();
    stop_at_once(queen);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_expect_eq(result.code, APIARY_ESHUTDOWN);
    apiary_release(a, &result);
    cr_expect(asked_ends == 1 && asked_code == APIARY_ESHUTDOWN, "%u %s", asked_ends, apiary_error_name(asked_code));
    cr_expect_str_eq(destroyed, "ka");
    cr_expect_eq(lanes_in_use(&reaped), lanes);
    cr_expect_eq(reaped, reaped_before);
    kept_count = 0;
    begin(agents, 2);
}

/* ---- its descriptors ------------------------------------------------------------------------------------------- */

/* It waits for something, so that its loop has an event in every way of parking. */
static int closes_ends[2];

static void closes_ready(void *user, uint32_t events)
{
    (void)user;
    (void)events;
}

static int closes_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    cr_assert_eq(pipe(closes_ends), 0);
    return apiary_watch_fd(agent, closes_ends[0], POLLIN, closes_ready, NULL, NULL);
}

static void closes(void *state, apiary_job_t *job)
{
    struct ap_loop *loop = worker()->loop;
    size_t size;
    const char *body = apiary_job_data(job, &size);

    (void)state;
    if (size == 1 && body[0] == 'c') {
        if (loop->park != AP_PARK_POLL) close(loop->ring.ring_fd);
        if (loop->event_fd >= 0) close(loop->event_fd);
    }
    apiary_job_reply(job, "", 0);
}
KIND(closes, closes_create, closes, NULL);

/* The line names the agent that may have done so, once for each time. */
Test(worker_rest, descriptors_that_an_agent_has_closed_are_told_of_once)
{
    static const char *const caps[] = {"closes", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "closer", .kind = &closes_kind, .capabilities = caps}};
    uint32_t before;
    char text[8];

    begin(agents, 1);
    for (unsigned round = 0; round < 2; round++) {
        until_parked();
        before = ap_load_acquire(&said_count);
        cr_assert_eq(call("closes", "c", 1, text, sizeof text), 0);
        while (ap_load_acquire(&said_count) == before) {
            until_parked();
            cr_assert_eq(call("closes", "-", 1, text, sizeof text), 0, "it serves all the same");
        }
        cr_expect_not_null(strstr(said[before], "worker 0: other code in this process has closed its descriptors; they were opened "
                                  "again; the agent that was called last is closer"), "%s", said[before]);
        for (int i = 0; i < 5; i++) {
            until_parked();
            cr_assert_eq(call("closes", "-", 1, text, sizeof text), 0);
        }
        cr_expect_eq(ap_load_acquire(&said_count), before + 1);
    }
}
