/* A segment as it is made: every field of its header, its refusals word for word, the numbers of images, the layout. */
#include "shm_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/descriptor.h"
#include "shm/image.h"
#include "tests/support/inject.h"

static char message[512];

TestSuite(shm_made, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

/* ---- the header ------------------------------------------------------------------------------------------------ */

static void boot_id(uint8_t ret[16])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

    cr_assert_not_null(f);
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) fgetc(f);
        cr_assert_eq(fscanf(f, "%2hhx", &ret[i]), 1);
    }
    fclose(f);
}

Test(shm_made, every_field_of_the_header)
{
    uint64_t realtime = ap_ops_system.realtime(), now = ap_ops_system.now();
    struct ap_time_namespace names;
    const struct ap_header *h;
    uint8_t boot[16];

    fixture_teardown();
    fixture_setup();
    h = seg->header;
    boot_id(boot);
    ap_time_namespace_self(&names);
    cr_expect_eq(memcmp(h->magic, AP_SEGMENT_MAGIC, 8), 0);
    cr_expect(h->version == AP_LAYOUT_VERSION && h->version_min == AP_LAYOUT_VERSION_MIN);
    cr_expect(h->fingerprint == ap_layout_fingerprint(&ap_shm_parts) && seg->fingerprint == h->fingerprint);
    cr_expect(h->size == seg->size && h->state == AP_SEGMENT_READY && h->section_count == AP_SECTION_FIRST_FREE);
    cr_expect_eq(h->creator_pid, getpid());
    cr_expect(h->creator_start == seg->self.start_time && h->creator_start != 0);
    cr_expect(h->creator_namespace == seg->self.pid_namespace && h->creator_namespace != 0);
    cr_expect(h->created_realtime >= realtime && h->created_realtime <= ap_ops_system.realtime());
    cr_expect(h->created_monotonic >= now && h->created_monotonic <= ap_ops_system.now());
    cr_expect_eq(memcmp(h->boot_id, boot, 16), 0);
    cr_expect_eq(memcmp(&h->time_namespace, &names, sizeof names), 0);
    cr_expect_str_eq(h->name, seg_name);
    cr_expect(h->rescan == 1 && h->lanes_changed == 0 && h->event_next == 1 && h->watched == 0);
    cr_expect(h->images == 1 && seg->image == 1);
    cr_expect_eq(memcmp(&h->geometry, &seg->geometry, sizeof h->geometry), 0);
    cr_expect_eq(memcmp(h->sections, seg->sections, sizeof h->sections), 0);
    cr_expect(seg->writable && seg->parts == &ap_shm_parts && seg->ops == &ap_ops_system && seg->header == (void *)seg->base);
}

/* What lies in no section has no elements. */
static void judge_places(const struct ap_segment *of)
{
    for (uint32_t i = 0; i < AP_SECTIONS_MAX; i++) {
        bool is = i < AP_SECTION_FIRST_FREE;

        cr_expect_eq(of->places[i].at, of->base + (is ? of->sections[i].offset : 0));
        cr_expect_eq(of->places[i].count, is ? of->sections[i].count : 0);
        cr_expect_eq(of->places[i].stride, is ? of->sections[i].stride : 1);
        cr_expect_eq(ap_at(of, i, is ? of->sections[i].count : 0), NULL);
    }
}

Test(shm_made, places)
{
    struct ap_segment *other = fixture_again();

    judge_places(seg);
    judge_places(other);
    cr_expect(other->fingerprint == seg->fingerprint && other->parts == &ap_shm_parts && other->image == 2);
    ap_segment_unmap(other);
}

/* Of just 2 MiB, too, the mapping lies at a multiple of it. */
Test(shm_made, a_large_segment_lies_at_a_huge_page)
{
    struct ap_segment_options o = {.name = seg_name};
    struct ap_section sections[AP_SECTIONS_MAX];
    struct ap_segment *large;
    uint64_t least = UINT64_C(2) << 20;

    fixture_teardown();
    for (uint32_t blocks = 16; blocks < 65536; blocks++) {
        o.geometry = (struct ap_geometry){.members = 8, .lanes = 16, .tasks = 64, .queues = 1, .queue_depth = 2,
                                          .queue_inlets = 1, .pool_blocks = {blocks}, .events = 4};
        cr_assert_eq(ap_geometry_normalise(&ap_shm_parts, &o.geometry, message, sizeof message), 0, "%s", message);
        if (ap_layout_sections(&ap_shm_parts, &o.geometry, sections) >= least) break;
    }
    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &large), 0, "%s", message);
    cr_expect_leq(large->size, least + 8192);
    cr_expect_eq((uintptr_t)large->base % least, 0);
    ap_segment_unmap(large);
    shm_unlink(seg_name);
    fixture_setup();
}

/* In a forked child nothing is mapped there, or by then something else. */
Test(shm_made, a_forked_child_unmaps_nothing_of_its_own)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        char *own = mmap(seg->base, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

        if (own == MAP_FAILED) _exit(1);
        ap_segment_unmap(seg);
        *own = 1;
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- refusals -------------------------------------------------------------------------------------------------- */

static int create(const char *name, char *text, size_t size)
{
    struct ap_segment_options o = {.name = name, .geometry = seg->geometry};
    struct ap_segment *made = seg;
    int r = ap_segment_create(&o, &ap_shm_parts, text, size, &made);

    if (r < 0) cr_expect_eq(made, seg, "the output of a call that has failed");
    else ap_segment_unmap(made);
    return r;
}

static int attach(const char *name)
{
    struct ap_segment *made = seg;
    int r = ap_segment_attach(name, true, &ap_shm_parts, message, sizeof message, &made);

    if (r < 0) cr_expect_eq(made, seg, "the output of a call that has failed");
    else ap_segment_unmap(made);
    return r;
}

Test(shm_made, names)
{
    static const char *const none[] = {"", "/", "a", "ab", "/.", "/..", "//", "/a/", "/a/b", "a/b"};
    char name[80] = "/", want[128];

    for (size_t i = 0; i <= sizeof none / sizeof none[0]; i++) {
        const char *bad = i < sizeof none / sizeof none[0] ? none[i] : NULL;

        snprintf(want, sizeof want, "segment: '%s' is not a name; it is '/' and 1 to 62 other bytes, no '/'",
                 bad != NULL ? bad : "");
        message[0] = '\0';
        cr_expect_eq(create(bad, message, sizeof message), APIARY_EINVAL, "%s", bad);
        cr_expect_str_eq(message, want);
        message[0] = '\0';
        cr_expect_eq(attach(bad), APIARY_EINVAL, "%s", bad);
        cr_expect_str_eq(message, want);
        cr_expect_eq(ap_segment_remove(bad), APIARY_EINVAL);
        cr_expect_eq(ap_segment_remove_own(seg->fd, bad), APIARY_EINVAL);
    }
    memset(name + 1, 'a', 63);
    cr_expect_eq(create(name, NULL, 0), APIARY_EINVAL);
    cr_expect_eq(attach("/..."), APIARY_ENOSEG);
    snprintf(name + 1, sizeof name - 1, "%062d", (int)getpid());
    cr_assert_eq(strlen(name), 63);
    cr_expect_eq(create(name, message, sizeof message), 0, "%s", message);
    cr_expect_eq(attach(name), 0, "%s", message);
    cr_expect_eq(ap_segment_remove(name), 0);
    cr_expect_eq(ap_segment_remove(name), APIARY_ENOSEG);
    cr_expect_eq(attach(name), APIARY_ENOSEG);
    cr_expect_eq(ap_segment_remove_own(seg->fd, name), 0, "it leads nowhere");
}

Test(shm_made, a_message_has_the_room_that_it_has)
{
    char text[4] = "abc", want[128];

    cr_expect_eq(create(seg_name, text, 0), APIARY_EEXIST);
    cr_expect_str_eq(text, "abc", "no room");
    cr_expect_eq(create(seg_name, text, 1), APIARY_EEXIST);
    cr_expect(text[0] == '\0' && text[1] == 'b');
    cr_expect_eq(create(seg_name, NULL, 9), APIARY_EEXIST);
    cr_expect_eq(create(seg_name, message, sizeof message), APIARY_EEXIST);
    snprintf(want, sizeof want, "the segment %s exists already; attach to it", seg_name);
    cr_expect_str_eq(message, want);
}

/* The message, with NAME for the segment's. */
static const char *told_of(void)
{
    static char text[sizeof message + 8];
    const char *at = strstr(message, own_name());

    if (at == NULL) return message;
    snprintf(text, sizeof text, "%.*sNAME%s", (int)(at - message), message, at + strlen(own_name()));
    return text;
}

/* The first call of these that fails; the others pass. */
static int create_without(const char *call, unsigned calls, int error, const uid_t *owner, const gid_t *group)
{
    struct ap_segment_options o = {.name = own_name(), .geometry = seg->geometry, .owner = owner, .group = group};
    struct ap_segment *made = seg;
    const char *failed;
    int r;

    for (unsigned at = 1;; at++) {
        inject_begin(calls, at, false, error);
        r = ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &made);
        failed = inject_end();
        cr_assert_not_null(failed, "%s was not called", call);
        if (r == 0) ap_segment_unmap(made);
        if (r == 0) shm_unlink(o.name);
        if (strcmp(failed, call) == 0) return r;
    }
}

Test(shm_made, why_it_cannot_be_made)
{
    uid_t owner = 12;
    gid_t group = 34;
    char want[128];

    cr_expect_eq(create_without("fchown", INJECT_FILE, EPERM, &owner, &group), APIARY_EPERM);
    cr_expect_str_eq(message, "cannot give the segment to 12:34: Operation not permitted; run as root or leave owner out");
    cr_expect_eq(create_without("fchown", INJECT_FILE, EPERM, NULL, &group), APIARY_EPERM);
    cr_expect_str_eq(message, "cannot give the segment to :34: Operation not permitted; run as root or leave owner out");
    cr_expect_eq(create_without("fchown", INJECT_FILE, EPERM, &owner, NULL), APIARY_EPERM);
    cr_expect_str_eq(message, "cannot give the segment to 12:: Operation not permitted; run as root or leave owner out");
    cr_expect_eq(create_without("fchmod", INJECT_FILE, EPERM, NULL, NULL), APIARY_EPERM);
    cr_expect_str_eq(message, "cannot set the segment's mode: Operation not permitted");
    cr_expect_eq(create_without("linkat", INJECT_FILE, EEXIST, NULL, NULL), APIARY_EEXIST);
    cr_expect_str_eq(told_of(), "the segment NAME exists already; attach to it");
    cr_expect_eq(create_without("linkat", INJECT_FILE, ENOSPC, NULL, NULL), APIARY_ESYS);
    cr_expect_str_eq(told_of(), "cannot name the segment NAME: No space left on device");
    cr_expect_eq(create_without("posix_fallocate", INJECT_FILE, ENOSPC, NULL, NULL), APIARY_ENOBLOCK);
    snprintf(want, sizeof want, "cannot reserve %llu bytes in /dev/shm: No space left on device; make it larger, or lower tasks, "
             "queues or payload", (unsigned long long)seg->size);
    cr_expect_str_eq(message, want);
    cr_expect_eq(create_without("fcntl", INJECT_LOCK, EPERM, NULL, NULL), APIARY_ENOTSUP);
    cr_expect_str_eq(told_of(), "NAME: the system refuses the lock by which others learn of this process' death (fcntl "
                     "F_OFD_SETLK, F_OFD_GETLK: Operation not permitted); permit it, where a filter of system calls forbids it");
    cr_expect_eq(create_without("pthread_mutexattr_init", INJECT_MUTEX, ENOMEM, NULL, NULL), APIARY_ESYS);
    cr_expect_str_eq(message, "cannot fill the new segment: a system call failed");
    cr_expect_eq(create_without("openat", INJECT_OPEN, EACCES, NULL, NULL), APIARY_EPERM);
    cr_expect_str_eq(message, "cannot make a file in /dev/shm: Permission denied; it must be a tmpfs that this user may write");
}

/* Of the calls that open, each has its sentence; those of them that are not needed have none. */
Test(shm_made, who_this_process_is_must_be_known)
{
    struct ap_segment_options o = {.name = own_name(), .geometry = seg->geometry};
    struct ap_segment *made;
    unsigned told = 0;
    const char *failed;

    for (unsigned at = 1;; at++) {
        int r;

        inject_begin(INJECT_OPEN, at, false, ENOENT);
        r = ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &made);
        failed = inject_end();
        if (r == 0) ap_segment_unmap(made);
        if (r == 0) shm_unlink(o.name);
        if (r == APIARY_ENOTSUP) {
            cr_expect_str_eq(told_of(), "NAME: /proc does not say who this process is (/proc/self/stat: No such file or "
                             "directory), so nobody would see its death; mount it");
            told++;
        }
        if (failed == NULL) break;
    }
    cr_expect_eq(told, 1);
}

/* ---- images ---------------------------------------------------------------------------------------------------- */

/* A lock of `count` numbers from `from` on, by another description of the segment's file. */
static int lock_numbers(uint64_t from, uint64_t count)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)from, .l_len = (off_t)count};
    char path[96];
    int fd;

    snprintf(path, sizeof path, "/dev/shm%s", seg_name);
    fd = ap_fd_open(path, O_RDWR, 0);
    cr_assert(fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0);
    return fd;
}

Test(shm_made, numbers_that_are_taken_are_passed_over)
{
    struct ap_segment *other;
    int fd = lock_numbers(2, 3);

    other = fixture_again();
    cr_expect_eq(other->image, 5);
    ap_segment_unmap(other);
    close(fd);
    seg->header->images = (UINT64_MAX >> 2) - 1;
    other = fixture_again();
    cr_expect_eq(other->image, UINT64_MAX >> 2);
    ap_segment_unmap(other);
    other = fixture_again();
    cr_expect_eq(other->image, 1 + 1, "0 is no number, and 1 is this mapping's");
    ap_segment_unmap(other);
}

Test(shm_made, a_thousand_numbers_are_tried)
{
    struct ap_segment *other;
    char want[160];
    int fd = lock_numbers(1001, 1023);

    seg->header->images = 1000;
    other = fixture_again();
    cr_expect_eq(other->image, 2024);
    ap_segment_unmap(other);
    close(fd);
    fd = lock_numbers(1001, 1024);
    seg->header->images = 1000;
    cr_expect_eq(attach(seg_name), APIARY_ESYS);
    snprintf(want, sizeof want, "%s: no number is free for this process; look with 'shmdump --verify'", seg_name);
    cr_expect_str_eq(message, want);
    cr_expect_eq(seg->header->images, 2024);
    close(fd);
}
