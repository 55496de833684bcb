/* tools/dump/memory.c - shmdump: the registry's memory. */
#include "registry/memory/cache.h"
#include "registry/memory/watch.h"
#include "tools/common/common.h"
#include "tools/dump/dump.h"

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

static json_t *counts_json(const struct dump *d)
{
    json_t *counts = json_object();

    if (!d->registry) return counts;
#define X(name, what) json_object_set_new(counts, #name, dump_number(ap_memory_count(&d->seg, AP_MEMORY_COUNT_##name)));
    AP_MEMORY_COUNTS(X)
#undef X
    json_object_set_new(counts, "refused", dump_number(ap_memory_count(&d->seg, AP_MEMORY_COUNT_refused) +
                                                       ap_memory_count(&d->seg, AP_MEMORY_COUNT_over_quota)));
    return counts;
}

static json_t *change_json(const struct dump *d, uint64_t number)
{
    static const char *const kinds[AP_CHANGE_KINDS] = {"put", "deleted", "expired"};
    struct ap_memory_changed c;
    bool taken;
    json_t *o;

    if (ap_memory_change_read(&d->seg, number, &taken, &c) != 1) return NULL;
    o = json_object();
    json_object_set_new(o, "revision", dump_number(number + 1));
    json_object_set_new(o, "event", json_string(kinds[c.kind]));
    json_object_set_new(o, "namespace", dump_bytes_json((const char *)c.name.text, c.name.words * 8));
    json_object_set_new(o, "key", dump_bytes_json(c.key, strlen(c.key)));
    json_object_set_new(o, "version", dump_number(c.version));
    return o;
}

void dump_part_changes(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    uint64_t head = d->registry ? ap_memory_changes(&d->seg) : 0;
    uint64_t count = d->registry ? d->seg.sections[AP_SECTION_CHANGES].count : 0;
    uint64_t watched = d->registry ? ap_load_relaxed(&ap_draft_at(&d->seg, 0)->watched) : 0;
    json_t *list = json_array(), *o;

    (void)options;
    for (uint64_t number = head > count ? head - count : 0; number < head; number++) {
        o = change_json(d, number);
        if (o != NULL) json_array_append_new(list, o);
    }
    json_object_set_new(whole, "memory_watched", json_boolean(AP_MEMORY_WATCHED(watched)));
    json_object_set_new(whole, "memory_changes", list);
}

void dump_part_caches(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    json_t *list = json_array(), *o;
    struct ap_memory_name name;

    (void)options;
    for (uint64_t i = 0; d->registry && i < d->seg.sections[AP_SECTION_CACHES].count; i++) {
        const struct ap_cache *c = ap_cache_at(&d->seg, i);

        if (!ap_cache_read(&d->seg, i, &name)) continue;
        o = json_object();
        json_object_set_new(o, "namespace", dump_bytes_json((const char *)name.text, name.words * 8));
        json_object_set_new(o, "active", json_boolean(ap_load_relaxed(&c->active)));
        json_object_set_new(o, "evicted", dump_number(ap_load_relaxed(&c->evicted)));
        json_object_set_new(o, "evicted_unfetched", dump_number(ap_load_relaxed(&c->unfetched)));
        json_array_append_new(list, o);
    }
    json_object_set_new(whole, "memory_caches", list);
}

void dump_part_values(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)d, (void)options, (void)whole; /* with their places */
}

void dump_part_drafts(const struct dump *d, const struct dump_options *options, json_t *whole)
{
    (void)options; /* of the rest: what the living are about to write is nobody's matter, and what the dead left is a finding */
    json_object_set_new(whole, "memory_counts", counts_json(d));
}
