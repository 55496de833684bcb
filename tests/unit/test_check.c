/* tests/unit/test_check.c - each rule of the checkers broken once, by hand: named by structure, index, offset and rule. */
#include "check_fixture.h"

#include "registry/routing/homes.h"
#include "registry/routing/rule_sets.h"

/* The first slot in a state. */
static uint32_t slot_in(uint32_t state)
{
    for (uint32_t i = 0; i < d.seg.geometry.tasks; i++)
        if (AP_WORD_STATE(ap_slot_at(&d.seg, i)->word) == state) return i;
    cr_assert(false, "no slot in state %u", state);
    return 0;
}

TestSuite(check, .init = setup);

Test(check, a_sound_segment_has_no_findings)
{
    struct ap_report report = check();

    cr_assert_eq(report.corrupt + report.repairable, 0, "%s", all.list[0].text);
    cr_assert(report.checked > 2000, "%llu words", (unsigned long long)report.checked);
}

Test(check, header)
{
    header->magic[3] = 'x';
    check();
    cr_expect_not_null(find("header", 0, header->magic, "S1"));
}

Test(check, identity)
{
    CORRUPTS(header->version, AP_LAYOUT_VERSION + 1, "header", 0, "S2");
    CORRUPTS(header->version_min, 0, "header", 0, "S2");
    CORRUPTS(header->fingerprint, 1, "header", 0, "S3");
    CORRUPTS(header->size, size - 1, "header", 0, "S4");
    CORRUPTS(header->state, AP_SEGMENT_CREATING, "header", 0, "S5");
    CORRUPTS(header->section_count, 3, "header", 0, "S6");
    CORRUPTS(header->name[0], 'x', "header", 0, "S8");
    CORRUPTS(header->name[2], 1, "header", 0, "S8");
    CORRUPTS(header->name[63], 'x', "header", 0, "S8");
    CORRUPTS(header->creator_pid, 0, "header", 0, "S9");
    CORRUPTS(header->created_realtime, UINT64_MAX, "header", 0, "S9");
    CORRUPTS(header->created_monotonic, UINT64_MAX, "header", 0, "S9");
    CORRUPTS(header->rescan, 0, "header", 0, "S9");
    CORRUPTS(header->event_next, 0, "header", 0, "S9");
    CORRUPTS(bytes[4095], 1, "header", 0, "S10");
    CORRUPTS(header->role.__data.__kind, 0, "header", 0, "S11");
    CORRUPTS(header->role.__data.__lock, 0x3fffffff, "header", 0, "S11");
}

Test(check, geometry)
{
    CORRUPTS(header->geometry.members, 0, "header", 0, "S7");
    CORRUPTS(header->geometry.members, 5, "header", 0, "S7");
    CORRUPTS(header->geometry.lanes, 40, "header", 0, "S7");
    CORRUPTS(header->geometry.tasks, 65, "header", 0, "S7");
    CORRUPTS(header->geometry.tasks, 256, "header", 0, "S7");
    CORRUPTS(header->geometry.queues, 9, "header", 0, "S7");
    CORRUPTS(header->geometry.queue_depth, 64, "header", 0, "S7");
    CORRUPTS(header->geometry.queue_inlets, 3, "header", 0, "S7");
    CORRUPTS(header->geometry.pool_blocks[2], 7, "header", 0, "S7");
    CORRUPTS(header->geometry.events, 17, "header", 0, "S7");
    CORRUPTS(header->geometry.max_concurrent_delegations, 5000, "header", 0, "S7");
    CORRUPTS(header->geometry.max_concurrent_delegations, 40, "header", 0, "S7");
    CORRUPTS(header->geometry.registry[AP_REGISTRY_INDEX(SERVICES)], 9, "header", 0, "S7");
    CORRUPTS(header->geometry.registry[AP_REGISTRY_INDEX(SWARMS)], 5, "header", 0, "S7");
    CORRUPTS(header->geometry.registry[AP_REGISTRY_INDEX(AGENTS)], 1, "header", 0, "S7");
    CORRUPTS(header->geometry.registry[AP_REGISTRY_SECTIONS_MAX - 1], 1, "header", 0, "S7");
    CORRUPTS(header->geometry.member_share, 101, "header", 0, "S7");
    CORRUPTS(header->geometry.member_share, 0, "header", 0, "S7");
    CORRUPTS(header->geometry.kept_share, 101, "header", 0, "S7");
    CORRUPTS(header->geometry.kept_share, 0, "header", 0, "S7");
    CORRUPTS(header->geometry.result_ttl, 0, "header", 0, "S7");
    CORRUPTS(header->geometry.max_unnamed_delegations, 63, "header", 0, "S7");
    CORRUPTS(header->geometry.max_unnamed_delegations, AP_TASKS_MAX + 1, "header", 0, "S7");
    CORRUPTS(header->geometry.task_timeout, 0, "header", 0, "S7");
}

Test(check, sections)
{
    for (uint32_t i = 0; i < header->section_count; i++) {
        CORRUPTS(header->sections[i].offset, header->sections[i].offset + 64, "section", i, "S6");
        CORRUPTS(header->sections[i].stride, header->sections[i].stride + 8192, "section", i, "S6");
        CORRUPTS(header->sections[i].count, UINT64_MAX / 2, "section", i, "S6");
        CORRUPTS(header->sections[i].reserved, 1, "section", i, "S10");
    }
    CORRUPTS(header->sections[AP_SECTIONS_MAX - 1].count, 1, "section", AP_SECTIONS_MAX - 1, "S10");
}

Test(check, members)
{
    struct ap_member *m = ap_member_at(&d.seg, 0);

    CORRUPTS(m->life, AP_MEMBER_LIFE(0, 0, 2), "member", 0, "M1");
    CORRUPTS(m->life, AP_MEMBER_LIFE(0, 4000, AP_LIFE_LIVE), "member", 0, "M1");
    CORRUPTS(m->pid, -1, "member", 0, "M2");
    CORRUPTS(m->kind, 9, "member", 0, "M2");
    CORRUPTS(m->life, AP_MEMBER_LIFE(0, 9, AP_LIFE_LIVE), "member", 0, "M3");
    CORRUPTS(m->life, AP_MEMBER_LIFE(0, 2, AP_LIFE_LIVE), "member", 0, "M3");
    CORRUPTS(m->name[47], 'x', "member", 0, "M4");
    CORRUPTS(m->swarm[0], 'X', "member", 0, "M4");
    CORRUPTS(m->attached, UINT64_MAX, "member", 0, "M5");
    CORRUPTS(m->pad[0], 1, "member", 0, "M6");
}

Test(check, lanes)
{
    struct ap_lane *l = ap_lane_at(&d.seg, 2);
    uint32_t *lock = (uint32_t *)&l->mutex.__data.__lock;

    CORRUPTS(l->life, AP_LIFE(0, 7), "lane", 2, "L4");
    CORRUPTS(l->kind, 3, "lane", 2, "L4");
    CORRUPTS(l->member, 6, "lane", 2, "L3");
    REPAIRS(l->member, 4, "lane", 2, "L3");
    REPAIRS(l->life, AP_LIFE(0, AP_LIFE_DEAD), "lane", 2, "L5");
    REPAIRS(*lock, 0x40000000, "lane", 2, "L5");
    CORRUPTS(*lock, *lock ^ 1, "lane", 2, "L6");
    CORRUPTS(l->tid, l->tid + 1, "lane", 2, "L6");
    CORRUPTS(*lock, 0x3fffffff, "lane", 2, "L7");
    CORRUPTS(l->mutex.__data.__kind, 1, "lane", 2, "L7");
    CORRUPTS(l->mutex.__data.__owner, 0x3fffffff, "lane", 2, "L7");
    CORRUPTS(l->hand[AP_HANDS - 1], UINT64_MAX, "lane", 2, "L8");
    CORRUPTS(l->inside, UINT64_MAX, "lane", 2, "L8");
    CORRUPTS(l->inside, UINT64_MAX >> 1, "lane", 2, "L8");
    CORRUPTS(l->crash, AP_CRASH_EXEC + 1, "lane", 2, "L8");
    CORRUPTS(l->joined, UINT64_MAX, "lane", 2, "L9");
    CORRUPTS(l->image, 1000000, "lane", 2, "L9");
    CORRUPTS(l->judge, 1000000, "lane", 2, "L9");
    REPAIRS(l->life, AP_LIFE(0, AP_LIFE_JUDGED), "lane", 2, "L5");
    CORRUPTS(l->pad0[3], 1, "lane", 2, "L10");
}

Test(check, slabs)
{
    struct ap_slab *s = ap_slab_at(&d.seg, 0);

    for (uint32_t i = 0; i < 2; i++, s++)
        if (s->lease != 0) break;
    uint64_t index = (uint64_t)(s - ap_slab_at(&d.seg, 0));
    CORRUPTS(s->lease, AP_LEASE(1, 4000), "slab", index, "T10");
    CORRUPTS(s->lease, AP_LEASE(1, 10), "slab", index, "T10");
    CORRUPTS(s->lease, AP_LEASE(0, 3), "slab", index, "T10");
    CORRUPTS(s->lease, 0, "slab", index, "T10");
}

Test(check, words)
{
    uint32_t queued = slot_in(AP_TASK_QUEUED), running = slot_in(AP_TASK_RUNNING), done = slot_in(AP_TASK_DONE);
    uint32_t reserved = slot_in(AP_TASK_RESERVED), failed = slot_in(AP_TASK_FAILED), releasing = slot_in(AP_TASK_RELEASING);
    uint64_t *word = &ap_slot_at(&d.seg, queued)->word;

    CORRUPTS(*word, *word | 0xf, "slot", queued, "T1");
    CORRUPTS(*word, AP_WORD_WITH(*word, AP_TASK_QUEUED, 5), "slot", queued, "T2");
    CORRUPTS(*word, *word | 7 << 4, "slot", queued, "T5");
    SOUND(*word, *word | AP_WORD_LOST_STARTS(AP_LOST_MAX));
    CORRUPTS(*word, *word & 0xfffff, "slot", queued, "T5");
    word = &ap_slot_at(&d.seg, running)->word;
    CORRUPTS(*word, AP_WORD_WITH(*word, AP_TASK_RUNNING, 12), "slot", running, "T2");
    CORRUPTS(*word, AP_WORD_WITH(*word, AP_TASK_RUNNING, 11), "slot", running, "L2");
    word = &ap_slot_at(&d.seg, done)->word;
    CORRUPTS(*word, AP_WORD_WITH(*word, AP_TASK_DONE, 1), "slot", done, "T2");
    word = &ap_slot_at(&d.seg, reserved)->word;
    CORRUPTS(*word, AP_WORD_WITH(*word, AP_TASK_RESERVED, 1), "slot", reserved, "T3");
    word = &ap_slot_at(&d.seg, failed)->word;
    CORRUPTS(*word, AP_WORD_WITH(*word, AP_TASK_FAILED, 0x3000), "slot", failed, "T7");
    word = &ap_slot_at(&d.seg, releasing)->word;
    CORRUPTS(*word, AP_WORD_WITH(*word, AP_TASK_RELEASING, 11), "slot", releasing, "T11");
}

Test(check, slots)
{
    uint32_t index = slot_in(AP_TASK_DONE), n;
    struct ap_slot *s = ap_slot_at(&d.seg, index);
    uint64_t capacity = 0, word;

    CORRUPTS(s->body_size, 65, "slot", index, "T4");
    CORRUPTS(s->body, 1, "slot", index, "T4");
    CORRUPTS(s->body, d.seg.sections[AP_SECTION_POOL].offset + 2816, "slot", index, "T4");
    CORRUPTS(s->result, d.seg.size, "slot", index, "T4");
    CORRUPTS(s->request, s->request + 262144, "slot", index, "T5");
    s->request |= AP_REQUEST_RANKED;
    CORRUPTS(s->rank, AP_RANKS, "slot", index, "T13");
    s->request &= ~(uint64_t)AP_REQUEST_RANKED;
    CORRUPTS(s->queued, UINT64_MAX, "slot", index, "T6");
    CORRUPTS(s->started, s->queued - 1, "slot", index, "T6");
    CORRUPTS(s->finished, s->started - 1, "slot", index, "T6");
    CORRUPTS(s->deadline, 1, "slot", index, "T6");
    CORRUPTS(s->client, 12, "slot", index, "T8");
    CORRUPTS(s->queue, 5, "slot", index, "T8");
    CORRUPTS(s->worker, 12, "slot", index, "T8");
    CORRUPTS(s->reserved[sizeof s->reserved - 1], 1, "slot", index, "T9");
    for (n = 0; ap_carried_at(&d.seg, n)->generation == 0;) n++;
    CORRUPTS(ap_carried_at(&d.seg, n)->epoch, 2, "carried", n, "R8");
    CORRUPTS(ap_carried_at(&d.seg, n)->generation, UINT64_MAX, "carried", n, "R8");
    CORRUPTS(ap_carried_at(&d.seg, n)->hops, UINT32_MAX, "carried", n, "R8");
    for (n = index; ap_slot_at(&d.seg, n)->result == 0;) n++;
    s = ap_slot_at(&d.seg, n);
    ap_pool_block(&d.seg, s->result, &capacity, &word);
    SOUND(s->result_size, capacity);
    CORRUPTS(s->result_size, capacity + 1, "slot", n, "T4");
    CORRUPTS(s->result_size, 1u << 30, "slot", n, "T4");
    CORRUPTS(s->result, s->result + 64, "slot", n, "T4");
}

Test(check, queues)
{
    struct ap_queue *q = ap_queue_at(&d.seg, 0);

    CORRUPTS(q->life, AP_QUEUE_LIFE(1, 1, 9), "queue", 0, "Q2");
    CORRUPTS(q->life, AP_QUEUE_LIFE(0, 1, AP_QUEUE_OPEN), "queue", 0, "Q2");
    CORRUPTS(q->life, AP_QUEUE_LIFE(1, 4000, AP_QUEUE_OPEN), "queue", 0, "Q2");
    CORRUPTS(q->life, AP_QUEUE_LIFE(1, 1, AP_QUEUE_CLOSED), "queue", 0, "Q2");
    CORRUPTS(q->life, AP_QUEUE_LIFE(1, 11, AP_QUEUE_OPEN), "queue", 0, "Q9");
    CORRUPTS(q->summary, 8, "queue", 0, "Q6");
    CORRUPTS(q->depth, 49, "queue", 0, "Q7");
    CORRUPTS(q->running, 129, "queue", 0, "Q7");
    CORRUPTS(q->ranked, 2, "queue", 0, "Q13");
    CORRUPTS(q->margin, 1, "queue", 0, "Q11");
    CORRUPTS(q->probed, 2, "queue", 0, "Q12");
    CORRUPTS(q->probes[0], AP_REF(128, 1), "queue", 0, "Q12");
    CORRUPTS(q->probes[7], AP_REF(1, 0), "queue", 0, "Q12");
    CORRUPTS(q->probes[7], AP_REF(1, 1) | UINT64_C(1) << 60, "queue", 0, "Q12");
    CORRUPTS(ap_homes_at(&d.seg, 0)->of[1], 4000, "homes", 0, "H1");
    CORRUPTS(ap_homes_at(&d.seg, 0)->of[1], AP_PROVIDER(0, AP_QUEUE_LIFE(AP_QUEUE_EPOCH(q->life) + 1, 0, 0)), "homes", 0, "H1");
    CORRUPTS(q->margin, AP_MARGIN_LEAST - 1, "queue", 0, "Q11");
    CORRUPTS(q->margin, AP_MARGIN_MOST + 1, "queue", 0, "Q11");
    CORRUPTS(q->until, 1, "queue", 0, "Q10");
    CORRUPTS(q->charge, AP_CHARGE_MAX + 1, "queue", 0, "Q10");
    CORRUPTS(q->pace, AP_PACE_MAX + 1, "queue", 0, "Q11");
    q->ejections = 1;
    CORRUPTS(q->until, UINT64_MAX, "queue", 0, "Q10");
    SOUND(q->until, 1);
    q->ejections = 0;
    CORRUPTS(q->running, UINT32_MAX, "queue", 0, "Q7");
    CORRUPTS(q->done, q->started + 1, "queue", 0, "Q7");
    CORRUPTS(q->failed, UINT64_MAX, "queue", 0, "Q7");
    CORRUPTS(q->late, UINT64_MAX - 1, "queue", 0, "Q7");
}

Test(check, rings)
{
    struct ap_ring *r = NULL;
    uint32_t index = 0;

    for (; index < 3; index++) {
        r = ap_at(&d.seg, AP_SECTION_RINGS, index);
        if (r->lease != 0) break;
    }
    uint64_t *next = &r->cells[r->head % 16], *free_cell = &r->cells[(r->tail + 3) % 16];
    CORRUPTS(r->tail, r->tail + 100, "ring", index, "Q1");
    CORRUPTS(r->head, r->head + 100, "ring", index, "Q1");
    CORRUPTS(r->tail, r->tail + 2, "ring", index, "Q1");
    CORRUPTS(r->lease, 4000, "ring", index, "Q3");
    CORRUPTS(r->lease, r->lease + 65536, "ring", index, "Q3");
    CORRUPTS(((struct ap_ring *)ap_at(&d.seg, AP_SECTION_RINGS, 2))->lease, 3, "ring", 2, "Q3");
    CORRUPTS(*next, *next ^ UINT64_C(3) << 60, "ring", index, "Q4");
    CORRUPTS(*free_cell, *free_cell + (UINT64_C(1) << 60), "ring", index, "Q4");
    CORRUPTS(*next, *next | UINT64_C(0x3fffff) << 38, "ring", index, "Q5");
    CORRUPTS(*next, *next + 5, "ring", index, "Q5");
    CORRUPTS(*next, *next >> 60 << 60, "ring", index, "Q5"); /* an inlet has no holes */
    r = ap_at(&d.seg, AP_SECTION_RINGS, 2);                  /* the shared one may */
    CORRUPTS(r->cells[r->head % 16], UINT64_C(1) << 60 | AP_REF(1, UINT32_MAX), "ring", 2, "Q5");
    CORRUPTS(r->cells[r->head % 16], UINT64_C(1) << 60 | AP_REF(5000, 1), "ring", 2, "Q5");
    r = ap_at(&d.seg, AP_SECTION_RINGS, index);
    CORRUPTS(r->reserved0[0], 1, "ring", index, "Q8");
}

Test(check, blocks)
{
    uint64_t *owned = NULL, *request = NULL, *result = NULL;

    for (uint64_t i = 0; i < d.seg.sections[AP_SECTION_BLOCKS].count; i++) {
        uint64_t *w = ap_at(&d.seg, AP_SECTION_BLOCKS, i);
        if (AP_BLOCK_STATE(*w) == AP_BLOCK_OWNED) owned = w;
        if (AP_BLOCK_STATE(*w) == AP_BLOCK_REQUEST) request = w;
        if (AP_BLOCK_STATE(*w) == AP_BLOCK_RESULT) result = w;
    }
    uint64_t *first = ap_at(&d.seg, AP_SECTION_BLOCKS, 0);
    cr_assert(owned != NULL && request != NULL && result != NULL);
    REPAIRS(*request, *request + (UINT64_C(1) << 28), "block", (uint64_t)(request - first), "P1");
    REPAIRS(*result, *result + 64, "block", (uint64_t)(result - first), "P2");
    REPAIRS(*owned, *owned + (UINT64_C(1) << 28), "block", (uint64_t)(owned - first), "P3");
    CORRUPTS(*owned, *owned | 0x3f, "block", (uint64_t)(owned - first), "P4");
    CORRUPTS(*owned, *owned | 4000 << 6, "block", (uint64_t)(owned - first), "P4");
}

Test(check, events)
{
    struct ap_event *e = ap_at(&d.seg, AP_SECTION_EVENTS, 3);

    CORRUPTS(e->number, e->number + 1, "event", 3, "E1");
    CORRUPTS(e->number, e->number + 160, "event", 3, "E1");
    CORRUPTS(e->kind, AP_EVENT_KINDS, "event", 3, "E2");
    CORRUPTS(e->lane, 12, "event", 3, "E3");
    CORRUPTS(e->time, UINT64_MAX, "event", 3, "E4");
    CORRUPTS(e->reserved, 1, "event", 3, "E5");
    CORRUPTS(e->size, AP_EVENT_TEXT + 1, "event", 3, "E6");
}

Test(check, registry)
{
    struct ap_swarm *s = ap_swarm_at(&d.seg, 0);
    struct ap_agent_record *a = ap_agent_at(&d.seg, 0);
    uint32_t queued = slot_in(AP_TASK_QUEUED);
    int index = ap_capability_find(&d.seg, "cache.get", 9);
    struct ap_capability *c = ap_capability_at(&d.seg, (uint64_t)index);
    uint32_t *tickets = ap_at(&d.seg, AP_SECTION_TICKETS, (uint64_t)ap_service_find(&d.seg, "ai_service"));

    uint64_t declared = (uint64_t)ap_capability_find(&d.seg, "store.read", 10);
    struct ap_terms *terms = ap_terms_at(&d.seg, declared);
    uint64_t set = AP_TERM_VALUE(terms->rules) - 1;
    struct ap_rule_set *rules = ap_rule_set_at(&d.seg, AP_RULE_SET_INDEX(set));
    struct ap_rule_holds *holds = ap_rule_holds_at(&d.seg, 2);
    CORRUPTS(terms->balance, AP_POLICIES + 1, "terms", declared, "R9");
    CORRUPTS(ap_capability_at(&d.seg, declared)->terms, 2, "terms", declared, "R9");
    CORRUPTS(ap_terms_at(&d.seg, (uint64_t)index)->balance, 1, "terms", (uint64_t)index, "R9");
    CORRUPTS(ap_capability_at(&d.seg, declared)->majors, 2, "capability", declared, "D2");
    CORRUPTS(ap_capability_at(&d.seg, declared)->rules, 2, "capability", declared, "D2");
    CORRUPTS(ap_capability_at(&d.seg, declared)->rules, 0, "terms", declared, "R9");
    CORRUPTS(ap_capability_at(&d.seg, declared)->ways, AP_WAYS + 1, "capability", declared, "D2");
    CORRUPTS(terms->rules, terms->rules + 1, "terms", declared, "R10");
    CORRUPTS(terms->rules, terms->rules + AP_RULE_SET(0, 1), "terms", declared, "R10");
    CORRUPTS(ap_terms_at(&d.seg, (uint64_t)index)->refused, 1, "terms", (uint64_t)index, "R9");
    CORRUPTS(ap_terms_at(&d.seg, (uint64_t)index)->fell_back, 1, "terms", (uint64_t)index, "R9");
    set = AP_RULE_SET_INDEX(set);
    CORRUPTS(rules->life, rules->life + 2, "rules", set, "R10");
    CORRUPTS(rules->life, rules->life | 1 << 8, "rules", set, "R10");
    CORRUPTS(rules->reserved, 1, "rules", set, "R10");
    CORRUPTS(ap_rule_set_at(&d.seg, 1)->key, 1, "rules", 1, "R10");
    CORRUPTS(ap_rule_set_at(&d.seg, 1)->life, AP_RULES_LIFE(1, d.seg.geometry.lanes, AP_RULES_FILLING), "rules", 1, "R10");
    CORRUPTS(holds->epoch, holds->epoch + 100, "holds", 2, "R10");
    CORRUPTS(holds->bits[0], 1u << d.seg.sections[AP_SECTION_RULES].count, "holds", 2, "R10");
    CORRUPTS(rules->count, AP_RULES_MAX + 1, "rules", set, "R10");
    rules->list[1].verb = AP_RULE_DENY;
    CORRUPTS(rules->count, 2, "rules", set, "R10");
    rules->list[1].verb = AP_RULE_PREFER;
    rules->list[0].from[0] = 'b';
    CORRUPTS(rules->key, rules->key, "rules", set, "R10");
    rules->list[0].from[0] = 'a';
    SOUND(terms->balance, 0);
    CORRUPTS(c->key, c->key + 1, "capability", (uint64_t)index, "D1");
    CORRUPTS(c->providers[0], 1u << 5, "capability", (uint64_t)index, "D2");
    CORRUPTS(s->life, AP_SWARM_LIFE(1, 0, 77), "swarm", 0, "R1");
    CORRUPTS(s->instance[47], 'x', "swarm", 0, "R2");
    CORRUPTS(a->swarm, 9, "agent", 0, "R3");
    CORRUPTS(s->mode, 9, "swarm", 0, "R5");
    CORRUPTS(s->park, 4, "swarm", 0, "R5");
    CORRUPTS(s->max_delegations, d.seg.geometry.max_concurrent_delegations + 1, "swarm", 0, "R5");
    CORRUPTS(ap_slot_at(&d.seg, queued)->capability, 31, "slot", queued, "R6");
    CORRUPTS(ap_slot_at(&d.seg, queued)->caller, 6, "slot", queued, "R6");
    CORRUPTS(ap_slot_at(&d.seg, queued)->only, 99, "slot", queued, "R6");
    CORRUPTS(ap_slot_at(&d.seg, queued)->ticket, 11, "slot", queued, "R6");
    CORRUPTS(tickets[9], 0x8000, "ticket", (uint64_t)ap_service_find(&d.seg, "ai_service"), "A1");
    tickets = ap_at(&d.seg, AP_SECTION_TICKETS, 7);
    CORRUPTS(tickets[0], 0x10001, "ticket", 7, "A1");
}

/* A word behind the last ticket of a row is no ticket, whatever stands there. */
Test(check, what_lies_behind_the_tickets)
{
    uint32_t *tickets = ap_at(&d.seg, AP_SECTION_TICKETS, 0), length = d.seg.geometry.max_concurrent_delegations;

    cr_assert_lt(4ull * length, d.seg.sections[AP_SECTION_TICKETS].stride);
    tickets[length] = 0x70001;
    dump_memory(bytes, size, &d);
    check();
    cr_expect_eq(all.count, 1, "%u findings, the first: %s", all.count, first_text());
    cr_expect_not_null(strstr(first_text(), "behind the tickets"), "%s", first_text());
}

/* As much as fits is no fault, and one more is one. */
Test(check, an_agent_with_all_the_capabilities_that_fit)
{
    struct ap_agent_record *a = ap_agent_at(&d.seg, 0);
    struct ap_report report;

    for (uint32_t i = 1; i < AP_AGENT_CAPABILITIES; i++) a->capabilities[i] = a->capabilities[0];
    a->capability_count = AP_AGENT_CAPABILITIES;
    dump_memory(bytes, size, &d);
    report = check();
    cr_expect_eq(report.corrupt + report.repairable, 0, "%s", first_text());
    CORRUPTS(a->capability_count, AP_AGENT_CAPABILITIES + 1, "agent", 0, "R5");
}

/* The text ends once, and is of bytes that print; what belongs to another change is not read. */
Test(check, the_reason_of_a_mode)
{
    struct ap_swarm *s = ap_swarm_at(&d.seg, 0);
    uint64_t change = (uint64_t)AP_MODE_CHANGE(s->mode) << 48, other = (uint64_t)(AP_MODE_CHANGE(s->mode) + 1) << 48;
    struct ap_report report;

    s->reason[0] = change | 'a' | 'b' << 8;
    s->reason[1] = other | 1;
    dump_memory(bytes, size, &d);
    report = check();
    cr_expect_eq(report.corrupt + report.repairable, 0, "%s", first_text());
    CORRUPTS(s->reason[0], change | 'a' | 'b' << 16, "swarm", 0, "R5");
    CORRUPTS(s->reason[0], change | '\n', "swarm", 0, "R5");
    CORRUPTS(s->reason[1], change | 'c', "swarm", 0, "R5");
}

/* ---- limits --------------------------------------------------------------------------------------------------- */

Test(check, the_last_value_that_may_be_is_sound)
{
    struct ap_slot *s = ap_slot_at(&d.seg, slot_in(AP_TASK_DONE)), *free_slot = ap_slot_at(&d.seg, slot_in(AP_TASK_FREE));
    struct ap_queue *q = ap_queue_at(&d.seg, 0);
    struct ap_event *e = ap_at(&d.seg, AP_SECTION_EVENTS, 3);

    SOUND(header->creator_pid, 1 << 22);
    SOUND(header->created_monotonic, 0);
    SOUND(ap_member_at(&d.seg, 0)->pid, 1 << 22);
    SOUND(s->client, 11);
    SOUND(s->queue, 4);
    SOUND(s->worker, 11);
    SOUND(s->deadline, s->queued);
    SOUND(s->finished, s->started);
    SOUND(free_slot->request, AP_REQUEST_WORD(AP_GENERATION_LAST, AP_REQUEST_ALL));
    SOUND(free_slot->word, AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, AP_GENERATION_LAST));
    SOUND(q->depth, 48);
    SOUND(q->margin, AP_MARGIN_LEAST);
    SOUND(q->margin, AP_MARGIN_MOST);
    SOUND(q->running, 128);
    SOUND(q->summary, 7);
    SOUND(q->late, q->started - q->done - q->failed);
    SOUND(e->kind, AP_EVENT_KINDS - 1);
    SOUND(e->lane, 11);
    CORRUPTS(free_slot->request, AP_REQUEST_WORD(AP_GENERATION_LAST + 1, 0), "slot",
             (uint64_t)(free_slot - ap_slot_at(&d.seg, 0)), "T5");
    CORRUPTS(q->late, q->started - q->done - q->failed + 1, "queue", 0, "Q7");
}

/* What a task must have from the moment on in which it is published. */
Test(check, every_published_state_is_judged)
{
    static const uint32_t states[] = {AP_TASK_QUEUED, AP_TASK_RUNNING, AP_TASK_DONE, AP_TASK_FAILED, AP_TASK_CANCELLED};

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        uint32_t index = slot_in(states[i]);
        struct ap_slot *s = ap_slot_at(&d.seg, index);

        CORRUPTS(s->body_size, UINT32_MAX, "slot", index, "T4");
        CORRUPTS(s->body, d.seg.size, "slot", index, "T4");
        CORRUPTS(s->request, s->request + 262144, "slot", index, "T5");
        CORRUPTS(s->deadline, s->queued - 1, "slot", index, "T6");
    }
}

/* The names tell how many there are, so that no section is blamed for it. */
Test(check, a_wrong_number_of_sections_is_the_only_finding)
{
    static const uint32_t counts[] = {0, 3, AP_SECTIONS_MAX + 1, UINT32_MAX};
    uint32_t count = header->section_count;

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        header->section_count = counts[i];
        dump_memory(bytes, size, &d);
        check();
        cr_expect_not_null(find("header", 0, &header->section_count, "S6"), "%u", counts[i]);
        cr_expect_eq(all.count, 1, "%u sections: %u findings, the first: %s", counts[i], all.count, first_text());
    }
    header->section_count = count;
}

/* ---- a truncated copy, at every length ------------------------------------------------------------------------ */

Test(check, a_copy_cut_short_is_said_to_be)
{
    for (uint64_t left = 4096; left < size; left += 3 * 4096 + 64) {
        uint8_t *part = aligned_alloc(4096, (left + 4095) & ~UINT64_C(4095)); /* a read behind the end is the sanitizer's */
        const struct dump_options options = {.tasks = true, .events = 100};

        memset(part, 0, (left + 4095) & ~UINT64_C(4095));
        memcpy(part, bytes, left);
        dump_memory(part, left, &d);
        json_decref(dump_json(&d, &options));
        cr_assert(check().corrupt > 0);
        cr_assert(strcmp(all.list[0].structure, "header") == 0 && strcmp(all.list[0].rule, "S4") == 0, "%s: %s", all.list[0].rule,
                  all.list[0].text);
        free(part);
    }
}

/* ---- looks ---------------------------------------------------------------------------------------------------- */

static unsigned looks;
static uint64_t word;

static void look_once(struct ap_look *look)
{
    if (looks++ == 0) ap_look_found(look, AP_CORRUPT, &word, 1, "X1", "gone at the second look");
}
static void look_same(struct ap_look *look)
{
    looks++;
    ap_look_found(look, AP_CORRUPT, &word, 1, "X1", "the same");
}
static void look_moving(struct ap_look *look)
{
    looks++;
    ap_look_found(look, AP_CORRUPT, &word, looks, "X1", "there each time, on other words");
}
static void look_passing(struct ap_look *look)
{
    if (looks++ < AP_LOOKS - 1) ap_look_found(look, AP_CORRUPT, &word, looks, "X1", "gone at last");
}

static uint64_t look(ap_look_fn fn)
{
    struct ap_report report = {.found = on_finding, .user = &all};

    looks = 0;
    all.count = 0;
    ap_look_at(&d.seg, "thing", 5, fn, &report);
    return report.corrupt;
}

Test(check, findings_are_confirmed)
{
    cr_expect_eq(look(look_once), 0);
    cr_expect_eq(looks, 2);
    cr_expect_eq(look(look_same), 1);
    cr_expect_eq(looks, 2);
    cr_expect_eq(look(look_moving), 1);
    cr_expect_eq(looks, AP_LOOKS);
    cr_expect_eq(look(look_passing), 0);
    cr_expect_eq(looks, AP_LOOKS);
}
