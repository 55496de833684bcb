/* A plug-in agent for the kill tests: counts each execution of a task in a file that outlives everybody, then echoes.
 * The body begins with a 64-bit index into the file's bytes; a shorter body is only echoed. With the key `order` a stamp
 * follows, {32-bit number of the client's life, 32-bit running number in that life}: first executions that come with a lower
 * running number than an earlier one of the same life are counted in that file, {64-bit in order, 64-bit late}. */
#include <apiary/agent.h>

#include <string.h>

#include "mapped.h"

struct ledger {
    uint8_t *counts;
    uint64_t size;
    uint64_t *order; /* in order, late */
    uint32_t *last;  /* by life: the highest running number that came */
    int64_t spin;    /* turns of work for each task, so that a kill may find it in hand */
};

enum { LIVES = 1 << 16 };

static int create(apiary_agent_t *agent, void **state)
{
    const char *path = apiary_agent_text(agent, "file", NULL), *order = apiary_agent_text(agent, "order", NULL);
    struct ledger *l = apiary_agent_alloc(agent, sizeof *l);
    uint64_t size = 0;

    if (l == NULL) return APIARY_ENOBLOCK;
    memset(l, 0, sizeof *l);
    l->spin = apiary_agent_number(agent, "spin", 0);
    *state = l;
    if (path != NULL && (l->counts = map_file(agent, path, &l->size)) == NULL) return APIARY_ECONFIG;
    if (order == NULL) return 0;
    l->order = map_file(agent, order, &size);
    if (l->order == NULL || size < 2 * sizeof *l->order) return APIARY_ECONFIG;
    l->last = apiary_agent_alloc(agent, LIVES * sizeof *l->last);
    if (l->last == NULL) return APIARY_ENOBLOCK;
    memset(l->last, 0, LIVES * sizeof *l->last);
    return 0;
}

static void order_look(struct ledger *l, const uint32_t stamp[2])
{
    if (stamp[0] >= LIVES) return;
    __atomic_fetch_add(&l->order[stamp[1] < l->last[stamp[0]]], 1, __ATOMIC_RELAXED);
    if (stamp[1] > l->last[stamp[0]]) l->last[stamp[0]] = stamp[1];
}

static void handle(void *state, apiary_job_t *job)
{
    struct ledger *l = state;
    uint32_t stamp[2];
    uint64_t index;
    size_t size;
    const void *body = apiary_job_data(job, &size);

    if (size >= sizeof index && l->counts != NULL) {
        memcpy(&index, body, sizeof index);
        if (index < l->size && __atomic_fetch_add(&l->counts[index], 1, __ATOMIC_RELAXED) == 0 && l->order != NULL &&
            size >= sizeof index + sizeof stamp) {
            memcpy(stamp, (const char *)body + sizeof index, sizeof stamp);
            order_look(l, stamp);
        }
    }
    for (volatile int64_t turn = 0; turn < l->spin; turn++) {
    }
    apiary_job_reply(job, body, size);
}

const apiary_agent_kind_t *apiary_agent_plugin(void);
__attribute__((visibility("default"))) const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_key_t keys[] = {{"file", 's', 0, "the ledger", 0, 0},
                                              {"order", 's', 0, "where the order of first executions is counted", 0, 0},
                                              {"spin", 'i', 0, "turns of work per task", 0, 0},
                                              {.name = NULL}};
    static const apiary_agent_kind_t kind = {
        APIARY_AGENT_KIND,
        .name = "ledger",
        .what = "counts executions, then echoes",
        .keys = keys,
        .create = create,
        .handle = handle,
    };
    return &kind;
}
