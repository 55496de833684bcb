/* tests/crash/probe.c - health probes: one that was placed is found or answered, and takes no other one's cell. */
#include "sweep.h"

#include "shm/probe.h"

static void must(bool so)
{
    if (!so) _Exit(22);
}

static const apiary_delegate_options_t probe_options = {.struct_size = sizeof probe_options, .flags = APIARY_PROBE};

/* One of that side waits at a queue, and its consumer is not told yet. */
static void probe_put(struct side *s, uint32_t queue)
{
    if (reserve(s) < 0) exit(2);
    fill(s);
    ap_slot_ask(ap_slot_at(s->seg, s->slot), AP_REQUEST_PROBE);
    s->ref = ap_task_publish(s->seg, s->slot, queue);
    s->result = ap_probe_put(s->seg, queue, s->ref);
}

static void probe_place(uint32_t queue)
{
    probe_put(&survivor, queue);
    ap_fence_full(); /* QUEUE-F1 pairs QUEUE-F2 */
    ap_probe_signal(survivor.seg, ap_queue_at(survivor.seg, queue),
                    ap_lane_at(survivor.seg, AP_QUEUE_LANE(ap_load_acquire(&ap_queue_at(survivor.seg, queue)->life))));
}

/* The survivor's; actor.slot, .ref and .word name it. */
static void image_probe(void)
{
    probe_place(1);
    actor.slot = survivor.slot;
    actor.ref = survivor.ref;
    actor.word = word_of(survivor.slot);
}

/* Whether some cell of the queue has it, and the consumer is to look. */
static bool probe_found(uint32_t queue, uint64_t ref)
{
    const struct ap_queue *q = ap_queue_at(survivor.seg, queue);

    for (uint32_t i = 0; i < AP_PROBES; i++)
        if (ap_load_acquire(&q->probes[i]) == ref) return ap_load_acquire(&q->probed) == 1;
    return false;
}

static bool probe_waits(uint64_t ref)
{
    uint64_t word = word_of(AP_REF_SLOT(ref));

    return AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_GENERATION(word) == AP_REF_GENERATION(ref);
}

static void run_probe(void)
{
    must(apiary_delegate(actor.api, "echo", NULL, 0, &probe_options, &actor.task) == 0);
}

static void before_probe(bool over)
{
    for (uint32_t i = 0; i < TASKS && over; i++) {
        const struct ap_slot *slot = ap_slot_at(survivor.seg, i);
        uint64_t word = word_of(i);

        if (AP_WORD_STATE(word) != AP_TASK_QUEUED || !ap_task_requested(slot, word, AP_REQUEST_PROBE)) continue;
        if (!probe_found(0, AP_REF(i, AP_WORD_GENERATION(word)))) fail("a probe waits, and its consumer does not know");
        return;
    }
    if (over) fail("a probe was placed, and none waits");
}

/* Answered, or to be: by no code of the agent's, so nothing is its result. */
static void after_probe(bool over)
{
    uint64_t word = word_of(actor.slot);
    const struct ap_slot *slot = ap_slot_at(survivor.seg, actor.slot);

    if (AP_WORD_GENERATION(word) != AP_REF_GENERATION(actor.ref)) fail("the survivor's probe has another generation");
    if (AP_WORD_STATE(word) == AP_TASK_FREE) fail("the survivor's probe is gone");
    if (over && AP_WORD_STATE(word) != AP_TASK_DONE) fail("a probe is %s", ap_task_state_name(AP_WORD_STATE(word)));
    if (AP_WORD_STATE(word) == AP_TASK_DONE && ap_load_relaxed(&slot->result_size) != 0) fail("a probe has a result");
}

/* The last look before it sleeps finds one of its own, of which it was not told. */
static void prepare_probe_untold(void)
{
    prepare_worker_idle();
    probe_put(&actor, 1);
}

static void run_probe_rest(void)
{
    run_rest();
    must(actor.result);
}

const struct operation kills_probe[] = {
    {.name = "probe", .registry = true, .run = run_probe, .before = before_probe},
    {.name = "probe_answered", .registry = true, .image = image_probe, .prepare = prepare_worker_block, .run = run_serve,
     .after = after_probe},
    {.name = "probe_rest", .registry = true, .prepare = prepare_probe_untold, .run = run_probe_rest},
    {.name = NULL},
};

/* ---- two at once ------------------------------------------------------------------------------------------------ */

static void other_park(void)
{
    survivor.seen = ap_bell_raise(&survivor.lane.lane->bell);
    survivor.result = ap_queue_settle(&survivor.consumer);
}

static void before_other_park(bool over)
{
    (void)over;
    if (survivor.result || survivor.lane.lane->bell != survivor.seen) return;
    if (actor.task.generation == 0) return;
    if (probe_waits(AP_REF(actor.task.slot, actor.task.generation))) fail("the consumer sleeps, and a probe waits");
}

static void other_probe(void)
{
    probe_place(1);
}

static void before_park(bool over)
{
    (void)over;
    if (actor.result || actor.lane.lane->bell != actor.seen) return;
    if (probe_waits(survivor.ref)) fail("the consumer sleeps, and a probe waits");
}

/* The worker has answered one, while another one came. */
static void before_next(bool over)
{
    (void)over;
    if (survivor.ref != actor.ref && probe_waits(survivor.ref) && !probe_found(1, survivor.ref))
        fail("a probe that came beside another waits, and its consumer does not know");
}

/* Nothing else leads it to one. */
static void prepare_probed(void)
{
    prepare_worker_idle();
    image_probe();
}

static void other_probe_same(void)
{
    probe_place(0);
}

/* Neither has the other one's cell. */
static void before_both(bool over)
{
    uint64_t own = AP_REF(actor.task.slot, actor.task.generation);

    if (survivor.result != 0) fail("there was no cell");
    if (probe_waits(survivor.ref) && !probe_found(0, survivor.ref)) fail("the survivor's probe has lost its cell");
    if (over && probe_waits(own) && !probe_found(0, own)) fail("the actor's probe has lost its cell");
}

const struct operation pairs_probe[] = {
    {.name = "probe|park", .registry = true, .run = run_probe, .other = other_park, .before = before_other_park},
    {.name = "park|probe", .registry = true, .prepare = prepare_worker_idle, .run = run_rest, .other = other_probe,
     .before = before_park},
    {.name = "probe_answered|probe", .registry = true, .prepare = prepare_probed, .run = run_serve, .other = other_probe,
     .before = before_next},
    {.name = "probe|probe", .registry = true, .run = run_probe, .other = other_probe_same, .before = before_both},
    {.name = NULL},
};
