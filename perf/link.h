/* perf/link.h - a way to carry a request to another process and its reply back; one file each, base_*.c.
 *
 * Everything that the cases compare is such a link with the same bodies, the same checks at both ends and the same placement.
 */
#ifndef PERF_LINK_H
#define PERF_LINK_H

#include "core/must_check.h"
#include "perf/perf.h"

enum { PERF_CLIENT_SIDE, PERF_SERVER_SIDE };

struct perf_link;

struct perf_link_kind {
    const char *name;
    const char *setting; /* what it was set to, for the reader to judge */
    size_t most;         /* bytes it can carry at all, 0: any */
    bool spins;          /* neither side ever sleeps: it is given turns, and makes no sense on one processor */
    bool queues;         /* more than one message may be under way */
    /* Before the fork. False: not to be had here, with the reason. */
    bool (*make)(struct perf_link *l, char *why, size_t size);
    void (*join)(struct perf_link *l, int side); /* after it, on either side */
    /* 1 sent, 0 full (only without `wait`, or when asked for a turn's end). */
    int (*put)(struct perf_link *l, int side, const void *body, bool wait);
    /* 1 received, 0 nothing there. `*ret` is where it may be read, until the next call. */
    int (*get)(struct perf_link *l, int side, const void **ret, bool wait);
    void (*serve)(struct perf_link *l); /* NULL: receive, check, return */
    void (*done)(struct perf_link *l);  /* the client has read what it got; may be NULL */
    void (*put_many)(struct perf_link *l, unsigned n); /* by one call; NULL: one by one */
    void (*get_many)(struct perf_link *l, unsigned n); /* awaited by one call, and checked */
};

struct perf_link {
    const struct perf_link_kind *kind;
    size_t size;     /* of each body */
    unsigned window; /* most messages under way */
    bool park;       /* both sides are to sleep each time */
    int processor;   /* of the serving side, -1: free */
    pid_t pid;
    struct perf_control *control;
    void *state; /* the kind's own; made before the fork */
    uint8_t *body, *buffer;
    uint64_t sent, received;
    uint64_t got; /* messages taken, on this side; of kinds that number them */
    uint64_t *stamps;             /* ticks at which each of the window was sent */
    const char *service;          /* where a case has several of a kind */
    double interval;              /* of the open loop, ticks */
    uint64_t late, asked, missed; /* of the open loop: operations sent late, operations, blocks that missed the rate */
};

extern const struct perf_link_kind perf_link_apiary, perf_link_lines, perf_link_futex, perf_link_eventfd, perf_link_pipe,
    perf_link_seqpacket, perf_link_mq, perf_link_ck, perf_link_ck_mpmc;
#ifdef PERF_BOOST
extern const struct perf_link_kind perf_link_boost;
#endif
#ifdef PERF_RTE
extern const struct perf_link_kind perf_link_rte;
#endif
#ifdef PERF_ZMQ
extern const struct perf_link_kind perf_link_zmq;
#endif
#ifdef PERF_NNG
extern const struct perf_link_kind perf_link_nng;
#endif
#ifdef PERF_REDIS
extern const struct perf_link_kind perf_link_redis;
#endif

/* Opens the link and its server: NULL when the kind is not to be had here (recorded in the result as missing). Two steps, for
 * no server may be forked after a client has joined: some libraries have threads. */
struct perf_link *perf_link_make(const struct perf_link_kind *kind, struct perf_result *r, size_t size, unsigned window,
                                 bool park, int processor);
void perf_link_join(struct perf_link *l);
void perf_link_verify(const struct perf_link *l); /* dies when the server got something wrong */

/* Turns. */
void perf_turn_round_trip(void *link, struct perf_block *b);
void perf_turn_window(void *link, struct perf_block *b);
void perf_turn_batch(void *link, struct perf_block *b);
void perf_turn_open(void *link, struct perf_block *b);

/* Leaves only the named baselines (a list with commas) of what perf_field opens; false: there is none of such a name. */
AP_MUST_CHECK bool perf_field_choose(const char *names);

/* The subject, raw, and every baseline that can do what the case asks. Leaves them joined and the client pinned. */
enum { PERF_WITH_RAW = 1, PERF_QUEUES = 2, PERF_PARK = 4, PERF_ONE_PROCESSOR = 8 };
size_t perf_field(struct perf_result *r, struct perf_contestant *ret, size_t size, unsigned window, unsigned flags);

#endif
