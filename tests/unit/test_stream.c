/* Parts of a result, read as they come: in order, once, by attempt, and no further ahead than the window allows. */
#include "tests/unit/worker_fixture.h"

#include "shm/check.h"

TestSuite(stream, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static apiary_queen_t *own;

/* What the agent is to do: request of the task. */
struct order {
    uint32_t parts, size;
    uint32_t fail;  /* so many attempts fail after their parts */
    uint32_t tail;  /* bytes of the answer behind them */
    uint32_t hold;  /* it is answered later, by the test */
};

struct work {
    struct order order;
    uint32_t sent;
    int last; /* what the last part came to */
    apiary_job_t *job;
};

static uint32_t behind, called; /* how often a part found no room, and how often its function was called */
static apiary_job_t *held;      /* by any thread */
static uint32_t dropped;        /* parts that were accepted after the task was given up or cancelled */

static void fill(uint8_t *bytes, uint32_t size, uint32_t attempt, uint32_t number)
{
    for (uint32_t i = 0; i < size; i++) bytes[i] = (uint8_t)(attempt * 31 + number * 7 + i);
}

static void work_end(struct work *w)
{
    static uint8_t tail[4096];
    uint32_t attempt = apiary_job_attempt(w->job);

    fill(tail, w->order.tail, attempt, w->sent);
    if (attempt <= w->order.fail) apiary_job_fail(w->job, 7, "again");
    else if (w->order.hold != 0) ap_store_release(&held, w->job);
    else apiary_job_reply(w->job, tail, w->order.tail);
    free(w);
}

static void work_on(void *user, apiary_job_t *job)
{
    static uint8_t part[1 << 20];
    struct work *w = user;

    ap_add_relaxed(&called, w->last == APIARY_EBEHIND);
    if (apiary_job_cancelled(job) && w->order.hold != 0) w->order.parts = w->sent;
    for (; w->sent < w->order.parts; w->sent++) {
        fill(part, w->order.size, apiary_job_attempt(job), w->sent);
        w->last = apiary_job_part(job, part, w->order.size);
        if (w->last == APIARY_EBEHIND) {
            ap_add_relaxed(&behind, 1);
            cr_assert_eq(apiary_job_part_ready(job, work_on, w), 0);
            return;
        }
        if (w->last < 0) break;
        ap_add_relaxed(&dropped, apiary_job_cancelled(job) != 0);
    }
    work_end(w);
}

static void produce(void *state, apiary_job_t *job)
{
    struct work *w = calloc(1, sizeof *w);
    size_t size;
    const void *body = apiary_job_data(job, &size);

    (void)state;
    memcpy(&w->order, body, size < sizeof w->order ? size : sizeof w->order);
    w->job = job;
    work_on(w, job);
}

static const apiary_agent_kind_t produce_kind = {APIARY_AGENT_KIND, .name = "produce", .create = create_nothing, .handle = produce};

static void start_produce(void)
{
    static const char *const caps[] = {"produce", NULL}, *const echoes[] = {"echo", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "produce", .kind = &produce_kind, .capabilities = caps},
                                                        {.name = "echo", .kind = &echo_kind, .capabilities = echoes}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "own", .agents = agents, .agent_count = 2,
                                          .log = log_line};

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &own), 0);
}

static apiary_task_t order(struct order what, apiary_delegate_options_t o)
{
    apiary_task_t task;

    o.struct_size = sizeof o;
    if (o.timeout == 0) o.timeout = LONG;
    cr_assert_eq(apiary_delegate(a, "produce", &what, sizeof what, &o, &task), 0);
    return task;
}

/* Parts of an attempt before that may still be there until it has begun. */
static void expect_part(apiary_task_t task, uint32_t size, uint32_t attempt, uint32_t number)
{
    static uint8_t got[1 << 16], wanted[1 << 16];
    apiary_part_t part = {.struct_size = sizeof part};

    do {
        cr_assert_eq(apiary_next_part(a, task, LONG, got, sizeof got, &part), 1, "part %u of attempt %u", number, attempt);
    } while (part.attempt < attempt);
    cr_assert(part.attempt == attempt && part.number == number && part.size == size, "part %u.%u of %zu bytes, wanted %u.%u of %u",
              part.attempt, part.number, part.size, attempt, number, size);
    fill(wanted, size, attempt, number);
    cr_assert_eq(memcmp(got, wanted, size), 0, "bytes of part %u.%u", attempt, number);
}

static apiary_result_t expect_end(apiary_task_t task, int code)
{
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_part_t part = {.struct_size = sizeof part};

    cr_assert_eq(apiary_next_part(a, task, LONG, NULL, 0, &part), 0, "no part any more");
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_assert_eq(result.code, code, "%s", apiary_strerror(result.code));
    return result;
}

/* All blocks are back, and the checkers find nothing. */
static void tell(void *user, const struct ap_finding *f)
{
    (void)user;
    cr_log_error("%s %llu: %s %s", f->structure, (unsigned long long)f->index, f->rule, f->text);
}

static void expect_sound(void)
{
    struct ap_report report = {.found = tell};
    uint32_t used = 0;

    for (uint64_t i = 0; i < a->seg->sections[AP_SECTION_BLOCKS].count; i++)
        used += AP_BLOCK_STATE(ap_load_acquire((uint64_t *)ap_at(a->seg, AP_SECTION_BLOCKS, i))) != AP_BLOCK_FREE;
    cr_expect_eq(used, 0, "%u blocks are in use", used);
    ap_check_all(a->seg, &report);
    cr_expect(report.corrupt == 0 && report.repairable == 0, "findings");
}

static void give_back(apiary_result_t *result)
{
    cr_assert_eq(apiary_release(a, result), 0);
}

#define PARTS (apiary_delegate_options_t){.flags = APIARY_PARTS}

Test(stream, parts_come_in_order_and_the_end_says_how_many)
{
    apiary_result_t result;
    apiary_task_t task;

    start_produce();
    for (uint32_t round = 0; round < 3; round++) {
        task = order((struct order){.parts = 50, .size = 1 + round * 33, .tail = 100}, PARTS);
        for (uint32_t i = 0; i < 50; i++) expect_part(task, 1 + round * 33, 1, i);
        result = expect_end(task, 0);
        cr_expect(result.parts == 50 && result.size == 100 && result.attempts == 1, "%u parts, %zu bytes", result.parts,
                  result.size);
        give_back(&result);
        expect_sound();
    }
    /* A task that sends none. */
    task = order((struct order){.tail = 5}, PARTS);
    result = expect_end(task, 0);
    cr_expect(result.parts == 0 && result.size == 5);
    give_back(&result);
    /* Those that nobody reads go with the task. */
    task = order((struct order){.parts = 9, .size = 20}, PARTS);
    result = (apiary_result_t){.struct_size = sizeof result};
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_expect_eq(result.parts, 9);
    give_back(&result);
    expect_sound();
    stop_at_once(own);
}

Test(stream, a_caller_that_does_not_ask_gets_one_result)
{
    static uint8_t got[1 << 20], wanted[200];
    apiary_delegate_options_t keep = {.struct_size = sizeof keep, .flags = APIARY_DETACH, .keep = LONG, .timeout = LONG};
    struct order what = {.parts = 40, .size = 100, .tail = 30};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    size_t size = 0;

    start_produce();
    cr_assert_eq(apiary_call(a, "produce", &what, sizeof what, NULL, got, sizeof got, &size), 0);
    cr_assert_eq(size, 40 * 100 + 30);
    for (uint32_t i = 0; i <= 40; i++) {
        fill(wanted, i < 40 ? 100 : 30, 1, i);
        cr_assert_eq(memcmp(got + (size_t)100 * i, wanted, i < 40 ? 100 : 30), 0, "part %u", i);
    }
    /* Also where parts are asked for in a call, and for a result that is kept. */
    size = 0;
    cr_assert_eq(apiary_call(a, "produce", &what, sizeof what,
                             &(const apiary_delegate_options_t){.struct_size = sizeof(apiary_delegate_options_t),
                                                                .flags = APIARY_PARTS}, got, sizeof got, &size), 0);
    cr_expect_eq(size, 40 * 100 + 30);
    cr_assert_eq(apiary_delegate(a, "produce", &what, sizeof what, &keep, &task), 0);
    cr_assert_eq(apiary_fetch(a, task, LONG, got, sizeof got, &result), 0);
    cr_expect_eq(result.size, 40 * 100 + 30);
    cr_assert_eq(apiary_forget(a, task), 0);
    /* What is larger than any block fails, and is not cut. */
    what = (struct order){.parts = 20, .size = 60000, .tail = 5};
    cr_expect_eq(apiary_call(a, "produce", &what, sizeof what, NULL, got, sizeof got, &size), APIARY_ETOOLARGE);
    cr_expect(strstr(logged(), "(produce) failed: ") != NULL && strstr(logged(), apiary_strerror(APIARY_ETOOLARGE)) != NULL, "%s",
              logged());
    /* A failure's text is not behind the parts. */
    what = (struct order){.parts = 2, .size = 10, .fail = 1};
    cr_expect_eq(apiary_call(a, "produce", &what, sizeof what, NULL, got, sizeof got, &size), APIARY_EAGENT);
    cr_expect(size == 5 && memcmp(got, "again", 5) == 0);
    stop_at_once(own);
    expect_sound();
}

Test(stream, a_reader_that_is_slow_stops_the_writer_and_nobody_else)
{
    apiary_part_t part = {.struct_size = sizeof part};
    apiary_result_t result;
    char text[8];
    size_t size;
    apiary_task_t task;

    start_produce();
    task = order((struct order){.parts = 500, .size = 1000, .tail = 3}, PARTS);
    for (uint32_t i = 0; i < 500; i++) {
        if (i % 50 == 0) {
            while (ap_load_relaxed(&behind) == i / 50) sched_yield(); /* it has found no room since */
            cr_expect_eq(apiary_call(a, "echo", "hello", 5, NULL, text, sizeof text, &size), 0, "the same worker");
        }
        expect_part(task, 1000, 1, i);
    }
    result = expect_end(task, 0);
    cr_expect_eq(result.parts, 500);
    give_back(&result);
    cr_expect_eq(called, behind, "it is called each time, once");
    cr_expect_lt(behind, 80, "and not for each part: %u", behind);
    /* Parts as large as the window, and larger. */
    task = order((struct order){.parts = 3, .size = 16384 - 8}, PARTS);
    for (uint32_t i = 0; i < 3; i++) expect_part(task, 16384 - 8, 1, i);
    result = expect_end(task, 0);
    give_back(&result);
    task = order((struct order){.parts = 3, .size = 16384 - 7}, PARTS);
    result = expect_end(task, 0);
    cr_expect_eq(result.parts, 0, "APIARY_ETOOLARGE");
    give_back(&result);
    cr_expect_eq(apiary_next_part(a, task, 0, NULL, 0, &part), APIARY_ESTALE);
    stop_at_once(own);
    expect_sound();
}

Test(stream, a_part_that_is_too_large_for_its_reader_stays)
{
    apiary_part_t part = {.struct_size = sizeof part};
    apiary_result_t result;
    apiary_task_t task;
    uint8_t small[10] = "untouched", exact[24] = "...........behind it";

    start_produce();
    task = order((struct order){.parts = 2, .size = 11}, PARTS);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_next_part(a, task, LONG, small, sizeof small, &part), 1);
        cr_expect(part.size == 11 && part.number == 0 && strcmp((char *)small, "untouched") == 0);
    }
    cr_assert_eq(apiary_next_part(a, task, LONG, exact, 11, &part), 1);
    cr_expect_str_eq((char *)exact + 11, "behind it", "nothing is written behind a part");
    expect_part(task, 11, 1, 1);
    cr_expect_eq(apiary_next_part(a, task, 0, NULL, 1, &part), APIARY_EINVAL);
    cr_expect_eq(apiary_next_part(a, task, 0, NULL, 0, NULL), APIARY_EINVAL);
    part.struct_size = 8;
    cr_expect_eq(apiary_next_part(a, task, 0, NULL, 0, &part), APIARY_EINVAL);
    result = expect_end(task, 0);
    give_back(&result);
    stop_at_once(own);
}

static void wait_attempt(apiary_task_t task, uint32_t attempt)
{
    const struct ap_slot *slot = ap_slot_at(a->seg, task.slot);

    while (ap_stream_attempt(slot, ap_load_acquire(&slot->word)) < attempt) sched_yield();
}

Test(stream, an_attempt_begins_anew_and_what_was_sent_before_is_void)
{
    apiary_delegate_options_t o = {.flags = APIARY_PARTS, .retry = {.max_attempts = 4, .backoff = 1}};
    apiary_result_t result;
    apiary_task_t task;

    start_produce();
    /* Nothing is read before the last attempt. */
    task = order((struct order){.parts = 6, .size = 2000, .fail = 2, .tail = 1}, o);
    wait_attempt(task, 3);
    for (uint32_t i = 0; i < 6; i++) expect_part(task, 2000, 3, i);
    result = expect_end(task, 0);
    cr_expect(result.parts == 6 && result.attempts == 3);
    give_back(&result);
    /* And a window that is full of them stops no later attempt. */
    task = order((struct order){.parts = 12, .size = 2000, .fail = 1, .tail = 1}, o);
    while (ap_load_relaxed(&behind) == 0) sched_yield();
    for (uint32_t i = 0; i < 4; i++) expect_part(task, 2000, 1, i);
    wait_attempt(task, 2);
    for (uint32_t i = 0; i < 12; i++) expect_part(task, 2000, 2, i);
    result = expect_end(task, 0);
    cr_expect(result.parts == 12 && result.attempts == 2);
    give_back(&result);
    /* One that fails for good. */
    task = order((struct order){.parts = 3, .size = 8, .fail = 9}, PARTS);
    for (uint32_t i = 0; i < 3; i++) expect_part(task, 8, 1, i);
    result = expect_end(task, APIARY_EAGENT);
    cr_expect(result.parts == 3 && result.size == 5 && memcmp(result.data, "again", 5) == 0);
    give_back(&result);
    stop_at_once(own);
    expect_sound();
}

Test(stream, a_writer_is_called_when_nobody_will_read)
{
    apiary_part_t part = {.struct_size = sizeof part};
    apiary_result_t result;
    apiary_task_t task;
    int r;

    start_produce();
    task = order((struct order){.parts = 100, .size = 1000},
                 (apiary_delegate_options_t){.flags = APIARY_PARTS, .timeout = SECOND / 5});
    while (ap_load_relaxed(&behind) == 0) sched_yield();
    result = (apiary_result_t){.struct_size = sizeof result};
    r = apiary_await(a, task, LONG, &result);
    cr_assert(r == APIARY_ETIMEDOUT || (r == 0 && result.code == APIARY_EOVERRUN), "it reads nothing, and waits for itself");
    if (r == 0) cr_expect(result.attempts == 1 && result.parts == 16, "%u attempts, %u parts", result.attempts, result.parts);
    if (r == 0) give_back(&result);
    cr_expect_eq(apiary_next_part(a, task, 0, NULL, 0, &part), APIARY_ESTALE);
    /* One that is given up before: what it sends from then on is dropped. */
    task = order((struct order){.parts = 100, .size = 1000}, PARTS);
    while (ap_load_relaxed(&behind) == 1) sched_yield();
    ap_give_up(a, task);
    while (ap_load_relaxed(&dropped) < 80) sched_yield();
    /* Cancelled: it is called, and what it sends is still read. */
    task = order((struct order){.parts = 100, .size = 1000, .hold = 1}, PARTS);
    while (ap_load_relaxed(&behind) == 2) sched_yield();
    cr_assert_eq(apiary_cancel(a, task), 0);
    while (ap_load_acquire(&held) == NULL) sched_yield();
    for (uint32_t i = 0; i < 16; i++) expect_part(task, 1000, 1, i);
    cr_expect_eq(apiary_next_part(a, task, 0, NULL, 0, &part), APIARY_ENOTREADY);
    cr_expect_eq(apiary_next_part(a, task, SECOND / 1000, NULL, 0, &part), APIARY_ENOTREADY);
    cr_assert_eq(apiary_job_finish_from_thread(held, 1, "stopped", 7), 0);
    result = expect_end(task, APIARY_EAGENT);
    give_back(&result);
    stop_at_once(own);
    expect_sound();
}

/* Its client has gone, and nothing else would wake its worker. */
Test(stream, a_writer_is_called_when_its_client_detaches)
{
    struct order what = {.parts = 100, .size = 1000};
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_PARTS, .timeout = APIARY_FOREVER};
    apiary_task_t task;
    apiary_t *other;

    start_produce();
    cr_assert_eq(apiary_attach(name, NULL, &other), 0);
    cr_assert_eq(apiary_delegate(other, "produce", &what, sizeof what, &o, &task), 0);
    while (ap_load_relaxed(&behind) == 0 || ap_load_relaxed(&queen_inside(own)->workers[0].parked) == 0) sched_yield();
    cr_assert_eq(apiary_detach(other), 0);
    while (ap_load_relaxed(&called) == 0) sched_yield();
    stop_at_once(own);
    expect_sound();
}

Test(stream, parts_are_refused_where_they_make_no_sense)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_PARTS | APIARY_DETACH, .timeout = LONG};
    struct order what = {.hold = 1};
    apiary_result_t result;
    apiary_task_t task;
    apiary_job_t *job;

    start_produce();
    cr_expect_eq(apiary_delegate(a, "produce", &what, sizeof what, &o, &task), APIARY_EINVAL);
    task = order(what, PARTS);
    while ((job = ap_load_acquire(&held)) == NULL) sched_yield();
    cr_expect_eq(apiary_job_part(job, "x", 1), APIARY_EINVAL, "from another thread");
    cr_expect_eq(apiary_job_part_ready(job, work_on, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_job_part(job, NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_job_part_ready(job, NULL, NULL), APIARY_EINVAL);
    cr_assert_eq(apiary_job_finish_from_thread(job, 0, "", 0), 0);
    result = expect_end(task, 0);
    give_back(&result);
    while (apiary_job_part(job, "x", 1) == APIARY_EINVAL) sched_yield(); /* its caller may have the result a moment before */
    cr_expect_eq(apiary_job_part(job, "x", 1), APIARY_ESTALE);
    cr_expect_eq(apiary_job_part_ready(job, work_on, NULL), APIARY_ESTALE);
    stop_at_once(own);
}

/* Where there is no block for a window the whole comes at the end. */
Test(stream, without_a_block_the_result_is_whole)
{
    uint32_t share = a->seg->geometry.member_share;
    void *loans[64];
    apiary_result_t result;
    apiary_task_t task;
    size_t n = 0;

    start_produce();
    a->seg->geometry.member_share = 100;
    while (n < 64 && apiary_loan(a, 16384, &loans[n]) == 0) n++;
    cr_assert(n > 3 && n < 64);
    task = order((struct order){.parts = 30, .size = 100, .tail = 7}, PARTS);
    result = expect_end(task, 0);
    cr_expect(result.parts == 0 && result.size == 30 * 100 + 7, "%u parts, %zu bytes", result.parts, result.size);
    give_back(&result);
    while (n > 0) cr_assert_eq(apiary_unloan(a, loans[--n]), 0);
    a->seg->geometry.member_share = share;
    stop_at_once(own);
    expect_sound();
}

Test(stream, the_descriptor_tells_of_parts)
{
    struct pollfd p = {.fd = apiary_lane_fd(a), .events = POLLIN};
    apiary_part_t part = {.struct_size = sizeof part};
    apiary_result_t result;
    apiary_task_t task;
    uint32_t parts = 0;
    uint8_t got[1000];
    uint64_t n;
    int r;

    start_produce();
    cr_assert_geq(p.fd, 0);
    task = order((struct order){.parts = 200, .size = 1000, .tail = 3}, PARTS);
    for (;;) {
        cr_assert_eq(poll(&p, 1, -1), 1);
        cr_assert_eq(read(p.fd, &n, sizeof n), (ssize_t)sizeof n);
        while ((r = apiary_next_part(a, task, 0, got, sizeof got, &part)) == 1) cr_assert_eq(part.number, parts++);
        if (r == 0) break;
        cr_assert_eq(r, APIARY_ENOTREADY);
    }
    cr_expect_eq(parts, 200);
    result = expect_end(task, 0);
    give_back(&result);
    stop_at_once(own);
}

/* Two at a time read each part once. */
static uint8_t seen_by[20000];
static apiary_task_t shared_task;

static void *read_all(void *user)
{
    apiary_part_t part = {.struct_size = sizeof part};
    uint8_t got[64];
    int r;

    while ((r = apiary_next_part(a, shared_task, LONG, got, sizeof got, &part)) == 1) ap_add_relaxed(&seen_by[part.number], 1);
    *(int *)user = r;
    return NULL;
}

Test(stream, two_readers_take_each_part_once)
{
    pthread_t threads[2];
    int r[2] = {1, 1};
    apiary_result_t result;

    start_produce();
    shared_task = order((struct order){.parts = 20000, .size = 24}, PARTS);
    for (int i = 0; i < 2; i++) cr_assert_eq(pthread_create(&threads[i], NULL, read_all, &r[i]), 0);
    for (int i = 0; i < 2; i++) cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_expect(r[0] == 0 && r[1] == 0, "%d %d", r[0], r[1]);
    for (uint32_t i = 0; i < 20000; i++) cr_assert_eq(seen_by[i], 1, "part %u was read %u times", i, seen_by[i]);
    result = expect_end(shared_task, 0);
    cr_expect_eq(result.parts, 20000);
    give_back(&result);
    stop_at_once(own);
    expect_sound();
}

/* Another thread has collected the task, and frees it, or has freed it. */
Test(stream, a_reader_that_comes_too_late_is_told_that_the_task_has_gone)
{
    apiary_part_t part = {.struct_size = sizeof part};
    apiary_result_t result = {.struct_size = sizeof result};
    struct ap_stream_part seen;
    struct ap_slot *slot;
    apiary_task_t task;
    uint8_t got[100];
    uint64_t word;

    start_produce();
    task = order((struct order){.parts = 3, .size = 100}, PARTS);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    slot = ap_slot_at(a->seg, task.slot);
    word = ap_load_acquire(&slot->word);
    ap_store_relaxed(&slot->word, AP_WORD_WITH(word, AP_TASK_RELEASING, a->anchor->lane.index));
    cr_expect_eq(apiary_next_part(a, task, 0, got, sizeof got, &part), APIARY_ESTALE);
    ap_store_relaxed(&slot->word, word);
    give_back(&result);
    cr_expect_eq(ap_stream_read(a->seg, task, word, got, sizeof got, &seen), APIARY_ESTALE, "it is no corruption");
    stop_at_once(own);
    expect_sound();
}

/* ---- what the segment says is not trusted ------------------------------------------------------------------------ */

static char rules[256];

static void note(void *user, const struct ap_finding *f)
{
    (void)user;
    snprintf(rules + strlen(rules), sizeof rules - strlen(rules), "%s ", f->rule);
}

static const char *found(void)
{
    struct ap_report report = {.found = note};

    rules[0] = '\0';
    ap_check_all(a->seg, &report);
    return rules;
}

Test(stream, a_row_that_is_written_over_is_found_and_read_as_corrupt)
{
    apiary_part_t part = {.struct_size = sizeof part};
    struct ap_stream *at;
    struct ap_stream_view view;
    uint64_t was, window, *word;
    apiary_result_t result;
    apiary_task_t task;
    uint8_t got[100];

    start_produce();
    task = order((struct order){.parts = 3, .size = 100, .hold = 1}, PARTS);
    while (ap_load_acquire(&held) == NULL) sched_yield();
    at = ap_stream_at(a->seg, task.slot);
    cr_assert(ap_stream_look(a->seg, task, &view) && view.sent == 3 && view.unread == 3 && view.bytes == 3 * 112);
    cr_expect_eq(view.attempt, 1);
    expect_part(task, 100, 1, 0);
    cr_assert(ap_stream_look(a->seg, task, &view) && view.sent == 3 && view.unread == 2 && view.bytes == 2 * 112);
    cr_expect_str_eq(found(), "");
    window = at->window;
    word = ap_at(a->seg, AP_SECTION_BLOCKS, ap_pool_number(a->seg, window));
    /* The window; of a block that a living lane owns, which a sweep leaves alone. */
    was = *word;
    ap_store_relaxed(word, AP_BLOCK(AP_BLOCK_OWNED, a->anchor->lane.index, a->anchor->lane.epoch));
    cr_expect_eq(apiary_next_part(a, task, 0, got, sizeof got, &part), APIARY_ECORRUPT);
    cr_expect_not_null(strstr(found(), "V2"));
    cr_expect_not(ap_stream_look(a->seg, task, &view), "nor is there anything to be shown");
    ap_store_relaxed(&at->window, window + 64);
    cr_expect_eq(apiary_next_part(a, task, 0, got, sizeof got, &part), APIARY_ECORRUPT);
    cr_expect_not_null(strstr(found(), "V2"));
    ap_store_relaxed(&at->window, window);
    ap_store_relaxed(word, was);
    /* The positions. */
    was = at->tail;
    ap_store_relaxed(&at->tail, was + 4);
    cr_expect_eq(apiary_next_part(a, task, 0, got, sizeof got, &part), APIARY_ECORRUPT);
    cr_expect_not_null(strstr(found(), "V1"));
    ap_store_relaxed(&at->tail, was + 32768);
    cr_expect_eq(apiary_next_part(a, task, 0, got, sizeof got, &part), APIARY_ECORRUPT);
    cr_expect_not(ap_stream_look(a->seg, task, &view));
    cr_expect_not_null(strstr(found(), "V1"));
    ap_store_relaxed(&at->tail, was);
    /* The size of a part. */
    word = ap_at_offset(a->seg, window + 112, 8);
    was = *word;
    ap_store_relaxed(word, 300);
    cr_expect_eq(apiary_next_part(a, task, 0, got, sizeof got, &part), APIARY_ECORRUPT);
    ap_store_relaxed(word, UINT32_MAX);
    cr_expect_eq(apiary_next_part(a, task, 0, got, sizeof got, &part), APIARY_ECORRUPT);
    ap_store_relaxed(word, was);
    /* Whose it is. */
    was = at->begun;
    ap_store_relaxed(&at->begun, was + (UINT64_C(1) << 26));
    cr_expect_eq(apiary_next_part(a, task, 0, got, sizeof got, &part), APIARY_ENOTREADY);
    cr_expect_not_null(strstr(found(), "V3"));
    ap_store_relaxed(&at->begun, was);
    cr_expect_str_eq(found(), "");
    expect_part(task, 100, 1, 1);
    expect_part(task, 100, 1, 2);
    cr_assert_eq(apiary_job_finish_from_thread(held, 0, "", 0), 0);
    result = expect_end(task, 0);
    give_back(&result);
    stop_at_once(own);
    expect_sound();
}
