/* tools/apiary/report.c - apiary report: what is known of a segment and its machine, in one archive, for somebody elsewhere.
 *
 * Each part of it is a file of a folder; most are what another command prints. A part that fails, or that takes longer than
 * PATIENCE, is told in the report's own contents and leaves the others as they are: a report is wanted most where something is
 * wrong. The folder lies beside the archive and is removed with all ends but kill -9.
 */
#include "tools/apiary/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/text.h"
#include "tools/apiary/apiary.h"

#define PATIENCE 60 /* s, for one part */

struct report {
    const struct tool *t;
    const char *segment, *output;
    char *folder, *inside; /* inside: what is packed, one folder with the archive's name */
    FILE *contents;
    json_t *files, *missing;
    sigset_t before, set;
    int interrupted; /* a signal; 0: none */
};

/* ---- parts -------------------------------------------------------------------------------------------------------- */

static char *part_path(const struct report *r, const char *name)
{
    return tool_format("%s/%s", r->inside, name);
}

static void part_missing(struct report *r, const char *name, const char *why)
{
    fprintf(r->contents, "%-18s MISSING: %s\n", name, why);
    json_array_append_new(r->missing, json_pack("{s:s, s:o}", "file", name, "why", tool_json_text(why)));
}

static void part_done(struct report *r, const char *name, const char *what)
{
    fprintf(r->contents, "%-18s %s\n", name, what);
    json_array_append_new(r->files, json_string(name));
}

static FILE *part_open(struct report *r, const char *name)
{
    char *path = part_path(r, name), why[REPORT_WHY];
    int fd = ap_fd_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    FILE *ret = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (ret == NULL) {
        ap_format(why, sizeof why, "%s", strerror(errno));
        part_missing(r, name, why);
        if (fd >= 0) close(fd);
    }
    free(path);
    return ret;
}

static bool part_close(struct report *r, const char *name, FILE *out)
{
    bool failed = ferror(out) != 0;

    failed |= fclose(out) != 0;
    if (failed) part_missing(r, name, strerror(errno));
    return !failed;
}

/* ---- programs ----------------------------------------------------------------------------------------------------- */

static void program_become(const struct report *r, char *const *argv, int out, int errors, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    sigprocmask(SIG_SETMASK, &r->before, NULL);
    dup2(out, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    execvp(argv[0], argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Until it has ended, or is killed for taking too long, or since this process is told to end: its status. */
static int program_wait(struct report *r, pid_t pid)
{
    const struct timespec at = {.tv_sec = 1};
    int status, s;

    for (int waited = 0; waitpid(pid, &status, WNOHANG) != pid;) {
        s = sigtimedwait(&r->set, NULL, &at);
        if (s < 0 && errno == EAGAIN) waited++;
        if (s > 0 && s != SIGCHLD) r->interrupted = s;
        if (r->interrupted != 0 || waited > PATIENCE) kill(pid, SIGKILL);
    }
    return status;
}

/* False: it did not end with one of the codes up to `most`; `why` says how, with the last it said. */
static bool program_run(struct report *r, char *const *argv, int out, int most, char why[REPORT_WHY])
{
    char *path = tool_format("%s/errors", r->folder), said[128];
    int errors = ap_fd_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), status;
    ssize_t n = 0;
    pid_t parent = getpid(), pid = errors >= 0 ? fork() : -1;

    free(path);
    if (pid == 0) program_become(r, argv, out, errors, parent);
    if (pid < 0) {
        ap_format(why, REPORT_WHY, "%s: %s", argv[0], strerror(errno));
        if (errors >= 0) close(errors);
        return false;
    }
    status = program_wait(r, pid);
    n = pread(errors, said, sizeof said - 1, 0);
    close(errors);
    said[n > 0 ? n : 0] = '\0';
    said[strcspn(said, "\n")] = '\0';
    if (WIFEXITED(status) && WEXITSTATUS(status) <= most) return true;
    if (WIFEXITED(status)) ap_format(why, REPORT_WHY, "exit %d; it said: %s", WEXITSTATUS(status), AP_SHOWN(said, 120));
    else ap_format(why, REPORT_WHY, "ended by signal %d, within %d s", WTERMSIG(status), PATIENCE);
    return false;
}

/* The output of a program. `most`: the greatest exit code with which it is whole. */
static void part_program(struct report *r, const char *name, const char *what, char *const *argv, int most)
{
    char why[REPORT_WHY], *path;
    struct stat st;
    FILE *out;
    bool ran;

    if (r->interrupted != 0 || (out = part_open(r, name)) == NULL) return;
    ran = program_run(r, argv, fileno(out), most, why);
    if (!part_close(r, name, out)) return;
    if (ran) {
        part_done(r, name, what);
        return;
    }
    part_missing(r, name, why);
    path = part_path(r, name);
    if (stat(path, &st) == 0 && st.st_size == 0) unlink(path); /* else what it printed stays */
    free(path);
}

static const struct {
    const char *name, *what;
    const char *argv[8];
    int most;
} commands[] = {
    {"status.json", "the swarms and their load", {"status", "--json"}, 0},
    {"services.json", "services, their agents and capabilities", {"services", "--json"}, 0},
    {"check.txt", "what 'apiary check' says", {"check"}, 3},
    {"events.json", "what has changed or was repaired", {"events", "--json"}, 0},
    {"tasks.json", "tasks that are queued, or run", {"task", "ls", "--json"}, 0},
    {"dead.json", "tasks that are not tried again", {"dead", "ls", "--json"}, 0},
    {"kept.json", "results that outlive their tasks", {"kept", "ls", "--json"}, 0},
    {"claims.json", "claims", {"claim", "ls", "--json"}, 0},
    {"memory.json", "how full the memory is", {"memory", "stats", "--json"}, 0},
    {"segments.json", "segments of this host", {"segment", "ls", "--json"}, 0},
};

static void parts_commands(struct report *r)
{
    const char *argv[16];

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        size_t n = 0;
        argv[n++] = "/proc/self/exe";
        argv[n++] = "--segment";
        argv[n++] = r->segment;
        for (size_t k = 0; commands[i].argv[k] != NULL; k++) argv[n++] = commands[i].argv[k];
        argv[n] = NULL;
        part_program(r, commands[i].name, commands[i].what, (char *const *)argv, commands[i].most);
    }
}

/* ---- the segment -------------------------------------------------------------------------------------------------- */

/* Holes of the object stay holes. False, with errno. */
static bool copy_sparse(int from, int to)
{
    static char bytes[1 << 16];
    struct stat st;
    off_t at = 0, end;

    if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0) return false;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        end = lseek(from, at, SEEK_HOLE);
        if (end < 0) return false;
        while (at < end) {
            size_t most = end - at < (off_t)sizeof bytes ? (size_t)(end - at) : sizeof bytes;
            ssize_t n = pread(from, bytes, most, at);
            if (n == 0) return true; /* cut short since */
            if (n < 0 || pwrite(to, bytes, (size_t)n, at) != n) return false;
            at += n;
        }
    }
    return errno == ENXIO; /* no data is left */
}

static bool part_segment(struct report *r)
{
    char *from = tool_format("/dev/shm/%s", r->segment[0] == '/' ? r->segment + 1 : r->segment);
    FILE *out = part_open(r, "segment");
    int fd;
    bool ok = false;

    if (out != NULL) {
        fd = ap_fd_open(from, O_RDONLY, 0);
        ok = fd >= 0 && copy_sparse(fd, fileno(out));
        if (!ok) part_missing(r, "segment", strerror(errno));
        if (fd >= 0) close(fd);
        ok &= part_close(r, "segment", out);
    }
    if (ok) part_done(r, "segment", "a copy of the segment, with the bodies of tasks, results and values: shmdump reads it");
    free(from);
    return ok;
}

/* shmdump beside this program, or wherever it is found. */
static char *find_dump(void)
{
    char self[PATH_MAX], *path;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n <= 0) return tool_strdup("shmdump");
    self[n] = '\0';
    path = tool_format("%s/shmdump", dirname(self));
    if (access(path, X_OK) == 0) return path;
    free(path);
    return tool_strdup("shmdump");
}

/* Of the copy, where there is one, so that the report speaks of one moment. */
static void parts_dump(struct report *r, bool copied)
{
    char *dump = find_dump(), *copy = part_path(r, "segment"), json[] = "--json", verify[] = "--verify";
    char *source = copied ? copy : (char *)r->segment;
    char *whole[] = {dump, json, source, NULL}, *checked[] = {dump, verify, source, NULL};

    part_program(r, "shmdump.json", "the segment, structure by structure", whole, 2);
    part_program(r, "verify.txt", "what its checkers say", checked, 2);
    free(dump);
    free(copy);
}

/* ---- this machine ------------------------------------------------------------------------------------------------- */

static void part_host(struct report *r)
{
    FILE *out = part_open(r, "host.txt");

    if (out == NULL) return;
    report_host(out);
    if (part_close(r, "host.txt", out)) part_done(r, "host.txt", "the machine, its limits and its load");
}

static void part_processes(struct report *r)
{
    apiary_attach_options_t options = {.struct_size = sizeof options, .name = "report", .kind = APIARY_TOOL,
                                       .read_only = 1};
    apiary_t *a = NULL;
    int e = apiary_attach(r->segment, &options, &a);
    struct ap_member m;
    uint32_t n = 0;
    FILE *out;

    if (e < 0) {
        part_missing(r, "processes.txt", apiary_strerror(e));
        return;
    }
    out = part_open(r, "processes.txt");
    for (uint32_t i = 0; out != NULL && i < a->seg->geometry.members; i++) {
        if (!ap_member_read(a->seg, i, &m)) continue;
        n++;
        fprintf(out, "==== pid %" PRId64 "\n", m.pid);
        report_process(out, m.pid);
    }
    if (out != NULL && n == 0) fprintf(out, "no process is attached\n");
    if (out != NULL && part_close(r, "processes.txt", out))
        part_done(r, "processes.txt", "the attached processes, as the kernel tells");
    apiary_detach(a);
}

/* Of a pipe nobody may ever write the end. */
static FILE *config_open(const char *path, char why[REPORT_WHY])
{
    int fd = path != NULL ? ap_fd_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0) : -1;
    struct stat st;
    FILE *ret = NULL;

    if (path == NULL) ap_format(why, REPORT_WHY, "none was named; --config or APIARY_CONFIG does");
    else if (fd < 0 || fstat(fd, &st) < 0) ap_format(why, REPORT_WHY, "%s", strerror(errno));
    else if (!S_ISREG(st.st_mode)) ap_format(why, REPORT_WHY, "it is no file");
    else ret = fdopen(fd, "r");
    if (ret == NULL && fd >= 0) close(fd);
    return ret;
}

static void part_config(struct report *r, const char *path)
{
    char why[REPORT_WHY] = "no memory";
    FILE *in = config_open(path, why), *out;
    bool ok = false;

    if (in == NULL) {
        part_missing(r, "config.yaml", why);
        return;
    }
    out = part_open(r, "config.yaml");
    if (out != NULL) {
        ok = report_config(in, out, why);
        if (!ok) part_missing(r, "config.yaml", why);
        ok &= part_close(r, "config.yaml", out);
    }
    if (ok) part_done(r, "config.yaml", "the configuration, without comments and secrets");
    fclose(in);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static void parts_all(struct report *r, const char *config, bool no_segment)
{
    bool copied = false;

    if (no_segment) part_missing(r, "segment", "--no-segment");
    else copied = part_segment(r);
    parts_commands(r);
    parts_dump(r, copied);
    part_processes(r);
    part_host(r);
    part_config(r, config);
}

/* A folder with the archive's name is packed, so that it unpacks into one. */
static int report_pack(struct report *r, const char *name)
{
    char tar[] = "tar", create[] = "--create", gzip[] = "--gzip", sparse[] = "--sparse", at[] = "--directory", file[] = "--file";
    char why[REPORT_WHY], *part = tool_format("%s/archive", r->folder);
    char *argv[] = {tar, create, gzip, sparse, file, part, at, r->folder, (char *)name, NULL};
    int rc = TOOL_OK;

    if (!program_run(r, argv, STDERR_FILENO, 0, why)) rc = tool_fail(r->t, TOOL_FAILED, "report: tar: %s", why);
    else if (r->interrupted == 0 && link(part, r->output) < 0) /* which replaces nothing */
        rc = tool_fail(r->t, TOOL_FAILED, "report: %s: %s", r->output, strerror(errno));
    free(part);
    return rc;
}

static void report_remove(struct report *r)
{
    char rm[] = "rm", how[] = "-rf", end[] = "--", why[REPORT_WHY];
    char *argv[] = {rm, how, end, r->folder, NULL};

    /* A signal that ends the program waits until the folder is gone. */
    sigemptyset(&r->set);
    sigaddset(&r->set, SIGCHLD);
    r->interrupted = 0;
    if (!program_run(r, argv, STDERR_FILENO, 0, why)) tool_warn(r->t, "report: %s is left: %s", r->folder, why);
}

static int report_folder(struct report *r, const char *name)
{
    char *copy = tool_strdup(r->output);

    r->folder = tool_format("%s/.apiary-report-XXXXXX", dirname(copy));
    free(copy);
    if (mkdtemp(r->folder) == NULL)
        return tool_fail(r->t, TOOL_FAILED, "report: %s: %s; --output names another place", r->folder, strerror(errno));
    r->inside = tool_format("%s/%s", r->folder, name);
    if (mkdir(r->inside, 0700) < 0) return tool_fail(r->t, TOOL_FAILED, "report: %s: %s", r->inside, strerror(errno));
    return TOOL_OK;
}

static int report_make(struct report *r, const char *name, const char *config, bool no_segment)
{
    char now[32], *path = part_path(r, "CONTENTS");
    int fd = ap_fd_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600), rc;

    free(path);
    r->contents = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (r->contents == NULL) return tool_fail(r->t, TOOL_FAILED, "report: %s: %s", r->inside, strerror(errno));
    fprintf(r->contents, "A report on the segment %s, made %s by apiary %s.\n\n", r->segment,
            tool_format_time(ap_ops_system.realtime(), now), APIARY_BUILD_VERSION);
    parts_all(r, config, no_segment);
    if (fclose(r->contents) != 0) return tool_fail(r->t, TOOL_FAILED, "report: %s: %s", r->inside, strerror(errno));
    if (r->interrupted != 0) return 128 + r->interrupted;
    rc = report_pack(r, name);
    return r->interrupted != 0 ? 128 + r->interrupted : rc;
}

static int report_told(struct report *r, bool segment)
{
    size_t missing = json_array_size(r->missing);

    if (r->t->json)
        return tool_json_print(json_pack("{s:i, s:s, s:O, s:O}", "schema", TOOL_JSON_SCHEMA, "report", r->output, "files", r->files,
                                         "missing", r->missing));
    printf("%s: %zu files", r->output, json_array_size(r->files));
    if (missing > 0) printf(", and %zu that could not be had; CONTENTS in it says why", missing);
    printf("\n");
    if (segment) printf("It has the bodies of tasks, results and values in it; --no-segment leaves them out.\n");
    return TOOL_OK;
}

static void report_begin(struct report *r)
{
    static const int ends[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT};

    umask(077); /* what is packed, and the archive, is for its owner alone */
    sigemptyset(&r->set);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) sigaddset(&r->set, ends[i]);
    sigprocmask(SIG_BLOCK, &r->set, &r->before);
    r->files = json_array();
    r->missing = json_array();
}

/* apiary-report-NAME-20260131-120000.tar.gz, here. */
static char *report_name(const char *segment)
{
    struct tm tm;
    time_t now = time(NULL);
    char text[32];

    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "%Y%m%d-%H%M%S", &tm);
    return tool_format("apiary-report-%s-%s", segment[0] == '/' ? segment + 1 : segment, text);
}

int cmd_report(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "report",
        .arguments = "",
        .what = "Packs what is known of a segment and its machine into one archive, for a bug report.",
        .more = "Also of a segment whose processes are all dead. A copy of the segment is in it, and what the other commands say;\n"
                "the events that the coordinator has kept; the attached processes; the machine; and the configuration without\n"
                "its secrets. The archive's CONTENTS names the parts that could not be had. It is for its owner alone (mode 0600).",
        .json = true,
    };
    const char *output = NULL, *config = NULL;
    bool no_segment = false;
    const struct tool_option options[] = {
        {"output", 'o', "FILE", "the archive; there must be none yet [apiary-report-NAME-TIME.tar.gz]", &output, NULL},
        {"config", 'c', "FILE", "the configuration [$APIARY_CONFIG, /etc/apiary/apiary.yaml]", &config, NULL},
        {"no-segment", 0, NULL, "without the copy of the segment, and so without what tasks carry", NULL, &no_segment},
        {.name = NULL},
    };
    struct report r = {.t = t};
    char *name, *otherwise;
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    r.segment = tool_segment(t, NULL);
    name = report_name(r.segment);
    otherwise = tool_format("%s.tar.gz", name);
    r.output = output != NULL ? output : otherwise;
    if (access(r.output, F_OK) == 0) {
        rc = tool_fail(t, TOOL_FAILED, "report: %s is there already; --output names another file", r.output);
    } else {
        report_begin(&r);
        rc = report_folder(&r, name);
        if (rc == TOOL_OK) rc = report_make(&r, name, tool_config_path(config), no_segment);
        if (r.inside != NULL) report_remove(&r);
        if (rc == TOOL_OK) rc = report_told(&r, !no_segment);
        json_decref(r.files);
        json_decref(r.missing);
    }
    free(r.folder);
    free(r.inside);
    free(otherwise);
    free(name);
    return rc;
}
