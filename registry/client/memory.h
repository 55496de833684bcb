/* registry/client/memory.h - what the calls of the memory know of a handle on it. */
#ifndef AP_CLIENT_MEMORY_H
#define AP_CLIENT_MEMORY_H

#include "registry/client/client.h"
#include "registry/memory/memory.h"

/* Constant once it is open. */
struct apiary_memory {
    apiary_t *client;
    struct ap_memory_name name;
};

#endif
