/* agents/runtime/tallied.c - what a worker counts by caller, capability and code. See tallied.h. */
#include "agents/runtime/tallied.h"

#include <string.h>

#include "agents/runtime/agent.h"
#include "agents/runtime/worker.h"

#define AGAIN UINT64_C(1000000000)

void ap_tallied_begin(struct ap_agent *agent)
{
    memset(&agent->tallied, 0, sizeof agent->tallied);
    agent->tallied.last = AP_TALLIED_NONE;
}

/* Of the caller's name as it is now. */
static uint64_t tallied_key(const struct ap_segment *seg, uint32_t pair)
{
    const struct ap_service *s = pair >> 16 != 0 ? ap_service_at(seg, (pair >> 16) - 1) : NULL;

    return s != NULL ? ap_load_relaxed(&s->key) : 0;
}

static struct ap_tallied_pair *tallied_known(struct ap_tallied *t, uint32_t pair)
{
    return &t->known[(pair ^ pair >> 16) % AP_TALLIED_KNOWN];
}

/* The row of a pair, which is the last one from now on; NULL: it counts among the others. */
static struct ap_tally_row *pair_row(struct ap_agent *agent, uint32_t pair)
{
    struct ap_segment *seg = agent->worker->seg;
    struct ap_tallied *t = &agent->tallied;
    struct ap_tallied_pair *known = tallied_known(t, pair);
    struct ap_tally_name name = {.kind = AP_TALLY_PAIR, .queue = agent->queue, .capability = pair & 0xffff};
    uint64_t key = tallied_key(seg, pair);

    if (known->pair != pair + 1 || known->key != key || (known->row == NULL && agent->worker->now >= known->again)) {
        ap_tally_caller(seg, pair >> 16, name.caller);
        *known = (struct ap_tallied_pair){.pair = pair + 1, .key = key, .row = ap_tally_find(seg, &name, true),
                                          .again = agent->worker->now + AGAIN};
    }
    if (known->row == NULL) return NULL;
    t->last = pair;
    t->row = known->row;
    return known->row;
}

static void tallied_others(const struct ap_segment *seg, enum ap_tally_count count, uint64_t n)
{
    if (n > 0) ap_tally_others(seg, AP_TALLY_PAIR, count, n);
}

__attribute__((noinline)) void ap_tallied_end(struct ap_agent *agent, const struct ap_job *job, enum ap_tally_count count,
                                              uint64_t ran, uint64_t out)
{
    const struct ap_segment *seg = agent->worker->seg;
    uint32_t pair = AP_TALLIED_PAIR(job->caller, job->capability);
    uint64_t *const own[] = {[AP_TALLY_ENDED] = &agent->done, [AP_TALLY_BAD] = &agent->failed, [AP_TALLY_LATE] = &agent->late,
                             [AP_TALLY_RETRIED] = &agent->retried};
    struct ap_tally_row *row = agent->tallied.last == pair ? agent->tallied.row : pair_row(agent, pair);

    ++*own[count];
    if (row != NULL) {
        if (count != AP_TALLY_RETRIED) ap_own_add(&row->counts[AP_TALLY_ENDED], 1);
        if (count != AP_TALLY_ENDED) ap_own_add(&row->counts[count], 1);
        ap_tallied_add(row, job->waited, ran, job->size, out);
        return;
    }
    if (count != AP_TALLY_RETRIED) tallied_others(seg, AP_TALLY_ENDED, 1);
    if (count != AP_TALLY_ENDED) tallied_others(seg, count, 1);
    tallied_others(seg, AP_TALLY_WAITED, job->waited);
    tallied_others(seg, AP_TALLY_RAN, ran);
    tallied_others(seg, AP_TALLY_IN, job->size);
    tallied_others(seg, AP_TALLY_OUT, out);
}

void ap_tallied_failed(struct ap_agent *agent, uint32_t capability, int code, uint32_t agent_code)
{
    const struct ap_tally_name name = {.kind = AP_TALLY_FAILED, .queue = agent->queue, .capability = capability, .code = code,
                                       .agent_code = agent_code};
    struct ap_segment *seg = agent->worker->seg;
    struct ap_tallied *t = &agent->tallied;
    struct ap_tally_row *row = ap_tally_find(seg, &name, false);

    if (t->codes == 0) t->codes = ap_tally_codes(seg, agent->queue) + 1;
    if (row == NULL && t->codes <= AP_TALLY_CODES) {
        row = ap_tally_find(seg, &name, true);
        t->codes += row != NULL;
    }
    if (row != NULL) ap_own_add(&row->counts[AP_TALLY_ENDED], 1);
    else ap_tally_others(seg, AP_TALLY_FAILED, AP_TALLY_ENDED, 1);
}

void ap_tallied_look(struct ap_agent *agent)
{
    struct ap_tallied *t = &agent->tallied;

    if (t->last != AP_TALLIED_NONE && tallied_known(t, t->last)->key != tallied_key(agent->worker->seg, t->last))
        t->last = AP_TALLIED_NONE;
}
