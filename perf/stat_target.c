/* perf/stat_target.c - the figures that are promised, beside those that were measured. */
#include <stdlib.h>
#include <string.h>

#include "perf/target.h"

enum kind {
    RATIO,     /* median over blocks of the ratio to a baseline */
    RATIO_NEAR, RATIO_AWAY, /* that of the near blocks, and the worse of the middle and far ones */
    ROW,       /* a row of the table whose name begins so */
    ROW_LEAST, /* the same, and it is to be at least so much */
    P99,       /* p99 by the baseline's p99 */
};

struct target {
    const char *name, *against; /* the case; the baseline or the row */
    enum kind kind;
    double limit;
};

static const struct target targets[] = {
    {"rtt", "raw", RATIO_AWAY, 2.0},
    {"rtt", "raw", RATIO_NEAR, 2.5},
    {"rtt", "ck_ring", RATIO, 1.6},
    {"wake", "futex", RATIO, 1.25},
    {"same-core", "futex", RATIO, 1.25},
    {"stream", "pipe", RATIO, 0.1},
    {"stream", "seqpacket", RATIO, 0.1},
    {"stream", "mq", RATIO, 0.1},
    {"stream", "zmq", RATIO, 0.1},
    {"stream", "nng", RATIO, 0.1},
    {"stream", "ck_ring", RATIO, 2.0},
    {"crowd", "seqpacket", RATIO, 1.0 / 3},
    {"crowd", "p99.9 by seqpacket's p99.9", ROW, 1.0},
    {"crowd", "apiary: the least client's part of the mean, worst block", ROW_LEAST, 0.5},
    {"discover", "raw", RATIO, 0.5},
    {"discover", "instructions", ROW, 200},
    {"discover-10k", "thirteen", RATIO, 2.0},
    {"get", "raw", RATIO, 1.5},
    {"get", "instructions", ROW, 150},
    {"get-10k", "instructions", ROW, 150},
    {"get-1m", "few", RATIO, 2.0},
    {"put", "raw", RATIO, 4.0},
    {"hold", "instructions", ROW, 300},
    {"notice", "futex wake", RATIO, 1.5},
    {"batch", "single", RATIO, 1.0},
    {"stream-many", "seqpacket", RATIO, 0.1},
    {"recover", "futex wake", RATIO, 3.0},
    {"recover", "futex wake", P99, 5.0},
    {"bystander", "p99 by the undisturbed p99, median of blocks", ROW, 2.0},
    {"overload", "goodput by capacity", ROW_LEAST, 0.9},
    {"overload", "p99 of a refusal by that of a submit", ROW, 5.0},
    {"overload", "refusals with a time to retry after", ROW_LEAST, 1.0},
    {"overload", "health probes answered", ROW_LEAST, 1.0},
    {"overload", "polite client's p99 beside one that floods by that alone", ROW, 2.0},
    {"attach", "open and touch", RATIO, 3.0},
    {"idle", "of one processor", ROW, 0.5},
    {"scale", "instructions of a task's steps, most by least", ROW, 1.02},
    {"scale", "instructions of a task's steps by services, most by least", ROW, 1.1},
    {"memory", "default: segment", ROW, 16777216},
    {"scale", "small", RATIO, 1.2},
};
#define TARGETS (sizeof targets / sizeof *targets)

struct finding {
    const struct target *target;
    double figure, share; /* share of what is allowed */
};

static bool stat_target_number(const json_t *v, double *ret)
{
    if (json_is_number(v)) *ret = json_number_value(v);
    return json_is_number(v);
}

static bool of_bin(const json_t *result, const char *bin, const char *against, double *ret)
{
    const json_t *b = json_object_get(json_object_get(result, "bins"), bin);

    return stat_target_number(json_object_get(json_object_get(b, "ratio"), against), ret);
}

static bool of_row(const json_t *result, const char *what, double *ret)
{
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(result, "table"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "what"));
        if (name != NULL && strncmp(name, what, strlen(what)) == 0) return stat_target_number(json_object_get(row, "value"), ret);
    }
    return false;
}

static bool stat_target_measure(const json_t *result, const struct target *t, double *ret)
{
    double a, b;
    bool have;

    switch (t->kind) {
    case RATIO:
        return stat_target_number(json_object_get(json_object_get(result, "ratio"), t->against), ret);
    case RATIO_NEAR:
        return of_bin(result, "near", t->against, ret);
    case RATIO_AWAY:
        have = of_bin(result, "middle", t->against, ret);
        if (of_bin(result, "far", t->against, &b) && (!have || b > *ret)) *ret = b, have = true;
        return have;
    case ROW:
    case ROW_LEAST:
        return of_row(result, t->against, ret);
    case P99:
        if (!stat_target_number(json_object_get(json_object_get(result, "ns"), "p99"), &a)) return false;
        result = json_object_get(json_object_get(result, "baselines"), t->against);
        if (!stat_target_number(json_object_get(result, "p99"), &b) || b <= 0) return false;
        *ret = a / b;
        return true;
    }
    return false;
}

static int stat_target_worst_first(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;

    return x->share < y->share ? 1 : x->share > y->share ? -1 : 0;
}

static void print_one(const struct finding *f, bool markdown, FILE *to)
{
    const struct target *t = f->target;
    const char *of = t->kind == RATIO_NEAR   ? ", near blocks"
                     : t->kind == RATIO_AWAY ? ", middle or far blocks"
                     : t->kind == P99        ? ", p99"
                                             : "";
    const char *bound = t->kind == ROW_LEAST ? ">=" : "<=";
    const char *verdict = f->share > 1 ? "missed" : "met";

    if (markdown)
        fprintf(to, "| %s | %s%s | %.3f | %s %.3f | %.2f | %s |\n", t->name, t->against, of, f->figure, bound, t->limit, f->share,
                verdict);
    else
        fprintf(to, "  target %s: %.3f, %s %.3f, by %s%s\n", verdict, f->figure, bound, t->limit, t->against, of);
}

int perf_target_print(const json_t *results, bool markdown, FILE *to)
{
    struct finding found[TARGETS];
    size_t n = 0, i;
    json_t *result;
    int missed = 0;

    json_array_foreach(results, i, result)
    {
        const char *name = json_string_value(json_object_get(result, "case"));
        for (size_t k = 0; name != NULL && k < TARGETS && n < TARGETS; k++) {
            double v;
            if (strcmp(targets[k].name, name) != 0 || !stat_target_measure(result, &targets[k], &v)) continue;
            found[n].target = &targets[k];
            found[n].figure = v;
            found[n].share = targets[k].kind != ROW_LEAST ? v / targets[k].limit : v > 0 ? targets[k].limit / v : 1e9;
            if (found[n++].share > 1) missed++;
        }
    }
    qsort(found, n, sizeof *found, stat_target_worst_first);
    if (markdown && n > 0)
        fputs("| case | against | figure | target | figure by target | |\n|---|---|---:|---:|---:|---|\n", to);
    for (i = 0; i < n; i++) print_one(&found[i], markdown, to);
    if (markdown && n > 0) fputc('\n', to);
    return missed;
}
