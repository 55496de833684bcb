/* core/state.h - the state directory: where programs keep what is to outlive them.
 *
 * WHERE     1 The folder that is given (--state), else the first of $STATE_DIRECTORY, which systemd sets (StateDirectory=), else
 *           $XDG_STATE_HOME/apiary, else $HOME/.local/state/apiary.
 *           2 In it each segment has a folder of its name: there lies what the coordinator keeps
 *           (tools/history/history.h), and in its folder `services` one for the files of each service (apiary_agent_folder).
 *           3 So segments of one name share theirs when they come one after the other, which is how files outlive them; and where
 *           several hosts or containers have segments of one name at once, each needs a state directory of its own.
 * MODE      Folders are made when something is written, for their owner alone.
 */
#ifndef AP_STATE_H
#define AP_STATE_H

#include <stddef.h>

#include "core/must_check.h"

#define AP_STATE_SERVICES "services"

/* The folder above those of all segments, absolute; it need not be there. To be freed; NULL: nothing names one.
 * 0, APIARY_ENOBLOCK, or APIARY_ESYS: the given one is relative, and the working directory has no path. */
AP_MUST_CHECK int ap_state_base(const char *given, char **ret);
/* Makes the folder and those above it, and looks whether it can be written in. 0, or APIARY_ENOBLOCK or APIARY_ESYS and a sentence
 * in `why`. */
AP_MUST_CHECK int ap_state_make(const char *folder, char *why, size_t size);

#endif
