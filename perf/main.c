/* perf/main.c - apiary-perf: measures the library beside the limit of the hardware and beside what one would use instead. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/process.h"
#include "perf/link.h"
#include "perf/option.h"
#include "perf/report.h"
#include "perf/simulate.h"
#include "perf/step.h"

#ifndef PERF_BUILD_TYPE
#define PERF_BUILD_TYPE "unknown"
#endif

enum { OK = 0, FAILED = 1, USAGE = 64, CANNOT = 77 };

static struct {
    bool json;
    const char *plot, *out;
    double seed, tasks, simulated; /* simulated: seconds */
} wanted = {.out = "perf/results", .seed = 1, .tasks = 40000, .simulated = 12};

static volatile sig_atomic_t interrupted;
static sig_atomic_t running; /* pid of the case */

static void usage(FILE *to)
{
    fputs("usage: apiary-perf [OPTION]... CASE...\n"
          "       apiary-perf [OPTION]... all            every case: results.json, table.md, plots.png\n"
          "       apiary-perf list                       the cases\n"
          "       apiary-perf compare A.json B.json      is B faster than A\n"
          "       apiary-perf count [STEP]...            instructions and cache lines, by valgrind\n"
          "       apiary-perf options                    what each option of a task adds, in instructions\n"
          "       apiary-perf simulate                   the policies of balancing, in a simulation\n"
          "       apiary-perf balance                    the same with three processes\n"
          "       apiary-perf build                      processor, compiler and kind of build, in one word\n"
          "\n"
          "  --json           print JSON\n"
          "  --against A,B    only these baselines of links (all; see `apiary-perf rtt`); apiary and raw are always there\n"
          "  --blocks N       interleaved blocks of a case (30)\n"
          "  --block-ms N     time of one contestant's turn in a block (20)\n"
          "  --quick          a smoke run: 2 blocks of 2 ms, `idle` for half a second, fewer tasks to\n"
          "                   simulate; no figures to rely on\n"
          "  --cpus A,B       the same as --pin A,B\n"
          "  --pin A,B|free   the client's and the serving side's processor (the first two that are allowed)\n"
          "  --rate N         operations a second of the open loop (20000)\n"
          "  --seconds N      how long an idle host is watched (20), members have work in `simulate`, at least (12),\n"
          "                   and a run of `balance` lasts (20)\n"
          "  --plot FILE      draw the percentiles, .svg or .png, by gnuplot; of `simulate` .svg, without it\n"
          "  --seed N         from which the tasks of `simulate` follow (1)\n"
          "  --tasks N        of each setting of `simulate`, at least (40000)\n"
          "  --out DIR        where `all` writes (perf/results)\n"
          "  --help, --version\n",
          to);
}

/* ---- one case, in a process of its own ------------------------------------------------------------------------ */

static void run_here(const struct perf_case *c, int fd)
{
    struct perf_result r = {.name = c->name, .what = c->what, .blocks = perf_options.blocks};
    json_t *env = perf_environment(), *o;

    c->run(c, &r);
    perf_expect_end(true);
    o = perf_result_json(&r, env);
    if (json_dumpfd(o, fd, JSON_REAL_PRECISION(9)) < 0) perf_die("out of memory");
    json_decref(o);
    json_decref(env);
    perf_result_free(&r);
}

static void remove_left(const char *folder, pid_t pid)
{
    char prefix[64], path[320];
    const struct dirent *e;
    DIR *d = opendir(folder);

    snprintf(prefix, sizeof prefix, "apiary-perf-%d-", (int)pid);
    while (d != NULL && (e = readdir(d)) != NULL) {
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        unlink(path);
    }
    if (d != NULL) closedir(d);
}

static void interrupt(int signal)
{
    interrupted = signal;
    if (running > 0) kill((pid_t)running, SIGKILL);
}

static int await_case(pid_t pid)
{
    int status = 0;

    running = (sig_atomic_t)pid;
    if (interrupted) kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    running = 0;
    remove_left("/dev/shm", pid);
    remove_left(P_tmpdir, pid);
    return status;
}

/* The result, or NULL. */
static json_t *run_case(const struct perf_case *c)
{
    int fd = memfd_create("result", MFD_CLOEXEC), status;
    pid_t parent = getpid(), pid;
    json_t *o = NULL;

    if (fd < 0) perf_die("memfd: %s", strerror(errno));
    fflush(NULL);
    pid = fork();
    if (pid < 0) perf_die("fork: %s", strerror(errno));
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(FAILED);
        run_here(c, fd);
        _exit(OK); /* children are killed with it */
    }
    status = await_case(pid);
    if (interrupted) {
        fprintf(stderr, "apiary-perf: interrupted\n");
        exit(128 + interrupted);
    }
    if (status == 0 && lseek(fd, 0, SEEK_SET) == 0) o = json_loadfd(fd, 0, NULL);
    close(fd);
    if (o == NULL) fprintf(stderr, "apiary-perf: %s has failed (status 0x%x)\n", c->name, (unsigned)status);
    return o;
}

/* In a process of its own, too: what it leaves in the machine, however it ends, is removed. */
static int run_apart(int (*run)(void))
{
    pid_t parent = getpid(), pid;
    int status;

    fflush(NULL);
    pid = fork();
    if (pid < 0) perf_die("fork: %s", strerror(errno));
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(FAILED);
        status = run();
        _exit(fflush(stdout) == 0 ? status : FAILED);
    }
    status = await_case(pid);
    if (interrupted) {
        fprintf(stderr, "apiary-perf: interrupted\n");
        return 128 + interrupted;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

static int main_simulate(void)
{
    return simulate_main(wanted.json, wanted.plot, (uint64_t)wanted.seed, (uint64_t)wanted.tasks, wanted.simulated);
}

static int main_balance(void)
{
    return balance_main(wanted.json, (uint64_t)wanted.seed, perf_options.seconds);
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

static const struct perf_case *find_case(const char *name)
{
    for (const struct perf_case *c = perf_cases; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

static int main_list(void)
{
    json_t *array = json_array();

    for (const struct perf_case *c = perf_cases; c->name != NULL; c++) {
        if (!wanted.json)
            printf("%-15s %s%s\n", c->name, c->what,
                   c->run == NULL ? " (missing: the interface has no such call)" : "");
        else
            json_array_append_new(
                array, json_pack("{s:s,s:s,s:b}", "case", c->name, "what", c->what, "missing", c->run == NULL));
    }
    if (wanted.json) json_dumpf(array, stdout, JSON_INDENT(1)), putchar('\n');
    json_decref(array);
    return OK;
}

/* A case without figures is in the results, too, and says why. */
static void append_missing(json_t *results, const struct perf_case *c, const char *why)
{
    struct perf_result r = {.name = c->name, .what = c->what};
    json_t *env = perf_environment();

    perf_result_missing(&r, "the case", "%s", why);
    json_array_append_new(results, perf_result_json(&r, env));
    json_decref(env);
}

static int run_cases(const struct perf_case *const *cases, size_t n, json_t *results)
{
    int exit_code = OK;

    for (size_t i = 0; i < n; i++) {
        json_t *o;
        if (cases[i]->run == NULL) {
            fprintf(stderr, "apiary-perf: %s is missing: the interface has no such call\n", cases[i]->name);
            if (n == 1) return CANNOT;
            append_missing(results, cases[i], "the interface has no such call");
            continue;
        }
        o = run_case(cases[i]);
        if (o == NULL) {
            exit_code = FAILED;
            if (n > 1) append_missing(results, cases[i], "it has failed");
            continue;
        }
        if (!wanted.json) perf_report_text(o, stdout), fflush(stdout);
        json_array_append_new(results, o);
    }
    return exit_code;
}

static int run_named(int n, char **names)
{
    const struct perf_case **cases = calloc((size_t)n + 1, sizeof *cases);
    json_t *results = json_array();
    int exit_code;

    if (cases == NULL) perf_die("out of memory");
    for (int i = 0; i < n; i++) {
        cases[i] = find_case(names[i]);
        if (cases[i] != NULL) continue;
        fprintf(stderr, "apiary-perf: there is no case %s; see apiary-perf list\n", names[i]);
        return USAGE;
    }
    exit_code = run_cases(cases, (size_t)n, results);
    if (wanted.json && json_array_size(results) > 0) {
        json_dumpf(n == 1 ? json_array_get(results, 0) : results, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
        putchar('\n');
    }
    if (wanted.plot != NULL && exit_code == OK && perf_report_plot(results, wanted.plot) < 0) exit_code = FAILED;
    json_decref(results);
    free(cases);
    return exit_code;
}

static FILE *open_out(const char *file)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", wanted.out, file);
    f = fopen(path, "w");
    if (f == NULL) perf_die("%s: %s", path, strerror(errno));
    return f;
}

/* A file that a full disk did not take whole is not a result. */
static void close_out(const char *name, FILE *f)
{
    bool failed = ferror(f) != 0;

    if (fclose(f) != 0 || failed) perf_die("%s/%s: not written whole: %s", wanted.out, name, strerror(errno));
}

static int run_all(void)
{
    const struct perf_case *cases[128];
    json_t *results = json_array();
    char plots[512];
    size_t n = 0;
    int exit_code;
    FILE *f;

    if (mkdir(wanted.out, 0777) < 0 && errno != EEXIST) perf_die("%s: %s", wanted.out, strerror(errno));
    for (const struct perf_case *c = perf_cases; c->name != NULL; c++)
        cases[n++] = c;
    exit_code = run_cases(cases, n, results);
    if (wanted.json) json_dumpf(results, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9)), putchar('\n');
    f = open_out("results.json");
    if (json_dumpf(results, f, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) != 0) perf_die("results.json cannot be written");
    close_out("results.json", f);
    f = open_out("table.md");
    perf_report_table(results, f);
    close_out("table.md", f);
    snprintf(plots, sizeof plots, "%s/plots.png", wanted.out);
    if (perf_report_plot(results, wanted.plot != NULL ? wanted.plot : plots) < 0) exit_code = FAILED;
    json_decref(results);
    return exit_code;
}

static int main_compare(const char *a, const char *b)
{
    json_t *of_a = perf_report_load(a), *of_b = of_a != NULL ? perf_report_load(b) : NULL;
    int n = of_b != NULL ? perf_report_compare(of_a, of_b, wanted.json, stdout) : 0;

    if (of_b != NULL && n == 0) fprintf(stderr, "apiary-perf: %s and %s have no blocks of one case and bin\n", a, b);
    json_decref(of_a);
    json_decref(of_b);
    return n > 0 ? OK : FAILED;
}

static int main_count(int n, char **names)
{
    for (int i = 0; i < (n > 0 ? n : PERF_STEPS); i++) {
        int step = n > 0 ? perf_step_of(names[i]) : i;
        double instructions, lines;
        char why[160];
        if (step < 0) {
            fprintf(stderr, "apiary-perf: there is no step %s\n", names[i]);
            return USAGE;
        }
        if (!perf_step_count((enum perf_step)step, (struct perf_tables){0}, &instructions, &lines, why, sizeof why)) {
            fprintf(stderr, "apiary-perf: %s\n", why);
            return strstr(why, "not installed") != NULL ? CANNOT : FAILED;
        }
        printf("%s %.1f %.1f\n", perf_step_name((enum perf_step)step), instructions, lines);
    }
    return OK;
}

static int count_run(int n, char **arguments)
{
    int step = n == 6 ? perf_step_of(arguments[0]) : -1;
    struct perf_tables tables = {0};

    if (step < 0) return USAGE;
    tables.members = (unsigned)strtoul(arguments[2], NULL, 10);
    tables.tasks = (unsigned)strtoul(arguments[3], NULL, 10);
    tables.services = (unsigned)strtoul(arguments[4], NULL, 10);
    tables.values = (unsigned)strtoul(arguments[5], NULL, 10);
    perf_step_counted((enum perf_step)step, (unsigned)strtoul(arguments[1], NULL, 10), tables);
    remove_left("/dev/shm", getpid());
    return OK;
}

static int count_options(int n, char **arguments)
{
    int step = n == 3 ? perf_step_of(arguments[0]) : -1;

    if (step < 0) return USAGE;
    perf_step_options((enum perf_step)step, (unsigned)strtoul(arguments[1], NULL, 10), (unsigned)strtoul(arguments[2], NULL, 10));
    remove_left("/dev/shm", getpid());
    return OK;
}

/* Which code this is, for figures that belong to it: one word. */
static int build(void)
{
#if defined(__clang__)
    const char *compiler = "clang";
    int version = __clang_major__;
#else
    const char *compiler = "gcc";
    int version = __GNUC__;
#endif
    struct utsname u;

    uname(&u);
    printf("%s-%s-%d-%s\n", u.machine, compiler, version, PERF_BUILD_TYPE);
    return OK;
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

static void default_placement(void)
{
    cpu_set_t set;
    int found = 0;

    perf_remember_affinity();
    if (sched_getaffinity(0, sizeof set, &set) < 0) CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++) {
        if (!CPU_ISSET((size_t)i, &set)) continue;
        if (found++ == 0) perf_options.client = i;
        perf_options.server = i;
    }
    if (found < 2) fputs("apiary-perf: one processor only: what spins will measure the scheduler\n", stderr);
}

static bool parse_pin(const char *value)
{
    if (strcmp(value, "free") == 0) {
        perf_options.pinned = false;
        return true;
    }
    perf_options.pinned = true;
    return sscanf(value, "%d,%d", &perf_options.client, &perf_options.server) == 2 && perf_options.client >= 0 &&
           perf_options.server >= 0;
}

static bool positive(const char *value, double most, double *ret)
{
    char *end;
    double v = strtod(value, &end);

    if (*value == '\0' || *end != '\0' || !(v > 0) || v > most) return false;
    *ret = v;
    return true;
}

/* -1: go on, else the exit code. */
static int parse(int argc, char **argv)
{
    enum { JSON = 1, AGAINST, BLOCKS, BLOCK_MS, PIN, QUICK, RATE, SECONDS, PLOT, OUT, SEED, TASKS, HELP, VERSION };
    static const struct option longs[] = {{"json", 0, NULL, JSON},
                                          {"against", 1, NULL, AGAINST},
                                          {"blocks", 1, NULL, BLOCKS},
                                          {"block-ms", 1, NULL, BLOCK_MS},
                                          {"pin", 1, NULL, PIN},
                                          {"cpus", 1, NULL, PIN},
                                          {"quick", 0, NULL, QUICK},
                                          {"rate", 1, NULL, RATE},
                                          {"seconds", 1, NULL, SECONDS},
                                          {"plot", 1, NULL, PLOT},
                                          {"out", 1, NULL, OUT},
                                          {"seed", 1, NULL, SEED},
                                          {"tasks", 1, NULL, TASKS},
                                          {"help", 0, NULL, HELP},
                                          {"version", 0, NULL, VERSION},
                                          {0}};
    double number;
    bool good = true;
    int o;

    while (good && (o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (o == JSON)
            wanted.json = true;
        else if (o == AGAINST)
            good = perf_field_choose(optarg);
        else if (o == BLOCKS)
            good = positive(optarg, 4000, &number) && number >= 1, perf_options.blocks = good ? (unsigned)number : 0;
        else if (o == BLOCK_MS)
            good = positive(optarg, 60000, &perf_options.block_ms);
        else if (o == PIN)
            good = parse_pin(optarg);
        else if (o == QUICK)
            perf_options.blocks = 2, perf_options.block_ms = 2, perf_options.seconds = 0.5,
            wanted.tasks = 2000, wanted.simulated = 3;
        else if (o == RATE)
            good = positive(optarg, 1e7, &perf_options.rate);
        else if (o == SECONDS)
            good = positive(optarg, 86400, &perf_options.seconds), wanted.simulated = perf_options.seconds;
        else if (o == PLOT)
            wanted.plot = optarg;
        else if (o == OUT)
            wanted.out = optarg;
        else if (o == SEED)
            good = positive(optarg, 1e9, &wanted.seed);
        else if (o == TASKS)
            good = positive(optarg, 1e7, &wanted.tasks) && wanted.tasks >= 1;
        else if (o == HELP)
            return usage(stdout), OK;
        else if (o == VERSION)
            return printf("apiary-perf %s\n", apiary_version()), OK;
        else
            return usage(stderr), USAGE;
        if (!good) fprintf(stderr, "apiary-perf: %s is not a value of this option\n", optarg);
    }
    return good ? -1 : USAGE;
}

static int main_run(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = interrupt};
    int r;

    default_placement();
    r = parse(argc, argv);
    if (r >= 0) return r;
    argc -= optind;
    argv += optind;
    if (argc == 0) return usage(stderr), USAGE;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (strcmp(argv[0], "list") == 0) return main_list();
    if (strcmp(argv[0], "compare") == 0) return argc == 3 ? main_compare(argv[1], argv[2]) : (usage(stderr), USAGE);
    if (strcmp(argv[0], "build") == 0) return build();
    if (strcmp(argv[0], "count") == 0) return main_count(argc - 1, argv + 1);
    if (strcmp(argv[0], "options") == 0) return argc == 1 ? perf_option_main(wanted.json) : (usage(stderr), USAGE);
    if (strcmp(argv[0], "simulate") == 0) return argc == 1 ? run_apart(main_simulate) : (usage(stderr), USAGE);
    if (strcmp(argv[0], "balance") == 0) return argc == 1 ? run_apart(main_balance) : (usage(stderr), USAGE);
    perf_clock_open();
    if (strcmp(argv[0], "count-run") == 0) return count_run(argc - 1, argv + 1);
    if (strcmp(argv[0], "count-options") == 0) return count_options(argc - 1, argv + 1);
    return strcmp(argv[0], "all") == 0 ? run_all() : run_named(argc, argv);
}

int main(int argc, char **argv)
{
    int r;

    ap_process_begin();
    r = main_run(argc, argv);
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return r;
    fprintf(stderr, "apiary-perf: standard output: %s\n", strerror(errno));
    return r == OK ? FAILED : r;
}
