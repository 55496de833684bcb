/* tests/process/corrupt_make.h - a segment with something of everything in it, made by the library in this process: lanes of
 * both kinds, swarms, capabilities, queues, tasks in every state, bodies inline and in blocks of every class. */
#ifndef CORRUPT_MAKE_H
#define CORRUPT_MAKE_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "registry/client/client.h"
#include "registry/discovery/discovery.h"
#include "registry/client/carried.h"
#include "registry/routing/terms.h"
#include "registry/monitor/supervised.h"
#include "registry/monitor/tally.h"
#include "shm/event.h"
#include "shm/finished.h"

#define MUST(condition)                                                                      \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);    \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

struct made {
    struct ap_segment *seg;
    struct ap_lane_handle queen, worker, client, left;
    struct ap_slabs slabs;
    struct ap_producer *producers;
    struct ap_pool_hint hint;
    struct ap_swarm_registration swarm;
    struct ap_agent_registration agents[3];
};

static void make_swarm(struct made *m)
{
    static const char *const first[] = {"cache.get", "cache.put@2", NULL};
    static const char *const second[] = {"store.read", NULL};
    static const char *const third[] = {"cache.get", "store.write", NULL};
    static const struct ap_terms terms[] = {{.balance = AP_POLICY_round_robin + 1}};
    static const struct ap_rules rules[] = {
        {.count = 2, .list = {{.verb = AP_RULE_ALLOW, .from = "ai_service"}, {.verb = AP_RULE_PREFER, .to = "storage_service"}}}};

    m->agents[0] = (struct ap_agent_registration){.name = "cache", .capabilities = first, .lane = m->worker.index};
    m->agents[1] = (struct ap_agent_registration){.name = "reader", .capabilities = second, .terms = terms, .rules = rules,
                                                  .lane = m->worker.index};
    m->agents[2] = (struct ap_agent_registration){.name = "writer", .capabilities = third, .lane = m->worker.index};
    m->swarm = (struct ap_swarm_registration){.service = "storage_service", .instance = "0", .version = "1.2",
                                              .health_endpoint = "/health", .metrics_endpoint = "/metrics", .port = 4009,
                                              .max_delegations = 10, .lane = m->queen.index, .member = m->queen.member,
                                              .agents = m->agents, .agent_count = 3};
    MUST(ap_swarm_register(m->seg, &m->swarm) == 0);
}

/* A task as a client leaves it, QUEUED in the queue of `agent`; returns its slot. */
static uint32_t make_task(struct made *m, unsigned agent, const char *capability, uint32_t size)
{
    struct ap_segment *seg = m->seg;
    struct ap_slot *slot;
    uint64_t ref, block = 0, now = seg->ops->now();
    uint32_t index;
    int row = ap_capability_find(seg, capability, strlen(capability));

    MUST(row >= 0);
    MUST(ap_task_reserve(&m->slabs, NULL, NULL, &index) == 0);
    slot = ap_slot_at(seg, index);
    slot->deadline = now + UINT64_C(60000000000);
    slot->capability = (uint16_t)row;
    slot->queued = now;
    slot->body_size = size;
    if (size > AP_INLINE_BODY) {
        MUST(ap_pool_take(seg, &m->client, &m->hint, size, &block) == 0);
        memset(ap_at_offset(seg, block, size), 'b', size);
        slot->body = block;
        ap_pool_attach(seg, block, AP_BLOCK_REQUEST, index, AP_WORD_GENERATION(slot->word));
    }
    MUST(ap_queue_room(seg, m->agents[agent].queue, &m->producers[m->agents[agent].queue], &m->client));
    ref = ap_task_publish(seg, index, m->agents[agent].queue);
    MUST(ap_queue_push(seg, &m->producers[m->agents[agent].queue], ref) == 0);
    ap_fence_full();
    ap_queue_signal(seg, m->agents[agent].queue, m->producers[m->agents[agent].queue].index,
                    ap_load_acquire(&ap_queue_at(seg, m->agents[agent].queue)->life));
    return index;
}

/* Claims what is next for the agent; returns its slot and the token. */
static uint32_t make_running(struct made *m, struct ap_consumer *c, uint64_t *token)
{
    uint64_t ref = ap_queue_pop(c);

    MUST(ref != 0);
    MUST(ap_task_claim(m->seg, m->worker.index, c->index, ref, token) == 1);
    ap_slot_at(m->seg, AP_REF_SLOT(ref))->started = m->seg->ops->now();
    return AP_REF_SLOT(ref);
}

static void make_finished(struct made *m, uint32_t index, uint64_t token, int code, uint32_t size)
{
    struct ap_slot *slot = ap_slot_at(m->seg, index);
    uint64_t block;

    slot->result_size = size;
    if (size > AP_INLINE_BODY) {
        MUST(ap_pool_take(m->seg, &m->worker, &m->hint, size, &block) == 0);
        ap_pool_attach(m->seg, block, AP_BLOCK_RESULT_OF(token), index, AP_WORD_GENERATION(token));
        slot->result = block;
    }
    slot->finished = m->seg->ops->now();
    MUST(ap_task_finish(m->seg, index, token, code) == 0);
}

/* Three parts, of which one is read. */
static void make_stream(struct made *m, uint32_t index, uint64_t token)
{
    apiary_task_t task = ap_task_id(m->seg, index, AP_WORD_GENERATION(token));
    struct ap_stream_writer writer;
    struct ap_stream_part part;
    char text[100] = "";
    uint64_t block;

    MUST(ap_task_request(m->seg, index, task.generation, AP_REQUEST_PARTS) == 1);
    MUST(ap_pool_take(m->seg, &m->worker, &m->hint, 1000, &block) == 0);
    MUST(ap_stream_begin(m->seg, m->worker.index, index, token, block, &writer));
    for (int i = 0; i < 3; i++) MUST(ap_stream_write(&writer, text, sizeof text) == 1);
    MUST(ap_stream_read(m->seg, task, token, text, sizeof text, &part) == 1);
}

/* What a thread leaves behind that ends with open tasks. */
static void *make_shared_lane(void *user)
{
    struct made *m = user;

    MUST(ap_lane_open(m->seg, m->client.member, &m->left) == 0);
    ap_lane_share(&m->left);
    return NULL;
}

static void make_tasks(struct made *m)
{
    static const uint32_t sizes[] = {0, 20, 64, 65, 300, 5000, 20000, 70000};
    struct ap_segment *seg = m->seg;
    struct ap_consumer cache, reader;
    uint32_t index, spare;
    uint64_t token, block;

    ap_consumer_init(&cache, seg, m->agents[0].queue);
    ap_consumer_init(&reader, seg, m->agents[1].queue);
    for (int i = 0; i < 40; i++) { /* several laps of the ring */
        make_task(m, 0, "cache.get", sizes[i % 5]);
        index = make_running(m, &cache, &token);
        make_finished(m, index, token, i % 4 == 3 ? APIARY_EAGENT : 0, sizes[i % 4]);
        MUST(ap_task_release(seg, m->client.index, index, ap_slot_at(seg, index)->word) == 1);
    }
    for (int i = 0; i < 8; i++) make_task(m, 0, "cache.get", sizes[i]);
    for (int i = 0; i < 3; i++) make_finished(m, make_running(m, &cache, &token), token, 0, sizes[i + 2]);
    make_finished(m, make_running(m, &cache, &token), token, APIARY_EAGENT, 30);
    index = make_running(m, &cache, &token);
    make_stream(m, index, token);
    m->worker.lane->hand[0] = AP_REF(index, AP_WORD_GENERATION(token));
    index = make_task(m, 1, "store.read", 10);
    MUST(ap_task_cancel_queued(seg, index, ap_slot_at(seg, index)->word, AP_TASK_CANCELLED, APIARY_ECANCELLED) == 1);
    index = make_task(m, 1, "store.read", 500);
    MUST(ap_task_cancel_queued(seg, index, ap_slot_at(seg, index)->word, AP_TASK_FAILED, APIARY_ETIMEDOUT) == 1);
    index = make_task(m, 1, "store.read", 0);
    MUST(ap_task_request(seg, index, AP_WORD_GENERATION(ap_slot_at(seg, index)->word), AP_REQUEST_DETACH) == 1);
    /* Between the compare-and-swap and the free: RELEASING in the client's hands. */
    index = make_task(m, 2, "store.write", 100);
    MUST(ap_task_cancel_queued(seg, index, ap_slot_at(seg, index)->word, AP_TASK_CANCELLED, APIARY_ECANCELLED) == 1);
    ap_slot_at(seg, index)->word = AP_WORD_WITH(ap_slot_at(seg, index)->word, AP_TASK_RELEASING, m->client.index);
    MUST(ap_task_reserve(&m->slabs, NULL, NULL, &spare) == 0);
    MUST(ap_pool_take(seg, &m->client, &m->hint, 1000, &block) == 0); /* a loan */
    MUST(ap_queue_push_shared(seg, m->agents[1].queue, AP_REF(spare, 1)) == 0);
    ap_queue_publish(&cache, 1);
    ap_queue_publish(&reader, 0);
}

/* One instance that is started again and again, and one of which nothing but that is known. */
static void make_supervised(struct made *m)
{
    struct ap_supervision s = {.state = AP_CHILD_STARTING};
    uint32_t row;

    MUST(ap_supervised_take(m->seg, m->queen.index, (int64_t)getpid(), "web", &s, &row) == 0);
    MUST(ap_supervised_take(m->seg, m->queen.index, (int64_t)getpid(), "storage_service", &s, &row) == 0);
    s = (struct ap_supervision){.state = AP_CHILD_WAITING, .starts = 3, .ends = 3, .end = AP_END_NO_START, .code = EAGAIN,
                                .stage = AP_STAGE_FORK, .changed = m->seg->ops->realtime(), .ended = m->seg->ops->realtime(),
                                .due = m->seg->ops->now()};
    ap_supervision_said(&s, "no more", 7);
    ap_supervised_write(m->seg, 0, &s);
}

/* A task that says what it carries, and a row that an older task has left. */
static void make_carried(struct made *m)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o, .hops = 7, .trace = {.flags = 1}};

    memset(o.trace.trace_id, 0x77, sizeof o.trace.trace_id);
    memset(o.trace.parent_id, 0x33, sizeof o.trace.parent_id);
    for (uint32_t i = 0, n = 0; i < m->seg->geometry.tasks && n < 2; i++) {
        uint64_t word = ap_slot_at(m->seg, i)->word, generation = AP_WORD_GENERATION(word);

        if (AP_WORD_STATE(word) != (n == 0 ? AP_TASK_QUEUED : AP_TASK_DONE)) continue;
        ap_carried_write(m->seg, ap_task_id(m->seg, i, generation - n++), &o);
    }
}

/* Of a pair with counts, a failure and a refusal. */
static void make_counts(struct made *m)
{
    struct ap_tally_name name = {.kind = AP_TALLY_PAIR, .caller = "ai_service"};
    struct ap_tally_row *row = ap_tally_find(m->seg, &name, true);
    struct ap_tally_last last = {.what = 0};

    MUST(row != NULL);
    ap_own_add(&row->counts[AP_TALLY_ENDED], 2);
    ap_tally_anew(m->seg, 0);
    for (uint32_t i = 0; i < AP_TALLY_COUNTS_END; i++) ap_own_add(&row->counts[i], i == AP_TALLY_ENDED ? 9 : 3);
    name = (struct ap_tally_name){.kind = AP_TALLY_FAILED, .code = APIARY_EAGENT, .agent_code = 7};
    row = ap_tally_find(m->seg, &name, true);
    MUST(row != NULL);
    ap_own_add(&row->counts[AP_TALLY_ENDED], 3);
    ap_tally_refused(m->seg, &last, 0, 1, APIARY_ELIMIT);
    for (uint32_t i = 0; i < 3; i++) {
        struct ap_finished r = {.queue = i, .slot = i, .lane = i < 2 ? i : AP_FINISHED_NONE, .attempt = 1};

        ap_finished_enter(m->seg, &r, i == 0 ? AP_FINISH_DONE : AP_FINISH_FAILED, i == 0 ? 0 : APIARY_ELOST, 1, i < 2);
    }
}

/* Returns a private copy of its bytes; the segment itself stays as it is until the process ends, under the name if there is
 * one. */
static uint8_t *make_segment(const char *keep, uint64_t *size)
{
    static struct made all[4]; /* they stay */
    static unsigned count;
    struct made *m = &all[count++];
    struct ap_segment_options o = {.name = keep};
    char name[64], message[256] = "";
    struct ap_ticket_hint ticket = {0};
    pthread_t thread;
    uint32_t number;
    uint32_t service;
    uint8_t *copy;

    snprintf(name, sizeof name, "/apiary-corrupt-%d", (int)getpid());
    if (keep == NULL) o.name = name;
    o.geometry = (struct ap_geometry){.members = 6, .lanes = 12, .tasks = 128, .queues = 5, .queue_depth = 16,
                                              .queue_inlets = 2, .pool_blocks = {12, 8, 6, 2, 2, 1, 0}, .events = 16,
                                              .max_concurrent_delegations = 10,
                                      .registry = {[AP_REGISTRY_INDEX(SERVICES)] = 8, [AP_REGISTRY_INDEX(SWARMS)] = 4,
                                                   [AP_REGISTRY_INDEX(CAPABILITIES)] = 32, [AP_REGISTRY_INDEX(RULES)] = 2,
                                                   [AP_REGISTRY_INDEX(TALLIES)] = 20}};
    MUST(ap_registry_create(&o, message, sizeof message, &m->seg) == 0);
    if (keep == NULL) MUST(ap_segment_remove(name) == 0);
    MUST(ap_member_open(m->seg, "queen", "storage_service", APIARY_QUEEN, &m->queen) == 0);
    MUST(ap_lane_open(m->seg, m->queen.member, &m->worker) == 0);
    MUST(ap_member_open(m->seg, "a client", NULL, APIARY_CLIENT, &m->client) == 0);
    MUST(pthread_create(&thread, NULL, make_shared_lane, m) == 0 && pthread_join(thread, NULL) == 0);
    MUST(ap_robust_trylock(&m->seg->header->role) == 0);
    make_swarm(m);
    MUST(ap_service_intern(m->seg, m->queen.index, "ai_service", &service) == 0);
    MUST(ap_ticket_take(m->seg, service, m->client.index, 10, &ticket, &number) == 0);
    m->producers = calloc(m->seg->geometry.queues, sizeof *m->producers);
    MUST(m->producers != NULL);
    ap_slabs_init(&m->slabs, &m->client);
    make_tasks(m);
    make_supervised(m);
    make_carried(m);
    make_counts(m);
    for (int i = 0; i < 30; i++) ap_event_log(m->seg, AP_EVENT_TASK_MOVED, m->client.index, (uint64_t)i, 1);
    *size = m->seg->size;
    copy = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(copy != MAP_FAILED);
    memcpy(copy, m->seg->base, *size);
    return copy;
}

#endif
