/* agents/kinds/support.c - see support.h. */
#include "agents/kinds/support.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/table.h"
#include "core/text.h"

/* ---- requests ---------------------------------------------------------------------------------------------------- */

bool ap_capability_is(const apiary_job_t *job, const char *name)
{
    const char *capability = apiary_job_capability(job);
    size_t length = strcspn(capability, "@");
    return strlen(name) == length && memcmp(capability, name, length) == 0;
}

json_t *ap_request(apiary_job_t *job)
{
    size_t size;
    const char *body = apiary_job_data(job, &size);
    json_error_t error;
    if (size == 0) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "the request is empty; a JSON object is wanted");
        return NULL;
    }
    json_t *request = json_loadb(body, size, JSON_REJECT_DUPLICATES, &error);
    if (!request && json_error_code(&error) == json_error_numeric_overflow) {
        apiary_job_fail(
            job, AP_CODE_BAD_REQUEST,
            "line %d, column %d: %s; a whole number has 64 bits, any other is a double (up to 1.8e308): send "
            "numbers with more digits as texts",
            error.line, error.column, error.text);
        return NULL;
    }
    if (!request) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "the request is not JSON: line %d, column %d: %s", error.line,
                        error.column, error.text);
        return NULL;
    }
    if (!json_is_object(request)) {
        json_decref(request);
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "the request is JSON, but not an object");
        return NULL;
    }
    return request;
}

static void call_judged(const struct ap_function *function, void *state, apiary_job_t *job)
{
    char wrong[1024];
    json_t *request = ap_request(job);
    if (!request) return;
    const json_t *schema = function->in ? ap_schema(function->in) : NULL;
    int code = schema ? ap_schema_judge(schema, request, wrong, sizeof wrong) : 0;
    if (function->in && !schema)
        ap_out_of_memory(job);
    else if (code != 0)
        apiary_job_fail(job, (uint32_t)code, "%s", wrong);
    else
        function->call(state, job, request);
    json_decref(request);
}

void ap_dispatch(const struct ap_function *table, void *state, apiary_job_t *job)
{
    for (; table->capability; table++) {
        if (!ap_capability_is(job, table->capability)) continue;
        if (table->bytes)
            table->bytes(state, job);
        else
            call_judged(table, state, job);
        return;
    }
    apiary_job_fail(job, AP_CODE_NOT_FOUND,
                    "agent %s is configured for the capability %s, which its kind does not have",
                    apiary_agent_name(apiary_job_agent(job)), apiary_job_capability(job));
}

static bool support_missing(apiary_job_t *job, const char *key, const char *wanted, const json_t *found)
{
    if (found)
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"%s\" is not %s", key, wanted);
    else
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"%s\" is missing; %s is wanted", key, wanted);
    return false;
}

bool ap_need_text(apiary_job_t *job, const json_t *request, const char *key, const char **ret)
{
    const json_t *value = json_object_get(request, key);
    if (!json_is_string(value)) return support_missing(job, key, "a text", value);
    *ret = json_string_value(value);
    return true;
}

bool ap_need_number(apiary_job_t *job, const json_t *request, const char *key, double *ret)
{
    const json_t *value = json_object_get(request, key);
    if (!json_is_number(value)) return support_missing(job, key, "a number", value);
    *ret = json_number_value(value);
    return true;
}

bool ap_need_array(apiary_job_t *job, const json_t *request, const char *key, size_t most, const json_t **ret)
{
    const json_t *value = json_object_get(request, key);
    if (!json_is_array(value)) return support_missing(job, key, "a list", value);
    if (json_array_size(value) > most) {
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "\"%s\" has %zu items; at most %zu are allowed", key,
                        json_array_size(value), most);
        return false;
    }
    *ret = value;
    return true;
}

bool ap_need_object(apiary_job_t *job, const json_t *request, const char *key, const json_t **ret)
{
    const json_t *value = json_object_get(request, key);
    if (!json_is_object(value)) return support_missing(job, key, "an object", value);
    *ret = value;
    return true;
}

bool ap_may_text(apiary_job_t *job, const json_t *request, const char *key, const char **ret)
{
    return !json_object_get(request, key) || ap_need_text(job, request, key, ret);
}

bool ap_may_integer(apiary_job_t *job, const json_t *request, const char *key, int64_t min, int64_t max, int64_t *ret)
{
    const json_t *value = json_object_get(request, key);
    if (!value) return true;
    if (!json_is_integer(value)) return support_missing(job, key, "a whole number", value);
    if (json_integer_value(value) < min || json_integer_value(value) > max) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"%s\" is %lld; %lld to %lld is allowed", key,
                        (long long)json_integer_value(value), (long long)min, (long long)max);
        return false;
    }
    *ret = json_integer_value(value);
    return true;
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

void ap_out_of_memory(apiary_job_t *job)
{
    apiary_job_fail(job, AP_CODE_INTERNAL, "out of memory");
}

/* Requests and answers have blocks of the same sizes: what is no larger than the request needs no look. */
bool ap_answer_fits(apiary_job_t *job, size_t size)
{
    size_t request;
    void *unused;
    apiary_job_data(job, &request);
    return size <= request || apiary_job_reserve(job, size, &unused) != APIARY_ETOOLARGE;
}

void ap_reply(apiary_job_t *job, json_t *reply)
{
    char *text = ap_json_text(reply);
    json_decref(reply);
    if (text)
        apiary_job_reply(job, text, strlen(text));
    else
        ap_out_of_memory(job);
    free(text);
}

void ap_answer(apiary_job_t *job, const char *format, ...)
{
    json_error_t error;
    va_list args;
    va_start(args, format);
    json_t *reply = json_vpack_ex(&error, 0, format, args);
    va_end(args);
    if (reply || json_error_code(&error) == json_error_out_of_memory ||
        json_error_code(&error) == json_error_null_value)
        ap_reply(job, reply); /* a value that is NULL could not be made */
    else if (json_error_code(&error) == json_error_numeric_overflow)
        apiary_job_fail(
            job, AP_CODE_BAD_REQUEST,
            "a number of the answer is out of range (beyond 1.8e308, or divided by zero): the request's numbers "
            "are too large, or too small, for this");
    else if (json_error_code(&error) == json_error_invalid_utf8)
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "a text of the answer would not be UTF-8");
    else
        apiary_job_fail(job, AP_CODE_INTERNAL, "the answer cannot be made: %s", error.text);
}

bool ap_finite(apiary_job_t *job, double value, const char *what)
{
    if (isfinite(value)) return true;
    apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                    "%s is out of range (beyond 1.8e308): the request's numbers are too large", what);
    return false;
}

void ap_fail_upstream(apiary_job_t *job, const char *capability, int error)
{
    uint32_t code = error == APIARY_ETIMEDOUT ? AP_CODE_TIMEOUT : AP_CODE_UPSTREAM;
    apiary_job_fail(job, code, "delegating %s: %s (%s)", capability, apiary_strerror(error), apiary_error_name(error));
}

int ap_refuse_item(apiary_agent_t *agent, const char *key, const char *text, const char *why)
{
    apiary_agent_log(agent, 3, "%s: \"%s\" %s", key, AP_SHOWN(text, 200), why);
    return APIARY_ECONFIG;
}

int ap_create_plain(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

/* ---- slices ------------------------------------------------------------------------------------------------------ */

struct slices {
    apiary_agent_t *agent;
    apiary_job_t *job;
    ap_slice_fn step;
    ap_slices_end_fn end;
    void *user;
    apiary_watch_t *pause;
};

static void end_slices(struct slices *s, bool over)
{
    struct slices at = *s;
    apiary_agent_free(at.agent, s);
    at.end(at.user, over);
}

static void on_slice(void *user, uint32_t events);

/* false: the job is failed. */
static bool next_slice(struct slices *s)
{
    if (apiary_job_cancelled(s->job)) {
        uint32_t code = ap_time_left(s->job, 1) == 0 ? AP_CODE_TIMEOUT : AP_CODE_CANCELLED;
        apiary_job_fail(s->job, code, "stopped before the end: %s",
                        code == AP_CODE_TIMEOUT ? "there is no time left" : "the task was cancelled");
        return false;
    }
    if (apiary_watch_timer(s->agent, 0, on_slice, s, &s->pause) == 0) return true;
    ap_out_of_memory(s->job);
    return false;
}

static void on_slice(void *user, uint32_t events)
{
    struct slices *s = user;
    (void)events;
    apiary_watch_close(s->pause);
    if (!s->step(s->user))
        end_slices(s, true);
    else if (!next_slice(s))
        end_slices(s, false);
}

void ap_slices(apiary_job_t *job, ap_slice_fn step, ap_slices_end_fn end, void *user)
{
    apiary_agent_t *agent = apiary_job_agent(job);
    if (!step(user)) {
        end(user, true);
        return;
    }
    struct slices *s = apiary_agent_alloc(agent, sizeof *s);
    if (!s) {
        ap_out_of_memory(job);
        end(user, false);
        return;
    }
    *s = (struct slices){.agent = agent, .job = job, .step = step, .end = end, .user = user};
    if (!next_slice(s)) end_slices(s, false);
}

/* ---- bytes, time ------------------------------------------------------------------------------------------------- */

bool ap_bytes_reserve(struct ap_bytes *b, size_t more)
{
    if (more <= b->capacity - b->size) return true;
    if (more > SIZE_MAX / 4 || b->size > SIZE_MAX / 4) return false;
    size_t capacity = b->capacity ? b->capacity : 512;
    while (capacity - b->size < more)
        capacity *= 2;
    char *data = apiary_agent_resize(b->agent, b->data, capacity);
    if (!data) return false;
    b->data = data;
    b->capacity = capacity;
    return true;
}

bool ap_bytes_add(struct ap_bytes *b, const void *data, size_t size)
{
    if (!ap_bytes_reserve(b, size)) return false;
    if (size > 0) memcpy(b->data + b->size, data, size);
    b->size += size;
    return true;
}

bool ap_bytes_text(struct ap_bytes *b, const char *text)
{
    return ap_bytes_add(b, text, strlen(text));
}

void ap_bytes_free(struct ap_bytes *b)
{
    apiary_agent_free(b->agent, b->data);
    b->data = NULL;
    b->size = b->capacity = 0;
}

char *ap_copy_text(apiary_agent_t *agent, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = apiary_agent_alloc(agent, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

uint64_t ap_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t ap_time_left(const apiary_job_t *job, uint64_t most)
{
    uint64_t deadline = apiary_job_deadline(job), now;
    if (deadline == APIARY_FOREVER) return most;
    now = ap_now();
    if (deadline <= now) return 0;
    return deadline - now < most ? deadline - now : most;
}

void ap_hex(const unsigned char *bytes, size_t size, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        ret[2 * i] = digits[bytes[i] >> 4];
        ret[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret[2 * size] = '\0';
}

void ap_sha256_hex(const void *bytes, size_t size, char ret[65])
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, bytes, size);
    ap_hex(digest, sizeof digest, ret);
}
