/* core/log.c */
#include "core/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/atomic.h"
#include "core/text.h"

#define TEXT_MAX 2048u
#define RECORD_MAX 4096u /* what one write takes: a pipe does not tear it */
#define ROOM (1u << 18)
#define NSEC UINT64_C(1000000000)
#define PATIENCE (NSEC / 100) /* for one line, of a log that is read */
#define LAST_PATIENCE (NSEC / 5) /* for all lines, at the end of the program */

static int most = 6;
static char part_name[128];

void ap_log_level(int level)
{
    ap_store_relaxed(&most, level);
}

void ap_log_part(const char *part)
{
    snprintf(part_name, sizeof part_name, "%s", part != NULL ? part : "");
    for (char *p = part_name; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
}

static const char *level_name(int level)
{
    static const char *const names[] = {"emergency", "alert",  "critical", "error",
                                        "warning",   "notice", "info",     "debug"};
    return names[level < 0 ? 0 : level > 7 ? 7 : level];
}

/* The variable is inherited by children whose standard error goes elsewhere: compare, as systemd asks for. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    if (stream == NULL || sscanf(stream, "%llu:%llu", &device, &inode) != 2) return false;
    return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* Quotes, backslashes and line ends are escaped, so that a line stays one line and its value ends where it says. What does not fit
 * is cut as core/text.h has it. */
static size_t escape(char *to, size_t size, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = 0;

    for (; *p != '\0'; p++) {
        if (n + sizeof "\\xff..." > size) {
            for (; (*p & 0xc0) == 0x80 && n > 0; p--) n--; /* which are not escaped */
            memcpy(to + n, "...", 3);
            return n + 3;
        }
        if (*p == '"' || *p == '\\') {
            to[n++] = '\\';
            to[n++] = (char)*p;
        } else if (*p == '\n' || *p == '\t') {
            to[n++] = '\\';
            to[n++] = *p == '\n' ? 'n' : 't';
        } else if (*p < 0x20 || *p == 0x7f) {
            n += (size_t)snprintf(to + n, size - n, "\\x%02x", *p);
        } else {
            to[n++] = (char)*p;
        }
    }
    return n;
}

/* ---- the writer ------------------------------------------------------------------------------------------------ */

/* A write to a terminal, pipe or file may last for ever, whatever was asked about it before: only a thread that nobody waits for
 * can make it. What is there to be written lies between tail and head, each record behind its size. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t more, out;
    uint64_t head, tail; /* bytes ever put in and ever written */
    uint64_t done;       /* as tail, but behind what there was to tell */
    uint64_t lost;       /* lines that were not written, and not told yet */
    bool running;
    bool slow; /* somebody has waited long enough: nobody does until all is written */
    char ring[ROOM];
} w = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER, .out = PTHREAD_COND_INITIALIZER};

static void copy_in(uint64_t at, const void *bytes, size_t size)
{
    size_t from = at % ROOM, first = size < ROOM - from ? size : ROOM - from;

    memcpy(w.ring + from, bytes, first);
    memcpy(w.ring, (const char *)bytes + first, size - first);
}

static void copy_out(void *bytes, uint64_t at, size_t size)
{
    size_t from = at % ROOM, first = size < ROOM - from ? size : ROOM - from;

    memcpy(bytes, w.ring + from, first);
    memcpy((char *)bytes + first, w.ring, size - first);
}

static bool write_whole(const char *bytes, size_t size)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};

    while (size > 0) {
        ssize_t n = write(STDERR_FILENO, bytes, size);
        if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
        if (n < 0 && errno == EAGAIN) poll(&ready, 1, -1); /* somebody else made it so */
        if (n <= 0) continue;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

/* With the lock, which is let go meanwhile. */
static void write_next(void)
{
    char record[RECORD_MAX];
    uint16_t size;
    bool written;

    copy_out(&size, w.tail, sizeof size);
    copy_out(record, w.tail + sizeof size, size);
    pthread_mutex_unlock(&w.lock);
    written = write_whole(record, size);
    pthread_mutex_lock(&w.lock);
    w.tail += sizeof size + size;
    w.lost += !written;
}

static size_t compose(char line[RECORD_MAX], int level, const char *text);

/* With the lock and nothing to be written: whoever puts something in waits behind this. */
static void tell_lost(void)
{
    char line[RECORD_MAX], text[96];
    uint64_t lost = w.lost;
    bool written;

    pthread_mutex_unlock(&w.lock);
    snprintf(text, sizeof text, "%llu log lines before this one are lost: standard error did not take them",
             (unsigned long long)lost);
    written = write_whole(line, compose(line, 4, text));
    pthread_mutex_lock(&w.lock);
    if (written) w.lost -= lost;
}

static void *write_all(void *user)
{
    pthread_mutex_lock(&w.lock);
    for (;;) {
        while (w.head == w.tail) pthread_cond_wait(&w.more, &w.lock);
        write_next();
        if (w.head == w.tail && w.lost > 0) tell_lost();
        if (w.head == w.tail) w.slow = false;
        w.done = w.tail;
        pthread_cond_broadcast(&w.out);
    }
    return user;
}

static void end(void)
{
    ap_log_wait(LAST_PATIENCE);
}

/* With the lock. Signals are for the program's own threads; here those of a broken pipe or a background terminal stay blocked. */
static bool start(void)
{
    sigset_t all, old;
    pthread_attr_t detached;
    pthread_t thread;

    if (w.running) return true;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    w.running = pthread_create(&thread, &detached, write_all, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&detached);
    if (w.running) atexit(end);
    return w.running;
}

/* With the lock. Returns whether all up to `end_at` is written. */
static bool wait_for(uint64_t end_at, uint64_t longest)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)((longest + (uint64_t)until.tv_nsec) / NSEC);
    until.tv_nsec = (long)((longest + (uint64_t)until.tv_nsec) % NSEC);
    while (w.done < end_at && r == 0) r = pthread_cond_clockwait(&w.out, &w.lock, CLOCK_MONOTONIC, &until);
    return w.done >= end_at;
}

static void put(const char *bytes, uint16_t size)
{
    pthread_mutex_lock(&w.lock);
    /* Behind a loss that is not told yet there is no place: lines are lost in one piece, and where it is told. */
    if (!start() || w.head - w.tail + sizeof size + size > ROOM || (w.lost > 0 && w.head != w.tail)) {
        w.lost++;
    } else {
        copy_in(w.head, &size, sizeof size);
        copy_in(w.head + sizeof size, bytes, size);
        w.head += sizeof size + size;
        pthread_cond_signal(&w.more);
        if (!w.slow) w.slow = !wait_for(w.head, PATIENCE);
    }
    pthread_mutex_unlock(&w.lock);
}

void ap_log_bytes(const char *bytes, size_t size)
{
    int saved = errno;

    for (size_t n; size > 0; bytes += n, size -= n) {
        n = size < RECORD_MAX ? size : RECORD_MAX;
        put(bytes, (uint16_t)n);
    }
    errno = saved;
}

bool ap_log_wait(uint64_t longest)
{
    bool all;

    pthread_mutex_lock(&w.lock);
    all = wait_for(w.head, longest);
    pthread_mutex_unlock(&w.lock);
    return all;
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

static size_t compose(char line[RECORD_MAX], int level, const char *text)
{
    struct timespec now;
    struct tm tm;
    size_t n = 0;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    if (is_journal()) n = (size_t)snprintf(line, RECORD_MAX, "<%d>", level < 0 ? 0 : level > 7 ? 7 : level);
    n += strftime(line + n, RECORD_MAX - n, "time=%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, RECORD_MAX - n, ".%03ldZ level=%s%s%s msg=\"", now.tv_nsec / 1000000, level_name(level),
                          part_name[0] != '\0' ? " part=" : "", part_name);
    n += escape(line + n, TEXT_MAX, text);
    line[n++] = '"';
    line[n++] = '\n';
    return n;
}

void ap_log(int level, const char *format, ...)
{
    char text[TEXT_MAX], line[RECORD_MAX];
    int saved = errno;
    va_list args;

    if (level > ap_load_relaxed(&most)) return;
    va_start(args, format);
    ap_vformat(text, sizeof text, format, args);
    va_end(args);
    ap_log_bytes(line, compose(line, level, text));
    errno = saved;
}
