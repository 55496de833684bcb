/* stopped_reaper - a member that recovers whoever dies, and is stopped in the midst of it: stopped_reaper SEGMENT
 * The first time that a task of the dead is to go elsewhere it says "stopped" and stops itself, holding the dead lane's lock. When
 * it goes on it ends that recovery, leaves, and exits 0. */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "registry/client/client.h"

static bool stopped;

static uint32_t route(void *user, struct ap_segment *seg, const struct ap_slot *slot)
{
    if (!stopped) {
        stopped = true;
        printf("stopped\n");
        fflush(stdout);
        raise(SIGSTOP);
    }
    return ap_registry_hooks.route(user, seg, slot);
}

int main(int argc, char **argv)
{
    const apiary_attach_options_t options = {.struct_size = sizeof options, .name = "reaper"};
    struct ap_reap_hooks hooks = ap_registry_hooks;
    apiary_t *a;
    int error, r = argc == 2 ? apiary_attach(argv[1], &options, &a) : APIARY_EINVAL;
    const struct ap_lane_context *c = r == 0 ? ap_context(a, &error) : NULL;

    if (c == NULL) {
        fprintf(stderr, "attach: %s\n", apiary_strerror(r < 0 ? r : error));
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    hooks.route = route;
    while (!stopped) {
        if (ap_reap_all(a->seg, c->lane.index, &hooks) == 0) poll(NULL, 0, 1);
    }
    return apiary_detach(a) == 0 ? 0 : 1;
}
