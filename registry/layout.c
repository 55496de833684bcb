/* registry/layout.c - the registry's rows of the table of parts; create and attach. */
#include <stdio.h>
#include <string.h>

#include "registry/client/carried.h"
#include "registry/routing/admission.h"
#include "registry/discovery/discovery.h"
#include "registry/monitor/supervised.h"
#include "registry/memory/memory.h"
#include "registry/routing/dead.h"
#include "registry/routing/kept.h"

_Static_assert(sizeof(struct ap_service) == 64, "service: one line");
_Static_assert(offsetof(struct ap_swarm, beat) == 64, "the beat has a line of its own");
_Static_assert(offsetof(struct ap_swarm, instance) == 128, "swarm: two lines, then texts");
_Static_assert(sizeof(struct ap_swarm) == 1024, "swarm: a power of two, which its place is found by; nothing behind its tags");
_Static_assert(AP_REASON_MAX == 6 * AP_REASON_WORDS && AP_FOUND_MAX == 6 * AP_FOUND_WORDS, "six bytes a word");
_Static_assert(sizeof(struct ap_agent_record) == 128, "agent: two lines");
_Static_assert(offsetof(struct ap_capability, providers) == 16, "capability: bits, then its name, are in whole words");
_Static_assert(offsetof(struct ap_supervised, record) == 128 && sizeof(struct ap_supervised) == 1152, "supervised: whole lines");
_Static_assert(offsetof(struct ap_service, name) % 8 == 0, "names are copied word by word");
_Static_assert((APIARY_CAPABILITY_MAX + 1) % 8 == 0 && (APIARY_NAME_MAX + 1) % 8 == 0, "names are whole words");

#define AP_PART(ID, id) extern const struct ap_part ap_part_##id;
#include "shm/parts.def"
#include "registry/parts.def"
#undef AP_PART

static const struct ap_part *const rows[] = {
#define AP_PART(ID, id) [AP_SECTION_##ID] = &ap_part_##id,
#include "shm/parts.def"
#include "registry/parts.def"
#undef AP_PART
};

_Static_assert(AP_REGISTRY_SECTIONS_END <= AP_SECTIONS_MAX, "sections");

/* The rows of the dead set come first, then those of the kept results, then those of the memory. */
static bool registry_keeps(const struct ap_segment *seg, uint32_t row, uint64_t epoch)
{
    uint32_t dead = (uint32_t)seg->sections[AP_SECTION_DEAD].count, kept = (uint32_t)seg->sections[AP_SECTION_KEPT].count;

    if (row < dead) return ap_dead_keeps(seg, row, epoch);
    return row - dead < kept ? ap_kept_keeps(seg, row - dead, epoch) : ap_memory_keeps(seg, row - dead - kept, epoch);
}

/* The memory's blocks are no member's. */
static uint32_t registry_holder(const struct ap_segment *seg, uint32_t row)
{
    uint32_t dead = (uint32_t)seg->sections[AP_SECTION_DEAD].count, kept = (uint32_t)seg->sections[AP_SECTION_KEPT].count;

    if (row < dead) return AP_SHARE_SPARE;
    return row - dead < kept ? ap_kept_holder(seg, row - dead) : AP_SHARE_NOBODY;
}

const struct ap_parts ap_registry_parts = {.rows = rows, .count = AP_REGISTRY_SECTIONS_END, .look_slot = ap_registry_look_slot,
                                            .keeps = registry_keeps, .holder = registry_holder,
                                            .traced = ap_carried_traced};

int ap_registry_create(const struct ap_segment_options *options, char *message, size_t size, struct ap_segment **ret)
{
    /* A new segment is all zeros, which is an empty registry. */
    return ap_segment_create(options, &ap_registry_parts, message, size, ret);
}

int ap_registry_attach(const char *name, bool writable, char *message, size_t size, struct ap_segment **ret)
{
    return ap_segment_attach(name, writable, &ap_registry_parts, message, size, ret);
}

int ap_registry_attach_fd(int fd, bool writable, char *message, size_t size, struct ap_segment **ret)
{
    return ap_segment_attach_fd(fd, writable, &ap_registry_parts, message, size, ret);
}

bool ap_registry_fits(const struct ap_segment *seg)
{
    struct ap_section own[AP_SECTIONS_MAX];

    ap_layout_sections(&ap_registry_parts, &seg->geometry, own);
    for (uint32_t i = AP_SECTION_FIRST_FREE; i < AP_REGISTRY_SECTIONS_END; i++)
        if (seg->sections[i].stride != own[i].stride || seg->sections[i].count != own[i].count || own[i].count == 0) return false;
    return true;
}
