/* The table of errors: complete, unambiguous, and answers for any number. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/apiary.h"

static const struct {
    int value, number;
    const char *name, *text, *advice;
} table[] = {
#define X(name, number, text, advice) {name, number, #name, text, advice},
#include "core/apiary_error.def"
#undef X
};
static const size_t count = sizeof table / sizeof table[0];

Test(error, every_row_answers_with_its_texts)
{
    cr_assert_gt(count, 30);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(table[i].value, -table[i].number, "%s", table[i].name);
        cr_expect_lt(table[i].value, 0, "%s", table[i].name);
        cr_expect_str_eq(apiary_strerror(table[i].value), table[i].text);
        cr_expect_str_eq(apiary_advice(table[i].value), table[i].advice);
        cr_expect_str_eq(apiary_error_name(table[i].value), table[i].name);
        cr_expect_gt(strlen(table[i].text), 0, "%s", table[i].name);
        cr_expect_gt(strlen(table[i].advice), 0, "%s: whoever meets it asks what to do", table[i].name);
    }
}

Test(error, values_and_texts_differ)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count; k++) {
            cr_expect_neq(table[i].value, table[k].value, "%s and %s", table[i].name, table[k].name);
            cr_expect_str_neq(table[i].text, table[k].text);
        }
    }
}

Test(error, unknown_values_have_a_generic_text)
{
    static const int unknown[] = {-1000000, 1000000, 1, EAGAIN, INT32_MIN, INT32_MAX};

    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        cr_expect_str_eq(apiary_strerror(unknown[i]), "an error that this version does not know");
        cr_expect_gt(strlen(apiary_advice(unknown[i])), 0);
        cr_expect_str_eq(apiary_error_name(unknown[i]), "APIARY_UNKNOWN");
    }
}

Test(error, what_is_to_be_tried_again_after_a_time_is_a_refusal_because_of_load)
{
    uint32_t n = 0;

    for (size_t i = 0; i < count; i++) {
        bool told = strstr(table[i].advice, "retry after") != NULL;

        cr_expect_eq(apiary_retry_after(table[i].value) != 0, told, "%s: %s", table[i].name, table[i].advice);
        n += told;
    }
    cr_expect_eq(n, 7);
    cr_expect_eq(apiary_retry_after(APIARY_EQUEUEFULL), 1000000);
    cr_expect_eq(apiary_retry_after(APIARY_ENOSLOT), 10000000);
    cr_expect_eq(apiary_retry_after(0), 0);
    cr_expect_eq(apiary_retry_after(EAGAIN), 0);
}

Test(error, zero_is_no_error)
{
    cr_expect_str_eq(apiary_strerror(0), "success");
    cr_expect_str_eq(apiary_advice(0), "");
    cr_expect_str_eq(apiary_error_name(0), "0");
}

Test(error, version)
{
    cr_expect_str_eq(apiary_version(), "0.1.0");
}
