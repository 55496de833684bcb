/* The log of changes of registered instances (registry/discovery/changes.h) where those who enter and read it are stopped, and what
 * of it a watch tells that was opened before. */
#include "tests/unit/instances_fixture.h"

TestSuite(instance_log, .init = instances_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

/* ---- between two loads ------------------------------------------------------------------------------------------------- */

/* A thread that comes to the page of the row is stopped there once, while others make changes. */
static struct {
    char *page;
    uint32_t size, changes;
    struct ap_swarm_registration of;
} stop;

static void stopped(int signal)
{
    (void)signal;
    if (mprotect(stop.page, stop.size, PROT_READ | PROT_WRITE) != 0) _exit(1);
    for (uint32_t i = 0; i < stop.changes; i++)
        ap_swarm_weight_set(client->seg, stop.of.swarm, stop.of.service, stop.of.instance, (int)(i % 2) + 1);
    stop.changes = 0;
}

static void stop_at(const struct ap_instance_row *row)
{
    stop.page = (char *)row - (uintptr_t)row % stop.size;
    cr_assert_eq(mprotect(stop.page, stop.size, PROT_NONE), 0);
}

/* A log of several pages, of which the next row is not on the page of the head. How many rows it has. */
static uint32_t log_of_pages(void)
{
    struct ap_geometry g = small;
    struct sigaction action = {.sa_handler = stopped};
    uint32_t count;

    fixture_teardown();
    stop.size = (uint32_t)sysconf(_SC_PAGESIZE);
    count = 4 * stop.size / (uint32_t)sizeof(struct ap_instance_row);
    AP_REGISTRY_NUMBER(&g, INSTANCES) = count;
    segment_make(&g);
    client = attach_as("caller");
    cr_assert_eq(sigaction(SIGSEGV, &action, NULL), 0);
    stop.of = enrol("store", "0", "1", NULL);
    for (uint32_t i = 0; ap_instance_changes(client->seg) % count != count / 2; i++) weight(&stop.of, (int)(i % 2) + 1);
    return count;
}

static struct ap_instance_row *row_of(uint64_t number)
{
    return ap_instance_row_at(client->seg, number % client->seg->sections[AP_SECTION_INSTANCES].count);
}

Test(instance_log, one_who_was_stopped_overwrites_no_younger_entry)
{
    uint32_t count = log_of_pages();
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    struct ap_swarm *s = ap_swarm_at(client->seg, r.swarm);
    uint64_t head = ap_instance_changes(client->seg), word;

    s->weight = 77; /* by one who has died before the entry */
    stop.changes = count + 1;
    stop_at(row_of(head));
    ap_instance_tell(client->seg, r.swarm);
    cr_assert_eq(stop.changes, 0);
    cr_expect_eq(ap_instance_changes(client->seg), head + count + 2);
    for (uint64_t number = head + 2; number < head + count + 2; number++)
        cr_assert_eq(ap_instance_change_read(client->seg, number, &word), 0, "entry %d", (int)(number - head));
    cr_expect(AP_TOLD_SWARM(word) == r.swarm && AP_TOLD_WEIGHT(word) == 77);
}

Test(instance_log, one_who_reads_at_the_tip_is_not_behind)
{
    uint64_t word, head;

    log_of_pages();
    head = ap_instance_changes(client->seg);
    stop.changes = 1;
    stop_at(ap_instance_row_at(client->seg, 0));
    cr_expect_eq(ap_instance_change_read(client->seg, head, &word), 0, "it came after the row was read, and before the head");
    cr_expect_eq(stop.changes, 0);
    cr_expect_eq(ap_instance_change_read(client->seg, head, &word), 0);
}

/* ---- what was before the present set is not told ------------------------------------------------------------------------- */

Test(instance_log, one_that_left_before_the_set_was_read)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);

    leave(&r);
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    NOTHING(w);
    enrol("server", "0", "3", "us");
    NEXT(w, APIARY_INSTANCE_REGISTERED, "server");
    cr_expect_str_eq(whose.version, "3");
    NOTHING(w);
    apiary_instance_unwatch(w);
}

Test(instance_log, changes_before_the_set_was_read)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu"), other = enrol("store", "0", "1", NULL);
    apiary_instance_watch_t *w;

    weight(&r, 50);
    w = watch(NULL, NULL, 0);
    weight(&r, 10);
    weight(&r, 50);
    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    cr_expect_eq(whose.weight, 50);
    weight(&r, 60); /* of the one that was told already */
    mode(&other, APIARY_PAUSE);
    NEXT(w, APIARY_INSTANCE_PRESENT, "store");
    cr_expect_eq(whose.mode, APIARY_PAUSE);
    weight(&r, 50);
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    cr_expect_eq(whose.weight, 60);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    cr_expect_eq(whose.weight, 50);
    NOTHING(w);
    apiary_instance_unwatch(w);
}

Test(instance_log, one_that_started_again_before_the_set_was_read)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);

    weight(&r, 7);
    end(&r);
    r = enrol("server", "0", "3", "eu");
    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    cr_expect_str_eq(whose.version, "3");
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    NOTHING(w);
    end(&r);
    NEXT(w, APIARY_INSTANCE_DIED, "server");
    cr_expect_str_eq(whose.version, "3");
    NOTHING(w);
    apiary_instance_unwatch(w);
}

/* Its record is free by then, or another's. */
Test(instance_log, one_that_was_forgotten_before_the_set_was_read)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);

    end(&r);
    cr_assert(ap_swarm_forget(client->seg, own_lane()));
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    NOTHING(w);
    enrol("store", "0", "1", NULL);
    NEXT(w, APIARY_INSTANCE_REGISTERED, "store");
    NOTHING(w);
    apiary_instance_unwatch(w);
}

/* ---- what is at the edge of the numbers --------------------------------------------------------------------------------- */

/* Numbers are compared over half a turn: what was told of a record long ago is told anew by the sweep, before it is as far away. */
Test(instance_log, told_long_ago)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    struct ap_swarm *s = ap_swarm_at(client->seg, r.swarm);
    uint64_t turn = AP_TOLD_NUMBERS + 1, told_of = s->told, head;

    s->told = told_of & ((UINT64_C(1) << 41) - 1);
    s->told |= ((AP_TOLD_NUMBER(told_of) - 3 * turn / 8) & AP_TOLD_NUMBERS) << 41;
    ap_instances_tell(client->seg);
    cr_expect_eq(AP_TOLD_SAYS(s->told), AP_TOLD_SAYS(told_of));
    head = ap_instance_changes(client->seg);
    cr_expect_leq((head - AP_TOLD_NUMBER(s->told)) & AP_TOLD_NUMBERS, turn / 4);
    s->told = told_of & ((UINT64_C(1) << 41) - 1);
    s->told |= ((AP_TOLD_NUMBER(told_of) - 5 * turn / 8) & AP_TOLD_NUMBERS) << 41; /* no sweep came in time */
    weight(&r, 8);
    ap_instances_tell(client->seg);
    ap_instances_tell(client->seg);
    cr_expect_eq(AP_TOLD_WEIGHT(s->told), 8);
    head = ap_instance_changes(client->seg);
    ap_instances_tell(client->seg);
    cr_expect_eq(ap_instance_changes(client->seg), head, "what was told is not told with each sweep");
}

/* Who entered the last one has died before the head was raised. */
Test(instance_log, goes_on_from_a_revision_above_the_head)
{
    struct ap_swarm_registration r = enrol("server", "0", "2", "eu");
    apiary_instance_watch_t *w = watch(NULL, NULL, 0);
    uint64_t revision;

    NEXT(w, APIARY_INSTANCE_PRESENT, "server");
    NEXT(w, APIARY_INSTANCE_SYNCED, "");
    weight(&r, 7);
    ap_instance_row_at(client->seg, 0)->head--;
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    revision = told.revision;
    apiary_instance_unwatch(w);
    w = watch(NULL, NULL, revision + 1);
    NEXT(w, APIARY_INSTANCE_BEHIND, "");
    apiary_instance_unwatch(w);
    w = watch(NULL, NULL, revision);
    NOTHING(w);
    weight(&r, 8);
    NEXT(w, APIARY_INSTANCE_WEIGHT, "server");
    cr_expect_eq(whose.weight, 8);
    NOTHING(w);
    apiary_instance_unwatch(w);
}
