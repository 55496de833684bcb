/* The clock of core/ops.h beside the kernel's, also when a thread is held up while it reads that. */
#include <criterion/criterion.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/ops.h"

#define MS UINT64_C(1000000)
#define LATE (20 * MS)

static uint64_t held_up; /* ns, behind the next reading of the clock */

static uint64_t kernels(void)
{
    struct timespec t;

    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* In the place of libc's: the time is read, and then another thread has the processor. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
    int r = (int)syscall(SYS_clock_gettime, id, ret);
    uint64_t until = kernels() + held_up;

    if (id != CLOCK_MONOTONIC || held_up == 0) return r;
    held_up = 0;
    while (kernels() < until) {}
    return r;
}

static void until_passed(uint64_t ns)
{
    uint64_t until = kernels() + ns;

    while (kernels() < until) ap_ops_system.now();
}

TestSuite(core_clock, .timeout = TEST_LIMIT);

Test(core_clock, held_up_while_it_is_read)
{
    uint64_t before, is;

    until_passed(5 * MS); /* it has a rate */
    held_up = LATE;
    while (held_up != 0) ap_ops_system.now();
    before = kernels();
    is = ap_ops_system.now();
    cr_expect_geq(is + LATE / 4, before, "late by %llu us", (unsigned long long)(before - is) / 1000);
    until_passed(2 * MS); /* what rate is had of the two readings */
    for (int i = 0; i < 100000; i++) {
        before = kernels();
        is = ap_ops_system.now();
        cr_assert(is + LATE / 4 >= before && is <= kernels() + LATE / 4);
    }
}
