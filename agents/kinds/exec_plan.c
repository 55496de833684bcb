/* agents/kinds/exec_plan.c - see exec_plan.h. */
#include "agents/kinds/exec_plan.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/kinds/about.h"
#include "core/descriptor.h"
#include "core/program.h"

#define PREFIX AP_EXEC_PREFIX

static const char default_path[] = "PATH=" AP_PROGRAM_PATH;

static void exec_free_list(apiary_agent_t *agent, char **list)
{
    for (char **item = list; item && *item; item++)
        apiary_agent_free(agent, *item);
    apiary_agent_free(agent, list);
}

/* A copy of `count` texts, ending with NULL; one block for the pointers, one per text. NULL: no memory for all of it. */
static char **exec_copy_list(apiary_agent_t *agent, const char *const *items, size_t count)
{
    char **copy = apiary_agent_alloc(agent, (count + 1) * sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        if (!(copy[i] = ap_copy_text(agent, items[i]))) {
            exec_free_list(agent, copy);
            return NULL;
        }
    if (copy) copy[count] = NULL;
    return copy;
}

static bool same_name(const char *line, const char *other)
{
    size_t length = strcspn(line, "=");
    return strncmp(line, other, length + 1) == 0;
}

/* The built-in lines, but for those that are configured otherwise, then the configured ones: one for each name, as programs differ
 * in which of several they take. */
static char **copy_environment(apiary_agent_t *agent, const char *const *env, size_t count)
{
    const char **lines = apiary_agent_alloc(agent, (2 + count) * sizeof *lines);
    size_t kept = 0;
    if (!lines) return NULL;
    for (size_t i = 0; i < 2; i++) {
        const char *line = i == 0 ? default_path : "LC_ALL=C";
        size_t own = 0;
        while (own < count && !same_name(line, env[own]))
            own++;
        if (own >= count) lines[kept++] = line;
    }
    for (size_t i = 0; i < count; i++)
        lines[kept++] = env[i];
    char **copy = exec_copy_list(agent, lines, kept);
    apiary_agent_free(agent, lines);
    return copy;
}

/* APIARY_TASK and the like; APIARY_SEGMENT, say, is anybody's. */
static bool is_about(const char *line)
{
    size_t length = strcspn(line, "=");
    if (strncmp(line, PREFIX, strlen(PREFIX)) != 0) return false;
    for (size_t i = 0; i < AP_ABOUT; i++) {
        const char *name = ap_about_names[i];
        if (strlen(PREFIX) + strlen(name) == length && strncmp(line + strlen(PREFIX), name, strlen(name)) == 0) return true;
    }
    return false;
}

static int check_environment(apiary_agent_t *agent, const char *const *env, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (env[i][0] == '=' || !strchr(env[i], '=')) return ap_refuse_item(agent, "env", env[i], "is not NAME=VALUE");
        if (is_about(env[i])) return ap_refuse_item(agent, "env", env[i], "names what each task has a value of its own for");
        for (size_t before = 0; before < i; before++)
            if (same_name(env[i], env[before]))
                return ap_refuse_item(agent, "env", env[i], "gives its name a second value; expected each once");
    }
    return 0;
}

void ap_exec_plan_free(struct ap_exec_plan *p)
{
    apiary_agent_free(p->agent, (void *)p->child.path);
    exec_free_list(p->agent, p->arguments);
    exec_free_list(p->agent, p->environment);
    *p = (struct ap_exec_plan){.agent = p->agent};
}

/* A program is watched and ended by its pidfd. Some containers' filters have no such call; then no task could ever be done. */
int ap_exec_can_watch(apiary_agent_t *agent)
{
    int fd = ap_fd_process(getpid());
    int error = fd < 0 || pidfd_send_signal(fd, 0, NULL, 0) < 0 ? errno : 0;
    if (fd >= 0) close(fd);
    if (error == 0) return 0;
    apiary_agent_log(agent, 3, "exec: %s: %s; programs cannot be watched here", fd < 0 ? "pidfd_open" : "pidfd_send_signal",
                     strerror(error));
    return error == EMFILE || error == ENFILE || error == ENOMEM ? APIARY_ESYS : APIARY_ENOTSUP;
}

int ap_exec_plan_read(struct ap_exec_plan *p)
{
    apiary_agent_t *agent = p->agent;
    const char *const *command = NULL, *const *env = NULL;
    size_t words = apiary_agent_list(agent, "command", &command), lines = apiary_agent_list(agent, "env", &env);
    char path[PATH_MAX], why[PATH_MAX + 128];
    struct stat st;
    if (words == 0) {
        apiary_agent_log(agent, 3, "command: is missing, or an empty list");
        return APIARY_ECONFIG;
    }
    int error = check_environment(agent, env, lines);
    if (error < 0) return error;
    p->child.memory = (size_t)apiary_agent_number(agent, "memory", 0);
    p->child.directory = apiary_agent_text(agent, "directory", NULL);
    if (p->child.directory && (stat(p->child.directory, &st) < 0 || !S_ISDIR(st.st_mode))) {
        apiary_agent_log(agent, 3, "directory: %s does not exist", p->child.directory);
        return APIARY_ECONFIG;
    }
    if (ap_program_find(command[0], path, why, sizeof why) < 0) {
        apiary_agent_log(agent, 3, "command: %s", why);
        return APIARY_ECONFIG;
    }
    p->child.path = ap_copy_text(agent, path);
    p->child.arguments = p->arguments = exec_copy_list(agent, command, words);
    p->environment = copy_environment(agent, env, lines);
    return p->child.path && p->arguments && p->environment ? 0 : APIARY_ENOBLOCK;
}

/* ---- standard error ---------------------------------------------------------------------------------------------- */

void ap_tail_add(struct ap_tail *tail, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        tail->text[tail->size++ % AP_TAIL] = data[i];
}

void ap_tail_text(const struct ap_tail *tail, char *ret, size_t capacity)
{
    size_t size = tail->size < AP_TAIL ? tail->size : AP_TAIL, at = tail->size - size, used;
    while (size > 0 && strchr(" \n\t\r", tail->text[(at + size - 1) % AP_TAIL]))
        size--;
    ret[0] = '\0';
    if (size == 0) return;
    used = (size_t)snprintf(ret, capacity, " (standard error: %s", tail->size > AP_TAIL ? "..." : "");
    for (size_t i = 0; i < size && used + 2 < capacity; i++) {
        unsigned char c = (unsigned char)tail->text[(at + i) % AP_TAIL];
        ret[used++] = c == '\n' || c == '\t' || (c >= 32 && c != 127) ? (char)c : '?';
    }
    ret[used++] = ')';
    ret[used] = '\0';
}

size_t ap_tail_line(const struct ap_tail *tail, char *ret, size_t capacity)
{
    size_t end = tail->size, first = end > AP_TAIL ? end - AP_TAIL : 0, begin;
    while (end > first && tail->text[(end - 1) % AP_TAIL] != '\n')
        end--;
    while (end > first && tail->text[(end - 1) % AP_TAIL] == '\n')
        end--;
    for (begin = end; begin > first && tail->text[(begin - 1) % AP_TAIL] != '\n';)
        begin--;
    size_t size = end - begin < capacity ? end - begin : capacity;
    for (size_t i = 0; i < size; i++)
        ret[i] = tail->text[(begin + i) % AP_TAIL];
    return size;
}
