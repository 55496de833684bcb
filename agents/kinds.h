/* agents/kinds.h - the agent kinds that need no plug-in. */
#ifndef AP_KINDS_H
#define AP_KINDS_H

#include <limits.h>
#include <stdbool.h>

#include "core/apiary/agent.h"
#include "core/must_check.h"

extern const apiary_agent_kind_t *const ap_agent_kinds[]; /* ends with NULL */
const apiary_agent_kind_t *ap_agent_kind(const char *name); /* NULL: unknown */
/* The kind as this library knows it, whatever version of the public face it was built with. NULL, and a kind that is not usable, is
 * refused: APIARY_EINVAL, _ENOTSUP, _ENOBLOCK, with a sentence that continues "plug-in x: ". Any thread. */
AP_MUST_CHECK int ap_agent_kind_adopt(const apiary_agent_kind_t *kind, const apiary_agent_kind_t **ret, char *message, size_t size);
/* Whether the kind has the capability ("name@major" counts as "name"). */
bool ap_agent_kind_offers(const apiary_agent_kind_t *kind, const char *capability);
/* Where a program is: a name is looked for in $PATH (AP_AGENT_PATH without it), an absolute path is taken as it is. 0, or
 * APIARY_ECONFIG with a sentence in why. */
#define AP_AGENT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
AP_MUST_CHECK int ap_agent_program(const char *name, char ret[PATH_MAX], char *why, size_t size);
/* Loads a plug-in (dlopen) and checks its symbol and ABI: 0, or APIARY_ECONFIG with a sentence in message. What is
 * taken is never unloaded, what is refused is at once. */
AP_MUST_CHECK int ap_agent_plugin(const char *path, const apiary_agent_kind_t **ret, char *message, size_t size);

#endif
