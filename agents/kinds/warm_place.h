/* agents/kinds/warm_place.h - one of the places of warm.h: its process, and what is said in both directions.
 *
 * warm.c gives tasks to places; warm_place.c starts and ends processes; warm_talk.c reads and writes. Worker's thread only.
 */
#ifndef AP_KINDS_WARM_PLACE_H
#define AP_KINDS_WARM_PLACE_H

#include "agents/kinds/frame.h"
#include "agents/kinds/warm.h"

enum { AP_WARM_VERSION = 1 /* of the protocol */, AP_WARM_FIRST_LOOK = 20, AP_WARM_LAST_LOOK = 500 /* ms */ };

enum ap_place_state {
    AP_PLACE_AWAY,     /* no process; its timer starts one */
    AP_PLACE_GREETING, /* it has not said hello yet */
    AP_PLACE_IDLE,
    AP_PLACE_BUSY, /* it has a task; without a job its answer is not wanted any more */
};

enum ap_place_why { /* it is being ended, or asked to stop */
    AP_PLACE_RUNS,
    AP_PLACE_TIMEOUT,
    AP_PLACE_CANCELLED,
    AP_PLACE_UNWANTED, /* its task has its end */
    AP_PLACE_TOO_MUCH,
    AP_PLACE_NO_MEMORY,
    AP_PLACE_NO_WATCH,
    AP_PLACE_WRONG, /* `said` says what */
    AP_PLACE_CLOSED,
    AP_PLACE_SILENT, /* no hello */
    AP_PLACE_UNREAD,
};

struct ap_place {
    struct ap_warm *warm;
    enum ap_place_state state;
    enum ap_place_why asked, why; /* asked: to stop its task, until `until`; why: it is killed */
    struct ap_child child; /* of a connection: in and out are one, and there is nothing else */
    apiary_watch_t *in, *out, *err, *end, *timer;
    uint64_t timer_at, until, deadline, look; /* CLOCK_MONOTONIC; look: ns */
    apiary_job_t *job;
    uint64_t id;       /* of its last task */
    unsigned failures; /* processes in a row that have answered nothing */
    bool served;       /* this one has */
    bool ended;        /* its process has; what it wrote is still read */
    bool behind;       /* the reader of its parts */
    bool cancel_due;   /* it is to be told when the request is written */
    struct ap_bytes send, got;
    size_t sent, used; /* of these */
    const char *body;  /* of the request, in the segment, behind `send` */
    size_t body_left;
    struct ap_tail tail;
    int error; /* with NO_WATCH: an apiary_error */
    char said[128];
};

struct ap_warm {
    apiary_agent_t *agent;
    struct ap_exec_plan *what;
    const char *socket; /* NULL: it starts its processes */
    const char *name;   /* the program or the socket, for people */
    const char **environment;
    uint64_t timeout, grace, start_timeout;
    size_t max_output;
    apiary_watch_t *looker; /* while something waits */
    apiary_job_t **waiting; /* in the order of coming; room for one of each place */
    uint32_t waiting_count, count;
    struct ap_place places[];
};

/* warm.c: a place can take a task now; a place has failed to come up, with that reason. */
void ap_warm_free(struct ap_warm *warm, struct ap_place *place);
void ap_warm_failed(struct ap_warm *warm, uint32_t code, const char *reason);

/* warm_place.c */
void ap_place_start(struct ap_place *place);
void ap_place_tend(struct ap_place *place); /* does what there was no memory for a timer for */
void ap_place_give(struct ap_place *place, apiary_job_t *job, uint64_t left);
void ap_place_stop(struct ap_place *place, enum ap_place_why why); /* kills it; its end comes later */
void ap_place_ask(struct ap_place *place, enum ap_place_why why);  /* to stop its task */
void ap_place_closed(struct ap_place *place); /* it has closed its output */
void ap_place_leave(struct ap_place *place);  /* tells it that nothing more comes */
int ap_place_end_fd(const struct ap_place *place); /* readable when it has ended; -1: there is none */
void ap_place_collect(struct ap_place *place, struct ap_child_end *ret); /* ends what is left of it */
void ap_place_unwatch(apiary_watch_t **watch);

/* warm_talk.c */
AP_MUST_CHECK bool ap_place_greet(struct ap_place *place); /* false: no memory */
AP_MUST_CHECK bool ap_place_send_task(struct ap_place *place, uint64_t left);
void ap_place_send_cancel(struct ap_place *place);
/* Reads and takes what is there, also what was kept; `all`: until its end. */
void ap_place_hear(struct ap_place *place, bool all);
void ap_place_hear_errors(struct ap_place *place);
AP_MUST_CHECK int ap_place_watch_output(struct ap_place *place);

#endif
