/* tools/apiary_output.c - see apiary_output.h. A queue of texts under a lock that is never held while something is written. */
#include "tools/apiary_output.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/common.h"

#define NOTES_MOST (256 * 1024) /* bytes of notes that may wait: some thousand lines, more than a reader falls behind by */

struct text {
    struct text *next;
    size_t size;
    int fd;
    char bytes[];
};

struct output {
    pthread_mutex_t lock;
    pthread_cond_t more, idle;
    pthread_t thread;
    struct text *first, **last;
    size_t notes;   /* bytes for standard error that are not written yet */
    size_t results; /* texts for standard output that are not written yet */
    uint64_t lost;  /* lines, not told yet */
    bool busy;      /* the thread is writing */
    bool refused;   /* the last note: told is after the next that is taken */
    bool ending;
    int failed;
    const char *who;
};

/* All of it, however long the other side takes. 0, or the errno. */
static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) { /* somebody else made the description non-blocking */
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static size_t lines_of(const char *bytes, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += bytes[i] == '\n';
    return n > 0 ? n : 1;
}

/* The next text; NULL: *lost lines are to be told, or it is the end. Told is what was left out when all that waited is
 * written, and not while the other side refuses everything. */
static struct text *take(struct output *o, uint64_t *lost)
{
    pthread_mutex_lock(&o->lock);
    o->busy = false;
    while (o->first == NULL && (o->lost == 0 || o->refused)) {
        pthread_cond_broadcast(&o->idle);
        if (o->ending) break;
        pthread_cond_wait(&o->more, &o->lock);
    }
    struct text *t = o->first;
    *lost = t == NULL && !o->refused ? o->lost : 0;
    o->lost -= *lost;
    if (t != NULL) o->first = t->next;
    if (o->first == NULL) o->last = &o->first;
    o->busy = t != NULL || *lost > 0;
    pthread_mutex_unlock(&o->lock);
    return t;
}

static int say_lost(const struct output *o, uint64_t lost)
{
    char line[128];
    int n = snprintf(line, sizeof line, "%s: %llu line%s left out here: they could not be written in time\n", o->who,
                     (unsigned long long)lost, lost == 1 ? " is" : "s are");
    return write_all(STDERR_FILENO, line, (size_t)n);
}

static void written(struct output *o, const struct text *t, uint64_t lost, int error)
{
    bool result = t != NULL && t->fd == STDOUT_FILENO;
    pthread_mutex_lock(&o->lock);
    if (result) {
        o->results--;
        if (error != 0) o->failed = error;
    } else {
        if (t != NULL) o->notes -= t->size;
        o->refused = error != 0;
        if (error != 0) o->lost += t != NULL ? lines_of(t->bytes, t->size) : lost;
    }
    pthread_mutex_unlock(&o->lock);
}

static void *writer(void *argument)
{
    struct output *o = argument;
    for (;;) {
        uint64_t lost;
        struct text *t = take(o, &lost);
        if (t == NULL && lost == 0) return NULL;
        written(o, t, lost, t != NULL ? write_all(t->fd, t->bytes, t->size) : say_lost(o, lost));
        free(t);
    }
}

int output_open(const char *who, struct output **ret)
{
    struct output *o = tool_alloc(sizeof *o);
    *o = (struct output){.who = who, .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
    o->last = &o->first;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&o->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&o->thread, NULL, writer, o);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        free(o);
        return -error;
    }
    *ret = o;
    return 0;
}

/* `most`: how many bytes of notes may wait beside this one. */
static void add(struct output *o, int fd, const char *bytes, size_t size, size_t most, bool counted)
{
    struct text *t = tool_alloc(sizeof *t + size);
    *t = (struct text){.size = size, .fd = fd};
    memcpy(t->bytes, bytes, size);
    pthread_mutex_lock(&o->lock);
    bool result = fd == STDOUT_FILENO;
    if (!result && o->notes > most) {
        if (counted) o->lost += lines_of(bytes, size);
        free(t);
    } else {
        *o->last = t;
        o->last = &t->next;
        if (result) o->results++;
        if (!result) o->notes += size;
        pthread_cond_signal(&o->more);
    }
    pthread_mutex_unlock(&o->lock);
}

void output_note(struct output *o, const char *text, size_t size)
{
    add(o, STDERR_FILENO, text, size, NOTES_MOST, true);
}

void output_refresh(struct output *o, const char *text, size_t size)
{
    add(o, STDERR_FILENO, text, size, 0, false);
}

void output_result(struct output *o, const char *text, size_t size)
{
    add(o, STDOUT_FILENO, text, size, 0, true);
}

bool output_pending(struct output *o)
{
    pthread_mutex_lock(&o->lock);
    bool ret = o->results > 0;
    pthread_mutex_unlock(&o->lock);
    return ret;
}

int output_failed(struct output *o)
{
    pthread_mutex_lock(&o->lock);
    int ret = o->failed;
    pthread_mutex_unlock(&o->lock);
    return ret;
}

void output_close(struct output *o, uint64_t patience)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(patience / UINT64_C(1000000000));
    until.tv_nsec += (long)(patience % UINT64_C(1000000000));
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&o->lock);
    o->ending = true;
    pthread_cond_signal(&o->more);
    int rc = 0;
    while (rc == 0 && (o->first != NULL || o->busy))
        rc = pthread_cond_timedwait(&o->idle, &o->lock, &until);
    bool all = o->first == NULL && !o->busy;
    pthread_mutex_unlock(&o->lock);
    if (!all) {
        pthread_detach(o->thread);
        return;
    }
    pthread_join(o->thread, NULL);
    pthread_cond_destroy(&o->idle);
    free(o);
}
