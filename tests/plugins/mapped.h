/* tests/plugins/mapped.h - a file that a plug-in writes into and that outlives it. */
#ifndef MAPPED_H
#define MAPPED_H

#include <apiary/agent.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* All of it, and its size; NULL, and the agent's log says why. */
static inline void *map_file(apiary_agent_t *agent, const char *path, uint64_t *size)
{
    struct stat st;
    void *at;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0) {
        apiary_agent_log(agent, 3, "%s: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return NULL;
    }
    *size = (uint64_t)st.st_size;
    at = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return at != MAP_FAILED ? at : NULL;
}

#endif
