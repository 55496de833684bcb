/* tests/unit/test_core_invariant.c - a broken invariant ends the process, and nothing else does. */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/invariant.h"
#include "shm/task.h"

/* Whether a process that does this ends by itself. A sanitizer makes an exit code of the signal. */
static bool passes(void (*what)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        what();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int zero;

static void holds(void)
{
    AP_ASSERT(zero == 0);
    AP_DEBUG_ASSERT(zero == 0);
}
static void broken(void)
{
    AP_ASSERT(zero != 0);
}
static void broken_dear(void)
{
    AP_DEBUG_ASSERT(zero != 0);
}

Test(core_invariant, a_broken_one_ends_the_process)
{
    cr_expect(passes(holds));
    cr_expect_not(passes(broken));
#ifdef NDEBUG
    cr_expect(passes(broken_dear));
#else
    cr_expect_not(passes(broken_dear));
#endif
}

Test(core_invariant, one_that_is_not_looked_at_is_not_evaluated)
{
    int evaluated = 0;

    AP_DEBUG_ASSERT(++evaluated != 0);
#ifdef NDEBUG
    cr_expect_eq(evaluated, 0);
#else
    cr_expect_eq(evaluated, 1);
#endif
}

static void slabs_of_nothing(void)
{
    struct ap_lane_handle lane = {.seg = NULL};
    struct ap_slabs slabs = {.lane = &lane, .current = 1, .count = 1, .next = 0};
    uint32_t index;

    (void)ap_task_next(&slabs, NULL, NULL, &index);
}

Test(core_invariant, a_list_that_was_overwritten_is_not_gone_through)
{
    cr_expect_not(passes(slabs_of_nothing));
}
