/* registry/client/memory.h - what the calls of the memory know of a handle on it. */
#ifndef AP_CLIENT_MEMORY_H
#define AP_CLIENT_MEMORY_H

#include "registry/client/client.h"
#include "registry/memory/memory.h"

/* Constant once it is open, but for `unasked`. */
struct apiary_memory {
    apiary_t *client;
    struct ap_memory_name name;
    uint64_t unasked; /* of struct ap_memory_writer; any thread */
};

#endif
