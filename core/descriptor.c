/* core/descriptor.c - see descriptor.h. */
#include "core/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST 3

/* ---- the standard numbers, held -------------------------------------------------------------------------------- */

struct held {
    int fds[FIRST], count;
};

static void hold(struct held *held)
{
    held->count = 0;
    for (int i = 0; i < FIRST; i++)
        if (fcntl(i, F_GETFD) < 0) held->fds[held->count++] = open("/", O_PATH | O_CLOEXEC);
}

static void descriptor_let_go(const struct held *held)
{
    int error = errno;

    for (int i = 0; i < held->count; i++)
        if (held->fds[i] >= 0) close(held->fds[i]);
    errno = error;
}

int ap_fd_duplicate(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, FIRST);
}

/* Another thread may have closed a standard descriptor after it was looked at. */
static int above(int fd)
{
    int moved, error;

    if (fd < 0 || fd >= FIRST) return fd;
    moved = ap_fd_duplicate(fd);
    error = errno;
    close(fd);
    errno = error;
    return moved;
}

int ap_fd_made(int (*make)(void *user), void *user)
{
    struct held held;
    int fd;

    hold(&held);
    fd = above(make(user));
    descriptor_let_go(&held);
    return fd;
}

/* ---- what is made ---------------------------------------------------------------------------------------------- */

struct file {
    int folder, flags;
    const char *path;
    mode_t mode;
};

static int make_file(void *user)
{
    const struct file *f = user;

    return openat(f->folder, f->path, f->flags | O_CLOEXEC, f->mode);
}

int ap_fd_openat(int folder, const char *path, int flags, mode_t mode)
{
    struct file f = {.folder = folder, .flags = flags, .path = path, .mode = mode};

    return ap_fd_made(make_file, &f);
}

int ap_fd_open(const char *path, int flags, mode_t mode)
{
    return ap_fd_openat(AT_FDCWD, path, flags, mode);
}

static int make_event(void *user)
{
    (void)user;
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int ap_fd_event(void)
{
    return ap_fd_made(make_event, NULL);
}

static int make_process(void *user)
{
    return (int)syscall(SYS_pidfd_open, *(const pid_t *)user, 0u);
}

int ap_fd_process(pid_t pid)
{
    return ap_fd_made(make_process, &pid);
}

static int make_signals(void *user)
{
    return signalfd(-1, user, SFD_CLOEXEC | SFD_NONBLOCK);
}

int ap_fd_signals(const sigset_t *set)
{
    sigset_t copy = *set;

    return ap_fd_made(make_signals, &copy);
}

static int make_socket(void *user)
{
    const int *s = user;

    return socket(s[0], s[1] | SOCK_CLOEXEC, s[2]);
}

int ap_fd_socket(int domain, int type, int protocol)
{
    int s[] = {domain, type, protocol};

    return ap_fd_made(make_socket, s);
}

static int descriptor_two(int (*make)(int made[2], int type), int type, int ends[2])
{
    struct held held;
    int made[2] = {-1, -1}, error;

    hold(&held);
    if (make(made, type) == 0) {
        made[0] = above(made[0]);
        made[1] = above(made[1]);
    }
    descriptor_let_go(&held);
    if (made[0] >= 0 && made[1] >= 0) {
        ends[0] = made[0];
        ends[1] = made[1];
        return 0;
    }
    error = errno;
    for (int i = 0; i < 2; i++)
        if (made[i] >= 0) close(made[i]);
    errno = error;
    return -1;
}

static int make_pipe(int made[2], int type)
{
    (void)type;
    return pipe2(made, O_CLOEXEC);
}

static int make_pair(int made[2], int type)
{
    return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, made);
}

int ap_fd_pipe(int ends[2])
{
    return descriptor_two(make_pipe, 0, ends);
}

int ap_fd_pair(int type, int ends[2])
{
    return descriptor_two(make_pair, type, ends);
}

/* ---- what is not wanted ---------------------------------------------------------------------------------------- */

static void close_range_of(unsigned first, unsigned last)
{
    struct rlimit limit;

    if (first > last || syscall(SYS_close_range, first, last, 0u) == 0) return;
    /* A sandbox without close_range: one by one, to the limit. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= last) last = (unsigned)limit.rlim_cur - 1;
    if (last > 65535) last = 65535;
    for (unsigned fd = first; fd <= last; fd++) close((int)fd);
}

void ap_fd_close_from(int first, const int *keep, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (keep[i] < first) continue;
        if (keep[i] > first) close_range_of((unsigned)first, (unsigned)keep[i] - 1);
        first = keep[i] + 1;
    }
    close_range_of((unsigned)first, UINT_MAX);
}
