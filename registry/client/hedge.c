/* registry/client/hedge.c - hedged tasks: which copy counts, and the end of both. See hedge.h. */
#include "registry/client/hedge.h"

#include "registry/client/until.h"
#include "registry/routing/hedging.h"

/* ---- both copies ------------------------------------------------------------------------------------------------ */

struct copies {
    struct ap_carried *row; /* of the first; NULL: it carries nothing */
    apiary_task_t task[2];
    struct ap_slot *slot[2];
    uint64_t word[2];
    uint32_t won; /* was read before the words, which are as new as what it says of them */
    bool second;
};

/* Of a first copy; a second one has no hedge. */
static struct ap_carried *hedge_row(const struct apiary *a, apiary_task_t task)
{
    struct ap_carried *row = ap_carried_at(a->seg, task.slot);

    if (row == NULL || ap_load_relaxed(&row->generation) != task.generation || ap_load_relaxed(&row->epoch) != task.epoch)
        return NULL;
    return ap_load_relaxed(&row->hedge) != 0 ? row : NULL;
}

/* Waits, runs, or has ended; a slot that is free keeps the generation of its last task. */
static bool copy_lives(uint64_t word)
{
    return ap_task_waits(AP_WORD_STATE(word)) || AP_WORD_STATE(word) == AP_TASK_RUNNING || ap_task_ended(AP_WORD_STATE(word));
}

/* The second as the row of the first names it. The row is another task's by now if the slot is. */
static bool second_of(struct apiary *a, struct copies *c)
{
    uint64_t other = c->row != NULL ? ap_load_acquire(&c->row->other) : 0; /* HEDGE-A1 pairs HEDGE-R1 */

    if (other == 0 || !ap_task_find(a, c->task[0], &c->slot[0], &c->word[0])) return false;
    c->task[1] = ap_task_id(a->seg, AP_REF_SLOT(other), AP_REF_GENERATION(other));
    return ap_task_find(a, c->task[1], &c->slot[1], &c->word[1]) && copy_lives(c->word[1]) && !ap_abandoned(c->slot[1], c->word[1]);
}

static bool copies_find(struct apiary *a, apiary_task_t task, struct copies *ret)
{
    ret->task[0] = task;
    ret->row = hedge_row(a, task);
    ret->won = ret->row != NULL ? ap_load_acquire(&ret->row->won) : AP_HEDGE_FIRST; /* HEDGE-A2 pairs HEDGE-R2 */
    if (!ap_task_find(a, task, &ret->slot[0], &ret->word[0]) || !copy_lives(ret->word[0])) return false;
    ret->second = second_of(a, ret);
    return true;
}

bool ap_hedge_second(struct apiary *a, apiary_task_t task, apiary_task_t *ret)
{
    struct copies c;

    if (!copies_find(a, task, &c) || !c.second) return false;
    *ret = c.task[1];
    return true;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static enum ap_hedge_won hedge_verdict(const struct apiary *a, const struct copies *c)
{
    uint32_t first = AP_WORD_STATE(c->word[0]), second = c->second ? AP_WORD_STATE(c->word[1]) : AP_TASK_FREE;

    if (first == AP_TASK_DONE) return AP_HEDGE_FIRST;
    if (second == AP_TASK_DONE) return AP_HEDGE_SECOND;
    if (!ap_task_ended(first)) return AP_HEDGE_OPEN;
    /* One of its own timers may have ended it, of which the other copy knows nothing. */
    if (!c->second || ap_task_ended(second) || first == AP_TASK_CANCELLED) return AP_HEDGE_FIRST;
    return a->seg->ops->now() >= ap_load_relaxed(&c->slot[0]->deadline) ? AP_HEDGE_FIRST : AP_HEDGE_OPEN;
}

apiary_task_t ap_hedge_answered(struct apiary *a, apiary_task_t task)
{
    struct copies c;

    return copies_find(a, task, &c) && c.won == AP_HEDGE_SECOND && c.second ? c.task[1] : task;
}

uint64_t ap_hedge_until(struct apiary *a, apiary_task_t task, uint64_t until)
{
    struct copies c;
    uint64_t other;

    if (!copies_find(a, task, &c) || !c.second || ap_task_ended(AP_WORD_STATE(c.word[1]))) return until;
    other = ap_until(a->seg, c.task[1].slot, c.word[1]);
    if (other > ap_load_relaxed(&c.slot[0]->deadline)) other = ap_load_relaxed(&c.slot[0]->deadline);
    return other > until ? other : until;
}

bool ap_hedge_over(struct apiary *a, apiary_task_t task)
{
    struct copies c;

    if (!copies_find(a, task, &c) || ap_abandoned(c.slot[0], c.word[0])) return true;
    if (c.won == AP_HEDGE_FIRST) return ap_task_ended(AP_WORD_STATE(c.word[0]));
    return c.won != AP_HEDGE_OPEN || hedge_verdict(a, &c) != AP_HEDGE_OPEN;
}

/* By the lane that has decided. */
static void hedge_settle(struct apiary *a, const struct copies *c, uint32_t won)
{
    uint32_t capability = ap_load_relaxed(&c->slot[0]->capability);
    uint64_t start = ap_hedge_start(c->slot[0], c->row), end = ap_load_relaxed(&c->slot[0]->finished);

    if (won == AP_HEDGE_SECOND) {
        ap_add_relaxed(&ap_terms_at(a->seg, capability)->hedge_won, 1);
        ap_cancel(a, c->task[0]);
    } else if (c->second) {
        ap_give_up(a, c->task[1]);
    }
    /* A task that had a second copy, or was to have one, was counted then. */
    if (ap_load_relaxed(&c->row->hedge) == APIARY_HEDGE_P95 && ap_load_relaxed(&c->row->other) == 0 &&
        ap_ended_by_agent(AP_WORD_STATE(c->word[0]), ap_word_code(c->word[0])))
        ap_hedging_took(a->seg, capability, end > start ? end - start : 1, false);
}

#define DECISIONS 4 /* there is one, and then it stands; the bound is for a segment that is being corrupted */

/* 1: it is decided which counts; 0: neither does yet; or an error. Another may decide meanwhile, who has seen more. */
static int hedge_decide(struct apiary *a, apiary_task_t task, struct copies *c)
{
    for (int tries = 0; tries < DECISIONS; tries++) {
        uint32_t wins;

        if (!copies_find(a, task, c)) return APIARY_ESTALE;
        if (c->won != AP_HEDGE_OPEN) return 1;
        wins = hedge_verdict(a, c);
        if (wins == AP_HEDGE_OPEN && ap_load_relaxed(&c->row->won) == AP_HEDGE_OPEN) return 0;
        if (wins == AP_HEDGE_OPEN || !ap_cas(&c->row->won, &c->won, wins)) continue; /* HEDGE-R2 pairs HEDGE-A2 */
        hedge_settle(a, c, c->won = wins);
        return 1;
    }
    return 0;
}

int ap_hedge_collect(struct apiary *a, apiary_task_t task, apiary_result_t *ret)
{
    struct copies c;
    int r = hedge_decide(a, task, &c);

    if (r <= 0) return r;
    if (c.won != AP_HEDGE_SECOND) return ap_collect_copy(a->seg, task, c.slot[0], c.word[0], ret);
    if (!second_of(a, &c)) return APIARY_ESTALE;
    r = ap_collect_copy(a->seg, c.task[1], c.slot[1], c.word[1], ret);
    if (r > 0) ret->task = task;
    return r;
}

int ap_hedge_release(struct apiary *a, apiary_task_t task)
{
    struct copies c;
    int r;

    if (!copies_find(a, task, &c)) return 0;
    if (c.won == AP_HEDGE_SECOND) {
        if (!c.second || !ap_task_ended(AP_WORD_STATE(c.word[1]))) return 0;
        r = ap_task_free(a, c.task[1].slot, c.word[1]);
        if (r > 0) ap_give_up(a, task);
        return r;
    }
    if (!ap_task_ended(AP_WORD_STATE(c.word[0]))) return 0;
    ap_hedge_drop(a, task);
    return ap_task_free(a, task.slot, c.word[0]);
}

void ap_hedge_drop(struct apiary *a, apiary_task_t task)
{
    struct copies c = {.task = {task}, .row = hedge_row(a, task), .won = AP_HEDGE_OPEN};

    if (c.row == NULL) return;
    ap_cas(&c.row->won, &c.won, AP_HEDGE_FIRST); /* HEDGE-R2 pairs HEDGE-A2 */
    ap_fence_full(); /* HEDGE-F2 pairs HEDGE-F1 */
    if (second_of(a, &c)) ap_give_up(a, c.task[1]);
}
