/* linear_client.h - part of linear.c: the processes that are killed. Each writes its operations into a log that outlives it. */
#include <signal.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "registry/client/client.h"
#include "tests/linear/linear.h"

enum { VALUES = 6, CLAIMS = 6, KEYS = VALUES + CLAIMS, ALL = 0, ONLY_MEMORY, ONLY_CLAIMS };
#define LOG_MAX 65536u /* operations of one process */
#define TEXT_MAX 1200u
#define APART UINT64_C(20000) /* ns; the library reads the clock once in a millisecond */
#define TORN (LINEAR_TEXT | 0xbad) /* no value that was written: what was read is none */

/* What all processes of a run share, beside the segment. */
static struct shared {
    uint32_t stop;    /* the clients end */
    uint32_t allowed; /* so many operations may be begun; a futex */
    uint32_t done;    /* have been begun */
    uint32_t only;
    uint64_t seed;
    uint64_t newest[CLAIMS], before[CLAIMS]; /* tokens that were granted */
} *shared;

/* Of one process: operations that were begun. The last one is pending when it was killed in the midst of it. */
struct log {
    uint32_t count;
    uint32_t reserved;
    struct linear_op ops[LOG_MAX];
};

/* The names of the keys, those of the values in two buckets. */
static char names[KEYS][32];

static const char space[] = "linear";

/* Of all processes, and the kernel's own: what the library asks is as good as one reading in a millisecond. What is before it in
 * the program is done before it, for all to see, and what is behind it after it. */
static uint64_t now(void)
{
    struct timespec t;

    ap_fence_full();
    clock_gettime(CLOCK_MONOTONIC, &t);
    ap_fence_full();
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static uint64_t drawn(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

static uint64_t below(uint64_t *random, uint64_t n)
{
    return drawn(random) % n;
}

/* ---- interruptions ---------------------------------------------------------------------------------------------- */

static uint64_t interruption;

/* Where an operation is interrupted, another process may come first. */
static void interrupted(int number)
{
    uint64_t what = drawn(&interruption);

    (void)number;
    if (what % 2 == 0) sched_yield();
    else
        for (uint64_t i = what >> 8 & 1023; i > 0; i--) ap_pause();
}

static void interrupt_often(uint64_t seed)
{
    const struct sigaction action = {.sa_handler = interrupted, .sa_flags = SA_RESTART};
    uint64_t every = 23 + seed % 53;
    const struct itimerval timer = {.it_interval = {.tv_usec = (suseconds_t)every}, .it_value = {.tv_usec = (suseconds_t)every}};

    interruption = seed | 1;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* ---- the log ---------------------------------------------------------------------------------------------------- */

struct client {
    apiary_t *a;
    apiary_memory_t *m;
    struct log *log;
    uint32_t process;
    uint32_t numbers;        /* values that it has made */
    uint64_t random;
    uint64_t seen[VALUES];   /* the version that it last saw */
    uint64_t tokens[CLAIMS]; /* the last that it was granted */
};

static struct linear_op *begin(struct client *c, uint32_t kind, uint32_t key)
{
    struct linear_op *op = &c->log->ops[c->log->count];

    *op = (struct linear_op){.kind = kind, .key = key, .process = c->process, .before = LINEAR_NOTHING, .pending = true,
                             .answered = LINEAR_NEVER, .apart = APART};
    return op;
}

/* From here on it may take effect. */
static void called(struct client *c, struct linear_op *op)
{
    op->call = now();
    ap_store_release(&c->log->count, c->log->count + 1);
}

static void answered(struct linear_op *op, int r)
{
    op->answered = now();
    op->result = r;
    ap_store_release(&op->pending, false);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* A value is a number, or a text that is its number many times: in its row, or in a block of the pool. */
static size_t text_size(int64_t number)
{
    return (number & 1) != 0 ? 96 : 328 + (size_t)(number >> 1) % 80 * 8;
}

static size_t value_text(int64_t value, char *to)
{
    int64_t number = value & ~LINEAR_TEXT;
    size_t size = text_size(number);

    if ((value & LINEAR_TEXT) == 0) return (size_t)snprintf(to, TEXT_MAX, "%lld", (long long)value);
    for (size_t i = 0; i < size; i += 8) memcpy(to + i, &number, 8);
    return size;
}

static int64_t value_of(const char *text, size_t size)
{
    int64_t number;
    char *end;

    if (size < 24) {
        number = strtoll(text, &end, 10);
        return end == text + size && size > 0 ? number : TORN;
    }
    memcpy(&number, text, 8);
    if (size != text_size(number)) return TORN;
    for (size_t i = 0; i < size; i += 8)
        if (memcmp(text + i, &number, 8) != 0) return TORN;
    return number | LINEAR_TEXT;
}

/* No two changes write the same value. What is added to numbers stays below the next one. */
static int64_t value_new(struct client *c)
{
    int64_t number = (int64_t)c->process << 20 | ++c->numbers;

    return below(&c->random, 3) == 0 ? number | LINEAR_TEXT : number << 16;
}

/* Of a value: none, or 0.1 to 1.6 ms, in which a few operations on its key are done. */
static uint64_t end_new(struct client *c)
{
    uint64_t draw = below(&c->random, 10);

    return draw < 5 ? LINEAR_NEVER : UINT64_C(100000) << (draw - 5);
}

static void do_get(struct client *c, uint32_t key)
{
    apiary_memory_value_t value = {.struct_size = sizeof value};
    struct linear_op *op = begin(c, LINEAR_GET, key);
    char text[TEXT_MAX + 1];
    int r;

    called(c, op);
    r = apiary_memory_get(c->m, names[key], text, TEXT_MAX, &value);
    op->answered = now();
    if (r == 0) {
        text[value.size < TEXT_MAX ? value.size : TEXT_MAX] = '\0';
        op->value = value.size <= TEXT_MAX ? value_of(text, value.size) : TORN;
        op->version = c->seen[key] = value.version;
        op->ttl = value.ttl;
    }
    op->result = r;
    ap_store_release(&op->pending, false);
}

static void do_set(struct client *c, uint32_t kind, uint32_t key)
{
    struct linear_op *op = begin(c, kind, key);
    const char *name = names[key];
    char text[TEXT_MAX];
    uint64_t version = 0;
    size_t size;
    int r;

    op->value = value_new(c);
    op->expected = c->seen[key];
    op->ttl = end_new(c);
    size = value_text(op->value, text);
    called(c, op);
    switch (kind) {
    case LINEAR_PUT: r = apiary_memory_put(c->m, name, text, size, op->ttl, &version); break;
    case LINEAR_ADD: r = apiary_memory_add(c->m, name, text, size, op->ttl, &version); break;
    case LINEAR_REPLACE: r = apiary_memory_replace(c->m, name, text, size, op->ttl, &version); break;
    default: r = apiary_memory_cas(c->m, name, text, size, op->ttl, op->expected, &version); break;
    }
    op->version = version;
    if (r == 0) c->seen[key] = version;
    answered(op, r);
}

static void do_other(struct client *c, uint32_t kind, uint32_t key)
{
    struct linear_op *op = begin(c, kind, key);
    int64_t sum = 0;
    int r;

    op->by = kind == LINEAR_INCR ? (int64_t)below(&c->random, 9) : 0;
    op->ttl = kind == LINEAR_TOUCH ? end_new(c) : LINEAR_NEVER;
    called(c, op);
    if (kind == LINEAR_DELETE) r = apiary_memory_delete(c->m, names[key]);
    else if (kind == LINEAR_TOUCH) r = apiary_memory_touch(c->m, names[key], op->ttl);
    else r = apiary_memory_incr(c->m, names[key], op->by, &sum);
    op->value = sum;
    answered(op, r);
}

static void turn_memory(struct client *c)
{
    uint32_t key = (uint32_t)below(&c->random, below(&c->random, 2) == 0 ? 2 : VALUES);
    uint32_t draw = (uint32_t)below(&c->random, 100);

    if (draw < 30) do_get(c, key);
    else if (draw < 44) do_set(c, LINEAR_PUT, key);
    else if (draw < 52) do_set(c, LINEAR_ADD, key);
    else if (draw < 58) do_set(c, LINEAR_REPLACE, key);
    else if (draw < 71) do_set(c, LINEAR_CAS, key);
    else if (draw < 80) do_other(c, LINEAR_DELETE, key);
    else if (draw < 92) do_other(c, LINEAR_INCR, key);
    else do_other(c, LINEAR_TOUCH, key);
}

/* ---- claims ----------------------------------------------------------------------------------------------------- */

static uint64_t ttl_new(struct client *c)
{
    uint64_t draw = below(&c->random, 4);

    return draw < 2 ? LINEAR_NEVER : UINT64_C(1000000) << draw; /* 4, 8 ms */
}

static void do_claim(struct client *c, uint32_t key)
{
    static const uint32_t policies[] = {LINEAR_FAIL, LINEAR_FAIL, LINEAR_WAIT, LINEAR_USE_EXISTING, LINEAR_STEAL, LINEAR_STEAL};
    apiary_claim_options_t o = {.struct_size = sizeof o};
    apiary_claim_t claim = {.struct_size = sizeof claim};
    struct linear_op *op = begin(c, LINEAR_CLAIM, key);
    uint32_t own = key - VALUES;
    int r;

    op->policy = o.policy = policies[below(&c->random, sizeof policies / sizeof policies[0])];
    op->stays = below(&c->random, 3) == 0;
    op->ttl = op->stays ? UINT64_C(1000000) << below(&c->random, 3) : ttl_new(c); /* 1, 2, 4 ms */
    o.flags = op->stays ? APIARY_CLAIM_STAYS : 0;
    o.timeout = UINT64_C(100000) << below(&c->random, 5);
    called(c, op);
    r = apiary_claim(c->a, names[key], op->ttl, &o, &claim);
    op->token = claim.token;
    op->until = claim.expires;
    answered(op, r);
    if (r != 0) return;
    c->tokens[own] = claim.token;
    ap_store_relaxed(&shared->before[own], ap_load_relaxed(&shared->newest[own]));
    ap_store_relaxed(&shared->newest[own], claim.token);
}

static void do_token(struct client *c, uint32_t kind, uint32_t key)
{
    apiary_claim_t claim = {.struct_size = sizeof claim};
    uint32_t own = key - VALUES, whose = (uint32_t)below(&c->random, kind == LINEAR_CHECK ? 3 : 6);
    uint64_t token = whose == 0   ? ap_load_relaxed(&shared->newest[own])
                     : whose == 1 ? ap_load_relaxed(&shared->before[own])
                                  : c->tokens[own];
    struct linear_op *op;
    int r;

    if (token == 0) return;
    op = begin(c, kind, key);
    op->token = token;
    op->ttl = kind == LINEAR_RENEW ? ttl_new(c) : 0;
    called(c, op);
    if (kind == LINEAR_RENEW) r = apiary_claim_renew(c->a, names[key], token, op->ttl, &claim);
    else if (kind == LINEAR_RELEASE) r = apiary_claim_release(c->a, names[key], token);
    else r = apiary_claim_check(c->a, names[key], token);
    op->until = claim.expires;
    answered(op, r);
}

static void turn_claims(struct client *c)
{
    uint32_t key = VALUES + (uint32_t)below(&c->random, CLAIMS), draw = (uint32_t)below(&c->random, 100);

    if (draw < 35) do_claim(c, key);
    else if (draw < 60) do_token(c, LINEAR_CHECK, key);
    else if (draw < 75) do_token(c, LINEAR_RENEW, key);
    else do_token(c, LINEAR_RELEASE, key);
}

/* ---- the process ------------------------------------------------------------------------------------------------ */

static void attach(const char *segment, struct client *c)
{
    char message[256] = "";
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "linear", .message = message, .message_size = sizeof message};
    int r = apiary_attach(segment, &o, &c->a);

    if (r == 0) r = apiary_memory_open(c->a, space, 0, &c->m);
    if (r == 0) return;
    fprintf(stderr, "a client cannot attach: %s: %s\n", apiary_strerror(r), message);
    _exit(1);
}

/* Waits for its turn. False: the run is over. */
static bool may_go_on(void)
{
    uint32_t mine = ap_add_acq_rel(&shared->done, 1);

    for (;;) {
        uint32_t allowed = ap_load_acquire(&shared->allowed);

        if (ap_load_acquire(&shared->stop) != 0) return false;
        if ((int32_t)(allowed - mine) > 0) return true;
        ap_ops_system.futex_wait(&shared->allowed, allowed, now() + UINT64_C(10000000));
    }
}

static void client(const char *segment, struct log *log, uint32_t process)
{
    struct client c = {.log = log, .process = process, .random = (shared->seed + process) * UINT64_C(0x9e3779b97f4a7c15) | 1};

    attach(segment, &c);
    interrupt_often(drawn(&c.random));
    while (log->count < LOG_MAX && may_go_on()) {
        bool memory = shared->only == ALL ? below(&c.random, 2) == 0 : shared->only == ONLY_MEMORY;

        if (memory) turn_memory(&c);
        else turn_claims(&c);
    }
    _exit(0);
}
