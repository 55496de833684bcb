#!/bin/bash
# Each function of the public headers has a line here: the operations of the sweep that run it, or why it needs none. A function
# without a line fails, so does a line without its function or its operation.
set -u
cd "$APIARY_SOURCE" || exit 1
failures=0

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

lines=$(cat <<'LINES'
apiary_attach: attach
apiary_attach_fd: attach (the same but for where the descriptor comes from)
apiary_detach: detach
apiary_delegate: delegate delegate_dropping delegate_warm delegate_block delegate_detached delegate_full delegate_overtaken delegate_hopeless delegate_rated delegate_kept delegate_kept_full delegate_denied delegate_stand_in probe delegate_gated
apiary_delegate_bound: delegate_bound delegate_bound_warm
apiary_call_bound: call_expires (but for the name)
apiary_delegate_batch: delegate_batch delegate_batch_warm
apiary_delegate_all: delegate_all
apiary_await_batch: await_batch
apiary_delegate_loan: delegate_loan
apiary_loan: loan_unloan
apiary_unloan: loan_unloan
apiary_await: await_release await_in_vain await_expires hedge_send hedge_second
apiary_await_any: await_any
apiary_poll: poll
apiary_interrupt: rest (a thread that sleeps on the bell)
apiary_release: await_release
apiary_cancel: cancel_task
apiary_call: call_expires
apiary_queen_start: register (what it does in the segment)
apiary_queen_stop: deregister (what it does in the segment)
apiary_execute_task: call_expires (a call that names a service)
apiary_delegate_external_task: call_expires (the same)
apiary_agent_execute_task: agent_delegate (but for the service)
apiary_agent_delegate_external_task: agent_delegate agent_collect agent_leaves
apiary_job_beat: job_beat
apiary_job_delegate: delegate_child
apiary_job_part: part_first part_more part_behind part_again
apiary_next_part: part_read
apiary_job_reply: pop_claim_finish finish_inline finish_unseen finish_overwriting finish_later
apiary_job_fail: finish_failed finish_retried finish_used_up
apiary_job_fail_text: finish_failed
apiary_job_finish_from_thread: finish_handed (done by the worker's thread)
apiary_job_reserve: finish_reserved
apiary_dead_retry: dead_retry dead_retry_full
apiary_dead_discard: dead_discard
apiary_forget: kept_forget
apiary_memory_put: memory_put memory_put_block memory_put_over memory_put_block_over memory_put_expired memory_evict
apiary_memory_get: memory_get_cached
apiary_memory_add: memory_add_refused
apiary_memory_replace: memory_put_over (but for what it wants to find)
apiary_memory_cas: memory_put_over (likewise)
apiary_memory_delete: memory_delete
apiary_memory_incr: memory_incr
apiary_memory_touch: memory_touch
apiary_instance_watch: instance_watch
apiary_instance_next: instance_watch
apiary_instance_unwatch: instance_watch
apiary_memory_watch: memory_watch
apiary_memory_unwatch: memory_watch
apiary_memory_next_change: rest (a thread that sleeps on a bell)
apiary_local_put: memory_put (of the local memory)
apiary_local_delete: memory_delete (likewise)
apiary_local_incr: memory_incr (likewise)
apiary_claim: claim claim_timed claim_evicting claim_spilled claim_stays claim_steal claim_wait claim_wait_in_vain
apiary_claim_renew: claim_renew
apiary_claim_release: claim_release
apiary_lane_fd: rest (a thread that sleeps on the bell)
LINES
)
reads="instances memory_open memory_close memory_scan memory_stats bind option_set option_name option_what refusal discover key progress dead_next dead_body fetch swarm_status segment_fd version strerror error_name advice retry_after job_agent job_attempt
    job_caller job_cancelled
    job_capability job_data job_deadline job_user job_set_user job_task job_trace trace_parse trace_format
    kind kinds agent_alloc agent_allocated agent_folder agent_free agent_handle
    job_retry job_part_ready agent_limit agent_list agent_log agent_log_text agent_name agent_number agent_plugin agent_resize agent_service
    agent_text claim_check claim_stats claim_service_key local_get watch_close watch_fd watch_timer"

operations=$(grep -ohE '\.name = "[^"]+"' tests/crash/*.c | cut -d'"' -f2)
functions=$(grep -ohE '\bapiary_[a-z_]+\(' core/apiary.h core/apiary/*.h | tr -d '(' | sort -u)
for function in $functions; do
    grep -q "^$function:" <<<"$lines" && continue
    # shellcheck disable=SC2086 # a list of words
    printf '%s\n' $reads | grep -qx "${function#apiary_}" || fail "$function has no line in tests/crash/covers.sh"
done
while IFS=: read -r function named; do
    grep -qx "$function" <<<"$functions" || fail "$function is in no public header"
    for operation in ${named%%(*}; do
        grep -qx "$operation" <<<"$operations" || fail "$function: the sweep has no operation $operation"
    done
done <<<"$lines"
[ "$failures" -eq 0 ]
