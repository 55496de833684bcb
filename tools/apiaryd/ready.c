/* tools/apiaryd/ready.c - see ready.h. */
#include "tools/apiaryd/ready.h"

#include <stdlib.h>
#include <string.h>

#include "registry/monitor/monitor.h"
#include "registry/monitor/supervised.h"

/* The best state of a service's instances; 0: it has none. */
static int service_state(apiary_t *a, const char *service)
{
    apiary_swarm_status_t *rows;
    int n = apiary_swarm_status(a, service, NULL, 0), room = n, ret = 0;

    if (n <= 0) return 0;
    rows = tool_alloc((size_t)room * sizeof *rows);
    rows[0].struct_size = sizeof *rows;
    n = apiary_swarm_status(a, service, rows, (size_t)room);
    for (int i = 0; i < n && i < room; i++) {
        int state = (int)rows[i].state;

        if (state == APIARY_PASSING || ret == 0 || (ret != APIARY_PASSING && state < ret)) ret = state;
    }
    free(rows);
    return ret;
}

bool ready_deployment(apiary_t *a, const struct ap_deployment *d)
{
    for (size_t i = 0; i < d->swarm_count; i++)
        if (service_state(a, d->swarms[i].service) != APIARY_PASSING) return false;
    return true;
}

static void ready_lacks(json_t *list, const char *what, const char *why)
{
    json_array_append_new(list, json_pack("{s:o, s:s}", "what", tool_json_text(what), "why", why));
}

static void ready_service(apiary_t *a, const char *service, json_t *list)
{
    int state = service_state(a, service);
    char why[64];

    if (state == APIARY_PASSING) return;
    snprintf(why, sizeof why, state == 0 ? "no instance has registered" : "no instance passes; the best is %s",
             tool_state_name(state));
    ready_lacks(list, service, why);
}

/* Whether a row before this one is of the same service. */
static bool ready_named(const struct ap_segment *seg, uint32_t row, const char *service)
{
    struct ap_supervised_view v;

    for (uint32_t i = 0; i < row; i++)
        if (ap_supervised_read(seg, i, &v) && v.supervised && strcmp(v.service, service) == 0) return true;
    return false;
}

/* The services that a living supervisor runs: how many rows it has. */
static uint32_t ready_supervised(apiary_t *a, json_t *list)
{
    struct ap_supervised_view v;
    uint32_t n = 0;

    for (uint32_t i = 0; ap_supervised_at(a->seg, i) != NULL; i++) {
        if (!ap_supervised_read(a->seg, i, &v) || !v.supervised) continue;
        n++;
        if (!ready_named(a->seg, i, v.service)) ready_service(a, v.service, list);
    }
    return n;
}

json_t *ready_json(apiary_t *a, const struct ap_deployment *d, bool *ret_ready)
{
    json_t *list = json_array();
    uint32_t holder, beats;
    uint64_t age;

    if (ap_segment_removed(a->seg)) ready_lacks(list, "segment", "it has lost its name: no process can attach any more");
    if (ap_monitor_stopped(a->seg, &holder, &beats, &age) && beats == AP_NO_LANE)
        ready_lacks(list, "monitor", "the process that watches for deaths is stopped, and no other does");
    if (ready_supervised(a, list) == 0 && d != NULL)
        for (size_t i = 0; i < d->swarm_count; i++) ready_service(a, d->swarms[i].service, list);
    *ret_ready = json_array_size(list) == 0;
    return json_pack("{s:b, s:o}", "ready", (int)*ret_ready, "lacking", list);
}
