/* agents/runtime/outlier.c - see outlier.h. */
#include "agents/runtime/outlier.h"

#include "agents/runtime/queen.h"
#include "shm/event.h"

#define SECOND UINT64_C(1000000000)
#define DOUBLINGS 6u /* one second to 64 */
_Static_assert(SECOND << DOUBLINGS == AP_EJECTED_MAX, "as the checker has it");

static bool outlier_theirs(uint32_t agent_code)
{
    return agent_code >= 400 && agent_code <= 499;
}

static void outlier_charge(struct ap_agent *agent, uint64_t now)
{
    uint64_t left = ap_queue_charge_left(agent->consumer.queue, now);

    ap_queue_charge(&agent->consumer, left + (AP_CHARGE_MAX - left) / 4, now);
}

static void outlier_eject(struct ap_agent *agent, struct ap_outlier *o, uint64_t now)
{
    if (o->until == 0 && now - o->well > 10 * (SECOND << (o->times < DOUBLINGS ? o->times : DOUBLINGS))) o->times = 0;
    o->times++;
    o->until = now + (SECOND << (o->times - 1 < DOUBLINGS ? o->times - 1 : DOUBLINGS));
    ap_queue_eject(&agent->consumer, o->until, o->times);
    ap_event_log(agent->worker->seg, AP_EVENT_AGENT_EJECTED, agent->worker->context->lane.index, agent->queue, o->times);
    if (o->times == 1) ap_agent_log(agent, 4, "its tasks fail: it is passed over for a time, where another provider is there");
}

/* How many of the last ten seconds' tasks have failed: whether at least half of them. */
static bool outlier_half(const struct ap_agent *agent, const struct ap_outlier *o, uint64_t second)
{
    uint64_t failed = 0, done = agent->done;

    for (uint32_t i = 0; i < AP_OUTLIER_BUCKETS; i++) {
        if (o->buckets[i].failed == 0 || o->buckets[i].second + AP_OUTLIER_BUCKETS <= second) continue;
        failed += o->buckets[i].failed;
        if (o->buckets[i].done < done) done = o->buckets[i].done;
    }
    return failed >= AP_OUTLIER_LEAST && failed >= agent->done - done;
}

static void outlier_count(const struct ap_agent *agent, struct ap_outlier *o, uint64_t second)
{
    uint32_t at = (uint32_t)(second % AP_OUTLIER_BUCKETS);

    if (o->buckets[at].second != second || o->buckets[at].failed == 0) {
        o->buckets[at].second = second;
        o->buckets[at].done = agent->done;
        o->buckets[at].failed = 0;
    }
    o->buckets[at].failed++;
}

void ap_outlier_failed(struct ap_agent *agent, uint32_t capability, uint32_t agent_code, uint64_t now)
{
    struct ap_outlier *o = &agent->outlier;
    const struct ap_capability *row = ap_capability_at(agent->worker->seg, capability);
    uint64_t after;

    if (row == NULL || outlier_theirs(agent_code)) return;
    after = ap_term(agent->worker->seg, capability, row, AP_TERM_eject_after);
    o->row = o->done == agent->done ? o->row + 1 : 1;
    o->done = agent->done;
    outlier_charge(agent, now);
    outlier_count(agent, o, now / SECOND);
    if (after == 0 || (o->until != 0 && now < o->until)) return; /* what was sent there before fails still */
    if (o->until != 0 || o->row >= after || outlier_half(agent, o, now / SECOND)) outlier_eject(agent, o, now);
}

void ap_outlier_look(struct ap_agent *agent, uint64_t now)
{
    struct ap_outlier *o = &agent->outlier;

    if (now < o->until) {
        o->done = agent->done; /* these were sent before it was ejected, and tell nothing */
        return;
    }
    if (agent->done == o->done) return;
    o->until = 0;
    o->well = now;
    memset(o->buckets, 0, sizeof o->buckets);
    ap_queue_eject(&agent->consumer, 0, 0);
    ap_queue_charge(&agent->consumer, 0, now);
    ap_event_log(agent->worker->seg, AP_EVENT_AGENT_RETURNED, agent->worker->context->lane.index, agent->queue, 0);
    ap_agent_log(agent, 6, "its tasks end well again");
}
