/* tools/dump/claims.c - shmdump: claims on keys. See dump.h, shm/claim.h. */
#include "shm/claim.h"
#include "tools/dump/dump.h"

#include "tools/common/common.h"

static json_t *claim_json(const struct dump *d, uint32_t index)
{
    static const char *const states[] = {"empty", "filling", "free", "held"};
    const struct ap_claim *row = ap_claim_at(&d->seg, index);
    uint64_t word = ap_load_acquire(&row->word), until = ap_load_relaxed(&row->until); /* CLAIM-A1 pairs CLAIM-R1 */
    uint32_t lane = AP_CLAIM_LANE(word);
    bool named = AP_CLAIM_STATE(word) == AP_CLAIM_HELD || AP_CLAIM_STATE(word) == AP_CLAIM_FILLING;
    json_t *o;

    if (word == 0) return NULL;
    o = json_object();
    json_object_set_new(o, "row", json_integer(index));
    json_object_set_new(o, "state", json_string(states[AP_CLAIM_STATE(word)]));
    json_object_set_new(o, "key", dump_bytes_json((const char *)row->key, sizeof row->key));
    json_object_set_new(o, "number", dump_number(AP_CLAIM_NUMBER(word)));
    json_object_set_new(o, "lane", named && lane != AP_NO_LANE ? json_integer(lane) : json_null());
    json_object_set_new(o, "pid", json_integer((json_int_t)(ap_load_relaxed(&row->who) >> 40)));
    json_object_set_new(o, "until", AP_CLAIM_TIME(until) == AP_CLAIM_NEVER
                                        ? json_null()
                                        : dump_number(AP_CLAIM_TIME(until) << AP_CLAIM_UNIT));
    json_object_set_new(o, "waiting", json_boolean((ap_load_relaxed(&row->waiting) & 1) != 0));
    return o;
}

void dump_part_claims(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_t *counts = json_object(), *list = json_array();

    (void)options;
    for (uint32_t i = 0; i < d->seg.sections[AP_SECTION_CLAIMS].count; i++) {
        json_t *o = ap_claim_at(&d->seg, i) != NULL ? claim_json(d, i) : NULL;

        if (o != NULL) json_array_append_new(list, o);
    }
#define X(name, what) json_object_set_new(counts, #name, dump_number(ap_claims_count(&d->seg, AP_CLAIM_COUNT_##name)));
    AP_CLAIM_COUNTS(X)
#undef X
    json_object_set_new(whole, "claims", list);
    json_object_set_new(whole, "claim_counts", counts);
}
