/* registry/registry.h - the meta registry's records in the segment: services, swarms, agents.
 *
 * SCOPE     A service is a name with its bulkhead of tickets. A swarm is one registered instance of a service: a
 *           queen process with its agents. An agent record describes the queue of the same index (shm/queue.h).
 * FOLDERS   discovery/: services, swarms and their modes, capabilities (DiscoveryService). routing/: router and balancer
 *           (TaskRouter, LoadBalancer), admission. monitor/: deaths and beats, what supervisors say, status (SwarmMonitor).
 *           client/: attach, delegate, await, collect. Here: the records, their part of the layout, their checks, their recovery.
 * LAYOUT    sections "services", "tickets" (one row per service, admission.h), "swarms", "agents" (one per queue),
 *           "capabilities" (discovery.h), "supervised" (supervised.h), in this order behind those of shm/.
 * NAMES     A service is known by its index, and keeps it while anybody uses the name: a member that calls for it, a swarm's record
 *           (DOWN, too), a ticket, a task's caller or `only`. service.life = epoch << 24 | lane << 8 | state, each step a CAS that
 *           raises the epoch: FREE -> FILLING(lane) -> NAMED(lane) -> READY; READY -> CONDEMNED by who needs a row, then FREE if
 *           nobody uses it, else READY again. FILLING or NAMED(dead) -> FREE by the reaper; whoever finds his name CONDEMNED, by
 *           somebody slow or dead, makes it READY. Who is to use a name says so where it is looked for, fences (NAME-F1), and then
 *           looks at the row; who condemns a row fences, and then looks for users.
 *           Two who enter one name take two rows: each is NAMED, fences, and looks at the others. A READY row, and a NAMED one
 *           before his own, are yielded to; a NAMED one behind is freed. So one of them becomes READY at most.
 * LIFE      swarm.life = epoch << 24 | lane << 8 | state, lane = the queen's control lane.
 *           FREE -> CLAIMED(lane) CAS -> filled -> LIVE(lane) store-release, published last (REG-R1) -> DOWN by the queen at
 *           its end, when its queues are closed and their consumers have stopped, or by the reaper. DOWN -> CLAIMED when the
 *           same service and instance registers again (it keeps its index, and its agents their queues and what is queued
 *           there), or when the table is full and nothing is queued for it. CLAIMED(dead): never published: FREE or DOWN by
 *           the reaper.
 *           A queue's agent record is written while the queue is CLAIMED; its swarm is AP_NO_SWARM when the DOWN record that
 *           owned it was given to another.
 * MODE      The operator's mode belongs to a service and instance, not to a registration: it stays when their queen leaves, dies
 *           or comes back, and begins anew when the record goes to another (those that are in no mode but READY go first).
 *           mode = key (40 bits) << 24 | change << 8 | enum apiary_mode. Writer: any operator, by CAS, which fails when the
 *           record is another's by then. Each word of the reason is six bytes under the number of the change they belong to:
 *           words of another change are not read, so a text is that of the mode beside it, or the beginning of it if its writer
 *           died, and nothing has to be emptied.
 * UNIQUE    Two registrants of one service and instance take the same DOWN record, where one CAS decides, or two FREE ones:
 *           then each stores its key, fences (REG-F1) and looks at all others. Whoever sees the other yields, so at least one
 *           does; the one with the lower index tries again, and gives up if the other has not yielded by then. So both may be
 *           refused with EEXIST, and neither is registered: whoever tries once more is told what came of it.
 * INVARIANTS R1 a LIVE swarm's lane is LIVE  R2 names end with NUL and are valid  R3 an OPEN queue's agent record names a LIVE
 *           swarm  R4 at most one LIVE swarm has a given service and instance  R7 at most one service has a name
 * ORDERING  REG-R1 swarm.life LIVE store-release pairs REG-A1 load-acquire of readers. REG-R2 a text's bytes store-release pair
 *           REG-A2 load-acquire: who sees a new byte sees that the record was CLAIMED. REG-R3 key store-release pairs REG-A3
 *           load-acquire: the names before it. REG-R4 release fence after the CAS that claims a record or a queue pairs REG-A4
 *           acquire fence before a reader's second look at the life: who has read a new field sees that it was CLAIMED.
 *           NAME-R1 CAS of a service's life pairs NAME-A1 load-acquire: the name before it. NAME-R2 release fence after FILLING
 *           pairs NAME-A2 acquire fence before a reader's second look at the life.
 *           MODE-R1 CAS of a word of the reason pairs MODE-A1 load-acquire: the mode before it.
 */
#ifndef AP_REGISTRY_H
#define AP_REGISTRY_H

#include "core/must_check.h"
#include "shm/part.h"
#include "shm/reap.h"

enum ap_registry_section {
    AP_SECTION_BEFORE_REGISTRY = AP_SECTION_FIRST_FREE - 1,
#define AP_PART(ID, id) AP_SECTION_##ID,
#include "registry/parts.def"
#undef AP_PART
    AP_REGISTRY_SECTIONS_END
};

/* The number of the geometry that a section of the registry may have. */
#define AP_REGISTRY_INDEX(ID) (AP_SECTION_##ID - AP_SECTION_FIRST_FREE)
#define AP_REGISTRY_NUMBER(g, ID) ((g)->registry[AP_REGISTRY_INDEX(ID)])
#define AP_REGISTRY_NUMBER_AT(ID) (AP_NUMBER_AT(registry) + 4 * AP_REGISTRY_INDEX(ID))

extern const struct ap_parts ap_registry_parts;

enum ap_swarm_life { AP_SWARM_FREE, AP_SWARM_CLAIMED, AP_SWARM_LIVE, AP_SWARM_DOWN };
#define AP_SWARM_LIFE(epoch, lane, state) ((uint64_t)(epoch) << 24 | (uint64_t)(lane) << 8 | (state))
#define AP_SWARM_STATE(l) ((uint32_t)((l) & 0xff))
#define AP_SWARM_LANE(l) ((uint32_t)((l) >> 8 & 0xffff))
#define AP_SWARM_EPOCH(l) ((uint64_t)(l) >> 24)

#define AP_AGENT_CAPABILITIES 16u
#define AP_NO_SWARM UINT32_MAX

#define AP_MODE_WORD(key, change, mode) ((uint64_t)(key) << 24 | (uint64_t)((change) & 0xffff) << 8 | (mode))
#define AP_MODE_OF(w) ((uint32_t)((w) & 0xff)) /* enum apiary_mode */
#define AP_MODE_CHANGE(w) ((uint32_t)((w) >> 8 & 0xffff))
#define AP_MODE_IS_OF(w, key) ((w) >> 24 == ((uint64_t)(key) << 24) >> 24)
#define AP_REASON_WORDS 12u
#define AP_REASON_MAX 72u

enum ap_service_life { AP_SERVICE_FREE, AP_SERVICE_FILLING, AP_SERVICE_NAMED, AP_SERVICE_READY, AP_SERVICE_CONDEMNED };
#define AP_SERVICE_LIFE(epoch, lane, state) ((uint64_t)(epoch) << 24 | (uint64_t)(lane) << 8 | (state))
#define AP_SERVICE_STATE(l) ((uint32_t)((l) & 0xff))
#define AP_SERVICE_LANE(l) ((uint32_t)((l) >> 8 & 0xffff))
#define AP_SERVICE_EPOCH(l) ((uint64_t)(l) >> 24)

struct ap_service {
    uint64_t key; /* hash of the name */
    uint64_t life;
    char name[APIARY_NAME_MAX + 1]; /* padded with zeros */
} AP_ALIGNED;

struct ap_swarm {
    uint64_t life;
    uint32_t state; /* enum apiary_state, measured; writer: the queen. What she said last, if her life is not LIVE */
    uint32_t leaving; /* 1: she has been told to stop, and ends what she has; writer: the queen */
    uint32_t service, member;
    uint16_t port;
    uint16_t park; /* enum ap_park (core/uring.h): how its workers sleep; 0: not said */
    uint32_t max_delegations;
    uint64_t registered; /* CLOCK_REALTIME */
    uint64_t key;        /* hash of service and instance, stored when both are filled in; 0: they are not */
    uint64_t mode;       /* AP_MODE_WORD, the operator's */

    uint64_t beat AP_ALIGNED; /* CLOCK_MONOTONIC, about every second; writer: the queen */
    uint64_t reserved2[7];

    char instance[APIARY_NAME_MAX + 1];
    char version[APIARY_NAME_MAX + 1];
    char health_endpoint[128], metrics_endpoint[128];
    uint64_t reason[AP_REASON_WORDS]; /* the operator's, for the mode */
} AP_ALIGNED;

struct ap_agent_record {
    uint32_t swarm; /* index; valid when the queue is not FREE */
    uint32_t capability_count;
    uint16_t capabilities[AP_AGENT_CAPABILITIES]; /* indexes in "capabilities" */
    uint64_t reserved[1];
    char name[APIARY_NAME_MAX + 1];
} AP_ALIGNED;

static inline struct ap_service *ap_service_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_SERVICES, i, struct ap_service);
}
static inline struct ap_swarm *ap_swarm_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_SWARMS, i, struct ap_swarm);
}
static inline struct ap_agent_record *ap_agent_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_AGENTS, i, struct ap_agent_record);
}

/* Creates the segment with the registry's sections, or APIARY_EEXIST. */
AP_MUST_CHECK int ap_registry_create(const struct ap_segment_options *options, char *message, size_t size, struct ap_segment **ret);
/* Attach and check that the registry's sections are there. */
AP_MUST_CHECK int ap_registry_attach(const char *name, bool writable, char *message, size_t size, struct ap_segment **ret);
AP_MUST_CHECK int ap_registry_attach_fd(int fd, bool writable, char *message, size_t size, struct ap_segment **ret);

/* For tools that read what attach refuses (ap_segment_salvage): whether the registry's sections fit the geometry, without which
 * nothing else of registry/ may be called. */
bool ap_registry_fits(const struct ap_segment *seg);

/* Index of a service, entered when absent: APIARY_ETABLEFULL, APIARY_EINVAL (name). Lock-free. `lane` is the caller's. It stays
 * that name's while what the caller has stored before (see NAMES) says that it is used. */
AP_MUST_CHECK int ap_service_intern(struct ap_segment *seg, uint32_t lane, const char *name, uint32_t *ret);
/* What a dead lane left half entered; `beside` as in struct ap_reap_hooks. */
void ap_services_end(struct ap_segment *seg, uint32_t lane, uint64_t beside);
/* -1 when absent. */
int ap_service_find(const struct ap_segment *seg, const char *name);
/* Copies the name, always ended; "" when the index is out of range or not ready. */
void ap_service_name(const struct ap_segment *seg, uint32_t service, char ret[APIARY_NAME_MAX + 1]);

/* Texts of records: at most size - 1 bytes, the rest zeros; size is a multiple of 8, and `from` of a copy (a record's) aligned to
 * 8. The copy stops at what does not print. */
void ap_text_store(char *to, const char *from, size_t size);
void ap_text_copy(char *to, const char *from, size_t size);

/* One agent to register: `lane` is its worker's lane, the queue's consumer. */
struct ap_agent_registration {
    const char *name;
    const char *const *capabilities; /* ends with NULL */
    uint32_t lane;
    uint32_t queue; /* filled in */
};
struct ap_swarm_registration {
    const char *service, *instance, *version, *health_endpoint, *metrics_endpoint;
    uint16_t port;
    uint16_t park; /* enum ap_park, see struct ap_swarm */
    uint32_t max_delegations, lane, member;
    struct ap_agent_registration *agents;
    size_t agent_count;
    uint32_t swarm, service_index; /* filled in */
};
/* All or nothing; capabilities become discoverable last. APIARY_EEXIST, _ETABLEFULL, _EINVAL. By the control lane. */
AP_MUST_CHECK int ap_swarm_register(struct ap_segment *seg, struct ap_swarm_registration *r);
/* How the queen is, and that she lives: true; false and nothing is stored when the record is no longer the registration's. */
AP_MUST_CHECK bool ap_swarm_beat(struct ap_segment *seg, const struct ap_swarm_registration *r, uint32_t state);
/* No new picks; queues stay open for what is in them. */
void ap_swarm_withdraw(struct ap_segment *seg, const struct ap_swarm_registration *r);
/* Queues closed, what is queued is moved to other providers. The record stays LIVE, and so the queues stay the swarm's: a worker
 * may still be taking from one. Who is killed after this is killed while LIVE, and the reaper ends it. */
void ap_swarm_close(struct ap_segment *seg, uint32_t self, const struct ap_swarm_registration *r);
/* Closed, if that was not done, and DOWN: the queues may be opened by another consumer, so the workers have stopped. */
void ap_swarm_deregister(struct ap_segment *seg, uint32_t self, const struct ap_swarm_registration *r);

/* What waits in a queue of the segment (not in a damaged one's). Of one that is closed nobody takes anything out: its rings keep
 * what has been taken back or moved away since, so there the task words are counted. */
uint32_t ap_queue_waiting(const struct ap_segment *seg, uint32_t queue);

/* What service and instance are known by in a record. */
uint64_t ap_swarm_key(const char *service, const char *instance);

/* The operator's mode of a service's instance, which the record `swarm` was seen to be, living or not; `reason` at most
 * AP_REASON_MAX printable characters; NULL: none, or as it stands when the mode is that already. 1; 0 when both were so already;
 * APIARY_ESTALE when the record is another's by now, APIARY_EINVAL. By anybody, by several at once: the last one's holds. */
int ap_swarm_mode_set(struct ap_segment *seg, uint32_t swarm, const char *service, const char *instance, enum apiary_mode mode,
                      const char *reason);
/* The reason for its mode; "" when there is none, or no such record. */
void ap_swarm_reason(const struct ap_segment *seg, uint32_t swarm, char ret[AP_REASON_MAX + 1]);
/* For who has CLAIMED a record that was another's: READY, for no reason. */
void ap_swarm_mode_begin(struct ap_swarm *s, uint64_t key);

/* One record that is DOWN, READY, and for which nothing waits, is FREE: false when there is none. `lane` is the caller's. */
bool ap_swarm_forget(struct ap_segment *seg, uint32_t lane);
/* The same for the record of one instance only (ap_swarm_key). */
bool ap_swarm_forget_instance(struct ap_segment *seg, uint32_t lane, uint64_t key);

/* Ends the registration that `life` was loaded of, whose lane has been seen dead, if it is still that one: queues closed, DOWN, or
 * FREE when it was never named. Its tasks and tickets are the reaper's business. By anybody, by several at once. */
void ap_swarm_end(struct ap_segment *seg, uint32_t swarm, uint64_t life);

/* Ends all registrations of a dead lane (part.h). */
void ap_swarms_end(struct ap_segment *seg, uint32_t lane, uint64_t beside);

/* The reaper's view of the registry: closes queues, withdraws swarms, frees tickets, routes by capability. */
extern const struct ap_reap_hooks ap_registry_hooks;

/* What a task slot says of the registry: R6 capability, services and ticket are those of the tables. */
void ap_registry_look_slot(struct ap_look *look);

#endif
