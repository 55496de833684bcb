/* tools/apiaryd/http_request.c - a request from its headers to its answer. See http.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/address.h"
#include "tools/apiaryd/http_inside.h"

/* ---- answers ---------------------------------------------------------------------------------------------------- */

struct http_body {
    struct http *of;
    size_t size;
    char bytes[];
};

static void body_free(void *user)
{
    struct http_body *b = user;

    b->of->owed -= b->size;
    free(b);
}

static enum MHD_Result http_send(struct http *h, struct MHD_Connection *connection, const struct http_answer *answer, bool last)
{
    struct http_body *body = malloc(sizeof *body + answer->size);
    struct MHD_Response *r;
    enum MHD_Result rc;

    if (body == NULL) return MHD_NO;
    *body = (struct http_body){h, answer->size};
    if (answer->size > 0) memcpy(body->bytes, answer->body, answer->size);
    h->owed += body->size;
    r = MHD_create_response_from_buffer_with_free_callback_cls(body->size, body->bytes, body_free, body);
    if (r == NULL) {
        body_free(body);
        return MHD_NO;
    }
    rc = MHD_add_response_header(r, "Content-Type", answer->type);
    if (rc == MHD_YES) rc = MHD_add_response_header(r, "Cache-Control", answer->etag != NULL ? "no-cache" : "no-store");
    if (rc == MHD_YES && answer->etag != NULL) rc = MHD_add_response_header(r, "ETag", answer->etag);
    if (rc == MHD_YES && answer->etag != NULL) rc = MHD_add_response_header(r, "Content-Security-Policy", DASHBOARD_POLICY);
    if (rc == MHD_YES) rc = MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (rc == MHD_YES && answer->status == 405)
        rc = MHD_add_response_header(r, "Allow", answer->allow != NULL ? answer->allow : "GET, HEAD");
    if (rc == MHD_YES && answer->status == 401) rc = MHD_add_response_header(r, "WWW-Authenticate", "Bearer realm=\"apiary\"");
    if (rc == MHD_YES && answer->status == 503) rc = MHD_add_response_header(r, "Retry-After", "1");
    if (rc == MHD_YES && last) rc = MHD_add_response_header(r, "Connection", "close");
    if (rc == MHD_YES) rc = MHD_queue_response(connection, answer->status, r);
    MHD_destroy_response(r);
    return rc;
}

static const char *http_header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static bool http_announces_body(struct MHD_Connection *connection)
{
    const char *length = http_header(connection, "Content-Length");

    return (length != NULL && strcmp(length, "0") != 0) || http_header(connection, "Transfer-Encoding") != NULL;
}

static struct http_connection *http_connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

static enum MHD_Result http_argument(void *user, enum MHD_ValueKind kind, const char *key, size_t key_size, const char *value,
                                     size_t value_size)
{
    (void)kind;
    request_argument(user, key, key_size, value, value_size);
    return MHD_YES;
}

/* The token of the moment: the file may have been renewed, or removed, which makes a new one. */
static void http_token(struct http *h)
{
    int rc;

    snprintf(h->untold, sizeof h->untold, "it would lie in a state directory, and there is none");
    if (h->folder == NULL) return;
    *h->untold = '\0';
    rc = token_read(h->folder, h->token, h->untold);
    if (rc == 1) rc = token_make(h->folder, false, h->untold);
    if (rc == 0 && *h->untold == '\0') rc = token_read(h->folder, h->token, h->untold);
    if (rc != 0) explicit_bzero(h->token, sizeof h->token);
}

/* Over the socket of the state directory: who asks, and whether he could read the token as well. */
static bool http_peer(const struct http_connection *c, struct http_asked *asked)
{
    struct ucred peer;

    if (c == NULL || !c->local || !supervisor_peer(c->fd, &peer)) return false;
    asked->local = true;
    asked->uid = peer.uid;
    asked->pid = peer.pid;
    return peer.uid == geteuid() || peer.uid == 0;
}

static void http_judge(struct http_request *r, const struct http_connection *c, const char *method, const char *url,
                       const char *version)
{
    struct http *h = r->of;
    bool changes = strcmp(method, "POST") == 0;
    struct request request = {.method = method, .path = url, .host = http_header(r->connection, "Host"),
                              .file = r->asked.file != NULL, .old = strcmp(version, "HTTP/1.0") == 0,
                              .body = http_announces_body(r->connection), .checked = c == NULL || !c->local,
                              .wide = !ap_address_loopback(&h->address), .hosts = h->hosts,
                              .type = http_header(r->connection, "Content-Type"),
                              .length = http_header(r->connection, "Content-Length"),
                              .origin = http_header(r->connection, "Origin"), .site = http_header(r->connection, "Sec-Fetch-Site"),
                              .authorization = http_header(r->connection, "Authorization")};

    request.trusted = changes && http_peer(c, &r->asked);
    if (changes) http_token(h);
    request.token = changes && *h->untold == '\0' ? h->token : NULL;
    request.untold = h->untold;
    request_judge(&request, &r->asked.verdict);
    MHD_get_connection_values_n(r->connection, MHD_GET_ARGUMENT_KIND, http_argument, &r->asked.verdict);
    if (r->asked.verdict.status == 200 && h->owed > HTTP_OWED)
        request_refuse(&r->asked.verdict, 503, "%u MiB of answers wait for their readers; ask again", (unsigned)(HTTP_OWED >> 20));
}

static enum MHD_Result http_reply(struct http_request *r, bool last);

/* There is no memory for the answer. */
static enum MHD_Result http_lacks(const struct http *h, struct MHD_Connection *connection)
{
    return MHD_queue_response(connection, 503, h->lacking);
}

static enum MHD_Result http_stream(struct http_request *r)
{
    struct http_connection *c = http_connection_of(r->connection);
    struct MHD_Response *stream = http_stream_begin(r->of, r->connection, http_header(r->connection, "Last-Event-ID"));
    enum MHD_Result rc;

    if (stream == NULL) {
        request_refuse(&r->asked.verdict, 503, "%u listen already, or there is no memory; /v1/events tells the same", HTTP_STREAMS);
        return http_reply(r, false);
    }
    if (c != NULL) c->stream = true;
    rc = MHD_queue_response(r->connection, 200, stream);
    MHD_destroy_response(stream);
    return rc;
}

static enum MHD_Result http_reply(struct http_request *r, bool last)
{
    struct http_connection *c = http_connection_of(r->connection);
    struct supervisor_call call = {.fd = -1};
    bool changes = request_changes(&r->asked.verdict), ok;
    enum MHD_Result rc = MHD_NO;

    if (r->called) {
        if (c != NULL) c->rests = false;
        if (c != NULL) c->since = r->of->a->seg->ops->now();
        ok = r->answered;
    } else if (!tool_spare_begin()) {
        ok = false;
    } else if (changes && r->asked.verdict.status == 200) {
        /* A connection that rests while the library ends would end the process. */
        if (ap_load_acquire(&r->of->stop) != 0) request_refuse(&r->asked.verdict, 503, "apiaryd ends; nothing was done");
        demand_read(&r->asked.verdict, r->body != NULL ? r->body : "", r->size, &r->demand);
        ok = http_change(&r->asked, &r->demand, &r->answer, &call);
        if (call.fd >= 0 && http_call_begin(r, call.fd)) {
            (void)tool_spare_end(); /* it has what it needs */
            if (c != NULL) c->rests = true;
            return MHD_YES;
        }
        if (call.fd >= 0) {
            request_refuse(&r->asked.verdict, 503, "%u requests to 'apiary up' wait for their answers; ask again", HTTP_CALLS);
            ok = http_answer_refusal(&r->asked.verdict, &r->answer);
        }
    } else {
        ok = http_answer(&r->asked, &r->answer);
    }
    if (!r->called) ok = tool_spare_end() && ok;
    if (ok) rc = http_send(r->of, r->connection, &r->answer, last);
    free(r->answer.body);
    r->answer.body = NULL;
    return rc == MHD_YES ? rc : http_lacks(r->of, r->connection);
}

/* A piece of a body is not kept where the request is refused already. More than a body may have ends the connection. */
static enum MHD_Result request_piece(struct http_request *r, const char *bytes, size_t *size)
{
    char *body = r->body;

    if (*size > REQUEST_BODY - r->size) return MHD_NO;
    if (r->asked.verdict.status != 200) {
        r->size += *size;
        *size = 0;
        return MHD_YES;
    }
    if (r->size + *size > r->room) {
        r->room = r->size + *size > r->room * 2 ? r->size + *size : r->room * 2;
        body = realloc(r->body, r->room);
    }
    if (body == NULL) return MHD_NO;
    r->body = body;
    memcpy(r->body + r->size, bytes, *size);
    r->size += *size;
    *size = 0;
    return MHD_YES;
}

static struct http_request *http_begin(struct http *h, struct MHD_Connection *connection, const char *url)
{
    struct http_request *r = calloc(1, sizeof *r);
    const char *accept = http_header(connection, "Accept");

    if (r == NULL) return NULL;
    r->of = h;
    r->connection = connection;
    r->asked = (struct http_asked){.a = h->a, .deployment = h->deployment, .segment = h->segment, .folder = h->folder,
                                   .file = dashboard_file(url), .match = http_header(connection, "If-None-Match"),
                                   .openmetrics = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL};
    return r;
}

/* Whether the body that is announced is not worth reading: whose body is read can read the answer. */
static bool http_too_long(struct MHD_Connection *connection)
{
    const char *length = http_header(connection, "Content-Length");
    char *end;

    return length != NULL && (*length < '0' || *length > '9' || strtoull(length, &end, 10) > REQUEST_BODY || *end != '\0');
}

/* An answer at the first call ends the connection, as it should where a body follows that nobody reads. */
enum MHD_Result http_asks(void *user, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                          const char *upload, size_t *upload_size, void **context)
{
    struct http_request *r = *context;
    struct http_connection *c = http_connection_of(connection);

    if (r == NULL) {
        if (c != NULL) c->busy = true;
        r = http_begin(user, connection, url);
        if (r == NULL) return http_lacks(user, connection);
        *context = r;
        if (tool_spare_begin()) http_judge(r, c, method, url, version);
        if (!tool_spare_end()) return http_lacks(user, connection);
        return r->asked.verdict.status != 200 && http_too_long(connection) ? http_reply(r, true) : MHD_YES;
    }
    if (*upload_size > 0) return request_piece(r, upload, upload_size);
    if (r->asked.verdict.status == 200 && r->asked.verdict.route == REQUEST_STREAM && r->asked.file == NULL) return http_stream(r);
    return http_reply(r, false);
}

void http_request_free(struct http_request *r)
{
    demand_free(&r->demand);
    free(r->answer.body);
    free(r->body);
    free(r);
}

void http_completed(void *user, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode code)
{
    struct http *h = user;
    struct http_connection *c = http_connection_of(connection);
    struct http_request *r = *context;

    (void)code;
    *context = NULL;
    if (r != NULL) http_call_forget(r);
    if (c == NULL) return;
    c->busy = c->stream = c->rests = false;
    c->since = h->a->seg->ops->now();
}
