/* tests/unit/test_demand.c - bodies of requests that change something, and the token that these need. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/demand.h"
#include "tools/common/token.h"

TestSuite(demand, .timeout = TEST_LIMIT);
TestSuite(token, .timeout = TEST_LIMIT);

static struct request_verdict verdict;
static struct demand demand;

static unsigned read_as(enum request_route route, const char *body)
{
    verdict = (struct request_verdict){.status = 200, .route = route};
    demand_free(&demand);
    demand_read(&verdict, body, strlen(body), &demand);
    cr_expect_eq(verdict.status == 200, verdict.why[0] == '\0', "%u: %s", verdict.status, verdict.why);
    return verdict.status;
}

Test(demand, what_is_asked_for_is_read)
{
    cr_assert_eq(read_as(REQUEST_DRAIN, "{\"service\": \"a\", \"reason\": \"f\u00fcr\", \"by\": \"me\", \"expect\": 2}"), 200);
    cr_expect_str_eq(demand.service, "a");
    cr_expect_str_eq(demand.instance, "");
    cr_expect_str_eq(demand.reason, "f\u00fcr");
    cr_expect_str_eq(demand.by, "me");
    cr_expect_eq(demand.expect, 2);
    cr_assert_eq(read_as(REQUEST_RESUME, "{\"service\": \"a\", \"instance\": null, \"reason\": \"x\"}"), 200);
    cr_expect_eq(demand.expect, -1);
    cr_assert_eq(read_as(REQUEST_WEIGHT, "{\"service\": \"a\", \"instance\": \"1\", \"reason\": \"x\", \"weight\": null}"), 200);
    cr_expect_eq(demand.weight, -1);
    cr_expect_str_eq(demand.instance, "1");
    cr_assert_eq(read_as(REQUEST_WEIGHT, "{\"service\": \"a\", \"reason\": \"x\", \"weight\": 1000}"), 200);
    cr_expect_eq(demand.weight, 1000);
    cr_assert_eq(read_as(REQUEST_SCALE, "{\"service\": \"a\", \"reason\": \"x\", \"instances\": 64}"), 200);
    cr_expect_eq(demand.instances, 64);
    cr_assert_eq(read_as(REQUEST_RETRY, "{\"numbers\": [1, 9223372036854775807], \"reason\": \"x\"}"), 200);
    cr_expect_eq(demand.count, 2);
    cr_expect_eq(demand.numbers[1], INT64_MAX);
    cr_assert_eq(read_as(REQUEST_DISCARD, "{\"all\": true, \"cause\": \"lost\", \"older\": \"5m\", \"reason\": \"x\"}"), 200);
    cr_expect(demand.all);
    cr_expect_eq(demand.older, UINT64_C(300000000000));
    cr_assert_eq(read_as(REQUEST_CANCEL, "{\"tasks\": [\"1-a-10\"], \"reason\": \"x\"}"), 200);
    cr_expect_eq(demand.tasks[0].generation, 16);
    demand_free(&demand);
}

Test(demand, what_is_wrong_is_refused)
{
    static const struct {
        enum request_route route;
        unsigned status;
        const char *body, *why;
    } rows[] = {
        {REQUEST_DRAIN, 400, "", "the body is no JSON: "},
        {REQUEST_DRAIN, 400, "{\"service\": \"a\", \"service\": \"b\", \"reason\": \"x\"}", "the body is no JSON: duplicate"},
        {REQUEST_DRAIN, 400, "[]", "the body is no JSON object; expected are service instance reason by expect"},
        {REQUEST_DRAIN, 422, "{\"service\": \"a\"}", "reason: a text of 1 to 72 bytes is expected"},
        {REQUEST_DRAIN, 422, "{\"service\": \"a\", \"reason\": \"\"}", "reason: a text of 1 to 72 bytes is expected"},
        {REQUEST_DRAIN, 422, "{\"service\": \"a\", \"reason\": \"a\\nb\"}", "reason: a text of 1 to 72 bytes is expected"},
        {REQUEST_DRAIN, 422, "{\"service\": \"a\", \"reason\": \"\\u0085\"}", "reason: a text of 1 to 72 bytes is expected"},
        {REQUEST_DRAIN, 422, "{\"reason\": \"x\"}", "service: a text of 1 to 255 bytes is expected"},
        {REQUEST_DRAIN, 422, "{\"service\": 1, \"reason\": \"x\"}", "service: a text of"},
        {REQUEST_DRAIN, 422, "{\"service\": \"a\", \"reason\": \"x\", \"weight\": 1}",
         "'weight' is no key of /v1/drain, which takes service"},
        {REQUEST_DRAIN, 422, "{\"service\": \"a\", \"reason\": \"x\", \"expect\": -1}", "expect: a whole number from 0 to"},
        {REQUEST_DRAIN, 422, "{\"service\": \"a\", \"reason\": \"x\", \"by\": \"123456789012345678901234567890123\"}",
         "by: a text of 1 to 32"},
        {REQUEST_WEIGHT, 422, "{\"service\": \"a\", \"reason\": \"x\", \"weight\": 1001}", "weight: a whole number from 0 to 1000"},
        {REQUEST_WEIGHT, 422, "{\"service\": \"a\", \"reason\": \"x\", \"weight\": 1.5}", "weight: a whole number from 0 to 1000"},
        {REQUEST_WEIGHT, 422, "{\"service\": \"a\", \"reason\": \"x\"}", "weight: a whole number from 0 to 1000"},
        {REQUEST_SCALE, 422, "{\"service\": \"a\", \"reason\": \"x\", \"instances\": 0}", "instances: a whole number from 1 to 64"},
        {REQUEST_RETRY, 422, "{\"reason\": \"x\"}", "say which: 'numbers', or 'all': true"},
        {REQUEST_RETRY, 422, "{\"reason\": \"x\", \"all\": false}", "say which: 'numbers', or 'all': true"},
        {REQUEST_RETRY, 422, "{\"reason\": \"x\", \"all\": true, \"numbers\": [1]}", "say which: 'numbers', or 'all': true"},
        {REQUEST_RETRY, 422, "{\"reason\": \"x\", \"all\": 1}", "all: true or false is expected"},
        {REQUEST_RETRY, 422, "{\"reason\": \"x\", \"numbers\": []}", "numbers: a list of 1 to 1000 numbers of entries"},
        {REQUEST_RETRY, 422, "{\"reason\": \"x\", \"numbers\": [1, 0]}", "numbers: what is at place 2 is no number of an entry"},
        {REQUEST_RETRY, 422, "{\"reason\": \"x\", \"numbers\": [1], \"cause\": \"lost\"}", "'numbers' says which"},
        {REQUEST_DISCARD, 422, "{\"reason\": \"x\", \"all\": true, \"older\": \"never\"}", "older: 'never' is not a time"},
        {REQUEST_CANCEL, 422, "{\"reason\": \"x\", \"tasks\": [\"1-1\"]}", "tasks: what is at place 1 is no id of a task"},
        {REQUEST_FORGET, 422, "{\"reason\": \"x\"}", "tasks: a list of 1 to 1000 ids of tasks is expected"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq(read_as(rows[i].route, rows[i].body), rows[i].status, "%s: %s", rows[i].body, verdict.why);
        cr_expect_eq(strncmp(verdict.why, rows[i].why, strlen(rows[i].why)), 0, "%s: %s", rows[i].body, verdict.why);
    }
    demand_free(&demand);
}

Test(demand, a_longer_list_than_may_be_is_refused)
{
    size_t size = 3 * (DEMAND_MOST + 1) + 64, n;
    char *body = malloc(size);

    n = (size_t)snprintf(body, size, "{\"reason\": \"x\", \"numbers\": [1");
    for (unsigned i = 0; i < DEMAND_MOST; i++) n += (size_t)snprintf(body + n, size - n, ",1");
    snprintf(body + n, size - n, "]}");
    cr_expect_eq(read_as(REQUEST_DISCARD, body), 422);
    demand_free(&demand);
    free(body);
}

/* ---- the token */

static char *token_folder_of(void)
{
    static char folder[] = "/tmp/apiary-token-XXXXXX";

    cr_assert_not_null(mkdtemp(folder));
    return folder;
}

Test(token, is_made_once_and_read_by_its_owner_alone)
{
    char *folder = token_folder_of(), path[64], other[64], first[TOKEN_SIZE + 1], next[TOKEN_SIZE + 1], why[TOKEN_WHY] = "";
    struct stat s;

    snprintf(path, sizeof path, "%s/" TOKEN_FILE, folder);
    snprintf(other, sizeof other, "%s/other", folder);
    cr_expect_eq(token_read(folder, first, why), 1);
    cr_assert_eq(token_make(folder, false, why), 0, "%s", why);
    cr_assert_eq(token_read(folder, first, why), 0, "%s", why);
    cr_expect_eq(stat(path, &s), 0);
    cr_expect_eq(s.st_mode & 07777, 0600);
    cr_expect(token_is(first, first));
    cr_assert_eq(token_make(folder, false, why), 0);
    cr_assert_eq(token_read(folder, next, why), 0);
    cr_expect_str_eq(next, first);
    cr_assert_eq(token_make(folder, true, why), 0);
    cr_assert_eq(token_read(folder, next, why), 0);
    cr_expect_str_neq(next, first);
    cr_expect_not(token_is(next, first));
    chmod(path, 0640);
    cr_expect_eq(token_read(folder, next, why), APIARY_ESYS);
    cr_expect_not_null(strstr(why, "with mode 640"), "%s", why);
    chmod(path, 0600);
    cr_expect_eq(truncate(path, 60), 0);
    cr_expect_eq(token_read(folder, next, why), APIARY_ESYS);
    cr_expect_not_null(strstr(why, "is no token"), "%s", why);
    cr_expect_eq(rename(path, other), 0);
    cr_expect_eq(symlink(other, path), 0);
    cr_expect_eq(token_read(folder, next, why), APIARY_ESYS); /* wherever that may lead */
    unlink(path);
    unlink(other);
    cr_expect_eq(rmdir(folder), 0, "something is left in %s", folder);
}
