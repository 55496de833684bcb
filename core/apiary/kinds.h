/* apiary/kinds.h - the built-in kinds of agents, for a queen in a program of one's own. `apiary kinds` lists them with their keys.
 *
 * They are in a library of their own, because they need others (libcurl, jansson, libsodium): pkg-config apiary-kinds, or
 * find_package(apiary COMPONENTS kinds) and apiary::kinds. The conventions are those of <apiary.h>.
 */
#ifndef APIARY_KINDS_H
#define APIARY_KINDS_H

#include "agent.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The kind of that name, for apiary_agent_description_t; NULL when there is none. Kinds live as long as the process. */
APIARY_API const apiary_agent_kind_t *apiary_kind(const char *name);
/* All kinds; the list ends with NULL. An element's `keys` are the keys that its configuration may have. */
APIARY_API const apiary_agent_kind_t *const *apiary_kinds(void);

#ifdef __cplusplus
}
#endif
#endif
