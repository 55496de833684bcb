/* tools/dump_tallies.c - shmdump: what was counted of agents and of those who call them. See dump.h, shm/times.h. */
#include "shm/queue.h"
#include "tools/common_spread.h"
#include "tools/dump.h"

void dump_part_times(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_t *list = json_array();

    (void)options;
    for (uint32_t i = 0; i < d->seg.geometry.queues; i++) {
        struct ap_times_copy times;
        json_t *o;

        if (!ap_times_read(&d->seg, i, &times) || (times.waited.count == 0 && times.ran.count == 0)) continue;
        o = json_object();
        json_object_set_new(o, "queue", dump_number(i));
        json_object_set_new(o, "waited", tool_spread_json(&times.waited));
        json_object_set_new(o, "ran", tool_spread_json(&times.ran));
        json_object_set_new(o, "lost", dump_number(times.lost));
        json_object_set_new(o, "ejected", dump_number(times.ejected));
        json_array_append_new(list, o);
    }
    json_object_set_new(whole, "times", list);
}
