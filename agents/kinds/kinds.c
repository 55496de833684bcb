/* agents/kinds/kinds.c - the built-in kinds (apiary/kinds.h), in the order of the services that use them. */
#include "core/apiary/kinds.h"

#include <string.h>

#include "agents/kinds/table.h"

static const apiary_agent_kind_t *const kinds[] = {
    &ap_kind_exec,
    &ap_kind_http,
    &ap_kind_ai_cache,
    &ap_kind_ai_optimizer,
    &ap_kind_ai_providers,
    &ap_kind_ai_selector,
    &ap_kind_components,
    &ap_kind_decision,
    &ap_kind_rules,
    &ap_kind_swarm_status,
    &ap_kind_sequence,
    &ap_kind_workflow,
    &ap_kind_batch,
    &ap_kind_schedule,
    &ap_kind_readings,
    &ap_kind_ledger,
    &ap_kind_text,
    &ap_kind_convert,
    &ap_kind_gateway,
    &ap_kind_cache_manager,
    &ap_kind_storage_files,
    &ap_kind_storage_backup,
    &ap_kind_query_optimizer,
    &ap_kind_consensus,
    &ap_kind_regression,
    &ap_kind_clusters,
    &ap_kind_statistics,
    &ap_kind_code_metrics,
    &ap_kind_plain_text,
    &ap_kind_versions,
    &ap_kind_packages,
    &ap_kind_signer,
    &ap_kind_authentication,
    &ap_kind_authorization,
    NULL,
};

static const struct {
    const char *kind;
    const struct ap_function *functions;
} described[] = {
    {"batch", ap_functions_batch},
    {"schedule", ap_functions_schedule},
    {"workflow", ap_functions_workflow},
    {"decision", ap_functions_decision},
    {"rules", ap_functions_rules},
    {"sequence", ap_functions_sequence},
    {"swarm_status", ap_functions_swarm_status},
    {"packages", ap_functions_packages},
    {"versions", ap_functions_versions},
    {"storage_files", ap_functions_storage_files},
    {"storage_backup", ap_functions_storage_backup},
    {"query_optimizer", ap_functions_query_optimizer},
    {"cache_manager", ap_functions_cache_manager},
    {"ai_cache", ap_functions_ai_cache},
    {"ai_optimizer", ap_functions_ai_optimizer},
    {"ai_selector", ap_functions_ai_selector},
    {"ai_providers", ap_functions_ai_providers},
    {"convert", ap_functions_convert},
    {"gateway", ap_functions_gateway},
    {"text", ap_functions_text},
    {"clusters", ap_functions_clusters},
    {"statistics", ap_functions_statistics},
    {"regression", ap_functions_regression},
    {"authentication", ap_functions_authentication},
    {"authorization", ap_functions_authorization},
    {"signer", ap_functions_signer},
    {"consensus", ap_functions_consensus},
    {"code_metrics", ap_functions_code_metrics},
    {"plain_text", ap_functions_plain_text},
    {"ledger", ap_functions_ledger},
    {"readings", ap_functions_readings},
    {"components", ap_functions_components},
};

const struct ap_function *ap_functions_of(const char *kind)
{
    for (size_t i = 0; i < sizeof described / sizeof *described; i++)
        if (strcmp(described[i].kind, kind) == 0) return described[i].functions;
    return NULL;
}

const apiary_agent_kind_t *const *apiary_kinds(void)
{
    return kinds;
}

const apiary_agent_kind_t *apiary_kind(const char *name)
{
    for (const apiary_agent_kind_t *const *kind = kinds; name && *kind; kind++)
        if (strcmp((*kind)->name, name) == 0) return *kind;
    return NULL;
}
