/* tests/crash/coalesce.c - tasks of one dedup key: one leads, the others have its outcome or lead in their turn, and none is
 * forgotten. */
#include "sweep.h"

#include <linux/futex.h>

#include "registry/conflict/coalesce.h"

#define KEY 77
#define ALL 3 /* a leader and two that follow it */

static void must(bool so)
{
    if (!so) _Exit(22);
}

static const apiary_delegate_options_t of_key = {.struct_size = sizeof of_key, .dedup_key = KEY};

static bool coalesced_at(uint32_t slot)
{
    return AP_WORD_STATE(word_of(slot)) != AP_TASK_FREE && ap_coalesced(ap_slot_at(survivor.seg, slot), word_of(slot));
}

/* Who leads a task; 0: nobody. */
static uint64_t leader_of(uint32_t slot)
{
    uint64_t ref;

    return ap_coalesce_leader(survivor.seg, slot, AP_WORD_GENERATION(word_of(slot)), &ref) ? ref : 0;
}

bool follows_another(uint32_t slot)
{
    uint64_t ref = world_registry && coalesced_at(slot) ? leader_of(slot) : 0;

    return ref != 0 && AP_REF_SLOT(ref) != slot;
}

/* ---- images ----------------------------------------------------------------------------------------------------- */

/* The survivor's, SCHEDULED and due; nobody has looked at it. */
static uint32_t joined_unseen(void)
{
    uint32_t slot;

    image_reserved();
    slot = survivor.slot;
    ap_carried_write(survivor.seg, ap_task_id(survivor.seg, slot, generation_of(&survivor)), &of_key);
    ap_slot_ask(ap_slot_at(survivor.seg, slot), AP_REQUEST_COALESCED);
    must(ap_slot_schedule(&survivor.slabs, ap_slot_at(survivor.seg, slot), slot, survivor.seg->ops->now()));
    return slot;
}

static uint32_t joined(void)
{
    uint32_t slot = joined_unseen();

    ap_due_task(survivor.seg, world_hooks, survivor.lane.index, slot, survivor.seg->ops->now());
    return slot;
}

/* One leads and waits in the actor's queue; `n` follow. survivor.slots has all, the leader first. */
static void led_by(uint32_t n)
{
    uint32_t slot = joined_unseen();

    must(ap_coalesce_lead(NULL, survivor.seg, slot, word_of(slot)) == AP_LEAD_IS);
    must(ap_task_call(survivor.seg, slot, word_of(slot), 1));
    actor.slot = slot;
    actor.word = word_of(slot);
    actor.ref = AP_REF(slot, AP_WORD_GENERATION(actor.word));
    must(ap_queue_push_shared(survivor.seg, 1, actor.ref) == 0);
    signal_queue(survivor.seg, 1, survivor.seg->geometry.queue_inlets);
    survivor.slots[0] = slot;
    for (uint32_t i = 0; i < n; i++) {
        survivor.slots[i + 1] = joined();
        must(AP_WORD_STATE(word_of(survivor.slots[i + 1])) == AP_TASK_SCHEDULED);
    }
    survivor.count = n + 1;
}

static void image_led(void)
{
    led_by(ALL - 1);
}

static void image_leader(void)
{
    led_by(0);
}

/* Its death is not seen before the actor looks (prepare_reap). */
static void dead_unseen(void (*done)(void))
{
    die_having(done);
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

static void dead_sharing(void)
{
    must(ap_task_claim(actor.seg, actor.lane.index, 1, actor.ref, &actor.token));
    for (uint32_t i = 0; i < TASKS; i++) {
        if (AP_WORD_STATE(word_of(i)) != AP_TASK_SCHEDULED) continue;
        must(ap_task_share(actor.seg, i, word_of(i), actor.lane.index, 1) != 0);
        return;
    }
}

/* The worker has died with the leader, and with a follower to which it was about to give its outcome. */
static void image_dead_sharing(void)
{
    image_led();
    dead_unseen(dead_sharing);
}

static void dead_led(void)
{
    must(ap_task_claim(actor.seg, actor.lane.index, 1, actor.ref, &actor.token));
    ap_lane_inside(actor.lane.lane, actor.ref);
    ap_lane_crash(actor.lane.lane, SIGSEGV);
}

/* The leader has crashed it, for the third time. */
static void image_poison_led(void)
{
    image_led();
    ap_store_relaxed(&ap_slot_at(survivor.seg, actor.slot)->word, actor.word + AP_WORD_CRASHED(2));
    dead_unseen(dead_led);
}

/* Its caller had given the leader up. */
static void image_unwanted_led(void)
{
    image_led();
    must(ap_task_request(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref), AP_REQUEST_ABANDON));
    dead_unseen(dead_led);
}

/* ---- what is done ----------------------------------------------------------------------------------------------- */

static void run_delegate_led(void)
{
    must(apiary_delegate(actor.api, "echo", "work", 4, &of_key, &actor.task) == 0);
}

static void run_end_leader(void)
{
    must(ap_queue_end_task(actor.seg, actor.slot, word_of(actor.slot), AP_TASK_CANCELLED, APIARY_ECANCELLED) ||
         at_operation->other != NULL);
}

/* ---- what must hold --------------------------------------------------------------------------------------------- */

/* None of the survivor's is gone, and each that has ended has done so as the worker answered. */
static void shared_judge(uint32_t ends)
{
    for (uint32_t i = 0; i < survivor.count; i++) {
        uint64_t word = word_of(survivor.slots[i]);
        uint32_t state = AP_WORD_STATE(word);

        if (state == AP_TASK_FREE) fail("task %u of the key is gone", i);
        if (ap_task_ended(state) && state != ends) fail("task %u of the key is %s", i, ap_task_state_name(state));
        /* The leader ends last. */
        if (i > 0 && ap_task_ended(AP_WORD_STATE(word_of(survivor.slots[0]))) && !ap_task_ended(state))
            fail("the leader has ended, and follower %u has nothing", i);
    }
}

static void before_shared(bool over)
{
    (void)over;
    shared_judge(AP_TASK_DONE);
}

static void before_refused(bool over)
{
    (void)over;
    shared_judge(AP_TASK_FAILED);
}

static void after_shared(bool over)
{
    (void)over;
    for (uint32_t i = 0; i < survivor.count; i++)
        if (AP_WORD_STATE(word_of(survivor.slots[i])) == AP_TASK_FREE) fail("task %u of the key is gone", i);
}

/* One leads, and nobody else is in a queue. */
static void one_leads(const char *when)
{
    uint32_t leads = 0;

    for (uint32_t i = 0; i < TASKS; i++)
        if (coalesced_at(i) && AP_WORD_STATE(word_of(i)) == AP_TASK_QUEUED) leads++;
    if (leads > 1) fail("%s: %u tasks of one key are queued", when, leads);
}

static void after_led(bool over)
{
    after_shared(over);
    one_leads("recovered");
}

/* All that follows falls with it, and no later than it does. */
static void before_poison(bool over)
{
    bool fell = AP_WORD_STATE(word_of(survivor.slots[0])) == AP_TASK_FAILED;

    (void)over;
    for (uint32_t i = 1; i < survivor.count; i++)
        if (fell && AP_WORD_STATE(word_of(survivor.slots[i])) != AP_TASK_FAILED)
            fail("what has crashed three workers has left follower %u", i);
}

static void after_poison_led(bool over)
{
    (void)over;
    for (uint32_t i = 0; i < survivor.count; i++)
        if (ap_word_code(word_of(survivor.slots[i])) != APIARY_ECRASHED) fail("task %u of the key is to run", i);
}

/* Its followers go on. */
static void after_unwanted(bool over)
{
    (void)over;
    for (uint32_t i = 1; i < survivor.count; i++) {
        uint32_t state = AP_WORD_STATE(word_of(survivor.slots[i]));

        if (!ap_task_waits(state) && state != AP_TASK_DONE)
            fail("follower %u of what nobody wanted is %s", i, ap_task_state_name(state));
    }
    one_leads("recovered");
}

const struct operation kills_coalesce[] = {
    {.name = "coalesce_lead", .registry = true, .run = run_delegate_led},
    {.name = "coalesce_follow", .registry = true, .image = image_leader, .run = run_delegate_led, .after = after_led},
    {.name = "coalesce_end", .registry = true, .image = image_led, .run = run_end_leader, .after = after_led},
    {.name = "coalesce_share", .registry = true, .image = image_led, .prepare = prepare_reply, .run = run_serve,
     .before = before_shared, .after = after_led},
    {.name = "coalesce_share_block", .registry = true, .image = image_led, .prepare = prepare_worker_block, .run = run_serve,
     .before = before_shared, .after = after_led},
    {.name = "coalesce_refuse", .registry = true, .image = image_led, .prepare = prepare_refuse, .run = run_serve,
     .before = before_refused, .after = after_led},
    {.name = "coalesce_reap", .registry = true, .image = image_dead_sharing, .prepare = prepare_reap,
     .run = run_reap_dead, .after = after_led},
    {.name = "coalesce_reap_poison", .registry = true, .image = image_poison_led, .prepare = prepare_reap,
     .run = run_reap_dead, .before = before_poison, .after = after_poison_led},
    {.name = "coalesce_reap_unwanted", .registry = true, .image = image_unwanted_led, .prepare = prepare_reap,
     .run = run_reap_dead, .after = after_unwanted},
    {.name = NULL},
};

/* ---- two at once ------------------------------------------------------------------------------------------------ */

static void other_join(void)
{
    survivor.slots[survivor.count++] = joined();
}

/* Whoever leads ends, and nobody shares that. */
static void other_end(void)
{
    uint64_t word = word_of(survivor.slots[0]);

    if (AP_WORD_STATE(word) == AP_TASK_QUEUED)
        must(ap_queue_end_task(survivor.seg, survivor.slots[0], word, AP_TASK_CANCELLED, APIARY_ECANCELLED));
}

static void other_cancel_follower(void)
{
    uint64_t word = word_of(survivor.slots[1]);

    if (AP_WORD_STATE(word) == AP_TASK_SCHEDULED)
        must(ap_queue_end_task(survivor.seg, survivor.slots[1], word, AP_TASK_CANCELLED, APIARY_ECANCELLED));
}

static void other_look(void)
{
    for (uint32_t i = 0; i < TASKS; i++)
        ap_due_task(survivor.seg, world_hooks, survivor.lane.index, i, survivor.seg->ops->now());
}

/* The monitor looks when its hint says so, and then everybody is led, or leads. */
static void before_looked(bool over)
{
    (void)over;
    world_soon();
    ap_due_look(survivor.seg, world_hooks, survivor.lane.index);
    for (uint32_t i = 0; i < TASKS; i++)
        if (AP_WORD_STATE(word_of(i)) == AP_TASK_SCHEDULED && coalesced_at(i) && !follows_another(i))
            fail("slot %u has no leader, and nobody will look", i);
    one_leads("looked at");
}

static void before_shared_looked(bool over)
{
    before_looked(over);
    for (uint32_t i = 0; i < survivor.count; i++)
        if (AP_WORD_STATE(word_of(survivor.slots[i])) == AP_TASK_FREE) fail("task %u of the key is gone", i);
}

const struct operation pairs_coalesce[] = {
    {.name = "coalesce_lead|lead", .registry = true, .run = run_delegate_led, .other = other_join, .before = before_looked},
    {.name = "coalesce_lead|look", .registry = true, .run = run_delegate_led, .other = other_look, .before = before_looked},
    {.name = "coalesce_follow|end", .registry = true, .image = image_leader, .run = run_delegate_led, .other = other_end,
     .before = before_looked},
    {.name = "coalesce_end|join", .registry = true, .image = image_leader, .run = run_end_leader, .other = other_join,
     .before = before_shared_looked},
    {.name = "coalesce_share|join", .registry = true, .image = image_led, .prepare = prepare_reply, .run = run_serve,
     .other = other_join, .before = before_shared_looked},
    {.name = "coalesce_share|cancel", .registry = true, .image = image_led, .prepare = prepare_reply, .run = run_serve,
     .other = other_cancel_follower, .before = before_shared_looked},
    {.name = "coalesce_reap_poison|join", .registry = true, .image = image_poison_led, .prepare = prepare_reap,
     .run = run_reap_dead, .other = other_join, .before = before_shared_looked},
    {.name = NULL},
};
