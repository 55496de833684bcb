/* tools/common_carried.c - what a task carries with it, on the command line and shown. See common_carried.h. */
#include "tools/common_carried.h"

#include <errno.h>
#include <stdlib.h>

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
