/* How long an agent may have a task: it is told to stop, then ended over its head, or given up where its thread does not return. */
#include "tests/unit/worker_fixture.h"

#include <semaphore.h>

#include "registry/client/progress.h"

TestSuite(timers, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static apiary_queen_t *own;

static apiary_job_t *held; /* by any thread */
static int answered = 1; /* what its answer came to; 1: there was none */

/* A request of "stand": the thread does not come back before it is let go. */
static sem_t let_go;

/* A request of "turn": the thread comes back a while later, and the job is kept. */
static uint64_t away; /* for how long */
static apiary_job_t *turned;

static void turn(void)
{
    uint64_t until = ap_ops_system.now() + away;

    while (ap_ops_system.now() < until) sched_yield();
}

static uint64_t since; /* when the last was handed over */

static void have(void *state, apiary_job_t *job)
{
    size_t size;
    const char *body = apiary_job_data(job, &size);

    (void)state;
    since = ap_ops_system.now();
    if (size == strlen("turn")) {
        turn();
        ap_store_release(&turned, job);
        return;
    }
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

/* ---- a beat that comes late ------------------------------------------------------------------------------------ */

/* The clock of the segment: on the thread that says so it stands still, in the midst of a call, and is long past then. */
static _Thread_local bool slow;
static sem_t in_midst, go_on;

static uint64_t now_slowly(void)
{
    uint64_t at = ap_ops_system.now();

    if (!slow) return at;
    sem_post(&in_midst);
    while (sem_wait(&go_on) != 0) {}
    return at > 2 * LONG ? at - 2 * LONG : 1;
}

static apiary_job_t *slow_job;
static int slow_result;

static void *beat_slowly(void *arg)
{
    (void)arg;
    slow = true;
    slow_result = apiary_job_beat(slow_job, "of the first", 12);
    return NULL;
}

/* Meanwhile its job ends and another begins, which has the first one's place. */
Test(timers, a_beat_that_comes_late_is_not_the_next_jobs)
{
    struct ap_ops ops;
    apiary_progress_t p = {.struct_size = sizeof p};
    apiary_task_t task;
    apiary_job_t *job;
    pthread_t thread;

    ops = ap_ops_system;
    ops.now = now_slowly;
    a->seg->ops = &ops;
    sem_init(&in_midst, 0, 0);
    sem_init(&go_on, 0, 0);
    start_have();
    task = ask("", (apiary_delegate_options_t){.heartbeat = LONG});
    slow_job = hold_next();
    cr_assert_eq(pthread_create(&thread, NULL, beat_slowly, NULL), 0);
    while (sem_wait(&in_midst) != 0) {}
    cr_assert_eq(apiary_job_finish_from_thread(slow_job, 0, "", 0), 0);
    cr_assert_eq(end_of(task, NULL), 0);
    task = ask("", (apiary_delegate_options_t){.heartbeat = LONG});
    job = hold_next();
    sem_post(&go_on);
    pthread_join(thread, NULL);
    cr_expect_eq(slow_result, APIARY_ESTALE);
    cr_expect_eq(apiary_progress(a, task, &p), 0, "it says '%s'", p.text);
    cr_expect_eq(apiary_job_beat(job, NULL, 0), 0);
    cr_expect_eq(apiary_job_cancelled(job), 0);
    cr_assert_eq(apiary_job_finish_from_thread(job, 0, "", 0), 0);
    cr_expect_eq(end_of(task, NULL), 0);
    stop_at_once(own);
    a->seg->ops = &ap_ops_system;
}

Test(timers, a_row_of_progress_is_the_latest_tasks)
{
    struct ap_lane_handle lane = a->anchor->lane;
    const apiary_task_t first = {.slot = 3, .epoch = 1, .generation = 7}, second = {.slot = 3, .epoch = 1, .generation = 8};
    struct ap_progress *row = ap_progress_at(a->seg, 3);
    struct ap_progress_view v;

    ap_progress_tell(&lane, second, 100, "second", 6);
    ap_progress_tell(&lane, first, 200, "first", 5);
    cr_expect(!ap_progress_read(a->seg, first, &v));
    cr_assert(ap_progress_read(a->seg, second, &v));
    cr_expect_str_eq(v.text, "second");
    cr_expect_eq(ap_progress_beaten(a->seg, second), 100);
    cr_expect_eq(ap_progress_beaten(a->seg, first), 0);
    /* In the hands of somebody who lives: what another says is not written. */
    row->turn = AP_PROGRESS_TURN(9, lane.epoch, lane.index, 1);
    ap_progress_tell(&lane, second, 300, "third", 5);
    cr_expect(!ap_progress_read(a->seg, second, &v));
    cr_expect_eq(ap_progress_beaten(a->seg, second), 100);
    /* The lane lives, and is another's now: who had the row is dead. What it has half written goes. */
    row->turn = AP_PROGRESS_TURN(9, lane.epoch + 1, lane.index, 1);
    ap_progress_tell(&lane, second, 300, NULL, 0);
    cr_assert(ap_progress_read(a->seg, second, &v));
    cr_expect_str_eq(v.text, "");
    cr_expect_eq(v.beats, 2);
    cr_expect_eq(ap_progress_beaten(a->seg, second), 300);
    memset(row, 0, sizeof *row); /* no task has said so */
}

/* ---- when its time begins, and who is in its way --------------------------------------------------------------- */

/* Both are in one batch, and the first takes long to be handed over. */
Test(timers, the_time_of_an_attempt_begins_with_its_start)
{
    apiary_task_t tasks[3];
    apiary_job_t *job;
    uint64_t told;

    away = SECOND / 2;
    start_have();
    tasks[0] = ask("stand", (apiary_delegate_options_t){.flags = 0});
    tasks[1] = ask("turn", (apiary_delegate_options_t){.flags = 0});
    tasks[2] = ask("", (apiary_delegate_options_t){.start_to_close = SECOND / 4});
    sem_post(&let_go);
    job = hold_next();
    while (!apiary_job_cancelled(job)) sched_yield();
    told = ap_ops_system.now();
    cr_expect_geq(told, since + SECOND / 4, "%llu ns early", (unsigned long long)(since + SECOND / 4 - told));
    cr_assert_eq(apiary_job_finish_from_thread(job, 7, "", 0), 0);
    cr_expect_eq(end_of(tasks[2], NULL), APIARY_EOVERRUN);
    cr_assert_eq(apiary_job_finish_from_thread(turned, 0, "", 0), 0);
    cr_expect_eq(end_of(tasks[0], NULL), 0);
    cr_expect_eq(end_of(tasks[1], NULL), 0);
    stop_at_once(own);
}

/* Its worker cannot end it: the thread does not come back from what it does for another task. */
Test(timers, one_whose_worker_stands_in_anothers_code_is_given_up)
{
    apiary_task_t task, other;

    start_have();
    task = ask("", (apiary_delegate_options_t){.start_to_close = SECOND / 100});
    hold_next();
    other = ask("stand", (apiary_delegate_options_t){.flags = 0});
    cr_expect_eq(end_of(task, NULL), APIARY_ETIMEDOUT);
    sem_post(&let_go);
    cr_expect_eq(end_of(other, NULL), 0);
    stop_at_once(own);
}

Test(timers, a_task_past_its_deadline_is_unwanted)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = SECOND / 20, .flags = APIARY_DETACH};
    apiary_job_t *job;

    start_have();
    cr_assert_eq(apiary_delegate(a, "have", "", 0, &o, NULL), 0);
    job = hold_next();
    while (!apiary_job_cancelled(job)) sched_yield();
    cr_expect_geq(ap_ops_system.now(), apiary_job_deadline(job));
    cr_expect_eq(apiary_job_beat(job, NULL, 0), 1);
    cr_assert_eq(apiary_job_finish_from_thread(job, 0, "", 0), 0);
    stop_at_once(own);
}
