/* Small copies: every size, at every alignment, and not a byte beside. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/copy.h"

enum { MOST = 64, ROOM = MOST + 32 };

Test(copy, every_size_and_alignment_and_nothing_beside)
{
    unsigned char from[ROOM], to[ROOM], expected[ROOM];

    for (size_t i = 0; i < ROOM; i++) from[i] = (unsigned char)(i + 1);
    for (size_t size = 0; size <= MOST; size++) {
        for (size_t at = 0; at < 16; at++) {
            memset(to, 0xee, sizeof to);
            memset(expected, 0xee, sizeof expected);
            memcpy(expected + 16 - at, from + at, size);
            ap_copy_small(to + 16 - at, from + at, size);
            cr_assert_arr_eq(to, expected, sizeof to, "size %zu at %zu", size, at);
        }
    }
}

/* An agent may answer with a part of what it was asked in, or with what lies there already. */
Test(copy, the_two_may_overlap)
{
    unsigned char bytes[ROOM], expected[ROOM];

    for (size_t size = 0; size <= MOST; size++) {
        for (size_t shift = 0; shift <= 16; shift++) {
            for (size_t i = 0; i < ROOM; i++) expected[i] = bytes[i] = (unsigned char)(i * 7);
            memmove(expected + shift, expected, size);
            ap_copy_small(bytes + shift, bytes, size);
            cr_assert_arr_eq(bytes, expected, sizeof bytes, "size %zu by %zu", size, shift);
        }
    }
}
