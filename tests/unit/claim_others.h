/* tests/unit/claim_others.h - other threads and processes that claim, and wait. */
#ifndef CLAIM_OTHERS_H
#define CLAIM_OTHERS_H

#include "claim_fixture.h"

#include <sys/prctl.h>

/* Another thread claims, and tells when it has. */
struct other {
    pthread_t thread;
    apiary_t *a;
    const char *key;
    uint64_t ttl, timeout;
    uint32_t policy, flags;
    int result, told;
    apiary_claim_t claim;
    sem_t done, end;
    uint32_t *order, place; /* place: set before the order goes on */
};

static inline void *other_main(void *arg)
{
    struct other *o = arg;

    o->result = claims_of(o->a, o->key, o->ttl, o->policy, o->flags, o->timeout, &o->claim);
    if (o->order != NULL && o->result == 0) {
        ap_store_relaxed(&o->place, ap_load_acquire(o->order)); /* who has the claim is alone */
        ap_store_release(o->order, o->place + 1);
    }
    sem_post(&o->done);
    sem_wait(&o->end);
    return NULL;
}

static inline void other_start(struct other *o)
{
    if (o->a == NULL) o->a = client;
    sem_init(&o->done, 0, 0);
    sem_init(&o->end, 0, 0);
    cr_assert_eq(pthread_create(&o->thread, NULL, other_main, o), 0);
}

static inline void other_end(struct other *o)
{
    sem_post(&o->end);
    pthread_join(o->thread, NULL);
}

/* So many wait for the key. */
static inline void until_waiting(const char *key, uint32_t n)
{
    struct ap_claim_view view;

    for (uint32_t i = 0;; i = (i + 1) % 16) {
        if (ap_claim_read(seg, i, &view) && strcmp(view.key, key) == 0 && view.waiting == n) return;
        sched_yield();
    }
}

static inline struct ap_claim *held_row(void)
{
    for (uint32_t i = 0; i < 16; i++)
        if (AP_CLAIM_STATE(ap_claim_at(seg, i)->word) == AP_CLAIM_HELD) return ap_claim_at(seg, i);
    cr_assert_fail("no claim is held");
    return NULL;
}

static inline pid_t child(void (*body)(apiary_t *))
{
    int ends[2];
    pid_t pid;
    char c;

    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        apiary_t *a;
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when it is stopped */
        if (apiary_attach(seg_name, NULL, &a) < 0) _exit(1);
        body(a);
        if (write(ends[1], "r", 1) != 1) _exit(2);
        for (;;) pause();
    }
    close(ends[1]);
    cr_assert_eq(read(ends[0], &c, 1), 1);
    close(ends[0]);
    return pid;
}

static inline void child_kill(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
}

static inline void holds_k(apiary_t *a)
{
    apiary_claim_t claim;

    if (claims_of(a, "k", APIARY_FOREVER, 0, 0, 0, &claim) != 0) _exit(3);
}

static inline void *waits_main(void *arg)
{
    apiary_claim_t claim;

    claims_of(arg, "k", APIARY_FOREVER, APIARY_CLAIM_WAIT, 0, 0, &claim);
    return NULL;
}

static inline void waits_then_ready(apiary_t *a)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, waits_main, a) != 0) _exit(4);
}

#endif
