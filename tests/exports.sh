#!/bin/bash
# The libraries export what <apiary.h>, <apiary/agent.h>, <apiary/swarm.h> and <apiary/kinds.h> declare and nothing else, and leave
# the choice of the allocator to the program.
set -u
library=$APIARY_BUILD/lib/libapiary.so
archive=$APIARY_BUILD/lib/libapiary.a
failures=0

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

declared() # declared HEADER: the functions that it and the headers that it includes declare
{
    ${CC:-cc} -E -P "$1" | tr '\n' ' ' | sed 's/;/;\n/g' | sed -nE 's/.*visibility\("default"\).*[ *](apiary_[a-z_]+)\(.*/\1/p' | sort -u
}

judge() # judge LIBRARY NODE DECLARED: it exports what is declared, each with a version of that node
{
    local exported names
    exported=$(nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }')
    names=$(sed 's/@.*//' <<<"$exported" | sort)
    extra=$(comm -23 <(echo "$names") <(echo "$3"))
    [ -z "$extra" ] || fail "${1##*/}: exported but not declared: $extra"
    absent=$(comm -13 <(echo "$names") <(echo "$3"))
    [ -z "$absent" ] || fail "${1##*/}: declared but not exported: $absent"
    unversioned=$(grep -vE "@@$2_[0-9]+\.[0-9]+\$" <<<"$exported")
    [ -z "$unversioned" ] || fail "${1##*/}: exported without a version: $unversioned"
}

# Each function has the version by which a program finds it: the release's that had it first, as the frozen headers tell.
judge_frozen() # judge_frozen LIBRARY NODE HEADER LEAST [WITHOUT]: of the declarations of HEADER but not of WITHOUT, of which there are LEAST
{
    local earlier= release name
    for release in "$APIARY_SOURCE"/tests/abi/[0-9]*; do
        for name in $(comm -23 <(declared "$release/$3") <([ -z "${5-}" ] || declared "$release/$5")); do
            grep -qxF "$name" <<<"$earlier" && continue
            earlier+=$'\n'$name
            nm -D --defined-only "$1" | grep -qE " $name@@?$2_${release##*/}\$" ||
                fail "${1##*/}: $name is not exported as of release ${release##*/}"
        done
    done
    [ "$(wc -l <<<"$earlier")" -gt "$4" ] || fail "the declarations of the frozen $3 were not understood"
}

public=$(declared "$APIARY_SOURCE/core/apiary/swarm.h")
[ "$(wc -l <<<"$public")" -gt 20 ] || fail "the declarations of apiary.h were not understood"
judge "$library" APIARY "$public"
judge_frozen "$library" APIARY apiary/swarm.h 20

# The library of the built-in kinds, whose header has that of agents in it.
kinds=$APIARY_BUILD/lib/libapiary-kinds.so
own=$(comm -23 <(declared "$APIARY_SOURCE/core/apiary/kinds.h") <(declared "$APIARY_SOURCE/core/apiary/agent.h"))
[ -n "$own" ] || fail "the declarations of apiary/kinds.h were not understood"
judge "$kinds" APIARY_KINDS "$own"
judge_frozen "$kinds" APIARY_KINDS apiary/kinds.h 1 apiary/agent.h
readelf -d "$kinds" | grep -q 'NEEDED.*\[libapiary\.so\.[0-9]' || fail "the library of the kinds is not linked with libapiary"

# What a parser of a foreign-function interface is given: our own lines, without extensions of the compiler.
plain=$(for header in swarm kinds; do
    ${CC:-cc} -E -DAPIARY_PLAIN "$APIARY_SOURCE/core/apiary/$header.h" |
        awk '/^# [0-9]+ "/ { ours = $3 ~ /(apiary(_error)?|agent|kinds|swarm)\.(h|def)"/; next } ours'
done)
grep -q 'int apiary_await(' <<<"$plain" || fail 'the plain header lacks its functions'
grep -q 'apiary_kind(' <<<"$plain" || fail 'the plain header of the kinds lacks its functions'
grep -nE '__|\bstatic\b|\binline\b' <<<"$plain" && fail 'the plain header is not plain'

# A program that links the archive shares its names: they must be ours, but for the weak one of <sys/sdt.h>.
for each in "$archive" "$APIARY_BUILD/lib/libapiary-kinds.a"; do
    foreign=$(nm --defined-only --extern-only "$each" 2>/dev/null | awk 'NF == 3 && $3 !~ /^(ap|apiary)_/ && $3 != "_.stapsdt.base" { print $3 }')
    [ -z "$foreign" ] || fail "global names in ${each##*/} without our prefix: $foreign"
done

# A program that is linked statically could not have these without the shared glibc it was linked beside.
shared=$(nm --undefined-only "$archive" 2>/dev/null | grep -woE 'get(pw|gr|serv|proto|host)[a-z_]+|getaddrinfo|initgroups' | sort -u || true)
[ -z "$shared" ] || fail "libapiary.a asks for what needs the shared glibc: $shared"

# What a program holds is refused after its end by whatever takes it.
takers=$(${CC:-cc} -E -P "$APIARY_SOURCE/core/apiary/swarm.h" | tr '\n' ' ' | sed 's/;/;\n/g' |
    sed -nE 's/.*visibility\("default"\).*[ *](apiary_[a-z_]+)\([^)]*apiary_(t|queen_t|agent_t|job_t|watch_t) \*[a-z].*/\1/p' | sort -u)
[ "$(wc -l <<<"$takers")" -gt 50 ] || fail "the functions that take a handle were not understood"
for name in $takers; do
    grep -qE "GONE[A-Z_]*\($name, " "$APIARY_SOURCE/tests/unit/test_stale.c" ||
        fail "$name takes what can have ended, and has no row in tests/unit/test_stale.c"
done

for each in "$library" "$kinds"; do
    ! readelf -d "$each" | grep -q jemalloc || fail "${each##*/} is linked with jemalloc"
    name=$(basename "$each" .so)
    readelf -d "$each" | grep -q "SONAME.*$name\.so\.[0-9]" || fail "${each##*/} has no versioned name"
done
for program in "$APIARY_BIN"/*; do
    [ -f "$program" ] || continue
    readelf -d "$program" | grep -q 'Flags:.*NOW.*PIE' || fail "$program is not linked with -z now, as PIE"
done
for each in "$kinds" "$APIARY_BIN/apiary"; do
    ! readelf -d "$each" | grep -q libcurl || fail "${each##*/} is linked with libcurl: each start would load thirty libraries more"
done
readelf -d "$APIARY_BIN/apiary" | grep -q 'NEEDED.*jemalloc' || fail "apiary is not linked with jemalloc"
# Plug-ins use the interface from the program that loads them.
lacking=$(comm -13 <(nm -D --defined-only "$APIARY_BIN/apiary" | awk '{ print $3 }' | sort) <(echo "$public"))
[ -z "$lacking" ] || fail "plug-ins would not find in apiary: $lacking"

[ "$failures" -eq 0 ]
