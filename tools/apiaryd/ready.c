/* tools/apiaryd/ready.c - see ready.h. */
#include "tools/apiaryd/ready.h"

#include <stdlib.h>
#include <string.h>

#include "registry/monitor/monitor.h"
#include "registry/monitor/supervised.h"
#include "tools/view/view.h"

/* All instances by the names of their services; to be freed. */
struct ready_rows {
    apiary_swarm_status_t *list;
    int count;
};

static struct ready_rows ready_look(apiary_t *a)
{
    struct ready_rows r = {.list = NULL};

    r.count = view_status(a, NULL, &r.list);
    return r;
}

/* The best state of a service's instances; 0: it has none. */
static int service_state(const struct ready_rows *rows, const char *service)
{
    int count, ret = 0;
    const apiary_swarm_status_t *own = view_rows_of(rows->list, rows->count, service, &count);

    for (int i = 0; i < count; i++) {
        int state = (int)own[i].state;

        if (state == APIARY_PASSING || ret == 0 || (ret != APIARY_PASSING && state < ret)) ret = state;
    }
    return ret;
}

bool ready_deployment(apiary_t *a, const struct ap_deployment *d)
{
    struct ready_rows rows = ready_look(a);
    bool ready = true;

    for (size_t i = 0; ready && i < d->swarm_count; i++) ready = service_state(&rows, d->swarms[i].service) == APIARY_PASSING;
    free(rows.list);
    return ready;
}

static void ready_lacks(json_t *list, const char *what, const char *why)
{
    json_array_append_new(list, json_pack("{s:o, s:s}", "what", tool_json_text(what), "why", why));
}

static void ready_service(const struct ready_rows *rows, const char *service, json_t *list)
{
    int state = service_state(rows, service);
    char why[64];

    if (state == APIARY_PASSING) return;
    snprintf(why, sizeof why, state == 0 ? "no instance has registered" : "no instance passes; the best is %s",
             tool_state_name(state));
    ready_lacks(list, service, why);
}

static int ready_name_order(const void *x, const void *y)
{
    return strcmp(x, y);
}

/* The services that a living supervisor runs: how many rows it has. */
static size_t ready_supervised(const struct ap_segment *seg, const struct ready_rows *rows, json_t *list)
{
    char(*names)[APIARY_NAME_MAX + 1] = tool_alloc((size_t)(seg->places[AP_SECTION_SUPERVISED].count + 1) * sizeof *names);
    struct ap_supervised_view v;
    size_t n = 0;

    for (uint32_t i = 0; ap_supervised_at(seg, i) != NULL; i++)
        if (ap_supervised_read(seg, i, &v) && v.supervised) memcpy(names[n++], v.service, sizeof *names);
    qsort(names, n, sizeof *names, ready_name_order);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i - 1], names[i]) != 0) ready_service(rows, names[i], list);
    free(names);
    return n;
}

json_t *ready_json(apiary_t *a, const struct ap_deployment *d, bool *ret_ready)
{
    struct ready_rows rows = ready_look(a);
    json_t *list = json_array();
    uint32_t holder, beats;
    uint64_t age;

    if (ap_segment_removed(a->seg)) ready_lacks(list, "segment", "it has lost its name: no process can attach any more");
    if (ap_monitor_stopped(a->seg, &holder, &beats, &age) && beats == AP_NO_LANE)
        ready_lacks(list, "monitor", "the process that watches for deaths is stopped, and no other does");
    if (ready_supervised(a->seg, &rows, list) == 0 && d != NULL)
        for (size_t i = 0; i < d->swarm_count; i++) ready_service(&rows, d->swarms[i].service, list);
    free(rows.list);
    *ret_ready = json_array_size(list) == 0;
    return json_pack("{s:b, s:o}", "ready", (int)*ret_ready, "lacking", list);
}
