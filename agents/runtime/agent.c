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
    return agent->name;
}

const char *apiary_agent_service(const apiary_agent_t *agent)
{
    return agent->queen->service;
}

apiary_t *apiary_agent_handle(const apiary_agent_t *agent)
{
    return agent->queen->client;
}

int apiary_agent_limit(apiary_agent_t *agent, uint32_t jobs)
{
    if (agent->jobs != NULL) return APIARY_EINVAL; /* they are made */
    agent->limit = jobs < 1 ? 1 : jobs > AP_AGENT_HANDS_MAX ? AP_AGENT_HANDS_MAX : jobs;
    return 0;
}

/* ---- configuration -------------------------------------------------------------------------------------------- */

const char *apiary_agent_text(const apiary_agent_t *agent, const char *key, const char *otherwise)
{
    return agent->config != NULL ? ap_node_text(agent->config, key, otherwise) : otherwise;
}

static char key_type(const apiary_agent_kind_t *kind, const char *key)
{
    for (const apiary_agent_key_t *k = kind->keys; k != NULL && k->name != NULL; k++)
        if (strcmp(k->name, key) == 0) return k->type;
    return 'i';
}

int64_t apiary_agent_number(const apiary_agent_t *agent, const char *key, int64_t otherwise)
{
    if (agent->config == NULL) return otherwise;
    return ap_node_number(agent->config, key, key_type(agent->kind, key), otherwise);
}

static struct ap_text_list *list_of(struct apiary_agent *agent, const struct ap_node *node)
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
    const struct ap_node *node = agent->config != NULL ? ap_node_get(agent->config, key) : NULL;
    struct ap_text_list *list;

    if (node == NULL || node->kind == AP_NODE_MAP) return 0;
    list = list_of((struct apiary_agent *)agent, node);
    if (list == NULL) return 0;
    if (ret != NULL) *ret = list->texts;
    return list->count;
}

void ap_agent_lists_free(struct apiary_agent *agent)
{
    while (agent->lists != NULL) {
        struct ap_text_list *next = agent->lists->next;
        free(agent->lists);
        agent->lists = next;
    }
}

/* ---- log ------------------------------------------------------------------------------------------------------ */

/* Where in the configuration the key is that a sentence begins with, be it behind the kind's name; else all of it. */
static const struct ap_node *place_of(const struct apiary_agent *agent, const char *sentence)
{
    size_t kind = strlen(agent->kind->name);
    const struct ap_node *node;
    char key[64];

    if (strncmp(sentence, agent->kind->name, kind) == 0 && strncmp(sentence + kind, ": ", 2) == 0) sentence += kind + 2;
    snprintf(key, sizeof key, "%.*s", (int)strcspn(sentence, ": "), sentence);
    node = ap_node_get(agent->config, key);
    return node != NULL ? node : agent->config;
}

void ap_agent_explain(struct apiary_agent *agent, const char *sentence)
{
    struct ap_worker *w = agent->worker;
    struct ap_config_error at;

    if (agent->config != NULL)
        ap_node_refuse(place_of(agent, sentence), &at, "agent %s: %s", agent->name, sentence);
    else
        ap_format(at.text, sizeof at.text, "agent %s: %s", agent->name, sentence);
    ap_format(w->message, sizeof w->message, "%s", at.text);
}

static void log_sentence(struct apiary_agent *agent, int level, const char *sentence)
{
    struct ap_worker *w = agent->worker;

    /* Why an agent could not be made is what apiary_queen_start says. */
    if (level <= 3 && ap_load_relaxed(&w->phase) == AP_WORKER_OPENING && ap_worker_self() == w)
        ap_agent_explain(agent, sentence);
    ap_queen_log(agent->queen, level, "%s: %s", agent->name, sentence);
}

void apiary_agent_log(apiary_agent_t *agent, int level, const char *format, ...)
{
    char buffer[1024], *sentence;
    va_list args;

    va_start(args, format);
    sentence = ap_vformat_whole(buffer, sizeof buffer, format, args);
    va_end(args);
    log_sentence(agent, level, sentence);
    if (sentence != buffer) free(sentence);
}

void apiary_agent_log_text(apiary_agent_t *agent, int level, const char *text, size_t size)
{
    if (text == NULL && size > 0) return;
    apiary_agent_log(agent, level, "%.*s", (int)(size < INT_MAX ? size : INT_MAX), size > 0 ? text : "");
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

/* The arena is its worker's alone: what another thread would do to it would be found much later, elsewhere. */
static bool at_home(const struct apiary_agent *agent)
{
    return ap_worker_self() == agent->worker;
}

void *apiary_agent_alloc(apiary_agent_t *agent, size_t size)
{
    if (!at_home(agent)) return NULL;
    return ap_arena_alloc(&agent->arena, size);
}

void *apiary_agent_resize(apiary_agent_t *agent, void *block, size_t size)
{
    if (!at_home(agent)) return NULL;
    return ap_arena_resize(&agent->arena, block, size);
}

void apiary_agent_free(apiary_agent_t *agent, void *block)
{
    if (at_home(agent)) ap_arena_free(&agent->arena, block);
}

size_t apiary_agent_allocated(apiary_agent_t *agent)
{
    return agent->arena.allocated;
}

int apiary_local_put(apiary_agent_t *agent, const char *key, const void *value, size_t size)
{
    return ap_memory_put(&agent->queen->memory, key, value, size);
}

int64_t apiary_local_get(apiary_agent_t *agent, const char *key, void *value, size_t capacity)
{
    return ap_memory_get(&agent->queen->memory, key, value, capacity);
}

int apiary_local_delete(apiary_agent_t *agent, const char *key)
{
    return ap_memory_delete(&agent->queen->memory, key);
}

/* ---- the loop ------------------------------------------------------------------------------------------------- */

int apiary_watch_fd(apiary_agent_t *agent, int fd, uint32_t events, apiary_watch_fn fn, void *user, apiary_watch_t **ret)
{
    return ap_loop_watch(agent->worker->loop, fd, events, fn, user, ret);
}

int apiary_watch_timer(apiary_agent_t *agent, uint64_t after, apiary_watch_fn fn, void *user, apiary_watch_t **ret)
{
    uint64_t now = agent->worker->seg->ops->now();

    return ap_loop_timer(agent->worker->loop, after >= UINT64_MAX - now ? UINT64_MAX : now + after, fn, user, ret);
}

int apiary_watch_close(apiary_watch_t *watch)
{
    return ap_loop_close(watch);
}
