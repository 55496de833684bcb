/* perf/body.c - what is carried, and how its receiver knows that it has got all of it. */
#include <string.h>

#include "perf/perf.h"

static uint64_t pattern(size_t i)
{
    return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

void perf_body_make(void *body, size_t size)
{
    uint8_t *to = body;

    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t v = pattern(i / 8);
        memcpy(to + i, &v, 8);
    }
    perf_body_number(body, size, 0);
}

void perf_body_number(void *body, size_t size, uint64_t number)
{
    uint8_t *to = body;
    uint64_t complement = ~number;

    if (size < 16) return;
    memcpy(to, &number, 8);
    memcpy(to + size - 8, &complement, 8);
}

/* The exclusive or of the words between; what it should be is worked out once for each size. */
static uint64_t mixed(const uint8_t *from, size_t words)
{
    uint64_t a = 0, b = 0, v, w;
    size_t i = 1;

    for (; i + 2 < words; i += 2) {
        memcpy(&v, from + i * 8, 8);
        memcpy(&w, from + i * 8 + 8, 8);
        a ^= v;
        b ^= w;
    }
    for (; i + 1 < words; i++) {
        memcpy(&v, from + i * 8, 8);
        a ^= v;
    }
    return a ^ b;
}

static uint64_t body_expected(size_t words)
{
    static size_t known_words;
    static uint64_t known;

    if (words == known_words) return known;
    known = 0;
    for (size_t i = 1; i + 1 < words; i++)
        known ^= pattern(i);
    known_words = words;
    return known;
}

bool perf_body_check(const void *body, size_t size, uint64_t *ret_number)
{
    const uint8_t *from = body;
    uint64_t number, complement;

    if (size == 0) return true;
    if (size < 16 || size % 8 != 0) return false;
    memcpy(&number, from, 8);
    memcpy(&complement, from + size - 8, 8);
    if (number != ~complement || mixed(from, size / 8) != body_expected(size / 8)) return false;
    *ret_number = number;
    return true;
}
