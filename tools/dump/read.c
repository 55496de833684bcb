/* tools/dump/read.c - a segment as JSON: header, members, lanes, queues, tasks, pool, events. See dump.h.
 *
 * Words are loaded once; an index found in the segment is only ever passed to ap_at, which checks it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "registry/discovery/discovery.h"
#include "registry/routing/admission.h"
#include "registry/routing/terms.h"
#include "tools/common/common.h"
#include "tools/dump/dump.h"

/* ---- values --------------------------------------------------------------------------------------------------- */

json_t *dump_number(uint64_t n)
{
    return n <= INT64_MAX ? json_integer((json_int_t)n) : dump_hex(n);
}

json_t *dump_hex(uint64_t n)
{
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, n);
    return json_string(text);
}

json_t *dump_bytes_json(const char *at, size_t size)
{
    char copy[129];
    size_t n = 0;

    for (; n < size && n < sizeof copy - 1; n++) {
        copy[n] = ap_load_relaxed(&at[n]);
        if (copy[n] == '\0') break;
    }
    copy[n] = '\0';
    return tool_json_text(copy);
}

json_t *dump_age(const struct dump *d, uint64_t stamp)
{
    struct ap_report report = {.found = NULL};
    struct ap_look look = {.seg = &d->seg, .report = &report};
    uint64_t now = ap_look_now(&look);

    return now == UINT64_MAX || stamp == 0 || stamp > now ? json_null() : dump_number(now - stamp);
}

const char *dump_enum(const char *const *names, size_t count, uint32_t value, char ret[24])
{
    if (value < count && names[value] != NULL) return names[value];
    snprintf(ret, 24, "invalid(%u)", value);
    return ret;
}

static json_t *enumerated(const char *const *names, size_t count, uint32_t value)
{
    char text[24];
    return json_string(dump_enum(names, count, value, text));
}
#define ENUM(names, value) enumerated(names, sizeof names / sizeof names[0], value)

static void dump_read_set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

/* ---- header --------------------------------------------------------------------------------------------------- */

static json_t *time_json(uint64_t realtime)
{
    char text[32];
    return json_string(tool_format_time(realtime, text));
}

/* Of the process whose thread this is, null when none has a lane. */
static json_t *thread_pid(const struct dump *d, uint32_t thread)
{
    for (uint32_t i = 0; thread != 0 && ap_lane_at(&d->seg, i) != NULL; i++) {
        const struct ap_lane *lane = ap_lane_at(&d->seg, i);
        if (AP_LIFE_STATE(ap_load_acquire(&lane->life)) == AP_LIFE_LIVE && ap_load_relaxed(&lane->tid) == thread)
            return json_integer(ap_load_relaxed(&lane->pid));
    }
    return json_null();
}

static json_t *role_json(const struct dump *d)
{
    const struct ap_header *h = d->seg.header;
    uint64_t watched = ap_load_relaxed(&h->watched);
    uint32_t word = ap_load_acquire(ap_robust_word(&h->role));
    json_t *role = json_object();

    dump_read_set(role, "word", dump_hex(word));
    dump_read_set(role, "thread", dump_number(word & 0x3fffffff));
    dump_read_set(role, "pid", thread_pid(d, word & 0x3fffffff));
    dump_read_set(role, "dead", json_boolean((word & 0x40000000) != 0));
    dump_read_set(role, "watching_lane", dump_number(AP_WATCHED_LANE(watched)));
    dump_read_set(role, "beat_age", dump_age(d, AP_WATCHED_AT(watched) * 1000000));
    return role;
}

static json_t *header_json(const struct dump *d)
{
    static const char *const states[] = {[AP_SEGMENT_CREATING] = "creating", [AP_SEGMENT_READY] = "ready"};
    const struct ap_header *h = d->seg.header;
    json_t *o = json_object();
    char boot[33] = "";

    for (unsigned i = 0; i < sizeof h->boot_id; i++) snprintf(boot + 2 * i, 3, "%02x", h->boot_id[i]);
    dump_read_set(o, "name", dump_bytes_json(h->name, sizeof h->name));
    dump_read_set(o, "magic", dump_bytes_json(h->magic, sizeof h->magic));
    dump_read_set(o, "version", dump_number(ap_load_relaxed(&h->version)));
    dump_read_set(o, "version_min", dump_number(ap_load_relaxed(&h->version_min)));
    dump_read_set(o, "fingerprint", dump_hex(ap_load_relaxed(&h->fingerprint)));
    dump_read_set(o, "fingerprint_known", json_boolean(ap_load_relaxed(&h->fingerprint) == d->seg.fingerprint));
    dump_read_set(o, "size", dump_number(ap_load_relaxed(&h->size)));
    dump_read_set(o, "state", ENUM(states, ap_load_acquire(&h->state)));
    dump_read_set(o, "creator_pid", json_integer(ap_load_relaxed(&h->creator_pid)));
    dump_read_set(o, "creator_start", dump_number(ap_load_relaxed(&h->creator_start)));
    dump_read_set(o, "creator_namespace", dump_number(ap_load_relaxed(&h->creator_namespace)));
    dump_read_set(o, "created", time_json(ap_load_relaxed(&h->created_realtime)));
    dump_read_set(o, "age", dump_age(d, ap_load_relaxed(&h->created_monotonic)));
    dump_read_set(o, "boot_id", json_string(boot));
    dump_read_set(o, "rescan", dump_number(ap_load_relaxed(&h->rescan)));
    dump_read_set(o, "lanes_changed", dump_number(ap_load_relaxed(&h->lanes_changed)));
    dump_read_set(o, "time_namespace", dump_number(ap_load_relaxed(&h->time_namespace.inode)));
    dump_read_set(o, "clock_shift_ns", d->untimed ? json_null() : json_integer(ap_ops_shift(d->seg.ops)));
    dump_read_set(o, "images", dump_number(ap_load_relaxed(&h->images)));
    dump_read_set(o, "tapped_until", dump_number(ap_load_relaxed(&h->tap)));
    dump_read_set(o, "due", dump_number(ap_load_relaxed(&h->due)));
    dump_read_set(o, "event_next", dump_number(ap_load_relaxed(&h->event_next)));
    dump_read_set(o, "results_forgotten", dump_number(ap_load_relaxed(&h->forgotten)));
    dump_read_set(o, "monitor", role_json(d));
    return o;
}

struct numbers {
    const struct ap_geometry *g;
    json_t *whole;
};

static int number_json(void *user, const struct ap_number *n)
{
    const struct numbers *to = user;
    json_t *map = n->group != NULL ? json_object_get(to->whole, n->group) : to->whole;

    if (map == NULL) {
        map = json_object();
        dump_read_set(to->whole, n->group, map);
    }
    dump_read_set(map, n->key, dump_number((uint64_t)ap_number_of(to->g, n) * (n->milliseconds ? 1000000 : 1)));
    return 0;
}

static json_t *geometry_json(const struct ap_geometry *g)
{
    struct numbers to = {g, json_object()};

    ap_numbers_each(&ap_registry_parts, number_json, &to);
    dump_read_set(to.whole, "task_timeout", dump_number(g->task_timeout));
    return to.whole;
}

static json_t *sections_json(const struct ap_segment *seg)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->section_count && i < AP_SECTIONS_MAX; i++) {
        const struct ap_section *s = &seg->sections[i];
        json_t *o = json_object();

        dump_read_set(o, "index", dump_number(i));
        dump_read_set(o, "name", dump_bytes_json(s->name, sizeof s->name));
        dump_read_set(o, "offset", dump_number(s->offset));
        dump_read_set(o, "stride", dump_number(s->stride));
        dump_read_set(o, "count", dump_number(s->count));
        json_array_append_new(list, o);
    }
    return list;
}

/* ---- members, lanes ------------------------------------------------------------------------------------------- */

static const char *const lives[] = {"free", "live", "dead", "claimed", "judged"};

static const char *life_of(const struct ap_segment *seg, uint32_t lane)
{
    if (ap_lane_dead(seg, lane)) return "dead";
    return ap_lane_alive(seg, lane) ? "alive" : "none";
}

/* A member that is not LIVE is shown with its life only: the other fields are a former member's, or half the next one's. */
static bool member_copy(const struct ap_segment *seg, uint32_t index, struct ap_member *ret)
{
    uint64_t life = ap_load_acquire(&ap_member_at(seg, index)->life);

    if (AP_MEMBER_STATE(life) == AP_LIFE_LIVE) return ap_member_read(seg, index, ret);
    memset(ret, 0, sizeof *ret);
    ret->life = life;
    return true;
}

static json_t *members_json(const struct ap_segment *seg)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->geometry.members; i++) {
        struct ap_member m;
        uint64_t life;
        json_t *o;

        if (!member_copy(seg, i, &m) || AP_MEMBER_STATE(m.life) == AP_LIFE_FREE) continue;
        life = m.life;
        o = json_object();
        dump_read_set(o, "index", dump_number(i));
        dump_read_set(o, "state", ENUM(lives, AP_MEMBER_STATE(life)));
        dump_read_set(o, "owner", json_string(life_of(seg, AP_MEMBER_LANE(life))));
        dump_read_set(o, "epoch", dump_number(AP_MEMBER_EPOCH(life)));
        dump_read_set(o, "lane", dump_number(AP_MEMBER_LANE(life)));
        dump_read_set(o, "pid", json_integer(m.pid));
        dump_read_set(o, "start_time", dump_number(m.start_time));
        dump_read_set(o, "pid_namespace", dump_number(m.pid_namespace));
        dump_read_set(o, "kind", json_string(tool_member_kind_name((int)m.kind)));
        dump_read_set(o, "name", dump_bytes_json(m.name, sizeof m.name));
        dump_read_set(o, "swarm", dump_bytes_json(m.swarm, sizeof m.swarm));
        dump_read_set(o, "attached", time_json(m.attached));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *hands_json(const struct ap_lane *lane)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < AP_HANDS; i++) {
        uint64_t hand = ap_load_relaxed(&lane->hand[i]);
        json_t *o;

        if (hand == 0) continue;
        o = json_object();
        dump_read_set(o, "slot", dump_number(AP_REF_SLOT(hand)));
        dump_read_set(o, "generation", dump_number(AP_REF_GENERATION(hand)));
        json_array_append_new(list, o);
    }
    return list;
}

/* Whose code its thread runs. */
static json_t *inside_json(uint64_t inside)
{
    json_t *o;

    if (inside == 0) return json_null();
    o = json_object();
    if ((inside & AP_INSIDE_IS_AGENT) != 0) {
        dump_read_set(o, "queue", dump_number(AP_INSIDE_QUEUE(inside)));
        return o;
    }
    dump_read_set(o, "slot", dump_number(AP_REF_SLOT(inside)));
    dump_read_set(o, "generation", dump_number(AP_REF_GENERATION(inside)));
    return o;
}

static json_t *crash_json(uint32_t crash)
{
    const char *name = crash != 0 && crash < AP_CRASH_SIGNALS ? sigabbrev_np((int)crash) : NULL;

    if (crash == 0) return json_null();
    if (crash == AP_CRASH_EXIT) return json_string("exit");
    if (crash == AP_CRASH_THREAD) return json_string("pthread_exit");
    if (crash == AP_CRASH_EXEC) return json_string("exec");
    return name != NULL ? json_string(name) : dump_number(crash);
}

static json_t *lanes_json(const struct dump *d)
{
    static const char *const kinds[] = {[AP_LANE_THREAD] = "thread", [AP_LANE_SHARED] = "shared"};
    const struct ap_segment *seg = &d->seg;
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        const struct ap_lane *lane = ap_lane_at(seg, i);
        uint64_t life = ap_load_acquire(&lane->life); /* LANE-A1 pairs LANE-R1 */
        json_t *o;

        if (AP_LIFE_STATE(life) == AP_LIFE_FREE) continue;
        o = json_object();
        dump_read_set(o, "index", dump_number(i));
        dump_read_set(o, "state", ENUM(lives, AP_LIFE_STATE(life)));
        dump_read_set(o, "owner", json_string(life_of(seg, i)));
        dump_read_set(o, "epoch", dump_number(AP_LIFE_EPOCH(life)));
        dump_read_set(o, "kind", ENUM(kinds, ap_load_relaxed(&lane->kind)));
        dump_read_set(o, "member", dump_number(ap_load_relaxed(&lane->member)));
        dump_read_set(o, "thread", dump_number(ap_load_relaxed(&lane->tid)));
        dump_read_set(o, "image", dump_number(ap_load_relaxed(&lane->image)));
        dump_read_set(o, "judge", dump_number(ap_load_relaxed(&lane->judge)));
        dump_read_set(o, "lock_word", dump_hex(ap_load_relaxed(ap_robust_word(&lane->mutex))));
        dump_read_set(o, "age", dump_age(d, ap_load_relaxed(&lane->joined)));
        dump_read_set(o, "may_sleep", json_boolean((ap_load_relaxed(&lane->bell) & 1) != 0));
        dump_read_set(o, "hands", hands_json(lane));
        dump_read_set(o, "inside", inside_json(ap_load_relaxed(&lane->inside)));
        dump_read_set(o, "crash", crash_json(ap_load_relaxed(&lane->crash)));
        json_array_append_new(list, o);
    }
    return list;
}

/* ---- queues --------------------------------------------------------------------------------------------------- */

static json_t *rings_json(const struct ap_segment *seg, uint32_t queue)
{
    json_t *list = json_array();

    for (uint32_t r = 0; r <= seg->geometry.queue_inlets; r++) {
        const struct ap_ring *ring = ap_ring_at(seg, queue, r);
        uint64_t lease, head, tail;
        json_t *o;

        if (ring == NULL) break;
        lease = ap_load_acquire(&ring->lease);
        head = ap_load_acquire(&ring->head);
        tail = ap_load_acquire(&ring->tail);
        if (lease == 0 && (int64_t)(tail - head) <= 0) continue;
        o = json_object();
        dump_read_set(o, "ring", dump_number(r));
        dump_read_set(o, "shared", json_boolean(r == seg->geometry.queue_inlets));
        dump_read_set(o, "lane", lease != 0 ? dump_number((lease & 0xffff) - 1) : json_null());
        dump_read_set(o, "epoch", dump_number(lease >> 16));
        dump_read_set(o, "head", dump_number(head));
        dump_read_set(o, "tail", dump_number(tail));
        json_array_append_new(list, o);
    }
    return list;
}

static void queue_agent(const struct dump *d, uint32_t queue, json_t *o)
{
    const struct ap_agent_record *agent = d->registry ? ap_agent_at(&d->seg, queue) : NULL;
    const struct ap_swarm *swarm = agent != NULL ? ap_swarm_at(&d->seg, ap_load_relaxed(&agent->swarm)) : NULL;
    char service[APIARY_NAME_MAX + 1] = "";

    if (swarm != NULL) ap_service_name(&d->seg, ap_load_relaxed(&swarm->service), service);
    dump_read_set(o, "agent", agent != NULL ? dump_bytes_json(agent->name, sizeof agent->name) : json_null());
    dump_read_set(o, "service", tool_json_text(service));
    dump_read_set(o, "swarm", agent != NULL ? dump_number(ap_load_relaxed(&agent->swarm)) : json_null());
}

static json_t *queues_json(const struct dump *d)
{
    static const char *const states[] = {"free", "claimed", "open", "closed"};
    const struct ap_segment *seg = &d->seg;
    json_t *list = json_array();

    for (uint32_t i = 0; i < seg->geometry.queues; i++) {
        const struct ap_queue *q = ap_queue_at(seg, i);
        uint64_t life = ap_load_acquire(&q->life);
        uint32_t state = AP_QUEUE_STATE(life);
        bool owned = state == AP_QUEUE_CLAIMED || state == AP_QUEUE_OPEN;
        json_t *o;

        if (state == AP_QUEUE_FREE) continue;
        o = json_object();
        dump_read_set(o, "index", dump_number(i));
        dump_read_set(o, "state", ENUM(states, state));
        dump_read_set(o, "epoch", dump_number(AP_QUEUE_EPOCH(life)));
        dump_read_set(o, "lane", owned ? dump_number(AP_QUEUE_LANE(life)) : json_null());
        dump_read_set(o, "owner", json_string(owned ? life_of(seg, AP_QUEUE_LANE(life)) : "none"));
        queue_agent(d, i, o);
        dump_read_set(o, "depth", dump_number(ap_queue_depth(seg, i)));
#define COUNT(field) dump_read_set(o, #field, dump_number(ap_load_relaxed(&q->field)))
        COUNT(running), COUNT(started), COUNT(done), COUNT(failed), COUNT(late), COUNT(crashed), COUNT(expired);
        COUNT(cancelled), COUNT(retried), COUNT(refused), COUNT(taken), COUNT(run_time), COUNT(pace), COUNT(margin);
        COUNT(answered);
#undef COUNT
        dump_read_set(o, "rounds", dump_number(ap_queue_rounds(seg, i)));
        dump_read_set(o, "summary", dump_hex(ap_load_relaxed(&q->summary)));
        dump_read_set(o, "rings", rings_json(seg, i));
        json_array_append_new(list, o);
    }
    return list;
}

/* ---- tasks ---------------------------------------------------------------------------------------------------- */

static void task_owner(json_t *o, uint64_t word)
{
    uint32_t owner = AP_WORD_OWNER(word), state = AP_WORD_STATE(word);
    enum ap_task_owner is = ap_task_owner(state);

    dump_read_set(o, "lane", is == AP_OWNER_IS_LANE ? dump_number(owner) : json_null());
    dump_read_set(o, "in_queue", is == AP_OWNER_IS_QUEUE ? dump_number(owner) : json_null());
    dump_read_set(o, "code", is == AP_OWNER_IS_CODE ? json_string(apiary_error_name(-(int)owner)) : json_null());
}

static void task_names(const struct dump *d, const struct ap_slot *slot, json_t *o)
{
    char capability[APIARY_CAPABILITY_MAX + 1] = "", caller[APIARY_NAME_MAX + 1] = "";
    uint32_t by = ap_load_relaxed(&slot->caller);

    if (d->registry) {
        ap_capability_name(&d->seg, ap_load_relaxed(&slot->capability), capability);
        if (by != 0) ap_service_name(&d->seg, by - 1, caller);
    }
    dump_read_set(o, "capability", tool_json_text(capability));
    dump_read_set(o, "caller", tool_json_text(caller));
}

static json_t *dump_read_task_json(const struct dump *d, uint32_t index, uint64_t word)
{
    const struct ap_slot *slot = ap_slot_at(&d->seg, index);
    const struct ap_slab *slab = ap_slab_at(&d->seg, index / AP_SLAB_SLOTS);
    uint64_t lease = slab != NULL ? ap_load_relaxed(&slab->lease) : 0, request = ap_load_relaxed(&slot->request);
    char id[48];
    json_t *o = json_object();

    tool_format_task((apiary_task_t){index, AP_LEASE_EPOCH(lease), AP_WORD_GENERATION(word)}, id);
    dump_read_set(o, "slot", dump_number(index));
    dump_read_set(o, "task", json_string(id));
    dump_read_set(o, "state", json_string(ap_task_state_name(AP_WORD_STATE(word))));
    task_owner(o, word);
    task_names(d, slot, o);
    dump_read_set(o, "crashes", dump_number(AP_WORD_CRASHES(word)));
    dump_read_set(o, "lost", dump_number(AP_WORD_LOST(word)));
    dump_read_set(o, "failures", dump_number(AP_TRIES_FAILURES(ap_slot_tries(slot, word))));
    dump_read_set(o, "starts", dump_number(ap_word_starts(word) + AP_TRIES_FAILURES(ap_slot_tries(slot, word))));
    dump_read_set(o, "priority", json_string(ap_priority_name(ap_slot_rank(slot, AP_WORD_GENERATION(word)))));
    dump_read_set(o, "request_bits", dump_number(ap_request_bits(request, word)));
    dump_read_set(o, "client", dump_number(ap_load_relaxed(&slot->client)));
    dump_read_set(o, "ticket", dump_number(AP_TICKET_NUMBER(ap_load_relaxed(&slot->ticket))));
    dump_read_set(o, "queue", dump_number(ap_load_relaxed(&slot->queue)));
    dump_read_set(o, "worker", dump_number(ap_load_relaxed(&slot->worker)));
    dump_read_set(o, "request_size", dump_number(ap_load_relaxed(&slot->body_size)));
    dump_read_set(o, "request_block", dump_number(ap_load_relaxed(&slot->body)));
    dump_read_set(o, "result_size", dump_number(ap_load_relaxed(&slot->result_size)));
    dump_read_set(o, "result_block", dump_number(ap_load_relaxed(&slot->result)));
    dump_read_set(o, "queued_age", dump_age(d, ap_load_relaxed(&slot->queued)));
    dump_read_set(o, "due", AP_WORD_STATE(word) == AP_TASK_SCHEDULED ? dump_number(ap_load_relaxed(&slot->due)) : json_null());
    dump_read_set(o, "started_age", dump_age(d, ap_load_relaxed(&slot->started)));
    dump_read_set(o, "finished_age", dump_age(d, ap_load_relaxed(&slot->finished)));
    return o;
}

static json_t *tasks_json(const struct dump *d, bool each)
{
    const struct ap_segment *seg = &d->seg;
    uint64_t counts[AP_TASK_STATES + 1] = {0};
    json_t *o = json_object(), *states = json_object(), *list = json_array();
    uint64_t leased = 0, slabs = seg->sections[AP_SECTION_SLABS].count;

    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        uint64_t word = ap_load_acquire(&ap_slot_at(seg, i)->word); /* TASK-A2 pairs TASK-R2 */
        uint32_t state = AP_WORD_STATE(word);

        counts[state < AP_TASK_STATES ? state : AP_TASK_STATES]++;
        if (each && state != AP_TASK_FREE) json_array_append_new(list, dump_read_task_json(d, i, word));
    }
    for (uint64_t i = 0; i < slabs; i++) leased += AP_LEASE_LANE(ap_load_relaxed(&ap_slab_at(seg, i)->lease)) != 0;
    for (uint32_t i = 0; i < AP_TASK_STATES; i++) dump_read_set(states, ap_task_state_name(i), dump_number(counts[i]));
    dump_read_set(states, "invalid", dump_number(counts[AP_TASK_STATES]));
    dump_read_set(o, "total", dump_number(seg->geometry.tasks));
    dump_read_set(o, "by_state", states);
    dump_read_set(o, "slabs", dump_number(slabs));
    dump_read_set(o, "slabs_leased", dump_number(leased));
    if (each)
        dump_read_set(o, "slots", list);
    else
        json_decref(list);
    return o;
}

/* ---- pool, events --------------------------------------------------------------------------------------------- */

static json_t *pool_json(const struct ap_segment *seg)
{
    static const char *const keys[] = {"free", "owned", "requests", "kept", "streams", "results", "invalid"};
    json_t *list = json_array();
    uint64_t number = 0;

    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) {
        uint64_t counts[7] = {0};
        json_t *o = json_object();

        for (uint32_t i = 0; i < seg->geometry.pool_blocks[c]; i++) {
            const uint64_t *word = ap_at(seg, AP_SECTION_BLOCKS, number++);
            uint32_t state = word != NULL ? AP_BLOCK_STATE(ap_load_relaxed(word)) : 6;
            counts[state]++;
        }
        dump_read_set(o, "size", dump_number(ap_pool_class_size[c]));
        dump_read_set(o, "blocks", dump_number(seg->geometry.pool_blocks[c]));
        for (unsigned k = 0; k < 7; k++) dump_read_set(o, keys[k], dump_number(counts[k]));
        dump_read_set(o, "kept_most", dump_number(ap_share_kept_most(seg, c)));
        json_array_append_new(list, o);
    }
    return list;
}

/* ---- parts ---------------------------------------------------------------------------------------------------- */

void dump_part_members(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options;
    dump_read_set(whole, "members", members_json(&d->seg));
}

void dump_part_lanes(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options;
    dump_read_set(whole, "lanes", lanes_json(d));
}

/* Slabs and slots. */
void dump_part_slots(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    dump_read_set(whole, "tasks", tasks_json(d, options->tasks));
}

void dump_part_slabs(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)d, (void)options, (void)whole; /* with the slots */
}

/* Each queue with its rings. */
void dump_part_queues(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options;
    dump_read_set(whole, "queues", queues_json(d));
}

void dump_part_rings(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)d, (void)options, (void)whole; /* with the queues */
}

void dump_part_blocks(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options;
    dump_read_set(whole, "pool", pool_json(&d->seg));
}

void dump_part_pool(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)d, (void)options, (void)whole; /* bodies are nobody's business */
}

/* ---- all ------------------------------------------------------------------------------------------------------ */

json_t *dump_json(const struct dump *d, const struct dump_options *options)
{
    static void (*const parts[])(const struct dump *, const struct dump_options *, json_t *) = {
#define AP_PART(ID, id) [AP_SECTION_##ID] = dump_part_##id,
#include "shm/parts.def"
#include "registry/parts.def"
#undef AP_PART
    };
    const struct ap_segment *seg = &d->seg;
    json_t *o = json_object();

    dump_read_set(o, "source", tool_json_text(d->source));
    dump_read_set(o, "live", json_boolean(d->live));
    dump_read_set(o, "bytes", dump_number(seg->size));
    dump_read_set(o, "registry", json_boolean(d->registry));
    dump_read_set(o, "header", header_json(d));
    dump_read_set(o, "geometry", geometry_json(&seg->geometry));
    dump_read_set(o, "sections", sections_json(seg));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) parts[i](d, options, o);
    dump_read_set(o, "died_holding", dump_held(d));
    return o;
}
