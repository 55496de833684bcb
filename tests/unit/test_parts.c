/* tests/unit/test_parts.c - each row of the table of parts says all that is asked of it. See shm/part.h. */
#include <criterion/criterion.h>
#include <string.h>

#include "registry/registry.h"
#include "tools/dump/dump.h"

static const struct ap_parts *const parts = &ap_registry_parts;

Test(parts, each_row_is_whole)
{
    for (uint32_t i = 0; i < parts->count; i++) {
        const struct ap_part *p = parts->rows[i];

        cr_assert_not_null(p, "section %u has no row", i);
        cr_assert(p->name != NULL && p->name[0] != '\0' && strlen(p->name) < 16, "section %u has no name", i);
        cr_expect(p->element != NULL && strlen(p->element) < 16, "%s: what is one of them called?", p->name);
        cr_expect_neq(p->size == 0, p->stride == NULL, "%s: either a size or a stride", p->name);
        cr_expect_not_null(p->fields, "%s: fields, or AP_NO_FIELDS", p->name);
        cr_assert_not_null(p->numbers, "%s: numbers, or AP_NO_NUMBERS", p->name);
        cr_expect(p->count != NULL || p->numbers[0].counts, "%s: neither a count nor a number tells how many there are", p->name);
        cr_expect_not_null(p->look, "%s: a checker, or ap_look_nothing", p->name);
        cr_expect(p->withdraw != NULL && p->settle != NULL, "%s: its part of a recovery, or ap_part_nothing", p->name);
        cr_expect(p->size == 0 || p->size == 1 || p->size % 8 == 0, "%s: elements of whole words", p->name);
        for (uint32_t k = 0; k < i; k++) cr_expect_str_neq(parts->rows[k]->name, p->name, "two sections called %s", p->name);
    }
}

/* What is not among the fields may be changed without another fingerprint, so another build would read it wrongly. */
Test(parts, fields_lie_inside_and_apart)
{
    for (uint32_t i = 0; i < parts->count; i++) {
        const struct ap_part *p = parts->rows[i];

        for (const struct ap_field *f = p->fields; f->name != NULL; f++) {
            cr_expect(f->size > 0 && (p->size == 0 || f->offset + f->size <= p->size), "%s", f->name);
            for (const struct ap_field *g = p->fields; g != f; g++)
                cr_expect(g->offset + g->size <= f->offset || f->offset + f->size <= g->offset, "%s and %s", g->name, f->name);
        }
    }
}

struct seen {
    const struct ap_number *before[64];
    size_t count;
};

static int number(void *user, const struct ap_number *n)
{
    struct seen *s = user;
    struct ap_geometry g = {.task_timeout = 1}, all = {.task_timeout = 1};

    cr_expect(n->what != NULL && strlen(n->what) > 5, "%s: what is it for?", n->key);
    cr_expect(ap_number_valid(n, n->otherwise), "%s: the default %u", n->key, n->otherwise);
    cr_expect(n->max == UINT32_MAX || !ap_number_valid(n, n->max + 1), "%s", n->key);
    cr_expect(n->at + 4 <= sizeof g, "%s", n->key);
    for (size_t i = 0; i < s->count; i++) {
        cr_expect_neq(s->before[i]->at, n->at, "%s and %s are one number", s->before[i]->key, n->key);
        cr_expect_str_neq(s->before[i]->key, n->key);
    }
    s->before[s->count++] = n;
    ap_number_set(&g, n, n->max);
    cr_expect_eq(ap_geometry_normalise(parts, &g, NULL, 0), n->power && (n->max & (n->max - 1)) != 0 ? APIARY_EINVAL : 0);
    cr_expect_eq(ap_number_of(&g, n), n->max, "%s", n->key);
    if (n->max == UINT32_MAX) return 0; /* any number */
    ap_number_set(&all, n, n->max + 1);
    cr_expect_eq(ap_geometry_normalise(parts, &all, NULL, 0), APIARY_EINVAL, "%s: %u", n->key, n->max + 1);
    return 0;
}

Test(parts, each_number_has_a_place_a_default_and_bounds)
{
    struct seen s = {.count = 0};

    cr_assert_eq(ap_numbers_each(parts, number, &s), 0);
    cr_expect_gt(s.count, 10);
}

/* A number that the sections tell is found again in them, so that one witness can mend the other. */
static int told(void *user, const struct ap_number *n)
{
    struct ap_geometry g = {.task_timeout = 1};
    struct ap_section sections[AP_SECTIONS_MAX];

    (void)user;
    ap_number_set(&g, n, n->power || n->max < 64 ? n->min * 4 : n->max / 64 * 64);
    cr_assert_eq(ap_geometry_normalise(parts, &g, NULL, 0), 0, "%s", n->key);
    ap_layout_sections(parts, &g, sections);
    for (uint32_t i = 0; i < parts->count; i++)
        for (const struct ap_number *other = parts->rows[i]->numbers; other->key != NULL; other++) {
            if (!other->counts && other->told == NULL) continue;
            cr_expect_eq(ap_number_told(other, i, sections, ap_number_of(&g, other)), ap_number_of(&g, other), "%s", other->key);
            if (other == n)
                cr_expect_eq(ap_number_told(other, i, sections, n->otherwise), ap_number_of(&g, n), "%s: told %llu", n->key,
                             (unsigned long long)ap_number_told(other, i, sections, n->otherwise));
        }
    return 0;
}

Test(parts, the_sections_tell_the_numbers)
{
    ap_numbers_each(parts, told, NULL);
}

/* Another name, order, size or field is another layout. */
Test(parts, the_fingerprint_is_that_of_every_row)
{
    static const struct ap_field none[] = {{NULL, 0, 0}};
    uint64_t whole = ap_layout_fingerprint(parts);

    for (uint32_t i = 0; i < parts->count; i++) {
        const struct ap_part *rows[AP_SECTIONS_MAX];
        const struct ap_parts changed = {.rows = rows, .count = parts->count};
        struct ap_part row = *parts->rows[i];

        memcpy(rows, parts->rows, sizeof rows[0] * parts->count);
        rows[i] = &row;
        cr_expect_eq(ap_layout_fingerprint(&changed), whole);
        row.name = "another";
        cr_expect_neq(ap_layout_fingerprint(&changed), whole, "%s", parts->rows[i]->name);
        row = *parts->rows[i];
        row.size += 8;
        cr_expect_neq(ap_layout_fingerprint(&changed), whole, "%s", row.name);
        row = *parts->rows[i];
        if (row.fields[0].name == NULL) continue;
        row.fields = none;
        cr_expect_neq(ap_layout_fingerprint(&changed), whole, "%s", row.name);
    }
}
