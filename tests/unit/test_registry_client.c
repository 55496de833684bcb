/* Members: attach in all its ways, threads that end, fork, detach, the lane's descriptor. */
#include <fcntl.h>
#include <poll.h>

#include "registry_fixture.h"
#include "shm/event.h"

TestSuite(client, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

/* ---- attach --------------------------------------------------------------------------------------------------- */

Test(client, attach_says_what_it_met)
{
    char message[256] = "";
    apiary_attach_options_t o = {.struct_size = sizeof o, .message = message, .message_size = sizeof message};
    apiary_t *a = (apiary_t *)&o;

    cr_expect_eq(apiary_attach("/apiary-registry-none", &o, &a), APIARY_ENOSEG);
    cr_expect(strstr(message, "/apiary-registry-none") != NULL && strstr(message, "start the coordinator") != NULL, "%s",
              message);
    cr_expect_eq(apiary_attach("no-slash", &o, &a), APIARY_EINVAL);
    o.swarm = "Bad Name";
    message[0] = '\0';
    cr_expect_eq(apiary_attach(seg_name, &o, &a), APIARY_EINVAL);
    cr_expect_neq(message[0], '\0');
    o.swarm = NULL;
    o.kind = 77;
    cr_expect_eq(apiary_attach(seg_name, &o, &a), APIARY_EINVAL);
    cr_expect_eq(apiary_attach(seg_name, NULL, NULL), APIARY_EINVAL);
    cr_expect_eq((void *)a, (void *)&o, "the output is untouched");
    cr_expect_eq(apiary_attach_fd(-1, NULL, &a), APIARY_EINVAL);
}

Test(client, attach_by_environment_and_by_descriptor)
{
    apiary_t *a, *b;
    char name[64] = "";
    struct ap_member *m;

    setenv("APIARY_SEGMENT", seg_name, 1);
    cr_assert_eq(apiary_attach(NULL, NULL, &a), 0);
    cr_assert_eq(apiary_attach_fd(apiary_segment_fd(a),
                                  &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t),
                                                             .name = "by handle"}, &b), 0);
    cr_assert_neq(apiary_segment_fd(a), apiary_segment_fd(b));
    m = ap_member_at(client->seg, b->member);
    memcpy(name, m->name, sizeof m->name);
    cr_assert_str_eq(name, "by_handle");
    cr_assert_eq(m->pid, getpid());
    /* In the order in which they came: each has a robust lock in the list of this one thread. */
    cr_assert_eq(apiary_detach(a), 0);
    cr_assert_eq(apiary_detach(b), 0);
    cr_assert_eq(apiary_detach(NULL), 0);
    cr_assert_eq(lanes_live(client->seg), 1);
    assert_sound();
}

/* No name and an empty one are the usual name; an apiary of that name may be there or not. */
Test(client, attach_without_a_name)
{
    char usual[256] = "", message[256] = "";
    apiary_attach_options_t named = {.struct_size = sizeof named, .message = usual, .message_size = sizeof usual,
                                     .kind = APIARY_TOOL},
                            o = {.struct_size = sizeof o, .message = message, .message_size = sizeof message, .kind = APIARY_TOOL};
    apiary_t *a = NULL, *b = NULL;
    int r = apiary_attach(APIARY_DEFAULT_SEGMENT, &named, &a);

    setenv("APIARY_SEGMENT", "", 1);
    for (int i = 0; i < 3; i++) {
        if (i == 2) unsetenv("APIARY_SEGMENT");
        cr_expect_eq(apiary_attach(i == 0 ? "" : NULL, &o, &b), r);
        cr_expect_str_eq(message, usual);
        if (b != NULL) cr_expect_eq(apiary_detach(b), 0);
        b = NULL;
    }
    if (a != NULL) cr_expect_eq(apiary_detach(a), 0);
    cr_assert_eq(apiary_attach(seg_name, &o, &a), 0, "of the last kind");
    cr_expect_eq(ap_load_relaxed(&ap_member_at(client->seg, a->member)->kind), APIARY_TOOL);
    cr_assert_eq(apiary_detach(a), 0);
}

static uint64_t events_of(uint32_t kind)
{
    struct ap_event e;
    uint64_t n = 0;

    for (uint64_t i = 1; i < ap_load_acquire(&client->seg->header->event_next); i++)
        n += ap_event_read(client->seg, i, &e) == 1 && e.kind == kind;
    return n;
}

/* Whether it has used the handle or not: that is no death. */
Test(client, who_leaves_at_once_is_not_recovered_like_the_dead)
{
    uint64_t left = events_of(AP_EVENT_MEMBER_LEFT), reaped = events_of(AP_EVENT_LANE_REAPED);
    apiary_t *first = attach_as("first"), *second = attach_as("second");

    cr_assert_geq(apiary_lane_fd(second), 0);
    cr_assert_eq(apiary_detach(first), 0);
    cr_assert_eq(apiary_detach(second), 0);
    cr_expect_eq(events_of(AP_EVENT_MEMBER_LEFT), left, "nor told: clients would leave no room for what matters");
    cr_expect_eq(events_of(AP_EVENT_LANE_REAPED), reaped);
    cr_assert_eq(lanes_live(client->seg), 1);
    assert_sound();
}

/* The lane was recovered while its thread stood still, and another has it: a detach takes nothing away from that one. */
Test(client, a_lane_that_another_has_outlasts_the_detach)
{
    apiary_t *own = attach_as("other");
    struct ap_lane *lane = own->anchor->lane.lane;
    uint32_t index = own->anchor->lane.index, service = (uint32_t)own->service;
    uint64_t life = AP_LIFE(own->anchor->lane.epoch + 1, AP_LIFE_LIVE), word, lease;
    const struct ap_slot *slot;
    struct worker w;
    apiary_task_t task;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", (const char *const[]){"echo", NULL}), 0);
    cr_assert_eq(apiary_delegate(own, "echo", "x", 1, NULL, &task), 0);
    slot = ap_slot_at(client->seg, task.slot);
    word = slot->word;
    lease = ap_slab_at(client->seg, task.slot / AP_SLAB_SLOTS)->lease;
    ap_store_release(&lane->life, life);
    cr_assert_eq(apiary_detach(own), 0);
    cr_expect_eq(ap_load_acquire(&ap_lane_at(client->seg, index)->life), life);
    cr_expect(slot->word == word && ap_request_bits(slot->request, word) == 0, "its task is another's, too");
    cr_expect_eq(ap_slab_at(client->seg, task.slot / AP_SLAB_SLOTS)->lease, lease);
    cr_expect_eq(ap_tickets_busy(client->seg, service), 1);
    worker_halt(&w);
}

Test(client, observers_write_nothing)
{
    struct worker w;
    apiary_t *eye;
    apiary_provider_t row = {.struct_size = sizeof row};
    apiary_swarm_status_t status = {.struct_size = sizeof status};
    apiary_result_t result = {.struct_size = sizeof result, .data = "x"};
    apiary_task_t task = {0};
    void *body;
    uint32_t lanes;

    worker_start(&w, "echo");
    lanes = lanes_live(client->seg);
    cr_assert_eq(apiary_attach(seg_name, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t),
                                                                    .read_only = 1}, &eye), 0);
    cr_expect_eq(lanes_live(client->seg), lanes);
    cr_expect_eq(apiary_discover(eye, "echo", &row, 1), 1);
    cr_expect_eq(apiary_swarm_status(eye, NULL, &status, 1), 1);
    cr_expect_eq(apiary_delegate(eye, "echo", "x", 1, NULL, &task), APIARY_EREADONLY);
    cr_expect_eq(apiary_loan(eye, 1, &body), APIARY_EREADONLY);
    cr_expect_eq(apiary_unloan(eye, &row), APIARY_EREADONLY);
    cr_expect_eq(apiary_await(eye, task, 0, &result), APIARY_EREADONLY);
    cr_expect_eq(apiary_await_any(eye, &task, 1, 0, &result), APIARY_EREADONLY);
    cr_expect_eq(apiary_poll(eye, task, &result), APIARY_EREADONLY);
    cr_expect_eq(apiary_release(eye, &result), APIARY_EREADONLY);
    cr_expect_eq(apiary_cancel(eye, task), APIARY_EREADONLY);
    cr_expect_eq(apiary_lane_fd(eye), APIARY_EREADONLY);
    cr_expect_geq(apiary_segment_fd(eye), 0);
    cr_expect_eq(apiary_detach(eye), 0);
    worker_stop(&w);
}

/* Nor does the part of a release that others share, and no more does a forked child. */
Test(client, a_result_is_given_back_by_its_own_client)
{
    apiary_result_t result = {.struct_size = sizeof result};
    struct worker w;
    apiary_task_t task;
    apiary_t *eye;
    uint64_t word;
    pid_t pid;
    int status;

    worker_start(&w, "echo");
    cr_assert_eq(apiary_attach(seg_name, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t),
                                                                    .read_only = 1}, &eye), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    do word = ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word);
    while (!ap_task_ended(AP_WORD_STATE(word)));
    cr_expect_eq(ap_task_free(eye, task.slot, word), 0);
    pid = fork();
    if (pid == 0) _exit(ap_task_free(client, task.slot, word));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0, "status %x", (unsigned)status);
    cr_expect_eq(ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word), word);
    cr_assert_eq(apiary_await(client, task, 0, &result), 0);
    cr_expect_eq(apiary_release(client, &result), 0);
    cr_expect_eq(apiary_detach(eye), 0);
    worker_stop(&w);
    assert_sound();
}

static pthread_key_t last_key;

static void end_child(void *unused)
{
    (void)unused;
    _exit(0);
}

Test(client, a_forked_child_must_attach_again)
{
    struct worker w;
    int status;
    pid_t pid;

    worker_start(&w, "echo");
    cr_assert_eq(apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL), 0);
    pid = fork();
    if (pid == 0) {
        apiary_task_t task = {0};
        apiary_result_t result = {.struct_size = sizeof result};
        apiary_t *own;
        void *body;

        if (apiary_delegate(client, "echo", "x", 1, NULL, &task) != APIARY_EFORKED) _exit(1);
        if (apiary_await(client, task, 0, &result) != APIARY_EFORKED) _exit(2);
        if (apiary_poll(client, task, &result) != APIARY_EFORKED) _exit(3);
        if (apiary_discover(client, "echo", NULL, 0) != APIARY_EFORKED) _exit(4);
        if (apiary_loan(client, 1, &body) != APIARY_EFORKED) _exit(5);
        if (apiary_segment_fd(client) != APIARY_EFORKED) _exit(6);
        if (apiary_lane_fd(client) != APIARY_EFORKED) _exit(7);
        if (apiary_swarm_status(client, NULL, NULL, 0) != APIARY_EFORKED) _exit(8);
        if (apiary_detach(client) != APIARY_EFORKED) _exit(9);
        if (apiary_attach(seg_name, NULL, &own) != 0) _exit(10);
        if (apiary_call(own, "echo", "x", 1, NULL, NULL, 0, NULL) != 0) _exit(11);
        if (apiary_detach(own) != 0) _exit(12);
        /* The destructor of the handle's key meets the parent's context, then this one ends the child. */
        if (pthread_key_create(&last_key, end_child) != 0) _exit(13);
        pthread_setspecific(last_key, &last_key);
        pthread_exit(NULL);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    cr_assert_eq(apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL), 0);
    worker_stop(&w);
    assert_sound();
}

/* ---- threads -------------------------------------------------------------------------------------------------- */

struct job {
    apiary_task_t task;
    int result;
    void *loan;
};

static void *delegate_and_end(void *arg)
{
    struct job *job = arg;

    job->result = apiary_delegate(client, "echo", "left behind", 11, NULL, &job->task);
    return NULL;
}

static void *await_and_release(void *arg)
{
    struct job *job = arg;
    apiary_result_t result = {.struct_size = sizeof result};

    job->result = apiary_await(client, job->task, APIARY_FOREVER, &result);
    if (job->result == 0) {
        cr_assert_eq(result.size, 11);
        job->result = apiary_release(client, &result);
    }
    return NULL;
}

static void in_thread(void *(*fn)(void *), struct job *job)
{
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, fn, job), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(job->result, 0, "%s", apiary_strerror(job->result));
}

Test(client, a_task_outlives_its_thread_and_is_awaited_by_another)
{
    struct worker w;
    struct job job = {0};
    uint32_t lanes;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    lanes = lanes_live(client->seg);
    in_thread(delegate_and_end, &job);
    cr_assert_eq(lanes_live(client->seg), lanes + 1, "the lane stays, shared");
    cr_assert_eq(busy_tickets(), 1);
    worker_go(&w);
    in_thread(await_and_release, &job);
    cr_assert_eq(lanes_live(client->seg), lanes, "and closes with its last task");
    cr_assert_eq(slots_in_use(), 0);
    cr_assert_eq(busy_tickets(), 0);
    assert_sound();
    worker_stop(&w);
}

/* A thread knows the context that it used last; that of a handle which is gone must not be taken for that of the next one, whose
 * memory may be the same. */
Test(client, handles_one_after_another)
{
    for (int i = 0; i < 20; i++) {
        apiary_t *a = attach_as("caller"), *b = attach_as("caller");
        struct ap_lane_context *first, *second;
        int error;

        first = ap_context(a, &error);
        second = ap_context(b, &error);
        cr_assert_not_null(first);
        cr_assert_not_null(second);
        cr_assert_eq(first->client, a);
        cr_assert_eq(second->client, b);
        cr_assert_eq(ap_context(a, &error), first);
        cr_assert_eq(ap_context_here(b), second);
        cr_assert_eq(apiary_detach(a), 0);
        cr_assert_eq(ap_context_here(b), second);
        cr_assert_eq(apiary_detach(b), 0);
    }
}

Test(client, another_thread_awaits_while_the_first_goes_on)
{
    struct worker w;
    struct job job = {0};
    pthread_t thread;

    worker_start(&w, "echo");
    ap_store_release(&w.hold, 1);
    cr_assert_eq(apiary_delegate(client, "echo", "left behind", 11, NULL, &job.task), 0);
    sem_wait(&w.took);
    cr_assert_eq(pthread_create(&thread, NULL, await_and_release, &job), 0);
    ap_store_release(&w.hold, 0);
    sem_post(&w.go);
    for (int i = 0; i < 100; i++) cr_assert_eq(apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(job.result, 0);
    cr_assert_eq(slots_in_use(), 0);
    worker_stop(&w);
}

static void *loan_and_end(void *arg)
{
    struct job *job = arg;

    job->result = apiary_loan(client, 1000, &job->loan);
    return NULL;
}

Test(client, a_loan_may_be_used_by_another_thread)
{
    struct worker w;
    struct job job = {0}, second = {0};
    uint32_t lanes;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};

    worker_start(&w, "echo");
    lanes = lanes_live(client->seg);
    in_thread(loan_and_end, &job);
    in_thread(loan_and_end, &second);
    ap_pool_sweep(client->seg);
    cr_assert_eq(blocks_in_use(), 2, "the sweep leaves them alone");
    memset(job.loan, 'z', 1000);
    cr_assert_eq(apiary_delegate_loan(client, "echo", job.loan, 1000, NULL, &task), 0);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    cr_assert_eq(((const char *)result.data)[999], 'z');
    apiary_release(client, &result);
    cr_assert_eq(apiary_unloan(client, second.loan), 0);
    cr_assert_eq(blocks_in_use(), 0);
    cr_assert_eq(lanes_live(client->seg), lanes);
    worker_stop(&w);
}

static sem_t holding, may_end;

static void *hold_a_lane(void *arg)
{
    struct job *job = arg;

    job->result = apiary_delegate(client, "echo", "left behind", 11, NULL, &job->task);
    sem_post(&holding);
    sem_wait(&may_end);
    return NULL;
}

Test(client, detach_before_other_threads_end)
{
    struct worker w;
    struct job job = {0};
    pthread_t thread;
    apiary_t *second;

    worker_start(&w, "echo");
    sem_init(&holding, 0, 0);
    sem_init(&may_end, 0, 0);
    cr_assert_eq(pthread_create(&thread, NULL, hold_a_lane, &job), 0);
    sem_wait(&holding);
    cr_assert_eq(job.result, 0);
    cr_assert_eq(apiary_detach(client), 0);
    sem_post(&may_end);
    pthread_join(thread, NULL); /* its lane was the last: it unmaps */
    second = client = attach_as("caller");
    while (ap_load_acquire(&w.runs) == 0) sched_yield();
    while (slots_in_use() > 0) ap_sweep(second->seg, second->anchor->lane.index, &ap_registry_hooks);
    cr_assert_eq(busy_tickets(), 0);
    cr_assert_eq(lanes_live(second->seg), 3, "the server's two and this one");
    assert_sound();
    worker_stop(&w);
}

static pthread_barrier_t together;

static void *hold_a_descriptor(void *arg)
{
    (void)arg;
    cr_assert_geq(apiary_lane_fd(client), 0);
    pthread_barrier_wait(&together);
    return NULL;
}

/* Their ends are no use of the handle. */
Test(client, detach_while_other_threads_end)
{
    pthread_t threads[8];
    apiary_t *first = client;

    pthread_barrier_init(&together, NULL, 9);
    for (int round = 0; round < 50; round++) {
        client = attach_as("caller");
        for (int i = 0; i < 8; i++) cr_assert_eq(pthread_create(&threads[i], NULL, hold_a_descriptor, NULL), 0);
        pthread_barrier_wait(&together);
        cr_assert_eq(apiary_detach(client), 0);
        for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    }
    client = first;
    cr_assert_eq(lanes_live(client->seg), 1);
    assert_sound();
}

static void *attach_and_end(void *arg)
{
    struct job *job = arg;

    client = attach_as("caller");
    job->result = 0;
    return NULL;
}

Test(client, the_thread_that_attached_may_end)
{
    struct job job = {0};
    apiary_t *first = client;

    in_thread(attach_and_end, &job);
    cr_assert_eq(ap_lane_alive(first->seg, client->anchor->lane.index), 1);
    cr_assert_eq(ap_reap_all(first->seg, first->anchor->lane.index, &ap_registry_hooks), 0);
    cr_assert_eq(apiary_delegate(client, "nobody", "x", 1, NULL, &job.task), APIARY_ENOCAP);
    assert_sound();
    cr_assert_eq(apiary_detach(client), 0);
    client = first;
    cr_assert_eq(lanes_live(client->seg), 1);
    assert_sound();
}

Test(client, no_lane_left)
{
    struct job jobs[64];
    pthread_t threads[64];
    int n = 0, refused = 0;
    struct worker w;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    sem_init(&holding, 0, 0);
    sem_init(&may_end, 0, 0);
    for (; n < 40; n++) {
        cr_assert_eq(pthread_create(&threads[n], NULL, hold_a_lane, &jobs[n]), 0);
        sem_wait(&holding);
        if (jobs[n].result == APIARY_ENOLANE) refused++;
    }
    cr_assert_eq(refused, 40 + 3 - 32);
    for (int i = 0; i < n; i++) sem_post(&may_end);
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
    worker_stop(&w);
}

/* ---- the lane's descriptor ------------------------------------------------------------------------------------ */

Test(client, lane_fd)
{
    struct worker w;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    uint64_t count;
    struct pollfd p = {.events = POLLIN};

    worker_start(&w, "echo");
    p.fd = apiary_lane_fd(client);
    cr_assert_geq(p.fd, 0);
    cr_assert_eq(apiary_lane_fd(client), p.fd);
    cr_assert(fcntl(p.fd, F_GETFD) & FD_CLOEXEC);
    for (int i = 0; i < 300; i++) {
        int r;

        cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
        while ((r = apiary_poll(client, task, &result)) == APIARY_ENOTREADY) {
            cr_assert_eq(poll(&p, 1, 30000), 1, "round %d", i);
            cr_assert_eq(read(p.fd, &count, sizeof count), (ssize_t)sizeof count);
        }
        cr_assert_eq(r, 0);
        apiary_release(client, &result);
    }
    worker_stop(&w);
}

/* A worker that stands still rings nobody's bell. */
Test(client, lane_fd_tells_of_a_deadline)
{
    const apiary_delegate_options_t soon = {.struct_size = sizeof soon, .timeout = 20 * MS};
    struct worker w;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    uint64_t count;
    struct pollfd p = {.events = POLLIN};
    int r;

    worker_start(&w, "echo");
    ap_store_release(&w.hold, 1);
    p.fd = apiary_lane_fd(client);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &soon, &task), 0);
    sem_wait(&w.took);
    while ((r = apiary_poll(client, task, &result)) == APIARY_ENOTREADY) {
        cr_assert_eq(poll(&p, 1, -1), 1);
        cr_assert_eq(read(p.fd, &count, sizeof count), (ssize_t)sizeof count);
    }
    cr_assert_eq(r, APIARY_ETIMEDOUT);
    ap_store_release(&w.hold, 0);
    sem_post(&w.go);
    worker_stop(&w);
}

/* ---- what is not a registry of ours ---------------------------------------------------------------------------- */

Test(client, attach_refuses_another_registry)
{
    struct ap_header *h = client->seg->header;
    char message[256] = "";
    apiary_attach_options_t o = {.struct_size = sizeof o, .message = message, .message_size = sizeof message};
    apiary_t *a;
    struct ap_section was = h->sections[AP_SECTION_CAPABILITIES];

    memcpy(h->sections[AP_SECTION_CAPABILITIES].name, "something", 10);
    cr_assert_eq(apiary_attach(seg_name, &o, &a), APIARY_ECORRUPT);
    cr_assert_neq(message[0], '\0');
    h->sections[AP_SECTION_CAPABILITIES] = was;
    h->fingerprint ^= 1;
    cr_assert_eq(apiary_attach(seg_name, &o, &a), APIARY_EVERSION);
    h->fingerprint ^= 1;
    cr_assert_eq(apiary_attach(seg_name, &o, &a), 0);
    apiary_detach(a);
}

Test(client, geometry_is_judged_at_creation)
{
    struct ap_segment_options o = {.name = "/apiary-registry-never",
                                   .geometry = {.registry = {[AP_REGISTRY_INDEX(CAPABILITIES)] = 1000}}};
    struct ap_segment *seg;
    char message[256] = "";

    cr_assert_eq(ap_registry_create(&o, message, sizeof message, &seg), APIARY_EINVAL);
    cr_assert(strstr(message, "1024") != NULL, "%s", message);
    AP_REGISTRY_NUMBER(&o.geometry, CAPABILITIES) = 0;
    AP_REGISTRY_NUMBER(&o.geometry, SWARMS) = AP_SWARMS_MAX + 1;
    cr_assert_eq(ap_registry_create(&o, message, sizeof message, &seg), APIARY_EINVAL);
    cr_assert(strstr(message, "swarms") != NULL, "%s", message);
}
