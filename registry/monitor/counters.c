/* registry/monitor/counters.c - the rows of counters.def, and their samples. See counters.h. */
#include "registry/monitor/counters.h"

#include <stdlib.h>
#include <string.h>

#include "registry/memory/memory.h"
#include "registry/monitor/counters_seen.h"
#include "registry/monitor/supervised.h"
#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "shm/claim.h"

/* A row with its samples: those of one row of the scope at a time. */
struct counters_emitter {
    const struct ap_counters *c;
    const struct ap_counter *row;
    struct ap_counter_sample sample;
    uint32_t own; /* where the row's further labels begin */
    ap_counter_visit_fn visit;
    void *user;
    int rc;
};

static void emit_value(struct counters_emitter *e, uint64_t value)
{
    if (e->rc != 0 || value == AP_NO_VALUE) return;
    e->sample.value = value;
    e->rc = e->visit(e->user, e->row, &e->sample);
}

static void emit_of(struct counters_emitter *e, const char *label, uint64_t value)
{
    e->sample.labels[e->own] = label;
    emit_value(e, value);
}

/* 1 of the one that is `is`. */
static void emit_one_of(struct counters_emitter *e, const char *const *names, uint32_t first, uint32_t end, uint32_t is)
{
    for (uint32_t i = first; i < end; i++) emit_of(e, names[i], i == is);
}

/* ---- several samples of one row */

static void counters_tell_version(struct counters_emitter *e, const struct seen_segment *v)
{
    (void)v;
    emit_of(e, apiary_version(), 1);
}

static void counters_tell_members(struct counters_emitter *e, const struct seen_segment *v)
{
    static const char *const kinds[] = {"", "client", "queen", "daemon", "tool"};

    _Static_assert(sizeof kinds / sizeof *kinds == APIARY_TOOL + 1, "each kind has its name");
    for (uint32_t i = APIARY_CLIENT; i <= APIARY_TOOL; i++) emit_of(e, kinds[i], v->members[i]);
}

static void counters_tell_tasks(struct counters_emitter *e, const struct seen_segment *v)
{
    for (uint32_t i = AP_TASK_RESERVED; i < AP_TASK_STATES; i++) emit_of(e, ap_task_state_name(i), v->tasks[i]);
}

static void counters_tell_monitor(struct counters_emitter *e, const struct seen_segment *v)
{
    if (v->monitor[0] != '\0') emit_of(e, v->monitor, 1);
}

static void counters_tell_blocks(struct counters_emitter *e, const struct seen_pool *v)
{
    static const char *const states[] = {"free", "owned", "request", "kept", "stream", "result"};

    _Static_assert(sizeof states / sizeof *states == AP_BLOCK_RESULT + 1, "each state has its name");
    for (uint32_t i = 0; i <= AP_BLOCK_RESULT; i++) emit_of(e, states[i], v->states[i]);
}

static void counters_tell_ended(struct counters_emitter *e, const struct seen_agent *v)
{
    emit_of(e, "done", v->done);
    emit_of(e, "failed", v->failed);
    emit_of(e, "late", v->late);
    emit_of(e, "crashed", v->crashed);
    emit_of(e, "expired", v->expired);
    emit_of(e, "cancelled", v->cancelled);
}

static void counters_tell_state(struct counters_emitter *e, const struct seen_instance *v)
{
    static const char *const names[] = {"", "starting", "passing", "warning", "critical", "down"};

    _Static_assert(sizeof names / sizeof *names == APIARY_DOWN + 1, "each state has its name");
    emit_one_of(e, names, APIARY_STARTING, APIARY_DOWN + 1, v->status.state);
}

static void counters_tell_mode(struct counters_emitter *e, const struct seen_instance *v)
{
    static const char *const names[] = {"", "ready", "drain", "maint", "pause"};

    _Static_assert(sizeof names / sizeof *names == APIARY_PAUSE + 1, "each mode has its name");
    emit_one_of(e, names, APIARY_READY, APIARY_PAUSE + 1, v->status.mode);
}

static void counters_tell_child(struct counters_emitter *e, const struct seen_supervised *v)
{
    static const char *const names[] = {"",         "starting", "running", "passing", "waiting",
                                        "given up", "leaving",  "stopped", "held"};

    _Static_assert(sizeof names / sizeof *names == AP_CHILD_HELD + 1, "each state has its name");
    emit_one_of(e, names, AP_CHILD_STARTING, AP_CHILD_HELD + 1, v->state);
}

static void counters_tell_targets(struct counters_emitter *e, const struct seen_capability *v)
{
    static const char *const names[AP_TARGETS] = {"success", "p99"};

    for (int i = 0; i < AP_TARGETS; i++)
        if (v->verdict.states[i] != AP_TARGET_NONE) emit_of(e, names[i], (uint64_t)v->verdict.states[i] - AP_TARGET_MET);
}

static void counters_tell_kept(struct counters_emitter *e, const struct seen_capability *v)
{
    static const char *const windows[AP_TARGET_WINDOWS] = {"5m", "1h"};

    for (unsigned i = 0; i < AP_TARGET_WINDOWS; i++)
        if (v->verdict.states[AP_TARGET_P99] != AP_TARGET_NONE) emit_of(e, windows[i], v->verdict.p99[i]);
}

static void counters_tell_processor(struct counters_emitter *e, const struct seen_process *v)
{
    emit_of(e, "user", v->resources.user);
    emit_of(e, "system", v->resources.system);
}

static void counters_tell_switches(struct counters_emitter *e, const struct seen_process *v)
{
    emit_of(e, "voluntary", v->resources.voluntary);
    emit_of(e, "involuntary", v->resources.involuntary);
}

static void counters_tell_priorities(struct counters_emitter *e, const struct seen_capability *v)
{
    emit_of(e, "urgent", ap_load_relaxed(&v->terms->urgent));
    emit_of(e, "high", ap_load_relaxed(&v->terms->high));
    emit_of(e, "low", ap_load_relaxed(&v->terms->low));
}

static void counters_tell_claims(struct counters_emitter *e, const struct seen_segment *v)
{
    (void)v;
#define X(name, what) emit_of(e, #name, ap_claims_count(e->c->seg, AP_CLAIM_COUNT_##name));
    AP_CLAIM_COUNTS(X)
#undef X
}

static uint64_t memory_counted(const struct counters_emitter *e, enum ap_memory_count count)
{
    return ap_memory_count(e->c->seg, count);
}

static void counters_tell_gets(struct counters_emitter *e, const struct seen_segment *v)
{
    (void)v;
    emit_of(e, "hit", memory_counted(e, AP_MEMORY_COUNT_hits));
    emit_of(e, "miss", memory_counted(e, AP_MEMORY_COUNT_misses));
}

static void counters_tell_memory(struct counters_emitter *e, const struct seen_segment *v)
{
    (void)v;
    emit_of(e, "put", memory_counted(e, AP_MEMORY_COUNT_puts));
    emit_of(e, "deleted", memory_counted(e, AP_MEMORY_COUNT_removals));
    emit_of(e, "expired", memory_counted(e, AP_MEMORY_COUNT_expired));
}

static void counters_tell_unwritten(struct counters_emitter *e, const struct seen_segment *v)
{
    (void)v;
    emit_of(e, "room", memory_counted(e, AP_MEMORY_COUNT_refused));
    emit_of(e, "quota", memory_counted(e, AP_MEMORY_COUNT_over_quota));
    emit_of(e, "conflict", memory_counted(e, AP_MEMORY_COUNT_conflicts));
}

static void counters_tell_others(struct counters_emitter *e, const struct seen_segment *v)
{
#define X(id, name, what) emit_of(e, name, v->others[AP_TALLY_##id]);
    AP_TALLIES(X)
#undef X
}

static void emit_times(struct counters_emitter *e, const struct seen_times *v)
{
    uint64_t bounds[SEEN_TIMES];
    const struct ap_counter_histogram h = {.bounds = bounds, .counts = v->counts, .buckets = SEEN_TIMES, .sum = v->sum};

    for (uint32_t i = 0; i < SEEN_TIMES; i++) bounds[i] = UINT64_C(1) << (SEEN_POWER + i);
    e->sample.histogram = &h;
    if (e->rc == 0) e->rc = e->visit(e->user, e->row, &e->sample);
    e->sample.histogram = NULL;
}

static void counters_tell_picks(struct counters_emitter *e, const struct seen_segment *v)
{
#define X(id, name, what) emit_of(e, name, v->costs.picks[AP_PICKED_##id]);
    AP_PICKS(X)
#undef X
}

/* By powers of two. */
static void emit_cost(struct counters_emitter *e, const struct seen_segment *v, enum ap_cost_time kind)
{
    const struct ap_cost_spread *s = &v->costs.times[kind];
    uint64_t bounds[AP_COST_POWERS + 1], counts[AP_COST_POWERS + 2] = {s->buckets[0]};
    const struct ap_counter_histogram h = {.bounds = bounds, .counts = counts, .buckets = AP_COST_POWERS + 1, .sum = s->sum};

    for (uint32_t i = 0; i <= AP_COST_POWERS; i++) bounds[i] = UINT64_C(1) << (ap_cost_power(kind) + i);
    for (uint32_t i = 1; i < AP_COST_BUCKETS; i++) counts[1 + (i - 1) / 4] += s->buckets[i];
    e->sample.histogram = &h;
    if (e->rc == 0) e->rc = e->visit(e->user, e->row, &e->sample);
    e->sample.histogram = NULL;
}

static void counters_tell_searches(struct counters_emitter *e, const struct seen_segment *v)
{
    emit_cost(e, v, AP_COST_SEARCH);
}

static void counters_tell_discoveries(struct counters_emitter *e, const struct seen_segment *v)
{
    emit_cost(e, v, AP_COST_DISCOVER);
}

static void counters_tell_pick_times(struct counters_emitter *e, const struct seen_segment *v)
{
    emit_cost(e, v, AP_COST_PICK);
}

static void counters_tell_recoveries(struct counters_emitter *e, const struct seen_segment *v)
{
    emit_cost(e, v, AP_COST_RECOVER);
}

static void counters_tell_waited(struct counters_emitter *e, const struct seen_agent *v)
{
    emit_times(e, &v->waited);
}

static void counters_tell_ran(struct counters_emitter *e, const struct seen_agent *v)
{
    emit_times(e, &v->ran);
}

/* ---- the table */

/* For each row a function that emits the samples of one row of its scope. */
#define AP_COUNTER(name, type, unit, scope, value, help)                       \
    static void counters_emit_##name(struct counters_emitter *e, const void *at) \
    {                                                                          \
        const struct ap_counters *const c = e->c;                              \
        const struct seen_##scope *const v = at;                               \
                                                                               \
        (void)c, (void)v;                                                      \
        emit_value(e, (value));                                                \
    }
#define AP_COUNTER_BY(name, type, unit, scope, label, how, help)               \
    static void counters_emit_##name(struct counters_emitter *e, const void *at) \
    {                                                                          \
        const struct seen_##scope *const v = at;                               \
                                                                               \
        counters_tell_##how(e, v);                                             \
    }
#include "registry/monitor/counters.def"

/* The labels of a scope stand before the row's own. */
static const char *const scope_labels[AP_SCOPES][AP_COUNTER_LABELS + 1] = {
#define AP_COUNTER_SCOPE(scope, ...) [AP_SCOPE_##scope] = {__VA_ARGS__},
#include "registry/monitor/counters.def"
};
static const size_t scope_sizes[AP_SCOPES] = {
#define AP_COUNTER_SCOPE(scope, ...) [AP_SCOPE_##scope] = sizeof(struct seen_##scope),
#include "registry/monitor/counters.def"
};

static const struct counters_row {
    const char *name, *help, *label; /* the further label, "": none */
    enum ap_counter_type type;
    enum ap_counter_unit unit;
    enum ap_counter_scope scope;
    void (*emit)(struct counters_emitter *e, const void *at);
} counters_rows[] = {
#define AP_COUNTER(name, type, unit, scope, value, help) \
    {#name, help, "", AP_TYPE_##type, AP_UNIT_##unit, AP_SCOPE_##scope, counters_emit_##name},
#define AP_COUNTER_BY(name, type, unit, scope, label, how, help) \
    {#name, help, label, AP_TYPE_##type, AP_UNIT_##unit, AP_SCOPE_##scope, counters_emit_##name},
#include "registry/monitor/counters.def"
};
#define ROWS (sizeof counters_rows / sizeof *counters_rows)

bool ap_counter_at(size_t index, struct ap_counter *ret)
{
    const struct counters_row *row = &counters_rows[index];
    uint32_t n = 0;

    if (index >= ROWS) return false;
    *ret = (struct ap_counter){.name = row->name, .help = row->help, .type = row->type, .unit = row->unit};
    for (; scope_labels[row->scope][n] != NULL; n++) ret->labels[n] = scope_labels[row->scope][n];
    if (*row->label != '\0') ret->labels[n] = row->label;
    return true;
}

/* ---- all of them */

static bool counters_wanted(const char *names, const char *name)
{
    for (const char *at = names; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
        size_t n = strcspn(at, ",");

        if (n > 0 && strncmp(at, name, n) == 0) return true;
    }
    return names == NULL;
}

int ap_counters_take(const struct ap_segment *seg, struct ap_counters **ret)
{
    return ap_counters_take_of(seg, NULL, ret);
}

int ap_counters_take_of(const struct ap_segment *seg, const char *names, struct ap_counters **ret)
{
    struct ap_counters *c = calloc(1, sizeof *c);
    int rc = c != NULL ? 0 : APIARY_ENOBLOCK;

    if (rc == 0) {
        c->seg = seg;
        if (names != NULL && (c->names = strdup(names)) == NULL) rc = APIARY_ENOBLOCK;
        for (size_t i = 0; i < ROWS; i++) c->wanted[counters_rows[i].scope] |= counters_wanted(names, counters_rows[i].name);
        if (rc == 0) rc = ap_counters_see(c);
    }
    if (rc == 0) *ret = c;
    else ap_counters_free(c);
    return rc;
}

void ap_counters_free(struct ap_counters *c)
{
    if (c == NULL) return;
    for (uint32_t i = 0; i < AP_SCOPES; i++) free(c->seen[i].rows);
    free(c->names);
    free(c->oldest);
    ap_swarm_queues_free(&c->queues);
    free(c);
}

/* The samples of one row of the scope. */
static int counters_emit(const struct ap_counters *c, const struct counters_row *row, const struct ap_counter *told, uint32_t index,
                         ap_counter_visit_fn visit, void *user)
{
    const char *at = (const char *)c->seen[row->scope].rows + index * scope_sizes[row->scope];
    const struct seen_labels *labels = (const void *)at;
    struct counters_emitter e = {.c = c, .row = told, .visit = visit, .user = user};

    for (; scope_labels[row->scope][e.own] != NULL; e.own++) e.sample.labels[e.own] = labels->of[e.own];
    row->emit(&e, at);
    return e.rc;
}

int ap_counters_each(const struct ap_counters *c, ap_counter_visit_fn visit, void *user)
{
    struct ap_counter told;
    int rc = 0;

    for (size_t i = 0; rc == 0 && ap_counter_at(i, &told); i++) {
        const struct counters_row *row = &counters_rows[i];

        if (!counters_wanted(c->names, row->name)) continue;
        rc = visit(user, &told, NULL);
        for (uint32_t k = 0; rc == 0 && k < c->seen[row->scope].count; k++) rc = counters_emit(c, row, &told, k, visit, user);
    }
    return rc;
}
