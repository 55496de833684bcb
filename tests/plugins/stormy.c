/* A plug-in agent for the storm: does with each task what its body says (stormy.h), writes down what it has seen in files that
 * outlive everybody, and echoes the body.
 * `file`: a byte for each task, its executions. `order`: {64-bit in order, 64-bit late}, first executions by their client's running
 * number. `seen`: struct stormy_seen. `forbidden`: calling services whose tasks are not to come here. `bounded`: a capability, and
 * `bound`, how many of its tasks may run at once, at all queens. */
#include <apiary/agent.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mapped.h"
#include "stormy.h"

enum { LIVES = 1 << 16, PARTS = 12, LOOK = 1000000 };

struct errand;
struct agent {
    apiary_agent_t *agent;
    uint8_t *counts;
    uint64_t size;
    uint64_t *order; /* in order, late */
    uint32_t *last;  /* by life: the highest running number that came */
    struct stormy_seen *seen;
    int64_t spin;    /* turns of work for each task, so that a kill may find it in hand */
    const char *const *forbidden;
    size_t forbidden_count;
    const char *bounded;
    uint32_t bound, cell;
    struct errand *first; /* in hand */
};

/* One job in hand. */
struct errand {
    struct agent *agent;
    struct errand *next, **link;
    apiary_job_t *job;
    apiary_watch_t *watch;
    struct stormy body;
    const char *data;
    size_t size, sent;
    int bounded;
};

static uint64_t count(uint64_t *at)
{
    return __atomic_fetch_add(at, 1, __ATOMIC_RELAXED);
}

/* ---- create ----------------------------------------------------------------------------------------------------- */

/* A cell for what this queen has in its hands; whoever kills it makes that free. */
static int take_cell(struct agent *a)
{
    for (a->cell = 0; a->cell < STORMY_CELLS; a->cell++) {
        int32_t none = 0;

        if (__atomic_compare_exchange_n(&a->seen->cells[a->cell].pid, &none, (int32_t)getpid(), 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
            return 0;
    }
    return APIARY_ETABLEFULL;
}

static int create(apiary_agent_t *agent, void **state)
{
    struct agent *a = apiary_agent_alloc(agent, sizeof *a);
    uint64_t order = 0, seen = 0;

    if (a == NULL) return APIARY_ENOBLOCK;
    memset(a, 0, sizeof *a);
    *state = a;
    a->agent = agent;
    a->spin = apiary_agent_number(agent, "spin", 0);
    a->bounded = apiary_agent_text(agent, "bounded", "");
    a->bound = (uint32_t)apiary_agent_number(agent, "bound", 0);
    a->forbidden_count = apiary_agent_list(agent, "forbidden", &a->forbidden);
    a->counts = map_file(agent, apiary_agent_text(agent, "file", ""), &a->size);
    a->order = map_file(agent, apiary_agent_text(agent, "order", ""), &order);
    a->seen = map_file(agent, apiary_agent_text(agent, "seen", ""), &seen);
    if (a->counts == NULL || a->order == NULL || a->seen == NULL) return APIARY_ECONFIG;
    if (order < 2 * sizeof *a->order || seen < sizeof *a->seen) return APIARY_ECONFIG;
    a->last = apiary_agent_alloc(agent, LIVES * sizeof *a->last);
    if (a->last == NULL) return APIARY_ENOBLOCK;
    memset(a->last, 0, LIVES * sizeof *a->last);
    return take_cell(a);
}

static void drop(struct errand *e)
{
    if (e->watch != NULL) apiary_watch_close(e->watch);
    *e->link = e->next;
    if (e->next != NULL) e->next->link = e->link;
    free(e);
}

static void destroy(void *state)
{
    struct agent *a = state;

    while (a->first != NULL) drop(a->first);
}

/* ---- what it writes down ---------------------------------------------------------------------------------------- */

static void look_at_order(struct agent *a, const struct stormy *b)
{
    if (b->life >= LIVES) return;
    count(&a->order[b->number < a->last[b->life]]);
    if (b->number > a->last[b->life]) a->last[b->life] = b->number;
}

static void look_at_repeat(struct stormy_seen *s, const struct errand *e)
{
    const struct stormy *b = &e->body;

    if (apiary_job_attempt(e->job) > 1) {
        if ((b->ask & STORMY_FAILS) != 0) count(&s->retried);
        else count((b->ask & (STORMY_PARTS | STORMY_LINGERS)) != 0 || b->child != 0 ? &s->again_held : &s->again);
    } else {
        count((b->ask & STORMY_HEDGED) != 0 ? &s->copies : (b->ask & STORMY_CHILD) != 0 ? &s->children : &s->doubled);
    }
}

static void look_at_caller(struct agent *a, const apiary_job_t *job)
{
    for (size_t i = 0; i < a->forbidden_count; i++)
        if (strcmp(apiary_job_caller(job), a->forbidden[i]) == 0) count(&a->seen->trespassed);
}

/* Each queen adds what it takes after the library has let it, and takes it off before it answers: so the sum is never more than
 * what is really under way. */
static void look_at_bound(struct errand *e)
{
    struct stormy_seen *s = e->agent->seen;
    uint32_t sum = 0;

    e->bounded = strcmp(apiary_job_capability(e->job), e->agent->bounded) == 0;
    if (!e->bounded) return;
    /* One order for all: of two that enter at once, at least the later one sees both. */
    __atomic_fetch_add(&s->cells[e->agent->cell].held, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < STORMY_CELLS; i++) sum += __atomic_load_n(&s->cells[i].held, __ATOMIC_SEQ_CST);
    if (sum > e->agent->bound) count(&s->crowded);
}

static void let_go(struct errand *e)
{
    if (e->bounded) __atomic_fetch_sub(&e->agent->seen->cells[e->agent->cell].held, 1, __ATOMIC_SEQ_CST);
    e->bounded = 0;
}

/* ---- what it does ----------------------------------------------------------------------------------------------- */

static void fail(struct errand *e, uint32_t code)
{
    let_go(e);
    apiary_job_fail(e->job, code, "as asked");
    drop(e);
}

static void linger(void *user, uint32_t events)
{
    struct errand *e = user;

    (void)events;
    if (e->watch != NULL) apiary_watch_close(e->watch);
    e->watch = NULL;
    if (apiary_job_cancelled(e->job) || apiary_watch_timer(e->agent->agent, LOOK, linger, e, &e->watch) < 0)
        fail(e, STORMY_STOPPED);
}

static void finish(struct errand *e)
{
    if ((e->body.ask & STORMY_FAILS) != 0 && apiary_job_attempt(e->job) == 1) {
        fail(e, STORMY_CODE);
    } else if ((e->body.ask & STORMY_LINGERS) != 0) {
        linger(e, 0);
    } else {
        let_go(e);
        apiary_job_reply(e->job, e->data + e->sent, e->size - e->sent);
        drop(e);
    }
}

/* One that does not come to its end sends only what fits into any window. */
static void send(void *user, apiary_job_t *job)
{
    struct errand *e = user;
    int whole = (e->body.ask & (STORMY_LINGERS | STORMY_FAILS)) == 0 || apiary_job_attempt(job) > 1;
    size_t part = e->size / PARTS + 1, most = whole && (e->body.ask & STORMY_LINGERS) == 0 ? e->size : part;
    int r = 1;

    while (e->sent + part <= most && (r = apiary_job_part(job, e->data + e->sent, part)) >= 0) e->sent += part;
    if (r == APIARY_EBEHIND && apiary_job_part_ready(job, send, e) == 0) return;
    if (r < 0) fail(e, STORMY_STOPPED);
    else finish(e);
}

static void go_on(struct errand *e)
{
    if ((e->body.ask & STORMY_BEATS) != 0) apiary_job_beat(e->job, "under way", 9);
    if ((e->body.ask & STORMY_PARTS) != 0) send(e, e->job);
    else finish(e);
}

/* A child that has failed has been closed with its parent, or was refused after all. */
static void child_done(void *user, const apiary_result_t *result)
{
    struct errand *e = user;

    if (result->code != 0) count(&e->agent->seen->childless);
    else if (e->body.child >= e->agent->size || __atomic_load_n(&e->agent->counts[e->body.child], __ATOMIC_RELAXED) == 0)
        count(&e->agent->seen->unborn);
    go_on(e);
}

static void bear(struct errand *e)
{
    const struct stormy child = {.index = e->body.child, .life = UINT32_MAX,
                                 .ask = STORMY_CHILD | (e->body.ask & STORMY_LINGERS)};
    apiary_delegate_options_t o = {.struct_size = sizeof o, .parent_close = e->body.parent_close};

    /* One that nobody will close has a time of its own. */
    if (o.parent_close == APIARY_PARENT_ABANDON && (child.ask & STORMY_LINGERS) != 0) o.timeout = 50000000;
    if (apiary_job_delegate(e->job, "calm_echo", &child, sizeof child, &o, child_done, e) == 0) return;
    count(&e->agent->seen->childless);
    go_on(e);
}

static void handle(void *state, apiary_job_t *job)
{
    struct agent *a = state;
    struct errand *e = calloc(1, sizeof *e);

    if (e == NULL) abort();
    e->agent = a;
    e->job = job;
    e->data = apiary_job_data(job, &e->size);
    e->link = &a->first;
    e->next = a->first;
    if (e->next != NULL) e->next->link = &e->next;
    a->first = e;
    if (e->size < sizeof e->body) {
        fail(e, STORMY_CODE);
        return;
    }
    memcpy(&e->body, e->data, sizeof e->body);
    look_at_caller(a, job);
    look_at_bound(e);
    if (e->body.index < a->size) {
        if (__atomic_fetch_add(&a->counts[e->body.index], 1, __ATOMIC_RELAXED) == 0) look_at_order(a, &e->body);
        else look_at_repeat(a->seen, e);
    }
    for (volatile int64_t turn = 0; turn < a->spin; turn++) {
    }
    if (e->body.child != 0) bear(e);
    else go_on(e);
}

const apiary_agent_kind_t *apiary_agent_plugin(void);
__attribute__((visibility("default"))) const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_key_t keys[] = {{"file", 's', 1, "the ledger", 0, 0},
                                              {"order", 's', 1, "where the order of first executions is counted", 0, 0},
                                              {"seen", 's', 1, "what else is counted", 0, 0},
                                              {"spin", 'i', 0, "turns of work per task", 0, 0},
                                              {"forbidden", 'l', 0, "calling services whose tasks are not to come", 0, 0},
                                              {"bounded", 's', 0, "the capability of which few run at once", 0, 0},
                                              {"bound", 'i', 0, "so many", 0, 0},
                                              {.name = NULL}};
    static const apiary_agent_kind_t kind = {
        APIARY_AGENT_KIND,
        .name = "stormy",
        .what = "does what the storm asks for",
        .keys = keys,
        .create = create,
        .handle = handle,
        .destroy = destroy,
    };
    return &kind;
}
