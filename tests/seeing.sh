#!/bin/bash
# The table of tests/README.md, "What an operator asks": each view, metric, command and test that it names is there, and no question is
# without a test.
set -u
cd "$APIARY_SOURCE" || exit 1
failures=0
fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

rows=0
while IFS='|' read -r _ question page metrics commands tests _; do
    rows=$((rows + 1))
    for view in ${page//,/}; do
        [ "$view" = - ] || [ -f "tools/dashboard/$view.js" ] || fail "$question: the page has no view '$view'"
    done
    for metric in $(grep -oE '`apiary_[a-z_]+`' <<<"$metrics" | tr -d '`'); do
        grep -qE "^AP_COUNTER(_BY)?\\($metric, " registry/monitor/counters.def || fail "$question: $metric is not counted"
    done
    while read -r program command _; do
        [ "$program" = apiary ] || continue
        grep -q "^    {\"$command\", " tools/apiary/apiary.c || fail "$question: there is no 'apiary $command'"
    done < <(grep -oE '`[^`]+`' <<<"$commands" | tr -d '`')
    grep -q '`' <<<"$tests" || fail "$question: no test"
    for test in $(grep -oE '`[^`]+`' <<<"$tests" | tr -d '`'); do
        case $test in
        unit.*) file=tests/unit/test_${test#*.}.c ;;
        tree.*) file=tests/${test#*.}.sh ;;
        *) file=tests/${test/.//}.sh ;;
        esac
        [ -f "$file" ] || fail "$question: there is no test $test"
    done
done < <(sed -n '/^## What an operator asks/,/^## The frozen/p' tests/README.md | grep -E '^\| [A-Z]')
[ "$rows" -ge 20 ] || fail "only $rows questions were found"
echo "$rows questions"
[ "$failures" -eq 0 ]
