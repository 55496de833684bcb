/* agents/deployment/autoscale.h - how many instances a service is to have, by what waits at them: the decision and its reason.
 *
 * PURE      No clock, no segment, no process: a look comes in, a number goes out. tools/apiary/autoscale.c looks and carries it
 *           out.
 * UP        1 When more than `backlog` tasks have waited for each instance, for two seconds of looks, and will not be gone by
 *           themselves within ten: a burst that is worked off meanwhile is worth no process.
 *           2 By steps: as many as would bring it down to `backlog` for each, at least one more, at most twice as many as there
 *           are. The next step comes when the instances of the last one pass: one that starts slowly is not taken for one too few.
 *           3 Only tasks at instances that go on and are routed to count, not those at a stuck one. One that fails counts as if it
 *           took its share: more instances are no remedy for it. None is added while one of the last ones has never passed.
 * DOWN      1 By one, when for the whole `cool_down` at most half of `backlog` has waited for each of those that would remain, all
 *           have passed, and in the ten seconds of it in which most tasks ran these would have left a fifth of those that would
 *           remain idle. Then it begins anew. So a load that swings across a threshold moves nothing, and one that fills its
 *           instances without a queue, or comes again and again, keeps them.
 *           2 An instance runs so many tasks at once as it did when it was last found to be too few, at least one for each worker.
 * TIME      That between two looks counts up to two seconds. So a pause of the machine is not taken for calm, and one who comes to
 *           look rarely still comes to an end.
 * BOUNDS    The number is from `min` to `max`, whatever is seen.
 */
#ifndef AP_AUTOSCALE_H
#define AP_AUTOSCALE_H

#include "agents/deployment/deployment.h"

/* A service as it is seen at a moment. */
struct ap_autoscale_look {
    uint64_t now;         /* CLOCK_MONOTONIC */
    uint32_t instances;   /* that are to be there; those that leave are not */
    uint32_t serving;     /* of them: pass, and are routed to */
    uint32_t coming;      /* started, have not passed yet, nothing is known against them */
    uint32_t failing;     /* ended, stuck, or do not pass; the rest was taken out of the routing by an operator */
    bool unproven;        /* one of those that fail has never passed */
    uint32_t waiting, running; /* tasks at those that serve */
    uint32_t workers;     /* of an instance */
};

enum ap_autoscale_why {
    AP_SCALE_CALM,     /* at min, and little waits */
    AP_SCALE_BETWEEN,  /* too much waits for one instance less, too little for one more */
    AP_SCALE_COOLING,  /* the cool-down is not over */
    AP_SCALE_BUSY,     /* it was, but fewer instances would be full */
    AP_SCALE_BRIEF,    /* much waits, not for long enough yet */
    AP_SCALE_PASSING,  /* much waits, and becomes less fast */
    AP_SCALE_COMING,   /* instances that start are waited for */
    AP_SCALE_FAILING,  /* instances that fail are no reason for more, nor for fewer */
    AP_SCALE_NONE,     /* none serves */
    AP_SCALE_DRAINED,  /* an operator has some out of the routing */
    AP_SCALE_FULL,     /* at max, and much waits */
    AP_SCALE_UP,
    AP_SCALE_DOWN,
    AP_SCALE_BOUNDS /* there were fewer than min or more than max */
};

struct ap_autoscale_verdict {
    uint32_t wanted;
    enum ap_autoscale_why why;
    bool told; /* worth an event: much waits, and nothing can be done. Once, until it is calm or the number changes */
};

/* Between two looks. All 0: nothing has been seen yet. */
struct ap_autoscaler {
    uint64_t looked; /* 0: never */
    uint32_t instances, serving;
    bool above, calm, busy;
    uint32_t above_waiting;        /* what waited when `above` began */
    uint64_t above_for, calm_for;  /* ns of looks */
    uint64_t slice_for, slice_ran; /* us and tasks x us of the ten seconds that are going on since it is calm */
    uint64_t most_ran;             /* thousandths of tasks: the mean of those in which most ran */
    uint32_t holds;                /* tasks that an instance was seen to run at once while others waited */
    enum ap_autoscale_why held, told; /* the last reason not to add any, and the one of which there was an event; 0: none */
    uint64_t held_for;
};

/* `state` is brought up to date. An instance that the verdict adds or takes away is to be in the next look. */
struct ap_autoscale_verdict ap_autoscale_decide(const struct ap_autoscale *rules, struct ap_autoscaler *state,
                                                const struct ap_autoscale_look *look);
/* Somebody else has changed the number: what was seen before says nothing any more. */
void ap_autoscale_restart(struct ap_autoscaler *state);
/* The reason as a sentence of at most AP_AUTOSCALE_TEXT bytes. */
#define AP_AUTOSCALE_TEXT 100u
void ap_autoscale_text(const struct ap_autoscale *rules, const struct ap_autoscale_look *look,
                       const struct ap_autoscale_verdict *verdict, char ret[AP_AUTOSCALE_TEXT + 1]);

#endif
