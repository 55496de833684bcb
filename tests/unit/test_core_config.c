/* Configuration text: what is read, and the sentence for each thing that is refused. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/apiary.h"
#include "core/config.h"

static struct ap_config_error error;

static struct ap_config *parse(const char *text)
{
    struct ap_config *config = NULL;

    error.text[0] = '\0';
    cr_assert_eq(ap_config_parse("f.yaml", text, strlen(text), &config, &error), 0, "%s", error.text);
    return config;
}

/* The sentence that refuses the text. */
static const char *refused_n(const char *text, size_t size)
{
    struct ap_config *config = (void *)&error;

    error.text[0] = '\0';
    cr_expect_eq(ap_config_parse("f.yaml", text, size, &config, &error), APIARY_ECONFIG, "%.60s", text);
    cr_expect_eq(config, (void *)&error, "outputs are untouched on failure");
    return error.text;
}

static const char *refused(const char *text)
{
    return refused_n(text, strlen(text));
}

static void starts_with(const char *text, const char *start)
{
    cr_expect_eq(strncmp(text, start, strlen(start)), 0, "'%s' begins with '%s'", text, start);
}

static void contains(const char *text, const char *part)
{
    cr_expect_neq(strstr(text, part), NULL, "'%s' contains '%s'", text, part);
}

/* ---- the tree ------------------------------------------------------------------------------------------------- */

Test(config, the_tree_remembers_lines)
{
    struct ap_config *config = parse("# head\n"
                                     "a: one\n"
                                     "list:\n"
                                     "  - x\n"
                                     "  - {k: v,\n"
                                     "     l: w}\n"
                                     "\n"
                                     "'q q': \"two\"\n");
    const struct ap_node *root = ap_config_root(config), *list = ap_node_get(root, "list");

    cr_assert_eq(root->kind, AP_NODE_MAP);
    cr_expect_eq(root->count, 3);
    cr_expect_eq(root->line, 2);
    cr_expect_str_eq(root->file, "f.yaml");
    cr_expect_str_eq(ap_node_text(root, "a", "?"), "one");
    cr_expect_not(ap_node_get(root, "a")->quoted);
    cr_expect(ap_node_get(root, "q q")->quoted);
    cr_expect_eq(ap_node_key_line(root, "list"), 3);
    cr_expect_eq(ap_node_key_line(root, "q q"), 8);
    cr_expect_eq(ap_node_key_line(root, "none"), 0);
    cr_assert_eq(list->kind, AP_NODE_LIST);
    cr_assert_eq(list->count, 2);
    cr_expect_eq(list->items[0]->line, 4);
    cr_expect_eq(list->items[1]->line, 5);
    cr_expect_eq(ap_node_get(list->items[1], "l")->line, 6);
    cr_expect_null(ap_node_get(root, "none"));
    cr_expect_null(ap_node_get(list, "a"), "a list has no keys");
    cr_expect_null(ap_node_get(NULL, "a"));
    cr_expect_str_eq(ap_node_text(root, "list", "other"), "other");
    ap_config_free(config);
}

Test(config, the_name_and_text_may_go_after_parsing)
{
    char name[] = "f.yaml", text[] = "a: one\n";
    struct ap_config *config = NULL;

    cr_assert_eq(ap_config_parse(name, text, sizeof text - 1, &config, NULL), 0);
    memset(name, 'x', sizeof name - 1);
    memset(text, 'x', sizeof text - 1);
    cr_expect_str_eq(ap_node_text(ap_config_root(config), "a", "?"), "one");
    cr_expect_str_eq(ap_config_root(config)->file, "f.yaml");
    ap_config_free(config);
    ap_config_free(NULL);
}

Test(config, large_lists_and_texts)
{
    size_t size = 0;
    char *text = malloc(1 << 20);

    for (int i = 0; i < 60000; i++)
        size += (size_t)sprintf(text + size, "- item %d\n", i);
    struct ap_config *config = parse(text);
    cr_assert_eq(ap_config_root(config)->count, 60000);
    cr_expect_str_eq(ap_config_root(config)->items[59999]->text, "item 59999");
    cr_expect_eq(ap_config_root(config)->items[59999]->line, 60000);
    ap_config_free(config);
    memset(text, 'x', 1 << 20);
    memcpy(text, "k: ", 3);
    text[(1 << 20) - 1] = '\0';
    config = parse(text);
    cr_expect_eq(strlen(ap_node_text(ap_config_root(config), "k", "")), (1 << 20) - 4);
    ap_config_free(config);
    free(text);
}

Test(config, memory_that_lives_with_the_tree)
{
    struct ap_config *config = parse("a: 1");

    for (size_t size = 0; size < 40000; size += 777) {
        unsigned char *bytes = ap_config_alloc(config, size);
        cr_assert_not_null(bytes);
        cr_expect_eq((uintptr_t)bytes % 16, 0);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(bytes[i], 0);
        memset(bytes, 0xff, size);
    }
    cr_expect_null(ap_config_alloc(config, SIZE_MAX - 8));
    cr_expect_str_eq(ap_node_text(ap_config_root(config), "a", "?"), "1");
    ap_config_free(config);
}

/* ---- what no file may be -------------------------------------------------------------------------------------- */

Test(config, refused_syntax)
{
    static const struct {
        const char *text, *sentence;
    } rows[] = {
        {"", "f.yaml:1: the text is empty; expected a mapping of keys"},
        {"# nothing\n\n", "f.yaml:1: the text is empty; expected a mapping of keys"},
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3: a: duplicate key, first given in line 1; each key is given once"},
        {"m: {x: 1,\n y: 2, x: 3}\n", "f.yaml:2: x: duplicate key, first given in line 1; each key is given once"},
        {"a: &x 1\n", "f.yaml:1: an anchor (&) is not supported; write the value out"},
        {"a: 1\nm: &x {b: 1}\n", "f.yaml:2: an anchor (&) is not supported; write the value out"},
        {"a: 1\nb: &x [1]\n", "f.yaml:2: an anchor (&) is not supported; write the value out"},
        {"&x a: 1\n", "f.yaml:1: an anchor (&) is not supported; write the value out"},
        {"a: 1\nb:\n  - *x\n", "f.yaml:3: an alias (*) is not supported; write the value out"},
        {"*x : 1\n", "f.yaml:1: an alias (*) is not supported; write the value out"},
        {"a: !!int 1\n", "f.yaml:1: a tag (!) is not supported; quote the text if '!' belongs to it"},
        {"a: !x {b: 1}\n", "f.yaml:1: a tag (!) is not supported; quote the text if '!' belongs to it"},
        {"\na: !!seq [1]\n", "f.yaml:2: a tag (!) is not supported; quote the text if '!' belongs to it"},
        {"a: 1\n---\nb: 2\n", "f.yaml:2: a second document begins (---); a text holds one"},
        {"? [a, b]\n: 1\n", "f.yaml:1: a key is a list or a mapping; a key is one word"},
        {"a: 1\n? {b: c}\n: 1\n", "f.yaml:2: a key is a list or a mapping; a key is one word"},
        {"'': 1\n", "f.yaml:1: a key is empty; a key is one word"},
        {"a: \"x\\0y\"\n", "f.yaml:1: a text holds a NUL character; leave it out"},
        {"a:\n\tb: 1\n", "f.yaml:2: a tab in the indentation; use spaces"},
        {"a: 1\nb:\n  c: 1\n \t d: 2\n", "f.yaml:4: a tab in the indentation; use spaces"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_str_eq(refused(rows[i].text), rows[i].sentence);
}

Test(config, refused_yaml_errors_name_line_and_column)
{
    static const struct {
        const char *text, *start;
    } rows[] = {
        {"a: [1, 2\nb: 1\n", "f.yaml:2: not valid YAML: "},
        {"a: 1\nb: 'x\n", "f.yaml:3: not valid YAML: "},
        {"a: {b\n", "f.yaml:2: not valid YAML: "},
        {"a: 1\nb: c: d\n", "f.yaml:2: not valid YAML: "},
        {"a: 1\n b: 1\n", "f.yaml:2: not valid YAML: "},
        {"a: @x\n", "f.yaml:1: not valid YAML: "},
        {"%YAML 7.0\n---\na: 1\n", "f.yaml:1: not valid YAML: "},
        {"]", "f.yaml:1: not valid YAML: "},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        starts_with(refused(rows[i].text), rows[i].start);
        contains(error.text, "(column ");
    }
}

Test(config, refused_garbage)
{
    static const char elf[] = "\x7f"
                              "ELF\x02\x01\x01\0\0\0",
                      nul[] = "a: 1\nb: 2\n\0c: 3\n", latin[] = "a: 1\nb: \xe4\n";
    char noise[4096];
    uint32_t random = 2463534242u;

    starts_with(refused_n(elf, sizeof elf - 1), "f.yaml:1: not a text file: ");
    starts_with(refused_n(nul, sizeof nul - 1), "f.yaml:3: not a text file: ");
    starts_with(refused_n(latin, sizeof latin - 1), "f.yaml:2: not a text file: ");
    contains(error.text, "; a configuration is YAML in UTF-8");
    for (size_t i = 0; i < sizeof noise; i++) {
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        noise[i] = (char)random;
    }
    starts_with(refused_n(noise, sizeof noise), "f.yaml:");
}

static const char *nested(const char *open, const char *end, unsigned depth)
{
    static char text[400000];
    size_t n = 0;

    for (unsigned i = 0; i < depth; i++)
        n += (size_t)sprintf(text + n, "%s", open);
    n += (size_t)sprintf(text + n, "x");
    for (unsigned i = 0; i < depth; i++)
        n += (size_t)sprintf(text + n, "%s", end);
    return text;
}

Test(config, refused_nesting)
{
    static const char *const sentence = "f.yaml:1: nested too deeply; at most 16 levels are allowed";

    ap_config_free(parse(nested("[", "]", 15)));
    cr_expect_str_eq(refused(nested("[", "]", 16)), sentence);
    cr_expect_str_eq(refused(nested("[", "]", 100000)), sentence);
    cr_expect_str_eq(refused(nested("[", "", 100000)), sentence);
    cr_expect_str_eq(refused(nested("{a: ", "}", 50000)), sentence);
    cr_expect_str_eq(refused(nested("- ", "", 100000)), sentence);
    starts_with(refused(nested("? ", "", 100000)), "f.yaml:1: ");
    starts_with(refused(nested("{? ", "", 100000)), "f.yaml:1: ");
}

Test(config, refused_sizes)
{
    size_t size = (1 << 20) + 1, n = 0;
    char *text = malloc(size + 64);

    memset(text, '#', size);
    cr_expect_str_eq(refused_n(text, size), "f.yaml:1: the text is larger than 1 MiB, which is the most allowed");
    for (int i = 0; i < 256; i++)
        n += (size_t)sprintf(text + n, "k%d: 1\n", i);
    ap_config_free(parse(text));
    strcpy(text + n, "one_more: 1\n");
    cr_expect_str_eq(refused(text), "f.yaml:257: a mapping has more than 256 keys; at most 256 are allowed");
    n = 0;
    for (int i = 0; i < 65535; i++)
        n += (size_t)sprintf(text + n, "- 1\n");
    ap_config_free(parse(text));
    strcpy(text + n, "- 1\n");
    cr_expect_str_eq(refused(text), "f.yaml:65536: too many values; at most 65536 are allowed");
    free(text);
}

Test(config, no_input_crashes)
{
    static const char sample[] =
        "meta: {port: 4100, \"mode\": '0660', size: 2MiB}\nlist:\n  - a: [1, 'x', \"\\u00e4\"]\n"
        "    b: |\n      text\n    c: >-\n      folded\n  - &x !t *y\n? k\n: v\n# end\n";
    static const char bytes[] = "\0\t\n -:{}[]!&*|>'\"%@`#,?\\\x80\xc3\xff~0a";
    uint64_t random = 88172645463325252u;
    unsigned good = 0, bad = 0;

    for (int round = 0; round < 20000; round++) {
        char text[sizeof sample];
        struct ap_config *config = NULL;
        size_t size = sizeof sample - 1;
        memcpy(text, sample, size);
        for (int change = 0; change < 1 + round % 6; change++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            text[random % size] = bytes[(random >> 32) % (sizeof bytes - 1)];
        }
        if (round % 3 == 0) size = (random >> 40) % size;
        error.text[0] = '\0';
        int r = ap_config_parse("f.yaml", text, size, &config, &error);
        cr_assert(r == 0 || r == APIARY_ECONFIG);
        if (r < 0) starts_with(error.text, "f.yaml:");
        good += r == 0;
        bad += r < 0;
        ap_config_free(config);
    }
    cr_expect_gt(good, 10, "the changes leave some sound");
    cr_expect_gt(bad, 1000);
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

Test(config, files)
{
    struct ap_config *config = NULL;
    char folder[] = "/tmp/apiary-config-XXXXXX", path[64], sentence[200];
    struct rlimit files, none;

    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.yaml", folder);
    cr_expect_eq(ap_config_load(path, &config, &error), APIARY_ECONFIG);
    snprintf(sentence, sizeof sentence,
             "%s: cannot be opened: No such file or directory; give the path of a configuration file", path);
    cr_expect_str_eq(error.text, sentence);
    cr_expect_eq(ap_config_load(folder, &config, &error), APIARY_ECONFIG);
    snprintf(sentence, sizeof sentence, "%s: cannot be read: Is a directory; give the path of a configuration file",
             folder);
    cr_expect_str_eq(error.text, sentence);
    cr_expect_eq(ap_config_load("/dev/zero", &config, &error), APIARY_ECONFIG);
    cr_expect_str_eq(error.text, "/dev/zero:1: the text is larger than 1 MiB, which is the most allowed");
    cr_expect_eq(ap_config_load("/dev/null", &config, &error), APIARY_ECONFIG);
    cr_expect_str_eq(error.text, "/dev/null:1: the text is empty; expected a mapping of keys");
    cr_expect_eq(ap_config_load("/dev/null", &config, NULL), APIARY_ECONFIG, "a sentence need not be wanted");
    /* A machine that is short of descriptors makes no configuration wrong. */
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    none = (struct rlimit){0, files.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    cr_expect_eq(ap_config_load("/dev/null", &config, &error), APIARY_ESYS);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    cr_expect_not_null(strstr(error.text, "cannot be opened: Too many open files"), "%s", error.text);
    cr_expect_null(config);

    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs("a: 1\n", f);
    fclose(f);
    cr_assert_eq(ap_config_load(path, &config, &error), 0, "%s", error.text);
    cr_expect_str_eq(ap_config_root(config)->file, path);
    ap_config_free(config);
    unlink(path);
    rmdir(folder);
}

Test(config, a_long_path_leaves_room_for_the_sentence)
{
    char name[4000];
    struct ap_config *config = NULL;

    memset(name, 'd', sizeof name);
    strcpy(name + sizeof name - 8, "/f.yaml");
    cr_expect_eq(ap_config_parse(name, "a: 1\na: 2\n", 10, &config, &error), APIARY_ECONFIG);
    starts_with(error.text, "...dddd");
    contains(error.text, "dd/f.yaml:2: a: duplicate key, first given in line 1; each key is given once");
}

/* ---- the schema ----------------------------------------------------------------------------------------------- */

static const struct ap_key keys[] = {
    {.name = "name", .type = 's', .required = true, .what = "what it is called"},
    {.name = "workers", .type = 'i', .min = 1, .max = 16},
    {.name = "free", .type = 'i'},
    {.name = "fast", .type = 'b'},
    {.name = "words", .type = 'l'},
    {.name = "timeout", .type = 'd', .min = 1000000, .max = INT64_C(3600000000000)},
    {.name = "size", .type = 'z', .min = 0, .max = 1 << 20},
    {.name = "map", .type = 'm'},
    {.name = "maps", .type = 'L'},
    {.name = "any", .type = 'a'},
    {.name = NULL},
};

static int check(const char *text)
{
    struct ap_config *config = parse(text);
    int r = ap_node_check(ap_config_root(config), keys, &error);
    ap_config_free(config);
    return r;
}

Test(config, allowed_by_the_schema)
{
    static const char *const rows[] = {
        "name: x",
        "name: ''",
        "name: \"null\"",
        "name: 1.0",
        "name: yes",
        "{name: x, workers: 1}",
        "{name: x, workers: 16}",
        "{name: x, workers: 1_0}",
        "{name: x, free: -9223372036854775807}",
        "{name: x, free: 9_223_372_036_854_775_807}",
        "{name: x, free: 0}",
        "{name: x, fast: true}",
        "{name: x, fast: false}",
        "{name: x, words: one}",
        "{name: x, words: [one, two]}",
        "{name: x, words: []}",
        "{name: x, timeout: 1}",
        "{name: x, timeout: 1ms}",
        "{name: x, timeout: 1000us}",
        "{name: x, timeout: \"1h\"}",
        "{name: x, size: 0}",
        "{name: x, size: 1MiB}",
        "{name: x, size: 1024KiB}",
        "{name: x, size: 7B}",
        "{name: x, map: {}}",
        "{name: x, maps: []}",
        "{name: x, maps: [{a: 1}, {}]}",
        "{name: x, any: [1, {a: b}]}",
        "{name: x, any: }",
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(check(rows[i]), 0, "%s: %s", rows[i], error.text);
}

#define A_TEXT "expected a text"
#define A_WHOLE "expected a whole number, without quotes"
#define A_BOOL "expected true or false, without quotes"
#define A_LIST "expected a text or a list of texts"
#define A_DURATION "expected a duration such as 250ms, 30s, 5m (ns us ms s m h; a bare number is milliseconds)"
#define A_SIZE "expected a size such as 512, 64KiB, 2MiB (B KiB MiB GiB TiB; a bare number is bytes)"
#define A_MAP "expected a mapping (key: value)"
#define A_MAPS "expected a list of mappings"
#define ALLOWED "allowed: name, workers, free, fast, words, timeout, size, map, maps, any"

Test(config, refused_by_the_schema)
{
    static const struct {
        const char *text, *sentence;
    } rows[] = {
        /* unknown and missing keys */
        {"name: x\ncolour: 1", "f.yaml:2: colour: unknown key; " ALLOWED},
        {"name: x\nwrokers: 1", "f.yaml:2: wrokers: unknown key (did you mean 'workers'?); " ALLOWED},
        {"name: x\ntimout: 1", "f.yaml:2: timout: unknown key (did you mean 'timeout'?); " ALLOWED},
        {"name: x\nNAME: 1", "f.yaml:2: NAME: unknown key; " ALLOWED},
        {"workers: 1\nfast: true", "f.yaml:1: name: missing: what it is called; " A_TEXT},
        /* another kind of thing */
        {"[a, b]", "f.yaml:1: this is a list; " A_MAP},
        {"text", "f.yaml:1: this is a text; " A_MAP},
        /* texts */
        {"\nname: [x]", "f.yaml:2: name: is a list; " A_TEXT},
        {"name: {a: 1}", "f.yaml:1: name: is a mapping; " A_TEXT},
        {"name:\nfast: true", "f.yaml:1: name: is empty; " A_TEXT},
        {"name: ~", "f.yaml:1: name: '~' is not allowed; " A_TEXT},
        {"name: null", "f.yaml:1: name: 'null' is not allowed; " A_TEXT},
        /* whole numbers */
        {"name: x\nworkers: many", "f.yaml:2: workers: 'many' is not allowed; " A_WHOLE},
        {"name: x\nworkers: \"4\"", "f.yaml:2: workers: \"4\" is not allowed; " A_WHOLE},
        {"name: x\nworkers: 4.5", "f.yaml:2: workers: '4.5' is not allowed; " A_WHOLE},
        {"name: x\nworkers: 0x10", "f.yaml:2: workers: '0x10' is not allowed; " A_WHOLE},
        {"name: x\nworkers: 010", "f.yaml:2: workers: '010' is not allowed; " A_WHOLE},
        {"name: x\nworkers: +1", "f.yaml:2: workers: '+1' is not allowed; " A_WHOLE},
        {"name: x\nworkers: 1_", "f.yaml:2: workers: '1_' is not allowed; " A_WHOLE},
        {"name: x\nworkers: 1 2", "f.yaml:2: workers: '1 2' is not allowed; " A_WHOLE},
        {"name: x\nworkers:", "f.yaml:2: workers: is empty; " A_WHOLE},
        {"name: x\nworkers: [1]", "f.yaml:2: workers: is a list; " A_WHOLE},
        {"name: x\nfree: 9223372036854775808", "f.yaml:2: free: 9223372036854775808 is out of range"},
        {"name: x\nworkers: -99999999999999999999", "f.yaml:2: workers: -99999999999999999999 is out of range; allowed: 1 to 16"},
        {"name: x\ntimeout: 99999999999999999999", "f.yaml:2: timeout: 99999999999999999999 is out of range; allowed: 1ms to 1h"},
        {"name: x\nworkers: 0", "f.yaml:2: workers: 0 is out of range; allowed: 1 to 16"},
        {"name: x\nworkers: 17", "f.yaml:2: workers: 17 is out of range; allowed: 1 to 16"},
        {"name: x\nworkers: -1", "f.yaml:2: workers: -1 is out of range; allowed: 1 to 16"},
        /* booleans */
        {"name: x\nfast: yes", "f.yaml:2: fast: 'yes' is not allowed; " A_BOOL},
        {"name: x\nfast: True", "f.yaml:2: fast: 'True' is not allowed; " A_BOOL},
        {"name: x\nfast: 'true'", "f.yaml:2: fast: \"true\" is not allowed; " A_BOOL},
        {"name: x\nfast: 1", "f.yaml:2: fast: '1' is not allowed; " A_BOOL},
        /* lists of texts */
        {"name: x\nwords: {a: 1}", "f.yaml:2: words: is a mapping; " A_LIST},
        {"name: x\nwords:\n - a\n - {b: 1}", "f.yaml:4: words: item 2 is not a text; " A_LIST},
        {"name: x\nwords: [a, [b]]", "f.yaml:2: words: item 2 is not a text; " A_LIST},
        {"name: x\nwords:\n - a\n -\n", "f.yaml:4: words: item 2 is not a text; " A_LIST},
        /* durations and sizes */
        {"name: x\ntimeout: 5 s", "f.yaml:2: timeout: '5 s' is not allowed; " A_DURATION},
        {"name: x\ntimeout: 1.5s", "f.yaml:2: timeout: '1.5s' is not allowed; " A_DURATION},
        {"name: x\ntimeout: -1s", "f.yaml:2: timeout: '-1s' is not allowed; " A_DURATION},
        {"name: x\ntimeout: 5d", "f.yaml:2: timeout: '5d' is not allowed; " A_DURATION},
        {"name: x\ntimeout: 9223372036854775807h",
         "f.yaml:2: timeout: '9223372036854775807h' is not allowed; " A_DURATION},
        {"name: x\ntimeout: [1s]", "f.yaml:2: timeout: is a list; " A_DURATION},
        {"name: x\ntimeout: 999us", "f.yaml:2: timeout: 999us is out of range; allowed: 1ms to 1h"},
        {"name: x\ntimeout: 61m", "f.yaml:2: timeout: 61m is out of range; allowed: 1ms to 1h"},
        {"name: x\ntimeout: 0", "f.yaml:2: timeout: 0 is out of range; allowed: 1ms to 1h"},
        {"name: x\nsize: 2KB", "f.yaml:2: size: '2KB' is not allowed; " A_SIZE},
        {"name: x\nsize: -1", "f.yaml:2: size: '-1' is not allowed; " A_SIZE},
        {"name: x\nsize: 8388608TiB", "f.yaml:2: size: '8388608TiB' is not allowed; " A_SIZE},
        {"name: x\nsize: 2MiB", "f.yaml:2: size: 2MiB is out of range; allowed: 0 to 1MiB"},
        /* mappings */
        {"name: x\nmap: [1]", "f.yaml:2: map: is a list; " A_MAP},
        {"name: x\nmap: text", "f.yaml:2: map: 'text' is not allowed; " A_MAP},
        {"name: x\nmap:", "f.yaml:2: map: is empty; " A_MAP},
        {"name: x\nmaps:\n  a: 1", "f.yaml:3: maps: is a mapping; " A_MAPS},
        {"name: x\nmaps:\n  - {a: 1}\n  - b\n", "f.yaml:4: maps: item 2 is not a mapping; " A_MAPS},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_eq(check(rows[i].text), APIARY_ECONFIG, "%s", rows[i].text);
        cr_expect_str_eq(error.text, rows[i].sentence);
    }
}

Test(config, a_message_obeys_no_control_character)
{
    static const struct ap_key none[] = {{.name = NULL}};
    struct ap_config *config = parse("\"a\\e[31m\\u009b\\n\": 1");

    cr_expect_eq(ap_node_check(ap_config_root(config), none, &error), APIARY_ECONFIG);
    cr_expect_str_eq(error.text, "f.yaml:1: a?[31m???: unknown key; no key is allowed here");
    ap_config_free(config);
}

Test(config, values)
{
    struct ap_config *config =
        parse("{i: -30_000, b: true, c: false, d: 250ms, bare: 30, h: 2h, ns: 5ns, us: 6us, m: 3m, s: 4s,"
              " z: 64KiB, g: 2GiB, t: 1TiB, y: 9, by: 8B, text: 'x', list: [1]}");
    const struct ap_node *root = ap_config_root(config);

    cr_expect_eq(ap_node_number(root, "i", 'i', 7), -30000);
    cr_expect_eq(ap_node_number(root, "b", 'b', 7), 1);
    cr_expect_eq(ap_node_number(root, "c", 'b', 7), 0);
    cr_expect_eq(ap_node_number(root, "d", 'd', 7), 250000000);
    cr_expect_eq(ap_node_number(root, "bare", 'd', 7), 30000000);
    cr_expect_eq(ap_node_number(root, "h", 'd', 7), INT64_C(7200000000000));
    cr_expect_eq(ap_node_number(root, "m", 'd', 7), INT64_C(180000000000));
    cr_expect_eq(ap_node_number(root, "s", 'd', 7), INT64_C(4000000000));
    cr_expect_eq(ap_node_number(root, "us", 'd', 7), 6000);
    cr_expect_eq(ap_node_number(root, "ns", 'd', 7), 5);
    cr_expect_eq(ap_node_number(root, "z", 'z', 7), 65536);
    cr_expect_eq(ap_node_number(root, "g", 'z', 7), INT64_C(2) << 30);
    cr_expect_eq(ap_node_number(root, "t", 'z', 7), INT64_C(1) << 40);
    cr_expect_eq(ap_node_number(root, "y", 'z', 7), 9);
    cr_expect_eq(ap_node_number(root, "by", 'z', 7), 8);
    cr_expect_eq(ap_node_number(root, "none", 'i', 7), 7);
    cr_expect_eq(ap_node_number(root, "text", 'i', 7), 7);
    cr_expect_eq(ap_node_number(root, "list", 'i', 7), 7);
    cr_expect_eq(ap_node_number(NULL, "i", 'i', 7), 7);
    cr_expect_str_eq(ap_node_text(root, "text", "?"), "x");
    cr_expect_str_eq(ap_node_text(root, "none", "?"), "?");
    ap_config_free(config);
}

Test(config, slips_of_the_pen)
{
    cr_expect(ap_word_near("wrokers", "workers"));
    cr_expect(ap_word_near("prot", "port"));
    cr_expect(ap_word_near("blocks_256b", "blocks_256B"));
    cr_expect_not(ap_word_near("blocks_2MiB", "blocks_256B"));
    cr_expect(ap_word_near("other@3", "other@2"));
    cr_expect_str_eq(ap_word_nearest("instance", "instances", "distances"), "instances");
    cr_expect_str_eq(ap_word_nearest("instance", NULL, "instances"), "instances");
    cr_expect_str_eq(ap_word_nearest("statoin", "statin", "station"), "statin"); /* the first of equals */
    cr_expect_str_eq(ap_word_nearest("workers_", "worker", "workers"), "workers");
    cr_expect_null(ap_word_nearest("port", NULL, "kind"));
    cr_expect(ap_word_near("ports", "port"));
    cr_expect(ap_word_near("capabilites", "capabilities"));
    cr_expect_not(ap_word_near("send", "port"));
    cr_expect_not(ap_word_near("kind", "name"));
    cr_expect_not(ap_word_near("", "port"));
    cr_expect_not(ap_word_near("agents", "queen"));
}

Test(config, a_list_of_words_ends_with_dots_when_it_is_full)
{
    char list[20] = "";

    ap_words_add(list, sizeof list, "one");
    ap_words_add(list, sizeof list, "two");
    cr_expect_str_eq(list, "one, two");
    ap_words_add(list, sizeof list, "a_long_word");
    ap_words_add(list, sizeof list, "x");
    cr_expect_str_eq(list, "one, two, ...");
}
