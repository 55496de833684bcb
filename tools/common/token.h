/* tools/common/token.h - the token without which nothing is changed over HTTP: whoever can read its file may.
 *
 * FILE      TOKEN_FILE in the segment's state directory: 64 hexadecimal digits of 256 random bits, mode 0600. It is put in place
 *           whole, by link or rename, so that no reader meets a part of it.
 * TRUST     A file that is no regular one, belongs to another user, or can be read by others is refused.
 * RENEWAL   The file is read again when it is another one. A new one in its place makes the former token worthless at once.
 * THREADS   Any; private memory.
 */
#ifndef AP_TOOLS_COMMON_TOKEN_H
#define AP_TOOLS_COMMON_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/must_check.h"

#define TOKEN_FILE "http.token"
#define TOKEN_SIZE 64u
#define TOKEN_WHY 512u

/* Reads it: 0; 1: there is none; APIARY_ESYS, and a sentence in `why`. */
AP_MUST_CHECK int token_read(const char *folder, char ret[TOKEN_SIZE + 1], char why[TOKEN_WHY]);
/* Makes one, the folder too. `anew`: in place of one that is there, which else stays. 0, or APIARY_ESYS and a sentence in `why`. */
AP_MUST_CHECK int token_make(const char *folder, bool anew, char why[TOKEN_WHY]);
/* Whether a text is the token, in a time that tells nothing of how far they are the same. */
AP_MUST_CHECK bool token_is(const char token[TOKEN_SIZE + 1], const char *text);

#endif
