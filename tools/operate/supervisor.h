/* tools/operate/supervisor.h - asks the `apiary up` that runs for something (tools/apiary/control.h, where its side is).
 *
 * TRUST     Only the process is believed that the segment names as the supervisor: the kernel tells who answers.
 * THREADS   Any; a call belongs to its caller.
 */
#ifndef AP_TOOLS_OPERATE_SUPERVISOR_H
#define AP_TOOLS_OPERATE_SUPERVISOR_H

#include <sys/socket.h>
#include <sys/un.h>

#include "registry/client/client.h"
#include "tools/common/common.h"

#define SUPERVISOR_WHY 192u

/* The abstract name at which it listens; both sides come to the same one. */
socklen_t supervisor_address(const char *segment, uint64_t namespace, int64_t pid, struct sockaddr_un *ret);
/* The process at the other end of a Unix socket. */
AP_MUST_CHECK bool supervisor_peer(int fd, struct ucred *ret);

struct supervisor_call {
    int fd;      /* on which the answer comes; it is the caller's. -1: there is none, and `why` says it */
    int64_t pid; /* of the supervisor; 0: there is none */
    char why[SUPERVISOR_WHY];
};
/* Sends a request, whose reference stays the caller's. `wait`: also where it has not accepted those before; else that is a
 * refusal. */
void supervisor_ask(apiary_t *a, const char *segment, const json_t *request, bool wait, struct supervisor_call *ret);
/* The answer, which is waited for, as an object to be freed; NULL: it has ended without one. Closes `fd`. */
json_t *supervisor_answer(int fd);

#endif
