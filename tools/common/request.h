/* tools/common/request.h - judges a request to the coordinator's HTTP server: what is asked for, or what is wrong with it.
 *
 * SCOPE     Own code, apart from the library that parses HTTP, so that it can be tested and fuzzed alone: the method, the path, the
 *           Host, and the arguments behind '?', which that library has taken apart and unescaped.
 * HOST      A page of another site can have its own name lead to 127.0.0.1 and so make a browser ask here (DNS rebinding). Over
 *           TCP on loopback only the names of loopback are answered, by which no other site is called.
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
    X(OPENAPI, "/v1/openapi.json", "", "The schema of the answers in JSON")

enum request_route {
#define X(id, path, arguments, what) REQUEST_##id,
    REQUEST_ROUTES(X)
#undef X
        REQUEST_ROUTE_COUNT
};

/* A row of the table. */
struct request_row {
    const char *path, *arguments, *what;
};
extern const struct request_row request_rows[REQUEST_ROUTE_COUNT];

#define REQUEST_WHY 256u
#define REQUEST_TEXT_MAX 255u
#define REQUEST_LIMIT 1000u /* of rows in one answer, unless fewer are asked for */

/* The request as it came, without its arguments. */
struct request {
    const char *method, *path;
    const char *host; /* NULL: there is none */
    bool old;         /* of HTTP/1.0, which needs no Host */
    bool body;        /* it has one, or announces one */
    bool file;        /* the path is that of a file of the page, which is answered as INDEX */
    bool checked;     /* over TCP on loopback: the Host is judged */
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
    char of[REQUEST_TEXT_MAX + 1], name[REQUEST_TEXT_MAX + 1]; /* "" */
    char why[REQUEST_WHY]; /* a sentence, where it is refused */
};
void request_judge(const struct request *r, struct request_verdict *ret);
/* Then each argument, after '?'. `value` NULL: it has none. Both may hold anything, also NUL within their sizes. */
void request_argument(struct request_verdict *v, const char *key, size_t key_size, const char *value, size_t value_size);

/* Refuses, by this status. */
void request_refuse(struct request_verdict *v, unsigned status, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
