/* core/writer.c - see writer.h. */
#include "core/writer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/thread.h"

#define ROOM (1u << 18)
#define NSEC UINT64_C(1000000000)
#define LAST_PATIENCE (NSEC / 5)

struct record {
    struct record *next;
    struct ap_writer_text text; /* its bytes are those behind it */
    uint64_t after;             /* of a note: where the room's next record begins */
    char bytes[];
};

/* The records of notes lie in the room one behind the other, between tail and head. The first is being written, and its place is
 * given back afterwards. */
static struct {
    pthread_mutex_t lock; /* never held while something is written that could be waited for */
    pthread_cond_t more, out;
    struct record *first, **last;
    uint64_t head, tail; /* bytes of the room ever taken and given back */
    uint64_t put, done;  /* records; done also counts what there was to tell */
    uint64_t notes, results; /* that wait */
    uint64_t lost;           /* lines that were not written, and not told yet */
    size_t (*tell)(char line[AP_WRITER_LINE], uint64_t lines);
    int tell_fd;
    int failed;
    bool running;
    bool slow; /* somebody has waited long enough: nobody does until all is written */
    _Alignas(struct record) char room[ROOM];
} w = {.lock = PTHREAD_MUTEX_INITIALIZER,
       .more = PTHREAD_COND_INITIALIZER,
       .out = PTHREAD_COND_INITIALIZER,
       .last = &w.first};

/* All of it, however long the other side takes. 0, or a negative errno. */
static int write_whole(int fd, const char *bytes, size_t size)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};

    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno != EINTR && errno != EAGAIN) return -errno;
        if (n < 0 && errno == EAGAIN) poll(&ready, 1, -1); /* somebody else made it so */
        if (n <= 0) continue;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

/* With the lock, as the following. */
static void lose(const struct ap_writer_text *t)
{
    uint64_t lines = 0;

    if (t->class != AP_WRITER_NOTE) return;
    for (size_t i = 0; i < t->size; i++) lines += t->bytes[i] == '\n';
    w.lost += lines > 0 ? lines : 1;
    w.tell = t->lost;
    w.tell_fd = t->fd;
}

static void write_next(void)
{
    struct record *r = w.first;
    int e;

    pthread_mutex_unlock(&w.lock);
    e = write_whole(r->text.fd, r->bytes, r->text.size);
    pthread_mutex_lock(&w.lock);
    if (e < 0) lose(&r->text);
    w.first = r->next;
    if (w.first == NULL) w.last = &w.first;
    if (r->text.class == AP_WRITER_RESULT) {
        w.results--;
        if (e < 0) w.failed = e;
        free(r);
    } else {
        w.notes--;
        w.tail = r->after;
    }
}

/* With nothing to be written: whoever puts something in waits behind this. */
static void tell_lost(void)
{
    char line[AP_WRITER_LINE];
    uint64_t lost = w.lost;
    size_t size = w.tell(line, lost);
    int fd = w.tell_fd, e;

    pthread_mutex_unlock(&w.lock);
    e = write_whole(fd, line, size);
    pthread_mutex_lock(&w.lock);
    if (e == 0) w.lost -= lost;
}

/* Where no thread can be had, as under a bound of the number of processes: without waiting, so it may be refused. */
static bool write_now(const struct ap_writer_text *t)
{
    struct pollfd ready = {.fd = t->fd, .events = POLLOUT};

    if (t->class != AP_WRITER_NOTE || t->size > AP_WRITER_LINE || poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0)
        return false;
    return write(t->fd, t->bytes, t->size) == (ssize_t)t->size;
}

static void *writer_write_all(void *user)
{
    pthread_mutex_lock(&w.lock);
    for (uint64_t written = 1;; written++) {
        while (w.first == NULL) pthread_cond_wait(&w.more, &w.lock);
        write_next();
        if (w.first == NULL && w.lost > 0) tell_lost();
        if (w.first == NULL) w.slow = false;
        w.done = written;
        pthread_cond_broadcast(&w.out);
    }
    return user;
}

static void end(void)
{
    ap_writer_wait(LAST_PATIENCE);
}

static int writer_start(void)
{
    pthread_t thread;
    int e;

    if (w.running) return 0;
    e = ap_thread_start(&thread, "apiary-writer", writer_write_all, NULL);
    if (e != 0) return -e;
    pthread_detach(thread);
    w.running = true;
    (void)atexit(end); /* refused: what is left at exit is lost, as if it could not be written */
    return 0;
}

int ap_writer_start(void)
{
    int e;

    pthread_mutex_lock(&w.lock);
    e = writer_start();
    pthread_mutex_unlock(&w.lock);
    return e;
}

/* A place in the room, whole: what is left at its end is passed over. NULL: there is none. */
static struct record *writer_place(size_t size)
{
    size_t whole = (sizeof(struct record) + size + _Alignof(struct record) - 1) & ~(_Alignof(struct record) - 1);
    size_t at = w.head % ROOM, over = at + whole > ROOM ? ROOM - at : 0;
    struct record *r;

    if (whole > ROOM || w.head - w.tail + over + whole > ROOM) return NULL;
    r = (struct record *)(void *)(w.room + (w.head + over) % ROOM);
    w.head += over + whole;
    r->after = w.head;
    return r;
}

static struct record *record(const struct ap_writer_text *t)
{
    int e = writer_start();
    struct record *r = NULL;

    if (t->class == AP_WRITER_RESULT) {
        r = e == 0 ? malloc(sizeof *r + t->size) : NULL;
        if (r == NULL) w.failed = e < 0 ? e : -ENOMEM;
        if (r != NULL) w.results++;
        return r;
    }
    if (t->class == AP_WRITER_REFRESH && w.notes > 0) return NULL;
    /* Behind a loss that is not told yet there is no place: lines are lost in one piece, and where it is told. */
    if (e == 0 && (w.lost == 0 || w.first == NULL)) r = writer_place(t->size);
    if (r != NULL) w.notes++;
    return r;
}

/* Returns whether all of the first `count` is written. */
static bool writer_wait_for(uint64_t count, uint64_t longest)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)((longest + (uint64_t)until.tv_nsec) / NSEC);
    until.tv_nsec = (long)((longest + (uint64_t)until.tv_nsec) % NSEC);
    while (w.done < count && r == 0) r = pthread_cond_clockwait(&w.out, &w.lock, CLOCK_MONOTONIC, &until);
    return w.done >= count;
}

void ap_writer_put(const struct ap_writer_text *t)
{
    int saved = errno;
    struct record *r;

    pthread_mutex_lock(&w.lock);
    r = record(t);
    if (r == NULL) {
        if (w.running || !write_now(t)) lose(t);
    } else {
        memcpy(r->bytes, t->bytes, t->size);
        r->text = *t;
        r->text.bytes = r->bytes;
        r->next = NULL;
        *w.last = r;
        w.last = &r->next;
        w.put++;
        pthread_cond_signal(&w.more);
        if (t->patience > 0 && !w.slow) w.slow = !writer_wait_for(w.put, t->patience);
    }
    pthread_mutex_unlock(&w.lock);
    errno = saved;
}

bool ap_writer_wait(uint64_t longest)
{
    bool all;

    pthread_mutex_lock(&w.lock);
    all = writer_wait_for(w.put, longest);
    pthread_mutex_unlock(&w.lock);
    return all;
}

bool ap_writer_results(void)
{
    bool waits;

    pthread_mutex_lock(&w.lock);
    waits = w.results > 0;
    pthread_mutex_unlock(&w.lock);
    return waits;
}

int ap_writer_failed(void)
{
    int e;

    pthread_mutex_lock(&w.lock);
    e = w.failed;
    pthread_mutex_unlock(&w.lock);
    return e;
}
