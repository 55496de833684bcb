/* agents/runtime/crash.c - whose code a worker's thread was running when it crashed. See crash.h. */
#include "agents/runtime/crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "agents/runtime/worker.h"

#define STACK (UINT64_C(64) << 10) /* more than the registers of any machine; what former handlers do needs some, too */

static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};
#define CRASHES (sizeof crashes / sizeof *crashes)
_Static_assert(AP_CRASH_SIGNALS < AP_CRASH_EXIT, "a signal's number says nothing else");

static struct sigaction former[CRASHES];

/* ---- the mark ------------------------------------------------------------------------------------------------- */

/* In a child that was forked the segment is not mapped. */
bool ap_crash_mark(const struct ap_worker *w, uint32_t how)
{
    if (w == NULL || w->context == NULL || w->seg->self.pid != getpid()) return false;
    ap_lane_crash(w->context->lane.lane, how);
    return true;
}

void ap_crash_survived(struct ap_worker *w)
{
    w->crash_passed_on = 0;
    ap_crash_mark(w, 0);
}

/* ---- signals -------------------------------------------------------------------------------------------------- */

static const struct sigaction *former_of(int number)
{
    size_t i = 0;

    while (i < CRASHES - 1 && crashes[i] != number) i++;
    return &former[i];
}

/* A fault of the thread itself raises the signal again when it goes on; one that was sent has to be sent again. */
static void die_of(int number, bool sent)
{
    struct sigaction otherwise = {.sa_flags = 0};

    otherwise.sa_handler = SIG_DFL;
    sigaction(number, &otherwise, NULL);
    if (sent || number == SIGABRT || number == SIGTRAP || number == SIGSYS) raise(number);
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    const struct sigaction *was = former_of(number);
    bool sent = info->si_code <= 0, own = !sent || info->si_pid == getpid(), marked = false;

    if (sent && was->sa_handler == SIG_IGN) return;
    if (own) marked = ap_crash_mark(ap_worker_self(), (uint32_t)number);
    if (was->sa_handler == SIG_DFL || was->sa_handler == SIG_IGN) {
        die_of(number, sent);
        return;
    }
    if (marked) ap_worker_self()->crash_passed_on = 1;
    if ((was->sa_flags & SA_SIGINFO) != 0) was->sa_sigaction(number, info, context);
    else was->sa_handler(number);
    if (marked) ap_crash_survived(ap_worker_self());
}

static void catch_all(void)
{
    for (size_t i = 0; i < CRASHES; i++) {
        struct sigaction own = {.sa_flags = 0};

        if (sigaction(crashes[i], NULL, &former[i]) < 0) continue;
        own.sa_mask = former[i].sa_mask;
        own.sa_flags = SA_SIGINFO | SA_ONSTACK | (former[i].sa_flags & SA_NODEFER);
        own.sa_sigaction = on_crash;
        sigaction(crashes[i], &own, NULL);
    }
}

/* ---- exit ----------------------------------------------------------------------------------------------------- */

/* The process' other threads are at work with what exit is about to take down, and would hang or crash in it. */
static void on_exit_here(int status, void *user)
{
    (void)user;
    if (ap_crash_mark(ap_worker_self(), AP_CRASH_EXIT)) _exit(status);
}

static void on_quick_exit(void)
{
    ap_crash_mark(ap_worker_self(), AP_CRASH_EXIT);
}

static void begin(void)
{
    catch_all();
    if (on_exit(on_exit_here, NULL) != 0 || at_quick_exit(on_quick_exit) != 0) return; /* without memory it is as _exit */
}

void ap_crash_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, begin);
}

/* ---- a worker's thread ---------------------------------------------------------------------------------------- */

void ap_crash_stack_open(struct ap_worker *w)
{
    stack_t own = {.ss_size = STACK}, now;

    if (sigaltstack(NULL, &now) < 0 || (now.ss_flags & SS_DISABLE) == 0) return;
    own.ss_sp = w->crash_stack = malloc(STACK);
    if (own.ss_sp != NULL) sigaltstack(&own, NULL);
}

void ap_crash_stack_close(struct ap_worker *w)
{
    free(w->crash_stack);
    w->crash_stack = NULL;
}
