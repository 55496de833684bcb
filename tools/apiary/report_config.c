/* tools/apiary/report_config.c - a configuration without its secrets. See report.h. */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <yaml.h>

#include "core/text.h"
#include "tools/apiary/report.h"
#include "tools/common/common.h"

static const char *const secret_words[] = {"password", "passwd",     "passphrase",    "secret",
                                           "token",    "credential", "authorization", "cookie"};

static bool says_secret(const char *text, size_t size)
{
    for (size_t i = 0; i < sizeof secret_words / sizeof secret_words[0]; i++) {
        size_t n = strlen(secret_words[i]);
        for (size_t at = 0; at + n <= size; at++)
            if (strncasecmp(text + at, secret_words[i], n) == 0) return true;
    }
    return size >= 3 && strncasecmp(text + size - 3, "key", 3) == 0;
}

/* The word that ends before `end`, of a text that begins at `text`: of an option, a variable, or a member of a query. */
static size_t word_before(const char *text, const char *end)
{
    size_t n = 0;
    while (end - n > text && (isalnum((unsigned char)end[-1 - (ptrdiff_t)n]) || strchr("-_.", end[-1 - (ptrdiff_t)n]) != NULL)) n++;
    return n;
}

/* Copies a value without what a URL or an assignment in it gives away; to be freed. */
static char *value_without(const char *text)
{
    size_t size = strlen(text);
    char *ret = tool_alloc(size * sizeof REPORT_SECRET + 1), *to = ret;
    const char *at = text;

    while (*at != '\0') {
        size_t skip = 0;
        if (strncmp(at, "://", 3) == 0) {
            size_t user = strcspn(at + 3, "/?# @");
            memcpy(to, at, 3);
            to += 3;
            at += 3;
            if (at[user] == '@') skip = user;
        } else {
            bool says = (*at == '=' || *at == ':') && says_secret(at - word_before(text, at), word_before(text, at));
            char how = *at;
            *to++ = *at++;
            if (says) skip = how == ':' ? strlen(at) : strcspn(at, "& \t\n;,"); /* a header's value goes to the end */
        }
        if (skip == 0) continue;
        memcpy(to, REPORT_SECRET, sizeof REPORT_SECRET - 1);
        to += sizeof REPORT_SECRET - 1;
        at += skip;
    }
    *to = '\0';
    return ret;
}

enum kind { PLAIN, HEADERS, VARIABLES, SECRET }; /* each stricter than the one before */

/* Where the next scalar stands. */
struct walk {
    struct {
        bool mapping, key; /* key: a key comes next */
        enum kind kind;    /* of all below */
    } levels[64];
    size_t depth;
    enum kind next; /* of the value that comes next, for its key's sake */
};

static enum kind walk_kind(const struct walk *w)
{
    enum kind level = w->levels[w->depth].kind;

    return w->next > level ? w->next : level;
}

/* After a value, a key; after a key, its value. */
static void walk_turn(struct walk *w)
{
    if (w->levels[w->depth].mapping) w->levels[w->depth].key = !w->levels[w->depth].key;
    w->next = PLAIN;
}

static bool walk_down(struct walk *w, bool mapping)
{
    enum kind kind = walk_kind(w);

    if (w->depth + 1 == sizeof w->levels / sizeof w->levels[0]) return false;
    walk_turn(w);
    w->depth++;
    w->levels[w->depth].mapping = w->levels[w->depth].key = mapping;
    w->levels[w->depth].kind = kind;
    return true;
}

/* Of a variable its name stays; to be freed. */
static char *value_of(enum kind kind, const char *text)
{
    const char *equal = strchr(text, '=');

    if (kind == SECRET) return tool_strdup(REPORT_SECRET);
    if (kind == VARIABLES && equal != NULL) return tool_format("%.*s=" REPORT_SECRET, (int)(equal - text), text);
    if (kind == HEADERS) return tool_format("%.*s: " REPORT_SECRET, (int)strcspn(text, ":"), text);
    return value_without(text);
}

/* Replaces the event of a value by one without secrets; false: no memory. */
static bool scalar_judge(struct walk *w, yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    char *clean;
    yaml_event_t other;
    bool option;
    int ok;

    if (w->levels[w->depth].mapping && w->levels[w->depth].key) {
        walk_turn(w);
        w->next = says_secret(text, size)           ? SECRET
                  : strcmp(text, "env") == 0     ? VARIABLES
                  : strcmp(text, "headers") == 0 ? HEADERS
                                                 : PLAIN;
        return true;
    }
    clean = value_of(walk_kind(w), text);
    option = !w->levels[w->depth].mapping && *text == '-' && strchr(text, '=') == NULL && says_secret(text, size);
    walk_turn(w);
    if (option) w->next = SECRET; /* of a command: its value is the next word */
    ok = yaml_scalar_event_initialize(&other, event->data.scalar.anchor, NULL, (yaml_char_t *)clean, (int)strlen(clean), 1, 1,
                                      event->data.scalar.style);
    free(clean);
    if (!ok) return false;
    yaml_event_delete(event);
    *event = other;
    return true;
}

static bool event_judge(struct walk *w, yaml_event_t *event)
{
    switch (event->type) {
    case YAML_MAPPING_START_EVENT: return walk_down(w, true);
    case YAML_SEQUENCE_START_EVENT: return walk_down(w, false);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        if (w->depth > 0) w->depth--;
        w->next = PLAIN;
        return true;
    case YAML_ALIAS_EVENT: walk_turn(w); return true;
    case YAML_SCALAR_EVENT: return scalar_judge(w, event);
    default: return true;
    }
}

bool report_config(FILE *in, FILE *out, char why[REPORT_WHY])
{
    struct walk walk = {.depth = 0};
    yaml_parser_t parser;
    yaml_emitter_t emitter;
    yaml_event_t event;
    bool ok = true, end = false;

    if (!yaml_parser_initialize(&parser)) {
        ap_format(why, REPORT_WHY, "no memory");
        return false;
    }
    if (!yaml_emitter_initialize(&emitter)) {
        yaml_parser_delete(&parser);
        ap_format(why, REPORT_WHY, "no memory");
        return false;
    }
    yaml_parser_set_input_file(&parser, in);
    yaml_emitter_set_output_file(&emitter, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1); /* a value stays on its line */
    while (ok && !end) {
        ok = yaml_parser_parse(&parser, &event);
        if (!ok) {
            ap_format(why, REPORT_WHY, "line %zu is no YAML: %s", parser.problem_mark.line + 1,
                      parser.problem != NULL ? parser.problem : "it cannot be read");
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        ok = event_judge(&walk, &event);
        if (!ok) {
            ap_format(why, REPORT_WHY, "line %zu: it is nested too deep, or there is no memory", event.start_mark.line + 1);
            yaml_event_delete(&event);
            break;
        }
        ok = yaml_emitter_emit(&emitter, &event); /* which frees it */
        if (!ok) ap_format(why, REPORT_WHY, "it cannot be written: %s", emitter.problem != NULL ? emitter.problem : "no memory");
    }
    yaml_emitter_delete(&emitter);
    yaml_parser_delete(&parser);
    return ok;
}
