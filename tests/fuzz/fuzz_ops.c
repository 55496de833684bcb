/* tests/fuzz/fuzz_ops.c - the library's own operations on a segment whose bytes somebody corrupts before and between them, or
 * all the while.
 *
 * Input: mode (1 byte), then steps of 12 bytes. A step whose first byte is below 128 is a patch (world.h), else an operation with
 * its arguments. mode: bit 0 the patches are made by another thread, over and over while the operations run, all but those of
 * robust mutexes (lane.h TRUST says what remains there); bit 1 clients spin before they sleep. */
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "registry/memory/memory.h"
#include "shm/bell.h"
#include "shm/event.h"
#include "shm/robust.h"
#include "tests/fuzz/world.h"

const char fuzz_target[] = "ops";
const size_t fuzz_longest = 1 + PATCH_SIZE * 64;

#define ROUNDS 4 /* of all steps while another thread corrupts */

/* For the thread sanitizer a corrupter is a race, and a mutex whose bytes are forged is a wrong use of it. */
#ifdef __SANITIZE_THREAD__
#define ALL_MODES 2u
#else
#define ALL_MODES 3u
#endif
#define HONEST_MUTEXES (ALL_MODES == 2u)

struct step {
    struct world *w;
    uint8_t a, b;
    uint32_t n;
    uint64_t word;
};

static apiary_result_t results[WORLD_TASKS + 1] = {[0 ... WORLD_TASKS + 1 - 1] = {.struct_size = sizeof results[0]}};

/* ---- results -------------------------------------------------------------------------------------------------- */

static void result_check(const struct world *w, const apiary_result_t *r)
{
    const uint8_t *data = r->data;

    if (data == NULL) {
        FUZZ_REQUIRE(r->size == 0);
        return;
    }
    FUZZ_REQUIRE(r->size <= ap_pool_max(w->seg) && r->code <= 0);
    if (r->size == 0) return;
    FUZZ_REQUIRE(data >= w->seg->base && data + r->size <= w->seg->base + w->seg->size);
    fuzz_touch(data, r->size);
}

static void result_keep(const struct world *w, uint8_t i, const apiary_result_t *r)
{
    result_check(w, r);
    results[i % (WORLD_TASKS + 1)] = *r;
}

static apiary_task_t *task_of(struct step *s)
{
    return &s->w->tasks[s->a % WORLD_TASKS];
}

/* ---- the client's operations ---------------------------------------------------------------------------------- */

static const char *capability(uint8_t n)
{
    static const char *const names[] = {"echo", "sum", "sum@2", "keep", "nobody", ""};
    return names[n % 6];
}

static void op_delegate(struct step *s)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = (s->n & 1) != 0 ? (s->n >> 8) * MS : 0,
                                         .flags = s->n >> 1 & 1};
    uint8_t body[2000];
    size_t size = s->b < 250 ? s->b * 2u : s->b * 8u;

    memset(body, 'x', sizeof body);
    body[0] = (uint8_t)(s->n >> 2);
    apiary_delegate(s->w->client, capability(s->a), body, size, &o, &s->w->tasks[s->w->task_count++ % WORLD_TASKS]);
}

static void op_poll(struct step *s)
{
    apiary_result_t r = {.struct_size = sizeof r};
    if (apiary_poll(s->w->client, *task_of(s), &r) == 0) result_keep(s->w, s->a, &r);
}

static void op_await(struct step *s)
{
    uint64_t timeout = s->b * MS, began = world_now();
    apiary_result_t r = {.struct_size = sizeof r};

    if (apiary_await(s->w->client, *task_of(s), timeout, &r) == 0) result_keep(s->w, s->a, &r);
    FUZZ_REQUIRE(world_now() - began < timeout + 3000 * MS);
}

static void op_await_any(struct step *s)
{
    uint64_t timeout = s->b * MS, began = world_now();
    apiary_result_t r = {.struct_size = sizeof r};
    size_t n = 1 + s->a % WORLD_TASKS;
    int at = apiary_await_any(s->w->client, s->w->tasks, n, timeout, &r);

    if (at >= 0) {
        FUZZ_REQUIRE((size_t)at < n);
        result_keep(s->w, (uint8_t)at, &r);
    }
    FUZZ_REQUIRE(world_now() - began < timeout + 3000 * MS);
}

static void op_cancel(struct step *s)
{
    apiary_cancel(s->w->client, *task_of(s));
}

static void op_release(struct step *s)
{
    apiary_release(s->w->client, &results[s->a % (WORLD_TASKS + 1)]);
}

static void op_give_up(struct step *s)
{
    ap_give_up(s->w->client, *task_of(s));
}

/* Ids that nobody was given. */
static void op_task_id(struct step *s)
{
    *task_of(s) = (apiary_task_t){.slot = s->b | (s->n & 0x80 ? 0xffffff00u : 0), .epoch = s->n & 3, .generation = s->word};
}

static void op_call(struct step *s)
{
    uint64_t timeout = (1 + s->b) * MS, began = world_now();
    uint8_t result[64];
    size_t size;

    apiary_call(s->w->client, capability(s->a), &s->word, 1 + (s->n & 7), APIARY_TIMEOUT(timeout), result, sizeof result, &size);
    FUZZ_REQUIRE(world_now() - began < timeout + 3000 * MS);
}

/* Also one that nobody bound. */
static void op_bound(struct step *s)
{
    apiary_capability_t bound = {.check = s->word, .index = s->n};
    uint64_t timeout = (1 + s->b) * MS, began = world_now();
    uint8_t result[64];
    size_t size;

    apiary_bind(s->w->client, capability(s->a), &bound);
    if ((s->n & 1) != 0) bound.index += s->b;
    apiary_delegate_bound(s->w->client, bound, &s->word, 1 + (s->n & 7), APIARY_TIMEOUT(timeout), task_of(s));
    apiary_call_bound(s->w->client, bound, &s->word, 1 + (s->n & 7), APIARY_TIMEOUT(timeout), result, sizeof result, &size);
    FUZZ_REQUIRE(world_now() - began < timeout + 3000 * MS);
}

static void op_discover(struct step *s)
{
    apiary_provider_t rows[4] = {{.struct_size = sizeof rows[0]}};
    int n = apiary_discover(s->w->client, capability(s->a), rows, 4);

    FUZZ_REQUIRE(n <= (int)s->w->seg->geometry.queues);
    for (int i = 0; i < n && i < 4; i++)
        FUZZ_REQUIRE(strnlen(rows[i].service, sizeof rows[i].service) < sizeof rows[i].service &&
                     strnlen(rows[i].instance, sizeof rows[i].instance) < sizeof rows[i].instance &&
                     strnlen(rows[i].agent, sizeof rows[i].agent) < sizeof rows[i].agent);
}

static void op_status(struct step *s)
{
    apiary_swarm_status_t rows[4] = {{.struct_size = sizeof rows[0]}};
    int n = apiary_swarm_status(s->w->client, (s->a & 1) != 0 ? "server" : NULL, rows, 4);

    FUZZ_REQUIRE(n <= 2);
    for (int i = 0; i < n; i++)
        FUZZ_REQUIRE(strnlen(rows[i].service, sizeof rows[i].service) < sizeof rows[i].service &&
                     strnlen(rows[i].instance, sizeof rows[i].instance) < sizeof rows[i].instance &&
                     strnlen(rows[i].version, sizeof rows[i].version) < sizeof rows[i].version);
}

static void op_loan(struct step *s)
{
    struct world *w = s->w;
    size_t size = s->n & 0x7ff;

    if (w->loan != NULL || apiary_loan(w->client, size, &w->loan) < 0) return;
    FUZZ_REQUIRE((uint8_t *)w->loan >= w->seg->base && (uint8_t *)w->loan + size <= w->seg->base + w->seg->size);
    memset(w->loan, 'l', size);
}

static void op_unloan(struct step *s)
{
    if (s->w->loan != NULL) apiary_unloan(s->w->client, s->w->loan);
    s->w->loan = NULL;
}

static void op_delegate_loan(struct step *s)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = s->n & 1};

    if (s->w->loan == NULL) return;
    if (apiary_delegate_loan(s->w->client, capability(s->a), s->w->loan, s->b, &o,
                             &s->w->tasks[s->w->task_count++ % WORLD_TASKS]) == 0)
        s->w->loan = NULL;
}

static void op_tidy(struct step *s)
{
    ap_tidy(s->w->c);
}

/* ---- the queen's ---------------------------------------------------------------------------------------------- */

static void op_work(struct step *s)
{
    world_work(s->w, s->a, 1 + s->b % 8, false);
}

static void op_scan(struct step *s)
{
    struct world *w = s->w;
    struct ap_consumer *c = &w->hosts[s->a % WORLD_AGENTS].consumer;
    uint64_t cursor = 0, tasks = 0, raised = ap_load_relaxed(&c->seg->header->rescan);

    if ((s->b & 1) != 0) {
        world_work(w, s->a, 8, true);
        return;
    }
    while (ap_queue_scan(c, &cursor) != 0) tasks++;
    FUZZ_REQUIRE(tasks <= c->seg->geometry.tasks && cursor >= c->seg->geometry.tasks);
    /* Else the worker looks again at once, for ever. */
    FUZZ_REQUIRE(!ap_queue_rescan_due(c) || raised != ap_load_relaxed(&c->seg->header->rescan) || (s->n & 1) != 0);
}

static void op_settle(struct step *s)
{
    struct ap_consumer *c = &s->w->hosts[s->a % WORLD_AGENTS].consumer;

    ap_bell_raise(&s->w->q->lane.lane->bell);
    ap_queue_settle(c);
    ap_queue_publish(c, s->b);
}

static void op_reply(struct step *s)
{
    apiary_job_t *job = s->w->kept;

    if (job == NULL) return;
    s->w->kept = NULL;
    apiary_job_reply(job, &s->word, s->b % 8);
}

static void op_publish(struct step *s)
{
    ap_worker_publish(&s->w->hosts[s->a % WORLD_AGENTS]);
}

/* Another swarm comes and goes, or wants to be the one that is there. */
static void op_register(struct step *s)
{
    static const char *const offers[] = {"echo", "more@3", NULL};
    struct ap_agent_registration agent = {.name = "more", .capabilities = offers, .lane = s->w->q->lane.index};
    struct ap_swarm_registration r = {.service = (s->a & 1) != 0 ? "server" : "other", .instance = (s->a & 2) != 0 ? "0" : "1",
                                      .version = "2", .lane = s->w->q->lane.index, .member = s->w->queen->member,
                                      .agents = &agent, .agent_count = 1};

    if (ap_swarm_register(s->w->queen->seg, &r) != 0) return;
    if ((s->a & 4) != 0) ap_swarm_withdraw(s->w->queen->seg, &r);
    ap_swarm_deregister(s->w->queen->seg, s->w->q->lane.index, &r);
}

static void op_deregister(struct step *s)
{
    ap_swarm_deregister(s->w->queen->seg, s->w->q->lane.index, &s->w->swarm);
}

/* ---- everybody's ---------------------------------------------------------------------------------------------- */

static void op_reap_all(struct step *s)
{
    ap_reap_all(s->w->seg, s->a & 1 ? AP_NO_LANE : s->w->c->lane.index, &ap_registry_hooks);
}

static void op_reap_lane(struct step *s)
{
    ap_reap_lane(s->w->seg, s->w->c->lane.index, s->a, s->b & 1 ? &ap_registry_hooks : NULL);
}

static void op_sweep(struct step *s)
{
    ap_sweep(s->w->seg, s->a & 1 ? AP_NO_LANE : s->w->c->lane.index, &ap_registry_hooks);
    if (s->b & 1) ap_pool_sweep(s->w->seg);
}

static void op_check(struct step *s)
{
    struct ap_report report = {.found = NULL};

    ap_check_all(s->w->seg, &report);
}

static void op_attach(struct step *s)
{
    const apiary_attach_options_t o = {.struct_size = sizeof o, .name = "late", .swarm = s->a & 1 ? "caller" : NULL,
                                       .read_only = s->a >> 1 & 1};
    apiary_t *late;
    apiary_task_t task;

    if (apiary_attach_fd(apiary_segment_fd(s->w->client), &o, &late) < 0) return;
    late->seg->ops = &world_ops;
    apiary_delegate(late, capability(s->b), "late", 4, NULL, &task);
    FUZZ_REQUIRE(apiary_detach(late) == 0);
}

static void *thread_main(void *arg)
{
    struct step *s = arg;

    apiary_delegate(s->w->client, capability(s->b), "thread", 6, NULL, &s->w->tasks[s->w->task_count++ % WORLD_TASKS]);
    return NULL;
}

static void op_thread(struct step *s)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, thread_main, s) == 0) pthread_join(thread, NULL);
}

static void op_lane(struct step *s)
{
    struct ap_lane_handle h;
    const uint32_t *word;
    uint32_t value;

    ap_lane_watch(s->w->seg, s->b, &word, &value);
    ap_lane_alive(s->w->seg, s->b);
    if (ap_lane_open(s->w->seg, s->w->client->member, &h) < 0) return;
    if (s->a & 1) ap_lane_share(&h);
    if (s->a & 1) ap_lane_close_shared(&h);
    else ap_lane_close(&h);
}

static void op_role(struct step *s)
{
    int r = ap_robust_trylock(&s->w->seg->header->role);

    if (r == -EBUSY) return;
    if (r == -EOWNERDEAD) ap_robust_consistent(&s->w->seg->header->role);
    ap_robust_unlock(&s->w->seg->header->role);
}

static void op_names(struct step *s)
{
    char text[APIARY_CAPABILITY_MAX + 1];
    uint32_t index;

    if (ap_capability_intern(s->w->seg, capability(s->b), &index) == 0) ap_capability_name(s->w->seg, index, text);
    if (ap_service_intern(s->w->seg, s->w->c->lane.index, s->a & 1 ? "server" : "stranger", &index) == 0)
        ap_service_name(s->w->seg, index, text);
    ap_capability_name(s->w->seg, s->n, text);
    FUZZ_REQUIRE(strnlen(text, sizeof text) < sizeof text);
    ap_service_name(s->w->seg, s->n, text);
    FUZZ_REQUIRE(strnlen(text, APIARY_NAME_MAX + 1) <= APIARY_NAME_MAX);
}

static void op_events(struct step *s)
{
    struct ap_event e;

    for (uint64_t i = 0; i < 20; i++) ap_event_read(s->w->seg, s->word + i, &e);
    ap_event_log(s->w->seg, AP_EVENT_MONITOR, s->n, s->word, 0);
    ap_bells_all(s->w->seg);
    ap_lanes_changed(s->w->seg);
}

/* Changes of values, and all that reads them. */
static void op_memory(struct step *s)
{
    static const char *const keys[] = {"a", "b", "c"};
    apiary_memory_value_t v = {.struct_size = sizeof v};
    char value[1200], key[APIARY_MEMORY_KEY_MAX + 1];
    const char *of = keys[s->a % 3];
    uint64_t position = s->word % 64, ttl = s->n % 5 == 0 ? MS : 0;
    uint32_t row = s->n;
    apiary_memory_t *m;

    if (apiary_memory_open(s->w->client, "fuzz", s->n & 1, &m) < 0) return;
    memset(value, 'v', sizeof value);
    switch (s->a / 3 % 8) {
    case 0: apiary_memory_put(m, of, value, s->b * 4u, ttl, NULL); break;
    case 1: apiary_memory_add(m, of, value, s->b, ttl, NULL); break;
    case 2: apiary_memory_cas(m, of, value, s->b * 4u, ttl, s->word, NULL); break;
    case 3: apiary_memory_delete(m, of); break;
    case 4: apiary_memory_incr(m, of, (int64_t)s->word, NULL); break;
    case 5: apiary_memory_touch(m, of, ttl); break;
    case 6: ap_memory_expire(s->w->seg, s->w->c->lane.index, s->word, &row, 20); break;
    default: apiary_memory_replace(m, of, "7", 1, ttl, NULL); break;
    }
    if (apiary_memory_get(m, of, value, sizeof value, &v) == 0) fuzz_touch(value, v.size < sizeof value ? v.size : sizeof value);
    while (apiary_memory_scan(m, "", &position, key, NULL) == 1) FUZZ_REQUIRE(strlen(key) <= APIARY_MEMORY_KEY_MAX);
    apiary_memory_close(m);
}

static void (*const operations[])(struct step *) = {
    op_delegate, op_poll,    op_await,      op_await_any, op_cancel,   op_release,       op_give_up, op_task_id,
    op_call,     op_discover, op_status,    op_loan,      op_unloan,   op_delegate_loan, op_tidy,    op_work,
    op_scan,     op_settle,  op_reply,      op_publish,   op_register, op_deregister,    op_reap_all, op_reap_lane,
    op_sweep,    op_check,   op_attach,     op_thread,    op_lane,     op_role,          op_names,   op_events,
    op_bound,    op_memory,
};

/* ---- the corrupter -------------------------------------------------------------------------------------------- */

static struct {
    sem_t go, begun, done;
    const struct ap_segment *seg; /* where things are */
    uint8_t *base;                /* a mapping of its own, as another process has it */
    struct patch patches[64];
    uint32_t count, stop;
} corrupter;

static void *corrupt(void *arg)
{
    (void)arg;
    for (;;) {
        while (sem_wait(&corrupter.go) != 0) {}
        sem_post(&corrupter.begun);
        while (ap_load_acquire(&corrupter.stop) == 0)
            for (uint32_t i = 0; i < corrupter.count; i++)
                patch_apply(corrupter.seg, corrupter.base, &corrupter.patches[i], false);
        sem_post(&corrupter.done);
    }
    return NULL;
}

static void corrupter_start(const struct ap_segment *seg)
{
    static struct ap_segment view;
    static bool made;
    pthread_t thread;

    if (!made) {
        sem_init(&corrupter.go, 0, 0);
        sem_init(&corrupter.begun, 0, 0);
        sem_init(&corrupter.done, 0, 0);
        FUZZ_REQUIRE(pthread_create(&thread, NULL, corrupt, NULL) == 0);
        made = true;
    }
    view = *seg;
    corrupter.seg = &view;
    corrupter.base = mmap(NULL, seg->size, PROT_READ | PROT_WRITE, MAP_SHARED, seg->fd, 0);
    FUZZ_REQUIRE(corrupter.base != MAP_FAILED);
    ap_store_release(&corrupter.stop, 0);
    sem_post(&corrupter.go);
    while (sem_wait(&corrupter.begun) != 0) {}
}

static void corrupter_stop(void)
{
    ap_store_release(&corrupter.stop, 1);
    while (sem_wait(&corrupter.done) != 0) {}
    munmap(corrupter.base, corrupter.seg->size);
}

/* glibc follows the list of the robust mutexes that a thread holds at its next lock: it must not lead into what is unmapped. */
static const void *list_first(void)
{
    struct robust_list_head *head = NULL;
    size_t size;

    return syscall(SYS_get_robust_list, 0, &head, &size) == 0 && head->list.next != &head->list ? head->list.next : NULL;
}

/* ---- one input ------------------------------------------------------------------------------------------------ */

static bool is_patch(const struct fuzz_input *in)
{
    return in->at[0] < 128;
}

static void step_run(struct world *w, struct fuzz_input *in)
{
    struct step s = {.w = w};
    uint8_t code = fuzz_byte(in);

    s.a = fuzz_byte(in);
    s.b = fuzz_byte(in);
    s.n = (uint32_t)fuzz_number(in, 3);
    s.word = fuzz_number(in, 6);
    world_patience(1000000 * MS);
    operations[code % (sizeof operations / sizeof operations[0])](&s);
    world_patience(0);
    FUZZ_REQUIRE(w->c->slabs.count <= w->seg->sections[AP_SECTION_SLABS].count);
}

static void steps_run(struct world *w, struct fuzz_input in, uint8_t mode)
{
    while (in.left >= PATCH_SIZE) {
        if (!is_patch(&in)) {
            step_run(w, &in);
        } else {
            struct patch p = patch_read(&in);
            if ((mode & 1) == 0) patch_apply(w->seg, w->seg->base, &p, !HONEST_MUTEXES);
        }
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    uint8_t mode = fuzz_byte(&in) & ALL_MODES;
    size_t mapped = fuzz_mapped();
    const void *first = list_first();
    struct world w;

    memset(results, 0, sizeof results);
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) results[i].struct_size = sizeof results[0];
    world_make(&w);
    w.client->anchor->spin.never = (mode & 2) == 0;
    corrupter.count = 0;
    if ((mode & 1) != 0) {
        for (struct fuzz_input all = in; all.left >= PATCH_SIZE && corrupter.count < 64;) {
            bool patch = is_patch(&all);
            struct patch p = patch_read(&all);
            if (patch) corrupter.patches[corrupter.count++] = p;
        }
        if (corrupter.count > 0) corrupter_start(w.seg);
    }
    for (unsigned rounds = corrupter.count > 0 ? ROUNDS : 1; rounds > 0; rounds--) steps_run(&w, in, mode);
    world_free(&w);
    if (corrupter.count > 0) corrupter_stop();
    ap_robust_known(); /* with its next lock a thread lets go of what a detach has left to it */
    FUZZ_REQUIRE(fuzz_mapped() == mapped);
    FUZZ_REQUIRE(list_first() == first);
}
