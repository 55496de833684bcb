/* registry/client/handles.c - see handles.h. */
#include "registry/client/handles.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_PAGES 256u /* that are asked for at once */
#define CHUNKS (AP_CLIENT_PAGES / CHUNK_PAGES)

_Static_assert(AP_CLIENTS_IN_PAGE <= UINT8_MAX, "how many of a page's handles are attached is a byte");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct apiary *attached;

/* A thread may end while another detaches, and must not look at what is gone by then. */
void ap_clients_lock(void)
{
    pthread_mutex_lock(&lock);
}

void ap_clients_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* Another thread may have been at it when this process was forked. */
static void handles_child_begins(void)
{
    pthread_mutex_init(&lock, NULL);
}

static void handles_begin(void)
{
    pthread_atfork(NULL, NULL, handles_child_begins);
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

static uint8_t *chunks[CHUNKS];
static uint32_t chunk_count;
static uint32_t latest = UINT32_MAX; /* the page that is being used up */
static uint32_t taken = AP_CLIENTS_IN_PAGE; /* of its handles */
static uint8_t living[AP_CLIENT_PAGES];     /* of each page's handles */

static uint8_t *page_at(uint32_t page)
{
    return chunks[page / CHUNK_PAGES] + (size_t)(page % CHUNK_PAGES) * AP_CLIENT_PAGE;
}

/* The next page that nobody has a living handle in: a new one, or the one that has been dead for longest. */
static bool page_next(void)
{
    uint32_t pages = chunk_count * CHUNK_PAGES;

    if (latest + 1 == pages && chunk_count < CHUNKS) {
        chunks[chunk_count] = aligned_alloc(AP_CLIENT_PAGE, CHUNK_PAGES * AP_CLIENT_PAGE);
        if (chunks[chunk_count] != NULL) pages = ++chunk_count * CHUNK_PAGES;
    }
    for (uint32_t i = 1; i <= pages; i++) {
        uint32_t page = (latest + i) % pages;

        if (living[page] != 0) continue;
        latest = page;
        taken = 0;
        return true;
    }
    return false;
}

struct apiary *ap_client_new(void)
{
    struct apiary *a = NULL;

    pthread_once(&once, handles_begin);
    ap_clients_lock();
    if (taken < AP_CLIENTS_IN_PAGE || page_next()) {
        a = (struct apiary *)(void *)page_at(latest) + taken++;
        living[latest]++;
        memset(a, 0, sizeof *a);
        a->page = latest;
    }
    ap_clients_unlock();
    return a;
}

void ap_client_free(struct apiary *a)
{
    uint32_t page = a->page;

    ap_store_relaxed(&a->canary, NULL);
    a->serial = 0;
    a->seg = NULL; /* who is in the midst of a call does not go on with what is somebody else's by now */
    /* Zeros are what a page without memory shows, too. */
    if (--living[page] == 0 && (page != latest || taken == AP_CLIENTS_IN_PAGE))
        madvise(page_at(page), AP_CLIENT_PAGE, MADV_DONTNEED);
}

/* ---- those that are attached ---------------------------------------------------------------------------------- */

void ap_client_add(struct apiary *a)
{
    ap_clients_lock();
    a->next = attached;
    attached = a;
    ap_clients_unlock();
}

static struct apiary **handles_place_of(const struct apiary *a)
{
    struct apiary **at = &attached;

    while (*at != NULL && *at != a) at = &(*at)->next;
    return at;
}

bool ap_client_known(const struct apiary *a)
{
    return *handles_place_of(a) != NULL;
}

void ap_client_remove(struct apiary *a)
{
    *handles_place_of(a) = a->next;
}

struct apiary *ap_client_of(const struct ap_lane_context *context)
{
    uint32_t thread = ap_thread_id();

    for (struct apiary *a = attached; a != NULL; a = a->next) {
        const struct ap_lane_context *c;

        if (a->read_only || ap_forked(a->seg)) continue; /* without lanes; a copy of the parent's */
        pthread_mutex_lock(&a->lock);
        for (c = a->contexts; c != NULL && c != context; c = c->next) {}
        pthread_mutex_unlock(&a->lock);
        if (c != NULL) return c->thread == thread ? a : NULL;
    }
    return NULL;
}

int apiary_segment_fd(const apiary_t *a)
{
    if (a == NULL) return APIARY_EINVAL;
    return ap_present(a) ? ap_segment_fd(a->seg) : ap_absent(a);
}

/* ---- whose a context is ----------------------------------------------------------------------------------------- */

_Thread_local uint64_t ap_context_owner;

static uint64_t own_number(void)
{
    static uint64_t last;

    if (ap_context_owner == 0) ap_context_owner = ap_add_relaxed(&last, 1) + 1;
    return ap_context_owner;
}

void ap_context_own(struct ap_lane_context *c)
{
    c->thread = ap_thread_id();
    c->owner = own_number();
}

bool ap_context_owned(const struct ap_lane_context *c)
{
    return c->owner == own_number();
}
