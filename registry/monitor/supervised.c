/* registry/monitor/supervised.c - what a supervisor knows of the instances that it runs. See supervised.h. */
#include "registry/monitor/supervised.h"

#include <stdio.h>
#include <string.h>

#include "core/name.h"

#define TRIES 64 /* a record that is read changes when its process starts, ends or passes */

_Static_assert(sizeof(struct ap_supervision) == 8 * AP_SUPERVISION_WORDS, "a record is copied word by word");

static uint32_t supervised_count(const struct ap_segment *seg)
{
    return (uint32_t)seg->sections[AP_SECTION_SUPERVISED].count;
}

static bool supervised_step(struct ap_supervised *s, uint64_t life, uint32_t lane, uint32_t state)
{
    return ap_cas(&s->life, &life, AP_SUPERVISED_LIFE(AP_SUPERVISED_EPOCH(life) + 1, lane, state)); /* SUPER-R1 pairs SUPER-A1 */
}

/* ---- the supervisor ------------------------------------------------------------------------------------------- */

static void supervised_fill(struct ap_supervised *s, const struct ap_supervision *from)
{
    uint64_t turn = ap_load_relaxed(&s->turn) + 1, words[AP_SUPERVISION_WORDS];

    memcpy(words, from, sizeof words);
    ap_fence_release(); /* SUPER-R2 pairs SUPER-A2 */
    for (uint32_t i = 0; i < AP_SUPERVISION_WORDS; i++) ap_store_relaxed(&s->record[turn % 2][i], words[i]);
    ap_store_release(&s->turn, turn); /* SUPER-R3 pairs SUPER-A3 */
}

static void name(struct ap_supervised *s, const char *service)
{
    uint64_t words[(APIARY_NAME_MAX + 1) / 8] = {0}, *to = (uint64_t *)(void *)s->service;

    memcpy(words, service, strlen(service));
    ap_fence_release(); /* SUPER-R2 pairs SUPER-A2 */
    for (uint32_t i = 0; i < sizeof words / sizeof words[0]; i++) ap_store_relaxed(&to[i], words[i]);
}

/* The first row in that state, for the lane; -1 when there is none. */
static int supervised_claim(struct ap_segment *seg, uint32_t lane, uint32_t state)
{
    for (uint32_t i = 0; i < supervised_count(seg); i++) {
        struct ap_supervised *s = ap_supervised_at(seg, i);
        uint64_t life = ap_load_acquire(&s->life); /* SUPER-A1 pairs SUPER-R1 */

        if (AP_SUPERVISED_STATE(life) == state && supervised_step(s, life, lane, AP_SUPERVISED_FILLING)) return (int)i;
    }
    return -1;
}

static int supervised_new(struct ap_segment *seg, uint32_t lane)
{
    int row = -1;

    for (struct ap_search s = {0}; row < 0 && ap_search_again(&s, AP_LIVES(seg, AP_SECTION_SUPERVISED, struct ap_supervised));) {
        row = supervised_claim(seg, lane, AP_SUPERVISED_FREE);
        if (row < 0) row = supervised_claim(seg, lane, AP_SUPERVISED_ORPHANED);
    }
    return row;
}

int ap_supervised_take(struct ap_segment *seg, uint32_t lane, int64_t pid, const char *service, const struct ap_supervision *first,
                       uint32_t *ret)
{
    struct ap_supervised *s;
    int row;

    if (!ap_name_valid(service, APIARY_NAME_MAX)) return APIARY_EINVAL;
    row = supervised_new(seg, lane);
    if (row < 0) return APIARY_ETABLEFULL;
    s = ap_supervised_at(seg, (uint32_t)row);
    name(s, service);
    ap_store_relaxed(&s->held, seg->ops->realtime());
    ap_store_relaxed(&s->supervisor, pid);
    supervised_fill(s, first);
    supervised_step(s, ap_load_relaxed(&s->life), lane, AP_SUPERVISED_HELD); /* nobody else steps on while the lane lives */
    *ret = (uint32_t)row;
    return 0;
}

void ap_supervised_write(struct ap_segment *seg, uint32_t row, const struct ap_supervision *next)
{
    struct ap_supervised *s = ap_supervised_at(seg, row);

    if (s != NULL) supervised_fill(s, next);
}

void ap_supervised_release(struct ap_segment *seg, uint32_t lane, uint32_t row)
{
    struct ap_supervised *s = ap_supervised_at(seg, row);
    uint64_t life = s != NULL ? ap_load_acquire(&s->life) : 0; /* SUPER-A1 pairs SUPER-R1 */

    if (AP_SUPERVISED_STATE(life) != AP_SUPERVISED_HELD || AP_SUPERVISED_LANE(life) != lane) return;
    supervised_step(s, life, 0, AP_SUPERVISED_FREE);
}

void ap_supervision_said(struct ap_supervision *s, const char *line, size_t size)
{
    size_t n = size < AP_SAID_MAX ? size : AP_SAID_MAX;

    while (n < size && n > 0 && ((uint8_t)line[n] & 0xc0) == 0x80) n--; /* not within a letter of UTF-8 */
    memset(s->said, 0, sizeof s->said);
    for (size_t i = 0; i < n; i++) s->said[i] = (uint8_t)line[i] < ' ' || line[i] == 0x7f ? ' ' : line[i];
    s->said_size = (uint32_t)size;
}

/* ---- its end -------------------------------------------------------------------------------------------------- */

/* By several at once: the first one's time holds. */
static void note_left(struct ap_segment *seg, struct ap_supervised *s, uint64_t life)
{
    uint64_t seen = ap_load_acquire(&s->left), next = AP_LEFT(AP_SUPERVISED_EPOCH(life), seg->ops->realtime());

    if (AP_LEFT_EPOCH(seen) == AP_LEFT_EPOCH(next) && AP_LEFT_AT(seen) != 0) return;
    if (ap_load_acquire(&s->life) == life) ap_cas(&s->left, &seen, next); /* SUPER-A1 pairs SUPER-R1 */
}

void ap_supervised_end(struct ap_segment *seg, uint32_t lane)
{
    for (uint32_t i = 0; i < supervised_count(seg); i++) {
        struct ap_supervised *s = ap_supervised_at(seg, i);
        uint64_t life = ap_load_acquire(&s->life); /* SUPER-A1 pairs SUPER-R1 */
        uint32_t state = AP_SUPERVISED_STATE(life);

        if (AP_SUPERVISED_LANE(life) != lane) continue;
        if (state == AP_SUPERVISED_FILLING) supervised_step(s, life, 0, AP_SUPERVISED_FREE);
        if (state != AP_SUPERVISED_HELD) continue;
        note_left(seg, s, life);
        supervised_step(s, life, 0, AP_SUPERVISED_ORPHANED);
    }
}

void ap_supervised_withdraw(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    if (beside == 0) ap_supervised_end(seg, lane);
}

void ap_supervised_forget(struct ap_segment *seg)
{
    for (uint32_t i = 0; i < supervised_count(seg); i++) {
        struct ap_supervised *s = ap_supervised_at(seg, i);
        uint64_t life = ap_load_acquire(&s->life); /* SUPER-A1 pairs SUPER-R1 */

        if (AP_SUPERVISED_STATE(life) == AP_SUPERVISED_ORPHANED) supervised_step(s, life, 0, AP_SUPERVISED_FREE);
    }
}

/* ---- observers ------------------------------------------------------------------------------------------------ */

static bool read_once(const struct ap_segment *seg, const struct ap_supervised *s, uint64_t life, struct ap_supervised_view *ret)
{
    uint64_t turn = ap_load_acquire(&s->turn), words[AP_SUPERVISION_WORDS]; /* SUPER-A3 pairs SUPER-R3 */
    uint64_t names[(APIARY_NAME_MAX + 1) / 8], left = ap_load_relaxed(&s->left);
    const uint64_t *from = (const uint64_t *)(const void *)s->service;

    for (uint32_t i = 0; i < AP_SUPERVISION_WORDS; i++) words[i] = ap_load_relaxed(&s->record[turn % 2][i]);
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) names[i] = ap_load_relaxed(&from[i]);
    ret->supervisor = ap_load_relaxed(&s->supervisor);
    ret->held = ap_load_relaxed(&s->held);
    ret->now = seg->ops->now();
    ret->supervised = AP_SUPERVISED_STATE(life) == AP_SUPERVISED_HELD && ap_lane_alive(seg, AP_SUPERVISED_LANE(life)) == 1;
    ret->left = AP_SUPERVISED_STATE(life) == AP_SUPERVISED_ORPHANED &&
                        AP_LEFT_EPOCH(left) == ((AP_SUPERVISED_EPOCH(life) - 1) & 0xffff)
                    ? AP_LEFT_AT(left)
                    : 0;
    memcpy(&ret->last, words, sizeof words);
    memcpy(ret->service, names, sizeof names);
    ret->last.said[AP_SAID_MAX] = ret->service[APIARY_NAME_MAX] = '\0';
    ap_fence_acquire(); /* SUPER-A2 pairs SUPER-R2 */
    return ap_load_relaxed(&s->turn) == turn && ap_load_relaxed(&s->life) == life;
}

bool ap_supervised_forget_instance(struct ap_segment *seg, const char *service, const char *instance)
{
    bool any = false;

    for (uint32_t i = 0; i < supervised_count(seg); i++) {
        struct ap_supervised *s = ap_supervised_at(seg, i);
        uint64_t life = ap_load_acquire(&s->life); /* SUPER-A1 pairs SUPER-R1 */
        struct ap_supervised_view v;
        char number[16];

        if (AP_SUPERVISED_STATE(life) != AP_SUPERVISED_ORPHANED || !read_once(seg, s, life, &v)) continue;
        snprintf(number, sizeof number, "%u", v.last.instance);
        if (strcmp(v.service, service) == 0 && strcmp(number, instance) == 0)
            any = supervised_step(s, life, 0, AP_SUPERVISED_FREE) || any;
    }
    return any;
}

bool ap_supervised_read(const struct ap_segment *seg, uint32_t row, struct ap_supervised_view *ret)
{
    const struct ap_supervised *s = ap_supervised_at(seg, row);

    for (int tries = 0; s != NULL && tries < TRIES; tries++) {
        uint64_t life = ap_load_acquire(&s->life); /* SUPER-A1 pairs SUPER-R1 */

        if (AP_SUPERVISED_STATE(life) != AP_SUPERVISED_HELD && AP_SUPERVISED_STATE(life) != AP_SUPERVISED_ORPHANED) return false;
        if (read_once(seg, s, life, ret)) return true;
    }
    return false;
}
