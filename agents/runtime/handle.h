/* agents/runtime/handle.h - names of what a program or an agent holds (queens, agents, jobs, watches), so that one that is used
 * after its end is refused.
 *
 * A pointer to an opaque type of apiary.h need not be an address. These are generation << 21 | place << 4 | kind, the place in one
 * table of the process: an entry has the name that is good now and the object that it stands for. Whoever ends the object's present
 * life raises the generation by one store, and all copies of the old name are stale from then on, in whatever hands; 2^43
 * generations of one entry at 7 million a second are two weeks, and a stale name would have to be used exactly then.
 *
 * The table is never given back, so that looking up a name reads nothing that may be gone. Threads: open and close any; renew by
 * the owner of the object; get any, and what it returns is the owner's to keep alive.
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
    uint64_t value; /* the name that is good; of a free entry, one that nobody has been told */
    void *object;   /* of a free entry: the next free one */
};

_Static_assert(AP_HANDLE_QUEEN < sizeof(struct ap_handle), "a kind lies in the bits below those of a place");

extern struct ap_handle ap_handles[AP_HANDLES];

/* An entry for the object, NULL: all are in use. */
struct ap_handle *ap_handle_open(void *object, enum ap_handle_kind kind);
void ap_handle_close(struct ap_handle *h); /* NULL is allowed */

static inline void *ap_handle_name(const struct ap_handle *h)
{
    return (void *)(uintptr_t)ap_load_relaxed(&h->value);
}

/* From now on the entry has another name. */
static inline void ap_handle_renew(struct ap_handle *h)
{
    ap_store_relaxed(&h->value, h->value + AP_HANDLE_STEP);
}

/* The entry that a name was of, good or stale. */
static inline const struct ap_handle *ap_handle_entry(const void *name)
{
    /* Without the kind. */
    return &ap_handles[(uintptr_t)name % AP_HANDLE_STEP / sizeof(struct ap_handle)];
}

/* What it is the name of, NULL: nothing any more. */
AP_ALWAYS_INLINE void *ap_handle_get(const void *name)
{
    const struct ap_handle *h = ap_handle_entry(name);

    return __builtin_expect(ap_load_relaxed(&h->value) == (uintptr_t)name, 1) ? h->object : NULL;
}

/* For who may be given a name of something else, as of an entry that has been another's since. */
static inline void *ap_handle_get_as(const void *name, enum ap_handle_kind kind)
{
    return (uintptr_t)name % sizeof(struct ap_handle) == (uintptr_t)kind ? ap_handle_get(name) : NULL;
}

#endif
