/* tools/operate/operate.h - what an operator changes: the same for a command and for a request to the coordinator's HTTP server.
 *
 * TELLING   Nothing here prints; what happened is returned, and each caller has its own words for it.
 * THREADS   Any, with a handle of the caller's; private memory.
 */
#ifndef AP_TOOLS_OPERATE_H
#define AP_TOOLS_OPERATE_H

#include "registry/client/client.h"
#include "tools/common/common.h"
#include "tools/view/view.h"

/* ---- instances.c: the instances of a service ----------------------------------------------------------------------- */

struct operate_target {
    const char *service, *instance; /* instance NULL: all */
};
/* Instances that are the target's, those of them that are otherwise than before, and those that are down: it is for when they come
 * back. */
struct operate_changed {
    uint32_t instances, changed, down;
};
/* How many there are; nothing is changed. */
uint32_t operate_count(const struct ap_segment *seg, const struct operate_target *target);
/* Sets the mode, by the registry: a record that has changed hands since it was seen is let be, and not counted. `reason` as for
 * ap_swarm_mode_set. */
struct operate_changed operate_mode(struct ap_segment *seg, const struct operate_target *target, enum apiary_mode mode,
                                    const char *reason);
/* Sets the weight, -1: as registered. */
struct operate_changed operate_weight(struct ap_segment *seg, const struct operate_target *target, int weight);
/* Tasks queued and running at the target, by the task table, which is the truth. */
uint32_t operate_left(const struct ap_segment *seg, const struct operate_target *target);

/* ---- dead.c: the dead set -------------------------------------------------------------------------------------------- */

struct operate_filter {
    const char *capability, *service, *cause; /* NULL: any */
    uint64_t before; /* CLOCK_REALTIME; UINT64_MAX: any */
};
AP_MUST_CHECK bool operate_cause_known(const char *cause);
AP_MUST_CHECK bool operate_takes(const struct operate_filter *f, const apiary_dead_t *d);

/* With what several entries are acted on: the operator's handle, and those of the callers for which was delegated last, so that the
 * segment is attached once for each of few callers, not for each entry. Zero but for `a`; operate_end detaches all but that. */
#define OPERATE_CALLERS 4
struct operate_hands {
    apiary_t *a;
    struct operate_caller {
        apiary_t *a; /* NULL: the row is free */
        char name[APIARY_NAME_MAX + 1];
    } callers[OPERATE_CALLERS];
    unsigned next; /* the row that gives way */
};
void operate_end(struct operate_hands *h);
/* An action on an entry: 0, or an error; APIARY_ESTALE: there is no such entry (any more). */
typedef int (*operate_dead_fn)(struct operate_hands *h, uint64_t number, apiary_task_t *ret);
/* Delegates it anew for the service that it was delegated for, since the rules of its capability are those for that caller; *ret is
 * the new task. */
int operate_retry(struct operate_hands *h, uint64_t number, apiary_task_t *ret);
/* Takes it out for good. *ret is left alone. */
int operate_discard(struct operate_hands *h, uint64_t number, apiary_task_t *ret);

/* Calls `one` for each number that the filter takes, up to the newest of now: what is entered meanwhile waits. At most `most` of
 * them. True: there are more. */
bool operate_each(apiary_t *a, const struct operate_filter *f, uint32_t most, void (*one)(void *user, uint64_t number), void *user);

/* ---- tasks.c ---------------------------------------------------------------------------------------------------------- */

enum operate_task { OPERATE_CANCELLED, OPERATE_ENDED, OPERATE_KEPT, OPERATE_GONE, OPERATE_NEVER, OPERATE_ERROR };
/* Cancels a task. ENDED: its client has yet to collect it, and *ret_state is how it ended. The library answers 0 for that, too,
 * since its caller will see how; here somebody would take it for a success. ERROR: *ret_error says which. Else as below. */
enum operate_task operate_cancel(apiary_t *a, apiary_task_t id, uint32_t *ret_state, int *ret_error);
/* Why a slot has no such task: it had one whose result is KEPT, or had it (GONE), or NEVER had. */
enum operate_task operate_why(const struct ap_segment *seg, apiary_task_t id);

#endif
