/* registry/client/probe.h - a delegation with APIARY_PROBE: see apiary.h for what it is, shm/probe.h for how it is made. */
#ifndef AP_CLIENT_PROBE_H
#define AP_CLIENT_PROBE_H

#include "registry/client/client.h"

struct ap_probe_ask {
    int service; /* the provider is to be of it; -1: any */
    uint32_t capability;
    size_t size; /* of a body, which there must not be */
    bool loan;   /* nor this */
};

/* With options of this version, which were judged; the refusal is kept. The calling lane's thread. */
AP_MUST_CHECK int ap_probe(struct ap_lane_context *c, const struct ap_probe_ask *ask, const apiary_delegate_options_t *options,
                           apiary_task_t *ret);

#endif
