/* tools/apiary/config.c - see config.h; and how a command reads its configuration. */
#include "tools/apiary/config.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/apiary/kinds.h"
#include "core/descriptor.h"
#include "core/name.h"
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

int apiary_load_phases(const struct tool *t, const char *option, const char *phase, const char **ret_path,
                       struct ap_deployment **ret)
{
    struct ap_config_error error = {.text = ""};
    struct ap_deployment *d = NULL;
    int rc = apiary_load_config(t, option, ret_path, &d), e = 0;
    if (rc == TOOL_OK && phase != NULL) e = ap_deployment_select(d, phase, &error);
    if (e < 0) {
        ap_deployment_free(d);
        return tool_error(t, e, error.text, "configuration");
    }
    if (rc == TOOL_OK) *ret = d;
    return rc;
}

/* ---- scales --------------------------------------------------------------------------------------------------------- */

#define NAME_SIZE (2 * APIARY_NAME_MAX + 2) /* of SERVICE/AGENT */

/* "service/agent" is cut behind the service: the agent; NULL: it is a service. */
static char *scales_agent(char *name)
{
    char *slash = strchr(name, '/');
    if (slash == NULL) return NULL;
    *slash = '\0';
    return slash + 1;
}

static bool scales_name_valid(const char *name)
{
    char service[NAME_SIZE];
    snprintf(service, sizeof service, "%s", name);
    const char *agent = scales_agent(service);
    return ap_name_valid(service, APIARY_NAME_MAX) && (agent == NULL || ap_name_valid(agent, APIARY_NAME_MAX));
}

/* The next of a list; false at its end, or where it is none. */
static bool scales_next(const char **at, char name[NAME_SIZE], uint32_t *number)
{
    size_t length = strcspn(*at, ","), named = strcspn(*at, "=,"), digits;
    if (named == length || named >= NAME_SIZE) return false;
    digits = strspn(*at + named + 1, "0123456789");
    if (digits == 0 || named + 1 + digits != length) return false;
    unsigned long n = strtoul(*at + named + 1, NULL, 10);
    if (n > UINT32_MAX) return false;
    snprintf(name, NAME_SIZE, "%.*s", (int)named, *at);
    if (!scales_name_valid(name)) return false;
    *number = (uint32_t)n;
    *at += length + ((*at)[length] == ',');
    return true;
}

char *config_scales_with(const char *scales, const char *name, uint32_t number)
{
    char other[NAME_SIZE];
    uint32_t n;
    char *ret = number > 0 ? tool_format("%s=%u", name, number) : tool_strdup("");
    while (scales_next(&scales, other, &n)) {
        if (strcmp(other, name) == 0) continue;
        char *longer = tool_format("%s%s%s=%u", ret, *ret != '\0' ? "," : "", other, n);
        free(ret);
        ret = longer;
    }
    return ret;
}

bool config_scales_wrong(const char *scales, bool agents, char ret[CONFIG_WORD])
{
    const char *at = scales, *word = at;
    char name[NAME_SIZE];
    uint32_t n;
    while (scales_next(&at, name, &n) && (!agents || strchr(name, '/') != NULL))
        word = at;
    if (*word == '\0' && (word == scales || word[-1] != ',')) return false;
    snprintf(ret, CONFIG_WORD, "%.*s", (int)strcspn(word, ","), word);
    return true;
}

static int scales_no_service(const struct ap_deployment *d, const char *name, uint32_t n, struct ap_config_error *error)
{
    const char *near = NULL;
    char known[320] = "";
    for (size_t i = 0; i < d->swarm_count; i++) {
        near = ap_word_nearest(name, near, d->swarms[i].service);
        ap_words_add(known, sizeof known, d->swarms[i].service);
    }
    return ap_node_refuse(ap_config_root(d->config), error, "%s=%u: there is no service %s%s%s%s; known: %s", name, n, name,
                          near != NULL ? " (did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?)" : "", known);
}

static int scales_no_agent(const struct ap_deployment_swarm *s, const char *name, uint32_t n, struct ap_config_error *error)
{
    const char *near = NULL;
    char known[320] = "";
    for (size_t i = 0; i < s->agent_count; i++) {
        if (s->agents[i].replica != 0) continue;
        near = ap_word_nearest(name, near, s->agents[i].name);
        ap_words_add(known, sizeof known, s->agents[i].name);
    }
    return ap_node_refuse(s->node, error, "%s/%s=%u: %s has no agent %s%s%s%s; known: %s", s->service, name, n, s->service, name,
                          near != NULL ? " (did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?)" : "", known);
}

int config_scales_known(const struct ap_deployment *d, const char *scales, struct ap_config_error *error)
{
    char name[NAME_SIZE];
    uint32_t n;
    while (scales_next(&scales, name, &n)) {
        const char *agent = scales_agent(name);
        const struct ap_deployment_swarm *s = ap_deployment_swarm(d, name);
        if (s == NULL) return scales_no_service(d, name, n, error);
        if (agent != NULL && ap_deployment_agent(s, agent) == NULL) return scales_no_agent(s, agent, n, error);
    }
    return 0;
}

char *config_scales_of(const char *scales, const char *service)
{
    char name[NAME_SIZE], of[NAME_SIZE];
    uint32_t n;
    char *ret = tool_strdup("");
    while (scales_next(&scales, name, &n)) {
        memcpy(of, name, sizeof of);
        if (scales_agent(of) == NULL || strcmp(of, service) != 0) continue;
        char *longer = config_scales_with(ret, name, n);
        free(ret);
        ret = longer;
    }
    return ret;
}

int config_scale(struct ap_deployment *d, const char *scales, struct ap_config_error *error)
{
    char name[NAME_SIZE];
    uint32_t n;
    while (scales_next(&scales, name, &n)) {
        const char *agent = scales_agent(name);
        int rc = ap_deployment_put_scale(d, name, agent, n, error);
        if (rc < 0 && rc != APIARY_EINVAL) return rc;
    }
    return 0;
}

int config_scale_judged(struct ap_deployment *d, const char *scales, struct ap_config_error *error)
{
    int rc = config_scale(d, scales, error);
    return rc < 0 || *scales == '\0' ? rc : ap_deployment_judge(d, error);
}

void config_blame_scales(const char *scales, struct ap_config_error *error)
{
    size_t length = strlen(error->text);
    ap_format(error->text + length, sizeof error->text - length,
              "; the text itself is right, but 'apiary scale' has set %s: set another number with it first", AP_SHOWN(scales, 200));
}

/* Whether the text of the other one says the same number. */
static bool scales_same(const struct ap_deployment_swarm *is, const struct ap_deployment_swarm *to, const char *agent)
{
    if (is == NULL || to == NULL) return false;
    if (agent == NULL)
        return to->autoscale.max == 0 && ap_deployment_written_instances(is) == ap_deployment_written_instances(to);
    const struct ap_deployment_agent *a = ap_deployment_agent(is, agent), *b = ap_deployment_agent(to, agent);
    return a != NULL && b != NULL && ap_deployment_written_replicas(a) == ap_deployment_written_replicas(b);
}

char *config_scales_kept(const char *scales, const struct ap_deployment *running, const struct ap_deployment *next)
{
    char name[NAME_SIZE], service[NAME_SIZE];
    uint32_t n;
    char *ret = tool_strdup(scales);
    while (scales_next(&scales, name, &n)) {
        memcpy(service, name, sizeof service);
        const char *agent = scales_agent(service);
        if (scales_same(ap_deployment_swarm(running, service), ap_deployment_swarm(next, service), agent)) continue;
        char *less = config_scales_with(ret, name, 0);
        free(ret);
        ret = less;
    }
    return ret;
}

/* ---- texts ---------------------------------------------------------------------------------------------------------- */

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

enum { ARGUMENT_SCALES = 7 }; /* in the list below */

static void config_send(struct config_keeper *k, const struct config_text *text)
{
    free(k->judge->argv[ARGUMENT_SCALES]);
    k->judge->argv[ARGUMENT_SCALES] = tool_strdup(text->scales);
    k->judge->input = text->text;
    k->judge->input_size = text->size;
    k->judge->last_exit = -1;
    *k->judge->words = '\0';
    crew_again(k->crew, k->judge);
    k->asked = ap_ops_system.now();
}

void config_ask_alone(struct config_keeper *k)
{
    *k->next.scales = '\0';
    config_send(k, &k->next);
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

/* Only the services that are run. */
static int config_parse(const struct config_keeper *k, const struct config_text *text, struct ap_deployment **ret,
                        struct ap_config_error *error)
{
    struct ap_deployment *d = NULL;
    int rc = ap_deployment_parse(k->path, text->text, text->size, NULL, NULL, &d, error);
    if (rc == 0 && k->phase != NULL) rc = ap_deployment_select(d, k->phase, error);
    if (rc == 0) *ret = d;
    else ap_deployment_free(d);
    return rc;
}

int config_open(struct config_keeper *k, const struct tool *t, const char *path, const char *phase, struct crew *crew,
                struct ap_deployment **ret)
{
    struct ap_config_error error = {.text = ""};
    *k = (struct config_keeper){.path = path, .phase = phase, .crew = crew, .revision = 1};
    int rc = config_read_whole(path, &k->now, &error);
    if (rc == 0) rc = config_parse(k, &k->now, ret, &error);
    if (rc < 0) return tool_error(t, rc, error.text, "configuration");
    k->now.scales = tool_strdup("");
    const char *const list[] = {"apiary", "up", "--check-config", "--stdin", "--config", path, "--instances", "", NULL};
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

static void config_forget(struct config_text *text)
{
    free(text->text);
    free(text->scales);
    *text = (struct config_text){.text = NULL};
}

void config_close(struct config_keeper *k)
{
    config_forget(&k->now);
    config_forget(&k->former);
    config_forget(&k->next);
}

/* ---- and those after it --------------------------------------------------------------------------------------------- */

static int config_ask_file(struct config_keeper *k, const struct ap_deployment *running, struct ap_config_error *error)
{
    struct ap_deployment *d = NULL;
    int rc = config_read_again(k->path, &k->next, error);
    if (rc == 0) rc = ap_deployment_parse(k->path, k->next.text, k->next.size, NULL, NULL, &d, error);
    if (rc < 0) return rc;
    k->next.scales = config_scales_kept(k->now.scales, running, d);
    ap_deployment_free(d);
    return 0;
}

int config_ask(struct config_keeper *k, enum config_which which, const struct ap_deployment *running, const char *scales,
               struct ap_config_error *error)
{
    const struct config_text *from = which == CONFIG_FORMER ? &k->former : &k->now;
    config_drop(k);
    if (which == CONFIG_FILE) {
        int rc = config_ask_file(k, running, error);
        if (rc < 0) return rc;
    } else {
        k->next = (struct config_text){.text = tool_alloc(from->size + 1), .size = from->size,
                                       .scales = tool_strdup(which == CONFIG_NOW ? scales : from->scales)};
        memcpy(k->next.text, from->text, from->size);
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
    int rc = config_parse(k, &k->next, ret, error);
    if (rc == 0) rc = config_scale_judged(*ret, k->next.scales, error);
    return rc == 0 ? TOOL_OK : tool_exit_code(rc);
}

void config_put(struct config_keeper *k)
{
    config_forget(&k->former);
    k->former = k->now;
    k->now = k->next;
    k->next = (struct config_text){.text = NULL};
    k->revision++;
}

void config_drop(struct config_keeper *k)
{
    config_forget(&k->next);
}
