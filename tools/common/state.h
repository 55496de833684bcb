/* tools/common/state.h - the state directory (core/state.h), as the programs find it: of a user without HOME it is in the home that
 * the table of users has.
 */
#ifndef AP_TOOLS_COMMON_STATE_H
#define AP_TOOLS_COMMON_STATE_H

#include "core/state.h"
#include "tools/common/common.h"

/* The folder above those of all segments, absolute; to be freed. NULL: nothing names one, and the user has no home. `option`:
 * --state, NULL when not given. */
char *tool_state_base(const char *option);
/* The folder of a segment in it, which need not be there; the same otherwise. */
char *tool_state_folder(const char *option, const char *segment);
/* The same for one who looks for `file` in it: where nothing is named and the file is not there, /var/lib/apiary, which is that of
 * a system's service, if the file is there or this user may not see whether it is. */
char *tool_state_find(const char *option, const char *segment, const char *file);

#endif
