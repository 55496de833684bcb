/* agents/kinds/relay.c - see relay.h. */
#include "agents/kinds/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

#define LONGEST 60000000000u

int ap_delegate_bytes(const apiary_job_t *job, const char *capability, const void *data, size_t size,
                      apiary_done_fn done, void *user)
{
    uint64_t left = ap_time_left(job, LONGEST);
    if (apiary_job_cancelled(job)) return APIARY_ECANCELLED;
    if (left == 0) return APIARY_ETIMEDOUT;
    return apiary_agent_delegate_external_task(apiary_job_agent(job), capability, data, size, APIARY_TIMEOUT(left), done, user);
}

int ap_delegate_json(const apiary_job_t *job, const char *capability, const json_t *input, apiary_done_fn done,
                     void *user)
{
    if (!input) return ap_delegate_bytes(job, capability, "", 0, done, user);
    if (json_is_string(input))
        return ap_delegate_bytes(job, capability, json_string_value(input), json_string_length(input), done, user);
    char *text = ap_json_text(input);
    if (!text) return APIARY_ENOBLOCK;
    int error = ap_delegate_bytes(job, capability, text, strlen(text), done, user);
    free(text);
    return error;
}

json_t *ap_output_json(const void *data, size_t size)
{
    json_t *parsed = size > 0 ? json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL) : NULL; /* an object or a list */
    return parsed ? parsed : json_stringn(size > 0 ? data : "", size);
}

void ap_failure_text(const char *capability, const apiary_result_t *result, char *ret, size_t capacity)
{
    /* One byte more than fits is enough for the mark. */
    int size = result->size < capacity ? (int)result->size : (int)capacity;
    if (result->code == APIARY_EAGENT && size > 0)
        ap_format(ret, capacity, "%s: %.*s", capability, size, (const char *)result->data);
    else
        ap_format(ret, capacity, "%s: %s", capability, apiary_strerror(result->code));
}
