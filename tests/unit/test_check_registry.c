/* tests/unit/test_check_registry.c - what the registry's checkers say, word for word and nothing more: fields of a sound segment
 * forged one after another, each with the last value that may be and the first that may not. */
#include "check_fixture.h"

#include "core/name.h"
#include "core/uring.h"
#include "registry/monitor/health.h"

/* The clocks of the check stand still, so that a stamp can be of just this moment. */
static uint64_t moment, date;
static uint64_t moment_now(void)
{
    return moment;
}
static uint64_t date_now(void)
{
    return date;
}

static void clocks(void)
{
    static struct ap_ops ops;

    setup();
    ops = ap_ops_system;
    moment = ops.now();
    date = ops.realtime();
    ops.now = moment_now;
    ops.realtime = date_now;
    d.seg.ops = &ops;
}

TestSuite(check_registry, .init = clocks);

/* All findings but those about the lanes, a line each: structure, index, rule, how bad it is, how far from the field, text. */
static const char *says(const void *field)
{
    static char text[4096];
    size_t n = 0;

    check();
    text[0] = '\0';
    for (uint32_t i = 0; i < all.count && n < sizeof text; i++) {
        const struct ap_finding *f = &all.list[i];
        long long far = (long long)f->offset - ((const uint8_t *)field - bytes);

        if (strcmp(f->structure, "lane") == 0) continue;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %llu %s%s%s%.0lld: %s", n > 0 ? "\n" : "", f->structure,
                              (unsigned long long)f->index, f->rule, f->severity == AP_REPAIRABLE ? " repairable" : "",
                              far != 0 ? " at " : "", far, f->text);
    }
    return text;
}

static void judge(const void *field, const char *what, const char *expected)
{
    const char *found = says(field);

    cr_expect_str_eq(found, expected, "%s:\n%s\nand not\n%s", what, found, expected);
}

/* Stores `value`, compares all findings, and puts the old value back. */
#define SAYS(field, value, expected)                             \
    do {                                                         \
        __typeof__(field) says_old = (field);                    \
        (field) = (__typeof__(field))(value);                    \
        judge(&(field), #field " = " #value, expected);          \
        (field) = says_old;                                      \
    } while (0)
#define NOTHING(field, value) SAYS(field, value, "")

/* ---- names ---------------------------------------------------------------------------------------------------- */

Test(check_registry, a_row_of_a_service_and_its_owner)
{
    struct ap_service *s = ap_service_at(&d.seg, 7); /* FREE */

    NOTHING(s->life, AP_SERVICE_LIFE(4, 0, AP_SERVICE_FREE));
    NOTHING(s->life, AP_SERVICE_LIFE(4, 2, AP_SERVICE_FILLING));
    NOTHING(s->life, AP_SERVICE_LIFE(4, 2, AP_SERVICE_NAMED));
    SAYS(s->life, AP_SERVICE_LIFE(4, 3, AP_SERVICE_FREE), "service 7 R1: state 0, lane 3");
    SAYS(s->life, AP_SERVICE_LIFE(4, 0, 5), "service 7 R1: state 5, lane 0");
    SAYS(s->life, AP_SERVICE_LIFE(4, 12, AP_SERVICE_FILLING), "service 7 R1: who enters it, lane 12, is out of range");
    SAYS(s->life, AP_SERVICE_LIFE(4, 11, AP_SERVICE_FILLING), "service 7 R1: who enters it, lane 11, is FREE");
    SAYS(s->life, AP_SERVICE_LIFE(4, 11, AP_SERVICE_NAMED), "service 7 R1: who enters it, lane 11, is FREE");
    SAYS(s->life, AP_SERVICE_LIFE(4, 0, AP_SERVICE_READY), "service 7 R2 at 8: \"\" is not a name");
    SAYS(s->life, AP_SERVICE_LIFE(4, 0, AP_SERVICE_CONDEMNED), "service 7 R2 at 8: \"\" is not a name");
    SAYS(s->life, AP_SERVICE_LIFE(4, 1, AP_SERVICE_CONDEMNED),
         "service 7 R1: state 4, lane 1\nservice 7 R2 at 8: \"\" is not a name");
    ap_lane_at(&d.seg, 11)->life = AP_LIFE(1, AP_LIFE_DEAD);
    SAYS(s->life, AP_SERVICE_LIFE(4, 11, AP_SERVICE_FILLING), "service 7 R1 repairable: who enters it, lane 11, is dead");
}

Test(check_registry, the_name_of_a_service)
{
    struct ap_service *s = ap_service_at(&d.seg, 7);

    ap_text_store(s->name, "web", sizeof s->name);
    s->key = ap_hash("web", 3);
    s->life = AP_SERVICE_LIFE(4, 0, AP_SERVICE_READY);
    NOTHING(s->life, AP_SERVICE_LIFE(4, 0, AP_SERVICE_CONDEMNED));
    SAYS(s->key, 5, "service 7 R2: \"web\" has another hash than 0000000000000005");
    SAYS(s->name[0], 'W', "service 7 R2: \"Web\" is not a name");
    SAYS(s->name[1], '\n', "service 7 R2: name: byte 0x0a does not print\nservice 7 R2 at -1: \"w?b\" is not a name");
    /* The same name once more, and who has it: a row that is being entered does not yet. */
    *s = *ap_service_at(&d.seg, 0);
    SAYS(s->life, AP_SERVICE_LIFE(4, 0, AP_SERVICE_READY), "service 7 R7: service 0 has the same name");
    SAYS(s->life, AP_SERVICE_LIFE(4, 0, AP_SERVICE_CONDEMNED), "service 7 R7: service 0 has the same name");
    NOTHING(s->life, AP_SERVICE_LIFE(4, 2, AP_SERVICE_NAMED));
    s->life = AP_SERVICE_LIFE(4, 0, AP_SERVICE_FREE);
    *ap_service_at(&d.seg, 6) = *ap_service_at(&d.seg, 1);
    *ap_service_at(&d.seg, 5) = *ap_service_at(&d.seg, 1);
    SAYS(ap_service_at(&d.seg, 5)->life, AP_SERVICE_LIFE(4, 2, AP_SERVICE_NAMED),
         "service 6 R7 at 64: service 1 has the same name");
    judge(s, "a third", "service 5 R7 at -120: service 1 has the same name\nservice 6 R7 at -56: service 1 has the same name\n"
                        "service 6 R7 at -56: service 5 has the same name");
}

Test(check_registry, a_row_of_a_capability)
{
    struct ap_capability *c = NULL;
    char *name, *last;

    for (uint32_t i = 0; c == NULL; i++)
        if (ap_capability_at(&d.seg, i)->key == 0) c = ap_capability_at(&d.seg, i);
    cr_assert_eq(c, ap_capability_at(&d.seg, 0));
    name = (char *)ap_capability_text(&d.seg, c);
    last = name + APIARY_CAPABILITY_MAX;
    NOTHING(c->key, 77);
    SAYS(c->ready, 1, "capability 0 D1 at -8: a name without a key");
    SAYS(name[1], 'x', "capability 0 D1: a name without a key: a byte is 0x78; it must be 0");
    SAYS(*last, 'x', "capability 0 D1: a name without a key: a byte is 0x78; it must be 0");
    c->key = 77;
    NOTHING(name[1], 'x');
    SAYS(c->ready, 1, "capability 0 D1 at 16: \"\" is not a name");
    c->key = 0;
    SAYS(c->providers[0], 1, "capability 0 D2: providers of a capability without a name");
    SAYS(last[1], 2, "capability 0 D1: behind the name: a byte is 0x02; it must be 0");
}

Test(check_registry, a_capability_that_is_known_and_who_offers_it)
{
    uint32_t index = (uint32_t)ap_capability_find(&d.seg, "store.write", 11);
    struct ap_capability *c = ap_capability_at(&d.seg, index);
    char *name = (char *)ap_capability_text(&d.seg, c), expected[512];
    uint64_t key = c->key;

    snprintf(expected, sizeof expected, "agent 2 R5 at %lld: capability %u has no name\ncapability %u D1: ready is 2",
             (long long)((uint8_t *)&ap_agent_at(&d.seg, 2)->capabilities[1] - (uint8_t *)&c->ready), index, index);
    SAYS(c->ready, 2, expected);
    snprintf(expected, sizeof expected, "capability %u D1: \"store.write\" has another hash than %016llx", index,
             (unsigned long long)key + 1);
    SAYS(c->key, key + 1, expected);
    snprintf(expected, sizeof expected, "capability %u D1: \"Store.write\" is not a name", index);
    SAYS(name[0], 'S', expected);
    snprintf(expected, sizeof expected,
             "capability %u D1: name: byte 0x01 does not print\ncapability %u D1 at -5: \"store?write\" is not a name", index,
             index);
    SAYS(name[5], 1, expected);
    NOTHING(c->providers[0], 0x1f);
    snprintf(expected, sizeof expected, "capability %u D2: providers 0000000000000020; there are 5 queues", index);
    SAYS(c->providers[0], 0x20, expected);
    snprintf(expected, sizeof expected, "capability %u D2: providers 8000000000000001; there are 5 queues", index);
    SAYS(c->providers[0], 0x8000000000000001, expected);
}

/* ---- swarms --------------------------------------------------------------------------------------------------- */

#define KEYED(key, mode) AP_MODE_WORD(key, 0, mode)

Test(check_registry, the_life_of_a_swarm_and_its_lane)
{
    struct ap_swarm *s = ap_swarm_at(&d.seg, 3); /* FREE */

    NOTHING(s->life, AP_SWARM_LIFE(4, 0, AP_SWARM_FREE));
    NOTHING(s->life, AP_SWARM_LIFE(4, 2, AP_SWARM_CLAIMED));
    SAYS(s->life, AP_SWARM_LIFE(4, 3, AP_SWARM_FREE), "swarm 3 R1: lane 3 in state 0");
    SAYS(s->life, AP_SWARM_LIFE(4, 0, 4), "swarm 3 R1: state 4");
    SAYS(s->life, AP_SWARM_LIFE(4, 12, AP_SWARM_CLAIMED), "swarm 3 R1: its registrant, lane 12, is out of range");
    SAYS(s->life, AP_SWARM_LIFE(4, 11, AP_SWARM_CLAIMED), "swarm 3 R1: its registrant, lane 11, is FREE");
    SAYS(s->life, AP_SWARM_LIFE(4, 0, AP_SWARM_DOWN),
         "swarm 3 R5 at 8: health state 0\nswarm 3 R5 at 48: mode 0\nswarm 3 R2 at 40: no key\nswarm 3 R2 at 128: no instance");
    *s = *ap_swarm_at(&d.seg, 0);
    NOTHING(s->life, AP_SWARM_LIFE(4, 0, AP_SWARM_DOWN));
    SAYS(s->life, AP_SWARM_LIFE(4, 2, AP_SWARM_DOWN), "swarm 3 R1: lane 2 in state 3");
    SAYS(s->life, AP_SWARM_LIFE(4, 2, AP_SWARM_LIVE), "swarm 3 R4: swarm 0 is the same service and instance");
    s->key = 55;
    s->mode = KEYED(55, APIARY_READY);
    s->health = AP_HEALTH_WORD(55, 0, 0);
    NOTHING(s->life, AP_SWARM_LIFE(4, 2, AP_SWARM_LIVE));
    SAYS(s->life, AP_SWARM_LIFE(4, 12, AP_SWARM_LIVE), "swarm 3 R1: its control lane, lane 12, is out of range");
    ap_lane_at(&d.seg, 11)->life = AP_LIFE(1, AP_LIFE_DEAD);
    SAYS(s->life, AP_SWARM_LIFE(4, 11, AP_SWARM_LIVE), "swarm 3 R1 repairable: its control lane, lane 11, is dead");
}

/* Only of LIVE ones there may be no second, and it is named once. */
Test(check_registry, the_same_instance_twice)
{
    struct ap_swarm *one = ap_swarm_at(&d.seg, 1), *two = ap_swarm_at(&d.seg, 2), *three = ap_swarm_at(&d.seg, 3);

    *one = *ap_swarm_at(&d.seg, 0);
    one->key = 55;
    one->mode = KEYED(55, APIARY_READY);
    one->health = AP_HEALTH_WORD(55, 0, 0);
    *three = *two = *one;
    SAYS(one->life, AP_SWARM_LIFE(4, 0, AP_SWARM_DOWN), "swarm 3 R4 at 2048: swarm 2 is the same service and instance");
    three->life = AP_SWARM_LIFE(4, 0, AP_SWARM_DOWN);
    judge(two, "a second", "swarm 2 R4: swarm 1 is the same service and instance");
    three->life = two->life;
    judge(three, "a third", "swarm 2 R4 at -1024: swarm 1 is the same service and instance\n"
                            "swarm 3 R4: swarm 1 is the same service and instance");
    one->key = two->key = 0;
    three->life = 0;
    judge(&one->key, "without a key", "swarm 1 R2: no key\nswarm 2 R2 at 1024: no key");
}

Test(check_registry, the_numbers_of_a_swarm)
{
    struct ap_swarm *s = ap_swarm_at(&d.seg, 3);

    *s = *ap_swarm_at(&d.seg, 0);
    s->life = AP_SWARM_LIFE(4, 0, AP_SWARM_DOWN);
    NOTHING(s->leaving, 1);
    SAYS(s->leaving, 2, "swarm 3 R5: leaving is 2");
    NOTHING(s->state, APIARY_STARTING);
    NOTHING(s->state, APIARY_DOWN);
    SAYS(s->state, APIARY_STARTING - 1, "swarm 3 R5: health state 0");
    SAYS(s->state, APIARY_DOWN + 1, "swarm 3 R5: health state 6");
    SAYS(s->service, 8, "swarm 3 R2: service 8 is none");
    SAYS(s->service, 7, "swarm 3 R2: service 7 is none");
    NOTHING(s->member, 5);
    SAYS(s->member, 6, "swarm 3 R5: member 6 is out of range");
    NOTHING(s->max_delegations, 10);
    SAYS(s->max_delegations, 11, "swarm 3 R5: max_delegations 11");
    NOTHING(s->park, AP_PARK_POLL);
    SAYS(s->park, AP_PARK_POLL + 1, "swarm 3 R5: park 4");
    NOTHING(s->up, moment);
    SAYS(s->up, moment + 1, "swarm 3 R5: registered in the future");
    NOTHING(s->beat, moment);
    SAYS(s->beat, moment + 1, "swarm 3 R5: a beat in the future");
    SAYS(s->registered, 17777777777777777777u, "swarm 3 R5: registered: 17777777777777777777 is in the future");
}

Test(check_registry, the_texts_of_a_swarm)
{
    struct ap_swarm *s = ap_swarm_at(&d.seg, 3);

    *s = *ap_swarm_at(&d.seg, 0);
    s->life = AP_SWARM_LIFE(4, 0, AP_SWARM_DOWN);
    SAYS(s->instance[0], '\0', "swarm 3 R2: no instance");
    SAYS(s->instance[0], '\t', "swarm 3 R2: instance: byte 0x09 does not print");
    SAYS(s->version[1], 1, "swarm 3 R2: version: byte 0x01 does not print");
    SAYS(s->version[47], '2', "swarm 3 R2: version: byte 0x32 behind its end; it must be 0");
    SAYS(s->health_endpoint[2], 1, "swarm 3 R2: health_endpoint: byte 0x01 does not print");
    SAYS(s->health_endpoint[127], '2', "swarm 3 R2: health_endpoint: byte 0x32 behind its end; it must be 0");
    SAYS(s->metrics_endpoint[2], 1, "swarm 3 R2: metrics_endpoint: byte 0x01 does not print");
    SAYS(s->metrics_endpoint[127], '2', "swarm 3 R2: metrics_endpoint: byte 0x32 behind its end; it must be 0");
    SAYS(s->tags[2], 1, "swarm 3 R2: tags: byte 0x01 behind its end; it must be 0");
    SAYS(s->first, 5, "swarm 3 R5: first epoch 5 of 4");
}

Test(check_registry, the_mode_of_a_swarm_and_its_reason)
{
    struct ap_swarm *s = ap_swarm_at(&d.seg, 3);
    uint64_t change;

    *s = *ap_swarm_at(&d.seg, 0);
    s->life = AP_SWARM_LIFE(4, 0, AP_SWARM_DOWN);
    s->key = 55;
    s->mode = AP_MODE_WORD(55, 9, APIARY_READY);
    s->health = AP_HEALTH_WORD(55, 9, 0);
    change = UINT64_C(9) << 48;
    NOTHING(s->mode, AP_MODE_WORD(55, 9, APIARY_PAUSE));
    SAYS(s->mode, AP_MODE_WORD(55, 9, APIARY_READY - 1), "swarm 3 R5: mode 0");
    SAYS(s->mode, AP_MODE_WORD(55, 9, APIARY_PAUSE + 1), "swarm 3 R5: mode 5");
    SAYS(s->mode, AP_MODE_WORD(56, 9, APIARY_READY), "swarm 3 R5: the mode of another service or instance");
    SAYS(s->key, 0, "swarm 3 R2: no key");
    NOTHING(s->reason[11], change | 0x7e2020202020);
    NOTHING(s->reason[11], change | 0x202020202020);
    SAYS(s->reason[11], change | 0x7f2020202020, "swarm 3 R5: reason: byte 0x7f");
    SAYS(s->reason[11], change | 0x1f2020202020, "swarm 3 R5: reason: byte 0x1f");
    SAYS(s->reason[11], change | 0x20202020201f, "swarm 3 R5: reason: byte 0x1f");
    SAYS(s->reason[11], change | 0x200020202020, "swarm 3 R5: reason: byte 0x20");
    NOTHING(s->reason[11], (change + (UINT64_C(1) << 48)) | 0x7f0020202020);
    s->reason[10] = change | 0x2020202020;
    SAYS(s->reason[11], change | 'x', "swarm 3 R5: reason: byte 0x78");
}

Test(check_registry, what_was_found_out_about_a_swarm)
{
    struct ap_swarm *s = ap_swarm_at(&d.seg, 3);
    uint64_t change = UINT64_C(9) << 48;

    *s = *ap_swarm_at(&d.seg, 0);
    s->life = AP_SWARM_LIFE(4, 0, AP_SWARM_DOWN);
    s->key = 55;
    s->mode = AP_MODE_WORD(55, 9, APIARY_READY);
    s->health = AP_HEALTH_WORD(55, 9, 0);
    NOTHING(s->health, AP_HEALTH_WORD(55, 9, AP_FOUND_ALL));
    SAYS(s->health, AP_HEALTH_WORD(55, 9, AP_FOUND_ALL + 1), "swarm 3 R8: found 16");
    SAYS(s->health, AP_HEALTH_WORD(55, 9, AP_FOUND_PASSING), "swarm 3 R8: found 2");
    SAYS(s->health, AP_HEALTH_WORD(55, 9, AP_FOUND_FAILING | AP_FOUND_DEAF), "swarm 3 R8: found 7");
    NOTHING(s->health, AP_HEALTH_WORD(55, 9, AP_FOUND_ABSENT));
    SAYS(s->health, AP_HEALTH_WORD(56, 9, 0), "swarm 3 R8: found out about another service or instance");
    NOTHING(s->found[AP_FOUND_WORDS - 1], change | 0x7e2020202020);
    SAYS(s->found[AP_FOUND_WORDS - 1], change | 0x7f2020202020, "swarm 3 R8: found: byte 0x7f");
    NOTHING(s->found[AP_FOUND_WORDS - 1], (change + (UINT64_C(1) << 48)) | 0x7f0020202020);
    NOTHING(s->unhealthy_after, AP_HEALTH_TIMES_MAX);
    SAYS(s->unhealthy_after, AP_HEALTH_TIMES_MAX + 1, "swarm 3 R8: unhealthy_after 101");
    NOTHING(s->healthy_after, AP_HEALTH_TIMES_MAX);
    SAYS(s->healthy_after, AP_HEALTH_TIMES_MAX + 1, "swarm 3 R8: healthy_after 101");
    NOTHING(s->stuck, moment);
    SAYS(s->stuck, moment + 1, "swarm 3 R8: stuck in the future");
}

/* ---- agents --------------------------------------------------------------------------------------------------- */

Test(check_registry, the_swarm_of_an_agent)
{
    struct ap_agent_record *a = ap_agent_at(&d.seg, 0);
    struct ap_queue *q = ap_queue_at(&d.seg, 0);

    SAYS(a->swarm, 4, "agent 0 R3: swarm 4 is out of range");
    SAYS(a->swarm, AP_NO_SWARM, "agent 0 R3: swarm 4294967295 is out of range");
    SAYS(a->swarm, 3, "agent 0 R3: its queue is OPEN, swarm 3 is not LIVE");
    /* Of a queue that is closed, which nobody or any swarm of the table may have. */
    q = ap_queue_at(&d.seg, 4);
    a = ap_agent_at(&d.seg, 4);
    q->life = AP_QUEUE_LIFE(1, 0, AP_QUEUE_CLOSED);
    NOTHING(a->swarm, AP_NO_SWARM);
    NOTHING(a->swarm, 3);
    SAYS(a->swarm, 4, "agent 4 R3: swarm 4 is out of range");
    SAYS(a->name[0], '-', "agent 4 R2: \"-\" is not a name");
    SAYS(a->capability_count, 17, "agent 4 R5: 17 capabilities; at most 16");
    ap_text_store(a->name, "late", sizeof a->name);
    q->life = AP_QUEUE_LIFE(1, 1, AP_QUEUE_OPEN);
    SAYS(a->swarm, 3, "agent 4 R3: its queue is OPEN, swarm 3 is not LIVE");
    /* The worker died with its queen, whose lane was recovered first. */
    ap_lane_at(&d.seg, 11)->life = AP_LIFE(1, AP_LIFE_DEAD);
    q->life = AP_QUEUE_LIFE(1, 11, AP_QUEUE_OPEN);
    SAYS(a->swarm, 3,
         "queue 4 Q9 repairable at -1121792: its consumer, lane 11, is dead\n"
         "agent 4 R3 repairable: its queue is OPEN, swarm 3 is not LIVE");
}

Test(check_registry, the_texts_and_capabilities_of_an_agent)
{
    struct ap_agent_record *a = ap_agent_at(&d.seg, 0), *none = ap_agent_at(&d.seg, 4);

    SAYS(none->reserved[0], 1, "agent 4 R5: reserved: a byte is 0x01; it must be 0");
    NOTHING(none->name[0], '\n');
    SAYS(a->name[0], '\0', "agent 0 R2 at 1: name: byte 0x61 behind its end; it must be 0\nagent 0 R2: no name");
    SAYS(a->name[0], '-', "agent 0 R2: \"-ache\" is not a name");
    SAYS(a->capability_count, 17, "agent 0 R5: 17 capabilities; at most 16");
    SAYS(a->capability_count, UINT32_MAX, "agent 0 R5: 4294967295 capabilities; at most 16");
    SAYS(a->capabilities[0], 0, "agent 0 R5: capability 0 has no name");
    SAYS(a->capabilities[0], 32, "agent 0 R5: capability 32 has no name");
    NOTHING(a->capabilities[a->capability_count], 32);
    SAYS(a->capabilities[a->capability_count - 1], 32, "agent 0 R5: capability 32 has no name");
}

/* ---- tickets, slots ------------------------------------------------------------------------------------------- */

Test(check_registry, a_ticket_and_its_owner)
{
    uint32_t *row = ap_at(&d.seg, AP_SECTION_TICKETS, 1), *none = ap_at(&d.seg, AP_SECTION_TICKETS, 7);

    cr_assert_eq(ap_service_find(&d.seg, "ai_service"), 1);
    NOTHING(row[9], 0x18000 | 3);
    NOTHING(row[9], 3);
    SAYS(row[9], 0x8000, "ticket 1 A1: ticket 9 is 00008000");
    NOTHING(row[9], 0x70000);
    SAYS(row[9], 13, "ticket 1 A1: the owner of a ticket, lane 12, is out of range");
    SAYS(row[9], 12, "ticket 1 A1: the owner of a ticket, lane 11, is FREE");
    SAYS(row[10], 1, "ticket 1 A1: behind the tickets: a byte is 0x01; it must be 0");
    SAYS(row[15], 1, "ticket 1 A1: behind the tickets: a byte is 0x01; it must be 0");
    SAYS(none[0], 3, "ticket 7 A1: ticket 0 of a service that is none");
    SAYS(none[0], 0x28000, "ticket 7 A1: ticket 0 is 00028000");
    ap_lane_at(&d.seg, 11)->life = AP_LIFE(1, AP_LIFE_DEAD);
    SAYS(row[0], 12, "ticket 1 A1 repairable: the owner of a ticket, lane 11, is dead");
}

Test(check_registry, what_a_slot_says_in_each_state)
{
    static const uint32_t states[] = {AP_TASK_FREE, AP_TASK_RESERVED, AP_TASK_QUEUED, AP_TASK_RUNNING, AP_TASK_DONE,
                                      AP_TASK_FAILED, AP_TASK_CANCELLED, AP_TASK_RELEASING};
    char expected[256];

    for (uint32_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        bool said = states[i] >= AP_TASK_QUEUED && states[i] <= AP_TASK_CANCELLED;
        struct ap_slot *s = NULL;
        uint32_t n = 0;

        for (; n < d.seg.geometry.tasks && s == NULL; n++)
            if (AP_WORD_STATE(ap_slot_at(&d.seg, n)->word) == states[i]) s = ap_slot_at(&d.seg, n--);
        cr_assert_not_null(s, "state %u", states[i]);
        snprintf(expected, sizeof expected, "slot %u R6: capability 31 has no name", n);
        SAYS(s->capability, 31, said ? expected : "");
        snprintf(expected, sizeof expected, "slot %u R6: caller: service 7 has no name", n);
        SAYS(s->caller, 8, said ? expected : "");
        snprintf(expected, sizeof expected, "slot %u R6: only: service 8 has no name", n);
        SAYS(s->only, 9, said ? expected : "");
        NOTHING(s->only, 2);
        NOTHING(s->caller, 1);
        NOTHING(s->ticket, 10);
        NOTHING(s->ticket, 0x70000 | 10);
        snprintf(expected, sizeof expected, "slot %u R6: ticket -1; there are 10", n);
        SAYS(s->ticket, 0x70000, said ? expected : "");
        snprintf(expected, sizeof expected, "slot %u R6: ticket 10; there are 10", n);
        SAYS(s->ticket, 11, said ? expected : "");
    }
}

/* ---- what supervisors say ------------------------------------------------------------------------------------- */

Test(check_registry, the_life_of_a_supervised_row)
{
    struct ap_supervised *s = ap_supervised_at(&d.seg, 3), *held = ap_supervised_at(&d.seg, 1);

    NOTHING(s->life, AP_SUPERVISED_LIFE(4, 0, AP_SUPERVISED_FREE));
    NOTHING(s->life, AP_SUPERVISED_LIFE(4, 2, AP_SUPERVISED_FILLING));
    SAYS(s->life, AP_SUPERVISED_LIFE(4, 2, AP_SUPERVISED_FREE), "supervised 3 J1: state 0, lane 2");
    SAYS(s->life, AP_SUPERVISED_LIFE(4, 0, 4), "supervised 3 J1: state 4, lane 0");
    SAYS(s->life, AP_SUPERVISED_LIFE(4, 12, AP_SUPERVISED_FILLING), "supervised 3 J1: its supervisor, lane 12, is out of range");
    SAYS(s->life, AP_SUPERVISED_LIFE(4, 11, AP_SUPERVISED_FILLING), "supervised 3 J1: its supervisor, lane 11, is FREE");
    SAYS(s->reserved1[2], 1, "supervised 3 J4: reserved1: a byte is 0x01; it must be 0");
    SAYS(s->reserved2[1], 1, "supervised 3 J4: reserved2: a byte is 0x01; it must be 0");
    ap_lane_at(&d.seg, 11)->life = AP_LIFE(1, AP_LIFE_DEAD);
    SAYS(s->life, AP_SUPERVISED_LIFE(4, 11, AP_SUPERVISED_FILLING),
         "supervised 3 J1 repairable: its supervisor, lane 11, is dead");
    SAYS(held->life, AP_SUPERVISED_LIFE(2, 11, AP_SUPERVISED_HELD), "supervised 1 J1 repairable: its supervisor, lane 11, is dead");
    SAYS(held->life, AP_SUPERVISED_LIFE(2, 1, AP_SUPERVISED_ORPHANED),
         "supervised 1 J1: state 3, lane 1\nsupervised 1 J3 at 16: left by another supervisor");
    held->left = AP_LEFT(0xffff, 1000000);
    NOTHING(held->life, AP_SUPERVISED_LIFE(0x10000, 0, AP_SUPERVISED_ORPHANED));
    SAYS(held->life, AP_SUPERVISED_LIFE(0xffff, 0, AP_SUPERVISED_ORPHANED), "supervised 1 J3 at 16: left by another supervisor");
}

Test(check_registry, who_supervises_and_since_when)
{
    struct ap_supervised *s = ap_supervised_at(&d.seg, 0);

    NOTHING(s->supervisor, 1);
    SAYS(s->supervisor, 0, "supervised 0 J3: a supervisor without a process");
    SAYS(s->supervisor, -1, "supervised 0 J3: a supervisor without a process");
    SAYS(s->held, 17777777777777777777u, "supervised 0 J3: held: 17777777777777777777 is in the future");
    SAYS(s->service[0], '-', "supervised 0 J2: \"-eb\" is not a name");
    SAYS(s->service[2], 1, "supervised 0 J2: service: byte 0x01 does not print\nsupervised 0 J2 at -2: \"we?\" is not a name");
}

Test(check_registry, the_state_of_an_instance_and_its_process)
{
    struct ap_supervised *s = ap_supervised_at(&d.seg, 0);
    struct ap_supervision *r = (void *)s->record[s->turn % 2];

    NOTHING(r->state, AP_CHILD_STARTING);
    NOTHING(r->state, AP_CHILD_STOPPED);
    SAYS(r->state, 0, "supervised 0 J3: state 0");
    NOTHING(r->state, AP_CHILD_HELD);
    SAYS(r->state, AP_CHILD_HELD + 1, "supervised 0 J3: state 9");
    SAYS(r->changed, 17777777777777777777u, "supervised 0 J3: changed: 17777777777777777777 is in the future");
    for (uint32_t state = AP_CHILD_STARTING; state <= AP_CHILD_HELD; state++) {
        bool ended = state == AP_CHILD_WAITING || state == AP_CHILD_GIVEN_UP || state == AP_CHILD_STOPPED || state == AP_CHILD_HELD;
        char expected[128];

        r->state = state;
        NOTHING(r->pid, 0);
        snprintf(expected, sizeof expected, "supervised 0 J3: pid 1 in state %u, after 3 starts", state);
        SAYS(r->pid, 1, ended ? expected : "");
        snprintf(expected, sizeof expected, "supervised 0 J3: pid -1 in state %u, after 3 starts", state);
        SAYS(r->pid, -1, expected);
    }
    r->state = AP_CHILD_RUNNING;
    r->pid = 5;
    SAYS(r->starts, 0, "supervised 0 J3 at 24: pid 5 in state 2, after 0 starts");
    r->pid = 0;
    NOTHING(r->starts, 0);
}

Test(check_registry, how_an_instance_ended)
{
    static const uint32_t most[] = {0, 255, 64, 4095};
    struct ap_supervised *s = ap_supervised_at(&d.seg, 0);
    struct ap_supervision *r = (void *)s->record[s->turn % 2];
    uint64_t ended = r->ended;
    char expected[256];

    for (uint32_t end = AP_END_NONE; end <= AP_END_NO_START; end++) {
        r->end = end;
        r->stage = end == AP_END_NO_START ? AP_STAGE_FORK : 0;
        r->ended = end == AP_END_NONE ? 0 : ended;
        r->ends = 0;
        r->code = 0;
        NOTHING(r->code, most[end]);
        snprintf(expected, sizeof expected, "supervised 0 J3 at -4: end %u, code %u", end, most[end] + 1);
        SAYS(r->code, most[end] + 1, expected);
        snprintf(expected, sizeof expected, "supervised 0 J3: stage %u of an end %u", end == AP_END_NO_START ? 0 : 1, end);
        SAYS(r->stage, end == AP_END_NO_START ? 0 : 1, expected);
        snprintf(expected, sizeof expected, "supervised 0 J3: time of an end %u", end);
        SAYS(r->ended, end == AP_END_NONE ? 1 : 0, expected);
        SAYS(r->ends, 1, end == AP_END_NONE ? "supervised 0 J3: 1 ends, and no last one" : "");
    }
    SAYS(r->stage, AP_STAGE_FORK + 1, "supervised 0 J3: stage 4 of an end 3");
    SAYS(r->end, 4, "supervised 0 J3: end 4, code 0\nsupervised 0 J3 at 8: stage 3 of an end 4");
    SAYS(r->ended, 17777777777777777777u, "supervised 0 J3: ended: 17777777777777777777 is in the future");
}

Test(check_registry, what_an_instance_said)
{
    struct ap_supervised *s = ap_supervised_at(&d.seg, 0);
    struct ap_supervision *r = (void *)s->record[s->turn % 2];

    SAYS(r->said_size, 6, "supervised 0 J3: said: 7 bytes of 6");
    SAYS(r->said_size, 8, "supervised 0 J3: said: 7 bytes of 8");
    SAYS(r->said_size, AP_SAID_MAX, "supervised 0 J3: said: 7 bytes of 447");
    NOTHING(r->said_size, AP_SAID_MAX + 1);
    SAYS(r->said[0], '\r', "supervised 0 J3: said: byte 0x0d does not print");
    memset(r->said, 'x', AP_SAID_MAX);
    NOTHING(r->said_size, AP_SAID_MAX);
    NOTHING(r->said_size, AP_SAID_MAX + 1);
    SAYS(r->said_size, AP_SAID_MAX - 1, "supervised 0 J3: said: 447 bytes of 446");
}

/* ---- providers in more than a word ---------------------------------------------------------------------------- */

static void provide(uint32_t queues, uint64_t first, uint64_t second, const char *expected)
{
    struct ap_report report = {.found = on_finding, .user = &all};
    struct ap_segment_options o = {.geometry = {.members = 2, .lanes = 4, .tasks = 64, .queues = queues, .queue_depth = 16}};
    char name[64], message[256] = "";
    struct ap_segment *seg;
    struct ap_capability *c;
    uint32_t index;

    snprintf(name, sizeof name, "/apiary-providers-%d", (int)getpid());
    o.name = name;
    cr_assert_eq(ap_registry_create(&o, message, sizeof message, &seg), 0, "%s", message);
    cr_assert_eq(ap_segment_remove(name), 0);
    cr_assert_eq(ap_capability_intern(seg, "cache.get", &index), 0);
    c = ap_capability_at(seg, index);
    c->providers[0] = first;
    if (queues > 64) c->providers[1] = second;
    all.count = 0;
    ap_check_all(seg, &report);
    cr_expect_eq(all.count, expected[0] == '\0' ? 0 : 1, "%u queues: %u findings", queues, all.count);
    cr_expect_str_eq(all.count > 0 ? all.list[0].text : "", expected);
    ap_segment_unmap(seg);
}

Test(check_registry, as_many_providers_as_there_are_queues)
{
    provide(64, UINT64_MAX, 0, "");
    provide(63, UINT64_MAX, 0, "providers ffffffffffffffff; there are 63 queues");
    provide(70, UINT64_MAX, 0x3f, "");
    provide(70, UINT64_MAX, 0x40, "providers 0000000000000040; there are 70 queues");
    provide(128, UINT64_MAX, UINT64_MAX, "");
}

/* ---- what is behind a short ring ------------------------------------------------------------------------------- */

Test(check_registry, a_ring_that_does_not_fill_its_lines)
{
    struct ap_report report = {.found = on_finding, .user = &all};
    struct ap_segment_options o = {.geometry = {.members = 2, .lanes = 4, .tasks = 64, .queues = 1, .queue_depth = 4}};
    char name[64], message[256] = "";
    struct ap_segment *seg;
    struct ap_ring *ring;

    snprintf(name, sizeof name, "/apiary-short-%d", (int)getpid());
    o.name = name;
    cr_assert_eq(ap_registry_create(&o, message, sizeof message, &seg), 0, "%s", message);
    cr_assert_eq(ap_segment_remove(name), 0);
    ring = ap_at(seg, AP_SECTION_RINGS, 0);
    cr_assert_geq(seg->sections[AP_SECTION_RINGS].stride, sizeof *ring + 8 * 5);
    all.count = 0;
    ap_check_all(seg, &report);
    cr_expect_eq(all.count, 0);
    ((uint8_t *)ring)[sizeof *ring + 8 * 4] = 1;
    ap_check_all(seg, &report);
    cr_assert_eq(all.count, 1);
    cr_expect_str_eq(all.list[0].rule, "Q8");
    ap_segment_unmap(seg);
}
