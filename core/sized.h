/* core/sized.h - structures of the public headers, which carry their size so that they can grow: see STRUCTURES in apiary.h.
 *
 * 1 A structure only grows at its end.
 * 2 `first` is the size of its first version that had a size. A smaller structure is not valid.
 * 3 Plain C on private memory; any thread.
 */
#ifndef AP_SIZED_H
#define AP_SIZED_H

#include <stdbool.h>
#include <string.h>

#include "core/apiary.h"
#include "core/apiary/discovery.h"

#define AP_SIZED_MAX 4096u

/* Sizes of the first version, in bytes. */
#define AP_FIRST_ATTACH_OPTIONS 48u
#define AP_FIRST_DELEGATE_OPTIONS 24u
#define AP_FIRST_RESULT 56u
#define AP_FIRST_REQUEST 40u
#define AP_FIRST_REFUSAL 280u
#define AP_FIRST_PROVIDER 168u
#define AP_FIRST_SWARM_STATUS 256u
#define AP_FIRST_DEAD 472u
#define AP_FIRST_PROGRESS 128u
#define AP_FIRST_PART 24u
#define AP_FIRST_MEMORY_VALUE 32u
#define AP_FIRST_MEMORY_STATS 104u
#define AP_FIRST_MEMORY_CHANGE 296u
#define AP_FIRST_CLAIM_OPTIONS 24u
#define AP_FIRST_CLAIM 80u
#define AP_FIRST_CLAIM_STATS 80u
#define AP_FIRST_INSTANCE 704u
#define AP_FIRST_INSTANCE_QUERY 24u
#define AP_FIRST_INSTANCE_CHANGE 24u
#define AP_FIRST_AGENT_KIND 72u
#define AP_FIRST_AGENT_KEY 40u
#define AP_FIRST_AGENT_DESCRIPTION 48u
#define AP_FIRST_SWARM_DESCRIPTION 104u

_Static_assert(sizeof(apiary_attach_options_t) >= AP_FIRST_ATTACH_OPTIONS, "structures only grow");
_Static_assert(sizeof(apiary_delegate_options_t) >= AP_FIRST_DELEGATE_OPTIONS, "structures only grow");
_Static_assert(sizeof(apiary_result_t) >= AP_FIRST_RESULT, "structures only grow");
_Static_assert(sizeof(apiary_refusal_t) >= AP_FIRST_REFUSAL, "structures only grow");
_Static_assert(sizeof(apiary_request_t) >= AP_FIRST_REQUEST, "structures only grow");
_Static_assert(sizeof(apiary_provider_t) >= AP_FIRST_PROVIDER, "structures only grow");
_Static_assert(sizeof(apiary_progress_t) >= AP_FIRST_PROGRESS, "structures only grow");
_Static_assert(sizeof(apiary_part_t) >= AP_FIRST_PART, "structures only grow");
_Static_assert(sizeof(apiary_dead_t) >= AP_FIRST_DEAD, "structures only grow");
_Static_assert(sizeof(apiary_memory_value_t) >= AP_FIRST_MEMORY_VALUE, "structures only grow");
_Static_assert(sizeof(apiary_memory_stats_t) >= AP_FIRST_MEMORY_STATS, "structures only grow");
_Static_assert(sizeof(apiary_memory_change_t) >= AP_FIRST_MEMORY_CHANGE, "structures only grow");
_Static_assert(sizeof(apiary_claim_options_t) >= AP_FIRST_CLAIM_OPTIONS, "structures only grow");
_Static_assert(sizeof(apiary_claim_t) >= AP_FIRST_CLAIM, "structures only grow");
_Static_assert(sizeof(apiary_claim_stats_t) >= AP_FIRST_CLAIM_STATS, "structures only grow");
_Static_assert(sizeof(apiary_instance_t) >= AP_FIRST_INSTANCE, "structures only grow");
_Static_assert(sizeof(apiary_instance_change_t) >= AP_FIRST_INSTANCE_CHANGE, "structures only grow");
_Static_assert(sizeof(apiary_instance_query_t) >= AP_FIRST_INSTANCE_QUERY, "structures only grow");
_Static_assert(sizeof(apiary_swarm_status_t) >= AP_FIRST_SWARM_STATUS, "structures only grow");

static inline bool ap_sized_valid(size_t size, size_t first)
{
    return size >= first && size <= AP_SIZED_MAX && size % sizeof(size_t) == 0;
}

/* Copies a caller's structure into one of this library's version: `known` bytes of *to, with zeros for fields that the caller's
 * version lacks. 0; APIARY_EINVAL; APIARY_ENOTSUP when a field that this library does not know is not 0. */
static inline int ap_sized_in(void *to, size_t known, size_t first, const void *from, size_t size)
{
    size_t common = size < known ? size : known;

    if (!ap_sized_valid(size, first)) return APIARY_EINVAL;
    for (size_t i = known; i < size; i++)
        if (((const char *)from)[i] != 0) return APIARY_ENOTSUP;
    memcpy(to, from, common);
    memset((char *)to + common, 0, known - common);
    memcpy(to, &known, sizeof known);
    return 0;
}

/* The reverse: copies into the caller's structure of `size` bytes, whose struct_size stays. */
static inline void ap_sized_out(void *to, size_t size, const void *from, size_t known)
{
    size_t common = size < known ? size : known;

    memcpy((char *)to + sizeof size, (const char *)from + sizeof size, common - sizeof size);
    memset((char *)to + common, 0, size - common);
    memcpy(to, &size, sizeof size);
}

#endif
