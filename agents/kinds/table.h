/* agents/kinds/table.h - the built-in kinds by name; each is defined in the file of its own name. */
#ifndef AP_KINDS_TABLE_H
#define AP_KINDS_TABLE_H

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

#endif
