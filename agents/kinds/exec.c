/* agents/kinds/exec.c - kind "exec": runs one program per task. The request is its standard input, its standard output is
 * the result; the command is a list and no shell ever sees it. With `persistent` or `socket` all is as warm.h says.
 *
 * The environment is PATH, LC_ALL=C and the configured `env`, which goes before these, and what there is to know about the task
 * (about.h: APIARY_CAPABILITY and so on); nothing is inherited. The task ends when the program does: whatever it left running is
 * killed, wherever it has gone (child.h), and before another attempt at the task starts a program; what others still hold of its
 * pipes is not waited for. A program that does not read its input is no failure. Failures carry the shell's numbers: its own exit
 * status, 128 + signal, 124 after a timeout, 125 for too much output, 126/127 when it could not be run, 130 when cancelled.
 * Everything runs in the worker's loop: pipes and pidfd are watched, nothing blocks, no thread is made. The agent takes as many
 * tasks as it may run at once; what waits stays in its queue.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/kinds/about.h"
#include "agents/kinds/child.h"
#include "agents/kinds/exec_plan.h"
#include "agents/kinds/pass.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "agents/kinds/warm.h"

enum { READ_AT_ONCE = 256 * 1024, FIRST_LOOK = 20, LAST_LOOK = 500 /* ms */ };
enum why { RUNNING, TIMEOUT, CANCELLED, TOO_MUCH, NO_MEMORY, NO_WATCH };

struct program {
    apiary_agent_t *agent;
    struct ap_exec_plan what;
    struct ap_warm *warm; /* with `persistent`: all is its own, and the rest unused */
    const char **task_environment; /* that and `lines` */
    char lines[AP_ABOUT][sizeof(struct ap_about) + 24];
    uint64_t timeout;
    size_t max_output;
    int expect_exit;
    enum ap_pass_as pass;
    struct run *alive; /* those with a process */
};

struct run {
    struct program *program;
    apiary_job_t *job;
    struct run *next, **link; /* of those alive */
    struct ap_child child;
    apiary_watch_t *in, *out, *err, *end, *timer;
    const char *request; /* in the segment, until the job is finished */
    size_t request_size, written;
    struct ap_bytes output; /* but for what was passed on */
    struct ap_pass pass;
    size_t total;           /* of its output */
    bool ended;             /* so nothing else is waited for */
    struct ap_tail tail;
    uint64_t deadline, look;
    enum why why;
    int error; /* with NO_WATCH: an apiary_error */
};

/* ---- create ------------------------------------------------------------------------------------------------------ */

static bool add_lines(struct program *p)
{
    size_t count = 0;
    while (p->what.environment[count])
        count++;
    p->task_environment = apiary_agent_alloc(p->agent, (count + AP_ABOUT + 1) * sizeof *p->task_environment);
    if (!p->task_environment) return false;
    memcpy(p->task_environment, p->what.environment, count * sizeof *p->task_environment);
    for (size_t i = 0; i < AP_ABOUT; i++)
        p->task_environment[count++] = p->lines[i];
    p->task_environment[count] = NULL;
    p->what.child.environment = (char *const *)p->task_environment;
    return true;
}

static void free_program(struct program *p)
{
    ap_exec_plan_free(&p->what);
    apiary_agent_free(p->agent, p->task_environment);
    apiary_agent_free(p->agent, p);
}

static int exec_read(struct program *p)
{
    apiary_agent_t *agent = p->agent;
    int64_t concurrency = apiary_agent_number(agent, "concurrency", 4);
    bool stays = apiary_agent_number(agent, "persistent", 0) > 0, socket = apiary_agent_text(agent, "socket", NULL) != NULL;
    int error = 0;
    if (socket && apiary_agent_list(agent, "command", &(const char *const *){NULL}) > 0) {
        apiary_agent_log(agent, 3, "exec: give either command or socket");
        return APIARY_ECONFIG;
    }
    if (!socket) error = ap_exec_plan_read(&p->what);
    if (error < 0) return error;
    if (stays || socket) return ap_warm_create(agent, &p->what, &p->warm);
    p->timeout = (uint64_t)apiary_agent_number(agent, "timeout", 60000 * AP_MS);
    p->max_output = (size_t)apiary_agent_number(agent, "max_output", 1024 * 1024);
    p->expect_exit = (int)apiary_agent_number(agent, "expect_exit", 0);
    apiary_agent_limit(agent, concurrency < 1 ? 1 : (uint32_t)(concurrency < UINT32_MAX ? concurrency : UINT32_MAX));
    error = ap_pass_configured(agent, &p->pass);
    return error < 0 ? error : add_lines(p) ? 0 : APIARY_ENOBLOCK;
}

static int exec_create(apiary_agent_t *agent, void **state)
{
    int error = ap_exec_can_watch(agent);
    if (error < 0) return error;
    struct program *p = apiary_agent_alloc(agent, sizeof *p);
    if (!p) return APIARY_ENOBLOCK;
    *p = (struct program){.agent = agent, .what.agent = agent};
    error = exec_read(p);
    if (error < 0) free_program(p);
    else *state = p;
    return error;
}

/* ---- the end of a run -------------------------------------------------------------------------------------------- */

static void close_watch(apiary_watch_t **watch)
{
    if (*watch) apiary_watch_close(*watch);
    *watch = NULL;
}

static void close_end(apiary_watch_t **watch, int *fd)
{
    close_watch(watch);
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void exec_report(struct run *run, const struct ap_child_end *end)
{
    struct program *p = run->program;
    const char *path = p->what.child.path;
    char text[AP_TAIL + 64];
    ap_tail_text(&run->tail, text, sizeof text);
    if (run->why == TIMEOUT && end->refused)
        apiary_job_fail(run->job, AP_EXEC_TIMEOUT, "%s: not started in time: %s: %s", path, end->step,
                        strerror(end->refused));
    else if (run->why == TIMEOUT)
        apiary_job_fail(run->job, AP_EXEC_TIMEOUT, "%s: did not end in time and was killed%s", path, text);
    else if (run->why == CANCELLED)
        apiary_job_fail(run->job, AP_EXEC_CANCELLED, "%s: the task was cancelled; killed", path);
    else if (run->why == TOO_MUCH)
        apiary_job_fail(run->job, AP_EXEC_OUTPUT, "%s: wrote more than max_output (%zu bytes) and was killed", path,
                        p->max_output);
    else if (run->why == NO_MEMORY)
        apiary_job_fail(run->job, AP_EXEC_CANNOT_RUN, "%s: no memory for its output; killed", path);
    else if (run->why == NO_WATCH)
        apiary_job_fail(run->job, AP_EXEC_CANNOT_RUN, "%s: the worker's loop cannot watch it: %s; killed", path,
                        apiary_strerror(run->error));
    else if (end->guard_killed && !end->begun)
        apiary_job_fail(run->job, AP_EXEC_CANNOT_RUN, "%s: was not run: somebody has killed its guard before", path);
    else if (end->guard_killed)
        apiary_job_fail(run->job, AP_EXEC_CANNOT_RUN, "%s: somebody has killed its guard, and so it was killed%s", path, text);
    else if (end->refused)
        apiary_job_fail(run->job, end->refused == ENOENT ? AP_EXEC_NO_PROGRAM : AP_EXEC_CANNOT_RUN, "%s: cannot run: %s: %s",
                        path, end->step, strerror(end->refused));
    else if (!end->exited)
        apiary_job_fail(run->job, (uint32_t)(128 + end->status), "%s: killed by signal %d (%s)%s", path, end->status,
                        sigdescr_np(end->status) ? sigdescr_np(end->status) : "unknown", text);
    else if (end->status != p->expect_exit)
        apiary_job_fail(run->job, end->status ? (uint32_t)end->status : 1, "%s: exit status %d, expected %d%s", path,
                        end->status, p->expect_exit, text);
    else {
        if (text[0] != '\0') apiary_agent_log(p->agent, 6, "%s: succeeded%s", path, text);
        apiary_job_reply(run->job, run->output.data ? run->output.data : "", run->output.size);
    }
}

static void free_run(struct run *run)
{
    ap_bytes_free(&run->output);
    apiary_agent_free(run->program->agent, run);
}

static void exec_collect(struct run *run, struct ap_child_end *end)
{
    apiary_watch_t **watches[] = {&run->in, &run->out, &run->err, &run->end, &run->timer};
    for (size_t i = 0; i < sizeof watches / sizeof *watches; i++)
        close_watch(watches[i]);
    ap_child_collect(&run->child, end);
    *run->link = run->next;
    if (run->next) run->next->link = run->link;
}

static void exec_finish(struct run *run)
{
    struct ap_child_end end;
    exec_collect(run, &end);
    exec_report(run, &end);
    free_run(run);
}

static void exec_stop(struct run *run, enum why why)
{
    if (run->why != RUNNING) return;
    run->why = why;
    ap_child_kill(&run->child); /* its pidfd becomes readable: finish */
}

/* ---- the pipes --------------------------------------------------------------------------------------------------- */

static void feed(void *user, uint32_t events)
{
    struct run *run = user;
    (void)events;
    while (run->written < run->request_size) {
        ssize_t n = ap_child_write(run->child.in, run->request + run->written, run->request_size - run->written);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) break; /* EPIPE: it does not want to read more, which is its right */
        run->written += (size_t)n;
    }
    close_end(&run->in, &run->child.in);
}

/* The program is at work: it writes. Its last whole line on standard error says how far it has come. */
static void beat(const struct run *run)
{
    char line[APIARY_PROGRESS_MAX];
    size_t size = ap_tail_line(&run->tail, line, sizeof line);
    apiary_job_beat(run->job, line, size);
}

/* Reads what is there, at most `most` bytes, so that one loud program does not hold up the worker. */
static void take_output(struct run *run, size_t most)
{
    for (size_t got = 0; got < most && run->why == RUNNING;) {
        size_t limit = run->program->max_output;
        if (!ap_bytes_reserve(&run->output, 4096)) {
            exec_stop(run, NO_MEMORY);
            return;
        }
        size_t room = run->output.capacity - run->output.size;
        ssize_t n = read(run->child.out, run->output.data + run->output.size, room);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            close_end(&run->out, &run->child.out);
            return;
        }
        run->output.size += (size_t)n;
        run->total += (size_t)n;
        got += (size_t)n;
        if (run->total > limit) exec_stop(run, TOO_MUCH);
        ap_pass_on(&run->pass, run->job, &run->output);
        if (!run->pass.behind || run->ended) continue;
        close_watch(&run->out); /* the program stops by itself when its pipe is full */
        return;
    }
}

static void take_errors(struct run *run, size_t most)
{
    char chunk[4096];
    for (size_t got = 0; got < most;) {
        ssize_t n = read(run->child.err, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            close_end(&run->err, &run->child.err);
            return;
        }
        ap_tail_add(&run->tail, chunk, (size_t)n);
        got += (size_t)n;
    }
}

static void on_output(void *user, uint32_t events)
{
    struct run *run = user;
    (void)events;
    if (run->why != RUNNING) { /* killed: its last words are not wanted, and would keep this watch firing */
        close_end(&run->out, &run->child.out);
        return;
    }
    take_output(run, READ_AT_ONCE);
    beat(run);
}

/* The reader of its parts has caught up. */
static void on_ready(void *user, apiary_job_t *job)
{
    struct run *run = user;
    run->pass.behind = false;
    if (run->why != RUNNING) return;
    ap_pass_on(&run->pass, job, &run->output);
    if (run->pass.behind || run->out || run->child.out < 0) return;
    run->error = apiary_watch_fd(run->program->agent, run->child.out, POLLIN, on_output, run, &run->out);
    if (run->error < 0) exec_stop(run, NO_WATCH);
}

static void on_errors(void *user, uint32_t events)
{
    struct run *run = user;
    (void)events;
    take_errors(run, READ_AT_ONCE);
    if (run->why == RUNNING) beat(run);
}

static void on_end(void *user, uint32_t events)
{
    struct run *run = user;
    (void)events;
    run->ended = true;
    if (run->child.out >= 0) /* what it wrote before it ended is all in the pipe, which may hold up to 1 MiB */
        take_output(run, run->program->max_output + 1);
    if (run->child.err >= 0) take_errors(run, READ_AT_ONCE * 4);
    exec_finish(run);
}

static void on_look(void *user, uint32_t events)
{
    struct run *run = user;
    uint64_t now = ap_now();
    (void)events;
    close_watch(&run->timer);
    if (apiary_job_cancelled(run->job))
        exec_stop(run, CANCELLED);
    else if (now >= run->deadline)
        exec_stop(run, TIMEOUT);
    if (run->why != RUNNING) return;
    uint64_t after = run->deadline - now < run->look ? run->deadline - now : run->look;
    if (run->look < LAST_LOOK * 1000000ull) run->look *= 2;
    run->error = apiary_watch_timer(run->program->agent, after, on_look, run, &run->timer);
    if (run->error < 0) exec_stop(run, NO_WATCH); /* never run what cannot be stopped */
}

/* ---- the start of a run ------------------------------------------------------------------------------------------ */

static int watch_all(struct run *run)
{
    apiary_agent_t *agent = run->program->agent;
    int error = apiary_watch_fd(agent, run->child.pidfd, POLLIN, on_end, run, &run->end);
    if (error == 0) error = apiary_watch_fd(agent, run->child.out, POLLIN, on_output, run, &run->out);
    if (error == 0) error = apiary_watch_fd(agent, run->child.err, POLLIN, on_errors, run, &run->err);
    if (error == 0 && run->child.in >= 0) error = apiary_watch_fd(agent, run->child.in, POLLOUT, feed, run, &run->in);
    return error;
}

static int start_child(struct run *run, uint64_t left)
{
    struct program *p = run->program;
    struct ap_about about[AP_ABOUT];
    apiary_task_t task = apiary_job_task(run->job);
    ap_about(run->job, left, about);
    for (size_t i = 0; i < AP_ABOUT; i++)
        snprintf(p->lines[i], sizeof p->lines[i], AP_EXEC_PREFIX "%s=%s", about[i].name, about[i].value);
    p->what.child.claim_file = apiary_segment_fd(apiary_agent_handle(p->agent)); /* other agents may have closed what was it */
    p->what.child.claim = task.generation << 22 ^ task.slot; /* no two tasks of a segment have both */
    return ap_child_start(&p->what.child, &run->child);
}

/* It has a process: from here on the loop has it. */
static void exec_begin(struct run *run, uint64_t left)
{
    struct program *p = run->program;
    run->next = p->alive;
    run->link = &p->alive;
    if (run->next) run->next->link = &run->next;
    p->alive = run;
    run->deadline = ap_now() + left;
    run->look = FIRST_LOOK * 1000000ull;
    feed(run, POLLOUT);
    run->error = watch_all(run);
    if (run->error == 0) {
        on_look(run, 0);
        return;
    }
    exec_stop(run, NO_WATCH);
    exec_finish(run);
}

static void exec_handle(void *state, apiary_job_t *job)
{
    struct program *p = state;
    if (p->warm) {
        ap_warm_handle(p->warm, job);
        return;
    }
    uint64_t left = ap_time_left(job, p->timeout);
    struct run *run = apiary_agent_alloc(p->agent, sizeof *run);
    int error = 0;
    if (!run) {
        ap_out_of_memory(job);
        return;
    }
    memset(run, 0, sizeof *run);
    run->program = p;
    run->job = job;
    run->output.agent = p->agent;
    run->pass = (struct ap_pass){.as = p->pass, .ready = on_ready, .user = run};
    run->request = apiary_job_data(job, &run->request_size);
    if (left == 0)
        apiary_job_fail(job, AP_EXEC_TIMEOUT, "%s: the deadline passed before it was started", p->what.child.path);
    else if ((error = start_child(run, left)) < 0)
        apiary_job_fail(job, AP_EXEC_CANNOT_RUN, "%s: cannot start a process: %s", p->what.child.path, strerror(-error));
    else {
        exec_begin(run, left);
        return;
    }
    free_run(run);
}

/* Runs are left only when the worker ends with tasks in hand: those are failed already, their processes must not go on. */
static void exec_destroy(void *state)
{
    struct program *p = state;
    struct ap_child_end end;
    for (struct run *run; (run = p->alive) != NULL; free_run(run)) {
        ap_child_kill(&run->child);
        exec_collect(run, &end);
    }
    if (p->warm) ap_warm_destroy(p->warm);
    free_program(p);
}

static const apiary_agent_key_t keys[] = {
    {"command", 'c', 0, "the program, a path or a name found in PATH, and its arguments", 0, 0},
    {"persistent", 'i', 0, "processes that stay and speak apiary-exec(7), a task at a time each [none: one for each task]", 1, 256},
    {"socket", 'p', 0, "instead of command: where a process listens that speaks apiary-exec(7); persistent: connections [1]", 0, 0},
    {"start_timeout", 'd', 0, "with persistent: killed unless it says hello in this time [10s]", AP_MS, AP_DAY},
    {"grace", 'd', 0, "with persistent: killed unless it stops in this time when it is told to [1s]", AP_MS, AP_DAY},
    {"env", 'l', 0, "NAME=VALUE, beside or in place of PATH and LC_ALL=C", 0, 0},
    {"directory", 'p', 0, "where it runs [the queen's]", 0, 0},
    {"timeout", 'd', 0, "killed after this time [60s]", AP_MS, 30 * AP_DAY},
    {"memory", 'z', 0, "limit of its address space [none]", 1 << 20, INT64_C(1) << 46},
    {"max_output", 'z', 0, "killed when it writes more, with persistent in one message [1MiB]", 1, 1 << 30},
    {AP_PASS_KEY},
    {"expect_exit", 'i', 0, "the exit status that is a success [0]", 0, 255},
    {"concurrency", 'i', 0, "how many run at once; the rest stays queued [4]", 1, 1024},
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_exec = {
    APIARY_AGENT_KIND,
    .name = "exec",
    .what = "runs a program per task: the request on its standard input, its standard output is the result",
    .keys = keys,
    .create = exec_create,
    .handle = exec_handle,
    .destroy = exec_destroy,
};
