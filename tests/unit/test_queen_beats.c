/* A queen's beat, by a clock that runs ahead of her: what it writes, and what it tells her monitor. */
#include <errno.h>
#include <semaphore.h>

#include "tests/unit/worker_fixture.h"

TestSuite(queen_beats, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static struct ap_ops fast;
static const uint32_t *fast_word;
static uint64_t fast_ahead;
static uint32_t fast_waits;

static uint64_t fast_now(void)
{
    return ap_ops_system.now() + ap_load_acquire(&fast_ahead);
}

/* Of this one word a wait is over at once, and it was a long one. */
static int fast_wait(const uint32_t *word, uint32_t value, uint64_t until)
{
    if (word != ap_load_acquire(&fast_word)) return ap_ops_system.futex_wait(word, value, until);
    ap_add_acq_rel(&fast_ahead, 5 * SECOND);
    ap_add_acq_rel(&fast_waits, 1);
    sched_yield();
    return -ETIMEDOUT;
}

/* A record that is another's by now, or that says already that the swarm is down, is not written to. */
Test(queen_beats, she_beats_in_her_own_record_alone)
{
    struct ap_swarm *s;
    apiary_queen_t *q;
    uint64_t life, beat, others[2];

    fast = ap_ops_system;
    fast.now = fast_now;
    fast.futex_wait = fast_wait;
    a->seg->ops = &fast;
    q = start();
    s = ap_swarm_at(a->seg, queen_inside(q)->registration.swarm);
    life = ap_load_acquire(&s->life);
    others[0] = AP_SWARM_LIFE(AP_SWARM_EPOCH(life) + 2, 30, AP_SWARM_LIVE);
    others[1] = AP_SWARM_LIFE(AP_SWARM_EPOCH(life) + 1, AP_SWARM_LANE(life), AP_SWARM_DOWN);
    ap_store_release(&fast_word, &queen_inside(q)->news);
    ap_queen_news(queen_inside(q));
    for (int i = 0; i < 2; i++) {
        uint32_t from = ap_load_acquire(&fast_waits);

        ap_store_release(&s->life, others[i]);
        while (ap_load_acquire(&fast_waits) - from < 2) sched_yield(); /* one beat may have begun before */
        beat = ap_load_relaxed(&s->beat);
        while (ap_load_acquire(&fast_waits) - from < 10) sched_yield();
        cr_expect_eq(ap_load_relaxed(&s->beat), beat, "record %d", i);
        ap_store_release(&s->life, life);
        while (ap_load_relaxed(&s->beat) == beat) sched_yield();
    }
    ap_store_release(&fast_word, NULL);
    apiary_queen_stop(q, LONG);
    a->seg->ops = &ap_ops_system;
}

/* The monitor of another process holds the role and does not go on, which wakes nobody: her own is told with her beat, and stands
 * in for it. */
Test(queen_beats, her_monitor_stands_in_for_one_that_is_stopped)
{
    const uint32_t *role = ap_robust_word(&a->seg->header->role);
    uint32_t own = a->anchor->lane.index;
    apiary_queen_t *q;

    fast = ap_ops_system;
    fast.now = fast_now;
    fast.futex_wait = fast_wait;
    a->seg->ops = &fast;
    cr_assert(ap_monitor_role_take(a->seg));
    /* Its last beat is of an hour hence, as if it had gone on until the clock runs ahead, however long she takes to start. */
    fast_ahead = 3600 * SECOND;
    ap_segment_watched(a->seg, own);
    fast_ahead = 0;
    q = start();
    while ((ap_load_acquire(role) & FUTEX_WAITERS) == 0) sched_yield();
    cr_expect_eq(AP_WATCHED_LANE(ap_load_relaxed(&a->seg->header->watched)), own, "it waits for the role");
    ap_store_release(&fast_word, &queen_inside(q)->news);
    ap_queen_news(queen_inside(q));
    while (AP_WATCHED_LANE(ap_load_relaxed(&a->seg->header->watched)) == own) sched_yield();
    ap_store_release(&fast_word, NULL);
    ap_monitor_role_release(a->seg);
    apiary_queen_stop(q, LONG);
    a->seg->ops = &ap_ops_system;
}

/* Nothing that a beat writes is what an adjustment copies: the thread sanitizer would see it. */
Test(queen_beats, she_is_adjusted_while_she_beats)
{
    const struct ap_terms *terms[AGENTS] = {NULL};
    const struct ap_rules *rules[AGENTS] = {NULL};
    const struct ap_queen_given given = {.terms = terms, .rules = rules};
    const struct ap_swarm *s;
    apiary_queen_t *q;
    uint32_t from;

    fast = ap_ops_system;
    fast.now = fast_now;
    fast.futex_wait = fast_wait;
    a->seg->ops = &fast;
    q = start();
    s = ap_swarm_at(a->seg, queen_inside(q)->registration.swarm);
    ap_store_release(&fast_word, &queen_inside(q)->news);
    ap_queen_news(queen_inside(q));
    from = ap_load_acquire(&fast_waits);
    for (uint32_t i = 1; ap_load_acquire(&fast_waits) - from < 100; i = i % 100 + 1) {
        const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .weight = i};

        cr_assert_eq(ap_queen_adjust(q, &d, &given), 0);
        cr_assert_eq(ap_load_relaxed(&s->weight), i);
    }
    ap_store_release(&fast_word, NULL);
    apiary_queen_stop(q, LONG);
    a->seg->ops = &ap_ops_system;
}

static pthread_t held_thread;
static uint64_t held_time; /* which it is for that thread; 0: it has the time of all */
static uint32_t held_asked;

static uint64_t held_now(void)
{
    uint64_t held = ap_load_acquire(&held_time);

    if (held == 0 || !pthread_equal(pthread_self(), held_thread)) return ap_ops_system.now();
    ap_add_acq_rel(&held_asked, 1);
    return held;
}

static sem_t gate_entered, gate_leave;

static void gate(void *state, apiary_job_t *job)
{
    (void)state;
    sem_post(&gate_entered);
    sem_wait(&gate_leave);
    apiary_job_reply(job, NULL, 0);
}
KIND(gate, NULL, gate, NULL);

/* A worker is in a handler for less than a beat, however often she looks whether it has ended: nothing is wrong with it yet. */
Test(queen_beats, she_beats_no_faster_while_she_stops)
{
    static const char *const offers[] = {"gate", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "gate", .kind = &gate_kind, .capabilities = offers}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "own", .agents = agents, .agent_count = 1};
    const struct ap_swarm *s;
    apiary_queen_t *q = NULL;
    uint64_t held = ap_ops_system.now();
    uint32_t from;

    sem_init(&gate_entered, 0, 0);
    sem_init(&gate_leave, 0, 0);
    fast = ap_ops_system;
    fast.now = held_now;
    a->seg->ops = &fast;
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    s = ap_swarm_at(a->seg, queen_inside(q)->registration.swarm);
    held_thread = queen_inside(q)->control;
    do { /* the last beat that is due; her worker may not have begun to go round at those before */
        held += LONG; /* so the time to stop is over when it begins */
        ap_store_release(&held_time, held);
        /* Again and again: who was awake may have asked for the time before, and have seen the first news after that. */
        while (ap_load_relaxed(&s->beat) != held) {
            ap_queen_news(queen_inside(q));
            sched_yield();
        }
    } while (ap_load_relaxed(&s->state) != APIARY_PASSING);
    cr_assert_eq(apiary_delegate(a, "gate", NULL, 0, &(apiary_delegate_options_t){.struct_size = sizeof(apiary_delegate_options_t),
                                                                                  .flags = APIARY_DETACH}, NULL), 0);
    sem_wait(&gate_entered);
    cr_assert_eq(apiary_queen_stop(q, 0), APIARY_ETIMEDOUT);
    from = ap_load_acquire(&held_asked);
    while (ap_load_acquire(&held_asked) - from < 100) sched_yield();
    cr_expect_eq(ap_load_relaxed(&s->state), APIARY_PASSING);
    cr_expect_eq(ap_load_relaxed(&s->stuck), 0, "since when it has not gone on");
    sem_post(&gate_leave);
    ap_store_release(&held_time, 0);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    a->seg->ops = &ap_ops_system;
}

/* The words that anybody has waited on: other threads of hers wait, too. */
static const uint32_t *waited_on[256];
static uint32_t waits;

static int noted_wait(const uint32_t *word, uint32_t value, uint64_t until)
{
    ap_store_release(&waited_on[ap_add_relaxed(&waits, 1) % 256], word);
    return ap_ops_system.futex_wait(word, value, until);
}

static bool was_waited_on(const uint32_t *word)
{
    for (int i = 0; i < 256; i++)
        if (ap_load_acquire(&waited_on[i]) == word) return true;
    return false;
}

static int create_patiently(apiary_agent_t *agent, void **state)
{
    const struct ap_agent *own = ap_handle_get(agent);

    while (!was_waited_on(&own->queen->news)) sched_yield();
    *state = agent;
    return 0;
}
KIND(patient, create_patiently, echo, NULL);

/* However long her agents take to be made. */
Test(queen_beats, she_sleeps_until_her_agents_are_made)
{
    static const char *const offers[] = {"patient", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "patient", .kind = &patient_kind, .capabilities = offers}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "own", .agents = agents, .agent_count = 1};
    apiary_queen_t *q = NULL;

    fast = ap_ops_system;
    fast.futex_wait = noted_wait;
    a->seg->ops = &fast;
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    apiary_queen_stop(q, LONG);
    a->seg->ops = &ap_ops_system;
}
