/* shm/check_header.c - the checker of the header: everything in it is redundant with something else in it. */
#include <stdio.h>
#include <string.h>

#include "shm/event.h"
#include "shm/part.h"
#include "shm/pool.h"
#include "shm/queue.h"

#define HEADER_PAGE 4096u
#define LONG(n) ((unsigned long long)(n))

/* ---- identity ------------------------------------------------------------------------------------------------- */

static void look_identity(struct ap_look *look)
{
    const struct ap_header *h = look->seg->header;
    uint32_t version = ap_look_32(look, &h->version), least = ap_look_32(look, &h->version_min);
    uint64_t fingerprint = ap_look_64(look, &h->fingerprint), size = ap_look_64(look, &h->size);
    uint32_t state = ap_look_32(look, &h->state);
    uint64_t magic;

    memcpy(&magic, h->magic, sizeof magic);
    if (memcmp(&magic, AP_SEGMENT_MAGIC, sizeof magic) != 0)
        ap_look_found(look, AP_CORRUPT, h->magic, magic, "S1", "the magic bytes are not \"" AP_SEGMENT_MAGIC "\"");
    if (version < AP_LAYOUT_VERSION_MIN || version > AP_LAYOUT_VERSION)
        ap_look_found(look, AP_CORRUPT, &h->version, version, "S2", "layout version %u; known are %u to %u", version,
                      AP_LAYOUT_VERSION_MIN, AP_LAYOUT_VERSION);
    if (least == 0 || least > AP_LAYOUT_VERSION || least > version)
        ap_look_found(look, AP_CORRUPT, &h->version_min, least, "S2", "oldest layout version %u; the version is %u", least,
                      version);
    if (look->seg->fingerprint != 0 && fingerprint != look->seg->fingerprint)
        ap_look_found(look, AP_CORRUPT, &h->fingerprint, fingerprint, "S3", "layout fingerprint %016llx, not %016llx",
                      LONG(fingerprint), LONG(look->seg->fingerprint));
    if (size != look->seg->size)
        ap_look_found(look, AP_CORRUPT, &h->size, size, "S4", "the header says %llu bytes, there are %llu",
                      LONG(size), LONG(look->seg->size));
    if (state != AP_SEGMENT_READY)
        ap_look_found(look, AP_CORRUPT, &h->state, state, "S5", "%s (%u)",
                      state == AP_SEGMENT_CREATING ? "its creator has not finished it" : "no such state", state);
}

static void look_creator(struct ap_look *look)
{
    const struct ap_header *h = look->seg->header;
    uint64_t pid = ap_look_64(look, (const uint64_t *)&h->creator_pid), stamp = ap_look_64(look, &h->created_monotonic);
    uint64_t rescan = ap_look_64(look, &h->rescan), next = ap_look_64(look, &h->event_next);
    uint64_t images = ap_look_64(look, &h->images);
    char name[sizeof h->name];
    uint8_t boot[sizeof h->boot_id];
    size_t length = ap_look_text(look, h->name, sizeof h->name, "S8", "the segment's name", name);

    if (name[0] != '/' || length < 2 || strchr(name + 1, '/') != NULL)
        ap_look_found(look, AP_CORRUPT, h->name, length, "S8", "\"%s\" is not a segment name", name);
    if (pid == 0 || pid > 1u << 22)
        ap_look_found(look, AP_CORRUPT, &h->creator_pid, pid, "S9", "creator's process %lld", (long long)pid);
    ap_look_date(look, &h->created_realtime, "S9", "creation");
    if (stamp > ap_look_now(look))
        ap_look_found(look, AP_CORRUPT, &h->created_monotonic, stamp, "S9", "created in the future");
    /* A random UUID carries its version and variant; all zeros where the machine would not tell. */
    memcpy(boot, (const void *)h->boot_id, sizeof boot);
    if ((boot[6] & 0xf0) != 0x40 || (boot[8] & 0xc0) != 0x80)
        for (size_t i = 0; i < sizeof boot; i++) {
            if (boot[i] == 0) continue;
            ap_look_found(look, AP_CORRUPT, h->boot_id, boot[i], "S9", "the boot id is no UUID of version 4");
            break;
        }
    if (rescan == 0)
        ap_look_found(look, AP_CORRUPT, &h->rescan, rescan, "S9", "rescan begins at 1");
    if (next == 0)
        ap_look_found(look, AP_CORRUPT, &h->event_next, next, "S9", "event numbers begin at 1");
    if (images == 0)
        ap_look_found(look, AP_CORRUPT, &h->images, images, "S9", "its creator's is the first image");
}

static void look_reserved(struct ap_look *look)
{
    const struct ap_header *h = look->seg->header;
    const uint8_t *base = (const uint8_t *)h;
#define GAP(from, to, what) \
    ap_look_zero(look, base + offsetof(struct ap_header, from) + sizeof h->from, \
                 (to) - offsetof(struct ap_header, from) - sizeof h->from, "S10", what)
    GAP(time_namespace, offsetof(struct ap_header, rescan), "behind the time namespace");
    GAP(tap, offsetof(struct ap_header, lanes_changed), "behind the tap");
    GAP(lanes_changed, offsetof(struct ap_header, event_next), "behind lanes_changed");
    GAP(forgotten, offsetof(struct ap_header, role), "behind forgotten");
    GAP(role, offsetof(struct ap_header, watched), "behind the role");
    GAP(watched, offsetof(struct ap_header, images), "behind the beat");
    GAP(images, offsetof(struct ap_header, due), "behind images");
    GAP(due_rung, offsetof(struct ap_header, kept_grants), "behind the soonest due time");
    GAP(kept_grants, HEADER_PAGE, "behind the grants");
#undef GAP
    ap_look_mutex(look, &h->role, "S11");
}

/* ---- geometry and sections ------------------------------------------------------------------------------------ */

static bool geometry_valid(const struct ap_parts *parts, const struct ap_geometry *g)
{
    struct ap_geometry copy = *g;
    return ap_geometry_normalise(parts, &copy, NULL, 0) == 0 && memcmp(&copy, g, sizeof copy) == 0;
}

/* Two witnesses of where the last section ends: the object, and the header. A truncated copy has only the second. */
static bool end_possible(const struct ap_segment *seg, uint64_t end)
{
    return end == seg->size || end == ap_load_relaxed(&seg->header->size);
}

static bool sections_contiguous(const struct ap_segment *seg, const struct ap_section *s, uint32_t count)
{
    const uint64_t most = UINT64_C(1) << 48;
    uint64_t at = HEADER_PAGE;

    for (uint32_t i = 0; i < count; i++) {
        if (s[i].offset != at || s[i].stride == 0 || s[i].stride > most || s[i].count > most / s[i].stride) return false;
        at += (s[i].stride * s[i].count + 4095) & ~UINT64_C(4095);
    }
    return end_possible(seg, at);
}

/* Which of two witnesses to believe where geometry and table differ. */
struct witness {
    struct ap_geometry geometry;
    struct ap_section table[AP_SECTIONS_MAX];    /* as in the header */
    struct ap_section expected[AP_SECTIONS_MAX]; /* as the geometry gives it, with `ranges` */
    uint32_t count;
    bool ranges;       /* every number is in range, so that `expected` means something */
    bool table_sound;  /* the table alone fits together and ends where the object ends */
    bool layout_sound; /* the geometry's sections do */
};

static void witness_take(const struct ap_segment *seg, struct witness *w)
{
    memcpy(&w->geometry, (const void *)&seg->header->geometry, sizeof w->geometry);
    memcpy(w->table, (const void *)seg->header->sections, sizeof w->table);
    w->count = ap_load_acquire(&seg->header->section_count); /* LOOK-A1 */
    if (w->count > AP_SECTIONS_MAX || w->count < AP_SECTION_FIRST_FREE)
        for (w->count = 0; w->count < AP_SECTIONS_MAX && w->table[w->count].name[0] != '\0';) w->count++;
    w->table_sound = sections_contiguous(seg, w->table, w->count);
    w->ranges = geometry_valid(seg->parts, &w->geometry);
    w->layout_sound = w->ranges && end_possible(seg, ap_layout_sections(seg->parts, &w->geometry, w->expected));
}

/* Whether the header is to be believed where its geometry and its table differ. */
static bool geometry_doubted(const struct witness *w)
{
    return !w->layout_sound || w->table_sound;
}

static bool section_differs(const struct witness *w, uint32_t i)
{
    return w->table[i].count != w->expected[i].count || w->table[i].stride != w->expected[i].stride;
}

static void look_number(struct ap_look *look, const struct witness *w, uint32_t section, const struct ap_number *n)
{
    const uint8_t *at = (const uint8_t *)&look->seg->header->geometry + n->at;
    uint32_t value = ap_number_of(&w->geometry, n);
    uint64_t told = ap_number_told(n, section, w->table, value);

    look->report->checked++;
    if (!ap_number_valid(n, value))
        ap_look_found(look, AP_CORRUPT, at, value, "S7", "geometry.%s: %u is out of range", n->key, value);
    else if (told != value && geometry_doubted(w))
        ap_look_found(look, AP_CORRUPT, at, value, "S7", "geometry.%s: %u, but the sections say %llu", n->key, value, LONG(told));
    else if (!n->counts && !n->apart && n->told == NULL && w->ranges && geometry_doubted(w) &&
             (section_differs(w, section) || (n->wide && section_differs(w, section + 1))))
        ap_look_found(look, AP_CORRUPT, at, value, "S7", "geometry.%s: %u, or another such number, contradicts the sections",
                      n->key, value);
}

/* A registry's numbers that no part has: those without a default. */
static void look_unused_numbers(struct ap_look *look, const struct witness *w)
{
    const struct ap_geometry *g = &look->seg->header->geometry;
    struct ap_geometry used = {.task_timeout = 1};

    look->report->checked += AP_REGISTRY_SECTIONS_MAX;
    if (ap_geometry_normalise(look->seg->parts, &used, NULL, 0) < 0) return;
    for (uint32_t i = 0; i < AP_REGISTRY_SECTIONS_MAX; i++)
        if (used.registry[i] == 0 && w->geometry.registry[i] != 0)
            ap_look_found(look, AP_CORRUPT, &g->registry[i], w->geometry.registry[i], "S7",
                          "geometry.registry[%u]: %u, and there is no such number", i, w->geometry.registry[i]);
}

static void look_geometry(struct ap_look *look)
{
    const struct ap_parts *parts = look->seg->parts;
    const struct ap_geometry *g = &look->seg->header->geometry;
    struct witness w;

    witness_take(look->seg, &w);
    for (uint32_t i = 0; i < parts->count; i++)
        for (const struct ap_number *n = parts->rows[i]->numbers; n->key != NULL; n++) look_number(look, &w, i, n);
    if (ap_part_count(parts->rows[AP_SECTION_BLOCKS], &w.geometry) == 0)
        ap_look_found(look, AP_CORRUPT, &g->pool_blocks[0], 0, "S7", "geometry.pool_blocks: none");
    if (w.geometry.task_timeout == 0)
        ap_look_found(look, AP_CORRUPT, &g->task_timeout, 0, "S7", "geometry.task_timeout is 0");
    look_unused_numbers(look, &w);
}

static void section_fields(struct ap_look *look, const struct witness *w, uint32_t i)
{
    const struct ap_section *at = &look->seg->header->sections[i], *s = &w->table[i], *e = &w->expected[i];

    if (memcmp(s->name, e->name, sizeof s->name) != 0)
        ap_look_found(look, AP_CORRUPT, at->name, (uint8_t)s->name[0], "S6", "this section is called \"%s\"", e->name);
    if (s->offset != e->offset)
        ap_look_found(look, AP_CORRUPT, &at->offset, s->offset, "S6", "offset %llu, not %llu", LONG(s->offset),
                      LONG(e->offset));
    if (s->stride != e->stride)
        ap_look_found(look, AP_CORRUPT, &at->stride, s->stride, "S6", "stride %llu, not %llu", LONG(s->stride),
                      LONG(e->stride));
    if (s->count != e->count)
        ap_look_found(look, AP_CORRUPT, &at->count, s->count, "S6", "count %llu, not %llu", LONG(s->count),
                      LONG(e->count));
}

static void look_section(struct ap_look *look)
{
    const struct ap_section *at = &look->seg->header->sections[look->index];
    uint32_t i = (uint32_t)look->index;
    struct witness w;
    char name[sizeof at->name];

    witness_take(look->seg, &w);
    look->report->checked += sizeof *at / 8;
    if (i >= w.count) {
        ap_look_zero(look, at, sizeof *at, "S10", "an entry that is not used");
        return;
    }
    ap_look_text(look, at->name, sizeof at->name, "S8", "the section's name", name);
    ap_look_zero(look, &at->reserved, sizeof at->reserved, "S10", "reserved");
    for (uint32_t k = 0; k < i; k++)
        if (strncmp(w.table[k].name, w.table[i].name, sizeof name) == 0)
            ap_look_found(look, AP_CORRUPT, at->name, k, "S6", "called like section %u", k);
    if (w.ranges && (w.layout_sound || !w.table_sound)) section_fields(look, &w, i);
}

static void look_section_count(struct ap_look *look)
{
    const struct ap_header *h = look->seg->header;
    uint32_t count = ap_look_32(look, &h->section_count), used = 0;

    while (used < AP_SECTIONS_MAX && ap_look_64(look, &h->sections[used].stride) != 0) used++;
    if (count != look->seg->parts->count || count != used)
        ap_look_found(look, AP_CORRUPT, &h->section_count, count, "S6", "%u sections, not %u; %u are filled", count,
                      look->seg->parts->count, used);
}

/* ---- entry points --------------------------------------------------------------------------------------------- */

void ap_header_check(const void *base, uint64_t size, const struct ap_parts *parts, uint64_t fingerprint,
                     struct ap_report *report)
{
    const struct ap_segment raw = {.base = (uint8_t *)(uintptr_t)base,
                                   .size = size,
                                   .fd = -1,
                                   .header = (struct ap_header *)(uintptr_t)base,
                                   .fingerprint = fingerprint,
                                   .parts = parts,
                                   .ops = &ap_ops_system};

    ap_look_at(&raw, "header", 0, look_identity, report);
    ap_look_at(&raw, "header", 0, look_creator, report);
    ap_look_at(&raw, "header", 0, look_reserved, report);
    ap_look_at(&raw, "header", 0, look_geometry, report);
    ap_look_at(&raw, "header", 0, look_section_count, report);
    for (uint32_t i = 0; i < AP_SECTIONS_MAX; i++) ap_look_at(&raw, "section", i, look_section, report);
}

/* ---- salvage -------------------------------------------------------------------------------------------------- */

/* The geometry as the section table tells it, for where the two differ; what the table does not say is left. */
static void geometry_from_table(const struct ap_parts *parts, const struct witness *w, struct ap_geometry *g)
{
    for (uint32_t i = 0; i < parts->count; i++)
        for (const struct ap_number *n = parts->rows[i]->numbers; n->key != NULL; n++) {
            uint32_t value = ap_number_of(g, n);
            uint64_t told = ap_number_told(n, i, w->table, value);

            if (told <= UINT32_MAX && ap_number_valid(n, (uint32_t)told)) ap_number_set(g, n, (uint32_t)told);
        }
}

/* Drops the elements that do not lie inside; false: it has no place at all. */
static bool section_fits(struct ap_section *s, uint64_t size)
{
    if (s->offset < HEADER_PAGE || s->offset % AP_LINE != 0 || s->offset > size || s->stride == 0) return false;
    if (s->count > (size - s->offset) / s->stride) s->count = (size - s->offset) / s->stride;
    return true;
}

/* Neither has more elements than the other says. */
static void section_and_number(const struct ap_part *part, struct ap_section *s, struct ap_geometry *g)
{
    uint64_t count = ap_part_count(part, g);

    if (s->count > count) s->count = count;
    for (const struct ap_number *n = part->numbers; n->key != NULL; n++)
        if (n->counts) ap_number_set(g, n, (uint32_t)s->count);
}

/* Nothing behind this looks at bounds again, so what does not fit has no elements. */
static void salvage_clamp(struct ap_segment *seg)
{
    const struct ap_parts *parts = seg->parts;
    struct ap_geometry *g = &seg->geometry;
    struct ap_section *s = seg->sections;

    if (g->queue_inlets == 0 || g->queue_inlets > AP_INLETS_MAX) g->queue_inlets = 1;
    if (g->queue_depth == 0 || (g->queue_depth & (g->queue_depth - 1)) != 0) s[AP_SECTION_RINGS].stride = 0, g->queue_depth = 1;
    for (uint32_t i = 0; i < AP_SECTIONS_MAX; i++) {
        bool typed = i < parts->count && s[i].stride == ap_part_stride(parts->rows[i], g);

        if (!typed || !section_fits(&s[i], seg->size)) s[i] = (struct ap_section){.offset = HEADER_PAGE, .stride = 1};
        if (i < parts->count) section_and_number(parts->rows[i], &s[i], g);
    }
    if (s[AP_SECTION_SLABS].count * AP_SLAB_SLOTS < g->tasks) g->tasks = (uint32_t)s[AP_SECTION_SLABS].count * AP_SLAB_SLOTS;
    g->tasks -= g->tasks % AP_SLAB_SLOTS;
    s[AP_SECTION_SLOTS].count = g->tasks;
    s[AP_SECTION_SLABS].count = g->tasks / AP_SLAB_SLOTS;
    if ((g->events & (g->events - 1)) != 0) g->events = s[AP_SECTION_EVENTS].count = 0;
    if (s[AP_SECTION_BLOCKS].count != ap_part_count(parts->rows[AP_SECTION_BLOCKS], g) ||
        s[AP_SECTION_POOL].count != ap_pool_section_size(g)) {
        memset(g->pool_blocks, 0, sizeof g->pool_blocks);
        s[AP_SECTION_BLOCKS].count = s[AP_SECTION_POOL].count = 0;
    }
}

void ap_segment_salvage(const void *base, uint64_t size, const struct ap_parts *parts, struct ap_segment *ret)
{
    struct ap_segment seg = {.base = (uint8_t *)(uintptr_t)base,
                             .size = size,
                             .fd = -1,
                             .header = (struct ap_header *)(uintptr_t)base,
                             .parts = parts,
                             .ops = &ap_ops_system};
    struct witness w;

    witness_take(&seg, &w);
    if (!w.layout_sound) {
        struct ap_geometry told = w.geometry;

        geometry_from_table(parts, &w, &told);
        if (geometry_valid(parts, &told)) w.geometry = told;
    }
    seg.geometry = w.geometry;
    seg.section_count = parts->count;
    if (geometry_valid(parts, &w.geometry))
        ap_layout_sections(parts, &w.geometry, seg.sections);
    else
        memcpy(seg.sections, w.table, sizeof seg.sections);
    for (uint32_t i = 0; i < AP_SECTIONS_MAX; i++) seg.sections[i].name[sizeof seg.sections[i].name - 1] = '\0';
    salvage_clamp(&seg);
    ap_segment_places(&seg);
    *ret = seg;
}

static void look_changed(struct ap_look *look)
{
    const struct ap_header *h = look->seg->header;

    if (memcmp((const void *)&h->geometry, &look->seg->geometry, sizeof h->geometry) != 0)
        ap_look_found(look, AP_CORRUPT, &h->geometry, 0, "S12", "the geometry has changed since it was attached to");
    if (memcmp((const void *)h->sections, look->seg->sections, sizeof h->sections) != 0)
        ap_look_found(look, AP_CORRUPT, h->sections, 0, "S12", "the section table has changed since it was attached to");
}

void ap_segment_check(const struct ap_segment *seg, struct ap_report *report)
{
    ap_header_check(seg->header, seg->size, seg->parts, seg->fingerprint, report);
    ap_look_at(seg, "header", 0, look_changed, report);
}
