/* registry/discovery/discovery.c - DiscoveryService: the capability index and apiary_discover. See discovery.h. */
#include "registry/discovery/discovery.h"

#include <string.h>

#include "core/hash.h"
#include "core/name.h"
#include "registry/client/client.h"
#include "registry/discovery/names.h"

static inline struct ap_names names_of(const struct ap_segment *seg)
{
    uint32_t bits = 8 * ap_provider_words_all(seg->geometry.queues);

    return (struct ap_names){AP_SECTION_CAPABILITIES, (uint32_t)sizeof(struct ap_capability) + bits, APIARY_CAPABILITY_MAX + 1};
}

int ap_capability_intern(struct ap_segment *seg, const char *name, uint32_t *ret)
{
    const struct ap_names names = names_of(seg);

    return ap_capability_valid(name) ? ap_names_intern(seg, &names, name, ret) : APIARY_EINVAL;
}

AP_ALWAYS_INLINE int discovery_find(const struct ap_segment *seg, const char *name, size_t length)
{
    const struct ap_names names = names_of(seg);

    return ap_names_find(seg, &names, name, length, ap_hash_here(name, length));
}

int ap_capability_find(const struct ap_segment *seg, const char *name, size_t length)
{
    return discovery_find(seg, name, length);
}

static int find_measured(struct ap_lane_context *c, const char *name, size_t length)
{
    uint64_t began = c->lane.seg->ops->now();
    int index = ap_capability_find(c->lane.seg, name, length);

    ap_cost_took(c->balance.costs, AP_COST_SEARCH, c->lane.seg->ops->now() - began);
    return index;
}

struct ap_known_name *ap_capability_learn(struct ap_lane_context *c, struct ap_known_name *known, const char *name)
{
    size_t length = strnlen(name, APIARY_CAPABILITY_MAX + 1);
    int index = ap_cost_due(&c->searched) ? find_measured(c, name, length) : ap_capability_find(c->lane.seg, name, length);
    struct ap_known_name *to = known->asked == name ? known : &c->stranger;

    if (index < 0) return NULL;
    known->asked = name;
    to->capability = (uint32_t)index;
    to->providers = ap_capability_at(c->lane.seg, (uint32_t)index)->providers;
    if (to == &c->stranger) return to;
    to->at = name;
    ap_only_forget(&to->only);
    to->row = NULL;
    memcpy(to->name, name, length);
    to->name[length] = '\0';
    return to;
}

/* ---- bound capabilities --------------------------------------------------------------------------------------- */

uint64_t ap_capability_check(const struct ap_segment *seg, uint32_t index)
{
    const struct ap_capability *row = ap_capability_at(seg, index);
    uint64_t made = seg->header->created_realtime ^ seg->header->created_monotonic << 32;

    if (row == NULL || ap_load_acquire(&row->ready) != 1) return 0; /* DISC-A1 pairs DISC-R1 */
    return ap_load_relaxed(&row->key) ^ made * UINT64_C(0x9e3779b97f4a7c15);
}

struct ap_known_name *ap_bound_learn(struct ap_lane_context *c, struct ap_known_name *known, apiary_capability_t capability)
{
    struct ap_segment *seg = c->lane.seg;

    if (capability.check == 0 || capability.reserved != 0) return NULL;
    if (ap_capability_check(seg, capability.index) != capability.check) return NULL;
    memset(known, 0, sizeof *known);
    known->at = known->name; /* it is remembered */
    ap_only_forget(&known->only);
    known->check = capability.check;
    known->capability = capability.index;
    known->providers = ap_capability_at(seg, capability.index)->providers;
    return known;
}

int apiary_bind(apiary_t *a, const char *capability, apiary_capability_t *ret)
{
    int index, r = ap_usable(a);
    uint64_t check;

    if (r < 0) return r;
    if (capability == NULL || ret == NULL) return APIARY_EINVAL;
    index = ap_capability_find(a->seg, capability, strnlen(capability, APIARY_CAPABILITY_MAX + 1));
    check = index >= 0 ? ap_capability_check(a->seg, (uint32_t)index) : 0;
    if (check == 0) return APIARY_ENOCAP;
    *ret = (apiary_capability_t){.check = check, .index = (uint32_t)index};
    return 0;
}

/* ---- apiary_discover ------------------------------------------------------------------------------------------ */

/* The fields of a row that stay the same for a registration, which is known by the lives of its queue and its swarm. */
static bool copy_registration(const struct ap_segment *seg, uint32_t queue, uint64_t life, const struct ap_swarm *swarm,
                              uint64_t swarm_life, apiary_provider_t *ret)
{
    const struct ap_member *member;
    uint64_t now;

    ret->pid = 0;
    ret->provider = AP_PROVIDER(queue, life);
    ap_service_name(seg, ap_load_relaxed(&swarm->service), ret->service);
    ap_text_copy(ret->instance, swarm->instance, sizeof ret->instance);
    ap_text_copy(ret->agent, ap_agent_at(seg, queue)->name, sizeof ret->agent);
    member = ap_member_at(seg, ap_load_relaxed(&swarm->member));
    if (member != NULL && AP_SWARM_STATE(swarm_life) == AP_SWARM_LIVE) ret->pid = ap_load_relaxed(&member->pid);
    /* Copied while it belonged to the same registration, or not at all: what was read comes before this second look.
     * REG-A4 pairs REG-R4 */
    ap_fence_acquire();
    now = ap_load_relaxed(&ap_queue_at(seg, queue)->life);
    return ap_load_relaxed(&swarm->life) == swarm_life && AP_QUEUE_EPOCH(now) == AP_QUEUE_EPOCH(life) &&
           AP_QUEUE_STATE(now) != AP_QUEUE_CLAIMED;
}

/* The fields that change all the time. */
AP_ALWAYS_INLINE void row_load(const struct ap_queue *q, bool alive, uint32_t depth, apiary_provider_t *row)
{
    row->alive = alive;
    row->in_flight = depth + (alive ? ap_load_relaxed(&q->running) : 0);
}

/* The row of a queue that has the provider bit; false when its record is not (or no longer) to be had. `c`: its lane remembers
 * it; may be NULL. */
static bool discovery_provider_row(const struct ap_segment *seg, struct ap_lane_context *c, uint32_t queue, apiary_provider_t *ret)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    const struct ap_agent_record *agent = ap_agent_at(seg, queue);
    const struct ap_swarm *swarm;
    uint64_t life, swarm_life;

    if (q == NULL || agent == NULL) return false;
    life = ap_load_acquire(&q->life); /* QUEUE-A4 pairs QUEUE-R4 */
    swarm = ap_swarm_at(seg, ap_load_relaxed(&agent->swarm));
    /* The epoch rises when a queue opens: while it is CLAIMED, and its agent is being written, it has that of the former one. */
    if (swarm == NULL || AP_QUEUE_STATE(life) == AP_QUEUE_FREE || AP_QUEUE_STATE(life) == AP_QUEUE_CLAIMED) return false;
    swarm_life = ap_load_acquire(&swarm->life); /* REG-A1 pairs REG-R1 */
    if (AP_SWARM_STATE(swarm_life) != AP_SWARM_LIVE && AP_SWARM_STATE(swarm_life) != AP_SWARM_DOWN) return false;
    if (!copy_registration(seg, queue, life, swarm, swarm_life, ret)) return false;
    row_load(q, AP_QUEUE_STATE(life) == AP_QUEUE_OPEN && ap_lane_alive(seg, AP_QUEUE_LANE(life)), ap_queue_waiting(seg, queue),
             ret);
    /* A queue that is closed, or a swarm that is down, may be claimed and left again with the same lives. */
    if (c != NULL && AP_QUEUE_STATE(life) == AP_QUEUE_OPEN && AP_SWARM_STATE(swarm_life) == AP_SWARM_LIVE &&
        ap_lane_at(seg, AP_QUEUE_LANE(life)) != NULL)
        c->rows[queue % AP_ROWS_KNOWN] = (struct ap_known_row){.queue = queue,
                                                               .at = q,
                                                               .rings = ap_ring_at(seg, queue, 0),
                                                               .lane = ap_lane_at(seg, AP_QUEUE_LANE(life)),
                                                               .swarm = swarm,
                                                               .life = life,
                                                               .swarm_life = swarm_life,
                                                               .row = *ret};
    return true;
}

/* The same from what the lane remembers: false when it is not that, or no longer. An OPEN queue of a life has one agent, and that
 * one swarm. */
AP_ALWAYS_INLINE bool remembered_row(const struct ap_segment *seg, const struct ap_known_row *known, uint32_t queue,
                                     apiary_provider_t *ret)
{
    if (__builtin_expect(known->queue != queue, 0)) return false;
    /* QUEUE-A4 pairs QUEUE-R4; REG-A1 pairs REG-R1 */
    if (__builtin_expect(ap_load_acquire(&known->at->life) != known->life, 0)) return false;
    if (__builtin_expect(ap_load_acquire(&known->swarm->life) != known->swarm_life, 0)) return false;
    *ret = known->row;
    row_load(known->at, ap_lane_lives(known->lane), ap_queue_depth_at(seg, known->at, known->rings), ret);
    return true;
}

/* Where the rows of a caller go: rows of another version of the public face have another size. */
struct rows {
    apiary_provider_t *at;
    size_t size, capacity;
};

static int discover_all(struct ap_segment *seg, struct ap_lane_context *c, const uint64_t *providers, const struct rows *rows)
{
    apiary_provider_t own = {.struct_size = sizeof own};
    uint32_t words = ap_provider_words(seg->geometry.queues);
    size_t count = 0;

    AP_PROVIDER_WORDS(providers, words, word) {
        uint64_t bits = ap_load_acquire(&providers[word]); /* DISC-A2 pairs DISC-R2 */

        for (; bits != 0; bits &= bits - 1) {
            uint32_t queue = word * 64 + (uint32_t)__builtin_ctzll(bits);
            const struct ap_known_row *known = c != NULL ? &c->rows[queue % AP_ROWS_KNOWN] : NULL;

            if ((known == NULL || !remembered_row(seg, known, queue, &own)) &&
                !discovery_provider_row(seg, c, queue, &own))
                continue;
            if (count < rows->capacity) ap_sized_out((char *)rows->at + count * rows->size, rows->size, &own, sizeof own);
            count++;
        }
    }
    return (int)count;
}

static __attribute__((noinline)) int discover_known(struct ap_segment *seg, struct ap_lane_context *c, struct ap_known_name *known,
                                                    const struct rows *rows)
{
    int count = discover_all(seg, c, known->providers, rows);
    uint32_t queue;
    uint64_t life;

    if (count != 1 || known->at == NULL) return count;
    c->balance.costs = NULL; /* it is no task that picks */
    if (ap_route_learn(seg, known->capability, 0, &c->balance, &known->only, &queue, &life) == 0)
        known->row = &c->rows[queue % AP_ROWS_KNOWN];
    c->balance.costs = ap_costs_at(seg, c->lane.index);
    return count;
}

/* A name that the lane does not remember: it will, if it is asked for twice running. A row of its provider may be known
 * already. */
static __attribute__((noinline)) int discover_stranger(struct ap_segment *seg, struct ap_lane_context *c,
                                                       struct ap_known_name *known, const char *capability,
                                                       apiary_provider_t *ret, size_t capacity)
{
    const struct rows to = {ret, capacity > 0 ? ret->struct_size : 0, capacity}, *rows = &to;

    const uint64_t *providers;
    uint32_t only;
    int index;

    if (__builtin_expect(known->asked == capability, 0)) {
        known = ap_capability_learn(c, known, capability);
        return known != NULL ? discover_known(seg, c, known, rows) : APIARY_ENOCAP;
    }
    known->asked = capability;
    index = discovery_find(seg, capability, strnlen(capability, APIARY_CAPABILITY_MAX + 1));
    if (index < 0) return APIARY_ENOCAP;
    providers = ap_capability_at(seg, (uint32_t)index)->providers;
    only = ap_provider_only(providers, ap_provider_words(seg->geometry.queues));
    /* Without room the rows have no size. */
    if (__builtin_expect(only != AP_NO_QUEUE && rows->size == sizeof *rows->at, 1) &&
        __builtin_expect(remembered_row(seg, &c->rows[only % AP_ROWS_KNOWN], only, rows->at), 1))
        return 1;
    return discover_all(seg, c, providers, rows);
}

/* By a thread that has no lane: nothing is remembered. */
static __attribute__((noinline)) int discover_without(const struct apiary *a, const char *capability, const struct rows *rows)
{
    int index = ap_capability_find(a->seg, capability, strnlen(capability, APIARY_CAPABILITY_MAX + 1));

    if (index < 0) return APIARY_ENOCAP;
    return discover_all(a->seg, NULL, ap_capability_at(a->seg, (uint32_t)index)->providers, rows);
}

/* By a thread that has a lane. */
static int discover_with(const struct apiary *a, struct ap_lane_context *c, const char *capability, apiary_provider_t *ret,
                         size_t capacity)
{
    const struct rows rows = {ret, ret != NULL && capacity > 0 ? ret->struct_size : 0, capacity};
    struct ap_known_name *known = ap_known_place(c, capability);

    return ap_known_is(known, capability) ? discover_known(a->seg, c, known, &rows)
                                          : discover_stranger(a->seg, c, known, capability, ret, capacity);
}

/* All but an only provider of a name that the calling thread's lane remembers. */
static __attribute__((noinline)) int discover_slowly(const struct apiary *a, const char *capability, apiary_provider_t *ret,
                                                     size_t capacity)
{
    const struct rows rows = {ret, ret != NULL && capacity > 0 ? ret->struct_size : 0, capacity};
    struct ap_lane_context *c;
    uint64_t began;
    int r;

    if (capability == NULL || (ret == NULL && capacity > 0)) return APIARY_EINVAL;
    if (capacity > 0 && !ap_sized_valid(rows.size, AP_FIRST_PROVIDER)) return APIARY_EINVAL;
    if (!ap_present(a)) return ap_absent(a);
    c = a->read_only ? NULL : ap_context_here(a);
    if (c == NULL) return discover_without(a, capability, &rows);
    if (!ap_cost_due(&c->discovered)) return discover_with(a, c, capability, ret, capacity);
    began = a->seg->ops->now();
    r = discover_with(a, c, capability, ret, capacity);
    ap_cost_took(c->balance.costs, AP_COST_DISCOVER, a->seg->ops->now() - began);
    return r;
}

int apiary_discover(apiary_t *a, const char *capability, apiary_provider_t *ret, size_t capacity)
{
    struct ap_known_name *known;

    if (a == NULL) return APIARY_EINVAL;
    if (__builtin_expect(capability == NULL || ret == NULL || capacity == 0 || !ap_here_is(a) || !ap_present(a), 0))
        return discover_slowly(a, capability, ret, capacity);
    if (__builtin_expect(ret->struct_size != sizeof *ret, 0)) return discover_slowly(a, capability, ret, capacity);
    known = ap_known_place(ap_here.context, capability);
    if (known->at != capability) return discover_stranger(a->seg, ap_here.context, known, capability, ret, capacity);
    if (__builtin_expect(ap_known_is(known, capability) && known->row != NULL && ap_only_still(&known->only), 1) &&
        __builtin_expect(remembered_row(a->seg, known->row, known->only.queue, ret), 1))
        return 1;
    return discover_slowly(a, capability, ret, capacity);
}
