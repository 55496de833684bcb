/* agents/runtime/terms_config.c - see terms_config.h. */
#include "agents/runtime/terms_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

/* The first is for an item of a list only. */
static const struct ap_key terms_keys[] = {
    {.name = "name", .type = 's', .required = true, .what = "the capability"},
#define AP_TERM(field, kind, words, least, most, otherwise, about) \
    {.name = #field, .type = (kind) == 'w' ? 's' : (kind), .what = about, .min = (kind) == 'w' ? 0 : (least), \
     .max = (kind) == 'w' ? 0 : (most)},
#include "registry/routing/terms.def"
#undef AP_TERM
    {.name = NULL},
};

static int terms_word(const struct ap_node *at, const struct ap_term_row *r, uint64_t *ret, struct ap_config_error *error)
{
    const char *near = NULL, *word;
    char known[256] = "";

    for (*ret = 0; (word = r->words(*ret)) != NULL; ++*ret) {
        if (strcmp(word, at->text) == 0) return 0;
        near = ap_word_nearest(at->text, near, word);
        ap_words_add(known, sizeof known, word);
    }
    return ap_node_refuse(at, error, "%s: '%s' is not allowed%s%s%s; expected one of %s", r->key, AP_SHOWN(at->text, 48),
                          near != NULL ? " (did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?)" : "", known);
}

int ap_terms_read(const struct ap_node *map, bool entry, struct ap_terms *ret, struct ap_config_error *error)
{
    int r = ap_node_check(map, entry ? terms_keys : terms_keys + 1, error);

    *ret = (struct ap_terms){0};
    for (uint32_t t = 0; r == 0 && t < AP_TERMS; t++) {
        const struct ap_term_row *row = &ap_term_rows[t];
        const struct ap_node *at = ap_node_get(map, row->key);
        uint64_t value = 0;

        if (at == NULL) continue;
        if (row->type == 'w') r = terms_word(at, row, &value, error);
        else value = (uint64_t)ap_node_number(map, row->key, row->type, 0);
        *ap_term_word(ret, t) = value + 1;
    }
    return r;
}

static size_t terms_index(const char *const *capabilities, const char *name)
{
    size_t i = 0;

    while (capabilities[i] != NULL && strcmp(capabilities[i], name) != 0) i++;
    return i;
}

static int terms_each(const struct ap_node *root, const char *agent, const char *const *capabilities, struct ap_terms *ret,
                      struct ap_config_error *error)
{
    int r = 0;

    if (root->kind != AP_NODE_MAP) return ap_node_refuse(root, error, "expected a mapping from capabilities to their terms");
    for (size_t i = 0; r == 0 && i < root->count; i++) {
        size_t at = terms_index(capabilities, root->keys[i]);

        if (capabilities[at] == NULL)
            return ap_node_refuse_line(root, root->key_lines[i], error, "%s: agent %s does not offer it",
                                       AP_SHOWN(root->keys[i], 64), agent);
        r = ap_terms_read(root->items[i], false, &ret[at], error);
    }
    return r;
}

int ap_terms_parse(const char *agent, const char *text, const char *const *capabilities, struct ap_terms **ret,
                   struct ap_config_error *error)
{
    struct ap_config *tree = NULL;
    struct ap_terms *terms;
    size_t count = 0;
    char name[APIARY_NAME_MAX + 16];
    int r;

    if (text == NULL) return 0;
    while (capabilities[count] != NULL) count++;
    snprintf(name, sizeof name, "terms of %s", agent);
    r = ap_config_parse(name, text, strlen(text), &tree, error);
    if (r < 0) return r;
    terms = aligned_alloc(AP_LINE, count * sizeof *terms);
    if (terms != NULL) {
        memset(terms, 0, count * sizeof *terms);
        r = terms_each(ap_config_root(tree), agent, capabilities, terms, error);
    } else {
        r = APIARY_ENOBLOCK;
    }
    ap_config_free(tree);
    if (r == 0) *ret = terms;
    else free(terms);
    return r;
}
