/* agents/kinds/table.h - the built-in kinds by name, and what their capabilities do; each is defined in the file of its own
 * name. */
#ifndef AP_KINDS_TABLE_H
#define AP_KINDS_TABLE_H

#include <jansson.h>

#include "core/apiary/agent.h"

extern const apiary_agent_kind_t ap_kind_exec, ap_kind_http;
extern const apiary_agent_kind_t ap_kind_cache_manager, ap_kind_storage_files, ap_kind_storage_backup,
    ap_kind_query_optimizer;
extern const apiary_agent_kind_t ap_kind_ai_cache, ap_kind_ai_providers, ap_kind_ai_selector, ap_kind_ai_optimizer;
extern const apiary_agent_kind_t ap_kind_components;
extern const apiary_agent_kind_t ap_kind_decision, ap_kind_rules;
extern const apiary_agent_kind_t ap_kind_swarm_status, ap_kind_sequence;
extern const apiary_agent_kind_t ap_kind_workflow, ap_kind_batch, ap_kind_schedule;
extern const apiary_agent_kind_t ap_kind_readings, ap_kind_ledger;
extern const apiary_agent_kind_t ap_kind_text, ap_kind_convert, ap_kind_gateway;
extern const apiary_agent_kind_t ap_kind_consensus;
extern const apiary_agent_kind_t ap_kind_regression, ap_kind_clusters, ap_kind_statistics;
extern const apiary_agent_kind_t ap_kind_code_metrics, ap_kind_plain_text;
extern const apiary_agent_kind_t ap_kind_versions, ap_kind_packages;
extern const apiary_agent_kind_t ap_kind_signer, ap_kind_authentication, ap_kind_authorization;

/* A duplicate: the same request once more, because its caller tries it again, or its agent was killed before it answered. */
#define AP_AGAIN_SAME "gives the same answer, and changes nothing"
#define AP_AGAIN_LOOKS "looks again, and changes nothing"

/* One capability; `apiary kinds` and apiary-kinds(7) show it. */
struct ap_function {
    const char *capability; /* NULL ends the table */
    void (*call)(void *state, apiary_job_t *job, const json_t *request);
    void (*bytes)(void *state, apiary_job_t *job); /* instead of `call`: takes any bytes, or looks at none */
    const char *in, *out;                          /* schemas (schema.h); NULL: bytes */
    const char *bound, *again;                     /* on its work; what a duplicate does */
    const char *send, *answer;                     /* an example, which a test runs; answer NULL: it differs each time */
};
/* The functions of a kind; NULL: the agent's configuration says what it does (exec, http), or the kind is none of these. */
const struct ap_function *ap_functions_of(const char *kind);

extern const struct ap_function ap_functions_batch[], ap_functions_schedule[], ap_functions_workflow[], ap_functions_decision[],
    ap_functions_rules[], ap_functions_sequence[], ap_functions_swarm_status[], ap_functions_packages[],
    ap_functions_versions[], ap_functions_storage_files[], ap_functions_storage_backup[], ap_functions_query_optimizer[],
    ap_functions_cache_manager[], ap_functions_ai_cache[], ap_functions_ai_optimizer[], ap_functions_ai_selector[],
    ap_functions_ai_providers[], ap_functions_convert[], ap_functions_gateway[], ap_functions_text[],
    ap_functions_clusters[], ap_functions_statistics[], ap_functions_regression[], ap_functions_authentication[],
    ap_functions_authorization[], ap_functions_signer[], ap_functions_consensus[], ap_functions_code_metrics[],
    ap_functions_plain_text[], ap_functions_ledger[], ap_functions_readings[], ap_functions_components[];

#endif
