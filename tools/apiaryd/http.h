/* tools/apiaryd/http.h - the coordinator's HTTP server: metrics, whether the host lives and is ready, what
 * the commands tell with --json, and changes that operators make.
 *
 * WHERE     On the address that is named, usually of loopback, and on the socket HTTP_SOCKET in the segment's state directory, for
 *           its owner alone. A port that is in use, or anything else that stands in the way, is logged once, and it is tried again;
 *           everything else of the coordinator goes on.
 * THREAD    1 One, which nobody waits for: it accepts, has libmicrohttpd parse and send (without a thread of its own), and answers.
 *           It has no lane, and no signal is for it.
 *           2 An answer is made whole and then sent as its reader takes it.
 * LIMITS    HTTP_CONNECTIONS at a time: where one more comes, the one goes that has had no answer for longest, but for those whose
 *           requests `apiary up` has. A connection has HTTP_IDLE seconds for its next byte, and HTTP_WHOLE for a request with its
 *           answer. A request has HTTP_REQUEST bytes, all of its headers included (else 414 or 431). All answers that are not
 *           sent yet have HTTP_OWED bytes; then 503.
 * STREAM    1 /v1/stream tells each event of the segment's log as it comes, and, every two seconds at most, what all queues and
 *           instances have come to, where that is otherwise. After ten seconds of silence a comment follows.
 *           2 A reader has a place in the log and one message; nothing is kept for it. One that is so slow that the log has
 *           overwritten what comes next is told how many it has missed, and one that takes nothing for HTTP_IDLE is ended.
 *           3 HTTP_STREAMS of them at a time; they make room for nobody, and others have the rest of the connections.
 * MEMORY    An answer for which there is none becomes 503. The thread has some in reserve (tool_spare_begin), so that one that is
 *           begun is finished, or fails, and does not end the coordinator. So has that of own.h.
 * JUDGED    by tools/common/request.h, and what is to be changed by tools/common/demand.h.
 * CHANGES   1 tools/operate does what operators ask for, as for a command, with a handle of its own for each request. Each leaves
 *           an event: who, why, what, and the answer's status.
 *           2 The token (tools/common/token.h) is made at the start, and looked at again for each request that changes something.
 *           3 A request to `apiary up` is sent on, and its connection rests until the answer; after HTTP_SUPERVISED, and where this
 *           program ends, the asker is told that it goes on. HTTP_CALLS of them at a time.
 */
#ifndef AP_TOOLS_APIARYD_HTTP_H
#define AP_TOOLS_APIARYD_HTTP_H

#include "agents/deployment/deployment.h"
#include "registry/client/client.h"
#include "tools/common/common.h"
#include "tools/common/demand.h"
#include "tools/dashboard/dashboard.h"
#include "tools/operate/supervisor.h"

#define HTTP_SOCKET "http.sock"
#define HTTP_CONNECTIONS 64u
#define HTTP_IDLE 10u
#define HTTP_WHOLE UINT64_C(30000000000)
#define HTTP_REQUEST 16384u
#define HTTP_OWED (UINT64_C(64) << 20)
#define HTTP_WHY 192u
#define HTTP_CALLS 8u
#define HTTP_STREAMS 16u
#define HTTP_SUPERVISED UINT64_C(20000000000)

struct http;
struct http_options {
    const char *listen;  /* as core/address.h reads it */
    const char *folder;  /* of the socket; NULL: there is none */
    const char *segment;
    const char *hosts; /* names of this host, beside its own, with commas or spaces between; NULL: none */
    const struct ap_deployment *deployment; /* may be NULL; it outlives the server */
};

/* NULL, and a sentence in `why`: there is no thread. */
struct http *http_start(apiary_t *a, const struct http_options *o, char why[HTTP_WHY]);
void http_stop(struct http *h); /* NULL is allowed */
/* This machine's own name and those that are given as http_options has them, with a space between. To be freed. */
char *http_hosts(const char *given);

/* ---- http_answer.c: the bodies ----------------------------------------------------------------------------- */

struct http_asked {
    apiary_t *a;
    const struct ap_deployment *deployment;
    const char *segment, *folder; /* folder: where events are kept; NULL: nowhere */
    struct request_verdict verdict; /* may be refused yet */
    const struct dashboard_file *file; /* that of the path; NULL: it is none of the page's */
    const char *match;                 /* If-None-Match; NULL: there is none */
    bool openmetrics;
    bool local; /* by the Unix socket: from this user and process */
    uint32_t uid;
    int64_t pid;
};
struct http_answer {
    unsigned status;
    const char *type;
    const char *etag; /* of a file of the page; NULL */
    const char *allow; /* with 405; NULL: GET and HEAD */
    char *body;       /* to be freed */
    size_t size;
};
/* tools/openapi.json, put in by the build. */
extern const unsigned char apiaryd_openapi[];
extern const size_t apiaryd_openapi_size;

/* False: no memory. */
AP_MUST_CHECK bool http_answer(struct http_asked *asked, struct http_answer *ret);
/* The same of a refusal that the verdict has; and of an object, whose reference is taken. */
AP_MUST_CHECK bool http_answer_refusal(const struct request_verdict *v, struct http_answer *ret);
AP_MUST_CHECK bool http_answer_json(struct http_answer *ret, json_t *o);

/* ---- http_change.c: what is changed -------------------------------------------------------------------------- */

/* Does it, and leaves the event; or asks `apiary up` for it: then `call->fd` is where the answer comes, and nothing is answered
 * yet. False: no memory. */
AP_MUST_CHECK bool http_change(struct http_asked *asked, const struct demand *d, struct http_answer *ret,
                               struct supervisor_call *call);
/* The supervisor's answer, whose reference is taken; NULL: it has ended without one. Leaves the event. */
AP_MUST_CHECK bool http_change_answered(struct http_asked *asked, const struct demand *d, json_t *said, struct http_answer *ret);
/* It has not answered yet. */
AP_MUST_CHECK bool http_change_goes_on(struct http_answer *ret);
/* Nor will anybody hear it, since this program ends. `apiary up` drops what it has not begun. Leaves the event. */
AP_MUST_CHECK bool http_change_left(const struct http_asked *asked, const struct demand *d, struct http_answer *ret);

#endif
