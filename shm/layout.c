/* shm/layout.c - geometry, section table, fingerprint: what lies where in a segment. */
#include <stdio.h>
#include <string.h>

#include "core/name.h"
#include "shm/event.h"
#include "shm/pool.h"
#include "shm/queue.h"

_Static_assert(sizeof(struct ap_header) <= 4096, "the header is one page");
_Static_assert(sizeof(struct ap_section) == 48, "section");
_Static_assert(sizeof(struct ap_lane) == 256, "lane: four lines");
_Static_assert(sizeof(struct ap_member) == 192, "member: three lines");
_Static_assert(sizeof(struct ap_slot) == 256, "slot: four lines");
_Static_assert(offsetof(struct ap_slot, body_inline) == 64, "control is one line");
_Static_assert(offsetof(struct ap_slot, result_inline) == 128, "the result never overlaps the request");
_Static_assert(offsetof(struct ap_slot, queued) == 192, "times have a line of their own");
_Static_assert(sizeof(struct ap_slab) == 16, "slab");
_Static_assert(sizeof(struct ap_queue) == 192, "queue: three lines");
_Static_assert(offsetof(struct ap_ring, cells) == 128, "ring: producer's line, consumer's line, cells");
_Static_assert(sizeof(struct ap_event) == 64, "event: one line");
_Static_assert(offsetof(struct ap_lane, bell) == 128 && offsetof(struct ap_lane, hand) == 192, "lane lines");
_Static_assert(sizeof(pthread_mutex_t) <= 64, "the mutex is one line");
_Static_assert(__atomic_always_lock_free(8, 0) && __atomic_always_lock_free(4, 0), "words are lock-free");

#define FIELD(type, field) {#type "." #field, offsetof(struct type, field), sizeof(((struct type *)0)->field)}

static const struct {
    const char *name;
    uint32_t offset, size;
} fields[] = {
    FIELD(ap_header, magic), FIELD(ap_header, version), FIELD(ap_header, version_min), FIELD(ap_header, fingerprint),
    FIELD(ap_header, size), FIELD(ap_header, state), FIELD(ap_header, section_count), FIELD(ap_header, creator_pid),
    FIELD(ap_header, creator_start), FIELD(ap_header, creator_namespace),
    FIELD(ap_header, created_realtime), FIELD(ap_header, created_monotonic), FIELD(ap_header, boot_id),
    FIELD(ap_header, name), FIELD(ap_header, geometry),
    FIELD(ap_header, sections), FIELD(ap_header, time_namespace), FIELD(ap_header, rescan), FIELD(ap_header, lanes_changed),
    FIELD(ap_header, event_next), FIELD(ap_header, role), FIELD(ap_header, watched), FIELD(ap_header, images),
    FIELD(ap_geometry, members), FIELD(ap_geometry, lanes), FIELD(ap_geometry, tasks), FIELD(ap_geometry, queues),
    FIELD(ap_geometry, queue_depth), FIELD(ap_geometry, queue_inlets), FIELD(ap_geometry, pool_blocks),
    FIELD(ap_geometry, events), FIELD(ap_geometry, max_concurrent_delegations), FIELD(ap_geometry, task_timeout),
    FIELD(ap_section, name), FIELD(ap_section, offset), FIELD(ap_section, stride), FIELD(ap_section, count),
    FIELD(ap_lane, life), FIELD(ap_lane, kind), FIELD(ap_lane, tid), FIELD(ap_lane, member),
    FIELD(ap_lane, joined), FIELD(ap_lane, pid),
    FIELD(ap_lane, image),
    FIELD(ap_lane, mutex), FIELD(ap_lane, bell), FIELD(ap_lane, hand),
    FIELD(ap_member, life), FIELD(ap_member, pid), FIELD(ap_member, start_time), FIELD(ap_member, pid_namespace),
    FIELD(ap_member, attached), FIELD(ap_member, kind), FIELD(ap_member, name), FIELD(ap_member, swarm),
    FIELD(ap_slot, word), FIELD(ap_slot, request), FIELD(ap_slot, body), FIELD(ap_slot, result),
    FIELD(ap_slot, body_size), FIELD(ap_slot, result_size), FIELD(ap_slot, agent_code), FIELD(ap_slot, only),
    FIELD(ap_slot, deadline), FIELD(ap_slot, client), FIELD(ap_slot, capability), FIELD(ap_slot, caller),
    FIELD(ap_slot, ticket), FIELD(ap_slot, body_inline), FIELD(ap_slot, result_inline), FIELD(ap_slot, queued),
    FIELD(ap_slot, started), FIELD(ap_slot, finished), FIELD(ap_slot, queue), FIELD(ap_slot, worker),
    FIELD(ap_slab, lease),
    FIELD(ap_queue, life), FIELD(ap_queue, summary), FIELD(ap_queue, depth), FIELD(ap_queue, running),
    FIELD(ap_queue, crashed), FIELD(ap_queue, expired), FIELD(ap_queue, cancelled), FIELD(ap_queue, started),
    FIELD(ap_queue, done), FIELD(ap_queue, failed), FIELD(ap_queue, late), FIELD(ap_queue, run_time),
    FIELD(ap_ring, lease), FIELD(ap_ring, tail), FIELD(ap_ring, head), FIELD(ap_ring, cells[0]),
    FIELD(ap_event, number), FIELD(ap_event, time), FIELD(ap_event, kind), FIELD(ap_event, lane), FIELD(ap_event, a),
    FIELD(ap_event, b),
};

uint64_t ap_layout_fingerprint(uint64_t extra)
{
    uint64_t sum = ap_hash(AP_SEGMENT_MAGIC, 8) ^ extra;

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        char text[96];
        int n = snprintf(text, sizeof text, "%016llx %s %u %u", (unsigned long long)sum, fields[i].name, fields[i].offset,
                         fields[i].size);
        sum = ap_hash(text, (size_t)n);
    }
    return sum;
}

struct bound {
    const char *name;
    uint32_t *value;
    uint32_t otherwise, min, max;
    bool power;
};

static int normalise(const struct bound *b, char *message, size_t size)
{
    if (*b->value == 0) *b->value = b->otherwise;
    if (*b->value < b->min || *b->value > b->max) {
        if (message != NULL)
            snprintf(message, size, "%s: %u is out of range; allowed: %u to %u", b->name, *b->value, b->min, b->max);
        return APIARY_EINVAL;
    }
    if (b->power && (*b->value & (*b->value - 1)) != 0) {
        if (message != NULL)
            snprintf(message, size, "%s: %u is not a power of two; for example %u would be", b->name, *b->value,
                     1u << (31 - __builtin_clz(*b->value)));
        return APIARY_EINVAL;
    }
    return 0;
}

int ap_geometry_normalise(struct ap_geometry *g, char *message, size_t size)
{
    static const uint32_t blocks[AP_POOL_CLASSES] = {1024, 512, 256, 64, 8, 4, 4};
    struct ap_geometry out = *g;
    const struct bound bounds[] = {
        {"members", &out.members, 128, 1, 4096, false},
        {"lanes", &out.lanes, 256, 1, AP_LANES_MAX, false},
        {"tasks", &out.tasks, 8192, AP_SLAB_SLOTS, 1u << 22, false},
        {"queues", &out.queues, 128, 1, 4096, false},
        {"queue_depth", &out.queue_depth, 256, 2, 65536, true},
        {"queue_inlets", &out.queue_inlets, 15, 1, 63, false},
        {"events", &out.events, 1024, 2, 1u << 20, true},
        {"max_concurrent_delegations", &out.max_concurrent_delegations, 100, 1, 4096, false},
    };
    bool none = true;

    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        int r = normalise(&bounds[i], message, size);
        if (r < 0) return r;
    }
    out.tasks = (out.tasks + AP_SLAB_SLOTS - 1) / AP_SLAB_SLOTS * AP_SLAB_SLOTS;
    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) {
        if (out.pool_blocks[c] != 0) none = false;
        if (out.pool_blocks[c] > 1u << 20) {
            if (message != NULL)
                snprintf(message, size, "payload: %u blocks of %u bytes; allowed: at most 1048576 of a size",
                         out.pool_blocks[c], ap_pool_class_size[c]);
            return APIARY_EINVAL;
        }
    }
    if (none) memcpy(out.pool_blocks, blocks, sizeof blocks);
    if (out.task_timeout == 0) out.task_timeout = UINT64_C(60000000000);
    out.reserved = 0;
    *g = out;
    return 0;
}

static uint64_t page_align(uint64_t n)
{
    return (n + 4095) & ~UINT64_C(4095);
}

static void section_set(struct ap_section *s, const char *name, uint64_t stride, uint64_t count)
{
    memset(s, 0, sizeof *s);
    memcpy(s->name, name, strnlen(name, sizeof s->name - 1));
    s->stride = stride;
    s->count = count;
}

uint64_t ap_layout_sections(const struct ap_geometry *g, const struct ap_section *extra, uint32_t extra_count,
                            struct ap_section ret[AP_SECTIONS_MAX], uint32_t *ret_count)
{
    uint64_t blocks = 0, offset = 4096;
    uint32_t n = AP_SECTION_FIRST_FREE;

    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) blocks += g->pool_blocks[c];
    memset(ret, 0, sizeof(struct ap_section) * AP_SECTIONS_MAX);
    section_set(&ret[AP_SECTION_MEMBERS], "members", sizeof(struct ap_member), g->members);
    section_set(&ret[AP_SECTION_LANES], "lanes", sizeof(struct ap_lane), g->lanes);
    section_set(&ret[AP_SECTION_SLABS], "slabs", sizeof(struct ap_slab), g->tasks / AP_SLAB_SLOTS);
    section_set(&ret[AP_SECTION_SLOTS], "slots", sizeof(struct ap_slot), g->tasks);
    section_set(&ret[AP_SECTION_QUEUES], "queues", sizeof(struct ap_queue), g->queues);
    section_set(&ret[AP_SECTION_RINGS], "rings",
                (sizeof(struct ap_ring) + 8ull * g->queue_depth + AP_LINE - 1) / AP_LINE * AP_LINE,
                (uint64_t)g->queues * (g->queue_inlets + 1));
    section_set(&ret[AP_SECTION_BLOCKS], "blocks", 8, blocks);
    section_set(&ret[AP_SECTION_POOL], "pool", 1, ap_pool_section_size(g));
    section_set(&ret[AP_SECTION_EVENTS], "events", sizeof(struct ap_event), g->events);
    for (uint32_t i = 0; i < extra_count && n < AP_SECTIONS_MAX; i++, n++)
        section_set(&ret[n], extra[i].name, extra[i].stride, extra[i].count);
    for (uint32_t i = 0; i < n; i++) {
        ret[i].offset = offset;
        offset += page_align(ret[i].stride * ret[i].count);
    }
    if (ret_count != NULL) *ret_count = n;
    return offset;
}

uint64_t ap_segment_size(const struct ap_geometry *g, const struct ap_section *extra, uint32_t extra_count)
{
    struct ap_section sections[AP_SECTIONS_MAX];
    return ap_layout_sections(g, extra, extra_count, sections, NULL);
}

/* The shm sections of a header must be those that its geometry gives, and the others must lie behind them in order. */
bool ap_layout_matches(const struct ap_header *h, uint64_t size)
{
    struct ap_section own[AP_SECTIONS_MAX];
    struct ap_geometry g = h->geometry;
    uint64_t end;

    if (h->section_count < AP_SECTION_FIRST_FREE || h->section_count > AP_SECTIONS_MAX) return false;
    if (ap_geometry_normalise(&g, NULL, 0) < 0 || memcmp(&g, &h->geometry, sizeof g) != 0) return false;
    end = ap_layout_sections(&g, NULL, 0, own, NULL);
    if (memcmp(own, h->sections, sizeof own[0] * AP_SECTION_FIRST_FREE) != 0) return false;
    for (uint32_t i = AP_SECTION_FIRST_FREE; i < h->section_count; i++) {
        const struct ap_section *s = &h->sections[i];
        if (s->offset != end || s->stride == 0 || s->stride > size || s->count > size / s->stride) return false;
        if (s->name[0] == '\0' || s->name[sizeof s->name - 1] != '\0') return false;
        end += page_align(s->stride * s->count);
    }
    return end == size && h->size == size;
}
