/* core/loop_words.c - the words of a loop, and how it sleeps on them without a ring. See loop_inside.h. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/loop_inside.h"

#define NSEC UINT64_C(1000000000)
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

void ap_loop_word(struct ap_loop *loop, uint32_t number, const uint32_t *word, uint32_t value, bool pass_on)
{
    struct ap_word *w = &loop->words[number];

    w->value = value;
    if (ap_load_acquire(word) != value) loop->rush = true;
    if (w->stands) return;
    w->word = word;
    w->pass_on = pass_on;
    w->stands = loop->park != AP_PARK_URING || ap_loop_uring_word(loop, number);
    loop->refused |= !w->stands;
}

bool ap_loop_word_stands(const struct ap_loop *loop, uint32_t number)
{
    return loop->words[number].stands;
}

static bool word_changed(const struct ap_word *w)
{
    return ap_load_acquire(w->word) != w->value;
}

/* Passed on only if the word has changed: two who woke each other for nothing would never stop. */
void ap_loop_word_ended(struct ap_loop *loop, uint32_t number)
{
    struct ap_word *w = &loop->words[number];

    w->stands = false;
    if (w->pass_on && word_changed(w)) loop->ops->futex_wake(w->word, INT_MAX);
}

void ap_loop_words_look(struct ap_loop *loop)
{
    for (uint32_t i = 0; i < loop->word_count; i++)
        if (loop->words[i].stands && word_changed(&loop->words[i])) ap_loop_word_ended(loop, i);
}

/* ---- futex_waitv ---------------------------------------------------------------------------------------------- */

static struct futex_waitv waitv_of(const uint32_t *word, uint32_t value)
{
    return (struct futex_waitv){.val = value, .uaddr = (uintptr_t)word, .flags = FUTEX_32};
}

static int waitv(const struct futex_waitv *set, unsigned n, uint64_t until)
{
    const struct timespec limit = {.tv_sec = (time_t)(until / NSEC), .tv_nsec = (long)(until % NSEC)};

    return syscall(SYS_futex_waitv, set, n, 0, until == UINT64_MAX ? NULL : &limit, CLOCK_MONOTONIC) < 0 ? -errno : 0;
}

bool ap_loop_waitv_works(void)
{
    /* The word differs from what is waited for, so a kernel that knows the call answers at once. */
    const uint32_t word = 1;
    const struct futex_waitv set = waitv_of(&word, 0);

    return waitv(&set, 1, UINT64_MAX) == -EAGAIN;
}

void ap_loop_words_sleep(struct ap_loop *loop, uint64_t until)
{
    struct futex_waitv set[FUTEX_WAITV_MAX];
    unsigned n = 0;
    int r;

    if (until == 0) return;
    set[n++] = waitv_of(&loop->woken, 0);
    for (uint32_t i = 0; i < loop->word_count; i++) {
        const struct ap_word *w = &loop->words[i];
        if (!w->stands) continue;
        if (n == FUTEX_WAITV_MAX) {
            until = ap_loop_soon(loop, until);
            break;
        }
        set[n++] = waitv_of(w->word, w->value);
    }
    r = waitv(set, n, until);
    if (r < 0 && r != -EAGAIN && r != -ETIMEDOUT && r != -EINTR) loop->waitv = false; /* not here any more */
}
