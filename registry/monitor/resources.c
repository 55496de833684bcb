/* registry/monitor/resources.c - see resources.h. */
#include "registry/monitor/resources.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"

#define UNKNOWN UINT64_MAX
#define TEXT 4096u

/* A small file of /proc, whole, as a text. False: it cannot be read. */
static bool resources_file(int folder, const char *name, char text[TEXT])
{
    int fd = ap_fd_openat(folder, name, O_RDONLY, 0);
    ssize_t n = fd >= 0 ? read(fd, text, TEXT - 1) : -1;

    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The number behind a line's name, such as "voluntary_ctxt_switches:"; UNKNOWN: there is no such line. */
static uint64_t line_number(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at != NULL && (at == text || at[-1] == '\n') ? strtoull(at + strlen(name), NULL, 10) : UNKNOWN;
}

/* Numbers of the process' stat: fields 12 (major faults), 14, 15 (processor time), 20 (threads), 22 (start), 24 (pages). */
struct stat_numbers {
    uint64_t faults, user, system, threads, start, pages;
};

static bool stat_read(int folder, struct stat_numbers *ret)
{
    char text[TEXT];
    const char *at;

    if (!resources_file(folder, "stat", text)) return false;
    at = strrchr(text, ')'); /* the program's name may have anything in it */
    return at != NULL && sscanf(at + 1,
                                " %*c %*d %*d %*d %*d %*d %*u %*u %*u %" SCNu64 " %*u %" SCNu64 " %" SCNu64
                                " %*d %*d %*d %*d %" SCNu64 " %*d %" SCNu64 " %*u %" SCNu64,
                                &ret->faults, &ret->user, &ret->system, &ret->threads, &ret->start, &ret->pages) == 6;
}

/* Calls `each` with the names in a folder of /proc; how many there are, UNKNOWN: it cannot be read. */
static uint64_t resources_names(int folder, const char *name, void (*each)(int folder, const char *name, void *user), void *user)
{
    char room[TEXT] __attribute__((aligned(8)));
    int fd = ap_fd_openat(folder, name, O_RDONLY | O_DIRECTORY, 0);
    uint64_t count = 0;
    ssize_t n = -1;

    while (fd >= 0 && (n = getdents64(fd, room, sizeof room)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(room + at);

            at += entry->d_reclen;
            if (entry->d_name[0] == '.') continue;
            count++;
            if (each != NULL) each(fd, entry->d_name, user);
        }
    }
    if (fd >= 0) close(fd);
    return n < 0 ? UNKNOWN : count;
}

static void add_switches(int folder, const char *name, void *user)
{
    struct ap_resources *r = user;
    uint64_t voluntary, involuntary;
    char path[64], text[TEXT];

    snprintf(path, sizeof path, "%.40s/status", name);
    if (!resources_file(folder, path, text)) return; /* it has ended */
    voluntary = line_number(text, "voluntary_ctxt_switches:");
    involuntary = line_number(text, "nonvoluntary_ctxt_switches:");
    if (voluntary == UNKNOWN || involuntary == UNKNOWN) return;
    r->voluntary += voluntary;
    r->involuntary += involuntary;
}

/* The kernel tells the number as the folder's size since Linux 6.2. */
static uint64_t descriptors_of(int folder)
{
    struct stat st;

    if (fstatat(folder, "fd", &st, 0) == 0 && st.st_size > 0) return (uint64_t)st.st_size;
    return resources_names(folder, "fd", NULL, NULL);
}

static uint64_t own_bytes(int folder, uint64_t page)
{
    uint64_t resident, shared;
    char text[TEXT];

    if (!resources_file(folder, "statm", text) || sscanf(text, "%*u %" SCNu64 " %" SCNu64, &resident, &shared) != 2) return UNKNOWN;
    return resident > shared ? (resident - shared) * page : 0;
}

bool ap_resources_read(const struct ap_identity *self, const struct ap_identity *process, struct ap_resources *ret)
{
    uint64_t tick = (uint64_t)sysconf(_SC_CLK_TCK), page = (uint64_t)sysconf(_SC_PAGESIZE);
    struct stat_numbers n;
    char path[32];
    int folder;

    memset(ret, 0xff, sizeof *ret);
    if (process->pid <= 0 || process->pid_namespace != self->pid_namespace) return false;
    snprintf(path, sizeof path, "/proc/%" PRId64, process->pid);
    folder = ap_fd_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (folder < 0) return false;
    if (!stat_read(folder, &n) || n.start != process->start_time) {
        close(folder);
        return false;
    }
    ret->user = n.user * (UINT64_C(1000000000) / tick);
    ret->system = n.system * (UINT64_C(1000000000) / tick);
    ret->resident = n.pages * page;
    ret->own = own_bytes(folder, page);
    ret->threads = n.threads;
    ret->faults = n.faults;
    ret->descriptors = descriptors_of(folder);
    ret->voluntary = ret->involuntary = 0;
    if (resources_names(folder, "task", add_switches, ret) == UNKNOWN) ret->voluntary = ret->involuntary = UNKNOWN;
    close(folder); /* it is the process': what is read by it after its end is refused, never another's */
    return true;
}
