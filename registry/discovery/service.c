/* registry/discovery/service.c - the names of services, read. See registry.h. */
#include "registry/discovery/service.h"

#include "core/name.h"

bool ap_service_is(const struct ap_service *s, uint64_t key, const char *name, uint32_t accept, uint64_t *ret)
{
    char text[APIARY_NAME_MAX + 1];

    for (int tries = 0; tries < AP_SERVICE_TRIES; tries++) {
        uint64_t life = ap_load_acquire(&s->life); /* NAME-A1 pairs NAME-R1 */

        if (AP_SERVICE_STATE(life) > AP_SERVICE_CONDEMNED || (accept >> AP_SERVICE_STATE(life) & 1) == 0) return false;
        if (ap_load_relaxed(&s->key) != key) return false;
        *ret = ap_service_read(s, text);
        if (*ret == life) return strcmp(text, name) == 0;
    }
    return false;
}

int ap_service_lookup(const struct ap_segment *seg, const char *name, uint64_t *ret)
{
    uint64_t key = ap_hash(name, strlen(name));

    for (uint32_t i = 0; i < ap_service_count(seg); i++)
        if (ap_service_is(ap_service_at(seg, i), key, name, AP_SERVICE_ACCEPT_NAMED, ret)) return (int)i;
    return -1;
}

int ap_service_find(const struct ap_segment *seg, const char *name)
{
    uint64_t life;

    return ap_name_valid(name, APIARY_NAME_MAX) ? ap_service_lookup(seg, name, &life) : -1;
}

void ap_service_name(const struct ap_segment *seg, uint32_t service, char ret[APIARY_NAME_MAX + 1])
{
    const struct ap_service *s = ap_service_at(seg, service);

    for (int tries = 0; s != NULL && tries < AP_SERVICE_TRIES; tries++)
        if (__builtin_expect(ap_service_named(ap_service_read(s, ret)), 1)) return;
    memset(ret, 0, APIARY_NAME_MAX + 1);
}

/* ---- who calls for how many -------------------------------------------------------------------------------------- */

static bool same_process(const struct ap_member *m, const struct ap_member *own)
{
    return m->pid == own->pid && m->start_time == own->start_time && m->pid_namespace == own->pid_namespace;
}

static bool in_share(const struct ap_segment *seg, const struct ap_member *own)
{
    uint64_t most = (uint64_t)ap_service_count(seg) * seg->geometry.member_share / 100;
    struct ap_member m, other;
    uint32_t n = 0;

    if (seg->geometry.member_share >= 100) return true; /* it may take everything, and is told when everything is taken */
    for (uint32_t i = 0; i < seg->geometry.members; i++) {
        uint32_t k = 0;

        if (!ap_member_read(seg, i, &m) || !same_process(&m, own) || m.swarm[0] == '\0') continue;
        while (k < i && (!ap_member_read(seg, k, &other) || !same_process(&other, own) ||
                         strncmp(other.swarm, m.swarm, sizeof m.swarm) != 0))
            k++;
        n += k == i;
    }
    return n <= 1 || n <= most;
}

int ap_service_call(struct ap_segment *seg, uint32_t lane, uint32_t member, const char *name, uint32_t *ret)
{
    const struct ap_member *own = ap_member_at(seg, member);

    if (ap_load_relaxed(&own->kind) != APIARY_QUEEN && !in_share(seg, own)) return APIARY_ESHARE;
    return ap_service_intern(seg, lane, name, ret);
}
