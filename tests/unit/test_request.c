/* tests/unit/test_request.c - which requests the coordinator's HTTP server answers, and how it refuses the others. */
#include <criterion/criterion.h>

#include <string.h>

#include "core/ops.h"
#include "tools/common/request.h"

TestSuite(request, .timeout = TEST_LIMIT);

static const struct request plain = {.method = "GET", .path = "/metrics", .host = "localhost:4100", .checked = true};

static unsigned status_of(struct request r)
{
    struct request_verdict v;

    request_judge(&r, &v);
    cr_expect_eq(v.status == 200, v.why[0] == '\0', "%u: %s", v.status, v.why);
    return v.status;
}

Test(request, what_there_is_is_answered)
{
    struct request r = plain;

    for (unsigned i = 0; i < REQUEST_FIRST_CHANGE; i++) {
        struct request_verdict v;

        r.path = request_rows[i].path;
        request_judge(&r, &v);
        cr_expect_eq(v.status, 200, "%s", r.path);
        cr_expect_eq(v.route, i, "%s", r.path);
    }
    r.method = "HEAD";
    cr_expect_eq(status_of(r), 200);
}

Test(request, what_there_is_not_is_refused)
{
    static const char *const paths[] = {"", "/metric", "/metrics/", "//metrics", "/Metrics", "/../metrics", "/v1", "/v1/",
                                        "/v1/task", "*", "metrics"};
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", ""};
    struct request r = plain;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        r.path = paths[i];
        cr_expect_eq(status_of(r), 404, "%s", paths[i]);
    }
    r = plain;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        r.method = methods[i];
        cr_expect_eq(status_of(r), 405, "%s", methods[i]);
    }
    r = plain;
    r.body = true;
    cr_expect_eq(status_of(r), 413);
}

Test(request, a_page_of_another_site_is_refused)
{
    static const char *const good[] = {"localhost", "LOCALHOST", "localhost:4100", "127.0.0.1", "127.0.0.1:80", "127.255.0.9:1",
                                       "[::1]", "[::1]:4100", "localhost:"};
    static const char *const bad[] = {"", "evil.org", "localhost.evil.org", "127.0.0.1.evil.org", "127.evil.org", "127.0.0.1:evil",
                                      "localhost:80@evil.org", "[::1]evil.org", "[::2]:80", "[::1", "10.0.0.1", "127.0.1",
                                      "localhost/", "1127.0.0.1", "127.0.0.1 evil"};
    struct request r = plain;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        r.host = good[i];
        cr_expect_eq(status_of(r), 200, "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.host = bad[i];
        r.checked = true;
        cr_expect_eq(status_of(r), 403, "%s", bad[i]);
        r.checked = false; /* by the socket of the state directory, or on another address */
        cr_expect_eq(status_of(r), 200, "%s", bad[i]);
    }
}

Test(request, elsewhere_numbers_of_addresses_and_known_names_are_answered)
{
    static const char *const good[] = {"localhost:4100", "127.0.0.1", "10.0.0.1:4100", "[fe80::1]:4100", "worker-7", "WORKER-7:80",
                                       "a.example.org"};
    static const char *const bad[] = {"", "evil.org", "10.0.0.1.evil.org", "worker-7.evil.org", "worker", "worker-7 evil",
                                      "[fe80::x]", "[]", "a.example.or", "1.2.3"};
    struct request r = plain;

    r.wide = true;
    r.hosts = "worker-7  a.example.org";
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        r.host = good[i];
        cr_expect_eq(status_of(r), 200, "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.host = bad[i];
        cr_expect_eq(status_of(r), 403, "%s", bad[i]);
    }
}

Test(request, a_page_of_another_site_has_no_answer_made)
{
    static const char *const good[] = {"same-origin", "same-site", "none"};
    struct request r = plain;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        r.site = good[i];
        cr_expect_eq(status_of(r), 200, "%s", good[i]);
    }
    r.site = "cross-site";
    for (unsigned i = 0; i < REQUEST_FIRST_CHANGE; i++) {
        r.path = request_rows[i].path;
        cr_expect_eq(status_of(r), i == REQUEST_INDEX ? 200 : 403, "%s", r.path); /* a link leads to the page */
    }
    r.path = "/main.js";
    r.file = true;
    cr_expect_eq(status_of(r), 200);
}

/* ---- changes */

#define A_TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
static const struct request change = {.method = "POST", .path = "/v1/drain", .host = "localhost:4100", .checked = true,
                                      .body = true, .type = "application/json", .length = "10", .token = A_TOKEN,
                                      .authorization = "Bearer " A_TOKEN};

Test(request, a_change_needs_the_token)
{
    static const char *const bad[] = {"", "Bearer", "Bearer ", A_TOKEN, "Basic " A_TOKEN, "Bearer  " A_TOKEN, "Bearer " A_TOKEN "0",
                                      "Bearer 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdee",
                                      "Bearer 1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    struct request r = change;

    for (unsigned i = REQUEST_FIRST_CHANGE; i < REQUEST_ROUTE_COUNT; i++) {
        r.path = request_rows[i].path;
        cr_expect_eq(status_of(r), 200, "%s", r.path);
    }
    r.authorization = "bearer " A_TOKEN;
    cr_expect_eq(status_of(r), 200);
    r.authorization = NULL;
    cr_expect_eq(status_of(r), 401);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.authorization = bad[i];
        cr_expect_eq(status_of(r), 401, "%s", bad[i]);
    }
    r.trusted = true; /* by the Unix socket */
    cr_expect_eq(status_of(r), 200);
    r = change;
    r.token = NULL;
    r.untold = "its file is anybody's";
    cr_expect_eq(status_of(r), 503);
    r.trusted = true;
    cr_expect_eq(status_of(r), 200);
}

Test(request, a_page_of_another_origin_changes_nothing)
{
    static const char *const good[] = {"http://localhost:4100", "HTTP://LOCALHOST:4100"};
    static const char *const bad[] = {"null", "", "http://evil.org", "http://localhost", "http://localhost:41000",
                                      "http://localhost:410",
                                      "https://localhost:4100", "http://evil.org@localhost:4100", "http://127.0.0.1:4100"};
    struct request r = change;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        r.origin = good[i];
        cr_expect_eq(status_of(r), 200, "%s", good[i]);
    }
    for (int trusted = 0; trusted < 2; trusted++)
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            r.origin = bad[i];
            r.trusted = trusted;
            cr_expect_eq(status_of(r), 403, "%s", bad[i]);
        }
    r = change;
    r.site = "same-origin";
    cr_expect_eq(status_of(r), 200);
    r.site = "none";
    cr_expect_eq(status_of(r), 200);
    r.site = "cross-site";
    cr_expect_eq(status_of(r), 403);
    r.site = "same-site";
    cr_expect_eq(status_of(r), 403);
}

Test(request, a_change_is_a_post_of_json)
{
    struct request r = change;

    r.method = "GET";
    cr_expect_eq(status_of(r), 405);
    r = change;
    r.type = "application/json; charset=utf-8";
    cr_expect_eq(status_of(r), 200);
    r.type = NULL;
    cr_expect_eq(status_of(r), 415);
    r.type = "text/plain";
    cr_expect_eq(status_of(r), 415);
    r.type = "application/jsonx";
    cr_expect_eq(status_of(r), 415);
    r = change;
    r.length = "65536";
    cr_expect_eq(status_of(r), 200);
    r.length = "65537";
    cr_expect_eq(status_of(r), 413);
    r.length = "-1";
    cr_expect_eq(status_of(r), 413);
    r.length = NULL; /* in pieces, which are counted as they come */
    cr_expect_eq(status_of(r), 200);
}

Test(request, only_http_1_0_needs_no_host)
{
    struct request r = plain;

    r.host = NULL;
    cr_expect_eq(status_of(r), 400);
    r.old = true;
    cr_expect_eq(status_of(r), 200);
}

/* ---- arguments */

static struct request_verdict asked(const char *path)
{
    struct request r = plain;
    struct request_verdict v;

    r.path = path;
    request_judge(&r, &v);
    cr_assert_eq(v.status, 200);
    return v;
}

static void argue(struct request_verdict *v, const char *key, const char *value)
{
    request_argument(v, key, strlen(key), value, value != NULL ? strlen(value) : 0);
}

Test(request, arguments_are_taken)
{
    struct request_verdict v = asked("/v1/tasks");

    cr_expect_eq(v.limit, REQUEST_LIMIT);
    cr_expect_eq(v.after, 0);
    argue(&v, "limit", "7");
    argue(&v, "after", "9223372036854775807");
    argue(&v, "state", "queued");
    cr_expect_eq(v.status, 200, "%s", v.why);
    cr_expect_eq(v.limit, 7);
    cr_expect_eq(v.after, INT64_MAX);
    cr_expect_str_eq(v.state, "queued");
    v = asked("/v1/events");
    argue(&v, "since", "10m");
    argue(&v, "kind", "swarm-died");
    argue(&v, "service", "a b\xff"); /* whatever it is: nobody is called so */
    cr_expect_eq(v.status, 200, "%s", v.why);
    cr_expect_lt(v.since, ap_ops_system.realtime());
    cr_expect_gt(v.since, 0);
    cr_expect_str_eq(v.kind, "swarm-died");
}

Test(request, arguments_are_refused)
{
    static const struct {
        const char *path, *key, *value, *why;
    } rows[] = {
        {"/metrics", "limit", "1", "'limit' is no argument of /metrics, which takes none"},
        {"/v1/tasks", "Limit", "1", "'Limit' is no argument of /v1/tasks, which takes state limit after"},
        {"/v1/tasks", "", "1", "'' is no argument of /v1/tasks, which takes state limit after"},
        {"/v1/tasks", "stat", "1", "'stat' is no argument of /v1/tasks, which takes state limit after"},
        {"/v1/tasks", "since", "1h", "'since' is no argument of /v1/tasks, which takes state limit after"},
        {"/v1/tasks", "limit", NULL, "limit needs a value of 1 to 255 bytes"},
        {"/v1/tasks", "limit", "", "limit needs a value of 1 to 255 bytes"},
        {"/v1/tasks", "limit", "0", "limit: '0' is no number from 1 to 1000"},
        {"/v1/tasks", "limit", "1001", "limit: '1001' is no number from 1 to 1000"},
        {"/v1/tasks", "limit", "18446744073709551617", "limit: '18446744073709551617' is no number from 1 to 1000"},
        {"/v1/tasks", "limit", "+1", "limit: '+1' is no number from 1 to 1000"},
        {"/v1/dead", "after", "9223372036854775808",
         "after: '9223372036854775808' is no number; it is the 'next' of the answer before"},
        {"/v1/events", "since", "soon",
         "since: 'soon' is neither a span (90s, 10m, 1h) nor a time (2025-01-31T12:00:00Z)"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request_verdict v = asked(rows[i].path);

        argue(&v, rows[i].key, rows[i].value);
        cr_expect_eq(v.status, 400, "%s", rows[i].why);
        cr_expect_str_eq(v.why, rows[i].why);
    }
}

Test(request, an_argument_comes_once_and_whole)
{
    struct request_verdict v = asked("/v1/tasks");
    char longest[REQUEST_TEXT_MAX + 2];

    memset(longest, 'a', sizeof longest);
    request_argument(&v, "state", 5, longest, REQUEST_TEXT_MAX);
    cr_expect_eq(v.status, 200);
    cr_expect_eq(strlen(v.state), REQUEST_TEXT_MAX);
    argue(&v, "state", "b");
    cr_expect_eq(v.status, 400);
    cr_expect_str_eq(v.why, "state is there twice");
    v = asked("/v1/tasks");
    request_argument(&v, "state", 5, longest, REQUEST_TEXT_MAX + 1);
    cr_expect_eq(v.status, 400);
    v = asked("/v1/tasks");
    request_argument(&v, "state", 5, "a\0b", 3);
    cr_expect_eq(v.status, 400);
    v = asked("/v1/tasks");
    request_argument(&v, "state\0x", 7, "a", 1);
    cr_expect_eq(v.status, 400);
    request_argument(&v, "state", 5, "a", 1); /* what is refused stays so, with its first reason */
    cr_expect_eq(v.status, 400);
    cr_expect_str_eq(v.state, "");
}
