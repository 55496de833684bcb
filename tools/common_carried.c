/* tools/common_carried.c - what a task carries with it, on the command line and shown. See common_carried.h. */
#include "tools/common_carried.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/ops.h"
#include "registry/routing/retry.h"

static int carried_hops_read(const char *text, uint32_t *ret)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end != '\0' || errno != 0 || n >= UINT32_MAX) return -1;
    *ret = (uint32_t)n;
    return 0;
}

static json_t *carried_hops_json(const uint32_t *hops)
{
    return json_integer(*hops);
}

static int carried_trace_read(const char *text, apiary_trace_t *ret)
{
    return apiary_trace_parse(text, ret) == 0 ? 0 : -1;
}

static json_t *carried_trace_json(const apiary_trace_t *trace)
{
    const apiary_trace_t none = {.flags = 0};
    char text[APIARY_TRACE_TEXT];

    if (memcmp(trace, &none, sizeof none) == 0) return json_null();
    apiary_trace_format(trace, text);
    return json_string(text);
}

static int carried_delay_read(const char *text, uint64_t *ret)
{
    return tool_duration(text, ret);
}

static json_t *carried_delay_json(const uint64_t *delay)
{
    return *delay != 0 ? json_integer((json_int_t)*delay) : json_null();
}

/* "2026-11-29T07:30:00Z", without the Z in this machine's time zone. One that is past is due at once. */
static int carried_due_at_read(const char *text, uint64_t *ret)
{
    struct tm tm = {.tm_isdst = -1};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    uint64_t now = ap_ops_system.realtime(), at;
    time_t seconds;

    if (end == NULL || (*end != '\0' && strcmp(end, "Z") != 0)) return -1;
    seconds = *end == 'Z' ? timegm(&tm) : mktime(&tm);
    if (seconds < 0 || (uint64_t)seconds > UINT64_MAX / 4 / 1000000000) return -1;
    at = (uint64_t)seconds * 1000000000;
    *ret = ap_ops_system.now() + (at > now ? at - now : 0);
    return 0;
}

static json_t *carried_due_at_json(const uint64_t *at)
{
    return *at != 0 ? json_integer((json_int_t)*at) : json_null();
}

static int retry_number(const char *text, uint32_t *ret)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n > UINT32_MAX) return -1;
    *ret = (uint32_t)n;
    return 0;
}

static int retry_ms(const char *text, uint32_t *ret)
{
    uint64_t ns;

    if (tool_duration(text, &ns) != 0 || ns < 1000000 || ns / 1000000 > UINT32_MAX) return -1;
    *ret = (uint32_t)(ns / 1000000);
    return 0;
}

static int retry_part(const char *part, apiary_retry_t *ret)
{
    unsigned i = 0;
    double factor;
    char *end;

    if (strncmp(part, "backoff=", 8) == 0) return retry_ms(part + 8, &ret->backoff);
    if (strncmp(part, "cap=", 4) == 0) return retry_ms(part + 4, &ret->cap);
    if (strncmp(part, "multiplier=", 11) == 0) {
        factor = strtod(part + 11, &end);
        if (part[11] < '0' || part[11] > '9' || *end != '\0' || factor < 1 || factor > 100) return -1;
        ret->multiplier = (uint32_t)(factor * 100);
        return 0;
    }
    while (i < sizeof ret->never / sizeof ret->never[0] && ret->never[i] != 0) i++;
    if (strncmp(part, "never=", 6) != 0 || i == sizeof ret->never / sizeof ret->never[0]) return -1;
    return retry_number(part + 6, &ret->never[i]);
}

static int carried_retry_read(const char *text, apiary_retry_t *ret)
{
    char *copy = tool_strdup(text), *rest = copy, *part = strsep(&rest, ",");
    int r = retry_number(part, &ret->max_attempts);

    while (r == 0 && (part = strsep(&rest, ",")) != NULL) r = retry_part(part, ret);
    free(copy);
    return r == 0 && ap_retry_possible(ret) ? 0 : -1;
}

static json_t *carried_retry_json(const apiary_retry_t *retry)
{
    json_t *never = json_array();

    if (retry->max_attempts <= 1) {
        json_decref(never);
        return json_null();
    }
    for (unsigned i = 0; i < sizeof retry->never / sizeof retry->never[0]; i++)
        if (retry->never[i] != 0) json_array_append_new(never, json_integer(retry->never[i]));
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "max_attempts", (json_int_t)retry->max_attempts, "backoff_ms",
                     (json_int_t)retry->backoff, "multiplier_percent", (json_int_t)retry->multiplier, "cap_ms",
                     (json_int_t)retry->cap, "never", never);
}

static int carried_key_read(const char *text, uint64_t *ret)
{
    *ret = apiary_key(text, strlen(text));
    return *text != '\0' ? 0 : -1;
}

/* Its text is not known: it is a hash. */
static json_t *carried_key_json(const uint64_t *key)
{
    char text[24];

    if (*key == 0) return json_null();
    snprintf(text, sizeof text, "%016llx", (unsigned long long)*key);
    return json_string(text);
}

static int carried_keep_read(const char *text, uint64_t *ret)
{
    return tool_duration(text, ret) == 0 && *ret != 0 ? 0 : -1;
}

static json_t *carried_keep_json(const uint64_t *keep)
{
    return *keep != 0 ? json_integer((json_int_t)*keep) : json_null();
}

static int carried_schedule_to_start_read(const char *text, uint64_t *ret)
{
    return tool_duration(text, ret);
}

static json_t *carried_schedule_to_start_json(const uint64_t *span)
{
    return *span != 0 ? json_integer((json_int_t)*span) : json_null();
}

static int carried_start_to_close_read(const char *text, uint64_t *ret)
{
    return tool_duration(text, ret);
}

static json_t *carried_start_to_close_json(const uint64_t *span)
{
    return *span != 0 ? json_integer((json_int_t)*span) : json_null();
}

static int carried_heartbeat_read(const char *text, uint64_t *ret)
{
    return tool_duration(text, ret);
}

static json_t *carried_heartbeat_json(const uint64_t *span)
{
    return *span != 0 ? json_integer((json_int_t)*span) : json_null();
}

int tool_carried_read(const struct tool *t, const struct tool_usage *usage, const struct tool_carried *texts,
                      apiary_delegate_options_t *o)
{
#define AP_CARRIED(field, type, option, argument, what)                                                            \
    if (texts->field != NULL && carried_##field##_read(texts->field, &o->field) != 0)                              \
        return tool_usage_error(t, usage, "--" option ": '%s' cannot be that; it is %s", texts->field, what);
#include "registry/client/carried.def"
#undef AP_CARRIED
    return TOOL_GO_ON;
}

json_t *tool_carried_json(const struct ap_carried *row)
{
    json_t *o = json_object();

#define AP_CARRIED(field, ...) json_object_set_new(o, #field, carried_##field##_json(&row->field));
#include "registry/client/carried.def"
#undef AP_CARRIED
    return o;
}
