#!/bin/bash
# Every case of apiary-perf with one or two tiny blocks: it runs to its end, its JSON has the schema, what is missing is said, and
# nothing is left behind. The figures themselves are not looked at.
# ctest: timeout 1800
# ctest: not thread
# ctest: not address
set -u
perf=$APIARY_BIN/apiary-perf
[ -x "$perf" ] || exit 1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' TERM INT HUP
failures=0

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

valid() # valid FILE: is JSON
{
    if command -v python3 >/dev/null; then
        python3 -m json.tool "$1" >/dev/null || fail "$1 is no JSON: $(head -c 300 "$1")"
    fi
}

fields() # fields FILE NAME...
{
    local file=$1 name
    shift
    for name in "$@"; do
        grep -q "\"$name\":" "$file" || fail "$file has no $name"
    done
}

"$perf" --help | grep -q 'usage: apiary-perf' || fail "--help"
"$perf" --version | grep -q '^apiary-perf [0-9]' || fail "--version"
"$perf" --json list >"$folder/list.json" || fail "list"
valid "$folder/list.json"
mapfile -t names < <("$perf" list | awk '{ print $1 }')
[ "${#names[@]}" -ge 30 ] || fail "only ${#names[@]} cases"
mapfile -t absent < <("$perf" list | awk '/\(missing: / { print $1 }')

# Usage and what is missing.
"$perf" >/dev/null 2>&1
[ $? -eq 64 ] || fail "no case is no usage error"
"$perf" no-such-case >/dev/null 2>&1
[ $? -eq 64 ] || fail "an unknown case is no usage error"
"$perf" --blocks 0 raw >/dev/null 2>&1
[ $? -eq 64 ] || fail "--blocks 0 was taken"
for name in "${absent[@]}"; do
    "$perf" "$name" 2>"$folder/err" >/dev/null
    [ $? -eq 77 ] || fail "$name is missing and did not say so by its exit code"
    grep -q "$name is missing" "$folder/err" || fail "$name is missing and did not say so"
done

one() # one CASE OPTION...
{
    local name=$1
    shift
    if ! "$perf" --json --blocks 1 --block-ms 1 --seconds 0.2 "$@" "$name" >"$folder/$name.json" 2>"$folder/err"; then
        fail "$name: $(cat "$folder/err")"
        return
    fi
    valid "$folder/$name.json"
    fields "$folder/$name.json" schema case env blocks ns p50 p90 p99 p999 p9999 max per_second baselines ratio bins missing cpu \
        kernel governor placement processors load commit
    grep -q "\"case\": \"$name\"" "$folder/$name.json" || fail "$name calls itself otherwise"
}

for name in "${names[@]}"; do
    [[ " ${absent[*]} " == *" $name "* ]] || one "$name"
done
one rtt --pin free
one raw --pin 0,0

# What carries one message at a time is missing where there is a window, and says so.
grep -q '"futex": "carries one message at a time"' "$folder/stream.json" || fail "stream does not say why futex is missing"
for name in raw ck_ring futex eventfd pipe seqpacket mq; do
    awk '/"baselines":/ { on = 1 } on' "$folder/rtt.json" | grep -q "\"$name\":" || fail "rtt without $name"
done

# Comparison, with itself and with nothing in common.
"$perf" --json --blocks 8 --block-ms 1 raw >"$folder/a.json" || fail "raw, 8 blocks"
"$perf" compare "$folder/a.json" "$folder/a.json" >"$folder/out" || fail "compare"
grep -qE 'raw .*1\.000 .*no difference seen' "$folder/out" || fail "raw is not like itself: $(cat "$folder/out")"
"$perf" --json compare "$folder/a.json" "$folder/a.json" >"$folder/compared.json" || fail "compare --json"
valid "$folder/compared.json"
"$perf" compare "$folder/a.json" "$folder/memory.json" >/dev/null 2>"$folder/err" && fail "nothing in common, and yet compared"
echo '{"schema": 99}' >"$folder/other.json"
"$perf" compare "$folder/a.json" "$folder/other.json" >/dev/null 2>"$folder/err" && fail "another schema was taken"

# A picture where there is gnuplot, a sentence where there is none.
if command -v gnuplot >/dev/null; then
    "$perf" --blocks 1 --block-ms 1 --plot "$folder/p.svg" raw rtt >/dev/null || fail "--plot"
    grep -q '<svg' "$folder/p.svg" || fail "no picture"
else
    "$perf" --blocks 1 --block-ms 1 --plot "$folder/p.svg" raw >/dev/null 2>"$folder/err" && fail "--plot without gnuplot succeeded"
    grep -q 'gnuplot is not installed' "$folder/err" || fail "--plot: $(cat "$folder/err")"
fi

# Nothing is left, even of a run that was killed in the middle.
"$perf" --blocks 4000 --block-ms 50 rtt >/dev/null 2>&1 &
last=$!
case_pid=
until [ -n "$case_pid" ] && compgen -G "/dev/shm/apiary-perf-$case_pid-*" >/dev/null; do
    kill -0 $last 2>/dev/null || break
    case_pid=$(pgrep -P $last | head -n 1)
done
kill -TERM $last
wait $last
[ $? -eq 143 ] || fail "an interrupted run did not end with 143"
compgen -G "/dev/shm/apiary-perf-$case_pid-*" && fail "segments are left"

[ "$failures" -eq 0 ] || echo "$failures failures"
[ "$failures" -eq 0 ]
