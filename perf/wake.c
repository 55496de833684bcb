/* perf/wake.c - the least that tells a sleeping process something: one futex wake, until it runs. */
#include "perf/perf.h"

static void sleeper(void *arg)
{
    struct perf_control *c = arg;
    uint32_t *word = &c->active, seen = 0;

    perf_ready(c);
    for (;;) {
        while (ap_load_acquire(word) == seen)
            ap_ops_system.futex_wait(word, seen, UINT64_MAX);
        perf_told(c);
        seen++;
    }
}

struct perf_control *perf_wake_open(int processor)
{
    struct perf_control *c = perf_shared(sizeof *c);

    perf_fork(processor, sleeper, c);
    perf_await_ready(c);
    return c;
}

void perf_told(struct perf_control *c)
{
    ap_store_release(&c->more[0], perf_ticks());
}

void perf_tell_turn(struct perf_control *c, void (*tell)(void *arg), void *arg, struct perf_block *b)
{
    perf_block_begin(b);
    for (unsigned i = 0; i < PERF_TELLS_A_BLOCK; i++) {
        uint64_t from, told;

        perf_nap(PERF_TO_SLEEP_MS);
        ap_store_relaxed(&c->more[0], 0);
        from = perf_ticks();
        tell(arg);
        while ((told = ap_load_acquire(&c->more[0])) == 0)
            ap_pause();
        perf_block_sample(b, (double)(told - from) * perf_clock_ns);
    }
    b->operations = PERF_TELLS_A_BLOCK;
    b->last = perf_ticks();
    perf_block_end(b);
}

static void wake(void *arg)
{
    struct perf_control *c = arg;

    ap_add_acq_rel(&c->active, 1);
    ap_ops_system.futex_wake(&c->active, 1);
}

void perf_wake_turn(void *state, struct perf_block *b)
{
    perf_tell_turn(state, wake, state, b);
}
