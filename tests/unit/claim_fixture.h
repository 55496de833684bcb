/* tests/unit/claim_fixture.h - a segment with room for 16 claims, and a clock that the test may put forward. */
#ifndef CLAIM_FIXTURE_H
#define CLAIM_FIXTURE_H

#include "registry_fixture.h"

#include "registry/conflict/conflict.h"
#include "registry/monitor/monitor.h"

static uint64_t ahead;  /* ns, by which the handle's clock is before the machine's */
static uint64_t frozen; /* if it is not 0: before this time, and the machine's clock does not matter */
static struct ap_ops shifted;
static struct ap_segment *seg;

static uint64_t shifted_now(void)
{
    return (frozen != 0 ? frozen : ap_ops_system.now()) + ap_load_relaxed(&ahead);
}

static inline void claim_setup(void)
{
    struct ap_geometry g = small;

    g.claims = 16;
    segment_make(&g);
    client = attach_as("caller");
    seg = client->seg;
    shifted = ap_ops_system;
    shifted.now = shifted_now;
    seg->ops = &shifted;
    ahead = frozen = 0;
}

/* Whatever a test did, the checkers find nothing. */
static void on_finding(void *user, const struct ap_finding *f)
{
    (void)user;
    cr_expect_fail("%s %llu: %s: %s", f->structure, (unsigned long long)f->index, f->rule, f->text);
}

static inline void claim_teardown(void)
{
    struct ap_report report = {.found = on_finding};

    frozen = 0;
    shifted = ap_ops_system;
    shifted.now = shifted_now; /* lanes have joined by it */
    while (ap_reap_asking(seg, client->anchor->lane.index, &ap_registry_hooks) > 0) {}
    ap_check_all(seg, &report);
    fixture_teardown();
}
static int claims_of(apiary_t *a, const char *key, uint64_t ttl, uint32_t policy, uint32_t flags, uint64_t timeout,
                     apiary_claim_t *ret)
{
    const apiary_claim_options_t o = {.struct_size = sizeof o, .policy = policy, .flags = flags, .timeout = timeout};

    *ret = (apiary_claim_t){.struct_size = sizeof *ret};
    return apiary_claim(a, key, ttl, &o, ret);
}

static inline int claims(const char *key, uint64_t ttl, uint32_t policy, apiary_claim_t *ret)
{
    return claims_of(client, key, ttl, policy, 0, 0, ret);
}

static inline apiary_claim_stats_t stats(void)
{
    apiary_claim_stats_t s = {.struct_size = sizeof s};

    cr_assert_eq(apiary_claim_stats(client, &s), 0);
    return s;
}

static inline const char *numbered(unsigned i)
{
    static char text[32];

    snprintf(text, sizeof text, "key-%u", i);
    return text;
}

#endif
