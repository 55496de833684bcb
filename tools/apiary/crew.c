/* tools/apiary/crew.c - see crew.h. */
#include "tools/apiary/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/ops.h"
#include "core/writer.h"
#include "tools/view/supervised.h"
#include "tools/common/wire.h"

#define SECOND_DELAY UINT64_C(10000000) /* the first restart is at once: callers are waiting */
#define LAST_DELAY UINT64_C(10000000000)
#define STABLE UINT64_C(5000000000) /* a child that lived so long is started again at once */
#define PUT_OFF UINT64_C(10000000)
#define LAST_WORDS UINT64_C(500000000) /* for what was said last to be written */
#define LINE_MAX_BYTES 4096

struct crew_ear {
    int fd;
    void (*heard)(void *user, int fd);
    void *user;
};

struct crew {
    struct crew_child **children;
    struct crew_ear *ears;
    struct pollfd *fds; /* the signals, one for each child, and one for each ear */
    size_t count, ear_count, room; /* room: of fds */
    bool (*prepare)(void *user, struct crew_child *child);
    void (*changed)(void *user, struct crew_child *child);
    void *user;
    int signals;
    sigset_t before; /* the mask that children get */
    pid_t self;
    int interrupts, last_interrupt;
    unsigned hangups;
    bool terminal;
    char *status;
};

static void crew_make_room(struct crew *c)
{
    size_t wanted = 1 + c->count + c->ear_count;
    if (wanted <= c->room) return;
    c->fds = tool_realloc(c->fds, wanted * sizeof *c->fds);
    c->room = wanted;
}

int crew_open(struct crew **ret)
{
    struct crew *c = tool_alloc(sizeof *c);
    c->signals = crew_signals_open(&c->before);
    int error = c->signals < 0 ? c->signals : ap_writer_start();
    if (error < 0) {
        free(c);
        return error;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* refused: what leaves its session goes to the first process, as ever */
    c->self = getpid();
    c->terminal = tool_colours(stderr);
    crew_make_room(c);
    *ret = c;
    return 0;
}

void crew_prepare(struct crew *c, bool (*prepare)(void *user, struct crew_child *child), void *user)
{
    c->prepare = prepare;
    c->user = user;
}

void crew_watch(struct crew *c, void (*changed)(void *user, struct crew_child *child))
{
    c->changed = changed;
}

static void crew_tell(struct crew *c, struct crew_child *child)
{
    if (c->changed != NULL) c->changed(c->user, child);
}

/* ---- what is shown -------------------------------------------------------------------------------------------- */

static size_t crew_lost(char line[AP_WRITER_LINE], uint64_t lines)
{
    return (size_t)snprintf(line, AP_WRITER_LINE, "apiary: up: %llu line%s left out here: they could not be written in time\n",
                            (unsigned long long)lines, lines == 1 ? " is" : "s are");
}

static void crew_put(enum ap_writer_class class, const char *text, size_t size)
{
    ap_writer_put(&(struct ap_writer_text){.class = class,
                                           .fd = class == AP_WRITER_RESULT ? STDOUT_FILENO : STDERR_FILENO,
                                           .bytes = text,
                                           .size = size,
                                           .lost = crew_lost});
}

void crew_status(struct crew *c, const char *text)
{
    if (!c->terminal) return;
    bool shown = c->status != NULL;
    free(c->status);
    c->status = text != NULL && *text != '\0' ? tool_strdup(text) : NULL;
    if (!shown && c->status == NULL) return;
    struct winsize size; /* a line that wraps could not be cleared */
    if (c->status != NULL && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
        c->status[tool_width_bytes(c->status, size.ws_col - 1U, NULL)] = '\0';
    char *whole = tool_format("\r\033[K%s", c->status != NULL ? c->status : "");
    crew_put(AP_WRITER_REFRESH, whole, strlen(whole));
    free(whole);
}

void crew_say(struct crew *c, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *text = tool_vformat(format, list);
    va_end(list);
    const char *status = c->status != NULL ? c->status : "";
    char *whole = tool_format("%s%s\n%s", *status != '\0' ? "\r\033[K" : "", text, status);
    crew_put(AP_WRITER_NOTE, whole, strlen(whole));
    free(whole);
    free(text);
}

void crew_result(struct crew *c, const char *text, size_t size)
{
    crew_status(c, NULL);
    crew_put(AP_WRITER_RESULT, text, size);
}

int crew_results_code(struct crew *c)
{
    int error = ap_writer_failed();
    if (error != 0) crew_say(c, "apiary: standard output: %s", strerror(-error));
    return error != 0 ? TOOL_FAILED : TOOL_OK;
}

static void pass_on_line(struct crew *c, struct crew_child *child)
{
    child->line[child->line_size] = '\0';
    memcpy(child->said, child->line, child->line_size + 1);
    /* A message of the program itself begins with its name, which may be the label. */
    size_t n = strlen(child->label);
    bool named = n == 0 || (strncmp(child->line, child->label, n) == 0 && child->line[n] == ':');
    crew_say(c, "%s%s%.*s", named ? "" : child->label, named ? "" : ": ", (int)child->line_size, child->line);
    child->line_size = 0;
}

static void pass_on(struct crew *c, struct crew_child *child, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool end = text[i] == '\n';
        if (!end) child->line[child->line_size++] = text[i];
        if (end || child->line_size == LINE_MAX_BYTES) pass_on_line(c, child);
    }
}

/* Reads what is there; at the end of file, or when `all`, also shows an unfinished line. */
static void crew_hear(struct crew *c, struct crew_child *child, bool all)
{
    char buffer[8192];
    ssize_t got = 0;
    for (int turns = 0; turns < 8 && (got = read(child->pipe, buffer, sizeof buffer)) > 0; turns++)
        pass_on(c, child, buffer, (size_t)got);
    if (got == 0 || all) {
        if (child->line_size > 0) pass_on_line(c, child);
        close(child->pipe);
        child->pipe = -1;
    }
}

/* ---- who belongs to it ----------------------------------------------------------------------------------------- */

struct crew_child *crew_add(struct crew *c, const char *label, const char *program, char **argv, bool restart)
{
    struct crew_child *child = tool_alloc(sizeof *child);
    *child = (struct crew_child){.label = tool_strdup(label),
                                 .argv = argv,
                                 .program = program,
                                 .restart = restart,
                                 .wanted = true,
                                 .pipe = -1,
                                 .wire = -1,
                                 .last_exit = -1,
                                 .words = tool_alloc(LINE_MAX_BYTES + 1),
                                 .said = tool_alloc(LINE_MAX_BYTES + 1),
                                 .line = tool_alloc(LINE_MAX_BYTES + 1)};
    c->children = tool_realloc(c->children, (c->count + 1) * sizeof *c->children);
    c->children[c->count++] = child;
    crew_make_room(c);
    return child;
}

static void child_free(struct crew_child *child)
{
    for (char **arg = child->argv; *arg != NULL; arg++)
        free(*arg);
    free(child->argv);
    free(child->label);
    free(child->words);
    free(child->said);
    free(child->line);
    if (child->pipe >= 0) close(child->pipe);
    if (child->wire >= 0) close(child->wire);
    free(child);
}

void crew_remove(struct crew *c, struct crew_child *child)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->children[i] != child) continue;
        memmove(&c->children[i], &c->children[i + 1], (--c->count - i) * sizeof *c->children);
        child_free(child);
        return;
    }
}

/* ---- descriptors of others ------------------------------------------------------------------------------------ */

void crew_listen(struct crew *c, int fd, void (*heard)(void *user, int fd), void *user)
{
    c->ears = tool_realloc(c->ears, (c->ear_count + 1) * sizeof *c->ears);
    c->ears[c->ear_count++] = (struct crew_ear){fd, heard, user};
    crew_make_room(c);
}

void crew_deafen(struct crew *c, int fd)
{
    for (size_t i = 0; i < c->ear_count; i++) {
        if (c->ears[i].fd != fd) continue;
        memmove(&c->ears[i], &c->ears[i + 1], (--c->ear_count - i) * sizeof *c->ears);
        return;
    }
}

/* One may go, or come, while another is heard: each is looked for anew. */
static void crew_hear_ears(struct crew *c, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (c->fds[i].revents == 0) continue;
        for (size_t k = 0; k < c->ear_count; k++) {
            if (c->ears[k].fd != c->fds[i].fd) continue;
            c->ears[k].heard(c->ears[k].user, c->ears[k].fd);
            break;
        }
    }
}

/* ---- start -------------------------------------------------------------------------------------------------------- */

_Noreturn static void become(const struct crew *c, const struct crew_child *child, int input, int output, int wire)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != c->self) _exit(TOOL_FAILED); /* it died before the line above */
    setsid();
    if (input < 0) input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0) {
        dprintf(output, "cannot open /dev/null: %m\n");
        _exit(TOOL_FAILED);
    }
    unsetenv("NOTIFY_SOCKET"); /* only the supervisor speaks to the service manager */
    unsetenv("JOURNAL_STREAM");
    sigprocmask(SIG_SETMASK, &c->before, NULL);
    if (wire >= 0 && (wire == WIRE_FD ? fcntl(wire, F_SETFD, 0) : dup2(wire, WIRE_FD)) < 0) _exit(TOOL_FAILED);
    if (wire >= 0) setenv("APIARY_KEEP_FDS", WIRE_KEPT, 1);
    ap_fd_close_from(wire >= 0 ? WIRE_FD + 1 : STDERR_FILENO + 1, NULL, 0);
    execv(child->program, child->argv);
    dprintf(STDERR_FILENO, "cannot run %s: %m\n", child->program);
    _exit(TOOL_CANNOT);
}

/* In `delay` again, longer from time to time. */
static void put_back(struct crew_child *child, uint64_t now)
{
    uint64_t delay = child->ends > 1 ? SECOND_DELAY : 0;
    for (uint32_t i = 2; i < child->ends && delay < LAST_DELAY; i++)
        delay *= 2;
    child->due = now + (delay < LAST_DELAY ? delay : LAST_DELAY);
}

static void say_end(struct crew *c, const struct crew_child *child, uint64_t now, bool again)
{
    char wait[32], times[48] = "";
    if (*child->label == '\0') return;
    if (child->ends > 1) snprintf(times, sizeof times, ", %u times in a row", child->ends);
    if (!again) {
        crew_say(c, "apiary: %s %s", child->label, child->why);
    } else if (child->due > now) {
        crew_say(c, "apiary: %s %s%s, starting it again in %s", child->label, child->why, times,
                 tool_format_duration(child->due - now, wait));
    } else {
        crew_say(c, "apiary: %s %s%s, starting it again", child->label, child->why, times);
    }
}

static void note_end(struct crew_child *child, enum ap_child_end end, uint32_t code, enum ap_child_stage stage)
{
    child->end = end;
    child->code = code;
    child->stage = stage;
    child->ended = ap_ops_system.realtime();
    supervision_end_text(end, code, stage, child->why, sizeof child->why);
}

/* This machine is short of something: the next try is later, like after an end. */
static void cannot_start(struct crew *c, struct crew_child *child, enum ap_child_stage stage)
{
    uint64_t now = ap_ops_system.now();
    note_end(child, AP_END_NO_START, (uint32_t)errno, stage);
    *child->words = '\0';
    child->ends++;
    put_back(child, now);
    say_end(c, child, now, true);
    crew_tell(c, child);
}

static void crew_start(struct crew *c, struct crew_child *child)
{
    int ends[2], wire[2] = {-1, -1}, input = -1;
    if (child->input != NULL && (input = wire_file("configuration", child->input, child->input_size)) < 0) {
        cannot_start(c, child, AP_STAGE_INPUT);
        return;
    }
    pid_t pid = child->wired ? wire_pair(wire) : 0;
    if (pid == 0 && pipe2(ends, O_CLOEXEC) != 0) pid = -1;
    if (pid < 0) {
        cannot_start(c, child, AP_STAGE_PIPE);
    } else {
        fflush(NULL);
        pid = fork();
        if (pid == 0) become(c, child, input, ends[1], wire[1]);
        if (pid < 0) cannot_start(c, child, AP_STAGE_FORK);
        close(ends[1]);
        if (pid < 0) close(ends[0]);
    }
    if (input >= 0) close(input);
    if (wire[1] >= 0) close(wire[1]);
    if (pid < 0 && wire[0] >= 0) close(wire[0]);
    if (pid < 0) return;
    child->wire = wire[0];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    if (child->pipe >= 0) close(child->pipe);
    child->pipe = ends[0];
    child->pid = pid;
    child->started = ap_ops_system.now();
    child->starts++;
    *child->said = '\0';
    crew_tell(c, child);
}

/* It has ended by itself. */
static void go_on(struct crew *c, struct crew_child *child, uint64_t now)
{
    if (now - child->started >= STABLE) child->ends = 0;
    child->ends++;
    put_back(child, now);
    say_end(c, child, now, child->restart);
    child->wanted = child->restart;
}

static void crew_ended(struct crew *c, struct crew_child *child, int status)
{
    uint64_t now = ap_ops_system.now();
    if (child->pipe >= 0) crew_hear(c, child, true);
    if (child->wire >= 0) close(child->wire);
    child->wire = -1;
    child->pid = 0;
    child->patience = 0;
    child->restarting = false;
    child->last_exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    bool killed = WIFSIGNALED(status);
    note_end(child, killed ? AP_END_SIGNAL : AP_END_CODE, (uint32_t)(killed ? WTERMSIG(status) : WEXITSTATUS(status)), 0);
    strcpy(child->words, child->said);
    child->told = child->told || c->interrupts > 0; /* all of them are to end: a Ctrl-C may have met a new child, too */
    if (child->wanted && !child->told) go_on(c, child, now);
    crew_tell(c, child);
}

static struct crew_child *crew_child_of(const struct crew *c, pid_t pid)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->children[i]->pid == pid) return c->children[i];
    }
    return NULL;
}

/* All processes that have ended: children, and orphans of children, which became children of this process. */
static void crew_reap(struct crew *c)
{
    siginfo_t info = {.si_pid = 0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        pid_t pid = info.si_pid;
        struct crew_child *child = crew_child_of(c, pid);
        int status = 0;
        if (child != NULL) reap_session(pid); /* its number cannot be another's before it is waited for */
        if (waitpid(pid, &status, WNOHANG) == pid && child != NULL) crew_ended(c, child, status);
        info.si_pid = 0;
    }
}

static void start_due(struct crew *c)
{
    uint64_t now = ap_ops_system.now();
    for (size_t i = 0; i < c->count; i++) {
        struct crew_child *child = c->children[i];
        if (!child->wanted || child->held || child->pid != 0 || child->due > now || c->interrupts > 0) continue;
        if (c->prepare == NULL || c->prepare(c->user, child)) {
            crew_start(c, child);
        } else {
            child->due = now + PUT_OFF;
        }
    }
}

static void kill_due(struct crew *c)
{
    uint64_t now = ap_ops_system.now();
    for (size_t i = 0; i < c->count; i++) {
        struct crew_child *child = c->children[i];
        if (child->pid == 0 || child->patience == 0 || child->patience > now) continue;
        crew_say(c, "apiary: %s: pid %d does not end; it is killed", child->label, (int)child->pid);
        kill(-child->pid, SIGKILL);
        child->patience = 0;
    }
}

void crew_restart(struct crew_child *child, uint64_t grace)
{
    if (child->pid == 0 || child->restarting) return;
    child->restarting = true;
    child->patience = ap_ops_system.now() + grace;
    kill(child->pid, SIGTERM);
    kill(child->pid, SIGCONT); /* one that is stopped would not learn of it */
}

static uint64_t soonest(const struct crew *c, uint64_t until)
{
    for (size_t i = 0; i < c->count && c->interrupts == 0; i++) {
        const struct crew_child *child = c->children[i];
        if (child->wanted && !child->held && child->pid == 0 && child->due < until) until = child->due;
        if (child->patience != 0 && child->patience < until) until = child->patience;
    }
    return until;
}

static void read_signals(struct crew *c)
{
    char name[32];
    for (int number; (number = crew_signals_next(c->signals, name, sizeof name)) != 0;) {
        if (number == SIGINT || number == SIGTERM || number == SIGQUIT) {
            c->interrupts++;
            c->last_interrupt = number;
        } else if (number == SIGHUP) {
            c->hangups++;
        } else if (number != SIGCHLD) {
            crew_say(c, "apiary: up: %s changes nothing; SIGTERM stops everything", name);
        }
    }
}

void crew_turn(struct crew *c, uint64_t timeout)
{
    start_due(c);
    kill_due(c);
    c->fds[0] = (struct pollfd){.fd = c->signals, .events = POLLIN};
    size_t count = c->count, ears = c->ear_count;
    for (size_t i = 0; i < count; i++) /* poll passes over a descriptor of -1 */
        c->fds[i + 1] = (struct pollfd){.fd = c->children[i]->pipe, .events = POLLIN};
    for (size_t i = 0; i < ears; i++)
        c->fds[1 + count + i] = (struct pollfd){.fd = c->ears[i].fd, .events = POLLIN};
    uint64_t now = ap_ops_system.now();
    uint64_t until = soonest(c, timeout > UINT64_MAX - now ? UINT64_MAX : now + timeout);
    uint64_t wait = until > now ? until - now : 0;
    struct timespec ts = {(time_t)(wait / UINT64_C(1000000000)), (long)(wait % UINT64_C(1000000000))};
    if (ppoll(c->fds, 1 + count + ears, &ts, NULL) > 0) {
        for (size_t i = 0; i < count; i++) {
            if (c->fds[i + 1].revents != 0) crew_hear(c, c->children[i], false);
        }
        if (c->fds[0].revents != 0) read_signals(c);
        crew_hear_ears(c, 1 + count, 1 + count + ears);
    }
    crew_reap(c);
    start_due(c);
}

int crew_interrupts(const struct crew *c)
{
    return c->interrupts;
}

unsigned crew_hangups(const struct crew *c)
{
    return c->hangups;
}

const char *crew_interrupt(const struct crew *c)
{
    return c->last_interrupt != 0 ? sigabbrev_np(c->last_interrupt) : "";
}

size_t crew_count(const struct crew *c)
{
    return c->count;
}

struct crew_child *crew_at(struct crew *c, size_t i)
{
    return i < c->count ? c->children[i] : NULL;
}

void crew_dismiss(struct crew *c, struct crew_child *child)
{
    child->wanted = false;
    child->told = true;
    crew_tell(c, child);
    if (child->pid == 0) return;
    kill(child->pid, SIGTERM);
    kill(child->pid, SIGCONT); /* one that is stopped would not learn of it */
}

void crew_again(struct crew *c, struct crew_child *child)
{
    child->wanted = true;
    child->told = false;
    child->ends = 0;
    child->due = 0;
    crew_tell(c, child);
}

void crew_close(struct crew *c)
{
    crew_stop(c, 0, c->count, 0, NULL, NULL);
    crew_status(c, NULL);
    reap_strays();
    crew_reap(c);
    for (size_t i = 0; i < c->count; i++)
        child_free(c->children[i]);
    free(c->children);
    free(c->ears);
    free(c->fds);
    free(c->status);
    ap_writer_wait(LAST_WORDS);
    close(c->signals);
    free(c);
}
