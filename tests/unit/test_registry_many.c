/* tests/unit/test_registry_many.c - tables as large as they may be: the last row of each at work, one more refused; the index of
 * capabilities where the queues are thousands. */
#include "tests/unit/instances_fixture.h"

#include "registry/discovery/discovery.h"
#include "registry/routing/router.h"

TestSuite(registry_many, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

/* Instead of the fixture's segment, one with so many queues, services and swarms. The client calls for nobody. */
static void many_make(uint32_t queues, uint32_t rows)
{
    struct ap_geometry g = small;

    fixture_teardown();
    g.queues = queues;
    g.queue_depth = 2;
    g.queue_inlets = 1;
    AP_REGISTRY_NUMBER(&g, SERVICES) = AP_REGISTRY_NUMBER(&g, SWARMS) = rows;
    segment_make(&g);
    client = attach_as(NULL);
}

/* Of the queues that nobody has, the next registration finds only this one. */
static void queue_next(uint32_t queue)
{
    for (uint32_t q = 0; q < client->seg->geometry.queues; q++) {
        uint64_t *life = &ap_queue_at(client->seg, q)->life;
        bool held = AP_QUEUE_STATE(*life) == AP_QUEUE_CLAIMED;

        if (!held && AP_QUEUE_STATE(*life) != AP_QUEUE_FREE) continue;
        *life = q == queue ? 0 : AP_QUEUE_LIFE(0, own_lane(), AP_QUEUE_CLAIMED);
    }
}

static void enrol_at(struct ap_swarm_registration *r, const char *instance, uint32_t queue)
{
    static struct ap_agent_registration agents[8];
    static unsigned next;
    struct ap_agent_registration *a = &agents[next++ % 8];

    queue_next(queue);
    *a = (struct ap_agent_registration){.name = "a", .capabilities = echo, .lane = own_lane()};
    *r = (struct ap_swarm_registration){.service = "server", .instance = instance, .lane = own_lane(), .member = client->member,
                                        .agents = a, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, r), 0);
    cr_assert_eq(a->queue, queue);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

static void refused(struct ap_geometry g, const char *expected)
{
    char message[128] = "";

    cr_expect_eq(ap_geometry_normalise(&ap_registry_parts, &g, message, sizeof message), APIARY_EINVAL);
    cr_expect_str_eq(message, expected);
}

Test(registry_many, one_above_the_most)
{
    struct ap_geometry g = {.queues = 16383};

    AP_REGISTRY_NUMBER(&g, SERVICES) = AP_REGISTRY_NUMBER(&g, SWARMS) = 16384;
    cr_expect_eq(ap_geometry_normalise(&ap_registry_parts, &g, NULL, 0), 0);
    cr_expect(g.queues == 16383 && AP_REGISTRY_NUMBER(&g, SERVICES) == 16384 && AP_REGISTRY_NUMBER(&g, SWARMS) == 16384);
    g.queues++;
    refused(g, "queues: 16384 is out of range; allowed: 1 to 16383");
    g.queues--;
    AP_REGISTRY_NUMBER(&g, SERVICES)++;
    refused(g, "services: 16385 is out of range; allowed: 1 to 16384");
    AP_REGISTRY_NUMBER(&g, SERVICES)--;
    AP_REGISTRY_NUMBER(&g, SWARMS)++;
    refused(g, "swarms: 16385 is out of range; allowed: 1 to 16384");
}

/* ---- the last rows ------------------------------------------------------------------------------------------------ */

#define LAST_SERVICE (AP_SERVICES_MAX - 1)
#define LAST_SWARM (AP_SWARMS_MAX - 1)
#define LAST_QUEUE (AP_QUEUES_MAX - 1)

/* All rows but the last of the swarms and the last two of the services are in somebody's hands. */
static void others_hold(void)
{
    for (uint32_t i = 0; i < LAST_SWARM; i++)
        ap_swarm_at(client->seg, i)->life = AP_SWARM_LIFE(0, own_lane(), AP_SWARM_CLAIMED);
    for (uint32_t i = 0; i < LAST_SERVICE - 1; i++)
        ap_service_at(client->seg, i)->life = AP_SERVICE_LIFE(0, own_lane(), AP_SERVICE_FILLING);
    queue_next(LAST_QUEUE);
}

/* A service, its instance and its agent have the last index there is, and so has the service that calls. */
Test(registry_many, the_last_row_of_each)
{
    apiary_provider_t provider = {.struct_size = sizeof provider};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_delegate_options_t to = {.struct_size = sizeof to};
    struct ap_swarm_registration more = {.service = "server", .instance = "more"};
    apiary_instance_watch_t *w;
    struct worker worker;
    apiary_t *caller;
    apiary_task_t task;

    many_make(AP_QUEUES_MAX, AP_SWARMS_MAX);
    others_hold();
    w = watch(NULL, NULL, 0);
    cr_expect_eq(next(w), APIARY_INSTANCE_SYNCED);
    cr_assert_eq(worker_register(&worker, "server", "0", "agent", echo), 0);
    cr_expect(worker.swarm.swarm == LAST_SWARM && worker.queue == LAST_QUEUE && worker.swarm.service_index == LAST_SERVICE - 1);
    cr_expect_eq(next(w), APIARY_INSTANCE_REGISTERED);
    cr_expect_str_eq(whose.service, "server");
    caller = attach_as("caller");
    cr_expect_eq(caller->service, (int)LAST_SERVICE);

    cr_expect_eq(apiary_discover(caller, "echo", &provider, 1), 1);
    cr_expect(provider.alive);
    to.provider = provider.provider;
    for (int i = 0; i < 3; i++) { /* by the pick, by what the lane remembers of it, and to the provider that is named */
        const struct ap_slot *slot;

        cr_assert_eq(apiary_delegate(caller, "echo", "last", 5, i < 2 ? NULL : &to, &task), 0);
        slot = ap_slot_at(client->seg, task.slot);
        cr_expect_eq(slot->caller, LAST_SERVICE + 1);
        if (i == 0) { /* nobody has it in hand yet */
            cr_expect(AP_WORD_STATE(slot->word) == AP_TASK_QUEUED && AP_WORD_OWNER(slot->word) == LAST_QUEUE);
            worker_go(&worker);
        }
        cr_assert_eq(apiary_await(caller, task, 60 * SECOND, &result), 0);
        cr_expect(result.code == 0 && result.size == 5);
        cr_expect_eq(apiary_release(caller, &result), 0);
    }
    cr_expect_eq(ap_load_acquire(&worker.runs), 3);

    more.lane = own_lane();
    more.member = client->member;
    cr_expect_eq(ap_swarm_register(client->seg, &more), APIARY_ETABLEFULL, "no record is left");
    more.service = "other";
    cr_expect_eq(ap_swarm_register(client->seg, &more), APIARY_ETABLEFULL, "nor a name");
    end(&worker.swarm);
    cr_expect_eq(next(w), APIARY_INSTANCE_DIED);
    cr_expect_eq(next(w), 0);
    apiary_instance_unwatch(w);
    apiary_detach(caller);
    worker_halt(&worker);
    apiary_detach(worker.server);
}

/* ---- the index of capabilities ------------------------------------------------------------------------------------ */

static bool one_of(const uint32_t *list, size_t count, uint32_t queue)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == queue) return true;
    return false;
}

/* What is found from each queue on, beside a look at each. */
static void each_found(uint32_t capability, const uint32_t *list, size_t count)
{
    uint32_t queues = client->seg->geometry.queues, words = ap_provider_words(queues);
    const uint64_t *providers = ap_capability_at(client->seg, capability)->providers;
    int next_one = -1;

    for (uint32_t from = queues; from-- > 0;) {
        if (one_of(list, count, from)) next_one = (int)from;
        cr_assert_eq(ap_capability_next(client->seg, capability, from), next_one, "%u queues, from %u", queues, from);
    }
    cr_expect_eq(ap_provider_only(providers, words), count == 1 ? list[0] : AP_NO_QUEUE, "%u queues", queues);
}

Test(registry_many, providers_among_any_number_of_queues)
{
    static const uint32_t counts[] = {128, 129, 192, 4095, 4096, 4097, 8192, 8193, 12289, 16383};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const uint32_t n = counts[i], some[] = {n - 1, 0, n / 2, 64, 127, n - 66};
        uint32_t capability, list[6];
        size_t count = 0;

        many_make(n, 8);
        cr_assert_eq(ap_capability_intern(client->seg, "echo", &capability), 0);
        each_found(capability, list, 0);
        for (size_t k = 0; k < sizeof some / sizeof some[0]; k++)
            if (!one_of(list, count, some[k])) list[count++] = some[k];
        for (size_t k = 0; k < count; k++) {
            ap_capability_offer(client->seg, capability, list[k]);
            each_found(capability, list, k + 1);
        }
        for (size_t k = count; k-- > 0;) {
            ap_capability_withdraw(client->seg, capability, list[k]);
            each_found(capability, list, k);
        }
        cr_expect_eq(ap_capability_find(client->seg, "echo", 4), (int)capability, "the name is behind all bits");
        assert_sound();
    }
}

/* An only provider is remembered until another one is there, wherever its bit is; and again when it is alone. */
Test(registry_many, an_only_provider_among_thousands)
{
    static const uint32_t firsts[] = {0, 300, 8192}, beside[] = {1, 64, 1000};

    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        struct ap_lane_context *c;
        struct ap_swarm_registration first, second;
        struct ap_only only;
        uint32_t capability, queue;
        uint64_t life;

        many_make(8193, 8);
        c = ap_context_here(client);
        enrol_at(&first, "first", firsts[i]);
        capability = (uint32_t)ap_capability_find(client->seg, "echo", 4);
        for (size_t k = 0; k < sizeof beside / sizeof beside[0]; k++) {
            uint32_t other = firsts[i] < 8192 ? firsts[i] + beside[k] : firsts[i] - beside[k];
            char instance[2] = {(char)('0' + k), '\0'}; /* another one each time, or it would have the queue that it had */

            cr_assert_eq(ap_route_learn(client->seg, capability, 0, &c->balance, &only, &queue, &life), 0);
            cr_expect(queue == firsts[i] && only.queue == queue && ap_only_still(&only) && ap_route_only(&only));
            enrol_at(&second, instance, other);
            cr_expect_not(ap_only_still(&only), "%u beside %u", other, firsts[i]);
            ap_route_learn(client->seg, capability, 0, &c->balance, &only, &queue, &life);
            cr_expect_not(ap_only_still(&only), "there are two");
            leave(&second);
            cr_expect_eq(ap_capability_next(client->seg, capability, 0), (int)firsts[i], "a drain takes its bit away");
        }
    }
}

/* A pick goes round all of them. */
Test(registry_many, a_pick_among_providers_that_are_far_apart)
{
    static const uint32_t where[] = {3, 70, 4000, 8192};
    struct ap_swarm_registration r[4];
    uint32_t seen = 0;

    many_make(8193, 8);
    for (uint32_t i = 0; i < 4; i++) {
        char instance[2] = {(char)('0' + i), '\0'};

        enrol_at(&r[i], instance, where[i]);
    }
    for (int n = 0; n < 8; n++) {
        apiary_task_t task;

        cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
        for (uint32_t i = 0; i < 4; i++)
            if (AP_WORD_OWNER(ap_slot_at(client->seg, task.slot)->word) == where[i]) seen += 1u << 8 * i;
    }
    cr_expect_eq(seen, 0x02020202, "each has two of eight: %x", seen);
}

/* An observer is told of each, wherever in its word a bit is. */
Test(registry_many, all_providers_are_seen)
{
    static const uint32_t where[] = {0, 63, 64, 127, 8191, 8192};
    const struct ap_route_question question = {.service = -1};
    struct ap_swarm_registration r[6];
    struct ap_route_view views[6];
    uint32_t capability;
    int best;

    many_make(8193, 8);
    for (uint32_t i = 0; i < 6; i++) {
        char instance[2] = {(char)('0' + i), '\0'};

        enrol_at(&r[i], instance, where[i]);
    }
    capability = (uint32_t)ap_capability_find(client->seg, "echo", 4);
    cr_assert_eq(ap_route_explain(client->seg, capability, &question, views, 6, &best), 6);
    for (uint32_t i = 0; i < 6; i++) cr_expect_eq(views[i].candidate.queue, where[i]);
    cr_expect_geq(best, 0);
}

/* A bit in a group that is not used, and a group that there is not. */
Test(registry_many, groups_that_are_not_as_the_bits)
{
    uint32_t capability;
    uint64_t *providers;
    struct ap_report report = {.found = finding};

    many_make(8193, 8);
    cr_assert_eq(ap_capability_intern(client->seg, "echo", &capability), 0);
    providers = ap_capability_at(client->seg, capability)->providers;
    ap_capability_offer(client->seg, capability, 256);
    cr_expect_eq(providers[129], 2);
    providers[129] = 0;
    first_finding[0] = '\0';
    ap_check_all(client->seg, &report);
    cr_expect(strstr(first_finding, "D2: used is 0000000000000000; there are providers in 0000000000000002") != NULL, "%s",
              first_finding);
    providers[129] = UINT64_C(1) << 33 | 2;
    first_finding[0] = '\0';
    ap_check_all(client->seg, &report);
    cr_expect(strstr(first_finding, "D2: used is 0000000200000002; there are 129 words") != NULL, "%s", first_finding);
    providers[129] = UINT64_C(1) << 32 | 2; /* where a registrant was killed before its bit */
    assert_sound();
}
