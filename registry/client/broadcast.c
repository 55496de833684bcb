/* registry/client/broadcast.c - a task for each provider of a capability: the public face. Each is one as any, which names its
 * provider (the option `provider`). */
#include <string.h>

#include "registry/client/client.h"

/* The options with a provider, in this version's structure. */
static int broadcast_options(apiary_delegate_options_t *own, const apiary_delegate_options_t *options)
{
    *own = (apiary_delegate_options_t){.struct_size = sizeof *own};
    if (options == NULL) return 0;
    return ap_sized_in(own, sizeof *own, AP_FIRST_DELEGATE_OPTIONS, options, options->struct_size);
}

static uint64_t broadcast_number(const apiary_provider_t *providers, size_t i)
{
    apiary_provider_t own;

    return ap_sized_in(&own, sizeof own, AP_FIRST_PROVIDER, (const char *)providers + i * providers->struct_size,
                       providers->struct_size) == 0
               ? own.provider
               : 0;
}

int apiary_delegate_all(apiary_t *a, const char *capability, const void *body, size_t size,
                        const apiary_delegate_options_t *options, apiary_provider_t *providers, apiary_task_t *tasks, int *errors,
                        size_t capacity)
{
    apiary_delegate_options_t own;
    struct ap_lane_context *c;
    int count, r = ap_usable(a);

    if (r < 0) return r;
    if (capability == NULL || (body == NULL && size > 0) || providers == NULL || errors == NULL || capacity == 0)
        return APIARY_EINVAL;
    if (providers->struct_size < offsetof(apiary_provider_t, provider) + sizeof providers->provider) return APIARY_EINVAL;
    r = broadcast_options(&own, options);
    if (r < 0) return r;
    if ((own.provider | own.hedge | own.dedup_key) != 0) return APIARY_EINVAL;
    if (tasks == NULL && (own.flags & APIARY_DETACH) == 0) return APIARY_EINVAL;
    c = ap_context(a, &r);
    if (c == NULL) return r;
    count = apiary_discover(a, capability, providers, capacity);
    for (int i = 0; i < count && (size_t)count <= capacity; i++) {
        own.provider = broadcast_number(providers, (size_t)i);
        errors[i] = ap_submit(c, -1, capability, body, size, 0, &own, tasks != NULL ? &tasks[i] : NULL);
        ap_refused_told(c, capability, NULL, errors[i]);
    }
    return count;
}
