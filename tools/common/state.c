/* tools/common/state.c - see state.h. */
#include "tools/common/state.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#define SYSTEM_STATE "/var/lib/apiary"

char *tool_state_base(const char *option)
{
    const struct passwd *p;
    char *ret = NULL;
    int rc = ap_state_base(option, &ret);

    if (rc < 0 && option != NULL) return tool_strdup(option); /* relative, and nobody can say to what */
    if (ret != NULL) return ret;
    p = getpwuid(geteuid());
    return p != NULL && p->pw_dir != NULL && *p->pw_dir == '/' ? tool_format("%s/.local/state/apiary", p->pw_dir) : NULL;
}

char *tool_state_folder(const char *option, const char *segment)
{
    char *base = tool_state_base(option), *ret;

    if (base == NULL) return NULL;
    ret = tool_format("%s/%s", base, *segment == '/' ? segment + 1 : segment);
    free(base);
    return ret;
}

/* It is there, or hidden: then whoever opens it is told so. */
static bool state_has(const char *folder, const char *file)
{
    char *path = tool_format("%s/%s", folder, file);
    bool ret = access(path, F_OK) == 0 || errno == EACCES;

    free(path);
    return ret;
}

char *tool_state_find(const char *option, const char *segment, const char *file)
{
    char *own = tool_state_folder(option, segment), *other;
    const char *service = getenv("STATE_DIRECTORY");

    if (option != NULL || (service != NULL && *service != '\0') || (own != NULL && state_has(own, file))) return own;
    other = tool_state_folder(SYSTEM_STATE, segment);
    if (own == NULL || state_has(other, file)) {
        free(own);
        return other;
    }
    free(other);
    return own;
}
