/* tools/view/index.h - where the records of an instance are, for who tells of all instances: found once instead of once for each.
 *
 * MOMENT    Where records of a kind are is known as of the first question for one, and each is read when somebody asks for it. A
 *           record that has come since is not found. One that is another's by then is absent.
 * THREADS   Any, each with its own. Memory that is lacking ends the program.
 */
#ifndef AP_TOOLS_VIEW_INDEX_H
#define AP_TOOLS_VIEW_INDEX_H

#include "shm/event.h"
#include "tools/view/supervised.h"
#include "tools/view/view.h"

struct view_index;
struct view_index *view_index_take(const struct ap_segment *seg); /* to be freed */
void view_index_free(struct view_index *x);

/* The record of an instance. False, and all zero: there is none, or it has changed meanwhile. */
bool view_record_of(struct view_index *x, const char *service, const char *instance, struct swarm_view *ret);
/* As supervision_of and supervision_seen tell it. */
bool view_supervision_of(struct view_index *x, const char *service, const char *instance, struct ap_supervised_view *ret);
bool view_supervision_seen(struct view_index *x, const apiary_swarm_status_t *s, struct ap_supervised_view *ret);

/* How an instance that is down ended, as far as the event log still tells. `ago` is 0 where only its lane tells. */
enum swarm_end { SWARM_END_UNKNOWN, SWARM_END_LEFT, SWARM_END_DIED };
enum swarm_end view_swarm_end(struct view_index *x, const char *service, const char *instance, uint64_t *ago);
/* How often the lanes without an inlet of their own, and tasks with a priority, had their turns at its agents. */
uint64_t view_rounds(struct view_index *x, const struct swarm_view *v);

/* scaled.c. How many instances the autoscaled service of a row was last given, and why, as far as the event log tells: as a
 * line, or as an object (NULL: nothing). */
void scaled_print(struct view_index *x, const apiary_swarm_status_t *s);
json_t *scaled_json(struct view_index *x, const apiary_swarm_status_t *s);
/* For it: the last event of that kind of the service. False: there is none any more. */
bool view_scaled_event(struct view_index *x, const apiary_swarm_status_t *s, struct ap_event *ret);

#endif
