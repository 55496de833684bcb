/* Whose fault it is that a worker died: what a task's word says of it, and when it is not tried again. */
#include "shm_fixture.h"

static struct ap_lane_handle lane;
static struct ap_slabs slabs;

static void setup(void)
{
    fixture_setup();
    cr_assert_eq(ap_member_open(seg, "survivor", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    fixture_teardown();
}

TestSuite(suspect, .init = setup, .fini = teardown);

static uint64_t shared_ref; /* of what the survivor published last, handed to the child by fork */

static uint32_t publish(uint32_t queue)
{
    uint32_t slot;
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    shared_ref = ap_task_publish(seg, slot, queue);
    return slot;
}

static int reap(void)
{
    return ap_reap_all(seg, lane.index, NULL);
}

static void claim_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    uint64_t token;

    h->lane->hand[0] = shared_ref;
    if (!ap_task_claim(own, h->index, 0, shared_ref, &token)) _exit(1);
}

static void claim_and_crash(struct ap_segment *own, struct ap_lane_handle *h)
{
    claim_and_die(own, h);
    ap_lane_inside(h->lane, shared_ref);
    ap_lane_crash(h->lane, SIGSEGV);
}

Test(suspect, a_task_that_kills_its_workers_ends)
{
    uint32_t slot = publish(0);

    for (unsigned i = 1; i < AP_CRASHES_MAX; i++) {
        fixture_die(claim_and_crash);
        cr_assert_eq(reap(), 1);
        cr_assert_eq(AP_WORD_CRASHES(word_of(slot)), i);
        cr_assert_eq(AP_WORD_LOST(word_of(slot)), 0);
    }
    fixture_die(claim_and_crash);
    cr_assert_eq(reap(), 1);
    cr_assert_eq(AP_WORD_CRASHES(word_of(slot)), AP_CRASHES_MAX);
    cr_assert_eq(ap_word_starts(word_of(slot)), AP_CRASHES_MAX);
    cr_assert_eq(state_of(slot), AP_TASK_FAILED);
    cr_assert_eq(ap_word_code(word_of(slot)), APIARY_ECRASHED);
    cr_expect_neq(AP_REQUEST_CAUSE(ap_slot_at(seg, slot)->request), AP_DEAD_NOT);
    cr_expect_eq(ap_dead_code(AP_REQUEST_CAUSE(ap_slot_at(seg, slot)->request)), APIARY_ECRASHED);
}

Test(suspect, a_task_whose_workers_are_killed_ends_late)
{
    uint32_t slot = publish(0);

    for (unsigned i = 1; i <= AP_LOST_MAX; i++) {
        fixture_die(claim_and_die);
        cr_assert_eq(reap(), 1);
        cr_assert_eq(AP_WORD_LOST(word_of(slot)), i);
        cr_assert_eq(state_of(slot), AP_TASK_QUEUED);
    }
    fixture_die(claim_and_die);
    cr_assert_eq(reap(), 1);
    cr_assert_eq(state_of(slot), AP_TASK_FAILED);
    cr_assert_eq(ap_word_code(word_of(slot)), APIARY_ELOST);
    cr_expect_eq(AP_REQUEST_CAUSE(ap_slot_at(seg, slot)->request), AP_DEAD_LOST);
    cr_assert_eq(AP_WORD_CRASHES(word_of(slot)), 0);
    cr_assert_eq(ap_word_starts(word_of(slot)), AP_LOST_MAX + 1);
}

static uint64_t beside_ref, inside; /* of a second task in the same hands; what the crash is laid to */

static void claim_both_and_crash(struct ap_segment *own, struct ap_lane_handle *h)
{
    uint64_t token;

    if (!ap_task_claim(own, h->index, 0, beside_ref, &token) || !ap_task_claim(own, h->index, 1, shared_ref, &token)) _exit(1);
    ap_lane_inside(h->lane, inside);
    ap_lane_crash(h->lane, SIGABRT);
}

/* Two tasks of one lane, the first one's queue 0, the second one's queue 1: whether each counts as crashed. */
static void judge_both(uint64_t (*laid_to)(void), uint32_t first, uint32_t second)
{
    uint32_t slots[2];

    slots[0] = publish(0);
    beside_ref = shared_ref;
    slots[1] = publish(1);
    inside = laid_to();
    fixture_die(claim_both_and_crash);
    cr_assert_eq(reap(), 1);
    cr_expect_eq(AP_WORD_CRASHES(word_of(slots[0])), first);
    cr_expect_eq(AP_WORD_LOST(word_of(slots[0])), !first);
    cr_expect_eq(AP_WORD_CRASHES(word_of(slots[1])), second);
    cr_expect_eq(AP_WORD_LOST(word_of(slots[1])), !second);
}

static uint64_t to_the_second(void)
{
    return shared_ref;
}

static uint64_t to_an_older_one(void)
{
    return shared_ref - 1;
}

static uint64_t to_agent_0(void)
{
    return AP_INSIDE_AGENT(0);
}

static uint64_t to_nobody(void)
{
    return 0;
}

Test(suspect, who_crashes_is_suspected_and_nobody_beside)
{
    judge_both(to_the_second, 0, 1);
}

Test(suspect, a_crash_in_an_agents_own_code_is_laid_to_its_tasks)
{
    judge_both(to_agent_0, 1, 0);
}

Test(suspect, a_crash_in_nobodys_code_is_laid_to_none)
{
    judge_both(to_nobody, 0, 0);
    judge_both(to_an_older_one, 0, 0);
}
