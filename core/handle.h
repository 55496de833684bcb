/* core/handle.h - names for objects that a program or an agent holds (queens, agents, jobs, watches), so that a name
 * that is used after its object's end is refused.
 *
 * NAME      1 A pointer to an opaque type of apiary.h need not be an address. A name is generation << 21 | place << 4 | kind.
 *           2 The place is that of an entry in the one table of the process. The entry has the current name and the object.
 *           3 Renewing raises the generation by one store. From then on all copies of the old name are stale, wherever they are.
 *           4 At 7 million a second the 2^43 generations of one entry last two weeks. A stale name would have to be used exactly
 *           when its generation comes again.
 * TABLE     It is never freed, so that looking up a name reads no freed memory.
 * THREADS   open, close and get: any. renew: the owner of the object. The owner keeps alive the object that get returns.
 */
#ifndef AP_HANDLE_H
#define AP_HANDLE_H

#include <stddef.h>
#include <stdint.h>

#include "core/atomic.h"

#define AP_HANDLES (1u << 17) /* at once, in a process */
#define AP_HANDLE_STEP (UINT64_C(1) << 21)

enum ap_handle_kind { AP_HANDLE_JOB = 1, AP_HANDLE_WATCH, AP_HANDLE_AGENT, AP_HANDLE_QUEEN };

struct ap_handle {
    uint64_t value; /* the current name; in a free entry, one that was never handed out */
    void *object;   /* in a free entry: the next free one */
};

_Static_assert(AP_HANDLE_QUEEN < sizeof(struct ap_handle), "a kind lies in the bits below those of a place");

extern struct ap_handle ap_handles[AP_HANDLES];

/* An entry for the object. NULL: all are in use. */
struct ap_handle *ap_handle_open(void *object, enum ap_handle_kind kind);
void ap_handle_close(struct ap_handle *h); /* NULL is allowed */

static inline void *ap_handle_name(const struct ap_handle *h)
{
    return (void *)(uintptr_t)ap_load_relaxed(&h->value);
}

/* Gives the entry another name. */
static inline void ap_handle_renew(struct ap_handle *h)
{
    ap_store_relaxed(&h->value, h->value + AP_HANDLE_STEP);
}

/* The entry of a name, current or stale. */
static inline const struct ap_handle *ap_handle_entry(const void *name)
{
    /* Without the kind. */
    return &ap_handles[(uintptr_t)name % AP_HANDLE_STEP / sizeof(struct ap_handle)];
}

/* The object of a name. NULL: the name is stale. */
AP_ALWAYS_INLINE void *ap_handle_get(const void *name)
{
    const struct ap_handle *h = ap_handle_entry(name);

    return __builtin_expect(ap_load_relaxed(&h->value) == (uintptr_t)name, 1) ? h->object : NULL;
}

/* The same when the name may be one of another kind, or of an entry that another kind has used since. */
static inline void *ap_handle_get_as(const void *name, enum ap_handle_kind kind)
{
    return (uintptr_t)name % sizeof(struct ap_handle) == (uintptr_t)kind ? ap_handle_get(name) : NULL;
}

#endif
