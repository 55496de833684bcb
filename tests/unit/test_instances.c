/* Who is registered (core/apiary/discovery.h): the instances as they are, by service, major and tags; and a watch of them: each
 * change is told, none twice, and what is told to who is behind. */
#include "tests/unit/instances_fixture.h"

#include <sched.h>

#include "registry/discovery/instance.h"
#include "registry/discovery/tags.h"
#include "shm/bell.h"

TestSuite(instances, .init = instances_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static int asked(const char *service, const char *tags)
{
    apiary_instance_query_t query = {.struct_size = sizeof query, .service = service, .tags = tags};

    return apiary_instances(client, &query, NULL, 0);
}

/* ---- tags ---------------------------------------------------------------------------------------------------------- */

Test(instances, tags)
{
    char tag[APIARY_NAME_MAX + 2], longest[APIARY_TAGS_MAX + 2];

    cr_expect(ap_tags_valid(NULL) && ap_tags_valid("") && ap_tags_valid("eu") && ap_tags_valid("eu gpu eu-2"));
    cr_expect(!ap_tags_valid(" ") && !ap_tags_valid("eu ") && !ap_tags_valid(" eu") && !ap_tags_valid("eu  gpu"));
    cr_expect(!ap_tags_valid("EU") && !ap_tags_valid("eu gpu eu") && !ap_tags_valid("eu,gpu"));
    memset(tag, 'a', sizeof tag);
    tag[APIARY_NAME_MAX + 1] = '\0';
    cr_expect(!ap_tags_valid(tag));
    tag[APIARY_NAME_MAX] = '\0';
    cr_expect(ap_tags_valid(tag));
    for (uint32_t i = 0; i < sizeof longest; i++) longest[i] = i % 3 == 2 ? ' ' : (char)('a' + i / 3 % 26);
    for (uint32_t i = 0; i < sizeof longest; i++)
        if (i % 3 == 1) longest[i] = (char)('a' + i / 78);
    longest[APIARY_TAGS_MAX + 1] = '\0';
    cr_expect(!ap_tags_valid(longest));
    longest[APIARY_TAGS_MAX] = '\0';
    cr_expect(ap_tags_valid(longest), "%s", longest);
    cr_expect(ap_tags_have("eu gpu", "") && ap_tags_have("eu gpu", "gpu") && ap_tags_have("eu gpu", "gpu eu"));
    cr_expect(!ap_tags_have("eu gpu", "eu fast") && !ap_tags_have("eu-2", "eu") && !ap_tags_have("", "eu"));
}

/* ---- as they are --------------------------------------------------------------------------------------------------- */

Test(instances, by_service_major_and_tags)
{
    struct ap_swarm_registration one = enrol("server", "0", "2.1", "eu gpu"), two = enrol("server", "1", "21", "eu");
    apiary_instance_t rows[4];

    (void)two;
    enrol("store", "0", "2", NULL);
    cr_expect_eq(apiary_instances(client, NULL, NULL, 0), 3);
    cr_expect_eq(asked("server", NULL), 2);
    cr_expect_eq(asked("server@2", NULL), 1, "21 is another major than 2");
    cr_expect_eq(asked("server@21", NULL), 1);
    cr_expect_eq(asked("server@3", NULL), 0);
    cr_expect_eq(asked("none", NULL), 0);
    cr_expect_eq(asked(NULL, "eu"), 2);
    cr_expect_eq(asked(NULL, "gpu eu"), 1);
    cr_expect_eq(asked("store", "eu"), 0);
    cr_expect_eq(asked("Server", NULL), APIARY_EINVAL);
    cr_expect_eq(asked("server@", NULL), APIARY_EINVAL);
    cr_expect_eq(asked("server@02", NULL), APIARY_EINVAL);
    cr_expect_eq(asked(NULL, "eu eu"), APIARY_EINVAL);
    cr_assert_eq(ap_swarm_weight_set(client->seg, one.swarm, "server", "0", 7), 1);
    rows[0].struct_size = sizeof rows[0];
    cr_assert_eq(apiary_instances(client, NULL, rows, 1), 3);
    cr_expect_str_eq(rows[0].service, "server");
    cr_expect_str_eq(rows[0].instance, "0");
    cr_expect_str_eq(rows[0].version, "2.1");
    cr_expect_str_eq(rows[0].tags, "eu gpu");
    cr_expect_str_eq(rows[0].health_endpoint, "http://localhost/h");
    cr_expect_str_eq(rows[0].metrics_endpoint, "http://localhost/m");
    cr_expect(rows[0].port == 4009 && rows[0].weight == 7 && rows[0].mode == APIARY_READY && rows[0].alive == 1);
    cr_expect(rows[0].pid == getpid() && rows[0].max_delegations == 5 && rows[0].registered != 0);
    cr_expect_eq(rows[0].registration, AP_REGISTRATION(0, 1));
    leave(&one);
    cr_assert_eq(apiary_instances(client, NULL, rows, 1), 3, "it is known, and down");
    cr_expect(rows[0].alive == 0 && rows[0].pid == 0);
    enrol("server", "0", "3", "us");
    cr_assert_eq(apiary_instances(client, NULL, rows, 1), 3);
    cr_expect_str_eq(rows[0].tags, "us");
    cr_expect_eq(rows[0].registration, AP_REGISTRATION(0, 2));
}

Test(instances, with_a_bound_of_its_own)
{
    struct ap_swarm_registration r = {.service = "server", .version = "1", .lane = own_lane(), .member = client->member,
                                      .max_delegations = 3};
    apiary_instance_t row = {.struct_size = sizeof row};

    cr_assert_eq(ap_swarm_register(client->seg, &r), 0);
    cr_assert_eq(apiary_instances(client, NULL, &row, 1), 1);
    cr_expect_eq(row.max_delegations, 3);
    leave(&r);
}

Test(instances, a_registration_with_wrong_tags)
{
    struct ap_swarm_registration r = {.service = "server", .tags = "eu  gpu", .lane = own_lane(), .member = client->member};

    cr_expect_eq(ap_swarm_register(client->seg, &r), APIARY_EINVAL);
    cr_expect_eq(apiary_instances(client, NULL, NULL, 0), 0);
    cr_expect_eq(apiary_instances(NULL, NULL, NULL, 0), APIARY_EINVAL);
    cr_expect_eq(apiary_instances(client, NULL, NULL, 1), APIARY_EINVAL);
}

/* ---- a watch ------------------------------------------------------------------------------------------------------- */

Test(instances, set_and_changes)
{
    struct ap_swarm_registration r = enrol("server", "0", "2.1", "eu gpu"), other;
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);

    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    cr_expect_str_eq(whose.tags, "eu gpu");
    cr_expect(told.revision == 0 && whose.alive == 1 && whose.pid == getpid());
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    NOTHING(w);
    mode(&r, APIARY_MAINT);
    mode(&r, APIARY_PAUSE);
    NEXT(w, APIARY_INSTANCE_MODE, "server");
    cr_expect_eq(whose.mode, APIARY_MAINT, "as the change left it, not as it is");
    NEXT(w, APIARY_INSTANCE_MODE, "server");
    cr_expect_eq(whose.mode, APIARY_PAUSE);
    NOTHING(w);
    weight(&r, 7);
    weight(&r, -1);
    weight(&r, 7);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    cr_expect_eq(whose.weight, 7);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    cr_expect_eq(whose.weight, AP_WEIGHT);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    NOTHING(w);
    mode(&r, APIARY_READY);
    NEXT(w, APIARY_INSTANCE_MODE, "server");
    other = enrol("store", "0", "1", NULL);
    end(&r);
    NEXT(w, APIARY_INSTANCE_REGISTERED, "store");
    cr_expect_str_eq(whose.version, "1");
    NEXT(w, APIARY_INSTANCE_DIED, "server");
    cr_expect(whose.alive == 0 && whose.pid == 0 && whose.weight == 7);
    cr_expect_str_eq(whose.tags, "eu gpu", "what it was");
    ap_swarm_withdraw(client->seg, &other);
    NEXT(w, APIARY_INSTANCE_MODE, "store");
    cr_expect_eq(whose.mode, APIARY_DRAIN, "it was told to stop");
    leave(&other);
    NEXT(w, APIARY_INSTANCE_LEFT, "store");
    NOTHING(w);
    ap_instances_tell(client->seg);
    NOTHING(w);
    apiary_instance_unwatch(w);
    apiary_instance_unwatch(NULL);
}

/* As a reload has its queen say: 0. */
static int adjust(struct ap_swarm_registration *r, uint32_t to, uint32_t most)
{
    struct ap_swarm_registration next = *r;
    int e;

    next.weight = to;
    next.max_delegations = most;
    e = ap_swarm_adjust(client->seg, own_lane(), r, &next);
    if (e == 0) *r = next;
    return e;
}

Test(instances, a_queen_changes_her_weight_as_she_runs)
{
    struct ap_swarm_registration r = enrol("server", "0", "2.1", "eu gpu");
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);
    uint64_t head;

    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    cr_assert_eq(adjust(&r, 30, 0), 0);
    cr_assert_eq(adjust(&r, 40, 0), 0);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    cr_expect_eq(whose.weight, 30, "as the change left it, not as it is");
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    cr_expect_eq(whose.weight, 40);
    head = ap_instance_changes(client->seg);
    cr_assert_eq(adjust(&r, 40, 3), 0);
    NOTHING(w);
    weight(&r, 7);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    cr_assert_eq(adjust(&r, 50, 3), 0);
    NOTHING(w);
    cr_expect_eq(ap_instance_changes(client->seg), head + 1, "an operator's weight is in force: the queen's changes nothing");
    weight(&r, -1);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    cr_expect_eq(whose.weight, 50);
    ap_swarm_at(client->seg, r.swarm)->weight = 60; /* a queen that stands still, or has died, before it has entered that */
    end(&r);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    cr_expect(whose.weight == 60 && whose.alive == 1);
    NEXT(w, APIARY_INSTANCE_DIED, "server");
    cr_expect_eq(adjust(&r, 70, 3), APIARY_ESTALE);
    NOTHING(w);
    apiary_instance_unwatch(w);
}

Test(instances, of_those_that_are_meant)
{
    struct ap_swarm_registration one = enrol("server", "0", "2", "eu"), two = enrol("server", "1", "3", "eu gpu");
    apiary_instance_watch_t *major = watch("server@3", NULL, 0), *tagged = watch(NULL, "gpu", 0);

    NEXT(major, APIARY_INSTANCE_PRESENT, "server");
    NEXT(major, APIARY_INSTANCE_SYNCED, "");
    NEXT(tagged, APIARY_INSTANCE_PRESENT, "server");
    cr_expect_str_eq(whose.instance, "1");
    NEXT(tagged, APIARY_INSTANCE_SYNCED, "");
    mode(&one, APIARY_PAUSE);
    mode(&two, APIARY_PAUSE);
    NEXT(major, APIARY_INSTANCE_MODE, "server");
    cr_expect_str_eq(whose.instance, "1");
    NOTHING(major);
    NEXT(tagged, APIARY_INSTANCE_MODE, "server");
    NOTHING(tagged);
    end(&one);
    enrol("server", "0", "3.1", "us gpu");
    NEXT(major, APIARY_INSTANCE_REGISTERED, "server");
    NEXT(tagged, APIARY_INSTANCE_REGISTERED, "server");
    NOTHING(major);
    apiary_instance_unwatch(major);
    apiary_instance_unwatch(tagged);
}

Test(instances, goes_on_from_a_revision)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);
    uint64_t revision;

    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    weight(&r, 7);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    revision = told.revision;
    apiary_instance_unwatch(w);
    mode(&r, APIARY_PAUSE);
    end(&r);
    w = watch(NULL, NULL, revision);
    NEXT(w, APIARY_INSTANCE_MODE, "server");
    cr_expect_str_eq(whose.version, "2", "its record is its still");
    NEXT(w, APIARY_INSTANCE_DIED, "server");
    NOTHING(w);
    apiary_instance_unwatch(w);
    r = enrol("server", "0", "3", "us");
    w = watch(NULL, NULL, revision);
    NEXT(w, APIARY_INSTANCE_MODE, "server");
    cr_expect_str_eq(whose.version, "", "of a registration that has ended there are names, mode and weight");
    cr_expect(whose.mode == APIARY_PAUSE && whose.weight == 7 && whose.registration == AP_REGISTRATION(0, 1));
    NEXT(w, APIARY_INSTANCE_DIED, "server");
    NEXT(w, APIARY_INSTANCE_REGISTERED, "server");
    cr_expect_str_eq(whose.version, "3");
    cr_expect_eq(whose.registration, AP_REGISTRATION(0, 2));
    NOTHING(w);
    apiary_instance_unwatch(w);
}

/* Of what it has not seen the entry itself says in what it differs. */
Test(instances, goes_on_where_the_log_begins)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    apiary_instance_watch_t *w;
    uint64_t revision;

    for (uint32_t i = 0; i < ROWS; i++) weight(&r, (int)i + 1);
    revision = ap_instance_changes(client->seg) - ROWS;
    w = watch(NULL, NULL, revision);
    for (uint32_t i = 0; i < ROWS; i++) {
        NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
        cr_expect_eq(whose.weight, i + 1);
        cr_expect_eq(told.revision, revision + i + 1);
    }
    NOTHING(w);
    apiary_instance_unwatch(w);
    w = watch(NULL, NULL, revision - 1);
    NEXT(w, APIARY_INSTANCE_BEHIND, "");
    apiary_instance_unwatch(w);
    mode(&r, APIARY_PAUSE);
    for (uint32_t i = 0; i < ROWS - 1; i++) weight(&r, (int)i + 1);
    w = watch(NULL, NULL, ap_instance_changes(client->seg) - ROWS);
    NEXT(w, APIARY_INSTANCE_MODE, "server");
    cr_expect_eq(whose.mode, APIARY_PAUSE);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    apiary_instance_unwatch(w);
}

Test(instances, behind)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);

    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    for (uint32_t i = 0; i < ROWS + 1; i++) weight(&r, (int)i + 1);
    NEXT(w, APIARY_INSTANCE_BEHIND, "");
    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    cr_expect_eq(whose.weight, ROWS + 1);
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    NOTHING(w);
    apiary_instance_unwatch(w);
    w = watch(NULL, NULL, told.revision + 1000);
    NEXT(w, APIARY_INSTANCE_BEHIND, "");
    apiary_instance_unwatch(w);
    w = watch(NULL, NULL, 1);
    NEXT(w, APIARY_INSTANCE_BEHIND, "");
    apiary_instance_unwatch(w);
}

/* Its record is another's by the time: nobody knows what it was. */
Test(instances, behind_by_a_record_of_another)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);
    uint32_t swarm = r.swarm;

    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    end(&r);
    cr_assert(ap_swarm_forget(client->seg, own_lane()));
    r = enrol("store", "0", "1", NULL);
    cr_assert_eq(r.swarm, swarm);
    NEXT(w, APIARY_INSTANCE_DIED, "server");
    NEXT(w, APIARY_INSTANCE_REGISTERED, "store");
    end(&r);
    cr_assert(ap_swarm_forget(client->seg, own_lane()));
    r = enrol("third", "0", "1", NULL);
    end(&r);
    cr_assert(ap_swarm_forget(client->seg, own_lane()));
    r = enrol("fourth", "0", "1", NULL);
    NEXT(w, APIARY_INSTANCE_DIED, "store");
    NEXT(w, APIARY_INSTANCE_BEHIND, "");
    NEXT(w, APIARY_INSTANCE_PRESENT, "fourth");
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    apiary_instance_unwatch(w);
}

/* Who has changed it stands still, or has died, before the entry: another enters it. */
Test(instances, told_by_others)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    struct ap_swarm *s = ap_swarm_at(client->seg, r.swarm);
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);

    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    s->mode = AP_MODE_WORD(s->key, AP_MODE_CHANGE(s->mode) + 1, APIARY_MAINT);
    NOTHING(w);
    weight(&r, 7);
    NEXT(w, APIARY_INSTANCE_MODE, "server");
    cr_expect_eq(whose.weight, AP_WEIGHT);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    s->mode = AP_MODE_WORD(s->key, AP_MODE_CHANGE(s->mode) + 1, APIARY_READY);
    ap_instances_tell(client->seg);
    NEXT(w, APIARY_INSTANCE_MODE, "server");
    ap_instance_row_at(client->seg, 0)->head--; /* dead before the head was raised */
    weight(&r, 8);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    NOTHING(w);
    apiary_instance_unwatch(w);
}

static void *changes_it(void *of)
{
    while ((ap_load_acquire(&ap_instance_row_at(client->seg, 0)->bell) & 1) == 0) sched_yield();
    weight(of, 9);
    return NULL;
}

Test(instances, parks)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);
    pthread_t thread;

    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    cr_assert_eq(apiary_instance_next(w, MS, &told, &whose), 0);
    ap_instance_row_at(client->seg, 0)->bell = 0;
    pthread_create(&thread, NULL, changes_it, &r);
    cr_assert_eq(apiary_instance_next(w, APIARY_FOREVER, &told, &whose), 1);
    pthread_join(thread, NULL);
    cr_expect(told.event == APIARY_INSTANCE_WEIGHT && whose.weight == 9);
    apiary_instance_unwatch(w);
}

/* A park is timed, so that one who is not rung wakes, too, and later. */
Test(instances, those_who_sleep_are_rung)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    uint32_t *bell = &ap_instance_row_at(client->seg, 0)->bell, raised = ap_bell_raise(bell);

    weight(&r, 9);
    cr_expect_neq(*bell, raised);
    cr_expect_eq(*bell & 1, 0);
    raised = ap_bell_raise(bell);
    ap_instances_tell(client->seg);
    cr_expect_neq(*bell, raised, "also for one who has died before it rang");
}

Test(instances, misuse)
{
    apiary_instance_query_t query = {.struct_size = sizeof query, .service = "A"};
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);

    told = (apiary_instance_change_t){.struct_size = sizeof told};
    whose = (apiary_instance_t){.struct_size = 8};
    cr_expect_eq(apiary_instance_watch(NULL, NULL, 0, &w), APIARY_EINVAL);
    cr_expect_eq(apiary_instance_watch(client, NULL, 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_instance_watch(client, &query, 0, &w), APIARY_EINVAL);
    cr_expect_eq(apiary_instance_next(NULL, 0, &told, &whose), APIARY_EINVAL);
    cr_expect_eq(apiary_instance_next(w, 0, &told, &whose), APIARY_EINVAL);
    cr_expect_eq(apiary_instance_next(w, 0, &told, NULL), APIARY_EINVAL);
    apiary_instance_unwatch(w);
}
