/* The table of states (shm/states.def) against the code: every operation on a slot in every state, alone, killed in between, and
 * after its owner's death. What it then finds must be in the table, and all of the table must have been found. */
#include "shm_fixture.h"

#include "shm/follow.h"
#include "shm/pool.h"

static struct ap_lane_handle lane;
static struct ap_slabs slabs;

static void setup(void)
{
    fixture_setup();
    cr_assert_eq(ap_member_open(seg, "states", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    ap_lane_close(&lane);
    fixture_teardown();
}

TestSuite(states, .init = setup, .fini = teardown);

static bool seen[AP_TASK_STATES][AP_TASK_STATES];

static void saw(uint32_t from, uint32_t to, const char *what)
{
    cr_assert(ap_task_permitted(from, to), "%s: %s to %s is not in the table", what, ap_task_state_name(from),
              ap_task_state_name(to));
    seen[from][to] = true;
}

/* ---- slots in a given state ----------------------------------------------------------------------------------- */

#define QUEUE 1u

static uint32_t owner_for(uint32_t state, uint32_t of)
{
    switch (ap_task_owner(state)) {
    case AP_OWNER_IS_LANE: return of;
    case AP_OWNER_IS_QUEUE: return QUEUE;
    case AP_OWNER_IS_CODE: return (uint32_t)-APIARY_ECANCELLED;
    case AP_OWNER_IS_COUNT: return 0;
    default: return AP_NO_LANE;
    }
}

/* A slot of this lane's slab, put into the state by hand: what the code does there does not depend on how it came to be so. */
static uint32_t slot_in(uint32_t state, uint32_t owner)
{
    uint32_t index;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &index), 0);
    ap_store_relaxed(&ap_slot_at(seg, index)->deadline, APIARY_FOREVER);
    ap_store_relaxed(&ap_slot_at(seg, index)->queue, QUEUE);
    ap_store_release(&ap_slot_at(seg, index)->word, AP_WORD_WITH(word_of(index), state, owner_for(state, owner)));
    return index;
}

static void slot_clear(uint32_t index)
{
    ap_store_release(&ap_slot_at(seg, index)->word, AP_WORD_WITH(word_of(index), AP_TASK_FREE, AP_NO_LANE));
}

/* ---- operations ----------------------------------------------------------------------------------------------- */

enum { NEXT = 100 }; /* an operation that is given no state to go to */

static void op_unreserve(uint32_t index, uint32_t to)
{
    (void)to;
    ap_task_unreserve(&slabs, index);
}

static void op_publish(uint32_t index, uint32_t to)
{
    (void)to;
    ap_task_publish(seg, index, QUEUE);
}

static void op_claim(uint32_t index, uint32_t to)
{
    uint64_t token;
    (void)to;
    ap_task_claim(seg, lane.index, QUEUE, AP_REF(index, AP_WORD_GENERATION(word_of(index))), &token);
}

static void op_move(uint32_t index, uint32_t to)
{
    (void)to;
    if (ap_task_move(seg, index, word_of(index), QUEUE + 1)) saw(AP_TASK_QUEUED, state_of(index), "move");
}

static void op_schedule(uint32_t index, uint32_t to)
{
    (void)to;
    ap_slot_schedule(NULL, ap_slot_at(seg, index), index, 1);
}

static void op_call(uint32_t index, uint32_t to)
{
    (void)to;
    ap_task_call(seg, index, word_of(index), QUEUE);
}

static void op_end_scheduled(uint32_t index, uint32_t to)
{
    if (state_of(index) == AP_TASK_SCHEDULED) ap_task_cancel_queued(seg, index, word_of(index), to, APIARY_ETIMEDOUT);
}

static void op_end(uint32_t index, uint32_t to)
{
    if (state_of(index) == AP_TASK_SCHEDULED) return;
    ap_task_cancel_queued(seg, index, word_of(index), to, APIARY_ETIMEDOUT);
}

static void op_put_back(uint32_t index, uint32_t to)
{
    (void)to;
    if (state_of(index) == AP_TASK_RUNNING) ap_task_put_back(seg, index, word_of(index), lane.index, 1);
}

static void op_share(uint32_t index, uint32_t to)
{
    (void)to;
    ap_task_share(seg, index, word_of(index), lane.index, QUEUE);
}

static void op_unqueue(uint32_t index, uint32_t to)
{
    (void)to;
    ap_task_unqueue_dead(seg, lane.index, index, word_of(index), true);
}

static void op_finish(uint32_t index, uint32_t to)
{
    ap_task_finish(seg, index, word_of(index), to == AP_TASK_DONE ? 0 : APIARY_EAGENT);
}

static const struct operation {
    const char *name;
    void (*run)(uint32_t index, uint32_t to);
    uint32_t from; /* the only state that it may change */
    bool each;     /* every state is asked for */
} operations[] = {
    {"unreserve", op_unreserve, AP_TASK_RESERVED, false}, {"publish", op_publish, AP_TASK_RESERVED, false},
    {"claim", op_claim, AP_TASK_QUEUED, false},           {"move", op_move, AP_TASK_QUEUED, false},
    {"schedule", op_schedule, AP_TASK_RESERVED, false},   {"call", op_call, AP_TASK_SCHEDULED, false},
    {"put back", op_put_back, AP_TASK_RUNNING, false},    {"unqueue", op_unqueue, AP_TASK_RUNNING, false},
    {"share", op_share, AP_TASK_SCHEDULED, false},
    {"end scheduled", op_end_scheduled, AP_TASK_SCHEDULED, true},
    {"end", op_end, AP_TASK_QUEUED, true},                {"finish", op_finish, AP_TASK_RUNNING, true},
};

static void try_one(const struct operation *o, uint32_t state, uint32_t to)
{
    uint32_t index = slot_in(state, lane.index);
    uint64_t before = word_of(index);

    o->run(index, to);
    if (word_of(index) != before) {
        cr_assert_eq(state, o->from, "%s changed a slot that was %s", o->name, ap_task_state_name(state));
        saw(state, state_of(index), o->name);
    }
    slot_clear(index);
}

static void try_all(void)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        for (uint32_t state = 0; state < AP_TASK_STATES; state++)
            for (uint32_t to = 0; to <= AP_TASK_STATES; to++)
                if (operations[i].each || to == 0) try_one(&operations[i], state, operations[i].each ? to : NEXT);
}

/* reserve takes the next slot that is FREE and passes over all others. */
static void try_reserve(void)
{
    uint32_t first = slot_in(AP_TASK_QUEUED, 0) / AP_SLAB_SLOTS * AP_SLAB_SLOTS, got;

    for (uint32_t i = first; i < first + AP_SLAB_SLOTS; i++) slot_clear(i);
    for (uint32_t state = 0; state < AP_TASK_STATES; state++) {
        uint32_t at = slabs.held[slabs.current] * AP_SLAB_SLOTS + slabs.next % AP_SLAB_SLOTS;
        uint64_t word = AP_WORD_WITH(word_of(at), state, owner_for(state, lane.index));

        ap_store_release(&ap_slot_at(seg, at)->word, word);
        cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &got), 0);
        cr_assert_eq(got == at, state == AP_TASK_FREE, "reserve at a slot that is %s", ap_task_state_name(state));
        if (got == at) saw(state, state_of(at), "reserve");
        else cr_assert_eq(word_of(at), word);
        slot_clear(got);
        slot_clear(at);
    }
}

/* ---- in the middle of an operation ---------------------------------------------------------------------------- */

/* The first look at a block's side word: between RELEASING and FREE. The process dies there. */
static void trapped(int signal)
{
    (void)signal;
    kill(getpid(), SIGKILL);
}

static uint32_t shared_slot;

static void die_releasing(struct ap_segment *own, struct ap_lane_handle *h)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t at = (uintptr_t)ap_at(own, AP_SECTION_BLOCKS, 0);
    struct sigaction action = {.sa_handler = trapped};

    sigaction(SIGSEGV, &action, NULL);
    mprotect((void *)(at & ~(page - 1)), page, PROT_NONE);
    ap_task_release(own, h->index, shared_slot, ap_load_acquire(&ap_slot_at(own, shared_slot)->word));
    _exit(2);
}

static void try_release(uint32_t state)
{
    struct ap_pool_hint hint = {.next = {0}};
    uint32_t dead;
    uint64_t offset;

    shared_slot = slot_in(state, 0);
    cr_assert_eq(ap_pool_take(seg, &lane, &hint, 256, &offset), 0);
    ap_store_relaxed(&ap_slot_at(seg, shared_slot)->body, offset);
    ap_pool_attach(seg, offset, AP_BLOCK_REQUEST, shared_slot, AP_WORD_GENERATION(word_of(shared_slot)));
    dead = fixture_die(die_releasing);
    saw(state, state_of(shared_slot), "release, killed in between");
    cr_assert_eq(state_of(shared_slot), AP_TASK_RELEASING);
    cr_assert_eq(AP_WORD_OWNER(word_of(shared_slot)), dead);
    cr_assert_eq(ap_reap_lane(seg, lane.index, dead, NULL), 1);
    saw(AP_TASK_RELEASING, state_of(shared_slot), "reaper");
    cr_assert_eq(state_of(shared_slot), AP_TASK_FREE);
}

/* Of any other state release makes nothing. */
static void refuse_release(uint32_t state)
{
    uint32_t index = slot_in(state, lane.index);
    uint64_t before = word_of(index);

    cr_assert_eq(ap_task_release(seg, lane.index, index, before), 0);
    cr_assert_eq(word_of(index), before);
    slot_clear(index);
}

/* ---- after a death -------------------------------------------------------------------------------------------- */

static uint32_t lost; /* starts, before */
static uint64_t request;

/* `state` in the hands of a lane that then dies; what the reaper makes of it. */
static uint32_t reaped(uint32_t state)
{
    uint32_t dead = fixture_die(NULL), index = slot_in(state, dead), after;
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = word_of(index);

    ap_store_relaxed(&slot->request, AP_REQUEST_WORD(AP_WORD_GENERATION(word), request));
    ap_store_release(&slot->word, word | AP_WORD_LOST_STARTS(lost));
    cr_assert_eq(ap_reap_lane(seg, lane.index, dead, NULL), 1);
    after = state_of(index);
    /* What nobody may collect it then frees at once. */
    if (request == 0 && word_of(index) != (word | AP_WORD_LOST_STARTS(lost))) saw(state, after, "reaper");
    slot_clear(index);
    return after;
}

static void try_reaper(void)
{
    for (uint32_t state = 0; state < AP_TASK_STATES; state++) {
        uint32_t after = reaped(state);

        if (state == AP_TASK_RUNNING) cr_assert_eq(after, AP_TASK_QUEUED);
        else if (ap_task_owner(state) == AP_OWNER_IS_LANE) cr_assert_eq(after, AP_TASK_FREE);
        else cr_assert_eq(after, state, "%s is nobody's to recover", ap_task_state_name(state));
    }
    lost = AP_LOST_MAX;
    cr_assert_eq(reaped(AP_TASK_RUNNING), AP_TASK_FAILED);
    lost = 0;
    request = AP_REQUEST_ABANDON;
    cr_assert_eq(reaped(AP_TASK_RUNNING), AP_TASK_FREE);
    request = 0;
}

/* The sweep: what waits fails past its deadline, nothing else is touched (the slab is held, and no result is old). */
static void try_sweep(void)
{
    for (uint32_t state = 0; state < AP_TASK_STATES; state++) {
        uint32_t index = slot_in(state, lane.index);
        uint64_t before = word_of(index);

        ap_store_relaxed(&ap_slot_at(seg, index)->deadline, seg->ops->now() - 1);
        ap_sweep(seg, lane.index, NULL);
        if (ap_task_waits(state)) saw(state, state_of(index), "sweep");
        else cr_assert_eq(word_of(index), before, "the sweep changed what was %s", ap_task_state_name(state));
        slot_clear(index);
    }
}

/* A slab whose generations are far on begins anew with its next lease. */
static void try_renewal(void)
{
    uint32_t first = slot_in(AP_TASK_QUEUED, 0) / AP_SLAB_SLOTS * AP_SLAB_SLOTS;
    uint64_t lease = ap_load_relaxed(&ap_slab_at(seg, first / AP_SLAB_SLOTS)->lease);
    uint32_t got;

    for (uint32_t i = first; i < first + AP_SLAB_SLOTS; i++)
        ap_store_release(&ap_slot_at(seg, i)->word, AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, AP_GENERATION_LAST));
    ap_slabs_release(&slabs);
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &got), 0);
    cr_assert_eq(got / AP_SLAB_SLOTS, first / AP_SLAB_SLOTS);
    cr_assert_eq(AP_LEASE_EPOCH(ap_load_relaxed(&ap_slab_at(seg, first / AP_SLAB_SLOTS)->lease)), AP_LEASE_EPOCH(lease) + 1);
    for (uint32_t i = first; i < first + AP_SLAB_SLOTS; i++) {
        if (i == got) continue;
        cr_assert_eq(AP_WORD_GENERATION(word_of(i)), 0);
        saw(AP_TASK_FREE, state_of(i), "renewal");
    }
    slot_clear(got);
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

Test(states, the_code_goes_all_ways_of_the_table_and_no_other)
{
    try_all();
    try_reserve();
    for (uint32_t state = 0; state < AP_TASK_STATES; state++) {
        if (ap_task_ended(state)) try_release(state);
        else refuse_release(state);
    }
    try_reaper();
    try_sweep();
    try_renewal();
    for (uint32_t from = 0; from < AP_TASK_STATES; from++)
        for (uint32_t to = 0; to < AP_TASK_STATES; to++)
            cr_expect_eq(seen[from][to], ap_task_permitted(from, to), "%s to %s: in the table, but the code never goes there",
                         ap_task_state_name(from), ap_task_state_name(to));
}

Test(states, what_is_no_state_has_no_ways)
{
    for (uint32_t state = 0; state < 16; state++) {
        cr_expect_eq(ap_task_permitted(AP_TASK_STATES, state), 0);
        cr_expect_eq(ap_task_permitted(state, AP_TASK_STATES), 0);
        if (state >= AP_TASK_STATES) cr_expect(!ap_task_ended(state));
    }
    cr_expect_str_eq(ap_task_state_name(AP_TASK_STATES), "invalid");
    cr_expect_str_eq(ap_task_state_name(AP_TASK_RELEASING), "releasing");
}

/* ---- how often a task was started ----------------------------------------------------------------------------- */

Test(states, a_word_says_how_often_its_task_was_started)
{
    static const struct {
        uint32_t state, crashes, lost;
        int code;
        uint32_t starts;
    } cases[] = {
        {AP_TASK_QUEUED, 0, 0, 0, 0},
        {AP_TASK_QUEUED, 1, 1, 0, 2}, /* waits for its third start */
        {AP_TASK_RUNNING, 0, 0, 0, 1},
        {AP_TASK_RUNNING, 2, 0, 0, 3},
        {AP_TASK_DONE, 0, 0, 0, 1},
        {AP_TASK_DONE, 1, 3, 0, 5},
        {AP_TASK_FAILED, 0, 0, APIARY_EAGENT, 1},
        {AP_TASK_FAILED, 0, 0, APIARY_ENOBLOCK, 1},
        {AP_TASK_FAILED, 0, 0, APIARY_ETOOLARGE, 1},
        {AP_TASK_FAILED, AP_CRASHES_MAX, 2, APIARY_ECRASHED, AP_CRASHES_MAX + 2},
        {AP_TASK_FAILED, 1, AP_LOST_MAX, APIARY_ELOST, AP_LOST_MAX + 2},
        {AP_TASK_FAILED, 0, 0, APIARY_ETIMEDOUT, 0}, /* in the queue */
        {AP_TASK_FAILED, 1, 0, APIARY_ETIMEDOUT, 1},
        {AP_TASK_CANCELLED, 1, 0, APIARY_ECANCELLED, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t word = AP_WORD(cases[i].state, cases[i].crashes, (uint32_t)-cases[i].code, 5) | AP_WORD_LOST_STARTS(cases[i].lost);
        cr_expect_eq(ap_word_starts(word), cases[i].starts, "case %zu: %u", i, ap_word_starts(word));
    }
}
