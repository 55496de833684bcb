/* tests/unit/test_kinds_json.c - values through agents: no digit is lost, no text becomes a number. */
#include <inttypes.h>
#include <locale.h>
#include <math.h>

#include "agents/kinds/json.h"
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

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    cr_assert_not_null(value, "%s", text);
    return value;
}

/* ---- the writer -------------------------------------------------------------------------------------------------- */

static void expect_text(const char *given, const char *written)
{
    json_t *value = parse(given);
    char *text = ap_json_text(value);
    cr_assert_str_eq(text, written, "%s is written %s, not %s", given, text, written);
    free(text);
    json_decref(value);
}

Test(json, the_shortest_text_that_reads_back)
{
    expect_text("1700000000123", "1700000000123");
    expect_text("9223372036854775807", "9223372036854775807");
    expect_text("-9223372036854775808", "-9223372036854775808");
    expect_text("1752345678.123456", "1752345678.123456");
    expect_text("0.1", "0.1");
    expect_text("1.10", "1.1");
    expect_text("1700000000123.0", "1700000000123.0");
    expect_text("9007199254740993.0", "9007199254740992.0"); /* not a double; the nearest is */
    expect_text("-0.0", "-0.0");
    expect_text("1E5", "100000.0");
    expect_text("1e15", "1000000000000000.0");
    expect_text("1e16", "1e16");
    expect_text("1e300", "1e300");
    expect_text("1.7976931348623157e308", "1.7976931348623157e308");
    expect_text("2.2250738585072014e-308", "2.2250738585072014e-308");
    expect_text("5e-324", "5e-324");
    expect_text("0.000001", "1e-6");
    expect_text("0.30000000000000004", "0.30000000000000004");
}

Test(json, all_else_as_jansson_writes_it)
{
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "null",
                                        "true",
                                        "false",
                                        "\"\"",
                                        "{\"b\":[1,{\"a\":null},[]],\"a\":\"x\"}",
                                        "\"\\u0001\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\xc3\xa9\xf0\x9f\x90\x9d\x7f\"",
                                        "{\"\\\"\\n\":false}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *value = parse(texts[i]);
        char *ours = ap_json_text(value), *theirs = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        cr_assert_str_eq(ours, theirs);
        free(ours);
        free(theirs);
        json_decref(value);
    }
    cr_assert_null(ap_json_text(NULL));
    json_t *value = json_stringn("a\0b", 3);
    char *text = ap_json_text(value);
    cr_assert_str_eq(text, "\"a\\u0000b\"");
    free(text);
    json_decref(value);
}

/* Doubles of every exponent, read back by another program's rules: jansson's. */
Test(json, every_double_reads_back)
{
    uint64_t random = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        double x, y;
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        memcpy(&x, &random, sizeof x);
        if (!isfinite(x)) continue;
        json_t *value = json_real(x);
        char *text = ap_json_text(value), *longest = json_dumps(value, JSON_ENCODE_ANY);
        json_t *again = parse(text);
        cr_assert(json_is_real(again), "%s", text);
        y = json_real_value(again);
        cr_assert_eq(memcmp(&x, &y, sizeof x), 0, "%a is written %s", x, text);
        cr_assert_leq(strlen(text), strlen(longest) + 1, "%s for %s", text, longest);
        free(text);
        free(longest);
        json_decref(again);
        json_decref(value);
    }
}

/* Where the process has a locale with another decimal point (its own code or a host program's may set one). */
Test(json, the_locale_plays_no_part)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    bool set = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !set; i++)
        set = setlocale(LC_NUMERIC, names[i]) != NULL;
    if (!set) cr_skip_test("no locale with a decimal comma is installed");
    expect_text("1752345678.123456", "1752345678.123456");
    expect_text("1.5e-10", "1.5e-10");
    setlocale(LC_NUMERIC, "C");
}

/* ---- compared ---------------------------------------------------------------------------------------------------- */

static void expect_order(const char *a, const char *b, int order)
{
    json_t *x = parse(a), *y = parse(b);
    cr_assert_eq(ap_json_order(x, y), order, "%s %s", a, b);
    cr_assert_eq(ap_json_order(y, x), order == 2 ? 2 : -order, "%s %s", b, a);
    cr_assert_eq(ap_json_equal(x, y), order == 0, "%s %s", a, b);
    json_decref(x);
    json_decref(y);
}

Test(json, numbers_are_compared_exactly)
{
    expect_order("9007199254740992", "9007199254740993", -1);
    expect_order("9007199254740993", "9007199254740992.0", 1);
    expect_order("9223372036854775807", "9223372036854775808.0", -1);
    expect_order("-9223372036854775808", "-9223372036854775808.0", 0);
    expect_order("-9223372036854775808", "-1e300", 1);
    expect_order("1", "1.0", 0);
    expect_order("1", "1.5", -1);
    expect_order("-1", "-1.5", 1);
    expect_order("0", "-0.0", 0);
    expect_order("0.1", "0.2", -1);
    expect_order("\"a\"", "\"b\"", -1);
    expect_order("\"1\"", "1", 2);
}

Test(json, equality_goes_inside)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } pairs[] = {
        {"[1]", "[1.0]", true},
        {"[1,2]", "[1]", false},
        {"[9007199254740992]", "[9007199254740993]", false},
        {"{\"a\":[1],\"b\":null}", "{\"b\":null,\"a\":[1.0]}", true},
        {"{\"a\":1}", "{\"b\":1}", false},
        {"{\"a\":1}", "{\"a\":1,\"b\":1}", false},
        {"{}", "[]", false},
        {"true", "true", true},
        {"true", "1", false},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        json_t *a = parse(pairs[i].a), *b = parse(pairs[i].b);
        cr_assert_eq(ap_json_equal(a, b), pairs[i].equal, "%s %s", pairs[i].a, pairs[i].b);
        json_decref(a);
        json_decref(b);
    }
}

Test(json, a_member_is_found_by_its_path)
{
    json_t *o = parse("{\"a.b\":1,\"a\":{\"b\":2,\"c\":{\"d.e\":3}},\"x.y\":{\"z\":4},\"\":5,\"p.\":6}");
    static const struct {
        const char *path;
        int value; /* 0: none */
    } paths[] = {{"a.b", 1},   {"a.c.d.e", 3}, {"x.y.z", 4}, {"", 5},  {"p.", 6},
                 {"a.b.c", 0}, {"x.y.q", 0},   {"y", 0},     {".", 0}, {"..", 0}};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        cr_assert_eq(json_integer_value(ap_json_member(o, paths[i].path)), paths[i].value, "%s", paths[i].path);
    cr_assert_null(ap_json_member(NULL, "a"));
    json_decref(o);
}

/* ---- through agents ---------------------------------------------------------------------------------------------- */

Test(numbers, a_reply_has_every_digit)
{
    open_kind("statistics", NULL);
    fake_expect_part(agent, "statistics", "{\"values\":[1700000000123,1700000000456]}",
                     "\"min\":1700000000123.0,\"median\":1700000000289.5,\"max\":1700000000456.0}");
    fake_expect_failure(agent, "statistics", "{\"values\":[1,123456789012345678901]}", 400,
                        "line 1, column 34: too big integer; a whole number has 64 bits");
    fake_expect_failure(agent, "statistics", "{\"values\":[1e400]}", 400, "real number overflow");
    done();
    open_kind("text", NULL);
    fake_expect(agent, "template_rendering",
                "{\"template\":\"{{t}} {{n}}\",\"values\":{\"t\":1752345678.123456,\"n\":9223372036854775807}}",
                "1752345678.123456 9223372036854775807");
    done();
    open_kind("convert", NULL);
    fake_expect_part(agent, "format_conversion",
                     "{\"from\":\"json\",\"to\":\"csv\",\"rows\":[{\"t\":1752345678.123456,\"n\":9007199254740993}]}",
                     "1752345678.123456,9007199254740993");
    done();
}

Test(numbers, a_record_is_the_bytes_whose_sum_is_told)
{
    char folder[] = "/tmp/apiary-test-XXXXXX", command[64], sum[65], wanted[65];
    cr_assert_not_null(mkdtemp(folder));
    const struct fake_key config[] = {{"directory", folder, 0, NULL},
                                      {"max_file", NULL, 1 << 20, NULL},
                                      {"quota", NULL, 1 << 20, NULL},
                                      {NULL, NULL, 0, NULL}};
    open_kind("storage_files", config);
    char *reply = fake_call(agent, "data_persistence", "{\"op\":\"put\",\"key\":\"a\",\"value\":1752345678.123456}");
    cr_assert_eq(sscanf(reply, "{\"stored\":true,\"sha256\":\"%64[0-9a-f]", sum), 1, "%s", reply);
    free(reply);
    /* what anyone gets of the text that comes back */
    snprintf(command, sizeof command, "printf %%s 1752345678.123456 | sha256sum");
    FILE *tool = popen(command, "r");
    cr_assert_eq(fscanf(tool, "%64[0-9a-f]", wanted), 1);
    pclose(tool);
    cr_assert_str_eq(sum, wanted);
    fake_expect_part(agent, "data_persistence", "{\"op\":\"get\",\"key\":\"a\"}", "\"value\":1752345678.123456,");
    done();
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

#define LONG_KEY \
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" \
    "kkkkkkkkkkkkkkkk" \
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" \
    "kkkk"

static void expect_rule(const char *condition, const char *facts, bool fires)
{
    char request[2048];
    snprintf(request, sizeof request, "{\"rules\":[{\"name\":\"r\",\"if\":[%s]}],\"facts\":%s}", condition, facts);
    fake_expect(agent, "business_rules", request,
                fires ? "{\"fired\":[{\"rule\":\"r\",\"then\":null}]}" : "{\"fired\":[]}");
}

Test(numbers, rules_compare_exactly_and_find_every_member)
{
    open_kind("rules", NULL);
    expect_rule("[\"n\",\"==\",9007199254740993]", "{\"n\":9007199254740992}", false);
    expect_rule("[\"n\",\"==\",9007199254740993]", "{\"n\":9007199254740993}", true);
    expect_rule("[\"n\",\"in\",[9007199254740993]]", "{\"n\":9007199254740992}", false);
    expect_rule("[\"n\",\"<\",9007199254740993]", "{\"n\":9007199254740992}", true);
    expect_rule("[\"n\",\"==\",[1]]", "{\"n\":[1.0]}", true);
    expect_rule("[\"a.b\",\"absent\"]", "{\"a.b\":1}", false);
    expect_rule("[\"a.b\",\"present\"]", "{\"a\":{\"b\":1}}", true);
    expect_rule("[\"" LONG_KEY "\",\"absent\"]", "{\"" LONG_KEY "\":1}", false);
    fake_expect_part(agent, "compliance",
                     "{\"policy\":[{\"name\":\"p\",\"require\":[\"a.b\",\"==\",2]}],\"record\":{\"a.b\":1}}",
                     "\"found\":1");
    done();
    open_kind("text", NULL);
    fake_expect(agent, "template_rendering", "{\"template\":\"{{" LONG_KEY "}}\",\"values\":{\"" LONG_KEY "\":1}}",
                "1");
    done();
}

Test(numbers, out_of_range_is_no_lack_of_memory)
{
    static const struct {
        const char *kind, *capability, *request, *why;
    } cases[] = {
        {"statistics", "statistics", "{\"values\":[1e308,1e308]}", "the sum of the values is out of range"},
        {"statistics", "statistics", "{\"values\":[1e200,-1e200]}", "the sum of their squares is out of range"},
        {"clusters", "clustering", "{\"points\":[[1e200],[-1e200]],\"k\":1}",
         "the distance of two points is out of range"},
        {"clusters", "clustering", "{\"points\":[[1.1e308],[1.1e308]],\"k\":1}",
         "is out of range"},
        {"regression", "model_training", "{\"points\":[[1e200,1],[2,2]]}", "so large that its square is out of range"},
        {"regression", "prediction", "{\"slope\":1e300,\"intercept\":0,\"x\":[1,1e300]}",
         "a prediction is out of range"},
        {"schedule", "task_scheduling", "{\"tasks\":{\"a\":{\"takes\":1e308},\"b\":{\"takes\":1e308}}}",
         "the sum of what tasks take is out of range"},
        {"query_optimizer", "query_optimization", "{\"tables\":{\"a\":1e308,\"b\":1e308},\"joins\":[]}",
         "a number of the answer is out of range"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_kind(cases[i].kind, NULL);
        fake_expect_failure(agent, cases[i].capability, cases[i].request, 400, cases[i].why);
        done();
    }
}

Test(numbers, a_model_that_is_none_is_not_kept)
{
    open_kind("regression", NULL);
    fake_expect_part(agent, "model_training", "{\"name\":\"m\",\"points\":[[1e80,1e80],[2e80,2e80]]}",
                     "\"slope\":1.0,\"intercept\":0.0,\"r2\":1.0");
    fake_expect_failure(agent, "model_training", "{\"name\":\"n\",\"points\":[[1,1e200],[2,-1e200]]}", 400,
                        "out of range");
    fake_expect_failure(agent, "prediction", "{\"name\":\"n\",\"x\":[1]}", 404, "no model \"n\"");
    done();
}
