/* tests/unit/test_monitor_rounds.c - when the monitor asks, sweeps and helps, round by round, under a clock that the test sets; and
 * what an observer is told of it. */
#include <criterion/criterion.h>

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "registry/registry.h"
#include "registry/monitor/monitor.h"
#include "registry/routing/kept.h"
#include "shm/event.h"
#include "shm/queue.h"
#include "tests/support/leftovers.h"
#include "shm/claim.h"

#define MS UINT64_C(1000000)

static struct ap_segment *seg;
static struct ap_lane_handle anchor;
static struct ap_ops ops;
static uint64_t clock_is, asked;
static uint32_t is_gone; /* the image that is gone; 0: none */
static uint32_t role_wakes;

static uint64_t set_now(void)
{
    return ap_load_relaxed(&clock_is);
}

static int count_asked(int fd, uint64_t image)
{
    (void)fd;
    ap_add_relaxed(&asked, 1);
    return image == ap_load_relaxed(&is_gone);
}

static int count_wakes(const uint32_t *word, int count)
{
    if (word == ap_robust_word(&seg->header->role) && count == INT_MAX) ap_add_relaxed(&role_wakes, 1);
    return ap_ops_system.futex_wake(word, count);
}

static void setup(void)
{
    char name[64], message[256] = "";
    struct ap_segment_options options = {.name = name, .geometry = {.members = 4, .lanes = 8, .tasks = 64, .queues = 4}};

    leftovers_clear("apiary-test-rounds");
    snprintf(name, sizeof name, "/apiary-test-rounds-%d", (int)getpid());
    cr_assert_eq(ap_registry_create(&options, message, sizeof message, &seg), 0, "%s", message);
    cr_assert_eq(ap_segment_remove(name), 0);
    cr_assert_eq(ap_member_open(seg, "test", NULL, APIARY_TOOL, &anchor), 0);
    ops = ap_ops_system;
    ops.now = set_now;
    ops.lock_gone = count_asked;
    ops.futex_wake = count_wakes;
    clock_is = ap_ops_system.now() / MS * MS;
    seg->ops = &ops;
}

TestSuite(rounds, .init = setup, .timeout = TEST_LIMIT);

/* A lane of a process of its own, as far as the system is asked. */
static uint32_t stranger(uint64_t image)
{
    struct ap_lane_handle h;

    cr_assert_eq(ap_lane_open(seg, anchor.member, &h), 0);
    ap_store_relaxed(&h.lane->image, image);
    return h.index;
}

static uint32_t role(void)
{
    return ap_load_acquire(ap_robust_word(&seg->header->role));
}

/* Until the next round has begun. */
static void round_begins(void)
{
    ap_store_relaxed(&seg->header->watched, 0);
    while (ap_load_relaxed(&seg->header->watched) == 0) {
        ap_ops_system.futex_wake(&seg->header->lanes_changed, 1000); /* a wake is not a change */
        sched_yield();
    }
}

/* At this time: a round, and the beginning of another. */
static void at(uint64_t time, bool changed)
{
    ap_store_relaxed(&clock_is, time);
    if (changed) ap_lanes_changed(seg);
    round_begins();
    round_begins();
}

static struct ap_monitor *start(void)
{
    struct ap_monitor *m = NULL;

    cr_assert_eq(ap_monitor_start(seg, anchor.member, &m), 0);
    round_begins();
    round_begins();
    return m;
}

/* ---- deaths that no mark tells -------------------------------------------------------------------------------- */

/* At once, then after 20 ms, and so on, each time twice as long, at most a second; after a recovery 10 ms. */
Test(rounds, the_system_is_asked_less_and_less_often)
{
    static const uint64_t spacing[] = {20, 40, 80, 160, 320, 640, 1000, 1000};
    struct ap_monitor *m;
    uint64_t time = clock_is;
    uint32_t goes = stranger(9999);

    stranger(8888);
    m = start();
    cr_expect_eq(ap_load_relaxed(&asked), 2, "of each of the two");
    for (size_t i = 0; i < sizeof spacing / sizeof spacing[0]; i++) {
        at(time + spacing[i] * MS - 1, i % 2 == 0);
        cr_expect_eq(ap_load_relaxed(&asked), 2 * i + 2, "%zu: early", i);
        time += spacing[i] * MS;
        at(time, i % 2 == 1);
        cr_expect_eq(ap_load_relaxed(&asked), 2 * i + 4, "%zu", i);
    }
    ap_store_relaxed(&is_gone, 9999);
    ap_store_relaxed(&asked, 0);
    time += 1000 * MS;
    at(time, false);
    cr_expect_eq(AP_LIFE_STATE(ap_load_acquire(&ap_lane_at(seg, goes)->life)), AP_LIFE_FREE);
    cr_expect_eq(ap_load_relaxed(&asked), 2);
    at(time + 10 * MS - 1, false);
    cr_expect_eq(ap_load_relaxed(&asked), 2);
    at(time + 10 * MS, false);
    cr_expect_eq(ap_load_relaxed(&asked), 3, "of the one that is left");
    at(time + 30 * MS - 1, false);
    cr_expect_eq(ap_load_relaxed(&asked), 3);
    at(time + 30 * MS, false);
    cr_expect_eq(ap_load_relaxed(&asked), 4);
    ap_monitor_stop(m);
}

/* ---- deadlines ------------------------------------------------------------------------------------------------ */

static struct ap_slabs slabs;

static struct ap_slot *queued(uint64_t deadline)
{
    uint32_t index;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &index), 0);
    ap_store_relaxed(&ap_slot_at(seg, index)->deadline, deadline);
    ap_store_relaxed(&ap_slot_at(seg, index)->capability, UINT16_MAX);
    ap_task_publish(seg, index, 0);
    return ap_slot_at(seg, index);
}

static bool waits(const struct ap_slot *slot)
{
    return AP_WORD_STATE(ap_load_acquire(&slot->word)) == AP_TASK_QUEUED;
}

/* At the soonest deadline, but not sooner than 50 ms after the last look; 100 ms after it when something came or went. */
Test(rounds, the_table_is_swept_when_it_is_due)
{
    uint64_t time = clock_is;
    struct ap_slot *past, *soon, *late;
    struct ap_monitor *m;

    ap_slabs_init(&slabs, &anchor);
    past = queued(time);
    soon = queued(time + 20 * MS);
    late = queued(time + 170 * MS);
    m = start();
    cr_expect(!waits(past) && waits(soon));
    at(time + 50 * MS - 1, false);
    cr_expect(waits(soon));
    at(time + 50 * MS, false);
    cr_expect(!waits(soon) && waits(late));
    at(time + 170 * MS - 1, false);
    cr_expect(waits(late));
    at(time + 170 * MS, false);
    cr_expect(!waits(late));
    /* Now nothing is due; what comes is seen when it is said. */
    time += 170 * MS;
    late = queued(time + 1);
    at(time + 100 * MS, false);
    cr_expect(waits(late));
    at(time + 200 * MS, true);
    cr_expect(!waits(late));
    late = queued(time + 201 * MS);
    at(time + 300 * MS - 1, true);
    cr_expect(waits(late), "a change just after a sweep waits");
    at(time + 300 * MS, false);
    cr_expect(!waits(late));
    ap_monitor_stop(m);
    ap_slabs_release(&slabs);
}

/* What was sent to an agent whose tasks fail, or to a swarm that does not go on, before that was known waits there. */
Test(rounds, with_each_beat_while_somebody_is_passed_over)
{
    static const char *const offers[] = {"work", NULL};
    struct ap_agent_registration agent = {.name = "agent", .capabilities = offers, .lane = anchor.index};
    struct ap_swarm_registration swarm = {.service = "s", .lane = anchor.index, .member = anchor.member, .agents = &agent,
                                          .agent_count = 1};
    uint64_t time = clock_is;
    struct ap_consumer consumer;
    struct ap_monitor *m;

    ap_slabs_init(&slabs, &anchor);
    cr_assert_eq(ap_swarm_register(seg, &swarm), 0);
    ap_consumer_init(&consumer, seg, agent.queue);
    m = start();
    for (int round = 0; round < 3; round++, time += 2000 * MS) {
        struct ap_slot *late = queued(time + 1);

        if (round == 1) ap_queue_eject(&consumer, time + 1500 * MS, 1);
        cr_assert(ap_swarm_beat(seg, &swarm, round == 2 ? APIARY_CRITICAL : APIARY_PASSING, 0));
        at(time + 999 * MS, false);
        cr_expect(waits(late), "%d", round);
        at(time + 1000 * MS, false);
        cr_expect_eq(waits(late), round == 0, "%d", round);
        at(time + 2000 * MS, round == 0); /* one that is seen after the sweep would bring the next one forward */
        cr_expect(!waits(late), "%d", round);
    }
    ap_monitor_stop(m);
    ap_slabs_release(&slabs);
    ap_swarm_deregister(seg, anchor.index, &swarm);
}

Test(rounds, results_that_were_kept_for_their_time_go)
{
    struct ap_kept *row = ap_kept_at(seg, 3);
    uint64_t time = clock_is;
    struct ap_monitor *m;

    row->until = time + 101 * MS;
    row->life = AP_KEPT_LIFE(1, 0, AP_KEPT_KEPT);
    m = start();
    at(time + 100 * MS, true);
    cr_expect_eq(AP_KEPT_STATE(ap_load_acquire(&row->life)), AP_KEPT_KEPT);
    at(time + 200 * MS, true);
    cr_expect_eq(AP_KEPT_STATE(ap_load_acquire(&row->life)), AP_KEPT_FREE);
    ap_monitor_stop(m);
}

/* As of a process that has gone, and has left it to its time. */
Test(rounds, claims_that_are_nobodys_go_with_their_time)
{
    struct ap_claim *row = ap_claim_at(seg, 3);
    uint64_t time = clock_is, ends = (time + 101 * MS) >> AP_CLAIM_UNIT;
    struct ap_monitor *m;

    row->until = ends << 24 | AP_CLAIM_TAG(7);
    row->word = AP_CLAIM_WORD(7, AP_NO_LANE, AP_CLAIM_HELD);
    m = start();
    at(time + 90 * MS, true);
    cr_expect_eq(AP_CLAIM_STATE(ap_load_acquire(&row->word)), AP_CLAIM_HELD);
    at(time + 200 * MS, true);
    cr_expect_eq(AP_CLAIM_STATE(ap_load_acquire(&row->word)), AP_CLAIM_FREE);
    ap_monitor_stop(m);
}

/* ---- a reaper that is stopped --------------------------------------------------------------------------------- */

static uint64_t events_of(uint32_t kind, struct ap_event *last)
{
    struct ap_event e;
    uint64_t n = 0;

    for (uint64_t i = 1; i < ap_load_acquire(&seg->header->event_next); i++) {
        if (ap_event_read(seg, i, &e) != 1 || e.kind != kind) continue;
        *last = e;
        n++;
    }
    return n;
}

/* After 100 ms, once for each death, whenever it began. */
Test(rounds, a_reaper_that_does_not_go_on_is_helped_once)
{
    uint64_t time = clock_is;
    uint32_t one = stranger(0), two = stranger(0);
    struct ap_lane *first = ap_lane_at(seg, one), *second = ap_lane_at(seg, two);
    uint64_t first_life = first->life, second_life = second->life;
    struct ap_event e = {0};
    struct ap_monitor *m = start();

    /* The clock goes first: a round that is under way would see the death at its own time. */
    at(time + 1 * MS, false);
    ap_store_release(&first->life, AP_LIFE(AP_LIFE_EPOCH(first_life), AP_LIFE_DEAD)); /* and we have its lock */
    at(time + 1 * MS, false);
    at(time + 51 * MS, false);
    ap_store_release(&second->life, AP_LIFE(AP_LIFE_EPOCH(second_life), AP_LIFE_DEAD));
    at(time + 51 * MS, false);
    at(time + 101 * MS - 1, false);
    cr_expect_eq(events_of(AP_EVENT_LANE_HELPED, &e), 0);
    at(time + 101 * MS, false);
    cr_expect_eq(events_of(AP_EVENT_LANE_HELPED, &e), 1);
    cr_expect_eq(e.a, one);
    at(time + 151 * MS - 1, false);
    cr_expect_eq(events_of(AP_EVENT_LANE_HELPED, &e), 1);
    at(time + 151 * MS, false);
    cr_expect_eq(events_of(AP_EVENT_LANE_HELPED, &e), 2);
    cr_expect_eq(e.a, two);
    at(time + 900 * MS, false);
    cr_expect_eq(events_of(AP_EVENT_LANE_HELPED, &e), 2, "not again");
    /* It lived again, and died again. */
    at(time + 1000 * MS, false);
    ap_store_release(&first->life, AP_LIFE(AP_LIFE_EPOCH(first_life) + 1, AP_LIFE_DEAD));
    at(time + 1000 * MS, false);
    at(time + 1100 * MS - 1, false);
    cr_expect_eq(events_of(AP_EVENT_LANE_HELPED, &e), 2);
    at(time + 1100 * MS, false);
    cr_expect_eq(events_of(AP_EVENT_LANE_HELPED, &e), 3);
    cr_expect_eq(e.a, one);
    ap_store_release(&first->life, first_life);
    ap_store_release(&second->life, second_life);
    ap_monitor_stop(m);
}

/* ---- what is told --------------------------------------------------------------------------------------------- */

Test(rounds, a_monitor_says_that_it_watches_and_beats)
{
    struct ap_event e = {0};
    uint32_t lane, beats;
    uint64_t age, time = clock_is;
    struct ap_monitor *m = start();

    cr_expect_eq(events_of(AP_EVENT_MONITOR, &e), 1);
    cr_expect(e.a == anchor.member && e.b == 0 && e.lane != anchor.index);
    cr_expect_eq(ap_load_relaxed(&seg->header->watched), AP_WATCHED(time, e.lane));
    at(time + 7 * MS, false);
    cr_expect_eq(ap_load_relaxed(&seg->header->watched), AP_WATCHED(time + 7 * MS, e.lane));
    cr_expect_not(ap_monitor_stopped(seg, &lane, &beats, &age));
    cr_expect_eq(ap_load_relaxed(&role_wakes), 1, "whoever waited for it finds it held");
    ap_monitor_stop(m);
    cr_expect_eq(role(), 0);
    cr_expect_eq(ap_load_relaxed(&role_wakes), 2);
}

/* ---- beside another ------------------------------------------------------------------------------------------- */

static void beats(uint64_t time, uint32_t lane)
{
    ap_store_relaxed(&seg->header->watched, AP_WATCHED(time, lane));
}

static uint32_t beats_lane(void)
{
    return AP_WATCHED_LANE(ap_load_relaxed(&seg->header->watched));
}

static struct ap_monitor *second(void)
{
    struct ap_monitor *m = NULL;

    cr_assert_eq(ap_robust_trylock(&seg->header->role), 0);
    cr_assert_eq(ap_monitor_start(seg, anchor.member, &m), 0);
    return m;
}

/* Of the lane that is not ours: the monitor's. */
static uint32_t other_thread(void)
{
    for (uint32_t i = 0; i < seg->geometry.lanes; i++)
        if (i != anchor.index && AP_LIFE_STATE(ap_load_acquire(&ap_lane_at(seg, i)->life)) == AP_LIFE_LIVE)
            return ap_load_relaxed(&ap_lane_at(seg, i)->tid);
    return 0;
}

static bool asleep(uint32_t thread)
{
    char path[64], line[512] = "", *name_end;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%u/stat", thread);
    f = fopen(path, "r");
    cr_assert_not_null(f);
    if (fgets(line, sizeof line, f) == NULL) line[0] = '\0';
    fclose(f);
    name_end = strrchr(line, ')');
    return name_end != NULL && name_end[1] == ' ' && name_end[2] == 'S';
}

static void until_event(uint64_t count, uint64_t beside)
{
    struct ap_event e = {0};

    while (events_of(AP_EVENT_MONITOR, &e) < count) sched_yield();
    cr_expect_eq(e.b, beside);
}

/* It waits for the role as long as the holder beats, asleep, and takes it when it is given up. */
Test(rounds, a_second_monitor_waits)
{
    struct ap_event e = {0};
    struct ap_monitor *m;

    beats(clock_is - 2999 * MS, anchor.index);
    m = second();
    while ((role() & FUTEX_WAITERS) == 0) sched_yield();
    cr_expect_eq(events_of(AP_EVENT_MONITOR, &e), 0);
    while (!asleep(other_thread())) sched_yield();
    ap_monitor_nudge(m);
    cr_expect_eq(beats_lane(), anchor.index);
    ap_robust_unlock(&seg->header->role);
    ap_ops_system.futex_wake(ap_robust_word(&seg->header->role), INT_MAX);
    until_event(1, 0);
    cr_expect_neq(role() & FUTEX_TID_MASK, 0);
    ap_monitor_stop(m);
}

/* When the holder does not beat it watches in its stead, until another beats or the role is to be had. */
Test(rounds, a_second_monitor_stands_in)
{
    uint32_t own, other = 7;
    struct ap_event e = {0};
    struct ap_monitor *m;

    beats(clock_is - 3000 * MS, anchor.index);
    m = second();
    until_event(1, 1);
    events_of(AP_EVENT_MONITOR, &e);
    own = e.lane;
    while (beats_lane() != own) sched_yield();
    for (int i = 0; i < 3; i++) { /* what beat last has stopped, too */
        beats(clock_is - 3000 * MS, other);
        while (beats_lane() != own) {
            ap_ops_system.futex_wake(&seg->header->lanes_changed, 1000);
            sched_yield();
        }
    }
    while ((role() & FUTEX_WAITERS) == 0) {
        beats(clock_is - 2999 * MS, other); /* again, since a round may have begun before it */
        ap_ops_system.futex_wake(&seg->header->lanes_changed, 1000);
        sched_yield();
    }
    cr_expect_eq(beats_lane(), other);
    cr_expect_eq(events_of(AP_EVENT_MONITOR, &e), 1);
    /* It sleeps until it is nudged: the other has stopped. */
    ap_store_relaxed(&clock_is, clock_is + 1 * MS);
    while (events_of(AP_EVENT_MONITOR, &e) < 2) {
        ap_monitor_nudge(m);
        sched_yield();
    }
    until_event(2, 1);
    ap_robust_unlock(&seg->header->role);
    while (events_of(AP_EVENT_MONITOR, &e) < 3) {
        ap_ops_system.futex_wake(&seg->header->lanes_changed, 1000);
        sched_yield();
    }
    until_event(3, 0);
    ap_monitor_stop(m);
}

static struct ap_lane *lane_of(uint32_t index, uint32_t thread)
{
    struct ap_lane *l = ap_lane_at(seg, index);

    *(uint32_t *)ap_robust_word(&l->mutex) = thread;
    l->tid = thread;
    l->mutex.__data.__owner = (int)thread;
    l->life = AP_LIFE(1, AP_LIFE_LIVE);
    return l;
}

/* The holder is thread 1234 of lane 3; thread 77 has lane 5. */
Test(rounds, what_an_observer_is_told_of_the_holder)
{
    static const struct {
        uint32_t word, beats;
        uint64_t age;
        bool stopped;
        uint32_t lane, by;
    } rows[] = {
        {0, 3, 0, false, 0, 0},
        {FUTEX_WAITERS, 3, 9000, false, 0, 0},
        {1234 | FUTEX_OWNER_DIED, 5, 0, false, 0, 0},
        {1234, 3, 0, false, 0, 0},
        {1234 | FUTEX_WAITERS, 3, 2999, false, 0, 0},
        {1234, 3, 3000, true, 3, AP_NO_LANE},
        {1234, 5, 2999, true, 3, 5},
        {1234, 5, 3000, true, 3, AP_NO_LANE},
        {99, 3, 10, true, AP_NO_LANE, 3},
        {88, 6, 10, true, AP_NO_LANE, 6}, /* lane 6 was its, and is FREE */
        {77, 3, 10, true, 5, 3},
    };
    uint32_t *word = (uint32_t *)ap_robust_word(&seg->header->role), before = *word;

    lane_of(3, 1234);
    lane_of(5, 77);
    lane_of(6, 88)->life = AP_LIFE(2, AP_LIFE_FREE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t lane = 42, beats = 42;
        uint64_t age = 42;

        *word = rows[i].word;
        seg->header->watched = AP_WATCHED(clock_is - rows[i].age * MS, rows[i].beats);
        cr_expect_eq(ap_monitor_stopped(seg, &lane, &beats, &age), rows[i].stopped, "row %zu", i);
        cr_expect_eq(lane, rows[i].stopped ? rows[i].lane : 42, "row %zu: %u", i, lane);
        cr_expect_eq(beats, rows[i].stopped ? rows[i].by : 42, "row %zu: %u", i, beats);
        cr_expect_eq(age, rows[i].stopped ? rows[i].age * MS : 42, "row %zu", i);
    }
    /* A beat by a clock that is ahead has just been made; and of two lanes of the thread the first is told. */
    *word = 1234;
    lane_of(5, 1234);
    seg->header->watched = AP_WATCHED(clock_is + 5 * MS, 6);
    for (int i = 0; i < 2; i++) {
        uint32_t lane, beats;
        uint64_t age;

        cr_expect(ap_monitor_stopped(seg, &lane, &beats, &age) && lane == 3 && beats == 6 && age == 0);
        seg->header->watched = AP_WATCHED(clock_is, 6);
    }
    *word = before;
}
