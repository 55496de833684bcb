/* tools/common/wire.h - texts between a supervisor, its processes and its commands, as files without a name.
 *
 * FILE      A text lies in a sealed file without a name, and its descriptor is what is handed over: as a standard input, or by a
 *           packet. So nobody waits for a reader, however long the text is, and what is read cannot change.
 * WIRE      1 A pair of sockets between `apiary up` and a queen, in the queen under the number WIRE_FD. It ends with either.
 *           2 The supervisor sends the text of a configuration, with a number. The queen takes over what of it can be applied in
 *           place, and answers: the number, and a sentence on why not, or none. A supervisor that has stopped waiting knows by the
 *           number that an answer is a former one's.
 */
#ifndef AP_TOOLS_APIARY_WIRE_H
#define AP_TOOLS_APIARY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/must_check.h"

enum { WIRE_FD = 3 };
#define WIRE_KEPT "3" /* for $APIARY_KEEP_FDS (core/process.h) */

/* A descriptor at the text's beginning, or -1 with errno. */
AP_MUST_CHECK int wire_file(const char *name, const char *text, size_t size);
/* All of such a file, ended by a NUL that `size` does not count, to be freed; NULL: it cannot be read. Closes it. */
AP_MUST_CHECK char *wire_read(int fd, size_t *size);

/* Sends a descriptor, which stays the caller's, and a number. Does not wait. */
bool wire_send(int to, int fd, uint8_t number);
/* Waits for one. False: the other end is closed. Where this process has no descriptor left the number comes alone: *ret is -1. */
AP_MUST_CHECK bool wire_receive(int from, uint8_t *number, int *ret);

/* Both ends. 0, or -1 with errno. */
AP_MUST_CHECK int wire_pair(int ends[2]);
void wire_answer(int to, uint8_t number, const char *sentence);
/* The answer to this number, without waiting: 1, and its sentence; 0: none yet; -1: the other end is closed. */
AP_MUST_CHECK int wire_answered(int from, uint8_t number, char *sentence, size_t size);

#endif
