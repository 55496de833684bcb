/* tools/apiary/history.c - apiary history: what was counted over the last week, as the coordinator has kept it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/apiary/apiary.h"
#include "tools/apiary/where.h"
#include "tools/common/event.h"
#include "tools/common/spread.h"
#include "tools/common/state.h"
#include "tools/view/past.h"

#define MSEC INT64_C(1000000)

/* ---- a table -------------------------------------------------------------------------------------------------------- */

struct printed {
    struct tool_table *table;
    double percentile;
    struct past_gap *gaps;
    size_t gap_count, gap_room, gap_next;
    bool some;
};

static const char *history_count(uint64_t n, char ret[24])
{
    if (n == PAST_UNKNOWN) return "-";
    snprintf(ret, 24, "%" PRIu64, n);
    return ret;
}

static const char *success_text(const struct past_row *r, char ret[24])
{
    uint64_t ended = r->numbers[PAST_DONE] + r->numbers[PAST_FAILED];

    if (ended == 0) return "-";
    snprintf(ret, 24, "%.2f %%", 100.0 * (double)r->numbers[PAST_DONE] / (double)ended);
    return ret;
}

static const char *pace_text(const struct past_row *r, int64_t watched, char ret[24])
{
    uint64_t ended = r->numbers[PAST_DONE] + r->numbers[PAST_FAILED];

    if (watched <= 0) return "-";
    snprintf(ret, 24, "%.1f/s", (double)ended * 1000.0 / (double)watched);
    return ret;
}

/* The gaps that begin before this time, each as a line of its own. */
static void print_gaps(struct printed *p, int64_t before)
{
    for (; p->gap_next < p->gap_count && p->gaps[p->gap_next].from < before; p->gap_next++) {
        const struct past_gap *g = &p->gaps[p->gap_next];
        char time[32], span[32];
        char *said = tool_format("nobody looked for %s", tool_format_duration((uint64_t)((g->to - g->from) * MSEC), span));

        tool_table_add(p->table, (const char *const[]){tool_format_time((uint64_t)(g->from * MSEC), time), "-", "-", "-", "-", "-",
                                                       "-", "-", "-", "-", "-", said});
        free(said);
    }
}

static bool print_step(void *user, const struct past_step *step)
{
    struct printed *p = user;
    struct past_row *all = tool_alloc(sizeof *all);
    char time[32], texts[5][24], times[4][32], rate[24];
    uint64_t queued = 0, running = 0;

    past_row_clear(all);
    for (size_t i = 0; i < step->count; i++) {
        const uint64_t *n = step->rows[i].numbers;

        if (n[PAST_QUEUED] != PAST_UNKNOWN) queued += n[PAST_QUEUED];
        if (n[PAST_RUNNING] != PAST_UNKNOWN) running += n[PAST_RUNNING];
        past_row_add(all, &step->rows[i]);
    }
    print_gaps(p, step->at);
    tool_table_add(p->table, (const char *const[]){
        tool_format_time((uint64_t)(step->at * MSEC), time), history_count(all->numbers[PAST_DONE], texts[0]),
        history_count(all->numbers[PAST_FAILED], texts[1]), success_text(all, texts[2]), pace_text(all, step->watched, rate),
        tool_spread_text(&all->waited, 0.5, times[0]), tool_spread_text(&all->waited, p->percentile, times[1]),
        tool_spread_text(&all->ran, 0.5, times[2]), tool_spread_text(&all->ran, p->percentile, times[3]),
        history_count(queued, texts[3]), history_count(running, texts[4]), ""});
    p->some = true;
    free(all);
    return true;
}

static void print_gap(void *user, const struct past_gap *gap)
{
    struct printed *p = user;

    if (p->gap_count == p->gap_room) {
        p->gap_room = p->gap_room > 0 ? 2 * p->gap_room : 16;
        p->gaps = tool_realloc(p->gaps, p->gap_room * sizeof *p->gaps);
    }
    p->gaps[p->gap_count++] = *gap;
}

static int history_print(const struct tool *t, const char *folder, const struct view_past *asked, const char *percentile)
{
    char why[HISTORY_WHY], *heads[2] = {tool_format(">waited p50"), tool_format(">ran p50")}, *p = tool_format(">p%s", percentile);
    struct printed printed = {.percentile = strtod(percentile, NULL) / 100};
    const struct past_reader reader = {print_step, print_gap, &printed};
    struct past_wanted wanted;
    struct past_told told;
    int rc;

    printed.table = tool_table_new((const char *const[]){"=until", ">done", ">failed", "?>success", ">rate", heads[0], p, heads[1],
                                                         p, "?>queued", "?>running", "note", NULL});
    view_past_wanted(asked, &wanted);
    rc = past_read(folder, &wanted, &reader, &told, why);
    if (rc > 0) print_gaps(&printed, INT64_MAX);
    tool_table_print(printed.table, stdout);
    free(printed.gaps);
    free(heads[0]);
    free(heads[1]);
    free(p);
    if (rc < 0) return tool_fail(t, TOOL_FAILED, "%s", why);
    if (rc == 0) return tool_fail(t, TOOL_FAILED, "nothing is kept in %s yet; apiaryd keeps it", folder);
    if (told.step > wanted.step) tool_warn(t, "finer steps than of %" PRId64 " s are not kept so long", told.step / 1000);
    if (!printed.some) tool_warn(t, "nothing was kept in that time");
    return TOOL_OK;
}

/* ---- the command ---------------------------------------------------------------------------------------------------- */

static const struct tool_usage usage = {
    .command = "history",
    .arguments = "[SERVICE]",
    .what = "Shows what was counted over the last week, as apiaryd has kept it: of each step what ended, and how long tasks\n"
            "waited and ran; of queued and running tasks the most. Times in which nobody looked are told as such.",
    .more = "Steps of 10 s are kept for two hours, of 1 min for a day, of 10 min for eight days.",
    .most = 1,
    .json = true,
    .table = true,
};

static int history_json(const struct tool *t, const char *folder, const struct view_past *asked)
{
    char why[HISTORY_WHY];
    json_t *o = view_past_json(tool_segment(t, NULL), folder, asked, why);
    bool bad = *why != '\0';
    int rc = tool_json_print(o);

    return bad ? tool_fail(t, TOOL_FAILED, "%s", why) : rc;
}

/* Where the living coordinator keeps it, else where one would. To be freed; NULL: this user has no home. */
static char *history_folder(const struct tool *t, const char *state)
{
    apiary_attach_options_t options = {.struct_size = sizeof options, .kind = APIARY_TOOL, .read_only = true};
    char why[HISTORY_WHY] = "", *folder = NULL;
    apiary_t *a = NULL;

    if (state == NULL && apiary_attach(tool_segment(t, NULL), &options, &a) == 0) {
        folder = events_where(a, why);
        apiary_detach(a);
    }
    if (*why != '\0') tool_warn(t, "where the apiaryd that runs keeps the history is not known here: %s", why);
    return folder != NULL ? folder : tool_state_find(state, tool_segment(t, NULL), PAST_FILE);
}

static bool percentile_good(const char *text)
{
    char *end;
    double p = strtod(text, &end);

    return end != text && *end == '\0' && p >= 50 && p <= 99.99;
}

static int history_time(const struct tool *t, const char *option, const char *text, uint64_t *ret)
{
    if (text == NULL || event_since(text, ret) == 0) return TOOL_OK;
    return tool_usage_error(t, &usage, "%s: '%s' is neither a span ('90s', '10m', '1h') nor a time ('2025-01-31T12:00:00Z')",
                            option, text);
}

int cmd_history(struct tool *t, int argc, char **argv)
{
    const char *since = NULL, *until = NULL, *step = NULL, *of = NULL, *percentile = "99", *state = NULL, *after = NULL;
    struct view_past asked = {.most = VIEW_PAST_STEPS};
    const struct tool_option options[] = {
        {.name = "since", .argument = "TIME", .what = "from then on: a span such as 10m [1h], or 2025-01-31T12:00 (with Z: of UTC)",
         .value = &since},
        {.name = "until", .argument = "TIME", .what = "until then, as above [now]", .value = &until},
        {.name = "step", .argument = "TIME", .what = "so long a time in each line (10s, 1m) [a 300th of all]", .value = &step},
        {.name = "percentile", .argument = "P", .what = "50 to 99.99 [99]", .value = &percentile},
        {.name = "of", .argument = "ROWS", .what = "with --json: services, agents or pairs [services]", .value = &of},
        {.name = "after", .argument = "NUMBER", .what = "with --json: the 'next' of the answer before", .value = &after},
        {.name = "state", .argument = "DIR",
         .what = "apiaryd's folder [that of the one that runs, else as 'apiary events' finds it]", .value = &state},
        {.name = NULL},
    };
    char *folder;
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    if (argc > 0) asked.service = argv[0];
    rc = history_time(t, "--since", since, &asked.since);
    if (rc == TOOL_OK) rc = history_time(t, "--until", until, &asked.until);
    if (rc != TOOL_OK) return rc;
    if (step != NULL && tool_duration(step, &asked.step) < 0) return tool_usage_error(t, &usage, "--step: '%s' is no time", step);
    if (!percentile_good(percentile))
        return tool_usage_error(t, &usage, "--percentile: '%s' is no number from 50 to 99.99", percentile);
    if (of != NULL && !past_kind_of(of, &asked.kind))
        return tool_usage_error(t, &usage, "--of: '%s' is none; services, agents and pairs are", of);
    if (after != NULL && !tool_revision(after, &asked.after))
        return tool_usage_error(t, &usage, "--after: '%s' is no number", after);
    if ((of != NULL || after != NULL) && !t->json) return tool_usage_error(t, &usage, "--of and --after are for --json");
    folder = history_folder(t, state);
    if (folder == NULL) return tool_fail(t, TOOL_FAILED, "this user has no home; name a folder with --state");
    rc = t->json ? history_json(t, folder, &asked) : history_print(t, folder, &asked, percentile);
    free(folder);
    return tool_finish(t, rc);
}
