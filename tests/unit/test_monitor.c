/* The monitor: real deaths by SIGKILL. Run once for each way of waiting ($APIARY_PARK). */
#include <criterion/criterion.h>

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "registry/monitor/monitor.h"
#include "shm/event.h"
#include "tests/support/leftovers.h"

static struct ap_segment *seg;
static struct ap_lane_handle anchor;
static char name[64];

static void setup(void)
{
    struct ap_segment_options options = {.name = name, .geometry = {.members = 16, .lanes = 200, .tasks = 256, .queues = 4}};
    char message[256] = "";

    leftovers_clear("apiary-test-monitor");
    snprintf(name, sizeof name, "/apiary-test-monitor-%d", (int)getpid());
    cr_assert_eq(ap_registry_create(&options, message, sizeof message, &seg), 0, "%s", message);
    cr_assert_eq(ap_member_open(seg, "test", NULL, APIARY_TOOL, &anchor), 0);
}

static void teardown(void)
{
    cr_expect_eq(ap_segment_remove(name), 0);
}

TestSuite(monitor, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* ---- children ------------------------------------------------------------------------------------------------- */

struct child {
    pid_t pid;
    uint32_t lane;
};

enum child_kind { WITH_LANE, WITH_SHARED_LANE, WITH_MONITOR, WITH_MANY_LANES, WITH_ALL_LANES };

static void *open_shared(void *arg)
{
    struct ap_lane_handle *h = arg;
    uint32_t member = h->member;

    if (ap_lane_open(h->seg, member, h) == 0) ap_lane_share(h);
    return NULL;
}

static void *open_and_stay(void *arg)
{
    struct ap_lane_handle from = *(struct ap_lane_handle *)arg, mine;

    if (ap_lane_open(from.seg, from.member, &mine) < 0) _exit(4);
    ap_add_acq_rel(&from.lane->hand[7], 1); /* as a counter, in a lane that runs nothing */
    for (;;) pause();
}

static void child_main(int out, enum child_kind kind)
{
    struct ap_segment *own;
    struct ap_lane_handle h, shared;
    struct ap_monitor *m;
    uint32_t lane, more;
    pthread_t thread;
    pthread_attr_t large; /* so that no stack of the parent's threads is used again, which the thread sanitizer refuses */

    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, 16 << 20);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ap_registry_attach(name, true, NULL, 0, &own) < 0) _exit(2);
    if (ap_member_open(own, "child", NULL, APIARY_TOOL, &h) < 0) _exit(3);
    lane = h.index;
    if (kind == WITH_SHARED_LANE) {
        shared = h;
        pthread_create(&thread, &large, open_shared, &shared);
        pthread_join(thread, NULL);
        lane = shared.index;
    }
    if (kind == WITH_MONITOR && ap_monitor_start(own, h.member, &m) < 0) _exit(5);
    if (kind == WITH_MANY_LANES || kind == WITH_ALL_LANES) {
        more = kind == WITH_MANY_LANES ? 150 : own->geometry.lanes - 2; /* its own, and one of the parent's */
        for (uint32_t i = 0; i < more; i++) pthread_create(&thread, &large, open_and_stay, &h);
        while (ap_load_acquire(&h.lane->hand[7]) < more) sched_yield();
        ap_store_relaxed(&h.lane->hand[7], 0);
    }
    if (write(out, &lane, sizeof lane) != sizeof lane) _exit(6);
    for (;;) pause();
}

static struct child start(enum child_kind kind)
{
    struct child c;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    c.pid = fork();
    cr_assert_geq(c.pid, 0);
    if (c.pid == 0) {
        close(ends[0]);
        child_main(ends[1], kind);
    }
    close(ends[1]);
    cr_assert_eq(read(ends[0], &c.lane, sizeof c.lane), (ssize_t)sizeof c.lane, "the child ended early");
    close(ends[0]);
    return c;
}

static void kill_child(const struct child *c)
{
    int status;

    cr_assert_eq(kill(c->pid, SIGKILL), 0);
    cr_assert_eq(waitpid(c->pid, &status, 0), c->pid);
    cr_assert(WIFSIGNALED(status));
}

static uint64_t life(uint32_t lane)
{
    return ap_load_acquire(&ap_lane_at(seg, lane)->life);
}

static void wait_until_free(uint32_t lane, uint64_t before)
{
    /* Another may have it by now, but the old life must end. */
    while (AP_LIFE_EPOCH(life(lane)) == AP_LIFE_EPOCH(before)) sched_yield();
}

static uint32_t role(void)
{
    return ap_load_acquire(ap_robust_word(&seg->header->role));
}

static bool role_held(void)
{
    return (role() & FUTEX_TID_MASK) != 0 && (role() & FUTEX_OWNER_DIED) == 0;
}

static struct ap_monitor *start_monitor(void)
{
    struct ap_monitor *m = NULL;

    cr_assert_eq(ap_monitor_start(seg, anchor.member, &m), 0);
    while (!role_held()) sched_yield();
    return m;
}

static uint32_t lanes_of(const char *who)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        const struct ap_lane *lane = ap_lane_at(seg, i);
        const struct ap_member *member = ap_member_at(seg, ap_load_relaxed(&lane->member));
        if (AP_LIFE_STATE(life(i)) != AP_LIFE_FREE && member != NULL && strcmp(member->name, who) == 0) n++;
    }
    return n;
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

Test(monitor, recovers_the_lane_of_a_killed_process)
{
    struct ap_monitor *m = start_monitor();

    for (int i = 0; i < 20; i++) {
        struct child c = start(WITH_LANE);
        uint64_t before = life(c.lane);
        cr_assert_eq(AP_LIFE_STATE(before), AP_LIFE_LIVE);
        kill_child(&c);
        wait_until_free(c.lane, before);
    }
    ap_monitor_stop(m);
    cr_assert_not(role_held());
}

Test(monitor, recovers_what_died_before_it_was_there)
{
    struct child c = start(WITH_LANE);
    uint64_t before = life(c.lane);
    struct ap_monitor *m;

    kill_child(&c);
    cr_assert_eq(life(c.lane), before, "nobody is there to recover it");
    m = start_monitor();
    wait_until_free(c.lane, before);
    ap_monitor_stop(m);
    cr_assert_eq(lanes_of("test"), 1, "the monitor had one lane, and gave it back");
}

Test(monitor, a_lane_of_the_dead_is_its_own_when_there_is_no_other)
{
    struct child all = start(WITH_ALL_LANES);
    struct ap_monitor *m = NULL;

    cr_assert_eq(ap_monitor_start(seg, anchor.member, &m), APIARY_ENOLANE);
    kill_child(&all);
    m = start_monitor();
    while (lanes_of("child") != 0) sched_yield();
    ap_monitor_stop(m);
    cr_assert_eq(lanes_of("test"), 1);
}

Test(monitor, recovers_a_shared_lane_when_its_process_is_gone)
{
    struct ap_monitor *m = start_monitor();
    struct child c = start(WITH_SHARED_LANE);
    uint64_t before = life(c.lane);

    cr_assert_eq(ap_load_acquire(&ap_lane_at(seg, c.lane)->kind), AP_LANE_SHARED);
    kill_child(&c);
    wait_until_free(c.lane, before);
    ap_monitor_stop(m);
}

Test(monitor, leaves_the_living_alone)
{
    struct ap_monitor *m = start_monitor();
    struct child stays = start(WITH_LANE), goes = start(WITH_LANE), shared = start(WITH_SHARED_LANE);
    uint64_t kept = life(stays.lane), kept_shared = life(shared.lane), before = life(goes.lane);

    kill_child(&goes);
    wait_until_free(goes.lane, before);
    cr_assert_eq(life(stays.lane), kept);
    cr_assert_eq(life(shared.lane), kept_shared);
    kill_child(&stays);
    kill_child(&shared);
    wait_until_free(stays.lane, kept);
    wait_until_free(shared.lane, kept_shared);
    ap_monitor_stop(m);
}

Test(monitor, more_lanes_than_one_call_can_wait_for)
{
    struct ap_monitor *m = start_monitor();
    struct child many = start(WITH_MANY_LANES), last = start(WITH_LANE);
    uint64_t before = life(last.lane);

    kill_child(&last);
    wait_until_free(last.lane, before);
    cr_assert_eq(lanes_of("child"), 151);
    kill_child(&many);
    while (lanes_of("child") != 0) sched_yield();
    ap_monitor_stop(m);
}

Test(monitor, role_goes_to_another_when_its_holder_is_killed)
{
    for (int i = 0; i < 5; i++) {
        struct child first = start(WITH_MONITOR), second, third;
        struct child victim;
        uint64_t before;
        uint32_t holder;

        while (!role_held()) sched_yield();
        holder = role() & FUTEX_TID_MASK;
        second = start(WITH_MONITOR);
        third = start(WITH_MONITOR);
        cr_assert_eq(role() & FUTEX_TID_MASK, holder, "the role is taken once");
        before = life(first.lane);
        kill_child(&first);
        wait_until_free(first.lane, before);
        while (!role_held()) sched_yield();
        cr_assert_neq(role() & FUTEX_TID_MASK, holder);
        /* And the new holder watches. */
        victim = start(WITH_LANE);
        before = life(victim.lane);
        kill_child(&victim);
        wait_until_free(victim.lane, before);
        kill_child(&second);
        while (!role_held()) sched_yield();
        kill_child(&third);
    }
}

Test(monitor, a_role_that_was_a_dead_holders_is_passed_on_like_any_other)
{
    struct child holder = start(WITH_MONITOR);

    while (!role_held()) sched_yield();
    kill_child(&holder);
    for (int i = 0; i < 3; i++) ap_monitor_stop(start_monitor());
    cr_assert_not(role_held());
}

Test(monitor, role_is_passed_on_at_a_normal_end)
{
    struct ap_monitor *a = start_monitor(), *b = NULL, *c = NULL;
    uint32_t holder = role() & FUTEX_TID_MASK;

    cr_assert_eq(ap_monitor_start(seg, anchor.member, &b), 0);
    cr_assert_eq(ap_monitor_start(seg, anchor.member, &c), 0);
    ap_monitor_stop(a);
    while (!role_held() || (role() & FUTEX_TID_MASK) == holder) sched_yield();
    ap_monitor_stop(b);
    while (!role_held()) sched_yield();
    ap_monitor_stop(c);
    cr_assert_not(role_held());
    cr_assert_eq(ap_lane_alive(seg, anchor.index), 1);
}

Test(monitor, nudge_finds_the_role_of_the_dead)
{
    struct child holder = start(WITH_MONITOR);
    struct ap_monitor *m = NULL;

    while (!role_held()) sched_yield();
    cr_assert_eq(ap_monitor_start(seg, anchor.member, &m), 0);
    /* The bit that makes the kernel wake somebody gets lost, as by a waiter that was woken and died: no handover. */
    while ((role() & FUTEX_WAITERS) == 0) sched_yield();
    for (uint32_t v = role(); (v & FUTEX_WAITERS) != 0;) {
        if (ap_cas((uint32_t *)ap_robust_word(&seg->header->role), &v, v & ~(uint32_t)FUTEX_WAITERS)) break;
    }
    kill_child(&holder);
    while (!role_held()) {
        ap_monitor_nudge(m);
        sched_yield();
    }
    ap_monitor_nudge(m); /* and now it finds nothing to do */
    ap_monitor_stop(m);
}

static struct ap_ops ahead_ops;

static uint64_t ahead_now(void)
{
    return ap_ops_system.now() + UINT64_C(3600000000000);
}

/* By a clock that is ahead no sleep ends in the lifetime of the test but by being woken: the kernel's mark is all that tells. */
Test(monitor, a_death_is_told_by_its_mark_and_not_by_a_clock)
{
    const char *forced = getenv("APIARY_PARK");
    struct ap_monitor *m;

    if (forced == NULL || strcmp(forced, "parker") != 0) cr_skip_test("only futex_waitv is told a time, and not how long");
    ahead_ops = ap_ops_system;
    ahead_ops.now = ahead_now;
    seg->ops = &ahead_ops;
    m = start_monitor();
    for (int i = 0; i < 10; i++) {
        struct child c = start(WITH_LANE), stays = start(WITH_LANE);
        uint64_t before = life(c.lane);

        kill_child(&c);
        wait_until_free(c.lane, before);
        before = life(stays.lane);
        kill_child(&stays);
        wait_until_free(stays.lane, before);
    }
    ap_monitor_stop(m);
}

static struct ap_ops counted_ops;
static uint32_t clock_reads;

static uint64_t counted_now(void)
{
    ap_add_relaxed(&clock_reads, 1);
    return ap_ops_system.now();
}

/* Free and yet refused, by damage: it is tried again and again, with pauses, and taken when it has been mended, by which nobody
 * is woken. */
Test(monitor, a_role_that_was_damaged_is_tried_again)
{
    pthread_mutex_t *lock = &seg->header->role;
    int kind = lock->__data.__kind;
    struct ap_monitor *m = NULL;

    counted_ops = ap_ops_system;
    counted_ops.now = counted_now;
    seg->ops = &counted_ops;
    ap_store_relaxed(&lock->__data.__kind, 0);
    cr_assert_eq(ap_monitor_start(seg, anchor.member, &m), 0);
    while (ap_load_relaxed(&clock_reads) < 20) sched_yield();
    cr_assert_not(role_held());
    ap_store_relaxed(&lock->__data.__kind, kind);
    while (!role_held()) sched_yield();
    ap_monitor_stop(m);
}

/* One that is stopped holds the role and wakes nobody: what is told of it, and that another does its work until it is back. */
Test(monitor, a_stopped_holder_is_stood_in_for)
{
    struct child holder = start(WITH_MONITOR), victim = start(WITH_LANE);
    uint64_t before = life(victim.lane), age, told;
    uint32_t lane, beats;
    struct ap_monitor *m = NULL;
    int status;

    while (!role_held()) sched_yield();
    cr_assert_eq(ap_monitor_start(seg, anchor.member, &m), 0);
    while (ap_monitor_stopped(seg, &lane, &beats, &age)) sched_yield();
    kill(holder.pid, SIGSTOP);
    cr_assert_eq(waitpid(holder.pid, &status, WUNTRACED), holder.pid); /* until then its thread may still see the death */
    cr_assert(WIFSTOPPED(status));
    kill_child(&victim);
    while (AP_LIFE_EPOCH(life(victim.lane)) == AP_LIFE_EPOCH(before)) {
        ap_monitor_nudge(m);
        sched_yield();
    }
    while (!ap_monitor_stopped(seg, &lane, &beats, &age) || beats == AP_NO_LANE) sched_yield();
    cr_expect_eq(ap_lane_at(seg, lane)->pid, holder.pid);
    kill(holder.pid, SIGCONT);
    while (ap_monitor_stopped(seg, &lane, &beats, &age)) sched_yield();
    /* Nor does it go on beside it: beats are the holder's, one after another, but for one that had already begun. */
    for (int own = 0; own < 3;) {
        told = ap_load_relaxed(&seg->header->watched);
        while (ap_load_relaxed(&seg->header->watched) == told) sched_yield();
        own = AP_WATCHED_LANE(ap_load_relaxed(&seg->header->watched)) == lane ? own + 1 : 0;
    }
    kill_child(&holder);
    while ((role() & FUTEX_TID_MASK) == 0 || !role_held()) {
        ap_monitor_nudge(m);
        sched_yield();
    }
    ap_monitor_stop(m);
}

Test(monitor, fails_queued_tasks_at_their_deadline)
{
    struct ap_monitor *m = start_monitor();
    struct ap_slabs slabs;
    struct ap_slot *slot;
    uint32_t index;
    uint64_t word;

    ap_slabs_init(&slabs, &anchor);
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &index), 0);
    slot = ap_slot_at(seg, index);
    ap_store_relaxed(&slot->deadline, seg->ops->now() + 20000000);
    ap_store_relaxed(&slot->capability, UINT16_MAX);
    ap_task_publish(seg, index, 0);
    ap_lanes_changed(seg); /* as everything does that can leave a task without a worker */
    do {
        word = ap_load_acquire(&slot->word);
        sched_yield();
    } while (AP_WORD_STATE(word) == AP_TASK_QUEUED);
    cr_assert_eq(AP_WORD_STATE(word), AP_TASK_FAILED);
    cr_assert_eq(-(int)AP_WORD_OWNER(word), APIARY_ETIMEDOUT);
    ap_slabs_release(&slabs);
    ap_monitor_stop(m);
}

static uint64_t switches(void)
{
    char path[64], line[128];
    uint64_t sum = 0;
    uint32_t tid = role() & FUTEX_TID_MASK;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%u/status", tid);
    f = fopen(path, "r");
    cr_assert_not_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned long long n;
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1) sum += n;
    }
    fclose(f);
    return sum;
}

Test(monitor, an_observer_has_none)
{
    struct ap_segment observed = *seg;
    struct ap_monitor *m = NULL;

    observed.writable = false;
    cr_expect_eq(ap_monitor_start(&observed, anchor.member, &m), APIARY_EREADONLY);
    cr_expect_null(m);
}

/* Who watches sleeps, and so does who waits for the role: neither is woken, nor goes round. */
Test(monitor, idle_makes_no_wakeups)
{
    const char *forced = getenv("APIARY_PARK");
    struct ap_ops counted = ap_ops_system;
    struct ap_monitor *m, *waits = NULL;
    uint64_t before, until;
    uint32_t reads;

    if (forced != NULL && strcmp(forced, "poll") == 0) cr_skip_test("looks every 10 ms by design");
    counted.now = counted_now;
    seg->ops = &counted;
    m = start_monitor();
    cr_assert_eq(ap_monitor_start(seg, anchor.member, &waits), 0);
    /* Let the sweep after their own coming pass: from then on the first one beats once a second. */
    do {
        before = switches();
        reads = ap_load_relaxed(&clock_reads);
        until = ap_ops_system.now() + 300000000;
        while (ap_ops_system.now() < until) sched_yield();
    } while (switches() != before || ap_load_relaxed(&clock_reads) != reads);
    ap_monitor_stop(waits);
    ap_monitor_stop(m);
    seg->ops = &ap_ops_system;
}
