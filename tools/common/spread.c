/* tools/common/spread.c - see spread.h. */
#include "tools/common/spread.h"

static json_t *quantile_json(const struct ap_spread *s, double q)
{
    return s->count > 0 ? tool_json_number(ap_spread_quantile(s, q)) : json_null();
}

json_t *tool_spread_json(const struct ap_spread *s)
{
    json_t *buckets = json_array(), *o = json_object();

    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) {
        if (s->buckets[i] == 0) continue;
        json_array_append_new(buckets, json_pack("[o, o]", tool_json_number(ap_spread_lower(i)),
                                                 tool_json_number(s->buckets[i])));
    }
    json_object_set_new(o, "count", tool_json_number(s->count));
    json_object_set_new(o, "sum_ns", tool_json_number(s->sum));
    json_object_set_new(o, "p50_ns", quantile_json(s, 0.5));
    json_object_set_new(o, "p95_ns", quantile_json(s, 0.95));
    json_object_set_new(o, "p99_ns", quantile_json(s, 0.99));
    json_object_set_new(o, "p999_ns", quantile_json(s, 0.999));
    json_object_set_new(o, "max_ns", quantile_json(s, 1));
    json_object_set_new(o, "buckets", buckets);
    return o;
}

const char *tool_spread_text(const struct ap_spread *s, double q, char ret[32])
{
    uint64_t ns;

    if (s->count == 0) return "-";
    ns = q < 0 ? s->sum / s->count : ap_spread_quantile(s, q);
    if (q >= 0 && ns == 0) return "< 1 us";
    return q >= 0 && ns == AP_SPREAD_END ? "> 73 min" : tool_format_duration(ns, ret);
}
