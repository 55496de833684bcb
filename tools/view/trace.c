/* tools/view/trace.c - the life of a task across swarms. See trace.h. */
#include "tools/view/trace.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "registry/routing/dead.h"
#include "tools/common/common.h"

#define TRACE_ID 16u
#define TRACE_DEEPEST 256u
#define TRACE_LOOKS 8 /* at a task that changes all the time */

/* ---- what is asked for --------------------------------------------------------------------------------------------- */

struct trace_wanted {
    bool traced;
    uint8_t trace[TRACE_ID];
    apiary_task_t task;
};

static bool trace_parse(const char *text, uint8_t ret[TRACE_ID])
{
    if (strlen(text) != 2 * TRACE_ID || strspn(text, "0123456789abcdefABCDEF") != 2 * TRACE_ID) return false;
    for (size_t i = 0; i < TRACE_ID; i++) {
        const char byte[3] = {text[2 * i], text[2 * i + 1], '\0'};

        ret[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
    return true;
}

static bool is_task(const struct ap_finished *r, apiary_task_t task)
{
    return r->slot == task.slot && r->epoch == task.epoch && r->generation == task.generation;
}

static bool trace_wants(const struct trace_wanted *w, const struct ap_finished *r)
{
    return w->traced ? memcmp(r->trace, w->trace, TRACE_ID) == 0 : is_task(r, w->task);
}

/* ---- where it is looked for ---------------------------------------------------------------------------------------- */

/* 1; 0: nobody's; -1: it has gone on meanwhile. */
static int trace_copy(const struct ap_segment *seg, uint32_t slot, struct trace_row *ret)
{
    const struct ap_slot *s = ap_slot_at(seg, slot);
    uint64_t word = ap_load_acquire(&s->word); /* TASK-A1 pairs TASK-R1 */
    uint32_t state = AP_WORD_STATE(word);

    *ret = (struct trace_row){.state = ap_task_state_name(state)};
    if (state <= AP_TASK_RESERVED || state >= AP_TASK_RELEASING) return 0;
    if (!ap_finished_copy(seg, slot, word, &ret->r)) return 0;
    if (ap_task_ended(state)) {
        ret->r.started = ap_load_relaxed(&s->started);
        ret->r.finished = ap_load_relaxed(&s->finished);
        ret->r.code = (uint16_t)-ap_word_code(word);
        ret->r.agent_code = ap_load_relaxed(&s->agent_code);
        ret->r.result_size = ap_load_relaxed(&s->result_size);
        ret->r.queue = (uint16_t)ap_load_relaxed(&s->queue);
        ret->r.attempt = (uint16_t)(ap_word_starts(word) + AP_TRIES_FAILURES(ap_slot_tries(s, word)));
    }
    ap_fence_acquire();
    return ap_load_relaxed(&s->word) == word ? 1 : -1;
}

/* Tasks that are not over, and those that have ended and whose slot nobody has freed: as a record would tell them. */
static bool trace_live(const struct ap_segment *seg, uint32_t slot, struct trace_row *ret)
{
    int r = -1;

    for (int looks = 0; r < 0 && looks < TRACE_LOOKS; looks++) r = trace_copy(seg, slot, ret);
    return r == 1;
}

static void trace_add(struct trace_view *v, const struct trace_row *row)
{
    if (v->count == v->room) {
        v->room = v->room > 0 ? 2 * v->room : 16;
        v->rows = tool_realloc(v->rows, v->room * sizeof *v->rows);
    }
    v->rows[v->count++] = *row;
}

static bool trace_over(const struct trace_view *v, const struct ap_finished *r)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct ap_finished *have = &v->rows[i].r;

        if (is_task(have, (apiary_task_t){.slot = r->slot, .epoch = r->epoch, .generation = r->generation}) &&
            have->how != AP_FINISH_RETRIED && have->how != AP_FINISH_LOST)
            return true;
    }
    return false;
}

/* Of a task: its trace, if it is in one, by its record or as it lives. */
static void trace_of_task(const struct ap_segment *seg, const struct ap_finished *all, size_t n, struct trace_wanted *w)
{
    struct trace_row row;

    for (size_t i = 0; i < n; i++)
        if (is_task(&all[i], w->task) && finished_traced(&all[i])) {
            memcpy(w->trace, all[i].trace, TRACE_ID);
            w->traced = true;
            return;
        }
    if (w->task.slot < seg->geometry.tasks && trace_live(seg, w->task.slot, &row) && is_task(&row.r, w->task) &&
        finished_traced(&row.r)) {
        memcpy(w->trace, row.r.trace, TRACE_ID);
        w->traced = true;
    }
}

static void trace_collect(const struct ap_segment *seg, struct trace_wanted *w, struct trace_view *v)
{
    struct ap_finished *all;
    size_t n = finished_all(seg, &all, &v->lost);
    struct trace_row row;

    if (!w->traced) trace_of_task(seg, all, n, w);
    for (size_t i = 0; i < n; i++)
        if (trace_wants(w, &all[i]))
            trace_add(v, &(struct trace_row){.r = all[i], .from = all[i].queued, .until = all[i].finished});
    free(all);
    for (uint32_t slot = 0; slot < seg->geometry.tasks; slot++) {
        if (!trace_live(seg, slot, &row) || !trace_wants(w, &row.r) || trace_over(v, &row.r)) continue;
        row.from = row.r.queued;
        row.until = row.r.finished >= row.from && row.r.finished != 0 ? row.r.finished : v->now;
        trace_add(v, &row);
    }
}

/* Tasks that are not tried again, and wait in the dead set for somebody to look at. */
static void trace_dead(const struct ap_segment *seg, struct trace_view *v)
{
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_DEAD].count; i++) {
        const struct ap_dead *d = ap_dead_at(seg, i);
        uint64_t life = ap_load_acquire(&d->life);
        apiary_task_t task = {.slot = ap_load_relaxed(&d->slot), .epoch = ap_load_relaxed(&d->epoch),
                              .generation = ap_load_relaxed(&d->generation)};

        if (AP_DEAD_STATE(life) != AP_DEAD_KEPT) continue;
        for (size_t k = 0; k < v->count; k++)
            if (is_task(&v->rows[k].r, task) && v->rows[k].r.how == AP_FINISH_FAILED) v->rows[k].dead = ap_load_relaxed(&d->number);
    }
}

/* ---- the chain ----------------------------------------------------------------------------------------------------- */

static int trace_order(const void *a, const void *b)
{
    const struct trace_row *one = a, *other = b;

    if (one->from != other->from) return one->from < other->from ? -1 : 1;
    if (one->r.attempt != other->r.attempt) return one->r.attempt < other->r.attempt ? -1 : 1;
    return one->until < other->until ? -1 : one->until > other->until;
}

static bool trace_has(const struct trace_view *v, uint64_t span)
{
    for (size_t i = 0; i < v->count; i++)
        if (finished_span(&v->rows[i].r) == span) return true;
    return false;
}

/* Puts the rows below `span` behind those that stand already. A span that is its own ancestor, as in a damaged segment, stands
 * once. */
static void trace_place(struct trace_view *v, struct trace_row *to, size_t *placed, uint64_t span, uint32_t depth)
{
    if (depth == TRACE_DEEPEST) return; /* parents are what callers say: the rest stands behind, as a ring of them does */
    for (size_t i = 0; i < v->count; i++) {
        struct trace_row *row = &v->rows[i];
        uint64_t own = finished_span(&row->r);

        if (row->placed || (depth == 0 ? row->r.parent != 0 && trace_has(v, row->r.parent) : row->r.parent != span)) continue;
        for (size_t k = i; k < v->count; k++) {
            if (v->rows[k].placed || finished_span(&v->rows[k].r) != own) continue;
            v->rows[k].placed = true;
            v->rows[k].depth = depth;
            to[(*placed)++] = v->rows[k];
        }
        trace_place(v, to, placed, own, depth + 1);
    }
}

static void trace_chain(struct trace_view *v)
{
    struct trace_row *to = tool_alloc((v->count + 1) * sizeof *to);
    size_t placed = 0;

    qsort(v->rows, v->count, sizeof *v->rows, trace_order);
    trace_place(v, to, &placed, 0, 0);
    for (size_t i = 0; i < v->count; i++)
        if (!v->rows[i].placed) to[placed++] = v->rows[i]; /* a ring of parents */
    free(v->rows);
    v->rows = to;
    v->from = UINT64_MAX;
    for (size_t i = 0; i < v->count; i++) {
        if (to[i].from < v->from) v->from = to[i].from;
        if (to[i].until > v->until) v->until = to[i].until;
        v->sampled |= (to[i].r.flags & APIARY_TRACE_SAMPLED) != 0;
        v->orphans |= to[i].r.parent != 0 && !trace_has(v, to[i].r.parent);
    }
}

int view_trace(const struct ap_segment *seg, const char *id, struct trace_view *ret)
{
    struct trace_wanted w = {.traced = trace_parse(id, w.trace)};

    *ret = (struct trace_view){.now = seg->ops->now()};
    if (!w.traced && tool_parse_task(id, &w.task) < 0) return APIARY_EINVAL;
    trace_collect(seg, &w, ret);
    if (ret->count == 0) {
        view_trace_free(ret);
        return APIARY_ESTALE;
    }
    if (w.traced) finished_trace(&ret->rows[0].r, ret->trace);
    trace_dead(seg, ret);
    trace_chain(ret);
    return 0;
}

void view_trace_free(struct trace_view *v)
{
    free(v->rows);
    v->rows = NULL;
    v->count = 0;
}

/* ---- as JSON ------------------------------------------------------------------------------------------------------- */

json_t *view_trace_json(const struct ap_segment *seg, const struct trace_view *v)
{
    json_t *list = json_array();

    for (size_t i = 0; i < v->count; i++) {
        json_t *o = finished_json(seg, &v->rows[i].r, true);

        json_object_set_new(o, "depth", json_integer(v->rows[i].depth));
        json_object_set_new(o, "state", v->rows[i].state != NULL ? json_string(v->rows[i].state) : json_null());
        json_object_set_new(o, "dead", v->rows[i].dead != 0 ? tool_json_number(v->rows[i].dead) : json_null());
        json_object_set_new(o, "from_ns", tool_json_number(v->rows[i].from));
        json_object_set_new(o, "until_ns", tool_json_number(v->rows[i].until));
        json_array_append_new(list, o);
    }
    return json_pack("{s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o}", "trace", *v->trace != '\0' ? json_string(v->trace) : json_null(),
                     "sampled", v->sampled, "orphans", v->orphans, "overwritten", tool_json_number(v->lost), "from_ns",
                     tool_json_number(v->from), "until_ns", tool_json_number(v->until), "now_ns", tool_json_number(v->now), "tasks",
                     list);
}

json_t *view_finished_json(const struct ap_segment *seg, bool all, const char *capability, const char *service, uint32_t most)
{
    uint64_t lost, slow = seg->geometry.slow_task * UINT64_C(1000000);
    struct ap_finished *records;
    size_t n = finished_all(seg, &records, &lost);
    json_t *list = json_array();

    for (size_t i = n; i-- > 0 && json_array_size(list) < most;) {
        const struct ap_finished *r = &records[i];
        char text[APIARY_CAPABILITY_MAX + 1], of[APIARY_NAME_MAX + 1], caller[APIARY_NAME_MAX + 1];

        if (!all && r->how == AP_FINISH_DONE && r->finished - r->queued < slow) continue;
        if (capability != NULL && strcmp(finished_capability(seg, r, text), capability) != 0) continue;
        if (service != NULL && strcmp(finished_service(seg, r->queue, of), service) != 0 &&
            strcmp(finished_caller(seg, r, caller), service) != 0)
            continue;
        json_array_append_new(list, finished_json(seg, r, true));
    }
    free(records);
    return json_pack("{s:o, s:o, s:o, s:o}", "now_ns", tool_json_number(seg->ops->now()), "slow_ns", tool_json_number(slow),
                     "overwritten", tool_json_number(lost), "tasks", list);
}
