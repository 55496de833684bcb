/* registry/discovery/names.c - an insert-only table of names. See names.h. */
#include "registry/discovery/names.h"

#include <string.h>

#include "core/name.h"
#include "registry/discovery/discovery.h"

#define WORDS_MAX 8

/* A name as the words that are stored. */
struct padded {
    uint64_t key;
    uint64_t words[WORDS_MAX];
};

static void pad(const struct ap_names *t, const char *name, size_t length, struct padded *ret)
{
    memset(ret->words, 0, t->size);
    memcpy(ret->words, name, length);
    ret->key = ap_hash(name, length);
}

static uint64_t *words_of(const struct ap_names *t, struct ap_names_row *row)
{
    return (uint64_t *)(void *)((char *)row + t->offset);
}

static bool names_same(const struct ap_names *t, struct ap_names_row *row, const struct padded *name)
{
    const uint64_t *words = words_of(t, row);

    for (uint32_t i = 0; i < t->size / 8; i++)
        if (ap_load_relaxed(&words[i]) != name->words[i]) return false;
    return true;
}

static void names_fill(const struct ap_names *t, struct ap_names_row *row, const struct padded *name)
{
    uint64_t *words = words_of(t, row);

    for (uint32_t i = 0; i < t->size / 8; i++) ap_store_relaxed(&words[i], name->words[i]);
    ap_store_release(&row->ready, 1); /* DISC-R1 pairs DISC-A1 */
}

int ap_names_intern(struct ap_segment *seg, const struct ap_names *t, const char *name, uint32_t *ret)
{
    uint64_t count = seg->sections[t->section].count, at;
    struct padded p;

    pad(t, name, strlen(name), &p);
    at = ap_names_first(p.key, count);
    for (uint64_t n = 0; n < count; n++, at = at + 1 < count ? at + 1 : 0) {
        struct ap_names_row *row = ap_at(seg, t->section, at);
        uint64_t key = ap_load_relaxed(&row->key);

        if (key == 0 && ap_cas(&row->key, &key, p.key)) key = p.key;
        if (key != p.key) continue;
        if (ap_load_acquire(&row->ready) != 1) names_fill(t, row, &p); /* DISC-A1 pairs DISC-R1 */
        if (!names_same(t, row, &p)) continue;
        *ret = (uint32_t)at;
        return 0;
    }
    return APIARY_ETABLEFULL;
}

void ap_capability_name(const struct ap_segment *seg, uint32_t capability, char ret[APIARY_CAPABILITY_MAX + 1])
{
    struct ap_capability *row = ap_capability_at(seg, capability);
    const uint64_t *words;

    memset(ret, 0, APIARY_CAPABILITY_MAX + 1);
    if (row == NULL || ap_load_acquire(&row->ready) != 1) return; /* DISC-A1 pairs DISC-R1 */
    words = (const uint64_t *)(const void *)ap_capability_text(seg, row);
    for (uint32_t i = 0; i < (APIARY_CAPABILITY_MAX + 1) / sizeof *words; i++) {
        uint64_t word = ap_load_relaxed(&words[i]);
        memcpy(ret + i * sizeof word, &word, sizeof word);
    }
    ret[APIARY_CAPABILITY_MAX] = '\0';
}
