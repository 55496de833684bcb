/* tests/unit/test_registry_discovery.c - the index of capabilities at its edges, and what a lane remembers of it: each field. */
#include "registry_fixture.h"

#include "core/name.h"
#include "registry/discovery/discovery.h"

TestSuite(discovery, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

/* Instead of the fixture's segment, one with so many queues. */
static void queues_make(uint32_t queues)
{
    struct ap_geometry g = small;

    fixture_teardown();
    g.queues = queues;
    segment_make(&g);
    client = attach_as("caller");
}

static struct ap_capability *row_of(const char *name)
{
    int index = ap_capability_find(client->seg, name, strlen(name));

    cr_assert_geq(index, 0, "%s", name);
    return ap_capability_at(client->seg, (uint64_t)index);
}

static struct ap_lane_context *context(void)
{
    struct ap_lane_context *c = ap_context_here(client);

    cr_assert_not_null(c);
    return c;
}

/* Agents of one instance, each with a queue; no worker runs. */
static void enrol(struct ap_swarm_registration *r, const char *instance, uint32_t count)
{
    static struct ap_agent_registration agents[128];
    static char names[128][16];

    for (uint32_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "agent-%u", i % 1000);
        agents[i] = (struct ap_agent_registration){.name = names[i], .capabilities = echo, .lane = client->anchor->lane.index};
    }
    *r = (struct ap_swarm_registration){.service = "server", .instance = instance, .lane = client->anchor->lane.index,
                                        .member = client->member, .agents = agents, .agent_count = count};
    cr_assert_eq(ap_swarm_register(client->seg, r), 0);
}

/* ---- the index ------------------------------------------------------------------------------------------------ */

/* What there is not is neither offered nor withdrawn: not a bit of the table changes. */
Test(discovery, offers_of_queues_and_capabilities_that_there_are_not)
{
    static const uint32_t counts[] = {8, 63, 64, 65, 128};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const struct ap_section *s;
        uint32_t index, last = counts[i] - 1;
        uint8_t *before, *table;
        size_t size;

        queues_make(counts[i]);
        s = &client->seg->sections[AP_SECTION_CAPABILITIES];
        table = ap_at(client->seg, AP_SECTION_CAPABILITIES, 0);
        size = s->stride * s->count;
        before = malloc(size);
        cr_assert_eq(ap_capability_intern(client->seg, "echo", &index), 0);
        memset(row_of("echo")->providers, 0, 8 * ap_provider_words(counts[i]));
        memcpy(before, table, size);
        ap_capability_offer(client->seg, index, counts[i]);
        ap_capability_offer(client->seg, (uint32_t)s->count, 0);
        ap_capability_withdraw(client->seg, index, counts[i]);
        cr_expect_arr_eq(table, before, size, "%u queues", counts[i]);
        ap_capability_offer(client->seg, index, last);
        cr_expect_eq(row_of("echo")->providers[last / 64], UINT64_C(1) << last % 64);
        cr_expect_eq(ap_capability_next(client->seg, index, 0), (int)last);
        ap_capability_withdraw(client->seg, index, last);
        cr_expect_arr_eq(table, before, size, "%u queues", counts[i]);
        free(before);
    }
}

/* From each queue on the next that offers it, by looking at each bit. */
Test(discovery, the_next_provider)
{
    static const uint64_t words[][3] = {{0, 0, 0}, {1, 0, 0}, {UINT64_C(1) << 63, 0, 0}, {0, 1, 0}, {0, 0, 4}, {0, 0, 8},
                                        {5, UINT64_C(1) << 62, 2}, {UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    uint32_t index;
    struct ap_capability *row;

    queues_make(131);
    cr_assert_eq(ap_capability_intern(client->seg, "echo", &index), 0);
    row = row_of("echo");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        memcpy(row->providers, words[i], sizeof words[i]);
        row->providers[3] = 0; /* which of them are used */
        for (uint32_t word = 0; word < 3; word++) row->providers[3] |= (uint64_t)(words[i][word] != 0) << word;
        for (uint32_t from = 0; from <= 132; from++) {
            int next = -1;

            for (uint32_t q = from; q < 131 && next < 0; q++)
                if ((words[i][q / 64] >> q % 64 & 1) != 0) next = (int)q;
            cr_expect_eq(ap_capability_next(client->seg, index, from), next, "row %zu, from %u", i, from);
        }
    }
    memset(row->providers, 0, sizeof words[0]);
    cr_expect_eq(ap_capability_next(client->seg, UINT32_MAX, 0), -1);
    queues_make(64);
    cr_assert_eq(ap_capability_intern(client->seg, "echo", &index), 0);
    cr_expect_eq(ap_capability_next(client->seg, index, 0), -1, "the name behind the bits is none of them");
}

/* The longest name there is, and one that begins with it. */
Test(discovery, names_of_every_length)
{
    char longest[APIARY_CAPABILITY_MAX + 1], longer[APIARY_CAPABILITY_MAX + 2];
    const char *offers[] = {longest, NULL}, *unknown = "unknown";
    struct ap_swarm_registration r;
    apiary_provider_t row = {.struct_size = sizeof row};
    apiary_capability_t bound = {.index = 77};
    char message[64] = "";
    apiary_t *eye;

    memset(longer, 'x', sizeof longer);
    longer[APIARY_CAPABILITY_MAX + 1] = '\0';
    memcpy(longest, longer, sizeof longest);
    longest[APIARY_CAPABILITY_MAX] = '\0';
    enrol(&r, "0", 0);
    ap_swarm_deregister(client->seg, r.lane, &r);
    r.agents = &(struct ap_agent_registration){.name = "agent", .capabilities = offers, .lane = r.lane};
    r.agent_count = 1;
    cr_assert_eq(ap_swarm_register(client->seg, &r), 0);
    cr_assert_eq(apiary_attach(seg_name, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t),
                                                                    .read_only = 1, .message = message,
                                                                    .message_size = sizeof message}, &eye), 0, "%s", message);
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(apiary_discover(client, longest, &row, 1), 1);
        cr_expect_eq(apiary_discover(client, longer, &row, 1), APIARY_ENOCAP);
        cr_expect_eq(apiary_discover(client, unknown, &row, 1), APIARY_ENOCAP);
        cr_expect_eq(apiary_discover(eye, longest, &row, 1), 1);
        cr_expect_eq(apiary_discover(eye, longer, &row, 1), APIARY_ENOCAP);
        cr_expect_eq(apiary_discover(eye, unknown, &row, 1), APIARY_ENOCAP);
    }
    cr_expect_eq(apiary_bind(client, longer, &bound), APIARY_ENOCAP);
    cr_expect_eq(bound.index, 77);
    cr_expect_eq(apiary_bind(client, longest, &bound), 0);
    cr_expect_eq((int)bound.index, ap_capability_find(client->seg, longest, APIARY_CAPABILITY_MAX));
    apiary_detach(eye);
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

/* Another name whose search begins where that of `name` does. */
static const char *neighbour(const char *name)
{
    static char text[16];

    for (unsigned i = 0;; i++) {
        snprintf(text, sizeof text, "n%u", i % 100000);
        if (((ap_hash(text, strlen(text)) ^ ap_hash(name, strlen(name))) & 15) == 0) return text; /* of 16 rows */
    }
}

/* Whoever enters the neighbour has given the row its key, and is slow or dead: its text is not ours to write. */
Test(discovery, a_row_that_another_is_entering)
{
    const char *other = neighbour("echo");
    uint64_t key = ap_hash(other, strlen(other));
    struct ap_capability *row = ap_capability_at(client->seg, key & 15);
    char zeros[APIARY_CAPABILITY_MAX + 1] = "";
    uint32_t index;

    row->key = key;
    cr_assert_eq(ap_capability_intern(client->seg, "echo", &index), 0);
    cr_expect_eq(index, ((key & 15) + 1) & 15);
    cr_expect_eq(row->ready, 0);
    cr_expect_arr_eq(ap_capability_text(client->seg, row), zeros, sizeof zeros);
}

/* Two names of one hash have a row each, wherever they differ. */
Test(discovery, names_of_the_same_hash)
{
    char name[APIARY_CAPABILITY_MAX + 1], text[APIARY_CAPABILITY_MAX + 1];
    uint32_t first, second;

    for (uint32_t at = 0; at < APIARY_CAPABILITY_MAX; at += 8) { /* each word; two rows of the 16 for each */
        memset(name, 'a' + (int)at / 8, sizeof name);
        name[APIARY_CAPABILITY_MAX] = '\0';
        cr_assert_eq(ap_capability_intern(client->seg, name, &first), 0);
        ap_capability_text(client->seg, ap_capability_at(client->seg, first))[at] = '.';
        cr_assert_eq(ap_capability_intern(client->seg, name, &second), 0);
        cr_expect_neq(second, first, "at %u", at);
        cr_expect_eq(ap_capability_find(client->seg, name, APIARY_CAPABILITY_MAX), (int)second);
        ap_capability_name(client->seg, first, text);
        name[at] = '.';
        cr_expect_str_eq(text, name);
    }
}

/* Nothing but the name and zeros, and not a byte behind them. */
Test(discovery, a_name_that_is_copied_out)
{
    struct {
        char text[APIARY_CAPABILITY_MAX + 1], behind[16];
    } got, want;
    uint32_t index;

    cr_assert_eq(ap_capability_intern(client->seg, "echo", &index), 0);
    for (int i = 0; i < 3; i++) {
        memset(&got, 'x', sizeof got);
        memset(&want, 'x', sizeof want);
        memset(want.text, 0, sizeof want.text);
        if (i == 1) memcpy(want.text, "echo", 4);
        if (i == 2) memset(want.text, 'y', sizeof want.text - 1);
        if (i == 2) memset(ap_capability_text(client->seg, ap_capability_at(client->seg, index)), 'y', sizeof want.text);
        ap_capability_name(client->seg, i == 0 ? 1000 : index, got.text);
        cr_expect_arr_eq(&got, &want, sizeof got, "%d", i);
    }
    memset(&got, 'x', sizeof got);
    memset(&want, 'x', sizeof want);
    memset(want.text, 0, APIARY_NAME_MAX + 1);
    ap_service_name(client->seg, 1000, got.text);
    cr_expect_arr_eq(got.text, want.text, APIARY_NAME_MAX + 1);
}

/* Rows are whole lines, and no more of them than they need. */
Test(discovery, the_size_of_a_row)
{
    const struct ap_part *tickets = ap_registry_parts.rows[AP_SECTION_TICKETS];
    static struct ap_section table[AP_SECTIONS_MAX];
    struct ap_geometry g = small;

    for (uint32_t n = 1; n <= 400; n++) { /* at 320 queues a row fills its lines */
        uint64_t bytes = 16 + 8 * ((n + 63) / 64) + (n > 128 ? 8 : 0) + APIARY_CAPABILITY_MAX + 1, lines = 1;

        while (64 * lines < bytes) lines++;
        g.queues = n;
        cr_expect_eq(ap_registry_parts.rows[AP_SECTION_CAPABILITIES]->stride(&g), 64 * lines, "%u queues", n);
        for (lines = 1; 64 * lines < 4 * n;) lines++;
        g.max_concurrent_delegations = n;
        cr_expect_eq(tickets->stride(&g), 64 * lines, "%u tickets", n);
        table[AP_SECTION_TICKETS].stride = 64 * lines;
        cr_expect_eq(tickets->numbers[0].told(table, n), n, "what was asked for, if the rows are of that size");
        table[AP_SECTION_TICKETS].stride += 64;
        cr_expect_eq(tickets->numbers[0].told(table, n), 16 * lines + 16, "%u tickets", n);
    }
}

/* ---- rows ----------------------------------------------------------------------------------------------------- */

/* More providers than a lane remembers, behind the first word of bits; by a thread with a lane and by an observer. */
Test(discovery, as_many_providers_as_there_are_queues)
{
    static apiary_provider_t rows[70], again[70], seen[70];
    struct ap_swarm_registration r;
    char name[16];
    apiary_t *eye;

    queues_make(70);
    enrol(&r, "blue", 70);
    cr_assert_eq(apiary_attach(seg_name, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t), .read_only = 1},
                               &eye), 0);
    rows[0].struct_size = again[0].struct_size = seen[0].struct_size = sizeof rows[0];
    cr_assert_eq(apiary_discover(client, "echo", rows, 70), 70);
    for (uint32_t i = 0; i < 70; i++) {
        snprintf(name, sizeof name, "agent-%u", i);
        cr_expect_str_eq(rows[i].agent, name);
        cr_expect_str_eq(rows[i].service, "server");
        cr_expect_str_eq(rows[i].instance, "blue");
        cr_expect_eq(rows[i].pid, getpid());
        cr_expect_eq(rows[i].alive, 1);
        cr_expect_eq(rows[i].in_flight, 0);
        ap_store_relaxed(&ap_queue_at(client->seg, i)->running, i);
    }
    for (int turn = 0; turn < 3; turn++) {
        again[0].struct_size = sizeof rows[0];
        cr_assert_eq(apiary_discover(client, "echo", again, 70), 70);
        cr_assert_eq(apiary_discover(eye, "echo", seen, 69), 70);
        for (uint32_t i = 0; i < 70; i++) {
            rows[i].in_flight = i;
            again[i].struct_size = rows[i].struct_size = 0; /* the caller's; only the first one's is looked at */
            cr_expect_arr_eq(&again[i], &rows[i], sizeof rows[i], "%u", i);
            cr_expect_eq(seen[i].in_flight, i == 69 ? 0 : i);
            cr_expect_str_eq(seen[i].agent, i == 69 ? "" : rows[i].agent);
        }
    }
    for (uint32_t i = 0; i < 70; i++) ap_store_relaxed(&ap_queue_at(client->seg, i)->running, 0);
    apiary_detach(eye);
    for (uint32_t queues = 63; queues <= 65; queues++) {
        queues_make(queues);
        enrol(&r, "blue", queues);
        cr_expect_eq(apiary_discover(client, "echo", NULL, 0), (int)queues);
    }
}

/* Of an instance that was killed the row stays, without a process; of one that is registering there is none yet. */
Test(discovery, rows_of_each_state_of_a_swarm)
{
    struct ap_swarm_registration first, second;
    apiary_provider_t rows[3] = {{.struct_size = sizeof rows[0]}};
    struct ap_swarm *s;
    uint64_t life;

    enrol(&first, "0", 1);
    enrol(&second, "1", 1);
    s = ap_swarm_at(client->seg, second.swarm);
    life = s->life;
    for (uint32_t state = AP_SWARM_FREE; state <= AP_SWARM_DOWN; state++) {
        int count = state == AP_SWARM_LIVE || state == AP_SWARM_DOWN ? 2 : 1;

        s->life = AP_SWARM_LIFE(AP_SWARM_EPOCH(life), state == AP_SWARM_DOWN ? 0 : AP_SWARM_LANE(life), state);
        cr_assert_eq(apiary_discover(client, "echo", rows, 3), count, "state %u", state);
        cr_expect_str_eq(rows[0].instance, "0");
        cr_expect_eq(rows[0].pid, getpid());
        if (count == 1) continue;
        cr_expect_str_eq(rows[1].instance, "1");
        cr_expect_eq(rows[1].pid, state == AP_SWARM_LIVE ? getpid() : 0);
    }
    s->life = life;
    ap_swarm_end(client->seg, second.swarm, life);
    cr_assert_eq(apiary_discover(client, "echo", rows, 3), 2);
    cr_expect_eq(rows[1].pid, 0);
    cr_expect_eq(rows[1].alive, 0);
}

/* Of a queue that nobody has, that is being taken, or whose swarm is gone there is no row, whatever its bit says. */
Test(discovery, rows_of_each_state_of_a_queue)
{
    struct ap_swarm_registration r;
    apiary_provider_t row = {.struct_size = sizeof row};
    struct ap_queue *q;
    uint32_t swarm;
    uint64_t life;

    enrol(&r, "0", 1);
    q = ap_queue_at(client->seg, r.agents[0].queue);
    life = q->life;
    for (uint32_t state = AP_QUEUE_FREE; state <= AP_QUEUE_CLOSED; state++) {
        bool there = state == AP_QUEUE_OPEN || state == AP_QUEUE_CLOSED;

        q->life = AP_QUEUE_LIFE(AP_QUEUE_EPOCH(life), state == AP_QUEUE_OPEN || state == AP_QUEUE_CLAIMED ? r.lane : 0, state);
        cr_expect_eq(apiary_discover(client, "echo", &row, 1), there, "state %u", state);
        if (there) cr_expect_eq(row.alive, state == AP_QUEUE_OPEN);
    }
    swarm = ap_agent_at(client->seg, r.agents[0].queue)->swarm;
    ap_agent_at(client->seg, r.agents[0].queue)->swarm = AP_NO_SWARM;
    cr_expect_eq(apiary_discover(client, "echo", &row, 1), 0);
    ap_agent_at(client->seg, r.agents[0].queue)->swarm = swarm;
    q->life = life;
}

/* ---- what a lane remembers ------------------------------------------------------------------------------------ */

/* A row that is remembered says so by a mark in the memory of the lane. */
enum { MARK = 4242 };

Test(discovery, a_row_that_is_remembered_is_not_made_again)
{
    static char other[] = "echo";
    struct ap_swarm_registration r;
    apiary_provider_t row = {.struct_size = sizeof row};
    struct ap_lane_context *c = context();
    struct ap_known_row *known;
    struct ap_queue *q;
    struct ap_swarm *s;

    enrol(&r, "0", 1);
    known = &c->rows[r.agents[0].queue % AP_ROWS_KNOWN];
    q = ap_queue_at(client->seg, r.agents[0].queue);
    s = ap_swarm_at(client->seg, r.swarm);
    cr_assert_eq(apiary_discover(client, "echo", &row, 1), 1);
    cr_expect(known->queue == r.agents[0].queue && known->at == q && known->swarm == s && known->life == q->life &&
              known->swarm_life == s->life);
    known->row.pid = MARK;
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(apiary_discover(client, "echo", &row, 1), 1);
        cr_expect_eq(row.pid, MARK);
    }
    cr_assert_eq(apiary_discover(client, other, &row, 1), 1);
    cr_expect_eq(row.pid, MARK, "by another text, too");
    /* Until the queue or the swarm has another life. */
    s->life += AP_SWARM_LIFE(1, 0, 0);
    cr_assert_eq(apiary_discover(client, other, &row, 1), 1);
    cr_expect_eq(row.pid, getpid());
    known->row.pid = MARK;
    cr_assert_eq(ap_queue_close(client->seg, r.agents[0].queue, q->life), 1);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_discover(client, "echo", &row, 1), 1);
        cr_expect_eq(row.pid, getpid());
        cr_expect_eq(known->row.pid, MARK, "what is closed is not remembered");
    }
}

Test(discovery, a_name_is_remembered_when_it_is_asked_for_twice)
{
    static char text[] = "echo";
    struct ap_lane_context *c = context();
    struct ap_known_name *known = ap_known_place(c, text);
    struct ap_swarm_registration first, second;
    apiary_provider_t row = {.struct_size = sizeof row};

    memset(known, 0, sizeof *known);
    enrol(&first, "0", 1);
    cr_assert_eq(apiary_discover(client, text, &row, 1), 1);
    cr_expect(known->at == NULL && known->asked == text);
    cr_assert_eq(apiary_discover(client, text, &row, 1), 1);
    cr_expect(known->at == text && known->row == &c->rows[first.agents[0].queue % AP_ROWS_KNOWN]);
    cr_expect_eq((int)known->capability, ap_capability_find(client->seg, "echo", 4));
    cr_expect_eq(known->only.queue, first.agents[0].queue);
    /* Not its row when there are several, or the one is not to be picked. */
    enrol(&second, "1", 1);
    memset(known, 0, sizeof *known);
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_discover(client, text, &row, 1), 2);
    cr_expect(known->at == text && known->row == NULL);
    ap_swarm_deregister(client->seg, second.lane, &second);
    ap_store_relaxed(&ap_swarm_at(client->seg, first.swarm)->mode, APIARY_DRAIN);
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_discover(client, text, &row, 1), 1);
    cr_expect_null(known->row);
}

/* Two texts that share a place: what the first has left there is not the second's. */
Test(discovery, a_place_that_goes_to_another_name)
{
    static char texts[4096];
    static const char *const names[] = {"a.longer.name", "echo"};
    struct ap_lane_context *c = context();
    struct ap_known_name *known, *got;
    uint32_t index[2];
    char *at[2] = {texts, texts + 64};

    while (ap_known_place(c, at[1]) != ap_known_place(c, at[0])) at[1]++;
    for (int i = 0; i < 2; i++) {
        memcpy(at[i], names[i], strlen(names[i]) + 1);
        cr_assert_eq(ap_capability_intern(client->seg, names[i], &index[i]), 0);
    }
    known = ap_known_place(c, at[0]);
    memset(known, 0xff, sizeof *known);
    for (int i = 0; i < 2; i++) {
        known->only.providers = row_of(names[1 - i])->providers;
        known->row = &c->rows[3];
        got = ap_capability_learn(c, known, at[i]);
        cr_expect(got == &c->stranger && got->at == NULL, "asked for once");
        cr_expect(known->asked == at[i] && known->at != at[i] && got->capability == index[i]);
        got = ap_capability_learn(c, known, at[i]);
        cr_expect_eq(got, known);
        cr_expect(known->at == at[i] && known->capability == index[i] && known->providers == row_of(names[i])->providers);
        cr_expect(!ap_only_still(&known->only) && known->row == NULL);
        cr_expect_str_eq(known->name, names[i]);
    }
    cr_expect_null(ap_capability_learn(c, known, "unknown"));
    cr_expect_str_eq(known->name, names[1], "what is not there takes no place");
}

Test(discovery, a_bound_capability_is_remembered_whole)
{
    struct ap_lane_context *c = context();
    struct ap_known_name known, expected;
    apiary_capability_t bound, bad;
    uint32_t index;

    cr_assert_eq(ap_capability_intern(client->seg, "echo", &index), 0);
    cr_assert_eq(apiary_bind(client, "echo", &bound), 0);
    cr_expect(bound.index == index && bound.reserved == 0 && bound.check == ap_capability_check(client->seg, index));
    memset(&known, 0xff, sizeof known);
    memset(&expected, 0xff, sizeof expected);
    for (int i = 0; i < 4; i++) {
        bad = bound;
        if (i == 0) bad.check = 0;
        if (i == 1) bad.check++;
        if (i == 2) bad.reserved = 1;
        if (i == 3) bad.index++;
        cr_expect_null(ap_bound_learn(c, &known, bad), "%d", i);
        cr_expect_arr_eq(&known, &expected, sizeof known);
    }
    cr_expect_eq(ap_bound_learn(c, &known, bound), &known);
    memset(&expected, 0, sizeof expected);
    expected.at = known.name;
    expected.check = bound.check;
    expected.capability = index;
    expected.providers = row_of("echo")->providers;
    ap_only_forget(&expected.only);
    cr_expect_arr_eq(&known, &expected, sizeof known);
    cr_expect_eq(ap_capability_check(client->seg, UINT32_MAX), 0);
}
