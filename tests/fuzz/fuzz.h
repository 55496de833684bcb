/* tests/fuzz/fuzz.h - what a fuzz target is, and what its drivers give it.
 *
 * A target is one file fuzz_X.c with one property, fuzz_one: whatever the bytes, nothing but an error or a wrong answer comes of
 * them. It ends the process (FUZZ_REQUIRE, a sanitizer, a guard page) when the property does not hold. The drivers are
 * libFuzzer (the preset `fuzz`) and, everywhere else, driver.c: it replays files and runs seeded random mutations of them.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FUZZ_REQUIRE(condition)                                                                        \
    do {                                                                                               \
        if (!(condition)) {                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                                   \
        }                                                                                              \
    } while (0)

extern const char fuzz_target[];  /* "attach" */
extern const size_t fuzz_longest; /* bytes of an input that mean something */
void fuzz_one(const uint8_t *data, size_t size);

/* Shared mappings have inaccessible memory on both sides, and naps last no time: see guard.c, which the linker puts in the
 * place of mmap, munmap, nanosleep and sched_yield. How many bytes of shared mappings there are. */
size_t fuzz_mapped(void);

/* Reads all of it: what does not lie in memory is noticed here. */
static inline uint32_t fuzz_touch(const void *at, size_t size)
{
    const uint8_t *bytes = at;
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i++) sum = sum * 31 + bytes[i];
    return sum;
}

/* Input as a stream of numbers; zeros behind its end. */
struct fuzz_input {
    const uint8_t *at;
    size_t left;
};
static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
    if (in->left == 0) return 0;
    in->left--;
    return *in->at++;
}
static inline uint64_t fuzz_number(struct fuzz_input *in, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++) n |= (uint64_t)fuzz_byte(in) << 8 * i;
    return n;
}

#endif
