/* What is used after its end: each function that takes a handle, an agent, a queen, a job or a watch has a row here, which
 * tests/exports.sh holds complete. A row is one call, with arguments that are good but for what is gone. */
#include "registry/client/handles.h"
#include "tests/unit/worker_fixture.h"

TestSuite(stale, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

#define GONE(function, arguments, wanted) cr_expect_eq(function arguments, wanted, #function)
#define GONE_TEXT(function, arguments, wanted) cr_expect_str_eq(function arguments, wanted, #function)
#define GONE_NULL(function, arguments) cr_expect_null(function arguments, #function)
#define GONE_SILENT(function, arguments) function arguments /* nothing can be seen of it but that it comes back */

/* ---- handles of the segment ------------------------------------------------------------------------------------- */

static const apiary_delegate_options_t forget = {.struct_size = sizeof forget, .flags = APIARY_DETACH};

/* APIARY_ESTALE, of whatever kind the handle was. */
static void all_gone(apiary_t *h, int wanted)
{
    apiary_request_t request = {.struct_size = sizeof request, .capability = "echo", .body = "x", .size = 1};
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "late", .workers = 1, .agents = all_agents,
                                    .agent_count = 1};
    apiary_result_t result = {.struct_size = sizeof result}, held = {.struct_size = sizeof held, .data = "x", .size = 1};
    apiary_provider_t provider = {.struct_size = sizeof provider};
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_swarm_status_t row = {.struct_size = sizeof row};
    apiary_capability_t bound = {.check = 1};
    apiary_task_t task = {.generation = 1};
    apiary_queen_t *queen = NULL;
    void *block = NULL;
    char text[8], message[256];
    apiary_dead_t dead = {.struct_size = sizeof dead};
    apiary_progress_t progress = {.struct_size = sizeof progress};
    apiary_memory_t *memory = NULL;
    apiary_instance_watch_t *instances = NULL;
    apiary_claim_t claim = {.struct_size = sizeof claim};
    apiary_claim_stats_t claims = {.struct_size = sizeof claims};
    apiary_memory_stats_t counts = {.struct_size = sizeof counts};
    apiary_part_t part = {.struct_size = sizeof part};
    size_t n = 7;
    int code = 7;

    GONE(apiary_segment_fd, (h), wanted);
    GONE(apiary_delegate, (h, "echo", "x", 1, NULL, &task), wanted);
    GONE(apiary_delegate, (h, "echo", "x", 1, &forget, NULL), wanted);
    GONE(apiary_bind, (h, "echo", &bound), wanted);
    GONE(apiary_delegate_bound, (h, bound, "x", 1, NULL, &task), wanted);
    GONE(apiary_loan, (h, 100, &block), wanted);
    GONE(apiary_refusal, (h, &refusal), wanted);
    GONE(apiary_unloan, (h, text), wanted);
    GONE(apiary_delegate_loan, (h, "echo", text, 1, NULL, &task), wanted);
    GONE(apiary_await, (h, task, APIARY_FOREVER, &result), wanted);
    GONE(apiary_poll, (h, task, &result), wanted);
    GONE(apiary_interrupt, (h), wanted);
    GONE(apiary_await_any, (h, &task, 1, APIARY_FOREVER, &result), wanted);
    GONE(apiary_delegate_batch, (h, &request, 1, &task, &n), wanted);
    GONE(apiary_delegate_all, (h, "echo", "x", 1, NULL, &provider, &task, &code, 1), wanted);
    cr_expect_eq(n, 0);
    GONE(apiary_await_batch, (h, &task, 1, APIARY_FOREVER, &result, &n), wanted);
    GONE(apiary_release, (h, &held), wanted);
    cr_expect_not_null(held.data);
    GONE(apiary_call, (h, "echo", "x", 1, NULL, text, sizeof text, &n), wanted);
    GONE(apiary_call_bound, (h, bound, "x", 1, NULL, text, sizeof text, &n), wanted);
    GONE(apiary_cancel, (h, task), wanted);
    GONE(apiary_lane_fd, (h), wanted);
    GONE(apiary_discover, (h, "echo", &provider, 1), wanted);
    GONE(apiary_discover, (h, "echo", NULL, 0), wanted);
    GONE(apiary_instances, (h, NULL, NULL, 0), wanted);
    GONE(apiary_instance_watch, (h, NULL, 0, &instances), wanted);
    GONE(apiary_swarm_status, (h, NULL, &row, 1), wanted);
    GONE(apiary_progress, (h, task, &progress), wanted);
    GONE(apiary_dead_next, (h, 0, &dead), wanted);
    GONE(apiary_dead_body, (h, 1, text, sizeof text), wanted);
    GONE(apiary_dead_retry, (h, 1, &task), wanted);
    GONE(apiary_dead_discard, (h, 1), wanted);
    GONE(apiary_fetch, (h, task, 0, text, sizeof text, &result), wanted);
    GONE(apiary_forget, (h, task), wanted);
    GONE(apiary_memory_open, (h, "space", 0, &memory), wanted);
    GONE(apiary_memory_stats, (h, &counts), wanted);
    GONE(apiary_claim, (h, "key", 1, NULL, &claim), wanted);
    GONE(apiary_claim_renew, (h, "key", 1, 1, NULL), wanted);
    GONE(apiary_claim_release, (h, "key", 1), wanted);
    GONE(apiary_claim_check, (h, "key", 1), wanted);
    GONE(apiary_claim_stats, (h, &claims), wanted);
    GONE(apiary_next_part, (h, task, 0, text, sizeof text, &part), wanted);
    GONE(apiary_queen_start, (h, &d, message, sizeof message, &queen), wanted);
    GONE(apiary_detach, (h), wanted);
    cr_expect_null(queen);
    cr_expect_null(block);
}

static void *all_gone_elsewhere(void *h)
{
    all_gone(h, APIARY_ESTALE);
    return NULL;
}

static apiary_t *attach_new(int read_only)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .read_only = read_only};
    apiary_t *h = NULL;

    cr_assert_eq(apiary_attach(name, &o, &h), 0);
    return h;
}

Test(stale, every_function_refuses_a_detached_handle)
{
    apiary_queen_t *q = start();
    apiary_t *gone[3], *later[64];
    pthread_t thread;
    char text[8];

    gone[0] = attach_new(0);
    gone[1] = attach_new(1);
    cr_assert_eq(apiary_attach_fd(apiary_segment_fd(a), NULL, &gone[2]), 0);
    for (int i = 0; i < 3; i += 2) {
        apiary_provider_t provider = {.struct_size = sizeof provider};

        cr_assert_eq(apiary_call(gone[i], "echo", "x", 1, NULL, text, sizeof text, NULL), 0);
        cr_assert_eq(apiary_discover(gone[i], "echo", &provider, 1), 1);
    }
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_detach(gone[i]), 0);
    for (int i = 0; i < 3; i++) all_gone(gone[i], APIARY_ESTALE);
    /* What is attached since lies elsewhere. */
    for (int i = 0; i < 64; i++) {
        later[i] = attach_new(1);
        for (int k = 0; k < 3; k++) cr_assert_neq(later[i], gone[k]);
    }
    for (int i = 0; i < 3; i++) {
        all_gone(gone[i], APIARY_ESTALE);
        cr_assert_eq(pthread_create(&thread, NULL, all_gone_elsewhere, gone[i]), 0);
        pthread_join(thread, NULL);
    }
    for (int i = 0; i < 64; i++) cr_expect_eq(apiary_detach(later[i]), 0);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

struct user {
    apiary_t *handle;
    int step; /* 1: has called, 2: the handle is gone */
};

static void *use_and_see_it_go(void *arg)
{
    struct user *u = arg;
    char text[8];

    cr_expect_eq(apiary_call(u->handle, "echo", "x", 1, NULL, text, sizeof text, NULL), 0);
    ap_store_release(&u->step, 1);
    while (ap_load_acquire(&u->step) != 2) sched_yield();
    all_gone(u->handle, APIARY_ESTALE);
    return NULL;
}

/* It still has what it used last in mind. */
Test(stale, a_thread_that_has_used_a_handle_is_refused_when_another_has_detached_it)
{
    apiary_queen_t *q = start();
    struct user u = {.handle = attach_new(0)};
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, use_and_see_it_go, &u), 0);
    while (ap_load_acquire(&u.step) != 1) sched_yield();
    cr_assert_eq(apiary_detach(u.handle), 0);
    ap_store_release(&u.step, 2);
    pthread_join(thread, NULL);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

Test(stale, a_forked_child_tells_its_parents_from_what_was_detached_before)
{
    apiary_t *gone = attach_new(0);
    int status;
    pid_t pid;

    cr_assert_eq(apiary_detach(gone), 0);
    pid = fork();
    if (pid == 0) {
        apiary_t *own;

        if (apiary_segment_fd(gone) != APIARY_ESTALE || apiary_segment_fd(a) != APIARY_EFORKED) _exit(1);
        if (apiary_attach(name, NULL, &own) != 0 || own == gone || own == a) _exit(2);
        if (apiary_detach(own) != 0 || apiary_detach(own) != APIARY_ESTALE) _exit(3);
        if (apiary_detach(gone) != APIARY_ESTALE || apiary_detach(a) != APIARY_EFORKED) _exit(4);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

/* ---- their memory ----------------------------------------------------------------------------------------------- */

static size_t resident(void)
{
    unsigned long size, pages;
    FILE *f = fopen("/proc/self/statm", "re");

    cr_assert_not_null(f);
    cr_assert_eq(fscanf(f, "%lu %lu", &size, &pages), 2);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void drop(struct apiary *h)
{
    ap_clients_lock();
    ap_client_free(h);
    ap_clients_unlock();
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define ROUNDS 50000u /* whose own memory of what was touched grows */
#else
#define ROUNDS 1500000u
#endif

/* More rounds than there are addresses. */
Test(stale, the_memory_of_handles_has_a_bound)
{
    const size_t all = (size_t)AP_CLIENT_PAGES * AP_CLIENTS_IN_PAGE;
    struct apiary *stays = ap_client_new(), *first, *h;
    size_t before, again = 0;

    stays->serial = 7;
    for (size_t i = 0; i < AP_CLIENTS_IN_PAGE; i++) drop(ap_client_new());
    first = ap_client_new(); /* in a page that is nobody's else */
    drop(first);
    before = resident();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        h = ap_client_new();
        cr_assert_not_null(h);
        cr_assert_neq(h, stays);
        cr_assert_eq(h->serial, 0);
        cr_assert_null(h->canary);
        if (h == first && again == 0) again = i;
        h->serial = i + 1;
        drop(h);
    }
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    cr_expect_lt(resident(), before + (4u << 20));
    cr_expect_gt(again, all - 2 * AP_CLIENTS_IN_PAGE, "an address comes back when all others have been used");
#else
    (void)before;
    (void)all;
    cr_expect_eq(again, 0);
#endif
    cr_expect_eq(stays->serial, 7);
    drop(stays);
}

/* What an attachment took that was refused is given back. */
Test(stale, a_refused_attachment_keeps_no_handle)
{
    apiary_t *most[64], *none = NULL;
    struct apiary *before, *after;
    size_t n = 0;
    int r;

    while (n < sizeof most / sizeof *most && apiary_attach(name, NULL, &most[n]) == 0) n++;
    cr_assert_lt(n, sizeof most / sizeof *most, "the table of members is full");
    do { /* until all three have one page */
        before = ap_client_new();
        drop(before);
        r = apiary_attach(name, NULL, &none);
        after = ap_client_new();
        drop(after);
    } while (after != before + 2);
    cr_expect_eq(r, APIARY_ENOLANE, "%d", r);
    cr_expect_null(none);
    cr_expect_null((before + 1)->seg, "it is not in use any more");
    while (n > 0) apiary_detach(most[--n]);
}

/* Nobody's memory goes while it is in use, whatever comes and goes beside it. */
Test(stale, a_handle_that_stays_keeps_its_memory)
{
    struct apiary *stays[200];
    size_t n = 0;

    for (size_t i = 0; i < 20000; i++) {
        struct apiary *h = ap_client_new();

        h->serial = i;
        if (i % 100 == 99) stays[n++] = h;
        else drop(h);
    }
    for (size_t i = 0; i < n; i++) {
        cr_expect_eq(stays[i]->serial, i * 100 + 99);
        drop(stays[i]);
    }
}

/* ---- queens ----------------------------------------------------------------------------------------------------- */

static void queen_gone(apiary_queen_t *queen)
{
    char text[8];
    size_t n;

    GONE(apiary_execute_task, (queen, "echo", "x", 1, NULL, text, sizeof text, &n), APIARY_ESTALE);
    GONE(apiary_delegate_external_task, (queen, "echo", "x", 1, NULL, text, sizeof text, &n), APIARY_ESTALE);
    GONE(apiary_queen_stop, (queen, LONG), APIARY_ESTALE);
}

Test(stale, every_function_refuses_a_queen_that_has_left)
{
    apiary_queen_t *gone[8], *q;

    for (int i = 0; i < 8; i++) {
        gone[i] = start();
        for (int k = 0; k < i; k++) {
            cr_expect_neq(gone[k], gone[i]);
            queen_gone(gone[k]);
        }
        cr_assert_eq(apiary_queen_stop(gone[i], LONG), 0);
        queen_gone(gone[i]);
    }
    q = start();
    cr_expect_eq(apiary_queen_stop((apiary_queen_t *)(void *)a, LONG), APIARY_ESTALE, "what is no queen's at all");
    for (int i = 0; i < 8; i++) queen_gone(gone[i]);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* She would go on with a segment that is not mapped any more. */
Test(stale, a_handle_with_a_queen_stays)
{
    apiary_t *h = attach_new(0);
    apiary_queen_t *q = start_as(h, "lives", NULL);
    char text[8];

    cr_expect_eq(apiary_detach(h), APIARY_EINVAL);
    cr_expect_eq(apiary_execute_task(q, "echo", "x", 1, NULL, text, sizeof text, NULL), 0);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    cr_expect_eq(apiary_detach(h), 0);
}

Test(stale, a_forked_childs_queen_is_its_parents)
{
    apiary_queen_t *q = start();
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        char text[8];

        if (apiary_queen_stop(q, 0) != APIARY_EFORKED) _exit(1);
        if (apiary_execute_task(q, "echo", "x", 1, NULL, text, sizeof text, NULL) != APIARY_EFORKED) _exit(2);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* ---- agents ----------------------------------------------------------------------------------------------------- */

static apiary_agent_t *known_agent;
static apiary_job_t *known_job;
static apiary_watch_t *known_watch;

static void never(void *user, uint32_t events)
{
    (void)user;
    (void)events;
    cr_expect_fail("it was closed");
}

static int remember(apiary_agent_t *agent, void **state)
{
    known_agent = *state = agent;
    cr_expect_eq(apiary_watch_timer(agent, UINT64_MAX, never, NULL, &known_watch), 0);
    return 0;
}

static int in_destroy;

/* In its destroy it is still itself. */
static void forget_agent(void *state)
{
    cr_expect_str_eq(apiary_agent_name(state), "known");
    in_destroy++;
}

static void keep_job(void *state, apiary_job_t *job)
{
    (void)state;
    known_job = job;
    cr_expect_eq(apiary_job_agent(job), known_agent);
    apiary_job_reply(job, NULL, 0);
}

KIND(known, remember, keep_job, forget_agent);

static void done(void *user, const apiary_result_t *result)
{
    (void)user;
    (void)result;
    cr_expect_fail("nothing was delegated");
}

static void agent_gone(apiary_agent_t *agent)
{
    const char *const *list = NULL, *folder = NULL;
    apiary_watch_t *watch = NULL;
    int64_t number = 0;
    char text[8];

    GONE_TEXT(apiary_agent_name, (agent), "");
    GONE_TEXT(apiary_agent_service, (agent), "");
    GONE_NULL(apiary_agent_handle, (agent));
    GONE_TEXT(apiary_agent_text, (agent, "key", "otherwise"), "otherwise");
    GONE(apiary_agent_number, (agent, "key", 7), 7);
    GONE(apiary_agent_list, (agent, "key", &list), 0);
    GONE_SILENT(apiary_agent_log, (agent, 3, "from %s", "nowhere"));
    GONE_SILENT(apiary_agent_log_text, (agent, 3, "from nowhere", 12));
    GONE(apiary_agent_limit, (agent, 5), APIARY_ESTALE);
    GONE(apiary_agent_folder, (agent, &folder), APIARY_ESTALE);
    cr_expect_null(folder);
    GONE_NULL(apiary_agent_alloc, (agent, 10));
    GONE_NULL(apiary_agent_resize, (agent, NULL, 10));
    GONE_SILENT(apiary_agent_free, (agent, text));
    GONE(apiary_agent_allocated, (agent), 0);
    GONE(apiary_local_put, (agent, "k", "v", 1), APIARY_ESTALE);
    GONE(apiary_local_get, (agent, "k", text, sizeof text), APIARY_ESTALE);
    GONE(apiary_local_delete, (agent, "k"), APIARY_ESTALE);
    GONE(apiary_local_incr, (agent, "k", 1, &number), APIARY_ESTALE);
    GONE(apiary_agent_execute_task, (agent, "echo", "x", 1, NULL, done, NULL), APIARY_ESTALE);
    GONE(apiary_agent_execute_task, (agent, "echo", "x", 1, &forget, NULL, NULL), APIARY_ESTALE);
    GONE(apiary_agent_delegate_external_task, (agent, "echo", "x", 1, NULL, done, NULL), APIARY_ESTALE);
    GONE(apiary_watch_fd, (agent, 0, POLLIN, never, NULL, &watch), APIARY_ESTALE);
    GONE(apiary_watch_timer, (agent, 1, never, NULL, &watch), APIARY_ESTALE);
    cr_expect_null(watch);
    cr_expect_null(list);
}

static void never_ready(void *user, apiary_job_t *job)
{
    (void)user, (void)job;
    cr_assert_fail("called for a job that has ended");
}

static void job_gone(apiary_job_t *job)
{
    apiary_trace_t trace = {.flags = 7};
    void *block = NULL;
    size_t size = 7;

    GONE_NULL(apiary_job_data, (job, &size));
    cr_expect_eq(size, 0);
    GONE_TEXT(apiary_job_capability, (job), "");
    GONE_TEXT(apiary_job_caller, (job), "");
    GONE(apiary_job_deadline, (job), 0);
    GONE(apiary_job_cancelled, (job), 1);
    GONE(apiary_job_beat, (job, "x", 1), APIARY_ESTALE);
    GONE(apiary_job_task, (job).generation, 0);
    GONE(apiary_job_attempt, (job), 0);
    GONE(apiary_job_trace, (job, &trace), APIARY_ESTALE);
    cr_expect_eq(trace.flags, 7);
    GONE_NULL(apiary_job_agent, (job));
    GONE_SILENT(apiary_job_set_user, (job, &size));
    GONE_NULL(apiary_job_user, (job));
    GONE(apiary_job_reply, (job, "x", 1), APIARY_ESTALE);
    GONE(apiary_job_fail, (job, 1, "x"), APIARY_ESTALE);
    GONE(apiary_job_fail_text, (job, 1, "x", 1), APIARY_ESTALE);
    GONE(apiary_job_reserve, (job, 1000, &block), APIARY_ESTALE);
    GONE(apiary_job_retry, (job, 1000), APIARY_ESTALE);
    GONE(apiary_job_delegate, (job, "echo", "x", 1, NULL, done, NULL), APIARY_ESTALE);
    GONE(apiary_job_part, (job, "x", 1), APIARY_ESTALE);
    GONE(apiary_job_part_ready, (job, never_ready, NULL), APIARY_ESTALE);
    GONE(apiary_job_finish_from_thread, (job, 0, "x", 1), APIARY_ESTALE);
    cr_expect_null(block);
}

static const char *const known_caps[] = {"known", NULL};

static apiary_queen_t *start_known(void)
{
    static const apiary_agent_description_t agents[] = {{.name = "known", .kind = &known_kind, .capabilities = known_caps}};
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "known", .agents = agents, .agent_count = 1,
                                    .log = log_line};
    apiary_queen_t *q = NULL;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    cr_assert_eq(apiary_call(a, "known", NULL, 0, NULL, NULL, 0, NULL), 0);
    return q;
}

/* Entries of the table of names come back: those of an agent as a watch's, those of a job as an agent's. */
Test(stale, every_function_refuses_an_agent_that_is_no_more)
{
    apiary_agent_t *agents[3];
    apiary_job_t *jobs[3];
    apiary_watch_t *watches[3];
    apiary_queen_t *q;

    for (int i = 0; i < 3; i++) {
        q = start_known();
        agents[i] = known_agent;
        jobs[i] = known_job;
        watches[i] = known_watch;
        cr_assert_eq(apiary_queen_stop(q, LONG), 0);
        cr_expect_eq(in_destroy, i + 1);
        last_log[0] = '\0';
        for (int k = 0; k <= i; k++) {
            agent_gone(agents[k]);
            job_gone(jobs[k]);
            GONE(apiary_watch_close, (watches[k]), APIARY_ESTALE);
        }
        cr_expect_str_eq(logged(), "");
    }
    q = start();
    for (int k = 0; k < 3; k++) {
        agent_gone(agents[k]);
        job_gone(jobs[k]);
        GONE(apiary_watch_close, (watches[k]), APIARY_ESTALE);
    }
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* Of three kinds of objects each is none of the others, even where its entry was theirs. */
Test(stale, what_is_taken_for_something_else_is_refused)
{
    apiary_queen_t *q = start_known();
    struct ap_handle *h = ap_handle_open(&q, AP_HANDLE_WATCH);
    void *watch = ap_handle_name(h), *job;

    agent_gone(watch);
    cr_expect_eq(apiary_queen_stop(watch, LONG), APIARY_ESTALE);
    cr_expect_eq(apiary_watch_close((void *)known_agent), APIARY_ESTALE);
    cr_expect_eq(apiary_watch_close((void *)q), APIARY_ESTALE);
    ap_handle_close(h);
    /* A job's entry that is a watch's by now: whose fault it is cannot be told any more. */
    h = ap_handle_open(&q, AP_HANDLE_JOB);
    job = ap_handle_name(h);
    ap_handle_close(h);
    cr_assert_eq(ap_handle_open(&q, AP_HANDLE_WATCH), h);
    job_gone(job);
    ap_handle_close(h);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}
