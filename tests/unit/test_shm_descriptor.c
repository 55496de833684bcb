/* The descriptor by which a segment is passed on: it is the segment's, whatever other code has done with its number. */
#include "shm_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

TestSuite(descriptor, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static bool names_the_segment(int fd)
{
    char path[80];
    struct stat here, there;

    snprintf(path, sizeof path, "/dev/shm%s", seg_name);
    return fstat(fd, &here) == 0 && stat(path, &there) == 0 && here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

static unsigned open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    cr_assert_not_null(dir);
    while (readdir(dir) != NULL) n++;
    closedir(dir);
    return n;
}

Test(descriptor, is_the_same_as_long_as_it_is_there)
{
    int fd = ap_segment_fd(seg);
    unsigned before = open_files();

    cr_assert_geq(fd, 3);
    cr_expect(names_the_segment(fd));
    for (int i = 0; i < 5; i++) cr_expect_eq(ap_segment_fd(seg), fd);
    cr_expect_eq(open_files(), before);
}

Test(descriptor, is_opened_again_when_other_code_has_closed_it)
{
    int fd = ap_segment_fd(seg), again;
    unsigned before = open_files();

    close(fd);
    again = ap_segment_fd(seg);
    cr_expect(names_the_segment(again));
    cr_expect_eq(ap_segment_fd(seg), again);
    cr_expect_eq(open_files(), before);
    cr_expect((fcntl(again, F_GETFD) & FD_CLOEXEC) != 0 && again >= 3);
    cr_expect_eq(fcntl(again, F_GETFL) & O_ACCMODE, O_RDWR);
}

/* The number is another file's by now, which stays its owner's. */
Test(descriptor, whose_number_is_anothers)
{
    int fd = ap_segment_fd(seg), other = open("/dev/null", O_RDONLY | O_CLOEXEC), again;
    struct stat was, is;

    cr_assert_eq(dup2(other, fd), fd);
    cr_assert_eq(fstat(other, &was), 0);
    again = ap_segment_fd(seg);
    cr_expect_neq(again, fd);
    cr_expect(names_the_segment(again));
    cr_expect_eq(fstat(fd, &is), 0);
    cr_expect(is.st_rdev == was.st_rdev && is.st_ino == was.st_ino);
    close(fd);
    close(other);
}

/* A segment of that name that is another one is not taken for it. */
Test(descriptor, of_a_segment_that_was_made_anew)
{
    struct ap_segment *old = seg, *next;
    int fd = ap_segment_fd(old);
    unsigned before;

    close(fd);
    cr_assert_eq(shm_unlink(seg_name), 0);
    before = open_files();
    cr_expect_eq(ap_segment_fd(old), fd, "there is none by that name");
    fixture_make(128, 8, 2);
    next = seg;
    cr_expect_neq(next, old);
    before = open_files();
    cr_expect_eq(ap_segment_fd(old), fd);
    cr_expect_eq(open_files(), before, "what was opened in vain is closed");
    old->fd = -1; /* the number may be the new one's */
    ap_segment_unmap(old);
}

Test(descriptor, of_who_only_observes)
{
    struct ap_segment *observer = NULL;
    int fd;

    cr_assert_eq(ap_segment_attach(seg_name, false, &ap_shm_parts, NULL, 0, &observer), 0);
    close(ap_segment_fd(observer));
    fd = ap_segment_fd(observer);
    cr_expect(names_the_segment(fd));
    cr_expect_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    ap_segment_unmap(observer);
}
