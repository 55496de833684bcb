/* perf/case_host.c - attach, idle, memory: what being there costs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "perf/perf.h"
#include "registry/client/client.h"

#define SWARMS 13u
#define AGENTS 4u
#define ATTACHES_A_BLOCK 24u
#define BURST 2000u

struct state {
    char path[96];
    bool task;
};

static void case_host_queens_start(struct perf_queen *queens, unsigned n)
{
    static char services[SWARMS][32];

    for (unsigned i = 0; i < n; i++) {
        snprintf(services[i], sizeof services[i], "service-%u", i);
        queens[i] = (struct perf_queen){.segment = 0, .service = services[i], .agents = AGENTS};
        perf_queen_start(&queens[i], -1);
    }
}

/* ---- attach ------------------------------------------------------------------------------------------------------- */

static void turn_attach(void *state, struct perf_block *b)
{
    const struct state *s = state;
    bool more = true;

    perf_block_begin(b);
    while (more) {
        apiary_result_t result = {.struct_size = sizeof result};
        apiary_task_t task;
        apiary_t *a;

        perf_block_again(b);
        a = perf_attach(0, NULL);
        if (s->task) {
            perf_must(apiary_delegate(a, PERF_CAPABILITY, NULL, 0, NULL, &task), "delegate");
            perf_must(apiary_await(a, task, APIARY_FOREVER, &result), "await");
        }
        more = perf_block_did(b, 1);
        if (s->task) apiary_release(a, &result);
        perf_must(apiary_detach(a), "detach");
    }
    perf_block_end(b);
}

static void turn_open(void *state, struct perf_block *b)
{
    const struct state *s = state;
    const long page = sysconf(_SC_PAGESIZE);
    bool more = true;
    uint8_t sum = 0;

    perf_block_begin(b);
    while (more) {
        struct stat st;
        uint8_t *base;
        int fd;

        perf_block_again(b);
        fd = open(s->path, O_RDWR | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0) perf_die("%s: %s", s->path, strerror(errno));
        base = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base == MAP_FAILED) perf_die("mmap: %s", strerror(errno));
        for (off_t at = 0; at < st.st_size; at += page)
            sum ^= ap_load_relaxed(&base[at]);
        more = perf_block_did(b, 1);
        munmap(base, (size_t)st.st_size);
        close(fd);
    }
    perf_block_end(b);
    if (sum == 1) perf_nap(0); /* the reads are used */
}

/* c->flag: until the first task is back. */
void perf_case_attach(const struct perf_case *c, struct perf_result *r)
{
    static struct state s;
    struct perf_queen queen = {.segment = 0, .service = "perf"};
    struct perf_contestant all[3] = {{.name = "apiary", .state = &s, .turn = turn_attach, .quota = ATTACHES_A_BLOCK},
                                     {.name = "raw", .turn = perf_raw_turn},
                                     {.name = "open and touch",
                                      .setting = "open, fstat, mmap, one read of every page",
                                      .state = &s,
                                      .turn = turn_open,
                                      .quota = ATTACHES_A_BLOCK}};
    uint64_t size = perf_segment_make(0, NULL, 0, 0);

    s.task = c->flag != 0;
    snprintf(s.path, sizeof s.path, "/dev/shm%s", perf_segment_name(0));
    perf_queen_start(&queen, -1);
    all[1].state = perf_raw_open(perf_options.pinned ? perf_options.server : -1);
    if (perf_options.pinned) perf_pin(perf_options.client);
    perf_result_row(r, "B", (double)size, "segment");
    perf_blocks(r, all, 3);
}

/* ---- idle --------------------------------------------------------------------------------------------------------- */

static void burst(unsigned n)
{
    apiary_t *a = perf_attach(0, NULL);

    for (unsigned i = 0; i < n; i++) {
        size_t size;
        perf_must(apiary_call(a, PERF_CAPABILITY, NULL, 0, NULL, NULL, 0, &size), "call");
    }
    perf_must(apiary_detach(a), "detach");
}

void perf_case_idle(const struct perf_case *c, struct perf_result *r)
{
    static struct perf_queen queens[SWARMS];
    double cpu = 0, from;
    uint64_t switches = 0;

    (void)c;
    perf_segment_make(0, NULL, 0, 0);
    case_host_queens_start(queens, SWARMS);
    burst(BURST);
    perf_nap(1000);
    from = (double)perf_monotonic();
    for (unsigned i = 0; i < SWARMS; i++)
        cpu -= perf_cpu_ns(queens[i].pid), switches -= perf_switches(queens[i].pid);
    perf_nap(perf_options.seconds * 1000);
    for (unsigned i = 0; i < SWARMS; i++)
        cpu += perf_cpu_ns(queens[i].pid), switches += perf_switches(queens[i].pid);
    from = (double)perf_monotonic() - from;
    perf_result_row(r, "%", 100 * cpu / from, "of one processor, %u swarms of %u agents after %u tasks", SWARMS, AGENTS,
                    BURST);
    perf_result_row(r, "/s", (double)switches * 1e9 / from, "wake-ups (voluntary context switches)");
    perf_result_row(r, "s", from / 1e9, "watched");
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

/* kB of a line of /proc/PID/smaps_rollup. */
static double rollup(pid_t pid, const char *key)
{
    char path[64], line[256];
    double kb = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, key, strlen(key)) == 0) sscanf(line + strlen(key), " %lf", &kb);
    if (f != NULL) fclose(f);
    return kb;
}

static uint64_t sections(struct perf_result *r, const char *which, const struct ap_segment *seg)
{
    for (uint32_t i = 0; i < seg->section_count; i++)
        perf_result_row(r, "B", (double)(seg->sections[i].stride * seg->sections[i].count), "%s: %.16s, %llu of %llu B",
                        which, seg->sections[i].name, (unsigned long long)seg->sections[i].count,
                        (unsigned long long)seg->sections[i].stride);
    return seg->size;
}

static void look_at_segment(struct perf_result *r, const char *which, unsigned n)
{
    apiary_t *a = perf_attach(n, NULL);
    struct stat st;
    uint64_t size = sections(r, which, a->seg);

    if (fstat(apiary_segment_fd(a), &st) < 0) perf_die("fstat: %s", strerror(errno));
    perf_result_row(r, "B", (double)size, "%s: segment", which);
    perf_result_row(r, "B", (double)st.st_blocks * 512, "%s: of that resident", which);
    apiary_detach(a);
}

void perf_case_memory(const struct perf_case *c, struct perf_result *r)
{
    static struct perf_queen queens[SWARMS];
    static const struct ap_geometry full = {.members = 1024, .lanes = 2048, .tasks = 65536, .queues = 512};
    double anonymous = 0, mapped = 0;

    (void)c;
    perf_segment_make(0, NULL, 0, 0);
    case_host_queens_start(queens, SWARMS);
    burst(BURST);
    for (unsigned i = 0; i < SWARMS; i++) {
        anonymous += rollup(queens[i].pid, "Pss_Anon:");
        mapped += rollup(queens[i].pid, "Pss_File:");
    }
    look_at_segment(r, "default", 0);
    perf_result_row(r, "B", anonymous * 1024, "%u queens of %u agents: private memory", SWARMS, AGENTS);
    perf_result_row(r, "B", mapped * 1024, "%u queens: their share of programs and libraries", SWARMS);
    perf_segment_make(1, &full, 1024, 16384);
    look_at_segment(r, "1,024 members, 65,536 tasks", 1);
}
