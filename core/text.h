/* core/text.h - texts for people in buffers of a fixed size. What does not fit is cut between two characters of UTF-8 and ends in
 * "...", so that nobody takes a part for the whole.
 */
#ifndef AP_TEXT_H
#define AP_TEXT_H

#include <stdarg.h>
#include <stddef.h>

/* As snprintf, but that a cut is marked; returns the length of what is in the buffer, 0 when there is none. */
size_t ap_format(char *ret, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t ap_vformat(char *ret, size_t size, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

/* All of it, in the buffer where that is enough, else in memory for the caller to free; cut when there is no memory. */
char *ap_vformat_whole(char *buffer, size_t size, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

const char *ap_shown(char *ret, size_t size, const char *text);
/* At most so many bytes of a text that somebody gave, and the mark, so that a sentence has room for what is wrong with it. Lives
 * until the end of the block. */
#define AP_SHOWN(text, most) ap_shown((char[(most) + sizeof "..."]){""}, (most) + sizeof "...", (text))

#endif
