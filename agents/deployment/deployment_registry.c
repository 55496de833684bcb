/* agents/deployment/deployment_registry.c - meta_registry of a configuration: the segment, and the numbers of the table
 * of parts. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/deployment/deployment_int.h"
#include "core/address.h"
#include "core/text.h"
#include "registry/memory/cache.h"

#define MS INT64_C(1000000)
#define HOUR INT64_C(3600000000000)

static const struct ap_key segment_keys[] = {
    {.name = "segment", .type = 's', .what = "name of the shared memory, such as /apiary"},
    {.name = "mode", .type = 's', .what = "permissions of the segment, such as \"0660\""},
    {.name = "owner", .type = 's', .what = "user"},
    {.name = "group", .type = 's', .what = "group"},
    {.name = "port", .type = 'i', .min = 1, .max = 65535},
    {.name = "listen", .type = 's', .what = "address at which the coordinator serves HTTP, such as 127.0.0.1:4100, or off"},
    {.name = "health_check_interval", .type = 'd', .min = 100 * MS, .max = 24 * HOUR},
    {.name = "events_max_age", .type = 'd', .min = MS, .max = 87600 * HOUR},
    {.name = "events_max_bytes", .type = 'i', .min = 1 << 20, .max = INT64_C(1) << 40},
    {.name = "task_timeout", .type = 'd', .min = MS, .max = 720 * HOUR},
    {.name = "caches", .type = 'l', .what = "name spaces of the memory from which may be evicted: NAME, or \"@SERVICE\""},
};
#define SEGMENT_KEYS (sizeof segment_keys / sizeof segment_keys[0])

static int read_segment(struct ap_loader *l, const struct ap_node *meta)
{
    struct ap_segment_options *o = &l->d->segment;
    const char *mode = ap_node_text(meta, "mode", "0660");
    size_t length;

    o->name = ap_node_text(meta, "segment", NULL);
    l->d->owner = ap_node_text(meta, "owner", NULL);
    l->d->group = ap_node_text(meta, "group", NULL);
    length = o->name != NULL ? strlen(o->name) : 0;
    if (o->name != NULL && (o->name[0] != '/' || length < 2 || length > 63 || strchr(o->name + 1, '/') != NULL ||
        strcmp(o->name, "/.") == 0 || strcmp(o->name, "/..") == 0))
        return ap_node_refuse(
            ap_node_get(meta, "segment"), l->error,
            "segment: '%s' is not a segment name; expected '/' and 1 to 62 other bytes without '/', such "
            "as /apiary",
            AP_SHOWN(o->name, 64));
    length = strlen(mode);
    if ((length != 3 && length != 4) || strspn(mode, "01234567") != length) length = 0;
    o->mode = length > 0 ? (uint32_t)strtoul(mode, NULL, 8) : 0;
    if ((o->mode & ~0666u) != 0 || (o->mode & 0600) != 0600)
        return ap_node_refuse(
            ap_node_get(meta, "mode"), l->error,
            "mode: '%s' is not a usable mode; expected octal digits from \"0600\" to \"0666\" that let the owner "
            "read and write, such as \"0660\"",
            AP_SHOWN(mode, 16));
    return 0;
}

int ap_deployment_refuse(const struct ap_deployment *d, const char *sentence, struct ap_config_error *error)
{
    const struct ap_node *root = ap_config_root(d->config), *meta = ap_node_get(root, "meta_registry"), *at;
    char key[64];

    snprintf(key, sizeof key, "%.*s", (int)strcspn(sentence, ":"), sentence);
    at = ap_node_get(meta, key);
    if (at == NULL) at = meta != NULL ? meta : root;
    return ap_node_refuse(at, error, "%s", sentence);
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

/* The keys of one mapping: of meta_registry itself, whose groups are mappings, or of one group. */
struct keys {
    struct ap_key *list; /* NULL: only counted */
    const char *group;   /* NULL: meta_registry */
    size_t count;
};

static bool same_group(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int keys_add(void *user, const struct ap_number *n)
{
    struct keys *k = user;
    struct ap_key key = {.name = n->key, .type = 'i', .what = n->what, .min = n->min, .max = n->max};

    if (n->milliseconds) {
        key.type = 'd';
        key.min *= MS;
        key.max *= MS;
    }

    if (!same_group(n->group, k->group)) {
        if (k->group != NULL) return 0;
        /* A mapping, once: the numbers of a group are neighbours. */
        if (k->list != NULL && same_group(k->list[k->count - 1].name, n->group)) return 0;
        key = (struct ap_key){.name = n->group, .type = 'm', .what = n->what};
    }
    if (k->list != NULL) k->list[k->count] = key;
    k->count++;
    return 0;
}

/* Ends with name NULL; lives as long as the configuration. */
static struct ap_key *keys_of(struct ap_loader *l, const char *group)
{
    struct keys k = {.list = NULL, .group = group};
    size_t first = group == NULL ? SEGMENT_KEYS : 0;

    ap_numbers_each(&ap_registry_parts, keys_add, &k);
    k.list = ap_config_alloc(l->d->config, (first + k.count + 1) * sizeof *k.list);
    if (k.list == NULL) return NULL;
    memcpy(k.list, segment_keys, first * sizeof *k.list);
    k.count = first;
    ap_numbers_each(&ap_registry_parts, keys_add, &k);
    return k.list;
}

static int segment_read_number(void *user, const struct ap_number *n)
{
    struct ap_loader *l = user;
    struct ap_geometry *g = &l->d->segment.geometry;
    const struct ap_node *meta = ap_node_get(ap_config_root(l->d->config), "meta_registry");
    const struct ap_node *map = n->group != NULL ? ap_node_get(meta, n->group) : meta;

    if (n->milliseconds) ap_number_set(g, n, (uint32_t)(ap_node_number(map, n->key, 'd', ap_number_of(g, n) * MS) / MS));
    else ap_number_set(g, n, (uint32_t)ap_node_number(map, n->key, 'i', ap_number_of(g, n)));
    return 0;
}

/* The group of a number. Refuses one whose numbers are all 0, which would mean the defaults. */
static int check_group(void *user, const struct ap_number *n)
{
    struct ap_loader *l = user;
    const struct ap_node *meta = ap_node_get(ap_config_root(l->d->config), "meta_registry"), *map;
    const struct ap_key *keys;
    uint64_t sum = 0;
    int e;

    map = n->group != NULL ? ap_node_get(meta, n->group) : NULL;
    if (map == NULL) return 0;
    keys = keys_of(l, n->group);
    if (keys == NULL) return APIARY_ENOBLOCK;
    e = ap_node_check(map, keys, l->error);
    if (e < 0) return e;
    for (; keys->name != NULL; keys++) sum += (uint64_t)ap_node_number(map, keys->name, 'i', 1);
    if (sum > 0) return 0;
    return ap_node_refuse(map, l->error, "%s: all are 0; at least one of them must be more than 0", n->group);
}

static int read_numbers(struct ap_loader *l, const struct ap_node *meta)
{
    struct ap_geometry *g = &l->d->segment.geometry;
    char sentence[256];
    int e = ap_numbers_each(&ap_registry_parts, check_group, l);

    if (e < 0) return e;
    ap_geometry_normalise(&ap_registry_parts, g, NULL, 0); /* of zeros: the defaults */
    ap_numbers_each(&ap_registry_parts, segment_read_number, l);
    g->task_timeout = (uint64_t)ap_node_number(meta, "task_timeout", 'd', (int64_t)g->task_timeout);
    e = ap_geometry_normalise(&ap_registry_parts, g, sentence, sizeof sentence);
    return e < 0 ? ap_deployment_refuse(l->d, sentence, l->error) : 0;
}

static int read_cache(struct ap_loader *l, const struct ap_node *item)
{
    struct ap_memory_name *name = &l->d->caches[l->d->cache_count];

    if (ap_cache_name(item->text, name) < 0)
        return ap_node_refuse(item, l->error,
                              "caches: '%s' is no name space; expected a name, or '@' and the name of a service whose local memory "
                              "it is",
                              AP_SHOWN(item->text, 64));
    for (size_t i = 0; i < l->d->cache_count; i++)
        if (strcmp((const char *)l->d->caches[i].text, (const char *)name->text) == 0)
            return ap_node_refuse(item, l->error, "caches: '%s' is there twice", AP_SHOWN(item->text, 64));
    l->d->cache_count++;
    return 0;
}

static int read_caches(struct ap_loader *l, const struct ap_node *meta)
{
    const struct ap_node *list = ap_node_get(meta, "caches");
    size_t count = list == NULL ? 0 : list->kind == AP_NODE_LIST ? list->count : 1;
    uint32_t most = AP_REGISTRY_NUMBER(&l->d->segment.geometry, CACHES);
    int e = 0;

    if (count == 0) return 0;
    if (count > most)
        return ap_node_refuse(list, l->error,
                              "caches: %zu name spaces, and a segment has room for %" PRIu32 "; raise memory_caches", count, most);
    l->d->caches = ap_config_alloc(l->d->config, count * sizeof *l->d->caches);
    if (l->d->caches == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; i < count && e == 0; i++) e = read_cache(l, list->kind == AP_NODE_LIST ? list->items[i] : list);
    return e;
}

/* Its port is that of meta_registry, too, so that no service has it. */
static int read_listen(struct ap_loader *l, const struct ap_node *meta)
{
    const char *text = ap_node_text(meta, "listen", NULL);
    struct sockaddr_storage address;
    char own[AP_ADDRESS_TEXT];
    socklen_t size;

    l->d->port = (uint16_t)ap_node_number(meta, "port", 'i', 4100);
    snprintf(own, sizeof own, "127.0.0.1:%u", l->d->port);
    l->d->listen = ap_config_alloc(l->d->config, sizeof own);
    if (l->d->listen == NULL) return APIARY_ENOBLOCK;
    memcpy(l->d->listen, own, sizeof own);
    if (text == NULL) return 0;
    if (strcmp(text, "off") == 0) {
        memcpy(l->d->listen, "off", sizeof "off");
        return 0;
    }
    if (ap_address_read(text, &address, &size) < 0)
        return ap_node_refuse(ap_node_get(meta, "listen"), l->error,
                              "listen: '%s' is no address; expected off, or a number of an address with a port, such as "
                              "127.0.0.1:4100 or \"[::1]:4100\"",
                              AP_SHOWN(text, 64));
    if (ap_node_get(meta, "port") != NULL && l->d->port != ap_address_port(&address))
        return ap_node_refuse(ap_node_get(meta, "listen"), l->error, "listen: '%s' has another port than port, which is %u",
                              AP_SHOWN(text, 64), l->d->port);
    if (ap_address_port(&address) != 0) l->d->port = ap_address_port(&address);
    ap_address_print(&address, l->d->listen);
    return 0;
}

int ap_deployment_registry(struct ap_loader *l, const struct ap_node *meta)
{
    const struct ap_key *keys = keys_of(l, NULL);
    int e = keys != NULL ? 0 : APIARY_ENOBLOCK;

    if (e == 0 && meta != NULL) e = ap_node_check(meta, keys, l->error);
    if (e == 0) e = read_segment(l, meta);
    if (e == 0) e = read_numbers(l, meta);
    if (e == 0) e = read_caches(l, meta);
    if (e == 0) e = read_listen(l, meta);
    if (e < 0) return e;
    l->d->health_check_interval = (uint64_t)ap_node_number(meta, "health_check_interval", 'd', 30000 * MS);
    l->d->events_max_age = (uint64_t)ap_node_number(meta, "events_max_age", 'd', AP_EVENTS_MAX_AGE);
    l->d->events_max_bytes = (uint64_t)ap_node_number(meta, "events_max_bytes", 'i', AP_EVENTS_MAX_BYTES);
    return 0;
}
