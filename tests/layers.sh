#!/bin/bash
# The layers: core <- shm <- registry <- agents <- tools, perf, tests. Each may use itself and those to its left only,
# in what it includes and in what it links to (tests may use all: they test all); and every header compiles alone.
set -u
cd "$APIARY_SOURCE" || exit 1
failures=0

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

declare -A rank=([core]=0 [shm]=1 [registry]=2 [agents]=3 [tools]=4 [perf]=4 [tests]=5)

allowed() # allowed USER USED
{
    [ "$1" = "$2" ] || [ "${rank[$2]}" -lt "${rank[$1]}" ]
}

# ---- includes

# FILE, line and name of each include in quotes, with tabs between them.
included() # included FILE...
{
    awk 'match($0, /^[ \t]*#[ \t]*include[ \t]*"[^"]*"/) {
        name = substr($0, RSTART, RLENGTH - 1)
        sub(/^[^"]*"/, "", name)
        print FILENAME "\t" FNR "\t" name
    }' "$@"
}

# tests/abi has a release's own headers
mapfile -t files < <(find core shm registry agents tools perf tests -name '*.[ch]' -not -path 'tests/abi/*' 2>/dev/null)
[ "${#files[@]}" -gt 10 ] || fail "only ${#files[@]} files were looked at"
while IFS=$'\t' read -r file line included; do
    layer=${file%%/*} used=${included%%/*}
    case $included in
    ../apiary.h | agent.h) [ "$layer" = core ] || fail "$file:$line: includes $included" ;; # public headers, of each other
    *../*) fail "$file:$line: includes $included: write it from the top of the tree" ;;
    apiary.h | apiary/*.h | apiary_error.def) ;; # public
    nif.h | queen.h | watch.h) [[ $file == agents/elixir/c_src/* && -f ${file%/*}/$included ]] || fail "$file:$line: includes $included" ;;
    */*)
        if [ -z "${rank[$used]:-}" ] || [ ! -f "$included" ]; then
            fail "$file:$line: includes $included, which is not there"
        elif ! allowed "$layer" "$used"; then
            fail "$file:$line: $layer may not use $used ($included)"
        fi
        ;;
    *) [ -f "${file%/*}/$included" ] || fail "$file:$line: includes $included: write it from the top of the tree" ;;
    esac
done < <(included "${files[@]}")

# ---- agents are written as a stranger's are: with the public headers, what their own folders share, and texts, descriptors, programs

mapfile -t files < <(find agents -mindepth 2 -name '*.[ch]' -not -path 'agents/runtime/*' -not -path 'agents/deployment/*')
[ "${#files[@]}" -gt 10 ] || fail "only ${#files[@]} files of agents were looked at"
while IFS=$'\t' read -r file line included; do
    own=${file%/*}
    case $included in
    apiary.h | apiary/*.h | apiary_error.def | core/apiary.h | core/apiary/agent.h | core/apiary/discovery.h | core/apiary/kinds.h | core/swarm_states.def) ;;
    core/descriptor.h | core/name.h | core/program.h | core/text.h) ;; # linked into libapiary-kinds by CMakeLists.txt
    core/must_check.h | agents/kinds/*.h | "$own"/*.h) ;;
    nif.h | queen.h | watch.h) # the NIF is compiled without the tree, too: what it shares lies beside it
        [ "$own" = agents/elixir/c_src ] || fail "$file:$line: an agent includes $included, which is the runtime's"
        ;;
    *) fail "$file:$line: an agent includes $included, which is the runtime's" ;;
    esac
done < <(included "${files[@]}")

# ---- what is linked: an undefined symbol of one layer's objects must be defined in the same or a layer to its left

objects=$APIARY_BUILD/CMakeFiles/apiary_objects.dir
defined=$(mktemp) && undefined=$(mktemp) || exit 1
trap 'rm -f "$defined" "$undefined"' EXIT
for layer in core shm registry agents; do
    mapfile -t files < <(find "$objects/$layer" -name '*.o' 2>/dev/null)
    [ "${#files[@]}" -gt 0 ] || continue
    nm -A --defined-only --extern-only "${files[@]}" | awk -v l="$layer" 'NF == 3 { print $3, l }' >>"$defined"
    nm -A --undefined-only "${files[@]}" | awk -v l="$layer" '{
        sub(/:.*/, "", $1)
        sub(/.*\//, "", $1)
        print $NF, l, $1
    }' >>"$undefined"
done
[ "$(wc -l <"$defined")" -gt 20 ] || fail "the library's objects are not in $objects"
while read -r symbol user object used; do
    allowed "$user" "$used" || fail "$user/${object%.o}: $user may not use $used (symbol $symbol)"
done < <(join <(sort "$undefined") <(sort "$defined"))

# ---- each header alone

jansson=$(pkg-config --cflags jansson 2>/dev/null)
erlang=$(sed -n 's/^ERL_NIF_INCLUDE_DIR:PATH=//p' "$APIARY_BUILD/CMakeCache.txt" 2>/dev/null)
while IFS= read -r header; do
    flags=
    case $header in
    agents/elixir/*)
        [ -e "$erlang/erl_nif.h" ] || continue # it is for those who have that
        flags="-Iagents/elixir/c_src -isystem $erlang"
        ;;
    agents/python/*) flags=$(pkg-config --cflags 'python3 >= 3.11' 2>/dev/null) || continue ;;
    tools/* | agents/*) flags=$jansson ;;
    esac
    # shellcheck disable=SC2086 # words
    ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -I. -Icore $flags -Wall -Wextra -Werror -fsyntax-only -x c - <<<"#include \"$header\"" ||
        fail "$header does not compile alone"
done < <(find core shm registry agents tools perf tests -name '*.h' 2>/dev/null)

[ "$failures" -eq 0 ]
