/* tools/apiary_supervised.h - what supervisors say of instances (registry/monitor/supervised.h), for people and for programs. */
#ifndef AP_TOOLS_APIARY_SUPERVISED_H
#define AP_TOOLS_APIARY_SUPERVISED_H

#include "registry/monitor/supervised.h"
#include "tools/common.h"

/* "killed by signal 9"; "" for AP_END_NONE. */
void supervision_end_text(enum ap_child_end end, uint32_t code, enum ap_child_stage stage, char *ret, size_t size);

/* The row of an instance, that of who supervises it now before what others have left; false when there is none. */
AP_MUST_CHECK
bool supervision_of(const struct ap_segment *seg, const char *service, const char *instance, struct ap_supervised_view *ret);
/* Why it is as it is, when that is not plain from its passing: how it ended last, what is to come, who has gone. To be freed;
 * NULL: nothing to tell. */
char *supervision_text(const struct ap_supervised_view *v);
/* The same and all numbers; null when `v` is NULL. */
json_t *supervision_json(const struct ap_supervised_view *v);
uint32_t supervision_restarts(const struct ap_supervised_view *v);
/* A supervisor that has died, with instances that it had not stopped, and nobody in its stead. */
AP_MUST_CHECK bool supervision_lost(const struct ap_segment *seg, struct ap_supervised_view *ret);

#endif
