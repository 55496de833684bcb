/* A mapping that is given up while other threads hold locks in it: what they keep, what goes, and what is left when there is no
 * memory for that. */
#include "shm_fixture.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#include "tests/support/inject.h"

#define LANES 64 /* sixteen to a page */

static struct ap_segment *other; /* a second mapping of the segment, with an image of its own */

static void setup(void)
{
    struct ap_segment_options o = {.name = seg_name};
    char message[256] = "";

    leftovers_clear("apiary-unit");
    snprintf(seg_name, sizeof seg_name, "/apiary-unit-%d", (int)getpid());
    o.geometry = (struct ap_geometry){.members = 8, .lanes = LANES, .tasks = 64, .queues = 1, .queue_depth = 2, .queue_inlets = 1,
                                      .pool_blocks = {8, 1, 1, 1, 1, 1, 1}, .events = 64};
    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &seg), 0, "%s", message);
}

TestSuite(parting, .init = setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

/* A thread that opens lanes of `other`, and later locks once more, elsewhere, or ends. */
struct holder {
    pthread_t thread;
    sem_t held, go, done;
    const uint32_t *lanes; /* their indexes; all that are free before are taken, too */
    size_t count;
    bool locks; /* `seg`'s role, before it ends */
};

static void *hold(void *user)
{
    struct holder *h = user;

    for (size_t i = 0; i < h->count; i++) cr_assert_eq(ap_robust_trylock(&ap_lane_at(other, h->lanes[i])->mutex), 0);
    sem_post(&h->held);
    sem_wait(&h->go);
    if (h->locks) {
        cr_assert_eq(ap_robust_trylock(&seg->header->role), 0);
        ap_robust_unlock(&seg->header->role);
    }
    sem_post(&h->done);
    sem_wait(&h->go);
    return NULL;
}

static void holder_start(struct holder *h, const uint32_t *lanes, size_t count, bool locks)
{
    h->lanes = lanes;
    h->count = count;
    h->locks = locks;
    sem_init(&h->held, 0, 0);
    sem_init(&h->go, 0, 0);
    sem_init(&h->done, 0, 0);
    cr_assert_eq(pthread_create(&h->thread, NULL, hold, h), 0);
    sem_wait(&h->held);
}

static void holder_go(struct holder *h)
{
    sem_post(&h->go);
    sem_wait(&h->done);
}

static void holder_end(struct holder *h)
{
    sem_post(&h->go);
    cr_assert_eq(pthread_join(h->thread, NULL), 0);
}

static size_t offset_of(uint32_t lane)
{
    return (size_t)((uint8_t *)&ap_lane_at(other, lane)->mutex - other->base);
}

/* Pages of the old mapping that are still there: the copies. */
static unsigned pages_left(const uint8_t *base, uint64_t size)
{
    unsigned char there;
    unsigned n = 0;

    for (uint64_t at = 0; at < size; at += 4096) n += mincore((void *)(uintptr_t)(base + at), 4096, &there) == 0;
    return n;
}

static const uint32_t some[] = {0, 1, 40}, more[] = {17, 63};

static int part(size_t *held)
{
    size_t n = 0;

    for (size_t i = 0; i < 3; i++) held[n++] = offset_of(some[i]);
    for (size_t i = 0; i < 2; i++) held[n++] = offset_of(more[i]);
    return ap_segment_part(other, held, n);
}

/* Lanes 0, 1, 40 of one thread, 17 and 63 of another: four pages. */
static void parted(bool locks)
{
    struct inject_count was = inject_count(), now;
    struct holder one, two;
    size_t held[5];
    uint64_t image;
    uint8_t *old;

    other = fixture_again();
    now = inject_count();
    holder_start(&one, some, 3, locks);
    holder_start(&two, more, 2, locks);
    old = other->base;
    image = other->image;
    cr_assert_eq(part(held), 0);
    cr_expect_neq(other->base, old);
    cr_expect(other->header == (void *)other->base);
    cr_expect(other->image != 0 && other->image != image, "another image");
    for (uint32_t i = 0; i < AP_SECTION_FIRST_FREE; i++) cr_expect_eq(other->places[i].at, other->base + other->sections[i].offset);
    cr_expect_eq(memcmp(other->base, seg->base, 4096), 0, "the same segment");
    cr_expect_eq(inject_count().segments, now.segments, "one mapping, as before");
    cr_expect_eq(pages_left(old, other->size), 4);
    for (size_t i = 0; i < 5; i++)
        cr_expect(ap_robust_held(*(uint32_t *)(void *)(other->base + held[i])), "as after an exec: held by who cannot reach it");
    if (locks) {
        holder_go(&one);
        cr_expect_eq(pages_left(old, other->size), 2, "its two have gone, and not the other's");
        holder_go(&two);
        cr_expect_eq(pages_left(old, other->size), 0);
    }
    if (!locks) sem_post(&one.go);
    holder_end(&one);
    cr_expect_eq(pages_left(old, other->size), locks ? 0 : 2);
    if (!locks) sem_post(&two.go);
    holder_end(&two);
    cr_expect_eq(pages_left(old, other->size), 0);
    ap_segment_unmap(other);
    now = inject_count();
    cr_expect(now.blocks == was.blocks && now.descriptors == was.descriptors && now.segments == was.segments);
    for (size_t i = 0; i < 5; i++) memset(seg->base + held[i], 0, 4); /* as a recovery would */
}

Test(parting, each_thread_lets_go_at_its_next_lock)
{
    for (int round = 0; round < 3; round++) parted(true);
}

Test(parting, each_thread_lets_go_at_its_end)
{
    for (int round = 0; round < 3; round++) parted(false);
}

/* Whatever there was no memory for: the threads go on with their locks, and the mapping stays. */
static bool part_without(unsigned at, bool onward)
{
    struct inject_count was = inject_count();
    struct holder one, two;
    const char *failed;
    size_t held[5];
    uint8_t *old;
    long segments;
    int r;

    other = fixture_again();
    segments = inject_count().segments;
    holder_start(&one, some, 3, true);
    holder_start(&two, more, 2, true);
    old = other->base;
    inject_begin(INJECT_HEAP | INJECT_MAP, at, onward, ENOMEM);
    r = part(held);
    failed = inject_end();
    if (r < 0) {
        cr_assert_eq(r, APIARY_ENOBLOCK, "%s", failed);
        cr_expect(other->base == old && other->image != 0, "%s", failed);
        cr_expect_leq(segments, inject_count().segments, "%s", failed);
        cr_expect_eq(pages_left(old, other->size), other->size / 4096, "%s", failed);
    }
    holder_go(&one);
    holder_go(&two);
    holder_end(&one);
    holder_end(&two);
    ap_segment_unmap(other);
    cr_expect_eq(inject_count().segments, was.segments, "%s", failed);
    cr_expect_eq(inject_count().blocks, was.blocks, "%s", failed);
    for (size_t i = 0; i < 5; i++) memset(seg->base + held[i], 0, 4);
    return failed != NULL;
}

Test(parting, without_memory_the_mapping_stays)
{
    for (int onward = 0; onward < 2; onward++) {
        unsigned at = 1;

        while (part_without(at, onward != 0)) at++;
        cr_expect_gt(at, 8, "four pages, with a copy, a note and a mapping each");
    }
}
