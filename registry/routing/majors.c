/* registry/routing/majors.c - what a name without a major means. See majors.h. */
#include "registry/routing/majors.h"

#include <string.h>

#include "registry/routing/terms.h"

void ap_majors_begin(struct ap_majors *all, const struct ap_segment *seg, uint32_t capability)
{
    all->seg = seg;
    all->capability = capability;
    all->count = 0;
    ap_capability_name(seg, capability, all->name);
}

/* The major of another capability, if it is the name with one; else 0. */
static uint32_t major_of(const struct ap_majors *all, uint32_t other)
{
    char text[APIARY_CAPABILITY_MAX + 1];
    uint32_t major = 0;
    size_t length = strlen(all->name);

    ap_capability_name(all->seg, other, text);
    if (strncmp(text, all->name, length) != 0 || text[length] != '@') return 0;
    for (const char *at = text + length + 1; *at >= '0' && *at <= '9' && major <= UINT16_MAX; at++)
        major = major * 10 + (uint32_t)(*at - '0');
    return major <= UINT16_MAX ? major : 0;
}

/* The newest of an agent's majors, and its row. */
static uint32_t major_find(const struct ap_majors *all, const struct ap_agent_record *agent, int *ret_row)
{
    uint32_t count = ap_load_relaxed(&agent->capability_count), newest = 0;

    *ret_row = -1;
    for (uint32_t i = 0; i < count && i < AP_AGENT_CAPABILITIES; i++) {
        uint32_t row = ap_load_relaxed(&agent->capabilities[i]), major = major_of(all, row);

        if (major <= newest) continue;
        newest = major;
        *ret_row = (int)row;
    }
    return newest;
}

uint32_t ap_major_newest(const struct ap_majors *all, const struct ap_agent_record *agent)
{
    int row;

    return major_find(all, agent, &row);
}

int ap_major_row(const struct ap_majors *all, const struct ap_agent_record *agent)
{
    int row;

    major_find(all, agent, &row);
    return row;
}

static void major_add(struct ap_majors *all, struct ap_major one)
{
    uint64_t percent;
    uint32_t at = 0;

    while (at < all->count && all->list[at].major > one.major) at++;
    if (at < all->count && all->list[at].major == one.major) {
        all->list[at].well |= one.well;
        return;
    }
    if (at == AP_MAJORS_SEEN) return;
    if (all->count == AP_MAJORS_SEEN) all->count--;
    memmove(&all->list[at + 1], &all->list[at], (all->count - at) * sizeof one);
    one.canary = one.major != 0 && ap_term_read(all->seg, one.capability, AP_TERM_canary, &percent);
    one.percent = one.canary ? (uint32_t)percent : 0;
    all->list[at] = one;
    all->count++;
}

void ap_majors_add(struct ap_majors *all, const struct ap_agent_record *agent, bool well)
{
    uint32_t count = ap_load_relaxed(&agent->capability_count);
    bool plain = true;

    for (uint32_t i = 0; i < count && i < AP_AGENT_CAPABILITIES; i++) {
        uint32_t other = ap_load_relaxed(&agent->capabilities[i]);
        uint32_t major = major_of(all, other);

        if (major == 0) continue;
        plain = false;
        major_add(all, (struct ap_major){.major = major, .capability = other, .well = well});
    }
    if (plain) major_add(all, (struct ap_major){.major = 0, .capability = all->capability, .well = well});
}

/* One that passes comes before one that does not, one without a canary before one that has it, a canary of nothing last. */
static uint32_t major_rank(const struct ap_major *v)
{
    return (v->well ? 4u : 0) + (v->canary ? 0 : 2u) + (v->percent > 0 ? 1u : 0);
}

int ap_majors_choose(const struct ap_majors *all, uint64_t bare, uint32_t drawn)
{
    uint32_t part = 0;
    int best = -2;

    if (bare == AP_BARE_ANY) return -1;
    for (uint32_t i = 0; i < all->count; i++) {
        const struct ap_major *v = &all->list[i];

        if (v->canary && v->well) part += v->percent;
        if (drawn < part) return (int)i;
    }
    for (uint32_t i = 0; i < all->count; i++) {
        const struct ap_major *v = &all->list[i];

        if (bare != AP_BARE_NEWEST && v->major != bare - AP_BARE_MAJOR(0)) continue;
        if (best < 0 || major_rank(v) > major_rank(&all->list[best])) best = (int)i;
    }
    return best;
}
