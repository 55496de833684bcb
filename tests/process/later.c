/* later - tasks with a time of their own, while queens and the daemon are killed.
 *
 *   later --bin DIR --plugin FILE [--tasks N] [--kills N]
 *
 * A service runs in two instances, beside the daemon. A client delegates `tasks` tasks, each not to be run before a time of its own
 * in the next seconds, and a tenth of them fails at first and is to be tried again. Meanwhile one of the three processes after the
 * other is killed with SIGKILL and started again. At the end
 * every task was answered, none was run before its time, and the attempts that its result counts are those of the agents' own book.
 * How late the tasks were is printed, not judged: that depends on the machine. Of those later than 50 ms it is told for how many a
 * processor was free and a queen up for 50 ms of that time; the others had nobody to run them.
 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "registry/client/client.h"
#include "tests/plugins/timely.h"
#include "tests/support/leftovers.h"
#include "tests/support/spare.h"

#define MS UINT64_C(1000000)
#define SPACING (333 * MS) /* between two kills */
#define LATE (50 * MS)
enum { VICTIMS = 3, CHUNK = 64 };

static const char *bin, *plugin;
static char folder[] = "/tmp/apiary-later-XXXXXX", config[64], book[64], segment[64];
static struct timely_row *rows;
static uint32_t tasks = 10000, kills = 9;
static uint64_t *due, begin, span; /* all are due between begin and begin + span */
static pid_t victims[VICTIMS];
static uint32_t killed[VICTIMS];
static struct spare spare;
static struct spans up; /* a queen was there */
static bool observed;

__attribute__((noreturn)) static void die(const char *what, int error)
{
    fprintf(stderr, "%s: %s; %s is kept\n", what, apiary_strerror(error), folder);
    shm_unlink(segment);
    exit(1);
}

static pid_t start(int victim)
{
    char *daemon[] = {"apiaryd", "-c", config, "--segment", segment, NULL};
    char instance[2] = {(char)('0' + victim), '\0'};
    char *queen[] = {"apiary", "queen", "timely", "-c", config, "--segment", segment, "--instance", instance, NULL};
    char **argv = victim == VICTIMS - 1 ? daemon : queen, path[512];
    pid_t pid = fork();

    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(path, sizeof path, "%s/%s", bin, argv[0]);
    execv(path, argv);
    _exit(127);
}

static void write_files(void)
{
    FILE *f;
    int fd;

    if (mkdtemp(folder) == NULL) die("mkdtemp", APIARY_ESYS);
    leftovers_clear("apiary-later");
    snprintf(segment, sizeof segment, "/apiary-later-%d", (int)getpid());
    snprintf(config, sizeof config, "%s/later.yaml", folder);
    snprintf(book, sizeof book, "%s/book", folder);
    fd = open(book, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)(tasks * sizeof *rows)) < 0) die("book", APIARY_ESYS);
    rows = mmap(NULL, tasks * sizeof *rows, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (rows == MAP_FAILED) die("book", APIARY_ESYS);
    close(fd);
    f = fopen(config, "w");
    if (f == NULL) die("config", APIARY_ESYS);
    fprintf(f, "meta_registry:\n  segment: %s\n  tasks: %u\n  member_share: 100\n  max_unnamed_delegations: %u\nswarms:\n"
               "  - service: timely\n    queen: {instances: 2}\n    agents:\n"
               "      - name: timely\n        plugin: %s\n        capabilities: [timely]\n        config: {file: %s}\n",
            /* A 32nd of the table is kept for probes. */
            segment, (tasks + tasks / 16 + 2 * AP_SLAB_SLOTS) / AP_SLAB_SLOTS * AP_SLAB_SLOTS + 1024,
            tasks + AP_SLAB_SLOTS, plugin, book);
    fclose(f);
}

static apiary_t *attach(void)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "later"};
    apiary_provider_t providers[2] = {{.struct_size = sizeof providers[0]}};
    apiary_t *a;
    int r;

    victims[VICTIMS - 1] = start(VICTIMS - 1);
    while ((r = apiary_attach(segment, &o, &a)) == APIARY_ENOSEG || r == APIARY_ECREATING) poll(NULL, 0, 5);
    if (r < 0) die("attach", r);
    for (int i = 0; i < VICTIMS - 1; i++) victims[i] = start(i);
    while (apiary_discover(a, "timely", providers, 2) < 2) poll(NULL, 0, 5);
    return a;
}

/* A queen is up when the provider of the process that was started last is found. */
static void *observe(void *unused)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "observer"};
    apiary_provider_t providers[4] = {{.struct_size = sizeof providers[0]}};
    uint64_t last = 0, now;
    apiary_t *a;
    int n, r = apiary_attach(segment, &o, &a);

    (void)unused;
    if (r < 0) die("attach", r);
    for (; !ap_load_relaxed(&observed); poll(NULL, 0, 1)) {
        bool one = false;

        now = a->seg->ops->now();
        n = apiary_discover(a, "timely", providers, 4);
        for (int i = 0; i < n && i < 4; i++)
            for (int k = 0; k < VICTIMS - 1; k++)
                one |= providers[i].alive != 0 && providers[i].pid == ap_load_relaxed(&victims[k]);
        if (one && last != 0) spans_add(&up, last, now);
        last = one ? now : 0;
    }
    apiary_detach(a);
    return NULL;
}

static void kill_one(int victim)
{
    pid_t pid = victims[victim];
    int status;

    ap_store_relaxed(&victims[victim], 0); /* from now on it is not up */
    kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
        die("a victim ended by itself", APIARY_ESYS);
    killed[victim]++;
    ap_store_relaxed(&victims[victim], start(victim));
}

/* A tenth of the tasks, and a tenth of these twice: less than the budget of retries has it. */
static uint32_t fails_of(uint32_t i)
{
    return i % 100 == 0 ? 2 : i % 10 == 0;
}

/* Delegated in an order that is not that of their times. */
static void delegate_all(apiary_t *a, apiary_task_t *ids)
{
    uint64_t seed = 1;

    span = kills * SPACING;
    begin = a->seg->ops->now() + SPACING;
    for (uint32_t i = 0; i < tasks; i++) {
        apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = 600000 * MS,
                                       .retry = {.max_attempts = 5, .backoff = 20, .cap = 200}};
        struct timely body = {.index = i, .fails = fails_of(i)};
        int r;

        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        body.due = o.due_at = due[i] = begin + (seed >> 20) % span;
        r = apiary_delegate(a, "timely", &body, sizeof body, &o, &ids[i]);
        if (r < 0) die("delegate", r);
    }
}

static void collect_all(apiary_t *a, const apiary_task_t *ids, uint32_t *attempts)
{
    static apiary_result_t results[CHUNK];
    uint32_t done = 0, dead = 0;

    while (done < tasks) {
        size_t n = tasks - done < CHUNK ? tasks - done : CHUNK, got = 0;
        int r;

        results[0].struct_size = sizeof results[0];
        r = apiary_await_batch(a, &ids[done], n, 100 * MS, results, &got);
        if (r < 0 && r != APIARY_ENOTREADY) die("await", r);
        for (size_t i = 0; i < got; i++) {
            if (results[i].code != 0) die("a task failed", results[i].code);
            attempts[done + i] = results[i].attempts;
            apiary_release(a, &results[i]);
        }
        done += (uint32_t)got;
        if (dead < kills && a->seg->ops->now() >= begin + dead * SPACING) kill_one((int)(dead++ % VICTIMS));
    }
    printf("%u tasks, %u kills: %u and %u of queens, %u of the daemon\n", tasks, dead, killed[0], killed[1], killed[2]);
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static unsigned judge(const uint32_t *attempts)
{
    uint64_t *late = calloc(tasks, sizeof *late);
    uint32_t early = 0, lost = 0, wrong = 0, again = 0, over = 0, blamed = 0;

    if (late == NULL) die("calloc", APIARY_ENOBLOCK);
    for (uint32_t i = 0; i < tasks; i++) {
        early += rows[i].early;
        lost += rows[i].runs == 0;
        again += attempts[i] - 1 - fails_of(i);
        /* A worker that is killed between its claim and the agent's book has begun an attempt that the book does not know. */
        wrong += rows[i].runs > attempts[i] || attempts[i] < 1 + fails_of(i);
        late[i] = rows[i].first > due[i] ? rows[i].first - due[i] : 0;
        if (late[i] <= LATE) continue;
        over++;
        blamed += spans_common(&spare.free, &up, due[i], rows[i].first) > LATE;
    }
    qsort(late, tasks, sizeof *late, compare);
    printf("%u early, %u lost, %u with wrong attempts; %u begun again after kills\n", early, lost, wrong, again);
    printf("late: median %.2f ms, p99 %.2f ms, most %.2f ms\n", (double)late[tasks / 2] / 1e6,
           (double)late[(uint64_t)tasks * 99 / 100] / 1e6, (double)late[tasks - 1] / 1e6);
    printf("%u more than 50 ms, %u of them while a processor was free and a queen up\n", over, blamed);
    free(late);
    return early + lost + wrong;
}

static void finish(void)
{
    char path[512];
    int status;
    pid_t pid;

    for (int i = 0; i < VICTIMS; i++) kill(victims[i], SIGTERM);
    for (int i = 0; i < VICTIMS; i++) waitpid(victims[i], &status, 0);
    pid = fork();
    if (pid == 0) {
        snprintf(path, sizeof path, "%s/shmdump", bin);
        execl(path, "shmdump", segment, "--verify", (char *)NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) die("shmdump --verify", APIARY_ECORRUPT);
    shm_unlink(segment);
    unlink(config);
    unlink(book);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"bin", 1, NULL, 'b'}, {"plugin", 1, NULL, 'p'}, {"tasks", 1, NULL, 't'},
                                            {"kills", 1, NULL, 'k'}, {NULL, 0, NULL, 0}};
    apiary_task_t *ids;
    uint32_t *attempts;
    pthread_t observer;
    unsigned bad;
    apiary_t *a;

    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'b') bin = optarg;
        else if (o == 'p') plugin = optarg;
        else if (o == 't') tasks = (uint32_t)strtoul(optarg, NULL, 10);
        else if (o == 'k') kills = (uint32_t)strtoul(optarg, NULL, 10);
        else return 64;
    }
    if (bin == NULL || plugin == NULL || tasks == 0) return 64;
    write_files();
    a = attach();
    ids = calloc(tasks, sizeof *ids);
    attempts = calloc(tasks, sizeof *attempts);
    due = calloc(tasks, sizeof *due);
    if (ids == NULL || attempts == NULL || due == NULL) die("calloc", APIARY_ENOBLOCK);
    delegate_all(a, ids);
    if (!spare_begin(&spare) || pthread_create(&observer, NULL, observe, NULL) != 0) die("a thread", APIARY_ESYS);
    collect_all(a, ids, attempts);
    ap_store_relaxed(&observed, true);
    pthread_join(observer, NULL);
    spare_end(&spare);
    bad = judge(attempts);
    free(spare.free.at);
    free(up.at);
    apiary_detach(a);
    finish();
    free(ids);
    free(due);
    free(attempts);
    return bad == 0 ? 0 : 1;
}
