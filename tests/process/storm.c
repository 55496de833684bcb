/* storm - kills real processes under load and balances the books.
 *
 *   storm --bin DIR --plugin FILE [--queen N] [--client N] [--daemon N] [--pause N] [--attach N] [--clients N] [--seed N]
 *         [--seconds N]
 *
 * Two services run as real queens: "work" in two instances, and "calm" which is never touched. Clients (children of this
 * program) keep a window of tasks open at both and write what they know of each task into a file that outlives them; the
 * agents count each execution in another. Then queens of "work", clients, and the daemon are killed with SIGKILL as often
 * as asked, queens are stopped and continued much later (--pause), clients are killed while they attach (--attach); the dead
 * are started again. A victim is stopped first, so that what it had in hand can be looked up, and then killed. At the end:
 *   submitted = completed once + reported failed + submitter died unknowing; nothing completed without an execution; extra
 *   executions <= kills of queens; calm's tasks never failed, and came first in the order of their client; no slot,
 *   block, lease, lane, member or ticket is left; shmdump --verify finds nothing.
 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/apiary.h"
#include "registry/client.h"
#include "tests/support/leftovers.h"

enum { CLIENTS_MAX = 16, WINDOW = 8, WORK_SPIN = 800000, TASKS_MAX = 200000000, BODY_MAX = 70000 };
enum { NONE, BEGUN, DELEGATED, COMPLETED, FAILED };

/* One byte each: what the client knows, how often agents ran it. Index = client life's base + its running number. */
static uint8_t *known, *executed;
struct shared {
    uint64_t next;          /* index to give out */
    uint64_t lives;         /* of clients so far */
    uint32_t stop;          /* clients finish what is open and leave */
    uint64_t doubled;       /* completions of a task not open */
    uint64_t wrong;         /* results that are not the request */
    uint64_t calm_failed;   /* failures of the untouched service */
    uint64_t codes[200];    /* failures by errno */
    uint64_t refused[200];  /* submits refused by errno, retried */
};
static uint64_t victims[2][AP_TASK_STATES + 1]; /* queens, clients; by the state of a task in their hands, last: none */
static struct shared *shared;
static uint64_t *order[2]; /* of "work", of "calm": first executions in their client's order, and late ones */

static char folder[] = "/tmp/apiary-storm-XXXXXX", config[64], segment[64];
static const char *bin, *plugin;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* ---- one client ------------------------------------------------------------------------------------------------- */

struct open_task {
    apiary_task_t task;
    uint64_t index;
    int calm, open;
};

/* Most bodies lie in the slot; some in the pool, in two classes. */
static size_t size_of(uint64_t index)
{
    return index % 64 == 5 ? BODY_MAX : index % 8 == 3 ? 2000 : 64;
}

static void settle(struct open_task *t, int r, apiary_result_t *result, apiary_t *a)
{
    int code = r < 0 ? r : result->code;
    uint64_t echoed = 0;

    if (ap_load_relaxed(&known[t->index]) != DELEGATED)
        ap_add_relaxed(&shared->doubled, 1);
    if (code == 0) {
        if (result->size != size_of(t->index)) ap_add_relaxed(&shared->wrong, 1);
        else memcpy(&echoed, result->data, sizeof echoed);
        if (echoed != t->index) ap_add_relaxed(&shared->wrong, 1);
        ap_store_relaxed(&known[t->index], COMPLETED);
    } else {
        ap_add_relaxed(&shared->codes[-code], 1);
        if (t->calm) ap_add_relaxed(&shared->calm_failed, 1);
        ap_store_relaxed(&known[t->index], FAILED);
    }
    if (r == 0) apiary_release(a, result);
    t->open = 0;
}

static int submit(apiary_t *a, struct open_task *t, uint64_t turn, uint32_t life, uint32_t *number)
{
    const apiary_delegate_options_t options = {.timeout = UINT64_C(120000000000)};
    static uint8_t body[BODY_MAX];
    int r;

    t->index = ap_add_relaxed(&shared->next, 1);
    if (t->index >= TASKS_MAX) return 0;
    /* One in a window is work, and it takes longer than all the others: a kill finds most queens at it. */
    t->calm = turn % WINDOW != 0;
    memcpy(body, &t->index, sizeof t->index);
    memcpy(body + 8, (const uint32_t[2]){life, ++*number}, 8);
    ap_store_relaxed(&known[t->index], BEGUN);
    for (;;) {
        r = apiary_delegate(a, t->calm ? "calm_echo" : "work_echo", body, size_of(t->index), &options, &t->task);
        if (r == 0) break;
        ap_add_relaxed(&shared->refused[-r], 1);
        /* "nobody alive offers it now": between a kill and the restart. Not an answer to be had more often than is useful. */
        if (r != APIARY_ENOPROVIDER && r != APIARY_EQUEUEFULL && r != APIARY_ENOSLOT && r != APIARY_ENOBLOCK)
            die("delegate: %s", apiary_strerror(r));
        poll(NULL, 0, 1);
    }
    ap_store_relaxed(&known[t->index], DELEGATED);
    t->open = 1;
    return 1;
}

static void client(void)
{
    struct open_task tasks[WINDOW] = {0};
    apiary_t *a = NULL;
    apiary_result_t result;
    uint32_t life = (uint32_t)ap_add_relaxed(&shared->lives, 1), number = 0;
    char message[256] = "";
    int r;

    if (apiary_attach(segment, &(apiary_attach_options_t){.name = "storm", .message = message, .message_size = sizeof message},
                      &a) < 0)
        die("client: %s", message);
    for (uint64_t turn = 0;; turn++) {
        struct open_task *t = &tasks[turn % WINDOW];
        int more = !ap_load_acquire(&shared->stop);

        if (t->open) {
            r = apiary_await(a, t->task, APIARY_FOREVER, &result);
            settle(t, r, &result, a);
        }
        if (more && submit(a, t, turn, life, &number)) continue;
        for (turn = 0; turn < WINDOW; turn++) {
            if (!tasks[turn].open) continue;
            r = apiary_await(a, tasks[turn].task, APIARY_FOREVER, &result);
            settle(&tasks[turn], r, &result, a);
        }
        break;
    }
    apiary_detach(a);
    _exit(0);
}

/* ---- processes -------------------------------------------------------------------------------------------------- */

static pid_t start(char *const argv[])
{
    pid_t pid = fork();

    if (pid == 0) {
        char path[512], log[128];
        int fd;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(path, sizeof path, "%s/%s", bin, argv[0]);
        snprintf(log, sizeof log, "%s/log", folder);
        fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (fd >= 0) dup2(fd, 2);
        execv(path, argv);
        _exit(127);
    }
    return pid;
}

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

static void put_down(const struct ap_segment *seg, pid_t pid, uint64_t *histogram)
{
    int status;

    kill(pid, SIGSTOP);
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) die("process %d did not stop: %x", (int)pid, status);
    look_at(seg, pid, histogram);
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
    apiary_swarm_status_t rows[8];
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

static void write_config(void)
{
    FILE *f;

    snprintf(config, sizeof config, "%s/storm.yaml", folder);
    leftovers_clear("apiary-storm");
    snprintf(segment, sizeof segment, "/apiary-storm-%d", (int)getpid());
    f = fopen(config, "w");
    if (f == NULL) die("%s: %s", config, strerror(errno));
    fprintf(f, "meta_registry:\n  segment: %s\nswarms:\n", segment);
    for (int i = 0; i < 2; i++) {
        const char *service = i == 0 ? "work" : "calm";
        fprintf(f, "  - service: %s\n    queen: {instances: %d}\n    agents:\n      - name: echo\n        plugin: %s\n"
                   "        capabilities: [%s_echo]\n        config: {file: %s/executed, order: %s/order_%s, spin: %d}\n",
                service, i == 0 ? 2 : 1, plugin, service, folder, folder, service, i == 0 ? WORK_SPIN : 0);
    }
    fclose(f);
}

static unsigned open_tasks(const struct ap_segment *seg)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        uint32_t state = AP_WORD_STATE(ap_load_acquire(&ap_slot_at(seg, i)->word));
        n += state == AP_TASK_RESERVED || state == AP_TASK_QUEUED || state == AP_TASK_RUNNING;
    }
    return n;
}

/* ---- the books -------------------------------------------------------------------------------------------------- */

static int verify(void)
{
    pid_t pid = start((char *[]){"shmdump", segment, "--verify", NULL});
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return -1;
    return WEXITSTATUS(status);
}

/* When all have left: anything that is not free is a leak. */
static unsigned leaks(void)
{
    struct ap_segment *seg;
    unsigned slots = 0, blocks = 0, leases = 0, lanes = 0, members = 0, tickets = 0;

    if (ap_registry_attach(segment, true, NULL, 0, &seg) < 0) die("%s is gone", segment);
    ap_reap_all(seg, AP_NO_LANE, &ap_registry_hooks);
    ap_sweep(seg, 0, &ap_registry_hooks);
    for (uint32_t i = 0; i < seg->geometry.tasks; i++) slots += AP_WORD_STATE(ap_slot_at(seg, i)->word) != AP_TASK_FREE;
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_BLOCKS].count; i++)
        blocks += *(uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, i) != 0;
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_SLABS].count; i++) leases += AP_LEASE_LANE(ap_slab_at(seg, i)->lease) != 0;
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_RINGS].count; i++)
        leases += ((struct ap_ring *)ap_at(seg, AP_SECTION_RINGS, i))->lease != 0;
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) lanes += AP_LIFE_STATE(ap_lane_at(seg, i)->life) != AP_LIFE_FREE;
    for (uint32_t i = 0; i < seg->geometry.members; i++) members += AP_MEMBER_STATE(ap_member_at(seg, i)->life) != AP_LIFE_FREE;
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SERVICES].count; i++) tickets += ap_tickets_busy(seg, i);
    printf("left behind: %u slots, %u blocks, %u leases, %u lanes, %u members, %u tickets\n", slots, blocks, leases, lanes,
           members, tickets);
    ap_segment_unmap(seg);
    return slots + blocks + leases + lanes + members + tickets;
}

static void print_victims(void)
{
    uint64_t all = 0, none = victims[0][AP_TASK_STATES] + victims[1][AP_TASK_STATES];

    for (int who = 0; who < 2; who++) {
        printf("%s when killed:", who == 0 ? "queens" : "clients");
        for (uint32_t i = 0; i <= AP_TASK_STATES; i++)
            if (victims[who][i] != 0)
                printf(" %s %lu", i < AP_TASK_STATES ? ap_task_state_name(i) : "nothing in hand", (unsigned long)victims[who][i]);
        printf("\n");
        for (uint32_t i = 0; i <= AP_TASK_STATES; i++) all += victims[who][i];
    }
    printf("with a task in hand: %lu of %lu\n", (unsigned long)(all - none), (unsigned long)all);
}

static int balance(unsigned queen_kills, unsigned client_kills)
{
    uint64_t n = ap_load_relaxed(&shared->next), count[5] = {0}, extra = 0, unexecuted = 0, unknowing = 0;
    uint64_t lost = 0;
    int bad = 0;

    if (n > TASKS_MAX) n = TASKS_MAX;
    for (uint64_t i = 0; i < n; i++) {
        count[known[i] <= FAILED ? known[i] : 0]++;
        if (executed[i] > 1) extra += executed[i] - 1u;
        if (known[i] == COMPLETED && executed[i] == 0) unexecuted++;
        /* Delegated, and its client was killed: it must have been executed all the same. */
        if (known[i] == DELEGATED && executed[i] == 0) lost++;
    }
    /* A client may be killed with its next number in hand and nothing begun. */
    unknowing = count[NONE] + count[BEGUN] + count[DELEGATED];
    printf("submitted %lu = completed %lu + failed %lu + submitter died unknowing %lu\n", (unsigned long)n,
           (unsigned long)count[COMPLETED], (unsigned long)count[FAILED], (unsigned long)unknowing);
    printf("extra executions %lu; completed twice %lu; wrong result %lu; completed without execution %lu; lost %lu; calm failed "
           "%lu\n", (unsigned long)extra, (unsigned long)shared->doubled, (unsigned long)shared->wrong,
           (unsigned long)unexecuted, (unsigned long)lost, (unsigned long)shared->calm_failed);
    for (int i = 0; i < 2; i++)
        printf("%s, first executions: %lu in the order of their client, %lu late\n", i == 0 ? "work" : "calm",
               (unsigned long)ap_load_relaxed(&order[i][0]), (unsigned long)ap_load_relaxed(&order[i][1]));
    for (int i = 0; i < 200; i++) {
        if (shared->codes[i] != 0) printf("failed with %s: %lu\n", apiary_error_name(-i), (unsigned long)shared->codes[i]);
        if (shared->refused[i] != 0)
            printf("refused and retried, %s: %lu\n", apiary_error_name(-i), (unsigned long)shared->refused[i]);
    }
    bad |= count[NONE] > client_kills || shared->doubled != 0 || shared->wrong != 0 || unexecuted != 0 || lost != 0;
    bad |= shared->calm_failed != 0;
    /* Nobody moves a task of a queue that was never closed. */
    bad |= ap_load_relaxed(&order[1][1]) != 0;
    bad |= unknowing > (uint64_t)client_kills * WINDOW + client_kills;
    /* What a dead worker had started is started again: it has one task in hand at a time, as this agent finishes at once. */
    bad |= extra > queen_kills;
    /* A task fails only by three crashes of its own workers: none here crashes for its task's sake, but chance may. */
    bad |= count[FAILED] > queen_kills / 3;
    return bad;
}

/* ---- main ------------------------------------------------------------------------------------------------------- */

struct plan {
    unsigned queen, client, daemon, pause, attach, clients;
    unsigned seed, seconds;
};

static struct plan options(int argc, char **argv)
{
    static const struct option longs[] = {{"bin", 1, NULL, 'b'}, {"plugin", 1, NULL, 'p'}, {"queen", 1, NULL, 'q'},
        {"client", 1, NULL, 'c'}, {"daemon", 1, NULL, 'd'}, {"pause", 1, NULL, 'z'},
        {"attach", 1, NULL, 'a'}, {"clients", 1, NULL, 'n'}, {"seed", 1, NULL, 's'},
        {"seconds", 1, NULL, 't'}, {0}};
    struct plan p = {.queen = 10, .client = 4, .daemon = 2, .pause = 2, .attach = 4, .clients = 3, .seed = (unsigned)time(NULL)};
    int o;

    while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (o) {
        case 'b': bin = optarg; break;
        case 'p': plugin = optarg; break;
        case 'q': p.queen = (unsigned)atoi(optarg); break;
        case 'c': p.client = (unsigned)atoi(optarg); break;
        case 'd': p.daemon = (unsigned)atoi(optarg); break;
        case 'z': p.pause = (unsigned)atoi(optarg); break;
        case 'a': p.attach = (unsigned)atoi(optarg); break;
        case 'n': p.clients = (unsigned)atoi(optarg); break;
        case 't': p.seconds = (unsigned)atoi(optarg); break;
        case 's': p.seed = (unsigned)atoi(optarg); break;
        default: die("usage: see the head of the source");
        }
    }
    if (bin == NULL || plugin == NULL || p.clients < 1 || p.clients > CLIENTS_MAX) die("usage: see the head of the source");
    return p;
}

struct host {
    pid_t queens[2], calm, daemon, clients[CLIENTS_MAX];
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

static void kill_client(apiary_t *a, struct host *h, unsigned clients)
{
    unsigned k = (unsigned)rand() % clients;

    put_down(a->seg, h->clients[k], victims[1]);
    reap_child(h->clients[k]);
    h->clients[k] = start_client();
}

static void kill_daemon(struct host *h)
{
    kill(h->daemon, SIGKILL);
    reap_child(h->daemon);
    wait_progress(200); /* delegations go on while the daemon is dead */
    h->daemon = start_daemon();
}

/* A slow process is never declared dead: what it had in hand it finishes, and nobody else does. */
static void pause_queen(struct host *h)
{
    unsigned k = (unsigned)rand() % 2;

    kill(h->queens[k], SIGSTOP);
    poll(NULL, 0, rand() % 50); /* the fault lasts so long; soon all clients wait for a task of this queen */
    kill(h->queens[k], SIGCONT);
}

static void kill_attaching(void)
{
    pid_t pid = start_client();

    for (unsigned turns = (unsigned)rand() % 60000; turns > 0; turns--) ap_pause();
    kill(pid, SIGKILL);
    reap_child(pid);
}

/* The plan once, and then again as often as it takes to fill the seconds. Returns what was done. */
static struct plan kill_all(apiary_t *a, const struct plan *p, struct host *h)
{
    struct plan left = *p, done = {.clients = p->clients, .seed = p->seed};
    time_t until = time(NULL) + (time_t)p->seconds;

    for (;;) {
        unsigned sum = left.queen + left.client + left.daemon + left.pause + left.attach, pick;

        if (sum == 0 && time(NULL) >= until) return done;
        if (sum == 0) {
            left = *p;
            continue;
        }
        pick = (unsigned)rand() % sum;
        wait_progress(50 + (unsigned)rand() % 500);
        if (pick < left.queen) {
            kill_queen(a, h);
            left.queen--, done.queen++;
        } else if ((pick -= left.queen) < left.client) {
            kill_client(a, h, p->clients);
            left.client--, done.client++;
        } else if ((pick -= left.client) < left.daemon) {
            kill_daemon(h);
            left.daemon--, done.daemon++;
        } else if ((pick -= left.daemon) < left.pause) {
            pause_queen(h);
            left.pause--, done.pause++;
        } else {
            kill_attaching();
            left.attach--, done.attach++;
        }
    }
}

int main(int argc, char **argv)
{
    struct plan p = options(argc, argv);
    struct host host;
    apiary_t *a = NULL;
    int bad, verdict;

    printf("storm: %u queens, %u clients, %u daemons, %u attaching to kill, %u pauses; seed %u\n", p.queen, p.client, p.daemon,
           p.attach, p.pause, p.seed);
    fflush(stdout);
    srand(p.seed);
    if (mkdtemp(folder) == NULL) die("%s: %s", folder, strerror(errno));
    known = shared_file("known", TASKS_MAX);
    executed = shared_file("executed", TASKS_MAX);
    shared = shared_file("shared", sizeof *shared);
    order[0] = shared_file("order_work", 2 * sizeof **order);
    order[1] = shared_file("order_calm", 2 * sizeof **order);
    write_config();
    host.daemon = start_daemon();
    while (apiary_attach(segment, &(apiary_attach_options_t){.name = "watcher", .read_only = 1}, &a) < 0) poll(NULL, 0, 2);
    for (int i = 0; i < 2; i++) host.queens[i] = start_queen("work", instances[i]);
    host.calm = start_queen("calm", instances[0]);
    wait_passing(a, "work", 2);
    wait_passing(a, "calm", 1);
    for (unsigned i = 0; i < p.clients; i++) host.clients[i] = start_client();
    p = kill_all(a, &p, &host);
    printf("killed: %u queens, %u clients, %u daemons, %u while they attached; %u stopped and continued\n", p.queen, p.client,
           p.daemon, p.attach, p.pause);
    wait_progress(500);
    ap_store_release(&shared->stop, 1);
    for (unsigned i = 0; i < p.clients; i++) {
        int status;
        if (waitpid(host.clients[i], &status, 0) != host.clients[i] || status != 0) die("a client ended with status %x", status);
    }
    /* What dead clients left is done for nobody: wait until the table holds no open task. */
    while (open_tasks(a->seg) != 0) poll(NULL, 0, 2);
    print_victims();
    bad = balance(p.queen, p.client + p.attach);
    verdict = verify();
    printf("shmdump --verify: %d\n", verdict);
    kill(host.calm, SIGTERM);
    for (int i = 0; i < 2; i++) kill(host.queens[i], SIGTERM);
    kill(host.daemon, SIGTERM);
    for (int i = 0; i < 4; i++) {
        int status;
        pid_t pid = wait(&status);
        if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            printf("process %d did not leave well: status %x\n", (int)pid, status);
            bad = 1;
        }
    }
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
