/* tests/crash/watch.c - changes of the memory that somebody watches: what the log tells, from the watch's begin on, is what there
 * is. */
#include "sweep.h"

#include "registry/memory/watch.h"

#define LONG(n) ((unsigned long long)(n))
#define ROWS_ALL 64u

static struct ap_memory_name watched_space;
static struct ap_memory_key watched_key, watched_second; /* of one bucket */

/* What the watcher knows: from where on it reads, and the versions of both keys, 0: absent. */
static uint64_t known_from, known_version, known_second;
static uint64_t actor_version, other_version; /* that they have written; 0: not known */

static void watched_named(const char *text, struct ap_memory_key *ret)
{
    if (ap_memory_name("space", false, &watched_space) < 0 || ap_memory_key(&watched_space, text, ret) < 0) exit(2);
}

static uint64_t version_of_key(const struct ap_memory_key *key)
{
    struct ap_memory_read read;
    int r = ap_memory_read(survivor.seg, key, NULL, 0, &read);

    if (r != 0 && r != APIARY_ENOKEY) fail("a get: %d", r);
    return r == 0 ? read.version : 0;
}

static uint64_t put_by(struct side *s, const struct ap_memory_key *key, uint64_t until)
{
    const struct ap_memory_writer w = {.seg = s->seg, .lane = &s->lane, .hint = &s->hint};
    struct ap_memory_change c = {.how = AP_MEMORY_PUT, .value = "value", .size = 5, .until = until};

    s->result = ap_memory_change(&w, key, &c);
    return s->result == 0 ? c.version : 0;
}

static void delete_by(struct side *s)
{
    const struct ap_memory_writer w = {.seg = s->seg, .lane = &s->lane, .hint = &s->hint};
    struct ap_memory_change c = {.how = AP_MEMORY_DELETE};

    s->result = ap_memory_change(&w, &watched_key, &c);
}

/* ---- the watch -------------------------------------------------------------------------------------------------- */

/* As apiary_memory_watch. */
static void other_watch(void)
{
    if (!ap_memory_watching(survivor.seg, &survivor.lane, 1)) fail("it cannot watch");
    ap_memory_watch_raise(survivor.seg, survivor.lane.index);
    known_from = ap_memory_changes(survivor.seg);
    known_version = version_of_key(&watched_key);
    known_second = version_of_key(&watched_second);
}

static bool told_put(uint64_t *known, uint64_t version)
{
    if (version <= *known) return false;
    *known = version;
    return true;
}

/* What the log tells is what there is, and what somebody has written that is known was told. */
static void watch_judged(void)
{
    uint64_t version = known_version, second = known_second, head = ap_memory_changes(survivor.seg);
    bool actors = actor_version <= known_version, others = other_version <= known_version;
    struct ap_memory_changed c;
    bool taken;

    for (uint64_t number = known_from; number < head; number++) {
        int r = ap_memory_change_read(survivor.seg, number, &taken, &c);
        uint64_t *known = r == 1 && strcmp(c.key, "a") == 0 ? &version : &second;

        if (r < 0) fail("change %llu: %d", LONG(number), r);
        if (r != 1) continue;
        if (c.kind != AP_CHANGE_PUT) {
            if (*known != 0 && c.version >= *known) *known = 0;
            continue;
        }
        if (!told_put(known, c.version)) continue;
        if (c.version == actor_version) actors = true;
        if (c.version == other_version) others = true;
    }
    if (version != version_of_key(&watched_key))
        fail("the log ends with version %llu, and %llu is there", LONG(version), LONG(version_of_key(&watched_key)));
    if (second != version_of_key(&watched_second)) fail("the log ends with another version of the second key");
    if (!actors) fail("what the actor has written was not told, or after a later change");
    if (!others) fail("what the second writer has written was not told, or after a later change");
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static void watched_keys(void)
{
    char text[] = "b0";

    watched_named("a", &watched_key);
    do {
        text[1]++;
        watched_named(text, &watched_second);
    } while (ap_bucket_of(survivor.seg, watched_key.hash) != ap_bucket_of(survivor.seg, watched_second.hash));
    actor_version = other_version = 0;
    if (put_by(&survivor, &watched_second, APIARY_FOREVER) == 0) exit(2);
}

static void image_watched(void)
{
    watched_keys();
    other_watch();
}

static void image_unwatched_there(void)
{
    watched_keys();
    if (put_by(&survivor, &watched_key, APIARY_FOREVER) == 0) exit(2);
}

static void image_watched_there(void)
{
    image_unwatched_there();
    other_watch();
}

static void image_watched_over(void)
{
    watched_keys();
    if (put_by(&survivor, &watched_key, 1) == 0) exit(2);
    ap_memory_watch_raise(survivor.seg, survivor.lane.index);
    known_from = ap_memory_changes(survivor.seg);
    known_second = version_of_key(&watched_second);
    known_version = 0;
}

static void run_put_told(void)
{
    uint64_t version = put_by(&actor, &watched_key, APIARY_FOREVER);

    actor_version = version;
}

static void run_delete_told(void)
{
    delete_by(&actor);
}

static void run_touch_told(void)
{
    const struct ap_memory_writer w = {.seg = actor.seg, .lane = &actor.lane, .hint = &actor.hint};
    struct ap_memory_change c = {.how = AP_MEMORY_TOUCH, .until = APIARY_FOREVER - 1};

    actor.result = ap_memory_change(&w, &watched_key, &c);
}

static void run_expire_told(void)
{
    uint32_t row = 0;

    ap_memory_expire(actor.seg, actor.lane.index, actor.seg->ops->now(), &row, ROWS_ALL);
}

static void run_watch(void)
{
    actor.result = ap_memory_watching(actor.seg, &actor.lane, 1);
    ap_memory_watch_raise(actor.seg, actor.lane.index);
    actor.result = ap_memory_watching(actor.seg, &actor.lane, -1);
}

/* Of a monitor that has entered nothing yet. */
static struct ap_memory_told *sweeper_told(void)
{
    static struct ap_memory_told told[256];

    if (survivor.seg->geometry.lanes > 256) exit(2);
    memset(told, 0, sizeof told);
    return told;
}

static void image_lingering(void)
{
    image_watched();
    ap_memory_watching(survivor.seg, &survivor.lane, -1);
    ap_memory_watch_tidy(survivor.seg, survivor.lane.index, 1, sweeper_told());
}

static void run_watch_tidy(void)
{
    ap_memory_watch_tidy(actor.seg, actor.lane.index, 1 + AP_MEMORY_LINGER, sweeper_told());
}

/* The actor died in the midst of entering what it had put. */
static void dead_telling(void)
{
    struct ap_draft *d = ap_draft_at(actor.seg, actor.lane.index);
    const struct ap_bucket *b = ap_bucket_of(actor.seg, watched_key.hash);
    uint64_t number;

    put_by(&actor, &watched_key, APIARY_FOREVER);
    number = ap_memory_changes(actor.seg) - 1;
    for (uint32_t i = 0; i < AP_MEMORY_PLACES; i++)
        if (AP_PLACE_MARKED(b->place[i], watched_key.hash)) ap_store_relaxed(&d->fresh, b->place[i]);
    ap_store_relaxed(&d->telling, number + 1);
    ap_store_relaxed(&ap_change_row_at(actor.seg, number % actor.seg->sections[AP_SECTION_CHANGES].count)->word,
                     AP_CHANGE_WORD(number, actor.lane.index, AP_CHANGE_FILLING));
}

static void image_dead_telling(void)
{
    image_watched();
    die_having(dead_telling);
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

static void after_told(bool over)
{
    if (!over) actor_version = 0;
    watch_judged();
}

/* Nobody reads what comes before a watch: it only has to be sound. */
static void after_watch(bool over)
{
    (void)over;
    other_watch();
    if (put_by(&survivor, &watched_key, APIARY_FOREVER) == 0) fail("afterwards: no put");
    other_version = version_of_key(&watched_key);
    actor_version = 0;
    watch_judged();
    other_version = 0;
}

static void after_tidied(bool over)
{
    if (over && AP_MEMORY_WATCHED(ap_load_relaxed(&ap_draft_at(survivor.seg, 0)->watched))) fail("it is watched, by nobody");
    after_watch(over);
}

/* ---- two at once ------------------------------------------------------------------------------------------------ */

static void other_put_told(void)
{
    other_version = put_by(&survivor, &watched_key, APIARY_FOREVER);
    if (other_version == 0) fail("the second writer cannot put");
}

static void other_delete_told(void)
{
    delete_by(&survivor);
}

static void other_put_second_told(void)
{
    if (put_by(&survivor, &watched_second, APIARY_FOREVER) == 0) fail("the second writer cannot put another key");
}

static void other_watch_begins(void)
{
    other_watch();
    other_version = 0;
}

static void other_watches_on(void)
{
    if (!ap_memory_watching(survivor.seg, &survivor.lane, 1)) fail("it cannot watch");
    ap_memory_watch_raise(survivor.seg, survivor.lane.index);
}

/* As the monitor does while a writer stands still: the log is whole then, unless that has a row of it. */
static void other_sweeps(void)
{
    struct ap_memory_changed c;
    bool taken, late = false;

    actor_version = 0; /* it stands still, and does not know its own */
    ap_memory_watch_tidy(survivor.seg, survivor.lane.index, 1, sweeper_told());
    for (uint64_t number = known_from; number < ap_memory_changes(survivor.seg); number++)
        late = late || ap_memory_change_read(survivor.seg, number, &taken, &c) == APIARY_ENOTREADY;
    if (!late) watch_judged();
}

/* The tidier may have been first: then the watch began another era. */
static void after_watched_on(bool over)
{
    (void)over;
    if (!AP_MEMORY_WATCHED(ap_load_relaxed(&ap_draft_at(survivor.seg, 0)->watched))) fail("somebody watches, and nothing is told");
    after_watch(over);
}

#define BOTH .registry = true
const struct operation kills_watch[] = {
    {.name = "memory_put_told", BOTH, .image = image_watched, .run = run_put_told, .after = after_told},
    {.name = "memory_put_over_told", BOTH, .image = image_watched_there, .run = run_put_told, .after = after_told},
    {.name = "memory_delete_told", BOTH, .image = image_watched_there, .run = run_delete_told, .after = after_told},
    {.name = "memory_touch_told", BOTH, .image = image_watched_there, .run = run_touch_told, .after = after_told},
    {.name = "memory_expire_told", BOTH, .image = image_watched_over, .run = run_expire_told, .after = after_told},
    {.name = "memory_watch", BOTH, .image = watched_keys, .run = run_watch, .after = after_watch},
    {.name = "memory_watch_tidy", BOTH, .image = image_lingering, .run = run_watch_tidy, .after = after_tidied},
    {.name = "reap_memory_telling", BOTH, .image = image_dead_telling, .prepare = prepare_reap, .run = run_reap_dead,
     .after = after_told},
    {.name = NULL},
};
const struct operation pairs_watch[] = {
    {.name = "memory_put_told|put", BOTH, .image = image_watched_there, .run = run_put_told, .other = other_put_told,
     .after = after_told},
    {.name = "memory_put_new_told|put", BOTH, .image = image_watched, .run = run_put_told, .other = other_put_told,
     .after = after_told},
    {.name = "memory_put_told|delete", BOTH, .image = image_watched_there, .run = run_put_told, .other = other_delete_told,
     .after = after_told},
    {.name = "memory_delete_told|put", BOTH, .image = image_watched_there, .run = run_delete_told, .other = other_put_told,
     .after = after_told},
    {.name = "memory_put_told|put_second", BOTH, .image = image_watched, .run = run_put_told, .other = other_put_second_told,
     .after = after_told},
    {.name = "memory_put_told|watch", BOTH, .image = image_unwatched_there, .run = run_put_told, .other = other_watch_begins,
     .after = after_told},
    {.name = "memory_delete_told|watch", BOTH, .image = image_unwatched_there, .run = run_delete_told,
     .other = other_watch_begins, .after = after_told},
    {.name = "memory_put_told|sweep", BOTH, .image = image_watched_there, .run = run_put_told, .other = other_sweeps,
     .after = after_told},
    {.name = "memory_put_new_told|sweep", BOTH, .image = image_watched, .run = run_put_told, .other = other_sweeps,
     .after = after_told},
    {.name = "memory_delete_told|sweep", BOTH, .image = image_watched_there, .run = run_delete_told, .other = other_sweeps,
     .after = after_told},
    {.name = "memory_watch_tidy|watch", BOTH, .image = image_lingering, .run = run_watch_tidy, .other = other_watches_on,
     .after = after_watched_on},
    {.name = NULL},
};
