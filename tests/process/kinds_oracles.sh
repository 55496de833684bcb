#!/bin/bash
# ctest: timeout 1800
# The built-in kinds in a queen, under generated requests, valid and not, whose answers are compared with those of somebody else: Python's
# standard library, exact fractions, brute force, Elixir's Version and npm's semver where they are there. KINDS_INPUTS (150) for each
# property, KINDS_SEED. Nothing may crash, hang until its deadline of a minute, or make the queen grow.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

cat >"$config" <<END
meta_registry: {members: 16, lanes: 32, tasks: 1024}
swarms:
  - service: all
    workers: 2
    agents:
      - {name: components, kind: components, capabilities: [component_analysis, system_design]}
      - {name: rules, kind: rules, capabilities: [business_rules, compliance]}
      - {name: decision, kind: decision, capabilities: [decision_making]}
      - {name: sequence, kind: sequence, capabilities: [sequence_number]}
      - {name: schedule, kind: schedule, capabilities: [task_scheduling]}
      - {name: batch, kind: batch, capabilities: [task_execution]}
      - {name: workflow, kind: workflow, capabilities: [workflow_execution]}
      - {name: ledger, kind: ledger, capabilities: [resource_allocation], config: {pools: [cpu=8]}}
      - {name: text, kind: text, capabilities: [html_escaping, template_rendering]}
      - {name: convert, kind: convert, capabilities: [format_conversion]}
      - {name: cache, kind: cache_manager, capabilities: [cache_get, cache_put, cache_delete, cache_stats]}
      - {name: files, kind: storage_files, capabilities: [data_persistence, data_consistency, file_management], worker: 1,
         config: {directory: $folder/files, quota: 1GiB}}
      - {name: query, kind: query_optimizer, capabilities: [query_optimization]}
      - {name: consensus, kind: consensus, capabilities: [swarm_consensus, work_partitioning]}
      - {name: regression, kind: regression, capabilities: [model_training, prediction]}
      - {name: clusters, kind: clusters, capabilities: [clustering]}
      - {name: statistics, kind: statistics, capabilities: [statistics]}
      - {name: code, kind: code_metrics, capabilities: [code_analysis]}
      - {name: plain, kind: plain_text, capabilities: [text_metrics, code_formatting]}
      - {name: versions, kind: versions, capabilities: [version_resolution, version_sorting]}
      - {name: packages, kind: packages, capabilities: [package_registry, package_management]}
      - {name: signer, kind: signer, capabilities: [message_authentication, token_management]}
      - name: roles
        kind: authorization
        capabilities: [authorization]
        config: {subjects: ["root=admin", "bee=reader,writer", "ant=reader"],
                 rules: ["admin * *", "reader read *", "writer write comb/*", "* rest comb"]}
      - {name: optimizer, kind: ai_optimizer, capabilities: [response_optimization]}
      - {name: selector, kind: ai_selector, capabilities: [llm_routing]}
      - {name: providers, kind: ai_providers, capabilities: [model_management]}
END
mkdir -m 700 "$folder/files"

start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen" apiary queen all --config "$config"
queen=$last
until_true apiary wait --capability model_management --timeout 1s
apiary kinds --json >"$folder/kinds.json"
python3 "$APIARY_SOURCE/tests/process/lib_oracles.py" "$APIARY_TEST_BIN/kind_calls" "$folder/kinds.json" "$queen" \
    --inputs "${KINDS_INPUTS:-150}" ${KINDS_SEED:+--seed "$KINDS_SEED"} || { fail 'see above'; tail -n 20 "$folder/queen"; }
kill -0 "$queen" 2>/dev/null || fail 'the queen has died'
apiary dead ls | grep -q '[0-9]' && fail "tasks in the dead set: $(apiary dead ls)"
ends
