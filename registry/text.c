/* registry/text.c - the texts of records. See registry.h. */
#include <endian.h>
#include <string.h>

#include "registry/registry.h"

/* Byte by byte, because observers copy texts while they are being written; they look at the record's life before and after.
 * Emptied from the end and filled from the front: a writer that dies leaves a part of a text, padded with zeros, and never
 * a mixture. */
void ap_text_store(char *to, const char *from, size_t size)
{
    size_t n = from != NULL ? strnlen(from, size - 1) : 0;

    for (size_t i = size; i-- > 0;)
        if (ap_load_relaxed(&to[i]) != '\0') ap_store_release(&to[i], '\0'); /* REG-R2 pairs REG-A2 */
    for (size_t i = 0; i < n; i++) ap_store_release(&to[i], from[i]); /* REG-R2 pairs REG-A2 */
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The highest bit of each byte that does not print. */
static inline uint64_t unprinted(uint64_t x)
{
    uint64_t low = x & EACH(0x7f);

    return (x | (low + EACH(0x01)) | ~(low + EACH(0x60))) & EACH(0x80); /* above 0x7f; 0x7f; below 0x20 */
}

void ap_text_copy(char *to, const char *from, size_t size)
{
    const uint64_t *words = (const uint64_t *)(const void *)from;
    uint64_t word, bad = 0;
    size_t i = 0;

    for (; i < size && bad == 0; i += sizeof word) {
        word = le64toh(ap_load_acquire(&words[i / sizeof word])); /* REG-A2 pairs REG-R2 */
        bad = unprinted(word);
        if (bad != 0) word &= (bad & -bad) / 0x80 - 1; /* what is before the first of them */
        word = htole64(word);
        memcpy(to + i, &word, sizeof word);
    }
    memset(to + i, 0, size - i);
    to[size - 1] = '\0';
}
