/* tools/apiary_output.h - what a supervisor says, written by a thread of its own, so that nothing it looks after waits for
 * a terminal, a pipe or a disk.
 *
 * Any thread may say something at any time; it never blocks and never fails. Notes (standard error) are bounded: what
 * does not fit is left out and counted, and the count is said as soon as somebody reads again. Results (standard output)
 * are kept whole, in the order in which they and the notes were said.
 */
#ifndef AP_TOOLS_APIARY_OUTPUT_H
#define AP_TOOLS_APIARY_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output;

/* The thread blocks all signals, so that a terminal does not stop the process when it writes from the background. 0, or a
 * negative errno of the system. `who` stands before its own line. */
int output_open(const char *who, struct output **ret);

/* One line or more for standard error, whole or not at all. */
void output_note(struct output *o, const char *text, size_t size);
/* The same for what is out of date a second later: nothing is counted, and nothing is added to what waits already. */
void output_refresh(struct output *o, const char *text, size_t size);
void output_result(struct output *o, const char *text, size_t size);

/* Whether results wait to be written. */
bool output_pending(struct output *o);
/* 0, or the errno with which standard output refused a result. */
int output_failed(struct output *o);

/* Waits at most `patience` ns until all is written. What is left then is lost, and the thread with its memory is left to
 * the end of the process. */
void output_close(struct output *o, uint64_t patience);

#endif
