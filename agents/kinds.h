/* agents/kinds.h - the agent kinds that need no plug-in. */
#ifndef AP_KINDS_H
#define AP_KINDS_H

#include "core/apiary.h"

extern const apiary_agent_kind_t *const ap_agent_kinds[]; /* ends with NULL */
const apiary_agent_kind_t *ap_agent_kind(const char *name); /* NULL: unknown */
/* Loads a plug-in (dlopen) and checks its symbol and ABI: 0, or APIARY_ECONFIG with a sentence in message. It is never
 * unloaded. */
int ap_agent_plugin(const char *path, const apiary_agent_kind_t **ret, char *message, size_t size);

#endif
