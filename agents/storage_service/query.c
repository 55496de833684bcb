/* agents/storage_service/query.c - kind "query_optimizer": the cheapest order of joins, by dynamic programming.
 *
 *   query_optimization {"tables":{"a":1000,"b":10},"joins":[["a","b",0.01]]} ->
 *     {"order":["b","a"],"rows":100,"cost":110,"plans_compared":N}
 * Tables with their rows; joins with their selectivity (0 to 1; tables without a join multiply). Left-deep orders of at most 12
 * tables are compared by the sum of the rows of all intermediate results (after Selinger et al., SIGMOD 1979). Costs that
 * differ by less than one part in 10^12 are equal: then the order wins that has the earlier table of the request first, where
 * the two begin to differ.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { TABLES_MOST = 12 };

struct query {
    const char *names[TABLES_MOST];
    double rows[TABLES_MOST], selectivity[TABLES_MOST][TABLES_MOST];
    int count;
};

struct best { /* of the tables in a set, numbered by its bits */
    double rows, cost;
    unsigned char order[TABLES_MOST];
};

#define SAME 1e-12 /* of the cost: rounding, which depends on the order of the sums */

static int table_number(const struct query *q, const json_t *name)
{
    for (int i = 0; json_is_string(name) && i < q->count; i++)
        if (strcmp(q->names[i], json_string_value(name)) == 0) return i;
    return -1;
}

static bool read_query(apiary_job_t *job, const json_t *request, struct query *q)
{
    const json_t *tables, *joins = NULL;
    const char *name;
    json_t *item;
    size_t i;
    if (!ap_need_object(job, request, "tables", &tables) ||
        (json_object_get(request, "joins") && !ap_need_array(job, request, "joins", 256, &joins)))
        return false;
    if (json_object_size(tables) == 0 || json_object_size(tables) > TABLES_MOST) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "%zu tables; 1 to %d are allowed", json_object_size(tables),
                        TABLES_MOST);
        return false;
    }
    json_object_foreach((json_t *)tables, name, item)
    {
        if (!json_is_number(item) || json_number_value(item) < 0) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "table \"%s\": its number of rows is wanted", name);
            return false;
        }
        q->names[q->count] = name;
        q->rows[q->count++] = json_number_value(item);
    }
    for (int a = 0; a < TABLES_MOST; a++)
        for (int b = 0; b < TABLES_MOST; b++)
            q->selectivity[a][b] = 1;
    json_array_foreach(joins, i, item)
    {
        int a = table_number(q, json_array_get(item, 0)), b = table_number(q, json_array_get(item, 1));
        double s = json_number_value(json_array_get(item, 2));
        if (a < 0 || b < 0 || a == b || !json_is_number(json_array_get(item, 2)) || s < 0 || s > 1) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "join %zu is not [table, other table, selectivity from 0 to 1]",
                            i);
            return false;
        }
        q->selectivity[a][b] = q->selectivity[b][a] = q->selectivity[a][b] * s;
    }
    return true;
}

/* Of the set, whatever the order of its tables: always the same product. */
static double rows_of(const struct query *q, unsigned set, const struct best *best)
{
    int last = 31 - __builtin_clz(set);
    unsigned rest = set & ~(1u << last);
    double rows = q->rows[last] * (rest ? best[rest].rows : 1);
    for (int other = 0; other < last; other++)
        if (rest & 1u << other) rows *= q->selectivity[last][other];
    return rows;
}

/* Fills best[] for all sets in the order of their numbers, so that every smaller set is ready. Returns the plans looked at. */
static json_int_t plan(const struct query *q, struct best *best)
{
    json_int_t compared = 0;
    for (unsigned set = 1; set < 1u << q->count; set++) {
        size_t size = (size_t)__builtin_popcount(set) - 1;
        best[set] = (struct best){.rows = rows_of(q, set, best), .cost = -1};
        for (int t = 0; t < q->count; t++) {
            unsigned rest = set & ~(1u << t);
            if (!(set & 1u << t)) continue;
            struct best other = {.rows = best[set].rows, .cost = best[set].rows};
            if (rest) {
                other.cost += best[rest].cost;
                memcpy(other.order, best[rest].order, size);
            }
            other.order[size] = (unsigned char)t;
            compared++;
            bool same = fabs(other.cost - best[set].cost) <= SAME * best[set].cost;
            if (best[set].cost < 0 || (same ? memcmp(other.order, best[set].order, size + 1) < 0 : other.cost < best[set].cost))
                best[set] = other;
        }
    }
    return compared;
}

static void query_optimize(void *state, apiary_job_t *job, const json_t *request)
{
    struct query q = {.count = 0};
    if (!read_query(job, request, &q)) return;
    struct best *best = apiary_agent_alloc(state, sizeof *best << q.count);
    if (!best) {
        ap_out_of_memory(job);
        return;
    }
    json_int_t compared = plan(&q, best);
    unsigned set = (1u << q.count) - 1;
    json_t *order = json_array();
    double rows = best[set].rows, cost = best[set].cost;
    for (int i = 0; i < q.count; i++)
        json_array_append_new(order, json_string(q.names[best[set].order[i]]));
    apiary_agent_free(state, best);
    ap_answer(job, "{s:o,s:f,s:f,s:I}", "order", order, "rows", rows, "cost", cost, "plans_compared", compared);
}

const struct ap_function ap_functions_query_optimizer[] = {
    {.capability = "query_optimization",
     .call = query_optimize,
     .in = AP_OBJECT("'tables'", "'tables':{'type':'object','additionalProperties':{'type':'number','minimum':0},"
           "'minProperties':1,'maxProperties':12},"
                      "'joins':{'type':'array','items':{'type':'array','prefixItems':[{'type':'string'},"
           "{'type':'string'},{'type':'number','minimum':0,'maximum':1}],'minItems':3,'maxItems':3},'maxItems':256}"),
     .out = AP_OBJECT("'order','rows','cost','plans_compared'", "'order':{'type':'array','items':{'type':'string'}},"
                      "'rows':{'type':'number'},"
                      "'cost':{'type':'number'},"
                      "'plans_compared':{'type':'integer'}"),
     .bound = "12 tables: 24576 plans",
     .again = AP_AGAIN_SAME,
     .send = "{\"tables\":{\"a\":1000,\"b\":100,\"c\":10},\"joins\":[[\"a\",\"b\",0.01],[\"b\",\"c\",0.01]]}",
     .answer = "{\"order\":[\"c\",\"b\",\"a\"],\"rows\":100.0,\"cost\":120.0,\"plans_compared\":12}"},
    {.capability = NULL},
};

static void query_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_query_optimizer, state, job);
}

const apiary_agent_kind_t ap_kind_query_optimizer = {
    APIARY_AGENT_KIND,
    .name = "query_optimizer",
    .what = "query_optimization: the cheapest left-deep order of joins",
    .create = ap_create_plain,
    .handle = query_handle,
    .capabilities = (const char *const[]){"query_optimization", NULL},
};
