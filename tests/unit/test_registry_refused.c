/* Attach where the system does not do what recovery, or the meaning of deadlines, rests on: it refuses, and says why. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "registry/registry.h"
#include "tests/support/forbid.h"
#include "tests/support/leftovers.h"

static struct ap_segment *seg;
static char name[64];

static void setup(void)
{
    struct ap_segment_options options = {.name = name, .geometry = {.members = 4, .lanes = 8, .tasks = 64}};
    char message[256] = "";

    leftovers_clear("apiary-test-refused");
    snprintf(name, sizeof name, "/apiary-test-refused-%d", (int)getpid());
    cr_assert_eq(ap_registry_create(&options, message, sizeof message, &seg), 0, "%s", message);
}

static void teardown(void)
{
    ap_segment_unmap(seg);
    cr_expect_eq(ap_segment_remove(name), 0);
}

TestSuite(refused, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static void forbid(uint32_t number, uint32_t second)
{
    if (!forbid_call(number, second, FORBID_ERROR(EPERM))) _exit(77);
}

struct attempt {
    int result;
    char message[512];
};

static void *attach(void *user)
{
    struct attempt *t = user;
    apiary_attach_options_t o = {.struct_size = sizeof o, .message = t->message, .message_size = sizeof t->message};
    apiary_t *a = NULL;

    t->result = apiary_attach(name, &o, &a);
    if (t->result == 0) apiary_detach(a);
    return NULL;
}

/* What a child gets after `before`, in a thread that is started after that, if asked for. */
static struct attempt attempt_after(void (*before)(void), bool in_thread)
{
    struct attempt t = {.result = 1};
    int told[2], status;
    pid_t pid;

    cr_assert_eq(pipe(told), 0);
    pid = fork();
    if (pid == 0) {
        pthread_t thread;

        before();
        if (!in_thread) attach(&t);
        else if (pthread_create(&thread, NULL, attach, &t) != 0 || pthread_join(thread, NULL) != 0) _exit(1);
        _exit(write(told[1], &t, sizeof t) == sizeof t ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) cr_skip_test("no right to do that");
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    cr_assert_eq(read(told[0], &t, sizeof t), (ssize_t)sizeof t);
    close(told[0]);
    close(told[1]);
    return t;
}

static void no_set_robust_list(void)
{
    forbid(SYS_set_robust_list, FORBID_ANY);
}

Test(refused, a_thread_whose_death_the_kernel_would_not_mark)
{
    struct attempt t;

#if defined(__SANITIZE_THREAD__)
    cr_skip_test("the thread sanitizer allows no threads in a forked process");
#endif
    t = attempt_after(no_set_robust_list, true);
    cr_assert_eq(t.result, APIARY_ENOTSUP, "%d: %s", t.result, t.message);
    cr_assert_not_null(strstr(t.message, "set_robust_list"), "%s", t.message);
    /* The main thread's list was known before. */
    t = attempt_after(no_set_robust_list, false);
    cr_assert_eq(t.result, 0, "%s", t.message);
}

static void no_get_robust_list(void)
{
    forbid(SYS_get_robust_list, FORBID_ANY);
}

Test(refused, a_thread_of_which_the_kernel_does_not_say_whether_it_would_be_marked)
{
    struct attempt t = attempt_after(no_get_robust_list, false);

    cr_assert_eq(t.result, APIARY_ENOTSUP, "%d: %s", t.result, t.message);
    cr_assert_not_null(strstr(t.message, "get_robust_list"), "%s", t.message);
}

static void no_locks(void)
{
    forbid(SYS_fcntl, F_OFD_SETLK);
}

static void no_looks(void)
{
    forbid(SYS_fcntl, F_OFD_GETLK);
}

Test(refused, a_process_whose_end_no_lock_would_tell)
{
    struct attempt t = attempt_after(no_locks, false);

    cr_assert_eq(t.result, APIARY_ENOTSUP, "%d: %s", t.result, t.message);
    cr_assert_not_null(strstr(t.message, "F_OFD_SETLK"), "%s", t.message);
    t = attempt_after(no_looks, false);
    cr_assert_eq(t.result, APIARY_ENOTSUP, "%d: %s", t.result, t.message);
}

static void no_futex(void)
{
    forbid(SYS_futex, FUTEX_WAKE);
}

Test(refused, a_process_that_could_wake_nobody)
{
    struct attempt t = attempt_after(no_futex, false);

    cr_assert_eq(t.result, APIARY_ENOTSUP, "%d: %s", t.result, t.message);
    cr_assert_not_null(strstr(t.message, "futex"), "%s", t.message);
}

static void other_time(const char *offset)
{
    int status, fd;
    pid_t pid;

    if (unshare(CLONE_NEWTIME) < 0) _exit(77);
    fd = open("/proc/self/timens_offsets", O_WRONLY);
    if (fd < 0 || write(fd, offset, strlen(offset)) < 0) _exit(77);
    close(fd);
    pid = fork(); /* which is in it */
    if (pid == 0) return;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) _exit(1);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void shifted_time(void)
{
    other_time("monotonic 1000 0");
}

static void same_time(void)
{
    other_time("monotonic 0 0");
}

Test(refused, another_time)
{
    struct attempt t = attempt_after(shifted_time, false);

    cr_assert_eq(t.result, APIARY_ETIMENS, "%d: %s", t.result, t.message);
    cr_assert_not_null(strstr(t.message, "+1000 s"), "%s", t.message);
    t = attempt_after(same_time, false);
    cr_assert_eq(t.result, 0, "a namespace of its own that shows the same time: %s", t.message);
}
