/* tests/crash/hedge.c - hedged tasks: a second copy is sent, one of both answers counts, and nothing is left of the other. */
#include "sweep.h"

#include "registry/client/hedge.h"
#include "registry/routing/hedging.h"
#include "registry/routing/dead.h"

static void must(bool so)
{
    if (!so) _Exit(21);
}

static const char *const echo[] = {"echo", NULL};
static struct ap_agent_registration agent = {.name = "two", .capabilities = echo};
static struct ap_swarm_registration swarm = {.service = "second", .agents = &agent, .agent_count = 1};

static uint32_t echo_at(void)
{
    int at = ap_capability_find(survivor.seg, "echo", 4);

    must(at >= 0);
    return (uint32_t)at;
}

/* A second provider, of the actor, and what both declare. */
static void prepare_hedged(void)
{
    const struct ap_terms said = {.idempotent = 1 + 1};
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .hedge = 2};
    struct ap_terms_conflicts conflicts = {.count = 0};

    agent.lane = swarm.lane = actor.lane.index;
    swarm.member = actor.api->member;
    must(ap_swarm_register(actor.seg, &swarm) == 0);
    ap_terms_declare(actor.seg, actor.lane.index, agent.queue, echo_at(), (const uint64_t *)(const void *)&said, &conflicts);
    must(apiary_delegate(actor.api, "echo", "work", 4, &o, &actor.task) == 0);
    ap_capability_known(actor.api->anchor, "echo"); /* the copy asks by a text of its own */
}

/* The slot of the first copy, by what the segment says; what the actor knows the survivor does not. NULL: there is none. */
static struct ap_slot *first(void)
{
    for (uint32_t i = 0; i < TASKS; i++) {
        struct ap_slot *slot = ap_slot_at(survivor.seg, i);
        uint64_t word = ap_load_acquire(&slot->word);

        if (AP_WORD_STATE(word) != AP_TASK_FREE && ap_hedged(slot, word)) return slot;
    }
    return NULL;
}

static uint64_t other_of(void)
{
    struct ap_slot *slot = first();

    return slot != NULL ? ap_load_acquire(&ap_carried_at(survivor.seg, (uint64_t)(slot - ap_slot_at(survivor.seg, 0)))->other) : 0;
}

static uint64_t word_at(uint64_t ref)
{
    return ap_load_acquire(&ap_slot_at(survivor.seg, AP_REF_SLOT(ref))->word);
}

/* A copy is claimed where it waits, and finished. By the actor, as far as the slot is concerned. */
static void copy_claim(uint64_t ref, uint64_t *ret_token)
{
    must(ap_task_claim(actor.seg, actor.lane.index, AP_WORD_OWNER(word_at(ref)), ref, ret_token));
}

static void copy_finish(uint64_t ref, uint64_t token, int code)
{
    struct ap_slot *slot = ap_slot_at(survivor.seg, AP_REF_SLOT(ref));

    ap_slot_result(slot, 0, 0);
    ap_slot_finished(slot, survivor.seg->ops->now());
    must(ap_task_finish(survivor.seg, AP_REF_SLOT(ref), token, code) == 0);
}

static uint64_t first_ref(void)
{
    return AP_REF(actor.task.slot, actor.task.generation);
}

static void run_send(void)
{
    ap_hedges_send(actor.api->anchor, actor.seg->ops->now());
}

/* Whoever reads the name of a second copy finds one, in another queue. */
static void before_send(bool over)
{
    uint64_t ref = other_of(), word = ref != 0 ? word_at(ref) : 0;

    if (over && ref == 0) fail("no second copy was sent");
    if (ref == 0) return;
    if (AP_WORD_GENERATION(word) != AP_REF_GENERATION(ref) || AP_WORD_STATE(word) != AP_TASK_QUEUED)
        fail("the second copy that is named is %s", ap_task_state_name(AP_WORD_STATE(word)));
    if (AP_WORD_OWNER(word) == AP_WORD_OWNER(ap_load_acquire(&first()->word))) fail("both copies wait at one provider");
}

/* Both are there; the one of them has answered, and the other waits, or runs. */
static void prepare_sent(void)
{
    prepare_hedged();
    run_send();
    must(other_of() != 0);
    actor.ref = other_of();
}

static void prepare_second_done(void)
{
    uint64_t token;

    prepare_sent();
    copy_claim(first_ref(), &survivor.token);
    copy_claim(actor.ref, &token);
    copy_finish(actor.ref, token, 0);
}

static void prepare_first_done(void)
{
    uint64_t token;

    prepare_sent();
    copy_claim(first_ref(), &token);
    copy_finish(first_ref(), token, 0);
}

static void run_collect(void)
{
    actor.collected.struct_size = sizeof actor.collected;
    actor.result = apiary_poll(actor.api, actor.task, &actor.collected);
}

static void run_collect_release(void)
{
    run_collect();
    must(actor.result == 0 && actor.collected.task.slot == actor.task.slot);
    must(apiary_release(actor.api, &actor.collected) == 0);
}

/* Nothing of the second copy is left, nor of the first but what its provider has in hand. */
static void before_released(bool over)
{
    for (uint32_t i = 0; i < TASKS && over; i++) {
        const struct ap_slot *slot = ap_slot_at(survivor.seg, i);
        uint64_t word = ap_load_acquire(&slot->word);

        if (AP_WORD_STATE(word) != AP_TASK_FREE && !ap_abandoned(slot, word))
            fail("a copy is left, %s", ap_task_state_name(AP_WORD_STATE(word)));
    }
}

static void run_hedge_cancel(void)
{
    must(apiary_cancel(actor.api, actor.task) == 0);
}

static void before_cancelled(bool over)
{
    uint32_t cancelled = 0;

    for (uint32_t i = 0; i < TASKS; i++) cancelled += AP_WORD_STATE(word_of(i)) == AP_TASK_CANCELLED;
    if (over && cancelled != 2) fail("%u copies were cancelled", cancelled);
}

const struct operation kills_hedge[] = {
    {.name = "hedge_send", .registry = true, .prepare = prepare_hedged, .run = run_send, .before = before_send},
    {.name = "hedge_second", .registry = true, .prepare = prepare_second_done, .run = run_collect_release,
     .before = before_released},
    {.name = "hedge_first", .registry = true, .prepare = prepare_first_done, .run = run_collect_release,
     .before = before_released},
    {.name = "hedge_cancel", .registry = true, .prepare = prepare_sent, .run = run_hedge_cancel, .before = before_cancelled},
    {.name = NULL},
};

/* ---- two at once ------------------------------------------------------------------------------------------------ */

/* Another thread of the process gives the task up, while its second copy is being sent. */
static void other_give_up(void)
{
    ap_give_up(actor.api, actor.task);
}

static void before_given_up(bool over)
{
    (void)over;
    for (uint32_t i = 0; i < survivor.seg->geometry.tasks; i++) {
        const struct ap_slot *slot = ap_slot_at(survivor.seg, i);
        uint64_t word = ap_load_acquire(&slot->word);

        if (ap_load_relaxed(&slot->client) != actor.lane.index || AP_WORD_STATE(word) != AP_TASK_QUEUED) continue;
        if (!ap_abandoned(slot, word)) fail("a copy of a task that was given up waits for nobody");
    }
}

/* The first answers, too, and another thread collects. */
static void other_collect(void)
{
    apiary_result_t result = {.struct_size = sizeof result};

    if (word_at(first_ref()) == survivor.token) copy_finish(first_ref(), survivor.token, 0);
    survivor.result = apiary_poll(actor.api, actor.task, &result);
    survivor.seen = (uint64_t)(uintptr_t)result.data;
}

static void before_one_answer(bool over)
{
    (void)over;
    if (actor.result != 0 || survivor.result != 0) fail("two who collect got %d and %d", actor.result, survivor.result);
    if ((uint64_t)(uintptr_t)actor.collected.data != survivor.seen) fail("two who collect got two answers");
}

/* Another thread of the process gives the task up, and the lane takes the slot for its next one, which is hedged, too. */
static void run_give_up(void)
{
    ap_give_up(actor.api, actor.task);
}

static void other_next_hedged(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .hedge = 2};
    struct ap_slabs *slabs = &actor.api->anchor->slabs;
    uint32_t place = actor.task.slot % AP_SLAB_SLOTS;

    survivor.count = 0;
    if (AP_WORD_STATE(word_at(first_ref())) != AP_TASK_FREE || slabs->first + place != actor.task.slot) return;
    slabs->next = place;
    must(apiary_delegate(actor.api, "echo", "work", 4, &o, &survivor.task) == 0 && survivor.task.slot == actor.task.slot);
    run_send();
    survivor.count = 1;
}

static void before_reused(bool over)
{
    uint64_t old = word_at(actor.ref), next = survivor.count > 0 ? other_of() : 0, word = next != 0 ? word_at(next) : 0;

    (void)over;
    if (AP_WORD_GENERATION(old) == AP_REF_GENERATION(actor.ref) && AP_WORD_STATE(old) != AP_TASK_FREE)
        fail("the second copy of what was given up is left, %s", ap_task_state_name(AP_WORD_STATE(old)));
    /* It waits, or the survivor has run it: at whose queue it is the time decides. */
    if (survivor.count > 0 && (AP_WORD_GENERATION(word) != AP_REF_GENERATION(next) ||
                               (AP_WORD_STATE(word) != AP_TASK_QUEUED && AP_WORD_STATE(word) != AP_TASK_DONE)))
        fail("the second copy of the next task is gone, %s", ap_task_state_name(AP_WORD_STATE(word)));
}

const struct operation pairs_hedge[] = {
    {.name = "hedge_send|give_up", .registry = true, .prepare = prepare_hedged, .run = run_send, .other = other_give_up,
     .before = before_given_up},
    {.name = "hedge_give_up|reuse", .registry = true, .prepare = prepare_sent, .run = run_give_up, .other = other_next_hedged,
     .before = before_reused},
    {.name = "hedge_collect|collect", .registry = true, .prepare = prepare_second_done, .run = run_collect,
     .other = other_collect, .before = before_one_answer},
    {.name = NULL},
};
