/* registry/client/progress.c - how far tasks have come. See progress.h. */
#include "registry/client/progress.h"

#include <string.h>

#include "core/sized.h"
#include "registry/client/client.h"

#define WORDS (APIARY_PROGRESS_MAX / 8)
#define READS 64 /* of a row that changes meanwhile */

_Static_assert(sizeof(struct ap_progress) == 128 && APIARY_PROGRESS_MAX % 8 == 0, "progress: whole lines, and the text is words");
_Static_assert(AP_LANES_MAX <= 0x8000, "a turn names any lane");

/* Whether who has the row busy may still write it: the lane has the life in which the row was taken. */
static bool progress_held(const struct ap_segment *seg, uint64_t turn)
{
    const struct ap_lane *lane = ap_lane_at(seg, AP_PROGRESS_LANE(turn));
    uint64_t life = lane != NULL ? ap_load_acquire(&lane->life) : 0; /* LANE-A1 pairs LANE-R1 */

    return (AP_LIFE_EPOCH(life) & 0xffffff) == AP_PROGRESS_EPOCH(turn) && ap_lane_alive(seg, AP_PROGRESS_LANE(turn));
}

/* The turn in which the caller has the row; 0: somebody else writes it. *whole: nobody has left it half written. */
static uint64_t progress_take(const struct ap_lane_handle *lane, struct ap_progress *p, bool *whole)
{
    uint64_t turn = ap_load_acquire(&p->turn); /* BEAT-A1 pairs BEAT-R1 */
    uint64_t busy = AP_PROGRESS_TURN(AP_PROGRESS_COUNT(turn) + 1, lane->epoch, lane->index, 1);

    *whole = !AP_PROGRESS_BUSY(turn);
    if (!*whole && progress_held(lane->seg, turn)) return 0;
    if (!ap_cas(&p->turn, &turn, busy)) return 0;
    ap_fence_release(); /* BEAT-R2 pairs BEAT-A2 */
    return busy;
}

static void progress_text(struct ap_progress *p, const char *text, size_t size)
{
    uint64_t words[WORDS] = {0};

    if (size > sizeof words) size = sizeof words;
    memcpy(words, text, size);
    for (size_t i = 0; i < WORDS; i++) ap_store_relaxed((uint64_t *)(void *)p->text + i, words[i]);
    ap_store_relaxed(&p->size, (uint32_t)size);
}

static bool progress_is(const struct ap_progress *p, apiary_task_t task)
{
    return ap_load_relaxed(&p->generation) == task.generation && ap_load_relaxed(&p->epoch) == task.epoch;
}

static bool progress_later(const struct ap_progress *p, apiary_task_t task)
{
    uint32_t epoch = ap_load_relaxed(&p->epoch);

    return epoch > task.epoch || (epoch == task.epoch && ap_load_relaxed(&p->generation) > task.generation);
}

static void progress_write(struct ap_progress *p, apiary_task_t task, bool whole, uint64_t now, const char *text, size_t size)
{
    bool same = progress_is(p, task);

    if (size > 0 || !same || !whole) progress_text(p, size > 0 ? text : "", size);
    ap_store_relaxed(&p->generation, task.generation);
    ap_store_relaxed(&p->epoch, task.epoch);
    ap_store_relaxed(&p->at, now);
    ap_store_relaxed(&p->beats, same ? ap_load_relaxed(&p->beats) + 1 : 1);
}

void ap_progress_tell(const struct ap_lane_handle *lane, apiary_task_t task, uint64_t now, const char *text, size_t size)
{
    struct ap_progress *p = ap_progress_at(lane->seg, task.slot);
    bool whole;
    uint64_t turn = p != NULL ? progress_take(lane, p, &whole) : 0, busy = turn;

    if (turn == 0) return;
    if (!progress_later(p, task)) progress_write(p, task, whole, now, text, size);
    ap_cas(&p->turn, &busy, turn & ~UINT64_C(1)); /* BEAT-R1 pairs BEAT-A1 */
}

uint64_t ap_progress_beaten(const struct ap_segment *seg, apiary_task_t task)
{
    const struct ap_progress *p = ap_progress_at(seg, task.slot);

    return p != NULL && progress_is(p, task) ? ap_load_relaxed(&p->at) : 0;
}

static bool progress_copy(const struct ap_progress *p, struct ap_progress *ret)
{
    const uint64_t *at = (const uint64_t *)(const void *)p;
    uint64_t words[sizeof *ret / 8], turn = ap_load_acquire(&p->turn); /* BEAT-A1 pairs BEAT-R1 */

    if (AP_PROGRESS_BUSY(turn)) return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) words[i] = ap_load_relaxed(&at[i]);
    ap_fence_acquire(); /* BEAT-A2 pairs BEAT-R2 */
    memcpy(ret, words, sizeof words);
    return ap_load_relaxed(&p->turn) == turn;
}

bool ap_progress_read(const struct ap_segment *seg, apiary_task_t task, struct ap_progress_view *ret)
{
    const struct ap_progress *p = ap_progress_at(seg, task.slot);
    struct ap_progress row;
    int reads = 0;

    if (p == NULL) return false;
    while (!progress_copy(p, &row))
        if (++reads == READS) return false;
    if (row.generation != task.generation || row.epoch != task.epoch) return false;
    if (row.beats == 0 || row.size > APIARY_PROGRESS_MAX) return false;
    *ret = (struct ap_progress_view){.at = row.at, .beats = row.beats, .size = row.size};
    memcpy(ret->text, row.text, row.size);
    return true;
}

int apiary_progress(apiary_t *a, apiary_task_t task, apiary_progress_t *ret)
{
    apiary_progress_t own = {.struct_size = sizeof own};
    struct ap_progress_view view;
    struct ap_slot *slot;
    uint64_t word;

    if (a == NULL || ret == NULL || !ap_sized_valid(ret->struct_size, AP_FIRST_PROGRESS)) return APIARY_EINVAL;
    if (!ap_present(a)) return ap_absent(a);
    if (!ap_task_find(a, task, &slot, &word) || AP_WORD_STATE(word) == AP_TASK_FREE) return APIARY_ESTALE;
    if (!ap_progress_read(a->seg, task, &view)) return 0;
    own.beats = view.beats;
    own.at = view.at;
    own.size = view.size;
    memcpy(own.text, view.text, sizeof own.text);
    ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return 1;
}

/* ---- its part -------------------------------------------------------------------------------------------------- */

static void look_progress(struct ap_look *look)
{
    const struct ap_progress *p = ap_progress_at(look->seg, look->index);
    const struct ap_slot *slot = ap_slot_at(look->seg, look->index);
    const struct ap_slab *slab = ap_slab_at(look->seg, look->index / AP_SLAB_SLOTS);
    uint64_t turn = ap_look_64(look, &p->turn), generation = ap_look_64(look, &p->generation);
    uint32_t epoch = ap_look_32(look, &p->epoch), size = ap_look_32(look, &p->size);
    uint64_t word = ap_look_64(look, &slot->word), lease = slab != NULL ? ap_look_64(look, &slab->lease) : 0;

    if (AP_PROGRESS_BUSY(turn)) return; /* half written, also by somebody who is dead */
    if (epoch == AP_LEASE_EPOCH(lease) && generation > AP_WORD_GENERATION(word))
        ap_look_found(look, AP_CORRUPT, &p->generation, word ^ generation << 8, "B1", "generation %llu; its slot has %llu",
                      (unsigned long long)generation, (unsigned long long)AP_WORD_GENERATION(word));
    if (size > APIARY_PROGRESS_MAX) ap_look_found(look, AP_CORRUPT, &p->size, turn ^ size, "B2", "%u bytes", size);
}

static uint64_t progress_count(const struct ap_geometry *g)
{
    return g->tasks;
}

static const struct ap_field progress_fields[] = {
    AP_FIELD(ap_progress, turn), AP_FIELD(ap_progress, generation), AP_FIELD(ap_progress, at), AP_FIELD(ap_progress, beats),
    AP_FIELD(ap_progress, epoch), AP_FIELD(ap_progress, size), AP_FIELD(ap_progress, text), {NULL, 0, 0},
};
const struct ap_part ap_part_progress = {
    .name = "progress", .element = "progress", .size = sizeof(struct ap_progress), .count = progress_count,
    .fields = progress_fields, .numbers = AP_NO_NUMBERS, .look = look_progress,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
