/* tools/view/past_look.c - see past_look.h. */
#include "tools/view/past_look.h"

#include <stdlib.h>
#include <string.h>

#include "registry/monitor/counters.h"
#include "registry/monitor/resources.h"
#include "registry/monitor/tally.h"

struct past_source *past_look_add(struct past_look *look, const struct past_name *name, uint64_t id, uint64_t more)
{
    struct past_source *s;

    if (look->count == look->room) {
        look->room = look->room > 0 ? 2 * look->room : 64;
        look->sources = tool_realloc(look->sources, look->room * sizeof *look->sources);
    }
    s = &look->sources[look->count++];
    *s = (struct past_source){.name = *name, .id = {id, more}, .queue = UINT32_MAX};
    for (int i = PAST_FIRST_GAUGE; i < PAST_FIELDS; i++) s->numbers[i] = PAST_UNKNOWN;
    return s;
}

static int source_compare(const void *a, const void *b)
{
    const struct past_source *x = a, *y = b;
    int c = past_name_compare(&x->name, &y->name);

    for (int i = 0; i < 2 && c == 0; i++) c = (x->id[i] > y->id[i]) - (x->id[i] < y->id[i]);
    return c;
}

void past_look_sort(struct past_look *look)
{
    if (look->count > 0) qsort(look->sources, look->count, sizeof *look->sources, source_compare);
}

void past_look_free(struct past_look *look)
{
    for (size_t i = 0; i < look->count; i++) free(look->sources[i].times);
    free(look->sources);
    *look = (struct past_look){.sources = NULL};
}

static void name_set(struct past_name *ret, enum past_kind kind, const char *service, const char *of, const char *what)
{
    memset(ret, 0, sizeof *ret);
    ret->kind = kind;
    memcpy(ret->service, service, strnlen(service, sizeof ret->service - 1));
    memcpy(ret->of, of, strnlen(of, sizeof ret->of - 1));
    memcpy(ret->what, what, strnlen(what, sizeof ret->what - 1));
}

/* ---- a segment ------------------------------------------------------------------------------------------------------ */

static void source_agent(struct past_look *look, const struct ap_segment *seg, const struct agent_view *v, uint64_t oldest,
                       uint64_t now)
{
    const struct ap_queue *q = ap_queue_at(seg, v->queue);
    struct past_name name;
    struct past_source *s;

    name_set(&name, PAST_AGENT, v->swarm.service, v->swarm.instance, v->name);
    s = past_look_add(look, &name, v->queue, 0);
    s->queue = v->queue;
    s->times = tool_alloc(sizeof *s->times);
    if (!ap_times_read(seg, v->queue, s->times)) memset(s->times, 0, sizeof *s->times);
    s->numbers[PAST_DONE] = v->counts.done;
    s->numbers[PAST_FAILED] = v->counts.failed;
    s->numbers[PAST_LATE] = v->counts.late;
    s->numbers[PAST_CANCELLED] = v->counts.cancelled;
    s->numbers[PAST_CRASHED] = ap_load_relaxed(&q->crashed);
    s->numbers[PAST_RETRIED] = ap_load_relaxed(&q->retried);
    s->numbers[PAST_REFUSED] = ap_load_relaxed(&q->refused);
    s->numbers[PAST_LOST] = s->times->lost;
    s->numbers[PAST_QUEUED] = v->depth;
    s->numbers[PAST_RUNNING] = v->running;
    s->numbers[PAST_OLDEST] = oldest != 0 && oldest < now ? now - oldest : 0;
}

/* `services`: of each queue the name, "" where there is no agent. */
static void look_tallies(struct past_look *look, const struct ap_segment *seg, char (*services)[APIARY_NAME_MAX + 1])
{
    char capability[APIARY_CAPABILITY_MAX + 1];
    struct past_name name;
    struct past_source *s;
    uint64_t cursor = 0;
    struct ap_tally t;

    while (ap_tally_next(seg, &cursor, &t)) {
        bool pair = t.name.kind == AP_TALLY_PAIR;

        if (t.others || (!pair && t.name.kind != AP_TALLY_REFUSED)) continue;
        if (pair && (t.name.queue >= seg->geometry.queues || services[t.name.queue][0] == '\0')) continue;
        ap_capability_name(seg, t.name.capability, capability);
        name_set(&name, PAST_PAIR, pair ? services[t.name.queue] : "", t.name.caller, capability);
        s = past_look_add(look, &name, pair ? t.name.queue : (uint64_t)(uint32_t)t.name.code, t.name.kind);
        s->queue = pair ? t.name.queue : UINT32_MAX;
        if (!pair) {
            s->numbers[PAST_REFUSED] = t.counts[AP_TALLY_ENDED];
            continue;
        }
        s->numbers[PAST_DONE] = t.counts[AP_TALLY_ENDED]; /* all: see pair_settle */
        s->numbers[PAST_FAILED] = t.counts[AP_TALLY_BAD];
        s->numbers[PAST_LATE] = t.counts[AP_TALLY_LATE];
        s->numbers[PAST_RETRIED] = t.counts[AP_TALLY_RETRIED];
        s->numbers[PAST_WAITED] = t.counts[AP_TALLY_WAITED];
        s->numbers[PAST_RAN] = t.counts[AP_TALLY_RAN];
    }
}

/* Two rows of the table may have one key (tally.h). */
static void look_merge(struct past_look *look)
{
    size_t n = 0;

    for (size_t i = 0; i < look->count; i++) {
        struct past_source *s = &look->sources[i], *last = n > 0 ? &look->sources[n - 1] : NULL;

        if (last == NULL || source_compare(last, s) != 0) {
            look->sources[n++] = *s;
            continue;
        }
        for (int k = 0; k < PAST_FIRST_GAUGE; k++) last->numbers[k] += s->numbers[k];
        free(s->times);
    }
    look->count = n;
}

static void look_processes(struct past_look *look, const struct ap_segment *seg)
{
    uint32_t swarms = (uint32_t)seg->places[AP_SECTION_SWARMS].count;

    for (uint32_t i = 0; i < swarms; i++) {
        struct ap_resources r;
        struct past_name name;
        struct past_source *s;
        struct swarm_view v;
        struct ap_member m;

        if (!view_swarm(seg, i, &v) || !v.alive || !ap_member_read(seg, ap_load_relaxed(&ap_swarm_at(seg, i)->member), &m) ||
            m.pid != v.pid)
            continue;
        const struct ap_identity of = {.pid = m.pid, .start_time = m.start_time, .pid_namespace = m.pid_namespace};
        if (!ap_resources_read(&seg->self, &of, &r)) continue;
        name_set(&name, PAST_SERVICE, v.service, "", "");
        s = past_look_add(look, &name, (uint64_t)m.pid, m.start_time);
        if (r.user != AP_NO_VALUE && r.system != AP_NO_VALUE) s->numbers[PAST_CPU] = r.user + r.system;
        if (r.own != AP_NO_VALUE) s->numbers[PAST_MEMORY] = r.own;
    }
}

void past_look_take(const struct ap_segment *seg, struct past_look *ret)
{
    uint32_t queues = seg->geometry.queues;
    char(*services)[APIARY_NAME_MAX + 1] = tool_alloc(queues * sizeof *services);
    uint64_t *oldest = tool_alloc(queues * sizeof *oldest), now = seg->ops->now();

    *ret = (struct past_look){.sources = NULL};
    ap_times_oldest(seg, oldest);
    for (uint32_t q = 0; q < queues; q++) {
        struct agent_view v;

        services[q][0] = '\0';
        if (!view_agent(seg, q, &v)) continue;
        source_agent(ret, seg, &v, oldest[q], now);
        memcpy(services[q], v.swarm.service, sizeof services[q]);
    }
    look_tallies(ret, seg, services);
    look_processes(ret, seg);
    past_look_sort(ret);
    look_merge(ret);
    free(services);
    free(oldest);
}

/* ---- between two moments -------------------------------------------------------------------------------------------- */

static struct past_source *source_of(const struct past_look *look, const struct past_source *like)
{
    return look->count > 0 ? bsearch(like, look->sources, look->count, sizeof *like, source_compare) : NULL;
}

static uint64_t count_since(uint64_t now, uint64_t before)
{
    return now >= before ? now - before : now < before / 2 ? now : 0;
}

/* Of a pair: what ended well, from all that ended. */
static void pair_settle(uint64_t numbers[PAST_FIELDS])
{
    uint64_t bad = numbers[PAST_FAILED] + numbers[PAST_LATE];

    numbers[PAST_FAILED] = bad;
    numbers[PAST_DONE] = numbers[PAST_DONE] > bad ? numbers[PAST_DONE] - bad : 0;
}

/* `b` NULL: it was not there. */
static void source_since(struct past_source *s, const struct past_source *b, struct past_row *ret)
{
    past_row_clear(ret);
    ret->name = s->name;
    for (int i = 0; i < PAST_FIRST_GAUGE; i++) ret->numbers[i] = count_since(s->numbers[i], b != NULL ? b->numbers[i] : 0);
    for (int i = PAST_FIRST_GAUGE; i < PAST_FIELDS; i++) ret->numbers[i] = s->numbers[i];
    if (s->name.kind == PAST_SERVICE && (b == NULL || b->numbers[PAST_CPU] == 0)) ret->numbers[PAST_CPU] = 0;
    if (s->name.kind == PAST_PAIR && s->queue != UINT32_MAX) pair_settle(ret->numbers);
    if (s->times == NULL) return;
    ret->waited = s->times->waited;
    ret->ran = s->times->ran;
    if (b == NULL || b->times == NULL) return;
    ap_spread_since(&ret->waited, &b->times->waited);
    ap_spread_since(&ret->ran, &b->times->ran);
}

/* Sources of one name at one moment. */
static void row_join(struct past_row *to, const struct past_row *more)
{
    static const enum past_field sums[] = {PAST_QUEUED, PAST_RUNNING, PAST_MEMORY};

    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        enum past_field f = sums[i];

        if (to->numbers[f] != PAST_UNKNOWN && more->numbers[f] != PAST_UNKNOWN) to->numbers[f] += more->numbers[f];
    }
    past_row_add(to, more);
}

/* Missing sources go on, unless their queues have other agents. Processes that are missing have ended. */
static void look_pass_on(struct past_look *now, struct past_look *before)
{
    size_t count = now->count;
    struct past_look found = {.sources = now->sources, .count = count};

    for (size_t i = 0; i < before->count; i++) {
        struct past_source *s = &before->sources[i];
        bool taken = s->name.kind == PAST_SERVICE;

        if (source_of(&found, s) != NULL) continue;
        for (size_t k = 0; k < count && !taken && s->queue != UINT32_MAX; k++)
            taken = now->sources[k].name.kind == PAST_AGENT && now->sources[k].queue == s->queue &&
                    (s->name.kind == PAST_AGENT || strcmp(now->sources[k].name.service, s->name.service) != 0);
        if (taken) continue;
        struct past_source *kept = past_look_add(now, &s->name, s->id[0], s->id[1]);
        *kept = *s;
        kept->passed_on = true;
        for (int k = PAST_FIRST_GAUGE; k < PAST_FIELDS; k++) kept->numbers[k] = PAST_UNKNOWN;
        s->times = NULL;
        found.sources = now->sources; /* it may have moved */
    }
    past_look_sort(now);
}

size_t past_look_since(struct past_look *now, struct past_look *before, struct past_row **ret)
{
    struct past_row *rows = tool_alloc((now->count + 1) * sizeof *rows), row;
    size_t n = 0;

    for (size_t i = 0; i < now->count; i++) {
        source_since(&now->sources[i], source_of(before, &now->sources[i]), &row);
        if (n > 0 && past_name_compare(&rows[n - 1].name, &row.name) == 0) row_join(&rows[n - 1], &row);
        else rows[n++] = row;
    }
    look_pass_on(now, before);
    *ret = rows;
    return n;
}
