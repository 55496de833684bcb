/* pthread_cancel: which calls are cancellation points, by a thread that is to be cancelled already when it calls. Those that wait
 * are one as they sleep; all others end, and leave neither a lock nor a descriptor behind. */
#include <dirent.h>

#include "core/apiary/discovery.h"
#include "registry_fixture.h"
#include "shm/image.h"

static struct ap_agent_registration agent;
static struct ap_swarm_registration swarm;
static apiary_memory_t *memory;

static void setup(void)
{
    static const char *const echo[] = {"echo", NULL};
    struct ap_geometry g = small;

    g.registry[AP_REGISTRY_INDEX(VALUES)] = 16;
    g.registry[AP_REGISTRY_INDEX(CHANGES)] = 16;
    g.registry[AP_REGISTRY_INDEX(INSTANCES)] = 8;
    g.registry[AP_REGISTRY_INDEX(KEPT)] = 4;
    segment_make(&g);
    client = attach_as("caller");
    agent = (struct ap_agent_registration){.name = "agent", .capabilities = echo, .lane = client->anchor->lane.index};
    swarm = (struct ap_swarm_registration){.service = "server", .version = "1.0", .lane = client->anchor->lane.index,
                                           .member = client->member, .agents = &agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, &swarm), 0);
    cr_assert_eq(apiary_memory_open(client, "space", 0, &memory), 0);
}

static void teardown(void)
{
    apiary_memory_close(memory);
    ap_swarm_deregister(client->seg, client->anchor->lane.index, &swarm);
    fixture_teardown();
}

TestSuite(cancel, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static int descriptors(void)
{
    DIR *all = opendir("/proc/self/fd");
    int n = 0;

    cr_assert_not_null(all);
    while (readdir(all) != NULL) n++;
    closedir(all);
    return n;
}

static int contexts(void)
{
    int n = 0;

    for (const struct ap_lane_context *c = client->contexts; c != NULL; c = c->next) n++;
    return n;
}

struct call {
    const char *name;
    void (*does)(void);
};
static bool came_back;

static void *call_main(void *user)
{
    const struct call *call = user;

    pthread_cancel(pthread_self());
    call->does();
    came_back = true;
    pthread_testcancel();
    return NULL;
}

/* Whether the call came back. */
static bool runs(const struct call *call)
{
    int before = descriptors(), open = contexts();
    pthread_t thread;
    void *end;

    came_back = false;
    cr_assert_eq(pthread_create(&thread, NULL, call_main, (void *)(uintptr_t)call), 0);
    pthread_join(thread, &end);
    cr_expect_eq(end, PTHREAD_CANCELED, "%s", call->name);
    cr_expect_eq(descriptors(), before, "%s", call->name);
    cr_expect_eq(contexts(), open, "%s", call->name);
    cr_assert_eq(pthread_mutex_trylock(&client->lock), 0, "%s", call->name);
    pthread_mutex_unlock(&client->lock);
    return came_back;
}

/* ---- those that wait -------------------------------------------------------------------------------------------- */

static apiary_task_t task, parts, kept;
static apiary_memory_watch_t *changes;
static apiary_instance_watch_t *instances;

static void does_await(void)
{
    apiary_result_t result = {.struct_size = sizeof result};
    cr_expect_lt(apiary_await(client, task, APIARY_FOREVER, &result), 0);
}

static void does_await_any(void)
{
    apiary_result_t result = {.struct_size = sizeof result};
    cr_expect_lt(apiary_await_any(client, &task, 1, APIARY_FOREVER, &result), 0);
}

static void does_await_batch(void)
{
    apiary_result_t result = {.struct_size = sizeof result};
    size_t finished;
    cr_expect_lt(apiary_await_batch(client, &task, 1, APIARY_FOREVER, &result, &finished), 0);
}

static void does_call(void)
{
    cr_expect_lt(apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL), 0);
}

static void does_call_bound(void)
{
    apiary_capability_t echo;

    cr_expect_eq(apiary_bind(client, "echo", &echo), 0);
    cr_expect_lt(apiary_call_bound(client, echo, "x", 1, NULL, NULL, 0, NULL), 0);
}

static void does_next_part(void)
{
    apiary_part_t part = {.struct_size = sizeof part};
    cr_expect_lt(apiary_next_part(client, parts, APIARY_FOREVER, NULL, 0, &part), 0);
}

static void does_fetch(void)
{
    apiary_result_t result = {.struct_size = sizeof result};
    cr_expect_lt(apiary_fetch(client, kept, APIARY_FOREVER, NULL, 0, &result), 0);
}

static void does_claim(void)
{
    const apiary_claim_options_t wait = {.struct_size = sizeof wait, .policy = APIARY_CLAIM_WAIT, .timeout = APIARY_FOREVER};
    apiary_claim_t claim = {.struct_size = sizeof claim};
    cr_expect_lt(apiary_claim(client, "k", SECOND, &wait, &claim), 0);
}

static void does_next_change(void)
{
    apiary_memory_change_t change = {.struct_size = sizeof change};
    cr_expect_lt(apiary_memory_next_change(changes, APIARY_FOREVER, &change), 0);
}

static void does_next_instance(void)
{
    apiary_instance_change_t change = {.struct_size = sizeof change};
    apiary_instance_t instance = {.struct_size = sizeof instance};
    cr_expect_lt(apiary_instance_next(instances, APIARY_FOREVER, &change, &instance), 0);
}

static void watches_open(void)
{
    apiary_memory_change_t change = {.struct_size = sizeof change};
    apiary_instance_change_t told = {.struct_size = sizeof told};
    apiary_instance_t instance = {.struct_size = sizeof instance};

    cr_assert_eq(apiary_memory_watch(memory, "", 0, &changes), 0);
    while (apiary_memory_next_change(changes, 0, &change) == 1) {}
    cr_assert_eq(apiary_instance_watch(client, NULL, 0, &instances), 0);
    while (apiary_instance_next(instances, 0, &told, &instance) == 1) {}
}

/* Each is given up as it begins to sleep, and what it waited for is left: nobody answers, and nothing changes. */
Test(cancel, who_waits_is_cancelled_as_it_sleeps)
{
    static const struct call waits[] = {
        {"await", does_await}, {"await_any", does_await_any}, {"await_batch", does_await_batch}, {"call", does_call},
        {"call_bound", does_call_bound}, {"next_part", does_next_part}, {"fetch", does_fetch}, {"claim", does_claim},
        {"memory_next_change", does_next_change}, {"instance_next", does_next_instance}};
    const apiary_delegate_options_t in_parts = {.struct_size = sizeof in_parts, .flags = APIARY_PARTS};
    const apiary_delegate_options_t keeps = {.struct_size = sizeof keeps, .flags = APIARY_DETACH, .keep = SECOND};
    apiary_claim_t claim = {.struct_size = sizeof claim};

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    cr_skip_test("it does not know of frames that a cancelled thread leaves from the signal's handler");
#endif
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &in_parts, &parts), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &keeps, &kept), 0);
    cr_assert_eq(apiary_claim(client, "k", APIARY_FOREVER, NULL, &claim), 0);
    watches_open();
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) cr_expect_not(runs(&waits[i]), "%s", waits[i].name);
    cr_expect_eq(ap_tickets_busy(client->seg, (uint32_t)client->service), 3, "the tasks that were called are given up");
    cr_expect_eq(apiary_claim_release(client, "k", claim.token), 0);
    apiary_memory_unwatch(changes);
    apiary_instance_unwatch(instances);
    ap_give_up(client, task);
    ap_give_up(client, parts);
}

/* ---- and those that do not -------------------------------------------------------------------------------------- */

static void does_attach(void)
{
    apiary_t *other = attach_as(NULL);

    cr_expect_eq(apiary_detach(other), 0);
}

static void does_attach_by_descriptor(void)
{
    apiary_t *other = NULL;

    cr_expect_eq(apiary_attach_fd(apiary_segment_fd(client), NULL, &other), 0);
    cr_expect_eq(apiary_detach(other), 0);
}

static void does_observe(void)
{
    const apiary_attach_options_t o = {.struct_size = sizeof o, .read_only = 1};
    apiary_t *other = NULL;

    cr_expect_eq(apiary_attach(seg_name, &o, &other), 0);
    cr_expect_eq(apiary_detach(other), 0);
}

static void does_refuse(void)
{
    apiary_t *other = NULL;

    cr_expect_eq(apiary_attach("/apiary-unit-never", NULL, &other), APIARY_ENOSEG);
}

/* A thread's descriptor has a thread of its own, which is joined with the lane's end. */
static void does_lane_fd(void)
{
    apiary_t *other = attach_as(NULL);

    cr_expect_geq(apiary_lane_fd(other), 3);
    cr_expect_eq(apiary_detach(other), 0);
}

/* The system is asked for a lane whose image is another process', and gone. */
static void does_ask(void)
{
    struct ap_lane_handle lane;
    uint64_t image;

    cr_assert_eq(ap_lane_open(client->seg, client->member, &lane), 0);
    image = lane.lane->image;
    ap_store_relaxed(&lane.lane->image, image + 1000);
    cr_expect_eq(ap_image_gone(client->seg, lane.index), 1);
    ap_store_relaxed(&lane.lane->image, image);
    ap_lane_close(&lane);
}

static void does_delegate(void)
{
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_memory_value_t value = {.struct_size = sizeof value};
    apiary_task_t own;
    char at[8];

    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &own), 0);
    cr_expect_eq(apiary_poll(client, own, &result), APIARY_ENOTREADY);
    cr_expect_eq(apiary_cancel(client, own), 0);
    cr_expect_eq(apiary_poll(client, own, &result), 0);
    apiary_release(client, &result);
    cr_expect_eq(apiary_memory_put(memory, "k", "v", 1, APIARY_FOREVER, NULL), 0);
    cr_expect_eq(apiary_memory_get(memory, "k", at, sizeof at, &value), 0);
    cr_expect_eq(apiary_discover(client, "echo", NULL, 0), 1);
    cr_expect_eq(apiary_interrupt(client), 0);
}

Test(cancel, who_does_not_wait_comes_back)
{
    static const struct call calls[] = {{"attach and detach", does_attach}, {"by descriptor", does_attach_by_descriptor},
                                        {"observe", does_observe}, {"refuse", does_refuse}, {"lane_fd", does_lane_fd},
                                        {"ask", does_ask}, {"delegate", does_delegate}};

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) cr_expect(runs(&calls[i]), "%s", calls[i].name);
    does_attach(); /* the lock of the handles is free */
}
