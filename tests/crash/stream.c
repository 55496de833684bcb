/* tests/crash/stream.c - parts of a result: one is sent, refused, read, or begins a later attempt. */
#include "sweep.h"

#include "registry/routing/dead.h"
#include "shm/stream.h"

#define PART 120u    /* bytes of a part; eight of them fill the window of 1 KiB */
#define IN_WINDOW 8u
#define NEVER UINT32_MAX

static struct ap_stream_writer writer; /* the survivor's, where it is the worker */
static struct ap_stream_part got;      /* the part that the actor has read */
static uint8_t got_bytes[PART];

static void must(bool so)
{
    if (!so) _Exit(20);
}

static void part_fill(uint8_t *bytes, uint32_t attempt, uint32_t number)
{
    for (uint32_t i = 0; i < PART; i++) bytes[i] = (uint8_t)(attempt * 31 + number * 7 + i);
}

static apiary_task_t the_task(void)
{
    return ap_task_id(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref));
}

/* ---- the survivor's task, whose client is the survivor --------------------------------------------------------- */

static void image_parts(void)
{
    image_task();
    must(ap_task_request(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref), AP_REQUEST_PARTS) == 1);
}

/* The survivor takes it, as a worker, past the queue. */
static void survivor_claims(void)
{
    uint64_t word = word_of(actor.slot);

    if (ap_task_claim(survivor.seg, survivor.lane.index, AP_WORD_OWNER(word), actor.ref, &survivor.token) != 1)
        fail("the task is not to be had: %s", ap_task_state_name(AP_WORD_STATE(word)));
}

static void survivor_begins(void)
{
    uint64_t window = ap_stream_window(survivor.seg, actor.slot, survivor.token);

    if (window == 0 && ap_pool_take(survivor.seg, &survivor.lane, &survivor.hint, 1024, &window) < 0) fail("there is no block");
    if (!ap_stream_begin(survivor.seg, survivor.lane.index, actor.slot, survivor.token, window, &writer))
        fail("an attempt cannot begin to send");
}

static void survivor_sends(uint32_t parts)
{
    uint32_t attempt = ap_stream_attempt(ap_slot_at(survivor.seg, actor.slot), survivor.token);
    uint8_t bytes[PART];

    for (uint32_t i = 0; i < parts; i++) {
        part_fill(bytes, attempt, i);
        if (ap_stream_write(&writer, bytes, PART) != 1) fail("part %u of attempt %u finds no room", i, attempt);
    }
}

/* As the reaper of its worker does. */
static void survivor_loses_it(void)
{
    if (!ap_task_requeue_dead(survivor.seg, survivor.lane.index, actor.slot, survivor.token, 1, false))
        fail("it cannot be put back");
}

static void image_sent(void)
{
    image_parts();
    survivor_claims();
    survivor_begins();
    survivor_sends(IN_WINDOW);
}

static void image_sent_before(void)
{
    image_sent();
    survivor_loses_it();
}

/* Reads what there is: the number of the first part, and how many. Each is whole, and follows the one before. */
static uint32_t survivor_reads(uint32_t attempt, uint32_t *ret_first)
{
    struct ap_stream_part part;
    uint8_t bytes[PART], wanted[PART];
    uint32_t n = 0;
    int r;

    *ret_first = NEVER;
    while ((r = ap_stream_read(survivor.seg, the_task(), word_of(actor.slot), bytes, sizeof bytes, &part)) == 1) {
        if (n++ == 0) *ret_first = part.number;
        part_fill(wanted, part.attempt, part.number);
        if (attempt != 0 && part.attempt != attempt) fail("part %u of attempt %u, not %u", part.number, part.attempt, attempt);
        if (part.number != *ret_first + n - 1) fail("part %u follows %u", part.number, *ret_first + n - 2);
        if (part.size != PART || memcmp(bytes, wanted, PART) != 0)
            fail("part %u of attempt %u is another", part.number, part.attempt);
    }
    if (r < 0) fail("reading: %d", r);
    return n;
}

/* A further attempt sends and is read, whatever was there before; and the window goes with the slot. */
static void survivor_goes_on(void)
{
    uint32_t first, attempt;

    survivor_claims();
    attempt = ap_stream_attempt(ap_slot_at(survivor.seg, actor.slot), survivor.token);
    if (survivor_reads(0, &first) != 0) fail("parts of an attempt before are read");
    survivor_begins();
    survivor_sends(IN_WINDOW);
    if (survivor_reads(attempt, &first) != IN_WINDOW || first != 0) fail("attempt %u does not begin anew", attempt);
}

static void survivor_ends(void)
{
    finish(&survivor, actor.slot, survivor.token, false);
    if (!ap_task_release_with(survivor.seg, survivor.lane.index, actor.slot, word_of(actor.slot), ap_slot_leave, survivor.seg))
        fail("it is not released");
    for (uint64_t i = 0; i < survivor.seg->sections[AP_SECTION_BLOCKS].count; i++)
        if (AP_BLOCK_STATE(*(uint64_t *)ap_at(survivor.seg, AP_SECTION_BLOCKS, i)) == AP_BLOCK_STREAM)
            fail("the window stays when its task is gone");
}

/* ---- the actor is the worker ----------------------------------------------------------------------------------- */

static void actor_sends(uint32_t number)
{
    uint8_t bytes[PART];

    part_fill(bytes, apiary_job_attempt(hive_kept()), number);
    actor.result = apiary_job_part(hive_kept(), bytes, PART);
}

static void run_part_first(void)
{
    actor_sends(0);
    must(actor.result == 0 || at_operation->other != NULL);
}

static void prepare_part_more(void)
{
    prepare_kept();
    for (uint32_t i = 0; i < IN_WINDOW - 1; i++) actor_sends(i);
    must(actor.result == 0);
}

static void run_part_more(void)
{
    actor_sends(IN_WINDOW - 1);
    must(actor.result == 0);
}

/* Whoever reads is to wake the actor, which seems to sleep. */
static void prepare_part_behind(void)
{
    prepare_kept();
    for (uint32_t i = 0; i < IN_WINDOW; i++) actor_sends(i);
    must(actor.result == 0);
    actor.seen = ap_bell_raise(&actor.lane.lane->bell);
}

static void run_part_behind(void)
{
    actor_sends(IN_WINDOW);
}

/* Nobody has read. */
static void before_part_first(bool over)
{
    uint32_t first, n = survivor_reads(1, &first);

    if (n > 1 || (over && n != 1) || (n > 0 && first != 0)) fail("of one part %u are there", n);
}

static void before_part_more(bool over)
{
    uint32_t first, n = survivor_reads(1, &first);

    if (n < IN_WINDOW - 1 || (over && n != IN_WINDOW) || first != 0) fail("of %u parts %u are there", IN_WINDOW, n);
}

static void before_part_again(bool over)
{
    uint32_t first, n = survivor_reads(2, &first);

    if (n > 1 || (over && n != 1) || (n > 0 && first != 0)) fail("of one part %u are there", n);
}

static void after_parts(bool over)
{
    after_task(over);
    survivor_goes_on();
    survivor_ends();
}

/* ---- the actor is a reader ------------------------------------------------------------------------------------- */

static void run_part_read(void)
{
    apiary_part_t part = {.struct_size = sizeof part};
    uint8_t bytes[PART]; /* on the stack, which a preemption puts back */

    actor.result = apiary_next_part(actor.api, the_task(), 0, bytes, sizeof bytes, &part);
    memcpy(got_bytes, bytes, sizeof got_bytes);
    got = (struct ap_stream_part){part.attempt, part.number, (uint32_t)part.size};
}

/* It may have taken the first with it. The worker is the survivor, and knows nothing of it. */
static void after_part_read(bool over)
{
    uint32_t first, n = survivor_reads(1, &first);

    if (first > 1 || first + n != IN_WINDOW || (over && first != 1)) fail("%u parts from %u on are left", n, first);
    survivor_loses_it();
    survivor_goes_on();
    survivor_ends();
}

/* ---- preemption ------------------------------------------------------------------------------------------------ */

static uint32_t read_before; /* by the survivor, of the attempt that the actor is at */

static void other_part_read(void)
{
    uint32_t first, n = survivor_reads(0, &first);

    if (first != NEVER && first != read_before) fail("part %u after %u were read", first, read_before);
    read_before += n;
}

static void other_sweep_blocks(void)
{
    ap_pool_sweep(survivor.seg);
    read_before = 0;
}

/* The actor has sent, whoever has read in between; what is left follows what was read. */
static void before_pair_of(uint32_t sent)
{
    uint32_t first, n = survivor_reads(0, &first);

    if (n > 0 && first != read_before) fail("part %u after %u were read", first, read_before);
    if (read_before + n != sent) fail("%u parts of %u were read", read_before + n, sent);
    read_before = 0;
}

static void before_pair_first(bool over)
{
    if (over) before_pair_of(1);
    read_before = 0;
}

static void before_pair_more(bool over)
{
    if (over) before_pair_of(IN_WINDOW);
    read_before = 0;
}

/* One that was refused either finds room, or is called. */
static void before_pair_behind(bool over)
{
    const struct ap_stream *at = ap_stream_at(survivor.seg, actor.slot);

    if (over && actor.result < 0 && at->head == at->tail && actor.lane.lane->bell == actor.seen)
        fail("a writer waits for a reader that has caught up");
    if (over) before_pair_of(IN_WINDOW + (actor.result == 0));
    read_before = 0;
}

/* The attempt that the actor reads is over, and the next fills the window. */
static void other_part_again(void)
{
    survivor_loses_it();
    survivor_claims();
    survivor_begins();
    survivor_sends(IN_WINDOW);
}

static void before_read_again(bool over)
{
    uint8_t wanted[PART];
    uint32_t first, n;

    if (over && actor.result == 1) {
        part_fill(wanted, got.attempt, got.number);
        if (got.number != 0 || got.attempt < 1 || got.attempt > 2) fail("part %u of attempt %u was read", got.number, got.attempt);
        if (memcmp(got_bytes, wanted, PART) != 0) fail("part %u of attempt %u is another", got.number, got.attempt);
    }
    n = survivor_reads(2, &first);
    if (first + n != IN_WINDOW || (first != 0 && (actor.result != 1 || got.attempt != 2))) fail("%u parts from %u on", n, first);
}

static void after_read_again(bool over)
{
    (void)over;
    survivor_loses_it();
    survivor_goes_on();
    survivor_ends();
}

const struct operation kills_stream[] = {
    {.name = "part_first", .registry = true, .image = image_parts, .prepare = prepare_kept, .run = run_part_first,
     .before = before_part_first, .after = after_parts},
    {.name = "part_more", .registry = true, .image = image_parts, .prepare = prepare_part_more, .run = run_part_more,
     .before = before_part_more, .after = after_parts},
    {.name = "part_behind", .registry = true, .image = image_parts, .prepare = prepare_part_behind, .run = run_part_behind,
     .after = after_parts},
    {.name = "part_again", .registry = true, .image = image_sent_before, .prepare = prepare_kept, .run = run_part_first,
     .before = before_part_again, .after = after_parts},
    {.name = "part_read", .registry = true, .image = image_sent, .run = run_part_read, .after = after_part_read},
    {.name = NULL},
};

const struct operation pairs_stream[] = {
    {.name = "part_first|part_read", .registry = true, .image = image_parts, .prepare = prepare_kept, .run = run_part_first,
     .other = other_part_read, .before = before_pair_first, .after = after_parts},
    {.name = "part_first|pool_sweep", .registry = true, .image = image_parts, .prepare = prepare_kept, .run = run_part_first,
     .other = other_sweep_blocks, .before = before_pair_first, .after = after_parts},
    {.name = "part_more|part_read", .registry = true, .image = image_parts, .prepare = prepare_part_more, .run = run_part_more,
     .other = other_part_read, .before = before_pair_more, .after = after_parts},
    {.name = "part_behind|part_read", .registry = true, .image = image_parts, .prepare = prepare_part_behind,
     .run = run_part_behind, .other = other_part_read, .before = before_pair_behind, .after = after_parts},
    {.name = "part_again|part_read", .registry = true, .image = image_sent_before, .prepare = prepare_kept, .run = run_part_first,
     .other = other_part_read, .before = before_pair_first, .after = after_parts},
    {.name = "part_read|part_again", .registry = true, .image = image_sent, .run = run_part_read, .other = other_part_again,
     .before = before_read_again, .after = after_read_again},
    {.name = NULL},
};
