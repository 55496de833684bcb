/* core/text.h - texts for people in buffers of a fixed size. A text that does not fit is cut between two characters of UTF-8 and
 * ends in "...", so that no reader takes a part for the whole.
 */
#ifndef AP_TEXT_H
#define AP_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* As snprintf, except that a cut is marked. Returns the length of the text in the buffer; 0 when there is no buffer. */
size_t ap_format(char *ret, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t ap_vformat(char *ret, size_t size, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

/* The whole text: in the buffer if it fits, else in memory that the caller frees. Cut when there is no memory. */
char *ap_vformat_whole(char *buffer, size_t size, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

const char *ap_shown(char *ret, size_t size, const char *text);
/* At most `most` bytes of a given text, and the mark, so that a sentence about it has room for the error. Lives until the end of
 * the block. */
#define AP_SHOWN(text, most) ap_shown((char[(most) + sizeof "..."]){""}, (most) + sizeof "...", (text))

/* A number of digits with at most one point among them, whatever the locale; *end is behind it, and `text` if there is none. */
double ap_decimal(const char *text, const char **end);
/* "250ms", "5s", "1.5m", "2h", without a unit ms: 0 and the nanoseconds, of which there is at least one, or -1. */
int ap_duration(const char *text, uint64_t *ret);

#endif
