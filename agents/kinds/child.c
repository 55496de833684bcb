/* agents/kinds/child.c - see child.h. Everything in the new process up to exec is async-signal-safe: the parent has other
 * threads, whose locks the child would inherit held. */
#include "agents/kinds/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum step { STEP_EXEC = 1, STEP_PARENT, STEP_DESCRIPTORS, STEP_LIMIT, STEP_DIRECTORY };
static const char *const step_names[] = {"start",       "exec",         "parent check",
                                         "descriptors", "memory limit", "change directory"};
struct refusal {
    int step, error;
};

/* ---- in the child ------------------------------------------------------------------------------------------------ */

static void close_from(unsigned first)
{
    if (syscall(SYS_close_range, first, ~0u, 0u) == 0) return;
    struct rlimit limit; /* a sandbox without close_range */
    unsigned last = 65536;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < last) last = (unsigned)limit.rlim_cur;
    for (unsigned fd = first; fd < last; fd++)
        close((int)fd);
}

__attribute__((noreturn)) static void refuse(enum step step)
{
    struct refusal r = {step, errno};
    ssize_t written = write(3, &r, sizeof r);
    _exit(written == (ssize_t)sizeof r ? 127 : 126);
}

static void default_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int signal = 1; signal < NSIG; signal++)
        sigaction(signal, &action, NULL); /* KILL, STOP and libc's own are refused, rightly */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The four descriptors are all above 3 (pipe_above), so none is overwritten before it is moved. */
__attribute__((noreturn)) static void become(const struct ap_child_plan *plan, pid_t parent, const int fds[4])
{
    if (dup2(fds[3], 3) < 0 || fcntl(3, F_SETFD, FD_CLOEXEC) < 0) _exit(126);
    if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 || dup2(fds[2], 2) < 0) refuse(STEP_DESCRIPTORS);
    close_from(4);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) { /* it died before the line above: nobody would ever kill us */
        errno = ESRCH;
        refuse(STEP_PARENT);
    }
    default_signals();
    struct rlimit no_core = {0, 0}, memory = {plan->memory, plan->memory};
    setrlimit(RLIMIT_CORE, &no_core);
    if (plan->memory > 0 && setrlimit(RLIMIT_AS, &memory) < 0) refuse(STEP_LIMIT);
    if (plan->directory && chdir(plan->directory) < 0) refuse(STEP_DIRECTORY);
    execve(plan->path, plan->arguments, plan->environment);
    refuse(STEP_EXEC);
}

/* ---- in the parent ----------------------------------------------------------------------------------------------- */

static int pipe_above(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    for (int i = 0; i < 2; i++) {
        if (ends[i] > 3) continue;
        int moved = fcntl(ends[i], F_DUPFD_CLOEXEC, 4);
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
    if (pid == 0) become(plan, parent, fds);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
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
    struct ap_child child = {.in = pipes[0][1], .out = pipes[1][0], .err = pipes[2][0], .refusal = pipes[3][0]};
    fcntl(child.in, F_SETFL, O_NONBLOCK);
    fcntl(child.out, F_SETFL, O_NONBLOCK);
    fcntl(child.err, F_SETFL, O_NONBLOCK);
    fcntl(child.refusal, F_SETFL, O_NONBLOCK);
    child.pid = fork_quietly(plan, theirs);
    if (child.pid < 0) {
        error = -errno;
        close_all(&pipes[0][0], 8);
        return error;
    }
    for (int i = 0; i < 4; i++)
        close(theirs[i]);
    setpgid(child.pid, child.pid); /* also here: a kill may come before the child gets to run */
    child.pidfd = pidfd_open(child.pid, 0);
    if (child.pidfd < 0) {
        error = -errno;
        struct ap_child_end end;
        if (error != -ESRCH) ap_child_kill(&child); /* else it is gone, and reaped: SIGCHLD is ignored */
        ap_child_collect(&child, &end);
        return error;
    }
    *ret = child;
    return 0;
}

void ap_child_kill(const struct ap_child *child)
{
    if (kill(-child->pid, SIGKILL) < 0) kill(child->pid, SIGKILL);
}

void ap_child_collect(struct ap_child *child, struct ap_child_end *ret)
{
    siginfo_t info = {0};
    struct refusal r;
    int result;
    *ret = (struct ap_child_end){0};
    /* Until it is reaped its number cannot be reused, so the group that is killed is its own. */
    do
        result = waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT);
    while (result < 0 && errno == EINTR);
    if (result == 0) {
        kill(-child->pid, SIGKILL);
        while (waitid(P_PID, (id_t)child->pid, &info, WEXITED) < 0 && errno == EINTR)
            ;
        ret->exited = info.si_code == CLD_EXITED;
        ret->status = info.si_status;
    } else { /* somebody set SIGCHLD to be ignored: the status is lost */
        ret->refused = errno;
        ret->step = "wait";
    }
    if (read(child->refusal, &r, sizeof r) == (ssize_t)sizeof r) {
        ret->refused = r.error;
        ret->step = step_names[r.step >= STEP_EXEC && r.step <= STEP_DIRECTORY ? r.step : 0];
    }
    int fds[] = {child->in, child->out, child->err, child->refusal, child->pidfd};
    close_all(fds, 5);
    child->in = child->out = child->err = child->refusal = child->pidfd = -1;
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
