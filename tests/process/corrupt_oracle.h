/* tests/process/corrupt_oracle.h - which invariants hold in a segment, told a second time and independently of shm/check*.c,
 * from the headers alone: plain code on bytes that nobody changes meanwhile. */
#ifndef CORRUPT_ORACLE_H
#define CORRUPT_ORACLE_H

#include "tests/process/corrupt_oracle_kept.h"
#include "tests/process/corrupt_oracle_tally.h"
#include "tests/process/corrupt_oracle_rules.h"

static void oracle_mutex(struct oracle *o, const char *structure, uint64_t index, const pthread_mutex_t *m)
{
    HOLDS(((uint32_t)m->__data.__lock & 0x3fffffff) <= 1u << 22, structure, index, m->__data.__lock);
    HOLDS((uint32_t)m->__data.__kind == o->mutex_kind, structure, index, m->__data.__kind);
    HOLDS(m->__data.__count <= 1, structure, index, m->__data.__count);
    HOLDS((uint32_t)m->__data.__owner <= 1u << 22 || m->__data.__owner >= INT_MAX - 1, structure, index, m->__data.__owner);
}

/* ---- header --------------------------------------------------------------------------------------------------- */

static void oracle_geometry(struct oracle *o)
{
    const struct ap_geometry *g = &((const struct ap_header *)o->seg->base)->geometry, *was = &o->original->geometry;

#define SAME(field) HOLDS(g->field == was->field, "header", 0, g->field)
    SAME(members);
    SAME(lanes);
    SAME(tasks);
    SAME(queues);
    SAME(queue_inlets);
    SAME(events);
    SAME(claims);
#undef SAME
    /* Rings are whole lines, so some wrong depths of few cells give the same stride. */
    HOLDS(g->queue_depth == was->queue_depth || (g->queue_depth < 16 && was->queue_depth < 16), "header", 0, g->queue_depth);
    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) HOLDS(g->pool_blocks[c] == was->pool_blocks[c], "header", 0, g->pool_blocks[c]);
    for (unsigned i = 0; i < AP_REGISTRY_SECTIONS_MAX; i++) {
        if (i == AP_REGISTRY_INDEX(MEMORY)) HOLDS(g->registry[i] >= 1 && g->registry[i] <= 100, "header", 0, g->registry[i]);
        else if (i == AP_REGISTRY_INDEX(DRAFTS)) HOLDS(g->registry[i] >= 1, "header", 0, g->registry[i]);
        else HOLDS(g->registry[i] == was->registry[i], "header", 0, g->registry[i]);
    }
    /* Rows of tickets, too. */
    HOLDS(g->max_concurrent_delegations >= 1 &&
              (g->max_concurrent_delegations + 15ull) / 16 == (was->max_concurrent_delegations + 15ull) / 16, "header", 0,
          g->max_concurrent_delegations);
    HOLDS(g->task_timeout != 0, "header", 0, g->task_timeout);
    HOLDS(g->result_ttl >= 1 && g->result_ttl <= 2592000000, "header", 0, g->result_ttl);
    HOLDS(g->max_unnamed_delegations >= 64 && g->max_unnamed_delegations <= AP_TASKS_MAX, "header", 0, g->max_unnamed_delegations);
}

static void oracle_sections(struct oracle *o)
{
    const struct ap_header *h = (const struct ap_header *)o->seg->base;

    for (uint32_t i = 0; i < AP_SECTIONS_MAX; i++) {
        const struct ap_section *s = &h->sections[i], *was = &o->original->sections[i];

        if (i >= o->original->section_count) {
            ZEROS("section", i, s, s + 1);
            continue;
        }
        HOLDS(memcmp(s->name, was->name, sizeof s->name) == 0, "section", i, s->name);
        HOLDS(s->offset == was->offset, "section", i, s->offset);
        HOLDS(s->stride == was->stride, "section", i, s->stride);
        HOLDS(s->count == was->count, "section", i, s->count);
        HOLDS(s->reserved == 0, "section", i, s->reserved);
    }
}

static void oracle_header(struct oracle *o)
{
    const struct ap_header *h = (const struct ap_header *)o->seg->base, *was = o->original;
    bool uuid = (h->boot_id[6] & 0xf0) == 0x40 && (h->boot_id[8] & 0xc0) == 0x80;

    HOLDS(memcmp(h->magic, "APIARYSG", 8) == 0, "header", 0, h->magic);
    HOLDS(h->version == was->version, "header", 0, h->version);
    HOLDS(h->version_min == was->version_min, "header", 0, h->version_min);
    HOLDS(h->fingerprint == was->fingerprint, "header", 0, h->fingerprint);
    HOLDS(h->size == was->size, "header", 0, h->size);
    HOLDS(h->state == 2, "header", 0, h->state);
    HOLDS(h->section_count == was->section_count, "header", 0, h->section_count);
    HOLDS(h->creator_pid > 0 && h->creator_pid <= 1 << 22, "header", 0, h->creator_pid);
    HOLDS(h->created_realtime < o->day_ahead, "header", 0, h->created_realtime);
    if (memcmp(h->boot_id, was->boot_id, 16) == 0) HOLDS(h->created_monotonic <= o->now, "header", 0, h->created_monotonic);
    HOLDS(uuid || zeros(h->boot_id, 16), "header", 0, h->boot_id);
    HOLDS(text_holds(h->name, sizeof h->name) && h->name[0] == '/' && h->name[1] != 0 && strchr(h->name + 1, '/') == NULL,
          "header", 0, h->name);
    HOLDS(h->rescan != 0, "header", 0, h->rescan);
    HOLDS(h->event_next != 0, "header", 0, h->event_next);
    ZEROS("header", 0, &h->time_namespace + 1, &h->rescan);
    ZEROS("header", 0, &h->tap + 1, &h->lanes_changed);
    ZEROS("header", 0, &h->lanes_changed + 1, &h->event_next);
    ZEROS("header", 0, &h->forgotten + 1, &h->role);
    HOLDS(h->images != 0, "header", 0, h->images);
    ZEROS("header", 0, &h->role + 1, &h->watched);
    ZEROS("header", 0, &h->watched + 1, &h->images);
    ZEROS("header", 0, &h->images + 1, &h->due);
    ZEROS("header", 0, &h->due_rung + 1, h->kept_grants);
    ZEROS("header", 0, h->kept_grants + AP_GRANTS, o->seg->base + 4096);
    oracle_mutex(o, "header", 0, &h->role);
    oracle_geometry(o);
    oracle_sections(o);
}

/* ---- members, lanes ------------------------------------------------------------------------------------------- */

static void oracle_member(struct oracle *o, uint32_t i)
{
    const struct ap_member *m = ap_member_at(o->seg, i);
    uint32_t state = m->life & 0xff, lane = m->life >> 8 & 0xffff;
    const struct ap_lane *anchor = ap_lane_at(o->seg, lane);

    HOLDS(state == 0 || state == 1 || state == 3, "member", i, m->life);
    HOLDS(lane < o->seg->geometry.lanes && (state != 0 || lane == 0), "member", i, m->life);
    HOLDS(m->reserved == 0, "member", i, m->reserved);
    HOLDS(zeros(m->pad, sizeof m->pad), "member", i, m->pad);
    if ((state == 1 || state == 3) && anchor != NULL) HOLDS(lane_is(o, lane) == LANE_LIVE, "member", i, m->life);
    if (state != 1) return;
    if (anchor != NULL && lane_is(o, lane) == LANE_LIVE)
        HOLDS(anchor->member == i || anchor->member == 0, "member", i, m->life);
    HOLDS(m->pid > 0 && m->pid <= 1 << 22, "member", i, m->pid);
    HOLDS(m->start_time != 0, "member", i, m->start_time);
    HOLDS(m->kind >= 1 && m->kind <= 4, "member", i, m->kind);
    HOLDS(m->attached < o->day_ahead, "member", i, m->attached);
    HOLDS(text_holds(m->name, sizeof m->name), "member", i, m->name);
    HOLDS(text_holds(m->swarm, sizeof m->swarm) && (m->swarm[0] == 0 || ap_name_valid(m->swarm, 47)), "member", i, m->swarm);
}

static void oracle_lane(struct oracle *o, uint32_t i)
{
    const struct ap_lane *l = ap_lane_at(o->seg, i);
    const struct ap_member *m = ap_member_at(o->seg, l->member);
    uint32_t state = l->life & 0xff, lock = (uint32_t)l->mutex.__data.__lock;

    HOLDS(state <= 2 && state != 2, "lane", i, l->life);
    HOLDS(l->kind <= 2 && (state == 0 || state > 2 || l->kind != 0), "lane", i, l->kind);
    HOLDS(m != NULL, "lane", i, l->member);
    if (state == 1 && m != NULL && l->member != 0) HOLDS((m->life & 0xff) == 1, "lane", i, l->member);
    HOLDS(l->joined <= o->now, "lane", i, l->joined);
    HOLDS(l->image <= o->seg->header->images, "lane", i, l->image);
    HOLDS(l->judge <= o->seg->header->images, "lane", i, l->judge);
    oracle_mutex(o, "lane", i, &l->mutex);
    if (state == 1 && l->kind != AP_LANE_SHARED) {
        HOLDS(lane_is(o, i) == LANE_LIVE, "lane", i, l->mutex.__data.__lock);
        if (lane_is(o, i) == LANE_LIVE && l->kind == AP_LANE_THREAD && l->mutex.__data.__owner != INT_MAX)
            oracle_range(o, (lock & 0x3fffffff) == l->tid && l->tid <= 1u << 22, "lane", i, &l->tid, &l->mutex + 1);
    }
    for (unsigned k = 0; k < AP_HANDS; k++)
        HOLDS(l->hand[k] == 0 || (l->hand[k] >> 60 == 0 && AP_REF_SLOT(l->hand[k]) < o->seg->geometry.tasks &&
                                  AP_REF_GENERATION(l->hand[k]) != 0), "lane", i, l->hand[k]);
    HOLDS(l->inside >> 63 != 0 ? (l->inside & INT64_MAX) < o->seg->geometry.queues
                               : l->inside >> 60 == 0 && l->inside >> 38 < o->seg->geometry.tasks, "lane", i, l->inside);
    HOLDS(l->crash <= AP_CRASH_EXEC, "lane", i, l->crash);
    ZEROS("lane", i, l->pad0, &l->mutex);
    ZEROS("lane", i, &l->mutex + 1, &l->bell);
    HOLDS(l->waits == 0 || (l->waits & 0xffff) - 1 < o->seg->sections[AP_SECTION_CLAIMS].count, "lane", i, l->waits);
    ZEROS("lane", i, &l->passed + 1, l->hand);
}

/* ---- slabs, slots --------------------------------------------------------------------------------------------- */

static void oracle_slab(struct oracle *o, uint32_t i)
{
    const struct ap_slab *s = ap_slab_at(o->seg, i);
    bool used = false;

    ZEROS("slab", i, &s->reserved, s + 1);

    for (uint32_t k = 0; k < AP_SLAB_SLOTS; k++) used |= ap_slot_at(o->seg, i * AP_SLAB_SLOTS + k)->word != 0;
    if (s->lease == 0)
        HOLDS(!used, "slab", i, s->lease);
    else
        HOLDS(s->lease >> 48 == 0 && s->lease >> 16 != 0 &&
              ((s->lease & 0xffff) == 0 || lane_is(o, (uint32_t)(s->lease & 0xffff) - 1) == LANE_LIVE), "slab", i, s->lease);
}

static void oracle_body(struct oracle *o, uint32_t i, const uint64_t *body, const uint32_t *size, uint64_t state)
{
    uint64_t capacity = 0, word = 0, generation = ap_slot_at(o->seg, i)->word >> 26;

    if (*body == 0) {
        HOLDS(*size <= 64, "slot", i, *size);
        return;
    }
    if (!block_find(o, *body, &capacity, &word)) {
        HOLDS(false, "slot", i, *body);
        return;
    }
    HOLDS(*size <= capacity, "slot", i, *size);
    HOLDS(word == (state | (uint64_t)i << 6 | generation << 28), "slot", i, *body);
}

static bool error_known(uint32_t number)
{
    static const int known[] = {
#define X(name, value, text, advice) value,
#include "core/apiary_error.def"
#undef X
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i] == (int)number) return true;
    return false;
}

static bool owner_holds(const struct oracle *o, uint32_t slot, uint32_t state, uint32_t owner)
{
    uint64_t word = ap_slot_at(o->seg, slot)->word;

    switch (state) {
    case AP_TASK_FREE: return owner == 0x3fff || word == 0;
    case AP_TASK_RESERVED: return lane_is(o, owner) == LANE_LIVE && (ap_slab_at(o->seg, slot / 64)->lease & 0xffff) == owner + 1;
    case AP_TASK_QUEUED: return owner < o->seg->geometry.queues;
    case AP_TASK_RUNNING:
    case AP_TASK_RELEASING: return lane_is(o, owner) == LANE_LIVE;
    case AP_TASK_SCHEDULED: return owner <= 31;
    case AP_TASK_DONE: return owner == 0x3fff;
    case AP_TASK_FAILED:
    case AP_TASK_CANCELLED: return error_known(owner);
    default: return false;
    }
}

static void oracle_due(struct oracle *o, uint32_t i, const struct ap_slot *s)
{
    const struct ap_slab *slab = ap_slab_at(o->seg, i / 64);
    uint64_t next = s->due > o->now && s->due <= s->deadline ? s->due : s->deadline, hint = o->seg->header->due;

    if (next == UINT64_MAX) return;
    HOLDS(slab->due != 0 && slab->due <= next, "slot", i, slab->due);
    HOLDS(hint != 0 && hint <= next, "slot", i, o->seg->header->due);
}

static void oracle_slot(struct oracle *o, uint32_t i)
{
    const struct ap_slot *s = ap_slot_at(o->seg, i);
    uint32_t state = s->word & 15, owner = s->word >> 12 & 0x3fff;
    uint64_t generation = s->word >> 26;
    bool published = state >= AP_TASK_SCHEDULED && state <= AP_TASK_CANCELLED;

    HOLDS(owner_holds(o, i, state, owner), "slot", i, s->word);
    HOLDS((s->word >> 4 & 7) <= 3 && generation <= AP_GENERATION_LAST &&
              (generation != 0 || state == 0), "slot", i, s->word);
    HOLDS(s->request >> 18 <= AP_GENERATION_LAST, "slot", i, s->request);
    if (published) {
        HOLDS(s->request >> 18 == generation, "slot", i, s->request);
        oracle_body(o, i, &s->body, &s->body_size, AP_BLOCK_REQUEST);
        HOLDS(s->deadline >= s->queued, "slot", i, s->deadline);
    }
    if (published && (s->request & 0x80) != 0) HOLDS(s->rank < 4, "slot", i, s->rank);
    if (state == AP_TASK_SCHEDULED) oracle_due(o, i, s);
    if (state == AP_TASK_DONE || (state == AP_TASK_FAILED && owner == (uint32_t)-APIARY_EAGENT))
        oracle_body(o, i, &s->result, &s->result_size, 5 + (s->word >> 4 & 7) + (s->word >> 7 & 31));
    HOLDS(s->queued <= o->now, "slot", i, s->queued);
    HOLDS(s->started <= o->now && (state != AP_TASK_DONE || s->started >= s->queued), "slot", i, s->started);
    HOLDS(s->finished <= o->now && (state != AP_TASK_DONE || s->finished >= s->started), "slot", i, s->finished);
    HOLDS(s->client < o->seg->geometry.lanes, "slot", i, s->client);
    HOLDS(s->queue < o->seg->geometry.queues, "slot", i, s->queue);
    HOLDS(s->worker < o->seg->geometry.lanes, "slot", i, s->worker);
    HOLDS(zeros(s->reserved, sizeof s->reserved), "slot", i, s->reserved);
}

/* ---- queues, rings -------------------------------------------------------------------------------------------- */

static void oracle_queue(struct oracle *o, uint32_t i)
{
    const struct ap_queue *q = ap_queue_at(o->seg, i);
    const struct ap_geometry *g = &o->seg->geometry;
    uint32_t state = q->life & 0xff, lane = q->life >> 8 & 0xffff;
    uint64_t epoch = q->life >> 24, left;

    HOLDS(state <= 3 && (state != 0 || epoch == 0) && (state < 2 || epoch != 0), "queue", i, q->life);
    HOLDS(state == 1 || state == 2 ? lane_is(o, lane) == LANE_LIVE : state > 3 || lane == 0, "queue", i, q->life);
    HOLDS(g->queue_inlets == 63 || q->summary >> (g->queue_inlets + 1) == 0, "queue", i, q->summary);
    HOLDS(q->depth <= (g->queue_inlets + 1) * g->queue_depth, "queue", i, q->depth);
    HOLDS(q->running <= g->tasks, "queue", i, q->running);
    HOLDS(q->ranked <= 1, "queue", i, q->ranked);
    HOLDS(q->done <= q->started, "queue", i, q->done);
    left = q->done <= q->started ? q->started - q->done : UINT64_MAX;
    HOLDS(q->failed <= left, "queue", i, q->failed);
    left = q->failed <= left ? left - q->failed : UINT64_MAX;
    HOLDS(q->late <= left, "queue", i, q->late);
    HOLDS(q->pace <= AP_PACE_MAX, "queue", i, q->pace);
    HOLDS(q->probed <= 1, "queue", i, q->probed);
    for (uint32_t k = 0; k < AP_PROBES; k++) {
        uint64_t ref = q->probes[k], slot = ref >> 38;

        HOLDS(ref == 0 || (slot < g->tasks && (ref & ((UINT64_C(1) << 38) - 1)) != 0), "queue", i, q->probes[k]);
    }
    HOLDS(q->margin == 0 || (q->margin >= AP_MARGIN_LEAST && q->margin <= AP_MARGIN_MOST), "queue", i, q->margin);
}

static void oracle_cells(struct oracle *o, uint32_t i, const struct ap_ring *r)
{
    uint64_t depth = o->seg->geometry.queue_depth, inlets = o->seg->geometry.queue_inlets;
    bool holes = i % (inlets + 1) == inlets; /* in the shared ring */

    for (uint64_t k = 0; k < depth; k++) {
        const uint64_t *cell = &r->cells[(r->head + k) % depth];
        uint64_t position = r->head + k, slot = *cell >> 38 & 0x3fffff, generation = *cell & ((UINT64_C(1) << 38) - 1);
        uint64_t lap = (position / depth + 1) % 16, before = position < depth ? 0 : (position / depth) % 16;

        if (*cell != 0 && !(holes && *cell << 4 == 0))
            HOLDS(slot < o->seg->geometry.tasks && generation != 0 && generation <= ap_slot_at(o->seg, slot)->word >> 26,
                  "ring", i, *cell);
        /* A reference below the tail, none above it; the producer may have filled the one at it. */
        if ((int64_t)(position - r->tail) < 0)
            HOLDS(*cell >> 60 == lap, "ring", i, *cell);
        else if (position != r->tail)
            HOLDS(*cell >> 60 == before && (position >= depth || *cell == 0), "ring", i, *cell);
        else
            HOLDS(*cell >> 60 == lap || (*cell >> 60 == before && (position >= depth || *cell == 0)), "ring", i, *cell);
    }
}

static void oracle_ring(struct oracle *o, uint32_t i)
{
    const struct ap_ring *r = ap_at(o->seg, AP_SECTION_RINGS, i);
    uint32_t inlets = o->seg->geometry.queue_inlets, lane = (uint32_t)(r->lease & 0xffff) - 1;
    uint64_t life = ap_queue_at(o->seg, i / (inlets + 1))->life, epochs = life >> 24 != 0 ? life >> 24 : 1;
    bool ordered = (int64_t)(r->tail - r->head) >= -1 && (int64_t)(r->tail - r->head) <= (int64_t)o->seg->geometry.queue_depth;

    HOLDS(r->lease == 0 || (i % (inlets + 1) != inlets && lane_is(o, lane) == LANE_LIVE &&
                            r->lease >> 16 == ap_lane_at(o->seg, lane)->life >> 8), "ring", i, r->lease);
    oracle_range(o, ordered, "ring", i, &r->tail, &r->head + 1);
    if (ordered) oracle_cells(o, i, r);
    ZEROS("ring", i, r->reserved0, &r->head);
    HOLDS(i % (inlets + 1) == inlets ? r->rounds / epochs <= r->tail + 1 : r->rounds == 0, "ring", i, r->rounds);
    ZEROS("ring", i, &r->rounds + 1, r->cells);
}

/* ---- pool, events, registry ----------------------------------------------------------------------------------- */

static void oracle_blocks(struct oracle *o)
{
    const struct ap_segment *seg = o->seg;
    uint64_t at = seg->sections[AP_SECTION_POOL].offset, number = 0;

    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) {
        for (uint32_t k = 0; k < seg->geometry.pool_blocks[c]; k++, number++) {
            const uint64_t *w = ap_at(seg, AP_SECTION_BLOCKS, number), offset = at + (uint64_t)k * (256u << 2 * c);
            uint64_t state = (*w & 63) < 5 ? *w & 63 : 5, attempt = (*w & 63) - state, who = *w >> 6 & 0x3fffff;
            uint64_t generation = *w >> 28, low = (UINT64_C(1) << 36) - 1;
            const struct ap_slot *s = ap_slot_at(seg, who);
            bool holds = state == 0 && *w == 0;

            if (state == AP_BLOCK_KEPT) holds = kept_holds(o, who, generation);
            if (state == AP_BLOCK_STREAM && s != NULL)
                holds = generation == (s->word >> 26 & low) && (s->word & 15) != 0 &&
                        (ap_stream_at(seg, who)->window == offset || (s->word & 15) == AP_TASK_RESERVED);
            if (state == AP_BLOCK_OWNED)
                holds = lane_is(o, (uint32_t)who) != LANE_ABSENT && (ap_lane_at(seg, who)->life & 0xff) == 1 &&
                        (ap_lane_at(seg, who)->life >> 8 & low) == generation;
            if ((state == AP_BLOCK_REQUEST || state == AP_BLOCK_RESULT) && s != NULL && generation == (s->word >> 26 & low) &&
                (s->word & 15) != 0)
                holds = (state == AP_BLOCK_REQUEST ? s->body : s->result) == offset || (s->word & 15) == AP_TASK_RESERVED ||
                        ((s->word & 15) == AP_TASK_RUNNING && state == AP_BLOCK_RESULT);
            if (state == AP_BLOCK_RESULT)
                holds = holds && attempt <= 34 &&
                        ((s->word & 15) != AP_TASK_RUNNING || attempt == (s->word >> 4 & 7) + (s->word >> 7 & 31));
            HOLDS(holds, "block", number, *w);
        }
        at += ((uint64_t)seg->geometry.pool_blocks[c] * (256u << 2 * c) + 4095) / 4096 * 4096;
    }
}

static void oracle_event(struct oracle *o, uint32_t i)
{
    const struct ap_event *e = ap_at(o->seg, AP_SECTION_EVENTS, i);

    HOLDS(e->number == 0 || (e->number % o->seg->geometry.events == i && e->number < o->seg->header->event_next), "event", i,
          e->number);
    HOLDS(e->kind < AP_EVENT_KINDS && (e->kind != 0 || e->number == 0), "event", i, e->kind);
    HOLDS(e->lane < o->seg->geometry.lanes || e->lane == AP_NO_LANE, "event", i, e->lane);
    HOLDS(e->time < o->day_ahead, "event", i, e->time);
    HOLDS(e->reserved == 0, "event", i, e->reserved);
    HOLDS(e->size <= AP_EVENT_TEXT, "event", i, e->size);
}

static void oracle_registry(struct oracle *o)
{
    const struct ap_segment *seg = o->seg;

    for (uint32_t i = 0; i < seg->sections[AP_SECTION_CAPABILITIES].count; i++) {
        struct ap_capability *c = ap_capability_at(seg, i);
        const char *name = ap_capability_text(seg, c);
        uint32_t last = (seg->geometry.queues - 1) / 64, over = seg->geometry.queues % 64;

        HOLDS(c->ready <= 1, "capability", i, c->ready);
        /* Key and name are two witnesses. */
        if (c->ready == 1)
            oracle_range(o, text_holds(name, 64) && ap_capability_valid(name) && ap_hash(name, strnlen(name, 63)) == c->key,
                         "capability", i, c, name + 64);
        HOLDS(over == 0 || c->providers[last] >> over == 0, "capability", i, c->providers[last]);
    }
    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        const struct ap_slot *s = ap_slot_at(seg, i);

        if ((s->word & 15) < AP_TASK_SCHEDULED || (s->word & 15) > AP_TASK_CANCELLED) continue;
        HOLDS(s->capability < seg->sections[AP_SECTION_CAPABILITIES].count && ap_capability_at(seg, s->capability)->ready == 1,
              "slot", i, s->capability);
        HOLDS(s->caller == 0 || (s->caller <= seg->sections[AP_SECTION_SERVICES].count &&
                                 ap_service_at(seg, s->caller - 1)->life % 256 >= AP_SERVICE_READY), "slot", i, s->caller);
        HOLDS(s->ticket == 0 || (s->ticket % 65536 > 0 && s->ticket % 65536 <= seg->geometry.max_concurrent_delegations), "slot", i,
              s->ticket);
    }
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SWARMS].count; i++) {
        const struct ap_swarm *s = ap_swarm_at(seg, i);
        uint32_t state = s->life & 0xff, lane = s->life >> 8 & 0xffff;

        HOLDS(state <= 3 && (state == 1 || state == 2 ? lane_is(o, lane) == LANE_LIVE : lane == 0), "swarm", i, s->life);
        if (state != AP_SWARM_LIVE) continue;
        HOLDS(s->state >= APIARY_STARTING && s->state <= APIARY_DOWN, "swarm", i, s->state);
        HOLDS(AP_MODE_OF(s->mode) >= APIARY_READY && AP_MODE_OF(s->mode) <= APIARY_PAUSE, "swarm", i, s->mode);
        HOLDS(s->service < seg->sections[AP_SECTION_SERVICES].count &&
                  ap_service_at(seg, s->service)->life % 256 >= AP_SERVICE_READY, "swarm", i, s->service);
        HOLDS(text_holds(s->instance, sizeof s->instance) && s->instance[0] != 0, "swarm", i, s->instance);
        HOLDS(s->beat <= o->now, "swarm", i, s->beat);
        HOLDS(AP_MODE_OF(s->health) <= 15 && ((s->health & 3) < 2 || (s->health & 8) != 0), "swarm", i, s->health);
        HOLDS(s->stuck <= o->now && s->unhealthy_after <= 100, "swarm", i, s->health);
    }
}

static void oracle_supervised(struct oracle *o)
{
    for (uint32_t i = 0; i < o->seg->sections[AP_SECTION_SUPERVISED].count; i++) {
        const struct ap_supervised *s = ap_supervised_at(o->seg, i);
        const struct ap_supervision *r = (const void *)s->record[s->turn % 2];
        uint32_t state = s->life & 0xff, lane = s->life >> 8 & 0xffff;

        HOLDS(state <= 3 && (state == 1 || state == 2 ? lane_is(o, lane) == LANE_LIVE : lane == 0), "supervised", i, s->life);
        if (state < AP_SUPERVISED_HELD) continue;
        HOLDS(text_holds(s->service, sizeof s->service) && s->service[0] != 0, "supervised", i, s->service);
        HOLDS(r->state >= AP_CHILD_STARTING && r->state <= AP_CHILD_HELD, "supervised", i, r->state);
        HOLDS(r->end <= AP_END_NO_START, "supervised", i, r->end);
        HOLDS(text_holds(r->said, sizeof r->said), "supervised", i, r->said);
    }
}

static void oracle_retry(struct oracle *o, uint32_t i, const apiary_retry_t *r)
{
    bool more = r->max_attempts > 1, usual = (r->multiplier >= 100 && r->multiplier <= 10000) || r->multiplier == 0;

    HOLDS(r->max_attempts <= 32 && usual && (more || zeros(&r->backoff, sizeof *r - sizeof r->max_attempts)), "carried", i,
          ap_carried_at(o->seg, i)->hops);
}

static void oracle_carried(struct oracle *o)
{
    static const uint8_t none[16];

    for (uint32_t i = 0; i < o->seg->geometry.tasks; i++) {
        const struct ap_carried *c = ap_carried_at(o->seg, i);
        uint64_t lease = ap_slab_at(o->seg, i / AP_SLAB_SLOTS)->lease, generation = ap_slot_at(o->seg, i)->word >> 26;
        const apiary_trace_t *t = &c->trace;
        bool traced = memcmp(t->trace_id, none, 16) != 0;

        HOLDS(c->epoch <= (uint32_t)(lease >> 16), "carried", i, c->epoch);
        HOLDS(c->epoch != (uint32_t)(lease >> 16) || c->generation <= generation, "carried", i, c->generation);
        HOLDS(c->won <= 2 && (c->won != 2 || c->other != 0), "carried", i, c->won);
        HOLDS(c->other >> 60 == 0 && c->other >> 38 < o->seg->geometry.tasks, "carried", i, c->other);
        if ((ap_slot_at(o->seg, i)->word & 0xf) < AP_TASK_SCHEDULED || c->generation != generation) continue;
        HOLDS(c->hops != UINT32_MAX && memcmp(t->reserved, none, 7) == 0 && traced == (memcmp(t->parent_id, none, 8) != 0) &&
              (traced || t->flags == 0) && c->delay <= UINT64_MAX / 4 && c->due_at <= UINT64_MAX / 4 && c->hedge <= UINT64_MAX / 4,
              "carried", i, c->hops);
        oracle_retry(o, i, &c->retry);
    }
}

static void oracle_homes(struct oracle *o)
{
    for (uint32_t c = 0; c < o->seg->sections[AP_SECTION_HOMES].count; c++) {
        const struct ap_homes *row = ap_homes_at(o->seg, c);

        for (uint32_t k = 0; k < AP_HOMES; k++) {
            uint64_t word = row->of[k];
            const struct ap_queue *q = ap_queue_at(o->seg, (uint32_t)(word & 0xffff) - 1);

            HOLDS(word == 0 || (q != NULL && word >> 16 <= q->life >> 24), "homes", c, row->of[k]);
        }
    }
}

static void oracle_places(struct oracle *o)
{
    for (uint32_t c = 0; c < o->seg->sections[AP_SECTION_PLACES].count; c++) {
        const struct ap_places *row = ap_places_at(o->seg, c);

        for (uint32_t k = 0; k < AP_PLACES; k++) {
            uint64_t word = row->holder[k];
            uint32_t lane = (uint32_t)(word & 0xffff) - 1;

            HOLDS(word == 0 || (lane_is(o, lane) == LANE_LIVE && ap_lane_at(o->seg, lane)->life >> 8 == word >> 16), "places", c,
                  row->holder[k]);
        }
        ZEROS("places", c, &row->waited + 1, row + 1);
    }
}

static void oracle_stream(struct oracle *o, uint32_t i)
{
    const struct ap_stream *s = ap_stream_at(o->seg, i);
    uint64_t word = ap_slot_at(o->seg, i)->word, lease = ap_slab_at(o->seg, i / AP_SLAB_SLOTS)->lease, capacity = 0, block = 0;
    uint64_t at = s->head - s->begin <= s->tail - s->begin ? s->head : s->begin;
    uint32_t state = word & 15;

    if ((s->begun >> 8 & 0x3ffff) != (lease >> 16 & 0x3ffff)) return;
    HOLDS(s->begun >> 26 <= word >> 26, "stream", i, s->begun);
    if (s->begun >> 26 != word >> 26 || state < AP_TASK_SCHEDULED || state == AP_TASK_RELEASING || state >= AP_TASK_STATES) return;
    if (!block_find(o, s->window, &capacity, &block) || block != (4 | (uint64_t)i << 6 | word >> 26 << 28))
        HOLDS(false, "stream", i, s->window);
    else
        HOLDS(s->begin <= s->tail && s->tail - at <= capacity && ((s->begin | s->tail | at) & 7) == 0, "stream", i, s->tail);
}

static void oracle_terms(struct oracle *o)
{
    for (uint32_t i = 0; i < o->seg->sections[AP_SECTION_TERMS].count; i++) {
        const struct ap_capability *c = ap_capability_at(o->seg, i);
        const uint64_t *words = (const uint64_t *)(const void *)ap_terms_at(o->seg, i);

        HOLDS(c->majors <= 1 && (c->majors == 0 || c->key != 0), "capability", i, c->majors);
        HOLDS(c->rules <= 1 && (c->rules == 0 || c->key != 0), "capability", i, c->rules);
        HOLDS(c->ways <= AP_WAYS && (c->ways == 0 || c->key != 0), "capability", i, c->ways);
        HOLDS(c->terms <= 1 && (c->terms == 0 || c->key != 0), "terms", i, c->terms);
        for (const uint64_t *at = &ap_terms_at(o->seg, i)->paid; at <= &ap_terms_at(o->seg, i)->hedge_held; at++)
            HOLDS(c->terms != 0 || *at == 0, "terms", i, *at);
        for (const uint64_t *at = &ap_terms_at(o->seg, i)->urgent; at <= &ap_terms_at(o->seg, i)->coalesced; at++)
            HOLDS(c->key != 0 || *at == 0, "terms", i, *at);
        oracle_ruled(o, i, &words[AP_TERM_rules]);
        for (uint32_t t = 0; t < AP_TERMS; t++) {
            uint64_t value = words[t] & 0xffffffffffff;

            HOLDS(words[t] == 0 || c->terms != 0, "terms", i, words[t]);
            HOLDS(value == 0 || (value > ap_term_rows[t].min && value <= ap_term_rows[t].max + 1), "terms", i, words[t]);
        }
    }
}

static void oracle_leading(struct oracle *o)
{
    for (uint32_t g = 0; g < o->seg->sections[AP_SECTION_LEADING].count; g++) {
        const struct ap_leading *row = ap_leading_at(o->seg, g);
        uint64_t low = (UINT64_C(1) << 60) - 1;

        HOLDS(row->entered == 0 || (row->entered >> 60 >= 1 && row->entered >> 60 <= 14), "leading", g, row->entered);
        HOLDS((row->entered & low) >> 38 < o->seg->geometry.tasks, "leading", g, row->entered);
        for (uint32_t k = 0; k < 14; k++) HOLDS(row->leader[k] >> 38 < o->seg->geometry.tasks, "leading", g, row->leader[k]);
        ZEROS("leading", g, &row->reserved, row + 1);
    }
}

static void oracle_ask(struct oracle *o)
{
    const struct ap_segment *seg = o->seg;

    o->count = 0;
    oracle_header(o);
    if (memcmp(seg->header->boot_id, o->original->boot_id, 16) != 0) o->now = UINT64_MAX;
    for (uint32_t i = 0; i < seg->geometry.members; i++) oracle_member(o, i);
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) oracle_lane(o, i);
    for (uint32_t i = 0; i < seg->geometry.tasks / AP_SLAB_SLOTS; i++) oracle_slab(o, i);
    for (uint32_t i = 0; i < seg->geometry.tasks; i++) oracle_slot(o, i);
    for (uint32_t i = 0; i < seg->geometry.queues; i++) oracle_queue(o, i);
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_RINGS].count; i++) oracle_ring(o, i);
    oracle_blocks(o);
    for (uint32_t i = 0; i < seg->geometry.events; i++) oracle_event(o, i);
    oracle_registry(o);
    oracle_supervised(o);
    oracle_carried(o);
    for (uint32_t i = 0; i < seg->geometry.tasks; i++) oracle_stream(o, i);
    oracle_terms(o);
    oracle_rules(o);
    oracle_rule_holds(o);
    oracle_homes(o);
    oracle_places(o);
    oracle_dead(o);
    oracle_kept(o);
    oracle_times(o);
    oracle_tallies(o);
    oracle_finished(o);
    oracle_leading(o);
}

#endif
