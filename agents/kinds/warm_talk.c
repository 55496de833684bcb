/* agents/kinds/warm_talk.c - what is said to a process of warm.h, and what it says. The page is apiary-exec(7). */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "agents/kinds/about.h"
#include "agents/kinds/warm_place.h"
#include "core/text.h"

enum { READ_AT_ONCE = 256 * 1024, READ_LEAST = 4096, KEPT = 64 * 1024 /* of buffers */, SMALL = 4096 /* is copied */ };
enum { LOG_MOST = 1000 };

/* ---- to the process ---------------------------------------------------------------------------------------------- */

static void place_flush(struct ap_place *p);

static void on_writable(void *user, uint32_t events)
{
    (void)events;
    place_flush(user);
}

/* true: all of it is written, or nothing can be written any more, which its end will show. */
static bool write_all(int fd, const char *data, size_t *at, size_t size)
{
    while (*at < size) {
        ssize_t n = ap_child_write(fd, data + *at, size - *at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return false;
        if (n <= 0) return true;
        *at += (size_t)n;
    }
    return true;
}

static bool place_write(struct ap_place *p)
{
    size_t at = 0;
    if (!write_all(p->child.in, p->send.data, &p->sent, p->send.size)) return false;
    if (p->sent == p->send.size) p->send.size = p->sent = 0;
    bool whole = write_all(p->child.in, p->body, &at, p->body_left);
    p->body += at;
    p->body_left -= at;
    return whole;
}

static bool add_cancel(struct ap_place *p)
{
    const char *why = p->asked == AP_PLACE_TIMEOUT ? "deadline" : "cancelled";
    p->cancel_due = false;
    return ap_frame_write(&p->send, json_pack("{s:s, s:I, s:s}", "type", "cancel", "id", (json_int_t)p->id, "why", why), 0);
}

/* Writes what there is to write, as far as that is possible, and watches for more. */
static void place_flush(struct ap_place *p)
{
    bool whole;
    if (p->child.in < 0) return;
    while ((whole = place_write(p)) && p->cancel_due && p->body_left == 0)
        if (!add_cancel(p)) ap_place_stop(p, AP_PLACE_NO_MEMORY);
    if (whole || p->why != AP_PLACE_RUNS) {
        ap_place_unwatch(&p->in);
        return;
    }
    if (p->in) return;
    p->error = apiary_watch_fd(p->warm->agent, p->child.in, POLLOUT, on_writable, p, &p->in);
    if (p->error < 0) ap_place_stop(p, AP_PLACE_NO_WATCH);
}

bool ap_place_greet(struct ap_place *p)
{
    apiary_agent_t *agent = p->warm->agent;
    if (!ap_frame_write(&p->send, json_pack("{s:s, s:i, s:s, s:s, s:s}", "type", "hello", "protocol", AP_WARM_VERSION, "service",
                                            apiary_agent_service(agent), "agent", apiary_agent_name(agent), "version",
                                            apiary_version()), 0))
        return false;
    place_flush(p);
    return true;
}

bool ap_place_send_task(struct ap_place *p, uint64_t left)
{
    struct ap_about about[AP_ABOUT];
    size_t size;
    const char *body = apiary_job_data(p->job, &size);
    ap_about(p->job, left, about);
    json_t *head = json_pack("{s:s, s:I, s:s, s:s, s:s, s:I, s:I, s:s}", "type", "task", "id", (json_int_t)p->id, "capability",
                             about[0].value, "caller", about[1].value, "task", about[2].value, "attempt",
                             (json_int_t)apiary_job_attempt(p->job), "timeout_ms", (json_int_t)((left + 999999) / 1000000),
                             "traceparent", about[5].value);
    size_t before = p->send.size;
    bool good = ap_frame_write(&p->send, head, size);
    if (good && size <= SMALL) good = ap_bytes_add(&p->send, body, size); /* so that one call writes all, and one wakes it */
    else if (good) {
        p->body = body;
        p->body_left = size;
    }
    if (!good) p->send.size = before;
    else place_flush(p);
    return good;
}

void ap_place_send_cancel(struct ap_place *p)
{
    p->cancel_due = true;
    place_flush(p);
}

/* ---- from the process -------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void wrong(struct ap_place *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->said, sizeof p->said, format, args);
    va_end(args);
    ap_place_stop(p, AP_PLACE_WRONG);
}

static void heard_hello(struct ap_place *p, const struct ap_frame *f)
{
    const json_t *version = json_object_get(f->head, "protocol");
    if (p->state != AP_PLACE_GREETING) {
        wrong(p, "it has said hello twice");
        return;
    }
    if (!json_is_integer(version) || json_integer_value(version) != AP_WARM_VERSION) {
        wrong(p, "its hello does not say \"protocol\":%d", AP_WARM_VERSION);
        return;
    }
    p->state = AP_PLACE_IDLE;
    p->asked = AP_PLACE_RUNS;
    ap_place_unwatch(&p->timer);
    apiary_agent_log(p->warm->agent, 6, "%s: ready", p->warm->name);
    ap_warm_free(p->warm, p);
}

static void heard_log(struct ap_place *p, const struct ap_frame *f)
{
    char text[LOG_MOST];
    const json_t *member = json_object_get(f->head, "level");
    json_int_t level = json_is_integer(member) ? json_integer_value(member) : 6;
    size_t size = f->body_size < sizeof text ? f->body_size : sizeof text;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)f->body[i];
        text[i] = c >= 32 && c != 127 ? (char)c : c == '\n' || c == '\t' ? ' ' : '?';
    }
    /* An error would be taken for one of the agent's own, level 2 for the end of its worker. */
    apiary_agent_log_text(p->warm->agent, level < 4 ? 4 : level > 7 ? 7 : (int)level, text, size);
}

/* Its task has its answer, or will have none. */
static void place_answered(struct ap_place *p)
{
    bool read = p->body_left == 0;
    p->job = NULL;
    p->served = true;
    p->failures = 0;
    p->state = AP_PLACE_IDLE;
    p->asked = AP_PLACE_RUNS;
    p->until = 0;
    p->cancel_due = false;
    p->tail.size = 0;
    if (read) ap_warm_free(p->warm, p);
    else ap_place_stop(p, AP_PLACE_UNREAD); /* what is left of its request has gone with the job */
}

static void heard_fail(struct ap_place *p, const struct ap_frame *f)
{
    const json_t *code = json_object_get(f->head, "code"), *retry = json_object_get(f->head, "retry");
    const json_t *after = json_object_get(f->head, "retry_after_ms");
    json_int_t number = json_is_integer(code) ? json_integer_value(code) : 1;
    json_int_t ms = json_is_integer(after) ? json_integer_value(after) : -1;
    if (json_is_false(retry)) apiary_job_retry(p->job, APIARY_FOREVER);
    else if (ms >= 0) apiary_job_retry(p->job, (uint64_t)(ms < AP_DAY / AP_MS ? ms : AP_DAY / AP_MS) * AP_MS);
    apiary_job_fail_text(p->job, number > 0 && number <= UINT32_MAX ? (uint32_t)number : 1, f->body, f->body_size);
}

static void on_part_ready(void *user, apiary_job_t *job)
{
    struct ap_place *p = user;
    (void)job;
    p->behind = false;
    ap_place_hear(p, p->ended);
}

/* false: its reader is behind, and the message stays. */
static bool heard_part(struct ap_place *p, const struct ap_frame *f)
{
    int r = apiary_job_part(p->job, f->body, f->body_size);
    bool cancelled = r == APIARY_EBEHIND && apiary_job_cancelled(p->job);
    if (r == 0) return true;
    if (r == APIARY_EBEHIND && !cancelled) {
        int later = apiary_job_part_ready(p->job, on_part_ready, p);
        p->behind = later == 0;
        if (p->behind) return false;
        r = later;
    }
    /* Without that part no result would be whole. */
    if (cancelled)
        apiary_job_fail(p->job, AP_EXEC_CANCELLED, "%s: the task was cancelled, and its reader is behind", p->warm->name);
    else
        apiary_job_fail(p->job, AP_EXEC_OUTPUT, "%s: a part of %zu bytes: %s", p->warm->name, f->body_size, apiary_strerror(r));
    p->job = NULL;
    if (p->body_left > 0) ap_place_stop(p, AP_PLACE_UNREAD);
    else ap_place_ask(p, AP_PLACE_UNWANTED);
    return true;
}

/* Of a task. Those of one that has its end already are not wanted, but the answer to it says that the process is free. */
static bool heard_of_task(struct ap_place *p, const struct ap_frame *f)
{
    const json_t *member = json_object_get(f->head, "id");
    json_int_t id = json_is_integer(member) ? json_integer_value(member) : 0;
    bool result = strcmp(f->type, "result") == 0, fail = strcmp(f->type, "fail") == 0;
    if (id < 1 || (uint64_t)id > p->id) {
        wrong(p, "its \"%s\" has no \"id\" of a task that it was given", AP_SHOWN(f->type, 20));
        return true;
    }
    if (p->state != AP_PLACE_BUSY || (uint64_t)id != p->id) return true;
    if (p->job && result) apiary_job_reply(p->job, f->body, f->body_size);
    else if (p->job && fail) heard_fail(p, f);
    else if (p->job && strcmp(f->type, "part") == 0) return heard_part(p, f);
    else if (p->job && apiary_job_beat(p->job, f->body, f->body_size) == 1) ap_place_ask(p, AP_PLACE_CANCELLED);
    if (result || fail) place_answered(p);
    return true;
}

static bool heard(struct ap_place *p, const struct ap_frame *f)
{
    if (strcmp(f->type, "hello") == 0) heard_hello(p, f);
    else if (strcmp(f->type, "log") == 0) heard_log(p, f);
    else if (strcmp(f->type, "result") == 0 || strcmp(f->type, "fail") == 0 || strcmp(f->type, "part") == 0 ||
             strcmp(f->type, "beat") == 0)
        return heard_of_task(p, f);
    else wrong(p, "its message is of no type that there is: \"%s\"", AP_SHOWN(f->type, 20));
    return true;
}

/* Takes the whole messages out of what was read. Returns how much more the next one needs. */
static size_t place_listen(struct ap_place *p)
{
    size_t more = 0;
    while (p->why == AP_PLACE_RUNS && !p->behind && more == 0) {
        struct ap_frame f;
        size_t left = p->got.size - p->used;
        if (left == 0) break;
        enum ap_frame_found found =
            ap_frame_read(p->got.data + p->used, left, p->warm->max_output, &f, p->said, sizeof p->said);
        if (found == AP_FRAME_MORE) more = f.size > left ? f.size - left : 1;
        else if (found != AP_FRAME_WHOLE) ap_place_stop(p, found == AP_FRAME_WRONG ? AP_PLACE_WRONG : AP_PLACE_TOO_MUCH);
        else {
            if (heard(p, &f)) p->used += f.size;
            json_decref(f.head);
        }
    }
    p->got.size -= p->used;
    if (p->used > 0) memmove(p->got.data, p->got.data + p->used, p->got.size);
    p->used = 0;
    if (p->got.size == 0 && p->got.capacity > KEPT) ap_bytes_free(&p->got);
    return more;
}

/* Reads once. true: there may be more to read. */
static bool talk_read(struct ap_place *p, size_t want, bool *closed, size_t *got)
{
    if (!ap_bytes_reserve(&p->got, want > READ_LEAST ? want : READ_LEAST)) {
        ap_place_stop(p, AP_PLACE_NO_MEMORY);
        return false;
    }
    size_t room = p->got.capacity - p->got.size;
    ssize_t n = read(p->child.out, p->got.data + p->got.size, room);
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) return false;
    if (n <= 0) {
        *closed = true;
        return false;
    }
    p->got.size += (size_t)n;
    *got += (size_t)n;
    return (size_t)n == room || want > 0;
}

/* ---- the pipes --------------------------------------------------------------------------------------------------- */

static void on_readable(void *user, uint32_t events)
{
    (void)events;
    ap_place_hear(user, false);
}

int ap_place_watch_output(struct ap_place *p)
{
    return p->out ? 0 : apiary_watch_fd(p->warm->agent, p->child.out, POLLIN, on_readable, p, &p->out);
}

void ap_place_hear(struct ap_place *p, bool all)
{
    bool closed = false, more = true;
    size_t got = 0, want = place_listen(p);
    while (more && p->why == AP_PLACE_RUNS && !p->behind && p->child.out >= 0 && (all || got < READ_AT_ONCE)) {
        more = talk_read(p, want, &closed, &got);
        want = place_listen(p);
    }
    /* Its last words when it is killed are not wanted, and would keep the watch firing. Where the reader is behind, the process
     * stops by itself when its pipe is full. */
    if (p->why != AP_PLACE_RUNS || p->behind) {
        ap_place_unwatch(&p->out);
        return;
    }
    if (closed || p->ended) {
        ap_place_unwatch(&p->out);
        ap_place_closed(p);
        return;
    }
    p->error = p->child.out >= 0 ? ap_place_watch_output(p) : 0;
    if (p->error < 0) ap_place_stop(p, AP_PLACE_NO_WATCH);
}

void ap_place_hear_errors(struct ap_place *p)
{
    char chunk[4096];
    for (size_t got = 0; got < READ_AT_ONCE && p->child.err >= 0;) {
        ssize_t n = read(p->child.err, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            ap_place_unwatch(&p->err);
            close(p->child.err);
            p->child.err = -1;
            return;
        }
        ap_tail_add(&p->tail, chunk, (size_t)n);
        got += (size_t)n;
    }
}
