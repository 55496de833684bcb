/* tools/apiaryd/own.c - the endpoints that swarms have for themselves: their sockets, their thread, their limits. See own.h. */
#include "tools/apiaryd/own.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/address.h"
#include "core/descriptor.h"
#include "core/log.h"
#include "core/text.h"
#include "core/thread.h"
#include "shm/event.h"
#include "tools/common/common.h"

#define SECOND UINT64_C(1000000000)
#define AGAIN_MOST UINT64_C(30000000000)
#define BACKLOG 32

struct own_connection {
    int fd; /* -1: the row is free */
    uint64_t since; /* CLOCK_MONOTONIC: when it came, or had its last answer; 0: it was told to end */
};

/* The endpoints of one service. */
struct own_server {
    struct own *of;
    const char *service;
    struct sockaddr_storage address;
    socklen_t address_size;
    struct MHD_Daemon *daemon; /* NULL: the address could not be had yet */
    uint64_t due, wait;        /* when that is tried again */
    char told[HTTP_WHY];       /* why not; "": it was had, or never tried */
    struct own_connection connections[OWN_CONNECTIONS];
    unsigned open;
};

struct own {
    apiary_t *a;
    char *segment, *hosts; /* hosts: as of http.h */
    int wake;
    pthread_t thread;
    uint32_t stop;
    struct pollfd *fds; /* the first is `wake`, then one for each server */
    size_t count;
    struct own_server servers[];
};

/* ---- connections ------------------------------------------------------------------------------------------------ */

static void own_notified(void *user, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code)
{
    struct own_server *s = user;
    struct own_connection *c = *context;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (c != NULL) c->fd = -1;
        s->open--;
        return;
    }
    s->open++;
    for (unsigned i = 0; i < OWN_CONNECTIONS && c == NULL; i++)
        if (s->connections[i].fd < 0) c = &s->connections[i];
    *context = c;
    if (c != NULL) *c = (struct own_connection){info != NULL ? info->connect_fd : -1, s->of->a->seg->ops->now()};
}

static void own_completed(void *user, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode code)
{
    const struct own_server *s = user;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct own_connection *c = info != NULL ? info->socket_context : NULL;

    (void)context, (void)code;
    if (c != NULL) c->since = s->of->a->seg->ops->now();
}

/* One that sends or takes a byte now and then is not idle for the library. Its end is found by the library's next look. */
static void own_sweep(struct own_server *s, uint64_t now)
{
    for (unsigned i = 0; i < OWN_CONNECTIONS; i++) {
        struct own_connection *c = &s->connections[i];

        if (c->fd < 0 || c->since == 0 || now <= c->since + HTTP_WHOLE) continue;
        c->since = 0;
        shutdown(c->fd, SHUT_RDWR);
    }
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static const char *own_header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result own_argument(void *user, enum MHD_ValueKind kind, const char *key, size_t key_size, const char *value,
                                    size_t value_size)
{
    (void)kind;
    request_argument(user, key, key_size, value, value_size);
    return MHD_YES;
}

/* The two paths are judged as those of the coordinator that need nothing else. */
static void own_judge(const struct own_server *s, struct MHD_Connection *connection, const char *method, const char *path,
                      const char *version, bool body, struct request_verdict *ret)
{
    bool health = strcmp(path, "/health") == 0, metrics = strcmp(path, "/metrics") == 0;
    const struct request request = {.method = method, .path = health ? "/livez" : "/metrics",
                                    .host = own_header(connection, "Host"), .old = strcmp(version, "HTTP/1.0") == 0, .body = body,
                                    .checked = true, .wide = !ap_address_loopback(&s->address),
                                    .hosts = s->of->hosts, .site = own_header(connection, "Sec-Fetch-Site")};

    request_judge(&request, ret);
    if (ret->status == 200 && !health && !metrics)
        request_refuse(ret, 404, "there is nothing at '%s'; /health and /metrics of '%s' are here", AP_SHOWN(path, 48), s->service);
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, own_argument, ret);
}

static enum MHD_Result own_send(struct MHD_Connection *connection, struct http_answer *answer, bool last)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(answer->size, answer->body, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result rc;

    if (r == NULL) {
        free(answer->body);
        return MHD_NO;
    }
    rc = MHD_add_response_header(r, "Content-Type", answer->type);
    if (rc == MHD_YES) rc = MHD_add_response_header(r, "Cache-Control", "no-store");
    if (rc == MHD_YES) rc = MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (rc == MHD_YES && answer->status == 405) rc = MHD_add_response_header(r, "Allow", "GET, HEAD");
    if (rc == MHD_YES && last) rc = MHD_add_response_header(r, "Connection", "close");
    if (rc == MHD_YES) rc = MHD_queue_response(connection, answer->status, r);
    MHD_destroy_response(r);
    return rc;
}

/* Called when the headers are there, and again at the request's end; of one with a body, which nobody reads, at once. */
static enum MHD_Result own_asks(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *upload, size_t *upload_size, void **context)
{
    const struct own_server *s = user;
    const char *accept = own_header(connection, "Accept"), *length = own_header(connection, "Content-Length");
    bool body = (length != NULL && strcmp(length, "0") != 0) || own_header(connection, "Transfer-Encoding") != NULL, made;
    bool openmetrics = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;
    struct http_answer answer = {.body = NULL};
    struct request_verdict verdict;

    (void)upload, (void)upload_size;
    if (*context == NULL && !body) {
        *context = user; /* anything but NULL */
        return MHD_YES;
    }
    made = tool_spare_begin();
    if (made) own_judge(s, connection, method, url, version, body, &verdict);
    if (made)
        made = verdict.status == 200 ? own_answer(s->of->a, s->of->segment, s->service, url, openmetrics, &answer)
                                     : own_refusal(&verdict, &answer);
    made = tool_spare_end() && made;
    if (made) return own_send(connection, &answer, body);
    free(answer.body);
    return MHD_NO;
}

/* ---- where it listens -------------------------------------------------------------------------------------------- */

/* A descriptor that listens there; -1 and why. */
static int own_listen(const struct own_server *s, char why[HTTP_WHY])
{
    int fd = ap_fd_socket(s->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    char name[AP_ADDRESS_TEXT];

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0 &&
        bind(fd, (const struct sockaddr *)(const void *)&s->address, s->address_size) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    ap_address_print(&s->address, name);
    ap_format(why, HTTP_WHY, "%s: %s", name, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

static void own_tell(const struct own_server *s, int fd)
{
    struct sockaddr_storage is;
    socklen_t size = sizeof is;
    char name[AP_ADDRESS_TEXT];

    if (getsockname(fd, (struct sockaddr *)(void *)&is, &size) < 0) return;
    ap_address_print(&is, name);
    ap_log(6, "/health and /metrics of '%s' are served on http://%s/", s->service, name);
    if (!ap_address_loopback(&is))
        ap_log(4, "HTTP on %s is open to all who can reach that address: nothing there asks who they are", name);
}

static void own_open(struct own_server *s, uint64_t now)
{
    char why[HTTP_WHY] = "";
    int fd;

    if (s->daemon != NULL || now < s->due) return;
    fd = own_listen(s, why);
    if (fd >= 0)
        s->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, own_asks, s, MHD_OPTION_LISTEN_SOCKET, fd,
                                     MHD_OPTION_CONNECTION_LIMIT, OWN_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE,
                                     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_REQUEST, MHD_OPTION_NOTIFY_CONNECTION,
                                     own_notified, s, MHD_OPTION_NOTIFY_COMPLETED, own_completed, s, MHD_OPTION_END);
    if (s->daemon != NULL) {
        own_tell(s, fd);
        *s->told = '\0';
        return;
    }
    if (fd >= 0) {
        ap_format(why, sizeof why, "%s", strerror(errno != 0 ? errno : ENOMEM));
        close(fd);
    }
    if (strcmp(why, s->told) != 0) {
        ap_log(4, "/health and /metrics of '%s' are not served: %s; it is tried again (listen there names another address)",
               s->service, why);
        ap_event_log_more(s->of->a->seg, AP_EVENT_HTTP_UNSERVED, s->of->a->anchor->lane.index, ap_address_port(&s->address), 0, 0,
                          why, strlen(why));
    }
    memcpy(s->told, why, sizeof s->told);
    s->wait = s->wait == 0 ? SECOND : s->wait < AGAIN_MOST / 2 ? 2 * s->wait : AGAIN_MOST;
    s->due = now + s->wait;
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* When something of it is to be done whether anybody asks or not; UINT64_MAX: never. */
static uint64_t own_until(const struct own_server *s, uint64_t now)
{
    uint64_t until = s->open > 0 ? now + SECOND : UINT64_MAX;
    MHD_UNSIGNED_LONG_LONG ms;

    if (s->daemon == NULL) return s->due;
    if (MHD_get_timeout(s->daemon, &ms) == MHD_YES && now + ms * 1000000 < until) until = now + ms * 1000000;
    return until;
}

static void own_look(struct own_server *s, struct pollfd *fd, uint64_t now)
{
    const union MHD_DaemonInfo *info;
    unsigned open;

    own_open(s, now);
    *fd = (struct pollfd){.fd = -1, .events = POLLIN};
    if (s->daemon == NULL) return;
    own_sweep(s, now);
    /* The library listens again with the run after that in which one of all connections has ended. */
    do {
        open = s->open;
        MHD_run(s->daemon);
    } while (s->open < open);
    info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info != NULL) fd->fd = info->epoll_fd;
}

static void *own_main(void *user)
{
    struct own *o = user;

    o->fds[0] = (struct pollfd){.fd = o->wake, .events = POLLIN};
    while (ap_load_acquire(&o->stop) == 0) {
        uint64_t now = o->a->seg->ops->now(), until = UINT64_MAX;

        for (size_t i = 0; i < o->count; i++) {
            uint64_t own;

            own_look(&o->servers[i], &o->fds[i + 1], now);
            own = own_until(&o->servers[i], now);
            if (own < until) until = own;
        }
        if (poll(o->fds, o->count + 1, until == UINT64_MAX ? -1 : until > now ? (int)((until - now + 999999) / 1000000) : 0) < 0)
            (void)poll(NULL, 0, 100); /* no memory for it */
    }
    tool_spare_free();
    return NULL;
}

static void own_free(struct own *o)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->servers[i].daemon != NULL) MHD_stop_daemon(o->servers[i].daemon);
    if (o->wake >= 0) close(o->wake);
    free(o->fds);
    free(o->segment);
    free(o->hosts);
    free(o);
}

static void own_server(struct own *o, const struct ap_deployment_swarm *swarm)
{
    struct own_server *s = &o->servers[o->count];

    *s = (struct own_server){.of = o, .service = swarm->service};
    for (unsigned i = 0; i < OWN_CONNECTIONS; i++) s->connections[i].fd = -1;
    /* The configuration's reader has judged it. */
    if (ap_address_read(swarm->listen, &s->address, &s->address_size) == 0) o->count++;
}

bool own_start(apiary_t *a, const char *segment, const char *hosts, const struct ap_deployment *d, struct own **ret,
               char why[HTTP_WHY])
{
    size_t count = 0;
    struct own *o;
    int error;

    *ret = NULL;
    for (size_t i = 0; d != NULL && i < d->swarm_count; i++) count += d->swarms[i].listen != NULL;
    if (count == 0) return true;
    o = tool_alloc(sizeof *o + count * sizeof o->servers[0]);
    *o = (struct own){.a = a, .segment = tool_strdup(segment), .hosts = http_hosts(hosts), .wake = ap_fd_event(),
                      .fds = tool_alloc((count + 1) * sizeof *o->fds)};
    for (size_t i = 0; i < d->swarm_count; i++)
        if (d->swarms[i].listen != NULL) own_server(o, &d->swarms[i]);
    error = o->wake < 0 ? errno : ap_thread_start(&o->thread, "apiary-own", own_main, o);
    if (error == 0) {
        *ret = o;
        return true;
    }
    ap_format(why, HTTP_WHY, "%s", strerror(error));
    own_free(o);
    return false;
}

void own_stop(struct own *o)
{
    if (o == NULL) return;
    ap_store_release(&o->stop, 1);
    if (write(o->wake, &(uint64_t){1}, sizeof(uint64_t)) < 0) ap_log(4, "HTTP: cannot end the thread: %s", strerror(errno));
    pthread_join(o->thread, NULL);
    own_free(o);
}
