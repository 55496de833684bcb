/* What a thread's end, a detach beside other threads and a refused attach leave of a client. */
#include "registry_fixture.h"

#include "shm/image.h"
#include "tests/support/inject.h"

TestSuite(left, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static bool listed(const struct ap_lane_context *c)
{
    for (const struct ap_lane_context *at = client->contexts; at != NULL; at = at->next)
        if (at == c) return true;
    return false;
}

static uint32_t life_of(uint32_t lane)
{
    return AP_LIFE_STATE(ap_load_acquire(&ap_lane_at(client->seg, lane)->life));
}

static struct ap_lane_context *own_context(void)
{
    int error = 0;
    struct ap_lane_context *c = ap_context(client, &error);

    cr_assert_not_null(c, "%d", error);
    return c;
}

static void in_a_thread(void *(*what)(void *), void *arg)
{
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, what, arg), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

/* ---- a thread --------------------------------------------------------------------------------------------------- */

static void *begin(void *balance)
{
    *(struct ap_balance *)balance = own_context()->balance;
    return NULL;
}

Test(left, each_lane_draws_numbers_of_its_own)
{
    struct ap_balance own = own_context()->balance, other;

    in_a_thread(begin, &other);
    cr_expect(own.random != other.random && own.random != 0 && other.random != 0);
    cr_expect(own.turn == AP_NO_QUEUE && other.turn == AP_NO_QUEUE);
}

static pthread_key_t later;
static uint32_t late_lane;
static bool is_listed;

static void call_later(void *unused)
{
    struct ap_lane_context *c = own_context();

    (void)unused;
    is_listed = listed(c);
    late_lane = is_listed ? c->lane.index : AP_NO_LANE;
    cr_expect(!is_listed || ap_lane_lives(c->lane.lane));
}

static void *call_and_end(void *lane)
{
    *(uint32_t *)lane = own_context()->lane.index;
    cr_assert_eq(pthread_setspecific(later, &later), 0);
    return NULL;
}

/* What a thread calls after its lane has been closed gets it another one, which is closed in its turn. */
Test(left, a_call_from_a_thread_that_ends)
{
    uint32_t lane = AP_NO_LANE;

    cr_assert_eq(pthread_key_create(&later, call_later), 0);
    in_a_thread(call_and_end, &lane);
    cr_expect(is_listed);
    cr_expect_eq(life_of(lane), AP_LIFE_FREE);
    cr_expect_eq(life_of(late_lane), AP_LIFE_FREE);
    cr_expect(client->contexts == client->anchor && client->anchor->next == NULL);
    pthread_key_delete(later);
}

enum worker_has { NOTHING, A_QUEUE, A_QUEUE_CLOSED, THE_NAME_OF_ONE };
struct ended {
    enum worker_has has;
    uint32_t lane;
};

static void *work(void *arg)
{
    struct ended *e = arg;
    struct ap_lane_context *c = own_context();

    e->lane = c->lane.index;
    c->works = e->has == THE_NAME_OF_ONE;
    if (e->has != A_QUEUE && e->has != A_QUEUE_CLOSED) return NULL;
    cr_assert(ap_queue_claim(client->seg, 3, e->lane) && ap_queue_open(client->seg, 3, e->lane));
    if (e->has == A_QUEUE_CLOSED) cr_assert(ap_queue_close(client->seg, 3, ap_queue_at(client->seg, 3)->life));
    return NULL;
}

/* A worker's end is a death, which others find and repair; any other thread gives its lane back. */
Test(left, a_worker_that_ends_is_dead)
{
    for (enum worker_has has = NOTHING; has <= THE_NAME_OF_ONE; has++) {
        struct ended e = {.has = has};
        bool dead = has == A_QUEUE || has == THE_NAME_OF_ONE;

        in_a_thread(work, &e);
        cr_expect_eq(life_of(e.lane), dead ? AP_LIFE_LIVE : AP_LIFE_FREE, "%d", has);
        cr_expect_eq(ap_lane_dead(client->seg, e.lane), dead, "%d", has);
        cr_expect(client->contexts == client->anchor && client->anchor->next == NULL, "%d", has);
        cr_expect_eq(client->shared, 0);
        cr_expect_eq(ap_reap_all(client->seg, client->anchor->lane.index, &ap_registry_hooks), dead, "%d", has);
        cr_expect_eq(life_of(e.lane), AP_LIFE_FREE);
    }
}

/* ---- a detach --------------------------------------------------------------------------------------------------- */

static sem_t has_one, go_on;

static void *outlive(void *lane)
{
    apiary_t *next;
    int error = 0;

    *(uint32_t *)lane = own_context()->lane.index;
    sem_post(&has_one);
    sem_wait(&go_on);
    next = attach_as("next"); /* its list leads through what is left of the first one's lock */
    cr_expect_not_null(ap_context(next, &error));
    cr_expect_eq(apiary_detach(next), 0);
    return NULL;
}

Test(left, a_thread_outlives_its_handle)
{
    apiary_t *mine = client;
    pthread_t thread;
    uint32_t lane;

    sem_init(&has_one, 0, 0);
    sem_init(&go_on, 0, 0);
    cr_assert_eq(pthread_create(&thread, NULL, outlive, &lane), 0);
    sem_wait(&has_one);
    client = attach_as("observer");
    cr_expect_eq(life_of(lane), AP_LIFE_LIVE);
    cr_expect_eq(apiary_detach(mine), 0);
    cr_expect_eq(life_of(lane), AP_LIFE_FREE, "it was recovered at once");
    sem_post(&go_on);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

static void *detach(void *handle)
{
    cr_expect_eq(apiary_detach(handle), 0);
    return NULL;
}

/* By a thread that has never called with it, while the one that attached lives on. */
Test(left, a_detach_by_another_thread)
{
    for (int i = 0; i < 2; i++) {
        apiary_t *next = attach_as("next");
        uint32_t lane = next->anchor->lane.index, member = next->member;

        in_a_thread(detach, next);
        cr_expect_eq(life_of(lane), AP_LIFE_FREE);
        cr_expect_eq(AP_MEMBER_STATE(ap_member_at(client->seg, member)->life), AP_LIFE_FREE);
    }
}

/* ---- an attach -------------------------------------------------------------------------------------------------- */

/* Another process that has so many lanes, or all that there are, and is killed. */
static void die_with_lanes(uint32_t most)
{
    pid_t pid = fork();
    int status;

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        apiary_t *own = attach_as("killed");
        struct ap_lane_handle h;

        for (uint32_t i = 1; i < most && ap_lane_open(own->seg, own->member, &h) == 0; i++) continue;
        raise(SIGKILL);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status));
}

static uint32_t dead_lanes(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < client->seg->geometry.lanes; i++) n += ap_lane_dead(client->seg, i);
    return n;
}

Test(left, an_attach_recovers_the_dead)
{
    die_with_lanes(3);
    cr_assert_eq(dead_lanes(), 3);
    cr_assert_eq(apiary_detach(attach_as("next")), 0);
    cr_expect_eq(dead_lanes(), 0);
}

Test(left, an_attach_where_the_dead_have_all_lanes)
{
    die_with_lanes(UINT32_MAX);
    cr_assert_eq(dead_lanes(), small.lanes - 1);
    cr_assert_eq(apiary_detach(attach_as("next")), 0);
    cr_expect_eq(dead_lanes(), 0);
}

/* However often: there are 1,024 keys of threads' own memory. */
Test(left, a_refused_attach_leaves_nothing)
{
    struct ap_lane_handle all[32];
    apiary_t *a = NULL;
    struct inject_count was;

    for (uint32_t i = 1; i < small.lanes; i++) cr_assert_eq(ap_lane_open(client->seg, client->member, &all[i]), 0);
    cr_assert_eq(apiary_attach(seg_name, NULL, &a), APIARY_ENOLANE);
    was = inject_count();
    for (int i = 0; i < 1100; i++) cr_assert_eq(apiary_attach(seg_name, NULL, &a), APIARY_ENOLANE, "attempt %d", i);
    cr_expect_null(a);
    cr_expect_eq(inject_count().blocks, was.blocks);
    cr_expect_eq(inject_count().mapped, was.mapped);
    cr_expect_eq(inject_count().descriptors, was.descriptors);
    for (uint32_t i = 1; i < small.lanes; i++) ap_lane_close(&all[i]);
    cr_assert_eq(apiary_attach(seg_name, NULL, &a), 0);
    cr_expect_eq(apiary_detach(a), 0);
}

Test(left, what_no_descriptor_is_attached_with)
{
    char message[200] = "";
    const apiary_attach_options_t rows[] = {
        {.struct_size = sizeof rows[0], .kind = APIARY_TOOL + 1, .message = message, .message_size = sizeof message},
        {.struct_size = sizeof rows[0], .swarm = "no name", .message = message, .message_size = sizeof message},
        {.struct_size = 3, .message = message, .message_size = sizeof message},
    };
    int fd = apiary_segment_fd(client);
    apiary_t *a = NULL;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_eq(apiary_attach_fd(fd, &rows[i], &a), APIARY_EINVAL, "row %zu", i);
        cr_expect_eq(apiary_attach(seg_name, &rows[i], &a), APIARY_EINVAL, "row %zu", i);
        cr_expect_null(a);
    }
    cr_expect_eq(apiary_attach_fd(fd, NULL, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_attach(seg_name, NULL, NULL), APIARY_EINVAL);
    cr_assert_eq(apiary_attach_fd(fd, NULL, &a), 0);
    cr_expect_eq(apiary_detach(a), 0);
}
