/* tests/unit/fake_agent.h - the agent interface of apiary.h without a segment: agents in this process, on a real loop.
 *
 * Included by exactly one file of a test program: it defines the public functions, which then take the place of the library's.
 * Delegations go to the agents offered with fake_offer; each is a job on the same loop, so nothing is ever nested.
 * Every agent's heap is counted: fake_destroy fails the test when a byte or a watch is left.
 * LENGTH: one face, whole. */
#ifndef FAKE_AGENT_H
#define FAKE_AGENT_H

#include <criterion/criterion.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/table.h"
#include "core/apiary/agent.h"
#include "core/apiary/kinds.h"
#include "core/loop.h"

struct fake_key { /* a configuration; ends with key NULL */
    const char *key, *text;
    int64_t number;
    const char *const *list; /* ends with NULL */
};
#define FAKE_LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

struct apiary_agent {
    const apiary_agent_kind_t *kind;
    const char *name, *service;
    const struct fake_key *config;
    void *state;
    size_t allocated;
    int watches;
    uint32_t limit, in_hand; /* jobs at once; 0: no limit */
    char log[1024];
    char folder[512];
};

struct apiary_job {
    struct apiary_agent *agent;
    char capability[64];
    const char *caller, *traceparent; /* traceparent: NULL, or of its trace */
    uint64_t generation;
    uint32_t attempt;
    void *body;
    size_t size;
    uint64_t deadline, retry; /* retry: what apiary_job_retry said */
    bool cancelled, finished, failed;
    int finishes;
    uint32_t code;
    char *data; /* the result, NUL-terminated */
    size_t data_size;
    void *user, *reserved;
    char *parts; /* all that were sent, NUL-terminated */
    size_t parts_size, parts_capacity;
    uint32_t parts_room;
    apiary_part_fn ready;
    void *ready_user;
    apiary_done_fn done; /* a delegation: called when it is finished, then the job is freed */
    void *done_user;
    struct apiary_job *next; /* of those to be started */
};

struct fake_watch { /* counts the watches of an agent around the loop's own */
    struct apiary_agent *agent;
    apiary_watch_t *watch;
    struct fake_watch *next;
};

static struct {
    struct ap_loop *loop;
    struct apiary_job *queue, **queue_end; /* delegated, to be started, and finished, to be told */
    struct {
        const char *capability;
        struct apiary_agent *agent;
    } offers[128];
    size_t offer_count;
    struct fake_watch *watches;
    apiary_delegate_options_t options; /* of the last delegation */
    int refuse, accepts; /* an apiary_error for delegations, once so many were accepted */
    int late;            /* an apiary_error to which the next delegation comes instead of its result */
    uint64_t retry_after; /* what apiary_refusal says of that; 0: it knows nothing */
    apiary_swarm_status_t rows[4];
    int row_count;
    size_t largest;    /* the largest result; 0: any */
    const char *state; /* where the folders of services are; NULL: nowhere */
    struct {
        char key[96], value[4096];
        size_t size;
        bool used;
    } memory[64];
} fake;

static inline void fake_open(void)
{
    memset(&fake, 0, sizeof fake);
    cr_assert_eq(ap_loop_create(&ap_ops_system, 0, &fake.loop), 0);
    fake.queue_end = &fake.queue;
}

/* 0 or what create said; *ret is to be destroyed after 0. */
static inline int fake_create(const char *kind, const struct fake_key *config, struct apiary_agent **ret)
{
    static const struct fake_key nothing[] = {{NULL, NULL, 0, NULL}};
    struct apiary_agent *a = calloc(1, sizeof *a);
    a->kind = apiary_kind(kind);
    cr_assert_not_null(a->kind, "no kind %s", kind);
    a->name = kind;
    a->service = "test_service";
    a->config = config ? config : nothing;
    *ret = a;
    return a->kind->create(a, &a->state);
}

/* With what is left of a failed create, too. */
static inline void fake_destroy(struct apiary_agent *a)
{
    if (a->state && a->kind->destroy) a->kind->destroy(a->state);
    cr_assert_eq(a->allocated, 0, "%s: %zu bytes are left", a->name, a->allocated);
    cr_assert_eq(a->watches, 0, "%s: %d watches are left", a->name, a->watches);
    free(a);
}

static inline void fake_close(void)
{
    ap_loop_destroy(fake.loop);
}

static inline void fake_offer(const char *capability, struct apiary_agent *agent)
{
    cr_assert_lt(fake.offer_count, 128);
    fake.offers[fake.offer_count].capability = capability;
    fake.offers[fake.offer_count++].agent = agent;
}

static inline void fake_push(struct apiary_job *job)
{
    job->next = NULL;
    *fake.queue_end = job;
    fake.queue_end = &job->next;
}

static inline struct apiary_job *fake_submit(struct apiary_agent *a, const char *capability, const void *body,
                                             size_t size)
{
    struct apiary_job *job = calloc(1, sizeof *job);
    job->agent = a;
    snprintf(job->capability, sizeof job->capability, "%s", capability);
    job->body = malloc(size + 1); /* exactly as large as it says, for the sanitizers: no NUL behind it */
    job->body = realloc(job->body, size ? size : 1);
    if (size > 0) memcpy(job->body, body, size);
    job->size = size;
    job->deadline = APIARY_FOREVER;
    job->caller = "";
    job->generation = 1;
    job->attempt = 1;
    fake_push(job);
    return job;
}

static inline void fake_free(struct apiary_job *job)
{
    free(job->body);
    free(job->data);
    free(job->reserved);
    free(job->parts);
    free(job);
}

static inline void fake_tell(struct apiary_job *job)
{
    apiary_result_t result = {.struct_size = sizeof result, .data = job->data, .size = job->data_size, .agent_code = job->code,
                              .attempts = 1};
    result.code = fake.late ? fake.late : job->failed ? APIARY_EAGENT : 0;
    fake.late = 0;
    job->done(job->done_user, &result);
    fake_free(job);
}

/* Starts what is queued and runs the loop once; sleeps when there is nothing to do. */
static inline void fake_turn(void)
{
    struct apiary_job *job = fake.queue;
    if (job && !job->finished && job->agent->limit && job->agent->in_hand >= job->agent->limit)
        job = NULL; /* it waits, and what is behind it */
    if (job) {
        fake.queue = job->next;
        if (!fake.queue) fake.queue_end = &fake.queue;
        if (job->finished)
            fake_tell(job);
        else {
            job->agent->in_hand++;
            job->agent->kind->handle(job->agent->state, job);
        }
    }
    if (job && fake.queue)
        ap_loop_turn(fake.loop);
    else if (!job)
        ap_loop_park(fake.loop, APIARY_FOREVER);
}

static inline void fake_finish(struct apiary_job *job)
{
    while (!job->finished)
        fake_turn();
}

/* The answer must be what the kind says it is. */
static inline void fake_judge(const struct apiary_agent *a, const char *capability, const char *text)
{
    size_t size = strcspn(capability, "@");
    const struct ap_function *f = ap_functions_of(a->kind->name);
    while (f && f->capability && !(strlen(f->capability) == size && memcmp(f->capability, capability, size) == 0))
        f++;
    if (!f || !f->capability || !f->out) return;
    char message[512];
    json_t *answer = json_loads(text, 0, NULL);
    cr_assert_not_null(answer, "%s: not JSON: %s", capability, text);
    cr_assert_eq(ap_schema_judge(ap_schema(f->out), answer, message, sizeof message), 0, "%s: %s: %s", capability, message, text);
    json_decref(answer);
}

/* Runs one task; the reply must be a success. The text is the caller's to free. */
static inline char *fake_call(struct apiary_agent *a, const char *capability, const char *body)
{
    struct apiary_job *job = fake_submit(a, capability, body, strlen(body));
    fake_finish(job);
    cr_assert(!job->failed, "%s %s: failed with %u: %s", capability, body, job->code, job->data);
    char *text = strdup(job->data);
    fake_free(job);
    fake_judge(a, capability, text);
    return text;
}

/* Runs one task and compares the reply. */
static inline void fake_expect(struct apiary_agent *a, const char *capability, const char *body, const char *reply)
{
    char *text = fake_call(a, capability, body);
    cr_assert_str_eq(text, reply, "%s %s\n got      %s\n expected %s", capability, body, text, reply);
    free(text);
}

static inline void fake_expect_part(struct apiary_agent *a, const char *capability, const char *body, const char *part)
{
    char *text = fake_call(a, capability, body);
    cr_assert_not_null(strstr(text, part), "%s %s\n got  %s\n part %s", capability, body, text, part);
    free(text);
}

/* Runs one task, which must fail with this code and a text that has this part. */
static inline void fake_expect_failure(struct apiary_agent *a, const char *capability, const char *body, uint32_t code,
                                       const char *part)
{
    struct apiary_job *job = fake_submit(a, capability, body, strlen(body));
    fake_finish(job);
    cr_assert(job->failed, "%s %s: did not fail: %s", capability, body, job->data);
    cr_assert_eq(job->code, code, "%s %s: code %u, not %u: %s", capability, body, job->code, code, job->data);
    cr_assert_not_null(strstr(job->data, part), "%s %s\n got  %s\n part %s", capability, body, job->data, part);
    fake_free(job);
}

/* ---- the interface ----------------------------------------------------------------------------------------------- */

static inline const struct fake_key *fake_key(const apiary_agent_t *a, const char *key)
{
    const apiary_agent_key_t *declared = a->kind->keys;
    while (declared && declared->name && strcmp(declared->name, key) != 0)
        declared++;
    cr_assert(declared && declared->name, "%s asks for the key %s, which it does not declare", a->kind->name, key);
    for (const struct fake_key *k = a->config; k->key; k++)
        if (strcmp(k->key, key) == 0) return k;
    return NULL;
}

const char *apiary_agent_name(const apiary_agent_t *a)
{
    return a->name;
}

const char *apiary_agent_service(const apiary_agent_t *a)
{
    return a->service;
}

apiary_t *apiary_agent_handle(const apiary_agent_t *a)
{
    (void)a;
    return NULL;
}

int apiary_refusal(apiary_t *a, apiary_refusal_t *ret)
{
    (void)a;
    if (fake.retry_after == 0) return APIARY_ESTALE;
    ret->error = fake.refuse;
    ret->retry_after = fake.retry_after;
    return 0;
}

int apiary_agent_limit(apiary_agent_t *a, uint32_t jobs)
{
    a->limit = jobs < 1 ? 1 : jobs;
    return 0;
}

int apiary_agent_folder(apiary_agent_t *a, const char **ret)
{
    if (fake.state == NULL) {
        apiary_agent_log(a, 3, "there is no folder for its files");
        return APIARY_ESYS;
    }
    snprintf(a->folder, sizeof a->folder, "%s/%s", fake.state, a->service);
    mkdir(a->folder, 0700);
    *ret = a->folder;
    return 0;
}

const char *apiary_agent_text(const apiary_agent_t *a, const char *key, const char *otherwise)
{
    const struct fake_key *k = fake_key(a, key);
    return k ? k->text : otherwise;
}

int64_t apiary_agent_number(const apiary_agent_t *a, const char *key, int64_t otherwise)
{
    const struct fake_key *k = fake_key(a, key);
    return k ? k->number : otherwise;
}

size_t apiary_agent_list(const apiary_agent_t *a, const char *key, const char *const **ret)
{
    const struct fake_key *k = fake_key(a, key);
    size_t count = 0;
    if (!k || !k->list) return 0;
    while (k->list[count])
        count++;
    *ret = k->list;
    return count;
}

void apiary_agent_log(apiary_agent_t *a, int level, const char *format, ...)
{
    va_list arguments;
    (void)level;
    va_start(arguments, format);
    vsnprintf(a->log, sizeof a->log, format, arguments);
    va_end(arguments);
}

void apiary_agent_log_text(apiary_agent_t *a, int level, const char *text, size_t size)
{
    apiary_agent_log(a, level, "%.*s", (int)size, text);
}

void *apiary_agent_alloc(apiary_agent_t *a, size_t size)
{
    size_t *block = malloc(sizeof(max_align_t) + size);
    *block = size;
    a->allocated += size;
    memset((char *)block + sizeof(max_align_t), 0xa5, size);
    return (char *)block + sizeof(max_align_t);
}

void apiary_agent_free(apiary_agent_t *a, void *block)
{
    if (!block) return;
    size_t *start = (void *)((char *)block - sizeof(max_align_t));
    a->allocated -= *start;
    free(start);
}

void *apiary_agent_resize(apiary_agent_t *a, void *block, size_t size)
{
    void *larger = apiary_agent_alloc(a, size);
    if (block) {
        size_t *start = (void *)((char *)block - sizeof(max_align_t));
        memcpy(larger, block, *start < size ? *start : size);
    }
    apiary_agent_free(a, block);
    return larger;
}

size_t apiary_agent_allocated(apiary_agent_t *a)
{
    return a->allocated;
}

int apiary_local_put(apiary_agent_t *a, const char *key, const void *value, size_t size)
{
    (void)a;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < 64; i++) {
            bool same = fake.memory[i].used && strcmp(fake.memory[i].key, key) == 0;
            if (pass == 0 ? !same : fake.memory[i].used) continue;
            cr_assert_leq(size, sizeof fake.memory[i].value);
            fake.memory[i].used = true;
            snprintf(fake.memory[i].key, sizeof fake.memory[i].key, "%s", key);
            memcpy(fake.memory[i].value, value, size);
            fake.memory[i].size = size;
            return 0;
        }
    return APIARY_ENOBLOCK;
}

int64_t apiary_local_get(apiary_agent_t *a, const char *key, void *value, size_t capacity)
{
    (void)a;
    for (size_t i = 0; i < 64; i++)
        if (fake.memory[i].used && strcmp(fake.memory[i].key, key) == 0) {
            memcpy(value, fake.memory[i].value, fake.memory[i].size < capacity ? fake.memory[i].size : capacity);
            return (int64_t)fake.memory[i].size;
        }
    return APIARY_ESTALE;
}

int apiary_local_incr(apiary_agent_t *a, const char *key, int64_t by, int64_t *ret)
{
    char text[32] = "0";
    int64_t size = apiary_local_get(a, key, text, sizeof text - 1), value;

    if (size > 0) text[size] = '\0';
    value = strtoll(text, NULL, 10);
    if (value > INT64_MAX - by) return APIARY_EOVERFLOW;
    *ret = value + by;
    snprintf(text, sizeof text, "%lld", (long long)*ret);
    return apiary_local_put(a, key, text, strlen(text));
}

int apiary_local_delete(apiary_agent_t *a, const char *key)
{
    (void)a;
    for (size_t i = 0; i < 64; i++)
        if (fake.memory[i].used && strcmp(fake.memory[i].key, key) == 0) {
            fake.memory[i].used = false;
            return 0;
        }
    return APIARY_ESTALE;
}

const void *apiary_job_data(const apiary_job_t *job, size_t *size)
{
    *size = job->size;
    return job->body;
}

const char *apiary_job_capability(const apiary_job_t *job)
{
    return job->capability;
}

const char *apiary_job_caller(const apiary_job_t *job)
{
    return job->caller;
}

apiary_task_t apiary_job_task(const apiary_job_t *job)
{
    return (apiary_task_t){.slot = 0x1a, .epoch = 2, .generation = job->generation};
}

uint32_t apiary_job_attempt(const apiary_job_t *job)
{
    return job->attempt;
}

int apiary_job_trace(const apiary_job_t *job, apiary_trace_t *ret)
{
    if (job->traceparent == NULL) return 0;
    return apiary_trace_parse(job->traceparent, ret) == 0;
}

uint64_t apiary_job_deadline(const apiary_job_t *job)
{
    return job->deadline;
}

/* Parts are kept one behind the other, each with a '|' before it, up to `room` of them; then the reader is behind. */
int apiary_job_part(apiary_job_t *job, const void *data, size_t size)
{
    if (size > 200) return APIARY_ETOOLARGE;
    if (job->parts_room == 0) return APIARY_EBEHIND;
    job->parts_room--;
    if (job->parts_size + size + 2 > job->parts_capacity) {
        job->parts_capacity = 2 * job->parts_capacity + size + 2;
        job->parts = realloc(job->parts, job->parts_capacity);
    }
    job->parts[job->parts_size++] = '|';
    memcpy(job->parts + job->parts_size, data, size);
    job->parts_size += size;
    job->parts[job->parts_size] = '\0';
    return 0;
}

int apiary_job_part_ready(apiary_job_t *job, apiary_part_fn fn, void *user)
{
    job->ready = fn;
    job->ready_user = user;
    return 0;
}

/* Its reader has caught up by so many parts. */
static inline void fake_read_parts(struct apiary_job *job, uint32_t parts)
{
    apiary_part_fn ready = job->ready;

    job->parts_room = parts;
    job->ready = NULL;
    if (ready != NULL && !job->finished) ready(job->ready_user, job);
}

int apiary_job_beat(apiary_job_t *job, const char *text, size_t size)
{
    (void)text, (void)size;
    return apiary_job_cancelled(job);
}

int apiary_job_cancelled(const apiary_job_t *job)
{
    return job->cancelled;
}

apiary_agent_t *apiary_job_agent(const apiary_job_t *job)
{
    return job->agent;
}

void *apiary_job_user(const apiary_job_t *job)
{
    return job->user;
}

void apiary_job_set_user(apiary_job_t *job, void *user)
{
    job->user = user;
}

static inline void fake_end(apiary_job_t *job, bool failed, uint32_t code, const void *data, size_t size)
{
    cr_assert_eq(job->finishes++, 0, "%s: finished twice", job->capability);
    job->failed = failed;
    job->code = code;
    job->data = malloc(size + 1);
    memcpy(job->data, data, size);
    job->data[size] = '\0';
    job->data_size = size;
    free(job->body); /* as the library does: the request is gone with the job */
    job->body = NULL;
    job->finished = true;
    job->agent->in_hand--;
    if (job->done) fake_push(job);
}

int apiary_job_reply(apiary_job_t *job, const void *data, size_t size)
{
    if (fake.largest && size > fake.largest) {
        static const char text[] = "the result is too large";
        fake_end(job, true, 0, text, sizeof text - 1);
        return APIARY_ETOOLARGE;
    }
    fake_end(job, false, 0, data, size);
    return 0;
}

int apiary_job_reserve(apiary_job_t *job, size_t size, void **ret)
{
    if (fake.largest && size > fake.largest) return APIARY_ETOOLARGE;
    free(job->reserved);
    *ret = job->reserved = malloc(size);
    return 0;
}

int apiary_job_fail(apiary_job_t *job, uint32_t agent_code, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fake_end(job, true, agent_code, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    return 0;
}

int apiary_job_fail_text(apiary_job_t *job, uint32_t agent_code, const char *text, size_t size)
{
    fake_end(job, true, agent_code, text, size);
    return 0;
}

int apiary_job_retry(apiary_job_t *job, uint64_t after)
{
    job->retry = after;
    return 0;
}

static inline int fake_delegate(const char *capability, const void *body, size_t size,
                                const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    cr_assert(options != NULL && options->struct_size == sizeof *options && (options->flags & APIARY_DETACH) == 0);
    fake.options = *options;
    if (fake.refuse && fake.accepts-- <= 0) return fake.refuse;
    for (size_t i = 0; i < fake.offer_count; i++)
        if (strcmp(fake.offers[i].capability, capability) == 0) {
            struct apiary_job *job = fake_submit(fake.offers[i].agent, capability, body, size);
            job->done = done;
            job->done_user = user;
            return 0;
        }
    return APIARY_ENOCAP;
}

int apiary_agent_delegate_external_task(apiary_agent_t *a, const char *capability, const void *body, size_t size,
                                        const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    (void)a;
    return fake_delegate(capability, body, size, options, done, user);
}

int apiary_agent_execute_task(apiary_agent_t *a, const char *capability, const void *body, size_t size,
                              const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    (void)a;
    return fake_delegate(capability, body, size, options, done, user);
}

int apiary_job_delegate(apiary_job_t *job, const char *capability, const void *body, size_t size,
                        const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    if (job->finished || job->cancelled) return APIARY_ECANCELLED;
    if (job->deadline <= ap_ops_system.now()) return APIARY_ETIMEDOUT;
    return fake_delegate(capability, body, size, options, done, user);
}

static inline void fake_note_watch(apiary_agent_t *a, apiary_watch_t *watch)
{
    struct fake_watch *w = malloc(sizeof *w);
    *w = (struct fake_watch){a, watch, fake.watches};
    fake.watches = w;
    a->watches++;
}

int apiary_watch_fd(apiary_agent_t *a, int fd, uint32_t events, apiary_watch_fn fn, void *user, apiary_watch_t **ret)
{
    int error = ap_loop_watch(fake.loop, fd, events, fn, user, ret);
    if (error == 0) fake_note_watch(a, *ret);
    return error;
}

int apiary_watch_timer(apiary_agent_t *a, uint64_t after, apiary_watch_fn fn, void *user, apiary_watch_t **ret)
{
    int error = ap_loop_timer(fake.loop, ap_ops_system.now() + after, fn, user, ret);
    if (error == 0) fake_note_watch(a, *ret);
    return error;
}

int apiary_watch_close(apiary_watch_t *watch)
{
    for (struct fake_watch **at = &fake.watches; *at; at = &(*at)->next)
        if ((*at)->watch == watch) {
            struct fake_watch *w = *at;
            *at = w->next;
            w->agent->watches--;
            free(w);
            return ap_loop_close(watch);
        }
    cr_assert_fail("a watch was closed that is none, or twice");
    return APIARY_ESTALE;
}

int apiary_swarm_status(apiary_t *handle, const char *service, apiary_swarm_status_t *ret, size_t capacity)
{
    int count = 0;
    (void)handle;
    for (int i = 0; i < fake.row_count; i++)
        if ((!service || strcmp(service, fake.rows[i].service) == 0) && (size_t)count < capacity)
            ret[count++] = fake.rows[i];
    return count;
}

int apiary_discover(apiary_t *handle, const char *capability, apiary_provider_t *ret, size_t capacity)
{
    int count = 0;
    (void)handle;
    for (size_t i = 0; i < fake.offer_count && (size_t)count < capacity; i++)
        if (strcmp(fake.offers[i].capability, capability) == 0) {
            ret[count] = (apiary_provider_t){.struct_size = sizeof(apiary_provider_t), .pid = 4711, .alive = 1};
            snprintf(ret[count].service, sizeof ret->service, "%s", fake.offers[i].agent->service);
            snprintf(ret[count].instance, sizeof ret->instance, "0");
            snprintf(ret[count++].agent, sizeof ret->agent, "%s", fake.offers[i].agent->name);
        }
    return count ? count : APIARY_ENOCAP;
}

#endif
