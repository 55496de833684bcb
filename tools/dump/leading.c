/* tools/dump/leading.c - shmdump: tasks that lead their dedup keys. */
#include "registry/conflict/coalesce.h"
#include "shm/follow.h"
#include "tools/common/common.h"
#include "tools/dump/dump.h"

/* Of a task that is in flight; NULL: it is not. */
static json_t *leader_json(const struct dump *d, uint64_t group, uint64_t ref)
{
    uint32_t slot = AP_REF_SLOT(ref);
    struct ap_dedup key;
    char id[48], text[24];
    json_t *o;

    if (!ap_dedup_of(&d->seg, slot, AP_REF_GENERATION(ref), &key)) return NULL;
    o = json_object();
    tool_format_task(ap_task_id(&d->seg, slot, AP_REF_GENERATION(ref)), id);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)key.key);
    json_object_set_new(o, "task", json_string(id));
    json_object_set_new(o, "slot", json_integer(slot));
    json_object_set_new(o, "group", dump_number(group));
    json_object_set_new(o, "dedup_key", json_string(text));
    return o;
}

void dump_part_leading(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_t *list = json_array(), *slabs = json_array();

    (void)options;
    for (uint64_t g = 0; d->registry && g < d->seg.sections[AP_SECTION_LEADING].count; g++) {
        const struct ap_leading *at = ap_leading_at(&d->seg, g);

        for (uint32_t i = 0; at != NULL && i < AP_LEADERS; i++) {
            json_t *o = leader_json(d, g, ap_load_relaxed(&at->leader[i]));

            if (o != NULL) json_array_append_new(list, o);
        }
    }
    for (uint32_t s = 0; s < d->seg.sections[AP_SECTION_SLABS].count; s++)
        if (ap_slab_at(&d->seg, s) != NULL && ap_follow_any(&d->seg, s) != 0) json_array_append_new(slabs, json_integer(s));
    json_object_set_new(whole, "leading", list);
    json_object_set_new(whole, "followed_slabs", slabs);
}
