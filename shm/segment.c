/* shm/segment.c - creation, attach and removal of a segment. See segment.h for the contract. */
#include "shm/segment.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/text.h"
#include "core/thread.h"
#include "shm/image.h"
#include "shm/lane.h"
#include "shm/part.h"

#define SHM_DIRECTORY "/dev/shm"
#define HUGE_PAGE (UINT64_C(2) << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

__attribute__((format(printf, 4, 5))) static int refuse(int error, char *message, size_t size, const char *format, ...)
{
    va_list args;

    if (message != NULL && size > 0) {
        va_start(args, format);
        ap_vformat(message, size, format, args);
        va_end(args);
    }
    return error;
}

bool ap_segment_name_valid(const char *name)
{
    size_t n = strlen(name);
    return n >= 2 && n < 64 && name[0] == '/' && strchr(name + 1, '/') == NULL && strcmp(name, "/.") != 0 &&
           strcmp(name, "/..") != 0;
}

static void boot_id_read(uint8_t ret[16])
{
    char text[64] = "";
    int fd = ap_fd_open("/proc/sys/kernel/random/boot_id", O_RDONLY, 0);

    memset(ret, 0, 16);
    if (fd < 0) return;
    if (read(fd, text, sizeof text - 1) > 0) {
        unsigned n = 0;
        for (const char *p = text; *p != '\0' && n < 16; p++) {
            unsigned byte;
            if (*p == '-') continue;
            if (sscanf(p, "%2x", &byte) != 1) break;
            ret[n++] = (uint8_t)byte;
            p++;
        }
    }
    close(fd);
}

/* ---- mapping -------------------------------------------------------------------------------------------------- */

/* At a multiple of a huge page, if it may: a reservation that is larger by one shows where there is room. */
static void *map_aligned(int fd, uint64_t size, int protection)
{
    uint8_t *room = MAP_FAILED, *at;
    void *base;

    if (size >= HUGE_PAGE)
        room = mmap(NULL, size + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room != MAP_FAILED) {
        at = room + (-(uintptr_t)room & (HUGE_PAGE - 1));
        munmap(room, size + HUGE_PAGE);
        base = mmap(at, size, protection, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
        if (base != MAP_FAILED) return base;
    }
    return mmap(NULL, size, protection, MAP_SHARED, fd, 0);
}

/* By the creator: every member's mapping then has huge pages where there are any. A kernel that cannot does without. */
static void huge_pages(const struct ap_segment *seg)
{
    uint64_t whole = seg->size & ~(HUGE_PAGE - 1);

    if (whole != 0 && madvise(seg->base, whole, MADV_POPULATE_WRITE) == 0) madvise(seg->base, whole, MADV_COLLAPSE);
}

/* Through `through`, which may be another descriptor of the same file; `fd` stays with the segment. */
static int segment_map(int fd, int through, uint64_t size, bool writable, struct ap_segment **ret)
{
    struct ap_segment *seg = aligned_alloc(AP_LINE, sizeof *seg);
    void *base, *canary;
    struct stat st;
    int r;

    if (seg == NULL) return APIARY_ENOBLOCK;
    memset(seg, 0, sizeof *seg);
    base = map_aligned(through, size, writable ? PROT_READ | PROT_WRITE : PROT_READ);
    if (base == MAP_FAILED) {
        free(seg);
        return errno == EACCES || errno == EPERM ? APIARY_EPERM : APIARY_ENOBLOCK;
    }
    canary = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (canary == MAP_FAILED) {
        munmap(base, size);
        free(seg);
        return APIARY_ENOBLOCK;
    }
    ap_store_relaxed((uint32_t *)canary, 1);
    madvise(canary, 4096, MADV_WIPEONFORK);
    madvise(base, size, MADV_DONTFORK);
    seg->base = base;
    seg->size = size;
    seg->fd = fd;
    if (fstat(through, &st) == 0) {
        seg->device = st.st_dev;
        seg->inode = st.st_ino;
    }
    seg->writable = writable;
    seg->header = base;
    seg->fork_canary = canary;
    seg->ops = &ap_ops_system;
    /* Others judge by it whether who writes here lives. */
    r = ap_identity_self(&seg->self);
    if (r < 0 && writable) {
        seg->fd = -1; /* the caller's */
        ap_segment_unmap(seg);
        errno = -r;
        return r == -EMFILE || r == -ENFILE ? APIARY_ESYS : APIARY_ENOTSUP; /* which says nothing of /proc */
    }
    *ret = seg;
    return 0;
}

/* A mapping whose end others can see, for members that write: see image.h. */
static int image_map(int fd, const char *path, uint64_t size, struct ap_segment **ret, int *ret_through)
{
    int through = ap_image_open(fd, path), r;

    if (through < 0) {
        errno = -through;
        return APIARY_ESYS;
    }
    r = segment_map(fd, through, size, true, ret);
    if (r < 0) close(through);
    else *ret_through = through;
    return r;
}

static int refuse_map(int error, const char *name, char *message, size_t size)
{
    if (error == APIARY_ENOTSUP)
        return refuse(error, message, size,
                      "%s: /proc does not say who this process is (/proc/self/stat: %s), so nobody would see its death; mount it",
                      name, strerror(errno));
    return refuse(error, message, size, "%s: cannot map it: %s", name, strerror(errno));
}

/* The descriptor goes: the mapping alone holds what it named. */
static int image_take(struct ap_segment *seg, int through, const char *name, char *message, size_t size)
{
    int r = ap_image_take(seg, through);

    if (r == APIARY_ENOTSUP)
        r = refuse(r, message, size, "%s: the system refuses the lock by which others learn of this process' death (fcntl "
                   "F_OFD_SETLK, F_OFD_GETLK: %s); permit it, where a filter of system calls forbids it", name, strerror(errno));
    else if (r < 0)
        r = refuse(r, message, size, "%s: no number is free for this process; look with 'shmdump --verify'", name);
    close(through);
    return r;
}

static bool segment_is(const struct ap_segment *seg, int fd)
{
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == seg->device && st.st_ino == seg->inode;
}

int ap_segment_fd(struct ap_segment *seg)
{
    char path[sizeof SHM_DIRECTORY + sizeof seg->header->name];
    int fd = ap_load_relaxed(&seg->fd), again;
    AP_UNCANCELLED;

    if (segment_is(seg, fd)) return fd;
    snprintf(path, sizeof path, SHM_DIRECTORY "%.*s", (int)sizeof seg->header->name, seg->header->name);
    again = ap_fd_open(path, seg->writable ? O_RDWR : O_RDONLY, 0);
    if (segment_is(seg, again) && ap_cas(&seg->fd, &fd, again)) return again;
    if (again >= 0) close(again);
    return ap_load_relaxed(&seg->fd);
}

void ap_segment_unmap(struct ap_segment *seg)
{
    if (seg == NULL) return;
    /* In a forked child the segment was never mapped: something else may lie at its address. */
    if (!ap_forked(seg)) munmap(seg->base, seg->size);
    munmap(seg->fork_canary, 4096);
    if (seg->fd >= 0) close(seg->fd);
    ap_ops_leave(seg->ops);
    free(seg);
}

int ap_segment_part(struct ap_segment *seg, const size_t *held, size_t count)
{
    int through = ap_image_open(seg->fd, NULL);
    uint8_t *again = through >= 0 ? map_aligned(through, seg->size, PROT_READ | PROT_WRITE) : MAP_FAILED;

    if (again != MAP_FAILED) madvise(again, seg->size, MADV_DONTFORK);
    if (again == MAP_FAILED || !ap_robust_part(seg->base, seg->size, again, held, count)) {
        if (again != MAP_FAILED) munmap(again, seg->size);
        if (through >= 0) close(through);
        return APIARY_ENOBLOCK;
    }
    seg->base = again;
    seg->header = (struct ap_header *)(void *)again;
    seg->image = 0;
    ap_segment_places(seg);
    if (ap_image_take(seg, through) < 0) seg->image = 0; /* then others judge the lanes that it has left */
    close(through);
    return 0;
}

static void geometry_adopt(struct ap_segment *seg, const struct ap_header *h)
{
    seg->geometry = h->geometry;
    memcpy(seg->sections, h->sections, sizeof seg->sections);
    seg->section_count = h->section_count;
    ap_segment_places(seg);
}

void ap_segment_places(struct ap_segment *seg)
{
    for (uint32_t i = 0; i < AP_SECTIONS_MAX; i++) {
        seg->places[i] = (struct ap_place){.at = seg->base, .count = 0, .stride = 1};
        if (i >= seg->section_count) continue; /* nobody has judged what stands there */
        seg->places[i].at += seg->sections[i].offset;
        seg->places[i].count = seg->sections[i].count;
        seg->places[i].stride = seg->sections[i].stride;
    }
}

/* ---- creation ------------------------------------------------------------------------------------------------- */

static int owner_set(int fd, const struct ap_segment_options *o, char *message, size_t size)
{
    char to[2][16] = {"", ""};

    if (o->owner != NULL) snprintf(to[0], sizeof to[0], "%u", *o->owner);
    if (o->group != NULL) snprintf(to[1], sizeof to[1], "%u", *o->group);
    if ((o->owner != NULL || o->group != NULL) &&
        fchown(fd, o->owner != NULL ? *o->owner : (uid_t)-1, o->group != NULL ? *o->group : (gid_t)-1) < 0)
        return refuse(APIARY_EPERM, message, size, "cannot give the segment to %s:%s: %s; run as root or leave owner out", to[0],
                      to[1], strerror(errno));
    /* After fchown: a change of owner clears mode bits; and against the umask. */
    if (fchmod(fd, o->mode != 0 ? o->mode : 0660) < 0)
        return refuse(APIARY_EPERM, message, size, "cannot set the segment's mode: %s", strerror(errno));
    return 0;
}

static int header_fill(struct ap_segment *seg, const struct ap_segment_options *o, const struct ap_geometry *g)
{
    struct ap_header *h = seg->header;

    memcpy(h->magic, AP_SEGMENT_MAGIC, 8);
    h->version = AP_LAYOUT_VERSION;
    h->version_min = AP_LAYOUT_VERSION_MIN;
    h->fingerprint = ap_layout_fingerprint(seg->parts);
    h->size = seg->size;
    ap_store_relaxed(&h->state, AP_SEGMENT_CREATING);
    h->creator_pid = seg->self.pid;
    h->creator_start = seg->self.start_time;
    h->creator_namespace = seg->self.pid_namespace;
    h->created_realtime = seg->ops->realtime();
    h->created_monotonic = seg->ops->now();
    ap_time_namespace_self(&h->time_namespace);
    boot_id_read(h->boot_id);
    snprintf(h->name, sizeof h->name, "%s", o->name);
    h->geometry = *g;
    h->section_count = seg->parts->count;
    ap_layout_sections(seg->parts, g, h->sections);
    geometry_adopt(seg, h);
    seg->fingerprint = h->fingerprint;
    ap_store_relaxed(&h->rescan, 1);
    ap_store_relaxed(&h->event_next, 1);
    if (ap_robust_init(&h->role) < 0) return APIARY_ESYS;
    for (uint32_t i = 0; i < g->lanes; i++)
        if (ap_robust_init(&ap_lane_at(seg, i)->mutex) < 0) return APIARY_ESYS;
    return 0;
}

static int segment_build(int fd, const struct ap_segment_options *o, const struct ap_geometry *g,
                         const struct ap_parts *parts, char *message, size_t message_size, struct ap_segment **ret)
{
    struct ap_section sections[AP_SECTIONS_MAX];
    uint64_t size = ap_layout_sections(parts, g, sections);
    struct ap_segment *seg;
    int r = posix_fallocate(fd, 0, (off_t)size), through;

    if (r != 0)
        return refuse(APIARY_ENOBLOCK, message, message_size,
                      "cannot reserve %llu bytes in " SHM_DIRECTORY ": %s; make it larger, or lower tasks, queues or payload",
                      (unsigned long long)size, strerror(r));
    r = image_map(fd, NULL, size, &seg, &through); /* before the file is given to somebody else */
    if (r < 0) return refuse_map(r, o->name, message, message_size);
    r = owner_set(fd, o, message, message_size);
    if (r == 0) {
        huge_pages(seg);
        seg->parts = parts;
        r = header_fill(seg, o, g);
        if (r < 0) refuse(r, message, message_size, "cannot fill the new segment: %s", apiary_strerror(r));
    }
    if (r < 0) close(through);
    else r = image_take(seg, through, o->name, message, message_size);
    if (r < 0) {
        seg->fd = -1; /* the caller's */
        ap_segment_unmap(seg);
        return r;
    }
    ap_store_release(&seg->header->state, AP_SEGMENT_READY); /* SEG-R1 pairs SEG-A1 */
    *ret = seg;
    return 0;
}

int ap_segment_create(const struct ap_segment_options *o, const struct ap_parts *parts, char *message, size_t size,
                      struct ap_segment **ret)
{
    struct ap_geometry g = o->geometry;
    struct ap_segment *seg = NULL;
    char path[96], self[64];
    int fd, r;

    if (o->name == NULL || !ap_segment_name_valid(o->name))
        return refuse(APIARY_EINVAL, message, size, "segment: '%s' is not a name; it is '/' and 1 to 62 other bytes, no '/'",
                      AP_SHOWN(o->name != NULL ? o->name : "", 64));
    r = ap_geometry_normalise(parts, &g, message, size);
    if (r < 0) return r;
    snprintf(path, sizeof path, SHM_DIRECTORY "%s", o->name);
    if (access(path, F_OK) == 0)
        return refuse(APIARY_EEXIST, message, size, "the segment %s exists already; attach to it", o->name);
    fd = ap_fd_open(SHM_DIRECTORY, O_TMPFILE | O_RDWR, 0600);
    if (fd < 0)
        return refuse(errno == EACCES ? APIARY_EPERM : APIARY_ESYS, message, size,
                      "cannot make a file in " SHM_DIRECTORY ": %s; it must be a tmpfs that this user may write", strerror(errno));
    flock(fd, LOCK_EX | LOCK_NB);
    r = segment_build(fd, o, &g, parts, message, size, &seg);
    if (r < 0) {
        close(fd);
        return r;
    }
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0) {
        r = errno == EEXIST ? refuse(APIARY_EEXIST, message, size, "the segment %s exists already; attach to it", o->name)
                            : refuse(APIARY_ESYS, message, size, "cannot name the segment %s: %s", o->name, strerror(errno));
        ap_segment_unmap(seg);
        return r;
    }
    flock(fd, LOCK_UN);
    *ret = seg;
    return 0;
}

/* ---- attach --------------------------------------------------------------------------------------------------- */

/* Not ready: a creator holds the lock, or it died. */
static int unready(int fd, const char *name, char *message, size_t size)
{
    char self[64];
    int probe, r;

    /* A descriptor of one's own: a duplicate of the creator's would share its lock. */
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    probe = ap_fd_open(self, O_RDONLY, 0);
    r = flock(probe >= 0 ? probe : fd, LOCK_SH | LOCK_NB);
    if (r == 0) flock(probe >= 0 ? probe : fd, LOCK_UN);
    if (probe >= 0) close(probe);
    if (r < 0)
        return refuse(APIARY_ECREATING, message, size, "%s: still being created; try again in a moment", name);
    return refuse(APIARY_ECREATOR, message, size,
                  "%s: its creator died before it was ready; remove it with 'apiary segment rm %s' and start the "
                  "coordinator again", name, name);
}

static bool all_zero(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < size; i++)
        if (p[i] != 0) return false;
    return true;
}

static int header_judge(int fd, const char *name, struct ap_header *h, uint64_t size, const struct ap_parts *parts, char *message,
                        size_t message_size)
{
    uint64_t expected = ap_layout_fingerprint(parts);

    if (all_zero(h->magic, 8)) return unready(fd, name, message, message_size);
    if (memcmp(h->magic, AP_SEGMENT_MAGIC, 8) != 0)
        return refuse(APIARY_ENOTOURS, message, message_size, "%s: not an apiary segment; check the name", name);
    if (h->version < AP_LAYOUT_VERSION_MIN || h->version_min > AP_LAYOUT_VERSION)
        return refuse(APIARY_EVERSION, message, message_size,
                      "%s: the segment has layout version %u, this library works with %u to %u; use programs of the same "
                      "version, or stop all members, then 'apiary segment rm' it", name, h->version, AP_LAYOUT_VERSION_MIN,
                      AP_LAYOUT_VERSION);
    if (h->version == AP_LAYOUT_VERSION && h->fingerprint != expected)
        return refuse(APIARY_EVERSION, message, message_size,
                      "%s: the segment has layout fingerprint %016llx, this library has %016llx; use programs of the same "
                      "build, or stop all members, then 'apiary segment rm' it", name, (unsigned long long)h->fingerprint,
                      (unsigned long long)expected);
    if (ap_load_acquire(&h->state) != AP_SEGMENT_READY) return unready(fd, name, message, message_size);
    if (h->size > size)
        return refuse(APIARY_ETOOSMALL, message, message_size,
                      "%s: the segment has %llu bytes, its header says %llu; it is truncated, recreate it", name,
                      (unsigned long long)size, (unsigned long long)h->size);
    if (!ap_layout_matches(parts, h, size))
        return refuse(APIARY_ECORRUPT, message, message_size,
                      "%s: the header's section table contradicts its geometry; look with 'shmdump --verify', then recreate "
                      "the segment", name);
    return 0;
}

/* All processes that write times must have the same clock. An observer of another one looks by the segment's. */
static int time_judge(struct ap_segment *seg, const char *name, char *message, size_t size)
{
    const struct ap_time_namespace its = seg->header->time_namespace;
    struct ap_time_namespace own;
    char shift[64] = "";

    ap_time_namespace_self(&own);
    if (seg->writable ? ap_time_same(&its, &own) : ap_ops_enter(&its, &seg->ops)) return 0;
    if (its.offset != AP_OFFSET_UNKNOWN && own.offset != AP_OFFSET_UNKNOWN)
        snprintf(shift, sizeof shift, ", where the clock shows %+lld s",
                 (long long)(own.offset / 1000000000 - its.offset / 1000000000));
    return refuse(APIARY_ETIMENS, message, size,
                  "%s: its times are those of time namespace %llu, this process is in %llu%s; attach from there%s", name,
                  (unsigned long long)its.inode, (unsigned long long)own.inode, shift,
                  seg->writable ? ", or start a coordinator with a segment of its own here" : "");
}

/* Reads what is there once more, in the mapping, and adopts it. */
static int attach_adopt(struct ap_segment *seg, const char *name, const struct ap_parts *parts, char *message, size_t message_size)
{
    struct ap_header h;
    /* SEG-A1 pairs SEG-R1: what was judged was read by a system call; what is adopted is read after READY was seen in the
     * mapping, and judged again. */
    int r = ap_load_acquire(&seg->header->state) == AP_SEGMENT_READY ? 0 : unready(seg->fd, name, message, message_size);

    h = *seg->header;
    if (r == 0) r = header_judge(seg->fd, name, &h, seg->size, parts, message, message_size);
    if (r < 0) return r;
    seg->parts = parts;
    geometry_adopt(seg, &h);
    seg->fingerprint = ap_layout_fingerprint(parts);
    return 0;
}

static int attach_map(int fd, const char *name, const char *path, bool writable, uint64_t size, const struct ap_parts *parts,
                      char *message, size_t message_size, struct ap_segment **ret)
{
    struct ap_segment *seg;
    int through = -1;
    int r = writable ? image_map(fd, path, size, &seg, &through) : segment_map(fd, fd, size, false, &seg);

    if (r < 0) return refuse_map(r, name, message, message_size);
    r = attach_adopt(seg, name, parts, message, message_size);
    if (r == 0) r = time_judge(seg, name, message, message_size);
    if (r == 0 && writable) r = image_take(seg, through, name, message, message_size);
    else if (writable) close(through);
    if (r < 0) {
        seg->fd = -1; /* the caller's */
        ap_segment_unmap(seg);
        return r;
    }
    *ret = seg;
    return 0;
}

/* `name` is for messages; `path` (NULL: none) is one by which the same file may be opened. */
static int attach_open(int fd, const char *name, const char *path, bool writable, const struct ap_parts *parts, char *message,
                       size_t message_size, struct ap_segment **ret)
{
    struct ap_header h;
    struct stat st;
    ssize_t n;
    int r;

    if (fstat(fd, &st) < 0) return refuse(APIARY_ESYS, message, message_size, "%s: %s", name, strerror(errno));
    if (!S_ISREG(st.st_mode)) return refuse(APIARY_ENOTOURS, message, message_size, "%s: not a file", name);
    memset(&h, 0, sizeof h);
    n = pread(fd, &h, sizeof h, 0);
    if (n < 0) return refuse(APIARY_ESYS, message, message_size, "%s: cannot read it: %s", name, strerror(errno));
    if (st.st_size < 4096) {
        if (n == 0 || all_zero(&h, sizeof h)) return unready(fd, name, message, message_size);
        if (memcmp(h.magic, AP_SEGMENT_MAGIC, 8) != 0)
            return refuse(APIARY_ENOTOURS, message, message_size, "%s: not an apiary segment; check the name", name);
        return refuse(APIARY_ETOOSMALL, message, message_size,
                      "%s: %lld bytes are too few for a segment's header; it is truncated, recreate it", name,
                      (long long)st.st_size);
    }
    r = header_judge(fd, name, &h, (uint64_t)st.st_size, parts, message, message_size);
    if (r < 0) return r;
    return attach_map(fd, name, path, writable, (uint64_t)st.st_size, parts, message, message_size, ret);
}

int ap_segment_attach(const char *name, bool writable, const struct ap_parts *parts, char *message, size_t size,
                      struct ap_segment **ret)
{
    char path[96];
    int fd, r;

    if (name == NULL || !ap_segment_name_valid(name))
        return refuse(APIARY_EINVAL, message, size, "segment: '%s' is not a name; it is '/' and 1 to 62 other bytes, no '/'",
                      AP_SHOWN(name != NULL ? name : "", 64));
    snprintf(path, sizeof path, SHM_DIRECTORY "%s", name);
    fd = ap_fd_open(path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0) {
        if (errno == ENOENT)
            return refuse(APIARY_ENOSEG, message, size,
                          "%s: no such segment; start the coordinator ('apiary up', or apiaryd), or name another segment with "
                          "--segment or APIARY_SEGMENT", name);
        if (errno == EROFS)
            return refuse(APIARY_EPERM, message, size,
                          "%s: " SHM_DIRECTORY " is mounted read-only here: only observers ('apiary status') can attach; mount it "
                          "writable", name);
        if (errno == EACCES || errno == EPERM)
            return refuse(APIARY_EPERM, message, size,
                          "%s: no permission; join the segment's group ('ls -l " SHM_DIRECTORY "%s' shows it)%s", name, name,
                          writable && access(path, R_OK) == 0 ? ", or attach read-only as an observer" : "");
        return refuse(APIARY_ESYS, message, size, "%s: %s", name, strerror(errno));
    }
    r = attach_open(fd, name, path, writable, parts, message, size, ret);
    if (r < 0) close(fd);
    return r;
}

int ap_segment_attach_fd(int fd, bool writable, const struct ap_parts *parts, char *message, size_t size, struct ap_segment **ret)
{
    char name[32];
    int own = ap_fd_duplicate(fd), r;

    if (own < 0)
        return refuse(APIARY_EINVAL, message, size, "descriptor %d is not open: %s", fd, strerror(errno));
    snprintf(name, sizeof name, "descriptor %d", fd);
    r = attach_open(own, name, NULL, writable, parts, message, size, ret);
    if (r < 0) close(own);
    return r;
}

int ap_segment_remove(const char *name)
{
    if (name == NULL || !ap_segment_name_valid(name)) return APIARY_EINVAL;
    if (shm_unlink(name) == 0) return 0;
    return errno == ENOENT ? APIARY_ENOSEG : errno == EACCES || errno == EPERM ? APIARY_EPERM : APIARY_ESYS;
}

int ap_segment_remove_own(int fd, const char *name)
{
    char path[96];
    struct stat own, named;
    int r;

    if (name == NULL || !ap_segment_name_valid(name)) return APIARY_EINVAL;
    snprintf(path, sizeof path, SHM_DIRECTORY "%s", name);
    if (fstat(fd, &own) < 0) return APIARY_ESYS;
    if (stat(path, &named) < 0 || own.st_ino != named.st_ino || own.st_dev != named.st_dev) return 0;
    r = ap_segment_remove(name);
    return r == 0 ? 1 : r == APIARY_ENOSEG ? 0 : r;
}

/* By the count of names, since a member may live where the name cannot be seen; of a descriptor that is still the segment's. */
bool ap_segment_removed(const struct ap_segment *seg)
{
    struct stat st;

    return fstat(seg->fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == seg->size && st.st_nlink == 0;
}

int ap_segment_section(const struct ap_segment *seg, const char *name)
{
    for (uint32_t i = 0; i < seg->section_count; i++)
        if (strncmp(seg->sections[i].name, name, sizeof seg->sections[i].name) == 0) return (int)i;
    return -1;
}
