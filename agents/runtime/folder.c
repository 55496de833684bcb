/* agents/runtime/folder.c - the folder for the files of a service's agents. See core/state.h and agent.h.
 *
 * TRUST     The segment's name comes from the segment: it is a part of a path only if it is a possible name.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/runtime/queen.h"
#include "core/state.h"
#include "core/text.h"

int ap_queen_folder(const struct ap_queen *q, const char *state_directory, char **ret)
{
    char name[sizeof q->seg->header->name], *base;
    size_t size;
    int r;

    memcpy(name, q->seg->header->name, sizeof name); /* all its bytes, which need not be printable */
    if (memchr(name, '\0', sizeof name) == NULL || !ap_segment_name_valid(name)) return APIARY_ECORRUPT;
    r = ap_state_base(state_directory, &base);
    if (r < 0 || base == NULL) {
        *ret = NULL;
        return r;
    }
    size = strlen(base) + strlen(name) + sizeof "/" AP_STATE_SERVICES "/" + strlen(q->service);
    *ret = malloc(size);
    if (*ret != NULL) ap_format(*ret, size, "%s%s/" AP_STATE_SERVICES "/%s", base, name, q->service);
    free(base);
    return *ret != NULL ? 0 : APIARY_ENOBLOCK;
}

/* Others may not write in it, or it would be theirs as much as the agent's. A link may lead anywhere. */
static int folder_judge(const char *folder, char *why, size_t size)
{
    struct stat st;

    if (lstat(folder, &st) < 0) {
        ap_format(why, size, "cannot look at %s: %s", AP_SHOWN(folder, 256), strerror(errno));
        return APIARY_ESYS;
    }
    if (!S_ISDIR(st.st_mode)) {
        ap_format(why, size, "%s is a link, or no folder", AP_SHOWN(folder, 256));
        return APIARY_ESYS;
    }
    if (st.st_uid == geteuid() && (st.st_mode & 022) == 0) return 0;
    ap_format(why, size, "%s belongs to user %u with mode %o: it must belong to the queen's user and be writable only by that user",
              AP_SHOWN(folder, 256), (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
    return APIARY_ESYS;
}

int apiary_agent_folder(apiary_agent_t *agent, const char **ret)
{
    struct ap_agent *of = ap_agent_of(agent);
    const char *folder;
    char why[512];
    int r;

    if (of == NULL) return ap_agent_missing(agent);
    if (ret == NULL) return APIARY_EINVAL;
    folder = of->queen->folder;
    if (folder == NULL) {
        ap_agent_log(of, 3, "there is no folder for its files: none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is set; --state "
                            "names a state directory");
        return APIARY_ESYS;
    }
    r = ap_state_make(folder, why, sizeof why);
    if (r == 0) r = folder_judge(folder, why, sizeof why);
    if (r == 0) *ret = folder;
    else ap_agent_log(of, 3, "there is no folder for its files: %s; --state names another state directory", why);
    return r;
}
