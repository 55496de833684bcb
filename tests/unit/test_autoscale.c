/* tests/unit/test_autoscale.c - how many instances a service is to have: single decisions, and a service that is simulated under
 * loads that step, burst and swing, with instances that start slowly or not at all. The clock is the test's. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agents/deployment/autoscale.h"

#define SECOND UINT64_C(1000000000)

static const struct ap_autoscale rules = {.min = 1, .max = 8, .backlog = 10, .cool_down = 60 * SECOND};
static struct ap_autoscaler state;
static struct ap_autoscale_look look;

static void set_up(void)
{
    memset(&state, 0, sizeof state);
    look = (struct ap_autoscale_look){.now = 1000 * SECOND, .instances = 1, .serving = 1, .workers = 1};
}

TestSuite(autoscale, .init = set_up, .timeout = TEST_LIMIT);

/* A second later. What is decided is carried out at once, by instances that serve. */
static struct ap_autoscale_verdict next(uint32_t waiting, uint32_t running)
{
    struct ap_autoscale_verdict v;

    look.now += SECOND;
    look.waiting = waiting;
    look.running = running;
    v = ap_autoscale_decide(&rules, &state, &look);
    if (v.wanted != look.instances) look.instances = look.serving = v.wanted;
    return v;
}

static struct ap_autoscale_verdict after(unsigned seconds, uint32_t waiting, uint32_t running)
{
    struct ap_autoscale_verdict v = {.wanted = 0};

    while (seconds-- > 0) v = next(waiting, running);
    return v;
}

static bool told(unsigned seconds, uint32_t waiting, uint32_t running)
{
    bool ret = false;

    while (seconds-- > 0) ret = next(waiting, running).told || ret;
    return ret;
}

/* ---- up -------------------------------------------------------------------------------------------------------------- */

Test(autoscale, more_when_too_many_have_waited_for_two_seconds)
{
    cr_expect_eq(after(100, 10, 1).wanted, 1, "ten may wait");
    cr_expect_eq(next(11, 1).why, AP_SCALE_BRIEF);
    cr_expect_eq(next(11, 1).why, AP_SCALE_BRIEF);
    cr_expect_eq(next(11, 1).why, AP_SCALE_UP);
    cr_expect_eq(look.instances, 2);
    cr_expect_eq(after(100, 20, 2).wanted, 2, "ten at each");
}

Test(autoscale, at_most_twice_as_many_and_never_more_than_max)
{
    static const uint32_t steps[] = {2, 4, 8};

    for (size_t i = 0; i < 3; i++) cr_expect_eq(after(3, 100000, look.instances).wanted, steps[i]);
    cr_expect_eq(after(10, 100000, 8).wanted, 8);
    cr_expect_eq(next(100000, 8).why, AP_SCALE_FULL);
    set_up();
    look.instances = look.serving = 3;
    cr_expect_eq(after(3, 31, 3).wanted, 4, "as many as it takes");
    set_up();
    look.instances = look.serving = 5;
    cr_expect_eq(after(3, 90, 5).wanted, 8, "nine would do, eight are allowed");
}

Test(autoscale, a_burst_that_is_worked_off_is_worth_no_process)
{
    for (uint32_t left = 2000; left > 200; left -= 200) cr_expect_eq(next(left, 1).wanted, 1, "%u left", left);
    cr_expect_eq(look.instances, 1);
    set_up();
    for (uint32_t left = 2000; left > 1960; left -= 10) next(left, 1); /* three minutes more of that */
    cr_expect_eq(look.instances, 2);
}

/* ---- instances that are of no use ----------------------------------------------------------------------------------- */

Test(autoscale, no_further_step_before_the_last_one_has_come)
{
    after(3, 1000, 1);
    cr_assert_eq(look.instances, 2);
    look.serving = look.coming = 1;
    cr_expect_eq(after(1000, 1000, 1).why, AP_SCALE_COMING);
    cr_expect_eq(look.instances, 2);
    look.serving = 2;
    look.coming = 0;
    cr_expect_eq(after(2, 1000, 2).wanted, 2);
    cr_expect_eq(after(2, 1000, 2).wanted, 4);
}

Test(autoscale, one_that_never_passed_is_no_reason_for_more)
{
    look = (struct ap_autoscale_look){.now = 1, .instances = 2, .serving = 1, .failing = 1, .unproven = true, .workers = 1};
    cr_expect(told(20, 1000, 1));
    cr_expect_eq(look.instances, 2);
    cr_expect_not(told(1000, 1000, 1), "once");
    cr_expect_eq(next(1000, 1).why, AP_SCALE_FAILING);
}

/* A stuck instance has its share in mind: what the others cannot take because of it is no reason, what is more than that is. */
Test(autoscale, one_that_fails_counts_as_if_it_took_its_share)
{
    look = (struct ap_autoscale_look){.now = 1, .instances = 2, .serving = 1, .failing = 1, .workers = 1};
    cr_expect_eq(after(100, 20, 1).why, AP_SCALE_FAILING);
    cr_expect_eq(look.instances, 2);
    cr_expect_eq(after(3, 21, 1).why, AP_SCALE_UP);
    cr_expect_eq(look.instances, 3);
}

Test(autoscale, nor_is_there_one_less_while_one_fails)
{
    look = (struct ap_autoscale_look){.now = 1, .instances = 3, .serving = 2, .failing = 1, .workers = 1};
    cr_expect_not(told(1000, 0, 0), "nobody needs to know");
    cr_expect_eq(next(0, 0).why, AP_SCALE_FAILING);
    look.failing = 0; /* an operator has it out of the routing */
    cr_expect_eq(after(1000, 0, 0).why, AP_SCALE_DRAINED);
    look.coming = 1;
    cr_expect_eq(after(1000, 0, 0).why, AP_SCALE_COMING);
    cr_expect_eq(look.instances, 3);
}

Test(autoscale, nothing_where_none_serves)
{
    look = (struct ap_autoscale_look){.now = 1, .instances = 2, .failing = 2, .workers = 1};
    cr_expect_eq(after(1000, 0, 0).why, AP_SCALE_NONE);
    look.failing = 0;
    cr_expect_eq(next(0, 0).why, AP_SCALE_DRAINED);
    look.coming = 2;
    cr_expect_eq(next(0, 0).why, AP_SCALE_COMING);
    cr_expect_eq(look.instances, 2);
}

/* ---- down ----------------------------------------------------------------------------------------------------------- */

Test(autoscale, one_less_for_each_cool_down)
{
    look.instances = look.serving = 3;
    cr_expect_eq(after(60, 0, 0).why, AP_SCALE_COOLING, "the first look has seen no time");
    cr_expect_eq(next(0, 0).why, AP_SCALE_DOWN);
    cr_expect_eq(look.instances, 2);
    cr_expect_eq(after(60, 0, 0).wanted, 2);
    cr_expect_eq(next(0, 0).wanted, 1);
    cr_expect_eq(after(1000, 0, 0).why, AP_SCALE_CALM);
    cr_expect_eq(look.instances, 1);
}

Test(autoscale, the_whole_cool_down_has_to_be_calm)
{
    look.instances = look.serving = 2;
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(after(50, 5, 0).wanted, 2, "half of ten may wait at one");
        cr_expect_eq(next(6, 0).why, AP_SCALE_BETWEEN);
    }
    cr_expect_eq(after(60, 5, 0).wanted, 2);
    cr_expect_eq(next(5, 0).wanted, 1);
}

Test(autoscale, those_that_remain_have_room_for_what_runs)
{
    look.instances = look.serving = 2;
    cr_expect_eq(after(1000, 0, 2).why, AP_SCALE_BUSY);
    for (int i = 0; i < 500; i++) { /* 0.9 on average */
        next(0, i % 10 != 0);
        cr_assert_eq(look.instances, 2);
    }
    for (int i = 0; i < 130; i++) next(0, i % 10 < 8);
    cr_expect_eq(look.instances, 1, "0.8 leave a fifth idle");
}

/* An agent that runs programs beside each other has one worker, and not one task. */
Test(autoscale, an_instance_holds_what_it_was_seen_to_hold)
{
    after(3, 11, 8);
    cr_assert_eq(look.instances, 2);
    cr_expect_eq(after(1000, 0, 7).wanted, 2);
    cr_expect_eq(after(130, 0, 6).wanted, 1);
}

Test(autoscale, what_was_not_looked_at_is_no_calm)
{
    look.instances = look.serving = 2;
    next(0, 0);
    for (int i = 0; i < 29; i++) {
        look.now += 3600 * SECOND;
        cr_expect_eq(next(0, 0).wanted, 2, "look %d", i);
    }
    look.now += 3600 * SECOND;
    cr_expect_eq(next(0, 0).wanted, 1, "and it comes to an end");
}

Test(autoscale, a_clock_that_stands_still_decides_nothing)
{
    look.instances = look.serving = 2;
    for (int i = 0; i < 1000; i++) {
        look.now -= SECOND;
        cr_expect_eq(next(1000, 2).wanted, 2);
    }
}

/* ---- bounds --------------------------------------------------------------------------------------------------------- */

Test(autoscale, bounds_are_kept_whatever_is_seen)
{
    look = (struct ap_autoscale_look){.now = 1, .instances = 12, .failing = 12, .workers = 1};
    cr_expect_eq(next(0, 0).why, AP_SCALE_BOUNDS);
    cr_expect_eq(look.instances, 8);
    const struct ap_autoscale three = {.min = 3, .max = 3, .backlog = 1, .cool_down = SECOND};
    look = (struct ap_autoscale_look){.now = 2, .instances = 1, .serving = 1, .workers = 1, .waiting = 1000};
    memset(&state, 0, sizeof state);
    cr_expect_eq(ap_autoscale_decide(&three, &state, &look).wanted, 3);
}

Test(autoscale, at_max_it_is_told_once_until_it_is_calm)
{
    look.instances = look.serving = 8;
    cr_expect(told(20, 1000, 8));
    for (int i = 0; i < 100; i++) cr_expect_not(told(20, i % 2 != 0 ? 75 : 1000, 8), "it swings");
    cr_expect_not(told(100, 0, 8), "full of what runs, and so still eight");
    cr_expect_eq(look.instances, 8);
    after(130, 0, 0);
    cr_expect_eq(look.instances, 7);
    cr_expect_eq(after(3, 1000, 7).wanted, 8);
    cr_expect(told(20, 1000, 8));
}

/* ---- a load near a threshold ---------------------------------------------------------------------------------------- */

Test(autoscale, a_load_that_swings_across_a_threshold_moves_nothing)
{
    for (int i = 0; i < 2000; i++) next(i % 2 != 0 ? 12 : 8, 1);
    cr_expect_eq(look.instances, 1);
    /* More slowly it is one too few for some of the time, and then two for good. */
    for (int i = 0; i < 2000; i++) next(i % 20 < 10 ? 12 : 8, 1);
    cr_expect_eq(look.instances, 2);
    for (int i = 0; i < 2000; i++) {
        next(i % 2 != 0 ? 4 : 6, 1); /* one less may have five */
        cr_assert_eq(look.instances, 2);
    }
}

/* ---- a service ------------------------------------------------------------------------------------------------------ */

enum { MOST = 16 };
#define TICKS 10u /* a second */

struct instance {
    bool there, leaves, passed, fails;
    uint64_t ready; /* tick */
    double tasks;
};
struct service {
    struct ap_autoscale rules;
    struct instance list[MOST];
    uint32_t wanted;
    uint64_t tick;
    double rate, each; /* tasks a second that come, and that a worker does */
    double due;
    unsigned start;    /* seconds that an instance takes to pass */
    unsigned ups, downs;
    uint64_t last_down; /* tick; 0: none */
    uint32_t most;
};

static bool serves(const struct service *s, const struct instance *i)
{
    return i->there && !i->leaves && !i->fails && s->tick >= i->ready;
}

static void come(struct service *s)
{
    for (s->due += s->rate / TICKS; s->due >= 1; s->due--) {
        struct instance *best = NULL;
        for (size_t k = 0; k < MOST; k++)
            if (serves(s, &s->list[k]) && (best == NULL || s->list[k].tasks < best->tasks)) best = &s->list[k];
        if (best != NULL) best->tasks++;
    }
}

static void work(struct service *s)
{
    for (size_t k = 0; k < MOST; k++) {
        struct instance *i = &s->list[k];
        i->passed = i->passed || serves(s, i);
        if (i->there && !i->fails) i->tasks = i->tasks > s->each / TICKS ? i->tasks - s->each / TICKS : 0;
        if (i->leaves && i->tasks == 0) *i = (struct instance){.there = false};
    }
}

static struct ap_autoscale_look see(const struct service *s)
{
    struct ap_autoscale_look ret = {.now = s->tick * (SECOND / TICKS), .instances = s->wanted, .workers = 1};

    for (size_t k = 0; k < MOST; k++) {
        const struct instance *i = &s->list[k];
        uint32_t tasks = (uint32_t)(i->tasks + 0.999);
        if (!i->there || i->leaves) continue;
        ret.serving += serves(s, i);
        ret.failing += i->fails;
        ret.coming += !i->fails && !serves(s, i);
        ret.unproven = ret.unproven || (i->fails && !i->passed);
        if (!serves(s, i)) continue;
        ret.waiting += tasks > 1 ? tasks - 1 : 0;
        ret.running += tasks > 0;
    }
    return ret;
}

static void have(struct service *s, uint32_t wanted)
{
    for (size_t k = 0; k < MOST && s->wanted < wanted; k++) {
        if (s->list[k].there) continue;
        s->list[k] = (struct instance){.there = true, .ready = s->tick + s->start * TICKS};
        s->wanted++;
    }
    for (size_t k = MOST; k-- > 0 && s->wanted > wanted;) {
        if (!s->list[k].there || s->list[k].leaves) continue;
        s->list[k].leaves = true;
        s->list[k].fails = false;
        s->wanted--;
    }
}

/* A second of it. What holds whatever comes is looked at here. */
static void second(struct service *s)
{
    struct ap_autoscale_look now;
    struct ap_autoscale_verdict v;
    uint32_t before = s->wanted;

    for (unsigned i = 0; i < TICKS; i++) {
        s->tick++;
        come(s);
        work(s);
    }
    now = see(s);
    v = ap_autoscale_decide(&s->rules, &state, &now);
    cr_assert(v.wanted >= s->rules.min && v.wanted <= s->rules.max, "%u is out of bounds", v.wanted);
    cr_assert(v.wanted <= 2 * before && v.wanted + 1 >= before, "%u become %u", before, v.wanted);
    cr_assert(v.wanted <= before || now.coming == 0, "more before those came that were to");
    if (v.wanted < before) {
        cr_assert(s->last_down == 0 || (s->tick - s->last_down) / TICKS * SECOND >= s->rules.cool_down, "two within a cool-down");
        s->last_down = s->tick;
    }
    s->ups += v.wanted > before;
    s->downs += v.wanted < before;
    s->most = v.wanted > s->most ? v.wanted : s->most;
    have(s, v.wanted);
}

static void seconds(struct service *s, unsigned n, double rate)
{
    s->rate = rate;
    while (n-- > 0) second(s);
}

static struct service service(unsigned start)
{
    struct service s = {.rules = rules, .each = 1, .tick = 1, .start = 0};

    have(&s, 1);
    s.start = start;
    return s;
}

static uint32_t waiting(const struct service *s)
{
    return see(s).waiting;
}

Test(autoscale, a_step_of_load_is_served_and_kept)
{
    struct service s = service(1);
    unsigned ups, downs;

    seconds(&s, 60, 0.2);
    cr_expect_eq(s.most, 1);
    seconds(&s, 60, 3.5); /* an instance does one */
    cr_expect_geq(s.wanted, 4);
    cr_expect_leq(waiting(&s), 10 * s.wanted, "it is caught up with");
    ups = s.ups;
    seconds(&s, 3600, 3.5);
    cr_expect_eq(s.ups, ups, "none that went is missed");
    cr_expect_geq(s.wanted, 4);
    downs = s.downs;
    seconds(&s, 3600, 3.5);
    cr_expect(s.ups == ups && s.downs == downs, "and the number stays");
    seconds(&s, 60 * 8, 0);
    cr_expect_eq(s.wanted, 1);
    cr_expect_eq(s.ups, ups);
}

Test(autoscale, bursts_that_are_short_move_nothing)
{
    struct service s = service(1);

    s.each = 100;
    for (int i = 0; i < 60; i++) {
        seconds(&s, 1, 500); /* five seconds of work */
        seconds(&s, 29, 0);
    }
    cr_expect_eq(s.ups, 0);
    seconds(&s, 1, 5000); /* fifty */
    seconds(&s, 29, 0);
    cr_expect_gt(s.ups, 0);
}

Test(autoscale, a_load_that_comes_again_within_the_cool_down_finds_its_instances)
{
    struct service s = service(1);
    unsigned ups;

    for (int i = 0; i < 10; i++) {
        seconds(&s, 20, 3.5);
        seconds(&s, 40, 0);
    }
    ups = s.ups;
    for (int i = 0; i < 100; i++) {
        seconds(&s, 20, 3.5);
        seconds(&s, 40, 0);
    }
    cr_expect_eq(s.ups, ups);
    cr_expect_eq(s.downs, 0);
}

Test(autoscale, instances_that_start_slowly_are_waited_for)
{
    struct service s = service(45);

    seconds(&s, 45, 1.5);
    cr_expect_eq(s.ups, 1);
    cr_expect_eq(s.wanted, 2, "one was missing, however much waits meanwhile");
    seconds(&s, 600, 1.5);
    cr_expect_leq(waiting(&s), 10 * s.wanted);
}

Test(autoscale, instances_that_never_come_are_not_added_to)
{
    struct service s = service(1);

    s.rate = 3.5;
    while (s.wanted < 2) second(&s);
    s.list[1].fails = true;
    seconds(&s, 3600, 3.5);
    cr_expect_eq(s.wanted, 2);
    cr_expect_eq(s.ups, 1);
}

/* Whatever comes: second() holds it to what must be. In the end it is calm, and there are as few as there may be. */
Test(autoscale, whatever_comes)
{
    unsigned seed = (unsigned)time(NULL);

    printf("seed %u\n", seed);
    srand(seed);
    for (int run = 0; run < 60; run++) {
        struct service s = service((unsigned)rand() % 20);
        memset(&state, 0, sizeof state);
        s.rules.min = 1 + (uint32_t)rand() % 3;
        s.rules.max = s.rules.min + (uint32_t)rand() % 6;
        s.rules.backlog = 1 + (uint32_t)rand() % 30;
        s.rules.cool_down = (1 + (uint64_t)rand() % 120) * SECOND;
        have(&s, s.rules.min);
        for (int i = 0; i < 40; i++) {
            size_t k = (size_t)rand() % MOST;
            s.list[k].fails = s.list[k].there && !s.list[k].leaves && rand() % 8 == 0;
            seconds(&s, (unsigned)rand() % 40, rand() % 100 / 10.0);
        }
        for (size_t k = 0; k < MOST; k++) s.list[k].fails = false;
        while (waiting(&s) > 0) seconds(&s, 1, 0);
        seconds(&s, 130 * MOST, 0);
        cr_assert_eq(s.wanted, s.rules.min, "seed %u, run %d: %u are left", seed, run, s.wanted);
    }
}

/* ---- in words ------------------------------------------------------------------------------------------------------- */

static const char *words(enum ap_autoscale_why why, uint32_t waits, uint32_t serving, uint32_t failing)
{
    static char text[AP_AUTOSCALE_TEXT + 1];
    struct ap_autoscale_look at = {.instances = serving + failing, .serving = serving, .failing = failing, .waiting = waits};
    struct ap_autoscale_verdict v = {.why = why};

    ap_autoscale_text(&rules, &at, &v, text);
    return text;
}

Test(autoscale, each_reason_is_a_sentence_that_fits)
{
    cr_expect_str_eq(words(AP_SCALE_UP, 37, 2, 0), "37 wait at 2 instances, more than 10 at each");
    cr_expect_str_eq(words(AP_SCALE_DOWN, 1, 1, 0), "1 waits at 1 instance: few for the whole cool-down");
    cr_expect_str_eq(words(AP_SCALE_FULL, 100, 8, 0), "100 wait at 8 instances: it is at max");
    cr_expect_str_eq(words(AP_SCALE_FAILING, 30, 2, 1), "30 wait at 2 instances; 1 does not pass, and more are no remedy");
    cr_expect_str_eq(words(AP_SCALE_NONE, 0, 0, 2), "none of its instances passes, and more of them are no remedy");
    cr_expect_str_eq(words(AP_SCALE_BOUNDS, 0, 9, 0), "there were 9, 1 to 8 are allowed");
    for (int why = AP_SCALE_CALM; why <= AP_SCALE_BOUNDS; why++)
        cr_expect_lt(strlen(words((enum ap_autoscale_why)why, UINT32_MAX, UINT32_MAX, UINT32_MAX)), AP_AUTOSCALE_TEXT, "%d", why);
}
