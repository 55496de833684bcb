/* agents/hex_server/pubgrub.c - see pubgrub.h. Package 0 is the request. */
#include "agents/hex_server/pubgrub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agents/hex_server/pubgrub_int.h"

#define WORK_MOST UINT64_C(50000000) /* words of sets looked at */
#define MEMORY_MOST (UINT64_C(64) << 20)

/* ---- memory: taken piece by piece, freed at once ----------------------------------------------------------------- */

static void *take(struct ap_solver *s, size_t size)
{
    struct ap_block *b = s->taken + size > MEMORY_MOST ? NULL : calloc(1, sizeof *b + size);
    if (!b) {
        s->error = s->taken + size > MEMORY_MOST ? -E2BIG : -ENOMEM;
        return NULL;
    }
    s->taken += size;
    b->next = s->blocks;
    s->blocks = b;
    return b + 1;
}

/* Room for one more of a growing list, which moves. */
static void *grow(struct ap_solver *s, void *list, size_t count, size_t *room, size_t size)
{
    if (count < *room) return list;
    size_t wanted = *room ? 2 * *room : 8;
    void *larger = take(s, wanted * size);
    if (!larger) return NULL;
    if (count > 0) memcpy(larger, list, count * size);
    *room = wanted;
    return larger;
}

/* ---- sets -------------------------------------------------------------------------------------------------------- */

static bool set_within(const ap_set_t *a, const ap_set_t *b, size_t words)
{
    for (size_t i = 0; i < words; i++)
        if (a[i] & ~b[i]) return false;
    return true;
}

static bool set_apart(const ap_set_t *a, const ap_set_t *b, size_t words)
{
    for (size_t i = 0; i < words; i++)
        if (a[i] & b[i]) return false;
    return true;
}

/* With that the package is not chosen, or without. */
static void set_all(const struct ap_package *p, ap_set_t *set, bool absent)
{
    memset(set, 0, p->words * sizeof *set);
    for (size_t i = 0; i < p->count + absent; i++)
        set[i / 64] |= UINT64_C(1) << i % 64;
}

static ap_set_t *set_not(struct ap_solver *s, const struct ap_package *p, const ap_set_t *of)
{
    ap_set_t *set = take(s, p->words * sizeof *set);
    if (!set) return NULL;
    set_all(p, set, true);
    for (size_t i = 0; i < p->words; i++)
        set[i] &= ~of[i];
    return set;
}

static size_t set_count(const ap_set_t *set, size_t words)
{
    size_t count = 0;
    for (size_t i = 0; i < words; i++)
        count += (size_t)__builtin_popcountll(set[i]);
    return count;
}

/* ---- packages ---------------------------------------------------------------------------------------------------- */

static bool read_versions(struct ap_solver *s, struct ap_package *p)
{
    json_t *release;
    size_t i;
    p->count = p->releases ? json_array_size(p->releases) : p->count;
    p->words = p->count / 64 + 1;
    p->texts = take(s, p->count * sizeof *p->texts + 1);
    p->versions = take(s, p->count * sizeof *p->versions + 1);
    p->allowed = take(s, p->words * sizeof *p->allowed);
    if (!p->texts || !p->versions || !p->allowed) return false;
    set_all(p, p->allowed, true);
    json_array_foreach(p->releases, i, release)
    {
        p->texts[i] = json_string_value(json_object_get(release, "version"));
        if (!ap_version_parse(p->texts[i], strlen(p->texts[i]), false, &p->versions[i])) s->error = -EINVAL;
    }
    return s->error == 0;
}

/* The number of a package, which is read when it is first named; -1: out of memory. */
static int package_number(struct ap_solver *s, const char *name)
{
    const json_t *known = json_object_get(s->index, name);
    if (known) return (int)json_integer_value(known);
    struct ap_package *packages = grow(s, s->packages, s->count, &s->room, sizeof *packages);
    if (!packages) return -1;
    s->packages = packages;
    packages[s->count] = (struct ap_package){.name = name, .releases = json_object_get(s->published, name)};
    if (!read_versions(s, &packages[s->count])) return -1;
    json_object_set_new(s->index, name, json_integer((json_int_t)s->count));
    return (int)s->count++;
}

static bool note(struct ap_solver *s, struct ap_incompat *incompat)
{
    for (int t = 0; t < incompat->count; t++) {
        struct ap_package *p = &s->packages[incompat->terms[t].package];
        struct ap_incompat **about = grow(s, p->about, p->about_count, &p->about_room, sizeof *about);
        if (!about) return false;
        p->about = about;
        about[p->about_count++] = incompat;
    }
    return true;
}

/* That `from` (of a package) needs one of the versions of another one that a requirement names. A term that always holds is left
 * out. */
static struct ap_incompat *dependency(struct ap_solver *s, int package, ap_set_t *from, const char *needs,
                                      const char *requirement)
{
    int other = package_number(s, needs);
    struct ap_incompat *incompat = other < 0 ? NULL : take(s, sizeof *incompat + 2 * sizeof incompat->terms[0]);
    if (!incompat) return NULL;
    struct ap_package *p = &s->packages[other];
    ap_set_t *matching = take(s, p->words * sizeof *matching);
    if (!matching) return NULL;
    for (size_t i = 0; i < p->count; i++)
        if (ap_requirement_match(requirement, &p->versions[i])) matching[i / 64] |= UINT64_C(1) << i % 64;
    s->work += p->count;
    incompat->needs = needs;
    incompat->requirement = requirement;
    incompat->terms[incompat->count++] = (struct ap_term){package, from};
    if (other == package) { /* of itself: the versions that it does not allow cannot be chosen */
        for (size_t i = 0; i < p->words; i++)
            from[i] &= ~matching[i];
    } else if (set_count(matching, p->words) > 0) {
        incompat->terms[incompat->count++] = (struct ap_term){other, set_not(s, p, matching)};
        if (!incompat->terms[1].set) return NULL;
    }
    return note(s, incompat) ? incompat : NULL;
}

/* ---- what is known ----------------------------------------------------------------------------------------------- */

static bool assign(struct ap_solver *s, int package, ap_set_t *set, const struct ap_incompat *cause)
{
    struct ap_assignment *list = grow(s, s->assigned, s->assigned_count, &s->assigned_room, sizeof *list);
    struct ap_package *p = &s->packages[package];
    if (!list) return false;
    s->assigned = list;
    list[s->assigned_count++] = (struct ap_assignment){package, s->level, set, cause};
    for (size_t i = 0; i < p->words; i++)
        p->allowed[i] &= set[i];
    p->decided |= cause == NULL;
    return true;
}

static void go_back(struct ap_solver *s, int level)
{
    s->work += s->count + s->assigned_count;
    for (size_t i = 0; i < s->count; i++) {
        set_all(&s->packages[i], s->packages[i].allowed, true);
        s->packages[i].decided = false;
    }
    size_t count = s->assigned_count;
    s->assigned_count = 0;
    s->level = level;
    for (size_t i = 0; i < count && s->assigned[i].level <= level; i++) {
        const struct ap_assignment *a = &s->assigned[i];
        struct ap_package *p = &s->packages[a->package];
        for (size_t w = 0; w < p->words; w++)
            p->allowed[w] &= a->set[w];
        p->decided |= a->cause == NULL;
        s->assigned_count++;
    }
}

enum relation { NOTHING, CONFLICT, ALL_BUT_ONE };

static enum relation relate(struct ap_solver *s, const struct ap_incompat *incompat, int *open)
{
    *open = -1;
    for (int t = 0; t < incompat->count; t++) {
        const struct ap_term *term = &incompat->terms[t];
        const struct ap_package *p = &s->packages[term->package];
        s->work += p->words;
        if (set_within(p->allowed, term->set, p->words)) continue;
        if (*open >= 0 || set_apart(p->allowed, term->set, p->words)) return NOTHING;
        *open = t;
    }
    return *open < 0 ? CONFLICT : ALL_BUT_ONE;
}

/* ---- conflicts --------------------------------------------------------------------------------------------------- */

struct satisfier {
    size_t at; /* the assignment with which all terms hold */
    int term;  /* the one of its package */
    int level; /* at which all hold with it and what was before: there the search goes on */
};

/* The first assignment with which all terms hold, those before it taken together; `with`: one that counts from the start. -1: none,
 * they hold with `with` alone; -2: out of memory. */
static long first_with_all(struct ap_solver *s, const struct ap_incompat *incompat, const struct ap_assignment *with)
{
    long found = -2;
    int open = incompat->count;
    ap_set_t *sets[incompat->count];
    bool holds[incompat->count];
    for (int t = 0; t < incompat->count; t++) {
        const struct ap_term *term = &incompat->terms[t];
        const struct ap_package *p = &s->packages[term->package];
        holds[t] = false;
        if (!(sets[t] = take(s, p->words * sizeof *sets[t]))) return -2;
        set_all(p, sets[t], true);
        if (!with || with->package != term->package) continue;
        memcpy(sets[t], with->set, p->words * sizeof *sets[t]);
        holds[t] = set_within(sets[t], term->set, p->words);
        open -= holds[t];
    }
    if (open == 0) return -1;
    for (size_t i = 0; i < s->assigned_count && open > 0; i++) {
        const struct ap_assignment *a = &s->assigned[i];
        s->work++;
        for (int t = 0; t < incompat->count; t++) {
            const struct ap_term *term = &incompat->terms[t];
            size_t words = s->packages[term->package].words;
            if (term->package != a->package || holds[t]) continue;
            for (size_t w = 0; w < words; w++)
                sets[t][w] &= a->set[w];
            if (!set_within(sets[t], term->set, words)) continue;
            holds[t] = true;
            open--;
            found = (long)i;
        }
    }
    return found;
}

static bool find_satisfier(struct ap_solver *s, const struct ap_incompat *incompat, struct satisfier *ret)
{
    long at = first_with_all(s, incompat, NULL);
    if (at < 0) return false;
    ret->at = (size_t)at;
    ret->term = 0;
    while (incompat->terms[ret->term].package != s->assigned[at].package)
        ret->term++;
    long before = first_with_all(s, incompat, &s->assigned[at]);
    if (before == -2) return false;
    ret->level = before < 0 ? 1 : s->assigned[before].level;
    if (ret->level < 1) ret->level = 1;
    return true;
}

/* One of a package that has a term already makes that narrower. */
static bool add_term(struct ap_solver *s, struct ap_incompat *to, int package, const ap_set_t *set)
{
    const struct ap_package *p = &s->packages[package];
    int t = 0;
    while (t < to->count && to->terms[t].package != package)
        t++;
    if (t == to->count) {
        ap_set_t *own = take(s, p->words * sizeof *own);
        if (!own) return false;
        memcpy(own, set, p->words * sizeof *own);
        to->terms[to->count++] = (struct ap_term){package, own};
        return true;
    }
    for (size_t w = 0; w < p->words; w++)
        to->terms[t].set[w] &= set[w];
    return true;
}

/* Of a conflict and of the cause of its last part: what cannot be together whatever that last part is. */
static struct ap_incompat *resolvent(struct ap_solver *s, const struct ap_incompat *incompat, const struct satisfier *last)
{
    const struct ap_assignment *a = &s->assigned[last->at];
    const struct ap_package *p = &s->packages[a->package];
    const struct ap_term *term = &incompat->terms[last->term];
    int most = incompat->count + a->cause->count;
    struct ap_incompat *ret = take(s, sizeof *ret + (size_t)most * sizeof ret->terms[0]);
    ap_set_t *rest = ret ? take(s, p->words * sizeof *rest) : NULL;
    if (!rest) return NULL;
    ret->left = incompat;
    ret->right = a->cause;
    for (int t = 0; t < incompat->count; t++)
        if (t != last->term && !add_term(s, ret, incompat->terms[t].package, incompat->terms[t].set)) return NULL;
    for (int t = 0; t < a->cause->count; t++)
        if (a->cause->terms[t].package != a->package &&
            !add_term(s, ret, a->cause->terms[t].package, a->cause->terms[t].set))
            return NULL;
    for (size_t w = 0; w < p->words; w++)
        rest[w] = a->set[w] & ~term->set[w];
    if (set_count(rest, p->words) == 0) return ret;
    ap_set_t *other = set_not(s, p, rest);
    return other && add_term(s, ret, a->package, other) ? ret : NULL;
}

/* The search goes back to where the conflict can be avoided; what is learned from it, or NULL: nothing fits, or s->error. */
static struct ap_incompat *learn(struct ap_solver *s, struct ap_incompat *incompat)
{
    struct ap_incompat *given = incompat;
    struct satisfier last;
    while (incompat->count > 1 || (incompat->count == 1 && incompat->terms[0].package != 0)) {
        if (s->work > WORK_MOST || !find_satisfier(s, incompat, &last)) {
            if (s->error == 0) s->error = s->work > WORK_MOST ? -E2BIG : -EINVAL;
            return NULL;
        }
        const struct ap_assignment *a = &s->assigned[last.at];
        if (!a->cause || last.level != a->level) {
            if (incompat != given && !note(s, incompat)) return NULL;
            go_back(s, last.level);
            return incompat;
        }
        incompat = resolvent(s, incompat, &last);
        if (!incompat) return NULL;
    }
    s->failed = incompat;
    return NULL;
}

/* ---- the search -------------------------------------------------------------------------------------------------- */

static bool derive(struct ap_solver *s, const struct ap_incompat *incompat, int open, int *changed)
{
    const struct ap_term *term = &incompat->terms[open];
    ap_set_t *set = set_not(s, &s->packages[term->package], term->set);
    *changed = term->package;
    return set && assign(s, term->package, set, incompat);
}

/* Everything that follows from a change of the package. false: nothing fits, or s->error. */
static bool propagate(struct ap_solver *s, int package)
{
    size_t room = 0, count = 0;
    int *queue = grow(s, NULL, 0, &room, sizeof *queue), open;
    if (!queue) return false;
    queue[count++] = package;
    while (count > 0) {
        int at = queue[--count];
        for (size_t i = s->packages[at].about_count; i-- > 0;) {
            struct ap_incompat *incompat = s->packages[at].about[i];
            enum relation relation = relate(s, incompat, &open);
            if (s->work > WORK_MOST) s->error = -E2BIG;
            if (s->error < 0) return false;
            if (relation == NOTHING) continue;
            bool conflict = relation == CONFLICT;
            if (conflict) {
                incompat = learn(s, incompat);
                if (!incompat || relate(s, incompat, &open) != ALL_BUT_ONE) return false;
                count = 0;
            }
            queue = grow(s, queue, count, &room, sizeof *queue);
            if (!queue || !derive(s, incompat, open, &queue[count])) return false;
            count++;
            if (conflict) break;
        }
    }
    return true;
}

/* The package that must be chosen and has the fewest versions left; -1: all are. */
static int next_package(struct ap_solver *s)
{
    int best = -1;
    size_t least = 0;
    s->work += s->count;
    for (size_t i = 0; i < s->count; i++) {
        const struct ap_package *p = &s->packages[i];
        if (p->decided || ap_set_has(p->allowed, p->count)) continue;
        size_t left = set_count(p->allowed, p->words);
        if (best >= 0 && left >= least) continue;
        best = (int)i;
        least = left;
    }
    return best;
}

/* All versions of the package that have the same requirement say so at once. */
static struct ap_incompat *needs_of(struct ap_solver *s, int package, const char *needs, const char *requirement)
{
    const struct ap_package *p = &s->packages[package];
    ap_set_t *from = take(s, p->words * sizeof *from);
    if (!from) return NULL;
    s->work += p->count;
    for (size_t i = 0; i < p->count; i++) {
        const char *other =
            json_string_value(json_object_get(json_object_get(json_array_get(p->releases, i), "requires"), needs));
        if (other && strcmp(other, requirement) == 0) from[i / 64] |= UINT64_C(1) << i % 64;
    }
    return dependency(s, package, from, needs, requirement);
}

/* Whether choosing the version would break it at once. */
static bool breaks(struct ap_solver *s, const struct ap_incompat *incompat, int package, size_t version)
{
    bool all = true;
    for (int t = 0; t < incompat->count && all; t++) {
        const struct ap_term *term = &incompat->terms[t];
        const struct ap_package *p = &s->packages[term->package];
        all = term->package == package ? ap_set_has(term->set, version) : set_within(p->allowed, term->set, p->words);
    }
    return all;
}

/* All versions with that requirement have said so. */
static bool known(const struct ap_package *p, int package, const char *needs, const char *requirement)
{
    for (size_t i = 0; i < p->about_count; i++) {
        const struct ap_incompat *about = p->about[i];
        if (!about->left && about->terms[0].package == package && strcmp(about->needs, needs) == 0 &&
            strcmp(about->requirement, requirement) == 0)
            return true;
    }
    return false;
}

/* The newest version left, unless it cannot be: then what it needs is known at least. */
static bool take_version(struct ap_solver *s, int package)
{
    struct ap_package *p = &s->packages[package];
    size_t version = 0;
    bool possible = true;
    const char *needs;
    json_t *requirement;
    while (!ap_set_has(p->allowed, version))
        version++;
    json_t *requires = json_object_get(json_array_get(p->releases, version), "requires");
    json_object_foreach(requires, needs, requirement)
    {
        const char *text = json_string_value(requirement);
        if (known(&s->packages[package], package, needs, text)) continue;
        struct ap_incompat *incompat = needs_of(s, package, needs, text);
        if (!incompat) return false;
        possible &= !breaks(s, incompat, package, version);
    }
    if (!possible) return true;
    p = &s->packages[package]; /* they may have moved */
    ap_set_t *only = take(s, p->words * sizeof *only);
    if (!only) return false;
    only[version / 64] = UINT64_C(1) << version % 64;
    s->level++;
    return assign(s, package, only, NULL);
}

static bool ask(struct ap_solver *s, const json_t *requires)
{
    const char *needs;
    json_t *requirement;
    struct ap_package *packages = grow(s, NULL, 0, &s->room, sizeof *packages);
    if (!packages) return false;
    s->packages = packages;
    packages[0] = (struct ap_package){.name = "", .count = 1};
    s->count = 1;
    if (!read_versions(s, &packages[0])) return false;
    ap_set_t *only = take(s, sizeof *only), *not_chosen = take(s, sizeof *not_chosen);
    if (!only || !not_chosen) return false;
    *only = 1;
    s->level = 1;
    if (!assign(s, 0, only, NULL)) return false;
    json_object_foreach((json_t *)requires, needs, requirement)
    {
        ap_set_t *from = take(s, sizeof *from);
        if (!from) return false;
        *from = 1;
        if (!dependency(s, 0, from, needs, json_string_value(requirement))) return false;
    }
    return propagate(s, 0);
}

static int in_name_order(const void *a, const void *b)
{
    return strcmp((*(const struct ap_package *const *)a)->name, (*(const struct ap_package *const *)b)->name);
}

static json_t *chosen_of(struct ap_solver *s)
{
    const struct ap_package **list = take(s, s->count * sizeof *list);
    size_t count = 0;
    json_t *chosen = list ? json_object() : NULL;
    for (size_t i = 1; i < s->count && chosen; i++)
        if (s->packages[i].decided) list[count++] = &s->packages[i];
    if (!chosen) return NULL;
    qsort(list, count, sizeof *list, in_name_order);
    for (size_t i = 0; i < count; i++) {
        size_t version = 0;
        while (!ap_set_has(list[i]->allowed, version))
            version++;
        json_object_set_new(chosen, list[i]->name, json_string(list[i]->texts[version]));
    }
    return chosen;
}

int ap_pubgrub(const json_t *packages, const json_t *requires, json_t **chosen, char **why)
{
    struct ap_solver s = {.published = packages, .index = json_object()};
    int package, result = 0;
    bool goes_on = s.index && ask(&s, requires);
    while (goes_on && (package = next_package(&s)) >= 0)
        goes_on = take_version(&s, package) && propagate(&s, package);
    if (goes_on)
        result = (*chosen = chosen_of(&s)) ? 0 : -ENOMEM;
    else if (s.failed)
        result = (*why = ap_pubgrub_explain(&s)) ? -EDOM : -ENOMEM;
    else
        result = s.error < 0 ? s.error : -ENOMEM;
    for (struct ap_block *next; s.blocks; s.blocks = next) {
        next = s.blocks->next;
        free(s.blocks);
    }
    json_decref(s.index);
    return result;
}
