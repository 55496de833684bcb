/* agents/architecture_service/components.c - kind "components": what a graph of components and their dependencies says.
 *
 *   component_analysis {"dependencies":{"a":["b","c"],"b":[],"c":["b"]}} ->
 *     {"components":[{"name":"a","needs":2,"needed_by":0,"instability":1.0,"reach":2}],"cycles":[["x","y"]]}
 *     instability is needs / (needs + needed_by) (R. Martin); reach: how many components it needs, also indirectly.
 *     cycles: the strongly connected components of more than one, or of one that needs itself.
 *   system_design {"layers":["core","shm","tools"],"of":{"a":"core","b":"tools"},"dependencies":{"b":["a"]}} ->
 *     {"sound":false,"violations":[{"from":"a","to":"b","because":"..."}]}   a component may need its own layer and those before it
 */
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { COMPONENTS_MOST = 256 };

struct graph {
    size_t count;
    const char *names[COMPONENTS_MOST];
    bool needs[COMPONENTS_MOST][COMPONENTS_MOST], reaches[COMPONENTS_MOST][COMPONENTS_MOST];
};

/* The number of a name, added when it is new; COMPONENTS_MOST when there is no room. */
static size_t number_of(struct graph *g, const char *name)
{
    size_t i = 0;
    while (i < g->count && strcmp(g->names[i], name) != 0)
        i++;
    if (i == g->count && i < COMPONENTS_MOST) g->names[g->count++] = name;
    return i;
}

static bool read_graph(apiary_job_t *job, const json_t *request, struct graph *g)
{
    const json_t *dependencies;
    const char *name;
    json_t *list, *item;
    size_t i;
    if (!ap_need_object(job, request, "dependencies", &dependencies)) return false;
    json_object_foreach((json_t *)dependencies, name, list) if (number_of(g, name) == COMPONENTS_MOST) goto too_many;
    json_object_foreach((json_t *)dependencies, name, list)
    {
        size_t from = number_of(g, name);
        if (!json_is_array(list)) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "what \"%s\" needs is not a list of names", name);
            return false;
        }
        json_array_foreach(list, i, item)
        {
            if (!json_is_string(item)) {
                apiary_job_fail(job, AP_CODE_BAD_REQUEST, "what \"%s\" needs is not a list of names", name);
                return false;
            }
            size_t to = number_of(g, json_string_value(item));
            if (to == COMPONENTS_MOST) goto too_many;
            g->needs[from][to] = true;
        }
    }
    return true;
too_many:
    apiary_job_fail(job, AP_CODE_TOO_LARGE, "more than %d components", COMPONENTS_MOST);
    return false;
}

static void close_graph(struct graph *g)
{
    memcpy(g->reaches, g->needs, sizeof g->needs);
    for (size_t via = 0; via < g->count; via++)
        for (size_t from = 0; from < g->count; from++)
            if (g->reaches[from][via])
                for (size_t to = 0; to < g->count; to++)
                    g->reaches[from][to] |= g->reaches[via][to];
}

static json_t *components_describe(const struct graph *g)
{
    json_t *list = json_array();
    for (size_t c = 0; c < g->count; c++) {
        int needs = 0, needed = 0, reach = 0;
        for (size_t other = 0; other < g->count; other++) {
            needs += g->needs[c][other] && other != c;
            needed += g->needs[other][c] && other != c;
            reach += g->reaches[c][other] && other != c;
        }
        double instability = needs + needed ? (double)needs / (needs + needed) : 0;
        json_array_append_new(list, json_pack("{s:s,s:i,s:i,s:f,s:i}", "name", g->names[c], "needs", needs, "needed_by",
                                              needed, "instability", instability, "reach", reach));
    }
    return list;
}

/* Two components are in one cycle when each reaches the other. */
static json_t *cycles(const struct graph *g)
{
    json_t *list = json_array();
    bool done[COMPONENTS_MOST] = {false};
    for (size_t c = 0; c < g->count; c++) {
        if (done[c] || !g->reaches[c][c]) continue;
        json_t *cycle = json_array();
        for (size_t other = c; other < g->count; other++)
            if (other == c || (g->reaches[c][other] && g->reaches[other][c])) {
                done[other] = true;
                json_array_append_new(cycle, json_string(g->names[other]));
            }
        json_array_append_new(list, cycle);
    }
    return list;
}

static void components_analyse(void *state, apiary_job_t *job, const json_t *request)
{
    struct graph *g = apiary_agent_alloc(state, sizeof *g);
    if (!g) {
        ap_out_of_memory(job);
        return;
    }
    memset(g, 0, sizeof *g);
    if (read_graph(job, request, g)) {
        close_graph(g);
        ap_answer(job, "{s:o,s:o}", "components", components_describe(g), "cycles", cycles(g));
    }
    apiary_agent_free(state, g);
}

static int layer_of(const json_t *layers, const json_t *of, const char *component)
{
    const char *layer = json_string_value(json_object_get(of, component));
    size_t i;
    json_t *item;
    json_array_foreach(layers, i, item) if (layer && json_is_string(item) &&
                                            strcmp(layer, json_string_value(item)) == 0) return (int)i;
    return -1;
}

static void check_design(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *layers, *of;
    struct graph *g;
    if (!ap_need_array(job, request, "layers", 64, &layers) || !ap_need_object(job, request, "of", &of)) return;
    if (!(g = apiary_agent_alloc(state, sizeof *g))) {
        ap_out_of_memory(job);
        return;
    }
    memset(g, 0, sizeof *g);
    if (read_graph(job, request, g)) {
        json_t *violations = json_array();
        for (size_t from = 0; from < g->count; from++)
            for (size_t to = 0; to < g->count; to++) {
                int above = layer_of(layers, of, g->names[from]), below = layer_of(layers, of, g->names[to]);
                const char *why = above < 0 || below < 0 ? "a component without a layer"
                                  : below > above        ? "needs a layer above its own"
                                                         : NULL;
                if (g->needs[from][to] && why)
                    json_array_append_new(violations, json_pack("{s:s,s:s,s:s}", "from", g->names[from], "to",
                                                                g->names[to], "because", why));
            }
        ap_answer(job, "{s:b,s:o}", "sound", json_array_size(violations) == 0, "violations", violations);
    }
    apiary_agent_free(state, g);
}

const struct ap_function ap_functions_components[] = {
    {.capability = "component_analysis",
     .call = components_analyse,
     .in = AP_OBJECT("'dependencies'", "'dependencies':{'type':'object','additionalProperties':{'type':'array',"
           "'items':{'type':'string'}}}"),
     .out = AP_OBJECT("'components','cycles'", "'components':{'type':'array','items':{'type':'object'}},"
                      "'cycles':{'type':'array','items':{'type':'array','items':{'type':'string'}}}"),
     .bound = "256 components, 17 million steps",
     .again = AP_AGAIN_SAME,
     .send = "{\"dependencies\":{\"a\":[\"b\"],\"b\":[\"a\"]}}",
     .answer = "{\"components\":[{\"name\":\"a\",\"needs\":1,\"needed_by\":1,\"instability\":0.5,\"reach\":1},"
           "{\"name\":\"b\",\"needs\":1,\"needed_by\":1,\"instability\":0.5,\"reach\":1}],\"cycles\":[[\"a\",\"b\"]]}"},
    {.capability = "system_design",
     .call = check_design,
     .in = AP_OBJECT("'layers','of','dependencies'", "'layers':{'type':'array','items':{'type':'string'},'maxItems':64},"
                      "'of':{'type':'object','additionalProperties':{'type':'string'}},"
                      "'dependencies':{'type':'object','additionalProperties':{'type':'array',"
           "'items':{'type':'string'}}}"),
     .out = AP_OBJECT("'sound','violations'", "'sound':{'type':'boolean'},"
                      "'violations':{'type':'array','items':{'type':'object'}}"),
     .bound = "256 components",
     .again = AP_AGAIN_SAME,
     .send = "{\"layers\":[\"core\",\"shm\"],\"of\":{\"ops\":\"core\",\"ring\":\"shm\"},"
           "\"dependencies\":{\"ring\":[\"ops\"],\"ops\":[]}}",
     .answer = "{\"sound\":true,\"violations\":[]}"},
    {.capability = NULL},
};

static void components_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_components, state, job);
}

const apiary_agent_kind_t ap_kind_components = {
    APIARY_AGENT_KIND,
    .name = "components",
    .what = "component_analysis, system_design: metrics, cycles and layer violations of a dependency graph",
    .create = ap_create_plain,
    .handle = components_handle,
    .capabilities = (const char *const[]){"component_analysis", "system_design", NULL},
};
