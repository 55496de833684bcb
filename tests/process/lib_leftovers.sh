# Sourced by tests with a segment and processes of their own: what a run leaves behind.

# end_of SEGMENT: kills what was started with $APIARY_SEGMENT so: also what is stopped, and what its parent has left behind.
end_of()
{
    local environment
    for environment in $(grep -lszxF -- "APIARY_SEGMENT=$1" /proc/[0-9]*/environ); do
        environment=${environment#/proc/}
        kill -KILL "${environment%/environ}" 2>/dev/null || true # it may have died meanwhile, and the caller may stop at errors
    done
    return 0
}

# clear_leftovers PREFIX: of runs that were killed themselves, as at ctest's timeout, which no trap sees. The names /PREFIX-PID end in
# the process that made them. What was kept of one goes, too; an earlier process may have had this one's number.
clear_leftovers()
{
    local left
    for left in "${XDG_STATE_HOME:-/nowhere}/apiary/$1-"*; do
        [[ ${left##*-} =~ ^[0-9]+$ ]] || continue
        if [ "${left##*-}" = $$ ] || [ ! -e "/proc/${left##*-}" ]; then rm -rf "$left"; fi
    done
    for left in "/dev/shm/$1-"*; do
        if [[ ${left##*-} =~ ^[0-9]+$ ]] && [ ! -e "/proc/${left##*-}" ]; then
            end_of "/${left#/dev/shm/}"
            rm -f "$left"
        fi
    done
}
