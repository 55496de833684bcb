/* tools/view/agents.c - the agents of a segment, by their services. See view.h. */
#include <stdlib.h>
#include <string.h>

#include "registry/discovery/discovery.h"
#include "tools/view/view.h"

static json_t *agent_json(const struct ap_segment *seg, const struct agent_view *v)
{
    json_t *capabilities = json_array();
    for (uint32_t i = 0; i < v->capability_count; i++) {
        char name[APIARY_CAPABILITY_MAX + 1];
        ap_capability_name(seg, v->capabilities[i], name);
        json_array_append_new(capabilities, tool_json_text(name));
    }
    json_t *o = json_object();
    json_object_set_new(o, "service", tool_json_text(v->swarm.service));
    json_object_set_new(o, "instance", tool_json_text(v->swarm.instance));
    json_object_set_new(o, "version", tool_json_text(v->swarm.version));
    json_object_set_new(o, "tags", view_tags_json(v->swarm.tags));
    json_object_set_new(o, "weight", json_integer(v->swarm.weight));
    json_object_set_new(o, "port", json_integer(v->swarm.port));
    json_object_set_new(o, "health_endpoint", view_endpoint_json(v->swarm.health_endpoint));
    json_object_set_new(o, "metrics_endpoint", view_endpoint_json(v->swarm.metrics_endpoint));
    json_object_set_new(o, "agent", tool_json_text(v->name));
    json_object_set_new(o, "alive", json_boolean(v->open && v->swarm.alive));
    json_object_set_new(o, "pid", json_integer(v->swarm.pid));
    json_object_set_new(o, "queue", json_integer(v->queue));
    json_object_set_new(o, "queued", json_integer(v->depth));
    json_object_set_new(o, "running", json_integer(v->running));
    json_object_set_new(o, "done", json_integer((json_int_t)v->counts.done));
    json_object_set_new(o, "failed", json_integer((json_int_t)v->counts.failed));
    json_object_set_new(o, "late", json_integer((json_int_t)v->counts.late));
    json_object_set_new(o, "cancelled", json_integer((json_int_t)v->counts.cancelled));
    json_object_set_new(o, "capabilities", capabilities);
    return o;
}

static int compare_agents(const void *a, const void *b)
{
    const struct agent_view *x = a;
    const struct agent_view *y = b;
    int c = strcmp(x->swarm.service, y->swarm.service);
    if (c == 0) c = strverscmp(x->swarm.instance, y->swarm.instance);
    return c != 0 ? c : (x->queue > y->queue) - (x->queue < y->queue);
}

/* Whether its instance is meant. */
static bool services_meant(const struct ap_instance_query *query, const struct agent_view *v)
{
    apiary_instance_t instance = {.struct_size = sizeof instance};

    memcpy(instance.service, v->swarm.service, sizeof instance.service);
    memcpy(instance.version, v->swarm.version, sizeof instance.version);
    memcpy(instance.tags, v->swarm.tags, sizeof instance.tags);
    return ap_instance_meant(query, &instance);
}

size_t view_agents(const struct ap_segment *seg, const struct ap_instance_query *query, struct agent_view **ret)
{
    struct agent_view *all = tool_alloc(seg->geometry.queues * sizeof *all);
    size_t n = 0;
    for (uint32_t i = 0; i < seg->geometry.queues; i++)
        n += view_agent(seg, i, &all[n]) && services_meant(query, &all[n]);
    qsort(all, n, sizeof *all, compare_agents);
    *ret = all;
    return n;
}

json_t *view_agents_json(const struct ap_segment *seg, const char *segment, const struct agent_view *agents, size_t n)
{
    json_t *list = json_array(), *o = json_object();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, agent_json(seg, &agents[i]));
    json_object_set_new(o, "segment", json_string(segment));
    json_object_set_new(o, "agents", list);
    return o;
}
