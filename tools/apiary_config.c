/* tools/apiary_config.c - see apiary_config.h; and how a command reads its configuration. */
#include "tools/apiary_config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/apiary/kinds.h"
#include "core/descriptor.h"
#include "core/text.h"

#define JUDGE_LIMIT UINT64_C(10000000000)
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

static int config_read_whole(const char *path, struct config_text *ret, struct ap_config_error *error)
{
    int fd = ap_config_open(path, error);
    if (fd < 0) return fd;
    int rc = ap_config_read(fd, path, &ret->text, &ret->size, error);
    close(fd);
    return rc;
}

/* A pipe would keep the supervisor waiting, and can be read once only. */
static int config_read_again(const char *path, struct config_text *ret, struct ap_config_error *error)
{
    struct stat of;
    int fd = ap_fd_open(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) return config_read_whole(path, ret, error); /* for its sentence */
    bool regular = fstat(fd, &of) == 0 && S_ISREG(of.st_mode);
    int rc = regular ? ap_config_read(fd, path, &ret->text, &ret->size, error) : APIARY_ECONFIG;
    if (!regular)
        ap_format(error->text, sizeof error->text, "%s: not a regular file, which alone is read again", AP_SHOWN(path, 200));
    close(fd);
    return rc;
}

static void config_send(struct config_keeper *k, const struct config_text *text)
{
    k->judge->input = text->text;
    k->judge->input_size = text->size;
    k->judge->last_exit = -1;
    *k->judge->words = '\0';
    crew_again(k->crew, k->judge);
    k->asked = ap_ops_system.now();
}

bool config_answered(struct config_keeper *k)
{
    if (k->judge->wanted && ap_ops_system.now() - k->asked >= JUDGE_LIMIT) {
        k->judge->wanted = false;
        if (k->judge->pid != 0) kill(k->judge->pid, SIGKILL);
    }
    return !k->judge->wanted && k->judge->pid == 0;
}

void config_give(const struct config_keeper *k, struct crew_child *child)
{
    child->input = k->now.text;
    child->input_size = k->now.size;
}

/* ---- the first one -------------------------------------------------------------------------------------------------- */

int config_open(struct config_keeper *k, const struct tool *t, const char *path, struct crew *crew,
                struct ap_deployment **ret)
{
    struct ap_config_error error = {.text = ""};
    *k = (struct config_keeper){.path = path, .crew = crew, .revision = 1};
    int rc = config_read_whole(path, &k->now, &error);
    if (rc == 0) rc = ap_deployment_parse(path, k->now.text, k->now.size, NULL, NULL, ret, &error);
    if (rc < 0) return tool_error(t, rc, error.text, "configuration");
    const char *const list[] = {"apiary", "up", "--check-config", "--stdin", "--config", path, NULL};
    char **argv = tool_alloc(sizeof list);
    for (size_t i = 0; list[i] != NULL; i++)
        argv[i] = tool_strdup(list[i]);
    k->judge = crew_add(crew, "", "/proc/self/exe", argv, false);
    config_send(k, &k->now);
    while (!config_answered(k) && crew_interrupts(crew) == 0)
        crew_turn(crew, TURN);
    /* One that crashed or hung did so in a plug-in: its service will show. */
    return k->judge->last_exit == TOOL_CONFIG ? TOOL_CONFIG : TOOL_OK;
}

void config_close(struct config_keeper *k)
{
    free(k->now.text);
    free(k->former.text);
    free(k->next.text);
}

/* ---- and those after it --------------------------------------------------------------------------------------------- */

int config_ask(struct config_keeper *k, bool former, struct ap_config_error *error)
{
    config_drop(k);
    if (!former) {
        int rc = config_read_again(k->path, &k->next, error);
        if (rc < 0) return rc;
    } else {
        k->next = k->former;
        k->next.text = tool_alloc(k->former.size + 1);
        memcpy(k->next.text, k->former.text, k->former.size);
    }
    config_send(k, &k->next);
    return 0;
}

int config_judgement(struct config_keeper *k, struct ap_deployment **ret, struct ap_config_error *error)
{
    int code = k->judge->last_exit;
    if (code != TOOL_OK) {
        const char *words = k->judge->words, *why = *k->judge->why != '\0' ? k->judge->why : "it was not started";
        const char *sentence = strstr(words, k->path); /* behind the program's name */
        if (code == TOOL_CONFIG && *words != '\0')
            ap_format(error->text, sizeof error->text, "%s", sentence != NULL ? sentence : words);
        else
            ap_format(error->text, sizeof error->text, "%s: its judge, a process of its own, %s%s%s", k->path, why,
                      *words != '\0' ? ": " : "", words);
        return code == TOOL_CONFIG ? TOOL_CONFIG : TOOL_FAILED;
    }
    int rc = ap_deployment_parse(k->path, k->next.text, k->next.size, NULL, NULL, ret, error);
    return rc == 0 ? TOOL_OK : tool_exit_code(rc);
}

void config_put(struct config_keeper *k)
{
    free(k->former.text);
    k->former = k->now;
    k->now = k->next;
    k->next = (struct config_text){.text = NULL};
    k->revision++;
}

void config_drop(struct config_keeper *k)
{
    free(k->next.text);
    k->next = (struct config_text){.text = NULL};
}
