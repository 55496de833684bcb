/* agents/kinds/about.h - what a program or a service outside is told of the task that it is run for. */
#ifndef AP_KINDS_ABOUT_H
#define AP_KINDS_ABOUT_H

#include "core/apiary/agent.h"

enum { AP_ABOUT = 5 };

/* In this order: CAPABILITY, CALLER ("" if it is no service), TASK (as `apiary task show` takes it), ATTEMPT (from 1)
 * and TIMEOUT_MS (what is left of its time at the start). */
extern const char *const ap_about_names[AP_ABOUT];

struct ap_about {
    const char *name; /* of the list above */
    char value[72];   /* printable, on one line: what stands in the segment is not trusted */
};
void ap_about(const apiary_job_t *job, uint64_t left, struct ap_about ret[AP_ABOUT]);

#endif
