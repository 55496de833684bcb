/* What shm/ takes and refuses at the last value and at the one behind it, and what a refusal leaves: nothing. */
#include "shm_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "shm/event.h"
#include "shm/image.h"
#include "shm/pool.h"

TestSuite(limits, .init = fixture_setup, .fini = fixture_teardown);

static char message[256];

/* ---- descriptors ---------------------------------------------------------------------------------------------- */

static int closed_twice;

/* In the place of the library's: who closes a descriptor for the second time may close another thread's. */
int close(int fd)
{
    int r = (int)syscall(SYS_close, fd);

    if (r < 0 && errno == EBADF) closed_twice++;
    return r;
}

/* In the place of the library's: nobody may give a file away to this one. */
#define NOT_GIVEN 4242u
int fchown(int fd, uid_t owner, gid_t group)
{
    if (owner != NOT_GIVEN) return (int)syscall(SYS_fchown, fd, owner, group);
    errno = EPERM;
    return -1;
}

/* The lowest that is free. */
static int next_descriptor(void)
{
    int fd = fcntl(seg->fd, F_DUPFD_CLOEXEC, 3);

    cr_assert_geq(fd, 3);
    close(fd);
    return fd;
}

static const struct ap_parts *attached_with = &ap_shm_parts;

static void set_time(uint64_t inode, int64_t offset)
{
    ap_store_relaxed(&seg->header->time_namespace.inode, inode);
    ap_store_relaxed(&seg->header->time_namespace.offset, offset);
}

static int attach_as(bool writable)
{
    struct ap_segment *other = NULL;
    int r = ap_segment_attach(seg_name, writable, attached_with, message, sizeof message, &other);

    if (r < 0) cr_expect_null(other);
    ap_segment_unmap(other);
    return r;
}

static int gone(const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "/dev/shm%s", name);
    return access(path, F_OK);
}

Test(limits, what_is_refused_closes_each_descriptor_once)
{
    struct ap_segment_options o = {.name = own_name(), .geometry = seg->geometry};
    struct ap_segment *other = NULL;
    int next = next_descriptor();

    o.owner = &(uid_t){NOT_GIVEN};
    cr_expect_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &other), APIARY_EPERM);
    cr_expect_not_null(strstr(message, "cannot give the segment to 4242:: "), "%s", message);
    cr_expect_eq(gone(o.name), -1);
    cr_expect_null(other);
    set_time(UINT64_MAX, 5);
    cr_expect_eq(attach_as(true), APIARY_ETIMENS);
    cr_expect_eq(closed_twice, 0);
    cr_expect_eq(next_descriptor(), next);
}

/* The last place is the file's own: none is left for the image's. */
Test(limits, without_a_descriptor_for_the_image_the_reason_is_said)
{
    struct ap_segment_options o = {.name = own_name(), .geometry = seg->geometry};
    struct ap_segment *other = NULL;
    struct rlimit all, few;
    int next = next_descriptor();

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &all), 0);
    few = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = all.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    cr_expect_eq(attach_as(true), APIARY_ESYS);
    cr_expect_not_null(strstr(message, strerror(EMFILE)), "%s", message);
    cr_expect_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &other), APIARY_ESYS);
    cr_expect_not_null(strstr(message, strerror(EMFILE)), "%s", message);
    cr_expect_eq(setrlimit(RLIMIT_NOFILE, &all), 0);
    cr_expect_null(other);
    cr_expect_eq(gone(o.name), -1);
    cr_expect_eq(closed_twice, 0);
    cr_expect_eq(next_descriptor(), next);
    cr_expect_eq(attach_as(true), 0);
}

/* A socket cannot be opened by its name under /proc, and what lies at the path is not the socket. */
Test(limits, another_file_at_the_path_is_let_go_of)
{
    int s = socket(AF_UNIX, SOCK_STREAM, 0), next = next_descriptor(), own;

    cr_assert_geq(s, 0);
    own = ap_image_open(s, "/dev/null");
    cr_expect_eq(own, next, "a duplicate, and nothing else is open");
    close(own);
    close(s);
}

/* ---- names, times, mappings ----------------------------------------------------------------------------------- */

static int attach_name(const char *name)
{
    struct ap_segment *other;
    return ap_segment_attach(name, true, &ap_shm_parts, NULL, 0, &other);
}

Test(limits, names)
{
    char name[80];

    memset(name, 'n', sizeof name);
    name[0] = '/';
    name[63] = '\0';
    cr_expect_eq(attach_name(name), APIARY_ENOSEG, "62 bytes behind the '/'");
    cr_expect_eq(ap_segment_remove(name), APIARY_ENOSEG);
    name[63] = 'n';
    name[64] = '\0';
    cr_expect_eq(attach_name(name), APIARY_EINVAL);
    cr_expect_eq(ap_segment_remove(name), APIARY_EINVAL);
    snprintf(name, sizeof name, "/%c", 1); /* nobody's */
    cr_expect_eq(attach_name(name), APIARY_ENOSEG, "one byte");
    cr_expect_eq(attach_name("/."), APIARY_EINVAL);
    cr_expect_eq(attach_name("/.."), APIARY_EINVAL);
    cr_expect_eq(attach_name(NULL), APIARY_EINVAL);
}

Test(limits, who_writes_shares_the_creators_time)
{
    struct ap_time_namespace own;

    ap_time_namespace_self(&own);
    if (own.inode == 0 || own.offset == AP_OFFSET_UNKNOWN) cr_skip_test("the system does not say in which time we are");
    set_time(own.inode + 1, own.offset);
    cr_expect_eq(attach_as(true), 0, "another namespace that shows the same: %s", message);
    set_time(own.inode + 1, own.offset - INT64_C(7000000000));
    cr_expect_eq(attach_as(true), APIARY_ETIMENS);
    cr_expect_not_null(strstr(message, "+7 s"), "%s", message);
    cr_expect_eq(attach_as(false), 0, "who only looks");
    set_time(own.inode + 1, AP_OFFSET_UNKNOWN);
    cr_expect_eq(attach_as(true), APIARY_ETIMENS);
    set_time(0, 5);
    cr_expect_eq(attach_as(true), 0, "a creator that did not know");
}

/* How many mappings of files with this in their name the process has. */
static int mappings(const char *what)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512];
    int n = 0;

    cr_assert_not_null(f);
    while (fgets(line, sizeof line, f) != NULL) n += strstr(line, what) != NULL;
    fclose(f);
    return n;
}

Test(limits, a_large_segment_is_mapped_once_and_at_a_huge_page)
{
    struct ap_segment_options o = {.name = seg_name};
    struct ap_segment *other;

    fixture_teardown();
    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &seg), 0, "%s", message);
    cr_assert_geq(seg->size, UINT64_C(2) << 20);
    cr_assert_eq(ap_segment_attach(seg_name, true, &ap_shm_parts, message, sizeof message, &other), 0, "%s", message);
    cr_expect_eq((uintptr_t)other->base % (UINT64_C(2) << 20), 0);
    ap_segment_unmap(seg);
    cr_expect_eq(mappings(seg_name), 1);
    ap_segment_unmap(other);
    cr_expect_eq(mappings(seg_name), 0);
    fixture_make(128, 8, 2);
}

/* ---- headers that contradict themselves ----------------------------------------------------------------------- */

#define CONTRADICTS(field, value)                                                                      \
    do {                                                                                               \
        __typeof__(field) old = (field);                                                               \
        (field) = (__typeof__(field))(value);                                                          \
        cr_expect_eq(attach_as(true), APIARY_ECORRUPT, #field " = " #value ": %s", message);           \
        (field) = old;                                                                                 \
        cr_expect_eq(attach_as(true), 0, #field ": %s", message);                                      \
    } while (0)

Test(limits, a_geometry_that_no_creator_writes_is_refused)
{
    struct ap_header *h = seg->header;

    CONTRADICTS(h->geometry.members, 0);
    CONTRADICTS(h->geometry.members, 4097);
    CONTRADICTS(h->geometry.task_timeout, 0);
    CONTRADICTS(h->geometry.result_ttl, 0);
    CONTRADICTS(h->geometry.registry[0], 1);
    CONTRADICTS(h->geometry.max_concurrent_delegations, 1); /* a number of no part of shm/ */
    CONTRADICTS(h->geometry.pool_blocks[0], (1u << 20) + 1);
    CONTRADICTS(h->section_count, AP_SECTION_FIRST_FREE - 1);
    CONTRADICTS(h->section_count, AP_SECTION_FIRST_FREE + 1);
    CONTRADICTS(h->section_count, AP_SECTIONS_MAX + 1);
    CONTRADICTS(h->size, seg->size - 4096);
}

static uint64_t three(const struct ap_geometry *g)
{
    (void)g;
    return 3;
}

static const struct ap_part part_one = {.name = "first", .size = 64, .count = three, .fields = AP_NO_FIELDS,
                                        .numbers = AP_NO_NUMBERS, .look = ap_look_nothing, .withdraw = ap_part_nothing,
                                        .settle = ap_part_nothing},
                            part_two = {.name = "second", .size = 8, .count = three, .fields = AP_NO_FIELDS,
                                        .numbers = AP_NO_NUMBERS, .look = ap_look_nothing, .withdraw = ap_part_nothing,
                                        .settle = ap_part_nothing};

Test(limits, further_sections_are_those_of_the_table)
{
    const struct ap_part *rows[AP_SECTION_FIRST_FREE + 2];
    const struct ap_parts parts = {.rows = rows, .count = AP_SECTION_FIRST_FREE + 2};
    struct ap_segment_options o = {.name = seg_name, .geometry = seg->geometry};
    struct ap_section *s;

    memcpy(rows, ap_shm_parts.rows, sizeof rows[0] * AP_SECTION_FIRST_FREE);
    rows[AP_SECTION_FIRST_FREE] = &part_one;
    rows[AP_SECTION_FIRST_FREE + 1] = &part_two;
    fixture_teardown();
    attached_with = &parts;
    cr_assert_eq(ap_segment_create(&o, &parts, message, sizeof message, &seg), 0, "%s", message);
    s = &seg->header->sections[AP_SECTION_FIRST_FREE];
    CONTRADICTS(s[0].name[0], '\0');
    CONTRADICTS(s[0].name[sizeof s->name - 1], 'x');
    CONTRADICTS(s[1].name[0], '\0');
    CONTRADICTS(s[0].offset, s[0].offset + 4096);
    CONTRADICTS(s[1].offset, s[1].offset - 4096);
    CONTRADICTS(s[1].stride, 0);
    CONTRADICTS(s[0].stride, 4096);
    CONTRADICTS(s[1].stride, UINT64_MAX);
    CONTRADICTS(s[1].count, UINT64_MAX / 8);
    CONTRADICTS(s[1].count, 513);
}

/* ---- queues, tasks, blocks, events ---------------------------------------------------------------------------- */

static struct ap_lane_handle lane;
static struct ap_slabs slabs;

static void begin(void)
{
    cr_assert_eq(ap_member_open(seg, "limits", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
}

Test(limits, a_queue_is_closed_once)
{
    uint64_t life = ap_load_acquire(&ap_queue_at(seg, 1)->life);

    begin();
    cr_expect_eq(ap_queue_close(seg, 1, life), 0, "it is free");
    cr_assert_eq(ap_queue_claim(seg, 1, lane.index), 1);
    cr_assert_eq(ap_queue_open(seg, 1, lane.index), 1);
    cr_assert_eq(ap_queue_close(seg, 1, ap_load_acquire(&ap_queue_at(seg, 1)->life)), 1);
    life = ap_load_acquire(&ap_queue_at(seg, 1)->life);
    cr_expect_eq(ap_queue_close(seg, 1, life), 0, "it is closed");
    cr_expect_eq(ap_load_acquire(&ap_queue_at(seg, 1)->life), life);
}

Test(limits, any_queue_is_safe)
{
    const uint32_t none = seg->geometry.queues;
    uint64_t life = AP_QUEUE_LIFE(0, 0, AP_QUEUE_FREE);

    begin();
    cr_expect_eq(ap_queue_claim(seg, none, lane.index), 0);
    cr_expect_eq(ap_queue_claim_seen(seg, none, lane.index, life), 0);
    cr_expect_eq(ap_queue_open(seg, none, lane.index), 0);
    cr_expect_eq(ap_queue_close(seg, none, AP_QUEUE_LIFE(1, lane.index, AP_QUEUE_OPEN)), 0);
    cr_expect_eq(ap_queue_push_shared(seg, none, AP_REF(1, 1)), APIARY_ECORRUPT);
    cr_expect_eq(ap_queue_depth(seg, none), 0);
    ap_queue_signal(seg, none, 0, AP_QUEUE_LIFE(1, lane.index, AP_QUEUE_OPEN));
    ap_queue_count_ended(seg, none, AP_TASK_FAILED, true);
}

/* The last queue's rings are the last of the table. */
Test(limits, the_last_queue_is_one_as_the_others)
{
    const uint32_t last = seg->geometry.queues - 1;
    struct ap_producer p[4] = {{.opened = 0}};
    struct ap_consumer c;

    begin();
    cr_assert_eq(ap_queue_claim(seg, last, lane.index), 1);
    cr_assert_eq(ap_queue_open(seg, last, lane.index), 1);
    ap_consumer_init(&c, seg, last);
    for (uint64_t i = 0; i < 4; i++) {
        cr_assert(ap_queue_room(seg, last, &p[i], &lane));
        cr_assert_eq(ap_queue_push(seg, &p[i], AP_REF(0, i + 1)), 0);
        ap_fence_full();
        ap_queue_signal(seg, last, p[i].index, ap_load_acquire(&ap_queue_at(seg, last)->life));
    }
    cr_expect_eq(p[3].index, seg->geometry.queue_inlets);
    cr_expect_eq(ap_queue_depth(seg, last), 4);
    for (int i = 0; i < 4; i++) cr_expect_neq(ap_queue_pop(&c), 0);
    cr_expect_eq(ap_queue_pop(&c), 0);
    cr_expect_eq(ap_queue_depth(seg, last), 0);
}

/* Of clients that are about to send again; to clear them costs a fence. */
Test(limits, few_empty_rings_keep_their_bits)
{
    uint64_t *summary = &ap_queue_at(seg, 1)->summary;
    struct ap_consumer c;

    begin();
    ap_consumer_init(&c, seg, 1);
    ap_store_relaxed(summary, 7);
    cr_expect_eq(ap_queue_pop(&c), 0);
    cr_expect_eq(ap_load_relaxed(summary), 7);
}

/* ---- what an observer sees ------------------------------------------------------------------------------------- */

static struct {
    uint8_t *page;
    const struct ap_ring *ring; /* in another mapping */
    uint64_t tail;
    int traps;
} watched;

static void read_tail(int signal)
{
    (void)signal;
    mprotect(watched.page, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE);
    if (watched.traps++ == 0) watched.tail = ap_load_relaxed(&watched.ring->tail);
}

/* Its former lessee died between a cell and the tail. Were the next one to go on from there and die at the same place, the tail
 * would be two behind. */
Test(limits, a_ring_that_is_leased_anew_has_the_tail_of_its_cells)
{
    enum { DEPTH = 1024, LEFT = 520 };
    struct sigaction action = {.sa_handler = read_tail}, before;
    struct ap_producer first = {.opened = 0}, next = {.opened = 0};
    struct ap_segment *other;
    uintptr_t cell;

    fixture_teardown();
    fixture_make(128, DEPTH, 1);
    begin();
    other = fixture_again();
    cr_assert(ap_queue_room(seg, 1, &first, &lane));
    for (uint64_t i = 1; i <= LEFT; i++) cr_assert_eq(ap_queue_push(seg, &first, AP_REF(0, i)), 0);
    ap_store_release(&first.ring->head, LEFT);
    first.ring->tail--;
    ap_queue_reap_leases(seg, lane.index, 0);
    cell = (uintptr_t)ap_cell_at(seg, first.ring, LEFT);
    watched.page = (uint8_t *)(cell - cell % (uintptr_t)sysconf(_SC_PAGESIZE));
    watched.ring = ap_ring_at(other, 1, 0);
    sigaction(SIGSEGV, &action, &before);
    cr_assert_eq(mprotect(watched.page, (size_t)sysconf(_SC_PAGESIZE), PROT_READ), 0);
    cr_expect(ap_queue_room(seg, 1, &next, &lane));
    cr_expect_eq(ap_queue_push(seg, &next, AP_REF(0, LEFT + 1)), 0);
    sigaction(SIGSEGV, &before, NULL);
    cr_expect_eq(next.ring, first.ring);
    cr_expect_eq(watched.traps, 1);
    cr_expect_eq(watched.tail, LEFT, "%llu", (unsigned long long)watched.tail);
    cr_expect_eq(ap_load_relaxed(&next.ring->tail), LEFT + 1);
    ap_segment_unmap(other);
}

Test(limits, any_task_is_safe)
{
    const uint32_t none = seg->geometry.tasks;
    const uint64_t done = AP_WORD(AP_TASK_DONE, 0, 0, 1), queued = AP_WORD(AP_TASK_QUEUED, 0, 1, 1);
    uint64_t token = 7;

    begin();
    cr_expect_eq(ap_task_request(seg, none, 1, AP_REQUEST_CANCEL), 0);
    cr_expect_eq(ap_task_release(seg, lane.index, none, done), 0);
    cr_expect_eq(ap_task_move(seg, none, queued, 1), 0);
    cr_expect_eq(ap_task_cancel_queued(seg, none, queued, AP_TASK_CANCELLED, APIARY_ECANCELLED), 0);
    cr_expect_eq(ap_task_requeue_dead(seg, 1, none, AP_WORD(AP_TASK_RUNNING, 0, 1, 1), 1, true), 0);
    cr_expect_eq(ap_task_fail_dead(seg, 1, none, AP_WORD(AP_TASK_RUNNING, 0, 1, 1), APIARY_ECRASHED, true), 0);
    cr_expect_eq(ap_task_free_dead(seg, 1, none, AP_WORD(AP_TASK_RELEASING, 0, 1, 1)), 0);
    cr_expect_eq(ap_task_claim(seg, lane.index, 1, AP_REF(none, 1), &token), 0);
    cr_expect_eq(token, 7);
    cr_expect_eq(ap_task_finish(seg, none, AP_WORD(AP_TASK_RUNNING, 0, lane.index, 1), 0), APIARY_ESTALE);
}

Test(limits, a_body_larger_than_every_block_is_too_large)
{
    struct ap_segment_options o = {.name = seg_name, .geometry = seg->geometry};
    struct ap_pool_hint hint = {0};
    uint64_t offset = 5;

    fixture_teardown();
    memset(o.geometry.pool_blocks, 0, sizeof o.geometry.pool_blocks);
    o.geometry.pool_blocks[1] = 2;
    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &seg), 0, "%s", message);
    begin();
    cr_expect_eq(ap_pool_max(seg), ap_pool_class_size[1]);
    cr_expect_eq(ap_pool_take(seg, &lane, &hint, ap_pool_class_size[1] + 1, &offset), APIARY_ETOOLARGE);
    cr_expect_eq(offset, 5);
    cr_expect_eq(ap_pool_take(seg, &lane, &hint, ap_pool_class_size[1], &offset), 0);
}

/* A worker in recovery never names a result, a living one may. */
Test(limits, a_result_that_a_dead_worker_did_not_name_is_a_leak)
{
    struct ap_pool_hint hint = {0};
    uint64_t token, offset, *life;
    uint32_t slot;

    begin();
    life = &lane.lane->life;
    cr_assert_eq(ap_pool_take(seg, &lane, &hint, 100, &offset), 0);
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    cr_assert_eq(ap_task_claim(seg, lane.index, 0, ap_task_publish(seg, slot, 0), &token), 1);
    ap_pool_attach(seg, offset, AP_BLOCK_RESULT_OF(token), slot, AP_WORD_GENERATION(token));
    cr_expect_eq(ap_pool_sweep(seg), 0);
    ap_store_release(life, AP_LIFE(lane.epoch, AP_LIFE_DEAD));
    cr_expect_eq(ap_pool_sweep(seg), 1);
    ap_store_release(life, AP_LIFE(lane.epoch, AP_LIFE_LIVE));
}

static void take_block(struct ap_segment *own, struct ap_lane_handle *h)
{
    struct ap_pool_hint hint = {0};
    uint64_t offset;

    if (ap_pool_take(own, h, &hint, 100, &offset) < 0) _exit(1);
}

/* How often it was told since; the last one is in *ret. */
static int told(uint64_t since, uint32_t kind, struct ap_event *ret)
{
    struct ap_event e;
    int n = 0;

    for (uint64_t i = since; i < ap_load_acquire(&seg->header->event_next); i++)
        if (ap_event_read(seg, i, &e) == 1 && e.kind == kind) {
            cr_expect_eq(e.number, i);
            *ret = e;
            n++;
        }
    return n;
}

Test(limits, an_event_has_its_numbers_and_its_time)
{
    uint64_t before = seg->ops->realtime(), since = ap_load_acquire(&seg->header->event_next);
    struct ap_event e;
    uint32_t dead;

    begin();
    dead = fixture_die(take_block);
    cr_assert_eq(ap_reap_all(seg, lane.index, NULL), 1);
    cr_assert_eq(told(since, AP_EVENT_BLOCKS_SWEPT, &e), 1);
    cr_expect(e.lane == dead && e.a == 1 && e.b == 0);
    cr_assert_eq(told(since, AP_EVENT_LANE_REAPED, &e), 1);
    cr_expect(e.lane == dead && e.a == dead && e.b == 1, "%llu", (unsigned long long)e.b);
    cr_expect(e.time >= before && e.time <= seg->ops->realtime());
    since = ap_load_acquire(&seg->header->event_next);
    fixture_die(NULL);
    cr_assert_eq(ap_reap_all(seg, lane.index, NULL), 1);
    cr_expect_eq(told(since, AP_EVENT_BLOCKS_SWEPT, &e), 0, "it had none");
    cr_expect_eq(ap_event_read(seg, 0, &e), 0);
}
