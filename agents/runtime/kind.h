/* agents/runtime/kind.h - kinds of agents in the runtime: adopting, loading, their capabilities; and checking an agent's
 * configuration by the keys of its kind. Any thread.
 */
#ifndef AP_KIND_H
#define AP_KIND_H

#include <stdbool.h>

#include "core/apiary/agent.h"
#include "core/config.h"
#include "core/must_check.h"

/* Converts a kind to this library's version, whatever version of the public headers it was built with. NULL or a kind that is not
 * usable is refused: APIARY_EINVAL, _ENOTSUP, _ENOBLOCK, with a sentence that continues "plug-in x: ". */
AP_MUST_CHECK int ap_agent_kind_adopt(const apiary_agent_kind_t *kind, const apiary_agent_kind_t **ret, char *message, size_t size);
/* Whether the kind has the capability ("name@major" counts as "name"). */
bool ap_agent_kind_offers(const apiary_agent_kind_t *kind, const char *capability);
/* Loads a plug-in (dlopen) and checks its symbol and ABI: 0, or APIARY_ECONFIG with a sentence in `message`. An accepted plug-in
 * is never unloaded, a refused one at once. */
AP_MUST_CHECK int ap_agent_plugin(const char *path, const apiary_agent_kind_t **ret, char *message, size_t size);

/* An agent's configuration, before it is checked by the keys of its kind. */
struct ap_agent_config {
    struct ap_config *owner;   /* of the tree, not shared yet; may be NULL when `map` is */
    const struct ap_node *map; /* NULL: there is none */
    const struct ap_node *at;  /* the agent's place, for messages about the whole configuration */
    const char *agent;         /* its name */
};
/* Checks a configuration: 0, or APIARY_ECONFIG with the sentence. Refused are a key that the kind does not have, a required key
 * that is missing, a value of another type or out of bounds, a program that does not exist. Relative paths become absolute: they
 * begin at the folder of the map's file. */
AP_MUST_CHECK int ap_agent_config_judge(const struct ap_agent_config *config, const apiary_agent_kind_t *kind,
                                        struct ap_config_error *error);
/* Parses and checks a text that holds only the mapping. NULL: there is none, and *ret is left alone. `name` is its file's; NULL:
 * "config of AGENT", and paths begin at the working directory. The caller frees *ret. */
AP_MUST_CHECK int ap_agent_config_parse(const char *name, const char *text, const char *agent, const apiary_agent_kind_t *kind,
                                        struct ap_config **ret, struct ap_config_error *error);

#endif
