/* registry/monitor/monitor_wait.c - see monitor_wait.h. */
#include "registry/monitor/monitor_wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/apiary.h"
#include "core/atomic.h"

#define RING_ENTRIES 64u
#define LOOK UINT64_C(10000000) /* 10 ms */
#define NSEC UINT64_C(1000000000)
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define DATA(tag, serial) ((uint64_t)(serial) << 32 | ((uint64_t)(tag) + 1)) /* 0: nobody's */

static int choose(struct ap_waits *w)
{
    int forced = ap_park_forced();

    if (forced < 0) return APIARY_EINVAL;
    w->way = forced == AP_PARK_POLL ? AP_PARK_POLL : AP_PARK_PARKER;
    if (forced != AP_PARK_ANY && forced != AP_PARK_URING) return 0;
    if (ap_uring_open(&w->ring, RING_ENTRIES) == 0) {
        if (ap_uring_can_futex(&w->ring)) {
            w->way = AP_PARK_URING;
            return 0;
        }
        io_uring_queue_exit(&w->ring);
    }
    return forced == AP_PARK_URING ? APIARY_ENOTSUP : 0;
}

int ap_waits_open(struct ap_waits *w, const struct ap_ops *ops, uint32_t count)
{
    int r;

    memset(w, 0, sizeof *w);
    w->ops = ops;
    w->count = count;
    w->waits = calloc(count, sizeof *w->waits);
    if (w->waits == NULL) return APIARY_ENOBLOCK;
    r = choose(w);
    if (r < 0) free(w->waits);
    return r;
}

void ap_waits_close(struct ap_waits *w)
{
    if (w->way == AP_PARK_URING) io_uring_queue_exit(&w->ring);
    free(w->waits);
    w->waits = NULL;
}

/* ---- what is waited for --------------------------------------------------------------------------------------- */

void ap_waits_word(struct ap_waits *w, uint32_t tag, const uint32_t *word, uint32_t value)
{
    struct ap_wait *wait = &w->waits[tag];

    wait->value = value;
    if (wait->armed) return;
    wait->word = word;
    if (w->way == AP_PARK_URING) {
        struct io_uring_sqe *sqe = ap_uring_sqe(&w->ring);
        w->refused |= sqe == NULL;
        if (sqe == NULL) return;
        ap_uring_prep_futex_wait(sqe, word, value);
        io_uring_sqe_set_data64(sqe, DATA(tag, ++wait->serial));
    }
    wait->armed = true;
}

/* ---- sleep ---------------------------------------------------------------------------------------------------- */

/* Only if the word has changed: two who woke each other for nothing would never stop. */
static void fired(struct ap_waits *w, struct ap_wait *wait)
{
    if (ap_load_acquire(wait->word) != wait->value) w->ops->futex_wake(wait->word, INT_MAX);
    wait->armed = false;
}

static void sleep_uring(struct ap_waits *w, uint64_t until)
{
    struct io_uring_cqe *cqe;

    if (w->refused) until = w->ops->now() + LOOK < until ? w->ops->now() + LOOK : until;
    w->refused = false;
    if (ap_uring_wait(&w->ring, until == UINT64_MAX ? 0 : w->ops->now(), until) < 0) {
        /* Other code in the process has closed the ring's descriptor. Armed waits stay armed, and are waited for without a ring. */
        ap_uring_forget(&w->ring);
        w->way = AP_PARK_PARKER;
        return;
    }
    while (ap_uring_ready(&w->ring) && io_uring_peek_cqe(&w->ring, &cqe) == 0) {
        uint64_t data = io_uring_cqe_get_data64(cqe), tag = (data & UINT32_MAX) - 1;

        io_uring_cqe_seen(&w->ring, cqe);
        if (data != 0 && tag < w->count && w->waits[tag].armed && w->waits[tag].serial == data >> 32)
            fired(w, &w->waits[tag]);
    }
}

static bool word_changed(const struct ap_wait *wait)
{
    return ap_load_acquire(wait->word) != wait->value;
}

/* The words that futex_waitv will wait for; *rest is set when something is left out. */
static unsigned collect(const struct ap_waits *w, struct futex_waitv set[FUTEX_WAITV_MAX], bool *rest)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < w->count; i++) {
        const struct ap_wait *wait = &w->waits[i];
        if (!wait->armed) continue;
        if (n == FUTEX_WAITV_MAX) {
            *rest = true;
            continue;
        }
        set[n++] = (struct futex_waitv){.val = wait->value, .uaddr = (uintptr_t)wait->word, .flags = FUTEX_32};
    }
    return n;
}

static void sleep_waitv(struct ap_waits *w, uint64_t until)
{
    struct futex_waitv set[FUTEX_WAITV_MAX];
    struct timespec limit;
    bool rest = false;
    unsigned n = collect(w, set, &rest);
    uint64_t look = w->ops->now() + LOOK;

    if (rest && look < until) until = look;
    limit.tv_sec = (time_t)(until / NSEC);
    limit.tv_nsec = (long)(until % NSEC);
    if (n > 0 && syscall(SYS_futex_waitv, set, n, 0, until == UINT64_MAX ? NULL : &limit, CLOCK_MONOTONIC) < 0 &&
        errno != EAGAIN && errno != ETIMEDOUT && errno != EINTR)
        w->way = AP_PARK_POLL; /* not here */
}

static void sleep_look(struct ap_waits *w, uint64_t until)
{
    uint64_t look = w->ops->now() + LOOK;

    /* The first armed word is the caller's own, so that it can be woken. */
    for (uint32_t i = 0; i < w->count; i++) {
        const struct ap_wait *wait = &w->waits[i];
        if (!wait->armed) continue;
        w->ops->futex_wait(wait->word, wait->value, look < until ? look : until);
        return;
    }
}

void ap_waits_sleep(struct ap_waits *w, uint64_t until)
{
    if (w->way == AP_PARK_URING) {
        sleep_uring(w, until);
        return;
    }
    if (w->way == AP_PARK_PARKER)
        sleep_waitv(w, until);
    else
        sleep_look(w, until);
    for (uint32_t i = 0; i < w->count; i++) {
        struct ap_wait *wait = &w->waits[i];
        if (wait->armed && word_changed(wait)) fired(w, wait);
    }
}
