/* tools/dump/registry.c - what a registry keeps in the segment, as JSON. See dump.h. */
#include <string.h>

#include "core/uring.h"
#include "registry/routing/homes.h"
#include "registry/routing/places.h"
#include "registry/routing/rule_sets.h"
#include "registry/routing/admission.h"
#include "registry/discovery/changes.h"
#include "registry/discovery/discovery.h"
#include "registry/monitor/health.h"
#include "registry/monitor/supervised.h"
#include "registry/routing/terms.h"
#include "registry/client/progress.h"
#include "shm/stream.h"
#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "tools/common/carried.h"
#include "tools/common/common.h"
#include "tools/dump/dump.h"

static void dump_registry_set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static json_t *service_name(const struct ap_segment *seg, uint32_t index)
{
    char name[APIARY_NAME_MAX + 1] = "";

    ap_service_name(seg, index, name);
    return tool_json_text(name);
}

static json_t *services_json(const struct ap_segment *seg)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SERVICES].count; i++) {
        const struct ap_service *s = ap_service_at(seg, i);
        uint32_t state = AP_SERVICE_STATE(ap_load_acquire(&s->life)); /* NAME-A1 pairs NAME-R1 */
        json_t *o;

        if (state == AP_SERVICE_FREE) continue;
        o = json_object();
        dump_registry_set(o, "index", dump_number(i));
        dump_registry_set(o, "name", dump_bytes_json(s->name, sizeof s->name));
        dump_registry_set(o, "ready", json_boolean(state == AP_SERVICE_READY));
        dump_registry_set(o, "delegations", dump_number(ap_tickets_busy(seg, i)));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *swarm_json(const struct dump *d, uint32_t index, uint64_t life)
{
    static const char *const lives[] = {"free", "claimed", "live", "down"};
    const struct ap_swarm *s = ap_swarm_at(&d->seg, index);
    uint32_t lane = AP_SWARM_LANE(life), member = ap_load_relaxed(&s->member);
    /* One that was killed did not say so. */
    uint32_t state = AP_SWARM_STATE(life) == AP_SWARM_DOWN ? APIARY_DOWN : ap_load_relaxed(&s->state);
    struct ap_member m;
    char text[24], time[32], reason[AP_REASON_MAX + 1], found[AP_FOUND_MAX + 1];
    json_t *o = json_object();

    dump_registry_set(o, "index", dump_number(index));
    dump_registry_set(o, "service", service_name(&d->seg, ap_load_relaxed(&s->service)));
    dump_registry_set(o, "instance", dump_bytes_json(s->instance, sizeof s->instance));
    dump_registry_set(o, "version", dump_bytes_json(s->version, sizeof s->version));
    dump_registry_set(o, "life", json_string(dump_enum(lives, 4, AP_SWARM_STATE(life), text)));
    dump_registry_set(o, "epoch", dump_number(AP_SWARM_EPOCH(life)));
    dump_registry_set(o, "owner", json_string(ap_lane_dead(&d->seg, lane)    ? "dead"
                                              : ap_lane_alive(&d->seg, lane) ? "alive" : "none"));
    dump_registry_set(o, "state", json_string(tool_state_name((int)state)));
    dump_registry_set(o, "leaving", json_boolean(ap_load_relaxed(&s->leaving) != 0));
    dump_registry_set(o, "mode", json_string(tool_mode_name((int)AP_MODE_OF(ap_load_relaxed(&s->mode)))));
    dump_registry_set(o, "lane", dump_number(lane));
    dump_registry_set(o, "member", dump_number(member));
    /* Of a swarm that is down the member has gone, and its record may be another's. */
    dump_registry_set(o, "pid", AP_SWARM_STATE(life) == AP_SWARM_LIVE && ap_member_read(&d->seg, member, &m) ? json_integer(m.pid)
                                                                                                             : json_null());
    dump_registry_set(o, "port", dump_number(ap_load_relaxed(&s->port)));
    dump_registry_set(o, "park", json_string(ap_park_name(ap_load_relaxed(&s->park))));
    dump_registry_set(o, "max_delegations", dump_number(ap_load_relaxed(&s->max_delegations)));
    dump_registry_set(o, "registered", json_string(tool_format_time(ap_load_relaxed(&s->registered), time)));
    dump_registry_set(o, "beat_age", dump_age(d, ap_load_relaxed(&s->beat)));
    dump_registry_set(o, "delegations_waited", dump_number(ap_load_relaxed(&s->waited)));
    dump_registry_set(o, "health_endpoint", dump_bytes_json(s->health_endpoint, sizeof s->health_endpoint));
    dump_registry_set(o, "metrics_endpoint", dump_bytes_json(s->metrics_endpoint, sizeof s->metrics_endpoint));
    dump_registry_set(o, "tags", dump_bytes_json(s->tags, sizeof s->tags));
    ap_swarm_reason(&d->seg, index, reason);
    dump_registry_set(o, "reason", json_string(reason));
    dump_registry_set(o, "stuck_age", ap_load_relaxed(&s->stuck) != 0 ? dump_age(d, ap_load_relaxed(&s->stuck)) : json_null());
    dump_registry_set(o, "found", dump_number(ap_health_read(s, found)));
    dump_registry_set(o, "found_why", json_string(found));
    return o;
}

static json_t *swarms_json(const struct dump *d)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < d->seg.sections[AP_SECTION_SWARMS].count; i++) {
        uint64_t life = ap_load_acquire(&ap_swarm_at(&d->seg, i)->life); /* REG-A1 pairs REG-R1 */
        if (AP_SWARM_STATE(life) != AP_SWARM_FREE) json_array_append_new(list, swarm_json(d, i, life));
    }
    return list;
}

static json_t *dump_registry_provider_json(const struct ap_segment *seg, uint32_t queue)
{
    const struct ap_agent_record *agent = ap_agent_at(seg, queue);
    const struct ap_queue *q = ap_queue_at(seg, queue);
    const struct ap_swarm *swarm = agent != NULL ? ap_swarm_at(seg, ap_load_relaxed(&agent->swarm)) : NULL;
    uint64_t life = q != NULL ? ap_load_acquire(&q->life) : 0;
    json_t *o = json_object();

    dump_registry_set(o, "queue", dump_number(queue));
    dump_registry_set(o, "agent", agent != NULL ? dump_bytes_json(agent->name, sizeof agent->name) : json_null());
    dump_registry_set(o, "service", swarm != NULL ? service_name(seg, ap_load_relaxed(&swarm->service)) : json_null());
    dump_registry_set(o, "instance", swarm != NULL ? dump_bytes_json(swarm->instance, sizeof swarm->instance) : json_null());
    dump_registry_set(o, "alive", json_boolean(AP_QUEUE_STATE(life) == AP_QUEUE_OPEN && ap_lane_alive(seg, AP_QUEUE_LANE(life))));
    return o;
}

static json_t *capabilities_json(const struct ap_segment *seg)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->sections[AP_SECTION_CAPABILITIES].count; i++) {
        struct ap_capability *c = ap_capability_at(seg, i);
        json_t *o, *providers;

        if (ap_load_acquire(&c->key) == 0) continue; /* DISC-A1 pairs DISC-R1 */
        o = json_object();
        providers = json_array();
        dump_registry_set(o, "index", dump_number(i));
        dump_registry_set(o, "name", dump_bytes_json(ap_capability_text(seg, c), APIARY_CAPABILITY_MAX + 1));
        dump_registry_set(o, "ready", json_boolean(ap_load_relaxed(&c->ready) == 1));
        for (int q = ap_capability_next(seg, i, 0); q >= 0; q = ap_capability_next(seg, i, (uint32_t)q + 1))
            json_array_append_new(providers, dump_registry_provider_json(seg, (uint32_t)q));
        dump_registry_set(o, "providers", providers);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *supervised_row(const struct dump *d, uint32_t index, const struct ap_supervised_view *v)
{
    static const char *const states[] = {"none",     "starting", "running", "passing",
                                         "waiting", "given up", "leaving", "stopped", "held"};
    static const char *const ends[] = {"none", "code", "signal", "no start"};
    uint32_t lane = AP_SUPERVISED_LANE(ap_load_relaxed(&ap_supervised_at(&d->seg, index)->life));
    const struct ap_supervision *r = &v->last;
    char text[24], time[32];
    json_t *o = json_object();

    dump_registry_set(o, "index", dump_number(index));
    dump_registry_set(o, "service", tool_json_text(v->service));
    dump_registry_set(o, "instance", dump_number(r->instance));
    dump_registry_set(o, "supervisor", json_integer(v->supervisor));
    dump_registry_set(o, "owner", json_string(ap_lane_dead(&d->seg, lane) ? "dead" : v->supervised ? "alive" : "none"));
    dump_registry_set(o, "held", json_string(tool_format_time(v->held, time)));
    dump_registry_set(o, "left", v->left != 0 ? json_string(tool_format_time(v->left, time)) : json_null());
    dump_registry_set(o, "state", json_string(dump_enum(states, 9, r->state, text)));
    dump_registry_set(o, "changed", json_string(tool_format_time(r->changed, time)));
    dump_registry_set(o, "pid", json_integer(r->pid));
    dump_registry_set(o, "starts", dump_number(r->starts));
    dump_registry_set(o, "ends", dump_number(r->ends));
    dump_registry_set(o, "end", json_string(dump_enum(ends, 4, r->end, text)));
    dump_registry_set(o, "code", dump_number(r->code));
    dump_registry_set(o, "stage", dump_number(r->stage));
    dump_registry_set(o, "ended", r->ended != 0 ? json_string(tool_format_time(r->ended, time)) : json_null());
    dump_registry_set(o, "due", dump_number(r->due));
    dump_registry_set(o, "said_size", dump_number(r->said_size));
    dump_registry_set(o, "said", tool_json_text(r->said));
    return o;
}

static json_t *supervised_json(const struct dump *d)
{
    json_t *list = json_array();
    struct ap_supervised_view v;

    for (uint32_t i = 0; i < d->seg.sections[AP_SECTION_SUPERVISED].count; i++)
        if (ap_supervised_read(&d->seg, i, &v)) json_array_append_new(list, supervised_row(d, i, &v));
    return list;
}

/* ---- parts ---------------------------------------------------------------------------------------------------- */

/* Each service with the tickets of its that are busy. */
void dump_part_services(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options;
    dump_registry_set(whole, "services", d->registry ? services_json(&d->seg) : json_array());
}

void dump_part_tickets(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)d, (void)options, (void)whole; /* with the services */
}

void dump_part_swarms(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options;
    dump_registry_set(whole, "swarms", d->registry ? swarms_json(d) : json_array());
}

void dump_part_agents(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)d, (void)options, (void)whole; /* with the queues, which have the same numbers */
}

void dump_part_capabilities(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options;
    dump_registry_set(whole, "capabilities", d->registry ? capabilities_json(&d->seg) : json_array());
}

void dump_part_supervised(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options;
    dump_registry_set(whole, "supervised", d->registry ? supervised_json(d) : json_array());
}

static json_t *carried_json(const struct ap_segment *seg)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->sections[AP_SECTION_CARRIED].count; i++) {
        struct ap_carried row;
        const struct ap_slot *slot = ap_slot_at(seg, i);
        uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A2 pairs TASK-R2 */
        apiary_task_t task = ap_task_id(seg, i, AP_WORD_GENERATION(word));
        json_t *o;

        if (AP_WORD_STATE(word) <= AP_TASK_RESERVED || !ap_carried_read(seg, task, &row)) continue;
        o = tool_carried_json(&row);
        dump_registry_set(o, "slot", json_integer(i));
        dump_registry_set(o, "generation", dump_number(row.generation));
        json_array_append_new(list, o);
    }
    return list;
}

void dump_part_kept(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    static const char *const states[] = {"free", "filling", "promised", "kept"};
    json_t *list = json_array();

    (void)options;
    for (uint32_t i = 0; d->registry && i < d->seg.sections[AP_SECTION_KEPT].count; i++) {
        const struct ap_kept *k = ap_kept_at(&d->seg, i);
        uint64_t life = ap_load_acquire(&k->life); /* KEPT-A1 pairs KEPT-R1 */
        json_t *o;
        char id[48];

        if (AP_KEPT_STATE(life) == AP_KEPT_FREE) continue;
        o = json_object();
        tool_format_task((apiary_task_t){ap_load_relaxed(&k->slot), ap_load_relaxed(&k->epoch), ap_load_relaxed(&k->generation)},
                         id);
        dump_registry_set(o, "row", json_integer(i));
        dump_registry_set(o, "state", json_string(AP_KEPT_STATE(life) <= AP_KEPT_KEPT ? states[AP_KEPT_STATE(life)] : "invalid"));
        dump_registry_set(o, "task", json_string(id));
        dump_registry_set(o, "keep", dump_number(ap_load_relaxed(&k->keep)));
        dump_registry_set(o, "until", dump_number(ap_load_relaxed(&k->until)));
        dump_registry_set(o, "code", json_integer(ap_load_relaxed(&k->code)));
        dump_registry_set(o, "result", dump_number(ap_load_relaxed(&k->result)));
        dump_registry_set(o, "result_size", json_integer(ap_load_relaxed(&k->size)));
        json_array_append_new(list, o);
    }
    dump_registry_set(whole, "kept", list);
}

void dump_part_dead(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_t *list = json_array();

    (void)options;
    for (uint32_t i = 0; d->registry && i < d->seg.sections[AP_SECTION_DEAD].count; i++) {
        struct ap_dead row;
        json_t *o;
        char id[48];

        if (!ap_dead_read(&d->seg, i, &row)) continue;
        o = json_object();
        tool_format_task((apiary_task_t){row.slot, row.epoch, row.generation}, id);
        dump_registry_set(o, "row", json_integer(i));
        dump_registry_set(o, "number", dump_number(row.number));
        dump_registry_set(o, "task", json_string(id));
        dump_registry_set(o, "capability", json_integer(row.capability));
        dump_registry_set(o, "cause", json_integer(row.cause));
        dump_registry_set(o, "starts", json_integer(row.starts));
        dump_registry_set(o, "crashes", json_integer(row.crashes));
        dump_registry_set(o, "service", dump_bytes_json(row.service, sizeof row.service));
        dump_registry_set(o, "agent", dump_bytes_json(row.agent, sizeof row.agent));
        dump_registry_set(o, "body", dump_number(row.body));
        dump_registry_set(o, "body_size", json_integer(row.body_size));
        json_array_append_new(list, o);
    }
    dump_registry_set(whole, "dead", list);
}

/* Of the tasks that there are. */
static json_t *progress_json(const struct ap_segment *seg)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        const struct ap_slot *slot = ap_slot_at(seg, i);
        uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A2 pairs TASK-R2 */
        struct ap_progress_view v;
        json_t *o;

        if (AP_WORD_STATE(word) <= AP_TASK_RESERVED || !ap_progress_read(seg, ap_task_id(seg, i, AP_WORD_GENERATION(word)), &v))
            continue;
        o = json_object();
        dump_registry_set(o, "slot", json_integer(i));
        dump_registry_set(o, "beats", dump_number(v.beats));
        dump_registry_set(o, "at", dump_number(v.at));
        dump_registry_set(o, "text", dump_bytes_json(v.text, sizeof v.text));
        json_array_append_new(list, o);
    }
    return list;
}

void dump_part_progress(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    if (options->tasks) dump_registry_set(whole, "progress", d->registry ? progress_json(&d->seg) : json_array());
}

static json_t *streams_json(const struct ap_segment *seg)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        const struct ap_slot *slot = ap_slot_at(seg, i);
        uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A2 pairs TASK-R2 */
        struct ap_stream_view v;
        json_t *o;

        if (AP_WORD_STATE(word) <= AP_TASK_RESERVED || !ap_stream_look(seg, ap_task_id(seg, i, AP_WORD_GENERATION(word)), &v))
            continue;
        o = json_object();
        dump_registry_set(o, "slot", json_integer(i));
        dump_registry_set(o, "attempt", json_integer(v.attempt));
        dump_registry_set(o, "sent", dump_number(v.sent));
        dump_registry_set(o, "unread", dump_number(v.unread));
        dump_registry_set(o, "bytes", dump_number(v.bytes));
        dump_registry_set(o, "window", dump_number(v.capacity));
        dump_registry_set(o, "wants", dump_number(v.wants));
        json_array_append_new(list, o);
    }
    return list;
}

/* Parts sent, and how often a part found no room, over the life of the segment; and the tasks that have sent some. */
void dump_part_streams(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    uint64_t sent = 0, waits = 0;
    json_t *o = json_object();

    for (uint64_t i = 0; i < d->seg.sections[AP_SECTION_STREAMS].count; i++) {
        const struct ap_stream *at = ap_stream_at(&d->seg, i);

        sent += at != NULL ? ap_load_relaxed(&at->sent) : 0;
        waits += at != NULL ? ap_load_relaxed(&at->waits) : 0;
    }
    dump_registry_set(o, "sent", dump_number(sent));
    dump_registry_set(o, "waits", dump_number(waits));
    if (options->tasks) dump_registry_set(o, "tasks", streams_json(&d->seg));
    dump_registry_set(whole, "parts", o);
}

void dump_part_carried(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    if (options->tasks) dump_registry_set(whole, "carried", d->registry ? carried_json(&d->seg) : json_array());
}

/* A word that is out of range is none: the checkers tell of it. */
static json_t *terms_json(const struct ap_segment *seg)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->sections[AP_SECTION_TERMS].count; i++) {
        struct ap_capability *c = ap_capability_at(seg, i);
        json_t *o = json_object();

        for (uint32_t t = 0; t < AP_TERMS && c != NULL && ap_load_relaxed(&c->terms) != 0; t++) {
            uint64_t value;
            char text[48];

            if (!ap_term_read(seg, i, t, &value)) continue;
            ap_term_print(t, value, text, sizeof text);
            dump_registry_set(o, ap_term_rows[t].key, json_string(text));
        }
        if (json_object_size(o) > 0) {
            dump_registry_set(o, "capability", dump_bytes_json(ap_capability_text(seg, c), APIARY_CAPABILITY_MAX + 1));
            dump_registry_set(o, "index", dump_number(i));
            json_array_append(list, o);
        }
        json_decref(o);
    }
    return list;
}

/* Of the capabilities of which so many may run at once; a lane that is gone has none. */
void dump_part_places(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_t *list = json_array();

    (void)options;
    for (uint32_t i = 0; d->registry && i < d->seg.sections[AP_SECTION_PLACES].count; i++) {
        struct ap_capability *c = ap_capability_at(&d->seg, i);
        json_t *o;

        if (c == NULL || ap_places_bound(&d->seg, i) == 0) continue;
        o = json_object();
        dump_registry_set(o, "capability", dump_bytes_json(ap_capability_text(&d->seg, c), APIARY_CAPABILITY_MAX + 1));
        dump_registry_set(o, "index", dump_number(i));
        dump_registry_set(o, "concurrency", dump_number(ap_places_bound(&d->seg, i)));
        dump_registry_set(o, "taken", dump_number(ap_places_taken(&d->seg, i)));
        dump_registry_set(o, "waited", dump_number(ap_places_waited(&d->seg, i)));
        json_array_append(list, o);
        json_decref(o);
    }
    dump_registry_set(whole, "places", list);
}

/* A home as the provider that it names: with `serves`, whether that has the queue still. */
static json_t *home_json(const struct ap_segment *seg, uint32_t share, uint64_t word)
{
    const struct ap_queue *q = ap_queue_at(seg, AP_PROVIDER_QUEUE(word));
    uint64_t life = q != NULL ? ap_load_relaxed(&q->life) : 0;
    json_t *o = json_object();

    dump_registry_set(o, "share", dump_number(share));
    dump_registry_set(o, "queue", dump_number(AP_PROVIDER_QUEUE(word)));
    dump_registry_set(o, "serves", json_boolean(AP_QUEUE_STATE(life) == AP_QUEUE_OPEN &&
                                                AP_PROVIDER(AP_PROVIDER_QUEUE(word), life) == word));
    return o;
}

/* Where the state of stateful capabilities is: a row for what is offered together, under the first of it. */
void dump_part_homes(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_t *list = json_array();

    (void)options;
    for (uint32_t i = 0; d->registry && i < d->seg.sections[AP_SECTION_HOMES].count; i++) {
        struct ap_capability *c = ap_capability_at(&d->seg, i);
        struct ap_homes *row = ap_homes_at(&d->seg, i);
        json_t *o, *homes = json_array();

        for (uint32_t k = 0; c != NULL && row != NULL && k < AP_HOMES; k++) {
            uint64_t word = ap_load_relaxed(&row->of[k]);

            if (word != 0) json_array_append_new(homes, home_json(&d->seg, k, word));
        }
        if (json_array_size(homes) > 0) {
            o = json_object();
            dump_registry_set(o, "capability", dump_bytes_json(ap_capability_text(&d->seg, c), APIARY_CAPABILITY_MAX + 1));
            dump_registry_set(o, "index", dump_number(i));
            dump_registry_set(o, "homes", json_incref(homes));
            json_array_append_new(list, o);
        }
        json_decref(homes);
    }
    dump_registry_set(whole, "homes", list);
}

/* Of the capabilities that have declared some. */
void dump_part_terms(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options;
    dump_registry_set(whole, "terms", d->registry ? terms_json(&d->seg) : json_array());
}

static json_t *rules_json(const struct ap_segment *seg)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->sections[AP_SECTION_RULES].count; i++) {
        struct ap_rules rules;
        uint64_t set;
        json_t *o, *texts;

        if (!ap_rule_set_in(seg, i, &set) || !ap_rules_read(seg, set, &rules)) continue;
        o = json_object();
        texts = json_array();
        for (uint32_t k = 0; k < rules.count; k++) {
            char text[160];

            ap_rule_print(&rules.list[k], text, sizeof text);
            json_array_append_new(texts, json_string(text));
        }
        dump_registry_set(o, "set", dump_number(i));
        dump_registry_set(o, "rules", texts);
        json_array_append_new(list, o);
    }
    return list;
}

void dump_part_rules(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options;
    dump_registry_set(whole, "rules", d->registry ? rules_json(&d->seg) : json_array());
}

void dump_part_rule_holds(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    /* Sets that the living are about to declare are nobody's matter, and those that the dead held do not count. */
    (void)d, (void)options, (void)whole;
}

/* The changes that the log still has, oldest first. */
void dump_part_instances(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    static const char *const states[] = {"none", "live", "left", "died"};
    uint64_t head = d->registry ? ap_instance_changes(&d->seg) : 0;
    uint64_t count = d->registry ? d->seg.sections[AP_SECTION_INSTANCES].count : 0, word;
    json_t *list = json_array(), *o;

    (void)options;
    for (uint64_t number = head > count ? head - count : 0; number < head; number++) {
        if (ap_instance_change_read(&d->seg, number, &word) < 0) continue;
        o = json_object();
        dump_registry_set(o, "revision", dump_number(number + 1));
        dump_registry_set(o, "swarm", dump_number(AP_TOLD_SWARM(word)));
        dump_registry_set(o, "epoch", dump_number(AP_TOLD_EPOCH(word)));
        dump_registry_set(o, "is", json_string(states[AP_TOLD_STATE(word)]));
        dump_registry_set(o, "mode", json_string(tool_mode_name((int)AP_TOLD_MODE(word))));
        dump_registry_set(o, "weight", dump_number(AP_TOLD_WEIGHT(word)));
        json_array_append_new(list, o);
    }
    json_object_set_new(whole, "instance_changes", list);
}
