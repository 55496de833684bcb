#!/bin/bash
# The shell completion: commands, options from the help, segments of this host.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
library=/usr/share/bash-completion/bash_completion
[ -r "$library" ] || exit 77

complete_line() # complete_line WORD...: what the last word may become
{
    bash -c 'source "$1" && source "$2" && shift 2 || exit 1
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
if [ "$1" = apiary ]; then _apiary; else _apiary_program "$1"; fi
printf "%s " "${COMPREPLY[@]}"' bash "$library" "$APIARY_SOURCE/tools/completion/apiary" "$@"
}

expect 0 '^status $' complete_line apiary st
expect 0 '^drain ' complete_line apiary dr
expect 0 '^show $' complete_line apiary task sh
expect 0 '^--timeout $' complete_line apiary delegate --ti
expect 0 '^--force $' complete_line apiary segment rm --f
expect 0 '^--state $' complete_line apiary task ls --st
expect 0 '^queued $' complete_line apiary task ls --state q
expect 0 '^--remove $' complete_line apiaryd --r
start "$folder/daemon" apiaryd
until_true grep -q created "$folder/daemon"
expect 0 "^$APIARY_SEGMENT \$" complete_line apiary segment rm "${APIARY_SEGMENT%??}"
expect 0 "^$APIARY_SEGMENT \$" complete_line apiary status --segment "${APIARY_SEGMENT%??}"

ends
