/* tests/unit/test_kinds_warm.c - exec with `persistent` and `socket`: what a process is told, what becomes of what it says, and
 * that none is left. process.exec_stays has whole queens. */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/fake_agent.h"

#define MS 1000000ll
/* A process in sh: `next` reads a message to $head and $body, `say` writes one. */
#define TALK \
    "export LC_ALL=C; say() { printf '%d %d\\n%s%s' ${#1} ${#2} \"$1\" \"$2\"; }\n" \
    "next() { read h b || exit 0; IFS= read -r -N $h head; body=; [ $b = 0 ] || IFS= read -r -N $b body; }\n" \
    "next; say '{\"type\":\"hello\",\"protocol\":1}'\n"
#define ANSWER(id, text) "say '{\"type\":\"result\",\"id\":" #id "}' " text "\n"
#define EACH_ANSWERED "n=0; while next; do n=$((n + 1)); say \"{\\\"type\\\":\\\"result\\\",\\\"id\\\":$n}\" \"$body\"; done"

static struct apiary_agent *agent;

#define WITH(...) \
    const struct fake_key config[] = {__VA_ARGS__, {NULL, NULL, 0, NULL}}; \
    fake_open(); \
    cr_assert_eq(fake_create("exec", config, &agent), 0, "%s", agent->log)
#define STAYS(text, n) {"command", NULL, 0, FAKE_LIST("/bin/bash", "-c", text)}, {"persistent", NULL, n, NULL}
#define NUMBER(key, n) {key, NULL, n, NULL}

static void done(void)
{
    fake_destroy(agent);
    fake_close();
    cr_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a child is left");
}

Test(warm, one_process_has_one_task_after_the_other)
{
    WITH(STAYS(TALK "n=0; while next; do n=$((n + 1))\n"
                    "say \"{\\\"type\\\":\\\"result\\\",\\\"id\\\":$n}\" \"$$ $n $body\"; done", 1));
    char *first = fake_call(agent, "x", "a"), *second = fake_call(agent, "x", ""), expected[64];
    cr_assert_str_eq(strchr(first, ' '), " 1 a");
    snprintf(expected, sizeof expected, "%d 2 ", atoi(first));
    cr_assert_str_eq(second, expected);
    free(first);
    free(second);
    done();
}

Test(warm, a_task_is_told_what_there_is_to_know)
{
    WITH(STAYS(TALK "next; " ANSWER(1, "\"$head\""), 1));
    fake_expect_part(agent, "x@2", "", "{\"type\":\"task\",\"id\":1,\"capability\":\"x@2\",\"caller\":\"");
    done();
}

Test(warm, many_processes_work_at_once_and_no_more)
{
    WITH(STAYS(TALK EACH_ANSWERED, 3));
    struct apiary_job *jobs[9];
    for (int i = 0; i < 9; i++)
        jobs[i] = fake_submit(agent, "x", "abc", 3);
    for (int i = 0; i < 9; i++) {
        fake_finish(jobs[i]);
        cr_assert(!jobs[i]->failed, "%s", jobs[i]->data);
        fake_free(jobs[i]);
    }
    cr_assert_eq(agent->limit, 3);
    done();
}

Test(warm, much_goes_both_ways_at_once)
{
    enum { SIZE = 4 << 20 };
    char *bytes = malloc(SIZE);
    memset(bytes, 'x', SIZE);
    /* It writes before it has read, and the request is read only then. */
    WITH(STAYS(TALK "read h b; IFS= read -r -N $h head\n"
                    "printf '%d %d\\n%s' 24 4194304 '{\"type\":\"result\",\"id\":1}'; head -c $b", 1),
         NUMBER("max_output", SIZE));
    struct apiary_job *job = fake_submit(agent, "x", bytes, SIZE);
    fake_finish(job);
    cr_assert(!job->failed, "%s", job->data);
    cr_assert_eq(job->data_size, SIZE);
    cr_assert_eq(memcmp(job->data, bytes, SIZE), 0, "the bytes are others");
    fake_free(job);
    free(bytes);
    done();
}

Test(warm, a_process_that_answers_before_it_has_read_is_replaced)
{
    enum { SIZE = 1 << 20 };
    char *bytes = calloc(1, SIZE);
    WITH(STAYS(TALK "read h b; IFS= read -r -N $h head; " ANSWER(1, "$$") "exec tail -f /dev/null", 1));
    for (int i = 0; i < 2; i++) {
        struct apiary_job *job = fake_submit(agent, "x", bytes, SIZE);
        fake_finish(job);
        cr_assert(!job->failed, "%s", job->data);
        fake_free(job);
    }
    cr_assert_not_null(strstr(agent->log, "ready"), "%s", agent->log);
    free(bytes);
    done();
}

Test(warm, failures_say_whether_they_are_tried_again)
{
    WITH(STAYS(TALK "next; say '{\"type\":\"fail\",\"id\":1,\"code\":422,\"retry\":false}' why\n"
                    "next; say '{\"type\":\"fail\",\"id\":2,\"retry_after_ms\":1500}' later\nnext", 1));
    struct apiary_job *job = fake_submit(agent, "x", "", 0);
    fake_finish(job);
    cr_assert(job->failed && job->code == 422 && job->retry == APIARY_FOREVER && strcmp(job->data, "why") == 0);
    fake_free(job);
    job = fake_submit(agent, "x", "", 0);
    fake_finish(job);
    cr_assert(job->failed && job->code == 1 && job->retry == 1500 * MS && strcmp(job->data, "later") == 0);
    fake_free(job);
    done();
}

Test(warm, parts_wait_for_their_reader_and_outlive_their_process)
{
    WITH(STAYS(TALK "next; for p in a b c; do say '{\"type\":\"part\",\"id\":1}' $p; done; " ANSWER(1, "end") "exit 0", 1));
    struct apiary_job *job = fake_submit(agent, "x", "", 0);
    for (uint32_t read = 0; !job->finished; read++) {
        while (!job->finished && !job->ready)
            fake_turn();
        cr_assert(job->finished || read < 3, "more parts than there are");
        if (!job->finished) fake_read_parts(job, 1);
    }
    cr_assert(!job->failed, "%s", job->data);
    cr_assert_str_eq(job->parts, "|a|b|c");
    cr_assert_str_eq(job->data, "end");
    fake_free(job);
    done();
}

Test(warm, parts_of_a_cancelled_task_are_waited_for_no_more)
{
    WITH(STAYS(TALK "next; say '{\"type\":\"part\",\"id\":1}' a; next; say '{\"type\":\"fail\",\"id\":1}' \"$head\"; next", 1));
    struct apiary_job *job = fake_submit(agent, "x", "", 0);
    while (!job->ready)
        fake_turn();
    job->cancelled = true;
    fake_read_parts(job, 0);
    cr_assert(job->finished && job->failed && job->code == 130, "%s", job->data);
    fake_free(job);
    done();
}

Test(warm, who_does_not_stop_is_killed_and_who_does_stays)
{
    WITH(STAYS(TALK "next; next; say '{\"type\":\"fail\",\"id\":1,\"code\":9}' \"$head\"\nnext; exec tail -f /dev/null", 1),
         NUMBER("grace", 50 * MS));
    struct apiary_job *job = fake_submit(agent, "x", "", 0);
    job->cancelled = true;
    fake_finish(job);
    cr_assert(job->failed);
    if (job->code == 9) /* else it was taken back before the process was there */
        cr_assert_str_eq(job->data, "{\"type\":\"cancel\",\"id\":1,\"why\":\"cancelled\"}");
    fake_free(job);
    fake_destroy(agent);
    fake_close();
}

Test(warm, a_deadline_is_told_and_then_kept)
{
    WITH(STAYS(TALK "next; next; say '{\"type\":\"fail\",\"id\":1,\"code\":9}' \"$head\"\nnext; exec tail -f /dev/null", 1),
         NUMBER("grace", 50 * MS), NUMBER("timeout", 300 * MS));
    fake_expect_failure(agent, "x", "", 9, "\"why\":\"deadline\"");
    fake_expect_failure(agent, "x", "", 124, "did not answer in time, nor when it was told so; killed");
    done();
}

Test(warm, tasks_fail_with_the_reason_when_nothing_comes_up)
{
    WITH(STAYS("read h; echo some reason >&2; exit 7", 2));
    fake_expect_failure(agent, "x", "", 7, "ended with exit status 7 before it said hello (standard error: some reason)");
    done();
}

Test(warm, another_version_is_refused)
{
    WITH(STAYS("read h b; printf '%s\\n%s' '29 0' '{\"type\":\"hello\",\"protocol\":2} '; exec cat", 1));
    fake_expect_failure(agent, "x", "", 76, "its hello does not say \"protocol\":1");
    done();
}

Test(warm, keys_that_do_not_go_together_are_refused)
{
    const struct fake_key end = {NULL, NULL, 0, NULL}, lines = {"parts", "lines", 0, NULL}, three = NUMBER("concurrency", 3);
    const struct fake_key command = {"command", NULL, 0, FAKE_LIST("cat")}, one = NUMBER("persistent", 1);
    const struct fake_key at = {"socket", "/s", 0, NULL};
    const struct {
        struct fake_key keys[4];
        const char *why;
    } wrong[] = {
        {{command, one, lines, end}, "do not go with persistent"},
        {{command, one, three, end}, "do not go with persistent"},
        {{command, at, end, end}, "give either command or socket"},
        {{one, end, end, end}, "command: is missing, or an empty list"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fake_open();
        cr_assert_eq(fake_create("exec", wrong[i].keys, &agent), APIARY_ECONFIG);
        cr_assert_not_null(strstr(agent->log, wrong[i].why), "%s", agent->log);
        done();
    }
}

Test(warm, a_socket_that_nobody_listens_at_is_the_reason)
{
    WITH({"socket", "/nonexistent/socket", 0, NULL});
    fake_expect_failure(agent, "x", "", 126, "/nonexistent/socket: cannot connect: No such file or directory");
    done();
}
