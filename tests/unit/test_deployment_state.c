/* Agents that keep state: what a configuration has to say of them when there are several. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agents/deployment/deployment.h"
#include "registry/routing/terms.h"

static const apiary_agent_key_t keys[] = {{.name = "key_file", .type = 's'}, {.name = NULL}};
static const apiary_agent_kind_t kind_plain = {APIARY_AGENT_KIND, .name = "plain"},
    kind_ledger = {APIARY_AGENT_KIND, .name = "ledger", .state = APIARY_STATE_AGENT},
    kind_signer = {APIARY_AGENT_KIND, .name = "signer", .keys = keys, .state = APIARY_STATE_AGENT, .state_unless = "key_file"},
    kind_model = {APIARY_AGENT_KIND, .name = "model", .state = APIARY_STATE_QUEEN};
static const apiary_agent_kind_t *const kinds[] = {&kind_plain, &kind_ledger, &kind_signer, &kind_model, NULL};

/* NULL: it is taken; else what is said of it, behind the file's name. */
static const char *said(const char *text)
{
    static struct ap_config_error error;
    struct ap_deployment *d = NULL;

    error.text[0] = '\0';
    if (ap_deployment_parse("f.yaml", text, strlen(text), kinds, NULL, &d, &error) == 0) {
        ap_deployment_free(d);
        return NULL;
    }
    cr_assert(strncmp(error.text, "f.yaml:", 7) == 0, "%s", error.text);
    return error.text + 7;
}

#define TAKEN(text)                                        \
    do {                                                   \
        const char *is = said(text);                       \
        cr_expect(is == NULL, "%s: %s", text, is ? is : ""); \
    } while (0)
#define REFUSED(text, want)                                     \
    do {                                                        \
        const char *is = said(text);                            \
        cr_expect(is != NULL && strcmp(is, want) == 0, "%s: %s", text, is ? is : "taken"); \
    } while (0)

#define TWO "swarms:\n- service: s\n  workers: 2\n  queen: {instances: 2}\n  agents:\n"
#define ONE "swarms:\n- service: s\n  workers: 2\n  agents:\n"
#define A(name, kind, capabilities) "  - {name: " name ", kind: " kind ", capabilities: [" capabilities "]}\n"

Test(deployment_state, several_of_one_that_keeps_state)
{
    REFUSED(TWO A("a", "ledger", "x"),
            "6: capabilities: agent a (kind 'ledger') keeps state, and there are to be several of it (instances: 2), so whoever is "
            "asked for x would answer with its own; expected {name: x, stateful: true}, or instances: 1");
    REFUSED(ONE "  - {name: a, kind: ledger, replicas: 2, capabilities: [{name: x, stateful: true}, y]}\n",
            "5: capabilities: agent a (kind 'ledger') keeps state, and there are to be several of it (replicas: 2), so whoever is "
            "asked for y would answer with its own; expected {name: y, stateful: true}, or replicas: 1");
    REFUSED(TWO A("a", "ledger", "{name: x, stateful: false}"),
            "6: capabilities: agent a (kind 'ledger') keeps state, and there are to be several of it (instances: 2), so whoever is "
            "asked for x would answer with its own; expected {name: x, stateful: true}, or instances: 1");
    TAKEN(TWO A("a", "ledger", "{name: x, stateful: true}"));
    TAKEN(ONE A("a", "ledger", "x"));
    TAKEN(TWO A("a", "plain", "x"));
    TAKEN(ONE "  - {name: a, kind: ledger, replicas: 2, capabilities: [{name: x, stateful: true}]}\n");
}

Test(deployment_state, one_that_keeps_none_with_a_key)
{
    TAKEN(TWO "  - {name: a, kind: signer, capabilities: [x], config: {key_file: /k}}\n");
    cr_expect(said(TWO A("a", "signer", "x")) != NULL);
}

Test(deployment_state, the_local_memory)
{
    TAKEN(ONE "  - {name: a, kind: model, replicas: 2, capabilities: [x]}\n" A("b", "model", "y"));
    TAKEN(TWO A("a", "model", "{name: x, stateful: true}, {name: y, stateful: true}"));
    TAKEN(TWO A("a", "model", "x") A("b", "model", "{name: y, stateful: true}"));
}

Test(deployment_state, one_place_for_what_is_offered_together)
{
    TAKEN(ONE A("a", "plain", "{name: x, stateful: true}, y") A("b", "plain", "x, y"));
    REFUSED(ONE A("a", "plain", "{name: x, stateful: true}, y") A("b", "plain", "x"),
            "6: capabilities: agents a and b offer x, which is stateful, beside different others; expected the same list of both: "
            "what is offered together has one place");
}

#define SAYS(terms) ONE A("a", "plain", "{name: x@2, stateful: true, " terms "}")

Test(deployment_state, terms_that_would_leave_it_to_chance)
{
    REFUSED(SAYS("balance: round_robin"),
            "5: balance: the tasks of a stateful capability have their place already; leave it out");
    REFUSED(SAYS("canary: 5"),
            "5: canary: it is drawn which tasks get it, and a stateful capability answers with what one place has; expected 0");
    REFUSED(SAYS("bare: any"), "5: bare: any major would get the tasks, and a stateful capability answers with what one place "
                               "has; expected newest, error, or a major");
    REFUSED(SAYS("rules: [{from: t, prefer: s}]"), "5: rules: prefer would send some tasks elsewhere, and a stateful capability "
                                                   "answers with what one place has; expected allow, deny or fallback");
    REFUSED(SAYS("rules: [{deny: t}, {forbid: s}]"), "5: rules: forbid would send some tasks elsewhere, and a stateful capability "
                                                     "answers with what one place has; expected allow, deny or fallback");
    TAKEN(SAYS("canary: 0, bare: newest, idempotent: true, rules: [{deny: t}]"));
    TAKEN(ONE A("a", "plain", "{name: x, stateful: false, balance: round_robin}"));
}

/* One that leaves by itself takes its state along. */
Test(deployment_state, none_that_is_autoscaled)
{
#define SCALED "swarms:\n- service: s\n  queen: {autoscale: {max: 2}}\n  agents:\n"
#define GONE \
    "3: autoscale: agent a keeps state of its own, which each instance that leaves would take along; expected instances: N in " \
    "its place"
    REFUSED(SCALED A("a", "ledger", "x"), GONE);
    REFUSED(SCALED A("a", "ledger", "{name: x, stateful: true}"), GONE);
    REFUSED(SCALED A("a", "plain", "{name: x, stateful: true}"), GONE);
    REFUSED(SCALED A("a", "signer", "x"), GONE);
    TAKEN(SCALED A("a", "plain", "x"));
    TAKEN(SCALED A("a", "model", "x"));
    TAKEN(SCALED "  - {name: a, kind: signer, capabilities: [x], config: {key_file: k}}\n");
}
