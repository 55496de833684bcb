/* What an agent reads of its configuration, and where a sentence says that it is wrong. */
#include "tests/unit/worker_fixture.h"

#include "core/config.h"

TestSuite(agent_config, .init = setup, .fini = teardown, .timeout = 120);

static const char text[] = "word: hello\n"
                           "count: 7\n"
                           "time: 3s\n"
                           "size: 2KiB\n"
                           "many: [a, b, c]\n"
                           "more: [d]\n"
                           "none: []\n"
                           "map: {x: 1}\n";
static const apiary_agent_key_t keys[] = {{"word", 's', 0, NULL, 0, 0},  {"count", 'i', 0, NULL, 0, 100},
                                          {"time", 'd', 0, NULL, 0, 1},  {"size", 'z', 0, NULL, 0, 1},
                                          {"many", 'l', 0, NULL, 0, 0},  {.name = NULL}};
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
    cr_expect_eq(apiary_agent_list(agent, "map", &again), 0);
    cr_expect_eq(apiary_agent_list(agent, "absent", &again), 0);
    cr_expect_eq(again, many, "untouched");
}

static int read_all(apiary_agent_t *agent, void **state)
{
    *state = agent;
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
                                           .handle = echo, .destroy = NULL, .capabilities = NULL},
                                 bare = {APIARY_AGENT_KIND, .name = "bare", .what = "", .keys = keys, .create = read_nothing,
                                         .handle = echo, .destroy = NULL, .capabilities = NULL};

static struct ap_config *config;

static int start_reader(char *message, size_t size, apiary_queen_t **q)
{
    const apiary_agent_description_t agents[] = {{"r", &reader, echo_caps, 0, ap_config_root(config)},
                                                 {"b", &bare, echo_caps, 0, NULL}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .agents = agents, .agent_count = 2,
                                          .log = log_line};

    return apiary_queen_start(a, &d, message, size, q);
}

static void parse(void)
{
    struct ap_config_error error;

    cr_assert_eq(ap_config_parse("host.yaml", text, sizeof text - 1, &config, &error), 0, "%s", error.text);
}

Test(agent_config, is_read_by_key)
{
    apiary_queen_t *q = NULL;
    char message[512] = "";

    parse();
    cr_assert_eq(start_reader(message, sizeof message, &q), 0, "%s", message);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    ap_config_free(config);
}

Test(agent_config, what_is_wrong_is_said_with_its_line)
{
    static const struct {
        const char *said, *sentence;
    } rows[] = {
        {"count: is too odd", "host.yaml:2: agent r: count: is too odd"},
        {"reader: size: is too large", "host.yaml:4: agent r: reader: size: is too large"},
        {"the moon is wrong", "host.yaml:1: agent r: the moon is wrong"},
        {"absent: is missing", "host.yaml:1: agent r: absent: is missing"},
    };
    apiary_queen_t *q = NULL;
    char message[512];

    parse();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        wrong = rows[i].said;
        cr_expect_eq(start_reader(message, sizeof message, &q), APIARY_ECONFIG);
        cr_expect_str_eq(message, rows[i].sentence);
        cr_expect_eq(strncmp(logged(), "r: ", 3), 0, "%s", logged());
        cr_expect_str_eq(logged() + 3, rows[i].said);
    }
    cr_expect_null(q);
    ap_config_free(config);
}
