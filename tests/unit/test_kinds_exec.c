/* tests/unit/test_kinds_exec.c - the kind "exec": what a child gets, what comes of each way to end, and that none is left. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/fake_agent.h"

#define MS 1000000ll
#define SHELL(text) FAKE_LIST("/bin/sh", "-c", text)

static struct apiary_agent *agent;

/* The agent of a test with these keys; once in each. */
#define WITH(...) \
    const struct fake_key config[] = {__VA_ARGS__, {NULL, NULL, 0, NULL}}; \
    fake_open(); \
    cr_assert_eq(fake_create("exec", config, &agent), 0, "%s", agent->log)
#define COMMAND(...) \
    { \
        "command", NULL, 0, FAKE_LIST(__VA_ARGS__) \
    }
#define SCRIPT(text) \
    { \
        "command", NULL, 0, SHELL(text) \
    }
#define NUMBER(key, n) \
    { \
        key, NULL, n, NULL \
    }

static bool is_gone(pid_t pid)
{
    return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

static void done(void)
{
    fake_destroy(agent);
    fake_close();
    cr_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a child is left");
}

static char *large(size_t size)
{
    char *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 2654435761u >> 24);
    return bytes;
}

Test(exec, request_is_input_and_output_is_result)
{
    WITH(COMMAND("cat"));
    fake_expect(agent, "x", "hello\n", "hello\n");
    fake_expect(agent, "x", "", "");
    done();
}

Test(exec, arguments_are_a_list_and_no_shell_sees_them)
{
    WITH(COMMAND("printf", "%s|", "$(id)", "a b", "*", "; rm", ""));
    fake_expect(agent, "x", "", "$(id)|a b|*|; rm||");
    done();
}

Test(exec, much_data_goes_both_ways_at_once)
{
    enum { SIZE = 8 << 20 };
    char *bytes = large(SIZE);
    WITH(COMMAND("cat"), NUMBER("max_output", SIZE));
    struct apiary_job *job = fake_submit(agent, "x", bytes, SIZE);
    fake_finish(job);
    cr_assert(!job->failed, "%s", job->data);
    cr_assert_eq(job->data_size, SIZE);
    cr_assert_eq(memcmp(job->data, bytes, SIZE), 0, "the bytes are others");
    fake_free(job);
    free(bytes);
    done();
}

Test(exec, a_program_need_not_read_its_input)
{
    enum { SIZE = 4 << 20 };
    char *bytes = large(SIZE);
    signal(SIGPIPE, SIG_DFL); /* it would end this process */
    WITH(COMMAND("true"));
    for (int i = 0; i < 5; i++) {
        struct apiary_job *job = fake_submit(agent, "x", bytes, SIZE);
        fake_finish(job);
        cr_assert(!job->failed, "%s", job->data);
        cr_assert_eq(job->data_size, 0);
        fake_free(job);
    }
    sigset_t pending;
    sigpending(&pending);
    cr_assert(!sigismember(&pending, SIGPIPE), "a SIGPIPE is left pending");
    free(bytes);
    done();
}

Test(exec, a_program_may_close_its_output_early)
{
    WITH(SCRIPT("echo first; exec >&-; cat >/dev/null; exit 0"));
    fake_expect(agent, "x", "more", "first\n");
    done();
}

Test(exec, exit_status_and_standard_error_are_the_failure)
{
    WITH(SCRIPT("echo out; echo 'it is \001 broken' >&2; exit 3"));
    fake_expect_failure(agent, "x", "", 3, "exit status 3, expected 0 (standard error: it is ? broken)");
    done();
}

Test(exec, only_the_tail_of_standard_error_is_kept)
{
    WITH(SCRIPT("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1"));
    fake_expect_failure(agent, "x", "", 1, "xxxthe end)");
    fake_expect_failure(agent, "x", "", 1, "(standard error: ...xxx");
    done();
}

Test(exec, another_exit_status_may_be_the_expected_one)
{
    WITH(COMMAND("grep", "wasp"), NUMBER("expect_exit", 1));
    fake_expect(agent, "x", "bee\n", "");
    fake_expect_failure(agent, "x", "wasp\n", 1, "exit status 0, expected 1");
    done();
}

Test(exec, death_by_signal_is_told)
{
    WITH(SCRIPT("kill -SEGV $$"));
    fake_expect_failure(agent, "x", "", 128 + SIGSEGV, "killed by signal 11 (Segmentation fault)");
    done();
}

Test(exec, timeout_kills)
{
    WITH(SCRIPT("echo waiting >&2; exec tail -f /dev/null"), NUMBER("timeout", 100 * MS));
    fake_expect_failure(agent, "x", "", 124, "did not end in time and was killed");
    done();
}

/* What it has told when its time is over. One that had not come to telling is given twice the time. */
static char *told_in_time(const char *script)
{
    char *told = NULL;

    for (int64_t limit = 300 * MS; told == NULL; limit *= 2) {
        WITH(SCRIPT(script), NUMBER("timeout", limit));
        struct apiary_job *job = fake_submit(agent, "x", "", 0);
        fake_finish(job);
        cr_assert_eq(job->code, 124, "%s", job->data);
        const char *said = strstr(job->data, "standard error: ");
        if (said != NULL) told = strdup(said + strlen("standard error: "));
        fake_free(job);
        done();
    }
    return told;
}

Test(exec, timeout_kills_the_whole_group)
{
    char *told = told_in_time("tail -f /dev/null & echo $! >&2; wait");
    cr_assert(is_gone(atoi(told)), "%s", told);
    free(told);
}

Test(exec, what_a_program_leaves_running_is_killed_and_not_waited_for)
{
    WITH(SCRIPT("tail -f /dev/null & echo $!"));
    char *reply = fake_call(agent, "x", "");
    cr_assert(is_gone(atoi(reply)), "%s", reply);
    free(reply);
    done();
}

/* A daemon's way: out of the group, out of the session, and away from its parent. The inner shell tells its number and stays. */
#define DAEMON(to) "(setsid sh -c 'echo $$ >" to "; exec tail -f /dev/null' &) "

/* A folder with a named pipe in it, which is at its end for the reader when all that have it open for writing have ended. */
static char folder[32], fifo[64], script[256];

static void make_fifo(void)
{
    strcpy(folder, "/tmp/apiary-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
}

static void remove_fifo(void)
{
    unlink(fifo);
    rmdir(folder);
}

/* Leaves its group, its session and its parent, as a daemon does, and stays; then the script goes on with `rest`. */
static const char *leave_a_daemon(const char *rest)
{
    snprintf(script, sizeof script, "(setsid sh -c 'echo $$; exec tail -f /dev/null' >%s 2>&1 </dev/null &) && %s", fifo, rest);
    return script;
}

/* Blocks until the daemon writes its number. */
static pid_t daemon_of(int *ret_fd)
{
    char text[32] = "";
    *ret_fd = open(fifo, O_RDONLY | O_CLOEXEC);
    cr_assert_gt(read(*ret_fd, text, sizeof text - 1), 0);
    cr_assert_gt(atoi(text), 0);
    return atoi(text);
}

/* Hangs if the daemon lives on. */
static void daemon_ends(int fd)
{
    char byte;
    cr_assert_eq(read(fd, &byte, 1), 0);
    close(fd);
}

Test(exec, what_has_left_its_session_is_killed_when_the_program_ends)
{
    int fd;
    make_fifo();
    int keep = open(fifo, O_RDWR | O_CLOEXEC); /* or the script would wait for the reader */
    WITH(SCRIPT(leave_a_daemon("read -r line && echo done")));
    struct apiary_job *job = fake_submit(agent, "x", "go\n", 3);
    fake_finish(job);
    close(keep);
    cr_assert_str_eq(job->data, "done\n");
    fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char byte;
    cr_assert_eq(read(fd, &byte, 1), 0, "the daemon is still there");
    close(fd);
    fake_free(job);
    done();
    remove_fifo();
}

static pid_t queen_of(const char *text)
{
    pid_t queen = fork();
    if (queen == 0) {
        const char *const command[] = {"/bin/sh", "-c", text, NULL};
        const struct fake_key config[] = {{"command", NULL, 0, command}, {NULL, NULL, 0, NULL}};
        fake_open();
        if (fake_create("exec", config, &agent) == 0) fake_finish(fake_submit(agent, "x", "", 0)); /* never */
        _exit(1);
    }
    return queen;
}

Test(exec, all_that_a_program_has_started_dies_with_the_process_that_started_it)
{
    int fd;
    make_fifo();
    pid_t queen = queen_of(leave_a_daemon("exec tail -f /dev/null"));
    daemon_of(&fd);
    kill(queen, SIGKILL);
    cr_assert_eq(waitpid(queen, NULL, 0), queen);
    daemon_ends(fd);
    remove_fifo();
}

Test(exec, the_tasks_deadline_counts_too)
{
    WITH(COMMAND("tail", "-f", "/dev/null"));
    struct apiary_job *job = fake_submit(agent, "x", "", 0);
    job->deadline = ap_ops_system.now() + 100 * MS;
    fake_finish(job);
    cr_assert_eq(job->code, 124, "%s", job->data);
    fake_free(job);
    job = fake_submit(agent, "x", "", 0);
    job->deadline = 1;
    fake_finish(job);
    cr_assert_eq(job->code, 124);
    cr_assert_not_null(strstr(job->data, "before it was started"), "%s", job->data);
    fake_free(job);
    done();
}

Test(exec, cancel_kills)
{
    WITH(COMMAND("tail", "-f", "/dev/null"));
    struct apiary_job *job = fake_submit(agent, "x", "", 0);
    for (int i = 0; i < 3; i++)
        fake_turn();
    cr_assert(!job->finished);
    job->cancelled = true;
    fake_finish(job);
    cr_assert_eq(job->code, 130, "%s", job->data);
    fake_free(job);
    done();
}

Test(exec, endless_output_is_cut_off)
{
    WITH(COMMAND("yes"), NUMBER("max_output", 100000));
    fake_expect_failure(agent, "x", "", 125, "wrote more than max_output (100000 bytes)");
    done();
}

Test(exec, output_of_exactly_the_limit_is_allowed)
{
    WITH(COMMAND("cat"), NUMBER("max_output", 5));
    fake_expect(agent, "x", "12345", "12345");
    fake_expect_failure(agent, "x", "123456", 125, "max_output (5 bytes)");
    done();
}

Test(exec, endless_errors_do_no_harm)
{
    char *told = told_in_time("yes >&2");
    cr_assert_eq(strncmp(told, "...", 3), 0, "%s", told);
    free(told);
}

Test(exec, no_more_than_concurrency_run_at_once)
{
    WITH(SCRIPT("read word; [ \"$word\" != hang ] || exec tail -f /dev/null; echo $word"), NUMBER("concurrency", 1));
    struct apiary_job *first = fake_submit(agent, "x", "hang\n", 5), *second = fake_submit(agent, "x", "two\n", 4);
    struct apiary_job *third = fake_submit(agent, "x", "three\n", 6);
    for (int i = 0; i < 10; i++)
        fake_turn();
    cr_assert(!first->finished && !second->finished);
    first->cancelled = true;
    fake_finish(third);
    cr_assert(first->finished && second->finished, "a later task overtook an earlier one");
    cr_assert_eq(first->code, 130);
    cr_assert_str_eq(second->data, "two\n");
    cr_assert_str_eq(third->data, "three\n");
    fake_free(first);
    fake_free(second);
    fake_free(third);
    done();
}

Test(exec, many_run_side_by_side)
{
    enum { COUNT = 40 };
    struct apiary_job *jobs[COUNT];
    WITH(COMMAND("cat"), NUMBER("concurrency", 8));
    for (int i = 0; i < COUNT; i++) {
        char text[24];
        jobs[i] = fake_submit(agent, "x", text, (size_t)snprintf(text, sizeof text, "task %d", i));
    }
    for (int i = 0; i < COUNT; i++) {
        char text[24];
        fake_finish(jobs[i]);
        snprintf(text, sizeof text, "task %d", i);
        cr_assert_str_eq(jobs[i]->data, text);
        fake_free(jobs[i]);
    }
    done();
}

Test(exec, the_child_has_three_descriptors)
{
    int extra = open("/dev/null", O_RDONLY); /* not close-on-exec */
    cr_assert_geq(extra, 0);
    WITH(COMMAND("ls", "/proc/self/fd"));
    fake_expect(agent, "x", "", "0\n1\n2\n3\n"); /* 3 is the folder that ls reads */
    close(extra);
    done();
}

Test(exec, works_when_the_queen_has_closed_its_standard_descriptors)
{
    int copies[3];
    fake_open();
    for (int i = 0; i < 3; i++) {
        copies[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
        close(i);
    }
    const struct fake_key config[] = {COMMAND("cat"), {NULL, NULL, 0, NULL}};
    int created = fake_create("exec", config, &agent);
    struct apiary_job *job = fake_submit(agent, "x", "still here", 10);
    if (created == 0) fake_finish(job);
    for (int i = 0; i < 3; i++)
        dup2(copies[i], i);
    cr_assert_eq(created, 0);
    cr_assert_str_eq(job->data, "still here");
    fake_free(job);
    done();
}

Test(exec, signals_are_reset)
{
    sigset_t all;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    WITH(COMMAND("grep", "-E", "^Sig(Blk|Ign|Cgt):", "/proc/self/status"));
    char *reply = fake_call(agent, "x", "");
    cr_assert_eq(strncmp(reply, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n", 50), 0, "%s", reply);
    free(reply);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    cr_assert(sigismember(&now, SIGUSR1), "the parent's own mask was changed");
    done();
}

Test(exec, the_environment_is_what_is_configured)
{
    setenv("SECRET", "of the queen", 1);
    WITH(COMMAND("env"), {"env", NULL, 0, FAKE_LIST("HIVE=7", "EMPTY=")});
    fake_expect(agent, "x", "",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\nHIVE=7\nEMPTY=\n"
                "APIARY_CAPABILITY=x\nAPIARY_CALLER=\nAPIARY_TASK=1a-2-1\nAPIARY_ATTEMPT=1\nAPIARY_TIMEOUT_MS=60000\n"
                "APIARY_TRACEPARENT=\n");
    done();
}

Test(exec, the_configured_environment_goes_before_the_built_in_one)
{
    WITH(COMMAND("env"), {"env", NULL, 0, FAKE_LIST("LC_ALL=C.UTF-8", "PATH=/bin", "HIVE=8")});
    fake_expect_part(agent, "x", "", "LC_ALL=C.UTF-8\nPATH=/bin\nHIVE=8\nAPIARY_CAPABILITY=x\n");
    done();
}

Test(exec, a_program_is_told_what_it_runs_for)
{
    WITH(SCRIPT("echo \"$APIARY_CAPABILITY|$APIARY_CALLER|$APIARY_TASK|$APIARY_ATTEMPT|$APIARY_TIMEOUT_MS\""),
         {"env", NULL, 0, FAKE_LIST("APIARY_SEGMENT=/elsewhere")}, NUMBER("timeout", 60000 * MS));
    struct apiary_job *job = fake_submit(agent, "score@2", "", 0);
    job->caller = "shop\nAPIARY_TASK=0";
    job->attempt = 3;
    job->generation = 0xabcdef;
    fake_finish(job);
    cr_assert_str_eq(job->data, "score@2|shop?APIARY_TASK=0|1a-2-abcdef|3|60000\n");
    fake_free(job);
    done();
}

Test(exec, what_a_successful_program_says_on_standard_error_is_logged)
{
    WITH(SCRIPT("echo 'the disk is nearly full' >&2; echo out"));
    fake_expect(agent, "x", "", "out\n");
    cr_assert_str_eq(agent->log, "/bin/sh: succeeded (standard error: the disk is nearly full)");
    done();
}

Test(exec, directory_and_memory_limit)
{
    WITH(SCRIPT("pwd; ulimit -v; ulimit -c"), {"directory", "/usr", 0, NULL}, NUMBER("memory", 256 << 20));
    fake_expect(agent, "x", "", "/usr\n262144\n0\n");
    done();
}

Test(exec, the_child_leads_a_group_of_its_own)
{
    WITH(
        SCRIPT("read -r pid comm state ppid pgrp rest </proc/$$/stat; [ $pid = $$ ] && [ $pgrp = $$ ] && echo leader"));
    fake_expect(agent, "x", "", "leader\n");
    done();
}

Test(exec, dies_with_the_process_that_started_it)
{
    int fd;
    make_fifo();
    snprintf(script, sizeof script, "echo $$ >%s; exec tail -f /dev/null >%s", fifo, fifo);
    pid_t queen = queen_of(script);
    daemon_of(&fd);
    kill(queen, SIGKILL);
    cr_assert_eq(waitpid(queen, NULL, 0), queen);
    daemon_ends(fd);
    remove_fifo();
}

Test(exec, a_program_that_vanished_is_told)
{
    char path[] = "/tmp/apiary-test-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_eq(write(fd, "#!/bin/sh\necho here\n", 20), 20);
    fchmod(fd, 0700);
    close(fd);
    const char *const command[] = {path, NULL};
    const struct fake_key config[] = {{"command", NULL, 0, command}, {NULL, NULL, 0, NULL}};
    fake_open();
    cr_assert_eq(fake_create("exec", config, &agent), 0);
    fake_expect(agent, "x", "", "here\n");
    unlink(path);
    fake_expect_failure(agent, "x", "", 127, "cannot run: exec: No such file or directory");
    done();
}

Test(exec, ignored_sigchld_changes_nothing)
{
    signal(SIGCHLD, SIG_IGN);
    WITH(SCRIPT("read -r n; echo $n; exit $n"));
    fake_expect(agent, "x", "0\n", "0\n");
    fake_expect_failure(agent, "x", "3\n", 3, "exit status 3");
    done();
}

static void reap_any(int signal)
{
    int saved = errno;
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    errno = saved;
}

Test(exec, who_waits_for_any_child_takes_nothing_away)
{
    signal(SIGCHLD, reap_any);
    WITH(SCRIPT("read -r n; echo $n; exit $n"));
    for (int i = 0; i < 20; i++) {
        fake_expect(agent, "x", "0\n", "0\n");
        fake_expect_failure(agent, "x", "3\n", 3, "exit status 3");
    }
    done();
}

Test(exec, the_workers_end_kills_what_still_runs)
{
    WITH(COMMAND("tail", "-f", "/dev/null"), NUMBER("concurrency", 1));
    struct apiary_job *first = fake_submit(agent, "x", "", 0), *second = fake_submit(agent, "x", "", 0);
    fake_turn();
    fake_turn();
    done(); /* with one in hand, and one that waits for its turn */
    fake_free(first);
    fake_free(second);
}

static void refused(const struct fake_key *config, const char *why)
{
    fake_open();
    cr_assert_eq(fake_create("exec", config, &agent), APIARY_ECONFIG);
    cr_assert_not_null(strstr(agent->log, why), "got  %s\npart %s", agent->log, why);
    agent->state = NULL;
    fake_destroy(agent);
    fake_close();
}

Test(exec, create_refuses_what_cannot_work)
{
    const struct {
        struct fake_key config[3];
        const char *why;
    } cases[] = {
        {{COMMAND("no-such-program-anywhere")}, "command: the program \"no-such-program-anywhere\" is not found in PATH"},
        {{COMMAND("/no/such/program")}, "command: /no/such/program is not an executable file: No such file or directory"},
        {{COMMAND("/etc")}, "command: /etc is not an executable file: Is a directory"},
        {{COMMAND("./cat")}, "expected a name to be found in PATH, or an absolute path"},
        {{COMMAND("")}, "expected a name to be found in PATH, or an absolute path"},
        {{{"command", NULL, 0, (const char *const[]){NULL}}}, "empty list"},
        {{COMMAND("cat"), {"env", NULL, 0, FAKE_LIST("NOVALUE")}}, "\"NOVALUE\" is not NAME=VALUE"},
        {{COMMAND("cat"), {"env", NULL, 0, FAKE_LIST("=x")}}, "is not NAME=VALUE"},
        {{COMMAND("cat"), {"env", NULL, 0, FAKE_LIST("HIVE=7", "X=", "HIVE=8")}},
         "\"HIVE=8\" gives its name a second value; expected each once"},
        {{COMMAND("cat"), {"env", NULL, 0, FAKE_LIST("APIARY_TASK=1")}}, "each task has a value of its own"},
        {{COMMAND("cat"), {"directory", "/no/such/folder", 0, NULL}}, "/no/such/folder does not exist"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].config, cases[i].why);
}
