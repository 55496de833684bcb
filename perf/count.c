/* perf/count.c - instructions and cache lines of one step, by callgrind: figures that do not depend on the machine's mood.
 *
 * The first few tasks differ from all others (inlets are opened, slabs leased), so two runs of different length are made and the
 * difference is divided. Lines: misses of an emptied first-level cache, data only.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf/step.h"

#define SHORT_RUN 4u
#define LONG_RUN 36u

struct counts {
    double instructions, lines;
};

/* The functions that are counted: the call itself where a step is one call of the interface, else the step with what it does by
 * hand. By full names: a pattern would take in perf_step_counted, which calls them. */
static const char *const counted[PERF_STEPS] = {"apiary_delegate",   "perf_step_claim", "perf_step_complete",
                                                "perf_step_collect", "apiary_discover", "perf_step_route"};

static void become_valgrind(enum perf_step step, unsigned n, struct perf_tables tables, const char *file)
{
    char out[80], toggles[PERF_STEPS][64], count[16], members[16], tasks[16], self[512];
    char program[] = "valgrind", quiet[] = "-q", tool[] = "--tool=callgrind", off[] = "--collect-atstart=no";
    char sim[] = "--cache-sim=yes", d1[] = "--D1=32768,8,64", i1[] = "--I1=32768,8,64", ll[] = "--LL=2097152,16,64";
    char command[] = "count-run", name[16];
    char *arguments[24] = {program, quiet, tool, off, sim, d1, i1, ll, out};
    int given = 9;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    self[length > 0 ? length : 0] = '\0';
    snprintf(out, sizeof out, "--callgrind-out-file=%s", file);
    for (int i = 0; i < PERF_STEPS; i++) {
        enum perf_step which = step == PERF_STEPS ? (enum perf_step)i : step;
        snprintf(toggles[i], sizeof toggles[i], "--toggle-collect=%s", counted[which]);
        arguments[given + (step == PERF_STEPS ? i : 0)] = toggles[i];
    }
    given += step == PERF_STEPS ? PERF_STEPS : 1;
    snprintf(name, sizeof name, "%s", perf_step_name(step));
    snprintf(count, sizeof count, "%u", n);
    snprintf(members, sizeof members, "%u", tables.members);
    snprintf(tasks, sizeof tasks, "%u", tables.tasks);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    arguments[given++] = self;
    arguments[given++] = command;
    arguments[given++] = name;
    arguments[given++] = count;
    arguments[given++] = members;
    arguments[given++] = tasks;
    arguments[given] = NULL;
    execvp("valgrind", arguments);
    _exit(127);
}

/* "events: Ir Dr Dw I1mr D1mr D1mw ..." and "summary: n n n ...". */
static bool read_counts(const char *file, struct counts *ret)
{
    char line[1024], events[1024] = "";
    FILE *f = fopen(file, "r");
    bool found = false;

    if (f == NULL) return false;
    while (fgets(line, sizeof line, f) != NULL) {
        char *name, *value, *names_left, *values_left;
        if (strncmp(line, "events:", 7) == 0) memcpy(events, line + 7, sizeof events - 7);
        if (strncmp(line, "summary:", 8) != 0 && strncmp(line, "totals:", 7) != 0) continue;
        *ret = (struct counts){0};
        name = strtok_r(events, " \n", &names_left);
        value = strtok_r(strchr(line, ':') + 1, " \n", &values_left);
        for (; name != NULL && value != NULL;
             name = strtok_r(NULL, " \n", &names_left), value = strtok_r(NULL, " \n", &values_left)) {
            if (strcmp(name, "Ir") == 0) ret->instructions = strtod(value, NULL);
            if (strcmp(name, "D1mr") == 0 || strcmp(name, "D1mw") == 0) ret->lines += strtod(value, NULL);
        }
        found = ret->instructions > 0;
        break;
    }
    fclose(f);
    return found;
}

static bool run_once(enum perf_step step, unsigned n, struct perf_tables t, struct counts *ret, char *why, size_t size)
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
    if (pid == 0) become_valgrind(step, n, t, file);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid < 0)
        snprintf(why, size, "fork: %s", strerror(errno));
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        snprintf(why, size, "valgrind is not installed");
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        snprintf(why, size, "valgrind ended with status 0x%x", (unsigned)status);
    else if (!(ok = read_counts(file, ret)))
        snprintf(why, size, "valgrind has counted nothing");
    unlink(file);
    return ok;
}

bool perf_step_count(enum perf_step step, struct perf_tables tables, double *instructions, double *lines, char *why, size_t size)
{
    struct counts few, many;

    perf_expect_end(true);
    if (!run_once(step, SHORT_RUN, tables, &few, why, size) || !run_once(step, LONG_RUN, tables, &many, why, size)) return false;
    *instructions = (many.instructions - few.instructions) / (LONG_RUN - SHORT_RUN);
    *lines = (many.lines - few.lines) / (LONG_RUN - SHORT_RUN);
    return true;
}
