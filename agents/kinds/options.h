/* agents/kinds/options.h - how the tasks are to be run that an agent delegates: keys of its configuration, and the member "options"
 * of a request.
 *
 * 1 They are those of `apiary delegate` (apiary_option_set), except for what only one task can have (a trace, a time of day) and
 *   for what nobody could fetch (keep). In JSON a value is a text as on the command line, a whole number, or true and false.
 * 2 A request's come after the agent's own, one by one. Neither gives a task more time than that of its parent.
 */
#ifndef AP_KINDS_OPTIONS_H
#define AP_KINDS_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>

#include "core/apiary/agent.h"
#include "core/must_check.h"

/* In the table of a kind's keys: of the tasks that it delegates. */
#define AP_OPTION_KEYS \
    {"timeout", 'o', 0, "how long all of a task that it delegates may take (5s) [the segment's task_timeout]", 0, 0}, \
    {"wait_for_provider", 'o', 0, "true: it waits for a provider where none is there [false]", 0, 0}, \
    {"probe", 'o', 0, "true: it asks whether an agent of the capability goes on, and runs nothing [false]", 0, 0}, \
    {"hops", 'o', 0, "tasks that may follow one from another, it included [one less than the agent's own]", 0, 0}, \
    {"delay", 'o', 0, "how long it is not to be run [not at all]", 0, 0}, \
    {"retry", 'o', 0, "attempts at it, and how they are spaced: 5, or \"5,backoff=100ms,never=7\" [1]", 0, 0}, \
    {"key", 'o', 0, "the key by which its provider is chosen, if the capability balances so [none]", 0, 0}, \
    {"dedup_key", 'o', 0, "tasks of one such key that are in flight share one run and its result [none]", 0, 0}, \
    {"schedule_to_start", 'o', 0, "how long it may wait for its first start [its timeout]", 0, 0}, \
    {"start_to_close", 'o', 0, "how long an agent may have it, for each attempt [its timeout]", 0, 0}, \
    {"heartbeat", 'o', 0, "how long its agent may say nothing of its progress [for ever]", 0, 0}, \
    {"parent_close", 'o', 0, "what becomes of it with its parent: terminate, abandon, request_cancel [terminate]", 0, 0}, \
    {"priority", 'o', 0, "what it is to its provider: urgent, high, normal, low [what its parent is]", 0, 0}, \
    {"hedge", 'o', 0, "after which time another provider gets it, too (20ms), or p95 [never]", 0, 0}

/* In `create`: the agent's own. */
void ap_options_read(const apiary_agent_t *agent, apiary_delegate_options_t *ret);
/* Adds the member "options" of a request, or of a part of one that `where` names ("", "step 2: "). false: it is not possible, and
 * the job is failed with a sentence. */
AP_MUST_CHECK bool ap_options_add(apiary_job_t *job, const json_t *object, const char *where, apiary_delegate_options_t *options);

#endif
