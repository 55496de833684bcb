/* agents/runtime/kind.h - kinds of agents as the runtime has them: adopted, loaded, asked what they offer; and the configuration of
 * an agent, judged by the keys of its kind. Any thread.
 */
#ifndef AP_KIND_H
#define AP_KIND_H

#include <stdbool.h>

#include "core/apiary/agent.h"
#include "core/config.h"
#include "core/must_check.h"

/* The kind as this library knows it, whatever version of the public face it was built with. NULL, and a kind that is not usable, is
 * refused: APIARY_EINVAL, _ENOTSUP, _ENOBLOCK, with a sentence that continues "plug-in x: ". */
AP_MUST_CHECK int ap_agent_kind_adopt(const apiary_agent_kind_t *kind, const apiary_agent_kind_t **ret, char *message, size_t size);
/* Whether the kind has the capability ("name@major" counts as "name"). */
bool ap_agent_kind_offers(const apiary_agent_kind_t *kind, const char *capability);
/* Loads a plug-in (dlopen) and checks its symbol and ABI: 0, or APIARY_ECONFIG with a sentence in message. What is
 * taken is never unloaded, what is refused is at once. */
AP_MUST_CHECK int ap_agent_plugin(const char *path, const apiary_agent_kind_t **ret, char *message, size_t size);

/* An agent's configuration, before its kind's keys have judged it. */
struct ap_agent_config {
    struct ap_config *owner;   /* of the tree; nobody else has it yet. May be NULL when `map` is */
    const struct ap_node *map; /* NULL: there is none */
    const struct ap_node *at;  /* the agent's own place, for what is said of all of it */
    const char *agent;         /* its name */
};
/* 0, or APIARY_ECONFIG with the sentence: a key that the kind has not, or needs, a value of another type or out of its bounds, a
 * program that is not there. Relative paths in it become absolute: they begin at the folder of the map's file. */
AP_MUST_CHECK int ap_agent_config_judge(const struct ap_agent_config *config, const apiary_agent_kind_t *kind,
                                        struct ap_config_error *error);
/* The same of a text that holds the mapping alone, or of none (NULL, *ret is left alone then). `name` is its file's, NULL: "config
 * of AGENT", with paths that begin at the working directory. *ret is the caller's to free. */
AP_MUST_CHECK int ap_agent_config_parse(const char *name, const char *text, const char *agent, const apiary_agent_kind_t *kind,
                                        struct ap_config **ret, struct ap_config_error *error);

#endif
