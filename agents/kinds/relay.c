/* agents/kinds/relay.c - see relay.h. */
#include "agents/kinds/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

int ap_delegate_json(apiary_job_t *job, const char *capability, const json_t *input,
                     const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    if (!input) return apiary_job_delegate(job, capability, "", 0, options, done, user);
    if (json_is_string(input))
        return apiary_job_delegate(job, capability, json_string_value(input), json_string_length(input), options,
                                 done, user);
    char *text = ap_json_text(input);
    if (!text) return APIARY_ENOBLOCK;
    int error = apiary_job_delegate(job, capability, text, strlen(text), options, done, user);
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
