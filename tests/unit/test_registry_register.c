/* tests/unit/test_registry_register.c - a registration field by field: record, agents, queues, and what a refusal leaves. */
#include "registry_fixture.h"

#include "core/uring.h"
#include "registry/discovery/discovery.h"
#include "registry/monitor/health.h"
#include "shm/event.h"

TestSuite(register, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};
static const char *const both[] = {"old", "echo", NULL};

static uint32_t control(void)
{
    return client->anchor->lane.index;
}

static struct ap_swarm_registration instance(const char *service, const char *number, struct ap_agent_registration *agents,
                                             size_t count)
{
    for (size_t i = 0; i < count; i++) agents[i].lane = control();
    return (struct ap_swarm_registration){.service = service, .instance = number, .lane = control(), .member = client->member,
                                          .agents = agents, .agent_count = count, .swarm = 77, .service_index = 77};
}

static int enrol(struct ap_swarm_registration *r, const char *service, const char *number, struct ap_agent_registration *agents,
                 size_t count)
{
    *r = instance(service, number, agents, count);
    return ap_swarm_register(client->seg, r);
}

static void leave(const struct ap_swarm_registration *r)
{
    ap_swarm_deregister(client->seg, control(), r);
}

static void queues_make(uint32_t queues)
{
    struct ap_geometry g = small;

    fixture_teardown();
    g.queues = queues;
    AP_REGISTRY_NUMBER(&g, CAPABILITIES) = 64;
    segment_make(&g);
    client = attach_as("caller");
}

static uint64_t events_of(uint32_t kind, struct ap_event *last)
{
    struct ap_event e;
    uint64_t n = 0;

    for (uint64_t i = 1; i < ap_load_acquire(&client->seg->header->event_next); i++) {
        if (ap_event_read(client->seg, i, &e) != 1 || e.kind != kind) continue;
        *last = e;
        n++;
    }
    return n;
}

/* ---- clocks that stand, or do something ----------------------------------------------------------------------- */

static struct ap_ops own_ops;
static void (*meanwhile)(void); /* once, while the record is being filled in */

static uint64_t own_now(void)
{
    return 5555;
}

static uint64_t own_realtime(void)
{
    void (*what)(void) = meanwhile;

    meanwhile = NULL;
    if (what != NULL) what();
    return 7777;
}

static void own_clocks(void (*what)(void))
{
    own_ops = ap_ops_system;
    own_ops.now = own_now;
    own_ops.realtime = own_realtime;
    meanwhile = what;
    client->seg->ops = &own_ops;
}

/* ---- what is refused ------------------------------------------------------------------------------------------ */

/* `n` characters, of which the last is `c`. */
static const char *text_of(size_t n, char c)
{
    static char text[200];

    memset(text, 'v', sizeof text);
    text[n - 1] = c;
    text[n] = '\0';
    return text;
}

Test(register, the_texts_that_may_be)
{
    static const struct {
        size_t n;
        char c;
        bool version, endpoint;
    } rows[] = {{1, 'v', true, true},     {1, ' ', true, true},     {1, '~', true, true},
                {1, 0x1f, false, false},  {1, 0x7f, false, false},  {47, 'v', true, true},
                {48, 'v', false, true},   {127, 'v', false, true},  {128, 'v', false, false}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int which = 0; which < 4; which++) {
            struct ap_swarm_registration r = instance("server", "0", NULL, 0);
            const char *text = text_of(rows[i].n, rows[i].c);
            bool good = which < 2 ? rows[i].version && (which == 0 || rows[i].c != ' ') : rows[i].endpoint;

            *(which == 0 ? &r.version : which == 1 ? &r.instance : which == 2 ? &r.health_endpoint : &r.metrics_endpoint) = text;
            cr_expect_eq(ap_swarm_register(client->seg, &r), good ? 0 : APIARY_EINVAL, "row %zu, text %d", i, which);
            cr_expect(good || (r.swarm == 77 && r.service_index == 77));
            if (good) leave(&r);
        }
    }
}

Test(register, agents_that_are_not_there)
{
    struct ap_swarm_registration r = instance("server", "0", NULL, 0);

    r.agent_count = 1;
    cr_expect_eq(ap_swarm_register(client->seg, &r), APIARY_EINVAL);
    cr_expect_eq(ap_service_find(client->seg, "server"), -1);
    r.agent_count = 0;
    cr_expect_eq(ap_swarm_register(client->seg, &r), 0);
}

/* The list has one agent more than are to be registered: what that one names belongs to another swarm. */
Test(register, an_agent_behind_the_list)
{
    struct ap_agent_registration other = {.name = "other", .capabilities = both}, list[2] = {{.name = "a", .capabilities = echo},
                                                                                            {.name = "b", .capabilities = both}};
    struct ap_swarm_registration keeps, r;
    struct ap_agent_record before;

    cr_assert_eq(enrol(&keeps, "keeps", "0", &other, 1), 0);
    before = *ap_agent_at(client->seg, other.queue);
    list[1].queue = other.queue;
    list[1].lane = control();
    cr_assert_eq(enrol(&r, "server", "0", list, 1), 0);
    cr_expect_eq(list[1].queue, other.queue);
    cr_expect_arr_eq(ap_agent_at(client->seg, other.queue), &before, sizeof before);
    for (uint32_t q = 0; q < client->seg->geometry.queues; q++)
        cr_expect_eq(AP_QUEUE_STATE(ap_queue_at(client->seg, q)->life) != AP_QUEUE_FREE, q == other.queue || q == list[0].queue,
                     "queue %u", q);
    assert_sound();
}

/* Each once, however often it is named, and with a version as without it; no more than there is room for. */
Test(register, the_capabilities_of_an_agent)
{
    const char *names[AP_AGENT_CAPABILITIES + 2] = {"c0@2", "c0@1", "c0", "c0@1", NULL};
    static char texts[AP_AGENT_CAPABILITIES + 1][16];
    struct ap_agent_registration a = {.name = "a", .capabilities = names};
    struct ap_swarm_registration r;
    char text[APIARY_CAPABILITY_MAX + 1];

    queues_make(8);
    cr_assert_eq(enrol(&r, "server", "0", &a, 1), 0);
    cr_expect_eq(ap_agent_at(client->seg, a.queue)->capability_count, 3);
    for (uint32_t i = 0; i < 4; i++) {
        ap_capability_name(client->seg, ap_agent_at(client->seg, a.queue)->capabilities[i], text);
        cr_expect_str_eq(text, i == 0 ? "c0@2" : i == 1 ? "c0" : i == 2 ? "c0@1" : "");
    }
    leave(&r);
    for (uint32_t n = AP_AGENT_CAPABILITIES; n <= AP_AGENT_CAPABILITIES + 1; n++) {
        for (uint32_t i = 0; i < n; i++) {
            snprintf(texts[i], sizeof texts[i], "c%u", i % 100);
            names[i] = texts[i];
        }
        names[n] = n == AP_AGENT_CAPABILITIES ? "c0" : NULL;
        cr_expect_eq(enrol(&r, "server", "0", &a, 1), n == AP_AGENT_CAPABILITIES ? 0 : APIARY_EINVAL, "%u", n);
        if (n > AP_AGENT_CAPABILITIES) continue;
        cr_expect_eq(ap_agent_at(client->seg, a.queue)->capability_count, n);
        leave(&r);
    }
    assert_sound();
}

/* It is there already, which is the reason, also where nothing else would fit. */
Test(register, the_same_again_in_a_full_table)
{
    static const char *const numbers[] = {"0", "1", "2", "3"};
    struct ap_swarm_registration r, again;

    for (int i = 0; i < 4; i++) cr_assert_eq(enrol(&r, "server", numbers[i], NULL, 0), 0);
    for (int i = 0; i < 4; i++) cr_expect_eq(enrol(&again, "server", numbers[i], NULL, 0), APIARY_EEXIST);
    cr_expect_eq(enrol(&again, "server", "4", NULL, 0), APIARY_ETABLEFULL);
    assert_sound();
}

/* Of a registration that found no queue for its second agent nothing stays, but what was its own before. */
Test(register, what_a_refusal_leaves)
{
    struct ap_agent_registration own[1] = {{.name = "a", .capabilities = echo}}, other[1] = {own[0]};
    struct ap_agent_registration more[2] = {own[0], {.name = "b"}};
    struct ap_swarm_registration r, keeps;
    struct ap_swarm *s;
    uint32_t queue;

    queues_make(2);
    cr_assert_eq(enrol(&keeps, "keeps", "0", other, 1), 0);
    cr_assert_eq(enrol(&r, "server", "0", more, 2), APIARY_ETABLEFULL);
    s = ap_swarm_at(client->seg, 1);
    cr_expect(AP_SWARM_STATE(s->life) == AP_SWARM_FREE && AP_SWARM_LANE(s->life) == 0 && s->key == 0 && s->state == APIARY_DOWN);
    queue = 1 - other[0].queue;
    cr_expect_eq(ap_agent_at(client->seg, queue)->swarm, AP_NO_SWARM);
    cr_expect_eq(AP_QUEUE_STATE(ap_queue_at(client->seg, queue)->life), AP_QUEUE_FREE, "it was never open");
    cr_expect(r.swarm == 77 && r.service_index == 77);
    assert_sound();
    /* Once it was registered, its queue and its record stay its own. */
    cr_assert_eq(enrol(&r, "server", "0", own, 1), 0);
    cr_assert_eq(r.swarm, 1);
    leave(&r);
    cr_assert_eq(enrol(&r, "server", "0", more, 2), APIARY_ETABLEFULL);
    cr_expect(AP_SWARM_STATE(s->life) == AP_SWARM_DOWN && s->key == ap_swarm_key("server", "0") && s->state == APIARY_DOWN);
    cr_expect_eq(ap_agent_at(client->seg, queue)->swarm, 1);
    cr_expect_str_eq(ap_agent_at(client->seg, queue)->name, "a");
    cr_expect_eq(AP_QUEUE_STATE(ap_queue_at(client->seg, queue)->life), AP_QUEUE_CLOSED);
    assert_sound();
}

/* ---- the record ----------------------------------------------------------------------------------------------- */

Test(register, every_field_of_the_record)
{
    struct ap_swarm_registration r = instance("server", "blue", NULL, 0);
    struct ap_swarm expected, *s;
    struct ap_event e = {0};

    r.version = "2.0";
    r.health_endpoint = "/health";
    r.metrics_endpoint = "/metrics";
    r.tags = "eu gpu";
    r.port = 4009;
    r.park = AP_PARK_PARKER;
    r.max_delegations = 3;
    r.member = 9;
    own_clocks(NULL);
    for (int turn = 0; turn < 2; turn++) {
        cr_assert_eq(ap_swarm_register(client->seg, &r), 0);
        s = ap_swarm_at(client->seg, r.swarm);
        memset(&expected, 0, sizeof expected);
        expected.life = AP_SWARM_LIFE(turn + 1, control(), AP_SWARM_LIVE);
        expected.state = APIARY_STARTING;
        expected.service = (uint32_t)ap_service_find(client->seg, "server");
        expected.member = 9;
        expected.port = 4009;
        expected.park = AP_PARK_PARKER;
        expected.max_delegations = 3;
        expected.registered = 7777;
        expected.beat = 5555;
        expected.up = 5555;
        expected.weight = AP_WEIGHT;
        expected.key = ap_swarm_key("server", "blue");
        expected.mode = AP_MODE_WORD(expected.key, 1, APIARY_READY);
        expected.share = AP_SHARE_WORD(expected.key, 1, 0, 0);
        expected.health = AP_HEALTH_WORD(expected.key, turn + 1, 0);
        memcpy(expected.instance, "blue", 4);
        memcpy(expected.version, "2.0", 3);
        memcpy(expected.health_endpoint, "/health", 7);
        memcpy(expected.metrics_endpoint, "/metrics", 8);
        memcpy(expected.tags, "eu gpu", 6);
        expected.first = 1;
        expected.told = s->told; /* unit.instances */
        cr_expect_arr_eq(s, &expected, sizeof expected, "turn %d", turn);
        cr_expect(r.swarm == 0 && r.service_index == expected.service);
        cr_expect_eq(events_of(AP_EVENT_SWARM_REGISTERED, &e), (uint64_t)turn + 1);
        cr_expect(e.lane == control() && e.a == r.swarm && e.b == 9);
        ap_swarm_withdraw(client->seg, &r);
        cr_expect_eq(s->leaving, 1);
        leave(&r);
        expected.life = AP_SWARM_LIFE(turn + 1, 0, AP_SWARM_DOWN);
        expected.state = APIARY_DOWN;
        expected.leaving = 1;
        expected.told = s->told;
        cr_expect_arr_eq(s, &expected, sizeof expected, "turn %d", turn);
        cr_expect_eq(events_of(AP_EVENT_SWARM_LEFT, &e), (uint64_t)turn + 1);
        cr_expect(e.lane == control() && e.a == r.swarm && e.b == 9);
    }
    client->seg->ops = &ap_ops_system;
}

/* A record that was FREE, and queues that still say that they are its: they are nobody's then. */
Test(register, a_free_record_has_no_queues)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo};
    struct ap_swarm_registration r;

    cr_assert_eq(enrol(&r, "server", "0", &a, 1), 0);
    leave(&r);
    ap_swarm_at(client->seg, 0)->life = AP_SWARM_LIFE(1, 0, AP_SWARM_FREE);
    ap_swarm_at(client->seg, 0)->key = 0;
    cr_assert_eq(ap_agent_at(client->seg, a.queue)->swarm, 0);
    cr_assert_eq(enrol(&r, "other", "0", NULL, 0), 0);
    cr_assert_eq(r.swarm, 0);
    cr_expect_eq(ap_agent_at(client->seg, a.queue)->swarm, AP_NO_SWARM);
    assert_sound();
}

/* ---- the queues ----------------------------------------------------------------------------------------------- */

static void counts_set(uint32_t queue, uint64_t n)
{
    struct ap_queue *q = ap_queue_at(client->seg, queue);

    q->started = n;
    q->done = n;
}

/* An agent that comes back goes on counting; one that gets another's queue begins at nothing. Nor is anything offered any more
 * that it does not name. */
Test(register, an_agent_that_comes_back_and_one_that_is_new)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = both}, b = {.name = "b", .capabilities = echo};
    struct ap_swarm_registration r;
    uint32_t old;

    queues_make(1);
    cr_assert_eq(enrol(&r, "server", "0", &a, 1), 0);
    old = (uint32_t)ap_capability_find(client->seg, "old", 3);
    counts_set(0, 5);
    ap_swarm_end(client->seg, r.swarm, ap_swarm_at(client->seg, r.swarm)->life); /* killed: its bits stay */
    cr_expect_eq(ap_capability_next(client->seg, old, 0), 0);
    a.capabilities = echo;
    cr_assert_eq(enrol(&r, "server", "0", &a, 1), 0);
    cr_expect_eq(ap_capability_next(client->seg, old, 0), -1);
    cr_expect_eq(ap_queue_at(client->seg, 0)->started, 5);
    cr_expect_eq(ap_agent_at(client->seg, 0)->capability_count, 1);
    cr_expect_eq(ap_agent_at(client->seg, 0)->capabilities[1], 0);
    leave(&r);
    cr_assert_eq(enrol(&r, "server", "0", &b, 1), 0);
    cr_expect_eq(ap_queue_at(client->seg, 0)->started, 0);
    cr_expect_str_eq(ap_agent_at(client->seg, 0)->name, "b");
    leave(&r);
    counts_set(0, 5);
    /* A queue that was never open has no agent, whatever its record says. */
    ap_queue_at(client->seg, 0)->life = AP_QUEUE_LIFE(1, 0, AP_QUEUE_FREE);
    cr_assert_eq(enrol(&r, "server", "0", &b, 1), 0);
    cr_expect_eq(ap_queue_at(client->seg, 0)->started, 0);
    assert_sound();
}

/* The queue of an agent that is not named any more goes to a new one; those of the agents that are named do not. */
Test(register, queues_of_agents_that_an_instance_no_longer_has)
{
    struct ap_agent_registration first[2] = {{.name = "stays", .capabilities = echo}, {.name = "goes", .capabilities = echo}};
    struct ap_agent_registration next[2] = {{.name = "new", .capabilities = echo}, {.name = "stays", .capabilities = echo}};
    struct ap_swarm_registration r;

    queues_make(2);
    cr_assert_eq(enrol(&r, "server", "0", first, 2), 0);
    cr_assert(first[0].queue == 0 && first[1].queue == 1);
    leave(&r);
    cr_assert_eq(enrol(&r, "server", "0", next, 2), 0);
    cr_expect(next[0].queue == 1 && next[1].queue == 0);
    assert_sound();
}

/* An agent of the same name of another instance has another queue. */
Test(register, queues_of_two_instances)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo}, b = a;
    struct ap_swarm_registration blue, green;

    cr_assert_eq(enrol(&blue, "server", "blue", &a, 1), 0);
    cr_assert_eq(enrol(&green, "server", "green", &b, 1), 0);
    leave(&blue);
    leave(&green);
    cr_assert_eq(enrol(&green, "server", "green", &b, 1), 0);
    cr_expect_eq(b.queue, 1);
    cr_assert_eq(enrol(&blue, "server", "blue", &a, 1), 0);
    cr_expect_eq(a.queue, 0);
    assert_sound();
}

/* The closed queue of an instance that lives is its own: its worker has died, and may be started again. */
Test(register, closed_queues_of_the_living)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo}, b = a;
    struct ap_swarm_registration blue, green;
    struct ap_swarm *s;
    uint64_t life;

    queues_make(1);
    cr_assert_eq(enrol(&blue, "server", "blue", &a, 1), 0);
    cr_assert_eq(ap_queue_close(client->seg, a.queue, ap_queue_at(client->seg, a.queue)->life), 1);
    cr_expect_eq(enrol(&green, "server", "green", &b, 1), APIARY_ETABLEFULL);
    s = ap_swarm_at(client->seg, blue.swarm);
    life = s->life;
    s->life = AP_SWARM_LIFE(AP_SWARM_EPOCH(life), control(), AP_SWARM_CLAIMED);
    cr_expect_eq(enrol(&green, "server", "green", &b, 1), APIARY_ETABLEFULL, "nor of one that is registering");
    s->life = life;
    leave(&blue);
    cr_expect_eq(enrol(&green, "server", "green", &b, 1), 0);
    assert_sound();
}

/* A registrant that was killed left a second queue of the name, in which nothing ever was. */
Test(register, the_queue_where_something_waits)
{
    struct ap_agent_registration two[2] = {{.name = "a", .capabilities = echo}, {.name = "b", .capabilities = echo}}, a = two[0];
    struct ap_swarm_registration r;
    apiary_task_t task;

    queues_make(3);
    for (uint32_t full = 0; full < 2; full++) {
        cr_assert_eq(enrol(&r, "server", full == 0 ? "0" : "1", two, 2), 0);
        ap_swarm_at(client->seg, r.swarm)->mode = AP_MODE_WORD(ap_swarm_key("server", r.instance), 1, APIARY_READY);
        ap_capability_withdraw_all(client->seg, two[1 - full].queue);
        cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
        cr_assert_eq(AP_WORD_OWNER(ap_slot_at(client->seg, task.slot)->word), two[full].queue);
        leave(&r);
        ap_text_store(ap_agent_at(client->seg, two[1].queue)->name, "a", 48);
        cr_assert_eq(enrol(&r, "server", full == 0 ? "0" : "1", &a, 1), 0);
        cr_expect_eq(a.queue, two[full].queue);
        ap_give_up(client, task);
        leave(&r);
        ap_text_store(ap_agent_at(client->seg, two[1].queue)->name, "b", 48);
    }
}

/* ---- two at once ---------------------------------------------------------------------------------------------- */

static struct ap_swarm_registration rival;
static int rival_got;

static void rival_comes(void)
{
    rival = instance("server", "0", NULL, 0);
    rival_got = ap_swarm_register(client->seg, &rival);
}

/* Another registers the same instance while the record is being filled in: it has another record, and this one yields. */
Test(register, a_rival_that_is_quicker)
{
    struct ap_swarm_registration before, r;

    for (int first = 0; first < 2; first++) {
        struct ap_swarm *own;

        if (first == 1) cr_assert_eq(enrol(&before, "before", "0", NULL, 0), 0);
        own_clocks(rival_comes);
        cr_expect_eq(enrol(&r, "server", "0", NULL, 0), APIARY_EEXIST);
        cr_assert_eq(rival_got, 0);
        cr_expect_eq(rival.swarm, (uint32_t)first + 1);
        own = ap_swarm_at(client->seg, (uint32_t)first);
        cr_expect(AP_SWARM_STATE(own->life) == AP_SWARM_FREE && own->key == 0);
        cr_expect_eq(apiary_swarm_status(client, "server", NULL, 0), 1);
        client->seg->ops = &ap_ops_system;
        leave(&rival);
        while (ap_swarm_forget(client->seg, control())) {}
    }
    assert_sound();
}

static struct ap_swarm_registration before_all;

static void rival_comes_before(void)
{
    leave(&before_all);
    while (ap_swarm_forget(client->seg, control())) {}
    rival_comes();
}

/* The same, and the other's record comes first. */
Test(register, a_rival_in_front)
{
    struct ap_swarm_registration r;

    cr_assert_eq(enrol(&before_all, "before", "0", NULL, 0), 0);
    own_clocks(rival_comes_before);
    cr_expect_eq(enrol(&r, "server", "0", NULL, 0), APIARY_EEXIST);
    cr_expect(rival_got == 0 && rival.swarm == 0);
    cr_expect(AP_SWARM_STATE(ap_swarm_at(client->seg, 1)->life) == AP_SWARM_FREE && ap_swarm_at(client->seg, 1)->key == 0);
    client->seg->ops = &ap_ops_system;
    assert_sound();
}

static void rival_comes_and_goes(void)
{
    rival_comes();
    leave(&rival);
}

static void rival_comes_before_and_goes(void)
{
    rival_comes_before();
    leave(&rival);
}

/* It has gone again by the second look: this one goes on with its record. */
Test(register, a_rival_that_has_left)
{
    struct ap_swarm_registration r;
    struct ap_swarm *own;

    for (uint32_t in_front = 0; in_front < 2; in_front++) {
        if (in_front == 1) cr_assert_eq(enrol(&before_all, "before", "0", NULL, 0), 0);
        own_clocks(in_front == 1 ? rival_comes_before_and_goes : rival_comes_and_goes);
        cr_expect_eq(enrol(&r, "server", "0", NULL, 0), 0);
        cr_expect(rival_got == 0 && rival.swarm == 1 - in_front && r.swarm == rival.swarm);
        own = ap_swarm_at(client->seg, in_front);
        cr_expect(AP_SWARM_STATE(own->life) == AP_SWARM_FREE && own->key == 0);
        client->seg->ops = &ap_ops_system;
        leave(&r);
        while (ap_swarm_forget(client->seg, control())) {}
    }
    assert_sound();
}

/* The name's row was given away before the record said that it is used: the name has another row then. */
static void name_goes(void)
{
    struct ap_service *s = ap_service_at(client->seg, (uint64_t)ap_service_find(client->seg, "server"));
    uint32_t thief;

    s->life = AP_SERVICE_LIFE(AP_SERVICE_EPOCH(s->life) + 1, 0, AP_SERVICE_FREE);
    cr_assert_eq(ap_service_intern(client->seg, control(), "thief", &thief), 0);
    cr_assert_eq(ap_service_at(client->seg, thief), s);
}

Test(register, a_name_that_goes_meanwhile)
{
    struct ap_swarm_registration r;

    own_clocks(name_goes);
    cr_assert_eq(enrol(&r, "server", "0", NULL, 0), 0);
    cr_expect_eq((int)r.service_index, ap_service_find(client->seg, "server"));
    cr_expect_eq(ap_swarm_at(client->seg, r.swarm)->service, r.service_index);
    cr_expect_neq(ap_service_find(client->seg, "thief"), (int)r.service_index);
    client->seg->ops = &ap_ops_system;
    assert_sound();
}

/* ---- a queue that another registrant has ------------------------------------------------------------------------- */

static unsigned yields;

static void other_gives_back(void)
{
    struct ap_queue *q = ap_queue_at(client->seg, 0);

    if (++yields == 3) cr_assert_eq(ap_queue_close(client->seg, 0, q->life), 1);
}

Test(register, a_queue_that_is_given_back_is_had)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo};
    struct ap_swarm_registration r;

    queues_make(1);
    cr_assert_eq(ap_queue_claim(client->seg, 0, control()), 1);
    own_ops = ap_ops_system;
    own_ops.yield = other_gives_back;
    client->seg->ops = &own_ops;
    cr_expect_eq(enrol(&r, "server", "0", &a, 1), 0);
    cr_expect_eq(yields, 3);
}

/* Its own are none of these, and one who stands still with a queue is not waited for. */
Test(register, a_queue_that_is_not_given_back)
{
    struct ap_agent_registration two[2] = {{.name = "a", .capabilities = echo}, {.name = "b", .capabilities = echo}};
    struct ap_swarm_registration r;

    queues_make(2);
    own_ops = ap_ops_system;
    own_ops.yield = other_gives_back;
    client->seg->ops = &own_ops;
    cr_assert_eq(ap_queue_claim(client->seg, 1, control()), 1);
    yields = 3;
    cr_expect_eq(enrol(&r, "server", "0", two, 2), APIARY_ETABLEFULL);
    cr_expect_eq(yields, 3 + AP_SEARCHES);
    cr_assert_eq(ap_queue_close(client->seg, 1, ap_queue_at(client->seg, 1)->life), 1);
    cr_assert_eq(enrol(&r, "server", "0", two, 2), 0);
    leave(&r);
    yields = 3;
    cr_expect_eq(enrol(&r, "other", "0", (struct ap_agent_registration[]){two[0], two[1], {.name = "c"}}, 3), APIARY_ETABLEFULL);
    cr_expect_eq(yields, 3);
}
