/* agents/kinds/support.h - shared by the built-in agent kinds: failure numbers, JSON in and out, growing buffers.
 *
 * 1 A kind gives a table of its functions (table.h). ap_dispatch finds the function by the job's capability ("name@major" counts as
 *   "name"), parses the request and judges it by its schema. It fails the job with a sentence when that is impossible.
 * 2 Every function below that fails a job says so in its return value; the caller just returns.
 * 3 Worker's thread only.
 */
#ifndef AP_KINDS_SUPPORT_H
#define AP_KINDS_SUPPORT_H

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agents/kinds/json.h"
#include "core/apiary/agent.h"
#include "core/must_check.h"

/* agent_code of a failed job. The numbers are HTTP's, because they are well known; the exec kind uses the shell's instead. */
enum ap_code {
    AP_CODE_BAD_REQUEST = 400,
    AP_CODE_FORBIDDEN = 403,
    AP_CODE_NOT_FOUND = 404,
    AP_CODE_CONFLICT = 409,
    AP_CODE_TOO_LARGE = 413,
    AP_CODE_CANCELLED = 499,
    AP_CODE_INTERNAL = 500,
    AP_CODE_UPSTREAM = 502,
    AP_CODE_TIMEOUT = 504,
    AP_CODE_FULL = 507,
};

/* For the bounds of a kind's keys, in ns. */
#define AP_MS INT64_C(1000000)
#define AP_DAY (24 * 3600 * 1000 * AP_MS)

struct ap_function; /* table.h */
/* The request of `call` must be a JSON object that its schema allows; it lives until `call` returns (json_incref keeps it
 * longer). */
void ap_dispatch(const struct ap_function *table, void *state, apiary_job_t *job);
bool ap_capability_is(const apiary_job_t *job, const char *name);
/* The request as a JSON object, owned by the caller. NULL: it is not one, and the job is failed. */
json_t *ap_request(apiary_job_t *job);

/* Replies with the value that json_pack makes of the format. If it cannot make one, the job is failed with the reason: a number
 * that is not one or out of range, a text that is not UTF-8, no memory. */
void ap_answer(apiary_job_t *job, const char *format, ...);
/* Replies with an existing value, and takes the reference. NULL: out of memory. */
void ap_reply(apiary_job_t *job, json_t *reply);
/* false: `value` is infinite or not a number, and the job is failed with "WHAT is out of range". Call it before a number goes
 * into a list: a list drops values that JSON cannot hold. */
AP_MUST_CHECK bool ap_finite(apiary_job_t *job, double value, const char *what);
/* Before something is kept that is to be answered later: whether there can be an answer of so many bytes at all. False only if no
 * block is ever so large, not because none is free at the moment. */
AP_MUST_CHECK bool ap_answer_fits(apiary_job_t *job, size_t size);
void ap_out_of_memory(apiary_job_t *job);
/* Fails the job because a delegation was refused or failed (an apiary_error). */
void ap_fail_upstream(apiary_job_t *job, const char *capability, int error);

/* A member of a request. false: it is absent or of another type, and the job is failed with a sentence that names the member and
 * the type. The texts live as long as the request. */
AP_MUST_CHECK bool ap_need_text(apiary_job_t *job, const json_t *request, const char *key, const char **ret);
AP_MUST_CHECK bool ap_need_number(apiary_job_t *job, const json_t *request, const char *key, double *ret);
AP_MUST_CHECK bool ap_need_array(apiary_job_t *job, const json_t *request, const char *key, size_t most, const json_t **ret);
AP_MUST_CHECK bool ap_need_object(apiary_job_t *job, const json_t *request, const char *key, const json_t **ret);
/* The same for optional members: *ret is left alone when the member is absent. */
AP_MUST_CHECK bool ap_may_text(apiary_job_t *job, const json_t *request, const char *key, const char **ret);
AP_MUST_CHECK
bool ap_may_integer(apiary_job_t *job, const json_t *request, const char *key, int64_t min, int64_t max, int64_t *ret);

/* Logs why an agent is not made: `text` in the list `key` "is ..." or "is not ..." (`why`). Returns APIARY_ECONFIG, for create to
 * return. */
int ap_refuse_item(apiary_agent_t *agent, const char *key, const char *text, const char *why);

/* Work that takes long, in slices: `step` works for a millisecond or two (AP_SLICE steps of a few ns) and says whether there is
 * more; between two of them the worker looks at its other tasks. Then `end`, which frees `user`: over says that all is done and the
 * job is to be answered; else the job has been failed, because it was cancelled, has no time left, or there was no memory. Work of
 * one slice is over before this returns. */
#define AP_SLICE 1000000u
typedef bool (*ap_slice_fn)(void *user);
typedef void (*ap_slices_end_fn)(void *user, bool over);
void ap_slices(apiary_job_t *job, ap_slice_fn step, ap_slices_end_fn end, void *user);

/* For kinds without state of their own: the state is the agent. */
AP_MUST_CHECK int ap_create_plain(apiary_agent_t *agent, void **state);

/* A buffer on the agent's heap. Zero it and set agent; ap_bytes_free at the end. */
struct ap_bytes {
    apiary_agent_t *agent;
    char *data;
    size_t size, capacity;
};
AP_MUST_CHECK bool ap_bytes_reserve(struct ap_bytes *b, size_t more); /* room for `more` bytes after size; false: out of memory */
AP_MUST_CHECK bool ap_bytes_add(struct ap_bytes *b, const void *data, size_t size);
AP_MUST_CHECK bool ap_bytes_text(struct ap_bytes *b, const char *text);
void ap_bytes_free(struct ap_bytes *b);

char *ap_copy_text(apiary_agent_t *agent, const char *text); /* NULL: out of memory */
uint64_t ap_now(void);                                       /* CLOCK_MONOTONIC, ns */
/* The time until the job's deadline, at most `most`; 0 when it has passed. */
uint64_t ap_time_left(const apiary_job_t *job, uint64_t most);
void ap_hex(const unsigned char *bytes, size_t size, char *ret); /* ret: 2 * size + 1 */
void ap_sha256_hex(const void *bytes, size_t size, char ret[65]);

#endif
