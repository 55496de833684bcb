/* tests/process/storm_mix.h - what a task of the storm asks for, by its number and the storm's seed: options of its own, and what
 * its agent is to do with it. Part of storm.c. */
#ifndef STORM_MIX_H
#define STORM_MIX_H

#include "tests/plugins/stormy.h"
#include "tests/process/storm.h"

#define HOUR UINT64_C(3600000000000)
#define SHORT UINT64_C(5000000)

/* Ends of a task that it was asked for, beside success. */
enum {
    MAY_STOP = 1,      /* its agent was told to stop by a timer, or its time is over */
    MAY_NOT_START = 2, /* it was not started in time, and so never */
    MAY_BE_GONE = 4,   /* its one provider */
    MAY_BE_HELD = 8,   /* it has failed, and its agent's tasks fail too often to be tried again */
    MAY_SHARE = 16,    /* it has another one's result, and is not run */
};

struct open_task {
    apiary_task_t task;
    apiary_delegate_options_t options;
    const char *capability;
    struct stormy body;
    uint64_t index;
    int calm, open, kept, may;
};

/* Services for which clients call, by their life: rules of the storm's configuration name them. */
static const char *const callers[4] = {NULL, "shop", "bank", "thief"};

/* The next of a row of random numbers that begins with the task's. */
static unsigned draw(uint64_t *from, unsigned n)
{
    uint64_t z = *from += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ z >> 31) >> 33) % n;
}

/* Most bodies lie in the slot; some in the pool, in two classes. */
static size_t size_of(uint64_t index)
{
    return index % 64 == 5 ? BODY_MAX : index % 8 == 3 ? 2000 : 64;
}

static void fill_body(const struct open_task *t, uint8_t *body)
{
    size_t size = size_of(t->index);

    for (size_t i = sizeof t->body; i < size; i++) body[i] = (uint8_t)(t->index + i);
    memcpy(body, &t->body, sizeof t->body);
}

/* What any task may have. */
static void mix_any(struct open_task *t, uint64_t *from)
{
    apiary_delegate_options_t *o = &t->options;

    if (draw(from, 6) == 0) o->key = t->index + 1;
    if (draw(from, 6) == 0) o->hops = 3;
    if (draw(from, 6) == 0) o->trace = (apiary_trace_t){.trace_id = {1}, .parent_id = {1}, .flags = 1};
    if (draw(from, 6) == 0) o->flags |= APIARY_WAIT_FOR_PROVIDER;
    if (draw(from, 6) == 0) o->schedule_to_start = HOUR;
    if (draw(from, 6) == 0) o->start_to_close = HOUR;
    if (draw(from, 6) == 0) o->heartbeat = HOUR;
    if (!t->calm && draw(from, 3) == 0) o->priority = APIARY_PRIORITY_URGENT + draw(from, 4);
    if (draw(from, 6) == 0) t->body.ask |= STORMY_BEATS;
    if (draw(from, 3) == 0) t->body.ask |= STORMY_PARTS; /* whether its caller asks for them or not */
    switch (draw(from, 6)) {
    case 0: o->flags |= APIARY_DETACH; o->keep = HOUR; break;
    case 1: o->flags |= APIARY_PARTS; break;
    default: break;
    }
    if (draw(from, 6) == 0) {
        o->retry = (apiary_retry_t){.max_attempts = 3, .backoff = 1};
        if (draw(from, 2) == 0) t->body.ask |= STORMY_FAILS;
        if ((t->body.ask & STORMY_FAILS) != 0) t->may |= MAY_BE_HELD;
    }
}

/* It takes longer than it may. A result that is kept has to come from its agent: nobody waits for it. */
static void mix_lingering(struct open_task *t, uint64_t *from)
{
    unsigned bound = draw(from, t->options.keep != 0 ? 2 : 3);

    t->body.ask |= STORMY_LINGERS;
    t->may |= MAY_STOP;
    if (bound == 0) t->options.start_to_close = SHORT;
    if (bound == 1) t->options.heartbeat = SHORT;
    if (bound == 2) t->options.timeout = 4 * SHORT;
}

/* One of its providers: 0 where there is none. */
static uint64_t mix_provider(apiary_t *a, const struct open_task *t, uint64_t *from)
{
    apiary_provider_t rows[4] = {{.struct_size = sizeof rows[0]}};
    int n = apiary_discover(a, t->capability, rows, 4);

    return n > 0 && n <= 4 ? rows[draw(from, (unsigned)n)].provider : 0;
}

/* What would spoil the order of the calm ones, or be their failure, only "work" has. */
static void mix_work(apiary_t *a, struct open_task *t, uint64_t *from)
{
    apiary_delegate_options_t *o = &t->options;

    if (draw(from, 6) == 0) o->delay = draw(from, 5000000) + 1;
    if (draw(from, 12) == 0) o->due_at = ap_ops_system.now() + draw(from, 5000000);
    if (draw(from, 8) == 0) o->parent_close = APIARY_PARENT_TERMINATE + draw(from, 3);
    if (draw(from, 4) == 0) {
        t->body.child = CHILDREN + t->index;
        t->body.parent_close = draw(from, 4);
    }
    if (draw(from, 8) == 0) mix_lingering(t, from);
    if (strcmp(t->capability, "work_echo") != 0) return;
    /* If it goes and nobody awaits the task, this waits until its time is over. */
    if (draw(from, 6) == 0 && o->keep == 0 && (o->provider = mix_provider(a, t, from)) != 0) {
        o->timeout = o->timeout < 20 * SHORT ? o->timeout : 20 * SHORT;
        t->may |= MAY_BE_GONE | MAY_STOP;
    }
    if (draw(from, 2) == 0 && (o->flags & (APIARY_DETACH | APIARY_PARTS)) == 0 && o->retry.max_attempts == 0 && o->provider == 0) {
        o->hedge = draw(from, 3) == 0 ? APIARY_HEDGE_P95 : draw(from, 3000000) + 2;
        t->body.ask |= STORMY_HEDGED;
    } else if (draw(from, 6) == 0) {
        o->schedule_to_start = SHORT;
        t->may |= MAY_NOT_START;
    }
}

/* Almost always the same one, so that several tasks of it are in flight. */
static uint64_t shared_key(uint64_t index)
{
    return 1 + (index % 8 == 0);
}

/* Half of the tasks say nothing. */
static void mix(apiary_t *a, struct open_task *t, const char *caller, uint64_t turn)
{
    uint64_t from = t->index ^ shared->mix << 32;
    unsigned which = draw(&from, 8);

    t->options = (apiary_delegate_options_t){.struct_size = sizeof t->options, .timeout = HOUR};
    t->may = 0;
    /* One in a window is work, and it takes longer than all the others: a kill finds most queens at it. */
    t->calm = turn % WINDOW != 0;
    t->capability = t->calm ? "calm_echo" : "work_echo";
    if (!t->calm && (which == 0 || (caller != NULL && strcmp(caller, "thief") == 0))) t->capability = "frail_echo";
    else if (!t->calm && which < 3 && caller != NULL) t->capability = "narrow_echo";
    /* Another capability may stand in for it, whose order it is none of. */
    if (strcmp(t->capability, "frail_echo") == 0) t->body.life = UINT32_MAX;
    if (strcmp(t->capability, "frail_echo") == 0 && draw(&from, 2) == 0) t->options.flags |= APIARY_NO_FALLBACK;
    if (draw(&from, 2) == 0) {
        mix_any(t, &from);
        if (!t->calm) mix_work(a, t, &from);
    }
    if (strcmp(t->capability, "work_echo") == 0 && draw(&from, 2) == 0) {
        t->options = (apiary_delegate_options_t){.struct_size = sizeof t->options, .timeout = HOUR,
                                                 .dedup_key = shared_key(t->index)};
        t->body = (struct stormy){.index = t->index, .life = UINT32_MAX};
        t->may = MAY_SHARE;
    }
    t->kept = t->options.keep != 0;
}

/* Whether it has ended as it was asked to. */
static int as_asked(const struct open_task *t, int code, const apiary_result_t *result)
{
    if ((t->may & MAY_STOP) != 0 && (code == APIARY_EOVERRUN || code == APIARY_ETIMEDOUT)) return ENDED;
    /* Dead clients' results have what may be kept. */
    if (t->kept && code == APIARY_ENOTKEPT && size_of(t->index) > AP_INLINE_BODY) {
        if (ap_load_relaxed(&executed[t->index]) == 0) ap_add_relaxed(&shared->wrong, 1);
        return ENDED;
    }
    /* Its agent may see that its time is over before its client does. */
    if ((t->may & MAY_STOP) != 0 && code == APIARY_EAGENT && result->agent_code == STORMY_STOPPED) return ENDED;
    if ((t->may & MAY_NOT_START) != 0 && code == APIARY_ETIMEDOUT) return UNSTARTED;
    if ((t->may & MAY_BE_GONE) != 0 && code == APIARY_ENOPROVIDER) return ENDED;
    if ((t->may & MAY_BE_HELD) != 0 && code == APIARY_EAGENT && result->agent_code == STORMY_CODE &&
        result->untried == APIARY_UNTRIED_BUDGET)
        return ENDED;
    return 0;
}

#endif
