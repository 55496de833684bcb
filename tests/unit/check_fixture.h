/* tests/unit/check_fixture.h - a copy of a segment that has everything in it, and fields of it forged one after another. */
#ifndef CHECK_FIXTURE_H
#define CHECK_FIXTURE_H

#include <criterion/criterion.h>

#include "tests/process/corrupt_make.h"
#include "tools/dump/dump.h"

static uint8_t *bytes;
static uint64_t size;
static struct dump d;
static struct ap_header *header;

struct found {
    uint32_t count;
    struct ap_finding list[4096];
};
static struct found all;

static void on_finding(void *user, const struct ap_finding *f)
{
    struct found *to = user;
    if (to->count < 4096) to->list[to->count++] = *f;
}

static inline struct ap_report check(void)
{
    struct ap_report report = {.found = on_finding, .user = &all};

    all.count = 0;
    dump_check(&d, &report);
    return report;
}

static inline void setup(void)
{
    bytes = make_segment(NULL, &size);
    dump_memory(bytes, size, &d);
    header = (struct ap_header *)bytes;
}

static inline const struct ap_finding *find(const char *structure, uint64_t index, const void *field, const char *rule)
{
    uint64_t offset = (uint64_t)((const uint8_t *)field - bytes);

    for (uint32_t i = 0; i < all.count; i++) {
        const struct ap_finding *f = &all.list[i];
        if (f->index != index || f->offset != offset) continue;
        if (strcmp(f->structure, structure) == 0 && strcmp(f->rule, rule) == 0) return f;
    }
    return NULL;
}

static inline const char *first_text(void)
{
    static char text[256];
    const struct ap_finding *f = &all.list[0];

    if (all.count == 0) return "none";
    snprintf(text, sizeof text, "%s %llu offset %llu %s: %s", f->structure, (unsigned long long)f->index,
             (unsigned long long)f->offset, f->rule, f->text);
    return text;
}

/* Stores `value`, expects the finding at the field, and puts the old value back, after which all is sound again. */
#define FORGE(field, value, what, number, which, grade)                                                                  \
    do {                                                                                                                 \
        __typeof__(field) forge_old = (field);                                                                           \
        const struct ap_finding *forge_found;                                                                            \
        (field) = (__typeof__(field))(value);                                                                            \
        dump_memory(bytes, size, &d);                                                                                    \
        check();                                                                                                         \
        forge_found = find(what, number, &(field), which);                                                               \
        cr_expect_not_null(forge_found, "%s = %s: %u findings, the first: %s", #field, #value, all.count, first_text()); \
        if (forge_found != NULL)                                                                                         \
            cr_expect_eq(forge_found->severity, grade, "%s = %s: %s", #field, #value, forge_found->text);                \
        (field) = forge_old;                                                                                             \
        dump_memory(bytes, size, &d);                                                                                    \
    } while (0)
/* Stores `value`, expects no finding, and puts the old value back. */
#define SOUND(field, value)                                                                                     \
    do {                                                                                                        \
        __typeof__(field) sound_old = (field);                                                                  \
        (field) = (__typeof__(field))(value);                                                                   \
        dump_memory(bytes, size, &d);                                                                           \
        check();                                                                                                \
        cr_expect_eq(all.count, 0, "%s = %s: %u findings, the first: %s", #field, #value, all.count, first_text()); \
        (field) = sound_old;                                                                                    \
        dump_memory(bytes, size, &d);                                                                           \
    } while (0)
#define CORRUPTS(field, value, what, number, which) FORGE(field, value, what, number, which, AP_CORRUPT)
#define REPAIRS(field, value, what, number, which) FORGE(field, value, what, number, which, AP_REPAIRABLE)

#endif
