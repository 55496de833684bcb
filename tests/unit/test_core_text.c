/* Texts in buffers of a fixed size: whole, or visibly cut. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

Test(text, what_fits_is_whole)
{
    char buffer[8];

    cr_expect_eq(ap_format(buffer, sizeof buffer, "%s", "seventh"), 7);
    cr_expect_str_eq(buffer, "seventh");
    cr_expect_eq(ap_format(buffer, sizeof buffer, "%s", ""), 0);
    cr_expect_str_eq(buffer, "");
}

Test(text, what_does_not_is_marked)
{
    char buffer[8];

    cr_expect_eq(ap_format(buffer, sizeof buffer, "%s", "eighthly"), 7);
    cr_expect_str_eq(buffer, "eigh...");
    memset(buffer, 'x', sizeof buffer);
    cr_expect_eq(ap_format(buffer, 0, "%s", "nothing"), 0);
    cr_expect_eq(buffer[0], 'x');
    for (size_t size = 1; size <= 4; size++) {
        cr_expect_eq(ap_format(buffer, size, "%s", "nothing"), size - 1);
        cr_expect_eq(strspn(buffer, "."), size - 1);
        cr_expect_eq(strlen(buffer), size - 1);
        cr_expect_eq(buffer[size], 'x');
    }
}

Test(text, no_character_is_cut)
{
    char buffer[16];

    for (size_t size = 4; size <= sizeof buffer; size++) {
        size_t n = ap_format(buffer, size, "%s", "\xe2\x82\xac\xf0\x9f\x90\x9d\xc3\xa4\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
        size_t whole = size - 4 < 3 ? 0 : size - 4 < 7 ? 3 : size - 4 < 9 ? 7 : size - 4 < 12 ? 9 : 12;
        cr_expect_eq(n, whole + 3, "size %zu: %zu", size, n);
        cr_expect_str_eq(buffer + whole, "...");
    }
}

__attribute__((format(printf, 3, 4))) static char *whole(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    char *ret;

    va_start(args, format);
    ret = ap_vformat_whole(buffer, size, format, args);
    va_end(args);
    return ret;
}

Test(text, a_buffer_that_is_too_small_is_replaced)
{
    char buffer[8], *text;

    cr_expect_eq(whole(buffer, sizeof buffer, "%s", "seventh"), buffer);
    cr_expect_str_eq(buffer, "seventh");
    text = whole(buffer, sizeof buffer, "%s of %u", "more", 12345u);
    cr_assert_neq(text, buffer);
    cr_expect_str_eq(text, "more of 12345");
    free(text);
}

Test(text, what_somebody_gave_leaves_room_for_the_rest)
{
    cr_expect_str_eq(AP_SHOWN("short", 8), "short");
    cr_expect_str_eq(AP_SHOWN("a name that is far too long", 8), "a name t...");
}
