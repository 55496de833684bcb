/* registry/monitor/status.c - get_swarm_status: what the segment says of the registered instances. */
#include <string.h>

#include "core/text.h"
#include "registry/client/client.h"
#include "registry/monitor/counters_seen.h"
#include "registry/monitor/health.h"

uint32_t ap_queue_waiting(const struct ap_segment *seg, uint32_t queue)
{
    uint32_t n = 0;

    if (AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(seg, queue)->life)) == AP_QUEUE_OPEN) return ap_queue_depth(seg, queue);
    for (uint64_t i = 0; i < seg->geometry.tasks; i++) {
        uint64_t word = ap_load_relaxed(&ap_slot_at(seg, i)->word);

        n += AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_OWNER(word) == queue;
    }
    return n;
}

static void add_queues(const struct ap_segment *seg, const struct ap_swarm_queues *queues, uint32_t swarm, bool live,
                       apiary_swarm_status_t *ret)
{
    for (uint32_t i = 0; (i = ap_swarm_queues_next(seg, queues, swarm, i)) != UINT32_MAX; i++) {
        const struct ap_queue *q = ap_queue_at(seg, i);
        struct ap_queue_counts counts;
        uint32_t state = AP_QUEUE_STATE(ap_load_acquire(&q->life));

        /* An agent that a living instance has no longer, as under another configuration before, counts by what it did. */
        if (!live || state == AP_QUEUE_OPEN) ret->agents++;
        if (live) ret->ejected += ap_queue_ejected(q, seg->ops->now());
        ret->queued += ap_swarm_queues_waiting(seg, queues, i);
        if (live && state == AP_QUEUE_OPEN) ret->running += ap_load_relaxed(&q->running);
        ap_queue_counts(q, &counts);
        ret->started += counts.started;
        ret->done += counts.done;
        ret->failed += counts.failed;
        ret->cancelled += counts.cancelled;
        ret->late += counts.late;
        ret->finished += counts.done + counts.failed + counts.cancelled;
    }
}

static uint64_t status_since(uint64_t then, uint64_t now)
{
    return then < now ? now - then : 0;
}

#define BEAT_WARNING UINT64_C(5000000000) /* of a beat each second */
#define BEAT_CRITICAL UINT64_C(15000000000)

/* A queen's own state is believed while it beats: a queen that is stopped or starved cannot report that. */
static enum apiary_state judged(enum apiary_state said, uint64_t beat_age)
{
    if (beat_age >= BEAT_CRITICAL) return APIARY_CRITICAL;
    return beat_age >= BEAT_WARNING && said < APIARY_WARNING ? APIARY_WARNING : said;
}

/* An instance of which an agent's tasks fail does not pass, however well its queen and her workers are. */
static enum apiary_state judged_agents(enum apiary_state state, uint32_t ejected)
{
    return state == APIARY_PASSING && ejected > 0 ? APIARY_WARNING : state;
}

/* The words of its queen and of the coordinator, with the address that was asked. */
static void add_found(const struct ap_swarm *s, uint64_t now, apiary_swarm_status_t *ret)
{
    uint64_t stuck = ap_load_relaxed(&s->stuck);
    char text[AP_FOUND_MAX + 1], url[sizeof s->health_endpoint];
    uint32_t found = ap_health_read(s, text);

    if (stuck != 0) ret->stuck = status_since(stuck, now);
    if (!ap_health_fails(s, now)) return;
    ap_text_copy(url, s->health_endpoint, sizeof url);
    if ((found & AP_FOUND_ENDPOINT) == AP_FOUND_FAILING) ap_format(ret->found, sizeof ret->found, "%s: %s", url, text);
    else ap_format(ret->found, sizeof ret->found, "%s", text);
}

bool ap_swarm_status_of(const struct ap_segment *seg, const struct ap_swarm_queues *queues, uint32_t index, int service,
                        apiary_swarm_status_t *ret)
{
    const struct ap_swarm *s = ap_swarm_at(seg, index);
    uint64_t life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */
    uint32_t of = ap_load_relaxed(&s->service), lane = AP_SWARM_LANE(life);
    bool live = AP_SWARM_STATE(life) == AP_SWARM_LIVE && ap_lane_alive(seg, lane);
    const struct ap_member *member;

    if (AP_SWARM_STATE(life) != AP_SWARM_LIVE && AP_SWARM_STATE(life) != AP_SWARM_DOWN) return false;
    if (service >= 0 && of != (uint32_t)service) return false;
    memset(ret, 0, sizeof *ret);
    ap_service_name(seg, of, ret->service);
    ap_text_copy(ret->instance, s->instance, sizeof ret->instance);
    ap_text_copy(ret->version, s->version, sizeof ret->version);
    member = ap_member_at(seg, ap_load_relaxed(&s->member));
    if (live && member != NULL) ret->pid = ap_load_relaxed(&member->pid);
    ret->mode = (enum apiary_mode)AP_MODE_OF(ap_load_relaxed(&s->mode));
    if (live && ap_load_relaxed(&s->leaving) != 0) ret->mode = APIARY_DRAIN;
    ret->port = ap_load_relaxed(&s->port);
    add_queues(seg, queues, index, live, ret);
    ret->delegations = ap_tickets_busy(seg, of);
    ret->max_delegations = ap_load_relaxed(&s->max_delegations);
    if (ret->max_delegations == 0) ret->max_delegations = seg->geometry.max_concurrent_delegations;
    ret->beat_age = status_since(ap_load_relaxed(&s->beat), seg->ops->now());
    ret->state = live ? judged((enum apiary_state)ap_load_relaxed(&s->state), ret->beat_age) : APIARY_DOWN;
    ret->state = judged_agents(ret->state, ret->ejected);
    if (live) add_found(s, seg->ops->now(), ret);
    if (live) ret->uptime = status_since(ap_load_relaxed(&s->registered), seg->ops->realtime());
    ap_fence_acquire(); /* REG-A4 pairs REG-R4: what was read comes before this second look */
    return ap_load_relaxed(&s->life) == life;
}

int apiary_swarm_status(apiary_t *a, const char *service, apiary_swarm_status_t *ret, size_t capacity)
{
    struct ap_swarm_queues queues;
    apiary_swarm_status_t row;
    size_t size = 0;
    int index = -1, count = 0;

    if (a == NULL || (ret == NULL && capacity > 0)) return APIARY_EINVAL;
    if (capacity > 0 && !ap_sized_valid(ret->struct_size, AP_FIRST_SWARM_STATUS)) return APIARY_EINVAL;
    if (capacity > 0) size = ret->struct_size;
    if (!ap_present(a)) return ap_absent(a);
    if (service != NULL) {
        index = ap_service_find(a->seg, service);
        if (index < 0) return 0;
    }
    (void)ap_swarm_queues_take(a->seg, &queues); /* without memory it takes longer */
    for (uint32_t i = 0; i < a->seg->sections[AP_SECTION_SWARMS].count; i++) {
        if (!ap_swarm_status_of(a->seg, &queues, i, index, &row)) continue;
        if ((size_t)count < capacity) ap_sized_out((char *)ret + (size_t)count * size, size, &row, sizeof row);
        count++;
    }
    ap_swarm_queues_free(&queues);
    return count;
}
