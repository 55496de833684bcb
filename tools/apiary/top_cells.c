/* tools/apiary/top_cells.c - the columns of apiary top, and all of it once, as text or JSON. See top.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/apiary/top.h"
#include "tools/common/spread.h"

const char *const top_percentiles[TOP_PERCENTILES] = {"50", "90", "95", "99", "99.9", "99.99"};

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

static double rate_of(const struct top_row *r)
{
    return r->span != 0 ? (double)r->ended * 1e9 / (double)r->span : -1;
}

/* Of a caller only the mean is known. */
static double time_of(const struct top_row *r, const struct ap_spread *s, double percentile)
{
    if (s->count == 0) return -1;
    if (r->kind == TOP_CALLER) return (double)(s->sum / s->count);
    return (double)ap_spread_quantile(s, percentile);
}

static double success_of(const struct top_row *r)
{
    return r->ended > 0 ? (double)(r->ended - (r->bad < r->ended ? r->bad : r->ended)) / (double)r->ended : 2;
}

static double processor_of(const struct top_row *r)
{
    return r->processor != UINT64_MAX && r->span != 0 ? (double)r->processor / (double)r->span : -1;
}

int top_state_rank(int state)
{
    return state == APIARY_PASSING ? 1 : state == APIARY_STARTING ? 2 : state;
}

/* The worst has most: by state, mode, failures, age of the oldest. */
static double badness_of(const struct top_row *r)
{
    double part = r->ended > 0 ? 1 - success_of(r) : 0;
    return top_state_rank(r->state) * 1000 + (r->mode > APIARY_READY ? 500 : 0) + part * 100 + (r->oldest > 1000000000 ? 10 : 0);
}

/* ---- cells -------------------------------------------------------------------------------------------------------- */

static void cell_name(const struct top_row *r, double q, char ret[TOP_CELL])
{
    (void)q, (void)r;
    ret[0] = '\0'; /* it may be longer: whoever shows it takes the name itself */
}

static void cell_state(const struct top_row *r, double q, char ret[TOP_CELL])
{
    const char *mode = r->mode > APIARY_READY ? tool_mode_name(r->mode) : "";
    (void)q;
    if (r->state == 0) snprintf(ret, TOP_CELL, "-");
    else snprintf(ret, TOP_CELL, "%s%s%s", tool_state_name(r->state), *mode != '\0' ? " " : "", mode);
}

static void cell_instances(const struct top_row *r, double q, char ret[TOP_CELL])
{
    (void)q;
    if (r->instances == 0) snprintf(ret, TOP_CELL, "-");
    else snprintf(ret, TOP_CELL, "%u/%u", r->passing, r->instances);
}

static void cell_rate(const struct top_row *r, double q, char ret[TOP_CELL])
{
    double rate = rate_of(r);
    (void)q;
    if (rate < 0) snprintf(ret, TOP_CELL, "-");
    else snprintf(ret, TOP_CELL, rate < 10 ? "%.1f" : "%.0f", rate);
}

static void cell_time(const struct top_row *r, const struct ap_spread *s, double q, char ret[TOP_CELL])
{
    char text[32], mean[32];
    if (s->count == 0) snprintf(ret, TOP_CELL, "-");
    else if (r->kind == TOP_CALLER) snprintf(ret, TOP_CELL, "%s*", tool_format_duration(s->sum / s->count, mean));
    else snprintf(ret, TOP_CELL, "%s", tool_spread_text(s, q, text));
}

static void cell_p50(const struct top_row *r, double q, char ret[TOP_CELL])
{
    (void)q;
    cell_time(r, &r->ran, 0.5, ret);
}

static void cell_ran(const struct top_row *r, double q, char ret[TOP_CELL])
{
    cell_time(r, &r->ran, q, ret);
}

static void cell_waited(const struct top_row *r, double q, char ret[TOP_CELL])
{
    cell_time(r, &r->waited, q, ret);
}

static void cell_success(const struct top_row *r, double q, char ret[TOP_CELL])
{
    (void)q;
    /* Rounded down: where something has failed it is never 100. */
    if (r->ended == 0) snprintf(ret, TOP_CELL, "-");
    else snprintf(ret, TOP_CELL, "%.2f%%", (double)(uint64_t)(success_of(r) * 10000) / 100);
}

static void cell_queued(const struct top_row *r, double q, char ret[TOP_CELL])
{
    (void)q;
    if (r->kind == TOP_CALLER) snprintf(ret, TOP_CELL, "-");
    else snprintf(ret, TOP_CELL, "%" PRIu64, r->queued);
}

static void cell_oldest(const struct top_row *r, double q, char ret[TOP_CELL])
{
    char text[32];
    (void)q;
    snprintf(ret, TOP_CELL, "%s", r->oldest != 0 ? tool_format_duration(r->oldest, text) : "-");
}

static void cell_running(const struct top_row *r, double q, char ret[TOP_CELL])
{
    (void)q;
    if (r->kind == TOP_CALLER) snprintf(ret, TOP_CELL, "-");
    else snprintf(ret, TOP_CELL, "%" PRIu64, r->running);
}

static void cell_processor(const struct top_row *r, double q, char ret[TOP_CELL])
{
    (void)q;
    if (processor_of(r) < 0) snprintf(ret, TOP_CELL, "-");
    else snprintf(ret, TOP_CELL, "%.1f%%", 100 * processor_of(r));
}

static void cell_memory(const struct top_row *r, double q, char ret[TOP_CELL])
{
    char text[32];
    (void)q;
    snprintf(ret, TOP_CELL, "%s", r->memory != UINT64_MAX ? tool_format_bytes(r->memory, text) : "-");
}

/* ---- orders ------------------------------------------------------------------------------------------------------- */

static int top_numbers(double a, double b)
{
    return (a > b) - (a < b);
}

static int order_name(const struct top_row *a, const struct top_row *b, double q)
{
    (void)q;
    return strverscmp(a->name, b->name);
}

#define ORDER(what, expression)                                                          \
    static double what##_number(const struct top_row *r, double q)                       \
    {                                                                                    \
        (void)q;                                                                         \
        return expression;                                                               \
    }                                                                                    \
    static int order_##what(const struct top_row *a, const struct top_row *b, double q) \
    {                                                                                    \
        return top_numbers(what##_number(a, q), what##_number(b, q));                        \
    }
ORDER(state, badness_of(r))
ORDER(instances, r->instances)
ORDER(rate, rate_of(r))
ORDER(p50, time_of(r, &r->ran, 0.5))
ORDER(ran, time_of(r, &r->ran, q))
ORDER(waited, time_of(r, &r->waited, q))
ORDER(success, success_of(r))
ORDER(queued, (double)r->queued)
ORDER(oldest, (double)r->oldest)
ORDER(running, (double)r->running)
ORDER(processor, processor_of(r))
ORDER(memory, r->memory != UINT64_MAX ? (double)r->memory : -1)

const struct top_column top_columns[] = {
    {"NAME", 0, false, 0, 'N', true, cell_name, order_name},
    {"STATE", 14, false, 0, 'S', false, cell_state, order_state},
    {"INST", 7, true, 8, 'I', false, cell_instances, order_instances},
    {"RATE/s", 8, true, 0, 'R', false, cell_rate, order_rate},
    {"p50", 9, true, 5, 'T', false, cell_p50, order_p50},
    {"p%s", 9, true, 1, 'L', false, cell_ran, order_ran},
    {"WAIT p%s", 11, true, 4, 'W', false, cell_waited, order_waited},
    {"SUCCESS", 8, true, 0, 'E', true, cell_success, order_success},
    {"QUEUED", 7, true, 2, 'Q', false, cell_queued, order_queued},
    {"OLDEST", 9, true, 3, 'A', false, cell_oldest, order_oldest},
    {"RUN", 6, true, 9, 'X', false, cell_running, order_running},
    {"CPU", 7, true, 6, 'C', false, cell_processor, order_processor},
    {"MEMORY", 9, true, 7, 'M', false, cell_memory, order_memory},
};
const size_t top_column_count = sizeof top_columns / sizeof *top_columns;

/* ---- rows --------------------------------------------------------------------------------------------------------- */

struct sorting {
    size_t column;
    double percentile;
    bool reverse;
};

static int sorting_order(const void *a, const void *b, void *user)
{
    const struct top_row *x = a, *y = b;
    const struct sorting *s = user;
    const struct top_column *c = &top_columns[s->column];
    int way = c->order(x, y, s->percentile);
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    if (way == 0) return strverscmp(x->name, y->name);
    return c->rising != s->reverse ? way : -way;
}

void top_sort(struct top_row *rows, size_t count, size_t column, double percentile, bool reverse)
{
    struct sorting s = {column, percentile, reverse};
    if (count > 0) qsort_r(rows, count, sizeof *rows, sorting_order, &s);
}

char *top_head(size_t column, const char *percentile)
{
    const char *head = top_columns[column].head, *at = strstr(head, "%s");
    return at == NULL ? tool_strdup(head) : tool_format("%.*s%s", (int)(at - head), head, percentile);
}

char top_mark(const struct top_row *r)
{
    if (r->state == 0) return 0;
    if (r->state >= APIARY_CRITICAL) return '!';
    return r->state == APIARY_PASSING && r->mode <= APIARY_READY ? '+' : '~';
}

size_t top_filter(struct top_row *rows, size_t count, const char *text)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        char state[TOP_CELL];
        cell_state(&rows[i], 0, state);
        if (strcasestr(rows[i].name, text) != NULL || strcasestr(state, text) != NULL) rows[n++] = rows[i];
    }
    return n;
}

/* ---- once --------------------------------------------------------------------------------------------------------- */

static const char *const kinds[] = {"service", "instance", "agent", "caller"};

static json_t *json_known(double n)
{
    return n >= 0 ? json_real(n) : json_null();
}

static json_t *json_nanoseconds(double n)
{
    return n >= 0 ? json_integer((json_int_t)n) : json_null();
}

static json_t *top_row_json(const struct top_row *r, double q)
{
    json_t *o = json_object();
    json_object_set_new(o, "kind", json_string(kinds[r->kind]));
    json_object_set_new(o, "name", tool_json_text(r->name));
    json_object_set_new(o, "state", r->state != 0 ? json_string(tool_state_name(r->state)) : json_null());
    json_object_set_new(o, "mode", r->mode != 0 ? json_string(tool_mode_name(r->mode)) : json_null());
    json_object_set_new(o, "instances", json_integer(r->instances));
    json_object_set_new(o, "passing", json_integer(r->passing));
    json_object_set_new(o, "ended", tool_json_number(r->ended));
    json_object_set_new(o, "failed", tool_json_number(r->bad));
    json_object_set_new(o, "rate", json_known(rate_of(r)));
    json_object_set_new(o, "success", r->ended > 0 ? json_real(success_of(r)) : json_null());
    json_object_set_new(o, "ran_p50_ns", json_nanoseconds(r->kind == TOP_CALLER ? -1 : time_of(r, &r->ran, 0.5)));
    json_object_set_new(o, "ran_ns", json_nanoseconds(r->kind == TOP_CALLER ? -1 : time_of(r, &r->ran, q)));
    json_object_set_new(o, "waited_ns", json_nanoseconds(r->kind == TOP_CALLER ? -1 : time_of(r, &r->waited, q)));
    json_object_set_new(o, "mean_ran_ns", r->ran.count > 0 ? tool_json_number(r->ran.sum / r->ran.count) : json_null());
    json_object_set_new(o, "queued", tool_json_number(r->queued));
    json_object_set_new(o, "running", tool_json_number(r->running));
    json_object_set_new(o, "oldest_ns", r->oldest != 0 ? tool_json_number(r->oldest) : json_null());
    json_object_set_new(o, "processor", json_known(processor_of(r)));
    json_object_set_new(o, "memory_bytes", r->memory != UINT64_MAX ? tool_json_number(r->memory) : json_null());
    return o;
}

static int top_json(const struct tool *t, const struct top_look *now, const struct top_row *rows, size_t count,
                    const char *percentile)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, top_row_json(&rows[i], strtod(percentile, NULL) / 100));
    return tool_json_print(json_pack("{s:s, s:s, s:I, s:o, s:o}", "segment", tool_segment(t, NULL), "percentile", percentile,
                                     "members", (json_int_t)now->members, "interval_ns",
                                     count > 0 && rows[0].span != 0 ? tool_json_number(rows[0].span) : json_null(), "rows", list));
}

int top_print(const struct tool *t, const struct top_look *now, struct top_row *rows, size_t count, const char *percentile)
{
    double q = strtod(percentile, NULL) / 100;
    const char *heads[16], *cells[16];
    char *made[16], texts[16][TOP_CELL];
    struct tool_table *table;
    if (t->json) return top_json(t, now, rows, count, percentile);
    for (size_t i = 0; i < top_column_count; i++) {
        char *head = top_head(i, percentile);
        heads[i] = made[i] = tool_format("%s%s%s", top_columns[i].spare > 4 ? "?" : "", top_columns[i].right ? ">" : "", head);
        free(head);
    }
    heads[top_column_count] = NULL;
    table = tool_table_new(heads);
    for (size_t i = 0; i < top_column_count; i++) free(made[i]);
    for (size_t k = 0; k < count; k++) {
        cells[0] = rows[k].name;
        for (size_t i = 1; i < top_column_count; i++) {
            top_columns[i].text(&rows[k], q, texts[i]);
            cells[i] = texts[i];
        }
        tool_table_add(table, cells);
        tool_table_mark(table, 1, top_mark(&rows[k]));
    }
    tool_table_print(table, stdout);
    return TOOL_OK;
}
