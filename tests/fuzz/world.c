/* tests/fuzz/world.c - see world.h. */
#include "tests/fuzz/world.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "shm/bell.h"

/* ---- time ----------------------------------------------------------------------------------------------------- */

static uint64_t clock_now = UINT64_C(1000000000000), patience = UINT64_MAX;

static uint64_t tick(void)
{
    return ap_add_relaxed(&clock_now, 300) + 300;
}

static int sleep_until(const uint32_t *word, uint32_t value, uint64_t until)
{
    uint64_t now = tick();

    if (ap_load_acquire(word) != value) return -EAGAIN;
    FUZZ_REQUIRE(until != UINT64_MAX && (until < now || until - now < 100000 * MS));
    FUZZ_REQUIRE(now < ap_load_relaxed(&patience));
    if (until > now) ap_add_relaxed(&clock_now, until - now);
    return -ETIMEDOUT;
}

static int wake(const uint32_t *word, int count)
{
    (void)word;
    (void)count;
    return 0;
}

static int gone(int fd, uint64_t byte)
{
    (void)fd;
    return byte & 1 ? 1 : -EOPNOTSUPP;
}

static void nothing(void)
{
}

static uint64_t none(void)
{
    return 0;
}

const struct ap_ops world_ops = {.now = tick, .realtime = tick, .futex_wait = sleep_until, .futex_wake = wake,
                                 .yield = nothing, .switches = none, .lock_gone = gone};

uint64_t world_now(void)
{
    return ap_load_relaxed(&clock_now);
}

void world_patience(uint64_t time)
{
    ap_store_relaxed(&patience, time != 0 ? world_now() + time : UINT64_MAX);
}

/* ---- agents --------------------------------------------------------------------------------------------------- */

static struct world *at_work;

/* Reads all that the segment says of the job, and ends it in one of the ways there are. */
static void handle(void *state, apiary_job_t *job)
{
    size_t size, want;
    const uint8_t *body = apiary_job_data(job, &size);
    uint32_t how = size > 0 ? body[0] : 0;
    void *to;

    (void)state;
    FUZZ_REQUIRE(strlen(apiary_job_capability(job)) <= APIARY_CAPABILITY_MAX);
    FUZZ_REQUIRE(strlen(apiary_job_caller(job)) <= APIARY_NAME_MAX);
    fuzz_touch(body, size);
    switch (how & 7) {
    case 1: apiary_job_fail(job, how, "no %u", how); return;
    case 2:
        want = size * 3;
        if (apiary_job_reserve(job, want, &to) == 0) {
            memset(to, 'r', want);
            apiary_job_reply(job, to, want);
            return;
        }
        break;
    case 3:
        if (at_work->kept == NULL) {
            at_work->kept = job;
            return;
        }
        break;
    case 4:
        if (apiary_job_cancelled(job)) how = 0;
        break;
    default: break;
    }
    apiary_job_reply(job, body, size);
}

static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND, .name = "fuzz", .what = "echo", .handle = handle};

void world_work(struct world *w, unsigned agent, unsigned most, bool scan)
{
    struct ap_agent *host = &w->hosts[agent % WORLD_AGENTS];
    uint64_t ref, cursor = 0;

    at_work = w;
    w->worker.now = w->seg->ops->now();
    while (most-- > 0 && host->in_hand < host->limit) {
        ref = scan ? ap_queue_scan(&host->consumer, &cursor) : ap_queue_pop(&host->consumer);
        if (ref == 0) break;
        ap_worker_start_task(&w->worker, host, ref);
    }
    host->held_until = 0;
    if (host->aside != 0 && host->in_hand < host->limit) {
        ap_worker_start_task(&w->worker, host, host->aside);
        host->aside = 0;
    }
}

static void worker_make(struct world *w)
{
    struct ap_worker *k = &w->worker;

    w->host.service_index = (uint32_t)w->queen->service;
    k->queen = &w->host;
    k->client = w->queen;
    k->seg = w->queen->seg;
    k->context = w->q;
    k->agents = w->host_list;
    k->agent_count = WORLD_AGENTS;
    for (unsigned i = 0; i < WORLD_AGENTS; i++) {
        w->host_list[i] = &w->hosts[i];
        w->hosts[i] = (struct ap_agent){.queen = &w->host, .worker = k, .kind = &kind, .name = w->agents[i].name, .limit = 4,
                                            .queue = w->agents[i].queue,
                                            .times = ap_times_at(k->seg, w->agents[i].queue)};
        ap_tallied_begin(&w->hosts[i]);
        ap_consumer_init(&w->hosts[i].consumer, k->seg, w->agents[i].queue);
    }
    FUZZ_REQUIRE(ap_worker_jobs_open(k) == 0);
    ap_worker_here = k;
}

/* ---- the world ------------------------------------------------------------------------------------------------ */

static apiary_t *attach(int fd, const char *name, const char *swarm, enum apiary_member_kind member)
{
    const apiary_attach_options_t o = {.struct_size = sizeof o, .name = name, .swarm = swarm, .kind = member};
    apiary_t *a = NULL;

    FUZZ_REQUIRE(apiary_attach_fd(fd, &o, &a) == 0);
    a->seg->ops = &world_ops;
    a->anchor->spin.ops = &world_ops;
    a->anchor->spin.never = true;
    return a;
}

static void swarm_make(struct world *w)
{
    static const char *const first[] = {"echo", "sum@2", NULL}, *const second[] = {"echo", NULL}, *const third[] = {"keep", NULL};

    w->agents[0] = (struct ap_agent_registration){.name = "one", .capabilities = first, .lane = w->q->lane.index};
    w->agents[1] = (struct ap_agent_registration){.name = "two", .capabilities = second, .lane = w->q->lane.index};
    w->agents[2] = (struct ap_agent_registration){.name = "three", .capabilities = third, .lane = w->q->lane.index};
    w->swarm = (struct ap_swarm_registration){.service = "server", .instance = "0", .version = "1.2",
                                              .health_endpoint = "/health", .metrics_endpoint = "/metrics", .port = 4009,
                                              .max_delegations = 6, .lane = w->q->lane.index, .member = w->queen->member,
                                              .agents = w->agents, .agent_count = WORLD_AGENTS};
    FUZZ_REQUIRE(ap_swarm_register(w->queen->seg, &w->swarm) == 0);
}

static void task_make(struct world *w, const char *capability, uint8_t how, size_t size)
{
    uint8_t body[512];

    memset(body, 'b', sizeof body);
    body[0] = how;
    FUZZ_REQUIRE(apiary_delegate(w->client, capability, body, size, NULL, &w->tasks[w->task_count++]) == 0);
}

/* Tasks in every state, bodies in slots and in blocks, a hand in use. */
static void tasks_make(struct world *w)
{
    apiary_result_t result = {.struct_size = sizeof result};

    task_make(w, "keep", 0, 20);
    task_make(w, "keep", 2, 70);
    task_make(w, "keep", 1, 3);
    world_work(w, 2, 3, false); /* DONE, DONE in a block, FAILED */
    task_make(w, "keep", 3, 90);
    world_work(w, 2, 1, false); /* RUNNING */
    task_make(w, "keep", 0, 10);
    FUZZ_REQUIRE(apiary_cancel(w->client, w->tasks[4]) == 0);
    FUZZ_REQUIRE(apiary_poll(w->client, w->tasks[0], &result) == 0);
    FUZZ_REQUIRE(apiary_release(w->client, &result) == 0);
    task_make(w, "echo", 0, 64);
    task_make(w, "sum", 2, 200);
    task_make(w, "keep", 0, 0);
    FUZZ_REQUIRE(apiary_loan(w->client, 100, &w->loan) == 0);
    for (unsigned i = 0; i < WORLD_AGENTS; i++) ap_worker_publish(&w->hosts[i]);
}

void world_make(struct world *w)
{
    static unsigned count;
    struct ap_segment_options o = {.name = NULL};
    char message[256] = "", name[64];
    struct ap_segment *seg;

    memset(w, 0, sizeof *w);
    snprintf(name, sizeof name, "/apiary-fuzz-%d-%u", (int)getpid(), count++);
    o.name = name;
    o.geometry = (struct ap_geometry){.members = 4, .lanes = 6, .tasks = 128, .queues = 4, .queue_depth = 4,
                                              .queue_inlets = 2, .pool_blocks = {6, 3, 0, 0, 0, 0, 0}, .events = 8,
                                              .max_concurrent_delegations = 10,
                                      .registry = {[AP_REGISTRY_INDEX(SERVICES)] = 3, [AP_REGISTRY_INDEX(SWARMS)] = 2,
                                                   [AP_REGISTRY_INDEX(CAPABILITIES)] = 8, [AP_REGISTRY_INDEX(RULES)] = 2,
                                                   [AP_REGISTRY_INDEX(VALUES)] = 6, [AP_REGISTRY_INDEX(TALLIES)] = 20}};
    if (ap_registry_create(&o, message, sizeof message, &seg) < 0 || ap_segment_remove(name) < 0) {
        fprintf(stderr, "%s\n", message);
        abort();
    }
    w->client = attach(seg->fd, "a client", "caller", APIARY_CLIENT);
    w->queen = attach(seg->fd, "a queen", "server", APIARY_QUEEN);
    ap_segment_unmap(seg);
    w->seg = w->client->seg;
    w->c = ap_context_here(w->client);
    w->q = ap_context_here(w->queen);
    swarm_make(w);
    worker_make(w);
    tasks_make(w);
}

void world_free(struct world *w)
{
    struct ap_worker *k = &w->worker;

    ap_swarm_withdraw(k->seg, &w->swarm);
    for (uint32_t i = 0; i < k->job_count; i++)
        if (k->jobs[i].busy) ap_job_finish(&k->jobs[i], APIARY_ESHUTDOWN, 0, NULL, 0);
    ap_swarm_deregister(k->seg, w->q->lane.index, &w->swarm);
    ap_worker_jobs_close(k);
    ap_worker_here = NULL;
    FUZZ_REQUIRE(apiary_detach(w->client) == 0);
    FUZZ_REQUIRE(apiary_detach(w->queen) == 0);
}

/* ---- patches -------------------------------------------------------------------------------------------------- */

struct patch patch_read(struct fuzz_input *in)
{
    struct patch p;

    p.section = fuzz_byte(in);
    p.how = fuzz_byte(in);
    p.element = (uint16_t)fuzz_number(in, 2);
    p.offset = fuzz_byte(in);
    p.value = fuzz_number(in, 7);
    /* The eighth byte of a value is a copy of its seventh: 7 are as good as 8 for words, and the record is 12 bytes. */
    p.value |= p.value >> 48 << 56;
    return p;
}

uint64_t patch_place(const struct ap_segment *seg, const struct patch *p, unsigned *size)
{
    uint32_t sections = seg->section_count + 1, section = p->section % sections;
    const struct ap_section *s;
    uint64_t at;

    *size = 1u << (p->how & 3);
    if (section == seg->section_count) /* the header */
        return (((uint64_t)p->element << 8 | p->offset) % 4096) & ~(uint64_t)(*size - 1);
    s = &seg->sections[section];
    if (s->count == 0) return 0;
    /* Of a stride over 256 bytes, four bits of `how` say which part. */
    at = s->stride == 1 ? ((uint64_t)p->element << 8 | p->offset) % s->count
                        : p->element % s->count * s->stride + (p->offset + (uint64_t)(p->how >> 4) * 256) % s->stride;
    at = (s->offset + at) & ~(uint64_t)(*size - 1);
    return at + *size <= seg->size ? at : 0;
}

static bool in_mutex(const struct ap_segment *seg, uint64_t at)
{
    const struct ap_section *lanes = &seg->sections[AP_SECTION_LANES];
    uint64_t role = offsetof(struct ap_header, role), in;

    if (at >= role && at < role + AP_LINE) return true;
    if (at < lanes->offset || at - lanes->offset >= lanes->stride * lanes->count) return false;
    in = (at - lanes->offset) % lanes->stride;
    return in >= offsetof(struct ap_lane, mutex) && in < offsetof(struct ap_lane, mutex) + AP_LINE;
}

static uint64_t changed(uint64_t old, const struct patch *p)
{
    switch (p->how >> 2 & 3) {
    case 0: return p->value;
    case 1: return old ^ p->value;
    case 2: return old + p->value;
    default: return old - p->value;
    }
}

static void apply_one(const struct ap_segment *seg, uint8_t *base, const struct patch *p, bool robust)
{
    unsigned size;
    uint64_t place = patch_place(seg, p, &size);
    void *at = base + place;

    if (!robust && in_mutex(seg, place)) return;
    switch (size) {
    case 1: ap_store_relaxed((uint8_t *)at, (uint8_t)changed(ap_load_relaxed((uint8_t *)at), p)); break;
    case 2: ap_store_relaxed((uint16_t *)at, (uint16_t)changed(ap_load_relaxed((uint16_t *)at), p)); break;
    case 4: ap_store_relaxed((uint32_t *)at, (uint32_t)changed(ap_load_relaxed((uint32_t *)at), p)); break;
    default: ap_store_relaxed((uint64_t *)at, changed(ap_load_relaxed((uint64_t *)at), p)); break;
    }
}

void patch_apply(const struct ap_segment *seg, uint8_t *base, const struct patch *p, bool robust)
{
    uint32_t section = p->section % (seg->section_count + 1);
    struct patch each = *p;

    if (p->element != PATCH_ALL || section == seg->section_count || seg->sections[section].stride == 1) {
        apply_one(seg, base, p, robust);
        return;
    }
    for (uint32_t i = 0; i < seg->sections[section].count; i++) {
        each.element = (uint16_t)i;
        apply_one(seg, base, &each, robust);
    }
}

const uint8_t *world_image(const struct ap_segment **ret_view, uint64_t *size)
{
    static struct ap_segment view;
    static uint8_t *image;

    if (image == NULL) {
        static struct world w; /* stays: the image says that its lanes are held, and so they are */

        world_make(&w);
        view = *w.seg;
        image = malloc(view.size);
        memcpy(image, view.base, view.size);
    }
    *ret_view = &view;
    *size = view.size;
    return image;
}
