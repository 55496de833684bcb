/* tools/view/supervised.h - the supervisors' records of instances (registry/monitor/supervised.h), for people and for
 * programs. */
#ifndef AP_TOOLS_VIEW_SUPERVISED_H
#define AP_TOOLS_VIEW_SUPERVISED_H

#include "registry/monitor/supervised.h"
#include "tools/common/common.h"

/* "killed by signal 9"; "" for AP_END_NONE. */
void supervision_end_text(enum ap_child_end end, uint32_t code, enum ap_child_stage stage, char *ret, size_t size);

/* The row of an instance: its present supervisor's, else one that a former supervisor has left. False when there is none. */
AP_MUST_CHECK
bool supervision_of(const struct ap_segment *seg, const char *service, const char *instance, struct ap_supervised_view *ret);
/* For index.c, too: whether it is that instance's; whether it counts more than another one of it. One that has just registered is
 * known to all before its supervisor's next look: its record is told as that look will have it. */
bool supervision_is(const struct ap_supervised_view *v, const char *service, const char *instance);
bool supervision_counts_more(const struct ap_supervised_view *v, const struct ap_supervised_view *than);
void supervision_as_seen(const apiary_swarm_status_t *s, struct ap_supervised_view *v);
/* The reason for an instance's state, unless it simply passes: how it ended last, what comes next, whether its supervisor has
 * gone. To be freed; NULL: there is none. */
char *supervision_text(const struct ap_supervised_view *v);
/* The same and all numbers; null when `v` is NULL. */
json_t *supervision_json(const struct ap_supervised_view *v);
uint32_t supervision_restarts(const struct ap_supervised_view *v);
/* A supervisor that has died, with instances that it had not stopped, and nobody in its stead. */
AP_MUST_CHECK bool supervision_lost(const struct ap_segment *seg, struct ap_supervised_view *ret);

#endif
