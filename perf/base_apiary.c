/* perf/base_apiary.c - the subject: delegate by the capability's name, await, release; an agent in another process reads the
 * body where it lies and returns it. */
#include <stdlib.h>

#include "perf/link.h"
#include "shm/segment.h"

#define BULKHEAD 100u /* the default of a segment */

struct state {
    unsigned segment;
    apiary_t *a;
    apiary_task_t *tasks; /* of the window, by number; a batch may begin near its end */
    apiary_result_t result, *results;
    apiary_request_t *requests; /* of a batch, with their bodies */
    uint8_t *bodies;
    struct perf_queen queen;
};

static bool base_apiary_make(struct perf_link *l, char *why, size_t size)
{
    static unsigned segments;
    /* A window beyond the default bulkhead needs a wider one. */
    struct ap_geometry geometry = {.max_concurrent_delegations = l->window > BULKHEAD ? l->window : BULKHEAD};
    struct state *s = calloc(1, sizeof *s);

    (void)why;
    (void)size;
    if (s == NULL || (s->tasks = calloc(2 * l->window, sizeof *s->tasks)) == NULL) perf_die("out of memory");
    s->result.struct_size = sizeof s->result;
    s->segment = segments++;
    perf_segment_make(s->segment, &geometry, 0, 0);
    s->queen = (struct perf_queen){.segment = s->segment, .service = "perf", .control = l->control};
    l->state = s;
    return true;
}

static void base_apiary_serve(struct perf_link *l)
{
    struct state *s = l->state;

    perf_queen_serve(&s->queen);
}

static void base_apiary_join(struct perf_link *l, int side)
{
    struct state *s = l->state;

    /* For a service, so that each delegation is admitted by its bulkhead. */
    if (side == PERF_CLIENT_SIDE) s->a = perf_attach(s->segment, "caller");
}

static int base_apiary_put(struct perf_link *l, int side, const void *body, bool wait)
{
    struct state *s = l->state;
    int r = apiary_delegate(s->a, PERF_CAPABILITY, body, l->size, NULL, &s->tasks[l->sent % l->window]);

    (void)side;
    if (r == 0) return 1;
    if (!wait && apiary_retry_after(r) != 0) return 0;
    perf_must(r, "delegate");
    return -1;
}

static int base_apiary_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    struct state *s = l->state;
    apiary_task_t task = s->tasks[l->received % l->window];
    int r = wait ? apiary_await(s->a, task, APIARY_FOREVER, &s->result) : apiary_poll(s->a, task, &s->result);

    (void)side;
    if (r == APIARY_ENOTREADY) return 0;
    perf_must(r, "await");
    perf_must(s->result.code, "the agent");
    if (s->result.size != l->size) perf_die("apiary: a result of %zu bytes, not %zu", s->result.size, l->size);
    *ret = s->result.data;
    return 1;
}

static void done(struct perf_link *l)
{
    struct state *s = l->state;

    perf_must(apiary_release(s->a, &s->result), "release");
}

static void batch_make(const struct perf_link *l, struct state *s)
{
    s->results = calloc(l->window, sizeof *s->results);
    s->requests = calloc(l->window, sizeof *s->requests);
    s->bodies = calloc(l->window, l->size + 1);
    if (s->results == NULL || s->requests == NULL || s->bodies == NULL) perf_die("out of memory");
    s->results[0].struct_size = sizeof s->results[0];
    for (unsigned i = 0; i < l->window; i++) {
        s->requests[i] = (apiary_request_t){.struct_size = sizeof(apiary_request_t), .capability = PERF_CAPABILITY,
                                            .body = s->bodies + i * l->size, .size = l->size};
        perf_body_make(s->bodies + i * l->size, l->size);
    }
}

static void put_many(struct perf_link *l, unsigned n)
{
    struct state *s = l->state;
    size_t done_first = 0;

    if (s->requests == NULL) batch_make(l, s);
    for (unsigned i = 0; i < n; i++) perf_body_number(s->bodies + i * l->size, l->size, l->sent + i);
    perf_must(apiary_delegate_batch(s->a, s->requests, n, &s->tasks[l->sent % l->window], &done_first), "delegate_batch");
    l->sent += n;
}

static void get_many(struct perf_link *l, unsigned n)
{
    struct state *s = l->state;
    size_t done_first = 0;

    perf_must(apiary_await_batch(s->a, &s->tasks[l->received % l->window], n, APIARY_FOREVER, s->results, &done_first),
              "await_batch");
    for (unsigned i = 0; i < n; i++) {
        uint64_t number = l->received;
        perf_must(s->results[i].code, "the agent");
        if (s->results[i].size != l->size || !perf_body_check(s->results[i].data, l->size, &number) || number != l->received)
            perf_die("apiary: a result of the batch is not what was sent");
        perf_must(apiary_release(s->a, &s->results[i]), "release");
        l->received++;
    }
}

const struct perf_link_kind perf_link_apiary = {
    .name = "apiary",
    .setting = "default segment (bulkhead 100, or the window if that is more), one agent, one worker",
    .queues = true,
    .make = base_apiary_make,
    .join = base_apiary_join,
    .put = base_apiary_put,
    .get = base_apiary_get,
    .serve = base_apiary_serve,
    .done = done,
    .put_many = put_many,
    .get_many = get_many,
};
