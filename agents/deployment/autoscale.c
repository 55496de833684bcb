/* agents/deployment/autoscale.c - see autoscale.h. */
#include "agents/deployment/autoscale.h"

#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define UP_AFTER (2 * SECOND)
#define LOOK_MOST (2 * SECOND)  /* a look stands for no more time than that */
#define GONE_WITHIN (10 * SECOND)
#define TOLD_AFTER (10 * SECOND)
#define SLICE UINT64_C(10000000) /* us */

static uint32_t smaller(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* The tasks are told for each of these: as if those that fail took their share. */
static uint32_t autoscale_shares(const struct ap_autoscale_look *look)
{
    return look->serving + look->coming + look->failing;
}

void ap_autoscale_restart(struct ap_autoscaler *state)
{
    state->above = state->calm = state->busy = false;
    state->held = state->told = AP_SCALE_CALM;
}

/* ---- what is seen ------------------------------------------------------------------------------------------------ */

static void autoscale_above(const struct ap_autoscale *rules, struct ap_autoscaler *state, const struct ap_autoscale_look *look,
                            uint64_t time)
{
    bool before = state->above;

    state->above = look->waiting > (uint64_t)rules->backlog * autoscale_shares(look);
    if (state->above && before) {
        state->above_for += time;
    } else {
        state->above_for = 0;
        state->above_waiting = look->waiting;
    }
}

static void autoscale_ran(struct ap_autoscaler *state, uint32_t running, uint64_t us)
{
    uint64_t mean;

    state->slice_for += us;
    state->slice_ran += running * us;
    if (state->slice_for < SLICE) return;
    mean = 1000 * state->slice_ran / state->slice_for;
    if (mean > state->most_ran) state->most_ran = mean;
    state->slice_for = state->slice_ran = 0;
}

static void autoscale_begin_calm(struct ap_autoscaler *state)
{
    state->calm_for = state->slice_for = state->slice_ran = state->most_ran = 0;
}

static void autoscale_calm(const struct ap_autoscale *rules, struct ap_autoscaler *state, const struct ap_autoscale_look *look,
                           uint64_t time)
{
    bool before = state->calm;

    state->calm = look->serving == look->instances && look->instances > 0 &&
                  2 * (uint64_t)look->waiting <= (uint64_t)rules->backlog * (look->instances - 1);
    if (state->calm && before) {
        state->calm_for += time;
        autoscale_ran(state, look->running, time / 1000);
    } else {
        autoscale_begin_calm(state);
    }
    state->busy = state->busy && state->calm;
}

/* ---- what follows ------------------------------------------------------------------------------------------------ */

/* It becomes less so fast that it is gone before an instance more would be of use. */
static bool autoscale_passes(struct ap_autoscaler *state, const struct ap_autoscale_look *look)
{
    uint64_t less = state->above_waiting > look->waiting ? state->above_waiting - look->waiting : 0;
    bool ret = look->waiting * (state->above_for / 1000) <= less * (GONE_WITHIN / 1000);

    state->above_for = 0;
    state->above_waiting = look->waiting;
    return ret;
}

static void autoscale_up(const struct ap_autoscale *rules, struct ap_autoscaler *state, const struct ap_autoscale_look *look,
                         struct ap_autoscale_verdict *ret)
{
    uint64_t fits = ((uint64_t)look->waiting + rules->backlog - 1) / rules->backlog, n = look->instances;

    ret->why = AP_SCALE_UP;
    ret->wanted = smaller(smaller(fits > n + 1 ? fits : n + 1, 2 * n), rules->max);
    state->holds = (look->running + look->serving - 1) / look->serving;
}

/* More waits than those that serve should have. */
static void autoscale_strained(const struct ap_autoscale *rules, struct ap_autoscaler *state, const struct ap_autoscale_look *look,
                               struct ap_autoscale_verdict *ret)
{
    if (look->coming > 0) ret->why = AP_SCALE_COMING;
    else if (look->unproven || !state->above) ret->why = AP_SCALE_FAILING;
    else if (look->instances >= rules->max) ret->why = AP_SCALE_FULL;
    else if (state->above_for < UP_AFTER) ret->why = AP_SCALE_BRIEF;
    else if (autoscale_passes(state, look)) ret->why = AP_SCALE_PASSING;
    else autoscale_up(rules, state, look, ret);
}

/* Whether those that would remain have room for the tasks that ran, with a fifth to spare. */
static bool autoscale_fits(const struct ap_autoscaler *state, const struct ap_autoscale_look *look)
{
    uint64_t each = state->holds > look->workers ? state->holds : look->workers, most = state->most_ran;

    /* Ten seconds that are not over count only where the cool-down is shorter. */
    if (state->calm_for / 1000 < SLICE && state->slice_for > 0) most = 1000 * state->slice_ran / state->slice_for;
    return most <= 800 * each * (look->instances - 1);
}

static void autoscale_easy(const struct ap_autoscale *rules, struct ap_autoscaler *state, const struct ap_autoscale_look *look,
                           struct ap_autoscale_verdict *ret)
{
    if (look->coming > 0) {
        ret->why = AP_SCALE_COMING;
    } else if (look->failing > 0) {
        ret->why = AP_SCALE_FAILING;
    } else if (look->serving < look->instances) {
        ret->why = AP_SCALE_DRAINED;
    } else if (look->instances <= rules->min) {
        ret->why = AP_SCALE_CALM;
    } else if (!state->calm) {
        ret->why = AP_SCALE_BETWEEN;
    } else if (state->calm_for < rules->cool_down) {
        ret->why = state->busy ? AP_SCALE_BUSY : AP_SCALE_COOLING;
    } else {
        state->busy = !autoscale_fits(state, look);
        ret->why = state->busy ? AP_SCALE_BUSY : AP_SCALE_DOWN;
        ret->wanted = look->instances - !state->busy;
        autoscale_begin_calm(state);
    }
}

/* A hold that has lasted is told, once. */
static void autoscale_hold(const struct ap_autoscale *rules, struct ap_autoscaler *state, struct ap_autoscale_verdict *verdict,
                           bool strained, uint64_t time)
{
    bool hold = strained && (verdict->why == AP_SCALE_FULL || verdict->why == AP_SCALE_FAILING);
    bool same = hold && state->held == verdict->why;

    state->held_for = same ? state->held_for + time : 0;
    state->held = hold ? verdict->why : AP_SCALE_CALM;
    if (state->calm && state->calm_for >= rules->cool_down) state->told = AP_SCALE_CALM;
    if (!same || state->held_for < TOLD_AFTER || state->told == verdict->why) return;
    state->told = verdict->why;
    verdict->told = true;
}

struct ap_autoscale_verdict ap_autoscale_decide(const struct ap_autoscale *rules, struct ap_autoscaler *state,
                                                const struct ap_autoscale_look *look)
{
    struct ap_autoscale_verdict ret = {.wanted = look->instances};
    uint64_t time = state->looked != 0 && look->now > state->looked ? look->now - state->looked : 0;
    bool strained = look->serving > 0 && look->waiting > (uint64_t)rules->backlog * look->serving;

    if (time > LOOK_MOST) time = LOOK_MOST;
    if (state->instances != look->instances || state->serving != look->serving) state->above = state->calm = false;
    state->looked = look->now;
    state->instances = look->instances;
    state->serving = look->serving;
    autoscale_above(rules, state, look, time);
    autoscale_calm(rules, state, look, time);
    if (look->instances < rules->min || look->instances > rules->max) {
        ret.wanted = look->instances < rules->min ? rules->min : rules->max;
        ret.why = AP_SCALE_BOUNDS;
    } else if (look->serving == 0) {
        ret.why = look->coming > 0 ? AP_SCALE_COMING : look->failing > 0 ? AP_SCALE_NONE : AP_SCALE_DRAINED;
    } else if (strained) {
        autoscale_strained(rules, state, look, &ret);
    } else {
        autoscale_easy(rules, state, look, &ret);
    }
    autoscale_hold(rules, state, &ret, strained, time);
    if (ret.wanted != look->instances) ap_autoscale_restart(state);
    return ret;
}

/* ---- in words ---------------------------------------------------------------------------------------------------- */

static const char *plural(uint32_t n, const char *one, const char *several)
{
    return n == 1 ? one : several;
}

void ap_autoscale_text(const struct ap_autoscale *rules, const struct ap_autoscale_look *look,
                       const struct ap_autoscale_verdict *verdict, char ret[AP_AUTOSCALE_TEXT + 1])
{
    static const char *const then[] = {
        [AP_SCALE_CALM] = "it is at min",
        [AP_SCALE_BETWEEN] = "too many for one instance less",
        [AP_SCALE_COOLING] = "the cool-down runs",
        [AP_SCALE_BUSY] = "one instance less would be full of what runs",
        [AP_SCALE_BRIEF] = "not for long enough yet",
        [AP_SCALE_PASSING] = "they are soon gone",
        [AP_SCALE_COMING] = "one that starts is waited for",
        [AP_SCALE_DRAINED] = "an operator has some out of the routing",
        [AP_SCALE_FULL] = "it is at max",
        [AP_SCALE_DOWN] = "few for the whole cool-down",
    };
    const uint32_t size = AP_AUTOSCALE_TEXT + 1;
    char waits[44];

    snprintf(waits, sizeof waits, "%u %s at %u %s", look->waiting, plural(look->waiting, "waits", "wait"), look->serving,
             plural(look->serving, "instance", "instances"));
    if (verdict->why == AP_SCALE_BOUNDS)
        snprintf(ret, size, "there %s %u, %u to %u are allowed", plural(look->instances, "was", "were"), look->instances,
                 rules->min, rules->max);
    else if (verdict->why == AP_SCALE_UP)
        snprintf(ret, size, "%s, more than %u at each", waits, rules->backlog);
    else if (verdict->why == AP_SCALE_NONE)
        snprintf(ret, size, "none of its instances passes, and more of them are no remedy");
    else if (verdict->why == AP_SCALE_FAILING)
        snprintf(ret, size, "%s; %u %s not pass, and more are no remedy", waits, look->failing,
                 plural(look->failing, "does", "do"));
    else
        snprintf(ret, size, "%s: %s", waits, then[verdict->why]);
}
