/* shm/check_pool.c - the checkers of the payload pool's blocks and of the event log. See check.h for the rules. */
#include "shm/event.h"
#include "shm/part.h"
#include "shm/pool.h"

#define LONG(n) ((unsigned long long)(n))

/* ---- blocks --------------------------------------------------------------------------------------------------- */

/* Where a block lies: classes one after the other, each from a page on. UINT64_MAX: nowhere. */
static uint64_t block_offset(const struct ap_segment *seg, uint64_t number)
{
    uint64_t offset = seg->sections[AP_SECTION_POOL].offset;

    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) {
        uint64_t count = seg->geometry.pool_blocks[c];
        if (number < count) return offset + number * ap_pool_class_size[c];
        number -= count;
        offset += (count * ap_pool_class_size[c] + 4095) & ~UINT64_C(4095);
    }
    return UINT64_MAX;
}

static void look_block(struct ap_look *look)
{
    static const char *const rules[] = {"P4", "P3", "P1", "P5", "P6", "P2"};
    const uint64_t *at = ap_at(look->seg, AP_SECTION_BLOCKS, look->index);
    uint64_t word = ap_look_64(look, at), offset = block_offset(look->seg, look->index);
    uint32_t state = AP_BLOCK_STATE(word), who = AP_BLOCK_WHO(word);
    bool wrong;

    switch (state) {
    case AP_BLOCK_FREE: wrong = word != 0; break;
    case AP_BLOCK_KEPT: wrong = look->seg->parts->keeps == NULL; break;
    case AP_BLOCK_OWNED: wrong = who >= look->seg->geometry.lanes; break;
    default:
        wrong = who >= look->seg->geometry.tasks ||
                (state == AP_BLOCK_RESULT && AP_BLOCK_ATTEMPT(word) > AP_ATTEMPTS_MAX);
        break;
    }
    if (wrong) {
        ap_look_found(look, AP_CORRUPT, at, word, "P4", "side word %016llx: state %u, owner %u", LONG(word), state, who);
        return;
    }
    if (!ap_pool_live(look->seg, word, offset))
        ap_look_found(look, AP_REPAIRABLE, at, word, rules[state], "leaked: %s %u, generation or epoch %llu",
                      state == AP_BLOCK_OWNED ? "lane" : state == AP_BLOCK_KEPT ? "row" : "slot", who,
                      LONG(AP_BLOCK_GENERATION(word)));
}

static uint64_t blocks_count(const struct ap_geometry *g)
{
    uint64_t sum = 0;

    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) sum += g->pool_blocks[c];
    return sum;
}

#define BLOCKS(c, name, n)                                                                                          \
    {.key = (name), .group = "payload", .what = "blocks of this size for bodies of more than 64 bytes",             \
     .at = AP_NUMBER_AT(pool_blocks[c]), .otherwise = (n), .min = 0, .max = 1u << 20, .wide = true}
static const struct ap_number block_numbers[] = {
    BLOCKS(0, "blocks_256B", 1024),
    BLOCKS(1, "blocks_1KiB", 512),
    BLOCKS(2, "blocks_4KiB", 256),
    BLOCKS(3, "blocks_16KiB", 64),
    BLOCKS(4, "blocks_64KiB", 8),
    BLOCKS(5, "blocks_256KiB", 4),
    BLOCKS(6, "blocks_1MiB", 4),
    {.key = NULL},
};
const struct ap_part ap_part_blocks = {
    .name = "blocks", .element = "block", .size = 8, .count = blocks_count, .fields = AP_NO_FIELDS,
    .numbers = block_numbers, .look = look_block,
    .withdraw = ap_part_nothing, .settle = ap_pool_settle,
};
const struct ap_part ap_part_pool = {
    .name = "pool", .element = "body", .size = 1, .count = ap_pool_section_size, .fields = AP_NO_FIELDS,
    .numbers = AP_NO_NUMBERS, .look = ap_look_nothing,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};

/* ---- events --------------------------------------------------------------------------------------------------- */

static void look_event(struct ap_look *look)
{
    const struct ap_segment *seg = look->seg;
    const struct ap_event *e = ap_at(seg, AP_SECTION_EVENTS, look->index);
    uint64_t number = ap_look_64(look, &e->number), next;
    uint32_t kind = ap_look_32(look, &e->kind), lane = ap_look_32(look, &e->lane);

    ap_look_date(look, &e->time, "E4", "event");
    next = ap_look_64(look, &seg->header->event_next);
    if (number != 0 && ((number & (seg->geometry.events - 1)) != look->index || number >= next))
        ap_look_found(look, AP_CORRUPT, &e->number, number, "E1", "number %llu, the next to be given out is %llu",
                      LONG(number), LONG(next));
    if (kind >= AP_EVENT_KINDS || (number != 0 && kind == AP_EVENT_NONE))
        ap_look_found(look, AP_CORRUPT, &e->kind, number ^ kind, "E2", "kind %u", kind);
    if (lane >= seg->geometry.lanes && lane != AP_NO_LANE)
        ap_look_found(look, AP_CORRUPT, &e->lane, number ^ lane, "E3", "lane %u", lane);
    ap_look_zero(look, &e->reserved, sizeof e->reserved, "E5", "reserved");
    if (ap_look_32(look, &e->size) > AP_EVENT_TEXT)
        ap_look_found(look, AP_CORRUPT, &e->size, number ^ ap_look_32(look, &e->size), "E6", "a text of %u bytes",
                      ap_look_32(look, &e->size));
}

static const struct ap_field event_fields[] = {
    AP_FIELD(ap_event, number), AP_FIELD(ap_event, time), AP_FIELD(ap_event, kind), AP_FIELD(ap_event, lane),
    AP_FIELD(ap_event, a), AP_FIELD(ap_event, b), AP_FIELD(ap_event, c), AP_FIELD(ap_event, check), AP_FIELD(ap_event, size),
    AP_FIELD(ap_event, text), {NULL, 0, 0},
};
static const struct ap_number event_numbers[] = {
    {.key = "events", .what = "entries of the event log", .at = AP_NUMBER_AT(events), .otherwise = 1024, .min = 2,
     .max = 1u << 20, .power = true, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_events = {
    .name = "events", .element = "event", .size = sizeof(struct ap_event), .fields = event_fields,
    .numbers = event_numbers, .look = look_event,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
