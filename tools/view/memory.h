/* tools/view/memory.h - what is in the memory of a segment, as JSON: for apiary and for the coordinator's /v1.
 *
 * READ      without a trace: a value that is looked at here does not count as got, and stays as likely to be evicted.
 * TRUST     Nothing of the segment is trusted. Keys and values may hold anything: a key is told as text that prints.
 * ERRORS    APIARY_ENOTREADY: changed again and again meanwhile. APIARY_ECORRUPT. *ret is untouched then, else a new reference.
 * THREADS   Any.
 */
#ifndef AP_TOOLS_VIEW_MEMORY_H
#define AP_TOOLS_VIEW_MEMORY_H

#include "registry/memory/memory.h"
#include "tools/common/common.h"

#define VIEW_VALUE_MOST 4096u /* bytes of a value that are told */

/* ns until then; null: never. */
json_t *view_memory_left(const struct ap_segment *seg, uint64_t until);
/* Name spaces that hold a value, with how many and of how many bytes. Goes through all keys once. */
AP_MUST_CHECK int view_spaces_json(const struct ap_segment *seg, const char *segment, json_t **ret);
/* The keys of one that begin so, at most `most`, from a place on. *ret_next is the place to go on with; 0: there are no more. */
AP_MUST_CHECK int view_keys_json(const struct ap_segment *seg, const char *segment, const struct ap_memory_name *name,
                                 const char *prefix, uint64_t after, uint32_t most, json_t **ret, uint64_t *ret_next);
/* The beginning of a value, as text where it is UTF-8, else in hexadecimal digits, and how large it is. 0, APIARY_ENOKEY,
 * APIARY_EINVAL: the key. */
AP_MUST_CHECK int view_value_json(const struct ap_segment *seg, const struct ap_memory_name *name, const char *key, json_t **ret);
/* As `apiary memory caches --json`. */
json_t *view_caches_json(const struct ap_segment *seg, const char *segment);

#endif
