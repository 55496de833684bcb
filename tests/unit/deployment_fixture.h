/* deployment_fixture.h - a configuration file in a folder of its own, kinds to check it against, and how it is refused. */
#ifndef DEPLOYMENT_FIXTURE_H
#define DEPLOYMENT_FIXTURE_H

#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/deployment/deployment.h"

static const apiary_agent_key_t exec_keys[] = {
    {"command", 'l', 1, "program and arguments", 0, 0},
    {"time_limit", 'd', 0, NULL, 1000000, INT64_C(3600000000000)},
    {"memory_limit", 'z', 0, NULL, 0, 0},
    {"clean", 'b', 0, NULL, 0, 0},
    {"name", 's', 0, NULL, 0, 0},
    {"niceness", 'i', 0, NULL, -20, 19},
    {.name = NULL},
};
static const apiary_agent_key_t odd_keys[] = {{"x", '?', 0, NULL, 0, 0}, {.name = NULL}};
static const apiary_agent_kind_t kind_exec = {APIARY_AGENT_KIND, .name = "exec", .keys = exec_keys};
static const apiary_agent_kind_t kind_echo = {APIARY_AGENT_KIND, .name = "echo"};
static const apiary_agent_kind_t kind_cache = {APIARY_AGENT_KIND, .name = "cache_manager"};
static const apiary_agent_kind_t kind_odd = {APIARY_AGENT_KIND, .name = "odd", .keys = odd_keys};
static const apiary_agent_kind_t *const kinds[] = {&kind_exec, &kind_echo, &kind_cache, &kind_odd, NULL};

static struct ap_config_error error;
static char folder[64], path[128];

static void set_up(void)
{
    mallopt(M_PERTURB, 0xa5); /* fresh memory is no end of a list */
    strcpy(folder, "/tmp/apiary-deployment-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/host.yaml", folder);
}

static void tear_down(void)
{
    unlink(path);
    rmdir(folder);
}

static void write_file(const char *text, size_t size)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(text, 1, size, f), size);
    cr_assert_eq(fclose(f), 0);
}

static struct ap_deployment *load(const char *text)
{
    struct ap_deployment *d = NULL;

    write_file(text, strlen(text));
    cr_assert_eq(ap_deployment_load(path, kinds, &d, &error), 0, "%s", error.text);
    return d;
}

/* The sentence that refuses the text, behind "<path>:". */
static inline const char *refused(const char *text)
{
    struct ap_deployment *d = (void *)&error;
    size_t length = strlen(path);

    write_file(text, strlen(text));
    error.text[0] = '\0';
    cr_expect_eq(ap_deployment_load(path, kinds, &d, &error), APIARY_ECONFIG, "%s", text);
    cr_expect_eq(d, (void *)&error, "outputs are untouched on failure");
    if (strncmp(error.text, path, length) != 0 || error.text[length] != ':') return error.text;
    return error.text + length + 1;
}

struct row {
    const char *text, *sentence;
};

static inline void all_refused(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_expect_str_eq(refused(rows[i].text), rows[i].sentence);
}
#define ALL_REFUSED(rows) all_refused(rows, sizeof(rows) / sizeof(rows)[0])

/* What the sentences end with. */
#define NAME "; expected a letter, then letters, digits, '_', '.', '-', all lower case, at most 47"
#define CAPABILITY \
    "; expected a letter, then letters, digits, '_', '.', '-', all lower case, and perhaps @major (1 to 65535), at " \
    "most " \
    "63 in all"
#define WHOLE "; expected a whole number, without quotes"
#define AGENTS "    agents: [{name: a, kind: echo, capabilities: c}]\n"
#define S "swarms:\n  - service: s\n    agents:\n"

#endif
