/* tests/crash/worker.c - what a worker does, by the code that does it (agents/runtime): a queen of the service "second", whose one
 * worker has one agent, which offers "echo" in queue 1. There is no thread and no loop; the actor calls the worker's steps. */
#include "sweep.h"

#include "agents/runtime/crash.h"
#include "agents/runtime/queen.h"
#include "agents/runtime/takeover.h"
#include "registry/routing/dead.h"

static const char *const echo[] = {"echo", NULL};

static struct {
    struct ap_queen queen;
    struct ap_worker worker;
    struct ap_agent agent, *agents[1];
    struct ap_agent_registration row;
    apiary_agent_kind_t kind;
    apiary_job_t *job; /* what its agent has kept */
} hive;

static void must(bool so)
{
    if (!so) _Exit(20);
}

static void hive_register(void)
{
    struct ap_swarm_registration *r = &hive.queen.registration;

    hive.row = (struct ap_agent_registration){.name = "two", .capabilities = echo, .lane = actor.lane.index};
    *r = (struct ap_swarm_registration){.service = "second", .lane = actor.lane.index, .member = actor.api->member,
                                        .agents = &hive.row, .agent_count = 1};
    must(ap_swarm_register(actor.seg, r) == 0 && hive.row.queue == 1);
    hive.queen.client = actor.api;
    hive.queen.seg = actor.seg;
    hive.queen.service_index = r->service_index;
}

static void hive_open(void (*handle)(void *state, apiary_job_t *job))
{
    struct ap_worker *w = &hive.worker;

    hive_register();
    hive.kind.handle = handle;
    hive.agent = (struct ap_agent){.queen = &hive.queen, .worker = w, .kind = &hive.kind, .name = "two",
                                       .queue = hive.row.queue, .limit = HIVE_JOBS};
    hive.agent.handle = ap_handle_open(&hive.agent, AP_HANDLE_AGENT);
    hive.agents[0] = &hive.agent;
    w->queen = &hive.queen;
    w->client = actor.api;
    w->seg = actor.seg;
    w->context = actor.api->anchor;
    w->lane = w->context->lane;
    w->agents = hive.agents;
    w->agent_count = 1;
    w->command = AP_WORKER_RUN;
    w->delegations_end = &w->delegations;
    must(ap_worker_jobs_open(w) == 0);
    ap_worker_here = w;
    ap_worker_consume(w);
}

/* It has looked through the table, and what came since is in the rings. */
static void hive_looked(void)
{
    hive.agent.scanning = hive.agent.first_scan = false;
}

/* ---- what pairs put back -------------------------------------------------------------------------------------- */

void hive_keep(struct kept_hive *k)
{
    k->worker = hive.worker;
    k->agent = hive.agent;
    k->job = hive.job;
    for (uint32_t i = 0; i < hive.worker.job_count; i++) {
        k->jobs[i] = hive.worker.jobs[i];
        k->handles[i] = *hive.worker.jobs[i].handle;
    }
}

void hive_back(const struct kept_hive *k)
{
    hive.worker = k->worker;
    hive.agent = k->agent;
    hive.job = k->job;
    for (uint32_t i = 0; i < hive.worker.job_count; i++) {
        hive.worker.jobs[i] = k->jobs[i];
        *hive.worker.jobs[i].handle = k->handles[i];
    }
}

/* ---- agents --------------------------------------------------------------------------------------------------- */

static void reply(void *state, apiary_job_t *job)
{
    (void)state;
    apiary_job_reply(job, "done", 4);
}

/* The result has a block of its own. */
static void reply_block(void *state, apiary_job_t *job)
{
    static const char result[BODY] = "done";

    (void)state;
    apiary_job_reply(job, result, sizeof result);
}

static void reply_reserved(void *state, apiary_job_t *job)
{
    void *result;

    (void)state;
    must(apiary_job_reserve(job, BODY, &result) == 0);
    memcpy(result, "done", 4);
    apiary_job_reply(job, result, BODY);
}

/* A part of the request is the result; where it finds no block, it is moved to the request's beginning. */
static void reply_part(void *state, apiary_job_t *job)
{
    size_t size;
    const uint8_t *body = apiary_job_data(job, &size);

    (void)state;
    must(apiary_job_reply(job, body + 1, size - 1) == 0);
}

static void refuse(void *state, apiary_job_t *job)
{
    (void)state;
    apiary_job_fail(job, 7, "no");
}

static void keep_job(void *state, apiary_job_t *job)
{
    (void)state;
    if (hive.job == NULL) hive.job = job;
    else apiary_job_reply(job, "done", 4);
}

/* ---- claim, run, finish --------------------------------------------------------------------------------------- */

void prepare_reply(void)
{
    hive_open(reply);
    hive_looked();
}

void prepare_worker_block(void)
{
    hive_open(reply_block);
    hive_looked();
}

void prepare_worker_idle(void)
{
    hive_open(reply);
    ap_worker_serve(&hive.worker);
    must(!hive.agent.scanning);
}

static void prepare_reserved(void)
{
    hive_open(reply_reserved);
    hive_looked();
}

void prepare_refuse(void)
{
    hive_open(refuse);
    hive_looked();
}

/* Whatever is free is the actor's. */
static void prepare_no_block(void)
{
    uint64_t offset;

    hive_open(reply_part);
    hive_looked();
    while (ap_pool_take(actor.seg, &actor.lane, &actor.hint, BODY, &offset) == 0) {}
}

static void prepare_unopened(void)
{
    hive_open(reply_block);
}

void run_serve(void)
{
    must(ap_worker_serve(&hive.worker) > 0 || at_operation->other != NULL);
}

/* From the queue's opening until it sleeps. */
static void run_worker(void)
{
    uint32_t bell;

    ap_worker_consume(&hive.worker);
    while (!ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell)) ap_worker_serve(&hive.worker);
}

/* What was done is said. */
static void prepare_served(void)
{
    prepare_reply();
    ap_worker_serve(&hive.worker);
}

static void run_publish(void)
{
    ap_worker_publish(&hive.agent);
}

void run_rest(void)
{
    uint32_t bell;

    actor.result = !ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell);
    actor.seen = bell;
}

/* ---- what an agent keeps -------------------------------------------------------------------------------------- */

void prepare_kept(void)
{
    hive_open(keep_job);
    hive_looked();
    ap_worker_serve(&hive.worker);
    must(hive.job != NULL);
}

void run_reply_kept(void)
{
    static const char result[BODY] = "done";

    apiary_job_reply(hive.job, result, sizeof result);
}

apiary_job_t *hive_kept(void)
{
    return hive.job;
}

struct ap_job *hive_in_hand(void)
{
    return ap_handle_get(hive.job);
}

static void run_jobs_end(void)
{
    ap_worker_jobs_end(&hive.worker);
}

/* Another thread has brought the answer. */
static void prepare_handed(void)
{
    prepare_kept();
    must(ap_loop_create(actor.seg->ops, 1, &hive.worker.loop) == 0);
    must(apiary_job_finish_from_thread(hive.job, 0, "done", 4) == 0);
}

static void run_handed(void)
{
    ap_worker_take_handed(&hive.worker);
}

/* It has crashed a worker before, and waits until what is in hand is done. */
static void image_crashed_task(void)
{
    struct ap_slot *slot;

    image_task();
    slot = ap_slot_at(survivor.seg, actor.slot);
    actor.word += AP_WORD_CRASHED(1);
    ap_store_relaxed(&slot->word, actor.word);
}

static void after_once_more(bool over)
{
    uint64_t word = word_of(actor.slot);

    after_task(over);
    if (AP_WORD_CRASHES(word) != 1) fail("one crash counts as %u", AP_WORD_CRASHES(word));
    if (AP_WORD_LOST(word) > 1) fail("one death counts as %u lost starts", AP_WORD_LOST(word));
}

/* ---- a crash by the task's own code --------------------------------------------------------------------------- */

/* As the signal's handler does; and then the thread goes on, as when another handler has mended it. */
static void crash_and_reply(void *state, apiary_job_t *job)
{
    (void)state;
    ap_crash_mark(&hive.worker, SIGSEGV);
    ap_crash_mark(&hive.worker, 0);
    apiary_job_reply(job, "done", 4);
}

static void prepare_crash(void)
{
    hive_open(crash_and_reply);
    hive_looked();
}

static bool suspected;

static void before_crash_mark(bool over)
{
    uint64_t word = word_of(actor.slot);
    const struct ap_lane *lane = AP_WORD_STATE(word) == AP_TASK_RUNNING ? ap_lane_at(survivor.seg, AP_WORD_OWNER(word)) : NULL;

    (void)over;
    suspected = lane != NULL && lane->crash == SIGSEGV;
    if (suspected && lane->inside != actor.ref) fail("a crash in nobody's code");
}

static void after_crash_mark(bool over)
{
    uint64_t word = word_of(actor.slot);

    after_task(over);
    if (AP_WORD_CRASHES(word) != suspected) fail("%s counts as %u crashes", suspected ? "a crash" : "none", AP_WORD_CRASHES(word));
}

/* ---- what is tried again --------------------------------------------------------------------------------------- */

static void image_retried(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .retry = {.max_attempts = 3, .backoff = 1000}};

    image_task();
    ap_carried_write(survivor.seg, ap_task_id(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref)), &o);
}

static void before_retried(bool over)
{
    uint64_t word = word_of(actor.slot);

    before_told(over);
    if (over && (AP_WORD_STATE(word) != AP_TASK_SCHEDULED || AP_WORD_OWNER(word) != 1))
        fail("what is to be tried again is %s", ap_task_state_name(AP_WORD_STATE(word)));
}

/* It has been tried once, and is to be twice. */
static void image_used_up(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .retry = {.max_attempts = 2, .backoff = 1000}};
    uint64_t generation;

    image_task();
    generation = AP_REF_GENERATION(actor.ref);
    ap_carried_write(survivor.seg, ap_task_id(survivor.seg, actor.slot, generation), &o);
    ap_slot_at(survivor.seg, actor.slot)->tries = AP_TRIES(1, 0);
    ap_task_request(survivor.seg, actor.slot, generation, AP_REQUEST_TRIED);
}

static bool used_up;

static void before_used_up(bool over)
{
    uint64_t word = word_of(actor.slot);

    used_up = AP_WORD_STATE(word) == AP_TASK_FAILED;
    if (over && !used_up) fail("tried as often as it was to be, it is %s", ap_task_state_name(AP_WORD_STATE(word)));
}

/* A task that was marked and is run again after all does not belong there. */
static void after_used_up(bool over)
{
    uint32_t row = 0, n;

    after_task(over);
    drain(&survivor.consumer);
    ap_task_release_with(survivor.seg, survivor.lane.index, actor.slot, word_of(actor.slot), ap_slot_leave, survivor.seg);
    n = dead_entries(&row);
    if (n != used_up) fail("%s, and has %u entries in the dead set", used_up ? "failed" : "run again", n);
    for (; n > 0; n--) {
        dead_entries(&row);
        ap_dead_free(survivor.seg, row, ap_dead_at(survivor.seg, row)->life);
    }
}

/* ---- what an agent delegates ---------------------------------------------------------------------------------- */

static void on_done(void *user, const apiary_result_t *result)
{
    (void)user, (void)result;
    apiary_job_reply(hive.job, "done", 4);
}

static void on_end(void *user, const apiary_result_t *result)
{
    (void)user, (void)result;
}

static void agent_delegate(apiary_done_fn done)
{
    static const char body[BODY] = "work";

    must(apiary_agent_delegate_external_task(ap_handle_name(hive.agent.handle), "echo", body, sizeof body, NULL, done, NULL) == 0);
}

static void run_agent_delegate(void)
{
    agent_delegate(on_done);
}

/* What it needs of the heap it has had before: the same path each time. */
static void prepare_agent_warm(void)
{
    prepare_kept();
    agent_delegate(on_end);
    ap_delegations_end(&hive.worker, APIARY_ESHUTDOWN);
}

static void prepare_agent_delegated(void)
{
    prepare_kept();
    run_agent_delegate();
}

/* Whoever had it to do has done it. */
static void prepare_agent_answered(void)
{
    prepare_agent_delegated();
    for (uint32_t i = 0; i < TASKS; i++) {
        uint64_t word = word_of(i);
        if (AP_WORD_STATE(word) == AP_TASK_QUEUED) serve(&actor, AP_WORD_OWNER(word), AP_REF(i, AP_WORD_GENERATION(word)), true);
    }
}

static void run_delegations_poll(void)
{
    must(ap_delegations_poll(&hive.worker, 1, true) == 1);
}

static void run_delegations_end(void)
{
    ap_delegations_end(&hive.worker, APIARY_ESHUTDOWN);
}

/* ---- what nobody will collect --------------------------------------------------------------------------------- */

/* The one that there is: 0, or APIARY_ELIMIT. */
static int ticket_take(uint32_t lane, uint32_t *ret)
{
    struct ap_ticket_hint hint = {.row = NULL};

    return ap_ticket_take(survivor.seg, (uint32_t)ap_service_find(survivor.seg, "server"), lane, 1, &hint, ret);
}

static uint32_t tickets_busy(void)
{
    return ap_tickets_busy(survivor.seg, (uint32_t)ap_service_find(survivor.seg, "server"));
}

/* The survivor's, delegated as a service, given up; the actor runs it and frees what nobody will collect. */
static void unseen_of(uint32_t lane)
{
    struct ap_slot *slot;
    uint32_t ticket;

    if (ticket_take(lane, &ticket) < 0) exit(2);
    image_task();
    slot = ap_slot_at(survivor.seg, actor.slot);
    ap_store_relaxed(&slot->client, (uint16_t)lane);
    ap_store_relaxed(&slot->caller, (uint16_t)(ap_service_find(survivor.seg, "server") + 1));
    ap_store_relaxed(&slot->ticket, ticket);
    ap_task_request(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref), AP_REQUEST_ABANDON);
}

void image_unseen(void)
{
    unseen_of(survivor.lane.index);
}

/* The client delegates again as soon as its ticket is back, and before the worker's death is seen. */
void before_unseen(bool over)
{
    uint32_t ticket;

    (void)over;
    survivor.count = ticket_take(survivor.lane.index, &ticket) == 0;
}

/* Wherever the worker died, its recovery has done the rest, though the client lives and does nothing. */
void after_unseen(bool over)
{
    (void)over;
    if (AP_WORD_STATE(word_of(actor.slot)) != AP_TASK_FREE) fail("what nobody will collect is %s",
                                                                 ap_task_state_name(AP_WORD_STATE(word_of(actor.slot))));
    if (tickets_busy() != survivor.count)
        fail(survivor.count == 0 ? "its ticket is in use" : "its ticket is free, and the next task has it");
    ap_tickets_free(survivor.seg, survivor.lane.index);
    survivor.count = 0;
}

/* The client is a thread that ends; another thread of its process gets its lane. */
void image_unseen_thread(void)
{
    if (ap_lane_open(survivor.seg, survivor.lane.member, &survivor.second) < 0) exit(2);
    ap_lane_share(&survivor.second);
    unseen_of(survivor.second.index);
}

void other_next_thread(void)
{
    uint32_t index = survivor.second.index, ticket;

    ap_tickets_free(survivor.seg, index);
    ap_lane_close_shared(&survivor.second);
    if (ap_lane_open(survivor.seg, survivor.lane.member, &survivor.second) < 0 || survivor.second.index != index) exit(2);
    ap_lane_share(&survivor.second);
    if (ticket_take(index, &ticket) < 0) fail("the ticket of a thread that has ended is in use");
}

void before_next_thread(bool over)
{
    (void)over;
    if (tickets_busy() != 1) fail("a ticket was given back for the thread that had it before");
    ap_tickets_free(survivor.seg, survivor.second.index);
    ap_lane_close_shared(&survivor.second);
}

/* ---- what waits elsewhere --------------------------------------------------------------------------------------- */

static void run_takeover(void)
{
    uint32_t looks = AP_TAKEOVER_LOOKS;

    must(ap_takeover_from(&hive.worker, &hive.agent, 0, &looks) || at_operation->other != NULL);
}

/* ---- the queen ------------------------------------------------------------------------------------------------ */

static void run_beat(void)
{
    must(ap_swarm_beat(actor.seg, &hive.queen.registration, APIARY_WARNING, 0));
}

const struct operation kills_worker[] = {
    {.name = "worker", .registry = true, .image = image_task, .prepare = prepare_unopened, .run = run_worker, .after = after_task},
    {.name = "pop_claim_finish", .registry = true, .image = image_task, .prepare = prepare_worker_block, .run = run_serve,
     .after = after_task},
    {.name = "finish_inline", .registry = true, .image = image_task, .prepare = prepare_reply, .run = run_serve,
     .after = after_task},
    {.name = "serve_crowd", .registry = true, .image = image_crowd, .prepare = prepare_reply, .run = run_serve,
     .before = before_crowd, .after = after_task},
    {.name = "finish_bounded", .registry = true, .image = image_bounded, .prepare = prepare_reply, .run = run_serve,
     .after = after_bounded},
    {.name = "finish_reserved", .registry = true, .image = image_task, .prepare = prepare_reserved, .run = run_serve,
     .after = after_task},
    {.name = "finish_failed", .registry = true, .image = image_task, .prepare = prepare_refuse, .run = run_serve,
     .after = after_task},
    {.name = "finish_retried", .registry = true, .image = image_retried, .prepare = prepare_refuse, .run = run_serve,
     .before = before_retried, .after = after_task},
    {.name = "finish_used_up", .registry = true, .image = image_used_up, .prepare = prepare_refuse, .run = run_serve,
     .before = before_used_up, .after = after_used_up},
    {.name = "finish_overwriting", .registry = true, .image = image_task, .prepare = prepare_no_block, .run = run_serve,
     .after = after_task},
    {.name = "finish_later", .registry = true, .image = image_task, .prepare = prepare_kept, .run = run_reply_kept,
     .after = after_task},
    {.name = "job_beat", .registry = true, .image = image_task, .prepare = prepare_job_beat, .run = run_job_beat,
     .after = after_job_beat},
    {.name = "finish_overrun", .registry = true, .image = image_timed, .prepare = prepare_kept, .run = run_overrun,
     .before = before_overrun, .after = after_task},
    {.name = "finish_handed", .registry = true, .image = image_task, .prepare = prepare_handed, .run = run_handed,
     .after = after_task},
    {.name = "finish_kept", .registry = true, .image = image_promised_unseen, .prepare = prepare_kept, .run = run_reply_kept,
     .before = before_unseen, .after = after_kept_finish},
    {.name = "finish_unseen", .registry = true, .image = image_unseen, .prepare = prepare_kept, .run = run_reply_kept,
     .before = before_unseen, .after = after_unseen},
    {.name = "run_again", .registry = true, .image = image_crashed_task, .prepare = prepare_reply, .run = run_serve,
     .after = after_once_more},
    {.name = "crash_marked", .registry = true, .image = image_task, .prepare = prepare_crash, .run = run_serve,
     .before = before_crash_mark, .after = after_crash_mark},
    {.name = "worker_leaves", .registry = true, .image = image_task, .prepare = prepare_kept, .run = run_jobs_end,
     .after = after_task},
    {.name = "publish", .registry = true, .image = image_task, .prepare = prepare_served, .run = run_publish,
     .after = after_task},
    {.name = "rest", .registry = true, .image = image_task, .prepare = prepare_reply, .run = run_rest, .after = after_task},
    {.name = "agent_delegate", .registry = true, .image = image_task, .prepare = prepare_agent_warm, .run = run_agent_delegate,
     .after = after_task},
    {.name = "agent_collect", .registry = true, .image = image_task, .prepare = prepare_agent_answered,
     .run = run_delegations_poll, .after = after_task},
    {.name = "agent_leaves", .registry = true, .image = image_task, .prepare = prepare_agent_delegated,
     .run = run_delegations_end, .after = after_task},
    {.name = "takeover", .registry = true, .image = image_task_elsewhere, .prepare = prepare_reply, .run = run_takeover,
     .after = after_task},
    {.name = "takeover_urgent", .registry = true, .image = image_urgent_elsewhere, .prepare = prepare_reply, .run = run_takeover,
     .before = before_takeover, .after = after_task},
    {.name = "beat", .registry = true, .prepare = hive_register, .run = run_beat},
    {.name = NULL},
};
