/* tools/apiaryd/http.c - the HTTP server: its sockets, its thread, its limits. See http.h. */
#include "tools/apiaryd/http_inside.h"

#include <errno.h>
#include <netinet/in.h>
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
    char name[AP_ADDRESS_TEXT], where[AP_ADDRESS_TEXT + sizeof "http:///"];
    size_t n;

    if (l->local) {
        ap_log(6, "HTTP is served on %s/%s", h->folder, HTTP_SOCKET);
        return;
    }
    if (getsockname(l->fd, (struct sockaddr *)(void *)&is, &size) < 0) return;
    ap_address_print(&is, name);
    ap_log(6, "HTTP is served on http://%s/", name);
    n = ap_format(where, sizeof where, "http://%s/", name);
    ap_event_log_more(h->a->seg, AP_EVENT_HTTP_SERVED, h->a->anchor->lane.index, ap_address_port(&is), 0, 0, where, n);
    if (!ap_address_loopback(&is))
        ap_log(4, "HTTP on %s is open to all who can reach that address: reading asks nobody who they are", name);
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

/* The library may look at what it was given later than it was given: the descriptor itself tells. */
static bool connection_is_local(int fd)
{
    int domain = AF_INET;
    socklen_t size = sizeof domain;

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

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
    *c = (struct http_connection){.of = connection, .fd = info->connect_fd, .local = connection_is_local(info->connect_fd),
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

        if (c->of != NULL && !c->told && !c->stream && !c->rests && (oldest == NULL || c->since < oldest->since)) oldest = c;
    }
    if (oldest != NULL) connection_end(oldest);
}

static void connections_sweep(struct http *h, uint64_t now)
{
    for (unsigned i = 0; i < HTTP_CONNECTIONS; i++) {
        struct http_connection *c = &h->connections[i];

        if (c->of != NULL && !c->stream && !c->rests && now > c->since + HTTP_WHOLE) connection_end(c);
    }
}

/* The ends of those who say no more: the library's edge-triggered look may have passed over it, and would wait for HTTP_IDLE.
 * Returns how many there are to look at: poll refuses more than the process may have descriptors, empty ones, too. */
static nfds_t connections_poll(const struct http *h, struct pollfd fds[HTTP_CONNECTIONS])
{
    nfds_t n = 0;

    for (unsigned i = 0; i < HTTP_CONNECTIONS; i++) {
        const struct http_connection *c = &h->connections[i];

        if (c->of != NULL && !c->told && (!c->busy || c->stream)) fds[n++] = (struct pollfd){.fd = c->fd, .events = POLLRDHUP};
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

            if (c->of == NULL || c->fd != fds[k].fd || c->since > then || c->told) continue;
            if (c->stream) c->told = http_stream_gone(h, c->of);
            else if (!c->busy) connection_end(c);
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
        /* The library knows addresses of the internet only, and asks nothing of this one. */
        if (l->local) {
            from = (struct sockaddr_storage){.ss_family = AF_INET};
            size = sizeof(struct sockaddr_in);
        }
        (void)MHD_add_connection(h->daemon, fd, (const struct sockaddr *)(const void *)&from, size);
    }
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
    if (http_streams_next(h, now) < until) until = http_streams_next(h, now);
    if (http_calls_due(h) < until) until = http_calls_due(h);
    if (MHD_get_timeout(h->daemon, &ms) == MHD_YES && now + ms * 1000000 < until) until = now + ms * 1000000;
    if (until == UINT64_MAX) return -1;
    return until > now ? (int)((until - now + 999999) / 1000000) : 0;
}

static void *http_main(void *user)
{
    struct http *h = user;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[4 + HTTP_CONNECTIONS + HTTP_CALLS] = {{.fd = h->wake, .events = POLLIN},
                                                            {.fd = info->epoll_fd, .events = POLLIN},
                                                            {.events = POLLIN}, {.events = POLLIN}};
    nfds_t n, calls;

    while (ap_load_acquire(&h->stop) == 0) {
        uint64_t now = h->a->seg->ops->now();

        for (int i = 0; i < 2; i++) {
            listener_open(h, &h->listeners[i], now);
            fds[2 + i].fd = h->rest > now ? -1 : h->listeners[i].fd;
        }
        connections_sweep(h, now);
        n = connections_poll(h, fds + 4);
        calls = http_calls_poll(h, fds + 4 + n);
        if (poll(fds, 4 + n + calls, http_timeout(h, now)) < 0) {
            (void)poll(NULL, 0, REST / 1000000); /* no memory for it */
            continue;
        }
        for (int i = 0; i < 2; i++)
            if (fds[2 + i].fd >= 0 && fds[2 + i].revents != 0) http_accept(h, &h->listeners[i]);
        http_calls_tend(h, h->a->seg->ops->now());
        http_streams_tend(h, h->a->seg->ops->now());
        MHD_run(h->daemon);
        connections_ended(h, fds + 4, n, now);
    }
    tool_spare_free();
    return NULL;
}

static void http_free(struct http *h)
{
    char path[sizeof((struct sockaddr_un *)0)->sun_path];

    http_calls_end(h);
    http_streams_end(h);
    if (h->daemon != NULL) MHD_run(h->daemon);
    if (h->daemon != NULL) MHD_stop_daemon(h->daemon);
    if (h->lacking != NULL) MHD_destroy_response(h->lacking);
    for (int i = 0; i < 2; i++) {
        if (h->listeners[i].fd < 0) continue;
        close(h->listeners[i].fd);
        if (h->listeners[i].local) ap_format(path, sizeof path, "%s/%s", h->folder, HTTP_SOCKET);
        if (h->listeners[i].local) unlink(path);
    }
    if (h->wake >= 0) close(h->wake);
    free(h->folder);
    free(h->segment);
    free(h->hosts);
    explicit_bzero(h->token, sizeof h->token);
    free(h);
}

char *http_hosts(const char *given)
{
    char own[256] = "", *ret;

    if (gethostname(own, sizeof own - 1) < 0) *own = '\0';
    ret = tool_format("%s %s", own, given != NULL ? given : "");
    for (char *c = ret; *c != '\0'; c++)
        if (*c == ',') *c = ' ';
    return ret;
}

/* So that it can be read before anybody has asked for it. */
static void http_make_token(const struct http *h)
{
    char why[TOKEN_WHY], token[TOKEN_SIZE + 1];
    int rc = h->folder != NULL ? token_read(h->folder, token, why) : 0;

    explicit_bzero(token, sizeof token);
    if (rc == 1) rc = token_make(h->folder, false, why);
    if (rc < 0) ap_log(4, "nothing can be changed over TCP: %s", why);
}

static struct MHD_Response *http_lacking(void)
{
    static char text[] = "{\"schema\":1,\"status\":503,\"error\":\"there is no memory for the answer; ask again later\"}";
    struct MHD_Response *ret = MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);

    if (ret == NULL) return NULL;
    if (MHD_add_response_header(ret, "Content-Type", "application/json") == MHD_YES &&
        MHD_add_response_header(ret, "Cache-Control", "no-store") == MHD_YES &&
        MHD_add_response_header(ret, "Retry-After", "1") == MHD_YES)
        return ret;
    MHD_destroy_response(ret);
    return NULL;
}

struct http *http_start(apiary_t *a, const struct http_options *o, char why[HTTP_WHY])
{
    struct http *h = tool_alloc(sizeof *h);
    int error = 0;

    *h = (struct http){.a = a, .folder = o->folder != NULL ? tool_strdup(o->folder) : NULL, .segment = tool_strdup(o->segment),
                       .hosts = http_hosts(o->hosts), .deployment = o->deployment, .wake = ap_fd_event(),
                       .listeners = {{.local = false, .fd = -1}, {.local = true, .fd = -1}}};
    if (ap_address_read(o->listen, &h->address, &h->address_size) < 0) error = EINVAL;
    if (error == 0 && h->wake < 0) error = errno;
    if (error == 0)
        h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                                     http_asks, h,
                                     MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE,
                                     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_REQUEST, MHD_OPTION_NOTIFY_CONNECTION,
                                     http_notified, h, MHD_OPTION_NOTIFY_COMPLETED, http_completed, h, MHD_OPTION_END);
    h->lacking = http_lacking();
    if (error == 0 && (h->daemon == NULL || h->lacking == NULL)) error = errno != 0 ? errno : ENOMEM;
    if (error == 0) http_make_token(h);
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
