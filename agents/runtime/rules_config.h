/* agents/runtime/rules_config.h - the rules of a capability (registry/routing/rules.h), read from configuration. Any thread. */
#ifndef AP_RULES_CONFIG_H
#define AP_RULES_CONFIG_H

#include "core/config.h"
#include "core/must_check.h"
#include "registry/routing/rules.h"

/* Checks and reads a list of rules of the capability `name`. Returns 0, or APIARY_ECONFIG with the sentence. */
AP_MUST_CHECK int ap_rules_config_read(const struct ap_node *list, const char *name, struct ap_rules *ret,
                                       struct ap_config_error *error);

#endif
