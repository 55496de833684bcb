/* Process images: deaths that no mark in a lock tells.
 * ctest: not thread
 * The thread sanitizer does not know threads that a forked child makes anew ("dup thread with used id"). */
#include "shm_fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>

#include "shm/image.h"

TestSuite(image, .init = fixture_setup, .fini = fixture_teardown);

static bool reaped(uint32_t lane, uint64_t epoch)
{
    ap_reap_asking(seg, AP_NO_LANE, NULL);
    return AP_LIFE_EPOCH(ap_load_acquire(&ap_lane_at(seg, lane)->life)) != epoch;
}

static uint64_t epoch_of(uint32_t lane)
{
    return AP_LIFE_EPOCH(ap_load_acquire(&ap_lane_at(seg, lane)->life));
}

static void *open_and_exec(void *user)
{
    struct ap_lane_handle *anchor = user, mine;

    if (ap_lane_open(anchor->seg, anchor->member, &mine) < 0) _exit(2);
    ap_store_relaxed(&anchor->lane->hand[7], mine.index); /* nobody runs anything there */
    execl("/bin/cat", "cat", (char *)NULL);
    _exit(3);
}

static void *open_and_share(void *user)
{
    struct ap_lane_handle *anchor = user, mine;

    if (ap_lane_open(anchor->seg, anchor->member, &mine) < 0) _exit(2);
    ap_lane_share(&mine);
    return NULL;
}

/* A child with an anchor lane and, by `thread`, another; then it execs from its main thread, unless that was done already. It lives
 * until `hold` is closed. Returns its other lane, which is the next index. */
static uint32_t child_with(void *(*thread)(void *), int *hold, pid_t *pid)
{
    int told[2], ends[2];
    uint32_t lane;

    cr_assert(pipe(told) == 0 && pipe(ends) == 0);
    *pid = fork();
    if (*pid == 0) {
        struct ap_segment *own;
        struct ap_lane_handle h;
        pthread_t t;

        close(ends[1]);
        dup2(ends[0], 0);
        if (ap_segment_attach(seg_name, true, &ap_shm_parts, NULL, 0, &own) < 0 ||
            ap_member_open(own, "child", NULL, APIARY_CLIENT, &h) < 0)
            _exit(1);
        lane = h.index + 1;
        fcntl(told[1], F_SETFD, FD_CLOEXEC); /* it has become another program when this is closed */
        if (write(told[1], &lane, sizeof lane) != sizeof lane) _exit(1);
        pthread_create(&t, NULL, thread, &h);
        pthread_join(t, NULL);
        execl("/bin/cat", "cat", (char *)NULL);
        _exit(3);
    }
    close(ends[0]);
    close(told[1]);
    *hold = ends[1];
    cr_assert_eq(read(told[0], &lane, sizeof lane), (ssize_t)sizeof lane);
    cr_assert_eq(read(told[0], &lane, 1), 0);
    close(told[0]);
    return lane;
}

static void child_over(int hold, pid_t pid)
{
    int status;

    cr_assert_eq(kill(pid, 0), 0);
    close(hold);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(image, exec_from_another_thread_than_the_main_one_is_death)
{
    /* More often than there are lanes. */
    for (int round = 0; round < 20; round++) {
        int hold;
        pid_t pid;
        uint32_t lane = child_with(open_and_exec, &hold, &pid);
        uint64_t epoch = epoch_of(lane);

        cr_assert_not(ap_lane_dead(seg, lane), "the kernel marks it: then all this is not needed any more");
        while (!reaped(lane, epoch)) sched_yield();
        cr_assert_eq(ap_lane_at(seg, lane)->crash, AP_CRASH_EXEC, "whose code did it is suspected");
        child_over(hold, pid);
    }
}

Test(image, exec_is_the_death_of_what_ended_threads_left)
{
    for (int round = 0; round < 20; round++) {
        int hold;
        pid_t pid;
        uint32_t lane = child_with(open_and_share, &hold, &pid);
        uint64_t epoch = epoch_of(lane);

        while (!reaped(lane, epoch)) sched_yield();
        child_over(hold, pid);
    }
}

Test(image, who_has_taken_a_lock_from_the_dead_keeps_it)
{
    int hold;
    pid_t pid;
    uint32_t lane = child_with(open_and_exec, &hold, &pid);
    struct ap_lane *l = ap_lane_at(seg, lane);
    uint64_t epoch = epoch_of(lane);

    while (!ap_image_gone(seg, lane)) sched_yield();
    /* As one does whom another pid namespace has given the same number. */
    ap_store_relaxed(&l->mutex.__data.__owner, INT_MAX);
    cr_assert_eq(ap_image_judge(seg, lane), 0);
    ap_store_relaxed(&l->mutex.__data.__owner, (int)l->tid);
    ap_store_relaxed(&l->tid, l->tid + 1);
    cr_assert_eq(ap_image_judge(seg, lane), 0);
    ap_store_relaxed(&l->tid, l->tid - 1);
    cr_assert_eq(ap_image_judge(seg, lane), 1);
    cr_assert_eq(ap_load_relaxed(ap_robust_word(&l->mutex)), FUTEX_OWNER_DIED);
    cr_assert(reaped(lane, epoch));
    child_over(hold, pid);
}

/* A judge that is stopped while it has the right to open the lock keeps that lane out of use, and no task waiting. */
Test(image, a_stopped_judge_holds_up_no_recovery)
{
    struct ap_segment *stopped = fixture_again();
    int hold;
    pid_t pid;
    uint32_t lane = child_with(open_and_exec, &hold, &pid);
    struct ap_lane *l = ap_lane_at(seg, lane);
    uint64_t epoch = epoch_of(lane);

    while (!ap_image_gone(seg, lane)) sched_yield();
    ap_store_relaxed(&l->judge, stopped->image);
    cr_assert_eq(ap_image_judge(seg, lane), 1);
    cr_assert_eq(ap_load_relaxed(&l->life), AP_LIFE(epoch, AP_LIFE_JUDGED));
    cr_assert_eq(ap_lane_dead(seg, lane), 0, "its lock is closed");
    cr_assert_eq(ap_image_judge(seg, lane), 0, "the other has the right");
    cr_assert_eq(ap_reap_lane(seg, AP_NO_LANE, lane, NULL), 0);
    cr_assert_eq(ap_reap_held(seg, lane), AP_LIFE(epoch, AP_LIFE_JUDGED));
    cr_assert_eq(ap_reap_beside(seg, AP_NO_LANE, lane, NULL), 1);
    ap_segment_unmap(stopped); /* it is killed */
    cr_assert_eq(ap_image_judge(seg, lane), 1);
    cr_assert_eq(ap_load_relaxed(&l->judge), 0);
    cr_assert(reaped(lane, epoch));
    child_over(hold, pid);
}

static void stay(int hold)
{
    char c;

    while (read(hold, &c, 1) < 0) {}
    _exit(0);
}

/* The parent's descriptors are copied, its mapping is not. */
Test(image, a_forked_child_does_not_keep_its_parent_alive)
{
    int told[2], hold[2], status;
    uint32_t lane;
    uint64_t epoch;
    pid_t pid;

    cr_assert(pipe(told) == 0 && pipe(hold) == 0);
    pid = fork();
    if (pid == 0) {
        struct ap_segment *own;
        struct ap_lane_handle h;

        close(hold[1]);
        if (ap_segment_attach(seg_name, true, &ap_shm_parts, NULL, 0, &own) < 0 || ap_lane_open(own, 0, &h) < 0) _exit(1);
        ap_lane_share(&h);
        if (fork() == 0) stay(hold[0]);
        if (write(told[1], &h.index, sizeof h.index) != sizeof h.index) _exit(1);
        kill(getpid(), SIGKILL);
    }
    cr_assert_eq(read(told[0], &lane, sizeof lane), (ssize_t)sizeof lane);
    epoch = epoch_of(lane);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    while (!reaped(lane, epoch)) sched_yield();
    close(hold[1]);
}

static void left_in_a_namespace(int out)
{
    struct ap_segment *own;
    struct ap_lane_handle h;

    if (ap_segment_attach(seg_name, true, &ap_shm_parts, NULL, 0, &own) < 0 || ap_lane_open(own, 0, &h) < 0) _exit(1);
    ap_lane_share(&h);
    if (write(out, &h.index, sizeof h.index) != sizeof h.index) _exit(1);
    kill(getpid(), SIGSTOP);
}

Test(image, a_death_in_another_pid_namespace_is_seen)
{
    int told[2], status;
    uint32_t lane = 0;
    uint64_t epoch;
    pid_t pid;

    cr_assert_eq(pipe(told), 0);
    pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWPID) < 0) _exit(77);
        pid = fork();
        if (pid == 0) left_in_a_namespace(told[1]);
        /* Its number 1 is not stopped by itself; it goes on, and ends. */
        _exit(pid > 0 && waitpid(pid, &status, WUNTRACED) == pid ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (WEXITSTATUS(status) == 77) cr_skip_test("no right to make a pid namespace");
    cr_assert_eq(read(told[0], &lane, sizeof lane), (ssize_t)sizeof lane);
    epoch = epoch_of(lane);
    while (!reaped(lane, epoch)) sched_yield();
}

static void left_by_descriptor(int out)
{
    struct ap_segment *own;
    struct ap_lane_handle h;

    if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0) _exit(77);
    if (ap_segment_attach(seg_name, true, &ap_shm_parts, NULL, 0, &own) != APIARY_EPERM) _exit(77);
    if (ap_segment_attach_fd(seg->fd, true, &ap_shm_parts, NULL, 0, &own) < 0 || ap_lane_open(own, 0, &h) < 0) _exit(1);
    ap_lane_share(&h);
    if (write(out, &h.index, sizeof h.index) != sizeof h.index) _exit(1);
    for (;;) pause();
}

/* Its lock is one of the very description that the giver has. */
Test(image, who_was_given_a_descriptor_and_no_permission_is_not_taken_for_dead)
{
    int told[2], status;
    uint32_t lane;
    pid_t pid;

    cr_assert_eq(fchmod(seg->fd, 0600), 0);
    cr_assert_eq(pipe(told), 0);
    pid = fork();
    if (pid == 0) left_by_descriptor(told[1]);
    close(told[1]);
    if (read(told[0], &lane, sizeof lane) != (ssize_t)sizeof lane) {
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        if (WEXITSTATUS(status) == 77) cr_skip_test("no right to become another user");
        cr_assert_fail("status %x", (unsigned)status);
    }
    cr_expect_eq(ap_image_gone(seg, lane), 0);
    cr_expect_eq(ap_reap_asking(seg, AP_NO_LANE, NULL), 0);
    cr_expect(ap_lane_alive(seg, lane));
    kill(pid, SIGKILL);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
}

Test(image, numbers_of_images_are_not_given_twice)
{
    struct ap_segment *a = fixture_again(), *b;

    cr_assert_neq(a->image, seg->image);
    ap_store_relaxed(&seg->header->images, seg->image - 1); /* the count is forged */
    b = fixture_again();
    cr_assert(b->image != seg->image && b->image != a->image);
    ap_segment_unmap(a);
    ap_segment_unmap(b);
}
