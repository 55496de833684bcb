/* tests/unit/registry_fixture.h - a small segment with the registry, a client, and a queen with one worker thread. */
#ifndef REGISTRY_FIXTURE_H
#define REGISTRY_FIXTURE_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "registry/client/client.h"
#include "shm/bell.h"
#include "tests/support/leftovers.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static char seg_name[64];
static apiary_t *client;
/* The worker uses the client's own handle: so the thread sanitizer sees that both mean the same memory. */
static bool one_mapping;

static const struct ap_geometry small = {.members = 16, .lanes = 32, .tasks = 256, .queues = 8, .queue_depth = 8,
                                         .queue_inlets = 3, .pool_blocks = {8, 4, 2, 1, 1, 1, 2}, .events = 64,
                                         .max_concurrent_delegations = 5, .member_share = 100, .kept_share = 100,
                                         .registry = {[AP_REGISTRY_INDEX(SERVICES)] = 8, [AP_REGISTRY_INDEX(SWARMS)] = 4,
                                                      [AP_REGISTRY_INDEX(CAPABILITIES)] = 16}};

static inline void segment_make(const struct ap_geometry *g)
{
    struct ap_segment_options o = {.name = seg_name, .geometry = *g};
    struct ap_segment *seg;
    char message[256] = "";

    leftovers_clear("apiary-registry");
    snprintf(seg_name, sizeof seg_name, "/apiary-registry-%d", (int)getpid());
    shm_unlink(seg_name);
    cr_assert_eq(ap_registry_create(&o, message, sizeof message, &seg), 0, "%s", message);
    ap_segment_unmap(seg);
}

static inline apiary_t *attach_as(const char *swarm)
{
    char message[256] = "";
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "test", .swarm = swarm, .message = message,
                                 .message_size = sizeof message};
    apiary_t *a = NULL;

    cr_assert_eq(apiary_attach(seg_name, &o, &a), 0, "%s", message);
    return a;
}

static inline void fixture_setup(void)
{
    segment_make(&small);
    client = attach_as("caller");
}

static inline void fixture_teardown(void)
{
    apiary_detach(client);
    shm_unlink(seg_name);
}

/* ---- a queen's worker, in a thread of the test ---------------------------------------------------------------- */

enum work { ECHO, FAIL, SIZED };

struct worker {
    apiary_t *server;
    pthread_t thread;
    sem_t ready, start, took, go;
    uint32_t lane, queue;
    uint32_t stop, hold;  /* hold: waits for `go` after it posted `took`, once for each task */
    uint32_t work; /* enum work */
    uint32_t runs;
    uint64_t last_ref;
    struct ap_agent_registration agent;
    struct ap_swarm_registration swarm;
};

static inline int worker_result(struct worker *w, struct ap_lane_context *c, struct ap_slot *slot, uint64_t token)
{
    struct ap_segment *seg = w->server->seg;
    uint32_t size = 0, want, work = ap_load_acquire(&w->work);
    const void *body = ap_task_body(seg, slot, &size);
    uint64_t offset = 0;
    void *to = slot->result_inline;

    cr_assert(body != NULL);
    want = size;
    if (work == SIZED) memcpy(&want, body, sizeof want);
    if (want > AP_INLINE_BODY) {
        int r = ap_pool_take(seg, &c->lane, &c->pool_hint, want, &offset);
        if (r < 0) return r;
        ap_pool_attach(seg, offset, AP_BLOCK_RESULT_OF(token), (uint32_t)(slot - ap_slot_at(seg, 0)), AP_WORD_GENERATION(token));
        to = ap_at_offset(seg, offset, want);
    }
    if (work == SIZED) memset(to, 'r', want);
    else memcpy(to, body, size);
    ap_store_relaxed(&slot->result, offset);
    ap_store_relaxed(&slot->result_size, want);
    ap_store_relaxed(&slot->agent_code, work == FAIL ? 7 : 0);
    return work == FAIL ? APIARY_EAGENT : 0;
}

static inline void worker_run(struct worker *w, struct ap_lane_context *c, uint64_t ref)
{
    struct ap_segment *seg = w->server->seg;
    struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(ref));
    uint64_t token;
    int code;

    if (!ap_task_claim(seg, c->lane.index, w->queue, ref, &token)) return;
    ap_store_relaxed(&slot->started, seg->ops->now());
    ap_add_acq_rel(&w->runs, 1);
    ap_store_relaxed(&w->last_ref, ref);
    if (ap_load_acquire(&w->hold)) {
        sem_post(&w->took);
        sem_wait(&w->go);
    }
    code = worker_result(w, c, slot, token);
    ap_store_relaxed(&slot->finished, seg->ops->now());
    ap_task_finish(seg, AP_REF_SLOT(ref), token, code);
}

static inline bool worker_turn(struct worker *w, struct ap_lane_context *c, struct ap_consumer *q)
{
    uint64_t ref, cursor = 0;
    bool any = false;

    while ((ref = ap_queue_pop(q)) != 0) {
        worker_run(w, c, ref);
        any = true;
    }
    if (ap_queue_rescan_due(q))
        while ((ref = ap_queue_scan(q, &cursor)) != 0) worker_run(w, c, ref);
    ap_queue_publish(q, 0);
    return any;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct ap_consumer q;
    int error = 0;
    struct ap_lane_context *c = ap_context(w->server, &error);

    cr_assert(c != NULL, "%s", apiary_strerror(error));
    w->lane = c->lane.index;
    sem_post(&w->ready);
    sem_wait(&w->start);
    ap_consumer_init(&q, w->server->seg, w->queue);
    while (!ap_load_acquire(&w->stop)) {
        uint32_t value;

        if (worker_turn(w, c, &q)) continue;
        value = ap_bell_raise(&c->lane.lane->bell);
        if (ap_queue_settle(&q) || ap_queue_rescan_due(&q) || ap_load_acquire(&w->stop)) continue;
        w->server->seg->ops->futex_wait(&c->lane.lane->bell, value, UINT64_MAX);
    }
    return NULL;
}

/* Registered, but it does not run yet: what is delegated stays queued. */
static inline int worker_register(struct worker *w, const char *service, const char *instance, const char *agent,
                                  const char *const *capabilities)
{
    int r;

    memset(w, 0, sizeof *w);
    w->server = one_mapping ? client : attach_as(service);
    sem_init(&w->ready, 0, 0);
    sem_init(&w->start, 0, 0);
    sem_init(&w->took, 0, 0);
    sem_init(&w->go, 0, 0);
    cr_assert_eq(pthread_create(&w->thread, NULL, worker_main, w), 0);
    sem_wait(&w->ready);
    w->agent = (struct ap_agent_registration){.name = agent, .capabilities = capabilities, .lane = w->lane};
    w->swarm = (struct ap_swarm_registration){.service = service, .instance = instance, .version = "1.0",
                                              .lane = w->server->anchor->lane.index, .member = w->server->member,
                                              .agents = &w->agent, .agent_count = 1};
    r = ap_swarm_register(w->server->seg, &w->swarm);
    w->queue = w->agent.queue;
    return r;
}

static inline void worker_go(struct worker *w)
{
    sem_post(&w->start);
}

static inline void worker_start(struct worker *w, const char *capability)
{
    const char *capabilities[] = {capability, NULL};

    cr_assert_eq(worker_register(w, "server", NULL, "agent", capabilities), 0);
    worker_go(w);
}

/* The thread ends; the registration stays as it is. */
static inline void worker_halt(struct worker *w)
{
    ap_store_release(&w->stop, 1);
    ap_store_release(&w->hold, 0);
    sem_post(&w->start);
    sem_post(&w->go);
    ap_bell_wake(w->server->seg->ops, &ap_lane_at(w->server->seg, w->lane)->bell);
    pthread_join(w->thread, NULL);
}

static inline void worker_stop(struct worker *w)
{
    ap_swarm_deregister(w->server->seg, w->server->anchor->lane.index, &w->swarm);
    worker_halt(w);
    if (w->server != client) apiary_detach(w->server);
}

/* ---- judging -------------------------------------------------------------------------------------------------- */

static char first_finding[256];

static void finding(void *user, const struct ap_finding *f)
{
    (void)user;
    if (first_finding[0] == '\0')
        snprintf(first_finding, sizeof first_finding, "%s %llu: %s: %s", f->structure, (unsigned long long)f->index, f->rule,
                 f->text);
}

/* Every checker is content. */
static inline void assert_sound(void)
{
    struct ap_report report = {.found = finding};

    first_finding[0] = '\0';
    ap_check_all(client->seg, &report);
    cr_assert_eq(report.repairable + report.corrupt, 0, "%s", first_finding);
}

static inline uint32_t slots_in_use(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < client->seg->geometry.tasks; i++)
        if (AP_WORD_STATE(ap_load_acquire(&ap_slot_at(client->seg, i)->word)) != AP_TASK_FREE) n++;
    return n;
}

static inline uint32_t blocks_in_use(void)
{
    uint64_t count = client->seg->sections[AP_SECTION_BLOCKS].count;
    uint32_t n = 0;

    for (uint64_t i = 0; i < count; i++)
        if (AP_BLOCK_STATE(ap_load_acquire((uint64_t *)ap_at(client->seg, AP_SECTION_BLOCKS, i))) != AP_BLOCK_FREE) n++;
    return n;
}

static inline uint32_t busy_tickets(void)
{
    return ap_tickets_busy(client->seg, (uint32_t)client->service);
}

static inline uint32_t lanes_live(const struct ap_segment *seg)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < seg->geometry.lanes; i++)
        if (AP_LIFE_STATE(ap_load_acquire(&ap_lane_at(seg, i)->life)) != AP_LIFE_FREE) n++;
    return n;
}

#endif
