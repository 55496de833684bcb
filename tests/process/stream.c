/* stream - parts of results, with real kills of the queens that write them and of the clients that read them.
 *
 *   stream [--kills N] [--seed N]
 *
 * Two queens offer "produce", whose agent sends as many parts as the request says, of sizes and bytes that follow from the
 * request's seed and from the attempt. Three clients delegate to it, read the parts, some of them slowly, and judge each: its
 * number follows the one before, its attempt is not below, its bytes are those of that attempt; and at the end there are as many
 * as the result says. Meanwhile the parent kills a queen or a client at random, after a random number of parts has been read, and
 * starts another in its place. It ends when there were enough kills of both, attempts that were begun anew under their readers,
 * and writers that were stopped by their readers. In the end no slot and no block is in use, and the checkers find nothing.
 */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/apiary/agent.h"
#include "core/apiary/swarm.h"
#include "registry/client/client.h"
#include "registry/monitor/monitor.h"
#include "tests/support/leftovers.h"

#define NSEC UINT64_C(1000000000)
#define QUEENS 2u
#define CLIENTS 3u
#define PART_MAX 3000u
#define PARTS_MAX 200u
#define TAIL 32u

static char segment[64];

/* What is counted outside the segment; shared by all processes. */
static struct ledger {
    uint64_t tasks, parts, joined, anew, behind, failures;
} *ledger;

static void die(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, apiary_strerror(error));
    exit(2);
}

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* ---- what is sent ---------------------------------------------------------------------------------------------- */

struct order {
    uint64_t seed;
    uint32_t parts, reserved;
};

static uint32_t part_make(const struct order *o, uint32_t attempt, uint32_t number, uint8_t ret[PART_MAX])
{
    uint64_t x = mix(o->seed ^ (uint64_t)number << 32), size = number == o->parts ? TAIL : 1 + x % PART_MAX;

    for (uint32_t i = 0; i < size; i++) ret[i] = (uint8_t)((x >> (i % 7 * 8)) + attempt * 31 + i);
    return (uint32_t)size;
}

/* ---- queens ---------------------------------------------------------------------------------------------------- */

struct work {
    struct order order;
    uint32_t sent;
};

static void work_on(void *user, apiary_job_t *job)
{
    struct work *w = user;
    uint8_t bytes[PART_MAX];
    int r = 0;

    while (w->sent < w->order.parts && r == 0) {
        uint32_t size = part_make(&w->order, apiary_job_attempt(job), w->sent, bytes);

        r = apiary_job_part(job, bytes, size);
        w->sent += r == 0;
    }
    if (r == APIARY_EBEHIND) {
        ap_add_relaxed(&ledger->behind, 1);
        r = apiary_job_part_ready(job, work_on, w);
        if (r == 0) return;
    }
    if (r < 0) apiary_job_fail(job, 1, "part %u: %s", w->sent, apiary_strerror(r));
    else apiary_job_reply(job, bytes, part_make(&w->order, apiary_job_attempt(job), w->order.parts, bytes));
    free(w);
}

static void produce(void *state, apiary_job_t *job)
{
    struct work *w = calloc(1, sizeof *w);
    size_t size;
    const void *body = apiary_job_data(job, &size);

    (void)state;
    if (w == NULL || size != sizeof w->order) {
        apiary_job_fail(job, 400, "a request of %zu bytes", size);
        free(w);
        return;
    }
    memcpy(&w->order, body, sizeof w->order);
    work_on(w, job);
}

static void queen_run(uint32_t number)
{
    static const char *const capabilities[] = {"produce", NULL};
    static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND, .name = "produce", .handle = produce};
    static const apiary_agent_description_t agents[] = {{.name = "one", .kind = &kind, .capabilities = capabilities}};
    char instance[16], message[256] = "";
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "producers", .instance = instance, .agents = agents,
                                    .agent_count = 1};
    apiary_queen_t *queen;
    apiary_t *a;
    int r = apiary_attach(segment, NULL, &a);

    if (r < 0) die("attach", r);
    snprintf(instance, sizeof instance, "%u", number);
    /* The one before may be dead, and not recovered yet. */
    while ((r = apiary_queen_start(a, &d, message, sizeof message, &queen)) == APIARY_EEXIST) poll(NULL, 0, 1);
    if (r < 0) die(message, r);
    for (;;) pause();
}

/* ---- clients --------------------------------------------------------------------------------------------------- */

static void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    ap_add_relaxed(&ledger->failures, 1);
}

/* All at once, since there was no block for a window. */
static void joined_judge(const struct order *o, const apiary_result_t *result)
{
    uint8_t bytes[PART_MAX];
    size_t at = 0;

    for (uint32_t i = 0; i <= o->parts; i++) {
        uint32_t size = part_make(o, result->attempts, i, bytes);

        if (at + size > result->size || memcmp((const uint8_t *)result->data + at, bytes, size) != 0) {
            wrong("joined: part %u at %zu of %zu bytes is another", i, at, result->size);
            return;
        }
        at += size;
    }
    if (at != result->size) wrong("joined: %zu bytes, not %zu", result->size, at);
    ap_add_relaxed(&ledger->joined, 1);
}

static void end_judge(const struct order *o, uint32_t attempt, uint32_t read, const apiary_result_t *result)
{
    uint8_t bytes[PART_MAX];
    uint32_t size = part_make(o, result->attempts, o->parts, bytes);

    if (result->code != 0) {
        wrong("the task ends with %s: %.*s", apiary_strerror(result->code), (int)result->size, (const char *)result->data);
        return;
    }
    if (result->parts == 0 && o->parts > 0) {
        joined_judge(o, result);
        return;
    }
    if (attempt != result->attempts && o->parts > 0) wrong("parts of attempt %u, the result is of %u", attempt, result->attempts);
    if (read != o->parts || result->parts != o->parts) wrong("%u of %u parts, the result says %u", read, o->parts, result->parts);
    if (result->size != size || memcmp(result->data, bytes, size) != 0) wrong("what follows the parts is another");
}

static void client_task(apiary_t *a, uint64_t seed)
{
    struct order o = {.seed = mix(seed), .parts = (uint32_t)(mix(seed ^ 1) % PARTS_MAX)};
    const apiary_delegate_options_t options = {.struct_size = sizeof options, .timeout = 300 * NSEC,
                                               .flags = APIARY_PARTS | APIARY_WAIT_FOR_PROVIDER};
    uint8_t got[PART_MAX], wanted[PART_MAX];
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_part_t part = {.struct_size = sizeof part};
    uint32_t attempt = 0, read = 0;
    apiary_task_t task;
    int r;

    while ((r = apiary_delegate(a, "produce", &o, sizeof o, &options, &task)) == APIARY_ENOCAP || r == APIARY_EQUEUEFULL)
        poll(NULL, 0, 1);
    if (r < 0) die("delegate", r);
    while ((r = apiary_next_part(a, task, APIARY_FOREVER, got, sizeof got, &part)) == 1) {
        if (part.attempt < attempt) wrong("attempt %u after %u", part.attempt, attempt);
        if (part.attempt != attempt) {
            if (read > 0) ap_add_relaxed(&ledger->anew, 1);
            attempt = part.attempt;
            read = 0;
        }
        if (part.number != read++) wrong("part %u, not %u, of attempt %u", part.number, read - 1, attempt);
        if (part_make(&o, attempt, part.number, wanted) != part.size || memcmp(got, wanted, part.size) != 0)
            wrong("part %u of attempt %u is another", part.number, attempt);
        ap_add_relaxed(&ledger->parts, 1);
        if (seed % 3 == 0 && read % 8 == 0) poll(NULL, 0, 1);
    }
    if (r < 0) die("next part", r);
    r = apiary_await(a, task, APIARY_FOREVER, &result);
    if (r < 0) die("await", r);
    end_judge(&o, attempt, read, &result);
    apiary_release(a, &result);
    ap_add_relaxed(&ledger->tasks, 1);
}

static uint32_t *stop; /* shared: clients end after their task */

static void client_run(uint64_t seed)
{
    apiary_t *a;
    int r = apiary_attach(segment, NULL, &a);

    if (r < 0) die("attach", r);
    while (ap_load_acquire(stop) == 0) client_task(a, seed = mix(seed));
    apiary_detach(a);
}

/* ---- the parent ------------------------------------------------------------------------------------------------ */

static pid_t start(uint32_t number, uint64_t seed)
{
    pid_t pid = fork();

    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (number < QUEENS) queen_run(number);
    else client_run(seed);
    _exit(0);
}

static void finding(void *user, const struct ap_finding *f)
{
    (void)user;
    printf("%s %llu: %s: %s\n", f->structure, (unsigned long long)f->index, f->rule, f->text);
}

/* What is left when everybody has gone. */
static void segment_judge(apiary_t *a)
{
    struct ap_report report = {.found = finding};
    struct ap_segment *seg = a->seg;

    ap_reap_asking(seg, AP_NO_LANE, &ap_registry_hooks);
    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        uint64_t word = ap_load_acquire(&ap_slot_at(seg, i)->word);

        if (AP_WORD_STATE(word) == AP_TASK_QUEUED && ap_abandoned(ap_slot_at(seg, i), word))
            ap_queue_end_task(seg, i, word, AP_TASK_CANCELLED, APIARY_ECANCELLED);
    }
    ap_tidy_all(a->anchor);
    for (uint32_t i = 0; i < seg->geometry.tasks; i++)
        if (AP_WORD_STATE(ap_slot_at(seg, i)->word) != AP_TASK_FREE)
            wrong("slot %u is %s in the end", i, ap_task_state_name(AP_WORD_STATE(ap_slot_at(seg, i)->word)));
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_BLOCKS].count; i++)
        if (AP_BLOCK_STATE(*(uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, i)) != AP_BLOCK_FREE)
            wrong("block %llu is in use in the end", (unsigned long long)i);
    ap_check_all(seg, &report);
    if (report.corrupt + report.repairable > 0) wrong("the checkers find something");
}

static void segment_make(void)
{
    struct ap_segment_options o = {.name = segment, .geometry = {.members = 16, .lanes = 32, .tasks = 1024, .queues = 8}};
    char message[256] = "";
    struct ap_segment *seg;
    int r;

    leftovers_clear("apiary-stream");
    snprintf(segment, sizeof segment, "/apiary-stream-%d", (int)getpid());
    r = ap_registry_create(&o, message, sizeof message, &seg);
    if (r < 0) die(message, r);
    ap_segment_unmap(seg);
}

/* Until so many parts more were read; false: somebody has ended who was not killed. */
static bool parts_more(uint64_t n)
{
    uint64_t until = ap_load_relaxed(&ledger->parts) + n;

    while (ap_load_relaxed(&ledger->parts) < until && ap_load_relaxed(&ledger->failures) == 0) {
        if (waitpid(-1, NULL, WNOHANG) != 0) return false;
        poll(NULL, 0, 1);
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"kills", 1, NULL, 'k'}, {"seed", 1, NULL, 's'}, {0}};
    uint64_t seed = (uint64_t)time(NULL), kills = 60, killed[2] = {0, 0};
    pid_t pids[QUEENS + CLIENTS];
    apiary_t *a;
    int o;

    while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (o == 'k') kills = strtoull(optarg, NULL, 10);
        else if (o == 's') seed = strtoull(optarg, NULL, 10);
        else return 64;
    }
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    ledger = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ledger == MAP_FAILED) return 2;
    stop = (uint32_t *)(void *)(ledger + 1);
    segment_make();
    for (uint32_t i = 0; i < QUEENS + CLIENTS; i++) pids[i] = start(i, seed = mix(seed));
    while (killed[0] < kills / 2 || killed[1] < kills / 2 || ap_load_relaxed(&ledger->anew) < kills / 6 ||
           ap_load_relaxed(&ledger->behind) < kills) {
        uint32_t victim;

        seed = mix(seed);
        victim = (uint32_t)(seed % 2 == 0 ? seed / 2 % QUEENS : QUEENS + seed / 2 % CLIENTS);
        if (!parts_more(mix(seed ^ 3) % 400)) {
            wrong("a process has ended");
            break;
        }
        if (ap_load_relaxed(&ledger->failures) > 0) break;
        kill(pids[victim], SIGKILL);
        waitpid(pids[victim], NULL, 0);
        killed[victim >= QUEENS]++;
        pids[victim] = start(victim, seed = mix(seed));
    }
    ap_store_release(stop, 1);
    for (uint32_t i = QUEENS; i < QUEENS + CLIENTS; i++) waitpid(pids[i], NULL, 0);
    for (uint32_t i = 0; i < QUEENS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    o = apiary_attach(segment, NULL, &a);
    if (o < 0) die("attach", o);
    segment_judge(a);
    apiary_detach(a);
    shm_unlink(segment);
    printf("%llu queens and %llu clients killed; %llu tasks, %llu parts read, %llu attempts begun anew under a reader, "
           "%llu parts found no room, %llu results whole; %llu failures\n", (unsigned long long)killed[0],
           (unsigned long long)killed[1], (unsigned long long)ledger->tasks, (unsigned long long)ledger->parts,
           (unsigned long long)ledger->anew, (unsigned long long)ledger->behind, (unsigned long long)ledger->joined,
           (unsigned long long)ledger->failures);
    return ledger->failures != 0;
}
