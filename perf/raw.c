/* perf/raw.c - the limit: one word in one cache line, to another processor and back. */
#include <stdlib.h>

#include "perf/perf.h"

#define PATIENCE 256u /* looks before the server asks whether its turn is over */

struct perf_raw {
    struct perf_control *control;
    uint64_t number;
};

static void raw_serve(void *arg)
{
    struct perf_control *c = arg;
    uint64_t *word = &c->word, seen = 0;

    perf_ready(c);
    while (perf_await_turn(c)) {
        unsigned looks = 0;
        for (;;) {
            uint64_t v = ap_load_acquire(word); /* RAW: odd, a request */
            if (v != seen && v % 2 == 1) {
                seen = v + 1;
                ap_store_release(word, seen); /* RAW: even, its answer */
                looks = 0;
                continue;
            }
            ap_pause();
            if (++looks % PATIENCE == 0 && !perf_turn_on(c)) break;
        }
    }
}

struct perf_raw *perf_raw_open(int processor)
{
    struct perf_raw *raw = calloc(1, sizeof *raw);

    if (raw == NULL) perf_die("out of memory");
    raw->control = perf_shared(sizeof *raw->control);
    perf_fork(processor, raw_serve, raw->control);
    perf_await_ready(raw->control);
    return raw;
}

void perf_raw_turn(void *state, struct perf_block *b)
{
    struct perf_raw *raw = state;
    uint64_t *word = &raw->control->word, n = raw->number;

    perf_give_turn(raw->control);
    perf_block_begin(b);
    do {
        ap_store_release(word, n + 1);
        n += 2;
        while (ap_load_acquire(word) != n)
            ap_pause();
    } while (perf_block_did(b, 1));
    perf_block_end(b);
    raw->number = n;
    perf_end_turn(raw->control);
    perf_await_idle(raw->control);
}
