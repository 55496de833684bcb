/* linear - kills real processes in the midst of operations on the memory and on claims, and judges what they were answered.
 *
 *   linear [--operations N] [--kills N] [--stops N] [--clients N] [--seed N] [--only memory|claims]
 *
 * Clients (children of this program) work on few keys, so that they meet, and log each operation (linear_client.h). A timer
 * interrupts them at any instruction. They are killed with SIGKILL, and stopped and continued much later; the dead are replaced. A
 * kill counts where an operation was pending. A process of its own has the monitor; it is killed, too. At the end the history of
 * each key must be linearizable (tests/linear/linear.h), no two tokens of a key may both have passed, and the segment is sound.
 *
 * A pending change of the memory may have taken effect until the dead process' lanes were recovered, as seen from here; what a dead
 * process did with claims, before its death was known. Its claims end between the kill and that.
 * Exit: 0; 1 a history is illegal; 2 anything else.
 *
 * LENGTH: one program: the faults that it makes, the histories that these leave, and the judgement of them.
 */
#include <getopt.h>
#include <poll.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "registry/memory/memory.h"
#include "registry/monitor/monitor.h"
#include "shm/reap.h"
#include "tests/process/linear_client.h"
#include "tests/support/leftovers.h"

enum { CLIENTS_MAX = 16, UNRECOVERED_MAX = 8 }; /* what the dead have is not to fill the tables */
#define NODES_MAX UINT64_C(5000000)

struct victim {
    pid_t pid;
    uint32_t process, stopped; /* turns until it is continued */
    struct log *log;
};
struct death {
    uint64_t killed, known, recovered;
    pid_t pid;
};

static char segment[64];
static apiary_t *observer;
static pid_t keeper;
static struct victim victims[CLIENTS_MAX];
static struct death *deaths; /* of each process, from 1 */
static uint32_t processes, processes_room;
static struct linear_op *history;
static size_t history_count, history_room;
static uint32_t clients = 6, kills = 20, stops = 5, operations = 20000, midst, keepers_killed, stops_done;
static uint64_t random_state;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; seed %" PRIu64 "\n", shared != NULL ? shared->seed : 0);
    shm_unlink(segment);
    exit(2);
}

/* ---- the segment ------------------------------------------------------------------------------------------------- */

/* Few rows of everything, so that they are used again at once. */
static void make_segment(void)
{
    struct ap_segment_options o = {.name = segment};
    char message[256] = "";
    struct ap_segment *seg;
    int r;

    leftovers_clear("apiary-linear");
    snprintf(segment, sizeof segment, "/apiary-linear-%d", (int)getpid());
    o.geometry = (struct ap_geometry){.members = 64, .lanes = 128, .tasks = 256, .queues = 2, .queue_depth = 8, .queue_inlets = 2,
                                      .pool_blocks = {32, 64, 2, 1, 1, 1, 1}, .events = 64, .claims = CLAIMS - 1,
                                      .member_share = 100, .kept_share = 100};
    o.geometry.registry[AP_REGISTRY_INDEX(VALUES)] = 2 * VALUES + 2 * clients;
    r = ap_registry_create(&o, message, sizeof message, &seg);
    if (r < 0) die("create: %s: %s", apiary_strerror(r), message);
    ap_segment_unmap(seg);
}

/* Keys of the memory that share two buckets; those of claims have what rows there are. */
static void name_keys(void)
{
    struct ap_memory_name name;
    struct ap_memory_key key;
    uint32_t n = 0;

    if (ap_memory_name(space, false, &name) < 0) die("the name space");
    for (unsigned i = 0; n < VALUES; i++) {
        snprintf(names[n], sizeof names[n], "value-%u", i);
        if (ap_memory_key(&name, names[n], &key) < 0) die("the key %s", names[n]);
        if (ap_bucket_of(observer->seg, key.hash) == ap_bucket_at(observer->seg, n % 2)) n++;
    }
    for (; n < KEYS; n++) snprintf(names[n], sizeof names[n], "claim-%u", n);
}

static void keep(void)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "keeper"};
    struct ap_monitor *monitor;
    apiary_t *a;

    if (apiary_attach(segment, &o, &a) < 0 || ap_monitor_start(a->seg, a->member, &monitor) < 0) _exit(1);
    for (;;) poll(NULL, 0, -1);
}

static pid_t started(void (*run)(void))
{
    pid_t pid = fork();

    if (pid < 0) die("fork");
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    run();
    _exit(0);
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */

static struct victim *starting;

static void run_client(void)
{
    client(segment, starting->log, starting->process);
}

static void start_client(struct victim *v)
{
    if (processes + 2 >= processes_room) {
        processes_room = processes_room * 2 + 64;
        deaths = realloc(deaths, processes_room * sizeof *deaths);
        if (deaths == NULL) die("no memory");
    }
    *v = (struct victim){.process = ++processes};
    v->log = mmap(NULL, sizeof *v->log, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (v->log == MAP_FAILED) die("no memory for a log");
    starting = v;
    v->pid = started(run_client);
    deaths[v->process] = (struct death){.pid = v->pid, .recovered = LINEAR_NEVER};
}

static struct linear_op *history_add(const struct linear_op *op)
{
    if (history_count == history_room) {
        history_room = history_room * 2 + 65536;
        history = realloc(history, history_room * sizeof *history);
        if (history == NULL) die("no memory");
    }
    history[history_count] = *op;
    return &history[history_count++];
}

/* Whether the process has begun an operation and not ended it; asked of one that may be running. */
static bool in_midst(const struct victim *v)
{
    uint32_t count = ap_load_acquire(&v->log->count);

    return count > 0 && ap_load_acquire(&v->log->ops[count - 1].pending);
}

/* Waits for its end: by a kill, or by itself, since its log is full or all are to end. Then its claims may have ended from its
 * last answer on. */
static void bury(struct victim *v)
{
    struct death *d = &deaths[v->process];
    bool killed;
    int status;

    if (waitpid(v->pid, &status, 0) != v->pid) die("waitpid");
    d->known = now();
    killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!killed && status != 0) die("process %u ended with status %x", v->process, (unsigned)status);
    if (killed) midst += in_midst(v);
    else d->killed = v->log->count > 0 ? v->log->ops[v->log->count - 1].answered : 1;
    for (uint32_t i = 0; i < v->log->count; i++) history_add(&v->log->ops[i]);
    munmap(v->log, sizeof *v->log);
}

/* Notes which of the dead are recovered. Returns how many are not. */
static uint32_t see_recovered(void)
{
    static uint32_t first = 1;
    uint32_t left = 0;

    for (uint32_t p = first; p <= processes; p++) {
        struct death *d = &deaths[p];
        bool there = false;

        if (d->known == 0 || d->recovered != LINEAR_NEVER) continue;
        for (uint32_t i = 0; i < observer->seg->geometry.lanes && !there; i++) {
            const struct ap_lane *lane = ap_lane_at(observer->seg, i);

            there = AP_LIFE_STATE(ap_load_acquire(&lane->life)) != AP_LIFE_FREE && (pid_t)ap_load_relaxed(&lane->pid) == d->pid;
        }
        if (there) left++;
        else d->recovered = now();
    }
    while (first <= processes && deaths[first].recovered != LINEAR_NEVER) first++;
    return left;
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static void kill_client(struct victim *v)
{
    deaths[v->process].killed = now();
    kill(v->pid, SIGKILL);
    bury(v);
    start_client(v);
}

static void stop_client(struct victim *v)
{
    uint32_t stopped = 0;
    int status;

    for (uint32_t i = 0; i < clients; i++) stopped += victims[i].stopped > 0;
    if (v->stopped != 0 || stopped >= clients / 2) return;
    kill(v->pid, SIGSTOP);
    if (waitpid(v->pid, &status, WUNTRACED) != v->pid || !WIFSTOPPED(status)) die("process %u did not stop", v->process);
    v->stopped = 1 + (uint32_t)below(&random_state, 8);
    stops_done++;
}

/* Until the next turn nobody recovers the dead. */
static void kill_keeper(void)
{
    int status;

    kill(keeper, SIGKILL);
    if (waitpid(keeper, &status, 0) != keeper || !WIFSIGNALED(status)) die("the keeper ended with status %x", (unsigned)status);
    keeper = 0;
    keepers_killed++;
}

/* Those whose log is full, and those who stood still for long enough. */
static void look_after(void)
{
    for (uint32_t i = 0; i < clients; i++) {
        struct victim *v = &victims[i];

        if (v->stopped > 0 && --v->stopped == 0) kill(v->pid, SIGCONT);
        if (ap_load_acquire(&v->log->count) < LOG_MAX) continue;
        kill(v->pid, SIGCONT);
        bury(v);
        start_client(v);
    }
}

/* One who is in the midst of an operation as far as can be seen, or anybody. Those who wait for a claim are not to be all. */
static struct victim *any_victim(void)
{
    struct victim *v = &victims[below(&random_state, clients)];
    bool memory = below(&random_state, 3) > 0;

    for (uint64_t tries = below(&random_state, 4) * 1000; tries > 0; tries--) {
        uint32_t count = ap_load_acquire(&v->log->count);

        if (in_midst(v) && (v->log->ops[count - 1].kind < LINEAR_CLAIM) == memory) break;
        v = &victims[below(&random_state, clients)];
    }
    return v;
}

static void allow(uint32_t n)
{
    ap_store_release(&shared->allowed, ap_load_relaxed(&shared->done) + n);
    ap_ops_system.futex_wake(&shared->allowed, INT_MAX);
}

static void turn(uint32_t step)
{
    uint64_t enough = ap_load_acquire(&shared->done) + below(&random_state, step);

    allow(step);
    while ((int32_t)((uint32_t)enough - ap_load_acquire(&shared->done)) > 0) sched_yield();
    for (uint64_t i = below(&random_state, 1000); i > 0; i--) ap_pause();
    look_after();
    see_recovered();
}

/* ---- histories of keys -------------------------------------------------------------------------------------------- */

static bool no_effect(const struct linear_op *op)
{
    int r = op->result;

    return !op->pending && (r == APIARY_ETABLEFULL || r == APIARY_ENOBLOCK || r == APIARY_ESHARE || r == APIARY_ENOTREADY);
}

static bool only_reads(const struct linear_op *op)
{
    return op->kind == LINEAR_GET || op->kind == LINEAR_CHECK || (op->kind == LINEAR_INCR && op->by == 0);
}

/* Whose refusal another one's waiting explains. */
static void see_line(struct linear_op *ops, size_t n)
{
    size_t active[2 * CLIENTS_MAX], count = 0;

    for (size_t i = 0; i < n; i++) {
        size_t kept = 0;

        if (ops[i].kind != LINEAR_CLAIM) continue;
        for (size_t k = 0; k < count; k++)
            if (ops[active[k]].answered >= ops[i].call) active[kept++] = active[k];
        count = kept;
        for (size_t k = 0; k < count; k++) {
            if (ops[active[k]].policy == LINEAR_WAIT) ops[i].line = true;
            if (ops[i].policy == LINEAR_WAIT) ops[active[k]].line = true;
        }
        if (count == 2 * CLIENTS_MAX) die("more operations at once than clients");
        active[count++] = i;
    }
}

struct key {
    struct linear_op *ops;
    size_t count, room;
};

static struct linear_op *key_add(struct key *k, const struct linear_op *op)
{
    if (k->count == k->room) {
        k->room = k->room * 2 + 1024;
        k->ops = realloc(k->ops, k->room * sizeof *k->ops);
        if (k->ops == NULL) die("no memory");
    }
    k->ops[k->count] = *op;
    return &k->ops[k->count++];
}

/* The death of a process that may have held the claim: its place in the history. */
static uint32_t key_death(struct key *k, const struct linear_op *op, uint32_t *places)
{
    const struct death *d = &deaths[op->process];

    if (places[op->process] != 0) return places[op->process] - 1;
    key_add(k, &(struct linear_op){.kind = LINEAR_DIE, .key = op->key, .process = op->process, .call = d->killed,
                                   .answered = d->known, .before = LINEAR_NOTHING});
    places[op->process] = (uint32_t)k->count;
    return (uint32_t)k->count - 1;
}

/* A pending one that may have had one of two effects is there twice: the claim was the dead one's until it died, and not nobody's
 * yet; the time of the number was over. */
static void key_otherwise(struct key *k, struct linear_op op)
{
    op.over = op.kind == LINEAR_INCR;
    op.stays = false;
    if (!only_reads(&op)) key_add(k, &op);
}

static void key_take(struct key *k, const struct linear_op *from, uint32_t *places)
{
    struct linear_op op = *from;
    bool claims = op.kind >= LINEAR_CLAIM, ends = op.policy == LINEAR_WAIT || op.policy == LINEAR_STEAL;

    if (op.pending) op.answered = claims ? deaths[op.process].known : deaths[op.process].recovered;
    if (claims && op.process <= processes && (op.pending || (op.kind == LINEAR_CLAIM && op.result == 0)))
        op.before = key_death(k, &op, places);
    if (!no_effect(&op) && !(op.pending && only_reads(&op))) key_add(k, &op);
    if (op.pending && (op.stays || op.kind == LINEAR_INCR)) key_otherwise(k, op);
    if (!ends) return;
    op.kind = LINEAR_END;
    op.pending = true;
    op.result = 0;
    key_add(k, &op);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Who waits or steals looks again after it has lost to another, and may end that one's claim, too: so each time that is over
 * meanwhile may have been ended by it. */
static void key_ends(struct key *k)
{
    size_t n = k->count, count = 0;
    uint64_t *over = calloc(n + 1, sizeof *over);

    if (over == NULL) die("no memory");
    for (size_t i = 0; i < n; i++) {
        const struct linear_op *op = &k->ops[i];

        if ((op->kind != LINEAR_CLAIM && op->kind != LINEAR_RENEW) || op->pending || op->result != 0) continue;
        if (op->until != LINEAR_NEVER) over[count++] = op->until - op->apart;
    }
    qsort(over, count, sizeof *over, by_number);
    for (size_t i = 0; i < n; i++) {
        struct linear_op end = k->ops[i];
        size_t o = 0;

        if (end.kind != LINEAR_END) continue;
        while (o < count && over[o] <= end.call) o++;
        for (; o < count && over[o] <= end.answered; o++) {
            end.call = over[o];
            key_add(k, &end);
        }
    }
    free(over);
}

static struct key key_history(uint32_t key)
{
    uint32_t *places = calloc(processes + 2, sizeof *places);
    struct key k = {0};

    if (places == NULL) die("no memory");
    for (size_t i = 0; i < history_count; i++)
        if (history[i].key == key) key_take(&k, &history[i], places);
    key_ends(&k);
    if (linear_sort(k.ops, k.count) < 0) die("no memory");
    see_line(k.ops, k.count);
    free(places);
    return k;
}

/* ---- the judgement ------------------------------------------------------------------------------------------------ */

static struct key smallest;
static uint32_t smallest_key, illegal_keys;

static void found_illegal(uint32_t key, struct key *k)
{
    illegal_keys++;
    k->count = linear_shrink(k->ops, k->count, NODES_MAX);
    if (smallest.ops != NULL && smallest.count <= k->count) {
        free(k->ops);
        return;
    }
    free(smallest.ops);
    smallest = *k;
    smallest_key = key;
}

static void judge(uint32_t key)
{
    struct key k = key_history(key);
    struct linear_verdict v;
    uint64_t shown;
    size_t two[2];

    if (linear_two_tokens(k.ops, k.count, two, &shown)) {
        printf("%s: two tokens have passed:\n", names[key]);
        linear_print(stdout, &k.ops[two[0]], 1);
        linear_print(stdout, &k.ops[two[1]], 1);
        illegal_keys++;
    }
    linear_check(k.ops, k.count, NODES_MAX, &v);
    printf("%-10s %8zu operations, %2u at once at most, %9" PRIu64 " sets", names[key], k.count, v.chains, v.nodes);
    if (key >= VALUES) printf(", %" PRIu64 " tokens shown", shown);
    printf(": %s\n", v.legal == 1 ? "linearizable" : v.legal == 0 ? "NOT linearizable" : "not decided");
    if (v.legal < 0) die("the history of %s was not decided", names[key]);
    if (v.legal == 0) found_illegal(key, &k);
    else free(k.ops);
}

/* How often each kind of operation had each answer. A run that has not met them shows nothing. */
static void see_answers(bool must)
{
    static const int wanted[][2] = {
        {LINEAR_GET, 0}, {LINEAR_GET, APIARY_ENOKEY}, {LINEAR_PUT, 0}, {LINEAR_ADD, 0}, {LINEAR_ADD, APIARY_EEXIST},
        {LINEAR_REPLACE, 0}, {LINEAR_REPLACE, APIARY_ENOKEY}, {LINEAR_CAS, 0}, {LINEAR_CAS, APIARY_ECHANGED},
        {LINEAR_CAS, APIARY_ENOKEY}, {LINEAR_DELETE, 0}, {LINEAR_DELETE, APIARY_ENOKEY}, {LINEAR_INCR, 0},
        {LINEAR_INCR, APIARY_EOVERFLOW}, {LINEAR_TOUCH, 0}, {LINEAR_TOUCH, APIARY_ENOKEY}, {LINEAR_CLAIM, 0},
        {LINEAR_CLAIM, 1}, {LINEAR_CLAIM, APIARY_EHELD}, {LINEAR_RENEW, 0}, {LINEAR_RENEW, APIARY_ESTALE},
        {LINEAR_RENEW, APIARY_EINVAL},
        {LINEAR_RELEASE, 0}, {LINEAR_RELEASE, APIARY_ESTALE}, {LINEAR_CHECK, 0}, {LINEAR_CHECK, APIARY_ESTALE},
    };
    uint64_t counts[sizeof wanted / sizeof wanted[0]] = {0}, pending[2] = {0}, none = 0, ending = 0, staying = 0;

    for (size_t i = 0; i < history_count; i++) {
        const struct linear_op *op = &history[i];
        size_t k = 0;

        if (op->pending) pending[op->kind >= LINEAR_CLAIM]++;
        none += no_effect(op);
        ending += op->kind == LINEAR_GET && !op->pending && op->result == 0 && op->ttl != LINEAR_NEVER;
        staying += op->stays && !op->pending && op->result == 0;
        if (op->pending || no_effect(op)) continue;
        while (k < sizeof wanted / sizeof wanted[0] && (wanted[k][0] != (int)op->kind || wanted[k][1] != op->result)) k++;
        if (k == sizeof wanted / sizeof wanted[0]) die("operation %u was answered: %s", op->kind, apiary_strerror(op->result));
        counts[k]++;
    }
    for (size_t k = 0; k < sizeof wanted / sizeof wanted[0]; k++)
        if (must && counts[k] == 0) die("no operation %d was answered %d", wanted[k][0], wanted[k][1]);
    if (must && (ending == 0 || staying == 0)) die("no value with an end was read, or no claim stayed");
    printf("%zu operations, pending %" PRIu64 " of the memory and %" PRIu64 " of claims; %" PRIu64 " found no room, %" PRIu64
           " have read a value with an end, %" PRIu64 " claims stayed\n",
           history_count, pending[0], pending[1], none, ending, staying);
    if (none > history_count / 2) die("too many found no room");
}

static void on_finding(void *user, const struct ap_finding *f)
{
    (void)user;
    printf("%s %llu: %s: %s\n", f->structure, (unsigned long long)f->index, f->rule, f->text);
}

/* What is there when all have ended, seen by one more process. False: the segment is not sound. */
static bool look_at_all(void)
{
    struct ap_report report = {.found = on_finding};
    struct client c = {.a = observer, .process = processes + 1};

    c.log = calloc(1, sizeof *c.log);
    if (c.log == NULL || apiary_memory_open(observer, space, 0, &c.m) < 0) die("no memory");
    for (uint32_t key = 0; key < VALUES; key++) do_get(&c, key);
    for (uint32_t key = VALUES; key < KEYS; key++)
        for (int which = 0; which < 2; which++) {
            struct linear_op *op = begin(&c, LINEAR_CHECK, key);

            op->token = which == 0 ? shared->before[key - VALUES] : shared->newest[key - VALUES];
            if (op->token == 0) continue;
            called(&c, op);
            answered(op, apiary_claim_check(c.a, names[key], op->token));
        }
    for (uint32_t i = 0; i < c.log->count; i++) history_add(&c.log->ops[i]);
    apiary_memory_close(c.m);
    free(c.log);
    ap_check_all(observer->seg, &report);
    return report.repairable + report.corrupt == 0;
}

/* ---- main -------------------------------------------------------------------------------------------------------- */

static void options(int argc, char **argv)
{
    static const struct option list[] = {
        {"operations", 1, NULL, 'o'}, {"kills", 1, NULL, 'k'}, {"stops", 1, NULL, 's'}, {"clients", 1, NULL, 'c'},
        {"seed", 1, NULL, 'S'}, {"only", 1, NULL, 'O'}, {NULL, 0, NULL, 0},
    };
    int c;

    shared->seed = now();
    while ((c = getopt_long(argc, argv, "", list, NULL)) >= 0) {
        switch (c) {
        case 'o': operations = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'k': kills = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 's': stops = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'c': clients = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'S': shared->seed = strtoull(optarg, NULL, 10); break;
        case 'O': shared->only = strcmp(optarg, "memory") == 0 ? ONLY_MEMORY : ONLY_CLAIMS; break;
        default: die("linear.c tells the options");
        }
    }
    if (clients < 2 || clients > CLIENTS_MAX) die("2 to %d clients", CLIENTS_MAX);
    random_state = shared->seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static void run(void)
{
    uint32_t step = operations / (kills + stops + 1) + 1;

    while (midst < kills || stops_done < stops || ap_load_acquire(&shared->done) < operations) {
        turn(step);
        if (keeper == 0) keeper = started(keep);
        else if (below(&random_state, 8) == 0) kill_keeper();
        if (midst < kills && see_recovered() < UNRECOVERED_MAX) kill_client(any_victim());
        if (stops_done < stops && below(&random_state, kills + 1) <= stops) stop_client(any_victim());
    }
    if (keeper == 0) keeper = started(keep);
    ap_store_release(&shared->stop, 1);
    allow(0);
    for (uint32_t i = 0; i < clients; i++) {
        kill(victims[i].pid, SIGCONT);
        bury(&victims[i]);
    }
    while (see_recovered() > 0) poll(NULL, 0, 1);
}

int main(int argc, char **argv)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "observer"};
    int r, status;
    bool sound;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 2;
    options(argc, argv);
    make_segment();
    r = apiary_attach(segment, &o, &observer);
    if (r < 0) die("attach: %s", apiary_strerror(r));
    name_keys();
    keeper = started(keep);
    for (uint32_t i = 0; i < clients; i++) start_client(&victims[i]);
    run();
    sound = look_at_all();
    kill(keeper, SIGKILL);
    waitpid(keeper, &status, 0);
    printf("seed %" PRIu64 ": %u processes, %u killed in the midst of an operation, %u stopped, %u monitors killed\n", shared->seed,
           processes, midst, stops_done, keepers_killed);
    for (uint32_t key = 0; key < KEYS; key++)
        if (shared->only == ALL || (shared->only == ONLY_CLAIMS) == (key >= VALUES)) judge(key);
    if (smallest.ops != NULL) {
        printf("the smallest illegal history, of %s, in microseconds:\n", names[smallest_key]);
        linear_print(stdout, smallest.ops, smallest.count);
    }
    if (illegal_keys == 0) see_answers(shared->only == ALL && operations >= 5000);
    apiary_detach(observer);
    shm_unlink(segment);
    return illegal_keys != 0 ? 1 : sound ? 0 : 2;
}
