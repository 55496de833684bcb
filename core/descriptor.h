/* core/descriptor.h - the one place where this project comes by descriptors.
 *
 * A program may run with its standard descriptors closed. The kernel gives the lowest free number away, so a segment could become
 * number 2, and the next message of anybody in the process would stand in the segment's header. Therefore nothing that comes from
 * here is below 3, not even for a moment: while a descriptor is made, closed standard numbers are held by one that can be
 * neither read nor written, as if they were closed still. All are close-on-exec: what a child is to have, it is given.
 *
 * Each returns a descriptor, or -1 with errno (0 or -1 where two are made). Any thread may call them.
 */
#ifndef AP_DESCRIPTOR_H
#define AP_DESCRIPTOR_H

#include <signal.h>
#include <sys/types.h>

#include "core/must_check.h"

AP_MUST_CHECK int ap_fd_open(const char *path, int flags, mode_t mode);
AP_MUST_CHECK int ap_fd_openat(int folder, const char *path, int flags, mode_t mode);
AP_MUST_CHECK int ap_fd_event(void); /* an eventfd at 0 that does not block */
AP_MUST_CHECK int ap_fd_process(pid_t pid);
AP_MUST_CHECK int ap_fd_signals(const sigset_t *set); /* does not block */
AP_MUST_CHECK int ap_fd_pipe(int ends[2]);
AP_MUST_CHECK int ap_fd_socket(int domain, int type, int protocol);
AP_MUST_CHECK int ap_fd_duplicate(int fd);

/* For what is made by somebody else's function, such as a ring: `make` runs while the standard numbers are held, and returns its
 * descriptor or a negative number, which is handed on. */
int ap_fd_made(int (*make)(void *user), void *user);

/* Closes all from `first` on but those in `keep`, which ascends. Async-signal-safe, for between fork and exec. */
void ap_fd_close_from(int first, const int *keep, size_t count);

#endif
