/* Lanes: ownership, the kernel's death mark, reuse. */
#include "shm_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "shm/image.h"

TestSuite(lane, .init = fixture_setup, .fini = fixture_teardown);

Test(lane, open_close_reuse_raises_the_epoch)
{
    struct ap_lane_handle a, b;

    cr_assert_eq(ap_member_open(seg, "one", "svc", APIARY_CLIENT, &a), 0);
    cr_assert(ap_lane_alive(seg, a.index));
    cr_assert_not(ap_lane_dead(seg, a.index));
    cr_assert_str_eq(ap_member_at(seg, a.member)->name, "one");
    ap_member_close(seg, a.member, a.index);
    ap_lane_close(&a);
    cr_assert_not(ap_lane_alive(seg, a.index));
    cr_assert_not(ap_lane_dead(seg, a.index));
    cr_assert_eq(ap_member_open(seg, "two", NULL, APIARY_CLIENT, &b), 0);
    cr_assert_eq(b.index, a.index);
    cr_assert_eq(b.epoch, a.epoch + 1);
    ap_lane_close(&b);
}

Test(lane, only_a_living_members_record_is_read)
{
    struct ap_lane_handle h;
    struct ap_member m, *record;

    cr_assert_eq(ap_member_open(seg, "one", "svc", APIARY_CLIENT, &h), 0);
    record = ap_member_at(seg, h.member);
    cr_assert_eq(ap_member_read(seg, h.member, &m), 1);
    cr_assert_eq(memcmp(&m, record, sizeof m), 0);
    cr_assert_eq(m.pid, getpid());
    /* Taken by the next one, who has not filled it in: it still shows the former one's name. */
    ap_store_release(&record->life, AP_MEMBER_LIFE(AP_MEMBER_EPOCH(m.life) + 1, h.index, AP_MEMBER_CLAIMED));
    cr_assert_eq(ap_member_read(seg, h.member, &m), 0);
    ap_store_release(&record->life, AP_MEMBER_LIFE(AP_MEMBER_EPOCH(m.life) + 1, h.index, AP_LIFE_LIVE));
    ap_member_close(seg, h.member, h.index);
    cr_assert_eq(ap_member_read(seg, h.member, &m), 0);
    cr_assert_eq(ap_member_read(seg, 999999, &m), 0);
    ap_lane_close(&h);
}

Test(lane, all_taken)
{
    struct ap_lane_handle h[17];

    cr_assert_eq(ap_member_open(seg, "x", NULL, APIARY_CLIENT, &h[0]), 0);
    for (int i = 1; i < 16; i++) cr_assert_eq(ap_lane_open(seg, h[0].member, &h[i]), 0);
    cr_assert_eq(ap_lane_open(seg, h[0].member, &h[16]), APIARY_ENOLANE);
    /* Given back in an order that is not that of a stack. */
    for (int i = 0; i < 16; i += 2) ap_lane_close(&h[i]);
    for (int i = 1; i < 16; i += 2) ap_lane_close(&h[i]);
    for (int i = 0; i < 16; i++)
        cr_assert_eq(ap_load_relaxed(ap_robust_word(&ap_lane_at(seg, (uint64_t)i)->mutex)), 0, "lane %d is still locked", i);
}

Test(lane, a_killed_owner_is_marked_and_reaped)
{
    for (int round = 0; round < 20; round++) {
        uint32_t dead = fixture_die(NULL);

        cr_assert_not(ap_lane_alive(seg, dead));
        cr_assert(ap_lane_dead(seg, dead));
        cr_assert_eq(ap_reap_all(seg, AP_NO_LANE, NULL), 1);
        cr_assert_not(ap_lane_dead(seg, dead));
        cr_assert_eq(AP_LIFE_STATE(ap_lane_at(seg, dead)->life), AP_LIFE_FREE);
        cr_assert_eq(AP_MEMBER_STATE(ap_member_at(seg, 0)->life), AP_LIFE_FREE);
        cr_assert_eq(ap_reap_all(seg, AP_NO_LANE, NULL), 0);
    }
}

Test(lane, a_reapers_lock_does_not_make_the_dead_alive)
{
    uint32_t dead = fixture_die(NULL);

    cr_assert_eq(ap_robust_trylock(&ap_lane_at(seg, dead)->mutex), -EOWNERDEAD);
    cr_assert_not(ap_lane_alive(seg, dead), "the kernel's mark is gone, the life still says LIVE");
    ap_robust_consistent(&ap_lane_at(seg, dead)->mutex);
    ap_robust_unlock(&ap_lane_at(seg, dead)->mutex);
    cr_assert_not(ap_lane_alive(seg, dead));
    cr_assert_eq(ap_reap_all(seg, AP_NO_LANE, NULL), 1);
}

static void claim_only(struct ap_segment *own, struct ap_lane_handle *h)
{
    /* As between trylock and LIVE: the mutex is held, nothing is owned. */
    ap_store_release(&h->lane->life, AP_LIFE(h->epoch, AP_LIFE_FREE));
    (void)own;
}

Test(lane, death_before_live_leaves_the_lane_usable)
{
    uint32_t dead = fixture_die(claim_only);
    struct ap_lane_handle h;

    cr_assert_not(ap_lane_dead(seg, dead));
    cr_assert_eq(ap_lane_open(seg, 0, &h), 0);
    cr_assert_eq(h.index, dead);
    ap_lane_close(&h);
}

static void *short_thread(void *user)
{
    struct ap_lane_handle *h = user;

    cr_assert_eq(ap_lane_open(seg, 0, h), 0);
    ap_lane_share(h);
    return NULL;
}

Test(lane, shared_lane_outlives_its_thread_and_not_its_process)
{
    struct ap_lane_handle anchor, h;
    pthread_t t;

    cr_assert_eq(ap_member_open(seg, "p", NULL, APIARY_CLIENT, &anchor), 0);
    cr_assert_eq(pthread_create(&t, NULL, short_thread, &h), 0);
    pthread_join(t, NULL);
    cr_assert(ap_lane_alive(seg, h.index));
    cr_assert_not(ap_lane_dead(seg, h.index));
    cr_assert_eq(ap_reap_asking(seg, AP_NO_LANE, NULL), 0);
    ap_lane_close_shared(&h);
    ap_lane_close(&anchor);
}

static void share_then_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    (void)own;
    ap_lane_share(h);
}

Test(lane, shared_lane_of_a_dead_process_is_reaped)
{
    uint32_t dead = fixture_die(share_then_die);

    cr_assert_eq(ap_image_gone(seg, dead), 1);
    cr_assert_not(ap_lane_dead(seg, dead), "nobody has asked");
    cr_assert_eq(ap_reap_asking(seg, AP_NO_LANE, NULL), 1);
    cr_assert_eq(AP_LIFE_STATE(ap_lane_at(seg, dead)->life), AP_LIFE_FREE);
}

static void *raw_exit(void *user)
{
    cr_assert_eq(ap_lane_open(seg, 0, user), 0);
    return NULL; /* ends without closing: for the kernel that is death */
}

Test(lane, a_thread_that_ends_without_closing_is_dead)
{
    struct ap_lane_handle h;
    pthread_t t;

    cr_assert_eq(pthread_create(&t, NULL, raw_exit, &h), 0);
    pthread_join(t, NULL);
    cr_assert(ap_lane_dead(seg, h.index));
    cr_assert_eq(ap_reap_all(seg, AP_NO_LANE, NULL), 1);
}

/* The first of the thread's held robust mutexes, as glibc and the kernel have it. */
static void *list_first(void)
{
    struct robust_list_head *head;
    size_t size;

    cr_assert_eq(syscall(SYS_get_robust_list, 0, &head, &size), 0);
    return head->list.next == &head->list ? NULL : (void *)head->list.next;
}

Test(lane, forged_list_pointers_are_not_followed)
{
    struct ap_lane_handle a, b, c;

    cr_assert_eq(ap_lane_open(seg, 0, &a), 0);
    cr_assert_eq(ap_lane_open(seg, 0, &b), 0);
    cr_assert_eq(ap_lane_open(seg, 0, &c), 0);
    b.lane->mutex.__data.__list.__prev = (void *)0x10;
    ap_lane_close(&b);
    cr_assert_eq(ap_load_relaxed(ap_robust_word(&ap_lane_at(seg, b.index)->mutex)), 0);
    cr_assert_eq(AP_LIFE_STATE(ap_load_relaxed(&ap_lane_at(seg, b.index)->life)), AP_LIFE_FREE);
    c.lane->mutex.__data.__list.__next = NULL;
    a.lane->mutex.__data.__kind = 0;
    ap_lane_close(&a);
    ap_lane_close(&c);
    cr_assert_null(list_first());
}

Test(lane, a_forged_lock_word_does_not_lock_twice_or_stay_in_the_list)
{
    struct ap_lane_handle a, b;

    cr_assert_eq(ap_lane_open(seg, 0, &a), 0);
    ap_store_relaxed((uint32_t *)ap_robust_word(&a.lane->mutex), 0);
    ap_store_relaxed(&a.lane->life, AP_LIFE(a.epoch, AP_LIFE_FREE));
    cr_assert_eq(ap_lane_open(seg, 0, &b), 0);
    cr_assert_neq(b.index, a.index);
    ap_lane_close(&a);
    ap_store_relaxed((uint32_t *)ap_robust_word(&b.lane->mutex), 1);
    ap_lane_close(&b);
    cr_assert_eq(ap_load_relaxed(ap_robust_word(&ap_lane_at(seg, b.index)->mutex)), 1); /* that is somebody else's */
    cr_assert_null(list_first());
}

/* The list of what a thread holds begins with few places and grows more than once. */
Test(lane, a_thread_may_hold_very_many)
{
    enum { MANY = 600 };
    static pthread_mutex_t many[MANY];

#ifdef __SANITIZE_THREAD__
    cr_skip_test("the thread sanitizer's detector of deadlocks has room for 64 locks of a thread");
#endif
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(ap_robust_init(&many[i]), 0);
        cr_assert_eq(ap_robust_trylock(&many[i]), 0);
    }
    for (int i = 0; i < MANY; i++) cr_assert_eq(ap_robust_trylock(&many[i]), -EBUSY, "%d is held", i);
    /* From the middle of the list, and then the rest from its end. */
    for (int i = 1; i < MANY; i += 2) ap_robust_unlock(&many[i]);
    for (int i = 0; i < MANY; i += 2) ap_robust_unlock(&many[i]);
    for (int i = 0; i < MANY; i++) cr_assert_eq(ap_load_relaxed(ap_robust_word(&many[i])), 0, "%d is still locked", i);
    cr_assert_null(list_first());
}

Test(lane, a_programs_own_robust_mutexes_may_lie_between)
{
    pthread_mutex_t before, after;
    struct ap_lane_handle a, b;

#ifdef __SANITIZE_THREAD__
    cr_skip_test("it takes two orders of locking for a deadlock, even of one thread");
#endif
    cr_assert_eq(ap_robust_init(&before), 0);
    cr_assert_eq(ap_robust_init(&after), 0);
    cr_assert_eq(pthread_mutex_lock(&before), 0);
    cr_assert_eq(ap_lane_open(seg, 0, &a), 0);
    cr_assert_eq(pthread_mutex_lock(&after), 0);
    cr_assert_eq(ap_lane_open(seg, 0, &b), 0);
    cr_assert_eq(pthread_mutex_unlock(&before), 0);
    cr_assert_eq(pthread_mutex_lock(&before), 0);
    ap_lane_close(&a);
    cr_assert_eq(pthread_mutex_unlock(&after), 0);
    ap_lane_close(&b);
    cr_assert_eq(pthread_mutex_unlock(&before), 0);
    cr_assert_null(list_first());
}

/* A child with a lane, which then ends in its own way; the parent looks at the lane before it collects the child. */
static void child_then(void (*end)(int), void (*look)(uint32_t lane, pid_t pid))
{
    int ends[2], hold[2], status;
    uint32_t lane;
    pid_t pid;

    cr_assert(pipe(ends) == 0 && pipe(hold) == 0);
    pid = fork();
    if (pid == 0) {
        struct ap_segment *own;
        struct ap_lane_handle h;
        if (ap_segment_attach(seg_name, true, &ap_shm_parts, NULL, 0, &own) < 0 ||
            ap_member_open(own, "child", NULL, APIARY_CLIENT, &h) < 0 ||
            write(ends[1], &h.index, sizeof h.index) != sizeof h.index)
            _exit(1);
        close(hold[1]);
        end(hold[0]);
        _exit(1);
    }
    cr_assert_eq(read(ends[0], &lane, sizeof lane), (ssize_t)sizeof lane);
    close(hold[0]);
    look(lane, pid);
    close(hold[1]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
}

static void end_by_exec(int hold)
{
    dup2(hold, 0);
    execl("/bin/cat", "cat", (char *)NULL); /* lives until the parent closes the pipe */
}

static void dead_while_its_process_lives(uint32_t lane, pid_t pid)
{
    while (!ap_lane_dead(seg, lane)) sched_yield();
    cr_assert_eq(kill(pid, 0), 0);
    cr_assert_eq(ap_reap_lane(seg, AP_NO_LANE, lane, NULL), 1);
}

Test(lane, exec_is_death)
{
    child_then(end_by_exec, dead_while_its_process_lives);
}

static void end_by_exit(int hold)
{
    (void)hold;
    _exit(0);
}

Test(lane, a_zombie_is_dead)
{
    child_then(end_by_exit, dead_while_its_process_lives); /* kill(pid, 0) still succeeds: nobody has collected it */
}

Test(lane, a_mutex_of_another_kind_is_not_touched)
{
    static const int kinds[] = {0x00, 0x20, 0x40, 0xa0, 0xc0, 0x100};
    struct ap_lane_handle h;

    for (uint32_t i = 0; i < 16; i++)
        ap_lane_at(seg, i)->mutex.__data.__kind = kinds[i % (sizeof kinds / sizeof kinds[0])];
    cr_assert_eq(ap_lane_open(seg, 0, &h), APIARY_ENOLANE);
    ap_lane_at(seg, 3)->mutex.__data.__kind = 0x90;
    cr_assert_eq(ap_lane_open(seg, 0, &h), 0);
    cr_assert_eq(h.index, 3);
}

Test(lane, a_shared_lane_outlives_its_members_record)
{
    uint32_t dead = fixture_die(share_then_die);
    struct ap_lane_handle h;

    /* The record's next tenant lives; the lane's process does not. */
    ap_member_close(seg, ap_lane_at(seg, dead)->member, dead);
    cr_assert_eq(ap_member_open(seg, "next", NULL, APIARY_CLIENT, &h), 0);
    cr_assert_eq(ap_image_judge(seg, dead), 1);
    cr_assert_eq(ap_image_judge(seg, dead), 0, "it is written down once");
    cr_assert_eq(ap_reap_lane(seg, h.index, dead, NULL), 1);
}

Test(lane, watch_is_woken_by_the_kernel)
{
    int ready[2], go[2], status;
    uint32_t index, value;
    const uint32_t *word;
    pid_t pid;

    cr_assert(pipe(ready) == 0 && pipe(go) == 0);
    pid = fork();
    if (pid == 0) {
        struct ap_segment *own;
        struct ap_lane_handle h;
        char c;
        if (ap_segment_attach(seg_name, true, &ap_shm_parts, NULL, 0, &own) < 0 || ap_lane_open(own, 0, &h) < 0) _exit(1);
        if (write(ready[1], &h.index, sizeof h.index) < 0) _exit(1);
        if (read(go[0], &c, 1) < 0) _exit(1);
        kill(getpid(), SIGKILL);
    }
    cr_assert_eq(read(ready[0], &index, sizeof index), (ssize_t)sizeof index);
    cr_assert_eq(ap_lane_watch(seg, index, &word, &value), 0);
    cr_assert_eq(write(go[1], "x", 1), 1);
    while (ap_load_acquire(word) == value) {
        int r = seg->ops->futex_wait(word, value, UINT64_MAX);
        cr_assert(r == 0 || r == -EAGAIN || r == -EINTR);
    }
    cr_assert(ap_lane_dead(seg, index));
    cr_assert_eq(ap_lane_watch(seg, index, &word, &value), -EAGAIN);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
}

Test(lane, any_index_is_safe)
{
    cr_assert_not(ap_lane_alive(seg, 999999));
    cr_assert_not(ap_lane_dead(seg, 999999));
    cr_assert_eq(ap_reap_lane(seg, AP_NO_LANE, 999999, NULL), 0);
}

/* The bit that makes the kernel wake is set once, whoever else waits. */
Test(lane, watch_asks_the_kernel_to_wake)
{
    struct ap_lane_handle h;
    const uint32_t *word = NULL;
    uint32_t value = 0, held;

    cr_assert_eq(ap_lane_open(seg, 0, &h), 0);
    held = ap_load_relaxed(ap_robust_word(&h.lane->mutex));
    cr_expect_eq(held & FUTEX_WAITERS, 0);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(ap_lane_watch(seg, h.index, &word, &value), 0);
        cr_expect(word == ap_robust_word(&h.lane->mutex) && *word == (held | FUTEX_WAITERS) && value == *word);
    }
    ap_lane_close(&h);
    cr_expect_eq(ap_lane_watch(seg, h.index, &word, &value), -EAGAIN);
    cr_expect_eq(ap_lane_watch(seg, 16, &word, &value), -EAGAIN);
    cr_expect_eq(value, held | FUTEX_WAITERS, "the output is left alone");
}
