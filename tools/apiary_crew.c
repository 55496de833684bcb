/* tools/apiary_crew.c - see apiary_crew.h. */
#include "tools/apiary_crew.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/ops.h"

#define FIRST_DELAY UINT64_C(10000000) /* 10 ms */
#define LAST_DELAY UINT64_C(10000000000)
#define STABLE UINT64_C(5000000000) /* a child that lived so long starts with the first delay again */
#define LINE_MAX_BYTES 4096
#define CHILDREN_MAX 1024

struct crew {
    struct crew_child *children[CHILDREN_MAX];
    size_t count;
    int signals;
    sigset_t before; /* the mask that children get */
    pid_t self;
    int interrupts;
    bool terminal;
    char *status;
};

int crew_open(struct crew **ret)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    struct crew *c = tool_alloc(sizeof *c);
    if (sigprocmask(SIG_BLOCK, &set, &c->before) != 0 ||
        (c->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
        int error = -errno;
        free(c);
        return error;
    }
    c->self = getpid();
    c->terminal = tool_colours(stderr);
    *ret = c;
    return 0;
}

/* ---- what is shown -------------------------------------------------------------------------------------------- */

static void clear_status(const struct crew *c)
{
    if (c->terminal && c->status != NULL) fputs("\r\033[K", stderr);
}

static void draw_status(const struct crew *c)
{
    if (c->terminal && c->status != NULL) fputs(c->status, stderr);
    fflush(stderr);
}

void crew_status(struct crew *c, const char *text)
{
    clear_status(c);
    free(c->status);
    c->status = text != NULL && *text != '\0' ? tool_strdup(text) : NULL;
    struct winsize size; /* a line that wraps could not be cleared */
    if (c->status != NULL && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 &&
        strlen(c->status) >= size.ws_col)
        c->status[size.ws_col - 1] = '\0';
    draw_status(c);
}

void crew_say(struct crew *c, const char *format, ...)
{
    fflush(stdout);
    clear_status(c);
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    draw_status(c);
}

static void pass_on(struct crew *c, struct crew_child *child, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool end = text[i] == '\n';
        if (!end) child->line[child->line_size++] = text[i];
        if (!end && child->line_size < LINE_MAX_BYTES) continue;
        crew_say(c, "%s: %.*s", child->label, (int)child->line_size, child->line);
        child->line_size = 0;
    }
}

/* Reads what is there; at the end of file, or when `all`, also shows an unfinished line. */
static void hear(struct crew *c, struct crew_child *child, bool all)
{
    char buffer[8192];
    ssize_t got = 0;
    for (int turns = 0; turns < 8 && (got = read(child->pipe, buffer, sizeof buffer)) > 0; turns++)
        pass_on(c, child, buffer, (size_t)got);
    if (got == 0 || all) {
        if (child->line_size > 0) pass_on(c, child, "\n", 1);
        close(child->pipe);
        child->pipe = -1;
    }
}

/* ---- start and end -------------------------------------------------------------------------------------------- */

struct crew_child *crew_add(struct crew *c, const char *label, const char *program, char **argv, bool restart)
{
    if (c->count == CHILDREN_MAX) return NULL;
    struct crew_child *child = tool_alloc(sizeof *child);
    *child = (struct crew_child){.label = tool_strdup(label),
                                 .argv = argv,
                                 .program = program,
                                 .restart = restart,
                                 .wanted = true,
                                 .pipe = -1,
                                 .last_exit = -1,
                                 .delay = FIRST_DELAY,
                                 .line = tool_alloc(LINE_MAX_BYTES + 1)};
    c->children[c->count++] = child;
    return child;
}

_Noreturn static void become(const struct crew *c, const struct crew_child *child, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != c->self) _exit(TOOL_FAILED); /* it died before the line above */
    setpgid(0, 0);
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0) {
        dprintf(output, "cannot open /dev/null: %m\n");
        _exit(TOOL_FAILED);
    }
    unsetenv("NOTIFY_SOCKET"); /* only the supervisor speaks to the service manager */
    unsetenv("JOURNAL_STREAM");
    sigprocmask(SIG_SETMASK, &c->before, NULL);
    execv(child->program, child->argv);
    dprintf(STDERR_FILENO, "cannot run %s: %m\n", child->program);
    _exit(TOOL_CANNOT);
}

static void start(struct crew *c, struct crew_child *child)
{
    int ends[2];
    child->started = ap_ops_system.now();
    child->due = child->started + child->delay; /* should it not come to life */
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) become(c, child, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    if (child->pipe >= 0) close(child->pipe);
    child->pipe = ends[0];
    child->pid = pid;
    child->due = UINT64_MAX;
}

static void ended(struct crew *c, struct crew_child *child, int status)
{
    uint64_t now = ap_ops_system.now();
    if (child->pipe >= 0) hear(c, child, true);
    child->pid = 0;
    child->last_exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (!child->wanted || c->interrupts > 0) return; /* all of them are to end: a Ctrl-C may have met a new child, too */
    /* A wrong configuration or a wrong call does not heal by being repeated. */
    bool again = child->restart && child->last_exit != TOOL_CONFIG && child->last_exit != TOOL_USAGE;
    char how[64], wait[32];
    if (WIFSIGNALED(status)) {
        snprintf(how, sizeof how, "killed by signal %d", WTERMSIG(status));
    } else {
        snprintf(how, sizeof how, "ended with code %d", WEXITSTATUS(status));
    }
    if (now - child->started >= STABLE) {
        child->delay = FIRST_DELAY;
        child->ends = 0;
    }
    child->ends++;
    if (!again) {
        crew_say(c, "apiary: %s %s", child->label, how);
        child->wanted = false;
        return;
    }
    crew_say(c, "apiary: %s %s, starting it again in %s", child->label, how, tool_format_duration(child->delay, wait));
    child->due = now + child->delay;
    child->delay = child->delay * 2 < LAST_DELAY ? child->delay * 2 : LAST_DELAY;
}

static void reap(struct crew *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct crew_child *child = c->children[i];
        int status;
        if (child->pid != 0 && waitpid(child->pid, &status, WNOHANG) == child->pid) ended(c, child, status);
    }
}

static void start_due(struct crew *c)
{
    uint64_t now = ap_ops_system.now();
    for (size_t i = 0; i < c->count; i++) {
        struct crew_child *child = c->children[i];
        if (child->wanted && child->pid == 0 && (child->started == 0 || child->due <= now)) start(c, child);
    }
}

static uint64_t soonest(const struct crew *c, uint64_t until)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct crew_child *child = c->children[i];
        if (child->wanted && child->pid == 0 && child->due < until) until = child->due;
    }
    return until;
}

static void read_signals(struct crew *c)
{
    struct signalfd_siginfo info;
    while (read(c->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD) c->interrupts++;
    }
}

void crew_turn(struct crew *c, uint64_t timeout)
{
    start_due(c);
    struct pollfd fds[CHILDREN_MAX + 1];
    struct crew_child *of[CHILDREN_MAX + 1];
    nfds_t n = 0;
    fds[n++] = (struct pollfd){.fd = c->signals, .events = POLLIN};
    for (size_t i = 0; i < c->count; i++) {
        if (c->children[i]->pipe < 0) continue;
        of[n] = c->children[i];
        fds[n++] = (struct pollfd){.fd = c->children[i]->pipe, .events = POLLIN};
    }
    uint64_t now = ap_ops_system.now();
    uint64_t until = soonest(c, timeout > UINT64_MAX - now ? UINT64_MAX : now + timeout);
    uint64_t wait = until > now ? until - now : 0;
    struct timespec ts = {(time_t)(wait / UINT64_C(1000000000)), (long)(wait % UINT64_C(1000000000))};
    if (ppoll(fds, n, &ts, NULL) > 0) {
        for (nfds_t i = 1; i < n; i++) {
            if (fds[i].revents != 0) hear(c, of[i], false);
        }
        if (fds[0].revents != 0) read_signals(c);
    }
    reap(c);
    start_due(c);
}

int crew_interrupts(const struct crew *c)
{
    return c->interrupts;
}

size_t crew_count(const struct crew *c)
{
    return c->count;
}

struct crew_child *crew_at(struct crew *c, size_t i)
{
    return i < c->count ? c->children[i] : NULL;
}

unsigned crew_stop(struct crew *c, size_t from, size_t to, uint64_t grace)
{
    unsigned killed = 0;
    int interrupts = c->interrupts;
    uint64_t until = ap_ops_system.now() + grace;
    for (size_t i = from; i < to && i < c->count; i++) {
        c->children[i]->wanted = false;
        if (c->children[i]->pid != 0) kill(c->children[i]->pid, SIGTERM);
    }
    for (;;) {
        size_t left = 0;
        bool now = c->interrupts > interrupts || ap_ops_system.now() >= until;
        for (size_t i = from; i < to && i < c->count; i++) {
            if (c->children[i]->pid == 0) continue;
            left++;
            if (!now) continue;
            killed++;
            kill(c->children[i]->pid, SIGKILL);
        }
        if (left == 0) return killed;
        if (now) until = UINT64_MAX;
        interrupts = c->interrupts;
        crew_turn(c, UINT64_C(100000000));
    }
}

void crew_close(struct crew *c)
{
    crew_stop(c, 0, c->count, 0);
    crew_status(c, NULL);
    for (size_t i = 0; i < c->count; i++) {
        struct crew_child *child = c->children[i];
        for (char **arg = child->argv; *arg != NULL; arg++)
            free(*arg);
        free(child->argv);
        free(child->label);
        free(child->line);
        if (child->pipe >= 0) close(child->pipe);
        free(child);
    }
    close(c->signals);
    free(c);
}
