/* registry/discovery/instance.h - reading a registered instance's record. See registry.h.
 *
 * READING   A row is what the record said while it had one life: it is read between two looks at that (REG-A1, REG-A4).
 * NUMBER    A registration is named by its record and the record's epoch, which rises with each.
 */
#ifndef AP_INSTANCE_H
#define AP_INSTANCE_H

#include "core/apiary/discovery.h"
#include "registry/registry.h"

#define AP_REGISTRATION(swarm, epoch) ((uint64_t)(epoch) << 16 | (swarm))

/* The record's row, if it is LIVE or DOWN, and the life that it belongs to: true. False: it is neither, or has changed since. */
bool ap_instance_read(const struct ap_segment *seg, uint32_t swarm, apiary_instance_t *ret, uint64_t *ret_life);
/* The names alone of a registration that an entry of the log (changes.h) names, and that has ended since: true. False: the record
 * is another instance's by now, or nobody's. */
bool ap_instance_names(const struct ap_segment *seg, uint32_t swarm, uint32_t told_epoch, apiary_instance_t *ret);

#endif
