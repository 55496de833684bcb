/* tests/unit/test_request.c - which requests the coordinator's HTTP server answers, and how it refuses the others. */
#include <criterion/criterion.h>

#include "tools/common_request.h"

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
    static const char *const paths[] = {"", "/metric", "/metrics/", "//metrics", "/Metrics", "/../metrics", "/v1", "*", "metrics"};
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
