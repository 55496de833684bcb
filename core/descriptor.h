/* core/descriptor.h - the one place where this project opens descriptors.
 *
 * STANDARD  1 A program may run with its standard descriptors closed. The kernel gives the lowest free number away, so a segment
 *           could become number 2, and the next message of any library in the process would be written into the segment's header.
 *           2 Therefore no descriptor from here is below 3, not even for a moment. While one is made, closed standard numbers are
 *           held by a descriptor that can be neither read nor written, as if they were still closed.
 * EXEC      All are close-on-exec. A child is given the descriptors that it is to have.
 * RETURNS   A descriptor, or -1 with errno (0 or -1 where two are made). Any thread.
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
AP_MUST_CHECK int ap_fd_pair(int type, int ends[2]); /* Unix sockets that are connected */
AP_MUST_CHECK int ap_fd_socket(int domain, int type, int protocol);
AP_MUST_CHECK int ap_fd_duplicate(int fd);

/* For a descriptor that another library makes, such as a ring's. `make` runs while the standard numbers are held. Returns what
 * `make` returns: a descriptor or a negative number. */
int ap_fd_made(int (*make)(void *user), void *user);

/* Closes all descriptors from `first` on, except those in `keep`, which is sorted. Async-signal-safe: for use between fork and
 * exec. */
void ap_fd_close_from(int first, const int *keep, size_t count);

#endif
