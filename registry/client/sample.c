/* registry/client/sample.c - head sampling. See sample.h. */
#include "registry/client/sample.h"

#include <string.h>
#include <sys/random.h>

void ap_sample_begin(struct ap_lane_context *c)
{
    uint64_t one_in = c->client->seg->geometry.trace_one_in, random = 0;

    c->until_sample = UINT64_MAX;
    if (one_in == 0) return;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) random = one_in - 1;
    c->until_sample = 1 + random % (2 * one_in - 1);
}

static bool sample_may(const struct ap_lane_context *c, const apiary_delegate_options_t *o)
{
    static const uint8_t none[sizeof o->trace.trace_id];

    if (c->sake != 0 || c->bond != NULL || c->again != NULL) return false;
    if (o == NULL) return true;
    return o->struct_size == sizeof *o && memcmp(o->trace.trace_id, none, sizeof none) == 0 && (o->flags & APIARY_PROBE) == 0;
}

bool ap_sample(struct ap_lane_context *c, const apiary_delegate_options_t *from, apiary_delegate_options_t *ret)
{
    apiary_trace_t trace = {.flags = APIARY_TRACE_SAMPLED};

    if (!sample_may(c, from)) {
        c->until_sample = 1; /* the next one */
        return false;
    }
    ap_sample_begin(c);
    if (getrandom(trace.trace_id, sizeof trace.trace_id, GRND_NONBLOCK) != (ssize_t)sizeof trace.trace_id) return false;
    if (getrandom(trace.parent_id, sizeof trace.parent_id, GRND_NONBLOCK) != (ssize_t)sizeof trace.parent_id) return false;
    trace.trace_id[0] |= 1; /* neither may be all zeros */
    trace.parent_id[0] |= 1;
    *ret = from != NULL ? *from : (apiary_delegate_options_t){.struct_size = sizeof *ret};
    ret->trace = trace;
    return true;
}
