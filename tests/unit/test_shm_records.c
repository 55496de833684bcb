/* Lanes, members and events: every field that is written, and who is told. */
#include "shm_fixture.h"

#include <linux/futex.h>
#include <string.h>

#include "shm/bell.h"
#include "shm/event.h"

/* The system, with the wakes of each word counted. */
static struct ap_ops ops;
static unsigned changes, bells;

static int count_wakes(const uint32_t *word, int count)
{
    changes += word == &seg->header->lanes_changed && count == INT32_MAX;
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) bells += word == &ap_lane_at(seg, i)->bell;
    return ap_ops_system.futex_wake(word, count);
}

static void setup(void)
{
    fixture_setup();
    ops = ap_ops_system;
    ops.futex_wake = count_wakes;
    seg->ops = &ops;
}

TestSuite(shm_records, .init = setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

/* How often the lanes have changed since the last time; each change is a step of the word and a wake of all that wait for it. */
static uint32_t changed(void)
{
    static uint32_t last;
    uint32_t now = ap_load_acquire(&seg->header->lanes_changed), steps = now - last;

    last = now;
    cr_expect_eq(changes, steps);
    changes = 0;
    return steps;
}

/* ---- lanes ----------------------------------------------------------------------------------------------------- */

static void judge_lane(const struct ap_lane_handle *h, uint32_t index, uint32_t member, uint64_t epoch, uint64_t before)
{
    const struct ap_lane *l = ap_lane_at(seg, index);

    cr_expect_eq(h->seg, seg);
    cr_expect_eq(h->lane, l);
    cr_expect_eq(h->index, index);
    cr_expect_eq(h->epoch, epoch);
    cr_expect_eq(h->member, member);
    cr_expect_eq(l->life, AP_LIFE(epoch, AP_LIFE_LIVE));
    cr_expect_eq(l->kind, AP_LANE_THREAD);
    cr_expect_eq(l->tid, (uint32_t)gettid());
    cr_expect_eq(l->member, member);
    cr_expect(l->joined >= before && l->joined <= seg->ops->now());
    cr_expect_eq(l->pid, getpid());
    cr_expect_eq(l->image, seg->image);
    cr_expect_neq(l->image, 0);
    cr_expect_eq(*ap_robust_word(&l->mutex) & FUTEX_TID_MASK, (uint32_t)gettid());
    for (unsigned i = 0; i < AP_HANDS; i++) cr_expect_eq(l->hand[i], 0);
}

Test(shm_records, a_lane_from_its_beginning_to_its_end)
{
    struct ap_lane *l = ap_lane_at(seg, 0);
    struct ap_lane_handle h;

    changed();
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        uint64_t before = seg->ops->now();

        memset(l->hand, 0x77, sizeof l->hand); /* what the last one left */
        l->image = l->joined = UINT64_MAX;
        l->pid = -1;
        l->member = l->tid = 77;
        l->kind = AP_LANE_SHARED;
        memset(&h, 0x55, sizeof h);
        cr_assert_eq(ap_lane_open(seg, 5, &h), 0);
        cr_expect_eq(changed(), 1);
        judge_lane(&h, 0, 5, epoch, before);
        ap_lane_close(&h);
        cr_expect_eq(changed(), 1);
        cr_expect_null(h.lane);
        cr_expect_eq(l->life, AP_LIFE(epoch + 1, AP_LIFE_FREE));
        cr_expect_eq(*ap_robust_word(&l->mutex), 0);
    }
}

Test(shm_records, a_lane_that_is_shared)
{
    struct ap_lane *l = ap_lane_at(seg, 0);
    struct ap_lane_handle h;

    cr_assert_eq(ap_lane_open(seg, 5, &h), 0);
    changed();
    ap_lane_share(&h);
    cr_expect_eq(changed(), 1);
    cr_expect_eq(l->life, AP_LIFE(0, AP_LIFE_LIVE));
    cr_expect_eq(l->kind, AP_LANE_SHARED);
    cr_expect_eq(*ap_robust_word(&l->mutex), 0);
    cr_expect_eq(h.lane, l);
    ap_lane_close_shared(&h);
    cr_expect_eq(changed(), 1);
    cr_expect_null(h.lane);
    cr_expect_eq(l->life, AP_LIFE(1, AP_LIFE_FREE));
}

Test(shm_records, as_many_lanes_as_there_are)
{
    struct ap_lane_handle h[17];

    for (uint32_t i = 0; i < 16; i++) {
        cr_assert_eq(ap_lane_open(seg, 0, &h[i]), 0);
        cr_expect_eq(h[i].index, i);
    }
    memset(&h[16], 0x55, sizeof h[16]);
    changed();
    cr_expect_eq(ap_lane_open(seg, 0, &h[16]), APIARY_ENOLANE);
    cr_expect_eq(h[16].index, 0x55555555, "untouched");
    cr_expect_eq(changed(), 0);
    ap_lane_close(&h[7]);
    cr_expect_eq(ap_lane_open(seg, 0, &h[16]), 0);
    cr_expect_eq(h[16].index, 7);
}

/* One that died with the lock of a lane that it had not opened yet. */
static void lock_free_lane(struct ap_segment *own, struct ap_lane_handle *h)
{
    (void)h;
    if (ap_robust_trylock(&ap_lane_at(own, 5)->mutex) != 0) _exit(1);
}

Test(shm_records, a_lane_whose_opener_died)
{
    struct ap_lane *l = ap_lane_at(seg, 5);
    struct ap_lane_handle h[7];

    fixture_die(lock_free_lane);
    cr_assert_eq(*ap_robust_word(&l->mutex) & FUTEX_OWNER_DIED, FUTEX_OWNER_DIED);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 6; i++) cr_assert_eq(ap_lane_open(seg, 0, &h[i]), 0);
        cr_expect_eq(h[4].index, 5, "0 is the dead child's");
        for (uint32_t i = 0; i < 6; i++) ap_lane_close(&h[i]);
        cr_expect_eq(*ap_robust_word(&l->mutex), 0);
    }
}

Test(shm_records, a_lane_that_is_none)
{
    const uint32_t *word = (const uint32_t *)8;
    uint32_t value = 77;

    cr_expect_eq(ap_lane_dead(seg, 16), 0);
    cr_expect_eq(ap_lane_alive(seg, 16), 0);
    cr_expect_not(ap_lane_still(seg, 16, 1));
    cr_expect(ap_lane_still(seg, 16, 0));
    cr_expect_eq(ap_lane_watch(seg, 16, &word, &value), -EAGAIN);
    cr_expect_eq(ap_lane_watch(seg, 15, &word, &value), -EAGAIN, "nobody holds it");
    cr_expect(word == (const uint32_t *)8 && value == 77, "untouched");
}

Test(shm_records, everybody_is_rung)
{
    struct ap_lane_handle h[3];
    uint32_t before[16];

    for (uint32_t i = 0; i < 3; i++) cr_assert_eq(ap_lane_open(seg, 0, &h[i]), 0);
    ap_lane_close(&h[1]);
    ap_lane_at(seg, 9)->life = AP_LIFE(3, AP_LIFE_DEAD);
    for (uint32_t i = 0; i < 16; i++) before[i] = ap_bell_raise(&ap_lane_at(seg, i)->bell);
    bells = 0;
    ap_bells_all(seg);
    cr_expect_eq(bells, 3);
    for (uint32_t i = 0; i < 16; i++)
        cr_expect_eq(ap_lane_at(seg, i)->bell != before[i], i == 0 || i == 2 || i == 9, "lane %u", i);
}

/* ---- members --------------------------------------------------------------------------------------------------- */

static void judge_event(uint64_t number, uint32_t kind, uint32_t by, uint64_t a, uint64_t b)
{
    struct ap_event e;

    memset(&e, 0x55, sizeof e);
    cr_assert_eq(ap_event_read(seg, number, &e), 1);
    cr_expect(e.number == number && e.kind == kind && e.lane == by && e.a == a && e.b == b, "%s %u %llu %llu",
              ap_event_text(e.kind), e.lane, (unsigned long long)e.a, (unsigned long long)e.b);
    cr_expect_leq(e.time, seg->ops->realtime());
    cr_expect(e.reserved == 0 && e.c == 0 && e.size == 0);
}

Test(shm_records, a_member_from_its_beginning_to_its_end)
{
    struct ap_member *m = ap_member_at(seg, 0), copy;
    struct ap_lane_handle other, h;
    uint64_t before = seg->ops->realtime(), next = seg->header->event_next;

    cr_assert_eq(ap_lane_open(seg, 0, &other), 0);
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        struct ap_member want = {.life = AP_MEMBER_LIFE(epoch, 1, AP_LIFE_LIVE), .pid = getpid(),
                                 .kind = epoch == 1 ? APIARY_QUEEN : APIARY_TOOL,
                                 .start_time = seg->self.start_time, .pid_namespace = seg->self.pid_namespace};

        snprintf(want.name, sizeof want.name, "%s", epoch == 1 ? "a rather long name" : "short");
        snprintf(want.swarm, sizeof want.swarm, "%s", epoch == 1 ? "swarm" : "");
        cr_assert_eq(ap_member_open(seg, want.name, epoch == 1 ? "swarm" : NULL, want.kind, &h), 0);
        cr_expect(m->attached >= before && m->attached <= seg->ops->realtime());
        want.attached = m->attached;
        cr_expect_eq(memcmp(m, &want, sizeof want), 0);
        memset(&copy, 0x55, sizeof copy);
        cr_expect_eq(ap_member_read(seg, 0, &copy), 1);
        cr_expect_eq(memcmp(&copy, &want, sizeof want), 0);
        cr_expect(h.index == 1 && h.member == 0 && h.lane == ap_lane_at(seg, 1) && h.epoch == epoch && h.lane->member == 0);
        if (epoch == 1) judge_event(next++, AP_EVENT_MEMBER_JOINED, 1, 0, (uint64_t)getpid());
        ap_member_close(seg, 0, 0);
        cr_expect_eq(m->life, want.life, "that is another's anchor");
        ap_members_settle(seg, 1, 1);
        cr_expect_eq(m->life, want.life, "not beside another");
        ap_member_close(seg, 0, 1);
        cr_expect_eq(m->life, AP_MEMBER_LIFE(epoch + 1, 0, AP_LIFE_FREE));
        if (epoch == 1) judge_event(next++, AP_EVENT_MEMBER_LEFT, 1, 0, (uint64_t)getpid());
        ap_member_close(seg, 0, 0);
        cr_expect_eq(m->life, AP_MEMBER_LIFE(epoch + 1, 0, AP_LIFE_FREE), "it has gone already");
        ap_lane_close(&h);
        cr_expect_eq(ap_member_read(seg, 0, &copy), 0);
        cr_expect_eq(memcmp(&copy, &want, sizeof want), 0, "untouched");
    }
    cr_expect_eq(seg->header->event_next, next, "the comings and goings of tools are none");
}

Test(shm_records, as_many_members_as_there_are)
{
    struct ap_lane_handle h[9], settled;
    struct ap_member copy;

    for (uint32_t i = 0; i < 8; i++) {
        cr_assert_eq(ap_member_open(seg, "m", NULL, APIARY_CLIENT, &h[i]), 0);
        cr_expect(h[i].member == i && h[i].lane->member == i);
    }
    memset(&h[8], 0x55, sizeof h[8]);
    cr_expect_eq(ap_member_open(seg, "m", NULL, APIARY_CLIENT, &h[8]), APIARY_ENOLANE);
    cr_expect_eq(h[8].index, 0x55555555, "untouched");
    cr_expect_eq(AP_LIFE_STATE(ap_lane_at(seg, 8)->life), AP_LIFE_FREE, "its lane was given back");
    cr_expect_eq(*ap_robust_word(&ap_lane_at(seg, 8)->mutex), 0);
    cr_expect_eq(ap_member_read(seg, 8, &copy), 0);
    ap_member_close(seg, 8, 0); /* there is none */
    settled = h[3];
    ap_members_settle(seg, settled.index, 0);
    for (uint32_t i = 0; i < 8; i++) cr_expect_eq(ap_member_read(seg, i, &copy), i != 3, "member %u", i);
    cr_expect_eq(ap_member_open(seg, "m", NULL, APIARY_CLIENT, &h[8]), 0);
    cr_expect_eq(h[8].member, 3);
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

static void says(const char *text, size_t size, const char *expected)
{
    char said[AP_EVENT_TEXT + 1];
    struct ap_event e;

    ap_event_log_more(seg, AP_EVENT_SWARM_MODE, 1, 2, 3, 4, text, size);
    cr_assert_eq(ap_event_read(seg, seg->header->event_next - 1, &e), 1);
    cr_expect(e.a == 2 && e.b == 3 && e.c == 4);
    ap_event_said(&e, said);
    cr_expect_str_eq(said, expected);
}

Test(shm_records, an_event_with_a_text)
{
    char text[AP_EVENT_TEXT + 2], cut[AP_EVENT_TEXT + 1];

    says(NULL, 0, "");
    says("nine bytes", 9, "nine byte");
    memset(text, 'x', sizeof text);
    text[AP_EVENT_TEXT] = '\0';
    says(text, AP_EVENT_TEXT, text);
    memset(cut, 'x', sizeof cut);
    snprintf(cut + AP_EVENT_TEXT - 3, 4, "...");
    says(text, AP_EVENT_TEXT + 1, cut);
    memcpy(text + AP_EVENT_TEXT - 4, "\xc3\xbc", 2); /* one character of two bytes, of which one would have room */
    snprintf(cut + AP_EVENT_TEXT - 4, 4, "...");
    says(text, AP_EVENT_TEXT + 1, cut);
    says("", 0, "");
}

/* A writer of an earlier event stood still until its row was another's, and now stores what it had left to store. */
Test(shm_records, an_event_is_never_mixed_of_two)
{
    uint64_t number = seg->header->event_next;
    struct ap_event e, *row = ap_at(seg, AP_SECTION_EVENTS, number & 63), whole;

    ap_event_log_more(seg, AP_EVENT_SWARM_MODE, 1, 2, 3, 4, "why", 3);
    whole = *row;
#define LATE(field, value)                                        \
    row->field = (value);                                         \
    cr_expect_eq(ap_event_read(seg, number, &e), 0, "%s", #field); \
    *row = whole;                                                 \
    cr_expect_eq(ap_event_read(seg, number, &e), 1)
    LATE(time, whole.time - 1);
    LATE(kind, AP_EVENT_SWARM_WEIGHT);
    LATE(lane, 2);
    LATE(a, 3);
    LATE(b, 2);
    LATE(c, 0);
    LATE(size, 0);
    LATE(size, AP_EVENT_TEXT + 1);
    LATE(text[0], whole.text[0] + 1);
    LATE(check, whole.check ^ 1);
    LATE(number, number - 64);
}

Test(shm_records, events_that_were_overwritten_are_gone)
{
    uint64_t first = seg->header->event_next;
    struct ap_event e, before;

    for (uint64_t i = 0; i < 65; i++) ap_event_log(seg, AP_EVENT_TASK_MOVED, 3, i, i * 2);
    memset(&e, 0x55, sizeof e);
    before = e;
    cr_expect_eq(ap_event_read(seg, first, &e), 0);
    cr_expect_eq(ap_event_read(seg, 0, &e), 0);
    cr_expect_eq(ap_event_read(seg, first + 65, &e), 0, "not yet");
    cr_expect_eq(memcmp(&e, &before, sizeof e), 0, "untouched");
    for (uint64_t i = 1; i < 65; i++) judge_event(first + i, AP_EVENT_TASK_MOVED, 3, i, i * 2);
    cr_expect_str_eq(ap_event_text(AP_EVENT_NONE), "none");
    cr_expect_str_eq(ap_event_text(AP_EVENT_MONITOR), "watches all lanes");
    cr_expect_str_eq(ap_event_text(AP_EVENT_KINDS), "unknown");
    cr_expect_str_eq(ap_event_text(UINT32_MAX), "unknown");
}
