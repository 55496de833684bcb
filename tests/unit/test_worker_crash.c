/* Handlers of signals that a program has had before its queen: they are called, and what they do decides whether it was a crash. */
#include <setjmp.h>
#include <signal.h>

#include "tests/unit/worker_fixture.h"

TestSuite(worker_crash, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static struct ap_lane *lane;
static sigjmp_buf out;
static uint32_t marked, calls;

static void look(int number)
{
    (void)number;
    marked = lane->crash;
    calls++;
}

static void look_more(int number, siginfo_t *info, void *context)
{
    look(number);
    if (info == NULL || context == NULL) calls = 0;
}

static void jump(int number)
{
    look(number);
    siglongjmp(out, 1);
}

static void raise_it(void *state, apiary_job_t *job)
{
    int number = *(const char *)apiary_job_data(job, NULL);

    (void)state;
    lane = ap_worker_self()->context->lane.lane;
    if (sigsetjmp(out, 1) == 0) raise(number);
    apiary_job_reply(job, &number, 1);
}
KIND(raiser, NULL, raise_it, NULL);

/* What an agent has left to its thread's end comes when the worker's lane may be another's. */
static void leave_late(void *unused)
{
    (void)unused;
    lane->crash = 0;
    marked = ap_worker_self() != NULL;
    raise(SIGTRAP);
    marked = marked || lane->crash != 0;
}

static pthread_key_t late;

static void leave_it(void *state, apiary_job_t *job)
{
    (void)state;
    cr_assert_eq(pthread_setspecific(late, &late), 0);
    lane = ap_worker_self()->context->lane.lane;
    apiary_job_reply(job, "", 1);
}
KIND(leaver, NULL, leave_it, NULL);

static void leave_and_end(void *state, apiary_job_t *job)
{
    leave_it(state, job);
    pthread_exit(NULL);
}
KIND(ender, NULL, leave_and_end, NULL);

static void raiser_start(apiary_queen_t **q)
{
    static const char *const caps[] = {"raise", NULL};
    const apiary_agent_description_t agent = {"raiser", &raiser_kind, caps, 0, NULL, NULL, NULL};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 1, .agents = &agent,
                                          .agent_count = 1};
    struct sigaction one = {.sa_handler = look}, other = {.sa_sigaction = look_more, .sa_flags = SA_SIGINFO};
    struct sigaction leaves = {.sa_handler = jump};

#ifdef __SANITIZE_THREAD__
    cr_skip_test("the sanitizer has handlers of its own");
#endif
    cr_assert_eq(sigaction(SIGTRAP, &one, NULL) | sigaction(SIGFPE, &other, NULL) | sigaction(SIGSEGV, &leaves, NULL), 0);
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, q), 0);
}

static void is_called(int number)
{
    char body = (char)number, text[8];

    marked = calls = 0;
    cr_assert_eq(call("raise", &body, 1, text, sizeof text), 0);
    cr_expect_eq(calls, 1, "signal %d: %u calls", number, calls);
    cr_expect_eq(marked, (uint32_t)number, "signal %d: it was a crash until the handler says otherwise, not %u", number, marked);
}

Test(worker_crash, a_handler_that_comes_back)
{
    apiary_queen_t *q = NULL;

    raiser_start(&q);
    is_called(SIGTRAP);
    cr_expect_eq(ap_load_relaxed(&lane->crash), 0);
    is_called(SIGFPE);
    cr_expect_eq(ap_load_relaxed(&lane->crash), 0);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* It may have jumped to anywhere; the worker's next turn shows that its thread goes on. */
Test(worker_crash, a_handler_that_jumps_out)
{
    apiary_queen_t *q = NULL;

    raiser_start(&q);
    is_called(SIGSEGV);
    while (ap_load_relaxed(&lane->crash) != 0) sched_yield();
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* It is no crash of any task, whether the thread ends with its worker or an agent has ended it. */
Test(worker_crash, what_comes_after_the_worker)
{
    static const char *const caps[] = {"leave", NULL};
    const apiary_agent_kind_t *const kinds[] = {&leaver_kind, &ender_kind};

#ifdef __SANITIZE_THREAD__
    cr_skip_test("the sanitizer has handlers of its own");
#endif
    cr_assert_eq(pthread_key_create(&late, leave_late), 0);
    signal(SIGTRAP, look);
    for (int i = 0; i < 2; i++) {
        const apiary_agent_description_t agent = {"leaver", kinds[i], caps, 0, NULL, NULL, NULL};
        const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 1, .agents = &agent,
                                              .agent_count = 1};
        apiary_queen_t *q = NULL;
        char text[8];

        calls = 0;
        cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
        cr_assert_eq(call("leave", "", 0, text, sizeof text), 0);
        apiary_queen_stop(q, LONG);
        cr_expect_eq(calls, 1);
        cr_expect_eq(marked, 0, "kind %d", i);
    }
}
