/* tools/dump/finished.c - shmdump: the last tasks. See dump.h, shm/finished.h. */
#include <stdlib.h>

#include "tools/common/common.h"
#include "tools/common/finished.h"
#include "tools/dump/dump.h"

static json_t *finished_rings_json(const struct dump *d, uint64_t *ret_lost)
{
    struct ap_finished *all;
    json_t *list = json_array();
    size_t n = finished_all(&d->seg, &all, ret_lost);

    for (size_t i = 0; i < n; i++) json_array_append_new(list, finished_json(&d->seg, &all[i], d->live && !d->untimed));
    free(all);
    return list;
}

void dump_part_finished(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    uint64_t lost = 0;

    (void)options;
    json_object_set_new(whole, "finished", d->registry ? finished_rings_json(d, &lost) : json_array());
    json_object_set_new(whole, "finished_overwritten", tool_json_number(lost));
}
