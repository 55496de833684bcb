/* tools/common/demand.c - see demand.h. */
#include "tools/common/demand.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "tools/common/common.h"

static const char every[] = "reason by expect";

static bool demand_word(const char *words, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = words; *at != '\0'; at += strcspn(at, " "), at += *at == ' ')
        if (strncmp(at, name, n) == 0 && (at[n] == ' ' || at[n] == '\0')) return true;
    return false;
}

/* No control characters; the library has seen to it that it is UTF-8, and has no NUL. */
static bool demand_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f || ((unsigned char)*text == 0xc2 && (unsigned char)text[1] < 0xa0))
            return false;
    return true;
}

static void demand_text(struct request_verdict *v, const json_t *o, const char *key, bool needed, char *ret, size_t size)
{
    const json_t *value = json_object_get(o, key);
    const char *text = json_string_value(value);
    size_t n = text != NULL ? json_string_length(value) : 0;

    if (v->status != 200 || (value == NULL && !needed) || (json_is_null(value) && !needed)) return;
    if (text == NULL || n == 0 || n >= size || !demand_printable(text))
        request_refuse(v, 422, "%s: a text of 1 to %zu bytes is expected, without control characters%s", key, size - 1,
                       strcmp(key, "reason") == 0 ? "; it says why, to whoever looks at the events later" : "");
    else
        memcpy(ret, text, n + 1);
}

/* 0 where it is not there. */
static int64_t demand_number(struct request_verdict *v, const json_t *o, const char *key, bool needed, int64_t least, int64_t most)
{
    const json_t *value = json_object_get(o, key);
    int64_t n = json_integer_value(value);

    if (v->status != 200 || (value == NULL && !needed)) return least;
    if (!json_is_integer(value) || n < least || n > most)
        request_refuse(v, 422, "%s: a whole number from %lld to %lld is expected", key, (long long)least, (long long)most);
    return n;
}

static void demand_older(struct request_verdict *v, const json_t *o, uint64_t *ret)
{
    char text[REQUEST_TEXT_MAX + 1] = "";

    demand_text(v, o, "older", false, text, sizeof text);
    if (v->status == 200 && *text != '\0' && tool_duration(text, ret) < 0)
        request_refuse(v, 422, "older: '%s' is not a time; '90s', '5m' and '1h' are", AP_SHOWN(text, 40));
}

/* One of a list. */
static bool demand_item(struct demand *d, bool tasks, const json_t *value, size_t i)
{
    const char *text = json_string_value(value);

    if (tasks) return text != NULL && tool_parse_task(text, &d->tasks[i]) == 0;
    d->numbers[i] = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) > 0;
}

static void demand_list(struct request_verdict *v, const json_t *o, const char *key, struct demand *d)
{
    const json_t *list = json_object_get(o, key);
    bool tasks = strcmp(key, "tasks") == 0;
    size_t n = json_array_size(list);

    if (v->status != 200) return;
    if (!json_is_array(list) || n == 0 || n > DEMAND_MOST) {
        request_refuse(v, 422, "%s: a list of 1 to %u %s is expected", key, DEMAND_MOST,
                       tasks ? "ids of tasks" : "numbers of entries");
        return;
    }
    if (tasks) d->tasks = tool_alloc(n * sizeof *d->tasks);
    else d->numbers = tool_alloc(n * sizeof *d->numbers);
    d->count = n;
    for (size_t i = 0; i < n && v->status == 200; i++)
        if (!demand_item(d, tasks, json_array_get(list, i), i))
            request_refuse(v, 422, "%s: what is at place %zu is no %s", key, i + 1, tasks ? "id of a task" : "number of an entry");
}

/* Numbers, or what the others leave: one of both, so that a slip does not empty the dead set. */
static void demand_dead(struct request_verdict *v, const json_t *o, struct demand *d)
{
    const json_t *all = json_object_get(o, "all");

    d->all = json_is_true(all);
    if (all != NULL && !json_is_boolean(all)) request_refuse(v, 422, "all: true or false is expected");
    else if (d->all == (json_object_get(o, "numbers") != NULL))
        request_refuse(v, 422, "say which: 'numbers', or 'all': true with some of capability, service, cause and older, or none");
    else if (!d->all) demand_list(v, o, "numbers", d);
    demand_text(v, o, "capability", false, d->capability, sizeof d->capability);
    demand_text(v, o, "cause", false, d->cause, sizeof d->cause);
    demand_text(v, o, "service", false, d->service, sizeof d->service);
    demand_older(v, o, &d->older);
    if (v->status == 200 && !d->all && (*d->capability != '\0' || *d->cause != '\0' || *d->service != '\0' || d->older != 0))
        request_refuse(v, 422, "'numbers' says which; capability, service, cause and older go with 'all'");
}

static void demand_route(struct request_verdict *v, const json_t *o, struct demand *d)
{
    switch (v->route) {
    case REQUEST_RETRY:
    case REQUEST_DISCARD:
        demand_dead(v, o, d);
        return;
    case REQUEST_CANCEL:
    case REQUEST_FORGET:
        demand_list(v, o, "tasks", d);
        return;
    default:
        demand_text(v, o, "service", true, d->service, sizeof d->service);
        demand_text(v, o, "instance", false, d->instance, sizeof d->instance);
    }
    if (v->route == REQUEST_SCALE) d->instances = (uint32_t)demand_number(v, o, "instances", true, 1, DEMAND_INSTANCES);
    if (v->route == REQUEST_WEIGHT)
        d->weight = json_is_null(json_object_get(o, "weight")) ? -1 : (int)demand_number(v, o, "weight", true, 0, DEMAND_WEIGHT);
}

static void demand_keys(struct request_verdict *v, json_t *o)
{
    const char *words = request_rows[v->route].arguments, *key;
    json_t *value;

    json_object_foreach (o, key, value)
        if (v->status == 200 && !demand_word(words, key) && !demand_word(every, key))
            request_refuse(v, 422, "'%s' is no key of %s, which takes %s %s", AP_SHOWN(key, 40), request_rows[v->route].path, words,
                           every);
}

void demand_read(struct request_verdict *v, const char *body, size_t size, struct demand *ret)
{
    json_error_t error;
    json_t *o = json_loadb(body, size, JSON_REJECT_DUPLICATES, &error);

    *ret = (struct demand){.expect = -1};
    if (o == NULL) {
        char *shown = tool_printable(error.text, strlen(error.text));

        request_refuse(v, 400, "the body is no JSON: %s", AP_SHOWN(shown, 160));
        free(shown);
    } else if (!json_is_object(o)) {
        request_refuse(v, 400, "the body is no JSON object; expected are %s %s", request_rows[v->route].arguments, every);
    } else {
        demand_keys(v, o);
        if (v->status == 200) demand_route(v, o, ret);
        demand_text(v, o, "reason", true, ret->reason, sizeof ret->reason);
        demand_text(v, o, "by", false, ret->by, sizeof ret->by);
        if (json_object_get(o, "expect") != NULL) ret->expect = demand_number(v, o, "expect", true, 0, UINT32_MAX);
    }
    json_decref(o);
}

void demand_free(struct demand *d)
{
    free(d->numbers);
    free(d->tasks);
    d->numbers = NULL;
    d->tasks = NULL;
}
