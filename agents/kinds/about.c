/* agents/kinds/about.c - see about.h. */
#include "agents/kinds/about.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

const char *const ap_about_names[AP_ABOUT] = {"CAPABILITY", "CALLER", "TASK", "ATTEMPT", "TIMEOUT_MS", "TRACEPARENT"};

__attribute__((format(printf, 2, 3))) static void set(struct ap_about *about, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(about->value, sizeof about->value, format, args);
    va_end(args);
    for (char *c = about->value; *c; c++)
        if (*c <= ' ' || *c > '~') *c = '?';
}

void ap_about(const apiary_job_t *job, uint64_t left, struct ap_about ret[AP_ABOUT])
{
    apiary_task_t task = apiary_job_task(job);
    char traceparent[APIARY_TRACE_TEXT] = "";
    apiary_trace_t trace;
    for (size_t i = 0; i < AP_ABOUT; i++)
        ret[i].name = ap_about_names[i];
    set(&ret[0], "%s", apiary_job_capability(job));
    set(&ret[1], "%s", apiary_job_caller(job));
    set(&ret[2], "%" PRIx32 "-%" PRIx32 "-%" PRIx64, task.slot, task.epoch, task.generation);
    set(&ret[3], "%" PRIu32, apiary_job_attempt(job));
    set(&ret[4], "%" PRIu64, (left + 999999) / 1000000);
    if (apiary_job_trace(job, &trace) == 1) apiary_trace_format(&trace, traceparent);
    set(&ret[5], "%s", traceparent);
}
