/* agents/runtime/terms_config.h - what a capability declares (registry/routing/terms.h), read from configuration. Any thread. */
#ifndef AP_TERMS_CONFIG_H
#define AP_TERMS_CONFIG_H

#include "core/config.h"
#include "core/must_check.h"
#include "registry/routing/rules.h"
#include "registry/routing/terms.h"

/* Checks and reads a mapping of terms of the capability `name`; NULL: an item of the list `capabilities`, which says it as `name`.
 * The term `rules` comes in *rules. Returns 0, or APIARY_ECONFIG with the sentence. */
AP_MUST_CHECK int ap_terms_read(const struct ap_node *map, const char *name, struct ap_terms *ret, struct ap_rules *rules,
                                struct ap_config_error *error);
/* Parses a text that holds only a mapping from capabilities to their terms: *ret and *rules have one for each of `capabilities`
 * (ends with NULL), to be freed; NULL with a `text` that is NULL. Every key has to be one of the capabilities. APIARY_ECONFIG with
 * the sentence, APIARY_ENOBLOCK. */
AP_MUST_CHECK int ap_terms_parse(const char *agent, const char *text, const char *const *capabilities, struct ap_terms **ret,
                                 struct ap_rules **rules, struct ap_config_error *error);

#endif
