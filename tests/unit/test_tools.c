/* What the command-line programs share: durations, task ids, printable text, exit codes. */
#include <criterion/criterion.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/common.h"

Test(tools, durations)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"1", 1000000},       {"250ms", 250000000}, {"5s", UINT64_C(5000000000)}, {"2m", UINT64_C(120000000000)},
                {"1h", UINT64_C(3600000000000)}, {"1.5s", 1500000000}, {"10us", 10000}, {"7ns", 7}};
    static const char *const bad[] = {"", "s", "-1", "+1", " 1", "1 s", "5sec", "0", "0s", "0x10", "nan", "inf", "1e300s", "1e99",
                                      "99999999999h", "5s5"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t ns = 0;
        cr_expect_eq(tool_duration(good[i].text, &ns), 0, "%s", good[i].text);
        cr_expect_eq(ns, good[i].ns, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t ns = 42;
        cr_expect_eq(tool_duration(bad[i], &ns), APIARY_EINVAL, "'%s'", bad[i]);
        cr_expect_eq(ns, 42, "'%s' left a value", bad[i]);
    }
}

Test(tools, shown_durations)
{
    char text[32];
    cr_expect_str_eq(tool_format_duration(812, text), "812 ns");
    cr_expect_str_eq(tool_format_duration(35200, text), "35.2 us");
    cr_expect_str_eq(tool_format_duration(1500000, text), "1.50 ms");
    cr_expect_str_eq(tool_format_duration(UINT64_C(12300000000), text), "12.3 s");
    cr_expect_str_eq(tool_format_duration(UINT64_C(250000000000), text), "4m 10s");
    cr_expect_str_eq(tool_format_duration(UINT64_MAX, text), "213503d 23h");
    cr_expect_str_eq(tool_format_bytes(1023, text), "1023 B");
    cr_expect_str_eq(tool_format_bytes(1536, text), "1.5 KiB");
}

Test(tools, task_ids_go_round)
{
    apiary_task_t back, task = {.slot = UINT32_MAX, .epoch = 0xabc, .generation = UINT64_MAX};
    char text[48];
    cr_assert_eq(tool_parse_task(tool_format_task(task, text), &back), 0);
    cr_expect(back.slot == task.slot && back.epoch == task.epoch && back.generation == task.generation);
    static const char *const bad[] = {"", "1", "1-2", "1-2-3-4", "-1-2-3", "1--2", "1-2-", "x-1-2", "1-2-3 ", "100000000-0-0",
                                      "0-0-10000000000000000", "1 -2-3", "1-+2-3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(tool_parse_task(bad[i], &back), APIARY_EINVAL, "'%s'", bad[i]);
}

Test(tools, nothing_unprintable_is_shown)
{
    static const struct {
        const char *from, *to;
    } cases[] = {{"plain", "plain"},
                 {"\033[31mred", "\\x1b[31mred"},
                 {"a\nb\tc\r", "a\\nb\\tc\\x0d"},
                 {"\xc3\xa9", "\xc3\xa9"},
                 {"\xc2\x9b", "\\xc2\\x9b"},         /* a control of Latin-1 */
                 {"\xc0\xaf", "\\xc0\\xaf"},         /* overlong */
                 {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
                 {"\xf0\x9f\x90\x9d", "\xf0\x9f\x90\x9d"},
                 {"\xf0\x9f\x90", "\\xf0\\x9f\\x90"},
                 {"\xff", "\\xff"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *shown = tool_printable(cases[i].from, strlen(cases[i].from));
        cr_expect_str_eq(shown, cases[i].to);
        json_t *text = tool_json_text(cases[i].from);
        cr_expect_not_null(text);
        json_decref(text);
        free(shown);
    }
}

/* JSON's integers have a sign. */
Test(tools, numbers_of_json_are_whole)
{
    static const struct {
        uint64_t number;
        const char *json;
    } cases[] = {{0, "0"},
                 {INT64_MAX, "9223372036854775807"},
                 {UINT64_C(1) << 63, "\"9223372036854775808\""},
                 {UINT64_MAX, "\"18446744073709551615\""}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *number = tool_json_number(cases[i].number);
        char *text = json_dumps(number, JSON_ENCODE_ANY);

        cr_expect_str_eq(text, cases[i].json);
        free(text);
        json_decref(number);
    }
}

Test(tools, every_error_has_an_exit_code)
{
#define X(name, number, text, advice) \
    cr_expect(tool_exit_code(name) != TOOL_OK, #name); \
    cr_expect(apiary_retry_after(name) == 0 || tool_exit_code(name) == TOOL_FULL, #name);
#include "core/apiary_error.def"
#undef X
    cr_expect_eq(tool_exit_code(0), TOOL_OK);
    cr_expect_eq(tool_exit_code(APIARY_ECONFIG), TOOL_CONFIG);
    cr_expect_eq(tool_exit_code(APIARY_EVERSION), TOOL_NO_SEGMENT);
    cr_expect_eq(tool_exit_code(APIARY_ETIMENS), TOOL_NO_SEGMENT);
    cr_expect_eq(tool_exit_code(APIARY_ENOCAP), TOOL_NO_PROVIDER);
    cr_expect_eq(tool_exit_code(APIARY_EQUEUEFULL), TOOL_FULL);
    cr_expect_eq(tool_exit_code(APIARY_ETOOLARGE), TOOL_TOO_LARGE);
    cr_expect_eq(tool_exit_code(APIARY_ETIMEDOUT), TOOL_TIMEOUT);
    cr_expect_eq(tool_exit_code(APIARY_EAGENT), TOOL_FAILED);
}

static int parse(struct tool *t, const char **value, bool *flag, int count, char **words, int *argc, char ***argv)
{
    static const struct tool_usage usage = {.command = "x", .arguments = "[A]", .what = "", .most = 1, .json = true};
    const struct tool_option options[] = {
        {"value", 'v', "V", "", value, NULL}, {"flag", 0, NULL, "", NULL, flag}, {.name = NULL}};
    *argc = count;
    *argv = words;
    return tool_parse(t, &usage, options, argc, argv);
}

Test(tools, options)
{
    struct tool t = {.program = "test"};
    const char *value = NULL;
    bool flag = false;
    int argc;
    char **argv;
    char *mixed[] = {"x", "a", "-v", "1", "--flag", "--json", "--segment=/s", NULL};
    cr_assert_eq(parse(&t, &value, &flag, 7, mixed, &argc, &argv), TOOL_GO_ON);
    cr_expect(argc == 1 && strcmp(argv[0], "a") == 0 && strcmp(value, "1") == 0 && flag && t.json);
    cr_expect_str_eq(t.segment, "/s");
    char *dash[] = {"x", "-v1", "--", "--flag", NULL};
    flag = false;
    cr_assert_eq(parse(&t, &value, &flag, 4, dash, &argc, &argv), TOOL_GO_ON);
    cr_expect(argc == 1 && strcmp(argv[0], "--flag") == 0 && !flag);
    char *many[] = {"x", "a", "b", NULL};
    cr_expect_eq(parse(&t, &value, &flag, 3, many, &argc, &argv), TOOL_USAGE);
    char *unknown[] = {"x", "--nothing", NULL};
    cr_expect_eq(parse(&t, &value, &flag, 2, unknown, &argc, &argv), TOOL_USAGE);
    char *lacking[] = {"x", "-v", NULL};
    cr_expect_eq(parse(&t, &value, &flag, 2, lacking, &argc, &argv), TOOL_USAGE);
}

Test(tools, the_segment_is_named_by_option_then_environment_then_configuration)
{
    struct tool t = {.program = "test", .segment = "mine"};
    setenv("APIARY_SEGMENT", "/theirs", 1);
    cr_expect_str_eq(tool_segment(&t, "/file"), "/mine");
    t.segment = NULL;
    cr_expect_str_eq(tool_segment(&t, "/file"), "/theirs");
    unsetenv("APIARY_SEGMENT");
    cr_expect_str_eq(tool_segment(&t, "/file"), "/file");
    cr_expect_str_eq(tool_segment(&t, NULL), APIARY_DEFAULT_SEGMENT);
}

/* A wide character, one with another that combines with it, and a bee. */
#define WIDE "\xe6\x97\xa5"
#define COMBINING "e\xcc\x81"
#define EMOJI "\xf0\x9f\x90\x9d"

Test(tools, a_text_has_the_columns_that_a_terminal_gives_it)
{
    static const struct {
        const char *text;
        size_t columns;
    } texts[] = {
        {"", 0}, {"abc", 3}, {WIDE WIDE, 4}, {COMBINING "a", 2}, {EMOJI, 2}, {"\xc3\xa9", 1}, {"a\xe2\x80\x8b" "b", 2},
        {"\xff\xfe", 2}, {"\xe6\x97", 2}, {"\xed\xa0\x80", 3}, {"\xf4\x8f\xbf\xbf", 1}, {"\x80" WIDE, 3},
    };
    for (int utf8 = 0; utf8 < 2; utf8++) {
        if (setlocale(LC_ALL, utf8 != 0 ? "C.UTF-8" : "C") == NULL) cr_skip_test("there is no locale C.UTF-8");
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            size_t columns = 99, n = strlen(texts[i].text);
            cr_expect_eq(tool_width(texts[i].text), texts[i].columns, "text %zu in locale %d: %zu", i, utf8,
                         tool_width(texts[i].text));
            cr_expect_eq(tool_width_bytes(texts[i].text, texts[i].columns, &columns), n, "text %zu fits", i);
            cr_expect_eq(columns, texts[i].columns);
        }
    }
    size_t columns = 99;
    cr_expect_eq(tool_width_bytes("ab" WIDE "c", 3, &columns), 2, "half of a character is none");
    cr_expect_eq(columns, 2);
    cr_expect_eq(tool_width_bytes(COMBINING "a", 1, &columns), 3, "what combines goes with what it combines with");
    cr_expect_eq(columns, 1);
    cr_expect_eq(tool_width_bytes("a", 0, NULL), 0);
}

Test(tools, columns_of_a_table_are_those_of_the_terminal)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert_not_null(out);
    struct tool_table *table = tool_table_new((const char *const[]){"a", "b", NULL});
    static const char *const cells[] = {"abcd", (WIDE WIDE), (COMBINING "bcd"), ("ab" EMOJI), "\xff", WIDE};
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        tool_table_add(table, (const char *const[]){cells[i], "-", NULL});
    tool_table_print(table, out);
    fclose(out);
    cr_expect_str_eq(text,
                     "a     b\nabcd  -\n" WIDE WIDE "  -\n" COMBINING "bcd  -\nab" EMOJI "  -\n\\xff  -\n" WIDE "    -\n", "%s",
                     text);
    free(text);
}

Test(tools, a_cell_may_begin_with_anything)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert_not_null(out);
    struct tool_table *table = tool_table_new((const char *const[]){"name", ">n", NULL});
    static const char *const cells[] = {"!a", "+b", "~c", "=d", ">e"};
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        tool_table_add(table, (const char *const[]){cells[i], "-1", NULL});
        tool_table_mark(table, 0, '!');
    }
    tool_table_print(table, out);
    fclose(out);
    cr_expect_str_eq(text, "name   n\n!a    -1\n+b    -1\n~c    -1\n=d    -1\n>e    -1\n", "%s", text);
    free(text);
}
