/* registry/client/watching.c - waits for the next change of what is watched. See watching.h. */
#include "registry/client/watching.h"

#include "registry/client/sleep.h"
#include "shm/bell.h"

#define PARK_MOST UINT64_C(1000000000)

int ap_watching(const struct apiary *a, uint32_t *bell, uint64_t timeout, int (*step)(void *watch, void *ret), void *watch,
                void *ret)
{
    const struct ap_ops *ops = a->seg->ops;
    uint64_t now = ops->now(), until = timeout < APIARY_FOREVER - now ? now + timeout : APIARY_FOREVER;
    uint32_t interrupts = ap_load_acquire(&a->interrupts), value;
    int r;

    while ((r = step(watch, ret)) == 0) {
        now = ops->now();
        if (now >= until) return 0;
        if (ap_load_acquire(&a->interrupts) != interrupts) return APIARY_EINTERRUPTED;
        value = ap_bell_raise(bell);
        if ((r = step(watch, ret)) != 0) return r;
        if (ap_load_acquire(&a->interrupts) != interrupts) return APIARY_EINTERRUPTED;
        ap_sleep(ops, bell, value, until - now < PARK_MOST ? until : now + PARK_MOST);
    }
    return r;
}
