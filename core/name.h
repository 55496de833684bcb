/* core/name.h - names and hashes. A name is 1..max bytes of [a-z0-9_.-], beginning with a letter; a capability may end
 * in "@major" (1..65535). Hash: XXH3 64 (xxHash), never 0. */
#ifndef AP_NAME_H
#define AP_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool ap_name_valid(const char *name, size_t max);
bool ap_capability_valid(const char *name); /* APIARY_CAPABILITY_MAX */
uint64_t ap_hash(const void *bytes, size_t size);

#endif
