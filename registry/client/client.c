/* registry/client/client.c - attach, detach, and what each thread of a member has of its own. See client.h.
 *
 * A thread that ends with open tasks leaves its lane behind, shared, in the client's list: other threads may await them. The
 * next thread that needs a lane takes it over, with its tasks and the rest of its slabs, instead of another one. But a worker has
 * one of its own, since its death is the death of all that its lane holds. The anchor lane answers for the member and stays until
 * the end. A thread that ends in the midst of work (its handler has ended it) leaves all as it is: the kernel marks its lane, and
 * what it ran runs again.
 * Detach gives everything back, also when other threads live on that hold locks of their lanes, which only they can unlock: these
 * are parted from the segment (shm/robust.h), and then their lanes are recovered like those of the dead.
 */
#include "registry/client/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/invariant.h"
#include "core/name.h"
#include "core/text.h"
#include "core/thread.h"
#include "core/uring.h"
#include "registry/client/handles.h"
#include "registry/client/sample.h"
#include "shm/image.h"

/* ---- contexts ------------------------------------------------------------------------------------------------- */

static void context_free(struct ap_lane_context *c)
{
    if (c == NULL) return;
    free(c->producers);
    free(c->balance.places);
    free(c);
}

static struct ap_lane_context *context_new(struct apiary *a)
{
    struct ap_lane_context *c = aligned_alloc(_Alignof(struct ap_lane_context), sizeof *c);

    if (c == NULL) return NULL;
    memset(c, 0, sizeof *c);
    c->producers = calloc(a->seg->geometry.queues, sizeof *c->producers);
    c->balance.places = calloc(a->seg->geometry.queues, sizeof *c->balance.places);
    if (c->producers == NULL || c->balance.places == NULL) {
        context_free(c);
        return NULL;
    }
    c->client = a;
    for (uint32_t i = 0; i < AP_ROWS_KNOWN; i++) c->rows[i].queue = AP_NO_QUEUE;
    ap_only_forget(&c->stranger.only);
    c->stand_in = -1;
    c->balance.producers = c->producers;
    ap_spin_open(&c->spin, a->seg->ops);
    c->event_fd = -1;
    c->hedge_due = UINT64_MAX;
    ap_sample_begin(c);
    c->not = AP_NO_QUEUE;
    return c;
}

static int context_adopt(struct apiary *a, struct ap_lane_context *c)
{
    if (pthread_setspecific(a->key, c) != 0) return APIARY_ENOBLOCK;
    ap_slabs_init(&c->slabs, &c->lane);
    ap_balance_begin(&c->balance, a->seg, (uint64_t)c->lane.epoch << 32 | c->lane.index);
    ap_context_counts(c);
    ap_context_calls(c);
    ap_context_own(c);
    pthread_mutex_lock(&a->lock);
    c->next = a->contexts;
    a->contexts = c;
    pthread_mutex_unlock(&a->lock);
    return 0;
}

_Thread_local struct ap_here ap_here;

static struct ap_lane_context *here_set(const struct apiary *a, struct ap_lane_context *c)
{
    ap_here = (struct ap_here){.client = a, .context = c, .serial = a->serial};
    return c;
}

/* The thread's context of this handle goes. */
static void here_clear(const struct apiary *a)
{
    if (ap_here.client == a) ap_here.context = NULL;
}

struct ap_lane_context *ap_context_find(const struct apiary *a)
{
    struct ap_lane_context *c = pthread_getspecific(a->key);

    /* A thread that ends by the bare system call leaves its data to the next one that the C library gives its stack. */
    return c != NULL && ap_context_owned(c) ? here_set(a, c) : NULL;
}

/* With the client's lock, a context that an ended thread has left becomes the calling thread's: true. */
static bool context_take_over(struct apiary *a, struct ap_lane_context *c)
{
    if (!c->shared || !ap_lane_take_over(&c->lane)) return false;
    if (pthread_setspecific(a->key, c) != 0) {
        ap_lane_share(&c->lane);
        return false;
    }
    c->shared = false;
    ap_store_relaxed(&a->shared, a->shared - 1);
    ap_context_own(c);
    c->ready = 0;
    ap_spin_open(&c->spin, a->seg->ops);
    return true;
}

static struct ap_lane_context *context_left(struct apiary *a)
{
    struct ap_lane_context *c;

    if (ap_load_relaxed(&a->shared) == 0) return NULL;
    pthread_mutex_lock(&a->lock);
    for (c = a->contexts; c != NULL && !context_take_over(a, c); c = c->next) {}
    pthread_mutex_unlock(&a->lock);
    return c;
}

static struct ap_lane_context *context_open(struct apiary *a, int *error)
{
    struct ap_lane_context *c = context_new(a);
    int r = c != NULL ? 0 : APIARY_ENOBLOCK;

    if (r == 0) r = ap_lane_open(a->seg, a->member, &c->lane);
    if (r == APIARY_ENOLANE && ap_reap_asking(a->seg, AP_NO_LANE, &ap_registry_hooks) > 0)
        r = ap_lane_open(a->seg, a->member, &c->lane);
    if (r == 0) {
        r = context_adopt(a, c);
        if (r < 0) ap_lane_close(&c->lane);
    }
    if (r == 0) return c;
    context_free(c);
    *error = r;
    return NULL;
}

struct ap_lane_context *ap_context_open(struct apiary *a, int *error)
{
    struct ap_lane_context *c;
    int r = ap_usable(a);

    if (r < 0) {
        *error = r;
        return NULL;
    }
    c = ap_context_find(a);
    if (c != NULL) return c;
    ap_shared_tidy(a);
    c = context_left(a);
    if (c == NULL) c = context_open(a, error);
    return c != NULL ? here_set(a, c) : NULL;
}

struct ap_lane_context *ap_context_work(struct apiary *a, int *error)
{
    struct ap_lane_context *c;
    int r = ap_usable(a);

    if (r < 0) {
        *error = r;
        return NULL;
    }
    c = ap_context_find(a);
    if (c == NULL) c = context_open(a, error);
    if (c == NULL) return NULL;
    c->works = true;
    return here_set(a, c);
}

/* ---- the end of a lane ---------------------------------------------------------------------------------------- */

static void give_back(struct ap_lane_context *c)
{
    for (uint32_t q = 0; q < c->client->seg->geometry.queues; q++) ap_producer_close(&c->producers[q], &c->lane);
    if (c->claims) ap_claims_end(c->client->seg, c->lane.index);
}

/* With the client's lock. */
static void context_forget(struct ap_lane_context *c)
{
    struct apiary *a = c->client;

    for (struct ap_lane_context **at = &a->contexts; *at != NULL; at = &(*at)->next) {
        if (*at != c) continue;
        *at = c->next;
        break;
    }
    AP_ASSERT(!c->shared || a->shared > 0);
    if (c->shared) ap_store_relaxed(&a->shared, a->shared - 1);
    free(c->slabs.held);
    free(c->kept.held);
    context_free(c);
}

/* With the client's lock. Nothing is open any more; what was abandoned stays in its slabs for their next holder. */
static void context_close(struct ap_lane_context *c)
{
    struct apiary *a = c->client;

    if (c->balance.costs != NULL) ap_picks_told(c);
    ap_slabs_release(&c->slabs);
    ap_slabs_release(&c->kept);
    ap_tickets_free(a->seg, c->lane.index);
    if (c == a->anchor) ap_member_close(a->seg, a->member, c->lane.index);
    if (c->shared) ap_lane_close_shared(&c->lane);
    else ap_lane_close(&c->lane);
    context_forget(c);
}

/* A worker's, whose end is not told by itself: its queues would be nobody's, its tasks run for ever. */
static bool at_work(const struct ap_lane_context *c)
{
    /* Its queues may have been closed meanwhile, by a queen that leaves for that. */
    return c->works || ap_queue_any_of(c->client->seg, c->lane.index);
}

static void context_is_shared(struct ap_lane_context *c)
{
    c->shared = true;
    ap_store_relaxed(&c->client->shared, c->client->shared + 1);
}

static void context_share(struct ap_lane_context *c)
{
    context_is_shared(c);
    ap_lane_share(&c->lane);
}

/* With the client's lock, by the context's own thread, which ends. */
static void context_leave(struct ap_lane_context *c)
{
    struct apiary *a = c->client;

    if (c != a->anchor && at_work(c)) {
        context_forget(c); /* the lock stays held */
        return;
    }
    give_back(c);
    if (c == a->anchor || ap_open_tasks(c, false) > 0 || ap_load_relaxed(&c->loans) > 0) context_share(c);
    else context_close(c);
}

static void client_thread_ends(void *context)
{
    struct ap_lane_context *c = context;
    struct apiary *a;

    ap_clients_lock();
    a = ap_client_of(c);
    if (a != NULL) {
        here_clear(a);
        ap_shared_tidy(a);
        pthread_mutex_lock(&a->lock);
        ap_parker_stop(c);
        context_leave(c);
        pthread_mutex_unlock(&a->lock);
    }
    ap_clients_unlock();
}

void ap_shared_tidy(struct apiary *a)
{
    if (ap_load_relaxed(&a->shared) == 0) return;
    pthread_mutex_lock(&a->lock);
    for (struct ap_lane_context *c = a->contexts, *next; c != NULL; c = next) {
        next = c->next;
        if (c->shared && c != a->anchor && ap_open_tasks(c, false) == 0 && ap_load_relaxed(&c->loans) == 0)
            context_close(c);
    }
    pthread_mutex_unlock(&a->lock);
}

/* ---- attach --------------------------------------------------------------------------------------------------- */

static int client_refuse(int error, const apiary_attach_options_t *o, const char *what)
{
    if (o->message != NULL && o->message_size > 0)
        ap_format(o->message, o->message_size, "%s%s%s; %s", what, what[0] != '\0' ? ": " : "", apiary_strerror(error),
                 apiary_advice(error));
    return error;
}

/* The name as others see it: bytes that print. */
static void member_name(const char *name, char ret[APIARY_NAME_MAX + 1])
{
    size_t n = 0;

    if (name == NULL) name = program_invocation_short_name;
    for (; name[n] != '\0' && n < APIARY_NAME_MAX; n++) ret[n] = name[n] > ' ' && name[n] <= '~' ? name[n] : '_';
    ret[n] = '\0';
}

/* The segment's bound, or a tighter one that the service's swarm was registered with. */
static uint32_t limit_of(const struct apiary *a)
{
    uint32_t limit = a->seg->geometry.max_concurrent_delegations;

    for (uint32_t i = 0; a->service >= 0 && i < a->seg->sections[AP_SECTION_SWARMS].count; i++) {
        const struct ap_swarm *s = ap_swarm_at(a->seg, i);
        uint64_t life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */
        uint32_t service = ap_load_relaxed(&s->service), own = ap_load_relaxed(&s->max_delegations);

        if (AP_SWARM_STATE(life) != AP_SWARM_LIVE || service != (uint32_t)a->service) continue;
        /* Both are of one registration, or it is one that has just changed and binds nobody yet. REG-A4 pairs REG-R4 */
        ap_fence_acquire();
        if (ap_load_relaxed(&s->life) == life && own > 0 && own < limit) limit = own;
    }
    return limit;
}

static int member_open(struct apiary *a, const apiary_attach_options_t *o)
{
    struct ap_lane_context *c = context_new(a);
    char name[APIARY_NAME_MAX + 1];
    int r = c != NULL ? 0 : APIARY_ENOBLOCK;

    member_name(o->name, name);
    if (r == 0) r = ap_member_open(a->seg, name, o->swarm, a->kind, &c->lane);
    if (r == APIARY_ENOLANE && ap_reap_asking(a->seg, AP_NO_LANE, &ap_registry_hooks) > 0)
        r = ap_member_open(a->seg, name, o->swarm, a->kind, &c->lane);
    if (r < 0) {
        context_free(c);
        return client_refuse(r, o, "cannot attach");
    }
    a->member = c->lane.member;
    a->anchor = c;
    r = context_adopt(a, c);
    /* Each process that attaches looks for the dead: the monitors that a death wakes may be stopped. */
    if (r == 0) ap_reap_all(a->seg, c->lane.index, &ap_registry_hooks);
    if (r == 0) return 0;
    ap_member_close(a->seg, a->member, c->lane.index);
    ap_lane_close(&c->lane);
    context_free(c);
    return client_refuse(r, o, "cannot attach");
}

/* Not before the member's record says that the name is used. */
static int service_enter(struct apiary *a, const apiary_attach_options_t *o)
{
    uint32_t service;
    int r = o->swarm != NULL ? ap_service_call(a->seg, a->anchor->lane.index, a->member, o->swarm, &service) : 0;

    if (r == 0) {
        if (o->swarm != NULL) a->service = (int)service;
        ap_context_calls(a->anchor);
        a->limit = limit_of(a);
        return 0;
    }
    context_close(a->anchor);
    return client_refuse(r, o, o->swarm);
}

static int handle_open(struct apiary *a, const apiary_attach_options_t *o)
{
    uint32_t word = 0;
    int r;

    if (a->seg->ops->futex_wake(&word, 1) < 0)
        return client_refuse(APIARY_ENOTSUP, o, "the system refuses futex, so no thread could be woken; permit it");
    if (!ap_robust_known())
        return client_refuse(APIARY_ENOTSUP, o, "the kernel does not know this thread's robust list, so nobody would see its "
                                                "death; permit set_robust_list and get_robust_list where a filter of system "
                                                "calls refuses them");
    if (pthread_key_create(&a->key, client_thread_ends) != 0) return client_refuse(APIARY_ENOBLOCK, o, "no thread-specific key");
    pthread_mutex_init(&a->lock, NULL);
    a->lent = calloc(a->seg->sections[AP_SECTION_BLOCKS].count, sizeof *a->lent);
    r = a->lent != NULL ? member_open(a, o) : client_refuse(APIARY_ENOBLOCK, o, "cannot attach");
    if (r == 0) r = service_enter(a, o);
    if (r == 0) return 0;
    free(a->lent);
    pthread_mutex_destroy(&a->lock);
    pthread_key_delete(a->key);
    return r;
}

static void handle_drop(struct apiary *a)
{
    ap_clients_lock();
    ap_client_free(a);
    ap_clients_unlock();
}

static int client_attached(struct ap_segment *seg, const apiary_attach_options_t *o, apiary_t **ret)
{
    struct apiary *a = ap_client_new();
    int r = a != NULL ? 0 : client_refuse(APIARY_ENOBLOCK, o, "cannot attach");

    if (r == 0) {
        static uint64_t serials;

        a->seg = seg;
        a->canary = seg->fork_canary;
        a->serial = ap_add_relaxed(&serials, 1) + 1;
        a->kind = o->kind != 0 ? o->kind : APIARY_CLIENT;
        a->member = UINT32_MAX;
        a->service = -1;
        a->read_only = o->read_only != 0;
        if (!a->read_only) r = handle_open(a, o);
    }
    if (r < 0) {
        if (a != NULL) handle_drop(a);
        ap_segment_unmap(seg);
        return r;
    }
    ap_client_add(a);
    *ret = a;
    return 0;
}

static int options_read(const apiary_attach_options_t *options, apiary_attach_options_t *ret)
{
    const apiary_attach_options_t none = {.struct_size = sizeof none};

    if (options == NULL) options = &none;
    return ap_sized_in(ret, sizeof *ret, AP_FIRST_ATTACH_OPTIONS, options, options->struct_size);
}

/* A setting that is not understood is no setting: told before it could be missed. */
static int environment_judge(const apiary_attach_options_t *o)
{
    bool spin = ap_spin_forced() < 0, park = ap_park_forced() < 0;

    if (!spin && !park) return 0;
    if (o->message == NULL || o->message_size == 0) return APIARY_EINVAL;
    if (spin) ap_format(o->message, o->message_size, "APIARY_SPIN is '%s'; it may be never, or unset",
                        AP_SHOWN(getenv("APIARY_SPIN"), 40));
    else ap_park_refusal(APIARY_EINVAL, o->message, o->message_size);
    return APIARY_EINVAL;
}

static int options_judge(const apiary_attach_options_t *o, apiary_t **ret)
{
    if (ret == NULL || (unsigned)o->kind > APIARY_TOOL) return client_refuse(APIARY_EINVAL, o, "attach");
    if (o->swarm != NULL && !ap_name_valid(o->swarm, APIARY_NAME_MAX)) return client_refuse(APIARY_EINVAL, o, "the swarm's name");
    return environment_judge(o);
}

int apiary_attach(const char *segment, const apiary_attach_options_t *options, apiary_t **ret)
{
    apiary_attach_options_t o;
    struct ap_segment *seg;
    int r = options_read(options, &o);
    AP_UNCANCELLED;

    if (r == 0) r = options_judge(&o, ret);
    if (r < 0) return r;
    if (segment == NULL) segment = getenv("APIARY_SEGMENT");
    if (segment == NULL || segment[0] == '\0') segment = APIARY_DEFAULT_SEGMENT;
    r = ap_registry_attach(segment, !o.read_only, o.message, o.message_size, &seg);
    return r < 0 ? r : client_attached(seg, &o, ret);
}

int apiary_attach_fd(int fd, const apiary_attach_options_t *options, apiary_t **ret)
{
    apiary_attach_options_t o;
    struct ap_segment *seg;
    int r = options_read(options, &o);
    AP_UNCANCELLED;

    if (r == 0) r = options_judge(&o, ret);
    if (r < 0) return r;
    r = ap_registry_attach_fd(fd, !o.read_only, o.message, o.message_size, &seg);
    return r < 0 ? r : client_attached(seg, &o, ret);
}

/* Of a thread that was killed with this process its lane may be recovered, and another's, before this one has ended. */
static bool still_has(const struct ap_lane_context *c)
{
    return ap_load_acquire(&c->lane.lane->life) == AP_LIFE(c->lane.epoch, AP_LIFE_LIVE); /* LANE-A1 pairs LANE-R1 */
}

/* Nobody may collect any more what the lane has open, or take what it holds. */
static void context_drop(struct ap_lane_context *c)
{
    ap_parker_stop(c);
    if (c->vanished || !still_has(c)) return; /* the dead's: others recover it */
    ap_open_tasks(c, true);
    if (!c->shared) give_back(c);
    ap_slabs_release(&c->slabs);
    ap_slabs_release(&c->kept);
    ap_tickets_free(c->client->seg, c->lane.index);
}

/* Closes the contexts of the calling thread and of ended ones. The anchor stays, and is not the calling thread's any more. */
static void close_own(struct apiary *a)
{
    struct ap_lane_context *own = ap_context_here(a);

    if (own != NULL) {
        pthread_setspecific(a->key, NULL);
        here_clear(a);
        if (still_has(own)) {
            context_share(own);
        } else {
            /* The lane was taken from it, and the lock is in its list all the same. */
            ap_robust_unlock(&own->lane.lane->mutex);
            context_is_shared(own);
        }
    }
    for (struct ap_lane_context *c = a->contexts, *next; c != NULL; c = next) {
        next = c->next;
        if (c->shared && c != a->anchor && still_has(c)) context_close(c);
    }
}

/* Other threads live on and hold the locks of their lanes. Parted from them, the lanes are recovered; the anchor goes last,
 * because it answers for the member. Without memory for that they stay until this process ends, and the mapping with them. */
static void part(struct apiary *a, const size_t *held, size_t count)
{
    uint32_t anchor = a->anchor->lane.index;

    if (held == NULL || ap_segment_part(a->seg, held, count) < 0) {
        a->seg = NULL;
        return;
    }
    for (const struct ap_lane_context *c = a->contexts; c != NULL; c = c->next) {
        if (c == a->anchor) continue;
        ap_image_judge(a->seg, c->lane.index);
        ap_reap_lane(a->seg, AP_NO_LANE, c->lane.index, &ap_registry_hooks);
    }
    ap_image_judge(a->seg, anchor);
    ap_reap_lane(a->seg, AP_NO_LANE, anchor, &ap_registry_hooks);
}

/* The offsets of the locks that other threads have in their lists, whatever the segment says of those (NULL: none are wanted): how
 * many. */
static size_t held_by_others(const struct apiary *a, size_t *ret)
{
    size_t n = 0;

    for (const struct ap_lane_context *c = a->contexts; c != NULL; c = c->next) {
        if (c->shared || c->vanished) continue;
        if (ret != NULL) ret[n] = (size_t)((uint8_t *)&c->lane.lane->mutex - a->seg->base);
        n++;
    }
    return n;
}

static void handle_close(struct apiary *a)
{
    size_t *held, n;

    for (struct ap_lane_context *c = a->contexts; c != NULL; c = c->next) context_drop(c);
    close_own(a);
    n = held_by_others(a, NULL);
    held = n > 0 ? calloc(n, sizeof *held) : NULL;
    if (held != NULL) held_by_others(a, held);
    if (n > 0) part(a, held, n);
    else if (still_has(a->anchor) && a->anchor->shared) context_close(a->anchor);
    free(held);
    while (a->contexts != NULL) context_forget(a->contexts);
}

/* With the lock of the handles, before anything of it is looked at. */
static int detach_judge(const struct apiary *a)
{
    if (!ap_client_known(a)) return APIARY_ESTALE;
    if (ap_forked(a->seg)) return APIARY_EFORKED;
    return ap_load_relaxed(&a->queens) == 0 ? 0 : APIARY_EINVAL;
}

int apiary_detach(apiary_t *a)
{
    struct ap_segment *seg;
    AP_UNCANCELLED;
    int r;

    if (a == NULL) return 0;
    ap_clients_lock(); /* other threads may be ending just now */
    r = detach_judge(a);
    if (r < 0) {
        ap_clients_unlock();
        return r;
    }
    ap_client_remove(a);
    if (!a->read_only) {
        pthread_mutex_lock(&a->lock);
        handle_close(a);
        pthread_key_delete(a->key); /* which tells until here what the calling thread has */
        pthread_mutex_unlock(&a->lock);
        pthread_mutex_destroy(&a->lock);
        free(a->lent);
    }
    seg = a->seg;
    ap_client_free(a);
    ap_clients_unlock();
    ap_segment_unmap(seg);
    return 0;
}
