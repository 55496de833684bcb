/* perf/case_crowd.c - many clients, many services, few processors: throughput, tail, and whether all get their share.
 *
 * Every client is a process that asks one service after another and waits for each answer. The same exchange over Unix sockets: as
 * many serving processes, each with one SEQPACKET socket to every client, waiting with epoll.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/perf.h"
#include "shm/segment.h"

#define SWARMS_MAX 13u
#define CLIENTS_MAX 64u
#define AGENTS 4u
#define WINDOW_MAX 64u
#define BODY 64u
/* Times the usual block: with twenty times as many processes as processors the scheduler needs 70 ms and more to go round once,
 * and in less than a few rounds no exchange of any kind gives all their share. */
#define ROUNDS 25u

struct one { /* one client's, written by it alone */
    uint64_t operations AP_ALIGNED;
    struct ap_hist hist;
};

struct crowd {
    unsigned swarms, clients, window;
    struct perf_control *control[CLIENTS_MAX];
    struct one *ones;
    uint32_t *stop; /* the turn is over */
    struct ap_hist merged;
    double shares[4096]; /* of each block: the least client's part of the mean */
    size_t turns;
    int sockets[SWARMS_MAX][CLIENTS_MAX][2]; /* client, server */
    struct perf_control *ready[SWARMS_MAX];
    char capabilities[SWARMS_MAX][32];
};

struct asked { /* one request under way */
    apiary_task_t task;
    unsigned service;
    uint64_t at; /* ticks */
};

struct member { /* private to its process */
    struct crowd *crowd;
    apiary_t *a;
    unsigned index;
    bool apiary;
    uint8_t body[BODY];
    uint64_t asked, heard; /* numbers of the next */
    struct asked window[WINDOW_MAX];
};

/* ---- clients ---------------------------------------------------------------------------------------------------- */

static void case_crowd_ask(struct member *m, struct asked *q)
{
    const struct crowd *c = m->crowd;
    int r;

    perf_body_number(m->body, BODY, m->asked);
    q->service = (unsigned)(m->asked++ % c->swarms);
    q->at = perf_ticks();
    if (!m->apiary) {
        if (send(c->sockets[q->service][m->index][0], m->body, BODY, MSG_NOSIGNAL) != BODY)
            perf_die("crowd: socket: %s", strerror(errno));
        return;
    }
    /* Full is an answer: asked again, and the time counts. */
    do
        r = apiary_delegate(m->a, c->capabilities[q->service], m->body, BODY, NULL, &q->task);
    while (apiary_retry_after(r) != 0);
    perf_must(r, "delegate");
}

static void case_crowd_hear(const struct member *m, const struct asked *q)
{
    uint8_t answer[BODY];
    apiary_result_t result = {.struct_size = sizeof result};
    uint64_t number = 0;
    bool whole;

    if (m->apiary) {
        perf_must(apiary_await(m->a, q->task, APIARY_FOREVER, &result), "await");
        perf_must(result.code, "the agent");
        whole = result.size == BODY && perf_body_check(result.data, BODY, &number);
        perf_must(apiary_release(m->a, &result), "release");
    } else {
        whole = recv(m->crowd->sockets[q->service][m->index][0], answer, BODY, 0) == BODY &&
                perf_body_check(answer, BODY, &number);
    }
    if (!whole || number != m->heard) perf_die("crowd: an answer is not what was sent");
}

static void case_crowd_client(void *arg)
{
    struct member *m = arg;
    struct crowd *c = m->crowd;
    struct one *one = &c->ones[m->index];
    uint32_t on;

    if (m->apiary) m->a = perf_attach(0, NULL);
    m->asked = m->heard = m->index;
    perf_body_make(m->body, BODY);
    perf_ready(c->control[m->index]);
    while (perf_await_turn(c->control[m->index])) {
        while (!ap_load_acquire(c->stop)) {
            while (m->asked - m->heard < c->window) case_crowd_ask(m, &m->window[m->asked % c->window]);
            case_crowd_hear(m, &m->window[m->heard % c->window]);
            ap_hist_add(&one->hist, (uint64_t)((double)(perf_ticks() - m->window[m->heard++ % c->window].at) * perf_clock_ns));
            ap_store_relaxed(&one->operations, one->operations + 1);
        }
        /* Tasks that are still under way are of no turn. */
        for (; m->heard < m->asked; m->heard++) case_crowd_hear(m, &m->window[m->heard % c->window]);
        while ((on = ap_load_acquire(&c->control[m->index]->active)) % 2 == 1)
            ap_ops_system.futex_wait(&c->control[m->index]->active, on, UINT64_MAX);
    }
}

static void server(void *arg)
{
    const struct member *m = arg;
    struct crowd *c = m->crowd;
    struct epoll_event events[CLIENTS_MAX], e = {.events = EPOLLIN};
    int ep = epoll_create1(EPOLL_CLOEXEC);
    uint8_t body[BODY];
    uint64_t number;

    for (unsigned i = 0; i < c->clients; i++) {
        e.data.fd = c->sockets[m->index][i][1];
        if (epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e) < 0) perf_die("epoll: %s", strerror(errno));
    }
    perf_ready(c->ready[m->index]);
    for (;;) {
        int n = epoll_wait(ep, events, CLIENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (recv(fd, body, BODY, 0) != BODY || !perf_body_check(body, BODY, &number))
                perf_die("crowd: a request was lost");
            if (send(fd, body, BODY, MSG_NOSIGNAL) != BODY) perf_die("crowd: %s", strerror(errno));
        }
    }
}

/* ---- a turn ------------------------------------------------------------------------------------------------------ */

static bool any_done(const struct crowd *c)
{
    for (unsigned i = 0; i < c->clients; i++)
        if (ap_load_relaxed(&c->ones[i].operations) > 0) return true;
    return false;
}

static void case_crowd_turn(void *state, struct perf_block *b)
{
    struct crowd *c = state;
    uint64_t total = 0, least = UINT64_MAX;

    for (unsigned i = 0; i < c->clients; i++) {
        c->ones[i].operations = 0;
        memset(&c->ones[i].hist, 0, sizeof c->ones[i].hist);
    }
    memset(&c->merged, 0, sizeof c->merged);
    ap_store_release(c->stop, 0);
    perf_block_begin(b);
    for (unsigned i = 0; i < c->clients; i++)
        perf_give_turn(c->control[i]);
    /* A short block may end before the scheduler let anybody finish: without one operation there is no figure. */
    do
        perf_nap(perf_options.block_ms * (c->clients + c->swarms > ROUNDS ? ROUNDS : 1));
    while (!any_done(c));
    ap_store_release(c->stop, 1);
    b->last = perf_ticks();
    for (unsigned i = 0; i < c->clients; i++)
        perf_end_turn(c->control[i]);
    for (unsigned i = 0; i < c->clients; i++)
        perf_await_idle(c->control[i]);
    for (unsigned i = 0; i < c->clients; i++) {
        total += c->ones[i].operations;
        if (c->ones[i].operations < least) least = c->ones[i].operations;
        ap_hist_merge(&c->merged, &c->ones[i].hist);
    }
    b->warm = 0;
    b->operations = total;
    b->merge = &c->merged;
    perf_block_end(b);
    if (total > 0 && c->turns < sizeof c->shares / sizeof *c->shares)
        c->shares[c->turns++] = (double)least * c->clients / (double)total;
}

static struct crowd *crowd_make(unsigned swarms, unsigned clients, unsigned window)
{
    struct crowd *c = perf_shared(sizeof *c);

    c->swarms = swarms;
    c->clients = clients;
    c->window = window;
    c->ones = perf_shared(clients * sizeof *c->ones);
    c->stop = perf_shared(AP_LINE);
    for (unsigned i = 0; i < clients; i++)
        c->control[i] = perf_shared(sizeof *c->control[i]);
    for (unsigned i = 0; i < swarms; i++)
        snprintf(c->capabilities[i], sizeof c->capabilities[i], "perf.crowd-%u", i);
    return c;
}

static void clients_start(struct crowd *c, bool apiary)
{
    static struct member members[2][CLIENTS_MAX];

    for (unsigned i = 0; i < c->clients; i++) {
        struct member *m = &members[apiary][i];
        *m = (struct member){.crowd = c, .index = i, .apiary = apiary};
        perf_fork(-1, case_crowd_client, m);
        perf_await_ready(c->control[i]);
        perf_await_idle(c->control[i]);
    }
}

static void case_crowd_queens_start(struct crowd *c)
{
    static const char *offered[SWARMS_MAX][2];
    static char services[SWARMS_MAX][32];
    static struct perf_queen queens[SWARMS_MAX];

    for (unsigned i = 0; i < c->swarms; i++) {
        snprintf(services[i], sizeof services[i], "service-%u", i);
        offered[i][0] = c->capabilities[i];
        queens[i] =
            (struct perf_queen){.segment = 0, .service = services[i], .capabilities = offered[i], .agents = AGENTS};
        perf_queen_start(&queens[i], -1);
    }
}

static void servers_start(struct crowd *c)
{
    static struct member members[SWARMS_MAX];

    for (unsigned s = 0; s < c->swarms; s++)
        for (unsigned i = 0; i < c->clients; i++)
            if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, c->sockets[s][i]) < 0)
                perf_die("socketpair: %s", strerror(errno));
    for (unsigned s = 0; s < c->swarms; s++) {
        c->ready[s] = perf_shared(sizeof *c->ready[s]);
        members[s] = (struct member){.crowd = c, .index = s};
        perf_fork(-1, server, &members[s]);
        perf_await_ready(c->ready[s]);
    }
}

/* c->number clients; c->flag swarms. */
void perf_case_crowd(const struct perf_case *c, struct perf_result *r)
{
    struct crowd *apiary = crowd_make((unsigned)c->flag, c->number, c->window),
                 *sockets = crowd_make((unsigned)c->flag, c->number, c->window);
    struct ap_geometry geometry = {.members = 256, .lanes = 512, .queue_inlets = 63, .queues = 128};
    struct perf_contestant all[3] = {{.name = "apiary",
                                      .setting = "4 agents a swarm, an inlet for every client",
                                      .state = apiary,
                                      .turn = case_crowd_turn,
                                      .figure = PERF_FIGURE_MEAN},
                                     {.name = "raw", .turn = perf_raw_turn},
                                     {.name = "seqpacket",
                                      .setting = "a socket pair for each client and service, epoll",
                                      .state = sockets,
                                      .turn = case_crowd_turn,
                                      .figure = PERF_FIGURE_MEAN}};

    perf_segment_make(0, &geometry, 0, 0);
    case_crowd_queens_start(apiary);
    servers_start(sockets);
    clients_start(apiary, true);
    clients_start(sockets, false);
    all[1].state = perf_raw_open(-1);
    perf_blocks(r, all, 3);
    perf_result_row(r, "", perf_quantile(apiary->shares, apiary->turns, 0.5),
                    "apiary: the least client's part of the mean, median");
    perf_result_row(r, "", perf_quantile(apiary->shares, apiary->turns, 0),
                    "apiary: the least client's part of the mean, worst block");
    perf_result_row(r, "", perf_quantile(sockets->shares, sockets->turns, 0.5),
                    "seqpacket: the least client's part of the mean, median");
    perf_result_row(r, "", perf_quantile(sockets->shares, sockets->turns, 0),
                    "seqpacket: the least client's part of the mean, worst block");
    perf_result_row(
        r, "", (double)ap_hist_quantile(r->series[0].hist, 0.999) / (double)ap_hist_quantile(r->series[2].hist, 0.999),
        "p99.9 by seqpacket's p99.9");
    perf_result_note(
        r, "%u clients, %d services, a window of %u, nothing is pinned; figures of blocks and ratios: time by number of replies",
        c->number, c->flag, c->window);
    perf_result_note(r, "a block's time ends when clients are told to stop; with more than %u processes it is %u times --block-ms",
                     ROUNDS, ROUNDS);
}
