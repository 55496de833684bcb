/* Descriptors of this project: above the standard ones whatever is closed, close-on-exec, and out of reach of what others print. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/atomic.h"
#include "core/descriptor.h"
#include "core/uring.h"

enum { FINE, BELOW, INHERITED, LEFT, REFUSED };

static int judge(int fd)
{
    if (fd < 0) return REFUSED;
    if (fd < 3) return BELOW;
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 ? FINE : INHERITED;
}

static int make(int kind)
{
    struct io_uring ring;
    sigset_t set;
    int ends[2];

    sigemptyset(&set);
    switch (kind) {
    case 0: return ap_fd_open("/proc/self/stat", O_RDONLY, 0);
    case 1: return ap_fd_open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    case 2: return ap_fd_event();
    case 3: return ap_fd_process(getpid());
    case 4: return ap_fd_signals(&set);
    case 5: return ap_fd_socket(AF_UNIX, SOCK_DGRAM, 0);
    case 6: return ap_fd_pipe(ends) == 0 && judge(ends[0]) == FINE ? ends[1] : -1;
    case 7: return ap_uring_open(&ring, 8) == 0 ? ring.ring_fd : 1000; /* where rings are forbidden nothing can be said */
    default: return -1;
    }
}

/* In a child: it closes what `closed` has as bits. */
static int child(int kind, unsigned closed)
{
    unsigned still = 0;
    int fd, verdict;

    for (int i = 0; i < 3; i++)
        if ((closed >> i & 1) != 0) close(i);
    fd = make(kind);
    verdict = fd == 1000 ? FINE : judge(fd);
    for (unsigned i = 0; i < 3; i++)
        if (fcntl((int)i, F_GETFD) < 0) still |= 1u << i;
    return verdict == FINE && still != closed ? LEFT : verdict;
}

Test(descriptor, none_is_below_3_and_none_is_inherited)
{
    for (int kind = 0; kind < 8; kind++)
        for (unsigned closed = 0; closed < 8; closed++) {
            int status = 0;
            pid_t pid = fork();

            if (pid == 0) _exit(child(kind, closed));
            cr_assert_eq(waitpid(pid, &status, 0), pid);
            cr_expect_eq(status, 0, "kind %d, closed %u: status 0x%x", kind, closed, (unsigned)status);
        }
}

static uint32_t stop;

static void *print(void *user)
{
    (void)user;
    while (ap_load_relaxed(&stop) == 0)
        if (write(STDERR_FILENO, "message", 7) >= 0) return (void *)1;
    return NULL;
}

/* A thread that prints all the time to a closed standard error finds no moment in which it is a file of ours. */
static int printed_beside(void)
{
    pthread_t thread;
    struct stat st;
    void *wrote = NULL;

    close(STDERR_FILENO);
    if (pthread_create(&thread, NULL, print, NULL) != 0) return 2;
    for (int i = 0; i < 20000; i++) {
        int fd = ap_fd_open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_size != 0) return 3;
        close(fd);
    }
    ap_store_relaxed(&stop, 1);
    pthread_join(thread, &wrote);
    return wrote == NULL ? 0 : 4;
}

Test(descriptor, what_another_thread_prints_meanwhile_is_not_in_it)
{
    int status = 0;
    pid_t pid;

#ifdef __SANITIZE_THREAD__
    cr_skip_test("the thread sanitizer calls the use of a number that is closed meanwhile a race, which it is");
#endif
    pid = fork();
    if (pid == 0) _exit(printed_beside());
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0, "status 0x%x", (unsigned)status);
}

Test(descriptor, errors_are_the_kernels)
{
    int ends[2] = {-7, -7};
    struct rlimit limit;

    cr_expect_eq(ap_fd_open("/nowhere/at/all", O_RDONLY, 0), -1);
    cr_expect_eq(errno, ENOENT);
    cr_expect_eq(ap_fd_duplicate(-1), -1);
    cr_expect_eq(errno, EBADF);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 3;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_expect_eq(ap_fd_pipe(ends), -1);
    cr_expect_eq(errno, EMFILE);
    cr_expect_eq(ends[0], -7);
    cr_expect_eq(ap_fd_event(), -1);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

Test(descriptor, all_are_closed_but_what_is_kept)
{
    const int keep[] = {1, 40, 42};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        for (int fd = 39; fd < 45; fd++)
            if (fcntl(STDIN_FILENO, F_DUPFD, fd) != fd) close(fd), fcntl(STDIN_FILENO, F_DUPFD, fd);
        ap_fd_close_from(3, keep, 3);
        _exit(is_open(0) && is_open(1) && is_open(2) && !is_open(3) && !is_open(39) && is_open(40) && !is_open(41) &&
                      is_open(42) && !is_open(43) && !is_open(44)
                  ? 0
                  : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0);
}
