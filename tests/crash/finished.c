/* tests/crash/finished.c - the last tasks: a record is written and overwritten, and a tap is put off. What a kill leaves is passed
 * over, and the next one that comes round overwrites it. */
#include "sweep.h"

#include "shm/finished.h"

#define LONG(n) ((unsigned long long)(n))

/* Says of each word what it is of: a record that is mixed shows. */
static struct ap_finished finished_of(uint8_t who)
{
    struct ap_finished r = {.generation = who, .slot = who, .epoch = who, .queued = who, .started = who, .other = who,
                            .parent = who, .agent_code = who, .pid = 0, .body_size = who, .result_size = who, .capability = who,
                            .caller = who, .queue = 0, .lane = AP_FINISHED_NONE, .flags = who, .attempt = who};

    memset(r.trace, who, sizeof r.trace);
    return r;
}

static void enter(const struct side *s, uint8_t who, bool notable)
{
    struct ap_finished r = finished_of(who);

    ap_finished_enter(s->seg, &r, AP_FINISH_FAILED, APIARY_ELOST, who, notable);
}

/* Each record that can be read is whole. Returns how many; *ret_last: of whom the newest is. */
static uint32_t finished_whole(uint32_t ring, uint8_t *ret_last)
{
    uint64_t first, end = ap_finished_numbers(survivor.seg, ring, &first);
    uint32_t n = 0;

    *ret_last = 0;
    for (uint64_t number = first; number < end; number++) {
        struct ap_finished r, want;
        uint64_t check;

        if (!ap_finished_read(survivor.seg, ring, number, &r)) continue;
        want = finished_of((uint8_t)r.generation);
        want.number = number;
        want.how = AP_FINISH_FAILED;
        want.code = (uint16_t)-APIARY_ELOST;
        want.finished = r.generation;
        check = r.check;
        r.check = 0;
        if (memcmp(&r, &want, sizeof r) != 0) fail("record %llu is mixed of several", LONG(number));
        if (check == 0) fail("record %llu has no hash", LONG(number));
        *ret_last = (uint8_t)r.generation;
        n++;
    }
    return n;
}

/* ---- a record ----------------------------------------------------------------------------------------------------- */

/* The row that the actor writes had been written before. */
static void image_full(void)
{
    for (uint32_t i = 0; i < AP_FINISHED_RECORDS; i++) enter(&survivor, 1, true);
}

static void run_finished_enter(void)
{
    enter(&actor, 2, true);
}

static void after_finished_enter(bool over)
{
    uint8_t last;
    uint32_t n = finished_whole(0, &last);

    if (n + 1 < AP_FINISHED_RECORDS) fail("%u of %u records are left", n, AP_FINISHED_RECORDS);
    if (over && (n != AP_FINISHED_RECORDS || last != 2)) fail("the record is not there");
    for (uint32_t i = 0; i < AP_FINISHED_RECORDS; i++) enter(&survivor, 3, true);
    n = finished_whole(0, &last);
    if (n != AP_FINISHED_RECORDS || last != 3) fail("%u records after a turn, the last of %u", n, last);
}

/* A whole turn of the ring goes by while the actor stands between two of its stores, and it may go on afterwards. */
static void other_goes_round(void)
{
    for (uint32_t i = 0; i < AP_FINISHED_RECORDS; i++) enter(&survivor, 3, true);
}

static void after_goes_round(bool over)
{
    uint8_t last;
    uint32_t n = finished_whole(0, &last);

    (void)over;
    if (n + 1 < AP_FINISHED_RECORDS) fail("%u of %u records are left", n, AP_FINISHED_RECORDS);
}

/* ---- a tap --------------------------------------------------------------------------------------------------------- */

static void run_finished_tap(void)
{
    ap_tap(actor.seg, actor.seg->ops->now() + AP_TAP_LEASE);
}

static void other_taps(void)
{
    ap_tap(survivor.seg, survivor.seg->ops->now() + AP_TAP_LEASE / 2);
}

static void after_finished_tap(bool over)
{
    uint64_t now = survivor.seg->ops->now(), tap = ap_load_relaxed(&survivor.seg->header->tap);

    if (tap > now + AP_TAP_LEASE || (over && tap < now)) fail("tapped until %llu, and it is %llu", LONG(tap), LONG(now));
}

const struct operation kills_finished[] = {
    {.name = "finished_enter", .image = image_full, .run = run_finished_enter, .after = after_finished_enter},
    {.name = "finished_tap", .run = run_finished_tap, .after = after_finished_tap},
    {.name = NULL},
};
const struct operation pairs_finished[] = {
    {.name = "finished_enter|round", .image = image_full, .run = run_finished_enter, .other = other_goes_round,
     .after = after_goes_round},
    {.name = "finished_tap|tap", .run = run_finished_tap, .other = other_taps, .after = after_finished_tap},
    {.name = NULL},
};
