/* core/writer.h - for programs only: a thread that writes, so that nobody waits for a terminal, a pipe or a disk.
 *
 * A process has one queue; what is put in is written in that order, whatever descriptors it goes to. All may be called from any
 * thread, and leave errno as it was; none fails. A child after fork has no writer.
 *
 * Notes are bounded: together they wait in 256 KiB, taken when the program was loaded. One that does not fit, or cannot be
 * written, is lost. What is lost is lost in one piece (no note is taken while a loss is not told and others wait), and its lines
 * are told in its place as soon as they can be. Results are kept whole, on the heap, until they are written or refused.
 *
 * The thread blocks all signals: neither a broken pipe nor a terminal that this process is in the background of sends one that
 * counts. At exit a fifth of a second is given to what is left.
 */
#ifndef AP_WRITER_H
#define AP_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/must_check.h"

#define AP_WRITER_LINE 4096u /* what one write takes: a pipe does not tear it */

enum ap_writer_class {
    AP_WRITER_NOTE,
    AP_WRITER_REFRESH, /* a note that is out of date a second later: left out, and not counted, while other notes wait */
    AP_WRITER_RESULT,
};

struct ap_writer_text {
    enum ap_writer_class class;
    int fd;
    const char *bytes; /* copied */
    size_t size;
    size_t (*lost)(char line[AP_WRITER_LINE], uint64_t lines); /* of a note: the line that tells its loss; returns its size */
    uint64_t patience; /* ns to wait for it to be written, 0: none; nobody waits behind one that took longer, until all is out */
};

/* 0, or a negative errno of the system; more often than once is no harm, and the first text does it by itself. */
AP_MUST_CHECK int ap_writer_start(void);
void ap_writer_put(const struct ap_writer_text *text);
/* Waits at most so many ns until all is written that was put in; returns whether it is. */
bool ap_writer_wait(uint64_t longest);
/* Whether results wait. */
bool ap_writer_results(void);
/* 0, or the negative errno with which a result was refused last. */
int ap_writer_failed(void);

#endif
