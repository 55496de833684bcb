/* tools/apiary/stats.c - apiary stats: how long tasks wait and run at each agent, how they end, who calls whom. */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "tools/apiary/apiary.h"
#include "tools/common/spread.h"
#include "tools/view/stats.h"

#define NSEC UINT64_C(1000000000)

/* ---- agents ----------------------------------------------------------------------------------------------------- */

/* Per second; "-" without an interval. */
static const char *rate_text(uint64_t count, uint64_t span, char ret[24])
{
    if (span == 0) return "-";
    snprintf(ret, 24, "%.1f/s", (double)count * (double)NSEC / (double)span);
    return ret;
}

static const char *stats_number(uint64_t n, char ret[24])
{
    snprintf(ret, 24, "%" PRIu64, n);
    return ret;
}

static const char *instance_text(const struct stats_agent *a, char ret[2 * APIARY_NAME_MAX + 2])
{
    snprintf(ret, 2 * APIARY_NAME_MAX + 2, "%s/%s", a->agent.swarm.service, a->agent.swarm.instance);
    return ret;
}

/* "-": it is not known, as physical memory without jemalloc, or the agent is gone. */
static const char *heap_text(const struct stats_agent *a, uint64_t bytes, char ret[32])
{
    return a->agent.open && bytes != UINT64_MAX ? tool_format_bytes(bytes, ret) : "-";
}

static void agent_row(struct tool_table *table, const struct stats_agent *a, uint64_t span)
{
    char name[2 * APIARY_NAME_MAX + 2], age[32], numbers[8][24], rate[24], heap[2][32];
    tool_table_add(table, (const char *const[]){instance_text(a, name), a->agent.name, stats_number(a->agent.depth, numbers[0]),
                                                a->oldest != 0 ? tool_format_duration(a->oldest, age) : "-",
                                                stats_number(a->times.waited.count, numbers[1]),
                                                stats_number(a->agent.counts.done, numbers[2]),
                                                stats_number(a->agent.counts.failed, numbers[3]),
                                                stats_number(a->retried, numbers[4]),
                                                stats_number(a->times.lost, numbers[5]), stats_number(a->crashed, numbers[6]),
                                                stats_number(a->times.ejected, numbers[7]),
                                                heap_text(a, a->times.heap, heap[0]), heap_text(a, a->times.resident, heap[1]),
                                                rate_text(a->times.ran.count, span, rate)});
}

static void print_agents(const struct stats *s)
{
    struct tool_table *table = tool_table_new(
        (const char *const[]){"instance", "agent", ">queued", ">oldest", ">started", ">done", ">failed", "?>retried", "?>lost",
                              "?>crashed", "?>ejected", "?>heap", "?>resident", s->span != 0 ? ">rate" : "?>rate", NULL});
    for (size_t i = 0; i < s->agent_count; i++) agent_row(table, &s->agents[i], s->span);
    tool_table_print(table, stdout);
}

static void times_row(struct tool_table *table, const struct stats_agent *a)
{
    static const double qs[] = {0.5, 0.95, 0.99, 0.999, 1};
    char name[2 * APIARY_NAME_MAX + 2], times[10][32];
    const char *cells[12] = {instance_text(a, name), a->agent.name};
    for (int i = 0; i < 5; i++) {
        cells[2 + i] = tool_spread_text(&a->times.waited, qs[i], times[i]);
        cells[7 + i] = tool_spread_text(&a->times.ran, qs[i], times[5 + i]);
    }
    tool_table_add(table, cells);
}

static void print_times(const struct stats *s)
{
    struct tool_table *table = tool_table_new((const char *const[]){"instance", "agent", ">waited p50", "?>p95", ">p99", "?>p99.9",
                                                                    ">max", ">ran p50", "?>p95", ">p99", "?>p99.9", ">max", NULL});
    for (size_t i = 0; i < s->agent_count; i++) times_row(table, &s->agents[i]);
    tool_table_print(table, stdout);
}

/* ---- capabilities ------------------------------------------------------------------------------------------------ */

static char *code_text(const struct ap_tally_name *name)
{
    const char *error = apiary_error_name(name->code);
    return name->code == APIARY_EAGENT ? tool_format("%s %" PRIu32, error, name->agent_code) : tool_strdup(error);
}

/* "12 EAGENT 404, 3 ETIMEDOUT"; to be freed. */
static char *codes_text(const struct stats *s, uint32_t queue, uint32_t capability)
{
    size_t n;
    const struct ap_tally *all = stats_tallies_of(s, AP_TALLY_FAILED, queue, capability, &n);
    char *ret = tool_strdup("");
    for (size_t i = 0; i < n; i++) {
        const struct ap_tally *t = &all[i];
        if (t->counts[AP_TALLY_ENDED] == 0) continue;
        char *code = code_text(&t->name);
        char *longer = tool_format("%s%s%" PRIu64 " %s", ret, *ret != '\0' ? ", " : "", t->counts[AP_TALLY_ENDED], code);
        free(code);
        free(ret);
        ret = longer;
    }
    return ret;
}

static void capability_row(struct tool_table *table, const struct ap_segment *seg, const struct stats *s,
                           const struct stats_agent *a, uint32_t capability)
{
    uint64_t counts[AP_TALLY_COUNTS_END];
    char instance[2 * APIARY_NAME_MAX + 2], what[APIARY_CAPABILITY_MAX + 1], numbers[3][24], good[16];
    char waited[32], ran[32], rate[24];
    if (!stats_capability_counts(s, a->agent.queue, capability, counts)) return;
    char *codes = codes_text(s, a->agent.queue, capability);
    ap_capability_name(seg, capability, what);
    tool_table_add(table, (const char *const[]){instance_text(a, instance), a->agent.name, what,
                                                stats_number(counts[AP_TALLY_ENDED], numbers[0]),
                                                stats_number(counts[AP_TALLY_BAD] + counts[AP_TALLY_LATE], numbers[1]),
                                                stats_number(counts[AP_TALLY_RETRIED], numbers[2]), stats_success(counts, good),
                                                rate_text(counts[AP_TALLY_ENDED], s->span, rate),
                                                stats_mean(counts[AP_TALLY_WAITED], counts, waited),
                                                stats_mean(counts[AP_TALLY_RAN], counts, ran), *codes != '\0' ? codes : "-"});
    free(codes);
}

static void print_capabilities(const struct ap_segment *seg, const struct stats *s)
{
    struct tool_table *table = tool_table_new(
        (const char *const[]){"?instance", "agent", "capability", ">tasks", ">failed", "?>retried", ">success",
                              s->span != 0 ? ">rate" : "?>rate", ">waited", ">ran", "failed with", NULL});
    for (size_t i = 0; i < s->agent_count; i++)
        for (uint32_t k = 0; k < s->agents[i].agent.capability_count; k++)
            capability_row(table, seg, s, &s->agents[i], s->agents[i].agent.capabilities[k]);
    tool_table_print(table, stdout);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void print_refusals(const struct ap_segment *seg, const struct stats *s)
{
    for (size_t i = 0; i < s->tally_count; i++) {
        const struct ap_tally *t = &s->tallies[i];
        char capability[APIARY_CAPABILITY_MAX + 1];
        if (t->name.kind != AP_TALLY_REFUSED || t->counts[AP_TALLY_ENDED] == 0) continue;
        ap_capability_name(seg, t->name.capability, capability);
        printf("refused: %s of caller '%s': %" PRIu64 " times %s\n", capability[0] != '\0' ? capability : "an unknown capability",
               t->name.caller, t->counts[AP_TALLY_ENDED], apiary_error_name(t->name.code));
    }
}

static void print_others(const struct stats *s)
{
    uint64_t n = s->others[AP_TALLY_PAIR] + s->others[AP_TALLY_FAILED] + s->others[AP_TALLY_REFUSED];
    if (n == 0) return;
    printf("%" PRIu64 " more (tasks %" PRIu64 ", failures %" PRIu64 ", refusals %" PRIu64 ") are not told apart: the table of "
           "counts is full, or an agent has failed with too many codes; see tally_rows in apiary.yaml(5)\n", n,
           s->others[AP_TALLY_PAIR], s->others[AP_TALLY_FAILED], s->others[AP_TALLY_REFUSED]);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static const struct tool_usage stats_usage = {
    .command = "stats",
    .arguments = "[SERVICE|CAPABILITY]",
    .what = "Shows how long tasks have waited and run at each agent, how they ended, and who was refused what.",
    .more = "The counts are those since the agents are known to the segment, whoever has died since. A time is told to 6 %.\n"
            "A ratio of tasks of which there were none is shown as \"-\".",
    .most = 1,
    .json = true,
    .table = true,
};

static int stats_show(const struct tool *t, const struct ap_segment *seg, const struct stats *s, const char *of, bool pairs)
{
    if (of != NULL && s->agent_count == 0 && s->tally_count == 0)
        return tool_fail(t, TOOL_NO_PROVIDER, "stats: nothing is known of '%s'; 'apiary services' lists the services", of);
    if (t->json) return tool_json_print(stats_json(seg, tool_segment(t, NULL), s, pairs));
    if (pairs) {
        stats_pairs_print(seg, s);
    } else {
        print_agents(s);
        putchar('\n');
        print_times(s);
        putchar('\n');
        print_capabilities(seg, s);
        print_refusals(seg, s);
        if (of == NULL) {
            putchar('\n');
            stats_registry_print(s);
        }
    }
    print_others(s);
    return TOOL_OK;
}

int cmd_stats(struct tool *t, int argc, char **argv)
{
    const char *interval = NULL, *of;
    bool pairs = false;
    uint64_t span = 0;
    const struct tool_option options[] = {
        {.name = "pairs", .what = "who calls whom: a row for each caller, service and capability", .flag = &pairs},
        {.name = "interval", .argument = "TIME", .what = "count for so long, and show only that (1s, 1m)", .value = &interval},
        {.name = NULL},
    };
    int rc = tool_parse(t, &stats_usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (interval != NULL && (tool_duration(interval, &span) < 0 || span == 0 || span / 1000000 > 86400000))
        return tool_usage_error(t, &stats_usage, "--interval: '%s' is no time, or longer than a day", interval);
    of = argc > 0 ? argv[0] : NULL;
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    struct stats before = {.agents = NULL}, now;
    if (span != 0) {
        stats_take(a->seg, of, &before);
        poll(NULL, 0, (int)(span / 1000000));
    }
    stats_take(a->seg, of, &now);
    if (span != 0) stats_since(&now, &before);
    rc = stats_show(t, a->seg, &now, of, pairs);
    stats_free(&before);
    stats_free(&now);
    apiary_detach(a);
    return tool_finish(t, rc);
}
