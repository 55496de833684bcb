#!/bin/bash
# The README's first client is the file of the examples, compiles as told, and runs against a living segment.
set -u
cd "$APIARY_SOURCE" || exit 1
segment=/apiary-test-readme-$$
work=$(mktemp -d) || exit 1
up=
cleanup()
{
    [ -n "$up" ] && kill -KILL "$up" 2>/dev/null && wait "$up" 2>/dev/null
    rm -rf "$work" "/dev/shm$segment"
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$work/first_client.c"
cmp "$work/first_client.c" tools/examples/first_client.c || exit 1
lines=$(wc -l <"$work/first_client.c")
if [ "$lines" -lt 20 ] || [ "$lines" -gt 40 ]; then echo "the first client has $lines lines"; exit 1; fi
[ -z "$APIARY_SANITIZE" ] || exit 0 # the compiler call of the README knows no sanitizer

# The two compiler calls as the README has them, in a tree whose build/release is this build.
mkdir -p "$work/tree/build" && ln -s "$APIARY_BUILD" "$work/tree/build/release" && ln -s "$APIARY_SOURCE"/{core,tools} "$work/tree" || exit 1
mapfile -t calls < <(sed -n 's/^    cc /-Wall -Wextra -Werror /p' README.md)
[ "${#calls[@]}" -eq 2 ] || { echo "${#calls[@]} compiler calls in the README"; exit 1; }
for call in "${calls[@]}"; do
    (cd "$work/tree" && eval "${CC:-cc} $call") || exit 1
done
[ -e "$work/tree/echo_agent.so" ] && mv "$work/tree/first_client" "$work" || exit 1
awk '/^```yaml$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$work/apiary.yaml"
export APIARY_SEGMENT=$segment
"$APIARY_BIN/apiary" up --segment "$segment" --config "$work/apiary.yaml" >"$work/up" 2>&1 &
up=$!
until grep -q 'checks passed' "$work/up"; do
    kill -0 "$up" 2>/dev/null || { cat "$work/up"; exit 1; }
done
answer=$("$work/first_client" text.upper hello) || exit 1
[ "$answer" = HELLO ] || { echo "the first client says '$answer'"; exit 1; }
"$work/first_client" text.lower hello 2>"$work/err" && exit 1
grep -q 'nobody has ever offered' "$work/err" || { cat "$work/err"; exit 1; }
kill -INT "$up"
wait "$up"
code=$?
up=
[ "$code" -eq 0 ] && [ ! -e "/dev/shm$segment" ]
