/* Where a probe goes: which of several providers, and what becomes of one whose queue changes while it is on its way. */
#include "tests/unit/steps_fixture.h"

#include "registry/client/carried.h"
#include "shm/probe.h"

static struct ap_agent_registration others[2];
static struct ap_swarm_registration other;

/* Who waits there runs nothing. */
static void setup_others(void)
{
    static const char *const first[] = {"first", NULL};

    steps_setup();
    others[0] = (struct ap_agent_registration){.name = "third", .capabilities = first, .lane = a->anchor->lane.index};
    others[1] = others[0];
    others[1].name = "fourth";
    other = (struct ap_swarm_registration){.service = "other", .lane = a->anchor->lane.index, .member = a->member, .agents = others,
                                           .agent_count = 2};
    cr_assert_eq(ap_swarm_register(a->seg, &other), 0);
}

static void others_leave(void)
{
    ap_swarm_withdraw(a->seg, &other);
    ap_swarm_close(a->seg, a->anchor->lane.index, &other);
    ap_swarm_deregister(a->seg, a->anchor->lane.index, &other);
}

static void teardown_others(void)
{
    others_leave();
    steps_teardown();
}

TestSuite(probe_ways, .init = setup_others, .fini = teardown_others, .timeout = TEST_LIMIT);

static const apiary_delegate_options_t plain = {.struct_size = sizeof plain, .flags = APIARY_PROBE, .timeout = SECOND};

static int probe(apiary_task_t *ret)
{
    return apiary_delegate(a, "first", NULL, 0, &plain, ret);
}

static uint64_t word_of(apiary_task_t task)
{
    return ap_load_acquire(&ap_slot_at(a->seg, task.slot)->word);
}

/* Where it waits. */
static uint32_t queue_asked(apiary_task_t task)
{
    cr_assert_eq(AP_WORD_STATE(word_of(task)), AP_TASK_QUEUED);
    return AP_WORD_OWNER(word_of(task));
}

static uint32_t slots_in_use(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < a->seg->geometry.tasks; i++)
        n += AP_WORD_STATE(ap_load_acquire(&ap_slot_at(a->seg, i)->word)) != AP_TASK_FREE;
    return n;
}

static void end(apiary_t *by, apiary_task_t task)
{
    apiary_result_t result = {.struct_size = sizeof result};

    cr_assert_eq(apiary_cancel(by, task), 0);
    cr_assert_eq(apiary_await(by, task, APIARY_FOREVER, &result), 0);
    cr_assert_eq(apiary_release(by, &result), 0);
}

/* ---- which one -------------------------------------------------------------------------------------------------- */

/* From a provider of each lane's own on, in the order of their queues, and round again. */
Test(probe_ways, providers_are_asked_in_turn)
{
    const uint32_t count = a->seg->geometry.queues;
    bool offers[64] = {false};

    cr_assert_leq(count, 64);
    offers[hive.agents[0].queue] = offers[others[0].queue] = offers[others[1].queue] = true;
    for (uint32_t begin = 0; begin < 2 * count; begin++) {
        uint32_t wanted = begin % count;

        a->anchor->balance.random = begin;
        a->anchor->probes = 0;
        for (int i = 0; i < 7; i++, wanted = (wanted + 1) % count) {
            apiary_task_t task;

            while (!offers[wanted]) wanted = (wanted + 1) % count;
            cr_assert_eq(probe(&task), 0);
            cr_expect_eq(queue_asked(task), wanted, "from %u on, the %dth", begin, i);
            end(a, task);
        }
    }
    cr_expect_eq(slots_in_use(), 0);
}

/* Of this process one waits at each of them, and then no other. */
Test(probe_ways, one_waits_at_each_of_them)
{
    apiary_task_t tasks[3], more = {.slot = 77};
    uint32_t sum = 0;

    for (int i = 0; i < 3; i++) cr_assert_eq(probe(&tasks[i]), 0, "%d", i);
    for (int i = 0; i < 3; i++) sum |= 1u << queue_asked(tasks[i]);
    cr_expect_eq(sum, 1u << hive.agents[0].queue | 1u << others[0].queue | 1u << others[1].queue);
    cr_expect_eq(probe(&more), APIARY_ELIMIT);
    cr_expect_eq(more.slot, 77);
    cr_expect_eq(slots_in_use(), 3);
    for (int i = 0; i < 3; i++) end(a, tasks[i]);
}

/* The one that is full is named, and not the first of all. */
Test(probe_ways, a_refusal_names_the_agent)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task, more;

    cr_assert_eq(apiary_delegate(a, "second", NULL, 0, &plain, &task), 0);
    cr_expect_eq(apiary_delegate(a, "second", NULL, 0, &plain, &more), APIARY_ELIMIT);
    cr_assert_eq(apiary_refusal(a, &refusal), 0);
    cr_expect_not_null(strstr(refusal.message, "or 8 of others, wait at agent 'second' already"), "%s", refusal.message);
    end(a, task);
}

Test(probe_ways, only_agents_of_the_service_that_is_meant)
{
    const uint32_t services[2] = {hive.queen.service_index, other.service_index}, count = a->seg->geometry.queues;
    uint32_t nobody;
    apiary_task_t task = {.slot = 77};

    cr_assert_eq(ap_service_intern(b->seg, b->anchor->lane.index, "nobody", &nobody), 0);
    for (uint32_t begin = 0; begin < count; begin++) {
        b->anchor->balance.random = begin;
        for (int s = 0; s < 2; s++) {
            b->anchor->probes = 0;
            cr_assert_eq(ap_submit(b->anchor, (int)services[s], "first", NULL, 0, 0, &plain, &task), 0);
            if (s == 0) cr_expect_eq(queue_asked(task), hive.agents[0].queue);
            else cr_expect(queue_asked(task) == others[0].queue || queue_asked(task) == others[1].queue);
            cr_expect_eq(ap_slot_at(b->seg, task.slot)->only, services[s] + 1);
            end(b, task);
        }
        task.slot = 77;
        cr_expect_eq(ap_submit(b->anchor, (int)nobody, "first", NULL, 0, 0, &plain, &task), APIARY_ENOPROVIDER);
        cr_expect_eq(task.slot, 77);
    }
    cr_expect_eq(slots_in_use(), 0);
}

/* Also where it is named: it has to offer what is asked for. */
Test(probe_ways, a_named_provider_of_something_else)
{
    apiary_delegate_options_t o = plain;
    apiary_provider_t row = {.struct_size = sizeof row};
    apiary_task_t task = {.slot = 77};

    cr_assert_eq(apiary_discover(a, "second", &row, 1), 1);
    o.provider = row.provider;
    cr_expect_eq(apiary_delegate(a, "first", NULL, 0, &o, &task), APIARY_ENOPROVIDER);
    cr_expect_eq(task.slot, 77);
    cr_assert_eq(apiary_delegate(a, "second", NULL, 0, &o, &task), 0);
    end(a, task);
}

/* One whose thread is dead answers nothing, though nobody has recovered it yet. */
Test(probe_ways, a_dead_provider_is_passed_over)
{
    struct ap_queue *q = ap_queue_at(a->seg, others[0].queue);
    const uint64_t life = q->life;
    uint32_t lane = 0;
    apiary_task_t task;

    while (ap_lane_alive(a->seg, lane)) lane++;
    cr_assert_not_null(ap_lane_at(a->seg, lane));
    q->life = AP_QUEUE_LIFE(AP_QUEUE_EPOCH(life), lane, AP_QUEUE_OPEN);
    for (uint32_t begin = 0; begin < a->seg->geometry.queues; begin++) {
        a->anchor->balance.random = begin;
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(probe(&task), 0);
            cr_expect_neq(queue_asked(task), others[0].queue);
            end(a, task);
        }
    }
    q->life = life;
}

/* It is tried once, which may be said; and what it follows from goes with it. */
Test(probe_ways, what_may_be_said_with_it)
{
    apiary_delegate_options_t o = plain;
    struct ap_carried row;
    apiary_task_t task;

    o.retry.max_attempts = 1;
    o.trace.trace_id[0] = 7;
    o.trace.parent_id[0] = 9;
    cr_assert_eq(apiary_delegate(a, "first", NULL, 0, &o, &task), 0);
    cr_assert(ap_carried_read(a->seg, task, &row));
    cr_expect(row.trace.trace_id[0] == 7 && row.trace.parent_id[0] == 9);
    end(a, task);
    o.retry.max_attempts = 2;
    cr_expect_eq(apiary_delegate(a, "first", NULL, 0, &o, &task), APIARY_EINVAL);
}

/* What was refused before it is what is told still. */
Test(probe_ways, a_probe_that_goes_out_is_no_refusal)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task;

    cr_assert_eq(apiary_delegate(a, "never", NULL, 0, NULL, &task), APIARY_ENOCAP);
    cr_assert_eq(probe(&task), 0);
    cr_assert_eq(apiary_refusal(a, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_ENOCAP);
    end(a, task);
}

/* ---- what its slot says ----------------------------------------------------------------------------------------- */

Test(probe_ways, its_slot_has_what_a_task_has)
{
    apiary_attach_options_t named = {.struct_size = sizeof named, .swarm = "caller"};
    apiary_delegate_options_t o = plain;
    const struct ap_slot *slot;
    apiary_task_t task;
    apiary_t *caller;

    cr_assert_eq(apiary_attach(name, &named, &caller), 0);
    caller->seg->ops = &clock_ops;
    cr_assert_eq(apiary_delegate(caller, "first", NULL, 0, &o, &task), 0);
    slot = ap_slot_at(caller->seg, task.slot);
    cr_expect_eq(slot->queued, clock_now);
    cr_expect_eq(slot->deadline, clock_now + SECOND);
    cr_expect_eq(slot->client, caller->anchor->lane.index);
    cr_expect_eq(slot->caller, caller->service + 1);
    cr_expect_eq(slot->capability, ap_capability_find(a->seg, "first", 5));
    cr_expect(slot->only == 0 && slot->body_size == 0 && slot->body == 0 && slot->ticket == 0);
    cr_expect_eq(task.epoch, AP_LEASE_EPOCH(ap_slab_at(a->seg, task.slot / AP_SLAB_SLOTS)->lease));
    cr_expect(ap_task_requested(slot, slot->word, AP_REQUEST_PROBE));
    end(caller, task);
    cr_expect_eq(apiary_detach(caller), 0);
}

/* ---- its queue changes meanwhile -------------------------------------------------------------------------------- */

static struct ap_ops hooked;
static void (*meanwhile)(void); /* once, when the clock is read: the queue was chosen, and the slot is being filled */
static void (*as_woken)(void);  /* once, when somebody is woken */

static uint64_t hooked_now(void)
{
    void (*what)(void) = meanwhile;

    meanwhile = NULL;
    if (what != NULL) what();
    return clock_now;
}

static int hooked_wake(const uint32_t *word, int count)
{
    void (*what)(void) = as_woken;

    as_woken = NULL;
    if (what != NULL) what();
    return ap_ops_system.futex_wake(word, count);
}

static void hook(void (*now)(void), void (*woken)(void))
{
    hooked = clock_ops;
    hooked.now = hooked_now;
    hooked.futex_wake = hooked_wake;
    a->seg->ops = b->seg->ops = &hooked;
    meanwhile = now;
    as_woken = woken;
}

static struct ap_queue *first_queue(void)
{
    return ap_queue_at(b->seg, hive.agents[0].queue);
}

static void close_first(void)
{
    cr_assert(ap_queue_close(b->seg, hive.agents[0].queue, first_queue()->life));
}

static void open_first(void)
{
    cr_assert(ap_queue_claim(b->seg, hive.agents[0].queue, b->anchor->lane.index));
    cr_assert(ap_queue_open(b->seg, hive.agents[0].queue, b->anchor->lane.index));
}

/* To the first agent. */
static int probe_first(apiary_task_t *ret)
{
    a->anchor->balance.random = hive.agents[0].queue;
    a->anchor->probes = 0;
    a->anchor->searched = 1; /* it is not measured: that would ask for the time before */
    return probe(ret);
}

Test(probe_ways, a_queue_that_closes_gives_it_to_another)
{
    apiary_task_t task;
    struct ap_consumer c;
    uint32_t queue;

    hook(close_first, NULL);
    cr_assert_eq(probe_first(&task), 0);
    queue = queue_asked(task);
    cr_expect(queue == others[0].queue || queue == others[1].queue, "it waits at %u", queue);
    ap_consumer_init(&c, a->seg, queue);
    cr_expect_eq(ap_queue_pop(&c), AP_REF(task.slot, task.generation));
    end(a, task);
    open_first();
}

/* No slot is left, and the caller has not heard of one. */
Test(probe_ways, a_queue_that_closes_and_was_the_last)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task = {.slot = 77};

    ap_swarm_withdraw(a->seg, &other);
    hook(close_first, NULL);
    cr_expect_eq(probe_first(&task), APIARY_ENOPROVIDER);
    cr_expect_eq(task.slot, 77);
    cr_expect_eq(slots_in_use(), 0);
    cr_assert_eq(apiary_refusal(a, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_ENOPROVIDER);
    open_first();
    cr_expect_eq(probe_first(&task), 0, "it is asked once more");
    end(a, task);
}

static uint32_t woken;

/* The consumer goes to sleep once more. */
static void sleep_again(void)
{
    ap_bell_raise(&b->anchor->lane.lane->bell);
    woken++;
    as_woken = sleep_again;
}

Test(probe_ways, its_consumer_is_woken_once)
{
    apiary_task_t task;

    ap_bell_raise(&b->anchor->lane.lane->bell);
    hook(NULL, sleep_again);
    cr_assert_eq(probe_first(&task), 0);
    cr_expect_eq(woken, 1);
    as_woken = NULL;
    end(a, task);
}

/* It has answered, and leaves: nothing is to be settled. */
static void answer_and_close(void)
{
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    close_first();
}

Test(probe_ways, a_queue_that_closes_when_it_has_answered)
{
    apiary_task_t task;

    ap_bell_raise(&b->anchor->lane.lane->bell);
    hook(NULL, answer_and_close);
    cr_assert_eq(probe_first(&task), 0);
    cr_expect_eq(code_of(task), 0);
    open_first();
}

/* Between the signal and the second look: the new consumer has looked already. */
static void open_anew(void)
{
    close_first();
    open_first();
    ap_store_relaxed(&first_queue()->probed, 0);
    ap_bell_raise(&b->anchor->lane.lane->bell);
}

Test(probe_ways, a_queue_that_is_opened_anew_is_told_again)
{
    apiary_task_t task;
    uint32_t value = ap_bell_raise(&b->anchor->lane.lane->bell);

    hook(NULL, open_anew);
    cr_assert_eq(probe_first(&task), 0);
    cr_expect_null((void *)as_woken, "whoever sleeps there was woken");
    cr_expect_eq(queue_asked(task), hive.agents[0].queue);
    cr_expect_eq(first_queue()->probed, 1);
    cr_expect_eq(b->anchor->lane.lane->bell & 1, 0);
    cr_expect_neq(b->anchor->lane.lane->bell, value);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(code_of(task), 0);
}

static apiary_task_t waiting[AP_PROBES];

static void fill_cells(void)
{
    for (uint32_t i = 0; i < AP_PROBES; i++) first_queue()->probes[i] = AP_REF(waiting[i].slot, waiting[i].generation);
}

/* Others were quicker. */
Test(probe_ways, places_that_are_taken_meanwhile)
{
    apiary_task_t task = {.slot = 77};
    uint64_t before[AP_PROBES];

    others_leave();
    for (uint32_t i = 0; i < AP_PROBES; i++) waiting[i] = asked("first", "x", 1, LONG);
    hook(fill_cells, NULL);
    cr_expect_eq(probe_first(&task), APIARY_ELIMIT);
    cr_expect_eq(task.slot, 77);
    cr_expect_eq(slots_in_use(), AP_PROBES);
    cr_expect_eq(first_queue()->probed, 0, "nobody is called for nothing");
    memcpy(before, first_queue()->probes, sizeof before);
    for (uint32_t i = 0; i < AP_PROBES; i++) cr_expect_eq(before[i], AP_REF(waiting[i].slot, waiting[i].generation));
    cr_assert_eq(ap_swarm_register(a->seg, &other), 0);
}
