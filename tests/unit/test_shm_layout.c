/* The table of parts as it is read: what the fingerprint covers, what the numbers may be, which elements are checked. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "shm/event.h"
#include "shm/part.h"

/* ---- the fingerprint ------------------------------------------------------------------------------------------- */

static struct ap_field fields[4];
static struct ap_part rows[3];
static const struct ap_part *const table[] = {&rows[0], &rows[1], &rows[2]};
static struct ap_parts parts;

static void setup(void)
{
    static const struct ap_field as_they_are[] = {{"one", 0, 8}, {"two", 8, 4}, {"three", 12, 4}, {NULL, 0, 0}};

    memcpy(fields, as_they_are, sizeof fields);
    for (int i = 0; i < 3; i++)
        rows[i] = (struct ap_part){.name = i == 0 ? "first" : i == 1 ? "second" : "third", .size = 16, .fields = fields};
    parts = (struct ap_parts){.rows = table, .count = 3};
}

TestSuite(shm_layout, .init = setup);

#define OTHER(field, value)                                                                          \
    do {                                                                                             \
        uint64_t sum = ap_layout_fingerprint(&parts);                                                \
        (field) = (value);                                                                           \
        cr_expect_neq(ap_layout_fingerprint(&parts), sum, #field " = " #value);                      \
        setup();                                                                                     \
        cr_expect_eq(ap_layout_fingerprint(&parts), sum);                                            \
    } while (0)

Test(shm_layout, the_fingerprint_covers_every_field)
{
    OTHER(fields[0].name, "on");
    OTHER(fields[2].name, "threee");
    OTHER(fields[1].offset, 9);
    OTHER(fields[2].size, 8);
    OTHER(fields[2].name, NULL);
    OTHER(rows[0].name, "firs");
    OTHER(rows[2].name, "fourth");
    OTHER(rows[1].size, 17);
    OTHER(rows[2].fields, &fields[1]);
    OTHER(rows[2].fields, &fields[3]);
    OTHER(parts.count, 2);
    OTHER(parts.count, 0);
}

/* The same rows in another order are another layout. */
Test(shm_layout, the_fingerprint_covers_the_order)
{
    static const struct ap_part *const other[] = {&rows[1], &rows[0], &rows[2]};
    uint64_t sum = ap_layout_fingerprint(&parts);

    parts.rows = other;
    cr_expect_neq(ap_layout_fingerprint(&parts), sum);
}

/* ---- the geometry ---------------------------------------------------------------------------------------------- */

static const char *refused(struct ap_geometry g)
{
    static char message[256];
    struct ap_geometry before = g;

    message[0] = '\0';
    cr_expect_eq(ap_geometry_normalise(&ap_shm_parts, &g, message, sizeof message), APIARY_EINVAL);
    cr_expect_eq(memcmp(&g, &before, sizeof g), 0, "untouched");
    cr_expect_eq(ap_geometry_normalise(&ap_shm_parts, &g, NULL, 0), APIARY_EINVAL);
    return message;
}

#define G(...) ((struct ap_geometry){__VA_ARGS__})

Test(shm_layout, numbers_that_cannot_be)
{
    cr_expect_str_eq(refused(G(.members = 4097)), "members: 4097 is out of range; allowed: 1 to 4096");
    cr_expect_str_eq(refused(G(.lanes = 16383)), "lanes: 16383 is out of range; allowed: 1 to 16382");
    cr_expect_str_eq(refused(G(.tasks = 63)), "tasks: 63 is out of range; allowed: 64 to 4194304");
    cr_expect_str_eq(refused(G(.tasks = 4194305)), "tasks: 4194305 is out of range; allowed: 64 to 4194304");
    cr_expect_str_eq(refused(G(.queues = 16384)), "queues: 16384 is out of range; allowed: 1 to 16383");
    cr_expect_str_eq(refused(G(.queue_depth = 1)), "queue_depth: 1 is out of range; allowed: 2 to 65536");
    cr_expect_str_eq(refused(G(.queue_depth = 3)), "queue_depth: 3 is not a power of two; for example 4 would be");
    cr_expect_str_eq(refused(G(.queue_depth = 1000)), "queue_depth: 1000 is not a power of two; for example 1024 would be");
    cr_expect_str_eq(refused(G(.queue_depth = 32769)), "queue_depth: 32769 is not a power of two; for example 65536 would be");
    cr_expect_str_eq(refused(G(.queue_depth = 65537)), "queue_depth: 65537 is out of range; allowed: 2 to 65536");
    cr_expect_str_eq(refused(G(.queue_inlets = 64)), "queue_inlets: 64 is out of range; allowed: 1 to 63");
    cr_expect_str_eq(refused(G(.pool_blocks = {1u << 21})), "payload: blocks_256B: 2097152 is out of range; allowed: 0 to 1048576");
}

Test(shm_layout, numbers_that_are_made_whole)
{
    struct ap_geometry g = {.tasks = 65, .pool_blocks = {0, 0, 3}, .queue_depth = 65536, .queue_inlets = 63, .members = 4096};

    cr_expect_eq(ap_geometry_normalise(&ap_shm_parts, &g, NULL, 0), 0);
    cr_expect_eq(g.tasks, 128);
    cr_expect_eq(g.task_timeout, UINT64_C(60000000000));
    cr_expect(g.members == 4096 && g.lanes == 256 && g.queues == 128 && g.queue_depth == 65536 && g.queue_inlets == 63);
    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) cr_expect_eq(g.pool_blocks[c], c == 2 ? 3 : 0, "one is chosen, so all are");
    g = (struct ap_geometry){.tasks = 64, .task_timeout = 7, .lanes = 16382, .queue_depth = 2};
    cr_expect_eq(ap_geometry_normalise(&ap_shm_parts, &g, NULL, 0), 0);
    cr_expect(g.tasks == 64 && g.task_timeout == 7 && g.lanes == 16382 && g.queue_depth == 2 && g.pool_blocks[0] == 1024 &&
              g.pool_blocks[6] == 4);
}

/* ---- what is checked ------------------------------------------------------------------------------------------- */

static uint64_t looked[4];
static struct ap_segment seg;

static void look_first(struct ap_look *look)
{
    looked[0] |= UINT64_C(1) << look->index;
    cr_expect_str_eq(look->structure, "elements");
}

static void look_last(struct ap_look *look)
{
    looked[2] |= UINT64_C(1) << look->index;
}

static void look_slot(struct ap_look *look)
{
    looked[3] |= UINT64_C(1) << look->index;
    cr_expect_str_eq(look->structure, "slots");
}

static uint64_t checked(uint32_t from, uint32_t to)
{
    struct ap_report report = {.found = NULL};

    memset(looked, 0, sizeof looked);
    ap_parts_check(&seg, from, to, &report);
    return looked[0] | looked[2] << 16 | looked[3] << 32;
}

Test(shm_layout, which_elements_are_checked)
{
    static const struct ap_part first = {.element = "elements", .look = look_first}, last = {.element = "last", .look = look_last};
    static const struct ap_part none = {.element = "none", .look = ap_look_nothing};
    static const struct ap_part slots = {.element = "slots", .look = ap_look_nothing};
    static const struct ap_part *list[AP_SECTIONS_MAX];
    struct ap_parts of = {.rows = list, .count = AP_SECTION_FIRST_FREE + 2, .look_slot = look_slot};

    for (uint32_t i = 0; i < AP_SECTIONS_MAX; i++) list[i] = &none;
    list[0] = &first;
    list[AP_SECTION_SLOTS] = &slots;
    list[AP_SECTION_FIRST_FREE + 1] = &last;
    seg.parts = &of;
    for (uint32_t i = 0; i < AP_SECTIONS_MAX; i++) seg.sections[i].count = 3;
    cr_expect_eq(checked(0, AP_SECTIONS_MAX), UINT64_C(0x700070007));
    cr_expect_eq(checked(0, of.count), UINT64_C(0x700070007));
    cr_expect_eq(checked(0, of.count - 1), UINT64_C(0x700000007), "a row of the registry is among them");
    cr_expect_eq(checked(0, AP_SECTION_FIRST_FREE), 7);
    cr_expect_eq(checked(0, 1), 7);
    cr_expect_eq(checked(0, 0), 0);
    cr_expect_eq(checked(1, 2), 0);
    cr_expect_eq(checked(1, of.count), UINT64_C(0x700070000));
    of.look_slot = NULL;
    cr_expect_eq(checked(0, of.count), UINT64_C(0x70007));
    of.count--;
    cr_expect_eq(checked(0, AP_SECTIONS_MAX), 7);
}
