/* tools/apiaryd/http_stream.c - /v1/stream: server-sent events, as the segment's log has them. See http.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "tools/apiaryd/http_inside.h"
#include "tools/common/event.h"

#define LOOK UINT64_C(250000000)    /* ns between two looks at the log, while somebody listens */
#define TICK UINT64_C(2000000000)   /* between two looks at all queues */
#define SILENCE UINT64_C(10000000000) /* after which a comment is sent */
#define GRACE UINT64_C(2000000000)  /* for an event that is being written: then its writer has died */

struct http_stream {
    struct http *of;
    struct MHD_Connection *connection;
    bool rests; /* suspended */
    bool ends;
    uint64_t next; /* the event to be told next */
    uint64_t hole; /* CLOCK_MONOTONIC, since when that one is not written; 0: it was not looked for in vain */
    uint64_t mark; /* of the last tick */
    uint64_t said; /* CLOCK_MONOTONIC, of the last message */
    char *out;     /* the message that is being sent */
    size_t size, at;
};

/* ---- what has changed ----------------------------------------------------------------------------------------------- */

struct totals {
    uint64_t queued, running, done, failed, instances, mark;
};

/* Sums over all queues and instances; the mark is another one where anything of it is otherwise. */
static void totals_take(const struct ap_segment *seg, struct totals *ret)
{
    struct ap_queue_counts n;

    *ret = (struct totals){.queued = 0};
    for (uint32_t q = 0; q < seg->geometry.queues; q++) {
        const struct ap_queue *queue = ap_queue_at(seg, q);
        uint32_t state = AP_QUEUE_STATE(ap_load_relaxed(&queue->life)), waiting, running;

        if (state != AP_QUEUE_OPEN && state != AP_QUEUE_CLOSED) continue;
        ap_queue_counts(queue, &n);
        waiting = ap_queue_waiting(seg, q);
        running = ap_load_relaxed(&queue->running);
        ret->queued += waiting;
        ret->running += running;
        ret->done += n.done;
        ret->failed += n.failed;
        ret->mark = ret->mark * 31 + n.started + 7 * n.done + 11 * n.failed + 13 * n.cancelled + 17 * (uint64_t)waiting +
                    19 * (uint64_t)running;
    }
    for (uint32_t i = 0; ap_swarm_at(seg, i) != NULL; i++) {
        const struct ap_swarm *s = ap_swarm_at(seg, i);
        uint64_t life = ap_load_relaxed(&s->life);

        ret->instances += AP_SWARM_STATE(life) == AP_SWARM_LIVE;
        ret->mark = ret->mark * 31 + life + 7 * ap_load_relaxed(&s->mode) + 11 * ap_load_relaxed(&s->share) +
                    13 * ap_load_relaxed(&s->health);
    }
    ret->mark = ret->mark * 31 + ap_load_relaxed(&seg->header->event_next);
}

static void streams_look(struct http *h, uint64_t now)
{
    struct totals t;

    if (h->stream_count == 0 || now < h->looked + TICK) return;
    totals_take(h->a->seg, &t);
    h->looked = now;
    if (t.mark == h->mark && *h->tick != '\0') return;
    h->mark = t.mark;
    snprintf(h->tick, sizeof h->tick,
             "event: tick\ndata: {\"schema\":1,\"time_ns\":%" PRIu64 ",\"instances\":%" PRIu64 ",\"queued\":%" PRIu64
             ",\"running\":%" PRIu64 ",\"done\":%" PRIu64 ",\"failed\":%" PRIu64 "}\n\n",
             h->a->seg->ops->realtime(), t.instances, t.queued, t.running, t.done, t.failed);
}

/* ---- the next message ------------------------------------------------------------------------------------------------ */

static bool stream_take(struct http_stream *s, char *text)
{
    free(s->out);
    s->out = text;
    s->size = text != NULL ? strlen(text) : 0;
    s->at = 0;
    s->said = s->of->a->seg->ops->now();
    return text != NULL;
}

/* So many were overwritten before this reader has taken them. */
static bool stream_missed(struct http_stream *s, uint64_t begin)
{
    char *text = tool_format("event: missed\nid: %" PRIu64 "\ndata: {\"schema\":1,\"missed\":%" PRIu64 "}\n\n", begin - 1,
                             begin - s->next);

    s->next = begin;
    return stream_take(s, text);
}

static bool stream_event(struct http_stream *s, const struct ap_event *e)
{
    struct event_told told;
    char *json, *text = NULL;

    s->next++;
    s->hole = 0;
    if (!event_tell(s->of->a->seg, e, &told)) return false;
    json = json_dumps(told.json, JSON_COMPACT);
    if (json != NULL) text = tool_format("event: event\nid: %" PRIu64 "\ndata: %s\n\n", told.number, json);
    free(json);
    event_told_free(&told);
    return stream_take(s, text);
}

/* The next event, or that some were missed. False: there is none yet. */
static bool stream_log(struct http_stream *s, uint64_t now)
{
    const struct ap_segment *seg = s->of->a->seg;
    uint64_t end = ap_load_acquire(&seg->header->event_next); /* EVENT-A1 pairs EVENT-R1 */
    uint64_t begin = event_log_begins(seg, end);
    struct ap_event e;

    if (s->next > end) s->next = end; /* of another segment, whose numbers went further */
    if (s->next < begin) return stream_missed(s, begin);
    while (s->next < end) {
        if (ap_event_read(seg, s->next, &e) == 1) {
            if (stream_event(s, &e)) return true;
            continue;
        }
        if (s->hole == 0) s->hole = now;
        if (now < s->hole + GRACE) return false;
        s->next++;
        s->hole = 0;
    }
    return false;
}

static bool stream_more(struct http_stream *s, uint64_t now)
{
    if (stream_log(s, now)) return true;
    if (s->mark != s->of->mark && *s->of->tick != '\0') {
        s->mark = s->of->mark;
        return stream_take(s, tool_strdup(s->of->tick));
    }
    return now >= s->said + SILENCE && stream_take(s, tool_strdup(": nothing new\n\n"));
}

/* ---- the library's side ------------------------------------------------------------------------------------------------ */

static ssize_t stream_read(void *user, uint64_t at, char *ret, size_t most)
{
    struct http_stream *s = user;
    bool more = s->at < s->size, begun;
    size_t n;

    (void)at;
    if (s->ends || ap_load_acquire(&s->of->stop) != 0) return MHD_CONTENT_READER_END_OF_STREAM; /* it must not rest any more */
    begun = more || tool_spare_begin();
    if (!more && begun) more = stream_more(s, s->of->a->seg->ops->now());
    if (!begun || !tool_spare_end()) return MHD_CONTENT_READER_END_WITH_ERROR; /* it asks again, and is told what it has missed */
    if (!more) {
        s->rests = true;
        MHD_suspend_connection(s->connection);
        return 0;
    }
    n = s->size - s->at < most ? s->size - s->at : most;
    memcpy(ret, s->out + s->at, n);
    s->at += n;
    return (ssize_t)n;
}

static void stream_over(void *user)
{
    struct http_stream *s = user;
    struct http *h = s->of;

    for (unsigned i = 0; i < HTTP_STREAMS; i++)
        if (h->streams[i] == s) h->streams[i] = NULL;
    h->stream_count--;
    free(s->out);
    free(s);
}

static uint64_t stream_first(const struct http *h, const char *last)
{
    uint64_t end = ap_load_relaxed(&h->a->seg->header->event_next), n;
    char *rest;

    if (last == NULL || *last < '0' || *last > '9') return end;
    n = strtoull(last, &rest, 10);
    return *rest == '\0' && n < end ? n + 1 : end;
}

struct MHD_Response *http_stream_begin(struct http *h, struct MHD_Connection *connection, const char *last)
{
    struct http_stream *s = h->stream_count < HTTP_STREAMS ? calloc(1, sizeof *s) : NULL;
    struct MHD_Response *ret = NULL;
    unsigned i = 0;

    if (s == NULL) return NULL;
    *s = (struct http_stream){.of = h, .connection = connection, .next = stream_first(h, last), .said = h->a->seg->ops->now()};
    while (h->streams[i] != NULL) i++;
    h->streams[i] = s;
    h->stream_count++;
    h->looked = 0;
    streams_look(h, s->said);
    ret = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, stream_read, s, stream_over);
    if (ret == NULL) stream_over(s);
    if (ret == NULL || (MHD_add_response_header(ret, "Content-Type", "text/event-stream") == MHD_YES &&
                        MHD_add_response_header(ret, "Cache-Control", "no-store") == MHD_YES &&
                        MHD_add_response_header(ret, "X-Content-Type-Options", "nosniff") == MHD_YES))
        return ret;
    MHD_destroy_response(ret); /* and the stream with it */
    return NULL;
}

/* ---- the thread's side ------------------------------------------------------------------------------------------------- */

static bool stream_due(const struct http_stream *s, uint64_t now)
{
    uint64_t end = ap_load_relaxed(&s->of->a->seg->header->event_next);

    return s->ends || (s->next < end && (s->hole == 0 || now >= s->hole + GRACE || now >= s->said + LOOK)) ||
           s->mark != s->of->mark || now >= s->said + SILENCE;
}

void http_streams_tend(struct http *h, uint64_t now)
{
    streams_look(h, now);
    for (unsigned i = 0; i < HTTP_STREAMS; i++) {
        struct http_stream *s = h->streams[i];

        if (s == NULL || !s->rests || !stream_due(s, now)) continue;
        s->rests = false;
        MHD_resume_connection(s->connection);
    }
}

uint64_t http_streams_next(const struct http *h, uint64_t now)
{
    return h->stream_count > 0 ? now + LOOK : UINT64_MAX;
}

bool http_stream_gone(struct http *h, const struct MHD_Connection *connection)
{
    for (unsigned i = 0; i < HTTP_STREAMS; i++) {
        struct http_stream *s = h->streams[i];

        if (s == NULL || s->connection != connection) continue;
        s->ends = true;
        if (s->rests) MHD_resume_connection(s->connection);
        s->rests = false;
        return true;
    }
    return false;
}

void http_streams_end(struct http *h)
{
    for (unsigned i = 0; i < HTTP_STREAMS; i++)
        if (h->streams[i] != NULL) (void)http_stream_gone(h, h->streams[i]->connection);
}
