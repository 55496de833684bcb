/* kill_route - no delegation begun after the kernel's death mark of a queen goes to it.
 *
 *   kill_route --bin DIR --plugin FILE [--kills N]
 *
 * A service runs in two instances. Each round kills one with SIGKILL, spins until the kernel has marked the lane of its
 * worker, and at once delegates a burst: every task must be at the other instance's queue, and complete. Then the dead one
 * is started again.
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

#include "core/apiary.h"
#include "registry/client/client.h"
#include "tests/support/leftovers.h"

enum { BURST = 16 };

static const char *bin, *plugin;
static char config[64], segment[64];

static void die(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, apiary_strerror(error));
    shm_unlink(segment);
    exit(1);
}

static pid_t start(char *const argv[])
{
    pid_t pid = fork();

    if (pid == 0) {
        char path[512];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(path, sizeof path, "%s/%s", bin, argv[0]);
        execv(path, argv);
        _exit(127);
    }
    return pid;
}

static pid_t start_queen(const char *instance)
{
    return start((char *[]){"apiary", "queen", "twin", "-c", config, "--segment", segment, "--instance", (char *)instance,
                            NULL});
}

/* The queue of an instance's agent, once it is open and its swarm passing; waits for it. */
static uint32_t queue_of(apiary_t *a, const char *instance)
{
    for (;;) {
        for (uint32_t q = 0; q < a->seg->geometry.queues; q++) {
            uint64_t life = ap_load_acquire(&ap_queue_at(a->seg, q)->life);
            const struct ap_swarm *s;
            if (AP_QUEUE_STATE(life) != AP_QUEUE_OPEN || !ap_lane_alive(a->seg, AP_QUEUE_LANE(life))) continue;
            s = ap_swarm_at(a->seg, ap_load_relaxed(&ap_agent_at(a->seg, q)->swarm));
            if (s != NULL && strcmp(s->instance, instance) == 0 && ap_load_acquire(&s->state) == APIARY_PASSING) return q;
        }
        poll(NULL, 0, 1);
    }
}

static int round_of(apiary_t *a, pid_t victim, uint32_t dead_queue)
{
    struct ap_segment *seg = a->seg;
    uint64_t life = ap_load_acquire(&ap_queue_at(seg, dead_queue)->life);
    uint32_t lane = AP_QUEUE_LANE(life);
    apiary_task_t tasks[BURST];
    uint8_t body[16] = {0};
    int wrong = 0, status;

    kill(victim, SIGKILL);
    while (ap_lane_alive(seg, lane)) ap_pause();
    for (int i = 0; i < BURST; i++) {
        int r = apiary_delegate(a, "twin_echo", body, sizeof body, NULL, &tasks[i]);
        if (r < 0) die("delegate after the mark", r);
        /* The last queue it was in; a task is routed once before anybody may move it. */
        if (ap_load_relaxed(&ap_slot_at(seg, tasks[i].slot)->queue) == dead_queue) wrong++;
    }
    for (int i = 0; i < BURST; i++) {
        apiary_result_t result = {.struct_size = sizeof result};
        int r = apiary_await(a, tasks[i], APIARY_FOREVER, &result);
        if (r < 0 || result.code != 0) die("await", r < 0 ? r : result.code);
        apiary_release(a, &result);
    }
    if (waitpid(victim, &status, 0) != victim) die("waitpid", APIARY_ESYS);
    return wrong;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"bin", 1, NULL, 'b'}, {"plugin", 1, NULL, 'p'}, {"kills", 1, NULL, 'k'}, {0}};
    static const char *const instances[2] = {"0", "1"};
    int o, kills = 20, wrong = 0;
    apiary_t *a = NULL;
    pid_t queens[2], coordinator;
    FILE *f;

    while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (o == 'b') bin = optarg;
        else if (o == 'p') plugin = optarg;
        else if (o == 'k') kills = atoi(optarg);
    }
    if (bin == NULL || plugin == NULL) return 64;
    leftovers_clear("apiary-route");
    snprintf(segment, sizeof segment, "/apiary-route-%d", (int)getpid());
    snprintf(config, sizeof config, "/tmp/apiary-route-%d.yaml", (int)getpid());
    f = fopen(config, "w");
    if (f == NULL) die(config, APIARY_ESYS);
    fprintf(f, "meta_registry: {segment: %s}\nswarms:\n  - service: twin\n    queen: {instances: 2}\n    agents:\n"
               "      - {name: echo, plugin: %s, capabilities: [twin_echo]}\n", segment, plugin);
    fclose(f);
    coordinator = start((char *[]){"apiaryd", "-c", config, "--segment", segment, NULL});
    while (apiary_attach(segment, NULL, &a) < 0) poll(NULL, 0, 1);
    for (int i = 0; i < 2; i++) queens[i] = start_queen(instances[i]);
    for (int k = 0; k < kills; k++) {
        uint32_t queue[2] = {queue_of(a, "0"), queue_of(a, "1")};
        wrong += round_of(a, queens[k % 2], queue[k % 2]);
        queens[k % 2] = start_queen(instances[k % 2]);
    }
    printf("%d kills, %d delegations after the mark, %d routed to the dead\n", kills, kills * BURST, wrong);
    for (int i = 0; i < 2; i++) kill(queens[i], SIGTERM);
    kill(coordinator, SIGTERM);
    while (wait(NULL) > 0) {}
    apiary_detach(a);
    shm_unlink(segment);
    unlink(config);
    return wrong != 0;
}
