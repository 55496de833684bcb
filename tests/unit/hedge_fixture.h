/* tests/unit/hedge_fixture.h - what the tests of hedged tasks share: two providers of one capability, which act by hand. */
#ifndef HEDGE_FIXTURE_H
#define HEDGE_FIXTURE_H

#include "registry_fixture.h"

#include "registry/client/hedge.h"
#include "registry/routing/dead.h"
#include "registry/routing/terms.h"

static struct worker w[2];

static inline uint32_t echo(void)
{
    int capability = ap_capability_find(client->seg, "echo", 4);

    cr_assert_geq(capability, 0);
    return (uint32_t)capability;
}

static inline struct ap_terms *terms(void)
{
    return ap_terms_at(client->seg, echo());
}

static inline void declare(bool idempotent)
{
    const struct ap_terms said = {.idempotent = idempotent + 1u};
    struct ap_terms_conflicts conflicts = {.count = 0};

    ap_terms_declare(client->seg, w[0].lane, w[0].queue, echo(), (const uint64_t *)(const void *)&said, &conflicts);
}

/* They have no queen who beats. Without a beat for five seconds nobody would be sent a second copy, so the last one is of an hour
 * hence, however slow the machine is. The checkers want it to be of now. */
#define HENCE (3600 * SECOND)
static inline void beat(uint64_t ahead)
{
    for (int i = 0; i < 2; i++)
        ap_store_relaxed(&ap_swarm_at(client->seg, w[i].swarm.swarm)->beat, client->seg->ops->now() + ahead);
}

static inline void setup(void)
{
    static const char *const capabilities[] = {"echo", NULL};

    fixture_setup();
    cr_assert_eq(worker_register(&w[0], "one", "0", "echo", capabilities), 0);
    cr_assert_eq(worker_register(&w[1], "two", "0", "echo", capabilities), 0);
    declare(true);
    beat(HENCE);
}

static inline void teardown(void)
{
    for (int i = 0; i < 2; i++) {
        if (w[i].server == NULL) continue;
        worker_go(&w[i]);
        worker_stop(&w[i]);
    }
    fixture_teardown();
}


/* ---- by hand ---------------------------------------------------------------------------------------------------- */

/* Due at once, and for a long time. */
static const apiary_delegate_options_t at_once = {.struct_size = sizeof at_once, .hedge = 2};

static inline apiary_task_t delegated(const apiary_delegate_options_t *o)
{
    apiary_task_t task;
    int r = apiary_delegate(client, "echo", "work", 4, o, &task);

    cr_assert_eq(r, 0, "%s", apiary_error_name(r));
    return task;
}

static inline int polled(apiary_task_t task, apiary_result_t *ret)
{
    ret->struct_size = sizeof *ret;
    return apiary_poll(client, task, ret);
}

static inline void not_ready(apiary_task_t task)
{
    apiary_result_t result;

    cr_assert_eq(polled(task, &result), APIARY_ENOTREADY);
}

static inline apiary_task_t second_of(apiary_task_t task)
{
    apiary_task_t second;

    cr_assert(ap_hedge_second(client, task, &second));
    return second;
}

static inline uint64_t word_of(apiary_task_t task)
{
    return ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word);
}

static inline uint32_t state_of(apiary_task_t task)
{
    return AP_WORD_GENERATION(word_of(task)) == task.generation ? AP_WORD_STATE(word_of(task)) : AP_TASK_FREE;
}

static inline uint64_t claimed(apiary_task_t task)
{
    uint32_t queue = AP_WORD_OWNER(word_of(task));
    uint64_t token;

    cr_assert_eq(ap_task_claim(client->seg, w[queue == w[1].queue].lane, queue, AP_REF(task.slot, task.generation), &token), 1);
    return token;
}

static inline void finish(apiary_task_t task, uint64_t token, const char *answer, int code)
{
    struct ap_slot *slot = ap_slot_at(client->seg, task.slot);

    memcpy(slot->result_inline, answer, strlen(answer));
    ap_slot_result(slot, 0, (uint32_t)strlen(answer));
    ap_slot_finished(slot, client->seg->ops->now());
    cr_assert_eq(ap_task_finish(client->seg, task.slot, token, code), 0);
    ap_task_free_unseen(client->seg, client->anchor->lane.index, task.slot, ap_slot_leave, client->seg);
}

static inline void answers(apiary_task_t task, const char *answer, int code)
{
    finish(task, claimed(task), answer, code);
}

static inline void collected(apiary_task_t task, const char *answer, int code)
{
    apiary_result_t result;

    cr_assert_eq(polled(task, &result), 0);
    cr_expect(result.size == strlen(answer) && memcmp(result.data, answer, result.size) == 0, "%.*s", (int)result.size,
              (const char *)result.data);
    cr_expect_eq(result.code, code);
    cr_expect(result.task.slot == task.slot && result.task.generation == task.generation, "under the id that its caller knows");
    cr_expect_eq(apiary_release(client, &result), 0);
    cr_expect_eq(polled(task, &result), APIARY_ESTALE);
    cr_expect_eq(apiary_release(client, &(apiary_result_t){.struct_size = sizeof result, .data = "", .task = task}), APIARY_ESTALE);
}

/* The references in the rings are nobody's, since all is claimed by hand. */
static inline void rings_emptied(void)
{
    static struct ap_consumer q[2];

    for (int i = 0; i < 2; i++) {
        if (q[i].seg == NULL) ap_consumer_init(&q[i], client->seg, w[i].queue);
        while (ap_queue_pop(&q[i]) != 0) {}
    }
}

static inline void nothing_left(void)
{
    cr_expect_eq(slots_in_use(), 0);
    cr_expect_eq(busy_tickets(), 0);
    beat(0);
    assert_sound();
    beat(HENCE);
}

#endif
