/* Health probes: who answers them, what they pass, what bounds them, and what becomes of one that is lost. */
#include <sys/mman.h>

#include "tests/unit/steps_fixture.h"

#include "agents/runtime/placed.h"
#include "registry/routing/dead.h"
#include "shm/probe.h"

static char large[64]; /* the name of another segment, of a test that makes one */

static void teardown_both(void)
{
    if (large[0] != '\0') shm_unlink(large);
    steps_teardown();
}

TestSuite(probe, .init = steps_setup, .fini = teardown_both, .timeout = TEST_LIMIT);

static const apiary_delegate_options_t plain = {.struct_size = sizeof plain, .flags = APIARY_PROBE, .timeout = SECOND};

static apiary_task_t probed(void)
{
    apiary_task_t task = {0};

    cr_assert_eq(apiary_delegate(a, "first", NULL, 0, &plain, &task), 0);
    return task;
}

static int refused_of(apiary_t *by, const apiary_delegate_options_t *o, const void *body, size_t size)
{
    apiary_task_t task = {.slot = 77};
    int r = apiary_delegate(by, "first", body, size, o, &task);

    if (r < 0) cr_expect_eq(task.slot, 77, "outputs are untouched");
    return r;
}

static const char *told(apiary_t *by)
{
    static apiary_refusal_t refusal;

    refusal = (apiary_refusal_t){.struct_size = sizeof refusal};
    cr_assert_eq(apiary_refusal(by, &refusal), 0);
    return refusal.message;
}

static int serve(void)
{
    return ap_worker_serve(&hive.worker);
}

static bool rests(void)
{
    uint32_t bell;

    return ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell);
}

static uint64_t provider_of_first(void)
{
    apiary_provider_t row = {.struct_size = sizeof row};

    cr_assert_eq(apiary_discover(a, "first", &row, 1), 1);
    return row.provider;
}

Test(probe, is_answered_before_all_that_wait_and_without_the_agent)
{
    apiary_task_t tasks[3], probe;

    hive_handlers(keep, keep);
    hive.agents[0].limit = 1;
    for (int i = 0; i < 3; i++) tasks[i] = asked("first", "x", 1, LONG);
    probe = probed();
    cr_expect_eq(serve(), 2);
    cr_expect_eq(code_of(probe), 0);
    cr_expect_eq(kept_count, 1);
    cr_expect_eq(hive.agents[0].started, 1, "it is no task of the agent's");
    cr_expect_eq(queue_at(0)->answered, 1);
    probe = probed();
    cr_expect_eq(serve(), 0);
    cr_expect_eq(code_of(probe), 1, "as long as it would begin nothing it answers nothing");
    cr_expect_eq(apiary_job_reply(kept[0], "a", 1), 0);
    cr_expect_eq(serve(), 2);
    cr_expect_eq(code_of(probe), 0);
    for (int i = 1; i < 3; i++) {
        cr_expect_eq(apiary_job_reply(kept[i], "a", 1), 0);
        serve();
    }
    for (int i = 0; i < 3; i++) cr_expect_eq(code_of(tasks[i]), 0);
    cr_expect_eq(queue_at(0)->answered, 2);
}

Test(probe, its_result_is_empty_and_says_nothing_of_how_long_tasks_take)
{
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t probe = probed();

    cr_expect_eq(serve(), 1);
    cr_assert_eq(apiary_poll(a, probe, &result), 0);
    cr_expect_eq(result.size, 0);
    cr_expect_eq(result.attempts, 1);
    cr_expect_eq(apiary_release(a, &result), 0);
    cr_expect_eq(hive.agents[0].run_time, 0);
    cr_expect_eq(hive.agents[0].in_hand + hive.worker.in_hand_count, 0);
    cr_expect_eq(hive.worker.hands, 0);
    cr_expect_eq(handled, 0);
}

Test(probe, what_else_cannot_be_asked_with_it)
{
    apiary_delegate_options_t o = plain;
    apiary_task_t task;
    void *loan;

    cr_expect_eq(refused_of(a, &plain, "x", 1), APIARY_EINVAL);
    cr_expect_not_null(strstr(told(a), "a probe has no body"), "%s", told(a));
    cr_expect_eq(apiary_delegate(a, "first", NULL, 0, &plain, NULL), APIARY_EINVAL);
    const uint32_t flags[] = {APIARY_DETACH, APIARY_PARTS, APIARY_WAIT_FOR_PROVIDER, 1u << 9};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        o.flags = APIARY_PROBE | flags[i];
        cr_expect_eq(refused_of(a, &o, NULL, 0), APIARY_EINVAL, "%x", flags[i]);
    }
    const apiary_delegate_options_t others[] = {
        {.delay = 1}, {.due_at = 1}, {.key = 1}, {.retry = {.max_attempts = 2}}, {.hedge = SECOND}, {.keep = 1}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        o = others[i];
        o.struct_size = sizeof o;
        o.flags = APIARY_PROBE;
        cr_expect_eq(refused_of(a, &o, NULL, 0), APIARY_EINVAL, "%zu", i);
    }
    cr_assert_eq(apiary_loan(a, 100, &loan), 0);
    cr_expect_eq(apiary_delegate_loan(a, "first", loan, 100, &plain, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_unloan(a, loan), 0, "it is its borrower's still");
    cr_expect_eq(apiary_delegate(a, "never", NULL, 0, &plain, &task), APIARY_ENOCAP);
    cr_expect_eq(serve(), 0);
    o = plain;
    o.flags |= APIARY_NO_FALLBACK;
    cr_expect_eq(refused_of(a, &o, NULL, 0), 0);
}

/* ---- its bound -------------------------------------------------------------------------------------------------- */

Test(probe, one_of_each_process_waits_and_eight_in_all)
{
    apiary_task_t first = probed(), others[AP_PROBES];
    apiary_t *more[AP_PROBES];

    cr_expect_eq(refused_of(a, &plain, NULL, 0), APIARY_ELIMIT);
    cr_expect_not_null(strstr(told(a), "wait at agent 'first' already"), "%s", told(a));
    cr_assert_eq(apiary_delegate(a, "second", NULL, 0, &plain, &others[0]), 0, "another agent is asked as well");
    for (uint32_t i = 1; i < AP_PROBES; i++) {
        more[i] = steps_attach();
        cr_assert_eq(apiary_delegate(more[i], "first", NULL, 0, &plain, &others[i]), 0, "%u", i);
    }
    more[0] = steps_attach();
    cr_expect_eq(refused_of(more[0], &plain, NULL, 0), APIARY_ELIMIT);
    cr_assert_eq(apiary_cancel(a, first), 0);
    first = probed(); /* what waits no more takes no place */
    while (serve() > 0) {}
    cr_expect_eq(queue_at(0)->answered, AP_PROBES);
    cr_expect_eq(queue_at(1)->answered, 1);
    cr_expect_eq(code_of(first), 0);
    for (uint32_t i = 0; i < AP_PROBES; i++) {
        apiary_result_t result = {.struct_size = sizeof result};

        if (i > 0) {
            cr_expect_eq(apiary_poll(more[i], others[i], &result), 0);
            cr_expect_eq(result.code, 0);
        }
        steps_detach(more[i]);
    }
}

/* A ninth has no cell, and what lies behind the cells is the next queue's. A queue that there is not has none. */
Test(probe, there_are_eight_cells)
{
    uint32_t queue = hive.agents[0].queue < hive.agents[1].queue ? hive.agents[0].queue : hive.agents[1].queue;
    struct ap_queue *q = ap_queue_at(b->seg, queue), *behind = ap_queue_at(b->seg, queue + 1);
    const uint64_t life = ap_load_relaxed(&behind->life);
    const char *name_of = queue == hive.agents[0].queue ? "first" : "second";
    apiary_task_t tasks[AP_PROBES + 1];

    for (uint32_t i = 0; i <= AP_PROBES; i++) {
        tasks[i] = asked(name_of, "x", 1, LONG);
        cr_expect_eq(ap_probe_put(b->seg, queue, AP_REF(tasks[i].slot, tasks[i].generation)),
                     i < AP_PROBES ? 0 : APIARY_ELIMIT, "%u", i);
    }
    cr_expect_eq(ap_load_relaxed(&behind->life), life);
    for (uint32_t i = 0; i < AP_PROBES; i++) cr_expect_eq(q->probes[i], AP_REF(tasks[i].slot, tasks[i].generation));
    cr_expect_eq(ap_probe_put(b->seg, b->seg->geometry.queues, q->probes[0]), APIARY_ELIMIT);
    cr_expect_eq(ap_probe_room(b->seg, b->seg->geometry.queues, a->member), APIARY_ELIMIT);
    memset(q->probes, 0, sizeof q->probes);
    while (serve() > 0) {}
    for (uint32_t i = 0; i <= AP_PROBES; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

/* What waits at another queue by now, runs or has ended leaves a cell that is as good as none. */
Test(probe, a_cell_of_what_waits_elsewhere_is_empty)
{
    const struct ap_consumer *c = &hive.agents[0].consumer;
    apiary_task_t elsewhere = asked("second", "x", 1, LONG), running = asked("first", "x", 1, LONG), waits;
    uint64_t refs[2] = {AP_REF(elsewhere.slot, elsewhere.generation), AP_REF(running.slot, running.generation)};

    hive_handlers(keep, count);
    hive.agents[1].limit = 0;
    cr_assert_eq(serve(), 1);
    cr_assert_eq(kept_count, 1);
    for (int i = 0; i < 2; i++) {
        c->queue->probes[0] = refs[i];
        cr_expect_not(ap_probe_waits(c), "%d", i);
        cr_expect_eq(ap_probe_next(c), 0, "%d", i);
        cr_expect_eq(ap_probe_room(b->seg, hive.agents[0].queue, a->member), 0, "%d", i);
    }
    waits = asked("first", "x", 1, LONG);
    c->queue->probes[0] = AP_REF(waits.slot, waits.generation + 1);
    cr_expect_not(ap_probe_waits(c));
    c->queue->probes[0] = AP_REF(waits.slot, waits.generation);
    cr_expect(ap_probe_waits(c));
    cr_expect_eq(ap_probe_room(b->seg, hive.agents[0].queue, a->member), APIARY_ELIMIT);
    c->queue->probes[0] = 0;
    hive.agents[1].limit = AP_AGENT_HANDS;
    cr_expect_eq(apiary_job_reply(kept[0], "", 0), 0);
    cr_expect_geq(serve(), 2);
    cr_expect_eq(apiary_job_reply(kept[1], "", 0), 0);
    cr_expect_eq(code_of(waits), 0);
    cr_expect_eq(code_of(elsewhere), 0);
    cr_expect_eq(code_of(running), 0);
}

/* ---- what it passes --------------------------------------------------------------------------------------------- */

static void declare(const struct ap_terms *said)
{
    struct ap_terms_conflicts conflicts = {.count = 0};
    int capability = ap_capability_find(b->seg, "first", 5);

    ap_terms_declare(b->seg, b->anchor->lane.index, hive.agents[0].queue, (uint32_t)capability,
                     (const uint64_t *)(const void *)said, &conflicts);
    ap_placed_learn(&hive.worker);
}

Test(probe, passes_the_bounds_of_its_capability)
{
    apiary_task_t task;

    declare(&(struct ap_terms){.queue_limit = 1 + 1, .concurrency = 1 + 1});
    hive_handlers(keep, keep);
    asked("first", "x", 1, LONG);
    cr_expect_eq(serve(), 1);
    asked("first", "x", 1, LONG);
    cr_expect_eq(apiary_delegate(a, "first", "x", 1, NULL, &task), APIARY_EQUEUEFULL);
    task = probed();
    cr_expect_not(rests(), "there is one to be answered");
    cr_expect_eq(serve(), 1, "it needs no place");
    cr_expect_eq(code_of(task), 0);
    cr_expect(rests());
}

Test(probe, passes_a_full_queue_a_backlog_and_an_agent_that_fails)
{
    apiary_task_t task;
    int r;

    hive_handlers(keep, keep);
    while ((r = apiary_delegate(a, "first", "x", 1, NULL, &task)) == 0) {}
    cr_expect(r == APIARY_EQUEUEFULL || r == APIARY_ELIMIT || r == APIARY_ENOSLOT, "%s", apiary_strerror(r));
    hive.agents[0].consumer.queue->pace = SECOND;
    hive.agents[0].outlier.until = UINT64_MAX;
    ap_queue_eject(&hive.agents[0].consumer, clock_now + SECOND, 1);
    task = probed();
    hive.agents[0].limit = 1;
    serve();
    cr_expect_eq(code_of(task), 0);
}

Test(probe, needs_no_ticket)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .swarm = "caller"};
    apiary_task_t task;
    apiary_t *c;
    int r;

    cr_assert_eq(apiary_attach(name, &o, &c), 0);
    c->limit = 1;
    cr_assert_eq(apiary_delegate(c, "first", "x", 1, NULL, &task), 0);
    cr_expect_eq(apiary_delegate(c, "first", "x", 1, NULL, &task), APIARY_ELIMIT);
    r = apiary_delegate(c, "first", NULL, 0, &plain, &task);
    cr_expect_eq(r, 0);
    serve();
    cr_expect_eq(apiary_detach(c), 0);
}

Test(probe, is_answered_by_a_swarm_that_is_drained)
{
    apiary_delegate_options_t o = plain;
    apiary_task_t task;

    o.provider = provider_of_first();
    cr_assert_eq(ap_swarm_mode_set(b->seg, hive.queen.registration.swarm, "steps", "0", APIARY_DRAIN, "test"), 1);
    cr_expect_eq(refused_of(a, NULL, "x", 1), APIARY_ENOPROVIDER);
    task = probed();
    serve();
    cr_expect_eq(code_of(task), 0);
    cr_assert_eq(apiary_delegate(a, "first", NULL, 0, &o, &task), 0);
    serve();
    cr_expect_eq(code_of(task), 0);
    o.provider++;
    cr_expect_eq(refused_of(a, &o, NULL, 0), APIARY_ENOPROVIDER);
    o.provider = UINT64_MAX;
    cr_expect_eq(refused_of(a, &o, NULL, 0), APIARY_ENOPROVIDER);
}

Test(probe, each_provider_is_asked)
{
    apiary_provider_t rows[2] = {{.struct_size = sizeof rows[0]}};
    apiary_task_t tasks[2];
    int errors[2];

    cr_assert_eq(apiary_delegate_all(a, "first", NULL, 0, &plain, rows, tasks, errors, 2), 1);
    cr_assert_eq(errors[0], 0);
    serve();
    cr_expect_eq(code_of(tasks[0]), 0);
}

/* A bound capability of another segment, or of none, is asked for in vain. */
Test(probe, of_a_capability_that_is_bound_elsewhere)
{
    apiary_capability_t bound;
    apiary_task_t task = {.slot = 77};

    cr_assert_eq(apiary_bind(a, "first", &bound), 0);
    bound.check++;
    cr_expect_eq(apiary_delegate_bound(a, bound, NULL, 0, &plain, &task), APIARY_ESTALE);
    cr_expect_eq(task.slot, 77, "outputs are untouched");
    bound.check--;
    cr_expect_eq(apiary_delegate_bound(a, bound, NULL, 0, &plain, &task), 0);
    serve();
    cr_expect_eq(code_of(task), 0);
}

/* As a task would be: its agent has left the service that was meant, or offers it no longer. */
Test(probe, is_refused_by_who_is_not_meant)
{
    uint32_t service = hive.queen.service_index, first, second;
    struct ap_slot *slot;
    apiary_task_t task;
    int index = ap_capability_find(a->seg, "second", 6);

    cr_assert_geq(index, 0);
    second = (uint32_t)index;
    for (int i = 0; i < 3; i++) {
        task = probed();
        slot = ap_slot_at(a->seg, task.slot);
        first = slot->capability;
        ap_store_relaxed(&slot->only, (uint16_t)(i == 0 ? service + 2 : i == 1 ? service + 1 : 0));
        ap_store_relaxed(&slot->capability, (uint16_t)(i == 2 ? second : first));
        cr_expect_eq(serve(), 1);
        cr_expect_eq(code_of(task), i == 1 ? 0 : APIARY_ENOPROVIDER, "%d", i);
    }
}

/* ---- what is lost, late or cancelled ---------------------------------------------------------------------------- */

Test(probe, is_found_by_a_scan_and_in_a_ring)
{
    apiary_task_t task = probed();
    struct ap_queue *q = hive.agents[0].consumer.queue;

    for (uint32_t i = 0; i < AP_PROBES; i++) q->probes[i] = 0;
    cr_expect_eq(serve(), 0);
    ap_add_acq_rel(&b->seg->header->rescan, 1);
    clock_now++;
    cr_expect_eq(serve(), 1);
    cr_expect_eq(code_of(task), 0);
    task = probed();
    for (uint32_t i = 0; i < AP_PROBES; i++) q->probes[i] = 0;
    ap_move_announce(b->seg, task.slot, task.generation, hive.agents[0].queue);
    cr_expect_eq(serve(), 1);
    cr_expect_eq(code_of(task), 0);
    cr_expect_eq(handled, 0);
}

Test(probe, wakes_who_is_about_to_sleep)
{
    apiary_task_t task;

    while (!rests()) serve();
    task = probed();
    hive.agents[0].consumer.queue->probed = 0; /* who probes is between the cell and this */
    cr_expect_not(rests());
    cr_expect_eq(hive.agents[0].consumer.queue->probed, 1);
    cr_expect_eq(serve(), 1);
    cr_expect_eq(code_of(task), 0);
    cr_expect(rests());
}

static uint32_t woken;

static int note_wake(const uint32_t *word, int count)
{
    (void)count;
    woken += word == &b->anchor->lane.lane->bell;
    return 0;
}

/* Only who has said that it sleeps, and of nobody where no lane has the queue. */
Test(probe, rings_for_who_sleeps)
{
    struct ap_queue *q = hive.agents[0].consumer.queue;
    uint32_t bell, before;

    clock_ops.futex_wake = note_wake;
    while (!rests()) serve();
    cr_assert(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_assert_eq(bell & 1, 1);
    ap_probe_signal(b->seg, q, b->anchor->lane.lane);
    cr_expect_eq(woken, 1);
    cr_expect_eq(q->probed, 1);
    before = b->anchor->lane.lane->bell;
    cr_expect_eq(before & 1, 0);
    q->probed = 0;
    ap_probe_signal(b->seg, q, b->anchor->lane.lane);
    cr_expect_eq(q->probed, 1);
    cr_expect_eq(woken, 1, "it is awake");
    cr_expect_eq(b->anchor->lane.lane->bell, before);
    q->probed = 0;
    ap_probe_signal(b->seg, q, NULL);
    cr_expect_eq(q->probed, 1, "whoever takes the queue sees it");
    q->probed = 0;
}

Test(probe, ends_at_its_deadline_and_when_it_is_cancelled)
{
    apiary_task_t task = probed();

    clock_now += 2 * SECOND;
    cr_expect_eq(serve(), 1);
    cr_expect_eq(code_of(task), APIARY_ETIMEDOUT);
    task = probed();
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_expect_eq(serve(), 0);
    cr_expect_eq(code_of(task), APIARY_ECANCELLED);
    cr_expect_eq(queue_at(0)->answered, 1);
}

/* ---- a table that is full --------------------------------------------------------------------------------------- */

#define TABLE 2048u

static apiary_t *large_make(struct ap_swarm_registration *r)
{
    struct ap_segment_options options = {.name = large,
                                         .geometry = {.members = 16, .lanes = 32, .tasks = TABLE, .queues = 4, .queue_depth = 4096,
                                                      .member_share = 100, .max_concurrent_delegations = 4096,
                                                      .max_unnamed_delegations = 2 * TABLE}};
    char message[256] = "";
    struct ap_segment *seg;
    apiary_t *server;

    snprintf(large, sizeof large, "/apiary-test-worker-%d-large", (int)getpid());
    cr_assert_eq(ap_registry_create(&options, message, sizeof message, &seg), 0, "%s", message);
    ap_segment_unmap(seg);
    cr_assert_eq(apiary_attach(large, NULL, &server), 0);
    r->lane = server->anchor->lane.index;
    for (size_t i = 0; i < r->agent_count; i++) r->agents[i].lane = r->lane;
    r->member = server->member;
    cr_assert_eq(ap_swarm_register(server->seg, r), 0);
    return server;
}

/* As a worker answers. */
static void answer(apiary_t *server, uint32_t queue)
{
    struct ap_consumer consumer;
    uint64_t ref, token;

    ap_consumer_init(&consumer, server->seg, queue);
    cr_assert(ap_probe_asked(&consumer));
    ref = ap_probe_next(&consumer);
    cr_assert(ap_task_claim(server->seg, server->anchor->lane.index, queue, ref, &token));
    cr_assert_eq(ap_task_finish(server->seg, AP_REF_SLOT(ref), token, 0), 0);
}

Test(probe, finds_a_slot_where_the_table_is_full)
{
    static const char *const first[] = {"first", NULL};
    struct ap_agent_registration agent = {.name = "one", .capabilities = first};
    struct ap_swarm_registration r = {.service = "large", .agents = &agent, .agent_count = 1};
    apiary_t *server = large_make(&r), *c;
    const uint32_t slabs = TABLE / AP_SLAB_SLOTS;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task, last = {0};
    uint32_t n = 0;
    int error;

    cr_assert_eq(AP_SLABS_KEPT(slabs), 1);
    cr_assert_eq(apiary_attach(large, NULL, &c), 0);
    for (; (error = apiary_delegate(c, "first", "x", 1, NULL, &task)) == 0; n++) last = task;
    cr_expect_eq(error, APIARY_ENOSLOT);
    cr_expect_eq(n, TABLE - AP_SLAB_SLOTS);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_delegate(c, "first", NULL, 0, &plain, &task), 0);
        cr_expect_eq(task.slot / AP_SLAB_SLOTS, slabs - 1);
        answer(server, agent.queue);
        cr_assert_eq(apiary_await(c, task, APIARY_FOREVER, &result), 0);
        cr_expect_eq(result.code, 0);
        cr_expect_eq(AP_LEASE_LANE(ap_slab_at(c->seg, slabs - 1)->lease), c->anchor->lane.index + 1);
        cr_expect_eq(apiary_release(c, &result), 0);
        cr_expect_eq(AP_LEASE_LANE(ap_slab_at(c->seg, slabs - 1)->lease), 0, "others need it");
        cr_expect_eq(apiary_delegate(c, "first", "x", 1, NULL, &task), APIARY_ENOSLOT, "it is for probes only");
    }
    cr_assert_eq(apiary_cancel(c, last), 0);
    cr_assert_eq(apiary_await(c, last, APIARY_FOREVER, &result), 0);
    cr_assert_eq(apiary_release(c, &result), 0);
    cr_assert_eq(apiary_delegate(c, "first", NULL, 0, &plain, &task), 0);
    cr_expect_eq(task.slot, last.slot);
    cr_expect_eq(AP_LEASE_LANE(ap_slab_at(c->seg, slabs - 1)->lease), 0);
    answer(server, agent.queue);
    ap_swarm_deregister(server->seg, r.lane, &r);
    cr_expect_eq(apiary_detach(c), 0);
    cr_expect_eq(apiary_detach(server), 0);
}

/* Two probes lie in the same slab. It goes back when both are over, also where nobody collects them, and not before. */
Test(probe, slots_that_are_kept_for_them)
{
    static const char *const first[] = {"first", NULL}, *const second[] = {"second", NULL};
    struct ap_agent_registration agents[] = {{.name = "one", .capabilities = first}, {.name = "two", .capabilities = second}};
    struct ap_swarm_registration r = {.service = "large", .agents = agents, .agent_count = 2};
    apiary_t *server = large_make(&r), *c;
    uint64_t *lease = &ap_slab_at(server->seg, TABLE / AP_SLAB_SLOTS - 1)->lease;
    apiary_task_t task, own[3], kept_ones[2];
    apiary_result_t result = {.struct_size = sizeof result};
    uint32_t n = 0;
    uint64_t token;

    cr_assert_eq(apiary_attach(large, NULL, &c), 0);
    *lease = AP_LEASE(5, 0); /* it is not the first that it has, as those of the others are */
    for (; apiary_delegate(c, "first", "x", 1, NULL, &task) == 0; n++) own[n % 3] = task;
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(apiary_delegate(c, i == 0 ? "first" : "second", NULL, 0, &plain, &kept_ones[i]), 0);
        cr_expect_eq(kept_ones[i].slot / AP_SLAB_SLOTS, TABLE / AP_SLAB_SLOTS - 1);
        cr_expect_eq(kept_ones[i].epoch, AP_LEASE_EPOCH(*lease));
        cr_expect_eq(AP_LEASE_LANE(*lease), c->anchor->lane.index + 1);
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_cancel(c, own[i]), 0);
        cr_assert_eq(apiary_await(c, own[i], APIARY_FOREVER, &result), 0);
        cr_assert_eq(apiary_release(c, &result), 0);
    }
    answer(server, agents[0].queue);
    ap_give_up(c, kept_ones[0]);
    cr_assert_eq(apiary_delegate(c, "first", NULL, 0, &plain, &task), 0);
    cr_expect_neq(task.slot / AP_SLAB_SLOTS, TABLE / AP_SLAB_SLOTS - 1, "the lane has slots of its own again");
    cr_expect_eq(AP_LEASE_LANE(*lease), c->anchor->lane.index + 1, "one of both still waits");
    answer(server, agents[0].queue);
    ap_give_up(c, task);
    cr_assert_eq(ap_task_claim(server->seg, server->anchor->lane.index, agents[1].queue,
                               AP_REF(kept_ones[1].slot, kept_ones[1].generation), &token), 1);
    ap_give_up(c, kept_ones[1]);
    cr_assert_eq(ap_task_finish(server->seg, kept_ones[1].slot, token, 0), 0);
    ap_task_free_unseen(server->seg, server->anchor->lane.index, kept_ones[1].slot, ap_slot_leave, server->seg);
    cr_expect_eq(AP_LEASE_LANE(*lease), c->anchor->lane.index + 1);
    cr_assert_eq(apiary_delegate(c, "first", NULL, 0, &plain, &task), 0);
    cr_expect_eq(AP_LEASE_LANE(*lease), 0, "none is left there");
    answer(server, agents[0].queue);
    ap_swarm_deregister(server->seg, r.lane, &r);
    cr_expect_eq(apiary_detach(c), 0);
    cr_expect_eq(apiary_detach(server), 0);
}
