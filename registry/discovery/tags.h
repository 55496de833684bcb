/* registry/discovery/tags.h - the tags of an instance: words by which it is found.
 *
 * TEXT      Words as names of services are (core/name.h), each once, with one space between; in all at most APIARY_TAGS_MAX bytes.
 *           NULL and "" are no tags.
 * THREADS   Any; texts in private memory.
 */
#ifndef AP_TAGS_H
#define AP_TAGS_H

#include <stdbool.h>

#include "core/apiary/discovery.h"

bool ap_tags_valid(const char *tags);
/* Whether each of `wanted` is among the tags. Both are valid. */
bool ap_tags_have(const char *tags, const char *wanted);

/* Which instances are meant, judged and in private memory. */
struct ap_instance_query {
    char service[APIARY_NAME_MAX + 1]; /* "": any */
    char major[8];                     /* "": any */
    char tags[APIARY_TAGS_MAX + 1];
};
/* `query` NULL: all. 0; APIARY_EINVAL, _ENOTSUP. */
int ap_instance_query_read(const apiary_instance_query_t *query, struct ap_instance_query *ret);
/* Whether an instance is meant. */
bool ap_instance_meant(const struct ap_instance_query *query, const apiary_instance_t *instance);

#endif
