/* Worker, agents, jobs: called through the public interface. Run once for each way of parking ($APIARY_PARK). */
#include "tests/unit/worker_fixture.h"

TestSuite(worker, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

Test(worker, echoes_every_size)
{
    static const size_t sizes[] = {0, 1, 64, 65, 256, 257, 4096, 70000, 1 << 20};
    static char body[1 << 20], text[(1 << 20) + 1];
    apiary_queen_t *q = start();

    for (size_t i = 0; i < sizeof body; i++) body[i] = (char)(i * 31);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = 0;
        cr_assert_eq(apiary_call(a, "echo", body, sizes[i], APIARY_TIMEOUT(LONG), text, sizeof text, &n), 0);
        cr_assert_eq(n, sizes[i]);
        cr_assert_eq(memcmp(text, body, n), 0);
    }
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

Test(worker, job_knows_its_surroundings)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .swarm = "caller"};
    char text[256];
    size_t n = 0;
    apiary_t *other;
    apiary_queen_t *q = start();

    cr_assert_eq(call("about", "", 0, text, sizeof text), 0);
    cr_assert_str_eq(text, "test about about [] 1 1");
    cr_assert_eq(apiary_attach(name, &o, &other), 0);
    cr_assert_eq(apiary_call(other, "about@2", "", 0, APIARY_TIMEOUT(LONG), text, sizeof text, &n), 0);
    text[n] = '\0';
    cr_assert_str_eq(text, "test about about@2 [caller] 1 1");
    apiary_detach(other);
    apiary_queen_stop(q, LONG);
}

Test(worker, failures_carry_text_and_number)
{
    apiary_queen_t *q = start();
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    char text[256];

    cr_assert_eq(apiary_delegate(a, "fail", NULL, 0, NULL, &task), 0);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_assert_eq(result.code, APIARY_EAGENT);
    cr_assert_eq(result.agent_code, 42);
    snprintf(text, sizeof text, "%.*s", (int)result.size, (const char *)result.data);
    cr_assert_str_eq(text, "no luck today, and that is said at some length so that it does not fit a slot: sorry");
    apiary_release(a, &result);
    cr_assert_eq(call("too_large", "", 0, text, sizeof text), APIARY_ETOOLARGE);
    apiary_queen_stop(q, LONG);
}

Test(worker, results_written_in_place)
{
    static char text[300000];
    static const uint32_t sizes[] = {0, 10, 64, 65, 5000, 200000};
    apiary_queen_t *q = start();
    uint32_t wanted;
    size_t n;

    for (int turn = 0; turn < 20; turn++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            wanted = sizes[i];
            cr_assert_eq(apiary_call(a, "reserve", &wanted, sizeof wanted, APIARY_TIMEOUT(LONG), text, sizeof text, &n), 0);
            cr_assert_eq(n, wanted);
            for (size_t k = 0; k < n; k++) cr_assert_eq(text[k], 'r');
        }
    }
    wanted = (1 << 20) + 1;
    cr_assert_eq(apiary_call(a, "reserve", &wanted, sizeof wanted, APIARY_TIMEOUT(LONG), text, sizeof text, &n), APIARY_EAGENT);
    apiary_queen_stop(q, LONG);
}

Test(worker, jobs_are_kept_and_more_than_its_hands_stay_queued)
{
    apiary_queen_t *q = start();
    apiary_task_t tasks[100], go;
    apiary_result_t result = {.struct_size = sizeof result};

    for (int i = 0; i < 100; i++) cr_assert_eq(apiary_delegate(a, "keep", "x", 1, NULL, &tasks[i]), 0);
    while (ap_load_acquire(&kept_count) < (int)AP_AGENT_HANDS) sched_yield();
    for (int i = (int)AP_AGENT_HANDS; i < 100; i++) {
        const struct ap_slot *slot = ap_slot_at(a->seg, tasks[i].slot);
        cr_assert_eq(AP_WORD_STATE(ap_load_acquire(&slot->word)), AP_TASK_QUEUED);
    }
    for (int i = (int)AP_AGENT_HANDS; i < 100; i++) cr_assert_eq(apiary_cancel(a, tasks[i]), 0);
    cr_assert_eq(apiary_delegate(a, "keep", "go", 2, NULL, &go), 0);
    cr_assert_eq(apiary_poll(a, go, &result), APIARY_ENOTREADY, "no hand is free");
    stop_at_once(q); /* at once: what is in hand fails, what is queued stays */
    cr_assert_eq(apiary_await(a, tasks[0], LONG, &result), 0);
    cr_assert_eq(result.code, APIARY_ESHUTDOWN);
    apiary_release(a, &result);
    cr_assert_eq(apiary_poll(a, go, &result), APIARY_ENOTREADY);
    kept_count = 0;
    q = start(); /* the same queues: what waited is done */
    cr_assert_eq(apiary_await(a, go, LONG, &result), 0);
    cr_assert_eq(result.size, 4);
    apiary_release(a, &result);
    apiary_queen_stop(q, LONG);
}

Test(worker, finishes_from_another_thread)
{
    apiary_queen_t *q = start();
    apiary_task_t tasks[60];
    apiary_result_t result = {.struct_size = sizeof result};
    char text[1000];

    for (int i = 0; i < 60; i++) {
        memset(text, i % 3 == 0 ? '!' : 'a', sizeof text);
        cr_assert_eq(apiary_delegate(a, "thread", text, i % 2 == 0 ? 10 : 200, NULL, &tasks[i]), 0);
    }
    for (int i = 0; i < 60; i++) {
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        cr_assert_eq(result.code, i % 3 == 0 ? APIARY_EAGENT : 0);
        cr_assert_eq(result.agent_code, i % 3 == 0 ? 7 : 0);
        cr_assert_eq(result.size, i % 2 == 0 ? 10 : 200);
        apiary_release(a, &result);
    }
    apiary_queen_stop(q, LONG);
}

Test(worker, timers_and_descriptors_of_agents)
{
    apiary_queen_t *q = start();
    char text[64];

    for (int i = 0; i < 10; i++) {
        cr_assert_eq(call("later", "", 0, text, sizeof text), 0);
        cr_assert_str_eq(text, "later");
        cr_assert_eq(call("pipe", "", 0, text, sizeof text), 0);
        cr_assert_str_eq(text, "piped");
    }
    apiary_queen_stop(q, LONG);
}

Test(worker, agents_delegate)
{
    apiary_queen_t *q = start();
    char text[64];

    cr_assert_eq(call("relay", "echo", 4, text, sizeof text), 0);
    cr_assert_str_eq(text, "hello");
    cr_assert_eq(call("relay", "=echo", 5, text, sizeof text), 0);
    cr_assert_str_eq(text, "hello");
    cr_assert_eq(call("relay", "nobody", 6, text, sizeof text), APIARY_EAGENT);
    cr_assert_str_eq(text, "APIARY_ENOCAP");
    cr_assert_eq(call("relay", "fail", 4, text, sizeof text), APIARY_EAGENT);
    cr_assert_str_eq(text, "APIARY_EAGENT");
    /* Kept by its agent for ever: the deadline ends it. */
    cr_assert_eq(call("relay", "keep", 4, text, sizeof text), APIARY_EAGENT);
    cr_assert_str_eq(text, "APIARY_ETIMEDOUT");
    stop_at_once(q);
}

Test(worker, heap_and_local_memory)
{
    apiary_memory_value_t value = {.struct_size = sizeof value};
    apiary_queen_t *q = start();
    apiary_memory_t *m;
    char text[8];

    cr_assert_eq(call("heap", "", 0, text, sizeof text), 0);
    cr_assert_eq(call("local", "", 0, text, sizeof text), 0);
    apiary_queen_stop(q, LONG);
    /* What it has kept outlives it, for all who attach. */
    cr_assert_eq(apiary_memory_open(a, "test", APIARY_MEMORY_LOCAL, &m), 0);
    cr_expect_eq(apiary_memory_get(m, "n", text, sizeof text, &value), 0);
    cr_expect_eq(value.size, 2);
    cr_expect_eq(memcmp(text, "-2", 2), 0);
    apiary_memory_close(m);
}

Test(worker, expired_and_cancelled_tasks_are_not_run)
{
    apiary_queen_t *q = start();
    apiary_task_t late, cancelled;
    apiary_delegate_options_t soon = {.struct_size = sizeof soon, .timeout = 1000000};
    apiary_result_t result = {.struct_size = sizeof result};
    uint32_t queue = queue_of(q, "count");
    struct ap_slot *slot;
    uint64_t word, until;

    /* A worker that is held starts nothing, so that both wait in the queue. */
    hold(&queen_inside(q)->workers[0]);
    cr_assert_eq(apiary_delegate(a, "count", NULL, 0, &soon, &late), 0);
    cr_assert_eq(apiary_delegate(a, "count", NULL, 0, NULL, &cancelled), 0);
    slot = ap_slot_at(a->seg, cancelled.slot);
    word = ap_load_acquire(&slot->word);
    cr_assert_eq(AP_WORD_OWNER(word), queue);
    cr_assert_eq(ap_task_request(a->seg, cancelled.slot, AP_WORD_GENERATION(word), AP_REQUEST_CANCEL), 1);
    until = ap_ops_system.now() + soon.timeout;
    while (ap_ops_system.now() < until) sched_yield();
    ap_worker_command(&queen_inside(q)->workers[0], AP_WORKER_RUN);
    cr_assert_eq(apiary_await(a, cancelled, LONG, &result), 0);
    cr_assert_eq(result.code, APIARY_ECANCELLED);
    apiary_release(a, &result);
    slot = ap_slot_at(a->seg, late.slot);
    while (AP_WORD_STATE(word = ap_load_acquire(&slot->word)) == AP_TASK_QUEUED || AP_WORD_STATE(word) == AP_TASK_RUNNING)
        sched_yield();
    cr_assert_eq(AP_WORD_STATE(word), AP_TASK_FAILED);
    cr_assert_eq(-(int)AP_WORD_OWNER(word), APIARY_ETIMEDOUT);
    cr_assert_eq(ap_load_relaxed(&handled), 0);
    apiary_queen_stop(q, LONG);
}

/* What it waits for, and it itself, are kept for as long as they like. */
Test(worker, one_that_crashed_before_stops_nobody)
{
    apiary_queen_t *q = start();
    apiary_task_t held, suspect, other;
    apiary_result_t result = {.struct_size = sizeof result};
    struct ap_slot *slot;
    uint64_t word;

    cr_assert_eq(apiary_delegate(a, "keep", "x", 1, NULL, &held), 0);
    while (ap_load_acquire(&kept_count) < 1) sched_yield();
    hold(&queen_inside(q)->workers[1]);
    cr_assert_eq(apiary_delegate(a, "keep", "y", 1, NULL, &suspect), 0);
    slot = ap_slot_at(a->seg, suspect.slot);
    word = ap_load_acquire(&slot->word);
    cr_assert(ap_cas(&slot->word, &word, word + AP_WORD_CRASHED(1))); /* as a reaper counts a crash */
    ap_worker_command(&queen_inside(q)->workers[1], AP_WORKER_RUN);
    cr_assert_eq(apiary_delegate(a, "thread", "", 0, NULL, &other), 0);
    cr_assert_eq(apiary_await(a, other, LONG, &result), 0, "another agent of the worker");
    apiary_release(a, &result);
    while (ap_load_acquire(&kept_count) < 2) sched_yield();
    cr_assert_eq(AP_WORD_STATE(ap_load_acquire(&slot->word)), AP_TASK_RUNNING);
    cr_assert_eq(apiary_delegate(a, "keep", "z", 1, NULL, &other), 0);
    while (ap_load_acquire(&kept_count) < 3) sched_yield();
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_job_finish_from_thread(kept[i], 0, NULL, 0), 0);
    cr_assert_eq(apiary_await(a, held, LONG, &result), 0);
    apiary_release(a, &result);
    cr_assert_eq(apiary_await(a, suspect, LONG, &result), 0);
    apiary_release(a, &result);
    cr_assert_eq(apiary_await(a, other, LONG, &result), 0);
    apiary_release(a, &result);
    apiary_queen_stop(q, LONG);
}

/* What it delegates to its own worker would otherwise wait for its end, and it for that. */
Test(worker, one_that_runs_alone_may_delegate_to_its_own_worker)
{
    apiary_queen_t *q = start();
    const apiary_delegate_options_t soon = {.struct_size = sizeof soon, .timeout = 20 * SECOND};
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    struct ap_slot *slot;
    uint64_t word;

    hold(&queen_inside(q)->workers[1]);
    cr_assert_eq(apiary_delegate(a, "relay", "later", 5, &soon, &task), 0);
    slot = ap_slot_at(a->seg, task.slot);
    word = ap_load_acquire(&slot->word);
    cr_assert(ap_cas(&slot->word, &word, word + (1 << 4))); /* as a reaper counts a crash */
    ap_worker_command(&queen_inside(q)->workers[1], AP_WORKER_RUN);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_assert_eq(result.code, 0, "%s", apiary_strerror(result.code));
    apiary_release(a, &result);
    apiary_queen_stop(q, LONG);
}

/* The same while the suspect still waits for one that has delegated. */
Test(worker, one_that_waits_to_run_alone_lets_others_finish)
{
    apiary_queen_t *q = start();
    const apiary_delegate_options_t soon = {.struct_size = sizeof soon, .timeout = 20 * SECOND};
    apiary_task_t relayed, suspect;
    apiary_result_t result = {.struct_size = sizeof result};
    struct ap_slot *slot;
    uint64_t word;

    hold(&queen_inside(q)->workers[1]);
    cr_assert_eq(apiary_delegate(a, "relay", "later", 5, &soon, &relayed), 0);
    cr_assert_eq(apiary_delegate(a, "relay", "echo", 4, &soon, &suspect), 0);
    slot = ap_slot_at(a->seg, suspect.slot);
    word = ap_load_acquire(&slot->word);
    cr_assert(ap_cas(&slot->word, &word, word + (1 << 4)));
    ap_worker_command(&queen_inside(q)->workers[1], AP_WORKER_RUN);
    cr_assert_eq(apiary_await(a, relayed, LONG, &result), 0);
    cr_assert_eq(result.code, 0, "%s", apiary_strerror(result.code));
    apiary_release(a, &result);
    cr_assert_eq(apiary_await(a, suspect, LONG, &result), 0);
    cr_assert_eq(result.code, 0, "%s", apiary_strerror(result.code));
    apiary_release(a, &result);
    apiary_queen_stop(q, LONG);
}

static void *flood(void *arg)
{
    static const size_t sizes[] = {0, 8, 100};
    apiary_task_t tasks[32];
    apiary_result_t result = {.struct_size = sizeof result};
    char body[100];
    intptr_t bad = 0;

    memset(body, 'f', sizeof body);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 32; i++)
            while (apiary_delegate(a, arg, body, sizes[i % 3], NULL, &tasks[i]) < 0) sched_yield();
        for (int i = 0; i < 32; i++) {
            if (apiary_await(a, tasks[i], LONG, &result) < 0 || result.code != 0) {
                bad++;
                continue;
            }
            apiary_release(a, &result);
        }
    }
    return (void *)bad;
}

Test(worker, many_clients_at_once)
{
    static char *const capabilities[] = {"echo", "count", "echo", "thread"};
    apiary_queen_t *q = start();
    pthread_t threads[3];

    for (int i = 0; i < 3; i++) cr_assert_eq(pthread_create(&threads[i], NULL, flood, capabilities[i]), 0);
    for (int i = 0; i < 3; i++) {
        void *bad;
        pthread_join(threads[i], &bad);
        cr_assert_null(bad);
    }
    cr_assert_eq(ap_load_relaxed(&handled), 3200);
    apiary_queen_stop(q, LONG);
}

static uint32_t slots_in_use(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < a->seg->geometry.tasks; i++)
        n += AP_WORD_STATE(ap_load_acquire(&ap_slot_at(a->seg, i)->word)) != AP_TASK_FREE;
    return n;
}

/* Its client asks for nothing any more, nor does anybody else. */
Test(worker, what_is_fire_and_forget_is_freed_when_it_finishes)
{
    static char body[1 << 20];
    const apiary_delegate_options_t detach = {.struct_size = sizeof detach, .flags = APIARY_DETACH};
    apiary_queen_t *q = start();

    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_delegate(a, "count", body, sizeof body, &detach, NULL), 0);
    while (slots_in_use() > 0) sched_yield();
    for (uint64_t i = 0; i < a->seg->sections[AP_SECTION_BLOCKS].count; i++)
        cr_expect_eq(AP_BLOCK_STATE(ap_load_acquire((uint64_t *)ap_at(a->seg, AP_SECTION_BLOCKS, i))), AP_BLOCK_FREE);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* Their client has nothing more to ask, so it frees nothing: whoever needs the blocks does. */
Test(worker, blocks_of_finished_fire_and_forget_tasks_are_had_by_others)
{
    static char body[1 << 20];
    const apiary_delegate_options_t detach = {.struct_size = sizeof detach, .flags = APIARY_DETACH};
    apiary_queen_t *q = start();
    apiary_t *other;
    char text[8];

    cr_assert_eq(apiary_attach(name, NULL, &other), 0);
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_delegate(a, "count", body, sizeof body, &detach, NULL), 0);
    cr_assert_eq(call("count", NULL, 0, text, sizeof text), 0, "it comes after them");
    cr_expect_eq(apiary_call(other, "count", body, sizeof body, APIARY_TIMEOUT(LONG), NULL, 0, NULL), 0);
    apiary_detach(other);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* The largest blocks are all lent out: the task has run, and that is what its caller is told. */
Test(worker, a_result_without_a_block_is_no_task_that_was_not_begun)
{
    const uint32_t size = 1 << 20;
    apiary_queen_t *q = start();
    void *loans[2];

    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_loan(a, size, &loans[i]), 0);
    cr_expect_eq(apiary_call(a, "too_large", &size, sizeof size, APIARY_TIMEOUT(LONG), NULL, 0, NULL), APIARY_ENORESULT);
    for (int i = 0; i < 2; i++) apiary_unloan(a, loans[i]);
    cr_expect_eq(apiary_call(a, "too_large", &size, sizeof size, APIARY_TIMEOUT(LONG), NULL, 0, NULL), 0);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* Nothing is left but the blocks of the requests: what fits into those is written over them, also what lies in them. */
Test(worker, results_without_a_block_take_their_requests)
{
    char body[200], back[200];
    apiary_queen_t *q = start();
    apiary_task_t tasks[8];
    apiary_result_t result = {.struct_size = sizeof result};
    size_t size;
    void *loan, *last = NULL;

    for (int i = 0; i < 8; i++) {
        memset(body, 'a' + i, sizeof body);
        body[0] = 'x';
        cr_assert_eq(apiary_delegate(a, "keep", body, sizeof body, NULL, &tasks[i]), 0);
    }
    while (ap_load_acquire(&kept_count) < 8) sched_yield();
    while (apiary_loan(a, 200, &loan) == 0) last = loan;
    cr_assert_eq(apiary_call(a, "keep", "tell", 4, APIARY_TIMEOUT(LONG), NULL, 0, NULL), 0);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        cr_assert_eq(result.code, 0, "%s", apiary_strerror(result.code));
        memset(body, 'a' + i, sizeof body);
        cr_expect_eq(result.size, sizeof body - 1);
        cr_expect_arr_eq(result.data, body, sizeof body - 1);
        cr_assert_eq(apiary_release(a, &result), 0);
    }
    while (apiary_loan(a, 200, &loan) == 0) last = loan;
    cr_assert_eq(apiary_unloan(a, last), 0);
    cr_expect_eq(apiary_call(a, "fail", body, sizeof body, APIARY_TIMEOUT(LONG), back, sizeof back, &size), APIARY_EAGENT);
    cr_expect_gt(size, 64, "its text is whole: %zu", size);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* ---- order among clients --------------------------------------------------------------------------------------- */

static uint32_t gate, begun, order_of[128];

static void block(void *state, apiary_job_t *job)
{
    (void)state;
    ap_store_release(&begun, 1);
    while (!ap_load_acquire(&gate)) sched_yield();
    apiary_job_reply(job, NULL, 0);
}

static void note(void *state, apiary_job_t *job)
{
    size_t size;

    (void)state;
    memcpy(&order_of[handled++], apiary_job_data(job, &size), sizeof order_of[0]);
    apiary_job_reply(job, NULL, 0);
}

/* What a recovery has the worker look for in the table stands in its way one by one: a client that has much there does not keep
 * another waiting that has one task in its ring. */
Test(worker, rings_are_served_while_the_table_is_searched)
{
    static const apiary_agent_kind_t block_kind = {APIARY_AGENT_KIND, .name = "block", .create = create_nothing, .handle = block},
                                     note_kind = {APIARY_AGENT_KIND, .name = "note", .create = create_nothing, .handle = note};
    static const char *const block_caps[] = {"block", NULL}, *const note_caps[] = {"note", NULL};
    const apiary_agent_description_t agents[] = {{.name = "block", .kind = &block_kind, .capabilities = block_caps},
                                                 {.name = "note", .kind = &note_kind, .capabilities = note_caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 1, .agents = agents,
                                          .agent_count = 2};
    apiary_task_t blocked, tasks[101];
    uint32_t number, at = 0;
    char message[256] = "";
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_t *other;
    apiary_queen_t *q;

    cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &q), 0, "%s", message);
    cr_assert_eq(apiary_attach(name, NULL, &other), 0);
    number = 1000;
    cr_assert_eq(apiary_call(a, "note", &number, sizeof number, APIARY_TIMEOUT(LONG), NULL, 0, NULL), 0, "its first scan is over");
    handled = 0;
    cr_assert_eq(apiary_delegate(a, "block", NULL, 0, NULL, &blocked), 0);
    while (!ap_load_acquire(&begun)) sched_yield();
    for (number = 0; number < 100; number++)
        cr_assert_eq(apiary_delegate(a, "note", &number, sizeof number, NULL, &tasks[number]), 0);
    cr_assert_eq(apiary_delegate(other, "note", &number, sizeof number, NULL, &tasks[100]), 0);
    ap_add_acq_rel(&a->seg->header->rescan, 1);
    ap_store_release(&gate, 1);
    cr_assert_eq(apiary_await(other, tasks[100], LONG, &result), 0);
    cr_assert_eq(apiary_release(other, &result), 0);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        cr_assert_eq(apiary_release(a, &result), 0);
    }
    cr_assert_eq(apiary_await(a, blocked, LONG, &result), 0);
    cr_assert_eq(apiary_release(a, &result), 0);
    while (order_of[at] != 100) at++;
    cr_expect_lt(at, 10, "it came after %u of the other's", at);
    for (uint32_t i = 0, next = 0; i < 101; i++)
        if (order_of[i] != 100) cr_expect_eq(order_of[i], next++);
    apiary_detach(other);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* References that were taken from a ring and never begun, as by a worker that died between the two: the search of the table that
 * a recovery asks for finds them, all of them. */
Test(worker, the_search_of_the_table_finds_all_that_was_never_begun)
{
    static const apiary_agent_kind_t block_kind = {APIARY_AGENT_KIND, .name = "block", .what = "", .keys = NULL,
                                                   .create = create_nothing, .handle = block, .destroy = NULL,
                                                       .capabilities = NULL};
    static const char *const block_caps[] = {"block", NULL};
    const apiary_agent_description_t agents[] = {{.name = "block", .kind = &block_kind, .capabilities = block_caps},
                                                 {.name = "count", .kind = &count_kind, .capabilities = count_caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 1, .agents = agents,
                                          .agent_count = 2};
    apiary_task_t blocked, tasks[5];
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_queen_t *q;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    cr_assert_eq(apiary_call(a, "count", NULL, 0, APIARY_TIMEOUT(LONG), NULL, 0, NULL), 0, "its first scan is over");
    cr_assert_eq(apiary_delegate(a, "block", NULL, 0, NULL, &blocked), 0);
    while (!ap_load_acquire(&begun)) sched_yield();
    for (int i = 0; i < 5; i++) cr_assert_eq(apiary_delegate(a, "count", NULL, 0, NULL, &tasks[i]), 0);
    for (int i = 0; i < 5; i++) cr_assert_neq(ap_queue_pop(&queen_inside(q)->agents[1].consumer), 0, "its worker is in a handler");
    ap_add_acq_rel(&a->seg->header->rescan, 1);
    ap_store_release(&gate, 1);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        cr_assert_eq(apiary_release(a, &result), 0);
    }
    cr_assert_eq(apiary_await(a, blocked, LONG, &result), 0);
    cr_assert_eq(apiary_release(a, &result), 0);
    cr_expect_eq(ap_load_relaxed(&handled), 6);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}
