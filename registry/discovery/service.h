/* registry/discovery/service.h - reading a service's row; for service.c and service_enter.c. See registry.h. */
#ifndef AP_SERVICE_H
#define AP_SERVICE_H

#include <string.h>

#include "registry/registry.h"

#define AP_SERVICE_TRIES 64 /* lost races; in each of them another lane made progress */
#define AP_SERVICE_WORDS ((APIARY_NAME_MAX + 1) / 8)

static inline uint32_t ap_service_count(const struct ap_segment *seg)
{
    return (uint32_t)seg->sections[AP_SECTION_SERVICES].count;
}

static inline bool ap_service_named(uint64_t life)
{
    return AP_SERVICE_STATE(life) >= AP_SERVICE_READY;
}

/* The name, and the life that it belongs to; 0 when the life changed meanwhile. */
AP_ALWAYS_INLINE uint64_t ap_service_read(const struct ap_service *s, char ret[APIARY_NAME_MAX + 1])
{
    uint64_t life = ap_load_acquire(&s->life), words[AP_SERVICE_WORDS]; /* NAME-A1 pairs NAME-R1 */
    const uint64_t *from = (const uint64_t *)(const void *)s->name;

    for (uint32_t i = 0; i < AP_SERVICE_WORDS; i++) words[i] = ap_load_relaxed(&from[i]);
    ap_fence_acquire(); /* NAME-A2 pairs NAME-R2 */
    if (__builtin_expect(ap_load_relaxed(&s->life) != life, 0)) return 0;
    memcpy(ret, words, sizeof words);
    ret[APIARY_NAME_MAX] = '\0';
    return life;
}

/* Whether the row has this name and is in one of the states that `accept` has a bit for; its life in *ret. */
bool ap_service_is(const struct ap_service *s, uint64_t key, const char *name, uint32_t accept, uint64_t *ret);
#define AP_SERVICE_ACCEPT_NAMED (1u << AP_SERVICE_READY | 1u << AP_SERVICE_CONDEMNED)
/* Index of the row that has the name, or -1. */
int ap_service_lookup(const struct ap_segment *seg, const char *name, uint64_t *ret);

#endif
