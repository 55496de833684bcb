/* storm - kills real processes under load and balances the books.
 *
 *   storm --bin DIR --plugin FILE [--clients N] [--seed N] [--seconds N] [--look COMMAND] [--FAULT N]...
 *
 * Services run as real queens: "work" in two instances, "other", which offers a part of the same, "frail", for whose capability
 * another stands in, and "calm". Clients (children of this program) keep a window of tasks open and write what they know of each
 * task into a file that outlives them; the agents count each execution in another. Then queens of "work" and "frail", clients, and
 * the daemon are killed with SIGKILL as often as asked, queens are stopped and continued much later (--pause), clients are killed
 * while they attach (--attach), and the rest of the table `faults`: the monitor's holder is stopped while a queen dies; strangers
 * exec from a second thread, end threads with open tasks, do so in a process namespace of their own, idle until they are killed,
 * and write to closed descriptors. The dead are started again. Half of the tasks have options, mixed by the seed (storm_mix.h), and
 * their callers are subject to rules. A victim is stopped first, so that what it had in hand can be looked up, and then killed. At
 * the end:
 *   submitted = completed once + had the result of a run of its dedup key + failed + ended as asked + submitter died unknowing;
 *   nothing completed without an execution, or was executed though it was not started in time; started again is only what a death,
 *   a failure, a hedge or a parent explains, and of what ends at once no more than queens were killed; parts came once and in
 *   order; a hedged task has one answer; no task was run where its caller's rules forbid it, and no more at once than its
 *   capability allows; calm's tasks never failed, and came first in the order of their client; no slot, block, lease, lane, member
 *   or ticket is left; shmdump --verify finds nothing. With --look a command is run before all leave, which has the segment and the
 *   ledger's numbers in its environment, and must succeed.
 */
#include "tests/process/storm_client.h"

/* ---- processes -------------------------------------------------------------------------------------------------- */

static pid_t start_queen(const char *service, const char *instance)
{
    return start((char *[]){"apiary", "queen", (char *)service, "-c", config, "--segment", segment, "--instance",
                            (char *)instance, NULL});
}

static pid_t start_daemon(void)
{
    return start((char *[]){"apiaryd", "-c", config, "--segment", segment, NULL});
}

static pid_t start_client(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        client();
    }
    return pid;
}

/* What the victim has in hand, once it stands still: tasks that name one of its lanes, or its slabs. */
static void look_at(const struct ap_segment *seg, pid_t pid, uint64_t histogram[AP_TASK_STATES + 1])
{
    uint32_t found = AP_TASK_STATES;

    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        uint64_t word = ap_load_acquire(&ap_slot_at(seg, i)->word);
        uint32_t state = AP_WORD_STATE(word);
        const struct ap_lane *lane;

        if (state != AP_TASK_RESERVED && state != AP_TASK_RUNNING && state != AP_TASK_RELEASING) continue;
        lane = ap_lane_at(seg, AP_WORD_OWNER(word));
        if (lane != NULL && ap_load_relaxed(&lane->pid) == pid) found = state;
    }
    histogram[found]++;
}

/* What it has in its hands of a bounded capability is nobody's from now on. */
static void free_cells(pid_t pid)
{
    for (int i = 0; i < STORMY_CELLS; i++) {
        if (ap_load_acquire(&seen->cells[i].pid) != pid) continue;
        ap_store_release(&seen->cells[i].held, 0);
        ap_store_release(&seen->cells[i].pid, 0);
    }
}

static void put_down(const struct ap_segment *seg, pid_t pid, uint64_t *histogram)
{
    int status;

    kill(pid, SIGSTOP);
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) die("process %d did not stop: %x", (int)pid, status);
    look_at(seg, pid, histogram);
    free_cells(pid);
    kill(pid, SIGKILL);
}

static void reap_child(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        die("process %d was to die by SIGKILL and ended otherwise (status %x); log in %s/log", (int)pid, status, folder);
}

static int passing(apiary_t *a, const char *service)
{
    apiary_swarm_status_t rows[8] = {{.struct_size = sizeof rows[0]}};
    int n = apiary_swarm_status(a, service, rows, 8), good = 0;

    for (int i = 0; i < n && i < 8; i++) good += rows[i].state == APIARY_PASSING;
    return good;
}

static void wait_passing(apiary_t *a, const char *service, int want)
{
    while (passing(a, service) < want) poll(NULL, 0, 2);
}

/* Waits until `n` more tasks have been given out, so that kills fall into load and not into silence. */
static void wait_progress(uint64_t n)
{
    uint64_t from = ap_load_relaxed(&shared->next);
    while (ap_load_relaxed(&shared->next) < from + n) poll(NULL, 0, 1);
}

static void *shared_file(const char *name, size_t size)
{
    char path[128];
    void *at;
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) die("%s: %s", path, strerror(errno));
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) die("%s: %s", path, strerror(errno));
    close(fd);
    return at;
}

#define RULES "{name: work_echo, idempotent: true, eject_after: 0, " \
              "rules: [{deny: thief}, {from: shop, forbid: other}, {from: bank, prefer: [other]}]}"
static const struct {
    const char *name, *offers, *forbidden;
} services[] = {
    {"work", RULES ", {name: narrow_echo, concurrency: 2, eject_after: 0, rules: [{allow: [shop, bank]}]}", "thief"},
    {"calm", "calm_echo", "nobody"},
    {"other", RULES, "shop, thief"},
    {"frail", "{name: frail_echo, eject_after: 0, rules: [{fallback: calm_echo}]}", "nobody"},
};
_Static_assert(NARROW == 2, "as the configuration says");

static void write_config(void)
{
    FILE *f;

    snprintf(config, sizeof config, "%s/storm.yaml", folder);
    leftovers_clear("apiary-storm");
    snprintf(segment, sizeof segment, "/apiary-storm-%d", (int)getpid());
    f = fopen(config, "w");
    if (f == NULL) die("%s: %s", config, strerror(errno));
    fprintf(f, "meta_registry:\n  segment: %s\nswarms:\n", segment);
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        fprintf(f, "  - service: %s\n    queen: {instances: %d}\n    agents:\n      - name: echo\n        plugin: %s\n"
                   "        capabilities: [%s]\n"
                   "        config: {file: %s/executed, order: %s/order_%s, seen: %s/seen, spin: %d, forbidden: [%s], "
                   "bounded: narrow_echo, bound: %d}\n",
                services[i].name, i == 0 ? 2 : 1, plugin, services[i].offers, folder, folder, i == 1 ? "calm" : "work", folder,
                i == 1 ? 0 : WORK_SPIN, services[i].forbidden, NARROW);
    fclose(f);
}

static unsigned open_tasks(const struct ap_segment *seg)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        uint32_t state = AP_WORD_STATE(ap_load_acquire(&ap_slot_at(seg, i)->word));
        n += state == AP_TASK_RESERVED || ap_task_waits(state) || state == AP_TASK_RUNNING;
    }
    return n;
}

#include "tests/process/storm_books.h"

/* ---- faults ------------------------------------------------------------------------------------------------------ */

struct host {
    pid_t queens[2], calm, other, frail, daemon, clients[CLIENTS_MAX];
    unsigned client_count;
};
static const char *const instances[2] = {"0", "1"};

static void kill_queen(apiary_t *a, struct host *h)
{
    unsigned k = (unsigned)rand() % 2;

    put_down(a->seg, h->queens[k], victims[0]);
    reap_child(h->queens[k]);
    h->queens[k] = start_queen("work", instances[k]);
    wait_passing(a, "work", 2);
}

/* Another capability stands in for its own, but not for what waits there already: soon all clients wait for that. */
static void kill_frail(apiary_t *a, struct host *h)
{
    pid_t pid;
    int status;

    put_down(a->seg, h->frail, victims[0]);
    reap_child(h->frail);
    pid = fork();
    if (pid == 0) stranger_asks("frail_echo");
    if (waitpid(pid, &status, 0) != pid || status != 0) die("nobody stood in for frail_echo: status %x", status);
    h->frail = start_queen("frail", instances[0]);
    wait_passing(a, "frail", 1);
}

static void kill_client(apiary_t *a, struct host *h)
{
    unsigned k = (unsigned)rand() % h->client_count;

    put_down(a->seg, h->clients[k], victims[1]);
    reap_child(h->clients[k]);
    h->clients[k] = start_client();
}

static void kill_daemon(apiary_t *a, struct host *h)
{
    (void)a;
    kill(h->daemon, SIGKILL);
    reap_child(h->daemon);
    wait_progress(200); /* delegations go on while the daemon is dead */
    h->daemon = start_daemon();
}

/* A slow process is never declared dead: what it had in hand it finishes, and nobody else does. */
static void pause_queen(apiary_t *a, struct host *h)
{
    unsigned k = (unsigned)rand() % 2;

    (void)a;
    kill(h->queens[k], SIGSTOP);
    poll(NULL, 0, rand() % 50); /* the fault lasts so long; soon all clients wait for a task of this queen */
    kill(h->queens[k], SIGCONT);
}

static void kill_attaching(apiary_t *a, struct host *h)
{
    pid_t pid = start_client();

    (void)a;
    (void)h;
    for (unsigned turns = (unsigned)rand() % 60000; turns > 0; turns--) ap_pause();
    kill(pid, SIGKILL);
    reap_child(pid);
}

static bool is_hosts(const struct host *h, pid_t pid)
{
    bool is = pid == h->queens[0] || pid == h->queens[1] || pid == h->calm || pid == h->other || pid == h->frail ||
              pid == h->daemon;

    for (unsigned i = 0; i < h->client_count; i++) is |= pid == h->clients[i];
    return is;
}

/* Lanes that are not FREE and name this process; 0: one that is not the host's, by whatever number it has where it lives. */
static unsigned lanes_of(const struct ap_segment *seg, const struct host *h, pid_t pid)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        const struct ap_lane *lane = ap_lane_at(seg, i);
        pid_t named = (pid_t)ap_load_relaxed(&lane->pid);

        if (AP_LIFE_STATE(ap_load_acquire(&lane->life)) == AP_LIFE_FREE) continue;
        n += pid != 0 ? named == pid : !is_hosts(h, named);
    }
    return n;
}

static int has_thread(pid_t pid, uint32_t tid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/task/%u", (int)pid, tid);
    return access(path, F_OK) == 0;
}

/* The holder may still have begun with the victim before it stood still: then its lanes stay, but nothing that they ran does. */
static bool given_to_others(const struct ap_segment *seg, pid_t pid)
{
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        const struct ap_lane *lane = ap_lane_at(seg, i);

        if ((pid_t)ap_load_relaxed(&lane->pid) != pid || AP_LIFE_STATE(ap_load_acquire(&lane->life)) == AP_LIFE_FREE) continue;
        if (ap_reap_held(seg, i) == 0) return false;
        for (uint32_t k = 0; k < seg->geometry.tasks; k++) {
            uint64_t word = ap_load_acquire(&ap_slot_at(seg, k)->word);

            if (AP_WORD_STATE(word) == AP_TASK_RUNNING && AP_WORD_OWNER(word) == i) return false;
        }
    }
    return true;
}

/* Recovery does not wait for who stands still. */
static void stop_holder(apiary_t *a, struct host *h)
{
    uint32_t tid = ap_load_acquire((uint32_t *)ap_robust_word(&a->seg->header->role)) & FUTEX_TID_MASK;
    const pid_t hosts[] = {h->queens[0], h->queens[1], h->calm, h->other, h->frail, h->daemon};
    unsigned k = (unsigned)rand() % 2;
    pid_t holder = 0, victim;

    for (unsigned i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (tid != 0 && has_thread(hosts[i], tid)) holder = hosts[i];
    if (holder == 0) return; /* between two holders */
    if (holder == h->queens[k]) k = 1 - k;
    victim = h->queens[k];
    kill(holder, SIGSTOP);
    put_down(a->seg, victim, victims[0]);
    reap_child(victim);
    while (lanes_of(a->seg, h, victim) != 0 && !given_to_others(a->seg, victim)) poll(NULL, 0, 1);
    kill(holder, SIGCONT);
    h->queens[k] = start_queen("work", instances[k]);
    wait_passing(a, "work", 2);
}

/* Starts a stranger and waits until it has done what it came for; then it is killed, or (`gone`) has left all of itself already. */
static void with_stranger(apiary_t *a, const struct host *h, void (*what)(int ready), int gone)
{
    int ends[2];
    char word = 0;
    pid_t pid;

    if (pipe(ends) < 0) die("pipe: %s", strerror(errno));
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        what(ends[1]);
        _exit(1);
    }
    close(ends[1]);
    if (read(ends[0], &word, 1) != 1) die("a stranger ended too soon");
    close(ends[0]);
    if (word == 's') skipped_namespaces++;
    if (gone)
        while (lanes_of(a->seg, h, 0) != 0) poll(NULL, 0, 1);
    kill(pid, SIGKILL);
    reap_child(pid);
    while (lanes_of(a->seg, h, 0) != 0) poll(NULL, 0, 1);
}

static void exec_from_thread(apiary_t *a, struct host *h)
{
    with_stranger(a, h, stranger_execs, 1);
}

static void end_threads(apiary_t *a, struct host *h)
{
    with_stranger(a, h, stranger_threads, 0);
}

static void other_namespace(apiary_t *a, struct host *h)
{
    with_stranger(a, h, stranger_namespace, 0);
}

static void kill_bystander(apiary_t *a, struct host *h)
{
    with_stranger(a, h, stranger_idles, 0);
}

static void close_descriptors(apiary_t *a, struct host *h)
{
    with_stranger(a, h, stranger_closed, 0);
}

/* ---- main ------------------------------------------------------------------------------------------------------- */

enum { FAULT_QUEEN, FAULT_FRAIL, FAULT_CLIENT, FAULT_DAEMON, FAULT_PAUSE, FAULT_ATTACH, FAULT_HOLDER, FAULT_EXEC, FAULT_THREADS,
       FAULT_NAMESPACE, FAULT_BYSTANDER, FAULT_CLOSED, FAULTS };

static struct fault {
    const char *name, *what;
    void (*run)(apiary_t *a, struct host *h);
    unsigned planned, left, done;
} faults[FAULTS] = {
    [FAULT_QUEEN] = {"queen", "queens killed", kill_queen, 10, 0, 0},
    [FAULT_FRAIL] = {"frail", "queens killed for whose capability another stands in", kill_frail, 2, 0, 0},
    [FAULT_CLIENT] = {"client", "clients killed", kill_client, 4, 0, 0},
    [FAULT_DAEMON] = {"daemon", "daemons killed", kill_daemon, 2, 0, 0},
    [FAULT_PAUSE] = {"pause", "queens stopped and continued", pause_queen, 2, 0, 0},
    [FAULT_ATTACH] = {"attach", "clients killed while they attached", kill_attaching, 4, 0, 0},
    [FAULT_HOLDER] = {"holder", "holders of the monitor's role stopped, and a queen killed meanwhile", stop_holder, 2, 0, 0},
    [FAULT_EXEC] = {"exec", "programs replaced by a second thread", exec_from_thread, 2, 0, 0},
    [FAULT_THREADS] = {"threads", "processes killed whose threads had ended with open tasks", end_threads, 2, 0, 0},
    [FAULT_NAMESPACE] = {"namespace", "the same in a process namespace of their own", other_namespace, 2, 0, 0},
    [FAULT_BYSTANDER] = {"bystander", "bystanders killed", kill_bystander, 4, 0, 0},
    [FAULT_CLOSED] = {"closed", "processes without descriptors 0 to 2 killed", close_descriptors, 2, 0, 0},
};

struct plan {
    unsigned clients, seed, seconds;
    const char *look;
};

static unsigned *option_of(struct plan *p, const char *name)
{
    if (strcmp(name, "clients") == 0) return &p->clients;
    if (strcmp(name, "seed") == 0) return &p->seed;
    if (strcmp(name, "seconds") == 0) return &p->seconds;
    for (int i = 0; i < FAULTS; i++)
        if (strcmp(name, faults[i].name) == 0) return &faults[i].planned;
    return NULL;
}

static struct plan options(int argc, char **argv)
{
    struct plan p = {.clients = 3, .seed = (unsigned)time(NULL)};

    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = strncmp(argv[i], "--", 2) == 0 ? argv[i] + 2 : "";
        unsigned *number = option_of(&p, name);

        if (strcmp(name, "bin") == 0) bin = argv[i + 1];
        else if (strcmp(name, "plugin") == 0) plugin = argv[i + 1];
        else if (strcmp(name, "look") == 0) p.look = argv[i + 1];
        else if (number != NULL) *number = (unsigned)atoi(argv[i + 1]);
        else die("%s: usage: see the head of the source", argv[i]);
    }
    if (argc % 2 == 0 || bin == NULL || plugin == NULL || p.clients < 1 || p.clients > CLIENTS_MAX)
        die("usage: see the head of the source");
    return p;
}

/* The plan once, and then again as often as it takes to fill the seconds. */
static void run_faults(apiary_t *a, const struct plan *p, struct host *h)
{
    time_t until = time(NULL) + (time_t)p->seconds;

    for (;;) {
        unsigned sum = 0, pick;
        int i = 0;

        for (int k = 0; k < FAULTS; k++) sum += faults[k].left;
        if (sum == 0 && time(NULL) >= until) return;
        if (sum == 0) {
            for (int k = 0; k < FAULTS; k++) sum += faults[k].left = faults[k].planned;
            if (sum == 0) return;
        }
        pick = (unsigned)rand() % sum;
        wait_progress(50 + (unsigned)rand() % 500);
        while (pick >= faults[i].left) pick -= faults[i++].left;
        faults[i].run(a, h);
        faults[i].left--, faults[i].done++;
    }
}

static unsigned strangers(void)
{
    unsigned n = 0;

    for (int i = FAULT_EXEC; i < FAULTS; i++) n += faults[i].done;
    return n;
}

static void tell(const char *name, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    setenv(name, text, 1);
}

/* 0: whoever looks agrees with the ledger. */
static int look(const struct plan *p)
{
    uint64_t executions = 0;

    for (size_t i = 0; i < 2 * (size_t)TASKS_MAX; i++) executions += executed[i];
    setenv("STORM_SEGMENT", segment, 1);
    tell("STORM_SUBMITTED", ap_load_relaxed(&shared->next));
    tell("STORM_EXECUTIONS", executions);
    tell("STORM_CALM", ap_load_relaxed(&order[1][0]) + ap_load_relaxed(&order[1][1]));
    tell("STORM_KILLS", faults[FAULT_QUEEN].done + faults[FAULT_HOLDER].done + faults[FAULT_FRAIL].done);
    fflush(stdout);
    return system(p->look);
}

/* Everybody goes. */
static int leave(const struct host *h)
{
    const pid_t all[] = {h->calm, h->other, h->frail, h->queens[0], h->queens[1], h->daemon};
    int bad = 0, status;

    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) kill(all[i], SIGTERM);
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        pid_t pid = wait(&status);

        if (pid >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
        printf("process %d did not leave well: status %x\n", (int)pid, status);
        bad = 1;
    }
    return bad;
}

int main(int argc, char **argv)
{
    struct plan p = options(argc, argv);
    struct host host;
    apiary_t *a = NULL;
    int bad, verdict;

    printf("storm: seed %u\n", p.seed);
    for (int i = 0; i < FAULTS; i++) faults[i].left = faults[i].planned;
    fflush(stdout);
    srand(p.seed);
    if (mkdtemp(folder) == NULL) die("%s: %s", folder, strerror(errno));
    known = shared_file("known", TASKS_MAX);
    executed = shared_file("executed", 2 * (size_t)TASKS_MAX);
    seen = shared_file("seen", sizeof *seen);
    shared = shared_file("shared", sizeof *shared);
    shared->mix = p.seed;
    order[0] = shared_file("order_work", 2 * sizeof **order);
    order[1] = shared_file("order_calm", 2 * sizeof **order);
    write_config();
    host.daemon = start_daemon();
    while (apiary_attach(segment, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t), .name = "watcher",
                                                             .read_only = 1}, &a) < 0) poll(NULL, 0, 2);
    for (int i = 0; i < 2; i++) host.queens[i] = start_queen("work", instances[i]);
    host.calm = start_queen("calm", instances[0]);
    host.other = start_queen("other", instances[0]);
    host.frail = start_queen("frail", instances[0]);
    wait_passing(a, "work", 2);
    wait_passing(a, "calm", 1);
    wait_passing(a, "other", 1);
    wait_passing(a, "frail", 1);
    host.client_count = p.clients;
    for (unsigned i = 0; i < p.clients; i++) host.clients[i] = start_client();
    run_faults(a, &p, &host);
    for (int i = 0; i < FAULTS; i++) printf("%u %s\n", faults[i].done, faults[i].what);
    if (skipped_namespaces > 0) printf("skipped: %u process namespaces, which need root\n", skipped_namespaces);
    wait_progress(500);
    ap_store_release(&shared->stop, 1);
    for (unsigned i = 0; i < p.clients; i++) {
        int status;
        if (waitpid(host.clients[i], &status, 0) != host.clients[i] || status != 0) die("a client ended with status %x", status);
    }
    /* What dead clients left is done for nobody: wait until the table holds no open task. */
    while (open_tasks(a->seg) != 0) poll(NULL, 0, 2);
    print_victims();
    bad = balance(faults[FAULT_QUEEN].done + faults[FAULT_HOLDER].done + faults[FAULT_FRAIL].done,
                  faults[FAULT_CLIENT].done + faults[FAULT_ATTACH].done, strangers());
    bad |= balance_options(a->seg, faults[FAULT_QUEEN].done + faults[FAULT_HOLDER].done + faults[FAULT_FRAIL].done);
    verdict = verify();
    printf("shmdump --verify: %d\n", verdict);
    if (p.look != NULL) bad |= look(&p) != 0;
    bad |= leave(&host);
    apiary_detach(a);
    bad |= leaks() != 0;
    shm_unlink(segment);
    if (bad || verdict != 0) {
        printf("FAILED; %s is kept\n", folder);
        return 1;
    }
    printf("the books balance\n");
    fflush(stdout);
    return execl("/bin/rm", "rm", "-rf", folder, (char *)NULL);
}
