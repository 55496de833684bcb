/* registry/routing/bounds.c - see bounds.h. */
#include "registry/routing/bounds.h"

#include "registry/routing/hedging.h"

#define MS UINT64_C(1000000)

static uint64_t bound_of(const struct ap_segment *seg, uint32_t capability, enum ap_term term)
{
    return ap_term(seg, capability, ap_capability_at(seg, capability), term);
}

bool ap_bounds_any(const struct ap_segment *seg, uint32_t capability)
{
    static const enum ap_term all[] = {AP_TERM_schedule_to_close, AP_TERM_schedule_to_start, AP_TERM_start_to_close,
                                       AP_TERM_heartbeat, AP_TERM_delay, AP_TERM_max_attempts, AP_TERM_backoff,
                                       AP_TERM_wait_for_provider, AP_TERM_hedge, AP_TERM_max_priority};
    const struct ap_capability *c = ap_capability_at(seg, capability);
    struct ap_terms *row = ap_terms_at(seg, capability);
    uint64_t any = 0;

    if (c == NULL || row == NULL || ap_load_relaxed(&c->terms) == 0) return false;
    /* A word that is out of range counts as well: when they are put in it is read as nothing. */
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) any |= AP_TERM_VALUE(ap_load_relaxed(ap_term_word(row, all[i]))) >> 1;
    any |= AP_TERM_VALUE(ap_load_relaxed(&row->priority)); /* urgent is the word 0 */
    return any != 0;
}

/* Each 0: nothing is said. */
static uint64_t at_most(uint64_t said, uint64_t bound)
{
    return said == 0 || (bound != 0 && bound < said) ? bound : said;
}

static void retry_within(const struct ap_segment *seg, uint32_t capability, apiary_retry_t *retry)
{
    uint32_t attempts = (uint32_t)at_most(retry->max_attempts, bound_of(seg, capability, AP_TERM_max_attempts));
    uint64_t pause = (bound_of(seg, capability, AP_TERM_backoff) + MS - 1) / MS;

    if (attempts <= 1) *retry = (apiary_retry_t){.max_attempts = attempts};
    if (attempts <= 1) return;
    retry->max_attempts = attempts;
    if (pause > retry->backoff) retry->backoff = (uint32_t)pause;
    if (retry->cap != 0 && retry->cap < retry->backoff) retry->cap = retry->backoff;
}

/* As a time; 0: it is not known. */
static uint64_t hedge_time(const struct ap_segment *seg, uint32_t capability, uint64_t hedge)
{
    return hedge == APIARY_HEDGE_P95 ? ap_hedging_time(seg, capability) : hedge;
}

static void hedge_within(const struct ap_segment *seg, uint32_t capability, apiary_delegate_options_t *o)
{
    uint64_t declared = bound_of(seg, capability, AP_TERM_hedge), least;
    bool otherwise = (o->flags & (APIARY_NO_HEDGE | APIARY_DETACH | APIARY_PARTS)) != 0 || o->retry.max_attempts > 1 ||
                     (o->provider | o->dedup_key) != 0;

    if (declared == 0 || bound_of(seg, capability, AP_TERM_idempotent) == 0 || (o->hedge == 0 && otherwise)) return;
    least = hedge_time(seg, capability, declared);
    if (o->hedge == 0 || least == 0 || hedge_time(seg, capability, o->hedge) < least) o->hedge = declared;
}

static void priority_within(const struct ap_segment *seg, uint32_t capability, apiary_delegate_options_t *o)
{
    uint64_t most = bound_of(seg, capability, AP_TERM_max_priority), rank = bound_of(seg, capability, AP_TERM_priority);

    if (o->priority != 0) rank = o->priority - 1;
    if (rank < most) rank = most;
    if (o->priority != 0 || rank != AP_RANK_NORMAL) o->priority = rank + 1;
}

void ap_bounds_apply(const struct ap_segment *seg, uint32_t capability, apiary_delegate_options_t *o)
{
    uint64_t delay = bound_of(seg, capability, AP_TERM_delay);

    o->timeout = at_most(o->timeout, bound_of(seg, capability, AP_TERM_schedule_to_close));
    o->schedule_to_start = at_most(o->schedule_to_start, bound_of(seg, capability, AP_TERM_schedule_to_start));
    o->start_to_close = at_most(o->start_to_close, bound_of(seg, capability, AP_TERM_start_to_close));
    o->heartbeat = at_most(o->heartbeat, bound_of(seg, capability, AP_TERM_heartbeat));
    if (o->delay < delay) o->delay = delay;
    hedge_within(seg, capability, o);
    priority_within(seg, capability, o);
    if (o->hedge == 0) retry_within(seg, capability, &o->retry); /* another provider has it instead, never both (carried.c) */
    if (bound_of(seg, capability, AP_TERM_wait_for_provider) != 0) o->flags |= APIARY_WAIT_FOR_PROVIDER;
}

bool ap_bounds_never(const struct ap_segment *seg, uint32_t capability, uint32_t code)
{
    struct ap_terms *row = ap_terms_at(seg, capability);
    uint64_t from = 0, to = 0, seen;

    /* RANGE in terms.h. Each repetition is a registrant's progress. */
    while (row != NULL) {
        seen = ap_load_acquire(&row->never_from); /* TERMS-A1 pairs TERMS-R1 */
        from = bound_of(seg, capability, AP_TERM_never_from);
        to = bound_of(seg, capability, AP_TERM_never_to);
        ap_fence_acquire(); /* TERMS-A1 pairs TERMS-R1 */
        if (ap_load_relaxed(&row->never_from) == seen) break;
    }
    return from != 0 && code >= from && code <= (to > from ? to : from);
}
