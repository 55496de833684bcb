/* core/log.h - for programs only (the library calls a callback or nothing): one structured line on standard error.
 * "level=info part=queen service=ai_service msg=\"...\" key=value"; with journald's "<6>" prefix when $JOURNAL_STREAM
 * names standard error. Level and part are set before threads start; the part may carry more fields ("queen
 * service=ai_service"). ap_log may be called from any thread, writes a line at once (cut at about 2 KiB) and leaves
 * errno as it was. */
#ifndef AP_LOG_H
#define AP_LOG_H

void ap_log_level(int most); /* 3 error .. 7 debug */
void ap_log_part(const char *part);
void ap_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
