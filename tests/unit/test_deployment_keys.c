/* tests/unit/test_deployment_keys.c - every key of a configuration: below, above, of another type, given twice. */
#include "tests/unit/deployment_fixture.h"

#include "core/apiary/kinds.h"

TestSuite(deployment_keys, .init = set_up, .fini = tear_down);

/* A mapping of the file: what stands before its keys and after them. Each key is a line of its own. */
struct section {
    const char *name, *before, *indent, *after;
};
static const struct section
    root = {"the file", "", "", ""},
    registry = {"meta_registry", "meta_registry:\n", "  ", ""},
    payload = {"payload", "meta_registry:\n  payload:\n", "    ", ""},
    swarm = {"a swarm", "swarms:\n  - service: s\n" AGENTS, "    ", ""},
    bare_swarm = {"a swarm without agents", "swarms:\n  - service: s\n", "    ", ""},
    nameless_swarm = {"a swarm without a name", "swarms:\n  - workers: 1\n" AGENTS, "    ", ""},
    queen = {"queen", "swarms:\n  - service: s\n" AGENTS "    queen:\n", "      ", ""},
    autoscale = {"autoscale", "swarms:\n  - service: s\n" AGENTS "    queen:\n      autoscale:\n        max: 64\n", "        ",
                 ""},
    bare_autoscale = {"an autoscale without max", "swarms:\n  - service: s\n" AGENTS "    queen:\n      autoscale:\n", "        ",
                      ""},
    agent = {"an agent", S "      - colour: red\n", "        ", ""},
    check = {"a check", S "      - {name: a, kind: sequence, capabilities: sequence_number}\n    checks:\n      - colour: red\n",
             "        ", ""},
    phase = {"a phase", "phases:\n  - colour: red\n", "    ", ""};

static const struct row_of_keys {
    const struct section *in;
    const char *name;
    char type;
    const char *below, *above,
        *range; /* NULL: a number without bounds is a fault of this table, other types have none */
} keys[] = {
    {&root, "meta_registry", 'm', NULL, NULL, NULL},
    {&root, "swarms", 'L', NULL, NULL, NULL},
    {&root, "phases", 'L', NULL, NULL, NULL},
    {&registry, "segment", 's', NULL, NULL, NULL},
    {&registry, "port", 'i', "0", "65536", "1 to 65535"},
    {&registry, "listen", 's', NULL, NULL, NULL},
    {&registry, "health_check_interval", 'd', "99ms", "25h", "100ms to 24h"},
    {&registry, "events_max_age", 'd', "0", "87601h", "1ms to 87600h"},
    {&registry, "events_max_bytes", 'i', "1048575", "1099511627777", "1048576 to 1099511627776"},
    {&registry, "caches", 'l', NULL, NULL, NULL},
    {&registry, "task_timeout", 'd', "0", "721h", "1ms to 720h"},
    {&registry, "payload", 'm', NULL, NULL, NULL},
    {&registry, "mode", 's', NULL, NULL, NULL},
    {&registry, "owner", 's', NULL, NULL, NULL},
    {&registry, "group", 's', NULL, NULL, NULL},
    {&nameless_swarm, "service", 's', NULL, NULL, NULL},
    {&swarm, "port", 'i', "0", "65536", "1 to 65535"},
    {&swarm, "queen", 'm', NULL, NULL, NULL},
    {&swarm, "workers", 'i', "0", "17", "1 to 16"},
    {&swarm, "version", 's', NULL, NULL, NULL},
    {&swarm, "health_endpoint", 's', NULL, NULL, NULL},
    {&swarm, "metrics_endpoint", 's', NULL, NULL, NULL},
    {&swarm, "listen", 's', NULL, NULL, NULL},
    {&swarm, "tags", 'l', NULL, NULL, NULL},
    {&swarm, "health_check_interval", 'd', "99ms", "25h", "100ms to 24h"},
    {&swarm, "health_check_timeout", 'd', "9ms", "2h", "10ms to 1h"},
    {&swarm, "unhealthy_after", 'i', "0", "101", "1 to 100"},
    {&swarm, "healthy_after", 'i', "0", "101", "1 to 100"},
    {&swarm, "max_concurrent_delegations", 'i', "0", "4097", "1 to 4096"},
    {&swarm, "weight", 'i', "0", "1001", "1 to 1000"},
    {&swarm, "depends_on", 'l', NULL, NULL, NULL},
    {&bare_swarm, "agents", 'L', NULL, NULL, NULL},
    {&swarm, "checks", 'L', NULL, NULL, NULL},
    {&queen, "instances", 'i', "0", "65", "1 to 64"},
    {&queen, "restart", 's', NULL, NULL, NULL},
    {&queen, "restart_stuck", 'd', "3999ms", "25h", "4s to 24h"},
    {&queen, "update", 's', NULL, NULL, NULL},
    {&queen, "autoscale", 'm', NULL, NULL, NULL},
    {&autoscale, "min", 'i', "0", "65", "1 to 64"},
    {&bare_autoscale, "max", 'i', "0", "65", "1 to 64"},
    {&autoscale, "backlog", 'i', "0", "65536", "1 to 65535"},
    {&autoscale, "cool_down", 'd', "999ms", "25h", "1s to 24h"},
    {&phase, "name", 's', NULL, NULL, NULL},
    {&phase, "services", 'l', NULL, NULL, NULL},
    {&agent, "name", 's', NULL, NULL, NULL},
    {&agent, "kind", 's', NULL, NULL, NULL},
    {&agent, "plugin", 's', NULL, NULL, NULL},
    {&agent, "capabilities", 'e', NULL, NULL, NULL},
    {&agent, "worker", 'i', "-1", "16", "0 to 15"},
    {&agent, "replicas", 'i', "0", "17", "1 to 16"},
    {&agent, "config", 'm', NULL, NULL, NULL},
    {&check, "capability", 's', NULL, NULL, NULL},
    {&check, "send", 's', NULL, NULL, NULL},
    {&check, "send_file", 's', NULL, NULL, NULL},
    {&check, "expect", 's', NULL, NULL, NULL},
    {&check, "expect_match", 's', NULL, NULL, NULL},
    {&check, "from", 's', NULL, NULL, NULL},
    {&check, "timeout", 'd', "0", "25h", "1ms to 24h"},
};
#define KEYS (sizeof keys / sizeof keys[0])

static const char *wrong(char type)
{
    return strchr("spo", type) ? "[a]" : strchr("lce", type) ? "{a: b}" : "maybe";
}

static unsigned lines_of(const char *text)
{
    unsigned count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* Loads the section with these lines in it. The sentence is about the last of them, by its number and its key. */
static const char *refused_in(const struct section *in, const char *key, const char *value, const char *first)
{
    static char text[2048], place[160];
    char before[1024], named[64];
    struct ap_deployment *d = NULL;

    /* The line that makes the section whole otherwise would be the first to be refused. */
    snprintf(before, sizeof before, "%s", in->before);
    char *colour = strstr(before, "colour: red");
    if (colour != NULL)
        snprintf(colour, sizeof before - (size_t)(colour - before), "%s: %s\n", key, first ? first : value);
    snprintf(text, sizeof text, "%s", before);
    if (colour == NULL || first != NULL) {
        size_t used = strlen(text);
        if (first != NULL && colour == NULL)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s: %s\n", in->indent, key, first);
        snprintf(text + used, sizeof text - used, "%s%s: %s\n", in->indent, key, value);
    }
    write_file(text, strlen(text));
    error.text[0] = '\0';
    cr_expect_eq(ap_deployment_load(path, apiary_kinds(), &d, &error), APIARY_ECONFIG, "accepted:\n%s", text);
    snprintf(place, sizeof place, "%s:%u: ", path, lines_of(text));
    snprintf(named, sizeof named, "%s: ", key);
    cr_expect(strncmp(error.text, place, strlen(place)) == 0 &&
                  strncmp(error.text + strlen(place), named, strlen(named)) == 0,
              "%s\n is told as %s", text, error.text);
    return error.text + strlen(place);
}

static void expect_refusals(const struct section *in, const char *key, char type, const char *below, const char *above,
                            const char *range)
{
    const char *sentence = refused_in(in, key, wrong(type), NULL);
    cr_expect_not_null(strstr(sentence, "; expected "), "%s", sentence);
    sentence = refused_in(in, key, "a", "a");
    cr_expect_not_null(strstr(sentence, "duplicate key, first given in line "), "%s", sentence);
    if (type != 'i' && type != 'd' && type != 'z') return;
    cr_assert_not_null(range, "%s of %s is a number without bounds", key, in->name);
    char allowed[96];
    snprintf(allowed, sizeof allowed, "out of range; allowed: %s", range);
    sentence = refused_in(in, key, below, NULL);
    cr_expect(strstr(sentence, allowed) != NULL || strstr(sentence, "; expected ") != NULL, "%s", sentence);
    cr_expect(below[0] == '-' || strstr(sentence, allowed) != NULL, "%s", sentence);
    sentence = refused_in(in, key, above, NULL);
    cr_expect_not_null(strstr(sentence, allowed), "%s", sentence);
}

Test(deployment_keys, each_is_refused_with_its_place)
{
    for (size_t i = 0; i < KEYS; i++)
        expect_refusals(keys[i].in, keys[i].name, keys[i].type, keys[i].below, keys[i].above, keys[i].range);
}

/* The numbers of the table of parts: the segment's sizes. */
static int number_is_refused(void *user, const struct ap_number *n)
{
    char below[16], above[16], range[40], least[16], most[16];

    (void)user;
    ap_number_print(least, sizeof least, 'd', n->min * INT64_C(1000000));
    ap_number_print(most, sizeof most, 'd', n->max * INT64_C(1000000));
    snprintf(below, sizeof below, "%lld", (long long)n->min - 1);
    snprintf(above, sizeof above, "%lld", (long long)n->max + 1);
    if (n->milliseconds) snprintf(range, sizeof range, "%s to %s", least, most);
    else snprintf(range, sizeof range, "%u to %u", n->min, n->max);
    expect_refusals(n->group != NULL ? &payload : &registry, n->key, n->milliseconds ? 'd' : 'i', below, above, range);
    return 0;
}

Test(deployment_keys, each_number_of_the_segment_is_refused_with_its_place)
{
    ap_numbers_each(&ap_registry_parts, number_is_refused, NULL);
}

struct word {
    const struct section *in;
    const char *at;
    size_t length, found;
};

static int number_found(void *user, const struct ap_number *n)
{
    struct word *w = user;

    w->found += w->in == (n->group != NULL ? &payload : &registry) && strlen(n->key) == w->length &&
                strncmp(n->key, w->at, w->length) == 0;
    return 0;
}

/* The sentence for an unknown key names all that there are; the table must have each. */
Test(deployment_keys, the_table_is_complete)
{
    static const struct {
        const struct section *in, *also[2];
    } sections[] = {{&root, {NULL, NULL}},
                    {&registry, {NULL, NULL}},
                    {&payload, {NULL, NULL}},
                    {&queen, {NULL, NULL}},
                    {&autoscale, {&bare_autoscale, NULL}},
                    {&agent, {NULL, NULL}},
                    {&check, {NULL, NULL}},
                    {&phase, {NULL, NULL}},
                    {&swarm, {&bare_swarm, &nameless_swarm}}};
    for (size_t s = 0; s < sizeof sections / sizeof sections[0]; s++) {
        const char *list = strstr(refused_in(sections[s].in, "zzzzzzzz", "1", NULL), "allowed: ");
        cr_assert_not_null(list, "%s", error.text);
        list += strlen("allowed: ");
        cr_assert_null(strstr(list, "..."), "the list is cut: %s", list);
        while (*list) {
            size_t length = strcspn(list, ","), found = 0;
            for (size_t i = 0; i < KEYS; i++)
                found += (keys[i].in == sections[s].in || keys[i].in == sections[s].also[0] ||
                          keys[i].in == sections[s].also[1]) &&
                         strlen(keys[i].name) == length && strncmp(keys[i].name, list, length) == 0;
            struct word word = {sections[s].in, list, length, 0};
            ap_numbers_each(&ap_registry_parts, number_found, &word);
            found += word.found;
            cr_expect_eq(found, 1, "%.*s of %s is %zu times in the table", (int)length, list, sections[s].in->name,
                         found);
            list += length + strspn(list + length, ", ");
        }
    }
}

/* A number one beyond the bound, in the unit in which there is one. */
static void beyond(char *text, size_t size, char type, int64_t value)
{
    snprintf(text, size, "%lld%s", (long long)value, type == 'd' ? "ns" : type == 'z' ? "B" : "");
}

Test(deployment_keys, each_of_the_built_in_kinds)
{
    size_t numbers = 0;
    for (const apiary_agent_kind_t *const *kind = apiary_kinds(); *kind != NULL; kind++) {
        for (const apiary_agent_key_t *key = (*kind)->keys; key != NULL && key->name != NULL; key++) {
            char before[256], range[96] = "", min[32], max[32], below[32], above[32];
            const struct section in = {(*kind)->name, before, "          ", ""};
            snprintf(before, sizeof before,
                     S "      - name: a\n        kind: %s\n        capabilities: c\n        config:\n", (*kind)->name);
            beyond(below, sizeof below, key->type, key->min - 1);
            beyond(above, sizeof above, key->type, key->max + 1);
            ap_number_print(min, sizeof min, key->type, key->min);
            ap_number_print(max, sizeof max, key->type, key->max);
            snprintf(range, sizeof range, "%s to %s", min, max);
            bool number = strchr("idz", key->type) != NULL;
            cr_expect(!number || key->max > key->min, "%s of %s has no bounds", key->name, (*kind)->name);
            numbers += number;
            expect_refusals(&in, key->name, key->type, below, above, range);
        }
    }
    cr_expect_geq(numbers, 10);
}

/* What only the machine can judge is told with its place, too. */
Test(deployment_keys, a_sentence_about_the_registry_finds_its_key)
{
    struct ap_deployment *d = load("meta_registry:\n  port: 4200\n  owner: nobody-is-called-so\n");
    char wanted[256];
    cr_expect_eq(ap_deployment_refuse(d, "owner: no user is called so", &error), APIARY_ECONFIG);
    snprintf(wanted, sizeof wanted, "%s:3: owner: no user is called so", path);
    cr_expect_str_eq(error.text, wanted);
    ap_deployment_refuse(d, "mode: is wrong", &error); /* a default: the mapping's place */
    snprintf(wanted, sizeof wanted, "%s:2: mode: is wrong", path);
    cr_expect_str_eq(error.text, wanted);
    ap_deployment_free(d);
}
