/* tests/process/storm_client.h - who delegates in the storm: clients that keep books, and strangers that leave in odd ways. Runs in
 * children of the storm. Part of storm.c. */
#ifndef STORM_CLIENT_H
#define STORM_CLIENT_H

#include "tests/process/storm_mix.h"

/* ---- one client ------------------------------------------------------------------------------------------------- */

/* The parts of one task, as they come: those of an attempt before are void. */
struct reading {
    uint8_t data[BODY_MAX];
    size_t have;
    uint32_t attempt, count;
};

/* 0 all are read, or an error. */
static int read_parts(apiary_t *a, const struct open_task *t, struct reading *ret)
{
    apiary_part_t part = {.struct_size = sizeof part};
    int r;

    ret->have = ret->attempt = ret->count = 0;
    while ((r = apiary_next_part(a, t->task, APIARY_FOREVER, ret->data + ret->have, BODY_MAX - ret->have, &part)) > 0) {
        bool fits = part.size <= BODY_MAX - ret->have;

        if (part.attempt != ret->attempt) {
            if (part.attempt < ret->attempt) ap_add_relaxed(&shared->parts_wrong, 1);
            if (fits) memmove(ret->data, ret->data + ret->have, part.size);
            ret->have = ret->count = 0;
            ret->attempt = part.attempt;
        } else if (!fits) {
            ap_add_relaxed(&shared->parts_wrong, 1);
            return APIARY_ETOOLARGE;
        }
        if (!fits) continue; /* there is room for it now */
        if (part.number != ret->count) ap_add_relaxed(&shared->parts_wrong, 1);
        ap_add_relaxed(&shared->parts, 1);
        ret->have += part.size;
        ret->count++;
    }
    return r;
}

/* What was read of the last attempt, and what follows. */
static void join_parts(struct reading *p, apiary_result_t *result)
{
    if (result->attempts != p->attempt) p->have = p->count = 0;
    if (result->parts != p->count) ap_add_relaxed(&shared->parts_wrong, 1);
    if (p->have + result->size > BODY_MAX) return;
    if (result->size > 0) memcpy(p->data + p->have, result->data, result->size);
}

static int task_result(apiary_t *a, const struct open_task *t, struct reading *p, apiary_result_t *result)
{
    int r = 0;

    p->have = 0;
    if (t->kept) return apiary_fetch(a, t->task, APIARY_FOREVER, p->data, BODY_MAX, result);
    if ((t->options.flags & APIARY_PARTS) != 0) r = read_parts(a, t, p);
    if (r == 0) r = apiary_await(a, t->task, APIARY_FOREVER, result);
    if (r == 0 && (t->options.flags & APIARY_PARTS) != 0) join_parts(p, result);
    return r;
}

static bool is_echo(const struct open_task *t, const struct reading *p, const apiary_result_t *result)
{
    static _Thread_local uint8_t body[BODY_MAX];
    const uint8_t *data = (t->options.flags & APIARY_PARTS) != 0 ? p->data : result->data;

    fill_body(t, body);
    return p->have + result->size == size_of(t->index) && memcmp(data, body, size_of(t->index)) == 0;
}

/* The echo of another task of its key, which was run: COMPLETED if it is its own, SHARED; 0: it is none. */
static int is_shared_echo(const struct open_task *t, const apiary_result_t *result)
{
    static _Thread_local uint8_t body[BODY_MAX];
    struct open_task of = {.index = TASKS_MAX};

    if (result->size < sizeof of.body) return 0;
    memcpy(&of.body, result->data, sizeof of.body);
    of.index = of.body.index;
    if (of.index >= TASKS_MAX || shared_key(of.index) != t->options.dedup_key || result->size != size_of(of.index)) return 0;
    if (ap_load_relaxed(&executed[of.index]) == 0) return 0;
    fill_body(&of, body);
    if (memcmp(result->data, body, size_of(of.index)) != 0) return 0;
    return of.index == t->index ? COMPLETED : SHARED;
}

/* It has one answer, and whoever asks again gets none. */
static void look_at_hedge(apiary_t *a, const struct open_task *t)
{
    apiary_result_t again = {.struct_size = sizeof again};

    ap_add_relaxed(&shared->answered, 1);
    if (apiary_poll(a, t->task, &again) != APIARY_ESTALE) ap_add_relaxed(&shared->answered_twice, 1);
}

static void settle(apiary_t *a, struct open_task *t)
{
    static _Thread_local struct reading parts;
    apiary_result_t result = {.struct_size = sizeof result};
    int r = task_result(a, t, &parts, &result), code = r < 0 ? r : result.code, asked = as_asked(t, code, &result);
    uint8_t state = ap_load_relaxed(&known[t->index]);

    if (state != DELEGATED && state != OFFERED) ap_add_relaxed(&shared->doubled, 1);
    if (code == 0 && (t->may & MAY_SHARE) != 0) {
        asked = is_shared_echo(t, &result);
        if (asked == 0) ap_add_relaxed(&shared->wrong, 1);
        ap_store_relaxed(&known[t->index], (uint8_t)(asked != 0 ? asked : COMPLETED));
    } else if (code == 0) {
        if (!is_echo(t, &parts, &result) || (t->body.ask & STORMY_LINGERS) != 0) ap_add_relaxed(&shared->wrong, 1);
        ap_store_relaxed(&known[t->index], COMPLETED);
    } else if (asked != 0) {
        ap_add_relaxed(&shared->ends[-code], 1);
        ap_store_relaxed(&known[t->index], (uint8_t)asked);
    } else {
        ap_add_relaxed(&shared->codes[-code], 1);
        if (t->calm) ap_add_relaxed(&shared->calm_failed, 1);
        ap_store_relaxed(&known[t->index], FAILED);
    }
    if (r == 0 && t->kept && apiary_forget(a, t->task) < 0) ap_add_relaxed(&shared->wrong, 1);
    if (r == 0 && !t->kept) apiary_release(a, &result);
    if (t->options.hedge != 0) look_at_hedge(a, t);
    t->open = 0;
}

/* What may change a refusal that is to last: 1, it has been changed. */
static int give_way(struct open_task *t, int r)
{
    apiary_delegate_options_t *o = &t->options;

    if (r == APIARY_ETABLEFULL && t->kept) { /* no room for its result, which dead clients' have: like any other then */
        o->flags &= ~(uint32_t)APIARY_DETACH;
        o->keep = 0;
        t->kept = 0;
    } else if ((r == APIARY_EFORBIDDEN || r == APIARY_ENOPROVIDER) && o->provider != 0) { /* not that one, or it has gone */
        o->provider = 0;
    } else if (r == APIARY_EBACKLOG && (o->timeout < HOUR || o->schedule_to_start == SHORT)) { /* too short a time now */
        o->timeout = HOUR;
        o->provider = 0;
        if (o->schedule_to_start != 0) o->schedule_to_start = HOUR;
        if ((t->body.ask & STORMY_LINGERS) != 0) o->start_to_close = SHORT;
    } else {
        return 0;
    }
    return 1;
}

/* "nobody alive offers it now": between a kill and the restart. Not an answer to be had more often than is useful. */
static void wait_after(int r)
{
    static const int loads[] = {APIARY_ENOPROVIDER, APIARY_EQUEUEFULL, APIARY_ENOSLOT, APIARY_ESHARE, APIARY_ENOBLOCK,
                                APIARY_ELIMIT};

    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        if (r != loads[i]) continue;
        poll(NULL, 0, 1);
        return;
    }
    die("delegate: %s", apiary_strerror(r));
}

/* A caller whom the rules deny, or do not allow, is refused, whatever else is so. */
static void try_forbidden(apiary_t *a, const char *caller)
{
    const struct stormy body = {.index = UINT64_MAX, .life = UINT32_MAX};
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH};

    if (caller != NULL && strcmp(caller, "thief") != 0) return;
    if (apiary_delegate(a, caller != NULL ? "work_echo" : "narrow_echo", &body, sizeof body, &o, NULL) == 0)
        ap_add_relaxed(&shared->admitted, 1);
}

/* What its caller has not collected keeps the blocks and places that others wait for. `all`: of the caller, NULL: it collects none.
 * The oldest first: 1, or 0 when there is none. */
static int collect_one(apiary_t *a, struct open_task *all, uint64_t turn)
{
    for (uint64_t i = 1; all != NULL && i < WINDOW; i++) {
        struct open_task *t = &all[(turn + i) % WINDOW];

        if (!t->open) continue;
        settle(a, t);
        return 1;
    }
    return 0;
}

static int submit(apiary_t *a, struct open_task *t, struct open_task *all, uint64_t turn, uint32_t life, uint32_t *number,
                  const char *caller)
{
    static _Thread_local uint8_t body[BODY_MAX];
    int r;

    t->index = ap_add_relaxed(&shared->next, 1);
    if (t->index >= TASKS_MAX) return 0;
    t->body = (struct stormy){.index = t->index, .life = life, .number = ++*number};
    mix(a, t, caller, turn);
    fill_body(t, body);
    if (turn % WINDOW == 1) try_forbidden(a, caller);
    ap_store_relaxed(&known[t->index], BEGUN);
    while ((r = apiary_delegate(a, t->capability, body, size_of(t->index), &t->options, &t->task)) < 0) {
        ap_add_relaxed(&shared->refused[-r], 1);
        if (give_way(t, r)) continue;
        if (apiary_retry_after(r) == 0 || !collect_one(a, all, turn)) wait_after(r);
    }
    ap_store_relaxed(&known[t->index], t->may != 0 ? OFFERED : DELEGATED);
    t->open = 1;
    return 1;
}

static void client(void)
{
    struct open_task tasks[WINDOW] = {0};
    apiary_t *a = NULL;
    uint32_t life = (uint32_t)ap_add_relaxed(&shared->lives, 1), number = 0;
    const char *caller = callers[life % 4];
    char message[256] = "";

    if (apiary_attach(segment, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t), .name = "storm",
                                                          .swarm = caller, .message = message, .message_size = sizeof message},
                      &a) < 0)
        die("client: %s", message);
    for (uint64_t turn = 0;; turn++) {
        struct open_task *t = &tasks[turn % WINDOW];
        int more = !ap_load_acquire(&shared->stop);

        if (t->open) settle(a, t);
        if (more && submit(a, t, tasks, turn, life, &number, caller)) continue;
        for (turn = 0; turn < WINDOW; turn++)
            if (tasks[turn].open) settle(a, &tasks[turn]);
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

    submit(a, &t, NULL, 2, (uint32_t)ap_add_relaxed(&shared->lives, 1), &number, NULL);
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

/* Has one task done, and leaves. */
__attribute__((noreturn)) static void stranger_asks(const char *capability)
{
    const struct stormy body = {.index = UINT64_MAX, .life = UINT32_MAX};
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = HOUR};
    apiary_t *a = attach_stranger();
    struct stormy echo;
    size_t size = 0;
    int r = apiary_call(a, capability, &body, sizeof body, &o, &echo, sizeof echo, &size);

    if (r < 0) fprintf(stderr, "%s: %s\n", capability, apiary_strerror(r));
    apiary_detach(a);
    _exit(r < 0 || size != sizeof body || memcmp(&body, &echo, sizeof body) != 0);
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
