/* perf/case_exchange.c - raw, rtt, wake, same-core, stream, open: a request and its reply, as each of the field carries it. */
#include <stdlib.h>

#include "perf/link.h"

#define FIELD_MAX (PERF_SERIES_MAX)

void perf_case_raw(const struct perf_case *c, struct perf_result *r)
{
    struct perf_contestant one = {.name = "raw", .turn = perf_raw_turn};

    (void)c;
    one.state = perf_raw_open(perf_options.pinned ? perf_options.server : -1);
    if (perf_options.pinned) perf_pin(perf_options.client);
    perf_blocks(r, &one, 1);
}

void perf_case_rtt(const struct perf_case *c, struct perf_result *r)
{
    struct perf_contestant field[FIELD_MAX];
    size_t n = perf_field(r, field, c->size, 1, PERF_WITH_RAW);

    perf_blocks(r, field, n);
}

/* Wake: both sides sleep each time; the client and the worker of apiary are told to, and the kernel's own ways do. That it was so
 * is counted: context switches an operation. Same-core: as each does it when it has to share one processor. */
void perf_case_wake(const struct perf_case *c, struct perf_result *r)
{
    struct perf_contestant field[FIELD_MAX];
    unsigned one = c->flag != 0 ? PERF_ONE_PROCESSOR : PERF_PARK | PERF_WITH_RAW;
    const struct perf_link *apiary;
    uint64_t before, sent;
    size_t n;

    if (c->flag == 0) setenv("APIARY_SPIN", "never", 1);
    n = perf_field(r, field, c->size, 1, one);
    unsetenv("APIARY_SPIN");
    apiary = field[0].state;
    before = perf_switches(apiary->pid);
    sent = apiary->sent;
    perf_blocks(r, field, n);
    if (apiary->sent > sent)
        perf_result_row(r, "", (double)(perf_switches(apiary->pid) - before) / (double)(apiary->sent - sent),
                        "voluntary switches of the serving process for each task");
    if (!perf_options.pinned) perf_result_note(r, "pinned all the same");
    if (c->flag == 0) perf_result_note(r, "apiary with APIARY_SPIN=never: it would not sleep in so short a wait");
}

void perf_case_stream(const struct perf_case *c, struct perf_result *r)
{
    struct perf_contestant field[FIELD_MAX];
    size_t n = perf_field(r, field, c->size, c->window, PERF_WITH_RAW | PERF_QUEUES);

    for (size_t i = 0; i < n; i++) {
        if (field[i].turn == perf_raw_turn) continue;
        field[i].turn = perf_turn_window;
        field[i].figure = PERF_FIGURE_MEAN;
    }
    perf_result_note(
        r,
        "ns, p50 to max: from send to reply at a window of %u; figures of blocks and ratios: time by number of replies",
        c->window);
    perf_blocks(r, field, n);
}

static void single(void *link, struct perf_block *b)
{
    perf_turn_window(link, b);
}

/* Beside the others, apiary itself by its calls for one task, at the same window. */
void perf_case_batch(const struct perf_case *c, struct perf_result *r)
{
    struct perf_contestant field[FIELD_MAX + 1];
    size_t n = perf_field(r, field, c->size, c->window, PERF_WITH_RAW | PERF_QUEUES);

    for (size_t i = 0; i < n; i++) {
        if (field[i].turn == perf_raw_turn) continue;
        field[i].turn = perf_turn_batch;
        field[i].figure = PERF_FIGURE_MEAN;
    }
    field[n] = (struct perf_contestant){.name = "single",
                                        .setting = "apiary, a call for each task, as many outstanding",
                                        .state = field[0].state,
                                        .turn = single,
                                        .figure = PERF_FIGURE_MEAN};
    perf_result_note(r, "ns, p50 to max: time of a batch of %u, by its number of tasks; two by turns, %u under way",
                     c->window / 2, c->window);
    perf_blocks(r, field, n + 1);
}

void perf_case_open(const struct perf_case *c, struct perf_result *r)
{
    struct perf_contestant field[FIELD_MAX];
    size_t n = perf_field(r, field, c->size, c->window, PERF_WITH_RAW | PERF_QUEUES);

    for (size_t i = 0; i < n; i++)
        if (field[i].turn != perf_raw_turn) field[i].turn = perf_turn_open;
    perf_result_row(r, "/s", perf_options.rate, "rate asked for");
    perf_blocks(r, field, n);
    for (size_t i = 0; i < n; i++) {
        const struct perf_link *l = field[i].state;
        if (field[i].turn == perf_raw_turn) continue;
        perf_result_row(r, "blocks", (double)l->missed, "%s: rate missed", l->kind->name);
        perf_result_row(r, "%", l->asked > 0 ? 100.0 * (double)l->late / (double)l->asked : 0,
                        "%s: sent later than a whole interval", l->kind->name);
    }
    perf_result_note(r, "ns: from the instant at which an operation was due, whether or not it could be sent then");
}
