/* agents/core_service/sequence.c - kind "sequence": named counters in the swarm's local memory.
 *
 *   sequence_number {"name":N,"by":1} -> {"name":N,"value":V}   the next value, from `by` (default 1) on; "by":0 only reads
 * The numbers live as long as the segment, and all instances of the service count together.
 */
#include <stdio.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

static void next(void *state, apiary_job_t *job, const json_t *request)
{
    const char *name;
    int64_t by = 1, value = 0;
    char key[96];
    if (!ap_need_text(job, request, "name", &name) || !ap_may_integer(job, request, "by", 0, 1000000000, &by)) return;
    if (name[0] == '\0' || strlen(name) > 64) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"name\" has %zu bytes; 1 to 64 are allowed", strlen(name));
        return;
    }
    snprintf(key, sizeof key, "sequence:%s", name);
    int error = apiary_local_incr(state, key, by, &value);
    if (error == APIARY_EOVERFLOW)
        apiary_job_fail(job, AP_CODE_FULL, "the sequence \"%s\" has come to its end", name);
    else if (error < 0)
        apiary_job_fail(job, AP_CODE_FULL, "the sequence cannot be kept: %s", apiary_strerror(error));
    else
        ap_answer(job, "{s:s,s:I}", "name", name, "value", (json_int_t)value);
}

const struct ap_function ap_functions_sequence[] = {
    {.capability = "sequence_number",
     .call = next,
     .in = AP_OBJECT("'name'", "'name':{'type':'string','minLength':1,'maxLength':64},"
                      "'by':{'type':'integer','minimum':0,'maximum':1000000000}"),
     .out = AP_OBJECT("'name','value'", "'name':{'type':'string'},"
                      "'value':{'type':'integer'}"),
     .bound = "one addition in the memory",
     .again = "takes another number",
     .send = "{\"name\":\"orders\",\"by\":0}",
     .answer = "{\"name\":\"orders\",\"value\":0}"},
    {.capability = NULL},
};

static void sequence_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_sequence, state, job);
}

const apiary_agent_kind_t ap_kind_sequence = {
    APIARY_AGENT_KIND,
    .name = "sequence",
    .what = "sequence_number: named counters in the swarm's local memory",
    .create = ap_create_plain,
    .handle = sequence_handle,
    .capabilities = (const char *const[]){"sequence_number", NULL},
    .state = APIARY_STATE_QUEEN,
};
