/* agents/spin.c - see spin.h. */
#include "agents/spin.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "core/atomic.h"

#define LONGEST UINT64_C(200000) /* about what a round trip takes in which both sides park (see registry/await.c) */
#define SHORTEST UINT64_C(1000)
#define PREEMPTED UINT64_C(300000) /* a gap between two looks at the clock that another thread may explain */
#define LOOK_EVERY UINT64_C(250000000)
#define LOOK_AGAIN UINT64_C(4000000)
#define PENALTY_FIRST UINT64_C(4000000)
#define PENALTY_LAST UINT64_C(256000000)
#define BELIEVED 6u
#define TURNS 8u /* between two looks at the clock */

void ap_spin_open(struct ap_spin *s, const struct ap_ops *ops)
{
    *s = (struct ap_spin){.ops = ops, .limit = LONGEST / 2, .penalty = PENALTY_FIRST};
    s->processors = sysconf(_SC_NPROCESSORS_ONLN);
    s->load = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
}

void ap_spin_close(struct ap_spin *s)
{
    if (s->load >= 0) close(s->load);
    s->load = -1;
}

static bool one_processor(const struct ap_spin *s)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) < 2 : s->processors < 2;
}

static bool crowded(const struct ap_spin *s)
{
    char text[128];
    long running;
    ssize_t n = s->load >= 0 ? pread(s->load, text, sizeof text - 1, 0) : 0;

    if (n <= 0) return false;
    text[n] = '\0';
    /* "0.12 0.10 0.09 runnable/all last-pid" */
    return sscanf(text, "%*f %*f %*f %ld/", &running) == 1 && running > s->processors;
}

static void look_around(struct ap_spin *s, uint64_t now)
{
    bool one = one_processor(s);

    if (!one && !crowded(s)) {
        s->suspicion = 0;
        s->penalty = PENALTY_FIRST;
        s->look = now + LOOK_EVERY;
        return;
    }
    s->look = now + LOOK_AGAIN;
    if (!one && ++s->suspicion < BELIEVED) return;
    s->forbidden = s->look = now + s->penalty;
    if (s->penalty < PENALTY_LAST) s->penalty *= 2;
}

static bool spin_begin(struct ap_spin *s)
{
    uint64_t now = s->ops->now();

    if (now >= s->look) look_around(s, now);
    if (now < s->forbidden || s->limit == 0) return false;
    s->began = s->last = now;
    s->turns = 0;
    return true;
}

bool ap_spin_more(struct ap_spin *s)
{
    uint64_t now;

    if (s->began == 0) return spin_begin(s);
    ap_pause();
    if (++s->turns % TURNS != 0) return true;
    now = s->ops->now();
    if (now - s->last > PREEMPTED && s->look > now) s->look = now;
    s->last = now;
    if (now - s->began < s->limit) return true;
    s->began = 0;
    return false;
}

void ap_spin_parked(struct ap_spin *s, uint64_t slept)
{
    s->began = 0;
    if (slept < LONGEST)
        s->limit = s->limit < SHORTEST ? SHORTEST : s->limit * 2;
    else
        s->limit = s->limit / 2 < SHORTEST ? 0 : s->limit / 2;
    if (s->limit > LONGEST) s->limit = LONGEST;
}
