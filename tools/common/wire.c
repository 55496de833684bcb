/* tools/common/wire.c - see wire.h. */
#include "tools/common/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "tools/common/common.h"

static int wire_make_file(void *user)
{
    return memfd_create(user, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

int wire_file(const char *name, const char *text, size_t size)
{
    char *own = tool_strdup(name);
    int fd = ap_fd_made(wire_make_file, own);
    size_t at = 0;
    free(own);
    while (fd >= 0 && at < size) {
        ssize_t n = pwrite(fd, text + at, size - at, (off_t)at);
        if (n > 0) at += (size_t)n;
        if (n > 0 || (n < 0 && errno == EINTR)) continue;
        close(fd);
        return -1;
    }
    if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

char *wire_read(int fd, size_t *size)
{
    struct stat s;
    char *text = NULL;
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode)) {
        text = tool_alloc((size_t)s.st_size + 1);
        *size = (size_t)s.st_size;
        if (pread(fd, text, *size, 0) != s.st_size) {
            free(text);
            text = NULL;
        }
    }
    close(fd);
    return text;
}

bool wire_send(int to, int fd, uint8_t number)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec byte = {.iov_base = &number, .iov_len = 1};
    struct msghdr m = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    return sendmsg(to, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

bool wire_receive(int from, uint8_t *number, int *ret)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec room = {.iov_base = number, .iov_len = 1};
    struct msghdr m = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    int fd = -1;
    ssize_t n;
    do {
        n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    const struct cmsghdr *head = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
    *ret = fd;
    return n == 1;
}

int wire_pair(int ends[2])
{
    return ap_fd_pair(SOCK_SEQPACKET, ends);
}

void wire_answer(int to, uint8_t number, const char *sentence)
{
    struct iovec parts[] = {{.iov_base = &number, .iov_len = 1},
                            {.iov_base = (void *)(uintptr_t)sentence, .iov_len = strlen(sentence)}};
    const struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    while (sendmsg(to, &m, MSG_NOSIGNAL) < 0 && errno == EINTR) {}
}

int wire_answered(int from, uint8_t number, char *sentence, size_t size)
{
    for (;;) {
        uint8_t of;
        struct iovec parts[] = {{.iov_base = &of, .iov_len = 1}, {.iov_base = sentence, .iov_len = size - 1}};
        struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t n = recvmsg(from, &m, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return 0;
        if (n <= 0) return -1;
        sentence[n - 1] = '\0';
        if (of == number) return 1;
    }
}
