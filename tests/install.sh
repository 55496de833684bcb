#!/bin/bash
# What is installed is enough for others: a client built with pkg-config, one with find_package, both libraries, and
# <apiary.h> in C++ and in strict C11. The tree is moved first: nothing in it may know where it was installed.
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
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

for file in include/apiary.h include/apiary_error.def include/apiary/agent.h include/apiary/swarm.h bin/apiary bin/apiaryd bin/shmdump share/apiary/singularity.yaml \
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

# The example of the README with the same flags a newcomer would use.
for example in "$APIARY_SOURCE"/tools/examples/*client*.c; do
    [ -f "$example" ] || continue
    # shellcheck disable=SC2046
    "$CC" -Wall -Wextra -Werror "$example" -o example $(pkg-config --cflags --libs apiary)
done

if command -v g++ >/dev/null; then
    printf '#include <apiary/swarm.h>\nint main() { return apiary_strerror(APIARY_ENOSEG) == nullptr; }\n' >cxx.cc
    for standard in c++11 c++20; do
        # shellcheck disable=SC2046
        g++ -std=$standard -Wall -Wextra -Wpedantic -Werror cxx.cc -o cxx $(pkg-config --cflags --libs apiary)
        LD_LIBRARY_PATH=$libdir ./cxx
    done
else
    echo "no C++ compiler: the header was not tried in C++"
fi

# The programs run from where they were put.
"$prefix/bin/apiary" --version | grep -q "$version"
