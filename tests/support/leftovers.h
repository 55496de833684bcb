/* tests/support/leftovers.h - the segments of killed test processes.
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
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Removes /dev/shm/PREFIX-PID (prefix without a slash) where no process PID lives. Returns how many. Others may do the same at
 * the same time. */
static inline unsigned leftovers_clear(const char *prefix)
{
    DIR *folder = opendir("/dev/shm");
    size_t size = strlen(prefix);
    unsigned cleared = 0;

    if (folder == NULL) return 0;
    for (const struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        const char *digits = e->d_name + size + 1;
        long pid;
        char *end;

        if (strncmp(e->d_name, prefix, size) != 0 || e->d_name[size] != '-' || !isdigit((unsigned char)*digits)) continue;
        pid = strtol(digits, &end, 10);
        if (*end != '\0' || kill((pid_t)pid, 0) == 0 || errno != ESRCH) continue;
        cleared += unlinkat(dirfd(folder), e->d_name, 0) == 0;
    }
    closedir(folder);
    return cleared;
}

#endif
