/* perf/simulate.c - every setting of the simulation, as a table. See simulate.h. */
#include "perf/simulate.h"

#include <jansson.h>
#include <stdlib.h>

#include "perf/perf.h"
#include "registry/routing/policy.h"

static const unsigned counts[] = {2, 3, 4, 8, 16, 32, 64};
#define COUNTS (sizeof counts / sizeof *counts)
#define POINTS (COUNTS * SIMULATE_SCENES * SIMULATE_TAILS * SIMULATE_POLICIES)
_Static_assert(SIMULATE_LIBRARY == (int)AP_POLICIES, "the library's policies come first, by their numbers");

const char *simulate_policy_name(unsigned policy)
{
    static const char *const others[] = {"random", "in turns", "join shortest"};

    return policy < SIMULATE_LIBRARY ? ap_policies[policy].name : others[policy - SIMULATE_LIBRARY];
}

const char *simulate_tail_name(unsigned tail)
{
    return tail == SIMULATE_PARETO ? "Pareto" : "lognormal";
}

const char *simulate_scene_name(unsigned scene)
{
    static const char *const names[] = {"all alike", "one slow", "one failing", "one slow, one failing"};

    return names[scene];
}

static void simulate_rows(const struct simulate_point *points, size_t n, FILE *to)
{
    fprintf(to, "| members | | service times | policy | mean | p50 | p99 | at the failing one | failed |\n"
                "|---:|---|---|---|---:|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < n; i++) {
        const struct simulate_setting *s = &points[i].setting;
        const struct simulate_figures *f = &points[i].figures;

        fprintf(to, "| %u | %s | %s | %s | %.2f | %.2f | %.1f | %.2f %% | %.2f %% |\n", s->members, simulate_scene_name(s->scene),
                simulate_tail_name(s->tail), simulate_policy_name(s->policy), f->mean, f->p50, f->p99, 100 * f->failing,
                100 * f->failed);
    }
}

static void simulate_json(const struct simulate_point *points, size_t n)
{
    json_t *all = json_array();

    for (size_t i = 0; i < n; i++) {
        const struct simulate_setting *s = &points[i].setting;
        const struct simulate_figures *f = &points[i].figures;

        json_array_append_new(all, json_pack("{s:i,s:s,s:s,s:s,s:I,s:f,s:f,s:f,s:f,s:f}", "members", (int)s->members, "scene",
                                             simulate_scene_name(s->scene), "service_times", simulate_tail_name(s->tail), "policy",
                                             simulate_policy_name(s->policy), "tasks", (json_int_t)f->tasks, "mean", f->mean, "p50",
                                             f->p50, "p99", f->p99, "at_failing", f->failing, "failed", f->failed));
    }
    json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(all);
}

int simulate_main(bool json, const char *plot, uint64_t seed, uint64_t tasks, double seconds)
{
    static struct simulate_point points[POINTS];
    size_t n = 0;
    FILE *to;

    for (unsigned scene = 0; scene < SIMULATE_SCENES; scene++)
        for (unsigned tail = 0; tail < SIMULATE_TAILS; tail++)
            for (size_t i = 0; i < COUNTS; i++)
                for (unsigned policy = 0; policy < SIMULATE_POLICIES; policy++) {
                    uint64_t least = (uint64_t)(counts[i] * SIMULATE_LOAD * seconds * 1e9 / SIMULATE_MEAN);
                    struct simulate_setting s = {.scene = scene, .tail = tail, .members = counts[i], .policy = policy,
                                                 .seed = seed, .tasks = tasks > least ? tasks : least};
                    points[n++] = (struct simulate_point){.setting = s, .figures = simulate_run(&s)};
                }
    if (json) {
        simulate_json(points, n);
    } else {
        printf("seed %llu; times in the mean of what a task takes; every task that came after the first second\n\n",
               (unsigned long long)seed);
        simulate_rows(points, n, stdout);
    }
    if (plot == NULL) return 0;
    to = fopen(plot, "we");
    if (to == NULL) perf_die("%s cannot be written", plot);
    simulate_draw(points, n, to);
    if (fclose(to) != 0) perf_die("%s was not written whole", plot);
    return 0;
}
