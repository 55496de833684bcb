/* tools/dump_memory.c - shmdump: the registry's memory. */
#include "registry/memory/memory.h"
#include "tools/common.h"
#include "tools/dump.h"

static json_t *memory_json(const struct dump *d, uint32_t row, const struct ap_memory_found *found)
{
    json_t *o = json_object();

    json_object_set_new(o, "row", json_integer(row));
    json_object_set_new(o, "namespace", dump_bytes_json((const char *)found->name.text, found->name.words * 8));
    json_object_set_new(o, "key", dump_bytes_json((const char *)found->key.text, found->key.words * 8));
    json_object_set_new(o, "size", json_integer(found->read.size));
    json_object_set_new(o, "version", dump_number(found->read.version));
    json_object_set_new(o, "until", dump_number(found->read.until));
    json_object_set_new(o, "block", dump_number(ap_load_relaxed(&ap_value_at(&d->seg, row)->block)));
    return o;
}

void dump_part_memory(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_t *list = json_array();
    struct ap_memory_found found;
    uint64_t position = 0, places = d->registry ? d->seg.sections[AP_SECTION_MEMORY].count * AP_MEMORY_PLACES : 0;
    uint32_t row;

    (void)options;
    while (position < places) {
        /* The checkers tell of the others. */
        if (ap_memory_at(&d->seg, position++, &row, &found) == 1) json_array_append_new(list, memory_json(d, row, &found));
    }
    json_object_set_new(whole, "memory", list);
}

void dump_part_values(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)d, (void)options, (void)whole; /* with their places */
}

void dump_part_drafts(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)d, (void)options, (void)whole; /* what the living are about to write, and what the dead left is a finding */
}
