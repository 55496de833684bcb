/* tools/view/status.c - the instances and the load of a segment as JSON. See view.h. */
#include <string.h>

#include "core/uring.h"
#include "tools/view/index.h"

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

static json_t *end_json(struct view_index *x, const apiary_swarm_status_t *s)
{
    uint64_t ago;
    enum swarm_end end = s->state == APIARY_DOWN ? view_swarm_end(x, s->service, s->instance, &ago) : SWARM_END_UNKNOWN;
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

/* The first of its service's rows, which stand together. */
bool view_is_first(const apiary_swarm_status_t *rows, int i)
{
    return i == 0 || strcmp(rows[i].service, rows[i - 1].service) != 0;
}

static json_t *scaled_list_json(struct view_index *x, const apiary_swarm_status_t *rows, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_t *one = view_is_first(rows, i) ? scaled_json(x, &rows[i]) : NULL;
        if (one != NULL) json_array_append_new(list, one);
    }
    return list;
}

void view_row_append(void *user, json_t *row)
{
    json_array_append_new(user, row);
}

void view_status_rows(apiary_t *a, const apiary_swarm_status_t *rows, int n, view_row_fn visit, void *user)
{
    struct view_index *x = view_index_take(a->seg);
    for (int i = 0; i < n; i++) {
        struct swarm_view record;
        struct ap_supervised_view v;
        bool known = view_supervision_seen(x, &rows[i], &v);
        (void)view_record_of(x, rows[i].service, rows[i].instance, &record);
        json_t *row = status_json(&rows[i], &record);
        json_object_set_new(row, "rounds", json_integer((json_int_t)view_rounds(x, &record)));
        json_object_set_new(row, "ended", end_json(x, &rows[i]));
        json_object_set_new(row, "supervision", supervision_json(known ? &v : NULL));
        visit(user, row);
    }
    view_index_free(x);
}

json_t *view_status_head(apiary_t *a, const char *segment, const apiary_swarm_status_t *rows, int n)
{
    struct view_index *x = view_index_take(a->seg);
    int64_t daemon = view_daemon(a->seg);
    json_t *o = json_object();
    json_object_set_new(o, "segment", json_string(segment));
    json_object_set_new(o, "daemon", daemon != 0 ? json_integer(daemon) : json_null());
    json_object_set_new(o, "members", json_integer(view_members(a->seg, 0, UINT32_MAX)));
    json_object_set_new(o, "usage", usage_json(a->seg));
    json_object_set_new(o, "scaled", scaled_list_json(x, rows, n));
    view_index_free(x);
    return o;
}

json_t *view_status_json(apiary_t *a, const char *segment, const apiary_swarm_status_t *rows, int n)
{
    json_t *o = view_status_head(a, segment, rows, n), *swarms = json_array();
    view_status_rows(a, rows, n, view_row_append, swarms);
    json_object_set_new(o, "swarms", swarms);
    return o;
}
