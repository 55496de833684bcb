/* agents/python/serving.h - the agents of a queen in Python, as their workers see them: plain C, no thread of it takes the GIL.
 *
 * A worker hands each task to whichever thread of Python comes for the next one, so a handler that takes long, or holds the GIL,
 * does not hold up the worker. Parts and failures with a number, which are the worker's alone, are ordered from it and waited for.
 */
#ifndef APIARY_PYTHON_SERVING_H
#define APIARY_PYTHON_SERVING_H

#include <pthread.h>

#include <apiary/swarm.h>

struct order;
struct serving;

struct served { /* one agent */
    struct serving *serving;
    apiary_agent_t *agent; /* NULL: not made yet, or destroyed */
    const char *name;      /* the owner's */
    uint32_t concurrency;
    int event; /* written to when there are orders */
    apiary_watch_t *watch;
    struct order *orders;
};

struct taken { /* a task, or a line of the log: `job` NULL */
    struct taken *next;
    apiary_job_t *job;
    size_t agent; /* its position */
    int level;
    char text[];
};

struct serving {
    pthread_mutex_t order_lock; /* not held with the other: a worker that fails a task writes to the log */
    pthread_mutex_t lock;
    pthread_cond_t came, done;
    struct taken *first, **last;
    size_t lines; /* of the log that are waiting */
    int closed;
    size_t agent_count;
    struct served agents[];
};

extern const apiary_agent_kind_t serving_kind;

struct serving *serving_new(size_t agents); /* NULL: no memory */
void serving_free(struct serving *s);       /* after its queen has left */
void serving_close(struct serving *s);      /* serving_next returns NULL from here on */
/* apiary_queen_start with agents of this; one at a time in a process. */
int serving_start(struct serving *s, apiary_t *a, const apiary_swarm_description_t *swarm, char *message, size_t size,
                  apiary_queen_t **ret);
void serving_log(void *serving, int level, const char *line);
/* The next one, for the caller to free; NULL: none came in time (ns), or it is closed. */
struct taken *serving_next(struct serving *s, uint64_t timeout);
/* Has the worker do it, and waits: 0 or an error; APIARY_ESTALE when the job has its end. A part waits for its reader. */
int serving_part(struct served *agent, apiary_job_t *job, const void *data, size_t size);
int serving_fail(struct served *agent, apiary_job_t *job, uint32_t code, const void *text, size_t size);

#endif
