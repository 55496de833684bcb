/* agents/kinds/exec_plan.h - what an agent of the kind "exec" runs: the keys command, env, directory and memory. And what both ways
 * to run it have in common: the numbers of failures, and the end of standard error.
 */
#ifndef AP_KINDS_EXEC_PLAN_H
#define AP_KINDS_EXEC_PLAN_H

#include <stddef.h>

#include "agents/kinds/child.h"
#include "agents/kinds/support.h"
#include "core/must_check.h"

#define AP_EXEC_PREFIX "APIARY_" /* of the variables that tell a program about its task (about.h) */

enum { AP_EXEC_PROTOCOL = 76, AP_EXEC_TIMEOUT = 124, AP_EXEC_OUTPUT = 125, AP_EXEC_CANNOT_RUN = 126, AP_EXEC_NO_PROGRAM = 127 };
enum { AP_EXEC_CANCELLED = 130 };

struct ap_exec_plan {
    apiary_agent_t *agent;
    struct ap_child_plan child; /* its environment is for the caller to set: the lines below, and what is to be beside them */
    char **arguments, **environment; /* on the agent's heap, both end with NULL */
};

/* In `create`, with `agent` set: 0, or an apiary_error, which is logged. To be freed in any case. */
AP_MUST_CHECK int ap_exec_plan_read(struct ap_exec_plan *plan);
void ap_exec_plan_free(struct ap_exec_plan *plan);
/* Whether processes can be watched here: 0, or an apiary_error, which is logged. */
AP_MUST_CHECK int ap_exec_can_watch(apiary_agent_t *agent);

/* The last of what a program has written to standard error. */
enum { AP_TAIL = 2048 };
struct ap_tail {
    char text[AP_TAIL]; /* a ring */
    size_t size;        /* of all that was written */
};
void ap_tail_add(struct ap_tail *tail, const char *data, size_t size);
/* As one printable text, " (standard error: ...)" or "". */
void ap_tail_text(const struct ap_tail *tail, char *ret, size_t capacity);
/* Its last whole line: the size of what is in `ret`. */
size_t ap_tail_line(const struct ap_tail *tail, char *ret, size_t capacity);

#endif
