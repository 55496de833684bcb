/* agents/runtime/terms_config.c - see terms_config.h. */
#include "agents/runtime/terms_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/rules_config.h"
#include "core/text.h"

#define MS INT64_C(1000000)

/* The first is for an item of a list only. */
static const struct ap_key terms_keys[] = {
    {.name = "name", .type = 's', .required = true, .what = "the capability"},
#define WORDS(kind) ((kind) == 'w' || (kind) == 'n')
#define TYPE(kind) ((kind) == 'w' ? 's' : (kind) == 'n' || (kind) == 't' || (kind) == 'p' ? 'a' : (kind) == 'r' ? 'L' : (kind))
#define AP_TERM(field, kind, of, words, least, most, otherwise, about) \
    {.name = #field, .type = TYPE(kind), .what = about, .min = WORDS(kind) ? 0 : (least), .max = WORDS(kind) ? 0 : (most)},
#include "registry/routing/terms.def"
#undef AP_TERM
    {.name = NULL},
};

/* Of a term that takes numbers, too: true, and the value, or false. */
static bool terms_number(const struct ap_node *at, const struct ap_term_row *r, uint64_t *ret)
{
    uint64_t words = 0, most, n = 0;

    while (r->words(words) != NULL) words++;
    most = r->max - words + 1;
    for (const char *c = at->text; *c != '\0' && n <= most; c++) {
        if (*c < '0' || *c > '9') return false;
        n = n * 10 + (uint64_t)(*c - '0');
    }
    *ret = n + words - 1;
    return n >= 1 && n <= most;
}

static int terms_word(const struct ap_node *at, const struct ap_term_row *r, uint64_t *ret, struct ap_config_error *error)
{
    const char *near = NULL, *word;
    char known[256] = "";

    if (at->kind != AP_NODE_TEXT)
        return ap_node_refuse(at, error, "%s: expected a word%s", r->key, r->type == 'n' ? " or a number" : "");
    if (r->type == 'n' && !at->quoted && terms_number(at, r, ret)) return 0;
    for (*ret = 0; (word = r->words(*ret)) != NULL; ++*ret) {
        if (strcmp(word, at->text) == 0) return 0;
        near = ap_word_nearest(at->text, near, word);
        ap_words_add(known, sizeof known, word);
    }
    return ap_node_refuse(at, error, "%s: '%s' is not allowed%s%s%s; expected one of %s%s", r->key, AP_SHOWN(at->text, 48),
                          near != NULL ? " (did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?)" : "", known,
                          r->type == 'n' ? ", or a number" : "");
}

/* A duration, or a word for one. */
static int terms_time(const struct ap_node *map, const struct ap_node *at, const struct ap_term_row *r, uint64_t *ret,
                      struct ap_config_error *error)
{
    int64_t time = at->kind == AP_NODE_TEXT ? ap_node_number(map, r->key, 'd', 0) : 0;
    const char *word;

    for (*ret = r->min; (word = r->words(*ret)) != NULL; ++*ret)
        if (at->kind == AP_NODE_TEXT && strcmp(word, at->text) == 0) return 0;
    if (time >= MS && (uint64_t)time <= r->max) {
        *ret = (uint64_t)time;
        return 0;
    }
    return ap_node_refuse(at, error, "%s: '%s' is not allowed; expected a duration of 1ms or more, such as 20ms, or %s", r->key,
                          at->kind == AP_NODE_TEXT ? AP_SHOWN(at->text, 40) : "a list", r->words(r->min));
}

/* A percentage with up to three decimals, in thousandths. */
static int terms_percent(const struct ap_node *at, const struct ap_term_row *r, uint64_t *ret, struct ap_config_error *error)
{
    const char *text = at->kind == AP_NODE_TEXT ? at->text : "";
    size_t whole = strspn(text, "0123456789"), part = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    uint64_t n = 0, unit = 1000;

    for (size_t i = 0; i < whole && n <= r->max; i++) n = 10 * n + 1000 * (uint64_t)(text[i] - '0');
    for (size_t i = 0; i < part && unit >= 10; i++) n += (unit /= 10) * (uint64_t)(text[whole + 1 + i] - '0');
    if (whole > 0 && part <= 3 && text[whole + part + (part > 0)] == '\0' && n >= r->min && n <= r->max) {
        *ret = n;
        return 0;
    }
    return ap_node_refuse(at, error, "%s: '%s' is not allowed; expected a percentage from 1 to 99.999, such as 99.9", r->key,
                          at->kind == AP_NODE_TEXT ? AP_SHOWN(at->text, 40) : "a list");
}

/* A hedge needs one term, and does without two. */
static int terms_hedged(const struct ap_node *map, const struct ap_terms *t, struct ap_config_error *error)
{
    const struct ap_node *at = ap_node_get(map, "hedge");

    if (t->hedge == 0) return 0;
    if (t->idempotent != 1 + 1)
        return ap_node_refuse(at, error, "hedge: a task may be run twice then; it goes with idempotent: true only");
    if (t->max_attempts > 1 + 1)
        return ap_node_refuse(at, error, "hedge: a task that is hedged is not tried again; leave it out, or max_attempts");
    if (t->stateful == 1 + 1)
        return ap_node_refuse(at, error, "hedge: the tasks of a stateful capability have one place; leave it out");
    return 0;
}

/* A term of the name without a major may be said of the name with it: the agent offers both. */
static int terms_fits(const struct ap_node *at, const struct ap_term_row *r, const char *name, struct ap_config_error *error)
{
    if (r->of != AP_OF_MAJOR || strchr(name, '@') != NULL) return 0;
    return ap_node_refuse(at, error, "%s: %s has no major; it is a term of %s@MAJOR", r->key, AP_SHOWN(name, 64),
                          AP_SHOWN(name, 64));
}

/* Terms that would send tasks to somebody who does not have the state. */
static int terms_stateful(const struct ap_node *map, const struct ap_terms *terms, const struct ap_rules *rules,
                          struct ap_config_error *error)
{
    if (AP_TERM_VALUE(terms->stateful) != 2) return 0;
    if (terms->balance != 0)
        return ap_node_refuse(ap_node_get(map, "balance"), error,
                              "balance: the tasks of a stateful capability have their place already; leave it out");
    if (AP_TERM_VALUE(terms->canary) > 1)
        return ap_node_refuse(ap_node_get(map, "canary"), error,
                              "canary: it is drawn which tasks get it, and a stateful capability answers with what one place has; "
                              "expected 0");
    if (AP_TERM_VALUE(terms->bare) == AP_BARE_ANY + 1)
        return ap_node_refuse(ap_node_get(map, "bare"), error,
                              "bare: any major would get the tasks, and a stateful capability answers with what one place has; "
                              "expected newest, error, or a major");
    for (uint32_t i = 0; i < rules->count; i++) {
        const char *verb = ap_rule_verb_name(rules->list[i].verb);

        if (rules->list[i].verb != AP_RULE_PREFER && rules->list[i].verb != AP_RULE_FORBID) continue;
        return ap_node_refuse(ap_node_get(map, "rules"), error,
                              "rules: %s would send some tasks elsewhere, and a stateful capability answers with what one place "
                              "has; expected allow, deny or fallback", verb);
    }
    return 0;
}

/* Terms that mean nothing without another one. */
static int terms_together(const struct ap_node *map, struct ap_terms *terms, struct ap_config_error *error)
{
    const struct ap_node *to = ap_node_get(map, "never_to"), *burst = ap_node_get(map, "burst");
    uint64_t from = *ap_term_word(terms, AP_TERM_never_from);

    if (to != NULL && from == 0) return ap_node_refuse(to, error, "never_to: never_from is missing, the first of the codes");
    if (to != NULL && *ap_term_word(terms, AP_TERM_never_to) < from)
        return ap_node_refuse(to, error, "never_to: it is below never_from; expected the last of the codes");
    if (terms->priority != 0 && terms->priority < terms->max_priority)
        return ap_node_refuse(ap_node_get(map, "priority"), error, "priority: it is more urgent than max_priority allows");
    if (burst != NULL && ap_node_get(map, "rate") == NULL)
        return ap_node_refuse(burst, error, "burst: rate is missing, which says how many come in a second");
    return 0;
}

int ap_terms_read(const struct ap_node *map, const char *name, struct ap_terms *ret, struct ap_rules *rules,
                  struct ap_config_error *error)
{
    int r = ap_node_check(map, name == NULL ? terms_keys : terms_keys + 1, error);

    if (r == 0 && name == NULL) name = ap_node_text(map, "name", "");
    *ret = (struct ap_terms){0};
    rules->count = 0;
    for (uint32_t t = 0; r == 0 && t < AP_TERMS; t++) {
        const struct ap_term_row *row = &ap_term_rows[t];
        const struct ap_node *at = ap_node_get(map, row->key);
        uint64_t value = 0;

        if (at == NULL) continue;
        r = terms_fits(at, row, name, error);
        if (r < 0) return r;
        if (row->type == 'r') {
            r = ap_rules_config_read(at, name, rules, error);
            continue; /* who registers it makes a number of it */
        }
        if (row->type == 'p') r = terms_percent(at, row, &value, error);
        else if (row->type == 't') r = terms_time(map, at, row, &value, error);
        else if (WORDS(row->type)) r = terms_word(at, row, &value, error);
        else value = (uint64_t)ap_node_number(map, row->key, row->type, 0);
        *ap_term_word(ret, t) = value + 1;
    }
    if (r == 0) r = terms_together(map, ret, error);
    if (r == 0) r = terms_hedged(map, ret, error);
    return r < 0 ? r : terms_stateful(map, ret, rules, error);
}

static size_t terms_index(const char *const *capabilities, const char *name)
{
    size_t i = 0;

    while (capabilities[i] != NULL && strcmp(capabilities[i], name) != 0) i++;
    return i;
}

static int terms_each(const struct ap_node *root, const char *agent, const char *const *capabilities, struct ap_terms *ret,
                      struct ap_rules *rules, struct ap_config_error *error)
{
    int r = 0;

    if (root->kind != AP_NODE_MAP) return ap_node_refuse(root, error, "expected a mapping from capabilities to their terms");
    for (size_t i = 0; r == 0 && i < root->count; i++) {
        size_t at = terms_index(capabilities, root->keys[i]);

        if (capabilities[at] == NULL)
            return ap_node_refuse_line(root, root->key_lines[i], error, "%s: agent %s does not offer it",
                                       AP_SHOWN(root->keys[i], 64), agent);
        r = ap_terms_read(root->items[i], root->keys[i], &ret[at], &rules[at], error);
    }
    return r;
}

int ap_terms_parse(const char *agent, const char *text, const char *const *capabilities, struct ap_terms **ret,
                   struct ap_rules **rules, struct ap_config_error *error)
{
    struct ap_config *tree = NULL;
    struct ap_terms *terms;
    struct ap_rules *own;
    size_t count = 0;
    char name[APIARY_NAME_MAX + 16];
    int r;

    if (text == NULL) return 0;
    while (capabilities[count] != NULL) count++;
    snprintf(name, sizeof name, "terms of %s", agent);
    r = ap_config_parse(name, text, strlen(text), &tree, error);
    if (r < 0) return r;
    terms = aligned_alloc(AP_LINE, count * sizeof *terms);
    own = calloc(count, sizeof *own);
    if (terms != NULL && own != NULL) {
        memset(terms, 0, count * sizeof *terms);
        r = terms_each(ap_config_root(tree), agent, capabilities, terms, own, error);
    } else {
        r = APIARY_ENOBLOCK;
    }
    ap_config_free(tree);
    if (r == 0) {
        *ret = terms;
        *rules = own;
        return 0;
    }
    free(terms);
    free(own);
    return r;
}
