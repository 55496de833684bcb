/* tests/unit/test_kinds_schema.c - schemas: what they refuse and how it is told; each kind's are sound, and its examples run. */
#include <unistd.h>

#include "tests/unit/fake_agent.h"

static json_t *json(const char *text)
{
    char *quoted = strdup(text);
    for (char *c = quoted; *c; c++)
        if (*c == '\'') *c = '"';
    json_error_t error;
    json_t *value = json_loads(quoted, JSON_DECODE_ANY, &error);
    cr_assert_not_null(value, "%s: %s", text, error.text);
    free(quoted);
    return value;
}

Test(schema, refuses_with_the_place_and_what_would_be_right)
{
    static const struct {
        const char *schema, *value, *message;
    } cases[] = {
        {"{}", "7", ""},
        {"{'type':'integer'}", "7", ""},
        {"{'type':'integer'}", "7.0", "the request is not a whole number"},
        {"{'type':'number'}", "7", ""},
        {"{'type':['string','null']}", "null", ""},
        {"{'type':['string','null']}", "true", "the request is not a text or null"},
        {"{'type':'object','required':['a'],'properties':{'a':{'type':'boolean'}}}", "{}",
         "\"a\" is missing; true or false is wanted"},
        {"{'properties':{'a':{}},'additionalProperties':false}", "{'a':1,'b':2}", "\"b\" is unknown; known here: a"},
        {"{'properties':{},'additionalProperties':false}", "{'b':2}", "\"b\" is unknown; known here: nothing"},
        {"{'additionalProperties':{'items':{'properties':{'c':{'type':'array'}}}}}", "{'a':[{},{'c':0}]}", "\"a/1/c\" is "
                            "not a list"},
        {"{'minimum':1,'maximum':64}", "65", "the request is 65; 1 to 64 is allowed"},
        {"{'minimum':9007199254740993}", "9007199254740992", "the request is 9007199254740992; at least 9007199254740993 is "
                            "allowed"},
        {"{'minimum':0,'exclusiveMaximum':1}", "1", "the request is 1; 0 to less than 1 is allowed"},
        {"{'exclusiveMinimum':0}", "0.0", "the request is 0.0; more than 0 is allowed"},
        {"{'maximum':5}", "5.5", "the request is 5.5; at most 5 is allowed"},
        {"{'minItems':1,'maxItems':2}", "[]", "the request has 0 items; 1 to 2 are allowed"},
        {"{'minItems':2,'maxItems':2}", "[1]", "the request has 1 items; 2 are wanted"},
        {"{'maxItems':2}", "[1,2,3]", "the request has 3 items; at most 2 are allowed"},
        {"{'minProperties':1}", "{}", "the request has 0 members; at least 1 are wanted"},
        {"{'maxLength':2}", "'\xC3\xA9\xC3\xA9'", ""},
        {"{'maxLength':2}", "'abc'", "the request has 3 characters; at most 2 are allowed"},
        {"{'enum':['a','b']}", "'a'", ""},
        {"{'enum':['a','b']}", "'c'", "the request is \"c\"; a, b are allowed"},
        {"{'enum':['a','b']}", "1", "the request is not a text; a, b are allowed"},
        {"{'const':'a'}", "'c'", "the request is \"c\"; a is allowed"},
        {"{'prefixItems':[{'type':'string'}],'items':{'type':'integer'}}", "['a',1,'b']", "\"2\" is not a whole number"},
        {"{'oneOf':[{'properties':{'op':{'const':'x'},'n':{'type':'integer'}}},{'properties':{'op':{'enum':['y','z']}}}]}",
         "{'op':'x','n':'a'}", "\"n\" is not a whole number"},
        {"{'oneOf':[{'properties':{'op':{'const':'x'}}},{'properties':{'op':{'enum':['y','z']}}}]}", "{'op':'z'}", ""},
        {"{'oneOf':[{'properties':{'op':{'const':'x'}}},{'properties':{'op':{'enum':['y','z']}}}]}", "{'op':'w'}",
         "\"op\" is \"w\"; x, y, z are allowed"},
        {"{'oneOf':[{'properties':{'op':{'const':'x'}}}]}", "{}", "\"op\" is missing; x is allowed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char message[256];
        json_t *schema = json(cases[i].schema), *value = json(cases[i].value);
        int code = ap_schema_judge(schema, value, message, sizeof message);
        cr_expect_eq(code == 0, cases[i].message[0] == '\0', "%s, %s: %d", cases[i].schema, cases[i].value, code);
        cr_expect_str_eq(message, cases[i].message, "%s, %s", cases[i].schema, cases[i].value);
        json_decref(schema);
        json_decref(value);
    }
}

Test(schema, a_long_name_does_not_break_the_message)
{
    char message[100];
    json_t *schema = json("{'additionalProperties':false}"), *value = json_object();
    char name[5000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    json_object_set_new(value, name, json_null());
    cr_expect_eq(ap_schema_judge(schema, value, message, sizeof message), 400);
    cr_expect_lt(strlen(message), sizeof message);
    json_decref(schema);
    json_decref(value);
    schema = json("{'oneOf':[{}],'format':'date'}");
    cr_expect_str_eq(ap_schema_stranger(schema), "format");
    json_decref(schema);
}

/* ---- the kinds' own ---------------------------------------------------------------------------------------------- */

static bool said_by_configuration(const apiary_agent_kind_t *kind)
{
    return kind->capabilities == NULL;
}

Test(described, each_capability_says_what_it_takes_answers_and_costs)
{
    for (const apiary_agent_kind_t *const *k = apiary_kinds(); *k; k++) {
        const struct ap_function *f = ap_functions_of((*k)->name);
        if (said_by_configuration(*k)) continue;
        cr_assert_not_null(f, "%s", (*k)->name);
        size_t offered = 0, described = 0;
        while ((*k)->capabilities[offered])
            offered++;
        for (; f->capability; f++, described++) {
            bool has = false;
            for (size_t i = 0; i < offered; i++)
                has |= strcmp((*k)->capabilities[i], f->capability) == 0;
            cr_expect(has, "%s does not offer %s", (*k)->name, f->capability);
            cr_expect((f->call != NULL) != (f->bytes != NULL), "%s", f->capability);
            cr_expect((f->in != NULL) == (f->call != NULL), "%s: a request that is JSON has a schema", f->capability);
            cr_expect(f->bound && f->bound[0] && f->again && f->again[0] && f->send, "%s", f->capability);
            for (int i = 0; i < 2; i++) {
                const char *text = i ? f->out : f->in;
                if (!text) continue;
                const json_t *schema = ap_schema(text);
                cr_assert_not_null(schema, "%s: no JSON: %s", f->capability, text);
                cr_expect_eq(ap_schema(text), schema, "it is parsed once");
                cr_expect_null(ap_schema_stranger(schema), "%s: %s", f->capability, ap_schema_stranger(schema));
            }
        }
        cr_expect_eq(described, offered, "%s", (*k)->name);
    }
}

static char folder[64];
static struct fake_key with_folder[2];

static const struct fake_key *configuration_of(const char *kind)
{
    static const char *const pools[] = {"cpu=4", NULL}, *const routes[] = {"/a=x", NULL}, *const subjects[] = {"bee=reader", NULL},
                             *const rules[] = {"reader read *", NULL};
    static const struct fake_key ledger[] = {{"pools", NULL, 0, pools}, {NULL, NULL, 0, NULL}};
    static const struct fake_key gateway[] = {{"routes", NULL, 0, routes}, {NULL, NULL, 0, NULL}};
    static const struct fake_key roles[] = {{"subjects", NULL, 0, subjects}, {"rules", NULL, 0, rules}, {NULL, NULL, 0, NULL}};
    if (strcmp(kind, "ledger") == 0) return ledger;
    if (strcmp(kind, "gateway") == 0) return gateway;
    if (strcmp(kind, "authorization") == 0) return roles;
    return strncmp(kind, "storage_", 8) == 0 ? with_folder : NULL;
}

/* A request is strict: a member that nobody knows is refused, with its name, before the agent sees it. */
static void run_strictly(struct apiary_agent *agent, const struct ap_function *f)
{
    if (!f->in) return;
    json_t *request = json_loads(f->send, 0, NULL);
    json_object_set_new(request, "stranger", json_true());
    char *text = json_dumps(request, JSON_COMPACT);
    fake_expect_failure(agent, f->capability, text, 400, "\"stranger\" is unknown; known here: ");
    free(text);
    json_decref(request);
}

Test(described, every_example_runs)
{
    struct apiary_agent *agent, *text;
    strcpy(folder, "/tmp/apiary-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    with_folder[0] = (struct fake_key){"directory", folder, 0, NULL};
    for (const apiary_agent_kind_t *const *k = apiary_kinds(); *k; k++) {
        const struct ap_function *f = ap_functions_of((*k)->name);
        if (!f) continue;
        fake_open();
        cr_assert_eq(fake_create((*k)->name, configuration_of((*k)->name), &agent), 0, "%s: %s", (*k)->name, agent->log);
        cr_assert_eq(fake_create("text", NULL, &text), 0);
        fake_offer("html_escaping", text);
        fake_offer("some_capability", text);
        for (; f->capability; f++) {
            if (f->answer)
                fake_expect(agent, f->capability, f->send, f->answer);
            else
                free(fake_call(agent, f->capability, f->send));
            run_strictly(agent, f);
        }
        fake_destroy(agent);
        fake_destroy(text);
        fake_close();
    }
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}
