#!/bin/bash
# What is installed is enough for others: a client and a queen of one's own built with pkg-config and with find_package, all
# libraries, and the headers in C++ and in strict C11. The tree is moved first: nothing in it may know where it was installed.
set -eu
. "$APIARY_SOURCE/tests/process/lib_leftovers.sh"
export APIARY_SEGMENT=/apiary-test-install-$$
scratch=$(mktemp -d)
cleanup()
{
    end_of "$APIARY_SEGMENT"
    rm -rf "$scratch" "/dev/shm$APIARY_SEGMENT"
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP
clear_leftovers apiary-test-install
CC=${CC:-cc}

cmake --install "$APIARY_BUILD" --prefix "$scratch/first" >"$scratch/install.log" || {
    cat "$scratch/install.log"
    exit 1
}
mv "$scratch/first" "$scratch/moved"
prefix=$scratch/moved
pc=$(find "$prefix" -name apiary.pc)
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH=${pc%/*}

for file in include/apiary.h include/apiary_error.def include/apiary/agent.h include/apiary/discovery.h include/apiary/kinds.h include/apiary/swarm.h bin/apiary bin/apiaryd bin/shmdump share/apiary/singularity.yaml share/apiary/alerts.yaml share/apiary/openapi.json share/apiary/grafana/apiary.json \
    share/man/man1/apiary.1 share/man/man1/shmdump.1 share/bash-completion/completions/apiary; do
    test -e "$prefix/$file" || {
        echo "not installed: $file"
        exit 1
    }
done
if grep -rlE "$scratch|$APIARY_SOURCE" "$prefix/include" "$prefix/share" "$libdir/pkgconfig" "$libdir/cmake"; then
    echo "these name a directory of this machine"
    exit 1
fi

# A stranger's client: nothing but the public header. It calls enough to need each part of the library.
mkdir "$scratch/client"
cat >"$scratch/client/client.c" <<'END'
#include <apiary.h>
#include <stdio.h>

int main(void)
{
    apiary_t *a = NULL;
    char message[256] = "";
    apiary_attach_options_t options = {.struct_size = sizeof options};
    int r;
    options.message = message;
    options.message_size = sizeof message;
    r = apiary_attach("/apiary-test-that-nobody-created", &options, &a);
    if (r != APIARY_ENOSEG || a != NULL) {
        fprintf(stderr, "attach: %d %s\n", r, apiary_strerror(r));
        return 1;
    }
    apiary_detach(NULL);
    puts(apiary_version());
    return 0;
}
END
version=$(pkg-config --modversion apiary)

check() # check WHAT PROGRAM: it runs, and is of the version that pkg-config tells
{
    got=$(LD_LIBRARY_PATH=$libdir "$2") || {
        echo "$1: exit $?"
        exit 1
    }
    [ "$got" = "$version" ] || {
        echo "$1: version $got, pkg-config says $version"
        exit 1
    }
}

cd "$scratch/client"
# shellcheck disable=SC2046 # words
"$CC" -std=c11 -Wall -Wextra -Wpedantic -Werror client.c -o shared $(pkg-config --cflags --libs apiary)
check "pkg-config, shared" ./shared

# shellcheck disable=SC2046
"$CC" -std=c11 -Wall -Werror $(pkg-config --cflags apiary) client.c -o static "$libdir/libapiary.a" \
    $(pkg-config --static --libs apiary | sed 's/-lapiary//')
check "pkg-config, static" ./static
if readelf -d static | grep -q 'NEEDED.*libapiary'; then
    echo "the static client needs the shared library"
    exit 1
fi

cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(client C)
find_package(apiary 0.1 REQUIRED)
add_executable(by_cmake client.c)
target_link_libraries(by_cmake PRIVATE apiary::apiary)
add_executable(by_cmake_static client.c)
target_link_libraries(by_cmake_static PRIVATE apiary::apiary_static)
END
if ! { cmake -G Ninja -S . -B build -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$CC" &&
    cmake --build build; } >cmake.log 2>&1; then
    cat cmake.log
    exit 1
fi
check "find_package, shared" build/by_cmake
check "find_package, static" build/by_cmake_static

# A program with a queen of its own: the example, which serves until it is told to leave.
fail()
{
    echo "$*"
    exit 1
}
apiary=$prefix/bin/apiary
echo 'meta_registry: {members: 32, lanes: 64, tasks: 512}' >apiary.yaml
"$prefix/bin/apiaryd" --config apiary.yaml >daemon 2>&1 &
daemon=$!
until "$apiary" status >/dev/null 2>&1; do
    kill -0 "$daemon" 2>/dev/null || fail "the coordinator: $(cat daemon)"
done

serves() # serves WHAT PROGRAM: it offers its two capabilities, and says what is wrong with a configuration
{
    local queen answer
    LD_LIBRARY_PATH=$libdir "$2" 'greeting: good morning' >queen 2>&1 &
    queen=$!
    until "$apiary" check own_service >/dev/null 2>&1; do
        kill -0 "$queen" 2>/dev/null || fail "$1: $(cat queen)"
    done
    answer=$("$apiary" delegate own.shout hello) || fail "$1: own.shout: exit $?"
    [ "$answer" = HELLO ] || fail "$1: own.shout answers '$answer'"
    answer=$("$apiary" delegate own.greet world) || fail "$1: own.greet: exit $?"
    [ "$answer" = 'good morning, world' ] || fail "$1: own.greet answers '$answer'"
    kill -TERM "$queen"
    wait "$queen" || fail "$1: exit $?: $(cat queen)"
    if LD_LIBRARY_PATH=$libdir "$2" $'greeting: hi\ngreetin: x' 2>queen; then fail "$1: takes any key"; fi
    [ "$(cat queen)" = "APIARY_ECONFIG: config of greeter:2: greetin: unknown key (did you mean 'greeting'?); allowed: greeting" ] ||
        fail "$1: says of a wrong key: $(cat queen)"
}

cp "$APIARY_SOURCE/tools/examples/own_queen.c" .
# shellcheck disable=SC2046
"$CC" -Wall -Wextra -Werror own_queen.c -o own_queen $(pkg-config --cflags --libs apiary-kinds)
serves "own queen, pkg-config" ./own_queen

cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(own C)
find_package(apiary 0.1 REQUIRED COMPONENTS kinds)
add_executable(own_by_cmake own_queen.c)
target_link_libraries(own_by_cmake PRIVATE apiary::kinds)
add_executable(own_by_cmake_static own_queen.c)
target_link_libraries(own_by_cmake_static PRIVATE apiary::kinds_static)
END
if ! { cmake -G Ninja -S . -B own -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$CC" && cmake --build own; } >cmake.log 2>&1; then
    cat cmake.log
    exit 1
fi
serves "own queen, find_package, shared" own/own_by_cmake
serves "own queen, find_package, static" own/own_by_cmake_static
if readelf -d own/own_by_cmake_static | grep -q 'NEEDED.*libapiary'; then
    fail "the static queen needs the shared library"
fi
sed -i 's/COMPONENTS kinds/COMPONENTS drones/' CMakeLists.txt
if cmake -G Ninja -S . -B none -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$CC" >cmake.log 2>&1; then
    fail "find_package finds a component that is not there"
fi
kill -TERM "$daemon"
wait "$daemon" || fail "the coordinator: exit $?: $(cat daemon)"

# The example of the README with the same flags a newcomer would use.
for example in "$APIARY_SOURCE"/tools/examples/*client*.c; do
    [ -f "$example" ] || continue
    # shellcheck disable=SC2046
    "$CC" -Wall -Wextra -Werror "$example" -o example $(pkg-config --cflags --libs apiary)
done

if command -v g++ >/dev/null; then
    printf '#include <apiary/kinds.h>\n#include <apiary/swarm.h>\nint main() { return %s == nullptr || %s == nullptr; }\n' \
        'apiary_strerror(APIARY_ENOSEG)' 'apiary_kind("exec")' >cxx.cc
    for standard in c++11 c++20; do
        # shellcheck disable=SC2046
        g++ -std=$standard -Wall -Wextra -Wpedantic -Werror cxx.cc -o cxx $(pkg-config --cflags --libs apiary-kinds)
        LD_LIBRARY_PATH=$libdir ./cxx
    done
else
    echo "no C++ compiler: the header was not tried in C++"
fi

# The programs run from where they were put.
"$prefix/bin/apiary" --version | grep -q "$version"
