/* tools/apiary/reap.c - processes left below this one when one of its children has ended; see crew.h.
 *
 * A process belongs to a child when it is in the session that the child leads: its number stays taken while anybody is in
 * it, and while the child itself is not waited for. A process that left the session by itself and lost its parent
 * becomes a child of this process, which is a subreaper.
 */
#include "tools/apiary/crew.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 16 /* who forks while it is looked for is found in the next round */

struct process {
    pid_t pid, parent, session;
    char state;
};

/* False when the numbers of /proc are those of another namespace: a container without a /proc of its own. */
static bool proc_is_ours(void)
{
    char text[32];
    ssize_t n = readlink("/proc/self", text, sizeof text - 1);
    if (n <= 0) return false;
    text[n] = '\0';
    return strtol(text, NULL, 10) == (long)getpid();
}

static bool read_process(const char *name, struct process *ret)
{
    char path[300], text[512];
    snprintf(path, sizeof path, "/proc/%s/stat", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return false;
    text[n] = '\0';
    const char *end = strrchr(text, ')'); /* the name before it may hold anything */
    int parent, group, session;
    if (end == NULL || sscanf(end + 1, " %c %d %d %d", &ret->state, &parent, &group, &session) != 4) return false;
    ret->pid = (pid_t)strtol(name, NULL, 10);
    ret->parent = parent;
    ret->session = session;
    return true;
}

/* Kills every living process that `chosen` points out. How many there were. */
static unsigned kill_chosen(bool (*chosen)(const struct process *p, pid_t number), pid_t number)
{
    unsigned n = 0;
    DIR *all = opendir("/proc");
    if (all == NULL) return 0;
    for (const struct dirent *e; (e = readdir(all)) != NULL;) {
        struct process p;
        if (!isdigit((unsigned char)e->d_name[0]) || !read_process(e->d_name, &p)) continue;
        if (p.state == 'Z' || p.state == 'X' || !chosen(&p, number)) continue;
        n += kill(p.pid, SIGKILL) == 0;
    }
    closedir(all);
    return n;
}

static bool in_session(const struct process *p, pid_t leader)
{
    return p->session == leader;
}

static bool reap_child_of(const struct process *p, pid_t parent)
{
    return p->parent == parent;
}

void reap_session(pid_t leader)
{
    kill(-leader, SIGKILL); /* its own group, also where /proc cannot be read */
    if (!proc_is_ours()) return;
    for (int i = 0; i < ROUNDS && kill_chosen(in_session, leader) > 0; i++) {}
}

void reap_strays(void)
{
    if (!proc_is_ours()) return;
    for (int i = 0; i < ROUNDS && kill_chosen(reap_child_of, getpid()) > 0; i++) {}
}
