/* agents/spin.h - how long a worker with nothing to do looks before it parks; private memory, one thread.
 *
 * The bound follows what looking would have gained: a park that ended within the longest spin doubles it, any other halves it.
 * Nothing at all while the thread may use one processor only, or while more threads are runnable than there are processors. That
 * is looked up four times a second, and at once when the spinner itself was put off its processor; it is believed when it was
 * seen six times running over 20 ms, because a kernel thread that is runnable for a moment is no crowd: believed after 2 ms, such
 * moments cost up to 20,000 parks in a million tasks between two awake sides, and up to 20 without them.
 */
#ifndef AP_SPIN_H
#define AP_SPIN_H

#include <stdbool.h>

#include "core/ops.h"

struct ap_spin {
    const struct ap_ops *ops;
    int load; /* /proc/loadavg, -1 */
    long processors;
    uint64_t limit; /* ns */
    uint64_t began, last; /* 0: not spinning */
    uint64_t look, forbidden, penalty; /* when to look for a crowd again; no spin before; for how long then */
    unsigned suspicion;                /* crowds seen running */
    unsigned turns;
};

void ap_spin_open(struct ap_spin *s, const struct ap_ops *ops);
void ap_spin_close(struct ap_spin *s);
/* A turn found nothing: pauses and returns true to look again, or false: park. */
bool ap_spin_more(struct ap_spin *s);
/* A turn found something. */
static inline void ap_spin_found(struct ap_spin *s)
{
    s->began = 0;
}
/* A park is over that lasted so long. */
void ap_spin_parked(struct ap_spin *s, uint64_t slept);

#endif
