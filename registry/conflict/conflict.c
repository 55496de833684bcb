/* registry/conflict/conflict.c - ConflictResolver: who may do something alone. The public calls about claims; the structure and its
 * rules are shm/claim.h's. */
#include "registry/conflict/conflict.h"

#include <stdio.h>
#include <string.h>

#include "core/name.h"
#include "core/sized.h"
#include "core/text.h"
#include "shm/claim_key.h"

/* The holder is told of a claim that is not the caller's. */
AP_ALWAYS_INLINE void claim_put(const struct ap_segment *seg, const struct ap_claim_view *view, bool other, apiary_claim_t *ret)
{
    ret->token = view->token;
    ret->expires = view->until;
    ret->pid = view->pid;
    if (other && view->caller != 0) ap_service_name(seg, view->caller - 1, ret->holder);
    else memset(ret->holder, 0, sizeof ret->holder);
}

/* To a caller whose structure has another size. */
static __attribute__((noinline)) void claim_report_other(const struct ap_segment *seg, const struct ap_claim_view *view, bool other,
                                                         apiary_claim_t *ret)
{
    apiary_claim_t own = {.struct_size = sizeof own};

    claim_put(seg, view, other, &own);
    ap_sized_out(ret, ret->struct_size, &own, sizeof own);
}

AP_ALWAYS_INLINE void claim_report(const struct ap_segment *seg, const struct ap_claim_view *view, bool other, apiary_claim_t *ret)
{
    if (__builtin_expect(ret->struct_size == sizeof *ret, 1)) claim_put(seg, view, other, ret);
    else claim_report_other(seg, view, other, ret);
}

static int claim_options(const apiary_claim_options_t *options, uint64_t ttl, apiary_claim_options_t *ret)
{
    int r = 0;

    if (options == NULL) *ret = (apiary_claim_options_t){.struct_size = sizeof *ret};
    else r = ap_sized_in(ret, sizeof *ret, AP_FIRST_CLAIM_OPTIONS, options, options->struct_size);
    if (r < 0) return r;
    if (ret->policy > APIARY_CLAIM_STEAL_IF_EXPIRED || ret->flags > APIARY_CLAIM_STAYS) return APIARY_EINVAL;
    if (ttl == 0 || (ttl == APIARY_FOREVER && (ret->flags & APIARY_CLAIM_STAYS) != 0)) return APIARY_EINVAL;
    return 0;
}

/* Another has it. */
static int claim_refused(struct ap_lane_context *c, const struct ap_claim_view *view, uint32_t policy, apiary_claim_t *ret)
{
    if (policy == APIARY_CLAIM_USE_EXISTING && view->held) {
        claim_report(c->lane.seg, view, true, ret);
        return 1;
    }
    ap_claim_counted(c->lane.seg, view->row, AP_CLAIM_COUNT_refused);
    return APIARY_EHELD;
}

int apiary_claim(apiary_t *a, const char *key, uint64_t ttl, const apiary_claim_options_t *options, apiary_claim_t *ret)
{
    struct ap_claim_ask ask; /* whose key is long: no part of it is set twice */
    struct ap_claim_view view;
    apiary_claim_options_t o;
    struct ap_lane_context *c;
    int r = ap_usable(a);

    if (r == 0) r = claim_options(options, ttl, &o);
    if (r == 0 && (ret == NULL || !ap_sized_valid(ret->struct_size, AP_FIRST_CLAIM))) r = APIARY_EINVAL;
    if (r == 0) r = ap_claim_key_here(a->seg, key, &ask.key);
    if (r < 0) return r;
    c = ap_context(a, &r);
    if (c == NULL) return r;
    c->claims = true;
    ask.ttl = ttl;
    ask.ticket = UINT64_MAX;
    ask.lane = c->lane.index;
    ask.caller = c->balance.caller;
    ask.stays = (o.flags & APIARY_CLAIM_STAYS) != 0;
    ask.steals = o.policy == APIARY_CLAIM_STEAL_IF_EXPIRED;
    r = ap_claim_take(a->seg, &ask, &view);
    if (r == 0 && o.policy == APIARY_CLAIM_WAIT) r = ap_claim_wait(c, &ask, o.timeout, &view);
    if (r == 0) return claim_refused(c, &view, o.policy, ret);
    if (r < 0) return r;
    claim_report(a->seg, &view, false, ret);
    return 0;
}

int apiary_claim_renew(apiary_t *a, const char *key, uint64_t token, uint64_t ttl, apiary_claim_t *ret)
{
    struct ap_claim_view view;
    int r = ap_usable(a);

    if (r == 0 && (key == NULL || ttl == 0)) r = APIARY_EINVAL;
    if (r == 0 && ret != NULL && !ap_sized_valid(ret->struct_size, AP_FIRST_CLAIM)) r = APIARY_EINVAL;
    if (r == 0) r = ap_claim_renew(a->seg, key, token, ttl, &view);
    if (r == 0 && ret != NULL) claim_report(a->seg, &view, true, ret);
    return r;
}

int apiary_claim_release(apiary_t *a, const char *key, uint64_t token)
{
    int r = ap_usable(a);

    if (r == 0 && key == NULL) r = APIARY_EINVAL;
    return r == 0 ? ap_claim_release(a->seg, key, token) : r;
}

int apiary_claim_check(apiary_t *a, const char *key, uint64_t token)
{
    if (a == NULL || key == NULL) return APIARY_EINVAL;
    if (!ap_present(a)) return ap_absent(a);
    return ap_claim_check(a->seg, key, token);
}

int apiary_claim_service_key(const char *service, const char *name, char *ret)
{
    size_t n = name != NULL ? strnlen(name, APIARY_CLAIM_KEY_MAX + 1) : 0;

    if (ret == NULL || service == NULL || !ap_name_valid(service, APIARY_NAME_MAX) || n == 0) return APIARY_EINVAL;
    if (strlen(service) + 1 + n > APIARY_CLAIM_KEY_MAX) return APIARY_EINVAL;
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)name[i] < ' ' || name[i] == 0x7f) return APIARY_EINVAL;
    ap_format(ret, APIARY_CLAIM_KEY_MAX + 1, "%s/%s", service, name);
    return 0;
}

int apiary_claim_stats(apiary_t *a, apiary_claim_stats_t *ret)
{
    apiary_claim_stats_t own = {.struct_size = sizeof own};

    if (a == NULL) return APIARY_EINVAL;
    if (!ap_present(a)) return ap_absent(a);
    if (ret == NULL || !ap_sized_valid(ret->struct_size, AP_FIRST_CLAIM_STATS)) return APIARY_EINVAL;
#define X(name, what) own.name = ap_claims_count(a->seg, AP_CLAIM_COUNT_##name);
    AP_CLAIM_COUNTS(X)
#undef X
    own.room = a->seg->sections[AP_SECTION_CLAIMS].count;
    own.held = ap_claims_held(a->seg);
    ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return 0;
}
