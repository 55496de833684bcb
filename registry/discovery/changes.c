/* registry/discovery/changes.c - the log of changes of registered instances; its part. See changes.h. */
#include "registry/discovery/changes.h"

#include "shm/bell.h"

#define LONG(n) ((unsigned long long)(n))
#define TRIES (1u << 16) /* rows that others took first, or changes of the record; each is somebody's progress */

_Static_assert(sizeof(struct ap_instance_row) == 64, "a row: one line");

/* ---- what a record is ------------------------------------------------------------------------------------------- */

bool ap_instance_now(const struct ap_segment *seg, uint32_t swarm, uint64_t *ret)
{
    const struct ap_swarm *s = ap_swarm_at(seg, swarm);

    for (uint32_t tries = 0; s != NULL && tries < TRIES; tries++) {
        uint64_t life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */
        bool down = AP_SWARM_STATE(life) == AP_SWARM_DOWN;
        uint32_t mode, weight, state;

        if (!down && AP_SWARM_STATE(life) != AP_SWARM_LIVE) return false;
        mode = ap_load_relaxed(&s->leaving) != 0 ? APIARY_DRAIN : AP_MODE_OF(ap_load_acquire(&s->mode));
        weight = ap_swarm_weight(s);
        state = !down ? AP_INSTANCE_LIVE : ap_load_relaxed(&s->state) == APIARY_DOWN ? AP_INSTANCE_LEFT : AP_INSTANCE_DIED;
        ap_fence_acquire(); /* REG-A4 pairs REG-R4 */
        if (ap_load_relaxed(&s->life) != life) continue;
        *ret = AP_TOLD_WORD(0, swarm, AP_SWARM_EPOCH(life), 0, weight, (mode - 1) & 3, state);
        return true;
    }
    return false;
}

/* In what it differs from what was told of the record before. */
static uint32_t told_what(uint64_t told, uint64_t now)
{
    bool was = AP_TOLD_STATE(told) == AP_INSTANCE_LIVE, is = AP_TOLD_STATE(now) == AP_INSTANCE_LIVE;
    uint32_t what = was != is || (is && AP_TOLD_EPOCH(told) != AP_TOLD_EPOCH(now)) ? AP_TURN_WHAT_LIFE : 0;

    if (AP_TOLD_MODE(told) != AP_TOLD_MODE(now)) what |= AP_TURN_WHAT_MODE;
    if (AP_TOLD_WEIGHT(told) != AP_TOLD_WEIGHT(now)) what |= AP_TURN_WHAT_WEIGHT;
    return what;
}

/* ---- an entry is made ------------------------------------------------------------------------------------------- */

uint64_t ap_instance_changes_begin(const struct ap_segment *seg)
{
    return (seg->header->created_realtime >> 14 & AP_TOLD_BEGIN_MOST) | 1;
}

uint64_t ap_instance_changes_head(struct ap_segment *seg)
{
    uint64_t none = 0;

    if (ap_instance_changes(seg) == 0)
        ap_cas(&ap_instance_row_at(seg, 0)->head, &none, ap_instance_changes_begin(seg)); /* TELL-R2 pairs TELL-A2 */
    return ap_instance_changes(seg);
}

static bool told_number_is(uint64_t word, uint64_t number)
{
    return AP_TOLD_STATE(word) != AP_INSTANCE_NONE && AP_TOLD_NUMBER(word) == (number & AP_TOLD_NUMBERS);
}

/* A later number than the one that is there; numbers are near each other. */
static void told_raise(struct ap_swarm *s, uint64_t word)
{
    uint64_t told = ap_load_relaxed(&s->told);

    while (told == 0 || ((AP_TOLD_NUMBER(word) - AP_TOLD_NUMBER(told)) & AP_TOLD_NUMBERS) <= AP_TOLD_NUMBERS / 2)
        if (told == word || ap_cas(&s->told, &told, word)) return;
}

/* Whether an entry was made. */
static bool changes_enter(struct ap_segment *seg, uint32_t swarm)
{
    struct ap_instance_row *first = ap_instance_row_at(seg, 0);
    struct ap_swarm *s = ap_swarm_at(seg, swarm);

    for (uint32_t tries = 0; tries < TRIES; tries++) {
        uint64_t head = ap_instance_changes_head(seg), now, told, word;
        struct ap_instance_row *row = ap_instance_row_at(seg, head % seg->sections[AP_SECTION_INSTANCES].count);
        uint64_t seen = ap_load_acquire(&row->word), raised = head; /* TELL-A1 pairs TELL-R1 */

        if (ap_instance_changes(seg) != head) continue; /* or the row may have a younger entry, which is not to be overwritten */
        if (!told_number_is(seen, head)) {
            told = ap_load_acquire(&s->told);
            if (!ap_instance_now(seg, swarm, &now) || AP_TOLD_SAYS(now) == AP_TOLD_SAYS(told)) return false;
            word = now | AP_TOLD_WORD(head, 0, 0, told_what(told, now), 0, 0, 0);
            if (!ap_cas(&row->word, &seen, word)) continue; /* TELL-R1 pairs TELL-A1 */
            ap_cas(&first->head, &raised, head + 1); /* TELL-R2 pairs TELL-A2 */
            told_raise(s, word);
            return true;
        }
        ap_cas(&first->head, &raised, head + 1); /* TELL-R2 pairs TELL-A2 */
    }
    return false;
}

void ap_instance_tell(struct ap_segment *seg, uint32_t swarm)
{
    if (changes_enter(seg, swarm)) ap_instance_watchers_wake(seg);
}

/* So that the next number of the record is a later one however long nothing has changed. One who has entered another word and
 * has not told it yet has a number above this. */
static void told_freshen(struct ap_segment *seg, uint32_t swarm)
{
    struct ap_swarm *s = ap_swarm_at(seg, swarm);
    uint64_t head = ap_instance_changes(seg), told = ap_load_relaxed(&s->told);
    uint64_t number = AP_TOLD_WORD(head - AP_TOLD_NUMBERS / 8, 0, 0, 0, 0, 0, 0);

    if (told == 0 || ((head - AP_TOLD_NUMBER(told)) & AP_TOLD_NUMBERS) <= AP_TOLD_NUMBERS / 4) return;
    ap_cas(&s->told, &told, number | (told & ~AP_TOLD_WORD(AP_TOLD_NUMBERS, 0, 0, 0, 0, 0, 0)));
}

void ap_instances_tell(struct ap_segment *seg)
{
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SWARMS].count; i++) {
        changes_enter(seg, i);
        told_freshen(seg, i);
    }
    ap_instance_watchers_wake(seg); /* also for one who has entered, and died before it rang */
}

void ap_instance_watchers_wake(struct ap_segment *seg)
{
    ap_bell_ring(seg->ops, &ap_instance_row_at(seg, 0)->bell);
}

int ap_instance_change_read(const struct ap_segment *seg, uint64_t number, uint64_t *ret)
{
    uint64_t count = seg->sections[AP_SECTION_INSTANCES].count;
    uint64_t head = ap_instance_changes(seg); /* before the row: what is below it is there */
    uint64_t word = ap_load_acquire(&ap_instance_row_at(seg, number % count)->word); /* TELL-A1 pairs TELL-R1 */

    if (head > number && head - number > count) return APIARY_ECHANGED;
    if (!told_number_is(word, number)) return head > number ? APIARY_ECHANGED : APIARY_ENOTREADY;
    *ret = word;
    return 0;
}

/* ---- the part --------------------------------------------------------------------------------------------------- */

static void look_instance(struct ap_look *look)
{
    const struct ap_instance_row *row = ap_instance_row_at(look->seg, look->index);
    uint64_t count = look->seg->sections[AP_SECTION_INSTANCES].count, word = ap_look_64(look, &row->word);
    uint64_t head = ap_look_64(look, &ap_instance_row_at(look->seg, 0)->head), number = AP_TOLD_NUMBER(word);
    uint64_t behind = (head - number) & AP_TOLD_NUMBERS; /* 0: the head is not raised yet */

    if (word == 0) return;
    look->patient = true;
    if (head == 0 || behind > count || (head - behind) % count != look->index)
        ap_look_found(look, AP_CORRUPT, &row->word, word ^ head, "D3", "entry %llu of row %llu; the next is %llu", LONG(number),
                      LONG(look->index), LONG(head));
    else if (AP_TOLD_STATE(word) == AP_INSTANCE_NONE || AP_TOLD_WEIGHT(word) > AP_WEIGHT_MAX ||
             AP_TOLD_SWARM(word) >= look->seg->sections[AP_SECTION_SWARMS].count)
        ap_look_found(look, AP_CORRUPT, &row->word, word, "D3", "state %u and weight %u of record %u", AP_TOLD_STATE(word),
                      AP_TOLD_WEIGHT(word), AP_TOLD_SWARM(word));
}

static void changes_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    (void)lane, (void)beside; /* an entry is nobody's */
    ap_instances_tell(seg);
}

static const struct ap_field instance_fields[] = {
    AP_FIELD(ap_instance_row, word), AP_FIELD(ap_instance_row, head), AP_FIELD(ap_instance_row, bell), {NULL, 0, 0},
};
static const struct ap_number instance_numbers[] = {
    {.key = "instance_changes", .what = "changes of registered instances by which one who watches may be behind",
     .at = AP_REGISTRY_NUMBER_AT(INSTANCES), .otherwise = 1024, .min = 2, .max = 1u << 20, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_instances = {
    .name = "instances", .element = "change", .size = sizeof(struct ap_instance_row), .fields = instance_fields,
    .numbers = instance_numbers, .look = look_instance, .withdraw = ap_part_nothing, .settle = changes_settle,
};
