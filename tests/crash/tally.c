/* tests/crash/tally.c - counts that have names: a row is claimed, counted in, and becomes former. Nothing is counted twice, and no
 * row has what another had. */
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
    struct ap_tally_last last = {.what = 0};

    ap_tally_refused(s->seg, &last, 0, AP_TALLY_NO_CAPABILITY, APIARY_ENOCAP);
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

/* One row for refusals is left, and two lanes want it for different names. */
static void image_one_left(void)
{
    struct ap_tally_name name = {.kind = AP_TALLY_REFUSED, .queue = AP_TALLY_NO_QUEUE, .code = APIARY_EFORBIDDEN};
    uint32_t all, rows;

    ap_tally_used(survivor.seg, &all);
    rows = all / 4;
    for (uint32_t i = 0; ap_tally_used(survivor.seg, &all) + 1 < rows; i++) {
        snprintf(name.caller, sizeof name.caller, "a-%u", i);
        if (ap_tally_find(survivor.seg, &name, true) == NULL) _exit(17);
    }
}

static void other_refuses_another(void)
{
    struct ap_tally_last last = {.what = 0};

    ap_tally_refused(survivor.seg, &last, 0, AP_TALLY_NO_CAPABILITY, APIARY_ELIMIT);
}

/* What has no row is among the others, and no row has what was counted for another name. */
static void after_one_left(bool over)
{
    struct ap_tally t;
    uint64_t sum;
    uint32_t n = 0;

    tally_sum(AP_TALLY_REFUSED, &sum);
    if (sum < 1 || sum > 3 || (over && sum != 3)) fail("3 refusals were counted as %llu", LONG(sum));
    for (uint64_t cursor = 0; ap_tally_next(survivor.seg, &cursor, &t);) {
        if (t.others || t.name.kind != AP_TALLY_REFUSED || t.name.code == APIARY_EFORBIDDEN) continue;
        n++;
        if (t.counts[AP_TALLY_ENDED] > (t.name.code == APIARY_ENOCAP ? 2 : 1))
            fail("%s was counted %llu times", apiary_error_name(t.name.code), LONG(t.counts[AP_TALLY_ENDED]));
    }
    if (n != 1) fail("%u names have the one row", n);
}

/* ---- a queue goes to another agent ------------------------------------------------------------------------------- */

static struct ap_tally_name tally_name(uint32_t i)
{
    struct ap_tally_name name = {.kind = AP_TALLY_PAIR, .queue = 1, .caller = {(char)('a' + i)}};

    return name;
}

static struct ap_tally_row *tally_row(uint32_t i)
{
    struct ap_tally_name name = tally_name(i);
    struct ap_tally_row *row = ap_tally_find(survivor.seg, &name, true);

    if (row == NULL) fail("row %u has no place", i);
    return row;
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
        struct ap_tally_row *row = tally_row(i);

        for (uint32_t k = 0; k < AP_TALLY_COUNTS_END; k++) ap_own_add(&row->counts[k], COUNT);
        ap_own_add(&row->counts[AP_TALLY_ENDED], COUNT); /* half of them have failed, half were late */
    }
}

static void run_anew(void)
{
    if (!ap_queue_claim(actor.seg, 1, actor.lane.index)) _exit(17);
    ap_tally_anew(actor.seg, 1);
    ap_queue_begin(actor.seg, 1, true);
}

/* Whatever has become former, nothing of it has gone. Of the queue's rows `present` are its present agent's. */
static void after_rows(bool all_former, uint64_t present)
{
    struct ap_tally t;

    for (uint64_t cursor = 0; ap_tally_next(survivor.seg, &cursor, &t);) {
        if (t.others || t.name.kind != AP_TALLY_PAIR) continue;
        for (uint32_t k = 0; k < AP_TALLY_COUNTS_END; k++) {
            uint64_t was = k == AP_TALLY_ENDED ? 2 * COUNT : COUNT, now = k == AP_TALLY_ENDED ? present : 0;

            if (t.counts[k] != was + now) fail("count %u is %llu", k, LONG(t.counts[k]));
            if (t.former[k] != was && (all_former || t.former[k] != 0)) fail("former count %u is %llu", k, LONG(t.former[k]));
        }
    }
}

/* A new consumer of the same agent counts on. Then the queue goes to another agent after all. */
static void after_anew(bool over)
{
    uint64_t sum;

    after_rows(over, 0);
    ap_tally_anew(survivor.seg, 1);
    after_rows(true, 0);
    for (uint32_t i = 0; i < ROWS; i++) ap_own_add(&tally_row(i)->counts[AP_TALLY_ENDED], 1);
    after_rows(true, 1);
    if (tally_sum(AP_TALLY_PAIR, &sum) != ROWS) fail("%u names have other rows", ROWS);
}

static void after_anew_refused(bool over)
{
    uint64_t sum;

    after_rows(over, 0);
    if (tally_sum(AP_TALLY_REFUSED, &sum) != 1 || sum != 1) fail("a refusal was counted as %llu", LONG(sum));
}

#define OF .registry = true
const struct operation kills_tally[] = {
    {.name = "tally_refused", OF, .run = run_refuse, .after = after_refuse},
    {.name = "tally_anew", OF, .image = image_tallied, .run = run_anew, .after = after_anew},
    {.name = NULL},
};
const struct operation pairs_tally[] = {
    {.name = "tally_refused|refused", OF, .run = run_refuse, .other = other_refuses, .after = after_refuse_both},
    {.name = "tally_refused|another", OF, .image = image_one_left, .run = run_refuse, .other = other_refuses_another,
     .after = after_one_left},
    {.name = "tally_anew|refused", OF, .image = image_tallied, .run = run_anew, .other = other_refuses,
     .after = after_anew_refused},
    {.name = NULL},
};
