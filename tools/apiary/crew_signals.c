/* tools/apiary/crew_signals.c - the signals of `apiary up`, as a descriptor: see crew.h. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/apiary/crew.h"

/* Beside these the real-time signals: nothing that somebody sends by mistake, and that would end a process, ends all services. */
static const int caught[] = {SIGINT,  SIGTERM,   SIGQUIT, SIGHUP,  SIGUSR1, SIGUSR2,   SIGCHLD,
                             SIGALRM, SIGVTALRM, SIGPROF, SIGPOLL, SIGPWR,  SIGSTKFLT, SIGXCPU};

/* A trap or a forbidden system call of this process itself ends it. A signal that another process has sent goes where the rest is
 * read. The mask would not do: threads of the library leave those that a fault raises unblocked (core/thread.h). */
static void signals_fault(int number, siginfo_t *info, void *context)
{
    int error = errno;
    (void)context;
    if (info->si_code > 0) {
        signal(number, SIG_DFL);
        raise(number); /* it comes when this returns */
    } else {
        sigqueue(getpid(), SIGRTMAX, (union sigval){.sival_int = number}); /* of which each is kept, not one for all */
    }
    errno = error;
}

static void signals_take_faults(void)
{
    struct sigaction action = {.sa_sigaction = signals_fault, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGTRAP, &action, NULL);
    sigaction(SIGSYS, &action, NULL);
}

int crew_signals_open(sigset_t *before)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
        sigaddset(&set, caught[i]);
    for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++)
        sigaddset(&set, signal);
    int fd = sigprocmask(SIG_BLOCK, &set, before) == 0 ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
    if (fd < 0) return -errno;
    signals_take_faults();
    return fd;
}

/* It has used up its processor time: nobody has sent that by mistake. */
static void signals_used_up(void)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGXCPU);
    raise(SIGXCPU);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
}

int crew_signals_next(int fd, char *name, size_t size)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info) return 0;
    bool fault = info.ssi_signo == (uint32_t)SIGRTMAX && info.ssi_code == SI_QUEUE && info.ssi_pid == (uint32_t)getpid();
    int number = fault ? info.ssi_int : (int)info.ssi_signo;
    if (number == SIGXCPU && info.ssi_code > 0) signals_used_up();
    if (number < SIGRTMIN) snprintf(name, size, "SIG%s", sigabbrev_np(number));
    else snprintf(name, size, "SIGRTMIN+%d", number - SIGRTMIN);
    return number;
}
