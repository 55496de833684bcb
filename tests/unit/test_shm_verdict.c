/* The verdict on images: who is asked about, how often, by which way, and what is written down. */
#include "shm_fixture.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>

#include "shm/image.h"
#include "tests/support/inject.h"

static struct ap_ops ops;
static unsigned asked, woken;

static int lock_gone(int fd, uint64_t byte)
{
    asked++;
    return ap_ops_system.lock_gone(fd, byte);
}

static int futex_wake(const uint32_t *word, int count)
{
    for (uint32_t i = 0; i < seg->geometry.lanes; i++)
        woken += word == ap_robust_word(&ap_lane_at(seg, i)->mutex) && count == INT_MAX;
    return ap_ops_system.futex_wake(word, count);
}

static struct ap_lane_handle lanes[4];

static void setup(void)
{
    fixture_setup();
    ops = ap_ops_system;
    ops.lock_gone = lock_gone;
    ops.futex_wake = futex_wake;
    seg->ops = &ops;
    for (unsigned i = 0; i < 4; i++) cr_assert_eq(ap_lane_open(seg, 0, &lanes[i]), 0);
}

TestSuite(verdict, .init = setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

#define NOBODYS 999 /* an image that was never given out looks like one that has gone */
#define LIVE AP_LIFE(0, AP_LIFE_LIVE)

/* What a question finds of lane 0; nothing of it may be left open. */
static bool is_gone(uint64_t image)
{
    struct inject_count was = inject_count(), now;
    int gone;

    lanes[0].lane->image = image;
    asked = 0;
    gone = ap_image_gone(seg, 0);
    now = inject_count();
    cr_expect_eq(now.descriptors, was.descriptors);
    cr_expect_eq(now.closed, was.closed);
    return gone != 0;
}

Test(verdict, whose_image_is_gone)
{
    struct ap_segment *other = fixture_again();

    cr_expect_not(is_gone(0));
    cr_expect_eq(asked, 0, "none");
    cr_expect_not(is_gone(seg->image));
    cr_expect_eq(asked, 0, "its own");
    cr_expect_not(is_gone(other->image));
    cr_expect_eq(asked, 1);
    cr_expect(is_gone(NOBODYS));
    cr_expect_eq(asked, 1);
    ap_segment_unmap(other);
    cr_expect(is_gone(2), "the other's, which was unmapped");
    lanes[0].lane->life = AP_LIFE(0, AP_LIFE_DEAD);
    cr_expect_not(is_gone(NOBODYS));
    lanes[0].lane->life = AP_LIFE(0, AP_LIFE_FREE);
    cr_expect_not(is_gone(NOBODYS));
    cr_expect_eq(asked, 0);
    lanes[0].lane->life = LIVE;
    cr_expect_eq(ap_image_gone(seg, 16), 0);
    cr_expect_eq(ap_image_judge(seg, 16), 0);
    lanes[0].lane->image = seg->image;
}

/* One way is enough, and a name that leads to another file is none. */
Test(verdict, by_which_way_is_asked)
{
    struct ap_segment_options o = {.name = seg_name, .geometry = seg->geometry};
    struct ap_segment *usurper;

    inject_begin(INJECT_OPEN, 1, false, ENOENT);
    cr_expect(is_gone(NOBODYS), "by its name, where there is no /proc");
    cr_expect_not_null(inject_end());
    inject_begin(INJECT_OPEN, 1, true, ENOENT);
    cr_expect_not(is_gone(NOBODYS), "who cannot ask knows nothing");
    cr_expect_eq(asked, 0);
    inject_end();
    shm_unlink(seg_name);
    cr_expect(is_gone(NOBODYS), "by /proc, where there is no name");
    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, NULL, 0, &usurper), 0);
    inject_begin(INJECT_OPEN, 1, false, ENOENT);
    cr_expect_not(is_gone(NOBODYS), "the name is another segment's by now");
    cr_expect_not_null(inject_end());
    cr_expect_eq(asked, 0);
    ap_segment_unmap(usurper);
    lanes[0].lane->image = seg->image;
}

Test(verdict, what_is_written_down)
{
    struct inject_count was = inject_count();
    uint32_t *word = (uint32_t *)ap_robust_word(&lanes[0].lane->mutex), held = *word;

    for (unsigned waiters = 0; waiters < 2; waiters++) {
        lanes[0].lane->image = NOBODYS;
        *word = held | (waiters != 0 ? FUTEX_WAITERS : 0);
        woken = 0;
        cr_expect_eq(ap_image_judge(seg, 0), 1);
        cr_expect_eq(*word, FUTEX_OWNER_DIED | (waiters != 0 ? FUTEX_WAITERS : 0));
        cr_expect_eq(woken, 1);
        cr_expect_eq(lanes[0].lane->life, AP_LIFE(0, AP_LIFE_JUDGED), "and the mark tells, as the kernel's does");
        cr_expect_eq(lanes[0].lane->judge, 0, "whoever judges has done");
        cr_expect_eq(ap_image_judge(seg, 0), 0, "once");
        *word = held;
        lanes[0].lane->life = LIVE;
    }
    lanes[0].lane->kind = AP_LANE_SHARED;
    woken = 0;
    cr_expect_eq(ap_image_judge(seg, 0), 1);
    cr_expect_eq(lanes[0].lane->life, AP_LIFE(0, AP_LIFE_DEAD));
    cr_expect(*word == held && woken == 0);
    cr_expect_eq(ap_image_judge(seg, 0), 0, "once");
    lanes[0].lane->kind = AP_LANE_THREAD;
    lanes[0].lane->life = LIVE;
    lanes[0].lane->image = seg->image;
    cr_expect_eq(inject_count().descriptors, was.descriptors);
}

static unsigned judge_all(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t images[] = {a, b, c, d};
    int n;

    for (unsigned i = 0; i < 4; i++) {
        lanes[i].lane->kind = AP_LANE_SHARED;
        lanes[i].lane->life = LIVE;
        lanes[i].lane->image = images[i];
    }
    asked = 0;
    n = ap_images_judge(seg);
    for (unsigned i = 0; i < 4; i++) {
        cr_expect_eq(AP_LIFE_STATE(lanes[i].lane->life), images[i] >= NOBODYS ? AP_LIFE_DEAD : AP_LIFE_LIVE, "lane %u", i);
        lanes[i].lane->kind = AP_LANE_THREAD;
        lanes[i].lane->life = LIVE;
        lanes[i].lane->image = seg->image;
    }
    return (unsigned)n;
}

/* Lanes of one process often lie side by side: one question for all of them, through one descriptor. */
Test(verdict, how_often_is_asked)
{
    struct inject_count was = inject_count();
    struct ap_segment *other = fixture_again();
    const uint64_t lives = other->image, own = seg->image;

    cr_expect_eq(judge_all(NOBODYS, NOBODYS, NOBODYS, NOBODYS), 4);
    cr_expect_eq(asked, 1);
    cr_expect_eq(judge_all(NOBODYS, NOBODYS, NOBODYS + 1, NOBODYS + 1), 4);
    cr_expect_eq(asked, 2);
    cr_expect_eq(judge_all(lives, lives, NOBODYS, lives), 1);
    cr_expect_eq(asked, 3);
    cr_expect_eq(judge_all(own, 0, own, 0), 0);
    cr_expect_eq(asked, 0);
    inject_begin(INJECT_OPEN, UINT32_MAX, false, ENOENT);
    cr_expect_eq(judge_all(NOBODYS, lives, NOBODYS, lives), 2);
    cr_expect_eq(inject_seen(), 1);
    inject_end();
    inject_begin(INJECT_OPEN, UINT32_MAX, false, ENOENT);
    cr_expect_eq(judge_all(own, own, own, own), 0);
    cr_expect_eq(inject_seen(), 0, "opened when it is needed");
    inject_end();
    ap_segment_unmap(other);
    cr_expect_eq(inject_count().descriptors, was.descriptors);
}

Test(verdict, who_cannot_ask_does_not_try_again)
{
    inject_begin(INJECT_OPEN, 1, true, EMFILE);
    for (unsigned i = 0; i < 4; i++) lanes[i].lane->image = NOBODYS + i;
    cr_expect_eq(ap_images_judge(seg), 0);
    cr_expect_eq(inject_seen(), 2, "by /proc and by its name");
    inject_end();
    for (unsigned i = 0; i < 4; i++) lanes[i].lane->image = seg->image;
}
