#!/bin/bash
# ctest: timeout 3600
# ctest: first
# Each defect of defects.txt must be noticed by the tests that it names; prints which noticed it. A test named there passes without
# the defect. With DEFECTS=all the whole sweep is run with each, and all that notices is printed. Where the build is without defects
# they are planted all the same, to see that each still finds its place in the sources.
set -u
sweep=$APIARY_TEST_BIN/sweep_defects
here=$APIARY_SOURCE/tests/crash
failed=()

fail()
{
    echo "$*"
    failed+=("$*")
}

# Histories are made by chance: with a defect there may be one that does not show it, and then there are others, up to the longest.
linear() # linear DEFECT
{
    local result sizes='40000 100000 200000 200000 200000' size

    [ -n "$1" ] || sizes=200000
    for size in $sizes; do
        APIARY_DEFECT=$1 timeout 900 "$APIARY_TEST_BIN/linear_defects" --operations "$size" --kills $((size / 3333)) \
            --stops $((size / 10000))
        result=$?
        [ "$result" -eq 1 ] && break
        echo "$size operations ended with $result"
    done
    return "$result"
}

run() # run DEFECT TEST
{
    case $2 in
    crash.*) APIARY_DEFECT=$1 timeout 900 "$sweep" ${1:+-f} -x 1 "=${2#crash.}" ;;
    unit.*/*)
        program=${2#unit.}
        APIARY_DEFECT=$1 timeout 900 "$APIARY_TEST_BIN/${program%%/*}_defects" --jobs 1 --filter "*/${program#*/}"
        ;;
    process.linear) linear "$1" ;;
    esac >"$folder/said" 2>&1
}

folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
python3 "$here/defects.py" "$APIARY_SOURCE" "$folder" || exit 1
[ -x "$sweep" ] || { echo "this build is without defects: -DAPIARY_DEFECTS=ON"; exit 77; }
uname -m | grep -q x86_64 || { echo "skipped: the trap flag is a thing of x86-64"; exit 77; }

declare -A sound=()
printf '%-22s %s\n' defect "noticed by"
count=0
while IFS=$'\t' read -r defect tests text; do
    by=
    count=$((count + 1))
    for test in $tests; do
        if [ -z "${sound[$test]:-}" ]; then
            run "" "$test" || fail "$test fails without a defect ($?): $(grep -v ' 0 failures$' "$folder/said" | tail -n 20)"
            sound[$test]=1
        fi
        run "$defect" "$test"
        result=$?
        if [ "$result" -eq 1 ]; then
            by+=" $test"
        else
            fail "$test does not notice $defect ($result): $text: $(grep -v ' 0 failures$' "$folder/said" | tail -n 20)"
        fi
    done
    if [ "${DEFECTS:-}" = all ]; then
        while read -r test; do
            by+=" (crash.$test)"
        done < <(APIARY_DEFECT=$defect timeout 900 "$sweep" -q -x 1 | awk '$NF == "failures" && $(NF - 1) != "0" && $1 != "total" { print $1 }')
    fi
    printf '%-22s%s\n' "$defect" "$by"
done < <(python3 "$here/defects.py" --list)
[ "$count" -gt 40 ] || fail "only $count defects were found"
# Again at the end: a log that is cut keeps its end.
[ "${#failed[@]}" -eq 0 ] || printf '%s\n' "${failed[@]}"
echo "$count defects, ${#failed[@]} failures"
[ "${#failed[@]}" -eq 0 ]
