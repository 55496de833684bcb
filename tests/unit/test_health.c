/* tests/unit/test_health.c - what the coordinator has found out: whose it is, how long it holds, what follows of it. */
#include "registry_fixture.h"

#include "registry/monitor/health.h"
#include "registry/routing/router.h"
#include "shm/event.h"

static struct worker w;
static struct ap_swarm *record;
static const char *const echo[] = {"echo", NULL};

static void set_up(void)
{
    fixture_setup();
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    record = ap_swarm_at(client->seg, w.swarm.swarm);
}

static void tear_down(void)
{
    worker_stop(&w);
    fixture_teardown();
}

TestSuite(health, .init = set_up, .fini = tear_down, .timeout = TEST_LIMIT);

static uint64_t now(void)
{
    return client->seg->ops->now();
}

static int tell(uint32_t found, const char *text, uint64_t answer)
{
    return ap_health_tell(client->seg, 3, w.swarm.swarm, ap_load_acquire(&record->life), found, text, answer,
                          now() + 3600 * SECOND);
}

static uint32_t found(void)
{
    char text[AP_FOUND_MAX + 1];

    return ap_health_read(record, text);
}

static const char *why(void)
{
    static char text[AP_FOUND_MAX + 1];

    ap_health_read(record, text);
    return text;
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

Test(health, each_change_has_its_reason_and_event)
{
    struct ap_event e;

    cr_expect_eq(found(), 0);
    cr_expect_str_eq(why(), "");
    cr_expect_eq(tell(AP_FOUND_ABSENT, "nobody listens there", 1), 1);
    cr_expect_eq(tell(AP_FOUND_PASSING, "", 200), 1);
    cr_expect_eq(events_of(AP_EVENT_ENDPOINT_FAILED, &e) + events_of(AP_EVENT_ENDPOINT_PASSED, &e), 0, "nothing has failed");
    cr_expect_eq(tell(AP_FOUND_FAILING, "status 503", 503), 1);
    cr_expect_eq(tell(AP_FOUND_FAILING, "status 503", 503), 0, "it stands there");
    cr_expect_eq(tell(AP_FOUND_FAILING, "status 500", 500), 1);
    cr_expect_str_eq(why(), "status 500");
    cr_assert_eq(events_of(AP_EVENT_ENDPOINT_FAILED, &e), 1);
    cr_expect(e.a == w.swarm.swarm && e.b == 503 && e.lane == 3);
    cr_expect_eq(tell(AP_FOUND_PASSING, "", 200), 1);
    cr_expect_str_eq(why(), "");
    cr_assert_eq(events_of(AP_EVENT_ENDPOINT_PASSED, &e), 1);
    cr_expect(e.a == w.swarm.swarm && e.lane == 3);
    cr_expect_eq(tell(AP_FOUND_ALL + 1, "", 0), APIARY_EINVAL);
    cr_expect_eq(ap_health_tell(client->seg, 3, 4, 1, 0, "", 0, 0), APIARY_EINVAL, "there are four records");
}

Test(health, a_reason_that_is_long_or_does_not_print)
{
    char longer[AP_FOUND_MAX + 20], expected[AP_FOUND_MAX + 1];

    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    memset(expected, 'x', AP_FOUND_MAX);
    expected[AP_FOUND_MAX] = '\0';
    cr_expect_eq(tell(AP_FOUND_FAILING, longer, 0), 1);
    cr_expect_str_eq(why(), expected);
    cr_expect_eq(tell(AP_FOUND_FAILING, longer, 0), 0);
    cr_expect_eq(tell(AP_FOUND_FAILING, "a\nb\x7f\xc3\xa9", 0), 1);
    cr_expect_str_eq(why(), "a?b???");
}

/* Of one registration, and of the instance that has it. */
Test(health, a_registration_begins_it_anew)
{
    uint64_t life = ap_load_acquire(&record->life);

    cr_expect_eq(tell(AP_FOUND_FAILING, "status 503", 503), 1);
    worker_stop(&w);
    cr_expect_eq(ap_health_tell(client->seg, 3, w.swarm.swarm, life, 0, "", 0, now()), APIARY_ESTALE, "it has left");
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_assert_eq(ap_swarm_at(client->seg, w.swarm.swarm), record);
    cr_expect_eq(found(), 0);
    cr_expect_str_eq(why(), "");
    cr_expect_eq(ap_health_tell(client->seg, 3, w.swarm.swarm, life, AP_FOUND_FAILING, "late", 0, now() + SECOND), APIARY_ESTALE);
    cr_expect_eq(found(), 0);
    cr_expect_eq(tell(AP_FOUND_PASSING, "", 200), 1);
}

/* A coordinator that comes later is to know it, whatever was found out meanwhile. */
Test(health, that_somebody_has_listened_outlives_each_verdict)
{
    cr_expect_eq(tell(AP_FOUND_ABSENT, "nobody listens there", 1), 1);
    cr_expect_eq(found(), AP_FOUND_ABSENT);
    cr_expect_eq(tell(AP_FOUND_PASSING, "", 200), 1);
    cr_expect_eq(found(), AP_FOUND_PASSING | AP_FOUND_HEARD);
    cr_expect_eq(tell(AP_FOUND_PASSING, "", 200), 0, "it stands there");
    cr_expect_eq(tell(0, "", 0), 1);
    cr_expect_eq(found(), AP_FOUND_HEARD);
    cr_expect_eq(tell(0, "", 0), 0);
    cr_expect_eq(tell(AP_FOUND_DEAF, "agent say answers no probe", 0), 1);
    cr_expect_eq(found(), AP_FOUND_DEAF | AP_FOUND_HEARD);
    worker_stop(&w);
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_expect_eq(found(), 0, "of another registration");
    cr_expect_eq(tell(AP_FOUND_HEARD, "", 0), 1, "an answer that is no verdict yet");
    cr_expect_eq(tell(AP_FOUND_FAILING, "status 503", 503), 1);
    cr_expect_eq(found(), AP_FOUND_FAILING | AP_FOUND_HEARD);
}

Test(health, the_queen_adopts_it_with_her_next_beat_while_it_holds)
{
    apiary_swarm_status_t row = {.struct_size = sizeof row};
    uint64_t life = ap_load_acquire(&record->life);

    ap_text_store(record->health_endpoint, "http://127.0.0.1:4000/health", sizeof record->health_endpoint);
    cr_assert(ap_swarm_beat(client->seg, &w.swarm, APIARY_PASSING, 0));
    cr_expect_eq(record->state, APIARY_PASSING);
    cr_expect_eq(tell(AP_FOUND_FAILING, "status 503", 503), 1);
    cr_assert(ap_swarm_beat(client->seg, &w.swarm, APIARY_PASSING, 0));
    cr_expect_eq(record->state, APIARY_CRITICAL);
    cr_expect_eq(ap_route_swarm(record, now()), AP_STANDS_UNHEALTHY);
    cr_assert_eq(apiary_swarm_status(client, "server", &row, 1), 1);
    cr_expect_eq(row.state, APIARY_CRITICAL);
    cr_expect_str_eq(row.found, "http://127.0.0.1:4000/health: status 503");
    cr_expect_eq(row.stuck, 0);
    /* Nobody asks any more. */
    cr_expect_eq(ap_health_tell(client->seg, 3, w.swarm.swarm, life, AP_FOUND_FAILING, "status 503", 503, now()), 0);
    cr_assert(ap_swarm_beat(client->seg, &w.swarm, APIARY_PASSING, 0));
    cr_expect_eq(record->state, APIARY_PASSING);
    cr_assert_eq(apiary_swarm_status(client, "server", &row, 1), 1);
    cr_expect_str_eq(row.found, "");
    cr_expect_eq(tell(AP_FOUND_DEAF, "agent say answers no probe", 0), 1);
    cr_assert(ap_swarm_beat(client->seg, &w.swarm, APIARY_WARNING, now() - 7 * SECOND));
    cr_expect_eq(record->state, APIARY_CRITICAL);
    cr_assert_eq(apiary_swarm_status(client, "server", &row, 1), 1);
    cr_expect_str_eq(row.found, "agent say answers no probe");
    cr_expect_geq(row.stuck, 7 * SECOND);
    cr_expect_eq(tell(AP_FOUND_PASSING, "", 200), 1);
    cr_assert(ap_swarm_beat(client->seg, &w.swarm, APIARY_WARNING, 0));
    cr_expect_eq(record->state, APIARY_WARNING, "what the queen says of herself stands");
    cr_expect_eq(ap_route_swarm(record, now()), AP_STANDS_STUCK);
}

Test(health, terms_are_the_records_or_as_is_usual)
{
    struct ap_health_terms t = ap_health_terms(record, 0);

    cr_expect(t.interval == 30 * SECOND && t.timeout == 5 * SECOND && t.unhealthy_after == 3 && t.healthy_after == 2);
    cr_expect_eq(ap_health_terms(record, 7).interval, 7);
    record->health_interval = 200;
    record->health_timeout = 100;
    record->unhealthy_after = 1;
    record->healthy_after = 5;
    t = ap_health_terms(record, 7);
    cr_expect(t.interval == 200 * MS && t.timeout == 100 * MS && t.unhealthy_after == 1 && t.healthy_after == 5);
}

Test(health, addresses_that_can_be_asked)
{
    static const char *const good[] = {"http://localhost", "http://localhost:4000/health", "http://127.0.0.1:65535/",
                                       "http://[::1]:1", "http://[::1]/a?b", "http://127.1?x", "http://localhost/%20"};
    static const char *const bad[] = {"", "/health", "https://localhost", "http://", "http://localhost.example",
                                      "http://example.com", "http://localhost:", "http://localhost:123456", "http://128.0.0.1",
                                      "http://user@localhost",
                                      "http://localhost@example.com", "http://127.0.0.1.example.com/", "http://localhost/a b",
                                      "http://localhost/\x01", "http://[::2]/", "ftp://localhost", "HTTP://localhost",
                                      "http://127.0.0.1:80x/", "http://localhost:80@example.com/"};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) cr_expect(ap_endpoint_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_expect_not(ap_endpoint_valid(bad[i]), "%s", bad[i]);
}
