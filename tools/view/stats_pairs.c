/* tools/view/stats_pairs.c - who calls whom, and how that goes. See stats.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/view/stats.h"

const char *stats_success(const uint64_t counts[AP_TALLY_COUNTS_END], char ret[16])
{
    uint64_t ended = counts[AP_TALLY_ENDED], bad = counts[AP_TALLY_BAD] + counts[AP_TALLY_LATE];
    if (ended == 0) return "-";
    /* Rounded down: where something has failed it is never 100. */
    double part = bad < ended ? (double)(ended - bad) / (double)ended : 0;
    snprintf(ret, 16, "%.2f %%", (double)(uint64_t)(part * 10000) / 100);
    return ret;
}

json_t *stats_success_json(const uint64_t counts[AP_TALLY_COUNTS_END])
{
    uint64_t ended = counts[AP_TALLY_ENDED], bad = counts[AP_TALLY_BAD] + counts[AP_TALLY_LATE];
    return ended == 0 ? json_null() : json_real(bad < ended ? (double)(ended - bad) / (double)ended : 0);
}

const char *stats_mean(uint64_t sum, const uint64_t counts[AP_TALLY_COUNTS_END], char ret[32])
{
    uint64_t starts = counts[AP_TALLY_ENDED] + counts[AP_TALLY_RETRIED];
    return starts == 0 ? "-" : tool_format_duration(sum / starts, ret);
}

json_t *stats_mean_json(uint64_t sum, const uint64_t counts[AP_TALLY_COUNTS_END])
{
    uint64_t starts = counts[AP_TALLY_ENDED] + counts[AP_TALLY_RETRIED];
    return starts == 0 ? json_null() : tool_json_number(sum / starts);
}

/* The tasks of a caller for a capability of a service, at all agents of it. */
struct pair {
    const char *caller, *service;
    uint32_t capability;
    uint64_t counts[AP_TALLY_COUNTS_END], refused;
};

static int pair_order(const void *x, const void *y)
{
    const struct pair *a = x, *b = y;
    int r = strcmp(a->caller, b->caller);
    if (r == 0) r = strcmp(a->service, b->service);
    return r != 0 ? r : a->capability < b->capability ? -1 : a->capability > b->capability;
}

/* Pairs of one name, which stand together, become one. How many are left. */
static size_t pairs_add(struct pair *pairs, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (n == 0 || pair_order(&pairs[n - 1], &pairs[i]) != 0) {
            pairs[n++] = pairs[i];
            continue;
        }
        for (int k = 0; k < AP_TALLY_COUNTS_END; k++) pairs[n - 1].counts[k] += pairs[i].counts[k];
        pairs[n - 1].refused += pairs[i].refused;
    }
    return n;
}

/* A delegation that was refused had no provider yet: its service is "-". The list is to be freed. */
static struct pair *pairs_of(const struct stats *s, size_t *n)
{
    struct pair *pairs = tool_alloc((s->tally_count + 1) * sizeof *pairs);
    *n = 0;
    for (size_t i = 0; i < s->tally_count; i++) {
        const struct ap_tally *t = &s->tallies[i];
        const struct stats_agent *agent = stats_agent_of(s, t->name.queue);
        struct pair *p = &pairs[*n];
        if (t->name.kind != AP_TALLY_PAIR && t->name.kind != AP_TALLY_REFUSED) continue;
        *p = (struct pair){.caller = t->name.caller, .service = "-", .capability = t->name.capability};
        if (t->name.kind == AP_TALLY_PAIR) {
            p->service = agent != NULL ? agent->agent.swarm.service : "?";
            memcpy(p->counts, t->counts, sizeof p->counts);
        } else {
            p->refused = t->counts[AP_TALLY_ENDED];
        }
        ++*n;
    }
    qsort(pairs, *n, sizeof *pairs, pair_order);
    *n = pairs_add(pairs, *n);
    return pairs;
}

static void pair_line(struct tool_table *table, const struct ap_segment *seg, const struct pair *p)
{
    char capability[APIARY_CAPABILITY_MAX + 1], ended[24], failed[24], refused[24], good[16], waited[32], ran[32], in[32], out[32];
    ap_capability_name(seg, p->capability, capability);
    snprintf(ended, sizeof ended, "%" PRIu64, p->counts[AP_TALLY_ENDED]);
    snprintf(failed, sizeof failed, "%" PRIu64, p->counts[AP_TALLY_BAD] + p->counts[AP_TALLY_LATE]);
    snprintf(refused, sizeof refused, "%" PRIu64, p->refused);
    tool_table_add(table, (const char *const[]){p->caller, p->service, capability[0] != '\0' ? capability : "-", ended, failed,
                                                stats_success(p->counts, good), refused,
                                                stats_mean(p->counts[AP_TALLY_WAITED], p->counts, waited),
                                                stats_mean(p->counts[AP_TALLY_RAN], p->counts, ran),
                                                tool_format_bytes(p->counts[AP_TALLY_IN], in),
                                                tool_format_bytes(p->counts[AP_TALLY_OUT], out)});
}

void stats_pairs_print(const struct ap_segment *seg, const struct stats *s)
{
    size_t n;
    struct pair *pairs = pairs_of(s, &n);
    struct tool_table *table = tool_table_new((const char *const[]){"caller", "service", "capability", ">tasks", ">failed",
                                                                    ">success", "?>refused", ">waited", ">ran", "?>in", "?>out",
                                                                    NULL});
    for (size_t i = 0; i < n; i++) pair_line(table, seg, &pairs[i]);
    tool_table_print(table, stdout);
    free(pairs);
}

void stats_pairs_rows(const struct ap_segment *seg, const struct stats *s, view_row_fn visit, void *user)
{
    static const char *const counts[] = {
#define X(id, name, what) name,
        AP_TALLY_COUNTS(X)
#undef X
    };
    size_t n;
    struct pair *pairs = pairs_of(s, &n);
    for (size_t i = 0; i < n; i++) {
        char capability[APIARY_CAPABILITY_MAX + 1];
        ap_capability_name(seg, pairs[i].capability, capability);
        json_t *o = json_object();
        json_object_set_new(o, "caller", tool_json_text(pairs[i].caller));
        json_object_set_new(o, "service", pairs[i].service[0] != '-' ? tool_json_text(pairs[i].service) : json_null());
        json_object_set_new(o, "capability", capability[0] != '\0' ? tool_json_text(capability) : json_null());
        for (int k = 0; k < AP_TALLY_COUNTS_END; k++)
            json_object_set_new(o, k == AP_TALLY_WAITED ? "waited_ns" : k == AP_TALLY_RAN ? "ran_ns" : counts[k],
                                tool_json_number(pairs[i].counts[k]));
        json_object_set_new(o, "refused", tool_json_number(pairs[i].refused));
        json_object_set_new(o, "success", stats_success_json(pairs[i].counts));
        json_object_set_new(o, "mean_waited_ns", stats_mean_json(pairs[i].counts[AP_TALLY_WAITED], pairs[i].counts));
        json_object_set_new(o, "mean_ran_ns", stats_mean_json(pairs[i].counts[AP_TALLY_RAN], pairs[i].counts));
        visit(user, o);
    }
    free(pairs);
}
