/* core/thread.c - threads. See thread.h. */
#include "core/thread.h"

#include <signal.h>

int ap_thread_start(pthread_t *ret, const char *name, void *(*main)(void *), void *user)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};
    sigset_t others, before;
    int r;

    sigfillset(&others);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) sigdelset(&others, faults[i]);
    pthread_sigmask(SIG_SETMASK, &others, &before);
    r = pthread_create(ret, NULL, main, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0) pthread_setname_np(*ret, name);
    return r;
}
