/* tests/process/corrupt_oracle_kept.h - what corrupt_oracle.h knows of the dead set, of the kept results, and of their blocks. */
#ifndef CORRUPT_ORACLE_KEPT_H
#define CORRUPT_ORACLE_KEPT_H

#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "tests/process/corrupt_oracle_base.h"

static bool kept_holds(const struct oracle *o, uint64_t row, uint64_t epoch)
{
    uint64_t dead = o->seg->sections[AP_SECTION_DEAD].count, low = (UINT64_C(1) << 36) - 1;
    const struct ap_dead *d = row < dead ? ap_dead_at(o->seg, row) : NULL;
    const struct ap_kept *k = row < dead ? NULL : ap_kept_at(o->seg, row - dead);

    if (d != NULL) return (d->life & 0xff) != 0 && (d->life >> 24 & low) == epoch;
    return k != NULL && (k->life & 0xff) >= 2 && (k->life >> 24 & low) == epoch;
}

static bool promise_holds(const struct oracle *o, const struct ap_kept *k)
{
    const struct ap_slot *s = ap_slot_at(o->seg, k->slot);

    return s != NULL && (s->word & 15) != AP_TASK_FREE && s->word >> 26 == k->generation &&
           ap_slab_at(o->seg, k->slot / 64)->lease >> 16 == k->epoch;
}

static void oracle_kept(struct oracle *o)
{
    uint64_t dead = o->seg->sections[AP_SECTION_DEAD].count;

    for (uint32_t i = 0; i < o->seg->sections[AP_SECTION_KEPT].count; i++) {
        const struct ap_kept *k = ap_kept_at(o->seg, i);
        uint64_t capacity = 64, word = 0;
        uint32_t state = k->life & 0xff;

        HOLDS(state <= 3 && (state != 1 || lane_is(o, k->life >> 8 & 0xffff) == LANE_LIVE) && (state != 2 || promise_holds(o, k)),
              "kept", i, k->life);
        if (state != 3) continue;
        if (k->result != 0)
            HOLDS(block_find(o, k->result, &capacity, &word) && word == (3 | (dead + i) << 6 | k->life >> 24 << 28), "kept", i,
                  k->result);
        HOLDS(k->size <= capacity, "kept", i, k->size);
    }
}

static void oracle_dead(struct oracle *o)
{
    for (uint32_t i = 0; i < o->seg->sections[AP_SECTION_DEAD].count; i++) {
        const struct ap_dead *d = ap_dead_at(o->seg, i);
        uint64_t capacity = 64, word = 0;
        uint32_t state = d->life & 0xff;

        HOLDS(state <= 3 && (state == 1 || state == 3 ? lane_is(o, d->life >> 8 & 0xffff) == LANE_LIVE : true), "dead", i, d->life);
        if (state != 2 && state != 3) continue;
        HOLDS(state != 2 || d->again == 0, "dead", i, d->again);
        HOLDS(d->number != 0 && d->cause >= 1 && d->cause < 8, "dead", i, d->number);
        if (d->body != 0)
            HOLDS(block_find(o, d->body, &capacity, &word) &&
                      (state == 3 || word == (3 | (uint64_t)i << 6 | d->life >> 24 << 28)),
                  "dead", i, d->body);
        HOLDS(d->body_size <= capacity, "dead", i, d->body_size);
    }
}

#endif
