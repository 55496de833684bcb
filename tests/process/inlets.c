/* inlets - callers of one agent, each a process: idle ones hold all its inlets, and the others meet in its shared ring.
 *   inlets polite   beside one that floods: how often a client is refused that asks for one thing after the other, and the
 *                   median of the tasks that are run before its own
 *   inlets many     64 that all have two tasks under way: how many of the least, and of the most, are done
 * A line says when the flood has begun. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "registry/client/client.h"

enum { HOLDERS = 15, CALLS = 100, CLIENTS = 64, WINDOW = 2, ROUNDS = 40, PENDING = 4096 };

static struct {
    uint32_t held, refused, over;
    uint64_t done[CLIENTS];
} *shared;

static void must(int r)
{
    if (r >= 0) return;
    fprintf(stderr, "inlets: %s\n", apiary_strerror(r));
    _exit(1);
}

static apiary_t *attach(void)
{
    apiary_t *a;

    must(apiary_attach(NULL, NULL, &a));
    return a;
}

/* In a process that ends with this one. */
static void begin(void (*run)(apiary_t *a, unsigned index), unsigned index)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0) must(APIARY_ESYS);
    if (pid > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    run(attach(), index);
    _exit(0);
}

/* For the others; none of them ends by itself. */
static void inlets_rest(void)
{
    usleep(1000); // LINT: waits for other processes
    if (waitpid(-1, NULL, WNOHANG) != 0) _exit(1);
}

static void inlets_hold(apiary_t *a, unsigned index)
{
    (void)index;
    must(apiary_call(a, "tick", NULL, 0, NULL, NULL, 0, NULL));
    ap_add_acq_rel(&shared->held, 1);
    for (;;) pause();
}

static bool inlets_hear(apiary_t *a, apiary_task_t task, uint64_t timeout)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r = apiary_await(a, task, timeout, &result);

    if (r == APIARY_ETIMEDOUT && timeout == 0) return false;
    must(r);
    must(result.code);
    must(apiary_release(a, &result));
    return true;
}

static void inlets_flood(apiary_t *a, unsigned index)
{
    static apiary_task_t tasks[PENDING];
    uint64_t head = 0, tail = 0;

    (void)index;
    for (;;) {
        int r = tail - head < PENDING ? apiary_delegate(a, "tick", NULL, 0, NULL, &tasks[tail % PENDING]) : APIARY_EQUEUEFULL;

        if (r == 0) {
            tail++;
            continue;
        }
        if (r != APIARY_EQUEUEFULL) must(r);
        ap_add_acq_rel(&shared->refused, 1);
        inlets_hear(a, tasks[head++ % PENDING], APIARY_FOREVER);
    }
}

static void inlets_window(apiary_t *a, unsigned index)
{
    apiary_task_t tasks[WINDOW];

    for (unsigned i = 0; i < WINDOW; i++) must(apiary_delegate(a, "tick", NULL, 0, NULL, &tasks[i]));
    for (unsigned i = 0; ap_load_acquire(&shared->over) == 0; i = (i + 1) % WINDOW) {
        inlets_hear(a, tasks[i], APIARY_FOREVER);
        ap_add_acq_rel(&shared->done[index], 1);
        must(apiary_delegate(a, "tick", NULL, 0, NULL, &tasks[i]));
    }
}

static uint64_t inlets_started(const apiary_t *a)
{
    uint64_t n = 0;

    for (uint32_t q = 0; q < a->seg->geometry.queues; q++) n += ap_load_relaxed(&ap_queue_at(a->seg, q)->started);
    return n;
}

static int inlets_order(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;

    return (a > b) - (a < b);
}

static void inlets_polite(void)
{
    apiary_t *a = attach();
    int64_t before[CALLS];
    unsigned refused = 0;

    begin(inlets_flood, 0);
    while (ap_load_acquire(&shared->refused) < 300) inlets_rest();
    printf("flooded\n");
    fflush(stdout);
    for (unsigned i = 0; i < CALLS;) {
        uint64_t from = inlets_started(a), number;
        size_t size;
        int r = apiary_call(a, "tick", NULL, 0, NULL, &number, sizeof number, &size);

        if (r == APIARY_EQUEUEFULL) refused++;
        else if (r != APIARY_ENOPROVIDER) must(r); /* while its queen is away */
        if (r == 0) before[i++] = (int64_t)(number - from);
    }
    qsort(before, CALLS, sizeof *before, inlets_order);
    printf("refused %u, before it %lld\n", refused, (long long)before[CALLS / 2]);
}

/* Until what a flood has left is done. */
static void inlets_drained(void)
{
    const apiary_t *a = attach();

    for (uint32_t q = 0; q < a->seg->geometry.queues; q++)
        while (ap_queue_depth(a->seg, q) > 0) usleep(1000); // LINT: waits for other processes
}

static void inlets_many(void)
{
    uint64_t all = 0, least = UINT64_MAX, most = 0;

    inlets_drained();
    for (unsigned i = 0; i < CLIENTS; i++) begin(inlets_window, i);
    while (all < CLIENTS * ROUNDS) {
        inlets_rest();
        all = 0;
        for (unsigned i = 0; i < CLIENTS; i++) all += ap_load_acquire(&shared->done[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        uint64_t done = ap_load_acquire(&shared->done[i]);

        least = done < least ? done : least;
        most = done > most ? done : most;
    }
    ap_store_release(&shared->over, 1);
    printf("least %llu, most %llu\n", (unsigned long long)least, (unsigned long long)most);
}

int main(int argc, char **argv)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || argc != 2) return 64;
    for (unsigned i = 0; i < HOLDERS; i++) begin(inlets_hold, i);
    while (ap_load_acquire(&shared->held) < HOLDERS) inlets_rest();
    if (strcmp(argv[1], "polite") == 0) inlets_polite();
    else if (strcmp(argv[1], "many") == 0) inlets_many();
    else return 64;
    return 0;
}
