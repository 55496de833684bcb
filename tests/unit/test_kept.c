/* Results that outlive their tasks (registry/routing/kept.h): who may fetch them, how often, and until when. */
#include "tests/unit/worker_fixture.h"

#include "registry/routing/kept.h"

static uint64_t ahead; /* ns, by which the handle's clock is before the machine's */

static uint64_t kept_now(void)
{
    return ap_ops_system.now() + ap_load_relaxed(&ahead);
}

static struct ap_ops shifted;

static void kept_setup(void)
{
    setup();
    shifted = ap_ops_system;
    shifted.now = kept_now;
    a->seg->ops = &shifted;
}
TestSuite(kept, .init = kept_setup, .fini = teardown, .timeout = TEST_LIMIT);

#define HOUR (3600 * SECOND)
static const apiary_delegate_options_t an_hour = {.struct_size = sizeof an_hour, .flags = APIARY_DETACH, .keep = HOUR};

static apiary_task_t ask(const char *capability, const void *body, size_t size, const apiary_delegate_options_t *o)
{
    apiary_task_t task;
    int r;

    /* The worker gives the blocks of the last task back after its answer. */
    while ((r = apiary_delegate(a, capability, body, size, o, &task)) == APIARY_ENOBLOCK) sched_yield();
    cr_assert_eq(r, 0, "%s", apiary_error_name(r));
    return task;
}

/* The states of all rows, as many letters as there are that are not FREE. */
static const char *states(void)
{
    static char text[1024];
    size_t n = 0;

    for (uint32_t i = 0; i < a->seg->sections[AP_SECTION_KEPT].count; i++) {
        uint32_t state = AP_KEPT_STATE(ap_load_acquire(&ap_kept_at(a->seg, i)->life));
        if (state != AP_KEPT_FREE) text[n++] = "-fpk"[state];
    }
    text[n] = '\0';
    return text;
}

static uint32_t blocks_busy(void)
{
    uint32_t n = 0;

    for (uint64_t i = 0; i < a->seg->sections[AP_SECTION_BLOCKS].count; i++)
        n += ap_load_relaxed((const uint64_t *)ap_at(a->seg, AP_SECTION_BLOCKS, i)) != 0;
    return n;
}

Test(kept, a_result_is_fetched_as_often_as_one_likes)
{
    apiary_queen_t *q = start();
    apiary_result_t result = {.struct_size = sizeof result}, other = {.struct_size = sizeof other};
    apiary_task_t task = ask("echo", "hello", 5, &an_hour);
    char text[8] = "xxxxxxx";

    cr_assert_eq(apiary_fetch(a, task, LONG, text, sizeof text, &result), 0);
    cr_expect_eq(memcmp(text, "helloxx", 8), 0, "%.8s", text);
    cr_expect(result.data == text && result.size == 5 && result.code == 0 && result.agent_code == 0);
    cr_expect(result.attempts == 1 && result.untried == 0);
    cr_expect_eq(memcmp(&result.task, &task, sizeof task), 0);
    cr_assert_eq(apiary_fetch(a, task, 0, text, 2, &other), 0);
    cr_expect_eq(other.size, 5, "the whole size, of which two were copied");
    cr_assert_eq(apiary_fetch(a, task, 0, NULL, 0, &other), 0);
    cr_expect_null(other.data);
    cr_expect_str_eq(states(), "k");
    cr_expect_eq(apiary_await(a, task, LONG, &result), APIARY_ESTALE, "it was fire and forget");
    cr_assert_eq(apiary_forget(a, task), 0);
    cr_expect_eq(apiary_forget(a, task), APIARY_ESTALE);
    cr_expect_eq(apiary_fetch(a, task, 0, text, sizeof text, &result), APIARY_ESTALE);
    cr_expect_str_eq(states(), "");
    stop_at_once(q);
}

Test(kept, a_result_in_a_block_goes_with_its_time)
{
    apiary_queen_t *q = start();
    apiary_result_t result = {.struct_size = sizeof result};
    static char body[5000], data[5000];
    apiary_task_t task;

    memset(body, 'b', sizeof body);
    task = ask("echo", body, sizeof body, &an_hour);
    cr_assert_eq(apiary_fetch(a, task, LONG, data, sizeof data, &result), 0);
    cr_expect_eq(result.size, sizeof body);
    cr_expect_eq(memcmp(data, body, sizeof body), 0);
    while (blocks_busy() != 1) ap_pool_sweep(a->seg); /* the request's is given back after the result is kept */
    cr_expect_eq(ap_kept_expire(a->seg, kept_now()), 0);
    cr_assert_eq(apiary_fetch(a, task, 0, data, sizeof data, &result), 0);
    ap_store_relaxed(&ahead, HOUR);
    cr_expect_eq(apiary_fetch(a, task, 0, data, sizeof data, &result), APIARY_ESTALE);
    while (*states() != '\0') ap_kept_expire(a->seg, kept_now()); /* the queen's monitor may be at it */
    cr_expect_eq(blocks_busy(), 0);
    stop_at_once(q);
}

Test(kept, failures_are_kept_with_what_was_said)
{
    apiary_queen_t *q = start();
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task = ask("fail", "", 0, &an_hour), late;
    apiary_delegate_options_t soon = an_hour;
    char text[256];

    cr_assert_eq(apiary_fetch(a, task, LONG, text, sizeof text, &result), 0);
    cr_expect(result.code == APIARY_EAGENT && result.agent_code == 42 && result.size > 40 && memcmp(text, "no luck", 7) == 0);
    cr_assert_eq(apiary_forget(a, task), 0);
    hold(&queen_inside(q)->workers[0]);
    task = ask("count", "", 0, &an_hour);
    cr_expect_eq(apiary_fetch(a, task, 0, text, sizeof text, &result), APIARY_ENOTREADY);
    cr_expect_eq(apiary_forget(a, task), APIARY_ENOTREADY);
    cr_expect_str_eq(states(), "p");
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_assert_eq(apiary_fetch(a, task, LONG, text, sizeof text, &result), 0);
    cr_expect(result.code == APIARY_ECANCELLED && result.attempts == 0 && result.size == 0);
    soon.timeout = 1;
    late = ask("count", "", 0, &soon);
    ap_worker_command(&queen_inside(q)->workers[0], AP_WORKER_RUN);
    cr_assert_eq(apiary_fetch(a, late, LONG, text, sizeof text, &result), 0);
    cr_expect(result.code == APIARY_ETIMEDOUT && result.agent_code == 0 && result.size == 0);
    cr_expect_str_eq(states(), "kk");
    stop_at_once(q);
}

Test(kept, a_task_without_a_row_is_refused_and_leaves_nothing)
{
    apiary_queen_t *q = start();
    uint32_t rows = (uint32_t)a->seg->sections[AP_SECTION_KEPT].count;
    apiary_request_t requests[2] = {{.struct_size = sizeof requests[0], .capability = "count", .options = &an_hour}, {0}};
    apiary_refusal_t told = {.struct_size = sizeof told};
    apiary_delegate_options_t later = an_hour;
    apiary_task_t task, tasks[2];
    apiary_result_t result = {.struct_size = sizeof result};
    char body[500] = "";
    size_t n = 7;

    requests[1] = requests[0];
    later.delay = HOUR;
    cr_assert_eq(rows, 256);
    for (uint32_t i = 0; i + 1 < rows; i++) {
        task = ask("count", "", 0, &an_hour);
        cr_assert_eq(apiary_fetch(a, task, LONG, NULL, 0, &result), 0);
    }
    cr_expect_eq(apiary_delegate_batch(a, requests, 2, tasks, &n), APIARY_ETABLEFULL);
    cr_expect_eq(n, 1, "one row was left");
    cr_expect_eq(apiary_delegate(a, "count", body, sizeof body, &an_hour, &task), APIARY_ETABLEFULL);
    cr_expect_eq(apiary_delegate(a, "count", "", 0, &later, &task), APIARY_ETABLEFULL);
    cr_assert_eq(apiary_refusal(a, &told), 0);
    cr_expect(told.error == APIARY_ETABLEFULL && told.retry_after > HOUR / 2 && told.retry_after <= HOUR);
    cr_expect_not_null(strstr(told.message, "256 of the 256 results that may be kept (kept_results) are kept or promised, 0 of"),
                       "%s", told.message);
    cr_expect_eq(call("echo", "x", 1, body, sizeof body), 0);
    ap_store_relaxed(&ahead, 2 * HOUR);
    while (strlen(states()) > 0) ap_kept_expire(a->seg, kept_now());
    cr_expect_eq(blocks_busy(), 0);
    task = ask("count", "", 0, &an_hour);
    stop_at_once(q);
}

/* The class has two blocks, of which one may be kept; the request has another. */
Test(kept, what_finds_the_share_used_up_is_not_kept_and_says_so)
{
    static char body[300000], data[300001];
    apiary_queen_t *q = start();
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task, second;

    memset(body, 'b', sizeof body);
    task = ask("echo", body, sizeof body, &an_hour);
    cr_assert_eq(apiary_fetch(a, task, LONG, data, sizeof data, &result), 0);
    cr_expect(result.code == 0 && result.size == sizeof body && memcmp(data, body, sizeof body) == 0);
    second = ask("echo", body, sizeof body, &an_hour);
    cr_assert_eq(apiary_fetch(a, second, LONG, data, sizeof data, &result), 0);
    cr_expect(result.code == APIARY_ENOTKEPT && result.size == 0 && result.attempts == 1, "%s", apiary_error_name(result.code));
    cr_expect_eq(ap_load_relaxed(&ap_kept_at(a->seg, 0)->unkept), 1);
    cr_expect_str_eq(states(), "kk");
    while (blocks_busy() != 1) ap_pool_sweep(a->seg);
    cr_expect_eq(call("echo", body, sizeof body, data, sizeof data), (int64_t)0, "who awaits the answer has it");
    cr_assert_eq(apiary_forget(a, task), 0);
    task = ask("echo", body, sizeof body, &an_hour);
    cr_assert_eq(apiary_fetch(a, task, LONG, data, sizeof data, &result), 0);
    cr_expect(result.code == 0 && result.size == sizeof body, "what is forgotten makes room");
    ap_store_relaxed(&ahead, HOUR);
    task = ask("echo", body, sizeof body, &an_hour);
    cr_assert_eq(apiary_fetch(a, task, LONG, data, sizeof data, &result), 0);
    cr_expect(result.code == 0 && result.size == sizeof body, "and so does what has had its time");
    stop_at_once(q);
}

/* Of 64 blocks 32 may be kept. */
Test(kept, a_failure_that_finds_the_share_used_up_says_the_beginning)
{
    apiary_queen_t *q = start();
    apiary_result_t result = {.struct_size = sizeof result};
    char text[256];

    for (uint32_t i = 0; i <= 32; i++) {
        apiary_task_t task = ask("fail", "", 0, &an_hour);

        cr_assert_eq(apiary_fetch(a, task, LONG, text, sizeof text, &result), 0);
        cr_expect(result.code == APIARY_EAGENT && result.agent_code == 42, "%s", apiary_error_name(result.code));
        cr_expect_eq(memcmp(text, "no luck", 7), 0);
        cr_expect_eq(result.size > AP_INLINE_BODY, i < 32, "%u: %zu", i, result.size);
        cr_expect_eq(memcmp(text + result.size - 3, "...", 3) == 0, i == 32, "what is cut says so");
    }
    cr_expect_eq(ap_load_relaxed(&ap_kept_at(a->seg, 0)->unkept), 1);
    stop_at_once(q);
}

Test(kept, refusals)
{
    apiary_queen_t *q = start();
    apiary_delegate_options_t o = an_hour;
    apiary_result_t result = {.struct_size = sizeof result}, bad = {.struct_size = 3};
    apiary_task_t task, none = {.generation = 0};
    char text[8];

    o.flags = 0;
    cr_expect_eq(apiary_delegate(a, "count", "", 0, &o, &task), APIARY_EINVAL);
    task = ask("count", "", 0, &an_hour);
    cr_assert_eq(apiary_fetch(a, task, LONG, text, sizeof text, &result), 0);
    cr_expect_eq(apiary_fetch(a, task, 0, text, sizeof text, &bad), APIARY_EINVAL);
    cr_expect_eq(apiary_fetch(a, task, 0, text, sizeof text, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_fetch(a, task, 0, NULL, 1, &result), APIARY_EINVAL);
    cr_expect_eq(apiary_fetch(NULL, task, 0, text, 1, &result), APIARY_EINVAL);
    cr_expect_eq(apiary_fetch(a, none, 0, text, 1, &result), APIARY_ESTALE);
    cr_expect_eq(apiary_forget(NULL, task), APIARY_EINVAL);
    cr_expect_eq(apiary_forget(a, none), APIARY_ESTALE);
    task.epoch++;
    cr_expect_eq(apiary_fetch(a, task, 0, text, 1, &result), APIARY_ESTALE);
    stop_at_once(q);
}

struct fetcher {
    apiary_task_t task;
    int result, ended;
};

static void *fetcher_main(void *arg)
{
    struct fetcher *f = arg;

    f->result = apiary_fetch(a, f->task, APIARY_FOREVER, NULL, 0, &(apiary_result_t){.struct_size = sizeof(apiary_result_t)});
    ap_store_release(&f->ended, 1);
    return NULL;
}

/* By another thread's word, or for good. The result is there afterwards all the same. */
Test(kept, a_thread_that_waits_can_be_interrupted_and_cancelled)
{
    apiary_queen_t *q = start();
    struct fetcher f = {.ended = 0};
    pthread_t thread;
    void *end;

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    cr_skip_test("it does not know of frames that a cancelled thread leaves from the signal's handler");
#endif
    hold(&queen_inside(q)->workers[0]);
    cr_assert_eq(apiary_delegate(a, "count", "", 0, &an_hour, &f.task), 0);
    cr_assert_eq(pthread_create(&thread, NULL, fetcher_main, &f), 0);
    while (ap_load_acquire(&f.ended) == 0) { /* it may not have begun to wait */
        cr_assert_eq(apiary_interrupt(a), 0);
        sched_yield();
    }
    pthread_join(thread, NULL);
    cr_expect_eq(f.result, APIARY_EINTERRUPTED);
    ap_store_release(&f.ended, 0);
    cr_assert_eq(pthread_create(&thread, NULL, fetcher_main, &f), 0);
    cr_assert_eq(pthread_cancel(thread), 0);
    pthread_join(thread, &end);
    cr_expect_eq(end, PTHREAD_CANCELED);
    cr_expect_eq(ap_load_acquire(&f.ended), 0);
    cr_expect_str_eq(states(), "p");
    stop_at_once(q);
}

/* A task that is taken back, since its queue is full, takes its promise along. */
Test(kept, what_is_taken_back_has_no_row)
{
    apiary_queen_t *q = start();
    apiary_task_t task;
    int r;

    hold(&queen_inside(q)->workers[0]);
    cr_assert_eq(apiary_delegate(a, "count", "", 0, &an_hour, &task), 0);
    ap_kept_recall(a->seg, task);
    cr_expect_str_eq(states(), "");
    while ((r = apiary_delegate(a, "count", "", 0, &(apiary_delegate_options_t){.struct_size = sizeof an_hour,
                                                                                .flags = APIARY_DETACH}, NULL)) == 0) {}
    cr_expect(r == APIARY_EQUEUEFULL || r == APIARY_ENOSLOT, "%s", apiary_error_name(r));
    cr_expect_eq(apiary_delegate(a, "count", "", 0, &an_hour, &task), r);
    cr_expect_str_eq(states(), "");
    stop_at_once(q);
}
