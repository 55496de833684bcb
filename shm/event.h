/* shm/event.h - the event log: a bounded ring of fixed records, newest overwrite oldest; for people, never for control.
 *
 * LAYOUT    192 B records. Writer: any lane. A writer claims a number by fetch-add of header.event_next; the record's `number` is
 *           stored last (0 while the record is written). A text, such as a reason or an error, lies in the record, cut to its room.
 * WHO       1 Entered are changes and repairs. Members that come and go are entered if they are queens or coordinators: clients and
 *           tools are many and short-lived, and would push out what matters.
 *           2 Of the failures of one agent in one second the first is entered, with the number of those that were not.
 * ORDERING  EVENT-R1 number store-release pairs EVENT-A1 load-acquire of readers, who read it again after the copy.
 *           EVENT-R2 each field store-release pairs EVENT-A2 load-acquire: the 0 before it.
 * CHECK     A record has a hash of all that it says. A writer that stalls between its stores while others fill the ring once writes
 *           into the row of a later event; then the hash of that one does not fit, and readers pass over it. So the event is
 *           lost, and never read as one mixed of two.
 * CRASH     A writer dies in between: number 0, or a mixture as above, and readers pass over the record.
 * LIMIT     A writer cannot claim the row instead. Nobody could tell a dead writer's claim from a slow one's, so each death here
 *           would cost a row for good.
 * INVARIANTS E1 number is the row's and was given out  E2 kind is known  E3 lane is in range  E4 time is not in the future
 *           E5 reserved bytes are 0  E6 size has room
 */
#ifndef AP_EVENT_H
#define AP_EVENT_H

#include "shm/segment.h"

/* X(name, text, meaning of a, of b, of c). "task": AP_EVENT_TASK. "by": AP_EVENT_BY. "failure": the agent's code, and above 32 bits
 * how many failures before it were not entered. "end": enum ap_child_end << 32 | code or signal (registry/monitor/supervised.h). */
#define AP_EVENTS(X)                                                     \
    X(MEMBER_JOINED, "queen or daemon joined", "member", "pid", "") \
    X(MEMBER_LEFT, "queen or daemon left", "member", "pid", "") \
    X(LANE_REAPED, "lane of a dead thread recovered", "lane", "member", "") \
    X(LANE_HELPED, "dead thread's tasks requeued beside a stopped recovery", "lane", "", "") \
    X(TASK_REQUEUED, "task of a dead worker requeued", "slot", "queue", "task") \
    X(TASK_CRASHED, "task gave up after crashes", "slot", "starts", "task") \
    X(TASK_LOST, "task gave up after the deaths of its workers", "slot", "starts", "task") \
    X(TASK_DEAD, "task entered in the dead set", "slot", "row", "task") \
    X(DEAD_DROPPED, "oldest entry of the dead set dropped for want of room", "number", "row", "") \
    X(DEAD_MISSED, "task found no row of the dead set", "slot", "cause", "task") \
    X(TASK_MOVED, "queued task moved to another queue", "slot", "queue", "task") \
    X(SWARM_REGISTERED, "swarm registered", "swarm", "member", "") \
    X(SWARM_LEFT, "swarm deregistered", "swarm", "member", "") \
    X(SWARM_DIED, "swarm's queen died", "swarm", "lane", "") \
    X(SWARM_MODE, "swarm's mode set by an operator", "swarm", "mode", "by") \
    X(BLOCKS_SWEPT, "leaked payload blocks freed", "count", "", "") \
    X(SWARM_WEIGHT, "swarm's weight set by an operator", "swarm", "weight", "by") \
    X(AGENT_EJECTED, "agent passed over because its tasks fail", "queue", "times in a row", "") \
    X(AGENT_RETURNED, "agent's tasks are well again", "queue", "", "") \
    X(TERMS_CHANGED, "capability's terms changed against another agent's", "capability", "term", "") \
    X(RESULT_FORGOTTEN, "result that nobody has collected given up", "slot", "member", "task") \
    X(CLAIM_STOLEN, "claim taken from a holder whose time was over", "row", "token", "") \
    X(CLAIM_FREED, "dead holder's claim freed", "row", "token", "") \
    X(MONITOR, "watches all lanes", "member", "beside a stopped holder", "") \
    X(ENDPOINT_FAILED, "health endpoint fails", "swarm", "answer", "") \
    X(ENDPOINT_PASSED, "health endpoint passes again", "swarm", "", "") \
    X(AGENT_DEAF, "agent answers no probe, and has nothing in hand", "queue", "times in a row", "") \
    X(AGENT_HEARD, "agent answers probes again", "queue", "", "") \
    X(SWARM_STUCK, "stuck instance ended by its supervisor, which starts it again", "swarm", "stuck for", "") \
    X(CONFIG_APPLIED, "configuration applied", "revision", "former revision", "") \
    X(CONFIG_REFUSED, "configuration refused", "revision that stays", "", "") \
    X(SERVICE_ADDED, "service added by a configuration", "service", "revision", "") \
    X(SERVICE_CHANGED, "service restarted with another configuration", "service", "revision", "") \
    X(SERVICE_REMOVED, "service removed by a configuration", "service", "revision", "") \
    X(SERVICE_RESTARTED, "service restarted by an operator", "service", "revision", "") \
    X(SERVICE_SCALED, "service has another number of instances", "service", "instances", "by") \
    X(TASK_FAILED, "task failed", "queue", "failure", "task") \
    X(INSTANCE_ENDED, "process of an instance ended", "supervised", "end", "pid") \
    X(SERVICE_ADJUSTED, "service has taken over another configuration as it runs", "service", "revision", "") \
    X(SERVICE_HELD, "service is not given more instances", "service", "instances", "by") \
    X(HTTP_UNSERVED, "HTTP is not served, which is tried again", "port", "", "") \
    X(OPERATED, "operator asked for a change over HTTP", "answered", "changed", "by") \
    X(HTTP_SERVED, "HTTP is served", "port", "", "") \
    X(TARGET_MISSED, "capability misses a target", "capability", "term", "") \
    X(TARGET_MET, "capability meets its target again", "capability", "term", "")

enum ap_event_kind {
    AP_EVENT_NONE,
#define X(name, text, a, b, c) AP_EVENT_##name,
    AP_EVENTS(X)
#undef X
        AP_EVENT_KINDS
};

#define AP_EVENT_TEXT 128u

struct ap_event {
    uint64_t number; /* from 1 */
    uint64_t time;   /* CLOCK_REALTIME */
    uint32_t kind;
    uint32_t lane; /* the writer's; of what a dead lane held: that lane */
    uint64_t a, b, c;
    uint64_t check; /* hash of all others */
    uint32_t size;  /* of the text */
    uint32_t reserved;
    uint64_t text[AP_EVENT_TEXT / 8];
};

/* A task as `c`: its capability, its caller as the slot has it (service + 1, 0: none), how often it was started. */
#define AP_EVENT_TASK(capability, caller, starts) \
    ((uint64_t)(caller) << 32 | (uint64_t)((starts) & 0xffff) << 16 | (((uint64_t)(capability) + 1) & 0xffff))
#define AP_EVENT_CAPABILITY(c) ((uint32_t)((c) & 0xffff) - 1) /* UINT32_MAX: none */
#define AP_EVENT_STARTS(c) ((uint32_t)((c) >> 16 & 0xffff))
#define AP_EVENT_CALLER(c) ((uint32_t)((c) >> 32))
/* An actor as `c`: a user and a process. */
#define AP_EVENT_BY(uid, pid) ((uint64_t)(uid) << 32 | (uint32_t)(pid))
#define AP_EVENT_UID(c) ((uint32_t)((c) >> 32))
#define AP_EVENT_PID(c) ((uint32_t)(c))

struct ap_slot;

void ap_event_log(struct ap_segment *seg, uint32_t kind, uint32_t lane, uint64_t a, uint64_t b);
/* The same with a third number and a text, which is cut to its room between two characters. */
void ap_event_log_more(struct ap_segment *seg, uint32_t kind, uint32_t lane, uint64_t a, uint64_t b, uint64_t c, const char *text,
                       size_t size);
/* The task in a slot, with this word, as `c`. */
uint64_t ap_event_task(const struct ap_slot *slot, uint64_t word);
/* Copies event `number`: 1, or 0 when it is not written yet, or overwritten. */
int ap_event_read(const struct ap_segment *seg, uint64_t number, struct ap_event *ret);
/* The text of an event that was read. */
void ap_event_said(const struct ap_event *e, char ret[AP_EVENT_TEXT + 1]);
const char *ap_event_text(uint32_t kind);

#endif
