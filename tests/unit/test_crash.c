/* What a worker's thread says of its own end, in processes of its own: whose signal it was, how it exited, what was there
 * before. */
#include "registry_fixture.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "agents/runtime/crash.h"
#include "agents/runtime/worker.h"
#include "tests/support/forbid.h"

static void setup(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    cr_skip_test("the sanitizer has handlers of its own");
#endif
    fixture_setup();
}

TestSuite(crash, .init = setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static struct ap_worker worker;

enum { SEEN = 40, NOT_REACHED = 41, LATE = 42 }; /* statuses of the child */

/* ---- ends ------------------------------------------------------------------------------------------------------- */

static void by_fault(void)
{
    uint32_t *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ap_store_relaxed(nowhere, 1);
}

static void by_raise(void)
{
    raise(SIGFPE);
}

static void by_trap(void)
{
    raise(SIGTRAP);
}

/* The thread would go on behind each of these: they are not raised again by themselves. */
static void by_breakpoint(void)
{
#if defined __x86_64__
    __asm__ __volatile__("int3");
#else
    raise(SIGTRAP);
#endif
}

static void by_forbidden_call(void)
{
    if (forbid_call(SYS_getppid, FORBID_ANY, SECCOMP_RET_TRAP)) syscall(SYS_getppid);
    else raise(SIGSYS);
}

static void by_exit(void)
{
    exit(3);
}

static void by_quick_exit(void)
{
    quick_exit(4);
}

/* Another process sends it. */
static void by_another(void)
{
    pid_t own = getpid();

    if (fork() == 0) {
        kill(own, SIGSEGV);
        _exit(0);
    }
    for (;;) pause();
}

static void from_elsewhere(void)
{
    ap_worker_here = NULL;
    exit(3);
}

static void by_raise_elsewhere(void)
{
    ap_worker_here = NULL;
    raise(SIGBUS);
}

static void ignored(void)
{
    raise(SIGFPE);
    _exit(worker.context->lane.lane->crash == 0 ? SEEN : NOT_REACHED);
}

static __attribute__((noinline)) uint32_t deeper(const uint32_t *from)
{
    uint32_t more[1024];

    ap_store_relaxed(&more[0], ap_load_relaxed(from));
    return ap_load_relaxed(from) == 0 ? 0 : deeper(more) + ap_load_relaxed(&more[0]);
}

static void by_overflow(void)
{
    uint32_t one = 1;

    _exit((int)deeper(&one));
}

/* ---- what was there before -------------------------------------------------------------------------------------- */

static void late(void)
{
    _exit(LATE);
}

static void exits_late(void)
{
    atexit(late);
}

static void ignores(void)
{
    signal(SIGFPE, SIG_IGN);
}

static uint32_t seen_crash, seen_calls;
static uint8_t seen_passed_on;
static bool seen_mask;

static void look(int number)
{
    sigset_t blocked;

    (void)number;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    seen_mask = sigismember(&blocked, SIGUSR1) && !sigismember(&blocked, SIGUSR2);
    seen_crash = worker.context->lane.lane->crash;
    seen_passed_on = worker.crash_passed_on != 0;
    seen_calls++;
}

static void has_handler(void)
{
    struct sigaction one = {.sa_handler = look};

    sigaddset(&one.sa_mask, SIGUSR1);
    sigaction(SIGFPE, &one, NULL);
}

static void handled(void)
{
    raise(SIGFPE);
    _exit(seen_calls == 1 && seen_crash == SIGFPE && seen_passed_on && seen_mask && worker.crash_passed_on == 0 &&
          worker.context->lane.lane->crash == 0 ? SEEN : NOT_REACHED);
}

static int seen_number, seen_code;
static bool seen_context;

static void look_closer(int number, siginfo_t *info, void *context)
{
    seen_number = info->si_signo == number ? number : -1;
    seen_code = info->si_code;
    seen_context = context != NULL && ((ucontext_t *)context)->uc_stack.ss_size > 0;
    look(number);
}

static void has_handler_of_three(void)
{
    struct sigaction one = {.sa_flags = SA_SIGINFO};

    one.sa_sigaction = look_closer;
    sigaction(SIGFPE, &one, NULL);
}

/* What the kernel has told of it, too. */
static void handled_closer(void)
{
    raise(SIGFPE);
    _exit(seen_calls == 1 && seen_crash == SIGFPE && seen_number == SIGFPE && seen_code == SI_TKILL && seen_context ? SEEN
                                                                                                           : NOT_REACHED);
}

static void sent_to_handler(void)
{
    if (fork() == 0) {
        kill(getppid(), SIGFPE);
        _exit(0);
    }
    while (ap_load_acquire(&seen_calls) == 0) pause();
    _exit(seen_calls == 1 && seen_crash == 0 && !seen_passed_on ? SEEN : NOT_REACHED);
}

/* ---- the process ------------------------------------------------------------------------------------------------ */

static void child(void (*before)(void), void (*what)(void), int lane)
{
    apiary_t *own = attach_as("crashes");
    int error = 0;

    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 1; i < 32; i++)
        if (i != SIGKILL && i != SIGSTOP) signal(i, SIG_DFL);
    worker.seg = own->seg;
    worker.context = ap_context(own, &error);
    ap_worker_here = &worker;
    if (write(lane, &worker.context->lane.index, sizeof(uint32_t)) != sizeof(uint32_t)) _exit(NOT_REACHED);
    ap_crash_stack_open(&worker);
    if (before != NULL) before();
    ap_crash_begin();
    what();
    _exit(NOT_REACHED);
}

/* The status of its end; *crash is what its lane says. */
static int end_of(void (*before)(void), void (*what)(void), uint32_t *crash)
{
    uint32_t lane = 0;
    int ends[2], status;
    pid_t pid;

    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) child(before, what, ends[1]);
    cr_assert_eq(read(ends[0], &lane, sizeof lane), (ssize_t)sizeof lane);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    *crash = ap_load_acquire(&ap_lane_at(client->seg, lane)->crash);
    close(ends[0]);
    close(ends[1]);
    cr_expect_eq(ap_reap_all(client->seg, client->anchor->lane.index, &ap_registry_hooks), 1);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

Test(crash, each_end_says_how_it_came)
{
    static const struct {
        void (*before)(void), (*what)(void);
        int status; /* negative: by that signal */
        uint32_t crash;
    } rows[] = {
        {NULL, by_fault, -SIGSEGV, SIGSEGV},
        {NULL, by_raise, -SIGFPE, SIGFPE},
        {NULL, by_trap, -SIGTRAP, SIGTRAP},
        {NULL, by_breakpoint, -SIGTRAP, SIGTRAP},
        {NULL, by_forbidden_call, -SIGSYS, SIGSYS},
        {NULL, abort, -SIGABRT, SIGABRT},
        {NULL, by_overflow, -SIGSEGV, SIGSEGV},
        {NULL, by_another, -SIGSEGV, 0},
        {NULL, by_raise_elsewhere, -SIGBUS, 0},
        {NULL, by_exit, 3, AP_CRASH_EXIT},
        {exits_late, by_exit, 3, AP_CRASH_EXIT},
        {exits_late, from_elsewhere, LATE, 0},
        {NULL, by_quick_exit, 4, AP_CRASH_EXIT},
        {ignores, ignored, SEEN, 0},
        {has_handler, handled, SEEN, 0},
        {has_handler, sent_to_handler, SEEN, 0},
        {has_handler_of_three, handled_closer, SEEN, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t crash = 77;
        int status = end_of(rows[i].before, rows[i].what, &crash);

        cr_expect_eq(status, rows[i].status, "row %zu: %d", i, status);
        cr_expect_eq(crash, rows[i].crash, "row %zu: %u", i, crash);
    }
}

/* ---- the stack of the handlers ---------------------------------------------------------------------------------- */

static void *open_and_close(void *own)
{
    stack_t program = {.ss_sp = own, .ss_size = SIGSTKSZ}, now;
    struct ap_worker w = {.crash_stack = NULL};

    if (own != NULL) cr_assert_eq(sigaltstack(&program, NULL), 0);
    ap_crash_stack_open(&w);
    cr_expect_eq(sigaltstack(NULL, &now), 0);
    cr_expect_eq(w.crash_stack == NULL, own != NULL);
    cr_expect(now.ss_sp == (own != NULL ? own : (void *)w.crash_stack) && (now.ss_flags & SS_DISABLE) == 0);
    program.ss_flags = SS_DISABLE;
    cr_assert_eq(sigaltstack(&program, NULL), 0);
    ap_crash_stack_close(&w);
    cr_expect_null(w.crash_stack);
    return NULL;
}

/* A thread that has one keeps it. */
Test(crash, a_stack_of_its_own)
{
    void *own = malloc((size_t)SIGSTKSZ);
    void *stacks[] = {NULL, own};

    for (int i = 0; i < 2; i++) {
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, open_and_close, stacks[i]), 0);
        pthread_join(thread, NULL);
    }
    free(own);
}
