/* agents/kinds/schema.c - see schema.h. */
#include "agents/kinds/schema.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/support.h"
#include "core/text.h"

/* ---- schemas ----------------------------------------------------------------------------------------------------- */

struct parsed {
    struct parsed *next;
    const char *text;
    json_t *schema;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct parsed *all[64]; /* by the text's address; they stay */

static json_t *schema_parse(const char *text)
{
    char *json = strdup(text);
    for (char *c = json; c && *c; c++)
        if (*c == '\'') *c = '"';
    json_t *schema = json ? json_loads(json, JSON_REJECT_DUPLICATES, NULL) : NULL;
    free(json);
    return schema;
}

const json_t *ap_schema(const char *text)
{
    struct parsed **first = &all[((uintptr_t)text >> 4) % 64], *p;
    pthread_mutex_lock(&lock);
    for (p = *first; p && p->text != text; p = p->next) {}
    if (!p && (p = malloc(sizeof *p))) {
        *p = (struct parsed){*first, text, schema_parse(text)};
        if (p->schema) {
            *first = p;
        } else { /* no memory: the next call tries it again */
            free(p);
            p = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
    return p ? p->schema : NULL;
}

static const char *const keywords[] = {
    "type",      "properties", "required",  "additionalProperties", "minProperties", "maxProperties", "items", "prefixItems",
    "minItems",  "maxItems",   "minLength", "maxLength",            "minimum",       "maximum",       "enum",  "exclusiveMinimum",
    "const",     "oneOf",      "title",     "description",          "exclusiveMaximum"};

const char *ap_schema_stranger(const json_t *schema)
{
    const char *key, *found = NULL;
    json_t *value, *inner;
    size_t i, k;
    json_object_foreach((json_t *)schema, key, value)
    {
        for (k = 0; k < sizeof keywords / sizeof *keywords && strcmp(key, keywords[k]) != 0; k++) {}
        if (k == sizeof keywords / sizeof *keywords) return key;
        if (strcmp(key, "properties") == 0) {
            json_object_foreach(value, key, inner) if ((found = ap_schema_stranger(inner))) return found;
        } else if (strcmp(key, "prefixItems") == 0 || strcmp(key, "oneOf") == 0) {
            json_array_foreach(value, i, inner) if ((found = ap_schema_stranger(inner))) return found;
        } else if ((strcmp(key, "items") == 0 || strcmp(key, "additionalProperties") == 0) && json_is_object(value)) {
            if ((found = ap_schema_stranger(value))) return found;
        }
    }
    return NULL;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

struct place { /* of a value in the request */
    const struct place *up;
    const char *member; /* NULL: an item */
    size_t item;
};
struct judge {
    char *message;
    size_t size;
};

static void print_way(FILE *out, const struct place *place)
{
    if (place->up && place->up->up) {
        print_way(out, place->up);
        putc('/', out);
    }
    if (place->member)
        fputs(AP_SHOWN(place->member, 80), out);
    else
        fprintf(out, "%zu", place->item);
}

/* "PLACE" and what is wrong there. */
static int wrong(const struct judge *j, const struct place *place, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int wrong(const struct judge *j, const struct place *place, int code, const char *format, ...)
{
    FILE *out = fmemopen(j->message, j->size, "w");
    va_list args;
    if (!out) return code;
    if (place->up) {
        putc('"', out);
        print_way(out, place);
        fputs("\" ", out);
    } else {
        fputs("the request ", out);
    }
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fclose(out);
    j->message[j->size - 1] = '\0';
    return code;
}

static void list_words(char *ret, size_t size, const char *word, bool first)
{
    size_t at = first ? 0 : strlen(ret);
    snprintf(ret + at, size - at, "%s%s", first ? "" : ", ", word);
}

/* The texts of a list, or the members of an object. */
static void list_names(char *ret, size_t size, const json_t *names)
{
    const char *name;
    json_t *value;
    size_t i;
    bool first = true;
    *ret = '\0';
    json_object_foreach((json_t *)names, name, value)
    {
        list_words(ret, size, name, first);
        first = false;
    }
    json_array_foreach(names, i, value)
    {
        list_words(ret, size, json_is_string(value) ? json_string_value(value) : "another value", first);
        first = false;
    }
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *what;
} types[] = {{"string", "a text"},       {"integer", "a whole number"}, {"number", "a number"}, {"boolean", "true or false"},
             {"array", "a list"},        {"object", "an object"},       {"null", "null"}};

static bool has_type(const json_t *value, const char *type)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return strcmp(type, "object") == 0;
    case JSON_ARRAY:
        return strcmp(type, "array") == 0;
    case JSON_STRING:
        return strcmp(type, "string") == 0;
    case JSON_INTEGER:
        return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL:
        return strcmp(type, "number") == 0;
    case JSON_TRUE:
    case JSON_FALSE:
        return strcmp(type, "boolean") == 0;
    default:
        return strcmp(type, "null") == 0;
    }
}

static const char *type_what(const char *type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i].name) == 0) return types[i].what;
    return type;
}

/* "a text", "a text or null". */
static void tell_type(char *ret, size_t size, const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    json_t *one;
    size_t i, at = 0;
    snprintf(ret, size, "%s", json_is_string(type) ? type_what(json_string_value(type)) : "a value");
    json_array_foreach(type, i, one) if (at < size) at += (size_t)snprintf(ret + at, size - at, "%s%s", i ? " or " : "",
                                                                         type_what(json_string_value(one)));
}

static bool type_fits(const json_t *type, const json_t *value)
{
    json_t *one;
    size_t i;
    if (!type) return true;
    if (json_is_string(type)) return has_type(value, json_string_value(type));
    json_array_foreach(type, i, one) if (has_type(value, json_string_value(one))) return true;
    return false;
}

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

/* How many there are, of what, between two keywords. */
static int judge_count(const struct judge *j, const json_t *schema, const struct place *place, size_t count, const char *least_key,
                       const char *most_key, const char *what)
{
    const json_t *least = json_object_get(schema, least_key), *most = json_object_get(schema, most_key);
    json_int_t n = (json_int_t)count;
    bool few = least && n < json_integer_value(least), many = most && n > json_integer_value(most);
    bool exact = least && most && json_integer_value(least) == json_integer_value(most);
    int code = many && !exact ? AP_CODE_TOO_LARGE : AP_CODE_BAD_REQUEST;
    if (!few && !many) return 0;
    if (exact) return wrong(j, place, code, "has %zu %s; %lld are wanted", count, what, (long long)json_integer_value(most));
    if (!most)
        return wrong(j, place, code, "has %zu %s; at least %lld are wanted", count, what, (long long)json_integer_value(least));
    if (!least)
        return wrong(j, place, code, "has %zu %s; at most %lld are allowed", count, what, (long long)json_integer_value(most));
    return wrong(j, place, code, "has %zu %s; %lld to %lld are allowed", count, what, (long long)json_integer_value(least),
                 (long long)json_integer_value(most));
}

static size_t characters(const json_t *text)
{
    size_t count = 0;
    const char *c = json_string_value(text);
    for (size_t i = json_string_length(text); i > 0; i--)
        count += (*c++ & 0xC0) != 0x80;
    return count;
}

static int judge_number(const struct judge *j, const json_t *schema, const struct place *place, const json_t *value)
{
    const json_t *min = json_object_get(schema, "minimum"), *above = json_object_get(schema, "exclusiveMinimum");
    const json_t *max = json_object_get(schema, "maximum"), *below = json_object_get(schema, "exclusiveMaximum");
    if (!(min && ap_json_order(value, min) < 0) && !(above && ap_json_order(value, above) <= 0) &&
        !(max && ap_json_order(value, max) == 1) && !(below && ap_json_order(value, below) >= 0))
        return 0;
    const json_t *ends[] = {value, min ? min : above, max ? max : below};
    char *texts[3];
    for (int i = 0; i < 3; i++)
        texts[i] = ends[i] ? ap_json_text(ends[i]) : NULL;
    int code = wrong(j, place, AP_CODE_BAD_REQUEST, "is %s; %s%s%s%s%s is allowed", texts[0] ? texts[0] : "out of range",
                     above ? "more than " : texts[1] && !texts[2] ? "at least " : "", texts[1] ? texts[1] : "",
                     texts[1] && texts[2] ? " to " : texts[2] && max ? "at most " : "", below ? "less than " : "",
                     texts[2] ? texts[2] : "");
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    return code;
}

/* One of several values. */
static int judge_choice(const struct judge *j, const json_t *allowed, const struct place *place, const json_t *value)
{
    char names[400];
    json_t *one;
    size_t i;
    json_array_foreach(allowed, i, one) if (ap_json_equal(one, value)) return 0;
    list_names(names, sizeof names, allowed);
    const char *is = json_array_size(allowed) > 1 ? "are" : "is";
    if (!value) return wrong(j, place, AP_CODE_BAD_REQUEST, "is missing; %s %s allowed", names, is);
    if (!json_is_string(value)) return wrong(j, place, AP_CODE_BAD_REQUEST, "is not a text; %s %s allowed", names, is);
    return wrong(j, place, AP_CODE_BAD_REQUEST, "is \"%s\"; %s %s allowed", AP_SHOWN(json_string_value(value), 80), names, is);
}

static int judge_const(const struct judge *j, const json_t *wanted, const struct place *place, const json_t *value)
{
    json_t *list = json_pack("[O]", wanted);
    int code = judge_choice(j, list, place, value);
    json_decref(list);
    return code;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static int judge_value(const struct judge *j, const json_t *schema, const struct place *place, const json_t *value);

static int judge_object(const struct judge *j, const json_t *schema, const struct place *place, const json_t *object)
{
    const json_t *properties = json_object_get(schema, "properties"), *others = json_object_get(schema, "additionalProperties");
    char names[400];
    const char *name;
    json_t *value;
    size_t i;
    json_array_foreach(json_object_get(schema, "required"), i, value)
    {
        const char *wanted = json_string_value(value);
        const struct place at = {.up = place, .member = wanted};
        if (json_object_get(object, wanted)) continue;
        tell_type(names, sizeof names, json_object_get(properties, wanted));
        return wrong(j, &at, AP_CODE_BAD_REQUEST, "is missing; %s is wanted", names);
    }
    json_object_foreach((json_t *)object, name, value)
    {
        const struct place at = {.up = place, .member = name};
        const json_t *inner = json_object_get(properties, name);
        int code = 0;
        if (inner || json_is_object(others)) {
            code = judge_value(j, inner ? inner : others, &at, value);
        } else if (json_is_false(others)) {
            list_names(names, sizeof names, properties);
            code = wrong(j, &at, AP_CODE_BAD_REQUEST, "is unknown; known here: %s", names[0] ? names : "nothing");
        }
        if (code != 0) return code;
    }
    return judge_count(j, schema, place, json_object_size(object), "minProperties", "maxProperties", "members");
}

static int judge_list(const struct judge *j, const json_t *schema, const struct place *place, const json_t *list)
{
    const json_t *items = json_object_get(schema, "items"), *first = json_object_get(schema, "prefixItems");
    json_t *value;
    size_t i;
    int code = judge_count(j, schema, place, json_array_size(list), "minItems", "maxItems", "items");
    json_array_foreach(list, i, value)
    {
        const struct place at = {.up = place, .item = i};
        const json_t *inner = i < json_array_size(first) ? json_array_get(first, i) : items;
        if (code == 0 && inner) code = judge_value(j, inner, &at, value);
        if (code != 0) break;
    }
    return code;
}

/* The member by which the alternatives differ: the first one that has a const or enum in the first of them. */
static const char *telling_member(const json_t *alternatives)
{
    const char *name;
    json_t *inner;
    json_object_foreach(json_object_get(json_array_get(alternatives, 0), "properties"), name,
                        inner) if (json_object_get(inner, "const") || json_object_get(inner, "enum")) return name;
    return NULL;
}

static int judge_alternatives(const struct judge *j, const json_t *alternatives, const struct place *place, const json_t *value)
{
    const char *name = telling_member(alternatives);
    json_t *one, *choice;
    size_t i, k;
    int code;
    if (!json_is_object(value)) return wrong(j, place, AP_CODE_BAD_REQUEST, "is not an object");
    const json_t *given = name ? json_object_get(value, name) : NULL;
    json_t *allowed = json_array();
    json_array_foreach(alternatives, i, one)
    {
        const json_t *told = json_object_get(json_object_get(one, "properties"), name), *only = json_object_get(told, "const");
        bool is = only && given && ap_json_equal(only, given);
        if (only) json_array_append(allowed, (json_t *)only);
        json_array_foreach(json_object_get(told, "enum"), k, choice)
        {
            is |= given && ap_json_equal(choice, given);
            json_array_append(allowed, choice);
        }
        if (!is) continue;
        json_decref(allowed);
        return judge_value(j, one, place, value);
    }
    const struct place at = {.up = place, .member = name};
    code = judge_choice(j, allowed, &at, given);
    json_decref(allowed);
    return code;
}

static int judge_value(const struct judge *j, const json_t *schema, const struct place *place, const json_t *value)
{
    const json_t *type = json_object_get(schema, "type");
    char what[120];
    if (!type_fits(type, value)) {
        tell_type(what, sizeof what, schema);
        return wrong(j, place, AP_CODE_BAD_REQUEST, "is not %s", what);
    }
    if (json_object_size(schema) == (type != NULL)) return 0; /* nothing more is asked, as of most values */
    const json_t *allowed = json_object_get(schema, "enum"), *only = json_object_get(schema, "const");
    const json_t *alternatives = json_object_get(schema, "oneOf");
    int code = allowed ? judge_choice(j, allowed, place, value) : only ? judge_const(j, only, place, value) : 0;
    if (code == 0 && alternatives) code = judge_alternatives(j, alternatives, place, value);
    if (code != 0) return code;
    if (json_is_object(value)) return alternatives ? 0 : judge_object(j, schema, place, value);
    if (json_is_array(value)) return judge_list(j, schema, place, value);
    if (json_is_string(value))
        return judge_count(j, schema, place, characters(value), "minLength", "maxLength", "characters");
    return json_is_number(value) ? judge_number(j, schema, place, value) : 0;
}

int ap_schema_judge(const json_t *schema, const json_t *value, char *message, size_t size)
{
    const struct judge j = {message, size};
    const struct place whole = {.up = NULL};
    message[0] = '\0';
    return judge_value(&j, schema, &whole, value);
}
