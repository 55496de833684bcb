/* core/writer.h - for programs only: a thread that writes, so that no other thread waits for a terminal, a pipe or a disk.
 *
 * ORDER     A process has one queue. Texts are written in the order in which they were put in, whatever descriptors they go to.
 * NOTES     1 Notes are bounded: together they wait in 256 KiB, taken when the program was loaded.
 *           2 A note that does not fit, or cannot be written, is lost. Losses come in one piece: while a loss has not been
 *           reported and other notes wait, no note is taken.
 *           3 The number of lost lines is written in their place as soon as that is possible.
 *           4 Where no thread can be made, the caller writes a note itself, if that does not wait.
 * RESULTS   Results are kept whole, on the heap, until they are written or refused.
 * SIGNALS   The writer's thread blocks all signals. So neither a broken pipe nor a background terminal ends the process.
 * END       At exit the writer has a fifth of a second for the texts that are left.
 * THREADS   Any thread may call these functions. errno stays as it was; none fails. A child after fork has no writer.
 */
#ifndef AP_WRITER_H
#define AP_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/must_check.h"

#define AP_WRITER_LINE 4096u /* the most in one write: a pipe does not split it */

enum ap_writer_class {
    AP_WRITER_NOTE,
    AP_WRITER_REFRESH, /* a note that is out of date in a second: dropped, and not counted, while other notes wait */
    AP_WRITER_RESULT,
};

struct ap_writer_text {
    enum ap_writer_class class;
    int fd;
    const char *bytes; /* copied */
    size_t size;
    size_t (*lost)(char line[AP_WRITER_LINE], uint64_t lines); /* for a note: the line that reports its loss; returns its size */
    uint64_t patience; /* ns to wait until it is written; 0: none. Once one takes longer, no caller waits until all is written */
};

/* 0, or a negative errno of the system. Harmless when repeated; the first text starts the writer, too. */
AP_MUST_CHECK int ap_writer_start(void);
void ap_writer_put(const struct ap_writer_text *text);
/* Waits at most `longest` ns until all texts are written; returns whether they are. */
bool ap_writer_wait(uint64_t longest);
/* Whether results are still waiting. */
bool ap_writer_results(void);
/* 0, or the negative errno with which the last result was refused. */
int ap_writer_failed(void);

#endif
