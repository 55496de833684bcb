/* agents/kinds/relay.c - see relay.h. */
#include "agents/kinds/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 60000000000u

int ap_delegate_json(const apiary_job_t *job, const char *capability, const json_t *input, apiary_done_fn done,
                     void *user)
{
    apiary_agent_t *agent = apiary_job_agent(job);
    uint64_t left = ap_time_left(job, LONGEST);
    if (apiary_job_cancelled(job)) return APIARY_ECANCELLED;
    if (left == 0) return APIARY_ETIMEDOUT;
    if (!input) return apiary_agent_delegate_external_task(agent, capability, "", 0, left, done, user);
    if (json_is_string(input))
        return apiary_agent_delegate_external_task(agent, capability, json_string_value(input),
                                                   json_string_length(input), left, done, user);
    char *text = json_dumps(input, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text) return APIARY_ENOBLOCK;
    int error = apiary_agent_delegate_external_task(agent, capability, text, strlen(text), left, done, user);
    free(text);
    return error;
}

json_t *ap_output_json(const apiary_result_t *result)
{
    json_t *parsed = result->size ? json_loadb(result->data, result->size, JSON_DECODE_ANY, NULL) : NULL;
    return parsed ? parsed : json_stringn(result->size ? result->data : "", result->size);
}

void ap_failure_text(const char *capability, const apiary_result_t *result, char *ret, size_t capacity)
{
    int size = result->size < 400 ? (int)result->size : 400;
    if (result->code == APIARY_EAGENT && size > 0)
        snprintf(ret, capacity, "%s: %.*s", capability, size, (const char *)result->data);
    else
        snprintf(ret, capacity, "%s: %s", capability, apiary_strerror(result->code));
}
