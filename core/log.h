/* core/log.h - for programs only (the library calls a callback or nothing): structured lines on standard error.
 *
 * "time=2026-01-31T12:00:00.000Z level=info part=queen service=ai_service msg=\"...\""; with journald's "<6>" prefix when
 * $JOURNAL_STREAM names standard error. Level and part are set before threads start; the part may carry more fields ("queen
 * service=ai_service"). A message is cut at about 2 KiB, and ends in "..." then.
 *
 * Nobody waits for a log. A line is out when the call returns, unless standard error does not take it at once (a stopped reader, a
 * stopped terminal, a disk that hangs): then it waits as a note of the writer's (core/writer.h), and so do the next ones. No
 * memory is asked for. All may be called from any thread, and leave errno as it was; a child after fork has no log.
 */
#ifndef AP_LOG_H
#define AP_LOG_H

#include <stddef.h>

void ap_log_level(int most); /* 3 error .. 7 debug */
void ap_log_part(const char *part);
void ap_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As they are; several writes when there are more than 4096. */
void ap_log_bytes(const char *bytes, size_t size);

#endif
