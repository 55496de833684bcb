/* tests/unit/test_registry_service.c - names of services: those that nobody uses go to others, those that are used stay. */
#include "core/name.h"
#include "registry_fixture.h"

TestSuite(service, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

enum { SERVICES = 8 }; /* of the fixture; its client is "caller" */

static const char *const echo[] = {"echo", NULL};

static uint32_t control(void)
{
    return client->anchor->lane.index;
}

static int enter(const char *name)
{
    uint32_t index;
    int r = ap_service_intern(client->seg, control(), name, &index);

    return r < 0 ? r : (int)index;
}

static bool there(const char *name)
{
    return ap_service_find(client->seg, name) >= 0;
}

static const char *name_of(int service)
{
    static char text[APIARY_NAME_MAX + 1];

    ap_service_name(client->seg, (uint32_t)service, text);
    return text;
}

/* A client that comes and goes under more names than there is room for, and takes none of them with it. */
Test(service, names_of_those_who_have_gone_are_used_again)
{
    char name[APIARY_NAME_MAX + 1];

    for (int i = 0; i < 10 * SERVICES; i++) {
        snprintf(name, sizeof name, "stranger-%d", i);
        apiary_detach(attach_as(name));
    }
    cr_expect(there("caller"), "who is attached is still known by it");
    cr_expect_str_eq(name_of(client->service), "caller");
    cr_expect(!there("stranger-0"));
    assert_sound();
}

Test(service, names_in_use_stay_and_the_next_is_refused)
{
    char name[APIARY_NAME_MAX + 1], message[256] = "";
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "test", .swarm = "one-too-many", .message = message,
                                 .message_size = sizeof message};
    apiary_t *members[SERVICES] = {NULL}, *a;

    for (int i = 1; i < SERVICES; i++) {
        snprintf(name, sizeof name, "member-%d", i);
        members[i] = attach_as(name);
    }
    cr_assert_eq(apiary_attach(seg_name, &o, &a), APIARY_ETABLEFULL);
    cr_expect_not_null(strstr(message, "one-too-many"), "%s", message);
    for (int i = 1; i < SERVICES; i++) {
        snprintf(name, sizeof name, "member-%d", i);
        cr_expect_eq(ap_service_find(client->seg, name), members[i]->service);
        cr_expect_str_eq(name_of(members[i]->service), name);
    }
    apiary_detach(members[3]);
    cr_assert_eq(apiary_attach(seg_name, &o, &a), 0);
    cr_expect(!there("member-3"));
    apiary_detach(a);
    for (int i = 1; i < SERVICES; i++)
        if (i != 3) apiary_detach(members[i]);
    assert_sound();
}

static void strangers_come_and_go(void)
{
    char name[APIARY_NAME_MAX + 1];

    for (int i = 0; i < SERVICES; i++) {
        snprintf(name, sizeof name, "stranger-%d", i);
        apiary_detach(attach_as(name));
    }
}

/* Of a client that has gone: its detached task still says who called. */
Test(service, a_task_keeps_its_callers_name)
{
    const apiary_delegate_options_t detach = {.struct_size = sizeof detach, .flags = APIARY_DETACH};
    struct worker w;
    apiary_t *gone;
    int service;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    gone = attach_as("gone");
    service = gone->service;
    cr_assert_eq(apiary_delegate(gone, "echo", "x", 1, &detach, NULL), 0);
    apiary_detach(gone);
    strangers_come_and_go();
    cr_expect_eq(ap_service_find(client->seg, "gone"), service);
    worker_go(&w);
    while (slots_in_use() > 0) ap_sweep(client->seg, control(), &ap_registry_hooks);
    worker_stop(&w);
    assert_sound();
}

/* Nothing but the task says any more who has called, or for whom alone it is: no member, no swarm, no ticket. */
Test(service, a_task_keeps_the_names_that_stand_in_it)
{
    const apiary_delegate_options_t detach = {.struct_size = sizeof detach, .flags = APIARY_DETACH};
    struct ap_slot *slot = NULL;
    struct worker w;
    apiary_t *gone;
    int service;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    gone = attach_as("gone");
    service = gone->service;
    cr_assert_eq(apiary_delegate(gone, "echo", "x", 1, &detach, NULL), 0);
    apiary_detach(gone);
    for (uint32_t i = 0; i < client->seg->geometry.tasks && slot == NULL; i++)
        if (ap_slot_at(client->seg, i)->caller == service + 1) slot = ap_slot_at(client->seg, i);
    cr_assert_not_null(slot);
    ap_slot_ticket_return(client->seg, slot);
    slot->ticket = 0;
    cr_assert_eq(ap_tickets_busy(client->seg, (uint32_t)service), 0);
    strangers_come_and_go();
    cr_expect_eq(ap_service_find(client->seg, "gone"), service, "who has called");
    slot->caller = 0;
    slot->only = (uint16_t)(service + 1);
    strangers_come_and_go();
    cr_expect_eq(ap_service_find(client->seg, "gone"), service, "whom it is for");
    slot->only = 0;
    strangers_come_and_go();
    cr_expect(!there("gone"));
    worker_go(&w);
    while (slots_in_use() > 0) ap_sweep(client->seg, control(), &ap_registry_hooks);
    worker_stop(&w);
    assert_sound();
}

/* Nine services, of which each leaves before the next comes, in a table of eight names and four records. */
Test(service, services_that_have_left_make_room)
{
    char name[APIARY_NAME_MAX + 1];
    struct worker w;

    for (int i = 0; i < 3 * SERVICES; i++) {
        snprintf(name, sizeof name, "service-%d", i);
        cr_assert_eq(worker_register(&w, name, NULL, "agent", echo), 0, "%s", name);
        cr_expect_str_eq(name_of((int)w.swarm.service_index), name);
        worker_stop(&w);
    }
    cr_expect(there(name), "the last is still shown as down");
    assert_sound();
}

/* Another's look at who uses it is under way, or has died. */
Test(service, a_condemned_name_is_its_users)
{
    int service = enter("condemned");
    struct ap_service *s = ap_service_at(client->seg, (uint64_t)service);

    ap_store_release(&s->life, AP_SERVICE_LIFE(AP_SERVICE_EPOCH(s->life) + 1, 0, AP_SERVICE_CONDEMNED));
    cr_expect_eq(ap_service_find(client->seg, "condemned"), service);
    cr_expect_str_eq(name_of(service), "condemned");
    cr_expect_eq(enter("condemned"), service);
    cr_expect_eq(AP_SERVICE_STATE(ap_load_acquire(&s->life)), AP_SERVICE_READY);
    s = ap_service_at(client->seg, 0);
    ap_store_release(&s->life, AP_SERVICE_LIFE(AP_SERVICE_EPOCH(s->life) + 1, 0, AP_SERVICE_CONDEMNED));
    cr_expect_eq(enter("caller"), 0, "in the first row, too");
    cr_expect_eq(AP_SERVICE_STATE(ap_load_acquire(&s->life)), AP_SERVICE_READY);
    assert_sound();
}

/* By a lane that died in the middle: its row is free after its recovery, and its name is no name. */
Test(service, what_a_dead_lane_left_is_freed)
{
    struct ap_service *s = NULL;
    uint32_t at = 0;

    while (AP_SERVICE_STATE((s = ap_service_at(client->seg, at))->life) != AP_SERVICE_FREE) at++;
    memcpy(s->name, "half", 4);
    for (uint32_t state = AP_SERVICE_FILLING; state <= AP_SERVICE_NAMED; state++) {
        ap_store_release(&s->life, AP_SERVICE_LIFE(9, 20, state));
        cr_expect(!there("half"));
        ap_services_end(client->seg, 19, 0);
        cr_expect_eq(AP_SERVICE_STATE(s->life), state);
        ap_services_end(client->seg, 20, 0);
        cr_expect_eq(AP_SERVICE_STATE(s->life), AP_SERVICE_FREE);
    }
    assert_sound();
}

/* Two lanes enter a name at once, each in a row of its own: the first row has it. Of the other lane, which is slow or stopped,
 * there is what it has written so far. */
static struct ap_service *entered_by_another(uint32_t row, const char *name)
{
    struct ap_service *s = ap_service_at(client->seg, row);

    cr_assert_eq(AP_SERVICE_STATE(s->life), AP_SERVICE_FREE);
    memcpy(s->name, name, strlen(name) + 1);
    s->key = ap_hash(name, strlen(name));
    ap_store_release(&s->life, AP_SERVICE_LIFE(9, 20, AP_SERVICE_NAMED));
    return s;
}

Test(service, of_two_who_enter_a_name_the_first_row_has_it)
{
    struct ap_service *s = entered_by_another(1, "twin");

    cr_expect_eq(enter("twin"), 1, "the other need not go on for that");
    cr_expect_eq(s->life, AP_SERVICE_LIFE(10, 0, AP_SERVICE_READY));
    cr_expect_eq(enter("twin"), 1);
    s = entered_by_another(SERVICES - 1, "double");
    cr_expect_eq(enter("double"), SERVICES - 1, "no second row of it is begun");
    cr_expect_eq(s->life, AP_SERVICE_LIFE(10, 0, AP_SERVICE_READY));
    assert_sound();
}

/* What a member called itself stands in its row until another has it, and says nothing. */
Test(service, members_that_have_gone_use_no_name)
{
    char name[APIARY_NAME_MAX + 1];
    apiary_t *members[SERVICES] = {NULL};

    for (int i = 1; i < SERVICES; i++) {
        snprintf(name, sizeof name, "member-%d", i % SERVICES);
        members[i] = attach_as(name);
    }
    for (int i = 1; i < SERVICES; i++) apiary_detach(members[i]);
    cr_expect_eq(enter("new"), 1);
    cr_expect(!there("member-1") && there("member-2") && there("caller"));
    assert_sound();
}

/* A record that is down and kept by its mode keeps its name; one that is free keeps none, whatever stands in it. */
Test(service, names_that_records_use)
{
    struct worker w;
    int service;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    service = (int)w.swarm.service_index;
    worker_stop(&w);
    cr_assert_eq(ap_swarm_mode_set(client->seg, w.swarm.swarm, "server", "0", APIARY_MAINT, NULL), 1);
    strangers_come_and_go();
    cr_expect_eq(ap_service_find(client->seg, "server"), service);
    ap_swarm_at(client->seg, w.swarm.swarm)->life = AP_SWARM_LIFE(9, 0, AP_SWARM_FREE);
    strangers_come_and_go();
    cr_expect_eq(ap_service_find(client->seg, "server"), -1);
    assert_sound();
}

/* A slot that is free, or that its lane only begins to fill, says nothing of what stands in it. */
Test(service, slots_that_name_nobody)
{
    struct ap_slot *slot = ap_slot_at(client->seg, 200);
    uint64_t word = slot->word;

    for (uint32_t state = AP_TASK_FREE; state <= AP_TASK_RELEASING; state++) {
        int service = enter("named");

        cr_assert_geq(service, 0);
        slot->word = AP_WORD_WITH(word, state, state == AP_TASK_FREE ? AP_NO_LANE : 0);
        slot->caller = (uint16_t)(service + 1);
        strangers_come_and_go();
        cr_expect_eq(there("named"), state != AP_TASK_FREE && state != AP_TASK_RESERVED, "state %u", state);
    }
    slot->word = word;
    slot->caller = 0;
}

/* ---- several at once ------------------------------------------------------------------------------------------ */

enum { THREADS = 7, ROUNDS = 400 };

struct party
{
    pthread_t thread;
    unsigned number;
};

/* All enter the same names at the same time, in a table that has no room for all of them at once, each with a member that says
 * so: an index means the name as long as its member is there. */
static void *come_and_go(void *arg)
{
    const struct party *p = arg;
    char name[APIARY_NAME_MAX + 1], text[APIARY_NAME_MAX + 1];

    for (unsigned i = 0; i < ROUNDS; i++) {
        apiary_t *a;
        snprintf(name, sizeof name, "name-%u", (i + p->number / 2) % 11);
        a = attach_as(name);
        ap_service_name(a->seg, (uint32_t)a->service, text);
        cr_assert_str_eq(text, name);
        cr_assert_eq(ap_service_find(a->seg, name), a->service, "a second row of the name");
        apiary_detach(a);
    }
    return NULL;
}

Test(service, several_who_come_and_go_agree)
{
    struct party p[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        p[i].number = i;
        cr_assert_eq(pthread_create(&p[i].thread, NULL, come_and_go, &p[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) pthread_join(p[i].thread, NULL);
    cr_expect_str_eq(name_of(client->service), "caller");
    assert_sound();
}
