/* agents/deployment/deployment_diff.h - what differs between two configurations, and what it takes to come from one to the other.
 *
 * VALUES    1 Values are compared as they hold, not as they are written: a default that is written out is no difference, nor is the
 *           order of keys or of agents.
 *           2 Agents are found again by their names, services by theirs.
 *           3 Files that a configuration names (plug-ins, programs) are not looked into.
 * EFFECT    1 The work of a supervisor. Most keys of a service are what its queens are started with, so they are restarted.
 *           2 Limits, weight, the terms of the health check, and terms and rules of capabilities are applied in place: queens that
 *           run say otherwise in the segment (ap_queen_adjust). Not whether a capability is stateful: its state would stay there.
 *           3 Which capabilities an agent offers, and in which order, is what it is started with.
 */
#ifndef AP_DEPLOYMENT_DIFF_H
#define AP_DEPLOYMENT_DIFF_H

#include "agents/deployment/deployment.h"

/* In the order of their weight. */
enum ap_effect {
    AP_EFFECT_NONE,    /* no process that runs: how many times it is started again, what checks ask */
    AP_EFFECT_ADJUST,  /* none either: the queens take it over as they run */
    AP_EFFECT_SCALE,   /* instances are started or stopped */
    AP_EFFECT_RESTART, /* of all instances of the service */
    AP_EFFECT_START,   /* of a service that was not there */
    AP_EFFECT_STOP,    /* of one that is no longer */
    AP_EFFECT_SEGMENT  /* only in a new segment */
};
enum ap_difference_kind { AP_ADDED, AP_REMOVED, AP_CHANGED };

struct ap_difference {
    enum ap_difference_kind kind;
    enum ap_effect effect;
    const char *service;  /* of the configuration that has it; NULL: meta_registry */
    const char *agent;    /* NULL: the service itself */
    char *key;            /* "queen.instances", "config.command"; NULL: all of it */
    char *before, *after; /* NULL: not given there, or all of it */
    unsigned line;        /* in the new text; in the old one of what was removed */
};
struct ap_differences {
    struct ap_difference *list;
    size_t count;
};

/* Both configurations have to outlive the differences. 0, or APIARY_ENOBLOCK with *ret untouched. */
AP_MUST_CHECK int ap_deployment_diff(const struct ap_deployment *before, const struct ap_deployment *after,
                                     struct ap_differences *ret);
void ap_differences_free(struct ap_differences *d);

/* A number for all of a service that has this effect: AP_EFFECT_RESTART, what its queens are started with; AP_EFFECT_ADJUST, what
 * they take over. Two that differ have different ones. APIARY_ENOBLOCK. */
AP_MUST_CHECK int ap_deployment_fingerprint(const struct ap_deployment_swarm *swarm, enum ap_effect effect, uint64_t *ret);

const char *ap_effect_text(enum ap_effect effect);
const char *ap_difference_text(enum ap_difference_kind kind);

#endif
