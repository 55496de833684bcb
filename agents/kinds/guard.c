/* agents/kinds/guard.c - see guard.h. Everything here is async-signal-safe: the parent has other threads, whose locks this
 * process has inherited held. */
#include "agents/kinds/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/descriptor.h"

enum { REPORTS = 3, CLAIM = 4, FIRST_CLOSED = 5 };
enum { LOOK = 2 /* ms between looks at what cannot be waited for */ };
#define UPPER_HALF (UINT64_C(1) << 62)

static void guard_report(enum ap_guard_step step, int value)
{
    struct ap_guard_report r = {step, value};
    while (write(REPORTS, &r, sizeof r) < 0 && errno == EINTR)
        ;
}

/* ---- the program's process -------------------------------------------------------------------------------------- */

__attribute__((noreturn)) static void refuse(enum ap_guard_step step)
{
    guard_report(step, errno);
    _exit(127);
}

__attribute__((noreturn)) static void become(const struct ap_child_plan *plan, pid_t guard)
{
    struct rlimit no_core = {0, 0}, memory = {plan->memory, plan->memory};
    sigset_t none;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* the last resort, when the guard itself is killed */
    if (getppid() != guard) _exit(127);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setrlimit(RLIMIT_CORE, &no_core);
    if (plan->memory > 0 && setrlimit(RLIMIT_AS, &memory) < 0) refuse(AP_GUARD_LIMIT);
    if (plan->directory && chdir(plan->directory) < 0) refuse(AP_GUARD_DIRECTORY);
    execve(plan->path, plan->arguments, plan->environment);
    refuse(AP_GUARD_EXEC);
}

/* ---- the guard's beginning -------------------------------------------------------------------------------------- */

/* 0, 1, 2 for the program, REPORTS and CLAIM for the guard, nothing else: not even the segment stays open, unless claimed. */
static bool keep_descriptors(const struct ap_child_plan *plan, const int fds[4])
{
    int claim = plan->claim_file >= 0 ? fcntl(plan->claim_file, F_DUPFD_CLOEXEC, FIRST_CLOSED) : -1;
    if (dup2(fds[3], REPORTS) < 0 || fcntl(REPORTS, F_SETFD, FD_CLOEXEC) < 0) _exit(127);
    if (plan->claim_file >= 0 && (claim < 0 || dup3(claim, CLAIM, O_CLOEXEC) < 0)) return false;
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0) return false;
    ap_fd_close_from(plan->claim_file >= 0 ? FIRST_CLOSED : CLAIM, NULL, 0);
    return true;
}

static void default_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < NSIG; signal++)
        sigaction(signal, &action, NULL); /* KILL, STOP and libc's own are refused, rightly */
}

/* The signal that came, or 0 after `ms` (negative: no limit). */
static int wait_signal(int first, int second, int ms)
{
    const struct timespec limit = {ms / 1000, ms % 1000 * 1000000L};
    sigset_t set;
    int signal;
    sigemptyset(&set);
    sigaddset(&set, first);
    sigaddset(&set, second);
    do
        signal = ms < 0 ? sigwaitinfo(&set, NULL) : sigtimedwait(&set, NULL, &limit);
    while (signal < 0 && errno == EINTR);
    return signal > 0 ? signal : 0;
}

/* The byte is locked for this process, and free when it has ended, however that comes about. A record lock can be waited for only
 * without looking at signals; and it is rarely taken. */
static void guard_claim(const struct ap_child_plan *plan)
{
    struct flock byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    byte.l_start = (off_t)(UPPER_HALF | (plan->claim & (UPPER_HALF - 1)));
    while (fcntl(CLAIM, F_SETLK, &byte) < 0) {
        if (errno != EAGAIN && errno != EACCES) refuse(AP_GUARD_EARLIER);
        if (wait_signal(SIGTERM, SIGTERM, LOOK) == 0) continue;
        errno = EBUSY;
        refuse(AP_GUARD_EARLIER);
    }
}

/* ---- its end ---------------------------------------------------------------------------------------------------- */

struct children {
    int file;      /* the kernel's list of this process's children; -1: there is none */
    int listed;    /* how many it named last time */
    int reachable; /* how many of those could be signalled */
};

/* Only own children: nobody but the guard reaps them, so that their numbers, and those of their groups, are theirs. Such a group
 * has none but descendants: it lies in the guard's session, or in one that a descendant has made. */
static void kill_child(struct children *c, pid_t pid)
{
    pid_t group = getpgid(pid);
    c->listed++;
    if (group > 0 && group != getpgrp()) kill(-group, SIGKILL);
    if (kill(pid, SIGKILL) == 0) c->reachable++;
}

static void kill_children(struct children *c)
{
    char text[4096];
    pid_t pid = 0;
    c->listed = c->reachable = 0;
    ssize_t size = pread(c->file, text, sizeof text, 0);
    for (ssize_t i = 0; i < size; i++) { /* "12 345 ", the last number may be cut off */
        if (text[i] >= '0' && text[i] <= '9') {
            pid = pid * 10 + (text[i] - '0');
            continue;
        }
        if (pid > 0) kill_child(c, pid);
        pid = 0;
    }
}

/* Reaps what has ended; false when there are no children any more. */
static bool guard_reap(pid_t program, struct ap_guard_report *end)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (pid != program) continue;
        end->step = WIFEXITED(status) ? AP_GUARD_EXITED : AP_GUARD_SIGNALLED;
        end->value = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    }
    return pid == 0;
}

/* Kills until no process is left, or none that may be killed. The children of a killed process become the guard's own. Without the
 * kernel's list, which needs /proc, only the program's own group is reached. */
static void end_all(pid_t program, struct ap_guard_report *end)
{
    struct children c = {.file = -1};
    siginfo_t info;
    while (guard_reap(program, end)) {
        if (c.file < 0) c.file = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
        if (c.file < 0) {
            kill(-program, SIGKILL);
            if (waitid(P_PGID, (id_t)program, &info, WEXITED | WNOWAIT | __WALL) < 0 && errno == ECHILD) return;
            continue;
        }
        kill_children(&c);
        if (c.listed > 0 && c.reachable == 0) return;
        if (c.reachable > 0)
            waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | __WALL);
        else
            wait_signal(SIGCHLD, SIGTERM, LOOK); /* the list leaves out processes that are just ending */
    }
}

void ap_guard(const struct ap_child_plan *plan, pid_t parent, const int fds[4])
{
    struct ap_guard_report end = {0, 0};
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127); /* it died before the line above */
    if (!keep_descriptors(plan, fds)) refuse(AP_GUARD_DESCRIPTORS);
    default_signals();
    setsid();
    prctl(PR_SET_NAME, "apiary-guard");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (wait_signal(GUARD_GO, SIGTERM, -1) == SIGTERM) _exit(127);
    if (plan->claim_file >= 0) guard_claim(plan);
    guard_report(AP_GUARD_BEGUN, 0);
    pid_t guard = getpid(), program = vfork(); /* the queen's memory was copied once, which is enough */
    if (program == 0) become(plan, guard);
    if (program < 0) refuse(AP_GUARD_START);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    do
        guard_reap(program, &end);
    while (end.step == 0 && wait_signal(SIGCHLD, SIGTERM, -1) == SIGCHLD);
    end_all(program, &end);
    guard_report(end.step, end.value);
    _exit(0);
}
