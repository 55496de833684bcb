/* tests/crash/sweep.c - sweep [-r | -k | -p] [-q] [-f] [-s EVERY] [-n COUNT] [-x SEED] [-w FILE] [-v] [-2 ROUNDS]
 *   [name...]
 *
 *   no option   every image of every operation, every preemption of every pair
 *   -k, -p      kills only, pairs only
 *   -q          quick: without what takes seconds to step through (attach)
 *   -f          of each operation the first failure is enough
 *   -r          real kills, COUNT of each operation (0: at every boundary), whose images must equal the snapshots
 *   -2 ROUNDS   pairs with a second preemption, ROUNDS times for each first one
 *   -s EVERY    of images and preemptions one in EVERY, chosen by SEED
 *   -x SEED     printed at the beginning; [from the clock]
 *   -w FILE     of the kills: writes there which instructions were stepped, and which changed the segment (step.c)
 *   -v          all failures, not the first three of each
 *   name...     operations whose names contain one of these; =name: the one of exactly this name
 * Exit code 1 after a failure, 77 where the processor cannot do it.
 */
#include "sweep.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/leftovers.h"

static struct {
    bool real, kills, pairs, quick, first;
    uint64_t every, count, seed, again;
    unsigned shown;
    const char *places;
    char **names;
} choice = {.kills = true, .pairs = true, .every = 1, .shown = 3};

/* What a child that did one operation has to say; shared with it. */
static struct said {
    struct tally tally;
    unsigned failures;
} *said;
static struct said total;

static void options(int argc, char **argv)
{
    struct timespec t;
    int c;

    clock_gettime(CLOCK_REALTIME, &t);
    choice.seed = (uint64_t)t.tv_nsec;
    while ((c = getopt(argc, argv, "rkpqfs:n:x:w:v2:")) != -1) {
        switch (c) {
        case 'r': choice.real = true; break;
        case 'k': choice.pairs = false; break;
        case 'p': choice.kills = false; break;
        case 'q': choice.quick = true; break;
        case 'f': choice.first = true; break;
        case 's': choice.every = strtoull(optarg, NULL, 0); break;
        case '2': choice.again = strtoull(optarg, NULL, 0); choice.kills = false; break;
        case 'n': choice.count = strtoull(optarg, NULL, 0); break;
        case 'x': choice.seed = strtoull(optarg, NULL, 0); break;
        case 'w': choice.places = optarg; break;
        case 'v': choice.shown = 1000; break;
        default: exit(64);
        }
    }
    choice.names = argv + optind;
    if (choice.real) choice.pairs = false;
}

static bool wanted(const struct operation *o)
{
    const char *name = o->name;

    if (choice.quick && o->varies) return false;
    if (choice.names[0] == NULL) return true;
    for (char **n = choice.names; *n != NULL; n++)
        if (**n == '=' ? strcmp(name, *n + 1) == 0 : strstr(name, *n) != NULL) return true;
    return false;
}

static uint64_t seed_of(const char *name)
{
    uint64_t seed = choice.seed;

    for (; *name != '\0'; name++) seed = mix(seed ^ (uint64_t)(unsigned char)*name);
    return seed;
}

static void first_failed(void)
{
    said->failures = failures;
    fflush(stdout);
    _exit(0);
}

/* In a process of its own, whose lists of held locks and whose memory begin anew. */
static void operation_main(const struct operation *o)
{
    uint64_t seed = seed_of(o->name);

    at_operation = o;
    judge_quiet(choice.shown);
    if (choice.first) judge_until(first_failed);
    world_make(o, seed);
    if (o->image != NULL) o->image();
    if (o->other != NULL) step_pairs(o, choice.every, seed, choice.again, &said->tally);
    else if (choice.real) step_real(o, choice.count != 0 ? choice.count : UINT64_MAX, seed, &said->tally);
    else step_kills(o, choice.every, seed, &said->tally);
    world_drop();
    said->failures = failures;
    fflush(stdout);
    _exit(0);
}

static void operation_run(const struct operation *o)
{
    char name[64];
    int status;
    pid_t pid;

    memset(said, 0, sizeof *said);
    pid = fork();
    if (pid == 0) operation_main(o);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) exit(2);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        printf("  FAILED %s: the sweep ended with status %x\n", o->name, (unsigned)status);
        said->failures++;
    }
    snprintf(name, sizeof name, "/apiary-sweep-%d", (int)pid);
    if (said->failures > 0) shm_unlink(name); /* it may have been left */
    printf("%-24s %8llu points %8llu %-12s %u failures\n", o->name, (unsigned long long)said->tally.points,
           (unsigned long long)said->tally.images, o->other != NULL ? "preemptions" : choice.real ? "real kills" : "images",
           said->failures);
    total.tally.points += said->tally.points;
    total.tally.images += said->tally.images;
    total.tally.nanoseconds += said->tally.nanoseconds;
    total.tally.shifted += said->tally.shifted;
    total.failures += said->failures;
}

static void table_run(const struct operation *table)
{
    for (const struct operation *o = table; o->name != NULL; o++)
        if (wanted(o)) operation_run(o);
}

static void places_write(void)
{
    FILE *to = fopen(choice.places, "w");

    if (to != NULL) step_places_print(to);
    if (to == NULL || fclose(to) != 0) {
        printf("  FAILED: %s cannot be written\n", choice.places);
        total.failures++;
    }
}

int main(int argc, char **argv)
{
    const struct rlimit none = {0, 0};
    double seconds;

    options(argc, argv);
    if (!step_possible()) {
        puts("skipped: the trap flag is a thing of x86-64");
        return 77;
    }
    setrlimit(RLIMIT_CORE, &none);
    leftovers_clear("apiary-sweep");
    setvbuf(stdout, NULL, _IOLBF, 0);
    said = mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (said == MAP_FAILED) return 2;
    if (choice.places != NULL) step_places();
    printf("seed %llu, one in %llu\n", (unsigned long long)choice.seed, (unsigned long long)choice.every);
    if (choice.kills) table_run(kills_shm);
    if (choice.kills) table_run(kills_worker);
    if (choice.kills) table_run(kills_registry);
    if (choice.kills) table_run(kills_parent);
    if (choice.kills) table_run(kills_timers);
    if (choice.kills) table_run(kills_stream);
    if (choice.kills) table_run(kills_hedge);
    if (choice.kills) table_run(kills_probe);
    if (choice.kills) table_run(kills_memory);
    if (choice.kills) table_run(kills_watch);
    if (choice.kills) table_run(kills_cache);
    if (choice.kills) table_run(kills_claim);
    if (choice.kills) table_run(kills_instances);
    if (choice.kills) table_run(kills_rules);
    if (choice.kills) table_run(kills_tally);
    if (choice.kills) table_run(kills_finished);
    if (choice.kills) table_run(kills_coalesce);
    if (choice.pairs) table_run(pairs);
    if (choice.pairs) table_run(pairs_kept);
    if (choice.pairs) table_run(pairs_timers);
    if (choice.pairs) table_run(pairs_stream);
    if (choice.pairs) table_run(pairs_hedge);
    if (choice.pairs) table_run(pairs_probe);
    if (choice.pairs) table_run(pairs_memory);
    if (choice.pairs) table_run(pairs_watch);
    if (choice.pairs) table_run(pairs_cache);
    if (choice.pairs) table_run(pairs_claim);
    if (choice.pairs) table_run(pairs_instances);
    if (choice.pairs) table_run(pairs_rules);
    if (choice.pairs) table_run(pairs_tally);
    if (choice.pairs) table_run(pairs_finished);
    if (choice.pairs) table_run(pairs_coalesce);
    if (choice.places != NULL) places_write();
    seconds = (double)total.tally.nanoseconds / 1e9;
    printf("total %llu points, %llu judged, %u failures, %.1f s, %.0f points/s\n", (unsigned long long)total.tally.points,
           (unsigned long long)total.tally.images, total.failures, seconds,
           seconds > 0 ? (double)total.tally.points / seconds : 0);
    if (choice.real) {
        printf("%llu real kills left the image of another boundary than the one they were aimed at\n",
               (unsigned long long)total.tally.shifted);
        if (total.tally.shifted > 5 && total.tally.shifted > total.tally.images / 100) {
            puts("  FAILED: more than one in a hundred");
            total.failures++;
        }
    }
    if (total.tally.images == 0 && total.failures == 0) {
        puts("no operation has such a name");
        return 64;
    }
    return total.failures != 0;
}
