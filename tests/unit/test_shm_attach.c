/* What attach refuses, by the bytes that it finds, word for word; and removal by name. */
#include "shm_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "core/descriptor.h"

static char message[512], path[96], file[80];
static struct ap_header h; /* what is to be written */

static void setup(void)
{
    fixture_setup();
    snprintf(file, sizeof file, "%s-file", seg_name);
    snprintf(path, sizeof path, "/dev/shm%s", file);
    h = *seg->header;
}

static void teardown(void)
{
    unlink(path);
    fixture_teardown();
}

TestSuite(attach, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* A file with the header's first bytes, and zeros behind them. */
static void write_file(uint64_t bytes, uint64_t size)
{
    int fd;

    unlink(path);
    fd = ap_fd_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    cr_assert(fd >= 0 && write(fd, &h, bytes) == (ssize_t)bytes && ftruncate(fd, (off_t)size) == 0);
    close(fd);
    h = *seg->header;
}

static int attach(const char *name, bool writable)
{
    struct ap_segment *got = seg;
    int r;

    message[0] = '\0';
    r = ap_segment_attach(name, writable, &ap_shm_parts, message, sizeof message, &got);
    if (r < 0) cr_expect_eq(got, seg, "untouched");
    else ap_segment_unmap(got);
    return r;
}

/* By name and by descriptor, observers and others: all the same. `text` goes behind "NAME: ". */
static void refused(int line, int error, const char *text)
{
    char want[600];
    int fd;

    for (int writable = 0; writable < 2; writable++) {
        struct ap_segment *got = seg;

        cr_expect_eq(attach(file, writable != 0), error, "line %d: %s", line, message);
        snprintf(want, sizeof want, "%s: %s", file, text);
        cr_expect_str_eq(message, want, "line %d: %s", line, message);
        fd = ap_fd_open(path, writable ? O_RDWR : O_RDONLY, 0);
        cr_expect_eq(ap_segment_attach_fd(fd, writable != 0, &ap_shm_parts, message, sizeof message, &got), error);
        snprintf(want, sizeof want, "descriptor %d: %s", fd, text);
        if (strstr(text, "segment rm") == NULL || error == APIARY_EVERSION)
            cr_expect_str_eq(message, want, "line %d: %s", line, message);
        close(fd);
    }
}

#define REFUSED(bytes, size, error, ...)                     \
    do {                                                     \
        char text_[400];                                     \
        write_file(bytes, size);                             \
        snprintf(text_, sizeof text_, __VA_ARGS__);          \
        refused(__LINE__, error, text_);                     \
    } while (0)

#define DIED "its creator died before it was ready; remove it with 'apiary segment rm %s' and start the coordinator again", file

Test(attach, by_its_size)
{
    const unsigned long long whole = seg->size;

    REFUSED(0, 0, APIARY_ECREATOR, DIED);
    REFUSED(0, 100, APIARY_ECREATOR, DIED);
    REFUSED(0, 4095, APIARY_ECREATOR, DIED);
    REFUSED(0, 4096, APIARY_ECREATOR, DIED);
    REFUSED(0, 100000, APIARY_ECREATOR, DIED);
    REFUSED(100, 100, APIARY_ETOOSMALL, "100 bytes are too few for a segment's header; it is truncated, recreate it");
    REFUSED(sizeof h, 4095, APIARY_ETOOSMALL, "4095 bytes are too few for a segment's header; it is truncated, recreate it");
    REFUSED(sizeof h, 4096, APIARY_ETOOSMALL, "the segment has 4096 bytes, its header says %llu; it is truncated, recreate it",
            whole);
    REFUSED(sizeof h, whole - 1, APIARY_ETOOSMALL, "the segment has %llu bytes, its header says %llu; it is truncated, recreate "
            "it", whole - 1, whole);
}

Test(attach, by_its_magic)
{
    memset(&h, 'x', sizeof h);
    REFUSED(100, 100, APIARY_ENOTOURS, "not an apiary segment; check the name");
    memset(&h, 'x', sizeof h);
    REFUSED(sizeof h, 8192, APIARY_ENOTOURS, "not an apiary segment; check the name");
    for (int i = 0; i < 8; i++) {
        h.magic[i] ^= 1;
        REFUSED(sizeof h, seg->size, APIARY_ENOTOURS, "not an apiary segment; check the name");
    }
    memset(h.magic, 0, 8);
    h.magic[7] = 'x';
    REFUSED(sizeof h, seg->size, APIARY_ENOTOURS, "not an apiary segment; check the name");
    memset(h.magic, 0, 8);
    REFUSED(sizeof h, seg->size, APIARY_ECREATOR, DIED);
}

Test(attach, by_its_version)
{
    const uint32_t least = AP_LAYOUT_VERSION_MIN, most = AP_LAYOUT_VERSION;
    const unsigned long long fingerprint = h.fingerprint;

#define VERSION(v) "the segment has layout version %u, this library works with %u to %u; use programs of the same version, or " \
                   "stop all members, then 'apiary segment rm' it", v, least, most
    h.version = least - 1;
    REFUSED(sizeof h, seg->size, APIARY_EVERSION, VERSION(least - 1));
    h.version = most + 3;
    h.version_min = most + 1;
    REFUSED(sizeof h, seg->size, APIARY_EVERSION, VERSION(most + 3));
    h.fingerprint++;
    REFUSED(sizeof h, seg->size, APIARY_EVERSION, "the segment has layout fingerprint %016llx, this library has %016llx; use "
            "programs of the same build, or stop all members, then 'apiary segment rm' it", fingerprint + 1, fingerprint);
}

Test(attach, by_its_state_and_table)
{
    static const char table[] = "the header's section table contradicts its geometry; look with 'shmdump --verify', then recreate "
                                "the segment";

    h.state = AP_SEGMENT_CREATING;
    REFUSED(sizeof h, seg->size, APIARY_ECREATOR, DIED);
    h.state = 0;
    REFUSED(sizeof h, seg->size, APIARY_ECREATOR, DIED);
    h.sections[3].offset += 64;
    REFUSED(sizeof h, seg->size, APIARY_ECORRUPT, table);
    h.section_count--;
    REFUSED(sizeof h, seg->size, APIARY_ECORRUPT, table);
    h.geometry.members++;
    REFUSED(sizeof h, seg->size, APIARY_ECORRUPT, table);
    h.size -= 4096;
    REFUSED(sizeof h, seg->size, APIARY_ECORRUPT, table);
    REFUSED(sizeof h, seg->size + 4096, APIARY_ECORRUPT, table);
}

/* Its creator holds the lock for as long as it is at it. */
Test(attach, while_it_is_made)
{
    char want[160];
    int fd;

    write_file(0, 0);
    fd = ap_fd_open(path, O_RDWR, 0);
    cr_assert_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    cr_expect_eq(attach(file, true), APIARY_ECREATING);
    snprintf(want, sizeof want, "%s: still being created; try again in a moment", file);
    cr_expect_str_eq(message, want);
    cr_expect_eq(attach(file, false), APIARY_ECREATING);
    cr_assert_eq(flock(fd, LOCK_UN), 0);
    cr_expect_eq(attach(file, true), APIARY_ECREATOR);
    cr_expect_eq(flock(fd, LOCK_EX | LOCK_NB), 0, "who has looked holds nothing");
    close(fd);
}

Test(attach, what_is_no_file)
{
    struct ap_segment *got;
    char want[160];
    int fd = ap_fd_open("/dev/null", O_RDWR, 0);

    cr_expect_eq(ap_segment_attach_fd(fd, true, &ap_shm_parts, message, sizeof message, &got), APIARY_ENOTOURS);
    snprintf(want, sizeof want, "descriptor %d: not a file", fd);
    cr_expect_str_eq(message, want);
    close(fd);
    cr_expect_eq(ap_segment_attach_fd(9999, true, &ap_shm_parts, message, sizeof message, &got), APIARY_EINVAL);
    cr_expect_str_eq(message, "descriptor 9999 is not open: Bad file descriptor");
    cr_expect_eq(attach("/apiary-unit-never", true), APIARY_ENOSEG);
    cr_expect_str_eq(message, "/apiary-unit-never: no such segment; start the coordinator ('apiary up', or apiaryd), or name "
                     "another segment with --segment or APIARY_SEGMENT");
}

/* ---- times ----------------------------------------------------------------------------------------------------- */

static int attach_from(uint64_t inode, int64_t offset, const char *text)
{
    struct ap_time_namespace own;
    char want[400];
    int r, looks;

    ap_time_namespace_self(&own);
    seg->header->time_namespace = (struct ap_time_namespace){.inode = inode, .offset = offset};
    looks = attach(seg_name, false);
    if (looks < 0) {
        cr_expect(looks == APIARY_ETIMENS && offset == AP_OFFSET_UNKNOWN, "an observer may, where it knows the time");
        snprintf(want, sizeof want, "%s: its times are those of time namespace %llu, this process is in %llu%s; attach from there",
                 seg_name, (unsigned long long)inode, (unsigned long long)own.inode, text);
        cr_expect_str_eq(message, want);
    }
    r = attach(seg_name, true);
    if (r == APIARY_ETIMENS) {
        snprintf(want, sizeof want, "%s: its times are those of time namespace %llu, this process is in %llu%s; attach from there, "
                 "or start a coordinator with a segment of its own here", seg_name, (unsigned long long)inode,
                 (unsigned long long)own.inode, text);
        cr_expect_str_eq(message, want);
    }
    return r;
}

Test(attach, from_another_time_namespace)
{
    struct ap_time_namespace own;

    ap_time_namespace_self(&own);
    cr_expect_eq(attach_from(own.inode, own.offset, ""), 0);
    cr_expect_eq(attach_from(0, 77, ""), 0, "nothing is known");
    if (own.inode == 0) return;
    cr_expect_eq(attach_from(own.inode, own.offset + 1, ""), 0, "the same");
    cr_expect_eq(attach_from(own.inode + 1, AP_OFFSET_UNKNOWN, ""), APIARY_ETIMENS);
    if (own.offset == AP_OFFSET_UNKNOWN) return;
    cr_expect_eq(attach_from(own.inode + 1, own.offset, ""), 0, "the clock is the same");
    cr_expect_eq(attach_from(own.inode + 1, own.offset + INT64_C(3000000000), ", where the clock shows -3 s"), APIARY_ETIMENS);
    cr_expect_eq(attach_from(own.inode + 1, own.offset - INT64_C(10000000000000), ", where the clock shows +10000 s"),
                 APIARY_ETIMENS);
}

/* By the segment's clock, of one other time namespace at a time. */
Test(attach, an_observer_goes_by_the_segments_clock)
{
    const int64_t hour = INT64_C(3600000000000);
    struct ap_segment *first = NULL, *second = NULL;
    struct ap_time_namespace own;
    uint64_t before;
    uint32_t word = 0;

    ap_time_namespace_self(&own);
    if (own.inode == 0 || own.offset == AP_OFFSET_UNKNOWN) cr_skip_test("the system does not say in which time we are");
    seg->header->time_namespace = (struct ap_time_namespace){.inode = own.inode + 1, .offset = own.offset + hour};
    cr_assert_eq(ap_segment_attach(seg_name, false, &ap_shm_parts, message, sizeof message, &first), 0, "%s", message);
    cr_expect_eq(ap_ops_shift(first->ops), hour);
    before = ap_ops_system.now();
    cr_expect_geq(first->ops->now(), before + (uint64_t)hour);
    cr_expect_leq(first->ops->now(), ap_ops_system.now() + (uint64_t)hour);
    cr_expect_eq(first->ops->futex_wait(&word, 0, first->ops->now() + 1000000), -ETIMEDOUT);
    cr_expect_eq(first->ops->futex_wait(&word, 1, UINT64_MAX), -EAGAIN);
    cr_assert_eq(ap_segment_attach(seg_name, false, &ap_shm_parts, message, sizeof message, &second), 0, "the same clock");
    ap_segment_unmap(second);
    seg->header->time_namespace.offset -= 2 * hour;
    cr_expect_eq(ap_segment_attach(seg_name, false, &ap_shm_parts, message, sizeof message, &second), APIARY_ETIMENS);
    ap_segment_unmap(first);
    cr_assert_eq(ap_segment_attach(seg_name, false, &ap_shm_parts, message, sizeof message, &second), 0, "the first is gone");
    cr_expect_eq(ap_ops_shift(second->ops), -hour);
    ap_segment_unmap(second);
    cr_expect_eq(ap_ops_shift(&ap_ops_system), 0);
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

Test(attach, a_name_is_removed_by_whom_it_leads_to)
{
    struct ap_segment *other = fixture_again();

    write_file(sizeof h, seg->size);
    cr_expect_not(ap_segment_removed(seg));
    cr_expect_eq(ap_segment_remove_own(seg->fd, file), 0, "that is another file");
    cr_expect_eq(access(path, F_OK), 0);
    cr_expect_eq(ap_segment_remove_own(9999, seg_name), APIARY_ESYS);
    cr_expect_eq(ap_segment_remove_own(seg->fd, "none"), APIARY_EINVAL);
    cr_expect_eq(ap_segment_remove_own(seg->fd, "/apiary-unit-never"), 0);
    cr_expect_eq(ap_segment_remove_own(seg->fd, seg_name), 1);
    cr_expect(ap_segment_removed(seg) && ap_segment_removed(other));
    cr_expect_eq(ap_segment_remove_own(seg->fd, seg_name), 0);
    cr_expect_eq(ap_segment_remove(seg_name), APIARY_ENOSEG);
    ap_segment_unmap(other);
}

Test(attach, sections_by_name)
{
    for (uint32_t i = 0; i < AP_SECTION_FIRST_FREE; i++)
        cr_expect_eq(ap_segment_section(seg, ap_shm_parts.rows[i]->name), (int)i);
    cr_expect_eq(ap_segment_section(seg, "lane"), -1);
    cr_expect_eq(ap_segment_section(seg, "laness"), -1);
    cr_expect_eq(ap_segment_section(seg, ""), -1, "none of those that are not used");
}
