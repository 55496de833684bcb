/* core/copy.h - copies and comparisons of a few bytes without a call.
 *
 * Most bodies are small. For them the C library takes longer to choose among its ways of copying than to copy. Here a size is
 * covered by blocks of a power of two from both of its ends, which may overlap.
 */
#ifndef AP_COPY_H
#define AP_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t ap_copy_16 __attribute__((vector_size(16)));

/* Reads everything before it writes, so the two may overlap. */
#define AP_COPY_ENDS(type, to, from, size)                                \
    do {                                                                  \
        type head_, tail_;                                                \
        memcpy(&head_, (from), sizeof head_);                             \
        memcpy(&tail_, (from) + (size) - sizeof tail_, sizeof tail_);     \
        memcpy((to), &head_, sizeof head_);                               \
        memcpy((to) + (size) - sizeof tail_, &tail_, sizeof tail_);       \
    } while (0)

static inline void ap_copy_33_to_64(char *to, const char *from, size_t size)
{
    ap_copy_16 a, b, c, d;

    memcpy(&a, from, 16);
    memcpy(&b, from + 16, 16);
    memcpy(&c, from + size - 32, 16);
    memcpy(&d, from + size - 16, 16);
    memcpy(to, &a, 16);
    memcpy(to + 16, &b, 16);
    memcpy(to + size - 32, &c, 16);
    memcpy(to + size - 16, &d, 16);
}

/* At most 64 bytes. */
static inline void ap_copy_small(void *to, const void *from, size_t size)
{
    char *t = to;
    const char *f = from;

    if (size > 32) ap_copy_33_to_64(t, f, size);
    else if (size >= 16) AP_COPY_ENDS(ap_copy_16, t, f, size);
    else if (size >= 8) AP_COPY_ENDS(uint64_t, t, f, size);
    else if (size >= 4) AP_COPY_ENDS(uint32_t, t, f, size);
    else if (size >= 2) AP_COPY_ENDS(uint16_t, t, f, size);
    else if (size == 1) *t = *f;
}

/* Whether two areas of the same size are equal. */
static inline int ap_same_small(const void *one, const void *other, size_t size)
{
    const char *a = one, *b = other;
    uint64_t x, y, differ = 0;

    if (size < 8) return memcmp(a, b, size) == 0;
    for (size_t i = 0; i + 8 < size; i += 8) {
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        differ |= x ^ y;
    }
    memcpy(&x, a + size - 8, 8);
    memcpy(&y, b + size - 8, 8);
    return (differ | (x ^ y)) == 0;
}

#endif
