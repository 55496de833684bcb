/* tests/unit/test_core_config_values.c - numbers, words and sentences of a configuration, each at its edges. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/apiary.h"
#include "core/config.h"

static struct ap_config_error error;

static struct ap_config *parse(const char *text)
{
    struct ap_config *config = NULL;

    error.text[0] = '\0';
    cr_assert_eq(ap_config_parse("f.yaml", text, strlen(text), &config, &error), 0, "%s: %s", text, error.text);
    return config;
}

static int64_t number(char type, const char *text)
{
    char line[128];
    struct ap_config *config;
    int64_t ret;

    snprintf(line, sizeof line, "k: %s", text);
    config = parse(line);
    ret = ap_node_number(ap_config_root(config), "k", type, -77);
    ap_config_free(config);
    return ret;
}

/* -77: it is none. */
Test(config_values, what_is_a_number)
{
    static const struct {
        char type;
        const char *text;
        int64_t value;
    } rows[] = {
        {'i', "0", 0}, {'i', "-0", 0}, {'i', "9", 9}, {'i', "10", 10}, {'i', "1_000", 1000}, {'i', "1_0_9", 109},
        {'i', "1__0", -77}, {'i', "_1", -77}, {'i', "1_", -77}, {'i', "00", -77}, {'i', "09", -77}, {'i', "1/", -77},
        {'i', "/1", -77}, {'i', "1;", -77}, {'i', "1_;", -77}, {'i', "--1", -77}, {'i', "-a", -77}, {'i', "'1'", -77},
        {'i', "9223372036854775807", INT64_MAX}, {'i', "-9223372036854775807", -INT64_MAX},
        {'i', "9223372036854775808", -77}, {'i', "92233720368547758070", -77}, {'i', "1s", -77},
        {'d', "5", 5000000}, {'d', "1ns", 1}, {'d', "1us", 1000}, {'d', "1ms", 1000000}, {'d', "1s", 1000000000},
        {'d', "1m", INT64_C(60000000000)}, {'d', "1h", INT64_C(3600000000000)}, {'d', "'1h'", INT64_C(3600000000000)},
        {'d', "0h", 0}, {'d', "2562047h", INT64_C(2562047) * 3600 * 1000000000}, {'d', "2562048h", -77},
        {'d', "9223372036854", INT64_C(9223372036854000000)}, {'d', "9223372036855", -77}, {'d', "5d", -77}, {'d', "5mss", -77},
        {'d', "-5s", -77}, {'d', "s", -77},
        {'z', "5", 5}, {'z', "5B", 5}, {'z', "1KiB", 1024}, {'z', "1MiB", 1 << 20}, {'z', "1GiB", 1 << 30},
        {'z', "1TiB", INT64_C(1) << 40}, {'z', "8388607TiB", INT64_C(8388607) << 40}, {'z', "8388608TiB", -77}, {'z', "5h", -77},
        {'b', "true", 1}, {'b', "false", 0}, {'b', "True", -77}, {'b', "'true'", -77}, {'b', "tru", -77}, {'b', "1", -77},
        {'s', "5", -77}, {'i', "[1]", -77}, {'d', "{a: 1}", -77},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(number(rows[i].type, rows[i].text), rows[i].value, "%c %s", rows[i].type, rows[i].text);
}

/* In the largest unit that divides it. */
Test(config_values, how_a_number_is_shown)
{
    static const struct {
        char type;
        int64_t value;
        const char *text;
    } rows[] = {
        {'i', 0, "0"}, {'i', -1000, "-1000"}, {'i', 1024, "1024"}, {'d', 0, "0"}, {'d', 1, "1ns"}, {'d', 999, "999ns"},
        {'d', 1000, "1us"}, {'d', 1001, "1001ns"}, {'d', 1500000, "1500us"}, {'d', 1000000, "1ms"}, {'d', 1000000000, "1s"},
        {'d', INT64_C(60000000000), "1m"}, {'d', INT64_C(5400000000000), "90m"}, {'d', INT64_C(7200000000000), "2h"},
        {'z', 0, "0"}, {'z', 1, "1B"}, {'z', 1023, "1023B"}, {'z', 1024, "1KiB"}, {'z', 1536, "1536B"}, {'z', 1 << 20, "1MiB"},
        {'z', 1 << 30, "1GiB"}, {'z', INT64_C(1) << 40, "1TiB"}, {'z', INT64_C(3) << 40, "3TiB"},
    };
    char text[32];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ap_number_print(text, sizeof text, rows[i].type, rows[i].value);
        cr_expect_str_eq(text, rows[i].text);
    }
}

/* One slip in a word of three to five letters, two in a longer one; an exchange of neighbours is one. */
Test(config_values, words_that_are_near)
{
    static const struct {
        const char *word, *meant;
        bool near;
    } rows[] = {
        {"ab", "ab", true}, {"ac", "ab", false}, {"a", "ab", false}, {"abc", "ab", false}, {"abx", "abc", true},
        {"ab", "abc", true},
        {"abcd", "abc", true}, {"bac", "abc", true}, {"acb", "abc", true}, {"cba", "abc", false}, {"axx", "abc", false},
        {"xabc", "abc", true}, {"xbc", "abc", true}, {"bc", "abc", true}, {"xabcx", "abc", false}, {"abcxx", "abcde", false},
        {"abcdx", "abcde", true}, {"abxxef", "abcdef", true}, {"axxxef", "abcdef", false}, {"abcd", "abcdef", true},
        {"abc", "abcdef", false}, {"cdef", "abcdef", true}, {"badcef", "abcdef", true}, {"badcfe", "abcdef", false},
        {"abcdefgh", "abcdef", true}, {"abcdefghi", "abcdef", false}, {"abcdefg", "abcdefh", true}, {"", "", true},
        {"", "ab", false}, {"key1", "key2", false}, {"key12", "key1", false}, {"kex1", "key1", true}, {"k1ey", "key1", false},
        {"name@1", "name@2", true}, {"name1@1", "name2@1", false}, {"name", "name@1", false},
        {"abc9", "abc", false}, {"abc0", "abc", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(ap_word_near(rows[i].word, rows[i].meant), rows[i].near, "%s for %s", rows[i].word, rows[i].meant);
    /* Of words longer than 32 letters the first 32 count. */
    cr_expect(ap_word_near("abcdefghijklmnopqrstuvwxyzabcdefxxx", "abcdefghijklmnopqrstuvwxyzabcdefyyy"));
    cr_expect_not(ap_word_near("abcdefghijklmnopqrstuvwxyzabcxxxx", "abcdefghijklmnopqrstuvwxyzabcyyyy"));
    cr_expect_str_eq(ap_word_nearest("abcdef", "abcdxx", "abcdex"), "abcdex");
    cr_expect_str_eq(ap_word_nearest("abcdef", "abcdex", "abcdxx"), "abcdex");
    cr_expect_str_eq(ap_word_nearest("abcdef", "abcdex", "abcdfe"), "abcdex", "the first of equals");
    cr_expect_str_eq(ap_word_nearest("abcdef", "abcdex", "zzz"), "abcdex");
    cr_expect_str_eq(ap_word_nearest("abcdef", NULL, "abcdex"), "abcdex");
}

/* In a text of each size: all that fits with room for the dots, and not a byte behind it. */
Test(config_values, lists_of_every_size)
{
    static const char *const words[] = {"alpha", "be", "gamma"};
    char list[64], want[64];

    for (size_t size = 1; size < 40; size++) {
        bool full = false;

        memset(list, '#', sizeof list);
        list[0] = '\0';
        want[0] = '\0';
        for (size_t i = 0; i < 3; i++) {
            ap_words_add(list, size, words[i]);
            /* A separator, the word, and behind it ", ..." with its end. */
            if (!full && strlen(want) + 2 + strlen(words[i]) + 6 <= size) {
                if (want[0] != '\0') strcat(want, ", ");
                strcat(want, words[i]);
            } else if (!full && strlen(want) + 6 <= size) {
                strcat(want, ", ...");
                full = true;
            }
            cr_expect_str_eq(list, want, "%zu bytes, %zu words: %s, not %s", size, i + 1, list, want);
            for (size_t k = size; k < sizeof list; k++) cr_assert_eq(list[k], '#', "byte %zu of %zu", k, size);
        }
    }
}

/* ---- sentences ------------------------------------------------------------------------------------------------ */

/* A path of 160 bytes is shown whole; of a longer one the end, from the beginning of a letter on. */
Test(config_values, where_it_is)
{
    char file[200];
    struct ap_node at = {.file = file, .line = 7};

    for (size_t n = 159; n <= 162; n++) {
        char want[300];

        memset(file, 'p', sizeof file);
        file[n] = '\0';
        cr_expect_eq(ap_node_refuse(&at, &error, "no"), APIARY_ECONFIG);
        snprintf(want, sizeof want, "%s%s:7: no", n > 160 ? "..." : "", n > 160 ? file + n - 160 : file);
        cr_expect_str_eq(error.text, want);
        cr_expect_eq(ap_node_refuse_line(&at, 0, &error, "no %d", 5), APIARY_ECONFIG);
        snprintf(want, sizeof want, "%s%s: no 5", n > 160 ? "..." : "", n > 160 ? file + n - 160 : file);
        cr_expect_str_eq(error.text, want);
    }
    memset(file, 'p', sizeof file);
    memcpy(file, "\xe2\x82\xac", 3);
    file[161] = '\0';
    ap_node_refuse(&at, &error, "no");
    cr_expect_eq(strncmp(error.text, "...ppp", 6), 0, "%s", error.text);
    cr_expect_eq(strlen(error.text), 3 + 158 + strlen(":7: no"));
    cr_expect_eq(ap_node_refuse(&at, NULL, "no"), APIARY_ECONFIG);
}

Test(config_values, what_prints)
{
    static const struct {
        const char *bytes, *shown;
    } rows[] = {{"\x1f", "?"}, {"\x20", " "}, {"\x7e", "~"}, {"\x7f", "?"}, {"\xc2\x7e", "\xc2~"}, {"\xc2\x80", "??"},
                {"\xc2\x9f", "??"}, {"\xc2\xa0", "\xc2\xa0"}, {"\xc3\x80", "\xc3\x80"}, {"\xc1\x80", "\xc1\x80"}};
    const struct ap_node at = {.file = "f"};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char want[32];

        ap_node_refuse(&at, &error, "%s", rows[i].bytes);
        snprintf(want, sizeof want, "f: %s", rows[i].shown);
        cr_expect_str_eq(error.text, want, "row %zu", i);
    }
}

static const char *refused(const char *text, size_t size)
{
    struct ap_config *config = NULL;

    error.text[0] = '\0';
    cr_expect_eq(ap_config_parse("f.yaml", text, size, &config, &error), APIARY_ECONFIG);
    return error.text;
}

/* Line and column from 1, with what libyaml says of both. */
Test(config_values, where_the_syntax_ends)
{
    cr_expect_str_eq(refused("a: 1\nb: ]\n", 10), "f.yaml:2: not valid YAML: while parsing a block node, did not find expected "
                                                  "node content (column 4)");
    cr_expect_str_eq(refused("a: 1\n\nb: \xff\n", 11),
                     "f.yaml:3: not a text file: invalid leading UTF-8 octet; a configuration is YAML in UTF-8");
    cr_expect_str_eq(refused("\xff\n", 2),
                     "f.yaml:1: not a text file: invalid leading UTF-8 octet; a configuration is YAML in UTF-8");
    cr_expect_str_eq(refused("a: 1\n\tb: 1\n", 11), "f.yaml:2: a tab in the indentation; use spaces");
    cr_expect_str_eq(refused("a:\n  \tb: 1\n  c: 2\n", 18), "f.yaml:2: a tab in the indentation; use spaces");
}

/* Each key of a mapping that has grown several times knows its line. */
Test(config_values, lines_of_many_keys)
{
    char text[4096] = "", want[128];
    size_t n = 0;

    for (unsigned i = 1; i <= 256; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "k%u: %u\n", i % 1000, i % 1000);
        if (i % 3 != 1) continue;
        for (unsigned k = 1; k <= i && i < 256; k += 5) {
            char again[4200];

            snprintf(again, sizeof again, "%sk%u: 0\n", text, k);
            snprintf(want, sizeof want, "f.yaml:%u: k%u: duplicate key, first given in line %u; each key is given once", i + 1, k,
                     k);
            cr_expect_str_eq(refused(again, strlen(again)), want);
        }
    }
    struct ap_config *config = parse(text);
    for (unsigned i = 1; i <= 256; i++) {
        char key[16];

        snprintf(key, sizeof key, "k%u", i % 1000);
        cr_expect_eq(ap_node_key_line(ap_config_root(config), key), i);
        cr_expect_eq(ap_node_number(ap_config_root(config), key, 'i', -1), i);
    }
    ap_config_free(config);
}
