/* What a name without a major means: the newest that passes, any, none, or one of them; and what a canary gets. */
#include "registry_fixture.h"

#include "registry/routing/terms.h"

static const struct ap_route_question anybody = {.service = -1};

TestSuite(majors, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

#define MOST 3u
static struct provider {
    char service[16];
    const char *offers[3];
    struct ap_terms terms[2];
    struct ap_agent_registration agent;
    struct ap_swarm_registration swarm;
} all[MOST];
static struct ap_balance balance;
static uint64_t places[8];

/* An instance of a service of its own; nobody drains its queue. */
static void enter(uint32_t i, const char *offers, const char *more, struct ap_terms terms, struct ap_terms more_terms)
{
    struct provider *p = &all[i];

    snprintf(p->service, sizeof p->service, "s%u", i);
    p->offers[0] = offers;
    p->offers[1] = more;
    p->terms[0] = terms;
    p->terms[1] = more_terms;
    p->agent = (struct ap_agent_registration){.name = "agent", .capabilities = p->offers, .terms = p->terms,
                                              .lane = client->anchor->lane.index};
    p->swarm = (struct ap_swarm_registration){.service = p->service, .lane = client->anchor->lane.index,
                                              .member = client->member, .agents = &p->agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, &p->swarm), 0);
    ap_store_relaxed(&ap_swarm_at(client->seg, p->swarm.swarm)->state, APIARY_PASSING);
    if (i > 0) return;
    balance = (struct ap_balance){.places = places};
    ap_balance_begin(&balance, client->seg, 1);
}

static void state_of(uint32_t i, enum apiary_state state)
{
    ap_store_relaxed(&ap_swarm_at(client->seg, all[i].swarm.swarm)->state, (uint32_t)state);
}

/* Who gets a task of that name: its number, or an error. */
static int picked(const char *name)
{
    int capability = ap_capability_find(client->seg, name, strlen(name)), r;
    uint32_t queue;
    uint64_t life;

    cr_assert_geq(capability, 0);
    r = ap_route(client->seg, (uint32_t)capability, &balance, AP_NO_QUEUE, &queue, &life);
    for (int i = 0; r == 0 && i < (int)MOST; i++)
        if (all[i].swarm.service != NULL && all[i].agent.queue == queue) return i;
    return r < 0 ? r : -1;
}

/* Of so many tasks of the name "work" those that provider i gets. */
static uint32_t part(uint32_t n, int i)
{
    uint32_t count = 0;

    while (n-- > 0) count += picked("work") == i;
    return count;
}

static const struct ap_terms none = {.bare = 0};

Test(majors, the_newest_that_passes_is_the_default)
{
    enter(0, "work@2", NULL, none, none);
    cr_expect_eq(picked("work"), 0, "the only one");
    enter(1, "work@10", NULL, none, none);
    enter(2, "work", NULL, none, none);
    cr_expect_eq(part(20, 1), 20, "ten is above two");
    cr_expect_eq(picked("work@2"), 0);
    cr_expect_eq(picked("work@10"), 1);
    state_of(1, APIARY_CRITICAL);
    cr_expect_eq(part(20, 0), 20, "the newest does not pass");
    state_of(0, APIARY_CRITICAL);
    cr_expect_eq(part(20, 2), 20, "without a major is older than any");
    state_of(2, APIARY_CRITICAL);
    cr_expect_eq(part(20, 1), 20, "none passes: the newest");
    state_of(1, APIARY_PASSING);
    ap_swarm_deregister(client->seg, client->anchor->lane.index, &all[1].swarm);
    all[1].swarm.service = NULL;
    state_of(0, APIARY_PASSING);
    cr_expect_eq(part(20, 0), 20, "the newest has gone");
    assert_sound();
}

Test(majors, providers_of_one_major_share_it)
{
    enter(0, "work@2", NULL, none, none);
    enter(1, "work@2", NULL, none, none);
    enter(2, "work@1", NULL, none, none);
    uint32_t n = part(40, 0);
    cr_expect(n == 20, "%u", n);
    cr_expect_eq(part(20, 2), 0);
    /* A task is moved to the older major only when none of the newer ones passes. */
    int work = ap_capability_find(client->seg, "work", 4);
    cr_expect(ap_route_elsewhere(client->seg, (uint32_t)work, &anybody, all[0].agent.queue));
    state_of(1, APIARY_CRITICAL);
    cr_expect_not(ap_route_elsewhere(client->seg, (uint32_t)work, &anybody, all[0].agent.queue));
    state_of(0, APIARY_CRITICAL);
    cr_expect(ap_route_elsewhere(client->seg, (uint32_t)work, &anybody, all[0].agent.queue));
}

Test(majors, a_major_that_is_pinned_and_no_other)
{
    static const struct ap_terms pinned = {.bare = AP_BARE_MAJOR(1) + 1};

    enter(0, "work@2", NULL, pinned, none);
    cr_expect_eq(picked("work"), APIARY_ENOPROVIDER, "though there is one, and only one");
    cr_expect_eq(picked("work@2"), 0);
    enter(1, "work@1", NULL, none, none);
    cr_expect_eq(part(20, 1), 20);
    state_of(1, APIARY_CRITICAL);
    cr_expect_eq(part(20, 1), 20, "whether it passes or not");
    assert_sound();
}

Test(majors, any_and_error)
{
    static const struct ap_terms any = {.bare = AP_BARE_ANY + 1}, error = {.bare = AP_BARE_ERROR + 1};
    apiary_delegate_options_t later = {.struct_size = sizeof later};
    apiary_task_t task;

    enter(0, "work@2", NULL, any, none);
    enter(1, "work@1", NULL, none, none);
    uint32_t n = part(40, 0);
    cr_expect(n == 20, "%u", n);
    enter(2, "work@3", NULL, error, none);
    cr_expect_eq(picked("work"), APIARY_ENOMAJOR);
    cr_expect_eq(picked("work@3"), 2);
    cr_expect_eq(apiary_delegate(client, "work", "x", 1, NULL, &task), APIARY_ENOMAJOR);
    later.delay = SECOND;
    cr_expect_eq(apiary_delegate(client, "work", "x", 1, &later, &task), APIARY_ENOMAJOR, "at once, not when it is due");
}

Test(majors, an_only_provider_is_not_remembered_for_a_name_that_may_not_mean_it)
{
    static const struct ap_terms error = {.bare = AP_BARE_ERROR + 1};
    apiary_task_t task;

    enter(0, "work@2", NULL, error, none);
    for (int i = 0; i < 3; i++) cr_expect_eq(apiary_delegate(client, "work", "x", 1, NULL, &task), APIARY_ENOMAJOR);
    cr_expect_eq(apiary_delegate(client, "work@2", "x", 1, NULL, &task), 0);
}

Test(majors, a_canary_gets_its_part_and_the_rest_goes_where_it_went)
{
    static const struct ap_terms few = {.canary = 10 + 1}, nothing = {.canary = 0 + 1};

    enter(0, "work@1", NULL, none, none);
    enter(1, "work@2", NULL, few, none);
    uint32_t n = part(2000, 1);
    cr_expect(n > 120 && n < 280, "%u of 2000", n);
    cr_expect_eq(part(100, 0) > 50, true);
    state_of(1, APIARY_CRITICAL);
    cr_expect_eq(part(100, 1), 0, "it does not pass");
    state_of(1, APIARY_PASSING);
    state_of(0, APIARY_CRITICAL);
    cr_expect_eq(part(100, 1), 100, "nobody else passes");
    state_of(0, APIARY_PASSING);
    enter(2, "work@3", NULL, nothing, none);
    cr_expect_eq(part(500, 2), 0);
    cr_expect_eq(picked("work@3"), 2);
}

/* What it does not get goes to those that have no major, and not to the canary by their name's turns. */
Test(majors, a_canary_of_a_name_that_has_no_major)
{
    static const struct ap_terms few = {.canary = 10 + 1};

    enter(0, "work", NULL, none, none);
    enter(1, "work@2", NULL, few, none);
    uint32_t n = part(2000, 1);
    cr_expect(n > 120 && n < 280, "%u of 2000", n);
}

Test(majors, terms_of_one_agents_entries_are_added_up)
{
    static const struct ap_terms pinned = {.bare = AP_BARE_MAJOR(1) + 1}, few = {.canary = 5 + 1};
    uint64_t value;

    enter(0, "work@1", "work@2", pinned, few);
    int work = ap_capability_find(client->seg, "work", 4), second = ap_capability_find(client->seg, "work@2", 6);
    cr_assert(work >= 0 && second >= 0);
    cr_expect(ap_term_read(client->seg, (uint32_t)work, AP_TERM_bare, &value));
    cr_expect_eq(value, AP_BARE_MAJOR(1));
    cr_expect_not(ap_term_read(client->seg, (uint32_t)work, AP_TERM_canary, &value), "is a term of names with a major");
    cr_expect(ap_term_read(client->seg, (uint32_t)second, AP_TERM_canary, &value));
    cr_expect_not(ap_term_read(client->seg, (uint32_t)second, AP_TERM_bare, &value));
    assert_sound();
}

/* ---- the list of majors ----------------------------------------------------------------------------------------- */

static uint32_t interned(const char *name)
{
    uint32_t index = 0;

    cr_assert_eq(ap_capability_intern(client->seg, name, &index), 0, "%s", name);
    return index;
}

/* What an agent record with these offers adds. */
static void add(struct ap_majors *list, bool well, const char *const *offers)
{
    struct ap_agent_record agent = {.capability_count = 0};

    while (offers[agent.capability_count] != NULL) {
        agent.capabilities[agent.capability_count] = (uint16_t)interned(offers[agent.capability_count]);
        agent.capability_count++;
    }
    ap_majors_add(list, &agent, well);
}
#define OFFERS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *shown(const struct ap_majors *list)
{
    static char text[256];
    size_t n = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < list->count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%u%s ", list->list[i].major, list->list[i].well ? "" : "!");
    return text;
}

Test(majors, the_list_has_each_major_once_and_the_newest_first)
{
    struct ap_majors list;

    ap_majors_begin(&list, client->seg, interned("work"));
    add(&list, false, OFFERS("work@2", "other@9"));
    add(&list, true, OFFERS("work@65535"));
    add(&list, true, OFFERS("work@2", "work@7"));
    add(&list, false, OFFERS("work@7"));
    add(&list, false, OFFERS("work"));
    cr_expect_str_eq(shown(&list), "65535 7 2 0! ", "%s", shown(&list));
    cr_expect_eq(list.list[0].capability, interned("work@65535"));
    cr_expect_eq(list.list[3].capability, interned("work"));
}

static void many_setup(void)
{
    struct ap_geometry g = small;

    AP_REGISTRY_NUMBER(&g, CAPABILITIES) = 64;
    segment_make(&g);
    client = attach_as("caller");
}
TestSuite(majors_many, .init = many_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

Test(majors_many, of_more_than_are_seen_the_oldest_are_not)
{
    struct ap_majors list;
    char name[16];

    ap_majors_begin(&list, client->seg, interned("m"));
    for (unsigned i = 1; i <= AP_MAJORS_SEEN + 2; i++) { /* 21, 2, 23, 4, ... 37, 18 */
        snprintf(name, sizeof name, "m@%u", i % 2 != 0 ? i + 20 : i);
        add(&list, true, OFFERS(name));
    }
    cr_expect_str_eq(shown(&list), "37 35 33 31 29 27 25 23 21 18 16 14 12 10 8 6 ", "%s", shown(&list));
    add(&list, true, OFFERS("m@1"));
    cr_expect_eq(list.count, AP_MAJORS_SEEN);
    cr_expect_eq(list.list[AP_MAJORS_SEEN - 1].major, 6);
}

Test(majors, the_newest_of_an_agent)
{
    struct ap_agent_record agent = {.capability_count = 3};
    struct ap_majors list;

    ap_majors_begin(&list, client->seg, interned("work"));
    cr_expect_eq(list.capability, interned("work"));
    agent.capabilities[0] = (uint16_t)interned("work@3");
    agent.capabilities[1] = (uint16_t)interned("work@5");
    agent.capabilities[2] = (uint16_t)interned("work@4");
    agent.capabilities[3] = (uint16_t)interned("work@9"); /* behind its last one */
    cr_expect_eq(ap_major_newest(&list, &agent), 5);
    ap_majors_add(&list, &agent, true);
    cr_expect_str_eq(shown(&list), "5 4 3 ");
    agent.capability_count = 0;
    cr_expect_eq(ap_major_newest(&list, &agent), 0);
    ap_majors_begin(&list, client->seg, interned("work"));
    ap_majors_add(&list, &agent, true);
    cr_expect_str_eq(shown(&list), "0 ", "the name alone");
}

/* What lies behind the list is never chosen. */
Test(majors, a_choice_is_one_of_the_list)
{
    struct ap_majors list = {.count = 1};

    list.list[0] = (struct ap_major){.major = 1, .well = false};
    list.list[1] = (struct ap_major){.major = 2, .well = true};
    cr_expect_eq(ap_majors_choose(&list, AP_BARE_NEWEST, UINT32_MAX), 0);
    cr_expect_eq(ap_majors_choose(&list, AP_BARE_MAJOR(2), UINT32_MAX), -2);
    list.list[1] = (struct ap_major){.major = 2, .well = true, .canary = true, .percent = 100};
    cr_expect_eq(ap_majors_choose(&list, AP_BARE_NEWEST, 0), 0);
}

Test(majors, a_canary_of_nothing_is_the_last_choice)
{
    static const struct ap_terms few = {.canary = 10 + 1}, nothing = {.canary = 0 + 1};

    enter(0, "work@1", NULL, few, none);
    enter(1, "work@2", NULL, nothing, none);
    cr_expect_eq(part(100, 0), 100, "an older one with a part comes first");
    state_of(0, APIARY_CRITICAL);
    cr_expect_eq(part(100, 1), 100, "but one that passes before one that does not");
}
