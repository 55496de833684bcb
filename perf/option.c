/* perf/option.c - see option.h. Each setting is counted alone and compared with a task without options of the same run. The
 * steps are those of step.c: a worker's own part, as looking at timers, is not among them. */
#include "perf/option.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "perf/step.h"

#define HOUR UINT64_C(3600000000000)
#define ROW(title, text, ...) {.name = title, .what = text, .options.struct_size = sizeof(apiary_delegate_options_t), __VA_ARGS__}

const struct perf_option perf_options_table[] = {
    ROW("none", "a task without options", .major = false),
    ROW("options", "options, of which none is set", .set = true),
    ROW("timeout", "a timeout of its own", .options.timeout = HOUR),
    ROW("wait", "it waits for a provider, and there is one", .options.flags = APIARY_WAIT_FOR_PROVIDER),
    ROW("detach", "fire and forget: nobody collects it", .options.flags = APIARY_DETACH),
    ROW("hops", "fewer hops than 32", .options.hops = 5),
    ROW("trace", "a trace", .options.trace = {.trace_id = {1}, .parent_id = {1}, .flags = 1}),
    ROW("key", "a key, with one provider", .options.key = 7, .terms.balance = AP_POLICY_keyed + 1),
    ROW("delay", "a delay that is over when somebody looks", .options.delay = 1),
    ROW("retry", "a policy, and no failure", .options.retry.max_attempts = 3),
    ROW("keep", "its result is kept, and fetched", .options.flags = APIARY_DETACH, .options.keep = HOUR, .fetched = true),
    ROW("schedule_to_start", "a time for its first start", .options.schedule_to_start = HOUR),
    ROW("start_to_close", "a time for each attempt", .options.start_to_close = HOUR),
    ROW("heartbeat", "a time between beats", .options.heartbeat = HOUR),
    ROW("hedge", "a hedge whose time does not come", .options.hedge = HOUR, .terms.idempotent = 1 + 1),
    ROW("dedup_key", "a key of which no other task is in flight", .options.dedup_key = 7),
    ROW("priority", "it is urgent, and waits alone", .options.priority = APIARY_PRIORITY_URGENT),
    ROW("priority_declared", "the capability has its tasks urgent", .terms.priority = AP_RANK_URGENT + 1),
    ROW("idempotent", "the capability is, and nobody asks for a hedge", .terms.idempotent = 1 + 1),
    ROW("hedge_declared", "the capability has its tasks hedged, and the time does not come", .terms.idempotent = 1 + 1,
        .terms.hedge = HOUR / 2 + 1),
    ROW("rate", "the capability has a rate", .terms.rate = 1000000000 + 1, .terms.burst = 1000000 + 1),
    ROW("queue_limit", "the capability has a bound of what waits", .terms.queue_limit = 1000000 + 1),
    ROW("majors", "a bare name, whose newest major is asked", .major = true),
    ROW("bare", "a bare name that means one major", .terms.bare = AP_BARE_MAJOR(1) + 1, .major = true),
    {.name = NULL},
};

static const enum perf_step steps[] = {PERF_SUBMIT, PERF_CLAIM, PERF_COMPLETE, PERF_COLLECT};
#define STEPS (sizeof steps / sizeof steps[0])

static void print_row(const struct perf_option *o, const double counted[STEPS], const double none[STEPS], bool first)
{
    double sum = 0, base = 0;

    for (size_t s = 0; s < STEPS; s++) {
        sum += counted[s];
        base += none[s];
    }
    printf("| %s | %s |", o->name, o->what);
    for (size_t s = 0; s < STEPS; s++) printf(first ? " %.0f |" : " %+.0f |", first ? counted[s] : counted[s] - none[s]);
    printf(first ? " %.0f | |\n" : " %+.0f | %+.0f %% |\n", first ? sum : sum - base, (sum - base) * 100 / base);
}

static void print_json(const struct perf_option *o, const double counted[STEPS], bool first)
{
    printf("%s\n  {\"option\": \"%s\"", first ? "" : ",", o->name);
    for (size_t s = 0; s < STEPS; s++) printf(", \"%s\": %.1f", perf_step_name(steps[s]), counted[s]);
    printf("}");
}

int perf_option_main(bool json)
{
    double of_step[STEPS][sizeof perf_options_table / sizeof perf_options_table[0]], none[STEPS], counted[STEPS];
    time_t now = time(NULL);
    char why[160], date[16];

    for (size_t s = 0; s < STEPS; s++) {
        if (perf_step_count_options(steps[s], of_step[s], why, sizeof why)) continue;
        fprintf(stderr, "apiary-perf: %s: %s\n", perf_step_name(steps[s]), why);
        return strstr(why, "not installed") != NULL ? 77 : 1;
    }
    strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
    if (json) printf("{\"date\": \"%s\", \"instructions\": [", date);
    else
        printf("Instructions that each option adds, alone, to a task without options; counted on %s.\n\n"
               "| option | what | submit | claim | complete | collect | all | |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
               date);
    for (unsigned i = 0; perf_options_table[i].name != NULL; i++) {
        for (size_t s = 0; s < STEPS; s++) counted[s] = of_step[s][i];
        if (i == 0) memcpy(none, counted, sizeof none);
        if (json) print_json(&perf_options_table[i], counted, i == 0);
        else print_row(&perf_options_table[i], counted, none, i == 0);
    }
    if (json) printf("\n]}\n");
    return 0;
}
