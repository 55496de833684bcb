/* registry/client/handles.h - the handles of this process: their memory, and which of them are attached.
 *
 * A handle's address stays a handle's, and what is read there after detach says that it is no more: its canary is NULL. So every
 * later use is refused by the look that tells a forked child apart, at no cost of its own.
 *
 * Addresses are used one after the other. They come back when all AP_CLIENT_PAGES pages of them, 1,376,256 handles, have been used
 * (or as many as there was address space for, 5,376 at least); until then no stale handle can be taken for a newer one. What that
 * costs is address space, 256 MiB of it at most, a MiB at a time. The memory of a page whose handles have all been detached goes
 * back to the kernel, so that what stays is at most a page for each handle that is attached, and 8 bytes of the kernel's tables
 * for each page that ever was used.
 *
 * Threads: any, under the lock. Only the present is protected by it: who detaches a handle that another thread is just using breaks
 * that one's call.
 */
#ifndef AP_HANDLES_H
#define AP_HANDLES_H

#include "registry/client/client.h"

#define AP_CLIENT_PAGE 4096u
#define AP_CLIENT_PAGES 65536u
#define AP_CLIENTS_IN_PAGE (AP_CLIENT_PAGE / sizeof(struct apiary))

/* In a forked child it is a new one. */
void ap_clients_lock(void);
void ap_clients_unlock(void);

/* A handle's memory, all zeros; NULL: none is to be had. Without the lock. */
struct apiary *ap_client_new(void);
/* From now on it is known as detached. With the lock. */
void ap_client_free(struct apiary *a);

/* The list of those that are attached. With the lock, but for add. */
void ap_client_add(struct apiary *a);
/* Nothing is looked at but its address. */
bool ap_client_known(const struct apiary *a);
void ap_client_remove(struct apiary *a);
/* Whose context of the calling thread it is. NULL: it has gone; what lies there now is of another thread. */
struct apiary *ap_client_of(const struct ap_lane_context *context);

#endif
