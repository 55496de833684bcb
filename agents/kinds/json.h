/* agents/kinds/json.h - JSON values as text, and their numbers compared, without a digit lost.
 *
 * Whole numbers have 64 bits and are never rounded on their way; other numbers are doubles, printed by the fewest digits
 * that read back as the same double. The process's locale plays no part in either.
 */
#ifndef AP_KINDS_JSON_H
#define AP_KINDS_JSON_H

#include <jansson.h>
#include <stdbool.h>

/* Compact, members in the order in which they were set. For free(); NULL: out of memory, or no value was given. */
char *ap_json_text(const json_t *value);

/* -1, 0, 1 as strcmp; 2: the two have no order. Numbers are compared by value (also a 64-bit whole number with a double), texts
 * byte by byte. */
int ap_json_order(const json_t *a, const json_t *b);
/* 1 and 1.0 are equal, also inside lists and objects; the order of members does not count. */
bool ap_json_equal(const json_t *a, const json_t *b);
/* Whether `part` of `of` is more than the share that the number says, taken as the decimal number that it is written as: 63 of 90
 * is not more than 0.7. part, of: 0 to 10^15. */
bool ap_json_more_than(json_int_t part, json_int_t of, const json_t *share);
/* A member by its path: "order.total" is the member "total" of the member "order". A member whose own name is "order.total" has
 * precedence. NULL: there is none. */
const json_t *ap_json_member(const json_t *object, const char *path);

#endif
