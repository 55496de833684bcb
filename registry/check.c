/* registry/check.c - the checkers of services, swarms, agents, capabilities, tickets, supervised instances. See shm/check.h. */
#include <string.h>

#include "core/name.h"
#include "core/uring.h"
#include "registry/routing/admission.h"
#include "registry/discovery/discovery.h"
#include "registry/discovery/reason.h"
#include "registry/monitor/health.h"
#include "registry/monitor/supervised.h"

#define LONG(n) ((unsigned long long)(n))
#define NAME (APIARY_NAME_MAX + 1)

/* R1 and A1, for a lane that is named as an owner. */
static void owner(struct ap_look *look, const volatile void *field, uint64_t evidence, uint32_t lane, const char *rule,
                  const char *what)
{
    uint64_t life = 0;

    switch (ap_look_owner(look, lane, &life)) {
    case AP_OWNER_ABSENT:
        ap_look_found(look, AP_CORRUPT, field, evidence, rule, "%s, lane %u, is out of range", what, lane);
        break;
    case AP_OWNER_FREE:
        ap_look_found(look, AP_CORRUPT, field, evidence ^ life, rule, "%s, lane %u, is FREE", what, lane);
        break;
    case AP_OWNER_DEAD:
        ap_look_found(look, AP_REPAIRABLE, field, evidence, rule, "%s, lane %u, is dead", what, lane);
        break;
    case AP_OWNER_LIVE: break;
    }
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

/* A row of an insert-only table: key, ready and name agree (D1). */
static void names_row(struct ap_look *look, const uint64_t *key_at, const uint32_t *ready_at, const char *name,
                      size_t size, const char *rule)
{
    uint64_t key = ap_look_64(look, key_at);
    uint32_t ready = ap_look_32(look, ready_at);
    char text[APIARY_CAPABILITY_MAX + 1];
    size_t n;

    if (ready > 1) ap_look_found(look, AP_CORRUPT, ready_at, ready, rule, "ready is %u", ready);
    if (ready == 0) {
        if (key == 0) ap_look_zero(look, name, size, rule, "a name without a key");
        return;
    }
    if (key == 0) {
        ap_look_found(look, AP_CORRUPT, key_at, ready, rule, "a name without a key");
        return;
    }
    n = ap_look_text(look, name, size, rule, "name", text);
    if (!ap_capability_valid(text))
        ap_look_found(look, AP_CORRUPT, name, key, rule, "\"%s\" is not a name", text);
    else if (ap_hash(text, n) != key)
        ap_look_found(look, AP_CORRUPT, key_at, key, rule, "\"%s\" has another hash than %016llx", text, LONG(key));
}

static bool service_named(uint64_t life)
{
    return AP_SERVICE_STATE(life) == AP_SERVICE_READY || AP_SERVICE_STATE(life) == AP_SERVICE_CONDEMNED;
}

/* R7: the same name once more. */
static void service_unique(struct ap_look *look, uint64_t life, uint64_t key)
{
    for (uint64_t i = 0; i < look->index; i++) {
        const struct ap_service *other = ap_service_at(look->seg, i);
        uint64_t other_life = ap_look_64(look, &other->life);

        if (service_named(other_life) && ap_look_64(look, &other->key) == key)
            ap_look_found(look, AP_CORRUPT, &ap_service_at(look->seg, look->index)->life, life ^ other_life, "R7",
                          "service %llu has the same name", LONG(i));
    }
}

static void look_service(struct ap_look *look)
{
    const struct ap_service *s = ap_service_at(look->seg, look->index);

    uint64_t life = ap_look_64(look, &s->life), key = ap_look_64(look, &s->key);
    uint32_t state = AP_SERVICE_STATE(life), lane = AP_SERVICE_LANE(life);
    char text[NAME];
    size_t n;

    if (state == AP_SERVICE_FILLING || state == AP_SERVICE_NAMED) owner(look, &s->life, life, lane, "R1", "who enters it");
    else if (state > AP_SERVICE_CONDEMNED || lane != 0)
        ap_look_found(look, AP_CORRUPT, &s->life, life, "R1", "state %u, lane %u", state, lane);
    if (!service_named(life)) return;
    n = ap_look_text(look, s->name, sizeof s->name, "R2", "name", text);
    if (!ap_name_valid(text, APIARY_NAME_MAX))
        ap_look_found(look, AP_CORRUPT, s->name, life, "R2", "\"%s\" is not a name", text);
    else if (ap_hash(text, n) != key)
        ap_look_found(look, AP_CORRUPT, &s->key, life ^ key, "R2", "\"%s\" has another hash than %016llx", text, LONG(key));
    service_unique(look, life, key);
}

static void capability_flag(struct ap_look *look, uint64_t key, const uint8_t *at, uint8_t most, const char *what)
{
    uint8_t flag = ap_look_8(look, at);

    if (flag <= (key != 0 ? most : 0)) return;
    ap_look_found(look, AP_CORRUPT, at, flag, "D2", "%s is %u%s", what, flag, key != 0 ? "" : " of no capability");
}

/* All bits of its providers, and the groups of words that are used. */
static uint64_t capability_bits(struct ap_look *look, const struct ap_capability *c)
{
    uint32_t queues = look->seg->geometry.queues, words = ap_provider_words(queues), shift = ap_provider_shift(words);
    uint64_t any = 0, used = 0, groups = 0;

    for (uint32_t i = 0; i < words; i++) {
        uint64_t bits = ap_look_64(look, &c->providers[i]); /* DISC-A3 pairs DISC-R3: before `used` */
        uint64_t beyond = i + 1 == words && queues % 64 != 0 ? bits >> queues % 64 : 0;

        any |= bits;
        if (bits != 0) groups |= UINT64_C(1) << (i >> shift);
        if (beyond != 0)
            ap_look_found(look, AP_CORRUPT, &c->providers[i], bits, "D2", "providers %016llx; there are %u queues", LONG(bits),
                          queues);
    }
    if (!ap_provider_grouped(words)) return any;
    used = ap_look_64(look, &c->providers[words]);
    if ((groups & ~used) != 0)
        ap_look_found(look, AP_CORRUPT, &c->providers[words], used ^ groups, "D2",
                      "used is %016llx; there are providers in %016llx", LONG(used), LONG(groups));
    groups = (words - 1) >> shift == 63 ? UINT64_MAX : (UINT64_C(2) << ((words - 1) >> shift)) - 1;
    if ((used & ~groups) != 0)
        ap_look_found(look, AP_CORRUPT, &c->providers[words], used, "D2", "used is %016llx; there are %u words", LONG(used), words);
    return any | used;
}

static void look_capability(struct ap_look *look)
{
    struct ap_capability *c = ap_capability_at(look->seg, look->index);
    const char *name = ap_capability_text(look->seg, c);
    uint64_t key = ap_look_64(look, &c->key), any, end = sizeof *c + APIARY_CAPABILITY_MAX + 1;

    end += 8ull * ap_provider_words_all(look->seg->geometry.queues);
    names_row(look, &c->key, &c->ready, name, APIARY_CAPABILITY_MAX + 1, "D1");
    any = capability_bits(look, c);
    capability_flag(look, key, &c->majors, 1, "majors");
    capability_flag(look, key, &c->rules, 1, "rules");
    capability_flag(look, key, &c->ways, AP_WAYS, "ways");
    if (any != 0 && key == 0)
        ap_look_found(look, AP_CORRUPT, &c->providers[0], any, "D2", "providers of a capability without a name");
    ap_look_zero(look, (const uint8_t *)c + end, look->seg->sections[AP_SECTION_CAPABILITIES].stride - end, "D1",
                 "behind the name");
}

/* ---- swarms --------------------------------------------------------------------------------------------------- */

static void swarm_texts(struct ap_look *look, const struct ap_swarm *s, uint64_t life)
{
    char text[sizeof s->tags]; /* the longest */

    if (ap_look_text(look, s->instance, sizeof s->instance, "R2", "instance", text) == 0)
        ap_look_found(look, AP_CORRUPT, s->instance, life, "R2", "no instance");
    ap_look_text(look, s->version, sizeof s->version, "R2", "version", text);
    ap_look_text(look, s->health_endpoint, sizeof s->health_endpoint, "R2", "health_endpoint", text);
    ap_look_text(look, s->metrics_endpoint, sizeof s->metrics_endpoint, "R2", "metrics_endpoint", text);
    ap_look_text(look, s->tags, sizeof s->tags, "R2", "tags", text);
}

/* R4: the same service and instance once more. */
static void swarm_unique(struct ap_look *look, const struct ap_swarm *s, uint64_t life, uint64_t key)
{
    for (uint64_t i = 0; i < look->index; i++) {
        const struct ap_swarm *other = ap_swarm_at(look->seg, i);
        uint64_t other_life = ap_look_64(look, &other->life);

        if (AP_SWARM_STATE(other_life) != AP_SWARM_LIVE || ap_look_64(look, &other->key) != key) continue;
        ap_look_found(look, AP_CORRUPT, &s->life, life ^ other_life, "R4", "swarm %llu is the same service and instance",
                      LONG(i));
        return;
    }
}

/* The words of a reason print. A dead writer's last words are of another change than `value`. */
static void look_reason(struct ap_look *look, uint64_t value, const uint64_t *words, uint32_t count, const char *rule,
                        const char *what)
{
    bool ended = false;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t word = ap_look_64(look, &words[i]);

        for (uint32_t k = 0; k < AP_REASON_EACH && word >> 48 == AP_MODE_CHANGE(value); k++) {
            uint32_t c = word >> 8 * k & 0xff;

            if (c == 0) ended = true;
            if (c != 0 && (ended || c < ' ' || c > '~'))
                ap_look_found(look, AP_CORRUPT, &words[i], value ^ word, rule, "%s: byte 0x%02x", what, c);
        }
    }
}

/* The mode is this service and instance's. */
static void swarm_mode(struct ap_look *look, const struct ap_swarm *s, uint64_t life, uint64_t key)
{
    uint64_t mode = ap_look_64(look, &s->mode);

    if (AP_MODE_OF(mode) < APIARY_READY || AP_MODE_OF(mode) > APIARY_PAUSE)
        ap_look_found(look, AP_CORRUPT, &s->mode, life ^ mode, "R5", "mode %u", AP_MODE_OF(mode));
    if (key != 0 && !AP_MODE_IS_OF(mode, key))
        ap_look_found(look, AP_CORRUPT, &s->mode, life ^ mode ^ key, "R5", "the mode of another service or instance");
    look_reason(look, mode, s->reason, AP_REASON_WORDS, "R5", "reason");
}

/* The same of what the coordinator has found out, and its terms. */
static void swarm_health(struct ap_look *look, const struct ap_swarm *s, uint64_t life, uint64_t key)
{
    uint64_t health = ap_look_64(look, &s->health), stuck = ap_look_64(look, &s->stuck);
    uint32_t worse = ap_look_16(look, &s->unhealthy_after), better = ap_look_16(look, &s->healthy_after);

    if (AP_MODE_OF(health) > AP_FOUND_ALL || ((health & AP_FOUND_HEARD) == 0 && (health & AP_FOUND_ENDPOINT) >= AP_FOUND_PASSING))
        ap_look_found(look, AP_CORRUPT, &s->health, life ^ health, "R8", "found %u", AP_MODE_OF(health));
    if (key != 0 && !AP_MODE_IS_OF(health, key))
        ap_look_found(look, AP_CORRUPT, &s->health, life ^ health ^ key, "R8", "found out about another service or instance");
    if (worse > AP_HEALTH_TIMES_MAX) ap_look_found(look, AP_CORRUPT, &s->unhealthy_after, worse, "R8", "unhealthy_after %u", worse);
    if (better > AP_HEALTH_TIMES_MAX) ap_look_found(look, AP_CORRUPT, &s->healthy_after, better, "R8", "healthy_after %u", better);
    if (stuck > ap_look_now(look)) ap_look_found(look, AP_CORRUPT, &s->stuck, stuck, "R8", "stuck in the future");
    look_reason(look, health, s->found, AP_FOUND_WORDS, "R8", "found");
}

static void swarm_fields(struct ap_look *look, const struct ap_swarm *s, uint64_t life)
{
    uint32_t state = ap_look_32(look, &s->state), leaving = ap_look_32(look, &s->leaving);
    uint32_t service = ap_look_32(look, &s->service), member = ap_look_32(look, &s->member);
    uint32_t most = ap_look_32(look, &s->max_delegations), park = ap_look_16(look, &s->park);
    uint64_t beat = ap_look_64(look, &s->beat), key = ap_look_64(look, &s->key);
    uint64_t share = ap_look_64(look, &s->share), up = ap_look_64(look, &s->up);
    char name[NAME];

    ap_service_name(look->seg, service, name);
    if (leaving > 1) ap_look_found(look, AP_CORRUPT, &s->leaving, life ^ leaving, "R5", "leaving is %u", leaving);
    if (state < APIARY_STARTING || state > APIARY_DOWN)
        ap_look_found(look, AP_CORRUPT, &s->state, life ^ state, "R5", "health state %u", state);
    swarm_mode(look, s, life, key);
    swarm_health(look, s, life, key);
    if (name[0] == '\0')
        ap_look_found(look, AP_CORRUPT, &s->service, life ^ service, "R2", "service %u is none", service);
    if (member >= look->seg->geometry.members)
        ap_look_found(look, AP_CORRUPT, &s->member, life ^ member, "R5", "member %u is out of range", member);
    if (key == 0) ap_look_found(look, AP_CORRUPT, &s->key, life, "R2", "no key");
    if (most > look->seg->geometry.max_concurrent_delegations)
        ap_look_found(look, AP_CORRUPT, &s->max_delegations, most, "R5", "max_delegations %u", most);
    if (ap_look_32(look, &s->weight) > AP_WEIGHT_MAX)
        ap_look_found(look, AP_CORRUPT, &s->weight, life ^ s->weight, "R5", "weight %u", ap_look_32(look, &s->weight));
    if (AP_SHARE_IS_OF(share, key) && (share & 0xffff) > AP_WEIGHT_MAX)
        ap_look_found(look, AP_CORRUPT, &s->share, share, "R5", "the operator's weight %u", (uint32_t)(share & 0xffff));
    if (up > ap_look_now(look)) ap_look_found(look, AP_CORRUPT, &s->up, up, "R5", "registered in the future");
    if (park > AP_PARK_POLL) ap_look_found(look, AP_CORRUPT, &s->park, life ^ park, "R5", "park %u", park);
    if (beat > ap_look_now(look)) ap_look_found(look, AP_CORRUPT, &s->beat, beat, "R5", "a beat in the future");
    ap_look_date(look, &s->registered, "R5", "registered");
    if (ap_look_64(look, &s->first) > AP_SWARM_EPOCH(life))
        ap_look_found(look, AP_CORRUPT, &s->first, life, "R5", "first epoch %llu of %llu", LONG(ap_look_64(look, &s->first)),
                      LONG(AP_SWARM_EPOCH(life)));
    swarm_texts(look, s, life);
    if (key != 0 && AP_SWARM_STATE(life) == AP_SWARM_LIVE) swarm_unique(look, s, life, key);
}

static void look_swarm(struct ap_look *look)
{
    const struct ap_swarm *s = ap_swarm_at(look->seg, look->index);
    uint64_t life = ap_look_64(look, &s->life);
    uint32_t state = AP_SWARM_STATE(life), lane = AP_SWARM_LANE(life);

    switch (state) {
    case AP_SWARM_LIVE:
        owner(look, &s->life, life, lane, "R1", "its control lane");
        swarm_fields(look, s, life);
        break;
    case AP_SWARM_CLAIMED: owner(look, &s->life, life, lane, "R1", "its registrant"); break;
    case AP_SWARM_DOWN:
        swarm_fields(look, s, life);
        /* fall through */
    case AP_SWARM_FREE:
        if (lane != 0) ap_look_found(look, AP_CORRUPT, &s->life, life, "R1", "lane %u in state %u", lane, state);
        break;
    default: ap_look_found(look, AP_CORRUPT, &s->life, life, "R1", "state %u", state); break;
    }
}

/* ---- agents --------------------------------------------------------------------------------------------------- */

static void agent_swarm(struct ap_look *look, const struct ap_agent_record *a, uint64_t queue_life, uint32_t swarm)
{
    const struct ap_swarm *s = ap_swarm_at(look->seg, swarm);
    bool open = AP_QUEUE_STATE(queue_life) == AP_QUEUE_OPEN;
    uint64_t life;

    if (s == NULL) {
        if (open || swarm != AP_NO_SWARM)
            ap_look_found(look, AP_CORRUPT, &a->swarm, queue_life ^ swarm, "R3", "swarm %u is out of range", swarm);
        return;
    }
    life = ap_look_64(look, &s->life);
    if (!open || AP_SWARM_STATE(life) == AP_SWARM_LIVE) return;
    /* A worker's lane may be found dead before its queen's lane, and the other way round. */
    ap_look_found(look, ap_lane_dead(look->seg, AP_QUEUE_LANE(queue_life)) ? AP_REPAIRABLE : AP_CORRUPT, &a->swarm,
                  queue_life ^ life, "R3", "its queue is OPEN, swarm %u is not LIVE", swarm);
}

static void look_agent(struct ap_look *look)
{
    const struct ap_agent_record *a = ap_agent_at(look->seg, look->index);
    const struct ap_queue *q = ap_queue_at(look->seg, look->index);
    uint64_t life = ap_look_64(look, &q->life);
    uint32_t state = AP_QUEUE_STATE(life), count, swarm;
    char text[APIARY_CAPABILITY_MAX + 1];

    ap_look_zero(look, a->reserved, sizeof a->reserved, "R5", "reserved");
    if (state != AP_QUEUE_OPEN && state != AP_QUEUE_CLOSED) return;
    count = ap_look_32(look, &a->capability_count);
    swarm = ap_look_32(look, &a->swarm);
    agent_swarm(look, a, life, swarm);
    if (ap_look_text(look, a->name, sizeof a->name, "R2", "name", text) == 0) {
        /* Its registrant died while it filled the record. */
        if (state == AP_QUEUE_OPEN) ap_look_found(look, AP_CORRUPT, a->name, life, "R2", "no name");
    } else if (!ap_name_valid(text, APIARY_NAME_MAX)) {
        ap_look_found(look, AP_CORRUPT, a->name, life, "R2", "\"%s\" is not a name", text);
    }
    if (count > AP_AGENT_CAPABILITIES) {
        ap_look_found(look, AP_CORRUPT, &a->capability_count, life ^ count, "R5", "%u capabilities; at most %u", count,
                      AP_AGENT_CAPABILITIES);
        count = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t capability = ap_look_16(look, &a->capabilities[i]);

        ap_capability_name(look->seg, capability, text);
        if (text[0] == '\0')
            ap_look_found(look, AP_CORRUPT, &a->capabilities[i], life ^ capability, "R5", "capability %u has no name",
                          capability);
    }
}

/* ---- tickets -------------------------------------------------------------------------------------------------- */

static void look_tickets(struct ap_look *look)
{
    const uint32_t *row = ap_at(look->seg, AP_SECTION_TICKETS, look->index);
    const struct ap_service *service = ap_service_at(look->seg, look->index);
    uint32_t length = look->seg->geometry.max_concurrent_delegations;

    for (uint32_t i = 0; i < length; i++) {
        uint32_t ticket = ap_look_32(look, &row[i]), lane = AP_TICKET_LANE(ticket) - 1;

        if (AP_TICKET_LANE(ticket) == 0 && !AP_TICKET_IS_BUSY(ticket)) continue;
        if (AP_TICKET_LANE(ticket) == 0)
            ap_look_found(look, AP_CORRUPT, &row[i], ticket, "A1", "ticket %u is %08x", i, ticket);
        else if (!service_named(ap_look_64(look, &service->life)))
            ap_look_found(look, AP_CORRUPT, &row[i], ticket, "A1", "ticket %u of a service that is none", i);
        else
            owner(look, &row[i], ticket, lane, "A1", "the owner of a ticket");
    }
    ap_look_zero(look, &row[length], look->seg->sections[AP_SECTION_TICKETS].stride - 4ull * length, "A1",
                 "behind the tickets");
}

/* ---- what supervisors say ------------------------------------------------------------------------------------- */

/* How the instance ended last, and what it said. */
static void supervised_end(struct ap_look *look, const struct ap_supervision *r, uint64_t evidence)
{
    static const uint32_t most[] = {[AP_END_NONE] = 0, [AP_END_CODE] = 255, [AP_END_SIGNAL] = 64, [AP_END_NO_START] = 4095};
    uint32_t end = ap_look_32(look, &r->end), code = ap_look_32(look, &r->code), stage = ap_look_32(look, &r->stage);
    uint32_t size = ap_look_32(look, &r->said_size);
    uint64_t ended = ap_look_64(look, &r->ended);
    char text[AP_SAID_MAX + 1];
    size_t n = ap_look_text(look, r->said, sizeof r->said, "J3", "said", text);

    if (end > AP_END_NO_START || code > most[end])
        ap_look_found(look, AP_CORRUPT, &r->end, evidence ^ end ^ code, "J3", "end %u, code %u", end, code);
    if (stage > AP_STAGE_FORK || (stage != 0) != (end == AP_END_NO_START))
        ap_look_found(look, AP_CORRUPT, &r->stage, evidence ^ stage, "J3", "stage %u of an end %u", stage, end);
    if ((ended != 0) != (end != AP_END_NONE))
        ap_look_found(look, AP_CORRUPT, &r->ended, evidence ^ ended, "J3", "time of an end %u", end);
    if (n > size || (n < size && size <= AP_SAID_MAX))
        ap_look_found(look, AP_CORRUPT, &r->said_size, evidence ^ size, "J3", "said: %zu bytes of %u", n, size);
    ap_look_date(look, &r->ended, "J3", "ended");
}

static void supervised_record(struct ap_look *look, const struct ap_supervised *s, uint64_t life)
{
    uint64_t turn = ap_look_64(look, &s->turn), evidence = life ^ turn;
    const struct ap_supervision *r = (const void *)s->record[turn % 2];
    uint32_t state = ap_look_32(look, &r->state), starts = ap_look_32(look, &r->starts), ends = ap_look_32(look, &r->ends);
    int64_t pid = (int64_t)ap_look_64(look, (const uint64_t *)&r->pid);
    bool ended = state == AP_CHILD_WAITING || state == AP_CHILD_GIVEN_UP || state == AP_CHILD_STOPPED ||
                 state == AP_CHILD_HELD;

    if (state < AP_CHILD_STARTING || state > AP_CHILD_HELD)
        ap_look_found(look, AP_CORRUPT, &r->state, evidence ^ state, "J3", "state %u", state);
    if (pid < 0 || (pid != 0 && (ended || starts == 0)))
        ap_look_found(look, AP_CORRUPT, &r->pid, evidence ^ (uint64_t)pid, "J3", "pid %lld in state %u, after %u starts",
                      (long long)pid, state, starts);
    if (ends > 0 && ap_look_32(look, &r->end) == AP_END_NONE)
        ap_look_found(look, AP_CORRUPT, &r->ends, evidence ^ ends, "J3", "%u ends, and no last one", ends);
    ap_look_date(look, &r->changed, "J3", "changed");
    supervised_end(look, r, evidence);
}

static void look_supervised(struct ap_look *look)
{
    const struct ap_supervised *s = ap_supervised_at(look->seg, look->index);
    uint64_t life = ap_look_64(look, &s->life), left = ap_look_64(look, &s->left);
    uint32_t state = AP_SUPERVISED_STATE(life), lane = AP_SUPERVISED_LANE(life);
    char text[NAME];

    if (state == AP_SUPERVISED_FILLING || state == AP_SUPERVISED_HELD) owner(look, &s->life, life, lane, "J1", "its supervisor");
    else if (state > AP_SUPERVISED_ORPHANED || lane != 0)
        ap_look_found(look, AP_CORRUPT, &s->life, life, "J1", "state %u, lane %u", state, lane);
    ap_look_zero(look, s->reserved1, sizeof s->reserved1, "J4", "reserved1");
    ap_look_zero(look, s->reserved2, sizeof s->reserved2, "J4", "reserved2");
    if (state != AP_SUPERVISED_HELD && state != AP_SUPERVISED_ORPHANED) return;
    ap_look_text(look, s->service, sizeof s->service, "J2", "service", text);
    if (!ap_name_valid(text, APIARY_NAME_MAX))
        ap_look_found(look, AP_CORRUPT, s->service, life, "J2", "\"%s\" is not a name", text);
    if ((int64_t)ap_look_64(look, (const uint64_t *)&s->supervisor) <= 0)
        ap_look_found(look, AP_CORRUPT, &s->supervisor, life, "J3", "a supervisor without a process");
    if (state == AP_SUPERVISED_ORPHANED && AP_LEFT_EPOCH(left) != ((AP_SUPERVISED_EPOCH(life) - 1) & 0xffff))
        ap_look_found(look, AP_CORRUPT, &s->left, life ^ left, "J3", "left by another supervisor");
    ap_look_date(look, &s->held, "J3", "held");
    supervised_record(look, s, life);
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static const struct ap_field service_fields[] = {
    AP_FIELD(ap_service, key), AP_FIELD(ap_service, life), AP_FIELD(ap_service, name), {NULL, 0, 0},
};
static const struct ap_number service_numbers[] = {
    {.key = "services", .what = "names of services at the same time", .at = AP_REGISTRY_NUMBER_AT(SERVICES), .otherwise = 64,
     .min = 1, .max = AP_SERVICES_MAX, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_services = {
    .name = "services", .element = "service", .size = sizeof(struct ap_service), .fields = service_fields,
    .numbers = service_numbers, .look = look_service,
    .withdraw = ap_services_end, .settle = ap_part_nothing,
};

static uint64_t tickets_stride(const struct ap_geometry *g)
{
    return (4ull * g->max_concurrent_delegations + AP_LINE - 1) / AP_LINE * AP_LINE;
}

static uint64_t tickets_count(const struct ap_geometry *g)
{
    return AP_REGISTRY_NUMBER(g, SERVICES);
}

/* Rows are whole lines. */
static uint64_t tickets_told(const struct ap_section *table, uint64_t value)
{
    uint64_t stride = table[AP_SECTION_TICKETS].stride;

    return stride == (4 * value + AP_LINE - 1) / AP_LINE * AP_LINE ? value : stride / 4;
}

static const struct ap_number ticket_numbers[] = {
    {.key = "max_concurrent_delegations", .what = "tasks that one calling service may have in flight",
     .at = AP_NUMBER_AT(max_concurrent_delegations), .otherwise = 100, .min = 1, .max = AP_TICKETS_MAX, .told = tickets_told},
    {.key = NULL},
};
const struct ap_part ap_part_tickets = {
    .name = "tickets", .element = "ticket", .stride = tickets_stride, .count = tickets_count, .fields = AP_NO_FIELDS,
    .numbers = ticket_numbers, .look = look_tickets,
    .withdraw = ap_part_nothing, .settle = ap_tickets_settle,
};

static const struct ap_field swarm_fields_list[] = {
    AP_FIELD(ap_swarm, life), AP_FIELD(ap_swarm, state), AP_FIELD(ap_swarm, service), AP_FIELD(ap_swarm, member),
    AP_FIELD(ap_swarm, port), AP_FIELD(ap_swarm, park), AP_FIELD(ap_swarm, max_delegations), AP_FIELD(ap_swarm, registered),
    AP_FIELD(ap_swarm, leaving), AP_FIELD(ap_swarm, key), AP_FIELD(ap_swarm, mode), AP_FIELD(ap_swarm, beat),
    AP_FIELD(ap_swarm, share), AP_FIELD(ap_swarm, up), AP_FIELD(ap_swarm, weight),
    AP_FIELD(ap_swarm, instance), AP_FIELD(ap_swarm, version), AP_FIELD(ap_swarm, health_endpoint),
    AP_FIELD(ap_swarm, metrics_endpoint), AP_FIELD(ap_swarm, reason), AP_FIELD(ap_swarm, unhealthy_after),
    AP_FIELD(ap_swarm, healthy_after), AP_FIELD(ap_swarm, stuck), AP_FIELD(ap_swarm, health_interval),
    AP_FIELD(ap_swarm, health_timeout), AP_FIELD(ap_swarm, health_until), AP_FIELD(ap_swarm, health), AP_FIELD(ap_swarm, found),
    AP_FIELD(ap_swarm, tags), AP_FIELD(ap_swarm, first), AP_FIELD(ap_swarm, told),
    {NULL, 0, 0},
};
static const struct ap_number swarm_numbers[] = {
    {.key = "swarms", .what = "registered instances of services", .at = AP_REGISTRY_NUMBER_AT(SWARMS), .otherwise = 64, .min = 1,
     .max = AP_SWARMS_MAX, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_swarms = {
    .name = "swarms", .element = "swarm", .size = sizeof(struct ap_swarm), .fields = swarm_fields_list,
    .numbers = swarm_numbers, .look = look_swarm,
    .withdraw = ap_swarms_end, .settle = ap_part_nothing,
};

/* One for each queue. */
static uint64_t agents_count(const struct ap_geometry *g)
{
    return g->queues;
}

static const struct ap_field agent_fields[] = {
    AP_FIELD(ap_agent_record, swarm), AP_FIELD(ap_agent_record, capability_count),
    AP_FIELD(ap_agent_record, capabilities), AP_FIELD(ap_agent_record, name), {NULL, 0, 0},
};
const struct ap_part ap_part_agents = {
    .name = "agents", .element = "agent", .size = sizeof(struct ap_agent_record), .count = agents_count, .fields = agent_fields,
    .numbers = AP_NO_NUMBERS, .look = look_agent,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};

static uint64_t capabilities_stride(const struct ap_geometry *g)
{
    uint64_t used = sizeof(struct ap_capability) + ap_provider_words_all(g->queues) * 8 + APIARY_CAPABILITY_MAX + 1;

    return (used + AP_LINE - 1) / AP_LINE * AP_LINE;
}

static const struct ap_field capability_fields[] = {
    AP_FIELD(ap_capability, key), AP_FIELD(ap_capability, ready), AP_FIELD(ap_capability, terms),
    AP_FIELD(ap_capability, majors), AP_FIELD(ap_capability, rules), AP_FIELD(ap_capability, ways),
    AP_FIELD(ap_capability, providers[0]),
    {"ap_capability.used", offsetof(struct ap_capability, providers[1]), 8}, /* somewhere behind the first word */
    {NULL, 0, 0},
};
static const struct ap_number capability_numbers[] = {
    {.key = "capabilities", .what = "names of capabilities that were ever offered", .at = AP_REGISTRY_NUMBER_AT(CAPABILITIES),
     .otherwise = 1024, .min = 2, .max = 32768, .power = true, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_capabilities = {
    .name = "capabilities", .element = "capability", .stride = capabilities_stride, .fields = capability_fields,
    .numbers = capability_numbers, .look = look_capability,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};

/* One for each instance that may register. */
static uint64_t check_supervised_count(const struct ap_geometry *g)
{
    return AP_REGISTRY_NUMBER(g, SWARMS);
}

/* Of the first of the two records, which are alike. */
#define RECORD(field)                                                                                                  \
    {"ap_supervision." #field, offsetof(struct ap_supervised, record) + offsetof(struct ap_supervision, field),        \
     sizeof(((struct ap_supervision *)0)->field)}

static const struct ap_field supervised_fields[] = {
    AP_FIELD(ap_supervised, life), AP_FIELD(ap_supervised, turn), AP_FIELD(ap_supervised, left), AP_FIELD(ap_supervised, held),
    AP_FIELD(ap_supervised, supervisor), AP_FIELD(ap_supervised, service), RECORD(state), RECORD(instance), RECORD(starts),
    RECORD(ends), RECORD(end), RECORD(code), RECORD(stage), RECORD(said_size), RECORD(pid), RECORD(changed), RECORD(ended),
    RECORD(due), RECORD(said), {NULL, 0, 0},
};
const struct ap_part ap_part_supervised = {
    .name = "supervised", .element = "supervised", .size = sizeof(struct ap_supervised), .count = check_supervised_count,
    .fields = supervised_fields, .numbers = AP_NO_NUMBERS, .look = look_supervised,
    .withdraw = ap_supervised_withdraw, .settle = ap_part_nothing,
};
