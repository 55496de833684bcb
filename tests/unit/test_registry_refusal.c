/* Ways of refusal and return: what is refused leaves nothing behind, and what is given back is given back by whom it belongs to. */
#include <dirent.h>
#include <poll.h>

#include "registry/monitor/monitor.h"
#include "registry_fixture.h"
#include "shm/reap.h"

TestSuite(refusal, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

static apiary_task_t delegate(const char *capability, const void *body, size_t size)
{
    apiary_task_t task = {0};
    int r = apiary_delegate(client, capability, body, size, NULL, &task);

    cr_assert_eq(r, 0, "%s", apiary_strerror(r));
    return task;
}

static uint32_t queue_of(apiary_task_t task)
{
    return AP_WORD_OWNER(ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word));
}

/* ---- tickets -------------------------------------------------------------------------------------------------- */

/* Wherever a lane begins its search. The row of the next service lies behind this one's. */
Test(refusal, no_more_tickets_than_the_limit)
{
    struct ap_segment *seg = client->seg;
    uint32_t ticket;

    for (uint32_t limit = 1; limit <= 5; limit++) {
        for (uint32_t lane = 0; lane < 32; lane++) {
            struct ap_ticket_hint hint = {.row = NULL};
            uint32_t seen = 0;

            for (uint32_t i = 0; i < limit; i++) {
                cr_assert_eq(ap_ticket_take(seg, 1, lane, limit, &hint, &ticket), 0);
                ticket = AP_TICKET_NUMBER(ticket);
                cr_assert(ticket >= 1 && ticket <= limit, "ticket %u of %u", ticket, limit);
                cr_assert_eq(seen & 1u << ticket, 0, "each once");
                seen |= 1u << ticket;
            }
            ticket = 77;
            cr_assert_eq(ap_ticket_take(seg, 1, lane, limit, &hint, &ticket), APIARY_ELIMIT);
            cr_assert_eq(ticket, 77, "untouched");
            cr_assert_eq(ap_tickets_busy(seg, 1), limit);
            cr_assert_eq(ap_tickets_busy(seg, 2), 0, "the next service's");
            ap_tickets_free(seg, lane);
            cr_assert_eq(ap_tickets_busy(seg, 1), 0);
        }
    }
}

/* Of a task of service 1 that this lane has freed. */
static void give_back(struct ap_segment *seg, uint32_t lane, uint32_t ticket)
{
    struct ap_slot slot = {.caller = 2, .client = (uint16_t)lane, .ticket = ticket};

    ap_slot_ticket_return(seg, &slot);
}

Test(refusal, a_ticket_is_given_back_by_its_owner_only)
{
    struct ap_ticket_hint first = {.row = NULL}, second = {.row = NULL};
    struct ap_segment *seg = client->seg;
    uint32_t ticket, again;

    cr_assert_eq(ap_ticket_take(seg, 1, 3, 1, &first, &ticket), 0);
    ap_tickets_free(seg, 3); /* as its reaper does */
    cr_assert_eq(ap_ticket_take(seg, 1, 4, 1, &second, &again), 0);
    cr_assert_eq(AP_TICKET_NUMBER(again), AP_TICKET_NUMBER(ticket));
    give_back(seg, 3, ticket);
    cr_assert_eq(ap_tickets_busy(seg, 1), 1, "it is lane 4's by now");
    cr_assert_eq(ap_ticket_take(seg, 1, 5, 1, &first, &ticket), APIARY_ELIMIT);
    give_back(seg, 4, again);
    cr_assert_eq(ap_tickets_busy(seg, 1), 0);
}

/* Whoever freed the slot died before it was FREE, or stood still before it gave the ticket back while the client's lane ended. The
 * ticket's next holder is the same lane, in the same life or the next. */
Test(refusal, a_ticket_is_given_back_once)
{
    struct ap_segment *seg = client->seg;
    uint32_t index = client->anchor->lane.index, ticket, again;
    struct ap_slot slot = {.caller = 2, .client = (uint16_t)index};

    for (int ends = 0; ends < 2; ends++) {
        struct ap_ticket_hint hint = {.row = NULL};

        cr_assert_eq(ap_ticket_take(seg, 1, index, 1, &hint, &ticket), 0);
        slot.ticket = ticket;
        if (ends) ap_tickets_free(seg, index);
        else ap_slot_ticket_return(seg, &slot);
        cr_assert_eq(ap_tickets_busy(seg, 1), 0);
        cr_assert_eq(ap_ticket_take(seg, 1, index, 1, &hint, &again), 0);
        cr_assert_eq(AP_TICKET_NUMBER(again), AP_TICKET_NUMBER(ticket));
        ap_registry_hooks.freed(seg, &slot);
        cr_expect_eq(ap_tickets_busy(seg, 1), 1, "it is the next task's");
        ap_tickets_free(seg, index);
    }
}

/* Fills the queue of a worker that does not run by tasks that are fire and forget, until it is full. */
static uint32_t fill(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH};
    apiary_task_t task;
    uint32_t n = 0;
    int r;

    while ((r = apiary_delegate(client, "echo", "x", 1, &o, &task)) == 0) n++;
    cr_assert(r == APIARY_EQUEUEFULL || r == APIARY_ELIMIT, "%s", apiary_strerror(r));
    return n;
}

Test(refusal, a_submit_that_finds_no_room_keeps_no_ticket_slot_or_block)
{
    static const struct ap_geometry shallow = {.members = 16, .lanes = 32, .tasks = 256, .queues = 8, .queue_depth = 2,
                                               .queue_inlets = 1, .pool_blocks = {8, 4, 2, 1, 1, 1, 2}, .events = 64,
                                               .max_concurrent_delegations = 50};
    static char body[200];
    struct worker w;
    apiary_task_t task;

    fixture_teardown();
    segment_make(&shallow);
    client = attach_as("caller");
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    uint32_t n = fill(), slots = slots_in_use(), tickets = busy_tickets(), blocks = blocks_in_use();
    cr_assert_gt(n, 0);
    cr_assert_lt(n, 50, "it is the queue that is full");
    for (int i = 0; i < 200; i++)
        cr_assert_eq(apiary_delegate(client, "echo", body, i % 2 != 0 ? sizeof body : 1, NULL, &task), APIARY_EQUEUEFULL);
    cr_assert_eq(slots_in_use(), slots);
    cr_assert_eq(busy_tickets(), tickets);
    cr_assert_eq(blocks_in_use(), blocks);
    assert_sound();
    worker_stop(&w);
}

/* ---- task ids and results ------------------------------------------------------------------------------------- */

Test(refusal, an_id_of_the_slabs_former_epoch_is_stale)
{
    struct worker w;
    apiary_task_t task, old;
    apiary_result_t result = {.struct_size = sizeof result};

    worker_start(&w, "echo");
    task = old = delegate("echo", "x", 1);
    old.epoch++;
    cr_assert_eq(apiary_await(client, old, 0, &result), APIARY_ESTALE);
    cr_assert_eq(apiary_cancel(client, old), APIARY_ESTALE);
    cr_assert_eq(apiary_poll(client, old, &result), APIARY_ESTALE);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    result.task = old;
    cr_assert_eq(apiary_release(client, &result), APIARY_ESTALE);
    result.task = task;
    cr_assert_eq(apiary_release(client, &result), 0);
    worker_stop(&w);
}

/* What a dead attempt wrote into the result area is nobody's answer. */
Test(refusal, a_task_that_no_agent_ended_has_no_result)
{
    struct worker w;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    struct ap_slot *slot;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    task = delegate("echo", "x", 1);
    slot = ap_slot_at(client->seg, task.slot);
    memset(slot->result_inline, 's', sizeof slot->result_inline);
    ap_store_relaxed(&slot->result_size, 33);
    ap_store_relaxed(&slot->agent_code, 5);
    cr_assert_eq(apiary_cancel(client, task), 0);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    cr_assert_eq(result.code, APIARY_ECANCELLED);
    cr_assert_eq(result.size, 0);
    cr_assert_eq(result.agent_code, 0);
    cr_assert_eq(apiary_release(client, &result), 0);
    worker_stop(&w);
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

#define BEGAN (1000 * SECOND)
static struct ap_ops skipping;
static uint64_t skipped;
static struct worker *answering;
static apiary_task_t answered;

/* A clock that goes on when somebody looks at it, a little, and when somebody sleeps, as long as that one wanted. */
static uint64_t skipping_now(void)
{
    return BEGAN + (skipped += 1000);
}

/* Six seconds after the beginning one task is done. */
static int skipping_wait(const uint32_t *word, uint32_t value, uint64_t until)
{
    uint64_t token, word_of_task = ap_load_acquire(&ap_slot_at(client->seg, answered.slot)->word);

    if (ap_load_acquire(word) != value) return -EAGAIN;
    if (AP_WORD_STATE(word_of_task) == AP_TASK_QUEUED && until >= BEGAN + 6 * SECOND) {
        until = BEGAN + 6 * SECOND;
        cr_assert_eq(ap_task_claim(client->seg, answering->lane, answering->queue,
                                   AP_REF(answered.slot, AP_WORD_GENERATION(word_of_task)), &token), 1);
        cr_assert_eq(ap_task_finish(client->seg, answered.slot, token, 0), 0);
    }
    if (until > BEGAN + skipped) skipped = until - BEGAN;
    return -ETIMEDOUT;
}

Test(refusal, a_batch_has_one_timeout_and_not_one_for_each)
{
    struct worker w;
    apiary_task_t tasks[2];
    apiary_result_t results[2] = {[0 ... 1] = {.struct_size = sizeof results[0]}};
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = 1000 * SECOND};
    uint64_t took;
    size_t finished = 7;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    skipping = *client->seg->ops;
    skipping.now = skipping_now;
    skipping.futex_wait = skipping_wait;
    client->seg->ops = &skipping;
    ap_spin_open(&client->anchor->spin, &skipping);
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &o, &tasks[i]), 0);
    answering = &w;
    answered = tasks[0];
    took = skipping_now();
    cr_assert_eq(apiary_await_batch(client, tasks, 2, 10 * SECOND, results, &finished), APIARY_ENOTREADY);
    took = skipping_now() - took;
    cr_assert_eq(finished, 1);
    /* By a clock that only the waiting moves. */
    cr_assert(took >= 10 * SECOND - SECOND && took < 15 * SECOND, "%llu ns", (unsigned long long)took);
    client->seg->ops = &ap_ops_system;
    cr_assert_eq(apiary_release(client, &results[0]), 0);
    worker_stop(&w);
}

Test(refusal, a_timeout_that_ends_beyond_the_clock_is_no_timeout)
{
    struct worker w;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};

    worker_start(&w, "echo");
    for (uint64_t less = 0; less < 4; less++) {
        ap_store_release(&w.hold, 1);
        task = delegate("echo", "x", 1);
        sem_wait(&w.took);
        ap_store_release(&w.hold, 0);
        sem_post(&w.go);
        cr_assert_eq(apiary_await(client, task, UINT64_MAX - less, &result), 0);
        cr_assert_eq(result.code, 0);
        cr_assert_eq(apiary_release(client, &result), 0);
    }
    worker_stop(&w);
}

/* ---- where a task may go -------------------------------------------------------------------------------------- */

Test(refusal, a_task_for_one_service_does_not_leave_it)
{
    struct worker first, second;
    const struct ap_reap_hooks *hooks = &ap_registry_hooks;
    int service;
    struct ap_lane_context *c = client->anchor;
    apiary_task_t bound, free_one;
    uint32_t was;

    cr_assert_eq(worker_register(&first, "one", NULL, "agent", echo), 0);
    cr_assert_eq(worker_register(&second, "two", NULL, "agent", echo), 0);
    service = ap_service_find(client->seg, "one");
    cr_assert_geq(service, 0);
    cr_assert_eq(ap_submit(c, service, "echo", "x", 1, 0, NULL, &bound), 0);
    cr_assert_eq(queue_of(bound), first.queue);
    cr_assert_eq(ap_submit(c, service, "echo", "x", 1, 0, NULL, &free_one), 0);
    ap_store_relaxed(&ap_slot_at(client->seg, free_one.slot)->only, 0);
    was = first.queue;
    ap_swarm_deregister(client->seg, first.server->anchor->lane.index, &first.swarm);
    ap_sweep(client->seg, AP_NO_LANE, hooks);
    cr_assert_eq(queue_of(bound), was, "nobody else of its service is there");
    cr_assert_eq(queue_of(free_one), second.queue);
    worker_halt(&first);
    apiary_detach(first.server);
    worker_stop(&second);
}

/* Nobody runs a monitor here: who leaves moves what is queued at once. */
Test(refusal, who_leaves_takes_no_queued_task_along)
{
    struct worker first, second;
    apiary_task_t tasks[4];
    apiary_result_t result = {.struct_size = sizeof result};

    cr_assert_eq(worker_register(&first, "one", NULL, "agent", echo), 0);
    for (int i = 0; i < 4; i++) tasks[i] = delegate("echo", "x", 1);
    cr_assert_eq(worker_register(&second, "two", NULL, "agent", echo), 0);
    ap_swarm_deregister(first.server->seg, first.server->anchor->lane.index, &first.swarm);
    for (int i = 0; i < 4; i++) cr_assert_eq(queue_of(tasks[i]), second.queue);
    worker_halt(&first);
    apiary_detach(first.server);
    worker_go(&second);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(apiary_await(client, tasks[i], APIARY_FOREVER, &result), 0);
        cr_assert_eq(result.code, 0);
        cr_assert_eq(apiary_release(client, &result), 0);
    }
    worker_stop(&second);
}

/* A drain: what was queued before it is done where it is. And a queue whose index has passed to another agent: its worker would
 * refuse the task, so it goes to who runs such tasks, whoever comes by. */
Test(refusal, a_queued_task_stays_where_its_agent_runs_it_and_nowhere_else)
{
    struct worker first, second;
    struct ap_balance balance = {.turn = 0, .producers = NULL};
    struct ap_agent_record *record;
    apiary_task_t task, other;
    uint32_t was;

    cr_assert_eq(worker_register(&first, "one", NULL, "agent", echo), 0);
    task = delegate("echo", "x", 1);
    other = delegate("echo", "x", 1);
    cr_assert_eq(worker_register(&second, "two", NULL, "agent", echo), 0);
    ap_swarm_withdraw(client->seg, &first.swarm);
    ap_sweep(client->seg, AP_NO_LANE, &ap_registry_hooks);
    cr_expect_eq(ap_reroute(client->seg, &balance, task.slot, ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word)),
                 AP_MOVE_SERVED);
    cr_expect_eq(queue_of(task), first.queue);
    record = ap_agent_at(client->seg, first.queue);
    was = ap_load_relaxed(&record->capability_count);
    ap_store_relaxed(&record->capability_count, 0);
    cr_expect_eq(ap_reroute(client->seg, NULL, other.slot, ap_load_acquire(&ap_slot_at(client->seg, other.slot)->word)),
                 AP_MOVE_MOVED);
    ap_sweep(client->seg, AP_NO_LANE, &ap_registry_hooks);
    cr_expect_eq(queue_of(task), second.queue);
    cr_expect_eq(queue_of(other), second.queue);
    ap_store_relaxed(&record->capability_count, was);
    ap_give_up(client, task);
    ap_give_up(client, other);
    worker_stop(&first);
    worker_stop(&second);
}

/* The rings of the only other provider are full: the reference is in the table only, so its consumer is told to look there. */
Test(refusal, a_task_moved_to_a_full_queue_is_found_all_the_same)
{
    static const struct ap_geometry shallow = {.members = 16, .lanes = 32, .tasks = 256, .queues = 8, .queue_depth = 2,
                                               .queue_inlets = 1, .pool_blocks = {8, 4, 2, 1, 1, 1, 2}, .events = 64,
                                               .max_concurrent_delegations = 50};
    struct worker first, second;
    struct ap_balance balance = {.turn = 0, .producers = NULL};
    apiary_task_t task;
    uint64_t life, rescan;
    uint32_t index = 0;

    fixture_teardown();
    segment_make(&shallow);
    client = attach_as("caller");
    cr_assert_eq(worker_register(&first, "one", NULL, "agent", echo), 0);
    task = delegate("echo", "x", 1);
    cr_assert_eq(worker_register(&second, "two", NULL, "agent", echo), 0);
    /* The other's shared ring: full of references to nothing. */
    while (ap_queue_push_shared(client->seg, second.queue, AP_REF(200, ++index)) == 0) {}
    life = ap_load_acquire(&ap_queue_at(client->seg, first.queue)->life);
    cr_assert_eq(ap_queue_close(client->seg, first.queue, life), 1);
    rescan = ap_load_acquire(&client->seg->header->rescan);
    cr_assert_eq(ap_reroute(client->seg, &balance, task.slot, ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word)), 1);
    cr_assert_eq(queue_of(task), second.queue);
    cr_assert_neq(ap_load_acquire(&client->seg->header->rescan), rescan, "every consumer looks into the table");
    worker_halt(&first);
    apiary_detach(first.server);
    worker_stop(&second);
}

/* ---- threads of the library ----------------------------------------------------------------------------------- */

static sem_t lent, end;
static void *block_lent;

static void *lend(void *arg)
{
    (void)arg;
    cr_assert_eq(apiary_loan(client, 200, &block_lent), 0);
    sem_post(&lent);
    sem_wait(&end);
    return NULL;
}

Test(refusal, a_loan_that_another_thread_used_keeps_no_lane_of_the_lender)
{
    struct worker w;
    pthread_t thread;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    uint32_t lanes;

    sem_init(&lent, 0, 0);
    sem_init(&end, 0, 0);
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    lanes = lanes_live(client->seg);
    cr_assert_eq(pthread_create(&thread, NULL, lend, NULL), 0);
    sem_wait(&lent);
    cr_assert_eq(lanes_live(client->seg), lanes + 1);
    memset(block_lent, 'l', 200);
    cr_assert_eq(apiary_delegate_loan(client, "echo", block_lent, 200, NULL, &task), 0);
    sem_post(&end);
    pthread_join(thread, NULL);
    cr_assert_eq(lanes_live(client->seg), lanes, "the lender has nothing open");
    worker_go(&w);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    cr_assert_eq(result.size, 200);
    cr_assert_eq(((const char *)result.data)[199], 'l');
    cr_assert_eq(apiary_release(client, &result), 0);
    worker_stop(&w);
}

static bool is_fault(int s)
{
    return s == SIGSEGV || s == SIGBUS || s == SIGILL || s == SIGFPE || s == SIGABRT || s == SIGSYS || s == SIGTRAP;
}

/* Each thread of this process but the caller's has all signals of the program blocked: 1, 0, and -1 when the system does not
 * tell. */
static int others_block_all(void)
{
    DIR *d = opendir("/proc/self/task");
    const struct dirent *e;
    int ret = 1, threads = 0;

    if (d == NULL) return -1;
    while ((e = readdir(d)) != NULL) {
        unsigned long long blocked = 0;
        char path[64], line[256];
        FILE *f;

        if (e->d_name[0] == '.' || (uint32_t)atoi(e->d_name) == ap_thread_id()) continue;
        snprintf(path, sizeof path, "/proc/self/task/%.32s/status", e->d_name);
        f = fopen(path, "re");
        if (f == NULL) continue;
        while (fgets(line, sizeof line, f) != NULL) sscanf(line, "SigBlk: %llx", &blocked);
        fclose(f);
        threads++;
        /* The kernel and the library of threads keep some of their own unblocked; a fault of the thread itself is not blocked. */
        for (int s = 1; s < 32; s++)
            if (s != SIGKILL && s != SIGSTOP && !is_fault(s) && (blocked & 1ull << (s - 1)) == 0) ret = 0;
    }
    closedir(d);
    return threads > 0 ? ret : -1;
}

Test(refusal, threads_of_the_library_take_no_signal_of_the_program)
{
    struct ap_monitor *m;
    int all;

    cr_assert_eq(ap_monitor_start(client->seg, client->member, &m), 0);
    all = others_block_all();
    ap_monitor_stop(m);
    if (all < 0) cr_skip_test("/proc/self/task does not tell the signals of threads");
    cr_assert_eq(all, 1, "the monitor's");
    cr_assert_geq(apiary_lane_fd(client), 0);
    cr_assert_eq(others_block_all(), 1, "that of the lane's descriptor");
}

/* ---- whoever waits by a descriptor recovers the dead, too ------------------------------------------------------- */

static struct ap_lane_handle dying;

Test(refusal, a_lane_descriptor_tells_of_a_task_whose_worker_died)
{
    struct worker w;
    struct pollfd p = {.events = POLLIN};
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    uint64_t count;
    pid_t pid;
    int ends[2], status;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    p.fd = apiary_lane_fd(client);
    cr_assert_geq(p.fd, 0);
    task = delegate("echo", "x", 1);
    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        struct ap_segment *own = NULL;
        uint64_t token;
        const struct ap_slot *slot;

        if (ap_registry_attach(seg_name, true, NULL, 0, &own) < 0 ||
            ap_member_open(own, "child", NULL, APIARY_QUEEN, &dying) < 0)
            _exit(1);
        slot = ap_slot_at(own, task.slot);
        /* As a worker that dies in a handler for the third time leaves it. */
        if (!ap_task_claim(own, dying.index, w.queue, AP_REF(task.slot, AP_WORD_GENERATION(ap_load_acquire(&slot->word))), &token))
            _exit(2);
        ap_store_release(&ap_slot_at(own, task.slot)->word, token + AP_WORD_CRASHED(AP_CRASHES_MAX - 1));
        ap_lane_inside(dying.lane, AP_REF(task.slot, AP_WORD_GENERATION(token)));
        ap_lane_crash(dying.lane, SIGSEGV);
        if (write(ends[1], "r", 1) != 1) _exit(3);
        kill(getpid(), SIGKILL);
    }
    char c;
    close(ends[1]);
    cr_assert_eq(read(ends[0], &c, 1), 1);
    close(ends[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    /* Nobody here watches the lanes but the thread behind the descriptor. Its first word may be of before. */
    do {
        cr_assert_eq(poll(&p, 1, -1), 1);
        if (read(p.fd, &count, sizeof count) < 0) cr_assert_eq(errno, EAGAIN);
    } while (!ap_task_ended(AP_WORD_STATE(ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word))));
    cr_assert_eq(apiary_await(client, task, 0, &result), 0);
    cr_assert_eq(result.code, APIARY_ECRASHED);
    cr_assert_eq(apiary_release(client, &result), 0);
    worker_stop(&w);
}
