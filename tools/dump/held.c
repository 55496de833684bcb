/* tools/dump/held.c - shmdump: what the dead hold, until somebody recovers them: tasks, queues, claims, blocks, slabs. See
 * dump.h. */
#include <stdlib.h>

#include "shm/claim.h"
#include "shm/pool.h"
#include "shm/queue.h"
#include "tools/common/common.h"
#include "tools/common/finished.h"
#include "tools/dump/dump.h"

/* Of each lane: its object, NULL: it is not dead. */
struct held {
    const struct dump *d;
    json_t **lanes;
    uint32_t count;
};

static json_t *held_by(const struct held *h, uint32_t lane)
{
    return lane < h->count ? h->lanes[lane] : NULL;
}

static void held_add(const struct held *h, uint32_t lane, const char *key, json_t *value)
{
    json_t *o = held_by(h, lane);

    if (o != NULL) json_array_append_new(json_object_get(o, key), value);
    else json_decref(value);
}

static void held_count(const struct held *h, uint32_t lane, const char *key)
{
    json_t *n = json_object_get(held_by(h, lane), key);

    if (n != NULL) json_integer_set(n, json_integer_value(n) + 1);
}

static json_t *dead_lane_json(const struct ap_segment *seg, uint32_t index)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);
    uint32_t member = ap_load_relaxed(&lane->member);
    const struct ap_member *m = ap_member_at(seg, member);

    return json_pack("{s:I, s:I, s:I, s:o, s:o, s:[], s:[], s:[], s:i, s:i}", "lane", (json_int_t)index, "pid",
                     (json_int_t)ap_load_relaxed(&lane->pid), "thread", (json_int_t)ap_load_relaxed(&lane->tid), "name",
                     m != NULL ? dump_bytes_json(m->name, sizeof m->name) : json_null(), "calls_for",
                     m != NULL ? dump_bytes_json(m->swarm, sizeof m->swarm) : json_null(), "tasks", "queues", "claims", "blocks", 0,
                     "slabs", 0);
}

/* Those that it runs, is about to submit, or is about to free. */
static void held_tasks(const struct held *h)
{
    const struct ap_segment *seg = &h->d->seg;

    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        uint64_t word = ap_load_acquire(&ap_slot_at(seg, i)->word); /* TASK-A1 pairs TASK-R1 */
        uint32_t state = AP_WORD_STATE(word), lane = AP_WORD_OWNER(word);
        char task[48], capability[APIARY_CAPABILITY_MAX + 1], caller[APIARY_NAME_MAX + 1];
        struct ap_finished r;

        if (ap_task_owner(state) != AP_OWNER_IS_LANE || held_by(h, lane) == NULL) continue;
        ap_finished_copy(seg, i, word, &r);
        finished_task(&r, task);
        held_add(h, lane, "tasks",
                 json_pack("{s:s, s:s, s:o, s:o, s:i, s:o}", "task", task, "state", ap_task_state_name(state), "capability",
                           tool_json_text(finished_capability(seg, &r, capability)), "caller",
                           tool_json_text(finished_caller(seg, &r, caller)), "attempt", (int)r.attempt, "age",
                           dump_age(h->d, r.started != 0 ? r.started : r.queued)));
    }
}

static void held_queues(const struct held *h)
{
    char agent[FINISHED_AGENT];

    for (uint32_t q = 0; q < h->d->seg.geometry.queues; q++) {
        uint64_t life = ap_load_acquire(&ap_queue_at(&h->d->seg, q)->life);

        if (AP_QUEUE_STATE(life) == AP_QUEUE_OPEN || AP_QUEUE_STATE(life) == AP_QUEUE_CLAIMED)
            held_add(h, AP_QUEUE_LANE(life), "queues", tool_json_text(finished_agent(&h->d->seg, q, agent)));
    }
}

static void held_claims(const struct held *h)
{
    for (uint64_t i = 0; i < h->d->seg.sections[AP_SECTION_CLAIMS].count; i++) {
        const struct ap_claim *row = ap_claim_at(&h->d->seg, i);
        uint64_t word = ap_load_acquire(&row->word); /* CLAIM-A1 pairs CLAIM-R1 */

        if (AP_CLAIM_STATE(word) == AP_CLAIM_HELD)
            held_add(h, AP_CLAIM_LANE(word), "claims", dump_bytes_json((const char *)row->key, sizeof row->key));
    }
}

/* Blocks that are nobody else's yet: loans, results that are being made. */
static void held_memory(const struct held *h)
{
    const struct ap_segment *seg = &h->d->seg;

    for (uint64_t i = 0; i < seg->sections[AP_SECTION_BLOCKS].count; i++) {
        uint64_t word = ap_load_acquire((const uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, i));

        if (AP_BLOCK_STATE(word) == AP_BLOCK_OWNED) held_count(h, AP_BLOCK_WHO(word), "blocks");
    }
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_SLABS].count; i++)
        held_count(h, AP_LEASE_LANE(ap_load_acquire(&ap_slab_at(seg, i)->lease)) - 1, "slabs");
}

json_t *dump_held(const struct dump *d)
{
    struct held h = {.d = d, .count = d->seg.geometry.lanes};
    json_t *list = json_array();

    h.lanes = tool_alloc((h.count + 1) * sizeof *h.lanes);
    for (uint32_t i = 0; i < h.count; i++) {
        bool dead = ap_lane_at(&d->seg, i) != NULL && ap_lane_dead(&d->seg, i);

        h.lanes[i] = dead ? dead_lane_json(&d->seg, i) : NULL;
        if (dead) json_array_append_new(list, h.lanes[i]);
    }
    if (json_array_size(list) > 0) {
        held_tasks(&h);
        if (d->registry) held_queues(&h);
        held_claims(&h);
        held_memory(&h);
    }
    free(h.lanes);
    return list;
}
