/* perf/link.c - opening links, serving them, and the three ways in which a client uses one. */
#include "perf/link.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct perf_link_kind *const kinds[] = {
    &perf_link_apiary, &perf_link_lines,     &perf_link_ck,        &perf_link_futex, &perf_link_eventfd,
    &perf_link_pipe,   &perf_link_seqpacket, &perf_link_mq,    &perf_link_ck_mpmc,
#ifdef PERF_BOOST
    &perf_link_boost,
#endif
#ifdef PERF_RTE
    &perf_link_rte,
#endif
#ifdef PERF_ZMQ
    &perf_link_zmq,
#endif
#ifdef PERF_NNG
    &perf_link_nng,
#endif
#ifdef PERF_REDIS
    &perf_link_redis,
#endif
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* ---- serving ------------------------------------------------------------------------------------------------------ */

static void serve_turn(struct perf_link *l)
{
    const void *body;
    uint64_t number = 0;

    while (l->kind->get(l, PERF_SERVER_SIDE, &body, true) > 0) {
        if (!perf_body_check(body, l->size, &number)) ap_add_relaxed(&l->control->wrong, 1);
        if (l->kind->put(l, PERF_SERVER_SIDE, body, true) <= 0) break;
    }
}

static void link_serve(void *arg)
{
    struct perf_link *l = arg;

    if (l->kind->join != NULL) l->kind->join(l, PERF_SERVER_SIDE);
    perf_ready(l->control);
    if (l->kind->spins) {
        while (perf_await_turn(l->control))
            serve_turn(l);
        return;
    }
    serve_turn(l);
    perf_die("%s: the server has come to an end", l->kind->name);
}

static void serve_own(void *arg)
{
    struct perf_link *l = arg;

    l->kind->serve(l);
}

struct perf_link *perf_link_make(const struct perf_link_kind *kind, struct perf_result *r, size_t size, unsigned window,
                                 bool park, int processor)
{
    struct perf_link *l = calloc(1, sizeof *l);
    char why[160] = "";

    if (l == NULL) perf_die("out of memory");
    *l = (struct perf_link){.kind = kind, .size = size, .window = window, .park = park, .processor = processor};
    l->control = perf_shared(sizeof *l->control);
    l->body = aligned_alloc(AP_LINE, size / AP_LINE * AP_LINE + 2 * AP_LINE);
    l->buffer = aligned_alloc(AP_LINE, size / AP_LINE * AP_LINE + 2 * AP_LINE);
    l->stamps = calloc(window + 1, sizeof *l->stamps);
    if (l->body == NULL || l->buffer == NULL || l->stamps == NULL) perf_die("out of memory");
    memset(l->body, 0, size + AP_LINE);
    memset(l->buffer, 0, size + AP_LINE);
    perf_body_make(l->body, size);
    if (kind->most != 0 && size > kind->most) snprintf(why, sizeof why, "carries at most %zu bytes", kind->most);
    if (why[0] != '\0' || !kind->make(l, why, sizeof why)) {
        perf_result_missing(r, kind->name, "%s", why);
        free(l);
        return NULL;
    }
    l->pid = perf_fork(processor, kind->serve != NULL ? serve_own : link_serve, l);
    perf_await_ready(l->control);
    return l;
}

void perf_link_join(struct perf_link *l)
{
    if (l->kind->join != NULL) l->kind->join(l, PERF_CLIENT_SIDE);
}

void perf_link_verify(const struct perf_link *l)
{
    uint64_t wrong = ap_load_relaxed(&l->control->wrong);

    if (wrong > 0)
        perf_die("%s: %llu bodies arrived that were not what was sent", l->kind->name, (unsigned long long)wrong);
}

/* ---- the client's side -------------------------------------------------------------------------------------------- */

static int send_next(struct perf_link *l, bool wait)
{
    int r;

    perf_body_number(l->body, l->size, l->sent);
    r = l->kind->put(l, PERF_CLIENT_SIDE, l->body, wait);
    if (r > 0) l->sent++;
    return r;
}

static int receive_next(struct perf_link *l, bool wait)
{
    const void *body;
    uint64_t number = l->received;
    int r = l->kind->get(l, PERF_CLIENT_SIDE, &body, wait);

    if (r <= 0) return r;
    if (!perf_body_check(body, l->size, &number) || number != l->received)
        perf_die("%s: reply %llu is not what was sent", l->kind->name, (unsigned long long)l->received);
    if (l->kind->done != NULL) l->kind->done(l);
    l->received++;
    return r;
}

static void turn_begin(struct perf_link *l)
{
    if (l->kind->spins) perf_give_turn(l->control);
}

static void turn_end(struct perf_link *l)
{
    if (l->kind->spins) {
        perf_end_turn(l->control);
        perf_await_idle(l->control);
    }
    perf_link_verify(l);
}

void perf_turn_round_trip(void *link, struct perf_block *b)
{
    struct perf_link *l = link;

    turn_begin(l);
    perf_block_begin(b);
    do {
        if (send_next(l, true) <= 0 || receive_next(l, true) <= 0) perf_die("%s: nothing came back", l->kind->name);
    } while (perf_block_did(b, 1));
    perf_block_end(b);
    turn_end(l);
}

/* One latency in so many is timed: at a full window a reading of the clock would be felt. */
#define STAMPED 16u

void perf_turn_window(void *link, struct perf_block *b)
{
    struct perf_link *l = link;
    bool more = true;

    turn_begin(l);
    perf_block_begin(b);
    while (more) {
        while (l->sent - l->received < l->window) {
            uint64_t n = l->sent;
            if (n % STAMPED == 0) l->stamps[n % l->window] = perf_ticks();
            if (send_next(l, l->sent == l->received) > 0) continue;
            break;
        }
        uint64_t n = l->received, sent_at = l->stamps[n % l->window];
        if (receive_next(l, true) <= 0) perf_die("%s: nothing came back", l->kind->name);
        if (n % STAMPED == 0 && perf_block_counts(b))
            perf_block_sample(b, (double)(perf_ticks() - sent_at) * perf_clock_ns - perf_clock_cost);
        more = n % STAMPED != 0 || perf_block_count(b, STAMPED);
    }
    perf_block_end(b);
    while (l->received != l->sent)
        if (receive_next(l, true) <= 0) perf_die("%s: nothing came back", l->kind->name);
    turn_end(l);
}

static void receive_must(struct perf_link *l)
{
    if (receive_next(l, true) <= 0) perf_die("%s: nothing came back", l->kind->name);
}

static void send_many(struct perf_link *l, unsigned n)
{
    uint64_t end = l->sent + n;

    if (l->kind->put_many != NULL) l->kind->put_many(l, n);
    while (l->sent < end)
        if (send_next(l, l->sent == l->received) <= 0) receive_must(l);
}

static void receive_many(struct perf_link *l, uint64_t end)
{
    if (l->kind->get_many != NULL) l->kind->get_many(l, (unsigned)(end - l->received));
    while (l->received < end) receive_must(l);
}

/* Two batches of half a window each in turn, so that the other side has one while this side sees to the other; apiary by its calls
 * for batches. */
void perf_turn_batch(void *link, struct perf_block *b)
{
    struct perf_link *l = link;
    unsigned n = l->window / 2;

    turn_begin(l);
    perf_block_begin(b);
    send_many(l, n);
    do {
        uint64_t end = l->received + n;
        send_many(l, n);
        receive_many(l, end);
    } while (perf_block_did(b, n));
    perf_block_end(b);
    receive_many(l, l->sent);
    turn_end(l);
}

#define OPEN_WARM 64u

/* Open loop: operation n is due at a time fixed beforehand, and its latency runs from that time whether or not the client was
 * able to send it then. A stall thus counts for every operation that it delayed. */
void perf_turn_open(void *link, struct perf_block *b)
{
    struct perf_link *l = link;
    double interval = 1e9 / perf_options.rate / perf_clock_ns;
    uint64_t total, from, first, late = 0, now;
    double duration = perf_options.block_ms * 1e6 / perf_clock_ns;

    total = (uint64_t)(duration / interval) + 8;
    if (total > PERF_SAMPLES_MAX)
        perf_die("%llu operations a block are too many: a lower --rate or --block-ms", (unsigned long long)total);
    turn_begin(l);
    for (unsigned i = 0; i < OPEN_WARM; i++)
        if (send_next(l, true) <= 0 || receive_next(l, true) <= 0) perf_die("%s: nothing came back", l->kind->name);
    first = l->sent;
    perf_block_begin(b);
    b->warm = 0;
    from = perf_ticks() + (uint64_t)interval;
    while (l->received - first < total) {
        uint64_t n = l->sent - first;
        now = perf_ticks();
        if (n < total && (double)(now - from) >= (double)n * interval && now >= from &&
            l->sent - l->received < l->window) {
            if (send_next(l, false) > 0 && (double)(now - from) > (double)(n + 1) * interval) late++;
        }
        if (l->received == l->sent || receive_next(l, false) <= 0) {
            ap_pause();
            continue;
        }
        n = l->received - 1 - first;
        now = perf_ticks();
        perf_block_sample(b, ((double)(now - from) - (double)n * interval) * perf_clock_ns);
    }
    now = perf_ticks();
    b->operations = total;
    b->last = now;
    perf_block_end(b);
    l->asked += total;
    l->late += late;
    if ((double)(now - from) > (double)total * interval * 1.01 + 1e6 / perf_clock_ns) l->missed++;
    turn_end(l);
}

/* ---- the field ------------------------------------------------------------------------------------------------------ */

static bool unwanted[KINDS];

bool perf_field_choose(const char *names)
{
    for (size_t i = 1; i < KINDS; i++)
        unwanted[i] = true;
    while (*names != '\0') {
        size_t length = strcspn(names, ","), i = 1;

        while (i < KINDS && (strlen(kinds[i]->name) != length || strncmp(kinds[i]->name, names, length) != 0))
            i++;
        if (i == KINDS) return false;
        unwanted[i] = false;
        names += names[length] == ',' ? length + 1 : length;
    }
    return true;
}

static const char *link_unfit(const struct perf_link_kind *k, unsigned window, unsigned flags)
{
    if ((flags & PERF_QUEUES) != 0 && window > 1 && !k->queues) return "carries one message at a time";
    if ((flags & (PERF_PARK | PERF_ONE_PROCESSOR)) != 0 && k->spins) return "never sleeps";
    return NULL;
}

static void absent(struct perf_result *r)
{
#ifndef PERF_ZMQ
    perf_result_missing(r, "zmq", "libzmq3-dev was not there when this was built");
#endif
#ifndef PERF_NNG
    perf_result_missing(r, "nng", "libnng-dev was not there when this was built");
#endif
#ifndef PERF_REDIS
    perf_result_missing(r, "redis", "libhiredis-dev or redis-server was not there when this was built");
#endif
#ifndef PERF_BOOST
    perf_result_missing(r, "boost", "libboost-dev or a C++ compiler was not there when this was built, or a sanitizer was");
#endif
#ifndef PERF_RTE
    perf_result_missing(r, "rte_ring", "libdpdk-dev was not there when this was built, or a sanitizer was");
#endif
    (void)r;
}

size_t perf_field(struct perf_result *r, struct perf_contestant *ret, size_t size, unsigned window, unsigned flags)
{
    int server = !perf_options.pinned                ? -1
                 : (flags & PERF_ONE_PROCESSOR) != 0 ? perf_options.client
                                                     : perf_options.server;
    int client = perf_options.pinned ? perf_options.client : -1;
    bool park = (flags & (PERF_PARK | PERF_ONE_PROCESSOR)) != 0;
    struct perf_link *links[KINDS];
    size_t n = 0, count = 0;

    if (park && !perf_options.pinned)
        client = perf_options.client, server = (flags & PERF_ONE_PROCESSOR) != 0 ? client : perf_options.server;
    for (size_t i = 0; i < KINDS; i++) {
        const char *why = link_unfit(kinds[i], window, flags);
        if (unwanted[i])
            continue;
        if (why != NULL)
            perf_result_missing(r, kinds[i]->name, "%s", why);
        else if ((links[n] = perf_link_make(kinds[i], r, size, window, park, server)) != NULL)
            n++;
    }
    absent(r);
    if ((flags & PERF_WITH_RAW) != 0)
        ret[1] = (struct perf_contestant){.name = "raw", .state = perf_raw_open(server), .turn = perf_raw_turn};
    perf_pin(client);
    for (size_t i = 0; i < n; i++)
        perf_link_join(links[i]);
    for (size_t i = 0; i < n; i++) {
        if (count == 1 && (flags & PERF_WITH_RAW) != 0) count++;
        ret[count++] = (struct perf_contestant){.name = links[i]->kind->name,
                                                .setting = links[i]->kind->setting,
                                                .state = links[i],
                                                .turn = perf_turn_round_trip};
    }
    return count;
}
