/* tests/unit/test_history.c - the events that are kept: each once, whoever dies; what is lost is told; what is old goes. */
#include "registry_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/event.h"
#include "tools/common/state.h"
#include "tools/history/history.h"

#define EVENTS 64u /* rows of the log in the fixture */

static char folder[256];
static const struct history_limits wide = {.age = UINT64_C(3600) * 24 * 30 * SECOND, .bytes = 64u << 20};
static char why[HISTORY_WHY];

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    fixture_setup();
    snprintf(folder, sizeof folder, "%s/apiary-history-XXXXXX", base != NULL ? base : "/tmp");
    cr_assert_not_null(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void tear_down(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    fixture_teardown();
}

TestSuite(history, .init = set_up, .fini = tear_down, .timeout = TEST_LIMIT);

static void happen(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) ap_event_log(client->seg, AP_EVENT_TASK_MOVED, 3, i, 2);
}

static uint64_t next(void)
{
    return ap_load_acquire(&client->seg->header->event_next);
}

static struct ap_event *row_of(uint64_t number)
{
    return ap_at(client->seg, AP_SECTION_EVENTS, number & (EVENTS - 1));
}

/* What was read: the numbers, in the order in which they came, and how many were told as lost. */
static struct {
    uint64_t numbers[4096], lost, holes, next;
    size_t count;
    char text[256], service[64];
} got;

static uint64_t got_kept(void *user, const struct history_cursor *at)
{
    got.holes = at->count;
    got.next = at->next;
    return *(uint64_t *)user;
}

static void got_row(void *user, const struct history_row *row)
{
    json_t *o = json_loads(row->json, 0, NULL);
    const char *kind = json_string_value(json_object_get(o, "kind")), *service = json_string_value(json_object_get(o, "service"));

    (void)user;
    cr_assert_not_null(kind);
    if (strcmp(kind, EVENTS_LOST) == 0)
        got.lost += (uint64_t)json_integer_value(json_object_get(json_object_get(o, "of"), "events"));
    cr_assert_lt(got.count, 4096);
    got.numbers[got.count++] = (uint64_t)json_integer_value(json_object_get(o, "number"));
    snprintf(got.text, sizeof got.text, "%s", row->text);
    snprintf(got.service, sizeof got.service, "%s", service != NULL ? service : "");
    json_decref(o);
}

static int look_for(const struct history_wanted *wanted, uint64_t most)
{
    const struct history_reader reader = {got_kept, got_row, &most};
    char identity[HISTORY_IDENTITY];
    uint64_t rotated = 0;
    int rc;

    memset(&got, 0, sizeof got);
    history_identity(client->seg, identity);
    rc = history_read(folder, identity, wanted, &reader, &rotated, why);
    cr_assert_geq(rc, 0, "%s", why);
    return rc;
}

static void look(void)
{
    cr_assert_eq(look_for(&(struct history_wanted){.since = 0}, UINT64_MAX), 1);
    for (size_t i = 1; i < got.count; i++) cr_expect_gt(got.numbers[i], got.numbers[i - 1]);
}

static struct history *open_it(const struct history_limits *limits)
{
    struct history *h = history_open(folder, client->seg, limits, why);

    cr_assert_not_null(h, "%s", why);
    return h;
}

Test(history, each_event_once)
{
    struct history *h;

    cr_expect_eq(look_for(&(struct history_wanted){.since = 0}, 5), 0, "there is none yet");
    happen(10);
    h = open_it(&wide);
    cr_expect_eq(history_keep(h, client->seg), 10);
    cr_expect_eq(history_keep(h, client->seg), 0);
    happen(3);
    cr_expect_eq(history_keep(h, client->seg), 3);
    happen(2);
    history_close(h); /* its owner has died: nothing is doubled, nothing passed over */
    h = open_it(&wide);
    cr_expect_eq(history_keep(h, client->seg), 2);
    look();
    cr_expect_eq(got.count, 15);
    cr_expect_eq(got.next, next());
    cr_expect_eq(got.lost, 0);
    cr_expect_eq(look_for(&(struct history_wanted){.since = 0}, 4), 1);
    cr_expect_eq(got.count, 4);
    cr_expect_eq(got.numbers[3], next() - 1);
    history_close(h);
}

Test(history, what_was_overwritten_is_told)
{
    struct history *h = open_it(&wide);

    happen(5);
    cr_expect_eq(history_keep(h, client->seg), 5);
    happen(EVENTS + 7);
    cr_expect_eq(history_keep(h, client->seg), EVENTS + 1);
    look();
    cr_expect_eq(got.lost, 7);
    cr_expect_eq(got.count, 5 + 1 + EVENTS);
    cr_expect_eq(got.numbers[5], got.numbers[4] + 1, "the entry stands in the place of the first that is lost");
    history_close(h);
}

/* A record that is not written yet is kept when it is, by the next writer, too; one that never is, is lost. */
Test(history, a_hole_is_looked_at_again)
{
    uint64_t first = next(), slow = first + 3, never = first + 5;
    struct history *h;

    happen(8);
    ap_store_release(&row_of(slow)->number, 0);
    ap_store_release(&row_of(never)->number, 0);
    h = open_it(&wide);
    cr_expect_eq(history_keep(h, client->seg), 6);
    cr_expect_eq(history_keep(h, client->seg), 0);
    history_close(h);
    look();
    cr_expect_eq(got.holes, 2);
    ap_store_release(&row_of(slow)->number, slow);
    h = open_it(&wide);
    cr_expect_eq(history_keep(h, client->seg), 1);
    look();
    cr_expect_eq(got.holes, 1);
    cr_expect_eq(got.numbers[3], slow);
    cr_expect_eq(got.lost, 0);
    happen(EVENTS);
    cr_expect_eq(history_keep(h, client->seg), EVENTS + 1);
    look();
    cr_expect_eq(got.holes, 0);
    cr_expect_eq(got.lost, 1);
    history_close(h);
}

Test(history, names_are_those_of_then)
{
    static const char *const echo[] = {"echo", NULL};
    static struct worker w;
    struct history *h = open_it(&wide);
    struct ap_swarm *s;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_expect_gt(history_keep(h, client->seg), 0);
    s = ap_swarm_at(client->seg, w.swarm.swarm);
    snprintf(s->instance, sizeof s->instance, "other");
    cr_expect_eq(look_for(&(struct history_wanted){.kind = "swarm-registered"}, 9), 1);
    cr_expect_eq(got.count, 1);
    cr_expect_str_eq(got.service, "server");
    cr_expect(strstr(got.text, "server/") != NULL && strstr(got.text, "other") == NULL, "%s", got.text);
    cr_expect_eq(look_for(&(struct history_wanted){.service = "nobody"}, 9), 1);
    cr_expect_eq(got.count, 0);
    cr_expect_eq(look_for(&(struct history_wanted){.service = "server", .since = UINT64_MAX}, 9), 1);
    cr_expect_eq(got.count, 0);
    history_close(h);
    worker_stop(&w);
}

/* The oldest go, and how many. */
Test(history, rotation)
{
    const struct history_limits small_file = {.age = wide.age, .bytes = 128u << 10}, young = {.age = 1, .bytes = wide.bytes};
    struct history *h = open_it(&small_file);
    uint64_t most = UINT64_MAX, rotated = 0;
    const struct history_reader reader = {got_kept, got_row, &most};

    for (unsigned i = 0; i < 40; i++) {
        happen(EVENTS - 1);
        cr_assert_gt(history_keep(h, client->seg), 0);
    }
    history_rotate(h, client->seg->ops->realtime());
    look();
    cr_expect_gt(got.count, 100);
    cr_expect_lt(got.count, 40 * (EVENTS - 1));
    cr_expect_eq(got.numbers[got.count - 1], next() - 1, "the newest stay");
    cr_assert_eq(history_read(folder, NULL, &(struct history_wanted){.since = 0}, &reader, &rotated, why), 1);
    cr_expect_eq(rotated + got.count / 2, 40 * (EVENTS - 1), "%llu rotated, %zu read twice", (unsigned long long)rotated,
                 got.count);
    history_close(h);
    h = open_it(&young);
    cr_expect_eq(history_keep(h, client->seg), 0);
    look();
    cr_expect_eq(got.count, 0, "all are too old");
    cr_expect_eq(got.next, next(), "and are not kept anew");
    history_close(h);
}

Test(history, one_writer)
{
    struct history *h = open_it(&wide);

    cr_expect_null(history_open(folder, client->seg, &wide, why));
    cr_expect(strstr(why, "another apiaryd keeps its events in") != NULL, "%s", why);
    history_close(h);
    history_close(open_it(&wide));
}

Test(history, what_is_damaged_is_put_aside)
{
    char path[512], aside[640];
    struct history *h;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, HISTORY_FILE);
    f = fopen(path, "w");
    cr_assert_not_null(f);
    for (int i = 0; i < 1000; i++) fputs("this is no database. ", f);
    fclose(f);
    happen(4);
    h = history_open(folder, client->seg, &wide, why);
    cr_assert_not_null(h, "%s", why);
    cr_expect(strstr(why, "put aside as " HISTORY_FILE ".damaged-") != NULL, "%s", why);
    snprintf(aside, sizeof aside, "%s/%s", folder, strstr(why, HISTORY_FILE ".damaged-"));
    cr_expect_eq(access(aside, F_OK), 0, "%s", aside);
    cr_expect_eq(history_keep(h, client->seg), 4);
    cr_expect_not(history_gone(h));
    cr_assert_eq(unlink(path), 0);
    cr_expect(history_gone(h));
    history_close(h);
}

/* Damage that shows while it is written: put aside at once; of several the newest stays; what the log has is kept anew. */
Test(history, what_is_damaged_meanwhile_is_put_aside)
{
    static char garbage[1 << 16];
    char path[512], aside[640], older[640];
    struct history *h = open_it(&wide);
    int fd;

    memset(garbage, 0x5a, sizeof garbage);
    snprintf(path, sizeof path, "%s/%s", folder, HISTORY_FILE);
    snprintf(older, sizeof older, "%s.damaged-1", path);
    fd = open(older, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    happen(8);
    cr_assert_eq(history_keep(h, client->seg), 8);
    cr_assert_eq(history_settle(h), 0);
    fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, garbage, sizeof garbage, 4096), (ssize_t)sizeof garbage); /* all but the first page */
    close(fd);
    sqlite3_db_release_memory(h->file.db); /* it would go on with the pages that it has */
    happen(1);
    cr_expect(history_due(h, client->seg));
    cr_expect_eq(history_keep(h, client->seg), -1);
    cr_assert(strstr(h->file.why, "put aside as " HISTORY_FILE ".damaged-") != NULL, "%s", h->file.why);
    snprintf(aside, sizeof aside, "%s/%s", folder, strstr(h->file.why, HISTORY_FILE ".damaged-"));
    history_close(h);
    cr_expect_eq(access(aside, F_OK), 0, "%s", aside);
    cr_expect_neq(access(older, F_OK), 0, "the newest stays alone");
    h = open_it(&wide);
    cr_expect_eq(*why, '\0', "%s", why);
    cr_expect_eq(history_keep(h, client->seg), 9);
    cr_expect_not(history_due(h, client->seg));
    history_close(h);
}

/* The writer goes on while a reader is slow to take its rows, and its log becomes short again. */
static struct history *beside;
static int checkpoint;

static void slow_row(void *user, const struct history_row *row)
{
    got_row(user, row);
    if (got.count > 1) return;
    happen(5);
    cr_expect_eq(history_keep(beside, client->seg), 5);
    checkpoint = sqlite3_wal_checkpoint_v2(beside->file.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

Test(history, a_slow_reader_holds_nobody_up)
{
    uint64_t most = UINT64_MAX, rotated = 0;
    const struct history_reader reader = {got_kept, slow_row, &most};

    beside = open_it(&wide);
    happen(20);
    cr_assert_eq(history_keep(beside, client->seg), 20);
    memset(&got, 0, sizeof got);
    cr_expect_eq(history_read(folder, NULL, &(struct history_wanted){.since = 0}, &reader, &rotated, why), 1, "%s", why);
    cr_expect_eq(got.count, 20, "those of its moment");
    cr_expect_eq(checkpoint, SQLITE_OK, "%d", checkpoint);
    history_close(beside);
}

/* A full disk, or nearly so: a file may not become larger. */
Test(history, no_room)
{
    struct history *h = open_it(&wide);
    struct rlimit before;
    int kept;

    happen(EVENTS - 1);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){16384, before.rlim_max}), 0);
    kept = history_keep(h, client->seg);
    setrlimit(RLIMIT_FSIZE, &before);
    cr_expect_eq(kept, -1);
    cr_expect(strstr(h->file.why, "cannot write ") != NULL, "%s", h->file.why);
    cr_expect(strstr(h->file.why, "put aside") == NULL, "%s", h->file.why);
    history_close(h);
    h = open_it(&wide);
    cr_expect_eq(history_keep(h, client->seg), EVENTS - 1);
    look();
    cr_expect_eq(got.count, EVENTS - 1);
    cr_expect_eq(got.lost, 0);
    history_close(h);
}

/* Where old events cannot be dropped new ones are kept, and what is open stays so. */
Test(history, no_room_made)
{
    struct history *h = open_it(&wide);
    sqlite3 *locker;

    cr_assert_eq(sqlite3_open(h->file.path, &locker), SQLITE_OK);
    cr_assert_eq(history_run(locker, "BEGIN IMMEDIATE"), SQLITE_OK);
    cr_expect_eq(history_keep(h, client->seg), 0);
    cr_expect(strstr(h->file.why, "cannot make room in ") != NULL, "%s", h->file.why);
    cr_assert_eq(history_run(locker, "COMMIT"), SQLITE_OK);
    sqlite3_close(locker);
    for (int i = 0; i < 6; i++) {
        happen(EVENTS - 1);
        cr_expect_eq(history_keep(h, client->seg), EVENTS - 1);
        cr_expect_str_empty(h->file.why);
    }
    cr_expect(h->crammed, "not sooner because many have come");
    h->rotated = 0;
    cr_expect_eq(history_keep(h, client->seg), 0);
    cr_expect_not(h->crammed);
    history_close(h);
}

Test(history, for_its_owner_alone)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    mode_t mask = umask(0);
    struct history *h = open_it(&wide);
    char path[512];
    struct stat st;

    happen(1);
    cr_expect_eq(history_keep(h, client->seg), 1);
    umask(mask);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(path, sizeof path, "%s/%s%s", folder, HISTORY_FILE, parts[i]);
        cr_expect_eq(stat(path, &st), 0, "%s", path);
        cr_expect_eq(st.st_mode & 0777, 0600, "%s: %o", path, (unsigned)st.st_mode);
    }
    history_close(h);
}

/* A segment of the same name that was made later begins anew, beside what is kept of the first. */
Test(history, another_segment)
{
    struct history *h = open_it(&wide);

    happen(6);
    cr_expect_eq(history_keep(h, client->seg), 6);
    history_close(h);
    fixture_teardown();
    fixture_setup();
    happen(3);
    h = open_it(&wide);
    cr_expect_eq(history_keep(h, client->seg), 3);
    cr_assert_eq(look_for(&(struct history_wanted){.since = 0}, UINT64_MAX), 1);
    cr_expect_eq(got.count, 9);
    cr_expect_eq(got.numbers[6], 1, "the later one's come last");
    history_close(h);
}

/* ---- where ------------------------------------------------------------------------------------------------------- */

static void lies_in(const char *option, const char *expected)
{
    char *is = tool_state_folder(option, "/seg");

    cr_expect_str_eq(is, expected);
    free(is);
}

Test(history, the_state_directory)
{
    char deep[512], *found;

    setenv("HOME", "/me", 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("STATE_DIRECTORY");
    lies_in(NULL, "/me/.local/state/apiary/seg");
    setenv("XDG_STATE_HOME", "relative", 1);
    lies_in(NULL, "/me/.local/state/apiary/seg");
    setenv("XDG_STATE_HOME", "/state", 1);
    lies_in(NULL, "/state/apiary/seg");
    setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b", 1);
    lies_in(NULL, "/var/lib/a/seg");
    lies_in("/given", "/given/seg");
    setenv("STATE_DIRECTORY", "", 1);
    lies_in(NULL, "/state/apiary/seg");
    setenv("XDG_STATE_HOME", folder, 1);
    snprintf(deep, sizeof deep, "%s/apiary/seg", folder);
    found = tool_state_find(NULL, "/seg", HISTORY_FILE);
    cr_expect_str_eq(found, deep);
    free(found);
    cr_expect_eq(ap_state_make(deep, why, sizeof why), 0, "%s", why);
    cr_expect_eq(ap_state_make(deep, why, sizeof why), 0, "%s", why);
    cr_expect_eq(ap_state_make("/dev/null/apiary/seg", why, sizeof why), APIARY_ESYS);
    cr_expect_str_eq(why, "cannot make /dev/null/apiary: Not a directory");
    cr_expect_null(history_open("/dev/null/x", client->seg, &wide, why));
    cr_expect_str_eq(why, "cannot make /dev/null/x: Not a directory");
}
