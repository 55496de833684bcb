/* core/spin.h - how long a thread that waits looks, and how, before it sleeps; private memory, one thread.
 *
 * LIMIT     follows what looking would have gained: a sleep that ended within the longest spin doubles it, any other halves it.
 * CROWDED   Where there are more threads than processors, looking keeps the other side from running. Then each look lets others
 *           run (sched_yield): all of a host's tasks go one step further in each turn of the scheduler, and nobody needs to be
 *           put to sleep and woken for it. The yield itself tells: a yield in which others ran is counted by the kernel as
 *           a switch, and takes longer. A spin that lasts tries one now and then; two in a row are believed, either way.
 *           A thread whose waits are all short would try none, and have its processor for a whole turn of the scheduler while
 *           others stand in line for it. Two waits a millisecond apart, where they had come microseconds apart, are a sign that
 *           it was made to leave, or slept for longer than it had to, and the next begins with a yield. (A pause of its own
 *           looks the same, and has no other consequence where nobody else stands in line.)
 *           Two yields in a row that lasted milliseconds went to a thread that does not yield: then sleeping, and being woken, is
 *           quicker, for sixteen times as long. But the one who answers may be awake on another processor: the two waits after
 *           that, and every 64th, begin with a short spin, and two in a row that pay say to spin as those others do.
 * SYSTEM    two awake sides on free processors make no system call, if each answers within the first try's time, but for one
 *           yield, counted, where a quick exchange goes on after a pause of the thread's own.
 * $APIARY_SPIN=never: no looks at all, each wait is a sleep.
 */
#ifndef AP_SPIN_H
#define AP_SPIN_H

#include <stdbool.h>

#include "core/ops.h"

struct ap_spin {
    const struct ap_ops *ops;
    uint64_t limit;       /* ns */
    uint64_t began;       /* 0: not looking */
    uint64_t next;        /* when to try whether others would run */
    uint64_t not_before;  /* sleep until then */
    uint64_t switching;   /* ns: a yield as long has let another run. UINT64_MAX: the kernel has counted none yet */
    uint64_t wary;        /* until then the first try comes early */
    uint64_t last;        /* when the last wait began */
    uint64_t gap;         /* ns, from the one before to it */
    unsigned uncounted;   /* yields since the last that was counted, in a crowd */
    unsigned short_spins; /* waits to come that begin with one */
    unsigned turns;       /* of this wait */
    unsigned yields;      /* how many turns at most, when crowded */
    unsigned seen;        /* tries in a row that say that it is otherwise */
    unsigned waits;       /* when crowded */
    unsigned overlong;    /* yields in a row that went to a thread that does not yield */
    unsigned paid;        /* short spins in a row that did */
    bool preempted;       /* before this wait */
    bool hogged;          /* the last yield went to a thread that does not */
    bool doubt;           /* the next yield is counted */
    bool crowded, trial, never;
};

/* The setting of $APIARY_SPIN: 1 never, 0 unset, -1 unknown. */
int ap_spin_forced(void);
void ap_spin_open(struct ap_spin *s, const struct ap_ops *ops);
/* A look found nothing: pauses or yields and returns true to look again, or false: sleep. */
bool ap_spin_more(struct ap_spin *s);
void ap_spin_paid(struct ap_spin *s);
/* A look found something. */
static inline void ap_spin_found(struct ap_spin *s)
{
    if (__builtin_expect(s->trial && s->began != 0, 0)) ap_spin_paid(s);
    s->began = 0;
}
/* It is left without having found anything, and without a sleep. */
static inline void ap_spin_left(struct ap_spin *s)
{
    s->trial = false;
    s->began = 0;
}
/* A sleep is over that lasted so long, ns. */
void ap_spin_parked(struct ap_spin *s, uint64_t slept);

#endif
