/* tools/apiary.h - the parts of the program `apiary`: one function per command, and how they look at the registry. */
#ifndef AP_TOOLS_APIARY_H
#define AP_TOOLS_APIARY_H

#include <signal.h>

#include "agents/deployment/deployment.h"
#include "registry/client/client.h"
#include "registry/monitor/health.h"
#include "shm/pool.h"
#include "tools/common.h"
#include "registry/client/progress.h"
#include "shm/stream.h"
#include "tools/common_carried.h"

/* argv[0] is the command's name. Each returns an exit code of tools/common.h. */
struct apiary_command {
    const char *name;
    const char *what;
    int (*run)(struct tool *t, int argc, char **argv);
};
int cmd_up(struct tool *t, int argc, char **argv);
int cmd_queen(struct tool *t, int argc, char **argv);
int cmd_status(struct tool *t, int argc, char **argv);
int cmd_stats(struct tool *t, int argc, char **argv);
int cmd_services(struct tool *t, int argc, char **argv);
int cmd_discover(struct tool *t, int argc, char **argv);
int cmd_capability(struct tool *t, int argc, char **argv);
int cmd_kinds(struct tool *t, int argc, char **argv);
int cmd_delegate(struct tool *t, int argc, char **argv);
int cmd_probe(struct tool *t, int argc, char **argv);
int cmd_task(struct tool *t, int argc, char **argv);
int cmd_dead(struct tool *t, int argc, char **argv);
int cmd_kept(struct tool *t, int argc, char **argv);
int cmd_claim(struct tool *t, int argc, char **argv);
int cmd_events(struct tool *t, int argc, char **argv);
int cmd_memory(struct tool *t, int argc, char **argv);
int cmd_metrics(struct tool *t, int argc, char **argv);
int cmd_drain(struct tool *t, int argc, char **argv);
int cmd_resume(struct tool *t, int argc, char **argv);
int cmd_weight(struct tool *t, int argc, char **argv);
int cmd_forget(struct tool *t, int argc, char **argv);
int cmd_route(struct tool *t, int argc, char **argv);
int cmd_check(struct tool *t, int argc, char **argv);
int cmd_wait(struct tool *t, int argc, char **argv);
int cmd_segment(struct tool *t, int argc, char **argv);
int cmd_report(struct tool *t, int argc, char **argv);
int cmd_reload(struct tool *t, int argc, char **argv);
int cmd_rollback(struct tool *t, int argc, char **argv);
int cmd_restart(struct tool *t, int argc, char **argv);
int cmd_scale(struct tool *t, int argc, char **argv);
int cmd_config(struct tool *t, int argc, char **argv);
/* apiary services --watch: until it is told to stop. */
int services_watch(struct tool *t, const apiary_instance_query_t *query, uint64_t revision);
/* A revision as a watch prints it. */
bool tool_revision(const char *text, uint64_t *ret);
int apiary_segment_sizes(struct tool *t, int argc, char **argv);

/* For a command with commands of its own ("task ls"): runs the one that argv[1] names. */
AP_MUST_CHECK int apiary_subcommand(struct tool *t, const struct tool_usage *usage, const struct apiary_command *commands, int argc,
                      char **argv);

/* Loads the file that tool_config_path finds, or says why not. */
AP_MUST_CHECK int apiary_load_config(const struct tool *t, const char *option, const char **ret_path, struct ap_deployment **ret);
/* With `phase` only the services of that one, of those before it and of none (ap_deployment_select); NULL: all. */
AP_MUST_CHECK int apiary_load_phases(const struct tool *t, const char *option, const char *phase, const char **ret_path,
                                     struct ap_deployment **ret);
/* The same, or the text on standard input under the file's name. `only`: the one service whose plug-ins and kinds matter,
 * NULL for all. */
AP_MUST_CHECK int apiary_read_config(const struct tool *t, const char *option, bool standard_input, const char *only,
                       const char **ret_path, struct ap_deployment **ret);

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

/* The same, and the instances that a supervisor is to run and that have not registered. */
AP_MUST_CHECK int view_instances(apiary_t *a, const char *service, apiary_swarm_status_t **ret);

/* How an instance that is down ended, as far as the event log still tells. `ago` is 0 where only its lane tells. */
enum swarm_end { SWARM_END_UNKNOWN, SWARM_END_LEFT, SWARM_END_DIED };
enum swarm_end view_swarm_end(const struct ap_segment *seg, const char *service, const char *instance, uint64_t *ago);

/* apiary_scaled.c. How many instances an autoscaled service was last given, and why, as far as the event log tells: as a line, or
 * as an object (NULL: nothing). */
void scaled_print(const struct ap_segment *seg, const char *service);
json_t *scaled_json(const struct ap_segment *seg, const char *service);

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

/* How a task ended, and its result, as apiary delegate shows them: text goes in as text, anything else in base64. `of` names it. */
void result_set_end(json_t *o, const apiary_result_t *result);
void result_set_data(json_t *o, const apiary_result_t *result);
AP_MUST_CHECK int result_print(const struct tool *t, const char *of, const apiary_result_t *result);

/* An argument that is a body: DATA, @FILE, or - for standard input; NULL: none. A body of more than `most` bytes is read a little
 * beyond these. The bytes are to be freed. TOOL_OK, or an exit code. */
struct tool_body {
    char *bytes;
    size_t size;
};
AP_MUST_CHECK int tool_read_body(const struct tool *t, const char *argument, size_t most, struct tool_body *ret);

/* apiary_parts.c. Prints the parts of a result as they come, until none will: 0; APIARY_ENOTREADY when `give_up` says so, which is
 * asked ten times a second; APIARY_EINTERRUPTED when they cannot be printed, and the task is cancelled; other errors of
 * apiary_next_part. *ret_attempt: that of the last part, 0 without one. */
AP_MUST_CHECK int parts_read(const struct tool *t, apiary_t *a, apiary_task_t task, bool (*give_up)(void *user), void *user,
                             uint32_t *ret_attempt);
/* apiary delegate --all: a line for each provider; the exit code says whether all have answered. */
AP_MUST_CHECK int broadcast_run(const struct tool *t, apiary_t *a, const char *capability, const apiary_delegate_options_t *options,
                                const char *bytes, size_t size, const volatile sig_atomic_t *interrupted);

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

#endif
