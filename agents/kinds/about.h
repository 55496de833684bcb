/* agents/kinds/about.h - the facts about a task that a program or an outside service is told. */
#ifndef AP_KINDS_ABOUT_H
#define AP_KINDS_ABOUT_H

#include "core/apiary/agent.h"

enum { AP_ABOUT = 6 };

/* In this order: CAPABILITY, CALLER ("" if the caller is no service), TASK (as `apiary task show` takes it), ATTEMPT (from 1),
 * TIMEOUT_MS (the time that is left at the start) and TRACEPARENT (as W3C Trace Context writes it, "" for a task without a
 * trace). */
extern const char *const ap_about_names[AP_ABOUT];

struct ap_about {
    const char *name; /* one of the list above */
    char value[72];   /* printable, on one line: the segment is not trusted */
};
void ap_about(const apiary_job_t *job, uint64_t left, struct ap_about ret[AP_ABOUT]);

#endif
