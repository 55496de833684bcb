/* tools/apiary/where.c - see where.h. */
#include "tools/apiary/where.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/text.h"
#include "tools/apiary/apiary.h"

/* The folder of the lock that the descriptor `link` is open on, as its process sees it; NULL: it is open on something else. */
static char *where_folder(const char *link)
{
    static const char file[] = "/" HISTORY_LOCK;
    char path[PATH_MAX];
    ssize_t n = readlink(link, path, sizeof path);
    size_t end = n > 0 ? (size_t)n : 0, size = sizeof file - 1;

    if (end <= size || end >= sizeof path || memcmp(path + end - size, file, size) != 0) return NULL;
    return tool_format("%.*s", (int)(end - size), path);
}

/* In another mount namespace the same path may be nothing, or another folder. */
static bool where_same(const char *link, const char *folder)
{
    char *path = tool_format("%s/" HISTORY_LOCK, folder);
    struct stat open, here;
    bool ret = stat(link, &open) == 0 && stat(path, &here) == 0 && open.st_dev == here.st_dev && open.st_ino == here.st_ino;

    free(path);
    return ret;
}

/* The history there is a file of somebody who is known; one that is not there yet does no harm. */
static bool where_plain(const char *folder, uid_t owner)
{
    char *path = tool_format("%s/" HISTORY_FILE, folder);
    struct stat file;
    bool ret = lstat(path, &file) != 0 ? errno == ENOENT : S_ISREG(file.st_mode) && (file.st_uid == owner || file.st_uid == 0);

    free(path);
    return ret;
}

static bool where_believed(const apiary_t *a, const char *folder, int64_t pid, char why[HISTORY_WHY])
{
    struct stat of, segment;
    bool known;

    if (stat(folder, &of) != 0 || fstat(ap_segment_fd(a->seg), &segment) != 0) {
        ap_format(why, HISTORY_WHY, "cannot look at %s: %s", AP_SHOWN(folder, 256), strerror(errno));
        return false;
    }
    known = of.st_uid == 0 || of.st_uid == geteuid() || of.st_uid == segment.st_uid;
    if (known && (of.st_mode & 022) == 0 && where_plain(folder, of.st_uid)) return true;
    ap_format(why, HISTORY_WHY, "pid %" PRId64 " keeps them in %s, which is not trusted: it belongs to user %u with mode %o", pid,
              AP_SHOWN(folder, 256), (unsigned)of.st_uid, (unsigned)(of.st_mode & 07777));
    return false;
}

/* The first of the process' open files that is a lock of a history: its folder, if that is to be read here. */
static char *where_open(const apiary_t *a, int64_t pid, DIR *files, const char *folder_of_files, char why[HISTORY_WHY])
{
    const struct dirent *e;

    while ((e = readdir(files)) != NULL) {
        char *link = tool_format("%s/%s", folder_of_files, e->d_name), *ret = where_folder(link);
        bool same = ret != NULL && where_same(link, ret);

        free(link);
        if (ret == NULL) continue;
        if (same && where_believed(a, ret, pid, why)) return ret;
        if (!same)
            ap_format(why, HISTORY_WHY, "pid %" PRId64 " keeps them in %s, which is not to be seen from here: it is in another "
                      "mount namespace", pid, AP_SHOWN(ret, 256));
        free(ret);
        return NULL;
    }
    return NULL;
}

char *events_where(const apiary_t *a, char why[HISTORY_WHY])
{
    struct ap_identity self;
    uint64_t space;
    int64_t pid = view_daemon_of(a->seg, &space);
    char *path, *ret = NULL;
    DIR *files;

    *why = '\0';
    if (pid == 0) return NULL;
    if (ap_identity_self(&self) < 0 || (self.pid_namespace != 0 && (uint32_t)self.pid_namespace != (uint32_t)space)) {
        ap_format(why, HISTORY_WHY, "it is in another pid namespace, so its files are not to be seen from here");
        return NULL;
    }
    path = tool_format("/proc/%" PRId64 "/fd", pid);
    files = opendir(path);
    if (files != NULL) {
        ret = where_open(a, pid, files, path, why);
        closedir(files);
    } else if (errno == EACCES || errno == EPERM) {
        ap_format(why, HISTORY_WHY, "only its user and root may see what pid %" PRId64 " has open", pid);
    } else {
        ap_format(why, HISTORY_WHY, "cannot open %s: %s", path, strerror(errno));
    }
    free(path);
    return ret;
}
