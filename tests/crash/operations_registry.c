/* tests/crash/operations_registry.c - the public operations, by a member "actor" that calls as the service "caller".
 * LENGTH: one table of one kind of operations. */
#include "sweep.h"

#include <pthread.h>
#include <unistd.h>

static void must(int r)
{
    if (r != 0) _exit(10);
}

/* ---- attach, register ----------------------------------------------------------------------------------------- */

static void run_attach(void)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "another", .swarm = "another"};
    apiary_t *a;

    must(apiary_attach(world_name, &o, &a));
    must(apiary_detach(a));
}

static void run_detach(void)
{
    must(apiary_detach(actor.api));
}

/* With tasks that nobody will collect: one queued, one finished. */
static void prepare_detach(void)
{
    must(apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task));
    serve(&actor, 0, AP_REF(actor.task.slot, actor.task.generation), true);
    must(apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task));
}

static void run_register(void)
{
    static const char *const capabilities[] = {"other@2", NULL};
    struct ap_agent_registration agent = {.name = "one", .capabilities = capabilities, .lane = actor.lane.index};
    struct ap_swarm_registration r = {.service = "victim", .version = "7", .lane = actor.lane.index,
                                      .member = actor.api->member, .agents = &agent, .agent_count = 1};

    must(ap_swarm_register(actor.seg, &r));
    ap_swarm_deregister(actor.seg, r.lane, &r);
}

/* What an agent declares: against nobody, and again without it, when it is taken back where nobody else offers the capability. */
static void run_register_terms(void)
{
    static const char *const capabilities[] = {"echo", "other@2", NULL};
    const struct ap_terms terms[] = {{.balance = AP_POLICY_round_robin + 1}, {.balance = AP_POLICY_round_robin + 1}};
    struct ap_agent_registration agent = {.name = "one", .capabilities = capabilities, .terms = terms, .lane = actor.lane.index};
    struct ap_swarm_registration r = {.service = "victim", .lane = actor.lane.index, .member = actor.api->member,
                                      .agents = &agent, .agent_count = 1};

    must(ap_swarm_register(actor.seg, &r));
    ap_swarm_deregister(actor.seg, r.lane, &r);
    agent.terms = NULL;
    must(ap_swarm_register(actor.seg, &r));
    ap_swarm_deregister(actor.seg, r.lane, &r);
}

/* Whoever sees the provider sees what it has declared, and that the name has majors. */
static void before_terms(bool over)
{
    int echo_at = ap_capability_find(survivor.seg, "echo", 4), major = ap_capability_find(survivor.seg, "other@2", 7);
    int bare = ap_capability_find(survivor.seg, "other", 5);
    uint64_t value;

    if (major >= 0 && bare >= 0 && ap_capability_next(survivor.seg, (uint32_t)bare, 0) >= 0 &&
        ap_load_relaxed(&ap_capability_at(survivor.seg, (uint32_t)bare)->majors) != 1)
        fail("a name with a major is offered, and does not say that it has any%s", over ? ", at the end" : "");

    if (echo_at < 0 || ap_capability_next(survivor.seg, (uint32_t)echo_at, 1) < 0) return;
    if (!ap_term_read(survivor.seg, (uint32_t)echo_at, AP_TERM_balance, &value) || value != AP_POLICY_round_robin)
        fail("a provider is offered without its terms%s", over ? ", at the end" : "");
}

static void run_weight(void)
{
    if (ap_swarm_weight_set(actor.seg, 0, "server", "0", 200) != 1) _exit(17);
    if (ap_swarm_weight_set(actor.seg, 0, "server", "0", -1) != 1) _exit(17);
}

/* The second provider of "echo" goes, with a task queued in its queue: the survivor gets it. */
static const char *const echo[] = {"echo", NULL};
static struct ap_agent_registration second_agent = {.name = "two", .capabilities = echo};
static struct ap_swarm_registration second = {.service = "second", .agents = &second_agent, .agent_count = 1};

static void prepare_second(void)
{
    second_agent.lane = second.lane = actor.lane.index;
    second.member = actor.api->member;
    must(ap_swarm_register(actor.seg, &second));
}

/* Its own queue; then it is on trial, and its next task is the one that tells. */
static void run_eject(void)
{
    struct ap_consumer c;
    struct ap_queue *q = ap_queue_at(actor.seg, second_agent.queue);

    ap_consumer_init(&c, actor.seg, second_agent.queue);
    ap_queue_charge(&c, AP_CHARGE_MAX, actor.seg->ops->now());
    ap_queue_eject(&c, actor.seg->ops->now() + 1, 1);
    world_later();
    must(apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task));
    if (ap_load_relaxed(&q->probe) == 0) _exit(16);
    ap_queue_eject(&c, 0, 0);
}

static void prepare_leaving(void)
{
    prepare_second();
    for (int i = 0; i < 2; i++) must(apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task));
}

static void run_deregister(void)
{
    ap_swarm_deregister(actor.seg, second.lane, &second);
}

/* Two agents, and a queue for one. */
static void run_register_refused(void)
{
    struct ap_agent_registration agents[2] = {{.name = "two", .capabilities = echo, .lane = actor.lane.index},
                                              {.name = "three", .capabilities = echo, .lane = actor.lane.index}};
    struct ap_swarm_registration r = {.service = "victim", .lane = actor.lane.index, .member = actor.api->member,
                                      .agents = agents, .agent_count = 2};

    if (ap_swarm_register(actor.seg, &r) != APIARY_ETABLEFULL) _exit(19);
}

/* It has been here before: its record is DOWN, its queue closed. */
static void prepare_gone(void)
{
    prepare_second();
    run_deregister();
}

static void run_register_again(void)
{
    prepare_second();
}

static void run_forget(void)
{
    if (!ap_swarm_forget(actor.seg, actor.lane.index)) _exit(19);
}

/* The table of names is full; two of them nobody uses. */
static void prepare_names(void)
{
    uint32_t index;

    must(ap_service_intern(actor.seg, actor.lane.index, "gone", &index));
    must(ap_service_intern(actor.seg, actor.lane.index, "left", &index));
}

static void run_new_name(void)
{
    uint32_t index;

    must(ap_service_intern(actor.seg, actor.lane.index, "another", &index));
    if (ap_service_find(actor.seg, "another") != (int)index || ap_service_find(actor.seg, "server") < 0) _exit(18);
}

/* ---- what a supervisor says ----------------------------------------------------------------------------------- */

/* Each number in it is told by the first. */
static struct ap_supervision told(uint32_t n)
{
    struct ap_supervision s = {.state = AP_CHILD_WAITING, .instance = n, .starts = n + 1, .ends = n + 1, .end = AP_END_SIGNAL,
                               .code = n % 60 + 1, .changed = n + 1, .ended = n + 1, .due = n + 1};
    char line[AP_SAID_MAX];

    memset(line, 'a' + (int)(n % 26), sizeof line);
    ap_supervision_said(&s, line, sizeof line);
    return s;
}

static void run_supervise(void)
{
    struct ap_supervision s = told(0);
    uint32_t row;

    must(ap_supervised_take(actor.seg, actor.lane.index, 1, "server", &s, &row));
    ap_supervised_release(actor.seg, actor.lane.index, row);
    must(ap_supervised_take(actor.seg, actor.lane.index, 1, "server", &s, &row));
    for (uint32_t n = 1; n < 4; n++) {
        s = told(n);
        ap_supervised_write(actor.seg, row, &s);
    }
    ap_supervised_end(actor.seg, actor.lane.index);
}

/* Whatever can be read is a whole one. */
static void whole_supervised(bool over)
{
    struct ap_supervised_view v;
    struct ap_supervision whole;

    if (!ap_supervised_read(survivor.seg, 0, &v)) {
        if (over) fail("the row cannot be read");
        return;
    }
    whole = told(v.last.instance);
    if (strcmp(v.service, "server") != 0 || memcmp(&v.last, &whole, sizeof whole) != 0)
        fail("record %u is not whole", v.last.instance);
}

static void after_supervise(bool over)
{
    uint32_t state = AP_SUPERVISED_STATE(ap_supervised_at(survivor.seg, 0)->life);

    if (state != AP_SUPERVISED_FREE && state != AP_SUPERVISED_ORPHANED) fail("the row is in state %u after the recovery", state);
    whole_supervised(over);
    ap_supervised_forget(survivor.seg);
}

/* ---- delegate ------------------------------------------------------------------------------------------------- */

static void run_delegate(void)
{
    must(apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task));
}

static void run_delegate_bound(void)
{
    apiary_capability_t bound;

    must(apiary_bind(actor.api, "echo", &bound));
    must(apiary_delegate_bound(actor.api, bound, "work", 4, NULL, &actor.task));
}

static void run_delegate_block(void)
{
    static const char body[BODY] = "work";
    must(apiary_delegate(actor.api, "echo", body, sizeof body, NULL, &actor.task));
}

/* Three in the slot and in a block; the ring holds four. */
static apiary_task_t batch[3];

static void run_delegate_batch(void)
{
    static const char body[BODY] = "work";
    const apiary_request_t requests[3] = {
        {.struct_size = sizeof requests[0], .capability = "echo", .body = "work", .size = 4},
        {.capability = "echo", .body = body, .size = sizeof body},
        {.capability = "echo", .body = "work", .size = 4}};
    size_t submitted;

    must(apiary_delegate_batch(actor.api, requests, 3, batch, &submitted));
}

/* To the survivor's agent and to none other. */
static void run_delegate_all(void)
{
    apiary_provider_t providers[QUEUES] = {{.struct_size = sizeof providers[0]}};
    apiary_task_t tasks[QUEUES];
    int errors[QUEUES];

    if (apiary_delegate_all(actor.api, "echo", "work", 4, NULL, providers, tasks, errors, QUEUES) != 1 || errors[0] != 0) _exit(27);
}

static void run_delegate_detached(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH};
    must(apiary_delegate(actor.api, "echo", "work", 4, &o, NULL));
}

/* No ring has room. */
static void image_no_room(void)
{
    image_held_inlets();
    image_full_ring();
}

static void run_delegate_full(void)
{
    if (apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task) != APIARY_EQUEUEFULL) _exit(11);
}

/* The consumer takes a second for each task, and one waits. */
static void image_slow(void)
{
    if (submit(&survivor, 0, false) < 0) exit(2);
    signal_queue(survivor.seg, 0, survivor.producers[0].index);
    ap_producer_close(&survivor.producers[0], &survivor.lane);
    ap_store_relaxed(&ap_queue_at(survivor.seg, 0)->pace, UINT64_C(1000000000));
}

/* Its rate lets one task by, and the next one only after a while. */
static void image_rated(void)
{
    uint32_t echo_at = (uint32_t)ap_capability_find(survivor.seg, "echo", 4);
    struct ap_terms_conflicts told = {.count = 0};
    uint64_t said[AP_TERMS] = {[AP_TERM_rate] = 1 + 1};

    ap_terms_declare(survivor.seg, survivor.lane.index, 0, echo_at, said, &told);
}

static void run_delegate_rated(void)
{
    must(apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task));
    if (apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task) != APIARY_ERATE) _exit(25);
}

static void run_delegate_hopeless(void)
{
    if (apiary_delegate(actor.api, "echo", "work", 4, APIARY_TIMEOUT(1000000), &actor.task) != APIARY_EBACKLOG) _exit(24);
}

/* Others fill the shared ring after the look at its room: the task is taken back. */
static struct ap_ops overtaking_ops;
static const struct ap_ops *overtaken_ops;

static uint64_t overtaken_now(void)
{
    image_full_ring();
    return overtaken_ops->now(); /* the world's, so that a run takes the same path twice */
}

static void prepare_overtaken(void)
{
    overtaken_ops = actor.seg->ops;
    overtaking_ops = *overtaken_ops;
    overtaking_ops.now = overtaken_now;
    actor.seg->ops = &overtaking_ops;
    actor.api->anchor->searched = actor.api->anchor->picked = 1; /* neither is measured: that would ask for the time before */
}

static void image_entry_held(void)
{
    image_held_inlets();
    image_entry();
}

#define HOUR UINT64_C(3600000000000)

static apiary_delegate_options_t carried(void)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o, .hops = 5, .trace = {.flags = 1}, .schedule_to_start = HOUR,
                                   .start_to_close = HOUR, .heartbeat = HOUR};

    memset(o.trace.trace_id, 0x77, sizeof o.trace.trace_id);
    memset(o.trace.parent_id, 0x33, sizeof o.trace.parent_id);
    return o;
}

static void run_delegate_carried(void)
{
    const apiary_delegate_options_t o = carried();

    must(apiary_delegate(actor.api, "echo", "work", 4, &o, &actor.task));
}

static void run_delegate_ranked(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .priority = APIARY_PRIORITY_URGENT};

    must(apiary_delegate(actor.api, "echo", "work", 4, &o, &actor.task));
}

/* From the moment at which anybody may have the task it carries what was said. */
static void before_carried(bool over)
{
    const apiary_delegate_options_t o = carried();
    struct ap_carried row;

    (void)over;
    for (uint32_t i = 0; i < TASKS; i++) {
        uint64_t word = word_of(i);

        if (AP_WORD_STATE(word) < AP_TASK_QUEUED) continue;
        if (!ap_carried_read(survivor.seg, ap_task_id(survivor.seg, i, AP_WORD_GENERATION(word)), &row) || row.hops != 5 ||
            memcmp(&row.trace, &o.trace, sizeof row.trace) != 0)
            fail("slot %u is %s without what it carries", i, ap_task_state_name(AP_WORD_STATE(word)));
    }
}

static const apiary_delegate_options_t run_later = {.struct_size = sizeof run_later, .delay = WORLD_LATER};

void run_delegate_later(void)
{
    static const char body[BODY] = "work";

    must(apiary_delegate(actor.api, "echo", body, sizeof body, &run_later, &actor.task));
}

static void run_delegate_later_detached(void)
{
    apiary_delegate_options_t o = run_later;

    o.flags = APIARY_DETACH;
    must(apiary_delegate(actor.api, "echo", "work", 4, &o, NULL));
}

/* Nobody takes tasks just now, and the caller can wait. */
static void image_no_provider(void)
{
    if (ap_swarm_mode_set(survivor.seg, 0, "server", "0", APIARY_MAINT, "a while") != 1) exit(2);
}

static void run_delegate_waits(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_WAIT_FOR_PROVIDER};

    must(apiary_delegate(actor.api, "echo", "work", 4, &o, &actor.task));
}

static void run_register_heir(void)
{
    static const char *const capabilities[] = {"other@2", NULL};
    struct ap_agent_registration agent = {.name = "one", .capabilities = capabilities, .lane = actor.lane.index};
    struct ap_swarm_registration r = {.service = "server", .instance = "1", .heir_of = "0", .lane = actor.lane.index,
                                      .member = actor.api->member, .agents = &agent, .agent_count = 1};

    must(ap_swarm_register(actor.seg, &r));
}

/* Whoever sees the heir sees what was said of the other one. */
static void before_heir(bool over)
{
    char reason[AP_REASON_MAX + 1];
    const struct ap_swarm *s;
    uint64_t key = ap_swarm_key("server", "1");

    (void)over;
    for (uint32_t i = 0; (s = ap_swarm_at(survivor.seg, i)) != NULL; i++) {
        if (AP_SWARM_STATE(s->life) != AP_SWARM_LIVE || s->key != key) continue;
        ap_swarm_reason(survivor.seg, i, reason);
        if (AP_MODE_OF(s->mode) != APIARY_MAINT || strcmp(reason, "a while") != 0)
            fail("an heir is there in mode %u for '%s'", AP_MODE_OF(s->mode), reason);
    }
}

static void before_provider(bool over)
{
    (void)over;
    if (ap_swarm_mode_set(survivor.seg, 0, "server", "0", APIARY_READY, "back") != 1) fail("the provider does not come back");
    ap_sweep(survivor.seg, survivor.lane.index, world_hooks);
    for (uint32_t i = 0; over && i < TASKS; i++)
        if (AP_WORD_STATE(word_of(i)) == AP_TASK_SCHEDULED) fail("slot %u waits for a provider that is there", i);
}

static void prepare_scheduled(void)
{
    must(apiary_delegate(actor.api, "echo", "work", 4, &run_later, &actor.task));
}

static void run_cancel_scheduled(void)
{
    must(apiary_cancel(actor.api, actor.task));
}

static void run_loan(void)
{
    must(apiary_loan(actor.api, BODY, &actor.loan));
    must(apiary_unloan(actor.api, actor.loan));
}

static void run_delegate_loan(void)
{
    must(apiary_loan(actor.api, BODY, &actor.loan));
    memcpy(actor.loan, "work", 4);
    must(apiary_delegate_loan(actor.api, "echo", actor.loan, BODY, NULL, &actor.task));
}

/* Lent to a thread that has ended; its lane does not say which, so that each run leaves the same. */
static void *lend(void *unused)
{
    must(apiary_loan(actor.api, BODY, &actor.loan));
    return unused;
}

static void prepare_lent(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, lend, NULL) != 0 || pthread_join(thread, NULL) != 0) _exit(19);
    for (uint32_t i = 0; i < actor.seg->geometry.lanes; i++) {
        struct ap_lane *lane = ap_lane_at(actor.seg, i);
        if (i != survivor.lane.index && i != actor.lane.index) ap_store_relaxed(&lane->tid, ap_thread_id());
    }
    memcpy(actor.loan, "work", 4);
}

static void run_delegate_lent(void)
{
    must(apiary_delegate_loan(actor.api, "echo", actor.loan, BODY, NULL, &actor.task));
}

/* ---- the end of a task ---------------------------------------------------------------------------------------- */

static void prepare_done(void)
{
    run_delegate_block();
    serve(&actor, 0, AP_REF(actor.task.slot, actor.task.generation), true);
}

static void run_await_release(void)
{
    must(apiary_await(actor.api, actor.task, APIARY_FOREVER, &actor.collected));
    must(apiary_release(actor.api, &actor.collected));
}

/* Nobody runs it: the caller's own time is up first. */
static void run_await_in_vain(void)
{
    if (apiary_await(actor.api, actor.task, 1, &actor.collected) != APIARY_ENOTREADY) _exit(12);
}

static void run_await_any(void)
{
    if (apiary_await_any(actor.api, &actor.task, 1, APIARY_FOREVER, &actor.collected) != 0) _exit(13);
    must(apiary_release(actor.api, &actor.collected));
}

static void prepare_batch_done(void)
{
    run_delegate_batch();
    for (int i = 0; i < 3; i++) serve(&actor, 0, AP_REF(batch[i].slot, batch[i].generation), true);
}

static void run_await_batch(void)
{
    apiary_result_t results[3] = {[0 ... 2] = {.struct_size = sizeof results[0]}};
    size_t finished;

    must(apiary_await_batch(actor.api, batch, 3, APIARY_FOREVER, results, &finished));
    for (int i = 0; i < 3; i++) must(apiary_release(actor.api, &results[i]));
}

static void run_poll(void)
{
    must(apiary_poll(actor.api, actor.task, &actor.collected));
    must(apiary_release(actor.api, &actor.collected));
}

/* Nobody runs it before its deadline: it is taken back. */
static void run_call_expires(void)
{
    char result[8];
    size_t size;

    if (apiary_call(actor.api, "echo", "work", 4, APIARY_TIMEOUT(1), result, sizeof result, &size) != APIARY_ETIMEDOUT) _exit(14);
}

/* Its deadline finds it running: it is given up, and whoever runs it finishes it unseen. */
static void prepare_running(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = 1};

    must(apiary_delegate(actor.api, "echo", "work", 4, &o, &actor.task));
    if (!ap_task_claim(actor.seg, actor.lane.index, 0, AP_REF(actor.task.slot, actor.task.generation), &actor.token)) _exit(15);
}

static void run_await_expires(void)
{
    if (apiary_await(actor.api, actor.task, APIARY_FOREVER, &actor.collected) != APIARY_ETIMEDOUT) _exit(16);
    finish(&actor, actor.task.slot, actor.token, true);
}

static void run_interrupt(void)
{
    ap_bell_raise(&actor.lane.lane->bell);
    must(apiary_interrupt(actor.api));
}

static void run_cancel(void)
{
    must(apiary_cancel(actor.api, actor.task));
    ap_give_up(actor.api, actor.task);
}

/* ---- recovery ------------------------------------------------------------------------------------------------- */

static void dead_queen(void)
{
    prepare_leaving();
    ap_task_claim(actor.seg, actor.lane.index, second_agent.queue, AP_REF(actor.task.slot, actor.task.generation), &actor.token);
}

/* Who attaches looks for the dead, so this one seems to live until the actor has done that. */
void image_dead_queen(void)
{
    die_having(dead_queen);
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

void prepare_reap(void)
{
    locks_change(SOMEBODY, FUTEX_OWNER_DIED);
}

/* A worker died in the middle of freeing what nobody will collect. */
static void dead_freeing(void)
{
    struct ap_slot *slot = ap_slot_at(actor.seg, actor.slot);

    if (!ap_task_claim(actor.seg, actor.lane.index, 1, actor.ref, &actor.token)) _exit(17);
    finish(&actor, actor.slot, actor.token, true);
    ap_store_relaxed(&slot->word, AP_WORD_WITH(word_of(actor.slot), AP_TASK_RELEASING, actor.lane.index));
}

static void image_dead_freeing(void)
{
    image_unseen();
    die_having(dead_freeing);
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

void run_reap_dead(void)
{
    ap_reap_all(actor.seg, actor.lane.index, world_hooks);
}

const struct operation kills_registry[] = {
    {.name = "attach", .registry = true, .run = run_attach, .varies = true},
    {.name = "attach_new_name", .registry = true, .prepare = prepare_names, .run = run_attach, .varies = true},
    {.name = "new_name", .registry = true, .prepare = prepare_names, .run = run_new_name},
    {.name = "detach", .registry = true, .prepare = prepare_detach, .run = run_detach},
    {.name = "register", .registry = true, .run = run_register},
    {.name = "register_heir", .registry = true, .image = image_no_provider, .run = run_register_heir, .before = before_heir},
    {.name = "register_terms", .registry = true, .run = run_register_terms, .before = before_terms},
    {.name = "register_rules", .registry = true, .run = run_register_rules, .before = before_rules},
    {.name = "reuse_rules", .registry = true, .image = image_used_rules, .run = run_enter_rules, .before = before_used_rules,
     .after = after_used_rules},
    {.name = "adjust", .registry = true, .prepare = prepare_adjust, .run = run_adjust, .before = before_adjust},
    {.name = "home", .registry = true, .image = image_homes, .run = run_home, .before = before_home},
    {.name = "deregister", .registry = true, .prepare = prepare_leaving, .run = run_deregister},
    {.name = "register_refused", .registry = true, .run = run_register_refused},
    {.name = "register_again", .registry = true, .prepare = prepare_gone, .run = run_register_again},
    {.name = "forget", .registry = true, .prepare = prepare_gone, .run = run_forget},
    {.name = "mode", .registry = true, .run = run_mode},
    {.name = "health", .registry = true, .prepare = prepare_health, .run = run_health, .before = before_health},
    {.name = "role", .registry = true, .run = run_role, .before = before_role},
    {.name = "weight", .registry = true, .run = run_weight},
    {.name = "eject", .registry = true, .prepare = prepare_second, .run = run_eject},
    {.name = "supervise", .registry = true, .run = run_supervise, .before = whole_supervised, .after = after_supervise},
    {.name = "delegate", .registry = true, .run = run_delegate},
    {.name = "delegate_warm", .registry = true, .prepare = run_delegate, .run = run_delegate},
    {.name = "delegate_bound", .registry = true, .run = run_delegate_bound},
    {.name = "delegate_bound_warm", .registry = true, .prepare = run_delegate_bound, .run = run_delegate_bound},
    {.name = "delegate_block", .registry = true, .run = run_delegate_block},
    {.name = "delegate_ranked", .registry = true, .run = run_delegate_ranked},
    {.name = "delegate_carried", .registry = true, .run = run_delegate_carried, .before = before_carried},
    {.name = "delegate_later", .registry = true, .run = run_delegate_later, .before = before_told},
    {.name = "delegate_later_detached", .registry = true, .run = run_delegate_later_detached, .before = before_told},
    {.name = "delegate_waits", .registry = true, .image = image_no_provider, .run = run_delegate_waits, .before = before_provider},
    {.name = "cancel_scheduled", .registry = true, .prepare = prepare_scheduled, .run = run_cancel_scheduled},
    {.name = "delegate_batch", .registry = true, .run = run_delegate_batch},
    {.name = "delegate_batch_warm", .registry = true, .prepare = run_delegate, .run = run_delegate_batch},
    {.name = "delegate_all", .registry = true, .run = run_delegate_all},
    {.name = "delegate_detached", .registry = true, .run = run_delegate_detached},
    {.name = "delegate_full", .registry = true, .image = image_no_room, .run = run_delegate_full},
    {.name = "delegate_overtaken", .registry = true, .image = image_held_inlets, .prepare = prepare_overtaken,
     .run = run_delegate_full},
    {.name = "loan_unloan", .registry = true, .run = run_loan},
    {.name = "delegate_loan", .registry = true, .run = run_delegate_loan},
    {.name = "delegate_loan_other", .registry = true, .prepare = prepare_lent, .run = run_delegate_lent},
    {.name = "interrupt", .registry = true, .run = run_interrupt},
    {.name = "await_release", .registry = true, .prepare = prepare_done, .run = run_await_release},
    {.name = "await_any", .registry = true, .prepare = prepare_done, .run = run_await_any},
    {.name = "await_batch", .registry = true, .prepare = prepare_batch_done, .run = run_await_batch},
    {.name = "poll", .registry = true, .prepare = prepare_done, .run = run_poll},
    {.name = "call_expires", .registry = true, .run = run_call_expires},
    {.name = "await_expires", .registry = true, .prepare = prepare_running, .run = run_await_expires},
    {.name = "await_in_vain", .registry = true, .prepare = run_delegate, .run = run_await_in_vain},
    {.name = "cancel_task", .registry = true, .prepare = run_delegate, .run = run_cancel},
    {.name = "dead_enter", .registry = true, .image = image_poison, .run = run_enter, .after = after_enter},
    {.name = "dead_retry", .registry = true, .image = image_entry, .run = run_retry, .before = before_retry, .after = after_retry},
    {.name = "dead_retry_full", .registry = true, .image = image_entry_held, .prepare = prepare_overtaken, .run = run_retry_full,
     .before = before_retry, .after = after_retry_full},
    {.name = "dead_discard", .registry = true, .image = image_entry, .run = run_discard, .after = after_discard},
    {.name = "delegate_dropping", .registry = true, .image = image_entry, .prepare = prepare_last_block, .run = run_delegate_block,
     .after = after_make_room},
    {.name = "delegate_hopeless", .registry = true, .image = image_slow, .run = run_delegate_hopeless},
    {.name = "delegate_rated", .registry = true, .image = image_rated, .run = run_delegate_rated},
    {.name = "delegate_denied", .registry = true, .image = image_denied, .run = run_delegate_denied, .after = after_denied},
    {.name = "delegate_stand_in", .registry = true, .image = image_stands_in, .run = run_delegate_stand_in},
    {.name = "delegate_gated", .registry = true, .image = image_gated, .run = run_delegate_stand_in},
    {.name = "delegate_kept", .registry = true, .run = run_delegate_kept, .before = before_delegate_kept,
     .after = after_delegate_kept},
    {.name = "delegate_kept_full", .registry = true, .image = image_kept_full, .run = run_delegate_kept_full,
     .after = after_kept_full},
    {.name = "kept_enter", .registry = true, .image = image_promised, .run = run_kept_enter, .after = after_kept_enter},
    {.name = "kept_enter_over", .registry = true, .kept_share = 50, .image = image_promised_over, .run = run_kept_enter,
     .after = after_kept_over},
    {.name = "kept_forget", .registry = true, .image = image_kept, .run = run_kept_forget, .after = after_kept_forget},
    {.name = "reap_queen", .registry = true, .image = image_dead_queen, .prepare = prepare_reap,
     .run = run_reap_dead},
    {.name = "reap_retrying", .registry = true, .image = image_dead_retrying, .prepare = prepare_reap, .run = run_reap_dead,
     .after = after_reap_retrying},
    {.name = "reap_unseen", .registry = true, .image = image_dead_freeing, .prepare = prepare_reap, .run = run_reap_dead,
     .before = before_unseen, .after = after_unseen},
    {.name = "beside_queen", .registry = true, .image = image_dead_queen, .run = run_beside, .before = before_held},
    {.name = NULL},
};
