/* tools/shmdump/shmdump.c - looks at a segment: live, dead or copied; without the daemon, without trusting a byte of it. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/common.h"
#include "core/process.h"
#include "tools/dump/dump.h"

#define FINDINGS_MAX 1000u /* lines; what is more is counted */

static const struct tool_usage usage = {
    .arguments = "[NAME|FILE]",
    .what = "Shows what is in a segment, or in a file copied from one; read-only, without the daemon.",
    .more = "NAME is a segment's (\"/apiary\" or \"apiary\"), FILE a copy of one. Without either: --segment, $APIARY_SEGMENT,\n"
            "or /apiary.\n"
            "With --verify the exit code is 0 for a sound segment, 1 when a recovery would mend all that was found, 2 when it is\n"
            "corrupt; 3 when it cannot be read at all.",
    .least = 0,
    .most = 1,
    .json = true,
    .table = true,
};

struct arguments {
    bool verify, tasks, watch;
    const char *events;
};

/* ---- a live segment that somebody cuts short ------------------------------------------------------------------ */

static void on_bus(int number)
{
    static const char text[] = "shmdump: the segment was cut short while it was being read; it is corrupt, recreate it\n";

    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(2);
    _exit(2);
}

/* ---- verify --------------------------------------------------------------------------------------------------- */

struct verdict {
    json_t *findings; /* NULL: lines on standard output */
    uint64_t shown;
};

static json_t *finding_json(const struct ap_finding *f)
{
    json_t *o = json_object();

    json_object_set_new(o, "severity", json_string(f->severity == AP_CORRUPT ? "corrupt" : "repairable"));
    json_object_set_new(o, "structure", tool_json_text(f->structure));
    json_object_set_new(o, "index", dump_number(f->index));
    json_object_set_new(o, "offset", dump_number(f->offset));
    json_object_set_new(o, "rule", tool_json_text(f->rule));
    json_object_set_new(o, "text", tool_json_text(f->text));
    return o;
}

static void on_finding(void *user, const struct ap_finding *f)
{
    struct verdict *v = user;
    char *text;

    if (v->shown == FINDINGS_MAX) return;
    v->shown++;
    if (v->findings != NULL) {
        json_array_append_new(v->findings, finding_json(f));
        return;
    }
    text = tool_printable(f->text, strlen(f->text));
    printf("%s: %s %" PRIu64 " offset %" PRIu64 " rule %s: %s\n", f->severity == AP_CORRUPT ? "corrupt" : "repairable",
           f->structure, f->index, f->offset, f->rule, text);
    free(text);
}

static json_t *shmdump_print_json(json_t *whole, bool one_line)
{
    json_t *o = json_object();

    json_object_set_new(o, "schema", json_integer(TOOL_JSON_SCHEMA));
    json_object_update(o, whole);
    json_decref(whole);
    json_dumpf(o, stdout, (one_line ? JSON_COMPACT : JSON_INDENT(2)) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(o);
    return NULL;
}

static int shmdump_verify(const struct tool *t, const struct dump *d, bool one_line)
{
    struct verdict v = {.findings = t->json ? json_array() : NULL};
    struct ap_report report = {.found = on_finding, .user = &v};
    uint64_t all;
    int code;

    dump_check(d, &report);
    all = report.corrupt + report.repairable;
    code = report.corrupt > 0 ? 2 : report.repairable > 0 ? 1 : 0;
    if (t->json) {
        json_t *o = json_object();
        json_object_set_new(o, "source", tool_json_text(d->source));
        json_object_set_new(o, "live", json_boolean(d->live));
        json_object_set_new(o, "verdict", json_string(code == 2 ? "corrupt" : code == 1 ? "repairable" : "sound"));
        json_object_set_new(o, "checked", dump_number(report.checked));
        json_object_set_new(o, "repairable", dump_number(report.repairable));
        json_object_set_new(o, "corrupt", dump_number(report.corrupt));
        json_object_set_new(o, "findings", v.findings);
        shmdump_print_json(o, one_line);
        return code;
    }
    if (all > v.shown) printf("... and %" PRIu64 " more\n", all - v.shown);
    if (code == 2 && !d->live)
        puts("A copy that was made while the segment was in use mixes instants: look at the segment itself, or copy it at rest.");
    printf("%s: %s: %" PRIu64 " words checked, %" PRIu64 " repairable, %" PRIu64 " corrupt\n", d->source,
           code == 2 ? "corrupt" : code == 1 ? "repairable, a recovery would mend it" : "sound", report.checked,
           report.repairable, report.corrupt);
    return code;
}

/* ---- once, or every second ------------------------------------------------------------------------------------ */

static int shmdump_show(const struct tool *t, const struct dump *d, const struct arguments *a, bool one_line)
{
    const struct dump_options options = {.tasks = a->tasks, .events = a->events != NULL ? (uint32_t)atoi(a->events) : 20};
    json_t *whole;

    if (a->verify) return shmdump_verify(t, d, one_line);
    whole = dump_json(d, &options);
    if (t->json) {
        shmdump_print_json(whole, one_line);
        return TOOL_OK;
    }
    dump_text(whole, stdout);
    json_decref(whole);
    return TOOL_OK;
}

static volatile sig_atomic_t shmdump_stopped;

/* Each second anew: a write that nobody reads may begin just after the first one. */
static void shmdump_stop(int number)
{
    (void)number;
    shmdump_stopped = 1;
    alarm(1);
}

/* Until SIGINT or SIGTERM, which end it in order, also where its output is not read; or nobody reads any more. */
static int watch(const struct tool *t, const char *source, const struct arguments *a)
{
    const struct sigaction stop = {.sa_handler = shmdump_stop}; /* it ends a write, and the wait */
    char message[384];
    struct dump d;
    int code = TOOL_OK;

    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGALRM, &stop, NULL);
    do {
        int r = dump_open(source, &d, message, sizeof message);
        if (r < 0) {
            code = tool_fail(t, TOOL_NO_SEGMENT, "%s", message);
            break;
        }
        if (!t->json && isatty(STDOUT_FILENO)) fputs("\033[H\033[2J", stdout);
        code = shmdump_show(t, &d, a, true);
        dump_close(&d);
        if (fflush(stdout) != 0 || ferror(stdout)) break;
    } while (!shmdump_stopped && poll(NULL, 0, 1000) == 0 && !shmdump_stopped);
    return code;
}

int main(int argc, char **argv)
{
    struct arguments a = {.events = NULL};
    const struct tool_option options[] = {
        {"verify", 'v', NULL, "run every checker; the exit code says what was found", NULL, &a.verify},
        {"tasks", 't', NULL, "also each task slot that is not free", NULL, &a.tasks},
        {"watch", 'w', NULL, "again every second, until Ctrl-C; with --json one line each", NULL, &a.watch},
        {"events", 'e', "N", "the newest N entries of the event log (20)", &a.events, NULL},
        {NULL, 0, NULL, NULL, NULL, NULL}};
    struct sigaction bus = {.sa_handler = on_bus};
    struct tool t = {.program = "shmdump"};
    const char *source;
    char message[384], *end;
    struct dump d;
    int r;

    ap_process_begin();
    r = tool_parse(&t, &usage, options, &argc, &argv);

    if (r != TOOL_GO_ON) return r;
    if (a.events != NULL && (strtoul(a.events, &end, 10) > 1u << 20 || *end != '\0' || end == a.events || *a.events == '-'))
        return tool_usage_error(&t, &usage, "--events wants a number up to %u", 1u << 20);
    sigaction(SIGBUS, &bus, NULL);
    source = argc > 0 ? argv[0] : tool_segment(&t, NULL);
    if (a.watch) return tool_finish(&t, watch(&t, source, &a));
    r = dump_open(source, &d, message, sizeof message);
    if (r < 0) return tool_fail(&t, TOOL_NO_SEGMENT, "%s", message);
    r = shmdump_show(&t, &d, &a, false);
    dump_close(&d);
    return tool_finish(&t, r);
}
