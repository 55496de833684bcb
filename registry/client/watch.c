/* registry/client/watch.c - a client's watch of the memory: what is there, and then each change. See registry/memory/watch.h.
 *
 * It has in private memory each key that it has told of, with the version, so that nothing is told twice. One that goes on from a
 * revision does not know the keys that have not changed since: it also has those of them of which it has told that they have gone.
 * A value whose version was drawn since came while it watched, and was told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "registry/client/memory.h"
#include "registry/client/watching.h"
#include "registry/memory/watch.h"

#define CHAINS_FIRST 64u

struct known_key {
    struct known_key *next;
    uint64_t hash, version;
    bool gone; /* it was told that this version has gone */
    char key[];
};

enum watch_phase { WATCH_BEHIND, WATCH_SET, WATCH_LOG };

struct apiary_memory_watch {
    apiary_t *client;
    struct ap_memory_name name;
    enum watch_phase phase;
    uint64_t before;        /* it has resumed, and may not know values up to this version; 0: it knows all */
    uint64_t position;      /* SET: of the scan */
    uint64_t next;          /* the number of the change that it will read next */
    uint64_t stuck, since;  /* the number that is taken and does not come, and since when it is waited for */
    struct known_key **chains;
    size_t chain_count, known;
    size_t size;            /* of the prefix */
    char prefix[APIARY_MEMORY_KEY_MAX + 1];
};

/* ---- the keys that were told ------------------------------------------------------------------------------------ */

static uint64_t known_hash(const char *key)
{
    uint64_t hash = 0;

    for (; *key != '\0'; key++) hash = ap_memory_mix(hash, (uint8_t)*key);
    return hash;
}

/* The place of the pointer to the key, or where one would be. */
static struct known_key **known_at(const struct apiary_memory_watch *w, const char *key, uint64_t hash)
{
    struct known_key **at = &w->chains[hash & (w->chain_count - 1)];

    while (*at != NULL && ((*at)->hash != hash || strcmp((*at)->key, key) != 0)) at = &(*at)->next;
    return at;
}

/* Without memory for it the chains become longer. */
static void known_spread(struct apiary_memory_watch *w)
{
    struct known_key **chains = calloc(w->chain_count * 2, sizeof *chains);

    if (chains == NULL) return;
    for (size_t i = 0; i < w->chain_count; i++) {
        for (struct known_key *k = w->chains[i], *next; k != NULL; k = next) {
            next = k->next;
            k->next = chains[k->hash & (w->chain_count * 2 - 1)];
            chains[k->hash & (w->chain_count * 2 - 1)] = k;
        }
    }
    free(w->chains);
    w->chains = chains;
    w->chain_count *= 2;
}

/* 1, or APIARY_ENOBLOCK. */
static int known_set(struct apiary_memory_watch *w, const char *key, uint64_t version, bool gone)
{
    uint64_t hash = known_hash(key);
    struct known_key **at = known_at(w, key, hash), *k = *at;

    if (k == NULL) {
        k = malloc(sizeof *k + strlen(key) + 1);
        if (k == NULL) return APIARY_ENOBLOCK;
        k->hash = hash;
        k->next = NULL;
        strcpy(k->key, key);
        *at = k;
        w->known++;
    }
    k->version = version;
    k->gone = gone;
    if (w->known > w->chain_count * 2) known_spread(w);
    return 1;
}

/* 1: the value is a new one; 0: it was told before; APIARY_ENOBLOCK. */
static int known_put(struct apiary_memory_watch *w, const char *key, uint64_t version)
{
    const struct known_key *k = *known_at(w, key, known_hash(key));

    if (k != NULL && k->version >= version) return 0;
    return known_set(w, key, version, false);
}

/* 1: a value of this version, or an older one, has gone; 0: that was told before, or it has never been told; APIARY_ENOBLOCK.
 * A key that it does not have may be one of before, unless it has told that this has gone. So it keeps those that have. */
static int known_take(struct apiary_memory_watch *w, const char *key, uint64_t version)
{
    struct known_key **at = known_at(w, key, known_hash(key)), *k = *at;

    if (k != NULL && (k->version > version || (k->gone && k->version == version))) return 0;
    if (version <= w->before) return known_set(w, key, version, true);
    if (k == NULL) return 0;
    *at = k->next;
    free(k);
    w->known--;
    return 1;
}

static void known_clear(struct apiary_memory_watch *w)
{
    for (size_t i = 0; i < w->chain_count; i++) {
        for (struct known_key *k = w->chains[i], *next; k != NULL; k = next) {
            next = k->next;
            free(k);
        }
        w->chains[i] = NULL;
    }
    w->known = 0;
}

/* ---- one step --------------------------------------------------------------------------------------------------- */

static int change_tell(apiary_memory_change_t *ret, enum apiary_memory_event event, uint64_t revision, uint64_t version,
                       uint64_t size, const char *key)
{
    apiary_memory_change_t own = {
        .struct_size = sizeof own, .event = event, .revision = revision, .version = version, .size = size};

    memcpy(own.key, key, strlen(key));
    ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return 1;
}

static void watch_anew(struct apiary_memory_watch *w)
{
    known_clear(w);
    w->before = 0;
    w->position = 0;
    w->next = ap_memory_changes(w->client->seg);
    w->phase = WATCH_SET;
}

/* Of the present set: 1, or an error. */
static int step_set(struct apiary_memory_watch *w, apiary_memory_change_t *ret)
{
    struct ap_memory_found found;
    uint64_t position;
    int r;

    for (;;) {
        position = w->position;
        r = ap_memory_next(w->client->seg, &w->name, w->prefix, &position, &found);
        if (r < 0) return r;
        if (r == 0) {
            w->phase = WATCH_LOG;
            return change_tell(ret, APIARY_MEMORY_SYNCED, w->next, 0, 0, "");
        }
        r = known_put(w, (const char *)found.key.text, found.read.version);
        if (r < 0) return r;
        w->position = position;
        if (r == 1)
            return change_tell(ret, APIARY_MEMORY_PRESENT, 0, found.read.version, found.read.size, (const char *)found.key.text);
    }
}

static bool change_wanted(const struct apiary_memory_watch *w, const struct ap_memory_changed *c)
{
    return c->name.words == w->name.words && memcmp(c->name.text, w->name.text, w->name.words * 8) == 0 &&
           strncmp(c->key, w->prefix, w->size) == 0;
}

/* 1: it is to be told; 0: it is not; APIARY_ENOBLOCK. */
static int change_new(struct apiary_memory_watch *w, const struct ap_memory_changed *c)
{
    if (!change_wanted(w, c)) return 0;
    return c->kind == AP_CHANGE_PUT ? known_put(w, c->key, c->version) : known_take(w, c->key, c->version);
}

/* A number that is given out, and whose change does not come. */
static void change_late(struct apiary_memory_watch *w)
{
    uint64_t now = w->client->seg->ops->now();

    if (w->stuck != w->next + 1) {
        w->stuck = w->next + 1;
        w->since = now;
    } else if (now - w->since >= AP_MEMORY_STUCK) {
        w->phase = WATCH_BEHIND;
    }
}

/* 1, 0: nothing has changed, or it is behind; or an error. */
static int step_log(struct apiary_memory_watch *w, apiary_memory_change_t *ret)
{
    static const enum apiary_memory_event events[AP_CHANGE_KINDS] = {
        [AP_CHANGE_PUT] = APIARY_MEMORY_PUT, [AP_CHANGE_DELETED] = APIARY_MEMORY_DELETED,
        [AP_CHANGE_EXPIRED] = APIARY_MEMORY_EXPIRED};
    struct ap_memory_changed c;
    bool taken;
    int r;

    for (;;) {
        r = ap_memory_change_read(w->client->seg, w->next, &taken, &c);
        if (r == APIARY_ECHANGED) w->phase = WATCH_BEHIND;
        if (r == APIARY_ENOTREADY && taken) change_late(w);
        if (r == APIARY_ECHANGED || r == APIARY_ENOTREADY) return 0;
        if (r < 0) return r;
        if (r == 1) r = change_new(w, &c);
        if (r < 0) return r;
        w->next++;
        if (r == 1)
            return change_tell(ret, events[c.kind], w->next, c.version, c.kind == AP_CHANGE_PUT ? c.size : 0, c.key);
    }
}

static int watch_step(void *watch, void *ret)
{
    struct apiary_memory_watch *w = watch;
    int r = w->phase == WATCH_LOG ? step_log(w, ret) : 0;

    if (r != 0 || w->phase == WATCH_LOG) return r;
    if (w->phase == WATCH_SET) return step_set(w, ret);
    watch_anew(w);
    return change_tell(ret, APIARY_MEMORY_BEHIND, 0, 0, 0, "");
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

/* Whether all changes behind the revision are in the log; what was before it is known then. */
static bool watch_resumes(struct apiary_memory_watch *w, uint64_t revision)
{
    const struct ap_segment *seg = w->client->seg;
    uint64_t head = ap_memory_changes(seg), count = seg->sections[AP_SECTION_CHANGES].count;
    uint32_t era = AP_MEMORY_ERA(ap_load_relaxed(&ap_draft_at(seg, 0)->watched));
    struct ap_memory_changed c;
    bool taken;

    if (revision == 0 || revision > head) return false;
    w->before = ap_memory_revision(seg);
    for (uint64_t number = head > count ? head - count : 0; number < revision; number++) {
        int r = ap_memory_change_read(seg, number, &taken, &c);

        if (number + 1 == revision && (r < 0 || c.era != era)) return false;
        if (r == 1 && change_new(w, &c) < 0) return false;
    }
    if (head > count && revision <= head - count) return false; /* the entry before it is overwritten: its era is not known */
    w->next = revision;
    w->phase = WATCH_LOG;
    return true;
}

static bool watch_count(apiary_t *a, int by)
{
    bool counted;

    pthread_mutex_lock(&a->lock);
    counted = ap_memory_watching(a->seg, &a->anchor->lane, by);
    pthread_mutex_unlock(&a->lock);
    return counted;
}

static struct apiary_memory_watch *memory_watch_new(const apiary_memory_t *m, const char *prefix)
{
    struct apiary_memory_watch *w = calloc(1, sizeof *w);

    if (w != NULL) w->chains = calloc(CHAINS_FIRST, sizeof(struct known_key *));
    if (w == NULL || w->chains == NULL) {
        free(w);
        return NULL;
    }
    w->chain_count = CHAINS_FIRST;
    w->client = m->client;
    w->name = m->name;
    w->size = strlen(prefix);
    memcpy(w->prefix, prefix, w->size);
    return w;
}

int apiary_memory_watch(const apiary_memory_t *m, const char *prefix, uint64_t revision, apiary_memory_watch_t **ret)
{
    struct apiary_memory_watch *w;
    struct ap_lane_context *c;
    apiary_t *a = m != NULL ? m->client : NULL;
    int r = m != NULL ? ap_usable(a) : APIARY_EINVAL;

    if (r == 0 && (prefix == NULL || ret == NULL || strlen(prefix) > APIARY_MEMORY_KEY_MAX)) r = APIARY_EINVAL;
    if (r < 0) return r;
    c = ap_context(a, &r);
    if (c == NULL) return r;
    w = memory_watch_new(m, prefix);
    if (w == NULL || !watch_count(a, 1)) {
        if (w != NULL) free(w->chains);
        free(w);
        return APIARY_ENOBLOCK;
    }
    ap_memory_watch_raise(a->seg, c->lane.index);
    if (revision == 0) watch_anew(w);
    else if (!watch_resumes(w, revision)) w->phase = WATCH_BEHIND;
    *ret = w;
    return 0;
}

void apiary_memory_unwatch(apiary_memory_watch_t *w)
{
    if (w == NULL) return;
    if (ap_usable(w->client) == 0) (void)watch_count(w->client, -1);
    known_clear(w);
    free(w->chains);
    free(w);
}

int apiary_memory_next_change(apiary_memory_watch_t *w, uint64_t timeout, apiary_memory_change_t *ret)
{
    int r;

    if (w == NULL || ret == NULL || !ap_sized_valid(ret->struct_size, AP_FIRST_MEMORY_CHANGE)) return APIARY_EINVAL;
    r = ap_usable(w->client);
    if (r < 0) return r;
    return ap_watching(w->client, &ap_draft_at(w->client->seg, 0)->bell, timeout, watch_step, w, ret);
}
