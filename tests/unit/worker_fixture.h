/* tests/unit/worker_fixture.h - a swarm of test agents in this process, for the suites of worker and queen. */
#ifndef WORKER_FIXTURE_H
#define WORKER_FIXTURE_H

#include <criterion/criterion.h>

#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agents/runtime/kind.h"
#include "agents/runtime/queen.h"
#include "tests/support/leftovers.h"

#define SECOND UINT64_C(1000000000)
#define LONG (120 * SECOND)
#define DEAD_ROWS 4

static char name[64];
static apiary_t *a;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char last_log[1024];

static void log_line(void *user, int level, const char *line)
{
    (void)user;
    (void)level;
    pthread_mutex_lock(&log_lock);
    snprintf(last_log, sizeof last_log, "%s", line);
    pthread_mutex_unlock(&log_lock);
}

/* The last line that any thread has logged, as of now. */
static inline const char *logged(void)
{
    static char copy[sizeof last_log];

    pthread_mutex_lock(&log_lock);
    memcpy(copy, last_log, sizeof copy);
    pthread_mutex_unlock(&log_lock);
    return copy;
}

static inline void setup(void)
{
    struct ap_segment_options options = {.name = name,
                                         .geometry = {.members = 16, .lanes = 32, .tasks = 512, .queues = 16,
                                                      .pool_blocks = {64, 16, 8, 4, 4, 2, 2},
                                                      .registry = {[AP_REGISTRY_INDEX(DEAD)] = DEAD_ROWS}}};
    char message[256] = "";
    struct ap_segment *seg;

    mallopt(M_PERTURB, 0xa5); /* fresh memory is no end of a list */
    leftovers_clear("apiary-test-worker");
    snprintf(name, sizeof name, "/apiary-test-worker-%d", (int)getpid());
    cr_assert_eq(ap_registry_create(&options, message, sizeof message, &seg), 0, "%s", message);
    ap_segment_unmap(seg);
    cr_assert_eq(apiary_attach(name, NULL, &a), 0);
}

static inline void teardown(void)
{
    cr_expect_eq(apiary_detach(a), 0);
    cr_expect_eq(ap_segment_remove(name), 0);
}

/* ---- kinds ---------------------------------------------------------------------------------------------------- */

static int create_nothing(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static void echo(void *state, apiary_job_t *job)
{
    size_t size;
    const void *data = apiary_job_data(job, &size);

    (void)state;
    apiary_job_reply(job, data, size);
}

static void about(void *state, apiary_job_t *job)
{
    char text[256];
    int n = snprintf(text, sizeof text, "%s %s %s [%s] %d %d", apiary_agent_service(state), apiary_agent_name(state),
                     apiary_job_capability(job), apiary_job_caller(job), apiary_job_agent(job) == state,
                     apiary_job_deadline(job) != APIARY_FOREVER);

    apiary_job_reply(job, text, (size_t)n);
}

static void fail(void *state, apiary_job_t *job)
{
    (void)state;
    apiary_job_fail(job, 42, "no %s today, and that is said at some length so that it does not fit a slot: %s", "luck", "sorry");
}

static void reserve(void *state, apiary_job_t *job)
{
    size_t size;
    const uint32_t *wanted = apiary_job_data(job, &size);
    void *block = NULL;
    int r = apiary_job_reserve(job, *wanted, &block);

    (void)state;
    if (r < 0) {
        apiary_job_fail(job, (uint32_t)-r, "reserve");
        return;
    }
    memset(block, 'r', *wanted);
    apiary_job_reply(job, block, *wanted);
}

/* Or as large as the body says. */
static void too_large(void *state, apiary_job_t *job)
{
    static char huge[(1 << 20) + 1];
    size_t size;
    const uint32_t *wanted = apiary_job_data(job, &size);

    (void)state;
    if (size == sizeof *wanted) {
        apiary_job_reply(job, huge, *wanted);
        return;
    }
    cr_expect_eq(apiary_job_reply(job, huge, sizeof huge), APIARY_ETOOLARGE);
}

static int handled;

static void count(void *state, apiary_job_t *job)
{
    (void)state;
    ap_add_relaxed(&handled, 1);
    apiary_job_reply(job, NULL, 0);
}

/* Keeps jobs until a body "go" comes; then answers all, that last. With "tell" their answers are all of their bodies but the first
 * byte, in place. */
static apiary_job_t *kept[128];
static int kept_count;

static void keep(void *state, apiary_job_t *job)
{
    size_t size;
    const char *data = apiary_job_data(job, &size);

    (void)state;
    if (size == 4 && memcmp(data, "tell", 4) == 0) {
        for (int i = 0; i < kept_count; i++) {
            const char *body = apiary_job_data(kept[i], &size);
            apiary_job_reply(kept[i], body + 1, size - 1);
        }
        ap_store_release(&kept_count, 0);
        apiary_job_reply(job, NULL, 0);
        return;
    }
    if (size != 2 || memcmp(data, "go", 2) != 0) {
        kept[kept_count] = job;
        ap_store_release(&kept_count, kept_count + 1);
        return;
    }
    for (int i = 0; i < kept_count; i++) apiary_job_reply(kept[i], "kept", 4);
    ap_store_release(&kept_count, 0);
    apiary_job_reply(job, "gone", 4);
}

/* Hands the answer over from a thread that the agent's end waits for, as it has to. */
static uint32_t handing;

static inline int hand_over(apiary_job_t *job, const void *data, size_t size)
{
    int r;

    ap_add_acq_rel(&handing, 1);
    r = apiary_job_finish_from_thread(job, 0, data, size);
    ap_add_acq_rel(&handing, (uint32_t)-1);
    return r;
}

static void keep_destroy(void *state)
{
    (void)state;
    while (ap_load_acquire(&handing) != 0) sched_yield();
}

static pthread_t helpers[256];
static int helper_count;

static void *finish_elsewhere(void *job)
{
    size_t size;
    const char *data = apiary_job_data(job, &size);
    int bad = size > 0 && data[0] == '!';

    apiary_job_finish_from_thread(job, bad ? 7 : 0, data, size);
    return NULL;
}

static void by_thread(void *state, apiary_job_t *job)
{
    (void)state;
    cr_assert_eq(pthread_create(&helpers[helper_count++], NULL, finish_elsewhere, job), 0);
}

static void join_helpers(void *state)
{
    (void)state;
    while (helper_count > 0) pthread_join(helpers[--helper_count], NULL);
}

static void timer_done(void *job, uint32_t events)
{
    (void)events;
    apiary_job_reply(job, "later", 5);
}

static void later(void *state, apiary_job_t *job)
{
    cr_assert_eq(apiary_watch_timer(state, 2000000, timer_done, job, NULL), 0);
}

struct piped {
    int ends[2];
    apiary_watch_t *watch;
    apiary_job_t *job;
};

static void pipe_ready(void *user, uint32_t events)
{
    struct piped *p = user;
    char text[8];
    ssize_t n = read(p->ends[0], text, sizeof text);

    cr_expect(events & POLLIN);
    apiary_watch_close(p->watch);
    close(p->ends[0]);
    close(p->ends[1]);
    apiary_job_reply(p->job, text, n > 0 ? (size_t)n : 0);
    free(p);
}

static void through_pipe(void *state, apiary_job_t *job)
{
    struct piped *p = malloc(sizeof *p);

    cr_assert_eq(pipe(p->ends), 0);
    p->job = job;
    cr_assert_eq(apiary_watch_fd(state, p->ends[0], POLLIN, pipe_ready, p, &p->watch), 0);
    cr_assert_eq(write(p->ends[1], "piped", 5), 5);
}

static void relay_done(void *job, const apiary_result_t *result)
{
    if (result->code == 0)
        apiary_job_reply(job, result->data, result->size);
    else
        apiary_job_fail(job, (uint32_t)-result->code, "%s", apiary_error_name(result->code));
}

/* Body: the capability to ask; "name" by delegate_external_task, "=name" by execute_task. */
static void relay(void *state, apiary_job_t *job)
{
    size_t size;
    const char *data = apiary_job_data(job, &size);
    char capability[64];
    int r;

    snprintf(capability, sizeof capability, "%.*s", (int)size, data);
    if (capability[0] == '=')
        r = apiary_agent_execute_task(state, capability + 1, "hello", 5, NULL, relay_done, job);
    else
        r = apiary_agent_delegate_external_task(state, capability, "hello", 5,
                                                APIARY_TIMEOUT(capability[0] == 'k' ? 3000000 : 0), relay_done, job);
    if (r < 0) apiary_job_fail(job, (uint32_t)-r, "%s", apiary_error_name(r));
}

static void heap(void *state, apiary_job_t *job)
{
    apiary_agent_t *agent = state;
    size_t before = apiary_agent_allocated(agent);
    char *block = apiary_agent_alloc(agent, 1000);

    memset(block, 1, 1000);
    cr_expect_geq(apiary_agent_allocated(agent), before + 1000);
    block = apiary_agent_resize(agent, block, 5000);
    for (int i = 0; i < 1000; i++) cr_expect_eq(block[i], 1);
    memset(block, 2, 5000);
    cr_expect_geq(apiary_agent_allocated(agent), before + 5000);
    apiary_agent_free(agent, block);
    apiary_agent_free(agent, NULL);
    cr_expect_eq(apiary_agent_allocated(agent), before);
    apiary_agent_alloc(agent, 100); /* leaked: goes with the agent */
    apiary_job_reply(job, NULL, 0);
}

static void local(void *state, apiary_job_t *job)
{
    apiary_agent_t *agent = state;
    char text[16] = "";
    static char big[1 << 20];
    int64_t number = 0;

    cr_expect_eq(apiary_local_get(agent, "k", text, sizeof text), APIARY_ESTALE);
    cr_expect_eq(apiary_local_put(agent, "k", "value", 6), 0);
    cr_expect_eq(apiary_local_get(agent, "k", text, 3), 6);
    cr_expect_eq(memcmp(text, "val\0", 4), 0);
    cr_expect_eq(apiary_local_put(agent, "k", "other", 6), 0);
    cr_expect_eq(apiary_local_get(agent, "k", text, sizeof text), 6);
    cr_expect_str_eq(text, "other");
    cr_expect_eq(apiary_local_delete(agent, "k"), 0);
    cr_expect_eq(apiary_local_delete(agent, "k"), APIARY_ESTALE);
    cr_expect_eq(apiary_local_put(agent, "", "v", 1), APIARY_EINVAL);
    cr_expect_eq(apiary_local_put(agent, "big", big, sizeof big), APIARY_ETOOLARGE);
    cr_expect_eq(apiary_local_put(agent, "big", big, APIARY_MEMORY_VALUE_MAX), 0);
    cr_expect_eq(apiary_local_get(agent, "big", NULL, 0), APIARY_MEMORY_VALUE_MAX);
    cr_expect_eq(apiary_local_incr(agent, "n", 5, &number), 0);
    cr_expect_eq(apiary_local_incr(agent, "n", -7, &number), 0);
    cr_expect_eq(number, -2);
    apiary_job_reply(job, NULL, 0);
}

#define KIND(id, create_, handle_, destroy_) \
    static const apiary_agent_kind_t id##_kind = {                                                     \
        APIARY_AGENT_KIND, .name = #id, .what = "", .create = (create_), .handle = (handle_), .destroy = (destroy_)}
KIND(echo, create_nothing, echo, NULL);
KIND(about, create_nothing, about, NULL);
KIND(fail, create_nothing, fail, NULL);
KIND(reserve, create_nothing, reserve, NULL);
KIND(too_large, create_nothing, too_large, NULL);
KIND(count, create_nothing, count, NULL);
KIND(keep, create_nothing, keep, keep_destroy);
KIND(by_thread, create_nothing, by_thread, join_helpers);
KIND(later, create_nothing, later, NULL);
KIND(through_pipe, create_nothing, through_pipe, NULL);
KIND(relay, create_nothing, relay, NULL);
KIND(heap, create_nothing, heap, NULL);
KIND(local, create_nothing, local, NULL);

static const char *const echo_caps[] = {"echo", NULL}, *const about_caps[] = {"about@2", NULL}, *const fail_caps[] = {"fail", NULL},
                  *const reserve_caps[] = {"reserve", NULL}, *const large_caps[] = {"too_large", NULL},
                  *const count_caps[] = {"count", NULL}, *const keep_caps[] = {"keep", NULL},
                  *const thread_caps[] = {"thread", NULL}, *const later_caps[] = {"later", NULL},
                  *const pipe_caps[] = {"pipe", NULL}, *const relay_caps[] = {"relay", NULL}, *const heap_caps[] = {"heap", NULL},
                  *const local_caps[] = {"local", NULL};

static const apiary_agent_description_t all_agents[] = {
    {.name = "echo", .kind = &echo_kind, .capabilities = echo_caps},
    {.name = "about", .kind = &about_kind, .capabilities = about_caps},
    {.name = "fail", .kind = &fail_kind, .capabilities = fail_caps},
    {.name = "reserve", .kind = &reserve_kind, .capabilities = reserve_caps},
    {.name = "too_large", .kind = &too_large_kind, .capabilities = large_caps},
    {.name = "count", .kind = &count_kind, .capabilities = count_caps},
    {.name = "keep", .kind = &keep_kind, .capabilities = keep_caps, .worker = 1},
    {.name = "by_thread", .kind = &by_thread_kind, .capabilities = thread_caps, .worker = 1},
    {.name = "later", .kind = &later_kind, .capabilities = later_caps, .worker = 1},
    {.name = "through_pipe", .kind = &through_pipe_kind, .capabilities = pipe_caps, .worker = 1},
    {.name = "relay", .kind = &relay_kind, .capabilities = relay_caps, .worker = 1},
    {.name = "heap", .kind = &heap_kind, .capabilities = heap_caps},
    {.name = "local", .kind = &local_kind, .capabilities = local_caps},
};
#define AGENTS (sizeof all_agents / sizeof all_agents[0])

static apiary_queen_t *start_as(apiary_t *handle, const char *service, const char *instance)
{
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = service, .instance = instance, .workers = 2,
                                    .agents = all_agents,
                                    .agent_count = AGENTS, .log = log_line};
    apiary_queen_t *q = NULL;
    char message[512] = "";

    cr_assert_eq(apiary_queen_start(handle, &d, message, sizeof message, &q), 0, "%s", message);
    return q;
}

static inline apiary_queen_t *start(void)
{
    return start_as(a, "test", NULL);
}

/* Without time to finish anything; what runs is waited for all the same. */
static inline void stop_at_once(apiary_queen_t *q)
{
    int r;

    do r = apiary_queen_stop(q, 0);
    while (r == APIARY_ETIMEDOUT);
    cr_assert_eq(r, 0);
}

static inline int call(const char *capability, const void *body, size_t size, char *text, size_t capacity)
{
    size_t n = 0;
    int r = apiary_call(a, capability, body, size, APIARY_TIMEOUT(LONG), text, capacity - 1, &n);

    text[n < capacity ? n : capacity - 1] = '\0';
    return r;
}

static inline struct ap_queen *queen_inside(const apiary_queen_t *queen)
{
    return ap_handle_get_as(queen, AP_HANDLE_QUEEN);
}

/* Returns when a turn is over that began after this call: what could be started has been. */
static inline void let_turn(struct ap_worker *w)
{
    uint32_t turns = ap_load_relaxed(&w->turns);

    while (ap_load_relaxed(&w->turns) - turns < 3) {
        ap_loop_wake(w->loop);
        sched_yield();
    }
}

/* Returns when the worker starts nothing any more. */
static inline void hold(struct ap_worker *w)
{
    ap_worker_command(w, AP_WORKER_HOLD);
    let_turn(w);
}

/* A queue of the swarm by its agent's name. */
static inline uint32_t queue_of(const apiary_queen_t *queen, const char *agent)
{
    const struct ap_queen *q = queen_inside(queen);

    for (size_t i = 0; i < q->agent_count; i++)
        if (strcmp(q->agents[i].name, agent) == 0) return q->agents[i].queue;
    cr_assert_fail("no agent %s", agent);
    return 0;
}

#endif
