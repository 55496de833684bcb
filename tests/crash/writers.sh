#!/bin/bash
# Each function that writes to the segment is stepped by a kill sweep, or has its reason here. Which functions those are is read from
# the source: all that store by core/atomic.h, lock a robust mutex, or copy a body. What was stepped the sweep says itself (-w). It
# also says after which instruction the segment was another: a function that was seen to write and does not stand among those that
# were read fails, too, because then others may be missing.
# ctest: timeout 1800
set -u
cd "$APIARY_SOURCE" || exit 1
sweep=$APIARY_TEST_BIN/sweep
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failures=0

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

# Not stepped, and why.
exceptions=$(cat <<'LINES'
header_fill: the segment that is made has no name yet
segment_build: the same
role_wait: only the bit by which the kernel wakes a waiter, as lane_watch
take_out: only of a lock whose pointers somebody has damaged
page_take: a private page, in the place of one of a segment that is unmapped
bring_over: the same
remain_left: the same
ap_look_mutex: a mutex of its own
worker_turn: the worker's own count, which has the name of a lane's field
ap_queue_margin: one store of a number, whatever it was
ap_hedging_took: one compare-and-swap of a mean, whatever it was
ap_places_wait: one addition to a count that is shown, and of which nothing follows
ap_delegation_wait: the same
ap_target_publish: four stores of a verdict that is shown, and of which nothing follows
ap_claim_numbers_end: one store of a number, when all are used up
LINES
)

uname -m | grep -q x86_64 || { echo "skipped: the trap flag is a thing of x86-64"; exit 77; }
command -v addr2line >/dev/null || { echo "skipped: no addr2line (binutils)"; exit 77; }

# FILE FUNCTION of each definition with such a store in its body; functions begin in the first column, and so do their braces. A store
# to a field that is named, and whose name no shared record has (AP_FIELD, of which the fingerprint is made), is to private memory.
fields=$(grep -ohE 'AP_FIELD\(ap_[a-z_]+, [a-z_]+\)' shm/*.c registry/*.c registry/*/*.c | sed 's/.*, //; s/)//' | sort -u)
mapfile -t sources < <(find shm registry agents/runtime -name '*.[ch]')
awk -v fields="$fields" '
    BEGIN { split(fields, list, "\n"); for (i in list) shared[list[i]] = 1 }
    function private(target) {
        while (gsub(/\([^()]*\)/, "", target)) {}
        sub(/[,)].*/, "", target)
        if (target ~ /\]$/) return 0
        gsub(/\[[^][]*\]/, "", target)
        if (target !~ /^&.*(->|\.)[a-z_0-9]+$/) return 0
        sub(/.*(->|\.)/, "", target)
        return !(target in shared)
    }
    /^[A-Za-z_].*\(/ {
        head = $0
        gsub(/__attribute__\(\([^()]*(\([^()]*\))?[^()]*\)\) */, "", head)
        sub(/\(.*/, "", head)
        n = split(head, words, /[ *]+/)
        name = words[n]
    }
    /^\{/ { inside = 1; stores = 0 }
    inside {
        rest = $0
        while (match(rest, /ap_(store|add|or|and|exchange)_[a-z_]+\(|ap_cas\(|ap_own_add\(/)) {
            rest = substr(rest, RSTART + RLENGTH)
            if (!private(rest)) stores = 1
        }
        if ($0 ~ /ap_copy_small\(|mem(cpy|move|set)\((ap_at_offset|[^,]*_inline)|ap_robust_(lock|trylock|unlock|consistent|init)\(/) stores = 1
    }
    /^\}/ { if (inside && stores) print FILENAME, name; inside = 0 }' "${sources[@]}" | sort -u >"$folder/writers"
[ "$(wc -l <"$folder/writers")" -gt 100 ] || fail "only $(wc -l <"$folder/writers") functions that store were found"

# All that is quick, and attach once.
"$sweep" -k -q -s 1000000 -x 1 -w "$folder/quick" >"$folder/out" || { tail -5 "$folder/out"; exit 1; }
"$sweep" -k -s 1000000 -x 1 -w "$folder/attach" =attach >"$folder/out" || { tail -5 "$folder/out"; exit 1; }
cat "$folder/quick" "$folder/attach" >"$folder/places"

functions() # functions MOST: FILE FUNCTION of the addresses that are read, with so many of those they are inlined into
{
    addr2line -a -f -i -e "$sweep" | awk -v most="$1" '
        /^0x/ { n = 0; next }
        n++ % 2 == 0 { name = $0; next }
        n <= 2 * most {
            sub(/:[0-9?]+( .*)?$/, "")
            if (match($0, /^.*\/(core|shm|registry|agents)\//)) {
                top = substr($0, 1, RLENGTH - 1)
                sub(/.*\//, "", top)
                print top substr($0, RLENGTH), name
            }
        }' | sort -u
}
cut -d' ' -f2 "$folder/places" | functions 100 >"$folder/stepped"
sed -n 's/^wrote //p' "$folder/places" | functions 1 >"$folder/wrote"
[ "$(wc -l <"$folder/stepped")" -gt 300 ] || { echo "skipped: the sweep has no debug information"; exit 77; }

while read -r file function; do
    grep -q "^$function:" <<<"$exceptions" ||
        fail "$file: $function writes to the segment, and no operation of the sweep runs it"
done < <(comm -23 "$folder/writers" "$folder/stepped")
while read -r file function; do
    fail "$file: $function has changed the segment, and is not seen to store"
done < <(comm -13 "$folder/writers" "$folder/wrote")
while IFS=: read -r function reason; do
    ! grep -q " $function\$" "$folder/stepped" || fail "$function has a reason not to be stepped ($reason), and is stepped"
done <<<"$exceptions"
printf '%s functions that store, %s of them stepped, %s seen to change the segment\n' "$(wc -l <"$folder/writers")" \
    "$(comm -12 "$folder/writers" "$folder/stepped" | wc -l)" "$(comm -12 "$folder/writers" "$folder/wrote" | wc -l)"
[ "$failures" -eq 0 ]
