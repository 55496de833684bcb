/* agents/kinds/child.c - see child.h: the parent's side. */
#include "agents/kinds/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agents/kinds/guard.h"
#include "core/descriptor.h"

enum { ABOVE = 5 /* descriptors of the guard: see guard.c */, ROUNDS = 64 };

static const char *const step_names[] = {"guard",         "guard",        "guard",           "start", "descriptors",
                                         "earlier attempt", "memory limit", "change directory", "exec"};

static int pipe_above(int ends[2])
{
    if (ap_fd_pipe(ends) < 0) return -errno;
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= ABOVE) continue;
        int moved = fcntl(ends[i], F_DUPFD_CLOEXEC, ABOVE); /* LINT: higher than the library asks for */
        if (moved < 0) {
            int error = errno;
            close(ends[0]);
            close(ends[1]);
            return -error;
        }
        close(ends[i]);
        ends[i] = moved;
    }
    return 0;
}

static void close_all(int *fds, int count)
{
    for (int i = 0; i < count; i++)
        if (fds[i] >= 0) close(fds[i]);
}

static pid_t fork_quietly(const struct ap_child_plan *plan, const int fds[4])
{
    sigset_t all, before;
    pid_t parent = getpid();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* or the parent's handlers could run in the child */
    pid_t pid = fork();
    if (pid == 0) ap_guard(plan, parent, fds);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

/* A guard that was not told to go is still there, whatever is done about SIGCHLD: the number is its own. */
static int child_watch(struct ap_child *child)
{
    child->pidfd = ap_fd_process(child->pid);
    if (child->pidfd >= 0 && pidfd_send_signal(child->pidfd, GUARD_GO, NULL, 0) == 0) return 0;
    int error = errno;
    struct ap_child_end end;
    kill(child->pid, SIGKILL);
    ap_child_collect(child, &end);
    return -error;
}

int ap_child_start(const struct ap_child_plan *plan, struct ap_child *ret)
{
    int pipes[4][2] = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}}, error = 0;
    for (int i = 0; i < 4 && error == 0; i++)
        error = pipe_above(pipes[i]);
    if (error < 0) {
        close_all(&pipes[0][0], 8);
        return error;
    }
    const int theirs[4] = {pipes[0][0], pipes[1][1], pipes[2][1], pipes[3][1]};
    struct ap_child child = {.in = pipes[0][1], .out = pipes[1][0], .err = pipes[2][0], .report = pipes[3][0]};
    fcntl(child.in, F_SETFL, O_NONBLOCK);
    fcntl(child.out, F_SETFL, O_NONBLOCK);
    fcntl(child.err, F_SETFL, O_NONBLOCK);
    fcntl(child.report, F_SETFL, O_NONBLOCK);
    child.pid = fork_quietly(plan, theirs);
    if (child.pid < 0) {
        error = -errno;
        close_all(&pipes[0][0], 8);
        return error;
    }
    for (int i = 0; i < 4; i++)
        close(theirs[i]);
    error = child_watch(&child);
    if (error == 0) *ret = child;
    return error;
}

void ap_child_kill(const struct ap_child *child)
{
    pidfd_send_signal(child->pidfd, SIGTERM, NULL, 0);
}

/* ---- a killed guard ----------------------------------------------------------------------------------------------- */

/* How many of the session had not ended. Whose session it is is asked of the kernel, and again when the number cannot become
 * another's any more: /proc may be that of another namespace. */
static unsigned session_round(DIR *processes, pid_t session)
{
    unsigned found = 0;
    rewinddir(processes);
    for (struct dirent *d; (d = readdir(processes)) != NULL;) {
        pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);
        if (pid <= 0 || pid == session || getsid(pid) != session) continue;
        struct pollfd process = {.fd = ap_fd_process(pid), .events = POLLIN};
        if (process.fd < 0) continue;
        bool lives = getsid(pid) == session && poll(&process, 1, 0) == 0;
        if (lives && pidfd_send_signal(process.fd, SIGKILL, NULL, 0) == 0) found++;
        close(process.fd);
    }
    return found;
}

/* Until a round finds nobody: who has a pending SIGKILL forks no more, and who was forked before it is in the next round. */
static void session_kill(pid_t session)
{
    int fd = ap_fd_open("/proc", O_RDONLY | O_DIRECTORY, 0);
    DIR *processes = fd >= 0 ? fdopendir(fd) : NULL; /* LINT: it takes over that descriptor */
    if (processes == NULL) {
        if (fd >= 0) close(fd);
        return;
    }
    for (int round = 0; round < ROUNDS && session_round(processes, session) > 0; round++) {}
    closedir(processes);
}

/* ---- collecting --------------------------------------------------------------------------------------------------- */

static void read_reports(const struct ap_child *child, struct ap_child_end *ret)
{
    struct ap_guard_report r;
    bool ended = false;
    while (read(child->report, &r, sizeof r) == (ssize_t)sizeof r) {
        if (r.step == AP_GUARD_EXITED || r.step == AP_GUARD_SIGNALLED) {
            ended = true;
            ret->exited = r.step == AP_GUARD_EXITED;
            ret->status = r.value;
        } else if (r.step == AP_GUARD_BEGUN) {
            ret->begun = true;
        } else if (r.step >= AP_GUARD_START && r.step <= AP_GUARD_EXEC) {
            ret->refused = r.value;
            ret->step = step_names[r.step];
        }
    }
    if (ended || ret->refused) return;
    ret->refused = EOWNERDEAD; /* somebody has killed it */
    ret->step = step_names[0];
}

/* Where SIGCHLD is ignored, or somebody in this process waits for any child, there is nothing to reap, and it has ended: false. */
static bool child_wait(const struct ap_child *child, int how, bool *killed)
{
    siginfo_t info = {0};
    idtype_t type = child->pidfd >= 0 ? P_PIDFD : P_PID;
    int r;
    while ((r = waitid(type, (id_t)(child->pidfd >= 0 ? child->pidfd : child->pid), &info, WEXITED | how)) < 0 && errno == EINTR)
        ;
    *killed = r == 0 && (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED);
    return r == 0;
}

/* A guard that was killed has ended nobody. Not reaped yet, its number is still its own, and so is the session of that number. */
void ap_child_collect(struct ap_child *child, struct ap_child_end *ret)
{
    *ret = (struct ap_child_end){0};
    bool killed, there = child_wait(child, WNOWAIT, &killed);
    read_reports(child, ret);
    ret->guard_killed = killed && ret->refused == EOWNERDEAD;
    if (ret->guard_killed) session_kill(child->pid);
    if (there) child_wait(child, 0, &killed);
    int fds[] = {child->in, child->out, child->err, child->report, child->pidfd};
    close_all(fds, 5);
    child->in = child->out = child->err = child->report = child->pidfd = -1;
}

ssize_t ap_child_write(int fd, const void *data, size_t size)
{
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t written = write(fd, data, size);
    int error = errno;
    if (written < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE)) {
        const struct timespec at_once = {0, 0};
        while (sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}
