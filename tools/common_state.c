/* tools/common_state.c - see common_state.h. */
#include "tools/common_state.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/text.h"

#define SYSTEM_STATE "/var/lib/apiary"

static const char *state_home(void)
{
    const char *home = getenv("HOME");
    const struct passwd *p;

    if (home != NULL && *home == '/') return home;
    p = getpwuid(geteuid());
    return p != NULL && p->pw_dir != NULL && *p->pw_dir == '/' ? p->pw_dir : NULL;
}

/* The folder above all segments. */
static char *state_base(const char *option)
{
    const char *service = getenv("STATE_DIRECTORY"), *user = getenv("XDG_STATE_HOME");

    if (option != NULL) return tool_strdup(option);
    if (service != NULL && *service != '\0' && *service != ':') return tool_format("%.*s", (int)strcspn(service, ":"), service);
    if (user != NULL && *user == '/') return tool_format("%s/apiary", user); /* a relative one is to be ignored, says XDG */
    user = state_home();
    return user != NULL ? tool_format("%s/.local/state/apiary", user) : NULL;
}

char *tool_state_folder(const char *option, const char *segment)
{
    char *base = state_base(option), *ret;

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

int tool_state_make(const char *folder, char *why, size_t size)
{
    char *path = tool_strdup(folder);

    for (char *c = path + 1; *path != '\0'; c++) {
        bool end = *c == '\0';

        if (!end && *c != '/') continue;
        *c = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            ap_format(why, size, "cannot make %s: %s", AP_SHOWN(path, 256), strerror(errno));
            free(path);
            return -1;
        }
        if (end) break;
        *c = '/';
    }
    free(path);
    if (access(folder, W_OK | X_OK) == 0) return 0;
    ap_format(why, size, "cannot write in %s: %s", AP_SHOWN(folder, 256), strerror(errno));
    return -1;
}
