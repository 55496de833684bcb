/* tests/crash/role.c - things that one of several has: the mode of an instance and the reason for it, the monitor's role. */
#include "sweep.h"

#include <unistd.h>

#define READY_BECAUSE "a reason of several words"
#define PAUSED_BECAUSE "another reason, and a longer one"

void run_mode(void)
{
    if (ap_swarm_mode_set(actor.seg, 0, "server", "0", APIARY_READY, READY_BECAUSE) != 1) _exit(17);
}

void other_mode(void)
{
    if (ap_swarm_mode_set(survivor.seg, 0, "server", "0", APIARY_PAUSE, PAUSED_BECAUSE) != 1) fail("the mode cannot be changed");
}

/* The mode that stands has its own reason, whoever was overtaken. */
void before_mode(bool over)
{
    bool paused = AP_MODE_OF(ap_load_acquire(&ap_swarm_at(survivor.seg, 0)->mode)) == APIARY_PAUSE;
    char reason[AP_REASON_MAX + 1];

    ap_swarm_reason(survivor.seg, 0, reason);
    if (over && strcmp(reason, paused ? PAUSED_BECAUSE : READY_BECAUSE) != 0)
        fail("the mode is %s because of '%s'", paused ? "PAUSE" : "READY", reason);
    ap_swarm_mode_set(survivor.seg, 0, "server", "0", APIARY_READY, "");
}

/* ---- the monitor's role --------------------------------------------------------------------------------------- */

void run_role(void)
{
    for (int i = 0; i < 2; i++) {
        actor.result = ap_monitor_role_take(actor.seg);
        if (actor.result == 0) continue;
        ap_segment_watched(actor.seg, actor.lane.index);
        ap_monitor_role_release(actor.seg);
    }
}

/* The other has it for a moment, unless it is taken. */
void other_role(void)
{
    if (ap_monitor_role_take(survivor.seg)) ap_monitor_role_release(survivor.seg);
}

/* Wherever its holder died, the next one has it, and the one after. */
void before_role(bool over)
{
    (void)over;
    for (int i = 0; i < 2; i++) {
        if (!ap_monitor_role_take(survivor.seg)) fail("nobody can have the role");
        else ap_monitor_role_release(survivor.seg);
    }
}
