/* Tasks of one dedup key share one run: who leads, who follows, who has what outcome (registry/conflict/coalesce.h). A worker by
 * hand, and a clock that the test sets. */
#include "tests/unit/steps_fixture.h"

#include "registry/conflict/coalesce.h"
#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "registry/routing/terms.h"
#include "shm/due.h"
#include "shm/follow.h"

TestSuite(coalesce, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

#define MANY 100
#define KEY 77

static const apiary_delegate_options_t of_key = {.struct_size = sizeof of_key, .dedup_key = KEY, .timeout = LONG};

static apiary_task_t joined_as(apiary_t *who, const void *body, size_t size, const apiary_delegate_options_t *o)
{
    apiary_task_t task = {0};
    int r = apiary_delegate(who, "first", body, size, o, &task);

    cr_assert_eq(r, 0, "%s", apiary_error_name(r));
    return task;
}

static apiary_task_t joined(const char *body)
{
    return joined_as(a, body, strlen(body), &of_key);
}

static struct ap_slot *slot_of(apiary_task_t task)
{
    return ap_slot_at(a->seg, task.slot);
}

static uint64_t word_of(apiary_task_t task)
{
    return ap_load_acquire(&slot_of(task)->word);
}

static uint32_t state_of(apiary_task_t task)
{
    return AP_WORD_GENERATION(word_of(task)) == task.generation ? AP_WORD_STATE(word_of(task)) : AP_TASK_FREE;
}

static uint64_t coalesced(void)
{
    int capability = ap_capability_find(a->seg, "first", 5);

    cr_assert_geq(capability, 0);
    return ap_load_relaxed(&ap_terms_at(a->seg, (uint64_t)capability)->coalesced);
}

static int serve(void)
{
    return ap_worker_serve(&hive.worker);
}

/* As the monitor does, whenever its hint says so. */
static void look(void)
{
    ap_due_look(b->seg, &ap_registry_hooks, b->anchor->lane.index);
}

static void expect_result(apiary_task_t task, const void *data, size_t size, int code, uint32_t agent_code)
{
    apiary_result_t result = {.struct_size = sizeof result};

    cr_assert_eq(apiary_poll(a, task, &result), 0, "it has not ended: %s", ap_task_state_name(state_of(task)));
    cr_expect_eq(result.code, code, "%s", apiary_error_name(result.code));
    cr_expect_eq(result.agent_code, agent_code);
    cr_expect(result.size == size && (size == 0 || memcmp(result.data, data, size) == 0), "%zu bytes", result.size);
    cr_expect_eq(apiary_release(a, &result), 0);
}

static void found(void *user, const struct ap_finding *f)
{
    (void)user;
    if (strcmp(f->rule, "L9") == 0) return; /* the lanes have joined by the clock of the test */
    cr_expect_fail("%s %llu %s: %s", f->structure, (unsigned long long)f->index, f->rule, f->text);
}

static void sound(void)
{
    struct ap_report report = {.found = found};

    ap_check_all(a->seg, &report);
}

/* Keeps the jobs that it gets. */
static apiary_job_t *in_hand[8];
static int held;

static void take(void *state, apiary_job_t *job)
{
    (void)state;
    in_hand[held++] = job;
}

/* One task of the key in the agent's hands, and `n` that follow it. */
static apiary_task_t led(apiary_task_t *followers, int n)
{
    apiary_task_t leader;

    hive_handlers(take, count);
    held = 0;
    leader = joined("leader");
    cr_expect_eq(serve(), 1);
    cr_assert_eq(held, 1);
    for (int i = 0; i < n; i++) followers[i] = joined("follower");
    for (int i = 0; i < n; i++) cr_assert_eq(state_of(followers[i]), AP_TASK_SCHEDULED);
    cr_expect_eq(serve(), 0);
    return leader;
}

/* ---- one run ---------------------------------------------------------------------------------------------------- */

Test(coalesce, many_tasks_of_one_key_are_run_once)
{
    apiary_task_t tasks[MANY];

    hive_handlers(echo, count);
    for (int i = 0; i < MANY; i++) tasks[i] = joined(i == 0 ? "the first" : "another");
    cr_expect_eq(state_of(tasks[0]), AP_TASK_QUEUED);
    for (int i = 1; i < MANY; i++) cr_expect_eq(state_of(tasks[i]), AP_TASK_SCHEDULED);
    sound();
    cr_expect_eq(serve(), 1);
    for (int i = 0; i < MANY; i++) expect_result(tasks[i], "the first", 9, 0, 0);
    cr_expect_eq(coalesced(), MANY - 1);
    cr_expect_eq(serve(), 0);
    cr_expect_eq(hive.agents[0].started, 1);
    sound();
}

Test(coalesce, a_task_that_comes_after_the_result_begins_anew)
{
    apiary_task_t first = joined("1"), second;

    hive_handlers(echo, count);
    cr_expect_eq(serve(), 1);
    second = joined("2");
    cr_expect_eq(state_of(second), AP_TASK_QUEUED);
    cr_expect_eq(serve(), 1);
    expect_result(first, "1", 1, 0, 0);
    expect_result(second, "2", 1, 0, 0);
    cr_expect_eq(coalesced(), 0);
}

Test(coalesce, tasks_of_other_keys_capabilities_and_services_are_run)
{
    apiary_delegate_options_t other = of_key;
    apiary_task_t tasks[4];

    hive_handlers(echo, echo);
    other.dedup_key = KEY + 1;
    tasks[0] = joined("0");
    tasks[1] = joined_as(a, "1", 1, &other);
    cr_assert_eq(apiary_delegate(a, "second", "2", 1, &of_key, &tasks[2]), 0);
    cr_assert_eq(ap_submit(a->anchor, (int)hive.queen.service_index, "first", "3", 1, 0, &of_key, &tasks[3]), 0);
    for (int i = 0; i < 4; i++) cr_expect_eq(state_of(tasks[i]), AP_TASK_QUEUED);
    cr_expect_eq(serve(), 4);
    expect_result(tasks[0], "0", 1, 0, 0);
    expect_result(tasks[1], "1", 1, 0, 0);
    expect_result(tasks[2], "2", 1, 0, 0);
    expect_result(tasks[3], "3", 1, 0, 0);
}

Test(coalesce, callers_of_other_handles_share_and_each_result_is_its_own)
{
    static char large[1000];
    apiary_t *more = steps_attach();
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t leader, follower, of_other;

    memset(large, 'l', sizeof large);
    hive_handlers(echo, count);
    leader = joined_as(a, large, sizeof large, &of_key);
    follower = joined("f");
    of_other = joined_as(more, "o", 1, &of_key);
    cr_expect_eq(serve(), 1);
    cr_assert_eq(apiary_poll(more, of_other, &result), 0);
    cr_expect(result.size == sizeof large && memcmp(result.data, large, sizeof large) == 0);
    expect_result(leader, large, sizeof large, 0, 0);
    cr_expect(memcmp(result.data, large, sizeof large) == 0, "it is no other's");
    cr_expect_eq(apiary_release(more, &result), 0);
    expect_result(follower, large, sizeof large, 0, 0);
    sound();
    steps_detach(more);
}

/* ---- ends ------------------------------------------------------------------------------------------------------- */

static void fails(void *state, apiary_job_t *job)
{
    (void)state;
    apiary_job_fail(job, 42, "%s", "no luck");
}

Test(coalesce, a_failure_is_shared_and_so_is_a_retry)
{
    apiary_delegate_options_t again = of_key;
    apiary_task_t leader, follower;

    again.retry = (apiary_retry_t){.max_attempts = 2, .backoff = 1};
    hive_handlers(fails, count);
    leader = joined_as(a, "l", 1, &again);
    follower = joined("f");
    cr_expect_eq(serve(), 1);
    cr_expect_eq(state_of(leader), AP_TASK_SCHEDULED, "it is to be tried again");
    cr_expect_eq(state_of(follower), AP_TASK_SCHEDULED, "and leads meanwhile");
    look();
    cr_expect_eq(state_of(follower), AP_TASK_SCHEDULED);
    ap_add_relaxed(&clock_now, SECOND);
    look();
    cr_expect_eq(state_of(leader), AP_TASK_QUEUED);
    cr_expect_eq(state_of(follower), AP_TASK_SCHEDULED);
    cr_expect_eq(serve(), 1);
    expect_result(leader, "no luck", 7, APIARY_EAGENT, 42);
    expect_result(follower, "no luck", 7, APIARY_EAGENT, 42);
    cr_expect_eq(coalesced(), 1);
}

Test(coalesce, what_comes_of_the_first_ones_caller_is_not_shared)
{
    apiary_task_t followers[2], leader;

    leader = joined("leader");
    followers[0] = joined("0");
    followers[1] = joined("1");
    cr_expect_eq(apiary_cancel(a, leader), 0);
    expect_result(leader, "", 0, APIARY_ECANCELLED, 0);
    look();
    cr_expect_eq((state_of(followers[0]) == AP_TASK_QUEUED) + (state_of(followers[1]) == AP_TASK_QUEUED), 1, "one of them leads");
    hive_handlers(echo, count);
    while (serve() > 0) {}
    cr_expect_eq(code_of(followers[0]), 0);
    cr_expect_eq(code_of(followers[1]), 0);
    cr_expect_eq(coalesced(), 1);
    sound();
}

Test(coalesce, a_first_one_that_is_cancelled_in_its_agents_hands_fails_alone)
{
    apiary_task_t followers[2], leader = led(followers, 2);

    cr_expect_eq(apiary_cancel(a, leader), 0);
    cr_expect(apiary_job_cancelled(in_hand[0]));
    cr_expect_eq(apiary_job_fail(in_hand[0], 1, "stopped"), 0);
    cr_expect_eq(code_of(leader), APIARY_EAGENT);
    look();
    cr_expect_eq(serve(), 1);
    cr_assert_eq(held, 2);
    cr_expect_eq(apiary_job_reply(in_hand[1], "done", 4), 0);
    for (int i = 0; i < 2; i++) expect_result(followers[i], "done", 4, 0, 0);
}

Test(coalesce, a_first_one_that_was_given_up_leads_on)
{
    apiary_task_t followers[2], leader = led(followers, 2);

    ap_give_up(a, leader);
    look();
    cr_expect_eq(serve(), 0);
    cr_expect_eq(apiary_job_reply(in_hand[0], "done", 4), 0);
    for (int i = 0; i < 2; i++) expect_result(followers[i], "done", 4, 0, 0);
    cr_expect_eq(state_of(leader), AP_TASK_FREE);
}

Test(coalesce, each_has_its_own_deadline)
{
    apiary_delegate_options_t brief = of_key;
    apiary_task_t leader, early, late;

    brief.timeout = 1000;
    leader = joined("leader");
    early = joined_as(a, "e", 1, &brief);
    late = joined("late");
    ap_add_relaxed(&clock_now, 2000);
    look();
    cr_expect_eq(code_of(early), APIARY_ETIMEDOUT);
    cr_expect_eq(state_of(leader), AP_TASK_QUEUED);
    hive_handlers(echo, count);
    cr_expect_eq(serve(), 1);
    expect_result(leader, "leader", 6, 0, 0);
    expect_result(late, "leader", 6, 0, 0);
}

Test(coalesce, a_deadline_of_the_first_one_is_its_own)
{
    apiary_delegate_options_t brief = of_key;
    apiary_task_t leader, follower;

    hive_handlers(echo, count);
    brief.timeout = 1000;
    leader = joined_as(a, "l", 1, &brief);
    follower = joined("f");
    ap_add_relaxed(&clock_now, 2000);
    cr_expect_eq(serve(), 1, "its worker finds it late");
    cr_expect_eq(code_of(leader), APIARY_ETIMEDOUT);
    cr_expect_eq(state_of(follower), AP_TASK_SCHEDULED);
    look();
    cr_expect_eq(serve(), 1);
    expect_result(follower, "f", 1, 0, 0);
}

Test(coalesce, a_follower_that_is_cancelled_or_given_up_leaves_the_others)
{
    apiary_task_t followers[3], leader = led(followers, 3);

    cr_expect_eq(apiary_cancel(a, followers[0]), 0);
    cr_expect_eq(code_of(followers[0]), APIARY_ECANCELLED);
    ap_give_up(a, followers[1]);
    cr_expect_eq(state_of(followers[1]), AP_TASK_FREE);
    look();
    cr_expect_eq(apiary_job_reply(in_hand[0], "done", 4), 0);
    expect_result(leader, "done", 4, 0, 0);
    expect_result(followers[2], "done", 4, 0, 0);
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

Test(coalesce, a_task_with_a_delay_joins_when_it_is_due)
{
    apiary_delegate_options_t later = of_key;
    apiary_task_t delayed, leader, soon;

    later.delay = 1000;
    delayed = joined_as(a, "later", 5, &later);
    leader = joined("now");
    cr_expect_eq(state_of(leader), AP_TASK_QUEUED);
    soon = joined("soon");
    hive_handlers(take, count);
    held = 0;
    cr_expect_eq(serve(), 1);
    cr_expect_eq(apiary_job_reply(in_hand[0], "done", 4), 0);
    expect_result(leader, "done", 4, 0, 0);
    expect_result(soon, "done", 4, 0, 0);
    cr_expect_eq(state_of(delayed), AP_TASK_SCHEDULED, "it was none of them yet");
    ap_add_relaxed(&clock_now, 1000);
    look();
    cr_expect_eq(serve(), 1);
    cr_expect_eq(apiary_job_reply(in_hand[1], "then", 4), 0);
    expect_result(delayed, "then", 4, 0, 0);
}

Test(coalesce, followers_may_be_fire_and_forget_and_have_their_results_kept)
{
    apiary_delegate_options_t kept_for = of_key, forget = of_key;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t followers[1], leader = led(followers, 1), keeps;
    char text[8];

    kept_for.flags = forget.flags = APIARY_DETACH;
    kept_for.keep = LONG;
    keeps = joined_as(a, "k", 1, &kept_for);
    cr_assert_eq(apiary_delegate(a, "first", "x", 1, &forget, NULL), 0);
    cr_expect_eq(apiary_job_reply(in_hand[0], "done", 4), 0);
    cr_expect_eq(apiary_fetch(a, keeps, 0, text, sizeof text, &result), 0);
    cr_expect(result.size == 4 && memcmp(text, "done", 4) == 0);
    expect_result(leader, "done", 4, 0, 0);
    expect_result(followers[0], "done", 4, 0, 0);
    cr_expect_eq(coalesced(), 3);
    sound();
}

#define LARGE (1u << 20) /* of which there are two blocks */

static char large[LARGE];

/* Both blocks are the dead set's. */
static void dead_set_fills(void)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH, .timeout = APIARY_FOREVER};

    while (ap_load_relaxed(&ap_dead_at(a->seg, 0)->drops) == 0) {
        apiary_task_t task = joined_as(a, large, LARGE, &o);

        ap_task_request(a->seg, task.slot, task.generation, AP_REQUEST_DEAD(AP_DEAD_SEGV));
        ap_store_relaxed(&slot_of(task)->word,
                         AP_WORD(AP_TASK_FAILED, AP_CRASHES_MAX, (uint32_t)-APIARY_ECRASHED, task.generation));
        cr_assert_eq(ap_task_free_unseen(a->seg, a->anchor->lane.index, task.slot, ap_slot_leave, a->seg), 1);
    }
}

Test(coalesce, the_dead_set_makes_room_for_each_result)
{
    apiary_task_t follower, leader;

    dead_set_fills();
    while (serve() > 0) {}
    leader = led(&follower, 1);
    memset(large, 'x', LARGE);
    cr_expect_eq(apiary_job_reply(in_hand[0], large, LARGE), 0);
    expect_result(leader, large, LARGE, 0, 0);
    expect_result(follower, large, LARGE, 0, 0);
    sound();
}

Test(coalesce, options_that_do_not_go_with_it_are_refused)
{
    apiary_delegate_options_t o = of_key;
    apiary_task_t task;

    o.flags = APIARY_PARTS;
    cr_expect_eq(apiary_delegate(a, "first", "", 0, &o, &task), APIARY_EINVAL);
    o.flags = APIARY_PROBE;
    cr_expect_eq(apiary_delegate(a, "first", "", 0, &o, &task), APIARY_EINVAL);
    o.flags = 0;
    o.hedge = SECOND;
    cr_expect_eq(apiary_delegate(a, "first", "", 0, &o, &task), APIARY_EINVAL);
    o.hedge = 0;
    o.provider = 1;
    cr_expect_eq(apiary_delegate(a, "first", "", 0, &o, &task), APIARY_EINVAL);
}

Test(coalesce, nobody_there_refuses_the_first_one_only_where_it_does_not_wait)
{
    apiary_delegate_options_t waits = of_key;
    apiary_task_t task;
    uint32_t index;

    waits.flags = APIARY_WAIT_FOR_PROVIDER;
    cr_assert_eq(ap_capability_intern(a->seg, "nobody", &index), 0);
    cr_expect_eq(apiary_delegate(a, "nobody", "", 0, &of_key, &task), APIARY_ENOPROVIDER);
    cr_assert_eq(apiary_delegate(a, "nobody", "", 0, &waits, &task), 0);
    cr_expect_eq(state_of(task), AP_TASK_SCHEDULED);
    ap_give_up(a, task);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static struct ap_leading *group_of(uint64_t key)
{
    const struct ap_dedup of = {.key = key, .capability = (uint32_t)ap_capability_find(a->seg, "first", 5)};

    return ap_leading_at(a->seg, ap_dedup_group(a->seg, &of));
}

/* Keys of one group, from 1 on. */
static uint64_t next_in_group(uint64_t key)
{
    do key++;
    while (group_of(key) != group_of(1));
    return key;
}

Test(coalesce, a_group_that_is_full_refuses_other_keys_and_nothing_else)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_delegate_options_t o = of_key, later;
    apiary_task_t tasks[AP_LEADERS], task, waits;
    uint64_t key = 1;

    for (uint32_t i = 0; i < AP_LEADERS; i++, key = next_in_group(key)) {
        o.dedup_key = key;
        tasks[i] = joined_as(a, "x", 1, &o);
        cr_expect_eq(state_of(tasks[i]), AP_TASK_QUEUED);
    }
    o.dedup_key = key;
    cr_expect_eq(apiary_delegate(a, "first", "x", 1, &o, &task), APIARY_ETABLEFULL);
    cr_expect_eq(apiary_refusal(a, &refusal), 0);
    cr_expect_neq(strstr(refusal.message, "dedup keys"), NULL, "%s", refusal.message);
    later = o;
    later.delay = 1;
    waits = joined_as(a, "w", 1, &later);
    ap_add_relaxed(&clock_now, 1);
    look();
    cr_expect_eq(state_of(waits), AP_TASK_SCHEDULED, "there is no place for it");
    o.dedup_key = 1;
    task = joined_as(a, "x", 1, &o);
    cr_expect_eq(state_of(task), AP_TASK_SCHEDULED, "of a key that has its leader");
    sound();
    hive_handlers(echo, count);
    while (serve() > 0) {}
    ap_add_relaxed(&clock_now, AP_FOLLOW_AGAIN);
    look();
    while (serve() > 0) {}
    expect_result(waits, "w", 1, 0, 0);
    for (uint32_t i = 0; i < AP_LEADERS; i++) expect_result(tasks[i], "x", 1, 0, 0);
    expect_result(task, "x", 1, 0, 0);
}

/* Whoever names a task and dies before it stands at its place. */
Test(coalesce, what_was_entered_is_completed_by_the_next)
{
    apiary_task_t first = joined("1"), second;
    struct ap_leading *g = group_of(KEY);
    uint32_t place = AP_ENTERED_PLACE(g->entered);

    cr_assert_eq(AP_ENTERED_REF(g->entered), AP_REF(first.slot, first.generation));
    g->leader[place - 1] = 0;
    second = joined("2");
    cr_expect_eq(g->leader[place - 1], AP_REF(first.slot, first.generation));
    cr_expect_eq(state_of(second), AP_TASK_SCHEDULED);
    hive_handlers(echo, count);
    cr_expect_eq(serve(), 1);
    expect_result(first, "1", 1, 0, 0);
    expect_result(second, "1", 1, 0, 0);
}

/* ---- marks of slabs ---------------------------------------------------------------------------------------------- */

static uint64_t mark_of(apiary_task_t task)
{
    return ap_follow_any(a->seg, task.slot / AP_SLAB_SLOTS);
}

Test(coalesce, a_slab_is_marked_while_somebody_follows)
{
    apiary_task_t followers[1], leader;

    leader = led(NULL, 0);
    cr_expect_eq(mark_of(leader), 0);
    followers[0] = joined("f");
    cr_expect_neq(mark_of(followers[0]), 0);
    cr_expect_eq(apiary_job_reply(in_hand[0], "done", 4), 0);
    cr_expect_eq(mark_of(followers[0]), 0, "the look that gave it its outcome has found no other one");
    expect_result(leader, "done", 4, 0, 0);
    expect_result(followers[0], "done", 4, 0, 0);
}

/* A mark is not taken away by a look that a join has overtaken. */
Test(coalesce, a_join_during_a_look_keeps_the_mark)
{
    apiary_task_t followers[1], leader = led(followers, 1);
    uint32_t slab = followers[0].slot / AP_SLAB_SLOTS;
    uint64_t seen = ap_follow_any(a->seg, slab);

    cr_assert_neq(seen, 0);
    ap_follow_join(a->seg, followers[0].slot);
    ap_follow_none(a->seg, slab, seen);
    cr_expect_neq(ap_follow_any(a->seg, slab), 0);
    ap_follow_none(a->seg, slab, ap_follow_any(a->seg, slab));
    cr_expect_eq(ap_follow_any(a->seg, slab), 0);
    ap_follow_join(a->seg, followers[0].slot);
    cr_expect_eq(apiary_job_reply(in_hand[0], "done", 4), 0);
    expect_result(leader, "done", 4, 0, 0);
    expect_result(followers[0], "done", 4, 0, 0);
}

Test(coalesce, one_that_joins_after_the_look_for_followers_is_run_by_itself)
{
    apiary_task_t leader = led(NULL, 0), late;

    late = joined("late");
    ap_follow_none(a->seg, late.slot / AP_SLAB_SLOTS, mark_of(late)); /* as if it came after the look */
    cr_expect_eq(apiary_job_reply(in_hand[0], "done", 4), 0);
    expect_result(leader, "done", 4, 0, 0);
    cr_expect_eq(state_of(late), AP_TASK_SCHEDULED);
    ap_follow_join(a->seg, late.slot);
    ap_follow_ended(a->seg);
    look();
    cr_expect_eq(serve(), 1);
    cr_expect_eq(apiary_job_reply(in_hand[1], "anew", 4), 0);
    expect_result(late, "anew", 4, 0, 0);
}
