/* tools/view/events.c - events as JSON: what the coordinator has kept, and what of the segment's log it has not yet. See view.h. */
#include <string.h>

#include "tools/history/history.h"
#include "tools/view/view.h"

struct events_view {
    const struct ap_segment *seg;
    const struct view_events *asked;
    json_t *kept, *fresh; /* the newest of each, the oldest first */
    bool looked;          /* into the log */
};

/* At most so many, the oldest go. Takes the reference. */
static void events_push(json_t *list, json_t *o, size_t most)
{
    if (o != NULL) json_array_append_new(list, o);
    while (json_array_size(list) > most) json_array_remove(list, 0);
}

static void events_look(struct events_view *ev, uint64_t number)
{
    const struct view_events *w = ev->asked;
    struct event_told told;
    struct ap_event e;

    if (ap_event_read(ev->seg, number, &e) != 1 || e.time < w->since || !event_tell(ev->seg, &e, &told)) return;
    if ((w->kind == NULL || strcmp(told.kind, w->kind) == 0) && (w->service == NULL || strcmp(told.service, w->service) == 0))
        events_push(ev->fresh, json_incref(told.json), w->most);
    event_told_free(&told);
}

/* The log is read within the history's moment: nothing is told twice that is kept meanwhile. */
static uint64_t view_events_kept(void *user, const struct history_cursor *at)
{
    struct events_view *ev = user;
    uint64_t end = ap_load_acquire(&ev->seg->header->event_next); /* EVENT-A1 pairs EVENT-R1 */
    uint64_t begin = event_log_begins(ev->seg, end);

    ev->looked = true;
    for (size_t i = 0; i < at->count; i++)
        if (at->holes[i] >= begin) events_look(ev, at->holes[i]);
    for (uint64_t n = at->next > begin ? at->next : begin; n < end; n++) events_look(ev, n);
    return ev->asked->most - json_array_size(ev->fresh);
}

static void events_row(void *user, const struct history_row *row)
{
    struct events_view *ev = user;

    events_push(ev->kept, json_loads(row->json, 0, NULL), ev->asked->most);
}

json_t *view_events_json(const struct ap_segment *seg, const char *segment, const char *folder, const struct view_events *asked)
{
    struct events_view ev = {.seg = seg, .asked = asked, .kept = json_array(), .fresh = json_array()};
    const struct history_wanted wanted = {.since = asked->since, .kind = asked->kind, .service = asked->service};
    const struct history_reader reader = {.kept = view_events_kept, .row = events_row, .user = &ev};
    char identity[HISTORY_IDENTITY], why[HISTORY_WHY];
    uint64_t rotated = 0, begin = event_log_begins(seg, ap_load_acquire(&seg->header->event_next)); /* EVENT-A1 pairs EVENT-R1 */
    int rc = 0;

    history_identity(seg, identity);
    if (folder != NULL) rc = history_read(folder, identity, &wanted, &reader, &rotated, why);
    if (!ev.looked) (void)view_events_kept(&ev, &(struct history_cursor){.next = 1});
    json_array_extend(ev.kept, ev.fresh);
    json_decref(ev.fresh);
    events_push(ev.kept, NULL, asked->most);
    return json_pack("{s:s, s:I, s:I, s:s?, s:I, s:o}", "segment", segment, "room", (json_int_t)seg->geometry.events, "overwritten",
                     (json_int_t)(begin - 1), "kept_in", rc > 0 ? folder : NULL, "rotated", (json_int_t)rotated, "events", ev.kept);
}
