/* tests/process/storm_client.h - who delegates in the storm: clients that keep books, and strangers that leave in odd ways. Runs in
 * children of the storm. Part of storm.c. */
#ifndef STORM_CLIENT_H
#define STORM_CLIENT_H

#include "tests/process/storm.h"

/* ---- one client ------------------------------------------------------------------------------------------------- */

struct open_task {
    apiary_task_t task;
    uint64_t index;
    int calm, open, kept;
};

/* Most bodies lie in the slot; some in the pool, in two classes. */
static size_t size_of(uint64_t index)
{
    return index % 64 == 5 ? BODY_MAX : index % 8 == 3 ? 2000 : 64;
}

/* What a task is delegated with, by its number: half of them with nothing. A delay would spoil the order of the calm ones. A kept
 * one has its result fetched by its name. */
static int mix(apiary_delegate_options_t *o, uint64_t index, int calm)
{
    static const struct apiary_retry thrice = {.max_attempts = 3, .backoff = 1};
    uint64_t draw = (index ^ shared->mix) * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    switch (draw % 10) {
    case 0: o->key = index + 1; break;
    case 1: o->retry = thrice; break;
    case 2: o->hops = 3; break;
    case 3: o->flags = APIARY_WAIT_FOR_PROVIDER; break;
    case 4: o->delay = calm ? 0 : draw / 10 % 5000000 + 1; break;
    case 5: o->flags = APIARY_DETACH; o->keep = UINT64_C(3600000000000); break;
    default: break;
    }
    return o->keep != 0;
}

static int task_result(apiary_t *a, const struct open_task *t, apiary_result_t *result)
{
    static _Thread_local uint8_t data[BODY_MAX];

    return t->kept ? apiary_fetch(a, t->task, APIARY_FOREVER, data, sizeof data, result)
                   : apiary_await(a, t->task, APIARY_FOREVER, result);
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
    if (r == 0 && t->kept && apiary_forget(a, t->task) < 0) ap_add_relaxed(&shared->wrong, 1);
    if (r == 0 && !t->kept) apiary_release(a, result);
    t->open = 0;
}

static int submit(apiary_t *a, struct open_task *t, uint64_t turn, uint32_t life, uint32_t *number)
{
    apiary_delegate_options_t options = {.struct_size = sizeof options, .timeout = UINT64_C(3600000000000)};
    static _Thread_local uint8_t body[BODY_MAX];
    int r;

    t->index = ap_add_relaxed(&shared->next, 1);
    if (t->index >= TASKS_MAX) return 0;
    /* One in a window is work, and it takes longer than all the others: a kill finds most queens at it. */
    t->calm = turn % WINDOW != 0;
    t->kept = mix(&options, t->index, t->calm);
    memcpy(body, &t->index, sizeof t->index);
    memcpy(body + 8, (const uint32_t[2]){life, ++*number}, 8);
    ap_store_relaxed(&known[t->index], BEGUN);
    for (;;) {
        r = apiary_delegate(a, t->calm ? "calm_echo" : "work_echo", body, size_of(t->index), &options, &t->task);
        if (r == 0) break;
        ap_add_relaxed(&shared->refused[-r], 1);
        if (r == APIARY_ETABLEFULL && t->kept) { /* no room for its result, which dead clients' have: like any other then */
            options.flags = options.keep = t->kept = 0;
            continue;
        }
        /* "nobody alive offers it now": between a kill and the restart. Not an answer to be had more often than is useful. */
        if (r != APIARY_ENOPROVIDER && r != APIARY_EQUEUEFULL && r != APIARY_ENOSLOT && r != APIARY_ESHARE && r != APIARY_ENOBLOCK)
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
    apiary_result_t result = {.struct_size = sizeof result};
    uint32_t life = (uint32_t)ap_add_relaxed(&shared->lives, 1), number = 0;
    char message[256] = "";
    int r;

    if (apiary_attach(segment, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t), .name = "storm",
                                                          .message = message, .message_size = sizeof message},
                      &a) < 0)
        die("client: %s", message);
    for (uint64_t turn = 0;; turn++) {
        struct open_task *t = &tasks[turn % WINDOW];
        int more = !ap_load_acquire(&shared->stop);

        if (t->open) {
            r = task_result(a, t, &result);
            settle(t, r, &result, a);
        }
        if (more && submit(a, t, turn, life, &number)) continue;
        for (turn = 0; turn < WINDOW; turn++) {
            if (!tasks[turn].open) continue;
            r = task_result(a, &tasks[turn], &result);
            settle(&tasks[turn], r, &result, a);
        }
        break;
    }
    apiary_detach(a);
    _exit(0);
}

/* ---- strangers ---------------------------------------------------------------------------------------------------- */

/* One task that nobody will collect: it is run all the same. */
static void leave_one(apiary_t *a)
{
    struct open_task t = {0};
    uint32_t number = 0;

    submit(a, &t, 1, (uint32_t)ap_add_relaxed(&shared->lives, 1), &number);
}

static apiary_t *attach_stranger(void)
{
    apiary_t *a = NULL;
    char message[256] = "";
    int r;

    while ((r = apiary_attach(segment, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t),
                                                                  .name = "stranger", .message = message,
                                                                  .message_size = sizeof message}, &a)) < 0) {
        if (r != APIARY_ENOLANE) die("stranger: %s", message);
        poll(NULL, 0, 1);
    }
    return a;
}

static void *thread_leaves_one(void *a)
{
    leave_one(a);
    return NULL;
}

static void *thread_execs(void *user)
{
    int ready = *(int *)user;
    apiary_t *a = attach_stranger();

    for (unsigned i = 0; i < STRANGER_TASKS; i++) leave_one(a);
    if (write(ready, "r", 1) != 1) _exit(1);
    execl("/bin/sleep", "sleep", "1000000", (char *)NULL);
    _exit(127);
}

/* Its program is another's after that, and its main thread's number is the only one it has left. */
static void stranger_execs(int ready)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, thread_execs, &ready) != 0) die("no thread");
    for (;;) pause();
}

/* Threads that end before their tasks do; then it waits for its death. */
static void stranger_threads(int ready)
{
    apiary_t *a = attach_stranger();
    pthread_t threads[STRANGER_TASKS];

    for (unsigned i = 0; i < STRANGER_TASKS; i++)
        if (pthread_create(&threads[i], NULL, thread_leaves_one, a) != 0) die("no thread");
    for (unsigned i = 0; i < STRANGER_TASKS; i++) pthread_join(threads[i], NULL);
    if (write(ready, "r", 1) != 1) _exit(1);
    for (;;) pause();
}

/* The same where its number means another process to everybody else. Dies with the one that is to be killed. */
static void stranger_namespace(int ready)
{
    pid_t pid;

    if (unshare(CLONE_NEWPID) != 0) {
        if (write(ready, "s", 1) != 1) _exit(1);
        for (;;) pause();
    }
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stranger_threads(ready);
    }
    for (;;) pause();
}

/* Attached and idle. */
static void stranger_idles(int ready)
{
    attach_stranger();
    if (write(ready, "r", 1) != 1) _exit(1);
    for (;;) pause();
}

/* What it writes to descriptors that it believes to be open must not land in the segment. */
static void stranger_closed(int ready)
{
    static const char text[] = "a message that belongs nowhere\n";
    apiary_t *a;

    for (int fd = 0; fd <= 2; fd++) close(fd);
    a = attach_stranger();
    for (int fd = 0; fd <= 2; fd++)
        if (write(fd, text, sizeof text) > 0) _exit(1);
    for (unsigned i = 0; i < STRANGER_TASKS; i++) leave_one(a);
    if (write(ready, "r", 1) != 1) _exit(1);
    for (;;) pause();
}

#endif
