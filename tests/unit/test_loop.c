/* The loop. Run once for each way of parking ($APIARY_PARK); without it, the best of this machine. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/atomic.h"
#include "core/loop_inside.h"
#include "tests/support/forbid.h"

static struct ap_loop *loop;
static uint32_t bell; /* outlives the loop, as its contract asks */

static void setup(void)
{
    cr_assert_eq(ap_loop_create(&ap_ops_system, 1, &loop), 0);
}

static void teardown(void)
{
    ap_loop_destroy(loop);
}

static void park_on(const uint32_t *word, uint32_t value, uint64_t until)
{
    ap_loop_word(loop, 0, word, value, false);
    ap_loop_park(loop, until);
}

TestSuite(loop, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

struct record {
    int calls;
    uint32_t events;
    int fd;
    apiary_watch_t *close;
    apiary_watch_t *other;
};

static void record_event(void *user, uint32_t events)
{
    struct record *r = user;
    char byte;

    r->calls++;
    r->events = events;
    if (r->fd >= 0 && (events & POLLIN) != 0) cr_assert_eq(read(r->fd, &byte, 1), 1);
    if (r->close != NULL) {
        ap_loop_close(r->close);
        r->close = NULL;
    }
    if (r->other != NULL) {
        ap_loop_close(r->other);
        r->other = NULL;
    }
}

static void park_until_calls(const struct record *r, int calls)
{
    while (r->calls < calls) park_on(&bell, 0, UINT64_MAX);
}

static void *wake_soon(void *arg)
{
    (void)arg;
    ap_loop_wake(loop);
    return NULL;
}

/* Without memory for its list of descriptors poll has none to be woken by. */
Test(loop, without_memory_it_does_not_sleep_for_good)
{
    pthread_t thread;

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    cr_skip_test("its allocator ends the program instead");
#endif
    loop->watch_count = SIZE_MAX / 64;
    loop->polls_stale = true;
    cr_assert_eq(pthread_create(&thread, NULL, wake_soon, NULL), 0);
    ap_loop_park(loop, UINT64_MAX);
    pthread_join(thread, NULL);
    loop->watch_count = 0;
}

/* A ring that takes no more entries cannot watch what ap_loop_wake writes. */
Test(loop, with_a_full_ring_it_does_not_sleep_for_good)
{
    struct record r = {.fd = -1};
    unsigned entries;
    int ends[2];

    if (loop->park == AP_PARK_POLL) cr_skip_test("without a ring");
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, record_event, &r, NULL), 0);
    entries = loop->ring.sq.ring_entries;
    loop->ring.sq.ring_entries = 0;
    ap_loop_park(loop, UINT64_MAX);
    loop->ring.sq.ring_entries = entries;
}

static void put(int fd)
{
    cr_assert_eq(write(fd, "x", 1), 1);
}

Test(loop, forced_variant_is_used)
{
    const char *forced = getenv("APIARY_PARK");

    if (forced != NULL && *forced != '\0') cr_assert_str_eq(ap_park_name(ap_loop_park_kind(loop)), forced);
    cr_assert_gt(ap_loop_park_kind(loop), AP_PARK_ANY);
}

Test(loop, a_variant_that_is_asked_for_is_that_or_refused)
{
    struct ap_loop *other;

    for (int i = AP_PARK_URING; i <= AP_PARK_POLL; i++) {
        int r;

        setenv("APIARY_PARK", ap_park_name((enum ap_park)i), 1);
        r = ap_loop_create(&ap_ops_system, 4, &other);
        cr_expect(r == 0 || (r == APIARY_ENOTSUP && i != AP_PARK_POLL), "%s: %d", ap_park_name((enum ap_park)i), r);
        if (r < 0) continue;
        cr_expect_eq((int)ap_loop_park_kind(other), i);
        ap_loop_destroy(other);
    }
}

Test(loop, unknown_variant_is_refused)
{
    struct ap_loop *other = NULL;

    setenv("APIARY_PARK", "hammock", 1);
    cr_assert_eq(ap_loop_create(&ap_ops_system, 1, &other), APIARY_EINVAL);
    cr_assert_null(other);
}

Test(loop, a_ring_that_must_not_be_entered_is_not_used)
{
    int status;
    pid_t pid = fork(); /* the loop of the fixture may need what is forbidden here */

    if (pid == 0) {
        struct ap_loop *other = NULL;

        unsetenv("APIARY_PARK");
        if (!forbid_call(SYS_io_uring_enter, FORBID_ANY, FORBID_ERROR(EPERM))) _exit(77);
        if (ap_loop_create(&ap_ops_system, 1, &other) != 0) _exit(1);
        _exit(ap_loop_park_kind(other) == AP_PARK_POLL ? 0 : 2);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status), "status %x", (unsigned)status);
    if (WEXITSTATUS(status) == 77) cr_skip_test("no seccomp filters here");
    cr_expect_eq(WEXITSTATUS(status), 0);
}

Test(loop, changed_bell_does_not_sleep)
{
    bell = 7;
    park_on(&bell, 5, UINT64_MAX);
    /* The same with a wait left over in the kernel. */
    park_on(&bell, 7, ap_ops_system.now() + 1000);
    park_on(&bell, 5, UINT64_MAX);
}

Test(loop, sleeps_until_the_time_given)
{
    uint64_t until = ap_ops_system.now() + 5000000;

    for (int turns = 0; ap_ops_system.now() < until; turns++) {
        cr_assert_lt(turns, 100, "it does not sleep");
        park_on(&bell, 0, until);
    }
}

static void *wake_loop(void *arg)
{
    uint32_t *flag = arg;

    ap_store_release(flag, 1);
    ap_loop_wake(loop);
    return NULL;
}

Test(loop, wake_ends_the_park)
{

    for (int i = 0; i < 200; i++) {
        uint32_t flag = 0;
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, wake_loop, &flag), 0);
        while (!ap_load_acquire(&flag)) park_on(&bell, 0, UINT64_MAX);
        pthread_join(thread, NULL);
    }
    /* One that came while the loop was awake counts for the next park. */
    ap_loop_wake(loop);
    park_on(&bell, 0, UINT64_MAX);
}

Test(loop, descriptor_is_reported_as_long_as_it_is_ready)
{
    int ends[2];
    struct record r = {.fd = -1};
    apiary_watch_t *watch;

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, record_event, &r, &watch), 0);
    cr_assert_eq(ap_loop_turn(loop), 0);
    put(ends[1]);
    park_until_calls(&r, 3); /* nothing was read: level-triggered */
    cr_assert_eq(r.events, POLLIN);
    r.fd = ends[0];
    park_until_calls(&r, 4);
    cr_assert_eq(r.calls, 4);
    close(ends[1]);
    r.fd = -1;
    park_until_calls(&r, 5);
    cr_assert(r.events & POLLHUP);
    ap_loop_close(watch);
}

/* Its callback learns of it, or it would wait for ever for what nobody watches. */
Test(loop, descriptor_that_a_full_ring_watches_no_longer_has_failed)
{
    int ends[2];
    struct record r = {.fd = -1};
    apiary_watch_t *watch;
    unsigned entries;

    if (loop->park == AP_PARK_POLL) cr_skip_test("without a ring");
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, record_event, &r, &watch), 0);
    ap_loop_turn(loop);
    entries = loop->ring.sq.ring_entries;
    loop->ring.sq.ring_entries = 0;
    put(ends[1]);
    while (r.calls == 0) ap_loop_turn(loop);
    loop->ring.sq.ring_entries = entries;
    cr_expect_eq(r.calls, 2);
    cr_expect_eq(r.events, POLLERR);
    for (int i = 0; i < 200; i++) ap_loop_turn(loop);
    cr_expect_eq(r.calls, 2, "reported once");
    ap_loop_close(watch);
}

Test(loop, turn_finds_descriptors_without_parking)
{
    int ends[2];
    struct record r = {.fd = -1};

    cr_assert_eq(pipe(ends), 0);
    r.fd = ends[0];
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, record_event, &r, NULL), 0);
    for (int i = 1; i <= 50; i++) {
        put(ends[1]);
        while (r.calls < i) ap_loop_turn(loop);
    }
}

Test(loop, watch_is_closed_in_its_own_callback_and_by_another)
{
    int first[2], second[2];
    struct record a = {.fd = -1}, b = {.fd = -1};
    apiary_watch_t *wa, *wb;

    cr_assert_eq(pipe(first), 0);
    cr_assert_eq(pipe(second), 0);
    cr_assert_eq(ap_loop_watch(loop, first[0], POLLIN, record_event, &a, &wa), 0);
    cr_assert_eq(ap_loop_watch(loop, second[0], POLLIN, record_event, &b, &wb), 0);
    a.close = wa;
    a.other = wb;
    b.close = wb;
    b.other = wa;
    put(first[1]);
    put(second[1]);
    while (a.calls + b.calls == 0) park_on(&bell, 0, UINT64_MAX);
    /* Whichever came first closed both. */
    for (int i = 0; i < 200; i++) ap_loop_turn(loop);
    cr_assert_eq(a.calls + b.calls, 1);
}

Test(loop, closed_pipe_is_let_go_of)
{
    int ends[2];
    struct record r = {.fd = -1};
    apiary_watch_t *watch;
    struct pollfd p;

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, record_event, &r, &watch), 0);
    ap_loop_turn(loop);
    ap_loop_close(watch);
    close(ends[0]);
    /* The writer sees that nobody reads, so the ring does not hold the pipe open. */
    p = (struct pollfd){.fd = ends[1], .events = POLLOUT};
    do {
        ap_loop_turn(loop);
        cr_assert_geq(poll(&p, 1, 0), 0);
    } while ((p.revents & POLLERR) == 0);
    cr_assert_eq(r.calls, 0);
}

static int order[3], fired;

static void note_order(void *user, uint32_t events)
{
    cr_assert_eq(events, 0);
    order[fired++] = *(int *)user;
}

Test(loop, timers_fire_once_in_order)
{
    static int names[4] = {0, 1, 2, 3};
    uint64_t now = ap_ops_system.now();
    apiary_watch_t *closed, *kept;

    cr_assert_eq(ap_loop_timer(loop, now + 3000000, note_order, &names[2], NULL), 0);
    cr_assert_eq(ap_loop_timer(loop, now + 1000000, note_order, &names[0], &kept), 0);
    cr_assert_eq(ap_loop_timer(loop, now + 1500000, note_order, &names[3], &closed), 0);
    cr_assert_eq(ap_loop_timer(loop, now + 2000000, note_order, &names[1], NULL), 0);
    ap_loop_close(closed);
    while (fired < 3) park_on(&bell, 0, UINT64_MAX);
    for (int i = 0; i < 3; i++) cr_assert_eq(order[i], i);
    cr_assert_geq(ap_ops_system.now(), now + 3000000);
    ap_loop_close(kept);
    park_on(&bell, 0, ap_ops_system.now() + 1000000);
    cr_assert_eq(fired, 3);
}

static int many_fired;

static void count_timer(void *user, uint32_t events)
{
    (void)user;
    (void)events;
    many_fired++;
}

Test(loop, many_timers_and_watches)
{
    apiary_watch_t *timers[500];
    struct record r[100];
    int ends[100][2];

    for (int i = 0; i < 500; i++)
        cr_assert_eq(ap_loop_timer(loop, ap_ops_system.now() + (uint64_t)(i * 7919 % 500) * 10000, count_timer, NULL, &timers[i]),
                     0);
    for (int i = 0; i < 500; i += 2) ap_loop_close(timers[i]);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(pipe(ends[i]), 0);
        r[i] = (struct record){.fd = ends[i][0]};
        cr_assert_eq(ap_loop_watch(loop, ends[i][0], POLLIN, record_event, &r[i], NULL), 0);
        put(ends[i][1]);
    }
    for (int i = 0; i < 100; i++) park_until_calls(&r[i], 1);
    while (many_fired < 250) park_on(&bell, 0, UINT64_MAX);
    for (int i = 0; i < 100; i++) cr_assert_eq(r[i].calls, 1);
}

Test(loop, what_is_no_descriptor_is_refused)
{
    struct record r = {.fd = -1};
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(ap_loop_watch(loop, 9999, POLLIN, record_event, &r, NULL), APIARY_EINVAL);
    cr_assert_eq(ap_loop_watch(loop, ends[0], 0, record_event, &r, NULL), APIARY_EINVAL);
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, NULL, &r, NULL), APIARY_EINVAL);
    cr_assert_eq(ap_loop_timer(loop, 0, NULL, &r, NULL), APIARY_EINVAL);
}

/* ---- somebody has closed its descriptors ---------------------------------------------------------------------- */

static void close_own(void)
{
    if (loop->park != AP_PARK_POLL) close(loop->ring.ring_fd);
    if (loop->event_fd >= 0) close(loop->event_fd);
}

/* The numbers are other files' at once: a pipe whose ends are neither to be written nor read, nor closed. */
static void take_numbers(int ends[2])
{
    int event_fd = loop->event_fd, ring_fd = loop->park != AP_PARK_POLL ? loop->ring.ring_fd : -1;

    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    if (ring_fd >= 0) cr_assert_eq(dup2(ends[0], ring_fd), ring_fd);
    if (event_fd >= 0) cr_assert_eq(dup2(ends[0], event_fd), event_fd);
}

/* Sleeps once with nothing to be woken by but the clock; more than a few of these without it having slept would be a spin. */
static void sleep_once(void)
{
    uint64_t until = ap_ops_system.now() + 20000000;
    int turns = 0;

    while (ap_ops_system.now() < until) {
        park_on(&bell, 0, until);
        turns++;
    }
    cr_expect_leq(turns, 20, "%d turns", turns);
}

static void serves_again(int fd, const struct record *r)
{
    pthread_t thread;
    int calls = r->calls;

    sleep_once();
    sleep_once();
    put(fd);
    park_until_calls(r, calls + 1);
    cr_assert_eq(pthread_create(&thread, NULL, wake_soon, NULL), 0);
    park_on(&bell, 0, UINT64_MAX);
    pthread_join(thread, NULL);
}

Test(loop, descriptors_that_somebody_closed_are_opened_again)
{
    struct record r = {.fd = -1};
    enum ap_park kind;
    apiary_watch_t *watch;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    r.fd = ends[0];
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, record_event, &r, &watch), 0);
    sleep_once();
    cr_assert_eq(ap_loop_reopened(loop), 0);
    kind = ap_loop_park_kind(loop);
    for (int round = 0; round < 3; round++) {
        close_own();
        serves_again(ends[1], &r);
        cr_expect_geq(ap_loop_reopened(loop), (unsigned)round + 1);
        cr_expect_eq(ap_loop_park_kind(loop), kind, "it parks as before");
    }
    cr_assert_eq(ap_loop_close(watch), 0);
}

Test(loop, descriptors_that_are_others_by_now_are_left_alone)
{
    struct record r = {.fd = -1};
    apiary_watch_t *watch;
    int ends[2], strange[2];
    char byte;

    cr_assert_eq(pipe(ends), 0);
    r.fd = ends[0];
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, record_event, &r, &watch), 0);
    take_numbers(strange);
    put(strange[1]);
    put(strange[1]);
    serves_again(ends[1], &r);
    cr_expect_geq(ap_loop_reopened(loop), 1);
    put(strange[1]);
    cr_expect_geq(read(strange[0], &byte, 1), 1, "its pipe is still open");
    cr_assert_eq(ap_loop_close(watch), 0);
}

/* From then on it has an event, unless its ring waits for words. */
static void watch_nothing(void)
{
    struct record r = {.fd = -1};
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, record_event, &r, NULL), 0);
    cr_assert_eq(loop->event_fd < 0, loop->park == AP_PARK_URING);
}

/* Its event's number is a directory's by now: that cannot be read, however often one tries. */
Test(loop, an_event_that_cannot_be_read_is_lost)
{
    int directory = open("/", O_RDONLY | O_DIRECTORY);
    uint64_t one = 1;

    if (loop->park == AP_PARK_URING) cr_skip_test("it has no event");
    watch_nothing();
    ap_loop_drain_event(loop);
    cr_expect_not(loop->lost, "there was nothing to be read");
    cr_assert_eq(write(loop->event_fd, &one, sizeof one), sizeof one);
    ap_loop_drain_event(loop);
    cr_expect_not(loop->lost);
    cr_expect_lt(read(loop->event_fd, &one, sizeof one), 0, "it has been read");
    cr_assert_geq(directory, 0);
    cr_assert_eq(dup2(directory, loop->event_fd), loop->event_fd);
    ap_loop_drain_event(loop);
    cr_expect(loop->lost);
}

static int descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

Test(loop, its_end_leaves_no_descriptor_behind)
{
    struct ap_loop *other;
    int before = descriptors();

    ap_loop_destroy(NULL);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(ap_loop_create(&ap_ops_system, 1, &other), 0);
        cr_assert_eq(ap_loop_timer(other, UINT64_MAX, record_event, NULL, NULL), 0);
        ap_loop_park(other, ap_ops_system.now() + 100000);
        ap_loop_destroy(other);
    }
    cr_expect_eq(descriptors(), before);
}

/* However often it has parked, one event of its own is one completion. */
Test(loop, its_event_is_watched_once)
{
    uint64_t one = 1;

    if (loop->park != AP_PARK_PARKER) cr_skip_test("no ring watches an event");
    watch_nothing();
    for (int i = 0; i < 50; i++) park_on(&bell, 0, 0);
    cr_assert_eq(write(loop->event_fd, &one, sizeof one), sizeof one);
    io_uring_submit(&loop->ring);
    while (!ap_uring_ready(&loop->ring)) sched_yield();
    cr_expect_eq(io_uring_cq_ready(&loop->ring), 1);
}
