#!/bin/bash
# The shell completion: commands, options from the help, segments of this host. By bash alone: no other package is read.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

complete_line() # complete_line WORD...: what the last word may become
{
    bash --norc --noprofile -c 'source "$1" && shift || exit 1
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
if [ "$1" = apiary ]; then _apiary; else _apiary_program "$1"; fi
printf "%s " "${COMPREPLY[@]}"' bash "$APIARY_SOURCE/tools/completion/apiary" "$@"
}

# The words as bash parts them: split_line LAST WORD..., where LAST is what of the last word stands behind "=" or "@".
split_line()
{
    bash --norc --noprofile -c 'source "$1" && part=$2 && shift 2 || exit 1
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
COMP_WORDS[COMP_CWORD]=$part
_apiary
printf "%s " "${COMPREPLY[@]}"' bash "$APIARY_SOURCE/tools/completion/apiary" "$@"
}

expect 0 '^status stats $' complete_line apiary st
expect 0 '^drain ' complete_line apiary dr
expect 0 '^wait $' complete_line apiary wa
expect 0 '^show $' complete_line apiary task sh
expect 0 '^--timeout $' complete_line apiary delegate --ti
expect 0 '^--force $' complete_line apiary segment rm --f
expect 0 '^--state $' complete_line apiary task ls --st
expect 0 '^queued $' complete_line apiary task ls --state q
expect 0 '^scheduled queued running done failed cancelled $' complete_line apiary task ls --state ''
expect 0 '^crashed lost failed overrun $' complete_line apiary dead ls --cause ''
expect 0 '^queued $' split_line q apiary task ls --state=q
expect 0 '^--remove $' complete_line apiaryd --rem
expect 0 '^--verify --tasks --watch --events --wide --json --segment --help --version $' complete_line shmdump --
printf 'swarms: []\n' >"$folder/some.yaml"
touch "$folder/some.text"
expect 0 "^$folder/some.yaml \$" complete_line apiary up -c "$folder/some"
expect 0 "^@$folder/some.text @$folder/some.yaml \$" complete_line apiary delegate x "@$folder/some"
expect 0 "^$folder/some.text $folder/some.yaml \$" split_line "$folder/some" apiary delegate x "@$folder/some"

# The last line has no word at its end: nothing is an answer, a message would stand in the user's line.
for line in 'apiary' 'apiary status' 'apiary task' 'apiary segment rm' 'shmdump'; do
    # shellcheck disable=SC2086 # words
    complete_line $line '' 2>"$folder/err" >/dev/null
    [ -s "$folder/err" ] && fail "'$line ' prints $(cat "$folder/err")"
done

cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 256}
swarms:
  - service: text_service
    queen: {instances: 2}
    agents:
      - {name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}
END
start "$folder/up" apiary up --config "$config"
expect 0 '' apiary wait --all --config "$config" --timeout 10m
expect 0 "^$APIARY_SEGMENT \$" complete_line apiary segment rm "${APIARY_SEGMENT%??}"
expect 0 "^$APIARY_SEGMENT \$" complete_line apiary status --segment "${APIARY_SEGMENT%??}"
expect 0 "^$APIARY_SEGMENT \$" split_line "${APIARY_SEGMENT%??}" apiary status --segment="${APIARY_SEGMENT%??}"
expect 0 '^text_service $' complete_line apiary delegate --from te
expect 0 '^text_service $' complete_line apiary drain te
expect 0 '^text_service $' complete_line apiary drain --timeout 5s te
expect 0 '^--instance $' complete_line apiary drain --timeout 5s --in
expect 0 '^0 1 $' complete_line apiary drain text_service --instance ''
expect 0 '' apiary drain text_service --instance 0 --reason 'a line below the table, of several words'
expect 0 '^0 1 $' complete_line apiary drain text_service --instance ''
expect 0 '' apiary resume text_service --instance 0
expect 0 '^echo $' complete_line apiary delegate --timeout 5s e
expect 0 '^echo $' complete_line apiary wait --capability e
kill -TERM "$last"
wait "$last" || fail "up left with $?"

ends
