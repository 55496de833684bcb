/* tests/unit/test_kinds_http.c - the kind "http" against a server in this process, on a port that the kernel chose. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agents/kinds/curl.h"
#include "tests/unit/fake_agent.h"

#define MS 1000000ll
enum { REQUEST_MOST = 8 << 20, BIG = 3 << 20 };

/* ---- the server: one thread a connection; the path says what it does --------------------------------------------- */

static int port, listener;

static void send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0) return;
        data += n;
        size -= (size_t)n;
    }
}

static void answer(int fd, const char *status, const char *body, size_t size)
{
    char head[160];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nLocation: /echo\r\n\r\n", status, size);
    send_all(fd, head, (size_t)n);
    send_all(fd, body, size);
}

/* Reads one request; *body and *size are its body. Whether there was one. */
static bool read_request(int fd, char *buffer, char **body, size_t *size)
{
    size_t have = 0, want = 0;
    *body = NULL;
    while (!*body || have < want) {
        ssize_t n = recv(fd, buffer + have, REQUEST_MOST - have - 1, 0);
        if (n <= 0) return false;
        have += (size_t)n;
        buffer[have] = '\0';
        if (!*body && (*body = strstr(buffer, "\r\n\r\n")) != NULL) {
            *body += 4;
            const char *length = strcasestr(buffer, "\r\nContent-Length:");
            *size = length && length < *body ? strtoul(length + 17, NULL, 10) : 0;
            want = (size_t)(*body - buffer) + *size;
        }
    }
    return true;
}

static bool respond(int fd, char *request, const char *body, size_t size)
{
    static const char big[BIG];
    char method[16], path[64];
    cr_assert_eq(sscanf(request, "%15s %63s", method, path), 2);
    if (strcmp(path, "/echo") == 0)
        answer(fd, "200 OK", body, size);
    else if (strcmp(path, "/head") == 0) /* the request's own head */
        answer(fd, "200 OK", request, (size_t)(body - request));
    else if (strcmp(path, "/entity") == 0) /* as the answer to HEAD is */
        send_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 40);
    else if (strcmp(path, "/500") == 0)
        answer(fd, "500 Internal Server Error", "no\nhoney", 8);
    else if (strcmp(path, "/204") == 0)
        answer(fd, "204 No Content", "", 0);
    else if (strcmp(path, "/302") == 0)
        answer(fd, "302 Found", "", 0);
    else if (strcmp(path, "/big") == 0)
        answer(fd, "200 OK", big, BIG);
    else if (strcmp(path, "/cut") == 0)
        send_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", 44);
    else if (strcmp(path, "/rubbish") == 0)
        send_all(fd, "nothing of the kind\r\n\r\n", 23);
    else /* "/slow": says nothing until the other side gives up */
        return recv(fd, request, 1, 0) > 0;
    return strcmp(path, "/cut") != 0 && strcmp(path, "/rubbish") != 0;
}

static void *serve_one(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char *buffer = malloc(REQUEST_MOST), *body;
    size_t size;
    while (read_request(fd, buffer, &body, &size) && respond(fd, buffer, body, size))
        ;
    free(buffer);
    close(fd);
    return NULL;
}

static void *serve(void *unused)
{
    (void)unused;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) {
        pthread_t thread;
        pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd);
        pthread_detach(thread);
    }
    return NULL;
}

/* A socket on 127.0.0.1 whose port goes to *ret. */
static int bind_loopback(int *ret)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (void *)&address, sizeof address), 0);
    cr_assert_eq(getsockname(fd, (void *)&address, &size), 0);
    *ret = ntohs(address.sin_port);
    return fd;
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static struct apiary_agent *agent;
static struct fake_key config[8];
static pthread_t server;

static void open_server(void)
{
    listener = bind_loopback(&port);
    cr_assert_eq(listen(listener, 64), 0);
    pthread_create(&server, NULL, serve, NULL);
    fake_open();
}

/* An agent for this path, with up to four more keys. */
static void forward(const char *path, const struct fake_key *more)
{
    size_t count = 0;
    config[count++] = (struct fake_key){"port", NULL, port, NULL};
    config[count++] = (struct fake_key){"path", path, 0, NULL};
    while (more && more->key)
        config[count++] = *more++;
    config[count] = (struct fake_key){NULL, NULL, 0, NULL};
    cr_assert_eq(fake_create("http", config, &agent), 0, "%s", agent->log);
}

static void done(void)
{
    fake_destroy(agent);
    fake_close();
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(listener);
}

Test(http, posts_the_request_and_gives_back_the_body)
{
    open_server();
    forward("/echo", NULL);
    for (int i = 0; i < 3; i++) /* the connection is kept */
        fake_expect(agent, "x", "hello, hive", "hello, hive");
    fake_expect(agent, "x", "", "");
    done();
}

Test(http, large_bodies_pass_both_ways)
{
    enum { SIZE = 5 << 20 };
    const struct fake_key more[] = {{"max_output", NULL, SIZE, NULL}, {NULL, NULL, 0, NULL}};
    char *bytes = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 2654435761u >> 24);
    open_server();
    forward("/echo", more);
    struct apiary_job *job = fake_submit(agent, "x", bytes, SIZE);
    fake_finish(job);
    cr_assert(!job->failed, "%s", job->data);
    cr_assert_eq(job->data_size, SIZE);
    cr_assert_eq(memcmp(job->data, bytes, SIZE), 0, "the bytes are others");
    fake_free(job);
    free(bytes);
    done();
}

Test(http, method_and_headers_are_as_configured)
{
    const struct fake_key more[] = {
        {"method", "PUT", 0, NULL}, {"headers", NULL, 0, FAKE_LIST("X-Hive: 7", "Accept:")}, {NULL, NULL, 0, NULL}};
    open_server();
    forward("/head", more);
    char *head = fake_call(agent, "x", "abc");
    cr_assert_eq(strncmp(head, "PUT /head HTTP/1.1\r\n", 20), 0, "%s", head);
    cr_assert_not_null(strstr(head, "\r\nX-Hive: 7\r\n"), "%s", head);
    cr_assert_not_null(strstr(head, "\r\nContent-Length: 3\r\n"), "%s", head);
    cr_assert_null(strstr(head, "Accept"), "%s", head);
    cr_assert_null(strstr(head, "Expect"), "%s", head);
    free(head);
    done();
}

/* The head that the service gets for this body. */
static char *head_of(const struct fake_key *more, const char *body)
{
    forward("/head", more);
    return fake_call(agent, "x", body);
}

Test(http, the_type_of_a_body_is_what_it_is_or_what_is_configured)
{
    const struct fake_key typed[] = {{"content_type", "text/csv", 0, NULL}, {NULL, NULL, 0, NULL}};
    const char *const lines[] = {"content-type: text/x-hive", NULL};
    const struct fake_key by_header[] = {{"headers", NULL, 0, lines}, {NULL, NULL, 0, NULL}};
    const struct {
        const struct fake_key *more;
        const char *body, *type; /* type NULL: none */
    } cases[] = {
        {NULL, "{\"a\":1}", "\r\nContent-Type: application/json\r\n"},
        {NULL, " \n[1, 2]", "\r\nContent-Type: application/json\r\n"},
        {NULL, "{not json}", NULL},
        {NULL, "a=b&c=d", NULL},
        {NULL, "7", NULL},
        {NULL, "", NULL},
        {typed, "{\"a\":1}", "\r\nContent-Type: text/csv\r\n"},
        {by_header, "{\"a\":1}", "\r\ncontent-type: text/x-hive\r\n"},
    };
    open_server();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *head = head_of(cases[i].more, cases[i].body);
        if (cases[i].type) cr_assert_not_null(strstr(head, cases[i].type), "case %zu: %s", i, head);
        char *first = strcasestr(head, "\r\ncontent-type");
        cr_assert_eq(first != NULL, cases[i].type != NULL, "case %zu: %s", i, head);
        cr_assert(!first || !strcasestr(first + 1, "\r\ncontent-type"), "case %zu: twice: %s", i, head);
        free(head);
        if (i + 1 < sizeof cases / sizeof *cases) fake_destroy(agent);
    }
    done();
}

Test(http, a_service_is_told_what_a_request_is_for)
{
    open_server();
    forward("/head", NULL);
    struct apiary_job *job = fake_submit(agent, "score@2", "x", 1);
    job->caller = "shop\r\nX-Evil: 1";
    job->attempt = 2;
    fake_finish(job);
    cr_assert_not_null(strstr(job->data, "\r\nApiary-Capability: score@2\r\nApiary-Caller: shop??X-Evil:?1\r\n"
                                         "Apiary-Task: 1a-2-1\r\nApiary-Attempt: 2\r\nApiary-Timeout-Ms: 30000\r\n"),
                       "%s", job->data);
    cr_expect_null(strstr(job->data, "traceparent"));
    fake_free(job);
    job = fake_submit(agent, "score@2", "x", 1);
    job->traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    fake_finish(job);
    cr_assert_not_null(strstr(job->data, "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"), "%s",
                       job->data);
    fake_free(job);
    done();
}

Test(http, get_sends_no_body)
{
    const struct fake_key more[] = {{"method", "GET", 0, NULL}, {NULL, NULL, 0, NULL}};
    open_server();
    forward("/head", more);
    char *head = fake_call(agent, "x", "not sent");
    cr_assert_eq(strncmp(head, "GET /head HTTP/1.1\r\n", 20), 0, "%s", head);
    cr_assert_null(strstr(head, "Content-Length"), "%s", head);
    free(head);
    done();
}

Test(http, head_waits_for_no_body)
{
    const struct fake_key more[] = {{"method", "HEAD", 0, NULL}, {"timeout", NULL, 5000000000, NULL}, {NULL, NULL, 0, NULL}};
    open_server();
    forward("/entity", more);
    fake_expect(agent, "x", "", "");
    done();
}

Test(http, another_status_fails_with_its_number)
{
    open_server();
    forward("/500", NULL);
    fake_expect_failure(agent, "x", "", 500, "status 500: no honey");
    done();
}

Test(http, redirects_are_not_followed)
{
    open_server();
    forward("/302", NULL);
    fake_expect_failure(agent, "x", "", 302, "status 302");
    done();
}

Test(http, the_expected_status_may_be_given)
{
    const struct fake_key more[] = {{"expect_status", NULL, 204, NULL}, {NULL, NULL, 0, NULL}};
    open_server();
    forward("/204", more);
    fake_expect(agent, "x", "", "");
    fake_destroy(agent);
    forward("/echo", more);
    fake_expect_failure(agent, "x", "y", 200, "status 200");
    done();
}

Test(http, a_slow_answer_times_out)
{
    const struct fake_key more[] = {{"timeout", NULL, 100 * MS, NULL}, {NULL, NULL, 0, NULL}};
    open_server();
    forward("/slow", more);
    fake_expect_failure(agent, "x", "", 504, "no answer in time");
    done();
}

Test(http, the_tasks_deadline_counts_too)
{
    open_server();
    forward("/slow", NULL);
    struct apiary_job *job = fake_submit(agent, "x", "", 0);
    job->deadline = ap_ops_system.now() + 100 * MS;
    fake_finish(job);
    cr_assert_eq(job->code, 504, "%s", job->data);
    fake_free(job);
    job = fake_submit(agent, "x", "", 0);
    job->deadline = 1;
    fake_finish(job);
    cr_assert_eq(job->code, 504);
    fake_free(job);
    done();
}

Test(http, a_slow_answer_holds_up_nobody)
{
    open_server();
    forward("/slow", NULL);
    struct apiary_agent *slow = agent;
    struct apiary_job *waiting[20];
    for (int i = 0; i < 20; i++)
        waiting[i] = fake_submit(slow, "x", "", 0);
    forward("/echo", NULL);
    fake_expect(agent, "x", "quick", "quick");
    for (int i = 0; i < 20; i++) {
        cr_assert(!waiting[i]->finished);
        waiting[i]->cancelled = true;
    }
    for (int i = 0; i < 20; i++) {
        fake_finish(waiting[i]);
        cr_assert_eq(waiting[i]->code, 499, "%s", waiting[i]->data);
        fake_free(waiting[i]);
    }
    fake_destroy(slow);
    done();
}

Test(http, the_workers_end_drops_what_is_under_way)
{
    open_server();
    forward("/slow", NULL);
    struct apiary_job *job = fake_submit(agent, "x", "", 0);
    for (int i = 0; i < 3; i++)
        fake_turn();
    done();
    fake_free(job);
}

Test(http, too_much_is_cut_off)
{
    const struct fake_key more[] = {{"max_output", NULL, 100000, NULL}, {NULL, NULL, 0, NULL}};
    open_server();
    forward("/big", more);
    fake_expect_failure(agent, "x", "", 413, "larger than max_output (100000 bytes)");
    fake_destroy(agent);
    const struct fake_key just[] = {{"max_output", NULL, BIG, NULL}, {NULL, NULL, 0, NULL}};
    forward("/big", just);
    free(fake_call(agent, "x", ""));
    done();
}

Test(http, broken_answers_fail)
{
    open_server();
    forward("/cut", NULL);
    fake_expect_failure(agent, "x", "", 502, "transfer closed");
    fake_destroy(agent);
    forward("/rubbish", NULL);
    fake_expect_failure(agent, "x", "", 502, "HTTP/0.9");
    done();
}

Test(http, a_closed_port_is_told)
{
    int unheard;
    open_server();
    int fd = bind_loopback(&unheard); /* bound, so that nobody else gets it, but not listened to */
    char url[64];
    snprintf(url, sizeof url, "http://localhost:%d/", unheard);
    const struct fake_key one[] = {{"url", url, 0, NULL}, {NULL, NULL, 0, NULL}};
    cr_assert_eq(fake_create("http", one, &agent), 0);
    fake_expect_failure(agent, "x", "", 502, "connect");
    close(fd);
    done();
}

Test(http, many_at_once)
{
    enum { COUNT = 100 };
    struct apiary_job *jobs[COUNT];
    open_server();
    forward("/echo", NULL);
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

/* ---- what libcurl refuses: its calls, so that the n-th of a kind fails ------------------------------------------- */

static int easy_refused = -1, multi_refused = -1, action_refused = -1, assign_refused = -1, info_refused = -1;

static bool is_refused(int *left)
{
    return *left >= 0 && (*left)-- == 0;
}

static struct ap_curl real;

/* All of the third arguments are one word. */
#define FORWARD(function, handle, option, left, refusal)                                  \
    do {                                                                                  \
        va_list list;                                                                     \
        va_start(list, option);                                                           \
        void *value = va_arg(list, void *);                                               \
        va_end(list);                                                                     \
        return is_refused(&(left)) ? (refusal) : real.function(handle, option, value);    \
    } while (0)

static CURLcode setopt_or_refusal(CURL *easy, CURLoption option, ...)
{
    FORWARD(easy_setopt, easy, option, easy_refused, CURLE_UNKNOWN_OPTION);
}

static CURLcode getinfo_or_refusal(CURL *easy, CURLINFO info, ...)
{
    FORWARD(easy_getinfo, easy, info, info_refused, CURLE_UNKNOWN_OPTION);
}

static CURLMcode multi_setopt_or_refusal(CURLM *multi, CURLMoption option, ...)
{
    FORWARD(multi_setopt, multi, option, multi_refused, CURLM_UNKNOWN_OPTION);
}

static CURLMcode assign_or_refusal(CURLM *multi, curl_socket_t fd, void *user)
{
    return is_refused(&assign_refused) ? CURLM_OUT_OF_MEMORY : real.multi_assign(multi, fd, user);
}

static CURLMcode action_or_refusal(CURLM *multi, curl_socket_t fd, int what, int *running)
{
    return is_refused(&action_refused) ? CURLM_INTERNAL_ERROR : real.multi_socket_action(multi, fd, what, running);
}

static void with_refusals(void)
{
    const char *why = "";
    cr_assert_eq(ap_curl_load(&why), 0, "%s", why);
    real = ap_curl;
    ap_curl.easy_setopt = setopt_or_refusal;
    ap_curl.easy_getinfo = getinfo_or_refusal;
    ap_curl.multi_setopt = multi_setopt_or_refusal;
    ap_curl.multi_assign = assign_or_refusal;
    ap_curl.multi_socket_action = action_or_refusal;
}

/* Each option that a request has is refused once; returns how many there are. */
static int refuse_each(const struct fake_key *more)
{
    int n = 0;
    forward("/echo", more);
    for (bool more_left = true; more_left; n++) {
        easy_refused = n;
        struct apiary_job *job = fake_submit(agent, "x", "{}", 2);
        fake_finish(job);
        more_left = easy_refused < 0;
        if (more_left) {
            cr_assert(job->failed && strstr(job->data, "cannot be started: "), "option %d: %s", n, job->data);
            cr_assert_eq(job->code, 500);
        }
        easy_refused = -1;
        fake_free(job);
    }
    fake_expect(agent, "x", "{}", more ? "" : "{}"); /* and nothing stays of it */
    fake_destroy(agent);
    return n - 1;
}

Test(http, an_option_that_libcurl_refuses_fails_the_task)
{
    const struct fake_key get[] = {{"method", "GET", 0, NULL}, {NULL, NULL, 0, NULL}};
    with_refusals();
    open_server();
    cr_expect_eq(refuse_each(NULL), 17);
    cr_expect_eq(refuse_each(get), 14);
    forward("/echo", NULL);
    done();
}

Test(http, an_option_of_all_transfers_that_libcurl_refuses_is_told_at_the_start)
{
    with_refusals();
    open_server();
    forward("/echo", NULL);
    for (int n = 0; n < 4; n++) {
        struct apiary_agent *refused;
        multi_refused = n;
        cr_expect_eq(fake_create("http", config, &refused), APIARY_ENOTSUP, "option %d", n);
        cr_expect(strstr(refused->log, "libcurl"), "%s", refused->log);
        fake_destroy(refused);
    }
    done();
}

Test(http, a_call_that_libcurl_refuses_fails_what_is_under_way)
{
    int *calls[] = {&action_refused, &assign_refused, &info_refused};
    with_refusals();
    open_server();
    forward("/echo", NULL);
    for (size_t i = 0; i < 3; i++) {
        *calls[i] = 0;
        fake_expect_failure(agent, "x", "", 500, "cannot be watched");
        cr_expect_eq(*calls[i], -1);
    }
    fake_expect(agent, "x", "again", "again");
    done();
}

Test(http, create_refuses_other_hosts_and_nonsense)
{
    const struct {
        struct fake_key config[4];
        const char *why;
    } cases[] = {
        {{{"url", "http://192.0.2.1/", 0, NULL}}, "only http:// on localhost"},
        {{{"url", "http://localhost.example.org/", 0, NULL}}, "only http:// on localhost"},
        {{{"url", "http://127.0.0.1.example.org/", 0, NULL}}, "only http:// on localhost"},
        {{{"url", "http://user@192.0.2.1:80/?@127.0.0.1/", 0, NULL}}, "only http:// on localhost"},
        {{{"url", "https://localhost/", 0, NULL}}, "only http:// on localhost"},
        {{{"url", "file:///etc/passwd", 0, NULL}}, "only http:// on localhost"},
        {{{"url", "nonsense", 0, NULL}}, "only http:// on localhost"},
        {{{"path", "/x", 0, NULL}}, "either url, or port"},
        {{{"port", NULL, 70000, NULL}}, "either url, or port"},
        {{{"port", NULL, 80, NULL}, {"path", "x", 0, NULL}}, "either url, or port"},
        {{{"port", NULL, 80, NULL}, {"url", "http://localhost/", 0, NULL}}, "either url, or port"},
        {{{"port", NULL, 80, NULL}, {"method", "post", 0, NULL}}, "not in capitals"},
        {{{"port", NULL, 80, NULL}, {"method", "", 0, NULL}}, "not in capitals"},
        {{{"port", NULL, 80, NULL}, {"headers", NULL, 0, FAKE_LIST("A: b\r\nC: d")}}, "on one line"},
        {{{"port", NULL, 80, NULL}, {"headers", NULL, 0, FAKE_LIST("nothing")}}, "on one line"},
        {{{"port", NULL, 80, NULL}, {"content_type", "a\r\nB: c", 0, NULL}}, "content_type"},
    };
    fake_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(fake_create("http", cases[i].config, &agent), APIARY_ECONFIG, "case %zu", i);
        cr_assert_not_null(strstr(agent->log, cases[i].why), "case %zu: %s", i, agent->log);
        agent->state = NULL;
        fake_destroy(agent);
    }
    fake_close();
}
