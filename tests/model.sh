#!/bin/bash
# ctest: timeout 1800
# ctest: first
# The protocol as Promela models (tests/model/*.pml), searched by spin: of each sound run all states, without an error; of each
# defect a trail that ends in one. The states and the ways between them are those of shm/states.def. tests/full/model.sh has more
# deaths, more tasks and more lanes.
# bash tests/model.sh MODEL DEFECT [FLAG...] prints the shortest trail found, step by step.
set -u
for tool in spin cpp cc; do
    command -v "$tool" >/dev/null || { echo "skipped: no $tool (Debian: spin, gcc)"; exit 77; }
done
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failures=0

# MODEL FLAGS: no error in any state. What the flags mean stands in the models.
sound=(
    "bell -DUNREAPED"
    "bell -DALONE -DDEATHS=2"
    "queue -DRESTART"
    "queue -DRESTART -DTASKS=2"
    "queue -DRESTART -DDEATHS=2 -DREAPER_STAYS"
    "queue -DTASKS=2 -DDEATHS=0"
    "task"
    "task -DDEATHS=0 -DLATE -DTASKS_A=2 -DLEAN"
    "task -DDEATHS=0 -DEARLY_SWEEP"
    "task -DDEATHS=2 -DVICTIM=W1 -DREAPER_STAYS -DTASKS_B=0 -DLEAN"
    "handover"
    "due -DDEATHS=0"
    "due -DDEATHS=0 -DSLABS=2"
    "due -DDEATHS=1 -DTASKS=1"
    "due -DDEATHS=2 -DTASKS=1"
    "kept -DDEATHS=0"
    "kept -DDEATHS=0 -DOVER -DEARLY_SWEEP"
    "kept -DDEATHS=1"
    "dead -DDEATHS=0 -DOBSERVED"
    "dead -DDEATHS=1 -DTASKS=1"
    "dead -DDEATHS=1 -DALONE"
    "dead -DDEATHS=1 -DTASKS=1 -DROWS=2 -DALONE"
    "stream -DDEATHS=0"
    "stream -DDEATHS=0 -DCAP=1"
    "stream -DDEATHS=0 -DTASKS=2"
    "stream -DDEATHS=1"
    "hedge -DDEATHS=0 -DWAITERS=1"
    "hedge -DDEATHS=0 -DWAITERS=1 -DGIVE_UP"
    "hedge -DDEATHS=1 -DWAITERS=0"
    "hedge -DDEATHS=0 -DWELL -DDUEL"
    "crowd -DDEATHS=0"
    "crowd -DDEATHS=0 -DTASKS_A=2"
    "crowd -DDEATHS=0 -DTASKS_A=1 -DTASKS_B=2"
    "crowd -DDEATHS=1 -DTASKS_A=1"
    "crowd -DDEATHS=1 -DTASKS_A=1 -DVICTIM=A"
    "coalesce -DDEATHS=0"
    "coalesce -DDEATHS=0 -DCANCEL"
    "coalesce -DDEATHS=1 -DVICTIM=0 -DALONE -DROUGH"
    "coalesce -DDEATHS=1 -DWORKERS=2 -DVICTIM=W1 -DALONE -DROUGH"
)
sound_full=(
    "bell"
    "queue"
    "queue -DCOMEBACK"
    "queue -DCOMEBACK -DVICTIM=W0"
    "queue -DRESTART -DDEATHS=2"
    "task -DLATE -DTASKS_A=2"
    "task -DDEATHS=2 -DVICTIM=W1 -DTASKS_B=0 -DLEAN"
    "handover -DEARLY_SWEEP=0"
    "handover -DEARLY_SWEEP=1"
    "handover -DEARLY_SWEEP=1 -DVICTIM=W"
    "due -DDEATHS=1 -DREAPER_STAYS"
    "due -DDEATHS=1 -DREAPER_STAYS -DSLABS=2"
    "kept -DDEATHS=1 -DOVER -DEARLY_SWEEP"
    "kept -DDEATHS=1 -DROWS=2"
    "kept -DDEATHS=2 -DREAPER_STAYS"
    "stream -DDEATHS=0 -DREADERS=2"
    "hedge -DDEATHS=1 -DWAITERS=1 -DWELL -DVICTIM=W1"
    "hedge -DDEATHS=1 -DWAITERS=1 -DWELL -DVICTIM=S"
    "crowd -DDEATHS=1 -DTASKS_A=2"
    "coalesce -DDEATHS=0 -DTASKS=3 -DROUGH"
    "coalesce -DDEATHS=1 -DROUGH -DVICTIM=R1"
)
# MODEL DEFECT FLAGS: the smallest run that shows it.
defects=(
    "bell NO_BUMP -DUNREAPED"
    "bell LOWER_FIRST -DUNREAPED"
    "bell LOWER_ALWAYS -DUNREAPED"
    "bell NO_FENCE -DUNREAPED"
    "bell NO_SLEEPER_FENCE -DUNREAPED"
    "bell NO_LAST_LOOK -DUNREAPED"
    "bell SILENT_REAPER -DALONE -DDEATHS=2"
    "queue NO_FENCE -DTASKS=2 -DDEATHS=0"
    "queue NO_CONSUMER_FENCE -DRESTART"
    "queue NO_LAST_LOOK -DRESTART"
    "queue NO_SETTLE"
    "queue FORGET_RESCAN -DRESTART"
    "queue RESCAN_LATE -DRESTART -DDEATHS=2 -DREAPER_STAYS"
    "queue REFERENCE_FIRST -DRESTART"
    "queue NO_QUEUE_CHECK -DCOMEBACK -DVICTIM=W0"
    "queue SILENT_MOVE"
    "task NO_TOKEN -DDEATHS=0 -DLATE -DTASKS_A=2 -DLEAN"
    "task FILL_AFTER"
    "task NO_CRASH_COUNT -DDEATHS=2 -DVICTIM=W1 -DREAPER_STAYS -DTASKS_B=0 -DLEAN"
    "task STORE_RELEASING -DDEATHS=0 -DEARLY_SWEEP"
    "task FREE_FIRST"
    "task FORGET_LEASE"
    "task FORGET_RELEASING"
    "task FORGET_RUNNING"
    "task REUSE_BUSY"
    "task NO_DETACH"
    "task LEASE_EARLY"
    "task FALSE_DEATH"
    "handover NO_CRASHES -DEARLY_SWEEP=1 -DVICTIM=W"
    "handover NO_SECOND_LOOK -DEARLY_SWEEP=1 -DVICTIM=W"
    "handover FREE_UNCHECKED"
    "handover FORGET_TICKET"
    "handover FORGET_BLOCKS"
    "handover SWEEP_OWNED"
    "handover SWEEP_STORE"
    "handover TICKET_STORE"
    "handover NAME_LATE"
    "due NO_FENCE -DDEATHS=0"
    "due NO_SECOND_FENCE -DDEATHS=0 -DSLABS=2"
    "due NO_LOOK_FENCE -DDEATHS=0"
    "due HEADER_FIRST -DDEATHS=0 -DSLABS=2"
    "due NO_RING -DDEATHS=0"
    "due RUNG_LATE -DDEATHS=0"
    "due RETAKE -DDEATHS=0"
    "due FORGET_SCHEDULED -DDEATHS=1 -DTASKS=1"
    "due OWN_HINTS -DDEATHS=1 -DTASKS=1"
    "kept PROMISE_LATE -DDEATHS=0"
    "kept ENTER_LATE -DDEATHS=0"
    "kept NO_EPOCH -DDEATHS=0 -DOVER -DEARLY_SWEEP"
    "kept NO_SECOND_LOOK -DDEATHS=0 -DOVER -DEARLY_SWEEP"
    "kept DROP_PROMISED -DDEATHS=0 -DOVER -DEARLY_SWEEP"
    "kept BLOCK_LATE -DDEATHS=1"
    "kept FORGET_FILLING -DDEATHS=1"
    "kept NO_ENTER -DDEATHS=1"
    "dead KEPT_EARLY -DDEATHS=0 -DOBSERVED"
    "dead FILL_EARLY -DDEATHS=0 -DOBSERVED"
    "dead NO_SECOND_LOOK -DDEATHS=0 -DOBSERVED"
    "dead NO_EPOCH -DDEATHS=0 -DOBSERVED"
    "dead OLD_AGAIN -DDEATHS=0 -DOBSERVED"
    "dead BACK_LATE -DDEATHS=0 -DOBSERVED"
    "dead AGAIN_LATE -DDEATHS=1 -DALONE"
    "dead SLOTS_FIRST -DDEATHS=1 -DALONE"
    "dead FORGET_CANCELLED -DDEATHS=1 -DALONE"
    "dead ENTER_TWICE -DDEATHS=1 -DALONE"
    "dead NO_ENTER -DDEATHS=1 -DALONE"
    "dead FORGET_FILLING -DDEATHS=1 -DALONE"
    "dead FORGET_TAKEN -DDEATHS=1 -DALONE"
    "dead FORGET_BLOCK -DDEATHS=1 -DALONE"
    "stream BEGUN_FIRST -DDEATHS=1"
    "stream BEGUN_LATE -DDEATHS=1"
    "stream NO_SECOND_LOOK -DDEATHS=1"
    "stream TAIL_FIRST -DDEATHS=0"
    "stream HEAD_FIRST -DDEATHS=0"
    "stream NO_TAKE_FENCE -DDEATHS=0 -DCAP=1"
    "stream NO_WAIT_FENCE -DDEATHS=0"
    "stream TRUST_HEAD -DDEATHS=1"
    "stream NAME_LATE -DDEATHS=1"
    "stream SILENT_REAPER -DDEATHS=1"
    "stream SILENT_WRITER -DDEATHS=0"
    "stream FORGET_WINDOW -DDEATHS=0"
    "hedge EARLY_FAILURE -DDEATHS=0 -DWAITERS=1"
    "hedge OTHER_FIRST -DDEATHS=0 -DWAITERS=1"
    "hedge NO_SEND_FENCE -DDEATHS=0 -DWAITERS=1"
    "hedge NO_DROP_FENCE -DDEATHS=0 -DWAITERS=1 -DGIVE_UP"
    "hedge NO_LOOK -DDEATHS=0 -DWAITERS=1"
    "hedge FORGET_LOSER -DDEATHS=0 -DWAITERS=1"
    "hedge FORGET_SECOND -DDEATHS=0 -DWAITERS=1"
    "hedge STORE_WON -DDEATHS=0 -DWELL -DDUEL"
    "hedge FORGET_COPY -DDEATHS=1 -DWAITERS=0"
    "crowd MOVE_ROUGH -DDEATHS=0"
    "crowd MOVE_AFTER -DDEATHS=0"
    "crowd FORGET_PUSH -DDEATHS=0"
    "crowd HEAD_OVER -DDEATHS=0"
    "crowd NO_CLAIM -DDEATHS=1 -DTASKS_A=1"
    "crowd RANK_LATE -DDEATHS=0 -DTASKS_A=2"
    "crowd RANKED_LATE -DDEATHS=1 -DTASKS_A=1"
    "crowd SCAN_ONCE -DDEATHS=1 -DTASKS_A=1"
    "crowd STARVES -DDEATHS=0 -DTASKS_A=1 -DTASKS_B=2"
    "crowd FORGET_RUNNING -DDEATHS=1 -DTASKS_A=1"
    "coalesce NO_JOIN_FENCE -DDEATHS=0 -DCANCEL"
    "coalesce NO_END_FENCE -DDEATHS=0 -DCANCEL"
    "coalesce NO_SECOND_LOOK -DDEATHS=0"
    "coalesce NO_COMPLETE -DDEATHS=0"
    "coalesce NAME_STORE -DDEATHS=0"
    "coalesce MARK_STORE -DDEATHS=0 -DTASKS=3 -DROUGH"
    "coalesce UNTOLD -DDEATHS=0"
    "coalesce FORGET_SCHEDULED -DDEATHS=1 -DVICTIM=0 -DALONE -DROUGH"
    "coalesce REQUEUE -DDEATHS=1 -DWORKERS=2 -DVICTIM=W1 -DALONE -DROUGH"
)
# Ways of the table that task.pml does not go: a generation's wrap is no matter of order, queue.pml has the moves, and a task that waits
# for its time is nobody's: each of its ways is one store or compare-and-swap, and what has to be told beside it the sweep has.
# coalesce.pml has that of a follower into the hands of its leader's worker.
beyond="FREE,FREE QUEUED,QUEUED RESERVED,SCHEDULED SCHEDULED,QUEUED SCHEDULED,CANCELLED SCHEDULED,FAILED SCHEDULED,RUNNING RUNNING,SCHEDULED"

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

# The table: numbers for the states, and which ways there are.
cpp -P '-DAP_STATE(name,text,owner)=@state name' '-DAP_TRANSITION(from,to,how,by,text)=@way from to' "$APIARY_SOURCE/shm/states.def" |
    awk -v ways="$dir/ways" '{
        for (i = 1; i <= NF; i++) {
            if ($i == "@state") { printf "#define %s %d\n", $(i + 1), n; number[$(i + 1)] = n++ }
            if ($i == "@way" && !(($(i + 1), $(i + 2)) in known)) {
                known[$(i + 1), $(i + 2)]
                all = all (all == "" ? "" : " || ") "((f) == " $(i + 1) " && (t) == " $(i + 2) ")"
                print number[$(i + 1)], number[$(i + 2)], $(i + 1) "," $(i + 2) >ways
            }
        }
    } END { print "#define PERMITTED(f, t) (" all ")" }' >"$dir/states.pml"
[ "$(grep -c . "$dir/ways")" -gt 10 ] || { echo "no table was made of shm/states.def"; exit 1; }
cp "$APIARY_SOURCE"/tests/model/*.pml "$dir"

search() # search NUMBER MODEL FLAG...: its report is in $dir/NUMBER.out
{
    number=$1 model=$2
    shift 2
    # What is searched here has so few states that a compilation with -O2 would take longer than all of it.
    optimize=-O0
    [ "${MODEL_TIER:-}" != full ] || optimize=-O2
    mkdir "$dir/$number" && cp "$dir"/*.pml "$dir/$number" && cd "$dir/$number" || return
    {
        spin -a "$@" "$model.pml" &&
            cc $optimize -w -DSAFETY -DCOLLAPSE -DMEMLIM=8000 -DVECTORSZ=2048 -o pan pan.c &&
            ./pan -m10000
    } >"$dir/$number.out" 2>&1
    rm -rf "${dir:?}/$number"
}

depth_of() { sed -n 's/.*depth reached \([0-9]*\), errors.*/\1/p' "$dir/$1.out"; }
errors_of() { sed -n 's/.*depth reached [0-9]*, errors: \([0-9]*\).*/\1/p' "$dir/$1.out"; }
states_of() { sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' "$dir/$1.out"; }
memory_of() { sed -n 's/^ *\([0-9.]*\).*total actual memory usage.*/\1/p' "$dir/$1.out"; }
trail_of() { grep -E '^pan:[0-9]+: .*\(at depth [0-9]+\)' "$dir/$1.out" | head -n 1 | sed -E 's/^pan:[0-9]+: //'; }

if [ $# -gt 1 ]; then
    cd "$dir" && spin -a "${@:3}" "-DDEFECT_$2" "$1.pml" && cc -O2 -w -DSAFETY -DREACH -o pan pan.c && ./pan -i -m10000 >pan.out 2>&1
    spin -t -g -p "${@:3}" "-DDEFECT_$2" "$1.pml"
    exit
fi
if [ "${MODEL_TIER:-}" = full ]; then
    sound=("${sound_full[@]}")
    defects=()
fi
runs=()
for run in "${sound[@]}"; do runs+=("$run"); done
for run in "${defects[@]}"; do
    read -r model defect flags <<<"$run"
    runs+=("$model -DDEFECT_$defect $flags")
done
for i in "${!runs[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
    # shellcheck disable=SC2086 # a list of words
    search "$i" ${runs[$i]} &
done
wait

printf '%-68s %12s %7s %9s\n' "sound" states depth MiB
for i in "${!sound[@]}"; do
    printf '%-68s %12s %7s %9s\n' "${sound[$i]}" "$(states_of "$i")" "$(depth_of "$i")" "$(memory_of "$i")"
    if [ "$(errors_of "$i")" != 0 ] || grep -qE 'max search depth too small|out of memory|Search not completed' "$dir/$i.out"; then
        fail "${sound[$i]}: $(trail_of "$i")"
        tail -n 5 "$dir/$i.out"
    fi
done
[ ${#defects[@]} -eq 0 ] || printf '\n%-26s %12s  %s\n' "defect" states "ends in"
for i in "${!defects[@]}"; do
    n=$((i + ${#sound[@]}))
    read -r model defect flags <<<"${defects[$i]}"
    trail=$(trail_of "$n")
    printf '%-26s %12s  %s\n' "$model $defect" "$(states_of "$n")" "$(cut -c 1-90 <<<"$trail")"
    [ -n "$trail" ] && [ "$(errors_of "$n")" != 0 ] || fail "${defects[$i]}: no error was found"
    printf '%s\n' "${sound[@]}" "${sound_full[@]}" | grep -qxF -- "$model${flags:+ $flags}" ||
        fail "${defects[$i]}: no sound run has the same flags"
done

if [ "${MODEL_TIER:-}" != full ]; then
    # Each switch of a model has its line above.
    while read -r model defect; do
        printf '%s\n' "${defects[@]}" | grep -qE "^$model $defect( |$)" || fail "$model.pml: DEFECT_$defect has no run"
    done < <(cd "$dir" && grep -oE 'DEFECT_[A-Z_]+' bell.pml queue.pml task.pml handover.pml due.pml kept.pml dead.pml stream.pml hedge.pml crowd.pml coalesce.pml | sed 's/\.pml:DEFECT_/ /' | sort -u)
    # No way of the table that the model does not go; the other way round the model asserts at each step.
    grep -hE '^way [0-9]+ [0-9]+$' "$dir"/*.out | sort -u >"$dir/gone"
    while read -r from to name; do
        case " $beyond " in *" $name "*) continue ;; esac
        grep -qx "way $from $to" "$dir/gone" || fail "the model never goes from ${name/,/ to }, which shm/states.def permits"
    done <"$dir/ways"
    echo
    echo "$(wc -l <"$dir/gone") of the $(wc -l <"$dir/ways") ways of shm/states.def are taken in task.pml"
fi
echo "${#sound[@]} sound runs, ${#defects[@]} defects, $failures failures"
[ "$failures" -eq 0 ]
