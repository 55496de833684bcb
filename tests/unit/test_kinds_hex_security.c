/* tests/unit/test_kinds_hex_security.c - versions, packages, signatures, passwords, roles. */
#include <jansson.h>
#include <sys/resource.h>
#include <time.h>

#include "agents/hex_server/version.h"
#include "tests/unit/fake_agent.h"

static struct apiary_agent *agent;

static void open_kind(const char *kind, const struct fake_key *config)
{
    fake_open();
    cr_assert_eq(fake_create(kind, config, &agent), 0, "%s", agent->log);
}

static void done(void)
{
    fake_destroy(agent);
    fake_close();
}

static void refused(const char *kind, struct fake_key key, const char *why)
{
    const struct fake_key config[] = {key, {NULL, NULL, 0, NULL}};
    fake_open();
    cr_assert_eq(fake_create(kind, config, &agent), APIARY_ECONFIG);
    cr_assert_not_null(strstr(agent->log, why), "%s", agent->log);
    agent->state = NULL;
    done();
}

/* ---- hex --------------------------------------------------------------------------------------------------------- */

Test(version, order_is_semvers)
{
    /* The example of semver.org, paragraph 11, and its neighbours. */
    static const char *const ascending[] = {
        "0.0.1",      "0.9.0",        "1.0.0-alpha",   "1.0.0-alpha.1", "1.0.0-alpha.beta",
        "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",    "1.0.0",
        "1.0.1",      "1.2.0",        "1.10.0",        "2.0.0-0",       "2.0.0"};
    enum { COUNT = sizeof ascending / sizeof *ascending };
    struct ap_version v[COUNT];
    for (int i = 0; i < COUNT; i++)
        cr_assert(ap_version_parse(ascending[i], strlen(ascending[i]), false, &v[i]), "%s", ascending[i]);
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < COUNT; k++)
            cr_assert_eq(ap_version_compare(&v[i], &v[k]), (i > k) - (i < k), "%s and %s", ascending[i], ascending[k]);
    struct ap_version build;
    cr_assert(ap_version_parse("1.0.0+build.7", 13, false, &build));
    cr_assert_eq(ap_version_compare(&build, &v[9]), 0);
}

Test(version, malformed_ones_are_refused)
{
    static const char *const bad[] = {
        "",       "1",      "1.2",           "1.2.3.4",  "01.2.3", "1.02.3", "1.2.03", "1.2.x",
        "v1.2.3", "1.2.3-", "1.2.3-a..b",    "1.2.3-01", "1.2.3+", "1.2.3 ", " 1.2.3", "1.2.3-\xC3\xBC",
        "-1.2.3", "1..3",   "1.2.3-\xD9\xA3"};
    struct ap_version v;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!ap_version_parse(bad[i], strlen(bad[i]), false, &v), "\"%s\" is taken", bad[i]);
    cr_assert(ap_version_parse("1.2", 3, true, &v));
    cr_assert(!ap_version_parse("1", 1, true, &v));
}

Test(version, requirements_as_elixir_reads_them)
{
    static const struct {
        const char *requirement, *version;
        bool matches;
    } cases[] = {
        {"1.2.3", "1.2.3", true},
        {"== 1.2.3", "1.2.4", false},
        {"!= 1.2.3", "1.2.4", true},
        {">= 1.2.3", "1.2.3", true},
        {"> 1.2.3", "1.2.3", false},
        {"<= 1.2.3", "1.2.3", true},
        {"< 1.2.3", "1.2.2", true},
        {"~> 1.2", "1.9.0", true},
        {"~> 1.2", "2.0.0", false},
        {"~> 1.2", "1.1.9", false},
        {"~> 1.2.3", "1.2.9", true},
        {"~> 1.2.3", "1.3.0", false},
        {">= 1.0.0 and < 2.0.0", "1.5.0", true},
        {">= 1.0.0 and < 2.0.0", "2.0.0", false},
        {"< 1.0.0 or > 2.0.0", "2.0.1", true},
        {"< 1.0.0 or > 2.0.0", "1.5.0", false},
        {"== 1.0.0 or > 2.0.0 and < 3.0.0", "1.0.0", true},
        {"== 1.0.0 or > 2.0.0 and < 3.0.0", "3.0.0", false},
        {"> 2.0.0 and < 3.0.0 or == 1.0.0", "1.0.0", true},
        {"> 9.0.0 and < 3.0.0 or == 1.0.0", "2.5.0", false},
        {">= 1.0.0", "2.0.0-rc.1", false},
        {">= 2.0.0-rc.0", "2.0.0-rc.1", true},
        {"~> 2.0-rc.1", "2.0.0", true},
        {">= 1.0.0-rc.1 and < 2.0.0", "1.0.0-rc.2", true},
        {"< 2.0.0", "1.0.0-rc.2", true},
        {"<= 2.0.0", "2.0.0-rc.2", true},
        {"== 1.0.0", "1.0.0-rc.2", false},
        {"> 0.1.0", "1.0.0-rc.2", false},
        {"~> 1.0", "1.1.0-rc.2", false},
        {"! 1.0.0", "1.0.0", false},
        {"!1.0.0", "1.0.1", true},
        {"1.0.20240115123456", "1.0.20240115123456", true},
        {"> 1.0.99999999999999999999", "1.0.100000000000000000000", true},
        {"1.0.0-a234567890123456789012345678901234567890123456789012345678901234567890",
         "1.0.0-a234567890123456789012345678901234567890123456789012345678901234567890", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ap_version v;
        cr_assert(ap_version_parse(cases[i].version, strlen(cases[i].version), false, &v));
        cr_assert(ap_requirement_valid(cases[i].requirement), "%s", cases[i].requirement);
        cr_assert_eq(ap_requirement_match(cases[i].requirement, &v), cases[i].matches, "%s, %s", cases[i].requirement,
                     cases[i].version);
    }
    static const char *const bad[] = {
        "", "~> 1", ">=", "1.2", "1.2.3 and", "and 1.2.3", "1.2.3 xor 1.2.4", "1.2.3, 1.2.4", "=> 1.2.3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!ap_requirement_valid(bad[i]), "\"%s\" is taken", bad[i]);
}

static void publish(const char *name, const char *version, const char *requires)
{
    char request[256];
    snprintf(request, sizeof request, "{\"op\":\"publish\",\"name\":\"%s\",\"version\":\"%s\",\"requires\":{%s}}", name,
             version, requires);
    fake_expect(agent, "package_registry", request, "{\"published\":true}");
}

Test(packages, resolution_goes_back_when_the_newest_does_not_fit)
{
    open_kind("packages", NULL);
    publish("app", "1.0.0", "\"log\":\"~> 2.0\"");
    publish("app", "2.0.0", "\"log\":\"~> 3.0\",\"net\":\"~> 1.0\"");
    publish("net", "1.1.0", "\"log\":\"~> 2.0\"");
    publish("net", "1.0.0", "\"log\":\">= 2.0.0\"");
    publish("log", "2.5.0", "");
    publish("log", "3.1.0", "");
    publish("log", "3.0.0", "");
    fake_expect(agent, "package_management", "{\"requires\":{\"app\":\">= 1.0.0\"}}",
                "{\"resolved\":{\"app\":\"2.0.0\",\"log\":\"3.1.0\",\"net\":\"1.0.0\"}}");
    fake_expect(agent, "package_management", "{\"requires\":{\"app\":\">= 1.0.0\",\"log\":\"~> 2.0\"}}",
                "{\"resolved\":{\"app\":\"1.0.0\",\"log\":\"2.5.0\"}}");
    fake_expect(agent, "package_management", "{\"requires\":{}}", "{\"resolved\":{}}");
    fake_expect_failure(agent, "package_management", "{\"requires\":{\"app\":\">= 9.0.0\"}}", 409, "\"app\"");
    fake_expect_failure(agent, "package_management", "{\"requires\":{\"none\":\">= 1.0.0\"}}", 409, "\"none\"");
    fake_expect_failure(agent, "package_management", "{\"requires\":{\"app\":\"newest\"}}", 400, "not a requirement");
    fake_expect(agent, "package_registry", "{\"op\":\"versions\",\"name\":\"log\"}",
                "{\"name\":\"log\",\"versions\":[\"3.1.0\",\"3.0.0\",\"2.5.0\"]}");
    fake_expect(agent, "package_registry", "{\"op\":\"list\"}", "{\"packages\":[\"app\",\"net\",\"log\"]}");
    fake_expect(agent, "package_registry", "{\"op\":\"publish\",\"name\":\"log\",\"version\":\"3.0.0\"}",
                "{\"published\":false}");
    fake_expect_failure(agent, "package_registry",
                        "{\"op\":\"publish\",\"name\":\"log\",\"version\":\"3.0.0\",\"requires\":{\"a\":\"1.0.0\"}}",
                        409, "never changes");
    fake_expect_failure(agent, "package_registry", "{\"op\":\"publish\",\"name\":\"log\",\"version\":\"3\"}", 400,
                        "not a version");
    fake_expect_failure(agent, "package_registry",
                        "{\"op\":\"publish\",\"name\":\"log\",\"version\":\"4.0.0\",\"requires\":{\"a\":1}}", 400,
                        "\"requires/a\" is not a text");
    fake_expect_failure(agent, "package_registry", "{\"op\":\"versions\",\"name\":\"none\"}", 404, "no package");
    fake_expect_failure(agent, "package_registry", "{\"op\":\"fly\"}", 400, "publish, versions");
    done();
}

Test(packages, versions_are_sorted)
{
    open_kind("versions", NULL);
    fake_expect(agent, "version_sorting", "1.0.0\n1.0.0-rc.1\r\n\n0.10.0\n0.9.0+b\n0.9.0+a\n1.0.20240115123456",
                "0.9.0+b\n0.9.0+a\n0.10.0\n1.0.0-rc.1\n1.0.0\n1.0.20240115123456\n");
    fake_expect(agent, "version_sorting", "", "");
    fake_expect_failure(agent, "version_sorting", "1.0.0\n1.0\n", 400, "line 2 is not a version");
    fake_expect(agent, "version_resolution", "{\"versions\":[\"1.0.0+a\",\"2.0.0\",\"1.0.0+b\"],\"requirement\":\"< 2.0.0\"}",
                "{\"version\":\"1.0.0+a\",\"matching\":[\"1.0.0+a\",\"1.0.0+b\"]}");
    /* A requirement is read for each version: it is bounded. */
    char request[6000] = "{\"versions\":[\"1.0.0\"],\"requirement\":\"1.0.0";
    while (strlen(request) < 5000)
        strcat(request, " or 1.0.0");
    strcat(request, "\"}");
    fake_expect_failure(agent, "version_resolution", request, 413, "at most 4096");
    done();
}

/* Of two packages with thirty versions each nothing is to be tried: the conflict is between two others. */
Test(packages, what_does_not_matter_is_not_tried)
{
    char version[16];
    open_kind("packages", NULL);
    for (int i = 29; i >= 0; i--) {
        snprintf(version, sizeof version, "1.%d.0", i);
        publish("ra", version, i > 0 ? "\"rz\":\"~> 2.0\"" : "\"rz\":\"~> 1.0\"");
        publish("rb", version, "");
        publish("rc", version, "");
    }
    publish("rd", "1.0.0", "\"rz\":\"~> 1.0\"");
    publish("rz", "1.0.0", "");
    publish("rz", "2.0.0", "");
    fake_expect(agent, "package_management",
                "{\"requires\":{\"ra\":\"~> 1.0\",\"rb\":\"~> 1.0\",\"rc\":\"~> 1.0\",\"rd\":\"~> 1.0\"}}",
                "{\"resolved\":{\"ra\":\"1.0.0\",\"rb\":\"1.29.0\",\"rc\":\"1.29.0\",\"rd\":\"1.0.0\",\"rz\":\"1.0.0\"}}");
    fake_expect_failure(agent, "package_management", "{\"requires\":{\"ra\":\"~> 1.1\",\"rd\":\"1.0.0\"}}", 409,
                        "\"ra\" 1.1.0 to 1.29.0 needs \"rz\" ~> 2.0, ");
    fake_expect_failure(agent, "package_management", "{\"requires\":{\"ra\":\"~> 1.1\",\"rd\":\"1.0.0\"}}", 409,
                        "the request cannot be met.");
    done();
}

/* A version that needs a version of itself: with it, or with another one, which is then never chosen. */
Test(packages, a_package_may_need_itself)
{
    open_kind("packages", NULL);
    publish("a", "1.0.0", "\"a\":\">= 1.0.0\"");
    publish("a", "2.0.0", "\"a\":\"< 2.0.0\"");
    fake_expect(agent, "package_management", "{\"requires\":{\"a\":\">= 1.0.0\"}}", "{\"resolved\":{\"a\":\"1.0.0\"}}");
    fake_expect_failure(agent, "package_management", "{\"requires\":{\"a\":\"> 1.0.0\"}}", 409,
                        "needs \"a\" < 2.0.0, which it is not, ");
    done();
}

Test(packages, an_impossible_search_ends)
{
    char name[16], requires[80];
    open_kind("packages", NULL);
    for (int p = 0; p < 20; p++)
        for (int v = 1; v <= 8; v++) {
            char version[24];
            snprintf(name, sizeof name, "p%d", p);
            snprintf(version, sizeof version, "%d.0.0", v);
            snprintf(requires, sizeof requires, "\"p%d\":\">= 1.0.0\"%s", p + 1, p == 19 ? ",\"p0\":\">= 9.0.0\"" : "");
            publish(name, version, p == 19 ? "\"p0\":\">= 9.0.0\"" : requires);
        }
    fake_expect_failure(agent, "package_management", "{\"requires\":{\"p0\":\">= 1.0.0\"}}", 409,
                        "\"p19\" needs \"p0\" >= 9.0.0, which no published version meets");
    done();
}

/* Of a long way to the conflict the last forty sentences are told. */
Test(packages, a_long_explanation_is_cut_at_its_beginning)
{
    char name[16], requires[80];
    open_kind("packages", NULL);
    for (int p = 0; p < 60; p++) {
        snprintf(name, sizeof name, "q%d", p);
        snprintf(requires, sizeof requires, "\"q%d\":\"%s 1.0.0\"", p + 1, p == 59 ? ">" : ">=");
        publish(name, "1.0.0", requires);
    }
    publish("q60", "1.0.0", "");
    fake_expect_failure(agent, "package_management", "{\"requires\":{\"q0\":\">= 1.0.0\"}}", 409,
                        "21. Since every \"q0\" needs every \"q21\" (20), and ");
    fake_expect_failure(agent, "package_management", "{\"requires\":{\"q0\":\">= 1.0.0\"}}", 409, "60. Since ");
    done();
}

/* ---- security ---------------------------------------------------------------------------------------------------- */

Test(signer, macs_are_compared_and_tokens_checked)
{
    open_kind("signer", NULL);
    char request[600];
    fake_expect(agent, "message_authentication",
                "{\"op\":\"verify\",\"key\":\"Jefe\",\"message\":\"what do ya want for nothing?\","
                "\"mac\":\"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\"}",
                "{\"valid\":true}");
    fake_expect(agent, "message_authentication",
                "{\"op\":\"verify\",\"key\":\"Jefe\",\"message\":\"what do ya want for nothing?\","
                "\"mac\":\"5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843\"}",
                "{\"valid\":false}"); /* a code has one text */
    fake_expect(agent, "message_authentication",
                "{\"op\":\"verify\",\"key\":\"Jefe\",\"message\":\"x\",\"mac\":\"5bdc\"}", "{\"valid\":false}");
    char *mac = fake_call(agent, "message_authentication", "{\"op\":\"sign\",\"message\":\"own key\"}");
    snprintf(request, sizeof request, "{\"op\":\"verify\",\"message\":\"own key\",%.*s}", 72, mac + 1);
    fake_expect(agent, "message_authentication", request, "{\"valid\":true}");
    free(mac);
    char *token = fake_call(agent, "token_management", "{\"op\":\"issue\",\"subject\":\"bee \xC3\xBC\",\"ttl_s\":100}");
    char *text = strstr(token, "\"token\":\"") + 9;
    *strchr(text, '"') = '\0';
    snprintf(request, sizeof request, "{\"op\":\"check\",\"token\":\"%s\"}", text);
    fake_expect_part(agent, "token_management", request, "{\"valid\":true,\"subject\":\"bee \xC3\xBC\",\"expires\":");
    for (size_t i = 0; text[i]; i++) { /* no byte of it may be changed */
        char was = text[i];
        text[i] = was == '0' ? '1' : '0';
        snprintf(request, sizeof request, "{\"op\":\"check\",\"token\":\"%s\"}", text);
        fake_expect(agent, "token_management", request, "{\"valid\":false,\"because\":\"not a token of this signer\"}");
        text[i] = was;
    }
    snprintf(request, sizeof request, "{\"op\":\"check\",\"token\":\"%s\"}", text);
    struct apiary_agent *other;
    cr_assert_eq(fake_create("signer", NULL, &other), 0);
    fake_expect_part(other, "token_management", request, "\"valid\":false"); /* another start, another key */
    fake_destroy(other);
    free(token);
    fake_expect_failure(agent, "token_management", "{\"op\":\"issue\",\"subject\":\"\"}", 400, "\"subject\" has 0 "
                        "characters; 1 to 200 are allowed");
    fake_expect_failure(agent, "token_management", "{\"op\":\"issue\",\"subject\":\"x\",\"ttl_s\":0}", 400, "ttl_s");
    fake_expect_failure(agent, "token_management", "{\"op\":\"fly\"}", 400, "issue, check");
    fake_expect_failure(agent, "message_authentication", "{\"op\":\"fly\",\"message\":\"\"}", 400, "sign, verify");
    done();
}

/* Whoever may have messages signed must not be able to make tokens of them. */
Test(signer, a_signed_message_is_no_token)
{
    static const char head[] = "626565.4102444800"; /* "bee", until 2100 */
    open_kind("signer", NULL);
    char request[300];
    snprintf(request, sizeof request, "{\"op\":\"sign\",\"message\":\"%s\"}", head);
    char *mac = fake_call(agent, "message_authentication", request);
    snprintf(request, sizeof request, "{\"op\":\"check\",\"token\":\"%s.%.64s\"}", head, strstr(mac, "\"mac\":\"") + 7);
    fake_expect(agent, "token_management", request, "{\"valid\":false,\"because\":\"not a token of this signer\"}");
    free(mac);
    done();
}

/* Tokens of one second, issued all over a second: each is good when it is looked at at once. */
Test(signer, a_token_lives_as_long_as_it_says)
{
    open_kind("signer", NULL);
    struct timespec start, now;
    clock_gettime(CLOCK_REALTIME, &start);
    do {
        char request[300];
        char *token = fake_call(agent, "token_management", "{\"op\":\"issue\",\"subject\":\"bee\",\"ttl_s\":1}");
        char *text = strstr(token, "\"token\":\"") + 9;
        clock_gettime(CLOCK_REALTIME, &now);
        json_int_t expires = strtoll(strstr(text, "\"expires\":") + 10, NULL, 10);
        cr_assert((expires - now.tv_sec) * 1000000000LL - now.tv_nsec > 900000000, "%lld at %lld.%09ld", (long long)expires,
                  (long long)now.tv_sec, now.tv_nsec);
        *strchr(text, '"') = '\0';
        snprintf(request, sizeof request, "{\"op\":\"check\",\"token\":\"%s\"}", text);
        fake_expect_part(agent, "token_management", request, "{\"valid\":true,");
        free(token);
    } while ((now.tv_sec - start.tv_sec) * 10 + (now.tv_nsec - start.tv_nsec) / 100000000 < 10);
    done();
}

#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ /* they map memory of their own */
/* Without memory for it a hash says nothing about the password. */
Test(authentication, a_hash_that_cannot_be_computed_is_no_answer)
{
    static const char request[] = "{\"op\":\"verify\",\"password\":\"honey\",\"hash\":\"$argon2id$v=19$m=19456,t=2,p=1$"
                                  "Kq1KLPPv2NcQoO1e3iH5EQ$N48fGFJ8dz5DCpQXUuZy3GREAWYdxSWyz/B34ttwtvc\"}";
    struct rlimit limit, none;
    open_kind("authentication", NULL);
    fake_expect(agent, "authentication", request, "{\"valid\":true}");
    cr_assert_eq(getrlimit(RLIMIT_AS, &limit), 0);
    none = (struct rlimit){1, limit.rlim_max}; /* nothing more can be mapped */
    cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
    struct apiary_job *job = fake_submit(agent, "authentication", request, sizeof request - 1);
    fake_finish(job);
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    cr_assert(job->failed, "%s", job->data);
    cr_assert_eq(job->code, 500);
    cr_assert_not_null(strstr(job->data, "cannot be computed"), "%s", job->data);
    fake_free(job);
    fake_expect_failure(agent, "authentication",
                        "{\"op\":\"verify\",\"password\":\"x\",\"hash\":\"$argon2id$v=19$m=8192,t=2,p=1$rubbish\"}", 400,
                        "not of Argon2id");
    done();
}
#endif

Test(authentication, hashes_verify)
{
    char request[400];
    open_kind("authentication", NULL);
    char *reply = fake_call(agent, "authentication", "{\"op\":\"hash\",\"password\":\"honey\"}");
    char *hash = strstr(reply, "$argon2id$v=19$m=19456,t=2,p=1$");
    cr_assert_not_null(hash, "%s", reply);
    *strchr(hash, '"') = '\0';
    snprintf(request, sizeof request, "{\"op\":\"verify\",\"password\":\"honey\",\"hash\":\"%s\"}", hash);
    fake_expect(agent, "authentication", request, "{\"valid\":true}");
    snprintf(request, sizeof request, "{\"op\":\"verify\",\"password\":\"Honey\",\"hash\":\"%s\"}", hash);
    fake_expect(agent, "authentication", request, "{\"valid\":false}");
    free(reply);
    fake_expect_failure(agent, "authentication", "{\"op\":\"verify\",\"password\":\"x\",\"hash\":\"md5\"}", 400,
                        "not of Argon2id");
    fake_expect_failure(agent, "authentication",
                        "{\"op\":\"verify\",\"password\":\"x\",\"hash\":\"$argon2id$v=19$m=999999,t=2,p=1$\"}", 403,
                        "would cost");
    fake_expect_failure(agent, "authentication",
                        "{\"op\":\"verify\",\"password\":\"x\",\"hash\":\"$argon2id$v=19$m=8,t=99,p=1$\"}", 403,
                        "would cost");
    fake_expect_failure(agent, "authentication", "{\"op\":\"fly\",\"password\":\"x\"}", 400, "hash, verify");
    done();
}

Test(authorization, only_what_a_rule_allows)
{
    const struct fake_key config[] = {
        {"subjects", NULL, 0, FAKE_LIST("root=admin", "bee=reader , writer", "ant=\treader,lazy", "none=lazy")},
        {"rules", NULL, 0, FAKE_LIST("admin * *", "reader read *", "writer write comb/*", "reader list comb", "* rest comb")},
        {NULL, NULL, 0, NULL}};
    static const struct {
        const char *subject, *action, *resource;
        bool allowed;
    } cases[] = {
        {"root", "burn", "all", true},      {"bee", "read", "x", true},       {"bee", "write", "comb/1", true},
        {"bee", "write", "comb", false},    {"bee", "write", "other", false}, {"bee", "list", "comb", true},
        {"bee", "list", "comb2", false},    {"bee", "reads", "x", false},     {"none", "read", "x", false},
        {"nobody", "read", "x", false},     {"", "read", "x", false},         {"be", "read", "x", false},
        {"bee=reader", "read", "x", false}, {"ant", "read", "x", true},       {"ant", "write", "comb/1", false},
        {"none", "rest", "comb", true},     {"nobody", "rest", "comb", false}, {"bee", "write", "comb/..x/.y", true}};
    open_kind("authorization", config);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[200];
        snprintf(request, sizeof request, "{\"subject\":\"%s\",\"action\":\"%s\",\"resource\":\"%s\"}",
                 cases[i].subject, cases[i].action, cases[i].resource);
        fake_expect_part(agent, "authorization", request,
                         cases[i].allowed ? "{\"allowed\":true" : "{\"allowed\":false}");
    }
    static const char *const elsewhere[] = {"comb/../gate", "comb/..", "..", "./comb/1", "comb/./1", "comb/../comb/1"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        char request[200];
        snprintf(request, sizeof request, "{\"subject\":\"bee\",\"action\":\"write\",\"resource\":\"%s\"}", elsewhere[i]);
        fake_expect_failure(agent, "authorization", request, 400, "its own name is wanted");
    }
    fake_expect_failure(agent, "authorization", "{\"subject\":\"bee\",\"action\":\"read\"}", 400,
                        "\"resource\" is missing");
    done();
    refused("authorization", (struct fake_key){"rules", NULL, 0, FAKE_LIST("two words")}, "ROLE ACTION RESOURCE");
    refused("authorization", (struct fake_key){"rules", NULL, 0, FAKE_LIST("one two three four")},
            "ROLE ACTION RESOURCE");
    refused("authorization", (struct fake_key){"subjects", NULL, 0, FAKE_LIST("bee")}, "NAME=ROLE");
    static const char *const lists[] = {"bee=a,", "bee=,a", "bee=a,,b", "bee= ", "bee=a b", "bee=a, ant=b", "bee=*", "bee=a*"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        refused("authorization", (struct fake_key){"subjects", NULL, 0, FAKE_LIST(lists[i])}, "a role is one word");
    refused("authorization", (struct fake_key){"subjects", NULL, 0, FAKE_LIST("bee=")}, "gives its subject no role");
    refused("authorization", (struct fake_key){"subjects", NULL, 0, FAKE_LIST("bee=a, b ,a")}, "a role twice");
    refused("authorization", (struct fake_key){"subjects", NULL, 0, FAKE_LIST("bee=a,a")}, "a role twice");
    refused("authorization", (struct fake_key){"subjects", NULL, 0, FAKE_LIST("bee=a", "be=a", "bee=b")},
            "names its subject again");
    refused("signer", (struct fake_key){"key_file", "/no/such/file", 0, NULL}, "cannot be read");
    refused("signer", (struct fake_key){"key_file", "/etc/passwd", 0, NULL}, "only its owner may read");
}
