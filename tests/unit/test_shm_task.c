/* The task table: each row of the state table, the token, slabs. */
#include "shm_fixture.h"

#include <pthread.h>

static struct ap_lane_handle lane;
static struct ap_slabs slabs;

static void setup(void)
{
    fixture_setup();
    cr_assert_eq(ap_member_open(seg, "task", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    ap_lane_close(&lane);
    fixture_teardown();
}

TestSuite(task, .init = setup, .fini = teardown);

static uint32_t reserve(void)
{
    uint32_t slot;
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    return slot;
}

Test(task, whole_life)
{
    uint32_t slot = reserve();
    uint64_t ref, token;

    cr_assert_eq(state_of(slot), AP_TASK_RESERVED);
    cr_assert_eq(AP_WORD_OWNER(word_of(slot)), lane.index);
    ref = ap_task_publish(seg, slot, 3);
    cr_assert_eq(state_of(slot), AP_TASK_QUEUED);
    cr_assert_eq(ap_task_claim(seg, 5, 2, ref, &token), 0, "another queue's worker must not get it");
    cr_assert_eq(ap_task_claim(seg, 5, 3, ref, &token), 1);
    cr_assert_eq(ap_task_claim(seg, 6, 3, ref, &token), 0, "nobody gets it twice");
    cr_assert_eq(AP_WORD_OWNER(word_of(slot)), 5);
    cr_assert_eq(ap_task_release(seg, lane.index, slot, word_of(slot)), 0, "a running task is not released");
    cr_assert_eq(ap_task_finish(seg, slot, token + (1 << 4), 0), APIARY_ESTALE);
    cr_assert_eq(ap_task_finish(seg, slot, token, 0), 0);
    cr_assert_eq(ap_task_finish(seg, slot, token, 0), APIARY_ESTALE, "a second completion is refused");
    cr_assert_eq(state_of(slot), AP_TASK_DONE);
    cr_assert_eq(ap_word_code(word_of(slot)), 0);
    cr_assert_eq(ap_task_release(seg, lane.index, slot, word_of(slot)), 1);
    cr_assert_eq(state_of(slot), AP_TASK_FREE);
}

Test(task, failure_carries_its_code_in_the_word)
{
    uint32_t slot = reserve();
    uint64_t token;

    cr_assert_eq(ap_task_claim(seg, 1, 0, ap_task_publish(seg, slot, 0), &token), 1);
    cr_assert_eq(ap_task_finish(seg, slot, token, APIARY_EAGENT), 0);
    cr_assert_eq(state_of(slot), AP_TASK_FAILED);
    cr_assert_eq(ap_word_code(word_of(slot)), APIARY_EAGENT);
}

Test(task, a_reaper_takes_what_a_dead_lane_runs_and_nothing_else)
{
    uint32_t slot = reserve();
    uint64_t token, ref = ap_task_publish(seg, slot, 1), queued = word_of(slot);

    cr_assert_eq(ap_task_requeue_dead(seg, AP_WORD_OWNER(queued), slot, queued, 2, true), 0, "nobody runs it");
    cr_assert_eq(ap_task_fail_dead(seg, AP_WORD_OWNER(queued), slot, queued, APIARY_ECRASHED, true), 0);
    cr_assert_eq(ap_task_free_dead(seg, AP_WORD_OWNER(queued), slot, queued), 0);
    cr_assert_eq(word_of(slot), queued);
    cr_assert_eq(ap_task_claim(seg, 1, 1, ref, &token), 1);
    cr_assert_eq(ap_task_free_dead(seg, AP_WORD_OWNER(token), slot, token), 0, "it is to be run again");
    cr_assert_eq(ap_task_requeue_dead(seg, AP_WORD_OWNER(token), slot, token, 2, true), 1);
    cr_assert_eq(word_of(slot), AP_WORD(AP_TASK_QUEUED, 1, 2, AP_WORD_GENERATION(queued)));
    cr_assert_eq(ap_task_fail_dead(seg, AP_WORD_OWNER(token), slot, token, APIARY_ECRASHED, true), 0, "the word has changed");
    cr_assert_eq(ap_task_claim(seg, 1, 2, ref, &token), 1);
    cr_assert_eq(ap_task_fail_dead(seg, AP_WORD_OWNER(token), slot, token, APIARY_ECRASHED, true), 1);
    cr_assert_eq(ap_word_code(word_of(slot)), APIARY_ECRASHED);
}

/* The rows of shm/states.def say whose code makes a transition. Here another's does. */
Test(task, a_slot_of_another_lanes_slab_is_not_reserved, .signal = SIGILL)
{
    uint32_t other = (reserve() / AP_SLAB_SLOTS + 1) * AP_SLAB_SLOTS;

    ap_slot_reserve(&slabs, ap_slot_at(seg, other), other, slabs.lane->index);
}

Test(task, a_worker_does_not_finish_for_another, .signal = SIGILL)
{
    uint32_t slot = reserve();
    uint64_t token;

    cr_assert_eq(ap_task_claim(seg, 1, 0, ap_task_publish(seg, slot, 0), &token), 1);
    ap_slot_finish(seg, 2, ap_slot_at(seg, slot), token, 0);
}

Test(task, cancel_move_and_stale_references)
{
    uint32_t slot = reserve();
    uint64_t ref = ap_task_publish(seg, slot, 1), seen = word_of(slot), token;

    cr_assert_eq(ap_task_move(seg, slot, seen, 2), 1);
    cr_assert_eq(ap_task_move(seg, slot, seen, 3), 0, "the word has changed");
    cr_assert_eq(ap_task_claim(seg, 1, 1, ref, &token), 0);
    cr_assert_eq(ap_task_cancel_queued(seg, slot, word_of(slot), AP_TASK_CANCELLED, APIARY_ECANCELLED), 1);
    cr_assert_eq(ap_word_code(word_of(slot)), APIARY_ECANCELLED);
    cr_assert_eq(ap_task_claim(seg, 1, 2, ref, &token), 0);
    cr_assert_eq(ap_task_release(seg, lane.index, slot, word_of(slot)), 1);
    /* The same slot again: the old reference is refused by its generation. */
    while (reserve() != slot) {}
    ap_task_publish(seg, slot, 1);
    cr_assert_eq(ap_task_claim(seg, 1, 1, ref, &token), 0);
    cr_assert_eq(ap_task_claim(seg, 1, 1, AP_REF(4000000, 1), &token), 0, "a reference out of range is refused");
}

Test(task, request_bits_belong_to_a_generation)
{
    uint32_t slot = reserve();
    uint64_t g = AP_WORD_GENERATION(word_of(slot));

    cr_assert_eq(ap_task_request(seg, slot, g - 1, AP_REQUEST_CANCEL), 0);
    cr_assert_eq(ap_task_request(seg, slot, g, AP_REQUEST_CANCEL), 1);
    cr_assert_eq(ap_task_request(seg, slot, g, AP_REQUEST_ABANDON), 1);
    cr_assert_eq(ap_slot_at(seg, slot)->request, AP_REQUEST_WORD(g, AP_REQUEST_CANCEL | AP_REQUEST_ABANDON));
}

static int freed_count;
static void freed(void *user, struct ap_slot *slot)
{
    (void)user;
    cr_assert_not_null(slot);
    freed_count++;
}

Test(task, an_abandoned_finished_slot_is_used_again)
{
    uint32_t first = reserve(), slot;
    uint64_t token;

    cr_assert_eq(ap_task_claim(seg, 1, 0, ap_task_publish(seg, first, 0), &token), 1);
    ap_task_request(seg, first, AP_WORD_GENERATION(token), AP_REQUEST_ABANDON);
    cr_assert_eq(ap_task_finish(seg, first, token, 0), 0);
    for (int i = 1; i < 64; i++) reserve();
    cr_assert_eq(ap_task_reserve(&slabs, freed, NULL, &slot), 0);
    cr_assert_eq(slot, first);
    cr_assert_eq(freed_count, 1);
}

Test(task, full_table_is_an_answer)
{
    uint32_t slot = 12345;

    for (int i = 0; i < 128; i++) reserve();
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), APIARY_ENOSLOT);
    cr_assert_eq(slot, 12345, "outputs are untouched on failure");
    cr_assert_eq(ap_slabs_busy(&slabs), 128);
    ap_task_unreserve(&slabs, 77);
    cr_assert_eq(reserve(), 77);
}

Test(task, a_slab_goes_back_after_a_burst)
{
    for (int i = 0; i < 128; i++) reserve();
    cr_assert_eq(slabs.count, 2);
    for (uint32_t i = 0; i < 128; i++) ap_task_unreserve(&slabs, i);
    for (int i = 0; i < 200; i++) ap_task_unreserve(&slabs, reserve());
    cr_assert_eq(slabs.count, 1);
}

Test(task, generations_end_and_begin_anew_under_a_new_epoch)
{
    uint32_t slot = reserve(), epoch = AP_LEASE_EPOCH(ap_slab_at(seg, slot / 64)->lease);

    ap_task_unreserve(&slabs, slot);
    for (uint32_t i = 0; i < 64; i++)
        ap_store_relaxed(&ap_slot_at(seg, slot / 64 * 64 + i)->word,
                         AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, AP_GENERATION_LAST));
    cr_assert_neq(reserve() / 64, slot / 64, "a retired slot is not used");
    ap_slabs_release(&slabs);
    ap_slabs_init(&slabs, &lane);
    ap_store_relaxed(&ap_slab_at(seg, 1 - slot / 64)->lease, AP_LEASE(1, 9)); /* only the retired one is left */
    cr_assert_eq(reserve() / 64, slot / 64);
    cr_assert_eq(AP_LEASE_EPOCH(ap_slab_at(seg, slot / 64)->lease), epoch + 1);
    ap_store_relaxed(&ap_slab_at(seg, 1 - slot / 64)->lease, AP_LEASE(1, 0));
}

/* The last slot of a slab that is about to be given back: it was once reserved after the lease was gone. */
Test(task, the_last_slot_of_a_slab_is_used_under_its_lease)
{
    for (int i = 0; i < 128; i++) reserve();
    for (uint32_t i = 0; i < 128; i++) ap_task_unreserve(&slabs, i);
    for (int i = 0; i < 300; i++) {
        uint32_t slot = reserve();
        cr_assert_eq(AP_LEASE_LANE(ap_slab_at(seg, slot / AP_SLAB_SLOTS)->lease), lane.index + 1, "slot %u", slot);
        ap_task_unreserve(&slabs, slot);
    }
}

Test(task, a_code_that_is_none_of_ours_stays_in_its_field)
{
    uint32_t slot = reserve();
    uint64_t token, generation = AP_WORD_GENERATION(word_of(slot));

    cr_assert_eq(ap_task_claim(seg, 1, 0, ap_task_publish(seg, slot, 0), &token), 1);
    cr_assert_eq(ap_task_finish(seg, slot, token, 1), 0);
    cr_assert_eq(AP_WORD_GENERATION(word_of(slot)), generation);
    cr_assert_eq(ap_word_code(word_of(slot)), APIARY_EAGENT);
}

Test(task, what_a_dead_attempt_named_is_forgotten)
{
    uint32_t slot = reserve();
    uint64_t token;
    struct ap_slot *s = ap_slot_at(seg, slot);

    ap_task_publish(seg, slot, 0);
    s->result = seg->sections[AP_SECTION_POOL].offset;
    s->result_size = 100;
    cr_assert_eq(ap_task_claim(seg, 1, 0, AP_REF(slot, AP_WORD_GENERATION(s->word)), &token), 1);
    cr_assert_eq(s->result, 0);
    cr_assert_eq(s->result_size, 0);
}

/* Several workers race for each task: exactly one gets it. */
enum { RACERS = 3, RACES = 20000 };
static uint64_t race_ref, race_won[RACERS];
static uint32_t race_turn, race_done;

static void *racer(void *user)
{
    uint32_t me = (uint32_t)(uintptr_t)user;

    for (uint32_t turn = 1; turn <= RACES; turn++) {
        uint64_t token;
        while (ap_load_acquire(&race_turn) != turn) sched_yield();
        if (ap_task_claim(seg, me, 0, race_ref, &token)) {
            race_won[me]++;
            cr_assert_eq(ap_task_finish(seg, AP_REF_SLOT(race_ref), token, 0), 0);
        }
        ap_add_acq_rel(&race_done, 1);
    }
    return NULL;
}

Test(task, exactly_one_worker_claims)
{
    pthread_t t[RACERS];
    uint64_t won = 0;

    for (uintptr_t i = 0; i < RACERS; i++) pthread_create(&t[i], NULL, racer, (void *)i);
    for (uint32_t turn = 1; turn <= RACES; turn++) {
        uint32_t slot = reserve();
        race_ref = ap_task_publish(seg, slot, 0);
        ap_store_release(&race_turn, turn);
        while (ap_load_acquire(&race_done) != turn * RACERS) sched_yield();
        cr_assert_eq(ap_task_release(seg, lane.index, slot, word_of(slot)), 1);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(t[i], NULL);
        won += race_won[i];
    }
    cr_assert_eq(won, RACES);
}

Test(task, bodies_are_bounded)
{
    uint32_t slot = reserve(), size = 7;
    struct ap_slot *s = ap_slot_at(seg, slot);

    s->body_size = 64;
    cr_assert_eq(ap_task_body(seg, s, &size), s->body_inline);
    cr_assert_eq(size, 64);
    s->body_size = 65;
    size = 7;
    cr_assert_null(ap_task_body(seg, s, &size));
    cr_assert_eq(size, 7);
    s->body = 12345;
    cr_assert_null(ap_task_body(seg, s, &size));
    s->body = seg->sections[AP_SECTION_POOL].offset;
    s->body_size = 256;
    cr_assert_not_null(ap_task_body(seg, s, &size));
    s->body_size = 257;
    cr_assert_null(ap_task_body(seg, s, &size));
    s->body = 0;
}
