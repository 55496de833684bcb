/* perf/perf.h - the harness: cases, contestants, blocks, the processes that serve. Single-threaded programs all; they may print
 * and exit, and do so at the first thing that goes wrong: half a measurement is none.
 *
 * A case runs in a process of its own (so that no case inherits another's heap or threads) and hands its result to the program
 * as JSON. In it: prepare all contestants, fork their serving processes, join them, then blocks: in each one every contestant
 * has one turn, in an order that changes from block to block.
 */
#ifndef PERF_PERF_H
#define PERF_PERF_H

#include <sys/types.h>

#include "core/apiary/swarm.h"
#include "core/atomic.h"
#include "core/must_check.h"
#include "core/ops.h"
#include "perf/clock.h"
#include "perf/stat.h"

__attribute__((noreturn, format(printf, 1, 2))) void perf_die(const char *format, ...);
/* `r` < 0 is an error of the library. */
void perf_must(int r, const char *what);

struct perf_options {
    unsigned blocks;
    double block_ms; /* of one contestant's turn */
    bool pinned;
    int client, server; /* processors */
    double rate;        /* of the open loop, a second */
    double seconds;     /* of `idle` */
};
extern struct perf_options perf_options;

/* ---- one turn of one contestant ------------------------------------------------------------------------------- */

enum perf_figure {
    PERF_FIGURE_MEDIAN, /* of the samples */
    PERF_FIGURE_MEAN,   /* elapsed time by operations: where many are under way at once */
};

#define PERF_SAMPLES_MAX (1u << 17)
struct perf_block {
    double *samples; /* ns an operation */
    size_t count;
    uint64_t operations, least;
    uint64_t began, last; /* ticks */
    double limit;         /* ticks */
    uint64_t warm;        /* operations still to be done unseen; ends early when the time for it is over */
    uint64_t quota;       /* at most so many operations, 0: as many as fit the time */
    enum perf_figure figure;
    double elapsed;              /* ns */
    double outside;              /* ticks that were not to be counted */
    const struct ap_hist *merge; /* of other processes, instead of samples; may be NULL */
};

/* To be called first in a turn. Warm-up belongs to the turn and is not counted. */
void perf_block_begin(struct perf_block *b);
/* `operations` were done since the last call; one sample of their mean, less the clock's own cost. False: enough. */
bool perf_block_did(struct perf_block *b, unsigned operations);
/* Operations since the last call are not counted. */
void perf_block_again(struct perf_block *b);
/* Operations without a sample, and a sample that was timed otherwise (ns); only with PERF_FIGURE_MEAN. */
bool perf_block_count(struct perf_block *b, unsigned operations);
void perf_block_sample(struct perf_block *b, double ns);
/* Whether warm-up is over: samples count. */
static inline bool perf_block_counts(const struct perf_block *b)
{
    return b->warm == 0;
}
void perf_block_end(struct perf_block *b);

struct perf_contestant {
    const char *name, *setting;
    void *state;
    void (*turn)(void *state, struct perf_block *b);
    enum perf_figure figure;
    uint64_t quota;
    uint64_t warm; /* 0: the usual */
};
/* Runs all blocks; contestant 0 is the subject. */
void perf_blocks(struct perf_result *r, const struct perf_contestant *contestants, size_t n);

/* ---- serving processes ---------------------------------------------------------------------------------------- */

/* Shared by a client and its server; lines that are written by one side each. */
struct perf_control {
    uint32_t ready AP_ALIGNED; /* server: it serves */
    uint32_t idle;             /* server: the turn that it saw end; see process.c */
    uint64_t wrong;            /* server: bodies that were not what was sent */
    uint64_t served;
    uint32_t active AP_ALIGNED; /* client: turns begun and ended, odd: one is on */
    uint32_t stop;
    uint64_t word AP_ALIGNED;    /* raw's line */
    uint64_t more[8] AP_ALIGNED; /* a case's own */
};
void *perf_shared(size_t size); /* zeroed, survives fork as one memory, never freed */

/* Forks a process that runs fn, pinned to `processor` (-1: free) from its first instruction, and is killed with us. */
pid_t perf_fork(int processor, void (*fn)(void *arg), void *arg);
void perf_ready(struct perf_control *c); /* the server: futex word `ready` */
void perf_await_ready(struct perf_control *c);
void perf_end(pid_t pid);            /* kills and reaps it */
void perf_expect_end(bool expected); /* otherwise a child's end is the end of the case */
/* The server's side of a turn: returns false when it should end. */
bool perf_await_turn(struct perf_control *c);
void perf_give_turn(struct perf_control *c);
void perf_end_turn(struct perf_control *c);
void perf_await_idle(struct perf_control *c); /* returns when the server has seen the end of the last turn */
static inline bool perf_turn_on(const struct perf_control *c)
{
    return ap_load_acquire(&c->active) % 2 == 1;
}

void perf_pin(int processor); /* the calling thread; -1: whatever the program was allowed at its start */
void perf_remember_affinity(void);
void perf_pin_thread(int tid, int processor);      /* -1: whatever the program was allowed at its start */
uint64_t perf_switches(pid_t pid);   /* voluntary context switches of all its threads */
double perf_cpu_ns(pid_t pid);       /* processor time of all its threads */
void perf_nap(double ms);

/* ---- bodies ----------------------------------------------------------------------------------------------------- */

/* A body of n >= 16 bytes (or none) carries a number first and its complement last, and a pattern between; the receiver reads
 * all of it. */
void perf_body_make(void *body, size_t size);
void perf_body_number(void *body, size_t size, uint64_t number);
AP_MUST_CHECK bool perf_body_check(const void *body, size_t size, uint64_t *ret_number);

/* ---- raw ------------------------------------------------------------------------------------------------------- */

struct perf_raw;
struct perf_raw *perf_raw_open(int processor); /* forks its server */
void perf_raw_turn(void *state, struct perf_block *b);

/* ---- telling one who sleeps ------------------------------------------------------------------------------------- */

#define PERF_TELLS_A_BLOCK 64u
#define PERF_TO_SLEEP_MS 0.3 /* until the other side sleeps */
/* A turn: from the call of `tell`, with the other side asleep, until that side calls perf_told. */
void perf_tell_turn(struct perf_control *c, void (*tell)(void *arg), void *arg, struct perf_block *b);
void perf_told(struct perf_control *c);
struct perf_control *perf_wake_open(int processor); /* forks the one that sleeps on a futex */
void perf_wake_turn(void *state, struct perf_block *b);

/* ---- swarms ---------------------------------------------------------------------------------------------------- */

#define PERF_CAPABILITY "perf.echo"
struct ap_geometry;
/* The name of this case's segment number `n`; static storage. */
const char *perf_segment_name(unsigned n);
/* Creates a segment; the geometry's zeros mean defaults. Returns its size. */
uint64_t perf_segment_make(unsigned n, const struct ap_geometry *geometry, uint32_t services, uint32_t capabilities);
apiary_t *perf_attach(unsigned n, const char *swarm);

struct perf_queen {
    unsigned segment;
    const char *service;
    unsigned workers, agents;        /* 0: one each */
    const apiary_agent_kind_t *kind; /* NULL: echo */
    const char *const *capabilities; /* NULL: PERF_CAPABILITY */
    struct perf_control *control;
    char instance[16];
    pid_t pid;
};
extern struct perf_control *perf_queen_control; /* in the queen's process, for kinds */
extern const apiary_agent_kind_t perf_echo_kind;
__attribute__((noreturn)) void perf_queen_serve(const struct perf_queen *q); /* in a process of its own */
/* Forks it and waits until it serves. */
void perf_queen_start(struct perf_queen *q, int processor);

/* ---- cases ----------------------------------------------------------------------------------------------------- */

struct perf_case {
    const char *name, *what;
    void (*run)(const struct perf_case *c, struct perf_result *r);
    size_t size;     /* bytes each way */
    unsigned window; /* outstanding at once */
    unsigned number; /* of whatever the case has many */
    int flag;
};
extern const struct perf_case perf_cases[]; /* ends with name NULL */

json_t *perf_environment(void);

void perf_case_raw(const struct perf_case *c, struct perf_result *r);
void perf_case_rtt(const struct perf_case *c, struct perf_result *r);
void perf_case_wake(const struct perf_case *c, struct perf_result *r);
void perf_case_stream(const struct perf_case *c, struct perf_result *r);
void perf_case_batch(const struct perf_case *c, struct perf_result *r);
void perf_case_open(const struct perf_case *c, struct perf_result *r);
void perf_case_discover(const struct perf_case *c, struct perf_result *r);
void perf_case_step(const struct perf_case *c, struct perf_result *r);
void perf_case_recover(const struct perf_case *c, struct perf_result *r);
void perf_case_bystander(const struct perf_case *c, struct perf_result *r);
void perf_case_overload(const struct perf_case *c, struct perf_result *r);
void perf_case_attach(const struct perf_case *c, struct perf_result *r);
void perf_case_idle(const struct perf_case *c, struct perf_result *r);
void perf_case_memory(const struct perf_case *c, struct perf_result *r);
void perf_case_crowd(const struct perf_case *c, struct perf_result *r);
void perf_case_values(const struct perf_case *c, struct perf_result *r);
void perf_case_notice(const struct perf_case *c, struct perf_result *r);
void perf_case_scale(const struct perf_case *c, struct perf_result *r);

#endif
