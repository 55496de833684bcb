/* agents/hex_server/pubgrub_why.c - why no versions fit together, in sentences: each follows from what is given, or from those
 * before it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/hex_server/pubgrub_int.h"

#define SENTENCES_MOST 40 /* the last ones, if there are more; each is numbered */

struct explained {
    struct ap_incompat *last[SENTENCES_MOST]; /* in turn */
    int count;
};

/* "a" 1.0.0, "a" 1.1.0 to 1.9.0, every "a". */
static void tell_versions(FILE *out, const struct ap_package *p, const ap_set_t *set)
{
    size_t found = 0, runs = 0;
    for (size_t i = 0; i < p->count; i++)
        found += ap_set_has(set, i);
    if (found == p->count) {
        fprintf(out, "every \"%s\"", p->name);
        return;
    }
    fprintf(out, "\"%s\"", p->name);
    for (size_t i = 0, end; i < p->count; i = end + 1) { /* newest first: a run is told from its oldest on */
        end = i;
        if (!ap_set_has(set, i)) continue;
        while (end + 1 < p->count && ap_set_has(set, end + 1))
            end++;
        if (runs++ == 5) {
            fputs(", ...", out);
            return;
        }
        fprintf(out, "%s%s", runs > 1 ? ", " : " ", p->texts[end]);
        if (end > i) fprintf(out, " to %s", p->texts[i]);
    }
}

static void tell_given(FILE *out, const struct ap_solver *s, const struct ap_incompat *incompat)
{
    const struct ap_term *from = &incompat->terms[0];
    const json_t *known = json_object_get(s->index, incompat->needs);
    const struct ap_package *p = &s->packages[json_integer_value(known)];
    if (from->package == 0)
        fputs("the request", out);
    else
        tell_versions(out, &s->packages[from->package], from->set);
    fprintf(out, " needs \"%s\" %s", incompat->needs, incompat->requirement);
    if (from->package == json_integer_value(known))
        fputs(", which it is not", out);
    else if (p->count == 0)
        fputs(", which is not published", out);
    else if (incompat->count == 1)
        fputs(", which no published version meets", out);
}

/* The terms that name versions, and those that name everything else: that is needed then. */
static void tell_learned(FILE *out, const struct ap_solver *s, const struct ap_incompat *incompat)
{
    int with = 0, needed = 0;
    for (int t = 0; t < incompat->count; t++) {
        const struct ap_term *term = &incompat->terms[t];
        const struct ap_package *p = &s->packages[term->package];
        if (term->package == 0 || ap_set_has(term->set, p->count)) continue;
        if (with++ > 0) fputs(" with ", out);
        tell_versions(out, p, term->set);
    }
    if (with == 0) fputs("the request", out);
    for (int t = 0; t < incompat->count; t++) {
        const struct ap_term *term = &incompat->terms[t];
        const struct ap_package *p = &s->packages[term->package];
        if (term->package == 0 || !ap_set_has(term->set, p->count)) continue;
        ap_set_t others[p->words];
        for (size_t w = 0; w < p->words; w++)
            others[w] = ~term->set[w];
        fputs(needed++ > 0 ? " or " : " needs ", out);
        tell_versions(out, p, others);
    }
    if (needed == 0) fputs(with == 0 ? " cannot be met" : " cannot be chosen", out);
}

static void tell_one(FILE *out, const struct ap_solver *s, const struct ap_incompat *incompat)
{
    if (incompat->left)
        tell_learned(out, s, incompat);
    else
        tell_given(out, s, incompat);
    if (incompat->number > 0) fprintf(out, " (%d)", incompat->number);
}

static struct ap_incompat *unexplained(const struct ap_incompat *incompat)
{
    return incompat->left && incompat->number == 0 ? (struct ap_incompat *)incompat : NULL;
}

/* Numbers what leads to it, and it. A recursion would need a stack for what is learned of the longest search. */
static void explain(struct explained *e, struct ap_incompat *incompat)
{
    while (incompat) {
        struct ap_incompat *next = unexplained(incompat->left);
        if (!next) next = unexplained(incompat->right);
        if (next) {
            next->above = incompat;
            incompat = next;
            continue;
        }
        e->last[e->count % SENTENCES_MOST] = incompat;
        incompat->number = ++e->count;
        incompat = incompat->above;
    }
}

static void tell_sentence(FILE *out, const struct ap_solver *s, const struct ap_incompat *incompat)
{
    fprintf(out, "%d. Since ", incompat->number);
    tell_one(out, s, incompat->left);
    fputs(", and ", out);
    tell_one(out, s, incompat->right);
    fputs(", ", out);
    tell_learned(out, s, incompat);
    fputc('.', out);
}

char *ap_pubgrub_explain(struct ap_solver *s)
{
    char *text = NULL;
    size_t size = 0;
    struct explained e = {.count = 0};
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    if (s->failed->left)
        explain(&e, (struct ap_incompat *)s->failed);
    else
        tell_given(out, s, s->failed);
    int first = e.count > SENTENCES_MOST ? e.count - SENTENCES_MOST : 0; /* the sentences at the end say most */
    for (int i = first; i < e.count; i++) {
        if (i > first) fputc('\n', out);
        tell_sentence(out, s, e.last[i % SENTENCES_MOST]);
    }
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
