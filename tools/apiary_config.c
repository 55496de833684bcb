/* tools/apiary_config.c - see apiary_config.h; and how a command reads its configuration. */
#include "tools/apiary_config.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/apiary/kinds.h"

#define AT_REST UINT64_C(1000000000)      /* a file that changed more recently may be half written */
#define JUDGE_LIMIT UINT64_C(2000000000)  /* a start waits for it */
#define FIRST_LIMIT UINT64_C(10000000000) /* nothing waits yet */
#define TURN UINT64_C(20000000)

int apiary_load_config(const struct tool *t, const char *option, const char **ret_path, struct ap_deployment **ret)
{
    return apiary_read_config(t, option, false, NULL, ret_path, ret);
}

int apiary_read_config(const struct tool *t, const char *option, bool standard_input, const char *only,
                       const char **ret_path, struct ap_deployment **ret)
{
    const char *path = tool_config_path(option);
    if (path == NULL) return tool_fail(t, TOOL_CONFIG, "no configuration; name one with --config or APIARY_CONFIG");
    struct ap_config_error error = {.text = ""};
    char *text = NULL;
    size_t size = 0;
    int rc = standard_input ? ap_config_read(STDIN_FILENO, path, &text, &size, &error) : 0;
    if (rc == 0) rc = ap_deployment_parse(path, text, size, apiary_kinds(), only, ret, &error);
    free(text);
    if (rc < 0) return tool_error(t, rc, error.text, "configuration");
    *ret_path = path;
    return TOOL_OK;
}

/* The whole file and what it was meanwhile: 0, or an error with its sentence. */
static int cli_config_read_file(const char *path, char **ret, size_t *size, struct stat *of, struct ap_config_error *error)
{
    int fd = ap_config_open(path, error);
    if (fd < 0) return fd;
    int rc = ap_config_read(fd, path, ret, size, error);
    if (rc == 0 && fstat(fd, of) != 0) memset(of, 0, sizeof *of);
    close(fd);
    return rc;
}

static bool cli_config_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool at_rest(const struct stat *s)
{
    uint64_t changed = (uint64_t)s->st_ctim.tv_sec * UINT64_C(1000000000) + (uint64_t)s->st_ctim.tv_nsec;
    uint64_t now = ap_ops_system.realtime();
    return now < changed || now - changed >= AT_REST;
}

static void cli_config_ask(struct config_keeper *k, const char *text, size_t size)
{
    k->judge->input = text;
    k->judge->input_size = size;
    k->judge->last_exit = -1;
    *k->judge->words = '\0';
    k->judge->due = 0;
    k->judge->ends = 0;
    k->judge->wanted = true;
    k->asked = ap_ops_system.now();
}

/* Whether the judge has come to an end; it is ended when it takes too long. */
static bool answered(struct config_keeper *k, uint64_t limit)
{
    if (k->judge->wanted && ap_ops_system.now() - k->asked >= limit) {
        k->judge->wanted = false;
        if (k->judge->pid != 0) kill(k->judge->pid, SIGKILL);
    }
    return !k->judge->wanted && k->judge->pid == 0;
}

/* ---- the first one -------------------------------------------------------------------------------------------------- */

int config_open(struct config_keeper *k, const struct tool *t, const char *path, struct crew *crew,
                struct ap_deployment **ret)
{
    struct ap_config_error error = {.text = ""};
    *k = (struct config_keeper){.path = path, .crew = crew};
    int rc = cli_config_read_file(path, &k->text, &k->size, &k->of, &error);
    if (rc == 0) rc = ap_deployment_parse(path, k->text, k->size, NULL, NULL, ret, &error);
    if (rc < 0) return tool_error(t, rc, error.text, "configuration");
    k->running = *ret;
    const char *const list[] = {"apiary", "up", "--check-config", "--stdin", "--config", path, NULL};
    char **argv = tool_alloc(sizeof list);
    for (size_t i = 0; list[i] != NULL; i++)
        argv[i] = tool_strdup(list[i]);
    k->judge = crew_add(crew, "", "/proc/self/exe", argv, false);
    cli_config_ask(k, k->text, k->size);
    while (!answered(k, FIRST_LIMIT) && crew_interrupts(crew) == 0)
        crew_turn(crew, TURN);
    /* One that crashed or hung did so in a plug-in: its service will show. */
    return k->judge->last_exit == TOOL_CONFIG ? TOOL_CONFIG : TOOL_OK;
}

void config_close(struct config_keeper *k)
{
    free(k->text);
    free(k->next);
}

/* ---- and those after it --------------------------------------------------------------------------------------------- */

/* NULL, or a service that runs and is not in the new text. */
static const char *cli_config_missing(const struct config_keeper *k)
{
    struct ap_deployment *d = NULL;
    const char *ret = NULL;
    if (ap_deployment_parse(k->path, k->next, k->next_size, NULL, NULL, &d, NULL) < 0) return "?";
    for (size_t i = 0; i < k->running->swarm_count && ret == NULL; i++) {
        if (ap_deployment_swarm(d, k->running->swarms[i].service) == NULL) ret = k->running->swarms[i].service;
    }
    ap_deployment_free(d);
    return ret;
}

static void take_next(struct config_keeper *k)
{
    const char *lacks = k->judge->last_exit == TOOL_OK ? cli_config_missing(k) : NULL;
    if (k->judge->last_exit != TOOL_OK) {
        crew_say(k->crew, "apiary: up: %s has changed and cannot be used (%s); the former text stays in force",
                 k->path, *k->judge->words != '\0' ? "see above" : k->judge->why);
        free(k->next);
        if (k->judge->last_exit < 0) k->of = (struct stat){.st_ino = 0}; /* it was not even started: to be asked again */
    } else if (lacks != NULL) {
        crew_say(k->crew, "apiary: up: %s has changed and lacks %s, which runs; the former text stays in force",
                 k->path, lacks);
        free(k->next);
    } else {
        crew_say(k->crew, "apiary: up: %s has changed; processes started from now on use it", k->path);
        free(k->text);
        k->text = k->next;
        k->size = k->next_size;
    }
    k->next = NULL;
}

bool config_settled(struct config_keeper *k)
{
    if (k->next != NULL) {
        if (!answered(k, JUDGE_LIMIT)) return false;
        take_next(k);
    }
    struct stat now;
    if (stat(k->path, &now) != 0 || !S_ISREG(now.st_mode) || cli_config_same_file(&now, &k->of) || !at_rest(&now)) return true;
    if (cli_config_read_file(k->path, &k->next, &k->next_size, &k->next_of, NULL) < 0 || !cli_config_same_file(&now, &k->next_of)) {
        free(k->next);
        k->next = NULL;
        return true;
    }
    k->of = now;
    cli_config_ask(k, k->next, k->next_size);
    return false;
}

void config_give(const struct config_keeper *k, struct crew_child *child)
{
    child->input = k->text;
    child->input_size = k->size;
}
