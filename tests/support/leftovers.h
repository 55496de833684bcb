/* tests/support/leftovers.h - the segments of killed test processes, and what a coordinator has kept of them.
 *
 * A test that is killed, or ends by a failed assertion, leaves its segment in /dev/shm. Their names end in the process that made
 * them, so that a later run of the same suite can tell and clear them away. (Suites that share /dev/shm but not their process
 * ids, as containers may, must not run at the same time.)
 */
#ifndef LEFTOVERS_H
#define LEFTOVERS_H

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* PREFIX-PID: the process, 0 for another name. */
static inline pid_t leftovers_maker(const char *name, const char *prefix)
{
    size_t size = strlen(prefix);
    const char *digits = name + size + 1;
    char *end;
    long pid;

    if (strncmp(name, prefix, size) != 0 || name[size] != '-' || !isdigit((unsigned char)*digits)) return 0;
    pid = strtol(digits, &end, 10);
    return *end == '\0' ? (pid_t)pid : 0;
}

static inline bool leftovers_dead(pid_t pid)
{
    return pid > 0 && kill(pid, 0) != 0 && errno == ESRCH;
}

static inline int leftovers_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    (void)remove(path); /* another one may do the same */
    return 0;
}

/* The state folders of such segments. Also that of an earlier process with this one's number, which has no segment yet. */
static inline void leftovers_clear_state(const char *prefix)
{
    const char *state = getenv("XDG_STATE_HOME");
    char base[2048], path[4096];
    DIR *folder;

    if (state == NULL || snprintf(base, sizeof base, "%s/apiary", state) >= (int)sizeof base) return;
    folder = opendir(base);
    if (folder == NULL) return;
    for (const struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        pid_t pid = leftovers_maker(e->d_name, prefix);

        if (pid == 0 || (pid != getpid() && !leftovers_dead(pid))) continue;
        if (snprintf(path, sizeof path, "%s/%s", base, e->d_name) < (int)sizeof path)
            nftw(path, leftovers_remove, 8, FTW_DEPTH | FTW_PHYS);
    }
    closedir(folder);
}

/* Removes /dev/shm/PREFIX-PID (prefix without a slash) where no process PID lives, and what was kept of them. Returns how many
 * segments. Others may do the same at the same time. */
static inline unsigned leftovers_clear(const char *prefix)
{
    DIR *folder = opendir("/dev/shm");
    unsigned cleared = 0;

    leftovers_clear_state(prefix);
    if (folder == NULL) return 0;
    for (const struct dirent *e = readdir(folder); e != NULL; e = readdir(folder))
        if (leftovers_dead(leftovers_maker(e->d_name, prefix))) cleared += unlinkat(dirfd(folder), e->d_name, 0) == 0;
    closedir(folder);
    return cleared;
}

#endif
