/* A worker and its agents without memory: each call says so, and what was there is as it was. */
#include <errno.h>

#include "agents/runtime/arena.h"
#include "tests/support/inject.h"
#include "tests/unit/steps_fixture.h"

TestSuite(inject_runtime, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static void without_memory(unsigned at, bool onward)
{
    inject_begin(INJECT_HEAP, at, onward, ENOMEM);
}

Test(inject_runtime, a_block_that_cannot_be_resized_stays)
{
    struct ap_arena heap = {0};
    char *one = ap_arena_alloc(&heap, 100), *two = ap_arena_alloc(&heap, 50);

    cr_assert(one != NULL && two != NULL);
    memset(one, 1, 100);
    without_memory(1, true);
    cr_expect_null(ap_arena_resize(&heap, one, 200));
    cr_expect_null(ap_arena_resize(&heap, NULL, 10));
    cr_expect_null(ap_arena_alloc(&heap, 10));
    inject_end();
    cr_expect_eq(heap.allocated, 150);
    for (int i = 0; i < 100; i++) cr_expect_eq(one[i], 1);
    ap_arena_free(&heap, two);
    cr_expect_eq(heap.allocated, 100);
    ap_arena_free(&heap, one);
    cr_expect_eq(heap.allocated, 0);
    cr_expect_null(heap.blocks);
}

/* Whatever its agent has not given back, and however that came to be where it is. */
Test(inject_runtime, a_heap_goes_as_a_whole)
{
    long before = inject_count().blocks;
    struct ap_arena heap = {0};
    void *blocks[5];

    for (int i = 0; i < 5; i++) blocks[i] = ap_arena_alloc(&heap, 100);
    blocks[1] = ap_arena_resize(&heap, blocks[1], 100000);
    ap_arena_free(&heap, blocks[0]);
    ap_arena_free(&heap, blocks[3]);
    cr_expect_eq(inject_count().blocks, before + 3);
    ap_arena_close(&heap);
    cr_expect_eq(inject_count().blocks, before);
}

/* ---- kinds ----------------------------------------------------------------------------------------------------------- */

Test(inject_runtime, a_kind_of_another_version)
{
    static struct {
        apiary_agent_kind_t kind;
        uint64_t more;
    } later = {.kind = {.struct_size = sizeof later, .abi = APIARY_AGENT_ABI, .key_size = sizeof(apiary_agent_key_t),
                        .name = "later", .handle = echo}};
    const apiary_agent_kind_t *got = NULL;
    char message[256] = "";

    without_memory(1, false);
    cr_expect_eq(ap_agent_kind_adopt(&later.kind, &got, message, sizeof message), APIARY_ENOBLOCK);
    inject_end();
    cr_expect_str_eq(message, apiary_strerror(APIARY_ENOBLOCK));
    cr_expect_null(got);
}

/* What was read of a configuration that is refused. */
Test(inject_runtime, a_configuration_that_is_refused)
{
    static const char *const texts[] = {"x: 1", "[", "{}"};
    struct ap_config_error error;
    struct ap_config *tree = NULL;
    long before = inject_count().blocks;

    for (int i = 0; i < 3; i++)
        cr_expect_eq(ap_agent_config_parse(NULL, texts[i], "agent", &echo_kind, &tree, &error), i < 2 ? APIARY_ECONFIG : 0);
    cr_assert_not_null(tree);
    ap_config_free(tree);
    cr_expect_eq(inject_count().blocks, before);
}

/* ---- agents ---------------------------------------------------------------------------------------------------------- */

static apiary_job_t *job_in_hand;

static void hold_it(void *state, apiary_job_t *job)
{
    (void)state;
    job_in_hand = job;
}

static void nothing_came(void *user, const apiary_result_t *result)
{
    (void)user;
    (void)result;
    cr_expect_fail("what was refused ends");
}

Test(inject_runtime, a_delegation_is_refused)
{
    without_memory(1, false);
    cr_expect_eq(apiary_agent_delegate_external_task(hive.agents[0].state, "second", "x", 1, NULL, nothing_came, NULL),
                 APIARY_ENOBLOCK);
    inject_end();
    cr_expect_eq(hive.worker.delegation_count, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 0);
}

/* Without room for its data an answer of a thread fails its task; without any it is not given, and may come again. */
Test(inject_runtime, an_answer_of_another_thread)
{
    apiary_task_t task = asked("first", NULL, 0, 0);

    hive_handlers(hold_it, hold_it);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    without_memory(1, true);
    cr_expect_eq(apiary_job_finish_from_thread(job_in_hand, 0, "x", 1), APIARY_ENOBLOCK);
    inject_end();
    cr_expect_eq(ap_worker_take_handed(&hive.worker), 0);
    cr_expect_eq(code_of(task), 1, "it goes on");
    without_memory(1, false);
    cr_expect_eq(apiary_job_finish_from_thread(job_in_hand, 0, "x", 1), APIARY_ENOBLOCK);
    inject_end();
    cr_expect_eq(ap_worker_take_handed(&hive.worker), 1);
    cr_expect_eq(code_of(task), APIARY_ENOBLOCK);
}

/* The jobs of all agents, or none that is left behind. */
Test(inject_runtime, the_jobs_of_a_worker)
{
    long before;

    ap_worker_jobs_close(&hive.worker);
    before = inject_count().blocks;
    without_memory(1, false);
    cr_expect_eq(ap_worker_jobs_open(&hive.worker), APIARY_ENOBLOCK);
    inject_end();
    cr_expect_eq(hive.worker.job_count, 0);
    ap_worker_jobs_close(&hive.worker);
    cr_expect_eq(inject_count().blocks, before);
    cr_assert_eq(ap_worker_jobs_open(&hive.worker), 0);
    cr_expect_eq(hive.worker.job_count, 2 * AP_AGENT_HANDS);
}
