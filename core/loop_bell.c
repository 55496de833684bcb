/* core/loop_bell.c - a thread that waits on a word for a loop that sleeps on descriptors. See loop_inside.h. */
#include <errno.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>

#include "core/loop_inside.h"
#include "core/thread.h"

static void bell_signal(struct ap_bell_thread *t, uint32_t request)
{
    uint64_t one = 1;

    ap_store_release(&t->done, request); /* PARKER-R2 pairs PARKER-A2 */
    /* PARKER-A3 pairs PARKER-R3 */
    while (write(ap_load_acquire(&t->event_fd), &one, sizeof one) < 0 && errno == EINTR) {}
}

static void *bell_main(void *arg)
{
    struct ap_bell_thread *t = arg;
    uint32_t seen = 0;

    for (;;) {
        uint32_t request = ap_load_acquire(&t->request); /* PARKER-A1 pairs PARKER-R1: word and value */

        if (ap_load_relaxed(&t->stop)) return NULL;
        if (request == seen) {
            t->ops->futex_wait(&t->request, seen, UINT64_MAX);
            continue;
        }
        /* Any return will do: the loop looks for itself. A stop wakes until this thread has ended. */
        if (!ap_load_relaxed(&t->stop)) t->ops->futex_wait(t->word, t->value, UINT64_MAX);
        seen = request;
        bell_signal(t, request);
    }
}

static bool bell_start(struct ap_bell_thread *t)
{
    t->started = ap_thread_start(&t->thread, "apiary-parker", bell_main, t) == 0;
    return t->started;
}

bool ap_bell_thread_wait(struct ap_bell_thread *t, const uint32_t *word, uint32_t value)
{
    uint32_t request = ap_load_relaxed(&t->request);

    if (!t->started && !bell_start(t)) return false;
    /* PARKER-A2 pairs PARKER-R2. It sleeps there still, or will find the word changed. */
    if (ap_load_acquire(&t->done) != request) return true;
    t->word = word;
    t->value = value;
    ap_store_release(&t->request, request + 1); /* PARKER-R1 pairs PARKER-A1 */
    t->ops->futex_wake(&t->request, 1);
    return true;
}

/* The word is others' and is not written: who goes to sleep on it just now is woken again. */
void ap_bell_thread_stop(struct ap_bell_thread *t)
{
    const struct timespec moment = {.tv_nsec = 100000};

    if (!t->started) return;
    ap_store_release(&t->stop, 1); /* PARKER-R1 pairs PARKER-A1 */
    ap_store_release(&t->request, t->request + 1); /* PARKER-R1 pairs PARKER-A1 */
    t->ops->futex_wake(&t->request, 1);
    for (;;) {
        if (t->word != NULL) t->ops->futex_wake(t->word, INT_MAX);
        if (pthread_tryjoin_np(t->thread, NULL) == 0) break;
        nanosleep(&moment, NULL);
    }
    t->started = false;
}
