/* tools/common/carried.h - what a task carries with it, on the command line and shown: one row for each in carried.def. */
#ifndef AP_TOOLS_COMMON_CARRIED_H
#define AP_TOOLS_COMMON_CARRIED_H

#include "registry/client/carried.h"
#include "tools/common/common.h"

/* The text on the command line; NULL: none. */
struct tool_carried {
#define AP_CARRIED(field, ...) const char *field;
#include "registry/client/carried.def"
#undef AP_CARRIED
};

/* Into the options: TOOL_GO_ON, or the exit code after the message. */
AP_MUST_CHECK int tool_carried_read(const struct tool *t, const struct tool_usage *usage, const struct tool_carried *texts,
                                    apiary_delegate_options_t *o);
/* {"hops": 5, ...}, the caller's; what was not said is as it is then. */
json_t *tool_carried_json(const struct ap_carried *row);

#endif
