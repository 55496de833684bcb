/* agents/deployment/deployment_order.c - what services wait for: `depends_on` of each, and `phases` of all. Names are looked up,
 * what contradicts itself is refused, and the services get an order in which each comes after what it waits for. */
#include <stdlib.h>
#include <string.h>

#include "agents/deployment/deployment_int.h"
#include "core/name.h"
#include "core/text.h"

static const struct ap_key phase_keys[] = {
    {.name = "name", .type = 's', .required = true, .what = "name of the phase"},
    {.name = "services", .type = 'l', .required = true, .what = "services that are started in it"},
    {.name = NULL},
};

/* ---- lists of names, of which one may be written as a text alone ---------------------------------------------- */

static size_t order_count(const struct ap_node *list)
{
    return list == NULL ? 0 : list->kind == AP_NODE_LIST ? list->count : 1;
}

static const struct ap_node *order_item(const struct ap_node *list, size_t i)
{
    return list->kind == AP_NODE_LIST ? list->items[i] : list;
}

/* Its place among the swarms, or their number. */
static size_t order_find(const struct ap_deployment *d, const char *service)
{
    size_t i = 0;

    while (i < d->swarm_count && strcmp(d->swarms[i].service, service) != 0) i++;
    return i;
}

static int order_unknown(struct ap_loader *l, const struct ap_node *at, const char *key)
{
    const char *nearest = NULL;
    char all[512] = "";

    for (size_t i = 0; i < l->d->swarm_count; i++) {
        nearest = ap_word_nearest(at->text, nearest, l->d->swarms[i].service);
        ap_words_add(all, sizeof all, l->d->swarms[i].service);
    }
    return ap_node_refuse(at, l->error, "%s: '%s' is no service of this file%s%s%s; expected %s%s", key, AP_SHOWN(at->text, 64),
                          nearest != NULL ? " (did you mean '" : "", nearest != NULL ? nearest : "", nearest != NULL ? "'?)" : "",
                          *all != '\0' ? "some of " : "one, and there is none", all);
}

/* The first of the list with that text. */
static size_t order_first(const struct ap_node *list, const char *text)
{
    size_t i = 0;

    while (strcmp(order_item(list, i)->text, text) != 0) i++;
    return i;
}

static int order_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* ---- depends_on ----------------------------------------------------------------------------------------------- */

static int depends_read(struct ap_loader *l, struct ap_deployment_swarm *s)
{
    const struct ap_node *list = ap_node_get(s->node, "depends_on");
    size_t count = order_count(list);

    if (count == 0) return 0;
    s->depends_on = ap_config_alloc(l->d->config, count * sizeof *s->depends_on);
    if (s->depends_on == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; i < count; i++) {
        const struct ap_node *at = order_item(list, i);

        if (strcmp(at->text, s->service) == 0)
            return ap_node_refuse(at, l->error, "depends_on: %s would wait for itself; expected other services", s->service);
        if (order_find(l->d, at->text) == l->d->swarm_count) return order_unknown(l, at, "depends_on");
        if (order_first(list, at->text) != i)
            return ap_node_refuse(at, l->error, "depends_on: %s is there twice; expected each service once", at->text);
        s->depends_on[i] = at->text;
    }
    s->depends_count = count;
    qsort(s->depends_on, count, sizeof *s->depends_on, order_compare);
    return 0;
}

/* Where a service names that other one. */
static const struct ap_node *depends_place(const struct ap_deployment_swarm *s, const char *other)
{
    const struct ap_node *list = ap_node_get(s->node, "depends_on");

    return order_item(list, order_first(list, other));
}

/* A service in no phase is started whichever phase is asked for, and so needs what it waits for in none. */
static int depends_later(struct ap_loader *l, const struct ap_deployment_swarm *s)
{
    for (size_t i = 0; i < s->depends_count; i++) {
        const struct ap_deployment_swarm *other = &l->d->swarms[order_find(l->d, s->depends_on[i])];
        const struct ap_node *at = depends_place(s, s->depends_on[i]);

        if (other->phase <= s->phase) continue;
        if (s->phase == 0)
            return ap_node_refuse(at, l->error,
                                  "depends_on: %s is of phase %s, and %s is of none and so started with any; expected %s in that "
                                  "phase or a later one", other->service, other->in_phase->name, s->service, s->service);
        return ap_node_refuse(at, l->error,
                              "depends_on: %s is of phase %s, which begins after phase %s, that of %s; expected one that is not "
                              "started later", other->service, other->in_phase->name, s->in_phase->name, s->service);
    }
    return 0;
}

/* ---- phases --------------------------------------------------------------------------------------------------- */

static int phase_services(struct ap_loader *l, uint32_t number, const struct ap_node *list)
{
    for (size_t i = 0; i < order_count(list); i++) {
        const struct ap_node *at = order_item(list, i);
        size_t found = order_find(l->d, at->text);
        struct ap_deployment_swarm *s = &l->d->swarms[found];

        if (found == l->d->swarm_count) return order_unknown(l, at, "services");
        if (s->phase == number)
            return ap_node_refuse(at, l->error, "services: %s is there twice; expected each service once", s->service);
        if (s->phase != 0)
            return ap_node_refuse(at, l->error, "services: %s is in phase %s already (line %u); expected it in one phase",
                                  s->service, s->in_phase->name, s->in_phase->node->line);
        s->phase = number;
        s->in_phase = &l->d->phases[number - 1];
    }
    return 0;
}

static int phase_read(struct ap_loader *l, size_t index, const struct ap_node *node)
{
    struct ap_deployment_phase *p = &l->d->phases[index];
    int e = ap_node_check(node, phase_keys, l->error);

    if (e < 0) return e;
    p->node = node;
    p->name = ap_node_text(node, "name", NULL);
    if (!ap_name_valid(p->name, APIARY_NAME_MAX))
        return ap_node_refuse(ap_node_get(node, "name"), l->error, "name: '%s' is not a name; " AP_NAME_RULE,
                              AP_SHOWN(p->name, 64));
    for (size_t i = 0; i < index; i++) {
        if (strcmp(l->d->phases[i].name, p->name) != 0) continue;
        return ap_node_refuse(ap_node_get(node, "name"), l->error,
                              "name: %s is already that of a phase (line %u); expected another one", p->name,
                              l->d->phases[i].node->line);
    }
    l->d->phase_count = index + 1;
    return phase_services(l, (uint32_t)index + 1, ap_node_get(node, "services"));
}

static int phases_read(struct ap_loader *l)
{
    const struct ap_node *list = ap_node_get(ap_config_root(l->d->config), "phases");
    int e = 0;

    if (list == NULL) return 0;
    l->d->phases = ap_config_alloc(l->d->config, list->count * sizeof *l->d->phases);
    if (l->d->phases == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; e == 0 && i < list->count; i++) e = phase_read(l, i, list->items[i]);
    return e;
}

/* ---- the order ------------------------------------------------------------------------------------------------ */

/* One of those that it depends on and that has no place yet, or the number of swarms. */
static size_t order_unplaced(const struct ap_deployment *d, const struct ap_deployment_swarm *s, const bool *placed)
{
    for (size_t i = 0; i < s->depends_count; i++) {
        size_t other = order_find(d, s->depends_on[i]);

        if (!placed[other]) return other;
    }
    return d->swarm_count;
}

/* Of services that all wait for another one of them: told from the first one of the circle on. */
static int order_circle(struct ap_loader *l, size_t at, const bool *placed)
{
    const struct ap_deployment *d = l->d;
    size_t first;
    char way[512] = "";

    for (size_t i = 0; i < d->swarm_count; i++) at = order_unplaced(d, &d->swarms[at], placed); /* it is on the circle then */
    first = at;
    for (size_t i = order_unplaced(d, &d->swarms[at], placed); i != at; i = order_unplaced(d, &d->swarms[i], placed))
        if (i < first) first = i;
    at = first;
    do {
        ap_words_add(way, sizeof way, d->swarms[at].service);
        at = order_unplaced(d, &d->swarms[at], placed);
    } while (at != first);
    ap_words_add(way, sizeof way, d->swarms[first].service);
    at = order_unplaced(d, &d->swarms[first], placed);
    return ap_node_refuse(depends_place(&d->swarms[first], d->swarms[at].service), l->error,
                          "depends_on: %s comes back to itself: %s; expected one of them to wait for none of the others",
                          d->swarms[first].service, way);
}

/* The first that can have the next place, by phases and then as they stand in the file. */
static size_t order_next(const struct ap_deployment *d, uint32_t phase, const bool *placed)
{
    size_t i = 0;

    while (i < d->swarm_count && (placed[i] || d->swarms[i].phase != phase ||
                                  order_unplaced(d, &d->swarms[i], placed) < d->swarm_count)) i++;
    return i;
}

static int order_place(struct ap_loader *l, size_t *order, bool *placed)
{
    struct ap_deployment *d = l->d;
    size_t n = 0;

    for (uint32_t phase = 0; phase <= d->phase_count; phase++) {
        size_t i;

        while ((i = order_next(d, phase, placed)) < d->swarm_count) {
            placed[i] = true;
            order[n++] = i;
        }
        for (i = 0; i < d->swarm_count; i++)
            if (!placed[i] && d->swarms[i].phase == phase) return order_circle(l, i, placed);
    }
    return 0;
}

static int order_make(struct ap_loader *l)
{
    struct ap_deployment *d = l->d;
    size_t *order = ap_config_alloc(d->config, (d->swarm_count + 1) * sizeof *order);
    bool *placed = ap_config_alloc(d->config, d->swarm_count + 1), any = d->phase_count > 0;
    int e = 0;

    if (order == NULL || placed == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; i < d->swarm_count; i++) {
        order[i] = i;
        any = any || d->swarms[i].depends_count > 0;
    }
    if (any) e = order_place(l, order, placed);
    if (e == 0) d->order = order;
    return e;
}

int ap_deployment_read_order(struct ap_loader *l)
{
    int e = phases_read(l);

    for (size_t i = 0; e == 0 && i < l->d->swarm_count; i++) e = depends_read(l, &l->d->swarms[i]);
    for (size_t i = 0; e == 0 && i < l->d->swarm_count; i++) e = depends_later(l, &l->d->swarms[i]);
    return e < 0 ? e : order_make(l);
}

/* ---- what is asked of it -------------------------------------------------------------------------------------- */

bool ap_deployment_depends(const struct ap_deployment_swarm *s, const struct ap_deployment_swarm *other)
{
    for (size_t i = 0; i < s->depends_count; i++)
        if (strcmp(s->depends_on[i], other->service) == 0) return true;
    return false;
}

bool ap_deployment_waits(const struct ap_deployment_swarm *s, const struct ap_deployment_swarm *other)
{
    return ap_deployment_depends(s, other) || (other->phase > 0 && other->phase < s->phase);
}

/* By its name, or by its number from 1; 0: there is none. */
static uint32_t phase_find(const struct ap_deployment *d, const char *phase)
{
    char *end;
    unsigned long number = *phase >= '0' && *phase <= '9' ? strtoul(phase, &end, 10) : 0;

    if (number > 0) return *end == '\0' && number <= d->phase_count ? (uint32_t)number : 0;
    for (uint32_t i = 0; i < d->phase_count; i++)
        if (strcmp(d->phases[i].name, phase) == 0) return i + 1;
    return 0;
}

static int phase_unknown(struct ap_loader *l, const char *phase)
{
    const struct ap_node *root = ap_config_root(l->d->config), *list = ap_node_get(root, "phases");
    char all[512] = "";

    if (l->d->phase_count == 0)
        return ap_node_refuse(root, l->error, "phases: this file has none, and so no phase '%s'", AP_SHOWN(phase, 64));
    for (size_t i = 0; i < l->d->phase_count; i++) ap_words_add(all, sizeof all, l->d->phases[i].name);
    return ap_node_refuse_line(list, ap_node_key_line(root, "phases"), l->error,
                               "phases: there is no phase '%s'; expected 1 to %zu, or a name: %s", AP_SHOWN(phase, 64),
                               l->d->phase_count, all);
}

int ap_deployment_select(struct ap_deployment *d, const char *phase, struct ap_config_error *error)
{
    struct ap_config_error ignored;
    struct ap_loader l = {.d = d, .error = error != NULL ? error : &ignored};
    uint32_t last = phase_find(d, phase);
    size_t n = 0;

    if (last == 0) return phase_unknown(&l, phase);
    for (size_t i = 0; i < d->swarm_count; i++)
        if (d->swarms[i].phase <= last) d->swarms[n++] = d->swarms[i];
    d->swarm_count = n;
    return order_make(&l);
}
