/* tools/operate/supervisor.c - see supervisor.h. */
#include "tools/operate/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/text.h"
#include "tools/common/wire.h"
#include "tools/view/view.h"

socklen_t supervisor_address(const char *segment, uint64_t namespace, int64_t pid, struct sockaddr_un *ret)
{
    int n;

    memset(ret, 0, sizeof *ret);
    ret->sun_family = AF_UNIX;
    n = snprintf(ret->sun_path + 1, sizeof ret->sun_path - 1, "apiary-up%s/%" PRIu64 "-%" PRId64, segment, namespace, pid);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

bool supervisor_peer(int fd, struct ucred *ret)
{
    socklen_t size = sizeof *ret;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &size) == 0 && size == sizeof *ret;
}

static void supervisor_call(const struct sockaddr_un *address, socklen_t size, const char *text, bool wait,
                            struct supervisor_call *ret)
{
    int fd = ap_fd_socket(AF_UNIX, SOCK_SEQPACKET | (wait ? 0 : SOCK_NONBLOCK), 0);
    bool called = fd >= 0 && connect(fd, (const struct sockaddr *)address, size) == 0;
    struct ucred peer;
    bool it = called && supervisor_peer(fd, &peer) && peer.pid == ret->pid;

    if (it && send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text)) {
        ret->fd = fd;
        return;
    }
    if (called && !it)
        ap_format(ret->why, sizeof ret->why, "another process answers in place of 'apiary up' (pid %" PRId64 ")", ret->pid);
    else
        ap_format(ret->why, sizeof ret->why, "cannot reach 'apiary up' (pid %" PRId64 "): %s; is it in another network namespace?",
                  ret->pid, strerror(errno));
    if (fd >= 0) close(fd);
}

void supervisor_ask(apiary_t *a, const char *segment, const json_t *request, bool wait, struct supervisor_call *ret)
{
    struct sockaddr_un address;
    struct ap_member own;
    char *text;

    *ret = (struct supervisor_call){.fd = -1, .pid = view_supervisor(a->seg, a->member)};
    if (ret->pid == 0 || !ap_member_read(a->seg, a->member, &own)) {
        ret->pid = 0;
        ap_format(ret->why, sizeof ret->why, "no 'apiary up' looks after %s; queens that others have started are theirs to change",
                  segment);
        return;
    }
    text = json_dumps(request, JSON_COMPACT);
    if (text != NULL)
        supervisor_call(&address, supervisor_address(segment, own.pid_namespace, ret->pid, &address), text, wait, ret);
    else ap_format(ret->why, sizeof ret->why, "there is no memory");
    free(text);
}

json_t *supervisor_answer(int fd)
{
    uint8_t number;
    size_t length = 0;
    int answer = -1;
    char *said = wire_receive(fd, &number, &answer) && answer >= 0 ? wire_read(answer, &length) : NULL;
    json_t *ret = said != NULL ? json_loadb(said, length, 0, NULL) : NULL;

    free(said);
    close(fd);
    return ret;
}
