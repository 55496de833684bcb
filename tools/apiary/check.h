/* tools/apiary/check.h - what apiary check and wait ask alike. */
#ifndef AP_TOOLS_APIARY_CHECK_H
#define AP_TOOLS_APIARY_CHECK_H

#include "agents/deployment/deployment.h"
#include "tools/common/common.h"
#include "tools/view/supervised.h"

/* " (killed by signal 9 ...)": the supervisor's reason for an instance that does not pass, where one is `known`. To be freed. */
char *check_why_not(const apiary_swarm_status_t *s, struct ap_supervised_view *v, bool known);
/* The segment to look at: on another one than the file's all of it would be missing, or be somebody else's. */
int check_choose(const struct tool *t, const char *path, const struct ap_deployment *d, const char **ret);

#endif
