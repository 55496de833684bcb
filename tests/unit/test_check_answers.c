/* A field forged, and everything that the checkers then say, word for word: the lines of a table with values at the edges of what
 * may be. Between them all is sound again. */
#include "check_fixture.h"
#include "shm/times.h"

#include <stdarg.h>

static char answer[4096];

/* Each finding: structure, index, place behind the field if that is near, rule with '!' where it is corrupt, and sentence. */
static const char *said(const void *field)
{
    size_t n = 0;

    answer[0] = '\0';
    for (uint32_t i = 0; i < all.count && n < sizeof answer; i++) {
        const struct ap_finding *f = &all.list[i];
        int64_t behind = (int64_t)f->offset - ((const uint8_t *)field - bytes);

        n += (size_t)snprintf(answer + n, sizeof answer - n, "%s%s %llu", i > 0 ? "; " : "", f->structure,
                              (unsigned long long)f->index);
        if (behind != 0 && behind > -64 && behind < 64)
            n += (size_t)snprintf(answer + n, sizeof answer - n, " at %+lld", (long long)behind);
        n += (size_t)snprintf(answer + n, sizeof answer - n, " %s%s %s", f->rule, f->severity == AP_CORRUPT ? "!" : "", f->text);
    }
    return answer;
}

static void expect(int line, const void *field, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void expect(int line, const void *field, const char *format, ...)
{
    char want[sizeof answer];
    va_list args;

    va_start(args, format);
    vsnprintf(want, sizeof want, format, args);
    va_end(args);
    dump_memory(bytes, size, &d);
    check();
    cr_expect_str_eq(said(field), want, "line %d: %s", line, answer);
}

/* Stores the value, compares what is said then, and puts the old value back. */
#define A(field, value, ...)                              \
    do {                                                  \
        __typeof__(field) answer_old = (field);           \
        (field) = (__typeof__(field))(value);             \
        expect(__LINE__, &(field), __VA_ARGS__);          \
        (field) = answer_old;                             \
    } while (0)

TestSuite(check_answers, .init = setup);

/* The n-th slot in a state, from 0. */
static struct ap_slot *slot_in(uint32_t state, uint32_t n)
{
    for (uint32_t i = 0; i < d.seg.geometry.tasks; i++)
        if (AP_WORD_STATE(ap_slot_at(&d.seg, i)->word) == state && n-- == 0) return ap_slot_at(&d.seg, i);
    cr_assert(false, "no slot in state %u", state);
    return NULL;
}

/* ---- the header ------------------------------------------------------------------------------------------------ */

Test(check_answers, identity)
{
    const uint32_t least = AP_LAYOUT_VERSION_MIN, most = AP_LAYOUT_VERSION;

    A(header->magic[0], 'a', "header 0 S1! the magic bytes are not \"APIARYSG\"");
    A(header->magic[7], 'a', "header 0 at -7 S1! the magic bytes are not \"APIARYSG\"");
    A(header->version, least - 1, "header 0 S2! layout version %u; known are %u to %u; header 0 at +4 S2! oldest layout version "
      "%u; the version is %u", least - 1, least, most, least, least - 1);
    A(header->version, most + 1, "header 0 S2! layout version %u; known are %u to %u", most + 1, least, most);
    A(header->version_min, 0, "header 0 S2! oldest layout version 0; the version is %u", most);
    SOUND(header->version_min, 1);
    A(header->version_min, most + 1, "header 0 S2! oldest layout version %u; the version is %u", most + 1, most);
    A(header->state, 0, "header 0 S5! no such state (0)");
    A(header->state, AP_SEGMENT_CREATING, "header 0 S5! its creator has not finished it (1)");
    A(header->state, 3, "header 0 S5! no such state (3)");
}

Test(check_answers, creator)
{
    snprintf(header->name, sizeof header->name, "%s", "/a-name");
    memset(header->name + 8, 0, sizeof header->name - 8);
    A(header->name[0], 'x', "header 0 S8! \"xa-name\" is not a segment name");
    A(header->name[4], '/', "header 0 at -4 S8! \"/a-n/me\" is not a segment name");
    A(header->creator_pid, 0, "header 0 S9! creator's process 0");
    A(header->creator_pid, -1, "header 0 S9! creator's process -1");
    SOUND(header->creator_pid, 1 << 22);
    A(header->creator_pid, (1 << 22) + 1, "header 0 S9! creator's process 4194305");
    A(header->created_realtime, UINT64_MAX, "header 0 S9! creation: 18446744073709551615 is in the future");
    A(header->created_monotonic, UINT64_MAX, "header 0 S9! created in the future");
    A(header->boot_id[6], 0, "header 0 at -6 S9! the boot id is no UUID of version 4");
    A(header->boot_id[8], 0, "header 0 at -8 S9! the boot id is no UUID of version 4");
    A(header->rescan, 0, "header 0 S9! rescan begins at 1");
    SOUND(header->rescan, 1);
    A(header->images, 0,
      "header 0 S9! its creator's is the first image; lane 0 L9! image 1 has not been given out; lane 1 L9! image 1 has not "
      "been given out; lane 2 L9! image 1 has not been given out; lane 3 L9! image 1 has not been given out");
    SOUND(header->images, 1);
    memset(header->boot_id, 0, sizeof header->boot_id);
    expect(__LINE__, header, "%s", "");
    header->boot_id[15] = 3;
    expect(__LINE__, header->boot_id, "header 0 S9! the boot id is no UUID of version 4");
    header->boot_id[15] = 0;
    memset(header->name, 0, sizeof header->name);
    header->name[0] = '/';
    expect(__LINE__, header->name, "header 0 S8! \"/\" is not a segment name");
    header->name[1] = 'a';
    expect(__LINE__, header->name, "%s", "");
}

/* The first and the last byte of each gap. */
Test(check_answers, gaps_of_the_header)
{
    uint8_t *base = bytes;

#define FIRST_BEHIND(field) base[offsetof(struct ap_header, field) + sizeof header->field]
#define LAST_BEFORE(field) base[offsetof(struct ap_header, field) - 1]
    if (offsetof(struct ap_header, rescan) > offsetof(struct ap_header, time_namespace) + sizeof header->time_namespace) {
        A(FIRST_BEHIND(time_namespace), 1, "header 0 S10! behind the time namespace: a byte is 0x01; it must be 0");
        A(LAST_BEFORE(rescan), 1, "header 0 S10! behind the time namespace: a byte is 0x01; it must be 0");
    }
    A(FIRST_BEHIND(tap), 1, "header 0 S10! behind the tap: a byte is 0x01; it must be 0");
    A(LAST_BEFORE(lanes_changed), 1, "header 0 S10! behind the tap: a byte is 0x01; it must be 0");
    A(FIRST_BEHIND(lanes_changed), 1, "header 0 S10! behind lanes_changed: a byte is 0x01; it must be 0");
    A(LAST_BEFORE(event_next), 1, "header 0 S10! behind lanes_changed: a byte is 0x01; it must be 0");
    A(FIRST_BEHIND(forgotten), 1, "header 0 S10! behind forgotten: a byte is 0x01; it must be 0");
    A(LAST_BEFORE(role), 1, "header 0 S10! behind forgotten: a byte is 0x01; it must be 0");
    A(FIRST_BEHIND(role), 1, "header 0 S10! behind the role: a byte is 0x01; it must be 0");
    A(LAST_BEFORE(watched), 1, "header 0 S10! behind the role: a byte is 0x01; it must be 0");
    A(FIRST_BEHIND(watched), 1, "header 0 S10! behind the beat: a byte is 0x01; it must be 0");
    A(LAST_BEFORE(images), 1, "header 0 S10! behind the beat: a byte is 0x01; it must be 0");
    A(FIRST_BEHIND(images), 1, "header 0 S10! behind images: a byte is 0x01; it must be 0");
    A(LAST_BEFORE(due), 1, "header 0 S10! behind images: a byte is 0x01; it must be 0");
    A(FIRST_BEHIND(due_rung), 1, "header 0 S10! behind the soonest due time: a byte is 0x01; it must be 0");
    A(FIRST_BEHIND(kept_grants), 1, "header 0 S10! behind the grants: a byte is 0x01; it must be 0");
    A(base[4095], 1, "header 0 S10! behind the grants: a byte is 0x01; it must be 0");
    A(header->role.__data.__count, 2, "header 0 S11! the mutex' count is 2; at most 1");
}

Test(check_answers, geometry)
{
    A(header->geometry.members, 0, "header 0 S7! geometry.members: 0 is out of range");
    A(header->geometry.members, 5,
      "header 0 S7! geometry.members: 5, but the sections say 6; section 0 S6! count 6, not 5");
    A(header->geometry.members, 7,
      "header 0 S7! geometry.members: 7, but the sections say 6; section 0 S6! count 6, not 7");
    A(header->geometry.lanes, 13, "header 0 S7! geometry.lanes: 13, but the sections say 12"); /* it is too small for 13 */
    A(header->geometry.tasks, 65, "header 0 S7! geometry.tasks: 65, but the sections say 128");
    A(header->geometry.tasks, 192, "header 0 S7! geometry.tasks: 192, but the sections say 128");
    A(header->geometry.queues, 6, "header 0 S7! geometry.queues: 6, but the sections say 5");
    A(header->geometry.queue_depth, 3, "header 0 S7! geometry.queue_depth: 3 is out of range");
    A(header->geometry.queue_depth, 32, "header 0 S7! geometry.queue_depth: 32, but the sections say 16");
    A(header->geometry.queue_inlets, 3, "header 0 S7! geometry.queue_inlets: 3, but the sections say 2");
    A(header->geometry.events, 3, "header 0 S7! geometry.events: 3 is out of range");
    A(header->geometry.registry[AP_REGISTRY_SECTIONS_MAX - 1], 1,
      "header 0 S7! geometry.registry[%u]: 1, and there is no such number", AP_REGISTRY_SECTIONS_MAX - 1);
    A(header->geometry.task_timeout, 0, "header 0 S7! geometry.task_timeout is 0");
    memset(header->geometry.pool_blocks, 0, sizeof header->geometry.pool_blocks);
    dump_memory(bytes, size, &d);
    check();
    cr_expect_str_eq(all.list[0].text, "geometry.pool_blocks: none");
    cr_expect_eq(all.list[0].offset, (uint64_t)((uint8_t *)header->geometry.pool_blocks - bytes));
}

Test(check_answers, sections)
{
    struct ap_section *s = &header->sections[AP_SECTION_LANES];
    uint32_t count = header->section_count;

    A(s->name[0], 'x', "section 1 S6! this section is called \"lanes\"");
    A(s->name[5], 1,
      "section 1 S8! the section's name: byte 0x01 does not print; section 1 at -5 S6! this section is called \"lanes\"");
    A(s->offset, 4096, "section 1 S6! offset 4096, not 8192");
    A(s->stride, 0, "header 0 S6! %u sections, not %u; 1 are filled; section 1 S6! stride 0, not 256", count, count);
    A(s->stride, 255, "section 1 S6! stride 255, not 256");
    A(s->count, 11, "header 0 S7! geometry.lanes: 12, but the sections say 11; section 1 S6! count 11, not 12");
    A(s->count, 13, "header 0 S7! geometry.lanes: 12, but the sections say 13; section 1 S6! count 13, not 12");
    A(s->count, 100, "section 1 S6! count 100, not 12");
    A(s->reserved, UINT64_C(1) << 56, "section 1 at +7 S10! reserved: a byte is 0x01; it must be 0");
    A(header->sections[header->section_count].name[0], 'x',
      "section %u S10! an entry that is not used: a byte is 0x78; it must be 0", count);
    A(header->sections[AP_SECTIONS_MAX - 1].reserved, UINT64_C(1) << 56,
      "section %u at +7 S10! an entry that is not used: a byte is 0x01; it must be 0", AP_SECTIONS_MAX - 1);
    memcpy(s->name, header->sections[0].name, sizeof s->name);
    expect(__LINE__, s->name, "section 1 S6! called like section 0; section 1 S6! this section is called \"lanes\"");
    memset(s->name, 'n', sizeof s->name);
    expect(__LINE__, s->name,
      "section 1 at +15 S8! the section's name: it does not end in NUL; section 1 S6! this section is called \"lanes\"");
}

Test(check_answers, how_many_sections)
{
    uint32_t count = header->section_count;

    A(header->section_count, AP_SECTION_FIRST_FREE - 1, "header 0 S6! %u sections, not %u; %u are filled",
      AP_SECTION_FIRST_FREE - 1u, count, count);
    A(header->section_count, count - 1, "header 0 S6! %u sections, not %u; %u are filled; section %u S10! an entry that is not "
      "used: a byte is 0x%02x; it must be 0", count - 1, count, count, count - 1, header->sections[count - 1].name[0]);
    A(header->section_count, count + 1, "header 0 S6! %u sections, not %u; %u are filled", count + 1, count, count);
    A(header->section_count, AP_SECTIONS_MAX + 1, "header 0 S6! %u sections, not %u; %u are filled", AP_SECTIONS_MAX + 1, count,
      count);
}

/* ---- members, lanes -------------------------------------------------------------------------------------------- */

Test(check_answers, members)
{
    struct ap_member *m = ap_member_at(&d.seg, 0), *none = ap_member_at(&d.seg, 4);

    A(m->life, AP_MEMBER_LIFE(0, 0, 2), "member 0 M1! state 2");
    A(m->life, AP_MEMBER_LIFE(0, 11, AP_LIFE_LIVE), "member 0 M3! its anchor lane 11 is FREE");
    A(m->life, AP_MEMBER_LIFE(0, 12, AP_LIFE_LIVE), "member 0 M1! anchor lane 12, state 1");
    A(m->life, AP_MEMBER_LIFE(0, 2, AP_LIFE_LIVE), "member 0 M3! its anchor lane 2 belongs to member 1");
    SOUND(m->life, AP_MEMBER_LIFE(0, 2, AP_MEMBER_CLAIMED));
    SOUND(m->life, AP_MEMBER_LIFE(0, 0, AP_MEMBER_CLAIMED));
    SOUND(none->life, AP_MEMBER_LIFE(7, 0, AP_LIFE_FREE));
    A(none->life, AP_MEMBER_LIFE(7, 1, AP_LIFE_FREE), "member 4 M1! anchor lane 1, state 0");
    A(m->pid, 0, "member 0 M2! process 0 is none");
    A(m->pid, (1 << 22) + 1, "member 0 M2! process 4194305 is none");
    A(m->start_time, 0, "member 0 M2! its process has no start time");
    A(m->kind, 0, "member 0 M2! kind 0");
    SOUND(m->kind, APIARY_TOOL);
    A(m->kind, APIARY_TOOL + 1, "member 0 M2! kind 5");
    A(m->name[0], 1, "member 0 M4! name: byte 0x01 does not print");
    A(m->swarm[0], 'X', "member 0 M4! swarm \"Xtorage_service\" is not a service name");
    A(m->swarm[0], '-', "member 0 M4! swarm \"-torage_service\" is not a service name");
    A(m->attached, UINT64_MAX, "member 0 M5! attached: 18446744073709551615 is in the future");
    A(m->reserved, 1u << 24, "member 0 at +3 M6! reserved: a byte is 0x01; it must be 0");
    A(m->pad[0], 1, "member 0 M6! pad: a byte is 0x01; it must be 0");
    A(m->pad[sizeof m->pad - 1], 1, "member 0 M6! pad: a byte is 0x01; it must be 0");
    A(ap_lane_at(&d.seg, 0)->life, AP_LIFE(0, AP_LIFE_DEAD),
      "member 0 M3 its process is dead and not recovered yet (lane 0); lane 0 L5 its recovery is not complete; swarm 0 R1 "
      "its control lane, lane 0, is dead; supervised 0 J1 its supervisor, lane 0, is dead; supervised 1 J1 its supervisor, "
      "lane 0, is dead");
}

Test(check_answers, lanes)
{
    struct ap_lane *l = ap_lane_at(&d.seg, 2), *left = ap_lane_at(&d.seg, 3), *none = ap_lane_at(&d.seg, 4);
    uint8_t *base = (uint8_t *)l;

    A(l->life, AP_LIFE(0, AP_LIFE_DEAD + 1),
      "member 1 M3! its anchor lane 2 is FREE; lane 2 L4! state 3; slab 0 T10! leased to lane 2, which is FREE; slot 51 T11! "
      "releasing in the hands of lane 2, which is FREE; slot 52 T11! reserved in the hands of lane 2, which is FREE; ring 0 "
      "Q3! leased to lane 2, which is FREE; ring 3 Q3! leased to lane 2, which is FREE; ring 6 Q3! leased to lane 2, which "
      "is FREE; block 16 P3 leaked: lane 2, generation or epoch 0; ticket 1 A1! the owner of a ticket, lane 2, is FREE");
    A(l->life, AP_LIFE(0, AP_LIFE_DEAD),
      "member 1 M3 its process is dead and not recovered yet (lane 2); lane 2 L5 its recovery is not complete; slab 0 T10 "
      "leased to lane 2, which is dead; slot 51 T11 releasing in the hands of lane 2, which is dead; slot 52 T11 reserved in "
      "the hands of lane 2, which is dead; ring 0 Q3 leased to lane 2, which is dead; ring 3 Q3 leased to lane 2, which is "
      "dead; ring 6 Q3 leased to lane 2, which is dead; block 16 P3 leaked: lane 2, generation or epoch 0; ticket 1 A1 the "
      "owner of a ticket, lane 2, is dead");
    A(l->kind, 0, "lane 2 L4! kind 0");
    A(l->kind, 3, "lane 2 L4! kind 3");
    SOUND(none->kind, 2);
    SOUND(none->life, AP_LIFE(UINT64_C(1) << 54, AP_LIFE_FREE));
    A(none->kind, 3, "lane 4 L4! kind 3");
    A(l->member, 5, "member 1 M3! its anchor lane 2 belongs to member 5; lane 2 L3 member 5 is not LIVE");
    A(l->member, 6, "member 1 M3! its anchor lane 2 belongs to member 6; lane 2 L3! member 6 is out of range");
    A(left->member, 5, "lane 3 L3 member 5 is not LIVE");
    SOUND(left->member, 0);
    A(l->tid, 0, "lane 2 L6! thread 0 is none; lane 2 L6! thread 0, but %d holds the mutex", (int)gettid());
    A(l->tid, 1u << 22, "lane 2 L6! thread 4194304, but %d holds the mutex", (int)gettid());
    A(l->tid, (1u << 22) + 1,
      "lane 2 L6! thread 4194305 is none; lane 2 L6! thread 4194305, but %d holds the mutex", (int)gettid());
    A(l->image, header->images + 1, "lane 2 L9! image 2 has not been given out");
    A(l->joined, UINT64_MAX, "lane 2 L9! joined in the future");
    SOUND(l->hand[0], 1);
    SOUND(l->hand[AP_HANDS - 1], AP_REF(127, 1));
    A(l->hand[AP_HANDS - 1], AP_REF(128, 1), "lane 2 L8! hand 6: reference 0000200000000001 names no task");
    A(l->hand[AP_HANDS - 1], AP_REF(127, 1) | UINT64_C(1) << 60, "lane 2 L8! hand 6: reference 10001fc000000001 names no task");
    A(l->pad0[0], 1, "lane 2 L10! pad0: a byte is 0x01; it must be 0");
    A(l->pad0[sizeof l->pad0 - 1], 1, "lane 2 L10! pad0: a byte is 0x01; it must be 0");
    A(base[offsetof(struct ap_lane, mutex) + sizeof l->mutex], 1, "lane 2 L10! behind the mutex: a byte is 0x01; it must be 0");
    A(base[offsetof(struct ap_lane, bell) - 1], 1, "lane 2 L10! behind the mutex: a byte is 0x01; it must be 0");
    SOUND(l->wants, UINT32_MAX);
    A(base[offsetof(struct ap_lane, passed) + sizeof l->passed], 1, "lane 2 L10! behind passed: a byte is 0x01; it must be 0");
    A(base[offsetof(struct ap_lane, hand) - 1], 1, "lane 2 L10! behind passed: a byte is 0x01; it must be 0");
    SOUND(l->waits, 7 << 16 | 128);
    A(l->waits, 7 << 16 | 129, "lane 2 L11! it waits for claim 128, which is none");
    A(l->mutex.__data.__lock, 0x40000000,
      "member 1 M3 its process is dead and not recovered yet (lane 2); lane 2 L5 its thread is dead and not recovered yet "
      "(lock word 0x40000000); slab 0 T10 leased to lane 2, which is dead; slot 51 T11 releasing in the hands of lane 2, "
      "which is dead; slot 52 T11 reserved in the hands of lane 2, which is dead; ring 0 Q3 leased to lane 2, which is dead; "
      "ring 3 Q3 leased to lane 2, which is dead; ring 6 Q3 leased to lane 2, which is dead; ticket 1 A1 the owner of a "
      "ticket, lane 2, is dead");
    A(l->mutex.__data.__count, 2, "lane 2 L7! the mutex' count is 2; at most 1");
    SOUND(left->mutex.__data.__lock, 0x40000000);
}

/* ---- blocks, events -------------------------------------------------------------------------------------------- */

static uint64_t *block_in(uint32_t state)
{
    for (uint64_t i = 0; i < d.seg.sections[AP_SECTION_BLOCKS].count; i++)
        if (AP_BLOCK_STATE(*(uint64_t *)ap_at(&d.seg, AP_SECTION_BLOCKS, i)) == state) return ap_at(&d.seg, AP_SECTION_BLOCKS, i);
    cr_assert(false, "no block in state %u", state);
    return NULL;
}

#define WRONG(field, value, block, state, who)                                                                     \
    A(field, value, "block %d P4! side word %016llx: state %d, owner %d", block, (unsigned long long)(value), state, who)

Test(check_answers, blocks)
{
    uint64_t *owned = block_in(AP_BLOCK_OWNED), *request = block_in(AP_BLOCK_REQUEST), *result = block_in(AP_BLOCK_RESULT);
    uint64_t *none = block_in(AP_BLOCK_FREE);

    WRONG(*none, AP_BLOCK(AP_BLOCK_FREE, 1, 0), 0, AP_BLOCK_FREE, 1);
    WRONG(*none, AP_BLOCK(AP_BLOCK_FREE, 0, 1), 0, AP_BLOCK_FREE, 0);
    SOUND(*owned, AP_BLOCK(AP_BLOCK_OWNED, 3, 0));
    A(*owned, AP_BLOCK(AP_BLOCK_OWNED, 11, 0), "block 16 P3 leaked: lane 11, generation or epoch 0");
    WRONG(*owned, AP_BLOCK(AP_BLOCK_OWNED, 12, 0), 16, AP_BLOCK_OWNED, 12);
    A(*none, AP_BLOCK(AP_BLOCK_REQUEST, 127, 1), "block 0 P1 leaked: slot 127, generation or epoch 1");
    WRONG(*none, AP_BLOCK(AP_BLOCK_REQUEST, 128, 1), 0, AP_BLOCK_REQUEST, 128);
    A(*none, AP_BLOCK(AP_BLOCK_RESULT, 127, 1), "block 0 P2 leaked: slot 127, generation or epoch 1");
    WRONG(*none, AP_BLOCK(AP_BLOCK_RESULT, 128, 1), 0, AP_BLOCK_RESULT, 128);
    A(*none, AP_BLOCK(AP_BLOCK_STREAM, 127, 1), "block 0 P6 leaked: slot 127, generation or epoch 1");
    WRONG(*none, AP_BLOCK(AP_BLOCK_STREAM, 128, 1), 0, AP_BLOCK_STREAM, 128);
    A(*none, AP_BLOCK(AP_BLOCK_RESULT + AP_ATTEMPTS_MAX, 127, 7), "block 0 P2 leaked: slot 127, generation or epoch 7");
    WRONG(*none, AP_BLOCK(AP_BLOCK_RESULT + AP_ATTEMPTS_MAX + 1, 127, 7), 0, AP_BLOCK_RESULT, 127);
    A(*request, 0, "slot 43 T4! request: the block at %llu is not attached (0000000000000000)",
      (unsigned long long)ap_slot_at(&d.seg, 43)->body);
    A(*result, 0, "slot 41 T4! result: the block at %llu is not attached (0000000000000000)",
      (unsigned long long)ap_slot_at(&d.seg, 41)->result);
}

Test(check_answers, events)
{
    struct ap_event *e = ap_at(&d.seg, AP_SECTION_EVENTS, 3);

    A(e->number, e->number + 1, "event 3 E1! number 20, the next to be given out is 33");
    SOUND(e->number, 0);
    A(e->number, header->event_next + 16, "event 3 E1! number 49, the next to be given out is 33");
    SOUND(e->number, e->number - 16);
    A(e->kind, AP_EVENT_NONE, "event 3 E2! kind 0");
    SOUND(e->kind, AP_EVENT_KINDS - 1);
    A(e->kind, AP_EVENT_KINDS, "event 3 E2! kind %d", AP_EVENT_KINDS);
    SOUND(e->lane, 11);
    A(e->lane, 12, "event 3 E3! lane 12");
    SOUND(e->lane, AP_NO_LANE);
    A(e->lane, UINT32_MAX, "event 3 E3! lane 4294967295");
    A(e->reserved, 1, "event 3 E5! reserved: a byte is 0x01; it must be 0");
    A(e->reserved, 1u << 24, "event 3 at +3 E5! reserved: a byte is 0x01; it must be 0");
    SOUND(e->size, AP_EVENT_TEXT);
    A(e->size, AP_EVENT_TEXT + 1, "event 3 E6! a text of 129 bytes");
    e->number = 0;
    SOUND(e->kind, AP_EVENT_NONE);
}

/* ---- queues, rings --------------------------------------------------------------------------------------------- */

Test(check_answers, queues)
{
    struct ap_queue *q = ap_queue_at(&d.seg, 0), *none = ap_queue_at(&d.seg, 4);

    A(q->life, AP_QUEUE_LIFE(1, 1, AP_QUEUE_CLOSED + 1), "queue 0 Q2! state 4");
    A(none->life, AP_QUEUE_LIFE(1, 0, AP_QUEUE_FREE), "queue 4 Q2! state 0 at epoch 1");
    A(none->life, AP_QUEUE_LIFE(0, 0, AP_QUEUE_CLOSED), "queue 4 Q2! state 3 at epoch 0");
    SOUND(none->life, AP_QUEUE_LIFE(1, 0, AP_QUEUE_CLOSED));
    A(none->life, AP_QUEUE_LIFE(1, 1, AP_QUEUE_CLOSED), "queue 4 Q2! lane 1 in state 3");
    A(none->life, AP_QUEUE_LIFE(0, 1, AP_QUEUE_FREE), "queue 4 Q2! lane 1 in state 0");
    SOUND(none->life, AP_QUEUE_LIFE(0, 1, AP_QUEUE_CLAIMED));
    A(none->life, AP_QUEUE_LIFE(0, 1, AP_QUEUE_OPEN), "queue 4 Q2! state 2 at epoch 0; agent 4 R2! no name");
    A(none->life, AP_QUEUE_LIFE(0, 11, AP_QUEUE_CLAIMED), "queue 4 Q9! its consumer, lane 11, is FREE");
    A(none->life, AP_QUEUE_LIFE(0, 12, AP_QUEUE_CLAIMED), "queue 4 Q2! lane 12 is out of range");
    A(q->done, q->started + 1, "queue 0 Q7! 0 started; 1 done, 0 failed, 0 late");
    A(q->late, 1, "queue 0 Q7! 0 started; 0 done, 0 failed, 1 late");
    SOUND(q->summary, 7);
    A(q->summary, 8, "queue 0 Q6! summary 0000000000000008; there are 3 rings");
    SOUND(q->depth, 48);
    A(q->depth, 49, "queue 0 Q7! depth 49; its rings hold 48");
    SOUND(q->running, 128);
    A(q->running, 129, "queue 0 Q7! 129 running of 128 tasks");
    SOUND(q->ranked, 1);
    A(q->ranked, 2, "queue 0 Q13! ranked 0000000000000002");
    SOUND(q->probed, 1);
    A(q->probed, 2, "queue 0 Q12! probed 0000000000000002");
    SOUND(q->probes[7], AP_REF(127, 5));
    A(q->probes[7], AP_REF(128, 5), "queue 0 Q12! probe 0000200000000005 names no task");
    ap_times_at(&d.seg, 0)->waited[7] = ap_times_at(&d.seg, 0)->ran[9] = 100;
    q->started = 100;
    q->done = 60;
    q->failed = 30;
    SOUND(q->late, 10);
    A(q->late, 11, "queue 0 Q7! 100 started; 60 done, 30 failed, 11 late");
    SOUND(q->failed, 40);
    A(q->failed, 41, "queue 0 Q7! 100 started; 60 done, 41 failed, 0 late");
    SOUND(q->done, 70);
    A(q->done, 100, "queue 0 at +8 Q7! 100 started; 100 done, 30 failed, 0 late");
    A(q->done, 101, "queue 0 Q7! 100 started; 101 done, 30 failed, 0 late");
}

Test(check_answers, a_queue_whose_consumer_is_dead)
{
    struct ap_lane *l = ap_lane_at(&d.seg, 9);

    l->life = AP_LIFE(0, AP_LIFE_DEAD);
    l->kind = AP_LANE_THREAD;
    A(ap_queue_at(&d.seg, 4)->life, AP_QUEUE_LIFE(1, 9, AP_QUEUE_OPEN),
      "lane 9 L5 its recovery is not complete; queue 4 Q9 its consumer, lane 9, is dead; agent 4 R2! no name");
    A(ap_slab_at(&d.seg, 1)->lease, AP_LEASE(1, 10),
      "lane 9 L5 its recovery is not complete; slab 1 T10 leased to lane 9, which is dead");
    A(((struct ap_ring *)ap_at(&d.seg, AP_SECTION_RINGS, 12))->lease, 10,
      "lane 9 L5 its recovery is not complete; ring 12 Q3 leased to lane 9, which is dead");
    A(slot_in(AP_TASK_RUNNING, 0)->word, AP_WORD_WITH(slot_in(AP_TASK_RUNNING, 0)->word, AP_TASK_RUNNING, 9),
      "lane 9 L5 its recovery is not complete; slot 44 T11 running in the hands of lane 9, which is dead");
    A(slot_in(AP_TASK_RELEASING, 0)->word, AP_WORD_WITH(slot_in(AP_TASK_RELEASING, 0)->word, AP_TASK_RELEASING, 9),
      "lane 9 L5 its recovery is not complete; slot 51 T11 releasing in the hands of lane 9, which is dead");
    A(ap_member_at(&d.seg, 4)->life, AP_MEMBER_LIFE(0, 9, AP_LIFE_LIVE),
      "member 4 M3 its process is dead and not recovered yet (lane 9); member 4 at +8 M2! process 0 is none; member 4 at +16 "
      "M2! its process has no start time; member 4 at +40 M2! kind 0; lane 9 L5 its recovery is not complete");
}

static struct ap_ring *ring_leased(uint32_t *index)
{
    for (*index = 0; *index < 3; ++*index) {
        struct ap_ring *r = ap_at(&d.seg, AP_SECTION_RINGS, *index);
        if (r->lease != 0) return r;
    }
    cr_assert(false, "no ring is leased");
    return NULL;
}

Test(check_answers, rings)
{
    uint32_t index;
    struct ap_ring *r = ring_leased(&index), *other = ap_at(&d.seg, AP_SECTION_RINGS, 12);
    struct ap_ring *shared = ap_at(&d.seg, AP_SECTION_RINGS, 2);
    uint8_t *base = (uint8_t *)r;
    uint64_t head = r->head;

    cr_assert_eq(index, 0);
    A(other->lease, 13, "ring 12 Q3! leased to lane 12, out of range");
    A(other->lease, 12, "ring 12 Q3! leased to lane 11, which is FREE");
    SOUND(other->lease, 3);
    A(other->lease, 3 | 1 << 16, "ring 12 Q3! leased to lane 2 at epoch 1; it is at 0");
    A(shared->lease, 3, "ring 2 Q3! the shared ring has the lease 0000000000000003");
    A(r->reserved0[0], 1, "ring 0 Q8! reserved0: a byte is 0x01; it must be 0");
    A(r->reserved0[5], UINT64_C(1) << 56, "ring 0 at +7 Q8! reserved0: a byte is 0x01; it must be 0");
    A(base[offsetof(struct ap_ring, rounds) + sizeof r->rounds], 1, "ring 0 Q8! behind the rounds: a byte is 0x01; it must be 0");
    A(base[offsetof(struct ap_ring, cells) - 1], 1, "ring 0 Q8! behind the rounds: a byte is 0x01; it must be 0");
    A(r->rounds, 1, "ring 0 Q14! 1 rounds of an inlet");
    A(shared->rounds, UINT64_MAX, "ring 2 Q14! 18446744073709551615 rounds of 0 references, epoch 1");
    SOUND(shared->rounds, (shared->tail + 1) * AP_QUEUE_EPOCH(ap_queue_at(&d.seg, 0)->life));
    A(other->tail, 1,
      "ring 12 Q1! tail 1, but the cells end at 0; ring 12 Q4! the cell of position 0 has lap 0 (head 0, tail 1)");
    A(other->tail, 2,
      "ring 12 Q1! tail 2, but the cells end at 0; ring 12 Q4! the cell of position 1 has lap 0 (head 0, tail 2); "
      "ring 12 Q4! the cell of position 0 has lap 0 (head 0, tail 2)");
    SOUND(other->tail, -1);
    A(other->tail, -2,
      "ring 12 Q1! tail 18446744073709551614, head 0, depth 16; ring 12 at +56 Q1! head 0, tail 18446744073709551614, depth "
      "16");
    A(other->tail, 17, "ring 12 Q1! tail 17, head 0, depth 16; ring 12 at +56 Q1! head 0, tail 17, depth 16");
    A(other->head, 1, "ring 12 Q4! the cell of position 16 has lap 0 (head 1, tail 0)");
    A(other->head, 2, "ring 12 at -56 Q1! tail 0, head 2, depth 16; ring 12 Q1! head 2, tail 0, depth 16");
    SOUND(other->cells[0], UINT64_C(1) << 60 | AP_REF(5, 1));
    A(other->cells[0], UINT64_C(2) << 60 | AP_REF(5, 1), "ring 12 Q4! the cell of position 0 has lap 2 (head 0, tail 0)");
    A(other->cells[1], UINT64_C(1) << 60 | AP_REF(5, 1), "ring 12 Q4! the cell of position 1 has lap 1 (head 0, tail 0)");
    A(other->cells[15], UINT64_C(1) << 60 | AP_REF(5, 1), "ring 12 Q4! the cell of position 15 has lap 1 (head 0, tail 0)");
    A(other->cells[0], AP_REF(128, 1),
      "ring 12 Q5! reference 0000200000000001 names no task; ring 12 Q4! the cell of position 0 has lap 0 (head 0, tail 0)");
    A(other->cells[0], AP_REF(5, 0),
      "ring 12 Q5! reference 0000014000000000 names no task; ring 12 Q4! the cell of position 0 has lap 0 (head 0, tail 0)");
    A(other->cells[0], AP_REF(5, 1), "ring 12 Q4! the cell of position 0 has lap 0 (head 0, tail 0)");
    r->tail = head;
    expect(__LINE__, &r->tail,
      "ring 0 Q1! tail 45, but the cells end at 48; ring 0 Q4! the cell of position 47 has lap 3 (head 45, tail 45); "
      "ring 0 Q4! the cell of position 46 has lap 3 (head 45, tail 45)");
    r->tail = head - 1;
    expect(__LINE__, &r->tail,
      "ring 0 Q1! tail 44, but the cells end at 48; ring 0 Q4! the cell of position 47 has lap 3 (head 45, tail 44); "
      "ring 0 Q4! the cell of position 46 has lap 3 (head 45, tail 44); ring 0 Q4! the cell of position 45 "
      "has lap 3 (head 45, tail 44)");
    r->tail = head - 2;
    expect(__LINE__, &r->tail, "ring 0 Q1! tail 43, head 45, depth 16; ring 0 at +56 Q1! head 45, tail 43, depth 16");
}

Test(check_answers, a_ring_that_is_full)
{
    struct ap_ring *r = ap_at(&d.seg, AP_SECTION_RINGS, 12);

    for (unsigned i = 0; i < 16; i++) r->cells[i] = UINT64_C(1) << 60 | AP_REF(5, 1);
    SOUND(r->tail, 16);
    SOUND(r->tail, 15);
    A(r->tail, 17, "ring 12 Q1! tail 17, head 0, depth 16; ring 12 at +56 Q1! head 0, tail 17, depth 16");
}

/* ---- slabs, slots ---------------------------------------------------------------------------------------------- */

Test(check_answers, slabs)
{
    struct ap_slab *s = ap_slab_at(&d.seg, 0), *other = ap_slab_at(&d.seg, 1);

    A(s->lease, 0,
      "slab 0 T10! never leased, but its slot 0 was used (0000000007fff000); slot 52 T3! reserved by lane 2 in a slab that "
      "is not leased to it; carried 45 R8! epoch 1; its slab has 0");
    A(other->lease, AP_LEASE(1, 12), "slab 1 T10! leased to lane 11, which is FREE");
    A(other->lease, AP_LEASE(1, 13), "slab 1 T10! leased to lane 12, out of range");
    A(other->lease, AP_LEASE(0, 3), "slab 1 T10! lease 0000000000000003: epoch out of range");
    SOUND(other->lease, AP_LEASE(1, 0));
    SOUND(other->lease, AP_LEASE(1, 3));
    A(other->lease, AP_LEASE(1, 3) | UINT64_C(1) << 48, "slab 1 T10! lease 0001000000010003: epoch out of range");
    A(ap_slot_at(&d.seg, 127)->word, 16,
      "slab 1 T10! never leased, but its slot 63 was used (0000000000000010); slot 127 T2! free: owner 0");
}

Test(check_answers, words)
{
    struct ap_slot *none = slot_in(AP_TASK_FREE, 0), *done = slot_in(AP_TASK_DONE, 0), *queued = slot_in(AP_TASK_QUEUED, 0);
    struct ap_slot *reserved = slot_in(AP_TASK_RESERVED, 0), *running = slot_in(AP_TASK_RUNNING, 0);
    struct ap_slot *releasing = slot_in(AP_TASK_RELEASING, 0), *failed = slot_in(AP_TASK_FAILED, 0);

    A(none->word, AP_WORD_WITH(none->word, AP_TASK_STATES, AP_NO_LANE), "slot 0 T1! state %d", AP_TASK_STATES);
    A(none->word, AP_WORD_WITH(none->word, AP_TASK_FREE, 0), "slot 0 T2! free: owner 0");
    SOUND(none->word, AP_WORD(AP_TASK_FREE, AP_CRASHES_MAX, AP_NO_LANE, 0));
    A(none->word, AP_WORD(AP_TASK_FREE, AP_CRASHES_MAX + 1, AP_NO_LANE, 1), "slot 0 T5! 4 crashes; at most 3");
    SOUND(queued->word, AP_WORD_WITH(queued->word, AP_TASK_QUEUED, 4));
    A(queued->word, AP_WORD_WITH(queued->word, AP_TASK_QUEUED, 5), "slot 45 T2! queued: owner 5");
    A(reserved->word, AP_WORD_WITH(reserved->word, AP_TASK_RESERVED, 0),
      "slot 52 T3! reserved by lane 0 in a slab that is not leased to it");
    A(reserved->word, AP_WORD_WITH(reserved->word, AP_TASK_RESERVED, 12),
      "slot 52 T3! reserved by lane 12 in a slab that is not leased to it; slot 52 T2! reserved: lane 12 is out of range");
    A(running->word, AP_WORD_WITH(running->word, AP_TASK_RUNNING, 11),
      "slot 44 L2! running in the hands of lane 11, which is FREE");
    A(running->word, AP_WORD_WITH(running->word, AP_TASK_RUNNING, 12), "slot 44 T2! running: lane 12 is out of range");
    A(releasing->word, AP_WORD_WITH(releasing->word, AP_TASK_RELEASING, 11),
      "slot 51 T11! releasing in the hands of lane 11, which is FREE");
    A(releasing->word, AP_WORD_WITH(releasing->word, AP_TASK_RELEASING, 12), "slot 51 T2! releasing: lane 12 is out of range");
    A(done->word, AP_WORD_WITH(done->word, AP_TASK_DONE, EINVAL), "slot 40 T2! done: owner 22");
    A(done->word, AP_WORD_WITH(done->word, AP_TASK_DONE, 4000), "slot 40 T2! done: owner 4000");
    A(failed->word, AP_WORD_WITH(failed->word, AP_TASK_FAILED, 0), "slot 43 T7! failed: code 0 is unknown");
    A(failed->word, AP_WORD_WITH(failed->word, AP_TASK_FAILED, 4000), "slot 43 T7! failed: code 4000 is unknown");
    A(failed->word, AP_WORD_WITH(failed->word, AP_TASK_CANCELLED, 4000), "slot 43 T7! cancelled: code 4000 is unknown");
    A(done->request, done->request + 262144, "slot 40 T5! request of generation 2, the slot is at 1");
    SOUND(done->request, done->request | AP_REQUEST_RANKED);
    A(none->request, AP_REQUEST_WORD(AP_GENERATION_LAST + 1, 0), "slot 0 T5! request 00fffffffffc0000: bits that do not exist");
}

Test(check_answers, bodies_and_indexes)
{
    struct ap_slot *done = slot_in(AP_TASK_DONE, 0), *failed = slot_in(AP_TASK_FAILED, 0), *none = slot_in(AP_TASK_FREE, 0);

    A(done->body_size, 65, "slot 40 T4! request: 65 bytes inline; at most 64");
    A(done->body, 1, "slot 40 T4! request: no block begins at 1");
    A(done->result_size, 1u << 30, "slot 40 T4! result: 1073741824 bytes inline; at most 64");
    A(done->result, 1, "slot 40 T4! result: no block begins at 1");
    A(failed->result, 1, "slot 43 T4! result: no block begins at 1");
    SOUND(none->body, 1);
    SOUND(none->result, 1);
    A(done->client, 12, "slot 40 T8! client: lane 12");
    A(done->queue, 5, "slot 40 T8! queue 5");
    A(done->worker, 12, "slot 40 T8! worker: lane 12");
    A(done->reserved[0], 1, "slot 40 T9! reserved: a byte is 0x01; it must be 0");
    A(done->reserved[sizeof done->reserved - 1], 1, "slot 40 T9! reserved: a byte is 0x01; it must be 0");
}

Test(check_answers, stamps)
{
    struct ap_slot *done = slot_in(AP_TASK_DONE, 0), *queued = slot_in(AP_TASK_QUEUED, 0);

    done->queued = 1000;
    done->started = 2000;
    done->finished = 3000;
    done->deadline = 5000;
    queued->queued = 1000;
    queued->deadline = 1000;
    SOUND(done->queued, 2000);
    A(done->queued, 2001, "slot 40 at +8 T6! started before it was queued");
    SOUND(done->started, 3000);
    A(done->started, 3001, "slot 40 at +8 T6! finished before it started");
    A(done->started, 999, "slot 40 T6! started before it was queued");
    A(done->finished, 1999, "slot 40 T6! finished before it started");
    SOUND(done->deadline, 1000);
    A(done->deadline, 999, "slot 40 T6! its deadline lies before it was queued");
    A(queued->deadline, 999, "slot 45 T6! its deadline lies before it was queued");
    A(queued->queued, UINT64_MAX, "slot 45 T6! queued in the future; slot 45 T6! its deadline lies before it was queued");
    A(queued->started, UINT64_MAX, "slot 45 T6! started in the future");
    A(queued->finished, UINT64_MAX, "slot 45 T6! finished in the future");
}
