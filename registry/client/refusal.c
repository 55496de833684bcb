/* registry/client/refusal.c - a refusal told: what is full, who holds it, which key bounds it, when to try again. See refusal.h. */
#include "registry/client/refusal.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "registry/client/client.h"
#include "registry/monitor/tally.h"
#include "registry/routing/kept.h"
#include "registry/routing/terms.h"

#define MS UINT64_C(1000000)

int ap_refused(struct ap_lane_context *c, int error, size_t size)
{
    c->refused.error = error;
    c->refused.size = size;
    c->refused.probe = c->refused.gated = false;
    return error;
}

int ap_refused_full(struct ap_lane_context *c, uint32_t queue, enum ap_refused_by by)
{
    c->refused.queue = queue;
    c->refused.by = (uint8_t)by;
    return APIARY_EQUEUEFULL;
}

void ap_refused_rule(struct ap_lane_context *c, uint32_t capability)
{
    struct ap_terms *row = ap_terms_at(c->lane.seg, capability);

    c->refused.capability = capability;
    if (row != NULL) ap_add_relaxed(&row->refused, 1);
}

__attribute__((noinline)) int ap_refused_told(struct ap_lane_context *c, const char *capability, const apiary_capability_t *bound,
                                              int error)
{
    uint32_t index = AP_TALLY_NO_CAPABILITY;
    int found;

    if (error >= 0 || error == APIARY_EINVAL) return error;
    found = capability != NULL ? ap_capability_find(c->lane.seg, capability, strnlen(capability, APIARY_CAPABILITY_MAX + 1)) : -1;
    if (found >= 0) index = (uint32_t)found;
    else if (bound != NULL && ap_bound_known(c, *bound) != NULL) index = ap_bound_known(c, *bound)->capability;
    ap_tally_refused(c->lane.seg, &c->counted, c->balance.caller, index, error);
    return error;
}

/* A member as an operator knows it: its name and process. */
static const char *member_shown(const struct ap_segment *seg, uint32_t member, char *ret, size_t size)
{
    struct ap_member m;

    if (ap_member_read(seg, member, &m))
        ap_format(ret, size, "'%.*s' (pid %lld)", (int)strnlen(m.name, sizeof m.name), m.name, (long long)m.pid);
    else ap_format(ret, size, "a process that has ended");
    return ret;
}

/* The class in whose blocks a body of that size would lie. */
static uint32_t class_for(const struct ap_segment *seg, uint64_t size)
{
    uint32_t class = 0;

    while (class < AP_POOL_CLASSES - 1 && (seg->geometry.pool_blocks[class] == 0 || ap_pool_class_size[class] < size)) class++;
    return class;
}

static size_t say_slabs(const struct ap_lane_context *c, char *ret, size_t size)
{
    const struct ap_segment *seg = c->lane.seg;
    struct ap_share own = ap_share_slabs_of(seg, c->lane.member), most;
    uint32_t all = (uint32_t)seg->sections[AP_SECTION_SLABS].count, member;
    char name[96];

    if (c->refused.error == APIARY_ESHARE)
        return ap_format(ret, size, "this process holds %u of the %u parts of the task table, and %u are free; "
                         "member_share is %u %%", own.held, all, own.free, seg->geometry.member_share);
    if (!ap_share_slabs_most(seg, &member, &most)) return 0;
    return ap_format(ret, size, "the task table is full: %s holds %u of its %u parts; tasks makes it larger, member_share is %u %%",
                     member_shown(seg, member, name, sizeof name), most.held, all, seg->geometry.member_share);
}

static size_t say_blocks(const struct ap_lane_context *c, char *ret, size_t size)
{
    const struct ap_segment *seg = c->lane.seg;
    uint32_t class = class_for(seg, c->refused.size), all = seg->geometry.pool_blocks[class], member;
    struct ap_share own = ap_share_blocks_of(seg, class, c->lane.member), most;
    char name[96];

    if (c->refused.error == APIARY_ESHARE)
        return ap_format(ret, size, "this process holds %u of the %u blocks of %u bytes, and %u are free; member_share is %u %%",
                         own.held, all, ap_pool_class_size[class], own.free, seg->geometry.member_share);
    if (!ap_share_blocks_most(seg, class, &member, &most)) return 0;
    return ap_format(ret, size, "no free block of %u bytes: %s holds %u of %u; payload makes them more, member_share is %u %%",
                     ap_pool_class_size[class], member_shown(seg, member, name, sizeof name), most.held, all,
                     seg->geometry.member_share);
}

static size_t say_tickets(const struct ap_lane_context *c, char *ret, size_t size)
{
    const struct apiary *a = c->client;
    char service[APIARY_NAME_MAX + 1];

    if (a->service < 0)
        return ap_format(ret, size, "this process calls for no service and has room for %u tasks; max_unnamed_delegations allows "
                         "%u", ap_share_slabs_of(a->seg, a->member).held * AP_SLAB_SLOTS, ap_slabs_most(a) * AP_SLAB_SLOTS);
    ap_service_name(a->seg, (uint32_t)a->service, service);
    return ap_format(ret, size, "service '%s' has %u delegations under way of the %u that max_concurrent_delegations allows",
                     service, ap_tickets_busy(a->seg, (uint32_t)a->service), ap_load_relaxed(&a->limit));
}

/* Which key bounds what may wait there. */
static size_t say_full(const struct ap_lane_context *c, const char *agent, uint32_t waiting, char *ret, size_t size)
{
    const struct ap_segment *seg = c->lane.seg;
    uint32_t depth = seg->geometry.queue_depth, of = c->refused.capability;

    switch ((enum ap_refused_by)c->refused.by) {
    case AP_REFUSED_SHARED:
        return ap_format(ret, size, "agent '%s' has %u tasks waiting; tasks with a priority or a concurrency, and callers beyond "
                         "queue_inlets, share %u places there (queue_depth, %u at most), and a caller takes no more than it leaves",
                         agent, waiting, depth < AP_CROWD_WINDOW ? depth : AP_CROWD_WINDOW, AP_CROWD_WINDOW);
    case AP_REFUSED_LIMIT:
        return ap_format(ret, size, "agent '%s' has %u tasks waiting; the capability's queue_limit allows %llu", agent, waiting,
                         (unsigned long long)ap_term_declared(seg, of, AP_TERM_queue_limit));
    case AP_REFUSED_ONE:
        return ap_format(ret, size, "agent '%s' has %u tasks waiting; one that is for it alone is accepted beside fewer than %u "
                         "(queue_depth)", agent, waiting, depth);
    case AP_REFUSED_INLET: break;
    }
    return ap_format(ret, size, "agent '%s' has %u tasks waiting; queue_depth allows each caller %u", agent, waiting, depth);
}

static size_t say_queue(const struct ap_lane_context *c, char *ret, size_t size)
{
    const struct ap_segment *seg = c->lane.seg;
    const struct ap_agent_record *agent = ap_agent_at(seg, c->refused.queue);
    char name[APIARY_NAME_MAX + 1];

    if (agent == NULL) return 0;
    ap_text_copy(name, agent->name, sizeof name);
    if (c->refused.error == APIARY_EBACKLOG)
        return ap_format(ret, size, "agent '%s' has %u tasks waiting, each of %llu us: this one would wait past its deadline; "
                         "give it more time (timeout, schedule_to_start), or run more instances (queen: instances)", name,
                         ap_queue_depth(seg, c->refused.queue),
                         (unsigned long long)ap_load_relaxed(&ap_queue_at(seg, c->refused.queue)->pace) / 1000);
    return say_full(c, name, ap_queue_depth(seg, c->refused.queue), ret, size);
}

/* No text of its own where nobody is there. */
static size_t say_gated(const struct ap_lane_context *c, char *ret, size_t size)
{
    char name[APIARY_CAPABILITY_MAX + 1];

    if (!c->refused.gated) return 0;
    ap_capability_name(c->lane.seg, c->refused.capability, name);
    return ap_format(ret, size, "'%s' is behind a gate (via), which has its tasks first and decides where they go: none can be for "
                     "one provider", name);
}

static size_t say_probe(const struct ap_lane_context *c, char *ret, size_t size)
{
    const struct ap_agent_record *agent = ap_agent_at(c->lane.seg, c->refused.queue);
    char name[APIARY_NAME_MAX + 1];

    if (c->refused.error == APIARY_EINVAL)
        return ap_format(ret, size, "a probe has no body and goes out at once, and once; of the options it may have timeout and "
                         "provider");
    if (c->refused.error != APIARY_ELIMIT || agent == NULL) return 0;
    ap_text_copy(name, agent->name, sizeof name);
    return ap_format(ret, size, "a probe of this process, or %u of others, wait at agent '%s' already", AP_PROBES, name);
}

static bool kept_full(const struct ap_segment *seg, const struct ap_kept_use *use)
{
    return use->used >= seg->sections[AP_SECTION_KEPT].count;
}

/* Of a delegation no other table is full, but that of the dedup keys. */
static size_t say_kept(const struct ap_lane_context *c, char *ret, size_t size)
{
    const struct ap_segment *seg = c->lane.seg;
    struct ap_kept_use use = ap_kept_used(seg);

    if (!kept_full(seg, &use))
        return ap_format(ret, size, "too many tasks with other dedup keys are in flight; a larger task table has room for more "
                         "(tasks)");
    return ap_format(ret, size, "the table is full: %u of the %u results that may be kept (kept_results) are kept or promised, %u "
                     "of them for processes that have left; 'apiary kept forget' drops them before their time", use.used,
                     (uint32_t)seg->sections[AP_SECTION_KEPT].count, use.left);
}

/* Says what is full. 0: the error's own text says all. */
static size_t say_what(const struct ap_lane_context *c, char *ret, size_t size)
{
    const struct ap_segment *seg = c->lane.seg;
    struct ap_share blocks;

    switch (c->refused.error) {
    case APIARY_ENOSLOT: return say_slabs(c, ret, size);
    case APIARY_ENOBLOCK: return c->refused.size > AP_INLINE_BODY ? say_blocks(c, ret, size) : 0;
    case APIARY_ESHARE:
        blocks = ap_share_blocks_of(seg, class_for(seg, c->refused.size), c->lane.member);
        return c->refused.size > AP_INLINE_BODY && blocks.held >= ap_share_most(seg, &blocks) ? say_blocks(c, ret, size)
                                                                                              : say_slabs(c, ret, size);
    case APIARY_ELIMIT: return say_tickets(c, ret, size);
    case APIARY_EBACKLOG:
    case APIARY_EQUEUEFULL: return say_queue(c, ret, size);
    case APIARY_ENOPROVIDER: return say_gated(c, ret, size);
    case APIARY_ETABLEFULL: return say_kept(c, ret, size);
    case APIARY_EFORBIDDEN: return ap_rules_say(seg, c->refused.capability, c->balance.caller, ret, size);
    default: return 0;
    }
}

static uint64_t refusal_after(const struct ap_segment *seg, const struct ap_refused *r)
{
    uint64_t after = apiary_retry_after(r->error), now;
    struct ap_kept_use use;

    if (r->error == APIARY_ETABLEFULL) {
        use = ap_kept_used(seg);
        now = seg->ops->now();
        return !kept_full(seg, &use) || use.until == UINT64_MAX || use.until <= now ? 0 : use.until - now;
    }
    return (r->error == APIARY_ERATE || r->error == APIARY_EBACKLOG) && r->excess > after ? r->excess : after;
}

int apiary_refusal(apiary_t *a, apiary_refusal_t *ret)
{
    apiary_refusal_t own = {.struct_size = sizeof own};
    const struct ap_lane_context *c;
    size_t n;
    int r = ap_usable(a);

    if (ret == NULL || !ap_sized_valid(ret->struct_size, AP_FIRST_REFUSAL)) return APIARY_EINVAL;
    if (r < 0) return r;
    c = ap_context_here(a);
    if (c == NULL || c->refused.error == 0) return APIARY_ESTALE;
    own.error = c->refused.error;
    own.retry_after = refusal_after(c->lane.seg, &c->refused);
    n = c->refused.probe ? say_probe(c, own.message, sizeof own.message) : 0;
    if (n == 0) n = say_what(c, own.message, sizeof own.message);
    if (n == 0) n = ap_format(own.message, sizeof own.message, "%s; %s", apiary_strerror(own.error), apiary_advice(own.error));
    if (own.retry_after != 0)
        ap_format(own.message + n, sizeof own.message - n, "; retry after %llu ms",
                  (unsigned long long)((own.retry_after + MS - 1) / MS));
    ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return 0;
}
