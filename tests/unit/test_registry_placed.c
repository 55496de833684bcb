/* How a task is placed, and how a client attaches, step by step: every field of the slot, who is told, what a refusal leaves, whose
 * limit binds, and the words that an attach says. */
#include <sys/prctl.h>

#include "registry/client/handles.h"
#include "registry_fixture.h"

#define DEPTH 64u
static const struct ap_geometry deep = {.members = 16, .lanes = 32, .tasks = 256, .queues = 8, .queue_depth = DEPTH,
                                        .queue_inlets = 3, .pool_blocks = {8, 4, 2, 1, 1, 1, 2}, .events = 64,
                                        .max_concurrent_delegations = 60, .member_share = 100, .task_timeout = 9 * SECOND,
                                        .registry = {[AP_REGISTRY_INDEX(SERVICES)] = 8, [AP_REGISTRY_INDEX(SWARMS)] = 4,
                                                     [AP_REGISTRY_INDEX(CAPABILITIES)] = 16}};

static struct ap_agent_registration agents[2];
static struct ap_swarm_registration swarm;
static struct ap_consumer consumers[2];
static const char *const echo[] = {"echo", NULL}, *const other[] = {"other", NULL};

/* Two agents whose consumer is the test's own lane: nothing runs but what the test does. */
static void setup(void)
{
    segment_make(&deep);
    client = attach_as("caller");
    agents[0] = (struct ap_agent_registration){.name = "agent", .capabilities = echo, .lane = client->anchor->lane.index};
    agents[1] = (struct ap_agent_registration){.name = "second", .capabilities = other, .lane = client->anchor->lane.index};
    swarm = (struct ap_swarm_registration){.service = "server", .version = "1.0", .lane = client->anchor->lane.index,
                                           .member = client->member, .agents = agents, .agent_count = 2};
    cr_assert_eq(ap_swarm_register(client->seg, &swarm), 0);
    for (int i = 0; i < 2; i++) ap_consumer_init(&consumers[i], client->seg, agents[i].queue);
}

static void teardown(void)
{
    client->seg->ops = &ap_ops_system;
    ap_swarm_deregister(client->seg, client->anchor->lane.index, &swarm);
    fixture_teardown();
}

TestSuite(placed, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

#define MANY 40u /* more than are told of at once */

static apiary_request_t requests[MANY];
static apiary_task_t tasks[MANY];

static struct ap_slot *slot_of(apiary_task_t task)
{
    struct ap_slot *slot = ap_slot_at(client->seg, task.slot);

    cr_assert_not_null(slot);
    return slot;
}

static uint32_t in_queue(int agent)
{
    uint32_t n = 0;

    while (ap_queue_pop(&consumers[agent]) != 0) n++;
    return n;
}

static struct ap_queue *queue_of(int agent)
{
    struct ap_queue *q = ap_queue_at(client->seg, agents[agent].queue);

    cr_assert_not_null(q);
    return q;
}

static uint64_t clock_at;
static uint64_t still_now(void)
{
    return clock_at;
}

static struct ap_ops still;
static void stop_the_clock(void)
{
    still = ap_ops_system;
    still.now = still_now;
    clock_at = ap_ops_system.now();
    client->seg->ops = &still;
}

/* ---- the slot --------------------------------------------------------------------------------------------------- */

Test(placed, a_slot_says_who_asks_for_what_until_when)
{
    const struct {
        uint64_t timeout, lasts; /* lasts 0: for ever */
    } rows[] = {{0, 9 * SECOND}, {1, 1}, {5 * SECOND, 5 * SECOND}, {APIARY_FOREVER, 0}, {APIARY_FOREVER - 1, 0}};
    apiary_t *nobody = attach_as(NULL);
    uint32_t server = UINT32_MAX;

    cr_assert_eq(ap_service_intern(client->seg, client->anchor->lane.index, "server", &server), 0);
    stop_the_clock();
    nobody->seg->ops = &still;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int way = 0; way < 3; way++) {
            apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = rows[i].timeout};
            apiary_t *a = way == 1 ? nobody : client;
            struct ap_lane_context *c;
            struct ap_slot *slot;
            apiary_task_t task;
            int error;

            c = ap_context(a, &error);
            cr_assert_not_null(c);
            cr_assert_eq(ap_submit(c, way == 2 ? (int)server : -1, "other", "body", 4, 0, &o, &task), 0);
            slot = slot_of(task);
            cr_expect_eq(slot->word, AP_WORD(AP_TASK_QUEUED, 0, agents[1].queue, task.generation));
            cr_expect_eq(slot->request, AP_REQUEST_WORD(task.generation, 0));
            cr_expect(slot->body == 0 && slot->body_size == 4 && memcmp(slot->body_inline, "body", 4) == 0);
            cr_expect(slot->result == 0 && slot->result_size == 0 && slot->agent_code == 0);
            cr_expect_eq(slot->only, way == 2 ? server + 1 : 0);
            cr_expect_eq(slot->caller, way == 1 ? 0 : client->service + 1);
            cr_expect_eq(slot->ticket == 0, way == 1, "who has no service has no ticket");
            cr_expect_eq(slot->client, c->lane.index);
            cr_expect_eq(slot->capability, ap_capability_find(client->seg, "other", 5));
            cr_expect_eq(slot->queued, clock_at);
            cr_expect_eq(slot->deadline, rows[i].lasts == 0 ? APIARY_FOREVER : clock_at + rows[i].lasts, "row %zu", i);
            cr_expect(slot->started == 0 && slot->finished == 0);
            cr_expect_eq(slot->queue, agents[1].queue);
            cr_expect_eq(task.epoch, AP_LEASE_EPOCH(ap_slab_at(client->seg, task.slot / AP_SLAB_SLOTS)->lease));
            ap_give_up(a, task);
        }
    }
    cr_expect_eq(in_queue(1), 3 * sizeof rows / sizeof rows[0]);
    cr_expect_eq(slots_in_use(), 0);
    nobody->seg->ops = &ap_ops_system;
    apiary_detach(nobody);
}

/* The turn of a slot that was not used after all is not over. */
Test(placed, what_is_refused_uses_no_slot)
{
    static char body[1 << 20];
    apiary_task_t task, next, large[2];
    uint32_t turn;

    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_delegate(client, "echo", body, sizeof body, NULL, &large[i]), 0);
    turn = client->anchor->slabs.next;
    for (int i = 0; i < 5; i++)
        cr_expect_eq(apiary_delegate(client, "echo", body, sizeof body, NULL, &next), APIARY_ENOBLOCK);
    cr_expect_eq(client->anchor->slabs.next, turn);
    cr_expect_eq(apiary_delegate(client, "nobody", "x", 1, NULL, &next), APIARY_ENOCAP);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &next), 0);
    cr_expect_eq(next.slot, task.slot + 3);
    cr_expect_eq(slots_in_use(), 4);
    cr_expect_eq(busy_tickets(), 4);
    cr_expect_eq(blocks_in_use(), 2);
    ap_open_tasks(client->anchor, true);
}

/* Of an older program, and of a newer one. */
Test(placed, options_of_another_size_are_options)
{
    struct {
        apiary_delegate_options_t o;
        uint64_t more;
    } newer = {.o = {.struct_size = sizeof newer, .timeout = 5 * SECOND}};
    apiary_delegate_options_t older = {.struct_size = AP_FIRST_DELEGATE_OPTIONS, .timeout = 5 * SECOND};
    const apiary_delegate_options_t *const rows[] = {&older, &newer.o};
    apiary_capability_t bound;
    apiary_task_t none;

    stop_the_clock();
    cr_assert_eq(apiary_bind(client, "other", &bound), 0);
    for (int i = 0; i < 4; i++) {
        apiary_task_t task = {.slot = UINT32_MAX};

        if (i < 2) cr_expect_eq(apiary_delegate(client, "echo", "x", 1, rows[i % 2], &task), 0);
        else cr_expect_eq(apiary_delegate_bound(client, bound, "x", 1, rows[i % 2], &task), 0);
        cr_expect_eq(slot_of(task)->deadline, clock_at + 5 * SECOND, "%d", i);
        cr_expect_eq(AP_WORD_OWNER(slot_of(task)->word), agents[i / 2].queue, "%d", i);
        ap_give_up(client, task);
    }
    newer.more = 1;
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &newer.o, &none), APIARY_ENOTSUP, "what is not understood");
    cr_expect_eq(slots_in_use(), 0);
}

/* Also where the lane knows by now who alone offers it to all. */
Test(placed, a_task_for_one_service_is_for_no_other)
{
    apiary_task_t task = {.slot = 77};
    uint32_t server = UINT32_MAX;

    cr_assert_eq(ap_service_intern(client->seg, client->anchor->lane.index, "server", &server), 0);
    cr_assert_eq(client->service, 0);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(ap_submit(client->anchor, client->service, "echo", "x", 1, 0, NULL, &task), APIARY_ENOPROVIDER);
        cr_expect_eq(task.slot, 77);
        cr_assert_eq(ap_submit(client->anchor, -1, "echo", "x", 1, 0, NULL, &task), 0);
        ap_give_up(client, task);
        cr_assert_eq(ap_submit(client->anchor, (int)server, "echo", "x", 1, 0, NULL, &task), 0);
        ap_give_up(client, task);
        task.slot = 77;
    }
}

/* Of a caller at its limit those that have ended unseen are freed, and the next one has its place at once. */
Test(placed, who_is_at_the_limit_makes_room)
{
    const apiary_delegate_options_t forget = {.struct_size = sizeof forget, .flags = APIARY_DETACH};
    uint64_t token;

    for (uint32_t i = 0; i < 60; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &forget, &tasks[0]), 0);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[1]), APIARY_ELIMIT);
    cr_assert_eq(ap_task_claim(client->seg, client->anchor->lane.index, agents[0].queue,
                               AP_REF(tasks[0].slot, tasks[0].generation), &token), 1);
    cr_assert_eq(ap_task_finish(client->seg, tasks[0].slot, token, 0), 0);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[1]), 0);
    cr_expect_eq(busy_tickets(), 60);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[2]), APIARY_ELIMIT);
}

/* ---- batches ---------------------------------------------------------------------------------------------------- */

static void fill(const apiary_delegate_options_t *options)
{
    for (uint32_t i = 0; i < MANY; i++)
        requests[i] = (apiary_request_t){.struct_size = sizeof requests[0], .capability = i % 3 == 1 ? "other" : "echo",
                                         .body = "x", .size = 1, .options = options};
}

/* Whoever sleeps before a queue is woken once, and each queue has its bit. */
Test(placed, each_queue_of_a_batch_is_told)
{
    uint32_t bell = ap_bell_raise(&client->anchor->lane.lane->bell);
    size_t n = 77;

    fill(NULL);
    for (size_t count = 1; count <= MANY; count += count == 1 ? 1 : count == 2 ? 29 : 1) {
        for (int i = 0; i < 2; i++) queue_of(i)->summary = 0;
        bell = ap_bell_raise(&client->anchor->lane.lane->bell);
        cr_assert_eq(apiary_delegate_batch(client, requests, count, tasks, &n), 0);
        cr_expect_eq(n, count);
        cr_expect_neq(ap_load_relaxed(&client->anchor->lane.lane->bell), bell);
        cr_expect_neq(queue_of(0)->summary, 0, "%zu", count);
        cr_expect_eq(queue_of(1)->summary != 0, count > 1, "%zu", count);
        cr_expect_eq(in_queue(0) + in_queue(1), count);
        for (size_t i = 0; i < count; i++) {
            cr_expect_eq(AP_WORD_OWNER(slot_of(tasks[i])->word), agents[i % 3 == 1].queue, "task %zu", i);
            ap_give_up(client, tasks[i]);
        }
    }
    cr_expect_eq(slots_in_use(), 0);
}

Test(placed, tasks_that_nobody_collects_need_no_names)
{
    const apiary_delegate_options_t forget = {.struct_size = sizeof forget, .flags = APIARY_DETACH};
    const apiary_delegate_options_t keep = {.struct_size = sizeof keep};
    size_t n = 77;

    fill(&forget);
    requests[4].options = NULL;
    cr_expect_eq(apiary_delegate_batch(client, requests, 5, NULL, &n), APIARY_EINVAL, "the last is to be collected");
    cr_expect_eq(n, 0);
    cr_expect_eq(slots_in_use(), 0);
    requests[4].options = &keep;
    cr_expect_eq(apiary_delegate_batch(client, requests, 5, NULL, &n), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_batch(client, requests, 4, NULL, &n), 0);
    cr_expect_eq(n, 4);
    cr_expect_eq(slots_in_use(), 4);
    for (uint32_t i = 0; i < 4; i++) {
        struct ap_slot *slot = ap_slot_at(client->seg, client->anchor->slabs.first + i);

        cr_expect_eq(slot->request, AP_REQUEST_WORD(AP_WORD_GENERATION(slot->word), AP_REQUEST_DETACH), "%u", i);
    }
    cr_expect_eq(ap_open_tasks(client->anchor, false), 0);
}

/* By name, by the same name in another place, and bound; with options of another size and with none. */
Test(placed, requests_of_a_batch_may_be_of_several_sorts)
{
    const apiary_delegate_options_t older = {.struct_size = AP_FIRST_DELEGATE_OPTIONS, .timeout = 5 * SECOND};
    const apiary_delegate_options_t bad = {.struct_size = 8};
    apiary_capability_t bound, none = {.index = 3, .check = 5};
    char again[] = "echo";
    size_t n = 0;

    stop_the_clock();
    cr_assert_eq(apiary_bind(client, "other", &bound), 0);
    fill(NULL);
    requests[0].options = &older;
    requests[1].capability = NULL;
    requests[1].bound = &bound;
    requests[2].capability = again;
    requests[3].capability = "other";
    requests[4].options = &bad;
    cr_expect_eq(apiary_delegate_batch(client, requests, 5, tasks, &n), APIARY_EINVAL);
    cr_assert_eq(n, 4);
    for (uint32_t i = 0; i < n; i++) {
        cr_expect_eq(AP_WORD_OWNER(slot_of(tasks[i])->word), agents[i % 2].queue, "%u", i);
        cr_expect_eq(slot_of(tasks[i])->deadline, clock_at + (i == 0 ? 5 : 9) * SECOND, "%u", i);
        cr_expect_eq(slot_of(tasks[i])->queued, clock_at);
        ap_give_up(client, tasks[i]);
    }
    requests[0].capability = "nobody";
    cr_expect_eq(apiary_delegate_batch(client, requests, 2, tasks, &n), APIARY_ENOCAP);
    requests[0].bound = &bound;
    cr_expect_eq(apiary_delegate_batch(client, requests, 1, tasks, &n), APIARY_EINVAL, "by name or bound");
    requests[0].capability = NULL;
    requests[0].bound = &none;
    cr_expect_eq(apiary_delegate_batch(client, requests, 1, tasks, &n), APIARY_ESTALE);
    requests[0].bound = NULL;
    cr_expect_eq(apiary_delegate_batch(client, requests, 1, tasks, &n), APIARY_EINVAL);
    cr_expect_eq(n, 0);
    cr_expect_eq(slots_in_use(), 0);
}

/* ---- waits ------------------------------------------------------------------------------------------------------ */

#define SLEEPS 5u
static uint64_t slept[SLEEPS];
static uint32_t sleeps, woken; /* the first of them end before their time */

/* Whoever sleeps for the last time is interrupted. */
static int noting_wait(const uint32_t *word, uint32_t value, uint64_t until)
{
    if (ap_load_acquire(word) != value) return -EAGAIN;
    slept[sleeps++] = until - clock_at;
    if (sleeps == SLEEPS) ap_add_acq_rel(&client->interrupts, 1);
    if (sleeps <= woken) return 0;
    clock_at = until;
    return -ETIMEDOUT;
}

static void expect_sleeps(const apiary_task_t *waited, size_t n, const uint64_t *ms)
{
    apiary_result_t result = {.struct_size = sizeof result};

    sleeps = 0;
    cr_expect_eq(apiary_await_any(client, waited, n, APIARY_FOREVER, &result), APIARY_EINTERRUPTED);
    for (uint32_t i = 0; i < SLEEPS; i++) cr_expect_eq(slept[i], ms[i] * MS, "sleep %u: %llu", i, (unsigned long long)slept[i]);
}

/* Twice as long after each time that was over, and the first time again and again where not all of the tasks ring one bell. */
Test(placed, how_long_a_wait_sleeps)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = APIARY_FOREVER};

    stop_the_clock();
    still.futex_wait = noting_wait;
    ap_spin_open(&client->anchor->spin, &still);
    client->anchor->spin.never = true;
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &o, &tasks[i]), 0);
    expect_sleeps(tasks, 2, (const uint64_t[]){10, 20, 40, 80, 160});
    woken = 2;
    expect_sleeps(tasks, 2, (const uint64_t[]){10, 10, 10, 20, 40});
    woken = 0;
    for (int i = 0; i < 2; i++) {
        slot_of(tasks[i])->client++;
        expect_sleeps(tasks, 2, (const uint64_t[]){10, 10, 10, 10, 10});
        slot_of(tasks[i])->client--;
    }
    slot_of(tasks[1])->deadline = clock_at + 25 * MS;
    sleeps = 0;
    cr_expect_eq(apiary_await_any(client, tasks, 2, APIARY_FOREVER, &(apiary_result_t){.struct_size = sizeof(apiary_result_t)}), 1);
    cr_expect(sleeps == 2 && slept[0] == 10 * MS && slept[1] == 15 * MS);
    ap_give_up(client, tasks[0]);
}

Test(placed, a_call_may_have_nothing_to_say)
{
    char text[8];

    cr_expect_eq(apiary_call(client, "echo", NULL, 0, APIARY_TIMEOUT(MS), NULL, 0, NULL), APIARY_ETIMEDOUT);
    cr_expect_eq(apiary_call(client, "echo", NULL, 1, APIARY_TIMEOUT(MS), NULL, 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_call(client, NULL, "x", 1, APIARY_TIMEOUT(MS), NULL, 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_call(client, "echo", "x", 1, APIARY_TIMEOUT(MS), NULL, 1, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_call(client, "echo", "x", 1, APIARY_TIMEOUT(MS), text, 0, NULL), APIARY_ETIMEDOUT);
    cr_expect_eq(slots_in_use(), 0);
    cr_expect_eq(busy_tickets(), 0);
}

/* ---- loans ------------------------------------------------------------------------------------------------------ */

Test(placed, a_loan_is_counted_until_it_is_given_back_or_gone)
{
    struct ap_lane_context *c = client->anchor;
    apiary_t *nobody = attach_as(NULL);
    void *body = NULL, *second = NULL;
    apiary_task_t task;

    cr_expect_eq(apiary_loan(client, 100, NULL), APIARY_EINVAL);
    cr_assert_eq(apiary_loan(client, 100, &body), 0);
    cr_assert_eq(apiary_loan(client, 100, &second), 0);
    cr_expect_eq(c->loans, 2);
    cr_expect_eq(apiary_unloan(client, (char *)body + 1), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_loan(client, "nobody", body, 100, NULL, &task), APIARY_ENOCAP);
    cr_expect_eq(apiary_delegate_loan(client, NULL, body, 100, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_loan(client, "echo", NULL, 0, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_loan(client, "echo", body, 257, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(c->loans, 2);
    memcpy(body, "lent", 4);
    cr_assert_eq(apiary_delegate_loan(client, "echo", body, 256, NULL, &task), 0, "all of the block");
    cr_expect_eq(c->loans, 1);
    cr_expect_eq(slot_of(task)->body, (uint64_t)((uint8_t *)body - client->seg->base));
    cr_expect_eq(slot_of(task)->body_size, 256);
    cr_expect_eq(memcmp(body, "lent", 4), 0);
    cr_expect_eq(apiary_unloan(client, second), 0);
    cr_expect_eq(c->loans, 0);
    ap_give_up(client, task);
    cr_expect_eq(blocks_in_use(), 0);
    for (int i = 0; i < 2; i++) {
        apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH};

        cr_assert_eq(apiary_loan(client, 100, &body), 0);
        cr_assert_eq(apiary_delegate_loan(client, "echo", body, 100, &o, i == 0 ? NULL : &task), 0);
        cr_expect_eq(c->loans, 0);
    }
    cr_expect_eq(slot_of(task)->request, AP_REQUEST_WORD(task.generation, AP_REQUEST_DETACH));
    /* Also where it would fit into the slot, and nothing else is to be searched for. */
    cr_assert_eq(apiary_delegate(nobody, "echo", "x", 1, NULL, &task), 0);
    cr_assert_eq(apiary_loan(nobody, 10, &body), 0);
    cr_assert_eq(apiary_delegate_loan(nobody, "echo", body, 10, NULL, &task), 0);
    cr_expect_eq(slot_of(task)->body, (uint64_t)((uint8_t *)body - nobody->seg->base));
    apiary_detach(nobody);
}

/* ---- attach ----------------------------------------------------------------------------------------------------- */

static void expect_refusal(int error, const char *segment, apiary_attach_options_t o, const char *what)
{
    char wanted[512], message[512] = "unsaid", little[8] = "unsaid";
    apiary_t *a = (apiary_t *)wanted;

    snprintf(wanted, sizeof wanted, "%s: %s; %s", what, apiary_strerror(error), apiary_advice(error));
    o.struct_size = sizeof o;
    o.message = message;
    o.message_size = sizeof message;
    cr_expect_eq(apiary_attach(segment, &o, &a), error);
    cr_expect_str_eq(message, wanted);
    o.message = little;
    o.message_size = sizeof little;
    cr_expect_eq(apiary_attach(segment, &o, &a), error);
    cr_expect(strncmp(little, wanted, 3) == 0 && strlen(little) < sizeof little, "%s", little);
    strcpy(message, "unsaid");
    o.message = message;
    o.message_size = 0;
    cr_expect_eq(apiary_attach(segment, &o, &a), error);
    cr_expect_str_eq(message, "unsaid");
    o.message = NULL;
    o.message_size = sizeof message;
    cr_expect_eq(apiary_attach(segment, &o, &a), error);
    cr_expect_eq((void *)a, (void *)wanted, "the output is untouched");
}

static void *attach_elsewhere(void *ret)
{
    *(int *)ret = apiary_attach(seg_name, NULL, &(apiary_t *){NULL});
    return NULL;
}

Test(placed, an_attach_says_why_it_was_refused)
{
    apiary_attach_options_t o = {.kind = (enum apiary_member_kind)(APIARY_TOOL + 1)};
    apiary_t *attached[40];
    uint32_t n = 0;
    char name[8];

    expect_refusal(APIARY_EINVAL, seg_name, o, "attach");
    expect_refusal(APIARY_EINVAL, seg_name, (apiary_attach_options_t){.swarm = "Bad Name"}, "the swarm's name");
    expect_refusal(APIARY_EINVAL, seg_name, (apiary_attach_options_t){.swarm = ""}, "the swarm's name");
    /* Every service of the table is in use. */
    for (; n < 8; n++) {
        apiary_attach_options_t as = {.struct_size = sizeof as, .swarm = name};

        snprintf(name, sizeof name, "s%u", n);
        if (apiary_attach(seg_name, &as, &attached[n]) < 0) break;
    }
    cr_assert_eq(n, 6, "two are there already");
    expect_refusal(APIARY_ETABLEFULL, seg_name, (apiary_attach_options_t){.swarm = "late"}, "late");
    cr_expect_eq(lanes_live(client->seg), 1 + n, "who was refused has left nothing");
    for (uint32_t i = 0; i < n; i++) apiary_detach(attached[i]);
    /* Every member of the table is there. */
    for (n = 0; n < 40; n++)
        if (apiary_attach(seg_name, NULL, &attached[n]) < 0) break;
    cr_assert_eq(n, deep.members - 1);
    expect_refusal(APIARY_ENOLANE, seg_name, (apiary_attach_options_t){.name = "late"}, "cannot attach");
    for (uint32_t i = 0; i < n; i++) apiary_detach(attached[i]);
    cr_expect_eq(lanes_live(client->seg), 1);
}

Test(placed, a_member_has_its_name_as_far_as_it_prints)
{
    const struct {
        const char *given, *shown;
    } rows[] = {{"a b", "a_b"}, {"\x1f!~\x7f", "_!~_"}, {"\xc3\xa4", "__"},
                {"123456789012345678901234567890123456789012345678901234567890", NULL}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        apiary_attach_options_t o = {.struct_size = sizeof o, .name = rows[i].given};
        const char *shown = rows[i].shown != NULL ? rows[i].shown : rows[i].given;
        struct ap_member m;
        apiary_t *a;

        cr_assert_eq(apiary_attach(seg_name, &o, &a), 0);
        cr_assert_eq(ap_member_read(client->seg, a->member, &m), 1);
        cr_expect(strncmp(m.name, shown, APIARY_NAME_MAX) == 0, "row %zu: %.40s", i, m.name);
        cr_expect_eq(m.name[APIARY_NAME_MAX], '\0');
        cr_expect_eq(m.kind, APIARY_CLIENT);
        apiary_detach(a);
    }
}

/* The tightest of the living registrations of the caller's own service. */
Test(placed, a_caller_has_the_limit_of_its_service)
{
    const struct {
        uint32_t own, limit;
    } rows[] = {{0, 60}, {7, 7}, {59, 59}, {60, 60}, {61, 60}, {1, 1}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ap_agent_registration agent = {.name = "agent", .capabilities = (const char *const[]){"third", NULL},
                                              .lane = client->anchor->lane.index};
        struct ap_swarm_registration r = {.service = "limited", .version = "1.0", .lane = client->anchor->lane.index,
                                          .member = client->member, .agents = &agent, .agent_count = 1,
                                          .max_delegations = rows[i].own};
        apiary_t *a[3];

        cr_assert_eq(ap_swarm_register(client->seg, &r), 0);
        a[0] = attach_as("limited");
        a[1] = attach_as("another");
        a[2] = attach_as(NULL);
        cr_expect_eq(a[0]->limit, rows[i].limit, "%u", rows[i].own);
        cr_expect_eq(a[1]->limit, 60);
        cr_expect_eq(a[2]->limit, 60);
        ap_swarm_deregister(client->seg, client->anchor->lane.index, &r);
        for (int k = 0; k < 3; k++) apiary_detach(a[k]);
        a[0] = attach_as("limited");
        cr_expect_eq(a[0]->limit, 60, "it has left");
        apiary_detach(a[0]);
    }
}

static uint32_t locked, unlock;
static void *hold_the_handles(void *none)
{
    ap_clients_lock();
    ap_store_release(&locked, 1);
    while (ap_load_acquire(&unlock) == 0) sched_yield();
    ap_clients_unlock();
    return none;
}

/* Another thread was in the midst of an attach or detach, and the child has it not. */
Test(placed, a_forked_child_attaches_whatever_others_were_at)
{
    pthread_t thread;
    int status;
    pid_t pid;

    cr_assert_eq(pthread_create(&thread, NULL, hold_the_handles, NULL), 0);
    while (ap_load_acquire(&locked) == 0) sched_yield();
    pid = fork();
    if (pid == 0) {
        apiary_t *own;

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* where it waits for the thread for ever */
        _exit(apiary_attach(seg_name, NULL, &own) == 0 && apiary_detach(own) == 0 ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    ap_store_release(&unlock, 1);
    pthread_join(thread, NULL);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

/* A thread for which there is no lane has its answer, and nothing of it is left. */
Test(placed, a_thread_without_a_lane_is_refused)
{
    uint32_t lanes = lanes_live(client->seg), n = 0;
    struct ap_lane_handle held[40];
    apiary_task_t task = {.slot = 77};
    apiary_t *a = attach_as(NULL);
    pthread_t thread;
    int r = 0;

    while (n < 40 && ap_lane_open(client->seg, client->member, &held[n]) == 0) n++;
    cr_assert_eq(n, deep.lanes - lanes - 1);
    pthread_create(&thread, NULL, attach_elsewhere, &r);
    pthread_join(thread, NULL);
    cr_expect_eq(r, APIARY_ENOLANE);
    cr_expect_eq(apiary_delegate(a, "echo", "x", 1, NULL, &task), 0, "this one has its own");
    ap_give_up(a, task);
    while (n > 0) ap_lane_close(&held[--n]);
    apiary_detach(a);
    cr_expect_eq(lanes_live(client->seg), lanes);
}
