/* tests/crash/tally.c - counts that have names: a row is claimed, counted in, and freed. Nothing is counted twice, and no row has
 * what another had. */
#include "sweep.h"

#include "registry/monitor/tally.h"

#define LONG(n) ((unsigned long long)(n))
#define ROWS 3u
#define COUNT 1000u

/* The rows of a kind, and what they have counted. */
static uint32_t tally_sum(enum ap_tally_kind kind, uint64_t *ret)
{
    struct ap_tally t;
    uint32_t n = 0;

    *ret = 0;
    for (uint64_t cursor = 0; ap_tally_next(survivor.seg, &cursor, &t);) {
        if (t.name.kind != kind) continue;
        n += !t.others;
        *ret += t.counts[AP_TALLY_ENDED];
    }
    return n;
}

/* ---- a row is claimed ------------------------------------------------------------------------------------------- */

static void refuse_by(const struct side *s)
{
    ap_tally_refused(s->seg, 0, AP_TALLY_NO_CAPABILITY, APIARY_ENOCAP);
}

static void run_refuse(void)
{
    refuse_by(&actor);
    refuse_by(&actor);
}

/* The next one fills what the actor has left, and counts there. */
static void after_refuse(bool over)
{
    uint64_t before, after;
    uint32_t all;

    tally_sum(AP_TALLY_REFUSED, &before);
    refuse_by(&survivor);
    if (tally_sum(AP_TALLY_REFUSED, &after) != 1 || ap_tally_used(survivor.seg, &all) != 1)
        fail("one name has several rows, or none");
    if (before > 2 || (over && before != 2)) fail("2 refusals were counted as %llu", LONG(before));
    if (after != before + 1) fail("a refusal after %llu makes %llu", LONG(before), LONG(after));
}

static void other_refuses(void)
{
    refuse_by(&survivor);
}

/* Two that enter one name at the same time may have two rows of it, where there are free ones between. */
static void after_refuse_both(bool over)
{
    uint64_t sum;
    uint32_t n = tally_sum(AP_TALLY_REFUSED, &sum);

    if (n < 1 || n > 2) fail("one name has %u rows", n);
    if (sum < 1 || sum > 3 || (over && sum != 3)) fail("3 refusals were counted as %llu", LONG(sum));
}

/* One row is left, and two lanes want it for different names. */
static void image_one_left(void)
{
    struct ap_tally_name name = {.kind = AP_TALLY_PAIR, .caller = "a"};
    uint32_t all;

    for (uint32_t i = 0; ap_tally_used(survivor.seg, &all) + 1 < all; i++) {
        snprintf(name.caller, sizeof name.caller, "a-%u", i);
        if (ap_tally_find(survivor.seg, &name, true) == NULL) _exit(17);
    }
}

static void other_refuses_another(void)
{
    ap_tally_refused(survivor.seg, 0, AP_TALLY_NO_CAPABILITY, APIARY_ELIMIT);
}

/* What has no row is among the others, and no row has what was counted for another name. */
static void after_one_left(bool over)
{
    uint64_t sum;
    uint32_t n = tally_sum(AP_TALLY_REFUSED, &sum);
    struct ap_tally t;

    if (n != 1) fail("%u names have the one row", n);
    if (sum < 1 || sum > 3 || (over && sum != 3)) fail("3 refusals were counted as %llu", LONG(sum));
    for (uint64_t cursor = 0; ap_tally_next(survivor.seg, &cursor, &t);)
        if (!t.others && t.name.kind == AP_TALLY_REFUSED && t.counts[AP_TALLY_ENDED] > (t.name.code == APIARY_ENOCAP ? 2 : 1))
            fail("%s was counted %llu times", apiary_error_name(t.name.code), LONG(t.counts[AP_TALLY_ENDED]));
}

/* ---- rows are freed --------------------------------------------------------------------------------------------- */

static struct ap_tally_name tally_name(uint32_t i)
{
    struct ap_tally_name name = {.kind = AP_TALLY_PAIR, .queue = 1, .caller = {(char)('a' + i)}};

    return name;
}

/* Queue 1 was somebody's, and its rows have counts. */
static void image_tallied(void)
{
    struct ap_queue *q = ap_queue_at(survivor.seg, 1);

    if (!ap_queue_claim(survivor.seg, 1, survivor.lane.index) || !ap_queue_open(survivor.seg, 1, survivor.lane.index) ||
        !ap_queue_close(survivor.seg, 1, ap_load_relaxed(&q->life)))
        _exit(17);
    ap_store_relaxed(&ap_agent_at(survivor.seg, 1)->swarm, AP_NO_SWARM);
    for (uint32_t i = 0; i < ROWS; i++) {
        struct ap_tally_name name = tally_name(i);
        struct ap_tally_row *row = ap_tally_find(survivor.seg, &name, true);

        if (row == NULL) _exit(17);
        for (uint32_t k = 0; k < AP_TALLY_COUNTS_END; k++) ap_own_add(&row->counts[k], COUNT);
        ap_own_add(&row->counts[AP_TALLY_ENDED], COUNT); /* half of them have failed, half were late */
    }
}

static void run_free(void)
{
    if (!ap_queue_claim(actor.seg, 1, actor.lane.index)) _exit(17);
    ap_tally_free(actor.seg, 1);
    ap_queue_begin(actor.seg, 1, true);
}

/* Each row has all, or what is left of it, and a new consumer of the same agent adds to that. Then the queue goes to another agent
 * after all. */
static void after_free(bool over)
{
    uint64_t sum;
    uint32_t n = tally_sum(AP_TALLY_PAIR, &sum);

    if (n > ROWS || sum > 2 * COUNT * ROWS || (over && n != 0)) fail("%u rows with %llu", n, LONG(sum));
    for (uint32_t i = 0; i < ROWS; i++) {
        struct ap_tally_name name = tally_name(i);
        struct ap_tally_row *row = ap_tally_find(survivor.seg, &name, true);

        if (row == NULL) fail("row %u has no place", i);
        ap_own_add(&row->counts[AP_TALLY_ENDED], 1);
    }
    if (tally_sum(AP_TALLY_PAIR, &sum) != ROWS) fail("%u names have other rows", ROWS);
    ap_tally_free(survivor.seg, 1);
    if (tally_sum(AP_TALLY_PAIR, &sum) != 0 || sum != 0) fail("%llu are left where all was freed", LONG(sum));
}

/* Into rows that are just being freed. */
static void after_free_refused(bool over)
{
    uint64_t sum;

    (void)over;
    if (tally_sum(AP_TALLY_REFUSED, &sum) != 1 || sum != 1) fail("a refusal was counted as %llu", LONG(sum));
    ap_tally_free(survivor.seg, 1);
    if (tally_sum(AP_TALLY_PAIR, &sum) != 0) fail("rows are left where all was freed");
    if (tally_sum(AP_TALLY_REFUSED, &sum) != 1 || sum != 1) fail("the row of a refusal was freed");
}

#define OF .registry = true
const struct operation kills_tally[] = {
    {.name = "tally_refused", OF, .run = run_refuse, .after = after_refuse},
    {.name = "tally_free", OF, .image = image_tallied, .run = run_free, .after = after_free},
    {.name = NULL},
};
const struct operation pairs_tally[] = {
    {.name = "tally_refused|refused", OF, .run = run_refuse, .other = other_refuses, .after = after_refuse_both},
    {.name = "tally_refused|another", OF, .image = image_one_left, .run = run_refuse, .other = other_refuses_another,
     .after = after_one_left},
    {.name = "tally_free|refused", OF, .image = image_tallied, .run = run_free, .other = other_refuses,
     .after = after_free_refused},
    {.name = NULL},
};
