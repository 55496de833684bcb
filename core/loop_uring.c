/* core/loop_uring.c - the loop on an io_uring. See loop_inside.h.
 *
 * Descriptors are watched by one POLL_ADD each, given anew after each event: level-triggered, on every kernel that has a ring.
 * Each word has at most one FUTEX_WAIT in the ring. One that is left over from an earlier park still stands in the kernel's
 * queue of that word, whatever value it began with: any wake completes it. So it is not replaced.
 */
#include "core/loop_inside.h"

#define EVENTS_AT_ONCE 128 /* completions of one dispatch, so that a flood leaves room for tasks */

/* user_data: a watch (aligned), or one of these in the low bits. */
enum { TAG_NONE = 1, TAG_WAKE = 2, TAG_WORD = 3, TAG_BITS = 2, TAG_MASK = 3 };

static bool arm(struct ap_loop *loop, int fd, uint32_t events, uint64_t data)
{
    struct io_uring_sqe *sqe = ap_uring_sqe(&loop->ring);

    if (sqe == NULL) return false;
    io_uring_prep_poll_add(sqe, fd, events);
    io_uring_sqe_set_data64(sqe, data);
    return true;
}

int ap_loop_uring_watch(struct ap_watch *watch)
{
    watch->armed = arm(watch->loop, watch->fd, watch->events, (uint64_t)(uintptr_t)watch);
    return watch->armed ? 0 : APIARY_ESYS;
}

static bool arm_word(struct ap_loop *loop, const uint32_t *word, uint32_t value, uint64_t data)
{
    struct io_uring_sqe *sqe = ap_uring_sqe(&loop->ring);

    if (sqe == NULL) return false;
    ap_uring_prep_futex_wait(sqe, word, value);
    io_uring_sqe_set_data64(sqe, data);
    return true;
}

bool ap_loop_uring_word(struct ap_loop *loop, uint32_t number)
{
    const struct ap_word *w = &loop->words[number];

    return arm_word(loop, w->word, w->value, (uint64_t)number << TAG_BITS | TAG_WORD);
}

/* Submitted at once: the ring holds the file open, and its other end would not see the agent's close. */
void ap_loop_uring_close(struct ap_watch *watch)
{
    struct io_uring_sqe *sqe = ap_uring_sqe(&watch->loop->ring);

    if (sqe == NULL) return; /* buried with its next event */
    io_uring_prep_poll_remove(sqe, (uint64_t)(uintptr_t)watch);
    io_uring_sqe_set_data64(sqe, TAG_NONE);
    io_uring_submit(&watch->loop->ring);
}

static int complete_watch(struct ap_watch *watch, int result)
{
    watch->armed = false;
    if (watch->closed) {
        ap_loop_bury(watch);
        return 0;
    }
    watch->failed = result < 0 || (result & POLLNVAL) != 0;
    ap_loop_call(watch, result < 0 ? POLLERR : (uint32_t)result);
    /* Burying waits for the end of the dispatch, so the watch may be read here even if its callback closed it. */
    if (watch->closed || watch->failed || ap_loop_uring_watch(watch) == 0) return 1;
    watch->failed = true;
    ap_loop_call(watch, POLLERR);
    return 1;
}

static bool arm_wake(struct ap_loop *loop)
{
    if (loop->park == AP_PARK_URING) return arm_word(loop, &loop->woken, 0, TAG_WAKE);
    return loop->event_fd >= 0 && arm(loop, loop->event_fd, POLLIN, TAG_WAKE);
}

static void complete_wake(struct ap_loop *loop, int result)
{
    loop->wake_armed = false;
    if (loop->park == AP_PARK_URING) return;
    if (result < 0 || (result & POLLNVAL) != 0) loop->lost = true;
    else ap_loop_drain_event(loop);
}

static int complete(struct ap_loop *loop, uint64_t data, int result)
{
    switch (data & TAG_MASK) {
    case TAG_NONE: return 0;
    case TAG_WAKE: complete_wake(loop, result); return 0;
    case TAG_WORD: ap_loop_word_ended(loop, (uint32_t)(data >> TAG_BITS)); return 0;
    default: return complete_watch((struct ap_watch *)(uintptr_t)data, result);
    }
}

int ap_loop_uring_dispatch(struct ap_loop *loop)
{
    int n = 0;

    if (io_uring_sq_ready(&loop->ring) != 0) io_uring_submit(&loop->ring);
    for (int i = 0; i < EVENTS_AT_ONCE && ap_uring_ready(&loop->ring); i++) {
        struct io_uring_cqe *cqe;
        uint64_t data;
        int result;

        if (io_uring_peek_cqe(&loop->ring, &cqe) < 0) break;
        data = io_uring_cqe_get_data64(cqe);
        result = cqe->res;
        io_uring_cqe_seen(&loop->ring, cqe);
        n += complete(loop, data, result);
    }
    return n;
}

/* The ring took nothing: to be tried again, unless it never will. */
static void uring_judge(struct ap_loop *loop)
{
    loop->lost |= ap_uring_lost(io_uring_submit(&loop->ring));
}

void ap_loop_uring_park(struct ap_loop *loop, uint64_t until)
{
    if (!loop->wake_armed) loop->wake_armed = arm_wake(loop);
    /* Nothing would end a sleep that ap_loop_wake cannot, or that the ring was to end and did not take. */
    if (!loop->wake_armed || loop->refused) {
        loop->refused = false;
        uring_judge(loop);
        until = loop->lost ? 0 : ap_loop_soon(loop, until);
    }
    if (until == 0) return;
    loop->lost |= ap_uring_wait(&loop->ring, until == UINT64_MAX ? 0 : loop->ops->now(), until) < 0;
}

void ap_loop_uring_again(struct ap_loop *loop)
{
    loop->wake_armed = false;
    for (uint32_t i = 0; i < loop->word_count; i++) loop->words[i].stands = false; /* whoever gave it gives it again */
    for (struct ap_watch *watch = loop->watches, *next; watch != NULL; watch = next) {
        next = watch->next;
        if (watch->fd < 0) continue;
        watch->armed = false;
        if (watch->closed)
            ap_loop_bury(watch);
        else if (!watch->failed && loop->park != AP_PARK_POLL && ap_loop_uring_watch(watch) < 0)
            watch->failed = true;
    }
}
