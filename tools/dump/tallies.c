/* tools/dump/tallies.c - shmdump: what was counted of agents and of those who call them. See dump.h, shm/times.h. */
#include "registry/discovery/discovery.h"
#include "registry/monitor/tally.h"
#include "shm/cost.h"
#include "shm/queue.h"
#include "tools/common/spread.h"
#include "tools/dump/dump.h"

void dump_part_times(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_t *list = json_array();

    (void)options;
    for (uint32_t i = 0; i < d->seg.geometry.queues; i++) {
        struct ap_times_copy times;
        json_t *o;

        if (!ap_times_read(&d->seg, i, &times) || (times.waited.count == 0 && times.ran.count == 0)) continue;
        o = json_object();
        json_object_set_new(o, "queue", dump_number(i));
        json_object_set_new(o, "waited", tool_spread_json(&times.waited));
        json_object_set_new(o, "ran", tool_spread_json(&times.ran));
        json_object_set_new(o, "lost", dump_number(times.lost));
        json_object_set_new(o, "ejected", dump_number(times.ejected));
        json_object_set_new(o, "heap_bytes", times.heap != UINT64_MAX ? dump_number(times.heap) : json_null());
        json_object_set_new(o, "heap_resident_bytes", times.resident != UINT64_MAX ? dump_number(times.resident) : json_null());
        json_array_append_new(list, o);
    }
    json_object_set_new(whole, "times", list);
}

/* All lanes together: what one of them has counted says little. */
void dump_part_costs(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    static const char *const picks[] = {
#define X(id, name, what) name,
        AP_PICKS(X)
#undef X
    };
    static const char *const times[] = {
#define X(id, name, power, what) name,
        AP_COST_TIMES(X)
#undef X
    };
    json_t *o = json_object(), *counts = json_object(), *took = json_object();
    struct ap_costs all;

    (void)options;
    ap_costs_read(&d->seg, &all);
    for (uint32_t i = 0; i < AP_PICKS_END; i++) json_object_set_new(counts, picks[i], dump_number(all.picks[i]));
    for (uint32_t k = 0; k < AP_COST_TIMES_END; k++) {
        json_t *buckets = json_array();

        for (uint32_t i = 0; i < AP_COST_BUCKETS; i++) {
            if (all.times[k].buckets[i] == 0) continue;
            json_array_append_new(buckets, json_pack("[o, o]", dump_number(ap_cost_lower(k, i)),
                                                     dump_number(all.times[k].buckets[i])));
        }
        json_object_set_new(took, times[k], json_pack("{s:o, s:o}", "sum_ns", dump_number(all.times[k].sum), "buckets", buckets));
    }
    json_object_set_new(o, "picks", counts);
    json_object_set_new(o, "times", took);
    json_object_set_new(whole, "costs", o);
}

static json_t *tally_json(const struct dump *d, const struct ap_tally *t)
{
    static const char *const kinds[] = {"",
#define X(id, name, what) name,
        AP_TALLIES(X)
#undef X
    };
    static const char *const counts[] = {
#define X(id, name, what) name,
        AP_TALLY_COUNTS(X)
#undef X
    };
    uint32_t most = t->name.kind == AP_TALLY_PAIR ? AP_TALLY_COUNTS_END : AP_TALLY_ENDED + 1;
    char capability[APIARY_CAPABILITY_MAX + 1];
    json_t *o = json_object();

    json_object_set_new(o, "kind", json_string(kinds[t->name.kind]));
    json_object_set_new(o, "others", json_boolean(t->others));
    if (!t->others) {
        ap_capability_name(&d->seg, t->name.capability, capability);
        json_object_set_new(o, "queue", t->name.queue < d->seg.geometry.queues ? dump_number(t->name.queue) : json_null());
        json_object_set_new(o, "capability", tool_json_text(capability));
        if (t->name.kind != AP_TALLY_FAILED) json_object_set_new(o, "caller", tool_json_text(t->name.caller));
        if (t->name.kind != AP_TALLY_PAIR) json_object_set_new(o, "code", json_string(apiary_error_name(t->name.code)));
        if (t->name.kind == AP_TALLY_FAILED) json_object_set_new(o, "agent_code", dump_number(t->name.agent_code));
    }
    for (uint32_t i = 0; i < most; i++)
        json_object_set_new(o, t->name.kind == AP_TALLY_PAIR ? counts[i] : "count", dump_number(t->counts[i]));
    if (t->name.kind != AP_TALLY_REFUSED) json_object_set_new(o, "former", dump_number(t->former[AP_TALLY_ENDED]));
    return o;
}

void dump_part_tallies(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_t *list = json_array();
    struct ap_tally t;

    (void)options;
    for (uint64_t cursor = 0; d->registry && ap_tally_next(&d->seg, &cursor, &t);) {
        if (!t.others || t.counts[AP_TALLY_ENDED] > 0) json_array_append_new(list, tally_json(d, &t));
    }
    json_object_set_new(whole, "tallies", list);
}
