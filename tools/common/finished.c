/* tools/common/finished.c - the last tasks as the programs tell of them. See finished.h. */
#include "tools/common/finished.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "registry/discovery/discovery.h"
#include "tools/common/common.h"

#define ROUNDS_OF_GRACE 20u /* a record that does not come meanwhile is a dead writer's */

/* ---- records ------------------------------------------------------------------------------------------------------ */

struct finished_list {
    struct ap_finished *all;
    size_t count, room;
};

static void finished_add(struct finished_list *list, const struct ap_finished *r)
{
    if (list->count == list->room) {
        list->room = list->room > 0 ? 2 * list->room : 64;
        list->all = tool_realloc(list->all, list->room * sizeof *list->all);
    }
    list->all[list->count++] = *r;
}

static int finished_order(const void *a, const void *b)
{
    const struct ap_finished *one = a, *other = b;

    if (one->finished != other->finished) return one->finished < other->finished ? -1 : 1;
    return one->number < other->number ? -1 : one->number > other->number;
}

static size_t finished_sorted(struct finished_list *list, struct ap_finished **ret)
{
    if (list->count > 1) qsort(list->all, list->count, sizeof *list->all, finished_order);
    *ret = list->all;
    return list->count;
}

size_t finished_all(const struct ap_segment *seg, struct ap_finished **ret, uint64_t *ret_lost)
{
    uint32_t rings = ap_finished_rings(seg);
    struct finished_list list = {.count = 0};

    *ret_lost = 0;
    for (uint32_t ring = 0; ring < rings; ring++) {
        uint64_t first, end = ap_finished_numbers(seg, ring, &first);
        struct ap_finished r;

        if (ring < rings / 2) *ret_lost += first - 1;
        for (uint64_t number = first; number < end; number++)
            if (ap_finished_read(seg, ring, number, &r)) finished_add(&list, &r);
    }
    return finished_sorted(&list, ret);
}

/* ---- what comes --------------------------------------------------------------------------------------------------- */

void finished_tail_begin(const struct ap_segment *seg, struct finished_tail *ret)
{
    uint64_t first;

    *ret = (struct finished_tail){.rings = ap_finished_rings(seg)};
    ret->places = tool_alloc((ret->rings + 1) * sizeof *ret->places);
    for (uint32_t i = 0; i < ret->rings; i++)
        ret->places[i] = (struct finished_place){.next = ap_finished_numbers(seg, i, &first)};
}

static void finished_ring_next(const struct ap_segment *seg, struct finished_tail *tail, uint32_t ring, struct finished_list *list)
{
    struct finished_place *at = &tail->places[ring];
    uint64_t first, end = ap_finished_numbers(seg, ring, &first);
    struct ap_finished r;

    if (at->next < first) {
        tail->missed += first - at->next;
        at->next = first;
        at->waited = 0;
    }
    for (; at->next < end; at->next++) {
        int found = ap_finished_read(seg, ring, at->next, &r);

        if (!found && ++at->waited < ROUNDS_OF_GRACE) return; /* it is being written */
        if (found) finished_add(list, &r);
        else tail->missed++;
        at->waited = 0;
    }
}

size_t finished_tail_next(const struct ap_segment *seg, struct finished_tail *tail, struct ap_finished **ret)
{
    struct finished_list list = {.count = 0};

    for (uint32_t i = 0; i < tail->rings; i++) finished_ring_next(seg, tail, i, &list);
    return finished_sorted(&list, ret);
}

void finished_tail_end(struct finished_tail *tail)
{
    free(tail->places);
    tail->places = NULL;
}

/* ---- what they say ------------------------------------------------------------------------------------------------ */

uint64_t finished_time(const struct ap_segment *seg, uint64_t monotonic, bool live)
{
    const struct ap_header *h = seg->header;

    if (live) return seg->ops->realtime() - (seg->ops->now() - monotonic);
    return ap_load_relaxed(&h->created_realtime) + (monotonic - ap_load_relaxed(&h->created_monotonic));
}

uint64_t finished_waited(const struct ap_finished *r)
{
    uint64_t until = r->started != 0 ? r->started : r->finished;

    return until > r->queued ? until - r->queued : 0;
}

uint64_t finished_ran(const struct ap_finished *r)
{
    return r->started != 0 && r->finished > r->started ? r->finished - r->started : 0;
}

uint64_t finished_span(const struct ap_finished *r)
{
    return AP_REF(r->slot, r->generation);
}

bool finished_traced(const struct ap_finished *r)
{
    static const uint8_t none[sizeof r->trace];

    return memcmp(r->trace, none, sizeof none) != 0;
}

const char *finished_service(const struct ap_segment *seg, uint32_t queue, char ret[APIARY_NAME_MAX + 1])
{
    const struct ap_agent_record *agent = ap_agent_at(seg, queue);
    const struct ap_swarm *swarm = agent != NULL ? ap_swarm_at(seg, ap_load_relaxed(&agent->swarm)) : NULL;

    *ret = '\0';
    if (swarm != NULL) ap_service_name(seg, ap_load_relaxed(&swarm->service), ret);
    return ret;
}

const char *finished_agent(const struct ap_segment *seg, uint32_t queue, char ret[FINISHED_AGENT])
{
    const struct ap_agent_record *agent = ap_agent_at(seg, queue);
    char service[APIARY_NAME_MAX + 1], name[APIARY_NAME_MAX + 1] = "";

    finished_service(seg, queue, service);
    if (agent != NULL) ap_text_copy(name, agent->name, sizeof name);
    if (queue == AP_FINISHED_NONE) ap_format(ret, FINISHED_AGENT, "-");
    else if (*service == '\0' || *name == '\0') ap_format(ret, FINISHED_AGENT, "queue %u", queue);
    else ap_format(ret, FINISHED_AGENT, "%s/%s", service, name);
    return ret;
}

const char *finished_caller(const struct ap_segment *seg, const struct ap_finished *r, char ret[APIARY_NAME_MAX + 1])
{
    *ret = '\0';
    if (r->caller != 0) ap_service_name(seg, r->caller - 1u, ret);
    return ret;
}

const char *finished_capability(const struct ap_segment *seg, const struct ap_finished *r, char ret[APIARY_CAPABILITY_MAX + 1])
{
    *ret = '\0';
    ap_capability_name(seg, r->capability, ret);
    return ret;
}

void finished_task(const struct ap_finished *r, char ret[48])
{
    tool_format_task((apiary_task_t){.slot = r->slot, .epoch = r->epoch, .generation = r->generation}, ret);
}

void finished_trace(const struct ap_finished *r, char ret[33])
{
    for (size_t i = 0; i < sizeof r->trace; i++) snprintf(ret + 2 * i, 3, "%02x", r->trace[i]);
}

static json_t *span_json(uint64_t span)
{
    return span != 0 ? json_sprintf("%016" PRIx64, span) : json_null();
}

/* Times are ns, `at` of the wall's clock, all others of the segment's. */
json_t *finished_json(const struct ap_segment *seg, const struct ap_finished *r, bool live)
{
    char task[48], trace[33], agent[FINISHED_AGENT], caller[APIARY_NAME_MAX + 1], capability[APIARY_CAPABILITY_MAX + 1], time[32];
    uint64_t at = finished_time(seg, r->finished, live);
    json_t *o = json_object();

    finished_task(r, task);
    finished_trace(r, trace);
    json_object_set_new(o, "time", json_string(tool_format_time(at, time)));
    json_object_set_new(o, "at_ns", tool_json_number(at));
    json_object_set_new(o, "task", json_string(task));
    json_object_set_new(o, "end", json_string(ap_finish_text(r->how)));
    json_object_set_new(o, "error", r->code != 0 ? json_string(apiary_error_name(-(int)r->code)) : json_null());
    json_object_set_new(o, "agent_code", json_integer(r->agent_code));
    json_object_set_new(o, "capability", tool_json_text(finished_capability(seg, r, capability)));
    json_object_set_new(o, "caller", tool_json_text(finished_caller(seg, r, caller)));
    json_object_set_new(o, "agent", tool_json_text(finished_agent(seg, r->queue, agent)));
    json_object_set_new(o, "worker_pid", r->pid != 0 ? json_integer(r->pid) : json_null());
    json_object_set_new(o, "attempt", json_integer(r->attempt));
    json_object_set_new(o, "waited_ns", tool_json_number(finished_waited(r)));
    json_object_set_new(o, "ran_ns", r->started != 0 ? tool_json_number(finished_ran(r)) : json_null());
    json_object_set_new(o, "queued_ns", tool_json_number(r->queued));
    json_object_set_new(o, "started_ns", r->started != 0 ? tool_json_number(r->started) : json_null());
    json_object_set_new(o, "finished_ns", tool_json_number(r->finished));
    json_object_set_new(o, "body_size", json_integer(r->body_size));
    json_object_set_new(o, "result_size", json_integer(r->result_size));
    json_object_set_new(o, "trace", finished_traced(r) ? json_string(trace) : json_null());
    json_object_set_new(o, "span", span_json(finished_span(r)));
    json_object_set_new(o, "parent_span", span_json(r->parent));
    json_object_set_new(o, "sampled", json_boolean((r->flags & APIARY_TRACE_SAMPLED) != 0));
    json_object_set_new(o, "hedge", r->other == 0 ? json_null() : json_string(r->second ? "second copy" : "first copy"));
    json_object_set_new(o, "other_span", span_json(r->other));
    return o;
}
