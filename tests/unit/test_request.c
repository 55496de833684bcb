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

    for (unsigned i = 0; i < REQUEST_ROUTE_COUNT; i++) {
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
