/* What an agent reads of its configuration, and where a sentence says that it is wrong. */
#include "tests/unit/worker_fixture.h"

TestSuite(agent_config, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static const char text[] = "word: hello\n"
                           "count: 7\n"
                           "time: 3s\n"
                           "size: 2KiB\n"
                           "many: [a, b, c]\n"
                           "more: [d]\n"
                           "none: []\n";
static const apiary_agent_key_t keys[] = {{"word", 's', 1, "what it says", 0, 0}, {"count", 'i', 0, NULL, 0, 100},
                                          {"time", 'd', 0, NULL, 0, 0},           {"size", 'z', 0, NULL, 0, 4096},
                                          {"many", 'l', 0, NULL, 0, 0},           {"more", 'l', 0, NULL, 0, 0},
                                          {"none", 'l', 0, NULL, 0, 0},           {.name = NULL}};
static const char *wrong; /* what the agent says, NULL: nothing */

static void lists(apiary_agent_t *agent)
{
    const char *const *many = NULL, *const *more = NULL, *const *again = NULL;

    cr_expect_eq(apiary_agent_list(agent, "many", &many), 3);
    cr_expect_eq(apiary_agent_list(agent, "more", &more), 1);
    cr_assert(many != NULL && more != NULL);
    cr_expect_str_eq(many[0], "a");
    cr_expect_str_eq(many[2], "c");
    cr_expect_null(many[3]);
    cr_expect_str_eq(more[0], "d");
    cr_expect_null(more[1]);
    cr_expect_eq(apiary_agent_list(agent, "many", &again), 3);
    cr_expect_eq(again, many, "it is made once");
    cr_expect_eq(apiary_agent_list(agent, "many", NULL), 3);
    cr_expect_eq(apiary_agent_list(agent, "word", &again), 1, "a text is a list of one");
    cr_expect_str_eq(again[0], "hello");
    cr_expect_null(again[1]);
    cr_expect_eq(apiary_agent_list(agent, "none", &again), 0);
    again = many;
    cr_expect_eq(apiary_agent_list(agent, "absent", &again), 0);
    cr_expect_eq(again, many, "untouched");
}

static apiary_agent_t *reading;

static int read_all(apiary_agent_t *agent, void **state)
{
    *state = reading = agent;
    if (wrong != NULL) {
        apiary_agent_log(agent, 5, "this is no reason");
        apiary_agent_log_text(agent, 3, wrong, strlen(wrong));
        return APIARY_ECONFIG;
    }
    cr_expect_str_eq(apiary_agent_text(agent, "word", "other"), "hello");
    cr_expect_str_eq(apiary_agent_text(agent, "absent", "other"), "other");
    cr_expect_eq(apiary_agent_number(agent, "count", 3), 7);
    cr_expect_eq(apiary_agent_number(agent, "time", 3), 3000000000);
    cr_expect_eq(apiary_agent_number(agent, "size", 3), 2048);
    cr_expect_eq(apiary_agent_number(agent, "absent", 3), 3);
    lists(agent);
    return 0;
}

static int read_nothing(apiary_agent_t *agent, void **state)
{
    const char *const *list = NULL;

    *state = agent;
    cr_expect_str_eq(apiary_agent_text(agent, "word", "other"), "other");
    cr_expect_null(apiary_agent_text(agent, "word", NULL));
    cr_expect_eq(apiary_agent_number(agent, "count", 3), 3);
    cr_expect_eq(apiary_agent_list(agent, "many", &list), 0);
    cr_expect_null(list);
    return 0;
}

static const apiary_agent_kind_t reader = {APIARY_AGENT_KIND, .name = "reader", .what = "", .keys = keys, .create = read_all,
                                           .handle = echo},
                                 bare = {APIARY_AGENT_KIND, .name = "bare", .what = "", .create = read_nothing, .handle = echo};

static char message[1024];

/* An agent "r" of that kind with that text, and a bare one beside it. */
static int start_with(const apiary_agent_kind_t *kind, const char *config, const char *config_name, apiary_queen_t **q)
{
    const apiary_agent_description_t agents[] = {
        {.name = "r", .kind = kind, .capabilities = echo_caps, .config = config, .config_name = config_name},
        {.name = "b", .kind = &bare, .capabilities = echo_caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .agents = agents, .agent_count = 2,
                                          .log = log_line};

    message[0] = '\0';
    return apiary_queen_start(a, &d, message, sizeof message, q);
}

static void starts(const apiary_agent_kind_t *kind, const char *config, const char *config_name)
{
    apiary_queen_t *q = NULL;

    cr_assert_eq(start_with(kind, config, config_name, &q), 0, "%s", message);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

static const char *refusal(const apiary_agent_kind_t *kind, const char *config, const char *config_name)
{
    apiary_queen_t *q = NULL;
    apiary_task_t task;
    int e;

    cr_expect_eq(start_with(kind, config, config_name, &q), APIARY_ECONFIG, "accepted: %s", config);
    cr_expect_null(q);
    e = apiary_delegate(a, "echo", NULL, 0, NULL, &task);
    cr_expect(e == APIARY_ENOCAP || e == APIARY_ENOPROVIDER, "all or nothing");
    return message;
}

Test(agent_config, is_read_by_key)
{
    starts(&reader, text, NULL);
    starts(&reader,
           "{\"word\": \"hello\", \"count\":7, \"time\":\"3s\",\n"
           "\t\"size\":2048, \"many\":[\"a\",\"b\",\"c\"], \"more\":\"d\", \"none\":[]}",
           "host.json");
}

Test(agent_config, is_copied)
{
    char *config = strdup(text), *config_name = strdup("host.yaml");
    char word[16];
    apiary_queen_t *q = NULL;

    cr_assert_eq(start_with(&reader, config, config_name, &q), 0, "%s", message);
    memset(config, '#', strlen(config));
    memset(config_name, '#', strlen(config_name));
    free(config);
    free(config_name);
    snprintf(word, sizeof word, "%s", apiary_agent_text(reading, "word", ""));
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    cr_expect_str_eq(word, "hello");
}

Test(agent_config, what_the_agent_finds_wrong_is_said_with_its_line)
{
    static const struct {
        const char *said, *sentence;
    } rows[] = {
        {"count: is too odd", "host.yaml:2: agent r: count: is too odd"},
        {"reader: size: is too large", "host.yaml:4: agent r: reader: size: is too large"},
        {"the moon is wrong", "host.yaml:1: agent r: the moon is wrong"},
        {"absent: is missing", "host.yaml:1: agent r: absent: is missing"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        wrong = rows[i].said;
        cr_expect_str_eq(refusal(&reader, text, "host.yaml"), rows[i].sentence);
        cr_expect_eq(strncmp(logged(), "r: ", 3), 0, "%s", logged());
        cr_expect_str_eq(logged() + 3, rows[i].said);
    }
    cr_expect_str_eq(refusal(&reader, text, NULL), "config of r:1: agent r: absent: is missing");
}

Test(agent_config, what_its_keys_do_not_allow_is_refused_before_it_is_made)
{
    static const struct {
        const char *config, *sentence;
    } rows[] = {
        {"word: x\nconut: 3\n", "host.yaml:2: conut: unknown key (did you mean 'count'?); allowed: word, count, time, size, many, "
                                "more, none"},
        {"word: x\ncount: many\n", "host.yaml:2: count: 'many' is not allowed; expected a whole number, without quotes"},
        {"{\"word\": \"x\",\n \"count\": 101}", "host.yaml:2: count: 101 is out of range; allowed: 0 to 100"},
        {"count: 3\n", "host.yaml:1: word: missing: what it says; expected a text"},
        {"word: x\nword: y\n", NULL},
        {"[word]", "host.yaml:1: this is a list; expected a mapping (key: value)"},
        {"hello", "host.yaml:1: this is a text; expected a mapping (key: value)"},
        {"", "host.yaml:1: the text is empty; expected a mapping of keys"},
        {"{word: x", NULL},
        {NULL, "agent r: config: missing; the kind 'reader' of agent r needs config: {word: ...} - what it says"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *said = refusal(&reader, rows[i].config, "host.yaml");
        if (rows[i].sentence != NULL) cr_expect_str_eq(said, rows[i].sentence);
        else cr_expect_eq(strncmp(said, "host.yaml:", 10), 0, "%s", said);
    }
    refusal(&reader, "word:\n\tx", NULL);
    cr_expect_eq(strncmp(message, "config of r:2: ", 15), 0, "%s", message);
    cr_expect_str_eq(refusal(&bare, "{x: 1}", NULL),
                     "config of r:1: x: unknown key; the kind 'bare' has no keys, leave out config");
    cr_expect_str_eq(refusal(&bare, "[x]", NULL), "config of r:1: this is a list; expected a mapping (key: value)");
    starts(&bare, "{}", NULL);
}

static char seen[2][512];

static int see_paths(apiary_agent_t *agent, void **state)
{
    const char *const *command = NULL;

    *state = agent;
    snprintf(seen[0], sizeof seen[0], "%s", apiary_agent_text(agent, "file", ""));
    snprintf(seen[1], sizeof seen[1], "%s", apiary_agent_list(agent, "run", &command) > 0 ? command[0] : "none");
    return 0;
}

Test(agent_config, paths_begin_where_its_text_is_from)
{
    static const apiary_agent_key_t path_keys[] = {{"file", 'p', 0, NULL, 0, 0}, {"run", 'c', 0, NULL, 0, 0}, {.name = NULL}};
    const apiary_agent_kind_t paths = {APIARY_AGENT_KIND, .name = "paths", .what = "", .keys = path_keys, .create = see_paths,
                                       .handle = echo};

    cr_assert_eq(chdir("/usr"), 0);
    starts(&paths, "{file: data/x, run: bin/env}", NULL);
    cr_expect_str_eq(seen[0], "/usr/data/x");
    cr_expect_str_eq(seen[1], "/usr/bin/env");
    starts(&paths, "{file: x, run: [sh, -c]}", "/host.yaml");
    cr_expect_str_eq(seen[0], "/x");
    cr_expect_str_eq(seen[1], "sh");
    starts(&paths, "{file: /x}", "/nowhere/at/all/host.yaml");
    cr_expect_str_eq(seen[0], "/x");
    cr_expect_str_eq(seen[1], "none");
    cr_expect_str_eq(refusal(&paths, "run: []", NULL), "config of r:1: run: is an empty list; expected at least one item");
    cr_expect_str_eq(refusal(&paths, "file: x", "/nowhere/at/all/host.yaml"),
                     "/nowhere/at/all/host.yaml: its folder, where relative paths begin, cannot be found: "
                     "No such file or directory");
    cr_expect_str_eq(refusal(&paths, "run: bin/no-such-program", NULL),
                     "config of r:1: run: /usr/bin/no-such-program is not an executable file: No such file or directory");
}

Test(agent_config, a_key_of_no_type_is_the_kinds_fault)
{
    static const apiary_agent_key_t odd_keys[] = {{"x", 'm', 0, NULL, 0, 0}, {.name = NULL}};
    const apiary_agent_kind_t odd = {APIARY_AGENT_KIND, .name = "odd", .what = "", .keys = odd_keys, .handle = echo};

    cr_expect_str_eq(refusal(&odd, NULL, NULL),
                     "agent r: config: the kind 'odd' declares its key 'x' with an unknown type; "
                     "expected one of s i b l d z p c o");
    cr_expect_eq(strncmp(refusal(&odd, "{}", NULL), "config of r:1: config: the kind 'odd' declares", 45), 0, "%s", message);
}
