#!/bin/bash
# ctest: timeout 900
# Each defect of core/defect.h must be noticed by the tests that are named here for it; prints which noticed it. A test named
# here passes without the defect. With DEFECTS=all the whole sweep is run with each, and all that notices is printed.
# crash.NAME is an operation or pair of the sweep, unit.NAME a unit test.
set -u
sweep=$APIARY_TEST_BIN/sweep_defects
declare -A noticed=(
    [publish_before_fill]="crash.delegate_warm crash.delegate_block"
    [lost_reference]="crash.submit_warm crash.delegate_warm"
    [no_last_look]="crash.park|submit crash.submit|park"
    [lower_before_wake]="crash.wake"
    [queues_open]="crash.reap_consumer|submit"
    [no_second_look]="crash.delegate|kill_queen"
    [no_second_look_batch]="crash.delegate_batch|kill_queen"
    [no_token]="unit.shm_task"
    [old_generation]="crash.cancel unit.shm_task"
    [release_without_claim]="crash.release|release_reuse crash.release_foreign"
    [stale_result]="crash.reap_worker_moves"
    [free_before_requeue]="crash.reap_worker"
    [leases_forgotten]="crash.submit_warm"
    [no_pool_sweep]="crash.submit_block"
    [block_of_any_attempt]="crash.pool_sweep|redeliver_marked"
    [slab_early]="crash.reserve|reserve_all"
    [full_before_help]="crash.push_shared crash.push_shared|push_pop"
    [crash_not_counted]="crash.reap_worker_moves"
    [any_queue]="crash.claim|move unit.shm_task"
    [shared_late]="crash.lane_share|reap"
    [move_unannounced]="crash.sweep_moves_full"
    [tickets_forgotten]="crash.delegate_warm"
    [swarm_stays]="crash.register"
    [queue_first]="crash.register"
    # invented by a reader of the code after the tests above were written
    [lane_early]="crash.reap_client crash.reap_worker crash.reap_queen"
    [member_kept]="crash.submit crash.register"
    [inconsistent]="crash.submit crash.lane_share"
    [nobodys_slot]="crash.submit_warm crash.delegate_warm unit.shm_task"
    [ticket_unnamed]="unit.registry_client"
    # found by the storm's order stamps
    [scan_disorder]="unit.shm_queue"
    # found by a storm of bystanders beside clients that kept their slots full
    [scan_endless]="unit.shm_queue"
    # found by the model of what goes with a task
    [gone_unconfirmed]="crash.pool_sweep|finish_leave unit.shm_pool"
    # found by reading
    [shared_marked]="crash.lane_open|share_marked"
    [home_believed]="unit.shm_reap"
    [overwritten_unsaid]="crash.finish_overwriting"
    [given_up_blindly]="crash.give_up|finish"
    [unseen_kept]="crash.finish_unseen unit.shm_reap"
    [ticket_kept]="crash.finish_unseen"
    [ticket_named]="unit.registry_refusal"
    # with what supervisors publish
    [record_early]="crash.supervise"
    [supervisor_stays]="crash.supervise"
    # what a second one does beside a reaper that is stopped
    [beside_unconfirmed]="crash.beside|reuse"
    [beside_claimed]="crash.beside|reuse_claimed"
    # with the worker's own steps
    [end_unseen]="crash.claim|abandon"
)
failures=0

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

run() # run DEFECT TEST
{
    case $2 in
    crash.*) APIARY_DEFECT=$1 timeout 300 "$sweep" -x 1 "=${2#crash.}" ;;
    unit.*) APIARY_DEFECT=$1 timeout 300 "$APIARY_TEST_BIN/${2#unit.}_defects" --jobs 1 ;;
    esac >/dev/null 2>&1
}

uname -m | grep -q x86_64 || { echo "skipped: the trap flag is a thing of x86-64"; exit 77; }
[ -x "$sweep" ] || { echo "this build is without defects: -DAPIARY_DEFECTS=ON"; exit 77; }

declare -A sound=()
printf '%-22s %s\n' defect "noticed by"
while IFS=$'\t' read -r defect text; do
    by=
    [ -n "${noticed[$defect]:-}" ] || fail "no test is named for $defect"
    for test in ${noticed[$defect]:-}; do
        if [ -z "${sound[$test]:-}" ]; then
            run "" "$test" || fail "$test fails without a defect"
            sound[$test]=1
        fi
        run "$defect" "$test"
        case $? in
        1) by+=" $test" ;;
        *) fail "$test does not notice $defect: $text" ;;
        esac
    done
    if [ "${DEFECTS:-}" = all ]; then
        while read -r test; do
            by+=" (crash.$test)"
        done < <(APIARY_DEFECT=$defect timeout 300 "$sweep" -q -x 1 | awk '$NF == "failures" && $(NF - 1) != "0" && $1 != "total" { print $1 }')
    fi
    printf '%-22s%s\n' "$defect" "$by"
done < <(APIARY_DEFECT=list "$sweep")
echo "${#noticed[@]} defects, $failures failures"
[ "$failures" -eq 0 ]
