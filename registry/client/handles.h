/* registry/client/handles.h - the handles of this process: their memory, and which of them are attached.
 *
 * STALE     An address that once was a handle's is never used for anything else. After detach the canary that is read there is
 *           NULL. So every later use is refused by the look that tells a forked child apart, at no extra cost.
 * REUSE     1 Addresses are used one after the other. They are used again when all AP_CLIENT_PAGES pages of them (1,376,256
 *           handles) have been used, or as many as there was address space for (5,376 at least). Until then no stale handle can
 *           be taken for a newer one.
 *           2 The cost is address space: 256 MiB at most, taken a MiB at a time.
 *           3 A page whose handles have all been detached goes back to the kernel. So at most a page stays for each attached
 *           handle, and 8 bytes of the kernel's tables for each page that ever was used.
 * THREADS   Any, under the lock. The lock does not protect a handle in use: a thread that detaches a handle while another thread
 *           is inside a call with it breaks that call.
 */
#ifndef AP_HANDLES_H
#define AP_HANDLES_H

#include "registry/client/client.h"

#define AP_CLIENT_PAGE 4096u
#define AP_CLIENT_PAGES 65536u
#define AP_CLIENTS_IN_PAGE (AP_CLIENT_PAGE / sizeof(struct apiary))

/* A forked child has a new lock. */
void ap_clients_lock(void);
void ap_clients_unlock(void);

/* A handle's memory, all zeros; NULL: there is none left. Without the lock. */
struct apiary *ap_client_new(void);
/* From now on the handle is known as detached. With the lock. */
void ap_client_free(struct apiary *a);

/* The list of attached handles. With the lock, except ap_client_add. */
void ap_client_add(struct apiary *a);
/* Looks at nothing but the address. */
bool ap_client_known(const struct apiary *a);
void ap_client_remove(struct apiary *a);
/* The handle that a context of the calling thread belongs to. NULL: the context is gone, and its memory is another thread's. */
struct apiary *ap_client_of(const struct ap_lane_context *context);

/* The calling thread is the context's from now on; whether it is. A thread that ends by the bare system call leaves its data
 * (pthread_getspecific) to the next one to which the C library gives its stack, and its number to nobody. */
void ap_context_own(struct ap_lane_context *c);
bool ap_context_owned(const struct ap_lane_context *c);
/* Its number, of all threads that this process has had, by itself or before a fork; 0: none so far. */
extern _Thread_local uint64_t ap_context_owner __attribute__((tls_model("initial-exec")));

#endif
