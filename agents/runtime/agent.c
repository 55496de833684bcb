/* agents/runtime/agent.c - what an agent's functions may ask of their surroundings. See apiary.h. */
#include "agents/runtime/agent.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/queen.h"
#include "core/text.h"

const char *apiary_agent_name(const apiary_agent_t *agent)
{
    const struct ap_agent *of = ap_agent_of(agent);

    return of != NULL ? of->name : "";
}

const char *apiary_agent_service(const apiary_agent_t *agent)
{
    const struct ap_agent *of = ap_agent_of(agent);

    return of != NULL ? of->queen->service : "";
}

apiary_t *apiary_agent_handle(const apiary_agent_t *agent)
{
    const struct ap_agent *of = ap_agent_of(agent);

    return of != NULL ? of->queen->client : NULL;
}

int apiary_agent_limit(apiary_agent_t *agent, uint32_t jobs)
{
    struct ap_agent *of = ap_agent_of(agent);

    if (of == NULL) return ap_agent_missing(agent);
    if (of->jobs != NULL) return APIARY_EINVAL; /* they are made */
    of->limit = jobs < 1 ? 1 : jobs > AP_AGENT_HANDS_MAX ? AP_AGENT_HANDS_MAX : jobs;
    return 0;
}

/* ---- configuration -------------------------------------------------------------------------------------------- */

const char *apiary_agent_text(const apiary_agent_t *agent, const char *key, const char *otherwise)
{
    const struct ap_agent *of = ap_agent_of(agent);

    return of != NULL && of->config != NULL ? ap_node_text(of->config, key, otherwise) : otherwise;
}

static char agent_key_type(const apiary_agent_kind_t *kind, const char *key)
{
    for (const apiary_agent_key_t *k = kind->keys; k != NULL && k->name != NULL; k++)
        if (strcmp(k->name, key) == 0) return k->type;
    return 'i';
}

int64_t apiary_agent_number(const apiary_agent_t *agent, const char *key, int64_t otherwise)
{
    const struct ap_agent *of = ap_agent_of(agent);

    if (of == NULL || of->config == NULL) return otherwise;
    return ap_node_number(of->config, key, agent_key_type(of->kind, key), otherwise);
}

static struct ap_text_list *list_of(struct ap_agent *agent, const struct ap_node *node)
{
    size_t count = node->kind == AP_NODE_LIST ? node->count : 1;
    struct ap_text_list *list;

    for (list = agent->lists; list != NULL; list = list->next)
        if (list->node == node) return list;
    list = malloc(sizeof *list + (count + 1) * sizeof *list->texts);
    if (list == NULL) return NULL;
    list->node = node;
    list->count = count;
    for (size_t i = 0; i < count; i++) {
        const char *text = node->kind == AP_NODE_LIST ? node->items[i]->text : node->text;
        list->texts[i] = text != NULL ? text : "";
    }
    list->texts[count] = NULL;
    list->next = agent->lists;
    agent->lists = list;
    return list;
}

size_t apiary_agent_list(const apiary_agent_t *agent, const char *key, const char *const **ret)
{
    struct ap_agent *of = ap_agent_of(agent);
    const struct ap_node *node = of != NULL && of->config != NULL ? ap_node_get(of->config, key) : NULL;
    struct ap_text_list *list;

    if (node == NULL || node->kind == AP_NODE_MAP) return 0;
    list = list_of(of, node);
    if (list == NULL) return 0;
    if (ret != NULL) *ret = list->texts;
    return list->count;
}

void ap_agent_lists_free(struct ap_agent *agent)
{
    while (agent->lists != NULL) {
        struct ap_text_list *next = agent->lists->next;
        free(agent->lists);
        agent->lists = next;
    }
}

/* ---- log ------------------------------------------------------------------------------------------------------ */

/* Where in the configuration the key is that a sentence begins with, be it behind the kind's name; else all of it. */
static const struct ap_node *agent_place_of(const struct ap_agent *agent, const char *sentence)
{
    size_t kind = strlen(agent->kind->name);
    const struct ap_node *node;
    char key[64];

    if (strncmp(sentence, agent->kind->name, kind) == 0 && strncmp(sentence + kind, ": ", 2) == 0) sentence += kind + 2;
    snprintf(key, sizeof key, "%.*s", (int)strcspn(sentence, ": "), sentence);
    node = ap_node_get(agent->config, key);
    return node != NULL ? node : agent->config;
}

void ap_agent_explain(struct ap_agent *agent, const char *sentence)
{
    struct ap_worker *w = agent->worker;
    struct ap_config_error at;

    if (agent->config != NULL)
        ap_node_refuse(agent_place_of(agent, sentence), &at, "agent %s: %s", agent->name, sentence);
    else
        ap_format(at.text, sizeof at.text, "agent %s: %s", agent->name, sentence);
    ap_format(w->message, sizeof w->message, "%s", at.text);
}

static void log_sentence(struct ap_agent *agent, int level, const char *sentence)
{
    struct ap_worker *w = agent->worker;

    /* Why an agent could not be made is what apiary_queen_start says. */
    if (level <= 3 && ap_load_relaxed(&w->phase) == AP_WORKER_OPENING && ap_worker_self() == w)
        ap_agent_explain(agent, sentence);
    ap_queen_log(agent->queen, level, "%s: %s", agent->name, sentence);
}

static void log_formatted(struct ap_agent *agent, int level, const char *format, va_list args)
{
    char buffer[1024], *sentence = ap_vformat_whole(buffer, sizeof buffer, format, args);

    log_sentence(agent, level, sentence);
    if (sentence != buffer) free(sentence);
}

void ap_agent_log(struct ap_agent *agent, int level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_formatted(agent, level, format, args);
    va_end(args);
}

void apiary_agent_log(apiary_agent_t *agent, int level, const char *format, ...)
{
    struct ap_agent *of = ap_agent_of(agent);
    va_list args;

    if (of == NULL) return;
    va_start(args, format);
    log_formatted(of, level, format, args);
    va_end(args);
}

void apiary_agent_log_text(apiary_agent_t *agent, int level, const char *text, size_t size)
{
    if (text == NULL && size > 0) return;
    apiary_agent_log(agent, level, "%.*s", (int)(size < INT_MAX ? size : INT_MAX), size > 0 ? text : "");
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

void ap_agent_heap_tell(struct ap_agent *agent, uint64_t now)
{
    struct ap_worker *w = agent->worker;

    agent->heap_due = now + AP_HEAP_TOLD;
    if (w->heaps_due <= now) { /* of all heaps, which may be thousands */
        w->heaps_due = now + AP_HEAP_TOLD / 10;
        ap_arenas_refresh();
    }
    ap_times_heap(agent->times, agent->arena.allocated, ap_arena_resident(&agent->arena));
}

/* The arena is its worker's alone: what another thread would do to it would be found much later, elsewhere. NULL: it is another
 * thread, or the agent is no more. */
static struct ap_arena *arena_of(const apiary_agent_t *agent)
{
    struct ap_agent *of = ap_agent_of(agent);

    return of != NULL && ap_worker_self() == of->worker ? &of->arena : NULL;
}

void *apiary_agent_alloc(apiary_agent_t *agent, size_t size)
{
    struct ap_arena *arena = arena_of(agent);

    return arena != NULL ? ap_arena_alloc(arena, size) : NULL;
}

void *apiary_agent_resize(apiary_agent_t *agent, void *block, size_t size)
{
    struct ap_arena *arena = arena_of(agent);

    return arena != NULL ? ap_arena_resize(arena, block, size) : NULL;
}

void apiary_agent_free(apiary_agent_t *agent, void *block)
{
    struct ap_arena *arena = arena_of(agent);

    if (arena != NULL) ap_arena_free(arena, block);
}

size_t apiary_agent_allocated(apiary_agent_t *agent)
{
    const struct ap_agent *of = ap_agent_of(agent);

    return of != NULL ? of->arena.allocated : 0;
}

/* These calls are older than the memory's errors. */
static int local_error(int error)
{
    return error == APIARY_ENOKEY ? APIARY_ESTALE : error;
}

int apiary_local_put(apiary_agent_t *agent, const char *key, const void *value, size_t size)
{
    const struct ap_agent *of = ap_agent_of(agent);

    return of != NULL ? apiary_memory_put(of->queen->local, key, value, size, 0, NULL) : ap_agent_missing(agent);
}

int64_t apiary_local_get(apiary_agent_t *agent, const char *key, void *value, size_t capacity)
{
    const struct ap_agent *of = ap_agent_of(agent);
    apiary_memory_value_t whole = {.struct_size = sizeof whole};
    int r = of != NULL ? apiary_memory_get(of->queen->local, key, value, capacity, &whole) : ap_agent_missing(agent);

    return r == 0 ? (int64_t)whole.size : local_error(r);
}

int apiary_local_delete(apiary_agent_t *agent, const char *key)
{
    const struct ap_agent *of = ap_agent_of(agent);

    return of != NULL ? local_error(apiary_memory_delete(of->queen->local, key)) : ap_agent_missing(agent);
}

int apiary_local_incr(apiary_agent_t *agent, const char *key, int64_t by, int64_t *ret)
{
    const struct ap_agent *of = ap_agent_of(agent);

    return of != NULL ? apiary_memory_incr(of->queen->local, key, by, ret) : ap_agent_missing(agent);
}

/* ---- the loop ------------------------------------------------------------------------------------------------- */

int apiary_watch_fd(apiary_agent_t *agent, int fd, uint32_t events, apiary_watch_fn fn, void *user, apiary_watch_t **ret)
{
    const struct ap_agent *of = ap_agent_of(agent);

    if (of == NULL) return ap_agent_missing(agent);
    ap_loop_whose(of->worker->loop, AP_INSIDE_AGENT(of->queue));
    return ap_loop_watch(of->worker->loop, fd, events, fn, user, ret);
}

int apiary_watch_timer(apiary_agent_t *agent, uint64_t after, apiary_watch_fn fn, void *user, apiary_watch_t **ret)
{
    const struct ap_agent *of = ap_agent_of(agent);
    uint64_t now;

    if (of == NULL) return ap_agent_missing(agent);
    now = of->worker->seg->ops->now();
    ap_loop_whose(of->worker->loop, AP_INSIDE_AGENT(of->queue));
    return ap_loop_timer(of->worker->loop, after >= UINT64_MAX - now ? UINT64_MAX : now + after, fn, user, ret);
}

int apiary_watch_close(apiary_watch_t *watch)
{
    return ap_loop_close(watch);
}
