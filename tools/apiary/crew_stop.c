/* tools/apiary/crew_stop.c - the end of the processes of `apiary up`, at once or one after another. */
#include "tools/apiary/crew.h"

#include <signal.h>

#include "core/ops.h"

/* Tells one that it is to stop, if its turn has come; kills one whose grace is over. Whether it is still there. */
static bool crew_stop_one(struct crew *c, struct crew_child *child, uint64_t grace, bool now, unsigned *killed)
{
    if (child->leaves_by == 0) {
        child->leaves_by = ap_ops_system.now() + grace;
        crew_dismiss(c, child);
    }
    if (child->pid == 0) return false;
    if (!now && ap_ops_system.now() < child->leaves_by) return true;
    child->leaves_by = UINT64_MAX;
    kill(child->pid, SIGKILL);
    ++*killed;
    return true;
}

unsigned crew_stop(struct crew *c, size_t from, size_t to, uint64_t grace,
                   bool (*may_leave)(void *user, const struct crew_child *child), void *user)
{
    unsigned killed = 0;
    int interrupts = crew_interrupts(c);
    for (size_t i = from; i < to && i < crew_count(c); i++)
        crew_at(c, i)->wanted = false;
    for (;;) {
        size_t left = 0, leaving = 0;
        bool now = crew_interrupts(c) > interrupts;
        for (size_t i = from; i < to && i < crew_count(c); i++) {
            struct crew_child *child = crew_at(c, i);
            bool stays = !now && child->pid != 0 && child->leaves_by == 0 && may_leave != NULL && !may_leave(user, child);
            left += stays || crew_stop_one(c, child, grace, now, &killed);
            leaving += child->pid != 0 && child->leaves_by != 0;
        }
        if (left == 0) return killed;
        if (leaving == 0) may_leave = NULL; /* they wait for each other: of two configurations, when a reload was broken off */
        interrupts = crew_interrupts(c);
        crew_turn(c, UINT64_C(100000000));
    }
}
