#!/bin/bash
# tools/examples/tasks.bt, by bpftrace, beside queens that run tasks: each task is seen in each state that it went through, and its
# times are those of its capability. It needs root, bpftrace, and a kernel with uprobes.
# ctest: not thread
# ctest: not address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
tasks=20

skip()
{
    echo "skipped: $*"
    exit 77
}
echo "#include <sys/sdt.h>" | cc -E - >/dev/null 2>&1 || skip 'there is no <sys/sdt.h> (systemtap-sdt-dev), so no tracepoints were built'
command -v bpftrace >/dev/null || skip 'bpftrace is not installed'
[ "$(id -u)" -eq 0 ] || skip 'bpftrace needs root'
timeout 60 bpftrace -e "usdt:$APIARY_BIN/apiary:apiary:task { @ = count(); } interval:ms:10 { exit(); }" >"$folder/probe" 2>&1 ||
    skip "bpftrace cannot look in on this machine: $(tail -n 1 "$folder/probe")"

cat >"$config" <<END
swarms:
  - service: first
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}]
END
start "$folder/up" apiary up --config "$config"
expect 0 '' apiary wait --all --config "$config"
start "$folder/trace" bpftrace "$APIARY_SOURCE/tools/examples/tasks.bt" "$APIARY_BIN/apiary" "$APIARY_BUILD/lib/libapiary.so.0"
tracer=$last
attached()
{
    gone "$tracer" && return
    local wanted
    wanted=$(sed -nE 's/^Attaching ([0-9]+) probes.*/\1/p' "$folder/trace")
    [ "${wanted:-0}" -gt 0 ] && [ "$(find "/proc/$tracer/fd" -lname 'anon_inode:*perf_event*' | wc -l)" -ge "$wanted" ]
}
until_true attached
for ((i = 0; i < tasks; i++)); do expect 0 . apiary delegate echo body; done
kill -INT "$tracer"
wait "$tracer"
for state in 1 3 4 5 8; do
    seen=$(sed -nE "s/^@entered\[$state\]: ([0-9]+)$/\1/p" "$folder/trace")
    [ "${seen:-0}" -ge "$tasks" ] || fail "$tasks tasks, and state $state was entered ${seen:-0} times: $(cat "$folder/trace")"
done
grep -q '^@waited_us\[' "$folder/trace" && grep -q '^@ran_us\[' "$folder/trace" || fail "no times: $(cat "$folder/trace")"
ends
