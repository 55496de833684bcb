/* core/log.h - for programs only (the library calls a callback or nothing): structured lines on standard error.
 *
 * "time=2026-01-31T12:00:00.000Z level=info part=queen service=ai_service msg=\"...\""; with journald's "<6>" prefix when
 * $JOURNAL_STREAM names standard error. Level and part are set before threads start; the part may carry more fields ("queen
 * service=ai_service"). A message is cut at about 2 KiB, and ends in "..." then.
 *
 * Nobody waits for a log. A line is out when the call returns, unless standard error does not take it at once (a stopped reader, a
 * stopped terminal, a disk that hangs): then it lies in a buffer of 256 KiB, and so do the next ones. What does not fit there, or
 * cannot be written (nobody reads, the disk is full), is lost; a line tells how many when one can be written again. No signal
 * comes of it. At exit a fifth of a second is given to what is left. All may be called from any thread, and leave errno as it was;
 * a child after fork has no log.
 */
#ifndef AP_LOG_H
#define AP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void ap_log_level(int most); /* 3 error .. 7 debug */
void ap_log_part(const char *part);
void ap_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As they are; several writes when there are more than 4096. */
void ap_log_bytes(const char *bytes, size_t size);
/* Waits at most so many ns until all is written that was put in; returns whether it is. */
bool ap_log_wait(uint64_t longest);

#endif
