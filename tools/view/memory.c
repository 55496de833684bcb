/* tools/view/memory.c - what is in the memory: its name spaces, their keys and values, caches, as JSON. See memory.h. */
#include "tools/view/memory.h"

#include <stdlib.h>
#include <string.h>

#include "registry/memory/cache.h"

json_t *view_memory_left(const struct ap_segment *seg, uint64_t until)
{
    uint64_t now = seg->ops->now();
    return until == APIARY_FOREVER ? json_null() : tool_json_number(until > now ? until - now : 0);
}

/* ---- name spaces ------------------------------------------------------------------------------------------------- */

struct space {
    struct ap_memory_name name;
    uint64_t values, bytes;
};

static int space_order(const void *a, const void *b)
{
    const struct space *x = a, *y = b;
    return strcmp((const char *)x->name.text, (const char *)y->name.text);
}

/* Spaces of one name, which stand together, become one. How many are left. */
static size_t spaces_add(struct space *list, size_t count)
{
    size_t n = 0;
    qsort(list, count, sizeof *list, space_order);
    for (size_t i = 0; i < count; i++) {
        if (n == 0 || space_order(&list[n - 1], &list[i]) != 0) {
            list[n++] = list[i];
            continue;
        }
        list[n - 1].values += list[i].values;
        list[n - 1].bytes += list[i].bytes;
    }
    return n;
}

/* All that have a value, by their names; to be freed. 0, or the error that ended it. */
static int spaces_of(const struct ap_segment *seg, struct space **ret, size_t *ret_count)
{
    struct ap_memory_found found;
    size_t n = 0, room = 64;
    struct space *list = tool_alloc(room * sizeof *list);
    uint64_t at = 0;
    int r;
    while ((r = ap_memory_next(seg, NULL, "", &at, &found)) == 1) {
        if (n == room) {
            n = spaces_add(list, n);
            if (2 * n >= room) list = tool_realloc(list, (room *= 2) * sizeof *list);
        }
        list[n++] = (struct space){found.name, 1, found.read.size};
    }
    *ret_count = spaces_add(list, n);
    *ret = list;
    return r;
}

static bool space_is_cache(const struct ap_segment *seg, const char *name)
{
    struct ap_memory_name own;
    return ap_memory_name(name + (*name == '@'), *name == '@', &own) == 0 && ap_cache_of(seg, &own) != NULL;
}

int view_spaces_json(const struct ap_segment *seg, const char *segment, json_t **ret)
{
    size_t n;
    struct space *list;
    int r = spaces_of(seg, &list, &n);
    uint64_t quota = ap_memory_quota_bytes(seg);
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++) {
        const char *name = (const char *)list[i].name.text;
        json_array_append_new(rows, json_pack("{s:o, s:b, s:b, s:o, s:o}", "namespace", tool_json_text(name + (*name == '@')),
                                              "local", (int)(*name == '@'), "cache", (int)space_is_cache(seg, name), "values",
                                              tool_json_number(list[i].values), "bytes", tool_json_number(list[i].bytes)));
    }
    free(list);
    if (r == 0)
        *ret = json_pack("{s:s, s:o, s:o, s:o, s:o}", "segment", segment, "room",
                         tool_json_number(seg->places[AP_SECTION_VALUES].count), "quota_values",
                         tool_json_number(ap_memory_quota(seg)), "quota_bytes",
                         quota != UINT32_MAX ? tool_json_number(quota) : json_null(), "namespaces", json_incref(rows));
    json_decref(rows);
    return r;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

int view_keys_json(const struct ap_segment *seg, const char *segment, const struct ap_memory_name *name, const char *prefix,
                   uint64_t after, uint32_t most, json_t **ret, uint64_t *ret_next)
{
    struct ap_memory_found found;
    json_t *list = json_array();
    uint64_t at = after, next = 0;
    uint32_t n = 0;
    int r;
    while ((r = ap_memory_next(seg, name, prefix, &at, &found)) == 1) {
        if (n == most) break;
        next = at;
        n++;
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "key", tool_json_text((const char *)found.key.text), "size",
                                              tool_json_number(found.read.size), "version", tool_json_number(found.read.version),
                                              "expires_in_ns", view_memory_left(seg, found.read.until)));
    }
    if (r >= 0) {
        *ret_next = r == 1 ? next : 0;
        *ret = json_pack("{s:s, s:O}", "segment", segment, "keys", list);
    }
    json_decref(list);
    return r < 0 ? r : 0;
}

/* ---- a value ----------------------------------------------------------------------------------------------------- */

static json_t *value_hex(const unsigned char *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char *text = tool_alloc(2 * size + 1);
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    json_t *o = json_string(text);
    free(text);
    return o;
}

/* The text without a character that the bound has cut through. */
static size_t value_whole(const unsigned char *bytes, size_t size)
{
    size_t back = 0;
    while (back < 3 && back < size && (bytes[size - 1 - back] & 0xc0) == 0x80) back++;
    unsigned char first = back < size ? bytes[size - 1 - back] : 0;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    return length > back + 1 ? size - 1 - back : size;
}

int view_value_json(const struct ap_segment *seg, const struct ap_memory_name *name, const char *key, json_t **ret)
{
    unsigned char *bytes = tool_alloc(APIARY_MEMORY_VALUE_MAX);
    struct ap_memory_read read;
    struct ap_memory_key whole;
    int r = ap_memory_key(name, key, &whole);
    if (r == 0) r = ap_memory_read(seg, &whole, bytes, APIARY_MEMORY_VALUE_MAX, &read);
    if (r == 0) {
        size_t shown = read.size <= VIEW_VALUE_MOST ? read.size : VIEW_VALUE_MOST;
        bool cut = shown < read.size;
        size_t words = cut ? value_whole(bytes, shown) : shown;
        json_t *text = memchr(bytes, '\0', words) == NULL ? json_stringn((const char *)bytes, words) : NULL;
        if (text != NULL) shown = words;
        *ret = json_pack("{s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "key", tool_json_text(key), "size", tool_json_number(read.size),
                         "version", tool_json_number(read.version), "expires_in_ns", view_memory_left(seg, read.until), "shown",
                         (json_int_t)shown, "text", text != NULL ? text : json_null(), "hex",
                         text != NULL ? json_null() : value_hex(bytes, shown));
    }
    free(bytes);
    return r;
}

/* ---- caches ------------------------------------------------------------------------------------------------------ */

json_t *view_caches_json(const struct ap_segment *seg, const char *segment)
{
    struct ap_memory_name name;
    json_t *list = json_array();
    for (uint64_t i = 0; ap_cache_read(seg, i, &name); i++) {
        const struct ap_cache *c = ap_cache_at(seg, i);
        uint64_t bytes, values = ap_memory_held_by(seg, &name, &bytes);
        json_t *o = json_object();
        json_object_set_new(o, "namespace", tool_json_text((const char *)name.text));
        json_object_set_new(o, "active", json_boolean(ap_load_relaxed(&c->active) != 0));
        json_object_set_new(o, "values", tool_json_number(values));
        json_object_set_new(o, "bytes", tool_json_number(bytes));
        json_object_set_new(o, "evicted", tool_json_number(ap_load_relaxed(&c->evicted)));
        json_object_set_new(o, "evicted_unfetched", tool_json_number(ap_load_relaxed(&c->unfetched)));
        json_array_append_new(list, o);
    }
    return json_pack("{s:s, s:o}", "segment", segment, "caches", list);
}
