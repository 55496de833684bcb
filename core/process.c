/* core/process.c - see process.h. */
#include "core/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/descriptor.h"

#define KEEP_MAX 64

static void take_standard(void)
{
    for (int fd = 0; fd < 3; fd++) {
        int mode = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (fcntl(fd, F_GETFD) >= 0) continue;
        /* The lowest free number is this one; a child may have it. Where there is no /dev, anything that cannot be read will do. */
        if (open("/dev/null", mode) < 0 && open("/", O_PATH) < 0) _exit(77); /* LINT: a standard descriptor */
    }
}

void ap_process_begin(void)
{
    static const int reset[] = {SIGCHLD, SIGTERM, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGXFSZ, SIGXCPU};
    sigset_t none;

    take_standard();
    for (size_t i = 0; i < sizeof reset / sizeof *reset; i++) signal(reset[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int process_ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* The number of descriptors, or -1. */
static int process_read_list(const char *text, int ret[KEEP_MAX])
{
    int n = 0;

    while (*text != '\0') {
        char *end;
        long fd = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
        if (fd < 0 || fd > 1 << 30 || n == KEEP_MAX) return -1;
        if (*end != '\0' && (*end != ',' || end[1] == '\0')) return -1;
        ret[n++] = (int)fd;
        text = *end == ',' ? end + 1 : end;
    }
    qsort(ret, (size_t)n, sizeof *ret, process_ascending);
    return n;
}

int ap_process_serve(void)
{
    const char *text = getenv("APIARY_KEEP_FDS");
    struct rlimit none = {0, 0};
    int keep[KEEP_MAX], n = process_read_list(text != NULL ? text : "", keep);

    if (n < 0) return -1;
    ap_fd_close_from(STDERR_FILENO + 1, keep, (size_t)n);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    setrlimit(RLIMIT_CORE, &none);
    return 0;
}

/* The first process waits until the child has ended, and passes signals on to it. */
_Noreturn static void process_look_after(pid_t child, const sigset_t *all)
{
    int status = 0, signal;
    pid_t ended;

    for (;;) {
        signal = sigwaitinfo(all, NULL);
        if (signal > 0 && signal != SIGCHLD) kill(child, signal);
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
            if (ended == child) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
}

int ap_process_first(void)
{
    sigset_t all, before;
    pid_t child;

    if (getpid() != 1) return 0;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    child = fork();
    if (child > 0) process_look_after(child, &all);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpgid(0, 0);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return child < 0 ? -1 : 0;
}
