/* perf/case_discover.c - discover: who offers a capability; and what every submit asks of the index: find it, choose a queue. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/step.h"
#include "registry/client/client.h"

#define BATCH 16u
#define FEW 13u

struct place {
    unsigned segment, count;
    apiary_t *a;
    char (*names)[32];
    uint32_t *order; /* each name once, in no order that a prefetcher would guess */
    size_t next;
    struct ap_balance balance;
};

static void shuffle(struct place *p)
{
    uint64_t x = 88172645463325252u;

    for (uint32_t i = 0; i < p->count; i++)
        p->order[i] = i;
    for (uint32_t i = p->count; i > 1; i--) {
        uint32_t j, swap;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        j = (uint32_t)(x % i);
        swap = p->order[i - 1];
        p->order[i - 1] = p->order[j];
        p->order[j] = swap;
    }
}

/* Thirteen swarms are real; more capabilities and services are entered in the index beside theirs, offered by the same queues. */
static void fill_up(struct place *p)
{
    struct ap_segment *seg = p->a->seg;

    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t capability, service;
        char name[48];
        if (i < FEW) continue;
        snprintf(name, sizeof name, "service-%u", i);
        perf_must(ap_service_intern(seg, p->a->anchor->lane.index, name, &service), "service");
        perf_must(ap_capability_intern(seg, p->names[i], &capability), "capability");
        ap_capability_offer(seg, capability, i % FEW);
    }
}

static struct place *case_discover_place_make(unsigned segment, unsigned count)
{
    struct place *p = calloc(1, sizeof *p);
    uint32_t capabilities = 64;

    if (p == NULL || (p->names = calloc(count, sizeof *p->names)) == NULL ||
        (p->order = calloc(count, sizeof *p->order)) == NULL)
        perf_die("out of memory");
    p->segment = segment;
    p->count = count;
    while (capabilities < 2 * count)
        capabilities *= 2;
    for (uint32_t i = 0; i < count; i++)
        snprintf(p->names[i], sizeof p->names[i], "area%u.capability-%u", i % 97, i);
    shuffle(p);
    perf_segment_make(segment, NULL, count + 64, capabilities);
    for (unsigned i = 0; i < FEW; i++) {
        static char services[2][FEW][32];
        static const char *offered[2][FEW][2];
        static struct perf_queen queens[2][FEW];
        struct perf_queen *q = &queens[segment % 2][i];
        snprintf(services[segment % 2][i], sizeof services[0][0], "service-%u", i);
        offered[segment % 2][i][0] = p->names[i];
        *q = (struct perf_queen){
            .segment = segment, .service = services[segment % 2][i], .capabilities = offered[segment % 2][i]};
        perf_queen_start(q, -1);
    }
    return p;
}

static void place_join(struct place *p)
{
    p->a = perf_attach(p->segment, NULL);
    fill_up(p);
    for (uint32_t i = 0; i < p->count; i++) {
        apiary_provider_t row = {.struct_size = sizeof row};
        int n = apiary_discover(p->a, p->names[i], &row, 1);
        if (n < 1 || !row.alive) perf_die("discover %s: %d providers", p->names[i], n);
    }
}

static const char *next_name(struct place *p)
{
    const char *name = p->names[p->order[p->next]];

    p->next = p->next + 1 < p->count ? p->next + 1 : 0;
    return name;
}

static void turn_discover(void *state, struct perf_block *b)
{
    struct place *p = state;
    apiary_provider_t row = {.struct_size = sizeof row};

    perf_block_begin(b);
    do {
        for (unsigned i = 0; i < BATCH; i++)
            if (apiary_discover(p->a, next_name(p), &row, 1) < 1) perf_die("a capability was not found");
    } while (perf_block_did(b, BATCH));
    perf_block_end(b);
}

static void turn_route(void *state, struct perf_block *b)
{
    struct place *p = state;

    perf_block_begin(b);
    do {
        for (unsigned i = 0; i < BATCH; i++) {
            const char *name = next_name(p);
            int capability = ap_capability_find(p->a->seg, name, strlen(name));
            uint32_t queue;
            uint64_t life;
            if (capability < 0 ||
                ap_route(p->a->seg, (uint32_t)capability, &p->balance, AP_NO_QUEUE, &queue, &life) < 0)
                perf_die("a capability was not found");
        }
    } while (perf_block_did(b, BATCH));
    perf_block_end(b);
}

/* c->number capabilities; c->flag: only what a submit asks. */
static void case_discover_count(struct perf_result *r, enum perf_step step)
{
    double instructions, lines;
    char why[160];

    if (perf_step_count(step, (struct perf_tables){0}, &instructions, &lines, why, sizeof why)) {
        perf_result_row(r, "", instructions, "instructions");
        perf_result_row(r, "", lines, "cache lines touched");
    } else {
        perf_result_missing(r, "instructions", "%s", why);
    }
    perf_expect_end(false);
}

void perf_case_discover(const struct perf_case *c, struct perf_result *r)
{
    void (*turn)(void *, struct perf_block *) = c->flag != 0 ? turn_route : turn_discover;
    struct perf_contestant all[3] = {{.name = "apiary", .turn = turn}, {.name = "raw", .turn = perf_raw_turn}};
    struct place *p = case_discover_place_make(0, c->number), *few = c->number != FEW ? case_discover_place_make(1, FEW) : NULL;
    size_t n = 2;

    all[0].state = p;
    all[1].state = perf_raw_open(perf_options.pinned ? perf_options.server : -1);
    place_join(p);
    if (few != NULL) {
        place_join(few);
        all[n++] = (struct perf_contestant){
            .name = "thirteen", .setting = "the same with 13 capabilities", .state = few, .turn = turn};
    }
    if (c->number == 13) case_discover_count(r, c->flag != 0 ? PERF_ROUTE : PERF_DISCOVER);
    if (perf_options.pinned) perf_pin(perf_options.client);
    if (c->number > FEW) perf_result_note(r, "%u capabilities, as many services in name, and 13 swarms in life", c->number);
    perf_result_note(r, "each sample is the mean of %u lookups, of different names", BATCH);
    perf_blocks(r, all, n);
}
