/* core/spin.c - see spin.h. */
#include "core/spin.h"

#include <stdlib.h>
#include <string.h>

#include "core/atomic.h"

/* The reasons, and what was measured: spin.h. Times are in ns. */
#define LONGEST UINT64_C(200000)
#define SHORTEST UINT64_C(1000)
#define TURNS 8u
#define TRY_FIRST UINT64_C(50000) /* then after twice as long each time */
#define TRY_WARY UINT64_C(4000)
#define WARY UINT64_C(20000000)
#define ALONE UINT64_C(1500)
#define TRIAL UINT64_C(4000)
#define TRIAL_EACH 64u /* waits */
#define BELIEVED 2u
#define COUNT_EACH 64u /* yields in a crowd */
#define GONE UINT64_C(1000000)
#define SOON UINT64_C(50000)
#define YIELDS 32u
#define OVERLONG UINT64_C(2000000)
#define REST 16u /* times what an overlong yield has taken */

int ap_spin_forced(void)
{
    const char *spin = getenv("APIARY_SPIN");

    if (spin == NULL || *spin == '\0') return 0;
    return strcmp(spin, "never") == 0 ? 1 : -1;
}

void ap_spin_open(struct ap_spin *s, const struct ap_ops *ops)
{
    *s = (struct ap_spin){.ops = ops, .limit = LONGEST / 2, .gap = UINT64_MAX, .switching = UINT64_MAX, .yields = YIELDS};
    s->never = ap_spin_forced() == 1;
}

/* Lets others run; whether any did. The kernel counts switches: where they are quick, a yield in which another ran is shorter than
 * one alone is elsewhere. In a crowd that is asked only after a yield shorter than all that are known to have let another run, and
 * now and then: a switch between the yield and the count would make a yield alone such a one. */
static bool others_ran(struct ap_spin *s)
{
    bool counted = !s->crowded || s->doubt || ++s->uncounted == COUNT_EACH, switched;
    uint64_t switches = counted ? s->ops->switches() : 0, before = s->ops->now(), after, took;

    s->ops->yield();
    after = s->ops->now();
    took = after - before;
    s->overlong = took > OVERLONG ? s->overlong + 1 : 0;
    s->hogged = took > OVERLONG;
    if (s->overlong >= BELIEVED) {
        s->overlong = 0;
        s->not_before = after + REST * took;
        s->turns = s->yields;
        s->short_spins = BELIEVED;
    }
    if (!counted) {
        s->doubt = took < s->switching;
        return true;
    }
    s->uncounted = 0;
    switched = s->ops->switches() != switches;
    if (switched && took < s->switching) s->switching = took;
    if (!switched && took >= s->switching) s->switching = took + 1;
    s->doubt = !switched;
    return switched || (s->switching == UINT64_MAX && took > ALONE);
}

/* A yield's answer is believed if it differs from what was believed for the second time running. */
static void yield(struct ap_spin *s)
{
    bool others = others_ran(s);

    s->seen = others != s->crowded ? s->seen + 1 : 0;
    if (s->seen < BELIEVED) return;
    s->seen = 0;
    s->crowded = others;
    if (s->turns != s->yields) s->turns = 0; /* unless this was the last of the wait */
}

/* Among those who yield nobody is to keep others waiting, however well it would pay. */
static bool short_spin_due(struct ap_spin *s)
{
    bool due;

    if (!s->crowded || (!s->hogged && s->switching != UINT64_MAX)) return false;
    due = s->paid > 0 || s->short_spins > 0 || ++s->waits % TRIAL_EACH == 0;
    if (s->short_spins > 0) s->short_spins--;
    return due;
}

static bool spin_begin(struct ap_spin *s)
{
    uint64_t now;

    if (s->never) return false;
    now = s->ops->now();
    s->turns = 0;
    s->preempted = !s->crowded && now - s->last > GONE && s->gap < SOON;
    s->gap = now - s->last;
    s->last = now;
    if (s->crowded) s->wary = now + WARY;
    s->next = now + (now < s->wary ? TRY_WARY : TRY_FIRST);
    s->trial = short_spin_due(s);
    if (!s->trial && now < s->not_before) return false;
    if (s->crowded ? s->yields == 0 && !s->trial : s->limit == 0) return false;
    s->began = now;
    return true;
}

void ap_spin_paid(struct ap_spin *s)
{
    s->trial = false;
    if (++s->paid < BELIEVED) return;
    s->paid = 0;
    s->crowded = false;
    s->not_before = 0;
}

bool ap_spin_more(struct ap_spin *s)
{
    uint64_t now;

    if (s->began == 0 && !spin_begin(s)) return false;
    s->turns++;
    if (s->preempted) {
        s->preempted = false;
        s->seen = BELIEVED - 1; /* that is one sign, the yield is the other */
        yield(s);
        return true;
    }
    if (s->trial) {
        ap_pause();
        if (s->turns % TURNS != 0 || s->ops->now() - s->began < TRIAL) return true;
        s->trial = false;
        s->paid = 0;
        s->turns = 0;
        if (s->ops->now() < s->not_before) {
            s->began = 0;
            return false;
        }
        return true;
    }
    if (s->crowded) {
        if (s->turns <= s->yields) {
            yield(s);
            return true;
        }
    } else {
        ap_pause();
        if (s->turns % TURNS != 0) return true;
        now = s->ops->now();
        if (now >= s->next) {
            s->next = now + 2 * (now - s->began);
            yield(s);
        }
        if (now - s->began < s->limit) return true;
    }
    s->began = 0;
    return false;
}

void ap_spin_parked(struct ap_spin *s, uint64_t slept)
{
    s->began = 0;
    if (slept < LONGEST) {
        s->limit = s->limit < SHORTEST ? SHORTEST : s->limit * 2;
        s->yields = YIELDS;
    } else {
        s->limit = s->limit / 2 < SHORTEST ? 0 : s->limit / 2;
        s->yields /= 2;
    }
    if (s->limit > LONGEST) s->limit = LONGEST;
}
