/* tests/unit/memory_fixture.h - a small segment with a name space of its memory, whose clock the test sets forward. */
#ifndef MEMORY_FIXTURE_H
#define MEMORY_FIXTURE_H

#include "tests/unit/registry_fixture.h"

#include "registry/memory/watch.h"

#ifndef ROWS
#define ROWS 40u
#endif
#ifndef CHANGES
#define CHANGES 16u
#endif

static apiary_memory_t *m;
static uint64_t ahead; /* ns, by which the handle's clock is before the machine's */
static struct ap_ops shifted;
static uint32_t bytes_most; /* of a name space; 0: no bound */
static void (*otherwise)(struct ap_geometry *g); /* what the segment has otherwise; NULL: nothing */

static inline uint64_t memory_now(void)
{
    return ap_ops_system.now() + ap_load_relaxed(&ahead);
}

static inline void memory_setup_quota(uint32_t quota)
{
    struct ap_geometry g = small;

    g.registry[AP_REGISTRY_INDEX(VALUES)] = ROWS;
    g.registry[AP_REGISTRY_INDEX(MEMORY)] = quota;
    g.registry[AP_REGISTRY_INDEX(CHANGES)] = CHANGES;
    g.registry[AP_REGISTRY_INDEX(DRAFTS)] = bytes_most;
    if (otherwise != NULL) otherwise(&g);
    segment_make(&g);
    client = attach_as("caller");
    shifted = ap_ops_system;
    shifted.now = memory_now;
    client->seg->ops = &shifted;
    cr_assert_eq(apiary_memory_open(client, "space", 0, &m), 0);
}

static inline void memory_setup(void)
{
    memory_setup_quota(0);
}

static inline void memory_teardown(void)
{
    assert_sound();
    apiary_memory_close(m);
    fixture_teardown();
}
static char got[APIARY_MEMORY_VALUE_MAX + 1];
static apiary_memory_value_t value;

/* The text of a key; NULL: it is absent. */
static inline const char *text_of(const char *key)
{
    int r;

    value = (apiary_memory_value_t){.struct_size = sizeof value};
    r = apiary_memory_get(m, key, got, sizeof got - 1, &value);
    cr_assert(r == 0 || r == APIARY_ENOKEY, "%s: %d", key, r);
    if (r < 0) return NULL;
    got[value.size] = '\0';
    return got;
}

static inline int put(const char *key, const char *text)
{
    return apiary_memory_put(m, key, text, strlen(text), 0, NULL);
}

static inline uint32_t rows_used(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < client->seg->sections[AP_SECTION_VALUES].count; i++)
        n += AP_VALUE_STATE(ap_load_relaxed(&ap_value_at(client->seg, i)->life)) == AP_VALUE_USED;
    return n;
}

static uint32_t repairable, corrupt;

static inline void counted(void *user, const struct ap_finding *f)
{
    if (strcmp(f->rule, user) != 0) return; /* what follows from it */
    if (f->severity == AP_REPAIRABLE) repairable++;
    else corrupt++;
}

static inline void check_says(const char *rule, bool mended)
{
    struct ap_report report = {.found = counted, .user = (void *)(uintptr_t)rule};

    repairable = corrupt = 0;
    ap_check_all(client->seg, &report);
    cr_expect_eq(repairable > 0, mended, "%s", rule);
    cr_expect_eq(corrupt > 0, !mended, "%s", rule);
}

#define SAYS(word, now_is, rule, mended)       \
    do {                                       \
        __typeof__(word) was_ = (word);        \
        (word) = (__typeof__(word))(now_is);   \
        check_says(rule, mended);              \
        (word) = was_;                         \
        assert_sound();                        \
    } while (0)

#endif
