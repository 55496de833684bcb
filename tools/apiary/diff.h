/* tools/apiary/diff.h - the differences between two configurations as JSON and as a table. */
#ifndef AP_TOOLS_APIARY_DIFF_H
#define AP_TOOLS_APIARY_DIFF_H

#include "agents/deployment/deployment_diff.h"
#include "tools/common/common.h"

/* A list of objects {change, service, agent, key, before, after, effect, line}. */
json_t *differences_json(const struct ap_differences *d);
/* Such a list as a table on standard output. */
void differences_print(const json_t *list);
/* "weight of good" or "agent a of good": one of the list, for a line of a log. To be freed. */
char *difference_name(const struct ap_difference *d);

#endif
