/* The steps of a task one by one: every field that a step writes, and that it leaves alone all others and all that it refuses. */
#include "shm_fixture.h"

#include <string.h>

#include "shm/bell.h"
#include "shm/pool.h"

static struct ap_lane_handle lane;
static struct ap_slabs slabs;
static struct ap_pool_hint hint;

static void begin(void)
{
    cr_assert_eq(ap_member_open(seg, "steps", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
}

static void setup(void)
{
    fixture_setup();
    begin();
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    ap_lane_close(&lane);
    fixture_teardown();
}

TestSuite(steps, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static uint32_t reserve(void)
{
    uint32_t slot = UINT32_MAX;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    return slot;
}

static uint64_t block(uint64_t size)
{
    uint64_t offset = 0;

    cr_assert_eq(ap_pool_take(seg, &lane, &hint, size, &offset), 0);
    return offset;
}

static uint64_t block_word(uint64_t offset)
{
    uint64_t word = 0;

    cr_assert_eq(ap_pool_block(seg, offset, NULL, &word), 0);
    return word;
}

static struct ap_slot *slot_of(uint32_t index)
{
    struct ap_slot *slot = ap_slot_at(seg, index);

    cr_assert_not_null(slot);
    return slot;
}

/* A slot of which a former task has left something in each field. */
static struct ap_slot *left_over(uint64_t word)
{
    struct ap_slot *slot = slot_of(slabs.first + slabs.next);

    memset(slot, 0xa5, sizeof *slot);
    slot->word = word;
    return slot;
}

static void expect_same(const struct ap_slot *slot, const struct ap_slot *wanted, const char *what)
{
    for (size_t i = 0; i < sizeof *slot; i++)
        cr_expect_eq(((const uint8_t *)slot)[i], ((const uint8_t *)wanted)[i], "%s: byte %zu of the slot", what, i);
}

/* ---- FREE, RESERVED, QUEUED ------------------------------------------------------------------------------------ */

Test(steps, a_reserved_slot_has_nothing_of_its_former_task)
{
    struct ap_slot *slot, wanted;
    uint32_t index;

    ap_task_unreserve(&slabs, reserve());
    slot = left_over(AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, 7));
    wanted = *slot;
    wanted.word = AP_WORD(AP_TASK_RESERVED, 0, lane.index, 8);
    wanted.request = AP_REQUEST_WORD(8, 0);
    wanted.body = wanted.result = 0;
    wanted.body_size = wanted.result_size = wanted.agent_code = 0;
    wanted.ticket = 0;
    wanted.client = (uint16_t)lane.index;
    index = reserve();
    cr_assert_eq(slot_of(index), slot);
    expect_same(slot, &wanted, "reserved");
    wanted.word = AP_WORD(AP_TASK_QUEUED, 0, 3, 8);
    wanted.queue = 3;
    cr_expect_eq(ap_task_publish(seg, index, 3), AP_REF(index, 8));
    expect_same(slot, &wanted, "queued");
    cr_expect_eq(ap_task_publish(seg, index, 2), 0, "it is queued already");
    ap_task_unreserve(&slabs, index);
    expect_same(slot, &wanted, "neither is it published again, nor taken back");
}

/* Until its time has come it waits at no queue, whatever a former task of the slot has left there. */
Test(steps, a_scheduled_slot_names_no_queue)
{
    uint32_t index = reserve();
    struct ap_slot *slot = slot_of(index), wanted;

    slot->queue = 3;
    slot->due = 77;
    wanted = *slot;
    wanted.word = AP_WORD_WITH(slot->word, AP_TASK_SCHEDULED, 0);
    wanted.queue = 0;
    wanted.due = 5000;
    cr_expect(ap_slot_schedule(&slabs, slot, index, 5000));
    expect_same(slot, &wanted, "scheduled");
    cr_expect_not(ap_slot_schedule(&slabs, slot, index, 6000), "it waits already");
    expect_same(slot, &wanted, "not scheduled again");
}

Test(steps, what_is_taken_back_gives_back_its_block)
{
    uint32_t index = reserve();
    uint64_t body = block(100), generation = AP_WORD_GENERATION(word_of(index));

    ap_slot_body_block(seg, index, generation, body);
    cr_expect_eq(slot_of(index)->body, body);
    cr_expect_eq(block_word(body), AP_BLOCK(AP_BLOCK_REQUEST, index, generation));
    ap_task_unreserve(&slabs, index);
    cr_expect_eq(word_of(index), AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, generation));
    cr_expect_eq(AP_BLOCK_STATE(block_word(body)), AP_BLOCK_FREE);
}

static struct ap_task_form filled(bool inside)
{
    return (struct ap_task_form){.body = "0123456789", .size = 10, .queued = 11, .deadline = 12, .client = 13, .capability = 14,
                                 .only = 15, .caller = 16, .ticket = 17, .inside = inside};
}

Test(steps, a_written_slot_has_what_its_client_says)
{
    for (int inside = 0; inside < 2; inside++) {
        struct ap_task_form form = filled(inside != 0);
        struct ap_slot slot, wanted;

        memset(&slot, 0xa5, sizeof slot);
        wanted = slot;
        wanted.body = wanted.result = 0;
        wanted.body_size = 10;
        wanted.result_size = wanted.agent_code = 0;
        wanted.only = 15;
        wanted.deadline = 12;
        wanted.client = 13;
        wanted.capability = 14;
        wanted.caller = 16;
        wanted.ticket = 17;
        wanted.queued = 11;
        wanted.started = wanted.finished = 0;
        if (inside) memcpy(wanted.body_inline, "0123456789", 10);
        ap_slot_write(&slot, &form);
        expect_same(&slot, &wanted, inside ? "inside" : "in a block");
    }
}

Test(steps, what_a_worker_notes)
{
    struct ap_slot slot, wanted;

    memset(&slot, 0xa5, sizeof slot);
    wanted = slot;
    wanted.started = 1;
    wanted.finished = 2;
    wanted.result = 3;
    wanted.result_size = 4;
    wanted.agent_code = 5;
    wanted.request = AP_REQUEST_WORD(6, AP_REQUEST_DETACH);
    ap_slot_started(&slot, 1);
    ap_slot_finished(&slot, 2);
    ap_slot_result(&slot, 3, 4);
    ap_slot_agent_code(&slot, 5);
    ap_slot_detach(&slot, 6);
    expect_same(&slot, &wanted, "noted");
}

/* ---- QUEUED ----------------------------------------------------------------------------------------------------- */

Test(steps, a_claim_takes_what_is_queued_there)
{
    uint32_t index = reserve();
    uint64_t ref = ap_task_publish(seg, index, 2), token = 5, queued = word_of(index);
    struct ap_slot *slot = slot_of(index), wanted;
    const struct {
        uint32_t queue;
        uint64_t ref;
    } refused[] = {{1, ref}, {3, ref}, {2, ref + 1}, {2, ref - 1}, {2, AP_REF(index + 1, AP_REF_GENERATION(ref))}};

    memset(slot->result_inline, 0xa5, sizeof slot->result_inline);
    slot->result = slot->result_size = slot->worker = 77;
    slot->queue = 66;
    wanted = *slot;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        cr_expect_eq(ap_task_claim(seg, 9, refused[i].queue, refused[i].ref, &token), 0, "%zu", i);
        cr_expect_eq(token, 5);
        expect_same(slot, &wanted, "not claimed");
    }
    wanted.word = AP_WORD_WITH(queued, AP_TASK_RUNNING, 9);
    wanted.queue = 2;
    wanted.worker = 9;
    wanted.result = wanted.result_size = 0;
    cr_expect_eq(ap_task_claim(seg, 9, 2, ref, &token), 1);
    cr_expect_eq(token, wanted.word);
    expect_same(slot, &wanted, "claimed");
    cr_assert_eq(ap_task_finish(seg, index, token, 0), 0);
}

/* Only by a transition that the table has, and only from QUEUED. */
Test(steps, a_queued_task_ends_as_the_table_of_states_has_it)
{
    for (uint32_t state = 0; state <= AP_TASK_STATES; state++) {
        uint32_t index = reserve();
        uint64_t queued = (ap_task_publish(seg, index, 1), word_of(index));
        bool may = state == AP_TASK_CANCELLED || state == AP_TASK_FAILED;

        cr_expect_eq(ap_task_cancel_queued(seg, index, queued, state, APIARY_ETIMEDOUT), may, "%u", state);
        cr_expect_eq(word_of(index), may ? AP_WORD_WITH(queued, state, (uint32_t)-APIARY_ETIMEDOUT) : queued, "%u", state);
        if (!may) cr_assert_eq(ap_task_cancel_queued(seg, index, queued, AP_TASK_FAILED, APIARY_ECRASHED), 1);
        cr_expect_eq(ap_task_cancel_queued(seg, index, word_of(index), AP_TASK_CANCELLED, APIARY_ECANCELLED), 0);
        cr_expect_eq(ap_task_cancel_queued(seg, index, queued, AP_TASK_CANCELLED, APIARY_ECANCELLED), 0);
        cr_expect_eq(ap_task_move(seg, index, word_of(index), 2), 0);
        cr_expect_eq(ap_task_move(seg, index, queued, 2), 0);
    }
}

/* ---- RUNNING ---------------------------------------------------------------------------------------------------- */

static uint64_t running(uint32_t *index)
{
    uint64_t token = 0;

    *index = reserve();
    cr_assert_eq(ap_task_claim(seg, 9, 1, ap_task_publish(seg, *index, 1), &token), 1);
    return token;
}

Test(steps, a_finish_writes_the_word_and_rings)
{
    const struct {
        int code;
        uint32_t state, owner;
    } rows[] = {
        {0, AP_TASK_DONE, AP_NO_LANE},
        {APIARY_EAGENT, AP_TASK_FAILED, (uint32_t)-APIARY_EAGENT},
        {-1, AP_TASK_FAILED, 1},
        {1 - (int)AP_NO_LANE, AP_TASK_FAILED, AP_NO_LANE - 1},
        {-(int)AP_NO_LANE, AP_TASK_FAILED, (uint32_t)-APIARY_EAGENT},
        {1, AP_TASK_FAILED, (uint32_t)-APIARY_EAGENT},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t index, bell;
        uint64_t token = running(&index);

        bell = ap_bell_raise(&lane.lane->bell);
        cr_expect_eq(ap_task_finish(seg, index, token + 1, 0), APIARY_ESTALE, "it is not a claim's");
        cr_expect_eq(ap_task_finish(seg, index, token + (UINT64_C(1) << 12), 0), APIARY_ESTALE, "it is another lane's");
        cr_expect_eq(word_of(index), token);
        cr_expect_eq(ap_load_relaxed(&lane.lane->bell), bell);
        cr_expect_eq(ap_task_finish(seg, index, token, rows[i].code), 0);
        cr_expect_eq(word_of(index), AP_WORD_WITH(token, rows[i].state, rows[i].owner), "%zu", i);
        cr_expect_neq(ap_load_relaxed(&lane.lane->bell), bell);
        cr_expect_eq(ap_task_finish(seg, index, word_of(index), 0), APIARY_ESTALE);
    }
}

/* Somebody has written over the slot. */
Test(steps, a_finish_for_nobody_rings_nobody)
{
    uint32_t index;
    uint64_t token = running(&index);

    slot_of(index)->client = (uint16_t)seg->geometry.lanes;
    cr_expect_eq(ap_task_finish(seg, index, token, 0), 0);
    cr_expect_eq(state_of(index), AP_TASK_DONE);
}

/* A row of what is not there makes the answer 0, and then nothing has been touched. */
Test(steps, an_answer_goes_over_the_request_where_it_fits)
{
    char text[300];
    uint32_t index, other;
    uint64_t token = running(&index), second = running(&other), generation = AP_WORD_GENERATION(token), body = block(256);
    struct ap_slot *slot = slot_of(index), wanted;

    memset(text, 'a', sizeof text);
    wanted = *slot;
    cr_expect_eq(ap_task_overwrite(seg, seg->geometry.tasks, token, text, 1), 0);
    cr_expect_eq(ap_task_overwrite(seg, index, token, text, 1), 0, "its request has no block");
    slot->body = wanted.body = body + 1;
    cr_expect_eq(ap_task_overwrite(seg, index, token, text, 1), 0, "where none begins");
    slot->body = wanted.body = body;
    cr_expect_eq(ap_task_overwrite(seg, index, token, text, 1), 0, "the lane's, and not the task's");
    ap_pool_attach(seg, body, AP_BLOCK_RESULT, index, generation);
    cr_expect_eq(ap_task_overwrite(seg, index, token, text, 1), 0, "a result's");
    ap_pool_attach(seg, body, AP_BLOCK_REQUEST, other, AP_WORD_GENERATION(second));
    cr_expect_eq(ap_task_overwrite(seg, index, token, text, 1), 0, "another task's");
    ap_pool_attach(seg, body, AP_BLOCK_REQUEST, index, generation);
    cr_expect_eq(ap_task_overwrite(seg, index, token, text, 257), 0, "it is too small");
    slot->request = wanted.request = AP_REQUEST_WORD(generation + 1, 0);
    cr_expect_eq(ap_task_overwrite(seg, index, token, text, 1), 0, "there is no telling that it is gone");
    slot->request = AP_REQUEST_WORD(generation, AP_REQUEST_CANCEL);
    wanted.request = slot->request;
    expect_same(slot, &wanted, "refused");
    memcpy(ap_at_offset(seg, body, 256), "request", 7);
    cr_expect_eq(ap_task_overwrite(seg, index, token, ap_at_offset(seg, body + 2, 250), 250), 1, "from within the request");
    cr_expect_eq(memcmp(ap_at_offset(seg, body, 256), "quest", 5), 0);
    cr_expect_eq(slot->result, body);
    cr_expect_eq(slot->result_size, 250);
    cr_expect_eq(slot->request, AP_REQUEST_WORD(generation, AP_REQUEST_CANCEL | AP_REQUEST_OVERWRITTEN));
    cr_expect_eq(ap_task_overwrite(seg, index, token, text, 256), 1);
    cr_expect_eq(slot->result_size, 256);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static int freed_calls;
static struct ap_slot *freed_slot;
static uint64_t freed_word;

static void freed(void *user, struct ap_slot *slot)
{
    cr_expect_eq(user, seg);
    freed_calls++;
    freed_slot = slot;
    freed_word = slot->word;
}

static uint32_t finished(uint64_t *body, uint64_t *result)
{
    uint32_t index;
    uint64_t token = running(&index), generation = AP_WORD_GENERATION(token);
    struct ap_slot *slot = slot_of(index);

    if (body != NULL) ap_slot_body_block(seg, index, generation, *body = block(100));
    if (result != NULL) {
        ap_pool_attach(seg, *result = block(100), AP_BLOCK_RESULT_OF(token), index, generation);
        ap_slot_result(slot, *result, 100);
    }
    cr_assert_eq(ap_task_finish(seg, index, token, 0), 0);
    return index;
}

/* By the lane's own thread, and by another. */
Test(steps, a_release_gives_back_what_the_task_had)
{
    for (int way = 0; way < 8; way++) {
        uint64_t body = 0, result = 0, seen;
        uint32_t index = finished(way & 1 ? &body : NULL, way & 2 ? &result : NULL);
        struct ap_slot *slot = slot_of(index);

        seen = word_of(index);
        freed_calls = 0;
        cr_expect_eq(ap_slot_release(seg, lane.index, slot, index, seen + (1 << 4), (way & 4) != 0, freed, seg), 0);
        cr_expect_eq(freed_calls, 0);
        cr_expect_eq(word_of(index), seen);
        cr_expect_eq(ap_slot_release(seg, lane.index, slot, index, seen, (way & 4) != 0, freed, seg), 1);
        cr_expect_eq(freed_calls, 1);
        cr_expect_eq(freed_slot, slot);
        cr_expect_eq(freed_word, AP_WORD_WITH(seen, AP_TASK_RELEASING, lane.index));
        cr_expect_eq(word_of(index), AP_WORD_WITH(seen, AP_TASK_FREE, AP_NO_LANE));
        if (body != 0) cr_expect_eq(AP_BLOCK_STATE(block_word(body)), AP_BLOCK_FREE);
        if (result != 0) cr_expect_eq(AP_BLOCK_STATE(block_word(result)), AP_BLOCK_FREE);
        cr_expect_eq(ap_slot_release(seg, lane.index, slot, index, seen, (way & 4) != 0, freed, seg), 0, "once");
    }
}

/* What the thread of a dead and recovered lane is about to store is nobody's word any more. */
static void recovered(void *user, struct ap_slot *slot)
{
    (void)user;
    ap_store_release(&slot->word, AP_WORD(AP_TASK_RESERVED, 0, 5, 99));
}

Test(steps, who_frees_for_another_lane_frees_only_what_is_still_its)
{
    uint32_t index = finished(NULL, NULL);

    cr_expect_eq(ap_task_release_with(seg, lane.index, index, word_of(index), recovered, NULL), 1);
    cr_expect_eq(word_of(index), AP_WORD(AP_TASK_RESERVED, 0, 5, 99));
}

Test(steps, what_nobody_may_collect_is_freed_when_it_has_ended)
{
    uint32_t index = reserve();
    uint64_t token, ref = ap_task_publish(seg, index, 1), generation = AP_REF_GENERATION(ref);
    const uint64_t bits[] = {0, AP_REQUEST_CANCEL, AP_REQUEST_OVERWRITTEN};

    freed_calls = 0;
    cr_expect_eq(ap_task_free_unseen(seg, lane.index, seg->geometry.tasks, freed, seg), 0);
    slot_of(index)->request = AP_REQUEST_WORD(generation, AP_REQUEST_ABANDON);
    cr_expect_eq(ap_task_free_unseen(seg, lane.index, index, freed, seg), 0, "it is queued");
    cr_assert_eq(ap_task_claim(seg, 9, 1, ref, &token), 1);
    cr_expect_eq(ap_task_free_unseen(seg, lane.index, index, freed, seg), 0, "it is being run");
    cr_assert_eq(ap_task_finish(seg, index, token, 0), 0);
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        slot_of(index)->request = AP_REQUEST_WORD(generation, bits[i]);
        cr_expect_eq(ap_task_free_unseen(seg, lane.index, index, freed, seg), 0, "%zu", i);
    }
    slot_of(index)->request = AP_REQUEST_WORD(generation - 1, AP_REQUEST_ABANDON);
    cr_expect_eq(ap_task_free_unseen(seg, lane.index, index, freed, seg), 0, "a former task's");
    cr_expect_eq(freed_calls, 0);
    slot_of(index)->request = AP_REQUEST_WORD(generation, AP_REQUEST_DETACH);
    cr_expect_eq(ap_task_free_unseen(seg, lane.index, index, freed, seg), 1);
    cr_expect_eq(freed_calls, 1);
    cr_expect_eq(state_of(index), AP_TASK_FREE);
}

/* In the hands of a dead lane, with both of its blocks. */
Test(steps, a_reaper_frees_a_slot_and_its_blocks)
{
    const uint32_t states[] = {AP_TASK_RESERVED, AP_TASK_RELEASING};

    for (size_t i = 0; i < 2; i++) {
        uint64_t body, result, seen, other = block(100);
        uint32_t index = finished(&body, &result);

        seen = AP_WORD_WITH(word_of(index), states[i], 9);
        cr_expect_eq(ap_task_free_dead(seg, AP_WORD_OWNER(word_of(index)), index, word_of(index)), 0, "it has ended");
        cr_expect_neq(AP_BLOCK_STATE(block_word(body)), AP_BLOCK_FREE);
        slot_of(index)->word = seen;
        cr_expect_eq(ap_task_free_dead(seg, AP_WORD_OWNER(seen), index, seen), 1);
        cr_expect_eq(word_of(index), AP_WORD_WITH(seen, AP_TASK_FREE, AP_NO_LANE));
        cr_expect_eq(AP_BLOCK_STATE(block_word(body)), AP_BLOCK_FREE);
        cr_expect_eq(AP_BLOCK_STATE(block_word(result)), AP_BLOCK_FREE);
        cr_expect_eq(AP_BLOCK_STATE(block_word(other)), AP_BLOCK_OWNED);
        cr_expect_eq(ap_task_free_dead(seg, AP_WORD_OWNER(seen), index, seen), 0, "once");
    }
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

Test(steps, what_a_word_says)
{
    const struct {
        uint32_t state;
        int code;
        uint32_t starts; /* beside those that ended with a worker's death */
    } rows[] = {
        {AP_TASK_FREE, 0, 0}, {AP_TASK_RESERVED, 0, 0}, {AP_TASK_QUEUED, 0, 0}, {AP_TASK_RUNNING, 0, 1}, {AP_TASK_DONE, 0, 1},
        {AP_TASK_FAILED, APIARY_EAGENT, 1}, {AP_TASK_FAILED, APIARY_ECRASHED, 0}, {AP_TASK_FAILED, APIARY_ENORESULT, 1},
        {AP_TASK_FAILED, APIARY_ELOST, 1}, {AP_TASK_FAILED, APIARY_ESHUTDOWN, 1}, {AP_TASK_FAILED, APIARY_EINVAL, 1},
        {AP_TASK_FAILED, APIARY_ENOBLOCK, 1}, {AP_TASK_FAILED, APIARY_ETOOLARGE, 1}, {AP_TASK_FAILED, APIARY_ETIMEDOUT, 0},
        {AP_TASK_FAILED, APIARY_ECORRUPT, 0}, {AP_TASK_CANCELLED, APIARY_ECANCELLED, 0}, {AP_TASK_CANCELLED, APIARY_EAGENT, 0},
        {AP_TASK_RELEASING, 0, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t word = AP_WORD(rows[i].state, 2, (uint32_t)-rows[i].code, 7) | AP_WORD_LOST_STARTS(3);

        cr_expect_eq(ap_word_starts(word), 5 + rows[i].starts, "row %zu", i);
        cr_expect_eq(ap_word_code(word), rows[i].code, "row %zu", i);
    }
    for (uint32_t state = 0; state < 40; state++)
        cr_expect_eq(ap_task_ended(state), state == AP_TASK_DONE || state == AP_TASK_FAILED || state == AP_TASK_CANCELLED,
                     "%u", state);
}

Test(steps, what_a_request_word_says)
{
    uint64_t word = AP_WORD(AP_TASK_RUNNING, 0, 1, 7);

    for (uint64_t bits = 0; bits < 16; bits++) {
        uint64_t own = AP_REQUEST_WORD(7, bits), others = AP_REQUEST_WORD(6, bits);
        bool abandoned = (bits & AP_REQUEST_ABANDON) != 0, detached = (bits & AP_REQUEST_DETACH) != 0;

        cr_expect_eq(ap_request_bits(own, word), bits);
        cr_expect_eq(ap_request_bits(others, word), 0);
        cr_expect_eq(ap_request_recalled(own, word), abandoned && !detached, "%llu", (unsigned long long)bits);
        cr_expect_eq(ap_request_recalled(others, word), false);
        for (uint64_t asked = 0; asked < 16; asked++) {
            cr_expect_eq(ap_request_has(own, word, asked), (bits & asked) != 0);
            cr_expect_eq(ap_request_has(others, word, asked), false);
        }
    }
}

/* A start that ended with its worker's death is counted, up to what the bits can say; the rest of the word stays. */
Test(steps, starts_of_the_dead_are_counted_to_their_bounds)
{
    uint32_t index = reserve();
    struct ap_slot *slot = ap_slot_at(seg, index);

    for (uint32_t lost = 0; lost <= AP_LOST_MAX; lost++) {
        for (uint32_t crashes = 0; crashes <= AP_CRASHES_MAX; crashes++) {
            for (int suspect = 0; suspect < 2; suspect++) {
                uint64_t running = AP_WORD(AP_TASK_RUNNING, crashes, 9, 7) | AP_WORD_LOST_STARTS(lost);
                uint32_t more_lost = !suspect && lost < AP_LOST_MAX, more = suspect && crashes < AP_CRASHES_MAX;

                slot->word = running;
                cr_assert_eq(ap_task_requeue_dead(seg, 9, index, running, 2, suspect), 1);
                cr_expect_eq(slot->word, AP_WORD(AP_TASK_QUEUED, crashes + more, 2, 7) | AP_WORD_LOST_STARTS(lost + more_lost),
                             "%u lost, %u crashes: %llx", lost, crashes, (unsigned long long)slot->word);
            }
        }
    }
    slot->word = AP_WORD(AP_TASK_RESERVED, 0, lane.index, 7);
    cr_expect_eq(ap_task_requeue_dead(seg, lane.index, index, slot->word, 2, false), 0);
}
