/* shm/layout.c - the table of parts read: geometry, section table, fingerprint. See part.h. */
#include <string.h>

#include "core/name.h"
#include "core/text.h"
#include "shm/claim.h"
#include "shm/event.h"
#include "shm/part.h"
#include "shm/pool.h"
#include "shm/queue.h"

_Static_assert(sizeof(struct ap_header) <= 4096, "the header is one page");
_Static_assert(sizeof(struct ap_section) == 48, "section");
_Static_assert(AP_SECTION_FIRST_FREE + AP_REGISTRY_SECTIONS_MAX == AP_SECTIONS_MAX, "each section of a registry has its number");
_Static_assert(sizeof(struct ap_lane) == 256, "lane: four lines");
_Static_assert(sizeof(struct ap_member) == 256, "member: four lines");
_Static_assert(sizeof(struct ap_slot) == 256, "slot: four lines");
_Static_assert(offsetof(struct ap_slot, body_inline) == 64, "control is one line");
_Static_assert(offsetof(struct ap_slot, result_inline) == 128, "the result never overlaps the request");
_Static_assert(offsetof(struct ap_slot, queued) == 192, "times have a line of their own");
_Static_assert(sizeof(struct ap_slab) == 32, "slab: a power of two, which its place is found by");
_Static_assert(sizeof(struct ap_queue) == 256, "queue: four lines");
_Static_assert(offsetof(struct ap_ring, cells) == 128, "ring: producer's line, consumer's line, cells");
_Static_assert(sizeof(struct ap_event) == 192, "event: three lines");
_Static_assert(sizeof(struct ap_claim) == 256 && offsetof(struct ap_claim, counts) == 64, "claim: four lines");
_Static_assert(offsetof(struct ap_lane, bell) == 128 && offsetof(struct ap_lane, hand) == 192, "lane lines");
_Static_assert(sizeof(pthread_mutex_t) <= 64, "the mutex is one line");
_Static_assert(__atomic_always_lock_free(8, 0) && __atomic_always_lock_free(4, 0), "words are lock-free");

/* ---- the table ------------------------------------------------------------------------------------------------- */

#define AP_PART(ID, id) extern const struct ap_part ap_part_##id;
#include "shm/parts.def"
#undef AP_PART

static const struct ap_part *const rows[] = {
#define AP_PART(ID, id) [AP_SECTION_##ID] = &ap_part_##id,
#include "shm/parts.def"
#undef AP_PART
};

const struct ap_parts ap_shm_parts = {.rows = rows, .count = AP_SECTION_FIRST_FREE};

void ap_look_nothing(struct ap_look *look)
{
    (void)look;
}

void ap_part_nothing(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    (void)seg, (void)lane, (void)beside;
}

static void look_each(const struct ap_segment *seg, uint32_t section, const char *element, ap_look_fn look,
                      struct ap_report *report)
{
    if (look == ap_look_nothing) return;
    for (uint64_t i = 0; i < seg->sections[section].count; i++) ap_look_at(seg, element, i, look, report);
}

void ap_parts_check(const struct ap_segment *seg, uint32_t from, uint32_t to, struct ap_report *report)
{
    const struct ap_parts *parts = seg->parts;

    for (uint32_t i = from; i < to && i < parts->count; i++)
        look_each(seg, i, parts->rows[i]->element, parts->rows[i]->look, report);
    if (parts->look_slot != NULL && to > AP_SECTION_FIRST_FREE)
        look_each(seg, AP_SECTION_SLOTS, parts->rows[AP_SECTION_SLOTS]->element, parts->look_slot, report);
}

/* ---- fingerprint ----------------------------------------------------------------------------------------------- */

static const struct ap_field header_fields[] = {
    AP_FIELD(ap_header, magic), AP_FIELD(ap_header, version), AP_FIELD(ap_header, version_min),
    AP_FIELD(ap_header, fingerprint), AP_FIELD(ap_header, size), AP_FIELD(ap_header, state), AP_FIELD(ap_header, section_count),
    AP_FIELD(ap_header, creator_pid), AP_FIELD(ap_header, creator_start), AP_FIELD(ap_header, creator_namespace),
    AP_FIELD(ap_header, created_realtime), AP_FIELD(ap_header, created_monotonic), AP_FIELD(ap_header, boot_id),
    AP_FIELD(ap_header, name), AP_FIELD(ap_header, geometry), AP_FIELD(ap_header, sections), AP_FIELD(ap_header, time_namespace),
    AP_FIELD(ap_header, rescan), AP_FIELD(ap_header, tap), AP_FIELD(ap_header, lanes_changed), AP_FIELD(ap_header, event_next),
    AP_FIELD(ap_header, forgotten), AP_FIELD(ap_header, role),
    AP_FIELD(ap_header, watched), AP_FIELD(ap_header, images), AP_FIELD(ap_header, due), AP_FIELD(ap_header, due_rung),
    AP_FIELD(ap_header, kept_grants),
    AP_FIELD(ap_geometry, members), AP_FIELD(ap_geometry, lanes), AP_FIELD(ap_geometry, tasks), AP_FIELD(ap_geometry, queues),
    AP_FIELD(ap_geometry, queue_depth), AP_FIELD(ap_geometry, queue_inlets), AP_FIELD(ap_geometry, pool_blocks),
    AP_FIELD(ap_geometry, events), AP_FIELD(ap_geometry, max_concurrent_delegations), AP_FIELD(ap_geometry, registry),
    AP_FIELD(ap_geometry, task_timeout), AP_FIELD(ap_geometry, member_share), AP_FIELD(ap_geometry, result_ttl),
    AP_FIELD(ap_geometry, max_unnamed_delegations), AP_FIELD(ap_geometry, claims),
    AP_FIELD(ap_geometry, kept_share), AP_FIELD(ap_geometry, finished_rings), AP_FIELD(ap_geometry, slow_task),
    AP_FIELD(ap_geometry, trace_one_in),
    AP_FIELD(ap_section, name), AP_FIELD(ap_section, offset), AP_FIELD(ap_section, stride), AP_FIELD(ap_section, count),
    {NULL, 0, 0},
};

/* Each attach makes it, of some thousand names: written as texts before they are hashed, they were most of its instructions. */
static uint64_t sum_name(uint64_t sum, const char *name, uint64_t offset, uint64_t size)
{
    const uint64_t all[] = {sum, ap_hash(name, strlen(name)), offset, size};

    return ap_hash((const char *)all, sizeof all);
}

static uint64_t sum_fields(uint64_t sum, const struct ap_field *fields)
{
    for (; fields->name != NULL; fields++) sum = sum_name(sum, fields->name, fields->offset, fields->size);
    return sum;
}

uint64_t ap_layout_fingerprint(const struct ap_parts *parts)
{
    uint64_t sum = sum_fields(ap_hash(AP_SEGMENT_MAGIC, 8), header_fields);

    for (uint32_t i = 0; i < parts->count; i++)
        sum = sum_fields(sum_name(sum, parts->rows[i]->name, i, parts->rows[i]->size), parts->rows[i]->fields);
    return sum;
}

/* ---- geometry -------------------------------------------------------------------------------------------------- */

bool ap_number_valid(const struct ap_number *n, uint32_t value)
{
    return value >= n->min && value <= n->max && (!n->power || (value & (value - 1)) == 0);
}

int ap_numbers_each(const struct ap_parts *parts, int (*each)(void *user, const struct ap_number *n), void *user)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < parts->count; i++)
        for (const struct ap_number *n = parts->rows[i]->numbers; r == 0 && n->key != NULL; n++) r = each(user, n);
    return r;
}

/* The next power of two, or the last one that is allowed. */
static uint32_t power_near(uint32_t value, uint32_t max)
{
    uint32_t below = 1u << (31 - __builtin_clz(value));

    return below <= max / 2 ? below * 2 : below;
}

struct normalising {
    const struct ap_geometry *from;
    struct ap_geometry g; /* what no number mentions is 0 */
    uint64_t chosen;      /* of the numbers that may be 0: whether any is not */
    char *message;
    size_t size;
};

static int sum_of_those_that_may_be_0(void *user, const struct ap_number *n)
{
    struct normalising *to = user;

    if (n->min == 0) to->chosen += ap_number_of(to->from, n);
    return 0;
}

static int normalise(void *user, const struct ap_number *n)
{
    struct normalising *to = user;
    uint32_t value = ap_number_of(to->from, n);
    const char *group = n->group != NULL ? n->group : "", *colon = n->group != NULL ? ": " : "";

    if (value == 0 && (n->min != 0 || to->chosen == 0)) value = n->otherwise;
    ap_number_set(&to->g, n, value);
    if (ap_number_valid(n, value)) return 0;
    if (to->message != NULL && (value < n->min || value > n->max))
        ap_format(to->message, to->size, "%s%s%s: %u is out of range; allowed: %u to %u", group, colon, n->key, value, n->min,
                  n->max);
    else if (to->message != NULL)
        ap_format(to->message, to->size, "%s%s%s: %u is not a power of two; for example %u would be", group, colon, n->key, value,
                  power_near(value, n->max));
    return APIARY_EINVAL;
}

int ap_geometry_normalise(const struct ap_parts *parts, struct ap_geometry *g, char *message, size_t size)
{
    struct normalising to = {.from = g, .message = message, .size = size};
    int r;

    ap_numbers_each(parts, sum_of_those_that_may_be_0, &to);
    r = ap_numbers_each(parts, normalise, &to);
    if (r < 0) return r;
    to.g.tasks = (to.g.tasks + AP_SLAB_SLOTS - 1) / AP_SLAB_SLOTS * AP_SLAB_SLOTS;
    to.g.task_timeout = g->task_timeout != 0 ? g->task_timeout : UINT64_C(60000000000);
    *g = to.g;
    return 0;
}

/* ---- sections -------------------------------------------------------------------------------------------------- */

static uint64_t page_align(uint64_t n)
{
    return (n + 4095) & ~UINT64_C(4095);
}

uint64_t ap_layout_sections(const struct ap_parts *parts, const struct ap_geometry *g, struct ap_section ret[AP_SECTIONS_MAX])
{
    uint64_t offset = 4096;

    memset(ret, 0, sizeof(struct ap_section) * AP_SECTIONS_MAX);
    for (uint32_t i = 0; i < parts->count; i++) {
        const struct ap_part *part = parts->rows[i];

        memcpy(ret[i].name, part->name, strnlen(part->name, sizeof ret[i].name - 1));
        ret[i].stride = ap_part_stride(part, g);
        ret[i].count = ap_part_count(part, g);
        ret[i].offset = offset;
        offset += page_align(ret[i].stride * ret[i].count);
    }
    return offset;
}

bool ap_layout_matches(const struct ap_parts *parts, const struct ap_header *h, uint64_t size)
{
    struct ap_section own[AP_SECTIONS_MAX];
    struct ap_geometry g = h->geometry;

    if (ap_geometry_normalise(parts, &g, NULL, 0) < 0 || memcmp(&g, &h->geometry, sizeof g) != 0) return false;
    return h->section_count == parts->count && ap_layout_sections(parts, &g, own) == size && h->size == size &&
           memcmp(own, h->sections, sizeof own) == 0;
}
