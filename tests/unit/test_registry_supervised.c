/* tests/unit/test_registry_supervised.c - what supervisors say of their instances: read whole by anybody, also of the dead. */
#include "registry_fixture.h"

#include "registry/monitor/supervised.h"

TestSuite(supervised, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static uint32_t own_lane(void)
{
    return client->anchor->lane.index;
}

static struct ap_supervision told(uint32_t n)
{
    struct ap_supervision s = {.state = AP_CHILD_WAITING, .instance = n, .starts = n + 1, .ends = 1, .end = AP_END_CODE,
                               .code = n % 200, .changed = n + 1, .ended = n + 1, .due = n + 1};
    char line[AP_SAID_MAX];

    memset(line, 'a' + (int)(n % 26), sizeof line);
    ap_supervision_said(&s, line, sizeof line);
    return s;
}

static uint32_t take(const char *service, uint32_t n)
{
    struct ap_supervision first = told(n);
    uint32_t row = UINT32_MAX;

    cr_assert_eq(ap_supervised_take(client->seg, own_lane(), getpid(), service, &first, &row), 0);
    return row;
}

Test(supervised, a_row_says_what_was_written_last_and_by_whom)
{
    struct ap_supervised_view v;
    struct ap_supervision next = told(7);
    uint32_t row = take("web", 3);

    cr_assert(ap_supervised_read(client->seg, row, &v));
    cr_expect_str_eq(v.service, "web");
    cr_expect_eq(v.last.starts, 4);
    cr_expect(v.supervised);
    cr_expect_eq(v.supervisor, getpid());
    cr_expect_neq(v.held, 0);
    ap_supervised_write(client->seg, row, &next);
    cr_assert(ap_supervised_read(client->seg, row, &v));
    cr_expect_arr_eq(&v.last, &next, sizeof next);
    assert_sound();
    ap_supervised_end(client->seg, own_lane());
    ap_supervised_end(client->seg, own_lane());
    cr_assert(ap_supervised_read(client->seg, row, &v), "what is known last stays");
    cr_expect(!v.supervised);
    cr_expect_geq(v.left, v.held / 1000000 * 1000000);
    cr_expect_eq(v.last.starts, 8);
    assert_sound();
    ap_supervised_forget(client->seg);
    cr_expect(!ap_supervised_read(client->seg, row, &v));
    cr_expect(!ap_supervised_read(client->seg, 99, &v));
    assert_sound();
}

Test(supervised, one_instance_is_forgotten_and_its_neighbours_are_not)
{
    struct ap_supervised_view v;
    uint32_t rows[3] = {take("web", 0), take("web", 1), take("more", 1)};

    cr_expect_not(ap_supervised_forget_instance(client->seg, "web", "1"), "what is held is not forgotten");
    ap_supervised_end(client->seg, own_lane());
    cr_expect_not(ap_supervised_forget_instance(client->seg, "web", "2"));
    cr_expect_not(ap_supervised_forget_instance(client->seg, "web", "one"));
    cr_expect(ap_supervised_forget_instance(client->seg, "web", "1"));
    cr_expect_not(ap_supervised_forget_instance(client->seg, "web", "1"), "once");
    for (int i = 0; i < 3; i++) cr_expect_eq(ap_supervised_read(client->seg, rows[i], &v), i != 1);
    assert_sound();
}

/* Four rows: those of who is gone are given to others, those of the living are not. */
Test(supervised, a_full_table_is_an_answer)
{
    struct ap_supervision first = told(1);
    struct ap_supervised_view v;
    uint32_t row;

    for (int i = 0; i < 4; i++) take("web", 0);
    cr_expect_eq(ap_supervised_take(client->seg, own_lane(), 1, "more", &first, &row), APIARY_ETABLEFULL);
    cr_expect_eq(ap_supervised_take(client->seg, own_lane(), 1, "no name", &first, &row), APIARY_EINVAL);
    ap_supervised_end(client->seg, own_lane());
    row = take("more", 1);
    cr_assert(ap_supervised_read(client->seg, row, &v));
    cr_expect_str_eq(v.service, "more");
    cr_expect(v.supervised);
    ap_supervised_forget(client->seg);
    cr_expect(ap_supervised_read(client->seg, row, &v), "what is held is not forgotten");
    assert_sound();
    ap_supervised_end(client->seg, own_lane());
}

Test(supervised, a_line_that_is_too_long_says_how_long_it_was)
{
    struct ap_supervision s = {0};
    char line[AP_SAID_MAX + 10];

    ap_supervision_said(&s, "a\tb\r", 4);
    cr_expect_str_eq(s.said, "a b ");
    memset(line, 'x', sizeof line);
    memcpy(line + AP_SAID_MAX - 1, "\xc3\xa4", 2); /* a letter on the border */
    ap_supervision_said(&s, line, sizeof line);
    cr_expect_eq(s.said_size, sizeof line);
    cr_expect_eq(strlen(s.said), AP_SAID_MAX - 1);
    ap_supervision_said(&s, line, AP_SAID_MAX + 1);
    cr_expect_eq(s.said_size, AP_SAID_MAX + 1);
    cr_expect_eq(strlen(s.said), AP_SAID_MAX - 1);
}

static struct ap_ops ops;
static uint64_t date_is;

static uint64_t own_date(void)
{
    return date_is;
}

static void date_set(uint64_t date)
{
    ops = ap_ops_system;
    ops.realtime = own_date;
    date_is = date;
    client->seg->ops = &ops;
}

/* Each field of the row, and of what is read of it; a free row before one that was left. */
Test(supervised, a_row_that_is_taken)
{
    struct ap_supervision first = told(2);
    struct ap_supervised *s, zero = {0};
    struct ap_supervised_view v;
    uint32_t row = 77;

    date_set(7000000);
    take("orphan", 0);
    ap_supervised_end(client->seg, own_lane());
    cr_assert_eq(ap_supervised_take(client->seg, own_lane(), 4242, "web", &first, &row), 0);
    cr_expect_eq(row, 1);
    s = ap_supervised_at(client->seg, 1);
    cr_expect_eq(s->life, AP_SUPERVISED_LIFE(2, own_lane(), AP_SUPERVISED_HELD));
    cr_expect(s->turn == 1 && s->left == 0 && s->held == 7000000 && s->supervisor == 4242);
    cr_expect_arr_eq(s->record[1], &first, sizeof first);
    cr_expect_arr_eq(s->record[0], zero.record[0], sizeof first);
    cr_expect_arr_eq(ap_supervised_at(client->seg, 2), &zero, sizeof zero);
    memset(&v, 'x', sizeof v);
    cr_assert(ap_supervised_read(client->seg, 1, &v));
    cr_expect(v.supervised && v.supervisor == 4242 && v.held == 7000000 && v.left == 0);
    cr_expect_str_eq(v.service, "web");
    cr_expect_arr_eq(&v.last, &first, sizeof first);
    ap_supervised_write(client->seg, 4, &first); /* there is none */
    cr_expect_eq(ap_supervised_take(client->seg, own_lane(), 1, "longer-than-web", &first, &row), 0);
    cr_expect_eq(ap_supervised_take(client->seg, own_lane(), 1, "d", &first, &row), 0);
    cr_expect_eq(row, 3);
    cr_expect_eq(ap_supervised_take(client->seg, own_lane(), 1, "a", &first, &row), 0);
    cr_expect_eq(row, 0, "that of the orphan");
    cr_assert(ap_supervised_read(client->seg, 0, &v));
    cr_expect_str_eq(v.service, "a");
    client->seg->ops = &ap_ops_system;
    ap_supervised_end(client->seg, own_lane());
    assert_sound();
}

/* By its state, its lane, and what a first reaper has noted. */
Test(supervised, how_a_row_ends)
{
    static const uint32_t then[] = {AP_SUPERVISED_FREE, AP_SUPERVISED_FREE, AP_SUPERVISED_ORPHANED, AP_SUPERVISED_ORPHANED};
    struct ap_supervised *s = ap_supervised_at(client->seg, 1);
    struct ap_supervised_view v;

    date_set(9000000);
    take("zero", 0);
    take("web", 0);
    for (uint32_t state = AP_SUPERVISED_FREE; state <= AP_SUPERVISED_ORPHANED; state++) {
        bool moves = state == AP_SUPERVISED_FILLING || state == AP_SUPERVISED_HELD;
        uint32_t lane = moves ? own_lane() : 0;
        uint64_t life = AP_SUPERVISED_LIFE(6, lane, state);

        s->life = life;
        s->left = AP_LEFT(6, 5000000);
        cr_expect_eq(ap_supervised_read(client->seg, 1, &v), state >= AP_SUPERVISED_HELD, "state %u", state);
        ap_supervised_end(client->seg, own_lane() + 1);
        ap_supervised_withdraw(client->seg, own_lane(), AP_LIFE(1, AP_LIFE_DEAD));
        cr_expect_eq(s->life, life, "state %u: neither another lane's, nor beside a reaper", state);
        ap_supervised_withdraw(client->seg, own_lane(), 0);
        cr_expect_eq(s->life, moves ? AP_SUPERVISED_LIFE(7, 0, then[state]) : life, "state %u", state);
        cr_expect_eq(s->left, AP_LEFT(6, 5000000), "the first one's time holds");
        ap_supervised_forget(client->seg);
        cr_expect_eq(AP_SUPERVISED_STATE(s->life), AP_SUPERVISED_FREE);
    }
    for (int i = 0; i < 4; i++) {
        s->life = AP_SUPERVISED_LIFE(0xffff, own_lane(), AP_SUPERVISED_HELD);
        s->left = i == 0 ? 0 : i == 1 ? AP_LEFT(0xfffe, 5000000) : AP_LEFT(0xffff, 0);
        ap_supervised_end(client->seg, own_lane());
        cr_expect_eq(s->left, AP_LEFT(0xffff, 9000000), "%d", i);
        if (i == 3) s->left = AP_LEFT(0xfffe, 9000000);
        cr_assert(ap_supervised_read(client->seg, 1, &v));
        cr_expect(!v.supervised && v.left == (i == 3 ? 0 : 9000000), "%d: by another supervisor it says nothing", i);
    }
    client->seg->ops = &ap_ops_system;
}

/* Of a row that was damaged: the texts end. */
Test(supervised, texts_that_do_not_end)
{
    struct ap_supervised_view v;
    uint32_t row = take("web", 0);
    struct ap_supervised *s = ap_supervised_at(client->seg, row);

    cr_assert_not_null(s);
    memset(s->service, 'x', sizeof s->service);
    memset(((struct ap_supervision *)(void *)s->record[s->turn % 2])->said, 'y', AP_SAID_MAX + 1);
    cr_assert(ap_supervised_read(client->seg, row, &v));
    cr_expect_eq(strnlen(v.service, sizeof v.service), APIARY_NAME_MAX);
    cr_expect_eq(strnlen(v.last.said, sizeof v.last.said), AP_SAID_MAX);
    ap_supervised_end(client->seg, own_lane());
}

/* At each border: what prints is kept, what does not is a space, and a letter is whole or is not there. */
Test(supervised, lines_of_every_length)
{
    struct ap_supervision s;
    char line[AP_SAID_MAX + 8], want[AP_SAID_MAX + 1];

    for (size_t size = AP_SAID_MAX - 2; size <= AP_SAID_MAX + 4; size++) {
        for (size_t letter = AP_SAID_MAX - 4; letter + 3 <= size; letter++) {
            size_t n = size <= AP_SAID_MAX ? size : letter < AP_SAID_MAX && letter + 3 > AP_SAID_MAX ? letter : AP_SAID_MAX;

            memset(&s, 'x', sizeof s);
            memset(line, 'a', sizeof line);
            memcpy(line + letter, "\xe2\x82\xac", 3);
            line[0] = 0x1f;
            line[1] = 0x7f;
            line[2] = 0x20;
            line[3] = 0x7e;
            ap_supervision_said(&s, line, size);
            memset(want, 0, sizeof want);
            memcpy(want, line, n);
            memset(want, ' ', 2);
            cr_expect_eq(s.said_size, size);
            cr_expect_arr_eq(s.said, want, sizeof want, "%zu bytes, a letter at %zu", size, letter);
        }
    }
    memset(line, 0x80, sizeof line);
    ap_supervision_said(&s, line, sizeof line);
    cr_expect_str_eq(s.said, "", "the end of a letter without its beginning");
    ap_supervision_said(&s, "", 0);
    cr_expect(s.said_size == 0 && s.said[0] == '\0');
}

/* A supervisor that is killed: its rows stay, say so at once, and say since when after the recovery. */
Test(supervised, a_killed_one_leaves_rows_that_nobody_supervises)
{
    struct ap_supervised_view v;
    int ready[2];
    char c;
    pid_t pid;

    cr_assert_eq(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        apiary_attach_options_t o = {.struct_size = sizeof o, .name = "up", .kind = APIARY_TOOL};
        struct ap_supervision first = told(5);
        uint32_t row;
        apiary_t *a;

        if (apiary_attach(seg_name, &o, &a) != 0 ||
            ap_supervised_take(a->seg, a->anchor->lane.index, getpid(), "web", &first, &row) != 0 || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;) pause();
    }
    close(ready[1]);
    cr_assert_eq(read(ready[0], &c, 1), 1);
    close(ready[0]);
    cr_assert(ap_supervised_read(client->seg, 0, &v));
    cr_expect(v.supervised);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_assert(ap_supervised_read(client->seg, 0, &v));
    cr_expect(!v.supervised, "before anybody has recovered it");
    cr_expect_eq(v.left, 0);
    ap_reap_asking(client->seg, own_lane(), &ap_registry_hooks);
    cr_assert(ap_supervised_read(client->seg, 0, &v));
    cr_expect(!v.supervised);
    cr_expect_neq(v.left, 0);
    cr_expect_eq(v.supervisor, pid);
    cr_expect_eq(v.last.starts, 6);
    assert_sound();
}

struct reading {
    uint32_t row, stop, mixed, seen;
};

static void *read_on(void *user)
{
    struct reading *r = user;
    struct ap_supervised_view v;
    struct ap_supervision whole;

    do {
        if (!ap_supervised_read(client->seg, r->row, &v)) continue;
        whole = told(v.last.instance);
        if (memcmp(&v.last, &whole, sizeof whole) != 0) ap_add_relaxed(&r->mixed, 1);
        ap_add_relaxed(&r->seen, 1);
    } while (ap_load_acquire(&r->stop) == 0);
    return NULL;
}

Test(supervised, no_reader_sees_a_mixture)
{
    struct reading r = {.row = take("web", 0)};
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, read_on, &r), 0);
    for (uint32_t n = 1; n < 20000 || ap_load_relaxed(&r.seen) < 100; n++) {
        struct ap_supervision next = told(n);
        ap_supervised_write(client->seg, r.row, &next);
    }
    ap_store_release(&r.stop, 1);
    pthread_join(thread, NULL);
    cr_expect_eq(r.mixed, 0, "%u of %u", r.mixed, r.seen);
    ap_supervised_end(client->seg, own_lane());
}

/* An instance that is no longer to be run: nobody is told of it, and the row is another's. Only its own lane gives it back. */
Test(supervised, a_row_that_is_released_is_free)
{
    struct ap_supervised_view v;
    uint32_t row = take("web", 3), other = take("web", 4);

    ap_supervised_release(client->seg, own_lane() + 1, row);
    cr_expect(ap_supervised_read(client->seg, row, &v));
    ap_supervised_release(client->seg, own_lane(), row);
    ap_supervised_release(client->seg, own_lane(), row);
    ap_supervised_release(client->seg, own_lane(), UINT32_MAX);
    cr_expect(!ap_supervised_read(client->seg, row, &v));
    cr_assert(ap_supervised_read(client->seg, other, &v));
    cr_expect_eq(v.last.instance, 4);
    assert_sound();
    cr_expect_eq(take("mail", 1), row);
    ap_supervised_end(client->seg, own_lane());
    ap_supervised_release(client->seg, own_lane(), other);
    cr_expect(ap_supervised_read(client->seg, other, &v), "an orphaned row is not its former lane's");
    assert_sound();
}
