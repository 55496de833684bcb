/* tools/view/status.c - the instances and the load of a segment as JSON. See view.h. */
#include <string.h>

#include "core/uring.h"
#include "tools/view/view.h"
#include "tools/view/supervised.h"

/* The operator's reason for the mode, "" when it is ready. */
const char *view_reason(const struct swarm_view *v)
{
    return v->mode != APIARY_READY ? v->reason : "";
}

static json_t *status_json(const apiary_swarm_status_t *s, const struct swarm_view *v)
{
    json_t *o = json_object();
    json_object_set_new(o, "service", tool_json_text(s->service));
    json_object_set_new(o, "instance", tool_json_text(s->instance));
    json_object_set_new(o, "version", tool_json_text(s->version));
    json_object_set_new(o, "tags", view_tags_json(v->tags));
    json_object_set_new(o, "pid", json_integer(s->pid));
    json_object_set_new(o, "state", json_string(tool_state_name((int)s->state)));
    json_object_set_new(o, "mode", json_string(tool_mode_name((int)s->mode)));
    json_object_set_new(o, "reason", tool_json_text(view_reason(v)));
    json_object_set_new(o, "health", view_health_json(v));
    json_object_set_new(o, "stuck_ns", json_integer((json_int_t)s->stuck));
    json_object_set_new(o, "park", v->park != AP_PARK_ANY ? json_string(ap_park_name(v->park)) : json_null());
    json_object_set_new(o, "port", json_integer(s->port));
    json_object_set_new(o, "agents", json_integer(s->agents));
    json_object_set_new(o, "ejected", json_integer(s->ejected));
    json_object_set_new(o, "queued", json_integer(s->queued));
    json_object_set_new(o, "running", json_integer(s->running));
    json_object_set_new(o, "delegations", json_integer(s->delegations));
    json_object_set_new(o, "max_delegations", json_integer(s->max_delegations));
    json_object_set_new(o, "delegations_waited", json_integer((json_int_t)v->waited));
    json_object_set_new(o, "started", json_integer((json_int_t)s->started));
    json_object_set_new(o, "finished", json_integer((json_int_t)s->finished));
    json_object_set_new(o, "done", json_integer((json_int_t)s->done));
    json_object_set_new(o, "failed", json_integer((json_int_t)s->failed));
    json_object_set_new(o, "late", json_integer((json_int_t)s->late));
    json_object_set_new(o, "cancelled", json_integer((json_int_t)s->cancelled));
    json_object_set_new(o, "beat_age_ns", json_integer((json_int_t)s->beat_age));
    json_object_set_new(o, "uptime_ns", json_integer((json_int_t)s->uptime));
    return o;
}

/* The record of a row. False, and all zero: there is none, or it has changed meanwhile. */
bool view_record_of(const struct ap_segment *seg, const apiary_swarm_status_t *s, struct swarm_view *ret)
{
    for (uint32_t i = 0; ap_swarm_at(seg, i) != NULL; i++) {
        if (view_swarm(seg, i, ret) && strcmp(ret->service, s->service) == 0 && strcmp(ret->instance, s->instance) == 0)
            return true;
    }
    memset(ret, 0, sizeof *ret);
    return false;
}

static json_t *end_json(const struct ap_segment *seg, const apiary_swarm_status_t *s)
{
    uint64_t ago;
    enum swarm_end end =
        s->state == APIARY_DOWN ? view_swarm_end(seg, s->service, s->instance, &ago) : SWARM_END_UNKNOWN;
    return end == SWARM_END_UNKNOWN ? json_null() : json_string(end == SWARM_END_DIED ? "died" : "left");
}

static json_t *usage_json(const struct ap_segment *seg)
{
    struct usage_view u;
    view_usage(seg, &u);
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:i, s:i, s:i}", "tasks", (int)u.tasks, "tasks_used", (int)u.tasks_used,
                     "slabs", (int)u.slabs, "slabs_leased", (int)u.slabs_leased, "results_not_collected",
                     (int)u.results, "results_left", (int)u.left, "results_forgotten", (json_int_t)u.forgotten,
                     "largest_block", (int)u.largest, "largest_blocks", (int)u.largest_blocks,
                     "largest_blocks_free", (int)u.largest_free);
}

/* How often the lanes without an inlet of their own, and tasks with a priority, had their turns at its agents. */
static uint64_t rounds_of(const struct ap_segment *seg, const struct swarm_view *v)
{
    uint64_t rounds = 0;
    for (uint32_t i = 0; v->service[0] != '\0' && i < seg->geometry.queues; i++) {
        uint32_t state = AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(seg, i)->life)); /* QUEUE-A4 pairs QUEUE-R4 */
        if ((state == AP_QUEUE_OPEN || state == AP_QUEUE_CLOSED) && ap_load_relaxed(&ap_agent_at(seg, i)->swarm) == v->index)
            rounds += ap_queue_rounds(seg, i);
    }
    return rounds;
}

/* The first of its service's rows, which stand together. */
bool view_is_first(const apiary_swarm_status_t *rows, int i)
{
    return i == 0 || strcmp(rows[i].service, rows[i - 1].service) != 0;
}

static json_t *scaled_list_json(const struct ap_segment *seg, const apiary_swarm_status_t *rows, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_t *one = view_is_first(rows, i) ? scaled_json(seg, rows[i].service) : NULL;
        if (one != NULL) json_array_append_new(list, one);
    }
    return list;
}

json_t *view_status_json(apiary_t *a, const char *segment, const apiary_swarm_status_t *rows, int n)
{
    int64_t daemon = view_daemon(a->seg);
    json_t *swarms = json_array(), *o = json_object();
    for (int i = 0; i < n; i++) {
        struct swarm_view record;
        struct ap_supervised_view v;
        bool known = supervision_seen(a->seg, &rows[i], &v);
        view_record_of(a->seg, &rows[i], &record);
        json_t *row = status_json(&rows[i], &record);
        json_object_set_new(row, "rounds", json_integer((json_int_t)rounds_of(a->seg, &record)));
        json_object_set_new(row, "ended", end_json(a->seg, &rows[i]));
        json_object_set_new(row, "supervision", supervision_json(known ? &v : NULL));
        json_array_append_new(swarms, row);
    }
    json_object_set_new(o, "segment", json_string(segment));
    json_object_set_new(o, "daemon", daemon != 0 ? json_integer(daemon) : json_null());
    json_object_set_new(o, "members", json_integer(view_members(a->seg, 0, UINT32_MAX)));
    json_object_set_new(o, "usage", usage_json(a->seg));
    json_object_set_new(o, "swarms", swarms);
    json_object_set_new(o, "scaled", scaled_list_json(a->seg, rows, n));
    return o;
}
