/* tests/plugins/stormy.h - what the plug-in stormy.c is asked, and what it writes down. */
#ifndef STORMY_H
#define STORMY_H

#include <stdint.h>

/* A body begins with it; the whole is echoed. */
struct stormy {
    uint64_t index;        /* into the ledger's bytes */
    uint32_t life, number; /* of the client, and running in that life: the order of first executions; life UINT32_MAX: none */
    uint64_t child;        /* the index of a task that is delegated first, to calm_echo; 0: none */
    uint32_t ask;          /* the bits below */
    uint32_t parent_close; /* of the child */
};

enum {
    STORMY_PARTS = 1u,   /* its result goes in parts */
    STORMY_FAILS = 2u,   /* so does its first attempt, with STORMY_CODE */
    STORMY_LINGERS = 4u, /* it does not end before it is told to stop; neither does its child */
    STORMY_BEATS = 8u,   /* it says how far it is */
    STORMY_HEDGED = 16u, /* it may be run twice at once */
    STORMY_CHILD = 32u,  /* another task has delegated it */
};

#define STORMY_CODE 404u   /* of its failures: the request's fault, so that nobody is passed over for it */
#define STORMY_STOPPED 499u
#define STORMY_CELLS 256

/* One file, of all agents. */
struct stormy_seen {
    /* Executions after the first of a task, under a later attempt than the first: of what ends at once, of what does not, of what
     * has failed. */
    uint64_t again, again_held, retried;
    /* The same under the first attempt: second copies of hedged tasks, children that are delegated anew, and others. */
    uint64_t copies, children, doubled;
    uint64_t trespassed; /* callers whose tasks are not to come here */
    uint64_t crowded;    /* starts of a bounded capability above its bound */
    uint64_t childless;  /* parents that were refused their child, or whose child has failed */
    uint64_t unborn;     /* children that have ended well, and were not run */
    struct {
        int32_t pid;   /* of a queen; 0: free */
        uint32_t held; /* tasks of the bounded capability in its hands */
    } cells[STORMY_CELLS];
};

#endif
