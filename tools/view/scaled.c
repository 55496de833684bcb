/* tools/view/scaled.c - the last word of the event log on how many instances an autoscaled service has, for observers. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shm/event.h"
#include "tools/common/event.h"
#include "tools/view/index.h"

/* False: there is none any more, or nobody scales it. */
static bool scaled_last(struct view_index *x, const apiary_swarm_status_t *s, struct ap_event *ret,
                        char said[AP_EVENT_TEXT + 1])
{
    if (!view_scaled_event(x, s, ret)) return false;
    ap_event_said(ret, said);
    return strstr(said, "autoscale") != NULL; /* a later change without it: it is scaled no longer, or was not */
}

void scaled_print(struct view_index *x, const apiary_swarm_status_t *s)
{
    char said[AP_EVENT_TEXT + 1], ago[32];
    struct ap_event e;
    if (!scaled_last(x, s, &e, said)) return;
    uint64_t now = ap_ops_system.realtime();
    char *shown = tool_printable(said, strlen(said));
    printf("%s: %s %" PRIu64 " instance%s for %s: %s\n", s->service, e.kind == AP_EVENT_SERVICE_HELD ? "held at" : "to have", e.b,
           e.b == 1 ? "" : "s", tool_format_duration(now > e.time ? now - e.time : 0, ago), shown);
    free(shown);
}

json_t *scaled_json(struct view_index *x, const apiary_swarm_status_t *s)
{
    char said[AP_EVENT_TEXT + 1], time[32];
    struct ap_event e;
    if (!scaled_last(x, s, &e, said)) return NULL;
    return json_pack("{s:o, s:b, s:I, s:s, s:o}", "service", tool_json_text(s->service), "held", e.kind == AP_EVENT_SERVICE_HELD,
                     "instances", (json_int_t)e.b, "time", tool_format_time(e.time, time), "said", tool_json_text(said));
}
