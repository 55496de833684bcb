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
