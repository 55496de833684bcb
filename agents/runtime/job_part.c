/* agents/runtime/job_part.c - parts of a job's result, ahead of its end. See agent.h and shm/stream.h.
 *
 * WAYS      1 Where the caller asks for parts they go through the window of the task's stream.
 *           2 Else they are joined in private memory, and are the beginning of the result. So they are, too, where there is no
 *           block for a window: then the reader finds no part, and the result is whole. The dead set gives no block for a window:
 *           a request that lies there is the only one, which an operator needs to try it again, and a window only brings a result
 *           earlier.
 * WAITING   An agent that is ahead of its reader is called by its worker's thread, in its turns or as the last thing before it
 *           sleeps on its bell, which the reader rings. Its job counts among those with timers, so a worker that has none looks at
 *           nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/queen.h"
#include "registry/routing/terms.h"
#include "shm/bell.h"

/* ---- the beginning ---------------------------------------------------------------------------------------------- */

static int window_take(const struct ap_job *job, uint64_t *ret)
{
    struct ap_segment *seg = job->agent->worker->seg;
    uint64_t size = ap_term(seg, job->capability, ap_capability_at(seg, job->capability), AP_TERM_parts_window);
    uint64_t most = ap_pool_max(seg);

    return ap_job_block_spare(job, size < most ? size : most, ret);
}

/* Where no block is to be had for a window the parts are joined. */
static int stream_open(const struct ap_job *job, struct ap_job_parts *parts)
{
    struct ap_worker *w = job->agent->worker;
    uint64_t window = ap_stream_window(w->seg, job->slot, job->token);
    int r = window == 0 ? window_take(job, &window) : 0;

    parts->streams = r == 0;
    if (r < 0) return r == APIARY_ENOBLOCK ? 0 : r;
    return ap_stream_begin(w->seg, w->context->lane.index, job->slot, job->token, window, &parts->writer) ? 0 : APIARY_ECORRUPT;
}

/* Whether nobody will read what the job sends from now on. */
static bool unread(const struct ap_job *job)
{
    return ap_load_acquire(&job->at->word) != job->token || ap_abandoned(job->at, job->token);
}

static int parts_open(struct ap_job *job)
{
    int r = 0;

    job->parts = (struct ap_job_parts){.streams = false};
    if (ap_task_requested(job->at, job->token, AP_REQUEST_PARTS)) r = stream_open(job, &job->parts);
    if (r == 0) job->marks |= AP_JOB_PARTS;
    return r;
}

/* ---- a part ----------------------------------------------------------------------------------------------------- */

static int part_join(const struct ap_job *job, struct ap_job_parts *parts, const void *data, size_t size)
{
    size_t most = ap_pool_max(job->agent->worker->seg), capacity = parts->capacity;
    uint8_t *larger;

    if (size > most || parts->size > most - size) {
        return parts->broken = APIARY_ETOOLARGE;
    }
    if (parts->size + size > capacity) {
        while (capacity < parts->size + size) capacity = capacity < 256 ? 256 : capacity * 2;
        larger = realloc(parts->joined, capacity);
        if (larger == NULL) return APIARY_ENOBLOCK;
        parts->joined = larger;
        parts->capacity = capacity;
    }
    memcpy(parts->joined + parts->size, data, size);
    parts->size += size;
    return 0;
}

static int part_stream(const struct ap_job *job, struct ap_job_parts *parts, const void *data, size_t size)
{
    const struct ap_segment *seg = job->agent->worker->seg;
    struct ap_lane *client;
    int r;

    if (size > UINT32_MAX) return APIARY_ETOOLARGE;
    if (unread(job)) return 0;
    r = ap_stream_write(&parts->writer, data, (uint32_t)size);
    if (r < 0) return r;
    if (r == 0) return seg->ops->now() < job->deadline ? APIARY_EBEHIND : (parts->broken = APIARY_EOVERRUN);
    client = ap_lane_at(seg, ap_load_relaxed(&job->at->client));
    if (client != NULL) ap_bell_ring(seg->ops, &client->bell);
    return 0;
}

/* A part that is called for is not waited for any more. */
static void parts_unwait(struct ap_job *job)
{
    if (job->parts.ready == NULL) return;
    job->parts.ready = NULL;
    job->agent->worker->behind--;
    job->agent->worker->timed--;
}

/* The job, if it is in hand and its worker's thread asks; or NULL and *error. */
static struct ap_job *part_job(const apiary_job_t *handle, int *error)
{
    struct ap_job *job = ap_handle_get(handle);

    *error = APIARY_EINVAL;
    if (job != NULL && ap_worker_self() == job->agent->worker && ap_load_relaxed(&job->handed) != (uintptr_t)handle) return job;
    if (job != NULL && ap_worker_self() != job->agent->worker)
        ap_job_misused(job->agent, "sends a part from a thread that is not its worker's");
    else
        *error = ap_job_stale(handle, "sends a part of a task that it has finished");
    return NULL;
}

int apiary_job_part(apiary_job_t *handle, const void *data, size_t size)
{
    struct ap_job *job;
    int r;

    if (data == NULL && size > 0) return APIARY_EINVAL;
    job = part_job(handle, &r);
    if (job == NULL) return r;
    if (size == 0) return 0;
    if ((job->marks & AP_JOB_PARTS) == 0) {
        r = parts_open(job);
        if (r < 0) return r;
    }
    parts_unwait(job);
    return job->parts.streams ? part_stream(job, &job->parts, data, size) : part_join(job, &job->parts, data, size);
}

/* ---- waiting for the reader -------------------------------------------------------------------------------------- */

int apiary_job_part_ready(apiary_job_t *handle, apiary_part_fn fn, void *user)
{
    struct ap_worker *w;
    struct ap_job *job;
    int r;

    if (fn == NULL) return APIARY_EINVAL;
    job = part_job(handle, &r);
    if (job == NULL) return r;
    w = job->agent->worker;
    if ((job->marks & AP_JOB_PARTS) == 0) {
        r = parts_open(job);
        if (r < 0) return r;
    }
    if (job->parts.ready == NULL) {
        if (w->timed++ == 0 || job->deadline < w->timers_due) w->timers_due = job->deadline;
        w->behind++;
    }
    job->parts.ready = fn;
    job->parts.user = user;
    return 0;
}

static bool part_waits(const struct ap_job *job)
{
    return job->busy && (job->marks & AP_JOB_PARTS) != 0 && job->parts.ready != NULL;
}

static bool part_due(const struct ap_job *job, uint64_t now)
{
    const struct ap_job_parts *parts = &job->parts;
    uint64_t request;

    if (!part_waits(job)) return false;
    if (!parts->streams || unread(job) || now >= job->deadline || ap_load_relaxed(&job->over) != 0) return true;
    request = ap_load_acquire(&job->at->request); /* TASK-A7 pairs TASK-R7 */
    return ap_request_has(request, job->token, AP_REQUEST_CANCEL) || ap_stream_room(&parts->writer);
}

static void part_call(struct ap_worker *w, struct ap_job *job)
{
    struct ap_lane *lane = w->context->lane.lane;
    const uint64_t before = ap_load_relaxed(&lane->inside);
    apiary_part_fn ready = job->parts.ready;
    void *user = job->parts.user;

    parts_unwait(job);
    ap_store_relaxed(&w->called, job);
    ap_lane_inside(lane, AP_REF(job->slot, AP_WORD_GENERATION(job->token)));
    ready(user, ap_handle_name(job->handle));
    ap_lane_inside(lane, before);
}

int ap_job_parts_look(struct ap_worker *w, uint64_t now, uint64_t *due)
{
    int n = 0;

    for (uint32_t i = 0; i < w->job_count && w->behind > 0; i++) {
        struct ap_job *job = &w->jobs[i];

        if (part_due(job, now)) {
            part_call(w, job);
            n++;
        }
        if (part_waits(job) && job->deadline < *due) *due = job->deadline;
    }
    return n;
}

bool ap_job_parts_ready(const struct ap_worker *w)
{
    uint64_t now = w->seg->ops->now();

    for (uint32_t i = 0; i < w->job_count; i++)
        if (part_due(&w->jobs[i], now)) return true;
    return false;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

void ap_job_parts_drop(struct ap_job *job)
{
    parts_unwait(job);
    job->marks &= (uint8_t)~AP_JOB_PARTS;
    free(job->parts.joined);
    job->parts.joined = NULL;
}

/* A failure's text is whole as it is, and says more than the beginning of a result. */
int ap_job_parts_finish(struct ap_job *job, int code, uint32_t agent_code, const void *data, size_t size)
{
    struct ap_job_parts *parts = &job->parts;
    int r = parts->broken;

    if (code == 0 && r == 0 && !parts->streams && size > 0) r = part_join(job, parts, data, size);
    if (code == 0 && r < 0) {
        code = r == APIARY_ENOBLOCK ? APIARY_ENORESULT : r;
        ap_job_tell(job, code, 0, NULL, 0);
        ap_job_end(job, code, 0, NULL, 0);
        return r;
    }
    if (code != 0 || parts->streams) return ap_job_end(job, code, agent_code, data, size);
    return ap_job_end(job, 0, 0, parts->joined, parts->size);
}
