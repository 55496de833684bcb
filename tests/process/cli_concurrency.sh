#!/bin/bash
# Of a capability so many tasks run at once, over two instances. When one of these is killed, its places are free for the other.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 64, lanes: 96, tasks: 2048, queue_inlets: 1}
swarms:
  - service: few_service
    agents:
      - name: few
        kind: exec
        capabilities: [{name: few, concurrency: 3}, free]
        config:
          command: [sh, -c, 'until [ -e $folder/go ]; do sleep 0.05; done; echo done'] # LINT: the agent's own loop
          concurrency: 8
END
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
for i in 0 1; do
    start "$folder/queen.$i" apiary queen few_service --config "$config" --instance "$i"
    queens[i]=$last
done
until_true sh -c '[ "$(apiary discover few | grep -c yes)" = 2 ]'
expect 0 '^concurrency +3 +yes' apiary capability show few
expect 0 'at most 3 running at once, 0 now' apiary route explain few

# states STATE N: so many tasks of the capability are in that state
states()
{
    [ "$(apiary task ls | grep -c " $1 .* few \|  *$1  *few ")" = "$2" ]
}
for i in {1..8}; do start "$folder/few.$i" apiary delegate --timeout 250s few; callers[i]=$last; done
until_true states running 3
until_true states queued 5
for i in {1..20}; do states running 3 || fail "not three of them run: $(apiary task ls)"; done
expect 0 'at most 3 running at once, 3 now; [1-9][0-9]* had to wait$' apiary route explain few
expect 0 '^running at once: 3 of 3; [1-9][0-9]* tasks had to wait$' apiary capability show few

# Another capability of the same agents has no bound, and those that wait in the same ring do not hold it up.
start "$folder/free" apiary delegate --timeout 250s free
free=$last
until_true sh -c 'apiary task ls | grep -q " running .*free\|running  *free"'

kill -KILL "${queens[0]}"
until_true gone "${queens[0]}"
until_true sh -c '[ "$(apiary discover few | grep -c yes)" = 1 ]'
until_true states running 3
until_true states queued 5
: >"$folder/go"
for i in {1..8}; do
    wait "${callers[i]}" || fail "caller $i: $(cat "$folder/few.$i")"
    expect 0 '^done$' cat "$folder/few.$i"
done
wait "$free" || fail "the other capability: $(cat "$folder/free")"
until_true sh -c "apiary route explain few | grep -q 'at once, 0 now'"
expect 0 . shmdump --verify "$APIARY_SEGMENT"
ends
