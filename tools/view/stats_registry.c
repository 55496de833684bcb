/* tools/view/stats_registry.c - what the registry does itself: picks by their reason, how long finding, picking and recovering
 * take, events by kind. See stats.h. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "tools/view/stats.h"

static const char *const picked_as[AP_PICKS_END] = {
#define X(id, name, what) name,
    AP_PICKS(X)
#undef X
};
static const char *const took[AP_COST_TIMES_END] = {
#define X(id, name, power, what) name,
    AP_COST_TIMES(X)
#undef X
};
static const char *const events[AP_EVENT_KINDS] = {
#define X(name, text, a, b, c) [AP_EVENT_##name] = #name,
    AP_EVENTS(X)
#undef X
};

/* "task-requeued". */
static const char *event_name(uint32_t kind, char ret[32])
{
    snprintf(ret, 32, "%s", events[kind]);
    for (char *p = ret; *p != '\0'; p++) *p = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
    return ret;
}

static json_t *cost_quantile_json(const struct ap_cost_spread *s, enum ap_cost_time kind, double q)
{
    return ap_cost_count(s) > 0 ? tool_json_number(ap_cost_quantile(s, kind, q)) : json_null();
}

json_t *stats_registry_json(const struct stats *s)
{
    json_t *o = json_object(), *picks = json_object(), *times = json_object(), *counts = json_object();
    char name[32];
    for (int i = 0; i < AP_PICKS_END; i++) json_object_set_new(picks, picked_as[i], tool_json_number(s->costs.picks[i]));
    for (int i = 0; i < AP_COST_TIMES_END; i++) {
        const struct ap_cost_spread *t = &s->costs.times[i];
        uint64_t count = ap_cost_count(t);
        json_object_set_new(times, took[i],
                            json_pack("{s:o, s:o, s:o, s:o, s:o}", "measured", tool_json_number(count), "mean_ns",
                                      count > 0 ? tool_json_number(t->sum / count) : json_null(), "p50_ns",
                                      cost_quantile_json(t, i, 0.5), "p99_ns", cost_quantile_json(t, i, 0.99), "max_ns",
                                      cost_quantile_json(t, i, 1)));
    }
    for (uint32_t i = 1; i < AP_EVENT_KINDS; i++)
        if (s->costs.events[i] > 0)
            json_object_set_new(counts, event_name(i, name), tool_json_number(s->costs.events[i]));
    json_object_set_new(o, "picks", picks);
    json_object_set_new(o, "times", times);
    json_object_set_new(o, "events", counts);
    return o;
}

static const char *cost_text(const struct ap_cost_spread *s, enum ap_cost_time kind, double q, char ret[32])
{
    uint64_t count = ap_cost_count(s);
    if (count == 0) return "-";
    return tool_format_duration(q < 0 ? s->sum / count : ap_cost_quantile(s, kind, q), ret);
}

static void print_costs(const struct stats *s)
{
    static const char *const what[AP_COST_TIMES_END] = {
#define X(id, name, power, what) what,
        AP_COST_TIMES(X)
#undef X
    };
    struct tool_table *table = tool_table_new(
        (const char *const[]){"registry", ">measured", ">mean", ">p50", ">p99", ">max", NULL});
    for (int i = 0; i < AP_COST_TIMES_END; i++) {
        const struct ap_cost_spread *t = &s->costs.times[i];
        char count[24], times[4][32];
        snprintf(count, sizeof count, "%" PRIu64, ap_cost_count(t));
        tool_table_add(table, (const char *const[]){what[i], count, cost_text(t, i, -1, times[0]), cost_text(t, i, 0.5, times[1]),
                                                    cost_text(t, i, 0.99, times[2]), cost_text(t, i, 1, times[3])});
    }
    tool_table_print(table, stdout);
}

/* "picked: only 12, policy 30"; nothing of what did not happen. */
static void print_counts(const char *what, const char *const *names, const uint64_t *counts, int n, bool of_events)
{
    char name[32];
    bool some = false;
    for (int i = 0; i < n; i++) {
        if (counts[i] == 0 || names[i] == NULL) continue;
        printf("%s%s %" PRIu64, some ? ", " : what, of_events ? event_name((uint32_t)i, name) : names[i], counts[i]);
        some = true;
    }
    if (some) putchar('\n');
}

void stats_registry_print(const struct stats *s)
{
    print_costs(s);
    print_counts("picked: ", picked_as, s->costs.picks, AP_PICKS_END, false);
    print_counts("events: ", events, s->costs.events, AP_EVENT_KINDS, true);
}

void stats_registry_since(struct ap_costs *costs, const struct ap_costs *before)
{
    /* One that is smaller than before is of another segment. */
    for (int i = 0; i < AP_PICKS_END; i++)
        if (costs->picks[i] >= before->picks[i]) costs->picks[i] -= before->picks[i];
    for (int i = 0; i < AP_EVENT_KINDS; i++)
        if (costs->events[i] >= before->events[i]) costs->events[i] -= before->events[i];
    for (int k = 0; k < AP_COST_TIMES_END; k++) {
        struct ap_cost_spread *t = &costs->times[k];
        const struct ap_cost_spread *b = &before->times[k];
        if (t->sum >= b->sum) t->sum -= b->sum;
        for (uint32_t i = 0; i < AP_COST_BUCKETS; i++)
            if (t->buckets[i] >= b->buckets[i]) t->buckets[i] -= b->buckets[i];
    }
}
