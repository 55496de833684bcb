/* core/handle.c - see handle.h. */
#include "core/handle.h"

#include <pthread.h>

_Static_assert(AP_HANDLES * sizeof(struct ap_handle) == AP_HANDLE_STEP, "a name's low bits are an offset in the table");

/* Entry 0 is never used: NULL is nothing's name. */
struct ap_handle ap_handles[AP_HANDLES];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ap_handle *spare;
static uint32_t used = 1; /* entries that have been used at least once */

struct ap_handle *ap_handle_open(void *object, enum ap_handle_kind kind)
{
    struct ap_handle *h;

    pthread_mutex_lock(&lock);
    h = spare;
    if (h != NULL) {
        spare = h->object;
    } else if (used < AP_HANDLES) {
        h = &ap_handles[used];
        h->value = AP_HANDLE_STEP + used++ * sizeof *h;
    }
    if (h != NULL) {
        h->object = object;
        ap_store_relaxed(&h->value, (h->value & ~(uint64_t)(sizeof *h - 1)) | kind);
    }
    pthread_mutex_unlock(&lock);
    return h;
}

void ap_handle_close(struct ap_handle *h)
{
    if (h == NULL) return;
    ap_handle_renew(h);
    pthread_mutex_lock(&lock);
    h->object = spare;
    spare = h;
    pthread_mutex_unlock(&lock);
}
