/* agents/ai_service/models.h - the two models that run on any machine, and the catalogue kept in the swarm's local memory.
 *
 * Neither is a language model and neither pretends to be: "local-digest" reports measurements of the prompt, "local-extract"
 * quotes its most telling sentence. Both are deterministic: the same prompt gives the same answer anywhere.
 */
#ifndef AP_AI_MODELS_H
#define AP_AI_MODELS_H

#include "agents/kinds/support.h"
#include "core/must_check.h"

/* The answer of a model, in *ret (a new reference). false: no such model. *ret NULL: out of memory. */
AP_MUST_CHECK bool ap_model_answer(const char *model, const char *prompt, json_t **ret);

/* The catalogue: a list of {"model","provider","context","cost","skills":[..],"enabled"}, in order of preference. The one that the
 * provider manager has stored, or the built-in one. A new reference; NULL: out of memory. */
json_t *ap_models_load(apiary_agent_t *agent);
AP_MUST_CHECK int ap_models_store(apiary_agent_t *agent, const json_t *catalogue); /* 0 or an apiary_error */

#endif
