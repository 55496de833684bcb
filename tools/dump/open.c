/* tools/dump/open.c - from a name or a file to bytes; and the checkers. See dump.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/text.h"
#include "tools/dump/dump.h"

#define PAGE 4096u

static int dump_open_refuse(int error, char *message, size_t size, const char *what, const char *why)
{
    if (message != NULL) ap_format(message, size, "%s: %s", AP_SHOWN(what, 200), why);
    return error;
}

void dump_memory(void *base, uint64_t size, struct dump *ret)
{
    const struct ap_header *h = base;

    memset(ret, 0, sizeof *ret);
    ap_segment_salvage(base, size, &ap_registry_parts, &ret->seg);
    ret->seg.fingerprint = ap_layout_fingerprint(&ap_registry_parts);
    ret->registry = ap_registry_fits(&ret->seg);
    ret->plausible = memcmp(h->magic, AP_SEGMENT_MAGIC, sizeof h->magic) == 0 || h->fingerprint == ret->seg.fingerprint;
}

/* Zeros behind the end of a short file: the header's page is always whole. */
static int copy_in(int fd, uint64_t size, const char *source, struct dump *ret, char *message, size_t message_size)
{
    size_t room = (size + PAGE - 1) / PAGE * PAGE, got = 0;
    uint8_t *base;

    if (size == 0) return dump_open_refuse(APIARY_ENOTOURS, message, message_size, source, "it is empty, so it is not a segment");
    /* A hole of terabytes costs nothing on a disk, but here it would. */
    if (room / PAGE > (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / PAGE / 2)
        return dump_open_refuse(APIARY_ENOBLOCK, message, message_size, source, "more than half of this machine's memory");
    base = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return dump_open_refuse(APIARY_ENOBLOCK, message, message_size, source, "too large for this machine's memory");
    while (got < size) {
        ssize_t n = pread(fd, base + got, size - got < (1u << 26) ? size - got : 1u << 26, (off_t)got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            munmap(base, room);
            return dump_open_refuse(APIARY_ESYS, message, message_size, source, strerror(errno));
        }
        if (n == 0) break; /* cut short since */
        got += (size_t)n;
        /* Before the rest of some large file is read. */
        if (got >= PAGE || got == size) {
            dump_memory(base, got, ret);
            if (!ret->plausible) break;
        }
    }
    dump_memory(base, got, ret);
    ret->base = base;
    ret->mapped = room;
    return 0;
}

static int map_in(int fd, uint64_t size, const char *source, struct dump *ret, char *message, size_t message_size)
{
    void *base;

    if (size < PAGE) return copy_in(fd, size, source, ret, message, message_size);
    base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) return dump_open_refuse(APIARY_ESYS, message, message_size, source, strerror(errno));
    dump_memory(base, size, ret);
    ret->base = base;
    ret->mapped = size;
    ret->live = true;
    ret->seg.fd = ap_fd_duplicate(fd); /* of the living it can be asked who lives; a copy says nothing about that */
    return 0;
}

/* "/x" is a segment's name first, then a file's; "x" is a file if there is one. */
static int open_source(const char *source, bool *ret_live)
{
    char path[256], *real;
    bool name = source[0] == '/' && source[1] != '\0' && strchr(source + 1, '/') == NULL;
    int fd = name ? shm_open(source, O_RDONLY | O_CLOEXEC, 0) : -1;

    *ret_live = fd >= 0;
    if (fd >= 0 || (name && errno != ENOENT)) return fd;
    fd = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT && strchr(source, '/') == NULL &&
        snprintf(path, sizeof path, "/%s", source) < (int)sizeof path) {
        fd = shm_open(path, O_RDONLY | O_CLOEXEC, 0);
        *ret_live = fd >= 0;
        return fd;
    }
    real = fd >= 0 ? realpath(source, NULL) : NULL;
    *ret_live = real != NULL && strncmp(real, "/dev/shm/", 9) == 0;
    free(real);
    return fd;
}

int dump_open(const char *source, struct dump *ret, char *message, size_t size)
{
    struct stat st;
    bool live;
    int fd, r;

    if (source[0] == '\0') return dump_open_refuse(APIARY_EINVAL, message, size, "''", "no name and no file");
    fd = open_source(source, &live);
    if (fd < 0) {
        if (errno == ENOENT) return dump_open_refuse(APIARY_ENOSEG, message, size, source, "no such segment, and no such file");
        if (errno == EACCES || errno == EPERM)
            return dump_open_refuse(APIARY_EPERM, message, size, source, "no permission to read it; join the segment's group");
        return dump_open_refuse(APIARY_ESYS, message, size, source, strerror(errno));
    }
    if (fstat(fd, &st) < 0)
        r = dump_open_refuse(APIARY_ESYS, message, size, source, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        r = dump_open_refuse(APIARY_ENOTOURS, message, size, source, "neither a segment nor a file");
    else
        r = (live ? map_in : copy_in)(fd, (uint64_t)st.st_size, source, ret, message, size);
    close(fd);
    if (r < 0) return r;
    ap_format(ret->source, sizeof ret->source, "%s", source);
    if (ret->plausible) {
        const struct ap_time_namespace its = ret->seg.header->time_namespace;
        ret->untimed = !ap_ops_enter(&its, &ret->seg.ops);
        return 0;
    }
    dump_close(ret);
    return dump_open_refuse(APIARY_ENOTOURS, message, size, source, "not an apiary segment, nor a copy of one; check the name");
}

void dump_close(struct dump *d)
{
    if (d->base != NULL) munmap(d->base, d->mapped);
    if (d->base != NULL && d->seg.fd >= 0) close(d->seg.fd);
    if (d->base != NULL) ap_ops_leave(d->seg.ops);
    d->base = NULL;
}

void dump_check(const struct dump *d, struct ap_report *report)
{
    const struct ap_segment *seg = &d->seg;

    ap_header_check(seg->base, seg->size, seg->parts, seg->fingerprint, report);
    ap_parts_check(seg, 0, d->registry ? seg->parts->count : AP_SECTION_FIRST_FREE, report);
}
