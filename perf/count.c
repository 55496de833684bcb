/* perf/count.c - instructions and cache lines of one step, by callgrind: figures that do not depend on the machine's mood.
 *
 * The first few tasks differ from all others (inlets are opened, slabs leased), so two runs of different length are made and the
 * difference is divided. Lines: misses of an emptied first-level cache, data only. Of the settings of a task only instructions are
 * wanted: one run takes them all, counts from its fifth task on, and writes down what it has counted after each.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf/option.h"
#include "perf/step.h"

#define SHORT_RUN 4u
#define LONG_RUN 36u

struct counts {
    double instructions, lines;
};

/* The options of valgrind, and the words that this program is run with. */
struct counted {
    char words[32][64];
    unsigned n;
};

__attribute__((format(printf, 2, 3))) static void add(struct counted *c, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    vsnprintf(c->words[c->n++], sizeof c->words[0], format, values);
    va_end(values);
}

/* The words of `c` up to "--" are valgrind's, and the others this program's. */
static void become_valgrind(struct counted *c, const char *file)
{
    char out[80], self[512];
    char program[] = "valgrind", quiet[] = "-q", tool[] = "--tool=callgrind", off[] = "--collect-atstart=no";
    char *arguments[40] = {program, quiet, tool, off, out};
    int given = 5;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    self[length > 0 ? length : 0] = '\0';
    snprintf(out, sizeof out, "--callgrind-out-file=%s", file);
    for (unsigned i = 0; i < c->n; i++) arguments[given++] = strcmp(c->words[i], "--") == 0 ? self : c->words[i];
    arguments[given] = NULL;
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    execvp("valgrind", arguments);
    _exit(127);
}

/* The next part of the file: "events: Ir Dr Dw I1mr D1mr D1mw ..." and "summary: n n n ...". */
static bool read_counts(FILE *f, struct counts *ret)
{
    char line[1024], events[1024] = "";

    while (fgets(line, sizeof line, f) != NULL) {
        char *name, *value, *names_left, *values_left;
        if (strncmp(line, "events:", 7) == 0) memcpy(events, line + 7, sizeof events - 7);
        if (strncmp(line, "summary:", 8) != 0) continue;
        *ret = (struct counts){0};
        name = strtok_r(events, " \n", &names_left);
        value = strtok_r(strchr(line, ':') + 1, " \n", &values_left);
        for (; name != NULL && value != NULL;
             name = strtok_r(NULL, " \n", &names_left), value = strtok_r(NULL, " \n", &values_left)) {
            if (strcmp(name, "Ir") == 0) ret->instructions = strtod(value, NULL);
            if (strcmp(name, "D1mr") == 0 || strcmp(name, "D1mw") == 0) ret->lines += strtod(value, NULL);
        }
        return ret->instructions > 0;
    }
    return false;
}

static bool read_parts(const char *file, struct counts *ret, unsigned parts)
{
    FILE *f = fopen(file, "r");
    unsigned n = 0;

    while (f != NULL && n < parts && read_counts(f, &ret[n])) n++;
    if (f != NULL) fclose(f);
    return n == parts;
}

/* `parts` counts: as many as are written before the program's end. */
static bool run_once(struct counted *c, struct counts *ret, unsigned parts, char *why, size_t size)
{
    char file[] = "/tmp/apiary-perf-XXXXXX";
    int fd = mkstemp(file), status = 0;
    bool ok = false;
    pid_t pid;

    if (fd < 0) {
        snprintf(why, size, "%s: %s", file, strerror(errno));
        return false;
    }
    close(fd);
    fflush(NULL);
    pid = fork();
    if (pid == 0) become_valgrind(c, file);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid < 0)
        snprintf(why, size, "fork: %s", strerror(errno));
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        snprintf(why, size, "valgrind is not installed");
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        snprintf(why, size, "valgrind ended with status 0x%x", (unsigned)status);
    else if (!(ok = read_parts(file, ret, parts)))
        snprintf(why, size, "valgrind has counted nothing");
    unlink(file);
    return ok;
}

static bool run_step(enum perf_step step, unsigned n, struct perf_tables t, struct counts *ret, char *why, size_t size)
{
    struct counted c = {.n = 0};

    add(&c, "--cache-sim=yes");
    add(&c, "--D1=32768,8,64");
    add(&c, "--I1=32768,8,64");
    add(&c, "--LL=2097152,16,64");
    for (enum perf_step i = 0; i < PERF_STEPS; i++)
        if (step == i || step == PERF_STEPS) add(&c, "--toggle-collect=%s", perf_step_function(i, 0));
    add(&c, "--");
    add(&c, "count-run");
    add(&c, "%s", perf_step_name(step));
    add(&c, "%u", n);
    add(&c, "%u", t.members);
    add(&c, "%u", t.tasks);
    add(&c, "%u", t.services);
    add(&c, "%u", t.values);
    return run_once(&c, ret, 1, why, size);
}

bool perf_step_count(enum perf_step step, struct perf_tables tables, double *instructions, double *lines, char *why, size_t size)
{
    struct counts few, many;

    perf_expect_end(true);
    if (!run_step(step, SHORT_RUN, tables, &few, why, size) || !run_step(step, LONG_RUN, tables, &many, why, size)) return false;
    *instructions = (many.instructions - few.instructions) / (LONG_RUN - SHORT_RUN);
    *lines = (many.lines - few.lines) / (LONG_RUN - SHORT_RUN);
    return true;
}

bool perf_step_count_options(enum perf_step step, double *instructions, char *why, size_t size)
{
    struct counted c = {.n = 0};
    struct counts counts[64];
    unsigned options = 0;

    perf_expect_end(true);
    for (; perf_options_table[options].name != NULL; options++) {
        const char *function = perf_step_function(step, options);
        unsigned before = 0;
        while (strcmp(function, perf_step_function(step, before)) != 0) before++;
        if (before == options) add(&c, "--toggle-collect=%s", function);
    }
    add(&c, "--zero-before=perf_step_from_here");
    add(&c, "--dump-before=perf_step_to_here");
    add(&c, "--combine-dumps=yes");
    add(&c, "--");
    add(&c, "count-options");
    add(&c, "%s", perf_step_name(step));
    add(&c, "%u", SHORT_RUN);
    add(&c, "%u", LONG_RUN - SHORT_RUN);
    if (!run_once(&c, counts, options, why, size)) return false;
    for (unsigned i = 0; i < options; i++) instructions[i] = counts[i].instructions / (LONG_RUN - SHORT_RUN);
    return true;
}
