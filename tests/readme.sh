#!/bin/bash
# The README is typed as it stands: its first client is the file of the examples, its blocks of commands run one after the other in one
# shell beside the shipped swarms, each says what it is to say ("# prints:", "# fails:"), and its configuration passes its own checks.
set -u
cd "$APIARY_SOURCE" || exit 1
. tests/process/lib_leftovers.sh || exit 1
export APIARY_SEGMENT=/apiary-test-readme-$$
work=$(mktemp -d) || exit 1
up=
cleanup()
{
    end_of "$APIARY_SEGMENT"
    rm -rf "$work" "/dev/shm$APIARY_SEGMENT" "/dev/shm$APIARY_SEGMENT-yaml"
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP
clear_leftovers apiary-test-readme

block() # block LANGUAGE NUMBER: the text of the README's n-th block of that language
{
    awk -v head="\`\`\`$1" -v want="$2" '$0 == head { on = ++n == want; next } /^```$/ { on = 0 } on' README.md
}

block c 1 >"$work/first_client.c"
cmp "$work/first_client.c" tools/examples/first_client.c || exit 1
lines=$(wc -l <"$work/first_client.c")
if [ "$lines" -lt 20 ] || [ "$lines" -gt 40 ]; then echo "the first client has $lines lines"; exit 1; fi
block python 1 | cmp - tools/examples/greeter.py || exit 1
block yaml 1 >"$work/apiary.yaml"
while read -r command _; do
    [ -x "$command" ] || { echo "the README has a command that is not there: $command"; exit 1; }
done < <(block sh 1)
[ -z "$APIARY_SANITIZE" ] || exit 0 # the compiler calls of the README know no sanitizer

# One script of the other blocks, in a tree whose build/release is this build. A line that prints something, or fails, is checked.
mkdir -p "$work/tree/build" "$work/run" && ln -s "$APIARY_BUILD" "$work/tree/build/release" && ln -s "$APIARY_SOURCE"/{core,tools} "$work/tree" || exit 1
export XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state CC=${CC:-cc}
cat >"$work/script" <<'END'
set -u
cc() { command "$CC" -Wall -Wextra -Werror "$@" || exit 1; }
prints() # prints COMMAND TEXT
{
    local answer
    answer=$(eval "$1") || exit 1
    [ "$answer" = "$2" ] || { echo "'$1' prints '$answer', not '$2'"; exit 1; }
}
fails() # fails COMMAND TEXT
{
    local answer
    answer=$(eval "$1" 2>&1) && { echo "'$1' does not fail"; exit 1; }
    [[ $answer == *"$2"* ]] || { echo "'$1' says '$answer', not '$2'"; exit 1; }
}
END
blocks=0
while [ -n "$(block sh $((blocks + 2)))" ]; do
    if [ ! -e "$APIARY_BUILD/python" ] && grep -q python <<<"$(block sh $((blocks + 2)))"; then # there is no module in this build
        blocks=$((blocks + 1))
        continue
    fi
    while IFS= read -r line; do
        if [[ $line =~ ^(.*[^ ])\ +#\ (prints|fails):\ (.*)$ ]]; then
            printf '%s %q %q\n' "${BASH_REMATCH[2]}" "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]}"
        else
            printf '%s\n' "$line"
        fi
    done < <(block sh $((blocks + 2)))
    blocks=$((blocks + 1))
done >>"$work/script"
[ "$blocks" -ge 4 ] && [ "$(grep -cE '^(prints|fails) ' "$work/script")" -ge 4 ] && [ "$(grep -c '^cc ' "$work/script")" -eq 2 ] ||
    { echo "the README's blocks were not understood"; cat "$work/script"; exit 1; }

"$APIARY_BIN/apiary" up --segment "$APIARY_SEGMENT" --config agents/singularity.yaml >"$work/up" 2>&1 &
up=$!
"$APIARY_BIN/apiary" wait --all --segment "$APIARY_SEGMENT" --config agents/singularity.yaml || { cat "$work/up"; exit 1; }
(cd "$work/tree" && bash "$work/script") 2>"$work/err" || { cat "$work/err"; exit 1; }
"$work/tree/first_client" text.lower hello 2>"$work/err" && exit 1
grep -q 'nobody has ever offered' "$work/err" || { cat "$work/err"; exit 1; }
kill -INT "$up"
wait "$up"
code=$?
[ "$code" -eq 0 ] && [ ! -e "/dev/shm$APIARY_SEGMENT" ] || { echo "apiary up: exit $code"; cat "$work/up"; exit 1; }

"$APIARY_BIN/apiary" up --once --segment "$APIARY_SEGMENT-yaml" --config "$work/apiary.yaml" >"$work/up" 2>&1 || { cat "$work/up"; exit 1; }
