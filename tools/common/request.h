/* tools/common/request.h - judges a request to the coordinator's HTTP server: what is asked for, or what is wrong with it.
 *
 * SCOPE     Own code, apart from the library that parses HTTP, so that it can be tested and fuzzed alone: the method, the path,
 *           the Host, who asks, and the arguments behind '?', which that library has taken apart and unescaped.
 * HOST      A page of another site can have its own name lead to this address and so make a browser ask here (DNS rebinding).
 *           Over TCP on loopback only the names of loopback are answered, elsewhere also numbers of addresses, the machine's own
 *           name and those that the operator knows: by none of these is another site called.
 * CHANGES   1 A request that changes something needs the token, unless it comes over the Unix socket from the coordinator's own
 *           user or root, who could read the token as well.
 *           2 A browser says whose page asks. A page of another origin is refused, with the token, too.
 * READING   needs no token, but a page of another site is refused, where a browser says so, all but the page.
 * ANSWERS   A refusal has a status and a sentence that says what is right.
 * THREADS   Any; private memory.
 */
#ifndef AP_TOOLS_COMMON_REQUEST_H
#define AP_TOOLS_COMMON_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/apiary.h"
#include "core/must_check.h"

/* X(ID, path, arguments with a space between, what it answers). The manual page apiaryd.8 is made from it. */
#define REQUEST_ROUTES(X)                                                                                 \
    X(INDEX, "/", "", "The page: what goes on, to look at")                                               \
    X(METRICS, "/metrics", "", "What is counted, for Prometheus, as OpenMetrics where that is asked for") \
    X(LIVEZ, "/livez", "", "Whether this server answers")                                                 \
    X(READYZ, "/readyz", "", "Whether all services pass, else 503 and what is lacking")                   \
    X(STATUS, "/v1/status", "service", "The instances, as apiary status")                                 \
    X(SERVICES, "/v1/services", "service tag", "The agents, as apiary services")                          \
    X(CAPABILITIES, "/v1/capabilities", "", "The capabilities, as apiary capability ls")                  \
    X(TASKS, "/v1/tasks", "state limit after", "Tasks, as apiary task ls")                                \
    X(FINISHED, "/v1/finished", "service limit", "The last tasks that failed or were slow")                 \
    X(TRACE, "/v1/trace", "id", "The life of a task across swarms, as apiary trace")                      \
    X(DEAD, "/v1/dead", "limit after", "The dead set, as apiary dead ls")                                 \
    X(KEPT, "/v1/kept", "", "Results that are kept, as apiary kept ls")                                   \
    X(CLAIMS, "/v1/claims", "", "Keys that are claimed, as apiary claim ls")                              \
    X(SPACES, "/v1/namespaces", "", "Name spaces of the memory, as apiary memory spaces")                 \
    X(MEMORY, "/v1/memory", "namespace local prefix limit after", "Keys of one, as apiary memory scan")   \
    X(VALUE, "/v1/value", "namespace local key", "The beginning of a key's value, in text or hexadecimal") \
    X(CACHES, "/v1/caches", "", "Name spaces that are caches, as apiary memory caches")                   \
    X(EVENTS, "/v1/events", "since service kind limit", "The newest events, as apiary events")            \
    X(STATS, "/v1/stats", "", "How long tasks wait and run and how they end, as apiary stats")            \
    X(PAIRS, "/v1/pairs", "", "Who calls whom, as apiary stats --pairs")                                  \
    X(HISTORY, "/v1/history", "since until step of service limit after", "The past, as apiary history")   \
    X(COUNTERS, "/v1/metrics", "name", "What is counted, as apiary metrics --json")                       \
    X(STREAM, "/v1/stream", "", "Events as they come, and what changes, as server-sent events")           \
    X(OPENAPI, "/v1/openapi.json", "", "The schema of the answers in JSON")
/* The same of those that change something, by POST: the keys of their JSON, beside `reason`, `by` and `expect` (demand.h). */
#define REQUEST_CHANGES(X)                                                                                \
    X(DRAIN, "/v1/drain", "service instance", "Routes no new tasks to the instances, as apiary drain, without its wait") \
    X(PAUSE, "/v1/pause", "service instance", "The same under the name of pause, as apiary pause")        \
    X(RESUME, "/v1/resume", "service instance", "Routes tasks to the instances again, as apiary resume")  \
    X(WEIGHT, "/v1/weight", "service instance weight", "Sets their share, as apiary weight, null as configured") \
    X(SCALE, "/v1/scale", "service instances", "Lets apiary up run another number of instances, as apiary scale") \
    X(RETRY, "/v1/dead/retry", "numbers all capability cause older service", "Delegates dead tasks anew, as apiary dead retry") \
    X(DISCARD, "/v1/dead/discard", "numbers all capability cause older service", "Drops dead tasks, as apiary dead discard") \
    X(CANCEL, "/v1/tasks/cancel", "tasks", "Cancels tasks, as apiary task cancel")                        \
    X(FORGET, "/v1/kept/forget", "tasks", "Drops results that are kept, as apiary kept forget")

enum request_route {
#define X(id, path, arguments, what) REQUEST_##id,
    REQUEST_ROUTES(X) REQUEST_CHANGES(X)
#undef X
        REQUEST_ROUTE_COUNT
};
#define REQUEST_FIRST_CHANGE REQUEST_DRAIN

/* A row of the table. */
struct request_row {
    const char *path, *arguments, *what;
};
extern const struct request_row request_rows[REQUEST_ROUTE_COUNT];

#define REQUEST_WHY 256u
#define REQUEST_TEXT_MAX 255u
#define REQUEST_LIMIT 1000u /* of rows in one answer, unless fewer are asked for */
#define REQUEST_BODY 65536u /* bytes of a request that changes something */

/* The request as it came, without its arguments. */
struct request {
    const char *method, *path;
    const char *host; /* NULL: there is none */
    bool old;         /* of HTTP/1.0, which needs no Host */
    bool body;        /* it has one, or announces one */
    bool file;        /* the path is that of a file of the page, which is answered as INDEX */
    bool checked;     /* over TCP: the Host is judged */
    bool wide;        /* on an address that is none of loopback */
    const char *hosts; /* names by which this host is known, with spaces between; NULL: none */
    const char *type, *length;           /* Content-Type, Content-Length; NULL: there is none */
    const char *origin, *site;           /* Origin, Sec-Fetch-Site */
    const char *authorization;           /* Authorization */
    const char *token;   /* which it has to be; NULL: nothing can be changed, since `untold` */
    const char *untold;
    bool trusted;        /* over the Unix socket, from the own user or root */
};
struct request_verdict {
    unsigned status; /* 200: go on */
    enum request_route route;
    uint32_t given;  /* bits of the arguments that it has had */
    uint32_t limit;
    uint64_t after, since, until; /* since, until: CLOCK_REALTIME */
    uint64_t step; /* ns */
    char space[REQUEST_TEXT_MAX + 1], local[REQUEST_TEXT_MAX + 1], prefix[REQUEST_TEXT_MAX + 1], key[REQUEST_TEXT_MAX + 1];
    char service[REQUEST_TEXT_MAX + 1], tag[REQUEST_TEXT_MAX + 1], kind[REQUEST_TEXT_MAX + 1], state[REQUEST_TEXT_MAX + 1]; /* "" */
    char of[REQUEST_TEXT_MAX + 1], name[REQUEST_TEXT_MAX + 1], id[REQUEST_TEXT_MAX + 1]; /* "" */
    char why[REQUEST_WHY]; /* a sentence, where it is refused */
};
void request_judge(const struct request *r, struct request_verdict *ret);
static inline bool request_changes(const struct request_verdict *v)
{
    return v->route >= REQUEST_FIRST_CHANGE;
}
/* Then each argument, after '?'. `value` NULL: it has none. Both may hold anything, also NUL within their sizes. */
void request_argument(struct request_verdict *v, const char *key, size_t key_size, const char *value, size_t value_size);

/* Refuses, by this status. */
void request_refuse(struct request_verdict *v, unsigned status, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
