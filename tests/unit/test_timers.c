/* How long an agent may have a task: it is told to stop, then ended over its head, or given up where its thread does not return. */
#include "tests/unit/worker_fixture.h"

#include <semaphore.h>

TestSuite(timers, .init = setup, .fini = teardown, .timeout = 120);

static apiary_queen_t *own;

static apiary_job_t *held; /* by any thread */
static int answered = 1; /* what its answer came to; 1: there was none */

/* A request of "stand": the thread does not come back before it is let go. */
static sem_t let_go;

static void have(void *state, apiary_job_t *job)
{
    size_t size;
    const char *body = apiary_job_data(job, &size);

    (void)state;
    if (size != strlen("stand")) {
        ap_store_release(&held, job);
        return;
    }
    while (sem_wait(&let_go) != 0) {}
    ap_store_release(&answered, apiary_job_reply(job, body, size));
}

static const apiary_agent_kind_t have_kind = {APIARY_AGENT_KIND, .name = "have", .create = create_nothing, .handle = have};

static void start_have(void)
{
    static const char *const caps[] = {"have", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "have", .kind = &have_kind, .capabilities = caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "own", .agents = agents, .agent_count = 1,
                                          .log = log_line};

    sem_init(&let_go, 0, 0);
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &own), 0);
}

static apiary_job_t *hold_next(void)
{
    apiary_job_t *job;

    while ((job = ap_load_acquire(&held)) == NULL) sched_yield();
    ap_store_relaxed(&held, NULL);
    return job;
}

static apiary_task_t ask(const char *body, apiary_delegate_options_t o)
{
    apiary_task_t task;

    o.struct_size = sizeof o;
    o.timeout = LONG;
    cr_assert_eq(apiary_delegate(a, "have", body, strlen(body), &o, &task), 0);
    return task;
}

static int end_of(apiary_task_t task, uint32_t *ret_attempts)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r = apiary_await(a, task, LONG, &result);

    if (r != 0) return r;
    if (ret_attempts != NULL) *ret_attempts = result.attempts;
    r = result.code;
    apiary_release(a, &result);
    return r;
}

Test(timers, a_beat_says_how_far_it_has_come)
{
    char text[APIARY_PROGRESS_MAX + 20];
    apiary_progress_t p = {.struct_size = sizeof p};
    apiary_task_t task;
    apiary_job_t *job;

    start_have();
    task = ask("", (apiary_delegate_options_t){.heartbeat = LONG});
    job = hold_next();
    cr_expect_eq(apiary_progress(a, task, &p), 0, "nothing yet");
    cr_expect_eq(apiary_job_beat(job, NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_job_beat(job, "a third", 7), 0);
    cr_assert_eq(apiary_progress(a, task, &p), 1);
    cr_expect_str_eq(p.text, "a third");
    cr_expect_eq(p.size, 7);
    cr_expect_eq(apiary_job_beat(job, NULL, 0), 0);
    cr_assert_eq(apiary_progress(a, task, &p), 1);
    cr_expect_str_eq(p.text, "a third", "what says nothing leaves what was said");
    cr_expect_eq(p.beats, 2);
    memset(text, 'x', sizeof text);
    cr_expect_eq(apiary_job_beat(job, text, sizeof text), 0);
    cr_assert_eq(apiary_progress(a, task, &p), 1);
    cr_expect_eq(p.size, APIARY_PROGRESS_MAX, "it is cut");
    cr_expect_eq(strlen(p.text), APIARY_PROGRESS_MAX);
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_expect_eq(apiary_job_beat(job, NULL, 0), 1, "a beat learns that it is to stop");
    cr_assert_eq(apiary_job_finish_from_thread(job, 1, "stopped", 7), 0);
    cr_expect_eq(end_of(task, NULL), APIARY_EAGENT);
    cr_expect_eq(apiary_progress(a, task, &p), APIARY_ESTALE);
    task = ask("", (apiary_delegate_options_t){.heartbeat = LONG});
    job = hold_next();
    cr_expect_eq(apiary_progress(a, task, &p), 0, "not what the one before has said");
    cr_assert_eq(apiary_job_finish_from_thread(job, 0, "", 0), 0);
    cr_expect_eq(end_of(task, NULL), 0);
    stop_at_once(own);
}

Test(timers, an_agent_that_stops_when_told_has_taken_too_long)
{
    apiary_task_t task;
    apiary_job_t *job;
    uint32_t attempts = 0;

    start_have();
    task = ask("", (apiary_delegate_options_t){.start_to_close = SECOND / 100, .retry = {.max_attempts = 2, .backoff = 1}});
    for (int i = 0; i < 2; i++) {
        job = hold_next();
        while (!apiary_job_cancelled(job)) sched_yield();
        cr_expect_eq(apiary_job_beat(job, NULL, 0), 1);
        cr_assert_eq(apiary_job_finish_from_thread(job, 7, "stopped", 7), 0);
    }
    cr_expect_eq(end_of(task, &attempts), APIARY_EOVERRUN);
    cr_expect_eq(attempts, 2);
    stop_at_once(own);
}

Test(timers, one_that_does_not_stop_is_ended_over_its_head)
{
    apiary_task_t task;
    apiary_job_t *job;
    uint32_t attempts = 0;

    start_have();
    task = ask("", (apiary_delegate_options_t){.heartbeat = SECOND / 100});
    job = hold_next();
    cr_expect_eq(end_of(task, &attempts), APIARY_EOVERRUN);
    cr_expect_eq(attempts, 1);
    while (apiary_job_beat(job, NULL, 0) != APIARY_ESTALE) sched_yield(); /* its caller has the end before its agent does */
    cr_expect_eq(apiary_job_finish_from_thread(job, 0, "late", 4), APIARY_ESTALE);
    cr_expect_eq(apiary_job_cancelled(job), 1);
    cr_expect_null(strstr(logged(), "refused"), "that is no fault of the agent's: %s", logged());
    stop_at_once(own);
}

Test(timers, one_whose_thread_does_not_come_back_is_given_up)
{
    apiary_task_t task;

    start_have();
    task = ask("stand", (apiary_delegate_options_t){.start_to_close = SECOND / 100});
    cr_expect_eq(end_of(task, NULL), APIARY_ETIMEDOUT);
    sem_post(&let_go);
    while (ap_load_acquire(&answered) == 1) sched_yield();
    cr_expect_eq(answered, 0, "it could not know");
    stop_at_once(own);
}

Test(timers, what_is_not_started_in_time_never_is)
{
    apiary_task_t first, second;
    apiary_result_t result = {.struct_size = sizeof result};

    start_have();
    first = ask("stand", (apiary_delegate_options_t){.flags = 0});
    second = ask("", (apiary_delegate_options_t){.schedule_to_start = SECOND / 100});
    cr_expect_eq(end_of(second, NULL), APIARY_ETIMEDOUT);
    sem_post(&let_go);
    cr_assert_eq(apiary_await(a, first, LONG, &result), 0);
    apiary_release(a, &result);
    cr_expect_null(ap_load_acquire(&held), "it was started all the same");
    stop_at_once(own);
}
