/* tools/dump/events.c - shmdump: the event log. See dump.h, shm/event.h. */
#include "shm/event.h"
#include "tools/dump/dump.h"

#include "tools/common/common.h"

static json_t *log_json(const struct ap_segment *seg, uint32_t most)
{
    uint64_t next = ap_load_acquire(&seg->header->event_next), have = seg->geometry.events; /* EVENT-A1 pairs EVENT-R1 */
    uint64_t count = most < have ? most : have;
    json_t *list = json_array();

    if (count > next) count = next;
    for (uint64_t number = next - count; number < next; number++) {
        char said[AP_EVENT_TEXT + 1], time[32];
        struct ap_event e;
        json_t *o;

        if (!ap_event_read(seg, number, &e)) continue;
        o = json_object();
        json_object_set_new(o, "number", dump_number(e.number));
        json_object_set_new(o, "time", json_string(tool_format_time(e.time, time)));
        json_object_set_new(o, "kind", dump_number(e.kind));
        json_object_set_new(o, "text", json_string(ap_event_text(e.kind)));
        json_object_set_new(o, "lane", e.lane < seg->geometry.lanes ? dump_number(e.lane) : json_null());
        json_object_set_new(o, "a", dump_number(e.a));
        json_object_set_new(o, "b", dump_number(e.b));
        json_object_set_new(o, "c", dump_number(e.c));
        ap_event_said(&e, said);
        json_object_set_new(o, "said", tool_json_text(said));
        json_array_append_new(list, o);
    }
    return list;
}

void dump_part_events(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_object_set_new(whole, "events", log_json(&d->seg, options->events));
}
