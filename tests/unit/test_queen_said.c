/* What a queen says: of herself in the segment beat by beat, in her log, and to whom she refuses a description. */
#include <errno.h>

#include "tests/unit/worker_fixture.h"

TestSuite(queen_said, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* ---- beat by beat ------------------------------------------------------------------------------------------------ */

/* A wait for news is over at once, and took a second: so the control thread beats as often as the test lets it. */
static struct ap_ops fast;
static const uint32_t *fast_word;
static const struct ap_swarm *seen;
static uint64_t ahead;
static uint32_t wanted, made, shown; /* beats: to be made, made, and those of which the state was seen */
static int states[256];              /* after each of the last 256 */
static uint32_t sleepless;           /* waits that were to end before they began */

static uint64_t fast_now(void)
{
    return ap_ops_system.now() + ap_load_acquire(&ahead);
}

static int fast_wait(const uint32_t *word, uint32_t value, uint64_t until)
{
    if (word != ap_load_acquire(&fast_word)) return ap_ops_system.futex_wait(word, value, until);
    sleepless += until <= fast_now();
    if (made > 0) states[(made - 1) % 256] = (int)ap_load_relaxed(&seen->state);
    ap_store_release(&shown, made);
    while (made == ap_load_acquire(&wanted)) {
        if (ap_load_acquire(&fast_word) == NULL) return ap_ops_system.futex_wait(word, value, until);
        sched_yield();
    }
    ap_add_acq_rel(&ahead, 2 * SECOND);
    made++;
    return -ETIMEDOUT;
}

/* The states after so many beats; they are over. */
static const int *beat(uint32_t times)
{
    uint32_t from = wanted;

    ap_store_release(&wanted, from + times);
    while (ap_load_acquire(&shown) != from + times) sched_yield();
    return states + from % 256;
}

static int level_of_last;

static void note(void *user, int level, const char *line)
{
    ap_store_relaxed(&level_of_last, level);
    log_line(user, level, line);
}

static uint32_t gate, entered;

static void stay(void *state, apiary_job_t *job)
{
    (void)state;
    ap_store_release(&entered, 1);
    while (!ap_load_acquire(&gate)) sched_yield();
    apiary_job_reply(job, NULL, 0);
}
KIND(stay, NULL, stay, NULL);

static apiary_queen_t *start_beating(void)
{
    static const char *const caps[] = {"stay", NULL};
    static const apiary_agent_description_t agents[] = {{"stay", &stay_kind, caps, 0, NULL, NULL, NULL},
                                                        {"echo", &echo_kind, echo_caps, 1, NULL, NULL, NULL}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 2, .agents = agents,
                                          .agent_count = 2, .log = note};
    apiary_queen_t *q;

    fast = ap_ops_system;
    fast.now = fast_now;
    fast.futex_wait = fast_wait;
    a->seg->ops = &fast;
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    seen = ap_swarm_at(a->seg, queen_inside(q)->registration.swarm);
    ap_store_release(&fast_word, &queen_inside(q)->news);
    ap_queen_news(queen_inside(q));
    return q;
}

static void stop_beating(apiary_queen_t *q)
{
    ap_store_release(&fast_word, NULL);
    ap_store_release(&gate, 1);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    cr_expect_eq(sleepless, 0);
    cr_expect_str_eq(logged(), "test has left");
    cr_expect_eq(level_of_last, 6);
    a->seg->ops = &ap_ops_system;
}

/* A worker that does not come back from a handler is a warning after two beats, and critical after ten; until it does. */
Test(queen_said, a_worker_that_does_not_return_is_told_in_time)
{
    const apiary_delegate_options_t for_ever = {.struct_size = sizeof for_ever, .timeout = APIARY_FOREVER};
    apiary_queen_t *q = start_beating();
    const int *after;
    apiary_task_t task;
    int first = 0;

    cr_assert_eq(apiary_delegate(a, "stay", NULL, 0, &for_ever, &task), 0);
    while (!ap_load_acquire(&entered) || !ap_load_relaxed(&queen_inside(q)->workers[1].parked)) sched_yield();
    after = beat(14);
    while (first < 14 && after[first] == APIARY_PASSING) first++;
    cr_expect(first == 1 || first == 2, "passing for %d beats: it may have gone round since the last before", first);
    for (int i = first; i < 14; i++)
        cr_expect_eq(after[i], i < first + 8 ? APIARY_WARNING : APIARY_CRITICAL, "beat %d: %d", i, after[i]);
    ap_store_release(&gate, 1);
    /* These beats are as quick as the machine lets them be: a worker that is awake for a moment may have made no turn since. */
    do {
        while (!ap_load_relaxed(&queen_inside(q)->workers[0].parked)) sched_yield();
    } while (beat(1)[0] != APIARY_PASSING);
    stop_beating(q);
}

/* Once; whoever reads the log knows then. */
Test(queen_said, a_segment_without_its_name_is_told_once)
{
    apiary_queen_t *q = start_beating();
    char expected[256];

    snprintf(expected, sizeof expected, "test is registered with 2 agents on 2 workers, parking by %s",
             ap_park_name(ap_loop_park_kind(queen_inside(q)->workers[0].loop)));
    beat(2);
    cr_expect_str_eq(logged(), expected);
    cr_expect_eq(level_of_last, 6);
    cr_assert_eq(ap_segment_remove(name), 0);
    beat(2);
    snprintf(expected, sizeof expected, "the segment %s has been removed while in use; new processes do not find test: "
             "restart all that use it", name);
    cr_expect_str_eq(logged(), expected);
    cr_expect_eq(level_of_last, 3);
    log_line(NULL, 6, "nothing since");
    beat(4);
    cr_expect_str_eq(logged(), "nothing since");
    stop_beating(q);
    cr_assert_eq(apiary_detach(a), 0);
    setup();
}

/* ---- what she has copied ------------------------------------------------------------------------------------------- */

static char *of(const char *text)
{
    char *copy = strdup(text);

    cr_assert_not_null(copy);
    return copy;
}

/* What a description said is not looked at again, and is what others see of her. */
Test(queen_said, a_description_is_copied)
{
    char *texts[] = {of("service"), of("second"), of("1.2"), of("http://here/health"), of("http://here/metrics"),
                     of("agent"),   of("echo"),   of("other@3")};
    const char *caps[] = {texts[6], texts[7], NULL};
    apiary_agent_description_t agent = {texts[5], &echo_kind, caps, 1, NULL, NULL, NULL};
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = texts[0], .instance = texts[1], .version = texts[2],
                                    .port = 4321, .health_endpoint = texts[3], .metrics_endpoint = texts[4], .workers = 2,
                                    .max_concurrent_delegations = 7, .agents = &agent, .agent_count = 1};
    apiary_swarm_status_t row = {.struct_size = sizeof row};
    apiary_provider_t provider = {.struct_size = sizeof provider};
    const struct ap_swarm *swarm;
    apiary_t *own; /* not the first member */
    apiary_queen_t *q;

    setenv("APIARY_PARK", "poll", 1);
    cr_assert_eq(apiary_attach(name, NULL, &own), 0);
    cr_assert_eq(apiary_queen_start(own, &d, NULL, 0, &q), 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        memset(texts[i], '#', strlen(texts[i]));
        free(texts[i]);
    }
    memset(caps, 0, sizeof caps);
    memset(&agent, 0, sizeof agent);
    memset(&d, 0, sizeof d);
    cr_assert_eq(apiary_swarm_status(a, "service", &row, 1), 1);
    cr_expect_str_eq(row.service, "service");
    cr_expect_str_eq(row.instance, "second");
    cr_expect_str_eq(row.version, "1.2");
    cr_expect_eq(row.pid, getpid());
    cr_expect_eq(row.port, 4321);
    cr_expect_eq(row.agents, 1);
    cr_expect_eq(row.max_delegations, 7);
    swarm = ap_swarm_at(a->seg, queen_inside(q)->registration.swarm);
    cr_expect_eq(swarm->park, AP_PARK_POLL);
    cr_expect_eq(swarm->member, own->member);
    cr_expect_str_eq(swarm->health_endpoint, "http://here/health");
    cr_expect_str_eq(swarm->metrics_endpoint, "http://here/metrics");
    for (int i = 0; i < 2; i++) cr_expect_eq(apiary_discover(a, i ? "other@3" : "echo", &provider, 1), 1);
    cr_expect_str_eq(provider.service, "service");
    cr_expect_str_eq(provider.instance, "second");
    cr_expect_str_eq(provider.agent, "agent");
    cr_expect_eq(queen_inside(q)->agents[0].worker->index, 1);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    cr_assert_eq(apiary_detach(own), 0);
}

/* The handle of a service's member is bound by its queen's limit where that is tighter, and only then. */
Test(queen_said, the_limit_of_her_own_handle_is_tightened)
{
    static const struct {
        const char *service;
        uint32_t most, limit;
    } rows[] = {{"mine", 0, 100}, {"mine", 100, 100}, {"other", 5, 100}, {"mine", 99, 99}, {"mine", 5, 5}, {"mine", 6, 5}};
    const apiary_attach_options_t o = {.struct_size = sizeof o, .swarm = "mine"};
    apiary_t *own;

    cr_assert_eq(apiary_attach(name, &o, &own), 0);
    cr_assert_eq(own->limit, 100);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = rows[i].service, .agents = all_agents,
                                              .agent_count = 1, .max_concurrent_delegations = rows[i].most};
        apiary_queen_t *q;

        cr_assert_eq(apiary_queen_start(own, &d, NULL, 0, &q), 0);
        cr_expect_eq(ap_load_relaxed(&own->limit), rows[i].limit, "row %zu: %u", i, own->limit);
        cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    }
    cr_assert_eq(apiary_detach(own), 0);
}

static int logged_by;

static void note_user(void *user, int level, const char *line)
{
    (void)level;
    (void)line;
    ++*(int *)user;
}

/* Her log is called with what it was given, and the signals of who has started her are as they were. */
Test(queen_said, nothing_of_her_caller_is_changed)
{
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "quiet", .agents = all_agents, .agent_count = 1,
                                          .log = note_user, .log_user = &logged_by};
    sigset_t before, after;
    apiary_queen_t *q;

    cr_assert_eq(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    cr_assert_eq(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (int signal = 1; signal < 32; signal++)
        cr_expect_eq(sigismember(&before, signal), sigismember(&after, signal), "%d", signal);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    cr_expect_eq(logged_by, 2, "that she is there, and that she has left");
}

/* ---- terms that others have declared otherwise --------------------------------------------------------------------- */

static char conflicts[16][256];
static uint32_t conflict_count;

static void note_conflict(void *user, int level, const char *line)
{
    (void)user;
    if (level == 4 && conflict_count < 16) snprintf(conflicts[conflict_count++], sizeof conflicts[0], "%s", line);
}

/* Each is said with both values, as many as there is room for, and how many more there are. */
Test(queen_said, terms_that_others_have_declared_otherwise)
{
    static const char *const offers[] = {"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", NULL};
    char text[2][512] = {"", ""}, expected[256];
    apiary_agent_description_t agents[2];
    apiary_queen_t *queens[2] = {NULL, NULL};

    for (int i = 0; i < 20; i++)
        snprintf(text[i / 10] + strlen(text[i / 10]), sizeof text[0] - strlen(text[i / 10]), "c%d: {rate: %d}\n", i % 10, 100 + i);
    for (int i = 0; i < 2; i++) {
        apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = i == 0 ? "first" : "second", .agents = &agents[i],
                                        .agent_count = 1, .log = note_conflict};

        agents[i] = (apiary_agent_description_t){.name = "agent", .kind = &echo_kind, .capabilities = offers, .terms = text[i]};
        cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &queens[i]), 0);
        cr_expect_eq(conflict_count, i == 0 ? 0 : 9, "%u", conflict_count);
    }
    for (int i = 0; i < 8; i++) {
        snprintf(expected, sizeof expected,
                 "c%d: another agent has declared rate: %d; second declares %d, which is in force now", i, 100 + i, 110 + i);
        cr_expect_str_eq(conflicts[i], expected);
    }
    cr_expect_str_eq(conflicts[8], "2 more terms are declared otherwise by other agents");
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_queen_stop(queens[i], LONG), 0);
}

/* A table without room is told with what to do, and not with what somebody else was refused. */
Test(queen_said, a_table_without_room)
{
    apiary_queen_t *q = start_as(a, "first", NULL), *second = NULL;
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "second", .workers = 2, .agents = all_agents,
                                          .agent_count = AGENTS};
    char message[256], expected[256];
    int r = apiary_queen_start(a, &d, message, sizeof message, &second);

    cr_expect_eq(r, APIARY_ETABLEFULL, "16 queues, of which %zu are in use", AGENTS);
    snprintf(expected, sizeof expected, "%s; %s", apiary_strerror(r), apiary_advice(r));
    cr_expect_str_eq(message, expected);
    cr_expect_null(second);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

static struct ap_handle *taken[AP_HANDLES];

/* Neither her own handle, nor those of her agents and of their jobs, however many are left: then she is not there. */
Test(queen_said, handles_that_are_all_in_use)
{
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "late", .workers = 2, .agents = all_agents,
                                          .agent_count = AGENTS};
    apiary_queen_t *q = NULL;
    size_t n = 0;

    while ((taken[n] = ap_handle_open(&taken[n], AP_HANDLE_WATCH)) != NULL) n++;
    for (size_t left = 0; left <= AGENTS + 2; left++) {
        cr_expect_eq(apiary_queen_start(a, &d, NULL, 0, &q), APIARY_ENOBLOCK, "with %zu left", left);
        cr_expect_null(q);
        ap_handle_close(taken[--n]);
    }
    while (n > 0) ap_handle_close(taken[--n]);
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* ---- descriptions of other versions -------------------------------------------------------------------------------- */

struct later_agent {
    apiary_agent_description_t agent;
    uint64_t more;
};
struct later_swarm {
    apiary_swarm_description_t swarm;
    uint64_t more;
};

static int start_message(const void *d, char *message, size_t size)
{
    apiary_queen_t *q = NULL;
    int r;

    message[0] = '\0';
    r = apiary_queen_start(a, d, message, size, &q);
    if (r == 0) cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    else cr_expect_null(q);
    return r;
}

Test(queen_said, descriptions_of_other_versions)
{
    static const char newer[] = "the description says something that only a newer version of this library knows",
                      sizes[] = "the description's sizes are wrong; begin it with APIARY_SWARM_DESCRIPTION";
    struct later_agent agents[2] = {{.agent = all_agents[0]}, {.agent = all_agents[1]}};
    struct later_swarm d = {.swarm = {.struct_size = sizeof d, .agent_size = sizeof agents[0], .service = "later",
                                      .agents = &agents[0].agent, .agent_count = 2}};
    char message[256], expected[256];

    cr_expect_eq(start_message(&d, message, sizeof message), 0, "%s", message);
    d.more = 1;
    cr_expect_eq(start_message(&d, message, sizeof message), APIARY_ENOTSUP);
    cr_expect_str_eq(message, newer);
    d.more = 0;
    agents[1].more = 1;
    snprintf(expected, sizeof expected, "%s; %s", apiary_strerror(APIARY_ENOTSUP), apiary_advice(APIARY_ENOTSUP));
    cr_expect_eq(start_message(&d, message, sizeof message), APIARY_ENOTSUP);
    cr_expect_str_eq(message, expected);
    agents[1].more = 0;
    for (const size_t *bad = (const size_t[]){8, 40, 49, 4104, 0}; *bad != 0; bad++) {
        d.swarm.agent_size = *bad;
        cr_expect_eq(start_message(&d, message, sizeof message), APIARY_EINVAL);
        cr_expect_str_eq(message, sizes);
        d.swarm.agent_size = sizeof agents[0];
        d.swarm.struct_size = *bad;
        cr_expect_eq(start_message(&d, message, sizeof message), APIARY_EINVAL);
        cr_expect_str_eq(message, sizes);
        d.swarm.struct_size = sizeof d;
    }
    d.swarm.agent_size = 8;
    d.swarm.agent_count = 0;
    cr_expect_eq(start_message(&d, message, sizeof message), APIARY_EINVAL);
    cr_expect_str_eq(message, "later: has no agents");
}
