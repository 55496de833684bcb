/* tools/common_request.h - judges a request to the coordinator's HTTP server: what is asked for, or what is wrong with it.
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
#include <stdint.h>

#include "core/apiary.h"
#include "core/must_check.h"

/* X(ID, path, arguments with a space between, what it answers) */
#define REQUEST_ROUTES(X)                                                                                 \
    X(INDEX, "/", "", "A page that names these")                                                          \
    X(METRICS, "/metrics", "", "What is counted, for Prometheus, as OpenMetrics where that is asked for") \
    X(LIVEZ, "/livez", "", "Whether this server answers")                                                 \
    X(READYZ, "/readyz", "", "Whether all services pass, else 503 and what is lacking")

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
#define REQUEST_TEXT_MAX 127u

/* The request as it came, without its arguments. */
struct request {
    const char *method, *path;
    const char *host; /* NULL: there is none */
    bool old;         /* of HTTP/1.0, which needs no Host */
    bool body;        /* it has one, or announces one */
    bool checked;     /* over TCP on loopback: the Host is judged */
};
struct request_verdict {
    unsigned status; /* 200: go on */
    enum request_route route;
    char why[REQUEST_WHY]; /* a sentence, where it is refused */
};
void request_judge(const struct request *r, struct request_verdict *ret);

/* Refuses, by this status. */
void request_refuse(struct request_verdict *v, unsigned status, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
