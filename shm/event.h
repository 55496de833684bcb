/* shm/event.h - the event log: a bounded ring of fixed records, newest overwrite oldest; for people, never for control.
 *
 * LAYOUT    64 B records. Writer: any lane. A writer claims a number by fetch-add of header.event_next; the record's `number` is
 *           stored last (0 while the record is written).
 * ORDERING  EVENT-R1 number store-release pairs EVENT-A1 load-acquire of readers, who read it again after the copy.
 *           EVENT-R2 each field store-release pairs EVENT-A2 load-acquire: the 0 before it.
 * CRASH     A writer dies in between: number 0, and readers pass over the record.
 * LIMIT     1 A writer that stalls between its stores while others fill the ring once writes into the row of a later event. That
 *           row may be read as one event mixed of two.
 *           2 A writer cannot claim the row instead. Nobody could tell a dead writer's claim from a slow one's, so each death here
 *           would cost a row for good.
 */
#ifndef AP_EVENT_H
#define AP_EVENT_H

#include "shm/segment.h"

/* X(name, text, meaning of a, meaning of b) */
#define AP_EVENTS(X)                                                     \
    X(MEMBER_JOINED, "queen or daemon joined", "member", "pid")                   \
    X(MEMBER_LEFT, "queen or daemon left", "member", "pid")                       \
    X(LANE_REAPED, "lane of a dead thread recovered", "lane", "member")  \
    X(LANE_HELPED, "dead thread's tasks requeued beside a stopped recovery", "lane", "") \
    X(TASK_REQUEUED, "task of a dead worker requeued", "slot", "queue")  \
    X(TASK_CRASHED, "task gave up after crashes", "slot", "starts")      \
    X(TASK_LOST, "task gave up after the deaths of its workers", "slot", "starts") \
    X(TASK_DEAD, "task entered in the dead set", "slot", "row")          \
    X(DEAD_DROPPED, "oldest entry of the dead set dropped for want of room", "number", "row") \
    X(DEAD_MISSED, "task found no row of the dead set", "slot", "cause") \
    X(TASK_MOVED, "queued task moved to another queue", "slot", "queue") \
    X(SWARM_REGISTERED, "swarm registered", "swarm", "member")           \
    X(SWARM_LEFT, "swarm deregistered", "swarm", "member")               \
    X(SWARM_DIED, "swarm's queen died", "swarm", "lane")                 \
    X(SWARM_MODE, "swarm's mode set by an operator", "swarm", "mode")    \
    X(BLOCKS_SWEPT, "leaked payload blocks freed", "count", "")          \
    X(SWARM_WEIGHT, "swarm's weight set by an operator", "swarm", "weight") \
    X(AGENT_EJECTED, "agent passed over because its tasks fail", "queue", "times in a row") \
    X(AGENT_RETURNED, "agent's tasks are well again", "queue", "") \
    X(TERMS_CHANGED, "capability's terms changed against another agent's", "capability", "term") \
    X(RESULT_FORGOTTEN, "result that nobody has collected given up", "slot", "member") \
    X(CLAIM_STOLEN, "claim taken from a holder whose time was over", "row", "token") \
    X(CLAIM_FREED, "dead holder's claim freed", "row", "token") \
    X(MONITOR, "watches all lanes", "member", "beside a stopped holder") \
    X(ENDPOINT_FAILED, "health endpoint fails", "swarm", "answer") \
    X(ENDPOINT_PASSED, "health endpoint passes again", "swarm", "") \
    X(AGENT_DEAF, "agent answers no probe, and has nothing in hand", "queue", "times in a row") \
    X(AGENT_HEARD, "agent answers probes again", "queue", "") \
    X(SWARM_STUCK, "stuck instance ended by its supervisor, which starts it again", "swarm", "stuck for") \
    X(CONFIG_APPLIED, "configuration applied", "revision", "former revision") \
    X(CONFIG_REFUSED, "configuration refused", "revision that stays", "") \
    X(SERVICE_ADDED, "service added by a configuration", "service", "revision") \
    X(SERVICE_CHANGED, "service restarted with another configuration", "service", "revision") \
    X(SERVICE_REMOVED, "service removed by a configuration", "service", "revision") \
    X(SERVICE_RESTARTED, "service restarted by an operator", "service", "revision") \
    X(SERVICE_SCALED, "service has another number of instances", "service", "instances") \
    X(SERVICE_ADJUSTED, "service has taken over another configuration as it runs", "service", "revision")

enum ap_event_kind {
    AP_EVENT_NONE,
#define X(name, text, a, b) AP_EVENT_##name,
    AP_EVENTS(X)
#undef X
        AP_EVENT_KINDS
};

struct ap_event {
    uint64_t number; /* from 1 */
    uint64_t time;   /* CLOCK_REALTIME */
    uint32_t kind;
    uint32_t lane; /* the writer's */
    uint64_t a, b;
    uint8_t reserved[24];
};

void ap_event_log(struct ap_segment *seg, uint32_t kind, uint32_t lane, uint64_t a, uint64_t b);
/* Copies event `number`: 1, or 0 when it has been overwritten. */
int ap_event_read(const struct ap_segment *seg, uint64_t number, struct ap_event *ret);
const char *ap_event_text(uint32_t kind);

#endif
