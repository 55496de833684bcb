/* What a lane remembers of names, an only provider and its last ticket is what is so now, or it does not count. */
#include "tests/unit/registry_fixture.h"

TestSuite(known, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

/* Delegates and returns the queue that got the task, or the error; the task is given up. */
static int goes_to(apiary_t *a)
{
    apiary_task_t task;
    struct ap_slot *slot;
    uint64_t word = 0;
    int r = apiary_delegate(a, "echo", "x", 1, NULL, &task);

    if (r < 0) return r;
    cr_assert(ap_task_find(a, task, &slot, &word));
    cr_assert_eq(AP_WORD_STATE(word), AP_TASK_QUEUED);
    ap_give_up(a, task);
    return (int)AP_WORD_OWNER(word);
}

/* So often that the name and its provider are remembered. */
static void remember(apiary_t *a, int queue)
{
    const struct ap_known_name *known;

    for (int i = 0; i < 3; i++) cr_assert_eq(goes_to(a), queue);
    known = ap_capability_known(ap_context_here(a), "echo");
    cr_assert(known != NULL && known->at != NULL);
    cr_assert(ap_route_only(&known->only), "it is not remembered, so nothing of this is tested");
}

static void mode_set(const struct worker *w, uint32_t mode)
{
    cr_assert_eq(ap_swarm_mode_set(client->seg, w->swarm.swarm, "server", "0", mode, NULL), 1);
}

Test(known, a_second_provider_gets_its_part)
{
    struct worker w[2];

    cr_assert_eq(worker_register(&w[0], "server", "0", "agent", echo), 0);
    remember(client, (int)w[0].queue);
    cr_assert_eq(worker_register(&w[1], "server", "1", "agent", echo), 0);
    ap_store_relaxed(&ap_queue_at(client->seg, w[0].queue)->running, 200);
    cr_expect_eq(goes_to(client), (int)w[1].queue);
    worker_stop(&w[1]);
    cr_expect_eq(goes_to(client), (int)w[0].queue);
    worker_stop(&w[0]);
    cr_expect_eq(goes_to(client), APIARY_ENOPROVIDER);
    assert_sound();
}

static int goes_keyed(apiary_t *a, uint64_t key)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .key = key};
    apiary_task_t task;
    struct ap_slot *slot;
    uint64_t word = 0;
    int r = apiary_delegate(a, "echo", "x", 1, &o, &task);

    if (r < 0) return r;
    cr_assert(ap_task_find(a, task, &slot, &word));
    ap_give_up(a, task);
    return (int)AP_WORD_OWNER(word);
}

/* Who has keys only remembers an only provider as others do, and a second one gets its keys. */
Test(known, who_delegates_by_keys)
{
    const struct ap_known_name *of;
    struct worker w[2];
    unsigned got[2] = {0};

    cr_assert_eq(worker_register(&w[0], "server", "0", "agent", echo), 0);
    for (uint64_t key = 1; key < 5; key++) cr_assert_eq(goes_keyed(client, key), (int)w[0].queue);
    of = ap_capability_known(ap_context_here(client), "echo");
    cr_assert(of != NULL && of->at != NULL);
    cr_expect(ap_route_only(&of->only), "the only provider is remembered");
    cr_assert_eq(worker_register(&w[1], "server", "1", "agent", echo), 0);
    for (uint64_t key = 1; key < 9; key++) {
        int queue = goes_keyed(client, key);

        cr_assert(queue == (int)w[0].queue || queue == (int)w[1].queue, "%s", apiary_error_name(queue));
        got[queue == (int)w[1].queue]++;
    }
    cr_expect(got[0] > 0 && got[1] > 0, "%u and %u", got[0], got[1]);
    cr_expect_not(ap_route_only(&of->only));
    worker_stop(&w[0]);
    cr_expect_eq(goes_keyed(client, 1), (int)w[1].queue);
    worker_stop(&w[1]);
    cr_expect_eq(goes_keyed(client, 1), APIARY_ENOPROVIDER);
    assert_sound();
}

Test(known, an_operator_takes_it_out_and_back)
{
    struct worker w;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    remember(client, (int)w.queue);
    mode_set(&w, APIARY_DRAIN);
    cr_expect_eq(goes_to(client), APIARY_ENOPROVIDER);
    mode_set(&w, APIARY_READY);
    cr_expect_eq(goes_to(client), (int)w.queue);
    worker_stop(&w);
}

Test(known, a_closed_queue_and_its_next_life)
{
    struct worker w, again;
    uint64_t life;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    remember(client, (int)w.queue);
    life = ap_load_acquire(&ap_queue_at(client->seg, w.queue)->life);
    cr_assert_eq(ap_queue_close(client->seg, w.queue, life), 1);
    cr_expect_eq(goes_to(client), APIARY_ENOPROVIDER);
    worker_stop(&w);
    cr_assert_eq(worker_register(&again, "server", NULL, "agent", echo), 0);
    cr_assert_eq(again.queue, w.queue, "a queen that comes back has its queue again");
    cr_expect_eq(goes_to(client), (int)again.queue);
    worker_stop(&again);
}

/* The consumer's lane is dead as soon as its lock word says so, before anybody has recovered it. */
Test(known, a_marked_consumer)
{
    struct worker w;
    uint32_t *word, was;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    remember(client, (int)w.queue);
    word = (uint32_t *)ap_robust_word(&ap_lane_at(client->seg, w.lane)->mutex);
    was = ap_load_relaxed(word);
    ap_store_relaxed(word, was | FUTEX_OWNER_DIED);
    cr_expect_eq(goes_to(client), APIARY_ENOPROVIDER);
    ap_store_relaxed(word, was);
    cr_expect_eq(goes_to(client), (int)w.queue);
    worker_stop(&w);
}

Test(known, discover_shows_what_is_now)
{
    struct worker w[2];
    apiary_provider_t rows[2] = {{.struct_size = sizeof rows[0]}};
    uint32_t before;

    cr_assert_eq(worker_register(&w[0], "server", "0", "agent", echo), 0);
    remember(client, (int)w[0].queue);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_discover(client, "echo", rows, 2), 1);
        cr_expect_str_eq(rows[0].instance, "0");
        cr_expect(rows[0].alive);
    }
    before = rows[0].in_flight;
    ap_store_relaxed(&ap_queue_at(client->seg, w[0].queue)->running, 3);
    cr_assert_eq(apiary_discover(client, "echo", rows, 2), 1);
    cr_expect_eq(rows[0].in_flight, before + 3);
    cr_assert_eq(worker_register(&w[1], "server", "1", "agent", echo), 0);
    cr_assert_eq(apiary_discover(client, "echo", rows, 2), 2);
    cr_expect_str_eq(rows[1].instance, "1");
    cr_assert_eq(apiary_discover(client, "echo", rows, 1), 2, "the number of all, whatever there is room for");
    worker_stop(&w[0]);
    cr_assert_eq(apiary_discover(client, "echo", rows, 2), 1);
    cr_expect_str_eq(rows[0].instance, "1");
    worker_stop(&w[1]);
}

/* A name that was asked for once is nobody's place. */
Test(known, strangers_do_not_make_it_forget)
{
    static char names[8][16];
    const struct ap_known_name *known;
    struct worker w;
    uint32_t index;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    remember(client, (int)w.queue);
    known = ap_capability_known(ap_context_here(client), echo[0]);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(names[i], sizeof names[i], "stranger-%u", i % 10u);
        cr_assert_eq(ap_capability_intern(client->seg, names[i], &index), 0);
        cr_expect_eq(apiary_discover(client, names[i], NULL, 0), 0);
        cr_expect_eq(ap_capability_known(ap_context_here(client), echo[0])->capability, known->capability);
    }
    cr_expect_eq(goes_to(client), (int)w.queue);
    worker_stop(&w);
}

/* While a lane's tickets are all out, the next is not at hand; that must not cost a slot, whose hole every later round meets. */
Test(known, slots_in_turn_where_tickets_are_not_at_hand)
{
    apiary_task_t tasks[5];
    struct worker w;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    remember(client, (int)w.queue);
    for (int i = 0; i < 5; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[i]), 0);
    for (int i = 1; i < 5; i++) cr_expect_eq(tasks[i].slot, tasks[0].slot + (uint32_t)i);
    cr_expect_eq(busy_tickets(), 5);
    for (int i = 0; i < 5; i++) ap_give_up(client, tasks[i]);
    cr_expect_eq(busy_tickets(), 0);
    worker_stop(&w);
    assert_sound();
}

/* Providers' bits take more than two words where a segment has more than 128 queues; a lane compares two of them at once. */
Test(known, a_second_provider_behind_127_other_agents)
{
    enum { AGENTS = 127 };
    static const char *const other[] = {"other", NULL};
    static struct ap_agent_registration agents[AGENTS];
    static char names[AGENTS][8];
    struct ap_geometry large = small;
    struct ap_swarm_registration filler;
    struct worker near, far;

    apiary_detach(client);
    shm_unlink(seg_name);
    large.queues = 256;
    segment_make(&large);
    client = attach_as("caller");
    cr_assert_eq(worker_register(&near, "server", "near", "agent", echo), 0);
    for (int i = 0; i < AGENTS; i++) {
        snprintf(names[i], sizeof names[i], "a%d", i);
        agents[i] = (struct ap_agent_registration){.name = names[i], .capabilities = other, .lane = client->anchor->lane.index};
    }
    filler = (struct ap_swarm_registration){.service = "filler", .lane = client->anchor->lane.index, .member = client->member,
                                            .agents = agents, .agent_count = AGENTS};
    cr_assert_eq(ap_swarm_register(client->seg, &filler), 0);
    remember(client, (int)near.queue);
    cr_assert_eq(worker_register(&far, "server", "far", "agent", echo), 0);
    cr_assert_geq(far.queue, 128, "%u", far.queue);
    ap_store_relaxed(&ap_queue_at(client->seg, near.queue)->running, 200);
    cr_expect_eq(goes_to(client), (int)far.queue);
    worker_stop(&near);
    remember(client, (int)far.queue);
    cr_assert_eq(worker_register(&near, "server", "near", "agent", echo), 0);
    cr_expect_lt(near.queue, 64);
    ap_store_relaxed(&ap_queue_at(client->seg, far.queue)->running, 200);
    cr_expect_eq(goes_to(client), (int)near.queue);
    worker_stop(&near);
    worker_stop(&far);
    assert_sound();
}

/* Its service may have been given a lower bound since. */
Test(known, a_ticket_above_the_bound_is_not_taken_again)
{
    uint32_t lane = client->anchor->lane.index, service = (uint32_t)client->service, tickets[3];
    struct ap_ticket_hint hint = {0};

    for (int i = 0; i < 3; i++) cr_assert_eq(ap_ticket_take(client->seg, service, lane, 5, &hint, &tickets[i]), 0);
    for (int i = 0; i < 3; i++) ap_ticket_back(client->seg, &hint, lane, tickets[i]);
    cr_assert_eq(ap_tickets_busy(client->seg, service), 0);
    cr_expect_eq(ap_ticket_again(&hint, lane, 2), 0, "the third");
    cr_expect_eq(ap_tickets_busy(client->seg, service), 0);
    cr_expect_eq(ap_ticket_again(&hint, lane, 2), tickets[1]);
    cr_expect_eq(ap_tickets_busy(client->seg, service), 1);
    ap_ticket_back(client->seg, &hint, lane, tickets[1]);
}
