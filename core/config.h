/* core/config.h - configuration text (YAML, read by libyaml) as a tree that remembers file and line of every node.
 *
 * TREE      Private memory, owned by the caller of ap_config_load. Constant afterwards, so any thread may read it.
 * REFUSALS  1 Every refusal is one sentence: "file:line: key: what is wrong; what is allowed".
 *           2 A mapping's keys are checked against a schema: an unknown key is an error that lists the allowed ones.
 *           3 A duplicate key is an error that names both lines.
 */
#ifndef AP_CONFIG_H
#define AP_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/must_check.h"

enum ap_node_kind { AP_NODE_TEXT, AP_NODE_LIST, AP_NODE_MAP };

struct ap_node {
    enum ap_node_kind kind;
    const char *file;
    unsigned line;    /* from 1 */
    const char *text; /* TEXT; "" for an empty scalar */
    bool quoted;
    size_t count;      /* LIST, MAP */
    const char **keys; /* MAP */
    unsigned *key_lines;
    struct ap_node **items; /* LIST, MAP */
};

struct ap_config; /* owns the tree */

struct ap_config_error {
    char text[1280];
};

/* 1 Returns 0; or APIARY_ECONFIG with the sentence; or APIARY_ESYS with one when the machine is at fault and not the file (too
 * many
 *   open files, ...), so that a retry may succeed; or APIARY_ENOBLOCK.
 * 2 Refused are anchors, aliases, tags, a second document, an empty file, NUL characters.
 * 3 Bounds: 1 MiB, depth 16, 65,536 values, 256 keys of one mapping.
 * 4 `error` may be NULL. */
AP_MUST_CHECK int ap_config_load(const char *path, struct ap_config **ret, struct ap_config_error *error);
AP_MUST_CHECK int ap_config_parse(const char *name, const char *text, size_t size, struct ap_config **ret,
                    struct ap_config_error *error);
/* The halves of ap_config_load, for callers that keep the text.
 * 1 ap_config_open returns a descriptor, or a negative error with its sentence.
 * 2 ap_config_read returns the whole text, to be freed. Of a text that is too long it returns one byte too many, so that
 *   ap_config_parse refuses it. */
AP_MUST_CHECK int ap_config_open(const char *path, struct ap_config_error *error);
AP_MUST_CHECK int ap_config_read(int fd, const char *name, char **ret, size_t *ret_size, struct ap_config_error *error);
void ap_config_free(struct ap_config *config);
const struct ap_node *ap_config_root(const struct ap_config *config);
/* Zeroed memory that lives as long as the tree, for data derived from it. NULL: none left. One thread at a time. */
void *ap_config_alloc(struct ap_config *config, size_t size);
/* Resolves a path: a relative one begins at the folder of the text's file. One thread at a time.
 * 1 Returns 0 with an absolute path, which lives as long as the tree (`path` itself if that is absolute).
 * 2 APIARY_ECONFIG with the sentence: the folder cannot be found. APIARY_ENOBLOCK. */
AP_MUST_CHECK int ap_config_path(struct ap_config *config, const char *path, const char **ret, struct ap_config_error *error);

/* Types as in apiary_agent_key:
 *   's' text   'i' whole number   'b' true or false   'l' list of texts (one text counts as a list of one)
 *   'd' duration ("250ms", "30s", "5m"; a bare number is milliseconds) -> ns   units: ns us ms s m h
 *   'z' size ("64KiB", "2MiB"; a bare number is bytes)                         units: B KiB MiB GiB TiB
 *   'm' mapping   'L' list of mappings   'e' list of texts and mappings (one text counts as a list of one)   'a' anything
 * Digits may be grouped (30_000). A text is empty only in quotes; true, false and whole numbers have no quotes. */
struct ap_key {
    const char *name;
    char type;
    bool required;
    const char *what; /* for messages and the manual */
    int64_t min, max; /* for i d z, in ns and bytes; both 0: no bound, but d and z are never negative */
};
/* Checks a mapping against its keys (the list ends with name NULL). Refuses a key that is unknown, missing, of the wrong type or
 * out of range, and a required list that is empty. (ap_config_parse refuses a duplicate key in every mapping.) */
AP_MUST_CHECK int ap_node_check(const struct ap_node *map, const struct ap_key *keys, struct ap_config_error *error);

const struct ap_node *ap_node_get(const struct ap_node *map, const char *key); /* NULL when absent */
unsigned ap_node_key_line(const struct ap_node *map, const char *key);         /* 0 when absent */
/* The value of a key, or `otherwise` when absent. They cannot fail after ap_node_check. */
const char *ap_node_text(const struct ap_node *map, const char *key, const char *otherwise);
int64_t ap_node_number(const struct ap_node *map, const char *key, char type, int64_t otherwise);
/* Fills error with "file:line: ..." and returns APIARY_ECONFIG. */
int ap_node_refuse(const struct ap_node *at, struct ap_config_error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for another line than the node's (a key's). */
int ap_node_refuse_line(const struct ap_node *at, unsigned line, struct ap_config_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Whether `word` is a likely typing error for `meant` (for "did you mean"). Not where their digits differ before an @. */
bool ap_word_near(const char *word, const char *meant);
/* `other` if `word` may be a typing error for it and `other` is nearer than `meant` (NULL: none so far); else `meant`. */
const char *ap_word_nearest(const char *word, const char *meant, const char *other);
/* A value of type 'i', 'd' or 'z' in the largest unit that divides it. */
void ap_number_print(char *text, size_t size, char type, int64_t value);
/* Adds a word to a list for a message: "a, b"; the list ends in ", ..." when there is no more room. */
void ap_words_add(char *list, size_t size, const char *word);

#endif
