/* tools/view/claims.c - claimed keys as JSON. See view.h. */
#include "shm/claim.h"
#include "tools/view/view.h"

json_t *view_claim_left(uint64_t expires, uint64_t now)
{
    return expires == APIARY_FOREVER ? json_null() : json_integer((json_int_t)(expires > now ? expires - now : 0));
}

static json_t *held_claim_json(const struct ap_segment *seg, const struct ap_claim_view *v)
{
    char service[APIARY_NAME_MAX + 1] = "";

    if (v->caller != 0) ap_service_name(seg, v->caller - 1, service);
    return json_pack("{s:o, s:o, s:I, s:o, s:b, s:o, s:I}", "key", tool_json_text(v->key), "token",
                     tool_json_number(v->token), "pid", (json_int_t)v->pid, "holder", tool_json_text(service), "stays",
                     v->lane == AP_NO_LANE, "expires_in_ns", view_claim_left(v->until, seg->ops->now()), "waiting",
                     (json_int_t)v->waiting);
}

json_t *view_claims_json(apiary_t *a, const char *segment)
{
    apiary_claim_stats_t s = {.struct_size = sizeof s};
    json_t *list = json_array();
    struct ap_claim_view view;

    apiary_claim_stats(a, &s);
    for (uint32_t i = 0; i < s.room; i++)
        if (ap_claim_read(a->seg, i, &view)) json_array_append_new(list, held_claim_json(a->seg, &view));
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "segment", segment, "room", (json_int_t)s.room,
                     "held", (json_int_t)s.held, "granted", (json_int_t)s.granted, "refused", (json_int_t)s.refused, "expired",
                     (json_int_t)s.expired, "stolen", (json_int_t)s.stolen, "freed", (json_int_t)s.freed, "waited",
                     (json_int_t)s.waited, "stale", (json_int_t)s.stale, "claims", list);
}
