/* registry/monitor/health.c - what the coordinator has found out about an instance. See health.h. */
#include "registry/monitor/health.h"

#include <string.h>

#include "registry/discovery/reason.h"
#include "shm/event.h"

#define MS UINT64_C(1000000)

static uint64_t or_else(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

struct ap_health_terms ap_health_terms(const struct ap_swarm *s, uint64_t interval)
{
    return (struct ap_health_terms){
        .interval = or_else(ap_load_relaxed(&s->health_interval) * MS, or_else(interval, AP_HEALTH_INTERVAL * MS)),
        .timeout = or_else(ap_load_relaxed(&s->health_timeout), AP_HEALTH_TIMEOUT) * MS,
        .unhealthy_after = (uint32_t)or_else(ap_load_relaxed(&s->unhealthy_after), AP_UNHEALTHY_AFTER),
        .healthy_after = (uint32_t)or_else(ap_load_relaxed(&s->healthy_after), AP_HEALTHY_AFTER),
    };
}

void ap_health_begin(struct ap_swarm *s, uint64_t key)
{
    uint64_t word = ap_load_acquire(&s->health);

    /* The number goes on: a coordinator that knows the former registration fails to change the word. */
    while (!ap_cas(&s->health, &word, AP_HEALTH_WORD(key, AP_MODE_CHANGE(word) + 1, 0))) {}
}

static size_t printable(char ret[AP_FOUND_MAX + 1], const char *text)
{
    size_t n = strnlen(text, AP_FOUND_MAX);

    for (size_t i = 0; i < n; i++) ret[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
    ret[n] = '\0';
    return n;
}

/* The absent come and go without an event: nothing is held against them. */
static void health_log(struct ap_segment *seg, uint32_t lane, uint32_t swarm, uint32_t before, uint32_t found, uint64_t answer)
{
    bool failed = (before & AP_FOUND_ENDPOINT) == AP_FOUND_FAILING, fails = (found & AP_FOUND_ENDPOINT) == AP_FOUND_FAILING;

    if (fails && !failed) ap_event_log(seg, AP_EVENT_ENDPOINT_FAILED, lane, swarm, answer);
    if (failed && !fails) ap_event_log(seg, AP_EVENT_ENDPOINT_PASSED, lane, swarm, 0);
}

/* With what a later finding does not take away. */
static uint32_t found_ever(uint32_t found, uint32_t before)
{
    uint32_t endpoint = found & AP_FOUND_ENDPOINT;
    bool heard = endpoint == AP_FOUND_PASSING || endpoint == AP_FOUND_FAILING;

    return found | (before & AP_FOUND_HEARD) | (heard ? AP_FOUND_HEARD : 0);
}

int ap_health_tell(struct ap_segment *seg, uint32_t lane, uint32_t swarm, uint64_t life, uint32_t found, const char *text,
                   uint64_t answer, uint64_t until)
{
    struct ap_swarm *s = ap_swarm_at(seg, swarm);
    char stands[AP_FOUND_MAX + 1], next_text[AP_FOUND_MAX + 1];
    size_t length = printable(next_text, text);
    uint64_t seen, next, key;

    if (s == NULL || found > AP_FOUND_ALL) return APIARY_EINVAL;
    seen = ap_reason_read(&s->health, s->found, AP_FOUND_WORDS, stands);
    key = ap_load_relaxed(&s->key);
    /* After the word: a registration begins that after it has claimed the record. */
    if (ap_load_acquire(&s->life) != life || AP_SWARM_STATE(life) != AP_SWARM_LIVE || !AP_MODE_IS_OF(seen, key))
        return APIARY_ESTALE;
    found = found_ever(found, AP_MODE_OF(seen));
    if (AP_MODE_OF(seen) == found && strcmp(stands, next_text) == 0) {
        ap_store_relaxed(&s->health_until, until);
        return 0;
    }
    next = AP_HEALTH_WORD(key, AP_MODE_CHANGE(seen) + 1, found);
    if (!ap_cas(&s->health, &seen, next)) return APIARY_ESTALE;
    ap_store_relaxed(&s->health_until, until); /* not before: what was found out last does not hold any longer */
    ap_reason_store(&s->health, next, s->found, AP_FOUND_WORDS, next_text, length);
    health_log(seg, lane, swarm, AP_MODE_OF(seen), found, answer);
    return 1;
}

uint32_t ap_health_read(const struct ap_swarm *s, char ret[AP_FOUND_MAX + 1])
{
    return AP_MODE_OF(ap_reason_read(&s->health, s->found, AP_FOUND_WORDS, ret));
}

bool ap_health_fails(const struct ap_swarm *s, uint64_t now)
{
    uint32_t found = AP_MODE_OF(ap_load_relaxed(&s->health));

    if ((found & AP_FOUND_ENDPOINT) != AP_FOUND_FAILING && (found & AP_FOUND_DEAF) == 0) return false;
    return ap_load_relaxed(&s->health_until) > now;
}

/* ---- the address -------------------------------------------------------------------------------------------------- */

/* Length of a name of this machine; 0: it is none. */
static size_t own_host(const char *text)
{
    size_t n = strspn(text, "0123456789.");

    if (strncmp(text, "localhost", 9) == 0) return 9;
    if (strncmp(text, "[::1]", 5) == 0) return 5;
    return strncmp(text, "127.", 4) == 0 ? n : 0;
}

bool ap_endpoint_valid(const char *url)
{
    size_t host, port = 0;

    for (const char *c = url; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~') return false;
    if (strncmp(url, "http://", 7) != 0) return false;
    url += 7;
    host = own_host(url);
    if (host == 0) return false;
    url += host;
    if (*url == ':') {
        port = strspn(url + 1, "0123456789");
        if (port == 0 || port > 5) return false;
        url += port + 1;
    }
    return *url == '\0' || *url == '/' || *url == '?';
}
