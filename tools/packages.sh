# Sourced by tools/up and tools/check: which Debian packages are needed, and their installation. POSIX sh.
# The caller sets $program, $root and $packages_log.
# shellcheck shell=sh disable=SC2034,SC2154

# To build and to run.
packages_run="cmake ninja-build pkg-config gcc libc6-dev
    liburing-dev libck-dev libjemalloc-dev libyaml-dev libjansson-dev libxxhash-dev libcurl4-openssl-dev
    libsodium-dev libsqlite3-dev libmicrohttpd-dev systemtap-sdt-dev libjs-d3 libncurses-dev"

# The tests, in addition.
packages_test="bash binutils util-linux procps python3 python3-dev g++ libcriterion-dev mandoc valgrind spin chromium
    python3-pyte elixir erlang-dev"

# tools/check full, in addition.
packages_full="clang libclang-rt-dev strace file prometheus gcc-aarch64-linux-gnu qemu-user
    gnuplot-nox libzmq3-dev libnng-dev libboost-dev libdpdk-dev
    libhiredis-dev redis-server libmemcached-dev memcached liblmdb-dev bpftrace"

# Makes the folder for what is built.
packages_folder()
{
    if ! mkdir -p "$1" 2>/dev/null || [ ! -w "$1" ]; then
        echo "$program: cannot write $1; what is built goes there: take a copy of the tree that you may write" >&2
        exit 77
    fi
}

# Which of "$@" dpkg does not have; all of them where there is no dpkg.
packages_missing()
{
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
        [ "$status" = installed ] || printf '%s ' "$package"
    done
}

# Installs what is missing of "$@". Without the means: says what to run, and exits 77.
packages_need()
{
    missing=$(packages_missing "$@")
    missing=${missing% }
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        if command -v cmake >/dev/null 2>&1; then
            return 0 # no Debian; the configuration says what it does not find
        fi
        echo "$program: this is no Debian system; install what these Debian packages contain: $missing" >&2
        exit 77
    fi
    apt="env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300"
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
            apt="sudo -n $apt"
        else
            echo "$program: packages are missing and there is neither root nor sudo without a password; run this, then again:" >&2
            if command -v sudo >/dev/null 2>&1; then
                echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing" >&2
            else
                echo "    su -c 'apt-get update && apt-get install -y --no-install-recommends $missing'" >&2
            fi
            exit 77
        fi
    fi
    echo "$program: installing $missing"
    # The lists are fetched first: a new machine has none, and those of an old one may name files that are gone.
    # shellcheck disable=SC2086 # lists of words
    if ! { $apt update && $apt install --no-install-recommends $missing; } >"$packages_log" 2>&1 </dev/null; then
        tail -n 30 "$packages_log" >&2
        echo "$program: apt-get failed; all of its output: $packages_log" >&2
        exit 1
    fi
}

# Configures and builds a preset quietly: packages_build PRESET [CMAKE-ARGUMENT...]
packages_build()
{
    preset=$1
    shift
    log=$root/build/$preset.log
    echo "$program: building build/$preset"
    if ! (cd "$root" && cmake --preset "$preset" "$@" && cmake --build --preset "$preset") >"$log" 2>&1 </dev/null; then
        grep -E '(error|Error|undefined reference|FAILED)' "$log" | cut -c 1-200 | head -n 20 >&2
        echo "$program: build/$preset failed; all of its output: $log" >&2
        exit 1
    fi
}
