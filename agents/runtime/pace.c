/* agents/runtime/pace.c - how long an agent's worker takes for a task that waits. See pace.h. */
#include "agents/runtime/pace.h"

#include "agents/runtime/queen.h"

#define MEAN 32u /* tasks over which the mean goes */
#define AT_MOST 8u /* times the mean is what one measure may say */

static uint64_t pace_ended(const struct ap_agent *agent)
{
    return agent->done + agent->failed + agent->late + agent->retried;
}

void ap_pace_begin(struct ap_agent *agent)
{
    agent->pace = (struct ap_pace){.late = ap_load_relaxed(&agent->consumer.queue->expired), .calm = pace_ended(agent)};
}

void ap_pace_overdue(struct ap_agent *agent, uint64_t started, uint64_t deadline, uint64_t usual)
{
    agent->pace.overdue += deadline < started || deadline - started < usual;
}

/* How often the margin is to shrink now. */
static uint64_t pace_calm(struct ap_pace *p, uint64_t ended, uint64_t now)
{
    uint64_t spans = p->calm_since != 0 && now > p->calm_since ? (now - p->calm_since) / AP_PACE_CALM_TIME : 0;

    if (p->calm_since == 0) p->calm_since = now;
    if (spans == 0 && ended - p->calm < AP_PACE_CALM) return 0;
    p->calm = ended;
    p->calm_since = now;
    return spans > 1 ? spans : 1;
}

static void pace_measure(struct ap_pace *p, uint64_t took, uint64_t ended)
{
    uint64_t each = took / ended, parts = ended < MEAN ? ended : MEAN;

    if (p->each != 0 && each / AT_MOST > p->each) each = p->each * AT_MOST;
    p->each = p->each - p->each / MEAN * parts + each / MEAN * parts;
}

static void pace_margin(struct ap_agent *agent, uint64_t ended, uint64_t now)
{
    struct ap_pace *p = &agent->pace;
    uint64_t late = p->overdue + ap_load_relaxed(&agent->consumer.queue->expired);
    uint32_t margin = p->margin > AP_MARGIN_LEAST ? p->margin : AP_MARGIN_LEAST;

    if (late != p->late) {
        p->late = late;
        p->calm = ended;
        p->calm_since = now;
        if (now < p->deaf) return;
        margin += margin / 4;
        if (margin > AP_MARGIN_MOST) margin = AP_MARGIN_MOST;
        p->deaf = now + 2 * p->each * ap_load_relaxed(&agent->consumer.queue->depth);
    } else {
        uint64_t times = pace_calm(p, ended, now);
        if (times == 0) return;
        for (; times > 0 && margin > AP_MARGIN_LEAST; times--) margin -= (margin + 99) / 100;
    }
    p->margin = margin;
    ap_queue_margin(&agent->consumer, margin);
}

void ap_pace_look(struct ap_agent *agent, uint64_t now)
{
    struct ap_pace *p = &agent->pace;
    uint64_t ended = pace_ended(agent);
    bool waits = ap_load_relaxed(&agent->consumer.queue->depth) > 0;

    pace_margin(agent, ended, now);
    if (!waits || p->since == 0) p->each = agent->run_time / (agent->in_hand > 0 ? agent->in_hand : 1);
    else if (ended > p->ended && now > p->since) pace_measure(p, now - p->since, ended - p->ended);
    else return;
    p->since = waits ? now : 0;
    p->ended = ended;
    ap_queue_pace(&agent->consumer, p->each);
}
