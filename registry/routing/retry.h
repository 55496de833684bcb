/* registry/routing/retry.h - whether a task that its agent has failed is tried again, and when.
 *
 * POLICY    1 The task carries it (apiary_retry_t). max_attempts counts starts that ended in a failure; deaths of workers are
 *           counted and bounded apart (crashes, shm/task.h).
 *           2 The pause is a random time between 0 and a bound, so that tasks that failed together do not come back together. The
 *           bound begins at `backoff` and is multiplied for each further failure, up to `cap`.
 *           3 The agent may ask for a pause of its own, or for none (apiary_job_retry).
 * AGAIN     The worker's thread puts the task back: RUNNING -> SCHEDULED, with its failures in the word and its due time in the
 *           slot. The request is as it was. The agent's code of the failed attempt stands in the slot until the next has ended.
 * BUDGET    1 Of each agent: a fifth of the tasks that it has started and ten a second; what is not used is forgotten after 10 s.
 *           A retry costs one. So a callee that fails everything gets a fifth more load, and not a multiple.
 *           2 Private memory of its worker. A queen that is started again begins with what ten seconds give.
 */
#ifndef AP_RETRY_H
#define AP_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/apiary.h"

#define AP_TRIES_MAX 32u

#define AP_TRIED ((enum apiary_untried)UINT16_MAX) /* it is tried again */

bool ap_retry_possible(const apiary_retry_t *p);
/* Whether the policy has it tried again after `failures` earlier ones and this one. `code` is the agent's. */
enum apiary_untried ap_retry_judge(const apiary_retry_t *p, uint32_t failures, uint32_t code);
/* The pause after `failures` earlier ones and this one, ns. `random` is any number. */
uint64_t ap_retry_pause(const apiary_retry_t *p, uint32_t failures, uint64_t random);

struct ap_retry_budget {
    uint64_t left;    /* thousandths of a retry */
    uint64_t at;      /* CLOCK_MONOTONIC; 0: not begun */
    uint64_t started; /* tasks by then */
};
/* Takes one retry: whether there was one. `started` is the number of tasks that the agent has started so far. */
bool ap_retry_take(struct ap_retry_budget *b, uint64_t started, uint64_t now);

#endif
