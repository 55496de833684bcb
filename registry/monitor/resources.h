/* registry/monitor/resources.h - what the kernel counts for a process: processor time, memory, threads, descriptors, switches.
 *
 * WHOSE     A process is meant by pid, start time and namespaces of pids and time. Of one in other namespaces, of one that has
 *           ended while its pid is another's, and where /proc may not be read, nothing is known.
 * THREADS   Any.
 */
#ifndef AP_RESOURCES_H
#define AP_RESOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/must_check.h"
#include "core/ops.h"

/* AP_NO_VALUE (counters.h): not known. */
struct ap_resources {
    uint64_t user, system; /* ns */
    uint64_t resident, own; /* bytes; own: neither of a file nor shared */
    uint64_t threads, descriptors, faults;
    uint64_t voluntary, involuntary; /* switches of the threads that live */
};

/* False: it is not to be seen from here; all is not known then. */
bool ap_resources_read(const struct ap_identity *self, const struct ap_identity *process, struct ap_resources *ret);

#endif
