/* core/spin.h - how long a thread that waits looks, and how, before it sleeps; private memory, one thread.
 *
 * STATES    of a thread that waits. In all but SLEEP it looks again and again for what it waits for.
 *
 *           state  a look that finds nothing      what ends the state: the next state
 *           SPIN   pauses; after 50 us, and then  `limit` is over: SLEEP. Two yields in a row in which others ran: YIELD
 *                  twice as late, it yields
 *           YIELD  yields (sched_yield)           32 yields: SLEEP. Two counted ones in a row in which nobody ran: SPIN. Two in
 *                                                 a row that took over 2 ms: REST, and the next two waits begin with TRY
 *           TRY    pauses                         4 us: YIELD, or SLEEP in a rest. Two in a row that found something: SPIN
 *           REST   (none, the wait is a SLEEP)    16 times as long as the second of those yields: YIELD
 *           SLEEP  (none: core/loop.h, a futex)   the waker. A sleep under 200 us doubles `limit` and allows 32 yields again,
 *                                                 a longer one halves both
 *
 *           1 SPIN and YIELD are kept from wait to wait, since they say what the host is like. Where there are more threads than
 *           processors, a look that pauses keeps the other side from running. With yields all of a host's tasks go one step
 *           further in each turn of the scheduler, and nobody needs to be put to sleep and woken.
 *           2 A yield in which others ran is counted by the kernel as a switch, and takes longer.
 *           3 A yield of milliseconds went to a thread that does not yield. Then a sleep and a wake are quicker. But the one who
 *           answers may be awake on another processor: so TRY, after such yields and at every 64th wait while they last.
 *           4 A thread in SPIN whose waits are all short would never yield, and have its processor for a whole turn of the
 *           scheduler while others stand in line. A wait that begins 1 ms after the one before, where they had come within 50 us,
 *           is a sign that the thread was made to leave, and begins with a yield. (A pause of its own looks the same, and costs
 *           that yield.)
 *
 * CONSTANTS (core/spin.c), each with its reason. Cases in quotes are apiary-perf's.
 *
 *           LONGEST     200 us   More than a round trip in which both sides sleep in turn (30 to 100 us in `wake`). With less,
 *                                both slept thousands of times in a row after one gap of another thread's making.
 *           SHORTEST    1 us     A round trip between awake sides takes 0.1 to 0.8 us (`rtt`). A shorter spin finds nothing.
 *           TURNS       8        Looks between two readings of the clock, which takes 10 ns.
 *           TRY_FIRST   50 us    With 4 us the tries met the gaps that free processors have: a million tasks between two awake
 *                                sides made 4,000 to 100,000 system calls, and make 30 to 216.
 *           TRY_WARY    4 us     The same within WARY, 20 ms, of a crowd, some turns of the scheduler, in which it is likely to
 *                                be one still. Not shown to matter: without it, 27 pairs on a busy host, `scale-16` took 1.18
 *                                times as long (quartiles 0.75 and 1.5), `scale-4` 0.97 and `crowd` 1.04 times.
 *           BELIEVED    2        One yield of milliseconds was the scheduler's mood more often than a neighbour that does not
 *                                yield. With two in a row, and TRIAL_EACH 64 and not 16, `crowd` went from 240,000 to 350,000
 *                                tasks a second to 330,000 to 410,000.
 *           COUNT_EACH  64       A count is a system call before and after the yield, so this is 3 % of them. With no count in a
 *                                crowd, one switch at the wrong moment left a thread in YIELD for good.
 *           ALONE       1.5 us   Where the kernel counts no switches, a longer yield let others run. Where it does, the count
 *                                decides: a yield in which another ran took 1.0 us there, two sides on one processor spun against
 *                                each other, and `same-core` was 31.7 times a futex. By the count it is 0.82.
 *           GONE, SOON  1 ms, 50 us  Of note 4: without it the least client of `scale-4` had 0.002 of the mean and has 0.9, p99.9
 *                                was 721 us and is 14. By the kernel's count of involuntary switches instead it had 0.004.
 *           YIELDS      32       Turns of the scheduler in which the one who answers gets to run, in a crowd. Where nobody answers
 *                                these are 32 system calls before a sleep, and half of them before the next long one. Not measured
 *                                apart from the rest of `crowd`.
 *           OVERLONG    2 ms     About the least that the scheduler gives to a thread that does not yield.
 *           REST        16       So two such yields take at most a ninth of the time. Without a rest, 9 pairs on a busy host,
 *                                `scale-16` and `crowd` took 1.15 times as long (quartiles 0.5 and 1.4, 0.9 and 1.4).
 *           TRIAL       4 us     Several round trips with one who is awake on another processor.
 *           TRIAL_EACH  64       Without trials, 27 pairs on a busy host, `scale-16` took 1.27 times as long (quartiles 0.9 and
 *                                1.8), `scale-4` 0.9 and `crowd` 1.05 times. For 16 see BELIEVED.
 *
 * ROUND IT  the constants of those who wait, each in its file. They bound how late a wait sees what nobody tells it; none was
 *           measured apart from the rest.
 *
 *           registry/client/await.c, a client that waits for tasks
 *           LOOKS       16       Looks of a spin between two at the worker and the queue of a task, which cost two lines of others:
 *                                a death is seen within some microseconds, and a spin for a living worker reads its own line.
 *           PARK_FIRST  10 ms    The first sleep. A wake cannot be lost, but who would send it may be dead: then a look at worker
 *                                and queue helps, and the second sleep's also asks the system for deaths that no mark tells.
 *           PARK_MAX    1 s      Each sleep that nothing ended is followed by one twice as long, up to this: an idle client costs a
 *                                look a second.
 *           registry/client/lane_fd.c, the thread behind a client's descriptor
 *           LOOK_EVERY  1 s      As PARK_MAX, for a client that sleeps in a loop of its own.
 *           agents/runtime/worker.c, a worker's turn over all that it serves
 *           BATCH       16       Tasks of one agent, before the others and the loop have their turn.
 *           LOOKS       16       Delegations of its own, likewise.
 *           GLANCES     4        At the ring that last had a task, between two turns of everything: a turn reads the lines of all
 *                                queues and of the loop.
 *           PUBLISH_AFTER  64    Tasks started or finished before the counts that others read are written, while it is busy: a line
 *                                of others for each of them, or for one in 64.
 *           PUBLISH_IDLE  32     Empty turns before they are written when it has nothing to do: under the time of a first try, so
 *                                before it yields or sleeps.
 *           PUBLISH_CROWDED  4   The same in YIELD, where each turn may last as long as one of the scheduler.
 *           core/loop.c, core/loop_poll.c: turns of a loop that is awake, and its sleeps
 *           TIMER_TURNS 16       Turns between two looks at the clock, as TURNS.
 *           POLL_TURNS  64       Turns between two calls of poll, a system call; a ring shows what is ready without one.
 *           SOON        10 ms    A sleep that nothing ends, where something has to be looked at again.
 *           PATIENCE    10 s     A sleep that only a descriptor ends, which somebody may have closed under the loop.
 *           BLIND       10 ms    As SOON, in a loop that has no descriptor left, so that nobody can wake it.
 *
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
