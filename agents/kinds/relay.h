/* agents/kinds/relay.h - bodies in and out of delegations, for agents that pass on the texts of others.
 *
 * A body from one agent to another is passed on byte by byte. It becomes JSON only where a reply shows it.
 */
#ifndef AP_KINDS_RELAY_H
#define AP_KINDS_RELAY_H

#include "agents/kinds/support.h"
#include "core/must_check.h"

/* Delegates `input` for the job: a text as its bytes, anything else as its JSON text. 0 or an apiary_error. */
AP_MUST_CHECK int ap_delegate_json(apiary_job_t *job, const char *capability, const json_t *input,
                     const apiary_delegate_options_t *options, apiary_done_fn done, void *user);
/* A result as JSON, to be shown: an object or a list as such, anything else as its text ("1.10" stays "1.10", and an object that
 * names a member twice stays text, too). NULL when it is not UTF-8 (or out of memory). */
json_t *ap_output_json(const void *data, size_t size);
/* "CAPABILITY: why" for a failed result. */
void ap_failure_text(const char *capability, const apiary_result_t *result, char *ret, size_t capacity);

#endif
