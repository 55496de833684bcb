/* tools/apiaryd/health.h - SwarmMonitor's questions: the coordinator asks whether the instances are well, each in its interval.
 *
 * ROUND     1 One thread asks. It sleeps until the next instance is due or something is answered, and nothing waits for anything
 *           else: an endpoint that hangs is one transfer of many (libcurl multi).
 *           2 An instance is due an interval after its registration, then each interval. While it is not clear whether it passes
 *           (some failures, not enough for a verdict, or some successes) it is asked in parts of the interval, so that a verdict
 *           takes about one interval and not several.
 *           3 An instance that has registered meanwhile is found at least once in the configuration's health_check_interval.
 * PROBES    1 Each agent is asked by a probe (shm/probe.h), whatever waits there. An answer is collected soon after it has come, by
 *           looks that become rarer.
 *           2 It has the time of an answer, and at least as long as its queen needs to say that a worker does not go on. One that
 *           does not answer in that time has failed only where nothing else explains that: it has no task in hand, its
 *           queen beats and says that all workers go on, and this thread itself has had its processor. So an agent that is busy,
 *           and a machine that is slow, count for nothing; what is left is alive and does not consume.
 *           3 After unhealthy_after failures in a row the agent is deaf, and its instance does not pass until all answer.
 * HINDERED  An exchange that this process could not make, for want of memory or a descriptor, or whose end it has slept through, is
 *           judged neither way.
 * VERDICT   registry/monitor/health.h; it is written into the instance's record.
 * SECURITY  An address in the segment is of whoever can write there. Only loopback addresses are ever connected to, whatever a
 *           name resolves to; no proxy, no redirect, plain HTTP; the body is not kept.
 */
#ifndef AP_TOOLS_APIARYD_HEALTH_H
#define AP_TOOLS_APIARYD_HEALTH_H

#include <curl/curl.h>

#include "registry/client/client.h"
#include "registry/monitor/health.h"

#define HEALTH_WHY 52u /* of an endpoint; beside it an agent's name has room in the record */

/* One row of the table of swarms, as the thread knows it. */
struct health_instance {
    struct health *health;
    uint32_t swarm;
    uint64_t life;  /* of its registration; 0: there is none */
    uint64_t begun; /* the last round */
    uint64_t due;   /* the next one */
    struct ap_health_terms terms;
    char name[2 * APIARY_NAME_MAX + 2]; /* service/instance */

    CURL *easy;
    bool asked; /* the transfer is under way */
    bool heard; /* somebody has listened there */
    bool hindered; /* the last round had no outcome, for a reason that lies here */
    int shortage; /* errno: this process got no socket for it */
    enum ap_health_found endpoint; /* 0: not known yet */
    uint32_t failures, successes; /* in a row */
    char why[HEALTH_WHY + 1], curl_why[CURL_ERROR_SIZE];
    uint64_t answer;

    uint64_t probed, probe_due; /* the last round of probes, and the next one */
    uint32_t probes; /* under way */
    bool deaf; /* an agent answers none */
    char deaf_why[AP_FOUND_MAX - HEALTH_WHY - 1];
};

/* One queue. */
struct health_agent {
    uint32_t swarm;
    uint64_t of;   /* the life of its registration in the last round */
    uint64_t life; /* of the queue, when its failures began to be counted */
    bool asked;    /* a probe is under way */
    apiary_task_t task;
    uint64_t until;
    uint32_t failures; /* in a row */
};

struct health {
    apiary_t *a;
    uint64_t interval; /* of instances that name none */
    pthread_t thread;
    CURLM *multi;
    struct health_instance *all;
    uint32_t count;
    struct health_agent *agents; /* per queue */
    uint64_t look, look_spacing; /* when answers of probes are looked for next; UINT64_MAX: none is under way */
    int refused; /* why a probe could not be sent, last */
    uint32_t stop;
};

/* The answer of an endpoint, as the event log has it: the HTTP status, or one of these. */
enum health_answer { ANSWER_LATE, ANSWER_NOBODY, ANSWER_BROKEN };

/* NULL, and a sentence in `why`: it cannot be done here. */
struct health *health_start(apiary_t *a, uint64_t interval, char *why, size_t size);
void health_stop(struct health *h); /* NULL is allowed */

/* Writes what was found out into the instance's record. */
void instance_tell(struct health_instance *in);

/* ---- probe.c: the agents ------------------------------------------------------------------------------------- */

void probes_begin(struct health_instance *in, uint64_t now);
void probes_collect(struct health *h, uint64_t now);

/* ---- endpoint.c: one exchange ------------------------------------------------------------------------------- */

/* Begins it: 0, or APIARY_EINVAL when there is no such address to ask, APIARY_ENOBLOCK. */
AP_MUST_CHECK int endpoint_ask(struct health_instance *in, const char *url);
/* Why the outcome tells nothing of the endpoint, because this process or machine has failed and not it; NULL: it does tell. */
const char *endpoint_hindrance(const struct health_instance *in, CURLcode result);
/* Its end: whether it has passed; `why` and `answer` of the instance tell otherwise. */
bool endpoint_answered(struct health_instance *in, CURLcode result);
void endpoint_drop(struct health_instance *in); /* as if it had not been begun */
void endpoint_free(struct health_instance *in);

#endif
