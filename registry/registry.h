/* registry/registry.h - the meta registry's records in the segment: services, swarms, agents.
 *
 * SCOPE     1 A service is a name with its bulkhead of tickets.
 *           2 A swarm is one registered instance of a service: a queen process with its agents.
 *           3 An agent record describes the queue of the same index (shm/queue.h).
 * FOLDERS   discovery/: services, swarms and their modes, capabilities (DiscoveryService). routing/: router and balancer
 *           (TaskRouter, LoadBalancer), admission. monitor/: deaths and beats, what supervisors say, status (SwarmMonitor).
 *           client/: attach, delegate, await, collect. Here: the records, their part of the layout, their checks, their recovery.
 * LAYOUT    sections "services", "tickets" (one row per service, admission.h), "swarms", "agents" (one per queue),
 *           "capabilities" (discovery.h), "supervised" (supervised.h), "carried" (one per slot, carried.h), "terms" (one per
 *           capability, terms.h), "rules" and "rule_holds" (sets of them, rule_sets.h), in this order behind those of shm/.
 * NAMES     1 A service is known by its index. The index stays that name's while the name is in use: by a member that calls for
 *           the service, a swarm's record (DOWN, too), a ticket, a task's caller or `only`.
 *           2 service.life = epoch << 24 | lane << 8 | state. Each step is a CAS that raises the epoch.
 *           3 FREE -> FILLING(lane) -> NAMED(lane) -> READY. FILLING or NAMED(dead) -> FREE by the reaper.
 *           4 READY -> CONDEMNED by a lane that needs a row. CONDEMNED -> FREE if the name is not in use, else READY again. A lane
 *           that finds its own name CONDEMNED makes the row READY: the lane that condemned it may be slow or dead.
 *           5 A lane that begins to use a name records that use first, then fences (NAME-F1), then looks at the row. A lane that
 *           condemns a row fences and then looks for uses. So one of the two sees the other.
 *           6 Two lanes that enter one name take two rows. Each makes its row NAMED, fences, and looks at the other rows. It
 *           yields to a READY row and to a NAMED row before its own; a NAMED row behind its own is freed. So at most one becomes
 *           READY. Any lane may take the last step of a NAMED row for its owner, and does so before it yields to the row: the owner
 *           may be stopped.
 * LIFE      1 swarm.life = epoch << 24 | lane << 8 | state. The lane is the queen's control lane.
 *           2 FREE -> CLAIMED(lane) by CAS. Then the record is filled in. LIVE(lane) is stored last, with release (REG-R1).
 *           3 LIVE -> DOWN by the queen at its end, when its queues are closed and their consumers have stopped; or by the reaper.
 *           4 DOWN -> CLAIMED when the same service and instance registers again: the swarm keeps its index, and its agents keep
 *           their queues and the tasks in them. Also when the table is full and nothing is queued for the record.
 *           5 CLAIMED(dead) was never published: FREE or DOWN by the reaper.
 *           6 A queue's agent record is written while the queue is CLAIMED. Its swarm is AP_NO_SWARM once the DOWN record that
 *           owned the queue was given to another instance.
 *           7 While it is LIVE its queen may store other limits, another weight and other terms of its health check
 *           (ap_swarm_adjust). Each word is valid on its own.
 * MODE      1 The operator's mode belongs to a service and instance, not to a registration. It stays when the queen leaves, dies
 *           or comes back.
 *           2 The mode, and the operator's weight, begin anew when the record goes to another instance, or to the same one after
 *           it was forgotten. Records that are READY are given away first.
 *           3 mode = key (40 bits) << 24 | change << 8 | enum apiary_mode. Writer: any operator, by a CAS that fails when the
 *           record is another instance's by then.
 *           4 The reason is a text beside it (reason.h).
 * HEALTH    The coordinator's finding about the instance lies beside (monitor/health.h).
 * UNIQUE    1 Two registrants of one service and instance may take the same DOWN record; one CAS decides.
 *           2 Or they take two FREE records. Then each stores its key, fences (REG-F1) and looks at all other records. A
 *           registrant that sees the other yields, so at least one of them does.
 *           3 The registrant with the lower index tries again, and gives up if the other has not yielded by then. So both may be
 *           refused with EEXIST and neither be registered. A further attempt has a definite answer.
 * INVARIANTS R1 a LIVE swarm's lane is LIVE  R2 names end with NUL and are valid  R3 an OPEN queue's agent record names a LIVE
 *           swarm  R4 at most one LIVE swarm has a given service and instance  R7 at most one service has a name
 * ORDERING  REG-R1 swarm.life LIVE store-release pairs REG-A1 load-acquire of readers: the record before it.
 *           REG-R2 a text's bytes store-release pair REG-A2 load-acquire: a reader that sees a new byte sees that the record was
 *           CLAIMED.
 *           REG-R3 key store-release pairs REG-A3 load-acquire: the names before it.
 *           REG-R4 release fence after the CAS that claims a record or a queue pairs REG-A4 acquire fence before a reader's second
 *           look at the life: a reader that has read a new field sees that it was CLAIMED.
 *           NAME-R1 CAS of a service's life pairs NAME-A1 load-acquire: the name before it.
 *           NAME-R2 release fence after FILLING pairs NAME-A2 acquire fence before a reader's second look at the life.
 */
#ifndef AP_REGISTRY_H
#define AP_REGISTRY_H

#include "core/apiary/discovery.h"
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

/* Each section of the registry has one number in the geometry. */
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
#define AP_SERVICES_MAX 16384u
#define AP_SWARMS_MAX 16384u /* 14 bits in an entry of the log of changes */
_Static_assert(AP_SERVICES_MAX < 1u << 16, "a service's number + 1 has 16 bits in a task's slot, and in what a gate passes on");
_Static_assert(AP_SWARMS_MAX <= 1u << 16, "a record has 16 bits in the number of a registration");
#define AP_NO_SWARM UINT32_MAX

#define AP_MODE_WORD(key, change, mode) ((uint64_t)(key) << 24 | (uint64_t)((change) & 0xffff) << 8 | (mode))
#define AP_MODE_OF(w) ((uint32_t)((w) & 0xff)) /* enum apiary_mode */
#define AP_MODE_CHANGE(w) ((uint32_t)((w) >> 8 & 0xffff))
#define AP_MODE_IS_OF(w, key) ((w) >> 24 == ((uint64_t)(key) << 24) >> 24)
/* The operator's weight is of one service and instance, as the mode is, and stays as that does. */
#define AP_SHARE_WORD(key, change, set, weight) \
    ((uint64_t)(key) << 24 | (uint64_t)((change) & 0x7f) << 17 | (uint64_t)(set) << 16 | (weight))
#define AP_SHARE_CHANGE(w) ((uint32_t)((w) >> 17 & 0x7f))
#define AP_SHARE_IS_OF(w, key) (((w) >> 16 & 1) != 0 && AP_MODE_IS_OF(w, key))
#define AP_WEIGHT 100u /* of an instance that says none */
#define AP_WEIGHT_MAX 1000u
_Static_assert(AP_WEIGHT_MAX <= 0xffff, "a weight has 16 bits");
_Static_assert(APIARY_PAUSE <= 0xff, "a mode has eight bits");
#define AP_REASON_WORDS 12u
#define AP_REASON_MAX 72u
#define AP_HEALTH_WORD(key, change, found) AP_MODE_WORD(key, change, found)
#define AP_FOUND_WORDS 23u
#define AP_FOUND_MAX 138u

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
    uint32_t state; /* enum apiary_state, measured; writer: the queen. Its last word, if life is not LIVE */
    uint32_t leaving; /* 1: the queen was told to stop and finishes its tasks; writer: the queen */
    uint32_t service, member;
    uint16_t port;
    uint16_t park; /* enum ap_park (core/uring.h): how its workers sleep; 0: unknown */
    uint32_t max_delegations;
    uint64_t registered; /* CLOCK_REALTIME */
    uint64_t key;        /* hash of service and instance, stored when both are filled in; 0: not yet */
    uint64_t mode;       /* AP_MODE_WORD, the operator's */
    uint64_t share;      /* AP_SHARE_WORD, the operator's weight; another instance's, or not set: none */

    uint64_t beat AP_ALIGNED; /* CLOCK_MONOTONIC, about every second; writer: the queen */
    uint64_t up;     /* CLOCK_MONOTONIC of its registration */
    uint32_t weight; /* its share among the providers of a capability, as registered */
    uint16_t unhealthy_after, healthy_after; /* its health check, as registered (monitor/health.h); 0: as is usual */
    uint64_t waited; /* delegations of its agents that found no ticket and waited for one, since it was registered */
    uint64_t stuck;  /* CLOCK_MONOTONIC: since when a worker has not gone on; 0: all do; writer: the queen, with the beat */
    uint32_t health_interval, health_timeout; /* ms, as the counts above */
    uint64_t health_until;                    /* CLOCK_MONOTONIC, of `health`; writer: the coordinator */
    uint64_t first; /* the epoch of the first registration of the instance that has the record (discovery/changes.h) */

    char instance[APIARY_NAME_MAX + 1];
    char version[APIARY_NAME_MAX + 1];
    char health_endpoint[128], metrics_endpoint[128];
    uint64_t reason[AP_REASON_WORDS]; /* the operator's, for the mode */
    uint64_t health;                  /* AP_HEALTH_WORD, the coordinator's (monitor/health.h) */
    uint64_t found[AP_FOUND_WORDS];   /* its reason */
    char tags[APIARY_TAGS_MAX + 1];   /* as registered (tags.h) */
    uint64_t told;                    /* discovery/changes.h */
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

/* Whether the agent runs tasks of this capability, by its own record. A capability that it has withdrawn still counts, so that
 * tasks queued before a drain are run. Its worker judges by this, and so does a lane that moves tasks. */
AP_ALWAYS_INLINE bool ap_agent_runs(const struct ap_agent_record *agent, uint32_t capability)
{
    uint32_t count = ap_load_relaxed(&agent->capability_count);

    for (uint32_t i = 0; i < count && i < AP_AGENT_CAPABILITIES; i++)
        if (ap_load_relaxed(&agent->capabilities[i]) == capability) return true;
    return false;
}

/* Creates the segment with the registry's sections, or APIARY_EEXIST. */
AP_MUST_CHECK int ap_registry_create(const struct ap_segment_options *options, char *message, size_t size, struct ap_segment **ret);
/* Attach, and check that the registry's sections are there. */
AP_MUST_CHECK int ap_registry_attach(const char *name, bool writable, char *message, size_t size, struct ap_segment **ret);
AP_MUST_CHECK int ap_registry_attach_fd(int fd, bool writable, char *message, size_t size, struct ap_segment **ret);

/* For tools that read what attach refuses (ap_segment_salvage): whether the registry's sections fit the geometry, without which
 * nothing else of registry/ may be called. */
bool ap_registry_fits(const struct ap_segment *seg);

/* Index of a service, entered when absent: APIARY_ETABLEFULL, APIARY_EINVAL (name). Lock-free. `lane` is the caller's. The index
 * stays that name's as long as the use that the caller recorded before (see NAMES) stands. */
AP_MUST_CHECK int ap_service_intern(struct ap_segment *seg, uint32_t lane, const char *name, uint32_t *ret);
/* The same for the caller's member, whose record has the name already. APIARY_ESHARE, too: its process would call for more than
 * member_share of all services. Queens are not asked: they have the bound of swarms. */
AP_MUST_CHECK int ap_service_call(struct ap_segment *seg, uint32_t lane, uint32_t member, const char *name, uint32_t *ret);
/* Frees the rows that a dead lane left half entered; `beside` as in struct ap_reap_hooks. */
void ap_services_end(struct ap_segment *seg, uint32_t lane, uint64_t beside);
/* -1 when absent. */
int ap_service_find(const struct ap_segment *seg, const char *name);
/* Copies the name, always ended; "" when the index is out of range or not ready. */
void ap_service_name(const struct ap_segment *seg, uint32_t service, char ret[APIARY_NAME_MAX + 1]);

/* Texts of records: at most size - 1 bytes, the rest zeros. size is a multiple of 8; the `from` of a copy lies in a record and is
 * aligned to 8. A copy stops at the first byte that does not print. */
void ap_text_store(char *to, const char *from, size_t size);
void ap_text_copy(char *to, const char *from, size_t size);

struct ap_terms;
struct ap_terms_conflicts;
struct ap_rules;

/* One agent to register: `lane` is its worker's lane, the queue's consumer. */
struct ap_agent_registration {
    const char *name;
    const char *const *capabilities; /* ends with NULL */
    const struct ap_terms *terms;    /* what it declares, one for each of them; NULL: nothing */
    const struct ap_rules *rules;    /* the same for the rules, which are a term; NULL: none */
    uint32_t lane;
    uint32_t queue; /* filled in */
};
struct ap_swarm_registration {
    const char *service, *instance, *version, *health_endpoint, *metrics_endpoint;
    const char *tags; /* with a space between; NULL: none */
    uint16_t port;
    uint16_t park; /* enum ap_park, see struct ap_swarm */
    uint32_t max_delegations, lane, member;
    uint32_t weight; /* 0: AP_WEIGHT */
    uint16_t unhealthy_after, healthy_after;  /* of its health check (monitor/health.h); 0: as is usual */
    uint32_t health_interval, health_timeout; /* ms, the same */
    const char *heir_of; /* another instance of the service, of which an operator's words are this one's, too; NULL: none */
    struct ap_agent_registration *agents;
    size_t agent_count;
    uint32_t swarm, service_index; /* filled in */
    bool no_room_for_rules; /* filled in: of the tables that may be full it is that of rule sets */
    struct ap_terms_conflicts *conflicts; /* filled in, where its terms contradict those of other agents; may be NULL */
};
/* All or nothing; capabilities become discoverable last. APIARY_EEXIST, _ETABLEFULL, _EINVAL. By the control lane. An heir whose
 * name has no record yet begins with the mode, reason and weight that an operator has given the other instance, alive or down. */
AP_MUST_CHECK int ap_swarm_register(struct ap_segment *seg, struct ap_swarm_registration *r);
/* A registration that stands says otherwise from now on: `next` has its agents, capabilities and queues, and other limits, weight,
 * terms of its health check, or terms and rules of its capabilities. By a thread of the queen's process with a lane of its own,
 * while nobody ends the registration. All or nothing; a kill leaves what was stored before it, each word valid on its own.
 * APIARY_ESTALE: the record is no longer the registration's; APIARY_EINVAL: other agents or capabilities; APIARY_ETABLEFULL: rules;
 * APIARY_ENOBLOCK. */
AP_MUST_CHECK int ap_swarm_adjust(struct ap_segment *seg, uint32_t lane, struct ap_swarm_registration *r,
                                  struct ap_swarm_registration *next);
/* Stores the queen's state and beat, and since when a worker has been stuck (0: none is). An instance whose health check fails
 * is critical, whatever its queen says. False, and nothing is stored, when the record is no longer the registration's. */
AP_MUST_CHECK bool ap_swarm_beat(struct ap_segment *seg, const struct ap_swarm_registration *r, uint32_t state,
                                 uint64_t stuck);
/* Routers no longer pick the swarm. Its queues stay open for the tasks in them. */
void ap_swarm_withdraw(struct ap_segment *seg, const struct ap_swarm_registration *r);
/* Closes the queues and moves their tasks to other providers. The record stays LIVE, and so the queues stay the swarm's: a worker
 * may still be taking from one. A queen that is killed after this is killed while LIVE, and the reaper ends its registration. */
void ap_swarm_close(struct ap_segment *seg, uint32_t self, const struct ap_swarm_registration *r);
/* Closes the queues if they are not closed yet, then DOWN. From then on another consumer may open the queues, so the workers must
 * have stopped. */
void ap_swarm_deregister(struct ap_segment *seg, uint32_t self, const struct ap_swarm_registration *r);

/* How many tasks wait in a queue. Not for a damaged segment. Nobody pops from a closed queue: its rings keep references to tasks
 * that were taken back or moved away since, so its tasks are counted by their words. */
uint32_t ap_queue_waiting(const struct ap_segment *seg, uint32_t queue);

/* The hash by which a record is known as that of a service and instance. */
uint64_t ap_swarm_key(const char *service, const char *instance);

/* Sets the operator's mode of a service's instance, alive or not. Any thread, several at once: the last one's holds.
 * 1 `swarm` is the record that was seen to be this instance's. APIARY_ESTALE when it is another instance's by now.
 * 2 `reason` has at most AP_REASON_MAX printable characters. NULL: no reason, or the one that stands if the mode stays the same.
 * 3 Returns 1; 0 when mode and reason were the same already; APIARY_EINVAL. */
int ap_swarm_mode_set(struct ap_segment *seg, uint32_t swarm, const char *service, const char *instance, enum apiary_mode mode,
                      const char *reason);
/* Sets the operator's weight of an instance, at most AP_WEIGHT_MAX; -1: the one with which it registers. Returns 1; 0 when it was
 * that already; APIARY_ESTALE as above, APIARY_EINVAL. */
int ap_swarm_weight_set(struct ap_segment *seg, uint32_t swarm, const char *service, const char *instance, int weight);
/* The weight that is in force; at most AP_WEIGHT_MAX. */
static inline uint32_t ap_swarm_weight(const struct ap_swarm *s)
{
    uint64_t share = ap_load_relaxed(&s->share);
    uint32_t weight = AP_SHARE_IS_OF(share, ap_load_relaxed(&s->key)) ? (uint32_t)(share & 0xffff) : ap_load_relaxed(&s->weight);

    return weight <= AP_WEIGHT_MAX ? weight : AP_WEIGHT_MAX;
}
/* The reason for a swarm's mode; "" when there is none, or no such record. */
void ap_swarm_reason(const struct ap_segment *seg, uint32_t swarm, char ret[AP_REASON_MAX + 1]);
/* Sets READY, without a reason, and the weight as registered. The caller has CLAIMED a record that was another instance's. */
void ap_swarm_mode_begin(struct ap_swarm *s, uint64_t key);
/* And then what an operator has said of the instance with the key `from`, if anything. */
void ap_swarm_mode_inherit(const struct ap_segment *seg, struct ap_swarm *s, uint64_t key, uint64_t from);

/* Frees one record that is DOWN, in mode READY, and has no task waiting. False when there is none. `lane` is the caller's. */
bool ap_swarm_forget(struct ap_segment *seg, uint32_t lane);
/* The same for the record of one instance only (ap_swarm_key). `any`: in whatever mode. */
bool ap_swarm_forget_instance(struct ap_segment *seg, uint32_t lane, uint64_t key, bool any);

/* Ends a registration whose lane was seen dead, if the record still has this `life`: its queues are closed, and the record is
 * DOWN, or FREE when it was never named. Its tasks and tickets are left to the reaper. Any thread, several at once. */
void ap_swarm_end(struct ap_segment *seg, uint32_t swarm, uint64_t life);

/* Ends all registrations of a dead lane (part.h). */
void ap_swarms_end(struct ap_segment *seg, uint32_t lane, uint64_t beside);

/* The reaper's view of the registry: closes queues, withdraws swarms, frees tickets, routes by capability. */
extern const struct ap_reap_hooks ap_registry_hooks;

/* Checks what a task slot names of the registry: R6 capability, services and ticket are in their tables. */
void ap_registry_look_slot(struct ap_look *look);

#endif
