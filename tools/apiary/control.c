/* tools/apiary/control.c - see control.h. */
#include "tools/apiary/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/ops.h"
#include "tools/common/wire.h"
#include "tools/operate/supervisor.h"

#define REQUEST_MAX 4096
#define BACKLOG 64
#define CALLERS 64 /* at once, of those whom it obeys */
#define STRANGERS 8
#define SILENCE UINT64_C(10000000000) /* for a caller to say what it wants */
#define DEAF UINT64_C(500000000) /* when there is no descriptor for a caller */

struct control_caller {
    int fd;
    bool stranger;
    json_t *json; /* NULL: it is not read yet */
    uint64_t until; /* CLOCK_MONOTONIC: it is not waited for any longer */
};

struct control {
    struct crew *crew;
    int listener;
    uint64_t deaf; /* CLOCK_MONOTONIC: until then nobody is accepted; 0: they are */
    struct control_caller *waiting; /* the first one has waited for the longest */
    size_t count;
};

/* ---- the supervisor's side ------------------------------------------------------------------------------------ */

static void control_forget(struct control *c, size_t i)
{
    memmove(&c->waiting[i], &c->waiting[i + 1], (--c->count - i) * sizeof *c->waiting);
}

static void control_drop(struct control *c, size_t i)
{
    crew_deafen(c->crew, c->waiting[i].fd);
    close(c->waiting[i].fd);
    json_decref(c->waiting[i].json);
    control_forget(c, i);
}

/* A command that gets nothing finds the connection closed. */
static void control_send(int to, json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    int fd = text != NULL ? wire_file("answer", text, strlen(text)) : -1;
    if (fd >= 0) wire_send(to, fd, 0);
    if (fd >= 0) close(fd);
    free(text);
    json_decref(answer);
}

void control_answer(struct control_request *r, json_t *answer)
{
    control_send(r->fd, answer);
    close(r->fd);
    json_decref(r->json);
}

/* A stranger is answered when it was read: a connection that is closed over something unread loses its answer. */
static void control_heard(void *user, int fd)
{
    struct control *c = user;
    char bytes[REQUEST_MAX];
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    crew_deafen(c->crew, fd);
    for (size_t i = 0; i < c->count; i++) {
        struct control_caller *w = &c->waiting[i];
        if (w->fd != fd) continue;
        w->json = n > 0 && !w->stranger ? json_loadb(bytes, (size_t)n, 0, NULL) : NULL;
        if (w->json != NULL) return;
        if (w->stranger)
            control_send(fd, json_pack("{s:i, s:s}", "code", TOOL_FAILED, "error",
                                       "it obeys its own user and root only, and you are neither"));
        control_forget(c, i);
        break;
    }
    close(fd);
}

/* Room for one more of its kind: who has been silent for the longest gives way. So nobody keeps others out by saying nothing, and
 * strangers take none of the room of those whom it obeys. */
static bool control_make_room(struct control *c, bool stranger)
{
    size_t n = 0, silent = c->count;
    for (size_t i = c->count; i-- > 0;) {
        if (c->waiting[i].stranger != stranger) continue;
        n++;
        if (c->waiting[i].json == NULL) silent = i;
    }
    if (n < (stranger ? STRANGERS : CALLERS)) return true;
    if (silent == c->count) return false;
    control_drop(c, silent);
    return true;
}

static int control_accept(void *listener)
{
    return accept4(*(const int *)listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void control_called(void *user, int listener)
{
    struct control *c = user;
    struct ucred peer;
    int fd = ap_fd_made(control_accept, &listener);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
        crew_deafen(c->crew, listener); /* who cannot be accepted would be reported without end */
        c->deaf = ap_ops_system.now() + DEAF;
    }
    if (fd < 0) return;
    bool stranger = !supervisor_peer(fd, &peer) || (peer.uid != geteuid() && peer.uid != 0);
    if (!control_make_room(c, stranger)) {
        close(fd);
        return;
    }
    c->waiting = tool_realloc(c->waiting, (c->count + 1) * sizeof *c->waiting);
    c->waiting[c->count++] = (struct control_caller){.fd = fd, .stranger = stranger, .until = ap_ops_system.now() + SILENCE};
    crew_listen(c->crew, fd, control_heard, c);
}

void control_tend(struct control *c)
{
    uint64_t now = ap_ops_system.now();
    if (c == NULL) return;
    for (size_t i = c->count; i-- > 0;) {
        if (c->waiting[i].json == NULL && c->waiting[i].until <= now) control_drop(c, i);
    }
    if (c->deaf == 0 || c->deaf > now) return;
    c->deaf = 0;
    crew_listen(c->crew, c->listener, control_called, c);
}

struct control *control_open(struct crew *crew, apiary_t *a, const char *segment)
{
    struct sockaddr_un address;
    struct ap_member own;
    int fd = ap_fd_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    bool known = ap_member_read(a->seg, a->member, &own);
    socklen_t size = known ? supervisor_address(segment, own.pid_namespace, getpid(), &address) : 0;
    if (fd < 0 || !known || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, BACKLOG) != 0) {
        crew_say(crew, "apiary: up: commands such as 'apiary reload' cannot reach it: %s; SIGHUP makes it read its "
                       "configuration all the same", strerror(errno));
        if (fd >= 0) close(fd);
        return NULL;
    }
    struct control *c = tool_alloc(sizeof *c);
    *c = (struct control){.crew = crew, .listener = fd};
    crew_listen(crew, fd, control_called, c);
    return c;
}

void control_close(struct control *c)
{
    if (c == NULL) return;
    while (c->count > 0)
        control_drop(c, c->count - 1);
    crew_deafen(c->crew, c->listener);
    close(c->listener);
    free(c->waiting);
    free(c);
}

/* One that has closed its end does not wait any more. */
static bool control_waits(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* The sender's own words on that are not believed. */
static void control_sign(int fd, json_t *request)
{
    struct ucred peer;
    (void)json_object_del(request, "uid");
    (void)json_object_del(request, "pid");
    if (!json_is_object(request) || !supervisor_peer(fd, &peer)) return;
    json_object_set_new(request, "uid", json_integer(peer.uid));
    json_object_set_new(request, "pid", json_integer(peer.pid));
}

bool control_next(struct control *c, struct control_request *ret)
{
    for (size_t i = 0; c != NULL && i < c->count;) {
        struct control_caller w = c->waiting[i];
        if (w.json == NULL) {
            i++;
            continue;
        }
        control_forget(c, i);
        *ret = (struct control_request){.fd = w.fd, .json = w.json};
        control_sign(w.fd, w.json);
        if (control_waits(w.fd)) return true;
        close(w.fd);
        json_decref(w.json);
    }
    return false;
}

/* ---- the command's side --------------------------------------------------------------------------------------- */

int control_ask(const struct tool *t, const char *command, const char *segment, json_t *request, json_t **ret)
{
    struct supervisor_call call = {.fd = -1};
    const char *error;
    apiary_t *a = NULL;
    int rc = tool_attach(t, segment, false, &a);
    *ret = NULL;
    if (rc == TOOL_OK) {
        supervisor_ask(a, segment, request, true, &call);
        apiary_detach(a);
        if (call.fd < 0) rc = tool_fail(t, TOOL_FAILED, "%s: %s", command, call.why);
    }
    json_decref(request);
    if (rc != TOOL_OK) return rc;
    *ret = supervisor_answer(call.fd);
    if (*ret == NULL)
        return tool_fail(t, TOOL_FAILED, "%s: 'apiary up' (pid %" PRId64 ") ended without an answer; 'apiary status' shows what "
                         "there is", command, call.pid);
    error = json_string_value(json_object_get(*ret, "error"));
    rc = (int)json_integer_value(json_object_get(*ret, "code"));
    return rc != TOOL_OK ? tool_fail(t, rc, "%s: %s", command, error != NULL ? error : "it failed") : TOOL_OK;
}
