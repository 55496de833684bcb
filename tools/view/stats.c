/* tools/view/stats.c - how long tasks wait and run at each agent, how they end, who was refused what, as JSON. See stats.h. */
#include "tools/view/stats.h"

#include <string.h>

#include "tools/common/spread.h"

#define NSEC UINT64_C(1000000000)

bool stats_capability_counts(const struct stats *s, uint32_t queue, uint32_t capability, uint64_t ret[AP_TALLY_COUNTS_END])
{
    size_t n;
    const struct ap_tally *t = stats_tallies_of(s, AP_TALLY_PAIR, queue, capability, &n);
    memset(ret, 0, AP_TALLY_COUNTS_END * sizeof *ret);
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < AP_TALLY_COUNTS_END; k++) ret[k] += t[i].counts[k];
    return n > 0;
}

static json_t *rate_json(uint64_t count, uint64_t span)
{
    return span != 0 ? json_real((double)count * (double)NSEC / (double)span) : json_null();
}

static json_t *failures_json(const struct stats *s, uint32_t queue, uint32_t capability)
{
    size_t n;
    const struct ap_tally *all = stats_tallies_of(s, AP_TALLY_FAILED, queue, capability, &n);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct ap_tally *t = &all[i];
        json_t *o = json_object();
        json_object_set_new(o, "code", json_string(apiary_error_name(t->name.code)));
        json_object_set_new(o, "agent_code", t->name.code == APIARY_EAGENT ? json_integer(t->name.agent_code) : json_null());
        json_object_set_new(o, "count", tool_json_number(t->counts[AP_TALLY_ENDED]));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *stats_capabilities_json(const struct ap_segment *seg, const struct stats *s, const struct stats_agent *a)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < a->agent.capability_count; i++) {
        uint64_t counts[AP_TALLY_COUNTS_END];
        char name[APIARY_CAPABILITY_MAX + 1];
        stats_capability_counts(s, a->agent.queue, a->agent.capabilities[i], counts);
        ap_capability_name(seg, a->agent.capabilities[i], name);
        json_t *o = json_object();
        json_object_set_new(o, "capability", tool_json_text(name));
        json_object_set_new(o, "ended", tool_json_number(counts[AP_TALLY_ENDED]));
        json_object_set_new(o, "failed", tool_json_number(counts[AP_TALLY_BAD]));
        json_object_set_new(o, "late", tool_json_number(counts[AP_TALLY_LATE]));
        json_object_set_new(o, "retried", tool_json_number(counts[AP_TALLY_RETRIED]));
        json_object_set_new(o, "success", stats_success_json(counts));
        json_object_set_new(o, "rate", rate_json(counts[AP_TALLY_ENDED], s->span));
        json_object_set_new(o, "mean_waited_ns", stats_mean_json(counts[AP_TALLY_WAITED], counts));
        json_object_set_new(o, "mean_ran_ns", stats_mean_json(counts[AP_TALLY_RAN], counts));
        json_object_set_new(o, "bytes_in", tool_json_number(counts[AP_TALLY_IN]));
        json_object_set_new(o, "bytes_out", tool_json_number(counts[AP_TALLY_OUT]));
        json_object_set_new(o, "failures", failures_json(s, a->agent.queue, a->agent.capabilities[i]));
        json_array_append_new(list, o);
    }
    return list;
}

/* That of one that is gone is, too. */
static json_t *heap_json(const struct stats_agent *a, uint64_t bytes)
{
    return a->agent.open && bytes != UINT64_MAX ? tool_json_number(bytes) : json_null();
}

static json_t *stats_agent_json(const struct ap_segment *seg, const struct stats *s, const struct stats_agent *a)
{
    json_t *o = json_object();
    json_object_set_new(o, "service", tool_json_text(a->agent.swarm.service));
    json_object_set_new(o, "instance", tool_json_text(a->agent.swarm.instance));
    json_object_set_new(o, "agent", tool_json_text(a->agent.name));
    json_object_set_new(o, "queue", json_integer(a->agent.queue));
    json_object_set_new(o, "open", json_boolean(a->agent.open));
    json_object_set_new(o, "queued", json_integer(a->agent.depth));
    json_object_set_new(o, "running", json_integer(a->agent.running));
    json_object_set_new(o, "oldest_ns", a->oldest != 0 ? tool_json_number(a->oldest) : json_null());
    json_object_set_new(o, "started", tool_json_number(a->times.waited.count));
    json_object_set_new(o, "done", tool_json_number(a->agent.counts.done));
    json_object_set_new(o, "failed", tool_json_number(a->agent.counts.failed));
    json_object_set_new(o, "late", tool_json_number(a->agent.counts.late));
    json_object_set_new(o, "cancelled", tool_json_number(a->agent.counts.cancelled));
    json_object_set_new(o, "crashed", tool_json_number(a->crashed));
    json_object_set_new(o, "retried", tool_json_number(a->retried));
    json_object_set_new(o, "lost", tool_json_number(a->times.lost));
    json_object_set_new(o, "ejected", tool_json_number(a->times.ejected));
    json_object_set_new(o, "heap_bytes", heap_json(a, a->times.heap));
    json_object_set_new(o, "heap_resident_bytes", heap_json(a, a->times.resident));
    json_object_set_new(o, "rate", rate_json(a->times.ran.count, s->span));
    json_object_set_new(o, "waited", tool_spread_json(&a->times.waited));
    json_object_set_new(o, "ran", tool_spread_json(&a->times.ran));
    json_object_set_new(o, "capabilities", stats_capabilities_json(seg, s, a));
    return o;
}

static json_t *refusals_json(const struct ap_segment *seg, const struct stats *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->tally_count; i++) {
        const struct ap_tally *t = &s->tallies[i];
        char capability[APIARY_CAPABILITY_MAX + 1];
        if (t->name.kind != AP_TALLY_REFUSED) continue;
        ap_capability_name(seg, t->name.capability, capability);
        json_t *o = json_object();
        json_object_set_new(o, "caller", tool_json_text(t->name.caller));
        json_object_set_new(o, "capability", capability[0] != '\0' ? tool_json_text(capability) : json_null());
        json_object_set_new(o, "code", json_string(apiary_error_name(t->name.code)));
        json_object_set_new(o, "count", tool_json_number(t->counts[AP_TALLY_ENDED]));
        json_array_append_new(list, o);
    }
    return list;
}

json_t *stats_head(const struct ap_segment *seg, const char *segment, const struct stats *s, bool pairs)
{
    json_t *o = json_object();
    uint32_t all, used = ap_tally_used(seg, &all);
    json_object_set_new(o, "segment", json_string(segment));
    json_object_set_new(o, "interval_ns", s->span != 0 ? tool_json_number(s->span) : json_null());
    json_object_set_new(o, "rows", json_integer(all));
    json_object_set_new(o, "rows_used", json_integer(used));
    json_object_set_new(o, "others", json_pack("{s:o, s:o, s:o}", "pairs", tool_json_number(s->others[AP_TALLY_PAIR]), "failed",
                                               tool_json_number(s->others[AP_TALLY_FAILED]), "refused",
                                               tool_json_number(s->others[AP_TALLY_REFUSED])));
    if (pairs) return o;
    json_object_set_new(o, "refusals", refusals_json(seg, s));
    json_object_set_new(o, "registry", stats_registry_json(s));
    return o;
}

void stats_rows(const struct ap_segment *seg, const struct stats *s, bool pairs, view_row_fn visit, void *user)
{
    if (pairs) stats_pairs_rows(seg, s, visit, user);
    for (size_t i = 0; !pairs && i < s->agent_count; i++) visit(user, stats_agent_json(seg, s, &s->agents[i]));
}

json_t *stats_json(const struct ap_segment *seg, const char *segment, const struct stats *s, bool pairs)
{
    json_t *o = stats_head(seg, segment, s, pairs), *rows = json_array();
    stats_rows(seg, s, pairs, view_row_append, rows);
    json_object_set_new(o, pairs ? "pairs" : "agents", rows);
    return o;
}
