/* tools/apiary/dead.c - apiary dead ls, show, retry, discard, purge: the tasks that are not tried again. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/operate/operate.h"

#define SHOWN 4096u /* bytes of a body */

/* ---- which ones ------------------------------------------------------------------------------------------------ */

struct filter {
    struct operate_filter by;
    const char *older;
};

static bool filter_any(const struct filter *f)
{
    return f->by.capability != NULL || f->by.service != NULL || f->by.cause != NULL || f->older != NULL;
}

static int filter_read(const struct tool *t, const struct tool_usage *usage, struct filter *f)
{
    uint64_t age;

    f->by.before = UINT64_MAX;
    if (f->by.cause != NULL && !operate_cause_known(f->by.cause))
        return tool_usage_error(t, usage, "--cause: '%s' is none; 'crashed', 'lost', 'failed' and 'overrun' are", f->by.cause);
    if (f->older == NULL) return TOOL_OK;
    if (tool_duration(f->older, &age) < 0)
        return tool_usage_error(t, usage, "--older: '%s' is not a time; '90s', '5m' and '1h' are", f->older);
    f->by.before = ap_ops_system.realtime() - age;
    return TOOL_OK;
}

#define FILTERS(f)                                                                                       \
    {"capability", 'C', "NAME", "only tasks of this capability", &(f).by.capability, NULL},                 \
    {"service", 0, "NAME", "only tasks that ran last at this service", &(f).by.service, NULL},              \
    {"cause", 0, "CAUSE", "only those with CAUSE (crashed, lost, failed, overrun)", &(f).by.cause, NULL},         \
    {"older", 0, "TIME", "only tasks that died at least so long ago", &(f).older, NULL}, {.name = NULL},

/* ---- ls -------------------------------------------------------------------------------------------------------- */

static void dead_line(struct tool_table *table, const apiary_dead_t *d)
{
    char number[24], where[3 * APIARY_NAME_MAX + 8], why[48], starts[12], bytes[24], age[32];
    uint64_t now = ap_ops_system.realtime();

    snprintf(number, sizeof number, "%" PRIu64, d->number);
    snprintf(where, sizeof where, "%s/%s/%s", d->service, d->instance, d->agent);
    snprintf(starts, sizeof starts, "%u", d->starts);
    snprintf(bytes, sizeof bytes, "%zu", d->size);
    tool_table_add(table, (const char *const[]){number, d->capability, where, view_dead_why(d, why, sizeof why), starts, bytes,
                                                now > d->died ? tool_format_duration(now - d->died, age) : "-"});
}

static int dead_list(const struct tool *t, apiary_t *a, const struct filter *f)
{
    static const char *const heads[] = {"=number", "capability", "where", "why", "?>starts", "?>bytes", ">age", NULL};
    struct tool_table *table = t->json ? NULL : tool_table_new(heads);
    json_t *list = json_array();
    apiary_dead_t d = {.struct_size = sizeof d};
    uint64_t dropped = 0;

    while (apiary_dead_next(a, d.number, &d) == 1) {
        if (d.dropped > dropped) dropped = d.dropped;
        if (!operate_takes(&f->by, &d)) continue;
        if (t->json) json_array_append_new(list, view_dead_json(&d));
        else dead_line(table, &d);
    }
    if (t->json)
        return tool_json_print(json_pack("{s:s, s:I, s:o}", "segment", tool_segment(t, NULL), "dropped", (json_int_t)dropped,
                                         "dead", list));
    json_decref(list);
    tool_table_print(table, stdout);
    if (dropped != 0) printf("%" PRIu64 " older ones were dropped for want of room\n", dropped);
    return TOOL_OK;
}

static int dead_ls(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "dead ls",
        .arguments = "",
        .what = "Lists the dead set: tasks that are not tried again, because they crashed their workers, lost them, or failed.",
        .json = true,
        .table = true,
    };
    struct filter f = {.older = NULL};
    const struct tool_option options[] = {FILTERS(f)};
    apiary_t *a = NULL;
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc == TOOL_GO_ON) rc = filter_read(t, &usage, &f);
    else return rc;
    if (rc == TOOL_OK) rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    rc = dead_list(t, a, &f);
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* ---- show ------------------------------------------------------------------------------------------------------ */

static int dead_number(const struct tool *t, const struct tool_usage *usage, const char *text, uint64_t *ret)
{
    char *end;

    *ret = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0' && *ret != 0) return TOOL_OK;
    return tool_usage_error(t, usage, "'%s' is not the number of an entry; 'apiary dead ls' lists them", text);
}

static bool dead_get(apiary_t *a, uint64_t number, apiary_dead_t *ret)
{
    *ret = (apiary_dead_t){.struct_size = sizeof *ret};
    return apiary_dead_next(a, number - 1, ret) == 1 && ret->number == number;
}

/* The body's beginning, as text; the caller's. */
static char *dead_text_of(apiary_t *a, uint64_t number)
{
    char body[SHOWN];
    int64_t size = apiary_dead_body(a, number, body, sizeof body);

    return tool_printable(body, size < 0 ? 0 : (size_t)size < sizeof body ? (size_t)size : sizeof body);
}

static void dead_print(const apiary_dead_t *d, const char *body)
{
    char id[48], why[48], at[32];

    printf("number       %" PRIu64 "\ntask         %s\ndied         %s\nwhy          %s\n", d->number,
           tool_format_task(d->task, id), tool_format_time(d->died, at), view_dead_why(d, why, sizeof why));
    printf("error        %s\n", apiary_strerror(d->code));
    if (d->text[0] != '\0') printf("text         %s\n", d->text);
    printf("starts       %u\ncrashes      %u\ncapability   %s\ncaller       %s\n", d->starts, d->crashes, d->capability,
           d->caller[0] != '\0' ? d->caller : "-");
    printf("service      %s\ninstance     %s\nagent        %s\npid          ", d->service, d->instance, d->agent);
    if (d->pid != 0) printf("%" PRId64 "\n", d->pid);
    else printf("-\n");
    printf("request      %zu bytes\n%s\n", d->size, body);
}

/* With its body: a line of the list, or printed. */
static void show_one(const struct tool *t, apiary_t *a, const apiary_dead_t *d, json_t *list)
{
    char *body = dead_text_of(a, d->number);

    if (t->json) {
        json_t *o = view_dead_json(d);
        json_object_set_new(o, "body", json_string(body));
        json_array_append_new(list, o);
    } else {
        dead_print(d, body);
    }
    free(body);
}

static int show_numbers(const struct tool *t, apiary_t *a, int argc, char **argv, json_t *list)
{
    for (int i = 0; i < argc; i++) {
        apiary_dead_t d;

        if (!dead_get(a, strtoull(argv[i], NULL, 10), &d))
            return tool_error(t, APIARY_ESTALE, "no such task in the dead set", "number %s", argv[i]);
        if (i > 0 && !t->json) printf("\n");
        show_one(t, a, &d, list);
    }
    return TOOL_OK;
}

static void show_all(const struct tool *t, apiary_t *a, const struct filter *f, json_t *list)
{
    apiary_dead_t d = {.struct_size = sizeof d};

    for (int n = 0; apiary_dead_next(a, d.number, &d) == 1;) {
        if (!operate_takes(&f->by, &d)) continue;
        if (n++ > 0 && !t->json) printf("\n");
        show_one(t, a, &d, list);
    }
}

/* Which ones a command is to do something with: numbers, or what the options leave. */
static int which(const struct tool *t, const struct tool_usage *usage, int argc, char **argv, struct filter *f)
{
    uint64_t number;
    int rc = filter_read(t, usage, f);

    for (int i = 0; rc == TOOL_OK && i < argc; i++) rc = dead_number(t, usage, argv[i], &number);
    if (rc == TOOL_OK && usage->most != 0 && (argc > 0) == filter_any(f))
        return tool_usage_error(t, usage, "say which: numbers, or some of --capability, --service, --cause and --older");
    return rc;
}

static int dead_show(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "dead show",
        .arguments = "[NUMBER...]",
        .what = "Shows tasks of the dead set, and the beginnings of their requests.",
        .most = -1,
        .json = true,
    };
    struct filter f = {.older = NULL};
    const struct tool_option options[] = {FILTERS(f)};
    apiary_t *a = NULL;
    json_t *list;
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    rc = which(t, &usage, argc, argv, &f);
    if (rc == TOOL_OK) rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    list = json_array();
    if (argc > 0) rc = show_numbers(t, a, argc, argv, list);
    else show_all(t, a, &f, list);
    if (t->json && rc == TOOL_OK) rc = tool_json_print(json_pack("{s:O}", "dead", list));
    json_decref(list);
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* ---- retry, discard, purge ------------------------------------------------------------------------------------- */

/* A command that does the same with several. */
struct acting {
    const struct tool *t;
    struct operate_hands hands;
    operate_dead_fn act;
    const char *done;
    int rc; /* the last one that is not TOOL_OK */
};

static void act_on(void *user, uint64_t number)
{
    struct acting *acting = user;
    apiary_task_t task = {.generation = 0};
    char id[48] = "";
    int r = acting->act(&acting->hands, number, &task);

    if (r < 0) {
        acting->rc = tool_error(acting->t, r, r == APIARY_ESTALE ? "no such task in the dead set" : NULL, "number %" PRIu64,
                                number);
        return;
    }
    if (task.generation != 0) tool_format_task(task, id);
    printf("%" PRIu64 " %s%s%s\n", number, acting->done, id[0] != '\0' ? " as " : "", id);
}

static int dead_act(struct tool *t, const struct tool_usage *usage, operate_dead_fn act, const char *done, int argc, char **argv)
{
    struct filter f = {.older = NULL};
    const struct tool_option options[] = {FILTERS(f)};
    struct acting acting;
    apiary_t *a = NULL;
    int rc = tool_parse(t, usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    rc = which(t, usage, argc, argv, &f);
    if (rc != TOOL_OK) return rc;
    rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    acting = (struct acting){.t = t, .hands = {.a = a}, .act = act, .done = done, .rc = TOOL_OK};
    if (argc == 0) (void)operate_each(a, &f.by, UINT32_MAX, act_on, &acting);
    for (int i = 0; i < argc; i++) act_on(&acting, strtoull(argv[i], NULL, 10));
    operate_end(&acting.hands);
    apiary_detach(a);
    return tool_finish(t, acting.rc);
}

static int dead_retry(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "dead retry",
        .arguments = "[NUMBER...]",
        .what = "Delegates tasks of the dead set anew, fire and forget, and takes them out of it.",
        .most = -1,
    };
    return dead_act(t, &usage, operate_retry, "delegated", argc, argv);
}

static int dead_discard(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "dead discard",
        .arguments = "[NUMBER...]",
        .what = "Takes tasks out of the dead set for good.",
        .most = -1,
    };
    return dead_act(t, &usage, operate_discard, "discarded", argc, argv);
}

static int dead_purge(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "dead purge",
        .arguments = "",
        .what = "Empties the dead set, of all that the options leave.",
    };
    return dead_act(t, &usage, operate_discard, "discarded", argc, argv);
}

int cmd_dead(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "dead",
        .arguments = "ls | show NUMBER... | retry NUMBER... | discard NUMBER... | purge",
        .what = "Lists, shows, retries and discards tasks that are not tried again; 'apiary dead ls --help' tells more.",
        .most = -1,
    };
    static const struct apiary_command commands[] = {
        {"ls", "list them", dead_ls},
        {"show", "show one", dead_show},
        {"retry", "delegate them anew", dead_retry},
        {"discard", "take them out", dead_discard},
        {"purge", "take all out", dead_purge},
        {NULL, NULL, NULL},
    };
    return apiary_subcommand(t, &usage, commands, argc, argv);
}
