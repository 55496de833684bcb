/* tests/support/spare.h - when a processor was free: times, and what two lists of them have in common.
 *
 * A thread of the scheduler's idle class counts on: it runs only where nobody else wants the processor. What it writes down are the
 * spans in which it ran without a gap of more than SPARE_GAP. It takes no time from anybody, but keeps one processor awake.
 */
#ifndef SPARE_H
#define SPARE_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "core/atomic.h"

#define SPARE_GAP UINT64_C(200000) /* ns */

struct span {
    uint64_t from, to; /* ns, CLOCK_MONOTONIC */
};

/* In their order, apart from each other. */
struct spans {
    struct span *at;
    size_t count, room;
};

static inline uint64_t spare_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* From `from` to `to`, later than all that is in the list. What begins where the last one ends goes on with it. */
static inline void spans_add(struct spans *s, uint64_t from, uint64_t to)
{
    if (s->count != 0 && from <= s->at[s->count - 1].to) {
        s->at[s->count - 1].to = to;
        return;
    }
    if (s->count == s->room) {
        s->room = s->room != 0 ? 2 * s->room : 1024;
        s->at = realloc(s->at, s->room * sizeof *s->at);
        if (s->at == NULL) abort();
    }
    s->at[s->count++] = (struct span){from, to};
}

/* How long both lists have something between `from` and `to`. */
static inline uint64_t spans_common(const struct spans *a, const struct spans *b, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;

    for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
        const struct span *x = &a->at[i], *y = &b->at[k];
        uint64_t begin = x->from > y->from ? x->from : y->from, end = x->to < y->to ? x->to : y->to;

        if (begin < from) begin = from;
        if (end > to) end = to;
        if (begin < end) sum += end - begin;
        if (x->to < y->to) i++;
        else k++;
    }
    return sum;
}

struct spare {
    struct spans free;
    pthread_t thread;
    bool ends;
};

static inline void *spare_main(void *p)
{
    struct spare *s = p;
    const struct sched_param none = {0};
    uint64_t last, now;

    if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) abort();
    for (last = spare_now(); !ap_load_relaxed(&s->ends); last = now) {
        now = spare_now();
        if (now - last <= SPARE_GAP) spans_add(&s->free, last, now);
    }
    return NULL;
}

/* Whether the thread was made. Its list is read after spare_end. */
static inline bool spare_begin(struct spare *s)
{
    *s = (struct spare){.ends = false};
    return pthread_create(&s->thread, NULL, spare_main, s) == 0;
}

static inline void spare_end(struct spare *s)
{
    ap_store_relaxed(&s->ends, true);
    pthread_join(s->thread, NULL);
}

#endif
