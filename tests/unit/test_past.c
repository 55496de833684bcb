/* tests/unit/test_past.c - the past: steps are added and thinned without a loss, gaps stay gaps, what begins anew takes nothing
 * away, and a reader is told all of it, or what is missing.
 */
#include "registry_fixture.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/history/past.h"
#include "tools/view/past_look.h"

#define STEP INT64_C(10000)
#define MINUTE INT64_C(60000)
#define HOUR INT64_C(3600000)
#define START INT64_C(1796112000000) /* a whole hour */

static char folder[256], why[HISTORY_WHY];
static struct past_row row;

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder, sizeof folder, "%s/apiary-past-XXXXXX", base != NULL ? base : "/tmp");
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
}

TestSuite(past, .init = set_up, .fini = tear_down, .timeout = TEST_LIMIT);

static struct past *open_it(void)
{
    struct past *p = past_open(folder, PAST_BYTES, why);

    cr_assert_not_null(p, "%s", why);
    return p;
}

/* One agent's row: so many tasks that ran so long. */
static const struct past_row *agent(const char *service, const char *name, uint64_t tasks, uint64_t ns)
{
    past_row_clear(&row);
    row.name = (struct past_name){.kind = PAST_AGENT, .of = "0"};
    snprintf(row.name.service, sizeof row.name.service, "%s", service);
    snprintf(row.name.what, sizeof row.name.what, "%s", name);
    row.numbers[PAST_DONE] = tasks;
    row.numbers[PAST_QUEUED] = tasks / 2;
    row.ran.buckets[ap_spread_bucket(ns)] = row.ran.count = tasks;
    row.ran.sum = tasks * ns;
    return &row;
}

static void keep(struct past *p, int64_t at, uint64_t tasks)
{
    cr_assert_eq(past_keep(p, at, STEP, agent("one", "echo", tasks, 5000), 1), 0, "%s", p->file.why);
}

/* ---- what was read */

static struct {
    struct past_step steps[4096];
    struct past_row rows[4096]; /* the first of each */
    struct past_gap gaps[64];
    size_t count, gap_count, most;
    uint64_t done, ran;
    int64_t watched;
} got;

static bool got_step(void *user, const struct past_step *step)
{
    (void)user;
    cr_assert_lt(got.count, 4096);
    got.steps[got.count] = *step;
    if (step->count > 0) got.rows[got.count] = step->rows[0];
    for (size_t i = 0; i < step->count; i++) {
        got.done += step->rows[i].numbers[PAST_DONE];
        got.ran += step->rows[i].ran.count;
    }
    got.watched += step->watched;
    return ++got.count != got.most;
}

static void got_gap(void *user, const struct past_gap *gap)
{
    (void)user;
    got.gaps[got.gap_count++] = *gap;
}

static struct past_told look_at(const struct past_wanted *wanted)
{
    const struct past_reader reader = {got_step, got_gap, NULL};
    struct past_told told;
    size_t most = got.most;

    memset(&got, 0, sizeof got);
    got.most = most;
    cr_assert_eq(past_read(folder, wanted, &reader, &told, why), 1, "%s", why);
    return told;
}

static struct past_told look(int64_t since, int64_t step)
{
    return look_at(&(struct past_wanted){.since = since, .until = INT64_MAX, .step = step});
}

/* ---- the code */

static void same_row(const struct past_row *a, const struct past_row *b)
{
    cr_expect_arr_eq(a->numbers, b->numbers, sizeof a->numbers);
    cr_expect_eq(a->waited.count, b->waited.count);
    cr_expect_eq(a->ran.count, b->ran.count);
    cr_expect_eq(a->ran.sum, b->ran.sum);
    cr_expect_arr_eq(a->waited.buckets, b->waited.buckets, sizeof a->waited.buckets);
    cr_expect_arr_eq(a->ran.buckets, b->ran.buckets, sizeof a->ran.buckets);
}

Test(past, rows_survive_their_code)
{
    struct past_bytes bytes = {.bytes = NULL};
    struct past_row in[3], out;
    uint64_t number;
    size_t at = 0;

    for (int i = 0; i < 3; i++) past_row_clear(&in[i]);
    in[0].numbers[PAST_DONE] = UINT64_MAX;
    in[0].numbers[PAST_QUEUED] = 0;
    in[0].numbers[PAST_MEMORY] = UINT64_MAX - 1;
    in[1].waited.buckets[0] = 7;
    in[1].waited.buckets[AP_SPREAD_ABOVE] = 1;
    in[1].waited.count = 8;
    in[1].waited.sum = UINT64_C(1) << 45;
    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) in[1].ran.count += in[1].ran.buckets[i] = (uint64_t)i << 20 | 1;
    cr_expect(past_encode(&bytes, 1, &in[0]));
    cr_expect(past_encode(&bytes, UINT64_C(1) << 40, &in[1]));
    cr_expect_not(past_encode(&bytes, 3, &in[2]), "a row that says nothing");
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(past_decode(bytes.bytes, bytes.size, &at, &number, &out), 1);
        cr_expect_eq(number, i == 0 ? 1 : UINT64_C(1) << 40);
        same_row(&in[i], &out);
    }
    cr_expect_eq(past_decode(bytes.bytes, bytes.size, &at, &number, &out), 0);
    free(bytes.bytes);
}

/* Whatever the bytes are, the walk ends within them. */
Test(past, damaged_rows_end)
{
    struct past_bytes bytes = {.bytes = NULL};
    struct past_row out;
    uint64_t number;

    cr_assert(past_encode(&bytes, 5, agent("one", "echo", 3, 5000)));
    for (size_t size = 0; size < bytes.size; size++)
        for (unsigned flip = 0; flip < 256; flip += 17) {
            unsigned char *copy = malloc(size + 1); /* as large as it is, for the sanitizer */
            size_t at = 0;

            memcpy(copy, bytes.bytes, size);
            if (size > 0) copy[size / 2] ^= (unsigned char)flip;
            while (past_decode(copy, size, &at, &number, &out) == 1) cr_assert_leq(at, size);
            free(copy);
        }
    free(bytes.bytes);
}

/* ---- steps */

Test(past, what_was_kept_is_told)
{
    struct past *p = open_it();

    cr_assert_eq(past_begin(p, START), 0);
    for (int i = 1; i <= 30; i++) keep(p, START + i * STEP, (uint64_t)i);
    const struct past_told told = look(START, STEP);

    cr_expect_eq(told.step, STEP);
    cr_expect_eq(told.first, START + STEP);
    cr_expect_eq(told.last, START + 30 * STEP);
    cr_assert_eq(got.count, 30);
    cr_expect_eq(got.gap_count, 0);
    for (int i = 0; i < 30; i++) {
        cr_expect_eq(got.steps[i].at, START + (i + 1) * STEP);
        cr_expect_eq(got.rows[i].name.kind, PAST_SERVICE);
        cr_expect_eq(got.rows[i].numbers[PAST_DONE], (uint64_t)i + 1);
        cr_expect_eq(got.rows[i].ran.buckets[ap_spread_bucket(5000)], (uint64_t)i + 1);
    }
    past_close(p);
}

/* The sums are the same at every width, and so are the histograms; of a gauge the largest is told. */
Test(past, thinning_loses_nothing)
{
    const int64_t widths[] = {STEP, 2 * STEP, MINUTE, 5 * MINUTE, 10 * MINUTE, HOUR};
    struct past *p = open_it();
    uint64_t all = 0;

    cr_assert_eq(past_begin(p, START), 0);
    for (int i = 1; i <= 700; i++) {
        keep(p, START + i * STEP, (uint64_t)(i % 13));
        all += (uint64_t)(i % 13);
        if (i % 70 != 0) continue;
        past_close(p); /* another writer, in the midst of a wider step */
        p = open_it();
    }
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        look(START, widths[w]);
        cr_expect_eq(got.done, all, "%lu, not %lu, by %ld ms", got.done, all, widths[w]);
        cr_expect_eq(got.ran, all);
        cr_expect_eq(got.watched, 700 * STEP);
        cr_expect_eq(got.count, (size_t)((700 * STEP + widths[w] - 1) / widths[w]));
        if (widths[w] > 2 * STEP) cr_expect_eq(got.rows[0].numbers[PAST_QUEUED], w == 2 ? 3 : 6);
    }
    past_close(p);
}

/* Finer steps go when they are old, and a reader who wants them is told wider ones, and that they are. */
Test(past, old_steps_are_wide)
{
    struct past *p = open_it();
    struct past_told told;
    uint64_t all = 0;

    cr_assert_eq(past_begin(p, START), 0);
    for (int i = 1; i <= 1440; i++) { /* four hours */
        keep(p, START + i * STEP, 1);
        all++;
    }
    told = look(START, STEP);
    cr_expect_eq(told.step, MINUTE);
    cr_expect_eq(got.done, all);
    cr_expect_eq(got.count, 240);
    told = look(START + 2 * HOUR, STEP);
    cr_expect_eq(told.step, STEP);
    cr_expect_eq(got.done, 720);
    cr_expect_leq(history_number(p->file.db, "SELECT count(*) FROM step WHERE level = 0", 0), 726);
    past_close(p);
}

Test(past, a_gap_is_a_gap_at_every_width)
{
    struct past *p = open_it();

    cr_assert_eq(past_begin(p, START), 0);
    for (int i = 1; i <= 9; i++) keep(p, START + i * STEP, 6);
    past_close(p);
    p = open_it(); /* as after a kill */
    cr_assert_eq(past_begin(p, START + 300 * STEP + 1234), 0);
    look(START, STEP);
    cr_assert_eq(got.gap_count, 1, "the gap is told before the next step is");
    cr_assert_eq(past_begin(p, START + 300 * STEP + 5678), 0, "one that died at once");
    cr_assert_eq(past_keep(p, START + 301 * STEP, 4322, agent("one", "echo", 3, 5000), 1), 0);
    keep(p, START + 302 * STEP, 6);
    for (int64_t width = STEP; width <= 10 * MINUTE; width *= 6) {
        look(START, width == 36 * STEP ? 10 * MINUTE : width);
        cr_assert_eq(got.gap_count, 1);
        cr_expect_eq(got.gaps[0].from, START + 9 * STEP);
        cr_expect_eq(got.gaps[0].to, START + 300 * STEP + 5678);
        cr_expect_eq(got.done, 9 * 6 + 3 + 6);
        cr_expect_eq(got.watched, 10 * STEP + 4322);
        for (size_t i = 0; i < got.count; i++)
            cr_expect(got.steps[i].at <= START + 10 * MINUTE || got.steps[i].at > START + 300 * STEP, "nothing lies in the gap");
    }
    past_close(p);
}

Test(past, a_clock_that_is_set_back)
{
    struct past *p = open_it();

    cr_assert_eq(past_begin(p, START), 0);
    for (int i = 1; i <= 100; i++) keep(p, START + i * STEP, 1);
    cr_assert_eq(past_begin(p, START + 50 * STEP + 1), 0);
    look(START, STEP);
    cr_expect_eq(got.count, 50, "%zu steps: none lies after now", got.count);
    for (int i = 51; i <= 60; i++) keep(p, START + i * STEP, 2);
    look(START, MINUTE);
    cr_expect_eq(got.done, 50 + 20);
    cr_expect_eq(got.watched, 60 * STEP);
    past_close(p);
}

Test(past, a_reader_who_has_enough_is_left_alone)
{
    struct past *p = open_it();

    cr_assert_eq(past_begin(p, START), 0);
    for (int i = 1; i <= 20; i++) keep(p, START + i * STEP, 1);
    got.most = 5;
    look(START, STEP);
    cr_expect_eq(got.count, 5);
    got.most = 0;
    past_close(p);
}

/* However little is read at a time, all of it is told once, in steps whose times follow one another. */
Test(past, parts_are_all_of_it)
{
    struct past *p = open_it();
    struct past_wanted wanted = {.since = START, .until = INT64_MAX, .step = MINUTE, .most_bytes = 1};
    uint64_t done = 0;
    int64_t watched = 0, end = START;
    unsigned parts = 0;

    cr_assert_eq(past_begin(p, START), 0);
    for (int i = 1; i <= 20; i++) keep(p, START + i * STEP, 1);
    past_close(p);
    do {
        struct past_told told = look_at(&wanted);

        for (size_t i = 0; i < got.count; i++) {
            cr_expect_eq(got.steps[i].at - got.steps[i].watched, end, "after %u parts", parts);
            end = got.steps[i].at;
        }
        done += got.done;
        watched += got.watched;
        wanted.after = told.next;
    } while (wanted.after != 0 && ++parts < 100);
    cr_expect_eq(done, 20);
    cr_expect_eq(watched, 20 * STEP);
    cr_expect_eq(end, START + 20 * STEP);
    cr_expect_gt(parts, 2);
    wanted = (struct past_wanted){.since = START, .until = INT64_MAX, .step = MINUTE, .most_bytes = 1 << 20};
    cr_expect_eq(look_at(&wanted).next, 0);
    cr_expect_eq(got.done, 20);
}

Test(past, more_rows_than_may_be_are_refused)
{
    const struct past_reader reader = {got_step, got_gap, NULL};
    struct past *p = open_it();
    struct past_wanted wanted = {.since = START, .until = INT64_MAX, .step = STEP, .kind = PAST_AGENT, .most_rows = 2};
    struct past_row rows[3];
    struct past_told told;

    rows[0] = *agent("one", "echo", 2, 5000);
    rows[1] = *agent("one", "other", 4, 7000);
    rows[2] = *agent("two", "echo", 6, 9000);
    cr_assert_eq(past_begin(p, START), 0);
    cr_assert_eq(past_keep(p, START + STEP, STEP, rows, 3), 0);
    cr_expect_eq(past_read(folder, &wanted, &reader, &told, why), PAST_WIDE);
    cr_expect_not_null(strstr(why, "name a service"), "%s", why);
    wanted.service = "one";
    look_at(&wanted);
    cr_expect_eq(got.steps[0].count, 2);
    wanted.service = NULL;
    wanted.kind = PAST_SERVICE; /* the agents of a service are one row */
    look_at(&wanted);
    cr_expect_eq(got.steps[0].count, 2);
    past_close(p);
}

Test(past, a_damaged_number_of_a_name_is_refused)
{
    const struct past_reader reader = {got_step, got_gap, NULL};
    const struct past_wanted wanted = {.since = START, .until = INT64_MAX, .step = STEP};
    struct past *p = open_it();
    struct past_told told;

    cr_assert_eq(past_begin(p, START), 0);
    keep(p, START + STEP, 1);
    cr_assert_eq(history_run(p->file.db, "UPDATE name SET id = 4611686018427387904"), SQLITE_OK);
    cr_expect_eq(past_read(folder, &wanted, &reader, &told, why), -1);
    cr_expect_not_null(strstr(why, "the numbers of its names are damaged"), "%s", why);
    past_close(p);
}

Test(past, services_agents_and_pairs)
{
    struct past *p = open_it();
    struct past_row rows[4];

    rows[0] = *agent("one", "echo", 2, 5000);
    rows[1] = *agent("one", "other", 4, 7000);
    rows[2] = *agent("two", "echo", 6, 9000);
    past_row_clear(&rows[3]);
    rows[3].name = (struct past_name){.kind = PAST_PAIR, .service = "one", .of = "two", .what = "echo.text"};
    rows[3].numbers[PAST_DONE] = 2;
    cr_assert_eq(past_begin(p, START), 0);
    cr_assert_eq(past_keep(p, START + STEP, STEP, rows, 4), 0);
    look(START, STEP);
    cr_expect_eq(got.steps[0].count, 2);
    cr_expect_eq(got.rows[0].numbers[PAST_DONE], 6);
    cr_expect_eq(got.rows[0].numbers[PAST_QUEUED], 3, "what waits at the agents of a service is added up");
    cr_expect_eq(got.rows[0].ran.count, 6);
    look_at(&(struct past_wanted){.since = START, .until = INT64_MAX, .step = STEP, .kind = PAST_AGENT});
    cr_expect_eq(got.steps[0].count, 3);
    look_at(&(struct past_wanted){.since = START, .until = INT64_MAX, .step = STEP, .kind = PAST_PAIR, .service = "one"});
    cr_expect_eq(got.steps[0].count, 1);
    cr_expect_str_eq(got.rows[0].name.of, "two");
    look_at(&(struct past_wanted){.since = START, .until = INT64_MAX, .step = STEP, .service = "three"});
    cr_expect_eq(got.count, 1);
    cr_expect_eq(got.steps[0].count, 0);
    past_close(p);
}

Test(past, the_file_stays_within_its_size)
{
    struct past *p = past_open(folder, UINT64_C(400) << 10, why);
    static struct past_row rows[50];

    cr_assert_not_null(p, "%s", why);
    cr_assert_eq(past_begin(p, START), 0);
    for (int i = 1; i <= 720; i++) {
        for (int k = 0; k < 50; k++) {
            rows[k] = *agent("one", (const char[]){(char)('a' + k / 26), (char)('a' + k % 26), 0}, (uint64_t)i, 5000);
            for (int b = 0; b < 20; b++) rows[k].ran.buckets[b] = (uint64_t)i;
        }
        cr_assert_eq(past_keep(p, START + i * STEP, STEP, rows, 50), 0, "%s", p->file.why);
    }
    cr_expect_eq(history_number(p->file.db, "SELECT count(*) FROM step WHERE level = 0", 0), PAST_FEWEST);
    cr_expect_eq(history_number(p->file.db, "SELECT count(*) FROM step WHERE level = 2", 0), 12);
    past_close(p);
}

Test(past, a_damaged_file_is_put_aside)
{
    char path[300];
    struct past *p;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, PAST_FILE);
    f = fopen(path, "w");
    for (int i = 0; i < 1000; i++) fputs("no database", f);
    fclose(f);
    p = past_open(folder, PAST_BYTES, why);
    cr_assert_not_null(p, "%s", why);
    cr_expect_not_null(strstr(why, "put aside as " PAST_FILE ".damaged-"), "%s", why);
    cr_assert_eq(past_begin(p, START), 0);
    keep(p, START + STEP, 1);
    cr_expect_null(past_open(folder, PAST_BYTES, why), "there is one writer");
    cr_expect_not_null(strstr(why, "another apiaryd keeps its history"), "%s", why);
    past_close(p);
}

/* ---- between two looks */

static struct past_source *source(struct past_look *l, enum past_kind kind, const char *what, uint32_t queue, uint64_t done)
{
    struct past_name name = {.kind = kind, .service = "one"};
    struct past_source *s;

    snprintf(name.what, sizeof name.what, "%s", what);
    s = past_look_add(l, &name, queue, 0);
    s->queue = kind == PAST_SERVICE ? UINT32_MAX : queue;
    s->numbers[kind == PAST_SERVICE ? PAST_CPU : PAST_DONE] = done;
    return s;
}

/* What has come from `before` to `now`, of the first row of that name; both are used up but for *now. */
static uint64_t came(struct past_look *before, struct past_look *now, const char *what)
{
    struct past_row *rows;
    uint64_t ret = UINT64_MAX;
    size_t n;

    past_look_sort(before);
    past_look_sort(now);
    n = past_look_since(now, before, &rows);
    for (size_t i = 0; i < n && ret == UINT64_MAX; i++)
        if (strcmp(rows[i].name.what, what) == 0)
            ret = rows[i].numbers[rows[i].name.kind == PAST_SERVICE ? PAST_CPU : PAST_DONE];
    free(rows);
    past_look_free(before);
    *before = *now;
    *now = (struct past_look){.sources = NULL};
    return ret;
}

Test(past, counters_that_begin_anew)
{
    struct past_look a = {.sources = NULL}, b = {.sources = NULL};

    source(&a, PAST_AGENT, "echo", 3, 100);
    source(&b, PAST_AGENT, "echo", 3, 107);
    cr_expect_eq(came(&a, &b, "echo"), 7);
    source(&b, PAST_AGENT, "echo", 3, 5);
    cr_expect_eq(came(&a, &b, "echo"), 5, "it has begun anew");
    source(&b, PAST_AGENT, "other", 3, 9);
    cr_expect_eq(came(&a, &b, "other"), 9, "the queue has gone to another agent");
    source(&b, PAST_AGENT, "echo", 3, 4);
    cr_expect_eq(came(&a, &b, "echo"), 4, "and back");
    source(&b, PAST_AGENT, "echo", 3, 1000);
    cr_expect_eq(came(&a, &b, "echo"), 996);
    source(&b, PAST_AGENT, "echo", 3, 999);
    cr_expect_eq(came(&a, &b, "echo"), 0, "read while it was written");
    past_look_free(&a);
}

/* A queue that could not be read for a moment has not counted everything anew. */
Test(past, what_is_missing_for_a_moment)
{
    struct past_look a = {.sources = NULL}, b = {.sources = NULL};

    source(&a, PAST_AGENT, "echo", 3, 100);
    source(&b, PAST_AGENT, "far", 4, 1);
    cr_expect_eq(came(&a, &b, "far"), 1);
    cr_expect_eq(a.count, 2, "it was passed on");
    source(&b, PAST_AGENT, "echo", 3, 103);
    cr_expect_eq(came(&a, &b, "echo"), 3);
    past_look_free(&a);
}

Test(past, a_process_counts_from_the_first_look_at_it)
{
    struct past_look a = {.sources = NULL}, b = {.sources = NULL};

    source(&b, PAST_SERVICE, "", 700, 5000000);
    cr_expect_eq(came(&a, &b, ""), 0);
    source(&b, PAST_SERVICE, "", 700, 5000300);
    cr_expect_eq(came(&a, &b, ""), 300);
    past_look_free(&a);
}

TestSuite(past_look, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

/* What the segment of the fixture says, which nobody has asked anything. */
Test(past_look, a_segment)
{
    struct past_look a, b;
    struct past_row *rows;
    size_t n;

    past_look_take(client->seg, &a);
    past_look_take(client->seg, &b);
    n = past_look_since(&b, &a, &rows);
    for (size_t i = 0; i < n; i++) {
        cr_expect_eq(rows[i].numbers[PAST_DONE], 0);
        cr_expect_eq(rows[i].ran.count, 0);
    }
    free(rows);
    past_look_free(&a);
    past_look_free(&b);
}
