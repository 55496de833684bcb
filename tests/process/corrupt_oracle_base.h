/* tests/process/corrupt_oracle_base.h - what all parts of corrupt_oracle.h stand on. */
#ifndef CORRUPT_ORACLE_BASE_H
#define CORRUPT_ORACLE_BASE_H

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/name.h"
#include "registry/discovery/discovery.h"
#include "registry/client/carried.h"
#include "registry/conflict/coalesce.h"
#include "registry/routing/homes.h"
#include "registry/routing/places.h"
#include "registry/routing/terms.h"
#include "registry/monitor/supervised.h"
#include "shm/event.h"
#include "shm/queue.h"
#include "shm/stream.h"

#define BROKEN_MAX 4096

struct broken { /* a finding at `structure`, `index` and an offset in [begin, end) names it */
    const char *structure;
    uint64_t index, begin, end;
};

struct oracle {
    const struct ap_segment *seg; /* of the sound original: its geometry counts */
    const struct ap_header *original;
    uint64_t now, day_ahead;
    uint32_t mutex_kind;
    uint32_t count;
    struct broken list[BROKEN_MAX];
};

static void oracle_range(struct oracle *o, bool holds, const char *structure, uint64_t index, const void *begin,
                         const void *end)
{
    const uint8_t *base = o->seg->base;

    if (holds || o->count == BROKEN_MAX) return;
    o->list[o->count++] = (struct broken){structure, index, (uint64_t)((const uint8_t *)begin - base),
                                          (uint64_t)((const uint8_t *)end - base)};
}
#define HOLDS(condition, structure, index, field) \
    oracle_range(o, (condition), structure, index, &(field), (const uint8_t *)&(field) + sizeof(field))

static bool zeros(const void *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((const uint8_t *)p)[i] != 0) return false;
    return true;
}
#define ZEROS(structure, index, from, to) \
    oracle_range(o, zeros((from), (size_t)((const uint8_t *)(to) - (const uint8_t *)(from))), structure, index, (from), (to))

/* NUL at the end of the text, nothing behind it, no control bytes. */
static bool text_holds(const char *p, size_t size)
{
    size_t n = strnlen(p, size);

    for (size_t i = 0; i < n; i++)
        if ((uint8_t)p[i] < 32 || p[i] == 127) return false;
    return n < size && zeros(p + n, size - n);
}

/* ---- owners --------------------------------------------------------------------------------------------------- */

enum lane_is { LANE_LIVE, LANE_DEAD, LANE_FREE, LANE_ABSENT };

static enum lane_is lane_is(const struct oracle *o, uint32_t index)
{
    const struct ap_lane *l = ap_lane_at(o->seg, index);
    uint32_t lock;

    if (l == NULL) return LANE_ABSENT;
    lock = (uint32_t)l->mutex.__data.__lock;
    if ((l->life & 0xff) == 2) return LANE_DEAD;
    if ((l->life & 0xff) != 1) return LANE_FREE;
    if (l->kind == AP_LANE_SHARED) return LANE_LIVE;
    return (lock & 0x3fffffff) != 0 && (lock & 0x40000000) == 0 ? LANE_LIVE : LANE_DEAD;
}

/* 0 or the block's side word; *capacity by its place. */
static bool block_find(const struct oracle *o, uint64_t offset, uint64_t *capacity, uint64_t *word)
{
    const struct ap_geometry *g = &o->seg->geometry;
    uint64_t at = o->seg->sections[AP_SECTION_POOL].offset, number = 0;

    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) {
        for (uint32_t i = 0; i < g->pool_blocks[c]; i++, number++) {
            if (at + (uint64_t)i * (256u << 2 * c) != offset) continue;
            *capacity = 256u << 2 * c;
            *word = *(const uint64_t *)ap_at(o->seg, AP_SECTION_BLOCKS, number);
            return true;
        }
        at += ((uint64_t)g->pool_blocks[c] * (256u << 2 * c) + 4095) / 4096 * 4096;
    }
    return false;
}

#endif
