/* core/loop.c - timers, watches and the choice of the way to sleep. See loop.h. */
#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/loop_inside.h"
#include "core/descriptor.h"
#include "core/invariant.h"

#define RING_ENTRIES 64u
#define TIMER_TURNS 16u /* turns between two looks at the clock */
#define POLL_TURNS 64u  /* turns between two calls of poll */
#define SOON UINT64_C(10000000)        /* ns; a sleep that nothing ends, at what has to be looked at */
#define PATIENCE UINT64_C(10000000000) /* ns; a sleep that only a descriptor ends, which somebody may have closed */

/* ---- choice --------------------------------------------------------------------------------------------------- */

static int loop_choose(struct ap_loop *loop)
{
    int forced = ap_park_forced(), r;

    if (forced < 0) return APIARY_EINVAL;
    loop->park = AP_PARK_POLL;
    loop->waitv = ap_loop_waitv_works();
    if (forced == AP_PARK_POLL) return 0;
    r = ap_uring_open(&loop->ring, RING_ENTRIES);
    if (r == -EMFILE || r == -ENFILE) { /* which says nothing of what this machine can do */
        errno = -r;
        return APIARY_ESYS;
    }
    if (r < 0) return forced == AP_PARK_ANY ? 0 : APIARY_ENOTSUP;
    if (forced != AP_PARK_PARKER && ap_uring_can_futex(&loop->ring)) {
        loop->park = AP_PARK_URING;
        return 0;
    }
    if (forced != AP_PARK_URING) {
        loop->park = AP_PARK_PARKER;
        return 0;
    }
    io_uring_queue_exit(&loop->ring);
    return APIARY_ENOTSUP;
}

static void event_is(struct ap_loop *loop, int fd)
{
    ap_store_release(&loop->event_fd, fd);             /* PARKER-R3 pairs PARKER-A3 */
    ap_store_release(&loop->bell_thread.event_fd, fd); /* PARKER-R3 pairs PARKER-A3 */
    loop->polls_stale = true;
}

/* For a loop that sleeps on descriptors while a thread sleeps on its word; kept. */
static bool loop_event(struct ap_loop *loop)
{
    int fd = loop->event_fd >= 0 ? loop->event_fd : ap_fd_event();

    if (fd < 0) return false;
    if (fd != loop->event_fd) event_is(loop, fd);
    return true;
}

/* Nothing is waited for but words, timers and others' wakes. */
static bool words_alone(const struct ap_loop *loop)
{
    return loop->waitv && loop->watch_count == 0;
}

static int loop_open(struct ap_loop *loop, uint32_t words)
{
    int r;

    loop->words = calloc(words > 0 ? words : 1, sizeof *loop->words);
    if (loop->words == NULL) return APIARY_ENOBLOCK;
    loop->word_count = words;
    r = loop_choose(loop);
    if (r < 0 || loop->park == AP_PARK_URING || words_alone(loop) || loop_event(loop)) return r;
    if (loop->park == AP_PARK_PARKER) io_uring_queue_exit(&loop->ring);
    return APIARY_ESYS;
}

int ap_loop_create(const struct ap_ops *ops, uint32_t words, struct ap_loop **ret)
{
    struct ap_loop *loop = aligned_alloc(AP_LINE, (sizeof *loop + AP_LINE - 1) / AP_LINE * AP_LINE);
    int r;

    if (loop == NULL) return APIARY_ENOBLOCK;
    memset(loop, 0, sizeof *loop);
    loop->ops = ops;
    loop->thread = pthread_self();
    loop->inside = &loop->nobody;
    loop->polls_stale = true;
    loop->event_fd = loop->bell_thread.event_fd = -1;
    loop->bell_thread.ops = ops;
    r = loop_open(loop, words);
    if (r < 0) {
        free(loop->words);
        free(loop);
        return r;
    }
    *ret = loop;
    return 0;
}

static void loop_free_list(struct ap_watch *watch)
{
    while (watch != NULL) {
        struct ap_watch *next = watch->next;
        ap_handle_close(watch->handle);
        free(watch);
        watch = next;
    }
}

void ap_loop_destroy(struct ap_loop *loop)
{
    if (loop == NULL) return;
    ap_bell_thread_stop(&loop->bell_thread);
    if (loop->park != AP_PARK_POLL) io_uring_queue_exit(&loop->ring);
    loop_free_list(loop->watches);
    loop_free_list(loop->graveyard);
    free(loop->heap);
    free(loop->polls);
    free(loop->poll_watches);
    free(loop->words);
    if (loop->event_fd >= 0) close(loop->event_fd);
    free(loop);
}

enum ap_park ap_loop_park_kind(const struct ap_loop *loop)
{
    return loop->park;
}

unsigned ap_loop_reopened(const struct ap_loop *loop)
{
    return loop->reopened;
}

/* Opens anew the loop's descriptors that an agent has closed. The old numbers may be other files' by now, so they are not closed.
 * Returns whether the loop can sleep again. */
static bool loop_reopen(struct ap_loop *loop)
{
    int fd = loop->park != AP_PARK_URING ? ap_fd_event() : -1;

    if (fd < 0 && loop->park != AP_PARK_URING) return false;
    if (loop->park != AP_PARK_POLL) ap_uring_forget(&loop->ring);
    if (loop_choose(loop) < 0) loop->park = AP_PARK_POLL; /* that needs nothing but the event, which a park opens */
    if (fd >= 0) event_is(loop, fd);
    loop->lost = false;
    loop->reopened++;
    ap_loop_uring_again(loop);
    return true;
}

/* ---- timers: a binary heap ------------------------------------------------------------------------------------ */

static void heap_put(struct ap_loop *loop, size_t at, struct ap_watch *watch)
{
    loop->heap[at] = watch;
    watch->position = at;
}

static void heap_up(struct ap_loop *loop, struct ap_watch *watch)
{
    size_t at = watch->position;

    while (at > 1 && loop->heap[at / 2]->at > watch->at) {
        heap_put(loop, at, loop->heap[at / 2]);
        at /= 2;
    }
    heap_put(loop, at, watch);
}

static void heap_down(struct ap_loop *loop, struct ap_watch *watch)
{
    size_t at = watch->position;

    for (;;) {
        size_t child = at * 2;
        if (child > loop->heap_count) break;
        if (child < loop->heap_count && loop->heap[child + 1]->at < loop->heap[child]->at) child++;
        if (loop->heap[child]->at >= watch->at) break;
        heap_put(loop, at, loop->heap[child]);
        at = child;
    }
    heap_put(loop, at, watch);
}

static int heap_add(struct ap_loop *loop, struct ap_watch *watch)
{
    if (loop->heap_count + 1 >= loop->heap_capacity) {
        size_t capacity = loop->heap_capacity != 0 ? loop->heap_capacity * 2 : 16;
        struct ap_watch **heap = realloc(loop->heap, capacity * sizeof *heap);
        if (heap == NULL) return APIARY_ENOBLOCK;
        loop->heap = heap;
        loop->heap_capacity = capacity;
    }
    watch->position = ++loop->heap_count;
    heap_up(loop, watch);
    return 0;
}

static void heap_remove(struct ap_loop *loop, struct ap_watch *watch)
{
    size_t at = watch->position;
    AP_ASSERT(at > 0 && at <= loop->heap_count && loop->heap[at] == watch);
    struct ap_watch *last = loop->heap[loop->heap_count--];

    watch->position = 0;
    if (last == watch) return;
    last->position = at;
    heap_up(loop, last);
    heap_down(loop, last);
}

static int fire_timers(struct ap_loop *loop)
{
    uint64_t now;
    int fired = 0;

    if (loop->heap_count == 0) return 0;
    now = loop->ops->now();
    /* One that a callback adds has its turn next time, even if it is due: the bound is what was there. */
    for (size_t n = loop->heap_count; n > 0 && loop->heap_count > 0 && loop->heap[1]->at <= now; n--) {
        struct ap_watch *watch = loop->heap[1];
        heap_remove(loop, watch);
        ap_loop_call(watch, 0);
        fired++;
    }
    return fired;
}

/* ---- watches -------------------------------------------------------------------------------------------------- */

static void list_add(struct ap_watch **list, struct ap_watch *watch)
{
    watch->prev = NULL;
    watch->next = *list;
    if (*list != NULL) (*list)->prev = watch;
    *list = watch;
}

static void list_remove(struct ap_watch **list, struct ap_watch *watch)
{
    if (watch->prev != NULL)
        watch->prev->next = watch->next;
    else
        *list = watch->next;
    if (watch->next != NULL) watch->next->prev = watch->prev;
}

static struct ap_watch *watch_new(struct ap_loop *loop, apiary_watch_fn fn, void *user, bool owned)
{
    struct ap_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL) return NULL;
    watch->handle = owned ? NULL : ap_handle_open(watch, AP_HANDLE_WATCH);
    if (watch->handle == NULL && !owned) {
        free(watch);
        return NULL;
    }
    watch->loop = loop;
    watch->fn = fn;
    watch->user = user;
    watch->whose = loop->whose;
    watch->owned = owned;
    watch->fd = -1;
    return watch;
}

static void watch_drop(struct ap_watch *watch)
{
    ap_handle_close(watch->handle);
    free(watch);
}

static bool at_home(const struct ap_loop *loop)
{
    return pthread_equal(loop->thread, pthread_self()) != 0;
}

int ap_loop_watch(struct ap_loop *loop, int fd, uint32_t events, apiary_watch_fn fn, void *user, apiary_watch_t **ret)
{
    struct ap_watch *watch;

    if (fn == NULL || !at_home(loop) || (events & (POLLIN | POLLOUT)) == 0 || (events & ~(uint32_t)(POLLIN | POLLOUT)) != 0 ||
        fcntl(fd, F_GETFD) < 0)
        return APIARY_EINVAL;
    if (loop->park != AP_PARK_URING && !loop_event(loop)) return APIARY_ESYS;
    watch = watch_new(loop, fn, user, ret == NULL);
    if (watch == NULL) return APIARY_ENOBLOCK;
    watch->fd = fd;
    watch->events = events;
    if (loop->park != AP_PARK_POLL && ap_loop_uring_watch(watch) < 0) {
        watch_drop(watch);
        return APIARY_ESYS;
    }
    list_add(&loop->watches, watch);
    loop->watch_count++;
    loop->polls_stale = true;
    if (ret != NULL) *ret = ap_handle_name(watch->handle);
    return 0;
}

int ap_loop_timer(struct ap_loop *loop, uint64_t at, apiary_watch_fn fn, void *user, apiary_watch_t **ret)
{
    struct ap_watch *watch;

    if (fn == NULL || !at_home(loop)) return APIARY_EINVAL;
    watch = watch_new(loop, fn, user, ret == NULL);
    if (watch == NULL) return APIARY_ENOBLOCK;
    watch->at = at;
    if (heap_add(loop, watch) < 0) {
        watch_drop(watch);
        return APIARY_ENOBLOCK;
    }
    list_add(&loop->watches, watch);
    if (ret != NULL) *ret = ap_handle_name(watch->handle);
    return 0;
}

void ap_loop_bury(struct ap_watch *watch)
{
    struct ap_loop *loop = watch->loop;

    list_remove(&loop->watches, watch);
    if (loop->dispatching > 0)
        list_add(&loop->graveyard, watch);
    else
        free(watch);
}

static void watch_close(struct ap_watch *watch)
{
    struct ap_loop *loop = watch->loop;

    if (watch->closed) return;
    watch->closed = true;
    ap_handle_close(watch->handle);
    watch->handle = NULL;
    if (watch->position != 0) heap_remove(loop, watch);
    if (watch->fd >= 0) {
        AP_ASSERT(loop->watch_count > 0);
        loop->watch_count--;
        loop->polls_stale = true;
    }
    if (watch->armed)
        ap_loop_uring_close(watch); /* buried when the ring says so */
    else
        ap_loop_bury(watch);
}

int ap_loop_close(apiary_watch_t *name)
{
    struct ap_watch *watch = ap_handle_get_as(name, AP_HANDLE_WATCH);

    if (name == NULL) return 0;
    if (watch == NULL) return APIARY_ESTALE;
    if (!at_home(watch->loop)) return APIARY_EINVAL;
    watch_close(watch);
    return 0;
}

void ap_loop_call(struct ap_watch *watch, uint32_t events)
{
    bool last = watch->owned && watch->fd < 0;
    uint64_t *inside = watch->loop->inside, before = ap_load_relaxed(inside);

    ap_store_release(inside, watch->whose); /* LANE-R6 pairs LANE-A6 */
    watch->fn(watch->user, events);
    ap_store_release(inside, before); /* LANE-R6 pairs LANE-A6 */
    if (last) watch_close(watch);
}

void ap_loop_inside(struct ap_loop *loop, uint64_t *word)
{
    loop->inside = word;
}

void ap_loop_whose(struct ap_loop *loop, uint64_t whose)
{
    loop->whose = whose;
}

/* ---- turn and park -------------------------------------------------------------------------------------------- */

void ap_loop_wake(struct ap_loop *loop)
{
    uint64_t one = 1;

    ap_store_release(&loop->woken, 1);
    ap_fence_full(); /* LOOP-F1: woken before parked is read, pairs the same in ap_loop_park */
    switch ((enum ap_sleep)ap_load_relaxed(&loop->parked)) {
    case AP_AWAKE: return;
    case AP_SLEEP_RING:
    case AP_SLEEP_WORDS: loop->ops->futex_wake(&loop->woken, INT_MAX); return;
    case AP_SLEEP_EVENT: break;
    }
    /* PARKER-A3 pairs PARKER-R3 */
    while (write(ap_load_acquire(&loop->event_fd), &one, sizeof one) < 0 && errno == EINTR) {}
}

void ap_loop_drain_event(struct ap_loop *loop)
{
    uint64_t count;
    ssize_t n;

    do n = read(loop->event_fd, &count, sizeof count);
    while (n < 0 && errno == EINTR);
    if (n != sizeof count && !(n < 0 && errno == EAGAIN)) loop->lost = true;
}

uint64_t ap_loop_soon(const struct ap_loop *loop, uint64_t until)
{
    uint64_t soon = loop->ops->now() + SOON;

    return soon < until ? soon : until;
}

static int dispatch(struct ap_loop *loop, bool timers, bool descriptors, uint64_t poll_until)
{
    int n = 0;

    loop->dispatching++;
    if (descriptors)
        n += loop->park == AP_PARK_POLL ? ap_loop_poll_dispatch(loop, poll_until) : ap_loop_uring_dispatch(loop);
    if (timers) n += fire_timers(loop);
    AP_ASSERT(loop->dispatching > 0);
    if (--loop->dispatching == 0) {
        loop_free_list(loop->graveyard);
        loop->graveyard = NULL;
    }
    return n;
}

int ap_loop_turn(struct ap_loop *loop)
{
    bool timers, descriptors;

    loop->turn++;
    timers = loop->heap_count != 0 && loop->turn % TIMER_TURNS == 0;
    if (loop->park == AP_PARK_POLL)
        descriptors = loop->watch_count != 0 && loop->turn % POLL_TURNS == 0;
    else
        descriptors = ap_uring_ready(&loop->ring) || io_uring_sq_ready(&loop->ring) != 0;
    if (!timers && !descriptors) return 0;
    return dispatch(loop, timers, descriptors, 0);
}

static enum ap_sleep sleep_in(const struct ap_loop *loop)
{
    if (loop->park == AP_PARK_URING) return AP_SLEEP_RING;
    return words_alone(loop) ? AP_SLEEP_WORDS : AP_SLEEP_EVENT;
}

/* Until when it may sleep on descriptors, of which one stands for word 0. */
static uint64_t event_until(struct ap_loop *loop, uint64_t until)
{
    uint64_t patience = loop->ops->now() + PATIENCE;
    const struct ap_word *w = loop->words;
    bool deaf = false;

    for (uint32_t i = 1; i < loop->word_count; i++) deaf |= w[i].stands;
    if (loop->word_count > 0 && w->stands) deaf |= !ap_bell_thread_wait(&loop->bell_thread, w->word, w->value);
    if (patience < until) until = patience;
    return deaf ? ap_loop_soon(loop, until) : until;
}

static void sleep_and_dispatch(struct ap_loop *loop, enum ap_sleep in, uint64_t until)
{
    bool poll = loop->park == AP_PARK_POLL;

    if (in == AP_SLEEP_EVENT && until != 0) until = event_until(loop, until);
    if (in == AP_SLEEP_WORDS)
        ap_loop_words_sleep(loop, until);
    else if (!poll)
        ap_loop_uring_park(loop, until);
    dispatch(loop, true, !poll || in == AP_SLEEP_EVENT, until);
    if (in != AP_SLEEP_RING) ap_loop_words_look(loop);
}

void ap_loop_park(struct ap_loop *loop, uint64_t until)
{
    enum ap_sleep in = sleep_in(loop);

    if (in == AP_SLEEP_EVENT && !loop_event(loop)) until = ap_loop_soon(loop, until); /* before anybody is told to write it */
    if (loop->heap_count != 0 && loop->heap[1]->at < until) until = loop->heap[1]->at;
    ap_store_relaxed(&loop->parked, in);
    ap_fence_full(); /* LOOP-F1: parked before woken is read, pairs the same in ap_loop_wake */
    if (ap_load_acquire(&loop->woken) || loop->rush) until = 0;
    loop->rush = false;
    sleep_and_dispatch(loop, in, until);
    /* Without descriptors of its own it can still sleep on words for a moment. */
    if (__builtin_expect(loop->lost, 0) && !loop_reopen(loop) && until != 0) ap_loop_words_sleep(loop, ap_loop_soon(loop, until));
    ap_store_relaxed(&loop->parked, AP_AWAKE);
    /* An exchange and no store: what the waker did before must be seen by whoever looks after this call. */
    ap_exchange_acq_rel(&loop->woken, 0);
}
