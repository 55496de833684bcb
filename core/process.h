/* core/process.h - for programs only: a process starts in a known state, whatever its caller left it. */
#ifndef AP_PROCESS_H
#define AP_PROCESS_H

/* The first call of every main.
 *
 * 1 Closed standard descriptors are taken by /dev/null, opened the wrong way round: reading or writing them fails as before, and
 *   no file of this process gets their number.
 * 2 No signal is blocked.
 * 3 SIGCHLD, SIGTERM, SIGALRM, SIGPIPE and the like are no longer ignored if the caller ignored them. An ignored SIGINT, SIGQUIT
 *   or SIGHUP is intended (a shell's background, nohup) and stays ignored. */
void ap_process_begin(void);

/* The second call, in a process that stays.
 * 1 Descriptors above 2 are closed, except those that $APIARY_KEEP_FDS names ("4,9"), so that no lock or pipe of the caller's
 *   lives on in this process.
 * 2 A broken pipe, the limit on the size of files and a background terminal are errors of the call that meets them, not signals.
 * 3 There is no core file: writing one takes seconds, in which the locks of the dead are still held.
 * 4 Returns 0, or -1 when the variable is not a list of descriptors; then nothing is closed. */
int ap_process_serve(void);

/* The third call, before any thread, in a program that stays and does not wait for children that it does not know.
 * 1 Where this process is the first one of its container, that goes on as a process which only waits for all children, and passes
 *   on each signal; it is a child of that which returns. Orphans of the container, which the kernel gives to its first process, do
 *   not stay as zombies, and agents may still wait for children of their own.
 * 2 The first process ends with it, by the same exit code, or 128 and the signal. The child has a process group of its own, so that
 *   it gets a signal of the terminal once.
 * 3 Returns 0 in the process that goes on, -1 when there is none: errno says why. */
int ap_process_first(void);

#endif
