/* registry/monitor/swarm_queues.c - see swarm_queues.h. */
#include "registry/monitor/swarm_queues.h"

#include <stdlib.h>
#include <string.h>

static bool queue_owned(const struct ap_segment *seg, uint32_t queue)
{
    uint32_t state = AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(seg, queue)->life)); /* QUEUE-A4 pairs QUEUE-R4 */

    return state == AP_QUEUE_OPEN || state == AP_QUEUE_CLOSED;
}

/* Tasks of queues that are not open, all in one pass over the tasks. */
static void waiting_count(const struct ap_segment *seg, struct ap_swarm_queues *q)
{
    for (uint64_t i = 0; i < seg->geometry.tasks; i++) {
        uint64_t word = ap_load_relaxed(&ap_slot_at(seg, i)->word);
        uint32_t owner = AP_WORD_OWNER(word);

        if (AP_WORD_STATE(word) == AP_TASK_QUEUED && owner < seg->geometry.queues && q->waiting[owner] != UINT32_MAX)
            q->waiting[owner]++;
    }
}

int ap_swarm_queues_take(const struct ap_segment *seg, struct ap_swarm_queues *ret)
{
    uint64_t swarms = seg->places[AP_SECTION_SWARMS].count;
    uint32_t queues = seg->geometry.queues, closed = 0;

    memset(ret, 0, sizeof *ret);
    ret->lives = calloc(1, swarms * (sizeof *ret->lives + sizeof *ret->first) + 2 * sizeof *ret->next * queues);
    if (ret->lives == NULL) return APIARY_ENOBLOCK;
    ret->first = (uint32_t *)(void *)(ret->lives + swarms);
    ret->next = ret->first + swarms;
    ret->waiting = ret->next + queues;
    for (uint64_t i = 0; i < swarms; i++) ret->lives[i] = ap_load_acquire(&ap_swarm_at(seg, i)->life); /* REG-A1 pairs REG-R1 */
    for (uint32_t i = queues; i-- > 0;) {
        bool owned = queue_owned(seg, i);
        uint32_t swarm = owned ? ap_load_relaxed(&ap_agent_at(seg, i)->swarm) : UINT32_MAX;

        ret->waiting[i] = owned && AP_QUEUE_STATE(ap_load_relaxed(&ap_queue_at(seg, i)->life)) == AP_QUEUE_OPEN ? UINT32_MAX : 0;
        closed += owned && ret->waiting[i] == 0;
        if (swarm >= swarms) continue;
        ret->next[i] = ret->first[swarm];
        ret->first[swarm] = i + 1;
    }
    if (closed > 0) waiting_count(seg, ret);
    return 0;
}

void ap_swarm_queues_free(struct ap_swarm_queues *q)
{
    free(q->lives);
    memset(q, 0, sizeof *q);
}

uint32_t ap_swarm_queues_next(const struct ap_segment *seg, const struct ap_swarm_queues *q, uint32_t swarm, uint32_t from)
{
    bool known = q->lives != NULL && q->lives[swarm] == ap_load_acquire(&ap_swarm_at(seg, swarm)->life); /* REG-A1 pairs REG-R1 */
    uint32_t i = from;

    if (known) i = (from == 0 ? q->first[swarm] : q->next[from - 1]) - 1;
    for (; i < seg->geometry.queues; i = known ? q->next[i] - 1 : i + 1)
        if (queue_owned(seg, i) && ap_load_relaxed(&ap_agent_at(seg, i)->swarm) == swarm) return i;
    return UINT32_MAX;
}

uint32_t ap_swarm_queues_waiting(const struct ap_segment *seg, const struct ap_swarm_queues *q, uint32_t queue)
{
    bool open = AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(seg, queue)->life)) == AP_QUEUE_OPEN; /* QUEUE-A4 pairs QUEUE-R4 */

    return open || q->lives == NULL || q->waiting[queue] == UINT32_MAX ? ap_queue_waiting(seg, queue) : q->waiting[queue];
}
