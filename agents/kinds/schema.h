/* agents/kinds/schema.h - requests and answers judged by a JSON Schema.
 *
 * 1 Of JSON Schema 2020-12: type (one or several), properties, required, additionalProperties, minProperties, maxProperties,
 *   items, prefixItems, minItems, maxItems, minLength, maxLength (in characters), minimum, maximum, exclusiveMinimum,
 *   exclusiveMaximum, enum, const, oneOf of objects that one member tells apart by const or enum, title, description. The kinds'
 *   own schemas have no other keyword (a test looks).
 * 2 Narrower than the standard: an "integer" is a number without a point or an exponent.
 * 3 In the sources a schema has ' for ", and no other '. It is parsed once, for the life of the process. Any thread.
 */
#ifndef AP_KINDS_SCHEMA_H
#define AP_KINDS_SCHEMA_H

#include <jansson.h>
#include <stddef.h>

#include "core/must_check.h"

/* The schema of a text, which is the process's; NULL: it is none, or out of memory. A text is known by its address. */
const json_t *ap_schema(const char *text);
/* NULL, or the first keyword of the schema that is not known here. */
const char *ap_schema_stranger(const json_t *schema);
/* 0; or AP_CODE_BAD_REQUEST, AP_CODE_TOO_LARGE and a sentence with the place (members and numbers of items, joined by '/') and what
 * would be right. */
AP_MUST_CHECK int ap_schema_judge(const json_t *schema, const json_t *value, char *message, size_t size);

/* For tables: an object of these members and no others. */
#define AP_OBJECT(required, properties) \
    "{'type':'object','required':[" required "],'properties':{" properties "},'additionalProperties':false}"
#define AP_TEXT "{'type':'string'}"
#define AP_WHOLE "{'type':'integer'}"
#define AP_NUMBER "{'type':'number'}"
#define AP_YES_NO "{'type':'boolean'}"
#define AP_ANY "{}"
#define AP_LIST(of) "{'type':'array','items':" of "}"

#endif
