/* perf/case_step.c - submit, claim: one step of a task's life alone, in ns and in instructions. */
#include "perf/step.h"

#define BATCH 16u

struct state {
    struct perf_bench *bench;
    enum perf_step step;
};

static void case_step_turn(void *state, struct perf_block *b)
{
    const struct state *s = state;
    bool more = true;

    perf_block_begin(b);
    while (more) {
        for (enum perf_step step = PERF_SUBMIT; step <= PERF_COLLECT; step++) {
            if (step == s->step) perf_block_again(b);
            for (unsigned i = 0; i < BATCH; i++)
                perf_bench_step(s->bench, step);
            if (step == s->step) more = perf_block_did(b, BATCH);
        }
    }
    perf_block_end(b);
}

/* c->flag: enum perf_step. */
void perf_case_step(const struct perf_case *c, struct perf_result *r)
{
    static struct state state;
    struct perf_contestant all[2] = {{.name = "apiary", .state = &state, .turn = case_step_turn},
                                     {.name = "raw", .turn = perf_raw_turn}};
    double instructions, lines;
    char why[160];

    state.step = (enum perf_step)c->flag;
    if (perf_step_count(state.step, (struct perf_tables){0}, &instructions, &lines, why, sizeof why)) {
        perf_result_row(r, "", instructions, "instructions");
        perf_result_row(r, "", lines, "cache lines touched");
    } else {
        perf_result_missing(r, "instructions", "%s", why);
    }
    all[1].state = perf_raw_open(perf_options.pinned ? perf_options.server : -1);
    if (perf_options.pinned) perf_pin(perf_options.client);
    state.bench = perf_bench_open((struct perf_tables){0});
    perf_result_note(r, "each sample is the mean of %u; all sides of the task in one thread, so no line travels",
                     BATCH);
    perf_blocks(r, all, 2);
    perf_result_row(r, "ticks", perf_median(r->series[0].figures, r->blocks) / perf_clock_ns,
                    "of the processor's counter, median");
}
