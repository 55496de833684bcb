/* tools/apiaryd/http.c - the HTTP server: its sockets, its thread, its limits. See http.h. */
#include "tools/apiaryd/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/address.h"
#include "core/descriptor.h"
#include "core/log.h"
#include "core/state.h"
#include "core/text.h"
#include "core/thread.h"
#include "shm/event.h"
#include "tools/common/common.h"

#define AGAIN UINT64_C(1000000000) /* ns, until a socket that could not be had is tried again */
#define AGAIN_MOST UINT64_C(30000000000)
#define SWEEP UINT64_C(1000000000)
#define BACKLOG 128
#define ACCEPTED 16 /* at a time, before those that are there are looked after */
#define REST UINT64_C(100000000) /* ns without accepting, when this process has no descriptor or memory for one more */

struct http_connection {
    struct MHD_Connection *of; /* NULL: the row is free */
    int fd;
    bool local; /* by the socket of the state directory */
    bool told;  /* to end */
    bool busy;  /* from its request on until its answer is sent */
    uint64_t since; /* CLOCK_MONOTONIC: when it came, or had its last answer */
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
    char *folder, *segment;
    const struct ap_deployment *deployment;
    struct MHD_Daemon *daemon;
    int wake;
    pthread_t thread;
    uint32_t stop;
    struct http_listener listeners[2];
    struct http_connection connections[HTTP_CONNECTIONS];
    unsigned open;
    bool accepting_local; /* of the connection that is being added */
    uint64_t rest;        /* CLOCK_MONOTONIC: nothing is accepted until then */
    uint64_t owed;        /* bytes of answers that are not sent yet */
};

/* ---- what is listened at ---------------------------------------------------------------------------------------- */

static int listener_fails(int fd, char why[HTTP_WHY], const char *what)
{
    ap_format(why, HTTP_WHY, "%s: %s", what, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

static int listen_tcp(const struct http *h, char why[HTTP_WHY])
{
    char name[AP_ADDRESS_TEXT];
    int fd = ap_fd_socket(h->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

    ap_address_print(&h->address, name);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        bind(fd, (const struct sockaddr *)(const void *)&h->address, h->address_size) < 0 || listen(fd, BACKLOG) < 0)
        return listener_fails(fd, why, name);
    return fd;
}

/* The mode that the socket has before it gets its name is that of the name. */
static int listen_local(const struct http *h, char why[HTTP_WHY])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", h->folder, HTTP_SOCKET), fd;

    if (n < 0 || (size_t)n >= sizeof address.sun_path) {
        ap_format(why, HTTP_WHY, "%s/%s: the path of a socket has %zu bytes at most", AP_SHOWN(h->folder, 100), HTTP_SOCKET,
                  sizeof address.sun_path - 1);
        return -1;
    }
    if (ap_state_make(h->folder, why, HTTP_WHY) < 0) return -1;
    unlink(address.sun_path); /* of one that was killed: the segment's lock says that no other lives */
    fd = ap_fd_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)(const void *)&address, sizeof address) < 0 ||
        listen(fd, BACKLOG) < 0)
        return listener_fails(fd, why, address.sun_path);
    return fd;
}

static void listener_tell(const struct http *h, const struct http_listener *l)
{
    struct sockaddr_storage is;
    socklen_t size = sizeof is;
    char name[AP_ADDRESS_TEXT];

    if (l->local) {
        ap_log(6, "HTTP is served on %s/%s", h->folder, HTTP_SOCKET);
        return;
    }
    if (getsockname(l->fd, (struct sockaddr *)(void *)&is, &size) < 0) return;
    ap_address_print(&is, name);
    ap_log(6, "HTTP is served on http://%s/", name);
    if (!ap_address_loopback(&is))
        ap_log(4, "HTTP on %s is open to all who can reach that address: nothing there asks who they are", name);
}

static void listener_open(struct http *h, struct http_listener *l, uint64_t now)
{
    char why[HTTP_WHY] = "";

    if (l->fd >= 0 || now < l->due || (l->local && h->folder == NULL)) return;
    l->fd = l->local ? listen_local(h, why) : listen_tcp(h, why);
    if (l->fd >= 0) {
        listener_tell(h, l);
        *l->told = '\0';
        return;
    }
    if (strcmp(why, l->told) != 0) {
        ap_log(4, "HTTP is not served: %s; it is tried again (listen in the configuration, or --listen, names another address)",
               why);
        ap_event_log_more(h->a->seg, AP_EVENT_HTTP_UNSERVED, h->a->anchor->lane.index, ap_address_port(&h->address), 0, 0, why,
                          strlen(why));
    }
    memcpy(l->told, why, sizeof l->told);
    l->wait = l->wait == 0 ? AGAIN : l->wait < AGAIN_MOST / 2 ? 2 * l->wait : AGAIN_MOST;
    l->due = now + l->wait;
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static void http_notified(void *user, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code)
{
    struct http *h = user;
    struct http_connection *c = *context;
    const union MHD_ConnectionInfo *info;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (c != NULL) *c = (struct http_connection){.of = NULL};
        h->open--;
        return;
    }
    h->open++;
    for (unsigned i = 0; i < HTTP_CONNECTIONS && c == NULL; i++)
        if (h->connections[i].of == NULL) c = &h->connections[i];
    *context = c;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (c == NULL || info == NULL) return;
    *c = (struct http_connection){.of = connection, .fd = info->connect_fd, .local = h->accepting_local,
                                  .since = h->a->seg->ops->now()};
}

/* Its end is found by the library's next look. */
static void connection_end(struct http_connection *c)
{
    if (c->of == NULL || c->told) return;
    c->told = true;
    shutdown(c->fd, SHUT_RDWR);
}

/* The one that waits longest makes room. */
static void connection_evict(struct http *h)
{
    struct http_connection *oldest = NULL;

    for (unsigned i = 0; i < HTTP_CONNECTIONS; i++) {
        struct http_connection *c = &h->connections[i];

        if (c->of != NULL && !c->told && (oldest == NULL || c->since < oldest->since)) oldest = c;
    }
    if (oldest != NULL) connection_end(oldest);
}

static void connections_sweep(struct http *h, uint64_t now)
{
    for (unsigned i = 0; i < HTTP_CONNECTIONS; i++)
        if (h->connections[i].of != NULL && now > h->connections[i].since + HTTP_WHOLE) connection_end(&h->connections[i]);
}

/* The ends of those who say no more: the library's edge-triggered look may have passed over it, and would wait for HTTP_IDLE.
 * Returns how many there are to look at: poll refuses more than the process may have descriptors, empty ones, too. */
static nfds_t connections_poll(const struct http *h, struct pollfd fds[HTTP_CONNECTIONS])
{
    nfds_t n = 0;

    for (unsigned i = 0; i < HTTP_CONNECTIONS; i++) {
        const struct http_connection *c = &h->connections[i];

        if (c->of != NULL && !c->told && !c->busy) fds[n++] = (struct pollfd){.fd = c->fd, .events = POLLRDHUP};
    }
    return n;
}

/* After the library has taken what came before that. A connection that came since `then` may have the number of one that has
 * gone. */
static void connections_ended(struct http *h, const struct pollfd fds[HTTP_CONNECTIONS], nfds_t n, uint64_t then)
{
    for (nfds_t k = 0; k < n; k++)
        for (unsigned i = 0; i < HTTP_CONNECTIONS && fds[k].revents != 0; i++) {
            struct http_connection *c = &h->connections[i];

            if (c->of != NULL && c->fd == fds[k].fd && !c->busy && c->since <= then) connection_end(c);
        }
}

static void http_accept(struct http *h, struct http_listener *l)
{
    for (int i = 0; i < ACCEPTED && l->fd >= 0; i++) {
        struct sockaddr_storage from = {.ss_family = AF_UNIX};
        socklen_t size = sizeof from;
        int fd;

        if (h->open >= HTTP_CONNECTIONS) {
            connection_evict(h);
            MHD_run(h->daemon);
            if (h->open >= HTTP_CONNECTIONS) return;
        }
        fd = accept4(l->fd, (struct sockaddr *)(void *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
            connection_evict(h);
            h->rest = h->a->seg->ops->now() + REST;
        }
        if (fd < 0) return;
        h->accepting_local = l->local;
        /* The library knows addresses of the internet only, and asks nothing of this one. */
        if (l->local) {
            from = (struct sockaddr_storage){.ss_family = AF_INET};
            size = sizeof(struct sockaddr_in);
        }
        (void)MHD_add_connection(h->daemon, fd, (const struct sockaddr *)(const void *)&from, size);
    }
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

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
    if (rc == MHD_YES && answer->status == 405) rc = MHD_add_response_header(r, "Allow", "GET, HEAD");
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

/* Called when the headers are there, and again at the request's end. An answer at the first call ends the connection, as it should
 * where a body follows that nobody reads. */
static enum MHD_Result http_asks(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *upload, size_t *upload_size, void **context)
{
    struct http *h = user;
    struct http_connection *c = http_connection_of(connection);
    const char *accept = http_header(connection, "Accept");
    const struct dashboard_file *file = dashboard_file(url);
    const struct request request = {.method = method, .path = url, .host = http_header(connection, "Host"),
                                    .file = file != NULL,
                                    .old = strcmp(version, "HTTP/1.0") == 0, .body = http_announces_body(connection),
                                    .checked = ap_address_loopback(&h->address) && (c == NULL || !c->local)};
    struct http_asked asked = {.a = h->a, .deployment = h->deployment, .segment = h->segment, .folder = h->folder,
                               .file = file, .match = http_header(connection, "If-None-Match"),
                               .openmetrics = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL};
    struct http_answer answer = {.body = NULL};
    enum MHD_Result rc = MHD_NO;

    (void)upload, (void)upload_size;
    if (c != NULL) c->busy = true;
    if (*context == NULL && !request.body) {
        *context = h; /* anything but NULL */
        return MHD_YES;
    }
    request_judge(&request, &asked.verdict);
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, http_argument, &asked.verdict);
    if (asked.verdict.status == 200 && h->owed > HTTP_OWED)
        request_refuse(&asked.verdict, 503, "%u MiB of answers wait for their readers; ask again", (unsigned)(HTTP_OWED >> 20));
    if (http_answer(&asked, &answer)) rc = http_send(h, connection, &answer, request.body);
    free(answer.body);
    return rc;
}

static void http_completed(void *user, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode code)
{
    struct http *h = user;
    struct http_connection *c = http_connection_of(connection);

    (void)context, (void)code;
    if (c == NULL) return;
    c->busy = false;
    c->since = h->a->seg->ops->now();
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* ms until something is to be done whether anybody asks or not; -1: never. */
static int http_timeout(const struct http *h, uint64_t now)
{
    MHD_UNSIGNED_LONG_LONG ms;
    uint64_t until = UINT64_MAX;

    for (int i = 0; i < 2; i++) {
        const struct http_listener *l = &h->listeners[i];

        if (l->fd < 0 && (!l->local || h->folder != NULL) && l->due < until) until = l->due;
    }
    if (h->rest > now && h->rest < until) until = h->rest;
    if (h->open > 0 && now + SWEEP < until) until = now + SWEEP;
    if (MHD_get_timeout(h->daemon, &ms) == MHD_YES && now + ms * 1000000 < until) until = now + ms * 1000000;
    if (until == UINT64_MAX) return -1;
    return until > now ? (int)((until - now + 999999) / 1000000) : 0;
}

static void *http_main(void *user)
{
    struct http *h = user;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[4 + HTTP_CONNECTIONS] = {{.fd = h->wake, .events = POLLIN}, {.fd = info->epoll_fd, .events = POLLIN},
                                               {.events = POLLIN}, {.events = POLLIN}};
    nfds_t n;

    while (ap_load_acquire(&h->stop) == 0) {
        uint64_t now = h->a->seg->ops->now();

        for (int i = 0; i < 2; i++) {
            listener_open(h, &h->listeners[i], now);
            fds[2 + i].fd = h->rest > now ? -1 : h->listeners[i].fd;
        }
        connections_sweep(h, now);
        n = connections_poll(h, fds + 4);
        if (poll(fds, 4 + n, http_timeout(h, now)) < 0) {
            (void)poll(NULL, 0, REST / 1000000); /* no memory for it */
            continue;
        }
        for (int i = 0; i < 2; i++)
            if (fds[2 + i].fd >= 0 && fds[2 + i].revents != 0) http_accept(h, &h->listeners[i]);
        MHD_run(h->daemon);
        connections_ended(h, fds + 4, n, now);
    }
    return NULL;
}

static void http_free(struct http *h)
{
    char path[sizeof((struct sockaddr_un *)0)->sun_path];

    if (h->daemon != NULL) MHD_stop_daemon(h->daemon);
    for (int i = 0; i < 2; i++) {
        if (h->listeners[i].fd < 0) continue;
        close(h->listeners[i].fd);
        if (h->listeners[i].local) ap_format(path, sizeof path, "%s/%s", h->folder, HTTP_SOCKET);
        if (h->listeners[i].local) unlink(path);
    }
    if (h->wake >= 0) close(h->wake);
    free(h->folder);
    free(h->segment);
    free(h);
}

struct http *http_start(apiary_t *a, const struct http_options *o, char why[HTTP_WHY])
{
    struct http *h = tool_alloc(sizeof *h);
    int error = 0;

    *h = (struct http){.a = a, .folder = o->folder != NULL ? tool_strdup(o->folder) : NULL, .segment = tool_strdup(o->segment),
                       .deployment = o->deployment, .wake = ap_fd_event(),
                       .listeners = {{.local = false, .fd = -1}, {.local = true, .fd = -1}}};
    if (ap_address_read(o->listen, &h->address, &h->address_size) < 0) error = EINVAL;
    if (error == 0 && h->wake < 0) error = errno;
    if (error == 0)
        h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, http_asks, h,
                                     MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE,
                                     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_REQUEST, MHD_OPTION_NOTIFY_CONNECTION,
                                     http_notified, h, MHD_OPTION_NOTIFY_COMPLETED, http_completed, h, MHD_OPTION_END);
    if (error == 0 && h->daemon == NULL) error = errno != 0 ? errno : ENOMEM;
    if (error == 0) error = ap_thread_start(&h->thread, "apiary-http", http_main, h);
    if (error == 0) return h;
    ap_format(why, HTTP_WHY, "%s", strerror(error));
    http_free(h);
    return NULL;
}

void http_stop(struct http *h)
{
    if (h == NULL) return;
    ap_store_release(&h->stop, 1);
    if (write(h->wake, &(uint64_t){1}, sizeof(uint64_t)) < 0) ap_log(4, "HTTP: cannot end the thread: %s", strerror(errno));
    pthread_join(h->thread, NULL);
    http_free(h);
}
