/* tests/crash/pairs.c - two at once: the actor's operation is interrupted at each boundary by the whole of the survivor's. */
#include "sweep.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what the survivor does at the boundary ------------------------------------------------------------------- */

static void other_reap(void)
{
    ap_reap_all(survivor.seg, survivor.lane.index, world_hooks);
}

static void other_due_look(void)
{
    ap_due_look(survivor.seg, world_hooks, survivor.lane.index);
}

/* Another task, due as soon as one that is there. */
static void other_schedule(void)
{
    uint64_t due = survivor.seg->ops->now() + WORLD_LATER / 2;

    image_reserved();
    if (!ap_slot_schedule(&survivor.slabs, ap_slot_at(survivor.seg, survivor.slot), survivor.slot, due)) exit(2);
    ap_due_tell(survivor.seg, survivor.slot, due);
}

/* Of the actor's last task the slab is to be looked at anew. */
static void image_hint_past(void)
{
    ap_due_tell(survivor.seg, 0, 1);
    for (uint32_t i = 0; i < TASKS; i += AP_SLAB_SLOTS) ap_store_relaxed(&ap_slab_at(survivor.seg, i / AP_SLAB_SLOTS)->due, 1);
}

static void other_drain(void)
{
    drain(&survivor.consumer);
}

/* Three laps of a ring of four take more than one turn. */
static void other_push_pop(void)
{
    uint64_t ref = AP_REF(survivor.slot, generation_of(&survivor));

    for (int i = 0; i < 3; i++) {
        ap_queue_push_shared(survivor.seg, 0, ref);
        signal_queue(survivor.seg, 0, 1);
        ap_queue_pop(&survivor.consumer);
    }
}

static void other_park(void)
{
    uint32_t value = ap_bell_raise(&survivor.lane.lane->bell);

    survivor.result = ap_queue_settle(&survivor.consumer);
    survivor.seen = value;
}

static void other_cancel(void)
{
    ap_task_cancel_queued(survivor.seg, actor.slot, word_of(actor.slot), AP_TASK_CANCELLED, APIARY_ECANCELLED);
}

static void other_abandon(void)
{
    ap_task_request(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref), AP_REQUEST_ABANDON);
}

/* And looks whether it has ended. */
static void other_give_up(void)
{
    other_abandon();
    ap_task_free_unseen(survivor.seg, survivor.lane.index, actor.slot, NULL, NULL);
}

/* Finishes what it runs, and looks whether anybody will collect it. */
static void other_finish(void)
{
    ap_task_finish(survivor.seg, actor.task.slot, survivor.token, 0);
    ap_task_free_unseen(survivor.seg, survivor.lane.index, actor.task.slot, NULL, NULL);
}

/* As a worker does whose agent has failed it. */
static void other_put_back(void)
{
    const struct ap_slot *slot = ap_slot_at(survivor.seg, actor.task.slot);

    if (ap_load_relaxed(&slot->word) != survivor.token) return;
    ap_task_put_back(survivor.seg, actor.task.slot, survivor.token, survivor.lane.index,
                     survivor.seg->ops->now() + WORLD_LATER);
    ap_fence_full();
    ap_due_task(survivor.seg, world_hooks, survivor.lane.index, actor.task.slot, survivor.seg->ops->now());
}

static void other_move(void)
{
    uint64_t word = word_of(actor.slot);

    survivor.result = ap_task_move(survivor.seg, actor.slot, word, 0);
    if (!survivor.result) return;
    ap_queue_push_shared(survivor.seg, 0, AP_REF(actor.slot, AP_WORD_GENERATION(word)));
    signal_queue(survivor.seg, 0, 1);
}

/* Releases it, and uses what became free: its blocks, and its slot, whose turn is made to come. */
static void other_release_reuse(void)
{
    struct ap_slot *slot = ap_slot_at(survivor.seg, actor.slot);
    uint64_t offset;

    survivor.count = 0;
    if (!ap_task_release(survivor.seg, survivor.lane.index, actor.slot, actor.word)) return;
    survivor.slabs.next = actor.slot % AP_SLAB_SLOTS;
    if (reserve(&survivor) < 0 || survivor.slot != actor.slot) return;
    if (ap_pool_take(survivor.seg, &survivor.lane, &survivor.hint, BODY, &offset) < 0) return;
    ap_store_relaxed(&slot->body, offset);
    ap_store_relaxed(&slot->body_size, BODY);
    ap_pool_attach(survivor.seg, offset, AP_BLOCK_REQUEST, survivor.slot, generation_of(&survivor));
    survivor.word = word_of(survivor.slot);
    survivor.count = 1;
}

/* Leases a slab, uses it, and leaves a DONE task of a living client behind. */
static void other_use(void)
{
    if (submit(&survivor, 1, true) < 0) return;
    ap_producer_close(&survivor.producers[1], &survivor.lane);
    serve(&survivor, 1, survivor.ref, true);
    actor.slot = survivor.slot;
    actor.ref = survivor.ref;
}

/* Whatever slot is to be had. */
static void other_reserve_all(void)
{
    survivor.count = 0;
    while (survivor.count < TASKS && ap_task_reserve(&survivor.slabs, NULL, NULL, &survivor.slots[survivor.count]) == 0)
        survivor.count++;
}

/* Recovers the dead worker and runs its task again, leaving the result attached. */
static void other_redeliver(void)
{
    other_reap();
    serve(&survivor, 1, actor.ref, true);
}

/* The result's block is named, the task finished, and its worker leaves. */
static void other_finish_leave(void)
{
    ap_store_relaxed(&ap_slot_at(survivor.seg, actor.slot)->result, survivor.seen);
    ap_store_relaxed(&ap_slot_at(survivor.seg, actor.slot)->result_size, BODY);
    ap_task_finish(survivor.seg, actor.slot, survivor.token, 0);
    ap_lane_close_shared(&survivor.second);
}

static void other_submit(void)
{
    submit(&survivor, 1, false);
}

/* As every client must: the reference, a fence, a second look at the queue. */
static void submit_and_look(struct side *s)
{
    uint64_t word, life;

    if (submit(s, 1, false) < 0) return;
    life = ap_load_acquire(&ap_queue_at(s->seg, 1)->life);
    word = word_of(s->slot);
    if (AP_QUEUE_STATE(life) == AP_QUEUE_OPEN || AP_WORD_STATE(word) != AP_TASK_QUEUED) return;
    if (!ap_task_move(s->seg, s->slot, word, 0)) return;
    ap_queue_push_shared(s->seg, 0, s->ref);
    signal_queue(s->seg, 0, 1);
}

static void other_submit_and_look(void)
{
    submit_and_look(&survivor);
}

static void run_submit_and_look(void)
{
    submit_and_look(&actor);
}

/* Somebody opens a lane, owns something, and is killed. */
static void other_join_and_die(void)
{
    struct ap_lane_handle h;

    if (ap_lane_open(survivor.seg, survivor.lane.member, &h) == 0) die_in_place(h.index);
}

/* Somebody opens a lane and shares it; a third, who had seen it free, is killed with its lock. */
static void other_share_marked(void)
{
    if (ap_lane_open(survivor.seg, survivor.lane.member, &survivor.second) < 0) return;
    ap_lane_share(&survivor.second);
    if (ap_robust_trylock(&survivor.second.lane->mutex) == 0) die_in_place(survivor.second.index);
}

static void other_ring(void)
{
    survivor.result = (ap_load_relaxed(&actor.lane.lane->bell) & 1) != 0;
    ap_bell_ring(survivor.seg->ops, &actor.lane.lane->bell);
}

/* ---- what the actor does -------------------------------------------------------------------------------------- */

static void run_pool_sweep(void)
{
    ap_pool_sweep(actor.seg);
}

static void run_lane_share(void)
{
    if (ap_lane_open(actor.seg, actor.lane.member, &actor.second) < 0) return;
    ap_lane_share(&actor.second);
    actor.result = AP_LIFE_STATE(ap_load_acquire(&actor.second.lane->life)) == AP_LIFE_LIVE &&
                   AP_LIFE_EPOCH(ap_load_acquire(&actor.second.lane->life)) == actor.second.epoch;
    if (actor.result) ap_lane_close_shared(&actor.second);
}

static void run_lane(void)
{
    if (ap_lane_open(actor.seg, actor.lane.member, &actor.second) == 0) ap_lane_close(&actor.second);
}

/* ---- with a registry ------------------------------------------------------------------------------------------ */

static const char *const echo[] = {"echo", NULL};

/* A second provider of "echo", in a process that waits for its end. */
static uint32_t second_queen;

static void second_main(void)
{
    struct ap_agent_registration agent = {.name = "two", .capabilities = echo};
    struct ap_swarm_registration r = {.service = "second", .agents = &agent, .agent_count = 1};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    actor_join();
    agent.lane = r.lane = actor.lane.index;
    r.member = actor.api->member;
    if (ap_swarm_register(actor.seg, &r) < 0) _exit(10);
    raise(SIGSTOP);
    _exit(11);
}

static void image_second_queen(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) second_main();
    if (pid < 0 || waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) exit(2);
    second_queen = (uint32_t)pid;
    world_later();
}

/* Its lists are allocated, and the next task goes to the second queen. */
static void prepare_caller(void)
{
    for (int i = 0; i < 2; i++) {
        if (apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task) < 0) exit(2);
        ap_give_up(actor.api, actor.task);
    }
    actor.api->anchor->balance.turn = 1;
}

static void prepare_given_up(void)
{
    if (apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task) < 0) exit(2);
    if (!ap_task_claim(survivor.seg, survivor.lane.index, 0, AP_REF(actor.task.slot, actor.task.generation), &survivor.token))
        exit(2);
}

static void run_give_up(void)
{
    ap_give_up(actor.api, actor.task);
}

static void run_take_back(void)
{
    actor.result = apiary_cancel(actor.api, actor.task);
}

static void before_taken_back(bool over)
{
    uint32_t state = AP_WORD_STATE(word_of(actor.task.slot));

    (void)over;
    if (state != AP_TASK_CANCELLED) fail("a task that was cancelled is %s", ap_task_state_name(state));
}

/* One of both sides has seen that nobody will collect it; no recovery was needed. */
static void unseen_judge(uint32_t slot)
{
    uint32_t state = AP_WORD_STATE(word_of(slot));

    if (state != AP_TASK_FREE) fail("what nobody will collect stays %s", ap_task_state_name(state));
}

static void before_given_up(bool over)
{
    (void)over;
    unseen_judge(actor.task.slot);
}

static void before_given_unseen(bool over)
{
    (void)over;
    unseen_judge(actor.slot);
}

static void run_delegate(void)
{
    actor.result = apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task);
}

/* Two of it for the second queen, untold of until the third is in its ring. */
static void run_delegate_batch(void)
{
    const apiary_request_t request = {.struct_size = sizeof request, .capability = "echo", .body = "work", .size = 4},
        requests[3] = {request, request, request};
    apiary_task_t tasks[3];
    size_t submitted;

    actor.result = apiary_delegate_batch(actor.api, requests, 3, tasks, &submitted);
    actor.task = tasks[0];
    for (size_t i = 0; actor.result == 0 && i < 3; i++) {
        uint64_t word = word_of(tasks[i].slot);
        if (AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_OWNER(word) != 0) actor.task = tasks[i];
    }
}

static void other_kill_queen(void)
{
    kernel_marks(survivor.seg->base, second_queen);
    other_reap();
}

static void before_second(bool over)
{
    (void)over;
    if (actor.result != 0) return;
    if (AP_WORD_STATE(word_of(actor.task.slot)) == AP_TASK_QUEUED && AP_WORD_OWNER(word_of(actor.task.slot)) != 0)
        fail("the task waits in the queue of a dead queen, and another could run it");
}

/* ---- what must hold ------------------------------------------------------------------------------------------- */

static void before_pushed(bool over)
{
    if (over && actor.result < 0) fail("the shared ring is said to be full, and it never held more than one");
}

static void before_park(bool over)
{
    (void)over;
    if (actor.result || actor.lane.lane->bell != actor.seen) return;
    if (AP_WORD_STATE(word_of(survivor.slot)) == AP_TASK_QUEUED) fail("the consumer sleeps, and a task is queued");
}

/* Rung between the raise and the sleep: the sleep must not begin. */
static void before_rung(bool over)
{
    (void)over;
    if (survivor.result && actor.lane.lane->bell == actor.seen) fail("who was rung for goes to sleep");
}

static void before_other_park(bool over)
{
    (void)over;
    if (survivor.result || survivor.lane.lane->bell != survivor.seen) return;
    if (AP_WORD_STATE(word_of(actor.slot)) == AP_TASK_QUEUED) fail("the consumer sleeps, and a task is queued");
}

/* A reference that stayed behind in the old queue delivers nothing. */
static void before_moved(bool over)
{
    const struct ap_slot *slot = ap_slot_at(survivor.seg, actor.slot);

    (void)over;
    if (survivor.result && AP_WORD_STATE(word_of(actor.slot)) != AP_TASK_QUEUED && slot->worker == actor.lane.index)
        fail("the worker of another queue has run it");
}

static void before_none_in_closed(bool over)
{
    (void)over;
    for (uint32_t i = 0; i < TASKS; i++)
        if (AP_WORD_STATE(word_of(i)) == AP_TASK_QUEUED && AP_WORD_OWNER(word_of(i)) == 1)
            fail("slot %u waits in a closed queue", i);
}

static void before_reused(bool over)
{
    struct ap_slot *slot = ap_slot_at(survivor.seg, survivor.slot);
    uint64_t block = 0;

    (void)over;
    if (survivor.count == 0) return;
    if (word_of(survivor.slot) != survivor.word) fail("a slot in use was freed by whoever lost the race for its release");
    else if (ap_pool_block(survivor.seg, slot->body, NULL, &block) < 0 || AP_BLOCK_STATE(block) != AP_BLOCK_REQUEST)
        fail("a block in use was freed");
    else ap_task_unreserve(&survivor.slabs, survivor.slot);
    survivor.count = 0;
}

static void before_reserved_once(bool over)
{
    (void)over;
    for (uint32_t i = 0; i < survivor.count; i++) {
        uint64_t word = word_of(survivor.slots[i]);

        if (AP_WORD_STATE(word) != AP_TASK_RESERVED || AP_WORD_OWNER(word) != survivor.lane.index)
            fail("slot %u is reserved by two", survivor.slots[i]);
        else ap_task_unreserve(&survivor.slabs, survivor.slots[i]);
    }
    survivor.count = 0;
}

static void before_result(bool over)
{
    const struct ap_slot *slot = ap_slot_at(survivor.seg, actor.slot);
    uint64_t block = 0;

    after_task(over);
    if (AP_WORD_STATE(word_of(actor.slot)) != AP_TASK_DONE || slot->result == 0) return;
    ap_pool_block(survivor.seg, slot->result, NULL, &block);
    if (AP_BLOCK_STATE(block) != AP_BLOCK_RESULT || AP_BLOCK_WHO(block) != actor.slot ||
        AP_BLOCK_GENERATION(block) != AP_REF_GENERATION(actor.ref))
        fail("the block of a result that nobody has collected was freed");
}

static void before_beside(bool over)
{
    before_held(over);
    before_result(over);
}

static void before_shared(bool over)
{
    if (over && actor.second.seg != NULL && actor.result == 0) fail("a lane of a living process was recovered");
}

static void before_share_marked(bool over)
{
    (void)over;
    if (survivor.second.lane == NULL) return;
    if (ap_load_acquire(&survivor.second.lane->life) != AP_LIFE(survivor.second.epoch, AP_LIFE_LIVE))
        fail("a lane of a living process was given up");
    else ap_lane_close_shared(&survivor.second);
    survivor.second.lane = NULL;
}

static void image_dead_consumer(void)
{
    world_route = 0;
    die_having(prepare_worker);
}

static void image_dead_consumer_task(void)
{
    image_task();
    die_having(prepare_worker);
}

/* A second lane runs the task; its result has a block that no slot names yet. The lane is one that need not be closed by the
 * thread that opened it. */
static void image_result_unnamed(void)
{
    image_task();
    if (ap_lane_open(survivor.seg, survivor.lane.member, &survivor.second) < 0 ||
        !ap_task_claim(survivor.seg, survivor.second.index, 1, actor.ref, &survivor.token) ||
        ap_pool_take(survivor.seg, &survivor.second, &survivor.hint, BODY, &survivor.seen) < 0)
        fail("no worker with half a result");
    ap_lane_share(&survivor.second);
    ap_pool_attach(survivor.seg, survivor.seen, AP_BLOCK_RESULT_OF(survivor.token), actor.slot, AP_WORD_GENERATION(survivor.token));
}

static void image_dead_client_moved(void)
{
    world_route = 0;
    image_dead_client();
}

/* So that a run begins with the reference that others left and with tasks of its own. */
static void prepare_reference(void)
{
    submit(&actor, 1, false);
    serve(&actor, 1, actor.ref, false);
    ap_task_release(actor.seg, actor.lane.index, actor.slot, word_of(actor.slot));
}

const struct operation pairs[] = {
    {.name = "submit|drain", .run = run_submit, .other = other_drain},
    {.name = "submit|park", .run = run_submit, .other = other_park, .before = before_other_park},
    {.name = "submit|reap_consumer", .image = image_dead_consumer, .run = run_submit_and_look, .other = other_reap,
     .after = before_none_in_closed},
    {.name = "reap_consumer|submit", .image = image_dead_consumer, .run = run_reap, .other = other_submit_and_look,
     .before = before_none_in_closed},
    {.name = "submit_shared|push_pop", .image = image_held_inlets, .run = run_submit, .other = other_push_pop},
    {.name = "push_shared|push_pop", .prepare = prepare_reference, .run = run_push_shared, .other = other_push_pop,
     .before = before_pushed},
    {.name = "park|submit", .registry = true, .prepare = prepare_worker_idle, .run = run_rest, .other = other_submit,
     .before = before_park},
    {.name = "park|ring", .registry = true, .prepare = prepare_worker_idle, .run = run_rest, .other = other_ring,
     .before = before_rung},
    {.name = "claim|cancel", .registry = true, .image = image_task, .prepare = prepare_worker_block, .run = run_serve,
     .other = other_cancel, .after = after_task},
    {.name = "claim|abandon", .registry = true, .image = image_task, .prepare = prepare_worker_block, .run = run_serve,
     .other = other_give_up, .before = before_given_unseen},
    {.name = "claim|move", .registry = true, .image = image_task, .prepare = prepare_worker_block, .run = run_serve,
     .other = other_move, .before = before_moved, .after = after_task},
    {.name = "finish_unseen|next_thread", .registry = true, .image = image_unseen_thread, .prepare = prepare_kept,
     .run = run_reply_kept, .other = other_next_thread, .before = before_next_thread},
    {.name = "release|release_reuse", .image = image_done, .run = run_release_task, .other = other_release_reuse,
     .before = before_reused},
    {.name = "sweep|use", .image = image_abandoned, .run = run_sweep, .other = other_use, .before = before_result},
    {.name = "reserve|reserve_all", .prepare = prepare_two_slabs, .run = run_reserve, .other = other_reserve_all,
     .before = before_reserved_once},
    {.name = "pool_sweep|redeliver", .image = image_dead_worker, .run = run_pool_sweep, .other = other_redeliver,
     .before = before_result},
    {.name = "pool_sweep|redeliver_marked", .image = image_marked_worker, .run = run_pool_sweep, .other = other_redeliver,
     .before = before_result},
    {.name = "pool_sweep|finish_leave", .image = image_result_unnamed, .run = run_pool_sweep, .other = other_finish_leave,
     .before = before_result},
    {.name = "sweep|redeliver", .image = image_dead_worker, .run = run_sweep, .other = other_redeliver,
     .before = before_result},
    {.name = "reap|reap", .image = image_dead_client_moved, .run = run_reap, .other = other_reap},
    {.name = "reap|redeliver", .image = image_dead_worker, .run = run_reap, .other = other_redeliver, .before = before_result},
    {.name = "reap|beside", .image = image_dead_worker, .run = run_reap, .other = other_beside_redeliver,
     .before = before_result, .after = after_crash},
    {.name = "reap_client|beside", .image = image_dead_client_moved, .run = run_reap, .other = other_beside_drain},
    {.name = "beside|beside", .image = image_said_worker, .run = run_beside, .other = other_beside_redeliver,
     .before = before_beside, .after = after_crash},
    {.name = "beside|reuse", .image = image_said_worker, .run = run_beside, .other = other_reuse, .before = before_reuse},
    {.name = "beside|reuse_claimed", .image = image_held_registrant, .run = run_beside, .other = other_reuse_claimed,
     .before = before_reuse_claimed},
    {.name = "judge|judge_and_join", .image = image_unmarked_worker, .run = run_judge, .other = other_judge_and_join,
     .before = before_judged, .after = after_judged},
    {.name = "take|judge", .image = image_opened_worker, .run = run_take, .other = other_judge, .after = after_judged},
    {.name = "move|reap_consumer", .image = image_dead_consumer_task, .run = run_move, .other = other_reap},
    {.name = "lane_share|reap", .run = run_lane_share, .other = other_reap, .before = before_shared},
    {.name = "lane_take_over|lives", .prepare = prepare_left, .run = run_take_over, .other = other_lives, .before = before_lives},
    {.name = "lane_lives|hand_on", .image = image_handed, .run = run_lives, .other = other_hands_on, .before = before_handed},
    {.name = "lane_open|join_and_die", .run = run_lane, .other = other_join_and_die},
    {.name = "lane_open|share_marked", .run = run_lane, .other = other_share_marked, .before = before_share_marked},
    {.name = "give_up|put_back", .registry = true, .prepare = prepare_given_up, .run = run_give_up, .other = other_put_back,
     .before = before_given_up},
    {.name = "cancel|put_back", .registry = true, .prepare = prepare_given_up, .run = run_take_back, .other = other_put_back,
     .before = before_taken_back},
    {.name = "delegate_later|due_look", .registry = true, .image = image_hint_past, .run = run_delegate_later,
     .other = other_due_look, .before = before_told},
    {.name = "due_look|schedule", .image = image_scheduled, .run = run_due_look, .other = other_schedule, .before = before_told},
    {.name = "due_look|due_look", .image = image_scheduled, .run = run_due_look, .other = other_due_look, .before = before_told},
    {.name = "give_up|finish", .registry = true, .prepare = prepare_given_up, .run = run_give_up, .other = other_finish,
     .before = before_given_up},
    {.name = "new_name|same_name", .registry = true, .run = run_enter_name, .other = other_enter_name,
     .before = before_same_name},
    {.name = "last_name|same_name", .registry = true, .image = image_last_row, .run = run_enter_name, .other = other_enter_last,
     .before = before_last_row},
    {.name = "new_name|use_name", .registry = true, .image = image_names, .run = run_enter_name, .other = other_use_name,
     .before = before_entered},
    {.name = "member_open|turn_over", .registry = true, .image = image_member, .run = run_member_open, .other = other_turn_over,
     .before = before_turned_over},
    {.name = "lane_open|turn_over", .registry = true, .image = image_lanes, .run = run_lane_once, .other = other_turn_over,
     .before = before_lanes_turned_over},
    {.name = "health|register_anew", .registry = true, .prepare = prepare_health, .run = run_health, .other = other_health,
     .before = before_health_anew},
    {.name = "mode|mode", .registry = true, .run = run_mode, .other = other_mode, .before = before_mode},
    {.name = "declare|declare", .registry = true, .image = image_declared, .run = run_declare, .other = other_declare,
     .before = before_declared},
    {.name = "take_away|declare", .registry = true, .image = image_declared, .run = run_take_away, .other = other_declare,
     .before = before_declared},
    {.name = "home|home", .registry = true, .image = image_homes, .run = run_home, .other = other_home, .before = before_homes},
    {.name = "role|role", .registry = true, .run = run_role, .other = other_role, .before = before_role},
    {.name = "enrol|enrol", .registry = true, .image = image_swarms, .run = run_enrol, .other = other_enrol,
     .before = before_enrolled},
    {.name = "enrol_agent|move_house", .registry = true, .image = image_house, .run = run_enrol_agent,
     .other = other_move_house, .before = before_moved_house},
    {.name = "supervise|supervise", .registry = true, .image = image_supervised, .run = run_supervise_once,
     .other = other_supervise, .before = before_supervised},
    {.name = "reap_queen|beside", .registry = true, .image = image_dead_queen, .prepare = prepare_reap,
     .run = run_reap_dead, .other = other_beside_drain},
    {.name = "delegate|kill_queen", .registry = true, .image = image_second_queen, .prepare = prepare_caller,
     .run = run_delegate, .other = other_kill_queen, .before = before_second},
    {.name = "delegate_batch|kill_queen", .registry = true, .image = image_second_queen, .prepare = prepare_caller,
     .run = run_delegate_batch, .other = other_kill_queen, .before = before_second},
    {.name = NULL},
};
