#!/bin/bash
# Help, version and wrong calls of every command; and that help, manual page and completion name the same commands.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

mapfile -t commands < <(apiary --help | sed -nE 's/^  ([a-z]+) .*/\1/p')
[ "${#commands[@]}" -ge 10 ] || fail "apiary --help lists ${#commands[@]} commands"
for command in "${commands[@]}"; do
    expect 0 "^usage: apiary $command" apiary "$command" --help
    expect 0 '^apiary [0-9]+\.[0-9]+\.[0-9]+$' apiary "$command" --version
    expect 0 "^usage: apiary $command" apiary help "$command"
    grep -qE "^\.It Cm $command( |\$)" "$APIARY_BUILD/man/apiary.1" || fail "apiary.1 does not describe $command"
    grep -qE "choices='.*\b$command\b.*--help" "$APIARY_SOURCE/tools/completion/apiary" || fail "the completion lacks $command"
    grep -qE "(apiary |\`)$command\b" "$APIARY_SOURCE/README.md" || fail "the README lacks $command"
done
for command in 'task ls' 'task show' 'task cancel' 'segment ls' 'segment rm'; do
    # shellcheck disable=SC2086 # words
    expect 0 "^usage: apiary $command" apiary $command --help
done
for program in apiary apiaryd; do
    expect 0 '^usage: ' "$program" --help
    expect 0 "^$program [0-9]+\.[0-9]+\.[0-9]+\$" "$program" --version
done
# Each long option of each command stands in a manual page.
for command in "${commands[@]}" 'task ls' 'segment rm'; do
    # shellcheck disable=SC2086 # words
    for option in $(apiary $command --help | sed -nE 's/^  (-., |    )--([a-z-]+).*/\2/p'); do
        cat "$APIARY_BUILD"/man/apiary{,-up,-queen}.1 | grep -qE -- "Fl (. , )?-$option( |\$)" || fail "no manual page has --$option of $command"
    done
done

expect 64 'a command is missing' apiary
expect 64 "no command 'fly'" apiary fly
expect 64 "no option '--fly' before the command" apiary --fly
expect 64 "no option '--fly'" apiary status --fly
expect 64 "'--timeout' needs a value" apiary delegate x --timeout
expect 64 'CAPABILITY.* is missing' apiary delegate
expect 64 "'three' is one argument too many" apiary delegate one two three
expect 64 'wait for one thing' apiary wait
expect 64 'wait for one thing' apiary wait text_service --capability text.copy
expect 64 "'soon' is not a duration" apiary wait x --timeout soon
expect 64 "'No' is not a capability name" apiary wait --capability No
expect 7 'no such segment' apiary wait x_service --timeout 10ms
expect 64 "'soon' is not a duration" apiary delegate x --timeout soon
expect 64 "'-5s' is not a duration" apiary delegate x --timeout=-5s
expect 64 'at most 72 printable' apiary drain x --reason "$(printf '%073d' 0)"
expect 64 'at most 72 printable' apiary drain x --reason $'two\nlines'
expect 64 "'lost' is not a state" apiary task ls --state lost
expect 64 "'1-2' is not a task id" apiary task show 1-2
expect 64 "'1-2-3-4' is not a task id" apiary task show 1-2-3-4
expect 64 'a command is missing' apiary task
expect 64 "no option '-1'" apiary task show -1-1-1
expect 64 "no option '-x'" apiary status --wide -Wx
expect 64 "no option '--wider'" apiary status --wider
expect 64 "no option '--wide=1'" apiary status --wide=1
expect 64 "no command 'fly'" apiary segment fly
expect 64 "'loud' is not one of" apiary queen x --log-level loud
expect 64 "'extra' is one argument too many" apiaryd extra
expect 0 'exec: ' apiary kinds
expect 0 '^    hedge +option; ' apiary kinds
apiary kinds --json | grep -q '"type": "?"' && fail 'a key has a type without a name'
expect 64 "APIARY_PARK is 'hammock'; it may be uring, parker or poll" env APIARY_PARK=hammock apiaryd --remove
expect 0 '"schema": 1' apiary kinds --json
expect 3 'no such segment' apiary --segment "$APIARY_SEGMENT" status

# What is printed to a file that is full is not called a success.
if [ -w /dev/full ]; then
    apiary kinds >/dev/full 2>"$folder/err"
    [ $? -eq 1 ] || fail 'a full standard output went unnoticed'
fi
# No colours in a pipe.
apiary kinds | grep -q $'\033' && fail 'an escape sequence in a pipe'

ends
