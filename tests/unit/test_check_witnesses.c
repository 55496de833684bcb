/* tests/unit/test_check_witnesses.c - where several words tell of the same, the one that is wrong is the one that is named. */
#include "check_fixture.h"

TestSuite(check_witnesses, .init = setup);

static uint32_t numbers;

/* Out of its range, above it or below it, or no power of two. */
static void refuses(const struct ap_number *n, uint32_t value)
{
    uint32_t *at = (uint32_t *)(void *)((uint8_t *)&header->geometry + n->at), old = *at;
    const struct ap_finding *f;

    cr_assert_not(ap_number_valid(n, value));
    *at = value;
    dump_memory(bytes, size, &d);
    check();
    f = find("header", 0, at, "S7");
    cr_expect(f != NULL && strstr(f->text, "is out of range") != NULL, "%s = %u: %s", n->key, value,
              f != NULL ? f->text : first_text());
    *at = old;
    dump_memory(bytes, size, &d);
    numbers++;
}

static int out_of_range(void *user, const struct ap_number *n)
{
    (void)user;
    if (n->max < UINT32_MAX) refuses(n, n->max + 1);
    if (n->min > 0) refuses(n, n->min - 1);
    if (n->power) refuses(n, 3 * (n->min > 1 ? n->min : 1));
    return 0;
}

Test(check_witnesses, every_number_has_its_range)
{
    ap_numbers_each(d.seg.parts, out_of_range, NULL);
    cr_expect_gt(numbers, 20, "%u", numbers);
}

/* Neither the thread's id nor the lock's two words are blamed for each other. */
Test(check_witnesses, one_of_three_that_tell_the_holder)
{
    struct ap_lane *l = ap_lane_at(&d.seg, 2);
    uint32_t *lock = (uint32_t *)&l->mutex.__data.__lock;

    l->tid += 1;
    check();
    cr_expect_not_null(find("lane", 2, &l->tid, "L6"));
    cr_expect_null(find("lane", 2, lock, "L6"), "the mutex' two words agree");
    l->tid -= 1;
    *lock ^= 1;
    check();
    cr_expect_not_null(find("lane", 2, lock, "L6"));
    cr_expect_null(find("lane", 2, &l->tid, "L6"), "the mutex' owner and the thread agree");
}

/* Between new cells there is no old one, wherever it stands. */
Test(check_witnesses, a_cell_of_the_lap_before)
{
    struct ap_ring *r = NULL;
    uint64_t n = 0;

    for (uint32_t i = 0; i < d.seg.sections[AP_SECTION_RINGS].count && n < 3; i++) {
        r = ap_at(&d.seg, AP_SECTION_RINGS, i);
        n = r->tail - r->head;
    }
    cr_assert_geq(n, 3, "no ring has three cells");
    for (uint64_t k = 0; k + 1 < n; k++) {
        uint64_t *cell = &r->cells[(r->head + k) % d.seg.geometry.queue_depth], old = *cell;
        uint32_t found = 0;

        *cell = old - (UINT64_C(1) << 60);
        check();
        for (uint32_t i = 0; i < all.count; i++)
            found += all.list[i].offset == (uint64_t)((uint8_t *)cell - bytes) && strcmp(all.list[i].rule, "Q4") == 0;
        cr_expect_eq(found, 1, "cell %llu: %s", (unsigned long long)k, first_text());
        *cell = old;
    }
}

/* The table alone is left to tell what lies where. */
Test(check_witnesses, a_name_without_an_end_is_ended)
{
    struct ap_section *table = header->sections;
    uint32_t named = 0;

    header->geometry.members = UINT32_MAX;
    table[AP_SECTION_MEMBERS].count = UINT64_MAX;
    for (uint32_t i = 0; i < header->section_count; i++) {
        memset(table[i].name, 'n', sizeof table[i].name);
        table[i].offset += 64; /* so that no byte of it is 0 where a name ends */
    }
    dump_memory(bytes, size, &d);
    for (uint32_t i = 0; i < header->section_count; i++) {
        const struct ap_section *s = &d.seg.sections[i];

        if (s->name[0] == '\0') continue; /* it has no place */
        named++;
        cr_expect_eq(strnlen(s->name, sizeof s->name), sizeof s->name - 1, "section %u", i);
        cr_expect_eq(s->offset, table[i].offset, "section %u", i);
    }
    cr_expect_gt(named, 5);
}
