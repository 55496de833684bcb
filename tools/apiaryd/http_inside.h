/* tools/apiaryd/http_inside.h - what the files of the HTTP server share (http.h). All of it belongs to its thread. */
#ifndef AP_TOOLS_APIARYD_HTTP_INSIDE_H
#define AP_TOOLS_APIARYD_HTTP_INSIDE_H

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "tools/apiaryd/http.h"
#include "tools/common/token.h"

struct http_connection {
    struct MHD_Connection *of; /* NULL: the row is free */
    int fd;
    bool local; /* by the socket of the state directory */
    bool told;  /* to end */
    bool busy;  /* from its request on until its answer is sent */
    bool stream; /* its answer has no end */
    bool rests;  /* `apiary up` has its request, for HTTP_SUPERVISED at most */
    uint64_t since; /* CLOCK_MONOTONIC: when it came, or had its last answer */
};

/* A request from its headers until its answer is sent. */
struct http_request {
    struct http *of;
    struct MHD_Connection *connection; /* NULL: it has gone, and the request with it, but for the answer of a call */
    struct http_asked asked;
    struct demand demand; /* of one that changes something */
    char *body;
    size_t size, room;
    struct http_answer answer; /* of a call that has ended */
    bool called, answered;     /* answered false: there was no memory for it */
};

/* A request that `apiary up` has: its connection is suspended until the answer, and not for longer than `until`. */
struct http_call {
    struct http_request *request; /* NULL: the row is free */
    int fd;
    uint64_t until; /* CLOCK_MONOTONIC */
    bool told;      /* that it goes on: only the event waits for the answer */
};

/* One of the two that are listened at. */
struct http_listener {
    bool local;
    int fd; /* -1: it could not be had yet */
    uint64_t due, wait; /* when that is tried again */
    char told[HTTP_WHY]; /* why not; "": it was had, or never tried */
};

struct http {
    apiary_t *a;
    struct sockaddr_storage address;
    socklen_t address_size;
    char *folder, *segment, *hosts; /* hosts: with a space between */
    const struct ap_deployment *deployment;
    struct MHD_Daemon *daemon;
    int wake;
    pthread_t thread;
    uint32_t stop;
    struct http_listener listeners[2];
    struct http_connection connections[HTTP_CONNECTIONS];
    unsigned open;
    uint64_t rest;        /* CLOCK_MONOTONIC: nothing is accepted until then */
    uint64_t owed;        /* bytes of answers that are not sent yet */
    struct MHD_Response *lacking; /* made beforehand, for when there is no memory for another one */
    struct http_call calls[HTTP_CALLS];
    struct http_stream *streams[HTTP_STREAMS];
    unsigned stream_count;
    uint64_t looked, mark; /* CLOCK_MONOTONIC: when all queues were looked at; what they were */
    char tick[256];        /* the message of that */
    char token[TOKEN_SIZE + 1], untold[TOKEN_WHY]; /* untold: why there is none; "": there is one */
};

/* ---- http_request.c ------------------------------------------------------------------------------------------------ */

/* The library's calls: when the headers of a request are there, for each piece of its body, and at its end. */
enum MHD_Result http_asks(void *user, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                          const char *upload, size_t *upload_size, void **context);
void http_completed(void *user, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode code);

/* ---- http_call.c --------------------------------------------------------------------------------------------------- */

/* Suspends the request until `apiary up` has answered on `fd`, which is taken. False: there are too many. */
AP_MUST_CHECK bool http_call_begin(struct http_request *r, int fd);
/* Those that have been answered, or have waited for long enough. */
void http_calls_tend(struct http *h, uint64_t now);
/* The descriptors on which answers come, into `fds`; how many. */
unsigned http_calls_poll(const struct http *h, struct pollfd fds[HTTP_CALLS]);
/* The time of the next one that has waited for long enough; UINT64_MAX: there is none. */
uint64_t http_calls_due(const struct http *h);
/* Its connection has gone. */
void http_call_forget(struct http_request *r);
/* At the end: all are resumed, so that the library can end; `apiary up` goes on with what it has begun. */
void http_calls_end(struct http *h);
void http_request_free(struct http_request *r);

/* ---- http_stream.c ------------------------------------------------------------------------------------------------- */

/* An answer without an end: events from behind the number that was told last (NULL: from now on), and what changes in all. NULL:
 * there are too many, or there is no memory. */
struct MHD_Response *http_stream_begin(struct http *h, struct MHD_Connection *connection, const char *last);
/* Those for which there is something to say go on. */
void http_streams_tend(struct http *h, uint64_t now);
/* The time of the next look; UINT64_MAX: nobody listens. */
uint64_t http_streams_next(const struct http *h, uint64_t now);
/* Its reader has gone: it ends. False: the connection has no stream. */
bool http_stream_gone(struct http *h, const struct MHD_Connection *connection);
void http_streams_end(struct http *h);

#endif
