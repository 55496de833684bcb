/* perf/block.c - one turn of one contestant, and the blocks in which all have theirs. */
#include <math.h>
#include <stdlib.h>

#include "perf/perf.h"

#define LEAST 8u  /* samples of a turn, however slow */
#define WARM 256u /* operations before a turn counts, at most a quarter of its time */

struct perf_options perf_options = {.blocks = 30, .block_ms = 20, .pinned = true, .rate = 20000, .seconds = 20};

void perf_block_begin(struct perf_block *b)
{
    b->count = 0;
    b->operations = 0;
    b->elapsed = 0;
    b->limit = perf_options.block_ms * 1e6 / perf_clock_ns;
    b->began = b->last = perf_ticks();
}

/* Counting begins with the next operation. */
static void warmed(struct perf_block *b, uint64_t now)
{
    b->warm = 0;
    b->outside = 0;
    b->began = b->last = now;
}

static bool warming(struct perf_block *b, unsigned operations, uint64_t now)
{
    b->warm -= b->warm < operations ? b->warm : operations;
    b->last = now;
    if (b->warm == 0 || (double)(now - b->began) > b->limit / 4) warmed(b, now);
    return true;
}

static bool enough(const struct perf_block *b, uint64_t now, uint64_t done)
{
    if (b->quota != 0 && b->operations >= b->quota) return true;
    return done >= b->least && (double)(now - b->began) > b->limit;
}

bool perf_block_did(struct perf_block *b, unsigned operations)
{
    uint64_t now = perf_ticks();
    double ns;

    if (b->warm > 0) return warming(b, operations, now);
    ns = (double)(now - b->last) * perf_clock_ns - perf_clock_cost;
    b->samples[b->count++] = ns > 0 ? ns / operations : 0;
    b->operations += operations;
    b->last = now;
    return b->count < PERF_SAMPLES_MAX && !enough(b, now, b->count);
}

void perf_block_again(struct perf_block *b)
{
    uint64_t now = perf_ticks();

    b->outside += (double)(now - b->last);
    b->last = now;
}

bool perf_block_count(struct perf_block *b, unsigned operations)
{
    uint64_t now = perf_ticks();

    if (b->warm > 0) return warming(b, operations, now);
    b->operations += operations;
    b->last = now;
    return b->count < PERF_SAMPLES_MAX && !enough(b, now, b->operations);
}

void perf_block_sample(struct perf_block *b, double ns)
{
    if (b->count < PERF_SAMPLES_MAX) b->samples[b->count++] = ns > 0 ? ns : 0;
}

void perf_block_end(struct perf_block *b)
{
    b->elapsed = ((double)(b->last - b->began) - b->outside) * perf_clock_ns;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static void block_turn(struct perf_result *r, size_t block, size_t which, const struct perf_contestant *c, double *samples)
{
    struct perf_series *s = &r->series[which];
    struct perf_block b = {.samples = samples, .least = LEAST, .figure = c->figure, .quota = c->quota};

    b.warm = c->warm != 0 ? c->warm : c->quota != 0 ? 1 : WARM;
    c->turn(c->state, &b);
    if (b.operations == 0) perf_die("%s: a turn of %s without an operation", r->name, c->name);
    s->figures[block] =
        c->figure == PERF_FIGURE_MEAN ? b.elapsed / (double)b.operations : perf_median(b.samples, b.count);
    for (size_t i = 0; i < b.count; i++)
        ap_hist_add(s->hist, (uint64_t)(b.samples[i] + 0.5));
    if (b.merge != NULL) ap_hist_merge(s->hist, b.merge);
    s->operations += (double)b.operations;
    s->ns += b.elapsed;
}

/* The order turns by one each block and is reversed in every other, so that nobody always follows the same. */
static size_t position(size_t block, size_t i, size_t n)
{
    size_t at = (i + block / 2) % n;

    return block % 2 == 0 ? at : n - 1 - at;
}

void perf_blocks(struct perf_result *r, const struct perf_contestant *contestants, size_t n)
{
    double *samples = malloc(PERF_SAMPLES_MAX * sizeof *samples);

    if (samples == NULL) perf_die("out of memory");
    for (size_t i = 0; i < PERF_SAMPLES_MAX; i++)
        samples[i] = 0; /* its pages are there before anything is timed */
    for (size_t i = 0; i < n; i++)
        perf_result_series(r, contestants[i].name, contestants[i].setting);
    for (size_t block = 0; block < r->blocks; block++) {
        for (size_t i = 0; i < n; i++) {
            size_t which = position(block, i, n);
            block_turn(r, block, which, &contestants[which], samples);
        }
    }
    free(samples);
}
