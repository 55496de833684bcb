/* tools/apiary/check_targets.h - the targets of capabilities (registry/routing/target.h), for apiary check. */
#ifndef AP_TOOLS_APIARY_CHECK_TARGETS_H
#define AP_TOOLS_APIARY_CHECK_TARGETS_H

#include <stdbool.h>
#include <stdint.h>

struct ap_segment;

struct targets_view {
    char *missed; /* those that are missed, with commas between; to be freed; NULL: none is */
    bool badly;   /* one of them */
    uint32_t none; /* on so many there is no verdict */
};
/* The capabilities of a service; NULL: all. */
void check_targets(const struct ap_segment *seg, const char *service, struct targets_view *ret);

#endif
