/* tests/process/corrupt.c - one corruption at a time: nothing that shmdump does crashes or hangs, and what breaks an invariant is
 * named.
 * `corrupt [--count N] [--seed S] [--first I] [--wild] [FILE]`; FILE is a copy of a segment, without one a segment is made.
 * --wild corrupts many places at once and judges nothing.
 * `corrupt --write FILE` writes that segment, sound, to a file; `corrupt --hold NAME` keeps it alive until standard input ends.
 *
 * Every case is a function of seed and number, so that a miss is repeated by --first I --count 1. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/time.h>

#include <jansson.h>

#include "tests/process/corrupt_make.h"
#include "tests/process/corrupt_oracle.h"
#include "tools/dump/dump.h"

#define HANG_SECONDS 60 /* of processor time, for one case */

struct finding_list {
    uint32_t count;
    struct ap_finding list[8192];
};

struct fuzz {
    uint64_t seed, number, random;
    uint8_t *base, *original;
    uint64_t size;
    struct dump whole; /* of the sound original */
    struct oracle oracle;
    struct finding_list found;
    uint64_t read, broke, named; /* cases */
    struct { /* the corruption of this case */
        uint64_t offset, old, new;
        uint32_t width;
    } place;
    uint32_t baseline; /* of the oracle */
    struct broken was[BROKEN_MAX];
};

static struct fuzz f;

/* ---- chance --------------------------------------------------------------------------------------------------- */

static uint64_t chance(void) /* splitmix64 */
{
    uint64_t z = f.random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
    return chance() % n;
}

/* ---- where and what ------------------------------------------------------------------------------------------- */

/* A word of some element of some structure that is read; elements that are used are few and come first, mostly. */
static uint64_t place_field(uint32_t width)
{
    const struct ap_segment *seg = &f.whole.seg;
    uint32_t section = (uint32_t)below(seg->section_count + 1);
    const struct ap_section *s = &seg->sections[section];
    uint64_t index;

    if (section == seg->section_count || section == AP_SECTION_POOL || s->count == 0)
        return below(sizeof(struct ap_header) / width) * width;
    index = below(s->count);
    if (chance() % 2 == 0) {
        /* Again until something is in it, a few times. */
        for (int i = 0; i < 40; i++, index = below(s->count)) {
            uint64_t word;
            memcpy(&word, f.base + s->offset + index * s->stride, sizeof word);
            if (word != 0 && (section != AP_SECTION_SLOTS || (word & 15) != 0)) break;
        }
    }
    return s->offset + index * s->stride + below(s->stride / width) * width;
}

static uint64_t value_of(uint64_t old, uint32_t width)
{
    switch (chance() % 9) {
    case 0:
    case 1:
    case 2: return old ^ UINT64_C(1) << below(8 * width);
    case 3: return chance();
    case 4: return 0;
    case 5: return UINT64_MAX;
    case 6: return old + 1;
    case 7: return old - 1;
    default: return (old & ~UINT64_C(0xff)) | below(32);
    }
}

static void corrupt_one(void)
{
    static const uint32_t widths[] = {8, 8, 4, 4, 2, 1};
    const struct ap_section *pool = &f.whole.seg.sections[AP_SECTION_POOL];
    uint32_t width = widths[below(6)];

    f.random = f.seed * UINT64_C(0xd1342543de82ef95) + f.number;
    do {
        f.place.width = width;
        f.place.offset = below(10) < 7 ? place_field(width) : below(f.size / width) * width;
        f.place.old = f.place.new = 0;
        memcpy(&f.place.old, f.base + f.place.offset, width);
        f.place.new = value_of(f.place.old, width);
        if (width < 8) f.place.new &= (UINT64_C(1) << 8 * width) - 1;
    } while (f.place.new == f.place.old);
    memcpy(f.base + f.place.offset, &f.place.new, width);
    if (f.place.offset < pool->offset || f.place.offset >= pool->offset + pool->count) f.read++;
}

static void restore(void)
{
    memcpy(f.base + f.place.offset, f.original + f.place.offset, f.place.width);
}

/* Many places at once, most of them in the header; only that it is survived counts. */
static void corrupt_wildly(void)
{
    static const uint32_t values[] = {0, 1, 2, 63, 64, 65, 4096, 0x7fffffff, 0xffffffff, 0xfffff000};

    f.random = f.seed * UINT64_C(0x2545f4914f6cdd1d) + f.number;
    for (uint64_t i = below(30); i-- > 0;) {
        uint64_t offset = below(4) != 0 ? below(offsetof(struct ap_header, rescan) / 4) * 4 : place_field(4);
        uint32_t value = chance() % 2 == 0 ? values[below(10)] : (uint32_t)chance();
        memcpy(f.base + offset, &value, sizeof value);
    }
    memcpy(f.base, AP_SEGMENT_MAGIC, 8);
}

static void place_print(const char *what)
{
    fprintf(stderr, "%s: --seed %" PRIu64 " --first %" PRIu64 ": offset %" PRIu64 ", %u bytes: %" PRIx64 " -> %" PRIx64 "\n", what,
            f.seed, f.number, f.place.offset, f.place.width, f.place.old, f.place.new);
}

/* ---- one case ------------------------------------------------------------------------------------------------- */

static void on_finding(void *user, const struct ap_finding *finding)
{
    struct finding_list *l = user;

    if (l->count < sizeof l->list / sizeof l->list[0]) l->list[l->count++] = *finding;
}

/* All that shmdump does with a segment, its output thrown away; what it says in JSON must be JSON. */
static void dump_all(void)
{
    const struct dump_options options = {.tasks = true, .events = 1000};
    struct ap_report report = {.found = on_finding, .user = &f.found};
    struct dump d;
    json_t *whole, *again;
    json_error_t error;
    char *text, *tables = NULL;
    size_t size;
    FILE *out = open_memstream(&tables, &size);

    MUST(out != NULL);
    dump_memory(f.base, f.size, &d);
    whole = dump_json(&d, &options);
    text = json_dumps(whole, JSON_COMPACT);
    MUST(text != NULL);
    again = json_loads(text, 0, &error);
    MUST(again != NULL && json_equal(again, whole));
    dump_text(whole, out);
    fclose(out);
    f.found.count = 0;
    dump_check(&d, &report);
    free(tables);
    free(text);
    json_decref(again);
    json_decref(whole);
}

static bool was_broken(const struct broken *b)
{
    for (uint32_t i = 0; i < f.baseline; i++)
        if (strcmp(f.was[i].structure, b->structure) == 0 && f.was[i].index == b->index && f.was[i].begin == b->begin) return true;
    return false;
}

static bool is_named(const struct broken *b)
{
    for (uint32_t i = 0; i < f.found.count; i++) {
        const struct ap_finding *x = &f.found.list[i];
        if (strcmp(x->structure, b->structure) == 0 && x->index == b->index && x->offset >= b->begin && x->offset < b->end)
            return true;
    }
    return false;
}

static void judge(void)
{
    bool broke = false, named = true;

    f.oracle.now = f.whole.seg.ops->now();
    f.oracle.day_ahead = f.whole.seg.ops->realtime() + UINT64_C(86400000000000);
    oracle_ask(&f.oracle);
    for (uint32_t i = 0; i < f.oracle.count; i++) {
        const struct broken *b = &f.oracle.list[i];

        if (was_broken(b)) continue;
        broke = true;
        if (is_named(b)) continue;
        named = false;
        place_print("not named");
        fprintf(stderr, "  %s %" PRIu64 " offset %" PRIu64 "..%" PRIu64 " (%u findings, the first: %s %" PRIu64 " offset %" PRIu64
                " %s)\n", b->structure, b->index, b->begin, b->end, f.found.count, f.found.list[0].structure,
                f.found.list[0].index, f.found.list[0].offset, f.found.list[0].rule);
        break;
    }
    f.broke += broke;
    f.named += broke && named;
}

static void on_hang(int number)
{
    (void)number;
    place_print("hangs"); /* the process is lost anyway */
    _exit(1);
}

static void watch_begin(void)
{
    const struct itimerval limit = {.it_value = {.tv_sec = HANG_SECONDS}};
    setitimer(ITIMER_PROF, &limit, NULL);
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

static void prepare(const char *file)
{
    char message[384];
    struct dump d;
    pthread_mutex_t fresh;

    if (file != NULL) {
        if (dump_open(file, &d, message, sizeof message) < 0 || d.live) {
            fprintf(stderr, "%s\n", d.live ? "a live segment is not to be corrupted; copy it first" : message);
            exit(1);
        }
        f.base = d.base;
        f.size = d.seg.size;
    } else {
        f.base = make_segment(NULL, &f.size);
    }
    f.original = malloc(f.size);
    MUST(f.original != NULL);
    memcpy(f.original, f.base, f.size);
    dump_memory(f.base, f.size, &f.whole);
    MUST(ap_robust_init(&fresh) == 0);
    f.oracle.mutex_kind = (uint32_t)fresh.__data.__kind;
    f.oracle.seg = &f.whole.seg;
    f.oracle.original = (const struct ap_header *)f.original;
    f.oracle.now = f.oracle.day_ahead = UINT64_MAX;
    oracle_ask(&f.oracle);
    f.baseline = f.oracle.count;
    memcpy(f.was, f.oracle.list, f.baseline * sizeof f.was[0]);
    dump_all();
    /* Without this a checker that finds something everywhere would pass. */
    if (file == NULL && (f.found.count != 0 || f.baseline != 0)) {
        fprintf(stderr, "the segment is not sound to begin with: %u findings, the first: %s; the oracle: %u\n", f.found.count,
                f.found.list[0].text, f.baseline);
        exit(1);
    }
}

static int write_file(const char *path)
{
    uint64_t size;
    uint8_t *bytes = make_segment(NULL, &size);
    FILE *out = fopen(path, "wb");

    MUST(out != NULL && fwrite(bytes, 1, size, out) == size && fclose(out) == 0);
    return 0;
}

static int hold(const char *name)
{
    uint64_t size;

    make_segment(name, &size);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {}
    return ap_segment_remove(name) < 0;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"count", 1, NULL, 'c'}, {"seed", 1, NULL, 's'}, {"first", 1, NULL, 'f'},
                                          {"wild", 0, NULL, 'a'},  {"write", 1, NULL, 'w'}, {"hold", 1, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    uint64_t count = 1000, first = 0;
    bool wild = false;
    int c;

    f.seed = 1;
    while ((c = getopt_long(argc, argv, "c:s:f:aw:h:", longs, NULL)) != -1) {
        if (c == 'c') count = strtoull(optarg, NULL, 10);
        else if (c == 's') f.seed = strtoull(optarg, NULL, 10);
        else if (c == 'f') first = strtoull(optarg, NULL, 10);
        else if (c == 'a') wild = true;
        else if (c == 'w') return write_file(optarg);
        else if (c == 'h') return hold(optarg);
        else return 64;
    }
    signal(SIGPROF, on_hang);
    watch_begin();
    prepare(argc > optind ? argv[optind] : NULL);
    for (f.number = first; f.number < first + count; f.number++) {
        watch_begin();
        if (wild) {
            corrupt_wildly();
            dump_all();
            memcpy(f.base, f.original, f.size);
            continue;
        }
        corrupt_one();
        dump_all();
        judge();
        restore();
    }
    if (wild) return printf("%" PRIu64 " segments of many corruptions survived; seed %" PRIu64 "\n", count, f.seed) < 0;
    printf("%" PRIu64 " corruptions, %" PRIu64 " of bytes that are read, %" PRIu64 " broke an invariant, %" PRIu64
           " of them named; seed %" PRIu64 "\n", count, f.read, f.broke, f.named, f.seed);
    return f.named * 100 < f.broke * 99 || f.read * 2 < count;
}
