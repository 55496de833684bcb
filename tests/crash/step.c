/* tests/crash/step.c - an operation one instruction at a time: the trap flag, snapshots, real kills, preemption in place. */
#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__x86_64__)

#define SHOTS 6000u
#define FEW 40u /* images that are all judged in a sampled run, too: the stepping takes the time */
#define TRAP_FLAG 0x100u
#define STACK_BYTES (256u << 10)

enum step_mode { TAKE_IMAGES, KILL_AT, PREEMPT, PREEMPT_AGAIN, GO_BACK };

static uint32_t mode;
static uint64_t steps, kill_at, take_every, take_seed, preemptions;

static inline __attribute__((always_inline)) void step_on(void)
{
    __asm__ __volatile__("pushfq; orq %0,(%%rsp); popfq" ::"i"(TRAP_FLAG) : "memory", "cc");
}

static inline __attribute__((always_inline)) void step_off(void)
{
    __asm__ __volatile__("pushfq; andq %0,(%%rsp); popfq" ::"i"(~TRAP_FLAG) : "memory", "cc");
}

static bool taken(uint64_t step)
{
    return take_every <= 1 || mix(take_seed ^ step) % take_every == 0;
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* ---- what was stepped ----------------------------------------------------------------------------------------- */

enum { STEPPED = 1, WROTE = 2 };

/* Of each byte of this program whether an instruction that begins there was stepped, and whether the segment was another after it.
 * What libc does counts for nobody. Shared with the children; NULL: nobody wants to know. */
extern const char __executable_start, etext;
static uint8_t *places;

static size_t places_size(void)
{
    return (uintptr_t)&etext - (uintptr_t)&__executable_start;
}

void step_places(void)
{
    places = mmap(NULL, places_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (places == MAP_FAILED) exit(2);
}

void step_places_print(FILE *to)
{
    for (size_t i = 0; i < places_size(); i++)
        if (places[i] != 0) fprintf(to, "%s 0x%zx\n", (places[i] & WROTE) != 0 ? "wrote" : "stepped", i);
}

static void place_mark(uint64_t rip, uint8_t what)
{
    uint64_t at = rip - (uintptr_t)&__executable_start;

    if (places != NULL && at < places_size()) places[at] |= what;
}

/* ---- snapshots ------------------------------------------------------------------------------------------------ */

/* Shared with the child that fills it. */
static struct {
    uint64_t count, steps;
    uint64_t wrong, wrong_at; /* a task's transition that shm/states.def does not have: how, from, to + 1 */
    uint64_t at[SHOTS];
} *shot_index;
static uint8_t *shots, *shot_base, *shot_last;
static uint64_t shot_size;

static void shots_make(void)
{
    shot_size = survivor.seg->size;
    shots = mmap(NULL, SHOTS * shot_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    shot_index = mmap(NULL, sizeof *shot_index, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shots == MAP_FAILED || shot_index == MAP_FAILED) exit(2);
}

static void shots_free(void)
{
    munmap(shots, SHOTS * shot_size);
    munmap(shot_index, sizeof *shot_index);
}

enum { STORE, CAS };

static bool way_known(int how, uint32_t from, uint32_t to)
{
#define AP_TRANSITION(FROM, TO, HOW, BY, text) \
    if (how == HOW && from == AP_TASK_##FROM && to == AP_TASK_##TO) return true;
#include "shm/states.def"
    return false;
}

/* Whether an instruction with a lock prefix or one without it has taken a task another way than the table has it. */
static void ways_check(uint64_t rip)
{
    const uint8_t *slots = (const uint8_t *)ap_slot_at(survivor.seg, 0) - survivor.seg->base + shot_base;
    int how = *(const uint8_t *)rip == 0xf0 ? CAS : STORE;

    for (uint32_t i = 0; i < TASKS; i++) {
        uint64_t is, was;

        memcpy(&is, slots + i * sizeof(struct ap_slot), sizeof is);
        memcpy(&was, shot_last + (slots - shot_base) + i * sizeof(struct ap_slot), sizeof was);
        if (is == was || way_known(how, AP_WORD_STATE(was), AP_WORD_STATE(is))) continue;
        shot_index->wrong = (uint64_t)how << 16 | AP_WORD_STATE(was) << 8 | (AP_WORD_STATE(is) + 1);
        shot_index->wrong_at = steps;
    }
}

/* After the instruction at `rip`. */
static void shot_take(uint64_t rip)
{
    place_mark(rip, STEPPED);
    if (memcmp(shot_last, shot_base, shot_size) == 0) return;
    place_mark(rip, WROTE);
    ways_check(rip);
    if (shot_index->count == SHOTS) _exit(8);
    shot_last = shots + shot_index->count * shot_size;
    memcpy(shot_last, shot_base, shot_size);
    shot_index->at[shot_index->count++] = steps;
}

static void shot_first(void)
{
    /* A mapping of its own: the operation may be the one that unmaps. */
    shot_base = mmap(NULL, shot_size, PROT_READ, MAP_SHARED, actor.seg->fd, 0);
    if (shot_base == MAP_FAILED) _exit(2);
    shot_last = shots;
    memcpy(shots, shot_base, shot_size);
    shot_index->at[0] = 0;
    shot_index->count = 1;
}

/* ---- preemption in place -------------------------------------------------------------------------------------- */

#define FILES 4

/* What is allocated while a thread is stepped: who goes back has freed nothing. */
static struct { size_t used; uint8_t bytes[65536] __attribute__((aligned(16))); } heap;

/* Everything private that a stepped thread may have changed: registers, vector state, stack, thread-local variables, the head of
 * its list of robust mutexes, the descriptors that it has opened, what it has allocated, and what the two sides keep. */
static struct {
    gregset_t registers;
    uint8_t vector[16384];
    uint8_t stack[STACK_BYTES];
    uint8_t local[4096];
    struct robust_list_head *robust, robust_copy;
    uintptr_t stack_low, stack_high, local_at;
    size_t vector_size, local_size;
    uint8_t *segment;
    struct kept *kept;
    int first_file, files[FILES]; /* copies of what is open from there on, -1: nothing */
    __typeof__(heap) heap;
} back;

/* In place of the library's calloc and free (the linker's --wrap). */
void *__real_calloc(size_t n, size_t size), *__wrap_calloc(size_t n, size_t size);
void __real_free(void *at), __wrap_free(void *at);

void *__wrap_calloc(size_t n, size_t size)
{
    size_t bytes = (n * size + 15) & ~(size_t)15;
    void *ret = heap.bytes + heap.used;

    if (mode < PREEMPT || bytes > sizeof heap.bytes - heap.used) return __real_calloc(n, size);
    heap.used += bytes;
    return memset(ret, 0, bytes);
}

void __wrap_free(void *at)
{
    if ((uintptr_t)at - (uintptr_t)heap.bytes >= sizeof heap.bytes) __real_free(at);
}

static int find_local(struct dl_phdr_info *info, size_t size, void *user)
{
    (void)size;
    (void)user;
    /* The program's own block lies right below the thread pointer, aligned; it comes first in the list. */
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_TLS) continue;
        back.local_size = (p->p_memsz + p->p_align - 1) & ~(p->p_align - 1);
        back.local_at = (uintptr_t)__builtin_thread_pointer() - back.local_size;
    }
    return 1;
}

/* The size of what the kernel saved of the vector registers stands in the bytes it leaves to software. */
static size_t vector_size(const uint8_t *area)
{
    uint32_t magic, size;

    memcpy(&magic, area + 464, sizeof magic);
    memcpy(&size, area + 468, sizeof size);
    return magic == 0x46505853u ? size : 512;
}

static void files_save(void)
{
    for (int i = 0; i < FILES; i++) {
        if (back.files[i] >= 0) close(back.files[i]);
        back.files[i] = fcntl(back.first_file + i, F_DUPFD_CLOEXEC, back.first_file + 100);
    }
}

static void files_back(void)
{
    for (int i = 0; i < FILES; i++) {
        if (back.files[i] >= 0) dup3(back.files[i], back.first_file + i, O_CLOEXEC);
        else close(back.first_file + i);
    }
}

static void back_save(const ucontext_t *u)
{
    const uint8_t *area = (const uint8_t *)u->uc_mcontext.fpregs;

    memcpy(back.registers, u->uc_mcontext.gregs, sizeof back.registers);
    back.vector_size = vector_size(area);
    back.stack_low = (uintptr_t)u->uc_mcontext.gregs[REG_RSP] - 128; /* the red zone */
    if (back.vector_size > sizeof back.vector || back.stack_high - back.stack_low > STACK_BYTES ||
        back.local_size > sizeof back.local)
        _exit(9);
    memcpy(back.vector, area, back.vector_size);
    memcpy(back.stack, (const void *)back.stack_low, back.stack_high - back.stack_low);
    memcpy(back.local, (const void *)back.local_at, back.local_size);
    back.robust_copy = *back.robust;
    memcpy(back.segment, survivor.seg->base, survivor.seg->size);
    keep(back.kept);
    files_save();
    back.heap = heap;
}

static void back_go(ucontext_t *u)
{
    memcpy(survivor.seg->base, back.segment, survivor.seg->size);
    bring_back(back.kept);
    files_back();
    heap = back.heap;
    *back.robust = back.robust_copy;
    memcpy((void *)back.local_at, back.local, back.local_size);
    memcpy((void *)back.stack_low, back.stack, back.stack_high - back.stack_low);
    memcpy(u->uc_mcontext.fpregs, back.vector, back.vector_size);
    memcpy(u->uc_mcontext.gregs, back.registers, sizeof back.registers);
}

/* The other side is to be another thread, whose held mutexes are in a list of its own: the one of this thread may be half
 * changed. What it locks bears the same thread id, but nobody unlocks another's. */
static void other_thread(void (*run)(void))
{
    static uint8_t local[sizeof back.local];
    struct robust_list_head head = *back.robust;
    uint64_t owner = ap_context_owner;

    memcpy(local, (const void *)back.local_at, back.local_size);
    memset((void *)back.local_at, 0, back.local_size);
    ap_context_owner = owner; /* as the data of the thread's keys, which are no part of that memory */
    *back.robust = (struct robust_list_head){.list = {&back.robust->list}, .futex_offset = head.futex_offset};
    run();
    *back.robust = head;
    memcpy((void *)back.local_at, local, back.local_size);
}

/* ---- the handler ---------------------------------------------------------------------------------------------- */

static uint32_t preempted;
static uint64_t last_rip;

/* A second preemption, `second_at` boundaries after the first, `rounds` times for each first one. */
static uint64_t rounds, turn, second_at, second_steps;

/* Other work of the survivor, that fits between any two operations. */
static void second_run(void)
{
    drain(&survivor.consumer);
    ap_reap_all(survivor.seg, survivor.lane.index, world_hooks);
}

static void first_preemption(ucontext_t *u)
{
    preempted = 1;
    preemptions++;
    other_thread(at_operation->other);
    if (rounds == 0) {
        u->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG; /* to its end at full speed */
        return;
    }
    mode = PREEMPT_AGAIN;
    second_steps = 0;
    second_at = 1 + mix(take_seed ^ steps << 20 ^ turn) % (turn % 2 == 0 ? 40 : 400);
    turn++;
}

static bool is_shared(uint64_t at)
{
    return at - (uintptr_t)survivor.seg->base <= survivor.seg->size ||
           (actor.seg != NULL && at - (uintptr_t)actor.seg->base <= actor.seg->size);
}

/* What a round has come from and gone to lies right before these, or behind them when it goes down. */
static bool round_is_shared(const ucontext_t *u)
{
    return is_shared((uint64_t)u->uc_mcontext.gregs[REG_RDI]) || is_shared((uint64_t)u->uc_mcontext.gregs[REG_RSI]);
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    uint64_t after = last_rip;

    (void)number;
    (void)info;
    if (mode == GO_BACK) {
        mode = PREEMPT;
        preempted = 0;
        back_go(u); /* its copy of the flags has the trap flag set */
        if (turn < rounds) first_preemption(u);
        else turn = 0;
        return;
    }
    if (mode == PREEMPT_AGAIN) {
        if (++second_steps != second_at) return;
        other_thread(second_run);
        u->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
        return;
    }
    /* A `rep` instruction traps after each round, and now and then once more when it was interrupted: its rounds are one step,
     * whose images in between are taken all the same. Between two rounds another may come in where they touch the segment. */
    if ((uint64_t)u->uc_mcontext.gregs[REG_RIP] != last_rip || (mode == PREEMPT && round_is_shared(u))) steps++;
    else if (mode != TAKE_IMAGES) return;
    last_rip = (uint64_t)u->uc_mcontext.gregs[REG_RIP];
    if (mode == TAKE_IMAGES) {
        shot_index->steps = steps;
        shot_take(after);
    } else if (mode == KILL_AT && steps == kill_at) {
        kill(getpid(), SIGKILL);
        for (;;) {}
    } else if (mode == PREEMPT && taken(steps)) {
        back_save(u);
        first_preemption(u);
    }
}

static void handler_set(void)
{
    static uint8_t stack[STACK_BYTES] __attribute__((aligned(64)));
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    if (sigaltstack(&other, NULL) != 0 || sigaction(SIGTRAP, &action, NULL) != 0) _exit(2);
}

bool step_possible(void)
{
    return true;
}

/* ---- kills ---------------------------------------------------------------------------------------------------- */

static void actor_main(const struct operation *o, uint64_t at)
{
    handler_set();
    actor_join();
    if (o->prepare != NULL) o->prepare();
    mode = at == 0 ? TAKE_IMAGES : KILL_AT;
    kill_at = at;
    if (at == 0) shot_first();
    step_on();
    o->run();
    step_off();
    _exit(42);
}

static pid_t actor_run(const struct operation *o, uint64_t at, bool *ended)
{
    uint64_t last = world_image_last();
    int status;
    pid_t pid = fork();

    if (pid == 0) actor_main(o, at);
    if (pid < 0 || !world_left(pid, last, &status)) exit(2);
    *ended = WIFEXITED(status) && WEXITSTATUS(status) == 42;
    if (!*ended && !(at != 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        fail("the actor ended with status %x", (unsigned)status);
    return pid;
}

static void ways_judge(void)
{
    uint64_t w = shot_index->wrong;

    at_step = shot_index->wrong_at;
    if (w != 0)
        fail("a task went from %s to %s by a %s, which shm/states.def does not have", ap_task_state_name(w >> 8 & 0xff),
             ap_task_state_name((w & 0xff) - 1), w >> 16 == CAS ? "compare-and-swap" : "store");
}

void step_kills(const struct operation *o, uint64_t every, uint64_t seed, struct tally *t)
{
    struct kept *kept = kept_new();
    uint64_t began = now();
    uint8_t *image = malloc(survivor.seg->size);
    bool ended;
    pid_t pid;

    keep(kept);
    if (image == NULL) exit(2);
    memcpy(image, survivor.seg->base, survivor.seg->size);
    shots_make();
    pid = actor_run(o, 0, &ended);
    ways_judge();
    take_every = shot_index->count > FEW ? every : 1;
    take_seed = seed;
    for (uint64_t i = 0; i < shot_index->count; i++) {
        at_step = shot_index->at[i];
        if (!taken(at_step) && i + 1 < shot_index->count) continue;
        memcpy(survivor.seg->base, shots + i * shot_size, shot_size);
        bring_back(kept);
        world_later();
        kernel_marks(survivor.seg->base, (uint32_t)pid);
        judge(i + 1 == shot_index->count);
        t->images++;
    }
    t->points += shot_index->steps;
    t->nanoseconds += now() - began;
    memcpy(survivor.seg->base, image, survivor.seg->size);
    bring_back(kept);
    shots_free();
    free(image);
}

static bool is_snapshot(uint64_t i, uint32_t model, const uint8_t *real, uint32_t pid, uint8_t *space)
{
    memcpy(space, shots + i * shot_size, shot_size);
    kernel_marks(space, model);
    world_forget_process(space, shot_size, model);
    world_forget_process(space, shot_size, pid);
    return memcmp(space, real, shot_size) == 0;
}

/* Whether the image that a real kill left is the snapshot of the same boundary. Now and then it is that of another: the actor
 * is born with a heap of which verdicts have been made, and an allocation takes another path. Those are counted. */
static void compare(uint64_t at, uint32_t model, uint8_t *real, uint32_t pid, uint8_t *space, struct tally *t)
{
    world_forget_process(real, shot_size, pid);
    world_forget_process(real, shot_size, model);
    if (is_snapshot(at, model, real, pid, space)) return;
    t->shifted++;
    for (uint64_t i = 0; i < shot_index->count; i++)
        if (is_snapshot(i, model, real, pid, space)) return;
    fail("a real kill leaves an image that is no snapshot");
}

void step_real(const struct operation *o, uint64_t count, uint64_t seed, struct tally *t)
{
    struct kept *kept = kept_new();
    uint64_t size = survivor.seg->size, began = now();
    uint8_t *image = malloc(size), *one = malloc(size), *two = malloc(size);
    bool ended;
    pid_t model, pid;

    if (image == NULL || one == NULL || two == NULL) exit(2);
    keep(kept);
    memcpy(image, survivor.seg->base, size);
    shots_make();
    /* One verdict before: its heap is what the later actors are born with, and a first allocation takes another path. */
    actor_run(o, 1, &ended);
    world_later();
    judge(false);
    memcpy(survivor.seg->base, image, size);
    bring_back(kept);
    model = actor_run(o, 0, &ended);
    for (uint64_t n = 0; n < count && n < shot_index->steps; n++) {
        /* All of them, or at random. */
        uint64_t at = count >= shot_index->steps ? n + 1 : mix(seed + n) % shot_index->steps + 1, i = shot_index->count;

        at_step = at;
        memcpy(survivor.seg->base, image, size);
        bring_back(kept);
        pid = actor_run(o, at, &ended);
        if (ended) continue;
        while (i > 1 && shot_index->at[i - 1] > at) i--;
        while (i > 1 && shot_index->at[i - 1] == at && shot_index->at[i - 2] == at) i--;
        memcpy(two, survivor.seg->base, size);
        if (!o->varies) compare(i - 1, (uint32_t)model, two, (uint32_t)pid, one, t);
        world_later();
        judge(false);
        t->images++;
        t->points++;
    }
    t->nanoseconds += now() - began;
    memcpy(survivor.seg->base, image, size);
    bring_back(kept);
    shots_free();
    free(two);
    free(one);
    free(image);
}

/* ---- pairs ---------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void preempt_run(const struct operation *o)
{
    step_on();
    o->run();
    step_off();
    if (!ap_load_relaxed(&preempted)) return;
    at_step = steps;
    die_in_place(actor.lane.index);
    judge(true);
    mode = GO_BACK;
    __asm__ __volatile__("int3" ::: "memory"); /* the handler goes back to the boundary */
}

void step_pairs(const struct operation *o, uint64_t every, uint64_t seed, uint64_t again, struct tally *t)
{
    uint64_t began = now();
    size_t length;

    back.stack_high = (uintptr_t)__builtin_frame_address(0);
    back.segment = malloc(survivor.seg->size);
    back.kept = kept_new();
    if (back.segment == NULL || syscall(SYS_get_robust_list, 0, &back.robust, &length) != 0) exit(2);
    dl_iterate_phdr(find_local, NULL);
    handler_set();
    actor_meet();
    if (o->prepare != NULL) o->prepare();
    back.first_file = dup(STDOUT_FILENO);
    close(back.first_file);
    memset(back.files, -1, sizeof back.files);
    take_every = every;
    take_seed = seed;
    mode = PREEMPT;
    rounds = again;
    steps = 0;
    preempt_run(o);
    t->points += steps;
    t->images += preemptions;
    t->nanoseconds += now() - began;
}

#else

bool step_possible(void)
{
    return false;
}

void step_places(void)
{
}

void step_places_print(FILE *to)
{
    (void)to;
}

void step_kills(const struct operation *o, uint64_t every, uint64_t seed, struct tally *t)
{
    (void)o, (void)every, (void)seed, (void)t;
}

void step_real(const struct operation *o, uint64_t count, uint64_t seed, struct tally *t)
{
    (void)o, (void)count, (void)seed, (void)t;
}

void step_pairs(const struct operation *o, uint64_t every, uint64_t seed, uint64_t again, struct tally *t)
{
    (void)o, (void)every, (void)seed, (void)again, (void)t;
}

#endif
