/* core/key.c - the key of a task from bytes. See apiary.h. */
#include "core/apiary.h"
#include "core/name.h"

uint64_t apiary_key(const void *bytes, size_t size)
{
    return ap_hash(bytes, size);
}
