#!/bin/bash
# The libraries export what <apiary.h>, <apiary/agent.h> and <apiary/swarm.h> declare and nothing else, and leave the choice of the allocator to the program.
set -u
library=$APIARY_BUILD/lib/libapiary.so
archive=$APIARY_BUILD/lib/libapiary.a
failures=0

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
declared=$(${CC:-cc} -E -P "$APIARY_SOURCE/core/apiary/swarm.h" | tr '\n' ' ' | sed 's/;/;\n/g' |
    sed -nE 's/.*visibility\("default"\).*[ *](apiary_[a-z_]+)\(.*/\1/p' | sort -u)
[ "$(wc -l <<<"$declared")" -gt 20 ] || fail "the declarations of apiary.h were not understood"

# What a parser of a foreign-function interface is given: our own lines, without extensions of the compiler.
plain=$(${CC:-cc} -E -DAPIARY_PLAIN "$APIARY_SOURCE/core/apiary/swarm.h" |
    awk '/^# [0-9]+ "/ { ours = $3 ~ /(apiary(_error)?|agent|swarm)\.(h|def)"/; next } ours')
grep -q 'int apiary_await(' <<<"$plain" || fail 'the plain header lacks its functions'
grep -nE '__|\bstatic\b|\binline\b' <<<"$plain" && fail 'the plain header is not plain'

extra=$(comm -23 <(echo "$exported") <(echo "$declared"))
[ -z "$extra" ] || fail "exported but not declared: $extra"
absent=$(comm -13 <(echo "$exported") <(echo "$declared"))
[ -z "$absent" ] || fail "declared but not exported: $absent"

# Each with the version by which a program finds it: the release's that had it first, as the frozen headers tell.
unversioned=$(nm -D --defined-only "$library" | awk '$2 != "A" && $3 !~ /@@APIARY_[0-9]+\.[0-9]+$/ { print $3 }')
[ -z "$unversioned" ] || fail "exported without a version: $unversioned"
earlier=
for release in "$APIARY_SOURCE"/tests/abi/[0-9]*; do
    for name in $(${CC:-cc} -E -P "$release/apiary/swarm.h" | tr '\n' ' ' | sed 's/;/;\n/g' |
        sed -nE 's/.*visibility\("default"\).*[ *](apiary_[a-z_]+)\(.*/\1/p' | sort -u); do
        grep -qxF "$name" <<<"$earlier" && continue
        earlier+=$'\n'$name
        nm -D --defined-only "$library" | grep -qE " $name@@?APIARY_${release##*/}\$" ||
            fail "$name is not exported as of release ${release##*/}"
    done
done
[ "$(wc -l <<<"$earlier")" -gt 20 ] || fail "the declarations of the frozen headers were not understood"

# A program that links the archive shares its names: they must be ours.
foreign=$(nm --defined-only --extern-only "$archive" 2>/dev/null | awk 'NF == 3 && $3 !~ /^(ap|apiary)_/ { print $3 }')
[ -z "$foreign" ] || fail "global names in libapiary.a without our prefix: $foreign"

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

if readelf -d "$library" | grep -q jemalloc; then
    fail "the library is linked with jemalloc"
fi
readelf -d "$library" | grep -q 'SONAME.*libapiary\.so\.[0-9]' || fail "the library has no versioned name"
for program in "$APIARY_BIN"/*; do
    [ -f "$program" ] || continue
    readelf -d "$program" | grep -q 'Flags:.*NOW.*PIE' || fail "$program is not linked with -z now, as PIE"
done
readelf -d "$APIARY_BIN/apiary" | grep -q 'NEEDED.*jemalloc' || fail "apiary is not linked with jemalloc"
# Plug-ins use the interface from the program that loads them.
lacking=$(comm -13 <(nm -D --defined-only "$APIARY_BIN/apiary" | awk '{ print $3 }' | sort) <(echo "$declared"))
[ -z "$lacking" ] || fail "plug-ins would not find in apiary: $lacking"

[ "$failures" -eq 0 ]
