/* What is read of a segment whose header is damaged: where geometry and section table differ, and where neither can be. */
#include "check_fixture.h"

#include <stdarg.h>

static struct ap_header sound_header;
static struct ap_segment sound;
static char answer[4096];
static size_t n;

/* From here on: the header as it is now. */
static void begin(void)
{
    sound_header = *header;
    ap_segment_salvage(bytes, size, &ap_registry_parts, &sound);
}

static void setup_salvage(void)
{
    setup();
    begin();
}

TestSuite(check_salvage, .init = setup_salvage);

static void differs(const char *what, const char *field, uint64_t value, uint64_t before)
{
    if (value != before)
        n += (size_t)snprintf(answer + n, sizeof answer - n, "%s%s.%s %llu", n > 0 ? "; " : "", what, field,
                              (unsigned long long)value);
}

static const struct ap_segment *salvaged;

static int number_differs(void *user, const struct ap_number *number)
{
    (void)user;
    differs("g", number->key, ap_number_of(&salvaged->geometry, number), ap_number_of(&sound.geometry, number));
    return 0;
}

/* All in which what is made of it differs from what was made of it at the beginning; and the header is as it was then. */
static const char *salvage(uint64_t length)
{
    struct ap_segment seg;

    n = 0;
    answer[0] = '\0';
    memset(&seg, 0x55, sizeof seg);
    ap_segment_salvage(bytes, length, &ap_registry_parts, &seg);
    salvaged = &seg;
    ap_numbers_each(&ap_registry_parts, number_differs, NULL);
    differs("g", "task_timeout", seg.geometry.task_timeout, sound.geometry.task_timeout);
    for (uint32_t i = 0; i < AP_SECTIONS_MAX; i++) {
        const struct ap_section *s = &seg.sections[i], *was = &sound.sections[i];
        const char *name = i < ap_registry_parts.count ? ap_registry_parts.rows[i]->name : "behind";

        differs(name, "offset", s->offset, was->offset);
        differs(name, "stride", s->stride, was->stride);
        differs(name, "count", s->count, was->count);
        differs(name, "reserved", s->reserved, was->reserved);
        cr_expect_eq(memchr(s->name, '\0', sizeof s->name) == NULL, false);
        cr_expect_eq(seg.places[i].count, i < seg.section_count ? s->count : 0);
        cr_expect_eq(seg.places[i].stride, i < seg.section_count ? s->stride : 1);
        cr_expect_eq(seg.places[i].at, bytes + (i < seg.section_count ? s->offset : 0));
        cr_expect(s->count == 0 || s->offset + s->stride * s->count <= length, "%s lies inside", name);
    }
    cr_expect(seg.base == bytes && seg.header == header && seg.size == length && seg.fd == -1 && !seg.writable);
    cr_expect(seg.fork_canary == NULL && seg.parts == &ap_registry_parts && seg.section_count == ap_registry_parts.count);
    *header = sound_header;
    return answer;
}

static void expect(int line, uint64_t length, const char *want)
{
    cr_expect_str_eq(salvage(length), want, "line %d: %s", line, answer);
}

#define S(want) expect(__LINE__, size, want)

#define G header->geometry
#define T(ID) header->sections[AP_SECTION_##ID]

/* A number that no table can tell: then only the table is left, as far as it goes. */
static void no_geometry(void)
{
    uint32_t fit = (uint32_t)((size - T(MEMBERS).offset) / T(MEMBERS).stride);
    char want[256];

    G.max_concurrent_delegations = 0;
    G.members = UINT32_MAX;
    T(MEMBERS).count = UINT64_MAX;
    snprintf(want, sizeof want, "g.members %u; g.max_concurrent_delegations 0; members.count %u; tickets.offset 4096; "
             "tickets.stride 1; tickets.count 0", fit, fit);
    S(want);
    G.max_concurrent_delegations = 0;
    G.members = UINT32_MAX;
    T(MEMBERS).count = UINT64_MAX;
    begin();
}

Test(check_salvage, the_table_mends_the_geometry)
{
    S("");
    G.members = 0;
    S("");
    G.members = 7;
    S("g.members 7; members.count 7");
    G.lanes = 4000;
    G.queues = 9;
    S("");
    G.queue_depth = 3;
    S("");
    G.queue_depth = 8;
    S("g.queue_depth 8; rings.stride 192");
    G.queue_inlets = 0;
    S("");
    G.queue_inlets = 64;
    S("");
    G.events = 7;
    S("");
    G.pool_blocks[0] = 13;
    S("g.blocks_256B 13; blocks.count 32");
    G.task_timeout = 0;
    S("g.task_timeout 0");
    G.result_ttl = 0;
    S("g.result_ttl 0");
    G.lanes = 4000;
    header->size = 1;
    S("");
}

Test(check_salvage, the_geometry_mends_the_table)
{
    T(LANES).count = 3;
    S("");
    T(LANES).offset = 77;
    S("");
    T(SLOTS).stride = 1;
    S("");
    header->section_count = 3;
    S("");
    memset(T(MEMBERS).name, 'n', sizeof T(MEMBERS).name);
    S("");
    memset(header->sections, 0x77, sizeof header->sections);
    S("");
}

Test(check_salvage, neither_is_believed_beyond_the_other)
{
    char want[128];

    no_geometry();
    T(LANES).count = 5;
    S("g.lanes 5; lanes.count 5; costs.count 5; rule_holds.count 5; drafts.count 5");
    T(LANES).count = 13;
    S("");
    T(LANES).offset = 4095;
    S("g.lanes 0; lanes.offset 4096; lanes.stride 1; lanes.count 0; costs.count 0; rule_holds.count 0; drafts.count 0");
    T(LANES).offset = 4096;
    S("lanes.offset 4096");
    T(LANES).offset = 4096 + 63;
    S("g.lanes 0; lanes.offset 4096; lanes.stride 1; lanes.count 0; costs.count 0; rule_holds.count 0; drafts.count 0");
    T(LANES).offset = size;
    snprintf(want, sizeof want, "g.lanes 0; lanes.offset %llu; lanes.count 0; costs.count 0; rule_holds.count 0; drafts.count 0",
             (unsigned long long)size);
    S(want);
    T(LANES).offset = size + 64;
    S("g.lanes 0; lanes.offset 4096; lanes.stride 1; lanes.count 0; costs.count 0; rule_holds.count 0; drafts.count 0");
    T(LANES).offset = size - 512;
    snprintf(want, sizeof want, "g.lanes 2; lanes.offset %llu; lanes.count 2; costs.count 2; rule_holds.count 2; drafts.count 2",
             (unsigned long long)size - 512);
    S(want);
    T(LANES).stride = 0;
    S("g.lanes 0; lanes.offset 4096; lanes.stride 1; lanes.count 0; costs.count 0; rule_holds.count 0; drafts.count 0");
    T(LANES).stride = 128;
    S("g.lanes 0; lanes.offset 4096; lanes.stride 1; lanes.count 0; costs.count 0; rule_holds.count 0; drafts.count 0");
}

Test(check_salvage, what_depends_on_one_another)
{
    no_geometry();
    G.queue_inlets = 0;
    S("g.queue_inlets 1; rings.count 10");
    G.queue_inlets = 64;
    S("g.queue_inlets 1; rings.count 10");
    G.queue_inlets = 63;
    S("g.queue_inlets 63");
    G.queue_depth = 0;
    S("g.queue_depth 1; rings.offset 4096; rings.stride 1; rings.count 0");
    G.queue_depth = 3;
    S("g.queue_depth 1; rings.offset 4096; rings.stride 1; rings.count 0");
    G.queue_depth = 8;
    S("g.queue_depth 8; rings.offset 4096; rings.stride 1; rings.count 0");
    G.tasks = 100;
    S("g.tasks 64; slabs.count 1; slots.count 64; streams.count 100; carried.count 100; progress.count 100; leading.count 25");
    G.tasks = 64;
    S("g.tasks 64; slabs.count 1; slots.count 64; streams.count 64; carried.count 64; progress.count 64; leading.count 16");
    T(SLABS).count = 1;
    S("g.tasks 64; slabs.count 1; slots.count 64");
    T(SLOTS).count = 65;
    S("g.tasks 64; slabs.count 1; slots.count 64; streams.count 65; carried.count 65; progress.count 65; leading.count 16");
    G.events = 3;
    T(EVENTS).count = 3;
    S("g.events 0; events.count 0");
    G.pool_blocks[0] = 13;
    S("g.blocks_256B 0; g.blocks_1KiB 0; g.blocks_4KiB 0; g.blocks_16KiB 0; g.blocks_64KiB 0; g.blocks_256KiB 0; "
      "blocks.count 0; pool.count 0");
    T(BLOCKS).count = 30;
    S("g.blocks_256B 0; g.blocks_1KiB 0; g.blocks_4KiB 0; g.blocks_16KiB 0; g.blocks_64KiB 0; g.blocks_256KiB 0; "
      "blocks.count 0; pool.count 0");
    T(POOL).count -= 1;
    S("g.blocks_256B 0; g.blocks_1KiB 0; g.blocks_4KiB 0; g.blocks_16KiB 0; g.blocks_64KiB 0; g.blocks_256KiB 0; "
      "blocks.count 0; pool.count 0");
    header->sections[ap_registry_parts.count] = (struct ap_section){.name = "more", .offset = 4096, .stride = 8, .count = 9};
    S("");
}

Test(check_salvage, a_copy_that_is_cut)
{
    const struct ap_section *lanes = &sound.sections[AP_SECTION_LANES], *last = &sound.sections[sound.section_count - 1];
    const struct ap_part *part = ap_registry_parts.rows[sound.section_count - 1];
    unsigned long long whole = last->count - 1;
    char want[96];

    for (uint64_t left = 0; left <= 12; left++) {
        salvage(lanes->offset + left * lanes->stride);
        snprintf(want, sizeof want, "lanes.count %llu;", (unsigned long long)left);
        cr_expect_eq(strstr(answer, want) != NULL, left < 12, "%llu lanes: %s", (unsigned long long)left, answer);
    }
    cr_assert(part->numbers[0].counts, "%s has a number", part->name);
    snprintf(want, sizeof want, "g.%s %llu; %s.count %llu", part->numbers[0].key, whole, part->name, whole);
    expect(__LINE__, last->offset + last->stride * last->count - 1, want);
    G.lanes = 4000; /* the header's size tells, too, where the table ends */
    expect(__LINE__, last->offset + last->stride * last->count - 1, want);
}
