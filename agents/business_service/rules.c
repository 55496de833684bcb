/* agents/business_service/rules.c - kind "rules": conditions over the members of a JSON object.
 *
 * A condition is [member, operator, value]; the member may be a path ("order.total": the member of that name, or "total" of
 * the member "order"). Operators: == != < <= > >= in contains present absent (the last two take no value). Numbers compare as
 * numbers, exactly, and 1 equals 1.0, also in lists and objects; texts compare byte by byte; other mixtures are false. A path has
 * at most 1024 bytes, and all looks into lists and texts together are at most 20 million items and bytes.
 *   business_rules {"rules":[{"name":"big","if":[["amount",">",100]],"then":"review"}],"facts":{"amount":120}} ->
 *                  {"fired":[{"rule":"big","then":"review"}]}    in the order of the rules; all conditions of a rule must hold
 *   compliance     {"policy":[{"name":"p","require":["country","in",["DE","FR"]]}],"record":{...}} ->
 *                  {"compliant":false,"violations":[{"policy":"p","member":"country","found":"XX"}]}
 */
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { RULES_MOST = 1000, CONDITIONS_MOST = 64, PATH_MOST = 1024, LOOKS_MOST = 20000000 };

static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">=", "in", "contains", "present", "absent"};
enum operator{ EQUAL, UNEQUAL, LESS, AT_MOST, MORE, AT_LEAST, IN, CONTAINS, PRESENT, ABSENT, NONE };

static bool is_in(const json_t *item, const json_t *list)
{
    size_t i;
    json_t *other;
    json_array_foreach(list, i, other) if (ap_json_equal(item, other)) return true;
    if (json_is_string(item) && json_is_string(list))
        return strstr(json_string_value(list), json_string_value(item)) != NULL;
    return false;
}

static enum operator operator_of(const json_t *condition)
{
    const char *name = json_string_value(json_array_get(condition, 1));
    enum operator op = EQUAL;
    while (op < NONE && !(name && strcmp(name, operators[op]) == 0))
        op++;
    return op;
}

static bool rules_holds(const json_t *condition, const json_t *facts)
{
    const json_t *found = ap_json_member(facts, json_string_value(json_array_get(condition, 0)));
    const json_t *value = json_array_get(condition, 2);
    int compared = found ? ap_json_order(found, value) : 2;
    switch (operator_of(condition)) {
    case EQUAL:
        return found && ap_json_equal(found, value);
    case UNEQUAL:
        return !found || !ap_json_equal(found, value);
    case LESS:
        return compared == -1;
    case AT_MOST:
        return compared == -1 || compared == 0;
    case MORE:
        return compared == 1;
    case AT_LEAST:
        return compared == 1 || compared == 0;
    case IN:
        return found && is_in(found, value);
    case CONTAINS:
        return found && is_in(value, found);
    case PRESENT:
        return found != NULL;
    case ABSENT:
        return found == NULL;
    case NONE:
        break;
    }
    return false;
}

static size_t length_of(const json_t *value)
{
    return json_is_array(value) ? json_array_size(value) : json_is_string(value) ? json_string_length(value) : 0;
}

/* Adds what a condition looks through. false: it is too much, and the job is failed. */
static bool afford(apiary_job_t *job, const json_t *condition, const json_t *facts, size_t *looks)
{
    enum operator op = operator_of(condition);
    if (op == IN) *looks += length_of(json_array_get(condition, 2));
    if (op == CONTAINS) *looks += length_of(ap_json_member(facts, json_string_value(json_array_get(condition, 0))));
    if (*looks <= LOOKS_MOST) return true;
    apiary_job_fail(job, AP_CODE_TOO_LARGE, "the conditions look through more than %d items and bytes", LOOKS_MOST);
    return false;
}

/* false: the job is failed with what is wrong. */
static bool check_condition(apiary_job_t *job, const json_t *condition, const char *rule)
{
    enum operator op = operator_of(condition);
    size_t wanted = op == PRESENT || op == ABSENT ? 2 : 3;
    const json_t *path = json_array_get(condition, 0);
    if (json_is_string(path) && json_string_length(path) > PATH_MOST) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"%s\": a member's path has %zu bytes; at most %d are allowed", rule,
                        json_string_length(path), PATH_MOST);
        return false;
    }
    if (json_is_string(path) && op != NONE && json_array_size(condition) == wanted) return true;
    apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                    "\"%s\": a condition is [member, operator, value]; operators are == != < <= > >= in contains, and "
                    "present and absent without a value",
                    rule);
    return false;
}

static bool need_name(apiary_job_t *job, const json_t *rule, size_t i, const char **ret)
{
    *ret = json_string_value(json_object_get(rule, "name"));
    if (*ret) return true;
    apiary_job_fail(job, AP_CODE_BAD_REQUEST, "item %zu has no \"name\"", i);
    return false;
}

/* 1 all conditions hold, 0 not, -1 the job is failed. */
static int fires(apiary_job_t *job, const json_t *rule, const char *name, const json_t *facts, size_t *looks)
{
    const json_t *conditions;
    json_t *condition;
    size_t i;
    int all = 1;
    if (!ap_need_array(job, rule, "if", CONDITIONS_MOST, &conditions)) return -1;
    json_array_foreach(conditions, i, condition)
    {
        if (!check_condition(job, condition, name) || !afford(job, condition, facts, looks)) return -1;
        all &= rules_holds(condition, facts);
    }
    return all;
}

static void fire(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *rules, *facts;
    const char *name;
    json_t *rule;
    size_t i, looks = 0;
    (void)state;
    if (!ap_need_array(job, request, "rules", RULES_MOST, &rules) || !ap_need_object(job, request, "facts", &facts))
        return;
    json_t *fired = json_array();
    json_array_foreach(rules, i, rule)
    {
        int result = need_name(job, rule, i, &name) ? fires(job, rule, name, facts, &looks) : -1;
        json_t *then = json_object_get(rule, "then");
        if (result < 0) {
            json_decref(fired);
            return;
        }
        if (result) json_array_append_new(fired, json_pack("{s:s,s:O?}", "rule", name, "then", then));
    }
    ap_answer(job, "{s:o}", "fired", fired);
}

static void comply(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *policies, *record, *require;
    const char *name;
    json_t *policy;
    size_t i, looks = 0;
    (void)state;
    if (!ap_need_array(job, request, "policy", RULES_MOST, &policies) ||
        !ap_need_object(job, request, "record", &record))
        return;
    json_t *violations = json_array();
    json_array_foreach(policies, i, policy)
    {
        if (!need_name(job, policy, i, &name) || !ap_need_array(job, policy, "require", 3, &require) ||
            !check_condition(job, require, name) || !afford(job, require, record, &looks)) {
            json_decref(violations);
            return;
        }
        const char *path = json_string_value(json_array_get(require, 0));
        if (!rules_holds(require, record))
            json_array_append_new(violations, json_pack("{s:s,s:s,s:O?}", "policy", name, "member", path, "found",
                                                        ap_json_member(record, path)));
    }
    ap_answer(job, "{s:b,s:o}", "compliant", json_array_size(violations) == 0, "violations", violations);
}

const struct ap_function ap_functions_rules[] = {
    {.capability = "business_rules",
     .call = fire,
     .in = AP_OBJECT("'rules','facts'", "'rules':{'type':'array','items':{'type':'object','required':['name','if'],"
           "'properties':{'name':{'type':'string'},'if':{'type':'array','items':{'type':'array'},'maxItems':64},"
           "'then':{}},'additionalProperties':false},'maxItems':1000},"
                      "'facts':{'type':'object'}"),
     .out = AP_OBJECT("'fired'", "'fired':{'type':'array','items':{'type':'object','required':['rule','then'],"
           "'properties':{'rule':{'type':'string'},'then':{}},'additionalProperties':false}}"),
     .bound = "1000 of them with 64 conditions each; 20 million items and bytes looked through",
     .again = AP_AGAIN_SAME,
     .send = "{\"rules\":[{\"name\":\"large\",\"if\":[[\"total\",\">\",100]],\"then\":\"review\"}],"
           "\"facts\":{\"total\":120}}",
     .answer = "{\"fired\":[{\"rule\":\"large\",\"then\":\"review\"}]}"},
    {.capability = "compliance",
     .call = comply,
     .in = AP_OBJECT("'policy','record'", "'policy':{'type':'array','items':{'type':'object','required':['name',"
           "'require'],'properties':{'name':{'type':'string'},'require':{'type':'array'}},"
           "'additionalProperties':false},'maxItems':1000},"
                      "'record':{'type':'object'}"),
     .out = AP_OBJECT("'compliant','violations'", "'compliant':{'type':'boolean'},"
                      "'violations':{'type':'array','items':{'type':'object','required':['policy','member','found'],"
           "'properties':{'policy':{'type':'string'},'member':{'type':'string'},'found':{}},"
           "'additionalProperties':false}}"),
     .bound = "1000 of them with 64 conditions each; 20 million items and bytes looked through",
     .again = AP_AGAIN_SAME,
     .send = "{\"policy\":[{\"name\":\"signed\",\"require\":[\"signature\",\"present\"]}],\"record\":{}}",
     .answer = "{\"compliant\":false,\"violations\":[{\"policy\":\"signed\",\"member\":\"signature\",\"found\":null}]}"},
    {.capability = NULL},
};

static void rules_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_rules, state, job);
}

const apiary_agent_kind_t ap_kind_rules = {
    APIARY_AGENT_KIND,
    .name = "rules",
    .what = "business_rules, compliance: conditions over the members of a JSON object",
    .create = ap_create_plain,
    .handle = rules_handle,
    .capabilities = (const char *const[]){"business_rules", "compliance", NULL},
};
