/* Tasks that wait for their time: what is done with each when, and how late the hints may be. */
#include "shm_fixture.h"

#include <limits.h>

#include "shm/due.h"

static struct ap_ops ops;
static struct ap_lane_handle lane;
static struct ap_slabs slabs;
static uint64_t now = 1000;
static unsigned rung; /* wakes of due_rung */
static uint32_t route = AP_NO_QUEUE;

static uint64_t own_now(void)
{
    return now;
}

static int own_wake(const uint32_t *word, int count)
{
    rung += word == &seg->header->due_rung && count == INT_MAX;
    return ap_ops_system.futex_wake(word, count);
}

static uint64_t told_meanwhile; /* a time that somebody tells of during a look; 0: none does */

static uint32_t own_route(void *user, struct ap_segment *s, const struct ap_slot *slot)
{
    (void)user;
    (void)s;
    (void)slot;
    if (told_meanwhile != 0) ap_due_tell(seg, AP_SLAB_SLOTS, told_meanwhile);
    return route;
}

static uint32_t freed_count;

static void own_freed(void *user, struct ap_slot *slot)
{
    (void)slot;
    cr_expect_eq(user, seg);
    freed_count++;
}

static const struct ap_reap_hooks hooks = {.route = own_route, .freed = own_freed};

static void setup(void)
{
    fixture_setup();
    ops = ap_ops_system;
    ops.now = own_now;
    ops.futex_wake = own_wake;
    seg->ops = &ops;
    cr_assert_eq(ap_member_open(seg, "client", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
    cr_assert(ap_queue_claim(seg, 1, lane.index) && ap_queue_open(seg, 1, lane.index));
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    fixture_teardown();
}

TestSuite(due, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* A task that waits, of which nobody has been told yet. */
static uint32_t scheduled(uint64_t due, uint64_t deadline)
{
    uint32_t index;
    struct ap_slot *slot;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &index), 0);
    slot = ap_slot_at(seg, index);
    slot->deadline = deadline;
    slot->client = lane.index;
    slot->body_size = 0;
    cr_assert(ap_slot_schedule(&slabs, slot, index, due));
    return index;
}

static uint64_t *slab_hint(uint32_t index)
{
    return &ap_slab_at(seg, index / AP_SLAB_SLOTS)->due;
}

static void hints_are(uint32_t index, uint64_t slab, uint64_t header)
{
    cr_expect_eq(*slab_hint(index), slab, "the slab's is %llu", (unsigned long long)*slab_hint(index));
    cr_expect_eq(seg->header->due, header, "the header's is %llu", (unsigned long long)seg->header->due);
}

/* ---- told ------------------------------------------------------------------------------------------------------- */

Test(due, the_soonest_is_told)
{
    static const struct {
        uint64_t at, hint;
        bool rings;
    } rows[] = {{UINT64_MAX, 0, false}, {500, 500, true},  {500, 500, false}, {501, 500, false},
                {499, 499, true},       {UINT64_MAX, 499, false}};
    uint32_t words = seg->header->due_rung;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rung = 0;
        ap_due_tell(seg, 3, rows[i].at);
        hints_are(3, rows[i].hint, rows[i].hint);
        cr_expect_eq(rung, rows[i].rings, "row %zu", i);
        words += rows[i].rings;
        cr_expect_eq(seg->header->due_rung, words, "row %zu", i);
    }
    rung = 0;
    ap_due_tell(seg, AP_SLAB_SLOTS, 600);
    hints_are(AP_SLAB_SLOTS, 600, 499);
    ap_due_tell(seg, 128, 1);
    cr_expect_eq(seg->header->due, 499, "there is no such slot");
    cr_expect_eq(rung, 0);
}

/* ---- one task --------------------------------------------------------------------------------------------------- */

Test(due, what_is_done_with_a_task)
{
    static const struct {
        uint64_t due, deadline;
        uint32_t route;
        uint64_t request;
        uint32_t state;
        int code;
        uint64_t hint;
    } rows[] = {
        {1001, UINT64_MAX, 1, 0, AP_TASK_SCHEDULED, 0, 1001},
        {1000, UINT64_MAX, 1, 0, AP_TASK_QUEUED, 0, 0},
        {999, 1001, 1, 0, AP_TASK_QUEUED, 0, 0},
        {1000, UINT64_MAX, AP_NO_QUEUE, 0, AP_TASK_SCHEDULED, 0, 0},
        {1000, 1001, AP_NO_QUEUE, 0, AP_TASK_SCHEDULED, 0, 1001},
        {1002, 1001, 1, 0, AP_TASK_SCHEDULED, 0, 1001},
        {1001, 1002, 1, 0, AP_TASK_SCHEDULED, 0, 1001},
        {1000, 1000, 1, 0, AP_TASK_FAILED, APIARY_ETIMEDOUT, 0},
        {5000, 1000, 1, 0, AP_TASK_FAILED, APIARY_ETIMEDOUT, 0},
        {5000, 6000, 1, AP_REQUEST_CANCEL, AP_TASK_CANCELLED, APIARY_ECANCELLED, 0},
        {1000, 1000, 1, AP_REQUEST_CANCEL, AP_TASK_CANCELLED, APIARY_ECANCELLED, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t index = scheduled(rows[i].due, rows[i].deadline), bell = ap_bell_raise(&lane.lane->bell);
        uint64_t word = word_of(index);

        route = rows[i].route;
        *slab_hint(index) = seg->header->due = 0;
        if (rows[i].request != 0) ap_task_request(seg, index, AP_WORD_GENERATION(word), rows[i].request);
        ap_due_task(seg, &hooks, lane.index, index, 1000);
        cr_expect_eq(state_of(index), rows[i].state, "row %zu: %s", i, ap_task_state_name(state_of(index)));
        hints_are(index, rows[i].hint, rows[i].hint);
        if (rows[i].state == AP_TASK_QUEUED) cr_expect_eq(AP_WORD_OWNER(word_of(index)), 1, "row %zu", i);
        if (rows[i].state == AP_TASK_SCHEDULED) cr_expect_eq(lane.lane->bell, bell, "row %zu", i);
        if (rows[i].state == AP_TASK_FAILED || rows[i].state == AP_TASK_CANCELLED) {
            cr_expect_eq(ap_word_code(word_of(index)), rows[i].code, "row %zu", i);
            cr_expect_neq(lane.lane->bell, bell, "row %zu: its client is told", i);
        }
    }
}

/* Its reference is in that queue's shared ring, and its consumer is told. */
Test(due, what_is_due_is_told_to_its_consumer)
{
    uint32_t index = scheduled(1000, UINT64_MAX);
    struct ap_consumer c;

    ap_consumer_init(&c, seg, 1);
    route = 1;
    ap_due_task(seg, &hooks, lane.index, index, 1000);
    cr_expect_eq(ap_queue_pop(&c), AP_REF(index, AP_WORD_GENERATION(word_of(index))));
    cr_expect_eq(ap_queue_pop(&c), 0);
}

Test(due, what_nobody_collects_is_freed)
{
    for (int own = 0; own < 2; own++) {
        uint32_t index = scheduled(1000, 1000);

        ap_task_request(seg, index, AP_WORD_GENERATION(word_of(index)), AP_REQUEST_ABANDON);
        ap_due_task(seg, own ? &hooks : NULL, own ? lane.index : AP_NO_LANE, index, 1000);
        cr_expect_eq(AP_TASK_FREE == state_of(index), own, "%s", ap_task_state_name(state_of(index)));
        cr_expect_eq(freed_count, (unsigned)own, "its ticket is given back");
    }
}

/* A corrupt segment: nobody is rung. */
Test(due, a_client_that_is_none)
{
    uint32_t index = scheduled(1000, 1000);

    ap_slot_at(seg, index)->client = UINT16_MAX;
    ap_due_task(seg, &hooks, lane.index, index, 1000);
    cr_expect_eq(state_of(index), AP_TASK_FAILED);
}

Test(due, what_does_not_wait_is_left_alone)
{
    uint32_t index;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &index), 0);
    ap_slot_at(seg, index)->deadline = 1;
    ap_slot_at(seg, index)->due = 1;
    ap_due_task(seg, &hooks, lane.index, index, 1000);
    cr_expect_eq(state_of(index), AP_TASK_RESERVED);
    hints_are(index, 0, 0);
    index = scheduled(1000, 1000);
    cr_assert(ap_task_call(seg, index, word_of(index), 1));
    ap_due_task(seg, &hooks, lane.index, index, 1000);
    cr_expect_eq(state_of(index), AP_TASK_QUEUED, "the sweep's, and its worker's");
}

/* ---- a look ----------------------------------------------------------------------------------------------------- */

static uint32_t told(uint64_t due, uint64_t deadline)
{
    uint32_t index = scheduled(due, deadline);

    ap_due_tell(seg, index, due < deadline ? due : deadline);
    return index;
}

Test(due, a_look_when_nothing_is_due)
{
    uint32_t index;

    cr_expect_eq(ap_due_look(seg, &hooks, lane.index), UINT64_MAX);
    hints_are(0, 0, 0);
    index = told(1001, UINT64_MAX);
    cr_expect_eq(ap_due_look(seg, &hooks, lane.index), 1001);
    cr_expect_eq(state_of(index), AP_TASK_SCHEDULED);
    hints_are(index, 1001, 1001);
}

Test(due, a_look_takes_what_is_due_and_tells_of_the_rest)
{
    uint32_t all[2 * AP_SLAB_SLOTS], n = 2 * AP_SLAB_SLOTS < 128 ? 2 * AP_SLAB_SLOTS : 128;

    /* One in each slab is due, the others are at times of their own. */
    for (uint32_t i = 0; i < n; i++)
        all[i] = told(i % AP_SLAB_SLOTS == 3 ? 900 + i : 2000 + (i + 5) % 7 + i / AP_SLAB_SLOTS, UINT64_MAX);
    route = 1;
    rung = 0;
    cr_expect_eq(ap_due_look(seg, &hooks, lane.index), 2000);
    cr_expect_eq(rung, 0, "whoever looks is who would be told");
    for (uint32_t i = 0; i < n; i++)
        cr_expect_eq(state_of(all[i]), i % AP_SLAB_SLOTS == 3 && 900 + i <= 1000 ? AP_TASK_QUEUED : AP_TASK_SCHEDULED, "%u", i);
    hints_are(all[0], 2000, 2000);
    now = 1999;
    cr_expect_eq(ap_due_look(seg, &hooks, lane.index), 2000);
    now = 10000;
    cr_expect_eq(ap_due_look(seg, &hooks, lane.index), UINT64_MAX);
    hints_are(all[0], 0, 0);
    hints_are(all[n - 1], 0, 0);
    now = 1000;
}

/* A slab that is not due tells of its time; one that has a hint which is too soon is looked at, and the hint mended. */
Test(due, hints_that_are_too_soon)
{
    uint32_t index = told(3000, UINT64_MAX);

    *slab_hint(index) = 1000;
    seg->header->due = 1;
    cr_expect_eq(ap_due_look(seg, &hooks, lane.index), 3000);
    hints_are(index, 3000, 3000);
    *slab_hint(index) = 2500;
    seg->header->due = 1000;
    cr_expect_eq(ap_due_look(seg, &hooks, lane.index), 2500);
    hints_are(index, 2500, 2500);
}

/* The monitor was told of the later time, and may be about to sleep until then. */
Test(due, a_sooner_time_than_what_was_told_meanwhile)
{
    uint32_t index = told(1000, UINT64_MAX), soon = told(1100, UINT64_MAX);

    route = 1;
    for (int sooner = 0; sooner < 2; sooner++) {
        told_meanwhile = sooner ? 1050 : 1500;
        rung = 0;
        cr_expect_eq(ap_due_look(seg, &hooks, lane.index), sooner ? 1050 : 1100);
        cr_expect_eq(rung, sooner ? 1 : 2, "by whoever told, and by the look if it knows better");
        cr_expect_eq(seg->header->due, sooner ? 1050 : 1100);
        cr_expect_eq(state_of(soon), AP_TASK_SCHEDULED);
        cr_expect_eq(state_of(index), AP_TASK_QUEUED);
        *slab_hint(AP_SLAB_SLOTS) = seg->header->due = 0;
        index = told(1000, UINT64_MAX);
    }
    told_meanwhile = 0;
}

/* A client that was killed behind its task's word and before the hints: whoever recovers it lowers them. */
Test(due, a_recovery_tells_of_each_task_again)
{
    uint32_t index = scheduled(5000, 9000);

    fixture_die(NULL);
    cr_expect_eq(ap_reap_all(seg, lane.index, &hooks), 1);
    cr_expect_eq(AP_WORD_STATE(word_of(index)), AP_TASK_SCHEDULED);
    hints_are(index, 5000, 5000);
}
