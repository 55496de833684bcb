/* agents/runtime/noted.h - which ends of tasks a worker enters among the last tasks (shm/finished.h).
 *
 * COST      A start costs one comparison with the time from which a task is slow. An end costs none of its own: a task that takes
 *           long is looked at anyway (pace.h), and while somebody taps the time from which one takes long is 0. All others that are
 *           told of go another way than most: they failed, or have a mark.
 * TAP       A worker looks at header.tap after it has slept, and when it tells its counts. So of one that is awake up to 64 tasks
 *           are missed after a tap begins.
 * AFTER     It is told after the task's word says that it has ended, from the job, which the worker still has. The slot may be
 *           another task's by then. So the sampled trace and how often it was tried are kept when the job begins. Of all others the
 *           row of what they carry is believed if the slot's generation is the task's afterwards (carried.h, CARRIED-A1).
 * THREADS   The worker's.
 */
#ifndef AP_NOTED_H
#define AP_NOTED_H

#include "shm/finished.h"

struct ap_job;
struct ap_worker;

struct ap_noted {
    uint64_t from; /* ns of run time from which an end is looked at: AP_PACE_SLOW, or 0 */
    uint64_t slow; /* ns from which a task is told of for that */
    uint64_t tap;  /* header.tap, as it was seen last */
};

/* A job has of its task what could be another one's by its end. */
struct ap_noted_said {
    uint8_t trace[16];
    uint64_t parent, other; /* as in struct ap_finished, as the rest */
    uint8_t flags, second;
    uint16_t failures; /* starts that its agent has failed */
};

/* A job begins whose task has one of AP_REQUEST_SAMPLED and AP_REQUEST_TRIED: keeps in it what they say of it. */
void ap_noted_begin(struct ap_job *job, uint64_t request);
/* The worker begins, has slept, or tells its counts. */
void ap_noted_look(struct ap_worker *w);
/* A start of a task has ended: tells of it, if it is to be told of. `size`: of its result. */
void ap_noted(const struct ap_job *job, enum ap_finish how, int code, uint32_t agent_code, uint64_t now, size_t size);

#endif
