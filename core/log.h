/* core/log.h - for programs only (the library calls a callback or nothing): structured lines on standard error.
 *
 * LINE      1 "time=2026-01-31T12:00:00.000Z level=info part=queen service=ai_service msg=\"...\""; with journald's "<6>" prefix
 *           when $JOURNAL_STREAM names standard error.
 *           2 Level and part are set before threads start. The part may carry more fields ("queen service=ai_service").
 *           3 A message is cut at about 2 KiB, and then ends in "...".
 * WAITING   1 No caller waits for the log. A line is written when the call returns, unless standard error does not take it at
 *           once (a stopped reader, a stopped terminal, a disk that hangs). Then the line waits as a note of the writer's
 *           (core/writer.h), and so do the next ones.
 *           2 No memory is allocated.
 * THREADS   Any thread. errno stays as it was. A child after fork has no log.
 */
#ifndef AP_LOG_H
#define AP_LOG_H

#include <stddef.h>

void ap_log_level(int most); /* 3 error .. 7 debug */
void ap_log_part(const char *part);
void ap_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Writes bytes unchanged; several writes when there are more than 4096. */
void ap_log_bytes(const char *bytes, size_t size);

#endif
