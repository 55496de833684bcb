/* core/process.h - for programs only: what a process starts with, whatever its caller left it. */
#ifndef AP_PROCESS_H
#define AP_PROCESS_H

/* The first call of every main.
 *
 * Closed standard descriptors are taken by /dev/null, opened the wrong way round: reading or writing them fails as before, and no
 * file of this process gets their number. No signal is blocked, and a caller's ignoring of SIGCHLD, SIGTERM, SIGALRM, SIGPIPE and
 * the like ends here; that of SIGINT, SIGQUIT and SIGHUP is meant (a shell's background, nohup) and stays. */
void ap_process_begin(void);

/* Then, in a process that stays: descriptors above 2 are closed but for those that $APIARY_KEEP_FDS names ("4,9"), so that no
 * lock or pipe of the caller's lives on in it; a broken pipe, the limit on the size of files and a background terminal are
 * errors of the call that meets them, not signals; there is no core file, as its writing takes seconds in which the locks of
 * the dead are held. 0, or -1 when the variable is no list of descriptors (nothing is closed then). */
int ap_process_serve(void);

#endif
