/* Lets Criterion run under the thread sanitizer: linked into the unit tests of that preset only.
 *
 * Criterion maps an arena at an address that it draws with rand_r, as 0x200000000000 + (r << 24), and gives up when the
 * sanitizer refuses it: most of that range is shadow memory. Here rand_r draws from what the sanitizer leaves to the
 * application on x86-64 (0x550000000000 to 0x568000000000), above the program and its heap.
 */
#include <stdlib.h>
#include <unistd.h>

#define FIRST 0x360000 /* 0x560000000000 */
#define COUNT 0x7000

__attribute__((visibility("default"))) int rand_r(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u + (unsigned)getpid();
    return (int)(FIRST + (*seed >> 8) % COUNT);
}

/* Children of the tests have threads, and so may the test have when it forks. */
const char *__tsan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
