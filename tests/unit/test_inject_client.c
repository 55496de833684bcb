/* What the functions of a client leave behind when the system refuses a call: nothing. */
#include "registry_fixture.h"

#include "tests/support/inject.h"

#define RESULTS(...) (const int[]){__VA_ARGS__, 0}

static void walk(struct inject_walk w, unsigned calls, int error, const int *results)
{
    w.calls = calls;
    w.error = error;
    w.results = results;
    cr_assert_gt(inject_walk(&w), 0, "%s: none of its calls is needed", w.name);
}

static const char *const capabilities[] = {"echo", NULL};
static struct worker server; /* its queue is open and nobody takes from it */

static void setup(void)
{
    fixture_setup();
    cr_assert_eq(worker_register(&server, "server", NULL, "agent", capabilities), 0);
}

static void teardown(void)
{
    worker_go(&server);
    worker_stop(&server);
    fixture_teardown();
}

TestSuite(inject_client, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* Everything that a member has in the segment. */
static long in_segment(void *user)
{
    long n = 0;

    (void)user;
    for (uint32_t i = 0; i < small.members; i++) n += AP_MEMBER_STATE(ap_load_acquire(&ap_member_at(client->seg, i)->life)) != 0;
    n = n * 1000 + (long)lanes_live(client->seg);
    n = n * 1000 + (long)slots_in_use();
    return n * 1000 + (long)blocks_in_use();
}

/* ---- attach --------------------------------------------------------------------------------------------------- */

static char message[512];
static apiary_t *made;
static apiary_t *const untouched = (apiary_t *)(void *)&untouched;

static int attach_with(int fd, bool read_only)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "made", .swarm = read_only ? NULL : "makers",
                                 .read_only = read_only, .message = message, .message_size = sizeof message};
    int r;

    message[0] = '\0';
    made = untouched;
    r = fd >= 0 ? apiary_attach_fd(fd, &o, &made) : apiary_attach(seg_name, &o, &made);
    if (r == 0) return 0;
    cr_assert_eq(made, untouched, "the output of a call that has failed");
    cr_assert_str_not_empty(message);
    return r;
}

static int attach(void *user)
{
    (void)user;
    return attach_with(-1, false);
}

static int attach_fd(void *user)
{
    (void)user;
    return attach_with(client->seg->fd, false);
}

static int observe(void *user)
{
    (void)user;
    return attach_with(-1, true);
}

static void detach(void *user)
{
    (void)user;
    cr_assert_eq(apiary_detach(made), 0);
}

static void walk_attach(struct inject_walk w, const int *opens)
{
    w.undo = detach;
    w.as_before = in_segment;
    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(w, INJECT_MAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(w, INJECT_OPEN | INJECT_DUP, EMFILE, opens);
}

Test(inject_client, a_client_that_cannot_attach)
{
    const struct inject_walk by_name = {.name = "apiary_attach", .call = attach, .undo = detach, .as_before = in_segment};
    const struct inject_walk by_fd = {.name = "apiary_attach_fd", .call = attach_fd, .undo = detach, .as_before = in_segment};

    walk_attach(by_name, RESULTS(APIARY_ESYS));
    walk_attach(by_fd, RESULTS(APIARY_ESYS, APIARY_EINVAL));
    walk(by_name, INJECT_KEY, EAGAIN, RESULTS(APIARY_ENOBLOCK));
    walk(by_fd, INJECT_KEY, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(by_name, INJECT_FILE, EIO, RESULTS(APIARY_ESYS, APIARY_ENOTSUP));
}

Test(inject_client, an_observer_that_cannot_attach)
{
    const struct inject_walk w = {.name = "apiary_attach", .call = observe, .undo = detach, .as_before = in_segment};

    walk_attach(w, RESULTS(APIARY_ESYS));
    walk(w, INJECT_FILE, EIO, RESULTS(APIARY_ESYS));
}

/* ---- detach ---------------------------------------------------------------------------------------------------- */

static void prepare(void *user)
{
    cr_assert_eq(attach(user), 0, "%s", message);
}

static int leave(void *user)
{
    (void)user;
    return apiary_detach(made);
}

/* A program whose other threads have nothing of the handle needs no memory to give it back. */
Test(inject_client, a_detach_needs_nothing)
{
    for (int onward = 0; onward < 2; onward++) {
        struct inject_count was = inject_count(), now;
        long before = in_segment(NULL);

        prepare(NULL);
        inject_begin(INJECT_HEAP | INJECT_MAP | INJECT_OPEN | INJECT_DUP | INJECT_MAKE | INJECT_KEY, 1, onward != 0, ENOMEM);
        cr_assert_eq(leave(NULL), 0);
        cr_assert_null(inject_end());
        now = inject_count();
        cr_assert(now.blocks == was.blocks && now.mapped == was.mapped && now.threads == was.threads);
        cr_assert(now.descriptors == was.descriptors && now.segments == was.segments && now.closed == was.closed);
        cr_assert_eq(in_segment(NULL), before);
    }
}

/* ---- lanes of threads ------------------------------------------------------------------------------------------ */

static void *elsewhere(void *ret)
{
    apiary_task_t task = {.slot = 77};
    int r = apiary_delegate(made, "echo", "hello", 5, NULL, &task);

    if (r == 0) cr_assert_eq(apiary_cancel(made, task), 0);
    else cr_assert(task.slot == 77 && task.generation == 0, "the output of a call that has failed");
    *(int *)ret = r;
    return NULL;
}

static int delegate_elsewhere(void *user)
{
    pthread_t thread;
    int r = 1;

    (void)user;
    cr_assert_eq(pthread_create(&thread, NULL, elsewhere, &r), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    return r;
}

Test(inject_client, a_thread_for_which_there_is_no_lane)
{
    const struct inject_walk w = {.name = "apiary_delegate", .prepare = prepare, .call = delegate_elsewhere, .tidy = detach,
                                  .as_before = in_segment};

    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(w, INJECT_KEY, ENOMEM, RESULTS(APIARY_ENOBLOCK));
}

/* ---- tasks ----------------------------------------------------------------------------------------------------- */

static char body[5000];

static int delegate(void *user)
{
    apiary_task_t task = {.slot = 77};
    int r = apiary_delegate(made, "echo", body, sizeof body, NULL, &task);

    (void)user;
    if (r == 0) return apiary_cancel(made, task);
    cr_assert(task.slot == 77 && task.generation == 0, "the output of a call that has failed");
    return r;
}

static int call(void *user)
{
    size_t size = 77;
    char result[8] = "result";
    int r = apiary_call(made, "echo", body, sizeof body, APIARY_TIMEOUT(1), result, sizeof result, &size);

    (void)user;
    if (r != APIARY_ETIMEDOUT) cr_assert(size == 77 && strcmp(result, "result") == 0, "the output of a call that has failed");
    return r == APIARY_ETIMEDOUT ? 0 : r;
}

Test(inject_client, a_task_that_cannot_be_delegated)
{
    const struct inject_walk one = {.name = "apiary_delegate", .prepare = prepare, .call = delegate, .tidy = detach,
                                    .as_before = in_segment};
    const struct inject_walk called = {.name = "apiary_call", .prepare = prepare, .call = call, .tidy = detach,
                                       .as_before = in_segment};

    walk(one, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(called, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
}

/* ---- a descriptor of the lane ---------------------------------------------------------------------------------- */

static int lane_fd(void *user)
{
    int r = apiary_lane_fd(made);

    (void)user;
    return r > 0 ? 0 : r;
}

Test(inject_client, a_lane_without_a_descriptor)
{
    const struct inject_walk w = {.name = "apiary_lane_fd", .prepare = prepare, .call = lane_fd, .tidy = detach,
                                  .as_before = in_segment};

    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(w, INJECT_MAKE, EMFILE, RESULTS(APIARY_ESYS));
    walk(w, INJECT_THREAD, EAGAIN, RESULTS(APIARY_ESYS));
}
