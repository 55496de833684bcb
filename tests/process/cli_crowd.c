/* tests/process/cli_crowd.c - N instances of the service "crowd", all passing but the last, which is critical; each has an agent
 * for "crowd.work" that takes nothing. They stay until this process is killed, and beat. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "registry/client/client.h"

static int enrol(apiary_t *a, unsigned number, bool last)
{
    static const char *const capabilities[] = {"crowd.work", NULL};
    char instance[16];
    struct ap_agent_registration agent = {.name = "idler", .capabilities = capabilities, .lane = a->anchor->lane.index};
    struct ap_swarm_registration r = {.service = "crowd", .instance = instance, .version = "1", .lane = agent.lane,
                                      .member = a->member, .agents = &agent, .agent_count = 1};
    struct ap_swarm *s;
    int rc;

    snprintf(instance, sizeof instance, "%u", number);
    rc = ap_swarm_register(a->seg, &r);
    s = rc == 0 ? ap_swarm_at(a->seg, r.swarm) : NULL;
    if (s != NULL) ap_store_relaxed(&s->state, last ? APIARY_CRITICAL : APIARY_PASSING);
    return rc;
}

int main(int argc, char **argv)
{
    unsigned n = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    const apiary_attach_options_t o = {.struct_size = sizeof o, .swarm = "crowd"};
    apiary_t *a;
    int rc = n > 0 ? apiary_attach(NULL, &o, &a) : APIARY_EINVAL;

    for (unsigned i = 0; rc == 0 && i < n; i++) rc = enrol(a, i, i + 1 == n);
    printf("%s\n", rc == 0 ? "registered" : apiary_strerror(rc));
    fflush(stdout);
    for (;;) {
        struct ap_swarm *s;

        for (uint32_t i = 0; rc == 0 && (s = ap_swarm_at(a->seg, i)) != NULL; i++) {
            if (AP_SWARM_STATE(ap_load_relaxed(&s->life)) == AP_SWARM_LIVE) ap_store_relaxed(&s->beat, a->seg->ops->now());
        }
        poll(NULL, 0, 1000);
    }
}
