/* agents/runtime/pace.c - how long an agent's worker takes for a task that waits. See pace.h. */
#include "agents/runtime/pace.h"

#include "agents/runtime/queen.h"

#define MEAN 32u /* tasks over which the mean goes */
#define AT_MOST 8u /* times the mean is what one measure may say */

static void pace_measure(struct ap_pace *p, uint64_t took, uint64_t ended)
{
    uint64_t each = took / ended, parts = ended < MEAN ? ended : MEAN;

    if (p->each != 0 && each / AT_MOST > p->each) each = p->each * AT_MOST;
    p->each = p->each - p->each / MEAN * parts + each / MEAN * parts;
}

void ap_pace_look(struct ap_agent *agent, uint64_t now)
{
    struct ap_pace *p = &agent->pace;
    uint64_t ended = agent->done + agent->failed + agent->late + agent->retried;
    bool waits = ap_load_relaxed(&agent->consumer.queue->depth) > 0;

    if (!waits || p->since == 0) p->each = agent->run_time / (agent->in_hand > 0 ? agent->in_hand : 1);
    else if (ended > p->ended && now > p->since) pace_measure(p, now - p->since, ended - p->ended);
    else return;
    p->since = waits ? now : 0;
    p->ended = ended;
    ap_queue_pace(&agent->consumer, p->each);
}
