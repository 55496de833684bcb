/* tools/apiary/top_take.c - what apiary top shows: taken from the segment, and put together by services. See top.h. */
#include <stdlib.h>
#include <string.h>

#include "registry/monitor/counters.h"
#include "tools/apiary/top.h"

/* ---- a look ------------------------------------------------------------------------------------------------------- */

static int process_order(const void *a, const void *b)
{
    const struct top_process *x = a, *y = b;
    int c = strcmp(x->service, y->service);
    return c != 0 ? c : strverscmp(x->instance, y->instance);
}

/* Samples of the same process follow each other in each row of the counters: its entry is made by the first. */
struct processes {
    struct top_process *list;
    size_t count, room;
};

static int process_add(void *user, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    struct processes *p = user;
    if (sample == NULL || sample->labels[1][0] == '\0') return 0; /* the coordinator has no service */
    if (p->count == p->room) p->list = tool_realloc(p->list, (p->room = 2 * p->room + 16) * sizeof *p->list);
    struct top_process *one = &p->list[p->count++];
    memset(one, 0, sizeof *one);
    snprintf(one->service, sizeof one->service, "%s", sample->labels[1]);
    snprintf(one->instance, sizeof one->instance, "%s", sample->labels[2]);
    if (row->unit == AP_UNIT_bytes) one->memory = sample->value;
    else one->processor = sample->value;
    return 0;
}

/* Those of one process, which stand together, become one. */
static void processes_add_up(struct processes *p)
{
    size_t n = 0;
    if (p->count > 0) qsort(p->list, p->count, sizeof *p->list, process_order);
    for (size_t i = 0; i < p->count; i++) {
        if (n == 0 || process_order(&p->list[n - 1], &p->list[i]) != 0) {
            p->list[n++] = p->list[i];
            continue;
        }
        p->list[n - 1].processor += p->list[i].processor;
        p->list[n - 1].memory += p->list[i].memory;
    }
    p->count = n;
}

int top_look(apiary_t *a, struct top_look *ret)
{
    struct processes p = {.list = NULL};
    struct ap_counters *c = NULL;
    struct usage_view usage;
    struct top_look l = {.now = a->seg->ops->now()};
    int r = ap_counters_take_of(a->seg, "apiary_process_cpu_seconds_total,apiary_process_private_bytes", &c);
    if (r < 0) return r;
    (void)ap_counters_each(c, process_add, &p);
    ap_counters_free(c);
    processes_add_up(&p);
    l.processes = p.list;
    l.process_count = p.count;
    l.instance_count = view_instances(a, NULL, &l.instances);
    if (l.instance_count < 0) {
        free(p.list);
        return l.instance_count;
    }
    stats_take(a->seg, NULL, &l.stats);
    view_usage(a->seg, &usage);
    l.members = view_members(a->seg, 0, UINT32_MAX);
    l.tasks = usage.tasks;
    l.tasks_used = usage.tasks_used;
    l.daemon = view_daemon(a->seg);
    *ret = l;
    return 0;
}

void top_look_free(struct top_look *l)
{
    free(l->instances);
    free(l->processes);
    stats_free(&l->stats);
    memset(l, 0, sizeof *l);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

struct rows {
    struct top_row *list;
    size_t count, room;
};

static struct top_row *row_new(struct rows *r, enum top_kind kind, uint64_t span)
{
    if (r->count == r->room) r->list = tool_realloc(r->list, (r->room = 2 * r->room + 16) * sizeof *r->list);
    struct top_row *row = &r->list[r->count++];
    memset(row, 0, sizeof *row);
    row->kind = kind;
    row->span = span;
    row->processor = row->memory = UINT64_MAX;
    return row;
}

static const struct top_process *process_of(const struct top_look *l, const apiary_swarm_status_t *s)
{
    struct top_process key;
    memcpy(key.service, s->service, sizeof key.service);
    memcpy(key.instance, s->instance, sizeof key.instance);
    return l->process_count > 0 ? bsearch(&key, l->processes, l->process_count, sizeof key, process_order) : NULL;
}

static void add_known(uint64_t *sum, uint64_t more)
{
    *sum = *sum == UINT64_MAX ? more : *sum + more;
}

/* An instance's share of its row: also what it has used since then. A process that is another one by now has begun at 0. */
static void row_add_instance(struct top_row *row, const struct top_look *now, const struct top_look *since,
                             const apiary_swarm_status_t *s)
{
    const struct top_process *p = process_of(now, s), *before = since->now != 0 ? process_of(since, s) : NULL;
    row->instances++;
    row->passing += s->state == APIARY_PASSING;
    if (row->state == 0 || top_state_rank((int)s->state) > top_state_rank(row->state)) row->state = (int)s->state;
    if (row->mode == 0 || s->mode != APIARY_READY) row->mode = (int)s->mode;
    row->queued += s->queued;
    row->running += s->running;
    if (p == NULL) return;
    add_known(&row->memory, p->memory);
    if (before == NULL) return;
    add_known(&row->processor, p->processor >= before->processor ? p->processor - before->processor : p->processor);
}

static void row_add_agent(struct top_row *row, const struct stats_agent *a)
{
    row->ended += a->agent.counts.done + a->agent.counts.failed;
    row->bad += a->agent.counts.failed;
    ap_spread_add(&row->ran, &a->times.ran);
    ap_spread_add(&row->waited, &a->times.waited);
    if (a->oldest > row->oldest) row->oldest = a->oldest;
}

static int row_named(const void *name, const void *row)
{
    return strcmp(name, ((const struct top_row *)row)->name);
}

static void rows_of_services(struct rows *r, const struct top_look *now, const struct top_look *since, const struct stats *s)
{
    struct top_row *row = NULL;
    for (int i = 0; i < now->instance_count; i++) {
        if (view_is_first(now->instances, i)) {
            row = row_new(r, TOP_SERVICE, s->span);
            snprintf(row->name, sizeof row->name, "%s", now->instances[i].service);
        }
        row_add_instance(row, now, since, &now->instances[i]);
    }
    for (size_t i = 0; i < s->agent_count && r->count > 0; i++) {
        row = bsearch(s->agents[i].agent.swarm.service, r->list, r->count, sizeof *r->list, row_named);
        if (row != NULL) row_add_agent(row, &s->agents[i]);
    }
}

static void rows_of_instances(struct rows *r, const struct top_look *now, const struct top_look *since, const struct stats *s,
                              const char *of)
{
    int count;
    const apiary_swarm_status_t *own = view_rows_of(now->instances, now->instance_count, of, &count);
    for (int i = 0; i < count; i++) {
        struct top_row *row = row_new(r, TOP_INSTANCE, s->span);
        snprintf(row->name, sizeof row->name, "%s/%s", of, own[i].instance);
        row_add_instance(row, now, since, &own[i]);
        for (size_t k = 0; k < s->agent_count; k++) {
            const struct swarm_view *w = &s->agents[k].agent.swarm;
            if (strcmp(w->service, of) == 0 && strcmp(w->instance, own[i].instance) == 0) row_add_agent(row, &s->agents[k]);
        }
    }
}

static void rows_of_agents(struct rows *r, const struct stats *s, const char *of)
{
    for (size_t i = 0; i < s->agent_count; i++) {
        const struct stats_agent *a = &s->agents[i];
        if (strcmp(a->agent.swarm.service, of) != 0) continue;
        struct top_row *row = row_new(r, TOP_AGENT, s->span);
        snprintf(row->name, sizeof row->name, "%s %s", a->agent.swarm.instance, a->agent.name);
        row->queued = a->agent.depth;
        row->running = a->agent.running;
        row_add_agent(row, a);
    }
}

static void rows_of_callers(struct rows *r, const struct ap_segment *seg, const struct stats *s, const char *of)
{
    size_t first = r->count;
    for (size_t i = 0; i < s->tally_count; i++) {
        const struct ap_tally *t = &s->tallies[i];
        const struct stats_agent *a = stats_agent_of(s, t->name.queue);
        char capability[APIARY_CAPABILITY_MAX + 1], name[sizeof r->list->name];
        struct top_row *row = NULL;
        if (t->name.kind != AP_TALLY_PAIR || a == NULL || strcmp(a->agent.swarm.service, of) != 0) continue;
        ap_capability_name(seg, t->name.capability, capability);
        snprintf(name, sizeof name, "%s -> %s", strcmp(t->name.caller, "-") != 0 ? t->name.caller : "(clients)", capability);
        for (size_t k = first; k < r->count && row == NULL; k++)
            if (strcmp(r->list[k].name, name) == 0) row = &r->list[k];
        if (row == NULL) {
            row = row_new(r, TOP_CALLER, s->span);
            memcpy(row->name, name, sizeof name);
        }
        row->ended += t->counts[AP_TALLY_ENDED];
        row->bad += t->counts[AP_TALLY_BAD] + t->counts[AP_TALLY_LATE];
        row->ran.count += t->counts[AP_TALLY_ENDED] + t->counts[AP_TALLY_RETRIED];
        row->ran.sum += t->counts[AP_TALLY_RAN];
        row->waited.count = row->ran.count;
        row->waited.sum += t->counts[AP_TALLY_WAITED];
    }
}

struct top_row *top_rows(const struct ap_segment *seg, const struct top_look *now, const struct top_look *since, const char *of,
                         size_t *ret_count)
{
    struct rows r = {.list = NULL};
    struct stats s;
    stats_copy(&now->stats, &s);
    if (since->now != 0) stats_since(&s, &since->stats);
    if (of == NULL) {
        rows_of_services(&r, now, since, &s);
    } else {
        rows_of_instances(&r, now, since, &s, of);
        rows_of_agents(&r, &s, of);
        rows_of_callers(&r, seg, &s, of);
    }
    stats_free(&s);
    *ret_count = r.count;
    return r.list;
}
