/* tests/crash/dead.c - the dead set: a task is entered once, with its body, and delegated anew once. */
#include "sweep.h"

#include <linux/futex.h>
#include <unistd.h>

#include "registry/routing/dead.h"

uint32_t judge_unseen; /* tasks that nobody collects which the survivor has run */

/* A task that has crashed its workers and that nobody will collect. */
void image_poison(void)
{
    struct ap_slot *slot;

    image_task();
    slot = ap_slot_at(survivor.seg, actor.slot);
    ap_task_request(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref), AP_REQUEST_ABANDON | AP_REQUEST_DEAD(AP_DEAD_SEGV));
    ap_store_relaxed(&slot->word,
                     AP_WORD(AP_TASK_FAILED, AP_CRASHES_MAX, (uint32_t)-APIARY_ECRASHED, AP_REF_GENERATION(actor.ref)));
    actor.word = word_of(actor.slot);
}

void run_enter(void)
{
    ap_task_free_unseen(actor.seg, actor.lane.index, actor.slot, ap_slot_leave, actor.seg);
}

uint32_t dead_entries(uint32_t *ret_row)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < survivor.seg->sections[AP_SECTION_DEAD].count; i++) {
        const struct ap_dead *d = ap_dead_at(survivor.seg, i);

        if (AP_DEAD_STATE(d->life) == AP_DEAD_FREE) continue;
        if (AP_DEAD_STATE(d->life) != AP_DEAD_KEPT) fail("a row of the dead set is in state %u", AP_DEAD_STATE(d->life));
        *ret_row = i;
        n++;
    }
    return n;
}

/* Looked at, and taken out. */
static void entry_judge(uint32_t row)
{
    const struct ap_dead *d = ap_dead_at(survivor.seg, row);
    const char *body = ap_body_in_pool(survivor.seg, d->body, d->body_size);
    uint64_t word = 0;

    if (d->crashes != AP_CRASHES_MAX || d->cause != AP_DEAD_SEGV || d->number == 0 || d->again != 0) fail("half an entry");
    if (body == NULL || d->body_size != BODY || memcmp(body, "work", 4) != 0) fail("an entry without its body");
    ap_pool_sweep(survivor.seg);
    if (ap_pool_block(survivor.seg, d->body, NULL, &word) < 0 || word != AP_BLOCK(AP_BLOCK_KEPT, row, AP_DEAD_EPOCH(d->life)))
        fail("the body of an entry is a leak");
    if (!ap_dead_free(survivor.seg, row, d->life)) fail("an entry cannot be discarded");
}

void after_enter(bool over)
{
    uint32_t row = 0, n = dead_entries(&row);

    (void)over;
    if (AP_WORD_STATE(word_of(actor.slot)) != AP_TASK_FREE) fail("what nobody will collect is there");
    if (n != 1) fail("one task has %u entries", n);
    if (n > 0) entry_judge(row);
}

/* It has been entered, in a row that had another before, which was delegated anew. */
void image_entry(void)
{
    image_poison();
    for (uint64_t i = 0; i < survivor.seg->sections[AP_SECTION_DEAD].count; i++)
        ap_store_relaxed(&ap_dead_at(survivor.seg, i)->again, AP_REF(TASKS - 1, 1));
    ap_task_free_unseen(survivor.seg, survivor.lane.index, actor.slot, ap_slot_leave, survivor.seg);
}

void run_retry(void)
{
    if (apiary_dead_retry(actor.api, 1, NULL) != 0) _Exit(20);
}

/* Its provider's ring has room when it is looked for and none any more when the task is pushed: it is taken back. */
void run_retry_full(void)
{
    if (apiary_dead_retry(actor.api, 1, NULL) != APIARY_EQUEUEFULL) _Exit(20);
}

void after_retry_full(bool over)
{
    uint32_t row = 0, n;

    drain(&survivor.consumer);
    n = dead_entries(&row);
    if (n + judge_unseen != 1) fail("%u entries, delegated anew %u times", n, judge_unseen);
    if (over && n != 1) fail("what was refused is gone");
    if (n > 0) entry_judge(row);
}

void run_discard(void)
{
    if (apiary_dead_discard(actor.api, 1) != 0) _Exit(20);
}

/* All blocks but the entry's are the actor's. */
void prepare_last_block(void)
{
    uint64_t offset;

    while (ap_pool_take(actor.seg, &actor.lane, &actor.hint, BODY, &offset) == 0) {}
}

void after_make_room(bool over)
{
    uint32_t row = 0, n = dead_entries(&row);

    if (n > 1 || (over && n != 0)) fail("%u entries", n);
    if (n == 0 && ap_dead_at(survivor.seg, 0)->drops > 1) fail("one entry was dropped twice");
    if (over && ap_dead_at(survivor.seg, 0)->drops != 1) fail("the entry that was dropped was not counted");
    if (n > 0) entry_judge(row);
}

/* One has died while it delegated the entry anew: its block is with a slot that was never published. */
static void dead_retrying(void)
{
    struct ap_lane_context *c = actor.api->anchor;
    struct ap_dead *d;
    uint64_t life;
    uint32_t slot;
    int row = ap_dead_find(actor.seg, 1, &life);

    if (row < 0 || ap_task_reserve(&c->slabs, NULL, NULL, &slot) < 0) _exit(25);
    d = ap_dead_at(actor.seg, (uint32_t)row);
    ap_store_relaxed(&d->life, AP_DEAD_LIFE(AP_DEAD_EPOCH(life), actor.lane.index, AP_DEAD_TAKEN));
    ap_slot_body_block(actor.seg, slot, AP_WORD_GENERATION(word_of(slot)), d->body);
}

void image_dead_retrying(void)
{
    image_entry();
    die_having(dead_retrying);
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

void after_reap_retrying(bool over)
{
    uint32_t row = 0, n = dead_entries(&row);

    (void)over;
    if (n != 1) fail("%u entries", n);
    else entry_judge(row);
}

void before_retry(bool over)
{
    (void)over;
    judge_unseen = 0;
}

void after_retry(bool over)
{
    uint32_t row = 0, n = dead_entries(&row);

    drain(&survivor.consumer);
    if (n + judge_unseen != 1) fail("%u entries, delegated anew %u times", n, judge_unseen);
    if (over && n != 0) fail("it is in the dead set still");
    if (n > 0) entry_judge(row);
}

void after_discard(bool over)
{
    uint32_t row = 0, n = dead_entries(&row);

    if (n > 1 || (over && n != 0)) fail("%u entries", n);
    if (n > 0) entry_judge(row);
}
