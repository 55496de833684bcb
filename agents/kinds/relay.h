/* agents/kinds/relay.h - texts in and out of delegations, for agents that pass JSON on. */
#ifndef AP_KINDS_RELAY_H
#define AP_KINDS_RELAY_H

#include "agents/kinds/support.h"

/* Delegates `input`: a text as its bytes, anything else as its JSON text. 0 or an apiary_error. */
int ap_delegate_json(const apiary_job_t *job, const char *capability, const json_t *input, apiary_done_fn done,
                     void *user);
/* What came back: parsed when it is JSON, else as a text; NULL when it is neither (or out of memory). */
json_t *ap_output_json(const apiary_result_t *result);
/* "CAPABILITY: why" of a result that is a failure. */
void ap_failure_text(const char *capability, const apiary_result_t *result, char *ret, size_t capacity);

#endif
