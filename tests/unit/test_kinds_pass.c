/* tests/unit/test_kinds_pass.c - output that is passed on as it comes: by "exec" from a program, by "http" from a service. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/fake_agent.h"

#define SHELL(text) FAKE_LIST("/bin/sh", "-c", text)

static struct apiary_agent *agent;

static void open_exec(const char *script, const char *parts)
{
    const struct fake_key config[] = {{"command", NULL, 0, SHELL(script)}, {"parts", parts, 0, NULL}, {NULL, NULL, 0, NULL}};

    fake_open();
    cr_assert_eq(fake_create("exec", config, &agent), 0, "%s", agent->log);
}

static void done(void)
{
    fake_destroy(agent);
    fake_close();
    cr_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a child is left");
}

/* A task whose reader takes so many parts at first. */
static struct apiary_job *ask(const char *body, uint32_t room)
{
    struct apiary_job *job = fake_submit(agent, "x", body, strlen(body));

    job->parts_room = room;
    return job;
}

/* Parts and answer, without the marks between parts: the whole. */
static char *whole_of(const struct apiary_job *job)
{
    char *whole = calloc(1, job->parts_size + job->data_size + 1), *to = whole;

    for (size_t i = 0; i < job->parts_size; i++)
        if (job->parts[i] != '|') *to++ = job->parts[i];
    memcpy(to, job->data, job->data_size);
    return whole;
}

static size_t longest_part(const struct apiary_job *job)
{
    size_t longest = 0, size = 0;

    for (size_t i = 0; i < job->parts_size; i++) {
        size = job->parts[i] == '|' ? 0 : size + 1;
        if (size > longest) longest = size;
    }
    return longest;
}

Test(pass, lines_are_parts_and_what_has_no_end_is_the_answer)
{
    struct apiary_job *job;

    open_exec("printf 'one\\ntwo\\n\\nrest'", "lines");
    job = ask("", 100);
    fake_finish(job);
    cr_assert(!job->failed, "%s", job->data);
    cr_expect_str_eq(job->parts, "|one\n|two\n|\n");
    cr_expect_str_eq(job->data, "rest");
    fake_free(job);
    done();
}

Test(pass, chunks_are_what_there_is)
{
    struct apiary_job *job;
    char *whole;

    open_exec("cat", "chunks");
    job = ask("some text without an end", 100);
    fake_finish(job);
    whole = whole_of(job);
    cr_expect_str_eq(whole, "some text without an end");
    cr_expect(job->parts_size > 0 && job->data_size == 0);
    free(whole);
    fake_free(job);
    done();
}

Test(pass, what_is_longer_than_a_part_may_be_comes_in_pieces)
{
    static const char *const ways[] = {"lines", "chunks", "events"};

    for (size_t i = 0; i < 3; i++) {
        struct apiary_job *job;
        char *whole;

        open_exec("head -c 10000 /dev/zero | tr '\\0' x; printf '\\n\\nend\\n\\n'", ways[i]);
        job = ask("", 10000);
        fake_finish(job);
        whole = whole_of(job);
        cr_expect(!job->failed && strlen(whole) == 10007 && strspn(whole, "x") == 10000, "%s: %zu bytes", ways[i], strlen(whole));
        cr_expect(longest_part(job) <= 200 && longest_part(job) > 60, "%s: %zu bytes", ways[i], longest_part(job));
        free(whole);
        fake_free(job);
        done();
    }
}

Test(pass, a_program_stops_when_its_reader_is_behind)
{
    struct apiary_job *job;
    char *lines;
    int n = 0;

    open_exec("yes", "lines");
    job = ask("", 10);
    while (job->ready == NULL) fake_turn();
    for (int i = 0; i < 3; i++) {
        size_t before = job->parts_size;

        fake_read_parts(job, 1000);
        while (job->ready == NULL) fake_turn();
        cr_expect_eq(job->parts_size - before, 1000 * 3, "so much, and no more");
    }
    lines = job->parts;
    while (*lines != '\0') n += *lines++ == 'y';
    cr_expect_eq(n, 3010);
    cr_expect(!job->finished);
    job->cancelled = true;
    fake_finish(job);
    cr_expect(job->failed && job->code == 130, "code %u", job->code);
    fake_free(job);
    done();
}

Test(pass, what_its_reader_has_not_taken_when_it_ends_is_the_answer)
{
    struct apiary_job *job;
    char *whole;

    open_exec("for i in 1 2 3 4 5 6 7 8 9; do echo $i; done", "lines");
    job = ask("", 3);
    fake_finish(job);
    cr_expect_str_eq(job->parts, "|1\n|2\n|3\n");
    cr_expect_str_eq(job->data, "4\n5\n6\n7\n8\n9\n");
    fake_free(job);
    job = ask("", 0);
    fake_finish(job);
    whole = whole_of(job);
    cr_expect_str_eq(whole, "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    free(whole);
    fake_free(job);
    done();
}

Test(pass, another_word_is_refused)
{
    const struct fake_key exec[] = {{"command", NULL, 0, FAKE_LIST("cat")}, {"parts", "words", 0, NULL}, {NULL, NULL, 0, NULL}};
    const struct fake_key http[] = {{"port", NULL, 80, NULL}, {"parts", "words", 0, NULL}, {NULL, NULL, 0, NULL}};

    fake_open();
    cr_assert_eq(fake_create("exec", exec, &agent), APIARY_ECONFIG);
    cr_expect_not_null(strstr(agent->log, "parts: \"words\" is none of lines, chunks, events, none"), "%s", agent->log);
    fake_destroy(agent);
    cr_assert_eq(fake_create("http", http, &agent), APIARY_ECONFIG);
    fake_destroy(agent);
    fake_close();
}

/* ---- a service that answers little by little --------------------------------------------------------------------- */

static int listener, port;
static pthread_t server;
static const char *answer_head, *answer_unit;
static int answer_units;

static void send_text(int fd, const char *text)
{
    for (size_t at = 0, size = strlen(text); at < size;) {
        ssize_t n = send(fd, text + at, size - at, MSG_NOSIGNAL);
        if (n <= 0) return;
        at += (size_t)n;
    }
}

/* One request of a connection is answered: the head, then one chunk for each unit. */
static void *serve(void *unused)
{
    char request[4096], size[32];

    (void)unused;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        if (recv(fd, request, sizeof request, 0) <= 0) continue;
        send_text(fd, answer_head);
        for (int i = 0; i < answer_units; i++) {
            snprintf(size, sizeof size, "%zx\r\n", strlen(answer_unit));
            send_text(fd, size);
            send_text(fd, answer_unit);
            send_text(fd, "\r\n");
        }
        send_text(fd, "0\r\n\r\n");
    }
    return NULL;
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"

static void open_http(const char *head, const char *unit, int units, const char *parts)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (void *)&address, sizeof address), 0);
    cr_assert_eq(getsockname(listener, (void *)&address, &size), 0);
    cr_assert_eq(listen(listener, 8), 0);
    port = ntohs(address.sin_port);
    answer_head = head;
    answer_unit = unit;
    answer_units = units;
    pthread_create(&server, NULL, serve, NULL);
    fake_open();
    const struct fake_key config[] = {{"port", NULL, port, NULL}, {"parts", parts, 0, NULL}, {"max_output", NULL, 8 << 20, NULL},
                                      {"timeout", NULL, INT64_C(600000000000), NULL}, {NULL, NULL, 0, NULL}};
    cr_assert_eq(fake_create("http", config, &agent), 0, "%s", agent->log);
}

static void close_http(void)
{
    fake_destroy(agent);
    fake_close();
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(listener);
}

Test(pass, server_sent_events_are_parts)
{
    struct apiary_job *job;

    open_http(CHUNKED, "data: a\r\nid: 1\r\n\r\ndata: b\n\nda", 2, "events");
    job = ask("", 100);
    fake_finish(job);
    cr_assert(!job->failed, "%s", job->data);
    cr_expect_str_eq(job->parts, "|data: a\r\nid: 1\r\n\r\n|data: b\n\n|dadata: a\r\nid: 1\r\n\r\n|data: b\n\n");
    cr_expect_str_eq(job->data, "da");
    fake_free(job);
    close_http();
}

/* More than the sockets hold: the service stops, too. */
Test(pass, a_service_stops_when_its_reader_is_behind)
{
    enum { UNITS = 100000 };
    struct apiary_job *job;
    char *whole;

    open_http(CHUNKED, "a line of fifty bytes, or nearly that, and its end\n", UNITS, "lines");
    job = ask("", 10);
    while (!job->finished) {
        while (!job->finished && job->ready == NULL) fake_turn();
        if (!job->finished) fake_read_parts(job, 7000);
    }
    cr_assert(!job->failed, "%s", job->data);
    whole = whole_of(job);
    cr_expect_eq(strlen(whole), UNITS * strlen(answer_unit));
    for (size_t i = 0; i < UNITS; i++)
        cr_assert_eq(memcmp(whole + i * strlen(answer_unit), answer_unit, strlen(answer_unit)), 0, "line %zu", i);
    free(whole);
    fake_free(job);
    close_http();
}

/* The body of another status is the reason of the failure, and no part. */
Test(pass, a_failure_is_not_passed_on)
{
    struct apiary_job *job;

    open_http("HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", "no honey\n", 3, "lines");
    job = ask("", 100);
    fake_finish(job);
    cr_expect(job->failed && job->code == 500 && strstr(job->data, "no honey") != NULL, "%u: %s", job->code, job->data);
    cr_expect_eq(job->parts_size, 0);
    fake_free(job);
    close_http();
}
