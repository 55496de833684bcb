#!/bin/bash
# ctest: timeout 5400
# Builds for arm64 with Debian's cross compiler against a system root of Debian's arm64 packages (fetched into the build folder, nothing
# is installed) and runs the unit tests under qemu's user mode. For that Criterion, which starts itself again, needs the kernel
# to know the emulator: as root an entry in binfmt_misc is made for the time of the test. It proves that it compiles and that
# the code does the same there; nothing about orderings, since the processor below is the one at hand.
set -u
work=$APIARY_BUILD/arm64
root=$work/root
failures=0

for tool in aarch64-linux-gnu-gcc qemu-aarch64 apt-get dpkg; do
    command -v "$tool" >/dev/null || { echo "skipped: no $tool (gcc-aarch64-linux-gnu, qemu-user)"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: an entry in binfmt_misc needs root"; exit 77; }

# What user mode emulation cannot do. Each is run all the same; its failures are told and do not count.
declare -A cannot=(
    [shm_lane]="no robust list: the dead are not marked" [shm_reap]="no robust list" [registry_killed]="no robust list"
    [states]="no robust list" [registry_race]="no robust list"
    [monitor]="no robust list" [queen]="no robust list" [check]="no robust list" [registry_client]="/proc/self is the emulator's"
    [shm_segment]="/proc/self is the emulator's" [core_ops]="/proc/self is the emulator's"
    [kinds_exec]="memory limits and process trees are the emulator's" [registry_sweep]="no single steps"
)

if [ ! -e "$root/done" ]; then
    rm -rf "$work" && mkdir -p "$work"/{lists/partial,cache/archives/partial,root} && : >"$work/status"
    options=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache"
        -o "Dir::State::status=$work/status" -o Debug::NoLocking=1)
    if ! { apt-get "${options[@]}" update -qq && apt-get "${options[@]}" install -y -qq --download-only --no-install-recommends \
        libc6-dev liburing-dev libck-dev libjemalloc-dev libyaml-dev libjansson-dev libxxhash-dev libcurl4-openssl-dev \
        libsodium-dev libcriterion-dev libgcc-12-dev; } >"$work/log" 2>&1; then
        echo "skipped: Debian's arm64 packages are not to be had:"
        tail -n 3 "$work/log"
        exit 77
    fi
    for package in "$work"/cache/archives/*.deb; do dpkg -x "$package" "$root" || exit 1; done
    touch "$root/done"
fi
export APIARY_SYSROOT=$root QEMU_LD_PREFIX=$root

if ! { cmake -S "$APIARY_SOURCE" -B "$work/build" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$APIARY_SOURCE/cmake/arm64.cmake" \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DAPIARY_WERROR=ON -DAPIARY_TESTING=ON -DAPIARY_TESTS=unit &&
    cmake --build "$work/build"; } >"$work/log" 2>&1; then
    grep -E 'error|warning|FAILED' "$work/log" | head -n 20
    exit 1
fi
echo "builds: $(file -b "$work/build/bin/apiary" 2>/dev/null | cut -d, -f1-2)"

[ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2>/dev/null
entry=apiary-arm64-$$
if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    # shellcheck disable=SC2028 # the kernel reads the escapes
    echo ":$entry:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:$(command -v qemu-aarch64):" \
        2>/dev/null >/proc/sys/fs/binfmt_misc/register || { echo "built; not run: binfmt_misc takes no entry here"; exit 77; }
    trap 'echo -1 >/proc/sys/fs/binfmt_misc/$entry' EXIT
fi

export APIARY_BIN=$work/build/bin APIARY_TEST_BIN=$work/build/tests APIARY_PLUGINS=$work/build/plugins
for program in "$work"/build/tests/test_*; do
    name=${program##*/test_}
    timeout $([ -n "${cannot[$name]:-}" ] && echo 60 || echo 300) "$program" --jobs 2 >"$work/out" 2>&1
    status=$?
    count=$(grep -aoE 'Tested: .*' "$work/out" | tail -n 1)
    if [ "$status" -eq 0 ]; then
        echo "$name: $count"
    elif [ -n "${cannot[$name]:-}" ]; then
        echo "$name: ${count:-did not end}; skipped: ${cannot[$name]}"
    else
        echo "$name: status $status; $count"
        grep -aE 'FAIL|Assert' "$work/out" | head -n 5
        failures=$((failures + 1))
    fi
done
[ "$failures" -eq 0 ]
