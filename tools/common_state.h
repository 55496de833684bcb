/* tools/common_state.h - the state directory: where programs keep what is to outlive them.
 *
 * WHERE     1 The folder of --state, else the first of $STATE_DIRECTORY, which systemd sets (StateDirectory=), else
 *           $XDG_STATE_HOME/apiary, else ~/.local/state/apiary.
 *           2 In it each segment has a folder of its name.
 * MODE      Folders are made when something is written, for their owner alone.
 */
#ifndef AP_TOOLS_COMMON_STATE_H
#define AP_TOOLS_COMMON_STATE_H

#include "tools/common.h"

/* The folder of a segment, which need not be there; to be freed. NULL: nothing names one, and the user has no home. `option`:
 * --state, NULL when not given. */
char *tool_state_folder(const char *option, const char *segment);
/* The same for one who looks for `file` in it: where nothing is named and the file is not there, /var/lib/apiary, which is that of
 * a system's service, if the file is there or this user may not see whether it is. */
char *tool_state_find(const char *option, const char *segment, const char *file);
/* Makes the folder and those above it. 0, or -1 and a sentence in `why`. */
AP_MUST_CHECK int tool_state_make(const char *folder, char *why, size_t size);

#endif
