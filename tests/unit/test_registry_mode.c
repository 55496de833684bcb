/* tests/unit/test_registry_mode.c - the operator's mode: whose it is, how long it stays, and its reason under many writers. */
#include "registry_fixture.h"

#include "shm/event.h"

TestSuite(mode, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

static int set(uint32_t swarm, const char *service, enum apiary_mode mode, const char *reason)
{
    return ap_swarm_mode_set(client->seg, swarm, service, "0", mode, reason);
}

static enum apiary_mode mode_of(uint32_t swarm)
{
    return (enum apiary_mode)AP_MODE_OF(ap_load_acquire(&ap_swarm_at(client->seg, swarm)->mode));
}

static const char *reason_of(uint32_t swarm)
{
    static char text[AP_REASON_MAX + 1];

    ap_swarm_reason(client->seg, swarm, text);
    return text;
}

static uint64_t events_of(uint32_t kind)
{
    struct ap_event e;
    uint64_t n = 0;

    for (uint64_t i = 1; i < ap_load_acquire(&client->seg->header->event_next); i++)
        n += ap_event_read(client->seg, i, &e) == 1 && e.kind == kind;
    return n;
}

Test(mode, stays_when_the_instance_leaves_dies_and_comes_back)
{
    struct worker w;
    uint32_t swarm;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    swarm = w.swarm.swarm;
    cr_expect_eq(set(swarm, "server", APIARY_DRAIN, "the disk is full"), 1);
    worker_stop(&w);
    cr_expect_eq(mode_of(swarm), APIARY_DRAIN, "it has left");
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_expect_eq(w.swarm.swarm, swarm);
    cr_expect_eq(mode_of(swarm), APIARY_DRAIN);
    cr_expect_str_eq(reason_of(swarm), "the disk is full");
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &(apiary_task_t){0}), APIARY_ENOPROVIDER);
    /* Killed: its end by whoever notices, while the lane still lives, is enough for the record. */
    ap_swarm_end(client->seg, swarm, ap_load_acquire(&ap_swarm_at(client->seg, swarm)->life));
    cr_expect_eq(set(swarm, "server", APIARY_PAUSE, "down, and to stay so"), 1, "an operator may, while it is down");
    cr_assert_eq(ap_swarm_register(w.server->seg, &w.swarm), 0);
    cr_expect_eq(mode_of(swarm), APIARY_PAUSE);
    cr_expect_eq(set(swarm, "server", APIARY_READY, NULL), 1);
    cr_expect_str_eq(reason_of(swarm), "");
    worker_stop(&w);
    assert_sound();
}

static int set_of(const char *instance, uint32_t swarm, enum apiary_mode mode)
{
    return ap_swarm_mode_set(client->seg, swarm, "server", instance, mode, NULL);
}

/* Registers under another name than before, as the heir of an instance. */
static uint32_t follow(struct worker *w, const char *instance, const char *of)
{
    ap_swarm_deregister(w->server->seg, w->server->anchor->lane.index, &w->swarm);
    w->swarm.instance = instance;
    w->swarm.heir_of = of;
    cr_assert_eq(ap_swarm_register(w->server->seg, &w->swarm), 0);
    return w->swarm.swarm;
}

Test(mode, an_heir_begins_with_what_an_operator_has_said_of_the_other_one)
{
    struct worker w, heir;
    uint32_t first, swarm;
    uint64_t before;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    first = w.swarm.swarm;
    cr_assert_eq(worker_register(&heir, "server", "x", "agent", echo), 0);
    swarm = follow(&heir, "1", "0");
    cr_expect_eq(mode_of(swarm), APIARY_READY, "nothing has been said");
    cr_expect_eq(ap_swarm_weight(ap_swarm_at(client->seg, swarm)), AP_WEIGHT);
    cr_expect_eq(set(first, "server", APIARY_MAINT, "the disk is full"), 1);
    cr_expect_eq(ap_swarm_weight_set(client->seg, first, "server", "0", 30), 1);
    before = events_of(AP_EVENT_SWARM_MODE);
    cr_expect_eq(mode_of(follow(&heir, "1", "0")), APIARY_READY, "what is said of a name stays with it");
    cr_expect_eq(events_of(AP_EVENT_SWARM_MODE), before);
    swarm = follow(&heir, "2", "0");
    cr_expect_eq(mode_of(swarm), APIARY_MAINT);
    cr_expect_str_eq(reason_of(swarm), "the disk is full");
    cr_expect_eq(ap_swarm_weight(ap_swarm_at(client->seg, swarm)), 30);
    cr_expect_eq(events_of(AP_EVENT_SWARM_MODE), before + 1);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &(apiary_task_t){0}), APIARY_ENOPROVIDER);
    cr_expect_eq(mode_of(follow(&heir, "3", "7")), APIARY_READY, "there is no such one");
    worker_stop(&w);
    swarm = follow(&heir, "4", "0");
    cr_expect_eq(mode_of(swarm), APIARY_MAINT, "the other one has left");
    cr_expect_eq(set_of("4", swarm, APIARY_READY), 1);
    cr_expect_eq(mode_of(first), APIARY_MAINT, "it is the heir's own");
    worker_stop(&heir);
    assert_sound();
}

/* The table has four records. The fifth instance gets that of one which has left, and no mode of it. */
Test(mode, of_a_record_that_another_has_is_left_alone)
{
    static const char *const names[] = {"one", "two", "three", "four"};
    struct worker w;
    uint32_t first = 0, swarm;

    for (int i = 0; i < 4; i++) {
        cr_assert_eq(worker_register(&w, names[i], NULL, "agent", echo), 0);
        if (i == 0) first = w.swarm.swarm;
        if (i != 1) cr_expect_eq(set(w.swarm.swarm, names[i], APIARY_MAINT, "why"), 1);
        worker_stop(&w);
    }
    cr_assert_eq(worker_register(&w, "five", NULL, "agent", echo), 0);
    swarm = w.swarm.swarm;
    cr_expect_neq(swarm, first, "those that are in a mode are kept as long as there are others");
    cr_expect_eq(mode_of(swarm), APIARY_READY);
    cr_expect_eq(set(swarm, "two", APIARY_DRAIN, "too late"), APIARY_ESTALE);
    cr_expect_eq(mode_of(swarm), APIARY_READY);
    cr_expect_str_eq(reason_of(swarm), "");
    worker_stop(&w);
    cr_expect_eq(set(swarm, "five", APIARY_MAINT, "why"), 1);
    cr_assert_eq(worker_register(&w, "six", NULL, "agent", echo), 0, "no other is left");
    cr_expect_eq(mode_of(w.swarm.swarm), APIARY_READY);
    cr_expect_str_eq(reason_of(w.swarm.swarm), "");
    worker_stop(&w);
    assert_sound();
}

Test(mode, what_is_so_already_is_no_event)
{
    struct worker w;
    uint64_t before;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_READY, ""), 0);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_DRAIN, "why"), 1);
    before = events_of(AP_EVENT_SWARM_MODE);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_DRAIN, "why"), 0);
    cr_expect_eq(events_of(AP_EVENT_SWARM_MODE), before);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_DRAIN, "another reason"), 1);
    cr_expect_eq(events_of(AP_EVENT_SWARM_MODE), before + 1);
    worker_stop(&w);
}

Test(mode, a_reason_is_whole_or_refused)
{
    char longest[AP_REASON_MAX + 2];
    struct worker w;

    memset(longest, 'r', sizeof longest);
    longest[AP_REASON_MAX + 1] = '\0';
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_DRAIN, longest), APIARY_EINVAL);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_DRAIN, "two\nlines"), APIARY_EINVAL);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_DRAIN, "\x1f"), APIARY_EINVAL);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_DRAIN, "\x7f"), APIARY_EINVAL);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_READY - 1, ""), APIARY_EINVAL);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_PAUSE + 1, ""), APIARY_EINVAL);
    cr_expect_eq(set(w.swarm.swarm, NULL, APIARY_DRAIN, ""), APIARY_EINVAL);
    cr_expect_eq(ap_swarm_mode_set(client->seg, w.swarm.swarm, "server", NULL, APIARY_DRAIN, ""), APIARY_EINVAL);
    cr_expect_eq(set(1000, "server", APIARY_DRAIN, ""), APIARY_EINVAL);
    cr_expect_eq(mode_of(w.swarm.swarm), APIARY_READY);
    longest[AP_REASON_MAX] = '\0';
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_DRAIN, longest), 1);
    cr_expect_str_eq(reason_of(w.swarm.swarm), longest);
    cr_expect_eq(set(w.swarm.swarm, "server", APIARY_PAUSE, " ~"), 1);
    cr_expect_str_eq(reason_of(w.swarm.swarm), " ~");
    worker_stop(&w);
    assert_sound();
}

/* In the record and nowhere else, under the next number; and no reader reads on behind it. */
Test(mode, the_words_of_a_reason)
{
    struct {
        char text[AP_REASON_MAX + 1], behind[15];
    } got;
    struct ap_swarm *s, *next, before;
    char longest[AP_REASON_MAX + 1];
    struct worker w;
    uint64_t key;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    s = ap_swarm_at(client->seg, w.swarm.swarm);
    next = s + 1;
    key = ap_swarm_key("server", "0");
    memset(longest, 'r', AP_REASON_MAX);
    longest[AP_REASON_MAX] = '\0';
    s->mode = AP_MODE_WORD(key, 0xfffe, APIARY_READY);
    next->life = 0x202020202020;
    before = *next;
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(set(w.swarm.swarm, "server", i == 0 ? APIARY_DRAIN : APIARY_MAINT, longest), 1);
        cr_expect_eq(s->mode, AP_MODE_WORD(key, 0xffff + i, i == 0 ? APIARY_DRAIN : APIARY_MAINT));
        cr_expect_arr_eq(next, &before, sizeof before);
        memset(&got, 'x', sizeof got);
        ap_swarm_reason(client->seg, w.swarm.swarm, got.text);
        cr_expect_str_eq(got.text, longest);
        for (size_t k = 0; k < sizeof got.behind; k++) cr_expect_eq(got.behind[k], 'x');
    }
    ap_swarm_reason(client->seg, 4, got.text);
    cr_expect_str_eq(got.text, "");
    next->life = 0;
    worker_stop(&w);
}

/* Each of the operators has a letter of his own, and a mode: the last one's text stands whole beside his mode. */
enum { OPERATORS = 4, ROUNDS = 2000 };

struct operator
{
    pthread_t thread;
    uint32_t swarm, number;
};

static void text_of(uint32_t number, char ret[AP_REASON_MAX + 1])
{
    memset(ret, 'a' + (int)number, AP_REASON_MAX);
    ret[AP_REASON_MAX - number] = '\0';
    ret[AP_REASON_MAX] = '\0';
}

static void *operate(void *arg)
{
    const struct operator *o = arg;
    char text[AP_REASON_MAX + 1];

    text_of(o->number, text);
    for (int i = 0; i < ROUNDS; i++)
        cr_assert_geq(set(o->swarm, "server", o->number % 2 != 0 ? APIARY_DRAIN : APIARY_PAUSE, text), 0);
    return NULL;
}

Test(mode, of_several_operators_the_last_ones_reason_stands)
{
    struct operator o[OPERATORS];
    char text[AP_REASON_MAX + 1];
    struct worker w;
    uint32_t who;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    for (uint32_t i = 0; i < OPERATORS; i++) {
        o[i] = (struct operator){.swarm = w.swarm.swarm, .number = i};
        cr_assert_eq(pthread_create(&o[i].thread, NULL, operate, &o[i]), 0);
    }
    for (int i = 0; i < ROUNDS; i++) { /* a reader beside them sees one's text, or the beginning of it */
        ap_swarm_reason(client->seg, w.swarm.swarm, text);
        cr_assert_eq(strspn(text, (char[]){text[0], '\0'}), strlen(text), "mixed: %s", text);
    }
    for (uint32_t i = 0; i < OPERATORS; i++) pthread_join(o[i].thread, NULL);
    who = (uint32_t)(reason_of(w.swarm.swarm)[0] - 'a');
    cr_assert_lt(who, OPERATORS);
    text_of(who, text);
    cr_expect_str_eq(reason_of(w.swarm.swarm), text);
    cr_expect_eq(mode_of(w.swarm.swarm), who % 2 != 0 ? APIARY_DRAIN : APIARY_PAUSE);
    worker_stop(&w);
    assert_sound();
}
