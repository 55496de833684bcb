/* tools/common/common.c - options, exit codes and messages of the command-line programs; see common.h. */
#include "tools/common/common.h"

#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/log.h"
#include "core/process.h"
#include "core/text.h"

#define OPTIONS_MAX 24
enum { FIRST_LONG_ONLY = 256 };

/* One row per error of apiary_error.def; what is not here is a refusal because of load, or else a failure of the operation. */
static const struct {
    int error;
    enum tool_exit exit_code;
} exit_codes[] = {
    {APIARY_EINVAL, TOOL_USAGE},        {APIARY_ENOSEG, TOOL_NO_SEGMENT},   {APIARY_ECREATING, TOOL_NO_SEGMENT},
    {APIARY_ECREATOR, TOOL_NO_SEGMENT}, {APIARY_EVERSION, TOOL_NO_SEGMENT}, {APIARY_ETOOSMALL, TOOL_NO_SEGMENT},
    {APIARY_ENOTOURS, TOOL_NO_SEGMENT}, {APIARY_EPERM, TOOL_NO_SEGMENT},    {APIARY_ECORRUPT, TOOL_NO_SEGMENT},
    {APIARY_ENOCAP, TOOL_NO_PROVIDER},  {APIARY_ENOPROVIDER, TOOL_NO_PROVIDER},{APIARY_ENOLANE, TOOL_FULL},
    {APIARY_ETABLEFULL, TOOL_FULL},     {APIARY_ETOOLARGE, TOOL_TOO_LARGE}, {APIARY_ENOTREADY, TOOL_TIMEOUT},
    {APIARY_ETIMEDOUT, TOOL_TIMEOUT},   {APIARY_ENOTSUP, TOOL_CANNOT},      {APIARY_ECONFIG, TOOL_CONFIG},
    {APIARY_ETIMENS, TOOL_NO_SEGMENT},  {APIARY_EQUOTA, TOOL_FULL},
};

int tool_exit_code(int error)
{
    if (error >= 0) return TOOL_OK;
    for (size_t i = 0; i < sizeof exit_codes / sizeof *exit_codes; i++) {
        if (exit_codes[i].error == error) return (int)exit_codes[i].exit_code;
    }
    return apiary_retry_after(error) != 0 ? TOOL_FULL : TOOL_FAILED;
}

/* ---- messages ------------------------------------------------------------------------------------------------- */

static bool serving;

int tool_serve(const struct tool *t)
{
    if (ap_process_serve() < 0)
        return tool_fail(t, TOOL_USAGE, "APIARY_KEEP_FDS is '%s'; it is a list of descriptors such as 4,9, or unset",
                         AP_SHOWN(getenv("APIARY_KEEP_FDS"), 60));
    serving = true;
    return TOOL_OK;
}

int tool_first(const struct tool *t)
{
    if (ap_process_first() == 0) return TOOL_OK;
    return tool_fail(t, TOOL_CANNOT, "cannot start a process beside the first one: %s", strerror(errno));
}

/* In one piece: lines of several processes do not mix. */
static void say(const char *line)
{
    fflush(stdout);
    if (serving) {
        ap_log_bytes(line, strlen(line));
    } else {
        fputs(line, stderr);
    }
}

static void say_as(const struct tool *t, const char *format, va_list list, const char *then)
{
    char *text = NULL;
    if (vasprintf(&text, format, list) < 0) text = NULL;
    char *line = tool_format("%s: %s%s\n", t->program, text != NULL ? text : format, then);
    say(line);
    free(line);
    free(text);
}

int tool_error(const struct tool *t, int error, const char *message, const char *format, ...)
{
    const char *advice = apiary_advice(error);
    bool own = message != NULL && *message != '\0';
    bool nobody = error == APIARY_ENOCAP || error == APIARY_ENOPROVIDER; /* in this segment: perhaps another one was meant */
    char *where = nobody ? tool_format(" in %s", tool_segment(t, NULL)) : tool_format("%s", "");
    char *then = own ? tool_format("%s: %s", where, message)
                     : tool_format("%s: %s%s%s", where, apiary_strerror(error), *advice != '\0' ? "; " : "", advice);
    va_list list;
    va_start(list, format);
    say_as(t, format, list, then);
    va_end(list);
    free(then);
    free(where);
    return tool_exit_code(error);
}

int tool_fail(const struct tool *t, int exit_code, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say_as(t, format, list, "");
    va_end(list);
    return exit_code;
}

void tool_warn(const struct tool *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say_as(t, format, list, "");
    va_end(list);
}

int tool_usage_error(const struct tool *t, const struct tool_usage *usage, const char *format, ...)
{
    bool command = usage->command != NULL;
    char *then = tool_format("\nusage: %s%s%s [OPTION...]%s%s; '%s%s%s --help' tells more", t->program, command ? " " : "",
                             command ? usage->command : "", *usage->arguments != '\0' ? " " : "", usage->arguments,
                             t->program, command ? " " : "", command ? usage->command : "");
    va_list list;
    va_start(list, format);
    say_as(t, format, list, then);
    va_end(list);
    free(then);
    return TOOL_USAGE;
}

void tool_print_version(const char *program)
{
    printf("%s %s\n", program, apiary_version());
}

/* ---- options -------------------------------------------------------------------------------------------------- */

static void help_row(int letter, const char *name, const char *argument, const char *what)
{
    char left[64];
    char short_form[8] = "    ";
    if (letter != 0) snprintf(short_form, sizeof short_form, "-%c, ", letter);
    bool may = argument != NULL && *argument == '['; /* --wait[=TIME] */
    snprintf(left, sizeof left, "  %s--%s%s%s", short_form, name, may ? "[=" : argument != NULL ? " " : "",
             argument != NULL ? argument + may : "");
    printf("%-26s %s\n", left, what);
}

static void common_help(const struct tool *t, const struct tool_usage *usage, const struct tool_option *options)
{
    printf("usage: %s%s%s [OPTION...]%s%s\n\n%s\n\n", t->program, usage->command != NULL ? " " : "",
           usage->command != NULL ? usage->command : "", *usage->arguments != '\0' ? " " : "", usage->arguments,
           usage->what);
    if (usage->more != NULL) printf("%s\n\n", usage->more);
    for (const struct tool_option *o = options; o->name != NULL; o++)
        help_row(o->letter, o->name, o->argument, o->what);
    if (usage->table) help_row('W', "wide", NULL, "on a terminal, too: all columns of the table, and nothing cut");
    if (usage->json) help_row('j', "json", NULL, "print one JSON object, with its \"schema\" number");
    help_row('s', "segment", "NAME", "the segment [$APIARY_SEGMENT, else /apiary]");
    help_row('h', "help", NULL, "print this and leave");
    help_row('V', "version", NULL, "print the version and leave");
}

/* Fills getopt's two tables; `ids` finds the row again. */
static size_t getopt_tables(const struct tool_usage *usage, const struct tool_option *options, struct option *longs,
                            char *shorts, size_t shorts_size)
{
    size_t n = 0;
    size_t s = 0;
    shorts[s++] = ':';
    for (const struct tool_option *o = options; o->name != NULL && n < OPTIONS_MAX; o++, n++) {
        bool may = o->argument != NULL && *o->argument == '[';
        longs[n] = (struct option){o->name, may ? optional_argument : o->argument != NULL, NULL,
                                   FIRST_LONG_ONLY + (int)n};
        if (o->letter != 0 && s + 4 < shorts_size) {
            shorts[s++] = (char)o->letter;
            if (o->argument != NULL) shorts[s++] = ':';
            if (may) shorts[s++] = ':';
        }
    }
    size_t own = n;
    if (usage->table) longs[n++] = (struct option){"wide", 0, NULL, 'W'};
    if (usage->json) longs[n++] = (struct option){"json", 0, NULL, 'j'};
    longs[n++] = (struct option){"segment", 1, NULL, 's'};
    longs[n++] = (struct option){"help", 0, NULL, 'h'};
    longs[n++] = (struct option){"version", 0, NULL, 'V'};
    longs[n] = (struct option){NULL, 0, NULL, 0};
    snprintf(shorts + s, shorts_size - s, "%s%ss:hV", usage->table ? "W" : "", usage->json ? "j" : "");
    return own;
}

static const struct tool_option *option_of(const struct tool_option *options, int found)
{
    if (found >= FIRST_LONG_ONLY) return &options[found - FIRST_LONG_ONLY];
    for (const struct tool_option *o = options; o->name != NULL; o++) {
        if (o->letter == found) return o;
    }
    return NULL;
}

static int check_count(const struct tool *t, const struct tool_usage *usage, int count, char **arguments)
{
    if (count < usage->least) return tool_usage_error(t, usage, "%s is missing", usage->arguments);
    if (usage->most >= 0 && count > usage->most)
        return tool_usage_error(t, usage, "'%s' is one argument too many", arguments[usage->most]);
    return TOOL_GO_ON;
}

int tool_parse(struct tool *t, const struct tool_usage *usage, const struct tool_option *options, int *argc,
               char ***argv)
{
    struct option longs[OPTIONS_MAX + 6];
    char shorts[4 * OPTIONS_MAX + 16];
    getopt_tables(usage, options, longs, shorts, sizeof shorts);
    optind = 0; /* also forgets what an earlier call kept */
    for (;;) {
        int found = getopt_long(*argc, *argv, shorts, longs, NULL);
        if (found == -1) break;
        const struct tool_option *o = found == '?' || found == ':' ? NULL : option_of(options, found);
        if (o != NULL && o->flag != NULL) {
            *o->flag = true;
        } else if (o != NULL) {
            *o->value = optarg != NULL ? optarg : "";
        } else if (found == 's') {
            t->segment = optarg;
            if (*optarg == '\0') return tool_usage_error(t, usage, "--segment: the name is empty");
        } else if (found == 'j') {
            t->json = true;
        } else if (found == 'W') {
            tool_table_wide();
        } else if (found == 'h') {
            common_help(t, usage, options);
            return tool_finish(t, TOOL_OK);
        } else if (found == 'V') {
            tool_print_version(t->program);
            return tool_finish(t, TOOL_OK);
        } else if (found == ':') {
            return tool_usage_error(t, usage, "option '%s' needs a value", (*argv)[optind - 1]);
        } else if (optopt != 0 && strchr(shorts, optopt) == NULL) { /* optind is still at what has other letters behind it */
            return tool_usage_error(t, usage, "there is no option '-%c'", isprint(optopt) ? optopt : '?');
        } else {
            return tool_usage_error(t, usage, "there is no option '%s'", (*argv)[optind - 1]);
        }
    }
    if (t->json && !usage->json) return tool_usage_error(t, usage, "there is no option '--json'");
    *argc -= optind;
    *argv += optind;
    return check_count(t, usage, *argc, *argv);
}

/* ---- the segment ---------------------------------------------------------------------------------------------- */

const char *tool_segment(const struct tool *t, const char *otherwise)
{
    static char with_slash[256]; /* longer than a name may be, so that the library refuses it */
    const char *name = t->segment;
    if (name == NULL) name = getenv("APIARY_SEGMENT");
    if (name == NULL || *name == '\0') name = otherwise;
    if (name == NULL || *name == '\0') name = APIARY_DEFAULT_SEGMENT;
    if (*name == '/') return name;
    snprintf(with_slash, sizeof with_slash, "/%s", name);
    return with_slash;
}

int tool_choose_segment(const struct tool *t, const char *path, const char *configured, const char **name, const char **why)
{
    static char of_file[320];
    const char *environment = getenv("APIARY_SEGMENT");
    bool from_environment = t->segment == NULL && environment != NULL && *environment != '\0';
    bool from_file = t->segment == NULL && !from_environment && configured != NULL && *configured != '\0';
    *name = tool_segment(t, configured);
    if (from_environment && configured != NULL && strcmp(configured, *name) != 0)
        return tool_fail(t, TOOL_CONFIG,
                         "APIARY_SEGMENT is %s, but %s says segment: %s; unset the variable, or say which with --segment",
                         environment, path, configured);
    ap_format(of_file, sizeof of_file, "as %s says", path != NULL ? path : "");
    *why = t->segment != NULL ? "as --segment says"
           : from_environment ? "as APIARY_SEGMENT says"
           : from_file        ? of_file
                              : "by default";
    return TOOL_OK;
}

const char *tool_config_path(const char *option)
{
    static const char installed[] = "/etc/apiary/apiary.yaml";
    if (option != NULL) return option;
    const char *named = getenv("APIARY_CONFIG");
    if (named != NULL && *named != '\0') return named;
    return access(installed, F_OK) == 0 ? installed : NULL;
}

static int attach_with(const struct tool *t, const char *segment, apiary_attach_options_t options, apiary_t **ret)
{
    char message[512] = "";
    options.message = message;
    options.message_size = sizeof message;
    int rc = apiary_attach(segment, &options, ret);
    if (rc == 0) return TOOL_OK;
    return *message != '\0' ? tool_error(t, rc, message, "attach") : tool_error(t, rc, NULL, "attach: %s", segment);
}

int tool_attach(const struct tool *t, const char *segment, bool read_only, apiary_t **ret)
{
    apiary_attach_options_t options = {.struct_size = sizeof options, .kind = APIARY_TOOL, .read_only = read_only};
    return attach_with(t, segment, options, ret);
}

int tool_attach_for(const struct tool *t, const char *segment, const char *service, apiary_t **ret)
{
    apiary_attach_options_t options = {.struct_size = sizeof options, .kind = APIARY_TOOL, .swarm = service};
    return attach_with(t, segment, options, ret);
}

/* ---- the rest ------------------------------------------------------------------------------------------------- */

int tool_finish(const struct tool *t, int exit_code)
{
    static bool told;
    int rc = TOOL_FAILED;
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return exit_code;
    if (!told)
        rc = tool_fail(t, TOOL_FAILED, "standard output %s", errno == EBADF    ? "is closed"
                                                             : errno == ENOSPC ? "is full: no space left on its device"
                                                                               : "did not take everything");
    told = true;
    return exit_code == TOOL_OK ? rc : exit_code;
}

bool tool_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || (*path != '/' && *path != '@')) return true;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    if (size >= sizeof to.sun_path) return true;
    memcpy(to.sun_path, path, size);
    if (*path == '@') to.sun_path[0] = '\0'; /* the abstract name space */
    int fd = ap_fd_socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0) return false;
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
    bool full = sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS);
    close(fd);
    return !full; /* a manager that is gone changes nothing here */
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* The first part is for all, the last for those that cannot fail. */
enum { SPARE_PARTS = 2 };
static const size_t spare_sizes[SPARE_PARTS] = {(size_t)32 << 20, (size_t)16 << 20};
static _Thread_local struct {
    void *parts[SPARE_PARTS];
    bool begun, lacked;
} spare;

bool tool_spare_begin(void)
{
    spare.lacked = false;
    spare.begun = true;
    for (int i = 0; i < SPARE_PARTS; i++) {
        if (spare.parts[i] == NULL) spare.parts[i] = malloc(spare_sizes[i]);
        spare.begun = spare.begun && spare.parts[i] != NULL;
    }
    return spare.begun;
}

bool tool_spare_end(void)
{
    bool whole = spare.begun && !spare.lacked;

    spare.begun = false;
    return whole;
}

void tool_spare_free(void)
{
    for (int i = 0; i < SPARE_PARTS; i++) {
        free(spare.parts[i]);
        spare.parts[i] = NULL;
    }
}

/* One of the first `parts` back to the system; false: there is none left. */
static bool spare_give(int parts)
{
    for (int i = 0; spare.begun && i < parts; i++) {
        if (spare.parts[i] == NULL) continue;
        free(spare.parts[i]);
        spare.parts[i] = NULL;
        return true;
    }
    return false;
}

static void *spare_malloc(size_t size)
{
    void *block = malloc(size);

    while (block == NULL && spare_give(SPARE_PARTS - 1)) block = malloc(size);
    if (block == NULL) spare.lacked = true;
    return block;
}

void tool_spare_json(void)
{
    json_set_alloc_funcs(spare_malloc, free);
}

void *tool_or_end(void *block)
{
    if (block != NULL) return block;
    fputs("out of memory\n", stderr);
    exit(TOOL_FAILED);
}

void *tool_alloc(size_t size)
{
    size_t n = size > 0 ? size : 1;
    void *block = calloc(1, n);

    while (block == NULL && spare_give(SPARE_PARTS)) block = calloc(1, n);
    return tool_or_end(block);
}

void *tool_realloc(void *block, size_t size)
{
    size_t n = size > 0 ? size : 1;
    void *other = realloc(block, n);

    while (other == NULL && spare_give(SPARE_PARTS)) other = realloc(block, n);
    return tool_or_end(other);
}

char *tool_strdup(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(tool_alloc(size), text, size);
}

char *tool_format(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *text = tool_vformat(format, list);
    va_end(list);
    return text;
}

char *tool_vformat(const char *format, va_list list)
{
    va_list again;
    char *text = NULL;

    va_copy(again, list);
    if (vasprintf(&text, format, list) < 0) text = NULL;
    while (text == NULL && spare_give(SPARE_PARTS)) {
        va_list last;

        va_copy(last, again);
        if (vasprintf(&text, format, last) < 0) text = NULL;
        va_end(last);
    }
    va_end(again);
    return tool_or_end(text);
}
