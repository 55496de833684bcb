/* agents/deployment/deployment_diff.c - see deployment_diff.h. A configuration is laid out as a sorted list of values with their
 * keys; two lists are merged. */
#include "agents/deployment/deployment_diff.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "shm/part.h"

struct leaf {
    const char *agent; /* "": of the service */
    char *key, *value;
    enum ap_effect effect;
    unsigned line;
};
struct leaves {
    struct leaf *list;
    size_t count, room;
    int error;
};

/* ---- a value as text ------------------------------------------------------------------------------------------ */

static int diff_compare_places(const void *a, const void *b, void *map)
{
    const struct ap_node *of = map;

    return strcmp(of->keys[*(const size_t *)a], of->keys[*(const size_t *)b]);
}

static bool diff_print(FILE *out, const struct ap_node *n);

/* Its keys sorted. */
static bool diff_print_map(FILE *out, const struct ap_node *n)
{
    size_t *order = malloc((n->count + 1) * sizeof *order);
    bool whole = true;

    if (order == NULL) return false;
    for (size_t i = 0; i < n->count; i++) order[i] = i;
    qsort_r(order, n->count, sizeof *order, diff_compare_places, (void *)(uintptr_t)n);
    fputc('{', out);
    for (size_t i = 0; whole && i < n->count; i++) {
        fprintf(out, "%s%s: ", i > 0 ? ", " : "", n->keys[order[i]]);
        whole = diff_print(out, n->items[order[i]]);
    }
    fputc('}', out);
    free(order);
    return whole;
}

/* False: there was no memory for it. */
static bool diff_print(FILE *out, const struct ap_node *n)
{
    bool whole = true;

    if (n->kind == AP_NODE_TEXT) {
        fprintf(out, n->quoted ? "\"%s\"" : "%s", n->text);
    } else if (n->kind == AP_NODE_MAP) {
        whole = diff_print_map(out, n);
    } else {
        fputc('[', out);
        for (size_t i = 0; whole && i < n->count; i++) {
            if (i > 0) fputs(", ", out);
            whole = diff_print(out, n->items[i]);
        }
        fputc(']', out);
    }
    return whole;
}

static char *diff_value(const struct ap_node *n)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool whole;

    if (out == NULL) return NULL;
    whole = diff_print(out, n);
    if (fclose(out) == 0 && whole) return text;
    free(text);
    return NULL;
}

/* ---- a configuration as a list -------------------------------------------------------------------------------- */

/* Takes over key and value; NULL: there was no memory for it. */
static void diff_add(struct leaves *l, const char *agent, enum ap_effect effect, unsigned line, char *key, char *value)
{
    if (l->count == l->room && l->error == 0) {
        size_t room = l->room > 0 ? 2 * l->room : 64;
        struct leaf *more = realloc(l->list, room * sizeof *more);

        if (more != NULL) {
            l->list = more;
            l->room = room;
        }
    }
    if (key == NULL || value == NULL || l->count == l->room) l->error = APIARY_ENOBLOCK;
    if (l->error == 0) {
        l->list[l->count++] = (struct leaf){agent, key, value, effect, line};
    } else {
        free(key);
        free(value);
    }
}

static void diff_free(struct leaves *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->list[i].key);
        free(l->list[i].value);
    }
    free(l->list);
}

static char *diff_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *diff_format(const char *format, ...)
{
    char *ret = NULL;
    va_list list;

    va_start(list, format);
    if (vasprintf(&ret, format, list) < 0) ret = NULL;
    va_end(list);
    return ret;
}

static void diff_add_node(struct leaves *l, const char *agent, enum ap_effect effect, const char *key, const struct ap_node *n)
{
    diff_add(l, agent, effect, n->line, strdup(key), diff_value(n));
}

/* Mappings below are laid out, too: "config.environment.PATH". */
static void diff_add_map(struct leaves *l, const char *agent, const char *before, const struct ap_node *map)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct ap_node *item = map->items[i];
        char *key = diff_format("%s.%s", before, map->keys[i]);

        if (item->kind == AP_NODE_MAP && item->count > 0 && key != NULL) diff_add_map(l, agent, key, item);
        else diff_add(l, agent, AP_EFFECT_RESTART, item->line, key != NULL ? strdup(key) : NULL, diff_value(item));
        free(key);
    }
}

static unsigned diff_line(const struct ap_node *map, const char *key)
{
    unsigned line = map != NULL ? ap_node_key_line(map, key) : 0;

    return line > 0 || map == NULL ? line : map->line;
}

static void diff_add_text(struct leaves *l, const char *agent, enum ap_effect effect, const struct ap_node *map, const char *key,
                          const char *value)
{
    if (value != NULL) diff_add(l, agent, effect, diff_line(map, key), strdup(key), strdup(value));
}

static void diff_add_number(struct leaves *l, const char *agent, enum ap_effect effect, const struct ap_node *map, const char *key,
                            uint64_t value)
{
    diff_add(l, agent, effect, diff_line(map, key), strdup(key), diff_format("%" PRIu64, value));
}

/* The names, in their order; and the terms of each. */
static void diff_capabilities(struct leaves *l, const struct ap_deployment_agent *a)
{
    const struct ap_node *list = ap_node_get(a->node, "capabilities");
    char *names = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&names, &size);

    for (size_t c = 0; c < a->capability_count; c++) {
        const struct ap_node *item = list->kind == AP_NODE_LIST ? list->items[c] : list;

        if (out != NULL) fprintf(out, "%s%s", c > 0 ? ", " : "", a->capabilities[c]);
        for (size_t i = 0; item->kind == AP_NODE_MAP && i < item->count; i++) {
            const char *term = item->keys[i];

            if (strcmp(term, "name") == 0) continue;
            diff_add(l, a->name, strcmp(term, "stateful") == 0 ? AP_EFFECT_RESTART : AP_EFFECT_ADJUST, item->items[i]->line,
                     diff_format("capabilities.%s.%s", a->capabilities[c], term), diff_value(item->items[i]));
        }
    }
    if (out != NULL && fclose(out) != 0) l->error = APIARY_ENOBLOCK;
    diff_add(l, a->name, AP_EFFECT_RESTART, list->line, strdup("capabilities"), names);
}

static void diff_agent(struct leaves *l, const struct ap_deployment_swarm *s, const struct ap_deployment_agent *a)
{
    const enum ap_effect restart = AP_EFFECT_RESTART;

    diff_add_text(l, a->name, restart, a->node, "kind", a->kind);
    diff_add_text(l, a->name, restart, a->node, "plugin", a->plugin);
    diff_capabilities(l, a);
    diff_add_number(l, a->name, restart, a->node, "worker", a->worker);
    diff_add_number(l, a->name, restart, a->node, "replicas", ap_deployment_replicas(s, a));
    if (a->config != NULL) diff_add_map(l, a->name, "config", a->config);
}

static int diff_compare(const void *a, const void *b)
{
    const struct leaf *x = a, *y = b;
    int order = strcmp(x->agent, y->agent);

    return order != 0 ? order : strcmp(x->key, y->key);
}

static void diff_span(struct leaves *l, enum ap_effect effect, const struct ap_node *map, const char *key, const char *told,
                      uint64_t ns)
{
    diff_add(l, "", effect, diff_line(map, key), strdup(told), diff_format("%" PRIu64 "ms", ns / 1000000));
}

static void diff_autoscale(struct leaves *l, const struct ap_deployment_swarm *s, const struct ap_node *queen)
{
    const struct ap_node *at = ap_node_get(queen, "autoscale");
    const struct {
        const char *key, *told;
        uint32_t value;
    } numbers[] = {{"min", "queen.autoscale.min", s->autoscale.min},
                   {"max", "queen.autoscale.max", s->autoscale.max},
                   {"backlog", "queen.autoscale.backlog", s->autoscale.backlog}};

    if (s->autoscale.max == 0) return;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        diff_add(l, "", AP_EFFECT_NONE, diff_line(at, numbers[i].key), strdup(numbers[i].told),
                 diff_format("%" PRIu32, numbers[i].value));
    diff_span(l, AP_EFFECT_NONE, at, "cool_down", "queen.autoscale.cool_down", s->autoscale.cool_down);
}

static void diff_queen(struct leaves *l, const struct ap_deployment_swarm *s)
{
    const struct ap_node *queen = ap_node_get(s->node, "queen");
    unsigned line = s->node->line;

    diff_add(l, "", AP_EFFECT_SCALE, queen != NULL ? diff_line(queen, "instances") : line, strdup("queen.instances"),
             diff_format("%u", s->instances));
    diff_add(l, "", AP_EFFECT_NONE, queen != NULL ? diff_line(queen, "restart") : line, strdup("queen.restart"),
             strdup(s->restart ? "always" : "never"));
    if (s->update == AP_UPDATE_START_FIRST || s->update == AP_UPDATE_STOP_FIRST)
        diff_add(l, "", AP_EFFECT_NONE, diff_line(queen, "update"), strdup("queen.update"),
                 strdup(s->update == AP_UPDATE_START_FIRST ? "start_first" : "stop_first"));
    if (s->restart_stuck != 0)
        diff_span(l, AP_EFFECT_NONE, queen, "restart_stuck", "queen.restart_stuck", s->restart_stuck);
    diff_autoscale(l, s, queen);
}

/* A queen registers these for the coordinator, which asks. */
static void diff_health(struct leaves *l, const struct ap_deployment_swarm *s)
{
    const enum ap_effect adjust = AP_EFFECT_ADJUST;

    diff_add_text(l, "", AP_EFFECT_RESTART, s->node, "health_endpoint", s->health_endpoint);
    diff_span(l, adjust, s->node, "health_check_interval", "health_check_interval", s->health_check_interval);
    if (s->health_check_timeout != 0)
        diff_span(l, adjust, s->node, "health_check_timeout", "health_check_timeout", s->health_check_timeout);
    if (s->unhealthy_after != 0) diff_add_number(l, "", adjust, s->node, "unhealthy_after", s->unhealthy_after);
    if (s->healthy_after != 0) diff_add_number(l, "", adjust, s->node, "healthy_after", s->healthy_after);
}

/* The supervisor's: no process that runs is touched. */
static void diff_order(struct leaves *l, const struct ap_deployment_swarm *s)
{
    char *names = NULL;
    size_t size = 0;
    FILE *out;

    if (s->phase > 0)
        diff_add(l, "", AP_EFFECT_NONE, s->in_phase->node->line, strdup("phase"),
                 diff_format("%u (%s)", s->phase, s->in_phase->name));
    if (s->depends_count == 0) return;
    out = open_memstream(&names, &size);
    for (size_t i = 0; out != NULL && i < s->depends_count; i++) fprintf(out, "%s%s", i > 0 ? ", " : "", s->depends_on[i]);
    if (out != NULL && fclose(out) != 0) l->error = APIARY_ENOBLOCK;
    diff_add(l, "", AP_EFFECT_NONE, diff_line(s->node, "depends_on"), strdup("depends_on"), names);
}

static int diff_swarm(const struct ap_deployment_swarm *s, struct leaves *l)
{
    const enum ap_effect restart = AP_EFFECT_RESTART;
    const struct ap_node *checks = ap_node_get(s->node, "checks");

    *l = (struct leaves){.list = NULL};
    if (s->port != 0) diff_add_number(l, "", restart, s->node, "port", s->port);
    diff_add_text(l, "", restart, s->node, "version", s->version);
    diff_health(l, s);
    diff_add_text(l, "", restart, s->node, "metrics_endpoint", s->metrics_endpoint);
    diff_add_text(l, "", AP_EFFECT_NONE, s->node, "listen", s->listen);
    diff_add_text(l, "", restart, s->node, "tags", s->tags);
    diff_add_number(l, "", restart, s->node, "workers", s->workers);
    diff_add_number(l, "", AP_EFFECT_ADJUST, s->node, "weight", s->weight);
    diff_add_number(l, "", AP_EFFECT_ADJUST, s->node, "max_concurrent_delegations", s->max_delegations);
    diff_queen(l, s);
    diff_order(l, s);
    if (checks != NULL && checks->count > 0) diff_add_node(l, "", AP_EFFECT_NONE, "checks", checks);
    for (size_t i = 0; i < s->agent_count; i++)
        if (s->agents[i].replica == 0) diff_agent(l, s, &s->agents[i]);
    if (l->error == 0) qsort(l->list, l->count, sizeof *l->list, diff_compare);
    return l->error;
}

/* ---- meta_registry -------------------------------------------------------------------------------------------- */

struct diff_numbers {
    struct leaves *to;
    const struct ap_geometry *of;
    const struct ap_node *meta;
};

static int diff_number(void *user, const struct ap_number *n)
{
    const struct diff_numbers *d = user;
    bool grouped = n->group != NULL;
    const struct ap_node *map = grouped && d->meta != NULL ? ap_node_get(d->meta, n->group) : d->meta;

    diff_add(d->to, "", AP_EFFECT_SEGMENT, diff_line(map != NULL ? map : d->meta, n->key),
             diff_format("%s%s%s", grouped ? n->group : "", grouped ? "." : "", n->key),
             diff_format("%" PRIu32 "%s", ap_number_of(d->of, n), n->milliseconds ? "ms" : ""));
    return 0;
}

static int diff_registry(const struct ap_deployment *d, struct leaves *l)
{
    const enum ap_effect segment = AP_EFFECT_SEGMENT;
    const struct ap_node *meta = ap_node_get(ap_config_root(d->config), "meta_registry");
    struct diff_numbers numbers = {l, &d->segment.geometry, meta};

    *l = (struct leaves){.list = NULL};
    ap_numbers_each(&ap_registry_parts, diff_number, &numbers);
    diff_add(l, "", segment, diff_line(meta, "task_timeout"), strdup("task_timeout"),
             diff_format("%" PRIu64 "ms", d->segment.geometry.task_timeout / 1000000));
    diff_add_text(l, "", segment, meta, "segment", d->segment.name);
    diff_add(l, "", segment, diff_line(meta, "mode"), strdup("mode"), diff_format("\"%04o\"", d->segment.mode));
    diff_add_text(l, "", segment, meta, "owner", d->owner);
    diff_add_text(l, "", segment, meta, "group", d->group);
    diff_add_number(l, "", AP_EFFECT_NONE, meta, "port", d->port);
    if (ap_node_get(meta, "listen") != NULL) diff_add_text(l, "", AP_EFFECT_NONE, meta, "listen", d->listen);
    if (ap_node_get(meta, "caches") != NULL) diff_add_node(l, "", AP_EFFECT_NONE, "caches", ap_node_get(meta, "caches"));
    diff_span(l, AP_EFFECT_NONE, meta, "health_check_interval", "health_check_interval", d->health_check_interval);
    diff_span(l, AP_EFFECT_NONE, meta, "events_max_age", "events_max_age", d->events_max_age);
    diff_add(l, "", AP_EFFECT_NONE, diff_line(meta, "events_max_bytes"), strdup("events_max_bytes"),
             diff_format("%" PRIu64, d->events_max_bytes));
    if (l->error == 0) qsort(l->list, l->count, sizeof *l->list, diff_compare);
    return l->error;
}

/* ---- two of them ---------------------------------------------------------------------------------------------- */

struct diff_result {
    struct ap_differences d;
    size_t room;
    int error;
};

static void diff_tell(struct diff_result *r, struct ap_difference difference, const char *key, const char *before,
                      const char *after)
{
    if (r->d.count == r->room && r->error == 0) {
        size_t room = r->room > 0 ? 2 * r->room : 16;
        struct ap_difference *more = realloc(r->d.list, room * sizeof *more);

        if (more == NULL) {
            r->error = APIARY_ENOBLOCK;
            return;
        }
        r->d.list = more;
        r->room = room;
    }
    if (r->error != 0) return;
    difference.key = key != NULL ? strdup(key) : NULL;
    difference.before = before != NULL ? strdup(before) : NULL;
    difference.after = after != NULL ? strdup(after) : NULL;
    r->d.list[r->d.count++] = difference;
    if ((key != NULL && difference.key == NULL) || (before != NULL && difference.before == NULL) ||
        (after != NULL && difference.after == NULL))
        r->error = APIARY_ENOBLOCK;
}

static const struct ap_deployment_agent *diff_agent_of(const struct ap_deployment_swarm *s, const char *name)
{
    return s != NULL ? ap_deployment_agent(s, name) : NULL;
}

/* Agents that only one of them has, each as a whole. */
static void diff_agents(struct diff_result *r, const struct ap_deployment_swarm *of, const struct ap_deployment_swarm *other,
                        enum ap_difference_kind kind)
{
    for (size_t i = 0; i < of->agent_count; i++) {
        const struct ap_deployment_agent *a = &of->agents[i];

        if (a->replica != 0 || diff_agent_of(other, a->name) != NULL) continue;
        diff_tell(r, (struct ap_difference){.kind = kind, .effect = AP_EFFECT_RESTART, .service = of->service, .agent = a->name,
                                            .line = a->node->line}, NULL, NULL, NULL);
    }
}

struct diff_pair {
    const struct leaves *before, *after;
    const struct ap_deployment_swarm *old, *new; /* both NULL: meta_registry */
};

static void diff_leaf(struct diff_result *r, const struct diff_pair *p, const struct leaf *x, const struct leaf *y)
{
    const struct leaf *any = y != NULL ? y : x;

    if (x != NULL && y != NULL && strcmp(x->value, y->value) == 0) return;
    if (*any->agent != '\0' && (diff_agent_of(p->old, any->agent) == NULL || diff_agent_of(p->new, any->agent) == NULL)) return;
    diff_tell(r, (struct ap_difference){.kind = x == NULL ? AP_ADDED : y == NULL ? AP_REMOVED : AP_CHANGED,
                                        .effect = any->effect,
                                        .service = p->new != NULL ? p->new->service : NULL,
                                        .agent = *any->agent != '\0' ? any->agent : NULL,
                                        .line = any->line},
              any->key, x != NULL ? x->value : NULL, y != NULL ? y->value : NULL);
}

static void diff_merge(struct diff_result *r, const struct diff_pair *p)
{
    size_t i = 0, k = 0;

    while (i < p->before->count || k < p->after->count) {
        const struct leaf *x = i < p->before->count ? &p->before->list[i] : NULL;
        const struct leaf *y = k < p->after->count ? &p->after->list[k] : NULL;
        int order = x == NULL ? 1 : y == NULL ? -1 : diff_compare(x, y);

        diff_leaf(r, p, order <= 0 ? x : NULL, order >= 0 ? y : NULL);
        i += order <= 0;
        k += order >= 0;
    }
}

static void diff_swarms(struct diff_result *r, const struct ap_deployment_swarm *old, const struct ap_deployment_swarm *new)
{
    struct leaves before = {.list = NULL}, after = {.list = NULL};
    int e = diff_swarm(old, &before);

    if (e == 0) e = diff_swarm(new, &after);
    if (e == 0) {
        diff_agents(r, old, new, AP_REMOVED);
        diff_agents(r, new, old, AP_ADDED);
        diff_merge(r, &(struct diff_pair){&before, &after, old, new});
    } else {
        r->error = e;
    }
    diff_free(&before);
    diff_free(&after);
}

static void diff_registries(struct diff_result *r, const struct ap_deployment *old, const struct ap_deployment *new)
{
    struct leaves before = {.list = NULL}, after = {.list = NULL};
    int e = diff_registry(old, &before);

    if (e == 0) e = diff_registry(new, &after);
    if (e == 0) diff_merge(r, &(struct diff_pair){&before, &after, NULL, NULL});
    else r->error = e;
    diff_free(&before);
    diff_free(&after);
}

/* Services that only `of` has. */
static void diff_services(struct diff_result *r, const struct ap_deployment *of, const struct ap_deployment *other,
                          enum ap_difference_kind kind)
{
    for (size_t i = 0; i < of->swarm_count; i++) {
        const struct ap_deployment_swarm *s = &of->swarms[i];

        if (ap_deployment_swarm(other, s->service) != NULL) continue;
        diff_tell(r, (struct ap_difference){.kind = kind, .effect = kind == AP_ADDED ? AP_EFFECT_START : AP_EFFECT_STOP,
                                            .service = s->service, .line = s->node->line}, NULL, NULL, NULL);
    }
}

int ap_deployment_diff(const struct ap_deployment *before, const struct ap_deployment *after, struct ap_differences *ret)
{
    struct diff_result r = {.room = 0};

    diff_registries(&r, before, after);
    diff_services(&r, before, after, AP_REMOVED);
    diff_services(&r, after, before, AP_ADDED);
    for (size_t i = 0; i < after->swarm_count; i++) {
        const struct ap_deployment_swarm *old = ap_deployment_swarm(before, after->swarms[i].service);

        if (old != NULL) diff_swarms(&r, old, &after->swarms[i]);
    }
    if (r.error != 0) ap_differences_free(&r.d);
    else *ret = r.d;
    return r.error;
}

void ap_differences_free(struct ap_differences *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->list[i].key);
        free(d->list[i].before);
        free(d->list[i].after);
    }
    free(d->list);
    *d = (struct ap_differences){.list = NULL};
}

int ap_deployment_fingerprint(const struct ap_deployment_swarm *swarm, enum ap_effect effect, uint64_t *ret)
{
    struct leaves l;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    int e = diff_swarm(swarm, &l);

    if (out == NULL) e = APIARY_ENOBLOCK;
    for (size_t i = 0; e == 0 && i < l.count; i++) {
        const struct leaf *x = &l.list[i];

        /* The ends of the texts keep neighbours apart. */
        if (x->effect == effect) fprintf(out, "%s%c%s%c%s%c", x->agent, 0, x->key, 0, x->value, 0);
    }
    if (out != NULL && fclose(out) != 0) e = APIARY_ENOBLOCK;
    if (e == 0) *ret = ap_hash(text, size);
    free(text);
    diff_free(&l);
    return e;
}

const char *ap_effect_text(enum ap_effect effect)
{
    static const char *const texts[] = {
        [AP_EFFECT_NONE] = "nothing is restarted", [AP_EFFECT_ADJUST] = "applied in place",
        [AP_EFFECT_SCALE] = "instances are started or stopped",
        [AP_EFFECT_RESTART] = "restarted",         [AP_EFFECT_START] = "started",
        [AP_EFFECT_STOP] = "drained and stopped",  [AP_EFFECT_SEGMENT] = "needs a new segment",
    };
    return texts[effect];
}

const char *ap_difference_text(enum ap_difference_kind kind)
{
    static const char *const texts[] = {[AP_ADDED] = "added", [AP_REMOVED] = "removed", [AP_CHANGED] = "changed"};

    return texts[kind];
}
