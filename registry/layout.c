/* registry/layout.c - the registry's sections: their sizes, their part of the fingerprint, create and attach. */
#include <stdio.h>
#include <string.h>

#include "core/name.h"
#include "registry/admission.h"
#include "registry/discovery.h"

#define SECTIONS (AP_REGISTRY_SECTIONS_END - AP_SECTION_FIRST_FREE)

_Static_assert(sizeof(struct ap_service) == 64, "service: one line");
_Static_assert(offsetof(struct ap_swarm, beat) == 64, "the beat has a line of its own");
_Static_assert(offsetof(struct ap_swarm, instance) == 128, "swarm: two lines, then texts");
_Static_assert(sizeof(struct ap_swarm) == 576, "swarm: whole lines, nothing behind the reason");
_Static_assert(AP_REASON_MAX == 6 * AP_REASON_WORDS, "six bytes a word");
_Static_assert(sizeof(struct ap_agent_record) == 128, "agent: two lines");
_Static_assert(offsetof(struct ap_capability, providers) == 16, "capability: bits, then its name, are in whole words");
_Static_assert(offsetof(struct ap_service, name) % 8 == 0, "names are copied word by word");
_Static_assert((APIARY_CAPABILITY_MAX + 1) % 8 == 0 && (APIARY_NAME_MAX + 1) % 8 == 0, "names are whole words");

#define FIELD(type, field) {#type "." #field, offsetof(struct type, field), sizeof(((struct type *)0)->field)}

static const struct {
    const char *name;
    uint32_t offset, size;
} fields[] = {
    FIELD(ap_service, key), FIELD(ap_service, life), FIELD(ap_service, name),
    FIELD(ap_swarm, life), FIELD(ap_swarm, state), FIELD(ap_swarm, service),
    FIELD(ap_swarm, member), FIELD(ap_swarm, port), FIELD(ap_swarm, max_delegations), FIELD(ap_swarm, registered),
    FIELD(ap_swarm, leaving),
    FIELD(ap_swarm, key), FIELD(ap_swarm, mode), FIELD(ap_swarm, beat), FIELD(ap_swarm, instance), FIELD(ap_swarm, version),
    FIELD(ap_swarm, health_endpoint), FIELD(ap_swarm, metrics_endpoint), FIELD(ap_swarm, reason),
    FIELD(ap_agent_record, swarm), FIELD(ap_agent_record, capability_count), FIELD(ap_agent_record, capabilities),
    FIELD(ap_agent_record, name),
    FIELD(ap_capability, key), FIELD(ap_capability, ready),
    FIELD(ap_capability, providers[0]),
};

static uint64_t fingerprint(void)
{
    uint64_t sum = ap_hash("registry", 8);

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        char text[96];
        int n = snprintf(text, sizeof text, "%016llx %s %u %u", (unsigned long long)sum, fields[i].name, fields[i].offset,
                         fields[i].size);
        sum = ap_hash(text, (size_t)n);
    }
    return sum;
}

static uint64_t lines(uint64_t bytes)
{
    return (bytes + AP_LINE - 1) / AP_LINE * AP_LINE;
}

static void section(struct ap_section *ret, const char *name, uint64_t stride, uint64_t count)
{
    memset(ret, 0, sizeof *ret);
    snprintf(ret->name, sizeof ret->name, "%s", name);
    ret->stride = stride;
    ret->count = count;
}

/* In the order of enum ap_registry_section. */
static void sections_of(const struct ap_geometry *g, uint64_t services, uint64_t swarms, uint64_t capabilities,
                        struct ap_section ret[SECTIONS])
{
    section(&ret[0], "services", sizeof(struct ap_service), services);
    section(&ret[1], "tickets", lines(4ull * g->max_concurrent_delegations), services);
    section(&ret[2], "swarms", sizeof(struct ap_swarm), swarms);
    section(&ret[3], "agents", sizeof(struct ap_agent_record), g->queues);
    section(&ret[4], "capabilities",
            lines(sizeof(struct ap_capability) + ap_provider_words(g->queues) * 8 + APIARY_CAPABILITY_MAX + 1), capabilities);
}

static int in_range(const char *what, uint32_t value, uint32_t min, uint32_t max, char *message, size_t size)
{
    if (value >= min && value <= max) return 0;
    if (message != NULL)
        snprintf(message, size, "%s: %u is out of range; allowed: %u to %u", what, value, min, max);
    return APIARY_EINVAL;
}

int ap_registry_create(const struct ap_registry_options *options, char *message, size_t size, struct ap_segment **ret)
{
    struct ap_segment_options segment = options->segment;
    struct ap_section extra[SECTIONS];
    uint32_t services = options->services != 0 ? options->services : 64;
    uint32_t swarms = options->swarms != 0 ? options->swarms : 64;
    uint32_t capabilities = options->capabilities != 0 ? options->capabilities : 1024;
    int r = ap_geometry_normalise(&segment.geometry, message, size);

    if (r == 0) r = in_range("services", services, 1, 4096, message, size);
    if (r == 0) r = in_range("swarms", swarms, 1, 4096, message, size);
    if (r == 0) r = in_range("capabilities", capabilities, 2, 32768, message, size);
    if (r < 0) return r;
    if ((capabilities & (capabilities - 1)) != 0) {
        if (message != NULL)
            snprintf(message, size, "capabilities: %u is not a power of two; for example %u would be", capabilities,
                     1u << (32 - __builtin_clz(capabilities)));
        return APIARY_EINVAL;
    }
    sections_of(&segment.geometry, services, swarms, capabilities, extra);
    segment.extra = extra;
    segment.extra_count = SECTIONS;
    segment.extra_fingerprint = fingerprint();
    /* A new segment is all zeros, which is an empty registry. */
    return ap_segment_create(&segment, NULL, message, size, ret);
}

/* shm/ has checked that the sections lie in the segment; here, that they are the registry's and large enough. */
static int sections_judge(const struct ap_segment *seg)
{
    const struct ap_section *s = &seg->sections[AP_SECTION_SERVICES];
    struct ap_section own[SECTIONS];

    if (seg->section_count != AP_REGISTRY_SECTIONS_END) return APIARY_ECORRUPT;
    sections_of(&seg->geometry, s[0].count, s[2].count, s[4].count, own);
    for (unsigned i = 0; i < SECTIONS; i++)
        if (memcmp(own[i].name, s[i].name, sizeof own[i].name) != 0 || own[i].stride != s[i].stride ||
            own[i].count != s[i].count)
            return APIARY_ECORRUPT;
    if (s[0].count == 0 || s[0].count > 4096 || s[2].count == 0 || s[2].count > 4096) return APIARY_ECORRUPT;
    if (s[4].count == 0 || s[4].count > 32768 || (s[4].count & (s[4].count - 1)) != 0) return APIARY_ECORRUPT;
    return 0;
}

static int attached(struct ap_segment *seg, char *message, size_t size, struct ap_segment **ret)
{
    int r = sections_judge(seg);

    if (r < 0) {
        if (message != NULL)
            snprintf(message, size, "%.63s: the registry's sections contradict the geometry; look with 'shmdump --verify', "
                                    "then recreate the segment", seg->header->name);
        ap_segment_unmap(seg);
        return r;
    }
    *ret = seg;
    return 0;
}

int ap_registry_attach(const char *name, bool writable, char *message, size_t size, struct ap_segment **ret)
{
    struct ap_segment *seg;
    int r = ap_segment_attach(name, writable, fingerprint(), message, size, &seg);

    return r < 0 ? r : attached(seg, message, size, ret);
}

int ap_registry_attach_fd(int fd, bool writable, char *message, size_t size, struct ap_segment **ret)
{
    struct ap_segment *seg;
    int r = ap_segment_attach_fd(fd, writable, fingerprint(), message, size, &seg);

    return r < 0 ? r : attached(seg, message, size, ret);
}

/* ---- for tools that read what attach refuses ------------------------------------------------------------------ */

uint64_t ap_registry_fingerprint(void)
{
    return ap_layout_fingerprint(fingerprint());
}

bool ap_registry_fits(const struct ap_segment *seg)
{
    return sections_judge(seg) == 0;
}

static void section_found(struct ap_report *report, unsigned i, size_t field, const char *what, uint64_t value, uint64_t expected)
{
    uint32_t number = AP_SECTION_SERVICES + i;

    ap_found(report, AP_CORRUPT, "section", number,
             offsetof(struct ap_header, sections) + number * sizeof(struct ap_section) + field, "S6", "%s %llu, not %llu", what,
             (unsigned long long)value, (unsigned long long)expected);
}

void ap_registry_sections_check(const struct ap_segment *seg, struct ap_report *report)
{
    struct ap_section s[SECTIONS], own[SECTIONS];
    uint64_t most[SECTIONS] = {4096, 4096, 4096, UINT64_MAX, 32768};

    memcpy(s, (const void *)&seg->header->sections[AP_SECTION_SERVICES], sizeof s);
    sections_of(&seg->geometry, s[0].count, s[2].count, s[4].count, own);
    for (unsigned i = 0; i < SECTIONS; i++) {
        report->checked += 3;
        if (memcmp(s[i].name, own[i].name, sizeof s[i].name) != 0)
            section_found(report, i, offsetof(struct ap_section, name), "called by the number", s[i].name[0], own[i].name[0]);
        if (s[i].stride != own[i].stride)
            section_found(report, i, offsetof(struct ap_section, stride), "stride", s[i].stride, own[i].stride);
        if (s[i].count != own[i].count || s[i].count == 0 || s[i].count > most[i])
            section_found(report, i, offsetof(struct ap_section, count), "count", s[i].count, own[i].count);
    }
    if (s[0].count != s[1].count) section_found(report, 0, offsetof(struct ap_section, count), "count", s[0].count, s[1].count);
    if ((s[4].count & (s[4].count - 1)) != 0)
        section_found(report, 4, offsetof(struct ap_section, count), "count is no power of two:", s[4].count, 0);
}
