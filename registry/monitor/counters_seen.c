/* registry/monitor/counters_seen.c - looks at the segment's records, each once. See counters_seen.h.
 *
 * A table is gone through twice, first to count what there is: rows that come meanwhile are left out.
 */
#include "registry/monitor/counters_seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "registry/discovery/changes.h"
#include "registry/memory/cache.h"
#include "registry/monitor/monitor.h"
#include "registry/monitor/supervised.h"
#include "registry/routing/admission.h"
#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "registry/routing/places.h"
#include "shm/event.h"
#include "shm/finished.h"
#include "shm/uncollected.h"

static uint64_t seen_since(uint64_t then, uint64_t now)
{
    return then != 0 && then < now ? now - then : 0;
}

/* Room for so many rows. */
static void *seen_room(struct ap_counters *c, enum ap_counter_scope scope, uint32_t count, size_t size)
{
    c->seen[scope].rows = calloc(count > 0 ? count : 1, size);
    return c->seen[scope].rows;
}

static const struct seen_segment *seen_whole(const struct ap_counters *c)
{
    return c->seen[AP_SCOPE_segment].rows;
}

/* ---- the segment */

static void see_slot(struct ap_counters *c, struct seen_segment *s, uint32_t index, uint64_t now)
{
    const struct ap_slot *slot = ap_slot_at(c->seg, index);
    uint64_t word = ap_load_acquire(&slot->word), request = ap_load_relaxed(&slot->request); /* TASK-A2 pairs TASK-R2 */
    uint32_t state = AP_WORD_STATE(word), queue = AP_WORD_OWNER(word);
    uint64_t queued = ap_load_relaxed(&slot->queued);
    bool ended = state < AP_TASK_STATES && ap_task_ended(state);

    if (state == AP_TASK_FREE || state >= AP_TASK_STATES || (ended && ap_request_has(request, word, AP_REQUEST_GIVEN_UP))) return;
    s->tasks[state]++;
    if (ended) {
        s->uncollected++;
        s->overdue += ap_load_relaxed(&slot->deadline) <= now;
    }
    if (state == AP_TASK_QUEUED && queue < c->seg->geometry.queues && (c->oldest[queue] == 0 || queued < c->oldest[queue]))
        c->oldest[queue] = queued;
}

/* Detached tasks may be in slabs that nobody has leased any more. */
static void see_tasks(struct ap_counters *c, struct seen_segment *s, uint64_t now)
{
    for (uint32_t i = 0; i < c->seg->places[AP_SECTION_SLABS].count; i++)
        s->slabs += AP_LEASE_LANE(ap_load_relaxed(&ap_slab_at(c->seg, i)->lease)) != 0;
    for (uint32_t i = 0; i < c->seg->geometry.tasks; i++) see_slot(c, s, i, now);
}

static void see_members(const struct ap_segment *seg, struct seen_segment *s)
{
    struct ap_member m;

    for (uint32_t i = 0; i < seg->geometry.members; i++)
        if (ap_member_read(seg, i, &m) && ap_lane_alive(seg, AP_MEMBER_LANE(m.life)) && m.kind <= APIARY_TOOL) s->members[m.kind]++;
    for (uint32_t i = 0; i < seg->geometry.lanes; i++)
        s->lanes += AP_LIFE_STATE(ap_load_relaxed(&ap_lane_at(seg, i)->life)) != AP_LIFE_FREE;
}

static void see_monitor(const struct ap_segment *seg, struct seen_segment *s)
{
    uint64_t watched = ap_load_relaxed(&seg->header->watched), age;
    uint32_t holder, beats = AP_WATCHED_LANE(watched);
    const struct ap_lane *lane;
    struct ap_member m;

    s->watched = seen_since(AP_WATCHED_AT(watched) * UINT64_C(1000000), seg->ops->now());
    s->stopped = ap_monitor_stopped(seg, &holder, &beats, &age);
    lane = ap_lane_at(seg, beats);
    s->watching = lane != NULL && ap_lane_lives(lane);
    if (s->watching && ap_member_read(seg, ap_load_relaxed(&lane->member), &m)) {
        m.name[sizeof m.name - 1] = '\0';
        ap_text_copy(s->monitor, m.name, sizeof s->monitor);
    }
}

static void see_sets(const struct ap_segment *seg, struct seen_segment *s)
{
    uint64_t bytes = ap_memory_quota_bytes(seg), changes = ap_instance_changes(seg);

    s->changes = changes > 0 ? changes - ap_instance_changes_begin(seg) : 0;
    ap_costs_read(seg, &s->costs);
    for (uint32_t i = 0; i < ap_finished_rings(seg) / 2; i++) s->finished += ap_load_relaxed(&ap_finished_ring_at(seg, i)->next);
    ap_memory_held(seg, &s->values, &s->value_bytes);
    s->quota_bytes = bytes != UINT32_MAX ? bytes : AP_NO_VALUE;
    for (uint64_t i = 0; i < seg->places[AP_SECTION_DEAD].count; i++)
        s->dead += AP_DEAD_STATE(ap_load_relaxed(&ap_dead_at(seg, i)->life)) == AP_DEAD_KEPT;
    s->dead_entered = ap_load_relaxed(&ap_dead_at(seg, 0)->numbers);
    s->dead_dropped = ap_load_relaxed(&ap_dead_at(seg, 0)->drops);
    s->kept = ap_kept_used(seg).used;
    s->unkept = ap_load_relaxed(&ap_kept_at(seg, 0)->unkept);
}

static int see_segment(struct ap_counters *c)
{
    struct seen_segment *s = seen_room(c, AP_SCOPE_segment, 1, sizeof *s);

    c->oldest = calloc(c->seg->geometry.queues, sizeof *c->oldest);
    if (s == NULL || c->oldest == NULL) return APIARY_ENOBLOCK;
    if (ap_swarm_queues_take(c->seg, &c->queues) < 0) return APIARY_ENOBLOCK;
    c->seen[AP_SCOPE_segment].count = 1;
    see_tasks(c, s, c->seg->ops->now());
    see_members(c->seg, s);
    see_monitor(c->seg, s);
    see_sets(c->seg, s);
    return 0;
}

/* Each kind that there is, also where nothing of it has happened: a rate has a beginning then. */
static int see_events(struct ap_counters *c)
{
    static const char *const names[AP_EVENT_KINDS] = {
#define X(name, text, a, b, c) [AP_EVENT_##name] = #name,
        AP_EVENTS(X)
#undef X
    };
    struct seen_event *rows = seen_room(c, AP_SCOPE_event, AP_EVENT_KINDS, sizeof *rows);

    if (rows == NULL) return APIARY_ENOBLOCK;
    for (uint32_t i = 1; i < AP_EVENT_KINDS; i++, rows++) {
        ap_format(rows->kind, sizeof rows->kind, "%s", names[i]);
        for (char *p = rows->kind; *p != '\0'; p++) *p = *p == '_' ? '-' : (char)(*p | 0x20);
        rows->labels.of[0] = rows->kind;
        rows->count = seen_whole(c)->costs.events[i];
    }
    c->seen[AP_SCOPE_event].count = AP_EVENT_KINDS - 1;
    return 0;
}

static int see_pool(struct ap_counters *c)
{
    const struct ap_geometry *g = &c->seg->geometry;
    struct seen_pool *p = seen_room(c, AP_SCOPE_pool, AP_POOL_CLASSES, sizeof *p);
    uint64_t at = 0;

    if (p == NULL) return APIARY_ENOBLOCK;
    for (uint32_t class = 0; class < AP_POOL_CLASSES; at += g->pool_blocks[class++]) {
        if (g->pool_blocks[class] == 0) continue;
        p->bytes = ap_pool_class_size[class];
        p->count = g->pool_blocks[class];
        snprintf(p->size, sizeof p->size, "%u", ap_pool_class_size[class]);
        p->labels.of[0] = p->size;
        for (uint64_t i = at; i < at + p->count; i++) {
            const uint64_t *word = ap_at(c->seg, AP_SECTION_BLOCKS, i);

            p->states[word != NULL ? AP_BLOCK_STATE(ap_load_relaxed(word)) : AP_BLOCK_FREE]++;
        }
        p++;
        c->seen[AP_SCOPE_pool].count++;
    }
    return 0;
}

/* ---- agents and instances */

static bool seen_owned(const struct ap_segment *seg, uint32_t queue, uint64_t *ret_life)
{
    *ret_life = ap_load_acquire(&ap_queue_at(seg, queue)->life); /* QUEUE-A4 pairs QUEUE-R4 */
    return AP_QUEUE_STATE(*ret_life) == AP_QUEUE_OPEN || AP_QUEUE_STATE(*ret_life) == AP_QUEUE_CLOSED;
}

static void see_counts(const struct ap_segment *seg, uint32_t queue, struct seen_agent *a)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);

    a->started = ap_load_relaxed(&q->started);
    a->done = ap_load_relaxed(&q->done);
    a->failed = ap_load_relaxed(&q->failed);
    a->late = ap_load_relaxed(&q->late);
    a->crashed = ap_load_relaxed(&q->crashed);
    a->expired = ap_load_relaxed(&q->expired);
    a->cancelled = ap_load_relaxed(&q->cancelled);
    a->retried = ap_load_relaxed(&q->retried);
    a->refused = ap_load_relaxed(&q->refused);
    a->taken = ap_load_relaxed(&q->taken);
    a->probes = ap_load_relaxed(&q->answered);
    a->rounds = ap_queue_rounds(seg, queue);
    a->run_time = ap_load_relaxed(&q->run_time);
    a->pace = ap_load_relaxed(&q->pace);
    a->ejected = ap_queue_ejected(q, seg->ops->now());
    a->ejections = ap_load_relaxed(&q->ejections);
}

static void see_spread(const struct ap_spread *s, struct seen_times *ret)
{
    ret->counts[0] = s->buckets[AP_SPREAD_BELOW];
    for (uint32_t i = 1; i < AP_SPREAD_ABOVE; i++) ret->counts[1 + (i - 1) / 8] += s->buckets[i];
    ret->counts[SEEN_TIMES] = s->buckets[AP_SPREAD_ABOVE];
    ret->sum = s->sum;
}

static void see_times(const struct ap_segment *seg, uint32_t queue, struct seen_agent *a)
{
    struct ap_times_copy times;

    if (!ap_times_read(seg, queue, &times)) return;
    see_spread(&times.waited, &a->waited);
    see_spread(&times.ran, &a->ran);
    a->times_ejected = times.ejected;
    a->lost = times.lost;
    a->heap = a->up ? times.heap : AP_NO_VALUE;
    a->heap_resident = a->up ? times.resident : AP_NO_VALUE;
}

/* False: its record is being changed, or is no instance's any more. */
static bool see_agent(const struct ap_counters *c, uint32_t queue, struct seen_agent *a)
{
    const struct ap_agent_record *record = ap_agent_at(c->seg, queue);
    const struct ap_swarm *s;
    uint64_t life;

    if (!seen_owned(c->seg, queue, &life)) return false;
    s = ap_swarm_at(c->seg, ap_load_relaxed(&record->swarm));
    if (s == NULL) return false;
    memset(a, 0, sizeof *a);
    a->queue = queue;
    a->labels = (struct seen_labels){{a->service, a->instance, a->name}};
    ap_service_name(c->seg, ap_load_relaxed(&s->service), a->service);
    ap_text_copy(a->instance, s->instance, sizeof a->instance);
    ap_text_copy(a->name, record->name, sizeof a->name);
    a->up = AP_QUEUE_STATE(life) == AP_QUEUE_OPEN && ap_lane_alive(c->seg, AP_QUEUE_LANE(life));
    see_counts(c->seg, queue, a);
    see_times(c->seg, queue, a);
    a->queued = ap_swarm_queues_waiting(c->seg, &c->queues, queue);
    a->running = a->up ? ap_load_relaxed(&ap_queue_at(c->seg, queue)->running) : 0;
    a->oldest = seen_since(c->oldest[queue], c->seg->ops->now());
    ap_fence_acquire(); /* REG-A4 pairs REG-R4: what was read comes before this second look */
    return ap_load_relaxed(&ap_queue_at(c->seg, queue)->life) == life;
}

static int see_agents(struct ap_counters *c)
{
    struct seen_segment *whole = c->seen[AP_SCOPE_segment].rows;
    struct seen_agent *rows;
    uint32_t room = 0, n = 0;
    uint64_t life;

    for (uint32_t q = 0; q < c->seg->geometry.queues; q++) room += seen_owned(c->seg, q, &life);
    rows = seen_room(c, AP_SCOPE_agent, room, sizeof *rows);
    if (rows == NULL) return APIARY_ENOBLOCK;
    for (uint32_t q = 0; q < c->seg->geometry.queues && n < room; q++) n += see_agent(c, q, &rows[n]);
    c->seen[AP_SCOPE_agent].count = n;
    whole->queues = room;
    return 0;
}

static uint32_t seen_swarms(const struct ap_segment *seg)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < seg->places[AP_SECTION_SWARMS].count; i++)
        n += AP_SWARM_STATE(ap_load_relaxed(&ap_swarm_at(seg, i)->life)) >= AP_SWARM_LIVE;
    return n;
}

static int see_instances(struct ap_counters *c)
{
    uint32_t room = seen_swarms(c->seg), n = 0;
    struct seen_instance *rows = seen_room(c, AP_SCOPE_instance, room, sizeof *rows);

    if (rows == NULL) return APIARY_ENOBLOCK;
    for (uint32_t i = 0; i < c->seg->places[AP_SECTION_SWARMS].count && n < room; i++) {
        const struct ap_swarm *s = ap_swarm_at(c->seg, i);

        if (!ap_swarm_status_of(c->seg, &c->queues, i, -1, &rows[n].status)) continue;
        rows[n].labels = (struct seen_labels){{rows[n].status.service, rows[n].status.instance}};
        rows[n].live = rows[n].status.state != APIARY_DOWN;
        rows[n].weight = ap_swarm_weight(s);
        rows[n].waited = ap_load_relaxed(&s->waited);
        n++;
    }
    c->seen[AP_SCOPE_instance].count = n;
    return 0;
}

static int see_supervised(struct ap_counters *c)
{
    uint64_t count = c->seg->places[AP_SECTION_SUPERVISED].count;
    struct seen_supervised *rows;
    struct ap_supervised_view v;
    uint32_t room = 0, n = 0;

    for (uint32_t i = 0; i < count; i++)
        room += AP_SUPERVISED_STATE(ap_load_relaxed(&ap_supervised_at(c->seg, i)->life)) != AP_SUPERVISED_FREE;
    rows = seen_room(c, AP_SCOPE_supervised, room, sizeof *rows);
    if (rows == NULL) return APIARY_ENOBLOCK;
    for (uint32_t i = 0; i < count && n < room; i++) {
        if (!ap_supervised_read(c->seg, i, &v)) continue;
        memcpy(rows[n].service, v.service, sizeof rows[n].service);
        snprintf(rows[n].instance, sizeof rows[n].instance, "%u", v.last.instance);
        rows[n].labels = (struct seen_labels){{rows[n].service, rows[n].instance}};
        rows[n].starts = v.last.starts;
        rows[n].ends = v.last.ends;
        rows[n].state = v.last.state;
        n++;
    }
    c->seen[AP_SCOPE_supervised].count = n;
    return 0;
}

/* ---- processes */

struct last_process {
    struct ap_identity of;
    struct ap_resources resources;
};

/* The one before it is often of the same process, which is looked at once. */
static bool see_process(const struct ap_segment *seg, const struct ap_member *m, struct seen_process *p, struct last_process *last)
{
    const struct ap_identity of = {.pid = m->pid, .start_time = m->start_time, .pid_namespace = m->pid_namespace};

    if (last->of.pid != of.pid || last->of.start_time != of.start_time || last->of.pid_namespace != of.pid_namespace) {
        last->of.pid = 0;
        if (!ap_resources_read(&seg->self, &of, &last->resources)) return false;
        last->of = of;
    }
    p->resources = last->resources;
    return true;
}

/* The queens by their instances, and the coordinators. */
static int see_processes(struct ap_counters *c)
{
    uint32_t swarms = (uint32_t)c->seg->places[AP_SECTION_SWARMS].count, n = 0;
    uint32_t room = seen_swarms(c->seg) + (uint32_t)seen_whole(c)->members[APIARY_DAEMON];
    struct seen_process *rows = seen_room(c, AP_SCOPE_process, room, sizeof *rows);
    struct last_process last = {.of.pid = 0};
    struct ap_member m;

    if (rows == NULL) return APIARY_ENOBLOCK;
    for (uint32_t i = 0; i < swarms && n < room; i++) {
        const struct ap_swarm *s = ap_swarm_at(c->seg, i);
        uint64_t life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */

        if (AP_SWARM_STATE(life) != AP_SWARM_LIVE || !ap_lane_alive(c->seg, AP_SWARM_LANE(life)) ||
            !ap_member_read(c->seg, ap_load_relaxed(&s->member), &m) || !see_process(c->seg, &m, &rows[n], &last))
            continue;
        ap_service_name(c->seg, ap_load_relaxed(&s->service), rows[n].service);
        ap_text_copy(rows[n].instance, s->instance, sizeof rows[n].instance);
        ap_fence_acquire(); /* REG-A4 pairs REG-R4: what was read comes before this second look */
        if (ap_load_relaxed(&s->life) != life) continue;
        rows[n].labels = (struct seen_labels){{"queen", rows[n].service, rows[n].instance}};
        n++;
    }
    for (uint32_t i = 0; i < c->seg->geometry.members && n < room; i++) {
        if (!ap_member_read(c->seg, i, &m) || m.kind != APIARY_DAEMON || !ap_lane_alive(c->seg, AP_MEMBER_LANE(m.life)) ||
            !see_process(c->seg, &m, &rows[n], &last))
            continue;
        rows[n].service[0] = rows[n].instance[0] = '\0';
        rows[n].labels = (struct seen_labels){{"daemon", "", ""}};
        n++;
    }
    c->seen[AP_SCOPE_process].count = n;
    return 0;
}

/* ---- services, capabilities, caches */

static int see_services(struct ap_counters *c)
{
    uint64_t count = c->seg->places[AP_SECTION_SERVICES].count;
    struct seen_service *rows;
    uint32_t room = 0, n = 0;

    for (uint32_t i = 0; i < count; i++)
        room += AP_SERVICE_STATE(ap_load_relaxed(&ap_service_at(c->seg, i)->life)) == AP_SERVICE_READY;
    rows = seen_room(c, AP_SCOPE_service, room, sizeof *rows);
    if (rows == NULL) return APIARY_ENOBLOCK;
    for (uint32_t i = 0; i < count && n < room; i++) {
        ap_service_name(c->seg, i, rows[n].name);
        if (rows[n].name[0] == '\0') continue;
        rows[n].labels.of[0] = rows[n].name;
        rows[n].delegations = ap_tickets_busy(c->seg, i);
        n++;
    }
    c->seen[AP_SCOPE_service].count = n;
    return 0;
}

static void see_capability(const struct ap_segment *seg, uint32_t capability, struct seen_capability *ret)
{
    ret->labels.of[0] = ret->name;
    ret->terms = ap_terms_at(seg, capability);
    for (int q = -1; (q = ap_capability_next(seg, capability, (uint32_t)(q + 1))) >= 0;) ret->providers++;
    if (!ap_target_read(seg, capability, &ret->verdict)) memset(&ret->verdict, 0, sizeof ret->verdict);
    ret->bound = ap_places_bound(seg, capability);
    if (ret->bound == 0) return;
    ret->taken = ap_places_taken(seg, capability);
    ret->waited = ap_places_waited(seg, capability);
}

static int see_capabilities(struct ap_counters *c)
{
    uint64_t count = c->seg->places[AP_SECTION_CAPABILITIES].count;
    struct seen_capability *rows;
    uint32_t room = 0, n = 0;

    for (uint32_t i = 0; i < count; i++) room += ap_load_relaxed(&ap_capability_at(c->seg, i)->ready) != 0;
    rows = seen_room(c, AP_SCOPE_capability, room, sizeof *rows);
    if (rows == NULL) return APIARY_ENOBLOCK;
    for (uint32_t i = 0; i < count && n < room; i++) {
        if (ap_load_relaxed(&ap_capability_at(c->seg, i)->key) == 0) continue;
        ap_capability_name(c->seg, i, rows[n].name);
        if (rows[n].name[0] != '\0') see_capability(c->seg, i, &rows[n++]);
    }
    c->seen[AP_SCOPE_capability].count = n;
    return 0;
}

static int see_caches(struct ap_counters *c)
{
    struct seen_cache *rows;
    struct ap_memory_name name;
    uint32_t room = 0;

    while (ap_cache_read(c->seg, room, &name)) room++;
    rows = seen_room(c, AP_SCOPE_cache, room, sizeof *rows);
    if (rows == NULL) return APIARY_ENOBLOCK;
    for (uint32_t i = 0; i < room && ap_cache_read(c->seg, i, &name); i++) {
        const struct ap_cache *cache = ap_cache_at(c->seg, i);

        ap_format(rows[i].name, sizeof rows[i].name, "%.*s", (int)sizeof name.text, (const char *)name.text);
        rows[i].labels.of[0] = rows[i].name;
        rows[i].values = ap_memory_held_by(c->seg, &name, &rows[i].bytes);
        rows[i].evicted = ap_load_relaxed(&cache->evicted);
        rows[i].unfetched = ap_load_relaxed(&cache->unfetched);
        c->seen[AP_SCOPE_cache].count++;
    }
    return 0;
}

/* ---- who calls for what */

/* By what the labels tell: a caller or a code, whichever a kind has. */
static void seen_tally_told(struct ap_tally_name *name)
{
    if (name->kind == AP_TALLY_PAIR) name->code = 0;
    else memset(name->caller, 0, sizeof name->caller);
}

static int seen_tally_order(const void *x, const void *y)
{
    const struct ap_tally_name *a = &((const struct seen_tally *)x)->of, *b = &((const struct seen_tally *)y)->of;

    if (a->capability != b->capability) return a->capability < b->capability ? -1 : 1;
    if (a->code != b->code) return a->code > b->code ? -1 : 1;
    return strcmp(a->caller, b->caller);
}

/* Rows of one name, which stand together, become one. How many are left. */
static uint32_t seen_tallies_add(struct seen_tally *rows, uint32_t count)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (n == 0 || seen_tally_order(&rows[n - 1], &rows[i]) != 0) {
            rows[n++] = rows[i];
            continue;
        }
        for (int k = 0; k < AP_TALLY_COUNTS_END; k++) rows[n - 1].counts[k] += rows[i].counts[k];
    }
    return n;
}

static int see_tallies(struct ap_counters *c, enum ap_counter_scope scope, enum ap_tally_kind kind)
{
    struct seen_tally *rows;
    struct ap_tally t;
    uint32_t room = 0, n = 0;

    for (uint64_t cursor = 0; ap_tally_next(c->seg, &cursor, &t);) room += !t.others && t.name.kind == kind;
    room += room / 8 + 64; /* for those that come meanwhile: one that is left out would let its sum fall */
    rows = seen_room(c, scope, room, sizeof *rows);
    if (rows == NULL) return APIARY_ENOBLOCK;
    for (uint64_t cursor = 0; n < room && ap_tally_next(c->seg, &cursor, &t);) {
        if (t.others || t.name.kind != kind) continue;
        seen_tally_told(&t.name);
        rows[n].of = t.name;
        memcpy(rows[n++].counts, t.counts, sizeof t.counts);
    }
    qsort(rows, n, sizeof *rows, seen_tally_order);
    n = seen_tallies_add(rows, n);
    for (uint32_t i = 0; i < n; i++) {
        const char *error = apiary_error_name(rows[i].of.code);

        ap_capability_name(c->seg, rows[i].of.capability, rows[i].capability);
        rows[i].labels = kind == AP_TALLY_PAIR ? (struct seen_labels){{rows[i].of.caller, rows[i].capability}}
                                               : (struct seen_labels){{rows[i].capability, error}};
    }
    c->seen[scope].count = n;
    return 0;
}

static int see_calls(struct ap_counters *c)
{
    struct seen_segment *whole = c->seen[AP_SCOPE_segment].rows;
    struct ap_tally t;
    uint32_t all;

    for (uint64_t cursor = 0; ap_tally_next(c->seg, &cursor, &t);)
        if (t.others) whole->others[t.name.kind] = t.counts[AP_TALLY_ENDED];
    whole->tally_rows = ap_tally_used(c->seg, &all);
    whole->tally_limit = all;
    return see_tallies(c, AP_SCOPE_call, AP_TALLY_PAIR);
}

static int see_failures(struct ap_counters *c)
{
    return see_tallies(c, AP_SCOPE_failure, AP_TALLY_FAILED);
}

static int see_refusals(struct ap_counters *c)
{
    return see_tallies(c, AP_SCOPE_refusal, AP_TALLY_REFUSED);
}

int ap_counters_see(struct ap_counters *c)
{
    int (*const see[AP_SCOPES])(struct ap_counters *) = {
        [AP_SCOPE_segment] = see_segment,       [AP_SCOPE_event] = see_events,
        [AP_SCOPE_pool] = see_pool,
        [AP_SCOPE_agent] = see_agents,          [AP_SCOPE_instance] = see_instances,
        [AP_SCOPE_supervised] = see_supervised, [AP_SCOPE_process] = see_processes,
        [AP_SCOPE_service] = see_services,      [AP_SCOPE_capability] = see_capabilities,
        [AP_SCOPE_cache] = see_caches,          [AP_SCOPE_call] = see_calls,
        [AP_SCOPE_failure] = see_failures,      [AP_SCOPE_refusal] = see_refusals,
    };
    int rc = 0;

    /* The rows of the segment are made from the others', too. */
    c->wanted[AP_SCOPE_agent] |= c->wanted[AP_SCOPE_segment];
    c->wanted[AP_SCOPE_call] |= c->wanted[AP_SCOPE_segment];
    for (uint32_t i = 0; i < AP_SCOPES && rc == 0; i++)
        if (i == AP_SCOPE_segment || c->wanted[i]) rc = see[i](c);
    return rc;
}
