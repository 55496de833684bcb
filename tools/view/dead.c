/* tools/view/dead.c - entries of the dead set as JSON. See view.h. */
#include <stdio.h>
#include <string.h>

#include "tools/view/view.h"

const char *view_dead_cause(const apiary_dead_t *d)
{
    if (d->code == APIARY_ECRASHED) return "crashed";
    if (d->code == APIARY_EOVERRUN) return "overrun";
    return d->code == APIARY_ELOST ? "lost" : "failed";
}

const char *view_dead_why(const apiary_dead_t *d, char *ret, size_t size)
{
    const char *name = d->signal != 0 ? sigabbrev_np((int)d->signal) : NULL;

    if (name != NULL) snprintf(ret, size, "crashed: SIG%s", name);
    else if (d->code == APIARY_EOVERRUN) snprintf(ret, size, "took too long");
    else if (d->code == APIARY_EAGENT) snprintf(ret, size, "failed with %u", d->agent_code);
    else snprintf(ret, size, "%s", d->code == APIARY_ELOST ? "lost its workers" : "ended its worker");
    return ret;
}

json_t *view_dead_json(const apiary_dead_t *d)
{
    char id[48], why[48], at[32];

    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "number",
                     (json_int_t)d->number, "task", tool_format_task(d->task, id), "died", tool_format_time(d->died, at), "error",
                     apiary_error_name(d->code), "cause", view_dead_cause(d), "why", view_dead_why(d, why, sizeof why), "text",
                     tool_json_text(d->text), "signal", (int)d->signal, "agent_code", (int)d->agent_code, "attempts",
                     (int)d->starts, "crashes", (int)d->crashes, "capability", tool_json_text(d->capability), "caller",
                     tool_json_text(d->caller), "service", tool_json_text(d->service), "instance", tool_json_text(d->instance),
                     "agent", tool_json_text(d->agent), "pid", (json_int_t)d->pid, "body_size", (json_int_t)d->size);
}

json_t *view_dead_all_json(apiary_t *a, const char *segment, uint64_t after, uint32_t most, uint64_t *ret_next)
{
    apiary_dead_t d = {.struct_size = sizeof d, .number = after};
    json_t *list = json_array();
    uint64_t dropped = 0;

    *ret_next = 0;
    while (apiary_dead_next(a, d.number, &d) == 1) {
        if (d.dropped > dropped) dropped = d.dropped;
        if (json_array_size(list) == most) {
            *ret_next = d.number - 1;
            break;
        }
        json_array_append_new(list, view_dead_json(&d));
    }
    return json_pack("{s:s, s:I, s:o}", "segment", segment, "dropped", (json_int_t)dropped, "dead", list);
}
