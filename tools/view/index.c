/* tools/view/index.c - see index.h. */
#include "tools/view/index.h"

#include <stdlib.h>
#include <string.h>

#include "registry/discovery/discovery.h"
#include "tools/common/event.h"

/* A row by the hash of its service and instance. */
struct index_key {
    uint64_t key;
    uint32_t row;
};
struct index_keys {
    struct index_key *list; /* in the order of their keys, then of their rows; NULL: not made yet, as all lists here */
    size_t count;
};
struct index_end {
    enum swarm_end end;
    bool told; /* there is a last event, whatever it says */
    uint64_t time;
};

struct view_index {
    const struct ap_segment *seg;
    struct index_keys swarms, supervised;
    struct index_end *ends; /* of each swarm */
    uint64_t *rounds;       /* of each swarm */
    uint64_t *scaled;       /* of each service: the number of an event; 0: none */
    bool some_scaled;
};

static size_t index_rows(const struct ap_segment *seg, uint32_t section)
{
    return (size_t)seg->places[section].count;
}

/* ---- by name ----------------------------------------------------------------------------------------------------- */

static int key_order(const void *a, const void *b)
{
    const struct index_key *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : (x->row > y->row) - (x->row < y->row);
}

static void index_swarms(struct view_index *x)
{
    size_t rows = index_rows(x->seg, AP_SECTION_SWARMS);
    if (x->swarms.list != NULL) return;
    x->swarms.list = tool_alloc((rows + 1) * sizeof *x->swarms.list);
    for (uint32_t i = 0; i < rows; i++) {
        const struct ap_swarm *s = ap_swarm_at(x->seg, i);
        uint32_t state = AP_SWARM_STATE(ap_load_acquire(&s->life)); /* REG-A1 pairs REG-R1 */
        if (state != AP_SWARM_LIVE && state != AP_SWARM_DOWN) continue;
        x->swarms.list[x->swarms.count++] = (struct index_key){ap_load_acquire(&s->key), i}; /* REG-A3 pairs REG-R3 */
    }
    qsort(x->swarms.list, x->swarms.count, sizeof *x->swarms.list, key_order);
}

static void index_supervised(struct view_index *x)
{
    size_t rows = index_rows(x->seg, AP_SECTION_SUPERVISED);
    if (x->supervised.list != NULL) return;
    x->supervised.list = tool_alloc((rows + 1) * sizeof *x->supervised.list);
    for (uint32_t i = 0; i < rows; i++) {
        struct ap_supervised_view v;
        char instance[16];
        if (!ap_supervised_read(x->seg, i, &v)) continue;
        snprintf(instance, sizeof instance, "%u", v.last.instance);
        x->supervised.list[x->supervised.count++] = (struct index_key){ap_swarm_key(v.service, instance), i};
    }
    qsort(x->supervised.list, x->supervised.count, sizeof *x->supervised.list, key_order);
}

/* The first of that key or, if there is none, of one behind it. */
static const struct index_key *index_find(const struct index_keys *keys, uint64_t key)
{
    size_t from = 0, to = keys->count;
    while (from < to) {
        size_t at = from + (to - from) / 2;
        if (keys->list[at].key < key) from = at + 1;
        else to = at;
    }
    return keys->list + from;
}

bool view_record_of(struct view_index *x, const char *service, const char *instance, struct swarm_view *ret)
{
    uint64_t key = ap_swarm_key(service, instance);
    index_swarms(x);
    const struct index_key *end = x->swarms.list + x->swarms.count;
    for (const struct index_key *k = index_find(&x->swarms, key); k < end && k->key == key; k++)
        if (view_swarm(x->seg, k->row, ret) && strcmp(ret->service, service) == 0 && strcmp(ret->instance, instance) == 0)
            return true;
    memset(ret, 0, sizeof *ret);
    return false;
}

bool view_supervision_of(struct view_index *x, const char *service, const char *instance, struct ap_supervised_view *ret)
{
    uint64_t key = ap_swarm_key(service, instance);
    index_supervised(x);
    const struct index_key *end = x->supervised.list + x->supervised.count;
    struct ap_supervised_view v;
    bool found = false;
    for (const struct index_key *k = index_find(&x->supervised, key); k < end && k->key == key; k++) {
        if (!ap_supervised_read(x->seg, k->row, &v) || !supervision_is(&v, service, instance)) continue;
        if (!found || supervision_counts_more(&v, ret)) *ret = v;
        found = true;
    }
    return found;
}

bool view_supervision_seen(struct view_index *x, const apiary_swarm_status_t *s, struct ap_supervised_view *ret)
{
    if (!view_supervision_of(x, s->service, s->instance, ret)) return false;
    supervision_as_seen(s, ret);
    return true;
}

/* ---- sums and events ---------------------------------------------------------------------------------------------- */

static void index_rounds(struct view_index *x)
{
    size_t swarms = index_rows(x->seg, AP_SECTION_SWARMS);
    if (x->rounds != NULL) return;
    x->rounds = tool_alloc((swarms + 1) * sizeof *x->rounds);
    for (uint32_t i = 0; i < x->seg->geometry.queues; i++) {
        uint32_t state = AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(x->seg, i)->life)); /* QUEUE-A4 pairs QUEUE-R4 */
        uint32_t swarm = ap_load_relaxed(&ap_agent_at(x->seg, i)->swarm);
        if ((state == AP_QUEUE_OPEN || state == AP_QUEUE_CLOSED) && swarm < swarms) x->rounds[swarm] += ap_queue_rounds(x->seg, i);
    }
}

uint64_t view_rounds(struct view_index *x, const struct swarm_view *v)
{
    if (v->service[0] == '\0') return 0;
    index_rounds(x);
    return x->rounds[v->index];
}

static void index_end_of(struct view_index *x, const struct ap_event *e)
{
    struct index_end *end = e->a < index_rows(x->seg, AP_SECTION_SWARMS) ? &x->ends[e->a] : NULL;
    if (end == NULL || end->told) return;
    end->told = true;
    end->time = e->time;
    if (e->kind == AP_EVENT_SWARM_LEFT) end->end = SWARM_END_LEFT;
    if (e->kind == AP_EVENT_SWARM_DIED) end->end = SWARM_END_DIED;
}

/* The last event of each swarm's coming and going, and of each service's scale. */
static void index_events(struct view_index *x)
{
    uint64_t end = ap_load_relaxed(&x->seg->header->event_next), begin = event_log_begins(x->seg, end);
    size_t services = index_rows(x->seg, AP_SECTION_SERVICES);
    if (x->ends != NULL) return;
    x->ends = tool_alloc((index_rows(x->seg, AP_SECTION_SWARMS) + 1) * sizeof *x->ends);
    x->scaled = tool_alloc((services + 1) * sizeof *x->scaled);
    for (uint64_t n = end; n-- > begin;) {
        struct ap_event e;
        if (ap_event_read(x->seg, n, &e) != 1) continue;
        if (e.kind == AP_EVENT_SWARM_REGISTERED || e.kind == AP_EVENT_SWARM_LEFT || e.kind == AP_EVENT_SWARM_DIED)
            index_end_of(x, &e);
        if ((e.kind == AP_EVENT_SERVICE_SCALED || e.kind == AP_EVENT_SERVICE_HELD) && e.a < services && x->scaled[e.a] == 0)
            x->scaled[e.a] = n, x->some_scaled = true;
    }
}

enum swarm_end view_swarm_end(struct view_index *x, const char *service, const char *instance, uint64_t *ago)
{
    uint64_t now = ap_ops_system.realtime();
    struct swarm_view v;
    *ago = 0;
    if (!view_record_of(x, service, instance, &v)) return SWARM_END_UNKNOWN;
    uint64_t life = ap_load_acquire(&ap_swarm_at(x->seg, v.index)->life); /* REG-A1 pairs REG-R1 */
    if (AP_SWARM_STATE(life) == AP_SWARM_LIVE) return v.alive ? SWARM_END_UNKNOWN : SWARM_END_DIED;
    index_events(x);
    const struct index_end *end = &x->ends[v.index];
    if (end->end != SWARM_END_UNKNOWN) *ago = now > end->time ? now - end->time : 0;
    return end->end;
}

bool view_scaled_event(struct view_index *x, const apiary_swarm_status_t *s, struct ap_event *ret)
{
    struct swarm_view v;
    int row = -1;
    index_events(x);
    if (!x->some_scaled) return false;
    if (view_record_of(x, s->service, s->instance, &v)) row = (int)v.service_index;
    else row = ap_service_find(x->seg, s->service); /* looks at all of them */
    uint64_t n = row >= 0 && (size_t)row < index_rows(x->seg, AP_SECTION_SERVICES) ? x->scaled[row] : 0;
    return n != 0 && ap_event_read(x->seg, n, ret) == 1;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------- */

struct view_index *view_index_take(const struct ap_segment *seg)
{
    struct view_index *x = tool_alloc(sizeof *x);
    x->seg = seg;
    return x;
}

void view_index_free(struct view_index *x)
{
    free(x->swarms.list);
    free(x->supervised.list);
    free(x->ends);
    free(x->rounds);
    free(x->scaled);
    free(x);
}
