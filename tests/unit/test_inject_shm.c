/* What creation and attach of a segment leave behind when the system refuses a call: nothing. */
#include "shm_fixture.h"

#include <fcntl.h>
#include <pthread.h>

#include "shm/image.h"
#include "tests/support/inject.h"

static char message[512];
static struct ap_segment *made;
static struct ap_lane_handle lane;
static char other_name[80];

/* What each call is given, and has to leave alone when it fails. */
static struct ap_segment *const untouched = (struct ap_segment *)(void *)&untouched;

static const char *reason; /* what the message says of the system's call; NULL: nothing */

static int judged(int r)
{
    if (r == 0) {
        cr_assert(made != untouched && made != NULL);
        cr_assert_str_empty(message, "%s", message);
    } else {
        cr_assert_eq(made, untouched, "the output of a call that has failed");
        cr_assert_str_not_empty(message);
        cr_assert(reason == NULL || strstr(message, reason) != NULL || strstr(message, "stat: No such process") != NULL, "%s",
                  message);
    }
    return r;
}

static void prepare(void)
{
    message[0] = '\0';
    made = untouched;
}

static long lanes(void *user)
{
    long n = 0;

    (void)user;
    for (uint32_t i = 0; i < seg->geometry.lanes; i++)
        n += AP_LIFE_STATE(ap_load_acquire(&ap_lane_at(seg, i)->life)) != AP_LIFE_FREE;
    for (uint32_t i = 0; i < seg->geometry.members; i++) n += ap_load_acquire(&ap_member_at(seg, i)->life) % 2;
    return n;
}

/* ---- creation ------------------------------------------------------------------------------------------------- */

static uid_t owner;

static int create(void *user)
{
    struct ap_segment_options o = {.name = other_name, .owner = user};

    prepare();
    o.geometry = (struct ap_geometry){.members = 2, .lanes = 4, .tasks = 64, .queues = 1, .queue_depth = 2, .queue_inlets = 1,
                                      .pool_blocks = {8, 1, 1, 1, 1, 1, 1}, .events = 4};
    return judged(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &made));
}

static void create_undo(void *user)
{
    (void)user;
    ap_segment_unmap(made);
    cr_assert_eq(shm_unlink(other_name), 0);
}

static void setup(void)
{
    fixture_setup();
    snprintf(other_name, sizeof other_name, "%s-other", seg_name);
    shm_unlink(other_name);
    owner = getuid();
}

TestSuite(inject_shm, .init = setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

#define RESULTS(...) (const int[]){__VA_ARGS__, 0}

static void walk(struct inject_walk w, unsigned calls, int error, const int *results)
{
    reason = (calls & (INJECT_HEAP | INJECT_MUTEX)) == 0 ? strerror(error) : NULL;
    w.calls = calls;
    w.error = error;
    w.results = results;
    cr_assert_gt(inject_walk(&w), 0, "%s: none of its calls is needed", w.name);
}

/* Both are needed: the lock, and the question whether it is there. */
static void walk_locks(struct inject_walk w)
{
    reason = strerror(EPERM);
    w.calls = INJECT_LOCK;
    w.error = EPERM;
    w.results = RESULTS(APIARY_ENOTSUP);
    cr_assert_eq(inject_walk(&w), 4);
}

Test(inject_shm, a_segment_that_cannot_be_made)
{
    const struct inject_walk w = {.name = "ap_segment_create", .call = create, .undo = create_undo, .user = &owner};

    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(w, INJECT_MAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(w, INJECT_MAP, EACCES, RESULTS(APIARY_EPERM, APIARY_ENOBLOCK));
    walk(w, INJECT_OPEN | INJECT_DUP, EMFILE, RESULTS(APIARY_ESYS));
    walk(w, INJECT_OPEN, EACCES, RESULTS(APIARY_EPERM, APIARY_ENOTSUP));
    walk(w, INJECT_FILE, EIO, RESULTS(APIARY_ESYS, APIARY_ENOBLOCK, APIARY_EPERM, APIARY_ENOTSUP));
    walk(w, INJECT_MUTEX, ENOMEM, RESULTS(APIARY_ESYS));
    walk_locks(w);
}

/* ---- attach --------------------------------------------------------------------------------------------------- */

static int attach(void *user)
{
    prepare();
    return judged(ap_segment_attach(seg_name, user != NULL, &ap_shm_parts, message, sizeof message, &made));
}

static int attach_fd(void *user)
{
    prepare();
    return judged(ap_segment_attach_fd(seg->fd, user != NULL, &ap_shm_parts, message, sizeof message, &made));
}

static void attach_undo(void *user)
{
    (void)user;
    ap_segment_unmap(made);
}

static void walk_attach(const struct inject_walk *w)
{
    walk(*w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(*w, INJECT_MAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(*w, INJECT_MAP, EPERM, RESULTS(APIARY_EPERM, APIARY_ENOBLOCK));
    walk(*w, INJECT_FILE, EIO, RESULTS(APIARY_ESYS, APIARY_ENOTSUP));
    walk_locks(*w);
}

Test(inject_shm, a_segment_that_cannot_be_attached)
{
    const struct inject_walk w = {.name = "ap_segment_attach", .call = attach, .undo = attach_undo, .as_before = lanes,
                                  .user = &seg};

    walk_attach(&w);
    walk(w, INJECT_OPEN | INJECT_DUP, EMFILE, RESULTS(APIARY_ESYS));
}

Test(inject_shm, a_segment_that_cannot_be_attached_by_descriptor)
{
    const struct inject_walk w = {.name = "ap_segment_attach_fd", .call = attach_fd, .undo = attach_undo, .as_before = lanes,
                                  .user = &seg};

    walk_attach(&w);
    walk(w, INJECT_OPEN | INJECT_DUP, EMFILE, RESULTS(APIARY_ESYS, APIARY_EINVAL));
}

static void walk_observer(struct inject_walk w)
{
    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(w, INJECT_MAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(w, INJECT_FILE, EIO, RESULTS(APIARY_ESYS));
}

Test(inject_shm, a_segment_that_cannot_be_observed)
{
    walk_observer((struct inject_walk){.name = "ap_segment_attach", .call = attach, .undo = attach_undo, .as_before = lanes});
    walk_observer((struct inject_walk){.name = "ap_segment_attach_fd", .call = attach_fd, .undo = attach_undo, .as_before = lanes});
}

/* ---- lanes ---------------------------------------------------------------------------------------------------- */

static int member(void *user)
{
    (void)user;
    memset(&lane, 0x55, sizeof lane);
    return ap_member_open(seg, "member", NULL, APIARY_CLIENT, &lane);
}

static void member_undo(void *user)
{
    (void)user;
    ap_member_close(seg, lane.member, lane.index);
    ap_lane_close(&lane);
}

Test(inject_shm, a_member_that_cannot_be_opened)
{
    struct ap_lane_handle first;

    cr_assert_eq(ap_member_open(seg, "first", NULL, APIARY_CLIENT, &first), 0);
    for (unsigned at = 1; at < 4; at++) {
        inject_begin(INJECT_HEAP | INJECT_MAP | INJECT_OPEN, at, false, ENOMEM);
        cr_assert_eq(member(NULL), 0);
        cr_assert_null(inject_end(), "it needs no memory");
        member_undo(NULL);
    }
    ap_member_close(seg, first.member, first.index);
    ap_lane_close(&first);
}

/* One lock more than a thread's list has room for at first, by a thread that has none. */
#define MANY 17

static void *lanes_open(void *ret)
{
    static struct ap_lane_handle many[MANY];
    struct ap_segment *of;
    int n = 0, r = 0;

    while (n < MANY && r == 0) {
        memset(&many[n], 0x55, sizeof many[n]);
        of = n < (int)seg->geometry.lanes ? seg : made;
        r = ap_lane_open(of, 0, &many[n]);
        if (r == 0) n++;
        else cr_assert_eq(many[n].index, 0x55555555, "the output of a call that has failed");
    }
    cr_assert_eq(n, r == 0 ? MANY : MANY - 1);
    while (n > 0) ap_lane_close(&many[--n]);
    *(int *)ret = r;
    return NULL;
}

static int many_lanes(void *user)
{
    pthread_t thread;
    int r = 1;

    (void)user;
    cr_assert_eq(pthread_create(&thread, NULL, lanes_open, &r), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    return r;
}

Test(inject_shm, a_lane_for_which_there_is_no_memory)
{
    const struct inject_walk w = {.name = "ap_lane_open", .call = many_lanes, .as_before = lanes};

    cr_assert_eq(create(NULL), 0);
    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    create_undo(NULL);
}
