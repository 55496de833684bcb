/* registry/discovery/swarm.c - registration of swarms: all or nothing, published last. See registry.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/name.h"
#include "registry/discovery/changes.h"
#include "registry/discovery/discovery.h"
#include "registry/discovery/swarm_plan.h"
#include "registry/discovery/swarm_record.h"
#include "registry/discovery/tags.h"
#include "registry/monitor/health.h"
#include "registry/monitor/tally.h"
#include "registry/routing/rule_sets.h"
#include "registry/routing/terms.h"
#include "shm/event.h"

#define TRIES 64 /* lost races with other registrants, each of which got something done */

/* ---- what is asked for ---------------------------------------------------------------------------------------- */

static bool text_valid(const char *text, size_t size)
{
    size_t n = text != NULL ? strnlen(text, size) : 0;

    for (size_t i = 0; i < n && n < size; i++)
        if (text[i] < ' ' || text[i] > '~') return false;
    return n < size;
}

/* The NUL between them keeps "a" + "bc" from "ab" + "c". */
uint64_t ap_swarm_key(const char *service, const char *instance)
{
    char text[2 * (APIARY_NAME_MAX + 1)] = "";
    size_t n = strnlen(service, APIARY_NAME_MAX) + 1, more = strnlen(instance, APIARY_NAME_MAX);

    memcpy(text, service, n - 1);
    memcpy(text + n, instance, more);
    return ap_hash(text, n + more);
}

static int plan_make(struct ap_plan *p)
{
    const struct ap_swarm_registration *r = p->r;
    int e;

    if (!ap_name_valid(r->service, APIARY_NAME_MAX) || (r->agents == NULL && r->agent_count > 0)) return APIARY_EINVAL;
    p->instance = r->instance != NULL ? r->instance : "0";
    if (p->instance[0] == '\0' || strchr(p->instance, ' ') != NULL || !text_valid(p->instance, APIARY_NAME_MAX + 1))
        return APIARY_EINVAL;
    if (!text_valid(r->version, APIARY_NAME_MAX + 1) || !text_valid(r->health_endpoint, 128) ||
        !text_valid(r->metrics_endpoint, 128) || !ap_tags_valid(r->tags))
        return APIARY_EINVAL;
    if (r->agent_count > p->seg->geometry.queues) return APIARY_ETABLEFULL;
    p->key = ap_swarm_key(r->service, p->instance);
    e = ap_service_intern(p->seg, r->lane, r->service, &p->service);
    for (size_t i = 0; e == 0 && i < r->agent_count; i++) e = ap_plan_agent(p, i);
    return e == 0 ? ap_plan_rules(p) : e;
}

/* ---- the swarm's record --------------------------------------------------------------------------------------- */

/* Compares a record with this registration: 0 another's, 1 its own and DOWN, APIARY_EEXIST its own and held by a living queen.
 * *life is the record's. */
static int swarm_look_at(const struct ap_plan *p, uint32_t index, uint64_t *life)
{
    struct ap_segment *seg = p->seg;
    const struct ap_swarm *s = ap_swarm_at(seg, index);

    for (int tries = 0; tries < TRIES; tries++) {
        uint32_t state, lane;

        *life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */
        state = AP_SWARM_STATE(*life);
        lane = AP_SWARM_LANE(*life);
        if (state == AP_SWARM_FREE || ap_load_acquire(&s->key) != p->key) return 0; /* REG-A3 pairs REG-R3 */
        if (state == AP_SWARM_DOWN) return 1;
        if (ap_lane_alive(seg, lane)) {
            /* If it left meanwhile, the record, or the lane, may have been another's when it was looked at: look again. */
            if (ap_load_acquire(&s->life) == *life) return APIARY_EEXIST; /* REG-A1 pairs REG-R1 */
            continue;
        }
        /* Killed and not recovered yet: do it now, and so with all lanes of its process. If somebody is at it, or was, this
         * one registration is ended here all the same, and nothing else of the lane's: it may be another's by now, with
         * swarms and tickets of its own. */
        ap_reap_all(seg, p->r->lane, &ap_registry_hooks);
        ap_swarm_end(seg, index, *life);
    }
    return APIARY_EEXIST;
}

/* Looks at all records but `except` for this service and instance: APIARY_EEXIST when one is in living hands (*ret says
 * which), 1 when there is one that is DOWN (the same), 0 when there is none. */
static int look_for_same(const struct ap_plan *p, uint32_t except, struct ap_found *ret)
{
    int down = 0;

    for (uint32_t i = 0; i < p->seg->sections[AP_SECTION_SWARMS].count; i++) {
        uint64_t life;
        int same = i != except ? swarm_look_at(p, i, &life) : 0;

        if (same == 0) continue;
        *ret = (struct ap_found){i, life};
        if (same < 0) return same;
        down = 1;
    }
    return down;
}

/* A FREE record, or that of another, those last that an operator has put into a mode: 1, 0. */
static int record_search(struct ap_plan *p)
{
    uint32_t count = (uint32_t)p->seg->sections[AP_SECTION_SWARMS].count;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t life = ap_load_acquire(&ap_swarm_at(p->seg, i)->life); /* REG-A1 pairs REG-R1 */

        p->swarm = i;
        if (AP_SWARM_STATE(life) != AP_SWARM_FREE || !ap_record_take(p->seg, p->r->lane, (struct ap_found){i, life})) continue;
        ap_swarm_empty(p->seg, i, true);
        return 1;
    }
    return ap_record_of_other(p->seg, p->r->lane, true, &p->swarm) || ap_record_of_other(p->seg, p->r->lane, false, &p->swarm);
}

static int record_new(struct ap_plan *p)
{
    for (struct ap_search s = {0}; ap_search_again(&s, AP_LIVES(p->seg, AP_SECTION_SWARMS, struct ap_swarm));)
        if (record_search(p)) return 1;
    return 0;
}

/* Stores what may change while the registration stands: each word is valid on its own. */
static void record_terms(const struct ap_segment *seg, struct ap_swarm *s, const struct ap_swarm_registration *r)
{
    uint32_t most = seg->geometry.max_concurrent_delegations;

    /* There are no more tickets than that, so that is the bound which holds. */
    ap_store_relaxed(&s->max_delegations, r->max_delegations < most ? r->max_delegations : most);
    ap_store_relaxed(&s->weight, r->weight == 0 ? AP_WEIGHT : r->weight < AP_WEIGHT_MAX ? r->weight : AP_WEIGHT_MAX);
    ap_store_relaxed(&s->unhealthy_after, r->unhealthy_after);
    ap_store_relaxed(&s->healthy_after, r->healthy_after);
    ap_store_relaxed(&s->health_interval, r->health_interval);
    ap_store_relaxed(&s->health_timeout, r->health_timeout);
}

static void record_fill(const struct ap_plan *p)
{
    struct ap_swarm *s = ap_swarm_at(p->seg, p->swarm);
    const struct ap_swarm_registration *r = p->r;

    if (!p->adopted) {
        ap_store_relaxed(&s->first, AP_SWARM_EPOCH(ap_load_relaxed(&s->life)));
        ap_fence_release(); /* TELL-R3 pairs TELL-A3 */
    }
    ap_store_relaxed(&s->service, p->service);
    ap_store_relaxed(&s->member, r->member);
    ap_store_relaxed(&s->port, r->port);
    ap_store_relaxed(&s->park, r->park);
    record_terms(p->seg, s, r);
    ap_store_relaxed(&s->registered, p->seg->ops->realtime());
    ap_store_relaxed(&s->beat, p->seg->ops->now());
    ap_store_relaxed(&s->up, p->seg->ops->now());
    ap_store_relaxed(&s->state, APIARY_STARTING);
    ap_store_relaxed(&s->leaving, 0);
    ap_store_relaxed(&s->waited, 0);
    ap_store_relaxed(&s->stuck, 0);
    ap_health_begin(s, p->key);
    if (!p->adopted) {
        ap_swarm_mode_begin(s, p->key);
        if (r->heir_of != NULL) ap_swarm_mode_inherit(p->seg, s, p->key, ap_swarm_key(r->service, r->heir_of));
        ap_text_store(s->instance, p->instance, sizeof s->instance);
    }
    ap_text_store(s->version, r->version, sizeof s->version);
    ap_text_store(s->health_endpoint, r->health_endpoint, sizeof s->health_endpoint);
    ap_text_store(s->metrics_endpoint, r->metrics_endpoint, sizeof s->metrics_endpoint);
    ap_text_store(s->tags, r->tags, sizeof s->tags);
    ap_store_release(&s->key, p->key); /* REG-R3 pairs REG-A3 */
}

static void record_give_back(const struct ap_plan *p)
{
    struct ap_swarm *s = ap_swarm_at(p->seg, p->swarm);

    ap_store_relaxed(&s->state, APIARY_DOWN);
    if (!p->adopted) ap_store_release(&s->key, 0); /* REG-R3 pairs REG-A3 */
    ap_record_state(s, p->adopted ? AP_SWARM_DOWN : AP_SWARM_FREE);
}

static int record_claim(struct ap_plan *p)
{
    for (int tries = 0; tries < TRIES; tries++) {
        struct ap_found other;
        int same = look_for_same(p, AP_NO_SWARM, &other);

        if (same < 0) return same;
        if (same > 0) {
            if (!ap_record_take(p->seg, p->r->lane, other)) continue;
            p->swarm = other.index;
            p->adopted = true;
            record_fill(p);
            return 0;
        }
        if (!record_new(p)) return APIARY_ETABLEFULL;
        record_fill(p);
        ap_fence_full(); /* REG-F1 pairs REG-F1 of another registrant: one of two sees the other's key */
        same = look_for_same(p, p->swarm, &other);
        if (same == 0) return 0;
        record_give_back(p);
        if (same < 0 && other.index < p->swarm) return same;
    }
    return APIARY_EEXIST;
}

/* Now that the record says that the name is used, it stays; it may have been given away between. */
static int service_hold(struct ap_plan *p)
{
    for (;;) {
        uint32_t service;
        int e = ap_service_intern(p->seg, p->r->lane, p->r->service, &service);

        if (e < 0 || service == p->service) return e;
        p->service = service;
        ap_store_relaxed(&ap_swarm_at(p->seg, p->swarm)->service, service);
    }
}

/* ---- queues --------------------------------------------------------------------------------------------------- */

static bool agent_is(const struct ap_segment *seg, uint32_t queue, uint32_t swarm, const char *name)
{
    const struct ap_agent_record *agent = ap_agent_at(seg, queue);
    char text[APIARY_NAME_MAX + 1];

    if (ap_load_relaxed(&agent->swarm) != swarm) return false;
    ap_text_copy(text, agent->name, sizeof text);
    return strcmp(text, name) == 0;
}

/* Whether a closed queue may go to another agent: its own will not come back, or has nothing to lose. */
static bool reusable(const struct ap_plan *p, uint32_t queue)
{
    const struct ap_swarm *s = ap_swarm_at(p->seg, ap_load_relaxed(&ap_agent_at(p->seg, queue)->swarm));
    uint32_t state = s != NULL ? AP_SWARM_STATE(ap_load_acquire(&s->life)) : AP_SWARM_FREE; /* REG-A1 pairs REG-R1 */

    if (s == ap_swarm_at(p->seg, p->swarm)) {
        for (size_t i = 0; i < p->r->agent_count; i++)
            if (agent_is(p->seg, queue, p->swarm, p->r->agents[i].name)) return false;
    } else if (state == AP_SWARM_CLAIMED || state == AP_SWARM_LIVE) {
        return false;
    }
    return ap_queue_empty(p->seg, queue);
}

/* In the order of preference. That where something waits comes first, because a registrant that was killed may have left
 * a second queue of the same name, in which nothing ever was. */
enum queue_fit { OWN_QUEUED, OWN, UNUSED, REUSABLE };

static bool queue_fits(const struct ap_plan *p, uint32_t queue, uint64_t life, const char *name, int pass)
{
    uint32_t state = AP_QUEUE_STATE(life);

    if (pass == UNUSED) return state == AP_QUEUE_FREE;
    if (state != AP_QUEUE_CLOSED) return false;
    if (pass == REUSABLE) return reusable(p, queue);
    return p->adopted && agent_is(p->seg, queue, p->swarm, name) && (pass == OWN || !ap_queue_empty(p->seg, queue));
}

/* Whether another registrant has a queue and may yet give it back. */
static bool claimed_by_other(const struct ap_plan *p, uint32_t queue, uint64_t life)
{
    if (AP_QUEUE_STATE(life) != AP_QUEUE_CLAIMED) return false;
    for (size_t i = 0; i < p->taken; i++)
        if (p->r->agents[i].queue == queue) return false;
    return true;
}

static bool queue_search(struct ap_plan *p, size_t i, bool *ret_busy)
{
    struct ap_agent_registration *a = &p->r->agents[i];
    struct ap_segment *seg = p->seg;

    /* One that is new has none of its own. */
    for (int pass = p->adopted ? OWN_QUEUED : UNUSED; pass <= REUSABLE; pass++) {
        for (uint32_t q = 0; q < seg->geometry.queues; q++) {
            uint64_t life = ap_load_acquire(&ap_queue_at(seg, q)->life);

            if (claimed_by_other(p, q, life)) *ret_busy = true;
            /* Had it been opened and closed since it was judged, it could be full of somebody's tasks. */
            if (!queue_fits(p, q, life, a->name, pass) || !ap_queue_claim_seen(seg, q, a->lane, life)) continue;
            ap_fence_release(); /* REG-R4 pairs REG-A4 */
            a->queue = q;
            /* Judged again where nobody else writes: one that was CLAIMED meanwhile and given back has the same life, and maybe
             * another agent's record. */
            p->agents[i].adopted = pass <= OWN && agent_is(seg, q, p->swarm, a->name);
            p->taken = i + 1;
            return true;
        }
    }
    return false;
}

/* Whether a queue may go to another agent is told by the life of its swarm, too. */
static uint64_t queue_lives(const struct ap_segment *seg)
{
    return AP_LIVES(seg, AP_SECTION_QUEUES, struct ap_queue) * 31 + AP_LIVES(seg, AP_SECTION_SWARMS, struct ap_swarm);
}

static int queue_take(struct ap_plan *p, size_t i)
{
    for (struct ap_search s = {0}; ap_search_again(&s, queue_lives(p->seg));) {
        bool busy = false;

        if (queue_search(p, i, &busy)) return 0;
        /* Given back, it has the life that it had before. */
        if (busy) ap_search_anew(&s, p->seg->ops);
    }
    return APIARY_ETABLEFULL;
}

/* While the queue is CLAIMED. The name of an adopted queue stays untouched: if we die here, what is queued in it must still
 * be found under that name. */
static void agent_fill(const struct ap_plan *p, size_t i)
{
    uint32_t queue = p->r->agents[i].queue;
    struct ap_agent_record *agent = ap_agent_at(p->seg, queue);

    ap_capability_withdraw_all(p->seg, queue);
    ap_store_relaxed(&agent->capability_count, p->agents[i].count);
    for (uint32_t c = 0; c < AP_AGENT_CAPABILITIES; c++)
        ap_store_relaxed(&agent->capabilities[c], c < p->agents[i].count ? p->agents[i].capabilities[c] : (uint16_t)0);
    if (!p->agents[i].adopted) ap_tally_anew(p->seg, queue);
    ap_queue_begin(p->seg, queue, !p->agents[i].adopted);
    if (p->agents[i].adopted) return;
    ap_store_relaxed(&agent->swarm, p->swarm);
    ap_text_store(agent->name, p->r->agents[i].name, sizeof agent->name);
}

/* ---- registration --------------------------------------------------------------------------------------------- */

static void roll_back(const struct ap_plan *p)
{
    for (size_t i = 0; i < p->taken; i++) {
        uint32_t queue = p->r->agents[i].queue;
        uint64_t life;

        if (!p->agents[i].adopted) ap_store_relaxed(&ap_agent_at(p->seg, queue)->swarm, AP_NO_SWARM);
        life = ap_load_acquire(&ap_queue_at(p->seg, queue)->life);
        if (AP_QUEUE_LANE(life) == p->r->agents[i].lane) ap_queue_close(p->seg, queue, life);
    }
    record_give_back(p);
}

/* While the queues are CLAIMED, all of them with their records. */
static void agent_declare(const struct ap_plan *p, size_t i)
{
    struct ap_terms_conflicts ignored = {.count = 0};

    for (uint32_t c = 0; c < p->agents[i].count; c++)
        ap_terms_declare(p->seg, p->r->lane, p->r->agents[i].queue, p->agents[i].capabilities[c],
                         p->agents[i].declares[c] ? p->agents[i].terms[c] : NULL,
                         p->r->conflicts != NULL ? p->r->conflicts : &ignored);
}

/* The history tells of the mode of whom. */
static void heir_log(const struct ap_plan *p)
{
    char reason[AP_REASON_MAX + 1];
    uint32_t mode = AP_MODE_OF(ap_load_relaxed(&ap_swarm_at(p->seg, p->swarm)->mode));

    if (mode == APIARY_READY) return;
    ap_swarm_reason(p->seg, p->swarm, reason);
    ap_event_log_more(p->seg, AP_EVENT_SWARM_MODE, p->r->lane, p->swarm, mode, AP_EVENT_BY(getuid(), p->seg->self.pid), reason,
                      strlen(reason));
}

static void swarm_publish(const struct ap_plan *p)
{
    ap_record_state(ap_swarm_at(p->seg, p->swarm), AP_SWARM_LIVE);
    /* Not those whose worker has died since: their reaper has them, or somebody else by now, whose record does not say our bits. */
    for (size_t i = 0; i < p->r->agent_count; i++)
        p->agents[i].open = ap_queue_open(p->seg, p->r->agents[i].queue, p->r->agents[i].lane) != 0;
    for (size_t i = 0; i < p->r->agent_count; i++)
        for (uint32_t c = 0; c < p->agents[i].count && p->agents[i].open; c++)
            ap_capability_offer(p->seg, p->agents[i].capabilities[c], p->r->agents[i].queue);
    p->r->swarm = p->swarm;
    p->r->service_index = p->service;
    ap_instance_tell(p->seg, p->swarm);
    ap_event_log(p->seg, AP_EVENT_SWARM_REGISTERED, p->r->lane, p->swarm, p->r->member);
    if (p->r->heir_of != NULL && !p->adopted) heir_log(p);
    ap_lanes_changed(p->seg); /* a sweep finds the tasks that wait for a provider */
}

int ap_swarm_register(struct ap_segment *seg, struct ap_swarm_registration *r)
{
    struct ap_plan p = {.seg = seg, .r = r};
    int e;

    p.agents = calloc(r->agent_count + 1, sizeof *p.agents);
    if (p.agents == NULL) return APIARY_ENOBLOCK;
    r->no_room_for_rules = false;
    ap_rules_let_go(seg, r->lane); /* of a thread that had the lane before and ended in the midst of this */
    e = plan_make(&p);
    if (e == 0) e = record_claim(&p);
    if (e == 0) {
        e = service_hold(&p);
        for (size_t i = 0; e == 0 && i < r->agent_count; i++) e = queue_take(&p, i);
        if (e == 0) {
            for (size_t i = 0; i < r->agent_count; i++) agent_fill(&p, i);
            for (size_t i = 0; i < r->agent_count; i++) agent_declare(&p, i);
            swarm_publish(&p);
        } else {
            roll_back(&p);
        }
    }
    ap_rules_let_go(seg, r->lane);
    free(p.agents);
    return e;
}

/* The queue, if it is still the one that was registered. */
static struct ap_queue *own_queue(struct ap_segment *seg, const struct ap_agent_registration *a, uint64_t *ret_life)
{
    struct ap_queue *q = ap_queue_at(seg, a->queue);

    if (q == NULL) return NULL;
    *ret_life = ap_load_acquire(&q->life);
    return AP_QUEUE_STATE(*ret_life) == AP_QUEUE_OPEN && AP_QUEUE_LANE(*ret_life) == a->lane ? q : NULL;
}

/* The record while it is LIVE as that of the registration's lane, which no reaper takes from a living thread; or NULL. */
static struct ap_swarm *swarm_own_record(const struct ap_segment *seg, const struct ap_swarm_registration *r)
{
    struct ap_swarm *s = ap_swarm_at(seg, r->swarm);
    uint64_t life = s != NULL ? ap_load_acquire(&s->life) : 0; /* REG-A1 pairs REG-R1 */

    return AP_SWARM_STATE(life) == AP_SWARM_LIVE && AP_SWARM_LANE(life) == r->lane ? s : NULL;
}

bool ap_swarm_beat(struct ap_segment *seg, const struct ap_swarm_registration *r, uint32_t state, uint64_t stuck)
{
    struct ap_swarm *s = swarm_own_record(seg, r);
    uint64_t now;

    if (s == NULL) return false;
    now = seg->ops->now();
    if (__builtin_expect(ap_health_fails(s, now), 0)) state = APIARY_CRITICAL;
    ap_store_relaxed(&s->state, state);
    ap_store_relaxed(&s->stuck, stuck);
    ap_store_relaxed(&s->beat, now);
    return true;
}

/* ---- adjusted ------------------------------------------------------------------------------------------------- */

static int adjust_plan(struct ap_plan *p)
{
    int e = 0;

    p->agents = calloc(p->r->agent_count + 1, sizeof *p->agents);
    if (p->agents == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; e == 0 && i < p->r->agent_count; i++) e = ap_plan_agent(p, i);
    return e;
}

static bool adjust_same_offers(const struct ap_plan *a, const struct ap_plan *b)
{
    if (a->r->agent_count != b->r->agent_count) return false;
    for (size_t i = 0; i < a->r->agent_count; i++)
        if (strcmp(a->r->agents[i].name, b->r->agents[i].name) != 0 || a->agents[i].count != b->agents[i].count ||
            memcmp(a->agents[i].capabilities, b->agents[i].capabilities, sizeof a->agents[i].capabilities) != 0)
            return false;
    return true;
}

/* Nothing fails from here on. */
static void adjust_store(const struct ap_plan *was, const struct ap_plan *next, uint32_t lane, struct ap_swarm *s)
{
    struct ap_terms_conflicts ignored = {.count = 0}, *told = next->r->conflicts != NULL ? next->r->conflicts : &ignored;
    uint64_t life;

    ap_instance_tell(was->seg, was->r->swarm);
    record_terms(was->seg, s, next->r);
    ap_instance_tell(was->seg, was->r->swarm);
    for (size_t i = 0; i < was->r->agent_count; i++) {
        if (own_queue(was->seg, &was->r->agents[i], &life) == NULL) continue;
        for (uint32_t c = 0; c < was->agents[i].count; c++)
            ap_terms_amend(was->seg, lane, was->r->agents[i].queue, was->agents[i].capabilities[c], was->agents[i].terms[c],
                           next->agents[i].terms[c], told);
    }
    ap_lanes_changed(was->seg); /* a sweep finds the tasks that wait for what they may have now */
}

int ap_swarm_adjust(struct ap_segment *seg, uint32_t lane, struct ap_swarm_registration *r, struct ap_swarm_registration *next)
{
    struct ap_plan was = {.seg = seg, .r = r}, will = {.seg = seg, .r = next};
    struct ap_swarm *s = swarm_own_record(seg, r);
    int e = s != NULL ? adjust_plan(&was) : APIARY_ESTALE;

    if (e == 0) e = adjust_plan(&will);
    if (e == 0 && !adjust_same_offers(&was, &will)) e = APIARY_EINVAL;
    ap_rules_let_go(seg, lane); /* as at registration */
    if (e == 0) e = ap_plan_other_rules(&was, &will, lane);
    if (e == 0) adjust_store(&was, &will, lane, s);
    ap_rules_let_go(seg, lane);
    free(was.agents);
    free(will.agents);
    return e;
}

void ap_swarm_withdraw(struct ap_segment *seg, const struct ap_swarm_registration *r)
{
    struct ap_swarm *s = swarm_own_record(seg, r);
    uint64_t life;

    if (s != NULL && ap_load_relaxed(&s->leaving) == 0) {
        ap_instance_tell(seg, r->swarm);
        ap_store_relaxed(&s->leaving, 1);
        ap_instance_tell(seg, r->swarm);
    }
    for (size_t i = 0; i < r->agent_count; i++)
        if (own_queue(seg, &r->agents[i], &life) != NULL) ap_capability_withdraw_all(seg, r->agents[i].queue);
}

void ap_swarm_close(struct ap_segment *seg, uint32_t self, const struct ap_swarm_registration *r)
{
    uint64_t life;

    ap_swarm_withdraw(seg, r);
    for (size_t i = 0; i < r->agent_count; i++)
        if (own_queue(seg, &r->agents[i], &life) != NULL) ap_queue_close(seg, r->agents[i].queue, life);
    ap_fence_full(); /* TASK-F2 pairs TASK-F1 */
    ap_sweep(seg, self, &ap_registry_hooks);
}

void ap_swarm_deregister(struct ap_segment *seg, uint32_t self, const struct ap_swarm_registration *r)
{
    struct ap_swarm *s = ap_swarm_at(seg, r->swarm);
    uint64_t life;

    ap_swarm_close(seg, self, r);
    if (s == NULL) return;
    life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */
    if (AP_SWARM_STATE(life) != AP_SWARM_LIVE || AP_SWARM_LANE(life) != r->lane) return;
    ap_instance_tell(seg, r->swarm);
    ap_store_relaxed(&s->state, APIARY_DOWN);
    ap_record_state(s, AP_SWARM_DOWN);
    ap_instance_tell(seg, r->swarm);
    ap_event_log(seg, AP_EVENT_SWARM_LEFT, self, r->swarm, r->member);
}
