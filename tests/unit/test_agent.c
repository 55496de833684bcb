/* What an agent may ask of its surroundings while it is made, and what its log takes. */
#include "tests/unit/worker_fixture.h"

TestSuite(agent, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static char message[1024];

/* An agent "a" of that kind alone. */
static int start_kind(const apiary_agent_kind_t *kind, apiary_queen_t **q)
{
    const apiary_agent_description_t agents[] = {{.name = "a", .kind = kind, .capabilities = echo_caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .agents = agents, .agent_count = 1,
                                          .log = log_line};

    message[0] = '\0';
    return apiary_queen_start(a, &d, message, sizeof message, q);
}

/* ---- how many jobs at once --------------------------------------------------------------------------------------- */

static uint32_t wanted, late_limits[2];

static int limit_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    if (wanted == UINT32_MAX - 1) return 0; /* says nothing */
    cr_expect_eq(apiary_agent_limit(agent, 7), 0);
    return apiary_agent_limit(agent, wanted);
}

static void limit_late(void *state, apiary_job_t *job)
{
    for (int i = 0; i < 2; i++) late_limits[i] = (uint32_t)-apiary_agent_limit(state, 5);
    apiary_job_reply(job, NULL, 0);
}
KIND(limit, limit_create, limit_late, NULL);

Test(agent, its_limit_is_the_nearest_that_is_allowed)
{
    static const struct {
        uint32_t wanted, limit;
    } rows[] = {{0, 1}, {1, 1}, {2, 2}, {1023, 1023}, {1024, 1024}, {1025, 1024}, {UINT32_MAX, 1024}, {UINT32_MAX - 1, 64}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct ap_agent *agent;
        apiary_queen_t *q = NULL;
        char text[8];

        wanted = rows[i].wanted;
        cr_assert_eq(start_kind(&limit_kind, &q), 0, "%s", message);
        agent = &queen_inside(q)->agents[0];
        cr_expect_eq(agent->limit, rows[i].limit, "%u became %u", wanted, agent->limit);
        cr_expect_eq(agent->worker->job_count, rows[i].limit);
        cr_assert_eq(call("echo", "", 0, text, sizeof text), 0);
        cr_expect_eq(late_limits[0], (uint32_t)-APIARY_EINVAL, "its jobs are made");
        cr_expect_eq(late_limits[1], (uint32_t)-APIARY_EINVAL);
        cr_expect_eq(agent->limit, rows[i].limit);
        cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    }
    cr_expect_eq(apiary_agent_limit(NULL, 1), APIARY_EINVAL);
}

/* ---- why it cannot be made ---------------------------------------------------------------------------------------- */

static int levels[4], levels_n; /* what the agent logs while it is made, by level; on a thread of its own where negative */

static void *say_elsewhere(void *agent)
{
    apiary_agent_log(agent, 3, "said elsewhere");
    return NULL;
}

static int say_and_refuse(apiary_agent_t *agent, void **state)
{
    pthread_t thread;

    *state = agent;
    for (int i = 0; i < levels_n; i++) {
        if (levels[i] >= 0) {
            apiary_agent_log(agent, levels[i], "said at %d", levels[i]);
            continue;
        }
        cr_assert_eq(pthread_create(&thread, NULL, say_elsewhere, agent), 0);
        pthread_join(thread, NULL);
    }
    return APIARY_ENOTSUP;
}
KIND(sayer, say_and_refuse, echo, NULL);

/* The last error that it logs itself; a warning, or what a thread of its own has to say, is none. */
Test(agent, the_reason_is_what_it_logs_as_an_error)
{
    static const struct {
        int levels[4], n;
        const char *reason; /* NULL: that of the error */
    } rows[] = {{{0}, 0, NULL},          {{4}, 1, NULL},         {{3}, 1, "said at 3"},    {{0}, 1, "said at 0"},
                {{3, 4}, 2, "said at 3"}, {{3, 2}, 2, "said at 2"}, {{-1}, 1, NULL},         {{3, -1}, 2, "said at 3"},
                {{7, 6, 5, 4}, 4, NULL}};
    char expected[512];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        apiary_queen_t *q = NULL;

        memcpy(levels, rows[i].levels, sizeof levels);
        levels_n = rows[i].n;
        cr_expect_eq(start_kind(&sayer_kind, &q), APIARY_ENOTSUP);
        cr_expect_null(q);
        if (rows[i].reason != NULL) snprintf(expected, sizeof expected, "agent a: %s", rows[i].reason);
        else snprintf(expected, sizeof expected, "agent a: %s; %s", apiary_strerror(APIARY_ENOTSUP), apiary_advice(APIARY_ENOTSUP));
        cr_expect_str_eq(message, expected, "row %zu", i);
    }
}

/* ---- its log ------------------------------------------------------------------------------------------------------- */

static void say(void *state, apiary_job_t *job)
{
    static const char text[] = "all of it";

    apiary_agent_log_text(state, 6, text, sizeof text - 1);
    cr_expect_str_eq(logged(), "a: all of it");
    apiary_agent_log_text(state, 6, text, 3);
    cr_expect_str_eq(logged(), "a: all");
    apiary_agent_log_text(state, 6, NULL, 10);
    cr_expect_str_eq(logged(), "a: all", "nothing is no text");
    apiary_agent_log_text(state, 6, NULL, 0);
    cr_expect_str_eq(logged(), "a: ");
    apiary_agent_log(state, 6, "%d%%", 7);
    cr_expect_str_eq(logged(), "a: 7%");
    apiary_agent_log(NULL, 6, "whose?");
    apiary_agent_log_text(NULL, 6, "whose?", 6);
    cr_expect_str_eq(logged(), "a: 7%");
    apiary_job_reply(job, NULL, 0);
}
KIND(sayer_of_texts, create_nothing, say, NULL);

Test(agent, its_log_takes_texts_with_and_without_an_end)
{
    apiary_queen_t *q = NULL;
    char text[8];

    cr_assert_eq(start_kind(&sayer_of_texts_kind, &q), 0, "%s", message);
    cr_assert_eq(call("echo", "", 0, text, sizeof text), 0);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* ---- timers -------------------------------------------------------------------------------------------------------- */

#define AFTER (20 * (SECOND / 1000))

static uint64_t asked_at;

static void tell_how_long(void *job, uint32_t events)
{
    uint64_t took = ap_ops_system.now() - asked_at;

    (void)events;
    apiary_job_reply(job, &took, sizeof took);
}

static void never(void *user, uint32_t events)
{
    (void)user;
    (void)events;
    cr_expect_fail("a timer of no end");
}

static void wait_a_while(void *state, apiary_job_t *job)
{
    apiary_watch_t *watch = NULL;

    cr_expect_eq(apiary_watch_timer(state, UINT64_MAX, never, NULL, &watch), 0);
    cr_expect_eq(apiary_watch_timer(state, UINT64_MAX - SECOND, never, NULL, &watch), 0);
    asked_at = ap_ops_system.now();
    cr_expect_eq(apiary_watch_timer(state, AFTER, tell_how_long, job, NULL), 0);
}
KIND(waiter, create_nothing, wait_a_while, NULL);

Test(agent, a_timer_begins_now)
{
    apiary_queen_t *q = NULL;
    uint64_t took = 0;
    size_t n;

    cr_assert_eq(start_kind(&waiter_kind, &q), 0, "%s", message);
    cr_assert_eq(apiary_call(a, "echo", NULL, 0, APIARY_TIMEOUT(LONG), &took, sizeof took, &n), 0);
    cr_expect_geq(took, AFTER);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}
