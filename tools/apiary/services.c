/* tools/apiary/services.c - apiary services, discover: who is registered, and who offers a capability. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "registry/discovery/tags.h"

/* ---- services ------------------------------------------------------------------------------------------------- */

static const struct tool_usage services_usage = {
    .command = "services",
    .arguments = "[SERVICE[@MAJOR]]",
    .what = "Shows every service with its agents and the capabilities that they offer.",
    .more = "With --watch: the registered instances, and then each change of them. Each line has the event, its revision, the\n"
            "instance, its mode, weight, version and tags. Changes come after 'synced'. 'behind' says that some are not known\n"
            "any more: forget what came before, the present instances follow.",
    .most = 1,
    .json = true,
    .table = true,
};

static char *capability_list(const struct ap_segment *seg, const struct agent_view *v)
{
    char *list = tool_strdup("");
    for (uint32_t i = 0; i < v->capability_count; i++) {
        char name[APIARY_CAPABILITY_MAX + 1];
        ap_capability_name(seg, v->capabilities[i], name);
        char *longer = tool_format("%s%s%s", list, i > 0 ? " " : "", name);
        free(list);
        list = longer;
    }
    return list;
}

static int services_table(const struct ap_segment *seg, const struct agent_view *agents, size_t n)
{
    struct tool_table *table = tool_table_new((const char *const[]){"service", "instance", "agent", "alive", "capabilities", NULL});
    for (size_t i = 0; i < n; i++) {
        char *capabilities = capability_list(seg, &agents[i]);
        bool is_alive = agents[i].open && agents[i].swarm.alive;
        tool_table_add(table, (const char *const[]){agents[i].swarm.service, agents[i].swarm.instance, agents[i].name,
                                                    is_alive ? "yes" : "no", capabilities});
        tool_table_mark(table, 3, is_alive ? '+' : '!');
        free(capabilities);
    }
    tool_table_print(table, stdout);
    for (size_t i = 0; i < n; i++)
        if (agents[i].swarm.tags[0] != '\0' && (i == 0 || agents[i].swarm.index != agents[i - 1].swarm.index))
            printf("%s/%s: %s\n", agents[i].swarm.service, agents[i].swarm.instance, agents[i].swarm.tags);
    return TOOL_OK;
}

/* The query, or a sentence that says what is wrong with it. */
static int services_query(const struct tool *t, const apiary_instance_query_t *query, struct ap_instance_query *ret)
{
    if (!ap_tags_valid(query->tags))
        return tool_usage_error(t, &services_usage, "--tag: '%s' is not a tag, nor several with one space between", query->tags);
    if (ap_instance_query_read(query, ret) < 0)
        return tool_usage_error(t, &services_usage, "'%s' is not a name of a service, nor one with a major, such as orders@2",
                                query->service);
    return TOOL_OK;
}

int cmd_services(struct tool *t, int argc, char **argv)
{
    apiary_instance_query_t query = {.struct_size = sizeof query};
    const char *revision = NULL;
    bool watch = false;
    const struct tool_option options[] = {
        {"tag", 'T', "TAG", "only of instances that have this tag; several in quotes: all of these", &query.tags, NULL},
        {"watch", 'w', NULL, "print the instances, and then each change of them as it comes", NULL, &watch},
        {"revision", 'r', "REVISION", "with --watch: only what came after this revision", &revision, NULL},
        {.name = NULL},
    };
    struct ap_instance_query meant;
    uint64_t from = 0;
    int rc = tool_parse(t, &services_usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    query.service = argc > 0 ? argv[0] : NULL;
    rc = services_query(t, &query, &meant);
    if (rc != TOOL_OK) return rc;
    if (revision != NULL && (!watch || !tool_revision(revision, &from)))
        return tool_usage_error(t, &services_usage,
                                watch ? "--revision: '%s' is not a revision as --watch prints it"
                                      : "--revision %s is of a watch: add --watch", revision);
    if (watch) return services_watch(t, &query, from);
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    struct agent_view *agents = NULL;
    size_t n = view_agents(a->seg, &meant, &agents);
    if (n == 0 && (query.service != NULL || query.tags != NULL))
        rc = tool_fail(t, TOOL_NO_PROVIDER, "services: no instance is such; 'apiary services' lists all");
    else if (t->json) rc = tool_json_print(view_agents_json(a->seg, tool_segment(t, NULL), agents, n));
    else rc = services_table(a->seg, agents, n);
    free(agents);
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* ---- discover ------------------------------------------------------------------------------------------------- */

static const struct tool_usage discover_usage = {
    .command = "discover",
    .arguments = "CAPABILITY",
    .what = "Shows which agents offer a capability, and their load. Exit code 4: none of them would be given a task.",
    .least = 1,
    .most = 1,
    .json = true,
    .table = true,
};

static bool alive(const struct agent_view *v)
{
    return v->open && v->swarm.alive;
}

static uint32_t in_flight(const struct agent_view *v)
{
    return v->depth + (v->open ? v->running : 0);
}

static json_t *look_provider_json(const struct ap_segment *seg, const struct agent_view *v)
{
    json_t *o = json_object();
    uint64_t life = ap_load_relaxed(&ap_queue_at(seg, v->queue)->life);
    json_object_set_new(o, "provider", alive(v) ? json_integer((json_int_t)AP_PROVIDER(v->queue, life)) : json_null());
    json_object_set_new(o, "service", tool_json_text(v->swarm.service));
    json_object_set_new(o, "instance", tool_json_text(v->swarm.instance));
    json_object_set_new(o, "agent", tool_json_text(v->name));
    json_object_set_new(o, "pid", json_integer(v->swarm.pid));
    json_object_set_new(o, "in_flight", json_integer(in_flight(v)));
    json_object_set_new(o, "tags", view_tags_json(v->swarm.tags));
    json_object_set_new(o, "alive", json_boolean(alive(v)));
    json_object_set_new(o, "mode", json_string(tool_mode_name((int)v->swarm.mode)));
    return o;
}

static void look_provider_row(struct tool_table *table, const struct agent_view *v)
{
    char pid[24], load[16];
    snprintf(pid, sizeof pid, "%" PRId64, v->swarm.pid);
    snprintf(load, sizeof load, "%u", in_flight(v));
    tool_table_add(table, (const char *const[]){v->swarm.service, v->swarm.instance, v->name, v->swarm.pid != 0 ? pid : "-", load,
                                                alive(v) ? "yes" : "no", tool_mode_name((int)v->swarm.mode)});
    tool_table_mark(table, 5, alive(v) ? '+' : '!');
    tool_table_mark(table, 6, v->swarm.mode == APIARY_READY ? '+' : '~');
}

/* Those that the capability's index names, and whether any would be picked: alive, and its swarm ready. */
static int look_discover(const struct tool *t, const struct ap_segment *seg, const char *name, const char *tags)
{
    int capability = ap_capability_find(seg, name, strlen(name));
    if (capability < 0) return tool_error(t, APIARY_ENOCAP, NULL, "discover %s", name);
    json_t *list = json_array();
    struct tool_table *table = NULL;
    uint32_t picked = 0;
    int rc = TOOL_OK;
    struct agent_view v;
    for (int q = -1; (q = ap_capability_next(seg, (uint32_t)capability, (uint32_t)(q + 1))) >= 0;) {
        if (!view_agent(seg, (uint32_t)q, &v) || !ap_tags_have(v.swarm.tags, tags)) continue;
        if (table == NULL && !t->json)
            table = tool_table_new(
                (const char *const[]){"service", "instance", "agent", "?>pid", ">in flight", "alive", "mode", NULL});
        if (t->json) json_array_append_new(list, look_provider_json(seg, &v));
        else look_provider_row(table, &v);
        picked += alive(&v) && v.swarm.mode == APIARY_READY;
    }
    if (table != NULL) tool_table_print(table, stdout);
    if (t->json) rc = tool_json_print(json_pack("{s:s, s:O}", "capability", name, "providers", list));
    json_decref(list);
    return rc == TOOL_OK && picked == 0 ? tool_error(t, APIARY_ENOPROVIDER, NULL, "discover %s", name) : rc;
}

int cmd_discover(struct tool *t, int argc, char **argv)
{
    const char *tags = "";
    const struct tool_option options[] = {
        {"tag", 'T', "TAG", "only of instances that have this tag; several in quotes: all of these", &tags, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &discover_usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (!ap_tags_valid(tags))
        return tool_usage_error(t, &discover_usage, "--tag: '%s' is not a tag, nor several with one space between", tags);
    if (!ap_capability_valid(argv[0]))
        return tool_usage_error(t, &discover_usage, "'%s' is not a capability name", argv[0]);
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    rc = look_discover(t, a->seg, argv[0], tags);
    apiary_detach(a);
    return tool_finish(t, rc);
}

