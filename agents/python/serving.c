/* agents/python/serving.c - see serving.h. */
#include "agents/python/serving.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { LINES_MOST = 1000, SLICE = 100 /* ms */ };

struct order {
    struct order *next;
    struct served *served;
    apiary_job_t *job;
    const void *data;
    size_t size;
    uint32_t code; /* 0: a part */
    int begun;     /* it waits for the part's reader */
    int done, result;
};

struct serving *serving_new(size_t agents)
{
    struct serving *s = calloc(1, sizeof *s + agents * sizeof *s->agents);
    if (s == NULL) return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->order_lock, NULL);
    pthread_cond_init(&s->came, &monotonic);
    pthread_cond_init(&s->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s->last = &s->first;
    s->agent_count = agents;
    for (size_t i = 0; i < agents; i++)
        s->agents[i] = (struct served){.serving = s, .concurrency = 1, .event = -1};
    return s;
}

void serving_free(struct serving *s)
{
    if (s == NULL) return;
    for (struct taken *t; (t = s->first) != NULL; free(t))
        s->first = t->next;
    pthread_cond_destroy(&s->came);
    pthread_cond_destroy(&s->done);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->order_lock);
    free(s);
}

void serving_close(struct serving *s)
{
    pthread_mutex_lock(&s->lock);
    s->closed = 1;
    pthread_cond_broadcast(&s->came);
    pthread_mutex_unlock(&s->lock);
}

/* ---- from the workers -------------------------------------------------------------------------------------------- */

static void serving_push(struct serving *s, struct taken *t)
{
    t->next = NULL;
    *s->last = t;
    s->last = &t->next;
    pthread_cond_signal(&s->came);
}

static void serving_handle(void *state, apiary_job_t *job)
{
    struct served *of = state;
    struct serving *s = of->serving;
    struct taken *t = malloc(sizeof *t);
    if (t == NULL) {
        apiary_job_fail(job, 500, "out of memory");
        return;
    }
    *t = (struct taken){.job = job, .agent = (size_t)(of - s->agents)};
    pthread_mutex_lock(&s->lock);
    serving_push(s, t);
    pthread_mutex_unlock(&s->lock);
}

void serving_log(void *user, int level, const char *line)
{
    struct serving *s = user;
    size_t size = strlen(line) + 1;
    struct taken *t = malloc(sizeof *t + size);
    if (t == NULL) return; /* the log may lack lines, nothing else does */
    *t = (struct taken){.level = level};
    memcpy(t->text, line, size);
    pthread_mutex_lock(&s->lock);
    if (s->lines < LINES_MOST) {
        s->lines++;
        serving_push(s, t);
        t = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    free(t);
}

/* ---- orders ------------------------------------------------------------------------------------------------------ */

static void order_end(struct order *o, int result)
{
    struct order **at = &o->served->orders;
    while (*at != NULL && *at != o) at = &(*at)->next;
    if (*at != NULL) *at = o->next;
    o->result = result;
    o->done = 1;
    pthread_cond_broadcast(&o->served->serving->done);
}

static void order_ready(void *user, apiary_job_t *job);

/* With the lock: nobody takes the order back meanwhile. */
static void order_run(struct order *o)
{
    o->begun = 1;
    int r = o->code != 0 ? apiary_job_fail_text(o->job, o->code, o->data, o->size) : apiary_job_part(o->job, o->data, o->size);
    if (o->code == 0 && r == APIARY_EBEHIND) {
        r = apiary_job_cancelled(o->job) ? APIARY_ECANCELLED : apiary_job_part_ready(o->job, order_ready, o);
        if (r == 0) return;
    }
    order_end(o, r);
}

/* The order is still there: it goes when its job does, after which this is not called, or here. */
static void order_ready(void *user, apiary_job_t *job)
{
    struct order *o = user;
    struct serving *s = o->served->serving;
    (void)job;
    pthread_mutex_lock(&s->order_lock);
    order_run(o);
    pthread_mutex_unlock(&s->order_lock);
}

static void on_orders(void *user, uint32_t events)
{
    struct served *of = user;
    uint64_t count;
    (void)events;
    if (read(of->event, &count, sizeof count) < 0) return;
    pthread_mutex_lock(&of->serving->order_lock);
    for (struct order *o = of->orders, *next; o != NULL; o = next) {
        next = o->next;
        if (!o->begun) order_run(o);
    }
    pthread_mutex_unlock(&of->serving->order_lock);
}

/* A job that ends while its part waits for the reader calls nobody: its handle tells. */
static void order_wait(struct serving *s, struct order *o)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLICE * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (pthread_cond_timedwait(&s->done, &s->order_lock, &until) == 0 || o->done) return;
    if (apiary_job_agent(o->job) == NULL) order_end(o, APIARY_ESTALE);
}

static int order(struct served *of, struct order *o)
{
    const uint64_t one = 1;
    struct serving *s = of->serving;
    int result = APIARY_ESTALE;
    pthread_mutex_lock(&s->order_lock);
    if (of->agent != NULL) {
        o->next = of->orders;
        of->orders = o;
        if (write(of->event, &one, sizeof one) < 0) order_end(o, APIARY_ESYS);
        while (!o->done) order_wait(s, o);
        result = o->result;
    }
    pthread_mutex_unlock(&s->order_lock);
    return result;
}

int serving_part(struct served *of, apiary_job_t *job, const void *data, size_t size)
{
    struct order o = {.served = of, .job = job, .data = data, .size = size};
    return order(of, &o);
}

int serving_fail(struct served *of, apiary_job_t *job, uint32_t code, const void *text, size_t size)
{
    struct order o = {.served = of, .job = job, .data = text, .size = size, .code = code != 0 ? code : 1};
    return order(of, &o);
}

/* ---- the kind ---------------------------------------------------------------------------------------------------- */

/* apiary_queen_start makes all agents before it returns, so this is whose they are. */
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static struct serving *starting;

static int serving_create(apiary_agent_t *agent, void **state)
{
    struct served *of = NULL;
    for (size_t i = 0; i < starting->agent_count; i++)
        if (strcmp(starting->agents[i].name, apiary_agent_name(agent)) == 0) of = &starting->agents[i];
    if (of == NULL) return APIARY_EINVAL;
    of->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* LINT: an agent's own */
    if (of->event < 0) return APIARY_ESYS;
    int r = apiary_watch_fd(agent, of->event, POLLIN, on_orders, of, &of->watch);
    if (r < 0) {
        close(of->event);
        of->event = -1;
        return r;
    }
    apiary_agent_limit(agent, of->concurrency);
    of->agent = agent;
    *state = of;
    return 0;
}

/* Its jobs have their ends, and threads that still wait for an order are told. */
static void serving_destroy(void *state)
{
    struct served *of = state;
    pthread_mutex_lock(&of->serving->order_lock);
    of->agent = NULL;
    while (of->orders != NULL) order_end(of->orders, APIARY_ESTALE);
    pthread_mutex_unlock(&of->serving->order_lock);
    apiary_watch_close(of->watch);
    close(of->event);
}

const apiary_agent_kind_t serving_kind = {
    APIARY_AGENT_KIND,
    .name = "python",
    .what = "a function in Python",
    .create = serving_create,
    .handle = serving_handle,
    .destroy = serving_destroy,
};

int serving_start(struct serving *s, apiary_t *a, const apiary_swarm_description_t *swarm, char *message, size_t size,
                  apiary_queen_t **ret)
{
    pthread_mutex_lock(&start_lock);
    starting = s;
    int r = apiary_queen_start(a, swarm, message, size, ret);
    starting = NULL;
    pthread_mutex_unlock(&start_lock);
    return r;
}

/* ---- to the threads of Python ------------------------------------------------------------------------------------ */

struct taken *serving_next(struct serving *s, uint64_t timeout)
{
    struct timespec until;
    int waited = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout / 1000000000u);
    until.tv_nsec += (long)(timeout % 1000000000u);
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&s->lock);
    while (s->first == NULL && !s->closed && waited == 0) waited = pthread_cond_timedwait(&s->came, &s->lock, &until);
    struct taken *t = s->first;
    if (t != NULL) {
        s->first = t->next;
        if (s->first == NULL) s->last = &s->first;
        if (t->job == NULL) s->lines--;
    }
    pthread_mutex_unlock(&s->lock);
    return t;
}
