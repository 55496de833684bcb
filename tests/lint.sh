#!/bin/bash
# The rules of the source that a script can see. A line that breaks one with good reason carries "LINT:" and the reason;
# a file or function that is longer than the rule says "LENGTH:" and the reason near its top.
set -u
cd "$APIARY_SOURCE" || exit 1
failures=0

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    mapfile -t tree < <(git ls-files --cached --others --exclude-standard | while read -r f; do [ -f "$f" ] && echo "$f"; done)
else
    mapfile -t tree < <(find . -type f -not -path './build/*' -not -path './.git/*' | sed 's|^\./||')
fi

select_files() # select_files REGEX
{
    printf '%s\n' "${tree[@]}" | grep -E "$1"
}

mapfile -t code < <(select_files '^(core|shm|registry|agents|tools|perf|tests)/.*\.[ch]$')
mapfile -t scripts < <(select_files '^(tools/(up|check)|\.ci/run|.*\.sh)$')
mapfile -t text < <(select_files '\.(c|h|def|pml|sh|md|yaml|cmake|in|json|[1-8])$|^(CMakeLists.txt|LICENSE|tools/(up|check)|\.ci/run)$' |
    grep -v '^tests/lint\.sh$')
[ "${#code[@]}" -gt 10 ] || fail "only ${#code[@]} source files were looked at"

forbid() # forbid WHAT REGEX FILE...
{
    what=$1 regex=$2
    shift 2
    [ $# -gt 0 ] || return 0
    while IFS= read -r hit; do
        fail "$what: $hit"
    done < <(grep -nEH -e "$regex" -- "$@" | grep -v 'LINT:')
}

# ---- memory order: core/atomic.h alone names it (plug-ins and examples are as a stranger writes them: public header only)

mapfile -t unordered < <(printf '%s\n' "${code[@]}" | grep -vE '^(core/atomic\.h$|tests/plugins/|tools/examples/)')
forbid "raw atomics, use core/atomic.h" \
    '__atomic_(load|store|exchange|compare|add|sub|and|or|xor|nand|fetch|test|clear|thread|signal)|__sync_|__ATOMIC_|stdatomic\.h|(^|[^A-Za-z_])_Atomic([^A-Za-z_]|$)|ck_pr_(load|store|cas|fas|faa|inc|dec|add|sub|and|or|xor|fence|barrier|btr|bts|btc)' \
    "${unordered[@]}"
# A pointer to const volatile may stay: it keeps the compiler from reading untrusted memory twice.
mapfile -t volatiles < <(awk '{ code = $0; sub(/\/\*.*/, "", code); gsub(/const volatile|volatile sig_atomic_t/, "", code)
    if (code ~ /^[ \t]*\*/ || /LINT:/) next
    if (code ~ /(^|[^A-Za-z_])volatile([^A-Za-z_]|$)/) print FILENAME ":" FNR ":" $0 }' "${unordered[@]}")
for hit in "${volatiles[@]}"; do
    fail "volatile orders nothing, use core/atomic.h: $hit"
done

# ---- what publishes in shared memory has its label beside it, and every label has its partner

mapfile -t shared < <(select_files '^(shm|registry)/.*\.[ch]$')
labels=$(mktemp) || exit 1
trap 'rm -f "$labels"' EXIT
# Output: "at LABEL file:line" where the label is within three lines of an access, "named LABEL file:line" elsewhere,
# "pairs LABEL file:line" where the text says whom it pairs, "bare file:line" for a release or fence without a label.
awk '
function flush_file(   i, j, k, n, found, m, rest) {
    for (i = 1; i <= count; i++) {
        rest = lines[i]
        while (match(rest, /[A-Z][A-Z0-9]*(-[A-Z0-9]+)*-[RAF][0-9]+/)) {
            m = substr(rest, RSTART, RLENGTH)
            rest = substr(rest, RSTART + RLENGTH)
            found = 0
            for (j = i; j <= i + 3 && j <= count; j++) if (access[j]) found = 1
            print (found ? "at" : "named"), m, name ":" i
            if (rest ~ /^[^.;]* pairs( |$)/) print "pairs", m, name ":" i
        }
        if (publishes[i]) {
            found = 0
            for (j = i; j >= 1 && j >= i - 4; j--) if (lines[j] ~ /[A-Z0-9]-[RAF][0-9]+|LINT:/) found = 1
            if (!found) print "bare", "-", name ":" i ": " lines[i]
        }
    }
    count = 0
}
FNR == 1 { flush_file(); name = FILENAME }
{
    count = FNR
    lines[FNR] = $0
    code = $0
    sub(/\/\*.*/, "", code)
    if (code ~ /^[ \t]*\*/) code = ""
    ordered[FNR] = code ~ /ap_(load_acquire|store_release|(add|or|and|exchange)_acq_rel|cas|fence_(full|release|acquire))\(/
    publishes[FNR] = code ~ /ap_(store_release|fence_(full|release))\(/
    access[FNR] = ordered[FNR] || code ~ /ap_(load|store|add)_relaxed\(/
}
END { flush_file() }' "${shared[@]}" >"$labels"

while read -r _ _ where; do
    fail "a release or fence without its pairing label: $where"
done < <(grep '^bare ' "$labels")

while read -r label; do
    grep -q "^at $label " "$labels" ||
        fail "label $label stands at no access: $(awk -v l="$label" '$2 == l { print $3; exit }' "$labels")"
    case $label in
    *-R[0-9]*) grep -q "^at ${label%-R*}-A${label##*-R} " "$labels" || fail "label $label has no partner with -A at an access" ;;
    *-A[0-9]*) grep -qE "^(at ${label%-A*}-R${label##*-A}|pairs $label) " "$labels" || fail "label $label has no partner" ;;
    *) grep -q "^pairs $label " "$labels" || fail "label $label does not say what it pairs" ;;
    esac
done < <(awk '$1 != "bare" { print $2 }' "$labels" | sort -u)
[ "$(grep -c '^at ' "$labels")" -gt 10 ] || fail "the labels were not understood"

# ---- a field of a shared record is stored by the files that own it, and by nobody else

mapfile -t product < <(select_files '^(core|shm|registry|agents|tools|perf)/.*\.[ch]$')
owned() # owned WHAT FIELD-REGEX FILE-REGEX: a store to the field elsewhere fails; that the owner stores it shows that it is found
{
    found=0
    while IFS= read -r hit; do
        found=1
        [[ $hit =~ ^($3): ]] || fail "a store to $1 outside $3: $hit"
    done < <(grep -nEH "ap_(cas|(store|add|or|and|exchange)_[a-z_]+)\(&($2)," -- "${product[@]}" | grep -v 'LINT:')
    [ "$found" -eq 1 ] || fail "no store to $1 was found"
}
slot='(slot|[a-z.>-]*at|ap_slot_at\(.*\))'
owned "a task's word or request word" "$slot->(word|request)" 'shm/task\.[ch]'
owned "what a client says of a task" "$slot->(body|body_size|only|deadline|client|capability|caller|ticket|queued)" 'shm/task\.[ch]'
owned "what a worker says of a task" "$slot->(result|result_size|agent_code|started|finished|queue|worker)" 'shm/task\.[ch]'
owned "a slab's lease" '([a-z]+|ap_slab_at\(.*\))->lease' 'shm/(task|queue)\.[ch]'
queue='(q|queue|[a-z.>-]*->queue|ap_queue_at\(.*\))'
owned "a queue's life" "$queue->life" 'shm/queue\.c'
owned "a queue's summary" "$queue->summary" 'shm/queue\.[ch]'
owned "a count of a queue" "$queue->(crashed|expired|cancelled|depth|running|started|done|failed|late|run_time)" 'shm/queue\.[ch]'
owned "a ring's head or tail" '[a-z.>-]*ring->(head|tail)' 'shm/queue\.[ch]'
owned "a lane's life" '([a-z.>-]*lane|ap_lane_at\(.*\))->life' 'shm/(lane|reap|image)\.c'
owned "a lane's hand" '([a-z.>-]*lane|ap_lane_at\(.*\))->hand\[.*\]' 'shm/lane\.[ch]'
owned "a field of the header" '[a-z.>-]*header->[a-z_]+' 'shm/.*\.[ch]'
owned "a swarm's state, beat, leaving, mode or reason" '(s|swarm|ap_swarm_at\(.*\))->(state|beat|leaving|mode|reason(\[.*\])?)' \
    'registry/discovery/(swarm|mode)\.c'

owned "what was found out about a swarm" '(s|swarm|ap_swarm_at\(.*\))->(health|health_until)' 'registry/monitor/health\.c'

# ---- the bits and the generation of a request word are told apart in shm/request.h and task.h, and by the checker that trusts neither

forbid "a request word taken apart, use ap_request_has and its neighbours" \
    'request *(>> *1[67]|& *0x1?ffff)|AP_REQUEST_GENERATION|AP_REQUEST_ABANDON *\| *AP_REQUEST_DETACH' \
    $(printf '%s\n' "${product[@]}" | grep -vE '^shm/(request\.h|task\.[ch]|check_task\.c)$')

# ---- a name in a backtrace says where it is: no static function has that of one in another file

mapfile -t names < <(printf '%s\n' "${product[@]}" | grep '\.c$')
while read -r name files; do
    fail "a static function in two files: $name ($files)"
done < <(awk '/^(static|AP_ALWAYS_INLINE) [^;={]*\(/ {
        line = $0
        gsub(/__attribute__\(\([a-z_]*(\([^)]*\))?\)\) */, "", line)
        sub(/\(.*/, "", line)
        sub(/.*[ *]/, "", line)
        if (line ~ /^[a-z_0-9]+$/ && !((line, FILENAME) in seen)) {
            seen[line, FILENAME] = 1
            in_files[line] = in_files[line] " " FILENAME
            count[line]++
        }
    }
    END { for (name in count) if (count[name] > 1) print name, in_files[name] }' "${names[@]}")

# ---- descriptors: those of the library come from one place, those of programs and agents are close-on-exec

mapfile -t library < <(select_files '^(core|shm|registry|agents)/.*\.[ch]$' |
    grep -vE '^(core/descriptor|agents/kinds/guard)\.c$') # the guard is a process of its own
forbid "a raw descriptor, use core/descriptor.h" \
    '(^|[^A-Za-z_0-9])(open(at)?(64)?|creat|shm_open|memfd_create|(event|signal|timerfd_create|mem)fd|epoll_create1?|pipe2?|socket(pair)?|accept4?|dup[23]?|pidfd_(open|getfd)|inotify_init1?|f?d?open(dir)?|tmpfile|mko?stemps?|io_uring_queue_init[a-z_]*|recvmsg)\(|F_DUPFD|SYS_(open|pidfd|memfd|io_uring_setup|eventfd|signalfd)' \
    "${library[@]}"
mapfile -t programs < <(select_files '^(tools|agents)/.*\.[ch]$')
while IFS= read -r hit; do
    fail "a descriptor that children inherit: $hit"
done < <(grep -nEH '(^|[^A-Za-z_0-9])(open(at)?|(event|signal)fd|epoll_create1|pipe2?|socket(pair)?|accept4?|fopen|mko?stemp)\(' -- "${programs[@]}" |
    grep -vE 'CLOEXEC|FOLDER_FLAGS|"[ra]e"|LINT:|:[[:space:]]*(/\*|\*)')

# ---- nothing is left open, nothing names one machine

while IFS= read -r hit; do
    fail "a leftover of a patch: $hit"
done < <(printf '%s\n' "${tree[@]}" | grep -E '\.(orig|rej)$')
forbid "left open" '(^|[^A-Za-z])(TODO|FIXME|XXX|HACK)([^A-Za-z]|$)|[Nn]ot implemented|[Uu]nimplemented|[Pp]laceholder' "${text[@]}"
forbid "a path of one machine" '(^|[^A-Za-z0-9_.}$/-])/(home|root|work|farm|Users|mnt|media)(/|[^A-Za-z0-9_/-]|$)' "${text[@]}"
forbid "a path out of the tree" '\.\./shared' "${text[@]}"
forbid "the host of a package registry" \
    'deb\.debian\.org|(archive|ports)\.ubuntu\.com|pypi\.org|registry\.npmjs|crates\.io|proxy\.golang|hex\.pm|rubygems\.org' "${text[@]}"

# ---- comments: a sentence begins with a noun, not with who or what did something

mapfile -t commented < <(select_files '^(core|shm|registry|agents|tools|perf)/.*\.[ch]$')
forbid "a sentence without a noun for its subject" \
    '(/\*|^ \*( +[A-Z]{3,})?( +[0-9])?|[.;]) +(Who|Whoever|What|Whatever|Of those|Of what)[ ,]' "${commented[@]}"

# ---- links of the documents: relative, to files and headings that are there

headings() # headings FILE: as the anchors that GitHub makes of them
{
    awk '/^```/ { code = !code } !code && sub(/^#+ /, "")' "$1" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-'
}

mapfile -t documents < <(select_files '\.md$')
links=0
while IFS=: read -r file line link; do
    link=${link#\](} link=${link%)}
    [[ $link =~ ^(https?://|mailto:) ]] && continue
    links=$((links + 1))
    path=${link%%#*} anchor=
    [[ $link == *'#'* ]] && anchor=${link#*#}
    if [ -z "$path" ]; then
        target=$file
    else
        target=$(realpath -m --relative-to=. -- "$(dirname -- "$file")/$path")
        [[ $path == /* ]] && target=$path
    fi
    if [[ $target == /* || $target == ..* ]]; then
        fail "$file:$line: a link out of the tree: $link"
    elif [ ! -e "$target" ]; then
        fail "$file:$line: a link to nothing: $link"
    elif [ -n "$anchor" ] && ! headings "$target" | grep -qxF -- "$anchor"; then
        fail "$file:$line: a link to a heading that is not there: $link"
    fi
done < <(grep -noHE '\]\([^) ]+\)' -- "${documents[@]}")
[ "$links" -gt 10 ] || fail "only $links links were found"

# ---- tests wait for conditions, not for time

mapfile -t test_code < <(select_files '^tests/.*\.[ch]$')
mapfile -t test_scripts < <(select_files '^tests/.*\.sh$' | grep -v '^tests/lint\.sh$')
forbid "a test that sleeps" '(^|[^a-z_])(u|nano|clock_nano|thrd_)?sleep *\(' "${test_code[@]}"
forbid "a test that sleeps" '(^|[;&|({]|then|do|else)[[:space:]]*sleep[[:space:]]' "${test_scripts[@]}"

# ---- length

for file in "${code[@]}" "${scripts[@]}"; do
    count=$(wc -l <"$file")
    if [ "$count" -gt 600 ] && ! head -n 30 "$file" | grep -q 'LENGTH:'; then
        fail "$file has $count lines (600): is it one thing?"
    fi
done
while IFS= read -r hit; do
    fail "$hit"
done < <(awk '
FNR == 1 { open = 0; reason = 0 }
/LENGTH:/ { reason = FNR }
/^\{/ { open = FNR; head = previous }
/^[A-Za-z_].*\) \{$/ { open = FNR; head = $0 }
/^\}/ {
    if (open && FNR - open > 75 && !(reason && reason >= open - 8))
        print FILENAME ":" open ": a function of " FNR - open " lines (75): " head
    open = 0
}
{ previous = $0 }' "${code[@]}")
while IFS= read -r hit; do
    fail "over 132 columns: $hit"
done < <(awk 'length($0) > 132 { print FILENAME ":" FNR }' "${code[@]}")

# ---- threads: the program's signals are not for them

mapfile -t threaded < <(printf '%s\n' "${code[@]}" | grep -E '^(core|shm|registry|agents)/' | grep -v '^core/thread\.c$')
forbid "a thread with the program's signals, use core/thread.h" 'pthread_create' "${threaded[@]}"

# ---- scripts

for script in "${scripts[@]}"; do
    case $(head -n 1 "$script"):$script in
    *bash:* | *:tests/*) shell=bash ;;
    *) shell="sh" ;;
    esac
    "$shell" -n "$script" || fail "$script does not parse"
done

# ---- the lists of changes name what there is

while IFS= read -r hit; do
    fail "$hit"
done < <(python3 tests/mutants/mutants.py --stale | grep '^[a-z]*\.txt:')

[ "$failures" -eq 0 ] || echo "$failures failures"
[ "$failures" -eq 0 ]
