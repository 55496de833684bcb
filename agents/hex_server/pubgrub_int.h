/* agents/hex_server/pubgrub_int.h - what the solver and its explanation have in common. */
#ifndef AP_HEX_PUBGRUB_INT_H
#define AP_HEX_PUBGRUB_INT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "agents/hex_server/version.h"
#include "core/must_check.h"

/* A set of the versions of one package, by their numbers, and of one more number: that the package is not chosen at all. */
typedef uint64_t ap_set_t;

struct ap_term {
    int package;
    ap_set_t *set;
};
/* Of its terms not all can hold. */
struct ap_incompat {
    const struct ap_incompat *left, *right; /* learned from these two; NULL: given */
    const char *needs, *requirement;        /* of a given one; needs NULL: that the request itself is met */
    int number;                             /* its sentence, once it is explained */
    struct ap_incompat *above;              /* waits for this one's sentence */
    int count;
    struct ap_term terms[];
};
struct ap_package {
    const char *name;
    size_t count, words; /* versions; words of a set */
    const char **texts;
    struct ap_version *versions;
    const json_t *releases;
    ap_set_t *allowed; /* by the assignments so far */
    struct ap_incompat **about;
    size_t about_count, about_room;
    bool decided;
};
struct ap_assignment {
    int package, level;
    ap_set_t *set;
    const struct ap_incompat *cause; /* NULL: a decision */
};
struct ap_block { /* memory that goes with the solver */
    struct ap_block *next;
};
struct ap_solver {
    const json_t *published;
    json_t *index; /* NAME: number */
    struct ap_package *packages;
    size_t count, room;
    struct ap_assignment *assigned;
    size_t assigned_count, assigned_room;
    const struct ap_incompat *failed; /* why nothing fits */
    struct ap_block *blocks;
    uint64_t work;
    size_t taken;
    int level, error;
};

static inline bool ap_set_has(const ap_set_t *set, size_t i)
{
    return set[i / 64] >> i % 64 & 1;
}

/* Sentences, for free(); NULL: out of memory. */
AP_MUST_CHECK char *ap_pubgrub_explain(struct ap_solver *s);

#endif
