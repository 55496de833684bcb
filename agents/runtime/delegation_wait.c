/* agents/runtime/delegation_wait.c - delegations of agents that wait for a ticket. See delegation.h. */
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/delegation.h"
#include "agents/runtime/queen.h"
#include "core/invariant.h"

/* In one piece of memory with the texts that it names. */
struct ap_waiting {
    struct ap_waiting *next;
    struct ap_delegation_asked asked;
    uint64_t until; /* its deadline, or when it would have to be started */
    char texts[];
};

static uint64_t waiting_until(const struct ap_delegation_asked *q)
{
    uint64_t start = q->options.schedule_to_start;

    return start != 0 && start < APIARY_FOREVER - q->due && q->due + start < q->deadline ? q->due + start : q->deadline;
}

int ap_delegation_wait(struct ap_worker *w, const struct ap_delegation_asked *q)
{
    size_t name = strlen(q->capability) + 1;
    struct ap_waiting *waits;

    if (w->waiting.count >= AP_WAITING_MAX) return APIARY_ELIMIT;
    waits = q->size <= SIZE_MAX - sizeof *waits - name ? malloc(sizeof *waits + name + q->size) : NULL;
    if (waits == NULL) return APIARY_ENOBLOCK;
    waits->next = NULL;
    waits->asked = *q;
    waits->until = waiting_until(q);
    waits->asked.capability = memcpy(waits->texts, q->capability, name);
    waits->asked.body = waits->texts + name;
    if (q->size > 0) memcpy(waits->texts + name, q->body, q->size);
    if (w->waiting.count == 0) {
        w->waiting.again = w->seg->ops->now() + AP_WAITING_PAUSE;
        w->waiting.end = &w->waiting.first;
    }
    *w->waiting.end = waits;
    w->waiting.end = &waits->next;
    w->waiting.count++;
    ap_add_relaxed(&ap_swarm_at(w->seg, w->queen->registration.swarm)->waited, 1);
    return 0;
}

static struct ap_waiting *waiting_take(struct ap_worker *w, struct ap_waiting **at)
{
    struct ap_waiting *waits = *at;

    AP_ASSERT(waits != NULL && w->waiting.count > 0);
    *at = waits->next;
    if (*at == NULL) w->waiting.end = at;
    w->waiting.count--;
    return waits;
}

/* Nobody asks for the end of one that is fire and forget: the log has it. */
static void waiting_ends(struct ap_worker *w, struct ap_waiting *waits, int code)
{
    const struct ap_delegation_asked *q = &waits->asked;
    const apiary_result_t result = {.struct_size = sizeof result, .data = "", .code = code};

    if (q->done != NULL) ap_delegation_call_back(w, q->inside, q->job, q->done, q->user, &result);
    else ap_agent_log(q->agent, 4, "a task for %s, which has waited for a ticket, was not delegated: %s", q->capability,
                      apiary_strerror(code));
    free(waits);
}

/* Spans of time that were said when it was asked for: the rest of them counts. */
static void waiting_shorten(struct ap_waiting *waits, uint64_t now)
{
    struct ap_delegation_asked *q = &waits->asked;
    uint64_t from = now > q->due ? now : q->due;

    q->options.delay = 0;
    if (q->due > now) q->options.due_at = q->due;
    if (q->deadline != APIARY_FOREVER) q->options.timeout = q->deadline - from;
    if (q->options.schedule_to_start != 0 && waits->until < APIARY_FOREVER) q->options.schedule_to_start = waits->until - from;
}

static bool waiting_in_vain(const struct ap_delegation_asked *q)
{
    return ap_parent_binds(q->policy) && ap_parent_over(q->job);
}

static int waiting_expire(struct ap_worker *w, uint64_t now)
{
    struct ap_waiting **at = &w->waiting.first;
    int n = 0;

    while (*at != NULL) {
        bool late = now >= (*at)->until;

        if (!late && !waiting_in_vain(&(*at)->asked)) {
            at = &(*at)->next;
            continue;
        }
        waiting_ends(w, waiting_take(w, at), late ? APIARY_ETIMEDOUT : APIARY_ECANCELLED);
        n++;
        at = &w->waiting.first; /* its callback may have changed the list */
    }
    return n;
}

int ap_delegations_waiting(struct ap_worker *w, uint64_t now, bool freed)
{
    int n = waiting_expire(w, now);

    if (!freed && now < w->waiting.again) return n;
    w->waiting.again = now + AP_WAITING_PAUSE;
    while (w->waiting.first != NULL) {
        struct ap_waiting *waits = w->waiting.first;
        int r;

        waiting_shorten(waits, now);
        r = ap_delegation_start(w, &waits->asked);
        if (r == APIARY_ELIMIT) break;
        waits = waiting_take(w, &w->waiting.first);
        n++;
        if (r < 0) waiting_ends(w, waits, r);
        else free(waits);
    }
    return n;
}

uint64_t ap_delegations_waiting_due(const struct ap_worker *w)
{
    uint64_t due = w->waiting.count > 0 ? w->waiting.again : UINT64_MAX;

    for (const struct ap_waiting *waits = w->waiting.first; waits != NULL; waits = waits->next)
        if (waits->until < due) due = waits->until;
    return due;
}

void ap_delegations_waiting_end(struct ap_worker *w, int code)
{
    /* Delegations that a callback adds meanwhile end in the same way, within bounds. */
    for (int i = 0; i < 100000 && w->waiting.first != NULL; i++) waiting_ends(w, waiting_take(w, &w->waiting.first), code);
}
