/* tools/common/carried.c - what a task carries with it, on the command line and shown. See carried.h. */
#include "tools/common/carried.h"

#include <string.h>

#include "registry/client/option.h"
#include "registry/routing/terms.h"

static json_t *carried_hops_json(const uint32_t *hops)
{
    return json_integer(*hops);
}

static json_t *carried_trace_json(const apiary_trace_t *trace)
{
    const apiary_trace_t none = {.flags = 0};
    char text[APIARY_TRACE_TEXT];

    if (memcmp(trace, &none, sizeof none) == 0) return json_null();
    apiary_trace_format(trace, text);
    return json_string(text);
}

static json_t *carried_delay_json(const uint64_t *delay)
{
    return *delay != 0 ? json_integer((json_int_t)*delay) : json_null();
}

static json_t *carried_due_at_json(const uint64_t *at)
{
    return *at != 0 ? json_integer((json_int_t)*at) : json_null();
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

/* Its text is not known: it is a hash. */
static json_t *carried_key_json(const uint64_t *key)
{
    char text[24];

    if (*key == 0) return json_null();
    snprintf(text, sizeof text, "%016llx", (unsigned long long)*key);
    return json_string(text);
}

static json_t *carried_keep_json(const uint64_t *keep)
{
    return *keep != 0 ? json_integer((json_int_t)*keep) : json_null();
}

static json_t *carried_schedule_to_start_json(const uint64_t *span)
{
    return *span != 0 ? json_integer((json_int_t)*span) : json_null();
}

static json_t *carried_start_to_close_json(const uint64_t *span)
{
    return *span != 0 ? json_integer((json_int_t)*span) : json_null();
}

static json_t *carried_heartbeat_json(const uint64_t *span)
{
    return *span != 0 ? json_integer((json_int_t)*span) : json_null();
}

static json_t *carried_priority_json(const uint64_t *priority)
{
    const char *name = *priority != 0 ? ap_priority_name(*priority - 1) : NULL;

    return name != NULL ? json_string(name) : json_null();
}

static json_t *carried_parent_close_json(const uint64_t *policy)
{
    const char *name = ap_parent_close_name(*policy);

    return name != NULL ? json_string(name) : json_null();
}

static json_t *carried_hedge_json(const uint64_t *hedge)
{
    if (*hedge == APIARY_HEDGE_P95) return json_string("p95");
    return *hedge != 0 ? json_integer((json_int_t)*hedge) : json_null();
}

static json_t *carried_dedup_key_json(const uint64_t *key)
{
    return carried_key_json(key);
}

static json_t *carried_provider_json(const uint64_t *provider)
{
    return *provider != 0 ? json_integer((json_int_t)*provider) : json_null();
}

int tool_carried_read(const struct tool *t, const struct tool_usage *usage, const struct tool_carried *texts,
                      apiary_delegate_options_t *o)
{
#define AP_CARRIED(field, type, option, argument, what)                                                            \
    if (texts->field != NULL && apiary_option_set(o, option, texts->field) != 0)                                   \
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
    json_t *other = row->other != 0 ? json_pack("{s:i, s:I}", "slot", (int)AP_REF_SLOT(row->other), "generation",
                                                (json_int_t)AP_REF_GENERATION(row->other))
                                    : json_null();
    json_object_set_new(o, "other_copy", other);
    return o;
}
