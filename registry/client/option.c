/* registry/client/option.c - options by their names, for command lines and configurations: one row for each in carried.def, and the
 * three that a task does not carry. See carried.def and apiary.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/ops.h"
#include "core/sized.h"
#include "core/text.h"
#include "registry/client/option.h"
#include "registry/routing/retry.h"
#include "registry/routing/terms.h"

/* ---- texts ----------------------------------------------------------------------------------------------------- */

static int option_number(const char *text, uint32_t *ret)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n > UINT32_MAX) return -1;
    *ret = (uint32_t)n;
    return 0;
}

static int carried_hops_read(const char *text, uint32_t *ret)
{
    return option_number(text, ret) == 0 && *ret != 0 && *ret != UINT32_MAX && text[0] != '0' ? 0 : -1;
}

static int carried_trace_read(const char *text, apiary_trace_t *ret)
{
    return apiary_trace_parse(text, ret) == 0 ? 0 : -1;
}

static int carried_delay_read(const char *text, uint64_t *ret)
{
    return ap_duration(text, ret);
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

static int retry_ms(const char *text, uint32_t *ret)
{
    uint64_t ns;

    if (ap_duration(text, &ns) != 0 || ns < 1000000 || ns / 1000000 > UINT32_MAX) return -1;
    *ret = (uint32_t)(ns / 1000000);
    return 0;
}

static int retry_part(const char *part, apiary_retry_t *ret)
{
    unsigned i = 0;
    const char *end;
    double factor;

    if (strncmp(part, "backoff=", 8) == 0 && ret->backoff == 0) return retry_ms(part + 8, &ret->backoff);
    if (strncmp(part, "cap=", 4) == 0 && ret->cap == 0) return retry_ms(part + 4, &ret->cap);
    if (strncmp(part, "multiplier=", 11) == 0 && ret->multiplier == 0) {
        factor = ap_decimal(part + 11, &end);
        if (*end != '\0' || factor < 1 || factor > 100) return -1;
        ret->multiplier = (uint32_t)(factor * 100);
        return 0;
    }
    while (i < sizeof ret->never / sizeof ret->never[0] && ret->never[i] != 0) i++;
    if (strncmp(part, "never=", 6) != 0 || i == sizeof ret->never / sizeof ret->never[0]) return -1;
    return option_number(part + 6, &ret->never[i]);
}

static int carried_retry_read(const char *text, apiary_retry_t *ret)
{
    char copy[256], *rest = copy, *part;
    int r;

    if (strlen(text) >= sizeof copy) return -1;
    memcpy(copy, text, strlen(text) + 1);
    part = strsep(&rest, ",");
    r = option_number(part, &ret->max_attempts);
    while (r == 0 && (part = strsep(&rest, ",")) != NULL) r = retry_part(part, ret);
    return r == 0 && ap_retry_possible(ret) ? 0 : -1;
}

static int carried_key_read(const char *text, uint64_t *ret)
{
    *ret = apiary_key(text, strlen(text));
    return *text != '\0' ? 0 : -1;
}

static int carried_dedup_key_read(const char *text, uint64_t *ret)
{
    return carried_key_read(text, ret);
}

static int carried_keep_read(const char *text, uint64_t *ret)
{
    return ap_duration(text, ret);
}

static int carried_schedule_to_start_read(const char *text, uint64_t *ret)
{
    return ap_duration(text, ret);
}

static int carried_start_to_close_read(const char *text, uint64_t *ret)
{
    return ap_duration(text, ret);
}

static int carried_heartbeat_read(const char *text, uint64_t *ret)
{
    return ap_duration(text, ret);
}

static int carried_provider_read(const char *text, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 10);
    return *text >= '1' && *text <= '9' && *end == '\0' && errno == 0 ? 0 : -1;
}

static int carried_priority_read(const char *text, uint64_t *ret)
{
    for (*ret = APIARY_PRIORITY_URGENT; *ret <= APIARY_PRIORITY_LOW; ++*ret)
        if (strcmp(text, ap_priority_name(*ret - 1)) == 0) return 0;
    return -1;
}

static int carried_parent_close_read(const char *text, uint64_t *ret)
{
    for (*ret = APIARY_PARENT_TERMINATE; *ret <= APIARY_PARENT_REQUEST_CANCEL; ++*ret)
        if (ap_option_named(text, ap_parent_close_name(*ret))) return 0;
    return -1;
}

static int carried_hedge_read(const char *text, uint64_t *ret)
{
    if (strcmp(text, "p95") == 0) {
        *ret = APIARY_HEDGE_P95;
        return 0;
    }
    return ap_duration(text, ret) == 0 && *ret > APIARY_HEDGE_P95 ? 0 : -1;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static int timeout_read(const char *text, apiary_delegate_options_t *o)
{
    return ap_duration(text, &o->timeout);
}

static int option_flag(const char *text, uint32_t flag, apiary_delegate_options_t *o)
{
    bool set = strcmp(text, "true") == 0;

    if (!set && strcmp(text, "false") != 0) return -1;
    o->flags = set ? o->flags | flag : o->flags & ~flag;
    return 0;
}

static int wait_for_provider_read(const char *text, apiary_delegate_options_t *o)
{
    return option_flag(text, APIARY_WAIT_FOR_PROVIDER, o);
}

static int probe_read(const char *text, apiary_delegate_options_t *o)
{
    return option_flag(text, APIARY_PROBE, o);
}

/* Nothing is added to the former value. */
#define AP_CARRIED(field, type, ...) \
    static int field##_option(const char *text, apiary_delegate_options_t *o) \
    { \
        type value; \
        memset(&value, 0, sizeof value); \
        if (carried_##field##_read(text, &value) != 0) return -1; \
        o->field = value; \
        return 0; \
    }
#include "registry/client/carried.def"
#undef AP_CARRIED

static const struct {
    const char *name, *what;
    int (*read)(const char *text, apiary_delegate_options_t *o);
    size_t end; /* of its field */
} rows[] = {
#define OPTION_END(field) (offsetof(apiary_delegate_options_t, field) + sizeof((apiary_delegate_options_t *)0)->field)
    {"timeout", "how long all of it may take (250ms, 5s, 2m) [the segment's task_timeout]", timeout_read, OPTION_END(timeout)},
    {"wait-for-provider", "true: it waits for a provider where none is there, until its deadline [false]", wait_for_provider_read,
     OPTION_END(flags)},
    {"probe", "true: it asks whether an agent of the capability goes on, past all bounds, and runs nothing [false]", probe_read,
     OPTION_END(flags)},
#define AP_CARRIED(field, type, option, argument, what) {option, what, field##_option, OPTION_END(field)},
#include "registry/client/carried.def"
#undef AP_CARRIED
};
#define ROWS (sizeof rows / sizeof rows[0])

bool ap_option_named(const char *text, const char *name)
{
    size_t i = 0;

    while (text[i] != '\0' && (text[i] == name[i] || (text[i] == '_' && name[i] == '-'))) i++;
    return text[i] == '\0' && name[i] == '\0';
}

const char *ap_parent_close_name(uint64_t policy)
{
    static const char *const names[] = {[APIARY_PARENT_TERMINATE] = "terminate", [APIARY_PARENT_ABANDON] = "abandon",
                                        [APIARY_PARENT_REQUEST_CANCEL] = "request-cancel"};

    return policy < sizeof names / sizeof names[0] ? names[policy] : NULL;
}

static size_t option_row(const char *name)
{
    size_t i = 0;

    while (i < ROWS && !ap_option_named(name, rows[i].name)) i++;
    return i;
}

const char *apiary_option_name(size_t position)
{
    return position < ROWS ? rows[position].name : NULL;
}

const char *apiary_option_what(const char *name)
{
    size_t i = name != NULL ? option_row(name) : ROWS;

    return i < ROWS ? rows[i].what : NULL;
}

int apiary_option_set(apiary_delegate_options_t *options, const char *name, const char *text)
{
    apiary_delegate_options_t own = {.struct_size = sizeof own};
    size_t i = name != NULL ? option_row(name) : ROWS;
    int r;

    if (options == NULL || name == NULL || text == NULL) return APIARY_EINVAL;
    if (i == ROWS) return APIARY_ENOTSUP;
    r = ap_sized_in(&own, sizeof own, AP_FIRST_DELEGATE_OPTIONS, options, options->struct_size);
    if (r < 0) return r;
    if (rows[i].end > options->struct_size) return APIARY_ENOTSUP;
    if (rows[i].read(text, &own) != 0) return APIARY_EINVAL;
    ap_sized_out(options, options->struct_size, &own, sizeof own);
    return 0;
}
