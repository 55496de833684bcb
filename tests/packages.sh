#!/bin/bash
# What tools/up and tools/check do when packages are missing, with an apt-get and a sudo that only write down what they
# are told. Nothing is installed here.
# shellcheck disable=SC2016 # the texts of programs
set -u
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
bin=$scratch/bin
mkdir "$bin"
failures=0

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

# A copy of the scripts, so that nothing is built where they stand.
mkdir "$scratch/tree" "$scratch/tree/tools"
cp "$APIARY_SOURCE/tools/up" "$APIARY_SOURCE/tools/check" "$APIARY_SOURCE/tools/packages.sh" "$scratch/tree/tools"

program() # program NAME: its text from standard input
{
    { echo '#!/bin/sh' && cat; } >"$bin/$1"
    chmod +x "$bin/$1"
}
for tool in sh dirname readlink mkdir env tail cat true grep head cut; do
    ln -s "$(type -P $tool)" "$bin/$tool"
done
program dpkg-query <<<'case "$4" in gcc | cmake) printf installed ;; *) exit 1 ;; esac'
program apt-get <<<'printf "%s\n" "apt-get $*" >>"$CALLS"; exit ${APT_RESULT:-0}'
program cmake <<<'echo "cmake $*" >>"$CALLS"; exit 1' # ends the script after the packages

export CALLS=$scratch/calls

run() # run SCRIPT: its exit status in $status, its words in $scratch/out
{
    : >"$CALLS"
    PATH=$bin "$bin/sh" "$scratch/tree/tools/$1" >"$scratch/out" 2>&1 </dev/null
    status=$?
}

said() # said TEXT
{
    grep -qF -- "$1" "$scratch/out" || fail "$script: not said: $1; but: $(cat "$scratch/out")"
}

for script in up check; do
    # Neither root nor sudo, then a sudo that wants a password.
    program id <<<'echo 1000'
    rm -f "$bin/sudo"
    for sudo in none password; do
        [ $sudo = none ] || program sudo <<<'exit 1'
        run $script
        [ $status -eq 77 ] || fail "$script, sudo: $sudo: exit $status, not 77"
        case $sudo in
        none) said "    su -c 'apt-get update && apt-get install -y --no-install-recommends ninja-build pkg-config " ;;
        password) said '    sudo apt-get update && sudo apt-get install -y --no-install-recommends ninja-build pkg-config ' ;;
        esac
        [ ! -s "$CALLS" ] || fail "$script: ran $(cat "$CALLS")"
        ! grep -qE 'install.* (gcc|cmake)( |$)' "$scratch/out" || fail "$script asks for what is there"
    done

    # Root, and sudo that works: the lists first, then what is missing, then the build.
    program sudo <<<'[ "$1" = -n ] || exit 9; shift; exec "$@"'
    for uid in 0 1000; do
        program id <<<"echo $uid"
        run $script
        [ "$(sed -nE '1s/.* (update)$/\1/p;2s/.* (install) .*/\1/p;3s/^(cmake).*/\1/p' "$CALLS" | tr '\n' ' ')" = "update install cmake " ] ||
            fail "$script as $uid ran: $(cat "$CALLS")"
        grep -q 'install --no-install-recommends ninja-build pkg-config' "$CALLS" || fail "$script: $(cat "$CALLS")"
    done

    # Called through a link; and in a tree that may not be written (root may write everything: a file is in the way).
    ln -sf "$scratch/tree/tools/$script" "$scratch/link"
    PATH=$bin "$bin/sh" "$scratch/link" --help >"$scratch/out" 2>&1 || fail "$script through a link: $(cat "$scratch/out")"
    rm -rf "$scratch/tree/build" && : >"$scratch/tree/build"
    run $script
    [ $status -eq 77 ] || fail "$script: no folder to build in: exit $status, not 77"
    said "cannot write $scratch/tree/build"
    rm -f "$scratch/tree/build"

    # An apt-get that fails is told, and nothing is built.
    program id <<<'echo 0'
    APT_RESULT=100 run $script
    [ $status -eq 1 ] || fail "$script: apt-get failed, exit $status"
    ! grep -q '^cmake' "$CALLS" || fail "$script builds without its packages"
done

# What the tests call and a small Debian does not have is in the list.
packages=$(bash -c '. "$1" && echo " $packages_run $packages_test " | tr "\n" " "' bash "$APIARY_SOURCE/tools/packages.sh")
for pair in python3:python3 mandoc:mandoc pgrep:procps setpriv:util-linux unshare:util-linux readelf:binutils nm:binutils \
    g++:g++ pkg-config:pkg-config; do
    ! grep -rqwF -- "${pair%:*}" "$APIARY_SOURCE"/tests/*.sh "$APIARY_SOURCE"/tests/process/*.sh ||
        [[ "$packages" == *" ${pair#*:} "* ]] || fail "the tests call ${pair%:*}, but ${pair#*:} is not installed for them"
done

[ "$failures" -eq 0 ]
