/* registry/discovery/reason.h - a text beside a word of a record: the reason for what the word says.
 *
 * WORD      The word has the number of its last change in bits 8 to 23, which every writer raises by the CAS with which it changes
 *           the word.
 * TEXT      1 Each word of the text holds six bytes under the number of their change. Words of another change are not read. So a
 *           text belongs to what the word says, or is the beginning of that text if its writer died, and nothing has to be emptied.
 *           2 Several writers at once: a word of the text is swapped only while the word itself is unchanged, so the last change
 *           has its own text.
 * ORDERING  MODE-R1 CAS of a word of the text pairs MODE-A1 load-acquire: the change before it.
 * THREADS   Any.
 */
#ifndef AP_REASON_H
#define AP_REASON_H

#include "registry/registry.h"

#define AP_REASON_EACH 6u /* bytes in one word; the change they belong to is above them */

/* Whether that many characters have room, and all print. */
bool ap_reason_valid(const char *text, size_t length, uint32_t words);
/* Writes the text of a change that the caller has made: `value` is what *of was changed to. */
void ap_reason_store(const uint64_t *of, uint64_t value, uint64_t *words, uint32_t count, const char *text, size_t length);
/* Returns the word, and its text in `ret`, which has AP_REASON_EACH * count + 1 bytes. */
uint64_t ap_reason_read(const uint64_t *of, const uint64_t *words, uint32_t count, char *ret);

#endif
