/* Creation and attach: every refusal by its own code and sentence. */
#include "shm_fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

TestSuite(segment, .init = fixture_setup, .fini = fixture_teardown);

static char message[256];

static int attach(const char *name, bool writable)
{
    struct ap_segment *other = NULL;
    int r;

    message[0] = '\0';
    r = ap_segment_attach(name, writable, &ap_shm_parts, message, sizeof message, &other);
    if (r == 0) ap_segment_unmap(other);
    return r;
}

static int raw(void)
{
    int fd = shm_open(seg_name, O_RDWR, 0);
    cr_assert(fd >= 0);
    return fd;
}

static void poke(size_t offset, const void *bytes, size_t size)
{
    int fd = raw();
    cr_assert_eq(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
    close(fd);
}

Test(segment, attach_sees_what_was_created)
{
    struct ap_segment *other = fixture_again();

    cr_assert_eq(other->size, seg->size);
    cr_assert_eq(other->geometry.tasks, 128);
    cr_assert_eq(ap_segment_section(other, "slots"), AP_SECTION_SLOTS);
    cr_assert_eq(ap_segment_section(other, "nothing"), -1);
    ap_segment_unmap(other);
}

Test(segment, the_name_is_taken_once)
{
    struct ap_segment_options o = {.name = seg_name};
    struct ap_segment *other = NULL;

    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &other), APIARY_EEXIST);
    cr_assert(strstr(message, "exists already") != NULL);
    cr_assert_null(other);
}

Test(segment, what_a_dead_process_left_is_cleared)
{
    char prefix[64], name[80], path[96];
    pid_t pid;

    snprintf(prefix, sizeof prefix, "apiary-unit-left-%d", (int)getpid());
    pid = fork();
    if (pid == 0) {
        struct ap_segment_options o = {.name = name, .geometry = seg->geometry};
        struct ap_segment *own = NULL;

        snprintf(name, sizeof name, "/%s-%d", prefix, (int)getpid());
        _exit(ap_segment_create(&o, &ap_shm_parts, NULL, 0, &own) == 0 ? 0 : 1);
    }
    snprintf(path, sizeof path, "/dev/shm/%s-%d", prefix, (int)pid);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    cr_assert_eq(access(path, F_OK), 0);
    cr_expect_eq(leftovers_clear(prefix), 1);
    cr_expect_neq(access(path, F_OK), 0);
    snprintf(path, sizeof path, "/dev/shm%s", seg_name);
    leftovers_clear("apiary-unit");
    cr_expect_eq(access(path, F_OK), 0, "that of a living process stays");
}

Test(segment, mode_is_0660_whatever_the_umask)
{
    struct ap_segment_options o = {.name = own_name()};
    struct ap_segment *other;
    struct stat st;

    shm_unlink(o.name);
    umask(0777);
    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, NULL, 0, &other), 0);
    cr_assert_eq(fstat(other->fd, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0660);
    /* All memory is reserved: exhaustion is an error now and never SIGBUS later. */
    cr_assert_geq((uint64_t)st.st_blocks * 512, other->size);
    ap_segment_unmap(other);
    shm_unlink(o.name);
}

Test(segment, by_descriptor)
{
    struct ap_segment *other;

    cr_assert_eq(ap_segment_attach_fd(seg->fd, true, &ap_shm_parts, message, sizeof message, &other), 0, "%s", message);
    cr_assert_neq(other->fd, seg->fd);
    ap_segment_unmap(other);
    cr_assert_eq(ap_segment_attach_fd(987, true, &ap_shm_parts, message, sizeof message, &other), APIARY_EINVAL);
}

Test(segment, no_such_segment)
{
    cr_assert_eq(attach("/apiary-unit-none", true), APIARY_ENOSEG);
    cr_assert(strstr(message, "apiary up") != NULL, "%s", message);
    cr_assert_eq(attach("apiary", true), APIARY_EINVAL);
    cr_assert_eq(attach("/a/b", true), APIARY_EINVAL);
    cr_assert_eq(attach("/", true), APIARY_EINVAL);
}

Test(segment, still_being_created_and_creator_died)
{
    uint32_t creating = AP_SEGMENT_CREATING;
    int fd = raw();

    poke(offsetof(struct ap_header, state), &creating, sizeof creating);
    cr_assert_eq(flock(fd, LOCK_EX), 0);
    cr_assert_eq(attach(seg_name, true), APIARY_ECREATING);
    cr_assert(strstr(message, "try again") != NULL, "%s", message);
    close(fd);
    cr_assert_eq(attach(seg_name, true), APIARY_ECREATOR);
    cr_assert(strstr(message, "segment rm") != NULL, "%s", message);
}

Test(segment, empty_file)
{
    int fd = raw();

    cr_assert_eq(ftruncate(fd, 0), 0);
    cr_assert_eq(attach(seg_name, true), APIARY_ECREATOR);
    cr_assert_eq(flock(fd, LOCK_EX), 0);
    cr_assert_eq(attach(seg_name, true), APIARY_ECREATING);
    close(fd);
}

Test(segment, other_version_names_both)
{
    uint32_t versions[2] = {77, 77};
    char known[32];

    poke(offsetof(struct ap_header, version), versions, sizeof versions);
    cr_assert_eq(attach(seg_name, true), APIARY_EVERSION);
    snprintf(known, sizeof known, " %u to %u;", AP_LAYOUT_VERSION_MIN, AP_LAYOUT_VERSION);
    cr_assert(strstr(message, "version 77") != NULL && strstr(message, known) != NULL, "%s", message);
}

Test(segment, other_fingerprint_names_both)
{
    uint64_t fingerprint = 0x1122334455667788;

    poke(offsetof(struct ap_header, fingerprint), &fingerprint, sizeof fingerprint);
    cr_assert_eq(attach(seg_name, true), APIARY_EVERSION);
    cr_assert(strstr(message, "1122334455667788") != NULL, "%s", message);
    const struct ap_parts others = {.rows = ap_shm_parts.rows, .count = ap_shm_parts.count - 1};
    struct ap_segment *other;
    cr_assert_eq(ap_segment_attach(seg_name, true, &others, NULL, 0, &other), APIARY_EVERSION);
}

Test(segment, too_small_and_not_ours)
{
    int fd = raw();

    cr_assert_eq(ftruncate(fd, 8192), 0);
    cr_assert_eq(attach(seg_name, true), APIARY_ETOOSMALL);
    cr_assert_eq(ftruncate(fd, 100), 0);
    cr_assert_eq(attach(seg_name, true), APIARY_ETOOSMALL);
    cr_assert_eq(pwrite(fd, "#!/bin/sh", 9, 0), 9);
    cr_assert_eq(attach(seg_name, true), APIARY_ENOTOURS);
    close(fd);
}

Test(segment, header_that_contradicts_itself)
{
    uint64_t offset = 4096 * 3;

    poke(offsetof(struct ap_header, sections) + sizeof(struct ap_section) * AP_SECTION_SLOTS +
             offsetof(struct ap_section, offset), &offset, sizeof offset);
    cr_assert_eq(attach(seg_name, true), APIARY_ECORRUPT);
}

Test(segment, no_permission)
{
    pid_t pid;
    int status;

    if (getuid() != 0) cr_skip_test("needs root to become another user");
    pid = fork();
    if (pid == 0) {
        if (setgid(65534) < 0 || setuid(65534) < 0) _exit(3);
        _exit(attach(seg_name, true) == APIARY_EPERM && strstr(message, "group") != NULL ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(segment, a_forked_child_is_told)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) _exit(ap_forked(seg) ? 0 : 1);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_not(ap_forked(seg));
}

Test(segment, geometry_is_judged)
{
    struct ap_geometry g = {0};
    struct ap_section sections[AP_SECTIONS_MAX];

    cr_assert_eq(ap_geometry_normalise(&ap_shm_parts, &g, message, sizeof message), 0);
    cr_assert_eq(g.tasks, 8192);
    cr_assert_leq(ap_layout_sections(&ap_shm_parts, &g, sections), UINT64_C(18) << 20);
    g.queue_depth = 100;
    cr_assert_eq(ap_geometry_normalise(&ap_shm_parts, &g, message, sizeof message), APIARY_EINVAL);
    cr_assert(strstr(message, "queue_depth") != NULL && strstr(message, "power of two") != NULL, "%s", message);
    g.queue_depth = 64;
    g.lanes = 20000;
    cr_assert_eq(ap_geometry_normalise(&ap_shm_parts, &g, message, sizeof message), APIARY_EINVAL);
    cr_assert(strstr(message, "lanes") != NULL && strstr(message, "16382") != NULL, "%s", message);
}

Test(segment, offsets_are_bounded)
{
    cr_assert_null(ap_at(seg, AP_SECTION_SLOTS, 128));
    cr_assert_not_null(ap_at(seg, AP_SECTION_SLOTS, 127));
    cr_assert_null(ap_at_offset(seg, seg->size, 1));
    cr_assert_null(ap_at_offset(seg, UINT64_MAX, 2));
    cr_assert_null(ap_at_offset(seg, 0, UINT64_MAX));
}
