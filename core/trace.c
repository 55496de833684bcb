/* core/trace.c - a place in a trace as text: the header traceparent of W3C Trace Context, level 1. See apiary.h. */
#include <stdbool.h>
#include <string.h>

#include "core/apiary.h"

static const char digits[] = "0123456789abcdef";

/* `n` bytes from twice as many digits, which are lower case as the standard has it; whether they are not all 0 in *any. */
static bool trace_bytes(const char *text, uint8_t *ret, size_t n, bool *any)
{
    *any = false;
    for (size_t i = 0; i < n; i++) {
        const char *high = text[2 * i] != '\0' ? strchr(digits, text[2 * i]) : NULL;
        const char *low = high != NULL && text[2 * i + 1] != '\0' ? strchr(digits, text[2 * i + 1]) : NULL;

        if (low == NULL) return false;
        ret[i] = (uint8_t)((high - digits) << 4 | (low - digits));
        *any |= ret[i] != 0;
    }
    return true;
}

/* Of a version above 0 the first four fields count, and others may follow. */
int apiary_trace_parse(const char *text, apiary_trace_t *ret)
{
    apiary_trace_t trace = {.flags = 0};
    uint8_t version;
    bool any, trace_any, parent_any;

    if (text == NULL || ret == NULL) return APIARY_EINVAL;
    if (!trace_bytes(text, &version, 1, &any) || version == 0xff || text[2] != '-') return APIARY_EINVAL;
    if (!trace_bytes(text + 3, trace.trace_id, 16, &trace_any) || !trace_any || text[35] != '-') return APIARY_EINVAL;
    if (!trace_bytes(text + 36, trace.parent_id, 8, &parent_any) || !parent_any || text[52] != '-') return APIARY_EINVAL;
    if (!trace_bytes(text + 53, &trace.flags, 1, &any)) return APIARY_EINVAL;
    if (text[55] != '\0' && (version == 0 || text[55] != '-')) return APIARY_EINVAL;
    *ret = trace;
    return 0;
}

static char *trace_digits(char *to, const uint8_t *from, size_t n, char end)
{
    for (size_t i = 0; i < n; i++) {
        *to++ = digits[from[i] >> 4];
        *to++ = digits[from[i] & 15];
    }
    *to++ = end;
    return to;
}

void apiary_trace_format(const apiary_trace_t *trace, char *ret)
{
    const uint8_t version = 0;

    ret = trace_digits(ret, &version, 1, '-');
    ret = trace_digits(ret, trace->trace_id, sizeof trace->trace_id, '-');
    ret = trace_digits(ret, trace->parent_id, sizeof trace->parent_id, '-');
    trace_digits(ret, &trace->flags, 1, '\0');
}
