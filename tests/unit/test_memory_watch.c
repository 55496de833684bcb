/* Watches of the memory (registry/memory/watch.h): that each change is told, in the order of its key, and none twice; what is told
 * to who is behind; and that nobody pays for it while nobody watches. */
#include "tests/unit/memory_fixture.h"

#include "shm/bell.h"

TestSuite(memory_watch, .init = memory_setup, .fini = memory_teardown, .timeout = TEST_LIMIT);

static apiary_memory_change_t told;

static apiary_memory_watch_t *watch(const char *prefix, uint64_t revision)
{
    apiary_memory_watch_t *w = NULL;

    cr_assert_eq(apiary_memory_watch(m, prefix, revision, &w), 0);
    return w;
}

/* The next one, without waiting; 0: there is none. */
static uint64_t next(apiary_memory_watch_t *w)
{
    int r;

    told = (apiary_memory_change_t){.struct_size = sizeof told};
    r = apiary_memory_next_change(w, 0, &told);
    cr_assert_geq(r, 0, "%d", r);
    return r == 1 ? told.event : 0;
}

#define NEXT(w, wanted, text)                                   \
    do {                                                        \
        cr_assert_eq(next(w), (uint64_t)(wanted), "not %s", text); \
        cr_expect_str_eq(told.key, text);                       \
    } while (0)
#define NOTHING(w) cr_assert_eq(next(w), 0, "%s", told.key)

/* The present set to its end: how many keys. */
static uint32_t synced(apiary_memory_watch_t *w)
{
    uint32_t n = 0;

    while (next(w) == APIARY_MEMORY_PRESENT) n++;
    cr_assert_eq(told.event, APIARY_MEMORY_SYNCED);
    cr_assert_gt(told.revision, 0);
    return n;
}

static void expire_all(void)
{
    uint32_t row = 0;

    ap_memory_expire(client->seg, client->anchor->lane.index, client->seg->ops->now(), &row, ROWS);
}

/* ---- what is told ------------------------------------------------------------------------------------------------ */

Test(memory_watch, set_and_changes)
{
    apiary_memory_watch_t *w;
    apiary_memory_t *other;
    uint64_t version, revision;

    cr_assert_eq(put("a1", "one"), 0);
    cr_assert_eq(put("b1", "no"), 0);
    cr_expect_eq(ap_memory_changes(client->seg), 0, "nobody watches, and nothing is entered");
    cr_assert_eq(apiary_memory_open(client, "other", 0, &other), 0);
    w = watch("a", 0);
    NEXT(w, APIARY_MEMORY_PRESENT, "a1");
    cr_expect_eq(told.size, 3);
    cr_expect_eq(told.revision, 0);
    NEXT(w, APIARY_MEMORY_SYNCED, "");
    revision = told.revision;
    NOTHING(w);
    cr_assert_eq(apiary_memory_put(m, "a1", "four", 4, 0, &version), 0);
    cr_assert_eq(put("b1", "no"), 0);
    cr_assert_eq(apiary_memory_put(other, "a1", "no", 2, 0, NULL), 0);
    NEXT(w, APIARY_MEMORY_PUT, "a1");
    cr_expect_eq(told.version, version);
    cr_expect_eq(told.size, 4);
    cr_expect_gt(told.revision, revision);
    NOTHING(w);
    cr_assert_eq(apiary_memory_touch(m, "a1", SECOND), 0);
    NOTHING(w);
    cr_assert_eq(apiary_memory_incr(m, "a2", 5, NULL), 0);
    NEXT(w, APIARY_MEMORY_PUT, "a2");
    cr_assert_eq(apiary_memory_delete(m, "a2"), 0);
    version = told.version;
    NEXT(w, APIARY_MEMORY_DELETED, "a2");
    cr_expect_eq(told.version, version);
    cr_expect_eq(told.size, 0);
    ap_store_relaxed(&ahead, 2 * SECOND);
    NOTHING(w);
    expire_all();
    NEXT(w, APIARY_MEMORY_EXPIRED, "a1");
    NOTHING(w);
    cr_assert_eq(put("a1", "again"), 0);
    NEXT(w, APIARY_MEMORY_PUT, "a1");
    apiary_memory_unwatch(w);
    apiary_memory_unwatch(NULL);
    apiary_memory_close(other);
}

Test(memory_watch, refusals)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .read_only = 1};
    apiary_memory_watch_t *w = NULL;
    apiary_memory_t *observer;
    apiary_t *b;
    char longer[APIARY_MEMORY_KEY_MAX + 2];

    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    cr_expect_eq(apiary_memory_watch(NULL, "", 0, &w), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_watch(m, NULL, 0, &w), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_watch(m, "", 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_watch(m, longer, 0, &w), APIARY_EINVAL);
    cr_assert_eq(apiary_attach(seg_name, &o, &b), 0);
    cr_assert_eq(apiary_memory_open(b, "space", 0, &observer), 0);
    cr_expect_eq(apiary_memory_watch(observer, "", 0, &w), APIARY_EREADONLY);
    apiary_memory_close(observer);
    apiary_detach(b);
    cr_expect_null(w);
    b = attach_as("another");
    cr_assert_eq(apiary_memory_open(b, "space", 0, &observer), 0);
    cr_assert_eq(apiary_memory_watch(observer, "", 0, &w), 0);
    apiary_memory_close(observer);
    cr_expect_eq(apiary_memory_next_change(w, 0, NULL), APIARY_EINVAL);
    told = (apiary_memory_change_t){.struct_size = 8};
    cr_expect_eq(apiary_memory_next_change(w, 0, &told), APIARY_EINVAL);
    cr_expect_eq(apiary_memory_next_change(NULL, 0, &told), APIARY_EINVAL);
    cr_expect_eq(synced(w), 0, "its memory's handle is closed");
    apiary_detach(b);
    told = (apiary_memory_change_t){.struct_size = sizeof told};
    cr_expect_eq(apiary_memory_next_change(w, 0, &told), APIARY_ESTALE);
    apiary_memory_unwatch(w);
}

/* ---- from a revision on, and behind ------------------------------------------------------------------------------ */

static struct ap_memory_told sweeper_told[256];

static void monitor_sweeps(void)
{
    cr_assert_leq(client->seg->geometry.lanes, 256);
    ap_memory_watch_tidy(client->seg, client->anchor->lane.index, client->seg->ops->now(), sweeper_told);
}

static void linger_over(void)
{
    monitor_sweeps();
    ap_store_relaxed(&ahead, ap_load_relaxed(&ahead) + AP_MEMORY_LINGER);
    monitor_sweeps();
}

Test(memory_watch, from_a_revision_on)
{
    apiary_memory_watch_t *w = watch("", 0);
    uint64_t began, revision;

    cr_assert_eq(put("k", "0"), 0);
    synced(w);
    began = told.revision;
    cr_assert_eq(put("k", "1"), 0);
    NEXT(w, APIARY_MEMORY_PUT, "k");
    revision = told.revision;
    cr_assert_eq(put("k", "2"), 0);
    apiary_memory_unwatch(w);
    monitor_sweeps();
    cr_assert_eq(put("l", "3"), 0);
    cr_assert_eq(apiary_memory_delete(m, "k"), 0);

    w = watch("", revision);
    NEXT(w, APIARY_MEMORY_PUT, "k");
    NEXT(w, APIARY_MEMORY_PUT, "l");
    NEXT(w, APIARY_MEMORY_DELETED, "k");
    revision = told.revision;
    NOTHING(w);
    apiary_memory_unwatch(w);
    w = watch("", began);
    NEXT(w, APIARY_MEMORY_PUT, "k");
    apiary_memory_unwatch(w);
    w = watch("", revision);
    NOTHING(w);
    cr_assert_eq(apiary_memory_delete(m, "l"), 0);
    NEXT(w, APIARY_MEMORY_DELETED, "l");
    apiary_memory_unwatch(w);

    w = watch("", revision + 100);
    NEXT(w, APIARY_MEMORY_BEHIND, "");
    cr_expect_eq(synced(w), 0);
    linger_over();
    cr_assert_eq(put("m", "4"), 0);
    NEXT(w, APIARY_MEMORY_PUT, "m");
    revision = told.revision;
    apiary_memory_unwatch(w);
    linger_over();
    cr_assert_eq(put("n", "5"), 0);
    cr_expect_eq(ap_memory_changes(client->seg), revision, "nobody watches any more");
    w = watch("", revision);
    NEXT(w, APIARY_MEMORY_BEHIND, "");
    cr_expect_eq(synced(w), 2, "what came while nobody watched is there");
    apiary_memory_unwatch(w);
}

Test(memory_watch, behind)
{
    apiary_memory_watch_t *w = watch("", 0);
    uint64_t revision;
    char name[16];

    synced(w);
    revision = told.revision;
    for (uint32_t i = 0; i < CHANGES; i++) {
        snprintf(name, sizeof name, "k%u", i);
        cr_assert_eq(put(name, name), 0);
    }
    for (uint32_t i = 0; i < CHANGES; i++) cr_assert_eq(next(w), APIARY_MEMORY_PUT, "as many as the log holds: %u", i);
    NOTHING(w);
    for (uint32_t i = 0; i <= CHANGES; i++) cr_assert_eq(put("k", "x"), 0);
    NEXT(w, APIARY_MEMORY_BEHIND, "");
    cr_expect_eq(synced(w), CHANGES + 1);
    NOTHING(w);
    cr_assert_eq(apiary_memory_delete(m, "k3"), 0);
    NEXT(w, APIARY_MEMORY_DELETED, "k3");
    apiary_memory_unwatch(w);
    w = watch("", revision);
    NEXT(w, APIARY_MEMORY_BEHIND, "");
    cr_expect_eq(synced(w), CHANGES);
    apiary_memory_unwatch(w);
}

/* The log begins with the row in which the next era began; what tells of the one before is overwritten. */
Test(memory_watch, the_entry_before_a_revision_is_overwritten)
{
    apiary_memory_watch_t *w = watch("", 0), *another;
    uint64_t revision;

    synced(w);
    cr_assert_eq(put("k", "told"), 0);
    NEXT(w, APIARY_MEMORY_PUT, "k");
    revision = told.revision;
    apiary_memory_unwatch(w);
    linger_over();
    cr_assert_eq(put("gap", "untold"), 0);
    another = watch("", 0);
    for (uint32_t i = 1; i < CHANGES; i++) cr_assert_eq(put("k", "x"), 0);
    cr_assert_eq(ap_memory_changes(client->seg), revision + CHANGES);
    w = watch("", revision);
    NEXT(w, APIARY_MEMORY_BEHIND, "");
    cr_expect_eq(synced(w), 2);
    apiary_memory_unwatch(w);
    w = watch("", revision + 1); /* behind the row of its era */
    NEXT(w, APIARY_MEMORY_PUT, "k");
    apiary_memory_unwatch(w);
    apiary_memory_unwatch(another);
}

/* A lane that stands still with a row of the log. */
Test(memory_watch, one_stands_still)
{
    apiary_memory_watch_t *w = watch("", 0);
    struct ap_draft *d = ap_draft_at(client->seg, 0);
    struct ap_change_row *row;
    uint64_t head;

    synced(w);
    head = d->head;
    row = ap_change_row_at(client->seg, head % CHANGES);
    row->word = AP_CHANGE_WORD(head, client->anchor->lane.index, AP_CHANGE_FILLING);
    cr_assert_eq(put("k", "x"), 0);
    cr_expect_eq(d->head, head + 2);
    NOTHING(w);
    ap_store_relaxed(&ahead, AP_MEMORY_STUCK / 2);
    NOTHING(w);
    ap_store_relaxed(&ahead, AP_MEMORY_STUCK * 2);
    NEXT(w, APIARY_MEMORY_BEHIND, "");
    NEXT(w, APIARY_MEMORY_PRESENT, "k");
    NEXT(w, APIARY_MEMORY_SYNCED, "");
    for (uint32_t i = 0; i < 2 * CHANGES; i++) {
        cr_assert_eq(put("k", "y"), 0);
        if (next(w) == APIARY_MEMORY_PUT) continue;
        ap_store_relaxed(&ahead, ap_load_relaxed(&ahead) + 2 * AP_MEMORY_STUCK); /* its row is passed over in each turn */
        while (next(w) != APIARY_MEMORY_SYNCED) {
        }
    }
    ap_draft_at(client->seg, client->anchor->lane.index)->telling = head + 1;
    ap_memory_tell_settle(client->seg, client->anchor->lane.index);
    cr_expect_eq(AP_CHANGE_STATE(row->word), AP_CHANGE_VOID);
    for (uint32_t i = 0; i < 2 * CHANGES; i++) {
        cr_assert_eq(put("k", "z"), 0);
        while (next(w) != APIARY_MEMORY_PUT) ap_store_relaxed(&ahead, ap_load_relaxed(&ahead) + 2 * AP_MEMORY_STUCK);
    }
    apiary_memory_unwatch(w);
}

/* ---- entered by others ------------------------------------------------------------------------------------------- */

static uint64_t place_at(const char *key)
{
    struct ap_memory_name space;
    struct ap_memory_key whole;
    const struct ap_bucket *b;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, key, &whole), 0);
    b = ap_bucket_of(client->seg, whole.hash);
    for (uint32_t i = 0; i < AP_MEMORY_PLACES; i++)
        if (AP_PLACE_MARKED(b->place[i], whole.hash)) return b->place[i];
    return 0;
}

static void *other_put_main(void *arg)
{
    cr_assert_eq(put(arg, "of another"), 0);
    return NULL;
}

static void other_put(const char *key)
{
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, other_put_main, (void *)(uintptr_t)key), 0);
    pthread_join(thread, NULL);
}

Test(memory_watch, twice_entered_once_told)
{
    apiary_memory_watch_t *w = watch("", 0);
    uint32_t lane = client->anchor->lane.index;
    struct ap_draft *d = ap_draft_at(client->seg, lane);
    uint64_t head, place;

    synced(w);
    cr_assert_eq(put("k", "x"), 0);
    place = place_at("k");
    ap_memory_tell_put(client->seg, lane, place);
    NEXT(w, APIARY_MEMORY_PUT, "k");
    NOTHING(w);
    /* As if this lane had not entered it yet: the next one does that before it changes the key. */
    d->fresh = place;
    head = ap_memory_changes(client->seg);
    other_put("k");
    cr_expect_eq(ap_memory_changes(client->seg), head + 2);
    d->fresh = 0;
    NEXT(w, APIARY_MEMORY_PUT, "k");
    NOTHING(w);
    ap_memory_tell_put(client->seg, lane, place);
    cr_expect_eq(ap_memory_changes(client->seg), head + 2, "what is not there any more is not entered");
    NOTHING(w);
    apiary_memory_unwatch(w);
}

/* As a lane does that takes it out, up to where it enters that. */
static void take_out(const char *key, uint64_t place)
{
    struct ap_memory_name space;
    struct ap_memory_key whole;
    struct ap_bucket *b;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, key, &whole), 0);
    b = ap_bucket_of(client->seg, whole.hash);
    for (uint32_t i = 0; i < AP_MEMORY_PLACES; i++)
        if (b->place[i] == place) b->place[i] = place & ~AP_PLACE_PRESENT;
    ap_draft_at(client->seg, client->anchor->lane.index)->stale = place;
}

/* A value that was taken out, by a lane that has not entered that yet. */
Test(memory_watch, taken_out_first)
{
    apiary_memory_watch_t *w = watch("", 0);

    synced(w);
    cr_assert_eq(put("k", "x"), 0);
    NEXT(w, APIARY_MEMORY_PUT, "k");
    take_out("k", place_at("k"));
    other_put("k");
    NEXT(w, APIARY_MEMORY_DELETED, "k");
    NEXT(w, APIARY_MEMORY_PUT, "k");
    NOTHING(w);
    ap_memory_withdraw(client->seg, client->anchor->lane.index, 0);
    NOTHING(w);
    apiary_memory_unwatch(w);
}

/* Another key of the bucket of "k". */
static void neighbour_named(char ret[16])
{
    struct ap_memory_name space;
    struct ap_memory_key one, other;
    uint32_t n = 0;

    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, "k", &one), 0);
    do {
        snprintf(ret, 16, "n%u", n++);
        cr_assert_eq(ap_memory_key(&space, ret, &other), 0);
    } while (ap_bucket_of(client->seg, one.hash) != ap_bucket_of(client->seg, other.hash));
}

/* A lane has taken the key out and stands still; the key is there again, and the log has turned round, when another enters that. */
Test(memory_watch, taken_out_long_ago)
{
    apiary_memory_watch_t *w = watch("k", 0);
    char neighbour[16];

    synced(w);
    neighbour_named(neighbour);
    cr_assert_eq(put(neighbour, "x"), 0);
    cr_assert_eq(put("k", "x"), 0);
    NEXT(w, APIARY_MEMORY_PUT, "k");
    cr_assert_eq(apiary_memory_delete(m, neighbour), 0); /* there is an empty place before that of the key */
    take_out("k", place_at("k"));
    other_put("k");
    NEXT(w, APIARY_MEMORY_DELETED, "k");
    NEXT(w, APIARY_MEMORY_PUT, "k");
    for (uint32_t i = 0; i < 2 * CHANGES; i++) {
        other_put("other");
        NOTHING(w);
    }
    apiary_memory_unwatch(w);
    w = watch("k", ap_memory_changes(client->seg));
    other_put(neighbour);
    NOTHING(w);
    cr_expect_str_eq(text_of("k"), "of another");
    ap_memory_withdraw(client->seg, client->anchor->lane.index, 0);
    NOTHING(w);
    apiary_memory_unwatch(w);
}

/* A lane that stands still between a change and its entry: the monitor enters it. */
Test(memory_watch, one_stands_still_untold)
{
    struct ap_draft *first = ap_draft_at(client->seg, 0), *d = ap_draft_at(client->seg, client->anchor->lane.index);
    apiary_memory_watch_t *w = watch("", 0);
    uint64_t watched = first->watched, place, entered;

    synced(w);
    first->watched = 0; /* so that the put does not enter it */
    cr_assert_eq(put("k", "x"), 0);
    first->watched = watched;
    d->fresh = place = place_at("k");
    NOTHING(w);
    monitor_sweeps();
    NEXT(w, APIARY_MEMORY_PUT, "k");
    entered = ap_memory_changes(client->seg);
    monitor_sweeps();
    NOTHING(w);
    cr_expect_eq(ap_memory_changes(client->seg), entered, "once: nobody's log is filled by who stands still");
    d->fresh = 0;
    take_out("k", place);
    NOTHING(w);
    monitor_sweeps();
    NEXT(w, APIARY_MEMORY_DELETED, "k");
    monitor_sweeps();
    NOTHING(w);
    ap_memory_withdraw(client->seg, client->anchor->lane.index, 0);
    NOTHING(w);
    apiary_memory_unwatch(w);
}

/* A watch that goes on from a revision does not know the key, and its removal is entered by several lanes. */
Test(memory_watch, resumed_once_told)
{
    uint32_t lane = client->anchor->lane.index;
    apiary_memory_watch_t *w;
    uint64_t began, revision, place;

    cr_assert_eq(put("k", "x"), 0);
    w = watch("", 0);
    cr_assert_eq(synced(w), 1);
    began = told.revision;
    apiary_memory_unwatch(w);
    w = watch("", began);
    place = place_at("k");
    take_out("k", place);
    for (int i = 0; i < 3; i++) ap_memory_tell_removed(client->seg, lane, place);
    NEXT(w, APIARY_MEMORY_DELETED, "k");
    revision = told.revision;
    NOTHING(w);
    ap_memory_withdraw(client->seg, lane, 0);
    cr_expect_eq(ap_memory_changes(client->seg), revision + 3);
    NOTHING(w);
    cr_assert_eq(put("k", "y"), 0);
    NEXT(w, APIARY_MEMORY_PUT, "k");
    take_out("k", place = place_at("k"));
    for (int i = 0; i < 2; i++) ap_memory_tell_removed(client->seg, lane, place);
    ap_memory_withdraw(client->seg, lane, 0);
    NEXT(w, APIARY_MEMORY_DELETED, "k");
    NOTHING(w);
    apiary_memory_unwatch(w);
    w = watch("", revision);
    NEXT(w, APIARY_MEMORY_PUT, "k");
    NEXT(w, APIARY_MEMORY_DELETED, "k");
    NOTHING(w);
    apiary_memory_unwatch(w);
}

/* Revisions are numbers of changes, and each segment has its own. */
Test(memory_watch, of_another_segment)
{
    uint64_t made = client->seg->header->created_realtime;
    apiary_memory_watch_t *w;

    cr_assert_eq(put("k", "x"), 0);
    w = watch("", 1);
    NEXT(w, APIARY_MEMORY_BEHIND, "");
    cr_expect_eq(synced(w), 1);
    cr_expect_gt(told.revision, made >> 14, "what a segment gives out that was made before is below it");
    cr_expect_leq(told.revision, (made >> 14) + 2);
    apiary_memory_unwatch(w);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

struct waiter {
    apiary_memory_watch_t *w;
    apiary_memory_change_t change;
    int result;
};

static void *waiter_main(void *arg)
{
    struct waiter *waiter = arg;

    waiter->change = (apiary_memory_change_t){.struct_size = sizeof waiter->change};
    waiter->result = apiary_memory_next_change(waiter->w, APIARY_FOREVER, &waiter->change);
    return NULL;
}

static void until_parked(void)
{
    while ((ap_load_relaxed(&ap_draft_at(client->seg, 0)->bell) & 1) == 0) sched_yield();
}

Test(memory_watch, parked)
{
    struct waiter waiter = {.w = watch("k", 0)};
    pthread_t thread;

    synced(waiter.w);
    cr_assert_eq(pthread_create(&thread, NULL, waiter_main, &waiter), 0);
    until_parked();
    cr_assert_eq(put("other", "x"), 0);
    cr_assert_eq(put("k", "x"), 0);
    pthread_join(thread, NULL);
    cr_expect_eq(waiter.result, 1);
    cr_expect_eq(waiter.change.event, APIARY_MEMORY_PUT);
    cr_expect_str_eq(waiter.change.key, "k");
    cr_assert_eq(pthread_create(&thread, NULL, waiter_main, &waiter), 0);
    until_parked();
    cr_assert_eq(apiary_interrupt(client), 0);
    pthread_join(thread, NULL);
    cr_expect_eq(waiter.result, APIARY_EINTERRUPTED);
    told = (apiary_memory_change_t){.struct_size = sizeof told};
    cr_expect_eq(apiary_memory_next_change(waiter.w, MS, &told), 0, "its time is over");
    apiary_memory_unwatch(waiter.w);
}

/* A row that is VOID in the end may be the one that a watch waits for: what is behind it was entered before. */
Test(memory_watch, void_is_rung)
{
    uint32_t *bell = &ap_draft_at(client->seg, 0)->bell, raised = ap_bell_raise(bell);

    ap_memory_watch_raise(client->seg, client->anchor->lane.index); /* the first entry of an era tells nothing */
    cr_expect_gt(ap_memory_changes(client->seg), 0);
    cr_expect_neq(ap_load_relaxed(bell), raised);
}

/* ---- what checkers say ------------------------------------------------------------------------------------------- */

Test(memory_watch, checkers)
{
    apiary_memory_watch_t *w = watch("", 0);
    struct ap_draft *d = ap_draft_at(client->seg, 20);
    struct ap_change_row *row;
    uint64_t number;

    cr_assert_eq(put("k", "x"), 0);
    number = ap_memory_changes(client->seg) - 1;
    row = ap_change_row_at(client->seg, number % CHANGES);
    assert_sound();
    SAYS(row->word, AP_CHANGE_WORD(number, 3, AP_CHANGE_EMPTY), "G7", false);
    SAYS(row->word, AP_CHANGE_WORD(number + 1, 3, AP_CHANGE_TOLD), "G7", false);
    SAYS(row->word, AP_CHANGE_WORD(number + CHANGES, 3, AP_CHANGE_TOLD), "G7", false);
    SAYS(row->word, AP_CHANGE_WORD(number, 20, AP_CHANGE_FILLING), "G7", true);
    SAYS(row->kind, AP_CHANGE_KINDS, "G7", false);
    SAYS(row->words, row->name_words, "G7", false);
    SAYS(d->telling, 1, "G6", true);
    SAYS(d->telling, number + 3, "G6", false);
    SAYS(d->head, 1, "G6", false);
    SAYS(d->watched, 1, "G6", false);
    apiary_memory_unwatch(w);
}
