/* tools/apiaryd/probe.c - whether the agents of an instance take tasks: each is asked by a probe. See health.h. */
#include <string.h>

#include "core/log.h"
#include "core/text.h"
#include "registry/discovery/discovery.h"
#include "registry/routing/router.h"
#include "shm/event.h"
#include "tools/apiaryd/health.h"

#define SOON UINT64_C(1000000)
#define OWN_DELAY UINT64_C(1000000000) /* by which this thread is late on a machine that is too slow to judge */

/* ---- one agent ---------------------------------------------------------------------------------------------------- */

static bool probe_is_of(const struct health *h, uint32_t queue, uint32_t swarm, uint64_t *life)
{
    const struct ap_segment *seg = h->a->seg;

    *life = ap_load_acquire(&ap_queue_at(seg, queue)->life); /* QUEUE-A4 pairs QUEUE-R4 */
    return AP_QUEUE_STATE(*life) == AP_QUEUE_OPEN && ap_lane_alive(seg, AP_QUEUE_LANE(*life)) == 1 &&
           ap_load_relaxed(&ap_agent_at(seg, queue)->swarm) == swarm;
}

static void agent_probe(struct health_instance *in, uint32_t queue, uint64_t life, uint64_t now)
{
    struct health *h = in->health;
    struct health_agent *agent = &h->agents[queue];
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_PROBE, .provider = AP_PROVIDER(queue, life),
                                         .timeout = in->terms.timeout > AP_SILENT ? in->terms.timeout : AP_SILENT};
    char name[APIARY_CAPABILITY_MAX + 1];
    int rc;

    if (agent->life != life) *agent = (struct health_agent){.life = life};
    agent->swarm = in->swarm;
    agent->of = in->life;
    ap_capability_name(h->a->seg, ap_load_relaxed(&ap_agent_at(h->a->seg, queue)->capabilities[0]), name);
    rc = apiary_delegate(h->a, name, NULL, 0, &o, &agent->task);
    if (rc == 0) {
        agent->asked = true;
        agent->until = now + o.timeout;
        in->probes++;
    } else if (rc != APIARY_ENOPROVIDER && rc != h->refused) {
        ap_log(4, "%s: its agents cannot be probed: %s", in->name, apiary_strerror(rc));
        h->refused = rc;
    }
}

/* Whether nothing but the agent itself explains that it has not answered. */
static bool probe_unexplained(const struct health_instance *in, uint32_t queue, uint64_t now)
{
    const struct ap_segment *seg = in->health->a->seg;
    const struct ap_swarm *s = ap_swarm_at(seg, in->swarm);
    uint64_t beat = ap_load_relaxed(&s->beat);

    if (now > in->health->agents[queue].until + OWN_DELAY) return false;
    if (now > beat && now - beat >= AP_SILENT) return false;
    return ap_load_relaxed(&s->stuck) == 0 && ap_load_relaxed(&ap_queue_at(seg, queue)->running) == 0;
}

static void probe_name(const struct health_instance *in, uint32_t queue, char ret[APIARY_NAME_MAX + 1])
{
    ap_text_copy(ret, ap_agent_at(in->health->a->seg, queue)->name, APIARY_NAME_MAX + 1);
}

static void probe_heard(struct health_instance *in, uint32_t queue)
{
    struct health_agent *agent = &in->health->agents[queue];
    char name[APIARY_NAME_MAX + 1];

    if (agent->failures >= in->terms.unhealthy_after) {
        probe_name(in, queue, name);
        ap_log(5, "%s: agent %s answers probes again", in->name, name);
        ap_event_log(in->health->a->seg, AP_EVENT_AGENT_HEARD, in->health->a->anchor->lane.index, queue, 0);
    }
    agent->failures = 0;
}

static void probe_unheard(struct health_instance *in, uint32_t queue, uint64_t now)
{
    struct health_agent *agent = &in->health->agents[queue];
    char name[APIARY_NAME_MAX + 1];

    if (!probe_unexplained(in, queue, now)) return;
    if (agent->failures < UINT32_MAX) agent->failures++;
    if (agent->failures != in->terms.unhealthy_after) return;
    probe_name(in, queue, name);
    ap_log(4, "%s: agent %s answers no probe, %u times in a row, and has nothing in hand", in->name, name, agent->failures);
    ap_event_log(in->health->a->seg, AP_EVENT_AGENT_DEAF, in->health->a->anchor->lane.index, queue, agent->failures);
}

/* ---- a round ------------------------------------------------------------------------------------------------------ */

/* A verdict of another coordinator stands as long as it is not clear. */
static void probes_judge(struct health_instance *in)
{
    struct health *h = in->health;
    uint32_t deaf = 0, doubtful = 0;
    char name[APIARY_NAME_MAX + 1], first[APIARY_NAME_MAX + 1] = "";
    uint64_t life;

    for (uint32_t q = 0; q < h->a->seg->geometry.queues; q++) {
        const struct health_agent *agent = &h->agents[q];

        if (agent->failures == 0 || !probe_is_of(h, q, in->swarm, &life) || agent->life != life) continue;
        doubtful++;
        if (agent->failures < in->terms.unhealthy_after) continue;
        probe_name(in, q, name);
        if (deaf++ == 0) memcpy(first, name, sizeof first);
    }
    if (deaf > 1) ap_format(in->deaf_why, sizeof in->deaf_why, "agent %s and %u more answer no probe", first, deaf - 1);
    if (deaf == 1) ap_format(in->deaf_why, sizeof in->deaf_why, "agent %s answers no probe", first);
    if (deaf > 0) in->deaf = true;
    if (doubtful == 0) in->deaf = false;
    in->probe_due = in->probed + in->terms.interval / (doubtful > 0 ? in->terms.unhealthy_after : 1);
    instance_tell(in);
}

void probes_begin(struct health_instance *in, uint64_t now)
{
    struct health *h = in->health;
    uint64_t life;

    in->probed = now;
    in->probe_due = now + in->terms.interval;
    for (uint32_t q = 0; q < h->a->seg->geometry.queues; q++)
        if (probe_is_of(h, q, in->swarm, &life) && !h->agents[q].asked) agent_probe(in, q, life, now);
    if (in->probes == 0) return;
    h->look_spacing = SOON;
    h->look = now + SOON;
}

static void probe_look(struct health *h, uint32_t queue, uint64_t now)
{
    struct health_agent *agent = &h->agents[queue];
    struct health_instance *in = &h->all[agent->swarm];
    apiary_result_t result = {.struct_size = sizeof result};
    int rc = apiary_poll(h->a, agent->task, &result);

    if (rc == APIARY_ENOTREADY) return;
    agent->asked = false;
    if (rc == 0) rc = result.code;
    if (result.data != NULL) apiary_release(h->a, &result);
    if (agent->of != in->life) return; /* its registration has ended meanwhile */
    if (rc == 0) probe_heard(in, queue);
    if (rc == APIARY_ETIMEDOUT) probe_unheard(in, queue, now);
    if (--in->probes == 0) probes_judge(in);
}

void probes_collect(struct health *h, uint64_t now)
{
    uint64_t end = UINT64_MAX;

    if (now < h->look) return;
    for (uint32_t q = 0; q < h->a->seg->geometry.queues; q++) {
        if (h->agents[q].asked) probe_look(h, q, now);
        if (h->agents[q].asked && h->agents[q].until < end) end = h->agents[q].until;
    }
    h->look_spacing *= 2;
    h->look = now + h->look_spacing < end ? now + h->look_spacing : end > now + SOON ? end : now + SOON;
    if (end == UINT64_MAX) h->look = UINT64_MAX;
}
