/* Kill points: a child runs one operation instruction by instruction and is killed by SIGKILL between two of them. After the
 * recovery every checker must be content, nothing may be held any more, and what was queued must still be done.
 *
 * ctest: timeout 600
 * ctest: not thread
 * ctest: not address
 * With a sanitizer an operation has several times the instructions, each of them two switches of processes; tests/crash has more
 * points in less time.
 */
#include <stdlib.h>
#include <sys/ptrace.h>

#include "registry_fixture.h"

#define POINTS 25 /* of each operation, spread evenly over its instructions; $APIARY_SWEEP_POINTS for more */

static struct ap_agent_registration drain_agent;
static struct ap_swarm_registration drain;
static struct ap_consumer consumer;

static const char *const echo[] = {"echo", NULL};
static const char *const other[] = {"other@2", NULL};

/* The test itself is the queen that serves "echo". */
static void sweep_setup(void)
{
    fixture_setup();
    drain_agent = (struct ap_agent_registration){.name = "agent", .capabilities = echo, .lane = client->anchor->lane.index};
    drain = (struct ap_swarm_registration){.service = "server", .lane = drain_agent.lane, .member = client->member,
                                           .agents = &drain_agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, &drain), 0);
    ap_consumer_init(&consumer, client->seg, drain_agent.queue);
}

TestSuite(sweep, .init = sweep_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static void serve(uint64_t ref)
{
    struct ap_segment *seg = client->seg;
    struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(ref));
    uint64_t token;

    if (!ap_task_claim(seg, client->anchor->lane.index, consumer.index, ref, &token)) return;
    ap_store_relaxed(&slot->started, seg->ops->now());
    ap_store_relaxed(&slot->finished, seg->ops->now());
    ap_task_finish(seg, AP_REF_SLOT(ref), token, 0);
}

static void serve_all(void)
{
    uint64_t ref, cursor = 0;

    while ((ref = ap_queue_pop(&consumer)) != 0) serve(ref);
    if (ap_queue_rescan_due(&consumer))
        while ((ref = ap_queue_scan(&consumer, &cursor)) != 0) serve(ref);
}

/* ---- operations, each in a child that has attached ------------------------------------------------------------ */

static void enrol(apiary_t *a)
{
    struct ap_agent_registration agents[2] = {{.name = "one", .capabilities = other, .lane = a->anchor->lane.index},
                                              {.name = "two", .capabilities = other, .lane = a->anchor->lane.index}};
    struct ap_swarm_registration r = {.service = "victim", .version = "7", .lane = a->anchor->lane.index,
                                      .member = a->member, .agents = agents, .agent_count = 2};

    if (ap_swarm_register(a->seg, &r) != 0) _exit(10);
    ap_swarm_deregister(a->seg, r.lane, &r);
}

static void delegate(apiary_t *a)
{
    static char body[300];
    const apiary_delegate_options_t detach = {.struct_size = sizeof detach, .flags = APIARY_DETACH};
    apiary_task_t task;
    void *loan;

    if (apiary_delegate(a, "echo", "inline", 6, NULL, &task) != 0) _exit(11);
    ap_give_up(a, task);
    if (apiary_delegate(a, "echo", body, sizeof body, &detach, NULL) != 0) _exit(12);
    if (apiary_loan(a, 100, &loan) != 0) _exit(13);
    if (apiary_delegate_loan(a, "echo", loan, 100, NULL, &task) != 0) _exit(14);
    if (apiary_cancel(a, task) != 0) _exit(15);
    ap_give_up(a, task);
}

static void leave(apiary_t *a)
{
    apiary_task_t task;

    if (apiary_delegate(a, "echo", "left", 4, NULL, &task) != 0) _exit(16);
    if (apiary_detach(a) != 0) _exit(17);
}

/* ---- the sweep ------------------------------------------------------------------------------------------------ */

static void child_main(void (*operation)(apiary_t *))
{
    apiary_t *a = attach_as("caller");
    int error;

    if (ap_context(a, &error) == NULL || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0) _exit(20);
    raise(SIGSTOP);
    operation(a);
    _exit(0);
}

/* Steps until `limit` instructions were run, then kills. Returns how many it ran; *finished: the child came to its end. */
static uint64_t step_and_kill(void (*operation)(apiary_t *), uint64_t limit, bool *finished)
{
    uint64_t steps = 0;
    int status;
    pid_t pid = fork();

    if (pid == 0) child_main(operation);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSTOPPED(status), "the child failed with %x", (unsigned)status);
    *finished = false;
    for (; steps < limit; steps++) {
        cr_assert_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            cr_assert_eq(WEXITSTATUS(status), 0, "the operation failed: %d", WEXITSTATUS(status));
            *finished = true;
            return steps;
        }
        cr_assert(WIFSTOPPED(status));
    }
    kill(pid, SIGKILL);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return steps;
}

static void recover_and_judge(uint64_t at)
{
    uint32_t self = client->anchor->lane.index;

    ap_reap_asking(client->seg, self, &ap_registry_hooks);
    assert_sound();
    serve_all();
    ap_sweep(client->seg, self, &ap_registry_hooks);
    cr_assert_eq(slots_in_use(), 0, "killed at %llu: a slot is lost", (unsigned long long)at);
    cr_assert_eq(blocks_in_use(), 0, "killed at %llu: a block is lost", (unsigned long long)at);
    cr_assert_eq(busy_tickets(), 0, "killed at %llu: a ticket is lost", (unsigned long long)at);
    cr_assert_eq(lanes_live(client->seg), 1);
    assert_sound();
}

static void sweep(void (*operation)(apiary_t *))
{
    const char *more = getenv("APIARY_SWEEP_POINTS");
    uint64_t total, point, points = more != NULL && atoi(more) > 0 ? (uint64_t)atoi(more) : POINTS;
    bool finished;

    /* Twice: the first time is not like the others, tables are empty. */
    for (int i = 0; i < 2; i++) {
        total = step_and_kill(operation, UINT64_MAX, &finished);
        recover_and_judge(total);
    }
    cr_assert_gt(total, 100);
    for (uint64_t i = 0; i < points; i++) {
        /* Not always the same remainder: neighbours of a prime stride. */
        point = (i * total + (i * 7919) % total) / points;
        step_and_kill(operation, point, &finished);
        recover_and_judge(point);
    }
}

Test(sweep, register_and_deregister)
{
    sweep(enrol);
}

Test(sweep, delegate_cancel_release)
{
    sweep(delegate);
}

Test(sweep, detach)
{
    sweep(leave);
}
