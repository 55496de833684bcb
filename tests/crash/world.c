/* tests/crash/world.c - the segment that is swept, its two sides, and what is done in it before and after. */
#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

char world_name[64];
uint32_t world_route;
bool world_registry;
const struct ap_reap_hooks *world_hooks;
struct side actor, survivor;

/* A clock of our own, so that a run takes the same path twice; ahead of the system's, with which attach marks what it makes. Where
 * two providers are equal the time decides, too: it begins by the seed, on a machine that has been up for less than EON. */
#define EON UINT64_C(1000000000000000)
static uint64_t ticks, calendar;
static struct ap_ops world_ops;

static uint64_t world_now(void)
{
    return ticks += 1000;
}

/* There is nobody else who could run. */
static void world_yield(void)
{
}

static uint64_t world_realtime(void)
{
    return calendar + world_now();
}

void world_later(void)
{
    ticks += UINT64_C(1000000000);
}

/* The sides have clocks of their own: what is due now for one may be so for the other a few ticks later. */
void world_soon(void)
{
    ticks += UINT64_C(1000000);
}

void world_due(void)
{
    ticks += WORLD_LATER;
}

static uint32_t route(void *user, struct ap_segment *seg, const struct ap_slot *slot)
{
    (void)user, (void)seg, (void)slot;
    return world_route;
}
static const struct ap_reap_hooks route_hooks = {.route = route};

/* ---- making it ------------------------------------------------------------------------------------------------ */

static const struct ap_geometry small = {.members = 4, .lanes = 6, .tasks = TASKS, .queues = QUEUES, .queue_depth = 4,
                                         .queue_inlets = 1, .pool_blocks = {BLOCKS - 1, 1}, .events = 4, .finished_rings = 2,
                                         .max_concurrent_delegations = 5, .claims = 10};
static const uint32_t sizes[] = {[AP_REGISTRY_INDEX(SERVICES)] = 4, [AP_REGISTRY_INDEX(SWARMS)] = 3,
                                 [AP_REGISTRY_INDEX(CAPABILITIES)] = 8, [AP_REGISTRY_INDEX(KEPT)] = 2,
                                 [AP_REGISTRY_INDEX(RULES)] = 3, [AP_REGISTRY_INDEX(VALUES)] = 5,
                                 [AP_REGISTRY_INDEX(CHANGES)] = 8, [AP_REGISTRY_INDEX(CACHES)] = 2,
                                 [AP_REGISTRY_INDEX(INSTANCES)] = 32, [AP_REGISTRY_INDEX(TALLIES)] = 20};

static void must(bool condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "sweep: %s\n", what);
    exit(2);
}

static void side_init(struct side *s)
{
    s->slabs.lane = &s->lane;
    s->collected.struct_size = sizeof s->collected;
    s->slabs.held = calloc(HELD, sizeof *s->slabs.held);
    s->slabs.capacity = HELD; /* so that nothing is allocated in the middle of an operation */
    must(s->slabs.held != NULL, "no memory");
}

static void consumer_settle(struct ap_consumer *c)
{
    uint64_t cursor = 0;
    while (ap_queue_scan(c, &cursor) != 0) {}
}

/* The survivor serves the capability "echo". */
void survivor_register(void)
{
    static const char *const capabilities[] = {"echo", NULL};
    struct ap_agent_registration agent = {.name = "agent", .capabilities = capabilities, .lane = survivor.lane.index};
    struct ap_swarm_registration r = {.service = "server", .lane = survivor.lane.index, .member = survivor.lane.member,
                                      .agents = &agent, .agent_count = 1};

    must(ap_swarm_register(survivor.seg, &r) == 0 && agent.queue == 0, "the survivor cannot register");
}

void world_make(const struct operation *of, uint64_t seed)
{
    struct ap_segment_options o = {.name = world_name, .geometry = small};
    char message[256] = "";
    int r;

    snprintf(world_name, sizeof world_name, "/apiary-sweep-%d", (int)getpid());
    shm_unlink(world_name);
    ticks = (ap_ops_system.now() / EON + 1) * EON + seed % EON;
    calendar = ap_ops_system.realtime() - ap_ops_system.now();
    world_ops = ap_ops_system;
    world_ops.now = world_now;
    world_ops.realtime = world_realtime;
    world_ops.yield = world_yield;
    world_registry = of->registry;
    world_hooks = of->registry ? &ap_registry_hooks : &route_hooks;
    world_route = AP_NO_QUEUE;
    if (of->inlets != 0) o.geometry.queue_inlets = of->inlets;
    o.geometry.kept_share = of->kept_share != 0 ? of->kept_share : 100;
    if (of->registry) memcpy(o.geometry.registry, sizes, sizeof sizes);
    o.geometry.registry[AP_REGISTRY_INDEX(DRAFTS)] = of->memory_bytes;
    memset(&survivor, 0, sizeof survivor);
    r = of->registry ? ap_registry_create(&o, message, sizeof message, &survivor.seg)
                 : ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &survivor.seg);
    must(r == 0, message);
    survivor.seg->ops = &world_ops;
    must(ap_member_open(survivor.seg, "survivor", NULL, APIARY_CLIENT, &survivor.lane) == 0, "no lane");
    side_init(&survivor);
    if (of->registry) {
        survivor_register();
    } else {
        must(ap_queue_claim(survivor.seg, 0, survivor.lane.index) && ap_queue_open(survivor.seg, 0, survivor.lane.index),
             "no queue");
    }
    ap_consumer_init(&survivor.consumer, survivor.seg, 0);
    consumer_settle(&survivor.consumer);
    /* It holds a slab from the beginning: without a recovery it can do with that. */
    must(ap_task_reserve(&survivor.slabs, NULL, NULL, &survivor.slot) == 0, "no slot");
    ap_task_unreserve(&survivor.slabs, survivor.slot);
}

void world_drop(void)
{
    must(ap_segment_remove(world_name) == 0, "the world cannot be removed");
}

/* ---- images --------------------------------------------------------------------------------------------------- */

/* Whether nobody holds the byte of an image (shm/image.h) with a number above `last`. */
static bool images_gone(int file, uint64_t last)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)last + 1, .l_len = 0};

    must(fcntl(file, F_OFD_GETLK, &lock) == 0, "no locks can be seen");
    return lock.l_type == F_UNLCK;
}

uint64_t world_image_last(void)
{
    return ap_load_relaxed(&survivor.seg->header->images);
}

bool world_left(pid_t pid, uint64_t last, int *status)
{
    int file = shm_open(world_name, O_RDONLY | O_CLOEXEC, 0);

    must(file >= 0, "the world cannot be opened");
    if (waitpid(pid, status, 0) != pid) return false;
    while (!images_gone(file, last)) sched_yield();
    close(file);
    return true;
}

/* What names the process is another's in each run, and so is the hash of an event or a record that names it. */
void world_forget_process(uint8_t *image, uint64_t size, uint32_t pid)
{
    const struct ap_section *events = &survivor.seg->sections[AP_SECTION_EVENTS];
    const struct ap_section *rings = &survivor.seg->sections[AP_SECTION_FINISHED];

    for (uint64_t i = 0; i + 4 <= size; i += 4) {
        uint32_t v;
        memcpy(&v, image + i, 4);
        if ((v & 0x3fffffff) == pid) v &= 0xc0000000u;
        else if (v >> 8 == (pid & 0xffffff)) v &= 0xff; /* of a claim (AP_CLAIM_WHO) */
        else continue;
        memcpy(image + i, &v, 4);
    }
    for (uint64_t i = 0; i < events->count; i++)
        memset(image + events->offset + i * events->stride + offsetof(struct ap_event, check), 0, sizeof(uint64_t));
    for (uint64_t i = 0; i < rings->count * AP_FINISHED_RECORDS; i++)
        memset(image + rings->offset + i / AP_FINISHED_RECORDS * rings->stride + offsetof(struct ap_finished_ring, records) +
                   i % AP_FINISHED_RECORDS * sizeof(struct ap_finished) + offsetof(struct ap_finished, check), 0, sizeof(uint64_t));
}

/* ---- the actor ------------------------------------------------------------------------------------------------ */

/* Its stamps become those of our clock. */
static void actor_attach(void)
{
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "actor", .swarm = "caller"};

    must(apiary_attach(world_name, &o, &actor.api) == 0, "the actor cannot attach");
    actor.seg = actor.api->seg;
    actor.seg->ops = &world_ops;
    actor.lane = actor.api->anchor->lane;
    ap_balance_begin(&actor.api->anchor->balance, actor.seg, 1); /* attach has taken the system's time for a random number */
    ap_store_relaxed(&actor.lane.lane->joined, world_now());
    ap_store_relaxed(&ap_member_at(actor.seg, actor.api->member)->attached, world_realtime());
    for (uint32_t i = 0; i < actor.seg->geometry.events; i++) {
        struct ap_event *e = ap_at(actor.seg, AP_SECTION_EVENTS, i);
        if (ap_load_relaxed(&e->number) != 0) ap_store_relaxed(&e->time, world_realtime());
    }
}

/* The same in each run, where images are compared. */
static void actor_disguise(void)
{
    actor.seg->self.start_time = 1;
    ap_store_relaxed(&ap_member_at(actor.seg, actor.lane.member)->start_time, 1);
}

static void reset_actor(void)
{
    struct side keep_these = actor;

    /* What the image's maker left for the actor to work on. */
    memset(&actor, 0, sizeof actor);
    actor.slot = keep_these.slot;
    actor.ref = keep_these.ref;
    actor.word = keep_these.word;
}

void actor_join(void)
{
    char message[256] = "";

    reset_actor();
    if (world_registry) {
        actor_attach();
    } else {
        must(ap_segment_attach(world_name, true, &ap_shm_parts, message, sizeof message, &actor.seg) == 0, message);
        actor.seg->ops = &world_ops;
        must(ap_member_open(actor.seg, "actor", NULL, APIARY_CLIENT, &actor.lane) == 0, "no lane");
    }
    actor_disguise();
    side_init(&actor);
}

void actor_meet(void)
{
    reset_actor();
    if (world_registry) {
        actor_attach();
    } else {
        actor.seg = survivor.seg;
        must(ap_member_open(actor.seg, "actor", NULL, APIARY_CLIENT, &actor.lane) == 0, "no lane");
    }
    side_init(&actor);
}

/* ---- private state -------------------------------------------------------------------------------------------- */

struct kept_side {
    struct side side;
    uint32_t held[HELD], api_held[HELD];
    struct apiary api;
    struct ap_lane_context context;
    struct ap_producer producers[QUEUES];
    uint64_t lent[BLOCKS];
};

struct kept {
    struct kept_side sides[2];
    struct kept_hive hive;
    uint64_t ticks;
};

static void side_keep(struct kept_side *k, const struct side *s)
{
    k->side = *s;
    if (s->slabs.held != NULL) memcpy(k->held, s->slabs.held, sizeof k->held);
    if (s->api == NULL) return;
    k->api = *s->api;
    if (s->api->lent != NULL) memcpy(k->lent, s->api->lent, sizeof k->lent);
    if (s->api->anchor == NULL) return;
    k->context = *s->api->anchor;
    memcpy(k->producers, k->context.producers, sizeof k->producers);
    if (k->context.slabs.count > 0) memcpy(k->api_held, k->context.slabs.held, k->context.slabs.count * sizeof k->held[0]);
}

static void side_back(const struct kept_side *k, struct side *s)
{
    *s = k->side;
    if (s->slabs.held != NULL) memcpy(s->slabs.held, k->held, sizeof k->held);
    if (s->api == NULL) return;
    *s->api = k->api;
    if (s->api->lent != NULL) memcpy(s->api->lent, k->lent, sizeof k->lent);
    if (s->api->anchor == NULL) return;
    *s->api->anchor = k->context;
    memcpy(k->context.producers, k->producers, sizeof k->producers);
    if (k->context.slabs.count > 0) memcpy(k->context.slabs.held, k->api_held, k->context.slabs.count * sizeof k->held[0]);
}

struct kept *kept_new(void)
{
    struct kept *k = aligned_alloc(AP_LINE, sizeof *k);

    must(k != NULL, "no memory");
    memset(k, 0, sizeof *k);
    return k;
}

void keep(struct kept *k)
{
    side_keep(&k->sides[0], &actor);
    side_keep(&k->sides[1], &survivor);
    hive_keep(&k->hive);
    k->ticks = ticks;
}

void bring_back(const struct kept *k)
{
    side_back(&k->sides[0], &actor);
    side_back(&k->sides[1], &survivor);
    hive_back(&k->hive);
    ticks = k->ticks;
}

/* ---- what clients and workers do ------------------------------------------------------------------------------ */

uint64_t word_of(uint32_t slot)
{
    return ap_load_acquire(&ap_slot_at(survivor.seg, slot)->word);
}

uint64_t generation_of(const struct side *s)
{
    return AP_WORD_GENERATION(word_of(s->slot));
}

void signal_queue(struct ap_segment *seg, uint32_t queue, uint32_t ring)
{
    ap_fence_full();
    ap_queue_signal(seg, queue, ring, ap_load_acquire(&ap_queue_at(seg, queue)->life));
}

void own_queue(struct side *s, uint32_t queue)
{
    must(ap_queue_claim(s->seg, queue, s->lane.index) && ap_queue_open(s->seg, queue, s->lane.index), "no queue to own");
    ap_consumer_init(&s->consumer, s->seg, queue);
}

int reserve(struct side *s)
{
    return ap_task_reserve(&s->slabs, NULL, NULL, &s->slot);
}

/* Filled so that the checkers have nothing to say. */
void fill(struct side *s)
{
    struct ap_slot *slot = ap_slot_at(s->seg, s->slot);
    uint64_t now = s->seg->ops->now();

    ap_store_relaxed(&slot->deadline, UINT64_MAX);
    ap_store_relaxed(&slot->queued, now);
    ap_store_relaxed(&slot->started, now);
    ap_store_relaxed(&slot->finished, now);
    ap_store_relaxed(&slot->caller, 0);
    ap_store_relaxed(&slot->only, 0);
    ap_store_relaxed(&slot->capability, (uint16_t)(world_registry ? ap_capability_find(s->seg, "echo", 4) : 0));
    ap_store_relaxed(&slot->body_size, 4);
    memcpy(slot->body_inline, "work", 4);
}

void image_reserved(void)
{
    if (reserve(&survivor) < 0) exit(2);
    fill(&survivor);
}

int submit(struct side *s, uint32_t queue, bool block)
{
    struct ap_producer *p = &s->producers[queue];
    struct ap_slot *slot;
    uint64_t offset;
    int r = ap_queue_room(s->seg, queue, p, &s->lane) ? reserve(s) : APIARY_EQUEUEFULL;

    if (r < 0) return r;
    slot = ap_slot_at(s->seg, s->slot);
    fill(s);
    if (block) {
        r = ap_pool_take(s->seg, &s->lane, &s->hint, BODY, &offset);
        if (r < 0) {
            ap_task_unreserve(&s->slabs, s->slot);
            return r;
        }
        memcpy(ap_at_offset(s->seg, offset, BODY), "work", 4);
        ap_store_relaxed(&slot->body_size, BODY);
        ap_store_relaxed(&slot->body, offset);
        ap_pool_attach(s->seg, offset, AP_BLOCK_REQUEST, s->slot, AP_WORD_GENERATION(ap_load_relaxed(&slot->word)));
    }
    s->ref = ap_task_publish(s->seg, s->slot, queue);
    r = ap_queue_push(s->seg, p, s->ref);
    if (r < 0) { /* others have filled it meanwhile */
        if (ap_task_cancel_queued(s->seg, s->slot, word_of(s->slot), AP_TASK_CANCELLED, APIARY_ECANCELLED))
            ap_task_release(s->seg, s->lane.index, s->slot, word_of(s->slot));
        return r;
    }
    signal_queue(s->seg, queue, p->index);
    return 0;
}

/* Without a block for it, the result is left as the claim left it: empty. Nobody shares it. */
int finish(struct side *s, uint32_t slot, uint64_t token, bool block)
{
    struct ap_slot *at = ap_slot_at(s->seg, slot);
    uint64_t offset;
    bool coalesced;
    int r;

    ap_store_relaxed(&at->started, s->seg->ops->now());
    ap_store_relaxed(&at->finished, s->seg->ops->now());
    if (block && ap_pool_take(s->seg, &s->lane, &s->hint, BODY, &offset) == 0) {
        ap_pool_attach(s->seg, offset, AP_BLOCK_RESULT_OF(token), slot, AP_WORD_GENERATION(token));
        ap_store_relaxed(&at->result, offset);
        ap_store_relaxed(&at->result_size, BODY);
    }
    coalesced = ap_coalesced(at, token);
    r = ap_task_finish(s->seg, slot, token, 0);
    if (coalesced) ap_follow_ended(s->seg);
    return r;
}

void serve(struct side *s, uint32_t queue, uint64_t ref, bool block)
{
    if (ap_task_claim(s->seg, s->lane.index, queue, ref, &s->token)) finish(s, AP_REF_SLOT(ref), s->token, block);
}

/* ---- death ---------------------------------------------------------------------------------------------------- */

static void mark(uint8_t *base, const pthread_mutex_t *m, uint32_t tid)
{
    uint32_t *word = (uint32_t *)(base + ((const uint8_t *)ap_robust_word(m) - survivor.seg->base)), v = ap_load_relaxed(word);

    if ((v & FUTEX_TID_MASK) == tid) ap_store_relaxed(word, (v & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
}

void kernel_marks(uint8_t *base, uint32_t tid)
{
    for (uint32_t l = 0; l < survivor.seg->geometry.lanes; l++) mark(base, &ap_lane_at(survivor.seg, l)->mutex, tid);
    mark(base, &survivor.seg->header->role, tid);
}

void locks_change(uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < survivor.seg->geometry.lanes; i++) {
        uint32_t *word = (uint32_t *)ap_robust_word(&ap_lane_at(survivor.seg, i)->mutex);
        if (ap_load_relaxed(word) == from) ap_store_relaxed(word, to);
    }
}

/* The mutex leaves the list of the living thread first, which the kernel does by ending it. */
void die_in_place(uint32_t lane)
{
    struct ap_segment *seg = actor.seg;
    pthread_mutex_t *m = &ap_lane_at(seg, lane)->mutex;
    uint32_t *word = (uint32_t *)ap_robust_word(m);

    if ((ap_load_relaxed(word) & FUTEX_TID_MASK) != ap_thread_id()) return;
    ap_robust_unlock(m);
    ap_store_relaxed(word, FUTEX_OWNER_DIED);
}

void die_having(void (*done)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        actor_join();
        done();
        kill(getpid(), SIGKILL);
    }
    must(pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
         "the one that was to die did not");
    world_later();
}
