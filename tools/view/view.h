/* tools/view/view.h - what is in a segment, for people and as JSON: in the programs apiary and apiaryd, which tell the same.
 *
 * TRUST     Nothing of the segment is trusted: numbers are range-checked, texts end and print.
 * THREADS   Any, each with its own copies. Memory that is lacking ends the program (tools/common/common.h).
 */
#ifndef AP_TOOLS_VIEW_H
#define AP_TOOLS_VIEW_H

#include "registry/client/client.h"
#include "registry/client/progress.h"
#include "registry/discovery/tags.h"
#include "registry/monitor/health.h"
#include "registry/routing/terms.h"
#include "shm/pool.h"
#include "shm/stream.h"
#include "tools/common/common.h"
#include "tools/common/carried.h"

/* ---- views: copies of records of the segment, range-checked and ended ------------------------------------------ */

struct swarm_view {
    uint32_t index, service_index;
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1], reason[AP_REASON_MAX + 1];
    char version[APIARY_NAME_MAX + 1], tags[APIARY_TAGS_MAX + 1];
    enum apiary_mode mode;
    uint32_t park; /* enum ap_park: how its workers sleep, or slept */
    uint32_t found; /* enum ap_health_found: by the coordinator's questions */
    bool holds;     /* that still holds */
    char why[AP_FOUND_MAX + 1], health_endpoint[128], metrics_endpoint[128];
    uint64_t waited; /* delegations of its agents that waited for a ticket */
    bool alive; /* registered, and its queen is alive */
    int64_t pid;
    uint32_t weight;
    uint16_t port;
};
/* False: the record is free, not published yet, not sound, or changed while it was read. No pid when it is down. */
AP_MUST_CHECK bool view_swarm(const struct ap_segment *seg, uint32_t swarm, struct swarm_view *ret);

/* {"endpoint": URL or null, "answers": "unknown", "absent", "passing" or "failing", "holds": ..., "why": text or null} */
json_t *view_health_json(const struct swarm_view *v);
/* A list of them. */
json_t *view_tags_json(const char *tags);
/* A text or null. */
json_t *view_endpoint_json(const char *endpoint);

/* All rows of apiary_swarm_status by name, however many: how many, or an error. *ret is to be freed. */
AP_MUST_CHECK int view_status(apiary_t *a, const char *service, apiary_swarm_status_t **ret);

/* Of such rows those of a service, which stand together: the first; how many. */
const apiary_swarm_status_t *view_rows_of(const apiary_swarm_status_t *rows, int n, const char *service, int *ret_count);
/* Whether one of them is of the instance with that number. */
bool view_registered(const apiary_swarm_status_t *rows, int n, uint32_t instance);

/* As view_status, and the instances that a supervisor is to run and that have not registered. */
AP_MUST_CHECK int view_instances(apiary_t *a, const char *service, apiary_swarm_status_t **ret);

struct agent_view {
    struct swarm_view swarm;
    uint32_t queue;
    char name[APIARY_NAME_MAX + 1];
    uint32_t depth, running;
    struct ap_queue_counts counts;
    bool open;
    uint32_t capability_count;
    uint16_t capabilities[AP_AGENT_CAPABILITIES];
};
AP_MUST_CHECK bool view_agent(const struct ap_segment *seg, uint32_t queue, struct agent_view *ret);

/* pid of a lane's process; 0 when there is none. */
int64_t view_lane_pid(const struct ap_segment *seg, uint32_t lane);
/* Members that are attached and alive, the caller's own left out; by kind, or 0 for all. */
uint32_t view_members(const struct ap_segment *seg, int kind, uint32_t except);
/* pid of the living daemon, 0 when there is none. */
int64_t view_daemon(const struct ap_segment *seg);
/* The same, and the namespaces in which it has that pid (struct ap_identity). */
int64_t view_daemon_of(const struct ap_segment *seg, uint64_t *ret_namespace);
/* The monitor that has the role of watching all lanes, if it does not watch. False: all is well. */
struct monitor_view {
    int64_t pid;   /* 0: not known */
    char name[49]; /* its member's */
    bool replaced; /* another monitor watches in its stead */
    uint64_t age;  /* since any monitor watched */
};
AP_MUST_CHECK bool view_stopped_monitor(const struct ap_segment *seg, struct monitor_view *ret);
/* The reaper that has the lock of a dead lane at this moment, by name and pid. False: there is none. */
AP_MUST_CHECK bool view_reaper(const struct ap_segment *seg, struct monitor_view *ret);
/* pid of a living `apiary up` of the caller's own namespace of pids, 0 when there is none; `except`: the caller's member. */
int64_t view_supervisor(const struct ap_segment *seg, uint32_t except);
/* Tasks that wait in a queue, and tasks that run. */
void view_open_tasks(const struct ap_segment *seg, uint32_t *queued, uint32_t *running);

/* One slot of the task table that is not FREE; read twice, false when it changed meanwhile or is free. */
struct task_view {
    apiary_task_t id;
    uint32_t state, crashes, failures, starts; /* starts: both included */
    uint32_t request; /* AP_REQUEST_ bits */
    char capability[APIARY_CAPABILITY_MAX + 1], caller[APIARY_NAME_MAX + 1];
    uint32_t queue, worker, body_size, result_size, agent_code;
    int code;
    uint64_t queued, started, finished, deadline, due; /* due: of one that is SCHEDULED */
    int64_t client_pid, worker_pid;
    struct ap_carried carried;
    struct ap_progress_view progress; /* beats 0: none */
    struct ap_stream_view stream;     /* attempt 0: no parts */
};
AP_MUST_CHECK bool view_task(const struct ap_segment *seg, uint32_t slot, struct task_view *ret);

#define BEAT_LATE UINT64_C(5000000000) /* of a beat each second: from here on the state is no longer "passing" */

/* Second copies of a capability's tasks, in a sentence and in JSON. NULL, null: it is not to be hedged. */
char *view_hedging(const struct ap_segment *seg, uint32_t capability);
json_t *view_hedging_json(const struct ap_segment *seg, uint32_t capability);
/* Prints which providers have the state of a stateful capability; nothing of another. null in JSON. */
void view_homes(const struct ap_segment *seg, uint32_t capability);
json_t *view_homes_json(const struct ap_segment *seg, uint32_t capability);

/* Use of the task table and of the payload pool. */
struct usage_view {
    uint32_t tasks, tasks_used;
    uint32_t slabs, slabs_leased; /* a thread that delegates leases slabs of 64 tasks; with none left it is refused */
    uint32_t results;             /* finished, not collected by a client that could */
    uint32_t holder_results;      /* most of them by one process ... */
    int64_t holder_pid;           /* ... 0: there are none */
    uint32_t left, left_by;       /* of them, those past their deadline; most of those by one process ... */
    int64_t left_pid;             /* ... 0: there are none */
    uint64_t forgotten;           /* given up so far, because nobody had collected them */
    uint32_t largest, largest_blocks, largest_free; /* the largest size of payload blocks */
    uint32_t refused[AP_POOL_CLASSES], refused_count; /* sizes of blocks for which a body would find none */
};
void view_usage(const struct ap_segment *seg, struct usage_view *ret);

/* ---- as JSON: the same for a command's --json and for the coordinator's /v1. Each is a new reference ---------------------- */

/* The operator's reason for the mode, "" when it is ready. */
const char *view_reason(const struct swarm_view *v);
/* The first of its service's rows, which stand together. */
bool view_is_first(const apiary_swarm_status_t *rows, int i);
/* Rows of view_instances. The same in parts: all but the list "swarms", then each row of it. */
json_t *view_status_json(apiary_t *a, const char *segment, const apiary_swarm_status_t *rows, int n);
typedef void (*view_row_fn)(void *user, json_t *row); /* takes the reference */
json_t *view_status_head(apiary_t *a, const char *segment, const apiary_swarm_status_t *rows, int n);
void view_status_rows(apiary_t *a, const apiary_swarm_status_t *rows, int n, view_row_fn visit, void *user);
/* A view_row_fn whose `user` is an array. */
void view_row_append(void *user, json_t *row);

/* The agents of the instances that are meant, by service and instance; to be freed. How many there are. */
size_t view_agents(const struct ap_segment *seg, const struct ap_instance_query *query, struct agent_view **ret);
json_t *view_agents_json(const struct ap_segment *seg, const char *segment, const struct agent_view *agents, size_t n);

uint32_t view_providers(const struct ap_segment *seg, uint32_t capability);
/* Whether it was declared; what is in force in *ret. */
bool view_term(const struct ap_segment *seg, uint32_t capability, enum ap_term term, uint64_t *ret);
json_t *view_capability_json(const struct ap_segment *seg, uint32_t capability);
json_t *view_capabilities_json(const struct ap_segment *seg);

/* The agent of a task, "-": it has none yet. */
void view_task_agent(const struct ap_segment *seg, const struct task_view *v, char *ret, size_t size);
/* The task whose outcome one that waits will have (registry/conflict/coalesce.h); "": none. */
const char *view_task_follows(const struct ap_segment *seg, const struct task_view *v, char ret[48]);
/* Whether a gate has passed it on, and for which service; "": one that calls for none. */
bool view_task_passed(const struct ap_segment *seg, const struct task_view *v, char ret[APIARY_NAME_MAX + 1]);
/* Finished, and nobody will collect it: its slot is as good as free. */
bool view_task_over(const struct task_view *v);
/* enum ap_task_state of a name, or -1. */
int view_task_state(const char *text);
json_t *view_task_json(const struct ap_segment *seg, const struct task_view *v);
/* Those of a state, -1: of all; from slot `first` on, at most `most`. *ret_next is the slot to go on with (may be NULL). */
json_t *view_tasks_json(const struct ap_segment *seg, const char *segment, int state, uint32_t first, uint32_t most,
                        uint32_t *ret_next);

const char *view_dead_cause(const apiary_dead_t *d);
const char *view_dead_why(const apiary_dead_t *d, char *ret, size_t size);
json_t *view_dead_json(const apiary_dead_t *d);
/* Those behind a number, at most `most`. *ret_next: the number behind which there are more; 0: there are none. */
json_t *view_dead_all_json(apiary_t *a, const char *segment, uint64_t after, uint32_t most, uint64_t *ret_next);

struct kept_view {
    apiary_task_t task;
    uint32_t state, size;
    uint64_t until;
    int code;
    char capability[APIARY_CAPABILITY_MAX + 1];
};
/* False: nothing is kept in the row or promised, or it has changed. */
bool view_kept(const struct ap_segment *seg, uint32_t i, struct kept_view *ret);
json_t *view_kept_all_json(const struct ap_segment *seg, const char *segment);

/* ns until then, null: never. */
json_t *view_claim_left(uint64_t expires, uint64_t now);
json_t *view_claims_json(apiary_t *a, const char *segment);

/* Events of one kind and service (NULL: of all) from a time on (CLOCK_REALTIME), the newest `most` of them. `folder`: where the
 * coordinator keeps them, NULL: nowhere. */
struct view_events {
    uint64_t since;
    const char *kind, *service;
    uint32_t most;
};
json_t *view_events_json(const struct ap_segment *seg, const char *segment, const char *folder, const struct view_events *asked);

#endif
