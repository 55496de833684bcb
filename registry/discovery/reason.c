/* registry/discovery/reason.c - a text beside a word of a record. See reason.h. */
#include "registry/discovery/reason.h"

#include <string.h>

static uint64_t reason_word(uint64_t value, const char *text, size_t length, uint32_t word)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < AP_REASON_EACH; i++) {
        size_t at = (size_t)word * AP_REASON_EACH + i;
        if (at < length) bytes |= (uint64_t)(uint8_t)text[at] << 8 * i;
    }
    return (uint64_t)AP_MODE_CHANGE(value) << 48 | bytes;
}

bool ap_reason_valid(const char *text, size_t length, uint32_t words)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~') return false;
    return length <= (size_t)words * AP_REASON_EACH;
}

/* A later writer has changed the word first. So a word of the text that is loaded before the word is seen unchanged is not the
 * later writer's, and the swap fails if it has become that writer's since. */
void ap_reason_store(const uint64_t *of, uint64_t value, uint64_t *words, uint32_t count, const char *text, size_t length)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t next = reason_word(value, text, length, i), seen = ap_load_acquire(&words[i]); /* MODE-A1 pairs MODE-R1 */

        do {
            if (ap_load_acquire(of) != value) return;
        } while (!ap_cas(&words[i], &seen, next)); /* MODE-R1 pairs MODE-A1 */
    }
}

uint64_t ap_reason_read(const uint64_t *of, const uint64_t *words, uint32_t count, char *ret)
{
    uint64_t value = ap_load_acquire(of);
    uint32_t n = 0;

    memset(ret, 0, (size_t)count * AP_REASON_EACH + 1);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t word = ap_load_acquire(&words[i]); /* MODE-A1 pairs MODE-R1 */

        if (word >> 48 != AP_MODE_CHANGE(value)) break;
        for (uint32_t k = 0; k < AP_REASON_EACH; k++) {
            char c = (char)(word >> 8 * k & 0xff);

            if (c < ' ' || c > '~') return value;
            ret[n++] = c;
        }
    }
    return value;
}
