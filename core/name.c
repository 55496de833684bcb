/* core/name.c */
#include "core/name.h"

#include <string.h>

#include "core/apiary.h"
#include "core/hash.h"

/* Characters by hand: isalpha() follows the locale. */
static bool name_bytes_valid(const char *name, size_t length)
{
    if (length == 0 || name[0] < 'a' || name[0] > 'z') return false;
    for (size_t i = 1; i < length; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-')) return false;
    }
    return true;
}

bool ap_name_valid(const char *name, size_t max)
{
    size_t length;

    if (name == NULL) return false;
    length = strnlen(name, max + 1);
    return length <= max && name_bytes_valid(name, length);
}

bool ap_capability_valid(const char *name)
{
    size_t length, at;
    uint32_t major = 0;

    if (name == NULL) return false;
    length = strnlen(name, APIARY_CAPABILITY_MAX + 1);
    if (length > APIARY_CAPABILITY_MAX) return false;
    for (at = 0; at < length && name[at] != '@'; at++)
        continue;
    if (!name_bytes_valid(name, at)) return false;
    if (at == length) return true;
    /* One spelling per version: no sign, no leading zero. */
    if (at + 1 == length || length - at > 6 || name[at + 1] == '0') return false;
    for (size_t i = at + 1; i < length; i++) {
        if (name[i] < '0' || name[i] > '9') return false;
        major = major * 10 + (uint32_t)(name[i] - '0');
    }
    return major <= 65535;
}

uint64_t ap_hash(const void *bytes, size_t size)
{
    return ap_hash_here(bytes, size);
}
