/* tests/crash/instances.c - changes of registered instances: what the log tells, from a watch's begin on, is each change, one
 * after the other, and in the end what there is. */
#include "sweep.h"

#include "registry/discovery/changes.h"

#define LONG(n) ((unsigned long long)(n))
#define RECORDS_MOST 64u

/* What a watcher knows: from where on it reads, and what each record was; 0: nothing. */
static uint64_t log_from, log_was[RECORDS_MOST], log_live[RECORDS_MOST], log_mode, log_share;

static void image_log(void)
{
    log_from = ap_instance_changes_head(survivor.seg);
    for (uint32_t i = 0; i < survivor.seg->sections[AP_SECTION_SWARMS].count && i < RECORDS_MOST; i++)
        if (!ap_instance_now(survivor.seg, i, &log_was[i])) log_was[i] = 0;
    log_mode = ap_load_relaxed(&ap_swarm_at(survivor.seg, 0)->mode);
    log_share = ap_load_relaxed(&ap_swarm_at(survivor.seg, 0)->share);
}

/* Who was registered when the actor was killed. */
static void before_log(bool over)
{
    (void)over;
    for (uint32_t i = 0; i < survivor.seg->sections[AP_SECTION_SWARMS].count && i < RECORDS_MOST; i++)
        if (!ap_instance_now(survivor.seg, i, &log_live[i]) || AP_TOLD_STATE(log_live[i]) != AP_INSTANCE_LIVE) log_live[i] = 0;
}

static bool log_is_live(uint64_t word, uint64_t live)
{
    return AP_TOLD_STATE(word) == AP_INSTANCE_LIVE && AP_TOLD_EPOCH(word) == AP_TOLD_EPOCH(live);
}

/* Each of them was told as registered. */
static void log_registered(void)
{
    for (uint32_t i = 0; i < RECORDS_MOST; i++) {
        bool known = log_live[i] == 0 || log_is_live(log_was[i], log_live[i]);
        uint64_t word;

        for (uint64_t number = log_from; !known && number < ap_instance_changes(survivor.seg); number++)
            known = ap_instance_change_read(survivor.seg, number, &word) == 0 && AP_TOLD_SWARM(word) == i &&
                    log_is_live(word, log_live[i]);
        if (!known) fail("record %u: a registration was not told", i);
    }
}

/* Of the first record, whose service has operators. */
struct log_counts {
    uint32_t modes, weights;
};

static void log_step(uint64_t was, uint64_t word, struct log_counts *c)
{
    uint32_t swarm = AP_TOLD_SWARM(word);

    if (AP_TOLD_STATE(was) == AP_INSTANCE_LIVE && AP_TOLD_EPOCH(was) != AP_TOLD_EPOCH(word))
        fail("record %u: a registration has no end", swarm);
    if (swarm != 0) return;
    c->modes += AP_TOLD_MODE(was) != AP_TOLD_MODE(word);
    c->weights += AP_TOLD_WEIGHT(was) != AP_TOLD_WEIGHT(word);
}

/* Each of the operators' changes was told, and what was told last is what there is. */
static void log_judged(void)
{
    const struct ap_swarm *s = ap_swarm_at(survivor.seg, 0);
    uint32_t modes = (AP_MODE_CHANGE(ap_load_relaxed(&s->mode)) - AP_MODE_CHANGE(log_mode)) & 0xffff;
    uint32_t weights = (AP_SHARE_CHANGE(ap_load_relaxed(&s->share)) - AP_SHARE_CHANGE(log_share)) & 0x7f;
    uint64_t known[RECORDS_MOST], head = ap_instance_changes(survivor.seg), word;
    struct log_counts c = {0, 0};

    memcpy(known, log_was, sizeof known);
    for (uint64_t number = log_from; number < head; number++) {
        int r = ap_instance_change_read(survivor.seg, number, &word);

        if (r < 0 || AP_TOLD_SWARM(word) >= RECORDS_MOST) fail("entry %llu: %d", LONG(number - log_from), r);
        log_step(known[AP_TOLD_SWARM(word)], word, &c);
        known[AP_TOLD_SWARM(word)] = word;
    }
    for (uint32_t i = 0; i < survivor.seg->sections[AP_SECTION_SWARMS].count && i < RECORDS_MOST; i++)
        if (ap_instance_now(survivor.seg, i, &word) && AP_TOLD_SAYS(word) != AP_TOLD_SAYS(known[i]))
            fail("record %u is %llx, and the log ends with %llx", i, LONG(AP_TOLD_SAYS(word)), LONG(AP_TOLD_SAYS(known[i])));
    log_registered();
    if (c.modes != modes) fail("%u changes of the mode were told, and %u made", c.modes, modes);
    if (c.weights != weights) fail("%u changes of the weight were told, and %u made", c.weights, weights);
}

static void after_log(bool over)
{
    (void)over;
    log_judged();
}

/* How many changes of its weight were told while it was LIVE; the last one in `ret`. */
static uint32_t log_weights(uint32_t swarm, uint32_t *ret)
{
    uint64_t was = 0, word;
    uint32_t n = 0;

    for (uint64_t number = log_from; number < ap_instance_changes(survivor.seg); number++) {
        if (ap_instance_change_read(survivor.seg, number, &word) < 0 || AP_TOLD_SWARM(word) != swarm) continue;
        if (AP_TOLD_STATE(word) == AP_INSTANCE_LIVE) {
            n += was != 0 && AP_TOLD_WEIGHT(was) != AP_TOLD_WEIGHT(word);
            *ret = AP_TOLD_WEIGHT(word);
        }
        was = word;
    }
    return n;
}

/* Its weight was told as it was before it ended; and both changes, once they are made. */
static void after_adjusted(bool over)
{
    uint32_t swarm = adjusted_record(), told = 0, n = log_weights(swarm, &told);

    log_judged();
    if (told != ap_swarm_weight(ap_swarm_at(survivor.seg, swarm))) fail("a weight of %u was told last", told);
    if (n > 2 || (over && n != 2)) fail("%u changes of the weight were told%s", n, over ? ", at the end" : "");
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static void mode_by(const struct side *s, enum apiary_mode mode)
{
    if (ap_swarm_mode_set(s->seg, 0, "server", "0", mode, NULL) != 1) _exit(17);
}

static void weight_by(const struct side *s, int weight)
{
    if (ap_swarm_weight_set(s->seg, 0, "server", "0", weight) != 1) _exit(17);
}

static void run_modes_told(void)
{
    mode_by(&actor, APIARY_MAINT);
    mode_by(&actor, APIARY_PAUSE);
}

/* What the actor has set is told by whoever sets the next one. The worker of the survivor is to work on. */
static void before_modes_told(bool over)
{
    before_log(over);
    ap_swarm_mode_set(survivor.seg, 0, "server", "0", APIARY_READY, NULL);
}

static void run_weights_told(void)
{
    weight_by(&actor, 200);
    weight_by(&actor, -1);
    weight_by(&actor, 300);
}

static void run_register_told(void)
{
    struct ap_swarm_registration r = {.service = "victim", .version = "7", .tags = "eu", .lane = actor.lane.index,
                                      .member = actor.api->member};

    if (ap_swarm_register(actor.seg, &r) != 0) _exit(17);
    ap_swarm_withdraw(actor.seg, &r);
    ap_swarm_deregister(actor.seg, r.lane, &r);
    if (ap_swarm_register(actor.seg, &r) != 0) _exit(17);
}

static void run_tell_all(void)
{
    ap_instances_tell(actor.seg);
}

/* Somebody has changed it and stands still; of the others nothing was told for long. */
static void image_untold(void)
{
    struct ap_swarm *s = ap_swarm_at(survivor.seg, 0);

    image_log();
    for (uint32_t i = 1; i < survivor.seg->sections[AP_SECTION_SWARMS].count; i++) {
        struct ap_swarm *other = ap_swarm_at(survivor.seg, i);
        uint64_t told = ap_load_relaxed(&other->told), number = AP_TOLD_NUMBER(told) - AP_TOLD_NUMBERS / 8 * 3;

        if (told == 0) continue;
        told &= ~AP_TOLD_WORD(AP_TOLD_NUMBERS, 0, 0, 0, 0, 0, 0);
        ap_store_relaxed(&other->told, told | AP_TOLD_WORD(number, 0, 0, 0, 0, 0, 0));
    }
    ap_store_relaxed(&s->share, AP_SHARE_WORD(s->key, AP_SHARE_CHANGE(s->share) + 1, 1, 150));
}

static void image_dead_queen_told(void)
{
    image_log();
    image_dead_queen();
}

static void run_instance_watch(void)
{
    apiary_instance_change_t c = {.struct_size = sizeof c};
    apiary_instance_t instance = {.struct_size = sizeof instance};
    apiary_instance_watch_t *w;

    if (apiary_instance_watch(actor.api, NULL, 0, &w) != 0) _exit(17);
    do {
        if (apiary_instance_next(w, 0, &c, &instance) != 1) _exit(17);
    } while (c.event != APIARY_INSTANCE_SYNCED);
    if (apiary_instance_next(w, 1, &c, &instance) != 0) _exit(17); /* it parks */
    apiary_instance_unwatch(w);
}

static void other_weighs(void)
{
    weight_by(&survivor, 50);
}

static void other_sets_mode(void)
{
    mode_by(&survivor, APIARY_DRAIN);
}

static void other_weighs_adjusted(void)
{
    if (ap_swarm_weight_set(survivor.seg, adjusted_record(), "victim", "0", 50) != 1) fail("the operator's weight is not set");
}

static void other_tells(void)
{
    ap_instances_tell(survivor.seg);
}

#define OF .registry = true, .image = image_log, .after = after_log
#define TOLD OF, .before = before_log
const struct operation kills_instances[] = {
    {.name = "instance_modes", OF, .run = run_modes_told, .before = before_modes_told},
    {.name = "instance_weights", TOLD, .run = run_weights_told},
    {.name = "instance_register", TOLD, .run = run_register_told},
    {.name = "instance_tell", .registry = true, .image = image_untold, .run = run_tell_all, .after = after_log},
    {.name = "instance_watch", OF, .run = run_instance_watch},
    {.name = "instance_ended", .registry = true, .image = image_dead_queen_told, .prepare = prepare_reap, .run = run_reap_dead,
     .after = after_log},
    {.name = "instance_adjust", .registry = true, .image = image_log, .prepare = prepare_adjust, .run = run_adjust,
     .before = before_adjust, .after = after_adjusted},
    {.name = NULL},
};
const struct operation pairs_instances[] = {
    {.name = "instance_weights|weight", OF, .run = run_weights_told, .other = other_weighs},
    {.name = "instance_weights|mode", OF, .run = run_weights_told, .other = other_sets_mode, .before = before_modes_told},
    {.name = "instance_modes|mode", OF, .run = run_modes_told, .other = other_sets_mode, .before = before_modes_told},
    {.name = "instance_modes|weight", OF, .run = run_modes_told, .other = other_weighs, .before = before_modes_told},
    {.name = "instance_weights|tell", OF, .run = run_weights_told, .other = other_tells},
    {.name = "instance_register|tell", TOLD, .run = run_register_told, .other = other_tells},
    {.name = "instance_register|weight", TOLD, .run = run_register_told, .other = other_weighs},
    {.name = "instance_adjust|weight", OF, .prepare = prepare_adjust, .run = run_adjust, .other = other_weighs_adjusted},
    {.name = "instance_adjust|tell", .registry = true, .image = image_log, .prepare = prepare_adjust, .run = run_adjust,
     .other = other_tells, .after = after_adjusted},
    {.name = NULL},
};
