/* core/state.c - see state.h. */
#include "core/state.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/apiary.h"
#include "core/text.h"

/* Both, one behind the other. */
static int state_join(const char *path, size_t size, const char *below, char **ret)
{
    size_t more = strlen(below) + 1;
    char *own = malloc(size + more);

    if (own == NULL) return APIARY_ENOBLOCK;
    memcpy(own, path, size);
    memcpy(own + size, below, more);
    *ret = own;
    return 0;
}

static int state_given(const char *given, char **ret)
{
    char *here, *below;
    int r;

    if (*given == '/') return state_join(given, strlen(given), "", ret);
    here = getcwd(NULL, 0);
    if (here == NULL) return errno == ENOMEM ? APIARY_ENOBLOCK : APIARY_ESYS;
    r = state_join("/", 1, given, &below);
    if (r == 0) {
        r = state_join(here, strlen(here), below, ret);
        free(below);
    }
    free(here);
    return r;
}

int ap_state_base(const char *given, char **ret)
{
    const char *service = getenv("STATE_DIRECTORY"), *user = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (given != NULL) return state_given(given, ret);
    if (service != NULL && *service != '\0' && *service != ':') return state_join(service, strcspn(service, ":"), "", ret);
    /* A relative one is to be ignored, says XDG. */
    if (user != NULL && *user == '/') return state_join(user, strlen(user), "/apiary", ret);
    if (home != NULL && *home == '/') return state_join(home, strlen(home), "/.local/state/apiary", ret);
    *ret = NULL;
    return 0;
}

/* Its part up to the next '/' after `at`, made; `at` is then behind that. False: errno says why not. */
static bool state_make_part(char *path, size_t *at)
{
    char *end = path + *at + strcspn(path + *at, "/"), was = *end;
    int error;

    *end = '\0';
    error = *path == '\0' || mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : errno;
    if (error != 0) {
        errno = error;
        return false;
    }
    *end = was;
    *at = (size_t)(end - path) + (was == '/');
    return true;
}

int ap_state_make(const char *folder, char *why, size_t size)
{
    char *path = strdup(folder);
    size_t length = strlen(folder);
    int r = path != NULL ? 0 : APIARY_ENOBLOCK;

    if (r < 0) ap_format(why, size, "%s", apiary_strerror(r));
    for (size_t at = 0; r == 0 && at < length;) {
        if (state_make_part(path, &at)) continue;
        ap_format(why, size, "cannot make %s: %s", AP_SHOWN(path, 256), strerror(errno)); /* as far as that part */
        r = APIARY_ESYS;
    }
    free(path);
    if (r < 0 || access(folder, W_OK | X_OK) == 0) return r;
    ap_format(why, size, "cannot write in %s: %s", AP_SHOWN(folder, 256), strerror(errno));
    return APIARY_ESYS;
}
