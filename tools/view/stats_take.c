/* tools/view/stats_take.c - the counts are read, and those of two moments compared. See stats.h. */
#include "tools/view/stats.h"

#include <stdlib.h>
#include <string.h>

/* ---- taken ----------------------------------------------------------------------------------------------------- */

/* `index` is that of the capability asked for, -1: there is none of that name. */
static bool agent_is_of(const struct agent_view *agent, const char *of, int index)
{
    if (of == NULL || strcmp(agent->swarm.service, of) == 0) return true;
    for (uint32_t i = 0; i < agent->capability_count; i++)
        if (index >= 0 && agent->capabilities[i] == (uint32_t)index) return true;
    return false;
}

static void stats_agents(const struct ap_segment *seg, const char *of, int index, struct stats *ret)
{
    uint64_t *oldest = tool_alloc(seg->geometry.queues * sizeof *oldest);
    ap_times_oldest(seg, oldest);
    ret->agents = tool_alloc((seg->geometry.queues + 1) * sizeof *ret->agents);
    for (uint32_t q = 0; q < seg->geometry.queues; q++) {
        struct stats_agent *a = &ret->agents[ret->agent_count];
        const struct ap_queue *queue = ap_queue_at(seg, q);
        if (!view_agent(seg, q, &a->agent) || !agent_is_of(&a->agent, of, index) || !ap_times_read(seg, q, &a->times)) continue;
        a->oldest = oldest[q] != 0 && oldest[q] < ret->now ? ret->now - oldest[q] : 0;
        a->retried = ap_load_relaxed(&queue->retried);
        a->crashed = ap_load_relaxed(&queue->crashed);
        a->refused = ap_load_relaxed(&queue->refused);
        ret->agent_count++;
    }
    free(oldest);
}

static bool tally_is_of(const struct ap_segment *seg, const struct stats *s, const struct ap_tally *t, const char *of, int index)
{
    const struct stats_agent *agent;
    if (of == NULL || strcmp(t->name.caller, of) == 0) return true;
    if (index >= 0 && t->name.capability == (uint32_t)index) return true;
    agent = stats_agent_of(s, t->name.queue);
    return t->name.queue < seg->geometry.queues && agent != NULL && strcmp(agent->agent.swarm.service, of) == 0;
}

/* Without what the former agents of its queue have done. */
static void tally_add(struct stats *s, const struct ap_tally *t)
{
    struct ap_tally *to = &s->tallies[s->tally_count];
    bool former = t->former[AP_TALLY_ENDED] + t->former[AP_TALLY_RETRIED] != 0;
    *to = *t;
    for (int k = 0; k < AP_TALLY_COUNTS_END; k++) to->counts[k] -= t->former[k];
    if (!former || to->counts[AP_TALLY_ENDED] + to->counts[AP_TALLY_RETRIED] != 0) s->tally_count++;
}

/* By what agents ask for first. */
static int tally_place(const struct ap_tally_name *a, const struct ap_tally_name *b)
{
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->queue != b->queue) return a->queue < b->queue ? -1 : 1;
    return (a->capability > b->capability) - (a->capability < b->capability);
}

/* Two lanes that enter one name at the same moment may have two rows of it. */
static int tally_order(const void *x, const void *y)
{
    const struct ap_tally *p = x, *q = y;
    const struct ap_tally_name *a = &p->name, *b = &q->name;
    int c = tally_place(a, b);
    if (c == 0) c = strcmp(a->caller, b->caller);
    if (c == 0) c = (a->code < b->code) - (a->code > b->code);
    if (c == 0) c = (a->agent_code > b->agent_code) - (a->agent_code < b->agent_code);
    return c != 0 ? c : (p->row > q->row) - (p->row < q->row);
}

void stats_take(const struct ap_segment *seg, const char *of, struct stats *ret)
{
    int index = of != NULL ? ap_capability_find(seg, of, strlen(of)) : -1;
    uint64_t cursor = 0;
    uint32_t all;
    struct ap_tally t;

    memset(ret, 0, sizeof *ret);
    ret->now = seg->ops->now();
    ap_costs_read(seg, &ret->costs);
    stats_agents(seg, of, index, ret);
    ap_tally_used(seg, &all);
    ret->tallies = tool_alloc((all + 1) * sizeof *ret->tallies);
    while (ap_tally_next(seg, &cursor, &t)) {
        if (t.others) ret->others[t.name.kind] = t.counts[AP_TALLY_ENDED];
        else if (ret->tally_count < all && tally_is_of(seg, ret, &t, of, index)) tally_add(ret, &t);
    }
    qsort(ret->tallies, ret->tally_count, sizeof *ret->tallies, tally_order);
}

void stats_copy(const struct stats *s, struct stats *ret)
{
    *ret = *s;
    ret->agents = tool_alloc((s->agent_count + 1) * sizeof *ret->agents);
    ret->tallies = tool_alloc((s->tally_count + 1) * sizeof *ret->tallies);
    memcpy(ret->agents, s->agents, s->agent_count * sizeof *ret->agents);
    memcpy(ret->tallies, s->tallies, s->tally_count * sizeof *ret->tallies);
}

void stats_free(struct stats *s)
{
    free(s->agents);
    free(s->tallies);
}

static int stats_agent_is(const void *queue, const void *agent)
{
    uint32_t is = ((const struct stats_agent *)agent)->agent.queue, wanted = *(const uint32_t *)queue;
    return wanted < is ? -1 : wanted > is;
}

const struct stats_agent *stats_agent_of(const struct stats *s, uint32_t queue)
{
    return bsearch(&queue, s->agents, s->agent_count, sizeof *s->agents, stats_agent_is);
}

const struct ap_tally *stats_tallies_of(const struct stats *s, enum ap_tally_kind kind, uint32_t queue, uint32_t capability,
                                        size_t *ret_count)
{
    const struct ap_tally_name wanted = {.kind = kind, .queue = queue, .capability = capability};
    size_t from = 0, to = s->tally_count, n = 0;
    while (from < to) {
        size_t at = from + (to - from) / 2;
        if (tally_place(&s->tallies[at].name, &wanted) < 0) from = at + 1;
        else to = at;
    }
    while (from + n < s->tally_count && tally_place(&s->tallies[from + n].name, &wanted) == 0) n++;
    *ret_count = n;
    return s->tallies + from;
}

/* ---- between two moments ----------------------------------------------------------------------------------------- */

/* One that is smaller than before has begun anew: all of it is new. */
static void take_away(uint64_t *count, uint64_t before)
{
    if (*count >= before) *count -= before;
}

static void agent_since(struct stats_agent *a, const struct stats_agent *b)
{
    if (strcmp(a->agent.name, b->agent.name) != 0 || strcmp(a->agent.swarm.service, b->agent.swarm.service) != 0 ||
        strcmp(a->agent.swarm.instance, b->agent.swarm.instance) != 0)
        return;
    ap_spread_since(&a->times.waited, &b->times.waited);
    ap_spread_since(&a->times.ran, &b->times.ran);
    take_away(&a->times.lost, b->times.lost);
    take_away(&a->times.ejected, b->times.ejected);
    take_away(&a->agent.counts.started, b->agent.counts.started);
    take_away(&a->agent.counts.done, b->agent.counts.done);
    take_away(&a->agent.counts.failed, b->agent.counts.failed);
    take_away(&a->agent.counts.cancelled, b->agent.counts.cancelled);
    take_away(&a->agent.counts.late, b->agent.counts.late);
    take_away(&a->retried, b->retried);
    take_away(&a->crashed, b->crashed);
    take_away(&a->refused, b->refused);
}

void stats_since(struct stats *s, const struct stats *before)
{
    s->span = s->now - before->now;
    for (size_t i = 0; i < s->agent_count; i++) {
        const struct stats_agent *b = stats_agent_of(before, s->agents[i].agent.queue);
        if (b != NULL) agent_since(&s->agents[i], b);
    }
    for (size_t i = 0; i < s->tally_count; i++) {
        const struct ap_tally *b =
            bsearch(&s->tallies[i], before->tallies, before->tally_count, sizeof *before->tallies, tally_order);
        for (int n = 0; b != NULL && n < AP_TALLY_COUNTS_END; n++) take_away(&s->tallies[i].counts[n], b->counts[n]);
    }
    for (int i = 0; i < AP_TALLY_KINDS; i++) take_away(&s->others[i], before->others[i]);
    stats_registry_since(&s->costs, &before->costs);
}
