/* tests/fuzz/driver.c - the driver of a target where there is no libFuzzer: replay, then random mutations.
 *
 *   fuzz_X [--seed N] [--runs N] [--seconds N] FILE|FOLDER...
 *
 * Runs each input as it is, then mutations of them: at least as many as --runs says, and for as long as --seconds says. The
 * seed is printed (without --seed: one that the clock gives); the same seed, count and files give the same mutations. When the
 * process ends before its time, the input is left in crash-X. An input that takes more than a minute of processor time
 * counts as an endless loop.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#ifdef FUZZ_LIBFUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= fuzz_longest) fuzz_one(data, size);
    return 0;
}

#else

#define CPU_SECONDS 60

struct text {
    uint8_t *bytes;
    size_t size;
};

static struct text *inputs;
static size_t input_count;
static struct text now; /* the input that runs */
static uint64_t state;

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* ---- what is left of an input that ended the process ---------------------------------------------------------- */

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) _exit(1);
}

static void leave_input(void)
{
    char name[64] = "crash-";
    int fd;

    strncat(name, fuzz_target, sizeof name - 8);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0 && write(fd, now.bytes, now.size) == (ssize_t)now.size) {
        say("the input is in ");
        say(name);
        say("\n");
    }
    if (fd >= 0) close(fd);
}

static void on_signal(int number)
{
    say(number == SIGPROF ? "an endless loop: more than a minute of processor time\n" : "ended by a signal\n");
    leave_input();
    signal(number, SIG_DFL);
    if (number == SIGPROF) abort();
    raise(number);
}

static void watch(void)
{
    static const int numbers[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};

    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(leave_input);
        sigaction(SIGABRT, &action, NULL);
    } else {
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) sigaction(numbers[i], &action, NULL);
    }
    sigaction(SIGPROF, &action, NULL);
}

static void run(const uint8_t *bytes, size_t size)
{
    const struct itimerval limit = {.it_value = {.tv_sec = CPU_SECONDS}};

    memcpy(now.bytes, bytes, size);
    now.size = size;
    setitimer(ITIMER_PROF, &limit, NULL);
    /* A copy of exactly its size: what is read behind its end is noticed. */
    bytes = memcpy(malloc(size + (size == 0)), now.bytes, size);
    fuzz_one(bytes, size);
    free((void *)bytes);
}

/* ---- inputs --------------------------------------------------------------------------------------------------- */

static void add_file(const char *path)
{
    uint8_t *bytes = malloc(fuzz_longest + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, bytes, fuzz_longest + 1) : -1;

    if (n < 0 || (size_t)n > fuzz_longest) {
        fprintf(stderr, "fuzz_%s: %s: cannot be read, or is longer than %zu bytes\n", fuzz_target, path, fuzz_longest);
        exit(2);
    }
    close(fd);
    inputs = realloc(inputs, (input_count + 1) * sizeof *inputs);
    inputs[input_count++] = (struct text){bytes, (size_t)n};
}

static void add(const char *path)
{
    struct dirent **list;
    struct stat st;
    int n;

    if (stat(path, &st) < 0) {
        fprintf(stderr, "fuzz_%s: %s: %m\n", fuzz_target, path);
        exit(2);
    }
    if (!S_ISDIR(st.st_mode)) {
        add_file(path);
        return;
    }
    n = scandir(path, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char name[4096];

        if (list[i]->d_name[0] != '.' && snprintf(name, sizeof name, "%s/%s", path, list[i]->d_name) < (int)sizeof name)
            add_file(name);
        free(list[i]);
    }
    free(n < 0 ? NULL : list);
}

/* ---- mutations ------------------------------------------------------------------------------------------------ */

static uint64_t draw(void)
{
    state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = (state ^ state >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t below(size_t n)
{
    return n != 0 ? draw() % n : 0;
}

/* Puts `n` bytes in at `at`, or out; the text never grows over its limit. */
static void insert(struct text *t, size_t at, const uint8_t *from, size_t n)
{
    if (n > fuzz_longest - t->size) n = fuzz_longest - t->size;
    memmove(t->bytes + at + n, t->bytes + at, t->size - at);
    memmove(t->bytes + at, from, n);
    t->size += n;
}

static void mutate(struct text *t)
{
    static const uint64_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX, INT64_MAX, 64, 4096};
    const struct text *other = &inputs[below(input_count)];
    size_t at = below(t->size + 1), n = 1 + below(below(4) == 0 ? 64 : 13), from = below(other->size);
    uint64_t value = odd[below(sizeof odd / sizeof odd[0])];

    if (n > t->size - at) n = t->size - at;
    switch (below(7)) {
    case 0:
        if (at < t->size) t->bytes[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        if (at < t->size) t->bytes[at] = (uint8_t)draw();
        break;
    case 2: memcpy(t->bytes + at, &value, n < 8 ? n : 8); break;
    case 3:
        memmove(t->bytes + at, t->bytes + at + n, t->size - at - n);
        t->size -= n;
        break;
    case 4:
    case 5: insert(t, at, other->bytes + from, below(other->size - from + 1) % 49); break;
    default:
        for (size_t i = 0; i < n; i++) t->bytes[at + i] = (uint8_t)draw();
        break;
    }
}

static void mutations(uint64_t runs, uint64_t seconds)
{
    struct text t = {.bytes = malloc(fuzz_longest + 64)};
    time_t until = time(NULL) + (time_t)seconds;
    uint64_t done = 0;

    for (; done < runs || (seconds != 0 && time(NULL) < until); done++) {
        const struct text *from = &inputs[below(input_count)];

        memcpy(t.bytes, from->bytes, from->size);
        t.size = from->size;
        for (size_t n = 1 + below(6); n > 0; n--) mutate(&t);
        run(t.bytes, t.size);
    }
    free(t.bytes);
    printf("fuzz_%s: %zu inputs, %llu mutations\n", fuzz_target, input_count, (unsigned long long)done);
}

int main(int argc, char **argv)
{
    uint64_t runs = 0, seconds = 0;
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    state = (uint64_t)time.tv_sec * 1000003 + (uint64_t)time.tv_nsec;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && i + 1 < argc) {
            uint64_t n = strtoull(argv[i + 1], NULL, 0);

            if (strcmp(argv[i], "--seed") == 0) state = n;
            else if (strcmp(argv[i], "--runs") == 0) runs = n;
            else if (strcmp(argv[i], "--seconds") == 0) seconds = n;
            else return 2;
            i++;
        } else {
            add(argv[i]);
        }
    }
    if (input_count == 0) {
        fprintf(stderr, "fuzz_%s: no inputs\n", fuzz_target);
        return 2;
    }
    now.bytes = malloc(fuzz_longest + 1);
    watch();
    printf("fuzz_%s: --seed %llu\n", fuzz_target, (unsigned long long)state);
    fflush(stdout);
    for (size_t i = 0; i < input_count; i++) run(inputs[i].bytes, inputs[i].size);
    mutations(runs, seconds);
    return 0;
}

#endif
