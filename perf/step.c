/* perf/step.c - see step.h. The worker's part is done by hand: the task is claimed and finished by the calls that a worker makes
 * for it, and its result stored as a worker stores one; loop, job and agent are left out. */
#include "perf/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "perf/option.h"
#include "perf/store.h"
#include "registry/client/client.h"
#include "registry/routing/dead.h"
#include "shm/due.h"

#define BODY 64u
#define EMPTYING (4u << 20) /* bytes read to empty a simulated cache */

struct perf_bench {
    apiary_t *a;
    struct ap_lane_handle worker;
    struct ap_consumer consumer;
    struct ap_balance balance;
    uint8_t body[BODY];
    apiary_task_t tasks[64];
    uint64_t tokens[64], refs[64];
    unsigned done[PERF_STEPS];
    uint32_t queue;
    apiary_memory_t *memory;
    unsigned values;
    uint64_t asked; /* keys of the memory, so far */
    const struct perf_option *option;
};

static const char *const names[PERF_STEPS] = {"submit", "claim", "complete", "collect", "discover", "route", "hold", "get",
                                          "put",    "incr"};

const char *perf_step_name(enum perf_step step)
{
    return step == PERF_STEPS ? "*" : names[step];
}

int perf_step_of(const char *name)
{
    for (int i = 0; i <= PERF_STEPS; i++)
        if (strcmp(name, perf_step_name((enum perf_step)i)) == 0) return i;
    return -1;
}

/* The library reads the kernel's clock once in a millisecond. Under valgrind that is once in a few steps, by chance, and with
 * more instructions than otherwise: so the steps are counted with a clock that is always as quick. */
static uint64_t bench_now(void)
{
    static uint64_t now = 1000000000;

    return now += 1000;
}

#define EACH 10u /* capabilities of a service */

/* The services beside the one that is asked for, as far as a step sees them: their records and queues are not free, and each is a
 * provider of ten capabilities, of which there are two for each service. They are not registered one by one, which takes long under
 * valgrind. */
static void fill_with(struct ap_segment *seg, uint32_t lane, uint32_t services)
{
    char name[APIARY_NAME_MAX + 1];
    uint32_t index;

    for (uint32_t i = 0; i < services; i++) {
        ap_store_relaxed(&ap_swarm_at(seg, i)->life, AP_SWARM_LIFE(0, lane, AP_SWARM_CLAIMED));
        ap_store_relaxed(&ap_service_at(seg, i)->life, AP_SERVICE_LIFE(0, lane, AP_SERVICE_FILLING));
        if (!ap_queue_claim(seg, i, lane)) perf_die("a queue is taken");
        for (uint32_t k = 0; k < EACH; k++) {
            snprintf(name, sizeof name, "filler.capability-%u", (i * EACH + k) % (services * 2));
            perf_must(ap_capability_intern(seg, name, &index), "capability");
            ap_capability_offer(seg, index, i);
        }
    }
}

/* Values, and numbers under as many other keys; at each step it is another one's turn. */
static void bench_fill(struct perf_bench *b, unsigned values)
{
    char key[PERF_KEY_SIZE];

    b->values = values;
    perf_must(apiary_memory_open(b->a, "perf", 0, &b->memory), "memory");
    for (uint32_t i = 0; i < values; i++) {
        perf_store_key(key, i, false);
        perf_must(apiary_memory_put(b->memory, key, b->body, sizeof b->body, 0, NULL), "put");
        perf_store_key(key, i, true);
        perf_must(apiary_memory_put(b->memory, key, "1", 1, 0, NULL), "put");
    }
}

struct perf_bench *perf_bench_open(struct perf_tables tables)
{
    static struct ap_ops ops;
    struct ap_geometry geometry = {
        .members = tables.members, .lanes = tables.members * 2, .tasks = tables.tasks, .queues = tables.members != 0 ? 16 : 0};
    struct perf_bench *b = calloc(1, sizeof *b);
    static const char *capabilities[] = {PERF_CAPABILITY, NULL};
    uint32_t capability_rows = tables.services != 0 ? 64 : 0;
    static struct ap_agent_registration agent = {.name = "agent", .capabilities = capabilities};
    static struct ap_swarm_registration swarm = {.service = "perf", .version = "1", .agents = &agent, .agent_count = 1};

    if (b == NULL) perf_die("out of memory");
    b->option = &perf_options_table[tables.option];
    capabilities[0] = b->option->major ? PERF_CAPABILITY "@1" : PERF_CAPABILITY;
    agent.terms = tables.option != 0 ? &b->option->terms : NULL;
    if (tables.services != 0) {
        geometry.queues = AP_REGISTRY_NUMBER(&geometry, SWARMS) = tables.services + 16;
        geometry.queue_inlets = 1;
        while (capability_rows < tables.services * 3) capability_rows *= 2;
    }
    if (tables.values != 0) geometry.registry[AP_REGISTRY_INDEX(VALUES)] = 2 * tables.values + 1024;
    perf_segment_make(3, &geometry, tables.services != 0 ? tables.services + 16 : 0, capability_rows);
    b->a = perf_attach(3, NULL);
    fill_with(b->a->seg, b->a->anchor->lane.index, tables.services);
    ops = ap_ops_system;
    ops.now = bench_now;
    b->a->seg->ops = &ops;
    perf_must(ap_lane_open(b->a->seg, b->a->member, &b->worker), "lane");
    agent.lane = b->worker.index;
    swarm.lane = b->a->anchor->lane.index;
    swarm.member = b->a->member;
    perf_must(ap_swarm_register(b->a->seg, &swarm), "register");
    b->queue = agent.queue;
    ap_consumer_init(&b->consumer, b->a->seg, b->queue);
    perf_body_make(b->body, sizeof b->body);
    bench_fill(b, tables.values != 0 ? tables.values : 1);
    return b;
}

static void bench_close(struct perf_bench *b)
{
    apiary_memory_close(b->memory);
    ap_lane_close(&b->worker);
    b->a->seg->ops = &ap_ops_system;
    perf_must(apiary_detach(b->a), "detach");
    shm_unlink(perf_segment_name(3));
    free(b);
}

/* At the beginning of a page, wherever the linker puts it: how many instructions it takes to compare two names depends on whether
 * the bits of both addresses together lie near the end of one. */
static const char asked_for[] __attribute__((aligned(4096))) = PERF_CAPABILITY;

/* Each a function of its own, never inlined: valgrind counts by their names. */
__attribute__((noinline)) void perf_step_submit(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_claim(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_complete(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_collect(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_discover(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_route(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_hold(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_get(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_put(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_incr(struct perf_bench *b, unsigned at);

void perf_step_submit(struct perf_bench *b, unsigned at)
{
    const apiary_delegate_options_t *o = b->option != perf_options_table ? &b->option->options : NULL;

    perf_must(apiary_delegate(b->a, asked_for, b->body, sizeof b->body, o, &b->tasks[at]), "delegate");
}

/* In two functions that are counted, neither of which calls the other: counting would stop where the inner one ends. */
static inline __attribute__((always_inline)) void claim_task(struct perf_bench *b, unsigned at)
{
    b->refs[at] = ap_queue_pop(&b->consumer);
    if (b->refs[at] == 0 || !ap_task_claim(b->a->seg, b->worker.index, b->queue, b->refs[at], &b->tokens[at]))
        perf_die("a task was not to be claimed");
}

void perf_step_claim(struct perf_bench *b, unsigned at)
{
    claim_task(b, at);
}

static inline __attribute__((always_inline)) void complete_task(struct perf_bench *b, unsigned at)
{
    struct ap_segment *seg = b->a->seg;
    struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(b->refs[at]));
    uint32_t size = 0;
    const void *body = ap_task_body(seg, slot, &size);

    if (body == NULL || size != BODY) perf_die("a body was lost");
    memcpy(slot->result_inline, body, BODY);
    ap_slot_result(slot, 0, size);
    ap_slot_agent_code(slot, 0);
    perf_must(ap_task_finish(seg, AP_REF_SLOT(b->refs[at]), b->tokens[at], 0), "finish");
}

void perf_step_complete(struct perf_bench *b, unsigned at)
{
    complete_task(b, at);
}

void perf_step_collect(struct perf_bench *b, unsigned at)
{
    apiary_result_t result = {.struct_size = sizeof result};

    perf_must(apiary_poll(b->a, b->tasks[at], &result), "poll");
    if (result.code != 0 || result.size != BODY) perf_die("a result was lost");
    perf_must(apiary_release(b->a, &result), "release");
}

void perf_step_discover(struct perf_bench *b, unsigned at)
{
    apiary_provider_t row = {.struct_size = sizeof row};

    (void)at;
    if (apiary_discover(b->a, asked_for, &row, 1) != 1) perf_die("nobody was found");
}

void perf_step_route(struct perf_bench *b, unsigned at)
{
    int capability = ap_capability_find(b->a->seg, PERF_CAPABILITY, strlen(PERF_CAPABILITY));
    uint32_t queue;
    uint64_t life;

    (void)at;
    perf_must(capability, "find");
    perf_must(ap_route(b->a->seg, (uint32_t)capability, &b->balance, AP_NO_QUEUE, &queue, &life), "route");
}

/* A key that nobody else wants is claimed and released. */
void perf_step_hold(struct perf_bench *b, unsigned at)
{
    static const char key[] __attribute__((aligned(4096))) = "orders/invoice-7";
    apiary_claim_t claim = {.struct_size = sizeof claim};

    (void)at;
    perf_must(apiary_claim(b->a, key, UINT64_C(60000000000), NULL, &claim), "claim");
    perf_must(apiary_claim_release(b->a, key, claim.token), "release");
}

static void step_key(struct perf_bench *b, char key[PERF_KEY_SIZE], bool number)
{
    perf_store_key(key, (uint32_t)(b->asked++ * UINT64_C(0x9e3779b1) % b->values), number);
}

void perf_step_get(struct perf_bench *b, unsigned at)
{
    apiary_memory_value_t value = {.struct_size = sizeof value};
    uint8_t got[BODY];
    char key[PERF_KEY_SIZE];

    (void)at;
    step_key(b, key, false);
    perf_must(apiary_memory_get(b->memory, key, got, sizeof got, &value), "get");
    if (value.size != BODY) perf_die("a value was lost");
}

void perf_step_put(struct perf_bench *b, unsigned at)
{
    char key[PERF_KEY_SIZE];

    (void)at;
    step_key(b, key, false);
    perf_must(apiary_memory_put(b->memory, key, b->body, sizeof b->body, 0, NULL), "put");
}

void perf_step_incr(struct perf_bench *b, unsigned at)
{
    char key[PERF_KEY_SIZE];

    (void)at;
    step_key(b, key, true);
    perf_must(apiary_memory_incr(b->memory, key, 1, NULL), "incr");
}

/* ---- what is otherwise with an option ------------------------------------------------------------------------------ */

__attribute__((noinline)) void perf_step_claim_due(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_complete_unseen(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_fetch(struct perf_bench *b, unsigned at);
__attribute__((noinline)) void perf_step_nothing(struct perf_bench *b, unsigned at);

void perf_step_claim_due(struct perf_bench *b, unsigned at)
{
    ap_due_look(b->a->seg, &ap_registry_hooks, b->worker.index);
    claim_task(b, at);
}

/* As a worker does. */
void perf_step_complete_unseen(struct perf_bench *b, unsigned at)
{
    complete_task(b, at);
    ap_task_free_unseen(b->a->seg, b->worker.index, AP_REF_SLOT(b->refs[at]), ap_slot_leave, b->a->seg);
}

void perf_step_fetch(struct perf_bench *b, unsigned at)
{
    apiary_result_t result = {.struct_size = sizeof result};
    uint8_t fetched[BODY];

    perf_must(apiary_fetch(b->a, b->tasks[at], 0, fetched, sizeof fetched, &result), "fetch");
    if (result.code != 0 || result.size != BODY) perf_die("a result was lost");
    perf_must(apiary_forget(b->a, b->tasks[at]), "forget");
}

void perf_step_nothing(struct perf_bench *b, unsigned at)
{
    (void)b, (void)at;
}

/* A step as it is taken, and the function that is counted: the call itself where a step is one call of the interface, else the step
 * with what it does by hand. By full names: a pattern would take in perf_step_counted, which calls them. */
struct taken {
    void (*run)(struct perf_bench *b, unsigned at);
    const char *counted;
};

static struct taken step_taken(enum perf_step step, const struct perf_option *option)
{
    static const struct taken usual[PERF_STEPS] = {
        {perf_step_submit, "apiary_delegate"}, {perf_step_claim, "perf_step_claim"}, {perf_step_complete, "perf_step_complete"},
        {perf_step_collect, "perf_step_collect"}, {perf_step_discover, "apiary_discover"}, {perf_step_route, "perf_step_route"},
        {perf_step_hold, "perf_step_hold"}, {perf_step_get, "apiary_memory_get"}, {perf_step_put, "apiary_memory_put"},
        {perf_step_incr, "apiary_memory_incr"}};
    bool unseen = (option->options.flags & APIARY_DETACH) != 0;

    if (step == PERF_CLAIM && option->options.delay != 0) return (struct taken){perf_step_claim_due, "perf_step_claim_due"};
    if (step == PERF_COMPLETE && unseen) return (struct taken){perf_step_complete_unseen, "perf_step_complete_unseen"};
    if (step == PERF_COLLECT && option->fetched) return (struct taken){perf_step_fetch, "perf_step_fetch"};
    if (step == PERF_COLLECT && unseen) return (struct taken){perf_step_nothing, "perf_step_nothing"};
    return usual[step];
}

const char *perf_step_function(enum perf_step step, unsigned option)
{
    return step_taken(step, &perf_options_table[option]).counted;
}

void perf_bench_step(struct perf_bench *b, enum perf_step step)
{
    step_taken(step, b->option).run(b, b->done[step]++ % 64);
    if (step == PERF_COLLECT) ap_queue_publish(&b->consumer, 0);
}

/* ---- counting ------------------------------------------------------------------------------------------------------ */

static void empty_caches(const uint8_t *room)
{
    static uint8_t kept;
    uint8_t sum = 0;

    for (size_t i = 0; i < EMPTYING; i += AP_LINE)
        sum ^= ap_load_relaxed(&room[i]);
    ap_store_relaxed(&kept, sum);
}

void perf_step_counted(enum perf_step step, unsigned n, struct perf_tables tables)
{
    /* At the beginning of a page, and with it the stack of what is called from here: else it would depend on the length of the
     * environment how many lines of the stack a step touches. */
    const struct perf_tables own __attribute__((aligned(4096))) = tables;
    struct perf_bench *b = perf_bench_open(tables);
    uint8_t *room = calloc(1, EMPTYING);

    __asm__ __volatile__("" : : "r"(&own) : "memory");
    if (room == NULL) perf_die("out of memory");
    for (unsigned i = 0; i < n; i++) {
        for (enum perf_step s = PERF_SUBMIT; s < PERF_STEPS; s++) {
            if (s == step || step == PERF_STEPS) empty_caches(room);
            perf_bench_step(b, s);
        }
    }
    free(room);
}

void perf_step_from_here(void)
{
    __asm__ __volatile__("" ::: "memory");
}

void perf_step_to_here(void)
{
    __asm__ __volatile__("" ::: "memory");
}

/* Past the time for which the clock goes by the processor's counter alone (core/ops.c): each step reads it anew, as it does after
 * caches were emptied, and not now and then. */
static void pause_for_clock(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1200000}, NULL);
}

void perf_step_options(enum perf_step step, unsigned before, unsigned n)
{
    for (unsigned option = 0; perf_options_table[option].name != NULL; option++) {
        struct perf_bench *b = perf_bench_open((struct perf_tables){.option = option});
        for (unsigned i = 0; i < before + n; i++) {
            if (i == before) perf_step_from_here();
            for (enum perf_step s = PERF_SUBMIT; s <= PERF_COLLECT; s++) {
                if (s == step) pause_for_clock();
                perf_bench_step(b, s);
            }
        }
        perf_step_to_here();
        bench_close(b);
    }
}
